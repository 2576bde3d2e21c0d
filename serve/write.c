/* serve/write: see write.h. */
#include "serve/write.h"
#include "base/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *string_of(const char *p, size_t n)
{
    char *clean = q_utf8_clean(p ? p : "", n);
    cJSON *j = cJSON_CreateString(clean);
    free(clean);
    return j;
}

cJSON *write_open(const write_head *h)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "id", h->id);
    cJSON_AddStringToObject(j, "object", !h->chat ? "text_completion" : h->stream ? "chat.completion.chunk" : "chat.completion");
    cJSON_AddNumberToObject(j, "created", (double)h->created);
    cJSON_AddItemToObject(j, "model", string_of(h->model, strlen(h->model)));
    cJSON_AddArrayToObject(j, "choices");
    return j;
}

cJSON *write_choice(cJSON *whole, const write_head *h, int index, const char *finish, cJSON *logprobs, cJSON **in)
{
    cJSON *c = cJSON_CreateObject();
    cJSON_AddNumberToObject(c, "index", index);
    *in = h->chat ? cJSON_AddObjectToObject(c, h->stream ? "delta" : "message") : c;
    cJSON_AddItemToObject(c, "logprobs", logprobs ? logprobs : cJSON_CreateNull());
    cJSON_AddItemToObject(c, "finish_reason", finish ? cJSON_CreateString(finish) : cJSON_CreateNull());
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(whole, "choices"), c);
    return c;
}

void write_text(cJSON *in, const char *name, const char *p, size_t n) { cJSON_AddItemToObject(in, name, string_of(p, n)); }

cJSON *write_call(const char *id, const prov_call *call, int index)
{
    cJSON *j = cJSON_CreateObject(), *f = cJSON_CreateObject();
    if (index >= 0)
        cJSON_AddNumberToObject(j, "index", index);
    cJSON_AddStringToObject(j, "id", id);
    cJSON_AddStringToObject(j, "type", "function");
    write_text(f, "name", call->name, strlen(call->name));
    write_text(f, "arguments", call->arguments, strlen(call->arguments));
    cJSON_AddItemToObject(j, "function", f);
    return j;
}

void write_add_usage(cJSON *whole, const write_usage *u)
{
    if (!u) {
        cJSON_AddNullToObject(whole, "usage");
        return;
    }
    cJSON *j = cJSON_AddObjectToObject(whole, "usage");
    cJSON_AddNumberToObject(j, "prompt_tokens", u->prompt);
    cJSON_AddNumberToObject(j, "completion_tokens", u->tokens);
    cJSON_AddNumberToObject(j, "total_tokens", u->prompt + u->tokens);
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(j, "prompt_tokens_details"), "cached_tokens", u->cached);
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(j, "completion_tokens_details"), "reasoning_tokens", u->thinking);
}

/* ---- how likely tokens are ---- */
static const char *const lists[] = { "tokens", "token_logprobs", "top_logprobs", "text_offset" };

/* A name for it in which two tokens stay two: bytes that are no text are spelt out, as OpenAI's server does. malloc'ed. */
static char *name_of(const char *p, size_t n)
{
    if (q_utf8_valid(p, n) && !memchr(p, 0, n))
        return q_strndup(p, n);
    q_buf b = { 0 };
    q_buf_puts(&b, "bytes:");
    for (size_t i = 0; i < n; i++)
        q_buf_printf(&b, "\\x%02x", (unsigned char)p[i]);
    return q_buf_take(&b);
}

static cJSON *chat_row(int32_t id, double logprob, const char *p, size_t n)
{
    cJSON *j = cJSON_CreateObject(), *bytes;
    cJSON_AddItemToObject(j, "token", string_of(p, n));
    cJSON_AddNumberToObject(j, "logprob", isnan(logprob) ? -9999 : logprob);         /* others' word for "not known" */
    bytes = cJSON_AddArrayToObject(j, "bytes");
    for (size_t i = 0; i < n; i++)
        cJSON_AddItemToArray(bytes, cJSON_CreateNumber((unsigned char)p[i]));
    cJSON_AddNumberToObject(j, "id", id);
    return j;
}

