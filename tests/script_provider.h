/* tests: somebody who answers by a script. Passes the tests of provider/ as the real ones do, and stands in for a model in the
 * tests of agent/: what it says, where it fails and what routing it shows are written down, and nothing depends on time.
 *
 * A line answers requests whose last message holds `when`. Its text is cut into tokens at blanks (or every `bytes` bytes);
 * "<think>…</think>" is a thought; " | " separates alternatives, the seed chooses; "{call NAME JSON}", one or several at the
 * end, ask for tools ("?" for NAME: the call cannot be read); one that says "judge .8" is no answer but how likely prov_judge finds the first half of its texts. Configurations know every knob's name, keep any text that its row allows, and act where that can be seen: sampler.seed,
 * sampler.max_tokens, sampler.stop, experts.k, context.length. */
#ifndef SCRIPT_PROVIDER_H
#define SCRIPT_PROVIDER_H

#include "provider/generate.h"
#include "provider/kind.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRIPT_LAYERS = 3, SCRIPT_EXPERTS = 8, SCRIPT_DIMS = 16 };

typedef struct script_line { const char *when, *say; } script_line;      /* when NULL: any; the last line is NULL, NULL */
typedef struct script {
    const script_line *line;
    int bytes;                           /* a token's bytes; 0: words */
    int fail_at;                         /* the token whose evaluation fails; 0: none */
    void (*at)(void *user, int token);   /* called while token `token` is evaluated (0: the prompt); may be NULL */
    void *user;
    unsigned cannot;                     /* flags taken away */
    double token_s;                      /* seconds that a token takes for each of its experts, by its own clock; 0: the true time */
    int sets;                            /* so many prov_set succeed, then all fail; 0: as they come */
} script;

typedef struct script_config { prov_config base; const struct script_prov *p; char **value; /* one a knob; NULL: default */ } script_config;
typedef struct script_cell { int32_t token; uint64_t config; } script_cell;
typedef struct script_prov {
    prov base;
    script s;
    script_config *c;
    enum prov_policy policy;
    char **word; int n_word;             /* what tokens spell; ids count from 0 */
    script_cell *cell; int n_cell;       /* what is evaluated */
    int32_t *text; int n_text;
    atomic_bool cancel;
    bool stale;
    int n_set;                           /* prov_set so far */
    const prov_hooks *hooks;
    prov_result *result;
    int32_t *say; int n_say, at;         /* the answer's tokens; next one */
    int spoken;
    double clock;
    char *call;                          /* "{call NAME JSON}…", or NULL */
} script_prov;

/* ---- configurations ---- */
static const struct { const char *name, *value; } script_default[] = {
    { "experts.k", "2" }, { "context.length", "4096" }, { "sampler.seed", "0" }, { "sampler.max_tokens", "0" }, { "sampler.stop", "" },
    { "sampler.temperature", "0.7" }, { "rope.theta", "10000" }, { "think", "auto" } };

static int script_knob(const char *name)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    for (int i = 0; i < n; i++)
        if (strcmp(k[i].name, name) == 0)
            return i;
    return -1;
}

static const char *script_default_of(const char *name)
{
    for (size_t i = 0; i < sizeof script_default / sizeof *script_default; i++)
        if (strcmp(script_default[i].name, name) == 0)
            return script_default[i].value;
    return "";
}

static const char *script_value(const script_config *c, const char *name)
{
    int i = script_knob(name);
    return i >= 0 && c->value[i] ? c->value[i] : script_default_of(name);
}

static prov_config *script_wrap(const script_prov *p)
{
    int n;
    prov_knobs(&n);
    script_config *c = q_alloc(sizeof *c);
    *c = (script_config){ { p->base.kind }, p, q_alloc(sizeof *c->value * (size_t)n) };
    return &c->base;
}

static prov_config *script_config_new(const prov *p) { return script_wrap((const script_prov *)p); }

