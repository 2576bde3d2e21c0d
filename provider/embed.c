/* provider/embed: the embedding model that memory searches with, in this process: engine/embed.h behind provider.h's words. Owns the
 * open embedder. Threads as provider.h says. */
#include "provider/provider.h"
#include "engine/embed.h"
#include "engine/models.h"

#include <stdio.h>
#include <stdlib.h>

struct prov_embedder { eng_embedder *own; prov_embedder_info info; };

int prov_embedder_find(const char *what, char **path, char *err) { return eng_find_embedder(what, path, err); }

int prov_embedder_open(const char *path, int threads, prov_embedder **out, char *err)
{
    eng_embedder *own = NULL;
    *out = NULL;
    int rc = eng_embedder_open(path, threads, &own, err);
    if (rc < 0)
        return rc;
    const eng_embedder_info *i = eng_embedder_info_of(own);
    *out = q_alloc(sizeof **out);
    **out = (prov_embedder){ own, { i->path, i->name, i->id, i->dim, i->threads } };
    return Q_OK;
}

void prov_embedder_close(prov_embedder *e)
{
    if (!e)
        return;
    eng_embedder_close(e->own);
    free(e);
}

const prov_embedder_info *prov_embedder_about(const prov_embedder *e) { return &e->info; }

int prov_embedder_run(prov_embedder *e, bool question, const char *const *text, const size_t *len, int n, float *out, bool (*go)(void *user), void *user, char *err)
{
    return eng_embed(e->own, question ? ENG_EMBED_QUERY : ENG_EMBED_PASSAGE, text, len, n, out, go, user, err);
}

int prov_embedder_count(prov_embedder *e, bool question, const char *text, size_t len, char *err)
{
    return eng_embed_count(e->own, question ? ENG_EMBED_QUERY : ENG_EMBED_PASSAGE, text, len, err);
}

void prov_embedder_arrival(prov_arrival *out)
{
    eng_arrival a;
    eng_embedder_arrival(&a);
    *out = (prov_arrival){ .here = a.here, .coming = a.coming, .percent = a.percent };
    snprintf(out->problem, sizeof out->problem, "%s", a.problem);
}
