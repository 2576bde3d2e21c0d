/* cli/meaning: `quorum memory embed` (vectors of what memory holds, now and to the end, for scripts) and `quorum memory status` (what
 * there is and what is owed). Single-threaded but for the embedder's own threads. It makes vectors only; the shell makes them by itself. */
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "cli/keep.h"
#include "cli/meaning.h"
#include "provider/provider.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>


int cli_memory_embedder(mem_store *s, const char *m, char **path, char *err)
{
    char *kept = m ? NULL : mem_setting_get(s, "memory.embedder");
    const char *what = m ? m : kept ? kept : "";
    bool off = !m && strcmp(what, "off") == 0;
    int rc = off ? q_fail(err, Q_NOTFOUND, _("memory.embedder is off: name a model with -m")) : prov_embedder_find(what, path, err);
    free(kept);
    return rc;
}

int cli_memory_second(const char *m, prov **out, char *err)
{
    char *path = NULL;
    int rc = cli_model_path(strcmp(m, "default") == 0 ? NULL : m, &path, err);
    if (rc == Q_OK) rc = prov_open(path, &(prov_opts){0}, out, err);
    free(path);
    return rc;
}

static int embed(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *err)
{
    return prov_embedder_run(user, question, text, len, n, out, cli_go, NULL, err);
}

static void step(void *progress, int64_t done, int64_t all) { cli_progress_step(progress, (uint64_t)done, (uint64_t)all); }

/* What is still owed to the model. */
static int64_t owed(mem_store *s, const char *id, int dim, char *err)
{
    int64_t e, n[2];
    int rc = mem_embedder_for(s, id, dim, &e, err);
    if (rc == Q_OK) rc = mem_vectors_owing(s, e, n, err);
    return rc == Q_OK ? n[MEM_CHUNK] + n[MEM_CHAT] : rc;
}

static void embed_said(const prov_embedder_info *i, int64_t made, int64_t left, double seconds, bool json)
{
    if (!json) {
        q_say(stdout, ngettext("%lld passage embedded with %s, %lld left\n", "%lld passages embedded with %s, %lld left\n", (unsigned long)made), (long long)made,
              i->name, (long long)left);
        return;
    }
    cJSON *o = cJSON_CreateObject(), *e = cJSON_AddObjectToObject(o, "embedder");
    cJSON_AddStringToObject(e, "id", i->id);
    cJSON_AddStringToObject(e, "name", i->name);
    cJSON_AddNumberToObject(e, "dim", i->dim);
    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddNumberToObject(o, "made", (double)made);
    cJSON_AddNumberToObject(o, "left", (double)left);
    cJSON_AddNumberToObject(o, "seconds", seconds);
    char *text = cJSON_PrintUnformatted(o);
    if (text) q_say_json(stdout, text);
    free(text);
    cJSON_Delete(o);
}

int cli_memory_embed(mem_store *s, const char *m, int limit, bool json, char *err)
{
    char *path = NULL;
    prov_embedder *own = NULL;
    bool mine = false;
    int64_t made = 0, left = 0;
    cli_heed(SIGINT, 0, NULL);                  /* what was made stays */
    int rc = cli_memory_embedder(s, m, &path, err);
    if (rc == Q_OK) rc = prov_embedder_open(path, 0, &own, err);
    if (rc == Q_OK) rc = mem_claim(s, MEM_CLAIM_EMBED, &mine, err);
    if (rc == Q_OK && !mine) rc = q_fail(err, Q_ERR, _("another quorum is making these vectors: wait for it, or leave it"));
    if (rc == Q_OK) {
        const prov_embedder_info *i = prov_embedder_about(own);
        cli_progress p;
        int64_t from = q_now_ns();
        rag_embed_opts o = {.go = cli_go, .progress = step, .user = &p, .most = limit};
        cli_progress_start(&p, _("making vectors"));
        rc = rag_embed_owed(s, &(rag_embedder){.id = i->id, .dim = i->dim, .embed = embed, .user = own}, &o, &made, err);
        cli_progress_end(&p, rc == Q_OK);
        char why[Q_ERRLEN];
        if (rc == Q_OK || rc == Q_CANCEL) left = owed(s, i->id, i->dim, why);
        if (rc == Q_OK || rc == Q_CANCEL) embed_said(i, made, left < 0 ? 0 : left, (double)(q_now_ns() - from) / 1e9, json);
    }
    if (mine) mem_claim_end(s, MEM_CLAIM_EMBED);
    prov_embedder_close(own);
    free(path);
    return rc;
}

int cli_memory_drop(mem_store *s, const memory_ask *a, char *err)
{
    char *path = NULL, why[Q_ERRLEN], size[32];
    prov_embedder *own = NULL;
    mem_embedder e = {0};
    int rc = mem_embedder_named(s, a->drop, &e, err);
    if (rc == Q_OK && cli_memory_embedder(s, NULL, &path, why) == Q_OK && prov_embedder_open(path, 1, &own, why) == Q_OK && strcmp(prov_embedder_about(own)->id, e.name) == 0)
        rc = q_fail(err, Q_RANGE, _("memory is searched by meaning with %s now, and its vectors would be made again: /set memory.embedder to another one or off first"), e.name);
    prov_embedder_close(own);
    free(path);
    char *question = rc == Q_OK ? q_printf(_("%lld vectors of model %s (%s) go; no text does, and that model would make them again. Go on? [y/N] "), (long long)e.chunks + e.messages, e.name,
                                           q_bytes_words((uint64_t)mem_embedder_bytes(&e), size)) : NULL;
    bool yes = rc == Q_OK && memory_agreed(a, question);
    if (yes) rc = mem_embedder_delete(s, e.id, err);
    if (yes && rc == Q_OK) q_say(stdout, _("the vectors of model %s are removed: %lld, %s\n"), e.name, (long long)e.chunks + e.messages, q_bytes_words((uint64_t)mem_embedder_bytes(&e), size));
    free(question);
    mem_embedder_free(&e);
    return rc != Q_OK ? rc : yes ? Q_OK : 1;
}

