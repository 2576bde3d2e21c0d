/* serve/fault: see fault.h. */
#include "serve/fault.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fault_set(fault *f, int status, const char *field, const char *fmt, ...)
{
    if (f->status)
        return Q_ERR;
    va_list ap;
    size_t n = field ? strnlen(field, sizeof f->field - 1) : 0;
    f->status = status;
    memcpy(f->field, field ? field : "", n);
    f->field[q_utf8_whole(f->field, n)] = 0;
    va_start(ap, fmt);
    vsnprintf(f->words, sizeof f->words, fmt, ap);
    va_end(ap);
    f->words[q_utf8_whole(f->words, strlen(f->words))] = 0;
    return Q_ERR;
}

static const char *type_of(int status)
{
    static const struct { int status; const char *type; } row[] = {
        { 401, "authentication_error" }, { 403, "permission_error" }, { 404, "not_found_error" }, { 503, "overloaded_error" }, { 500, "server_error" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].status == status)
            return row[i].type;
    return "invalid_request_error";
}

void fault_json(const fault *f, q_buf *out)
{
    cJSON *j = cJSON_CreateObject(), *e = cJSON_AddObjectToObject(j, "error");
    char *words = q_utf8_clean(f->words, strlen(f->words)), *text;
    cJSON_AddStringToObject(e, "message", words);
    cJSON_AddStringToObject(e, "type", type_of(f->status));
    if (*f->field)
        cJSON_AddStringToObject(e, "param", f->field);
    else
        cJSON_AddNullToObject(e, "param");
    if (f->code)
        cJSON_AddStringToObject(e, "code", f->code);
    else
        cJSON_AddNullToObject(e, "code");
    text = cJSON_PrintUnformatted(j);
    q_json_safe(out, text, strlen(text));
    free(text);
    free(words);
    cJSON_Delete(j);
}
