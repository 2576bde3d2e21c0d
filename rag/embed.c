/* rag/embed: makes the vectors that passages are owed, by a model that somebody lends. Any thread; a batch is read, embedded
 * with no lock held, and put in one transaction. It keeps nothing beside the store. */
#include "rag/rag.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 16 };

struct batch { int n; mem_passage m[BATCH]; char *text[BATCH]; size_t len[BATCH]; };

/* What of a passage is embedded: a turn with who said it, a piece of a document with its heading. */
static char *text_of(const mem_passage *m)
{
    const char *who = *m->author ? m->author : m->trust == MEM_TRUST_MODEL ? "Assistant" : "User";
    if (m->kind == MEM_CHAT) return q_printf("%s: %s", who, m->text);
    const char *head = *m->heading ? m->heading : m->name;
    return *head ? q_printf("%s\n%s", head, m->text) : q_strdup(m->text);
}

static void batch_free(struct batch *b)
{
    for (int i = 0; i < b->n; i++) {
        mem_passage_free(&b->m[i]);
        free(b->text[i]);
    }
    b->n = 0;
}

static int put(mem_store *s, const rag_embedder *e, int64_t embedder, const struct batch *b, char *err)
{
    mem_vector v[BATCH];
    float *f = q_alloc(sizeof *f * (size_t)e->dim * BATCH);
    int rc = e->embed(e->user, false, (const char *const *)b->text, b->len, b->n, f, err);
    for (int i = 0; i < b->n; i++) v[i] = (mem_vector){b->m[i].kind, b->m[i].id, mem_text_hash(b->m[i].text), f + (size_t)i * (size_t)e->dim};
    if (rc == Q_OK) rc = mem_vectors_put(s, embedder, e->dim, v, b->n, err);
    free(f);
    return rc;
}

/* The next ids below *before, at most `most`; *n of them had a text. */
static int one_batch(mem_store *s, const rag_embedder *e, int64_t embedder, enum mem_owed of, int most, int64_t *before, int *ids, int *n, char *err)
{
    int64_t id[BATCH];
    struct batch b = {0};
    enum mem_kind k = of == MEM_OWED_CHATS ? MEM_CHAT : MEM_CHUNK;
    int rc = mem_vectors_owed(s, embedder, of, *before, id, most, ids, err);
    for (int i = 0; i < *ids && rc == Q_OK; i++) {
        *before = id[i];
        rc = mem_passage_get(s, k, id[i], &b.m[b.n], err);
        if (rc == Q_NOTFOUND) {             /* it went meanwhile */
            rc = Q_OK;
            continue;
        }
        if (rc != Q_OK) break;
        b.text[b.n] = text_of(&b.m[b.n]);
        b.len[b.n] = strlen(b.text[b.n]);
        b.n++;
    }
    *n = b.n;
    if (rc == Q_OK && b.n) rc = put(s, e, embedder, &b, err);
    batch_free(&b);
    return rc;
}

/* More may have come in meanwhile. */
static int tell(mem_store *s, int64_t embedder, const rag_embed_opts *o, int64_t made, int64_t *all, char *err)
{
    int64_t due = 0;
    int rc = o->most > 0 ? Q_OK : mem_vectors_due(s, embedder, &due, err);
    if (rc == Q_OK && made + due > *all) *all = made + due;
    if (rc == Q_OK) o->progress(o->user, made, made > *all ? made : *all);
    return rc;
}

int rag_embed_owed(mem_store *s, const rag_embedder *e, const rag_embed_opts *o, int64_t *done, char *err)
{
    static const rag_embed_opts none = {0};
    int64_t embedder, left[2] = {0}, all, made = 0;
    if (!o) o = &none;
    if (done) *done = 0;
    int rc = mem_embedder_for(s, e->id, e->dim, &embedder, err);
    if (rc == Q_OK) rc = mem_vectors_owing(s, embedder, left, err);
    all = left[MEM_CHUNK] + left[MEM_CHAT];
    if (o->most > 0 && o->most < all) all = o->most;
    for (enum mem_owed of = MEM_OWED_FILES; of < MEM_OWED_N && rc == Q_OK; of++) {
        int64_t before = 0, *due = &left[of == MEM_OWED_CHATS ? MEM_CHAT : MEM_CHUNK];
        for (int ids = BATCH, n, most = BATCH; ids == most && *due > 0 && rc == Q_OK;) {
            if (o->most > 0 && made + most > o->most) most = (int)(o->most - made);
            if (most == 0) break;
            if (o->go && !o->go(o->user)) return q_fail(err, Q_CANCEL, _("stopped: what was embedded stays, and the next time goes on from there"));
            rc = one_batch(s, e, embedder, of, most, &before, &ids, &n, err);
            if (rc != Q_OK) break;
            *due -= ids;
            made += n;
            if (done) *done = made;
            if (o->progress && n) rc = tell(s, embedder, o, made, &all, err);
        }
    }
    return rc;
}
