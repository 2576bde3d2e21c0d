/* engine/convert/merges: the scores of pieces out of a list of merges, for folders whose tokenizer.model is not there. transformers makes such a
 * list of a vocabulary by taking each piece, the best first, and every way to cut it into two (convert_slow_tokenizer.py, generate_merges); so
 * a piece's score is how many pieces' merges stand before its own. A list in which a piece's merges stand apart, or in which a
 * cut of it is missing, says something else than any scores can, and is refused. */
#include "engine/convert/words.h"

#include <stdlib.h>
#include <string.h>

typedef struct names { const words *o; int32_t *at; size_t mask; } names;             /* ids by their text; -1: free */
typedef struct pairs { uint64_t *at; size_t mask; } pairs;                            /* left << 32 | right, plus one; 0: free */

static size_t room(size_t n)
{
    size_t k = 16;
    while (k < 2 * n) k *= 2;
    return k;
}

static names names_of(const words *o)
{
    names s = { o, NULL, room((size_t)o->n) - 1 };
    s.at = q_alloc((s.mask + 1) * sizeof *s.at);
    memset(s.at, -1, (s.mask + 1) * sizeof *s.at);
    for (int i = 0; i < o->n; i++) {
        if (!o->token[i]) continue;
        size_t k = q_hash64(o->token[i], strlen(o->token[i]), 0) & s.mask;
        while (s.at[k] >= 0) k = (k + 1) & s.mask;
        s.at[k] = i;
    }
    return s;
}

static int find(const names *s, const char *text, size_t n)
{
    for (size_t k = q_hash64(text, n, 0) & s->mask; s->at[k] >= 0; k = (k + 1) & s->mask)
        if (strlen(s->o->token[s->at[k]]) == n && memcmp(s->o->token[s->at[k]], text, n) == 0) return s->at[k];
    return -1;
}

static size_t slot(const pairs *p, uint64_t key)
{
    size_t k = q_mix64(1, key) & p->mask;
    while (p->at[k] && p->at[k] != key) k = (k + 1) & p->mask;
    return k;
}

static uint64_t key_of(int left, int right) { return ((uint64_t)left << 32 | (uint64_t)right) + 1; }

/* "a b", or ["a", "b"]. */
static bool halves(const cJSON *v, const char **a, size_t *na, const char **b)
{
    const char *whole = cJSON_GetStringValue(v), *cut = whole ? strchr(whole, ' ') : NULL;
    *a = whole ? whole : cJSON_GetStringValue(cJSON_GetArrayItem(v, 0));
    *b = whole ? cut ? cut + 1 : NULL : cJSON_GetStringValue(cJSON_GetArrayItem(v, 1));
    if (!*a || !*b) return false;
    *na = whole ? (size_t)(cut - whole) : strlen(*a);
    return true;
}

static int apart(const words *o, const char *piece, char *err)
{
    return q_fail(err, Q_RANGE, _("%s/tokenizer.json joins pieces in an order that no scores can say (at \"%.40s\"): put the model's tokenizer.model into the folder"), o->folder, piece);
}

/* *ranks: how many pieces have merges; rank [n] of each, -1: none. */
static int rank_all(const words *o, const names *s, const cJSON *list, pairs *p, int32_t *rank, int *ranks, char *err)
{
    int last = -1, at = 0;
    q_buf both = { 0 };
    int rc = Q_OK;
    for (const cJSON *v = list->child; v && !rc; v = v->next, at++) {
        const char *a, *b;
        size_t na;
        int left = -1, right = -1, id = -1;
        if (halves(v, &a, &na, &b)) {
            both.len = 0;
            q_buf_add(&both, a, na);
            q_buf_puts(&both, b);
            left = find(s, a, na), right = find(s, b, strlen(b)), id = find(s, both.p, both.len);
        }
        if (left < 0 || right < 0 || id < 0) rc = q_fail(err, Q_FORMAT, _("%s/tokenizer.json: merge %d is no pair"), o->folder, at);
        else if (rank[id] < 0) rank[last = id] = (*ranks)++;
        else if (id != last) rc = apart(o, o->token[id], err);
        if (!rc) p->at[slot(p, key_of(left, right))] = key_of(left, right);
    }
    q_buf_free(&both);
    return rc;
}

/* Each cut of a piece that has two pieces as halves is a merge. */
static int complete(const words *o, const names *s, const pairs *p, char *err)
{
    for (int i = 0; i < o->n; i++) {
        const char *t = o->token[i];
        if (!t || o->type[i] != TYPE_NORMAL) continue;
        size_t n = strlen(t);
        for (size_t k = 1; k < n; k++) {
            if (((unsigned char)t[k] & 0xC0) == 0x80) continue;
            int left = find(s, t, k), right = left < 0 ? -1 : find(s, t + k, n - k);
            if (right < 0 || o->type[left] != TYPE_NORMAL || o->type[right] != TYPE_NORMAL) continue;
            if (!p->at[slot(p, key_of(left, right))]) return apart(o, t, err);
        }
    }
    return Q_OK;
}

int pieces_merges(words *o, char *err)
{
    const cJSON *list = words_get(words_get(o->json, "model"), "merges");
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1, ranks = 0;
    if (n < 0) return q_fail(err, Q_FORMAT, _("%s/tokenizer.json has no merges: put the model's tokenizer.model into the folder"), o->folder);
    names s = names_of(o);
    pairs p = { NULL, room((size_t)n) - 1 };
    p.at = q_alloc((p.mask + 1) * sizeof *p.at);
    int32_t *rank = q_alloc(sizeof *rank * (size_t)(o->n + 1));
    memset(rank, -1, sizeof *rank * (size_t)(o->n + 1));
    int rc = rank_all(o, &s, list, &p, rank, &ranks, err);
    if (!rc) rc = complete(o, &s, &p, err);
    for (int i = 0; i < o->n && !rc; i++)             /* what nothing is joined to goes last, by its id, as SentencePiece's trainer has it */
        if (o->token[i] && o->type[i] == TYPE_NORMAL) o->score[i] = -(float)(rank[i] >= 0 ? rank[i] : ranks++);
    free(rank);
    free(p.at);
    free(s.at);
    return rc;
}
