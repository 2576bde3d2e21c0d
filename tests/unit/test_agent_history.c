/* agent: the history of configurations, F9's walk through it, /history and /diff, and what a step is said to cost: by
 * somebody who answers by a script and has a clock of his own. */
#include "tests/unit/script_help.h"

static const script_line lines[] = {
    { NULL, " One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty "
            "twenty-one twenty-two twenty-three twenty-four twenty-five twenty-six twenty-seven twenty-eight twenty-nine thirty thirty-one thirty-two "
            "thirty-three thirty-four thirty-five thirty-six thirty-seven thirty-eight thirty-nine forty." },
    { NULL, NULL } };

static bool start(script s, seen *told) { return help_script(s, lines, ":memory:", told); }

/* ---- the walk, by itself ---- */
static prov *who;
static void turn(history *h, const char *k)
{
    prov_config *c = prov_config_new(who);
    CHECK_INT(prov_config_set(c, "experts.k", k, err), 0);
    history_turned(h, c);
    prov_config_free(c);
}

/* The k in effect after n presses of F9. */
static int press(history *h, int n)
{
    for (int step, to; n > 0; n--)
        if ((to = history_next(h, &step)) >= 0)
            history_go(h, to, step);
    return prov_config_k(h->v[h->at].cfg);
}

static void f9_walks_back_and_forth(void)
{
    plan = (script){ .line = lines };
    CHECK_INT(script_open(&plan, NULL, &who, err), 0);
    history h = { 0 };
    turn(&h, "1");
    int step;
    CHECK_INT(history_next(&h, &step), -1);
    turn(&h, "2");
    for (int i = 1; i <= 6; i++)         /* two: to and fro */
        CHECK_INT(press(&h, 1), i % 2 ? 1 : 2);
    turn(&h, "3");
    turn(&h, "4");
    static const int five[] = { 4, 3, 2, 1, 2, 3, 4, 5, 4, 3 };
    turn(&h, "5");
    for (int i = 0; i < 10; i++)
        CHECK_INT(press(&h, 1), five[i]);
    turn(&h, "6");                       /* in 3: F9 goes back to it, then on through the others */
    static const int six[] = { 3, 5, 4, 2, 1, 2 };
    for (int i = 0; i < 6; i++)
        CHECK_INT(press(&h, 1), six[i]);
    history_rest(&h);                    /* an answer begins in 2: F9 goes to what was last before it, and back */
    CHECK_INT(press(&h, 1), 6);
    turn(&h, "4");                       /* known: no second place, but the last */
    CHECK_INT(h.n, 6);
    CHECK_INT(press(&h, 1), 6);
    history_clear(&h);
    CHECK_INT(h.n, 0);
    prov_close(who);
}

static void the_history_holds_25(void)
{
    plan = (script){ .line = lines };
    CHECK_INT(script_open(&plan, NULL, &who, err), 0);
    history h = { 0 };
    double made[TALLY_N] = { 1, 2, NAN, 4 };
    char value[16];
    for (int i = 0; i < 60; i++) {
        prov_config *c = prov_config_new(who);
        snprintf(value, sizeof value, "%d", 100 + i);
        CHECK_INT(prov_config_set(c, "sampler.top_k", value, err), 0);
        history_turned(&h, c);
        prov_config_free(c);
        if (i == 30)
            history_made(&h, made);      /* what the effect is measured between stays */
    }
    q_buf b = { 0 };
    CHECK_INT(h.n, 25);
    CHECK_STR(prov_config_get(h.v[24].cfg, "sampler.top_k", &b), "159");
    CHECK_STR(prov_config_get(h.v[h.maker].cfg, "sampler.top_k", &b), "130");
    CHECK(h.v[h.maker].made.of[AGT_SPEED].n == 1 && h.v[h.maker].made.of[AGT_REPEAT].n == 0);
    q_buf_free(&b);
    history_clear(&h);
    prov_close(who);
}

