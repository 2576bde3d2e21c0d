/* serve/answer: /v1/chat/completions and /v1/completions: a request is asked of the provider, and what comes is told, at once as a stream
 * or as a whole. In a stream's thread; it waits for nothing but its turn. */
#include "base/say.h"
#include "serve/read.h"
#include "serve/ran.h"
#include "serve/work.h"
#include "serve/write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { TEXT_TOKENS = 16 };               /* of a text that goes on, where max_tokens is not said: the protocol's own number */

typedef struct choice {
    q_buf text, thought;
    write_rows rows;                     /* of a stream: since the last chunk */
    cJSON *calls;
    int offset;                          /* characters of the tokens so far */
    bool begun;                          /* its first chunk is sent */
    ran ran;
    prov_result result;
} choice;
typedef struct answering {
    exchange *x;
    house *h;
    read_ask a;
    write_head head;
    char id[48];
    q_buf bytes, out;                    /* scratch */
    choice *c; int n;                    /* of all prompts */
    int first, now;                      /* of the prompt that is asked; the answer whose positions come */
    bool begun;
    size_t kept;                         /* bytes of what waits for an answer's end */
    q_buf prompt_ids;
    write_usage usage;
} answering;

static void start(answering *w)
{
    if (w->a.stream && !w->begun)
        exchange_stream(w->x);
    w->begun = true;
}

/* Whether there is still room for what an answer is told at its end, or as a whole. */
static bool fits(const answering *w) { return w->kept <= w->h->answer; }

/* ---- chunks ---- */
static void add_ids(cJSON *one, choice *c)
{
    if (c->rows.ids.len)
        cJSON_AddItemToObject(one, "token_ids", write_ids(&c->rows.ids));
    q_buf_clear(&c->rows.ids);
}

static void tell(answering *w, cJSON *whole)
{
    q_buf_clear(&w->out);
    write_out(whole, true, &w->out);
    exchange_send(w->x, w->out.p, w->out.len);
}

/* One of its parts may be there; index: of all choices. */
static void chunk(answering *w, int index, const char *name, const char *p, size_t n, cJSON *call, cJSON *logprobs, const char *finish)
{
    choice *c = &w->c[index];
    cJSON *whole = write_open(&w->head), *in, *one = write_choice(whole, &w->head, index, finish, logprobs, &in);
    if (w->head.chat && !c->begun)
        write_text(in, "role", "assistant", 9);
    if (name)
        write_text(in, name, p, n);
    else if (!w->head.chat)
        write_text(in, "text", "", 0);
    if (call)
        cJSON_AddItemToArray(cJSON_AddArrayToObject(in, "tool_calls"), call);
    add_ids(one, c);
    if (w->a.ids && !c->begun && w->prompt_ids.len)
        cJSON_AddItemToObject(w->head.chat ? whole : one, "prompt_token_ids", write_ids(&w->prompt_ids));
    if (w->a.usage)
        write_add_usage(whole, NULL);
    c->begun = true;
    tell(w, whole);
}

/* ---- hooks ---- */
static bool between(void *user, int answer, int tokens)
{
    answering *w = user;
    const choice *c = &w->c[w->first + answer];
    (void)tokens;
    start(w);
    if (w->now != answer) {              /* another answer to the same prompt */
        w->now = answer;
        if (w->a.routed)
            w->kept += ran_begin(&w->c[w->first + answer].ran, &w->c[w->first].ran, w->c[w->first].ran.n);
    }
    bool enough = w->a.one_call && w->a.r.n <= 1 && cJSON_GetArraySize(c->calls) > 0;        /* of several, the others go on: a stop is meant for all */
    return exchange_wanted(w->x) && !enough && fits(w);
}

static void prefill(void *user, int done, int total)
{
    (void)done, (void)total;
    start(user);
}

/* What a token says of itself besides its text; logprobs: among it how likely it was. */
static void row(answering *w, choice *c, const prov_piece *p, bool logprobs)
{
    uint32_t cp;
    size_t n = 0;
    if (p->token < 0 || !fits(w))
        return;
    q_buf_clear(&w->bytes);
    q_buf_puts(&w->bytes, "");
    prov_spell(w->h->p, p->token, &w->bytes);
    if (logprobs)
        n += write_row(&c->rows, w->head.chat, &w->bytes, c->offset, p);
    for (size_t i = 0; i < w->bytes.len; c->offset++)
        i += (size_t)q_utf8_next(w->bytes.p + i, w->bytes.len - i, &cp);
    if (w->a.ids && !p->prompt)
        n += write_id(&c->rows.ids, p->token);
    w->kept += w->a.stream ? 0 : n;
}

