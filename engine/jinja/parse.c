/* engine/jinja/parse: see parse.h. Precedences and what ends what are those of jinja2's parser.py (3.1). */
#include "engine/jinja/parse.h"
#include "engine/jinja/lex.h"

#include <string.h>

typedef struct parser { jx *x; jtokens t; int at; jnames *names; int loops; uint8_t asked; } parser;

/* ---- tokens and nodes ---- */
static const jtoken *now(const parser *p) { return &p->t.v[p->at]; }
static const jtoken *ahead(const parser *p) { return &p->t.v[p->at + (p->at + 1 < p->t.n)]; }
static const jtoken *next(parser *p) { return &p->t.v[p->at + 1 < p->t.n ? p->at++ : p->at]; }
static bool is_op(const jtoken *t, const char *op) { return t->type == JT_OP && strcmp(t->op, op) == 0; }
static bool is_name(const jtoken *t, const char *name) { return t->type == JT_NAME && jv_is(t->value, name); }
static bool skip_op(parser *p, const char *op) { return is_op(now(p), op) && next(p); }
static bool skip_name(parser *p, const char *name) { return is_name(now(p), name) && next(p); }

static void at(parser *p, const jtoken *t) { p->x->line = t->line; p->x->col = t->col; }

static const char *describe(parser *p, const jtoken *t)
{
    static const char *names[] = { "text", "{{", "}}", "{%", "%}" };
    if (t->type == JT_EOF) return _("the end of the template");
    if (t->type == JT_OP) return t->op;
    if (t->type < JT_NAME) return names[t->type];
    if (t->type != JT_NAME) return _("a number or a text");
    return jn_intern(p->x, p->names, t->value.u.s->p, t->value.u.s->n);
}

static _Noreturn void unexpected(parser *p, const char *wanted)
{
    at(p, now(p));
    jx_fail(p->x, _("%s is expected, not %s"), wanted, describe(p, now(p)));
}
static void need_op(parser *p, const char *op) { if (!skip_op(p, op)) unexpected(p, op); }
static void need_name(parser *p, const char *name) { if (!skip_name(p, name)) unexpected(p, name); }

const char *jn_intern(jx *x, jnames *names, const char *s, size_t n)
{
    int at = 0;
    while (at < names->n && (strlen(names->v[at]) != n || memcmp(names->v[at], s, n) != 0)) at++;
    jx_step(x, (size_t)at / 8);
    if (at < names->n) return names->v[at];
    if (names->n == names->cap) {
        int cap = names->cap ? 2 * names->cap : 32;
        const char **more = jx_alloc(x, sizeof *more * (size_t)cap);
        if (names->n) memcpy(more, names->v, sizeof *more * (size_t)names->n);
        names->v = more;
        names->cap = cap;
    }
    char *copy = jx_alloc(x, n + 1);
    memcpy(copy, s, n);
    return names->v[names->n++] = copy;
}

static const char *any_name(parser *p)
{
    if (now(p)->type != JT_NAME) unexpected(p, _("a name"));
    const jstr *s = next(p)->value.u.s;
    return jn_intern(p->x, p->names, s->p, s->n);
}

static jnode *node(parser *p, uint8_t kind, const jtoken *t)
{
    jnode *n = jx_alloc(p->x, sizeof *n);
    n->kind = kind;
    n->line = t->line;
    n->col = t->col;
    return n;
}

static void push(parser *p, jnodes *l, jnode *n)
{
    if (l->n == l->cap) {
        int cap = l->cap ? 2 * l->cap : 4;
        jnode **more = jx_alloc(p->x, sizeof *more * (size_t)cap);
        if (l->n) memcpy(more, l->v, sizeof *more * (size_t)l->n);
        l->v = more;
        l->cap = cap;
    }
    l->v[l->n++] = n;
}

/* ---- expressions ---- */
static jnode *expression(parser *p);
static jnode *unary(parser *p, bool filters);
static jnode *concat(parser *p);

