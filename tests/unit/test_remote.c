/* provider: a model on a server, played by a server of the test's own: traffic as vLLM, SGLang, llama-server, Ollama and hosted
 * services send it, and everything that they should not send. Nothing leaves the machine, nothing depends on time. */
#include "provider/provider.h"
#include "provider/remote_routes.h"
#include "tests/play_server.h"
#include "tests/test.h"
#include "tests/unit/remote_help.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>

static char err[Q_ERRLEN];
static const char KEY[] = "sk-secret-of-the-test";

/* ---- the server ---- */
typedef struct traffic {
    const char *when;                    /* what the last message says */
    const char *const *event;            /* data of events, NULL at the end; one that begins with ! is sent as it stands */
    int status; const char *type, *more, *body;      /* status: instead of events */
    bool cut;                            /* the line is closed behind them without the end of the stream */
} traffic;

static const char LONG_LINE[] = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"All at once.\",\"reasoning_content\":\"hm\"},\"finish_reason\":\"stop\"}],"
                                "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5}}";

static const traffic plays[] = {
    { .when = "plain", .event = EVENTS(CHUNK("{\"role\":\"assistant\",\"content\":\"\"}"), CHUNK("{\"content\":\"Hello\"}"), CHUNK("{\"content\":\" there\"}"),
                                       CHUNK("{\"content\":\".\"}"), END("stop"), USAGE, "[DONE]") },
    { .when = "vllm thinks", .event = EVENTS(CHUNK("{\"role\":\"assistant\",\"content\":\"\",\"reasoning\":null}"), CHUNK("{\"reasoning\":\"Hm,\"}"), CHUNK("{\"reasoning\":\" so.\"}"),
                                             CHUNK("{\"content\":\"\\n\\nFour\"}"), CHUNK("{\"content\":\".\"}"), END("stop"), USAGE, "[DONE]") },
    { .when = "sglang thinks", .event = EVENTS(CHUNK("{\"role\":\"assistant\",\"reasoning_content\":\"Hm, </think> is\"}"), CHUNK("{\"content\":null,\"reasoning_content\":\" a word\"}"),
                                               CHUNK("{\"content\":\"Four.\",\"reasoning_content\":null}"), END("stop"), "[DONE]") },
    { .when = "tags think", .event = EVENTS(CHUNK("{\"content\":\"<thi\"}"), CHUNK("{\"content\":\"nk>Hm\"}"), CHUNK("{\"content\":\"</think>\\n\\nFour.\"}"), END("stop"), "[DONE]") },
    { .when = "thinks late", .event = EVENTS(CHUNK("{\"content\":\"One\"}"), CHUNK("{\"reasoning\":\"wait\"}"), CHUNK("{\"content\":\" two\"}"), END("stop"), "[DONE]") },
    { .when = "only thinks", .event = EVENTS(CHUNK("{\"reasoning\":\"no end of it\"}"), END("length"), "[DONE]") },
    { .when = "logprobs", .event = EVENTS(
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"One\"},\"logprobs\":{\"content\":[{\"token\":\"One\",\"logprob\":-0.25,\"bytes\":[79,110,101],\"top_logprobs\":[]}]}}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\" two three\"},\"logprobs\":{\"content\":[{\"id\":7,\"token\":\" two\",\"logprob\":-0.5,\"bytes\":[32,116,119,111]},"
        "{\"id\":8,\"token\":\" three\",\"logprob\":-9999.0,\"bytes\":[32,116,104,114,101,101]}]}}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\u042f\"},\"logprobs\":{\"content\":[{\"token\":\"\",\"logprob\":-1,\"bytes\":[208]},{\"token\":\"\",\"logprob\":-2,\"bytes\":[175]}]}}]}",
        END("stop"), "[DONE]") },
    { .when = "calls", .event = EVENTS(CHUNK("{\"content\":\"I look.\"}"),
        CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"call_a\",\"type\":\"function\",\"function\":{\"name\":\"search\",\"arguments\":\"\"}}]}"),
        CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"for\\\": \"}}]}"), CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"lenses\\\"}\"}}]}"),
        CHUNK("{\"tool_calls\":[{\"index\":1,\"function\":{\"name\":\"list\",\"arguments\":{\"n\":2}}}]}"), END("tool_calls"), USAGE, "[DONE]") },
    { .when = "a cut call", .event = EVENTS(CHUNK("{\"content\":\"I look\"}"), CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"search\",\"arguments\":\"{\\\"for\\\": \\\"le\"}}]}"),
                                            END("length"), "[DONE]") },
    { .when = "odd calls", .event = EVENTS(CHUNK("{\"tool_calls\":[{\"index\":99999,\"function\":{\"name\":\"x\"}},{\"index\":-1,\"function\":{}},7,null,{\"function\":{\"name\":\"last\"}}]}"),
                                           END("tool_calls"), "[DONE]") },
    { .when = "length", .event = EVENTS(CHUNK("{\"content\":\"cut\"}"), END("length"), "[DONE]") },
    { .when = "stops", .event = EVENTS(CHUNK("{\"content\":\"one \"}"), "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":\"STOP\"}]}", "[DONE]") },
    { .when = "no done", .event = EVENTS(CHUNK("{\"content\":\"one\"}"), END("stop")) },
    { .when = "comments", .event = EVENTS("!: OPENROUTER PROCESSING\n\n", CHUNK("{\"content\":\"one\"}"), "!event: ping\ndata:\n\n", END("stop"), "[DONE]") },
    { .when = "steers", .event = EVENTS(CHUNK("{\"content\":\"a\\u001b[31mb\\u0002c\\u0003\\nd\"}"), END("stop"), "[DONE]") },
    { .when = "turns", .event = EVENTS(CHUNK("{\"content\":\"a\\u009b31mb\\u0085\\u202ec\\u2066d\\u2069\\u2028e\\u00a0\\u200ff\\udb40\\udc41\"}"), END("stop"), "[DONE]") },
    { .when = "says more", .event = EVENTS(CHUNK("{\"content\":\"one\"}"), END("stop"), "[DONE]", CHUNK("{\"content\":\" more\"}"), "{\"error\":{\"message\":\"late\"}}", "{garbage") },
    { .when = "packed", .status = 200, .type = "text/event-stream", .more = "Content-Encoding: gzip\r\n", .body = "\x1f\x8b\x08 and so on" },
    { .when = "dull", .event = EVENTS("{}", "{\"choices\":null}", "{\"choices\":[7,null,{}]}", CHUNK("{\"content\":7}"), CHUNK("[]"), CHUNK("{\"content\":\"x\"}"), END("stop"), "[DONE]") },
    { .when = "whole", .status = 200, .type = "application/json", .more = "", .body = LONG_LINE },
    { .when = "fails in the middle", .event = EVENTS(CHUNK("{\"content\":\"Half an answer\"}"), "{\"error\":{\"message\":\"CUDA out of\\u001b[2J memory\",\"code\":500}}", "[DONE]") },
    { .when = "garbage in the middle", .event = EVENTS(CHUNK("{\"content\":\"Half an answer\"}"), "{\"choices\":[{\"ind") },
    { .when = "ends early", .event = EVENTS(CHUNK("{\"content\":\"Half an answer\"}")) },
    { .when = "is cut", .event = EVENTS(CHUNK("{\"content\":\"Half an answer\"}"), "!data: {\"choices\":[{\"delta\":{\"content\":\" and ha"), .cut = true },
    { .when = "is cut behind its end", .event = EVENTS(CHUNK("{\"content\":\"All of it\"}"), END("stop"), "[DONE]"), .cut = true },
    { .when = "breaks letters", .event = EVENTS("!data: {\"choices\":[{\"delta\":{\"content\":\"\xFF\xD0 x\"}}]}\n\n", END("stop"), "[DONE]") },
    { .when = "wrong key", .status = 401, .type = "application/json", .more = "", .body = "{\"error\":{\"message\":\"Incorrect API key provided: sk-***\",\"type\":\"invalid_request_error\"}}" },
    { .when = "no model", .status = 404, .type = "application/json", .more = "", .body = "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\"}" },
    { .when = "breaks down", .status = 500, .type = "text/plain", .more = "", .body = "Internal Server Error" },
    { .when = "a page", .status = 200, .type = "text/html", .more = "", .body = "<html><body>Welcome to nginx!</body></html>" },
    { .when = "a lost page", .status = 404, .type = "text/html", .more = "", .body = "<html>404</html>" },
    { .when = "too long", .status = 400, .type = "application/json", .more = "", .body = "{\"error\":{\"message\":\"This model's maximum context length is 4096 tokens.\"}}" },
    { .when = "too busy", .status = 503, .type = "application/json", .more = "Retry-After: 0\r\n", .body = "{\"error\":\"Loading model\"}" },
    { .when = "much too busy", .status = 429, .type = "application/json", .more = "Retry-After: 3600\r\n", .body = "{\"error\":{\"message\":\"quota\"}}" },
    { .when = "nothing at all", .status = 200, .type = "application/json", .more = "", .body = "" },
    { .when = "no tools", .status = 400, .type = "application/json", .more = "",
      .body = "{\"error\":{\"message\":\"\\\"auto\\\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set\"}}" },
    { .when = "no words", .status = 418, .type = "application/json", .more = "", .body = "[[[[" } };