static void piece(void *user, const prov_piece *p)
{
    answering *w = user;
    int index = w->first + p->answer;
    choice *c = &w->c[index];
    row(w, c, p, w->a.logprobs);
    bool held = p->call || (w->a.forced && !p->thinking);
    if (!p->call) {
        q_buf_add(p->thinking ? &c->thought : &c->text, p->text, p->n);
        w->kept += p->n;
    }
    if (!w->a.stream)
        return;
    cJSON *logprobs = write_rows_take(&c->rows, w->head.chat);
    if (logprobs || (p->n && !held))
        chunk(w, index, held || !p->n ? NULL : !w->head.chat ? "text" : p->thinking ? "reasoning_content" : "content", p->text, p->n, NULL, logprobs, NULL);
}

/* What ended it was chosen too: of a text's tokens, and among the ids. */
static void ended(void *user, int answer, const prov_piece *p)
{
    answering *w = user;
    int index = w->first + answer;
    choice *c = &w->c[index];
    row(w, c, p, w->a.logprobs && !w->head.chat);
    cJSON *logprobs = w->a.stream ? write_rows_take(&c->rows, w->head.chat) : NULL;
    if (logprobs)
        chunk(w, index, NULL, NULL, 0, NULL, logprobs, NULL);
}

/* Nine letters and digits, as some templates want them; told apart over a conversation of any length. */
static void call_id(char out[16])
{
    static const char letter[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t r;
    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        r = q_salt();
    for (int i = 0; i < 9; i++, r /= 36)
        out[i] = letter[r % 36];
    out[9] = 0;
}

static void add_call(answering *w, int index, const prov_call *call)
{
    choice *c = &w->c[index];
    char id[16];
    call_id(id);
    c->calls = c->calls ? c->calls : cJSON_CreateArray();
    int at = cJSON_GetArraySize(c->calls);
    cJSON_AddItemToArray(c->calls, write_call(id, call, -1));
    if (w->a.stream)
        chunk(w, index, NULL, NULL, 0, write_call(id, call, at), NULL, NULL);
}

static void on_call(void *user, int answer, const prov_call *call)
{
    answering *w = user;
    int index = w->first + answer;
    choice *c = &w->c[index];
    if (*call->name) {
        if (!w->a.one_call || cJSON_GetArraySize(c->calls) == 0)
            add_call(w, index, call);
        return;
    }
    q_buf_puts(&c->text, call->arguments);       /* one that is none: text, as it was written */
    if (w->a.stream)
        chunk(w, index, "content", call->arguments, strlen(call->arguments), NULL, NULL, NULL);
}

static void position(void *user, const prov_position *p)
{
    answering *w = user;
    if (fits(w))
        w->kept += ran_put(&w->c[w->first + w->now].ran, p);
}

/* ---- the end of an answer ---- */
/* {"name":…,"arguments":…}, which its grammar held; cut short it stays a text. */
static void forced_call(answering *w, int index)
{
    choice *c = &w->c[index];
    cJSON *j = c->text.p ? cJSON_Parse(c->text.p) : NULL, *name = cJSON_GetObjectItemCaseSensitive(j, "name"), *args = cJSON_GetObjectItemCaseSensitive(j, "arguments");
    if (cJSON_IsString(name) && args) {
        char *text = cJSON_PrintUnformatted(args);
        const prov_call call = { "", name->valuestring, text };
        add_call(w, index, &call);
        q_buf_clear(&c->text);
        free(text);
    } else if (w->a.stream && c->text.len)
        chunk(w, index, "content", c->text.p, c->text.len, NULL, NULL, NULL);
    cJSON_Delete(j);
}

static const char *finish_of(const choice *c)
{
    if (cJSON_GetArraySize(c->calls) > 0 && c->result.finish != PROV_MAX_TOKENS && c->result.finish != PROV_FULL)
        return "tool_calls";
    return c->result.finish == PROV_MAX_TOKENS || c->result.finish == PROV_FULL ? "length" : "stop";
}

static void add_routes(const answering *w, const choice *c, cJSON *one)
{
    q_buf b = { 0 };
    bool open = c->result.finish == PROV_ENDED || c->result.finish == PROV_CALLS || c->result.tokens == 0;      /* what ended it was chosen last, and is no token of it */
    if (!c->ran.layers)
        return;
    ran_write(&c->ran, w->a.routed_from, c->result.prompt_tokens + c->result.tokens - !open, prov_about(w->h->p), &b);
    cJSON_AddStringToObject(one, "routed_experts", b.p);
    q_buf_free(&b);
}

static void last_chunk(answering *w, int index)
{
    choice *c = &w->c[index];
    cJSON *whole = write_open(&w->head), *in, *one = write_choice(whole, &w->head, index, finish_of(c), NULL, &in);
    if (!w->head.chat)
        write_text(in, "text", "", 0);
    else if (!c->begun)
        write_text(in, "role", "assistant", 9);
    if (w->a.routed)
        add_routes(w, c, one);
    add_ids(one, c);
    if (w->a.usage)
        write_add_usage(whole, NULL);
    tell(w, whole);
}

static bool blank(const q_buf *b) { return !b->len || strspn(b->p, " \t\r\n") == b->len; }

static void add_choice(answering *w, cJSON *whole, int index)
{
    choice *c = &w->c[index];
    cJSON *in, *one = write_choice(whole, &w->head, index, finish_of(c), write_rows_take(&c->rows, w->head.chat), &in);
    if (w->head.chat) {
        write_text(in, "role", "assistant", 9);
        if (c->calls && blank(&c->text))
            cJSON_AddNullToObject(in, "content");
        else
            write_text(in, "content", c->text.p, c->text.len);
        if (c->thought.len)
            write_text(in, "reasoning_content", c->thought.p, c->thought.len);
        if (c->calls)
            cJSON_AddItemToObject(in, "tool_calls", c->calls);
        c->calls = NULL;
    } else
        write_text(in, "text", c->text.p, c->text.len);
    if (w->a.routed)
        add_routes(w, c, one);
    add_ids(one, c);
    if (w->prompt_ids.len && !w->head.chat)
        cJSON_AddItemToObject(one, "prompt_token_ids", write_ids(&w->prompt_ids));
}

/* ---- a request ---- */
/* The settings of this request: the server's with its own. */
static prov_config *settings(const answering *w, fault *f)
{
    prov_config *c = prov_config_copy(w->h->base);
    char err[Q_ERRLEN];
    for (int i = 0; i < w->a.n_knob && !f->status; i++) {
        const read_knob *k = &w->a.knob[i];
        int rc = prov_config_set(c, k->name, k->value, err);
        if (rc < 0)
            house_fault(f, Q_RANGE, k->field, err);
    }
    return c;
}

static void prompt_ids(answering *w, const prov_request *r)
{
    char err[Q_ERRLEN];
    int32_t *id = NULL;
    int n = prov_ids(w->h->p, r, &id, err), each = r->n > 1 && !w->head.chat ? r->n : 1;
    size_t bytes = 0;
    q_buf_clear(&w->prompt_ids);
    for (int i = 0; i < n; i++)
        bytes += write_id(&w->prompt_ids, id[i]);
    w->kept += w->a.stream ? 0 : bytes * (size_t)each;
    free(id);
}

static int ask(answering *w, const prov_request *r, fault *f)
{
    house *h = w->h;
    const prov_hooks hooks = { .user = w, .between = between, .prefill = prefill, .piece = piece, .call = on_call, .ended = ended, .position = w->a.routed ? position : NULL };
    bool turns = !(prov_about(h->p)->can & PROV_PARALLEL);
    int n = r->n > 1 ? r->n : 1;
    prov_result *out = q_alloc(sizeof *out * (size_t)n);
    char err[Q_ERRLEN] = "";
    if (turns)
        pthread_mutex_lock(&h->turn);
    if (w->a.ids)
        prompt_ids(w, r);
    int rc = exchange_wanted(w->x) ? prov_ask(h->p, r, &hooks, out, err) : Q_CANCEL;
    if (turns)
        pthread_mutex_unlock(&h->turn);
    for (int i = 0; i < n; i++) {
        w->c[w->first + i].result = out[i];
        w->usage.tokens += out[i].tokens;
        w->usage.thinking += out[i].thinking_tokens;
    }
    w->usage.prompt += out[0].prompt_tokens;
    w->usage.cached += out[0].cached_tokens;
    free(out);
    if (!exchange_wanted(w->x))
        rc = Q_CANCEL;
    else if (rc == Q_OK && !fits(w))
        return fault_set(f, 400, NULL, _("the answer would have more than %zu bytes: ask for fewer tokens or answers, or for fewer top_logprobs and no routing"), h->answer);
    return rc < 0 ? house_fault(f, rc, "", err) : Q_OK;
}

/* All prompts, one after the other. */
static int ask_all(answering *w, const prov_config *c, fault *f)
{
    prov_request r = w->a.r;
    int each = r.n > 1 ? r.n : 1, rc = Q_OK;
    r.config = c;
    r.policy = PROV_RECOMPUTE;
    r.anew = w->a.routed;                /* what is found evaluated tells no routing */
    if (!w->head.chat && r.max_tokens == 0)
        r.max_tokens = TEXT_TOKENS;
    for (int i = 0; i * each < w->n && rc == Q_OK; i++) {
        w->first = i * each;
        w->now = 0;
        if (!w->head.chat) {
            const read_prompt *p = &w->a.prompt[i];
            r.raw = p->id ? NULL : p->text;
            r.n_raw = p->n;
            r.ids = p->id;
            r.n_ids = p->n_id;
        }
        rc = ask(w, &r, f);
        for (int k = 0; k < each && rc == Q_OK; k++) {
            if (w->a.forced)
                forced_call(w, w->first + k);
            if (w->a.stream)
                last_chunk(w, w->first + k);
        }
    }
    return rc;
}

static void finish(answering *w)
{
    cJSON *whole = write_open(&w->head);
    if (!w->a.stream) {
        for (int i = 0; i < w->n; i++)
            add_choice(w, whole, i);
        if (w->prompt_ids.len && w->head.chat)
            cJSON_AddItemToObject(whole, "prompt_token_ids", write_ids(&w->prompt_ids));
        write_add_usage(whole, &w->usage);
        q_buf_clear(&w->out);
        write_out(whole, false, &w->out);
        exchange_answer(w->x, 200, "application/json", &w->out);
        return;
    }
    if (w->a.usage) {
        write_add_usage(whole, &w->usage);
        tell(w, whole);
    } else
        cJSON_Delete(whole);
    exchange_send(w->x, "data: [DONE]\n\n", 14);
    exchange_end(w->x);
}

/* A stream that has begun ends with an event that says why. */
static void fail(answering *w, const fault *f)
{
    if (!w->a.stream || !w->begun) {
        exchange_refuse(w->x, f);
        return;
    }
    q_buf_clear(&w->out);
    q_buf_puts(&w->out, "data: ");
    fault_json(f, &w->out);
    q_buf_puts(&w->out, "\n\ndata: [DONE]\n\n");
    exchange_send(w->x, w->out.p, w->out.len);
    exchange_end(w->x);
}

static void release(answering *w)
{
    for (int i = 0; i < w->n; i++) {
        choice *c = &w->c[i];
        q_buf_free(&c->text);
        q_buf_free(&c->thought);
        write_rows_free(&c->rows);
        cJSON_Delete(c->calls);
        ran_free(&c->ran);
    }
    free(w->c);
    q_buf_free(&w->prompt_ids);
    q_buf_free(&w->bytes);
    q_buf_free(&w->out);
    read_free(&w->a);
}

static void work(exchange *x, bool chat)
{
    answering w = { .x = x, .h = x->server };
    fault f = { .status = 0 };
    prov_config *c = NULL;
    uint64_t r = 0;
    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        r = q_salt();
    snprintf(w.id, sizeof w.id, "%s-%016llx", chat ? "chatcmpl" : "cmpl", (unsigned long long)r);
    if (read_ask_of(chat, x->body.p ? x->body.p : "", x->body.len, &w.a, &f) == Q_OK && house_model(w.h, w.a.model, &f) == Q_OK) {
        w.head = (write_head){ w.id, w.h->name, q_wall_ms() / 1000, chat, w.a.stream };
        w.n = (w.a.r.n > 1 ? w.a.r.n : 1) * (chat ? 1 : w.a.n_prompt);
        w.c = q_alloc(sizeof *w.c * (size_t)w.n);
        c = settings(&w, &f);
        if (!f.status)
            ask_all(&w, c, &f);
    }
    x->prompt_tokens = w.usage.prompt;
    x->cached_tokens = w.usage.cached;
    x->tokens = w.usage.tokens;
    numbers_answered(&w.h->numbers, &f);
    if (f.status)
        fail(&w, &f);
    else
        finish(&w);
    prov_config_free(c);
    release(&w);
}

void work_chat(exchange *x) { work(x, true); }
void work_text(exchange *x) { work(x, false); }