static prov_config *script_config_copy(const prov_config *from)
{
    const script_config *f = (const script_config *)from;
    script_config *c = (script_config *)script_wrap(f->p);
    int n;
    prov_knobs(&n);
    for (int i = 0; i < n; i++)
        c->value[i] = f->value[i] ? q_strdup(f->value[i]) : NULL;
    return &c->base;
}

static void script_config_free(prov_config *from)
{
    script_config *c = (script_config *)from;
    int n;
    prov_knobs(&n);
    for (int i = 0; i < n; i++)
        free(c->value[i]);
    free(c->value);
    free(c);
}

static bool script_range(const prov_config *c, const char *name, double *min, double *max)
{
    int n, i = script_knob(name);
    const q_knob *k = prov_knobs(&n);
    if (i < 0 || (k[i].type != Q_KNOB_INT && k[i].type != Q_KNOB_FLOAT && k[i].type != Q_KNOB_INTS))
        return false;
    *min = strcmp(name, "experts.k") == 0 ? 1 : k[i].min;
    *max = strcmp(name, "experts.k") == 0 ? SCRIPT_EXPERTS : k[i].max;
    return true;
}

static int script_set_knob(prov_config *to, const char *name, const char *value, char *err)
{
    script_config *c = (script_config *)to;
    int i = script_knob(name);
    double min, max, x = strtod(value, NULL);
    if (i < 0)
        return q_fail(err, Q_NOTFOUND, "there is no knob %s", name);
    if (strcmp(value, "default") != 0 && script_range(to, name, &min, &max) && (x < min || x > max))
        return q_fail(err, Q_RANGE, "%s is a number from %g to %g, not %s", name, min, max, value);
    free(c->value[i]);
    c->value[i] = strcmp(value, "default") == 0 || strcmp(value, script_default_of(name)) == 0 ? NULL : q_strdup(value);
    return Q_OK;
}

static double script_number(const prov_config *c, const char *name)
{
    char *end;
    const char *text = script_value((const script_config *)c, name);
    double x = strtod(text, &end);
    return *text && !*end ? x : (double)NAN;
}

static int script_nudge_k(prov_config *c, int delta)
{
    char text[16], err[Q_ERRLEN];
    double now = script_number(c, "experts.k");      /* NAN: it is no one number */
    int k = (isnan(now) ? 2 : (int)now) + delta;
    k = k < 1 ? 1 : k > SCRIPT_EXPERTS ? SCRIPT_EXPERTS : k;
    snprintf(text, sizeof text, "%d", k);
    script_set_knob(c, "experts.k", text, err);
    return k;
}

static const char *script_get(const prov_config *c, const char *name, q_buf *b)
{
    q_buf_clear(b);
    q_buf_puts(b, script_value((const script_config *)c, name));
    return b->p;
}

static bool script_is_default(const prov_config *c, const char *name)
{
    int i = script_knob(name);
    return i < 0 || !((const script_config *)c)->value[i];
}

static int script_k(const prov_config *c) { return atoi(script_value((const script_config *)c, "experts.k")); }

