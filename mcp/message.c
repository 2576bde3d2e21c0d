/* mcp/message: see message.h. Any thread. */
#include "mcp/message.h"
#include "base/say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *item(const cJSON *o, const char *key) { return cJSON_IsObject(o) ? cJSON_GetObjectItemCaseSensitive(o, key) : NULL; }

const char *msg_text(const cJSON *o, const char *key)
{
    const cJSON *v = item(o, key);
    return cJSON_IsString(v) && v->valuestring ? v->valuestring : "";
}

const cJSON *msg_object(const cJSON *o, const char *key)
{
    const cJSON *v = item(o, key);
    return cJSON_IsObject(v) ? v : NULL;
}

const cJSON *msg_array(const cJSON *o, const char *key)
{
    const cJSON *v = item(o, key);
    return cJSON_IsArray(v) ? v : NULL;
}

double msg_number(const cJSON *o, const char *key, double otherwise)
{
    const cJSON *v = item(o, key);
    return cJSON_IsNumber(v) && isfinite(v->valuedouble) ? v->valuedouble : otherwise;
}

int msg_flag(const cJSON *o, const char *key)
{
    const cJSON *v = item(o, key);
    return cJSON_IsBool(v) ? cJSON_IsTrue(v) : -1;
}

void msg_quote(q_buf *b, const char *text)
{
    cJSON *v = cJSON_CreateString(text);
    char *s = v ? cJSON_PrintUnformatted(v) : NULL;
    q_buf_puts(b, s ? s : "\"\"");
    cJSON_free(s);
    cJSON_Delete(v);
}

int64_t msg_own(const cJSON *id)
{
    double x = cJSON_IsNumber(id) ? id->valuedouble : -1;
    if (cJSON_IsString(id) && id->valuestring && *id->valuestring) {
        char *end;
        x = strtod(id->valuestring, &end);
        x = *end ? -1 : x;
    }
    return x >= 0 && x < 9e15 && x == floor(x) ? (int64_t)x : -1;
}

/* What is null is not said: programs write out the members that they leave empty. */
static const cJSON *said(const cJSON *o, const char *key)
{
    const cJSON *v = item(o, key);
    return cJSON_IsNull(v) ? NULL : v;
}

static bool classify(msg *m, const char **why)
{
    const cJSON *id = said(m->json, "id"), *method = said(m->json, "method"), *result = said(m->json, "result"), *error = said(m->json, "error");
    const cJSON *params = said(m->json, "params");
    *why = _("it is no message of JSON-RPC 2.0");
    if (strcmp(msg_text(m->json, "jsonrpc"), "2.0") != 0)
        return false;
    m->id = msg_own(id);
    if (method) {
        if (!cJSON_IsString(method) || result || error || (params && !cJSON_IsObject(params)))
            return false;
        m->method = method->valuestring;
        m->body = params;
        m->their_id = id;
        m->kind = id ? MSG_REQUEST : MSG_NOTICE;
        return !id || cJSON_IsString(id) || cJSON_IsNumber(id);
    }
    if (!result && !error && cJSON_GetObjectItemCaseSensitive(m->json, "result"))
        *why = _("its result is no object");
    if (!result == !error)
        return false;
    if (result && m->id < 0) {
        *why = _("it answers nothing that was asked");
        return false;
    }
    m->kind = result ? MSG_ANSWER : MSG_REFUSAL;
    m->body = result ? result : error;
    *why = _("its result is no object");
    return cJSON_IsObject(m->body) || !result;
}

bool msg_read(const char *p, size_t n, msg *out, const char **why)
{
    *out = (msg){ .id = -1 };
    *why = _("it is no JSON");
    int64_t id = -1;
    while (n && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' '))
        n--;
    char *clean = memchr(p, 0, n) ? NULL : q_utf8_valid(p, n) ? q_strndup(p, n) : q_utf8_clean(p, n);
    size_t len = clean ? strlen(clean) : 0;
    if (clean && !q_json_shallow(clean, MCP_DEPTH_MAX)) {
        *why = _("it has too many levels");
        free(clean);
        return false;
    }
    const char *end = NULL;
    out->json = clean ? cJSON_ParseWithLengthOpts(clean, len + 1, &end, true) : NULL;
    bool ok = cJSON_IsObject(out->json) && classify(out, why);
    free(clean);
    if (!ok) {                           /* one with a method asks, under an id of its sender's own */
        id = said(out->json, "method") ? -1 : out->id;
        msg_free(out);
        out->id = id;
    }
    return ok;
}

void msg_free(msg *m)
{
    cJSON_Delete(m->json);
    *m = (msg){ .id = -1 };
}
