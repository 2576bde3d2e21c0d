/* lab/added: what a text before a conversation adds to answers that are there already: the mean log-probability of their tokens behind one
 * prompt and behind another, paired token by token. Tokens of an answer hang together, so answers are what the bootstrap draws (lab/judge.c),
 * or, where they are fewer than a dozen, pieces of them. A difference is claimed only beyond 0 and beyond what a number format of the cache
 * makes, a difference that nobody means. The model's thread; caches of its own, which go with it. */
#include "base/say.h"
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW_ANSWERS = 12, PIECES = 24, PIECE_LEAST = 4, BLOCKS_LEAST = 4, TOKENS_LEAST = 32, SCRATCH = 4 << 20 /* logits of a step */ };

static int same_from_start(const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    int n = 0;
    while (n < n_a && n < n_b && a[n] == b[n])
        n++;
    return n;
}

/* One answer behind its prompt, in a session that may hold the beginning of it already. */
static int one(eng_cache *cache, eng_session *s, const lab_reply *r, int rows, int n_vocab, double *logp, char *err)
{
    int all = r->n_prompt + r->n - 1, rc;
    int32_t *id = q_alloc(sizeof *id * (size_t)(r->n_prompt + r->n));
    eng_row *row = q_alloc(sizeof *row * (size_t)rows);
    memcpy(id, r->prompt, sizeof *id * (size_t)r->n_prompt);
    memcpy(id + r->n_prompt, r->answer, sizeof *id * (size_t)r->n);
    int keep = same_from_start(eng_session_tokens(s), eng_session_length(s), id, r->n_prompt - 1);
    rc = eng_session_cut(s, keep, err);
    keep = rc == Q_OK ? eng_session_length(s) : 0;               /* recurrent layers go back to a state */
    for (int at = keep, n; at < all && rc == Q_OK; at += n) {
        eng_out out;
        n = at + rows < all ? rows : all - at;
        for (int i = 0; i < n; i++)
            row[i] = (eng_row){ .session = s, .token = id[at + i], .want = at + i + 1 >= r->n_prompt ? ENG_WANT_LOGITS : ENG_WANT_NOTHING };
        rc = eng_cache_step(cache, row, n, true, &out, err);
        for (int i = 0; i < n && rc == Q_OK; i++)
            if (out.logits[i])
                logp[at + i + 1 - r->n_prompt] = (double)out.logits[i][id[at + i + 1]] - judge_log_sum(out.logits[i], n_vocab);
    }
    free(row);
    free(id);
    return rc;
}

int lab_replies(eng_cache *beside, const char *config, bool yardstick, const lab_reply *r, int n, const lab_terms *terms, double *logp, char *err)
{
    eng_model *m = eng_cache_model(beside);
    eng_config *c = eng_config_new(m);
    eng_cache *cache = NULL;
    eng_session *s = NULL;
    q_buf kv = { 0 };
    char words[24];
    int longest = TEXT_NARROWEST, n_vocab = eng_model_info(m)->n_vocab, rows = SCRATCH / (n_vocab > 0 ? n_vocab : 1);
    rows = rows < 1 ? 1 : rows > ENG_STEP_ROWS ? ENG_STEP_ROWS : rows;
    for (int i = 0; i < n; i++)
        longest = r[i].n_prompt + r[i].n > longest ? r[i].n_prompt + r[i].n : longest;
    snprintf(words, sizeof words, "%d", longest);
    int rc = config ? eng_config_from_json(c, config, err) : Q_OK;
    if (rc == Q_OK)
        rc = eng_config_set(c, "context.length", words, err);
    if (rc == Q_OK && yardstick)
        rc = eng_config_set(c, "kv.type", strcmp(eng_config_get(c, "kv.type", &kv), "f32") == 0 ? "f16" : "f32", err);
    if (rc == Q_OK)
        rc = eng_cache_new(m, c, 1, &cache, err);
    if (rc == Q_OK)
        rc = eng_cache_session(cache, c, &s, err);
    for (int i = 0; i < n && rc == Q_OK; logp += r[i++].n)
        rc = terms && terms->go_on && !terms->go_on(terms->user, i, n) ? q_fail(err, Q_CANCEL, _("stopped after %d of %d answers"), i, n)
                                                                      : one(cache, s, &r[i], rows, n_vocab, logp, err);
    eng_session_free(s);
    if (cache)
        eng_cache_free(cache);
    eng_config_free(c);
    q_buf_free(&kv);
    return rc;
}

int lab_tokens(eng_cache *beside, const char *text, size_t n, int32_t **out, char *err)
{
    eng_tokens t = { 0 };
    int rc = eng_tokenize(eng_cache_model(beside), text, n, false, &t, err);
    *out = rc == Q_OK && t.n ? memcpy(q_alloc(sizeof **out * (size_t)t.n), t.id, sizeof **out * (size_t)t.n) : NULL;
    rc = rc == Q_OK ? t.n : rc;
    eng_tokens_free(&t);
    return rc;
}

/* Which block each token stands in: its answer, or a piece of it. Returns how many. */
static int blocks_of(const lab_reply *r, int n, int all, int *block)
{
    int blocks = 0, at = 0;
    int piece = n >= FEW_ANSWERS ? all : all / PIECES > PIECE_LEAST ? all / PIECES : PIECE_LEAST;
    for (int i = 0; i < n; i++) {
        int parts = r[i].n / piece > 0 ? r[i].n / piece : 1;
        for (int k = 0; k < r[i].n; k++)
            block[at++] = blocks + (int)((int64_t)k * parts / r[i].n);
        blocks += parts;
    }
    return blocks;
}

lab_added lab_added_of(const double *without, const double *with, const double *own, const double *yardstick, const lab_reply *r, int n)
{
    lab_added o = { .answers = n, .by_answer = n >= FEW_ANSWERS };
    for (int i = 0; i < n; i++)
        o.n += r[i].n;
    double *v = q_alloc(sizeof *v * (size_t)(o.n + 1));
    int *block = q_alloc(sizeof *block * (size_t)(o.n + 1));
    o.blocks = blocks_of(r, n, o.n, block);
    for (int i = 0; i < o.n; i++) {
        v[i] = with[i] - without[i];
        o.logp[0] += without[i] / o.n;
        o.logp[1] += with[i] / o.n;
    }
    o.dlogp = judge_mean(v, block, o.n, o.blocks);
    for (int i = 0; i < o.n; i++)
        v[i] = yardstick[i] - own[i];
    lab_interval same = judge_mean(v, block, o.n, o.blocks);
    o.noise = fmax(fabs(same.low), fabs(same.high));
    o.enough = o.n >= TOKENS_LEAST && o.blocks >= BLOCKS_LEAST;
    o.verdict = !o.enough ? 0 : o.dlogp.low > o.noise ? 1 : o.dlogp.high < -o.noise ? -1 : 0;
    free(v);
    free(block);
    return o;
}