typedef struct state {
    atomic_int busy, cancelled;          /* answer 503 so often; a request was closed by the client */
    bool old, counts, llama;             /* refuses what is new; counts tokens, as vLLM or as llama-server */
    const char *models;
    prov **who;                          /* for who cancels in the middle */
} state;

static const traffic *find(const char *body)
{
    const traffic *best = NULL;
    const char *at = NULL;
    for (size_t i = 0; i < sizeof plays / sizeof *plays; i++) {
        char *key = q_printf("\"content\":\"%s\"", plays[i].when);
        const char *here = NULL;
        for (const char *p = body; (p = strstr(p, key)); p++)
            here = p;
        if (here && (!at || here > at))
            best = &plays[i], at = here;
        free(key);
    }
    return best;
}

static bool stream(int fd, const traffic *t)
{
    play_stream(fd);
    for (const char *const *e = t->event; *e; e++)
        if (**e == '!')
            play_chunk(fd, *e + 1);
        else
            play_event(fd, *e);
    return !t->cut && play_end(fd);
}

/* 12 MiB, letter after letter of two bytes, in chunks or in one piece. */
static bool endless(int fd, bool whole)
{
    enum { LETTERS = 1 << 19, TIMES = 12 };
    char *text = q_alloc(2 * LETTERS + 1), *piece;
    for (int i = 0; i < LETTERS; i++)
        memcpy(text + 2 * i, "\xD0\xAF", 2);
    bool go = true;
    if (whole) {
        piece = q_alloc(TIMES * 2 * LETTERS + 200);
        size_t n = (size_t)sprintf(piece, "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x");
        for (int i = 0; i < TIMES; i++, n += 2 * LETTERS)
            memcpy(piece + n, text, 2 * LETTERS);
        strcpy(piece + n, "\"},\"finish_reason\":\"stop\"}]}");
        go = play_json(fd, piece);
    } else {
        piece = q_printf(CHUNK("{\"content\":\"%s\"}"), text);
        go = play_stream(fd) && play_event(fd, CHUNK("{\"content\":\"x\"}"));
        for (int i = 0; i < TIMES && go; i++)
            go = play_event(fd, piece);
    }
    free(text);
    free(piece);
    return go;
}

static bool serve(play *p, int fd, const char *request, const char *body, int number)
{
    state *s = p->user;
    if (strncmp(request, "GET /v1/models ", 15) == 0)
        return play_json(fd, s->models ? s->models : "{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"max_model_len\":4096},{\"id\":\"org/Large-7B\"},{\"id\":\"org/Large-70B\"}]}");
    if (strncmp(request, "GET /props ", 11) == 0)
        return play_json(fd, "{\"default_generation_settings\":{\"n_ctx\":2048}}");
    if (strncmp(request, "POST /tokenize ", 15) == 0)
        return s->counts ? play_json(fd, s->llama ? "{\"tokens\":[1,2,3,4,5]}" : "{\"count\":33,\"max_model_len\":4096,\"tokens\":[1]}") : play_reply(fd, 404, "application/json", "", "{\"detail\":\"Not Found\"}");
    if (strncmp(request, "POST /v1/chat/completions ", 26) != 0)
        return play_reply(fd, 404, "text/html", "", "<html>no such page</html>");
    if (atomic_fetch_sub(&s->busy, 1) > 0)
        return play_reply(fd, 503, "application/json", "Retry-After: 0\r\n", "{\"error\":{\"message\":\"busy\"}}");
    if (s->old && (strstr(body, "\"logprobs\"") || strstr(body, "stream_options")))
        return play_reply(fd, 400, "application/json", "", "{\"error\":{\"message\":\"unknown field logprobs\"}}");
    if (strstr(body, "\"stall\"") || strstr(body, "\"cancel\"")) {
        play_stream(fd);
        play_event(fd, CHUNK("{\"content\":\"Half an answer\"}"));
        if (strstr(body, "\"cancel\""))
            prov_cancel(*s->who, true);
        play_wait(fd);
        atomic_fetch_add(&s->cancelled, 1);
        return false;
    }
    if (strstr(body, "\"lingers\"")) {   /* the last word, and then nothing */
        play_stream(fd);
        play_event(fd, CHUNK("{\"content\":\"All of it\"}"));
        play_event(fd, "[DONE]");
        play_wait(fd);
        return false;
    }
    if (strstr(body, "\"endless\"") || strstr(body, "\"endless whole\""))
        return endless(fd, strstr(body, "whole"));
    const traffic *t = find(body);
    return !t ? play_reply(fd, 400, "application/json", "", "{\"error\":{\"message\":\"the test has no such traffic\"}}")
         : t->status ? play_reply(fd, t->status, t->type, t->more, t->body) : stream(fd, t);
}

/* ---- what hooks saw ---- */
typedef struct seen {
    q_buf text, thought, calls, order, written;
    int pieces, numbered, named, told, prefills;
    double logprob[16];
    int stop_at;
} seen;

static bool between(void *user, int answer, int tokens) { return !((seen *)user)->stop_at || tokens < ((seen *)user)->stop_at; }
static void prefill(void *user, int done, int total) { ((seen *)user)->prefills += done == total; }
static void token(void *user, int answer, const prov_result *r) { ((seen *)user)->told = r->tokens; }
static void call(void *user, int answer, const prov_call *c) { q_buf_printf(&((seen *)user)->calls, "[%s %s %s]", c->id, c->name, c->arguments); }
static void piece(void *user, const prov_piece *p)
{
    seen *s = user;
    if (p->number > 0 && p->number <= 16 && p->number > s->numbered)
        s->logprob[p->number - 1] = p->logprob;
    s->numbered = p->number;
    s->named += p->token >= 0;
    s->pieces++;
    CHECK(q_utf8_valid(p->text, p->n));
    q_buf_add(p->call ? &s->written : p->thinking ? &s->thought : &s->text, p->text, p->n);
}

