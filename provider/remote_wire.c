/* provider/remote_wire: see remote_wire.h. */
#include "provider/remote_wire.h"
#include "provider/remote_config.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MOST = 128, MODELS_MOST = 1000, TOKENS_MOST = 1 << 24 };

/* ================= what is asked ================= */
static cJSON *string_of(const char *s, size_t n)
{
    char *clean = q_utf8_clean(s ? s : "", n);
    cJSON *j = cJSON_CreateString(clean);
    free(clean);
    return j;
}

static void add_calls(cJSON *message, const prov_request *r, int at)
{
    cJSON *all = NULL;
    for (int i = 0; i < r->n_call; i++) {
        const prov_call *c = &r->call[i].call;
        if (r->call[i].message != at)
            continue;
        if (!all)
            all = cJSON_AddArrayToObject(message, "tool_calls");
        cJSON *one = cJSON_CreateObject(), *f = cJSON_CreateObject();
        cJSON_AddItemToObject(one, "id", string_of(c->id, strlen(c->id)));
        cJSON_AddStringToObject(one, "type", "function");
        cJSON_AddItemToObject(f, "name", string_of(c->name, strlen(c->name)));
        cJSON_AddItemToObject(f, "arguments", string_of(c->arguments, strlen(c->arguments)));
        cJSON_AddItemToObject(one, "function", f);
        cJSON_AddItemToArray(all, one);
    }
}

/* thinks: the field of thoughts; NULL: none are said. Some servers refuse a call whose thought does not come back. */
static void add_thought(cJSON *message, const prov_request *r, int at, const char *thinks)
{
    for (int i = 0; thinks && i < r->n_thought; i++)
        if (r->thought[i].message == at)
            cJSON_AddItemToObject(message, thinks, string_of(r->thought[i].text, r->thought[i].n));
}

static cJSON *messages(const prov_request *r, const char *thinks)
{
    static const char *const role[] = { [PROV_SYSTEM] = "system", [PROV_USER] = "user", [PROV_ASSISTANT] = "assistant", [PROV_TOOL] = "tool" };
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < r->n_message; i++) {
        const prov_message *m = &r->message[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "role", role[m->role]);
        cJSON_AddItemToObject(one, "content", string_of(m->text, m->n));
        if (m->role == PROV_TOOL && m->call)
            cJSON_AddItemToObject(one, "tool_call_id", string_of(m->call, strlen(m->call)));
        if (m->role == PROV_ASSISTANT) {
            add_thought(one, r, i, thinks);
            add_calls(one, r, i);
        }
        cJSON_AddItemToArray(all, one);
    }
    return all;
}

/* The answer's beginning is a message that is not over (vLLM's and SGLang's protocol). */
static void add_begin(cJSON *j, cJSON *all, const prov_request *r)
{
    if (!r->n_begin)
        return;
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "role", "assistant");
    cJSON_AddItemToObject(one, "content", string_of(r->begin, r->n_begin));
    cJSON_AddItemToArray(all, one);
    cJSON_AddFalseToObject(j, "add_generation_prompt");
    cJSON_AddTrueToObject(j, "continue_final_message");
}

static void add_tools(cJSON *j, const prov_request *r)
{
    cJSON *all = r->n_tool > 0 ? cJSON_AddArrayToObject(j, "tools") : NULL;
    for (int i = 0; i < r->n_tool; i++) {
        cJSON *one = cJSON_CreateObject(), *f = cJSON_CreateObject(), *schema = cJSON_Parse(r->tool[i].schema ? r->tool[i].schema : "{}");
        cJSON_AddStringToObject(one, "type", "function");
        cJSON_AddStringToObject(f, "name", r->tool[i].name);
        cJSON_AddStringToObject(f, "description", r->tool[i].help ? r->tool[i].help : "");
        cJSON_AddItemToObject(f, "parameters", schema ? schema : cJSON_CreateObject());
        cJSON_AddItemToObject(one, "function", f);
        cJSON_AddItemToArray(all, one);
    }
}

