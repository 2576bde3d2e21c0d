/* engine/adapter/types: see types.h. */
#include "engine/adapter/types.h"

#include <string.h>
#include <strings.h>

int out_type(const char *name, int *type, char *err)
{
    char known[200] = "";
    for (int i = 0; i < KER_TYPE_LIMIT; i++) {
        const ker_type *t = ker_type_get(i);
        if (!t || !t->weight || !t->encode) continue;
        if (strcasecmp(t->name, name) == 0) {
            *type = i;
            return Q_OK;
        }
        size_t n = strlen(known);
        if (n + strlen(t->name) + 3 < sizeof known) strcat(strcat(known, n ? ", " : ""), t->name);
    }
    return q_fail(err, Q_RANGE, _("the type \"%.20s\" is none that quorum writes: take one of %s"), name, known);
}

bool out_takes(const char *name, int n_dims, int64_t ne0, int type)
{
    static const char *const floats[] = { "ffn_gate_inp.", "ssm_conv1d", "exp_probs_b", "rope_freqs", "rope_factors" };
    size_t n = strlen(name);
    if (n_dims < 2 || n < 7 || strcmp(name + n - 7, ".weight") != 0 || strstr(name, "_norm.")) return false;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (strstr(name, floats[i])) return false;
    return ne0 % ker_type_get(type)->block == 0;
}

int out_file_type(int type)
{
    int n;
    const ker_file_type *all = ker_file_types(&n);
    for (int i = 0; i < n; i++)
        if (strcmp(all[i].name, ker_type_get(type)->name) == 0) return all[i].id;
    return -1;
}
