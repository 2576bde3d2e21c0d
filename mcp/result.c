/* mcp/result: see result.h. Words in brackets are for the model, in English. Any thread. */
#include "mcp/result.h"

#include <stdlib.h>
#include <string.h>

void mcp_result_free(mcp_result *r)
{
    for (int i = 0; i < r->n_link; i++) {
        free(r->link[i].uri);
        free(r->link[i].name);
        free(r->link[i].type);
    }
    for (int i = 0; i < r->n_part; i++)
        free(r->part[i].text);
    free(r->link);
    free(r->part);
    free(r->structured);
    free(r->type);
    q_buf_free(&r->text);
    q_buf_free(&r->blob);
    *r = (mcp_result){ .structured = NULL };
}

static const char *kind_of(const cJSON *o, const char *otherwise) { return *msg_text(o, "mimeType") ? msg_text(o, "mimeType") : otherwise; }

static void left_out(q_buf *out, const char *kind, size_t base64)
{
    char size[32];
    q_buf_printf(out, "[%s, %s, left out]", kind, q_bytes_brief(base64 / 4 * 3, size));
}

static void part_from(q_buf *out)
{
    if (out->len && out->p[out->len - 1] != '\n')
        q_buf_putc(out, '\n');
}

static void add_link(mcp_result *r, const cJSON *b)
{
    r->link = q_realloc(r->link, sizeof *r->link * (size_t)(r->n_link + 1));
    r->link[r->n_link++] = (mcp_link){ q_strdup(msg_text(b, "uri")), q_strdup(msg_text(b, "name")), q_strdup(msg_text(b, "mimeType")) };
}

/* One block of content. r: NULL in prompts. */
static void block(const cJSON *b, q_buf *out, mcp_result *r)
{
    const char *kind = msg_text(b, "type");
    part_from(out);
    if (strcmp(kind, "text") == 0)
        q_buf_puts(out, msg_text(b, "text"));
    else if (strcmp(kind, "image") == 0 || strcmp(kind, "audio") == 0)
        left_out(out, kind_of(b, kind), strlen(msg_text(b, "data")));
    else if (strcmp(kind, "resource_link") == 0) {
        q_buf_printf(out, "[resource %s: %s]", msg_text(b, "name"), msg_text(b, "uri"));
        if (r)
            add_link(r, b);
    } else if (strcmp(kind, "resource") == 0) {
        const cJSON *in = msg_object(b, "resource");
        q_buf_printf(out, "[resource %s]\n", msg_text(in, "uri"));
        if (cJSON_GetObjectItemCaseSensitive(in, "blob"))
            left_out(out, kind_of(in, "bytes"), strlen(msg_text(in, "blob")));
        else
            q_buf_puts(out, msg_text(in, "text"));
    } else
        q_buf_printf(out, "[content of an unknown kind, left out]");
}

int result_call(const cJSON *o, mcp_result *out, char *err)
{
    const cJSON *content = msg_array(o, "content"), *structured = cJSON_GetObjectItemCaseSensitive(o, "structuredContent"), *b;
    if (!content && !structured)
        return q_fail(err, Q_FORMAT, _("its answer holds no content"));
    cJSON_ArrayForEach(b, content)
        block(b, &out->text, out);
    if (structured && !cJSON_IsNull(structured)) {
        char *s = cJSON_PrintUnformatted(structured);
        out->structured = q_strdup(s ? s : "null");
        cJSON_free(s);
    }
    if (!out->text.len && out->structured)
        q_buf_puts(&out->text, out->structured);
    q_buf_puts(&out->text, "");
    out->is_error = msg_flag(o, "isError") == 1;
    out->type = q_strdup("");
    return Q_OK;
}

/* RFC 4648; what is none of its letters ends it. */
static void decode(const char *p, q_buf *out)
{
    uint32_t bits = 0;
    int have = 0;
    for (; *p && *p != '='; p++) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *at = *p == '-' ? letters + 62 : *p == '_' ? letters + 63 : strchr(letters, *p);
        if (*p == '\n' || *p == '\r')
            continue;
        if (!at)
            break;
        bits = bits << 6 | (uint32_t)(at - letters);
        have += 6;
        if (have >= 8) {
            have -= 8;
            q_buf_putc(out, (char)(bits >> have & 255));
        }
    }
}

int result_read(const cJSON *o, mcp_result *out, char *err)
{
    const cJSON *all = msg_array(o, "contents"), *c;
    if (!all)
        return q_fail(err, Q_FORMAT, _("its answer holds no content"));
    cJSON_ArrayForEach(c, all) {
        if (!out->type)
            out->type = q_strdup(msg_text(c, "mimeType"));
        part_from(&out->text);
        if (!cJSON_GetObjectItemCaseSensitive(c, "blob"))
            q_buf_puts(&out->text, msg_text(c, "text"));
        else if (!out->blob.len)
            decode(msg_text(c, "blob"), &out->blob);
        else
            left_out(&out->text, kind_of(c, "bytes"), strlen(msg_text(c, "blob")));
    }
    q_buf_puts(&out->text, "");
    q_buf_puts(&out->blob, "");
    if (!out->type)
        out->type = q_strdup("");
    return Q_OK;
}

int result_prompt(const cJSON *o, mcp_result *out, char *err)
{
    const cJSON *all = msg_array(o, "messages"), *m, *b;
    if (!all)
        return q_fail(err, Q_FORMAT, _("its answer holds no messages"));
    cJSON_ArrayForEach(m, all) {
        q_buf text = { 0 };
        const cJSON *content = cJSON_GetObjectItemCaseSensitive(m, "content");
        if (cJSON_IsArray(content)) {
            cJSON_ArrayForEach(b, content)
                block(b, &text, NULL);
        } else
            block(content, &text, NULL);
        out->part = q_realloc(out->part, sizeof *out->part * (size_t)(out->n_part + 1));
        out->part[out->n_part++] = (mcp_part){ strcmp(msg_text(m, "role"), "assistant") == 0, q_buf_take(&text) };
    }
    q_buf_puts(&out->text, "");
    out->type = q_strdup("");
    return Q_OK;
}
