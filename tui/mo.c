/* tui/mo: reading a catalogue, and its rule for plural forms. Any thread; nothing here waits. */
#include "tui/mo.h"

#include <stdlib.h>
#include <string.h>

enum { MO_MAX = 8 << 20, TEXTS_MAX = 100000, FORMS_MAX = 8, DEPTH_MAX = 32, TOKENS_MAX = 256 };

typedef struct text { const char *s; size_t len; } text;    /* len: with the zeros between plural forms */
struct tui_mo {
    char *p;
    text *id, *is;                  /* sorted by id */
    size_t n;
    char rule[TOKENS_MAX];          /* "n%10==1 ? 0 : …"; "": the Germanic one */
    unsigned forms;
};

static uint32_t number(const unsigned char *p, bool swap)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return swap ? v >> 24 | (v >> 8 & 0xFF00) | (v << 8 & 0xFF0000) | v << 24 : v;
}

/* A table of n (length, offset): each text lies inside the file and ends with a zero. */
static text *texts(const char *p, size_t size, uint64_t at, size_t n, bool swap)
{
    if (at > size || n > (size - at) / 8) return NULL;
    text *t = q_alloc(sizeof *t * (n + 1));
    for (size_t i = 0; i < n; i++) {
        uint64_t len = number((const unsigned char *)p + at + 8 * i, swap), off = number((const unsigned char *)p + at + 8 * i + 4, swap);
        if (off >= size || len >= size - off || p[off + len]) { free(t); return NULL; }
        t[i] = (text){ p + off, (size_t)len };
    }
    return t;
}

/* ---- plural forms: C's expression over n (gettext manual, 11.2.6) ---- */
typedef struct parse { const char *s; unsigned long n; int depth; bool bad; } parse;
static unsigned long choice(parse *p);

static void blanks(parse *p) { while (*p->s == ' ' || *p->s == '\t') p->s++; }

static bool word(parse *p, const char *w)
{
    size_t l = strlen(w);
    blanks(p);
    if (strncmp(p->s, w, l) != 0) return false;
    p->s += l;
    return true;
}

static unsigned long primary(parse *p)
{
    blanks(p);
    if (++p->depth > DEPTH_MAX) { p->bad = true; return 0; }
    unsigned long v = 0;
    if (*p->s == '!' && p->s[1] != '=') { p->s++; v = !primary(p); }
    else if (*p->s == '(') {
        p->s++;
        v = choice(p);
        if (!word(p, ")")) p->bad = true;
    } else if (*p->s == 'n') { p->s++; v = p->n; }
    else if (*p->s >= '0' && *p->s <= '9') v = strtoul(p->s, (char **)&p->s, 10);
    else p->bad = true;
    p->depth--;
    return v;
}

/* Operators by how strongly they bind, weakest first. Longer ones stand before their beginnings. */
enum op { OR, AND, EQ, NE, LE, GE, LT, GT, ADD, SUB, MUL, DIV, MOD, N_OP };
static const struct { const char *s; int level; } ops[N_OP] = { [OR] = { "||", 0 }, [AND] = { "&&", 1 }, [EQ] = { "==", 2 }, [NE] = { "!=", 2 },
    [LE] = { "<=", 3 }, [GE] = { ">=", 3 }, [LT] = { "<", 3 }, [GT] = { ">", 3 }, [ADD] = { "+", 4 }, [SUB] = { "-", 4 }, [MUL] = { "*", 5 },
    [DIV] = { "/", 5 }, [MOD] = { "%", 5 } };

static unsigned long apply(parse *p, enum op op, unsigned long a, unsigned long b)
{
    switch (op) {
    case OR: return a || b;
    case AND: return a && b;
    case EQ: return a == b;
    case NE: return a != b;
    case LE: return a <= b;
    case GE: return a >= b;
    case LT: return a < b;
    case GT: return a > b;
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case DIV: case MOD:
        if (!b) { p->bad = true; return 0; }
        return op == DIV ? a / b : a % b;
    default: return 0;
    }
}

