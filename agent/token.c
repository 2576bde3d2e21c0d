/* agent/token: /token and the cursor in the transcript: one token of an answer: what else could have stood there, and which
 * experts ran for it. Engine thread, in its turn: the alternatives come from the position before, evaluated again; the
 * routing is what was recorded. */
#include "agent/errands.h"
#include "agent/past.h"
#include "agent/talk.h"
#include "base/say.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALTERNATIVES = 5, SHOWN = 8, LAYERS = 128 };          /* of a list; layers: of a page, more than a model of today has */

/* What came, and the likeliest. r: of the position before it. */
static void say_place(const lab_whatif_result *r, q_buf *out, cJSON *json)
{
    int rank = 0, said = 0;
    if (!r->follows)
        return;
    for (int i = 0; i < r->n_word && !rank; i++)
        rank = strcmp(r->word[i].text, r->follows) == 0 ? i + 1 : 0;
    q_buf_say(out, _("probability %.4f"), r->p_follows[0]);
    if (rank)
        q_buf_say(out, _(", number %d of the likeliest"), rank);
    q_buf_say(out, _(" · entropy %.3f nats\n"), r->entropy[0]);
    cJSON_AddNumberToObject(json, "p", r->p_follows[0]);
    cJSON_AddNumberToObject(json, "entropy", r->entropy[0]);
    cJSON *list = cJSON_AddArrayToObject(json, "likeliest");
    for (int i = 0; i < r->n_word && said < ALTERNATIVES; i++, said++) {
        char *quoted = q_printf("\"%s\"", r->word[i].text);
        q_buf_say(out, "  %-24s %8.4f%s\n", quoted, r->word[i].p[0], i + 1 == rank ? _("  came") : "");
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "id", r->word[i].id);
        cJSON_AddStringToObject(one, "text", r->word[i].text);
        cJSON_AddNumberToObject(one, "p", r->word[i].p[0]);
        cJSON_AddItemToArray(list, one);
        free(quoted);
    }
}

/* How many experts stand in a layer's row. */
static int ran(const uint16_t *id, int max_k)
{
    int k = 0;
    while (k < max_k && id[k] != 0xFFFF)
        k++;
    return k;
}

static void say_experts(const mem_trace *t, int at, q_buf *out, cJSON *json)
{
    cJSON *layers = cJSON_AddArrayToObject(json, "layers");
    int said = 0, left = 0;
    q_buf_say(out, "%5s %7s %7s  %s\n", _("layer"), _("entropy"), _("margin"), _("experts with their weights"));
    for (int l = 0; l < t->n_layer; l++) {
        size_t row = (size_t)at * (size_t)t->n_layer + (size_t)l;
        const uint16_t *id = t->ids + row * (size_t)t->max_k;
        const float *w = t->weights + row * (size_t)t->max_k;
        int k = ran(id, t->max_k);
        if (!k)
            continue;
        cJSON *one = cJSON_CreateObject(), *experts, *weights;
        cJSON_AddNumberToObject(one, "layer", l);
        cJSON_AddNumberToObject(one, "entropy", (double)t->entropy[row]);
        cJSON_AddNumberToObject(one, "margin", (double)t->margin[row]);
        experts = cJSON_AddArrayToObject(one, "experts");
        weights = cJSON_AddArrayToObject(one, "weights");
        for (int i = 0; i < k; i++) {
            cJSON_AddItemToArray(experts, cJSON_CreateNumber(id[i]));
            cJSON_AddItemToArray(weights, cJSON_CreateNumber((double)w[i]));
        }
        cJSON_AddItemToArray(layers, one);
        if (said++ >= LAYERS) {
            left++;
            continue;
        }
        q_buf_say(out, isfinite(t->entropy[row]) ? "%5d %7.3f " : "%5d         ", l, (double)t->entropy[row]);
        if (isfinite(t->margin[row]))
            q_buf_say(out, "%7.3f ", (double)t->margin[row]);
        else
            q_buf_say(out, "%7s ", "");
        for (int i = 0; i < k && i < SHOWN; i++)
            q_buf_say(out, isfinite(w[i]) ? " e%d %.3f" : " e%d", id[i], (double)w[i]);
        if (k > SHOWN)
            q_buf_say(out, " +%d", k - SHOWN);
        q_buf_say(out, "\n");
    }
    if (left)
        q_buf_say(out, ngettext("… %d more layer; --json has all of them\n", "… %d more layers; --json has all of them\n", (unsigned long)left), left);
}

/* What could have come behind token `at` (from 0; -1: behind the prompt), under what made it. */
static int look_behind(agt *a, const answer_at *o, int at, lab_whatif_result *r, char *err)
{
    char *now = answer_made_by(a, o, at < 0 ? 0 : at);
    int rc = lab_whatif_spec(o->s, at < 0 ? o->t->pos[0] - 1 : o->t->pos[at], now, "", NULL, r, err);
    free(now);
    return rc;
}

