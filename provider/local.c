/* provider/local: a model in this process: opening it, its configurations, and its requests over the engine's session. Owns
 * model, session and sampler, and the text of the last request with its answer, to evaluate it anew after a knob. */
#include "engine/engine.h"
#include "engine/grammar.h"
#include "engine/text.h"
#include "provider/generate.h"
#include "provider/kind.h"
#include "provider/local.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A prompt as tokens, under the name of what it is made of. */
typedef struct rendered { pthread_mutex_t mu; uint64_t salt, name; bool there; eng_tokens t; unsigned times; } rendered;

typedef struct local {
    prov base;
    eng_model *m;
    eng_session *s;
    eng_sampler *sampler;
    eng_config *c;                       /* in effect */
    int max_tokens;                      /* of c */
    enum prov_policy policy;             /* with which c came */
    bool stale;                          /* cells went when c came: the text must be evaluated again */
    eng_tokens text;                     /* the last request's prompt and its answer so far */
    uint64_t cursor;                     /* in the trace */
    rendered last;                       /* what was counted is asked next: it is rendered once */
    /* of the running request */
    const prov_hooks *hooks;
    prov_result *result;
    eng_detok detok;
    eng_calls *calls;                    /* what hears them in this answer, or NULL */
    struct hearing *hearing;
    bool opens;                          /* a thought may begin the answer */
    uint64_t held;                       /* names the grammar that the sampler was given last; 0: none */
    char device[16];
    atomic_bool cancelled;               /* as prov_cancel says; what runs beside the conversation looks at it */
} local;

typedef struct local_config { prov_config base; const local *p; eng_config *c; } local_config;

static local *of(prov *p) { return (local *)p; }
static const local *of_const(const prov *p) { return (const local *)p; }
static eng_config *conf(const prov_config *c) { return ((const local_config *)c)->c; }
static enum eng_policy policy_of(enum prov_policy p) { return p == PROV_RECOMPUTE ? ENG_RECOMPUTE : ENG_CONTINUE; }

/* ---- configurations ---- */
static prov_config *wrap(const local *l, eng_config *c /* taken */)
{
    local_config *o = q_alloc(sizeof *o);
    *o = (local_config){ { l->base.kind }, l, c };
    return &o->base;
}

static prov_config *config_new(const prov *p) { return wrap(of_const(p), eng_config_new(of_const(p)->m)); }
static prov_config *config_copy(const prov_config *c) { return wrap(((const local_config *)c)->p, eng_config_copy(conf(c))); }

static void config_free(prov_config *c)
{
    eng_config_free(conf(c));
    free(c);
}

static int config_set(prov_config *c, const char *name, const char *value, char *err) { return eng_config_set(conf(c), name, value, err); }
static const char *config_get(const prov_config *c, const char *name, q_buf *b) { return eng_config_get(conf(c), name, b); }
static double config_number(const prov_config *c, const char *name) { return eng_config_number(conf(c), name); }
static int config_nudge_k(prov_config *c, int delta) { return eng_config_nudge_k(conf(c), delta); }
static bool config_range(const prov_config *c, const char *name, double *min, double *max) { return eng_config_range(conf(c), name, min, max); }
static bool config_is_default(const prov_config *c, const char *name) { return eng_config_is_default(conf(c), name); }
static int config_k(const prov_config *c) { return ((const local_config *)c)->p->base.info.n_expert ? eng_config_k(conf(c)) : 0; }
static const char *config_label(const prov_config *c, q_buf *b) { return eng_config_label(conf(c), b); }
static char *config_json(const prov_config *c) { return eng_config_json(conf(c)); }
static int config_from_json(prov_config *c, const char *json, char *err) { return eng_config_from_json(conf(c), json, err); }
static uint64_t config_hash(const prov_config *c, bool all) { return all ? eng_config_hash_all(conf(c)) : eng_config_hash(conf(c)); }
static enum q_effect config_diff(const prov_config *a, const prov_config *b) { return eng_config_diff(conf(a), conf(b)); }

static prov_cost config_cost(const prov_config *c)
{
    eng_cost e = eng_model_cost(((const local_config *)c)->p->m, conf(c));
    return (prov_cost){ e.params, e.bytes_layers + e.bytes_head };
}

static void take_config(local *l, eng_config *c /* taken */)
{
    eng_config_free(l->c);
    l->c = c;
    l->max_tokens = (int)eng_config_number(c, "sampler.max_tokens");
}

static int set(prov *p, const prov_config *c, enum prov_policy policy, char *err)
{
    local *l = of(p);
    int rc = eng_session_config(l->s, conf(c), policy_of(policy), err);
    if (rc < 0)
        return rc;
    enum q_effect e = eng_config_diff(l->c, conf(c));
    l->stale |= e >= Q_EFFECT_POSITION || (e >= Q_EFFECT_ROUTING && policy == PROV_RECOMPUTE);
    l->policy = policy;
    take_config(l, eng_config_copy(conf(c)));
    return Q_OK;
}

static prov_config *present(prov *p) { return wrap(of(p), eng_config_copy(of(p)->c)); }

