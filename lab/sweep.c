/* lab/sweep: one knob at several values on the same tokens: what each gives the text, how often its likeliest token is that of
 * the knob's own value, what it reads and how fast it goes. Each value stands alone in a cache of its own; the own value
 * comes first, so that every difference is paired, token by token. The model's thread. */
#include "lab/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MOST = 64, STEPS = 8, RATE_CELLS = 76 };

typedef struct sweep {
    eng_model *m;
    lab_text text;
    const lab_terms *terms;
    double *logp, *own_logp, *delta;     /* [tokens] of the value at hand; of the own one; their difference */
    int32_t *top, *own_top;              /* [tokens] likeliest */
    int *block;                          /* [tokens] of each judged one */
    int judged;
    int from;                            /* first token of the window at hand */
    int before, total;                   /* tokens evaluated in earlier values; in all */
    int n_vocab;
    char *err;
} sweep;

/* ---- which values ---- */
static void add_value(lab_swept *o, const char *text, size_t n)
{
    snprintf(o->row[o->n++].value, sizeof o->row->value, "%.*s", (int)n, text);
}

static int too_many(char *err)
{
    return q_fail(err, Q_RANGE, _("that is more than %d values: a range may have a step, as in 1..128/8"), VALUES_MOST);
}

/* A..B or A..B/STEP, else one value as it stands. */
static int add_item(lab_swept *o, const q_knob *k, const char *item, size_t n, char *err)
{
    char word[64], *end, *dots = NULL;
    if (n == 0 || n >= sizeof o->row->value)
        return q_fail(err, Q_RANGE, _("values are numbers, ranges or both: 1,2,4 or 1..16 or 1..128/8, not \"%.*s\""), (int)(n < 60 ? n : 60), item);
    snprintf(word, sizeof word, "%.*s", (int)n, item);
    for (char *p = word; *p && !dots; p++)           /* "1...5" is from 1 to .5, "1.5..2" has its point before */
        dots = p[0] == '.' && p[1] == '.' ? p : NULL;
    if (!dots) {
        if (o->n == VALUES_MOST)
            return too_many(err);
        add_value(o, word, strlen(word));
        return Q_OK;
    }
    *dots = 0;
    double from = strtod(word, &end), to = from, step = 0;
    bool good = end != word && !*end;
    to = strtod(dots + 2, &end);
    good &= end != dots + 2 && (!*end || *end == '/');
    if (good && *end == '/') {
        char *at = end + 1;
        step = strtod(at, &end);
        good = end != at && !*end && step > 0;
    }
    if (!good || !isfinite(from) || !isfinite(to) || !isfinite(step))
        return q_fail(err, Q_RANGE, _("values are numbers, ranges or both: 1,2,4 or 1..16 or 1..128/8, not \"%.*s\""), (int)n, item);
    bool whole = k->type == Q_KNOB_INT || k->type == Q_KNOB_INTS;
    if (step == 0)
        step = whole || from == to ? 1 : fabs(to - from) / STEPS;
    double count = floor(fabs(to - from) / step + 1e-9) + 1;
    if (!(count <= VALUES_MOST - o->n))
        return too_many(err);
    for (int i = 0; i < (int)count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.10g", from < to ? from + step * i : from - step * i);
        add_value(o, text, strlen(text));
    }
    return Q_OK;
}

static int read_values(lab_swept *o, const q_knob *k, const char *values, char *err)
{
    int rc = Q_OK;
    o->row = q_alloc(sizeof *o->row * (VALUES_MOST + 1));
    for (const char *p = values; rc == Q_OK;) {
        size_t n = strcspn(p, ",");
        rc = add_item(o, k, p, n, err);
        if (!p[n])
            break;
        p += n + 1;
    }
    return rc;
}

/* Only what changes the distributions of the next token, or how fast they come. */
static int find_knob(const char *name, const q_knob **out, char *err)
{
    const q_knob *k = *out = spec_knob(name);
    if (!k)
        return q_fail(err, Q_NOTFOUND, _("there is no knob %s; /set in the shell lists them all"), name);
    if (k->effect == Q_EFFECT_FIXED)
        return q_fail(err, Q_RANGE, _("%s is fixed by the weights: no value of it can be tried"), k->name);
    if (k->type == Q_KNOB_PAIRS || k->type == Q_KNOB_PAIR_VALUES || k->type == Q_KNOB_TEXT)
        return q_fail(err, Q_RANGE, _("%s is a list and no number: /compare tries one such setting against another"), k->name);
    bool speed = strcmp(k->name, "threads") == 0;
    if ((k->effect < Q_EFFECT_ROUTING && !speed) || strcmp(k->name, "context.length") == 0)
        return q_fail(err, Q_RANGE, _("%s does not act on the probabilities that a sweep measures: experts.k, experts.temperature or rope.theta do"), k->name);
    return Q_OK;
}

