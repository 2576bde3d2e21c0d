/* several answers of a server to one request: mixed in one stream, in one piece, by servers that give one alone, and broken in the middle. */
#include "tests/unit/remote_help.h"

#include <string.h>

#define OF(i, delta) "{\"id\":\"c\",\"choices\":[{\"index\":" #i ",\"delta\":" delta "}]}"
#define OVER(i, why) "{\"choices\":[{\"index\":" #i ",\"delta\":{},\"finish_reason\":\"" why "\"}]}"
typedef struct traffic { const char *when; const char *const *event; const char *body; } traffic;      /* body: instead of events */
static const traffic plays[] = {
    { .when = "plain", .event = EVENTS(CHUNK("{\"content\":\" Hello\"}"), CHUNK("{\"content\":\" there\"}"), CHUNK("{\"content\":\".\"}"), END("stop"), USAGE, "[DONE]") },
    { .when = "all at once", .event = EVENTS(OF(2, "{\"content\":\"third\"}"), OF(0, "{\"role\":\"assistant\",\"content\":\"fir\"}"), OF(7, "{\"content\":\"nobody's\"}"), OF(-1, "{\"content\":\"nobody's\"}"),
      "{\"choices\":[{\"index\":1,\"delta\":{\"reasoning_content\":\"so\"}},{\"index\":0,\"delta\":{\"content\":\"st\\nanswer\"}}]}", OVER(2, "length"), OVER(0, "stop"), OF(1, "{\"content\":\"second\"}"), OF(0, "{\"content\":\"too late\"}"),
      OVER(1, "stop"), "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":300,\"prompt_tokens_details\":{\"cached_tokens\":4}}}", "[DONE]") },
    { .when = "all in one piece", .body = "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"},{\"index\":1,\"message\":{\"content\":\"b\"},\"finish_reason\":\"stop\"},"
      "{\"index\":2,\"message\":{\"content\":\"c\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9}}" },
    { .when = "all break", .event = EVENTS(OF(0, "{\"content\":\"x\"}"), OF(1, "{\"content\":\"y\"}"), OVER(0, "stop"), "{\"error\":{\"message\":\"out of memory\"}}") } };

static char err[Q_ERRLEN];

typedef struct state { bool alone; const char *owner; } state;   /* it refuses n; what it calls itself */
typedef struct seen { q_buf order; int stop_at; } seen;

static bool serve(play *p, int fd, const char *request, const char *body, int number)
{
    const state *s = p->user;
    (void)number;
    if (strncmp(request, "GET /v1/models ", 15) == 0) {
        char *list = q_printf("{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"max_model_len\":4096,\"owned_by\":\"%s\"}]}", s->owner ? s->owner : "");
        bool ok = play_json(fd, list);
        free(list);
        return ok;
    }
    if (strncmp(request, "POST /v1/chat/completions ", 26) != 0)
        return play_reply(fd, 404, "application/json", "", "{\"detail\":\"Not Found\"}");
    if (s->alone && strstr(body, "\"n\":"))
        return play_reply(fd, 400, "application/json", "", "{\"error\":{\"message\":\"n must be 1\"}}");
    for (size_t i = 0; i < sizeof plays / sizeof *plays; i++) {
        char *key = q_printf("\"content\":\"%s\"", plays[i].when);
        bool here = strstr(body, key) != NULL;
        free(key);
        if (!here)
            continue;
        if (plays[i].body)
            return play_json(fd, plays[i].body);
        play_stream(fd);
        for (const char *const *e = plays[i].event; *e; e++)
            play_event(fd, *e);
        return play_end(fd);
    }
    return play_reply(fd, 400, "application/json", "", "{\"error\":{\"message\":\"the test has no such traffic\"}}");
}

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

static const char *str(const q_buf *b) { return b->p ? b->p : ""; }
static bool between(void *user, int answer, int tokens) { return (void)answer, !((seen *)user)->stop_at || tokens < ((seen *)user)->stop_at; }

static void seen_clear(seen *s)
{
    q_buf_free(&s->order);
    memset(s, 0, sizeof *s);
}

static void say_which(void *user, const prov_piece *p)
{
    seen *s = user;
    q_buf_printf(&s->order, "%s%d%s%.*s", s->order.len ? "|" : "", p->answer, p->thinking ? "?" : "", (int)p->n, p->text);
}

/* Three answers to this, and what came of them; the requests that it took. */
static int three(prov *m, play *p, const char *what, seen *s, prov_result out[3], int stop_at, int *rc)
{
    prov_message q = { .role = PROV_USER, .text = what, .n = strlen(what) };
    prov_request r = { .message = &q, .n_message = 1, .n = 3, .seed = 5 };
    prov_hooks h = { .user = s, .piece = say_which, .between = between };
    int before = atomic_load(&p->requests);
    s->stop_at = stop_at;
    *rc = prov_ask(m, &r, &h, out, err);
    return atomic_load(&p->requests) - before;
}

