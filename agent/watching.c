/* agent/watching: see watching.h. */
#include "agent/errands.h"
#include "base/say.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* QUIET: behind the last change before a look; LATEST: behind the first; AGAIN: a folder that cannot be reached is looked for. */
static const int64_t QUIET_NS = 500000000, LATEST_NS = 5000000000, AGAIN_NS = 30000000000;
enum { FOLDERS_MOST = 16384, DEEPEST = 64 };
static const uint32_t MASK = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW;

static watched *find(watching *w, const char *path)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->v[i].path, path) == 0)
            return &w->v[i];
    return NULL;
}

/* ---- the thread ---- */
typedef struct tree { char **path; int n, held; } tree;      /* [n], of them held: by the descriptor that inotify gave; NULL: none */

/* False: there is more below it than the system tells of. */
static bool look_into(const watching *w, tree *t, int most, const char *path, int depth)
{
    int id = depth > DEEPEST ? -1 : inotify_add_watch(w->in, path, MASK);
    if (id < 0)
        return depth <= DEEPEST && errno != ENOSPC && errno != ENOMEM;       /* it is none, or nobody may read it */
    if (t->held >= most && !(id < t->n && t->path[id])) {
        inotify_rm_watch(w->in, id);
        return false;
    }
    for (; t->n <= id; t->n++) {
        t->path = q_realloc(t->path, sizeof *t->path * (size_t)(t->n + 1));
        t->path[t->n] = NULL;
    }
    t->held += !t->path[id];
    free(t->path[id]);
    t->path[id] = q_strdup(path);
    bool all = true;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (*e->d_name == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
            continue;                    /* hidden ones are never taken in */
        char *below = q_printf("%s/%s", path, e->d_name);
        all &= look_into(w, t, most, below, depth + 1);
        free(below);
    }
    if (d)
        closedir(d);
    return all;
}

static void changed(watched *f, int64_t now)
{
    f->first_ns = f->first_ns ? f->first_ns : now;
    f->due_ns = now + QUIET_NS < f->first_ns + LATEST_NS ? now + QUIET_NS : f->first_ns + LATEST_NS;
}

/* The system is asked to tell of a folder and all below it, without the lock: a large tree, or a slow disk, takes its time. */
static void look_below(watching *w, tree *t, const char *path, bool of_itself)
{
    pthread_mutex_lock(&w->mu);
    int most = w->most;
    void (*before)(void *, const char *) = w->before;
    void *user = w->before_user;
    pthread_mutex_unlock(&w->mu);
    if (before)
        before(user, path);
    bool all = look_into(w, t, most, path, 0);
    pthread_mutex_lock(&w->mu);
    for (int i = 0; i < w->n; i++) {
        watched *f = &w->v[i];
        if (of_itself && strcmp(f->path, path) == 0)
            f->few = !all;
        else if (!of_itself && !all)
            f->few |= watching_within(path, f->path);
    }
    pthread_mutex_unlock(&w->mu);
}

/* A folder below these was touched; NULL: any may have been. */
static void touched(watching *w, const char *folder, int64_t now)
{
    pthread_mutex_lock(&w->mu);
    for (int i = 0; i < w->n; i++)
        if (!folder || watching_within(folder, w->v[i].path))
            changed(&w->v[i], now);
    pthread_mutex_unlock(&w->mu);
}

/* What the system told: which folders it is about, and new ones below them. */
static void take_events(watching *w, tree *t, const char *p, ssize_t n, int64_t now)
{
    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
        struct inotify_event e;
        memcpy(&e, p + at, sizeof e);
        const char *name = e.len ? p + at + sizeof e : "", *folder = e.wd >= 0 && e.wd < t->n ? t->path[e.wd] : NULL;
        at += (ssize_t)(sizeof e + e.len);
        if (folder || e.mask & IN_Q_OVERFLOW)
            touched(w, e.mask & IN_Q_OVERFLOW ? NULL : folder, now);
        if (folder && *name && *name != '.' && e.mask & IN_ISDIR && e.mask & (IN_CREATE | IN_MOVED_TO)) {
            char *below = q_printf("%s/%s", folder, name);
            look_below(w, t, below, false);
            free(below);
        }
        if (e.mask & IN_IGNORED && folder) {
            free(t->path[e.wd]);
            t->path[e.wd] = NULL;
            t->held--;
        }
    }
}

