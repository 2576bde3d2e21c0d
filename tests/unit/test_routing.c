/* Sets of routing: read from files, counted, compared. Numbers against a plain count, sets that differ by nothing and by a
 * planted expert, files that lie; and one answer of 1,000 tokens whose routing is the same live, stored and evaluated again. */
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/parts.h"
#include "memory/memory.h"
#include "provider/provider.h"
#include "tests/engine_util.h"
#include "tests/test.h"

static char err[Q_ERRLEN], *model_path;
enum { L = 3, N = 8, K = 2 };
static const int layer[L] = { 1, 2, 5 };

static double chance(uint64_t r[4]) { return (double)(q_random(r) >> 11) * 0x1p-53; }

/* n tokens that run K of N experts of each layer; with `more`, layer 2's expert 3 is taken that much more often. Runs of a
 * few tokens keep their experts, as a model's do. */
static lab_routes *made(uint64_t seed, int n, double more)
{
    uint64_t r[4] = { q_mix64(seed, 1), q_mix64(seed, 2), q_mix64(seed, 3), q_mix64(seed, 4) };
    lab_routes *o = routes_new(layer, L, K, N);
    uint16_t id[L][K];
    for (int i = 0; i < 20; i++)
        q_random(r);
    for (int t = 0; t < n; t++) {
        bool fresh = t == 0 || chance(r) < .5;
        routes_token(o, t == 0);
        for (int l = 0; l < L; l++) {
            for (int i = 0; i < K && fresh; i++)
                for (bool again = true; again;) {
                    id[l][i] = l == 1 && i == 0 && chance(r) < more ? 3 : (uint16_t)(chance(r) * N);
                    again = i == 1 && id[l][0] == id[l][1];
                }
            CHECK(routes_put(o, l, id[l], K, 1, .5f));
        }
    }
    return o;
}

/* ---- files ---- */
static const char head[] = "index,token,position,prompt,config,layer,k,entropy,margin,expert_0,expert_1,weight_0,weight_1,text\n";

static void a_file_is_read_by_its_columns(void)
{
    char *t = q_printf("%s%s", head,
        "1,7,10,0,ab,1,2,0.5,0.25,3,5,.6,.4,\"a,\"\"b\"\n1,7,10,0,ab,4,1,1.5,,0,,1,,\"a\"\n"
        "2,8,11,0,ab,1,2,0.7,0.5,5,3,.6,.4,\n2,8,11,0,ab,4,2,1.5,0.1,0,7,1,1,x\n"
        "3,9,40,0,ab,1,1,,,2,,1,,\n3,9,40,0,ab,4,2,,,1,0,1,1,\n");
    lab_routes *r;
    CHECK_MSG(lab_routes_csv(t, strlen(t), 8, &r, err) == 0, "%s", err);
    CHECK(r->n == 3 && r->n_layer == 2 && r->layer[0] == 1 && r->layer[1] == 4 && r->n_expert == 8 && r->known && r->max_k == 2);
    CHECK(routes_ids(r, 0, 0)[1] == 5 && routes_k(r, 0, 1) == 1 && routes_ids(r, 1, 1)[1] == 7 && routes_ids(r, 2, 1)[0] == 1);
    CHECK(r->first[0] && !r->first[1] && r->first[2]);
    lab_load o;
    lab_load_of(r, &o);
    const lab_layer_load *y = &o.layer[0];
    CHECK(o.tokens == 3 && fabs(y->load[3] - 2 / 3.0) < 1e-12 && fabs(y->k - 5 / 3.0) < 1e-12);
    CHECK_MSG(y->repeat == 1, "%g", y->repeat);                    /* of the one neighbouring pair */
    CHECK(fabs(y->router_entropy - .6 / log(8)) < 1e-7 && fabs(y->margin - .375) < 1e-9);
    CHECK(y->n_couple == 1 && y->couple[0].a == 3 && y->couple[0].b == 5 && y->couple[0].together == 2);
    CHECK(isnan(o.layer[1].margin) || fabs(o.layer[1].margin - .1) < 1e-7);
    q_buf said = { 0 };
    lab_load_say(&o, &said);
    CHECK_MSG(strncmp(said.p, "3 tokens, 2 layers of 8 experts\n", 32) == 0 && strstr(said.p, "3+5 2 ("), "%s", said.p);
    q_buf_free(&said);
    lab_load_free(&o);
    lab_routes_free(r);
    CHECK(lab_routes_csv(t, strlen(t), 0, &r, err) == 0 && r->n_expert == 8 && !r->known);
    lab_routes_free(r);
    /* columns in another order, of which nothing else is wanted; lines of another system */
    static const char other[] = "expert_0,layer\r\n4,0\r\n2,0\r\n4,0";
    CHECK_MSG(lab_routes_csv(other, sizeof other - 1, 0, &r, err) == 0 && r->n == 3 && r->max_k == 1 && r->n_expert == 5, "%s", err);
    lab_routes_free(r);
    free(t);
}

