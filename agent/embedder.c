/* agent/embedder: see embedder.h. It never touches a session, a lane's jobs or a conversation. */
#include "agent/embedder.h"
#include "agent/room.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NICENESS = 19, LOOK_MS = 2000, IDLE_LOOKS = 5, AGAIN_MS = 60000, FIRST_S = 2 };

/* ---- the first look ---- */
/* Is waited for where what is asked depends on it: it takes a tenth of a second. */
static void first_look(embedder *e)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += FIRST_S;
    pthread_mutex_lock(&e->mu);
    for (int rc = 0; !e->has_looked && rc == 0;)
        rc = pthread_cond_timedwait(&e->looked, &e->mu, &end);
    pthread_mutex_unlock(&e->mu);
}

static void has_looked(embedder *e)
{
    pthread_mutex_lock(&e->mu);
    e->has_looked = true;
    pthread_cond_broadcast(&e->looked);
    pthread_mutex_unlock(&e->mu);
}

/* ---- what is said ---- */
const char *agt_meaning_word(enum agt_meaning_state s)
{
    static const char *const word[] = { "off", "none", "coming", "broken", "making", "elsewhere", "ready" };
    return word[s];
}

static void left_words(q_buf *b, double s)
{
    if (s < 0)
        return;
    if (s < 50)
        q_buf_puts(b, _(", less than a minute"));
    else
        q_buf_printf(b, ngettext(", about %d minute", ", about %d minutes", (unsigned long)(s / 60 + .5)), (int)(s / 60 + .5));
}

char *agt_meaning_words(const agt_meaning *m)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    switch (m->state) {
    case AGT_MEANING_COMING: q_buf_printf(&b, _("the embedding model is being fetched: %d%%"), m->percent); break;
    case AGT_MEANING_NONE: case AGT_MEANING_BROKEN: q_buf_puts(&b, m->problem); break;
    case AGT_MEANING_MAKING: case AGT_MEANING_ELSEWHERE:
        if (m->done >= m->all)           /* nothing was counted yet, or all is made */
            break;
        q_buf_printf(&b, _("by meaning: %lld of %lld"), (long long)m->done, (long long)m->all);
        left_words(&b, m->state == AGT_MEANING_MAKING ? m->left_s : -1);
        break;
    case AGT_MEANING_OFF: case AGT_MEANING_READY: break;
    }
    return q_buf_take(&b);
}

void agt_get_meaning(agt *a, agt_meaning *out)
{
    pthread_mutex_lock(&a->embedder.mu);
    *out = a->embedder.now;
    pthread_mutex_unlock(&a->embedder.mu);
}

/* Vectors of models by which memory is not searched now. */
static void unused(agt *a, q_buf *out)
{
    char err[Q_ERRLEN], size[32];
    mem_embedders l = { 0 };
    agt_meaning m;
    agt_get_meaning(a, &m);
    if (mem_embedder_list(a->store, &l, err) < 0)
        return;
    for (int i = 0; i < l.n; i++)
        if (strcmp(l.v[i].name, m.id) != 0 && l.v[i].chunks + l.v[i].messages)
            q_buf_printf(out, _("Not used now: %lld vectors of model %s, %s; /memory drop %s removes them.\n"), (long long)l.v[i].chunks + l.v[i].messages, l.v[i].name,
                         q_bytes_words((uint64_t)mem_embedder_bytes(&l.v[i]), size), l.v[i].name);
    mem_embedders_free(&l);
}

void embedder_page(agt *a, q_buf *out)
{
    agt_meaning m;
    if (!a->embedder.on)
        return;
    first_look(&a->embedder);
    agt_get_meaning(a, &m);
    char *words = agt_meaning_words(&m);
    if (m.state == AGT_MEANING_OFF)
        q_buf_puts(out, _("Not searched by meaning: memory.on, memory.mode or memory.embedder is off.\n"));
    else if (m.state == AGT_MEANING_NONE && !*words)
        q_buf_puts(out, _("Searched by words alone: quorum model fetch --embedder brings the model for search by meaning.\n"));
    else if (m.state == AGT_MEANING_READY && m.all)
        q_buf_printf(out, _("Searched by meaning too: %lld passages have their vector of %s.\n"), (long long)m.done, m.name);
    else if (!*words)
        q_buf_printf(out, _("Searched by meaning too, with %s.\n"), m.name);
    else
        q_buf_printf(out, "%s%s%s\n", words, *m.name ? " · " : "", m.name);
    free(words);
    unused(a, out);
}