/* ---- numbers ---- */
static tally of(int n, double seconds)
{
    tally t = { 0 };
    for (int i = 0; i < n; i++)
        tally_add(&t, (const double[TALLY_N]){ seconds * (i % 2 ? .9 : 1.1), i % 2 ? 1 : 3, NAN, .5 });
    return t;
}

static void speeds_are_predicted_from_what_was_measured(void)
{
    tally none = { 0 }, few = of(TALLY_LEAST - 1, .01), ten = of(40, .010), six = of(40, .006), two = of(40, .002);
    CHECK(tally_predict(NULL, 0, 100, NULL) == 0);
    CHECK(tally_predict(&(tally_pace){ 100, &none }, 1, 100, NULL) == 0);
    CHECK(tally_predict(&(tally_pace){ 100, &few }, 1, 50, NULL) == 0);
    CHECK(fabs(tally_predict(&(tally_pace){ 100, &ten }, 1, 100, NULL) - 100) < 1e-9);
    CHECK(fabs(tally_predict(&(tally_pace){ 100, &ten }, 1, 50, NULL) - 200) < 1e-9);
    CHECK(tally_reached(NULL, 0) == 0 && tally_reached(&(tally_pace){ 100, &few }, 1) == 0);
    CHECK(fabs(tally_reached((tally_pace[]){ { 100, &ten }, { 50, &six }, { 10, &two } }, 3) - 10000) < 1e-6);
    tally_pace line[] = { { 100, &ten }, { 50, &six } };         /* 2 ms always, 8 ms for 100 bytes */
    CHECK(fabs(tally_predict(line, 2, 100, NULL) - 100) < 1e-9 && fabs(tally_predict(line, 2, 50, NULL) - 1 / .006) < 1e-6);
    CHECK(fabs(tally_predict(line, 2, 25, NULL) - 1 / .004) < 1e-6 && fabs(tally_predict(line, 2, 200, NULL) - 1 / .018) < 1e-6);
    tally_pace steep[] = { { 100, &ten }, { 50, &two } };        /* nothing costs less than nothing: from the nearest in proportion */
    CHECK(fabs(tally_predict(steep, 2, 25, NULL) - 1 / .001) < 1e-6 && fabs(tally_predict(steep, 2, 200, NULL) - 1 / .020) < 1e-6);
    tally_pace wrong[] = { { 100, &two }, { 50, &ten } };        /* noise: fewer bytes never cost more */
    CHECK(fabs(tally_predict(wrong, 2, 25, NULL) - 1 / .006) < 1e-6);
}

static void a_difference_has_its_noise(void)
{
    tally x = of(40, .010), y = of(40, .005), few = of(3, .005);
    agt_measured m = tally_compare(&x, &y, AGT_SPEED);
    CHECK(fabs(m.before - 100) < 1e-6 && fabs(m.after - 200) < 1e-6 && m.n_before == 40 && m.n_after == 40);
    CHECK_MSG(m.noise > 5 && m.noise < 9, "%g", m.noise);        /* each mean to 1.6%: 1.96 sqrt(1.6² + 3.2²) */
    m = tally_compare(&x, &y, AGT_SURPRISE);
    CHECK(m.before == 2 && m.after == 2 && m.noise > .4 && m.noise < .5);
    m = tally_compare(&x, &few, AGT_SURPRISE);
    CHECK(isnan(m.noise) && m.n_after == 3);
    m = tally_compare(&x, &y, AGT_REPEAT);
    CHECK(isnan(m.before) && isnan(m.after) && isnan(m.noise));
    m = tally_compare(&x, &y, AGT_ENTROPY);
    CHECK(m.noise == 0);
}

/* ---- in an answer ---- */
static void at_nothing(void *user, int token) { }

