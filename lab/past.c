/* lab/past: an answer's timeline evaluated again, in a cache of its own: what stood before the answer, then the answer's tokens,
 * each under the configuration that made its cell. Whoever asks about a position (whatif.c, replay.c) then finds it as it was
 * when it was made. The answer's routing comes out along the way and is held against its record, bit for bit: two timelines
 * that differ anywhere before a token hardly run it alike. The model's thread. */
#include "base/say.h"
#include "engine/engine.h"
#include "lab/parts.h"
#include "memory/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 128, ASIDE = 4, LEAST = 256 };     /* of a step, after which it may be stopped; forks of the answer that replay.c makes */

struct lab_past {
    eng_cache *cache;
    eng_session *s;
    int32_t *token;
    int n, first, from;                  /* tokens; of these so many stand before the answer; and before what its record is held against */
    int *by;                             /* [n] which of config made the cell */
    eng_config **config; int n_config;
    int off;
};

/* One configuration a text. */
static int config_of(lab_past *p, eng_model *m, const char *json, int *at, char *err)
{
    eng_config *c = eng_config_new(m);
    int rc = json ? eng_config_from_json(c, json, err) : Q_OK;
    for (int i = 0; i < p->n_config && rc == Q_OK; i++)
        if (eng_config_hash(p->config[i]) == eng_config_hash(c)) {
            *at = i;
            eng_config_free(c);
            return Q_OK;
        }
    if (rc != Q_OK) {
        eng_config_free(c);
        return rc;
    }
    p->config = q_realloc(p->config, sizeof(eng_config *) * (size_t)(p->n_config + 1));
    p->config[*at = p->n_config++] = c;
    return Q_OK;
}

/* Room for the text and, beside it, for a few more of the answer. */
static int open_cache(lab_past *p, eng_model *m, char *err)
{
    char words[24];
    eng_config *c = eng_config_copy(p->config[p->by[0]]);
    int size = p->n + 1 < LEAST ? LEAST : p->n + 1, page = 64;
    int need = p->n / page + 3 + ASIDE * ((p->n - p->first) / page + 3), each = size / page + 2;
    snprintf(words, sizeof words, "%d", size);
    int rc = eng_config_set(c, "context.length", words, err);
    if (rc == Q_OK)
        rc = eng_cache_new(m, c, (need + each - 1) / each, &p->cache, err);
    if (rc == Q_OK)
        rc = eng_cache_session(p->cache, c, &p->s, err);
    eng_config_free(c);
    return rc;
}

int lab_past_new(struct eng_cache *beside, const lab_past_of *of, lab_past **out, char *err)
{
    eng_model *m = eng_cache_model(beside);
    lab_past *p = q_alloc(sizeof *p);
    int rc = Q_OK, n = 0, vocab = eng_model_info(m)->n_vocab;
    *out = NULL;
    *p = (lab_past){ .n = of->n, .first = of->first, .from = of->first + of->from, .off = -1 };
    p->token = q_alloc(sizeof *p->token * (size_t)(of->n + 1));
    p->by = q_alloc(sizeof *p->by * (size_t)(of->n + 1));
    memcpy(p->token, of->token, sizeof *p->token * (size_t)of->n);
    for (int i = 0; i < of->n && rc == Q_OK; i++)
        if (of->token[i] < 0 || of->token[i] >= vocab)
            rc = q_fail(err, Q_RANGE, _("the recorded routing is of another model"));
    for (int r = 0; r < of->n_run && rc == Q_OK; r++) {
        int at = 0;
        rc = config_of(p, m, of->run[r].config, &at, err);
        for (int i = 0; i < of->run[r].n && n < of->n && rc == Q_OK; i++)
            p->by[n++] = at;
    }
    if (rc == Q_OK && (n < of->n || of->n < 1))
        rc = q_fail(err, Q_RANGE, _("the recorded routing is of another model"));
    if (rc == Q_OK)
        rc = open_cache(p, m, err);
    if (rc == Q_OK)
        *out = p;
    else
        lab_past_free(p);
    return rc;
}

