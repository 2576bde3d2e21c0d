/* provider: what a request may bring of its own, and several requests at once over one cache: by the small golden model, in turn and at
 * once. Nothing here depends on time or on which thread wins: what is compared is the same whoever runs first. */
#include "provider/provider.h"
#include "tests/test.h"

#include <math.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static char err[Q_ERRLEN], path[256];

/* ---- an answer, with all that may not depend on others ---- */
enum { MOST = 700, TOP = 3 };
typedef struct heard {
    prov *p;
    q_buf text, echo;
    int n, n_echo, prompt_positions, positions;
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

static bool equal(const double *a, const double *b, int n)
{
    for (int i = 0; i < n; i++)
        if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i])))
            return false;
    return true;
}

static bool same(const heard *a, const heard *b)
{
    return a->rc == b->rc && a->n == b->n && a->r[0].finish == b->r[0].finish && a->r[0].prompt_tokens == b->r[0].prompt_tokens &&
           memcmp(a->token, b->token, sizeof *a->token * (size_t)a->n) == 0 && equal(a->logprob, b->logprob, a->n) &&
           memcmp(a->likely, b->likely, sizeof a->likely) == 0 && equal(a->likely_logprob[0], b->likely_logprob[0], MOST * TOP) &&
           a->text.len == b->text.len && (!a->text.len || memcmp(a->text.p, b->text.p, a->text.len) == 0) && a->positions == b->positions &&
           a->routing == b->routing && a->n_echo == b->n_echo && memcmp(a->echo_token, b->echo_token, sizeof a->echo_token) == 0 &&
           equal(a->echo_logprob, b->echo_logprob, a->n_echo);
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

static void all_of_a_prompt_is_told_anew(void)
{
    heard a = { .p = who }, b = { .p = who }, c = { .p = who };
    prov_request r = plain;
    ask(&a, &r);
    ask(&b, &r);
    r.anew = true;
    ask(&c, &r);
    CHECK(a.rc == Q_OK && same(&a, &b) && same(&a, &c));
    CHECK(b.r[0].cached_tokens >= b.r[0].prompt_tokens - 1 && b.prompt_positions == 1);
    CHECK(c.r[0].cached_tokens == 0 && c.prompt_positions == c.r[0].prompt_tokens);
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
    RUN(all_of_a_prompt_is_told_anew);
    RUN(its_settings_are_its_own);
    prov_close(who);
}

/* ---- several at once ---- */
enum { N = 8 };
typedef struct asker {
    prov_request r;
    heard h;
    pthread_t thread;
    prov_config *own;
    prov_message said;
    char text[1600];
    void (*once)(struct asker *);        /* what it does when it has `when` tokens, or at its end where it has fewer */
    int when;
    bool done;
} asker;

static void *ask_in_thread(void *user)
{
    asker *a = user;
    ask(&a->h, &a->r);
    if (a->once && !a->done)
        a->once(a);
    return NULL;
}

static void at_when(heard *h, int tokens)
{
    asker *a = h->user;
    if (tokens == a->when && !a->done) {
        a->done = true;
        a->once(a);
    }
}

static void does(asker *a, int when, void (*once)(asker *))
{
    a->h.at = at_when;
    a->h.user = a;
    a->when = when;
    a->once = once;
}

static void start(asker *a) { CHECK(pthread_create(&a->thread, NULL, ask_in_thread, a) == 0); }
static void join(asker *a) { pthread_join(a->thread, NULL); }

static uint64_t dice = 1;
static int roll(int n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int)((dice >> 33) % (uint64_t)n);
}

