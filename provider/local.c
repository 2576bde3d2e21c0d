/* provider/local: a model in this process: opening it, its configurations, and requests that take turns over one timeline, the conversation. Owns
 * model, session and sampler, and the text of the last request with its answer, to evaluate it anew after a knob. */
#include "engine/adapter.h"
#include "provider/local.h"
#include "provider/answer.h"
#include "provider/many.h"
#include "provider/render.h"
#include "provider/weigh.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

typedef struct single {
    local *l;
    eng_session *s;
    talk_sampler sampler;
    enum prov_policy policy;             /* with which the settings in effect came */
    enum prov_policy asked;              /* of the next answer's prompt */
    bool stale;                          /* cells went when they came: the text must be evaluated again */
    eng_tokens text;                     /* the last request's prompt and its answer so far */
    uint64_t cursor;                     /* in the trace */
    const prov_hooks *hooks;             /* of what runs */
    talk *now;                           /* the running request, or NULL */
} single;

static local *of(prov *p) { return (local *)p; }
static const local *of_const(const prov *p) { return (const local *)p; }
static single *single_of(prov *p) { return of(p)->single; }
static enum eng_policy policy_of(enum prov_policy p) { return p == PROV_RECOMPUTE ? ENG_RECOMPUTE : ENG_CONTINUE; }

static prov_config *present(prov *p) { return local_wrap(of(p), local_settings(of(p), NULL)); }

static int set(prov *p, const prov_config *c, enum prov_policy policy, char *err)
{
    local *l = of(p);
    single *s = l->single;
    int rc = eng_session_config(s->s, local_conf(c), policy_of(policy), err);
    if (rc < 0)
        return rc;
    enum q_effect e = eng_config_diff(l->c, local_conf(c));
    s->stale |= e >= Q_EFFECT_POSITION || (e >= Q_EFFECT_ROUTING && policy == PROV_RECOMPUTE);
    s->policy = policy;
    local_take(l, eng_config_copy(local_conf(c)));
    if (s->now)
        s->now->c = l->c;
    return Q_OK;
}

/* ---- the prompt ---- */
unsigned local_rendered(const prov *p) { return of_const(p)->last.times; }

/* What is remembered, and the settings, have their own locks. */
static local *unlocked(const prov *p) { return (local *)(uintptr_t)p; }

static int render(const prov *p, const prov_request *r, bool bounded, eng_tokens *out, char *err)
{
    eng_config *c = local_settings(unlocked(p), r);
    *out = (eng_tokens){ .most = bounded ? render_most(c) : 0 };
    int rc = render_request(unlocked(p), c, r, out, err);
    eng_config_free(c);
    return rc;
}

static int count(const prov *p, const char *text, size_t n)
{
    char err[Q_ERRLEN];
    eng_config *c = local_settings(unlocked(p), NULL);
    eng_tokens t = { .most = render_most(c) };
    int tokens = eng_tokenize(of_const(p)->m, text, n, false, &t, err) == Q_OK ? t.n : n / 4 > (size_t)t.most ? (int)(n / 4) : t.most;
    eng_tokens_free(&t);
    eng_config_free(c);
    return tokens;
}

static int show(const prov *p, const prov_request *r, q_buf *out, char *err)
{
    const local *l = of_const(p);
    eng_tokens t;
    eng_detok d = { 0 };
    int rc = render(p, r, false, &t, err);
    for (int i = 0; i < t.n && rc >= 0; i++) {
        const char *name = eng_token_control(l->m, t.id[i]) ? eng_token_name(l->m, t.id[i]) : NULL;
        if (name) {
            eng_detok_end(&d, out);
            q_buf_puts(out, name);
        } else
            eng_detok_add(l->m, &d, t.id[i], out);
    }
    eng_detok_end(&d, out);
    eng_tokens_free(&t);
    return rc < 0 ? rc : Q_OK;
}

static int count_request(const prov *p, const prov_request *r, char *err)
{
    eng_tokens t;
    int rc = render(p, r, true, &t, err), n = t.n;
    eng_tokens_free(&t);
    return rc < 0 ? rc : n;
}

