/* agent/states: what the model has read of a conversation, kept in a file, so that it need not be read again: /save state,
 * /load state, /states, and the taking up at a conversation's opening. Files lie in the data folder, one a name, written by
 * provider/; their note says of which store and conversation they are, from where on the branch is kept, under which
 * configurations cells were made, and what memory had fed: a document or conversation that is removed takes them with it.
 * What evaluates is the engine's lane; the list is the quick one's. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "base/say.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char END[] = ".state", PART[] = ".part";

/* ---- files ---- */
static char *path_of(const char *name, char *err)        /* NULL: there is no home */
{
    char *in = *name ? q_printf("states/%s%s", name, END) : q_strdup("states"), *path = q_user_path(Q_DIR_DATA, in);
    free(in);
    if (!path)
        q_no_home(err);
    return path;
}

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), e = strlen(end);
    return n > e && strcmp(s + n - e, end) == 0;
}

/* Left half-written by a process that was killed: "NAME.state.PID.part". */
static bool abandoned(const char *file)
{
    const char *at = ends_in(file, PART) ? strstr(file, ".state.") : NULL;
    long pid = at ? strtol(at + strlen(".state."), NULL, 10) : 0;
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

typedef struct one_state {
    char *name, *path, *problem;         /* problem: why it cannot be read; NULL */
    prov_state s;
    cJSON *note;                         /* NULL with problem */
    int64_t saved_ms;
} one_state;
typedef struct all_states { one_state *v; int n; } all_states;

static void one_free(one_state *o)
{
    free(o->name);
    free(o->path);
    free(o->problem);
    prov_state_free(&o->s);
    cJSON_Delete(o->note);
    *o = (one_state){ .name = NULL };
}

static void all_free(all_states *all)
{
    for (int i = 0; i < all->n; i++)
        one_free(&all->v[i]);
    free(all->v);
    *all = (all_states){ 0 };
}

static void look_at(const char *name, one_state *out)
{
    char err[Q_ERRLEN];
    struct stat st;
    *out = (one_state){ .name = q_strdup(name), .path = path_of(name, err) };
    if (!out->path || prov_state_look(out->path, &out->s, err) < 0) {
        out->problem = q_strdup(err);
        return;
    }
    out->saved_ms = stat(out->path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000 : 0;
    out->note = cJSON_Parse(out->s.note);
    if (!cJSON_IsObject(out->note))
        out->problem = q_printf(_("the saved state %s is damaged: save it again, the conversation itself is whole"), name);
}

static int newest_first(const void *x, const void *y)
{
    const one_state *a = x, *b = y;
    return a->saved_ms != b->saved_ms ? (a->saved_ms < b->saved_ms ? 1 : -1) : strcmp(a->name, b->name);
}

/* Every state there is, the newest first. */
static all_states scan(void)
{
    char err[Q_ERRLEN], *folder = path_of("", err);
    all_states all = { 0 };
    DIR *d = folder ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char *name = q_strdup(e->d_name);
        if (abandoned(name)) {
            char *left = q_printf("%s/%s", folder, name);
            q_file_erase(left, err);
            free(left);
        } else if (ends_in(name, END)) {
            name[strlen(name) - strlen(END)] = 0;
            if (lab_is_name(name)) {
                all.v = q_realloc(all.v, sizeof *all.v * (size_t)(all.n + 1));
                look_at(name, &all.v[all.n++]);
            }
        }
        free(name);
    }
    if (d)
        closedir(d);
    free(folder);
    if (all.n)
        qsort(all.v, (size_t)all.n, sizeof *all.v, newest_first);
    return all;
}

/* ---- notes ---- */
static int64_t whole(const cJSON *v)       /* 0: it is no number that one of ours could be */
{
    return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < 9007199254740992.0 ? (int64_t)v->valuedouble : 0;
}

static int64_t number(const cJSON *note, const char *name) { return whole(cJSON_GetObjectItem(note, name)); }

static bool listed(const cJSON *note, const char *name, int64_t id)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(note, name))
        if (cJSON_IsNumber(v) && v->valuedouble == (double)id)
            return true;
    return false;
}

