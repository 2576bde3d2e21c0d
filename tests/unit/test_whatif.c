/* One position again under other settings: equal, bit for bit, to a run that changed there, and nothing of it stays. An answer
 * again with its recorded routing: exactly the answer; and under other settings, with that routing held or not. */
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/parts.h"
#include "memory/memory.h"
#include "tests/engine_util.h"
#include "tests/test.h"

static char err[Q_ERRLEN];
static eng_model *m;
enum { TOKENS = 200 };
static int32_t token[TOKENS];

static eng_config *config_of(const char *spec)
{
    q_buf said = { 0 };
    eng_config *c = eng_config_new(m);
    CHECK_MSG(!*spec || lab_spec(c, spec, &said, err) == 0, "%s: %s", spec, err);
    CHECK(eng_config_set(c, "context.length", "1024", err) == 0);
    q_buf_free(&said);
    return c;
}

static eng_session *session_of(const eng_config *c, int n)
{
    eng_session *s = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0, "%s", err);
    CHECK_MSG(eng_session_sync(s, token, n, ENG_CONTINUE, NULL, NULL, err) == 0, "%s", err);
    return s;
}

static double p_of(const float *x, int32_t id) { return exp((double)x[id] - judge_log_sum(x, eng_model_info(m)->n_vocab)); }

/* Against a session that is evaluated up to the position, takes the other settings, and goes on by that token. */
static const char *head_off, *pin;                   /* of a layer that has attention; of an expert that is not chosen at those places anyway */

static void it_is_what_a_run_that_changed_there_gives(void)
{
    char all[16];
    const char *const spec[] = { "k=1", all, "ban=0:3,k=3", "bias=1:3=4", pin, "experts.temperature=0.5", "norm.eps=0.01", "experts.min_p=0.5", head_off };
    static const int at[] = { 0, 1, 63, 64, 65, 127, 150, TOKENS - 1 };
    snprintf(all, sizeof all, "k=%d", eng_model_info(m)->n_expert);
    eng_config *a = config_of("");
    eng_session *s = session_of(a, TOKENS);
    for (size_t i = 0; i < sizeof spec / sizeof *spec; i++)
        for (size_t p = 0; p < sizeof at / sizeof *at; p++) {
            eng_config *b = config_of(spec[i]);
            lab_whatif_result r = { 0 };
            CHECK_MSG(lab_whatif(s, at[p], a, b, &r, err) == 0, "%s at %d: %s", spec[i], at[p], err);
            eng_session *full[2];
            for (int side = 0; side < 2; side++) {
                full[side] = session_of(a, at[p]);
                CHECK(eng_session_config(full[side], side ? b : a, ENG_CONTINUE, err) == 0 && eng_session_push(full[side], token[at[p]], err) == 0);
                const float *x = eng_session_logits(full[side]);
                for (int w = 0; w < r.n_word; w++)
                    CHECK_MSG(r.word[w].p[side] == p_of(x, r.word[w].id), "%s at %d, side %d: %g %g", spec[i], at[p], side, r.word[w].p[side], p_of(x, r.word[w].id));
                if (at[p] + 1 < TOKENS)
                    CHECK(r.p_follows[side] == p_of(x, token[at[p] + 1]));
            }
            int n = eng_model_info(m)->n_vocab;
            bool top;
            const float *x = eng_session_logits(full[0]), *y = eng_session_logits(full[1]);
            CHECK(r.kl == judge_kl(x, y, n, judge_log_sum(x, n), judge_log_sum(y, n), &top));
            CHECK_MSG(r.kl > 0, "%s at %d", spec[i], at[p]);
            CHECK(r.n_word >= 8 && r.n_word <= LAB_NEXT && r.n_layer == eng_model_info(m)->n_moe_layer && r.text && (r.follows != NULL) == (at[p] + 1 < TOKENS));
            lab_whatif_free(&r);
            eng_session_free(full[0]);
            eng_session_free(full[1]);
            eng_config_free(b);
        }
    eng_session_free(s);
    eng_config_free(a);
}

static void nothing_of_it_stays(void)
{
    eng_config *a = config_of(""), *b = config_of("k=1");
    eng_session *s = session_of(a, TOKENS - 1), *twin = session_of(a, TOKENS - 1);
    size_t bytes = sizeof(float) * (size_t)eng_model_info(m)->n_vocab;
    uint64_t end = eng_trace_end(s);
    for (int p = 0; p < TOKENS - 1; p += 9) {
        lab_whatif_result r = { 0 };
        CHECK(lab_whatif(s, p, a, b, &r, err) == 0);
        lab_whatif_free(&r);
    }
    eng_mix mix[4];
    CHECK(eng_session_length(s) == TOKENS - 1 && eng_trace_end(s) == end);
    CHECK(eng_session_mix(s, mix, 4) == 1 && mix[0].cells == TOKENS - 1);
    CHECK(memcmp(eng_session_logits(s), eng_session_logits(twin), bytes) == 0);
    CHECK(eng_session_push(s, token[TOKENS - 1], err) == 0 && eng_session_push(twin, token[TOKENS - 1], err) == 0);
    CHECK(memcmp(eng_session_logits(s), eng_session_logits(twin), bytes) == 0);
    eng_session_free(s);
    eng_session_free(twin);
    eng_config_free(a);
    eng_config_free(b);
}

