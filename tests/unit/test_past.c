/* Answers that the context does not hold any more, asked about as when they were made: older ones of a conversation, after it was
 * opened again, with their settings turned in between, with passages, given beginnings and another system text; equal, number for
 * number, to what was said while they stood in the context. What cannot be made again is said. */
#include "agent/room.h"
#include "engine/engine.h"
#include "lab/parts.h"
#include "memory/store.h"
#include "tests/engine_util.h"
#include "tests/unit/agent_help.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>

static char err[Q_ERRLEN];

/* ================= the timeline ================= */
enum { TEXT = 300, FIRST = 170, TURN = 60, CHANGE = 240 };     /* the answer's first token; other settings from here on, and from there */

typedef struct rig { eng_model *m; eng_config *c[2]; char *json[2]; int32_t token[TEXT]; eng_session *s; mem_trace *t; } rig;

static void rig_open(rig *r)
{
    uint64_t seed[4] = { 5, 6, 7, 8 };
    char *path = util_model("qwen3moe");
    CHECK_MSG(eng_model_open(path, NULL, &r->m, err) == 0, "%s", err);
    remove(path);
    free(path);
    for (int i = 0; i < 2; i++) {
        r->c[i] = eng_config_new(r->m);
        CHECK(eng_config_set(r->c[i], "context.length", "1024", err) == 0);
        CHECK(!i || eng_config_set(r->c[i], "experts.k", "1", err) == 0);
        r->json[i] = eng_config_json(r->c[i]);
    }
    CHECK_MSG(eng_session_new(r->m, r->c[0], &r->s, err) == 0, "%s", err);
    r->t = mem_trace_new(eng_model_info(r->m)->n_layer, 1);
    for (int i = 0; i < TEXT; i++) {
        eng_out o;
        r->token[i] = (int32_t)(q_random(seed) % 250) + 5;
        eng_row row = { .session = r->s, .token = r->token[i], .want = ENG_WANT_LOGITS, .config = r->c[(i >= TURN && i < 100) || i >= CHANGE] };
        CHECK_MSG(eng_cache_step(eng_session_cache(r->s), &row, 1, true, &o, err) == 0, "%s", err);
        if (i >= FIRST)
            mem_trace_add(r->t, row.token, i, eng_config_hash(row.config), false, o.max_k, o.ids, o.weights, o.entropy, o.margin);
    }
}

static void rig_close(rig *r)
{
    mem_trace_free(r->t);
    eng_session_free(r->s);
    for (int i = 0; i < 2; i++) {
        eng_config_free(r->c[i]);
        free(r->json[i]);
    }
    eng_model_free(r->m);
}

static lab_past *past_of(const rig *r, const lab_past_run *run, int n_run)
{
    lab_past *p = NULL;
    lab_past_of of = { r->token, TEXT, FIRST, run, n_run, 0 };
    CHECK_MSG(lab_past_new(eng_session_cache(r->s), &of, &p, err) == 0, "%s", err);
    return p;
}

static bool at_most(void *user, int done, int total)
{
    CHECK(done >= 0 && done < total);
    return --*(int *)user >= 0;
}

