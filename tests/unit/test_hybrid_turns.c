/* agent: turns on a model with recurrent layers. One and the same script of questions, answers again, edits, branches and turned knobs gives
 * the same answers whether what these layers remember is kept or read anew each time; how much is kept is shown. */
#include "tests/unit/agent_help.h"

#include <cjson/cJSON.h>

enum { N_SET = 5, ANSWERS = 16 };
static const char *const with[N_SET] = { "sampler.temperature=0", "sampler.repeat_penalty=1", "sampler.max_tokens=24", "memory.on=off", "state.memory=64" };
static const char *const without[N_SET] = { "sampler.temperature=0", "sampler.repeat_penalty=1", "sampler.max_tokens=24", "memory.on=off", "state.memory=0" };

typedef struct told { char *text[ANSWERS]; int n; } told;

/* The answer that was just asked for. Its place among the told ones. */
static int take(agt *a, seen *s, told *t)
{
    CHECK(wait_for(a, s, AGT_EV_DONE, 0, 20000));
    CHECK_MSG(s->last && s->last->n_tokens > 0 && !s->errors, "%s", s->notes.p ? s->notes.p : "no answer");
    t->text[t->n] = q_strdup(s->last ? s->last->text : "");
    settle(a, s);
    return t->n++;
}

static int asked(agt *a, seen *s, told *t, const char *line)
{
    agt_submit(a, line);
    return take(a, s, t);
}

static int again(agt *a, seen *s, told *t)
{
    agt_again(a, 0, "");
    return take(a, s, t);
}

/* What /context says of states; -1: nothing. */
static int states(agt *a, seen *s, double *bytes)
{
    agt_submit(a, "/context");
    settle(a, s);
    cJSON *j = s->data ? cJSON_Parse(s->data) : NULL, *o = cJSON_GetObjectItem(j, "states"), *b = cJSON_GetObjectItem(j, "state_bytes");
    int n = o ? o->valueint : -1;
    *bytes = b ? b->valuedouble : -1;
    CHECK_MSG((n > 0) == (*bytes > 0), "%s", s->data ? s->data : "no data");
    cJSON_Delete(j);
    return n;
}

static void script(const char *const *set, told *t, int *kept)
{
    seen s = { 0 };
    double bytes;
    agt *a = help_open_on(help_golden("qwen3next"), ":memory:", N_SET, set, &s);
    asked(a, &s, t, "the lazy fox jumps over the quick brown dog");
    int first = asked(a, &s, t, "in the main void");
    int64_t question = s.question;
    CHECK_STR(t->text[again(a, &s, t)], t->text[first]);
    agt_edit(a, 0, "and over the river");
    take(a, &s, t);
    agt_branch(a, s.question, -1);
    CHECK(wait_for(a, &s, AGT_EV_OPENED, 0, 10000));
    CHECK(s.n_ids == 4 && s.ids[2] == question);
    int third = asked(a, &s, t, "a third question");
    CHECK_STR(t->text[again(a, &s, t)], t->text[third]);
    agt_edit(a, question, "void");                       /* two turns back */
    take(a, &s, t);
    agt_submit(a, "/set context.policy recompute");
    agt_submit(a, "/set experts.k 1");
    int other = asked(a, &s, t, "once more");
    agt_status st;
    agt_get_status(a, &st);
    CHECK_INT(st.mix.n, 1);                              /* all of it is of the present configuration */
    CHECK_STR(t->text[again(a, &s, t)], t->text[other]);
    *kept = states(a, &s, &bytes);
    CHECK_MSG(s.page && strstr(s.page, "recurrent layers' state"), "%s", s.page ? s.page : "");
    agt_submit(a, "/set state.memory");
    settle(a, &s);
    CHECK_MSG(s.page && strstr(s.page, "states of recurrent layers take"), "%s", s.page ? s.page : "");
    seen_clear(&s);
    agt_close(a);
}

static void answers_do_not_depend_on_what_is_kept(void)
{
    told a = { 0 }, b = { 0 };
    int kept[2] = { 0 };
    script(with, &a, &kept[0]);
    script(without, &b, &kept[1]);
    CHECK_MSG(a.n == b.n && kept[0] > 2 && kept[1] == 1, "%d and %d answers, %d and %d states", a.n, b.n, kept[0], kept[1]);
    for (int i = 0; i < a.n; i++) {
        CHECK_STR(a.text[i], b.text[i]);
        free(a.text[i]);
        free(b.text[i]);
    }
}

/* k turned behind the tenth token under continue: what came before stays as it was made, also for an answer that is made again from a
 * border behind it; /recompute makes all of it anew. */
static void a_knob_in_the_middle_of_an_answer(void)
{
    seen s = { 0 };
    told t = { 0 };
    agt_status st;
    agt *a = help_open_on(help_golden("qwen3next"), ":memory:", N_SET, with, &s);
    agt_pause(a, true);
    agt_submit(a, "in the main void");
    CHECK(wait_for(a, &s, AGT_EV_BEGIN, 0, 10000));
    for (int i = 1; i <= 10; i++) {
        agt_step(a);
        CHECK(wait_for(a, &s, AGT_EV_TOKEN, i, 10000));
    }
    agt_nudge_k(a, -1);
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 10000));
    agt_pause(a, false);
    take(a, &s, &t);
    CHECK(s.last->n_config == 2);
    int next = asked(a, &s, &t, "fox");
    agt_get_status(a, &st);
    CHECK_INT(st.mix.n, 2);
    CHECK_STR(t.text[again(a, &s, &t)], t.text[next]);
    agt_get_status(a, &st);
    CHECK_INT(st.mix.n, 2);
    agt_submit(a, "/recompute");
    settle(a, &s);
    agt_get_status(a, &st);
    CHECK_MSG(st.mix.n == 1 && !s.errors, "%d configurations; %s", st.mix.n, s.notes.p ? s.notes.p : "");
    int anew = again(a, &s, &t);
    CHECK_STR(t.text[again(a, &s, &t)], t.text[anew]);
    while (t.n)
        free(t.text[--t.n]);
    seen_clear(&s);
    agt_close(a);
}

/* Of a model without such layers nothing is said. */
static void others_have_no_states(void)
{
    seen s = { 0 };
    told t = { 0 };
    double bytes;
    agt *a = help_open(":memory:", N_SET - 1, with, &s);
    asked(a, &s, &t, "fox");
    CHECK_INT(states(a, &s, &bytes), 0);
    CHECK_MSG(s.page && !strstr(s.page, "recurrent"), "%s", s.page ? s.page : "");
    free(t.text[0]);
    seen_clear(&s);
    agt_close(a);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    if (!help_golden("qwen3next") || !help_model()) {
        SKIP("hybrid_turns", "the golden models are not unpacked: run tests/run.sh");
        return TEST_END();
    }
    RUN(answers_do_not_depend_on_what_is_kept);
    RUN(a_knob_in_the_middle_of_an_answer);
    RUN(others_have_no_states);
    return TEST_END();
}
