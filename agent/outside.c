/* agent/outside: what left quorum's folders is written down, and named when something is forgotten: no forgetting reaches it. */
#include "agent/errands.h"
#include "agent/meant.h"
#include "base/say.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NAMED = 5 };                      /* of them in a sentence */

static void left(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (mem_outside_put(a->store, j->value, j->text, err) < 0)
        note(&a->events, AGT_WARN, _("%s is written, but not that it was: a later /forget will not name it (%s)"), j->text, err);
}

/* Posted, not done: whoever wrote the file may be in any thread. */
void agt_outside(agt *a, const char *kind, const char *path)
{
    char *real = realpath(path, NULL);
    desk_post(&a->desk, &job_left, 0, 0, real ? real : path, kind);
    free(real);
}

char *agt_outside_kept(mem_store *s)
{
    char err[Q_ERRLEN];
    mem_outsides l = { 0 };
    q_buf b = { 0 };
    int n = 0;
    if (mem_outside_list(s, &l, err) < 0)
        return NULL;
    for (int i = l.n - 1; i >= 0; i--) {         /* the newest first */
        time_t t = (time_t)(l.v[i].made_ms / 1000);
        struct tm tm;
        char day[16] = "?";
        if (access(l.v[i].path, F_OK) != 0 || n++ >= NAMED)
            continue;
        if (localtime_r(&t, &tm))
            strftime(day, sizeof day, "%Y-%m-%d", &tm);
        q_buf_puts(&b, n > 1 ? ", " : "");
        q_say_clean(&b, l.v[i].path, strlen(l.v[i].path), true);
        q_buf_printf(&b, " (%s)", day);
    }
    mem_outsides_free(&l);
    char *said = !n ? NULL : n > NAMED ? q_printf(_("copies outside memory were not touched: %s and %d more"), b.p, n - NAMED) : q_printf(_("copies outside memory were not touched: %s"), b.p);
    q_buf_free(&b);
    return said;
}

const job_row job_left = { .name = "left", .lane = LANE_QUICK, .end = END_CARRIED, .run = left };