static void a_file_that_lies_is_refused_by_line(void)
{
    static const struct { const char *rows, *says; } bad[] = {
        { "", "no tokens" }, { "1,7,10,0,ab,x,2,,,3,5,,,\n", "line 2" }, { "1,7,10,0,ab,1,2,,,3,3,,,\n", "twice" }, { "1,7,10,0,ab,1,2,,,3,8,,,\n", "fewer experts" },
        { "1,7,10,0,ab,1,2,,,,,,,\n", "no expert" }, { "1,7,10,0,ab,1,2,,,-1,5,,,\n", "no number of an expert" }, { "1,7,10,0,ab,1,2,nan,,3,5,,,\n", "entropy or margin" },
        { "1,7,10,0,ab,1,2,,1e999,3,5,,,\n", "entropy or margin" }, { "1,7,10,0,ab,1,2,,,3,5,,,\"a\n", "not closed" }, { "1,7,10,0,ab,1,2,,,3,5,,,\"a\"b\n", "closing quote" },
        { "1,7,10,0,ab,1,2,,,3,5,,,\n1,7,10,0,ab,4,2,,,3,5,,,\n2,7,11,0,ab,1,2,,,3,5,,,\n", "cut short" },
        { "1,7,10,0,ab,1,2,,,3,5,,,\n1,7,10,0,ab,4,2,,,3,5,,,\n2,7,11,0,ab,4,2,,,3,5,,,\n", "comes next" }, { "\n\n", "line 2" },
        { "1,7,10,0,ab,99999999999,2,,,3,5,,,\n", "no number of a layer" }, { "1,7,10,0,ab,1,2,,,99999999999,5,,,\n", "no number of an expert" } };
    lab_routes *r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *t = q_printf("%s%s", head, bad[i].rows);
        CHECK_MSG(lab_routes_csv(t, strlen(t), 8, &r, err) == Q_FORMAT && strstr(err, bad[i].says) && !r, "%zu: %s", i, err);
        free(t);
    }
    CHECK(lab_routes_csv("", 0, 0, &r, err) == Q_FORMAT && lab_routes_csv("a,b\n1,2\n", 8, 0, &r, err) == Q_FORMAT && strstr(err, "no trace"));
    /* any bytes: a sentence or a set, never anything else */
    uint64_t s[4] = { 9, 9, 9, 9 };
    int taken = 0;
    for (int i = 0; i < 20000; i++) {
        char *t = q_printf("%s%s", head, "1,7,10,0,ab,1,2,0.5,0.25,3,5,.6,.4,\"a,\"\"b\"\n2,8,11,0,ab,1,2,0.7,0.5,5,3,.6,.4,\n");
        size_t n = strlen(t);
        for (int k = 0; k < 1 + i % 3; k++)
            t[q_random(s) % n] = "0123,\n\"\xff-.x"[q_random(s) % 11];
        if (i % 5 == 0)
            n = q_random(s) % n;
        if (lab_routes_csv(t, n, 0, &r, err) == 0) {
            lab_load o;
            lab_load_of(r, &o);
            taken++;
            lab_load_free(&o);
            lab_routes_free(r);
        } else
            CHECK(*err && !r);
        free(t);
    }
    CHECK_MSG(taken > 1000 && taken < 19000, "%d", taken);
}