/* ---- the prompt ---- */
/* What begins has been thought about. */
static const char *thinks(const local *l, const prov_request *r, q_buf *b)
{
    return r->n_begin ? "off" : r->think ? r->think : eng_config_get(l->c, "think", b);
}

static int render_frame(const local *l, const prov_request *r, eng_tokens *out, char *err)
{
    if (r->raw) {                        /* the opening token, where the family has one */
        int rc = eng_template(l->m, NULL, 0, false, -1, out, err);
        return rc < 0 ? rc : eng_tokenize(l->m, r->raw, r->n_raw, false, out, err);
    }
    static const enum eng_role role[] = { [PROV_SYSTEM] = ENG_SYSTEM, [PROV_USER] = ENG_USER, [PROV_ASSISTANT] = ENG_ASSISTANT, [PROV_TOOL] = ENG_TOOL };
    eng_message *m = q_alloc(sizeof *m * (size_t)(r->n_message + 1));
    eng_more *more = q_alloc(sizeof *more * (size_t)(r->n_message + 1));
    eng_call *call = q_alloc(sizeof *call * (size_t)(r->n_call + 1));
    eng_tool *tool = q_alloc(sizeof *tool * (size_t)(r->n_tool + 1));
    for (int i = 0; i < r->n_tool; i++)
        tool[i] = (eng_tool){ r->tool[i].name, r->tool[i].help, r->tool[i].schema };
    for (int i = 0, k = 0; i < r->n_message; i++) {
        const prov_message *from = &r->message[i];
        more[i] = (eng_more){ .call = call + k, .id = from->role == PROV_TOOL ? from->call : NULL };
        for (; k < r->n_call && r->call[k].message == i; k++, more[i].n_call++)
            call[k] = (eng_call){ r->call[k].call.id, r->call[k].call.name, r->call[k].call.arguments };
        for (int c = 0; c < k && more[i].id; c++)
            if (call[c].id && strcmp(call[c].id, more[i].id) == 0)
                more[i].name = call[c].name;
        m[i] = (eng_message){ role[from->role], from->text, from->n, more[i].n_call || more[i].id ? &more[i] : NULL };
    }
    q_buf b = { 0 };
    const char *think = thinks(l, r, &b);
    const eng_talk t = { .message = m, .n = r->n_message, .tool = tool, .n_tool = r->n_tool, .reply = true,
                         .think = strcmp(think, "on") == 0 ? 1 : strcmp(think, "off") == 0 ? 0 : -1 };
    int rc = eng_template_talk(l->m, &t, out, err);
    q_buf_free(&b);
    free(tool);
    free(call);
    free(more);
    free(m);
    return rc;
}

/* The answer's given beginning stands behind the frame, as tokens of its own: so they came when the model said them. */
static int render_begin(const local *l, const prov_request *r, eng_tokens *out, char *err)
{
    return r->n_begin ? eng_tokenize(l->m, r->begin, r->n_begin, false, out, err) : Q_OK;
}

static int render_anew(const local *l, const prov_request *r, eng_tokens *out, char *err)
{
    int rc = render_frame(l, r, out, err);
    return rc < 0 ? rc : render_begin(l, r, out, err);
}

/* h and a text that may be NULL. */
static uint64_t named(const char *s, uint64_t h) { return s ? q_hash64(s, strlen(s), h) : h; }

/* Salted, so that nobody can write two prompts of one name. */
static uint64_t name_of(const local *l, const prov_request *r)
{
    q_buf b = { 0 };
    const char *think = thinks(l, r, &b);
    uint64_t h = q_hash64(think, strlen(think), l->last.salt);
    q_buf_free(&b);
    if (r->n_begin)
        h = q_hash64(r->begin, r->n_begin, h + 2);
    if (r->raw)
        return q_hash64(r->raw, r->n_raw, h + 1);
    for (int i = 0; i < r->n_message; i++) {
        const uint64_t head[2] = { (uint64_t)r->message[i].role, r->message[i].n };
        h = named(r->message[i].call, q_hash64(r->message[i].text, r->message[i].n, q_hash64(head, sizeof head, h)));
    }
    for (int i = 0; i < r->n_tool; i++)
        h = named(r->tool[i].name, named(r->tool[i].help, named(r->tool[i].schema, h + 3)));
    for (int i = 0; i < r->n_call; i++)
        h = named(r->call[i].call.id, named(r->call[i].call.name, named(r->call[i].call.arguments, h + 4 + (uint64_t)r->call[i].message)));
    return h;
}

static int render(const local *from, const prov_request *r, eng_tokens *out, char *err)
{
    local *l = (local *)(uintptr_t)from; /* what is remembered has its own lock */
    rendered *last = &l->last;
    int rc = Q_OK;
    pthread_mutex_lock(&last->mu);
    uint64_t name = name_of(l, r);
    if (!last->there || last->name != name) {
        eng_tokens_free(&last->t);
        last->t = (eng_tokens){ .most = out->most };
        rc = render_anew(l, r, &last->t, err);
        last->there = rc >= 0;
        last->name = name;
        last->times++;
    }
    for (int i = 0; i < last->t.n && rc >= 0; i++)
        eng_tokens_add(out, last->t.id[i]);
    pthread_mutex_unlock(&last->mu);
    return rc;
}