static void seen_clear(seen *s)
{
    q_buf_free(&s->text);
    q_buf_free(&s->thought);
    q_buf_free(&s->calls);
    q_buf_free(&s->written);
    memset(s, 0, sizeof *s);
}

static const char *str(const q_buf *b) { return b->p ? b->p : ""; }

static int say(prov *p, const char *what, seen *s, prov_result *out)
{
    static const prov_tool tool = { "search", "looks things up", "{\"type\":\"object\"}" };
    prov_message m = { .role = PROV_USER, .text = what, .n = strlen(what) };
    prov_request r = { .message = &m, .n_message = 1, .tool = &tool, .n_tool = strstr(what, "calls") != NULL, .seed = 3 };
    prov_hooks h = { .user = s, .between = between, .prefill = prefill, .piece = piece, .token = token, .call = call };
    *err = 0;
    int rc = prov_ask(p, &r, &h, out, err);
    CHECK_MSG((rc == Q_OK || *err) && !strstr(err, KEY) && !strpbrk(err, "\n\x1b"), "%s: %d %s", what, rc, err);
    return rc;
}

/* ---- opening ---- */
/* A server in that state and its model, as most tests want them; part ends both. */
static prov *meet(state *st, play **p)
{
    *p = play_open(serve, st, NULL);
    return open_at(*p, "@box/tiny", "");
}

static void part(prov *m, play *p)
{
    prov_close(m);
    play_close(p);
}

static void refuses(const play *p, const char *what, const char *more, const char *said)
{
    prov *out = NULL;
    prov_servers *s = servers_at(p, more);
    int rc = prov_open(what, &(prov_opts){ .servers = s }, &out, err);
    CHECK_MSG(rc < 0 && !out && strstr(err, said) && !strstr(err, KEY), "%s: %d %s", what, rc, err);
    prov_servers_free(s);
}

static void a_server_is_opened(void)
{
    state st = { 0 };
    play *p;
    prov *m = meet(&st, &p);
    const prov_info *i = prov_about(m);
    CHECK_STR(i->name, "@box/tiny");
    CHECK_STR(i->path, "@box/tiny");
    CHECK(i->n_ctx_train == 4096 && i->chat && i->id && !i->note && i->n_expert == 0);
    CHECK_INT(prov_context(m).size, 4096);
    uint64_t id = i->id;
    prov_close(m);
    m = open_at(p, "@box/large-70b", "context=1000");
    CHECK_STR(prov_about(m)->name, "@box/org/Large-70B");
    CHECK(prov_about(m)->id != id && prov_context(m).size == 1000);
    prov_close(m);
    m = open_at(p, "@box", "model=tiny");
    CHECK(prov_about(m)->id == id);
    prov_close(m);
    refuses(p, "@box/large", "", "several models, write @box/MODEL: tiny, org/Large-7B, org/Large-70B");
    refuses(p, "@box", "", "several models");
    refuses(p, "@box/none", "", "has no model none; it has: tiny, org/Large-7B");
    refuses(p, "@other/tiny", "", "there are: @box");
    refuses(p, "@", "", "there are: @box");
    st.models = "{\"data\":[]}";
    refuses(p, "@box/tiny", "", "has no model at the moment");
    st.models = "<html>";
    refuses(p, "@box/tiny", "", "what no model answers");
    st.models = "{\"data\":[{\"id\":\"one.gguf\",\"owned_by\":\"llamacpp\",\"meta\":{\"n_ctx_train\":32768}},{\"id\":7},{}]}";
    m = open_at(p, "@box", "");
    CHECK_STR(prov_about(m)->name, "@box/one.gguf");
    CHECK_INT(prov_context(m).size, 2048);
    prov_close(m);
    prov *none = NULL;
    CHECK(prov_open("@box/tiny", NULL, &none, err) == Q_NOTFOUND && strstr(err, "[server.box]"));
    prov_servers *s = prov_servers_new();
    CHECK(prov_servers_put(s, "box", "model", "x", err) == Q_OK && prov_open("@box", &(prov_opts){ .servers = s }, &none, err) == Q_NOTFOUND && strstr(err, "no url"));
    prov_servers_free(s);
    play_close(p);
    s = prov_servers_new();
    CHECK(prov_servers_put(s, "gone", "url", "http://localhost:1", err) == Q_OK && prov_servers_put(s, "gone", "socket", "/nowhere/at/all", err) == Q_OK);
    CHECK(prov_open("@gone/x", &(prov_opts){ .servers = s }, &none, err) == Q_NOTFOUND && strstr(err, "nobody answers"));
    prov_servers_free(s);
}