/* A line may name any expert of any layer, and the first line columns that no row has: memory goes with what is in the file. */
static void a_small_file_takes_little(void)
{
    lab_routes *r;
    lab_load o;
    const char *t = "layer,expert_0,expert_1\n999,32766,32765\n999,32766,32765\n999,3,32765\n";
    CHECK_MSG(lab_routes_csv(t, strlen(t), 0, &r, err) == 0 && r->n_expert == 32767, "%s", err);
    if (r) {
        lab_load_of(r, &o);
        const lab_layer_load *y = &o.layer[0];
        CHECK_MSG(y->n_couple > 0 && y->couple[0].a == 32765 && y->couple[0].b == 32766 && y->couple[0].together == 2, "%d: %d+%d %d", y->n_couple,
                  y->couple[0].a, y->couple[0].b, y->couple[0].together);
        CHECK(fabs(y->k - 2) < 1e-12);
        lab_load_free(&o);
        lab_routes_free(r);
    }
    t = "layer,expert_0\n0,32767\n";
    CHECK(lab_routes_csv(t, strlen(t), 0, &r, err) == Q_FORMAT && strstr(err, "line 2 of the trace: an expert"));
    t = "layer,expert_0\n1000,1\n";
    CHECK(lab_routes_csv(t, strlen(t), 0, &r, err) == Q_FORMAT && strstr(err, "line 2 of the trace: its layer"));
    q_buf b = { 0 };
    q_buf_puts(&b, "layer");
    for (int i = 0; i < 4000; i++)
        q_buf_printf(&b, ",expert_%d", i);
    for (int i = 0; i < 150; i++)
        for (int l = 0; l < 1000; l++)
            q_buf_printf(&b, "\n%d,1", l);
    CHECK(lab_routes_csv(b.p, b.len, 0, &r, err) == Q_FORMAT && strstr(err, "too large"));
    q_buf_free(&b);
}

/* ---- numbers ---- */
static void numbers_are_those_of_a_plain_count(void)
{
    lab_routes *r = made(5, 700, .3);
    lab_load o;
    lab_load_of(r, &o);
    for (int l = 0; l < L; l++) {
        double hit[N] = { 0 }, both[N][N] = { { 0 } }, again = 0, entropy = 0, mean_difference = 0, top = 0;
        for (int t = 0; t < r->n; t++)
            for (int i = 0; i < K; i++) {
                int e = routes_ids(r, t, l)[i];
                hit[e]++;
                for (int j = 0; j < K; j++) {
                    both[e][routes_ids(r, t, l)[j]]++;
                    again += t > 0 && routes_ids(r, t - 1, l)[j] == e;
                }
            }
        for (int a = 0; a < N; a++) {
            CHECK(fabs(o.layer[l].load[a] - hit[a] / r->n) < 1e-9);
            entropy -= hit[a] > 0 ? hit[a] / (r->n * K) * log(hit[a] / (r->n * K)) / log(N) : 0;
            top = hit[a] > top ? hit[a] : top;
            for (int b = 0; b < N; b++)
                mean_difference += fabs(hit[a] - hit[b]);
        }
        CHECK(fabs(o.layer[l].entropy - entropy) < 1e-9 && fabs(o.layer[l].peak - top * N / (r->n * K)) < 1e-9);
        CHECK_MSG(fabs(o.layer[l].gini - mean_difference / (2.0 * N * r->n * K)) < 1e-9, "%g %g", o.layer[l].gini, mean_difference / (2.0 * N * r->n * K));
        CHECK(fabs(o.layer[l].repeat - again / ((r->n - 1) * K)) < 1e-9);
        CHECK(o.layer[l].k == K || fabs(o.layer[l].k - K) < 1e-9);
        for (int i = 0; i < o.layer[l].n_couple; i++) {
            const lab_couple *c = &o.layer[l].couple[i];
            CHECK(c->together == (int)both[c->a][c->b] && c->together > c->chance);
        }
    }
    CHECK(o.layer[1].load[3] > 1.5 * o.layer[0].load[3]);
    lab_load_free(&o);
    lab_routes_free(r);
}

