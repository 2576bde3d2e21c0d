/* agent/clerk: the clerk thread. Disk work that no answer waits for: lists, search, taking files in, settings, stored
 * traces. It never touches the model's session (the trace ring excepted, which any thread may read).
 * A long import is stopped by agt_stop when no answer runs. */
#include "agent/room.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void swap_strings(agt *a, strings *to, strings *with)
{
    pthread_mutex_lock(&a->mu);
    strings old = *to;
    *to = *with;
    pthread_mutex_unlock(&a->mu);
    strings_free(&old);
}

static void chats(agt *a)
{
    char err[Q_ERRLEN];
    mem_conversations l = { 0 };
    if (mem_conversation_list(a->store, &l, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    agt_event e = { .kind = AGT_EV_CHATS, .chat = q_alloc(sizeof *e.chat * (size_t)(l.n + 1)), .n_chats = l.n };
    for (int i = 0; i < l.n; i++)
        e.chat[i] = (agt_chat){ l.v[i].id, q_strdup(l.v[i].title), l.v[i].opened_ms, l.v[i].n_messages };
    strings numbers = { 0 };
    for (int i = 0; i < l.n; i++)
        strings_add(&numbers, q_printf("%lld", (long long)l.v[i].id));
    swap_strings(a, &a->chat_numbers, &numbers);
    mem_conversations_free(&l);
    evq_push(&a->q, &e);
}

/* id = message, parent = conversation, label = its title, text = the snippet (matches between \x01 and \x02). */
static void find(agt *a, const char *words)
{
    char err[Q_ERRLEN];
    mem_hits h = { 0 };
    if (mem_find(a->store, words, 50, &h, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
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
        room_note(a, AGT_INFO, _("nothing found for %s"), words);
    mem_hits_free(&h);
    evq_push(&a->q, &e);
}

static void at_once(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (j->kind == JOB_KEEP)
        pending_keep(a, j->id, j->text);
    else {
        int rc = mem_reply_save(a->store, j->id, j->text, strlen(j->text), j->value, strlen(j->value), err);
        if (rc < 0 && rc != Q_NOTFOUND && a->save_failed != j->id) {     /* not found: the reply has ended meanwhile, with all of its text */
            room_note(a, AGT_ERROR, "%s", err);
            a->save_failed = j->id;      /* once an answer: on a full disk it would stand between its lines every second */
        }
    }
}

/* Neither a waiting question nor a running answer's words wait for a long import. */
static void urgent(agt *a)
{
    for (;;) {
        pthread_mutex_lock(&a->mu);
        job **p = &a->errands.first, *j, *before = NULL;
        while ((j = *p) && j->kind != JOB_KEEP && j->kind != JOB_SAVE) {
            before = j;
            p = &j->next;
        }
        if (j) {
            *p = j->next;
            if (a->errands.last == j)
                a->errands.last = before;
        }
        pthread_mutex_unlock(&a->mu);
        if (!j)
            return;
        at_once(a, j);
        job_free(j);
    }
}

typedef struct adding { agt *a; const char *what; int64_t shown_ns; } adding;

static bool added(void *user, const rag_progress *p)
{
    adding *d = user;
    agt *a = d->a;
    if (p->note)
        room_note(a, AGT_WARN, "%s: %s", p->path, p->note);
    if (q_now_ns() - d->shown_ns > 100000000) {
        d->shown_ns = q_now_ns();
        agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(d->what), .done = p->seen, .total = -1, .rate = -1, .name = q_strdup(p->path) };
        evq_push(&a->q, &e);
    }
    urgent(a);
    return !atomic_load(&a->errand_stop);
}

static char *home_path(const char *p)
{
    const char *home = getenv("HOME");
    return home && p[0] == '~' && (p[1] == '/' || !p[1]) ? q_printf("%s%s", home, p + 1) : q_strdup(p);
}

static void add(agt *a, const char *path)
{
    char err[Q_ERRLEN];
    char *real = home_path(path), *what = q_printf(_("adding %s"), path);
    adding d = { a, what, 0 };
    rag_add_opts o = { added, &d };
    rag_progress p = { 0 };
    int rc = rag_add(a->store, real, &o, &p, err);
    agt_event end = { .kind = AGT_EV_PROGRESS, .text = q_strdup(what) };
    evq_push(&a->q, &end);
    if (rc < 0 && rc != Q_CANCEL)
        room_note(a, AGT_ERROR, "%s", err);
    else {
        q_buf b = { 0 };
        q_buf_printf(&b, ngettext("%d file added", "%d files added", (unsigned long)p.added), p.added);
        q_buf_puts(&b, " (");
        q_buf_printf(&b, ngettext("%d passage", "%d passages", (unsigned long)p.chunks), p.chunks);
        q_buf_puts(&b, "), ");
        q_buf_printf(&b, _("%d unchanged, %d skipped"), p.unchanged, p.skipped);
        if (rc == Q_CANCEL)
            room_note(a, AGT_WARN, _("stopped: %s; /add takes the rest"), b.p);
        else
            room_note(a, AGT_INFO, "%s", b.p);
        q_buf_free(&b);
    }
    free(real);
    free(what);
}

static void forget(agt *a, const char *which)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    char *real = home_path(which), *end, *whole = realpath(real, NULL);
    if (whole) {
        free(real);
        real = whole;
    }
    long id = strtol(which, &end, 10);
    int gone = 0;
    size_t n = strlen(real);
    for (int i = 0; i < l.n; i++) {
        const char *p = l.v[i].path;
        bool folder = strncmp(p, real, n) == 0 && (p[n] == '/' || (n && real[n - 1] == '/'));
        if ((*which && !*end && l.v[i].id == id) || strcmp(p, real) == 0 || strcmp(l.v[i].title, which) == 0 || (*real == '/' && folder)) {
            if (rag_remove(a->store, l.v[i].id, err) < 0)
                room_note(a, AGT_ERROR, "%s", err);
            else
                gone++;
        }
    }
    if (gone)
        room_note(a, AGT_INFO, ngettext("%d document is removed from memory", "%d documents are removed from memory", (unsigned long)gone), gone);
    else
        room_note(a, AGT_ERROR, _("there is no document %s in memory; /memory list shows them with their numbers"), which);
    free(real);
    mem_documents_free(&l);
}

static void documents(agt *a)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    q_buf b = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    q_buf_puts(&b, "");
    for (int i = 0; i < l.n; i++) {
        char w[32];
        q_buf_printf(&b, "%4lld  %-40s %5d  %10s  %s\n", (long long)l.v[i].id, l.v[i].title, l.v[i].n_chunks, q_bytes_words((uint64_t)l.v[i].bytes, w), l.v[i].path);
    }
    if (!l.n)
        q_buf_puts(&b, _("Memory holds no documents: /add PATH takes a file or a folder in.\n"));
    else
        q_buf_puts(&b, _("\nnumber, title, passages, size, path. /forget NUMBER removes one.\n"));
    mem_documents_free(&l);
    room_text(a, "/memory", q_buf_take(&b));
}

static void search(agt *a, const char *words)
{
    char err[Q_ERRLEN];
    rag_result *r = NULL;
    q_buf b = { 0 };
    pthread_mutex_lock(&a->mu);
    rag_config c = a->rag;
    pthread_mutex_unlock(&a->mu);
    rag_scope scope = { .conversation = 0, .budget = -1 };
    if (rag_search(a->store, &c, words, &scope, &r, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    rag_explain(r, &b);
    rag_result_free(r);
    room_text(a, "/search", q_buf_take(&b));
}

static void retrieval(agt *a, int64_t message)
{
    char err[Q_ERRLEN];
    mem_logs l = { 0 };
    if (mem_log_get(a->store, message, &l, err) < 0) {
        room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    agt_event e = { .kind = AGT_EV_RETRIEVAL, .id = message, .retrieval = view_logs(a, &l) };
    mem_logs_free(&l);
    evq_push(&a->q, &e);
}

/* What Tab offers after /model: names without blanks, of files that run. */
static void keep_names(agt *a, const eng_found *f, int n)
{
    strings names = { 0 };
    for (int i = 0; i < n; i++)
        if (!f[i].problem && !strchr(f[i].name, ' '))
            strings_add(&names, q_strdup(f[i].name));
    swap_strings(a, &a->model_names, &names);
}

static void models(agt *a, bool show)
{
    char err[Q_ERRLEN];
    eng_found *f = NULL;
    int n = 0;
    if (eng_find(&f, &n, err) < 0) {
        if (show)
            room_note(a, AGT_ERROR, "%s", err);
        return;
    }
    keep_names(a, f, n);
    if (!show) {
        eng_found_free(f, n);
        return;
    }
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    pthread_mutex_lock(&a->mu);
    if (a->full_name)
        q_buf_printf(&b, _("loaded: %s\n\n"), a->full_name);
    pthread_mutex_unlock(&a->mu);
    for (int i = 0; i < n; i++) {
        char w[32];
        q_buf_printf(&b, "%s %-44s %-9s %-7s %10s  %s", f[i].problem || !f[i].fits ? "-" : " ", f[i].name, f[i].arch, f[i].quant, q_bytes_words(f[i].bytes, w), f[i].place);
        if (f[i].n_expert)
            q_buf_printf(&b, _("  %d of %d experts"), f[i].n_expert_used, f[i].n_expert);
        if (f[i].problem)
            q_buf_printf(&b, "\n      %s", f[i].problem);
        else if (!f[i].fits)
            q_buf_printf(&b, "\n      %s", _("does not fit in the memory that is free now"));
        q_buf_putc(&b, '\n');
    }
    q_buf_puts(&b, n ? _("\n/model NAME loads one by a part of its name, /model FILE any file.\n")
                     : _("No models found. quorum model fetch makes the default one; QUORUM_MODELS names folders to look in.\n"));
    eng_found_free(f, n);
    room_text(a, "/model", q_buf_take(&b));
}

static void model(agt *a, const char *name)
{
    char err[Q_ERRLEN], *path = NULL;
    if (!name) {
        models(a, true);
        return;
    }
    char *real = home_path(name);
    if (eng_find_model(real, &path, err) < 0)
        room_note(a, AGT_ERROR, "%s", err);
    else
        room_post(a, JOB_LOAD, 1, 0, path, NULL);
    free(path);
    free(real);
}

/* ---- /trace save FILE ---- */
static void number(q_buf *b, double v)
{
    if (isfinite(v))
        q_buf_printf(b, "%.6g", v);
}

/* One row a token and routed layer. index counts the reply's tokens from 1; prompt tokens have 0 and no weights. */
static void trace_csv(const mem_trace *t, q_buf *b)
{
    int k = t->max_k;
    q_buf_puts(b, "index,token,position,prompt,config,layer,k,entropy,margin");
    for (int s = 0; s < k; s++)
        q_buf_printf(b, ",expert_%d", s);
    for (int s = 0; s < k; s++)
        q_buf_printf(b, ",weight_%d", s);
    q_buf_putc(b, '\n');
    int index = 0;
    for (int i = 0; i < t->n; i++) {
        index += !t->prompt[i];
        for (int l = 0; l < t->n_layer; l++) {
            size_t row = (size_t)i * (size_t)t->n_layer + (size_t)l;
            const uint16_t *id = t->ids + row * (size_t)k;
            const float *w = t->weights + row * (size_t)k;
            int n = 0;
            for (int s = 0; s < k; s++)
                n += id[s] != 0xFFFF;
            if (!n)
                continue;
            q_buf_printf(b, "%d,%d,%d,%d,%016llx,%d,%d,", t->prompt[i] ? 0 : index, t->token[i], t->pos[i], t->prompt[i], (unsigned long long)t->config[i], l, n);
            if (!t->prompt[i])
                number(b, t->entropy[row]);
            q_buf_putc(b, ',');
            if (!t->prompt[i])
                number(b, t->margin[row]);
            for (int s = 0; s < k; s++) {
                q_buf_putc(b, ',');
                if (id[s] != 0xFFFF)
                    q_buf_printf(b, "%d", id[s]);
            }
            for (int s = 0; s < k; s++) {
                q_buf_putc(b, ',');
                if (id[s] != 0xFFFF && !t->prompt[i])
                    number(b, w[s]);
            }
            q_buf_putc(b, '\n');
        }
    }
}

static void json_text(q_buf *b, const char *s)
{
    q_buf_putc(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            q_buf_printf(b, "\\%c", c);
        else if (c < 0x20)
            q_buf_printf(b, "\\u%04x", c);
        else
            q_buf_putc(b, *s);
    }
    q_buf_putc(b, '"');
}

/* Beside the CSV: who made it, and each configuration with the reply token from which it holds. */
static void trace_json(const mem_message *m, const mem_trace *t, q_buf *b)
{
    q_buf_puts(b, "{\"v\":1,\"model\":");
    json_text(b, m->model);
    q_buf_printf(b, ",\"model_id\":\"%016llx\",\"message\":%lld,\"tokens\":%d,\"configurations\":[", (unsigned long long)m->model_id,
                 (long long)m->id, t->n);
    for (int i = 0; i < m->n_config; i++) {
        q_buf_printf(b, "%s{\"after_token\":%d,\"hash\":\"%016llx\",\"label\":", i ? "," : "", m->config[i].from, (unsigned long long)m->config[i].hash);
        json_text(b, m->config[i].label);
        q_buf_printf(b, ",\"set\":%s}", *m->config[i].json ? m->config[i].json : "{}");
    }
    q_buf_puts(b, "],\"text\":");
    json_text(b, m->text);
    q_buf_puts(b, "}\n");
}

static void trace_save(agt *a, const char *file)
{
    char err[Q_ERRLEN];
    int64_t chat, id = 0;
    pthread_mutex_lock(&a->mu);
    chat = a->st.chat;
    pthread_mutex_unlock(&a->mu);
    mem_messages path = { 0 };
    mem_trace *t = NULL;
    mem_message m = { 0 };
    if (chat && mem_branch(a->store, chat, 0, &path, err) == Q_OK)
        for (int i = 0; i < path.n; i++)
            if (path.v[i].has_trace)
                id = path.v[i].id;
    mem_messages_free(&path);
    if (!id) {
        room_note(a, AGT_ERROR, _("this conversation has no recorded routing yet: ask something first"));
        return;
    }
    int rc = mem_trace_get(a->store, id, &t, err);
    if (rc == Q_OK)
        rc = mem_message_get(a->store, id, &m, err);
    if (rc == Q_OK) {
        q_buf csv = { 0 }, json = { 0 };
        char *real = home_path(file), *beside = q_printf("%s.json", real);
        trace_csv(t, &csv);
        trace_json(&m, t, &json);
        rc = q_write_file_atomic(real, csv.p, csv.len, err);
        if (rc == Q_OK)
            rc = q_write_file_atomic(beside, json.p, json.len, err);
        if (rc == Q_OK)
            room_note(a, AGT_INFO, ngettext("%d token of routing is in %s, the configuration in %s", "%d tokens of routing are in %s, the configuration in %s",
                                            (unsigned long)t->n), t->n, real, beside);
        free(real);
        free(beside);
        q_buf_free(&csv);
        q_buf_free(&json);
    }
    if (rc < 0)
        room_note(a, AGT_ERROR, "%s", err);
    mem_trace_free(t);
    mem_message_free(&m);
}

/* ---- the loop ---- */
static void run(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    switch (j->kind) {
    case JOB_CHATS: chats(a); break;
    case JOB_FIND: find(a, j->text); break;
    case JOB_ADD: add(a, j->text); break;
    case JOB_FORGET: forget(a, j->text); break;
    case JOB_DOCUMENTS: documents(a); break;
    case JOB_SEARCH: search(a, j->text); break;
    case JOB_MODEL: model(a, j->text); break;
    case JOB_SETTING:
        if (mem_setting_put(a->store, j->text, j->value, err) < 0)
            room_note(a, AGT_WARN, "%s", err);
        break;
    case JOB_PLACE:
        if ((j->id ? mem_conversation_view(a->store, j->id, j->text, j->number, err) : mem_setting_put(a->store, "draft.new", j->text, err)) < 0)
            room_note(a, AGT_WARN, "%s", err);
        break;
    case JOB_NAMES: models(a, false); break;
    case JOB_KEEP: case JOB_SAVE: at_once(a, j); break;
    case JOB_RETRIEVAL: retrieval(a, j->id); break;
    case JOB_SHOW: routing_show(a, j->id); break;
    case JOB_TRACE: trace_save(a, j->text); break;
    default: break;
    }
}

void *clerk_main(void *user)
{
    agt *a = user;
    for (;;) {
        pthread_mutex_lock(&a->mu);
        while (!a->quit && !a->errands.first)
            pthread_cond_wait(&a->work, &a->mu);
        job *j = a->errands.first;
        if (j) {
            a->errands.first = j->next;
            if (!a->errands.first)
                a->errands.last = NULL;
            a->errand_running = j->kind == JOB_ADD;
            if (!a->quit)
                atomic_store(&a->errand_stop, false);
        }
        bool quit = a->quit;
        pthread_mutex_unlock(&a->mu);
        if (!j)
            break;                       /* quit, and nothing left that must be kept */
        if (!quit || j->kind == JOB_SETTING || j->kind == JOB_PLACE)
            run(a, j);
        job_free(j);
        pthread_mutex_lock(&a->mu);
        a->errand_running = false;
        pthread_mutex_unlock(&a->mu);
    }
    return NULL;
}