static void a_timeline_is_the_same_again(void)
{
    rig r = { 0 };
    rig_open(&r);
    const lab_past_run run[] = { { TURN, r.json[0] }, { 100 - TURN, r.json[1] }, { CHANGE - 100, NULL }, { TEXT - CHANGE, r.json[1] } };
    lab_past *p = past_of(&r, run, 4);
    CHECK_INT(lab_past_left(p), TEXT);
    int steps = 2;                       /* stopped before the third step; it goes on from there */
    CHECK(lab_past_read(p, r.t, &(lab_terms){ .go_on = at_most, .user = &steps }, err) == Q_CANCEL && strstr(err, "stopped after 100 of 300"));
    CHECK_INT(lab_past_left(p), TEXT - 100);
    CHECK_MSG(lab_past_read(p, r.t, NULL, err) == 0 && lab_past_left(p) == 0 && lab_past_off(p) == -1, "%s, token %d", err, lab_past_off(p));
    CHECK(lab_past_read(p, r.t, NULL, err) == 0);
    eng_session *s = lab_past_session(p);
    CHECK(eng_session_length(s) == TEXT && memcmp(eng_session_tokens(s), r.token, sizeof r.token) == 0);
    eng_mix a[8], b[8];
    int n = eng_session_runs(r.s, a, 8);
    CHECK_INT(eng_session_runs(s, b, 8), n);
    for (int i = 0; i < n; i++) CHECK(a[i].config == b[i].config && a[i].cells == b[i].cells);
    static const int at[] = { FIRST - 1, FIRST, CHANGE - 1, CHANGE, TEXT - 1 };
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {            /* and a position of it asked about says the same to the bit */
        lab_whatif_result x = { 0 }, y = { 0 };
        const char *by = r.json[at[i] >= CHANGE];
        CHECK_MSG(lab_whatif_spec(r.s, at[i], by, "ban=1:3,k=2", NULL, &x, err) == 0 && lab_whatif_spec(s, at[i], by, "ban=1:3,k=2", NULL, &y, err) == 0, "%s", err);
        CHECK(x.n_word == y.n_word && x.kl == y.kl && x.kl > 0 && x.entropy[1] == y.entropy[1]);
        for (int w = 0; w < x.n_word; w++) CHECK(x.word[w].id == y.word[w].id && x.word[w].p[0] == y.word[w].p[0] && x.word[w].p[1] == y.word[w].p[1]);
        lab_whatif_free(&x);
        lab_whatif_free(&y);
    }
    const char *json[] = { r.json[0], r.json[1] };
    lab_replayed x, y;
    q_buf said = { 0 };
    lab_record rec = { json, 2, NULL };
    CHECK_MSG(lab_replay(r.s, r.t, &rec, "norm.eps=0.1", &said, NULL, &x, err) == 0 && lab_replay(s, r.t, &rec, "norm.eps=0.1", &said, NULL, &y, err) == 0, "%s", err);
    CHECK(x.side[LAB_RECORD].kl.high == 0 && memcmp(x.side, y.side, sizeof x.side) == 0 && x.overlap == y.overlap);
    q_buf_free(&said);
    lab_past_free(p);
    rig_close(&r);
}

/* Positions that were turned in mid-answer: one sentence that says so, not one about what nobody asked for. */
static void turned_positions_are_said(void)
{
    rig r = { 0 };
    rig_open(&r);
    eng_config *c = eng_config_copy(r.c[0]);
    CHECK(eng_config_set(c, "rope.theta", "5000", err) == 0);
    char *json = eng_config_json(c);
    const lab_past_run run[] = { { CHANGE, r.json[0] }, { TEXT - CHANGE, json } };
    lab_past *p = past_of(&r, run, 2);
    CHECK(lab_past_read(p, r.t, NULL, err) == Q_RANGE);
    CHECK_MSG(strstr(err, "was turned inside this answer"), "%s", err);
    lab_past_free(p);
    lab_whatif_result x = { 0 };
    CHECK(lab_whatif_spec(r.s, CHANGE, json, "k=1", NULL, &x, err) == Q_RANGE);
    CHECK_MSG(strstr(err, "was turned inside this answer"), "%s", err);
    CHECK(lab_whatif_spec(r.s, CHANGE, r.json[0], "rope.theta=5000", NULL, &x, err) == Q_RANGE);
    CHECK_MSG(strstr(err, "hold for a whole timeline"), "%s", err);
    free(json);
    eng_config_free(c);
    rig_close(&r);
}

/* A turn of the positions in mid-answer: what stood before it is evaluated anew, and the answer has two timelines. */
typedef struct turned { eng_config *c; char *json; eng_session *s; mem_trace *t; } turned;

static eng_session *under(const rig *r, const eng_config *c, int n)
{
    eng_session *fresh = NULL;
    CHECK_MSG(eng_session_new(r->m, c, &fresh, err) == 0 && (n == 0 || eng_session_sync(fresh, r->token, n, ENG_CONTINUE, NULL, NULL, err) >= 0), "%s", err);
    return fresh;
}

static void turned_open(turned *w, const rig *r)
{
    w->c = eng_config_copy(r->c[0]);
    CHECK(eng_config_set(w->c, "rope.theta", "5000", err) == 0);
    w->json = eng_config_json(w->c);
    w->s = under(r, w->c, CHANGE);
    w->t = mem_trace_new(eng_model_info(r->m)->n_layer, 1);
    const mem_trace *t = r->t;
    for (int i = 0; i < TEXT - FIRST; i++) {
        if (FIRST + i < CHANGE) {        /* as it was made before the turn */
            size_t cell = (size_t)i * (size_t)t->n_layer;
            mem_trace_add(w->t, t->token[i], t->pos[i], t->config[i], false, t->max_k, t->ids + cell * (size_t)t->max_k, t->weights + cell * (size_t)t->max_k, t->entropy + cell, t->margin + cell);
            continue;
        }
        eng_out o;
        eng_row row = { .session = w->s, .token = r->token[FIRST + i], .want = ENG_WANT_LOGITS, .config = w->c };
        CHECK_MSG(eng_cache_step(eng_session_cache(w->s), &row, 1, true, &o, err) == 0, "%s", err);
        mem_trace_add(w->t, row.token, FIRST + i, eng_config_hash(w->c), false, o.max_k, o.ids, o.weights, o.entropy, o.margin);
    }
}