enum { SIMPLE = 1, SPACES = 2, NO_IF = 4, PARENS = 8 };       /* of a tuple */
static jnode *tuple(parser *p, int how, const char *end);

static jnode *list_or_dict(parser *p, bool dict)
{
    jnode *n = node(p, dict ? JN_DICT : JN_LIST, next(p));
    const char *close = dict ? "}" : "]";
    while (!is_op(now(p), close)) {
        if (n->kids.n) need_op(p, ",");
        if (is_op(now(p), close)) break;
        push(p, &n->kids, expression(p));
        if (!dict) continue;
        need_op(p, ":");
        push(p, &n->kids, expression(p));
    }
    need_op(p, close);
    return n;
}

static jnode *constant(parser *p, const jtoken *t, jv v)
{
    jnode *n = node(p, JN_CONST, t);
    n->value = v;
    return n;
}

static jnode *named(parser *p, bool spaces)
{
    static const struct { const char *word; int8_t is; } words[] = { { "true", 1 }, { "True", 1 }, { "false", 0 }, { "False", 0 }, { "none", -1 }, { "None", -1 } };
    const jtoken *t = now(p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (skip_name(p, words[i].word)) return constant(p, t, words[i].is < 0 ? jv_none() : jv_bool(words[i].is));
    jnode *n = node(p, JN_NAME, t);
    n->name = any_name(p);
    p->asked |= strcmp(n->name, "caller") == 0 ? JN_CALLER : strcmp(n->name, "varargs") == 0 ? JN_VARARGS : strcmp(n->name, "kwargs") == 0 ? JN_KWARGS : 0;
    if (spaces && skip_op(p, ".")) {
        jnode *ref = node(p, JN_NSREF, t);
        ref->a = n;
        ref->name = any_name(p);
        return ref;
    }
    return n;
}

static jnode *primary(parser *p, bool spaces)
{
    const jtoken *t = now(p);
    jnode *n;
    switch (t->type) {
    case JT_NAME: return named(p, spaces);
    case JT_STRING: {
        jb b = { .x = p->x };
        while (now(p)->type == JT_STRING) jb_str(&b, next(p)->value.u.s);
        return constant(p, t, jb_take(&b));
    }
    case JT_INT:
    case JT_FLOAT: return constant(p, t, next(p)->value);
    default: break;
    }
    if (skip_op(p, "(")) {
        n = tuple(p, PARENS, NULL);
        need_op(p, ")");
        return n;
    }
    if (is_op(t, "[") || is_op(t, "{")) return list_or_dict(p, t->op[0] == '{');
    unexpected(p, _("a value"));
}

/* args into n: plain ones, then those with a name as JN_NSREF-like pairs: kids hold values, their names stand in the node. */
static void arguments(parser *p, jnode *n)
{
    bool comma = false, keys = false;
    need_op(p, "(");
    while (!is_op(now(p), ")")) {
        if (comma) need_op(p, ",");
        if (is_op(now(p), ")")) break;
        comma = true;
        if (!n->stars && !n->star && skip_op(p, "*")) n->star = expression(p);
        else if (!n->stars && skip_op(p, "**")) n->stars = expression(p);
        else if (!n->stars && now(p)->type == JT_NAME && is_op(ahead(p), "=")) {
            jnode *k = node(p, JN_NSREF, now(p));
            k->name = any_name(p);
            next(p);
            k->a = expression(p);
            push(p, &n->kids, k);
            keys = true;
        } else if (!n->star && !n->stars && !keys) {
            push(p, &n->kids, expression(p));
            n->n_plain++;
        } else unexpected(p, _("an argument with a name"));
    }
    need_op(p, ")");
}

static jnode *call(parser *p, jnode *what)
{
    jnode *n = node(p, JN_CALL, now(p));
    n->a = what;
    arguments(p, n);
    return n;
}

static jnode *subscript(parser *p, jnode *of)
{
    const jtoken *t = next(p);
    jnode *n;
    if (t->op[0] == '.') {
        const jtoken *what = now(p);
        n = node(p, what->type == JT_INT ? JN_ITEM : JN_ATTR, t);
        n->a = of;
        if (what->type == JT_INT) n->b = constant(p, what, next(p)->value);
        else n->name = any_name(p);
        return n;
    }
    n = node(p, JN_ITEM, t);
    n->a = of;
    jnode *first = is_op(now(p), ":") ? NULL : expression(p);
    if (!is_op(now(p), ":")) n->b = first;
    else {
        n->kind = JN_SLICE;
        n->b = first;
        next(p);
        if (!is_op(now(p), ":") && !is_op(now(p), "]")) n->c = expression(p);
        if (skip_op(p, ":") && !is_op(now(p), "]")) n->d = expression(p);
    }
    need_op(p, "]");
    return n;
}

static jnode *postfix(parser *p, jnode *n)
{
    for (;;) {
        if (is_op(now(p), ".") || is_op(now(p), "[")) n = subscript(p, n);
        else if (is_op(now(p), "(")) n = call(p, n);
        else return n;
    }
}

static const char *dotted(parser *p)
{
    const char *name = any_name(p);
    while (skip_op(p, ".")) {
        jb b = { .x = p->x };
        jb_words(&b, name);
        jb_words(&b, ".");
        jb_words(&b, any_name(p));
        jv v = jb_take(&b);
        name = jn_intern(p->x, p->names, v.u.s->p, v.u.s->n);
    }
    return name;
}

static jnode *filter(parser *p, jnode *of, bool at_once)
{
    while (at_once || is_op(now(p), "|")) {
        if (!at_once) next(p);
        jnode *n = node(p, JN_FILTER, now(p));
        n->name = dotted(p);
        n->a = of;
        if (is_op(now(p), "(")) arguments(p, n);
        of = n;
        at_once = false;
    }
    return of;
}

static jnode *test(parser *p, jnode *of)
{
    const jtoken *is = next(p);
    bool negated = skip_name(p, "not");
    jnode *n = node(p, JN_TEST, is);
    n->a = of;
    n->name = dotted(p);
    const jtoken *t = now(p);
    if (is_op(t, "(")) arguments(p, n);
    else if ((t->type == JT_NAME || t->type == JT_STRING || t->type == JT_INT || t->type == JT_FLOAT || is_op(t, "[") || is_op(t, "{")) &&
             !is_name(t, "else") && !is_name(t, "or") && !is_name(t, "and")) {
        if (is_name(t, "is")) unexpected(p, _("the end of the test"));
        push(p, &n->kids, postfix(p, primary(p, false)));
        n->n_plain = 1;
    }
    if (!negated) return n;
    jnode *inverse = node(p, JN_NOT, is);
    inverse->a = n;
    return inverse;
}

static jnode *unary(parser *p, bool filters)
{
    const jtoken *t = now(p);
    jnode *n;
    jx_deeper(p->x);
    if (skip_op(p, "-") || skip_op(p, "+")) {
        n = node(p, t->op[0] == '-' ? JN_NEG : JN_POS, t);
        n->a = unary(p, false);
    } else n = primary(p, false);
    n = postfix(p, n);
    while (filters) {
        if (is_op(now(p), "|")) n = filter(p, n, false);
        else if (is_name(now(p), "is")) n = test(p, n);
        else if (is_op(now(p), "(")) n = call(p, n);
        else break;
    }
    p->x->depth--;
    return n;
}

/* Left-associative levels of two operands: power, products, then (through ~) sums. */
static jnode *binary(parser *p, int level)
{
    static const char *const ops[3][5] = { { "**", NULL }, { "*", "/", "//", "%", NULL }, { "+", "-", NULL } };
    jnode *left = level == 0 ? unary(p, true) : level == 1 ? binary(p, 0) : concat(p);
    for (;;) {
        const char *op = NULL;
        for (int i = 0; ops[level][i] && !op; i++) if (is_op(now(p), ops[level][i])) op = ops[level][i];
        if (!op) return left;
        jnode *n = node(p, JN_MATH, next(p));
        strcpy(n->op, op);
        n->a = left;
        n->b = level == 0 ? unary(p, true) : level == 1 ? binary(p, 0) : concat(p);
        left = n;
    }
}

static jnode *concat(parser *p)
{
    jnode *first = binary(p, 1);
    if (!is_op(now(p), "~")) return first;
    jnode *n = node(p, JN_CONCAT, now(p));
    push(p, &n->kids, first);
    while (skip_op(p, "~")) push(p, &n->kids, binary(p, 1));
    return n;
}

static const char *comparison(parser *p)
{
    static const char *ops[] = { "==", "!=", "<=", ">=", "<", ">" };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) if (skip_op(p, ops[i])) return ops[i];
    if (skip_name(p, "in")) return "in";
    if (!is_name(now(p), "not") || !is_name(ahead(p), "in")) return NULL;
    next(p);
    next(p);
    return "not in";
}

