/* agent/zoom: /experts LAYER and /experts LAYER:EXPERT, and the same as numbers for a front end: what the recorded routing of
 * the present branch's answers says of a layer (quick lane: it reads the store) or of one expert (engine's thread, in its
 * turn: it spells tokens). */
#include "agent/errands.h"
#include "agent/front.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 72 };                    /* a page beside the panels of a screen of 120 has so many */

/* Answers of the branch with routing, by one model: the loaded one, else the last answer's. */
typedef struct answers { int64_t *id; int n, left_out, n_expert; uint64_t model; } answers;

static int find(agt *a, answers *out, char *err)
{
    mem_messages path = { 0 };
    *out = (answers){ 0 };
    pthread_mutex_lock(&a->shown.mu);
    int64_t chat = a->shown.st.chat;
    out->model = a->shown.about.id;
    out->n_expert = out->model ? a->shown.st.n_expert : 0;
    pthread_mutex_unlock(&a->shown.mu);
    int rc = chat ? mem_branch(a->store, chat, 0, &path, err) : Q_OK;
    for (int i = path.n - 1; i >= 0 && !out->model; i--)
        if (path.v[i].has_trace)
            out->model = path.v[i].model_id;
    out->id = q_alloc(sizeof *out->id * (size_t)(path.n + 1));
    for (int i = 0; i < path.n; i++)
        if (path.v[i].has_trace && path.v[i].model_id == out->model)
            out->id[out->n++] = path.v[i].id;
        else
            out->left_out += path.v[i].has_trace;
    mem_messages_free(&path);
    return rc;
}

static void spell(void *user, int32_t token, q_buf *out) { prov_spell(user, token, out); }

static int zoomed(agt *a, const job *j, bool spells, lab_zoom *out, char *err)
{
    answers all;
    int rc = find(a, &all, err);
    if (rc == Q_OK) {
        bool can = spells && a->seat.who && prov_about(a->seat.who)->id == all.model;
        lab_zoom_terms z = { .message = all.id, .n = all.n, .n_expert = all.n_expert, .layer = (int)j->id, .expert = (int)j->number,
                             .spell = can ? spell : NULL, .user = can ? a->seat.who : NULL };
        rc = lab_zoom_of(a->store, &z, out, err);
        if (rc == Q_OK)
            out->left_out = all.left_out;
    }
    free(all.id);
    return rc;
}

/* value: it is printed; else the front end is told. */
static void zoom(agt *a, const job *j, bool spells)
{
    char err[Q_ERRLEN];
    lab_zoom z = { .layer = 0 };
    int rc = zoomed(a, j, spells, &z, err);
    if (!j->value) {
        agt_event e = { .kind = AGT_EV_ZOOM, .number = (int)j->id, .token = (int)j->number, .text = rc == Q_OK ? NULL : q_strdup(err) };
        if (rc == Q_OK) {
            e.zoom = q_alloc(sizeof *e.zoom);
            *e.zoom = z;
        }
        evq_push(&a->events, &e);
        return;
    }
    if (rc == Q_OK) {
        q_buf out = { 0 };
        lab_view now = { 0 };
        lab_watch_get(a->watch, &now);
        lab_zoom_say(&z, &now, COLUMNS, &out);
        cJSON *json = lab_zoom_json(&z);
        note_page(&a->events, "/experts", q_buf_take(&out), cJSON_PrintUnformatted(json));
        cJSON_Delete(json);
        lab_view_free(&now);
        lab_zoom_free(&z);
    } else
        note(&a->events, AGT_ERROR, "%s", err);
}

static void layer(agt *a, const job *j) { zoom(a, j, false); }
static void expert(agt *a, const job *j) { zoom(a, j, true); }

static const job_row job_layer = { .name = "layer", .lane = LANE_QUICK, .end = END_DROPPED, .run = layer };
static const job_row job_expert = { .name = "expert", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = expert };

void agt_ask_zoom(agt *a, int layer_, int expert_)
{
    desk_post(&a->desk, expert_ < 0 ? &job_layer : &job_expert, layer_, expert_ < 0 ? -1 : expert_, NULL, NULL);
}

/* Digits alone, and no more than an int. */
static bool whole(const char *s, size_t n, int *out)
{
    long v = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)s[i]) || v > INT_MAX / 10 - 1)
            return false;
        v = v * 10 + (s[i] - '0');
    }
    *out = (int)v;
    return n > 0;
}

bool zoom_page(agt *a, const char *args)
{
    const char *colon = strchr(args, ':');
    int l, e = -1;
    if (!whole(args, colon ? (size_t)(colon - args) : strlen(args), &l) || (colon && !whole(colon + 1, strlen(colon + 1), &e)))
        return false;
    if (colon && desk_waits(&a->desk, LANE_ENGINE))
        note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), "experts");
    desk_post(&a->desk, colon ? &job_expert : &job_layer, l, e, NULL, "page");
    return true;
}
