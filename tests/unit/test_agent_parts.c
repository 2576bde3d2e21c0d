/* agent: the parts that need no model: the arithmetic of the routing panel, commands, slips, completion, the queue. */
#include "agent/room.h"
#include "agent/view.h"
#include "tests/test.h"

#include <sys/wait.h>
#include <unistd.h>

enum { L = 4, N = 16, KK = 4 };
static uint64_t state = 88172645463325252ull;
static unsigned rnd(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

/* k distinct experts by chance; `lean` of them drawn first from the lowest two. */
static void draw(uint16_t ids[L + 1][KK], int odd_layer)
{
    for (int s = 0; s < KK; s++)
        ids[0][s] = 0xFFFF;              /* layer 0 is dense */
    for (int l = 1; l <= L; l++) {
        bool used[N] = { false };
        for (int s = 0; s < KK; s++) {
            unsigned e;
            if (l == odd_layer && s == 0)
                e = 7;
            else
                do
                    e = rnd(N);
                while (used[e]);
            if (used[e]) {
                s--;
                continue;
            }
            used[e] = true;
            ids[l][s] = (uint16_t)e;
        }
    }
}

static void names_are_short(void)
{
    static const struct { const char *full; bool carved; const char *brief; } row[] = {
        { "SmolLM2-135M-Instruct carved 1024+16x32", true, "SmolLM2 carved" },
        { "SmolLM2-135M-Instruct", false, "SmolLM2 135M" },
        { "Qwen3-30B-A3B-Instruct-2507", false, "Qwen3 30B A3B" },
        { "gemma-2-9b-it", false, "gemma 2 9b" },
        { "Instruct", false, "Instruct" },
        { "Абвгдежзийклмнопрстуфхцчшщ-1", false, "Абвгдежзийклмнопрстуфхц…" },
        { "", false, "" } };
    char out[96];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        view_model_name(row[i].full, row[i].carved, out, sizeof out);
        CHECK_STR(out, row[i].brief);
    }
}

static usual fresh_usual(void)
{
    usual u = { .n_layer = L, .n_expert = N };
    u.mean = q_alloc(sizeof *u.mean * L * N);
    return u;
}

static void chance_is_quiet_and_signs_show(void)
{
    usual u = fresh_usual();
    routing r = { 0 };
    agt_routing o = { 0 };
    uint16_t ids[L + 1][KK];
    routing_shape(&r, L + 1, 1, L, N, KK);
    r.u = &u;
    int odd = 0, cells = 0;
    double strange = 0;
    for (int i = 0; i < 3000; i++) {
        draw(ids, -1);
        routing_add(&r, ids[0], NULL, NULL, NULL, KK, true);
        if (i > 300 && i % 100 == 0) {
            routing_export(&r, &o);
            for (int c = 0; c < L * N; c++, cells++)
                odd += o.cell[c].dev != 0;
            for (int l = 0; l < L; l++)
                strange += o.strange[l];
        }
    }
    CHECK_MSG(odd * 40 < cells, "%d of %d cells cry wolf by chance", odd, cells);
    strange /= 27. * L;
    routing_export(&r, &o);
    CHECK_MSG(strange > .1 && strange < .3, "strange of chance is %g", strange);
    CHECK_MSG(fabsf(o.repeat - .25f) < .08f && fabsf(o.repeat_chance - .25f) < .02f, "repeat %g, chance %g", (double)o.repeat, (double)o.repeat_chance);
    CHECK(o.first_layer == 1 && o.k == KK && o.learned == 3000 && isnan(o.mean_entropy));
    for (int l = 0; l < L; l++) {
        float sum = 0;
        for (int e = 0; e < N; e++)
            sum += o.cell[l * N + e].usual;
        CHECK_MSG(fabsf(sum - KK) < .01f, "usual rates sum to %g", (double)sum);
    }
    /* Expert 7 of layer 3 now runs for every token. */
    for (int i = 0; i < 40; i++) {
        draw(ids, 3);
        routing_add(&r, ids[0], NULL, NULL, NULL, KK, false);
    }
    routing_export(&r, &o);
    CHECK_INT(o.cell[2 * N + 7].dev, 2);
    CHECK(o.n_odd > 0 && o.odd[0].layer == 3 && o.odd[0].expert == 7 && o.odd[0].ratio > 2.5f);
    CHECK(o.strange[2] > o.strange[0] && o.strange[2] > o.strange[1] && o.strange[2] > .5f);
    CHECK(o.cell[2 * N + 7].now);
    agt_routing_free(&o);
    routing_free(&r);
    free(u.mean);
}

