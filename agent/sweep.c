/* agent/sweep: /sweep: one knob at several values on the same text (measure.c), as a table with a plot, and as CSV in a file
 * that was not there before. Engine thread, in caches of its own: the conversation's cells stay as they are. */
#include "base/place.h"
#include "agent/errands.h"
#include "agent/talk.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

typedef struct asked { char *line, *knob, *values, *csv, *on; } asked;

/* KNOB VALUES [csv FILE] [on FILE|last]; what it points at lies in line. */
static int read_line(const char *text, asked *q, char *err)
{
    char *at = NULL;
    bool csv = false, wrong = false;
    *q = (asked){ .line = q_strdup(text) };
    for (char *p = strtok_r(q->line, " \t\n", &at); p && !measure_on(p, at, &q->on); p = strtok_r(NULL, " \t\n", &at)) {
        if (csv)
            q->csv = p, csv = false;
        else if (!q->knob)
            q->knob = p;
        else if (!q->values)
            q->values = p;
        else if (strcmp(p, "csv") == 0 && !q->csv)
            csv = true;
        else
            wrong = true;
    }
    return q->values && !csv && !wrong ? Q_OK
        : q_fail(err, Q_RANGE, _("/sweep KNOB VALUES [csv FILE] [on FILE|last]: values as in 1,2,4 or 1..16 or 1..128/8"));
}

static void sweep(agt *a, const job *j)
{
    char err[Q_ERRLEN], *now = NULL, *csv = NULL;
    asked q;
    q_buf text = { 0 }, out = { 0 };
    lab_swept s = { .n = 0 };
    struct eng_cache *beside = NULL;
    int rc = read_line(j->text ? j->text : "", &q, err);
    if (rc == Q_OK && !(beside = measure_cache(a, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK && q.csv)
        rc = q_no_folder(csv = q_home_path(q.csv), "sweep.csv", err);
    if (rc == Q_OK && csv)
        rc = !q_taken(csv) ? q_may_write(csv, err) : q_fail(err, Q_RANGE, _("%s is there already: nothing is written over, give another name"), csv);
    if (rc == Q_OK)
        rc = measure_text(a, q.on, &text, err);
    if (rc == Q_OK) {
        measuring work = measure_begin(a, "/sweep");
        now = prov_config_json(a->seat.cfg);
        rc = lab_sweep_beside(beside, &(lab_range){ q.knob, q.values, now }, text.p, text.len, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &s, err);
        measure_end(&work);
    }
    if (rc == Q_OK) {
        q_buf page = { 0 }, data = { 0 };
        lab_swept_say(&s, LAB_WORDS, &page);
        lab_swept_say(&s, LAB_JSON, &data);
        note_page(&a->events, "/sweep", q_buf_take(&page), q_buf_take(&data));
        if (csv) {
            lab_swept_say(&s, LAB_CSV, &out);
            rc = q_write_file_new(csv, out.p, out.len, err);     /* another run may have made it meanwhile */
            if (rc == Q_OK)
                note(&a->events, AGT_INFO, _("the numbers are in %s"), csv);
        }
    }
    if (rc < 0)
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    lab_swept_free(&s);
    q_buf_free(&text);
    q_buf_free(&out);
    free(now);
    free(csv);
    free(q.line);
}

const job_row job_sweep = { .name = "sweep", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = sweep };
