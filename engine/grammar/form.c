/* engine/grammar/form: see form.h. A step is a row of a list while the form is built; finishing follows empty steps once, keeps
 * what a text can lead through, and lays the steps of each state side by side. */
#include "engine/grammar/form.h"

#include <stdlib.h>
#include <string.h>

enum { SKIP = -2, BYTES = -1 };
typedef struct raw { uint32_t from, to; int32_t rule; uint8_t lo, hi; } raw;
typedef struct rule { char *name; int line, column; uint32_t start, end; bool defined, nullable; } rule;

struct form {
    rule *rule; int n_rule, cap_rule;
    int *named; uint32_t cap_named;      /* rules by the hash of their names, 1 more than each; a power of two, at most half full */
    raw *raw; size_t n_raw, cap_raw;
    uint32_t n_state;
    bool full;
    uint32_t tail[4];                    /* behind the last target of form_chars: 0, 1, 2, 3 more bytes of a character */
    bool has_tail;
    /* finished */
    int root;
    form_place *place;
    form_edge *edge;
    uint32_t *like;
};

form *form_new(void)
{
    return q_alloc(sizeof(form));
}

void form_free(form *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->n_rule; i++)
        free(f->rule[i].name);
    free(f->rule);
    free(f->named);
    free(f->raw);
    free(f->place);
    free(f->edge);
    free(f->like);
    free(f);
}

/* ---- building ---- */
/* Where a rule of this name stands among those that are named, or its free place. */
static uint32_t place_of(const form *f, const char *name)
{
    uint32_t at = (uint32_t)q_hash64(name, strlen(name), 0) & (f->cap_named - 1);
    while (f->named[at] && strcmp(f->rule[f->named[at] - 1].name, name) != 0)
        at = (at + 1) & (f->cap_named - 1);
    return at;
}

static void give_name(form *f, int r)
{
    if (2 * (uint32_t)r >= f->cap_named) {
        free(f->named);
        f->cap_named = f->cap_named ? f->cap_named * 2 : 64;
        f->named = q_alloc(sizeof *f->named * f->cap_named);
        for (int i = 0; i < r; i++)
            give_name(f, i);
    }
    uint32_t at = place_of(f, f->rule[r].name);
    if (!f->named[at])                   /* the first of a name has it */
        f->named[at] = r + 1;
}

int form_rule(form *f, const char *name, int line, int column)
{
    if (f->n_rule == FORM_RULES) {
        f->full = true;
        return 0;
    }
    if (f->n_rule == f->cap_rule) {
        f->cap_rule = f->cap_rule ? f->cap_rule * 2 : 32;
        f->rule = q_realloc(f->rule, sizeof *f->rule * (size_t)f->cap_rule);
    }
    f->rule[f->n_rule] = (rule){ .name = q_strdup(name), .line = line, .column = column };
    give_name(f, f->n_rule);
    return f->n_rule++;
}

int form_named(const form *f, const char *name) { return f->cap_named ? f->named[place_of(f, name)] - 1 : -1; }

const char *form_name(const form *f, int r) { return f->rule[r].name; }
bool form_defined(const form *f, int r) { return f->rule[r].defined; }
bool form_full(const form *f) { return f->full; }

uint32_t form_state(form *f)
{
    if (f->n_state == FORM_STATES) {
        f->full = true;
        return 0;
    }
    return f->n_state++;
}

static void add(form *f, raw r)
{
    if (f->n_raw == FORM_EDGES) {
        f->full = true;
        return;
    }
    if (f->n_raw == f->cap_raw) {
        f->cap_raw = f->cap_raw ? f->cap_raw * 2 : 256;
        f->raw = q_realloc(f->raw, sizeof *f->raw * f->cap_raw);
    }
    f->raw[f->n_raw++] = r;
}

void form_skip(form *f, uint32_t from, uint32_t to) { add(f, (raw){ from, to, SKIP, 0, 0 }); }
void form_call(form *f, uint32_t from, int r, uint32_t to) { add(f, (raw){ from, to, r, 0, 0 }); }

void form_bytes(form *f, uint32_t from, int lo, int hi, uint32_t to)
{
    if (lo <= hi)
        add(f, (raw){ from, to, BYTES, (uint8_t)lo, (uint8_t)hi });
}

