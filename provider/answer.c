/* provider/answer: see answer.h. What chooses and what is heard stands here; what evaluates is the way's. */
#include "provider/answer.h"
#include "engine/grammar.h"
#include "provider/generate.h"
#include "provider/render.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static bool unframed(const prov_request *r) { return r->raw || r->ids; }

bool talk_position(void *user, const eng_trace_rec *r)
{
    const talk *t = user;
    prov_position p = { r->token, r->pos, r->config, r->prompt || r->pos < t->n_prompt, r->n_layer, r->max_k, r->ids, r->weights, r->entropy, r->margin };
    t->hooks->position(t->hooks->user, &p);
    return true;
}

void talk_spell(const eng_model *m, int32_t token, q_buf *out)
{
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

/* ---- what could have come instead ---- */
/* One buffer for their texts, which may move while it grows: so the places come last. */
static int spell_likely(talk *t, const eng_choice *from, int n)
{
    size_t end[PROV_TOP + 1] = { 0 };
    q_buf_clear(&t->spelt);
    for (int i = 0; i < n; i++) {
        talk_spell(t->l->m, from[i].token, &t->spelt);
        end[i + 1] = t->spelt.len;
    }
    for (int i = 0; i < n; i++)
        t->likely[i] = (prov_likely){ from[i].token, (double)from[i].logprob, t->spelt.p ? t->spelt.p + end[i] : "", end[i + 1] - end[i] };
    return n;
}

static int likely(talk *t, const float *logits)
{
    eng_choice best[PROV_TOP];
    return t->r->top > 0 ? spell_likely(t, best, eng_likeliest(t->sampler->s, logits, best, t->r->top)) : 0;
}

/* ---- the echo of a prompt ---- */
typedef struct echoed { float logprob; int n_likely; eng_choice likely[PROV_TOP]; } echoed;      /* of the token at its place */

void talk_row(talk *t, int pos, const float *logits)
{
    if (!t->echoed || pos + 1 >= t->n_prompt)
        return;
    echoed *e = &t->echoed[pos + 1];
    e->logprob = eng_logprob(t->sampler->s, logits, t->text->id[pos + 1]);
    e->n_likely = eng_likeliest(t->sampler->s, logits, e->likely, t->r->top);
}

static void hand_echo(talk *t, int answer)
{
    eng_detok d = { 0 };
    q_buf text = { 0 };
    for (int i = 0; i < t->n_prompt && t->hooks->piece; i++) {
        const echoed *e = &t->echoed[i];
        eng_detok_add(t->l->m, &d, t->text->id[i], &text);
        if (i + 1 == t->n_prompt)
            eng_detok_end(&d, &text);
        prov_piece p = { .answer = answer, .number = i + 1, .text = text.p ? text.p : "", .n = text.len, .token = t->text->id[i], .prompt = true,
                         .logprob = i ? (double)e->logprob : (double)NAN, .likely = t->likely, .n_likely = spell_likely(t, e->likely, e->n_likely) };
        t->hooks->piece(t->hooks->user, &p);
        q_buf_clear(&text);
    }
    q_buf_free(&text);
}

/* ---- as a source of tokens ---- */
static int ready(void *self, char *err)
{
    talk *t = self;
    return t->way->stale(t->self) ? t->way->prompt(t->self, t, false, err) : Q_OK;
}

static int room(void *self) { return ((talk *)self)->way->room(((talk *)self)->self, self); }

static int choose(void *self, gen_token *out, char *err)
{
    talk *t = self;
    const float *logits = t->way->logits(t->self);
    eng_sampler *s = t->sampler->s;
    if (!logits)
        return q_fail(err, Q_ERR, _("the session lost its place: send the question again"));
    eng_sampler_part(s, t->result->thinking ? ENG_PART_THOUGHT : t->opens && t->result->tokens == 0 ? ENG_PART_OPENING : ENG_PART_TEXT);
    eng_choice c = eng_sample(s, t->c, logits);
    if (c.token == ENG_NO_TOKEN && c.p == 0)
        return q_fail(err, Q_ERR, _("the answer so far does not fit the grammar, this model has no token that would go on in it, or the grammar can be read in too many ways: change sampler.grammar, or set it off"));
    if (c.token == ENG_NO_TOKEN) {
        *out = (gen_token){ .id = -1, .logprob = (double)NAN, .end = true };
        return Q_OK;
    }
    *out = (gen_token){ .id = c.token, .logprob = (double)c.logprob, .end = eng_token_end(t->l->m, c.token), .likely = t->likely, .n_likely = likely(t, logits) };
    if (!out->end)
        eng_sampler_accept(s, c.token);
    return Q_OK;
}

static void spell(void *self, int32_t token, q_buf *out)
{
    talk *t = self;
    const eng_model *m = t->l->m;
    if (token < 0) {
        eng_detok_end(&t->detok, out);
        return;
    }
    if (eng_token_control(m, token) && (eng_token_thinks(m, token) || (t->calls && eng_calls_hears(m, token)))) {
        eng_detok_end(&t->detok, out);
        q_buf_puts(out, eng_token_name(m, token));
    } else
        eng_detok_add(m, &t->detok, token, out);
}

static int push(void *self, int32_t token, char *err) { return ((talk *)self)->way->push(((talk *)self)->self, self, token, err); }
static void fed(void *self) { ((talk *)self)->way->fed(((talk *)self)->self, self); }
static long stops(void *self, const char *text, size_t n) { return eng_stop_scan(((talk *)self)->c, text, n); }

static int max_tokens(void *self)
{
    const talk *t = self;
    return t->r->max_tokens > 0 ? t->r->max_tokens : (int)eng_config_number(t->c, "sampler.max_tokens");
}

static int budget(void *self) { return (int)eng_config_number(((talk *)self)->c, "think.limit"); }

static int close_thought(void *self, int32_t *out, int max)
{
    talk *k = self;
    char err[Q_ERRLEN], *text = q_printf("\n%s\n\n", eng_think_close);
    eng_tokens t = { .most = 64 };
    int n = eng_tokenize(k->l->m, text, strlen(text), true, &t, err) < 0 ? 0 : t.n < max ? t.n : max;
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
    const hearing *h = user;
    const eng_call c = { NULL, "", body };
    if (h->hooks->misread)
        h->hooks->misread(h->hooks->user, h->answer, sentence);
    on_call(user, &c);
}

static bool hear(void *self, const char *p, size_t n, q_buf *text, q_buf *call, q_buf *think)
{
    talk *t = self;
    t->hearing->text = text;
    t->hearing->call = call;
    t->hearing->think = think;
    if (n)
        eng_calls_add(t->calls, p, n);
    else
        eng_calls_end(t->calls);
    return t->hearing->n > 0;
}

/* ---- answers ---- */
static uint64_t seed_of(const talk *t)
{
    uint64_t s = t->r->seed ? t->r->seed : (uint64_t)eng_config_number(t->c, "sampler.seed");
    if (!s && getrandom(&s, sizeof s, 0) != (ssize_t)sizeof s)
        s = (uint64_t)q_now_ns();
    return s & ((1ull << 53) - 1);       /* the knob's range: what a JSON number holds exactly */
}

/* Penalties look at the answer's own tokens alone: those of the prompt would hold back the frame's end of a turn, and what a
 * fed passage or the question says would be avoided instead of quoted. */
static void start_sampler(talk *t, uint64_t seed)
{
    char text[32], err[Q_ERRLEN];
    eng_config *c = eng_config_copy(t->c);
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    eng_config_set(c, "sampler.seed", text, err);
    eng_sampler_reset(t->sampler->s, c);
    eng_config_free(c);
}

/* A given beginning is the answer's own too. */
static int accept_begin(talk *k, char *err)
{
    eng_tokens t = { .most = render_most(k->c) };
    int rc = render_begin(k->l, k->r, &t, err);
    for (int i = 0; i < t.n && rc >= 0; i++)
        eng_sampler_accept(k->sampler->s, t.id[i]);
    eng_tokens_free(&t);
    return rc < 0 ? rc : Q_OK;
}

static int answer_heard(talk *t, int i, gen_source *s, char *err)
{
    const prov_request *r = t->r;
    hearing h = { .hooks = t->hooks, .answer = i };
    const eng_heard to = { &h, on_said, on_call, on_bad };
    eng_tool *tool = q_alloc(sizeof *tool * (size_t)(r->n_tool + 1));
    for (int k = 0; k < r->n_tool; k++)
        tool[k] = (eng_tool){ r->tool[k].name, r->tool[k].help, r->tool[k].schema };
    t->calls = unframed(r) || r->n_begin ? NULL : eng_calls_new(t->l->m, tool, r->n_tool, &to);
    t->hearing = &h;
    if (t->calls)
        s->hear = hear;
    int rc = gen_answer(s, t->hooks, i, t->result, err);
    eng_calls_free(t->calls);
    t->calls = NULL;
    t->hearing = NULL;
    free(tool);
    return rc;
}

static bool may_open(const talk *t)
{
    q_buf b = { 0 };
    bool opens = !unframed(t->r) && t->l->base.info.thinks && strcmp(render_thinks(t->c, t->r, &b), "off") != 0;
    q_buf_free(&b);
    return opens;
}

/* One answer to the prompt that stands in the text. */
static int answer(talk *t, int i, uint64_t seed, char *err)
{
    const prov_request *r = t->r;
    prov_result *out = t->result;
    int rc;
    out->prompt_tokens = t->text->n;
    start_sampler(t, seed);
    if ((rc = accept_begin(t, err)) < 0)
        return rc;
    t->detok = eng_detok_behind(t->l->m, t->text->n ? t->text->id[t->text->n - 1] : -1);
    t->rows = t->echoed && i == 0;
    t->anew = t->rows || r->anew;
    int64_t from = q_now_ns();
    rc = t->way->prompt(t->self, t, true, err);
    out->prefill_s = (double)(q_now_ns() - from) / 1e9;
    t->rows = t->anew = false;
    if (rc < 0) {
        out->finish = rc == Q_CANCEL ? PROV_STOPPED : PROV_FAILED;
        return rc == Q_CANCEL ? Q_OK : rc;
    }
    if (t->echoed)
        hand_echo(t, i);
    if (r->max_tokens == PROV_NOTHING) {
        out->finish = PROV_MAX_TOKENS;
        return Q_OK;
    }
    t->opens = may_open(t);
    gen_source s = { .self = t, .ready = ready, .room = room, .choose = choose, .spell = spell, .push = push, .stops = stops,
                     .max_tokens = max_tokens, .budget = budget, .close = close_thought, .fed = fed, .think = r->n_begin ? NULL : eng_think_open,
                     .unthink = eng_think_close, .thinking = !unframed(r) && !r->n_begin && eng_thinking(t->l->m, t->text->id, t->text->n),
                     .raw = unframed(r) || r->n_begin };
    out->thinking = s.thinking;
    return answer_heard(t, i, &s, err);
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

/* The format of the calls that its tools hold it to: where it has no grammar of its own and the knob asks for nothing. */
static const char *calls_held(const talk *t)
{
    const prov_request *r = t->r;
    bool tools = !r->grammar && r->n_tool > 0 && !unframed(r) && !r->n_begin && eng_config_is_default(t->c, "sampler.grammar");
    return tools ? eng_calls_format(t->l->m) : NULL;
}

uint64_t talk_grammar(const talk *t) { return grammar_name(t->r, calls_held(t)); }

/* The request's own grammar, or that of its tools' calls; what the sampler's last request had is there still. */
static int take_grammar(talk *t, char *err)
{
    const prov_request *r = t->r;
    talk_sampler *s = t->sampler;
    char why[Q_ERRLEN];
    eng_grammar *made = NULL;
    const char *format = calls_held(t);
    uint64_t name = talk_grammar(t);
    if (!name || (name == s->held && eng_sampler_hold(s->s, true)))
        return Q_OK;
    int rc = r->grammar ? make_own(r->grammar, &made, err) : make_calls(r, format, &made, why);
    if (rc == Q_OK) {
        eng_sampler_grammar(s->s, made);
        s->held = name;
    }
    return r->grammar ? rc : Q_OK;       /* calls in a format that cannot be held are heard all the same */
}

int talk_answer(talk *t, const int32_t *prompt, int n_prompt, prov_result *out, char *err)
{
    int n = t->r->n > 1 ? t->r->n : 1, rc = take_grammar(t, err);
    uint64_t seed = seed_of(t);
    t->n_prompt = n_prompt;
    t->echoed = t->r->echo ? q_alloc(sizeof *t->echoed * (size_t)(n_prompt + 1)) : NULL;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        t->text->n = 0;
        for (int k = 0; k < n_prompt; k++)
            eng_tokens_add(t->text, prompt[k]);
        t->result = &out[i];
        rc = answer(t, i, seed + (uint64_t)i, err);
        if (out[i].finish == PROV_STOPPED)
            for (i++; i < n; i++)        /* a stop is meant for all of them */
                out[i].finish = PROV_STOPPED;
    }
    eng_sampler_hold(t->sampler->s, false);
    free(t->echoed);
    q_buf_free(&t->spelt);
    t->echoed = NULL;
    return rc;
}