unsigned local_rendered(const prov *p) { return of_const(p)->last.times; }

/* So many tokens need not be told apart any more: none of it fits. */
static int far_too_many(const local *l) { return 4 * (eng_session_length(l->s) + eng_session_room(l->s)); }

static int count(const prov *p, const char *text, size_t n)
{
    char err[Q_ERRLEN];
    eng_tokens t = { .most = far_too_many(of_const(p)) };
    int tokens = eng_tokenize(of_const(p)->m, text, n, false, &t, err) == Q_OK ? t.n : n / 4 > (size_t)t.most ? (int)(n / 4) : t.most;
    eng_tokens_free(&t);
    return tokens;
}

static int show(const prov *p, const prov_request *r, q_buf *out, char *err)
{
    const local *l = of_const(p);
    eng_tokens t = { 0 };
    eng_detok d = { 0 };
    int rc = render(l, r, &t, err);
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
    eng_tokens t = { .most = far_too_many(of_const(p)) };
    int rc = render(of_const(p), r, &t, err), n = t.n;
    eng_tokens_free(&t);
    return rc < 0 ? rc : n;
}

static int ids(const prov *p, const prov_request *r, int32_t **out, char *err)
{
    eng_tokens t = { .most = far_too_many(of_const(p)) };
    int rc = render(of_const(p), r, &t, err);
    *out = rc < 0 ? NULL : t.id;         /* taken */
    if (rc < 0)
        eng_tokens_free(&t);
    return rc < 0 ? rc : t.n;
}

/* ---- evaluation ---- */
static bool tell(void *user, const eng_trace_rec *r)
{
    const local *l = user;
    prov_position p = { r->token, r->pos, r->config, r->prompt, r->n_layer, r->max_k, r->ids, r->weights, r->entropy, r->margin };
    l->hooks->position(l->hooks->user, &p);
    return true;
}

static void fed(void *self)
{
    local *l = self;
    if (l->hooks->position)
        eng_trace_read(l->s, &l->cursor, tell, l);
    else
        l->cursor = eng_trace_end(l->s);
}

static void prefill(void *user, int done, int total)
{
    local *l = user;
    if (l->hooks->prefill)
        l->hooks->prefill(l->hooks->user, done, total);
    fed(l);
}

/* Makes the session hold the text. */
static int sync(local *l, enum prov_policy policy, char *err)
{
    int rc = eng_session_sync(l->s, l->text.id, l->text.n, policy_of(policy), prefill, l, err);
    fed(l);
    l->stale = rc < 0;
    if (l->result)
        l->result->evaluated |= rc == Q_OK;
    if (l->hooks->prefilled)
        l->hooks->prefilled(l->hooks->user, l->result);
    return rc;
}

/* ---- as a source of tokens ---- */
static int ready(void *self, char *err)
{
    local *l = self;
    return l->stale ? sync(l, l->policy, err) : Q_OK;
}

static int room(void *self) { return eng_session_room(((local *)self)->s); }

static int choose(void *self, gen_token *out, char *err)
{
    local *l = self;
    const float *logits = eng_session_logits(l->s);
    if (!logits)
        return q_fail(err, Q_ERR, _("the session lost its place: send the question again"));
    eng_sampler_part(l->sampler, l->result->thinking ? ENG_PART_THOUGHT : l->opens && l->result->tokens == 0 ? ENG_PART_OPENING : ENG_PART_TEXT);
    eng_choice c = eng_sample(l->sampler, l->c, logits);
    if (c.token == ENG_NO_TOKEN && c.p == 0)
        return q_fail(err, Q_ERR, _("the answer so far does not fit the grammar, or this model has no token that would go on in it: change sampler.grammar, or set it off"));
    if (c.token == ENG_NO_TOKEN) {
        *out = (gen_token){ .id = -1, .logprob = (double)NAN, .end = true };
        return Q_OK;
    }
    *out = (gen_token){ .id = c.token, .logprob = (double)c.logprob, .end = eng_token_end(l->m, c.token) };
    if (!out->end)
        eng_sampler_accept(l->sampler, c.token);
    return Q_OK;
}

static void spell(void *self, int32_t token, q_buf *out)
{
    local *l = self;
    if (token < 0) {
        eng_detok_end(&l->detok, out);
        return;
    }
    if (eng_token_control(l->m, token) && (eng_token_thinks(l->m, token) || (l->calls && eng_calls_hears(l->m, token)))) {
        eng_detok_end(&l->detok, out);
        q_buf_puts(out, eng_token_name(l->m, token));
    } else
        eng_detok_add(l->m, &l->detok, token, out);
}

static int push(void *self, int32_t token, char *err)
{
    local *l = self;
    int rc = eng_session_push(l->s, token, err);
    if (rc == Q_OK)
        eng_tokens_add(&l->text, token);
    return rc;
}

static long stops(void *self, const char *text, size_t n) { return eng_stop_scan(((local *)self)->c, text, n); }
static int max_tokens(void *self) { return ((local *)self)->max_tokens; }

static int budget(void *self) { return (int)eng_config_number(((local *)self)->c, "think.limit"); }