/* "one,two\, with a comma,\n" as a list: as sampler.stop is written. */
static void add_stops(cJSON *j, const char *list)
{
    cJSON *all = cJSON_CreateArray();
    q_buf b = { 0 };
    for (const char *p = list;; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            q_buf_putc(&b, *p == 'n' ? '\n' : *p == 't' ? '\t' : *p);
        } else if (*p && *p != ',')
            q_buf_putc(&b, *p);
        else {
            if (b.len)
                cJSON_AddItemToArray(all, cJSON_CreateString(b.p));
            q_buf_clear(&b);
            if (!*p)
                break;
        }
    }
    q_buf_free(&b);
    if (cJSON_GetArraySize(all) > 0)
        cJSON_AddItemToObject(j, "stop", all);
    else
        cJSON_Delete(all);
}

static void field(void *user, const char *name, const char *value) { cJSON_AddRawToObject(user, name, value); }

static void add_thinking(cJSON *j, const wire_ask *a)
{
    q_buf b = { 0 };
    const char *think = a->r->n_begin ? "off" : a->r->think ? a->r->think : prov_config_get(a->c, "think", &b);     /* what begins has been thought about */
    bool on = strcmp(think, "on") == 0;
    if (on || strcmp(think, "off") == 0)
        cJSON_AddBoolToObject(cJSON_AddObjectToObject(j, "chat_template_kwargs"), "enable_thinking", on);
    q_buf_free(&b);
}

/* A schema as OpenAI's language has it, GBNF as llama-server has it. */
static void add_grammar(cJSON *j, const wire_ask *a)
{
    const char *knob = remote_config_grammar(a->c), *text = a->r->grammar ? a->r->grammar->text : knob;
    size_t n = a->r->grammar ? a->r->grammar->n : knob ? strlen(knob) : 0;
    if (!n)
        return;
    if (!remote_grammar_is_schema(text, n)) {
        cJSON_AddItemToObject(j, "grammar", string_of(text, n));
        return;
    }
    cJSON *form = cJSON_AddObjectToObject(j, "response_format"), *schema = cJSON_ParseWithLength(text, n);
    cJSON_AddStringToObject(form, "type", "json_schema");
    form = cJSON_AddObjectToObject(form, "json_schema");
    cJSON_AddStringToObject(form, "name", "reply");
    cJSON_AddTrueToObject(form, "strict");
    cJSON_AddItemToObject(form, "schema", schema ? schema : cJSON_CreateObject());
}

/* What no standard has, or some servers refuse. */
static void add_extras(cJSON *j, const wire_ask *a)
{
    if (a->seed)
        cJSON_AddNumberToObject(j, "seed", (double)(a->seed & 0x7FFFFFFF));     /* some keep 32 bits of it */
    if (a->n > 1)
        cJSON_AddNumberToObject(j, "n", a->n);
    cJSON_AddTrueToObject(j, "logprobs");
    cJSON_AddTrueToObject(cJSON_AddObjectToObject(j, "stream_options"), "include_usage");
}

char *wire_request(const wire_ask *a)
{
    cJSON *j = cJSON_CreateObject();
    q_buf stop = { 0 };
    cJSON_AddItemToObject(j, "model", string_of(a->model, strlen(a->model)));
    cJSON *all = messages(a->r, a->thinks);
    cJSON_AddItemToObject(j, "messages", all);
    add_begin(j, all, a->r);
    cJSON_AddTrueToObject(j, "stream");
    add_tools(j, a->r);
    remote_config_each(a->c, field, j);
    add_stops(j, prov_config_get(a->c, "sampler.stop", &stop));
    add_thinking(j, a);
    add_grammar(j, a);
    if (!a->plain)
        add_extras(j, a);
    if (a->ids)
        cJSON_AddTrueToObject(j, "return_token_ids");
    if (a->routes) {
        cJSON_AddTrueToObject(j, "return_routed_experts");
        cJSON_AddNumberToObject(j, "routed_experts_start_len", 0);
    }
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    q_buf_free(&stop);
    return text;
}