/* The name that a store has in states; NULL: no state was ever saved from it. malloc'ed. */
static char *store_name(mem_store *s)
{
    return mem_setting_get(s, "state.store");
}

static int store_named(mem_store *s, char **out, char *err)
{
    *out = store_name(s);
    if (*out)
        return Q_OK;
    char *name = q_printf("%016llx", (unsigned long long)q_salt());
    int rc = mem_setting_put(s, "state.store", name, err);
    *out = name;
    return rc;
}

static bool of_store(const one_state *o, const char *store)
{
    const cJSON *v = cJSON_GetObjectItem(o->note, "store");
    return store && cJSON_IsString(v) && strcmp(v->valuestring, store) == 0;
}

static bool of_chat(const one_state *o, const char *store, const mem_conversation *c)
{
    return !o->problem && of_store(o, store) && number(o->note, "conversation") == c->id && number(o->note, "created") == c->created_ms;
}

/* Documents and conversations that a note or seat.fed lists: all of them are still there; Q_NOTFOUND. */
static int all_there(mem_store *s, const cJSON *listed, char *err)
{
    const cJSON *v;
    int rc = Q_OK;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(listed, "documents")) {
        mem_document d = { 0 };
        rc = rc ? rc : mem_document_get(s, whole(v), &d, err);
        mem_document_free(&d);
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(listed, "chats")) {
        mem_conversation c = { 0 };
        rc = rc ? rc : mem_conversation_get(s, whole(v), &c, err);
        mem_conversation_free(&c);
    }
    return rc;
}

/* Its conversation, or something that it was fed with, is in this store no more. */
static bool orphaned(mem_store *s, const one_state *o, const char *store)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    if (o->problem || !of_store(o, store))
        return false;
    int rc = mem_conversation_get(s, number(o->note, "conversation"), &c, err);
    bool gone = rc == Q_NOTFOUND || (rc == Q_OK && !of_chat(o, store, &c)) || all_there(s, o->note, err) == Q_NOTFOUND;
    mem_conversation_free(&c);
    return gone;
}

void states_fed(seat *s, const rag_result *r)
{
    q_buf docs = { 0 }, chats = { 0 };
    for (int i = 0; r && i < r->n; i++)
        if (r->v[i].number > 0) {
            q_buf *b = r->v[i].kind == MEM_CHAT ? &chats : &docs;
            q_buf_printf(b, "%s%lld", b->len ? "," : "", (long long)r->v[i].source);
        }
    free(s->fed);
    s->fed = q_printf("{\"documents\":[%s],\"chats\":[%s]}", docs.len ? docs.p : "", chats.len ? chats.p : "");
    q_buf_free(&docs);
    q_buf_free(&chats);
}

/* What the context was fed with, as long as all of it is still there: what was removed from memory is not written down again. */
static int fed_still(agt *a, cJSON *note, char *err)
{
    cJSON *fed = cJSON_Parse(a->seat.fed ? a->seat.fed : "{}");
    int rc = all_there(a->store, fed, err);
    if (rc == Q_NOTFOUND)
        rc = q_fail(err, Q_NOTFOUND, _("what the model has read here was partly removed from memory since, and is not saved: ask something first"));
    for (cJSON *at; fed && (at = cJSON_DetachItemFromArray(fed, 0));)
        cJSON_AddItemToObject(note, at->string, at);
    cJSON_Delete(fed);
    return rc;
}

/* Every configuration that made a cell, so that cells have names after the next start too. */
enum { MOST = 64 };                      /* of them */
static void add_made(agt *a, cJSON *note)
{
    prov_mix m[MOST];
    cJSON *all = cJSON_AddArrayToObject(note, "configurations");
    int n = prov_mixture(a->seat.who, m, MOST);
    for (int i = 0; i < n && i < MOST; i++)
        for (int k = 0; k < a->seat.n_known; k++)
            if (a->seat.known[k].hash == m[i].config)
                cJSON_AddItemToArray(all, cJSON_CreateRaw(a->seat.known[k].json));
}

