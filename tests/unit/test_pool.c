/* provider: what a request may bring of its own, and several requests at once over one cache: by the small golden model, in turn and at
 * once. Nothing here depends on time or on which thread wins: what is compared is the same whoever runs first. */
#include "provider/provider.h"
#include "tests/test.h"

#include <math.h>
#include <pthread.h>
#include <unistd.h>

static char err[Q_ERRLEN], path[256];

/* ---- an answer, with all that may not depend on others ---- */
enum { MOST = 700, TOP = 3 };
typedef struct heard {
    prov *p;
    q_buf text, echo;
    int n, n_echo, prompt_positions, positions, answers;
    int32_t token[MOST], echo_token[MOST], likely[MOST][TOP];
    double logprob[MOST], echo_logprob[MOST], likely_logprob[MOST][TOP];
    uint64_t routing;                    /* over the ids of all decoded positions */
    uint64_t config;                     /* of the last position */
    prov_result r[4];
    int rc, stop_at;
    char why[Q_ERRLEN];
    void (*at)(struct heard *, int tokens);      /* between tokens */
    void *user;
} heard;

static void clear(heard *h)
{
    q_buf_free(&h->text);
    q_buf_free(&h->echo);
}

static void piece(void *user, const prov_piece *t)
{
    heard *h = user;
    if (t->prompt) {
        q_buf_add(&h->echo, t->text, t->n);
        if (h->n_echo < MOST) {
            h->echo_token[h->n_echo] = t->token;
            h->echo_logprob[h->n_echo] = t->logprob;
            CHECK(t->number == h->n_echo % h->r[0].prompt_tokens + 1);
            h->n_echo++;
        }
        return;
    }
    q_buf_add(&h->text, t->text, t->n);
    if (t->token < 0 || h->n >= MOST)
        return;
    h->token[h->n] = t->token;
    h->logprob[h->n] = t->logprob;
    for (int i = 0; i < TOP && i < t->n_likely; i++) {
        h->likely[h->n][i] = t->likely[i].token;
        h->likely_logprob[h->n][i] = t->likely[i].logprob;
        CHECK(i == 0 || t->likely[i].logprob <= t->likely[i - 1].logprob);
    }
    h->n++;
}

static void position(void *user, const prov_position *x)
{
    heard *h = user;
    h->config = x->config;
    h->prompt_positions += x->prompt;
    h->positions += !x->prompt;
    for (int i = 0; i < x->n_layer * x->max_k && !x->prompt; i++)
        h->routing = h->routing * 1000003 + x->ids[i] + 1;
}

static bool between(void *user, int answer, int tokens)
{
    heard *h = user;
    if (h->at)
        h->at(h, tokens);
    return !h->stop_at || tokens < h->stop_at;
}

static void ask(heard *h, const prov_request *r)
{
    const prov_hooks hooks = { .user = h, .between = between, .piece = piece, .position = position };
    h->rc = prov_ask(h->p, r, &hooks, h->r, h->why);
}

static bool same(const heard *a, const heard *b)
{
    return a->rc == b->rc && a->n == b->n && a->r[0].finish == b->r[0].finish && a->r[0].prompt_tokens == b->r[0].prompt_tokens &&
           memcmp(a->token, b->token, sizeof *a->token * (size_t)a->n) == 0 && memcmp(a->logprob, b->logprob, sizeof *a->logprob * (size_t)a->n) == 0 &&
           memcmp(a->likely, b->likely, sizeof a->likely) == 0 && memcmp(a->likely_logprob, b->likely_logprob, sizeof a->likely_logprob) == 0 &&
           a->text.len == b->text.len && (!a->text.len || memcmp(a->text.p, b->text.p, a->text.len) == 0) && a->positions == b->positions &&
           a->routing == b->routing && a->n_echo == b->n_echo && memcmp(a->echo_token, b->echo_token, sizeof a->echo_token) == 0 &&
           (a->n_echo < 2 || memcmp(a->echo_logprob + 1, b->echo_logprob + 1, sizeof *a->echo_logprob * (size_t)(a->n_echo - 1)) == 0);
}

