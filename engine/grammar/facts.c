/* engine/grammar/facts: see facts.h. A keyword is a row: what its value must be, or that it is refused, or only a note to people. */
#include "engine/grammar/facts.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists of schemas ---- */
void facts_add(facts *f, const json *j)
{
    for (int i = 0; i < f->n; i++)
        if (f->v[i] == j)
            return;
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 8;
        f->v = q_realloc(f->v, sizeof *f->v * (size_t)f->cap);
    }
    f->v[f->n++] = j;
}

void facts_copy(facts *to, const facts *from)
{
    *to = (facts){ 0 };
    for (int i = 0; i < from->n; i++)
        facts_add(to, from->v[i]);
}

void facts_free(facts *f)
{
    free(f->v);
    *f = (facts){ 0 };
}

/* ---- keywords ---- */
enum is { NOTE, REFUSED, NUMBER, COUNT, TEXT, OBJECT, LIST, SCHEMA, ANY, BOOLEAN, TYPE, STRINGS, ITEMS };
static const struct { const char *name; enum is is; } KEYWORDS[] = {
    { "$schema", NOTE }, { "$id", NOTE }, { "$comment", NOTE }, { "$defs", NOTE }, { "definitions", NOTE }, { "title", NOTE }, { "description", NOTE },
    { "default", NOTE }, { "example", NOTE }, { "examples", NOTE }, { "deprecated", NOTE }, { "readOnly", NOTE }, { "writeOnly", NOTE }, { "contentEncoding", NOTE },
    { "contentMediaType", NOTE }, { "contentSchema", NOTE }, { "$vocabulary", NOTE }, { "$anchor", NOTE },
    { "minContains", NOTE }, { "maxContains", NOTE },      /* they say nothing without contains, which is refused */
    { "type", TYPE }, { "enum", LIST }, { "const", ANY }, { "$ref", TEXT }, { "allOf", LIST }, { "anyOf", LIST }, { "oneOf", LIST },
    { "minimum", NUMBER }, { "maximum", NUMBER }, { "exclusiveMinimum", NUMBER }, { "exclusiveMaximum", NUMBER },
    { "minLength", COUNT }, { "maxLength", COUNT }, { "pattern", TEXT }, { "format", TEXT },
    { "minItems", COUNT }, { "maxItems", COUNT }, { "prefixItems", LIST }, { "items", ITEMS }, { "additionalItems", SCHEMA },
    { "properties", OBJECT }, { "required", STRINGS }, { "additionalProperties", SCHEMA }, { "minProperties", COUNT }, { "maxProperties", COUNT },
    { "uniqueItems", BOOLEAN }, { "multipleOf", REFUSED }, { "contains", REFUSED }, { "patternProperties", REFUSED }, { "propertyNames", REFUSED },
    { "dependentRequired", REFUSED }, { "dependentSchemas", REFUSED }, { "dependencies", REFUSED }, { "not", REFUSED }, { "if", REFUSED }, { "then", REFUSED },
    { "else", REFUSED }, { "unevaluatedItems", REFUSED }, { "unevaluatedProperties", REFUSED }, { "$dynamicRef", REFUSED }, { "$dynamicAnchor", REFUSED },
    { "$recursiveRef", REFUSED }, { "$recursiveAnchor", REFUSED },
};

/* Formats as regular expressions: all that they match is of the format; of some the format has more. */
#define D2 "[0-9]{2}"
#define DATE "((000[1-9]|00[1-9][0-9]|0[1-9]" D2 "|[1-9][0-9]{3})-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))" \
    "|(" D2 "(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29)"
#define CLOCK "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define LABEL "[A-Za-z][A-Za-z0-9]{0,12}(-[A-Za-z0-9]{1,12}){0,3}"
#define HOST LABEL "(\\." LABEL "){0,3}"
#define BYTE "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
static const struct { const char *name, *pattern; } FORMATS[] = {
    { "date", DATE },
    { "time", CLOCK },
    { "date-time", DATE "T" CLOCK },
    { "uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}" },
    { "email", "[A-Za-z0-9_+~-]{1,15}(\\.[A-Za-z0-9_+~-]{1,15}){0,3}@" HOST "\\.[A-Za-z]{2,10}" },
    { "hostname", HOST },
    { "ipv4", BYTE "(\\." BYTE "){3}" },
    { "uri", "[a-z][a-z0-9+.-]{1,15}://" HOST "(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*(\\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?(#[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?" },
};

