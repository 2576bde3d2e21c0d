/* advice/redact: what names a person or opens a door leaves a text: names, addresses, numbers, secrets. By rules, in English and Russian; no model
 * is asked, so some is missed and some taken for what it is not: the report counts each kind and shows how the finds look. The same thing gets the
 * same word in its place everywhere ("[PERSON-1]"), whatever its ending. Private to advice/. One thread a redactor.
 *
 * Sources: Luhn's check (ISO/IEC 7812-1), IBAN's (ISO 13616: modulo 97), forms of keys as their makers document them (GitHub, GitLab, AWS, OpenAI,
 * Hugging Face, Slack, Stripe, Google; RFC 7519 for JWT). */
#ifndef QUORUM_ADVICE_REDACT_H
#define QUORUM_ADVICE_REDACT_H

#include "base/base.h"

enum redact_kind { RED_SECRET, RED_EMAIL, RED_PHONE, RED_CARD, RED_IBAN, RED_IP, RED_NUMBER /* of a document, an account */, RED_ADDRESS, RED_PERSON, RED_KINDS };
const char *redact_word(enum redact_kind);           /* "SECRET": as it stands in a text */
const char *redact_kind_words(enum redact_kind);     /* "secrets", translated */

typedef struct redactor redactor;
redactor *redact_new(const char *const *name, int n);        /* names that the person gives; owned by the caller, copied */
void redact_free(redactor *);
/* Names that are said whole somewhere are known when they stand alone elsewhere: every text comes by here first. */
void redact_learn(redactor *, const char *text, size_t n);
void redact_text(redactor *, const char *text, size_t n, q_buf *out);
enum { RED_SHOWN = 5 };
typedef struct redact_found { int64_t n; int different; char shown[RED_SHOWN][24]; int n_shown; } redact_found;      /* shown: with the middle hidden */
const redact_found *redact_of(const redactor *, enum redact_kind);
/* Names of several words that no rule took for a person's: look through them. Most frequent first; valid until the next text. */
typedef struct redact_doubt { char *name; int n; } redact_doubt;
int redact_doubts(redactor *, const redact_doubt **out);

/* ---- between the files of redact ---- */
typedef struct red_span { size_t from, to; enum redact_kind kind; int person; /* of RED_PERSON */ } red_span;
typedef struct red_spans { red_span *v; int n, cap; } red_spans;
static inline void red_spans_add(red_spans *s, red_span one)
{
    if (s->n == s->cap) s->v = (red_span *)q_realloc(s->v, sizeof *s->v * (size_t)(s->cap = s->cap ? s->cap * 2 : 16));
    s->v[s->n++] = one;
}
/* redact_marks.c: what its form shows. Spans do not overlap and come in order. */
void red_find_marks(const char *text, size_t n, red_spans *);
/* redact_names.c */
struct red_names;
struct red_names *red_names_new(const char *const *name, int n);
void red_names_free(struct red_names *);
void red_names_learn(struct red_names *, const char *text, size_t n);
/* Not where `taken` stands. */
void red_names_find(struct red_names *, const char *text, size_t n, const red_spans *taken, red_spans *);

#endif
