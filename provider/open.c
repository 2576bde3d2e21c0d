/* provider/open: which kinds there are, and who can be asked on this machine. Any thread. */
#include "engine/adapter.h"
#include "engine/models.h"
#include "provider/local.h"
#include "provider/remote.h"

#include <stdlib.h>
#include <string.h>

/* A kind takes what begins so; the last one takes all that is left, a path. */
static const struct { const char *begins; int (*open)(const char *what, const prov_opts *o, prov **out, char *err); } kinds[] = {
    { "@", remote_open }, { "", local_open } };

int prov_open(const char *what, const prov_opts *o, prov **out, char *err)
{
    static const prov_opts none;
    *out = NULL;
    if (*what == '@' && o && o->adapters && eng_adapters_chosen() > 0)
        return q_fail(err, Q_RANGE, _("adapters are loaded onto a model of this machine, and another machine's server answers: load them there"));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(what, kinds[i].begins, strlen(kinds[i].begins)) == 0)
            return kinds[i].open(what, o ? o : &none, out, err);
    return q_fail(err, Q_NOTFOUND, _("nobody answers to %s"), what);
}

int prov_find(prov_found **out, int *n, char *err)
{
    eng_found *f = NULL;
    *out = NULL;
    int rc = eng_find(&f, n, err);
    if (rc < 0) {
        *n = 0;
        return rc;
    }
    *out = q_alloc(sizeof **out * (size_t)(*n + 1));
    for (int i = 0; i < *n; i++) {
        eng_found *e = &f[i];
        (*out)[i] = (prov_found){ .path = e->path, .name = e->name, .arch = e->arch, .quant = e->quant, .problem = e->problem, .place = e->place,
                                  .bytes = e->bytes, .params = e->params, .n_expert = e->n_expert, .n_expert_used = e->n_expert_used, .fits = e->fits };
        *e = (eng_found){ 0 };           /* the texts are the caller's now */
    }
    eng_found_free(f, *n);
    return rc;
}

void prov_found_free(prov_found *f, int n)
{
    for (int i = 0; f && i < n; i++) {
        free(f[i].path);
        free(f[i].name);
        free(f[i].arch);
        free(f[i].quant);
        free(f[i].problem);
    }
    free(f);
}

int prov_find_model(const char *m, char **what, char *err)
{
    if (!m || *m != '@')
        return eng_find_model(m, what, err);
    *what = q_strdup(m);                 /* opening says whether there is one */
    return Q_OK;
}