static jnode *compare(parser *p)
{
    jnode *first = binary(p, 2), *n = NULL;
    const jtoken *t = now(p);
    for (const char *op; (op = comparison(p)); t = now(p)) {
        if (!n) { n = node(p, JN_COMPARE, t); n->a = first; }
        jnode *right = node(p, JN_COMPARE, t);
        strcpy(right->op, op);
        right->a = binary(p, 2);
        push(p, &n->kids, right);
    }
    return n ? n : first;
}

static jnode *negation(parser *p)
{
    const jtoken *t = now(p);
    if (!skip_name(p, "not")) return compare(p);
    jx_deeper(p->x);
    jnode *n = node(p, JN_NOT, t);
    n->a = negation(p);
    p->x->depth--;
    return n;
}

static jnode *junction(parser *p, bool any)
{
    jnode *left = any ? junction(p, false) : negation(p);
    const jtoken *t = now(p);
    for (; skip_name(p, any ? "or" : "and"); t = now(p)) {
        jnode *n = node(p, any ? JN_OR : JN_AND, t);
        n->a = left;
        n->b = any ? junction(p, false) : negation(p);
        left = n;
    }
    return left;
}

static jnode *expression(parser *p)
{
    jx_deeper(p->x);
    jnode *n = junction(p, true);
    const jtoken *t = now(p);
    for (; skip_name(p, "if"); t = now(p)) {
        jnode *c = node(p, JN_IF_EXPR, t);
        c->a = n;
        c->b = junction(p, true);
        if (skip_name(p, "else")) c->c = expression(p);
        n = c;
    }
    p->x->depth--;
    return n;
}