void form_text(form *f, uint32_t from, const char *p, size_t n, uint32_t to)
{
    if (n == 0)
        form_skip(f, from, to);
    for (size_t i = 0; i < n; i++) {
        uint32_t next = i + 1 == n ? to : form_state(f);
        form_bytes(f, from, (unsigned char)p[i], (unsigned char)p[i], next);
        from = next;
    }
}

void form_token(form *f, uint32_t from, const char *name, size_t n, uint32_t to)
{
    uint32_t a = form_state(f), b = form_state(f);
    form_bytes(f, from, FORM_TOKEN, FORM_TOKEN, a);
    form_text(f, a, name, n, b);
    form_bytes(f, b, FORM_TOKEN_END, FORM_TOKEN_END, to);
    form_text(f, from, name, n, to);
}

uint32_t form_frame(form *f, uint32_t from, const char *p)
{
    while (*p) {
        uint32_t next = form_state(f);
        const char *end = *p == '<' ? strchr(p, '>') : NULL;
        if (end) {
            bool bare = p[1] == '[';     /* [ARGS] has no < and > of its own */
            form_token(f, from, p + bare, (size_t)(end - p) + 1 - 2 * (size_t)bare, next);
            p = end;
        } else if (*p == '~') {
            form_skip(f, from, next);
            form_bytes(f, from, ' ', ' ', next);
            form_bytes(f, from, '\n', '\n', next);
        } else if (*p == '#') {
            uint32_t two = form_state(f), three = form_state(f);
            form_bytes(f, from, '0', '9', two);
            form_bytes(f, two, '0', '9', three);
            form_bytes(f, three, '0', '9', next);
            form_skip(f, two, next);
            form_skip(f, three, next);
        } else
            form_bytes(f, from, *p == '!' ? '"' : *p, *p == '!' ? '"' : *p, next);
        from = next;
        p++;
    }
    return from;
}

/* The state from which any n more bytes of a character lead to tail[0]. */
static uint32_t behind(form *f, int n)
{
    uint32_t *at = &f->tail[n & 3];      /* n 0 to 3 */
    if (n > 0 && *at == UINT32_MAX) {
        uint32_t next = behind(f, n - 1);
        *at = form_state(f);
        form_bytes(f, *at, 0x80, 0xBF, next);
    }
    return *at;
}

/* Characters of n bytes each, lo to hi, byte by byte: those that differ in the first are split there. */
static void split(form *f, uint32_t from, const uint8_t *lo, const uint8_t *hi, int n)
{
    static const uint8_t least[3] = { 0x80, 0x80, 0x80 }, most[3] = { 0xBF, 0xBF, 0xBF };
    if (n == 1) {
        form_bytes(f, from, lo[0], hi[0], behind(f, 0));
        return;
    }
    bool low = memcmp(lo + 1, least, (size_t)n - 1) == 0, high = memcmp(hi + 1, most, (size_t)n - 1) == 0;
    if (low && high) {
        form_bytes(f, from, lo[0], hi[0], behind(f, n - 1));
        return;
    }
    if (lo[0] == hi[0]) {
        uint32_t next = form_state(f);
        form_bytes(f, from, lo[0], lo[0], next);
        split(f, next, lo + 1, hi + 1, n - 1);
        return;
    }
    uint8_t top[4] = { lo[0], 0xBF, 0xBF, 0xBF }, bottom[4] = { hi[0], 0x80, 0x80, 0x80 };
    if (!low)
        split(f, from, lo, top, n);
    if (!high)
        split(f, from, bottom, hi, n);
    if (lo[0] + !low <= hi[0] - !high)
        form_bytes(f, from, lo[0] + !low, hi[0] - !high, behind(f, n - 1));
}

void form_chars(form *f, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    static const uint32_t part[][2] = { { 0, 0x7F }, { 0x80, 0x7FF }, { 0x800, 0xD7FF }, { 0xE000, 0xFFFF }, { 0x10000, 0x10FFFF } };
    if (!f->has_tail || f->tail[0] != to) {
        f->has_tail = true;
        f->tail[0] = to;
        f->tail[1] = f->tail[2] = f->tail[3] = UINT32_MAX;
    }
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        uint32_t a = lo > part[i][0] ? lo : part[i][0], b = hi < part[i][1] ? hi : part[i][1];
        char x[4], y[4];
        if (a > b)
            continue;
        int n = q_utf8_put(x, a);
        q_utf8_put(y, b);
        split(f, from, (const uint8_t *)x, (const uint8_t *)y, n);
    }
}

