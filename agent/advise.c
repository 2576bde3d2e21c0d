/* agent/advise: /advise: what of the loaded model would be faster or better on this machine, and what k costs. A job of the quick lane;
 * the machine is measured while nothing is answered. */
#include "advice/advice.h"
#include "agent/errands.h"
#include "agent/talk.h"
#include "agent/view.h"

#include <stdlib.h>
#include <string.h>

static void advise(agt *a, const job *j)
{
    char err[Q_ERRLEN], *path = NULL;
    q_buf out = { 0 }, data = { 0 };
    int rc = measure_file(a, j->text, _("no model is loaded: /advise NAME takes a part of a name, and quorum advise says which to get"), &path, err);
    if (rc == Q_OK) {
        adv_machine m;
        const char *slash = strrchr(path, '/');
        adv_machine_here(!desk_answering(&a->desk), &m);
        rc = adv_say_file(path, slash ? slash + 1 : path, &m, 0, &out, &data, err);
    }
    free(path);
    if (rc == Q_OK) note_page(&a->events, "/advise", q_buf_take(&out), q_buf_take(&data));
    else note(&a->events, AGT_ERROR, "%s", err);
}

const job_row job_advise = { .name = "advise", .lane = LANE_QUICK, .end = END_DROPPED, .run = advise };