char *wire_reread(const char *model, const int32_t *id, int n, int from)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddItemToObject(j, "model", string_of(model, strlen(model)));
    cJSON_AddItemToObject(j, "prompt", cJSON_CreateIntArray(id, n));
    cJSON_AddNumberToObject(j, "max_tokens", 1);
    cJSON_AddNumberToObject(j, "temperature", 0);
    cJSON_AddNumberToObject(j, "routed_experts_prompt_start", from);
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

char *wire_messages(const char *model, const prov_request *r)
{
    cJSON *j = cJSON_CreateObject();
    q_buf all = { 0 };
    q_buf_puts(&all, "");
    for (int i = 0; i < r->n_message; i++)
        q_buf_add(&all, r->message[i].text, r->message[i].n);
    cJSON_AddItemToObject(j, "model", string_of(model, strlen(model)));
    cJSON_AddItemToObject(j, "messages", messages(r, NULL));
    cJSON_AddTrueToObject(j, "add_generation_prompt");
    cJSON_AddItemToObject(j, "content", string_of(all.p, all.len));        /* llama-server's own form */
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    q_buf_free(&all);
    return text;
}

/* ================= what comes ================= */
static const cJSON *get(const cJSON *j, const char *name) { return cJSON_IsObject(j) ? cJSON_GetObjectItemCaseSensitive(j, name) : NULL; }

/* A whole number within bounds; else `otherwise`. */
static int whole(const cJSON *j, int min, int max, int otherwise)
{
    return cJSON_IsNumber(j) && j->valuedouble >= min && j->valuedouble <= max ? (int)j->valuedouble : otherwise;
}

static const char *text_of(const cJSON *j) { return cJSON_IsString(j) && j->valuestring ? j->valuestring : ""; }

void wire_free(wire_reply *w)
{
    for (int i = 0; i < w->n_call; i++) {
        q_buf_free(&w->call[i].id);
        q_buf_free(&w->call[i].name);
        q_buf_free(&w->call[i].arguments);
    }
    free(w->call);
    free(w->token);
    free(w->routed);
    free(w->prompt_id);
    free(w->id);
    q_buf_free(&w->text);
    q_buf_free(&w->thought);
    memset(w, 0, sizeof *w);
}

char *wire_words(const char *body, size_t n)
{
    static const char *const key[] = { "message", "detail", "error", "msg" };
    cJSON *j = cJSON_ParseWithLength(body, n);
    const cJSON *error = get(j, "error"), *at = cJSON_IsObject(error) ? error : j;
    const char *words = "";
    for (size_t i = 0; !*words && i < sizeof key / sizeof *key; i++)
        words = text_of(get(at, key[i]));
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    q_say_clean(&b, words, strlen(words), true);
    if (b.len > 300) {
        b.len = q_utf8_whole(b.p, 297);
        b.p[b.len] = 0;
        q_buf_puts(&b, "…");
    }
    cJSON_Delete(j);
    return q_buf_take(&b);
}

/* What steers a terminal (C0 and C1 controls), what turns or hides what stands beside it, our own marks of a thought and what is no UTF-8
 * never enter a text: a server's words go into pipes as they stand. */
static void add_text(q_buf *to, const char *s)
{
    uint32_t cp;
    for (size_t i = 0, n = strlen(s), w; i < n; i += w) {
        w = (size_t)q_utf8_next(s + i, n - i, &cp);
        enum q_char kind = q_char_kind(cp);
        bool line = cp == '\n' || cp == '\t' || cp == '\r' || cp == 0x2028 || cp == 0x2029;
        if (cp == 0xFFFD)
            q_buf_puts(to, "\xEF\xBF\xBD");
        else if (line || kind == Q_CHAR_FINE || kind == Q_CHAR_UNSEEN)
            q_buf_add(to, s + i, w);
    }
}