static const char *const turns[] = { "/k 1", "/set sampler.temperature 1.5", "/set experts.ban 1:2", "/set rope.theta 20000" };
static void at_token(void *user, int token)
{
    if (token == 18 || token == 20 || token == 22 || token == 24)
        agt_submit(a, turns[(token - 18) / 2]);
    if (token >= 26 && token < 34 && token % 2 == 0)
        agt_toggle(a);
}

static const q_knob *knob(const char *name)
{
    for (int i = 0; i < agt_knob_count(a); i++)
        if (strcmp(agt_knob(a, i)->name, name) == 0)
            return agt_knob(a, i);
    return NULL;
}

static void a_walk_in_mid_answer(void)
{
    seen s = { 0 };
    if (!start((script){ .at = at_token, .token_s = .001 }, &s))
        return;
    char *cost = agt_knob_cost(a, knob("experts.k"));
    CHECK_MSG(strstr(cost, "% less) · F8 k 3: ") && strstr(cost, "% more)"), "what a step reads beside the present k: %s", cost);
    CHECK_MSG(strstr(cost, "F7 k 1: ") && strstr(cost, "F8 k 3: ") && !strstr(cost, "tok/s"), "nothing is predicted before it was measured: %s", cost);
    free(cost);
    agt_toggle(a);                       /* never "there is no other" */
    settle(a, &s);
    CHECK_MSG(s.errors == 0 && s.notes.p && strstr(s.notes.p, "the model's own configuration"), "%s", s.notes.p ? s.notes.p : "");
    agt_submit(a, "count");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000));
    CHECK_STR(s.last->label, "standard · k 2 → k 1 → T 1.5 → ban 1:2 → theta 20000 → theta default → ban default → T default → k default");
    settle(a, &s);
    agt_submit(a, "/history");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
    CHECK_MSG(s.page && strstr(s.page, "> 1     ") && strstr(s.page, "  5      2") && !strstr(s.page, "  6"), "%s", s.page ? s.page : "");
    CHECK_MSG(s.page && strncmp(s.page, "    tokens    tok/s", 19) == 0, "%s", s.page ? s.page : "");
    cJSON *j = cJSON_Parse(s.data ? s.data : ""), *list = cJSON_GetObjectItem(j, "history");
    static const int made[] = { 26, 4, 4, 4, 2 };
    CHECK_INT(cJSON_GetArraySize(list), 5);
    for (int i = 0; i < 5; i++) {
        cJSON *tokens = cJSON_GetObjectItem(cJSON_GetArrayItem(list, i), "tokens");
        CHECK_INT(tokens ? tokens->valueint : -1, made[i]);
    }
    cJSON *first = cJSON_GetArrayItem(list, 0);
    CHECK(cJSON_IsTrue(cJSON_GetObjectItem(first, "present")) && cJSON_GetObjectItem(first, "settings"));
    CHECK(fabs(cJSON_GetObjectItem(first, "tokens_per_s")->valuedouble - 500) < 1e-6);
    CHECK(cJSON_GetObjectItem(j, "effect") != NULL);
    cJSON_Delete(j);
    cost = agt_knob_cost(a, knob("experts.k"));
    CHECK_MSG(strstr(cost, "500 tok/s measured · ") && strstr(cost, " tok/s predicted"), "%s", cost);
    free(cost);
    agt_submit(a, "/history 3");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 30000) && all_done(a, &s));
    CHECK_MSG(strstr(s.knob, "(3 of 5)"), "%s", s.knob);
    agt_submit(a, "/diff");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
    CHECK_MSG(s.page && strstr(s.page, "experts.k ") && strstr(s.page, " 2 → 1\n") && strstr(s.page, "0.7 → 1.5\n") && !strstr(s.page, "rope"), "%s", s.page ? s.page : "");
    const char *from = strstr(s.page, "experts.k ");           /* 4 tokens of k 1 are too few to speak of a speed: 26 of k 2 are enough */
    CHECK_MSG(from && strstr(from, " a token, 1000 tok/s predicted · with the model's own: ") == strstr(from, " a token, "), "%s", s.page);
    from = from ? strstr(from, "with the model's own: ") : NULL;
    CHECK_MSG(from && strstr(from, " tok/s measured · ") && strstr(from, "% less is read"), "%s", s.page);
    j = cJSON_Parse(s.data ? s.data : "");
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(j, "diff")) >= 2);
    cJSON_Delete(j);
    CHECK_INT(s.errors, 0);
    static const char *const wrong[] = { "/history 6", "/history 0", "/history x", "/history 99999999999999999999" };
    for (int i = 0; i < 4; i++) {
        agt_submit(a, wrong[i]);
        settle(a, &s);
        CHECK_MSG(s.errors == i + 1, "%s", wrong[i]);
    }
    agt_submit(a, "/new");               /* of this conversation nothing was measured */
    settle(a, &s);
    cost = agt_knob_cost(a, knob("experts.k"));
    CHECK_MSG(!strstr(cost, "tok/s"), "%s", cost);
    free(cost);
    finish(&s);
}