/* A text of so many words, and maybe settings that act on hidden states. */
static void make(asker *a, prov *p, int words, int kind)
{
    static const char *const word[] = { "lens", "water", "of", "the", "glass", "Spinoza", "and", "grinds", "light", "by", "hand", "in", "seven", "evenings" };
    static const char *const own[][2] = { { NULL, NULL }, { "experts.k", "1" }, { "rope.theta", "20000" }, { "sampler.temperature", "0" }, { "norm.eps", "0.001" } };
    memset(a, 0, sizeof *a);
    for (int i = 0; i < words; i++)
        snprintf(a->text + strlen(a->text), sizeof a->text - strlen(a->text), "%s%s", i ? " " : "", word[roll((int)(sizeof word / sizeof *word))]);
    a->r = (prov_request){ .raw = a->text, .n_raw = strlen(a->text), .seed = 1 + (uint64_t)roll(1000), .top = roll(2) * TOP, .policy = PROV_RECOMPUTE };
    a->h.p = p;
    if (!own[kind % 5][0])
        return;
    a->own = prov_present(p);
    CHECK_MSG(prov_config_set(a->own, own[kind % 5][0], own[kind % 5][1], err) == Q_OK, "%s", err);
    a->r.config = a->own;
}

static void drop(asker *a)
{
    prov_config_free(a->own);
    clear(&a->h);
}

static prov *alone;                      /* one that takes turns: what it says is what is right */

/* The same request where nobody else is. Its settings are made for this one anew. */
static void as_alone(const asker *a, const char *what, int i)
{
    asker b = { .r = a->r };
    char *json = a->own ? prov_config_json(a->own) : NULL;
    b.h = (heard){ .p = alone, .stop_at = a->h.stop_at };
    if (json) {
        b.own = prov_present(alone);
        CHECK_MSG(prov_config_from_json(b.own, json, err) == Q_OK, "%s", err);
        b.r.config = b.own;
    }
    ask(&b.h, &b.r);
    CHECK_MSG(same(&a->h, &b.h), "%s, request %d: %d tokens as %d, code %d as %d, %s", what, i, a->h.n, b.h.n, a->h.rc, b.h.rc, a->h.why);
    free(json);
    drop(&b);
}

static void others_change_nothing(void)
{
    for (int streams = 1; streams <= N; streams += 7) {
        prov *p = open_with(streams, NULL);
        asker a[N];
        CHECK((prov_about(p)->can & PROV_PARALLEL) && !(prov_about(p)->can & (PROV_LIVE | PROV_STATE)));
        for (int i = 0; i < N; i++) {
            make(&a[i], p, 3 + 9 * i, i);
            a[i].r.echo = i == 2;
            if (i > 5) {                 /* and conversations, framed in several threads at once */
                a[i].said = (prov_message){ PROV_USER, a[i].text, strlen(a[i].text), NULL };
                a[i].r.raw = NULL;
                a[i].r.message = &a[i].said;
                a[i].r.n_message = 1;
            }
            a[i].r.max_tokens = i == 5 ? 60 : 0;
        }
        for (int i = 0; i < N; i++)
            start(&a[i]);
        for (int i = 0; i < N; i++)
            join(&a[i]);
        prov_load l = prov_pool_numbers(p);
        CHECK(l.streams == streams && l.requests == N && l.waiting == 0 && l.passes > 0 && l.rows >= l.tokens);
        uint64_t tokens = 0, prompts = 0;
        for (int i = 0; i < N; i++) {
            CHECK(a[i].h.rc == Q_OK && a[i].h.n > 0);
            tokens += (uint64_t)a[i].h.r[0].tokens;
            prompts += (uint64_t)a[i].h.r[0].prompt_tokens;
            as_alone(&a[i], streams == 1 ? "one stream" : "eight streams", i);
            drop(&a[i]);
        }
        CHECK(l.tokens == tokens && l.prompt_tokens == prompts);
        prov_close(p);
    }
}

/* One comes at each token of the one before, and goes at a token of its own. */
static void next_one(asker *a)
{
    if (a[1].h.p)
        start(&a[1]);
}