static void nothing_is_found_where_nothing_is_and_a_planted_one_is(void)
{
    int wrong = 0, layers = 0, found = 0, others = 0;
    for (int i = 0; i < 100; i++) {
        lab_routes *a = made(100 + (uint64_t)i, 300, 0), *b = made(900 + (uint64_t)i, 400, 0), *c = made(1900 + (uint64_t)i, 400, .6);
        lab_differ d;
        CHECK_INT(lab_differ_of(a, b, NULL, &d, err), 0);
        CHECK(d.tokens[0] == 300 && d.tokens[1] == 400 && d.blocks[0] == 18 && d.tried == L * N);
        wrong += d.n_moved > 0;
        for (int l = 0; l < L; l++)
            if (d.drift[l].p < .05) { layers++; break; }
        lab_differ_free(&d);
        CHECK_INT(lab_differ_of(a, c, NULL, &d, err), 0);
        found += d.n_moved > 0 && d.moved[0].layer == 2 && d.moved[0].expert == 3 && d.moved[0].share[1] > 1.5 * d.moved[0].share[0] && d.drift[1].p < .05;
        for (int m = 0; m < d.n_moved; m++)
            others += d.moved[m].layer != 2;
        lab_differ_free(&d);
        CHECK_INT(lab_differ_of(a, a, NULL, &d, err), 0);
        CHECK(d.n_moved == 0 && d.drift[0].js == 0 && d.drift[0].p > .9);
        lab_differ_free(&d);
        lab_routes_free(a);
        lab_routes_free(b);
        lab_routes_free(c);
    }
    /* of 100 with a chance of .05 each: 12 or more once in 250 such choices of seeds */
    CHECK_MSG(wrong <= 11 && layers <= 11, "%d of 100 by experts, %d by layers", wrong, layers);
    CHECK_MSG(found >= 98 && others <= 11, "%d of 100; %d others", found, others);
    printf("# of 100 like pairs %d named an expert and %d a layer; a planted one was found in %d\n", wrong, layers, found);
}

static bool until(void *user, int done, int total) { return done < total && --*(int *)user > 0; }

/* A comparison can be stopped before each dealing; nothing is said then. */
static void a_comparison_can_be_stopped(void)
{
    lab_routes *a = made(1, 300, 0), *b = made(2, 400, 0);
    for (int at = 1; at <= 1999; at += 999) {
        lab_differ d;
        int left = at;
        CHECK_INT(lab_differ_of(a, b, &(lab_terms){ .go_on = until, .user = &left }, &d, err), Q_CANCEL);
        CHECK(left == 0 && strstr(err, "stopped") && !d.moved && !d.drift && d.n_layer == 0);
    }
    lab_routes_free(a);
    lab_routes_free(b);
}

static void what_cannot_be_compared_is_said(void)
{
    static const int four[4] = { 1, 2, 3, 4 };
    lab_routes *a = made(1, 100, 0), *few = made(2, 63, 0), *other = routes_new(four, 4, K, N);
    lab_differ d;
    for (int t = 0; t < 100; t++) {
        routes_token(other, t == 0);
        for (int l = 0; l < 4; l++)
            CHECK(routes_put(other, l, (const uint16_t[]){ 1, 2 }, 2, 0, 0));
    }
    CHECK(lab_differ_of(a, few, NULL, &d, err) == Q_RANGE && strstr(err, "at least 64"));
    CHECK(lab_differ_of(a, other, NULL, &d, err) == Q_RANGE && strstr(err, "different shape"));
    CHECK(d.moved == NULL && d.drift == NULL);
    lab_routes_free(a);
    lab_routes_free(few);
    lab_routes_free(other);
}

/* ---- answers, three times each ---- */
enum { TOKENS = 1000, CHANGE = 20 };
typedef struct heard { prov *p; prov_config *later; mem_trace *t; } heard;
static const char said[] = "The river rises in the hills to the north.";

