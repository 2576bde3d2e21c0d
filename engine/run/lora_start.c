/* engine/run/lora_start: adapters that are named when the program starts (--lora FILE[=SCALE[@WHERE]]): kept by main before any model is
 * opened, loaded onto those models that ask for them. */
#include "engine/run/device.h"
#include "engine/run/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct wish { const char *spec; size_t file; char scale[40], where[80]; } wish;     /* file: bytes of the spec */
enum { WISHES = 4 * ENG_ADAPTERS };
static struct { wish v[WISHES]; int n; } chosen;                  /* main's, as engine/run/device.c has its own */

/* The last "=" with a number behind it ends the file's name, unless there is a file of the whole name. */
static void take_apart(const char *spec, wish *w)
{
    const char *eq = strrchr(spec, '=');
    char *end = NULL;
    double x = eq ? strtod(eq + 1, &end) : 0;
    bool scaled = eq && end > eq + 1 && (!*end || *end == '@') && isfinite(x) && access(spec, F_OK) != 0;
    *w = (wish){ .spec = spec, .file = scaled ? (size_t)(eq - spec) : strlen(spec) };
    snprintf(w->scale, sizeof w->scale, "%.17g", scaled ? x : 1);
    snprintf(w->where, sizeof w->where, "%s", scaled && *end == '@' ? end : "");
}

int eng_adapters_choose(const char *const *spec, int n, char *err)
{
    if (n > WISHES)
        return q_fail(err, Q_RANGE, _("--lora comes %d times, %d are taken: give each file once"), n, WISHES);
    for (int i = 0; i < n; i++) {
        take_apart(spec[i], &chosen.v[i]);
        if (!chosen.v[i].file)
            return q_fail(err, Q_RANGE, _("--lora takes FILE, FILE=SCALE or FILE=SCALE@WHERE (WHERE: layers 0-1, or one expert 1e6), not \"%s\""), spec[i]);
    }
    chosen.n = n;
    return Q_OK;
}

int eng_adapters_chosen(void) { return chosen.n; }

static bool same_file(const wish *a, const wish *b) { return a->file == b->file && memcmp(a->spec, b->spec, a->file) == 0; }

/* One file with all that is said of it; it becomes the adapter's own scale. */
static int apply(eng_model *m, int first, char *err)
{
    const wish *w = &chosen.v[first];
    char *path = q_strndup(w->spec, w->file), *name = NULL;
    eng_adapter *a = NULL;
    q_buf value = { 0 };
    int rc = eng_adapter_read(m, path, &a, err);
    if (!rc && (rc = eng_model_adapter_add(m, a, name = lora_name(m, a), err)))
        eng_adapter_free(a);
    for (int i = first; i < chosen.n && !rc; i++) {
        if (!same_file(&chosen.v[i], w))
            continue;
        bool places = *chosen.v[i].where;
        if (places && !value.len)                                /* named places alone: nothing elsewhere */
            q_buf_printf(&value, "%s=0", name);
        q_buf_printf(&value, "%s%s%s=%s", value.len ? "," : "", name, chosen.v[i].where, chosen.v[i].scale);
    }
    if (!rc)
        rc = lora_own(m, name, value.p, err);
    q_buf_free(&value);
    free(path);
    free(name);
    return rc;
}

static int apply_all(eng_model *m, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < chosen.n && !rc; i++) {
        bool before = false;
        for (int k = 0; k < i; k++)
            before |= same_file(&chosen.v[k], &chosen.v[i]);
        if (!before)
            rc = apply(m, i, err);
    }
    return rc;
}

/* Under "auto" a GPU that has no room for them, or fails meanwhile, leaves the model to the CPU. */
int eng_adapters_apply(eng_model *m, char *err)
{
    int rc = apply_all(m, err);
    if (!rc && chosen.n) rc = model_may_talk(m, err);
    if ((rc != Q_NOMEM && rc != Q_ERR) || !device_may_fall_back(&m->on)) return rc;
    const char *name[ENG_ADAPTERS];
    const eng_adapter *a[ENG_ADAPTERS];
    char ignored[Q_ERRLEN];
    while (eng_model_adapters(m, name, a)) eng_model_adapter_drop(m, name[0], ignored);
    rc = model_to_cpu(m, rc, err);
    return rc ? rc : apply_all(m, err);
}