static bool tuple_ends(const parser *p, const char *end)
{
    const jtoken *t = now(p);
    return t->type == JT_VAR_END || t->type == JT_BLOCK_END || is_op(t, ")") || (end && is_name(t, end));
}

static jnode *tuple(parser *p, int how, const char *end)
{
    const jtoken *t = now(p);
    jnodes args = { 0 };
    bool many = false;
    for (;;) {
        if (args.n) need_op(p, ",");
        if (tuple_ends(p, end)) break;
        push(p, &args, how & SIMPLE ? primary(p, how & SPACES) : how & NO_IF ? junction(p, true) : expression(p));
        if (!is_op(now(p), ",")) break;
        many = true;
    }
    if (!many && args.n) return args.v[0];
    if (!many && !(how & PARENS)) unexpected(p, _("a value"));
    jnode *n = node(p, JN_TUPLE, t);
    n->kids = args;
    return n;
}

/* ---- statements ---- */
static jnodes body(parser *p, const char *const *ends);

static void assignable(parser *p, const jnode *n)
{
    if (n->kind == JN_NAME || n->kind == JN_NSREF) return;
    p->x->line = n->line;
    p->x->col = n->col;
    if (n->kind != JN_TUPLE) jx_fail(p->x, _("nothing can be assigned to this"));
    for (int i = 0; i < n->kids.n; i++) assignable(p, n->kids.v[i]);
}