static void on_position(void *user, const prov_position *p)
{
    heard *h = user;
    if (!p->prompt)
        mem_trace_add(h->t, p->token, p->pos, p->config, false, p->max_k, p->ids, p->weights, p->entropy, p->margin);
}

static bool change_at(void *user, int answer, int tokens)
{
    heard *h = user;
    if (tokens == CHANGE)
        CHECK_MSG(prov_set(h->p, h->later, PROV_CONTINUE, err) == 0, "%s", err);
    return true;
}

static int configure(void *user, prov_config *c, char *e)
{
    static const char *const set[][2] = { { "sampler.max_tokens", "1001" }, { "sampler.seed", "7" }, { "sampler.temperature", "0.9" }, { "context.length", "2048" } };
    int rc = 0;
    for (size_t i = 0; i < sizeof set / sizeof *set && rc == 0; i++)
        rc = prov_config_set(c, set[i][0], set[i][1], e);
    return rc;
}

static bool same_bits(const void *a, const void *b, size_t n) { return memcmp(a, b, n) == 0; }

/* The stored answer's tokens evaluated again in pieces, each under the configuration that its record names. */
static void evaluate_again(const mem_trace *t, eng_model *m, eng_config *const by[2], int piece)
{
    eng_session *s = NULL;
    int differ = 0;
    CHECK_MSG(eng_session_new(m, by[0], &s, err) == 0, "%s", err);
    eng_tokens prompt = { 0 };
    CHECK(eng_template(m, NULL, 0, false, -1, &prompt, err) == 0 && eng_tokenize(m, said, sizeof said - 1, false, &prompt, err) == 0);
    CHECK(prompt.n == t->pos[0] && eng_session_sync(s, prompt.id, prompt.n, ENG_CONTINUE, NULL, NULL, err) == 0);
    eng_tokens_free(&prompt);
    for (int at = 0; at < t->n; at += piece) {
        int n = at + piece < t->n ? piece : t->n - at;
        eng_row row[ENG_STEP_ROWS];
        eng_out o;
        for (int i = 0; i < n; i++)
            row[i] = (eng_row){ .session = s, .token = t->token[at + i], .config = t->config[at + i] == eng_config_hash(by[0]) ? by[0] : by[1] };
        if (eng_cache_step(eng_session_cache(s), row, n, true, &o, err) != 0) {
            CHECK_MSG(false, "%s", err);
            break;
        }
        for (int i = 0; i < n; i++)
            for (int l = 0; l < t->n_layer; l++) {
                size_t stored = (size_t)(at + i) * (size_t)t->n_layer + (size_t)l, now = (size_t)l * (size_t)o.n + (size_t)i, k = (size_t)t->max_k;
                int run = 0;
                while (run < o.max_k && o.ids[now * (size_t)o.max_k + (size_t)run] != LAB_NONE)
                    run++;
                bool same = run <= t->max_k && (run == t->max_k || t->ids[stored * k + (size_t)run] == LAB_NONE) &&
                            same_bits(t->ids + stored * k, o.ids + now * (size_t)o.max_k, sizeof *o.ids * (size_t)run) &&
                            same_bits(t->weights + stored * k, o.weights + now * (size_t)o.max_k, sizeof *o.weights * (size_t)run) &&
                            same_bits(t->entropy + stored, o.entropy + now, sizeof(float)) &&
                            (same_bits(t->margin + stored, o.margin + now, sizeof(float)) || (isnan(t->margin[stored]) && isnan(o.margin[now])));
                differ += !same;
            }
    }
    CHECK_MSG(differ == 0, "pieces of %d: %d of %d layers of tokens differ", piece, differ, t->n * t->n_layer);
    eng_session_free(s);
}