static void they_come_and_go_at_any_token(void)
{
    enum { M = 24 };
    prov *p = open_with(5, NULL);
    static asker a[M + 1];
    for (int i = 0; i < M; i++) {
        make(&a[i], p, 2 + roll(40), roll(5));
        a[i].h.stop_at = 7 + roll(15);
        does(&a[i], roll(7), next_one);
    }
    memset(&a[M], 0, sizeof a[M]);
    start(&a[0]);
    for (int i = 0; i < M; i++)
        join(&a[i]);                     /* it was begun by the one before, which has ended */
    for (int i = 0; i < M; i++) {
        as_alone(&a[i], "coming and going", i);
        drop(&a[i]);
    }
    prov_close(p);
}

/* ---- a reader that does not read ---- */
static void ask_others(asker *a)
{
    for (int i = 1; i < N; i++)
        start(&a[i]);
    for (int i = 1; i < N; i++)          /* whole answers, while this one waits in its hook */
        join(&a[i]);
}

static void a_slow_reader_holds_nobody_up(void)
{
    prov *p = open_with(3, NULL);
    asker a[N];
    for (int i = 0; i < N; i++)
        make(&a[i], p, 10 + i, i);
    does(&a[0], 2, ask_others);
    start(&a[0]);
    join(&a[0]);
    for (int i = 0; i < N; i++) {
        CHECK(a[i].h.rc == Q_OK);
        as_alone(&a[i], "beside a slow reader", i);
        drop(&a[i]);
    }
    prov_close(p);
}

/* ---- while it waits ---- */
typedef struct waiting { pthread_mutex_t mu; pthread_cond_t turn; bool held; int asked; prov *p; } waiting;
static waiting beside = { .mu = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER };

/* Up to a minute: a test that waits for ever says nothing. */
static void wait_turn(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 60;
    if (pthread_cond_timedwait(&beside.turn, &beside.mu, &t) != 0) {
        CHECK(!"waited for a minute");
        beside.held = true;
        beside.asked = -1000;
    }
}

static void ask_again(heard *h, int tokens)
{
    pthread_mutex_lock(&beside.mu);
    if (tokens == 2) {
        beside.asked++;
        pthread_cond_broadcast(&beside.turn);
        while (!beside.held)
            wait_turn();
    }
    CHECK(tokens < 3 || !beside.held || beside.asked < 0);
    pthread_mutex_unlock(&beside.mu);
}

/* Nothing else is evaluated until this returns. */
static void hold_on(void *user, const prov_piece *t)
{
    pthread_mutex_lock(&beside.mu);
    beside.held = true;
    pthread_cond_broadcast(&beside.turn);
    while (beside.asked >= 0 && beside.asked < 3)  /* once before its third token, and twice while that waits */
        wait_turn();
    beside.asked = -1000;
    pthread_mutex_unlock(&beside.mu);
}

static void *score_in_thread(void *user)
{
    pthread_mutex_lock(&beside.mu);
    while (beside.asked == 0)
        wait_turn();
    pthread_mutex_unlock(&beside.mu);
    CHECK_INT(prov_score(beside.p, NULL, story, sizeof story - 1, hold_on, NULL, err), Q_OK);
    return NULL;
}

static void it_is_asked_again_while_it_waits(void)
{
    prov *p = beside.p = open_with(2, NULL);
    pthread_t scores;
    asker a;
    make(&a, p, 5, 0);
    a.h.at = ask_again;
    a.h.stop_at = 3;                     /* the third token is evaluated all the same */
    CHECK(pthread_create(&scores, NULL, score_in_thread, NULL) == 0);
    start(&a);
    join(&a);
    pthread_join(scores, NULL);
    CHECK(a.h.rc == Q_OK && a.h.n == 3 && a.h.r[0].finish == PROV_STOPPED && beside.asked < 0);
    a.h.at = NULL;
    as_alone(&a, "asked again", 0);
    drop(&a);
    prov_close(p);
}

/* ---- room ---- */
/* Each waits in its hook with its cells until the next has all of its answer, the last of which needs more pages than are left. */
static void ask_next(asker *a)
{
    if (!a[1].h.p)
        return;
    start(&a[1]);
    join(&a[1]);
}

