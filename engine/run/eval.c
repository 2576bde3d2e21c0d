/* engine/run/eval: all positions of one text, for eval and tests: steps of one timeline that want every row's logits. */
#include "engine/run/session.h"

#include <stdlib.h>
#include <string.h>

/* Logits of a piece, all rows of it wanted. */
static const size_t LOGIT_BYTES = (size_t)64 << 20;

/* One row's routing, [n_layer][max_k], out of the batch's [n_layer][n][max_k]. */
static void one_row(const eng_out *o, int n_layer, int r, uint16_t *ids, float *weights)
{
    for (int l = 0; l < n_layer && o->max_k > 0; l++) {
        size_t from = ((size_t)l * (size_t)o->n + (size_t)r) * (size_t)o->max_k, to = (size_t)l * (size_t)o->max_k;
        memcpy(ids + to, o->ids + from, sizeof(uint16_t) * (size_t)o->max_k);
        memcpy(weights + to, o->weights + from, sizeof(float) * (size_t)o->max_k);
    }
}

int eng_session_eval(eng_session *s, const int32_t *tokens, int n, int split, const uint16_t *forced, int max_k,
                     int (*row)(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k),
                     void *user, char *err)
{
    const ker_model *m = &s->cache->m->ker;
    size_t fit = LOGIT_BYTES / ((size_t)m->n_vocab * sizeof(float));
    int piece = fit < 1 ? 1 : fit < ENG_STEP_ROWS ? (int)fit : ENG_STEP_ROWS, rc;
    if (n > s->context)
        return q_fail(err, Q_RANGE, _("%d tokens do not fit into the context of %d: raise context.length"), n, s->context);
    if ((rc = step_check_tokens(s, tokens, n, err)) || (rc = eng_session_sync(s, NULL, 0, ENG_CONTINUE, NULL, NULL, err)))
        return rc;
    piece = split > 0 && split < piece ? split : piece;
    eng_row *rows = q_alloc(sizeof *rows * (size_t)piece);
    eng_out *o = q_alloc(sizeof *o);
    for (int at = 0; at < n && !rc; at += piece) {
        int count = n - at < piece ? n - at : piece;
        for (int r = 0; r < count; r++)
            rows[r] = (eng_row){ .session = s, .token = tokens[at + r], .want = ENG_WANT_LOGITS, .forced_k = max_k,
                                 .forced = forced ? forced + (size_t)(at + r) * (size_t)max_k : NULL, .forced_step = (size_t)n * (size_t)max_k };
        rc = eng_cache_step(s->cache, rows, count, true, o, err);
        for (int r = 0; r < count && !rc && row; r++) {
            one_row(o, m->n_layer, r, s->rec_ids, s->rec_f);
            rc = row(user, at + r, o->logits[r], s->rec_ids, s->rec_f, o->max_k);
        }
    }
    free(rows);
    free(o);
    return rc;
}