static void sections_are_checked(void)
{
    prov_servers *s = prov_servers_new();
    static const struct { const char *name, *key, *value; int rc; const char *said; } row[] = {
        { "a", "url", "http://h:1/v1", Q_OK, "" }, { "a", "url", "https://h", Q_OK, "" }, { "a", "url", "h:1", Q_FORMAT, "http://" }, { "a", "url", "http://", Q_FORMAT, "" },
        { "a", "url", "http://u:p@h", Q_FORMAT, "" }, { "a", "url", "http://h/?key=1", Q_FORMAT, "" }, { "a", "key", "sk-secret-of-the-test", Q_NOTFOUND, "key_env" },
        { "a", "api_key", "x", Q_NOTFOUND, "key_file" }, { "a", "colour", "x", Q_NOTFOUND, "url, model" }, { "a", "context", "2", Q_RANGE, "16" }, { "a", "context", "x", Q_RANGE, "" },
        { "a", "context", "8192", Q_OK, "" }, { "a", "routing", "vllm", Q_OK, "" }, { "a", "routing", "maybe", Q_RANGE, "sglang" }, { "a", "layers", "0", Q_RANGE, "" },
        { "a b", "url", "http://h", Q_RANGE, "name" }, { "", "url", "http://h", Q_RANGE, "name" }, { "a/b", "url", "http://h", Q_RANGE, "name" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        *err = 0;
        int rc = prov_servers_put(s, row[i].name, row[i].key, row[i].value, err);
        CHECK_MSG(rc == row[i].rc && strstr(err, row[i].said) && !strstr(err, KEY), "row %zu: %d %s", i, rc, err);
    }
    const char *url;
    char *name = prov_servers_name(s, 0, &url);
    CHECK_INT(prov_servers_count(s), 1);
    CHECK_STR(name, "@a");
    CHECK_STR(url, "https://h/v1");
    free(name);
    CHECK(prov_servers_put(s, "a", "model", "m/x", err) == Q_OK);
    name = prov_servers_name(s, 0, &url);
    CHECK_STR(name, "@a/m/x");
    free(name);
    prov_servers_free(s);
    CHECK_INT(prov_servers_count(NULL), 0);
    prov_servers_free(NULL);
}

static void keys_come_from_where_they_lie(void)
{
    state st = { 0 };
    play *p = play_open(serve, &st, NULL);
    char file[64], *more;
    snprintf(file, sizeof file, "/tmp/quorum-key-%ld", (long)getpid());
    CHECK_INT(q_write_file_atomic(file, "  sk-secret-of-the-test \nsecond line\n", 37, err), Q_OK);
    chmod(file, 0600);
    more = q_printf("key_file=%s", file);
    prov *m = open_at(p, "@box/tiny", more);
    char *last = play_last(p);
    CHECK(strstr(last, "Authorization: Bearer sk-secret-of-the-test\r\n"));
    free(last);
    prov_close(m);
    chmod(file, 0640);
    refuses(p, "@box/tiny", more, "chmod 600");
    chmod(file, 0600);
    CHECK_INT(q_write_file_atomic(file, "\n", 1, err), Q_OK);
    chmod(file, 0600);
    refuses(p, "@box/tiny", more, "holds no key");
    unlink(file);
    refuses(p, "@box/tiny", more, file);
    free(more);
    unsetenv("QUORUM_TEST_KEY");
    refuses(p, "@box/tiny", "key_env=QUORUM_TEST_KEY", "QUORUM_TEST_KEY");
    setenv("QUORUM_TEST_KEY", KEY, 1);
    m = open_at(p, "@box/tiny", "key_env=QUORUM_TEST_KEY");
    last = play_last(p);
    CHECK(strstr(last, "Authorization: Bearer sk-secret-of-the-test\r\n"));
    free(last);
    seen s = { 0 };
    prov_result r;
    CHECK(say(m, "wrong key", &s, &r) < 0 && strstr(err, "key_env"));
    seen_clear(&s);
    prov_close(m);
    unsetenv("QUORUM_TEST_KEY");
    play_close(p);
}

/* ---- answers ---- */
static void answers_are_read(void)
{
    static const struct { const char *when, *text, *thought; enum prov_finish finish; int tokens, prompt, cached; } row[] = {
        { "plain", "Hello there.", "", PROV_ENDED, 4, 21, 16 }, { "vllm thinks", "Four.", "Hm, so.", PROV_ENDED, 4, 21, 16 },
        { "sglang thinks", "Four.", "Hm, </think> is a word", PROV_ENDED, 3, 0, 0 }, { "tags think", "Four.", "Hm", PROV_ENDED, 3, 0, 0 },
        { "thinks late", "One two", "wait", PROV_ENDED, 2, 0, 0 }, { "only thinks", "", "no end of it", PROV_FULL, 1, 0, 0 }, { "length", "cut", "", PROV_FULL, 1, 0, 0 },
        { "stops", "one ", "", PROV_STOP_STRING, 1, 0, 0 }, { "no done", "one", "", PROV_ENDED, 1, 0, 0 }, { "comments", "one", "", PROV_ENDED, 1, 0, 0 },
        { "steers", "a[31mbc\nd", "", PROV_ENDED, 1, 0, 0 }, { "turns", "a31mbcd\xE2\x80\xA8" "e\xC2\xA0\xE2\x80\x8F" "f", "", PROV_ENDED, 1, 0, 0 },
        { "says more", "one", "", PROV_ENDED, 1, 0, 0 }, { "lingers", "All of it", "", PROV_ENDED, 1, 0, 0 }, { "is cut behind its end", "All of it", "", PROV_ENDED, 1, 0, 0 }, { "dull", "x", "", PROV_ENDED, 1, 0, 0 }, { "whole", "All at once.", "hm", PROV_ENDED, 5, 9, 0 },
        { "breaks letters", "\xEF\xBF\xBD\xEF\xBF\xBD x", "", PROV_ENDED, 1, 0, 0 } };
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        seen s = { 0 };
        prov_result r;
        CHECK_INT(say(m, row[i].when, &s, &r), Q_OK);
        CHECK_STR(str(&s.text), row[i].text);
        CHECK_STR(str(&s.thought), row[i].thought);
        CHECK_MSG(r.finish == row[i].finish && r.tokens == row[i].tokens && r.evaluated && s.prefills == 1 && !r.thinking, "%s: finish %d, %d tokens", row[i].when, r.finish, r.tokens);
        CHECK_MSG((!row[i].prompt || r.prompt_tokens == row[i].prompt) && r.prompt_tokens > 0 && r.cached_tokens == row[i].cached, "%s: %d, %d", row[i].when, r.prompt_tokens, r.cached_tokens);
        CHECK_INT(prov_context(m).used, r.prompt_tokens + r.tokens);
        seen_clear(&s);
    }
    prov_forget(m);
    CHECK_INT(prov_context(m).used, 0);
    part(m, p);
}

static void log_probabilities_are_told(void)
{
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    seen s = { 0 };
    prov_result r;
    CHECK_INT(say(m, "logprobs", &s, &r), Q_OK);
    CHECK_STR(str(&s.text), "One two three\xD0\xAF");
    CHECK_MSG(r.tokens == 5 && s.logprob[0] == -.25 && s.logprob[1] == -.5 && isnan(s.logprob[2]) && s.logprob[3] == -1 && s.logprob[4] == -2, "%d: %g %g %g %g %g", r.tokens,
              s.logprob[0], s.logprob[1], s.logprob[2], s.logprob[3], s.logprob[4]);
    CHECK_INT(s.named, 2);
    seen_clear(&s);
    part(m, p);
}

static void tools_are_called(void)
{
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    seen s = { 0 };
    prov_result r;
    CHECK_INT(say(m, "calls", &s, &r), Q_OK);
    CHECK_STR(str(&s.text), "I look.");
    CHECK_STR(str(&s.written), "{\"for\": \"lenses\"}{\"n\":2}");      /* as it was written */
    CHECK_STR(str(&s.calls), "[call_a search {\"for\": \"lenses\"}][call-2 list {\"n\":2}]");
    CHECK_INT(r.finish, PROV_CALLS);
    char *last = play_last(p);
    CHECK(strstr(last, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"search\",\"description\":\"looks things up\",\"parameters\":{\"type\":\"object\"}}}]"));
    free(last);
    seen_clear(&s);
    CHECK_INT(say(m, "a cut call", &s, &r), Q_OK);         /* no call was made: it ended where its length did */
    CHECK_MSG(r.finish == PROV_FULL && !s.calls.len, "%d: %s", r.finish, str(&s.calls));
    CHECK_STR(str(&s.text), "I look");
    seen_clear(&s);
    CHECK_INT(say(m, "odd calls", &s, &r), Q_OK);
    CHECK_STR(str(&s.calls), "[call-1 x {}][call-5 last {}]");
    seen_clear(&s);
    part(m, p);
}

/* A server that thinks before it calls a tool may want its thought back with what came of the call: where it put it itself. */
static void thoughts_come_back(void)
{
    static const struct { const char *heard, *sent; } row[] = { { "plain", "" }, { "tags think", "" }, { "vllm thinks", "\"reasoning\":\"Hm, so.\"," },
                                                                { "plain", "\"reasoning\":\"Hm, so.\"," }, { "sglang thinks", "\"reasoning_content\":\"Hm, so.\"," } };
    prov_message said[] = { { PROV_USER, "x", 1, NULL }, { PROV_ASSISTANT, "I look.", 7, NULL }, { PROV_TOOL, "found", 5, "a" }, { PROV_USER, "plain", 5, NULL } };
    prov_past_call call = { 1, { "a", "search", "{}" } };
    prov_past_thought thought = { 1, "Hm, so.", 7 };
    prov_request ask = { .message = said, .n_message = 4, .call = &call, .n_call = 1, .thought = &thought, .n_thought = 1 };
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        seen s = { 0 };
        prov_result r;
        CHECK_INT(say(m, row[i].heard, &s, &r), Q_OK);
        CHECK_INT(prov_ask(m, &ask, &(prov_hooks){ .user = &s, .between = between }, &r, err), Q_OK);
        char *last = play_last(p), *want = q_printf("\"content\":\"I look.\",%s\"tool_calls\":[{\"id\":\"a\",", row[i].sent);
        CHECK_MSG(strstr(last, want), "%s: %s", row[i].heard, last);
        free(last);
        free(want);
        seen_clear(&s);
    }
    part(m, p);
}