static int percent(const agt_meaning *m) { return m->state == AGT_MEANING_COMING ? m->percent : m->all ? (int)(100 * m->done / m->all) : 0; }

/* The snapshot, and an event where a person would see a difference: another state, another percent. */
static void publish(agt *a, const agt_meaning *m)
{
    embedder *e = &a->embedder;
    pthread_mutex_lock(&e->mu);
    bool other = e->now.state != m->state || percent(&e->now) != percent(m) || strcmp(e->now.problem, m->problem) != 0;
    e->now = *m;
    pthread_mutex_unlock(&e->mu);
    if (!other)
        return;
    char *words = agt_meaning_words(m);
    bool tells = *words != 0;
    agt_event ev = { .kind = AGT_EV_MEANING, .text = words, .name = q_strdup(agt_meaning_word(m->state)), .done = m->done, .total = m->all, .rate = m->left_s };
    if (m->state == AGT_MEANING_COMING)
        ev.done = m->percent, ev.total = 100;
    if (m->state == AGT_MEANING_BROKEN)
        ev.done = ev.total = 0;
    if (tells || e->told)
        evq_push(&a->events, &ev);
    agt_event_free(&ev);
    e->told = tells;
}

/* A problem is said once; it stands in /memory as long as it is there. */
static void broken(agt *a, agt_meaning *m, const char *fmt, const char *err)
{
    embedder *e = &a->embedder;
    m->state = AGT_MEANING_BROKEN;
    snprintf(m->problem, sizeof m->problem, "%s", err);
    m->problem[q_utf8_whole(m->problem, strlen(m->problem))] = 0;
    if (!e->said || strcmp(e->said, err) != 0) {
        free(e->said);
        e->said = q_strdup(err);
        char *text = q_printf(fmt, err);
        note(&a->events, AGT_WARN, "%s", text);
        free(text);
    }
    publish(a, m);
}

/* ---- questions ---- */
static int ask(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *err)
{
    embedder *e = user;
    pthread_mutex_lock(&e->asking);
    int rc = prov_embedder_run(e->ask, question, text, len, n, out, NULL, NULL, err);
    pthread_mutex_unlock(&e->asking);
    return rc;
}

static void install(agt *a, prov_embedder *own)
{
    embedder *e = &a->embedder;
    pthread_rwlock_wrlock(&e->use);
    rag_near_free(e->near);
    prov_embedder_close(e->ask);
    e->ask = own;
    e->near = NULL;
    if (own) {
        const prov_embedder_info *i = prov_embedder_about(own);
        e->near = rag_near_new(a->store, &(rag_embedder){ .id = i->id, .dim = i->dim, .embed = ask, .user = e });
    }
    pthread_rwlock_unlock(&e->use);
}

rag_near *embedder_near(agt *a)
{
    embedder *e = &a->embedder;
    if (!e->on)
        return NULL;
    first_look(e);
    pthread_rwlock_rdlock(&e->use);
    rag_near *n = e->near;
    if (!n)
        pthread_rwlock_unlock(&e->use);
    return n;
}

void embedder_near_end(agt *a, rag_near *n)
{
    if (n)
        pthread_rwlock_unlock(&a->embedder.use);
}

/* ---- the model ---- */
/* Opens what memory.embedder means for questions. False: there is none, and *m says why. */
static bool look(agt *a, agt_meaning *m)
{
    embedder *e = &a->embedder;
    char err[Q_ERRLEN], *path = NULL;
    q_buf b = { 0 };
    prov_embedder *own = NULL;
    prov_arrival at;
    char *what = q_home_path(settings_value(&a->settings, "memory.embedder", &b));
    q_buf_free(&b);
    *m = (agt_meaning){ .state = AGT_MEANING_OFF, .left_s = -1 };
    rag_config c = settings_rag(&a->settings);
    if (!c.on || c.mode == RAG_OFF || strcmp(what, "off") == 0) {
        install(a, NULL);
        publish(a, m);
    } else if (prov_embedder_find(what, &path, err) == Q_OK && prov_embedder_open(path, 1, &own, err) == Q_OK) {
        const prov_embedder_info *i = prov_embedder_about(own);
        snprintf(m->name, sizeof m->name, "%s", i->name);
        m->name[q_utf8_whole(m->name, strlen(m->name))] = 0;
        snprintf(m->id, sizeof m->id, "%s", i->id);
        m->state = e->makes ? AGT_MEANING_MAKING : AGT_MEANING_READY;       /* nothing is counted yet */
        install(a, own);
        free(e->said);
        e->said = NULL;
        publish(a, m);
    } else {
        install(a, NULL);
        prov_embedder_arrival(&at);
        if (*what || path)
            broken(a, m, _("memory is searched by words alone: %s"), err);
        else {
            m->state = at.coming ? AGT_MEANING_COMING : AGT_MEANING_NONE;
            m->percent = at.coming ? at.percent : 0;
            snprintf(m->problem, sizeof m->problem, "%s", at.problem);
            publish(a, m);
        }
    }
    free(path);
    free(what);
    return own != NULL;
}

