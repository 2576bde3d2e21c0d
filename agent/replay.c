/* agent/replay: /replay: the last answer's tokens again with its recorded routing, and under other settings. Engine thread, in its
 * turn; the conversation's cells stay as they are. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "agent/whatif.h"
#include "base/say.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static void replay(agt *a, const job *j)
{
    char err[Q_ERRLEN], *now = NULL, *line = q_strdup(j->text ? j->text : ""), *at = NULL;
    const mem_message *m = NULL;
    mem_trace *t = NULL;
    q_buf spec = { 0 }, said = { 0 }, out = { 0 };
    lab_replayed r = { .n = 0 };
    int rc = answer_held(a, &m, &t, err);
    for (char *p = strtok_r(line, " \t\n", &at); p; p = strtok_r(NULL, " \t\n", &at))
        q_buf_printf(&spec, "%s%s", spec.len ? "," : "", p);
    if (rc == Q_OK) {
        measuring work = measure_begin(a, "/replay");
        const char **config = q_alloc(sizeof *config * (size_t)(m->n_config + 1));
        for (int i = 0; i < m->n_config; i++)
            config[i] = m->config[i].json;
        now = prov_config_json(a->seat.cfg);
        lab_record rec = { config, m->n_config, now };
        rc = lab_replay(prov_session(a->seat.who), t, &rec, spec.len ? spec.p : NULL, &said, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &r, err);
        measure_end(&work);
        free(config);
    }
    if (rc == Q_OK) {
        lab_replayed_say(&r, spec.len ? spec.p : _("the present settings"), &out);
        if (said.len)
            q_say_clean(&out, said.p, said.len, false);
        cJSON *json = lab_replayed_json(&r);
        note_page(&a->events, "/replay", q_buf_take(&out), cJSON_PrintUnformatted(json));
        cJSON_Delete(json);
    } else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    mem_trace_free(t);
    free(now);
    free(line);
    q_buf_free(&spec);
    q_buf_free(&said);
}

const job_row job_replay = { .name = "replay", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = replay };