/* ---- one value ---- */
static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    sweep *s = user;
    int at = s->from + pos, top = 0, done = s->before + at;
    if (pos % 16 == 0 && s->terms->go_on && !s->terms->go_on(s->terms->user, done, s->total))
        return q_fail(s->err, Q_CANCEL, _("stopped after %d of %d tokens"), done, s->total);
    bool last = pos + 1 == s->text.window || at + 1 == s->text.token.n;
    if (last)                            /* the next one has no context here */
        return Q_OK;
    for (int i = 1; i < s->n_vocab; i++)
        top = logits[i] > logits[top] ? i : top;
    s->top[s->judged] = top;
    s->block[s->judged] = s->text.block[at + 1];
    s->logp[s->judged++] = (double)logits[s->text.token.id[at + 1]] - judge_log_sum(logits, s->n_vocab);
    return Q_OK;
}

/* With a few tokens behind it, whatever the text's length. */
static double rate_of(eng_session *e, const eng_tokens *t)
{
    char ignored[Q_ERRLEN];
    int n = t->n < RATE_CELLS ? t->n : RATE_CELLS, room = eng_session_room(e) + eng_session_length(e);
    return eng_session_eval(e, t->id, n < room ? n : room, 0, NULL, 0, NULL, NULL, ignored) < 0 ? 0 : text_rate(e);
}

static void judge_row(sweep *s, lab_swept_row *row)
{
    int n = s->judged, same = 0;
    for (int i = 0; i < n; i++) {
        s->delta[i] = s->logp[i] - s->own_logp[i];
        same += s->top[i] == s->own_top[i];
    }
    row->logp = judge_mean(s->logp, s->block, n, s->text.blocks);
    row->over = judge_mean(s->delta, s->block, n, s->text.blocks);
    row->top1 = (double)same / n;
}

static int run_value(sweep *s, const eng_config *c, lab_swept_row *row, char *err)
{
    eng_config *with = eng_config_copy(c);
    eng_session *e = NULL;
    char words[24];
    snprintf(words, sizeof words, "%d", s->text.window < 16 ? 16 : s->text.window);
    s->judged = 0;
    s->err = err;
    int rc = eng_config_set(with, "context.length", words, err);
    if (rc == Q_OK)
        rc = eng_session_new(s->m, with, &e, err);
    for (s->from = 0; rc == Q_OK && s->from < s->text.token.n; s->from += s->text.window) {
        int n = s->text.token.n - s->from < s->text.window ? s->text.token.n - s->from : s->text.window;
        rc = eng_session_eval(e, s->text.token.id + s->from, n, 0, NULL, 0, on_row, s, err);
    }
    if (rc == Q_OK) {
        eng_cost cost = eng_model_cost(s->m, c);
        row->bytes = cost.bytes_layers + cost.bytes_head;
        row->rate = rate_of(e, &s->text.token);
    }
    eng_session_free(e);
    eng_config_free(with);
    s->before += s->text.token.n;
    return rc;
}

/* ---- all of them ---- */
/* What the knob makes of each; the own value gets a row where it has none, before the first greater one. */
static int settle(lab_swept *o, const q_knob *k, const eng_config *base, char *err)
{
    int taken = 0, at = -1, place = o->n;
    char why[Q_ERRLEN];
    q_buf v = { 0 };
    q_buf own_value = { 0 };
    eng_config_get(base, k->name, &own_value);
    double own = strtod(o->own, NULL);
    for (int i = 0; i < o->n; i++) {
        lab_swept_row *row = &o->row[i];
        eng_config *c = eng_config_copy(base);
        if (eng_config_set(c, k->name, row->value, why) < 0)
            row->refused = q_strdup(why);
        else if (strcmp(eng_config_get(c, k->name, &v), own_value.p) != 0 && k->effect > Q_EFFECT_PROMPT && eng_config_hash(c) == eng_config_hash(base))
            row->refused = q_printf(_("%s does nothing here while the other knobs stand as they do"), k->name);
        else {
            const char *is = eng_config_get(c, k->name, &v);
            if (strlen(is) < sizeof row->value)
                snprintf(row->value, sizeof row->value, "%s", is);
            at = at < 0 && strcmp(is, own_value.p) == 0 ? i : at;
            taken++;
        }
        place = place == o->n && strtod(row->value, NULL) > own ? i : place;
        eng_config_free(c);
    }
    q_buf_free(&v);
    q_buf_free(&own_value);
    if (!taken)
        return q_fail(err, Q_RANGE, "%s", o->n ? o->row[0].refused : "");
    if (at < 0) {
        memmove(o->row + place + 1, o->row + place, sizeof *o->row * (size_t)(o->n - place));
        o->row[at = place] = (lab_swept_row){ .own = true };
        snprintf(o->row[at].value, sizeof o->row->value, "%s", o->own);
        o->n++;
    }
    o->row[at].own = true;
    return Q_OK;
}