static void little_data_says_nothing(void)
{
    usual u = fresh_usual();
    routing r = { 0 };
    agt_routing o = { 0 };
    uint16_t ids[L + 1][KK];
    routing_shape(&r, L + 1, 1, L, N, KK);
    r.u = &u;
    for (int i = 0; i < 3; i++) {
        draw(ids, 2);
        routing_add(&r, ids[0], NULL, NULL, NULL, KK, true);
    }
    routing_export(&r, &o);
    CHECK_INT(o.n_odd, 0);
    for (int e = 0; e < N; e++)          /* shrunk to k / N */
        CHECK(fabsf(o.cell[e].usual - .25f) < .06f);
    agt_routing_free(&o);
    routing_free(&r);
    free(u.mean);
}

static void usual_rates_survive_text(void)
{
    usual u = fresh_usual(), v = { 0 };
    for (int i = 0; i < L * N; i++)
        u.mean[i] = (float)i / (L * N);
    u.n = 300;
    char *t = usual_text(&u);
    CHECK(usual_parse(&v, t));
    CHECK(v.n_layer == L && v.n_expert == N && v.n == 300);
    for (int i = 0; i < L * N; i++)
        CHECK(fabsf(v.mean[i] - u.mean[i]) < 2e-5f);
    t[strlen(t) - 1] = 0;
    CHECK(!usual_parse(&v, t));
    CHECK(!usual_parse(&v, "1 99999 99999 5 ffff") && !usual_parse(&v, "") && !usual_parse(&v, "1 1 1 5 zzzz"));
    free(t);
    free(u.mean);
    free(v.mean);
}

static void slips_and_distances(void)
{
    char *s = layout_to_latin("ыуе"), *c = layout_to_cyrillic("ghbdtn");
    CHECK_STR(s, "set");
    CHECK_STR(c, "привет");
    free(s);
    free(c);
    CHECK_INT(text_distance("recompte", "recompute"), 1);
    CHECK_INT(text_distance("снвоа", "снова"), 1);
    CHECK_INT(text_distance("", "abc"), 3);
    int n;
    const agt_command *t = agt_commands(&n);
    for (int i = 0; i < n; i++) {        /* names are told apart in both languages, and every row is filled */
        CHECK(t[i].name && t[i].ru && t[i].help && *t[i].help && t[i].args);
        for (int j = 0; j < i; j++)
            CHECK_MSG(strcmp(t[i].name, t[j].name) && strcmp(t[i].ru, t[j].ru), "%s and %s", t[i].name, t[j].name);
    }
}

static bool offered(agt *a, const char *line, const char *want, size_t *start)
{
    int n;
    bool hit = false;
    char **v = agt_completions(a, line, strlen(line), start, &n);
    for (int i = 0; i < n; i++) {
        hit |= strcmp(v[i], want) == 0;
        free(v[i]);
    }
    free(v);
    return hit;
}

static void completion(void)
{
    char err[Q_ERRLEN];
    agt *a;
    agt_options o = { .db = ":memory:" };
    size_t start;
    CHECK_INT(agt_open(&o, &a, err), 0);
    CHECK(offered(a, "/se", "/set", &start) && start == 0);
    CHECK(offered(a, "/зад", "/задать", &start));
    CHECK(offered(a, "/set exp", "experts.k ", &start) && start == 5);
    CHECK(offered(a, "/set num_ex", "num_experts_per_tok ", &start));
    CHECK(offered(a, "/set rope.scaling ya", "yarn", &start) && start == 18);
    CHECK(offered(a, "/set ui.motion ", "off", &start));
    CHECK(offered(a, "/again experts.k=1 samp", "sampler.temperature=", &start));
    CHECK(offered(a, "/again kv.type=q", "q8_0", &start) && start == 15);
    CHECK(offered(a, "/add agent/agent.", "agent/agent.h", &start));
    CHECK(!offered(a, "set exp", "experts.k ", &start));
    agt_close(a);
}

