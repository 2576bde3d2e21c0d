/* agent/documents: files taken into memory (long lane), listed and searched (quick lane). A long import ends at its next file
 * when agt_stop stops it, or the program ends; then it goes on at the next start. */
#include "base/say.h"
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct adding { agt *a; const char *what; } adding;

static bool added(void *user, const rag_progress *p)
{
    adding *d = user;
    agt_event e = { .kind = AGT_EV_PROGRESS, .text = q_strdup(d->what), .done = p->seen, .total = -1, .rate = -1, .name = q_strdup(p->path) };
    evq_push(&d->a->events, &e);
    return !desk_stopped(&d->a->desk, LANE_LONG);
}

static char *added_words(const rag_progress *p)
{
    q_buf b = { 0 };
    q_buf_printf(&b, ngettext("%d file added", "%d files added", (unsigned long)p->added), p->added);
    q_buf_puts(&b, " (");
    q_buf_printf(&b, ngettext("%d passage", "%d passages", (unsigned long)p->chunks), p->chunks);
    q_buf_puts(&b, "), ");
    q_buf_printf(&b, _("%d unchanged, %d skipped"), p->unchanged, p->skipped);
    q_buf chats = { 0 };
    rag_chats_words(p, &chats);
    if (chats.len && p->added + p->unchanged + p->skipped + p->renamed == 0)
        q_buf_clear(&b);
    if (chats.len)
        q_buf_printf(&b, "%s%s", b.len ? "; " : "", chats.p);
    q_buf_free(&chats);
    if (p->renamed)
        q_buf_printf(&b, ngettext("; %d has another name", "; %d have other names", (unsigned long)p->renamed), p->renamed);
    if (p->gone)
        q_buf_printf(&b, ngettext("; %d is gone from its folder and not fed any more", "; %d are gone from their folder and not fed any more", (unsigned long)p->gone), p->gone);
    return q_buf_take(&b);
}

static char *absolute(const char *path)      /* the next start may be in another folder */
{
    char *home = q_home_path(path), *real = realpath(home, NULL);
    if (!real)
        return home;
    free(home);
    return real;
}

/* "/add PATH --again": what was forgotten of archives comes back too. A file may be called so. The path alone; malloc'ed. */
static char *asked(const char *text, bool *again)
{
    static const char option[] = " --again";
    size_t n = strlen(text), k = strlen(option);
    char *real = q_home_path(text);
    *again = n > k && strcmp(text + n - k, option) == 0 && access(real, F_OK) != 0;
    free(real);
    return q_strndup(text, *again ? n - k : n);
}

static char *whole(const char *text)
{
    bool again;
    char *path = asked(text, &again), *real = absolute(path), *out = q_printf("%s%s", real, again ? " --again" : "");
    free(path);
    free(real);
    return out;
}

static void take(agt *a, const job *j)
{
    char *path = resource_named(j->text) ? q_strdup(j->text) : whole(j->text);
    errand_accept(a, &job_add, 0, j->text, path);
    free(path);
}

static void keep_add(agt *a, const job *j)
{
    char *path = resource_named(j->text) ? q_strdup(j->text) : whole(j->text);
    errand_left(a, j, path);
    free(path);
}

static bool going_on(void *user) { return !desk_stopped(&((adding *)user)->a->desk, LANE_LONG); }

/* A resource of a server. */
static void add_resource(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    char *what = q_printf(_("adding %s"), j->text);
    agt_event begin = { .kind = AGT_EV_PROGRESS, .text = what, .total = -1, .rate = -1 }, end = { .kind = AGT_EV_PROGRESS, .text = q_strdup(what) };
    evq_push(&a->events, &begin);
    int rc = resource_add(a, j->text, err);
    evq_push(&a->events, &end);
    if (rc == Q_CANCEL && desk_quits(&a->desk))
        keep_add(a, j);
    else
        errand_done(a, j);
    if (rc == Q_OK)
        note(&a->events, AGT_INFO, _("%s is in memory, as a server gave it"), j->text);
    else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", rc == Q_CANCEL ? _("stopped") : err);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
}

static void add(agt *a, const job *j)
{
    if (resource_named(j->text)) {
        add_resource(a, j);
        return;
    }
    char err[Q_ERRLEN];
    bool again;
    char *named = asked(j->text, &again), *real = q_home_path(named), *what = q_printf(_("adding %s"), j->text);
    adding d = { a, what };
    rag_add_opts o = { .progress = added, .go = going_on, .user = &d, .again = again };
    rag_progress p = { 0 };
    agt_event begin = { .kind = AGT_EV_PROGRESS, .text = q_strdup(what), .total = -1, .rate = -1 }, end = { .kind = AGT_EV_PROGRESS, .text = q_strdup(what) };
    evq_push(&a->events, &begin);
    watching_again(a->store, real);
    int rc = rag_add(a->store, real, &o, &p, err);
    evq_push(&a->events, &end);
    q_buf why = { 0 };
    rag_skips_words(&p, &why);
    char *words = added_words(&p);
    if (rc == Q_CANCEL && desk_quits(&a->desk))
        keep_add(a, j);
    else
        errand_done(a, j);
    if (rc == Q_CANCEL)
        note(&a->events, AGT_WARN, _("stopped: %s; /add takes the rest"), words);
    else if (rc < 0)
        note(&a->events, AGT_ERROR, p.seen > 1 ? _("%s (%s; /add %s takes the rest)") : "%s", err, words, j->text);
    else
        note(&a->events, AGT_INFO, "%s: %s", j->text, words);
    if (why.len && (p.seen > 1 || p.n_damage || (rc == Q_OK && p.n_skip))) {           /* the page hides the note: it says it too */
        char *title = q_printf("/add: %s", words);
        note_text(&a->events, title, q_buf_take(&why));
        free(title);
    }
    q_buf_free(&why);
    free(words);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
    free(real);
    free(named);
    free(what);
}