static int ids(const prov *p, const prov_request *r, int32_t **out, char *err)
{
    eng_tokens t;
    int rc = render(p, r, true, &t, err);
    *out = rc < 0 ? NULL : t.id;         /* taken */
    if (rc < 0)
        eng_tokens_free(&t);
    return rc < 0 ? rc : t.n;
}

static void spell(const prov *p, int32_t token, q_buf *out) { talk_spell(of_const(p)->m, token, out); }

/* ---- evaluation ---- */
static void fed(void *self, talk *t)
{
    single *s = self;
    if (s->hooks->position && t)
        eng_trace_read(s->s, &s->cursor, talk_position, t);
    else
        s->cursor = eng_trace_end(s->s);
}

static void prefill(void *user, int done, int total)
{
    single *s = user;
    if (s->hooks->prefill)
        s->hooks->prefill(s->hooks->user, done, total);
    fed(s, s->now);
}

static int sync_row(void *user, int pos, const float *logits, const uint16_t *id, const float *weights, int max_k)
{
    single *s = user;
    talk_row(s->now, pos, logits);
    if ((pos + 1) % 64 == 0 || pos + 1 == s->text.n)
        prefill(s, pos + 1, s->text.n);
    return atomic_load(&s->l->cancelled) ? Q_CANCEL : Q_OK;
}

/* Makes the session hold the text. */
static int sync(single *s, enum prov_policy policy, char *err)
{
    talk *t = s->now;
    int rc = t && t->anew ? eng_session_eval(s->s, s->text.id, s->text.n, 0, NULL, 0, sync_row, s, err)
                          : eng_session_sync(s->s, s->text.id, s->text.n, policy_of(policy), prefill, s, err);
    fed(s, t);
    s->stale = rc < 0;
    if (t)
        t->result->evaluated |= rc == Q_OK;
    if (s->hooks->prefilled)
        s->hooks->prefilled(s->hooks->user, t ? t->result : NULL);
    return rc;
}

static int prompt(void *self, talk *t, bool first, char *err)
{
    single *s = self;
    const int32_t *had = eng_session_tokens(s->s);
    int len = eng_session_length(s->s), *cached = &t->result->cached_tokens;
    while (first && had && !t->anew && *cached < len && *cached < s->text.n && had[*cached] == s->text.id[*cached])
        (*cached)++;
    enum prov_policy policy = first ? s->asked : s->policy;
    if (first)
        s->asked = PROV_CONTINUE;        /* the request's own is for its first answer */
    return sync(s, policy, err);
}

static bool stale(void *self) { return ((single *)self)->stale; }
static const float *logits(void *self) { return eng_session_logits(((single *)self)->s); }
static int room(void *self, const talk *t) { return eng_session_room(((single *)self)->s); }

static int push(void *self, talk *t, int32_t token, char *err)
{
    int rc = eng_session_push(((single *)self)->s, token, err);
    if (rc == Q_OK)
        eng_tokens_add(t->text, token);
    return rc;
}

static const talk_way way = { prompt, stale, push, logits, room, fed };

/* ---- requests ---- */
static int ask_under(prov *p, const prov_request *r, const prov_hooks *h, prov_result *out, char *err)
{
    local *l = of(p);
    single *s = l->single;
    eng_tokens prompt_ids;
    int rc = render(p, r, true, &prompt_ids, err);
    talk t = { .l = l, .r = r, .hooks = h, .c = l->c, .way = &way, .self = s, .sampler = &s->sampler, .text = &s->text };
    s->hooks = h;
    s->now = &t;
    s->asked = r->config ? PROV_RECOMPUTE : r->policy;
    if (rc == Q_OK)
        rc = talk_answer(&t, prompt_ids.id, prompt_ids.n, out, err);
    s->now = NULL;
    s->hooks = NULL;
    eng_tokens_free(&prompt_ids);
    return rc;
}