/* ---- opening ---- */
static int brief(void *user, prov_config *c, char *e)
{
    static const char *const knob[][2] = { { "sampler.max_tokens", "24" }, { "sampler.seed", "7" }, { "context.length", "640" }, { "think", "off" }, { "threads", "2" } };
    int rc = Q_OK;
    for (size_t i = 0; i < sizeof knob / sizeof *knob && rc == Q_OK; i++)
        rc = prov_config_set(c, knob[i][0], knob[i][1], e);
    if (rc == Q_OK && user)
        rc = prov_config_set(c, "context.length", user, e);
    return rc;
}

static prov *open_with(int streams, const char *context)
{
    prov *p = NULL;
    CHECK_MSG(prov_open(path, &(prov_opts){ .configure = brief, .user = (void *)(uintptr_t)context, .streams = streams }, &p, err) == Q_OK, "%s", err);
    return p;
}

static prov *who;                        /* of the tests of one request */

/* ---- one request ---- */
static const char story[] = "Once upon a time there was a lens, and it was ground by hand.";
static const prov_request plain = { .raw = story, .n_raw = sizeof story - 1, .seed = 5, .top = TOP };

static void it_has_a_limit_of_its_own(void)
{
    heard a = { .p = who }, b = { .p = who }, c = { .p = who };
    prov_request r = plain;
    r.max_tokens = 3;
    ask(&a, &r);
    CHECK(a.rc == Q_OK && a.n == 3 && a.r[0].finish == PROV_MAX_TOKENS && a.r[0].tokens == 3);
    r.max_tokens = PROV_NOTHING;
    ask(&b, &r);
    CHECK(b.rc == Q_OK && b.n == 0 && b.text.len == 0 && b.r[0].finish == PROV_MAX_TOKENS && b.r[0].prompt_tokens == a.r[0].prompt_tokens && b.r[0].evaluated);
    r.max_tokens = -2;
    ask(&c, &r);
    CHECK(c.rc == Q_RANGE && strstr(c.why, "-2"));
    clear(&a);
    clear(&b);
    clear(&c);
}

static void alternatives_come_with_each_token(void)
{
    heard a = { .p = who }, b = { .p = who };
    prov_config *c = prov_present(who);
    CHECK_INT(prov_config_set(c, "sampler.temperature", "0", err), Q_OK);
    prov_request r = plain;
    r.config = c;
    ask(&a, &r);
    CHECK(a.rc == Q_OK && a.n > 4);
    for (int i = 0; i < a.n; i++)        /* greedy: the likeliest is what came, with the very same number */
        CHECK_MSG(a.likely[i][0] == a.token[i] && a.likely_logprob[i][0] == a.logprob[i] && a.likely[i][1] != a.token[i], "token %d", i);
    r.top = PROV_TOP + 1;
    ask(&b, &r);
    CHECK(b.rc == Q_RANGE && strstr(b.why, "alternatives"));
    prov_config_free(c);
    clear(&a);
    clear(&b);
}

typedef struct scored { int n; double logprob[MOST]; } scored;
static void score_one(void *user, const prov_piece *t)
{
    scored *s = user;
    if (s->n < MOST)
        s->logprob[s->n++] = t->logprob;
}

