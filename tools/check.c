/* tools/check: what a model gave as arguments, held against a tool's schema. The subset of JSON schema that table.c uses, and no more: a
 * word that is not known here is ignored, so tests/unit/test_tools.c holds every schema against this list. A stranger's schema may hold
 * anything: what is not looked at is told. Any thread. */
#include "tools/inside.h"
#include "base/say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 6 };

/* A schema of whom. */
typedef struct checking {
    q_buf *unlooked;                     /* a stranger's: what was not looked at; NULL: one of table.c */
    char *err;
} checking;

const char *argument_text(const cJSON *args, const char *name) { return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, name)); }

double argument_number(const cJSON *args, const char *name, double otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(args, name);
    return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

bool argument_true(const cJSON *args, const char *name) { return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, name)); }

static const char *said_type(const cJSON *v)
{
    return cJSON_IsString(v) ? "a string" : cJSON_IsNumber(v) ? "a number" : cJSON_IsBool(v) ? "true or false" : cJSON_IsArray(v) ? "a list" :
           cJSON_IsObject(v) ? "an object" : "null";
}

static const struct { const char *type, *words; } types[] = {
    { "string", "a string" }, { "integer", "a whole number" }, { "number", "a number" }, { "boolean", "true or false" }, { "array", "a list" }, { "object", "an object" } };

static bool is_type(const cJSON *v, const char *type)
{
    switch (*type) {
    case 's': return cJSON_IsString(v);
    case 'i': return cJSON_IsNumber(v) && isfinite(v->valuedouble) && floor(v->valuedouble) == v->valuedouble;
    case 'n': return cJSON_IsNumber(v) && isfinite(v->valuedouble);
    case 'b': return cJSON_IsBool(v);
    case 'a': return cJSON_IsArray(v);
    default: return cJSON_IsObject(v);
    }
}

static int wrong_type(const cJSON *v, const char *type, const char *where, char *err)
{
    const char *wanted = type;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].type, type) == 0)
            wanted = types[i].words;
    return q_fail(err, Q_FORMAT, "%.100s must be %s, not %s", where, wanted, said_type(v));
}

static int choices(const cJSON *schema, const cJSON *v, const char *where, char *err)
{
    const cJSON *one, *all = cJSON_GetObjectItemCaseSensitive(schema, "enum");
    q_buf b = { 0 };
    if (!all)
        return Q_OK;
    cJSON_ArrayForEach(one, all) {
        if (cJSON_Compare(one, v, true))
            return q_buf_free(&b), Q_OK;
        q_buf_printf(&b, "%s%s", b.len ? ", " : "", cJSON_IsString(one) ? one->valuestring : "?");
    }
    int rc = q_fail(err, Q_FORMAT, "%.100s must be one of: %s", where, b.p ? b.p : "");
    q_buf_free(&b);
    return rc;
}

/* A bound of the schema: how it is called, and whether `have` keeps it. */
static int bounds(const cJSON *schema, const char *least, const char *most, double have, const char *what, const char *where, char *err)
{
    double min = argument_number(schema, least, -HUGE_VAL), max = argument_number(schema, most, HUGE_VAL);
    if (have < min)
        return q_fail(err, Q_FORMAT, "%.100s must be at least %.15g%s", where, min, what);
    return have > max ? q_fail(err, Q_FORMAT, "%.100s must be at most %.15g%s", where, max, what) : Q_OK;
}

/* ---- a stranger's schema ---- */
static void unlooked(const checking *c, const char *word)
{
    q_buf *b = c->unlooked, clean = { 0 };
    if (!b || b->len > 200)
        return;
    q_say_clean(&clean, word, strlen(word) < 40 ? q_utf8_whole(word, strlen(word)) : q_utf8_whole(word, 40), true);
    if (!b->p || !strstr(b->p, clean.p ? clean.p : ""))
        q_buf_printf(b, "%s%s", b->len ? ", " : "", clean.p ? clean.p : "");
    q_buf_free(&clean);
}

/* Words that this file does not look at, and that say something about values. */
static void look_over(const checking *c, const cJSON *schema)
{
    static const char *const known[] = { "type", "properties", "required", "items", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "additionalProperties",
                                         "title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions", "deprecated", "readOnly", "writeOnly" };
    const cJSON *one;
    if (!cJSON_IsObject(schema) && !cJSON_IsTrue(schema))
        unlooked(c, "a schema that is no object");
    if (cJSON_IsObject(schema))
        cJSON_ArrayForEach(one, schema) {
            bool yes = false;
            for (size_t i = 0; i < sizeof known / sizeof *known && !yes; i++)
                yes = strcmp(known[i], one->string) == 0;
            if (!yes)
                unlooked(c, one->string);
        }
}

static bool known_type(const char *type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].type, type) == 0)
            return true;
    return false;
}

/* One type, or one of a list of them. */
static int lent_type(const checking *c, const cJSON *schema, const cJSON *v, const char *where)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(schema, "type"), *one;
    const char *last = NULL;
    if (!type)
        return Q_OK;
    if (!cJSON_IsArray(type) && !cJSON_IsString(type))
        return unlooked(c, "type"), Q_OK;
    for (one = cJSON_IsArray(type) ? type->child : type; one; one = cJSON_IsArray(type) ? one->next : NULL) {
        const char *word = cJSON_GetStringValue(one);
        bool null = word && strcmp(word, "null") == 0;
        if (!word || (!null && !known_type(word)))
            return unlooked(c, "type"), Q_OK;
        if (null ? cJSON_IsNull(v) : is_type(v, word))
            return Q_OK;
        last = null && last ? last : word;
    }
    return last ? wrong_type(v, last, where, c->err) : Q_OK;
}