static int ask(prov *p, const prov_request *r, const prov_hooks *h, prov_result *out, char *err)
{
    if (!r->config)
        return ask_under(p, r, h, out, err);
    char why[Q_ERRLEN];
    prov_config *before = present(p);
    int rc = set(p, r->config, PROV_RECOMPUTE, err);
    if (rc == Q_OK)
        rc = ask_under(p, r, h, out, err);
    set(p, before, PROV_RECOMPUTE, why);
    local_config_free(before);
    return rc;
}

static int renew(prov *p, const prov_hooks *h, char *err)
{
    single *s = single_of(p);
    s->hooks = h;
    int rc = s->text.n > 0 ? sync(s, PROV_RECOMPUTE, err) : Q_OK;
    s->hooks = NULL;
    return rc;
}

static void forget(prov *p)
{
    single *s = single_of(p);
    char err[Q_ERRLEN];
    eng_session_cut(s->s, 0, err);       /* nothing is always a part of it */
    s->text.n = 0;
    s->stale = false;
}

static void cancel(prov *p, bool on)
{
    atomic_store(&of(p)->cancelled, on);
    if (on)
        eng_session_cancel(single_of(p)->s);
    else
        eng_session_uncancel(single_of(p)->s);
}

/* ---- what is evaluated, in a file ---- */
static uint64_t state_bytes(prov *p, size_t n_note) { return eng_state_bytes(single_of(p)->s, n_note); }

static int state_save(prov *p, const char *path, const char *note, size_t n_note, prov_go *go, void *user, char *err)
{
    return eng_state_save(single_of(p)->s, path, note, n_note, go, user, err);
}

static int state_load(prov *p, const char *path, prov_go *go, void *user, char *err)
{
    single *l = single_of(p);
    int rc = eng_state_load(l->s, path, go, user, err);
    if (rc < 0)
        return rc;
    l->text.n = 0;
    for (int i = 0; i < eng_session_length(l->s); i++)
        eng_tokens_add(&l->text, eng_session_tokens(l->s)[i]);
    l->stale = false;
    return Q_OK;
}

int prov_state_look(const char *path, prov_state *out, char *err)
{
    eng_state e;
    int rc = eng_state_look(path, &e, err);
    *out = (prov_state){ .model = e.model, .config = e.config, .bytes = e.bytes, .tokens = e.tokens, .name = e.name, .device = e.device,
                         .settings = e.settings, .note = e.note, .n_note = e.n_note };   /* its texts are the caller's */
    return rc;
}

void prov_state_free(prov_state *s)
{
    free(s->name);
    free(s->device);
    free(s->settings);
    free(s->note);
    *s = (prov_state){ .bytes = 0 };
}

/* ---- numbers ---- */
static prov_room context(prov *p)
{
    single *l = single_of(p);
    int used = eng_session_length(l->s);
    eng_fetched f = eng_cache_fetched(eng_session_cache(l->s));
    eng_drafts d = eng_session_drafts(l->s);
    int states = 0;
    uint64_t each, kept = eng_cache_states(eng_session_cache(l->s), &states, &each);
    return (prov_room){ .states = kept, .n_states = states, .used = used, .text = l->text.n, .size = used + eng_session_room(l->s), .asked = f.asked, .fetched = f.fetched, .fetched_bytes = f.bytes, .fetch_wait_ns = f.wait_ns,
                        .from_disk = eng_model_ondisk(eng_cache_model(eng_session_cache(l->s)), &(eng_ondisk){ 0 }),
                        .drafted = d.drafted, .drafts_said = d.accepted, .drafts_rest = d.resting };
}

static int runs(prov *p, prov_mix *out, int max)
{
    enum { MOST = 64 };
    eng_mix m[MOST];
    int n = eng_session_runs(single_of(p)->s, m, max < MOST ? max : MOST);
    for (int i = 0; i < n; i++)
        out[i] = (prov_mix){ m[i].config, m[i].cells };
    return n;
}