void form_define(form *f, int r, uint32_t start, uint32_t end)
{
    f->rule[r].start = start;
    f->rule[r].end = end;
    f->rule[r].defined = true;
}

/* ---- finishing ---- */
static int told(const form *f, int r, char *err, const char *what)
{
    const rule *x = &f->rule[r];
    return x->line ? q_fail(err, Q_FORMAT, _("the grammar, line %d, column %d: rule \"%s\" %s"), x->line, x->column, x->name, what)
                   : q_fail(err, Q_FORMAT, _("the grammar: rule \"%s\" %s"), x->name, what);
}

/* Of two that go from one place and are of one kind. */
static int by_rest(const form_edge *x, const form_edge *y)
{
    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    if (x->lo != y->lo)
        return x->lo < y->lo ? -1 : 1;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static int by_from(const void *a, const void *b)
{
    const raw *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    int p = x->rule == SKIP ? 2 : x->rule != BYTES, q = y->rule == SKIP ? 2 : y->rule != BYTES;      /* bytes, calls, empty ones */
    if (p != q)
        return p - q;
    return by_rest(&(form_edge){ x->to, x->rule, x->lo, x->hi }, &(form_edge){ y->to, y->rule, y->lo, y->hi });
}

/* States that one may be in at a state without a byte being read, itself first; a stack that also marks what it holds. */
typedef struct reach { uint32_t *list; uint32_t n; uint32_t *stamp, round; uint64_t work; } reach;
enum { FORM_WORK = 1 << 26 };            /* states that are followed in all: long rows of what may be empty are followed from each of them */

static void follow(const form *f, const size_t *first, reach *r, uint32_t s)
{
    r->n = 0;
    r->round++;
    r->list[r->n++] = s;
    r->stamp[s] = r->round;
    for (uint32_t i = 0; i < r->n; i++)
        for (size_t e = first[r->list[i]]; e < first[r->list[i] + 1]; e++)
            if (f->raw[e].rule == SKIP && r->stamp[f->raw[e].to] != r->round) {
                r->stamp[f->raw[e].to] = r->round;
                r->list[r->n++] = f->raw[e].to;
            }
    r->work += r->n;
}

typedef struct steps { form_edge *e; size_t n, cap; } steps;

static int by_step(const void *a, const void *b)
{
    const form_edge *x = a, *y = b;
    bool p = x->rule >= 0, q = y->rule >= 0;
    if (p != q)
        return p - q;
    return by_rest(x, y);
}

/* Steps of all states that r holds, each once, behind those that are there. False: too many. */
static bool gather(const form *f, const size_t *first, const reach *r, steps *out)
{
    size_t from = out->n, kept = from;
    for (uint32_t i = 0; i < r->n; i++)
        for (size_t e = first[r->list[i]]; e < first[r->list[i] + 1] && f->raw[e].rule != SKIP; e++) {
            if (out->n == out->cap) {
                if (out->cap >= (size_t)FORM_EDGES * 2)
                    return false;
                out->cap = out->cap ? out->cap * 2 : 256;
                out->e = q_realloc(out->e, sizeof *out->e * out->cap);
            }
            out->e[out->n++] = (form_edge){ f->raw[e].to, f->raw[e].rule, f->raw[e].lo, f->raw[e].hi };
        }
    if (out->n > from)
        qsort(out->e + from, out->n - from, sizeof *out->e, by_step);
    for (size_t i = from; i < out->n; i++)
        if (i == from || by_step(&out->e[i], &out->e[kept - 1]) != 0)
            out->e[kept++] = out->e[i];
    out->n = kept;
    return true;
}

/* Numbers the states that rules begin with or a step leads to, in their order, and lays out their steps. */
static bool lay_out(form *f)
{
    uint32_t n = f->n_state, kept = 0;
    size_t *first = q_alloc(sizeof *first * ((size_t)n + 2));
    uint32_t *number = q_alloc(sizeof *number * (n + 1)), *owner = q_alloc(sizeof *owner * (n + 1));
    reach r = { q_alloc(sizeof(uint32_t) * (n + 1)), 0, q_alloc(sizeof(uint32_t) * (n + 1)), 0, 0 };
    steps out = { 0 };
    bool ok = true;
    if (f->n_raw)
        qsort(f->raw, f->n_raw, sizeof *f->raw, by_from);
    for (size_t i = 0; i < f->n_raw; i++) {
        first[f->raw[i].from + 1]++;
        if (f->raw[i].rule != SKIP)
            number[f->raw[i].to] = 1;
    }
    for (uint32_t s = 0; s < n; s++)
        first[s + 1] += first[s];
    for (int i = 0; i < f->n_rule; i++) {
        number[f->rule[i].start] = 1;
        owner[f->rule[i].end] = 1;
    }
    for (uint32_t s = 0; s < n; s++)
        number[s] = number[s] ? ++kept : 0;                /* 1 more than its number */
    f->place = q_alloc(sizeof *f->place * (kept + 1));
    for (uint32_t s = 0; s < n && ok; s++) {
        if (!number[s])
            continue;
        form_place *p = &f->place[number[s] - 1];
        follow(f, first, &r, s);
        p->first = (uint32_t)out.n;
        ok = r.work <= FORM_WORK && gather(f, first, &r, &out);
        p->n = (uint32_t)(out.n - p->first);
        while (p->bytes < p->n && out.e[p->first + p->bytes].rule < 0)
            p->bytes++;
        for (uint32_t i = 0; i < r.n; i++)
            p->final |= owner[r.list[i]] != 0;
    }
    for (size_t i = 0; i < out.n; i++)
        out.e[i].to = number[out.e[i].to] - 1;
    for (int i = 0; i < f->n_rule; i++)
        f->rule[i].start = number[f->rule[i].start] - 1;
    f->edge = out.e ? out.e : q_alloc(sizeof *f->edge);
    f->n_state = kept;
    free(f->raw);
    f->raw = NULL;
    free(first);
    free(number);
    free(owner);
    free(r.list);
    free(r.stamp);
    return ok;
}

/* ---- the shortest ways to the ends of rules ---- */
/* Dijkstra's, as Knuth carried it over to grammars (A generalization of Dijkstra's algorithm, 1977): what is settled gets no shorter, and a
 * call is looked at when both the rule's beginning and the place behind it are settled. */
typedef struct way { uint32_t rest, state; } way;
typedef struct ways {
    form *f;
    uint32_t *from;                      /* [edges] the state of each */
    uint32_t *into, *edge_into;          /* edges by where they lead: [states + 1] and [edges] */
    uint32_t *call, *edge_call;          /* calls by where their rules begin, likewise */
    bool *settled;
    way *heap; size_t n, cap;
} ways;

static void put_way(ways *w, uint32_t rest, uint32_t state)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 256;
        w->heap = q_realloc(w->heap, sizeof *w->heap * w->cap);
    }
    size_t i = w->n++;
    for (; i && w->heap[(i - 1) / 2].rest > rest; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = (way){ rest, state };
}