static void room_is_given_up_and_had_again(void)
{
    prov *p = open_with(N, "448");
    static asker a[N + 1];
    for (int i = 0; i < N; i++) {
        make(&a[i], p, 60, i);
        does(&a[i], 1, ask_next);
    }
    memset(&a[N], 0, sizeof a[N]);
    start(&a[0]);
    join(&a[0]);
    prov_load l = prov_pool_numbers(p);
    CHECK_MSG(l.put_off > 0, "%llu put off", (unsigned long long)l.put_off);
    printf("# %d of %d prompt tokens each; %llu times a stream was put off\n", a[0].h.r[0].prompt_tokens, 448, (unsigned long long)l.put_off);
    for (int i = 0; i < N; i++) {
        CHECK_MSG(a[i].h.rc == Q_OK, "%d: %s", i, a[i].h.why);
        as_alone(&a[i], "put off", i);
        drop(&a[i]);
    }
    prov_close(p);
}

static void what_never_fits_is_refused(void)
{
    prov *p = open_with(2, "64");
    asker a;
    make(&a, p, 40, 0);
    ask(&a.h, &a.r);
    CHECK_MSG(a.h.rc == Q_RANGE && strstr(a.h.why, "64") && a.h.r[0].finish == PROV_FAILED, "%s", a.h.why);
    clear(&a.h);
    a.h = (heard){ .p = p };
    ask(&a.h, &plain);                   /* and the next is answered, until the context is full */
    CHECK(a.h.rc == Q_OK && a.h.n > 0);
    drop(&a);
    make(&a, p, 3, 0);
    a.own = prov_present(p);
    CHECK_INT(prov_config_set(a.own, "context.length", "4096", err), Q_OK);
    a.r.config = a.own;
    ask(&a.h, &a.r);
    CHECK(a.h.rc == Q_RANGE && strstr(a.h.why, "64"));
    CHECK(prov_set(p, a.own, PROV_CONTINUE, err) == Q_RANGE && strstr(err, "64"));
    clear(&a.h);
    a.h = (heard){ .p = p };
    ask(&a.h, &(prov_request){ .raw = "", .seed = 1 });
    CHECK(a.h.rc == Q_RANGE || a.h.r[0].prompt_tokens > 0);
    drop(&a);
    prov_close(p);
}

/* ---- one that cannot be evaluated ---- */
static void what_fails_fails_alone(void)
{
    prov *p = open_with(N, NULL);
    asker a[N];
    int32_t wrong[] = { 3, 1 << 30 };
    for (int i = 0; i < N; i++) {
        make(&a[i], p, 4 + i, 0);
        if (i % 2) {
            a[i].r.raw = NULL;
            a[i].r.ids = wrong;
            a[i].r.n_ids = 2;
        }
    }
    for (int i = 0; i < N; i++)
        start(&a[i]);
    for (int i = 0; i < N; i++)
        join(&a[i]);
    for (int i = 0; i < N; i++) {
        CHECK_MSG(i % 2 ? a[i].h.rc == Q_RANGE && strstr(a[i].h.why, "vocabulary") && a[i].h.r[0].finish == PROV_FAILED : a[i].h.rc == Q_OK, "%d: %s", i, a[i].h.why);
        if (i % 2 == 0)
            as_alone(&a[i], "beside one that fails", i);
        drop(&a[i]);
    }
    prov_close(p);
}

/* ---- random ones ---- */
typedef struct worker { prov *p; asker *a; int n; pthread_t thread; } worker;
static void *work(void *user)
{
    worker *w = user;
    for (int i = 0; i < w->n; i++)
        ask(&w->a[i].h, &w->a[i].r);
    return NULL;
}