static jnode *target(parser *p, int how, const char *end)
{
    jnode *n = tuple(p, SIMPLE | how, end);
    assignable(p, n);
    return n;
}

/* What follows a tag up to one of ends; that word is taken and given back. */
static const char *block(parser *p, jnodes *out, const char *const *ends)
{
    skip_op(p, ":");
    if (now(p)->type != JT_BLOCK_END) unexpected(p, "%}");
    next(p);
    *out = body(p, ends);
    if (now(p)->type == JT_EOF) unexpected(p, ends[0]);
    return any_name(p);
}

static jnode *st_for(parser *p, const jtoken *t)
{
    static const char *const ends[] = { "endfor", "else", NULL }, *const end[] = { "endfor", NULL };
    jnode *n = node(p, JN_FOR, t);
    n->a = target(p, 0, "in");
    need_name(p, "in");
    n->b = tuple(p, NO_IF, "recursive");
    if (skip_name(p, "if")) n->c = expression(p);
    if (is_name(now(p), "recursive")) { at(p, now(p)); jx_fail(p->x, _("recursive loops are not known here")); }
    p->loops++;
    const char *stop = block(p, &n->body, ends);
    p->loops--;
    if (strcmp(stop, "else") == 0) block(p, &n->other, end);
    return n;
}

static jnode *st_if(parser *p, const jtoken *t)
{
    static const char *const ends[] = { "endif", "elif", "else", NULL }, *const end[] = { "endif", NULL };
    jnode *first = node(p, JN_IF, t), *n = first;
    for (;;) {
        n->a = tuple(p, NO_IF, NULL);
        const jtoken *from = now(p);
        const char *stop = block(p, &n->body, ends);
        if (strcmp(stop, "else") == 0) block(p, &n->other, end);
        if (strcmp(stop, "elif") != 0) return first;
        jnode *more = node(p, JN_IF, from);
        push(p, &n->other, more);
        n = more;
    }
}

static jnode *st_set(parser *p, const jtoken *t)
{
    static const char *const end[] = { "endset", NULL };
    jnode *n = node(p, JN_SET, t);
    n->a = target(p, SPACES, NULL);
    if (skip_op(p, "=")) {
        n->b = tuple(p, 0, NULL);
        return n;
    }
    n->kind = JN_SET_BLOCK;
    n->b = filter(p, NULL, false);
    block(p, &n->body, end);
    return n;
}

static jnode *st_with(parser *p, const jtoken *t)
{
    static const char *const end[] = { "endwith", NULL };
    jnode *n = node(p, JN_WITH, t);
    while (now(p)->type != JT_BLOCK_END) {
        if (n->kids.n) need_op(p, ",");
        jnode *name = primary(p, false);
        assignable(p, name);
        push(p, &n->kids, name);
        need_op(p, "=");
        push(p, &n->kids, expression(p));
    }
    block(p, &n->body, end);
    return n;
}

/* (a, b=1): kids are the names, each with its default in a. */
static void signature(parser *p, jnode *n)
{
    need_op(p, "(");
    while (!is_op(now(p), ")")) {
        if (n->kids.n) need_op(p, ",");
        jnode *arg = node(p, JN_NAME, now(p));
        arg->name = any_name(p);
        if (skip_op(p, "=")) arg->a = expression(p);
        else if (n->n_plain < n->kids.n) unexpected(p, _("an argument with a default"));
        else n->n_plain++;
        push(p, &n->kids, arg);
    }
    need_op(p, ")");
}

static void macro_body(parser *p, jnode *n, const char *const *end)
{
    uint8_t outer = p->asked;
    int loops = p->loops;
    p->asked = 0;
    p->loops = 0;
    block(p, &n->body, end);
    n->flags = p->asked;
    p->asked = outer;
    p->loops = loops;
}

static jnode *st_macro(parser *p, const jtoken *t)
{
    static const char *const end[] = { "endmacro", NULL };
    jnode *n = node(p, JN_MACRO, t);
    n->name = any_name(p);
    signature(p, n);
    macro_body(p, n, end);
    return n;
}