static int close_thought(void *self, int32_t *out, int max)
{
    local *l = self;
    char err[Q_ERRLEN], *text = q_printf("\n%s\n\n", eng_think_close);
    eng_tokens t = { .most = 64 };
    int n = eng_tokenize(l->m, text, strlen(text), true, &t, err) < 0 ? 0 : t.n < max ? t.n : max;
    memcpy(out, t.id, sizeof *out * (size_t)n);
    free(text);
    eng_tokens_free(&t);
    return n;
}

/* ---- calls of tools ---- */
typedef struct hearing { const prov_hooks *hooks; int answer, n; q_buf *text, *call, *think; } hearing;

static void on_said(void *user, enum eng_said kind, const char *p, size_t n)
{
    const hearing *h = user;
    q_buf_add(kind == ENG_SAID_CALL ? h->call : kind == ENG_SAID_THOUGHT ? h->think : h->text, p, n);
}

/* Templates want ids of nine letters and digits (Mistral's refuses others). */
static void on_call(void *user, const eng_call *c)
{
    hearing *h = user;
    char id[16];
    snprintf(id, sizeof id, "call%05d", ++h->n % 100000);
    const prov_call out = { c->id && *c->id ? c->id : id, c->name, c->arguments };
    if (h->hooks->call)
        h->hooks->call(h->hooks->user, h->answer, &out);
}

static void on_bad(void *user, const char *sentence, const char *body)
{
    const eng_call c = { NULL, "", body };
    on_call(user, &c);
}

static bool hear(void *self, const char *p, size_t n, q_buf *text, q_buf *call, q_buf *think)
{
    local *l = self;
    l->hearing->text = text;
    l->hearing->call = call;
    l->hearing->think = think;
    if (n)
        eng_calls_add(l->calls, p, n);
    else
        eng_calls_end(l->calls);
    return l->hearing->n > 0;
}

/* ---- requests ---- */
static uint64_t seed_of(const local *l, uint64_t wanted)
{
    uint64_t s = wanted ? wanted : (uint64_t)eng_config_number(l->c, "sampler.seed");
    if (!s && getrandom(&s, sizeof s, 0) != (ssize_t)sizeof s)
        s = (uint64_t)q_now_ns();
    return s & ((1ull << 53) - 1);       /* the knob's range: what a JSON number holds exactly */
}

/* Penalties look at the answer's own tokens alone: those of the prompt would hold back the frame's end of a turn, and what a
 * fed passage or the question says would be avoided instead of quoted. */
static void start_sampler(local *l, uint64_t seed)
{
    char text[32], err[Q_ERRLEN];
    eng_config *c = eng_config_copy(l->c);
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    eng_config_set(c, "sampler.seed", text, err);
    eng_sampler_reset(l->sampler, c);
    eng_config_free(c);
}

/* A given beginning is the answer's own too. */
static int accept_begin(local *l, const prov_request *r, char *err)
{
    eng_tokens t = { .most = far_too_many(l) };
    int rc = render_begin(l, r, &t, err);
    for (int i = 0; i < t.n && rc >= 0; i++)
        eng_sampler_accept(l->sampler, t.id[i]);
    eng_tokens_free(&t);
    return rc < 0 ? rc : Q_OK;
}

static int answer_heard(local *l, const prov_request *r, int i, gen_source *s, char *err)
{
    hearing h = { .hooks = l->hooks, .answer = i };
    const eng_heard to = { &h, on_said, on_call, on_bad };
    eng_tool *tool = q_alloc(sizeof *tool * (size_t)(r->n_tool + 1));
    for (int k = 0; k < r->n_tool; k++)
        tool[k] = (eng_tool){ r->tool[k].name, r->tool[k].help, r->tool[k].schema };
    l->calls = r->raw || r->n_begin ? NULL : eng_calls_new(l->m, tool, r->n_tool, &to);
    l->hearing = &h;
    if (l->calls)
        s->hear = hear;
    int rc = gen_answer(s, l->hooks, i, l->result, err);
    eng_calls_free(l->calls);
    l->calls = NULL;
    l->hearing = NULL;
    free(tool);
    return rc;
}

/* One answer to the prompt that stands in l->text. */
static int answer(local *l, const prov_request *r, int i, uint64_t seed, enum prov_policy policy, char *err)
{
    prov_result *out = l->result;
    const int32_t *had = eng_session_tokens(l->s);
    int len = eng_session_length(l->s), rc;
    out->prompt_tokens = l->text.n;
    while (had && out->cached_tokens < len && out->cached_tokens < l->text.n && had[out->cached_tokens] == l->text.id[out->cached_tokens])
        out->cached_tokens++;
    start_sampler(l, seed);
    if ((rc = accept_begin(l, r, err)) < 0)
        return rc;
    l->detok = (eng_detok){ 0 };
    int64_t from = q_now_ns();
    rc = sync(l, policy, err);
    out->prefill_s = (double)(q_now_ns() - from) / 1e9;
    if (rc < 0) {
        out->finish = rc == Q_CANCEL ? PROV_STOPPED : PROV_FAILED;
        return rc == Q_CANCEL ? Q_OK : rc;
    }
    q_buf b = { 0 };
    l->opens = !r->raw && l->base.info.thinks && strcmp(thinks(l, r, &b), "off") != 0;
    q_buf_free(&b);
    gen_source s = { .self = l, .ready = ready, .room = room, .choose = choose, .spell = spell, .push = push, .stops = stops,
                     .max_tokens = max_tokens, .budget = budget, .close = close_thought, .fed = fed, .think = r->n_begin ? NULL : eng_think_open,
                     .unthink = eng_think_close, .thinking = !r->raw && !r->n_begin && eng_thinking(l->m, l->text.id, l->text.n),
                     .raw = r->raw || r->n_begin };
    out->thinking = s.thinking;
    return answer_heard(l, r, i, &s, err);
}