static lab_past *part_of(const rig *r, const turned *w, int part)
{
    lab_past *p = NULL;
    const lab_past_run first[] = { { TURN, r->json[0] }, { 100 - TURN, r->json[1] }, { CHANGE - 100, r->json[0] } }, second[] = { { TEXT, w->json } };
    lab_past_of of = { .token = r->token, .n = part ? TEXT : CHANGE, .first = FIRST, .run = part ? second : first, .n_run = part ? 1 : 3, .from = part ? CHANGE - FIRST : 0 };
    CHECK_MSG(lab_past_new(eng_session_cache(r->s), &of, &p, err) == 0 && lab_past_read(p, w->t, NULL, err) == 0, "%s", err);
    CHECK_MSG(lab_past_off(p) == -1 && lab_past_left(p) == 0, "part %d: token %d", part, lab_past_off(p));
    return p;
}

/* Of the answer's tokens from..to: KL of what follows when they are evaluated under the spec behind what was made, by single steps. */
static double kl_by_steps(const rig *r, eng_session *made, const eng_config *c, int from, int to, const char *spec)
{
    int n_vocab = eng_model_info(r->m)->n_vocab;
    eng_config *other = eng_config_copy(c);
    CHECK_MSG(lab_spec(other, spec, NULL, err) == 0, "%s", err);
    float *x = q_alloc(sizeof *x * (size_t)n_vocab);
    double sum = 0;
    eng_session *line[2] = { NULL, NULL };
    for (int i = 0; i < 2; i++)
        CHECK(eng_session_fork(made, &line[i], err) == 0 && eng_session_cut(line[i], FIRST + from, err) == 0);
    for (int at = FIRST + from; at < FIRST + to; at++) {
        eng_out o;
        bool top;
        for (int i = 0; i < 2; i++) {
            eng_row row = { .session = line[i], .token = r->token[at], .want = ENG_WANT_LOGITS, .config = i ? other : c };
            CHECK_MSG(eng_cache_step(eng_session_cache(made), &row, 1, true, &o, err) == 0, "%s", err);
            if (!i)
                memcpy(x, o.logits[0], sizeof *x * (size_t)n_vocab);
        }
        sum += judge_kl(x, o.logits[0], n_vocab, judge_log_sum(x, n_vocab), judge_log_sum(o.logits[0], n_vocab), &top);
    }
    for (int i = 0; i < 2; i++)
        eng_session_free(line[i]);
    eng_config_free(other);
    free(x);
    return sum;
}

