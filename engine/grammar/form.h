/* engine/grammar/form: the one form that GBNF and JSON schemas become: rules, each an automaton whose steps are ranges of bytes
 * or calls of rules. Built state by state, then finished: checked, pruned, without empty steps, and constant from then on (any
 * thread). Building never fails: what is too large is remembered, form_finish says it. Private to engine. */
#ifndef QUORUM_FORM_H
#define QUORUM_FORM_H

#include "base/base.h"

/* Bounds of a form: states and steps while it is built, rules. */
enum { FORM_STATES = 1 << 20, FORM_EDGES = 1 << 21, FORM_RULES = 1 << 16 };
enum { FORM_NEVER = 1 << 30 };           /* a length that no text has */
/* A control token stands in a text as one of these bytes, its name, and the other: bytes that are in no UTF-8. */
enum { FORM_TOKEN = 0xFF, FORM_TOKEN_END = 0xFE };

typedef struct form form;

form *form_new(void);
void form_free(form *);

/* ---- building ---- */
/* name: for sentences, copied; line, column: where it stands, 0: nowhere that people wrote. */
int form_rule(form *, const char *name, int line, int column);
int form_named(const form *, const char *name);          /* -1: there is none */
const char *form_name(const form *, int rule);
bool form_defined(const form *, int rule);
uint32_t form_state(form *);
void form_skip(form *, uint32_t from, uint32_t to);      /* an empty step */
void form_bytes(form *, uint32_t from, int lo, int hi, uint32_t to);
void form_chars(form *, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to);      /* code points but surrogates, as UTF-8 */
void form_text(form *, uint32_t from, const char *p, size_t n, uint32_t to);
void form_token(form *, uint32_t from, const char *name, size_t n, uint32_t to);      /* the control token, or the same letters where it is text */
void form_call(form *, uint32_t from, int rule, uint32_t to);
/* A part of a frame, and the state behind it: letters as they stand; between < and > a token by its name, or its letters where it is text;
 * ~ at most one blank or line break; ! a "; # one to three digits. */
uint32_t form_frame(form *, uint32_t from, const char *part);
void form_define(form *, int rule, uint32_t start, uint32_t end);        /* texts of the rule lead from start to end */
bool form_full(const form *);            /* a bound is reached: loops that build should end */

/* Makes it constant. Q_FORMAT: a rule without definition, one that begins with itself; nothing can be written. Q_RANGE: a bound. */
int form_finish(form *, int root, char *err);

/* ---- finished ---- */
typedef struct form_edge { uint32_t to; int32_t rule; uint8_t lo, hi; } form_edge;       /* rule < 0: bytes lo to hi */
typedef struct form_place {              /* a state */
    uint32_t first, n;                   /* of its edges; those of bytes come first */
    uint32_t bytes;                      /* how many these are */
    uint32_t rest;                       /* bytes of the shortest way to the rule's end */
    bool final;
} form_place;
/* States from which the next FORM_ALIKE bytes are the same, whatever they are, have one of them in common: long counted repetitions have few. */
enum { FORM_ALIKE = 16 };
uint32_t form_like(const form *, uint32_t state);
uint32_t form_root(const form *);        /* the first state */
uint32_t form_start(const form *, int rule);
uint32_t form_states(const form *);
const form_place *form_at(const form *, uint32_t state);
const form_edge *form_edges(const form *, uint32_t state);

#endif
