/* rag/import/json: members of a JSON object, read whatever they are. Pure functions; any thread. */
#include "rag/import/json.h"

#include "rag/import/date.h"

#include <string.h>

const cJSON *js_of(const cJSON *o, const char *name) { return cJSON_IsObject(o) ? cJSON_GetObjectItemCaseSensitive(o, name) : NULL; }

const char *js_text(const cJSON *o, const char *name)
{
    const cJSON *v = js_of(o, name);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

int64_t js_date(const cJSON *o, const char *name)
{
    const cJSON *v = js_of(o, name);
    return cJSON_IsNumber(v) ? rag_date_of_number(v->valuedouble) : cJSON_IsString(v) ? rag_date(v->valuestring) : 0;
}

bool js_true(const cJSON *o, const char *name) { return cJSON_IsTrue(js_of(o, name)); }

static void one_more(q_buf *out, const char *text)
{
    if (!text || !*text) return;
    if (out->len) q_buf_puts(out, "\n\n");
    q_buf_puts(out, text);
}

void js_content(const cJSON *content, const char *type, q_buf *out)
{
    const cJSON *x;
    if (cJSON_IsString(content)) one_more(out, content->valuestring);
    if (!cJSON_IsArray(content)) return;
    cJSON_ArrayForEach(x, content) {
        const char *is = js_text(x, "type");
        if (cJSON_IsString(x) && strcmp(type, "text") == 0) one_more(out, x->valuestring);
        else if (is && strcmp(is, type) == 0) one_more(out, js_text(x, type));
    }
}