static void both_timelines_of_a_turned_answer(void)
{
    enum { T = CHANGE - FIRST, N = TEXT - FIRST };
    rig r = { 0 };
    turned w = { 0 };
    rig_open(&r);
    turned_open(&w, &r);
    eng_session *made[2] = { under(&r, r.c[0], 0), w.s };            /* the first part: the rig's timeline, which goes on otherwise behind it */
    eng_session_free(made[0]);
    CHECK(eng_session_fork(r.s, &made[0], err) == 0 && eng_session_cut(made[0], CHANGE, err) == 0);
    static const int at[] = { FIRST - 1, FIRST, CHANGE - 1, CHANGE - 1, CHANGE, TEXT - 1 };
    lab_past *again[2];
    for (int part = 0; part < 2; part++) {
        again[part] = part_of(&r, &w, part);
        eng_session *s_ = lab_past_session(again[part]);
        CHECK_INT(eng_session_length(s_), part ? TEXT : CHANGE);
        for (int i = part * 3; i < part * 3 + 3; i++) {
            lab_whatif_result x = { 0 }, y = { 0 };
            const char *by = part ? w.json : r.json[0];
            CHECK_MSG(lab_whatif_spec(made[part], at[i], by, "ban=1:3,k=2", NULL, &x, err) == 0 && lab_whatif_spec(s_, at[i], by, "ban=1:3,k=2", NULL, &y, err) == 0, "%s", err);
            CHECK(x.n_word == y.n_word && x.kl == y.kl && x.kl > 0 && x.entropy[0] == y.entropy[0] && x.entropy[1] == y.entropy[1]);
            for (int k = 0; k < x.n_word; k++) CHECK(x.word[k].id == y.word[k].id && x.word[k].p[0] == y.word[k].p[0] && x.word[k].p[1] == y.word[k].p[1]);
            lab_whatif_free(&x);
            lab_whatif_free(&y);
        }
    }
    const char *json[] = { r.json[0], w.json };
    lab_record rec = { json, 2, r.json[1] };
    lab_parts *p = NULL;
    lab_replayed o;
    q_buf said = { 0 };
    CHECK_MSG(lab_parts_new(eng_session_cache(r.s), w.t, &rec, "k=1", &said, &p, err) == 0, "%s", err);
    CHECK_MSG(lab_parts_add(p, lab_past_session(again[0]), 0, T, NULL, err) == 0 && lab_parts_add(p, lab_past_session(again[1]), T, N, NULL, err) == 0, "%s", err);
    lab_parts_end(p, &o);
    lab_parts_free(p);
    double want = (kl_by_steps(&r, made[0], r.c[0], 0, T, "k=1") + kl_by_steps(&r, made[1], w.c, T, N, "k=1")) / N;
    CHECK_MSG(o.n == N && o.side[LAB_RECORD].kl.high == 0 && o.side[LAB_OTHER].kl.mean > 0, "%d tokens, KL %g", o.n, o.side[LAB_OTHER].kl.mean);
    CHECK_MSG(fabs(o.side[LAB_OTHER].kl.mean - want) < 1e-12, "KL %.17g, by steps %.17g", o.side[LAB_OTHER].kl.mean, want);
    /* the second part's tokens in the first part's timeline are another thing, and refused */
    CHECK(lab_parts_new(eng_session_cache(r.s), w.t, &rec, "k=1", &said, &p, err) == 0 && lab_parts_add(p, lab_past_session(again[0]), T, N, NULL, err) == Q_RANGE);
    lab_parts_free(p);
    /* the present settings, of other positions than a part's: the part keeps its own, and that is said */
    q_buf_clear(&said);
    CHECK_MSG(lab_parts_new(eng_session_cache(r.s), w.t, &rec, NULL, &said, &p, err) == 0 && lab_parts_add(p, lab_past_session(again[1]), T, N, NULL, err) == 0, "%s", err);
    CHECK_MSG(said.p && strstr(said.p, "stay what they were when it was made"), "%s", said.p ? said.p : "");
    lab_parts_free(p);
    q_buf_free(&said);
    for (int part = 0; part < 2; part++)
        lab_past_free(again[part]);
    eng_session_free(made[0]);
    eng_session_free(w.s);
    eng_config_free(w.c);
    free(w.json);
    mem_trace_free(w.t);
    rig_close(&r);
}

/* Whatever stood there otherwise is seen: the record is not what comes out. */
static void another_timeline_is_not_taken_for_it(void)
{
    rig r = { 0 };
    rig_open(&r);
    const lab_past_run run[] = { { TURN, r.json[0] }, { 100 - TURN, r.json[1] }, { CHANGE - 100, r.json[0] }, { TEXT - CHANGE, r.json[1] } };
    for (int k = 0; k < 4; k++) {
        lab_past_run other[4];
        memcpy(other, run, sizeof other);
        if (k == 0) { other[0].n++; other[1].n--; }                  /* one cell that other settings made */
        if (k == 3) { other[2].n--; other[3].n++; }
        int32_t was = r.token[20];
        float weight = r.t->weights[11 * r.t->n_layer * r.t->max_k];
        if (k == 1) r.token[20] = was == 7 ? 8 : 7;                  /* another token, long before */
        if (k == 2) r.t->weights[11 * r.t->n_layer * r.t->max_k] *= 1.0000002f;
        lab_past *p = past_of(&r, other, 4);
        CHECK(lab_past_read(p, r.t, NULL, err) == 0);
        CHECK_MSG(lab_past_off(p) == (k == 2 ? 11 : k == 3 ? CHANGE - FIRST : 0), "%d: token %d", k, lab_past_off(p));
        r.token[20] = was;
        if (k == 2) r.t->weights[11 * r.t->n_layer * r.t->max_k] = weight;
        lab_past_free(p);
    }
    lab_past *p = NULL;
    const lab_past_run few[] = { { TEXT - 1, NULL } };
    lab_past_of of = { r.token, TEXT, FIRST, few, 1, 0 };
    CHECK(lab_past_new(eng_session_cache(r.s), &of, &p, err) == Q_RANGE && !p);
    const lab_past_run all[] = { { TEXT, "{\"experts.k\":99}" } };
    of.run = all;
    CHECK(lab_past_new(eng_session_cache(r.s), &of, &p, err) < 0 && !p);
    r.token[5] = 1 << 30;
    const lab_past_run good[] = { { TEXT, NULL } };
    of.run = good;
    CHECK(lab_past_new(eng_session_cache(r.s), &of, &p, err) == Q_RANGE && !p);
    r.token[5] = 7;
    p = past_of(&r, good, 1);
    r.t->n--;
    CHECK(lab_past_read(p, r.t, NULL, err) == Q_RANGE);
    r.t->n++;
    lab_past_free(p);
    rig_close(&r);
}