/* ---- status ---- */
typedef struct counts { int64_t documents, passages; mem_embedders models; char *path, id[20], problem[Q_ERRLEN]; prov_arrival at; } counts;

static int count(mem_store *s, counts *c, char *err)
{
    mem_documents l = {0};
    prov_embedder *own = NULL;
    int rc = mem_document_list(s, &l, err);
    for (int i = 0; rc == Q_OK && i < l.n; i++) c->passages += l.v[i].n_chunks;
    c->documents = l.n;
    mem_documents_free(&l);
    if (rc == Q_OK) rc = mem_embedder_list(s, &c->models, err);
    prov_embedder_arrival(&c->at);
    if (cli_memory_embedder(s, NULL, &c->path, c->problem) == Q_OK && prov_embedder_open(c->path, 1, &own, c->problem) == Q_OK) {
        snprintf(c->id, sizeof c->id, "%s", prov_embedder_about(own)->id);
        c->problem[0] = 0;
    }
    prov_embedder_close(own);
    return rc;
}

static int status_json(mem_store *s, const counts *c, char *err)
{
    cJSON *o = cJSON_CreateObject(), *a = cJSON_CreateArray();
    int rc = Q_OK;
    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddNumberToObject(o, "documents", (double)c->documents);
    cJSON_AddNumberToObject(o, "passages", (double)c->passages);
    if (*c->id) cJSON_AddStringToObject(o, "embedder", c->id);
    else cJSON_AddNullToObject(o, "embedder");
    if (*c->id) cJSON_AddStringToObject(o, "path", c->path);
    else cJSON_AddStringToObject(o, "problem", c->problem);
    if (c->at.coming) cJSON_AddNumberToObject(o, "coming", c->at.percent);
    cJSON_AddBoolToObject(o, "readers_filtered", rag_readers_held());
    for (int i = 0; i < c->models.n && rc == Q_OK; i++) {
        const mem_embedder *e = &c->models.v[i];
        int64_t n = owed(s, e->name, e->dim, err);
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "id", e->name);
        cJSON_AddNumberToObject(one, "dim", e->dim);
        cJSON_AddNumberToObject(one, "documents", (double)e->chunks);
        cJSON_AddNumberToObject(one, "chats", (double)e->messages);
        cJSON_AddNumberToObject(one, "owed", (double)n);
        cJSON_AddNumberToObject(one, "bytes", (double)mem_embedder_bytes(e));
        cJSON_AddBoolToObject(one, "used", strcmp(e->name, c->id) == 0);
        cJSON_AddItemToArray(a, one);
        rc = n < 0 ? (int)n : Q_OK;
    }
    cJSON_AddItemToObject(o, "vectors", a);
    char *text = rc == Q_OK ? cJSON_PrintUnformatted(o) : NULL;
    if (text) q_say_json(stdout, text);
    free(text);
    cJSON_Delete(o);
    return rc;
}

static int status_words(mem_store *s, const counts *c, char *err)
{
    q_say(stdout, ngettext("%lld document", "%lld documents", (unsigned long)c->documents), (long long)c->documents);
    q_say(stdout, " (");
    q_say(stdout, ngettext("%lld passage", "%lld passages", (unsigned long)c->passages), (long long)c->passages);
    q_say(stdout, ")\n");
    if (c->at.coming) q_say(stdout, _("the embedding model is being fetched: %d%%"), c->at.percent);
    else if (*c->id) q_say(stdout, _("searched by meaning with %s (id %s)"), c->path, c->id);
    else q_say(stdout, _("searched by words alone: %s"), c->problem);
    q_say(stdout, "\n");
    if (!rag_readers_held())
        q_say(stdout, "%s\n",
              _("quorum-readers runs without a filter of the system's calls, which this kernel or build does not give; its other bounds (no network, no file written, work, memory) hold"));
    for (int i = 0; i < c->models.n; i++) {
        const mem_embedder *e = &c->models.v[i];
        int64_t n = owed(s, e->name, e->dim, err);
        if (n < 0) return (int)n;
        char size[32];
        bool used = strcmp(e->name, c->id) == 0;
        q_say(stdout, _("%s %s: %lld passages of documents, %lld of conversations have a vector; %lld are owed one\n"), used ? "*" : "-", e->name,
              (long long)e->chunks, (long long)e->messages, (long long)n);
        q_say(stdout, used ? _("  %s in the file\n") : _("  %s in the file, and not used: quorum memory embed --drop %s removes them\n"), q_bytes_words((uint64_t)mem_embedder_bytes(e), size), e->name);
    }
    return Q_OK;
}

int cli_memory_status(mem_store *s, bool json, char *err)
{
    counts c = {0};
    int rc = count(s, &c, err);
    if (rc == Q_OK) rc = json ? status_json(s, &c, err) : status_words(s, &c, err);
    mem_embedders_free(&c.models);
    free(c.path);
    return rc;
}