static void learn_made(agt *a, const cJSON *note)
{
    const cJSON *v;
    char err[Q_ERRLEN];
    int n = 0;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(note, "configurations")) {
        if (n++ == MOST)
            break;
        char *json = cJSON_PrintUnformatted(v);
        prov_config *c = prov_config_new(a->seat.who);
        if (json && prov_config_from_json(c, json, err) == Q_OK)
            sync_know(&a->seat, c);
        prov_config_free(c);
        cJSON_free(json);
    }
}

static int write_note(agt *a, const mem_conversation *c, q_buf *out, char *err)
{
    char *store = NULL;
    int rc = store_named(a->store, &store, err);
    cJSON *note = cJSON_CreateObject();
    cJSON_AddStringToObject(note, "store", store);
    cJSON_AddNumberToObject(note, "conversation", (double)c->id);
    cJSON_AddNumberToObject(note, "created", (double)c->created_ms);
    cJSON_AddNumberToObject(note, "keep_from", (double)a->chat.keep_from);
    cJSON_AddBoolToObject(note, "again", a->seat.after_again);
    add_made(a, note);
    if (rc == Q_OK)
        rc = fed_still(a, note, err);
    char *text = cJSON_PrintUnformatted(note);
    q_buf_puts(out, text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(note);
    free(store);
    return rc;
}

/* ---- /save state ---- */
/* As measure_go_on, but what was accepted before the end of the program is done at its end. */
static bool go_on(void *user, int done, int total)
{
    const measuring *w = user;
    return measure_go_on(user, done, total) || desk_quits(&w->a->desk);
}

static int no_model(const agt *a, char *err)
{
    return q_fail(err, Q_NOTFOUND, "%s", a->seat.load_error ? a->seat.load_error : _("there is no model yet: run quorum model fetch, or give one with -m FILE"));
}

static int not_a_name(const char *name, char *err)
{
    return q_fail(err, Q_RANGE, _("a state's name is up to 64 letters, digits, dots, dashes and underscores, not \"%s\""), name);
}

/* The conversation, if its words are what the context holds. */
static int held(agt *a, mem_conversation *c, char *err)
{
    if (!a->seat.who)
        return no_model(a, err);
    if (!a->chat.id || a->seat.holds != a->chat.id)
        return q_fail(err, Q_RANGE, _("the model has read nothing of this conversation yet: ask something first"));
    return mem_conversation_get(a->store, a->chat.id, c, err);
}

static char *own_name(const mem_conversation *c)
{
    return q_printf("chat-%lld-%08x", (long long)c->id, (unsigned)q_mix64((uint64_t)c->id, (uint64_t)c->created_ms));
}

/* Tokens that need not be read again. */
static int evaluated(agt *a)
{
    prov_mix m[MOST];
    int n = prov_mixture(a->seat.who, m, MOST), cells = 0;
    for (int i = 0; i < n && i < MOST; i++)
        cells += m[i].cells;
    return cells;
}

static int write_state(agt *a, const char *name, const char *path, const q_buf *note_, char *err)
{
    char words[32], *folder = path_of("", err);
    uint64_t bytes = prov_state_bytes(a->seat.who, note_->len);
    int tokens = evaluated(a), rc = folder ? q_mkdirs(folder, err) : Q_NOTFOUND;
    free(folder);
    if (rc < 0)
        return rc;
    if (bytes)
        note(&a->events, AGT_INFO, ngettext("saving %d token as %s: %s", "saving %d tokens as %s: %s", (unsigned long)tokens), tokens, name, q_bytes_words(bytes, words));
    measuring m = measure_begin(a, _("saving the state"));
    rc = prov_state_save(a->seat.who, path, note_->p, note_->len, go_on, &m, err);
    measure_end(&m);
    return rc;
}

/* text: NAME, or NULL for the conversation's own; number 1: it may be written over. */
static void save(agt *a, const job *j)
{
    char err[Q_ERRLEN], *name = NULL, *path = NULL;
    mem_conversation c = { 0 };
    q_buf text = { 0 };
    int rc = j->text && !lab_is_name(j->text) ? not_a_name(j->text, err) : held(a, &c, err);
    if (rc == Q_OK) {
        name = j->text ? q_strdup(j->text) : own_name(&c);
        path = path_of(name, err);
        rc = path ? Q_OK : Q_NOTFOUND;
    }
    if (rc == Q_OK && j->text && !j->number && access(path, F_OK) == 0)
        asks_put(a, q_printf(_("The state %s exists: write over it?"), name), &job_state_save, 0, 1, name);
    else if (rc == Q_OK) {
        rc = write_note(a, &c, &text, err);
        if (rc == Q_OK)
            rc = write_state(a, name, path, &text, err);
        mem_conversation again = { 0 };
        char gone[Q_ERRLEN];
        if (rc == Q_OK && mem_conversation_get(a->store, c.id, &again, gone) == Q_NOTFOUND) {
            q_file_erase(path, gone);    /* deleted meanwhile */
            rc = q_fail(err, Q_NOTFOUND, "%s", gone);
        }
        mem_conversation_free(&again);
        if (rc == Q_OK && j->text)
            note(&a->events, AGT_INFO, _("saved as %s: the conversation takes it up when it is opened with the same model and settings, /load state %s at once"), name, name);
        else if (rc == Q_OK)
            note(&a->events, AGT_INFO, _("saved as %s: the conversation takes it up when it is opened with the same model and settings"), name);
    }
    if (rc == Q_CANCEL)
        note(&a->events, AGT_WARN, "%s", err);
    else if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    mem_conversation_free(&c);
    q_buf_free(&text);
    free(name);
    free(path);
}

/* ---- taking one up ---- */
static int take_up(agt *a, const one_state *o, char *err)
{
    if (o->problem)
        return q_fail(err, Q_FORMAT, "%s", o->problem);
    measuring m = measure_begin(a, _("taking up the saved state"));
    int rc = prov_state_load(a->seat.who, o->path, measure_go_on, &m, err);
    measure_end(&m);
    if (rc < 0)
        return rc;
    a->seat.holds = a->chat.id;
    a->seat.leaf = a->chat.path.n ? a->chat.path.v[a->chat.path.n - 1].id : 0;
    a->seat.shared = -1;
    a->seat.after_again = cJSON_IsTrue(cJSON_GetObjectItem(o->note, "again"));
    a->chat.keep_from = number(o->note, "keep_from");
    char *docs = cJSON_PrintUnformatted(cJSON_GetObjectItem(o->note, "documents")), *chats = cJSON_PrintUnformatted(cJSON_GetObjectItem(o->note, "chats"));
    free(a->seat.fed);
    a->seat.fed = q_printf("{\"documents\":%s,\"chats\":%s}", docs ? docs : "[]", chats ? chats : "[]");
    cJSON_free(docs);
    cJSON_free(chats);
    learn_made(a, o->note);
    sync_mix(a);
    int tokens = evaluated(a);
    note(&a->events, AGT_INFO, ngettext("the saved state %s is taken up: %d token need not be read again", "the saved state %s is taken up: %d tokens need not be read again",
                                        (unsigned long)tokens), o->name, tokens);
    return Q_OK;
}

void states_take(agt *a)
{
    char err[Q_ERRLEN], first[Q_ERRLEN] = "", *store;
    const char *name = "";
    mem_conversation c = { 0 };
    bool look = a->seat.who && a->chat.id && a->seat.holds != a->chat.id && a->seat.offered != a->chat.id && (prov_about(a->seat.who)->can & PROV_STATE);
    if (a->seat.who)
        a->seat.offered = a->chat.id;
    if (!look || !(store = store_name(a->store)))
        return;
    states_forget(a->store, 0, NULL, 0);
    all_states all = scan();
    int rc = Q_NOTFOUND;
    if (all.n && mem_conversation_get(a->store, a->chat.id, &c, err) == Q_OK)
        for (int i = 0; i < all.n && rc < 0 && rc != Q_CANCEL; i++)
            if (of_chat(&all.v[i], store, &c) && (rc = take_up(a, &all.v[i], err)) < 0 && !*first) {
                memcpy(first, err, sizeof first);
                name = all.v[i].name;
            }
    if (rc < 0 && *first)
        note(&a->events, AGT_INFO, _("the saved state %s is not taken up: %s"), name, first);
    mem_conversation_free(&c);
    all_free(&all);
    free(store);
}

/* The state that is asked for, by its name, or the newest of the present conversation; and its conversation. */
static int wanted(agt *a, const char *name, one_state *o, mem_conversation *c, char *err)
{
    char *store = store_name(a->store);
    int rc = Q_OK;
    if (name && !lab_is_name(name))
        rc = not_a_name(name, err);
    else if (name) {
        look_at(name, o);
        if (o->problem)
            rc = q_fail(err, Q_NOTFOUND, "%s", o->path && access(o->path, F_OK) != 0 ? _("there is no such state; /states lists those there are") : o->problem);
    } else {
        all_states all = scan();
        rc = a->chat.id ? mem_conversation_get(a->store, a->chat.id, c, err) : Q_OK;
        for (int i = 0; i < all.n && c->id && !o->name; i++)
            if (of_chat(&all.v[i], store, c))
                look_at(all.v[i].name, o);
        all_free(&all);
        mem_conversation_free(c);
        if (rc == Q_OK && (!o->name || o->problem))
            rc = q_fail(err, Q_NOTFOUND, _("no state of this conversation is saved: /save state keeps one, /states lists those there are"));
    }
    if (rc == Q_OK)
        rc = mem_conversation_get(a->store, number(o->note, "conversation"), c, err);
    if (rc == Q_OK ? !of_chat(o, store, c) : rc == Q_NOTFOUND && o->note)
        rc = q_fail(err, Q_NOTFOUND, _("the conversation of the state %s is not in this memory: it goes with no other"), o->name);
    free(store);
    return rc;
}

static void load(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_conversation c = { 0 };
    one_state o = { .name = NULL };
    states_forget(a->store, 0, NULL, 0);
    int rc = a->seat.who ? wanted(a, j->text, &o, &c, err) : no_model(a, err);
    bool here = c.id == a->chat.id, there = rc == Q_OK && (here || chat_open(a, c.id) == Q_OK);      /* else it was said why not */
    a->seat.offered = a->chat.id;
    if (there)
        rc = take_up(a, &o, err);
    if (rc < 0 && there && !here)        /* where the next question goes to */
        note(&a->events, AGT_ERROR, _("%s; its conversation %lld is open now and is read anew with the next question"), err, (long long)c.id);
    else if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    one_free(&o);
    mem_conversation_free(&c);
}

/* ---- what goes with what is removed ---- */
static void erase(const one_state *o)
{
    char err[Q_ERRLEN];
    if (o->path)
        q_file_erase(o->path, err);
}

void states_forget(mem_store *s, int64_t chat, const int64_t *document, int n)
{
    char *store = store_name(s);
    all_states all = store ? scan() : (all_states){ 0 };
    for (int i = 0; i < all.n; i++) {
        const one_state *o = &all.v[i];
        bool goes = !o->problem && of_store(o, store) && chat && (number(o->note, "conversation") == chat || listed(o->note, "chats", chat));
        for (int d = 0; d < n && !o->problem && of_store(o, store); d++)
            goes |= listed(o->note, "documents", document[d]);
        if (goes || orphaned(s, o, store))
            erase(o);
    }
    all_free(&all);
    free(store);
}

void agt_forget_states(struct mem_store *s, const int64_t *document, int n) { states_forget(s, 0, document, n); }

/* ---- /states ---- */
static void list(agt *a)
{
    char err[Q_ERRLEN], w[32], *store = store_name(a->store), *folder = path_of("", err);
    states_forget(a->store, 0, NULL, 0); /* what lost its conversation elsewhere */
    all_states all = scan();
    q_buf b = { 0 };
    uint64_t bytes = 0;
    cJSON *json = cJSON_CreateArray();
    q_buf_say(&b, "%-24s %6s %8s %10s  %s\n", _("name"), _("chat"), _("tokens"), _("size"), _("model"));
    for (int i = 0; i < all.n; i++) {
        const one_state *o = &all.v[i];
        mem_conversation c = { 0 };
        cJSON *one = cJSON_CreateObject();
        bool here = !o->problem && of_store(o, store) && mem_conversation_get(a->store, number(o->note, "conversation"), &c, err) == Q_OK;
        cJSON_AddStringToObject(one, "name", o->name);
        cJSON_AddItemToObject(one, "chat", here ? cJSON_CreateNumber((double)c.id) : cJSON_CreateNull());
        cJSON_AddItemToObject(one, "title", here ? cJSON_CreateString(c.title) : cJSON_CreateNull());
        if (o->problem) {
            cJSON_AddStringToObject(one, "problem", o->problem);
            q_buf_say(&b, "%-24s %s\n", o->name, o->problem);
        } else {
            char model[24], *number_ = here ? q_printf("%lld", (long long)c.id) : q_strdup("–");
            snprintf(model, sizeof model, "%016llx", (unsigned long long)o->s.model);
            cJSON_AddNumberToObject(one, "tokens", o->s.tokens);
            cJSON_AddNumberToObject(one, "bytes", (double)o->s.bytes);
            cJSON_AddStringToObject(one, "model", o->s.name);
            cJSON_AddStringToObject(one, "model_id", model);
            cJSON_AddStringToObject(one, "device", o->s.device);
            cJSON *made = cJSON_Parse(o->s.settings);
            cJSON_AddItemToObject(one, "settings", made ? made : cJSON_CreateObject());
            cJSON_AddNumberToObject(one, "saved_ms", (double)o->saved_ms);
            q_buf_say(&b, "%-24s %6s %8d %10s  %s\n", o->name, number_, o->s.tokens, q_bytes_words(o->s.bytes, w), o->s.name);
            if (here && *c.title)
                q_buf_say(&b, "    %s\n", c.title);
            bytes += o->s.bytes;
            free(number_);
        }
        cJSON_AddItemToArray(json, one);
        mem_conversation_free(&c);
    }
    q_buf_say(&b, ngettext("\n%d state, %s, in %s. /load state NAME takes one up, /states delete NAME removes one for good.\n",
                           "\n%d states, %s, in %s. /load state NAME takes one up, /states delete NAME removes one for good.\n", (unsigned long)all.n),
              all.n, q_bytes_words(bytes, w), folder ? folder : "");
    if (all.n)
        note_page(&a->events, "/states", q_buf_take(&b), cJSON_PrintUnformatted(json));
    else
        note(&a->events, AGT_INFO, _("no state is saved: /save state keeps what the model has read of this conversation"));
    q_buf_free(&b);
    cJSON_Delete(json);
    all_free(&all);
    free(store);
    free(folder);
}

static void states(agt *a, const job *j)
{
    char err[Q_ERRLEN], *text = q_strdup(j->text ? j->text : ""), *at = NULL;
    const char *verb = strtok_r(text, " \t\n", &at), *name = verb ? strtok_r(NULL, " \t\n", &at) : NULL;
    bool delete = verb && (strcmp(verb, "delete") == 0 || strcmp(verb, "удалить") == 0);
    char *path = delete && name && lab_is_name(name) ? path_of(name, err) : NULL;
    struct stat st;
    char w[32];
    if (!verb)
        list(a);
    else if (!delete || !name)
        note(&a->events, AGT_ERROR, _("/states lists; /states delete NAME removes one for good"));
    else if (!path || stat(path, &st) != 0)
        note(&a->events, AGT_ERROR, _("there is no such state; /states lists those there are"));
    else
        asks_put(a, q_printf(_("Delete the saved state %s (%s) for good? The conversation stays."), name, q_bytes_words((uint64_t)st.st_size, w)), &job_state_deleted, 0, 0, name);
    free(path);
    free(text);
}

static void deleted(agt *a, const job *j)
{
    char err[Q_ERRLEN], *path = path_of(j->text, err);
    if (!path || q_file_erase(path, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, _("the state %s is deleted"), j->text);
    free(path);
}

const job_row job_state_save = { .name = "save state", .lane = LANE_ENGINE, .end = END_CARRIED, .answers = true, .run = save };
const job_row job_state_load = { .name = "load state", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .moves = true, .run = load };
const job_row job_states = { .name = "states", .lane = LANE_QUICK, .end = END_DROPPED, .run = states };
const job_row job_state_deleted = { .name = "state deleted", .lane = LANE_QUICK, .end = END_CARRIED, .run = deleted };