static char *script_json(const prov_config *from)
{
    const script_config *c = (const script_config *)from;
    int n;
    const q_knob *k = prov_knobs(&n);
    cJSON *j = cJSON_CreateObject();
    for (int i = 0; i < n; i++)
        if (c->value[i])
            cJSON_AddStringToObject(j, k[i].name, c->value[i]);
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

static int script_from_json(prov_config *c, const char *json, char *err)
{
    cJSON *j = cJSON_Parse(json), *v;
    int rc = j ? Q_OK : q_fail(err, Q_FORMAT, "this is no JSON");
    cJSON_ArrayForEach(v, j)
        if (rc == Q_OK && cJSON_IsString(v))
            rc = script_set_knob(c, v->string, v->valuestring, err);
    cJSON_Delete(j);
    return rc;
}

static const char *script_label(const prov_config *from, q_buf *b)
{
    const script_config *c = (const script_config *)from;
    int n;
    const q_knob *k = prov_knobs(&n);
    q_buf_clear(b);
    for (int i = 0; i < n; i++)
        if (c->value[i] && k[i].effect >= Q_EFFECT_ROUTING)
            q_buf_printf(b, "%s%s %s", b->len ? " · " : "", k[i].effect == Q_EFFECT_ALLOCATION ? k[i].name : strrchr(k[i].name, '.') + 1, c->value[i]);
    q_buf_puts(b, "");
    return b->p;
}

static uint64_t script_hash(const prov_config *from, bool all)
{
    const script_config *c = (const script_config *)from;
    int n;
    const q_knob *k = prov_knobs(&n);
    uint64_t h = 1;
    for (int i = 0; i < n; i++)
        if (c->value[i] && (all || (k[i].effect >= Q_EFFECT_ROUTING && k[i].effect != Q_EFFECT_ALLOCATION)))
            h = q_hash64(c->value[i], strlen(c->value[i]), h + (uint64_t)i);
    return h;
}

static enum q_effect script_diff(const prov_config *a, const prov_config *b)
{
    const script_config *x = (const script_config *)a, *y = (const script_config *)b;
    int n;
    const q_knob *k = prov_knobs(&n);
    enum q_effect e = Q_EFFECT_SAMPLING;
    for (int i = 0; i < n; i++)
        if (strcmp(x->value[i] ? x->value[i] : "", y->value[i] ? y->value[i] : "") != 0 && k[i].effect > e && k[i].effect != Q_EFFECT_PROMPT)
            e = k[i].effect;
    return e;
}

static prov_cost script_cost(const prov_config *c) { return (prov_cost){ 1000u * (uint64_t)script_k(c), 50000000u * (uint64_t)script_k(c) }; }

/* ---- tokens ---- */
static int32_t script_word(script_prov *p, const char *text, size_t n)
{
    for (int i = 0; i < p->n_word; i++)
        if (strlen(p->word[i]) == n && memcmp(p->word[i], text, n) == 0)
            return i;
    p->word = q_realloc(p->word, sizeof *p->word * (size_t)(p->n_word + 1));
    p->word[p->n_word] = q_strndup(text, n);
    return p->n_word++;
}

static void script_push_token(int32_t **v, int *n, int32_t id)
{
    *v = q_realloc(*v, sizeof **v * (size_t)(*n + 1));
    (*v)[(*n)++] = id;
}

/* A word with the blanks before it. */
static size_t script_next(const script_prov *p, const char *s, size_t n)
{
    size_t w = 0;
    if (p->s.bytes)
        return (size_t)p->s.bytes < n ? (size_t)p->s.bytes : n;
    while (w < n && (s[w] == ' ' || s[w] == '\n'))
        w++;
    while (w < n && s[w] != ' ' && s[w] != '\n')
        w++;
    return w;
}

static void script_tokens(script_prov *p, const char *s, size_t n, int32_t **v, int *count)
{
    while (n > 0) {
        size_t w = script_next(p, s, n);
        script_push_token(v, count, script_word(p, s, w));
        s += w;
        n -= w;
    }
}

static int script_count(const prov *p, const char *text, size_t n)
{
    int count = 0;
    while (n > 0) {
        size_t w = script_next((const script_prov *)p, text, n);
        text += w;
        n -= w;
        count++;
    }
    return count;
}

/* A message costs its words and two for its frame. */
static int script_count_request(const prov *p, const prov_request *r, char *err)
{
    int count = (r->raw ? script_count(p, r->raw, r->n_raw) : 1) + script_count(p, r->begin, r->n_begin);
    for (int i = 0; i < r->n_thought && !r->raw; i++)
        count += 1 + script_count(p, r->thought[i].text, r->thought[i].n);
    for (int i = 0; i < r->n_message && !r->raw; i++)
        count += 2 + script_count(p, r->message[i].text, r->message[i].n);
    return count;
}

static void script_prompt(script_prov *p, const prov_request *r)
{
    p->n_text = 0;
    if (r->raw) {
        script_tokens(p, r->raw, r->n_raw, &p->text, &p->n_text);
        script_tokens(p, r->begin, r->n_begin, &p->text, &p->n_text);
        return;
    }
    static const char *const role[] = { "[system]", "[user]", "[assistant]", "[tool]" };
    for (int i = 0; i < r->n_message; i++) {
        script_push_token(&p->text, &p->n_text, script_word(p, role[r->message[i].role], strlen(role[r->message[i].role])));
        for (int k = 0; k < r->n_thought; k++)
            if (r->thought[k].message == i) {
                script_push_token(&p->text, &p->n_text, script_word(p, "[thought]", 9));
                script_tokens(p, r->thought[k].text, r->thought[k].n, &p->text, &p->n_text);
            }
        script_tokens(p, r->message[i].text, r->message[i].n, &p->text, &p->n_text);
        script_push_token(&p->text, &p->n_text, script_word(p, "[end]", 5));
    }
    script_push_token(&p->text, &p->n_text, script_word(p, "[answer]", 8));
    script_tokens(p, r->begin, r->n_begin, &p->text, &p->n_text);
}

static double script_logprob(int32_t token, int pos) { return -(double)(1 + (token * 7 + pos) % 13) / 4; }

/* ---- evaluation ---- */
static int script_context_size(const script_prov *p) { return atoi(script_value(p->c, "context.length")); }

static void script_position(script_prov *p, int32_t token, int pos, bool asked)
{
    uint16_t ids[SCRIPT_LAYERS * SCRIPT_EXPERTS];
    float weights[SCRIPT_LAYERS * SCRIPT_EXPERTS], entropy[SCRIPT_LAYERS], margin[SCRIPT_LAYERS];
    int k = script_k(&p->c->base);
    for (int l = 0; l < SCRIPT_LAYERS; l++) {
        for (int i = 0; i < k; i++) {
            ids[l * k + i] = (uint16_t)((token * 3 + pos + l * 5 + i) % SCRIPT_EXPERTS);
            weights[l * k + i] = 1.f / (float)(i + 1);
        }
        entropy[l] = 1;
        margin[l] = .5f;
    }
    prov_position at = { .token = token, .pos = pos, .config = script_hash(&p->c->base, false), .prompt = asked, .n_layer = SCRIPT_LAYERS,
                         .max_k = k, .ids = ids, .weights = asked ? NULL : weights, .entropy = asked ? NULL : entropy, .margin = asked ? NULL : margin };
    if (p->hooks && p->hooks->position)
        p->hooks->position(p->hooks->user, &at);
}

static int script_eval(script_prov *p, int32_t token, bool asked, char *err)
{
    if (atomic_load(&p->cancel))
        return q_fail(err, Q_CANCEL, "stopped");
    p->cell = q_realloc(p->cell, sizeof *p->cell * (size_t)(p->n_cell + 1));
    p->cell[p->n_cell] = (script_cell){ token, script_hash(&p->c->base, false) };
    script_position(p, token, p->n_cell, asked);
    p->n_cell++;
    return Q_OK;
}

/* The cells become the text's: those that are equal stay, at least the last one is evaluated. */
static int script_sync(script_prov *p, enum prov_policy policy, char *err)
{
    uint64_t now = script_hash(&p->c->base, false);
    int same = 0, rc = Q_OK;
    if (p->n_text > script_context_size(p))
        return q_fail(err, Q_RANGE, "%d tokens do not fit into the context of %d", p->n_text, script_context_size(p));
    while (same < p->n_cell && same < p->n_text - 1 && p->cell[same].token == p->text[same] && (policy == PROV_CONTINUE || p->cell[same].config == now))
        same++;
    p->n_cell = same;
    int total = p->n_text - same;
    if (p->s.at && p->spoken == 0)
        p->s.at(p->s.user, 0);
    for (int i = 0; i <= total && rc == Q_OK; i++) {
        if (p->hooks->prefill && (i % 16 == 0 || i == total))
            p->hooks->prefill(p->hooks->user, i, total);
        if (i < total)
            rc = script_eval(p, p->text[same + i], true, err);
    }
    p->stale = rc < 0;
    if (p->result)
        p->result->evaluated |= rc == Q_OK;
    if (p->hooks->prefilled)
        p->hooks->prefilled(p->hooks->user, p->result);
    return rc;
}

/* ---- as a source of tokens ---- */
static int script_ready(void *self, char *err) { script_prov *p = self; return p->stale ? script_sync(p, p->policy, err) : Q_OK; }
static int script_left(void *self) { script_prov *p = self; return script_context_size(p) - p->n_cell; }

static int script_choose(void *self, gen_token *out, char *err)
{
    script_prov *p = self;
    *out = (gen_token){ .end = p->at == p->n_say };
    if (!out->end) {
        out->id = p->say[p->at++];
        out->logprob = script_logprob(out->id, p->n_cell);
    }
    return Q_OK;
}

static void script_spell(void *self, int32_t token, q_buf *out)
{
    if (token >= 0)
        q_buf_puts(out, ((script_prov *)self)->word[token]);
}

static int script_push(void *self, int32_t token, char *err)
{
    script_prov *p = self;
    p->spoken++;
    if (p->s.at)
        p->s.at(p->s.user, p->spoken);
    if (p->spoken == p->s.fail_at)
        return q_fail(err, Q_ERR, "the script fails here, at token %d", p->spoken);
    int rc = script_eval(p, token, false, err);
    if (rc == Q_OK)
        script_push_token(&p->text, &p->n_text, token);
    return rc;
}

/* Time as the script has it: nothing depends on how fast the machine is. */
static void script_fed(void *self)
{
    script_prov *p = self;
    if (p->s.token_s <= 0 || !p->result)
        return;
    p->clock += p->s.token_s * script_k(&p->c->base);
    p->result->decode_s = p->clock;
}

static long script_stops(void *self, const char *text, size_t n)
{
    const char *stop = script_value(((script_prov *)self)->c, "sampler.stop");
    size_t w = strlen(stop);
    if (!w)
        return 0;
    const char *at = memmem(text, n, stop, w);
    if (at)
        return -1 - (long)(at - text);
    for (size_t k = w - 1 < n ? w - 1 : n; k > 0; k--)
        if (memcmp(text + n - k, stop, k) == 0)
            return (long)k;
    return 0;
}

static int script_max(void *self) { return atoi(script_value(((script_prov *)self)->c, "sampler.max_tokens")); }

static int script_budget(void *self) { return atoi(script_value(((script_prov *)self)->c, "think.limit")); }

/* The rest of the thought is never said. */
static int script_close(void *self, int32_t *out, int max)
{
    script_prov *p = self;
    for (int i = p->at; i < p->n_say; i++)
        if (strstr(p->word[p->say[i]], "</think>")) {
            p->at = i + 1;
            break;
        }
    *out = script_word(p, "\n</think>\n\n", 11);
    return max > 0;
}

/* ---- requests ---- */
static const char *script_find(const script_prov *p, const prov_request *r, bool judges)
{
    const prov_message *last = r->n_message ? &r->message[r->n_message - 1] : NULL;
    const char *asked = r->raw ? r->raw : last ? last->text : "";
    size_t n = r->raw ? r->n_raw : last ? last->n : 0;
    for (const script_line *l = p->s.line; l->say; l++)
        if ((strncmp(l->say, "judge ", 6) == 0) == judges && (!l->when || memmem(asked, n, l->when, strlen(l->when))))
            return l->say;
    return "";
}

static void script_learn(script_prov *p, const prov_request *r, uint64_t seed)
{
    const char *say = script_find(p, r, false), *from = say;
    int n = 1;
    for (const char *s = say; (s = strstr(s, " | ")); s += 3)
        n++;
    for (int i = (int)(seed % (uint64_t)n); i > 0; i--)
        from = strstr(from, " | ") + 3;
    const char *to = strstr(from, " | ");
    size_t len = to ? (size_t)(to - from) : strlen(from);
    char *call = memmem(from, len, "{call ", 6);
    free(p->call);
    p->call = call ? q_strndup(call, len - (size_t)(call - from)) : NULL;
    p->n_say = p->at = p->spoken = 0;
    p->clock = 0;
    const char *thought = r->n_begin ? memmem(from, len, "</think>", 8) : NULL;
    if (thought) {                       /* what begins has been thought about */
        len -= (size_t)(thought + 8 - from);
        from = thought + 8;
    }
    size_t lead = r->n_begin ? strspn(from, " \n") : 0;     /* no answer shows the blanks that it begins with */
    if (r->n_begin && len >= lead + r->n_begin && memcmp(from + lead, r->begin, r->n_begin) == 0) {
        from += lead + r->n_begin;
        len -= lead + r->n_begin;
    }
    script_tokens(p, from, call ? (size_t)(call - from) : len, &p->say, &p->n_say);
}

static int script_one(script_prov *p, const prov_request *r, int answer, prov_result *out, char *err)
{
    const prov_hooks *h = p->hooks;
    p->result = out;
    script_prompt(p, r);
    out->prompt_tokens = p->n_text;
    while (out->cached_tokens < p->n_cell && out->cached_tokens < p->n_text && p->cell[out->cached_tokens].token == p->text[out->cached_tokens])
        out->cached_tokens++;
    uint64_t own = strtoull(script_value(p->c, "sampler.seed"), NULL, 10);
    script_learn(p, r, (r->seed ? r->seed : own) + (uint64_t)answer);
    int rc = script_sync(p, answer ? PROV_CONTINUE : r->policy, err);
    if (rc < 0) {
        out->finish = rc == Q_CANCEL ? PROV_STOPPED : PROV_FAILED;
        return rc == Q_CANCEL ? Q_OK : rc;
    }
    gen_source s = { .self = p, .ready = script_ready, .room = script_left, .choose = script_choose, .spell = script_spell, .push = script_push, .fed = script_fed,
                     .stops = script_stops, .max_tokens = script_max, .budget = script_budget, .close = script_close, .think = r->n_begin ? NULL : "<think>", .unthink = "</think>",
                     .raw = r->raw || r->n_begin };
    rc = gen_answer(&s, h, answer, out, err);
    if (rc == Q_OK && out->finish == PROV_ENDED && p->call && r->n_tool > 0) {
        int number = 0;
        out->finish = PROV_CALLS;
        for (char *at = p->call, *next; at && out->finish == PROV_CALLS; at = next) {
            next = strstr(at + 1, "{call ");
            char id[24], *one = q_strndup(at + 6, (next ? (size_t)(next - at) : strlen(at)) - 7);
            size_t n = strcspn(one, " ");
            char *name = q_strndup(one, n);
            snprintf(id, sizeof id, "call-%d", ++number);
            prov_call c = { id, name, one[n] ? one + n + 1 : "{}" };
            for (size_t from = 0, all = strlen(c.arguments); from < all && h->piece; from += 8) {      /* as it is written */
                prov_piece part = { .answer = answer, .number = out->tokens, .text = c.arguments + from, .n = all - from < 8 ? all - from : 8, .token = -1,
                                    .logprob = (double)NAN, .call = true };
                h->piece(h->user, &part);
            }
            if (strcmp(name, "?") == 0) {            /* one that cannot be read */
                c.name = "";
                if (h->misread)
                    h->misread(h->user, answer, "line 1, column 3 of the call: no JSON stands there");
            }
            if (h->call)
                h->call(h->user, answer, &c);
            if (next && h->between && !h->between(h->user, answer, out->tokens))     /* before the next one's first token */
                out->finish = PROV_STOPPED;
            free(name);
            free(one);
        }
    }
    return rc;
}

static int script_ask(prov *base, const prov_request *r, const prov_hooks *h, prov_result *out, char *err)
{
    script_prov *p = (script_prov *)base;
    int n = r->n > 1 ? r->n : 1, rc = Q_OK;
    p->hooks = h;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        rc = script_one(p, r, i, &out[i], err);
        if (out[i].finish == PROV_STOPPED)
            for (i++; i < n; i++)
                out[i].finish = PROV_STOPPED;
    }
    p->hooks = NULL;
    p->result = NULL;
    return rc;
}

