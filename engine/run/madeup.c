/* engine/run/madeup: cells that nobody evaluated, for measuring what comes behind a long context without reading one. The thread of the cache; see
 * cache_make_up in cache.h and eng_session_make_up in engine.h. */
#include "engine/run/config.h"
#include "engine/run/session.h"

#include <stdlib.h>
#include <string.h>

/* Small numbers as halves and as floats, any as bytes: cells of every type can be made of them. */
static void make_numbers(uint8_t *to, size_t n)
{
    uint64_t s[4] = { 1, 2, 3, 4 };
    for (size_t i = 0; i < n; i++) {
        uint8_t any = (uint8_t)(q_random(s) >> 56);
        to[i] = i % 2 ? (uint8_t)(0x2C | (any & 0x83)) : any;
    }
}

int cache_make_up(eng_cache *k, kv_line *line, const int32_t *tokens, int n, uint64_t seed, uint64_t hash, char *err)
{
    if (kv_has_states(k->pool)) return q_fail(err, Q_RANGE, _("this model has recurrent layers, whose states cannot be made up: its contexts are read"));
    size_t page = (size_t)ker_cells_bytes(&k->m->ker, k->type, KER_PAGE);
    uint8_t *numbers = q_alloc(page);
    kv_cell *made = q_alloc(sizeof *made * (size_t)n);
    make_numbers(numbers, page);
    int rc = kv_extend(k->pool, line, n);
    for (int i = 0; i < n; i++) made[i] = (kv_cell){ tokens[i], hash, 0 };
    for (int at = 0; at < n && rc == Q_OK; at += KER_PAGE)
        rc = kv_line_load(k->pool, line, at / KER_PAGE, n - at < KER_PAGE ? n - at : KER_PAGE, numbers);
    if (rc == Q_OK) kv_commit(k->pool, line, made, n, seed);
    free(made);
    free(numbers);
    return rc == Q_OK ? Q_OK : cache_failed(k, rc, err);
}

int eng_session_make_up(eng_session *s, const int32_t *tokens, int n, char *err)
{
    if (s->n_tokens) return q_fail(err, Q_RANGE, _("cells are made up in an empty timeline"));
    if (n < 0 || n > s->context) return q_fail(err, Q_RANGE, _("%d tokens do not fit into the context of %d: raise context.length or shorten the text"), n, s->context);
    int rc = step_check_tokens(s, tokens, n, err);
    if (rc == Q_OK && n) rc = cache_make_up(s->cache, &s->line, tokens, n, s->seed, s->hash, err);
    if (rc == Q_OK && n) {
        memcpy(s->tokens, tokens, sizeof *tokens * (size_t)n);
        s->n_tokens = n;
    }
    return rc;
}