/* ================= conversations ================= */
static char *dir, *db;
static agt *a;
static seen s;

static void start(const char *policy)
{
    char *own = q_printf("context.policy=%s", policy);
    const char *const set[] = { "sampler.max_tokens=24", "sampler.temperature=0.8", "sampler.seed=5", "context.length=2048", "threads=1", own };
    seen_clear(&s);
    a = help_open(db, 6, set, &s);
    settle(a, &s);
    free(own);
}

static void stop(void)
{
    agt_close(a);
    a = NULL;
    seen_clear(&s);
}

static void ask(const char *text)
{
    agt_submit(a, text);
    settle(a, &s);
}

/* What a command says, without what may differ: how long it took and what was evaluated for it. *read: that; malloc'ed. */
static char *asked(const char *command, int *read)
{
    seen_clear(&s);
    ask(command);
    cJSON *j = cJSON_Parse(s.data ? s.data : "{}"), *r = cJSON_GetObjectItem(j, "evaluated_again");
    *read = r ? r->valueint : -1;
    CHECK_MSG(cJSON_IsTrue(cJSON_GetObjectItem(j, "as_recorded")), "%s: %s", command, s.notes.p ? s.notes.p : "");
    cJSON_DeleteItemFromObject(j, "ms");
    cJSON_DeleteItemFromObject(j, "evaluated_again");
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

enum { COMMANDS = 4, MOST = 6 };
static const char *const command[COMMANDS] = { "/whatif @%d 3 k=1", "/token @%d 4", "/whatif @%d 0 ban=1:3", "/replay @%d k=1" };
static char *then[MOST][COMMANDS];

static void note_now(int answer, bool holds)
{
    for (int c = 0; c < COMMANDS; c++) {
        int read;
        char *line = q_printf(command[c], answer);
        free(then[answer - 1][c]);
        then[answer - 1][c] = asked(line, &read);
        CHECK_MSG(read == 0 || !holds, "%s evaluated %d tokens while the context holds it", line, read);
        free(line);
    }
}

/* anew: where the settings turned in the answer, and each turn evaluated its context anew, tokens before and behind it stand in two contexts. */
static void compare_so(int answer, bool anew)
{
    for (int c = 0; c < COMMANDS; c++) {
        int read;
        char *line = q_printf(command[c], answer), *now = asked(line, &read);
        CHECK_MSG(strcmp(now, then[answer - 1][c]) == 0, "%s\nthen %s\nnow  %s", line, then[answer - 1][c], now);
        CHECK_MSG((read > 0) == (c == 0 || (anew && c == 3)), "%s evaluated %d tokens", line, read);        /* once */
        free(now);
        free(line);
    }
}

static void compare_with_then(int answer) { compare_so(answer, false); }

static void forget_then(void)
{
    for (int i = 0; i < MOST; i++)
        for (int c = 0; c < COMMANDS; c++) {
            free(then[i][c]);
            then[i][c] = NULL;
        }
}

/* A model of random weights ends when it likes: other dice until an answer has so many tokens. Returns the dice. */
enum { LONG = 8, TURNED = 14, DICE = 200 };
static int ask_long(const char *text, int tokens, bool amend)
{
    int dice = 5;
    char words[48];
    seen_clear(&s);
    ask(text);
    while (s.last && s.last->n_tokens < tokens && ++dice < DICE) {
        snprintf(words, sizeof words, amend ? "/set sampler.seed %d" : "sampler.seed=%d", dice);
        if (amend) {
            ask(words);
            ask(text);
        } else {
            agt_again(a, 0, words);
            settle(a, &s);
        }
    }
    CHECK_MSG(s.last && s.last->n_tokens >= tokens, "%s: %d tokens", text, s.last ? s.last->n_tokens : -1);
    if (amend)
        ask("/set sampler.seed 5");
    return dice;
}

/* k is another one from the seventh token on: the answer's first tokens come as they came before. */
static void ask_and_turn(const char *text)
{
    char words[48];
    int dice = ask_long(text, TURNED, false);
    for (bool done = false; !done && dice < DICE; dice++) {
        seen_clear(&s);
        snprintf(words, sizeof words, "sampler.seed=%d", dice);
        agt_again(a, 0, words);          /* long enough under these dice? */
        settle(a, &s);
        if (!s.last || s.last->n_tokens < TURNED)
            continue;
        seen_clear(&s);
        agt_pause(a, true);
        agt_again(a, 0, words);
        for (int i = 1; i <= 6; i++) {
            agt_step(a);
            CHECK(wait_for(a, &s, AGT_EV_TOKEN, i, 60000));
        }
        agt_nudge_k(a, -2);
        CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
        agt_pause(a, false);
        settle(a, &s);
        done = s.last && s.last->n_config == 2 && s.last->n_tokens >= LONG;
    }
    CHECK(dice < DICE);
}

/* Settings are turned between and in answers; the system text too; a beginning is given; a file is fed. recompute: each turn
 * evaluates the context anew. */
static void converse(bool recompute)
{
    char *file = q_printf("%s/ferry.md", dir), *add = q_printf("/add %s", file);
    static const char text[] = "# Ferry\nThe Zwolle ferry leaves the northern quay at seven and the fare is four guilders.\n";
    CHECK(q_write_file_atomic(file, text, sizeof text - 1, err) == 0);
    ask("/new");
    ask("/set experts.k default");
    ask("/set memory.on off");
    ask(add);
    ask_long("Tell me of the river.", LONG, false);
    note_now(1, true);
    ask("/set experts.k 2");
    ask("/set chat.system Be brief.");
    ask("/set memory.on on");
    ask_long("When does the Zwolle ferry leave the northern quay, and what is the fare?", LONG, false);
    CHECK_MSG(s.passages > 0, "nothing was fed: %s", s.nothing ? s.nothing : "");
    note_now(2, true);
    ask("/set memory.on off");
    ask("/set experts.ban 1:3");
    ask_long("And a stone?", LONG, false);
    note_now(3, true);
    ask_long("/amend The stone lies in", LONG, true);
    note_now(3, true);
    ask("/set experts.ban none");
    ask("/set experts.k 4");
    ask("/set chat.system default");
    ask_long("What else?", LONG, false);
    note_now(4, true);
    ask_and_turn("One more.");
    note_now(5, !recompute);
    ask("/set experts.k 4");
    free(file);
    free(add);
}

static void older_answers(bool recompute)
{
    const char *policy = recompute ? "recompute" : "continue";
    int read;
    start(policy);
    converse(recompute);
    static const int order[] = { 3, 1, 2, 4 };
    for (int i = 0; i < 4; i++)
        compare_with_then(order[i]);
    if (!recompute) {                    /* the running one's cells are there all the time */
        char *held = asked("/whatif 3 k=1", &read);
        CHECK(read == 0);
        free(held);
    }
    ask("/set experts.k 3");
    ask("/recompute");                   /* until they are made anew, by other settings than then */
    compare_so(5, recompute);
    stop();
    start(policy);
    for (int i = 1; i <= 5; i++)
        compare_so(i, recompute && i == 5);
    ask("/set experts.k 1");
    compare_with_then(1);
    ask_long("And now?", 1, false);
    compare_with_then(2);
    stop();
    forget_then();
}

static void answers_that_went_on(void) { older_answers(false); }
static void answers_that_were_evaluated_anew(void) { older_answers(true); }

/* ---- rope.* turned in mid-answer ---- */
enum { FIRST_TURN = 6, SECOND_TURN = 10, TURNS = 2, ASKS = 7 };
static const char *const turn_line[TURNS] = { "/set rope.theta 5000", "/brain load back" };
static const char *const turn_ask[ASKS] = { "/whatif 3 k=1", "/token 4", "/token 7", "/whatif 6 k=1", "/whatif 8 k=1", "/whatif -1 k=1", "/replay k=1" };

/* What of an answer does not depend on what stands behind the token. */
static void same_before_the_turn(const char *plain, const char *now)
{
    cJSON *x = cJSON_Parse(plain), *y = cJSON_Parse(now);
    static const char *const part[] = { "kl", "next", "before", "after", "layers", "position", "text", "alternatives" };
    int n = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        const cJSON *a_ = cJSON_GetObjectItem(x, part[i]), *b_ = cJSON_GetObjectItem(y, part[i]);
        CHECK_MSG(!a_ == !b_ && (!a_ || cJSON_Compare(a_, b_, true)), "%s\nwithout a turn  %s\nwith one        %s", part[i], plain, now);
        n += a_ != NULL;
    }
    CHECK_MSG(n >= 2, "%s", now);
    cJSON_Delete(x);
    cJSON_Delete(y);
}