/* A producer far ahead of the reader waits; nothing is lost or reordered; progress is folded. */
static void *produce(void *user)
{
    evq *q = user;
    for (int i = 1; i <= 5000; i++) {
        agt_event e = { .kind = AGT_EV_TOKEN, .number = i, .text = q_printf("%d", i) };
        evq_push(q, &e);
        agt_event p = { .kind = AGT_EV_PREFILL, .done = i, .total = 5000 };
        evq_push(q, &p);
        agt_event p2 = { .kind = AGT_EV_PREFILL, .done = i, .total = 5000 };
        evq_push(q, &p2);
    }
    agt_event e = { .kind = AGT_EV_DONE };
    evq_push(q, &e);
    return NULL;
}

static void queue_is_bounded_and_whole(void)
{
    char err[Q_ERRLEN];
    evq q;
    pthread_t t;
    CHECK_INT(evq_open(&q, err), 0);
    CHECK(pthread_create(&t, NULL, produce, &q) == 0);
    usleep(50000);
    pthread_mutex_lock(&q.mu);
    CHECK_MSG(q.n <= EVQ_MAX, "%d events wait", q.n);
    pthread_mutex_unlock(&q.mu);
    int next = 1, extra = 0;
    for (bool end = false; !end;) {
        agt_event e;
        if (!evq_pop(&q, &e)) {
            usleep(200);
            continue;
        }
        if (e.kind == AGT_EV_TOKEN) {
            CHECK_INT(e.number, next);
            next++;
        }
        extra += e.kind == AGT_EV_PREFILL;
        end = e.kind == AGT_EV_DONE;
        agt_event_free(&e);
    }
    CHECK_INT(next, 5001);
    CHECK(extra <= 10000 && extra >= 1);
    pthread_join(t, NULL);
    evq_close(&q);
}

/* Any bytes in config.ini: sentences at most, no crash, no unknown assignment. */
static void config_ini_of_any_bytes(void)
{
    static const char good[] = "; a comment\n[set]\nexperts.k = 4\n[sampler]\ntemperature = 0.5 ; half\n[ui]\ntheme = light\npace = 5\n"
                               "[memory]\nmin_score = .4\n";
    settings s = { 0 };
    settings_open(&s);
    for (int round = 0; round < 3000; round++) {
        q_buf t = { 0 };
        strings notes = { 0 };
        q_buf_puts(&t, good);
        for (unsigned m = round ? rnd(12) : 0; m > 0; m--)
            switch (rnd(3)) {
            case 0: t.p[rnd((unsigned)t.len)] = (char)rnd(256); break;
            case 1: t.len = 1 + rnd((unsigned)t.len); t.p[t.len] = 0; break;
            default: for (unsigned i = rnd(400); i > 0; i--) q_buf_putc(&t, (char)rnd(256));
            }
        settings_parse_ini(&s, "config.ini", &t, &notes);
        if (round == 0) {
            q_buf v = { 0 };
            CHECK_INT(notes.n, 0);
            CHECK_INT(s.ini.n, 2);
            CHECK(s.ini.n == 2 && strcmp(s.ini.v[0], "experts.k=4") == 0 && strcmp(s.ini.v[1], "sampler.temperature=0.5") == 0);
            CHECK_STR(settings_value(&s, "ui.theme", &v), "light");
            q_buf_free(&v);
        }
        for (int i = 0; i < s.ini.n; i++) {
            char *name = q_strndup(s.ini.v[i], strcspn(s.ini.v[i], "="));
            CHECK(settings_find(&s, name) >= 0);
            free(name);
        }
        strings_free(&s.ini);
        strings_free(&notes);
        q_buf_free(&t);
    }
    settings_close(&s);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    RUN(names_are_short);
    RUN(chance_is_quiet_and_signs_show);
    RUN(little_data_says_nothing);
    RUN(usual_rates_survive_text);
    RUN(slips_and_distances);
    RUN(completion);
    RUN(queue_is_bounded_and_whole);
    RUN(config_ini_of_any_bytes);
    return TEST_END();
}