static way take_way(ways *w)
{
    way top = w->heap[0], last = w->heap[--w->n];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < w->n; i = k) {
        k += k + 1 < w->n && w->heap[k + 1].rest < w->heap[k].rest;
        if (w->heap[k].rest >= last.rest)
            break;
        w->heap[i] = w->heap[k];
    }
    w->heap[i] = last;
    return top;
}

/* Edges sorted by a state of each (key; FORM_STATES: it has none): where those of a state begin, and the edges. */
static void sort_edges(const form *f, size_t edges, uint32_t (*key)(const form *, const form_edge *), uint32_t **first, uint32_t **list)
{
    uint32_t n = f->n_state, *at = q_alloc(sizeof *at * ((size_t)n + 2)), *out = q_alloc(sizeof *out * (edges + 1));
    for (size_t e = 0; e < edges; e++) {
        uint32_t s = key(f, &f->edge[e]);
        if (s != FORM_STATES)
            at[s + 2]++;
    }
    for (uint32_t s = 0; s < n; s++)
        at[s + 1] += at[s];              /* at[s + 1]: where the next edge of s goes; in the end where s + 1 begins */
    for (size_t e = 0; e < edges; e++) {
        uint32_t s = key(f, &f->edge[e]);
        if (s != FORM_STATES)
            out[at[s + 1]++] = (uint32_t)e;
    }
    *first = at;
    *list = out;
}

