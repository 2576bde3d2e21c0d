/* engine/embed/embed: opens an embedder and turns texts into vectors: pieces by the vocabulary, windows, batches, pooling,
 * length 1. What a row is, a kind's pass computes. One caller at a time. */
#include "engine/embed/embedder.h"
#include "engine/file/keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512 /* rows at once, unless one window is longer */ };

/* ---- opening ---- */

static int refuse(const eng_embedder *e, char *err)
{
    gguf_str s = { "?", 1 };
    gguf_string(e->file, "general.architecture", &s);
    char *all = embed_known(), *name = q_utf8_clean(s.p, s.n < 60 ? s.n : q_utf8_whole(s.p, 60));
    int rc = q_fail(err, Q_FORMAT, _("%s is a model of \"%s\", not an embedder known here (%s): take multilingual-e5-small"), e->info.path, name, all);
    free(all);
    free(name);
    return rc;
}

static int read_pooling(eng_embedder *e, const embed_kind *k, char *err)
{
    static const char *const words[] = { [EMBED_MEAN] = "mean", [EMBED_CLS] = "cls", [EMBED_LAST] = "last" };
    int pool = 0, rc = keys_whole(e->file, e->info.path, e->info.arch, "pooling_type", k->pool, 0, 100, &pool, err);
    if (rc) return rc;
    if (pool < EMBED_MEAN || pool > EMBED_LAST)
        return q_fail(err, Q_FORMAT, _("%s: pooling %d is not known: 1 (mean), 2 (first token) and 3 (last token) are; it may be a reranker, not an embedder"),
                      e->info.path, pool);
    e->pool = (enum embed_pool)pool;
    e->info.pooling = words[pool];
    return Q_OK;
}

static int check_memory(const eng_embedder *e, char *err)
{
    const double mib = 1024.0 * 1024;
    uint64_t have = q_mem_available(), need = 64u << 20;
    if (!q_in_memory(e->info.path)) need += e->info.file_bytes;
    if (have == 0 || need <= have) return Q_OK;
    return q_fail(err, Q_NOMEM, _("the embedder %s needs %.0f MiB, but %.0f MiB of memory are free: close something or take a smaller one"), e->info.name,
                  (double)need / mib, (double)have / mib);
}

static void identify(const gguf_file *f, const char *arch, char id[20])
{
    snprintf(id, 20, "%016llx", (unsigned long long)keys_fingerprint(f, q_hash64(arch, strlen(arch), gguf_size(f))));
}

int eng_embedder_id(const char *path, char id[20], char *err)
{
    gguf_file *f = NULL;
    const char *arch;
    int rc = gguf_open(path, &f, err);
    if (rc == Q_OK && !embed_kind_of(f, &arch)) rc = q_fail(err, Q_FORMAT, _("%s is no embedding model"), path);
    if (rc == Q_OK) identify(f, arch, id);
    gguf_close(f);
    return rc;
}

