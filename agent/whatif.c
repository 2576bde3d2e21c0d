/* agent/whatif: /whatif: what would have come after a token of the last answer, had that one position been evaluated under
 * other settings. Engine thread, in its turn; the conversation's cells stay as they are. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "agent/whatif.h"
#include "base/say.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

int answer_there(agt *a, const mem_message *m, const mem_trace *t, char *err)
{
    if (!a->seat.who)
        return q_fail(err, Q_NOTFOUND, _("no model is loaded: /model lists those at hand"));
    if (!prov_session(a->seat.who))
        return q_fail(err, Q_RANGE, _("%s cannot evaluate a position again"), prov_about(a->seat.who)->name);
    if (m->model_id != prov_about(a->seat.who)->id)
        return q_fail(err, Q_RANGE, _("the last answer is another model's: /again answers with this one"));
    if (a->seat.holds != a->chat.id || !prov_holds(a->seat.who, t->token, t->pos, t->n))
        return q_fail(err, Q_RANGE, _("the context does not hold the last answer as it was made any more: /again answers anew, then this can be asked"));
    return Q_OK;
}

int answer_recorded(agt *a, const mem_message **message, mem_trace **trace, char *err)
{
    *message = NULL;
    *trace = NULL;
    for (int i = 0; i < a->chat.path.n; i++)
        if (a->chat.path.v[i].has_trace)
            *message = &a->chat.path.v[i];
    if (!*message)
        return q_fail(err, Q_NOTFOUND, _("this conversation has no recorded routing yet: ask something first"));
    return mem_trace_get(a->store, (*message)->id, trace, err);
}

int answer_held(agt *a, const mem_message **message, mem_trace **trace, char *err)
{
    *trace = NULL;
    if (!a->seat.who)
        return q_fail(err, Q_NOTFOUND, _("no model is loaded: /model lists those at hand"));
    int rc = answer_recorded(a, message, trace, err);
    if (rc == Q_OK && (rc = answer_there(a, *message, *trace, err)) != Q_OK) {
        mem_trace_free(*trace);
        *trace = NULL;
    }
    return rc;
}

char *answer_made_by(agt *a, const mem_message *m, const mem_trace *t, int i)
{
    char err[Q_ERRLEN], *json = NULL;
    for (int c = 0; c < m->n_config && !json; c++) {
        prov_config *one = prov_config_new(a->seat.who);
        if (prov_config_from_json(one, m->config[c].json, err) == Q_OK && prov_config_hash(one) == t->config[i])
            json = q_strdup(m->config[c].json);
        prov_config_free(one);
    }
    return json ? json : prov_config_json(a->seat.cfg);
}

/* "[TOKEN] SETTINGS": tokens count from 1, or from the end with a minus; 0 is what stands before the first one (*at -1).
 * Settings may stand apart by blanks. */
static int read_line(const char *text, int n, int *at, q_buf *spec, char *err)
{
    char *line = q_strdup(text), *rest = NULL, *end;
    long token = -1;
    char *p = strtok_r(line, " \t\n", &rest);
    long v = p ? strtol(p, &end, 10) : 0;
    if (p && end != p && !*end) {
        token = v;
        p = strtok_r(NULL, " \t\n", &rest);
    }
    for (; p; p = strtok_r(NULL, " \t\n", &rest))
        q_buf_printf(spec, "%s%s", spec->len ? "," : "", p);
    free(line);
    *at = (int)(token < 0 ? n + token : token - 1);
    if (!spec->len)
        return q_fail(err, Q_RANGE, _("/whatif [TOKEN] SETTINGS: as in /whatif -3 k=2, or ban=4:7, bias=4:7=1.5, a brain; TOKEN counts from 1, or from the end with a minus; 0 is the prompt's last"));
    if (token < -n || token > n)
        return q_fail(err, Q_RANGE, _("the last answer has %d tokens: 0 to %d, or -1 to -%d from its end"), n, n, n);
    return Q_OK;
}

static void whatif(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const mem_message *m = NULL;
    mem_trace *t = NULL;
    q_buf spec = { 0 }, said = { 0 }, out = { 0 };
    lab_whatif_result r = { .pos = 0 };
    int at = 0, rc = answer_held(a, &m, &t, err);
    if (rc == Q_OK)
        rc = read_line(j->text ? j->text : "", t->n, &at, &spec, err);
    if (rc == Q_OK) {
        char *now = answer_made_by(a, m, t, at < 0 ? 0 : at);
        rc = lab_whatif_spec(prov_session(a->seat.who), at < 0 ? t->pos[0] - 1 : t->pos[at], now, spec.p, &said, &r, err);
        free(now);
    }
    if (rc == Q_OK) {
        if (at < 0)
            q_buf_say(&out, "%s", _("the prompt's last token, "));
        else
            q_buf_say(&out, _("token %d of %d, "), at + 1, t->n);
        lab_whatif_say(&r, spec.p, &out);
        if (said.len) {
            q_buf_puts(&out, "\n");
            q_say_clean(&out, said.p, said.len, false);
        }
        cJSON *json = lab_whatif_json(&r);
        cJSON_AddNumberToObject(json, "token", at + 1);
        cJSON_AddNumberToObject(json, "of", t->n);
        note_page(&a->events, "/whatif", q_buf_take(&out), cJSON_PrintUnformatted(json));
        cJSON_Delete(json);
    } else
        note(&a->events, AGT_ERROR, "%s", err);
    lab_whatif_free(&r);
    mem_trace_free(t);
    q_buf_free(&spec);
    q_buf_free(&said);
}

const job_row job_whatif = { .name = "whatif", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = whatif };