static void what_is_set_is_sent(void)
{
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    seen s = { 0 };
    prov_result r;
    CHECK_INT(say(m, "plain", &s, &r), Q_OK);
    char *last = play_last(p);
    cJSON *j = cJSON_Parse(strstr(last, "\r\n\r\n") + 4);
    CHECK(cJSON_IsTrue(cJSON_GetObjectItem(j, "stream")) && cJSON_GetObjectItem(j, "seed")->valueint == 3 && !cJSON_GetObjectItem(j, "temperature") && !cJSON_GetObjectItem(j, "max_tokens"));
    cJSON_Delete(j);
    free(last);
    static const char *const set[][2] = { { "sampler.temperature", "0.25" }, { "top_p", "0.9" }, { "sampler.top_k", "40" }, { "sampler.min_p", "0.05" }, { "sampler.max_tokens", "1" },
        { "sampler.repeat_penalty", "1.1" }, { "sampler.presence_penalty", "0.5" }, { "sampler.stop", "STOP,a\\,b,\\n" }, { "think", "off" } };
    prov_config *c = prov_present(m);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        CHECK_MSG(prov_config_set(c, set[i][0], set[i][1], err) == Q_OK, "%s", err);
    CHECK_INT(prov_set(m, c, PROV_CONTINUE, err), Q_OK);
    prov_config_free(c);
    CHECK_INT(say(m, "length", &s, &r), Q_OK);
    CHECK_INT(r.finish, PROV_MAX_TOKENS);
    last = play_last(p);
    j = cJSON_Parse(strstr(last, "\r\n\r\n") + 4);
    static const struct { const char *field; double x; } want[] = { { "temperature", .25 }, { "top_p", .9 }, { "top_k", 40 }, { "min_p", .05 }, { "max_tokens", 1 },
        { "repetition_penalty", 1.1 }, { "repeat_penalty", 1.1 }, { "presence_penalty", .5 } };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        CHECK_MSG(cJSON_IsNumber(cJSON_GetObjectItem(j, want[i].field)) && cJSON_GetObjectItem(j, want[i].field)->valuedouble == want[i].x, "%s", want[i].field);
    char *stop = cJSON_PrintUnformatted(cJSON_GetObjectItem(j, "stop")), *think = cJSON_PrintUnformatted(cJSON_GetObjectItem(j, "chat_template_kwargs"));
    CHECK_STR(stop, "[\"STOP\",\"a,b\",\"\\n\"]");
    CHECK_STR(think, "{\"enable_thinking\":false}");
    free(stop);
    free(think);
    cJSON_Delete(j);
    free(last);
    seen_clear(&s);
    part(m, p);
}

static void configurations_are_text(void)
{
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    q_buf b = { 0 };
    double lo, hi;
    prov_config *c = prov_config_new(m), *d = prov_config_copy(c);
    static const char *const fixed[] = { "experts.k", "num_experts_per_tok", "experts.ban", "rope.theta", "kv.type", "threads", "think.limit", "sampler.repeat_last_n", "model.experts" };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        CHECK_MSG(prov_config_set(c, fixed[i], "1", err) == Q_RANGE && strstr(err, "is fixed on a server: @box; run the model here to change it"), "%s: %s", fixed[i], err);
        CHECK(prov_config_fixed(c, fixed[i], &b) && strstr(b.p, "@box") && prov_config_is_default(c, fixed[i]) && prov_config_set(c, fixed[i], "default", err) == Q_OK);
        CHECK(!prov_config_range(c, fixed[i], &lo, &hi));
    }
    CHECK(!prov_config_fixed(c, "sampler.temperature", &b) && !prov_config_fixed(c, "no.knob", &b));
    CHECK(prov_config_set(c, "no.knob", "1", err) == Q_NOTFOUND);
    CHECK(prov_config_hash_all(c) == prov_config_hash_all(d) && prov_config_hash(c) == prov_config_hash(d));
    CHECK_STR(prov_config_label(c, &b), "");
    char *json = prov_config_json(c);
    CHECK_STR(json, "{}");
    free(json);
    CHECK_STR(prov_config_get(c, "sampler.temperature", &b), "");
    CHECK_STR(prov_config_get(c, "think", &b), "auto");
    CHECK_STR(prov_config_get(c, "context.length", &b), "4096");
    CHECK(isnan(prov_config_number(c, "sampler.temperature")) && prov_config_number(c, "sampler.seed") == 0);
    static const char *const bad[][2] = { { "sampler.temperature", "hot" }, { "sampler.temperature", "1000" }, { "sampler.top_k", "1.5" }, { "think", "maybe" }, { "think", "on,off" },
        { "context.length", "5000" }, { "context.length", "3" }, { "sampler.stop", "\xFF" }, { "sampler.temperature", "nan" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_MSG(prov_config_set(c, bad[i][0], bad[i][1], err) < 0 && prov_config_is_default(c, bad[i][0]), "%s=%s", bad[i][0], bad[i][1]);
    CHECK(prov_config_set(c, "sampler.temperature", "0.5", err) == Q_OK && prov_config_set(c, "context.length", "2000", err) == Q_OK);
    CHECK(prov_config_hash_all(c) != prov_config_hash_all(d) && prov_config_hash(c) == prov_config_hash(d) && prov_config_diff(c, d) == Q_EFFECT_SAMPLING);
    json = prov_config_json(c);
    CHECK_STR(json, "{\"sampler.temperature\":\"0.5\",\"context.length\":\"2000\"}");
    prov_config *e = prov_config_new(m);
    CHECK(prov_config_from_json(e, json, err) == Q_OK && prov_config_hash_all(e) == prov_config_hash_all(c));
    CHECK(prov_config_from_json(e, "{\"experts.k\":\"4\",\"top_p\":\"0.5\"}", err) == Q_RANGE && prov_config_is_default(e, "top_p"));
    CHECK(prov_config_from_json(e, "{", err) < 0 && prov_config_from_json(e, "{\"top_p\":[]}", err) < 0 && prov_config_from_json(e, "7", err) < 0);
    free(json);
    CHECK_INT(prov_set(m, c, PROV_RECOMPUTE, err), Q_OK);
    CHECK_INT(prov_context(m).size, 2000);
    prov_config_free(c);
    prov_config_free(d);
    prov_config_free(e);
    q_buf_free(&b);
    part(m, p);
}

/* ---- what goes wrong ---- */
static void faults_are_said_and_the_talk_goes_on(void)
{
    static const struct { const char *when, *said, *text; } row[] = {
        { "wrong key", "does not take the key", "" }, { "no model", "(404: The model `x` does not exist.)", "" }, { "breaks down", "failed by itself: look into its log, then ask again (500)", "" },
        { "a page", "web page", "" }, { "a lost page", "web page", "" }, { "too long", "maximum context length is 4096", "" }, { "too busy", "(503: Loading model)", "" },
        { "much too busy", "(429: quota)", "" }, { "nothing at all", "before its answer ended", "" }, { "no words", "(418)", "" }, { "no tools", "/set agent.tools off", "" },
        { "fails in the middle", "CUDA out of", "Half an answer" }, { "garbage in the middle", "no JSON", "Half an answer" }, { "ends early", "before its answer ended", "Half an answer" },
        { "packed", "packed (gzip)", "" }, { "is cut", "before its answer ended", "Half an answer" }, { "stall", "silent for 1 second", "Half an answer" } };
    state st = { 0 };
    play *p = play_open(serve, &st, NULL);
    prov *m = open_at(p, "@box/tiny", "stall=1");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        seen s = { 0 };
        prov_result r;
        int rc = say(m, row[i].when, &s, &r);
        CHECK_MSG(rc < 0 && r.finish == PROV_FAILED && strstr(err, row[i].said), "%s: %d %s", row[i].when, rc, err);
        CHECK_STR(str(&s.text), row[i].text);
        seen_clear(&s);
        CHECK(say(m, "plain", &s, &r) == Q_OK && r.finish == PROV_ENDED);
        CHECK_STR(str(&s.text), "Hello there.");
        seen_clear(&s);
    }
    part(m, p);
}