/* After six tokens the positions are other ones, after ten the first ones again with another k: cells of the beginning may be found
 * again, made by the first settings. plain: what two commands say of the same tokens without a turn. */
static void turn_positions(const char *text, char *plain[2])
{
    char words[48];
    int dice = ask_long(text, TURNED, false), read;
    for (bool done = false; !done && dice < DICE; dice++) {
        seen_clear(&s);
        snprintf(words, sizeof words, "sampler.seed=%d", dice);
        agt_again(a, 0, words);
        settle(a, &s);
        if (!s.last || s.last->n_tokens < TURNED)
            continue;
        for (int i = 0; i < 2; i++) {
            free(plain[i]);
            plain[i] = asked(turn_ask[i], &read);
        }
        seen_clear(&s);
        agt_pause(a, true);
        agt_again(a, 0, words);
        for (int i = 1; i <= SECOND_TURN; i++) {
            agt_step(a);
            if (!wait_for(a, &s, AGT_EV_TOKEN, i, 60000))
                break;
            if (i == FIRST_TURN || i == SECOND_TURN) {
                agt_submit(a, turn_line[i == SECOND_TURN]);
                CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
            }
        }
        agt_pause(a, false);
        settle(a, &s);
        done = s.last && s.last->n_config == 1 + TURNS && s.last->n_tokens > SECOND_TURN + 1;
        ask("/set rope.theta default");
        ask("/set experts.k default");
    }
    CHECK(dice < DICE);
}

