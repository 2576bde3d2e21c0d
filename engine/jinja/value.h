/* engine/jinja/value: what a template computes with: Python's values as far as templates have them, in memory that goes as a
 * whole. Values are immutable once made, but for a list or dict that its maker still fills and for namespaces. Every byte
 * of a string carries whose it is: the template's own, or somebody's (a message, a tool's words), through every operation.
 * Failure leaves by longjmp to jx.out: nothing here returns an error, nothing outside the arena is held meanwhile.
 * One thread a jx. Private to engine/jinja. */
#ifndef QUORUM_JINJA_VALUE_H
#define QUORUM_JINJA_VALUE_H

#include "base/base.h"

#include <setjmp.h>

/* ---- memory, bounds, failure ---- */
typedef struct jx_block { struct jx_block *next; size_t used, size; char bytes[]; } jx_block;
typedef struct jx {
    jx_block *memory;
    size_t held, most;                 /* bytes of the arena, and how many there may be */
    uint64_t steps, most_steps;
    int depth;                         /* of values in values and of what is evaluated */
    int line, col;                     /* where in the template we are; 0: nowhere */
    int64_t now;                       /* for strftime_now, Unix time in ms */
    char *err;                         /* of Q_ERRLEN */
    int code;
    jmp_buf out;
} jx;
enum { JX_DEPTH = 500 };
void *jx_alloc(jx *, size_t n);        /* zeroed */
void jx_free(jx *);                    /* all that was allocated */
void jx_step(jx *, size_t n);          /* n units of work */
void jx_deeper(jx *);                  /* and jx->depth-- on the way back */
void jx_fail(jx *, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));        /* with line and column */

/* ---- values ---- */
enum jv_kind { JV_UNDEF, JV_NONE, JV_BOOL, JV_INT, JV_FLOAT, JV_STR, JV_LIST, JV_TUPLE, JV_DICT, JV_VIEW, JV_SPACE, JV_METHOD, JV_FUNC, JV_MACRO, JV_LOOP };
enum jv_view { JV_ITER, JV_KEYS, JV_VALUES, JV_ITEMS, JV_RANGE };      /* JV_VIEW's sub */
typedef struct jstr { const char *p, *mark; size_t n; } jstr;           /* mark: n bytes, 1 where it is somebody's; NULL: all the template's */
typedef struct jv {
    uint8_t kind, sub;                 /* JV_STR: sub 1 is marked safe (jinja's Markup) */
    union { bool b; int64_t i; double f; const jstr *s; struct jlist *l; struct jdict *d; struct jmethod *m; const void *any; } u;
} jv;                                  /* JV_UNDEF: u.any is what was looked for, or NULL */
void jx_text(jx *, jv);                /* the steps of going through it once, where it is a text */
typedef struct jlist { jv *v; int n, cap; bool spent; } jlist;          /* spent: a generator that was read */
typedef struct jdict { jv *key, *val; int n, cap; uint32_t *hash; } jdict;      /* in the order of putting in */
typedef struct jmethod { jv self; const struct jmethod_row *row; } jmethod;

static inline jv jv_none(void) { return (jv){ .kind = JV_NONE }; }
static inline jv jv_bool(bool b) { return (jv){ .kind = JV_BOOL, .u.b = b }; }
static inline jv jv_int(int64_t i) { return (jv){ .kind = JV_INT, .u.i = i }; }
static inline jv jv_float(double f) { return (jv){ .kind = JV_FLOAT, .u.f = f }; }
static inline jv jv_undef(const char *what) { return (jv){ .kind = JV_UNDEF, .u.any = what }; }
jv jv_text(jx *, const char *p, size_t n, const char *mark);   /* copied */
jv jv_words(jx *, const char *s);      /* the template's; not copied */
jv jv_part(jx *, const jstr *s, size_t from, size_t to);       /* bytes, not copied */
jv jv_list(jx *, uint8_t kind, int cap);       /* JV_LIST or JV_TUPLE */
jv jv_view(jx *, uint8_t view, int cap);
jv jv_dict(jx *, uint8_t kind);        /* JV_DICT or JV_SPACE */
void jv_push(jx *, jv list, jv v);
void jv_put(jx *, jv dict, jv key, jv val);
bool jv_find(jx *, jv dict, jv key, jv *out);
bool jv_find_name(jx *, jv dict, const char *key, jv *out);
bool jv_is(jv v, const char *word);    /* a string of these bytes */

bool jv_true(jx *, jv);
bool jv_equal(jx *, jv, jv);
int jv_order(jx *, jv, jv);            /* -1, 0, 1; fails where Python has no order */
bool jv_number(jv v, double *out);     /* bools too */
const char *jv_type(jv);               /* Python's name of it */
/* All that it yields, as a list or tuple: of a string its characters, of a dict its keys; fails for what is none. */
jlist *jv_each(jx *, jv);
bool jv_iterable(jv);
size_t jv_len(jx *, jv);
size_t js_count(const jstr *s);        /* characters */
size_t js_at(const jstr *s, size_t characters);        /* the byte where so many are passed; n when there are fewer */

/* ---- strings being made ---- */
typedef struct jb { jx *x; char *p, *mark; size_t n, cap; } jb;
void jb_add(jb *, const char *p, size_t n, const char *mark);
void jb_str(jb *, const jstr *);
void jb_words(jb *, const char *);
void jb_char(jb *, char c, char mark);
void jb_cp(jb *, uint32_t cp, char mark);
jv jb_take(jb *);
static inline char js_mark(const jstr *s, size_t i) { return s->mark ? s->mark[i] : 0; }

#endif
