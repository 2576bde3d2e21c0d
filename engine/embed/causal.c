/* engine/embed/causal: embedders that are made of a decoder (Qwen3-Embedding, e5-mistral): the engine's own pass, a session that
 * begins anew for each text, rows after the output norm. Owns a model of its own beside the embedder's file. */
#include "engine/embed/embedder.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 2048 /* tokens of a window at most: the cells of a session */, STEP = ENG_STEP_ROWS < 128 ? ENG_STEP_ROWS : 128 /* rows between two questions whether to go on */ };

typedef struct causal {
    eng_model *model;
    eng_config *config;
    eng_session *session;
    int dim, cap;                      /* rows that hidden holds */
    float *hidden;
} causal;

static void close_causal(void *own)
{
    causal *c = own;
    eng_session_free(c->session);
    eng_config_free(c->config);
    eng_model_free(c->model);
    free(c->hidden);
    free(c);
}

static int run_text(causal *c, const int32_t *token, int n, bool (*go)(void *), void *user, float *to, char *err)
{
    eng_row row[ENG_STEP_ROWS];
    eng_out out;
    int rc = eng_session_cut(c->session, 0, err);
    for (int i = 0; i < n && !rc; i += STEP) {
        int rows = n - i < STEP ? n - i : STEP;
        if (go && !go(user)) return Q_CANCEL;
        for (int r = 0; r < rows; r++) row[r] = (eng_row){ .session = c->session, .token = token[i + r], .want = ENG_WANT_HIDDEN };
        rc = eng_cache_step(eng_session_cache(c->session), row, rows, true, &out, err);
        for (int r = 0; r < rows && !rc; r++) memcpy(to + (int64_t)(i + r) * c->dim, out.hidden[r], sizeof *to * (size_t)c->dim);
    }
    return rc;
}

static int run(void *own, const int32_t *token, const int *at, int n, bool (*go)(void *), void *user, const float **hidden, char *err)
{
    causal *c = own;
    int rc = Q_OK;
    if (at[n] > c->cap) {
        free(c->hidden);
        c->hidden = malloc(sizeof *c->hidden * (size_t)at[n] * (size_t)c->dim);
        c->cap = c->hidden ? at[n] : 0;
        if (!c->hidden) return q_fail(err, Q_NOMEM, _("no memory to embed %d tokens at once: close something"), at[n]);
    }
    for (int t = 0; t < n && !rc; t++) rc = run_text(c, token + at[t], at[t + 1] - at[t], go, user, c->hidden + (int64_t)at[t] * c->dim, err);
    *hidden = c->hidden;
    return rc;
}

int causal_open(eng_embedder *e, int threads, bool exact, char *err)
{
    causal *c = q_alloc(sizeof *c);
    e->own = c;
    e->pass = (embed_pass){ run, close_causal };
    int rc = eng_model_open(e->info.path, &(eng_open_opts){ .n_threads = threads }, &c->model, err);
    if (rc) return rc;
    const eng_info *info = eng_model_info(c->model);
    c->dim = info->n_embd;
    e->info.dim = info->n_embd;
    e->info.n_layer = info->n_layer;
    e->info.threads = eng_model_threads(c->model);
    e->info.max_tokens = info->n_ctx_train < WINDOW ? info->n_ctx_train : WINDOW;
    c->config = eng_config_new(c->model);
    char length[16];
    snprintf(length, sizeof length, "%d", e->info.max_tokens);
    rc = eng_config_set(c->config, "context.length", length, err);
    if (!rc && exact) rc = eng_config_set(c->config, "kv.type", "f32", err);
    return rc ? rc : eng_session_new(c->model, c->config, &c->session, err);
}
