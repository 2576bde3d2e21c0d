/* agent/replay: /replay: an answer's tokens again with its recorded routing, and under other settings. Engine thread, in its
 * turn; the conversation's cells stay as they are. */
#include "agent/errands.h"
#include "agent/past.h"
#include "agent/talk.h"
#include "base/say.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* A part after another, each in its context. */
static int parts(agt *a, answer_at *o, const char *spec, q_buf *said, lab_replayed *r, char *err)
{
    const char **config = q_alloc(sizeof *config * (size_t)(o->m->n_config + 1));
    char *now = prov_config_json(a->seat.cfg);
    lab_record rec = { config, o->m->n_config, now };
    lab_parts *p = NULL;
    int rc = Q_OK;
    for (int i = 0; i < o->m->n_config; i++)
        config[i] = o->m->config[i].json;
    for (int from = 0, to; from < o->t->n && rc == Q_OK; from = to) {
        rc = answer_hold_part(a, o, from, &to, "/replay", err);
        if (rc == Q_OK && !p)
            rc = lab_parts_new(prov_cache(a->seat.who), o->t, &rec, spec, said, &p, err);
        if (rc != Q_OK)
            break;
        measuring work = measure_begin(a, "/replay");
        rc = lab_parts_add(p, o->s, from, to, &(lab_terms){ .go_on = measure_go_on, .user = &work }, err);
        measure_end(&work);
    }
    if (rc == Q_OK)
        lab_parts_end(p, r);
    lab_parts_free(p);
    free(config);
    free(now);
    return rc;
}

static void replay(agt *a, const job *j)
{
    char err[Q_ERRLEN], *rest = NULL;
    const char *text = j->text ? j->text : "";
    answer_at o = { .off = -1 };
    q_buf spec = { 0 }, said = { 0 }, out = { 0 };
    lab_replayed r = { .n = 0 };
    int number, rc = answer_named(&text, &number, err);
    char *line = q_strdup(text);
    for (char *p = strtok_r(line, " \t\n", &rest); p; p = strtok_r(NULL, " \t\n", &rest))
        q_buf_printf(&spec, "%s%s", spec.len ? "," : "", p);
    if (rc == Q_OK)
        rc = answer_find(a, number, &o, err);
    if (rc == Q_OK)
        rc = parts(a, &o, spec.len ? spec.p : NULL, &said, &r, err);
    if (rc == Q_OK) {
        if (o.number != o.of)
            q_buf_say(&out, _("answer %d of %d, "), o.number, o.of);
        lab_replayed_say(&r, spec.len ? spec.p : _("the present settings"), &out);
        if (said.len)
            q_say_clean(&out, said.p, said.len, false);
        cJSON *json = lab_replayed_json(&r);
        answer_said(&o, o.t->n - 1, &out, json);
        note_page(&a->events, "/replay", q_buf_take(&out), cJSON_PrintUnformatted(json));
        cJSON_Delete(json);
    } else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    answer_done(&o);
    free(line);
    q_buf_free(&spec);
    q_buf_free(&said);
}

const job_row job_replay = { .name = "replay", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = replay };