static int script_renew(prov *base, const prov_hooks *h, char *err)
{
    script_prov *p = (script_prov *)base;
    p->hooks = h;
    int rc = p->n_text ? script_sync(p, PROV_RECOMPUTE, err) : Q_OK;
    p->hooks = NULL;
    return rc;
}

static void script_forget(prov *base)
{
    script_prov *p = (script_prov *)base;
    p->n_cell = p->n_text = 0;
    p->stale = false;
}

static int script_set(prov *base, const prov_config *c, enum prov_policy policy, char *err)
{
    script_prov *p = (script_prov *)base;
    if (p->s.sets && ++p->n_set > p->s.sets)
        return q_fail(err, Q_NOMEM, "not enough memory for this configuration");
    int size = atoi(script_value((const script_config *)c, "context.length"));
    if (size < p->n_cell)
        return q_fail(err, Q_RANGE, "the conversation already takes %d tokens: context.length cannot be %d", p->n_cell, size);
    enum q_effect e = script_diff(&p->c->base, c);
    if (e >= Q_EFFECT_POSITION)
        p->n_cell = 0;
    p->stale |= e >= Q_EFFECT_POSITION || (e >= Q_EFFECT_ROUTING && policy == PROV_RECOMPUTE);
    p->policy = policy;
    prov_config *copy = script_config_copy(c);
    script_config_free(&p->c->base);
    p->c = (script_config *)copy;
    return Q_OK;
}