static void too_long_an_answer_is_cut(void)
{
    static const char *const when[] = { "endless", "endless whole" };
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    for (size_t i = 0; i < 2; i++) {
        seen s = { 0 };
        prov_result r;
        CHECK(say(m, when[i], &s, &r) < 0 && r.finish == PROV_FAILED);
        CHECK_MSG(strstr(err, "is longer than 8.0 MiB: it was cut there") && s.text.len == (8 << 20) - 1 && q_utf8_valid(s.text.p, s.text.len), "%s: %s (%zu)", when[i], err, s.text.len);
        seen_clear(&s);
        CHECK(say(m, "plain", &s, &r) == Q_OK && r.finish == PROV_ENDED);
        seen_clear(&s);
    }
    part(m, p);
}

static void a_busy_server_is_asked_again(void)
{
    state st = { 0 };
    play *p;
    prov *m = meet(&st, &p);
    seen s = { 0 };
    prov_result r;
    for (int n = 1; n <= 4; n++) {
        atomic_store(&st.busy, n);
        int before = atomic_load(&p->requests), rc = say(m, "plain", &s, &r);
        CHECK_MSG((rc == Q_OK) == (n < 4), "%d: %s", n, err);
        CHECK_MSG(atomic_load(&p->requests) - before <= 5, "%d requests", atomic_load(&p->requests) - before);
        seen_clear(&s);
    }
    atomic_store(&st.busy, 0);
    part(m, p);
}

static void an_old_server_is_asked_plainly(void)
{
    play *p;
    prov *m = meet(&(state){ .old = true }, &p);
    seen s = { 0 };
    prov_result r;
    CHECK_INT(say(m, "plain", &s, &r), Q_OK);
    CHECK_STR(str(&s.text), "Hello there.");
    int before = atomic_load(&p->requests);
    CHECK_INT(say(m, "plain", &s, &r), Q_OK);
    CHECK_INT(atomic_load(&p->requests) - before, 1);    /* it is remembered, and that there is no /tokenize too */
    seen_clear(&s);
    CHECK(say(m, "unheard of", &s, &r) < 0 && strstr(err, "no such traffic"));
    seen_clear(&s);
    part(m, p);
}

/* A question that is refused for itself says nothing of what the server knows. */
static void another_refusal_leaves_what_is_known(void)
{
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    seen s = { 0 };
    prov_result r;
    CHECK(say(m, "too long", &s, &r) < 0 && strstr(err, "maximum context length"));
    seen_clear(&s);
    CHECK_INT(say(m, "plain", &s, &r), Q_OK);
    char *last = play_last(p);
    CHECK(strstr(last, "\"logprobs\"") && strstr(last, "\"seed\""));
    free(last);
    seen_clear(&s);
    part(m, p);
}

static void prompts_are_counted(void)
{
    prov_message m[] = { { .role = PROV_SYSTEM, .text = "Be brief.", .n = 9 }, { .role = PROV_USER, .text = "Hello?", .n = 6 } };
    prov_request r = { .message = m, .n_message = 2 };
    for (int kind = 0; kind < 3; kind++) {
        state st = { .counts = kind > 0, .llama = kind == 2 };
        play *p = play_open(serve, &st, NULL);
        prov *who = open_at(p, "@box/tiny", "");
        CHECK_INT(prov_count_request(who, &r, err), kind == 0 ? 8 + 16 + 3 + 2 : kind == 1 ? 33 : 5 + 24);
        prov_tool tool = { "look", "looks at", "{\"type\":1}" };           /* 1, 2 and 3 tokens */
        prov_past_call past = { 1, { "c1", "look", "{}" } };                /* 1 and 1 */
        prov_request more = { .message = m, .n_message = 2, .tool = &tool, .n_tool = 1, .call = &past, .n_call = 1 };
        CHECK_INT(prov_count_request(who, &more, err), (kind == 0 ? 29 + 10 : kind == 1 ? 33 : 29 + 10) + 14);
        int before = atomic_load(&p->requests);
        prov_count_request(who, &r, err);
        CHECK_INT(atomic_load(&p->requests) - before, kind > 0);
        CHECK(prov_count(who, "", 0) == 0 && prov_count(who, "four letters", 12) == 3 && prov_count(who, "\xD0\xAF\xD0\xAF", 4) == 1 && prov_count(who, "\xE4\xBD\xA0", 3) == 1);
        int32_t *ids;
        CHECK(prov_ids(who, &r, &ids, err) == Q_RANGE);
        prov_close(who);
        play_close(p);
    }
}

static void it_stops(void)
{
    prov *m = NULL;
    state st = { .who = &m };
    play *p = play_open(serve, &st, NULL);
    m = open_at(p, "@box/tiny", "");
    seen s = { .stop_at = 2 };
    prov_result r;
    CHECK(say(m, "plain", &s, &r) == Q_OK && r.finish == PROV_STOPPED && r.tokens == 2);
    CHECK_STR(str(&s.text), "Hello there");
    seen_clear(&s);
    CHECK(say(m, "cancel", &s, &r) == Q_OK && r.finish == PROV_STOPPED);    /* by the server's thread, while this one waits */
    CHECK_MSG(strncmp("Half an answer", str(&s.text), s.text.len) == 0, "%s", str(&s.text));
    seen_clear(&s);
    int before = atomic_load(&p->requests);
    CHECK(say(m, "plain", &s, &r) == Q_OK && r.finish == PROV_STOPPED && r.tokens == 0 && atomic_load(&p->requests) == before);   /* still on */
    seen_clear(&s);
    prov_cancel(m, false);
    CHECK(say(m, "plain", &s, &r) == Q_OK && r.finish == PROV_ENDED);
    seen_clear(&s);
    prov_close(m);
    play_close(p);
    CHECK_INT(atomic_load(&st.cancelled), 1);            /* the server was told by the closing of its line */
}