/* Of what is in no watched folder any more the system tells no longer; its last notice of each takes it off the tree. */
static void let_go(watching *w, const tree *t)
{
    pthread_mutex_lock(&w->mu);
    for (int i = 0; i < t->n; i++) {
        bool wanted = !t->path[i];
        for (int k = 0; k < w->n && !wanted; k++)
            wanted = watching_within(t->path[i], w->v[k].path);
        if (!wanted)
            inotify_rm_watch(w->in, i);
    }
    pthread_mutex_unlock(&w->mu);
}

/* The next folder that is to be looked at now; NULL: none. malloc'ed. */
static char *next_due(watching *w, int64_t now)
{
    char *path = NULL;
    pthread_mutex_lock(&w->mu);
    for (int i = 0; i < w->n && !path && !w->ends; i++) {
        watched *f = &w->v[i];
        if (!f->due_ns || f->due_ns > now || f->posted)
            continue;
        f->due_ns = f->first_ns = 0;
        f->posted = true;
        path = q_strdup(f->path);
    }
    pthread_mutex_unlock(&w->mu);
    return path;
}

/* When something is to be done next; *ends: nothing is. */
static int64_t next_time(watching *w, int64_t now, bool *ends)
{
    pthread_mutex_lock(&w->mu);
    int64_t next = now + w->again_ns;
    *ends = w->ends;
    for (int i = 0; i < w->n; i++) {
        const watched *f = &w->v[i];
        if (f->due_ns && f->due_ns < next && !f->posted)
            next = f->due_ns;
    }
    pthread_mutex_unlock(&w->mu);
    return next;
}

/* Notices that wait: what is read is known before anybody sees that nothing waits any more. */
static ssize_t read_notices(watching *w, bool any, char *room, size_t n)
{
    pthread_mutex_lock(&w->mu);
    ssize_t k = any ? read(w->in, room, n) : 0;          /* never waits */
    w->reads = k > 0;
    pthread_mutex_unlock(&w->mu);
    return k;
}

static void *watch_main(void *agt_)
{
    agt *a = agt_;
    watching *w = &a->watching;
    tree t = { 0 };
    _Alignas(struct inotify_event) char room[1 << 16];
    for (bool ends = false; !ends;) {
        struct pollfd p[2] = { { .fd = w->wake, .events = POLLIN }, { .fd = w->in, .events = POLLIN } };
        int64_t now = q_now_ns();
        for (char *path; (path = next_due(w, now)); free(path)) {
            look_below(w, &t, path, true);               /* before the look: what comes behind it is told */
            desk_post(&a->desk, &job_watched, 0, 0, path, NULL);
        }
        int64_t next = next_time(w, now, &ends), ms = (next - now) / 1000000 + 1;
        if (ends || (poll(p, w->in >= 0 ? 2 : 1, (int)(ms < 1 ? 1 : ms)) < 0 && errno != EINTR))
            break;
        uint64_t told;
        if (p[0].revents & POLLIN && read(w->wake, &told, sizeof told) < 0 && errno != EAGAIN)
            break;
        if (p[0].revents & POLLIN)
            let_go(w, &t);
        now = q_now_ns();
        ssize_t n = read_notices(w, p[1].revents & POLLIN, room, sizeof room);
        if (n > 0)
            take_events(w, &t, room, n, now);
        pthread_mutex_lock(&w->mu);
        w->reads = false;
        for (int i = 0; i < w->n; i++)
            if ((w->v[i].lost_ms || w->v[i].few || w->in < 0) && !w->v[i].due_ns && !w->v[i].posted && now >= next)
                w->v[i].due_ns = w->v[i].first_ns = now;
        pthread_mutex_unlock(&w->mu);
    }
    for (int i = 0; i < t.n; i++)
        free(t.path[i]);
    free(t.path);
    return NULL;
}

static void wake(watching *w)
{
    uint64_t one = 1;
    if (w->wake >= 0 && write(w->wake, &one, sizeof one) < 0)
        return;                          /* it is awake already */
}

/* The folder is looked at now, whatever the system told. */
static void put(agt *a, const char *path)
{
    watching *w = &a->watching;
    pthread_mutex_lock(&w->mu);
    watched *f = find(w, path);
    if (!f) {
        w->v = q_realloc(w->v, sizeof *w->v * (size_t)(w->n + 1));
        f = &w->v[w->n++];
        *f = (watched){ .path = q_strdup(path) };
    }
    f->due_ns = f->first_ns = q_now_ns();
    if (!w->runs) {
        w->in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        w->runs = w->wake >= 0 && pthread_create(&w->thread, NULL, watch_main, a) == 0;
        if (!w->runs) {
            if (w->in >= 0)
                close(w->in);
            if (w->wake >= 0)
                close(w->wake);
            w->in = w->wake = -1;
        }
    }
    bool runs = w->runs;
    pthread_mutex_unlock(&w->mu);
    wake(w);
    if (!runs)
        note(&a->events, AGT_WARN, "%s", _("the system gives no more threads: close other programs and try again"));
}