static cJSON *number_of(double x) { return isnan(x) ? cJSON_CreateNull() : cJSON_CreateNumber(x); }

/* One more item of a list; it is deleted. */
static size_t put(q_buf *list, cJSON *item)
{
    size_t had = list->len;
    char *text = cJSON_PrintUnformatted(item);
    q_buf_puts(list, had ? "," : "");
    q_buf_puts(list, text);
    free(text);
    cJSON_Delete(item);
    return list->len - had;
}

static size_t text_row(write_rows *to, const q_buf *bytes, int offset, const prov_piece *p)
{
    char *name = name_of(bytes->p, bytes->len);
    cJSON *tops = NULL;
    size_t n = 0;
    for (int i = 0; i < p->n_likely; i++) {
        char *one = name_of(p->likely[i].text, p->likely[i].n);
        tops = tops ? tops : cJSON_CreateObject();
        if (!cJSON_GetObjectItemCaseSensitive(tops, one))
            cJSON_AddItemToObject(tops, one, number_of(p->likely[i].logprob));
        free(one);
    }
    if (tops && !cJSON_GetObjectItemCaseSensitive(tops, name))
        cJSON_AddItemToObject(tops, name, number_of(p->logprob));
    cJSON *const item[] = { cJSON_CreateString(name), number_of(p->logprob), tops ? tops : cJSON_CreateNull(), cJSON_CreateNumber(offset) };
    for (size_t i = 0; i < sizeof item / sizeof *item; i++)
        n += put(&to->list[i], item[i]);
    free(name);
    return n;
}

size_t write_row(write_rows *to, bool chat, const q_buf *bytes, int offset, const prov_piece *p)
{
    if (!chat)
        return text_row(to, bytes, offset, p);
    cJSON *row = chat_row(p->token, p->logprob, bytes->p, bytes->len), *tops = cJSON_AddArrayToObject(row, "top_logprobs");
    for (int i = 0; i < p->n_likely; i++)
        cJSON_AddItemToArray(tops, chat_row(p->likely[i].token, p->likely[i].logprob, p->likely[i].text, p->likely[i].n));
    return put(to->list, row);
}

size_t write_id(q_buf *ids, int32_t token)
{
    size_t had = ids->len;
    q_buf_printf(ids, had ? ",%d" : "%d", (int)token);
    return ids->len - had;
}

static cJSON *list_of(const q_buf *items)
{
    char *text = q_printf("[%s]", items->p ? items->p : "");
    cJSON *j = cJSON_CreateRaw(text);
    free(text);
    return j;
}

cJSON *write_ids(const q_buf *ids) { return ids->len ? list_of(ids) : NULL; }

cJSON *write_rows_take(write_rows *r, bool chat)
{
    if (!r->list[0].len)
        return NULL;
    cJSON *j = cJSON_CreateObject();
    for (size_t i = 0; i < (chat ? 1 : sizeof lists / sizeof *lists); i++) {
        cJSON_AddItemToObject(j, chat ? "content" : lists[i], list_of(&r->list[i]));
        q_buf_free(&r->list[i]);
    }
    return j;
}

void write_rows_free(write_rows *r)
{
    for (size_t i = 0; i < sizeof r->list / sizeof *r->list; i++)
        q_buf_free(&r->list[i]);
    q_buf_free(&r->ids);
}

void write_out(cJSON *j, bool event, q_buf *out)
{
    char *text = cJSON_PrintUnformatted(j);
    q_buf_puts(out, event ? "data: " : "");
    q_json_safe(out, text, strlen(text));
    q_buf_puts(out, event ? "\n\n" : "\n");
    free(text);
    cJSON_Delete(j);
}