static prov_config *script_present(prov *p) { return script_config_copy(&((script_prov *)p)->c->base); }
static void script_cancel(prov *p, bool on) { atomic_store(&((script_prov *)p)->cancel, on); }

static prov_room script_room(prov *base)
{
    script_prov *p = (script_prov *)base;
    return (prov_room){ .used = p->n_cell, .text = p->n_text, .size = script_context_size(p) };
}

static int script_runs(prov *base, prov_mix *out, int max)
{
    script_prov *p = (script_prov *)base;
    int n = 0;
    for (int i = 0; i < p->n_cell; i++) {
        if (n == 0 || (out[n - 1].config != p->cell[i].config && n < max))
            out[n++] = (prov_mix){ p->cell[i].config, 0 };
        out[n - 1].cells++;
    }
    return n;
}

static int script_mixture(prov *base, prov_mix *out, int max)
{
    script_prov *p = (script_prov *)base;
    int n = 0;
    for (int i = 0; i < p->n_cell; i++) {
        int at = 0;
        while (at < n && out[at].config != p->cell[i].config)
            at++;
        if (at == n && n < max)
            out[n++] = (prov_mix){ p->cell[i].config, 0 };
        if (at < n)
            out[at].cells++;
    }
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && out[j].cells > out[j - 1].cells; j--) {
            prov_mix m = out[j];
            out[j] = out[j - 1];
            out[j - 1] = m;
        }
    return n;
}

