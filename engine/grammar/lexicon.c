/* engine/grammar/lexicon: see lexicon.h. The tokens sorted by their bytes are the tree's order already. */
#include "engine/grammar/lexicon.h"
#include "engine/grammar/form.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 4000 };                 /* bytes of a token that is looked at; longer ones are never chosen */
typedef struct key { const char *p; uint32_t n; int32_t id; } key;

static int by_bytes(const void *x, const void *y)
{
    const key *a = x, *b = y;
    int d = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);
    return d ? d : a->n != b->n ? (a->n < b->n ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

static bool odd(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] >= 0xF8)
            return true;
    return false;
}

/* The keys of all tokens that have one; names of control tokens are put into `marked`, which must not move. */
static size_t keys(const eng_model *m, lexicon *l, key *k, q_buf *marked)
{
    size_t n_key = 0, room = 0, n;
    for (int32_t id = 0; id < l->n_vocab; id++)
        room += eng_token_control(m, id) ? strlen(eng_token_name(m, id)) + 2 : 0;
    q_buf_add(marked, "", 0);
    marked->p = q_realloc(marked->p, room + 1);
    marked->cap = room + 1;
    for (int32_t id = 0; id < l->n_vocab; id++) {
        const char *bytes = eng_token_bytes(m, id, &n);
        if (eng_token_end(m, id)) {
            l->end[l->n_end++] = id;
            continue;
        }
        if (eng_token_thinks(m, id) && strcmp(eng_token_name(m, id), eng_think_open) == 0)
            l->think = id;
        if (eng_token_control(m, id)) {
            const char *name = eng_token_name(m, id);
            bytes = marked->p + marked->len;
            marked->p[marked->len++] = (char)FORM_TOKEN;
            memcpy(marked->p + marked->len, name, strlen(name));
            marked->len += strlen(name);
            marked->p[marked->len++] = (char)FORM_TOKEN_END;
            n = strlen(name) + 2;
            if (odd(name, n - 2))
                continue;
        } else if (odd(bytes, n))
            continue;
        if (n > 0 && n <= LONGEST)
            k[n_key++] = (key){ bytes, (uint32_t)n, id };
    }
    return n_key;
}

/* Nodes for the bytes of k behind the first `from`, which stand there already. open: the nodes that are not closed yet. */
static void append(lexicon_tree *t, uint32_t *cap, uint32_t *open, const key *k, uint32_t from)
{
    for (uint32_t d = from; d < k->n; d++) {
        if (t->n == *cap) {
            *cap *= 2;
            t->node = q_realloc(t->node, sizeof *t->node * *cap);
        }
        open[d] = t->n;
        t->node[t->n++] = (lexicon_node){ 0, -1, (uint16_t)(d + 1), (uint8_t)k->p[d] };
    }
}

static bool of_tree(const key *k, int which) { return (k->n > FORM_ALIKE) == (which == LEXICON_LONG); }

/* The tree of those keys, which are in order. */
static void grow(lexicon *l, int which, const key *k, size_t n)
{
    lexicon_tree *t = &l->tree[which];
    uint32_t cap = 1024, depth = 0, *open = q_alloc(sizeof *open * (LONGEST + 1));
    const key *last = NULL;
    t->node = q_alloc(sizeof *t->node * cap);
    for (size_t i = 0; i < n; i++) {
        uint32_t same = 0;
        if (!of_tree(&k[i], which))
            continue;
        while (last && same < k[i].n && same < last->n && k[i].p[same] == last->p[same])
            same++;
        for (; depth > same; depth--)
            t->node[open[depth - 1]].behind = t->n;
        append(t, &cap, open, &k[i], same);
        depth = k[i].n;
        lexicon_node *end = &t->node[open[depth - 1]];
        l->same[k[i].id] = end->id;
        end->id = k[i].id;
        if ((int)depth > l->deepest)
            l->deepest = (int)depth;
        last = &k[i];
    }
    for (; depth > 0; depth--)
        t->node[open[depth - 1]].behind = t->n;
    free(open);
}

lexicon *lexicon_new(const eng_model *m)
{
    lexicon *l = q_alloc(sizeof *l);
    q_buf marked = { 0 };
    l->n_vocab = eng_model_info(m)->n_vocab;
    l->think = -1;
    l->end = q_alloc(sizeof *l->end * ((size_t)l->n_vocab + 1));
    l->same = q_alloc(sizeof *l->same * ((size_t)l->n_vocab + 1));
    key *k = q_alloc(sizeof *k * ((size_t)l->n_vocab + 1));
    size_t n = keys(m, l, k, &marked);
    if (n)
        qsort(k, n, sizeof *k, by_bytes);
    for (int which = 0; which < LEXICON_TREES; which++)
        grow(l, which, k, n);
    l->never = q_alloc(sizeof *l->never * (((size_t)l->n_vocab + 63) / 64 + 1));
    for (int32_t id = 0; id < l->n_vocab; id++)
        l->never[id / 64] |= 1ull << id % 64;
    for (size_t i = 0; i < n; i++)
        l->never[k[i].id / 64] &= ~(1ull << k[i].id % 64);
    for (int i = 0; i < l->n_end; i++)
        l->never[l->end[i] / 64] &= ~(1ull << l->end[i] % 64);
    free(k);
    q_buf_free(&marked);
    return l;
}

void lexicon_free(lexicon *l)
{
    if (!l)
        return;
    for (int i = 0; i < LEXICON_TREES; i++)
        free(l->tree[i].node);
    free(l->same);
    free(l->end);
    free(l->never);
    free(l);
}