/* Bounds a text whose pieces a server repeats without an end: the body is bounded already, this only names the place. */
static wire_call *call_at(wire_reply *w, int index)
{
    if (index < 0 || index >= CALLS_MOST)
        return NULL;
    if (index >= w->n_call) {
        w->call = q_realloc(w->call, sizeof *w->call * (size_t)(index + 1));
        memset(w->call + w->n_call, 0, sizeof *w->call * (size_t)(index + 1 - w->n_call));
        w->n_call = index + 1;
    }
    return &w->call[index];
}

static bool same(const q_buf *b, const char *s) { return b->len && strcmp(b->p, s) == 0; }

/* Its arguments are a whole object: nothing more of it can come. */
static bool whole_call(const wire_call *c)
{
    size_t n = c->arguments.len;
    while (n && strchr(" \t\r\n", c->arguments.p[n - 1]))
        n--;
    cJSON *j = n && c->arguments.p[n - 1] == '}' ? cJSON_ParseWithLength(c->arguments.p, n) : NULL;
    bool yes = cJSON_IsObject(j);
    cJSON_Delete(j);
    return yes;
}

/* Which call a piece is of. By right its index says it; some servers leave it out, some say 0 of all of them, so that only another id, or
 * another name behind a whole call, tells that the next one begins. had: how many there were before this chunk. */
static int index_of(const wire_reply *w, const cJSON *one, int place, int had)
{
    const cJSON *f = get(one, "function"), *arguments = get(f, "arguments");
    const char *id = text_of(get(one, "id")), *name = text_of(get(f, "name"));
    int said = whole(get(one, "index"), 0, CALLS_MOST - 1, -1), at = said >= 0 ? said : place == 0 && had ? had - 1 : place;
    const wire_call *c = at < had ? &w->call[at] : NULL;
    if (*id && (said < 0 || (c && c->id.len && !same(&c->id, id)))) {
        for (int i = 0; i < had; i++)
            if (same(&w->call[i].id, id))
                return i;
        return !c || (said < 0 && !c->id.len && !c->name.len) ? at : w->n_call;
    }
    bool more = cJSON_IsObject(arguments) || *text_of(arguments), another = *name && c && c->name.len && !*id && (more || !same(&c->name, name));
    return another && whole_call(c) ? w->n_call : at;
}

/* A name comes in pieces, or whole with every piece of the call. */
static void named(wire_call *c, const char *name)
{
    if (!c->arguments.len && !same(&c->name, name))
        add_text(&c->name, name);
}

static void calls(wire_reply *w, const cJSON *list)
{
    const cJSON *one;
    int place = 0, had = w->n_call;
    cJSON_ArrayForEach(one, list) {
        const cJSON *f = get(one, "function"), *arguments = get(f, "arguments");
        wire_call *c = call_at(w, index_of(w, one, place++, had));
        if (!c)
            continue;
        if (!c->id.len)
            add_text(&c->id, text_of(get(one, "id")));
        named(c, text_of(get(f, "name")));
        if (cJSON_IsObject(arguments)) { /* Ollama's own way */
            char *text = cJSON_PrintUnformatted(arguments);
            add_text(&c->arguments, text);
            free(text);
        } else if (!same(&c->arguments, text_of(arguments)) || !whole_call(c))       /* all of them once more at the end: said already */
            add_text(&c->arguments, text_of(arguments));
    }
}

static void ids(int32_t **v, int *n, const cJSON *list)
{
    int more = cJSON_GetArraySize(list);
    const cJSON *one;
    if (!cJSON_IsArray(list) || more <= 0 || more > TOKENS_MOST - *n)
        return;
    *v = q_realloc(*v, sizeof **v * (size_t)(*n + more));
    cJSON_ArrayForEach(one, list)
        (*v)[(*n)++] = whole(one, 0, INT32_MAX, -1);
}