/* ---- grammars ---- */
static uint64_t hash_text(const char *s, uint64_t h) { return q_hash64(s ? s : "", s ? strlen(s) + 1 : 0, h); }

/* What the answers of a request are held to, by name; 0: nothing but the knob. */
static uint64_t grammar_name(const prov_request *r, const char *format)
{
    uint64_t h = 1;
    const prov_grammar *g = r->grammar;
    if (g) {
        h = hash_text(g->trigger, q_hash64(g->text, g->n, h));
        for (int i = 0; i < g->n_rule; i++)
            h = hash_text(g->rule[i].schema, hash_text(g->rule[i].name, h));
    }
    for (int i = 0; format && i < r->n_tool; i++)
        h = hash_text(r->tool[i].schema, hash_text(r->tool[i].name, h + 1));
    return g || format ? h | 1 : 0;
}

static int make_own(const prov_grammar *g, eng_grammar **out, char *err)
{
    eng_grammar_rule *rule = q_alloc(sizeof *rule * (size_t)(g->n_rule + 1));
    for (int i = 0; i < g->n_rule; i++)
        rule[i] = (eng_grammar_rule){ g->rule[i].name, g->rule[i].schema };
    eng_grammar_source s = { .text = g->text, .n = g->n, .rule = rule, .n_rule = g->n_rule, .trigger = g->trigger };
    int rc = eng_grammar_new(&s, out, err);
    free(rule);
    return rc;
}

/* Calls of the tools that are offered. A schema that cannot be held in this format asks for an object at least: whoever runs the tool looks at its
 * arguments anyway. */
static int make_calls(const prov_request *r, const char *format, eng_grammar **out, char *err)
{
    eng_grammar_rule *rule = q_alloc(sizeof *rule * (size_t)(r->n_tool + 1));
    for (int i = 0; i < r->n_tool; i++) {
        eng_grammar *one = NULL;
        rule[i] = (eng_grammar_rule){ r->tool[i].name, r->tool[i].schema ? r->tool[i].schema : "{}" };
        if (eng_grammar_calls(format, &rule[i], 1, &one, err) < 0)
            rule[i].schema = "{\"type\":\"object\"}";
        eng_grammar_free(one);
    }
    int rc = eng_grammar_calls(format, rule, r->n_tool, out, err);
    free(rule);
    return rc;
}

/* The request's own grammar, or that of its tools' calls where the knob asks for nothing; what the last request had is there still. */
static int take_grammar(local *l, const prov_request *r, char *err)
{
    char why[Q_ERRLEN];
    eng_grammar *made = NULL;
    bool tools = !r->grammar && r->n_tool > 0 && !r->raw && !r->n_begin && eng_config_is_default(l->c, "sampler.grammar");
    const char *format = tools ? eng_calls_format(l->m) : NULL;
    uint64_t name = grammar_name(r, format);
    if (!name || (name == l->held && eng_sampler_hold(l->sampler, true)))
        return Q_OK;
    int rc = r->grammar ? make_own(r->grammar, &made, err) : make_calls(r, format, &made, why);
    if (rc == Q_OK) {
        eng_sampler_grammar(l->sampler, made);
        l->held = name;
    }
    return r->grammar ? rc : Q_OK;       /* calls in a format that cannot be held are heard all the same */
}

static int ask(prov *p, const prov_request *r, const prov_hooks *h, prov_result *out, char *err)
{
    local *l = of(p);
    eng_tokens prompt = { .most = far_too_many(l) };
    int n = r->n > 1 ? r->n : 1, rc = render(l, r, &prompt, err);
    uint64_t seed = seed_of(l, r->seed);
    if (rc == Q_OK)
        rc = take_grammar(l, r, err);
    l->hooks = h;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        l->text.n = 0;
        for (int t = 0; t < prompt.n; t++)
            eng_tokens_add(&l->text, prompt.id[t]);
        l->result = &out[i];
        rc = answer(l, r, i, seed + (uint64_t)i, i == 0 ? r->policy : PROV_CONTINUE, err);
        if (out[i].finish == PROV_STOPPED)
            for (i++; i < n; i++)        /* a stop is meant for all of them */
                out[i].finish = PROV_STOPPED;
    }
    eng_sampler_hold(l->sampler, false);
    l->hooks = NULL;
    l->result = NULL;
    eng_tokens_free(&prompt);
    return rc;
}