/* A schema goes to every server, a grammar in GBNF to llama-server alone; both are read when they are set. */
static void answers_are_held(void)
{
    static const char SCHEMA[] = " {\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}\n", GBNF[] = "root ::= \"yes\" | \"no\"\n";
    char folder[] = "/tmp/quorum-remote-XXXXXX", *path[2];
    CHECK(mkdtemp(folder) != NULL);
    for (int i = 0; i < 2; i++) {
        path[i] = q_printf("%s/%s", folder, i ? "yes.gbnf" : "a.json");
        CHECK_INT(q_write_file_atomic(path[i], i ? GBNF : SCHEMA, strlen(i ? GBNF : SCHEMA), err), Q_OK);
    }
    for (int llama = 0; llama < 2; llama++) {
        state st = { .models = llama ? "{\"data\":[{\"id\":\"tiny\",\"owned_by\":\"llamacpp\"}]}" : NULL };
        play *p = play_open(serve, &st, NULL);
        prov *m = open_at(p, "@box/tiny", "");
        CHECK(prov_about(m)->can & PROV_GRAMMAR);
        prov_config *c = prov_present(m);
        q_buf b = { 0 };
        CHECK_STR(prov_config_get(c, "sampler.grammar", &b), "off");
        CHECK(prov_config_set(c, "sampler.grammar", "/nowhere/at/all", err) == Q_IO && prov_config_set(c, "sampler.grammar", "\n{\"type\": 7", err) == Q_FORMAT);
        for (int i = 0; i < 2; i++) {
            int rc = prov_config_set(c, "sampler.grammar", path[i], err);
            CHECK_MSG(rc == (i && !llama ? Q_RANGE : Q_OK) && (rc == Q_OK || strstr(err, "@box takes JSON schemas")), "%d %s", rc, err);
            if (rc < 0)
                continue;
            CHECK_STR(prov_config_get(c, "sampler.grammar", &b), path[i]);
            char *json = prov_config_json(c);
            prov_config *back = prov_config_new(m);
            CHECK(prov_config_from_json(back, json, err) == Q_OK && prov_config_hash_all(back) == prov_config_hash_all(c) && !prov_config_is_default(back, "sampler.grammar"));
            prov_config_free(back);
            free(json);
            CHECK_INT(prov_set(m, c, PROV_CONTINUE, err), Q_OK);
            seen s = { 0 };
            prov_result r;
            CHECK_INT(say(m, "plain", &s, &r), Q_OK);
            char *last = play_last(p);
            CHECK_MSG(strstr(last, i ? "\"grammar\":\"root ::= \\\"yes\\\" | \\\"no\\\"\\n\"" : "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"reply\",\"strict\":true,\"schema\":{\"type\":\"object\","), "%s", last);
            free(last);
            seen_clear(&s);
        }
        CHECK(prov_config_set(c, "sampler.grammar", "off", err) == Q_OK && prov_config_is_default(c, "sampler.grammar") && prov_set(m, c, PROV_CONTINUE, err) == Q_OK);
        prov_message q = { .role = PROV_USER, .text = "plain", .n = 5 };
        prov_grammar g[] = { { .text = SCHEMA, .n = strlen(SCHEMA) }, { .text = GBNF, .n = strlen(GBNF) }, { .text = SCHEMA, .n = strlen(SCHEMA), .trigger = "x" } };
        for (int i = 0; i < 3; i++) {
            prov_result r;
            int rc = prov_ask(m, &(prov_request){ .message = &q, .n_message = 1, .grammar = &g[i] }, NULL, &r, err);
            CHECK_MSG(rc == (i == 2 || (i == 1 && !llama) ? Q_RANGE : Q_OK), "%d: %d %s", i, rc, err);
        }
        prov_config_free(c);
        q_buf_free(&b);
        prov_close(m);
        play_close(p);
    }
    for (int i = 0; i < 2; i++) {
        unlink(path[i]);
        free(path[i]);
    }
    rmdir(folder);
}

static void what_it_cannot_is_said(void)
{
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    prov_result r;
    float v[4];
    CHECK(prov_ask(m, &(prov_request){ .raw = "x", .n_raw = 1 }, NULL, &r, err) == Q_RANGE && strstr(err, "--base"));
    prov_message q = { .role = PROV_USER, .text = "plain", .n = 5 };
    CHECK(prov_ask(m, &(prov_request){ .message = &q, .n_message = 1, .begin = "x", .n_begin = 1 }, NULL, &r, err) == Q_RANGE && strstr(err, "beginning"));
    CHECK(prov_score(m, NULL, "x", 1, NULL, NULL, err) == Q_RANGE && prov_embed(m, "x", 1, v, err) == Q_RANGE);
    CHECK(prov_state_bytes(m, 0) == 0 && prov_state_save(m, "/tmp/none", "", 0, NULL, NULL, err) == Q_RANGE && strstr(err, "saved"));
    CHECK(!prov_cache(m) && !prov_session(m));
    CHECK(prov_ask(m, &(prov_request){ .message = &q, .n_message = 1 }, NULL, &r, err) == Q_OK && r.tokens == 4);      /* without hooks */
    part(m, p);
}

/* ---- which experts ran ---- */
/* Answers encoded as the releases encode them (tests/golden/routes/make.py); the ids are a rule. */
static void routing_is_read(void)
{
    q_buf b = { 0 };
    CHECK_INT(q_read_file("tests/golden/routes/answers.json", &b, 1 << 20, err), Q_OK);
    cJSON *all = cJSON_ParseWithLength(b.p, b.len), *row;
    int rows = 0;
    cJSON_ArrayForEach(row, all) {
#define N(key) cJSON_GetObjectItem(row, key)->valueint
        const char *name = cJSON_GetObjectItem(row, "name")->valuestring, *said = cJSON_GetObjectItem(row, "said")->valuestring;
        prov_server s = { .routing = strcmp(cJSON_GetObjectItem(row, "routing")->valuestring, "vllm") == 0 ? SERVER_VLLM : SERVER_SGLANG, .layers = N("layers"),
                          .experts = N("experts"), .k = N("k"), .dense = N("dense") };
        remote_routes r;
        int rc = remote_routes_read(&s, said, &r, err), wrong = 0;
        CHECK_MSG(rc == Q_OK && r.n == N("positions") && r.layers == s.layers && r.k == s.k, "%s: %d %s", name, rc, rc ? err : "");
        for (int i = 0; rc == Q_OK && i < r.n * r.layers * r.k; i++) {
            int p = i / r.k / r.layers, l = i / r.k % r.layers, k = i % r.k;
            wrong += r.id[i] != (l < s.dense ? 0xFFFF : (7 * p + 3 * l + 5 * k) % s.experts);
        }
        CHECK_MSG(!wrong, "%s: %d wrong ids", name, wrong);
        remote_routes_free(&r);
        s.dense = 0;                     /* not said in the section: a layer whose ids are all the same routes nothing */
        CHECK_INT(remote_routes_read(&s, said, &r, err), Q_OK);
        for (int i = wrong = 0; i < r.n * r.layers * r.k; i++)
            wrong += i / r.k % r.layers < N("dense") && r.id[i] != 0xFFFF;
        CHECK_MSG(!wrong, "%s: %d ids of layers without experts", name, wrong);
        remote_routes_free(&r);
        s.dense = N("dense");
        bool empty = N("positions") == 0;
        s.k++;                           /* another shape is refused, by name */
        rc = remote_routes_read(&s, said, &r, err);
        CHECK_MSG(rc == Q_RANGE || (empty && rc == Q_OK) || (s.routing == SERVER_SGLANG && rc == Q_OK), "%s: %d", name, rc);
        remote_routes_free(&r);
        s.k--;
        s.experts = 2;
        rc = remote_routes_read(&s, said, &r, err);
        CHECK_MSG(empty || (rc == Q_RANGE && strstr(err, "mend experts")), "%s: %d", name, rc);
        remote_routes_free(&r);
        char *cut = q_strndup(said, strlen(said) - (strlen(said) > 3 ? 3 : 0));
        s.experts = N("experts");
        CHECK_MSG(empty || remote_routes_read(&s, cut, &r, err) < 0, "%s: cut it is taken", name);
        remote_routes_free(&r);
        free(cut);
        rows++;
    }
    CHECK_INT(rows, 15);
    static const char *const bad[] = { "?", "AAAA", "[[[1]]", "{}", "[1]", "[[[\"a\",1]]]", "k05VTVBZ", "k05VTVBZAQD/" };
    prov_server s = { .routing = SERVER_VLLM, .layers = 1, .experts = 8, .k = 2 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        remote_routes r;
        CHECK_MSG(remote_routes_read(&s, bad[i], &r, err) < 0, "%s", bad[i]);
        remote_routes_free(&r);
    }
    cJSON_Delete(all);
    q_buf_free(&b);
}