/* One answer, whose k is another from a token on. Returns how many tokens it had. */
static int answer_thrice(prov *p, mem_store *store, eng_model *m, eng_config *const by[2], uint64_t seed)
{
    heard h = { .p = p, .t = mem_trace_new(prov_about(p)->n_layer, 1), .later = prov_present(p) };
    prov_config *home = prov_present(p);
    prov_request r = { .raw = said, .n_raw = sizeof said - 1, .seed = seed };
    prov_hooks hooks = { .user = &h, .between = change_at, .position = on_position };
    prov_result result = { 0 };
    mem_trace *t = NULL;
    int64_t chat, id;
    CHECK(prov_config_set(h.later, "experts.k", "2", err) == 0);
    CHECK_MSG(prov_ask(p, &r, &hooks, &result, err) == 0, "%s", err);
    CHECK(mem_conversation_new(store, "", &chat, err) == 0 && mem_reply_begin(store, chat, 0, "m", 1, 1, "{}", "", &id, err) == 0);
    CHECK(mem_reply_end(store, id, MEM_DONE, "", "x", 1, "", 0, &(mem_stats){ .tokens = h.t->n }, h.t, err) == 0);
    CHECK_MSG(mem_trace_get(store, id, &t, err) == 0, "%s", err);
    int n = t ? t->n : 0;
    if (t) {
        size_t rows = (size_t)t->n * (size_t)t->n_layer, cells = rows * (size_t)t->max_k;
        CHECK(t->n == h.t->n && t->max_k == h.t->max_k && same_bits(t->token, h.t->token, sizeof *t->token * (size_t)t->n));
        CHECK(same_bits(t->ids, h.t->ids, sizeof *t->ids * cells) && same_bits(t->weights, h.t->weights, sizeof *t->weights * cells));
        CHECK(same_bits(t->entropy, h.t->entropy, sizeof *t->entropy * rows) && same_bits(t->margin, h.t->margin, sizeof *t->margin * rows));
        CHECK(n < CHANGE + 2 || t->config[CHANGE - 2] != t->config[n - 1]);
        static const int piece[] = { 1, 7, ENG_STEP_ROWS };
        for (int i = 0; i < 3; i++)
            evaluate_again(t, m, by, piece[i]);
    }
    CHECK(prov_set(p, home, PROV_CONTINUE, err) == 0);
    prov_config_free(home);
    prov_config_free(h.later);
    mem_trace_free(t);
    mem_trace_free(h.t);
    return n;
}

/* Live, from the store, and evaluated anew: the same experts, weights, entropies and margins, bit for bit, for 1,000 tokens. */
static void routing_is_the_same_live_stored_and_evaluated_again(void)
{
    prov_opts o = { .configure = configure };
    prov *p = NULL;
    mem_store *store = NULL;
    eng_model *m = NULL;
    CHECK_MSG(prov_open(model_path, &o, &p, err) == 0, "%s", err);
    CHECK(mem_open(":memory:", &store, err) == 0 && eng_model_open(model_path, NULL, &m, err) == 0);
    if (test_bad)
        return;
    eng_config *by[2] = { eng_config_new(m), NULL };
    CHECK(eng_config_set(by[0], "context.length", "2048", err) == 0);
    by[1] = eng_config_copy(by[0]);
    CHECK(eng_config_set(by[1], "experts.k", "2", err) == 0);
    int tokens = 0, answers = 0;
    while (tokens < TOKENS && answers < 200 && !test_bad)        /* a model of random weights ends when it likes */
        tokens += answer_thrice(p, store, m, by, (uint64_t)++answers);
    CHECK_MSG(tokens >= TOKENS, "%d tokens", tokens);
    printf("# %d tokens of %d answers\n", tokens, answers);
    eng_config_free(by[0]);
    eng_config_free(by[1]);
    prov_close(p);
    eng_model_free(m);
    mem_close(store);
}

int main(void)
{
    model_path = util_model("qwen3moe");
    RUN(a_file_is_read_by_its_columns);
    RUN(a_file_that_lies_is_refused_by_line);
    RUN(a_small_file_takes_little);
    RUN(numbers_are_those_of_a_plain_count);
    RUN(nothing_is_found_where_nothing_is_and_a_planted_one_is);
    RUN(a_comparison_can_be_stopped);
    RUN(what_cannot_be_compared_is_said);
    RUN(routing_is_the_same_live_stored_and_evaluated_again);
    remove(model_path);
    free(model_path);
    return TEST_END();
}