static bool spells(agt *a, const mem_message *m) { return a->seat.who && prov_about(a->seat.who)->id == m->model_id; }

/* In its place, and behind it: what /whatif with the same number changes. */
static int say_both(agt *a, answer_at *o, int at, q_buf *out, cJSON *json, char *err)
{
    lab_whatif_result r = { .pos = 0 };
    int rc = answer_hold(a, o, at, "/token", err);
    if (rc == Q_OK && at >= 0 && (rc = look_behind(a, o, at - 1, &r, err)) == Q_OK)
        say_place(&r, out, json);
    lab_whatif_free(&r);
    if (rc == Q_OK && (rc = look_behind(a, o, at, &r, err)) == Q_OK && r.follows) {
        cJSON *after = cJSON_AddObjectToObject(json, "after");
        cJSON_AddStringToObject(after, "came", r.follows);
        q_buf_say(out, _("after it came \"%s\", "), r.follows);
        say_place(&r, out, after);
    }
    lab_whatif_free(&r);
    return rc;
}

/* At the record's end: the answer's very last token was chosen, and no other one was asked for behind it. */
static void say_last(const answer_at *o, int at, q_buf *out)
{
    if (at + 1 == o->t->n && o->m->stats.tokens == o->t->n + 1)
        q_buf_say(out, _("token %d, the answer's last, was chosen and not evaluated any more: it has no routing\n"), o->t->n + 1);
}

static void page(agt *a, answer_at *o, int at)
{
    char err[Q_ERRLEN];
    const mem_trace *t = o->t;
    q_buf out = { 0 }, spelt = { 0 }, visible = { 0 };
    cJSON *json = cJSON_CreateObject();
    if (spells(a, o->m) && at >= 0)
        prov_spell(a->seat.who, t->token[at], &spelt);
    q_buf_puts(&visible, "");
    q_say_visible(&visible, spelt.p ? spelt.p : "", spelt.len);
    if (o->number != o->of)
        q_buf_say(&out, _("answer %d of %d, "), o->number, o->of);
    if (at >= 0)
        q_buf_say(&out, _("token %d of %d, \"%s\" (id %d, position %d)\n"), at + 1, t->n, visible.p, t->token[at], t->pos[at]);
    else
        q_buf_say(&out, _("the prompt's last token (position %d)\n"), t->pos[0] - 1);
    say_last(o, at, &out);
    cJSON_AddNumberToObject(json, "token", at + 1);
    cJSON_AddNumberToObject(json, "of", t->n);
    if (at >= 0)
        cJSON_AddNumberToObject(json, "id", t->token[at]);
    cJSON_AddNumberToObject(json, "position", at >= 0 ? t->pos[at] : t->pos[0] - 1);
    cJSON_AddStringToObject(json, "text", visible.p);
    int rc = say_both(a, o, at, &out, json, err);
    if (rc != Q_OK)
        q_buf_say(&out, _("what else could have stood there cannot be said: %s\n"), err);
    if (at >= 0)
        say_experts(t, at, &out, json);
    answer_said(o, at, &out, json);
    note_page(&a->events, "/token", q_buf_take(&out), cJSON_PrintUnformatted(json));
    cJSON_Delete(json);
    q_buf_free(&spelt);
    q_buf_free(&visible);
}

static void token(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const char *text = j->text ? j->text : "";
    answer_at o = { .off = -1 };
    int number, at = -1, rc = answer_named(&text, &number, err);
    if (rc == Q_OK)
        rc = answer_find(a, number, &o, err);
    if (rc == Q_OK && *text && !answer_token(text, o.t->n, &at, &rc, err))
        rc = q_fail(err, Q_RANGE, _("/token [@ANSWER] [N]: a token of the last answer or of another one, from 1, or from its end with a minus; 0 is what stands before the first"));
    if (rc == Q_OK)
        page(a, &o, *text ? at : o.t->n - 1);
    else
        note(&a->events, AGT_ERROR, "%s", err);
    answer_done(&o);
}

const job_row job_token = { .name = "token", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = token };

/* ---- the cursor ---- */
/* Bytes as an answer shows them: U+FFFD stands for each that is no text. at[n], in order, go with them; one inside a
 * character to its beginning. */
static void as_shown(q_buf *all, size_t *at, int n)
{
    q_buf out = { 0 };
    int next = 0;
    q_buf_puts(&out, "");
    for (size_t i = 0; i < all->len;) {
        uint32_t cp;
        char c[4];
        size_t len = (size_t)q_utf8_next(all->p + i, all->len - i, &cp);
        for (; next < n && at[next] < i + len; next++)
            at[next] = out.len;
        q_buf_add(&out, c, (size_t)q_utf8_put(c, cp));
        i += len;
    }
    for (; next < n; next++)
        at[next] = out.len;
    q_buf_free(all);
    *all = out;
}

