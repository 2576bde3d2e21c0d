/* mcp/headers: see headers.h. Any thread. */
#include "mcp/headers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char MARK[] = "x-mcp-header";

static void base64(q_buf *out, const char *p, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t x = (uint32_t)(unsigned char)p[i] << 16 | (i + 1 < n ? (uint32_t)(unsigned char)p[i + 1] << 8 : 0) | (i + 2 < n ? (unsigned char)p[i + 2] : 0);
        for (int k = 0; k < 4; k++)
            q_buf_putc(out, i + (size_t)k > n ? '=' : letters[x >> (18 - 6 * k) & 63]);
    }
}

void headers_value(q_buf *out, const char *text)
{
    size_t n = strlen(text);
    bool plain = n && text[0] != ' ' && text[n - 1] != ' ' && !(n >= 11 && strncmp(text, "=?base64?", 9) == 0 && strcmp(text + n - 2, "?=") == 0);
    for (size_t i = 0; i < n && plain; i++)
        plain = text[i] >= ' ' && text[i] <= '~';
    if (plain || !n) {
        q_buf_puts(out, text);
        return;
    }
    q_buf_puts(out, "=?base64?");
    base64(out, text, n);
    q_buf_puts(out, "?=");
}

static bool token(const char *s)
{
    return *s && !s[strspn(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] && strlen(s) <= 128;
}

/* Marks below o that can be reached by properties alone go to names; one elsewhere or wrong: why. reached: o is such a place. */
static void look(const cJSON *o, bool reached, words *names, char *why)
{
    const cJSON *e, *p;
    if (cJSON_IsArray(o)) {
        cJSON_ArrayForEach(e, o)
            look(e, false, names, why);
        return;
    }
    const cJSON *mark = cJSON_GetObjectItemCaseSensitive(o, MARK);
    const char *type = msg_text(o, "type");
    bool simple = strcmp(type, "string") == 0 || strcmp(type, "integer") == 0 || strcmp(type, "boolean") == 0;
    if (cJSON_IsObject(o) && mark && !cJSON_IsObject(mark)) {
        bool twice = false;
        for (int i = 0; i < names->n && cJSON_IsString(mark); i++)
            twice |= strcasecmp(names->v[i], mark->valuestring) == 0;
        if (!reached || !cJSON_IsString(mark) || !token(mark->valuestring) || !simple || twice)
            q_fail(why, Q_FORMAT, _("it marks an argument for a header (%s) in a way that the protocol forbids"), MARK);
        else
            words_add(names, q_strdup(mark->valuestring));
    }
    cJSON_ArrayForEach(e, o) {
        if (!cJSON_IsObject(o) || !e->string || strcmp(e->string, MARK) == 0)
            continue;
        if (reached && strcmp(e->string, "properties") == 0 && cJSON_IsObject(e)) {
            cJSON_ArrayForEach(p, e)
                look(p, true, names, why);
        } else if (strcmp(e->string, "properties") == 0 && cJSON_IsObject(e)) {
            cJSON_ArrayForEach(p, e)
                look(p, false, names, why);
        } else if (strcmp(e->string, "default") != 0 && strcmp(e->string, "examples") != 0 && strcmp(e->string, "const") != 0 && strcmp(e->string, "enum") != 0)
            look(e, false, names, why);
    }
}

void headers_why_not(const cJSON *schema, char why[Q_ERRLEN])
{
    words names = { 0 };
    *why = 0;
    look(schema, true, &names, why);
    words_wipe(&names);
}

static void gather(const cJSON *schema, const cJSON *args, words *out)
{
    const cJSON *p;
    cJSON_ArrayForEach(p, msg_object(schema, "properties")) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(args, p->string);
        const char *mark = msg_text(p, MARK);
        q_buf b = { 0 };
        if (*mark && v && !cJSON_IsNull(v)) {
            q_buf_printf(&b, "Mcp-Param-%s: ", mark);
            if (cJSON_IsString(v))
                headers_value(&b, v->valuestring);
            else if (cJSON_IsBool(v))
                q_buf_puts(&b, cJSON_IsTrue(v) ? "true" : "false");
            else if (cJSON_IsNumber(v) && fabs(v->valuedouble) < 9007199254740992.0)
                q_buf_printf(&b, "%lld", (long long)v->valuedouble);
            words_add(out, q_buf_take(&b));
        }
        if (cJSON_IsObject(v))
            gather(p, v, out);
    }
}

void headers_of(const char *schema, const char *arguments, words *out)
{
    cJSON *s = strstr(schema, MARK) ? cJSON_Parse(schema) : NULL, *a = s ? cJSON_Parse(arguments) : NULL;
    if (a)
        gather(s, a, out);
    cJSON_Delete(s);
    cJSON_Delete(a);
}