void watching_open(agt *a)
{
    char err[Q_ERRLEN];
    strings all = { 0 };
    a->watching.in = a->watching.wake = -1;
    a->watching.most = FOLDERS_MOST;
    a->watching.again_ns = AGAIN_NS;
    pthread_mutex_init(&a->watching.mu, NULL);
    if (!a->once && watching_folders(a->store, &all, err) == Q_OK)
        for (int i = 0; i < all.n; i++)
            put(a, all.v[i]);
    strings_free(&all);
}

void watching_close(agt *a)
{
    watching *w = &a->watching;
    pthread_mutex_lock(&w->mu);
    w->ends = true;
    pthread_mutex_unlock(&w->mu);
    wake(w);
    if (w->runs)
        pthread_join(w->thread, NULL);
    if (w->in >= 0)
        close(w->in);
    if (w->wake >= 0)
        close(w->wake);
    for (int i = 0; i < w->n; i++)
        free(w->v[i].path);
    free(w->v);
    pthread_mutex_destroy(&w->mu);
}

/* ---- a look ---- */
static bool going_on(void *user) { return !desk_stopped(&((agt *)user)->desk, LANE_LONG); }
static bool seen_one(void *user, const rag_progress *p) { return going_on(user); }

static bool passed_over(void *user, const char *path) { return watching_passes(((agt *)user)->store, path); }

static void tell(agt *a, const char *path, const rag_progress *p)
{
    q_buf b = { 0 };
    if (p->added)
        q_buf_printf(&b, ngettext("%d file taken in", "%d files taken in", (unsigned long)p->added), p->added);
    if (p->renamed)
        q_buf_puts(&b, b.len ? ", " : ""), q_buf_printf(&b, ngettext("%d has another name", "%d have other names", (unsigned long)p->renamed), p->renamed);
    if (p->back)
        q_buf_puts(&b, b.len ? ", " : ""), q_buf_printf(&b, ngettext("%d is back", "%d are back", (unsigned long)p->back), p->back);
    if (p->gone)
        q_buf_puts(&b, b.len ? ", " : ""), q_buf_printf(&b, ngettext("%d is gone and not fed any more (/forget gone removes it)",
                                                                    "%d are gone and not fed any more (/forget gone removes them)", (unsigned long)p->gone), p->gone);
    if (b.len)
        note(&a->events, AGT_INFO, "%s: %s", path, b.p);
    q_buf_free(&b);
}

static void day_of(int64_t ms, char out[24])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (!localtime_r(&t, &tm) || !strftime(out, 24, "%Y-%m-%d %H:%M", &tm))
        strcpy(out, "?");
}

static void look(agt *a, const job *j)
{
    char err[Q_ERRLEN], when[24];
    watching *w = &a->watching;
    rag_add_opts o = { .progress = seen_one, .go = going_on, .skip = passed_over, .user = a };
    rag_progress p = { 0 };
    struct stat st;
    bool there = stat(j->text, &st) == 0 && S_ISDIR(st.st_mode);
    int rc = there ? rag_add(a->store, j->text, &o, &p, err) : Q_OK;
    bool away = !there || (rc == Q_OK && p.kept > 0) || (rc < 0 && rc != Q_CANCEL);
    char unsaid[Q_ERRLEN];
    int64_t since = q_wall_ms();
    pthread_mutex_lock(&w->mu);
    bool watched_yet = find(w, j->text) != NULL;
    pthread_mutex_unlock(&w->mu);
    if (watched_yet && rc != Q_CANCEL && rag_away_put(a->store, j->text, away, since, &since, unsaid) < 0)     /* over a start too, and for its passages */
        note(&a->events, AGT_WARN, "%s", unsaid);
    pthread_mutex_lock(&w->mu);
    watched *f = find(w, j->text);
    bool was = f && f->lost_ms, few = f && f->few && !f->said;
    if (f) {
        f->posted = false;
        f->said |= f->few;
        f->lost_ms = away ? since : rc == Q_CANCEL ? f->lost_ms : 0;
        if (rc == Q_CANCEL) {            /* a stop put it off, not away */
            f->first_ns = q_now_ns();
            f->due_ns = f->first_ns + w->again_ns;
        }
    }
    day_of(f ? f->lost_ms : 0, when);
    pthread_mutex_unlock(&w->mu);
    wake(w);
    if (!f) {                            /* watched no more */
        rag_away_put(a->store, j->text, false, 0, &since, unsaid);
        return;
    }
    tell(a, j->text, &p);
    if (few)
        note(&a->events, AGT_WARN, _("%s has more folders than the system tells of (fs.inotify.max_user_watches): it is also looked at every half minute"), j->text);
    if (rc < 0 && rc != Q_CANCEL && !was)
        note(&a->events, AGT_WARN, "%s", err);
    else if (rc == Q_CANCEL && !desk_quits(&a->desk))
        note(&a->events, AGT_INFO, _("the look at %s was stopped: it is made up in half a minute"), j->text);
    else if (away && !was)
        note(&a->events, AGT_WARN, _("%s is not reachable since %s: what memory holds of it is kept and fed"), j->text, when);
    else if (!away && was)
        note(&a->events, AGT_INFO, _("%s is reachable again"), j->text);
    if (p.added || p.gone || p.back || p.renamed)
        desk_post(&a->desk, &job_tidy, 0, 0, NULL, NULL);
}