static int script_score(prov *base, const prov_request *before, const char *text, size_t n, void (*each)(void *, const prov_piece *), void *user, char *err)
{
    script_prov *p = (script_prov *)base;
    int32_t *t = NULL;
    int count = 0, from = before ? script_count_request(base, before, err) : 0;
    script_tokens(p, text, n, &t, &count);
    for (int i = 0; i < count; i++) {
        const char *w = p->word[t[i]];
        prov_piece piece = { .number = i + 1, .text = w, .n = strlen(w), .token = t[i], .logprob = from + i ? script_logprob(t[i], from + i) : (double)NAN };
        each(user, &piece);
    }
    free(t);
    return Q_OK;
}

/* Sixteen words at a time. Nothing is kept of it. */
static int script_judge(prov *base, const prov_request *r, int n_request, const char *const *text, int n, double *share, prov_go *go, void *user, char *err)
{
    script_prov *p = (script_prov *)base;
    int read = 0, all = 0;
    for (int i = 0; i < n_request; i++)
        all += script_count_request(base, &r[i], err);
    for (int i = 0; i < n_request; i++) {
        int words = script_count_request(base, &r[i], err);
        for (int at = 0; at < words; at += 16)
            if (atomic_load(&p->cancel) || (go && !go(user, read + at, all)))
                return q_fail(err, Q_CANCEL, "stopped");
        read += words;
        const char *say = script_find(p, &r[i], true);
        double first = *say ? strtod(say + 6, NULL) : .5;
        for (int k = 0; k < n; k++)
            share[i * n + k] = (k < n / 2 ? first : 1 - first) / (n / 2);
    }
    return Q_OK;
}

