/* agent/compare: /compare: two configurations on the same text (measure.c). Engine thread, in caches of its own: the
 * conversation's cells stay as they are. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

static void compare(agt *a, const job *j)
{
    char err[Q_ERRLEN], *line = q_strdup(j->text), *on = NULL, *side[2] = { NULL, NULL }, *at = NULL;
    int n = 0;
    for (char *p = strtok_r(line, " \t\n", &at); p && !measure_on(p, at, &on); p = strtok_r(NULL, " \t\n", &at))
        if (n++ < 2)
            side[n - 1] = p;
    struct eng_cache *beside = NULL;
    char *now = NULL;
    q_buf text = { 0 }, out = { 0 };
    int rc = n == 1 || n == 2 ? Q_OK : q_fail(err, Q_RANGE, _("/compare A [B] [on FILE|last]: each a brain or settings like k=4; without B the present ones against A"));
    if (rc == Q_OK && !(beside = measure_cache(a, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK)
        now = prov_config_json(a->seat.cfg);
    if (rc == Q_OK)
        rc = measure_text(a, on, &text, err);
    if (rc == Q_OK) {
        lab_pair p = { n == 2 ? side[0] : NULL, n == 2 ? side[1] : side[0], now };
        measuring work = measure_begin(a, "/compare");
        rc = lab_compare_beside(beside, &p, text.p, text.len, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &out, err);
        measure_end(&work);
    }
    if (rc == Q_OK)
        note_text(&a->events, "/compare", q_buf_take(&out));
    else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    q_buf_free(&text);
    q_buf_free(&out);
    free(now);
    free(line);
}

const job_row job_compare = { .name = "compare", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = compare };