int embedder_threads(const char *power)
{
    bool mains = false, off = false;
    DIR *d = opendir(power);
    for (struct dirent *f; d && (f = readdir(d));) {
        char err[Q_ERRLEN], *path = q_printf("%s/%s/online", power, f->d_name);
        q_buf b = { 0 };
        if (f->d_name[0] != '.' && access(path, R_OK) == 0 && q_read_file(path, &b, 64, err) == Q_OK && b.len) {
            mains |= b.p[0] == '1';
            off |= b.p[0] == '0';
        }
        q_buf_free(&b);
        free(path);
    }
    if (d)
        closedir(d);
    return off && !mains ? 1 : 0;
}

/* ---- vectors ---- */
/* One round of making them. */
typedef struct making {
    agt *a;
    prov_embedder *own;
    agt_meaning *m;
    int64_t had, busy_ns, from_ns;       /* vectors before; time at work, and since when */
} making;

/* Before each step: waits until nothing else is to be done. */
static bool step(void *user)
{
    making *w = user;
    embedder *e = &w->a->embedder;
    w->busy_ns += q_now_ns() - w->from_ns;
    bool go = desk_leisure(&w->a->desk, &e->change);
    if (go && e->before)
        e->before(e->before_user, e->steps);
    e->steps += go;
    w->from_ns = q_now_ns();
    return go;
}

static bool between(void *user) { return desk_leisure(&((making *)user)->a->desk, &((making *)user)->a->embedder.change); }

static int embed(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *err)
{
    making *w = user;
    w->from_ns = q_now_ns();
    int rc = prov_embedder_run(w->own, question, text, len, n, out, step, w, err);
    w->busy_ns += q_now_ns() - w->from_ns;
    return rc;
}

static void progress(void *user, int64_t done, int64_t all)
{
    making *w = user;
    w->m->done = w->had + done;
    w->m->all = w->had + all;
    w->m->left_s = done > 0 ? (double)(all - done) * (double)w->busy_ns / 1e9 / (double)done : -1;
    publish(w->a, w->m);
}

/* How many there are and how many are owed. */
static int count(agt *a, const prov_embedder_info *i, agt_meaning *m, char *err)
{
    int64_t id, owing[2] = { 0 };
    mem_embedder v = { 0 };
    int rc = mem_embedder_for(a->store, i->id, i->dim, &id, err);
    if (rc == Q_OK)
        rc = mem_vectors_owing(a->store, id, owing, err);
    if (rc == Q_OK)
        rc = mem_embedder_get(a->store, id, &v, err);
    m->done = v.chunks + v.messages;
    m->all = m->done + owing[MEM_CHUNK] + owing[MEM_CHAT];
    m->left_s = -1;
    mem_embedder_free(&v);
    return rc;
}

/* How far another process is: a row, not all passages. */
static int glance(agt *a, const prov_embedder_info *i, agt_meaning *m, char *err)
{
    int64_t id;
    mem_embedder v = { 0 };
    int rc = mem_embedder_for(a->store, i->id, i->dim, &id, err);
    if (rc == Q_OK)
        rc = mem_embedder_get(a->store, id, &v, err);
    if (rc == Q_OK)
        m->done = v.chunks + v.messages;
    m->all = m->done > m->all ? m->done : m->all;
    mem_embedder_free(&v);
    return rc;
}

static int round_of(agt *a, const char *path, agt_meaning *m, int64_t *made, char *err)
{
    making w = { .a = a, .m = m, .had = m->done };
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), a->embedder.niceness);      /* of this thread; those it starts take it */
    int rc = prov_embedder_open(path, embedder_threads("/sys/class/power_supply"), &w.own, err);
    if (rc < 0)
        return rc;
    const prov_embedder_info *i = prov_embedder_about(w.own);
    rag_embed_opts o = { .go = between, .progress = progress, .user = &w };
    if (strcmp(i->id, m->id) != 0)
        rc = q_fail(err, Q_FORMAT, _("%s is another embedding model now: the next start takes it"), path);
    else
        rc = rag_embed_owed(a->store, &(rag_embedder){ .id = i->id, .dim = i->dim, .embed = embed, .user = &w }, &o, made, err);
    prov_embedder_close(w.own);
    return rc;
}