static int renew(prov *p, const prov_hooks *h, char *err)
{
    local *l = of(p);
    l->hooks = h;
    int rc = l->text.n > 0 ? sync(l, PROV_RECOMPUTE, err) : Q_OK;
    l->hooks = NULL;
    return rc;
}

static void forget(prov *p)
{
    local *l = of(p);
    char err[Q_ERRLEN];
    eng_session_cut(l->s, 0, err);       /* nothing is always a part of it */
    l->text.n = 0;
    l->stale = false;
}

static void cancel(prov *p, bool on)
{
    atomic_store(&of(p)->cancelled, on);
    if (on)
        eng_session_cancel(of(p)->s);
    else
        eng_session_uncancel(of(p)->s);
}

/* ---- what is evaluated, in a file ---- */
static uint64_t state_bytes(prov *p, size_t n_note) { return eng_state_bytes(of(p)->s, n_note); }

static int state_save(prov *p, const char *path, const char *note, size_t n_note, prov_go *go, void *user, char *err)
{
    return eng_state_save(of(p)->s, path, note, n_note, go, user, err);
}

static int state_load(prov *p, const char *path, prov_go *go, void *user, char *err)
{
    local *l = of(p);
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
    local *l = of(p);
    int used = eng_session_length(l->s);
    eng_fetched f = eng_cache_fetched(eng_session_cache(l->s));
    return (prov_room){ .used = used, .text = l->text.n, .size = used + eng_session_room(l->s), .asked = f.asked, .fetched = f.fetched };
}

static int runs(prov *p, prov_mix *out, int max)
{
    enum { MOST = 64 };
    eng_mix m[MOST];
    int n = eng_session_runs(of(p)->s, m, max < MOST ? max : MOST);
    for (int i = 0; i < n; i++)
        out[i] = (prov_mix){ m[i].config, m[i].cells };
    return n;
}

static int mixture(prov *p, prov_mix *out, int max)
{
    enum { MOST = 64 };
    eng_mix m[MOST];
    int n = eng_session_mix(of(p)->s, m, max < MOST ? max : MOST);
    for (int i = 0; i < n && i < max && i < MOST; i++)
        out[i] = (prov_mix){ m[i].config, m[i].cells };
    return n;
}

/* ---- how likely a text is ---- */
typedef struct scoring {
    local *l;
    const eng_tokens *t;
    int from;                            /* the first token that is told of */
    double logprob;                      /* of the token that comes next */
    eng_detok detok;
    q_buf text;
    void (*each)(void *user, const prov_piece *);
    void *user;
} scoring;

static double log_of(const float *logits, int n, int32_t token)
{
    double max = (double)logits[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = (double)logits[i] > max ? (double)logits[i] : max;
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    return (double)logits[token] - max - log(sum);
}

static int score_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    scoring *s = user;
    if (pos >= s->from) {
        bool last = pos + 1 == s->t->n;
        eng_detok_add(s->l->m, &s->detok, s->t->id[pos], &s->text);
        if (last)
            eng_detok_end(&s->detok, &s->text);
        prov_piece p = { .number = pos - s->from + 1, .text = s->text.p ? s->text.p : "", .n = s->text.len, .token = s->t->id[pos],
                         .logprob = s->logprob };
        s->each(s->user, &p);
        q_buf_clear(&s->text);
    }
    if (pos + 1 >= s->from && pos + 1 < s->t->n)
        s->logprob = log_of(logits, eng_model_info(s->l->m)->n_vocab, s->t->id[pos + 1]);
    return 0;
}

/* A session beside the conversation's, with room for n tokens. */
static int aside(local *l, int n, eng_session **out, char *err)
{
    char room_text[24];
    eng_config *c = eng_config_copy(l->c);
    snprintf(room_text, sizeof room_text, "%d", n < 64 ? 64 : n);
    int rc = eng_config_set(c, "context.length", room_text, err);
    if (rc == Q_OK)
        rc = eng_session_new(l->m, c, out, err);
    eng_config_free(c);
    return rc;
}

static int score(prov *p, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *),
                 void *user, char *err)
{
    local *l = of(p);
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    prov_request nothing = { .raw = "" };
    int rc = render(l, before ? before : &nothing, &t, err);
    scoring sc = { .l = l, .t = &t, .from = t.n, .logprob = (double)NAN, .each = each, .user = user };
    if (rc == Q_OK)
        rc = eng_tokenize(l->m, text, n, false, &t, err);
    if (rc == Q_OK && t.n > sc.from)
        rc = aside(l, t.n, &s, err);
    if (s)
        rc = eng_session_eval(s, t.id, t.n, 0, NULL, 0, score_row, &sc, err);
    eng_session_free(s);
    eng_tokens_free(&t);
    q_buf_free(&sc.text);
    return rc;
}

/* ---- which of some texts comes ---- */
typedef struct judging {
    local *l;
    eng_session *s;
    const eng_tokens *text; int n;
    prov_go *go;
    void *user;
    int read, all;                       /* tokens of all requests */
} judging;