void lab_past_free(lab_past *p)
{
    if (!p)
        return;
    eng_session_free(p->s);
    eng_cache_free(p->cache);
    for (int i = 0; i < p->n_config; i++)
        eng_config_free(p->config[i]);
    free(p->config);
    free(p->token);
    free(p->by);
    free(p);
}

/* To the bit: -0 and 0 are two numbers. */
static bool same(float x, float y)
{
    uint32_t a, b;
    memcpy(&a, &x, sizeof a);
    memcpy(&b, &y, sizeof b);
    return a == b;
}

/* Ran token i of the record as row `row` of the step? */
static bool alike(const mem_trace *t, int i, const eng_out *o, int row)
{
    for (int l = 0; l < t->n_layer; l++) {
        const size_t was = ((size_t)i * (size_t)t->n_layer + (size_t)l) * (size_t)t->max_k, now = ((size_t)l * (size_t)o->n + (size_t)row) * (size_t)o->max_k;
        for (int s = 0; s < t->max_k || s < o->max_k; s++) {
            uint16_t x = s < t->max_k ? t->ids[was + (size_t)s] : LAB_NONE, y = s < o->max_k ? o->ids[now + (size_t)s] : LAB_NONE;
            if (x != y || (x != LAB_NONE && !same(t->weights[was + (size_t)s], o->weights[now + (size_t)s])))
                return false;
            if (x == LAB_NONE)
                break;
        }
        /* one expert alone has all the weight: what the router said of the others tells more */
        const size_t row_was = (size_t)i * (size_t)t->n_layer + (size_t)l, row_now = (size_t)l * (size_t)o->n + (size_t)row;
        if (t->max_k && t->ids[was] != LAB_NONE && !same(t->entropy[row_was], o->entropy[row_now]))
            return false;
    }
    return true;
}

int lab_was_turned(char *err)
{
    return q_fail(err, Q_RANGE, _("rope.* or kv.type was turned inside this answer, and what made its context then was not written down: "
                                    "it cannot be had again as it was made. /again answers anew, then this can be asked"));
}

int lab_past_read(lab_past *p, const struct mem_trace *t, const lab_terms *terms, char *err)
{
    int from = eng_session_length(p->s), at = from, rc = Q_OK;
    if (t->n < p->n - p->first || t->n_layer != eng_model_info(eng_cache_model(p->cache))->n_layer)
        return q_fail(err, Q_RANGE, _("the recorded routing is of another model"));
    while (at < p->n && rc == Q_OK) {
        eng_row row[ROWS];
        eng_out o;
        int n = 0;
        uint64_t hash = eng_config_hash(p->config[p->by[at]]);
        if (terms && terms->go_on && !terms->go_on(terms->user, at - from, p->n - from))
            return q_fail(err, Q_CANCEL, _("stopped after %d of %d tokens; asked again, it goes on from there"), at - from, p->n - from);
        for (; n < ROWS && at + n < p->n && p->by[at + n] == p->by[at]; n++)
            row[n] = (eng_row){ .session = p->s, .token = p->token[at + n], .config = p->config[p->by[at]] };
        rc = eng_cache_step(p->cache, row, n, true, &o, err);
        if (rc == Q_RANGE && at && eng_config_diff(p->config[p->by[at - 1]], p->config[p->by[at]]) >= Q_EFFECT_POSITION)
            return lab_was_turned(err);
        for (int i = 0; i < n && rc == Q_OK && p->off < 0; i++)
            if (at + i >= p->from && t->config[at + i - p->first] == hash && !alike(t, at + i - p->first, &o, i))
                p->off = at + i - p->first;
        at += n;
    }
    return rc;
}

struct eng_session *lab_past_session(lab_past *p) { return p->s; }
int lab_past_left(const lab_past *p) { return p->n - eng_session_length(p->s); }
int lab_past_off(const lab_past *p) { return p->off; }
