/* memory/named.h: private to memory/. What a text names, found among its words as the tokenizer gives them. */
#ifndef QUORUM_MEMORY_NAMED_H
#define QUORUM_MEMORY_NAMED_H

#include "memory/memory.h"

enum { NAMED_TOKENS = 4096, NAMED_KEY = 120 };

enum { SHAPE_CAPITAL = 1 /* begins with a capital letter */, SHAPE_CAPS = 2 /* two letters or more, no small one */,
       SHAPE_DIGIT = 4 /* has one */, SHAPE_NUMBER = 8 /* nothing but digits */, SHAPE_WHOLE = 16 /* an identifier of several parts */,
       SHAPE_START = 32 /* a sentence begins with it */, SHAPE_USED = 64 /* part of what was found already */, SHAPE_LETTER = 128 /* a single one */ };
/* How a word joins the one before it. */
enum named_gap { GAP_NEAR, GAP_FAR, GAP_START };

struct named_token {
    size_t start, end;                  /* bytes in the text */
    int word, stem;                     /* in the arena */
    uint32_t hash;                      /* of the stem */
    uint8_t shape, gap;
};

struct named_text {
    const char *text; size_t n;
    struct named_token *v; int n_v, cap;
    q_buf arena;
    mem_entity_fn *fn; void *user;
    int told;                           /* mentions */
    bool stopped;
};

/* For each word of mem_words in turn. */
void named_word(struct named_text *, const mem_word *);
/* Behind the last: gaps, shapes; then everything that the text names, and it is empty again. */
enum named_field { NAMED_NAME, NAMED_HEADING, NAMED_TEXT };
void named_tell(struct named_text *, const char *text, size_t n, enum named_field, mem_entity_fn *, void *user);
/* All its words as one name; false: they make none. */
bool named_key(struct named_text *, const char *text, size_t n, char key[NAMED_KEY]);
void named_clear(struct named_text *);               /* what was gathered is forgotten */
void named_free(struct named_text *);

/* named_dates.c: each gives how many words from i on are a date, and its key; 0: none begins there. */
int named_date(const struct named_text *, int i, char key[NAMED_KEY]);

static inline const char *named_form(const struct named_text *x, int i) { return x->arena.p + x->v[i].word; }
static inline const char *named_stem(const struct named_text *x, int i) { return x->arena.p + x->v[i].stem; }

#endif