/* Shorter pieces than a batch: whoever stops it is heard within one. */
static int read_on(judging *j, const eng_tokens *t, char *err)
{
    enum { PIECE = 64 };
    const int32_t *had = eng_session_tokens(j->s);
    int at = 0, len = eng_session_length(j->s), rc = Q_OK;
    while (had && at < len && at < t->n - 1 && had[at] == t->id[at])
        at++;
    while (at < t->n && rc == Q_OK) {
        if (atomic_load(&j->l->cancelled) || (j->go && !j->go(j->user, j->read + at, j->all)))
            return q_fail(err, Q_CANCEL, _("stopped"));
        at = t->n - at < PIECE ? t->n : at + PIECE;
        rc = eng_session_sync(j->s, t->id, at, ENG_CONTINUE, NULL, NULL, err);
    }
    j->read += t->n;
    return rc;
}

/* The log-probability of each text behind what was read. */
static int weigh(judging *j, double *out, char *err)
{
    int rc = Q_OK, vocab = eng_model_info(j->l->m)->n_vocab, length = eng_session_length(j->s);
    for (int i = 0; i < j->n; i++)
        out[i] = log_of(eng_session_logits(j->s), vocab, j->text[i].id[0]);
    for (int i = 0; i < j->n && rc == Q_OK; i++) {
        for (int k = 1; k < j->text[i].n && rc == Q_OK; k++) {
            rc = eng_session_push(j->s, j->text[i].id[k - 1], err);
            out[i] += rc == Q_OK ? log_of(eng_session_logits(j->s), vocab, j->text[i].id[k]) : 0;
        }
        if (rc == Q_OK && j->text[i].n > 1)
            rc = eng_session_cut(j->s, length, err);
    }
    return rc;
}

/* From log-probabilities. */
static void shares(double *v, int n)
{
    double most = v[0], sum = 0;
    for (int i = 1; i < n; i++)
        most = v[i] > most ? v[i] : most;
    for (int i = 0; i < n; i++)
        sum += exp(v[i] - most);
    for (int i = 0; i < n; i++)
        v[i] = exp(v[i] - most) / sum;
}

static int judge(prov *p, const prov_request *r, int n_request, const char *const *text, int n, double *share, prov_go *go, void *user, char *err)
{
    local *l = of(p);
    eng_tokens *t = q_alloc(sizeof *t * (size_t)(n_request + n + 1)), *said = t + n_request;
    double *at = q_alloc(sizeof *at * (size_t)(n + 1));
    judging j = { .l = l, .text = said, .n = n, .go = go, .user = user };
    int rc = Q_OK, longest = 0, most = 0;
    for (int i = 0; i < n && rc >= 0; i++) {
        rc = eng_tokenize(l->m, text[i], strlen(text[i]), false, &said[i], err);
        if (rc >= 0 && said[i].n == 0)
            rc = q_fail(err, Q_RANGE, _("an empty text cannot be judged"));
        longest = said[i].n > longest ? said[i].n : longest;
    }
    for (int i = 0; i < n_request && rc >= 0; i++) {
        t[i].most = far_too_many(l);
        rc = render_anew(l, &r[i], &t[i], err);
        j.all += t[i].n;
        most = t[i].n > most ? t[i].n : most;
    }
    if (rc >= 0 && most > 0)
        rc = aside(l, most + longest, &j.s, err);
    for (int i = 0; i < n_request && j.s && rc >= 0; i++) {
        rc = read_on(&j, &t[i], err);
        if (rc >= 0)
            rc = weigh(&j, at, err);
        if (rc >= 0)
            shares(memcpy(share + (size_t)i * (size_t)n, at, sizeof *at * (size_t)n), n);
    }
    eng_session_free(j.s);
    for (int i = 0; i < n_request + n; i++)
        eng_tokens_free(&t[i]);
    free(t);
    free(at);
    return rc < 0 ? rc : Q_OK;
}

/* ---- a text as a vector ---- */
/* The mean of the last hidden states: what a model of conversations has of a whole text. */
static int embed(prov *p, const char *text, size_t n, float *out, char *err)
{
    local *l = of(p);
    int width = p->info.n_embd, rc;
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    double *sum = q_alloc(sizeof *sum * (size_t)width), square = 0;
    prov_request raw = { .raw = text, .n_raw = n };
    if ((rc = render(l, &raw, &t, err)) == Q_OK && t.n == 0)
        rc = q_fail(err, Q_RANGE, _("an empty text has no vector"));
    if (rc == Q_OK)
        rc = aside(l, t.n, &s, err);
    for (int at = 0; at < t.n && rc == Q_OK; at += ENG_STEP_ROWS) {
        eng_row row[ENG_STEP_ROWS];
        eng_out o;
        int rows = t.n - at < ENG_STEP_ROWS ? t.n - at : ENG_STEP_ROWS;
        for (int i = 0; i < rows; i++)
            row[i] = (eng_row){ .session = s, .token = t.id[at + i], .want = ENG_WANT_HIDDEN };
        rc = eng_cache_step(eng_session_cache(s), row, rows, true, &o, err);
        for (int i = 0; i < rows && rc == Q_OK; i++)
            for (int e = 0; e < width; e++)
                sum[e] += (double)o.hidden[i][e];
    }
    for (int e = 0; e < width; e++)
        square += sum[e] * sum[e];
    for (int e = 0; e < width && rc == Q_OK; e++)
        out[e] = (float)(square > 0 ? sum[e] / sqrt(square) : 0);
    eng_session_free(s);
    eng_tokens_free(&t);
    free(sum);
    return rc;
}

