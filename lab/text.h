/* lab/text: what two or more configurations are measured on: the tokens of a text, in contexts of so many, and in blocks that
 * the bootstrap draws; and what a person writes for a knob. Plain data; any thread. Private to lab. */
#ifndef QUORUM_LAB_TEXT_H
#define QUORUM_LAB_TEXT_H

#include "engine/text.h"
#include "lab/parts.h"

enum { TEXT_LEAST = 32, TEXT_WINDOW = 1024, TEXT_NARROWEST = 16 };
typedef struct lab_text {
    eng_tokens token;
    int *block;                          /* [token.n] which block each stands in */
    int blocks;
    bool by_paragraph;                   /* else blocks are pieces of equal length: there are too few paragraphs */
    int window;                          /* tokens that are evaluated as one context */
    int *begin; int n_begin;             /* contexts begin here, ascending, instead of every `window`; NULL */
    const uint8_t *mask;                 /* [token.n] 1: it is judged; NULL: all are; the caller's */
} lab_text;
int text_window(const eng_model *);      /* 1,024, or what the model knows, and no less than context.length takes */
/* window 0: 1,024, or what the model knows. Q_RANGE: fewer than TEXT_LEAST tokens. Zero-initialised; text_close in any case. */
int text_open(const eng_model *, const char *text, size_t n, int window, lab_text *, char *err);
void text_close(lab_text *);
int text_end(const lab_text *, int from);                /* of the context that begins there */

/* lab_compare over two models of one vocabulary: ids mean the same. Nothing is said of experts. */
int compare_models(eng_model *, const eng_config *a, eng_model *other, const eng_config *b, const char *text, size_t n, const lab_terms *,
                   lab_compared *out, char *err);
/* Which paragraph, by blank lines, each byte of the text stands in where it is first[i] or behind; returns how many, *first
 * malloc'ed. Pieces of equal length where they are fewer than a dozen. */
int text_blocks(const char *text, size_t n, size_t **first, bool *by_paragraph);

/* Tokens a second one after another: the median of what the last dozen took when they were evaluated again, which leaves the
 * session as it was. 0: it holds too few. */
double text_rate(eng_session *);
void columns_of_text(eng_model *, const lab_compared *, const char *a, const char *b, lab_columns *out);
/* JSON: {mean: x, "ci": [x, x]} under key; the text of a tree, which goes. */
struct cJSON;
struct cJSON *json_interval(struct cJSON *o, const char *key, const char *mean, const lab_interval *v);
char *json_text(struct cJSON *);
/* One NAME=VALUE and not several; *name and *value malloc'ed, the name a knob's whole one. */
int spec_one(const char *spec, char **name, char **value, char *err);
/* The row of a knob by its name, another name of it, or what stands behind its point ("k") where that is the only one; NULL. */
const q_knob *spec_knob(const char *name);

#endif