/* An answer that begins makes the walked-to configuration the last; its tokens are counted under its own name. */
static void an_answer_after_a_walk(void)
{
    seen s = { 0 };
    if (!start((script){ .at = at_nothing, .token_s = .001 }, &s))
        return;
    agt_submit(a, "/k 1");
    agt_submit(a, "/k 3");
    agt_submit(a, "/history 2");
    settle(a, &s);
    agt_submit(a, "count");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 30000) && all_done(a, &s));
    CHECK_STR(s.last->label, "k 1");
    agt_submit(a, "/history");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
    cJSON *j = cJSON_Parse(s.data ? s.data : ""), *list = cJSON_GetObjectItem(j, "history");
    static const struct { const char *label; int tokens; } want[] = { { "standard · k 2", 0 }, { "k 3", 0 }, { "k 1", 40 } };
    CHECK_INT(cJSON_GetArraySize(list), 3);
    for (int i = 0; i < cJSON_GetArraySize(list) && i < 3; i++) {
        cJSON *o = cJSON_GetArrayItem(list, i);
        CHECK_STR(cJSON_GetObjectItem(o, "label")->valuestring, want[i].label);
        CHECK_INT(cJSON_GetObjectItem(o, "tokens")->valueint, want[i].tokens);
        CHECK(cJSON_IsTrue(cJSON_GetObjectItem(o, "present")) == (i == 2));
    }
    cJSON_Delete(j);
    agt_toggle(a);                       /* and F9 goes back to what was last before it */
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 30000));
    CHECK_STR(s.knob, "=k 3 (2 of 3)");
    finish(&s);
}

/* Rows that differ in nothing but what bounds an answer are told apart by that; a brain says what it took back. */
static void a_row_names_what_is_its_own(void)
{
    seen s = { 0 };
    if (!start((script){ .at = at_nothing, .token_s = .001 }, &s))
        return;
    static const char *const line[] = { "/set sampler.max_tokens=30", "count", "/set sampler.max_tokens=20", "count" };
    for (int i = 0; i < 4; i++) {
        agt_submit(a, line[i]);
        settle(a, &s);
    }
    agt_submit(a, "/history");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
    cJSON *j = cJSON_Parse(s.data ? s.data : ""), *list = cJSON_GetObjectItem(j, "history"), *effect = cJSON_GetObjectItem(j, "effect");
    static const char *const want[] = { "standard · k 2", "standard · k 2 · max_tokens 30", "standard · k 2 · max_tokens 20" };
    CHECK_INT(cJSON_GetArraySize(list), 3);
    for (int i = 0; i < cJSON_GetArraySize(list) && i < 3; i++)
        CHECK_STR(cJSON_GetObjectItem(cJSON_GetArrayItem(list, i), "label")->valuestring, want[i]);
    CHECK_STR(effect ? cJSON_GetObjectItem(effect, "before")->valuestring : "", want[1]);
    CHECK_STR(effect ? cJSON_GetObjectItem(effect, "after")->valuestring : "", want[2]);
    cJSON_Delete(j);
    agt_toggle(a);
    settle(a, &s);
    CHECK_STR(s.knob, "=standard · k 2 · max_tokens 30 (2 of 3)");
    agt_submit(a, "/k 1");
    settle(a, &s);
    q_buf_clear(&s.notes);
    agt_submit(a, "/brain standard");
    settle(a, &s);
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "standard takes back: ") && strstr(s.notes.p, "experts.k (1)") && strstr(s.notes.p, "sampler.max_tokens (30)"),
              "%s", s.notes.p ? s.notes.p : "");
    q_buf_clear(&s.notes);
    agt_submit(a, "/brain standard");    /* nothing is left to be taken back */
    settle(a, &s);
    CHECK_MSG(!s.notes.len || !strstr(s.notes.p, "takes back"), "%s", s.notes.p);
    finish(&s);
}