static void describe(eng_embedder *e, const char *name)
{
    const char *slash = strrchr(e->info.path, '/');
    gguf_str s;
    e->strings[1] = gguf_string(e->file, "general.name", &s) && s.n ? q_utf8_clean(s.p, s.n < 200 ? s.n : q_utf8_whole(s.p, 200)) : q_strdup(slash ? slash + 1 : e->info.path);
    e->strings[2] = q_strdup(name);
    eng_embedder_info *o = &e->info;
    o->name = e->strings[1];
    o->arch = e->strings[2];
    o->file_bytes = gguf_size(e->file);
    for (int i = 0; i < gguf_n_tensors(e->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(e->file, i);
        o->params += (uint64_t)t->ne[0] * (uint64_t)t->ne[1] * (uint64_t)t->ne[2] * (uint64_t)t->ne[3];
    }
    identify(e->file, name, o->id);
    const embed_family *f = embed_family_of(o->name);
    o->query = f->query;
    o->passage = f->passage;
}

static int open_all(eng_embedder *e, int threads, bool exact, char *err)
{
    int rc = gguf_open(e->info.path, &e->file, err);
    if (rc) return rc;
    const char *name;
    const embed_kind *k = embed_kind_of(e->file, &name);
    if (!k) return refuse(e, err);
    describe(e, name);
    if ((rc = read_pooling(e, k, err)) || (rc = check_memory(e, err))) return rc;
    char why[Q_ERRLEN];
    if ((rc = vocab_load(e->file, &e->vocab, why))) return q_fail(err, rc, "%s: %s", e->info.path, why);
    if ((rc = k->decoder ? causal_open(e, threads, exact, err) : encoder_open(e, threads, exact, err))) return rc;
    if (e->info.max_tokens <= (vocab_bos(e->vocab) >= 0) + (vocab_eos(e->vocab) >= 0))
        return q_fail(err, Q_FORMAT, _("%s: a context of %d tokens has no room for a text: the file is damaged"), e->info.path, e->info.max_tokens);
    return Q_OK;
}

int embed_open(const char *path, int threads, bool exact, eng_embedder **out, char *err)
{
    eng_embedder *e = q_alloc(sizeof *e);
    e->info.path = e->strings[0] = q_strdup(path);
    int rc = open_all(e, threads, exact, err);
    *out = rc ? NULL : e;
    if (rc) eng_embedder_close(e);
    return rc;
}

int eng_embedder_open(const char *path, int threads, eng_embedder **out, char *err) { return embed_open(path, threads, false, out, err); }

void eng_embedder_close(eng_embedder *e)
{
    if (!e) return;
    if (e->own) e->pass.close(e->own);
    vocab_free(e->vocab);
    gguf_close(e->file);
    for (size_t i = 0; i < sizeof e->strings / sizeof *e->strings; i++) free(e->strings[i]);
    free(e);
}

const eng_embedder_info *eng_embedder_info_of(const eng_embedder *e) { return &e->info; }

/* ---- rows to vectors ---- */

static int batch_rows(const eng_embedder *e) { return e->info.max_tokens > BATCH ? e->info.max_tokens : BATCH; }

void feed_begin(embed_feed *f, eng_embedder *e, bool (*go)(void *), void *user)
{
    *f = (embed_feed){ .e = e, .go = go, .user = user };
    f->token = q_alloc(sizeof *f->token * (size_t)batch_rows(e));
    f->acc = q_alloc(sizeof *f->acc * (size_t)e->info.dim);
}

/* A window's rows as one row, added to its text's with the weight of its pieces. */
static void pool_add(embed_feed *f, const float *rows, int n, double weight)
{
    int dim = f->e->info.dim;
    if (f->e->pool != EMBED_MEAN) {
        const float *one = f->e->pool == EMBED_CLS ? rows : rows + (int64_t)(n - 1) * dim;
        for (int d = 0; d < dim; d++) f->acc[d] += weight * (double)one[d];
        return;
    }
    weight /= n;
    for (int r = 0; r < n; r++)
        for (int d = 0; d < dim; d++) f->acc[d] += weight * (double)rows[(int64_t)r * dim + d];
}

static int finish(embed_feed *f, float *out, char *err)
{
    int dim = f->e->info.dim;
    double sum = 0;
    for (int d = 0; d < dim; d++) sum += f->acc[d] * f->acc[d];
    if (!isfinite(sum)) return q_fail(err, Q_ERR, _("the encoder's numbers are not finite: the file is damaged, get another copy"));
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (int d = 0; d < dim; d++) {
        out[d] = (float)(f->acc[d] * scale);
        f->acc[d] = 0;
    }
    return Q_OK;
}

static int flush(embed_feed *f, char *err)
{
    if (!f->n_win) return Q_OK;
    const float *hidden;
    int rc = f->e->pass.run(f->e->own, f->token, f->at, f->n_win, f->go, f->user, &hidden, err);
    if (rc == Q_CANCEL) q_fail(err, rc, _("embedding was stopped"));
    for (int i = 0; i < f->n_win && !rc; i++) {
        const struct embed_window *w = &f->win[i];
        pool_add(f, hidden + (int64_t)f->at[i] * f->e->info.dim, f->at[i + 1] - f->at[i], w->pieces > 0 ? w->pieces : 1);
        if (w->last) rc = finish(f, w->out, err);
    }
    f->n_win = f->rows = 0;
    return rc;
}

static int add_window(embed_feed *f, const int32_t *piece, int n, float *out, bool last, char *err)
{
    int32_t bos = vocab_bos(f->e->vocab), eos = vocab_eos(f->e->vocab);
    int rows = n + (bos >= 0) + (eos >= 0), rc = f->rows + rows > batch_rows(f->e) ? flush(f, err) : Q_OK;
    if (rc) return rc;
    if (f->n_win + 1 >= f->cap_win) {
        f->cap_win = f->cap_win ? f->cap_win * 2 : 16;
        f->win = q_realloc(f->win, sizeof *f->win * (size_t)f->cap_win);
        f->at = q_realloc(f->at, sizeof *f->at * (size_t)f->cap_win);
    }
    f->win[f->n_win] = (struct embed_window){ out, n, last };
    f->at[f->n_win++] = f->rows;
    if (bos >= 0) f->token[f->rows++] = bos;
    for (int i = 0; i < n; i++) f->token[f->rows++] = piece[i];
    if (eos >= 0) f->token[f->rows++] = eos;
    f->at[f->n_win] = f->rows;
    return Q_OK;
}

int feed_text(embed_feed *f, const int32_t *piece, int n, float *out, char *err)
{
    int room = f->e->info.max_tokens - (vocab_bos(f->e->vocab) >= 0) - (vocab_eos(f->e->vocab) >= 0), rc = Q_OK;
    if (n == 0 && room == f->e->info.max_tokens) {                 /* nothing at all to compute from */
        memset(out, 0, sizeof *out * (size_t)f->e->info.dim);
        return Q_OK;
    }
    for (int i = 0; (i < n || i == 0) && !rc; i += room) rc = add_window(f, piece + i, n - i < room ? n - i : room, out, n - i <= room, err);
    return rc;
}

int feed_end(embed_feed *f, int rc, char *err)
{
    if (!rc) rc = flush(f, err);
    free(f->token);
    free(f->at);
    free(f->win);
    free(f->acc);
    *f = (embed_feed){ 0 };
    return rc;
}

/* ---- texts to pieces ---- */

static int pieces(const eng_embedder *e, enum eng_embed_as as, const char *text, size_t len, eng_tokens *to, char *err)
{
    const char *prefix = as == ENG_EMBED_QUERY ? e->info.query : as == ENG_EMBED_PASSAGE ? e->info.passage : "";
    to->n = 0;
    if (!*prefix) return vocab_tokenize(e->vocab, text, len, false, to, err);
    q_buf b = { 0 };
    q_buf_puts(&b, prefix);
    q_buf_add(&b, text, len);
    int rc = vocab_tokenize(e->vocab, b.p, b.len, false, to, err);
    q_buf_free(&b);
    return rc;
}

int eng_embed(eng_embedder *e, enum eng_embed_as as, const char *const *text, const size_t *len, int n, float *out, bool (*go)(void *user), void *user, char *err)
{
    embed_feed f;
    eng_tokens t = { 0 };
    int rc = Q_OK;
    feed_begin(&f, e, go, user);
    for (int i = 0; i < n && !rc; i++) {
        rc = pieces(e, as, text[i], len[i], &t, err);
        if (!rc) rc = feed_text(&f, t.id, t.n, out + (int64_t)i * e->info.dim, err);
    }
    eng_tokens_free(&t);
    return feed_end(&f, rc, err);
}

int eng_embed_count(eng_embedder *e, enum eng_embed_as as, const char *text, size_t len, char *err)
{
    eng_tokens t = { 0 };
    int rc = pieces(e, as, text, len, &t, err), n = t.n + (vocab_bos(e->vocab) >= 0) + (vocab_eos(e->vocab) >= 0);
    eng_tokens_free(&t);
    return rc ? rc : n;
}