/* logprobs.content: a row a token of this chunk. */
static void logprobs(wire_reply *w, const cJSON *content)
{
    int more = cJSON_GetArraySize(content);
    const cJSON *one;
    if (!cJSON_IsArray(content) || more <= 0 || more > TOKENS_MOST - w->n_token)
        return;
    w->token = q_realloc(w->token, sizeof *w->token * (size_t)(w->n_token + more));
    cJSON_ArrayForEach(one, content) {
        const cJSON *lp = get(one, "logprob"), *bytes = get(one, "bytes");
        double x = cJSON_IsNumber(lp) && lp->valuedouble <= 0 && lp->valuedouble > -9000 ? lp->valuedouble : (double)NAN;      /* -9999: vLLM's "nothing" */
        w->token[w->n_token++] = (wire_token){ whole(get(one, "id"), 0, INT32_MAX, -1), x,
                                               cJSON_IsArray(bytes) ? (size_t)cJSON_GetArraySize(bytes) : strlen(text_of(get(one, "token"))) };
    }
}

void wire_name(wire_reply *w, int named)
{
    int more = w->n_id - named;
    if (more > 0 && !w->n_token) {       /* the text is the first one's: nobody says where it is cut */
        w->token = q_realloc(w->token, sizeof *w->token * (size_t)more);
        for (; w->n_token < more; w->n_token++)
            w->token[w->n_token] = (wire_token){ -1, (double)NAN, w->n_token ? 0 : w->text.len + w->thought.len };
    }
    for (int i = 0; more > 0 && w->n_token == more && i < more; i++)
        w->token[i].id = w->id[named + i];
}

static void usage(wire_reply *w, const cJSON *u)
{
    if (!cJSON_IsObject(u))
        return;
    w->prompt_tokens = whole(get(u, "prompt_tokens"), 0, TOKENS_MOST, w->prompt_tokens);
    w->tokens = whole(get(u, "completion_tokens"), 0, TOKENS_MOST, w->tokens);
    w->cached_tokens = whole(get(get(u, "prompt_tokens_details"), "cached_tokens"), 0, TOKENS_MOST, w->cached_tokens);
}

/* Base64 as text, lists as JSON; sglext's may be a list with one a choice. */
static void routed(wire_reply *w, const cJSON *r)
{
    char *text = NULL;
    if (cJSON_IsArray(r) && cJSON_IsString(cJSON_GetArrayItem(r, 0)))
        r = cJSON_GetArrayItem(r, 0);
    if (cJSON_IsString(r))
        text = q_strdup(r->valuestring);
    else if (cJSON_IsArray(r))
        text = cJSON_PrintUnformatted(r);
    if (!text)
        return;
    free(w->routed);
    w->routed = text;
}

static const char *const thought_field[] = { "reasoning_content", "reasoning" };

static void thoughts(wire_reply *w, const cJSON *m)
{
    for (size_t i = 0; i < sizeof thought_field / sizeof *thought_field; i++) {
        const char *text = text_of(get(m, thought_field[i]));
        if (!*text)
            continue;
        add_text(&w->thought, text);
        w->thinks = thought_field[i];
        return;                          /* who sends both sends the same in them */
    }
}

/* A text, or a list of parts as Mistral's thinkers send it: {"type":"thinking","thinking":[{"type":"text","text":…}]}, then texts. */
static void content(q_buf *text, q_buf *thought, const cJSON *c)
{
    const cJSON *part;
    add_text(text, text_of(c));
    if (!cJSON_IsArray(c))
        return;
    cJSON_ArrayForEach(part, c) {
        const cJSON *inner = get(part, "thinking");
        add_text(text, text_of(get(part, "text")));
        if (inner && thought)
            content(thought, NULL, inner);
    }
}

static void choice(wire_reply *w, const cJSON *c)
{
    const cJSON *d = get(c, "delta"), *m = cJSON_IsObject(d) ? d : get(c, "message"), *stop = get(c, "stop_reason"), *said = get(m, "content");
    thoughts(w, m);
    content(&w->text, &w->thought, said);
    if (!*text_of(said) && !cJSON_IsArray(said))
        add_text(&w->text, text_of(get(m, "refusal")));
    calls(w, get(m, "tool_calls"));
    logprobs(w, get(get(c, "logprobs"), "content"));
    ids(&w->id, &w->n_id, get(c, "token_ids"));
    routed(w, get(c, "routed_experts"));
    routed(w, get(get(c, "sglext"), "routed_experts"));
    if (*text_of(get(c, "finish_reason")))
        snprintf(w->finish, sizeof w->finish, "%s", text_of(get(c, "finish_reason")));
    w->stop_string |= cJSON_IsString(stop);
}