/* Where each token begins in the bytes of all of them; [n]: their end. Their bytes in *all. */
static size_t *begins(agt *a, const mem_message *m, const mem_trace *t, q_buf *all)
{
    size_t *at = q_alloc(sizeof *at * (size_t)(t->n + 1));
    q_buf_puts(all, "");
    for (int i = 0; i < t->n; i++) {
        at[i] = all->len;
        if (spells(a, m))
            prov_spell(a->seat.who, t->token[i], all);
    }
    at[t->n] = all->len;
    as_shown(all, at, t->n + 1);
    return at;
}

static bool blank_byte(char c) { return c == ' ' || c == '\n' || c == '\t'; }

/* A word begins with a token that begins with a blank, or that stands behind one. */
static bool begins_word(const q_buf *all, const size_t *at, int i)
{
    return i == 0 || (at[i] < all->len && blank_byte(all->p[at[i]])) || (at[i] > 0 && blank_byte(all->p[at[i] - 1]));
}

static int moved(const mem_trace *t, const q_buf *all, const size_t *begin, int at, int by, bool words)
{
    int step = by < 0 ? -1 : 1;
    for (int left = by * step; left > 0; left--) {
        int to = at + step;
        while (words && to > 0 && to < t->n && !begins_word(all, begin, to))
            to += step;
        if (to < 0 || to >= t->n)
            break;
        at = to;
    }
    return at;
}

enum { LONGEST = 256 };                  /* bytes that are behind the last token that ran: one token's at most */

/* Where the answer's own words begin among the bytes of its tokens. What was stopped may end in a word that was said and
 * never evaluated: no token of the record spells it. */
static const char *own_words(const q_buf *all, const char *own, size_t n)
{
    const char *text = n ? memmem(all->p, all->len, own, n) : NULL, *later;
    while (text && (later = memmem(text + 1, all->len - (size_t)(text + 1 - all->p), own, n)))
        text = later;                    /* a thought may have said the same before */
    for (size_t first = all->len > n ? all->len - n : 0; n && !text && first < all->len && n - (all->len - first) <= LONGEST; first++)
        if (memcmp(all->p + first, own, all->len - first) == 0)
            text = all->p + first;
    return text;
}

/* Where token i stands in the answer's text; *to 0: nowhere (a thought, a blank before the text, a byte of what is no text). */
static void place(const mem_message *m, const q_buf *all, const size_t *begin, int i, size_t *from, size_t *to)
{
    size_t n = strlen(m->text), given = m->n_config && m->config[0].at > 0 && (size_t)m->config[0].at < n ? (size_t)m->config[0].at : 0;
    const char *own = m->text + given;   /* /amend: before it stands what was given */
    n -= given;
    const char *text = own_words(all, own, n);
    size_t first = text ? (size_t)(text - all->p) : 0;
    *from = *to = 0;
    if (!text || begin[i + 1] <= first || begin[i] >= first + n)
        return;
    *from = given + (begin[i] > first ? begin[i] - first : 0);
    *to = given + (begin[i + 1] - first < n ? begin[i + 1] - first : n);
}

/* For a panel of 38 columns. */
static void narrow(const lab_whatif_result *r, const mem_trace *t, int at, const char *why, q_buf *out)
{
    int said = 0;
    if (r->follows) {
        q_buf_say(out, _("probability %.4f"), r->p_follows[0]);
        q_buf_say(out, "\n");
        for (int i = 0; i < r->n_word && said < ALTERNATIVES; i++, said++) {
            char *quoted = q_printf("\"%s\"", r->word[i].text);
            q_buf_say(out, "  %-20s %7.4f%s\n", quoted, r->word[i].p[0], strcmp(r->word[i].text, r->follows) == 0 ? " <" : "");
            free(quoted);
        }
    } else
        q_buf_say(out, "%s\n", why);
    q_buf_say(out, "%s\n", _("layer, entropy, margin, experts"));
    for (int l = 0; l < t->n_layer; l++) {
        size_t row = (size_t)at * (size_t)t->n_layer + (size_t)l;
        const uint16_t *id = t->ids + row * (size_t)t->max_k;
        int k = ran(id, t->max_k);
        if (!k)
            continue;
        q_buf_say(out, isfinite(t->entropy[row]) ? "%3d %5.2f " : "%3d       ", l, (double)t->entropy[row]);
        if (isfinite(t->margin[row]))
            q_buf_say(out, "%5.2f", (double)t->margin[row]);
        else
            q_buf_say(out, "%5s", "");
        for (int i = 0; i < k && i < 2; i++)
            q_buf_say(out, isfinite(t->weights[row * (size_t)t->max_k + (size_t)i]) ? " e%d %.2f" : " e%d", id[i], (double)t->weights[row * (size_t)t->max_k + (size_t)i]);
        if (k > 2)
            q_buf_say(out, " +%d", k - 2);
        q_buf_say(out, "\n");
    }
}