int facts_wrong(const facts_text *t, const json *at, const char *what)
{
    int line, column;
    json_place(t->text, at->at, &line, &column);
    return q_fail(t->err, Q_FORMAT, _("the JSON schema, line %d, column %d: %s"), line, column, what);
}

static int named(const facts_text *t, const json *at, const char *what)
{
    char *s = q_printf(what, at->key);
    int rc = facts_wrong(t, at, s);
    free(s);
    return rc;
}

static long count_of(const json *j)
{
    decimal x;
    if (j->type != JSON_NUMBER || !decimal_read(j->text, &x) || x.minus || !decimal_whole(&x) || x.point > 9)
        return -1;
    return (long)strtod(j->text, NULL);
}

static unsigned kind_named(const char *s)
{
    static const struct { const char *name; unsigned kinds; } K[] = {
        { "null", FACTS_NULL }, { "boolean", FACTS_BOOL }, { "integer", FACTS_WHOLE }, { "number", FACTS_WHOLE | FACTS_BROKEN }, { "string", FACTS_STRING },
        { "array", FACTS_ARRAY }, { "object", FACTS_OBJECT } };
    for (size_t i = 0; i < sizeof K / sizeof *K; i++)
        if (strcmp(s, K[i].name) == 0)
            return K[i].kinds;
    return 0;
}

static bool is_schema(const json *j) { return j->type == JSON_OBJECT || j->type == JSON_TRUE || j->type == JSON_FALSE; }

static bool strings(const json *j)
{
    if (j->type != JSON_ARRAY)
        return false;
    for (const json *x = j->child; x; x = x->next)
        if (x->type != JSON_STRING || strlen(x->text) != x->n)
            return false;
    return true;
}

static bool types(const json *j)
{
    if (j->type == JSON_STRING)
        return kind_named(j->text) != 0;
    for (const json *x = strings(j) ? j->child : NULL; x; x = x->next)
        if (!kind_named(x->text))
            return false;
    return strings(j) && j->child;
}

static bool of_kind(const json *j, enum is is)
{
    decimal x;
    switch (is) {
    case NUMBER: return j->type == JSON_NUMBER && decimal_read(j->text, &x);
    case COUNT: return count_of(j) >= 0;
    case TEXT: return j->type == JSON_STRING;
    case OBJECT: return j->type == JSON_OBJECT;
    case LIST: return j->type == JSON_ARRAY && j->child;
    case SCHEMA: return is_schema(j);
    case ITEMS: return is_schema(j) || j->type == JSON_ARRAY;
    case BOOLEAN: return j->type == JSON_TRUE || j->type == JSON_FALSE;
    case STRINGS: return strings(j);
    case TYPE: return types(j);
    case NOTE: case REFUSED: case ANY: return true;
    }
    return true;
}

static int check_one(const facts_text *t, const json *j, bool root)
{
    if (strcmp(j->key, "$id") == 0 && !root)
        return facts_wrong(t, j, _("\"$id\" is held at the schema's beginning only: take it out here, and say $ref as #/..."));
    if (strncmp(j->key, "x-", 2) == 0)
        return Q_OK;
    for (size_t i = 0; i < sizeof KEYWORDS / sizeof *KEYWORDS; i++) {
        if (strcmp(j->key, KEYWORDS[i].name) != 0)
            continue;
        if (KEYWORDS[i].is == REFUSED || (j->type == JSON_TRUE && strcmp(j->key, "uniqueItems") == 0))
            return named(t, j, _("\"%s\" cannot be held: take it out, or say it with other keywords"));
        return of_kind(j, KEYWORDS[i].is) ? Q_OK : named(t, j, _("the value of \"%s\" is none that JSON Schema or this program knows here"));
    }
    return named(t, j, _("the keyword \"%s\" is not known: correct it, or begin its name with x- where it is only a note"));
}

int facts_check(const facts_text *t, const json *schema, bool root)
{
    int rc = Q_OK;
    for (const json *j = schema->child; j && rc == Q_OK; j = j->next)
        rc = check_one(t, j, root);
    return rc;
}

/* ---- kinds ---- */
unsigned facts_kinds(const facts *f)
{
    unsigned kinds = FACTS_ALL;
    for (int i = 0; i < f->n; i++) {
        const json *t = json_get(f->v[i], "type");
        unsigned own = 0;
        if (!t)
            continue;
        if (t->type == JSON_STRING)
            own = kind_named(t->text);
        for (const json *x = t->child; x; x = x->next)
            own |= kind_named(x->text);
        kinds &= own;
    }
    return kinds;
}

