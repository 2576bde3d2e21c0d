/* tests: an agent with somebody who answers by a script, without a memory and without a guard of loops. */
#ifndef QUORUM_SCRIPT_HELP_H
#define QUORUM_SCRIPT_HELP_H
#include "agent/room.h"
#include "tests/script_provider.h"
#include "tests/unit/agent_help.h"

static script plan;                      /* of the next agent */
static agt *a;
static char err[Q_ERRLEN];

static int answers(const char *model, const prov_opts *o, prov **out, char *e) { return script_open(&plan, o, out, e); }

/* The agent is ready, or a check has failed. line: for a script that has none of its own. */
__attribute__((unused)) static bool help_script(script s, const script_line *line, const char *db, seen *told)
{
    static const char *const set[] = { "memory.on=off", "sampler.loop_stop=off" };
    plan = s;
    if (!plan.line)
        plan.line = line;
    agt_options o = { .model = "a script", .db = db, .set = set, .n_set = 2, .answers = answers };
    a = NULL;
    if (agt_open(&o, &a, err) < 0 || !wait_for(a, told, AGT_EV_READY, 0, 30000)) {
        CHECK_MSG(false, "%s", err);
        return false;
    }
    return true;
}

static void finish(seen *s)
{
    agt_close(a);
    a = NULL;
    seen_clear(s);
}
#endif