/* Two layers, the first dense, two of eight experts; the answer has three tokens behind a prompt of four. */
#define ROWS3 "[[[0,0],[1,2]],[[0,0],[3,4]],[[0,0],[5,6]]]"
static const char SIX_ROWS[] =           /* int32 of 6 positions: 0 0 p p+1 */
    "AAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAQAAAAIAAAAAAAAAAAAAAAIAAAADAAAAAAAAAAAAAAADAAAABAAAAAAAAAAAAAAABAAAAAUAAAAAAAAAAAAAAAUAAAAGAAAA";

typedef struct routed { q_buf seen; char *why; bool off, many; } routed;

static bool serve_routes(play *p, int fd, const char *request, const char *body, int number)
{
    const routed *r = p->user;
    if (strncmp(request, "GET ", 4) == 0)
        return play_json(fd, "{\"data\":[{\"id\":\"moe\",\"max_model_len\":4096}]}");
    if (strncmp(request, "POST /v1/completions ", 21) == 0)
        return !strstr(body, "\"prompt\":[10,11,12,13,20,21,22],\"max_tokens\":1,\"temperature\":0,\"routed_experts_prompt_start\":4}")
            ? play_reply(fd, 400, "application/json", "", "{\"error\":{\"message\":\"another question was expected\"}}")
            : play_json(fd, r->off ? "{\"choices\":[{\"index\":0,\"text\":\"x\",\"routed_experts\":null}]}" : "{\"choices\":[{\"index\":0,\"text\":\"x\",\"routed_experts\":" ROWS3 "}]}");
    if (strncmp(request, "POST /v1/chat/completions ", 26) != 0)
        return play_reply(fd, 404, "application/json", "", "{}");
    play_stream(fd);
    if (strstr(body, "\"return_token_ids\":true")) {
        play_event(fd, "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"prompt_token_ids\":[10,11,12,13]}");
        play_event(fd, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"One\"},\"token_ids\":[20]}]}");
        play_event(fd, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\" two.\"},\"token_ids\":[21,22],\"finish_reason\":\"stop\"}]}");
    } else {
        bool asked = strstr(body, "\"return_routed_experts\":true") && strstr(body, "\"routed_experts_start_len\":0");
        play_event(fd, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"One two.\"}}]}");
        q_buf rows = { 0 };              /* 6 positions, or 4200 where 4096 fit */
        for (int i = 0; i < (r->many ? 700 : 1); i++)
            q_buf_puts(&rows, SIX_ROWS);
        char *last = q_printf("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"sglext\":{\"routed_experts\":%s%s%s}}", asked && !r->off ? "\"" : "",
                              asked && !r->off ? rows.p : "null", asked && !r->off ? "\"" : "");
        play_event(fd, last);
        q_buf_free(&rows);
        free(last);
        play_event(fd, "{\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":3}}");
    }
    play_event(fd, "[DONE]");
    return play_end(fd);
}

static void routed_position(void *user, const prov_position *p)
{
    routed *r = user;
    CHECK(!p->weights && !p->entropy && !p->margin && !p->prompt && p->n_layer == 2 && p->max_k == 2 && p->ids[0] == 0xFFFF && p->ids[1] == 0xFFFF && p->config);
    q_buf_printf(&r->seen, "[%d at %d: %d %d]", (int)p->token, p->pos, p->ids[2], p->ids[3]);
}

static void unrouted(void *user, const char *why)
{
    routed *r = user;
    free(r->why);
    r->why = q_strdup(why);
}

static void routing_is_told(void)
{
    static const struct { const char *routing, *seen; } row[] = {
        { "vllm", "[20 at 4: 1 2][21 at 5: 3 4][22 at 6: 5 6]" }, { "sglang", "[-1 at 4: 4 5][-1 at 5: 5 6]" } };
    for (int i = 0; i < 5; i++) {        /* 4: of more positions than were evaluated */
        routed told = { .off = i == 2 || i == 3, .many = i == 4 };
        play *p = play_open(serve_routes, &told, NULL);
        const char *routing = told.many ? "sglang" : row[i % 2].routing;
        char *more = q_printf("routing=%s\nlayers=2\nexperts=8\nk=2\ndense=1", routing);
        prov *m = open_at(p, "@box", more);
        const prov_info *about = prov_about(m);
        CHECK(about->n_layer == 2 && about->n_expert == 8 && about->first_moe_layer == 1 && about->n_moe_layer == 1 && (about->can & PROV_ROUTING) && strstr(about->divided.words, "ids only"));
        prov_message q = { .role = PROV_USER, .text = "go", .n = 2 };
        prov_hooks h = { .user = &told, .position = routed_position, .unrouted = unrouted };
        prov_result r;
        CHECK(prov_ask(m, &(prov_request){ .message = &q, .n_message = 1 }, &h, &r, err) == Q_OK && r.finish == PROV_ENDED && r.prompt_tokens == 4);
        bool none = told.off || told.many;
        CHECK_STR(str(&told.seen), none ? "" : row[i % 2].seen);
        CHECK_MSG(none == (told.why != NULL) && (!told.why || strstr(told.why, told.many ? "at 4200 positions, and 4100 were evaluated at most" : "--enable-return-routed-experts")), "%s", told.why ? told.why : "");
        prov_config *c = prov_present(m);
        CHECK(prov_config_k(c) == 2 && prov_config_set(c, "experts.k", "1", err) == Q_RANGE);
        prov_config_free(c);
        prov_close(m);
        play_close(p);
        q_buf_free(&told.seen);
        free(told.why);
        free(more);
    }
    state st = { 0 };
    play *p = play_open(serve, &st, NULL);
    refuses(p, "@box/tiny", "routing=vllm\nlayers=2", "needs layers, experts and k");
    refuses(p, "@box/tiny", "routing=vllm\nlayers=2\nexperts=8\nk=9", "needs layers, experts and k");
    play_close(p);
}

int main(void)
{
    static const char *const of[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY" };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        unsetenv(of[i]);
    RUN(a_server_is_opened);
    RUN(sections_are_checked);
    RUN(keys_come_from_where_they_lie);
    RUN(answers_are_read);
    RUN(log_probabilities_are_told);
    RUN(tools_are_called);
    RUN(thoughts_come_back);
    RUN(what_is_set_is_sent);
    RUN(configurations_are_text);
    RUN(faults_are_said_and_the_talk_goes_on);
    RUN(too_long_an_answer_is_cut);
    RUN(a_busy_server_is_asked_again);
    RUN(an_old_server_is_asked_plainly);
    RUN(another_refusal_leaves_what_is_known);
    RUN(prompts_are_counted);
    RUN(it_stops);
    RUN(answers_are_held);
    RUN(what_it_cannot_is_said);
    RUN(routing_is_read);
    RUN(routing_is_told);
    return TEST_END();
}