static void equal_settings_change_nothing_and_words_say_what_changed(void)
{
    eng_config *a = config_of("");
    eng_session *s = session_of(a, TOKENS);
    lab_whatif_result r = { 0 };
    q_buf out = { 0 }, said = { 0 };
    CHECK(lab_whatif(s, 70, a, a, &r, err) == 0 && r.kl == 0 && r.n_word == 8 && r.entropy[0] == r.entropy[1]);
    for (int w = 0; w < r.n_word; w++)
        CHECK(r.word[w].p[0] == r.word[w].p[1] && (w == 0 || r.word[w].p[0] <= r.word[w - 1].p[0]));
    for (int l = 0; l < r.n_layer; l++)
        CHECK(r.layer[l].same == 4 && r.layer[l].n[0] == 4);
    lab_whatif_free(&r);
    char *json = eng_config_json(a);
    CHECK_MSG(lab_whatif_spec(s, 70, json, "k=2", &said, &r, err) == 0, "%s", err);
    for (int l = 0; l < r.n_layer; l++)
        CHECK(r.layer[l].n[0] == 4 && r.layer[l].n[1] == 2);
    for (int l = 0; l < r.n_layer; l++)
        CHECK(r.layer[l].same == 2);
    lab_whatif_say(&r, "k=2", &out);
    char *line = q_printf("in the others, experts that run only before → only after:\n  L%d  %d %d  → –\n", r.layer[0].layer, r.layer[0].id[0][0], r.layer[0].id[0][1]);
    CHECK_MSG(strstr(out.p, line), "%s in %s", line, out.p);
    free(line);
    CHECK_MSG(strstr(out.p, "evaluated under k=2") && strstr(out.p, "KL ") && strstr(out.p, "what came, \"") && strstr(out.p, "layers\n"), "%s", out.p);
    cJSON *j = lab_whatif_json(&r);
    CHECK(cJSON_GetObjectItem(j, "kl")->valuedouble == r.kl && cJSON_GetArraySize(cJSON_GetObjectItem(j, "next")) == r.n_word);
    cJSON_Delete(j);
    lab_whatif_free(&r);
    free(json);
    q_buf_free(&out);
    q_buf_free(&said);
    eng_session_free(s);
    eng_config_free(a);
}

/* An expert that is banned runs in no case; a line that bans another one takes the first ban off: both are said. */
static void bans_are_said(void)
{
    static const struct { const char *made, *spec, *says, *not; } what[] = {
        { "", "k=2", NULL, "ban" }, { "", "k=4", "nothing changes", "ban" }, { "ban=0:3", "k=2", NULL, "ban" }, { "ban=0:3", "ban=1:1", "experts.ban: 0:3 → 1:1", "does nothing" },
        { "", "ban=1:1", "experts.ban: none → 1:1", "does nothing" }, { "ban=0:3", "bias=0:3=4", "0:3: banned there", "experts.ban: " },
        { "ban=0:3,1:2", "pin=1:2", "1:2: banned there", "0:3: " }, { "ban=0:3", "ban=0:3", "nothing changes", "experts.ban: " }, { "ban=0:3", "bias=0:4=4", NULL, "nothing" }, { "", "pin=0:3", NULL, "ban" } };
    eng_config *a = config_of("");
    eng_session *s = session_of(a, 90);
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        eng_config *made = config_of(what[i].made);
        char *json = eng_config_json(made);
        q_buf said = { 0 }, out = { 0 };
        lab_whatif_result r = { 0 };
        CHECK_MSG(lab_whatif_spec(s, 80, json, what[i].spec, &said, &r, err) == 0, "%s: %s", what[i].spec, err);
        lab_whatif_say(&r, what[i].spec, &out);
        CHECK_MSG((!what[i].says || strstr(out.p, what[i].says)) && !strstr(out.p, what[i].not), "%s, then %s: %s", what[i].made, what[i].spec, out.p);
        lab_whatif_free(&r);
        q_buf_free(&said);
        q_buf_free(&out);
        free(json);
        eng_config_free(made);
    }
    eng_session_free(s);
    eng_config_free(a);
}

