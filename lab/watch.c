/* lab/watch: what a person watches: the running answer's window, a stored answer's, and the usual rates of every model that
 * was seen. Everything under one mutex; the store is never asked while it is held. */
#include "lab/parts.h"
#include "memory/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int lab_max_k(int n_expert) { return n_expert < 64 ? n_expert : 64; }

lab_watch *lab_watch_new(struct mem_store *store)
{
    lab_watch *w = q_alloc(sizeof *w);
    pthread_mutex_init(&w->mu, NULL);
    w->store = store;
    window_shape(&w->live, &(lab_shape){ 0 }, 1);
    window_shape(&w->stored, &(lab_shape){ 0 }, 1);
    return w;
}

void lab_watch_free(lab_watch *w)
{
    if (!w)
        return;
    while (w->usual) {
        lab_usual *u = w->usual;
        w->usual = u->next;
        usual_free(u);
    }
    free(w->next.odds);
    free(w->taught.cell);
    window_free(&w->live);
    window_free(&w->stored);
    pthread_mutex_destroy(&w->mu);
    free(w);
}

/* ---- usual rates ---- */
static lab_usual *find(const lab_watch *w, const char *key, int n_layer, int n_expert)
{
    for (lab_usual *u = w->usual; u; u = u->next)
        if (strcmp(u->key, key) == 0 && (n_layer == 0 || (u->n_layer == n_layer && u->n_expert == n_expert)))
            return u;
    return NULL;
}

/* From the store, where it is not in memory yet. Without the mutex. */
static void fetch(lab_watch *w, uint64_t model, const char *k)
{
    char key[USUAL_KEY];
    usual_key(model, k, key);
    pthread_mutex_lock(&w->mu);
    bool had = find(w, key, 0, 0) != NULL;
    pthread_mutex_unlock(&w->mu);
    char *text = had || !w->store ? NULL : mem_setting_get(w->store, key);
    if (!text)
        return;
    lab_usual *u = usual_new(key, 0, 0);
    bool good = usual_parse(u, text);
    free(text);
    pthread_mutex_lock(&w->mu);
    if (good && !find(w, key, 0, 0)) {
        u->next = w->usual;
        w->usual = u;
        u = NULL;
    }
    pthread_mutex_unlock(&w->mu);
    usual_free(u);
}

static lab_usual *get(lab_watch *w, uint64_t model, const char *k, const lab_shape *s)
{
    char key[USUAL_KEY];
    usual_key(model, k, key);
    lab_usual *u = find(w, key, s->n_layer, s->n_expert);
    if (u)
        return u;
    u = usual_new(key, s->n_layer, s->n_expert);
    u->next = w->usual;
    w->usual = u;
    return u;
}

/* The best known rates of this model at another k. */
static const lab_usual *relative(const lab_watch *w, uint64_t model, const char *k, int n_layer, int n_expert)
{
    char own[USUAL_KEY], any[USUAL_KEY];
    usual_key(model, k, own);
    usual_key(model, "", any);
    const lab_usual *best = NULL;
    for (const lab_usual *u = w->usual; u; u = u->next)
        if (strncmp(u->key, any, strlen(any)) == 0 && strcmp(u->key, own) != 0 && u->n_layer == n_layer && u->n_expert == n_expert &&
            u->n >= USUAL_NEED && (!best || u->n > best->n))
            best = u;
    return best;
}

void lab_watch_save(lab_watch *w)
{
    for (;;) {
        char key[USUAL_KEY], *text = NULL, err[Q_ERRLEN];
        pthread_mutex_lock(&w->mu);
        for (lab_usual *u = w->usual; u && !text; u = u->next)
            if (u->dirty) {
                u->dirty = false;
                memcpy(key, u->key, sizeof key);
                text = usual_text(u);
            }
        pthread_mutex_unlock(&w->mu);
        if (!text)
            return;
        if (w->store)
            mem_setting_put(w->store, key, text, err);   /* learnt again if the disk refuses */
        free(text);
    }
}

/* ---- the running answer ---- */
static bool same_odds(const float *a, const float *b, int cells)
{
    return a && b ? memcmp(a, b, sizeof *a * (size_t)cells) == 0 : a == b;
}

static void take_next(lab_watch *w)
{
    free(w->live.by.odds);
    w->live.by = w->next;
    memset(&w->next, 0, sizeof w->next);
    w->fresh = false;
}

