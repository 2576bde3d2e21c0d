/* engine/grammar/schema: see schema.h. A rule stands for a set of schemas that hold at once, so that allOf and $ref are nothing but
 * larger sets, and a schema that comes back to itself is a rule that does. A set is first taken apart into alternatives (anyOf,
 * oneOf), in each of which only keywords of values are left. */
#include "engine/grammar/schema.h"
#include "engine/grammar/facts.h"

#include <stdlib.h>
#include <string.h>

/* PLAIN: letters of a string that are written out, the rest are calls; COUNTED: of one in the arguments of a call, that are counted. */
enum { ALTERNATIVES = 512, SETS = 20000, DEEP = 48, PLAIN = 128, COUNTED = 2000 };

typedef struct known { facts set; int rule; } known;
typedef struct maker {
    form *f;
    facts_text t;
    const json *root;
    bool *checked;                       /* [values] */
    const json **owner;                  /* [values] of a schema that is in: the one whose alternative brought it; NULL: none did */
    known *known; int n_known, cap_known;
    int ws, chars, string, raw;          /* rules that are shared, -1: not made yet */
    const schema_dress *dress;           /* of arguments of a call; NULL: they are none */
    bool tagged;                         /* no value may close a tag */
    int work;                            /* alternatives looked at so far */
} maker;