/* /set takes several, with commas or blanks between: all of them or none, one step of the history. */
static void several_are_set_at_once(void)
{
    seen s = { 0 };
    q_buf v = { 0 };
    if (!start((script){ .at = at_nothing, .token_s = .001 }, &s))
        return;
    static const struct { const char *line, *theta, *k, *passages; int errors; } t[] = {
        { "/set rope.theta=5e4,experts.k=3", "5e4", "3", "3", 0 }, { "/set theta=6e4 k=1", "6e4", "1", "3", 0 },
        { "/set rope.theta=7e4,experts.k=many", "6e4", "1", "3", 1 }, { "/set memory.max_passages=2 k=3,nonesuch=1", "6e4", "1", "3", 1 },
        { "/set k=3 memory.max_passages=none", "6e4", "1", "3", 1 }, { "/set memory.max_passages=2,k=3", "6e4", "3", "2", 0 },
        { "/set chat.system=k=1 theta=1e4", "6e4", "3", "2", 0 }, { "/set experts.k=2,3,3,theta=5e4", "5e4", NULL, "2", 0 } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int before = s.errors;
        agt_submit(a, t[i].line);
        settle(a, &s);
        CHECK_MSG(s.errors == before + t[i].errors, "%s: %s", t[i].line, s.notes.p ? s.notes.p : "");
        CHECK_STR(agt_knob_value(a, knob("rope.theta"), &v), t[i].theta);
        if (t[i].k)
            CHECK_STR(agt_knob_value(a, knob("experts.k"), &v), t[i].k);
        CHECK_STR(agt_knob_value(a, knob("memory.max_passages"), &v), t[i].passages);
    }
    CHECK_STR(agt_knob_value(a, knob("chat.system"), &v), "k=1 theta=1e4");
    char *list = q_strdup(agt_knob_value(a, knob("experts.k"), &v));
    static const char *const page[] = { "/set experts.k", "/diff" };       /* a list is said in brief */
    for (int i = 0; i < 2; i++) {
        agt_submit(a, page[i]);
        CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 30000));
        CHECK_MSG(s.page && strstr(s.page, "0:2 1-2:3") && strchr(list, ',') && !strstr(s.page, list), "%s: %s", list, s.page ? s.page : "");
    }
    free(list);
    agt_toggle(a);                       /* both at once */
    settle(a, &s);
    CHECK_STR(agt_knob_value(a, knob("rope.theta"), &v), "6e4");
    CHECK_STR(agt_knob_value(a, knob("experts.k"), &v), "3");
    q_buf_free(&v);
    finish(&s);
}