static void random_ones(void)
{
    enum { W = 6, EACH = 12 };
    prov *p = open_with(4, "256");
    static asker a[W][EACH];
    worker w[W];
    for (int i = 0; i < W; i++) {
        for (int k = 0; k < EACH; k++) {
            make(&a[i][k], p, 1 + roll(roll(4) ? 30 : 90), roll(8) < 5 ? 0 : roll(5));
            a[i][k].h.stop_at = roll(3) ? 0 : 1 + roll(20);
            a[i][k].r.max_tokens = roll(4) ? 0 : 1 + roll(120);
            a[i][k].r.echo = roll(6) == 0;
            a[i][k].r.anew = roll(7) == 0;
            if (k && roll(3) == 0) {     /* as the one before begins */
                memcpy(a[i][k].text, a[i][k - 1].text, sizeof a[i][k].text);
                a[i][k].r.n_raw = strlen(a[i][k].text);
            }
        }
        w[i] = (worker){ .p = p, .a = a[i], .n = EACH };
    }
    for (int i = 0; i < W; i++)
        CHECK(pthread_create(&w[i].thread, NULL, work, &w[i]) == 0);
    for (int i = 0; i < W; i++)
        pthread_join(w[i].thread, NULL);
    prov_load l = prov_pool_numbers(p);
    printf("# %llu requests, %llu tokens, %llu of %llu prompt tokens found, %llu rows in %llu passes, %llu put off\n", (unsigned long long)l.requests,
           (unsigned long long)l.tokens, (unsigned long long)l.cached_tokens, (unsigned long long)l.prompt_tokens, (unsigned long long)l.rows,
           (unsigned long long)l.passes, (unsigned long long)l.put_off);
    for (int i = 0; i < W; i++)
        for (int k = 0; k < EACH; k++) {
            as_alone(&a[i][k], "random", i * EACH + k);
            drop(&a[i][k]);
        }
    prov_close(p);
}

static void random_ones_all_end(void)
{
    for (int i = 0; i < (getenv("QUORUM_LONG") ? 60 : 1); i++)
        random_ones();
}

/* ---- beginnings ---- */
static void ask_the_same(asker *a)
{
    for (int i = 1; i < 4; i++)
        ask(&a[i].h, &a[i].r);           /* in a hook: others are answered all the same */
}

static void beginnings_are_shared(void)
{
    prov *p = open_with(2, NULL);
    asker a[5];
    for (int i = 0; i < 5; i++)
        make(&a[i], p, 60, i == 3 ? 1 : 0);
    for (int i = 1; i < 5; i++)
        memcpy(a[i].text, a[0].text, sizeof a[i].text);
    strcat(a[2].text, " and it shines");
    a[2].r.n_raw = strlen(a[2].text);
    for (int i = 1; i < 5; i++)
        a[i].r.n_raw = strlen(a[i].text);
    does(&a[0], 3, ask_the_same);
    start(&a[0]);
    join(&a[0]);
    ask(&a[4].h, &a[4].r);               /* when nobody holds it any more */
    int n = a[0].h.r[0].prompt_tokens;
    CHECK_INT(a[0].h.r[0].cached_tokens, 0);
    CHECK_INT(a[1].h.r[0].cached_tokens, n - 1);
    CHECK_MSG(a[2].h.r[0].cached_tokens >= n - 2 && a[2].h.r[0].prompt_tokens > n, "%d of %d", a[2].h.r[0].cached_tokens, n);
    CHECK_INT(a[3].h.r[0].cached_tokens, 0);     /* other settings */
    CHECK_INT(a[4].h.r[0].cached_tokens, n - 1);
    for (int i = 0; i < 5; i++) {
        as_alone(&a[i], "shared", i);
        drop(&a[i]);
    }
    prov_close(p);
}