static void positions_that_turned(bool recompute)
{
    const char *policy = recompute ? "recompute" : "continue";
    char *plain[2] = { NULL, NULL }, *was[ASKS] = { NULL };
    int read;
    start(policy);
    ask("/new");
    ask("/set memory.on off");
    ask("/set experts.k 2");
    ask("/brain save back");
    ask("/set experts.k default");
    turn_positions("Tell me of the river.", plain);
    for (int i = 0; i < ASKS; i++) {
        was[i] = asked(turn_ask[i], &read);
        if (i < 2)
            same_before_the_turn(plain[i], was[i]);
    }
    for (int round = 0; round < 3; round++) {
        if (round == 1) {                /* another process: all of it is evaluated again */
            stop();
            start(policy);
        }
        for (int i = ASKS - 1; i >= 0; i--) {
            int at = round == 2 ? (i * 3) % ASKS : i;
            char *now = asked(turn_ask[at], &read);
            CHECK_MSG(strcmp(now, was[at]) == 0, "%s, round %d\nthen %s\nnow  %s", turn_ask[at], round, was[at], now);
            CHECK_MSG(round != 1 || i < ASKS - 1 || read > SECOND_TURN, "%s evaluated %d tokens", turn_ask[at], read);
            free(now);
        }
    }
    ask("/set rope.theta 7000");
    char *held_ = asked("/replay", &read);
    CHECK_MSG(s.page && strstr(s.page, "stay what they were when it was made"), "%s", s.page ? s.page : "");
    free(held_);
    stop();
    for (int i = 0; i < ASKS; i++)
        free(was[i]);
    free(plain[0]);
    free(plain[1]);
}

static void positions_turned_in_an_answer(void) { positions_that_turned(false); }
static void positions_turned_and_made_anew(void) { positions_that_turned(true); }

/* Errors of a command, in words. */
static const char *refused(const char *line)
{
    seen_clear(&s);
    ask(line);
    return s.notes.p && s.errors == 1 && !s.page ? s.notes.p : "(it was not refused)";
}

/* As they were stored before it was written down what they were made from. */
static void strip(int64_t id)
{
    mem_store *m = NULL;
    mem_trace *t = NULL;
    unsigned char *b = NULL;
    size_t n = 0;
    CHECK_MSG(mem_open(db, &m, err) == 0 && mem_trace_get(m, id, &t, err) == 0, "%s", err);
    free(t->made);
    t->made = NULL;
    CHECK(store_trace_pack(t, &b, &n) == 0);
    store_lock(m);
    CHECK(store_run(m, NULL, err, "UPDATE message_trace SET data=? WHERE message=?", "bi", b, n, id) == 0);
    store_unlock(m);
    free(b);
    mem_trace_free(t);
    mem_close(m);
}