static void several_answers(void)
{
    for (int kind = 0; kind < 2; kind++) {               /* one that leaves out what it does not know, and one that refuses it */
        play *p;
        prov *m = meet(&(state){ .alone = kind == 1 }, &p);
        seen s = { 0 };
        prov_result out[3];
        int rc, asked = three(m, p, "plain", &s, out, 0, &rc);
        CHECK(rc == Q_OK && strstr(str(&s.order), "0Hello") && strstr(str(&s.order), "1Hello") && strstr(str(&s.order), "2Hello") && out[2].finish == PROV_ENDED && out[2].tokens == 4);
        CHECK_INT(asked, kind + 4);                      /* and how many tokens it reads was asked for once, in vain */
        char *last = play_last(p);
        CHECK(strstr(last, "\"seed\":7") && strstr(last, "logprobs") && !strstr(last, "\"n\":"));
        free(last);
        seen_clear(&s);
        CHECK_INT(three(m, p, "plain", &s, out, 0, &rc), 3);       /* it is known now */
        seen_clear(&s);
        part(m, p);
    }
}

static void several_answers_come_together(void)
{
    static const char *const all = "0fir|0st\nanswer|1?so|1second|2third";
    play *p;
    prov *m = meet(&(state){ 0 }, &p);
    seen s = { 0 };
    prov_result out[3];
    int rc;
    for (int i = 0; i < 2; i++) {
        CHECK_INT(three(m, p, "all at once", &s, out, 0, &rc), 2 - i);
        CHECK_MSG(rc == Q_OK, "%s", err);
        CHECK_STR(str(&s.order), all);
        CHECK(out[0].finish == PROV_ENDED && out[0].tokens == 2 && out[1].finish == PROV_ENDED && out[1].tokens == 2 && out[2].finish == PROV_FULL && out[2].tokens == 1);
        for (int k = 0; k < 3; k++)
            CHECK_INT(out[k].prompt_tokens, 9);
        char *last = play_last(p);
        CHECK(strstr(last, "\"n\":3") && strstr(last, "\"seed\":5"));
        free(last);
        seen_clear(&s);
    }
    CHECK_INT(three(m, p, "all in one piece", &s, out, 0, &rc), 1);
    CHECK(rc == Q_OK && strstr(str(&s.order), "0a|") && strstr(str(&s.order), "1b|") && strstr(str(&s.order), "2c"));
    seen_clear(&s);
    CHECK_INT(three(m, p, "all at once", &s, out, 1, &rc), 1);     /* a stop is meant for all of them */
    CHECK(rc == Q_OK && out[0].finish == PROV_STOPPED && out[1].finish == PROV_STOPPED && out[2].finish == PROV_STOPPED && !strstr(str(&s.order), "1"));
    seen_clear(&s);
    CHECK_INT(three(m, p, "all break", &s, out, 0, &rc), 1);       /* what broke is told in the answer's turn */
    CHECK(rc == Q_ERR && strstr(err, "out of memory") && out[0].finish == PROV_ENDED && out[1].finish == PROV_FAILED && strstr(str(&s.order), "1y"));
    seen_clear(&s);
    CHECK_INT(three(m, p, "plain", &s, out, 0, &rc), 3);           /* and the next request is whole */
    CHECK(rc == Q_OK && strstr(str(&s.order), "0Hello") && strstr(str(&s.order), "2Hello"));
    seen_clear(&s);
    part(m, p);
}

/* ---- an answer's beginning ---- */
static void a_beginning_goes_where_it_is_understood(void)
{
    static const struct { const char *owner; bool can; } row[] = { { "vllm", true }, { "sglang", true }, { "quorum", true }, { "llamacpp", false }, { "openai", false } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        play *p;
        prov *m = meet(&(state){ .owner = row[i].owner }, &p);
        prov_message q = { .role = PROV_USER, .text = "say it", .n = 6 };
        prov_request r = { .message = &q, .n_message = 1, .begin = "plain", .n_begin = 5, .think = "on" };
        seen s = { 0 };
        prov_hooks h = { .user = &s, .piece = say_which };
        prov_result out;
        int rc = prov_ask(m, &r, &h, &out, err);
        CHECK_MSG(row[i].can ? rc == Q_OK : rc == Q_RANGE && strstr(err, "/again"), "%s: %s", row[i].owner, err);
        char *last = play_last(p);
        if (row[i].can)
            CHECK_MSG(strstr(last, "{\"role\":\"assistant\",\"content\":\"plain\"}]") && strstr(last, "\"continue_final_message\":true") && strstr(last, "\"add_generation_prompt\":false") &&
                      strstr(last, "\"enable_thinking\":false"), "%s", last);
        CHECK_STR(str(&s.order), row[i].can ? "0 Hello|0 there|0." : "");      /* the blank at its beginning is a part of it */
        free(last);
        seen_clear(&s);
        part(m, p);
    }
}

int main(void)
{
    RUN(several_answers);
    RUN(several_answers_come_together);
    RUN(a_beginning_goes_where_it_is_understood);
    return TEST_END();
}
