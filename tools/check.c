/* tools/check: what a model gave as arguments, held against a tool's schema. The subset of JSON schema that table.c uses, and no more: a
 * word that is not known here is ignored, so tests/unit/test_tools.c holds every schema against this list. Any thread. */
#include "tools/inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 6 };

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
    return q_fail(err, Q_FORMAT, "%s must be %s, not %s", where, wanted, said_type(v));
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
    int rc = q_fail(err, Q_FORMAT, "%s must be one of: %s", where, b.p ? b.p : "");
    q_buf_free(&b);
    return rc;
}

/* A bound of the schema: how it is called, and whether `have` keeps it. */
static int bounds(const cJSON *schema, const char *least, const char *most, double have, const char *what, const char *where, char *err)
{
    double min = argument_number(schema, least, -HUGE_VAL), max = argument_number(schema, most, HUGE_VAL);
    if (have < min)
        return q_fail(err, Q_FORMAT, "%s must be at least %.15g%s", where, min, what);
    return have > max ? q_fail(err, Q_FORMAT, "%s must be at most %.15g%s", where, max, what) : Q_OK;
}

static int check(const cJSON *schema, const cJSON *v, const char *where, int depth, char *err);

static int check_object(const cJSON *schema, const cJSON *v, const char *where, int depth, char *err)
{
    const cJSON *one, *known = cJSON_GetObjectItemCaseSensitive(schema, "properties"), *need = cJSON_GetObjectItemCaseSensitive(schema, "required");
    int rc = Q_OK;
    cJSON_ArrayForEach(one, need)
        if (!cJSON_GetObjectItemCaseSensitive(v, one->valuestring))
            return q_fail(err, Q_FORMAT, "the argument %s is missing in %s", one->valuestring, where);
    cJSON_ArrayForEach(one, v) {
        const cJSON *rule = cJSON_GetObjectItemCaseSensitive(known, one->string), *twin = one->next;
        if (!rule) {
            q_buf b = { 0 };
            const cJSON *k;
            cJSON_ArrayForEach(k, known)
                q_buf_printf(&b, "%s%s", b.len ? ", " : "", k->string);
            rc = q_fail(err, Q_FORMAT, "there is no argument %.60s in %s; it takes: %s", one->string, where, b.p ? b.p : "none");
            q_buf_free(&b);
            return rc;
        }
        for (; twin; twin = twin->next)
            if (strcmp(twin->string, one->string) == 0)
                return q_fail(err, Q_FORMAT, "the argument %s is given twice in %s", one->string, where);
        if ((rc = check(rule, one, one->string, depth + 1, err)) < 0)
            return rc;
    }
    return rc;
}

static int check(const cJSON *schema, const cJSON *v, const char *where, int depth, char *err)
{
    const char *type = argument_text(schema, "type");
    const cJSON *one, *items = cJSON_GetObjectItemCaseSensitive(schema, "items");
    if (depth > DEPTH)
        return q_fail(err, Q_FORMAT, "%s is nested too deeply", where);
    if (type && !is_type(v, type))
        return wrong_type(v, type, where, err);
    int rc = choices(schema, v, where, err);
    if (rc == Q_OK && cJSON_IsNumber(v))
        rc = bounds(schema, "minimum", "maximum", v->valuedouble, "", where, err);
    if (rc == Q_OK && cJSON_IsString(v) && !q_utf8_valid(v->valuestring, strlen(v->valuestring)))
        rc = q_fail(err, Q_FORMAT, "%s is no valid UTF-8", where);
    if (rc == Q_OK && cJSON_IsString(v))
        rc = bounds(schema, "minLength", "maxLength", (double)strlen(v->valuestring), " bytes long", where, err);
    if (rc == Q_OK && cJSON_IsArray(v))
        rc = bounds(schema, "minItems", "maxItems", cJSON_GetArraySize(v), " long", where, err);
    if (rc == Q_OK && cJSON_IsArray(v) && items)
        cJSON_ArrayForEach(one, v)
            if (rc == Q_OK)
                rc = check(items, one, where, depth + 1, err);
    return rc == Q_OK && cJSON_IsObject(v) ? check_object(schema, v, where, depth, err) : rc;
}

int check_arguments(const cJSON *schema, const cJSON *value, char *err)
{
    if (!cJSON_IsObject(value))
        return q_fail(err, Q_FORMAT, "the arguments must be one JSON object");
    return check(schema, value, "the arguments", 0, err);
}