void lab_watch_config(lab_watch *w, const lab_shape *s, const lab_how *h)
{
    fetch(w, h->model, h->k);
    if (h->k_default)
        fetch(w, h->model, h->k_default);
    lab_ruler by = { 0 };
    by.bent = ruler_read(h->config, s->first, s->n_layer, s->n_expert, &by.odds);
    pthread_mutex_lock(&w->mu);
    lab_window *r = &w->live;
    if (w->model != h->model)
        w->guard = (lab_guard){ .n = 0 };
    w->model = h->model;
    w->hash = h->hash;
    if (r->n_layer != s->n_layer || r->n_expert != s->n_expert || r->n_all != s->n_all || r->first != s->first)
        window_shape(r, s, lab_max_k(s->n_expert));
    by.u = s->n_layer > 0 ? get(w, h->model, h->k, s) : NULL;
    by.from = s->n_layer > 0 ? relative(w, h->model, h->k, s->n_layer, s->n_expert) : NULL;
    /* Another k or other bans: tokens made before would look like signs. But what is shown stays until there is something
     * new. */
    bool changed = by.u != r->by.u || by.bent != r->by.bent || !same_odds(by.odds, r->by.odds, s->n_layer * s->n_expert);
    free(w->next.odds);
    w->next = by;
    w->fresh = changed;
    if (!changed || !r->any) {
        take_next(w);
        if (!r->any)
            r->k = h->k_max;
    }
    r->version++;
    pthread_mutex_unlock(&w->mu);
}

void lab_watch_unload(lab_watch *w)
{
    pthread_mutex_lock(&w->mu);
    free(w->next.odds);
    memset(&w->next, 0, sizeof w->next);
    w->fresh = false;
    w->no_baseline = false;
    window_shape(&w->live, &(lab_shape){ 0 }, 1);
    pthread_mutex_unlock(&w->mu);
}

void lab_watch_clear(lab_watch *w)
{
    pthread_mutex_lock(&w->mu);
    w->show_stored = false;
    window_clear(&w->live);
    pthread_mutex_unlock(&w->mu);
}

void lab_watch_add(lab_watch *w, const lab_position *p)
{
    pthread_mutex_lock(&w->mu);
    lab_window *r = &w->live;
    if (w->live_wanted)
        w->show_stored = w->live_wanted = false;
    if (w->fresh) {
        int seen = r->n_tokens;
        window_clear(r);
        r->n_tokens = seen;
        take_next(w);
    }
    if (p->n_layer == r->n_all && r->n_layer > 0)
        window_add(r, p, !r->by.bent && p->config == w->hash);
    pthread_mutex_unlock(&w->mu);
}

void lab_watch_live(lab_watch *w)
{
    pthread_mutex_lock(&w->mu);
    if (w->live.any)
        w->show_stored = false;
    w->live_wanted = true;               /* an empty window is nobody's wish: the stored answer stays until it fills */
    pthread_mutex_unlock(&w->mu);
}

/* Under the lock. What adapters change now says nothing of a stored answer. */
static void mark_taught(const lab_watch *w, lab_view *io)
{
    if (!w->taught.cell || w->show_stored || io->n_expert != w->taught.n_expert || io->first_layer + io->n_layer > w->taught.n_layer)
        return;
    for (int l = 0; l < io->n_layer; l++)
        for (int e = 0; e < io->n_expert; e++)
            io->cell[(size_t)l * (size_t)io->n_expert + (size_t)e].taught = w->taught.cell[(size_t)(l + io->first_layer) * (size_t)io->n_expert + (size_t)e] != 0;
}

void lab_watch_get(lab_watch *w, lab_view *io)
{
    pthread_mutex_lock(&w->mu);
    const lab_window *r = w->show_stored ? &w->stored : &w->live;
    uint64_t version = r->version * 2 + (w->show_stored ? 1 : 0) + 2;
    if (io->version != version) {
        window_view(r, io);
        for (int i = 0; i < w->guard.tried && (!w->show_stored || w->stored_model == w->model); i++) {
            int l = w->guard.row[i].layer - io->first_layer, e = w->guard.row[i].expert;
            if (w->guard.row[i].rise >= LAB_GUARD_BREAKS && l >= 0 && l < io->n_layer && e < io->n_expert)
                io->cell[(size_t)l * (size_t)io->n_expert + (size_t)e].breaks = true;
        }
        mark_taught(w, io);
        io->stored = w->show_stored;
        io->version = version;
    }
    pthread_mutex_unlock(&w->mu);
}

void lab_watch_guard(lab_watch *w, const lab_guard *g)
{
    pthread_mutex_lock(&w->mu);
    w->guard = *g;
    w->live.version++;
    w->stored.version++;
    pthread_mutex_unlock(&w->mu);
}

