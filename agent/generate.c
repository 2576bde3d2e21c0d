/* agent/generate: what the agent does while somebody answers: between two tokens it looks at stop, pause, pace and edits, in
 * that order; what comes is shown, kept and compared. Engine thread. A token that was shown is never taken back. */
#include "agent/generate.h"
#include "agent/errands.h"
#include "agent/past.h"
#include "agent/talk.h"
#include "agent/view.h"

#include <math.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what comes ---- */
/* Does it differ from its sibling for the first time, in this piece of n bytes? */
static bool differs(const turn *t, const char *text, size_t n)
{
    size_t at = t->text.len;
    for (size_t i = 0; t->compare && t->differs_at < 0 && i < n; i++)
        if (t->compare[at + i] != text[i] || !t->compare[at + i])
            return true;
    return false;
}

static void piece(void *user, const prov_piece *now)
{
    turn *t = user;
    if (now->call) {                       /* no part of the answer's text; the call is told when it is whole */
        t->calls.written += now->n;
        agt_event e = { .kind = AGT_EV_WRITING, .id = t->reply, .text = q_strndup(now->text, now->n), .done = (int64_t)t->calls.written, .number = now->number + t->before.tokens };
        evq_push(&t->a->events, &e);
        return;
    }
    prov_piece with = *now;
    const prov_piece *p = &with;
    char *parted = t->gap && !now->thinking && now->n ? q_printf("\n\n%.*s", (int)now->n, now->text) : NULL;
    if (parted) {                        /* the first words behind a call */
        with.text = parted;
        with.n = strlen(parted);
        t->gap = false;
    }
    bool leaves = !p->thinking && differs(t, p->text, p->n);
    if (p->token >= 0)
        t->token.surprise = -p->logprob;
    q_buf_add(p->thinking ? &t->think : &t->text, p->text, p->n);
    if (leaves && (t->differs_at = view_differs(t->text.p, t->compare)) < 0)
        t->differs_at = (int)(t->text.len - p->n);       /* a byte that ends a text for everybody else */
    agt_event e = { .kind = AGT_EV_TOKEN, .text = q_strndup(p->text, p->n), .thinking = p->thinking, .number = p->number + t->before.tokens,
                    .differs = leaves, .done = leaves ? t->differs_at : 0,
                    .token = p->token, .logprob = p->logprob, .id = t->reply };
    evq_push(&t->a->events, &e);
    free(parted);
}

void generate_begin(turn *t)
{
    char err[Q_ERRLEN];
    prov_piece p = { .text = t->begin, .n = strlen(t->begin), .token = -1, .logprob = (double)NAN };
    piece(t, &p);
    if (mem_reply_save(t->a->store, t->reply, t->text.p, t->text.len, "", 0, err) < 0)
        note(&t->a->events, AGT_WARN, "%s", err);
}

/* The share of experts that the token before had too, and the routers' entropy: means over the layers. */
static void measure(turn *t, const prov_position *p)
{
    uint8_t *had = t->token.had;
    int n = p->n_layer * p->max_k, same = 0, all = 0, layers = 0;
    bool any = t->token.n_ids == n && n > 0;
    double entropy = 0, most = log(prov_about(t->a->seat.who)->n_expert > 1 ? prov_about(t->a->seat.who)->n_expert : 2);
    for (int l = 0; l < p->n_layer; l++) {
        const uint16_t *now = p->ids + l * p->max_k, *was = t->token.ids + (any ? l * p->max_k : 0);
        for (int i = 0; any && i < p->max_k && was[i] != 0xFFFF; i++)
            had[was[i] >> 3] |= (uint8_t)(1u << (was[i] & 7));
        for (int i = 0; i < p->max_k && now[i] != 0xFFFF; i++, all++)
            same += had[now[i] >> 3] >> (now[i] & 7) & 1;
        for (int i = 0; any && i < p->max_k && was[i] != 0xFFFF; i++)
            had[was[i] >> 3] = 0;
        if (p->entropy && p->ids[l * p->max_k] != 0xFFFF && !isnan(p->entropy[l])) {
            entropy += (double)p->entropy[l];
            layers++;
        }
    }
    t->token.entropy = layers ? entropy / layers / most : NAN;
    t->token.repeat = any && all ? (double)same / all : NAN;
    if (t->token.n_ids != n)
        t->token.ids = q_realloc(t->token.ids, sizeof *t->token.ids * (size_t)(n + 1));
    t->token.n_ids = n;
    if (n > 0)                           /* a dense model has none */
        memcpy(t->token.ids, p->ids, sizeof *t->token.ids * (size_t)n);
}