/* "LAYER EXPERT EXPERT …", a line a routed layer: the rows of `narrow`, all of each. */
static char *ran_text(const mem_trace *t, int at)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int l = 0; l < t->n_layer; l++) {
        const uint16_t *id = t->ids + ((size_t)at * (size_t)t->n_layer + (size_t)l) * (size_t)t->max_k;
        int k = ran(id, t->max_k);
        if (k)
            q_buf_printf(&b, "%d", l);
        for (int i = 0; i < k; i++)
            q_buf_printf(&b, " %d", id[i]);
        q_buf_puts(&b, k ? "\n" : "");
    }
    return q_buf_take(&b);
}

/* Which of the branch's answers this message is; 0: none. */
static int number_of(const agt *a, int64_t message)
{
    int n = 0;
    for (int i = 0; i < a->chat.path.n; i++) {
        n += a->chat.path.v[i].role == MEM_ASSISTANT;
        if (a->chat.path.v[i].id == message)
            return a->chat.path.v[i].role == MEM_ASSISTANT ? n : 0;
    }
    return 0;
}

/* The likeliest in its place where that is at hand, or where somebody asked for it; else what it would take. */
static int alternatives(agt *a, answer_at *o, int at, bool wanted, lab_whatif_result *r, q_buf *why, char *err)
{
    int cost, rc = wanted ? answer_hold(a, o, at - 1, "/token", err) : answer_near(a, o, at - 1, err);
    if (rc == Q_OK)
        rc = look_behind(a, o, at - 1, r, err);
    if (rc == Q_OK)
        return rc;
    if (!wanted && (cost = answer_cost(a, o)) > 0)
        q_buf_say(why, ngettext("a: what else could have stood here; %d token is evaluated again for it", "a: what else could have stood here; %d tokens are evaluated again for it",
                                (unsigned long)cost), cost);
    else
        q_buf_puts(why, err);
    return rc;
}

/* number: from 1, 0 the last, negative: from where the last look came to; text: how far, "w" behind it: words; value: what else could have
 * stood there is wanted, whatever that takes. */
static void look(agt *a, const job *j)
{
    char err[Q_ERRLEN], *end;
    long by = strtol(j->text, &end, 10);
    answer_at o = { .off = -1 };
    int which = number_of(a, j->id);
    if (!which || answer_find(a, which, &o, err) != Q_OK) {
        note(&a->events, AGT_ERROR, "%s", _("no routing was recorded with this answer"));
        return;
    }
    const mem_trace *t = o.t;
    q_buf all = { 0 }, out = { 0 }, why = { 0 };
    size_t *begin = begins(a, o.m, t, &all), from, to;
    lab_whatif_result r = { .pos = 0 };
    int64_t number = j->number >= 0 ? j->number : a->chat.looked == o.m->id ? a->chat.looked_at + 1 : -j->number;
    int at = number > 0 && number <= t->n ? (int)number - 1 : t->n - 1;
    at = moved(t, &all, begin, at, (int)by, *end == 'w');
    a->chat.looked = o.m->id;
    a->chat.looked_at = at;
    if (!desk_wanted(&a->desk) || j->value) {        /* a key that is held down does not pile up evaluations */
        alternatives(a, &o, at, j->value != NULL, &r, &why, err);
        q_buf_say(&out, _("token %d of %d"), at + 1, t->n);
        if (o.number != o.of)
            q_buf_say(&out, _(", answer %d of %d"), o.number, o.of);
        q_buf_say(&out, "\n");
        say_last(&o, at, &out);
        narrow(&r, t, at, why.p ? why.p : "", &out);
        place(o.m, &all, begin, at, &from, &to);
        agt_event e = { .kind = AGT_EV_LOOK, .id = o.m->id, .number = at + 1, .total = t->n, .done = (int64_t)from, .scroll = (int64_t)to, .text = q_buf_take(&out), .data = ran_text(t, at) };
        evq_push(&a->events, &e);
    }
    lab_whatif_free(&r);
    answer_done(&o);
    q_buf_free(&all);
    q_buf_free(&why);
    free(begin);
}

static const job_row job_look = { .name = "look", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = look };

void agt_look(agt *a, int64_t message, int number, int by, bool words)
{
    char text[32];
    snprintf(text, sizeof text, "%d%s", by, words ? "w" : "");
    desk_post(&a->desk, &job_look, message, number, text, NULL);
}

void agt_look_again(agt *a, int64_t message, int number) { desk_post(&a->desk, &job_look, message, number, "0", "again"); }