static void a_prompt_is_echoed(void)
{
    heard a = { .p = who }, b = { .p = who }, c = { .p = who };
    scored s = { 0 };
    prov_request r = plain;
    r.echo = true;
    r.max_tokens = PROV_NOTHING;
    r.n = 2;
    ask(&a, &r);
    CHECK_MSG(a.rc == Q_OK && a.n == 0 && a.n_echo == 2 * a.r[0].prompt_tokens, "%d of %d: %s", a.n_echo, a.r[0].prompt_tokens, a.why);
    CHECK(a.echo.len == 2 * plain.n_raw && memcmp(a.echo.p, story, plain.n_raw) == 0 && isnan(a.echo_logprob[0]));
    CHECK(a.prompt_positions == a.r[0].prompt_tokens + 1 && a.positions == 0);      /* the second answer has the last one evaluated again */
    CHECK_INT(prov_score(who, NULL, story, plain.n_raw, score_one, &s, err), Q_OK);
    int skip = a.r[0].prompt_tokens - s.n;
    for (int i = skip ? 0 : 1; i < s.n; i++)
        CHECK_MSG(fabs(a.echo_logprob[i + skip] - s.logprob[i]) < 1e-4, "token %d: %g, scored %g", i, a.echo_logprob[i + skip], s.logprob[i]);
    r.n = 1;                             /* and it goes on as without an echo */
    r.max_tokens = 0;
    ask(&b, &r);
    ask(&c, &plain);
    CHECK(b.n == c.n && b.n > 4 && memcmp(b.token, c.token, sizeof b.token) == 0 && b.n_echo == b.r[0].prompt_tokens && b.r[0].cached_tokens == 0);
    prov_message m = { PROV_USER, "Hello", 5, NULL };
    heard d = { .p = who };
    ask(&d, &(prov_request){ .message = &m, .n_message = 1, .echo = true });
    CHECK(d.rc == Q_RANGE && strstr(d.why, "echoed"));
    clear(&a);
    clear(&b);
    clear(&c);
    clear(&d);
}

static void tokens_are_taken_as_they_are(void)
{
    heard a = { .p = who }, b = { .p = who }, c = { .p = who };
    int32_t *id = NULL, wrong = 1 << 30;
    int n = prov_ids(who, &plain, &id, err);
    CHECK(n > 4);
    ask(&a, &plain);
    prov_request r = { .ids = id, .n_ids = n, .seed = 5, .top = TOP };
    ask(&b, &r);
    CHECK(a.rc == Q_OK && same(&a, &b));
    r.ids = &wrong;
    r.n_ids = 1;
    ask(&c, &r);
    CHECK(c.rc == Q_RANGE && strstr(c.why, "vocabulary"));
    ask(&c, &plain);
    CHECK(c.rc == Q_OK);
    free(id);
    clear(&a);
    clear(&b);
    clear(&c);
}

static void its_settings_are_its_own(void)
{
    heard a = { .p = who }, b = { .p = who }, c = { .p = who };
    prov_config *one = prov_present(who), *now = prov_present(who);
    uint64_t before = prov_config_hash_all(now);
    CHECK_INT(prov_config_set(one, "experts.k", "1", err), Q_OK);
    prov_request r = plain;
    r.config = one;
    ask(&a, &plain);
    ask(&b, &r);
    ask(&c, &plain);
    CHECK(a.rc == Q_OK && b.rc == Q_OK && same(&a, &c) && !same(&a, &b));
    CHECK(b.config == prov_config_hash(one) && c.config == prov_config_hash(now));
    prov_config_free(now);
    now = prov_present(who);
    CHECK(prov_config_hash_all(now) == before);
    prov_config_free(now);
    prov_config_free(one);
    clear(&a);
    clear(&b);
    clear(&c);
}

static void one_request(int streams)
{
    who = open_with(streams, NULL);
    RUN(it_has_a_limit_of_its_own);
    RUN(alternatives_come_with_each_token);
    RUN(a_prompt_is_echoed);
    RUN(tokens_are_taken_as_they_are);
    RUN(its_settings_are_its_own);
    prov_close(who);
}

int main(void)
{
    const char *build = getenv("BUILD");
    snprintf(path, sizeof path, "%s/golden/qwen3moe/model.gguf", build ? build : "build");
    if (access(path, R_OK) != 0) {
        SKIP("pool", "the golden model is not unpacked: run tests/run.sh");
        return TEST_END();
    }
    one_request(0);
    return TEST_END();
}