/* Which experts ran for a token, layer by layer; dense layers are not in it. */
static char *layers_json(const prov_position *p)
{
    cJSON *all = cJSON_CreateArray();
    for (int l = 0; l < p->n_layer; l++) {
        const uint16_t *id = p->ids + (size_t)l * (size_t)p->max_k;
        const float *w = p->weights ? p->weights + (size_t)l * (size_t)p->max_k : NULL;
        if (id[0] == 0xFFFF)
            continue;
        cJSON *one = cJSON_CreateObject(), *experts, *weights;
        cJSON_AddNumberToObject(one, "layer", l);
        experts = cJSON_AddArrayToObject(one, "experts");
        weights = w ? cJSON_AddArrayToObject(one, "weights") : NULL;
        for (int i = 0; i < p->max_k && id[i] != 0xFFFF; i++) {
            cJSON_AddItemToArray(experts, cJSON_CreateNumber(id[i]));
            if (w)
                cJSON_AddItemToArray(weights, cJSON_CreateNumber((double)w[i]));
        }
        if (p->entropy)
            cJSON_AddNumberToObject(one, "entropy", (double)p->entropy[l]);
        if (p->margin)
            cJSON_AddNumberToObject(one, "margin", (double)p->margin[l]);      /* null: there is none */
        cJSON_AddItemToArray(all, one);
    }
    char *text = cJSON_PrintUnformatted(all);
    cJSON_Delete(all);
    return text;
}

/* What is not known is kept as that, never as 0. */
static void keep_position(mem_trace *t, const prov_position *p)
{
    size_t n = (size_t)p->n_layer * (size_t)p->max_k;
    float *none = p->weights && p->entropy && p->margin ? NULL : q_alloc(sizeof *none * (n + 1));
    for (size_t i = 0; none && i < n; i++)
        none[i] = NAN;
    mem_trace_add(t, p->token, p->pos, p->config, p->prompt, p->max_k, p->ids, p->weights ? p->weights : none, p->entropy ? p->entropy : none,
                  p->margin ? p->margin : none);
    free(none);
}

static void position(void *user, const prov_position *p)
{
    turn *t = user;
    watch_position(t->a, p);
    if (!p->prompt && p->ids)
        measure(t, p);
    if (p->prompt)
        return;
    keep_position(t->trace, p);
    if (t->a->routing && prov_about(t->a->seat.who)->n_moe_layer) {
        agt_event e = { .kind = AGT_EV_ROUTING, .number = t->trace->n, .token = p->token, .done = p->pos, .data = layers_json(p) };
        evq_push(&t->a->events, &e);
    }
}

/* By the clerk: a commit waits for the disk, and tokens should not. mem_reply_end settles whatever comes late. */
static void save(turn *t)
{
    desk_post(&t->a->desk, &job_save, t->reply, 0, t->text.p ? t->text.p : "", t->think.p ? t->think.p : "");
    t->saved_ns = q_now_ns();
}

void generate_progress(turn *t)
{
    agt *a = t->a;
    const prov_result *r = &t->so_far;
    prov_room room = prov_context(a->seat.who);
    if (r->tokens <= 1)
        t->began = room;
    uint64_t asked = room.asked - t->began.asked, fetched = room.fetched - t->began.fetched;
    pthread_mutex_lock(&a->shown.mu);
    a->shown.st.n_tokens = r->tokens;
    a->shown.st.thinking = r->thinking;
    a->shown.st.ctx_used = room.used;
    a->shown.st.experts.there = asked && room.fetched ? 1 - (double)fetched / (double)asked : 0;
    a->shown.st.experts.speed = r->tokens > 1 && r->decode_s > 0 ? (double)(room.fetched_bytes - t->began.fetched_bytes) / r->decode_s : 0;
    a->shown.st.experts.waited = r->tokens > 1 && r->decode_s > 0 ? (double)(room.fetch_wait_ns - t->began.fetch_wait_ns) / 1e9 / r->decode_s : 0;
    a->shown.st.experts.bytes = r->tokens > 1 ? (double)(room.fetched_bytes - t->began.fetched_bytes) / (r->tokens - 1) : 0;
    a->shown.st.experts.wait_ms = r->tokens > 1 ? (double)(room.fetch_wait_ns - t->began.fetch_wait_ns) / 1e6 / (r->tokens - 1) : 0;
    a->shown.st.experts.disk = room.from_disk;
    uint64_t drafted = room.drafted - t->began.drafted;
    a->shown.st.drafts.said = drafted ? (double)(room.drafts_said - t->began.drafts_said) / (double)drafted : -1;
    a->shown.st.drafts.rest = room.drafts_rest;
    a->shown.st.rate.decode = r->decode_s > 0 ? r->tokens / r->decode_s : 0;
    pthread_mutex_unlock(&a->shown.mu);
    if (r->tokens % 32 == 0)
        sync_mix(a);
}