static uint32_t leads_to(const form *f, const form_edge *e)
{
    (void)f;
    return e->to;
}
static uint32_t calls_at(const form *f, const form_edge *e) { return e->rule < 0 ? FORM_STATES : f->rule[e->rule].start; }

static void look_at(ways *w, uint32_t edge)
{
    const form_edge *e = &w->f->edge[edge];
    form_place *place = w->f->place, *p = &place[w->from[edge]];
    if (!w->settled[e->to] || (e->rule >= 0 && !w->settled[w->f->rule[e->rule].start]))
        return;
    uint32_t rest = (e->rule < 0 ? 1 : place[w->f->rule[e->rule].start].rest) + place[e->to].rest;
    if (rest < p->rest) {
        p->rest = rest;
        put_way(w, rest, w->from[edge]);
    }
}

static void measure(form *f)
{
    size_t edges = 0;
    for (uint32_t s = 0; s < f->n_state; s++)
        edges += f->place[s].n;
    ways w = { .f = f, .from = q_alloc(sizeof *w.from * (edges + 1)), .settled = q_alloc(sizeof *w.settled * ((size_t)f->n_state + 1)) };
    for (uint32_t s = 0; s < f->n_state; s++) {
        form_place *p = &f->place[s];
        for (uint32_t i = 0; i < p->n; i++)
            w.from[p->first + i] = s;
        p->rest = p->final ? 0 : FORM_NEVER;
        if (p->final)
            put_way(&w, 0, s);
    }
    sort_edges(f, edges, leads_to, &w.into, &w.edge_into);
    sort_edges(f, edges, calls_at, &w.call, &w.edge_call);
    while (w.n) {
        uint32_t s = take_way(&w).state;
        if (w.settled[s])
            continue;
        w.settled[s] = true;
        for (uint32_t i = w.into[s]; i < w.into[s + 1]; i++)
            look_at(&w, w.edge_into[i]);
        for (uint32_t i = w.call[s]; i < w.call[s + 1]; i++)
            look_at(&w, w.edge_call[i]);
    }
    for (int r = 0; r < f->n_rule; r++)
        f->rule[r].nullable = f->place[f->rule[r].start].rest == 0;
    free(w.from);
    free(w.into);
    free(w.edge_into);
    free(w.call);
    free(w.edge_call);
    free(w.settled);
    free(w.heap);
}

/* Takes off the steps from which no text ends. */
static void prune(form *f)
{
    for (uint32_t s = 0; s < f->n_state; s++) {
        form_place *p = &f->place[s];
        uint32_t kept = 0, bytes = 0;
        for (uint32_t i = 0; i < p->n; i++) {
            form_edge e = f->edge[p->first + i];
            if (f->place[e.to].rest >= FORM_NEVER || (e.rule >= 0 && f->place[f->rule[e.rule].start].rest >= FORM_NEVER))
                continue;
            bytes += e.rule < 0;
            f->edge[p->first + kept++] = e;
        }
        p->n = kept;
        p->bytes = bytes;
    }
}

/* A rule that comes back to itself before a byte is read, or -1. A walk in depth with a stack of its own: grammars are deep. */
typedef struct walk { uint32_t state, edge; int rule; } walk;

static int left_recursive(const form *f)
{
    enum { NEW, OPEN, DONE };
    uint8_t *state = q_alloc(f->n_state + 1), *rule_is = q_alloc((size_t)f->n_rule + 1);
    walk *w = q_alloc(sizeof *w * (f->n_state + (size_t)f->n_rule + 2));
    int bad = -1;
    for (int r = 0; r < f->n_rule && bad < 0; r++) {
        if (rule_is[r] != NEW)
            continue;
        size_t n = 0;
        rule_is[r] = OPEN;
        w[n++] = (walk){ f->rule[r].start, 0, r };
        state[f->rule[r].start] = OPEN;
        while (n && bad < 0) {
            walk *top = &w[n - 1];
            const form_place *p = &f->place[top->state];
            if (top->edge == 2 * p->n) {                   /* each call twice: into it, and past it where it may be empty */
                if (top->rule >= 0)
                    rule_is[top->rule] = DONE;
                n--;
                continue;
            }
            const form_edge *e = &f->edge[p->first + top->edge / 2];
            bool into = top->edge++ % 2 == 0;
            if (e->rule < 0)
                continue;
            uint32_t to = into ? f->rule[e->rule].start : e->to;
            if (into && rule_is[e->rule] == OPEN)
                bad = e->rule;
            else if (into && rule_is[e->rule] == NEW) {
                rule_is[e->rule] = OPEN;
                state[to] = OPEN;
                w[n++] = (walk){ to, 0, e->rule };
            } else if (!into && f->rule[e->rule].nullable && state[to] == NEW) {
                state[to] = OPEN;
                w[n++] = (walk){ to, 0, -1 };
            }
        }
    }
    free(state);
    free(rule_is);
    free(w);
    return bad;
}