static jnode *st_call(parser *p, const jtoken *t)
{
    static const char *const end[] = { "endcall", NULL };
    jnode *n = node(p, JN_CALL_BLOCK, t);
    n->name = jn_intern(p->x, p->names, "caller", 6);
    if (is_op(now(p), "(")) signature(p, n);
    n->a = expression(p);
    if (n->a->kind != JN_CALL) unexpected(p, _("a call"));
    macro_body(p, n, end);
    return n;
}

static jnode *st_filter(parser *p, const jtoken *t)
{
    static const char *const end[] = { "endfilter", NULL };
    jnode *n = node(p, JN_FILTER_BLOCK, t);
    n->a = filter(p, NULL, true);
    block(p, &n->body, end);
    return n;
}

static jnode *st_generation(parser *p, const jtoken *t)
{
    static const char *const end[] = { "endgeneration", NULL };
    jnode *n = node(p, JN_SCOPE, t);
    block(p, &n->body, end);
    return n;
}

static jnode *st_jump(parser *p, const jtoken *t)
{
    at(p, t);
    if (!p->loops) jx_fail(p->x, _("break and continue stand in loops only"));
    return node(p, jv_is(t->value, "break") ? JN_BREAK : JN_CONTINUE, t);
}

static jnode *st_print(parser *p, const jtoken *t)
{
    jnode *n = node(p, JN_OUT, t);
    n->a = expression(p);
    if (is_op(now(p), ",")) unexpected(p, "%}");
    return n;
}

static const struct { const char *word; jnode *(*read)(parser *, const jtoken *); } STATEMENTS[] = {
    { "if", st_if }, { "for", st_for }, { "set", st_set }, { "macro", st_macro }, { "call", st_call }, { "filter", st_filter }, { "with", st_with },
    { "generation", st_generation }, { "break", st_jump }, { "continue", st_jump }, { "print", st_print },
};

static jnode *statement(parser *p)
{
    const jtoken *t = now(p);
    if (t->type != JT_NAME) unexpected(p, _("a statement"));
    for (size_t i = 0; i < sizeof STATEMENTS / sizeof *STATEMENTS; i++)
        if (skip_name(p, STATEMENTS[i].word)) return STATEMENTS[i].read(p, t);
    at(p, t);
    jx_fail(p->x, _("the statement '%.*s' is not known here"), (int)q_utf8_whole(t->value.u.s->p, t->value.u.s->n < 40 ? t->value.u.s->n : 40), t->value.u.s->p);
}

static bool ends_here(const parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++) if (is_name(now(p), *ends)) return true;
    return false;
}

static jnodes body(parser *p, const char *const *ends)
{
    jnodes out = { 0 };
    jx_deeper(p->x);
    for (;;) {
        const jtoken *t = next(p);
        if (t->type == JT_EOF) break;
        if (t->type == JT_DATA) {
            jnode *n = node(p, JN_OUT, t);
            n->a = constant(p, t, t->value);
            push(p, &out, n);
        } else if (t->type == JT_VAR_BEGIN) {
            jnode *n = node(p, JN_OUT, t);
            n->a = tuple(p, 0, NULL);
            if (now(p)->type != JT_VAR_END) unexpected(p, "}}");
            next(p);
            push(p, &out, n);
        } else {
            if (ends_here(p, ends)) break;
            push(p, &out, statement(p));
            if (now(p)->type != JT_BLOCK_END) unexpected(p, "%}");
            next(p);
        }
    }
    p->x->depth--;
    return out;
}

jnodes jn_read(jx *x, const char *s, size_t n, jnames *names)
{
    parser p = { .x = x, .names = names };
    p.t = jl_read(x, s, n);
    jnodes out = body(&p, NULL);
    if (now(&p)->type != JT_EOF) unexpected(&p, _("the end of the template"));
    x->line = 0;
    return out;
}