static int script_embed(prov *base, const char *text, size_t n, float *out, char *err)
{
    double sum = 0;
    for (int i = 0; i < SCRIPT_DIMS; i++) {
        out[i] = (float)(q_hash64(text, n, (uint64_t)i + 1) % 1000) / 1000.f - .5f;
        sum += (double)out[i] * (double)out[i];
    }
    for (int i = 0; i < SCRIPT_DIMS; i++)
        out[i] /= (float)sqrt(sum);
    return Q_OK;
}

static void script_spell_one(const prov *base, int32_t token, q_buf *out)
{
    const script_prov *p = (const script_prov *)base;
    if (token >= 0 && token < p->n_word)
        q_buf_puts(out, p->word[token]);
}

static void script_end(prov *base)
{
    script_prov *p = (script_prov *)base;
    script_config_free(&p->c->base);
    for (int i = 0; i < p->n_word; i++)
        free(p->word[i]);
    free(p->word);
    free(p->cell);
    free(p->text);
    free(p->say);
    free(p->call);
    free(p);
}

static const prov_kind script_kind = {
    .close = script_end, .config_new = script_config_new, .config_copy = script_config_copy, .config_free = script_config_free,
    .config_set = script_set_knob, .config_get = script_get, .config_number = script_number, .config_nudge_k = script_nudge_k,
    .config_range = script_range, .config_is_default = script_is_default,
    .config_k = script_k, .config_label = script_label, .config_json = script_json, .config_from_json = script_from_json,
    .config_hash = script_hash, .config_diff = script_diff, .config_cost = script_cost, .set = script_set, .present = script_present,
    .ask = script_ask, .renew = script_renew, .forget = script_forget, .cancel = script_cancel, .context = script_room, .mixture = script_mixture, .runs = script_runs,
    .count = script_count, .count_request = script_count_request, .score = script_score, .judge = script_judge, .embed = script_embed,
    .spell = script_spell_one,
};

/* The script must outlive it. o may be NULL. */
__attribute__((unused)) static int script_open(const script *s, const prov_opts *o, prov **out, char *err)
{
    script_prov *p = q_alloc(sizeof *p);
    prov_init(&p->base, &script_kind);
    p->s = *s;
    p->base.info = (prov_info){ .path = "script", .name = "Script", .languages = "en", .id = 77, .file_bytes = 1000, .params = 8000,
        .n_layer = SCRIPT_LAYERS, .n_expert = SCRIPT_EXPERTS, .n_moe_layer = SCRIPT_LAYERS, .n_ctx_train = 8192, .n_embd = SCRIPT_DIMS, .chat = true,
        .thinks = true, .can = (PROV_LIVE | PROV_ROUTING | PROV_LOGPROBS | PROV_COUNT | PROV_RAW | PROV_N | PROV_TOOLS | PROV_EMBED | PROV_BEGIN) & ~s->cannot };
    p->c = (script_config *)script_wrap(p);
    int rc = o && o->configure ? o->configure(o->user, &p->c->base, err) : Q_OK;
    if (rc < 0)
        prov_close(&p->base);
    else
        *out = &p->base;
    return rc;
}

#endif