void lab_watch_taught(lab_watch *w, const uint8_t *changed, int n_layer, int n_expert)
{
    size_t n = changed && n_layer > 0 && n_expert > 0 ? (size_t)n_layer * (size_t)n_expert : 0;
    pthread_mutex_lock(&w->mu);
    bool same = n ? w->taught.cell && w->taught.n_layer == n_layer && w->taught.n_expert == n_expert && memcmp(w->taught.cell, changed, n) == 0 : !w->taught.cell;
    if (!same) {
        free(w->taught.cell);
        w->taught.cell = n ? q_alloc(n) : NULL;
        if (n) memcpy(w->taught.cell, changed, n);
        w->taught.n_layer = n_layer;
        w->taught.n_expert = n_expert;
        w->live.version++;
    }
    pthread_mutex_unlock(&w->mu);
}

/* ---- a stored answer ---- */
typedef struct extent { int first, last, n_expert, k; } extent;

/* Routed layers are those that name an expert; k is the last token's. */
static extent measure(const mem_trace *t)
{
    extent x = { -1, -1, 0, 0 };
    for (int i = 0; i < t->n; i++)
        for (int l = 0; l < t->n_layer; l++) {
            const uint16_t *id = t->ids + ((size_t)i * (size_t)t->n_layer + (size_t)l) * (size_t)t->max_k;
            int n = 0;
            for (int s = 0; s < t->max_k; s++)
                if (id[s] != LAB_NONE) {
                    n++;
                    x.n_expert = id[s] + 1 > x.n_expert ? id[s] + 1 : x.n_expert;
                }
            if (!n)
                continue;
            x.first = x.first < 0 || l < x.first ? l : x.first;
            x.last = l > x.last ? l : x.last;
            if (i == t->n - 1)
                x.k = n > x.k ? n : x.k;
        }
    return x;
}

static void show(lab_watch *w, const mem_trace *t, const mem_message *m)
{
    enum { CELLS_MAX = 1 << 21 };        /* no model has as many; a file that somebody changed may say so */
    extent x = measure(t);
    if (x.first < 0 || (int64_t)(x.last - x.first + 1) * x.n_expert > CELLS_MAX)
        return;
    char k[24];
    snprintf(k, sizeof k, "%d", x.k);
    fetch(w, m->model_id, k);
    lab_shape s = { t->n_layer, x.first, x.last - x.first + 1, x.n_expert };
    pthread_mutex_lock(&w->mu);
    char key[USUAL_KEY];
    usual_key(m->model_id, k, key);
    lab_usual *u = find(w, key, 0, 0);
    if (u && (u->n_layer != s.n_layer || u->n_expert < s.n_expert))
        u = NULL;
    if (u)
        s.n_expert = u->n_expert;
    const lab_window *now = &w->live;
    if (m->model_id == w->model && now->n_all > 0 && (s.n_all != now->n_all || x.n_expert > now->n_expert)) {
        pthread_mutex_unlock(&w->mu);    /* not as the model is that it says it is of */
        return;
    }
    window_shape(&w->stored, &s, t->max_k);
    w->stored.by.u = u;
    w->stored.by.from = relative(w, m->model_id, k, s.n_layer, s.n_expert);
    if (m->n_config > 0)
        w->stored.by.bent = ruler_read(m->config[m->n_config - 1].json, s.first, s.n_layer, s.n_expert, &w->stored.by.odds);
    for (int i = 0; i < t->n; i++) {
        size_t row = (size_t)i * (size_t)t->n_layer, slot = row * (size_t)t->max_k;
        bool prompt = t->prompt[i];
        lab_position p = { .n_layer = t->n_layer, .max_k = t->max_k, .ids = t->ids + slot, .weights = prompt ? NULL : t->weights + slot,
                           .entropy = prompt ? NULL : t->entropy + row, .margin = prompt ? NULL : t->margin + row };
        window_add(&w->stored, &p, false);
    }
    w->stored_model = m->model_id;
    w->show_stored = true;
    w->live_wanted = false;
    pthread_mutex_unlock(&w->mu);
}

void lab_watch_stored(lab_watch *w, int64_t message)
{
    char err[Q_ERRLEN];
    mem_trace *t = NULL;
    mem_message m = { 0 };
    if (!w->store || mem_trace_get(w->store, message, &t, err) < 0)
        return;
    if (mem_message_get(w->store, message, &m, err) == Q_OK)
        show(w, t, &m);
    mem_message_free(&m);
    mem_trace_free(t);
}