long facts_least(const facts *f, const char *key)
{
    long out = 0;
    for (int i = 0; i < f->n; i++) {
        const json *j = json_get(f->v[i], key);
        long x = j ? count_of(j) : 0;
        out = x > out ? x : out;
    }
    return out;
}

long facts_most(const facts *f, const char *key)
{
    long out = -1;
    for (int i = 0; i < f->n; i++) {
        const json *j = json_get(f->v[i], key);
        long x = j ? count_of(j) : -1;
        if (x >= 0 && (out < 0 || x < out))
            out = x;
    }
    return out;
}

/* ---- numbers ---- */
static void tighten(decimal_bound *b, const json *j, bool open, bool low)
{
    decimal x;
    if (!j || !decimal_read(j->text, &x))
        return;
    int d = b->there ? decimal_compare(&x, &b->x) : 0;
    if (!b->there || (low ? d > 0 : d < 0))
        *b = (decimal_bound){ true, open, x };
    else if (d == 0)
        b->open |= open;
}

int facts_numbers(const facts_text *t, const facts *f, decimal_bound *lo, decimal_bound *hi)
{
    *lo = *hi = (decimal_bound){ .there = false };
    for (int i = 0; i < f->n; i++) {
        tighten(lo, json_get(f->v[i], "minimum"), false, true);
        tighten(lo, json_get(f->v[i], "exclusiveMinimum"), true, true);
        tighten(hi, json_get(f->v[i], "maximum"), false, false);
        tighten(hi, json_get(f->v[i], "exclusiveMaximum"), true, false);
    }
    return Q_OK;
}

/* ---- strings ---- */
static int narrow(const facts_text *t, const json *at, letters *all, bool *has, letters *one)
{
    letters both;
    if (!*has) {
        *has = true;
        *all = *one;
        return Q_OK;
    }
    int rc = letters_both(all, one, &both);
    letters_free(all);
    letters_free(one);
    *all = both;
    return rc < 0 ? facts_wrong(t, at, _("what this asks of a text, with the rest, becomes too large: take it out, or smaller repetitions")) : Q_OK;
}

static int narrow_by(const facts_text *t, const json *schema, letters *all, bool *has)
{
    const json *pattern = json_get(schema, "pattern"), *format = json_get(schema, "format");
    letters one;
    int rc = Q_OK;
    if (pattern) {
        size_t at;
        const char *what;
        if (letters_pattern(pattern->text, pattern->n, &one, &at, &what) < 0) {
            char *s = q_printf(_("the pattern, byte %zu: %s"), at + 1, _(what));
            rc = facts_wrong(t, pattern, s);
            free(s);
            return rc;
        }
        rc = narrow(t, pattern, all, has, &one);
    }
    if (!format || rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        if (strcmp(format->text, FORMATS[i].name) == 0)
            return letters_whole(FORMATS[i].pattern, &one) < 0 ? facts_wrong(t, format, _("this format cannot be held")) : narrow(t, format, all, has, &one);
    char *s = q_printf(_("the format \"%s\" cannot be held: say it as a pattern, or take it out"), format->text);
    rc = facts_wrong(t, format, s);
    free(s);
    return rc;
}

int facts_strings(const facts_text *t, const facts *f, long *least, long *most, letters *out, bool *has)
{
    int rc = Q_OK;
    *has = false;
    *out = (letters){ 0 };
    *least = facts_least(f, "minLength");
    *most = facts_most(f, "maxLength");
    for (int i = 0; i < f->n && rc == Q_OK; i++)
        rc = narrow_by(t, f->v[i], out, has);
    if (rc == Q_OK && *has && (*least > 0 || *most >= 0)) {
        letters lengths;
        if (*least > LETTERS_STATES / 2 || *most > LETTERS_STATES / 2)
            rc = facts_wrong(t, f->v[0], _("a length of so many letters beside a pattern or format is too large: take a smaller one"));
        else {
            bool never = *most >= 0 && *least > *most;
            letters_lengths(never ? 0 : *least, never ? 0 : *most, &lengths);
            if (never)
                lengths.end[0] = false;
            rc = narrow(t, f->v[0], out, has, &lengths);
        }
    }
    if (rc < 0 && *has)
        letters_free(out);
    return rc;
}

/* ---- listed values ---- */
bool facts_equal(const json *a, const json *b)
{
    decimal x, y;
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case JSON_NULL: case JSON_TRUE: case JSON_FALSE: return true;
    case JSON_STRING: return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
    case JSON_NUMBER: return decimal_read(a->text, &x) && decimal_read(b->text, &y) ? decimal_compare(&x, &y) == 0 : strcmp(a->text, b->text) == 0;
    case JSON_ARRAY:
        if (json_length(a) != json_length(b))
            return false;
        for (const json *p = a->child, *q = b->child; p; p = p->next, q = q->next)
            if (!facts_equal(p, q))
                return false;
        return true;
    case JSON_OBJECT:
        if (json_length(a) != json_length(b))
            return false;
        for (const json *p = a->child; p; p = p->next) {
            const json *q = json_get(b, p->key);
            if (!q || !facts_equal(p, q))
                return false;
        }
        return true;
    }
    return false;
}