static void documents(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_documents l = { 0 };
    q_buf b = { 0 };
    if (mem_document_list(a->store, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    q_buf_puts(&b, "");
    for (int i = 0; i < l.n; i++) {
        char w[32];
        char *was = *l.v[i].was ? rag_repaired_words(l.v[i].was) : NULL;
        q_buf_say(&b, "%4lld  %-40s %5d  %10s  %s%s%s\n", (long long)l.v[i].id, l.v[i].title, l.v[i].n_chunks, q_bytes_words((uint64_t)l.v[i].bytes, w), l.v[i].path,
                  was ? "  " : "", was ? was : "");
        free(was);
    }
    if (!l.n)
        q_buf_puts(&b, _("Memory holds no documents: /add PATH takes a file or a folder in.\n"));
    else
        q_buf_puts(&b, _("\nnumber, title, passages, size, path. /forget NUMBER removes one.\n"));
    mem_documents_free(&l);
    embedder_page(a, &b);
    note_text(&a->events, "/memory", q_buf_take(&b));
}

static void map(agt *a, const job *j)
{
    char err[Q_ERRLEN], *json = NULL;
    q_buf b = { 0 };
    int rc = rag_map(a->store, going_on, &(adding){ a, "" }, &b, &json, err);
    if (rc == Q_OK)
        note_page(&a->events, "/memory map", q_buf_take(&b), json);
    else if (rc != Q_CANCEL)
        note(&a->events, AGT_ERROR, "%s", err);
    q_buf_free(&b);
}

/* "--since DAY --by WHO words": options first; *words is what is left of the line, in which they are ended by 0. */
static int search_options(char *line, rag_scope *scope, char **words, char *err)
{
    int rc = Q_OK;
    char *p = line + strspn(line, " \t\n");
    while (rc == Q_OK && strncmp(p, "--", 2) == 0 && p[2] > ' ') {
        char *option = p + 2, *value, *end = option + strcspn(option, " \t\n=");
        value = end + (*end == '=') + strspn(end + (*end == '='), " \t\n");
        p = value + strcspn(value, " \t\n");
        bool last = !*p;
        *end = *p = 0;
        p += last ? 0 : 1 + strspn(p + 1, " \t\n");
        rc = *value ? rag_scope_set(scope, option, value, err) : Q_NOTFOUND;
        if (rc == Q_NOTFOUND)
            rc = q_fail(err, Q_RANGE, _("/search [--since DAY] [--until DAY] [--by me|model|NAME] WORDS"));
    }
    *words = p;
    return rc;
}

static void search(agt *a, const job *j)
{
    char err[Q_ERRLEN], *line = q_strdup(j->text), *words;
    rag_result *r = NULL;
    q_buf b = { 0 };
    rag_config c = settings_rag(&a->settings);
    rag_scope scope = { .conversation = 0, .budget = -1 };
    int rc = search_options(line, &scope, &words, err);
    if (rc == Q_OK) {
        scope.near = embedder_near(a);
        rc = rag_search(a->store, &c, words, &scope, &r, err);
        embedder_near_end(a, scope.near);
    }
    free(line);
    if (rc < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    rag_explain(r, &b);
    char *json = rag_explain_json(r, j->text);
    rag_result_free(r);
    note_page(&a->events, "/search", q_buf_take(&b), json);
}

static void manual(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    if (rag_manual(a->store, err) < 0 || rag_facts(a->store, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
}

typedef struct tidying { desk *d; int steps; } tidying;

/* At the end a few steps more: what was deleted just before is gone with its bytes. */
static bool tidying_on(void *user)
{
    tidying *t = user;
    return desk_quits(t->d) ? t->steps-- > 0 : !desk_stopped(t->d, LANE_LONG);
}

/* What changes left owed is durable: the end of the program, or a stop, leaves the rest to the next start. */
static void tidy(agt *a, const job *j)
{
    enum { STEPS = 64 };
    char err[Q_ERRLEN];
    tidying t = { &a->desk, STEPS };
    int rc = mem_tidy(a->store, tidying_on, &t, err);
    char *said = mem_note(a->store);
    if (said)
        note(&a->events, AGT_INFO, "%s", said);
    if (rc < 0 && rc != Q_CANCEL)
        note(&a->events, AGT_WARN, "%s", err);
    free(said);
}

const job_row job_tidy = { .name = "tidy", .lane = LANE_LONG, .end = END_CARRIED, .behind = true, .run = tidy };
const job_row job_take = { .name = "add?", .lane = LANE_QUICK, .end = END_CARRIED, .run = take, .then = &job_add };
const job_row job_add = { .name = "add", .lane = LANE_LONG, .end = END_KEPT, .run = add, .keep = keep_add };
const job_row job_documents = { .name = "documents", .lane = LANE_QUICK, .end = END_DROPPED, .run = documents };
const job_row job_memory_map = { .name = "memory map", .lane = LANE_LONG, .end = END_DROPPED, .run = map };
const job_row job_search = { .name = "search", .lane = LANE_QUICK, .end = END_DROPPED, .run = search };
const job_row job_manual = { .name = "manual", .lane = LANE_ENGINE, .end = END_DROPPED, .run = manual };