/* With what the rounds before took. */
static prov_result total(const turn *t, const prov_result *r)
{
    prov_result all = *r;
    all.tokens += t->before.tokens;
    all.thinking_tokens += t->before.thinking_tokens;
    all.prefill_s += t->before.prefill_s;
    all.decode_s += t->before.decode_s;
    return all;
}

static void token(void *user, int answer, const prov_result *now)
{
    turn *t = user;
    const prov_result *r = &t->so_far;
    t->so_far = total(t, now);
    costs_token(t->a, (const double[TALLY_N]){ [AGT_SPEED] = r->decode_s - t->token.decode_s, [AGT_SURPRISE] = t->token.surprise,
                                               [AGT_REPEAT] = t->token.repeat, [AGT_ENTROPY] = t->token.entropy });
    t->token.decode_s = r->decode_s;
    t->token.surprise = t->token.repeat = t->token.entropy = NAN;
    generate_progress(t);
    if (q_now_ns() - t->saved_ns > 800000000)
        save(t);
}

static void call(void *user, int answer, const prov_call *c)
{
    turn *t = user;
    t->calls.v = q_realloc(t->calls.v, sizeof *t->calls.v * (size_t)(t->calls.n + 1));
    t->calls.v[t->calls.n++] = (called){ q_utf8_clean(c->name, strlen(c->name)), q_strdup(c->arguments ? c->arguments : ""), t->calls.misread };
    t->calls.misread = NULL;
    t->calls.written = 0;
}

static void misread(void *user, int answer, const char *why)
{
    turn *t = user;
    free(t->calls.misread);
    t->calls.misread = q_utf8_clean(why, strlen(why));
}

void generate_segment(turn *t)
{
    t->before = t->so_far;
    t->token.decode_s = 0;
    t->segment.text = t->text.len;
    t->segment.think = t->think.len;
    t->gap = t->text.len > 0;
}

/* ---- between two tokens ---- */
char *generate_config(const turn *t)
{
    char seed[32], err[Q_ERRLEN];
    prov_config *c = prov_config_copy(t->a->seat.cfg);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->seed);
    prov_config_set(c, "sampler.seed", seed, err);
    char *json = prov_config_json(c);
    prov_config_free(c);
    return json;
}