static void what_cannot_be_tried_is_said(void)
{
    eng_config *a = config_of("");
    eng_session *s = session_of(a, 40);
    lab_whatif_result r = { 0 };
    q_buf said = { 0 };
    static const struct { int pos; const char *spec, *says; } bad[] = { { 40, "k=1", "there is none at 40" }, { -1, "k=1", "none at -1" }, { 5, "rope.theta=5e5", "rope.*" },
        { 5, "kv.type=f32", "kv.type" }, { 5, "k=99", "1 to 12" }, { 5, "nonesuch", "no brain" }, { 5, "ban=9:1", "layer" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_MSG(lab_whatif_spec(s, bad[i].pos, "{}", bad[i].spec, &said, &r, err) < 0 && strstr(err, bad[i].says) && !r.word && !r.text, "%s: %s", bad[i].spec, err);
    CHECK(eng_session_length(s) == 40);
    q_buf_free(&said);
    eng_session_free(s);
    eng_config_free(a);
}

/* ---- an answer again ---- */
enum { FROM = 50, CHANGE = 120 };

/* The routing of tokens FROM.., the first ones under a, those from CHANGE on under b, as the trace would have it. */
static mem_trace *record(eng_config *a, eng_config *b, eng_session **out)
{
    eng_session *s = session_of(a, FROM);
    mem_trace *t = mem_trace_new(eng_model_info(m)->n_layer, 1);
    for (int i = FROM; i < TOKENS; i++) {
        eng_row row = { .session = s, .token = token[i], .want = ENG_WANT_LOGITS, .config = i < CHANGE ? a : b };
        eng_out o;
        CHECK_MSG(eng_cache_step(eng_session_cache(s), &row, 1, true, &o, err) == 0, "%s", err);
        mem_trace_add(t, token[i], i, eng_config_hash(row.config), false, o.max_k, o.ids, o.weights, o.entropy, o.margin);
    }
    *out = s;
    return t;
}

static void what_was_recorded_is_the_answer(void)
{
    /* whatever bends routing: forced, the record gives the very same numbers */
    static const char *const made[] = { "", "k=2", "experts.temperature=0.5,k=3", "experts.min_p=0.2", "bias=1:3=2", "ban=0:3,1:1", "norm.eps=0.01" };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        eng_config *a = config_of(made[i]), *b = config_of("k=1");
        eng_session *s;
        mem_trace *t = record(a, b, &s);
        char *ja = eng_config_json(a), *jb = eng_config_json(b);
        const char *json[] = { ja, jb };
        lab_replayed r;
        q_buf said = { 0 };
        CHECK_MSG(lab_replay(s, t, &(lab_record){ json, 2, NULL }, "norm.eps=0.1", &said, NULL, &r, err) == 0, "%s: %s", made[i], err);
        CHECK(r.n == TOKENS - FROM && r.n_layer == eng_model_info(m)->n_moe_layer);
        CHECK_MSG(r.side[LAB_RECORD].kl.high == 0 && r.side[LAB_RECORD].top1 == 1 && r.side[LAB_RECORD].dlogp.mean == 0, "%s: %g", made[i], r.side[LAB_RECORD].kl.mean);
        CHECK(r.side[LAB_OTHER].kl.mean > 0 && r.side[LAB_HELD].kl.mean > 0 && r.overlap < 1 && r.overlap > 0);
        CHECK(eng_session_length(s) == TOKENS);
        q_buf_free(&said);
        mem_trace_free(t);
        eng_session_free(s);
        eng_config_free(a);
        eng_config_free(b);
        free(ja);
        free(jb);
    }
}

static void a_difference_of_routing_alone_goes_when_it_is_held(void)
{
    eng_config *a = config_of(""), *one = config_of("k=1");
    eng_session *s;
    mem_trace *t = record(a, a, &s);
    char *json = eng_config_json(a), *now = eng_config_json(one);
    const char *list[] = { json };
    lab_replayed r, present;
    q_buf said = { 0 }, out = { 0 };
    CHECK_MSG(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "k=1", &said, NULL, &r, err) == 0, "%s", err);
    CHECK_MSG(r.side[LAB_HELD].kl.high == 0 && r.side[LAB_HELD].top1 == 1 && r.side[LAB_OTHER].kl.low > 0 && r.overlap > .9, "%g", r.side[LAB_HELD].kl.mean);
    CHECK_MSG(lab_replay(s, t, &(lab_record){ list, 1, now }, NULL, &said, NULL, &present, err) == 0, "%s", err);
    CHECK(present.side[LAB_OTHER].kl.mean == r.side[LAB_OTHER].kl.mean && present.overlap == r.overlap);
    /* against two sessions that go token by token */
    eng_session *x = session_of(a, FROM), *y = session_of(a, FROM);
    double kl = 0;
    int n = eng_model_info(m)->n_vocab;
    bool top;
    CHECK(eng_session_config(y, one, ENG_CONTINUE, err) == 0);
    for (int i = FROM; i < TOKENS; i++) {
        CHECK(eng_session_push(x, token[i], err) == 0 && eng_session_push(y, token[i], err) == 0);
        const float *p = eng_session_logits(x), *q = eng_session_logits(y);
        kl += judge_kl(p, q, n, judge_log_sum(p, n), judge_log_sum(q, n), &top);
    }
    CHECK_MSG(fabs(kl / (TOKENS - FROM) - r.side[LAB_OTHER].kl.mean) < 1e-12, "%.15g %.15g", kl / (TOKENS - FROM), r.side[LAB_OTHER].kl.mean);
    lab_replayed_say(&r, "k=1", &out);
    CHECK_MSG(strstr(out.p, "150 tokens of the answer again") && strstr(out.p, "with routing held, 0.0% of the difference is left"), "%s", out.p);
    /* an interval of one piece would be a point, and no interval */
    int all = t->n;
    t->n = 12;
    q_buf_clear(&out);
    CHECK_MSG(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "k=1", &said, NULL, &r, err) == 0 && r.pieces == 1, "%s", err);
    lab_replayed_say(&r, "k=1", &out);
    CHECK_MSG(!strstr(out.p, "95%") && strstr(out.p, "too few tokens for an interval: from 16 on"), "%s", out.p);
    t->n = 16;
    q_buf_clear(&out);
    CHECK(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "k=1", &said, NULL, &r, err) == 0 && r.pieces == 2);
    lab_replayed_say(&r, "k=1", &out);
    CHECK_MSG(strstr(out.p, "95%") && !strstr(out.p, "too few"), "%s", out.p);
    t->n = all;
    /* what cannot be */
    t->config[7] ^= 1;
    CHECK(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "k=1", &said, NULL, &r, err) == Q_RANGE && strstr(err, "token 8 was made by is not known"));
    t->config[7] ^= 1;
    t->token[9]++;
    CHECK(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "k=1", &said, NULL, &r, err) == Q_RANGE && strstr(err, "does not hold"));
    t->token[9]--;
    uint16_t was = t->ids[0];
    t->ids[0] = 77;
    CHECK(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "k=1", &said, NULL, &r, err) == Q_RANGE && strstr(err, "77"));
    t->ids[0] = was;
    CHECK(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "rope.theta=5e5", &said, NULL, &r, err) == Q_RANGE && strstr(err, "rope"));
    CHECK(lab_replay(s, t, &(lab_record){ list, 1, NULL }, "k=99", &said, NULL, &r, err) == Q_RANGE && r.n == 0);
    CHECK(eng_session_length(s) == TOKENS);
    q_buf_free(&said);
    q_buf_free(&out);
    mem_trace_free(t);
    eng_session_free(s);
    eng_session_free(x);
    eng_session_free(y);
    eng_config_free(a);
    eng_config_free(one);
    free(json);
    free(now);
}