/* ---- /watch ---- */
static void list(agt *a)
{
    char when[24];
    q_buf b = { 0 };
    cJSON *json = cJSON_CreateArray();
    pthread_mutex_lock(&a->watching.mu);
    int n = a->watching.n;
    for (int i = 0; i < n; i++) {
        const watched *f = &a->watching.v[i];
        day_of(f->lost_ms, when);
        if (f->lost_ms)
            q_buf_say(&b, _("%s  (not reachable since %s)\n"), f->path, when);
        else
            q_buf_say(&b, "%s\n", f->path);
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "path", f->path);
        cJSON_AddNumberToObject(e, "not_reachable_since", (double)f->lost_ms);
        cJSON_AddItemToArray(json, e);
    }
    pthread_mutex_unlock(&a->watching.mu);
    if (n == 0)
        note(&a->events, AGT_INFO, _("no folder is watched: /watch FOLDER keeps one in step"));
    else {
        q_buf_puts(&b, _("\n/watch off FOLDER ends it; what was taken in stays.\n"));
        note_page(&a->events, "/watch", q_buf_take(&b), cJSON_PrintUnformatted(json));
    }
    cJSON_Delete(json);
    q_buf_free(&b);
}

static void off(agt *a, const char *path)
{
    char err[Q_ERRLEN], *key = watching_key(path);
    int64_t since;
    watching *w = &a->watching;
    pthread_mutex_lock(&w->mu);
    watched *f = find(w, path);
    if (f) {
        free(f->path);
        *f = w->v[--w->n];
    }
    pthread_mutex_unlock(&w->mu);
    wake(w);
    if (!f)
        note(&a->events, AGT_ERROR, _("%s is not watched; /watch lists the folders that are"), path);
    else if (mem_setting_put(a->store, key, NULL, err) < 0 || rag_away_put(a->store, path, false, 0, &since, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, _("%s is not watched any more; what was taken in stays"), path);
    free(key);
}

static void watch(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const char *text = j->text ? j->text : "", *rest = strncmp(text, "off ", 4) == 0 ? text + 4 : strncmp(text, "нет ", strlen("нет ")) == 0 ? text + strlen("нет ") : NULL;
    char *home = q_home_path(rest ? rest : text), *real = realpath(home, NULL), *key = real ? watching_key(real) : NULL;
    struct stat st;
    if (!*text)
        list(a);
    else if (rest)
        off(a, real ? real : home);
    else if (!real || stat(real, &st) != 0)
        note(&a->events, AGT_ERROR, _("cannot watch %s: %s"), text, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        note(&a->events, AGT_ERROR, _("cannot watch %s: it is no folder; /add takes a file"), text);
    else if (mem_setting_put(a->store, key, real, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        put(a, real);
        note(&a->events, AGT_INFO, a->watching.in >= 0 ? _("%s is watched: what changes there is taken in")
                                                         : _("%s is watched, by a look every half minute: the system has no more notices to give (fs.inotify.max_user_instances)"), real);
    }
    free(key);
    free(real);
    free(home);
}

const job_row job_watch = { .name = "watch", .lane = LANE_QUICK, .end = END_CARRIED, .run = watch };
const job_row job_watched = { .name = "watched", .lane = LANE_LONG, .end = END_DROPPED, .run = look };