/* A state cannot be cut: one is kept before the end of each text, and where a second one ended to be the same as another. */
static void recurrent_layers_are_come_back_to(void)
{
    static const char *const end[] = { "", "", "", " 1 night", " 2 days", " 3 years", "" };
    prov *p = open_with(2, NULL);
    asker a[7];
    for (int i = 0; i < 7; i++) {
        make(&a[i], p, 60, 0);
        if (i)
            memcpy(a[i].text, a[0].text, sizeof a[i].text);
    }
    for (int i = 0; i < 7; i++) {
        strcat(a[i].text, end[i]);
        a[i].r.n_raw = strlen(a[i].text);
        ask(&a[i].h, &a[i].r);
    }
    int n = a[0].h.r[0].prompt_tokens;
    CHECK(n > 100 && a[3].h.r[0].prompt_tokens > n + 1);
    CHECK_INT(a[0].h.r[0].cached_tokens, 0);
    CHECK_INT(a[1].h.r[0].cached_tokens, n - 1);
    CHECK_INT(a[2].h.r[0].cached_tokens, n - 1);
    for (int i = 3; i < 6; i++)
        CHECK_MSG(a[i].h.r[0].cached_tokens >= n - 1, "text %d: %d of %d", i, a[i].h.r[0].cached_tokens, n);
    CHECK_INT(a[6].h.r[0].cached_tokens, n - 1);
    for (int i = 0; i < 7; i++) {
        as_alone(&a[i], "come back to", i);
        drop(&a[i]);
    }
    asker b[3];                          /* what they begin with is the end of none */
    for (int i = 0; i < 3; i++) {
        make(&b[i], p, 60, 0);
        if (i)
            memcpy(b[i].text, b[0].text, sizeof b[i].text);
    }
    for (int i = 0; i < 3; i++) {
        strcat(b[i].text, end[3 + i]);
        b[i].r.n_raw = strlen(b[i].text);
        ask(&b[i].h, &b[i].r);
    }
    CHECK_INT(b[0].h.r[0].cached_tokens, 0);
    CHECK_INT(b[1].h.r[0].cached_tokens, 0);
    CHECK_MSG(b[2].h.r[0].cached_tokens > 100 && b[2].h.r[0].cached_tokens < b[2].h.r[0].prompt_tokens - 1, "%d of %d", b[2].h.r[0].cached_tokens, b[2].h.r[0].prompt_tokens);
    for (int i = 0; i < 3; i++) {
        as_alone(&b[i], "begins alike", i);
        drop(&b[i]);
    }
    prov_close(p);
}

/* Whoever is first evaluates it; how much the others find depends on when they come, what they say does not. */
static void one_beginning_for_all_at_once(void)
{
    prov *p = open_with(N, "1024");
    asker a[N];
    for (int i = 0; i < N; i++) {
        make(&a[i], p, 60, i % 4 == 3);
        if (i)
            memcpy(a[i].text, a[0].text, sizeof a[i].text);
        if (i % 2)
            strcat(a[i].text, " at night");
        a[i].r.n_raw = strlen(a[i].text);
    }
    for (int i = 0; i < N; i++)
        start(&a[i]);
    for (int i = 0; i < N; i++)
        join(&a[i]);
    prov_load l = prov_pool_numbers(p);
    printf("# %llu of %llu prompt tokens found\n", (unsigned long long)l.cached_tokens, (unsigned long long)l.prompt_tokens);
    for (int i = 0; i < N; i++) {
        CHECK_MSG(a[i].h.rc == Q_OK, "%s", a[i].h.why);
        as_alone(&a[i], "one beginning", i);
        drop(&a[i]);
    }
    prov_close(p);
}

/* ---- stopping ---- */
static void cancel_all(asker *a)
{
    prov_cancel(a->h.p, true);
    for (int i = 1; i < 4; i++)
        join(&a[i]);                     /* all of them end, those that wait for a place too */
}

static void all_are_cancelled(void)
{
    prov *p = open_with(2, NULL);
    asker a[4];
    for (int i = 0; i < 4; i++) {
        make(&a[i], p, 20, i);
        a[i].r.max_tokens = 500;
    }
    does(&a[0], 4, cancel_all);
    for (int i = 1; i < 4; i++)
        start(&a[i]);
    start(&a[0]);
    join(&a[0]);
    CHECK(a[0].h.rc == Q_OK && (a[0].h.r[0].finish == PROV_STOPPED || a[0].h.r[0].tokens <= 4));
    heard b = { .p = p }, c = { .p = p };
    ask(&b, &plain);
    CHECK(b.rc == Q_OK && b.r[0].finish == PROV_STOPPED && b.n == 0);
    prov_cancel(p, false);
    ask(&c, &plain);
    CHECK(c.rc == Q_OK && c.n > 4);
    for (int i = 0; i < 4; i++)
        drop(&a[i]);
    clear(&b);
    clear(&c);
    prov_close(p);
}

