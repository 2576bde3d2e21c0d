/* agent/whatif: /whatif: what would have come after a token of an answer, had that one position been evaluated under other settings.
 * Engine thread, in its turn; the conversation's cells stay as they are. */
#include "agent/errands.h"
#include "agent/past.h"
#include "agent/talk.h"
#include "base/say.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* "[TOKEN] SETTINGS": tokens count from 1, or from the end with a minus; 0 is what stands before the first one (*at -1).
 * Settings may stand apart by blanks. */
static int read_line(const char *text, int n, int *at, q_buf *spec, char *err)
{
    char *line = q_strdup(text), *rest = NULL;
    const char *p = strtok_r(line, " \t\n", &rest);
    int rc = Q_OK;
    *at = n - 1;
    if (p && answer_token(p, n, at, &rc, err))
        p = strtok_r(NULL, " \t\n", &rest);
    for (; p; p = strtok_r(NULL, " \t\n", &rest))
        q_buf_printf(spec, "%s%s", spec->len ? "," : "", p);
    free(line);
    if (rc != Q_OK)
        return rc;
    return spec->len ? Q_OK : q_fail(err, Q_RANGE,
        _("/whatif [@ANSWER] [TOKEN] SETTINGS: as in /whatif -3 k=2, or ban=4:7, bias=4:7=1.5, a brain; TOKEN counts from 1, or from the end with a minus; 0 is the prompt's last"));
}

static void whatif(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const char *line = j->text ? j->text : "";
    answer_at o = { .off = -1 };
    q_buf spec = { 0 }, said = { 0 }, out = { 0 };
    lab_whatif_result r = { .pos = 0 };
    int at = 0, number, rc = answer_named(&line, &number, err);
    if (rc == Q_OK)
        rc = answer_find(a, number, &o, err);
    if (rc == Q_OK)
        rc = read_line(line, o.t->n, &at, &spec, err);
    if (rc == Q_OK)
        rc = answer_hold(a, &o, at, "/whatif", err);
    if (rc == Q_OK) {
        char *now = answer_made_by(a, &o, at < 0 ? 0 : at);
        rc = lab_whatif_spec(o.s, at < 0 ? o.t->pos[0] - 1 : o.t->pos[at], now, spec.p, &said, &r, err);
        free(now);
    }
    if (rc == Q_OK) {
        if (o.number != o.of)
            q_buf_say(&out, _("answer %d of %d, "), o.number, o.of);
        if (at < 0)
            q_buf_say(&out, "%s", _("the prompt's last token, "));
        else
            q_buf_say(&out, _("token %d of %d, "), at + 1, o.t->n);
        lab_whatif_say(&r, spec.p, &out);
        if (said.len) {
            q_buf_puts(&out, "\n");
            q_say_clean(&out, said.p, said.len, false);
        }
        cJSON *json = lab_whatif_json(&r);
        cJSON_AddNumberToObject(json, "token", at + 1);
        cJSON_AddNumberToObject(json, "of", o.t->n);
        answer_said(&o, at, &out, json);
        note_page(&a->events, "/whatif", q_buf_take(&out), cJSON_PrintUnformatted(json));
        cJSON_Delete(json);
    } else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    lab_whatif_free(&r);
    answer_done(&o);
    q_buf_free(&spec);
    q_buf_free(&said);
}

const job_row job_whatif = { .name = "whatif", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = whatif };