/* ---- states that are alike ---- */
typedef struct marked { uint64_t mark; uint32_t state; } marked;

static int by_mark(const void *a, const void *b)
{
    const marked *x = a, *y = b;
    if (x->mark != y->mark)
        return x->mark < y->mark ? -1 : 1;
    return (x->state > y->state) - (x->state < y->state);
}

/* A mark that tells what may come within so many steps, out of those for one less. A call that may be empty is a step of no bytes: what
 * is behind it counts as itself. */
static uint64_t mark_of(const form *f, uint32_t s, const uint64_t *before)
{
    const form_place *p = &f->place[s];
    uint64_t sum = p->final;
    for (uint32_t i = 0; i < p->n; i++) {
        const form_edge *e = &f->edge[p->first + i];
        bool empty = e->rule >= 0 && f->rule[e->rule].nullable;
        uint64_t step = e->rule >= 0 ? (uint64_t)e->rule << 20 | 1u << 18 | (uint64_t)empty << 17 : (uint64_t)e->lo << 8 | e->hi;
        sum += q_mix64(q_mix64(step, 0x51ed270b), empty ? e->to : before[e->to]);       /* in any order */
    }
    return q_mix64(sum, p->n);
}

static void find_alike(form *f)
{
    uint32_t n = f->n_state;
    uint64_t *now = q_alloc(sizeof *now * (n + 1)), *then = q_alloc(sizeof *then * (n + 1));
    for (uint32_t s = 0; s < n; s++)
        now[s] = f->place[s].final;
    for (int k = 0; k < FORM_ALIKE; k++) {
        for (uint32_t s = 0; s < n; s++)
            then[s] = mark_of(f, s, now);
        uint64_t *x = now;
        now = then;
        then = x;
    }
    marked *m = q_alloc(sizeof *m * (n + 1));
    for (uint32_t s = 0; s < n; s++)
        m[s] = (marked){ now[s], s };
    if (n)
        qsort(m, n, sizeof *m, by_mark);
    f->like = q_alloc(sizeof *f->like * (n + 1));
    for (uint32_t i = 0, first = 0; i < n; i++) {
        if (m[i].mark != m[first].mark)
            first = i;
        f->like[m[i].state] = m[first].state;
    }
    free(m);
    free(now);
    free(then);
}

int form_finish(form *f, int root, char *err)
{
    for (int r = 0; r < f->n_rule; r++)
        if (!f->rule[r].defined && !f->full)
            return told(f, r, err, _("is used but nowhere defined: write NAME ::= and what it stands for"));
    if (f->full || !lay_out(f))
        return q_fail(err, Q_RANGE, _("the grammar is too large: more than %d states, %d steps or %d rules; take smaller repetitions ({m,n}, maxLength, maxItems)"),
                      FORM_STATES, FORM_EDGES, FORM_RULES);
    f->root = root;
    measure(f);
    int bad = left_recursive(f);
    if (bad >= 0)
        return told(f, bad, err, _("begins with itself (left recursion): write what repeats with * or +, or put the rule's own name last"));
    if (f->place[f->rule[root].start].rest >= FORM_NEVER)
        return told(f, root, err, _("stands for no text that ends: nothing could be written"));
    prune(f);
    find_alike(f);
    return Q_OK;
}

/* ---- finished ---- */
uint32_t form_like(const form *f, uint32_t s) { return f->like[s]; }
uint32_t form_root(const form *f) { return f->rule[f->root].start; }
uint32_t form_start(const form *f, int r) { return f->rule[r].start; }
uint32_t form_states(const form *f) { return f->n_state; }
const form_place *form_at(const form *f, uint32_t s) { return &f->place[s]; }
const form_edge *form_edges(const form *f, uint32_t s) { return f->edge + f->place[s].first; }