/* ---- both ---- */
static int check(const checking *c, const cJSON *schema, const cJSON *v, const char *where, int depth);

static int no_argument(const cJSON *known, const char *name, const char *where, char *err)
{
    q_buf b = { 0 };
    const cJSON *k;
    cJSON_ArrayForEach(k, known)
        q_buf_printf(&b, "%s%s", b.len ? ", " : "", k->string ? k->string : "");
    int rc = q_fail(err, Q_FORMAT, "there is no argument %.60s in %.100s; it takes: %s", name, where, b.p ? b.p : "none");
    q_buf_free(&b);
    return rc;
}

static int check_object(const checking *c, const cJSON *schema, const cJSON *v, const char *where, int depth)
{
    const cJSON *one, *known = cJSON_GetObjectItemCaseSensitive(schema, "properties"), *need = cJSON_GetObjectItemCaseSensitive(schema, "required");
    const cJSON *more = cJSON_GetObjectItemCaseSensitive(schema, "additionalProperties");
    bool open = c->unlooked && !cJSON_IsFalse(more);
    int rc = Q_OK;
    cJSON_ArrayForEach(one, need)
        if (cJSON_IsString(one) && !cJSON_GetObjectItemCaseSensitive(v, one->valuestring))
            return q_fail(c->err, Q_FORMAT, "the argument %.100s is missing in %.100s", one->valuestring, where);
    cJSON_ArrayForEach(one, v) {
        const cJSON *rule = cJSON_IsObject(known) ? cJSON_GetObjectItemCaseSensitive(known, one->string) : NULL, *twin = one->next;
        if (!rule && open)
            rule = cJSON_IsObject(more) ? more : NULL;
        else if (!rule && c->unlooked && cJSON_GetObjectItemCaseSensitive(schema, "patternProperties"))
            rule = NULL;                 /* told already */
        else if (!rule)
            return no_argument(known, one->string, where, c->err);
        for (; twin; twin = twin->next)
            if (strcmp(twin->string, one->string) == 0)
                return q_fail(c->err, Q_FORMAT, "the argument %.100s is given twice in %.100s", one->string, where);
        if (rule && (rc = check(c, rule, one, one->string, depth + 1)) < 0)
            return rc;
    }
    return rc;
}

static int check(const checking *c, const cJSON *schema, const cJSON *v, const char *where, int depth)
{
    const char *type = argument_text(schema, "type");
    const cJSON *one, *items = cJSON_GetObjectItemCaseSensitive(schema, "items");
    int rc = Q_OK;
    if (depth > DEPTH && c->unlooked)
        return unlooked(c, "what is nested deeper"), Q_OK;
    if (depth > DEPTH)
        return q_fail(c->err, Q_FORMAT, "%.100s is nested too deeply", where);
    if (c->unlooked) {
        look_over(c, schema);
        rc = lent_type(c, schema, v, where);
    } else if (type && !is_type(v, type))
        rc = wrong_type(v, type, where, c->err);
    if (rc == Q_OK)
        rc = choices(schema, v, where, c->err);
    if (rc == Q_OK && cJSON_IsNumber(v))
        rc = bounds(schema, "minimum", "maximum", v->valuedouble, "", where, c->err);
    if (rc == Q_OK && cJSON_IsString(v) && !q_utf8_valid(v->valuestring, strlen(v->valuestring)))
        rc = q_fail(c->err, Q_FORMAT, "%.100s is no valid UTF-8", where);
    if (rc == Q_OK && cJSON_IsString(v))
        rc = bounds(schema, "minLength", "maxLength", c->unlooked ? q_utf8_points(v->valuestring) : (double)strlen(v->valuestring), c->unlooked ? " letters long" : " bytes long", where, c->err);
    if (rc == Q_OK && cJSON_IsArray(v))
        rc = bounds(schema, "minItems", "maxItems", cJSON_GetArraySize(v), " long", where, c->err);
    if (rc == Q_OK && cJSON_IsArray(v) && items)
        cJSON_ArrayForEach(one, v)
            if (rc == Q_OK)
                rc = check(c, items, one, where, depth + 1);
    return rc == Q_OK && cJSON_IsObject(v) ? check_object(c, schema, v, where, depth) : rc;
}

int check_arguments(const cJSON *schema, const cJSON *value, char *err)
{
    if (!cJSON_IsObject(value))
        return q_fail(err, Q_FORMAT, "the arguments must be one JSON object");
    return check(&(checking){ .err = err }, schema, value, "the arguments", 0);
}

int check_lent(const cJSON *schema, const cJSON *value, q_buf *told, char *err)
{
    char why[Q_ERRLEN];
    q_buf clean = { 0 };
    if (!cJSON_IsObject(value))
        return q_fail(err, Q_FORMAT, "the arguments must be one JSON object");
    int rc = check(&(checking){ .unlooked = told, .err = why }, schema, value, "the arguments", 0);
    if (rc < 0) {                        /* names in it are a stranger's */
        q_say_clean(&clean, why, strlen(why), true);
        q_fail(err, rc, "%s", clean.p ? clean.p : "");
    }
    q_buf_free(&clean);
    return rc;
}