/* Who makes them: *mine, as far as anything is owed. */
static int take_on(agt *a, const prov_embedder_info *i, agt_meaning *m, bool *mine, char *err)
{
    int rc = Q_OK;
    if (m->state == AGT_MEANING_ELSEWHERE && !*mine) {
        rc = mem_claim(a->store, MEM_CLAIM_EMBED, mine, err);
        if (rc < 0 || !*mine)
            return rc < 0 ? rc : glance(a, i, m, err);
    }
    rc = count(a, i, m, err);
    if (rc == Q_OK && m->done < m->all && !*mine)
        rc = mem_claim(a->store, MEM_CLAIM_EMBED, mine, err);
    m->state = m->done == m->all ? AGT_MEANING_READY : *mine ? AGT_MEANING_MAKING : AGT_MEANING_ELSEWHERE;
    return rc;
}

/* Makes all that is owed. Returns after how many ms it is to be looked at again. */
static int make(agt *a, agt_meaning *m)
{
    embedder *e = &a->embedder;
    char err[Q_ERRLEN];
    const prov_embedder_info *i = prov_embedder_about(e->ask);
    bool mine = false;
    int rc = Q_OK;
    for (int64_t made = 1; rc == Q_OK && made > 0;) {
        if (!desk_leisure(&a->desk, &e->change))
            break;
        made = 0;
        rc = take_on(a, i, m, &mine, err);
        m->problem[0] = 0;
        if (rc == Q_OK)
            publish(a, m);
        if (rc == Q_OK && m->state == AGT_MEANING_MAKING)
            rc = round_of(a, i->path, m, &made, err);
    }
    if (mine)
        mem_claim_end(a->store, MEM_CLAIM_EMBED);
    if (rc < 0 && rc != Q_CANCEL)
        broken(a, m, _("passages get no vectors for search by meaning now: %s"), err);
    return m->state == AGT_MEANING_BROKEN ? AGAIN_MS : m->state == AGT_MEANING_ELSEWHERE ? e->look_ms : IDLE_LOOKS * e->look_ms;
}

/* Until there may be something to make: a job ended here, or what others did to the file shows. */
static void rest(agt *a, uint64_t *ran, int64_t *version, int ms, bool watches)
{
    embedder *e = &a->embedder;
    uint64_t was = *ran;
    do
        desk_news(&a->desk, ran, ms, &e->change);
    while (watches && *ran == was && !desk_quits(&a->desk) && !atomic_load(&e->change) && mem_version(a->store) == *version);
    *version = mem_version(a->store);
}

static void *work(void *user)
{
    agt *a = user;
    embedder *e = &a->embedder;
    agt_meaning m;
    uint64_t ran = 0;
    int64_t version = -1;
    bool open = look(a, &m);
    has_looked(e);
    while (!desk_quits(&a->desk)) {
        bool none = m.state == AGT_MEANING_NONE || m.state == AGT_MEANING_COMING;
        int ms = open && e->makes ? make(a, &m) : none ? e->look_ms : -1;
        rest(a, &ran, &version, ms, open && m.state == AGT_MEANING_READY && e->makes);
        if (atomic_exchange(&e->change, false) || none)
            open = look(a, &m);
    }
    install(a, NULL);
    return NULL;
}

/* ---- its life ---- */
void embedder_open(embedder *e)
{
    pthread_mutex_init(&e->mu, NULL);
    pthread_mutex_init(&e->asking, NULL);
    pthread_cond_init(&e->looked, NULL);
    pthread_rwlock_init(&e->use, NULL);
    e->now.left_s = -1;
    e->niceness = NICENESS;
    e->look_ms = LOOK_MS;
}

void embedder_start(agt *a, bool on, bool makes)
{
    embedder *e = &a->embedder;
    e->on = on;
    e->makes = makes;
    e->running = on && pthread_create(&e->thread, NULL, work, a) == 0;
    e->on = e->running;                  /* without a thread: by words alone */
}

void embedder_changed(agt *a) { desk_stir(&a->desk, &a->embedder.change); }

void embedder_close(agt *a)
{
    embedder *e = &a->embedder;
    if (e->running)
        pthread_join(e->thread, NULL);
    free(e->said);
    pthread_cond_destroy(&e->looked);
    pthread_mutex_destroy(&e->mu);
    pthread_mutex_destroy(&e->asking);
    pthread_rwlock_destroy(&e->use);
}
