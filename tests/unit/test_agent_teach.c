/* agent: /teach stop and /teach undo while a run is at work in the shell: idle within a second, in the midst of training; undo stops it by itself and leaves
 * nothing but the set. */
#include "tests/unit/agent_help.h"

#include <locale.h>

static char err[Q_ERRLEN], home[] = "/tmp/quorum-agteach-XXXXXX";
static agt *a;

static void submit(seen *s, const char *text)
{
    seen_clear(s);
    agt_submit(a, text);
    settle(a, s);
}

#define SAYS(words) CHECK_MSG(s.notes.p && strstr(s.notes.p, words), "%s", s.notes.p ? s.notes.p : "nothing")

/* Until the run is in this phase; seconds. */
static double until(seen *s, enum tch_phase phase)
{
    tch_state now = { .phase = TCH_IDLE };
    int64_t from = q_now_ns();
    while ((!agt_get_teaching(a, &now) || now.phase != phase) && q_now_ns() - from < INT64_C(60000000000))
        wait_for(a, s, AGT_EV_TEACH, 0, 60000);
    CHECK_MSG(now.phase == phase, "%s: %s", tch_phase_word(now.phase), now.problem);
    return (double)(q_now_ns() - from) / 1e9;
}

static void begin(seen *s)
{
    submit(s, "/teach run slow steps=100000 rank=4 threads=1");
    until(s, TCH_TRAINING);
}

static void stopped_and_taken_back(void)
{
    static const char *const set[] = { "memory.on=off", "sampler.max_tokens=4", "context.length=256" };
    seen s = { 0 };
    q_buf b = { 0 };
    char *db = q_printf("%s/a.db", home), *path = q_printf("%s/x.jsonl", home), *add = q_printf("/teach add %s to slow", path), *record = q_printf("%s/d/quorum/teach/slow/run/run.json", home);
    for (int i = 0; i < 40; i++)
        q_buf_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"Question %d?\"},{\"role\":\"assistant\",\"content\":\"the same words again and again\"}]}\n", i);
    CHECK_INT(q_write_file_atomic(path, b.p, b.len, err), Q_OK);
    a = help_open(db, 3, set, &s);
    submit(&s, add);
    begin(&s);
    submit(&s, "/teach stop");
    double took = until(&s, TCH_STOPPED);
    CHECK_MSG(took < 1, "%.2f s", took);
    CHECK(access(record, F_OK) == 0);
    submit(&s, "/teach run slow");
    until(&s, TCH_TRAINING);
    seen_clear(&s);
    agt_submit(a, "/teach undo");
    CHECK(said(a, &s, "the run of slow stops, and what it has done is taken back"));
    took = until(&s, TCH_STOPPED);
    CHECK_MSG(took < 1, "%.2f s", took);
    CHECK(said(a, &s, "what was taught as slow is gone; the set stays"));
    CHECK(access(record, F_OK) != 0);
    submit(&s, "/teach list");
    CHECK_MSG(s.page && strstr(s.page, "slow · examples: 40"), "%s", s.page ? s.page : "");
    submit(&s, "/teach undo");
    SAYS("nothing was taught yet");
    begin(&s);                                   /* another name is not this run's */
    submit(&s, "/teach undo nowhere");
    SAYS("nothing was taught as \"nowhere\"");
    tch_state now;
    CHECK(agt_get_teaching(a, &now) && now.phase == TCH_TRAINING);
    submit(&s, "/teach stop");
    until(&s, TCH_STOPPED);
    agt_close(a);
    seen_clear(&s);
    unlink_db(db);
    q_buf_free(&b);
    free(db);
    free(path);
    free(add);
    free(record);
}

int main(void)
{
    if (!help_model()) {
        SKIP("agent_teach", "the golden models are not unpacked: tests/run.sh does");
        return 0;
    }
    setlocale(LC_ALL, "C.UTF-8");
    CHECK(mkdtemp(home) != NULL);
    char *c = q_printf("%s/c", home), *d = q_printf("%s/d", home), *rm = q_printf("rm -rf %s", home);
    setenv("XDG_CONFIG_HOME", c, 1);
    setenv("XDG_DATA_HOME", d, 1);
    RUN(stopped_and_taken_back);
    CHECK_INT(system(rm), 0);
    free(c);
    free(d);
    free(rm);
    return TEST_END();
}