static int run_all(sweep *s, lab_swept *o, const q_knob *k, const eng_config *base, char *err)
{
    int rc = Q_OK, own = 0, todo = 0;
    for (int i = 0; i < o->n; i++) {
        own = o->row[i].own ? i : own;
        todo += !o->row[i].refused;
    }
    s->total = todo * s->text.token.n;
    for (int i = -1; i < o->n && rc == Q_OK; i++) {
        lab_swept_row *row = &o->row[i < 0 ? own : i];
        if (row->refused || i == own)
            continue;
        eng_config *c = eng_config_copy(base);
        rc = eng_config_set(c, k->name, i < 0 ? "default" : row->value, err);
        if (rc == Q_OK)
            rc = run_value(s, c, row, err);
        eng_config_free(c);
        if (rc == Q_OK && i < 0) {
            memcpy(s->own_logp, s->logp, sizeof *s->logp * (size_t)s->judged);
            memcpy(s->own_top, s->top, sizeof *s->top * (size_t)s->judged);
        }
        if (rc == Q_OK)
            judge_row(s, row);
    }
    o->tokens = s->judged;
    return rc;
}

int lab_sweep(eng_model *m, const eng_config *now, const lab_range *r, const char *text, size_t n, const lab_terms *terms, lab_swept *out, char *err)
{
    static const lab_terms usual = { .window = 0 };
    const q_knob *k = NULL;
    sweep s = { .m = m, .terms = terms ? terms : &usual, .n_vocab = eng_model_info(m)->n_vocab };
    eng_config *base = NULL;
    *out = (lab_swept){ .n = 0 };
    int rc = find_knob(r->knob, &k, err);
    if (rc == Q_OK)
        rc = read_values(out, k, r->values, err);
    if (rc == Q_OK) {
        q_buf v = { 0 };
        base = eng_config_copy(now);
        rc = eng_config_set(base, k->name, "default", err);
        snprintf(out->knob, sizeof out->knob, "%s", k->name);
        snprintf(out->own, sizeof out->own, "%s", eng_config_get(base, k->name, &v));
        q_buf_free(&v);
    }
    if (rc == Q_OK)
        rc = settle(out, k, base, err);
    if (rc == Q_OK)
        rc = text_open(m, text, n, s.terms->window, &s.text, err);
    if (rc == Q_OK) {
        size_t most = (size_t)s.text.token.n;
        double *numbers = q_alloc(sizeof *numbers * most * 3);
        int32_t *tops = q_alloc(sizeof *tops * most * 2);
        s.logp = numbers, s.own_logp = numbers + most, s.delta = numbers + 2 * most;
        s.top = tops, s.own_top = tops + most;
        s.block = q_alloc(sizeof *s.block * most);
        out->blocks = s.text.blocks;
        out->by_paragraph = s.text.by_paragraph;
        rc = run_all(&s, out, k, base, err);
        free(numbers);
        free(tops);
        free(s.block);
    }
    text_close(&s.text);
    eng_config_free(base);
    if (rc)
        lab_swept_free(out);
    return rc;
}

int lab_sweep_beside(struct eng_cache *beside, const lab_range *r, const char *text, size_t n, const lab_terms *terms, lab_swept *out, char *err)
{
    eng_model *m = eng_cache_model(beside);
    eng_config *c = eng_config_new(m);
    *out = (lab_swept){ .n = 0 };
    int rc = r->now ? eng_config_from_json(c, r->now, err) : Q_OK;
    if (rc == Q_OK)
        rc = lab_sweep(m, c, r, text, n, terms, out, err);
    eng_config_free(c);
    return rc;
}

void lab_swept_free(lab_swept *o)
{
    for (int i = 0; i < o->n; i++)
        free(o->row[i].refused);
    free(o->row);
    *o = (lab_swept){ .n = 0 };
}