static int mixture(prov *p, prov_mix *out, int max)
{
    enum { MOST = 64 };
    eng_mix m[MOST];
    int n = eng_session_mix(single_of(p)->s, m, max < MOST ? max : MOST);
    for (int i = 0; i < n && i < max && i < MOST; i++)
        out[i] = (prov_mix){ m[i].config, m[i].cells };
    return n;
}

static struct eng_cache *cache(prov *p) { return eng_session_cache(single_of(p)->s); }
static struct eng_session *session(prov *p) { return single_of(p)->s; }

static bool holds(prov *p, const int32_t *token, const int32_t *pos, int n)
{
    const int32_t *has = eng_session_tokens(single_of(p)->s);
    int length = eng_session_length(single_of(p)->s);
    for (int i = 0; i < n; i++)
        if (pos[i] < 0 || pos[i] >= length || has[pos[i]] != token[i])
            return false;
    return n > 0;
}

/* ---- opening ---- */
static void close_local(prov *p)
{
    local *l = of(p);
    many_close(l->many);
    if (l->single) {
        eng_session_free(l->single->s);
        eng_sampler_free(l->single->sampler.s);
        eng_tokens_free(&l->single->text);
        free(l->single);
    }
    eng_config_free(l->c);
    eng_model_free(l->m);
    free(l->shortened);
    free(l->recurrent);
    free(l->window);
    eng_tokens_free(&l->last.t);
    pthread_mutex_destroy(&l->last.mu);
    pthread_mutex_destroy(&l->mu);
    free(l);
}

/* What both have in common: the model, its settings, its texts. */
#define OF_THE_MODEL .close = close_local, .config_new = local_config_new, .config_copy = local_config_copy, .config_free = local_config_free, .config_set = local_config_set, \
    .config_get = local_config_get, .config_number = local_config_number, .config_nudge_k = local_config_nudge_k, .config_range = local_config_range, .config_fixed = local_config_fixed, \
    .config_is_default = local_config_is_default, .config_k = local_config_k, .config_label = local_config_label, .config_json = local_config_json, \
    .config_from_json = local_config_from_json, .config_hash = local_config_hash, .config_diff = local_config_diff, .config_cost = local_config_cost, .config_added = local_config_added, .present = present, \
    .count = count, .count_request = count_request, .show = show, .ids = ids, .spell = spell

static const prov_kind in_turn = {
    OF_THE_MODEL, .set = set, .ask = ask, .renew = renew, .forget = forget, .cancel = cancel, .context = context, .mixture = mixture, .runs = runs,
    .score = weigh_score, .judge = weigh_judge, .embed = weigh_embed, .cache = cache, .session = session, .holds = holds,
    .state_bytes = state_bytes, .state_save = state_save, .state_load = state_load,
};
static const prov_kind at_once = {
    OF_THE_MODEL, .set = many_set, .ask = many_ask, .cancel = many_cancel, .context = many_context, .load = many_load,
    .score = many_score, .judge = many_judge, .embed = many_embed,
};

static void describe(local *l)
{
    const eng_info *e = eng_model_info(l->m);
    l->recurrent = eng_recurrent_layers(l->m);
    l->window = eng_layer_windows(l->m, &l->sinks);
    const char *device = eng_model_device(l->m), *note = eng_model_device_note(l->m);
    snprintf(l->device, sizeof l->device, "%.*s", strcmp(device, "cpu") ? (int)strcspn(device, " ") : 0, device);
    l->base.info = (prov_info){ .device = l->device, .divided = { *note ? note : NULL, eng_model_device_fell(l->m) },
        .path = e->path, .name = e->name, .languages = e->languages ? e->languages : "", .note = e->frame.note, .eos = eng_template_token(l->m, true), .id = e->id,
        .file_bytes = e->file_bytes, .params = e->params, .n_layer = e->n_layer, .n_expert = e->n_expert,
        .first_moe_layer = e->first_moe_layer, .n_moe_layer = e->n_moe_layer, .n_group = e->groups.n, .n_group_used = e->groups.used, .n_ctx_train = e->n_ctx_train, .n_embd = e->n_embd, .n_head = e->n_head,
        .layers = { l->recurrent, l->window, l->sinks }, .chat = e->frame.chat, .thinks = e->frame.thinks, .carved = e->carved,
        .can = PROV_LIVE | (e->n_expert ? PROV_ROUTING : 0) | PROV_LOGPROBS | PROV_COUNT | PROV_RAW | PROV_N | PROV_EMBED | PROV_BEGIN | PROV_STATE | (e->frame.tools ? PROV_TOOLS : 0) | PROV_GRAMMAR | PROV_PER_REQUEST };
}