static struct eng_cache *cache(prov *p) { return eng_session_cache(of(p)->s); }
static struct eng_session *session(prov *p) { return of(p)->s; }

static bool holds(prov *p, const int32_t *token, const int32_t *pos, int n)
{
    const int32_t *has = eng_session_tokens(of(p)->s);
    int length = eng_session_length(of(p)->s);
    for (int i = 0; i < n; i++)
        if (pos[i] < 0 || pos[i] >= length || has[pos[i]] != token[i])
            return false;
    return n > 0;
}

static void spell_one(const prov *p, int32_t token, q_buf *out)
{
    const eng_model *m = of_const(p)->m;
    size_t n;
    if (token < 0 || token >= eng_model_info(m)->n_vocab)
        return;
    if (eng_token_control(m, token)) {
        q_buf_puts(out, eng_token_name(m, token));
        return;
    }
    const char *bytes = eng_token_bytes(m, token, &n);
    q_buf_add(out, bytes, n);
}

/* ---- opening ---- */
static void close_local(prov *p)
{
    local *l = of(p);
    eng_session_free(l->s);
    eng_sampler_free(l->sampler);
    eng_config_free(l->c);
    eng_model_free(l->m);
    eng_tokens_free(&l->text);
    eng_tokens_free(&l->last.t);
    pthread_mutex_destroy(&l->last.mu);
    free(l);
}

static const prov_kind kind = {
    .close = close_local, .config_new = config_new, .config_copy = config_copy, .config_free = config_free, .config_set = config_set,
    .config_get = config_get, .config_number = config_number, .config_nudge_k = config_nudge_k, .config_range = config_range, .config_is_default = config_is_default, .config_k = config_k,
    .config_label = config_label, .config_json = config_json, .config_from_json = config_from_json, .config_hash = config_hash,
    .config_diff = config_diff, .config_cost = config_cost, .set = set, .present = present, .ask = ask, .renew = renew, .forget = forget, .cancel = cancel,
    .context = context, .mixture = mixture, .runs = runs, .count = count, .count_request = count_request, .show = show, .score = score, .judge = judge,
    .embed = embed, .cache = cache, .session = session, .holds = holds, .ids = ids, .spell = spell_one,
    .state_bytes = state_bytes, .state_save = state_save, .state_load = state_load,
};

static void describe(local *l)
{
    const eng_info *e = eng_model_info(l->m);
    const char *device = eng_model_device(l->m), *note = eng_model_device_note(l->m);
    snprintf(l->device, sizeof l->device, "%.*s", strcmp(device, "cpu") ? (int)strcspn(device, " ") : 0, device);
    l->base.info = (prov_info){ .device = l->device, .divided = *note ? note : NULL,
        .path = e->path, .name = e->name, .languages = e->languages ? e->languages : "", .note = e->frame.note, .id = e->id,
        .file_bytes = e->file_bytes, .params = e->params, .n_layer = e->n_layer, .n_expert = e->n_expert,
        .first_moe_layer = e->first_moe_layer, .n_moe_layer = e->n_moe_layer, .n_ctx_train = e->n_ctx_train, .n_embd = e->n_embd, .n_head = e->n_head,
        .chat = e->frame.chat, .thinks = e->frame.thinks, .carved = e->carved,
        .can = PROV_LIVE | (e->n_expert ? PROV_ROUTING : 0) | PROV_LOGPROBS | PROV_COUNT | PROV_RAW | PROV_N | PROV_EMBED | PROV_BEGIN | PROV_STATE | (e->frame.tools ? PROV_TOOLS : 0) | PROV_GRAMMAR };
}

int local_open(const char *path, const prov_opts *o, prov **out, char *err)
{
    local *l = q_alloc(sizeof *l);
    eng_open_opts eo = { .progress = o->progress, .user = o->user };
    prov_init(&l->base, &kind);
    pthread_mutex_init(&l->last.mu, NULL);
    if (getrandom(&l->last.salt, sizeof l->last.salt, 0) != (ssize_t)sizeof l->last.salt)
        l->last.salt = (uint64_t)q_now_ns();
    int rc = eng_model_open(path, &eo, &l->m, err);
    if (rc == Q_OK) {
        describe(l);
        prov_config *c = wrap(l, eng_config_new(l->m));
        rc = o->configure ? o->configure(o->user, c, err) : Q_OK;
        if (rc == Q_OK)
            take_config(l, eng_config_copy(conf(c)));
        config_free(c);
    }
    if (rc == Q_OK)
        rc = eng_session_new(l->m, l->c, &l->s, err);
    if (rc < 0) {
        prov_close(&l->base);
        return rc;
    }
    l->sampler = eng_sampler_new(l->m);
    eng_sampler_watch(l->sampler, l->s);
    *out = &l->base;
    return Q_OK;
}

const q_knob *prov_knobs(int *n) { return eng_knobs(n); }