static void what_cannot_be_made_again_is_said(void)
{
    start("continue");
    converse(false);
    int64_t id[3] = { 0 };
    for (int i = 0, n = 0; i < a->chat.path.n && n < 3; i++)         /* nothing runs */
        if (a->chat.path.v[i].role == MEM_ASSISTANT)
            id[n++] = a->chat.path.v[i].id;
    stop();
    strip(id[0]);
    strip(id[2]);
    start("continue");
    compare_with_then(1);                /* all of it is as it is now, and its routing says that it is right */
    const char *why = refused("/whatif @3 3 k=1");                   /* k was another before it, and so was the system text */
    CHECK_MSG(strstr(why, "cannot be made again") || strstr(why, "comes out otherwise from token 1 on"), "%s", why);
    char *forget = q_printf("/forget %s/ferry.md", dir);
    ask(forget);
    free(forget);
    CHECK(s.ask != 0);
    agt_answer(a, s.ask, true);
    settle(a, &s);
    CHECK_MSG(strstr(refused("/whatif @2 3 k=1"), "passage [1] that this answer was given is not in memory any more"), "%s", s.notes.p);
    compare_with_then(1);
    CHECK_MSG(strstr(refused("/replay @9"), "@1 to @5"), "%s", s.notes.p);
    stop();
    mem_store *m = NULL;                 /* a record that is damaged */
    CHECK_MSG(mem_open(db, &m, err) == 0, "%s", err);
    store_lock(m);
    CHECK(store_run(m, NULL, err, "UPDATE message_trace SET data=substr(data, 1, 60) WHERE message=?", "i", id[0]) == 0);
    store_unlock(m);
    mem_close(m);
    start("continue");
    CHECK_MSG(strstr(refused("/whatif @1 3 k=1"), "cannot be read"), "%s", s.notes.p);
    stop();
    forget_then();
}

/* A summary stood for older turns in their prompts; another wording since then, or none. */
static void answers_behind_a_summary(void)
{
    start("continue");
    ask("/new");
    ask("/set memory.on off");
    ask_long("Tell me of the river.", LONG, false);
    ask_long("And of its fish?", LONG, false);
    ask("/pin @1");
    ask_long("And a stone?", LONG, false);
    mem_compaction c = { .message = a->chat.path.v[3].id, .kept = (char[]){ "" }, .text = (char[]){ "The river has fish." }, .fixed = (char[]){ "Rule: be brief.\n" },
                         .words = (char[]){ "" }, .messages = 4, .before = 90, .after = 20 };
    CHECK_MSG(mem_compaction_put(a->store, &c, &c.id, err) == 0, "%s", err);
    ask_long("What else?", LONG, false);
    note_now(4, true);
    ask("/pin @2");                      /* beside the summary from here on */
    ask("/compact edit There is a river, and fish in it.");
    ask_long("And now?", LONG, false);
    note_now(5, true);
    ask("/compact undo");
    ask_long("And in the end?", LONG, false);
    note_now(6, true);
    compare_with_then(4);
    stop();
    start("continue");
    for (int i = 4; i <= 6; i++)
        compare_with_then(i);
    stop();
    mem_store *m = NULL;
    CHECK_MSG(mem_open(db, &m, err) == 0, "%s", err);
    store_lock(m);
    CHECK(store_run(m, NULL, err, "DELETE FROM compaction", "") == 0);
    store_unlock(m);
    mem_close(m);
    start("continue");
    CHECK_MSG(strstr(refused("/whatif @4 3 k=1"), "the summary that this answer was made from is gone"), "%s", s.notes.p);
    stop();
    forget_then();
}

int main(void)
{
    RUN(a_timeline_is_the_same_again);
    RUN(turned_positions_are_said);
    RUN(both_timelines_of_a_turned_answer);
    RUN(another_timeline_is_not_taken_for_it);
    if (!help_model()) {
        printf("skip conversations: the golden model is not unpacked\n");
        return TEST_END();
    }
    char made[] = "/tmp/quorum-past-XXXXXX";
    dir = mkdtemp(made);
    db = q_printf("%s/past.db", dir);
    setenv("XDG_CONFIG_HOME", dir, 1);   /* a brain is saved */
    RUN(answers_that_went_on);
    RUN(answers_that_were_evaluated_anew);
    RUN(positions_turned_in_an_answer);
    RUN(positions_turned_and_made_anew);
    RUN(what_cannot_be_made_again_is_said);
    RUN(answers_behind_a_summary);
    free(db);
    static const char *const folder[] = { "/quorum/brains", "/quorum", "" };         /* the inner ones first; a copy of the store may stand beside it */
    for (size_t i = 0; i < sizeof folder / sizeof *folder; i++) {
        char *path = q_printf("%s%s", dir, folder[i]);
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));)
            unlinkat(dirfd(d), e->d_name, 0);        /* refuses folders */
        if (d)
            closedir(d);
        CHECK_MSG(rmdir(path) == 0, "%s is not empty", path);
        free(path);
    }
    return TEST_END();
}
