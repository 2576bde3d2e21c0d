/* provider/adapters: adapters of a model in this process, for who talks with it: loaded, dropped, told. See provider.h. */
#include "engine/adapter.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

static int model_of(prov *p, eng_model **m, char *err)
{
    struct eng_cache *k = prov_cache(p);
    *m = k ? eng_cache_model(k) : NULL;
    return *m ? Q_OK : q_fail(err, Q_ERR, _("adapters are loaded onto a model of this machine, and another machine's server answers: load them there"));
}

int prov_adapter_load(prov *p, const char *path, const char *name, char **as, char *err)
{
    eng_model *m;
    eng_adapter *a = NULL;
    const char *all[ENG_ADAPTERS];
    const eng_adapter *their[ENG_ADAPTERS];
    int rc = model_of(p, &m, err);
    if (rc == Q_OK)
        rc = eng_adapter_read(m, path, &a, err);
    if (rc == Q_OK && (rc = eng_model_adapter_add(m, a, name, err)) < 0)
        eng_adapter_free(a);
    if (rc < 0)
        return rc;
    int n = eng_model_adapters(m, all, their);
    *as = q_strdup(all[n - 1]);
    return Q_OK;
}

int prov_adapter_drop(prov *p, const char *name, char *err)
{
    eng_model *m;
    int rc = model_of(p, &m, err);
    return rc < 0 ? rc : eng_model_adapter_drop(m, name, err);
}

int prov_adapter_rest(prov *p, const char *name, char *err)
{
    eng_model *m;
    int rc = model_of(p, &m, err);
    return rc < 0 ? rc : eng_model_adapter_rest(m, name, err);
}

int prov_adapters(prov *p, prov_adapter **out)
{
    eng_model *m;
    char err[Q_ERRLEN];
    const char *name[ENG_ADAPTERS];
    const eng_adapter *a[ENG_ADAPTERS];
    *out = NULL;
    int n = model_of(p, &m, err) < 0 ? 0 : eng_model_adapters(m, name, a);
    if (n)
        *out = q_alloc(sizeof **out * (size_t)n);
    for (int i = 0; i < n; i++) {
        const eng_adapter_info *o = eng_adapter_info_of(a[i]);
        (*out)[i] = (prov_adapter){ .name = q_strdup(name[i]), .path = q_strdup(o->path), .base = q_strdup(o->base), .doubt = q_strdup(o->doubt), .params = o->params, .changing = o->held / sizeof(float), .bytes = o->bytes, .held = eng_adapter_memory(m, a[i]), .matrices = o->n_low,
                                    .rank_min = o->rank_min, .rank_max = o->rank_max, .first_layer = o->first_layer, .last_layer = o->last_layer, .hash = o->hash };
    }
    return n;
}

void prov_adapters_free(prov_adapter *v, int n)
{
    for (int i = 0; i < n; i++) {
        free(v[i].name);
        free(v[i].path);
        free(v[i].base);
        free(v[i].doubt);
    }
    free(v);
}