static unsigned kind_of(const json *j)
{
    static const unsigned K[] = { FACTS_NULL, FACTS_BOOL, FACTS_BOOL, FACTS_BROKEN, FACTS_STRING, FACTS_ARRAY, FACTS_OBJECT };
    decimal x;
    return j->type == JSON_NUMBER && decimal_read(j->text, &x) && decimal_whole(&x) ? FACTS_WHOLE : K[j->type];
}

static bool listed(const json *schema, const json *value)
{
    const json *list = json_get(schema, "enum"), *only = json_get(schema, "const");
    bool found = !list;
    for (const json *x = list ? list->child : NULL; x && !found; x = x->next)
        found = facts_equal(x, value);
    return found && (!only || facts_equal(only, value));
}

/* Whether a list or an object is allowed by more than its kind cannot be told here. */
static bool says_more(const facts *f, unsigned kind)
{
    static const char *const of_array[] = { "items", "prefixItems", "minItems", "maxItems", "additionalItems", NULL };
    static const char *const of_object[] = { "properties", "required", "additionalProperties", "minProperties", "maxProperties", NULL };
    const char *const *key = kind == FACTS_ARRAY ? of_array : of_object;
    for (; *key; key++)
        for (int i = 0; i < f->n; i++)
            if (json_get(f->v[i], *key))
                return true;
    return false;
}

static int allowed(const facts_text *t, const facts *f, const json *value, bool *ok)
{
    unsigned kind = kind_of(value);
    int rc = Q_OK;
    *ok = (facts_kinds(f) & kind) != 0;
    for (int i = 0; i < f->n && *ok; i++)
        *ok = listed(f->v[i], value);
    if (!*ok)
        return Q_OK;
    if (kind & (FACTS_WHOLE | FACTS_BROKEN)) {
        decimal_bound lo, hi;
        decimal x;
        rc = facts_numbers(t, f, &lo, &hi);
        if ((lo.there || hi.there) && !decimal_read(value->text, &x))
            return facts_wrong(t, value, _("this number has too many digits"));
        int below = lo.there ? decimal_compare(&x, &lo.x) : 1, above = hi.there ? decimal_compare(&x, &hi.x) : -1;
        *ok = (below > 0 || (below == 0 && !lo.open)) && (above < 0 || (above == 0 && !hi.open));
    } else if (kind == FACTS_STRING) {
        long least, most, length = 0;
        letters l;
        bool has;
        if ((rc = facts_strings(t, f, &least, &most, &l, &has)) < 0)
            return rc;
        for (size_t i = 0; i < value->n; i++)
            length += ((unsigned char)value->text[i] & 0xC0) != 0x80;
        *ok = length >= least && (most < 0 || length <= most) && (!has || letters_hold(&l, value->text, value->n));
        if (has)
            letters_free(&l);
    } else if ((kind == FACTS_ARRAY || kind == FACTS_OBJECT) && says_more(f, kind))
        rc = facts_wrong(t, value, _("a list or an object among listed values cannot be held beside other keywords: take these out"));
    return rc;
}

int facts_values(const facts_text *t, const facts *f, facts *out, bool *has)
{
    const json *from = NULL;
    int rc = Q_OK;
    *has = false;
    *out = (facts){ 0 };
    for (int i = 0; i < f->n && !from; i++) {
        from = json_get(f->v[i], "const");
        if (!from && (from = json_get(f->v[i], "enum")))
            from = from->child;
    }
    if (!from)
        return Q_OK;
    *has = true;
    bool one = from->key != NULL;        /* a const is a member; the values of an enum have no names */
    for (const json *x = from; x && rc == Q_OK; x = one ? NULL : x->next) {
        bool ok;
        rc = allowed(t, f, x, &ok);
        if (rc == Q_OK && ok)
            facts_add(out, x);
    }
    if (rc < 0)
        facts_free(out);
    return rc;
}