int wire_chunk(wire_reply *w, const char *json, size_t n, char *err)
{
    cJSON *j = cJSON_ParseWithLength(json, n);
    const cJSON *choices = get(j, "choices"), *error = get(j, "error"), *c;
    int rc = Q_OK;
    if (!cJSON_IsObject(j))
        rc = q_fail(err, Q_FORMAT, _("its answer is no JSON of a conversation"));
    else if (error && !cJSON_IsNull(error)) {
        char *words = wire_words(json, n);
        rc = q_fail(err, Q_ERR, "%s", *words ? words : _("it says that something went wrong, and not what"));
        free(words);
    } else {
        cJSON_ArrayForEach(c, choices)
            if (whole(get(c, "index"), 0, 1, 0) == 0)
                choice(w, c);
        usage(w, get(j, "usage"));
        ids(&w->prompt_id, &w->n_prompt_id, w->n_prompt_id ? NULL : get(j, "prompt_token_ids"));
        routed(w, get(get(j, "sglext"), "routed_experts"));
    }
    cJSON_Delete(j);
    return rc;
}

/* ================= lists ================= */
static int context_of(const cJSON *m)
{
    static const char *const key[] = { "max_model_len", "loaded_context_length", "context_length", "max_context_length", "context_window" };
    int n = 0;
    for (size_t i = 0; !n && i < sizeof key / sizeof *key; i++)
        n = whole(get(m, key[i]), 16, TOKENS_MOST, 0);
    return n ? n : whole(get(get(m, "meta"), "n_ctx_train"), 16, TOKENS_MOST, 0);
}

static const struct { const char *owner; enum wire_kind kind; bool begins; } kinds[] = {
    { "llamacpp", WIRE_LLAMA, false }, { "vllm", WIRE_VLLM, true }, { "sglang", WIRE_SGLANG, true }, { "quorum", WIRE_QUORUM, true } };

static enum wire_kind kind_of(const char *owner)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].owner, owner) == 0)
            return kinds[i].kind;
    return WIRE_OTHER;
}

bool wire_begins(enum wire_kind k)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == k)
            return kinds[i].begins;
    return false;
}

int wire_models(const char *body, size_t n, wire_model **out, int *count, char *err)
{
    cJSON *j = cJSON_ParseWithLength(body, n);
    const cJSON *data = cJSON_IsArray(j) ? j : get(j, "data"), *m;
    *out = NULL;
    *count = 0;
    int rc = cJSON_IsArray(data) ? Q_OK : q_fail(err, Q_FORMAT, _("its list of models is no JSON of that kind"));
    cJSON_ArrayForEach(m, data) {
        const char *id = text_of(get(m, "id"));
        if (rc < 0 || !*id || *count == MODELS_MOST)
            continue;
        *out = q_realloc(*out, sizeof **out * (size_t)(*count + 1));
        (*out)[(*count)++] = (wire_model){ q_strdup(id), context_of(m), kind_of(text_of(get(m, "owned_by"))) };
    }
    cJSON_Delete(j);
    return rc;
}

int wire_count(const char *body, size_t n)
{
    cJSON *j = cJSON_ParseWithLength(body, n);
    const cJSON *tokens = get(j, "tokens");
    int count = whole(get(j, "count"), 0, TOKENS_MOST, cJSON_IsArray(tokens) ? cJSON_GetArraySize(tokens) : -1);
    cJSON_Delete(j);
    return count;
}

int wire_context(const char *body, size_t n)
{
    cJSON *j = cJSON_ParseWithLength(body, n);
    int count = whole(get(get(j, "default_generation_settings"), "n_ctx"), 16, TOKENS_MOST, 0);
    cJSON_Delete(j);
    return count;
}
