/* provider: a model on a real llama-server, which make test-servers starts (tests/servers/llama.sh). Without one it is skipped. */
#include "provider/provider.h"
#include "tests/test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static char err[Q_ERRLEN];

typedef struct live { prov *who; q_buf text; int tokens, named, likely, cancel_at; pid_t kill_at_third; bool called; } live;

static void live_piece(void *user, const prov_piece *p)
{
    live *l = user;
    q_buf_add(&l->text, p->text, p->n);
    l->tokens = p->number;
    l->named += p->token >= 0;
    l->likely += p->logprob <= 0;
    if (l->cancel_at && p->number == l->cancel_at)
        prov_cancel(l->who, true);
    if (l->kill_at_third && p->number == 3)
        kill(l->kill_at_third, SIGKILL);
}

static void live_call(void *user, int answer, const prov_call *c) { ((live *)user)->called = *c->name != 0; }

static int live_ask(live *l, const char *what, int n_tool, prov_result *out)
{
    static const prov_tool tool = { "weather", "the weather of a town", "{\"type\":\"object\",\"properties\":{\"town\":{\"type\":\"string\"}},\"required\":[\"town\"]}" };
    prov_message m = { .role = PROV_USER, .text = what, .n = strlen(what) };
    prov_hooks h = { .user = l, .piece = live_piece, .call = live_call };
    q_buf_clear(&l->text);
    l->tokens = l->named = l->likely = 0;
    return prov_ask(l->who, &(prov_request){ .message = &m, .n_message = 1, .tool = &tool, .n_tool = n_tool, .seed = 7 }, &h, out, err);
}

static void live_set(prov *who, const char *name, const char *value)
{
    prov_config *c = prov_present(who);
    CHECK_MSG(prov_config_set(c, name, value, err) == Q_OK && prov_set(who, c, PROV_CONTINUE, err) == Q_OK, "%s", err);
    prov_config_free(c);
}

/* llama-server on a socket, by tests/servers/llama.sh; it is killed at the end. */
static void a_real_server_answers(void)
{
    prov_servers *s = prov_servers_new();
    prov *who = NULL;
    prov_result r;
    CHECK(prov_servers_put(s, "live", "url", "http://localhost/v1", err) == Q_OK && prov_servers_put(s, "live", "socket", getenv("QUORUM_LIVE_SOCKET"), err) == Q_OK);
    CHECK_MSG(prov_open("@live", &(prov_opts){ .servers = s }, &who, err) == Q_OK, "%s", err);
    prov_servers_free(s);
    if (!who)
        return;
    live l = { .who = who };
    printf("# %s, context %d\n", prov_about(who)->name, prov_context(who).size);
    CHECK_INT(prov_context(who).size, 2048);
    live_set(who, "sampler.temperature", "0");
    live_set(who, "sampler.max_tokens", "12");
    CHECK_MSG(live_ask(&l, "Name the colours of the rainbow.", 0, &r) == Q_OK && r.finish == PROV_MAX_TOKENS && r.tokens == 12, "%s: %d, %d tokens", err, r.finish, r.tokens);
    CHECK_MSG(l.named >= 11 && l.likely >= 11, "%d named, %d with a probability", l.named, l.likely);
    char *first = q_strdup(l.text.p);
    prov_message m = { .role = PROV_USER, .text = "Name the colours of the rainbow.", .n = 32 };
    int counted = prov_count_request(who, &(prov_request){ .message = &m, .n_message = 1 }, err);
    CHECK_MSG(counted > 8 && counted < r.prompt_tokens + 24, "%d counted, %d read", counted, r.prompt_tokens);
    CHECK(live_ask(&l, "Name the colours of the rainbow.", 0, &r) == Q_OK && r.cached_tokens >= 0);
    CHECK_STR(l.text.p, first);
    char stop[2] = { first[strlen(first) / 2], 0 };
    live_set(who, "sampler.stop", stop[0] == ',' || stop[0] == '\\' ? "a" : stop);
    CHECK(live_ask(&l, "Name the colours of the rainbow.", 0, &r) == Q_OK && l.text.len < strlen(first) && strncmp(l.text.p, first, l.text.len) == 0);
    live_set(who, "sampler.stop", "default");
    free(first);
    live_set(who, "sampler.max_tokens", "60");
    CHECK_MSG(live_ask(&l, "What is the weather in Paris?", 1, &r) == Q_OK && (r.finish == PROV_CALLS) == l.called, "%s", err);
    printf("# with a tool it ends as %d, %s\n", r.finish, l.called ? "calls it" : "does not call it");
    live_set(who, "sampler.max_tokens", "1500");
    l.cancel_at = 5;
    CHECK_MSG(live_ask(&l, "Tell me a very long story about a lighthouse.", 0, &r) == Q_OK && r.finish == PROV_STOPPED && r.tokens >= 5 && r.tokens < 1500, "%s: %d, %d", err, r.finish, r.tokens);
    prov_cancel(who, false);
    l.cancel_at = 0;
    l.kill_at_third = (pid_t)atoi(getenv("QUORUM_LIVE_PID"));
    int rc = live_ask(&l, "Tell me a very long story about a lighthouse.", 0, &r);
    CHECK_MSG(rc < 0 && r.finish == PROV_FAILED && l.text.len > 0 && strstr(err, "before its answer ended"), "%d %s", rc, err);
    rc = live_ask(&l, "Are you still there?", 0, &r);
    CHECK_MSG(rc == Q_NOTFOUND && strstr(err, "nobody answers"), "%d %s", rc, err);
    q_buf_free(&l.text);
    prov_close(who);
}

int main(void)
{
    static const char *const of[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY" };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        unsetenv(of[i]);
    if (getenv("QUORUM_LIVE_SOCKET"))
        RUN(a_real_server_answers);
    else
        SKIP("a_real_server_answers", "make test-servers starts one");
    return TEST_END();
}
