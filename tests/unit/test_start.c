/* agent: what a start does behind everything else keeps no prompt waiting: the backup of the day may take its time. */
#include "agent/errands.h"
#include "tests/unit/script_help.h"

#include <stdatomic.h>

static const script_line lines[] = { { NULL, "An answer." }, { NULL, NULL } };

/* The job named so is held before it is carried out. */
struct holding { const char *name; atomic_bool held, go; };

static void hold(void *user, const job *j)
{
    struct holding *h = user;
    if (strcmp(j->row->name, h->name) != 0)
        return;
    atomic_store(&h->held, true);
    for (int64_t end = q_now_ns() + 90000000000; !atomic_load(&h->go) && q_now_ns() < end;)
        usleep(2000);
}

static bool becomes(bool (*f)(agt *), seen *s)
{
    for (int64_t end = q_now_ns() + 90000000000; q_now_ns() < end; usleep(2000)) {
        agt_event e;
        while (agt_next(a, &e))
            seen_take(s, &e);
        if (f(a))
            return true;
    }
    return false;
}

static void nobody_waits_for_the_backup(void)
{
    seen s = { 0 };
    struct holding h = { .name = "backup" };
    if (!help_script((script){ 0 }, lines, ":memory:", &s))
        return;
    settle(a, &s);
    desk_before(&a->desk, hold, &h);
    desk_post(&a->desk, &job_backup, 0, 0, NULL, NULL);
    for (int64_t end = q_now_ns() + 90000000000; !atomic_load(&h.held) && q_now_ns() < end;)
        usleep(2000);
    CHECK(atomic_load(&h.held));
    CHECK(!agt_idle(a));
    CHECK(agt_rests(a));                 /* a prompt comes */
    agt_submit(a, "A question?");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    CHECK(becomes(agt_rests, &s));
    CHECK(!agt_idle(a) && !atomic_load(&h.go));
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);        /* as every start posts it, and every question may */
    CHECK(agt_rests(a));
    desk_post(&a->desk, &job_memory_map, 0, 0, NULL, NULL);  /* somebody waits for this one, behind it too */
    CHECK(!agt_rests(a));
    atomic_store(&h.go, true);
    CHECK(becomes(agt_idle, &s));
    CHECK(agt_rests(a));
    desk_before(&a->desk, NULL, NULL);
    finish(&s);
}

int main(void)
{
    RUN(nobody_waits_for_the_backup);
    return TEST_END();
}
