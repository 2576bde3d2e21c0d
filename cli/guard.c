/* cli/guard: `quorum model guard`: which experts a model cannot do without. Main thread. What it finds is kept where the shell
 * keeps it, so that neither looks twice. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "engine/engine.h"
#include "lab/lab.h"
#include "memory/memory.h"

#include <signal.h>
#include <stdlib.h>

static bool go_on(void *progress, int done, int total)
{
    cli_progress_step(progress, (uint64_t)done, (uint64_t)total);
    return cli_go(NULL);
}

static int guard(eng_model *m, mem_store *s, bool json, char *err)
{
    lab_guard g;
    cli_progress p;
    q_buf out = { 0 };
    lab_guard_read(s, eng_model_info(m)->id, &g);
    cli_heed(SIGINT, SA_RESTART, NULL);
    cli_progress_start(&p, _("leaving out experts"));
    int rc = lab_guard_model(m, &(lab_guard_terms){ .store = s, .go_on = go_on, .user = &p }, &g, err);
    cli_progress_end(&p, rc == Q_OK);
    if (rc == Q_CANCEL && g.seen)
        q_fail(err, rc, _("stopped after %d of %d experts: what was found is kept, the same command goes on"), g.seen < g.all ? g.seen : g.tried, g.seen < g.all ? g.all : g.n);
    else if (rc == Q_OK && json) {
        lab_guard_json(&g, &out);
        q_say_json(stdout, out.p);
    } else if (rc == Q_OK) {
        lab_guard_say(&g, &out);
        q_say_text(stdout, out.p);
    }
    q_buf_free(&out);
    return rc;
}

int cli_model_guard(const char *file, const char *db, bool json)
{
    char err[Q_ERRLEN], why[Q_ERRLEN];
    eng_model *m = NULL;
    eng_config *c = NULL;
    mem_store *s = NULL;
    if (cli_open(file, &(cli_sets){ .n = 0 }, 0, &m, &c, err) != 0)
        return cli_fail(err);
    int rc = eng_model_info(m)->n_moe_layer ? Q_OK : q_fail(err, Q_RANGE, _("a dense model has no experts that could be left out"));
    if (rc == Q_OK && mem_open(db, &s, why) < 0) {
        s = NULL;
        q_say(stderr, _("quorum: what is found is not kept: %s\n"), why);
    }
    if (rc == Q_OK)
        rc = guard(m, s, json, err);
    if (s)
        mem_close(s);
    eng_config_free(c);
    eng_model_free(m);
    return rc ? cli_fail(err) : 0;
}
