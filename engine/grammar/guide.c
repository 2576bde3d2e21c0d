/* engine/grammar/guide: see guide.h. */
#include "engine/grammar/guide.h"

#include <stdlib.h>
#include <string.h>

struct guide {
    const eng_model *model;
    const lexicon *lexicon;
    eng_grammar *grammar;
    masks *masks;
    uint32_t at;
    uint64_t *with;                      /* a mask with the token that opens a thought */
};

guide *guide_new(const eng_model *m, const lexicon *l)
{
    guide *g = q_alloc(sizeof *g);
    g->model = m;
    g->lexicon = l;
    g->with = q_alloc(sizeof *g->with * (((size_t)l->n_vocab + 63) / 64 + 1));
    return g;
}

void guide_free(guide *g)
{
    if (!g)
        return;
    masks_free(g->masks);
    eng_grammar_free(g->grammar);
    free(g->with);
    free(g);
}

void guide_set(guide *g, eng_grammar *grammar)
{
    masks_free(g->masks);
    eng_grammar_free(g->grammar);
    g->grammar = grammar;
    g->masks = NULL;
    if (!grammar)
        return;
    g->masks = masks_new(g->lexicon, grammar_form(grammar));
    guide_begin(g);
}

void guide_begin(guide *g)
{
    if (g->masks)
        g->at = masks_begin(g->masks);
}

bool guide_on(const guide *g) { return g->masks != NULL; }

const uint64_t *guide_mask(guide *g, bool thought, bool *ended, bool *stuck)
{
    *ended = *stuck = false;
    if (!g->masks)
        return NULL;
    static const uint64_t nothing;
    size_t words = ((size_t)g->lexicon->n_vocab + 63) / 64;
    if (g->at == STACKS_DEAD) {
        *stuck = true;
        return &nothing;
    }
    const uint64_t *bits = masks_of(g->masks, &g->at);
    if (!bits)
        return NULL;
    int32_t think = g->lexicon->think;
    if (thought && think >= 0) {
        memcpy(g->with, bits, words * sizeof *bits);
        g->with[think / 64] |= 1ull << think % 64;
        bits = g->with;
    }
    for (size_t i = 0; i < words; i++)
        if (bits[i])
            return bits;
    *ended = masks_may_end(g->masks, g->at) && !masks_spent(g->masks);
    *stuck = !*ended;
    return bits;
}

void guide_take(guide *g, int32_t token)
{
    static const char open = (char)FORM_TOKEN, close = (char)FORM_TOKEN_END;
    if (!g->masks || eng_token_end(g->model, token))
        return;
    if (eng_token_control(g->model, token)) {
        const char *name = eng_token_name(g->model, token);
        g->at = masks_take(g->masks, g->at, &open, 1);
        g->at = masks_take(g->masks, g->at, name, strlen(name));
        g->at = masks_take(g->masks, g->at, &close, 1);
        return;
    }
    size_t n;
    const char *bytes = eng_token_bytes(g->model, token, &n);
    bool never = g->lexicon->never[token / 64] >> token % 64 & 1;
    for (size_t i = 0; i < n && never; i++) {              /* one that came where all may: its bytes are no mark of a control token */
        char c = (unsigned char)bytes[i] >= 0xF8 ? (char)0xF7 : bytes[i];
        g->at = masks_take(g->masks, g->at, &c, 1);
    }
    if (!never)
        g->at = masks_take(g->masks, g->at, bytes, n);
}

masks_count guide_counts(const guide *g) { return g->masks ? masks_counts(g->masks) : (masks_count){ 0 }; }