static void note_config(turn *t, int tokens)
{
    agt *a = t->a;
    char err[Q_ERRLEN], *change = caption_change(t->said, a->seat.cfg);
    if (!*change) {                      /* and back again: nothing was made in between */
        free(change);
        return;
    }
    char *json = generate_config(t);
    mem_message_config c = { tokens, (int64_t)t->text.len, prov_config_hash_all(a->seat.cfg), json, change, caption_mark(t->said, a->seat.cfg) };
    if (mem_reply_config(a->store, t->reply, &c, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    q_buf_printf(&t->caption, " → %s", change);
    agt_event e = { .kind = AGT_EV_LABEL, .id = t->reply, .text = q_strdup(t->caption.p), .number = tokens, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->made = q_alloc(sizeof *e.message->made);
    e.message->n_config = 1;
    *e.message->made = (agt_made){ view_key(json, false), view_key(json, true), c.at, c.mark };
    evq_push(&a->events, &e);
    prov_config_free(t->said);
    t->said = prov_config_copy(a->seat.cfg);
    free(change);
    free(json);
}

/* Waits while paused and as the pace asks; applies edits whenever they come. False: stop. */
static bool between(void *user, int answer, int tokens)
{
    turn *t = user;
    agt *a = t->a;
    tokens += t->before.tokens;
    for (enum desk_go go; (go = desk_between(&a->desk, t->last_ns)) != DESK_GO;) {
        if (go == DESK_STOP)
            return false;
        edits_apply(a, tokens);
    }
    t->last_ns = q_now_ns();
    if (a->seat.config_changed) {
        a->seat.config_changed = false;
        note_config(t, tokens);
    }
    return true;
}

/* Small models get caught; a large one that repeats itself has mostly been asked to. */
static bool repeats(void *user, int answer, int tokens)
{
    agt *a = ((turn *)user)->a;
    q_buf b = { 0 };
    const char *v = settings_value(&a->settings, "sampler.loop_stop", &b);
    const prov_info *info = prov_about(a->seat.who);
    bool on = strcmp(v, "on") == 0 || (strcmp(v, "auto") == 0 && (info->carved || (info->params && info->params < 3000000000u)));
    q_buf_free(&b);
    if (on)
        note(&a->events, AGT_WARN, ngettext("the answer repeats itself; stopped after %d token; sampler.repeat_penalty or more experts help",
                                            "the answer repeats itself; stopped after %d tokens; sampler.repeat_penalty or more experts help", (unsigned long)tokens), tokens);
    return on;
}

/* Once for each reason: it will be the same with the next answer. */
static void unrouted(void *user, const char *why)
{
    agt *a = ((turn *)user)->a;
    if (!a->seat.unrouted || strcmp(a->seat.unrouted, why) != 0)
        note(&a->events, AGT_WARN, "%s", why);
    free(a->seat.unrouted);
    a->seat.unrouted = q_strdup(why);
}

static bool enough(void *user, int answer)
{
    agt *a = ((turn *)user)->a;
    bool yes = desk_take_enough(&a->desk);
    if (yes)
        note(&a->events, AGT_INFO, _("the thinking is closed: the answer begins"));
    return yes;
}

static void prefill(void *user, int done, int total) { sync_prefill(((turn *)user)->a, done, total); }
static void prefilled(void *user, const prov_result *r)
{
    turn *t = user;
    sync_prefilled(t->a, r->evaluated);
    if (r->evaluated && t->made && !t->trace->made) {
        t->trace->made = origin_runs(t->a, t->made);
        t->made = NULL;
    } else if (r->evaluated && t->trace->made)
        t->trace->made = origin_turned(t->a, t->trace->made, r->tokens + t->before.tokens);
    t->saved_ns = q_now_ns();
}

enum mem_status generate(turn *t, const prov_request *r, const char **finish, char *err)
{
    static const struct { const char *word; enum mem_status status; } ends[] = {
        [PROV_ENDED] = { "", MEM_DONE }, [PROV_STOP_STRING] = { "stop string", MEM_DONE }, [PROV_MAX_TOKENS] = { "max_tokens", MEM_DONE },
        [PROV_FULL] = { "context", MEM_DONE }, [PROV_REPEATS] = { "loop", MEM_DONE }, [PROV_CALLS] = { "", MEM_DONE },
        [PROV_STOPPED] = { "stopped", MEM_STOPPED }, [PROV_FAILED] = { NULL, MEM_FAILED } };
    agt *a = t->a;
    prov_hooks h = { .user = t, .between = between, .prefill = prefill, .prefilled = prefilled, .piece = piece, .position = position,
                     .token = token, .call = call, .misread = misread, .repeats = repeats, .unrouted = unrouted, .enough = enough };
    t->token.surprise = t->token.repeat = t->token.entropy = NAN;
    desk_enough(&a->desk, false);        /* what was meant for another answer */
    a->seat.config_changed = false;
    a->seat.prefill_from = q_now_ns();
    a->seat.holds = a->chat.id;
    a->seat.leaf = t->reply;
    a->seat.shared = -1;
    prov_result now = { .finish = PROV_STOPPED };
    if (!desk_stopped(&a->desk, LANE_ENGINE))
        prov_ask(a->seat.who, r, &h, &now, err);
    t->so_far = total(t, &now);
    if (t->so_far.finish == PROV_FULL)
        note(&a->events, AGT_WARN, _("the answer reached the end of the context: /set context.length gives more room, or ask to go on"));
    if (t->so_far.finish == PROV_FAILED)
        note(&a->events, AGT_ERROR, "%s", err);
    *finish = ends[t->so_far.finish].word ? ends[t->so_far.finish].word : err;
    return ends[t->so_far.finish].status;
}