/* A saved list is taken alone, by its brain's name. */
static void a_saved_list_is_taken_alone(void)
{
    char home[] = "/tmp/quorum-sets-XXXXXX";
    seen s = { 0 };
    q_buf v = { 0 };
    CHECK(mkdtemp(home) != NULL);
    setenv("XDG_CONFIG_HOME", home, 1);
    if (!start((script){ .at = at_nothing, .token_s = .001 }, &s))
        return;
    agt_submit(a, "/set experts.ban 1:2,2:5");
    agt_submit(a, "/k 1");
    settle(a, &s);
    agt_submit(a, "/brain save noisy");
    settle(a, &s);
    agt_submit(a, "/brain standard");
    settle(a, &s);
    agt_submit(a, "/set experts.ban @noisy");
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 30000) && all_done(a, &s));
    CHECK_STR(agt_knob_value(a, knob("experts.ban"), &v), "1:2,2:5");
    CHECK_STR(agt_knob_value(a, knob("experts.k"), &v), "2");
    agt_submit(a, "/set experts.pin @noisy");
    settle(a, &s);
    CHECK_STR(agt_knob_value(a, knob("experts.pin"), &v), "1:2,2:5");
    CHECK_INT(s.errors, 0);
    static const char *const wrong[] = { "/set experts.ban @nonesuch", "/set experts.ban @", "/set experts.ban @../../etc/passwd", "/set experts.bias @noisy",
                                         "/set experts.pin @deep" };
    for (int i = 0; i < 5; i++) {
        agt_submit(a, wrong[i]);
        settle(a, &s);
        CHECK_MSG(s.errors == i + 1, "%s: %s", wrong[i], s.notes.p ? s.notes.p : "");
    }
    CHECK_STR(agt_knob_value(a, knob("experts.ban"), &v), "1:2,2:5");
    static const struct { const char *words, *label; } again[] = {       /* for one answer; a comma before a NAME= parts two */
        { "pin=none,k=1,temp=.5", "k 1 \xc2\xb7 ban 1:2,2:5 \xc2\xb7 pin none \xc2\xb7 T .5" }, { "k=1-2:3 pin=@noisy,ban=1:4,2:7,temp=.5", "k 1-2:3 \xc2\xb7 ban 1:4,2:7 \xc2\xb7 pin 1:2,2:5 \xc2\xb7 T .5" },
        { "ban=@standard", NULL }, { "ban=@noisy,nonesuch=1", NULL }, { ",k=1", NULL }, { "stop=END,x=1,k=1", "k 1 \xc2\xb7 ban 1:2,2:5 \xc2\xb7 pin 1:2,2:5" } };
    agt_submit(a, "count");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        char *line = q_printf("/again %s", again[i].words);
        seen_clear(&s);
        agt_submit(a, line);
        settle(a, &s);
        CHECK_MSG((s.errors == 0) == (again[i].label != NULL), "%s: %s", line, s.notes.p ? s.notes.p : "");
        CHECK_MSG(!again[i].label || (s.last && s.last->label && strcmp(s.last->label, again[i].label) == 0), "%s: %s", line, s.last && s.last->label ? s.last->label : "no answer");
        free(line);
    }
    finish(&s);
    q_buf_free(&v);
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    static const char *const left[] = { "/quorum/brains/noisy.json", "/quorum/brains", "/quorum", "" };
    for (int i = 0; i < 4; i++) {
        char *path = q_printf("%s%s", home, left[i]);
        CHECK_MSG(remove(path) == 0, "%s", path);
        free(path);
    }
}

/* Each knob's value holds since a token of an answer, and what turning it did is told where it alone was turned. */
static agt_knob_turn turned_of(const char *name, bool *yes)
{
    agt_knob_turn t;
    *yes = agt_knob_turned(a, knob(name), &t);
    return t;
}

static int64_t asked(seen *s, const char *text)
{
    agt_submit(a, text);
    CHECK(wait_for(a, s, AGT_EV_DONE, 0, 30000) && all_done(a, s));
    return s->last ? s->last->id : 0;
}