static unsigned long binary(parse *p, int level)
{
    if (level > 5) return primary(p);
    unsigned long a = binary(p, level + 1);
    for (int i = 0; i < N_OP && !p->bad;) {
        if (ops[i].level == level && word(p, ops[i].s)) { a = apply(p, (enum op)i, a, binary(p, level + 1)); i = 0; }
        else i++;
    }
    return a;
}

static unsigned long choice(parse *p)
{
    unsigned long c = binary(p, 0);
    if (p->bad || !word(p, "?")) return c;
    unsigned long a = choice(p);
    if (!word(p, ":")) { p->bad = true; return 0; }
    unsigned long b = choice(p);
    return c ? a : b;
}

static bool form_of(const char *rule, unsigned long n, unsigned long *form)
{
    parse p = { .s = rule, .n = n };
    if (!*rule) { *form = n != 1; return true; }
    *form = choice(&p);
    blanks(&p);
    return !p.bad && !*p.s;
}

static bool read_rule(tui_mo *m)
{
    const char *head = tui_mo_find(m, ""), *at = head ? strstr(head, "Plural-Forms:") : NULL;
    m->forms = 2;
    if (!at) return true;
    const char *count = strstr(at, "nplurals="), *rule = strstr(at, "plural=");
    if (!count || !rule) return true;
    m->forms = (unsigned)strtoul(count + strlen("nplurals="), NULL, 10);
    rule += strlen("plural=");
    size_t n = strcspn(rule, ";\n");
    unsigned long f;
    if (m->forms < 1 || m->forms > FORMS_MAX || !n || n >= sizeof m->rule) return false;
    memcpy(m->rule, rule, n);
    m->rule[n] = 0;
    return form_of(m->rule, 1, &f);
}

/* ---- opening ---- */
tui_mo *tui_mo_read(const void *bytes, size_t size)
{
    const unsigned char *b = bytes;
    if (size < 28 || size > MO_MAX) return NULL;
    bool swap = number(b, false) == 0xde120495u;
    if (!swap && number(b, false) != 0x950412deu) return NULL;
    size_t n = number(b + 8, swap);
    if (number(b + 4, swap) >> 16 > 1 || n > TEXTS_MAX) return NULL;
    tui_mo *m = q_alloc(sizeof *m);
    m->p = memcpy(q_alloc(size + 1), bytes, size);
    m->n = n;
    m->id = texts(m->p, size, number(b + 12, swap), n, swap);
    m->is = m->id ? texts(m->p, size, number(b + 16, swap), n, swap) : NULL;
    bool good = m->is != NULL;
    for (size_t i = 1; good && i < n; i++) good = strcmp(m->id[i - 1].s, m->id[i].s) < 0;
    if (!good || !read_rule(m)) { tui_mo_free(m); return NULL; }
    return m;
}

tui_mo *tui_mo_open(const char *path)
{
    q_buf b = {0};
    char err[Q_ERRLEN];
    tui_mo *m = q_read_file(path, &b, MO_MAX, err) == 0 ? tui_mo_read(b.p ? b.p : "", b.len) : NULL;
    q_buf_free(&b);
    return m;
}

void tui_mo_free(tui_mo *m)
{
    if (!m) return;
    free(m->id);
    free(m->is);
    free(m->p);
    free(m);
}

/* ---- looking up ---- */
static const text *find(const tui_mo *m, const char *id)
{
    size_t lo = 0, hi = m->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(id, m->id[mid].s);
        if (c == 0) return m->is[mid].len ? &m->is[mid] : NULL;
        if (c < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

const char *tui_mo_find(const tui_mo *m, const char *id)
{
    const text *t = find(m, id);
    return t ? t->s : NULL;
}

const char *tui_mo_plural(const tui_mo *m, const char *id, unsigned long n)
{
    const text *t = find(m, id);
    unsigned long form;
    if (!t || !form_of(m->rule, n, &form) || form >= m->forms) return NULL;
    const char *s = t->s, *end = t->s + t->len;
    for (; form && s < end; form--) s += strlen(s) + 1;
    return s < end && *s ? s : NULL;
}