/* ---- grammars, several answers, scores beside ---- */
static void score_beside(heard *h, int tokens)
{
    scored *s = h->user;
    if (tokens == 2 && s->n == 0)
        CHECK_MSG(prov_score(h->p, NULL, story, sizeof story - 1, score_one, s, err) == Q_OK, "%s", err);
}

static void grammars_and_several_answers_hold(void)
{
    static const char *const schema[] = { "{\"type\":\"integer\"}", "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"maxItems\":3}", "{\"enum\":[\"red\",\"green\"]}" };
    prov *p = open_with(3, NULL);
    prov_grammar g[3];
    asker a[6];
    scored s = { 0 }, t = { 0 };
    for (int i = 0; i < 6; i++) {
        make(&a[i], p, 6 + i, 0);
        if (i < 3) {
            g[i] = (prov_grammar){ .text = schema[i], .n = strlen(schema[i]) };
            a[i].r.grammar = &g[i];
        } else
            a[i].r.n = i - 2;
    }
    a[5].r.n = 2;
    a[4].h.at = score_beside;
    a[4].h.user = &s;
    for (int i = 0; i < 6; i++)
        start(&a[i]);
    for (int i = 0; i < 6; i++)
        join(&a[i]);
    CHECK_INT(prov_score(alone, NULL, story, sizeof story - 1, score_one, &t, err), Q_OK);
    CHECK(s.n == t.n && s.n > 3 && equal(s.logprob, t.logprob, s.n));
    for (int i = 0; i < 6; i++) {
        CHECK_MSG(a[i].h.rc == Q_OK, "%s", a[i].h.why);
        as_alone(&a[i], "held", i);
        drop(&a[i]);
    }
    prov_close(p);
}

static bool golden(const char *arch)
{
    const char *build = getenv("BUILD");
    snprintf(path, sizeof path, "%s/golden/%s/model.gguf", build ? build : "build", arch);
    if (access(path, R_OK) == 0)
        return true;
    SKIP(arch, "the golden model is not unpacked: run tests/run.sh");
    return false;
}

int main(void)
{
    if (!golden("qwen3moe"))
        return TEST_END();
    one_request(0);
    one_request(1);
    one_request(4);
    alone = open_with(0, NULL);
    RUN(others_change_nothing);
    RUN(they_come_and_go_at_any_token);
    RUN(a_slow_reader_holds_nobody_up);
    RUN(it_is_asked_again_while_it_waits);
    RUN(what_never_fits_is_refused);
    RUN(beginnings_are_shared);
    RUN(one_beginning_for_all_at_once);
    RUN(all_are_cancelled);
    RUN(grammars_and_several_answers_hold);
    RUN(what_fails_fails_alone);
    prov_close(alone);
    alone = open_with(0, "448");         /* where a context is full, it is as full here */
    RUN(room_is_given_up_and_had_again);
    prov_close(alone);
    alone = open_with(0, "256");
    RUN(random_ones_all_end);
    prov_close(alone);
    if (!golden("qwen3next"))            /* layers that go on from a state: each stream from its own */
        return TEST_END();
    alone = open_with(0, NULL);
    RUN(others_change_nothing);
    RUN(they_come_and_go_at_any_token);
    RUN(one_beginning_for_all_at_once);
    RUN(all_are_cancelled);
    prov_close(alone);
    alone = open_with(0, "448");
    RUN(room_is_given_up_and_had_again);
    prov_close(alone);
    alone = open_with(0, "256");
    RUN(random_ones_all_end);
    prov_close(alone);
    alone = open_with(0, NULL);
    RUN(recurrent_layers_are_come_back_to);
    prov_close(alone);
    return TEST_END();
}