static void at_20(void *user, int token)
{
    if (token == 20)
        agt_submit(a, "/k 1");
    if (token == 30)
        agt_submit(a, "/set memory.max_passages 2");
}

static void each_knob_holds_since_a_token(void)
{
    seen s = { 0 };
    q_buf v = { 0 };
    bool yes;
    if (!start((script){ .at = at_20, .token_s = .001 }, &s))
        return;
    agt_knob_turn t = turned_of("experts.k", &yes);
    CHECK(!yes && t.of[AGT_SPEED].n_after == 0);
    int64_t first = asked(&s, "count");
    t = turned_of("experts.k", &yes);
    CHECK_MSG(yes && t.message == first && t.token == 21 && t.of[AGT_SPEED].n_before == 20 && t.of[AGT_SPEED].n_after == 20, "token %d of %lld, %d and %d tokens", t.token, (long long)t.message,
              t.of[AGT_SPEED].n_before, t.of[AGT_SPEED].n_after);
    CHECK(fabs(t.of[AGT_SPEED].before - 500) < 1e-6 && fabs(t.of[AGT_SPEED].after - 1000) < 1e-6);
    CHECK_STR(agt_knob_value(a, knob("experts.k"), &v), "1");
    CHECK_STR(agt_knob_own(a, knob("experts.k"), &v), "2");
    CHECK_STR(agt_knob_own(a, knob("memory.max_passages"), &v), "3");
    CHECK_STR(agt_knob_own(a, knob("sampler.loop_stop"), &v), "auto");
    t = turned_of("memory.max_passages", &yes);
    CHECK_MSG(yes && t.message == 0 && t.of[AGT_SPEED].n_after == 0, "of %lld", (long long)t.message);   /* read when a question is asked */
    turned_of("sampler.temperature", &yes);
    CHECK(!yes);
    agt_submit(a, "/set sampler.temperature 1.5");
    agt_submit(a, "/set memory.max_passages 2");     /* it is that already */
    agt_submit(a, "/set ui.motion off");
    settle(a, &s);
    t = turned_of("sampler.temperature", &yes);
    CHECK(yes && t.message == 0 && t.token == 1);
    turned_of("ui.motion", &yes);
    CHECK(!yes);
    int64_t second = asked(&s, "count");
    CHECK(second && second != first);
    t = turned_of("sampler.temperature", &yes);
    CHECK_MSG(yes && t.message == second && t.token == 1 && t.of[AGT_SPEED].n_after > 0, "token %d of %lld", t.token, (long long)t.message);
    t = turned_of("memory.max_passages", &yes);
    CHECK(yes && t.message == second && t.token == 1);
    t = turned_of("experts.k", &yes);
    CHECK(yes && t.message == first);
    agt_submit(a, "/brain fast");        /* with others: nobody's alone */
    agt_submit(a, "/brain standard");
    settle(a, &s);
    t = turned_of("experts.k", &yes);
    CHECK_MSG(yes && t.message == 0 && t.of[AGT_SPEED].n_after == 0 && t.of[AGT_SPEED].n_before == 0, "%d %d", t.of[AGT_SPEED].n_before, t.of[AGT_SPEED].n_after);
    agt_submit(a, "/new");
    settle(a, &s);
    turned_of("experts.k", &yes);
    CHECK(!yes);
    CHECK_INT(s.errors, 0);
    q_buf_free(&v);
    finish(&s);
}

int main(void)
{
    RUN(f9_walks_back_and_forth);
    RUN(the_history_holds_25);
    RUN(speeds_are_predicted_from_what_was_measured);
    RUN(a_difference_has_its_noise);
    RUN(a_walk_in_mid_answer);
    RUN(an_answer_after_a_walk);
    RUN(a_row_names_what_is_its_own);
    RUN(several_are_set_at_once);
    RUN(a_saved_list_is_taken_alone);
    RUN(each_knob_holds_since_a_token);
    return TEST_END();
}
