/* agent/lists: what the clerk looks up: messages that hold words, the log of a search, models at hand and what they cost. Quick
 * lane. It never changes the store. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/talk.h"
#include "agent/view.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>

/* id = message, parent = conversation, label = its title, text = the snippet (matches between \x01 and \x02). */
static void find(agt *a, const job *j)
{
    const char *words = j->text;
    char err[Q_ERRLEN];
    mem_hits h = { 0 };
    if (mem_find(a->store, words, 50, &h, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    agt_event e = { .kind = AGT_EV_FOUND, .text = q_strdup(words), .message = q_alloc(sizeof *e.message * (size_t)(h.n + 1)), .n_messages = h.n };
    for (int i = 0; i < h.n; i++) {
        agt_message *m = &e.message[i];
        m->id = h.v[i].message;
        m->parent = h.v[i].conversation;
        m->role = h.v[i].role == MEM_USER ? AGT_USER : AGT_ASSISTANT;
        m->state = AGT_DONE;
        m->created_ms = h.v[i].created_ms;
        m->text = q_strdup(h.v[i].snippet);
        m->label = q_strdup(h.v[i].title);
        m->differs_at = -1;
    }
    if (h.n == 0)
        note(&a->events, AGT_INFO, _("nothing found for %s"), words);
    mem_hits_free(&h);
    evq_push(&a->events, &e);
}

static void retrieval(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_logs l = { 0 };
    if (rag_log_get(a->store, j->id, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    lost_now gone = lost_copy(&a->lost);
    agt_event e = { .kind = AGT_EV_RETRIEVAL, .id = j->id, .retrieval = view_logs(a->store, &gone, &l, settings_rag(&a->settings).min_score) };
    free(gone.document);
    mem_logs_free(&l);
    evq_push(&a->events, &e);
}

static void why(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_messages path = { 0 };
    mem_logs l = { 0 };
    q_buf b = { 0 };
    int rc = j->id ? mem_branch(a->store, j->id, 0, &path, err) : Q_OK, last = path.n - 1;
    while (last >= 0 && path.v[last].role != MEM_ASSISTANT)
        last--;
    if (rc == Q_OK && last >= 0)
        rc = rag_log_get(a->store, path.v[last].id, &l, err);
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        char *json = l.n ? rag_explain_logs_json(&l) : NULL, *made = last >= 0 ? modules_why_of(a, path.v[last].id) : NULL;
        if (l.n)
            rag_explain_logs(&l, &b);
        else
            q_buf_puts(&b, _("Nothing was searched here since the start: ask something, or /search WORDS.\n"));
        modules_why(made, &b, &json);
        note_page(&a->events, "/why", q_buf_take(&b), json);
        free(made);
    }
    mem_logs_free(&l);
    mem_messages_free(&path);
}

/* What Tab offers after /model: names without blanks, of files that run. */
static void keep_names(agt *a, const prov_found *f, int n)
{
    const char *url;
    strings names = { 0 };
    for (int i = 0; i < prov_servers_count(a->settings.servers); i++)
        strings_add(&names, prov_servers_name(a->settings.servers, i, &url));
    for (int i = 0; i < n; i++)
        if (!f[i].problem && !strchr(f[i].name, ' '))
            strings_add(&names, q_strdup(f[i].name));
    shown_names(&a->shown, &a->shown.models, &names);
}

/* Servers are named, not asked: one that is away would hold the list up. */
static void servers(const agt *a, q_buf *b)
{
    int n = prov_servers_count(a->settings.servers);
    for (int i = 0; i < n; i++) {
        const char *url;
        char *name = prov_servers_name(a->settings.servers, i, &url);
        q_buf_say(b, "%s  %-44s %s\n", i ? "" : "\n", name, *url ? url : _("no url is written for it"));
        free(name);
    }
    if (n)
        q_buf_puts(b, _("/model @NAME/MODEL asks a server; @NAME alone the model that it has, or says which it has.\n"));
}

static void models(agt *a, bool show)
{
    char err[Q_ERRLEN];
    prov_found *f = NULL;
    int n = 0;
    if (prov_find(&f, &n, err) < 0) {
        if (show)
            note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    keep_names(a, f, n);
    if (show && *err)
        note(&a->events, AGT_WARN, "%s", err);
    if (!show) {
        prov_found_free(f, n);
        return;
    }
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    pthread_mutex_lock(&a->shown.mu);
    if (a->shown.full_name)
        q_buf_say(&b, _("loaded: %s\n\n"), a->shown.full_name);
    pthread_mutex_unlock(&a->shown.mu);
    for (int i = 0; i < n; i++) {
        char w[32];
        q_buf_say(&b, "%s %-44s %-9s %-7s %10s  %s", f[i].problem || !f[i].fits ? "-" : " ", f[i].name, f[i].arch, f[i].quant, q_bytes_words(f[i].bytes, w), f[i].place);
        if (f[i].n_expert)
            q_buf_printf(&b, _("  %d of %d experts"), f[i].n_expert_used, f[i].n_expert);
        if (f[i].problem)
            q_buf_say(&b, "\n      %s", f[i].problem);
        else if (!f[i].fits)
            q_buf_say(&b, "\n      %s", _("does not fit in the memory that is free now"));
        q_buf_putc(&b, '\n');
    }
    q_buf_puts(&b, n ? _("\n/model NAME loads one by a part of its name, /model FILE any file; quorum model pull brings more.\n")
                     : _("No models found. quorum model fetch makes the default one, quorum model pull brings one from a hub; QUORUM_MODELS names folders to look in.\n"));
    servers(a, &b);
    prov_found_free(f, n);
    note_text(&a->events, "/model", q_buf_take(&b));
}

static void model(agt *a, const job *j)
{
    const char *name = j->text;
    char err[Q_ERRLEN], *path = NULL;
    if (!name) {
        models(a, true);
        return;
    }
    char *real = q_home_path(name);
    if (prov_find_model(real, &path, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        desk_post(&a->desk, &job_load, 1, 0, path, NULL);
    free(path);
    free(real);
}

static void names(agt *a, const job *j) { models(a, false); }

/* What adapters add as they are set: of the shown configuration, under its mutex; malloc'ed. */
static struct lab_adapted_at *added_now(const agt *a, lab_adapted *o)
{
    int n = a->shown.about.shape.n_layer, experts = a->shown.about.shape.n_expert;
    size_t grid = n > 0 && experts > 0 ? (size_t)n * (size_t)experts : 0;
    if (!a->shown.cfg || n < 1) return NULL;
    prov_cost *each = q_alloc(sizeof *each * (size_t)(n + 1));
    struct lab_adapted_at *of = q_alloc(sizeof *of * (size_t)(n + 1));
    uint8_t *changed = q_alloc(grid + 1);
    *o = (lab_adapted){ .adapters = prov_config_added(a->shown.cfg, each, changed), .n_layer = n, .of = of };
    for (int l = 0; l <= n; l++) of[l] = (struct lab_adapted_at){ each[l].params, each[l].bytes };
    for (size_t e = 0; e < grid; e++) o->experts += changed[e];
    free(changed);
    free(each);
    return of;
}

/* The loaded model's, or the named one's. A stream of tokens is not slowed down by measuring. */
static void energy(agt *a, const job *j)
{
    char err[Q_ERRLEN], *path = NULL;
    q_buf out = { 0 }, data = { 0 };
    const char *name = j->text && strcmp(j->text, "text") != 0 ? j->text : NULL;
    uint64_t spared = 0;
    lab_adapted added = { .adapters = 0 };
    lab_fetched fetched = { 0 };
    bool disk = false;
    struct lab_adapted_at *of = NULL;
    int rc = measure_file(a, name, _("no model is loaded: /energy NAME takes a part of a name, /model lists those at hand"), &path, err);
    if (rc == Q_OK && !name) {
        pthread_mutex_lock(&a->shown.mu);
        spared = a->shown.about.spared;
        of = added_now(a, &added);
        const agt_status *st = &a->shown.st;
        disk = st->experts.disk && st->n_tokens > 1;
        fetched = (lab_fetched){ st->experts.there > 0 ? st->experts.there : 1, st->experts.bytes, st->experts.wait_ms };
        pthread_mutex_unlock(&a->shown.mu);
    }
    if (rc == Q_OK)
        rc = lab_energy(&(lab_bill){ .path = path, .measure = !desk_answering(&a->desk), .spared = spared, .added = &added, .fetched = disk ? &fetched : NULL }, &out, &data, err);
    free(of);
    free(path);
    if (rc == Q_OK)
        note_page(&a->events, "/energy", q_buf_take(&out), q_buf_take(&data));
    else
        note(&a->events, AGT_ERROR, "%s", err);
}

/* The same of the loaded model, as numbers. The bandwidth is this machine's: measured once, while nothing is answered. */
static void costs(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    lab_costs c = { .n_row = 0 };
    pthread_mutex_lock(&a->shown.mu);
    char *path = a->shown.path ? q_strdup(a->shown.path) : NULL;
    double before = a->shown.about.costs.bandwidth;
    bool elsewhere = a->shown.about.elsewhere;         /* another memory is read then */
    pthread_mutex_unlock(&a->shown.mu);
    bool measure = before <= 0 && !elsewhere && !desk_answering(&a->desk);
    int rc = path && *path != '@' ? lab_costs_read(path, measure, &c, err) : Q_NOTFOUND;
    if (path && *path != '@' && rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    if (rc == Q_OK) {
        if (!measure)
            c.bandwidth = elsewhere ? 0 : before;
        pthread_mutex_lock(&a->shown.mu);
        if (a->shown.path && strcmp(a->shown.path, path) == 0)         /* else another was loaded meanwhile */
            a->shown.about.costs = c;
        pthread_mutex_unlock(&a->shown.mu);
    }
    agt_event e = { .kind = AGT_EV_ENERGY };
    evq_push(&a->events, &e);
    free(path);
}

const job_row job_find = { .name = "find", .lane = LANE_QUICK, .end = END_DROPPED, .run = find };
const job_row job_why = { .name = "why", .lane = LANE_QUICK, .end = END_DROPPED, .run = why };
const job_row job_retrieval = { .name = "retrieval", .lane = LANE_QUICK, .end = END_DROPPED, .run = retrieval };
const job_row job_model = { .name = "model", .lane = LANE_QUICK, .end = END_DROPPED, .run = model };
const job_row job_names = { .name = "names", .lane = LANE_QUICK, .end = END_DROPPED, .run = names };
const job_row job_costs = { .name = "costs", .lane = LANE_QUICK, .end = END_DROPPED, .run = costs };
const job_row job_energy = { .name = "energy", .lane = LANE_QUICK, .end = END_DROPPED, .run = energy };