static int open_single(local *l, char *err)
{
    single *s = l->single ? l->single : (l->single = q_alloc(sizeof *s));
    s->l = l;
    int rc = eng_session_new(l->m, l->c, &s->s, err);
    if (rc < 0)
        return rc;
    s->sampler.s = eng_sampler_new(l->m);
    eng_sampler_watch(s->sampler.s, s->s);
    return Q_OK;
}

static int open_either(local *l, int streams, char *err) { return streams > 0 ? many_open(l, streams, &l->many, err) : open_single(l, err); }

/* A context that nobody asked for is as long as there is memory for its cells, and it is said. What else a cache takes is only known when one is made,
 * so from what fits beside nothing on each try is shorter by a sixteenth. rc, err: of the try before. */
static int open_shorter(local *l, int streams, int rc, char *err)
{
    enum { LEAST = 512, STEP = 64 };     /* tokens: less is no conversation */
    int own = (int)eng_config_number(l->c, "context.length"), n = eng_context_fits(l->m, l->c) / STEP * STEP;
    for (; rc == Q_NOMEM && n >= LEAST; n -= (n / 16 + STEP) / STEP * STEP) {
        char length[24], ignored[Q_ERRLEN];
        eng_config *c = eng_config_copy(l->c);
        snprintf(length, sizeof length, "%d", n);
        if (eng_config_set(c, "context.length", length, ignored) == Q_OK) local_take(l, c);
        else eng_config_free(c);
        rc = open_either(l, streams, err);
        if (rc == Q_OK)
            l->shortened = q_printf(_("the context is %d tokens instead of %d, for which there is no memory: more fit with kv.type q8_0, context.length sets it"), n, own);
        if (rc == Q_OK)
            l->base.info.shortened = (prov_short){ l->shortened, n };
    }
    return rc;
}

int local_open(const char *path, const prov_opts *o, prov **out, char *err)
{
    local *l = q_alloc(sizeof *l);
    eng_open_opts eo = { .progress = o->progress, .user = o->user, .weights_gib = o->weights_gib };
    prov_init(&l->base, o->streams > 0 ? &at_once : &in_turn);
    pthread_mutex_init(&l->last.mu, NULL);
    pthread_mutex_init(&l->mu, NULL);
    if (getrandom(&l->last.salt, sizeof l->last.salt, 0) != (ssize_t)sizeof l->last.salt)
        l->last.salt = (uint64_t)q_now_ns();
    bool sized = false;
    int rc = eng_model_open(path, &eo, &l->m, err);
    if (rc == Q_OK && o->adapters)
        rc = eng_adapters_apply(l->m, err);
    if (rc == Q_OK) {
        describe(l);
        prov_config *c = local_wrap(l, eng_config_new(l->m));
        rc = o->configure ? o->configure(o->user, c, err) : Q_OK;
        if (rc == Q_OK)
            local_take(l, eng_config_copy(local_conf(c)));
        sized = local_sized(c);
        local_config_free(c);
    }
    if (rc == Q_OK)
        rc = open_either(l, o->streams, err);
    if (rc == Q_NOMEM && l->c && !sized)
        rc = open_shorter(l, o->streams, rc, err);
    if (rc < 0) {
        prov_close(&l->base);
        return rc;
    }
    *out = &l->base;
    return Q_OK;
}

const q_knob *prov_knobs(int *n) { return eng_knobs(n); }