static bool open_model(const char *arch)
{
    char *path = util_model(arch);
    int rc = eng_model_open(path, NULL, &m, err);
    if (rc)
        printf("not ok test_whatif: %s\n", err);
    remove(path);
    free(path);
    return rc == Q_OK;
}

int main(void)
{
    if (!open_model("qwen3moe"))
        return 1;
    head_off = "attention.heads_off=0:1";
    pin = "pin=2:5";
    uint64_t r[4] = { 5, 6, 7, 8 };
    for (int i = 0; i < TOKENS; i++)
        token[i] = (int32_t)(q_random(r) % 250) + 5;
    RUN(it_is_what_a_run_that_changed_there_gives);
    RUN(nothing_of_it_stays);
    RUN(equal_settings_change_nothing_and_words_say_what_changed);
    RUN(bans_are_said);
    RUN(what_cannot_be_tried_is_said);
    RUN(what_was_recorded_is_the_answer);
    RUN(a_difference_of_routing_alone_goes_when_it_is_held);
    eng_model_free(m);
    if (!open_model("qwen3next"))                    /* layers that go on from a state instead of cells */
        return 1;
    head_off = "attention.heads_off=2:1";
    pin = "pin=1:5";
    RUN(it_is_what_a_run_that_changed_there_gives);
    RUN(nothing_of_it_stays);
    RUN(what_was_recorded_is_the_answer);
    RUN(a_difference_of_routing_alone_goes_when_it_is_held);
    eng_model_free(m);
    return TEST_END();
}
