/* agent/zoom: /experts LAYER and /experts LAYER:EXPERT, and the same as numbers for a front end: what the recorded routing of
 * the present branch's answers says of a layer (quick lane: it reads the store) or of one expert (engine's thread, in its
 * turn: it spells tokens); or that of all stored conversations, the newest answers first up to a number of tokens (long lane, which
 * can be stopped). */
#include "agent/errands.h"
#include "agent/front.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 72,                      /* a page beside the panels of a screen of 120 has so many */
       ANSWERS_MOST = 512, TOKENS_MOST = 20000 };        /* of all conversations: records are large, 50 MB for so many tokens of 48 layers */

/* Answers with routing, by one model: the loaded one, else the branch's last one. of: of all conversations, how many there are. */
typedef struct answers { int64_t *id; int n, of, left_out, n_expert; uint64_t model; } answers;

static int find(agt *a, bool all, answers *out, char *err)
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
    if (all && rc == Q_OK) {
        mem_messages_free(&path);
        return mem_traced(a->store, out->model, ANSWERS_MOST, &out->id, &out->n, &out->of, err);
    }
    out->id = q_alloc(sizeof *out->id * (size_t)(path.n + 1));
    for (int i = 0; i < path.n; i++)
        if (path.v[i].has_trace && path.v[i].model_id == out->model)
            out->id[out->n++] = path.v[i].id;
        else
            out->left_out += path.v[i].has_trace;
    mem_messages_free(&path);
    return rc;
}

typedef struct looking { agt *a; uint64_t model; } looking;
static void spell(void *user, int32_t token, q_buf *out)
{
    const looking *l = user;
    speller_spell(&l->a->speller, l->model, token, out);
}

static bool going_on(void *user, int done, int total)
{
    const looking *l = user;
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup("/experts"), .done = done, .total = total, .rate = -1 };
    evq_push(&l->a->events, &e);
    return !desk_stopped(&l->a->desk, LANE_LONG);
}

static int zoomed(agt *a, const job *j, bool spells, bool everything, lab_zoom *out, char *err)
{
    answers all;
    int rc = find(a, everything, &all, err);
    if (rc == Q_OK) {
        looking l = { a, all.model };
        lab_zoom_terms z = { .message = all.id, .n = all.n, .n_expert = all.n_expert, .layer = (int)j->id, .expert = (int)j->number,
                             .spell = spells && speller_can(&a->speller, all.model) ? spell : NULL, .user = &l };
        if (everything) {
            z.most = TOKENS_MOST;
            z.go_on = going_on;
        }
        rc = lab_zoom_of(a->store, &z, out, err);
        if (rc == Q_OK) {
            out->left_out = all.left_out;
            out->not_read += everything ? all.of - all.n : 0;
        }
        if (everything) {
            agt_event end = { .kind = AGT_EV_PROGRESS, .text = q_strdup("/experts") };
            evq_push(&a->events, &end);
        }
    }
    free(all.id);
    return rc;
}

/* value: it is printed; else the front end is told. */
static void zoom(agt *a, const job *j, bool spells, bool everything)
{
    char err[Q_ERRLEN];
    lab_zoom z = { .layer = 0 };
    int rc = zoomed(a, j, spells, everything, &z, err);
    if (!j->value) {
        agt_event e = { .kind = AGT_EV_ZOOM, .number = (int)j->id, .token = (int)j->number, .flag = everything, .text = rc == Q_OK ? NULL : q_strdup(err) };
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
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
}

static void layer(agt *a, const job *j) { zoom(a, j, false, false); }
static void expert(agt *a, const job *j) { zoom(a, j, true, false); }
static void everywhere(agt *a, const job *j) { zoom(a, j, true, true); }

static const job_row job_layer = { .name = "layer", .lane = LANE_QUICK, .end = END_DROPPED, .run = layer };
static const job_row job_expert = { .name = "expert", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = expert };

static const job_row job_everywhere = { .name = "everywhere", .lane = LANE_LONG, .end = END_DROPPED, .run = everywhere };

void agt_ask_zoom(agt *a, int layer_, int expert_, bool all)
{
    desk_post(&a->desk, all ? &job_everywhere : expert_ < 0 ? &job_layer : &job_expert, layer_, expert_ < 0 ? -1 : expert_, NULL, NULL);
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
    size_t n = strcspn(args, " \t");
    const char *rest = args + n + strspn(args + n, " \t"), *colon = memchr(args, ':', n);
    bool all = strcmp(rest, "all") == 0 || strcmp(rest, "все") == 0;
    int l, e = -1;
    if ((*rest && !all) || !whole(args, colon ? (size_t)(colon - args) : n, &l) || (colon && !whole(colon + 1, n - (size_t)(colon + 1 - args), &e)))
        return false;
    if ((all || colon) && desk_waits(&a->desk, all ? LANE_LONG : LANE_ENGINE))
        note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), "experts");
    desk_post(&a->desk, all ? &job_everywhere : colon ? &job_expert : &job_layer, l, e, NULL, "page");
    return true;
}