/* ---- sets ---- */
static int by_id(const void *a, const void *b)
{
    const json *const *x = a, *const *y = b;
    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* The rule of a set, which is taken; it is defined later. */
static int rule_of(maker *m, facts *set)
{
    int line = 0, column = 0;
    if (set->n)
        qsort(set->v, (size_t)set->n, sizeof *set->v, by_id);
    for (int i = 0; i < m->n_known; i++)
        if (m->known[i].set.n == set->n && (set->n == 0 || memcmp(m->known[i].set.v, set->v, sizeof *set->v * (size_t)set->n) == 0)) {
            facts_free(set);
            return m->known[i].rule;
        }
    if (m->n_known == m->cap_known) {
        m->cap_known = m->cap_known ? m->cap_known * 2 : 64;
        m->known = q_realloc(m->known, sizeof *m->known * (size_t)m->cap_known);
    }
    char *name = q_printf("#%s", set->n && set->v[0]->key ? set->v[0]->key : "");
    if (set->n)
        json_place(m->t.text, set->v[0]->at, &line, &column);
    m->known[m->n_known] = (known){ *set, form_rule(m->f, name, line, column) };
    *set = (facts){ 0 };
    free(name);
    return m->known[m->n_known++].rule;
}

/* ---- $ref ---- */
static int resolve(maker *m, const json *ref, const json **out)
{
    if (*ref->text != '#')
        return facts_wrong(&m->t, ref, _("\"$ref\" is held within the schema only: write it as #/..., and put there what it means"));
    *out = json_at(m->root, ref->text + 1);
    return *out ? Q_OK : facts_wrong(&m->t, ref, _("\"$ref\" leads to nothing: correct its path"));
}

/* ---- alternatives ---- */
typedef struct alternatives { facts *v; int n; } alternatives;

static void alternatives_free(alternatives *a)
{
    for (int i = 0; i < a->n; i++)
        facts_free(&a->v[i]);
    free(a->v);
    *a = (alternatives){ 0 };
}

static int expand(maker *m, facts *todo, facts *done, facts *choices, const json *from, alternatives *out, int deep);
static int nothing_fits(maker *m, const alternatives *a, int deep, bool *none);

/* s came back to itself through nothing but alternatives from `from` on: such a way leads nowhere. */
static bool circle(const maker *m, const json *s, const json *from)
{
    while (from && from != s)
        from = m->owner[from->id];
    return from != NULL;
}

/* Takes in what stands in todo, an alternative of `from`; *dead: nothing fits. */
static int take_in(maker *m, facts *todo, facts *done, facts *choices, const json *from, bool *dead)
{
    static const char *const open[] = { "anyOf", "oneOf" };
    int rc = Q_OK;
    *dead = false;
    for (int i = 0; i < todo->n && rc == Q_OK; i++) {
        const json *s = todo->v[i], *ref, *all, *to = NULL;
        int had = done->n;
        if (s->type == JSON_FALSE)
            *dead = true;
        if (s->type == JSON_TRUE || s->type == JSON_FALSE)
            continue;
        if (s->type != JSON_OBJECT)
            return facts_wrong(&m->t, s, _("a schema is an object, true or false"));
        facts_add(done, s);
        if (done->n == had) {
            *dead |= circle(m, s, from);
            continue;
        }
        m->owner[s->id] = from;
        if (!m->checked[s->id]) {
            if ((rc = facts_check(&m->t, s, s == m->root)) < 0)
                return rc;
            m->checked[s->id] = true;
        }
        if ((ref = json_get(s, "$ref")) && (rc = resolve(m, ref, &to)) == Q_OK)
            facts_add(todo, to);
        if ((all = json_get(s, "allOf")))
            for (const json *x = all->child; x; x = x->next)
                facts_add(todo, x);
        for (int k = 0; k < 2; k++)
            if (json_get(s, open[k]))
                facts_add(choices, json_get(s, open[k]));
    }
    return rc;
}

/* Two members of a oneOf must not fit at once. */
static int disjoint(maker *m, const json *one, const facts *done, const facts *choices, const json *from, int deep)
{
    for (const json *a = one->child; a; a = a->next)
        for (const json *b = a->next; b; b = b->next) {
            facts todo = { 0 }, also, left;
            alternatives both = { 0 };
            bool none = false;
            facts_copy(&also, done);
            facts_copy(&left, choices);
            facts_add(&todo, a);
            facts_add(&todo, b);
            int rc = expand(m, &todo, &also, &left, from, &both, deep + 1);
            if (rc == Q_OK)
                rc = nothing_fits(m, &both, deep + 1, &none);
            alternatives_free(&both);
            facts_free(&todo);
            facts_free(&also);
            facts_free(&left);
            if (rc < 0)
                return rc;
            if (!none)
                return facts_wrong(&m->t, b, _("\"oneOf\": this alternative and one before it may fit at once: take anyOf, or give them properties of different const or type"));
        }
    return Q_OK;
}

/* All ways to fulfil what stands in todo, an alternative of `from`, with what is in done already, behind those in out. The three lists are used up. */
static int expand(maker *m, facts *todo, facts *done, facts *choices, const json *from, alternatives *out, int deep)
{
    bool dead;
    int rc = take_in(m, todo, done, choices, from, &dead);
    if (rc < 0 || dead)
        return rc;
    if (deep > DEEP || ++m->work > 200000 || out->n >= ALTERNATIVES)
        return facts_wrong(&m->t, m->root, _("too many alternatives: anyOf, oneOf and allOf meet in too many ways"));
    if (choices->n == 0) {
        out->v = q_realloc(out->v, sizeof *out->v * (size_t)(out->n + 1));
        facts_copy(&out->v[out->n++], done);
        return Q_OK;
    }
    const json *c = choices->v[--choices->n], *owner = NULL;
    for (int i = 0; i < done->n; i++)
        if (json_get(done->v[i], c->key) == c)
            owner = done->v[i];
    if (strcmp(c->key, "oneOf") == 0 && (rc = disjoint(m, c, done, choices, owner, deep)) < 0)
        return rc;
    for (const json *x = c->child; x && rc == Q_OK; x = x->next) {
        facts next = { 0 }, also, left;
        facts_copy(&also, done);
        facts_copy(&left, choices);
        facts_add(&next, x);
        rc = expand(m, &next, &also, &left, owner, out, deep + 1);
        facts_free(&next);
        facts_free(&also);
        facts_free(&left);
    }
    return rc;
}

static int expand_set(maker *m, const facts *set, alternatives *out, int deep)
{
    facts todo, done = { 0 }, choices = { 0 };
    facts_copy(&todo, set);
    int rc = expand(m, &todo, &done, &choices, NULL, out, deep);
    facts_free(&todo);
    facts_free(&done);
    facts_free(&choices);
    return rc;
}

/* ---- members of objects and lists ---- */
/* What the property must be; false among them: it may not be there. */
static void property_set(const facts *f, const char *name, facts *out)
{
    *out = (facts){ 0 };
    for (int i = 0; i < f->n; i++) {
        const json *all = json_get(f->v[i], "properties"), *own = all ? json_get(all, name) : NULL, *other = json_get(f->v[i], "additionalProperties");
        if (own || other)
            facts_add(out, own ? own : other);
    }
}

/* draft 7: items may be a list, then additionalItems speak of the rest. */
static void item_set(const facts *f, int index, facts *out)
{
    *out = (facts){ 0 };
    for (int i = 0; i < f->n; i++) {
        const json *items = json_get(f->v[i], "items"), *first = json_get(f->v[i], "prefixItems"), *x = NULL;
        bool old = items && items->type == JSON_ARRAY;
        if (old) {
            first = items;
            items = json_get(f->v[i], "additionalItems");
        }
        x = first ? first->child : NULL;
        for (int k = 0; k < index && x; k++)
            x = x->next;
        if (x || items)
            facts_add(out, x ? x : items);
    }
}

static int first_items(const facts *f)
{
    int most = 0;
    for (int i = 0; i < f->n; i++) {
        const json *items = json_get(f->v[i], "items"), *first = json_get(f->v[i], "prefixItems");
        int n = items && items->type == JSON_ARRAY ? json_length(items) : first ? json_length(first) : 0;
        most = n > most ? n : most;
    }
    return most;
}

static bool forbidden(const facts *f)
{
    for (int i = 0; i < f->n; i++)
        if (f->v[i]->type == JSON_FALSE)
            return true;
    return false;
}

static bool is_required(const facts *f, const char *name)
{
    for (int i = 0; i < f->n; i++) {
        const json *r = json_get(f->v[i], "required");
        for (const json *x = r ? r->child : NULL; x; x = x->next)
            if (strcmp(x->text, name) == 0)
                return true;
    }
    return false;
}

/* ---- whether nothing fits ---- */
static int set_fits_nothing(maker *m, const facts *set, int deep, bool *none)
{
    alternatives a = { 0 };
    int rc = expand_set(m, set, &a, deep);
    if (rc == Q_OK)
        rc = nothing_fits(m, &a, deep, none);
    alternatives_free(&a);
    return rc;
}

static int no_object(maker *m, const facts *f, int deep, bool *none)
{
    int rc = Q_OK;
    for (int i = 0; i < f->n && !*none && rc == Q_OK; i++) {
        const json *r = json_get(f->v[i], "required");
        for (const json *x = r ? r->child : NULL; x && !*none && rc == Q_OK && deep < 6; x = x->next) {
            facts own;
            property_set(f, x->text, &own);
            rc = set_fits_nothing(m, &own, deep + 1, none);
            facts_free(&own);
        }
    }
    return rc;
}

static int one_fits_nothing(maker *m, const facts *f, int deep, bool *none)
{
    facts values;
    bool has;
    unsigned kinds = facts_kinds(f);
    int rc = facts_values(&m->t, f, &values, &has);
    if (rc < 0)
        return rc;
    if (has) {
        *none = values.n == 0;
        facts_free(&values);
        return Q_OK;
    }
    *none = true;
    if (kinds & (FACTS_NULL | FACTS_BOOL))
        *none = false;
    if (*none && kinds & (FACTS_WHOLE | FACTS_BROKEN)) {
        decimal_bound lo, hi;
        if ((rc = facts_numbers(&m->t, f, &lo, &hi)) < 0)
            return rc;
        *none = decimal_none(&lo, &hi, !(kinds & FACTS_BROKEN));
    }
    if (*none && kinds & FACTS_STRING) {
        long least, most;
        letters l;
        if ((rc = facts_strings(&m->t, f, &least, &most, &l, &has)) < 0)
            return rc;
        *none = (most >= 0 && least > most) || (has && letters_none(&l));
        if (has)
            letters_free(&l);
    }
    if (*none && kinds & FACTS_ARRAY)
        *none = facts_most(f, "maxItems") >= 0 && facts_least(f, "minItems") > facts_most(f, "maxItems");
    if (*none && kinds & FACTS_OBJECT) {
        *none = false;
        rc = no_object(m, f, deep, none);
    }
    return rc;
}

static int nothing_fits(maker *m, const alternatives *a, int deep, bool *none)
{
    int rc = Q_OK;
    *none = true;
    for (int i = 0; i < a->n && *none && rc == Q_OK; i++)
        rc = one_fits_nothing(m, &a->v[i], deep, none);
    return rc;
}

/* ---- rules that are shared ---- */
static int ws(maker *m)
{
    if (m->ws < 0) {
        form *f = m->f;
        uint32_t a = form_state(f), at = form_state(f), end = form_state(f);
        m->ws = form_rule(f, "#white space", 0, 0);
        form_skip(f, a, end);
        form_bytes(f, a, ' ', ' ', end);
        form_bytes(f, a, '\n', '\n', at);
        for (int i = 0; i <= 20; i++) {
            uint32_t next = form_state(f);
            form_skip(f, at, end);
            if (i < 20) {
                form_bytes(f, at, ' ', ' ', next);
                form_bytes(f, at, '\t', '\t', next);
            }
            at = next;
        }
        form_define(f, m->ws, a, end);
    }
    return m->ws;
}

static uint32_t blank(maker *m, uint32_t from)
{
    uint32_t to = form_state(m->f);
    form_call(m->f, from, ws(m), to);
    return to;
}

static void put_hex(form *f, uint32_t from, const char *set, uint32_t to)
{
    for (; *set; set++)
        form_bytes(f, from, *set, *set, to);
}

/* One letter of a string in any of its ways, but those of `but` only behind a backslash; halves of a character only together. */
static void put_char(form *f, uint32_t from, uint32_t to, const char *but)
{
    static const char any[] = "0123456789abcdefABCDEF", other[] = "0123456789abcefABCEF";
    uint32_t back = form_state(f), u = form_state(f), d = form_state(f), left3 = form_state(f), left2 = form_state(f), left1 = form_state(f);
    uint32_t high2 = form_state(f), high1 = form_state(f), low = form_state(f), low_u = form_state(f), low_d = form_state(f), low3 = form_state(f);
    uint32_t c = 0x20;
    for (uint32_t next = c; next < 0x80; next++)
        if (next == '"' || next == '\\' || strchr(but, (int)next)) {
            if (c < next)
                form_chars(f, from, c, next - 1, to);
            c = next + 1;
        }
    form_chars(f, from, c, 0x10FFFF, to);
    form_bytes(f, from, '\\', '\\', back);
    put_hex(f, back, "\"\\/bfnrt", to);
    form_bytes(f, back, 'u', 'u', u);
    put_hex(f, u, other, left3);
    put_hex(f, left3, any, left2);
    put_hex(f, left2, any, left1);
    put_hex(f, left1, any, to);
    put_hex(f, u, "dD", d);
    put_hex(f, d, "01234567", left2);
    put_hex(f, d, "89abAB", high2);
    put_hex(f, high2, any, high1);
    put_hex(f, high1, any, low);
    form_bytes(f, low, '\\', '\\', low_u);
    form_bytes(f, low_u, 'u', 'u', low_d);
    put_hex(f, low_d, "dD", low3);
    put_hex(f, low3, "cdefCDEF", left2);
}

static int char_rule(maker *m)
{
    if (m->chars < 0) {
        uint32_t a = form_state(m->f), b = form_state(m->f);
        m->chars = form_rule(m->f, "#letter", 0, 0);
        put_char(m->f, a, b, m->tagged ? "/" : "");
        form_define(m->f, m->chars, a, b);
    }
    return m->chars;
}

static int string_rule(maker *m)
{
    if (m->string < 0) {
        form *f = m->f;
        uint32_t a = form_state(f), in = form_state(f), b = form_state(f);
        m->string = form_rule(f, "#string", 0, 0);
        form_bytes(f, a, '"', '"', in);
        put_char(f, in, in, m->tagged ? "<" : "");
        if (m->tagged) {                 /* </ only as <\/ */
            uint32_t open = form_state(f);
            form_bytes(f, in, '<', '<', open);
            form_bytes(f, open, '<', '<', open);
            form_bytes(f, open, '"', '"', b);
            put_char(f, open, in, "</");
        }
        form_bytes(f, in, '"', '"', b);
        form_define(f, m->string, a, b);
    }
    return m->string;
}

/* Text that stands as it is, and closes no tag. */
static int letters_as_they_are(const maker *m, letters *both)
{
    for (int i = 0; i < 2; i++) {
        letters had = *both, one;
        letters_without(m->dress->never[i], &one);
        int rc = letters_both(&had, &one, both);
        letters_free(&had);
        letters_free(&one);
        if (rc < 0)
            return rc;
    }
    return Q_OK;
}

static int raw_rule(maker *m)
{
    if (m->raw < 0) {
        letters any;
        uint32_t a = form_state(m->f), b = form_state(m->f);
        m->raw = form_rule(m->f, "#text", 0, 0);
        letters_lengths(0, -1, &any);
        letters_as_they_are(m, &any);    /* some tens of states: never too many */
        letters_put(&any, m->f, LETTERS_RAW, a, b);
        form_define(m->f, m->raw, a, b);
        letters_free(&any);
    }
    return m->raw;
}

/* ---- values as they are listed ---- */
static void put_name(maker *m, uint32_t from, const char *p, size_t n, uint32_t to)
{
    uint32_t a = form_state(m->f), b = form_state(m->f);
    form_bytes(m->f, from, '"', '"', a);
    letters_put_text(m->f, m->tagged && memmem(p, n, "</", 2) ? LETTERS_TAGGED : LETTERS_JSON, a, p, n, b);
    form_bytes(m->f, b, '"', '"', to);
}

static uint32_t colon(maker *m, uint32_t from)
{
    uint32_t to = form_state(m->f);
    form_bytes(m->f, from, ':', ':', to);
    return blank(m, to);
}

static uint32_t comma(maker *m, uint32_t from)
{
    uint32_t to = form_state(m->f);
    form_bytes(m->f, from, ',', ',', to);
    return blank(m, to);
}

static void put_word(maker *m, uint32_t from, enum json_type type, uint32_t to)
{
    static const char *const word[][2] = { [JSON_NULL] = { "null", "None" }, [JSON_FALSE] = { "false", "False" }, [JSON_TRUE] = { "true", "True" } };
    for (int i = 0; i < (m->dress && m->dress->python ? 2 : 1); i++)
        form_text(m->f, from, word[type][i], strlen(word[type][i]), to);
}

static void put_value(maker *m, uint32_t from, const json *j, uint32_t to)
{
    form *f = m->f;
    if (j->type <= JSON_TRUE)
        put_word(m, from, j->type, to);
    else if (j->type == JSON_NUMBER)
        form_text(f, from, j->text, j->n, to);
    else if (j->type == JSON_STRING)
        put_name(m, from, j->text, j->n, to);
    else {
        bool object = j->type == JSON_OBJECT;
        uint32_t at = form_state(f);
        form_bytes(f, from, object ? '{' : '[', object ? '{' : '[', at);
        at = blank(m, at);
        for (const json *x = j->child; x; x = x->next) {
            uint32_t next = form_state(f);
            if (object) {
                uint32_t named = form_state(f);
                put_name(m, at, x->key, strlen(x->key), named);
                at = colon(m, named);
            }
            put_value(m, at, x, next);
            at = x->next ? comma(m, next) : blank(m, next);
        }
        form_bytes(f, at, object ? '}' : ']', object ? '}' : ']', to);
    }
}

/* ---- strings ---- */
static int put_string(maker *m, uint32_t from, const facts *f, uint32_t to)
{
    long least, most;
    letters l;
    bool has;
    int rc = facts_strings(&m->t, f, &least, &most, &l, &has);
    if (rc < 0)
        return rc;
    if (!has && m->dress && most > COUNTED)
        most = -1;
    if (!has && least == 0 && most < 0) {
        form_call(m->f, from, string_rule(m), to);
        return Q_OK;
    }
    uint32_t at = form_state(m->f), end = form_state(m->f);
    form_bytes(m->f, from, '"', '"', at);
    form_bytes(m->f, end, '"', '"', to);
    if (has) {
        letters_put(&l, m->f, m->tagged ? LETTERS_TAGGED : LETTERS_JSON, at, end);
        letters_free(&l);
        return Q_OK;
    }
    for (long i = 0; (i < least || i < most) && !form_full(m->f); i++) {
        uint32_t next = form_state(m->f);
        if (i >= least)
            form_skip(m->f, at, end);
        if (i < PLAIN)
            put_char(m->f, at, next, m->tagged ? "/" : "");
        else
            form_call(m->f, at, char_rule(m), next);
        at = next;
    }
    if (most < 0)
        put_char(m->f, at, at, m->tagged ? "/" : "");
    if (most < 0 || least <= most)
        form_skip(m->f, at, end);
    return Q_OK;
}

/* ---- lists ---- */
static int put_array(maker *m, uint32_t from, const facts *f, uint32_t to)
{
    long least = facts_least(f, "minItems"), most = facts_most(f, "maxItems"), first = first_items(f), n;
    facts set;
    uint32_t at = form_state(m->f);
    form_bytes(m->f, from, '[', '[', at);
    at = blank(m, at);
    item_set(f, (int)first, &set);
    if (forbidden(&set) && (most < 0 || most > first))
        most = first;
    int rest = rule_of(m, &set);
    n = most >= 0 ? most : least > first ? least : first;
    for (long i = 0; !form_full(m->f); i++) {
        uint32_t next = form_state(m->f);
        if (i >= least)
            form_bytes(m->f, i ? blank(m, at) : at, ']', ']', to);
        if (i >= n && most >= 0)
            break;
        int rule = rest;
        if (i < first) {
            item_set(f, (int)i, &set);
            rule = rule_of(m, &set);
        }
        form_call(m->f, i ? comma(m, at) : at, rule, next);
        if (i > n) {                     /* as many more as are wanted */
            form_skip(m->f, next, at);
            break;
        }
        at = next;
    }
    return Q_OK;
}

/* ---- objects ---- */
typedef struct property { const char *name; bool required; int rule; } property;
typedef struct object {
    const facts *of;
    const schema_dress *dress;           /* NULL: JSON */
    property *p; int n, cap;
    bool open;                           /* others may follow */
    int other, name;                     /* their rule (any text as it is: -1), and that of their names */
    long least, most;
} object;

static void object_add(maker *m, object *o, const facts *f, const char *name)
{
    facts set;
    for (int i = 0; i < o->n; i++)
        if (strcmp(o->p[i].name, name) == 0)
            return;
    if (o->n == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 16;
        o->p = q_realloc(o->p, sizeof *o->p * (size_t)o->cap);
    }
    property_set(f, name, &set);
    o->p[o->n++] = (property){ name, is_required(f, name), rule_of(m, &set) };
}

/* The names of properties that are not listed: any string but these; of arguments those that need no quotes. */
static int other_names(maker *m, const object *o)
{
    if (o->n == 0 && !o->dress)
        return string_rule(m);
    const char **word = q_alloc(sizeof *word * (size_t)(o->n + 1));
    letters l;
    for (int i = 0; i < o->n; i++)
        word[i] = o->p[i].name;
    letters_other(word, o->n, &l);
    int rule = form_rule(m->f, "#name", 0, 0);
    uint32_t a = form_state(m->f), b = form_state(m->f);
    if (o->dress) {
        letters all = l, plain;
        letters_whole("[A-Za-z_][A-Za-z0-9_]{0,63}", &plain);
        letters_both(&all, &plain, &l);  /* walked side by side from their beginnings: hardly more than the words have */
        letters_put(&l, m->f, LETTERS_RAW, a, b);
        letters_free(&all);
        letters_free(&plain);
    } else {
        uint32_t in = form_state(m->f), out = form_state(m->f);
        form_bytes(m->f, a, '"', '"', in);
        letters_put(&l, m->f, m->tagged ? LETTERS_TAGGED : LETTERS_JSON, in, out);
        form_bytes(m->f, out, '"', '"', b);
    }
    form_define(m->f, rule, a, b);
    letters_free(&l);
    free(word);
    return rule;
}

/* ---- arguments of calls that are no JSON object ---- */
/* What hears such a call takes the value of this one for text, whatever it looks like. */
static bool is_text(const maker *m, const char *name)
{
    const json *all = json_get(m->root, "properties"), *own = all ? json_get(all, name) : NULL, *type = own ? json_get(own, "type") : NULL;
    return m->tagged && type && type->type == JSON_STRING && strcmp(type->text, "string") == 0;
}

static int check_name(maker *m, const object *o, const char *name)
{
    bool sound = *name != 0;
    for (const char *p = name; *p; p++)
        sound &= m->tagged ? !strchr("<> \t\r\n", *p) : (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_';
    if (sound)
        return Q_OK;
    char *what = q_printf(_("an argument of the name \"%.60s\" cannot be written in this format of calls"), name);
    int rc = facts_wrong(&m->t, o->of->v[0], what);
    free(what);
    return rc;
}

static int put_raw_alternative(maker *m, uint32_t from, const facts *f, uint32_t to)
{
    facts values;
    letters l;
    long least, most;
    bool has;
    int rc = facts_values(&m->t, f, &values, &has);
    if (rc < 0)
        return rc;
    if (has) {
        for (int i = 0; i < values.n; i++)
            if (values.v[i]->type == JSON_STRING && !strstr(values.v[i]->text, m->dress->never[0]) && !strstr(values.v[i]->text, m->dress->never[1]))
                letters_put_text(m->f, LETTERS_RAW, from, values.v[i]->text, values.v[i]->n, to);
        facts_free(&values);
        return Q_OK;
    }
    if (!(facts_kinds(f) & FACTS_STRING))
        return Q_OK;
    if ((rc = facts_strings(&m->t, f, &least, &most, &l, &has)) < 0)
        return rc;
    if (!has && least == 0 && most < 0) {
        form_call(m->f, from, raw_rule(m), to);
        return Q_OK;
    }
    if (!has && most > COUNTED)
        most = -1;
    if (!has && least > COUNTED)
        return facts_wrong(&m->t, f->v[0], _("a text's length is held up to 2000 letters in this format of calls"));
    if (!has)
        letters_lengths(least, most, &l);
    if ((rc = letters_as_they_are(m, &l)) < 0)
        return facts_wrong(&m->t, f->v[0], _("what this asks of a text, with the rest, becomes too large: take it out, or smaller repetitions"));
    letters_put(&l, m->f, LETTERS_RAW, from, to);
    letters_free(&l);
    return Q_OK;
}

static int put_raw(maker *m, uint32_t from, const facts *set, uint32_t to)
{
    alternatives a = { 0 };
    int rc = expand_set(m, set, &a, 0);
    for (int k = 0; k < a.n && rc == Q_OK; k++)
        rc = put_raw_alternative(m, from, &a.v[k], to);
    alternatives_free(&a);
    return rc;
}

/* The name's frame, the name, what is between it and the value. p NULL: one that is not listed. */
static uint32_t put_key(maker *m, const object *o, uint32_t from, const property *p, bool more)
{
    form *f = m->f;
    uint32_t named = form_state(f), at = o->dress ? form_frame(f, from, more ? o->dress->next : o->dress->first) : more ? comma(m, from) : from;
    if (!p)
        form_call(f, at, o->name, named);
    else if (o->dress)
        letters_put_text(f, LETTERS_RAW, at, p->name, strlen(p->name), named);
    else
        put_name(m, at, p->name, strlen(p->name), named);
    return o->dress ? form_frame(f, named, o->dress->middle) : colon(m, named);
}

static int put_filled(maker *m, const object *o, uint32_t from, const property *p, uint32_t to)
{
    uint32_t end = o->dress ? form_state(m->f) : to;
    int rc = Q_OK;
    if (p && o->dress && is_text(m, p->name)) {
        facts set;
        property_set(o->of, p->name, &set);
        rc = put_raw(m, from, &set, end);
        facts_free(&set);
    } else if (!p && o->other < 0)
        form_call(m->f, from, raw_rule(m), end);
    else
        form_call(m->f, from, p ? p->rule : o->other, end);
    if (o->dress)
        form_skip(m->f, form_frame(m->f, end, o->dress->behind), to);
    return rc;
}

static int object_read(maker *m, const facts *f, object *o)
{
    facts other = { 0 };
    for (int i = 0; i < f->n; i++) {
        const json *p = json_get(f->v[i], "properties");
        for (const json *x = p ? p->child : NULL; x; x = x->next)
            object_add(m, o, f, x->key);
    }
    for (int i = 0; i < f->n; i++) {
        const json *r = json_get(f->v[i], "required"), *a = json_get(f->v[i], "additionalProperties");
        for (const json *x = r ? r->child : NULL; x; x = x->next)
            object_add(m, o, f, x->text);
        if (a)
            facts_add(&other, a);
    }
    for (int i = 0; i < o->n && o->dress; i++)
        if (check_name(m, o, o->p[i].name) < 0) {
            facts_free(&other);
            return Q_FORMAT;
        }
    o->least = facts_least(f, "minProperties");
    o->most = facts_most(f, "maxProperties");
    o->open = !forbidden(&other);
    if (o->open) {
        o->other = o->dress && m->tagged && other.n == 0 ? -1 : rule_of(m, &other);
        o->name = other_names(m, o);
    }
    facts_free(&other);
    int sure = 0;                        /* a name may come twice and counts once: only listed ones are counted surely */
    for (int i = 0; i < o->n; i++)
        sure += o->p[i].required;
    if (o->open && o->least > 1 && o->least > sure)
        return facts_wrong(&m->t, f->v[0], _("\"minProperties\" above 1 is held only with additionalProperties false, or where as many are required"));
    if ((o->least > 0 && o->least > 1000) || o->most > 1000)
        return facts_wrong(&m->t, f->v[0], _("minProperties and maxProperties are held up to 1000"));
    return Q_OK;
}

/* One property behind the other, each or none; now[c]: c of them are written (without counting: none, some). */
static int put_properties(maker *m, const object *o, uint32_t from, uint32_t to)
{
    form *f = m->f;
    int rc = Q_OK;
    long counts = o->most >= 0 ? o->most : o->least;       /* how far is counted; 0: not at all */
    bool counted = o->least > 0 || o->most >= 0;
    long width = counted ? counts + 1 : 2;                 /* without counting: none, and some */
    uint32_t *now = q_alloc(sizeof *now * (size_t)width), *next = q_alloc(sizeof *next * (size_t)width);
    for (long c = 0; c < width; c++)
        now[c] = form_state(f);
    form_skip(f, from, now[0]);
    for (int i = 0; i <= o->n && !form_full(f) && rc == Q_OK; i++) {
        bool others = i == o->n;
        if (others && !o->open)
            break;
        for (long c = 0; c < width; c++)
            next[c] = others ? now[c] : form_state(f);
        for (long c = 0; c < width && rc == Q_OK; c++) {
            long then = c + 1 < width ? c + 1 : o->most >= 0 ? -1 : c;
            if (!others && !o->p[i].required)
                form_skip(f, now[c], next[c]);
            if (then < 0)
                continue;
            const property *p = others ? NULL : &o->p[i];
            rc = put_filled(m, o, put_key(m, o, now[c], p, c > 0), p, next[then]);
        }
        if (!others)
            memcpy(now, next, sizeof *now * (size_t)width);
    }
    for (long c = 0; c < width; c++)
        if (c >= o->least && o->dress)
            form_skip(f, now[c], to);
        else if (c >= o->least)
            form_bytes(f, c ? blank(m, now[c]) : now[c], '}', '}', to);
    free(now);
    free(next);
    return rc;
}

/* dress NULL: JSON. */
static int put_object(maker *m, uint32_t from, const facts *f, const schema_dress *dress, uint32_t to)
{
    object o = { .of = f, .dress = dress };
    int rc = object_read(m, f, &o);
    if (rc == Q_OK && !dress) {
        uint32_t at = form_state(m->f);
        form_bytes(m->f, from, '{', '{', at);
        from = blank(m, at);
    }
    if (rc == Q_OK)
        rc = put_properties(m, &o, from, to);
    free(o.p);
    return rc;
}

/* ---- rules ---- */
static int put_alternative(maker *m, uint32_t from, const facts *f, uint32_t to)
{
    facts values;
    bool has;
    unsigned kinds = facts_kinds(f);
    int rc = facts_values(&m->t, f, &values, &has);
    if (rc < 0)
        return rc;
    if (has) {
        for (int i = 0; i < values.n; i++)
            put_value(m, from, values.v[i], to);
        facts_free(&values);
        return Q_OK;
    }
    if (kinds & FACTS_NULL)
        put_word(m, from, JSON_NULL, to);
    if (kinds & FACTS_BOOL) {
        put_word(m, from, JSON_TRUE, to);
        put_word(m, from, JSON_FALSE, to);
    }
    if (kinds & (FACTS_WHOLE | FACTS_BROKEN)) {
        decimal_bound lo, hi;
        if ((rc = facts_numbers(&m->t, f, &lo, &hi)) < 0)
            return rc;
        decimal_put(m->f, from, &lo, &hi, !(kinds & FACTS_BROKEN), to);
    }
    if (kinds & FACTS_STRING && (rc = put_string(m, from, f, to)) < 0)
        return rc;
    if (kinds & FACTS_ARRAY && (rc = put_array(m, from, f, to)) < 0)
        return rc;
    return kinds & FACTS_OBJECT ? put_object(m, from, f, NULL, to) : Q_OK;
}

static int define(maker *m, int i)
{
    alternatives a = { 0 };
    facts set;
    uint32_t from = form_state(m->f), to = form_state(m->f);
    facts_copy(&set, &m->known[i].set);
    int rc = expand_set(m, &set, &a, 0);
    for (int k = 0; k < a.n && rc == Q_OK; k++)
        rc = put_alternative(m, from, &a.v[k], to);
    form_define(m->f, m->known[i].rule, from, to);
    alternatives_free(&a);
    facts_free(&set);
    return rc;
}

/* All that the schema lets an argument be, in its dress; what allows no object allows none. */
static int put_arguments(maker *m, uint32_t from, uint32_t to)
{
    alternatives a = { 0 };
    facts one = { 0 }, values;
    facts_add(&one, m->root);
    int rc = expand_set(m, &one, &a, 0);
    for (int k = 0; k < a.n && rc == Q_OK; k++) {
        bool has;
        if ((rc = facts_values(&m->t, &a.v[k], &values, &has)) == Q_OK && has) {
            facts_free(&values);
            rc = facts_wrong(&m->t, m->root, _("enum and const are held in this format of calls below properties only"));
        } else if (rc == Q_OK && facts_kinds(&a.v[k]) & FACTS_OBJECT)
            rc = put_object(m, from, &a.v[k], m->dress, to);
    }
    alternatives_free(&a);
    facts_free(&one);
    return rc;
}

int schema_read_arguments(form *f, const char *name, const char *text, size_t n, const schema_dress *dress, char *err)
{
    json *root;
    int values, rc = json_read(text, n, &root, &values, err);
    if (rc < 0)
        return rc;
    maker m = { .f = f, .t = { text, err }, .root = root, .checked = q_alloc(sizeof(bool) * (size_t)(values + 1)), .dress = dress, .tagged = dress && dress->never[0],
                .owner = q_alloc(sizeof(json *) * (size_t)(values + 1)), .ws = -1, .chars = -1, .string = -1, .raw = -1 };
    int rule = form_named(f, name);
    if (rule < 0)
        rule = form_rule(f, name, 0, 0);
    uint32_t a = form_state(f), b = form_state(f);
    facts one = { 0 };
    if (dress && dress->first)
        rc = put_arguments(&m, a, b);
    else {
        facts_add(&one, root);
        form_call(f, a, rule_of(&m, &one), b);
    }
    form_define(f, rule, a, b);
    for (int i = 0; i < m.n_known && rc == Q_OK && !form_full(f); i++)
        rc = i < SETS ? define(&m, i) : facts_wrong(&m.t, root, _("too many alternatives: anyOf, oneOf and allOf meet in too many ways"));
    for (int i = 0; i < m.n_known; i++)
        facts_free(&m.known[i].set);
    free(m.known);
    free(m.checked);
    free(m.owner);
    json_free(root);
    return rc;
}

int schema_read(form *f, const char *name, const char *text, size_t n, char *err) { return schema_read_arguments(f, name, text, n, NULL, err); }
