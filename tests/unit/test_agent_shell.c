/* agent: what a person sees around a turn: ranges, /why, the experts panel between answers, questions that wait. On the small
 * golden model; where the default model is installed, also on that. */
#include "tests/unit/agent_help.h"

#include "engine/engine.h"
#include "memory/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static const char *const greedy[] = { "sampler.temperature=0", "sampler.repeat_penalty=1", "sampler.max_tokens=40", "memory.on=off" };
static const char *const slow[] = { "sampler.temperature=1", "sampler.seed=7", "ui.pace=20" };

static const q_knob *knob(agt *a, const char *name)
{
    for (int i = 0; i < agt_knob_count(a); i++)
        if (strcmp(agt_knob(a, i)->name, name) == 0)
            return agt_knob(a, i);
    return NULL;
}

static void ranges_are_the_models(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    CHECK(a != NULL);
    if (!a)
        return;
    double lo = -1, hi = -1;
    CHECK(agt_knob_range(a, knob(a, "experts.k"), &lo, &hi) && lo == 1 && hi == 12);
    CHECK(agt_knob_range(a, knob(a, "memory.min_score"), &lo, &hi) && lo == 0 && hi == 1);
    CHECK(!agt_knob_range(a, knob(a, "experts.ban"), &lo, &hi) && !agt_knob_range(a, knob(a, "model.layers"), &lo, &hi));
    agt_submit(a, "/set experts.k");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    CHECK_MSG(s.page && strstr(s.page, "[1…12,"), "%s", s.page ? s.page : "");
    agt_submit(a, "/set norm.eps");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    CHECK_MSG(s.page && strstr(s.page, "norm.eps = 1e-0"), "%s", s.page ? s.page : "");
    size_t at;
    int n;
    char **v = agt_completions(a, "/set experts.k 1", strlen("/set experts.k 1"), &at, &n);
    CHECK(n == 4 && strcmp(v[0], "1") == 0 && strcmp(v[3], "12") == 0);
    for (int i = 0; i < n; i++)
        free(v[i]);
    free(v);
    seen_clear(&s);
    agt_close(a);
}

static void why_during_an_answer(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 3, slow, &s);
    CHECK(a != NULL);
    if (!a)
        return;
    agt_submit(a, "what is experts.k?");
    CHECK(wait_for(a, &s, AGT_EV_TOKEN, 1, 20000));
    agt_submit(a, "/why");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 5000));
    CHECK_MSG(s.page && strstr(s.page, "experts.k  ") && strstr(s.page, "coverage"), "%s", s.page ? s.page : "");
    agt_stop(a);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 10000));
    seen_clear(&s);
    agt_close(a);
}

static void panel_keeps_the_last_answer(void)
{
    seen s = { 0 };
    char db[] = "/tmp/quorum-agent-XXXXXX";
    close(mkstemp(db));
    agt *a = help_open(db, 4, greedy, &s);
    agt_routing r = { 0 };
    CHECK(a != NULL);
    if (!a)
        return;
    agt_submit(a, "the fox");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    agt_again(a, 0, "experts.k=2");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    settle(a, &s);
    agt_get_routing(a, &r);
    CHECK(r.k == 2 && r.n_layer == 3 && r.now[1] != 0xFFFF && r.now[2] == 0xFFFF && !isnan(r.repeat));
    agt_nudge_k(a, 1);                   /* a key between answers: the picture stays too */
    settle(a, &s);
    agt_get_routing(a, &r);
    CHECK(r.k == 2 && r.now[1] != 0xFFFF);
    agt_submit(a, "a dog");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
    settle(a, &s);
    agt_get_routing(a, &r);
    CHECK(r.k == 5 && !r.stored && r.now[4] != 0xFFFF && r.now[5] == 0xFFFF);
    agt_close(a);
    seen_clear(&s);
    a = help_open(db, 4, greedy, &s);    /* the next start shows what was stored, and says so */
    CHECK(a != NULL);
    if (a) {
        agt_show_routing(a, 0);          /* as a front end may ask: nothing live is there yet */
        settle(a, &s);
        agt_get_routing(a, &r);
        CHECK(r.stored && r.k == 5 && r.n_layer == 3);
        agt_submit(a, "once more");
        CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 20000));
        agt_get_routing(a, &r);
        CHECK(!r.stored && r.k == 4);
        agt_close(a);
    }
    agt_routing_free(&r);
    seen_clear(&s);
    unlink(db);
}

static void settings_come_from_memory(void)
{
    seen s = { 0 };
    char db[] = "/tmp/quorum-agent-XXXXXX", err[Q_ERRLEN];
    close(mkstemp(db));
    mem_store *m;
    CHECK_INT(mem_open(db, &m, err), 0);
    CHECK_INT(mem_setting_put(m, "panel.width", "33", err), 0);
    CHECK_INT(mem_setting_put(m, "usual.0000000000000001.4", "1 1 1 1 0000", err), 0);
    agt *a = help_open(db, 4, greedy, &s);
    CHECK(a != NULL);
    if (a) {
        CHECK_INT(mem_setting_put(m, "panel.width", "44", err), 0);      /* another process: this one does not look again */
        char *v = agt_setting_get(a, "panel.width"), *none = agt_setting_get(a, "no.such"), *usual = agt_setting_get(a, "usual.0000000000000001.4");
        CHECK_STR(v, "33");
        CHECK(!none && !usual);
        free(v);
        agt_close(a);
    }
    mem_close(m);
    seen_clear(&s);
    unlink(db);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    if (!help_model()) {
        SKIP("agent shell", "no golden model");
        return 0;
    }
    RUN(ranges_are_the_models);
    RUN(why_during_an_answer);
    RUN(panel_keeps_the_last_answer);
    RUN(settings_come_from_memory);
    return TEST_END();
}
