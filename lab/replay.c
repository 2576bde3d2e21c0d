/* lab/replay: an answer's tokens again, beside each other on forks of its timeline: as it was made, with its recorded routing
 * forced, under other settings, and under those with the recorded routing held. What is left of a difference when routing
 * is held is not routing's. Where all was evaluated anew in its midst it has several timelines, a part of its tokens in each. The
 * model's thread; the timeline that is asked about stays as it was. */
#include "base/say.h"
#include "engine/engine.h"
#include "lab/parts.h"
#include "memory/memory.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MADE, RECORD, OTHER, HELD, SIDES };
enum { SCRATCH = 8 << 20 /* logits at once */, PIECE = 8, PIECES = 24 };

typedef struct lab_parts replay;
struct lab_parts {
    eng_session *line[SIDES];
    const mem_trace *t;
    int n_made;
    eng_config **made, **other;          /* [n_made] that made its tokens, and what stands for each on the other sides */
    int *by;                             /* [n] which of them made a token */
    int n_layer, *layer;                 /* routed ones */
    double *kl[SIDES], *dlogp[SIDES];    /* [n] against MADE; of the token that came */
    double *shared;                      /* [n_layer] */
    double top1[SIDES];
    int *block;
};

/* ---- configurations ---- */
/* What holds for a whole timeline is the timeline's. *kept: there was such a thing. */
static int keep_positions(const eng_config *made, eng_config *other, bool *kept, char *err)
{
    if (eng_config_diff(made, other) < Q_EFFECT_POSITION)
        return Q_OK;
    int n, rc = Q_OK;
    const q_knob *k = eng_knobs(&n);
    q_buf v = { 0 };
    for (int i = 0; i < n && rc == Q_OK; i++)
        if (k[i].effect == Q_EFFECT_POSITION || strcmp(k[i].name, "kv.type") == 0 || strcmp(k[i].name, "context.length") == 0)
            rc = eng_config_set(other, k[i].name, eng_config_get(made, k[i].name, &v), err);
    q_buf_free(&v);
    *kept = true;
    return rc;
}

/* The configurations that the answer names, of which those that made tokens count; a token whose one is not among them is
 * a reason not to go on: what it was made by cannot be known. */
static int read_made(replay *r, eng_model *m, const lab_record *rec, const char *spec, q_buf *said, char *err)
{
    r->made = q_alloc(sizeof(eng_config *) * (size_t)(rec->n_config + 1));
    r->other = q_alloc(sizeof(eng_config *) * (size_t)(rec->n_config + 1));
    r->by = q_alloc(sizeof *r->by * (size_t)(r->t->n + 1));
    bool kept = false;
    for (int c = 0; c < rec->n_config; c++) {
        eng_config *one = eng_config_new(m);
        int rc = eng_config_from_json(one, rec->config[c], err);
        r->made[r->n_made] = one;
        r->other[r->n_made++] = eng_config_copy(one);
        q_buf again = { 0 };
        if (rc == Q_OK && spec)
            rc = lab_spec(r->other[c], spec, c ? &again : said, err);        /* what does nothing here is said once */
        q_buf_free(&again);
        if (rc == Q_OK && !spec && rec->now) {
            eng_config_free(r->other[c]);
            r->other[c] = eng_config_new(m);
            rc = eng_config_from_json(r->other[c], rec->now, err);
            if (rc == Q_OK)
                rc = keep_positions(one, r->other[c], &kept, err);
        }
        if (rc)
            return rc;
    }
    if (kept)
        q_buf_puts(said, _("rope.* and kv.type stay what they were when it was made: they hold for a whole timeline\n"));
    for (int i = 0; i < r->t->n; i++) {
        int c = 0;
        while (c < r->n_made && eng_config_hash(r->made[c]) != r->t->config[i])
            c++;
        if (c == r->n_made)
            return q_fail(err, Q_RANGE, _("what token %d was made by is not known any more: /again answers anew, then it can be replayed"), i + 1);
        r->by[i] = c;
    }
    return Q_OK;
}

/* ---- evaluation ---- */
static int shared_experts(const uint16_t *x, const uint16_t *y, int k, int *fewer)
{
    int nx = 0, ny = 0, both = 0;
    while (nx < k && x[nx] != LAB_NONE)
        nx++;
    while (ny < k && y[ny] != LAB_NONE)
        ny++;
    for (int i = 0; i < nx; i++)
        for (int j = 0; j < ny; j++)
            both += x[i] == y[j];
    *fewer = nx < ny ? nx : ny;
    return both;
}

/* Rows at..at+n of each side stand behind each other in the step. */
static void judge(replay *r, const eng_out *o, int at, int n, int n_vocab)
{
    for (int i = 0; i < n; i++) {
        const float *x = o->logits[i];
        double lx = judge_log_sum(x, n_vocab);
        for (int s = RECORD; s < SIDES; s++) {
            const float *y = o->logits[s * n + i];
            double ly = judge_log_sum(y, n_vocab);
            bool top;
            r->kl[s][at + i] = judge_kl(x, y, n_vocab, lx, ly, &top);
            r->top1[s] += top;
            if (at + i + 1 < r->t->n) {
                int32_t next = r->t->token[at + i + 1];
                r->dlogp[s][at + i] = (double)y[next] - ly - ((double)x[next] - lx);
            }
        }
        for (int l = 0; l < r->n_layer; l++) {
            int fewer;
            size_t row = (size_t)r->layer[l] * (size_t)o->n;
            int both = shared_experts(o->ids + (row + (size_t)i) * (size_t)o->max_k, o->ids + (row + (size_t)(OTHER * n + i)) * (size_t)o->max_k, o->max_k, &fewer);
            r->shared[l] += fewer ? (double)both / fewer : 1;
        }
    }
}

static int evaluate(replay *r, int from, int to, int rows, int n_vocab, const lab_terms *terms, char *err)
{
    const mem_trace *t = r->t;
    eng_row *row = q_alloc(sizeof *row * (size_t)(SIDES * rows));
    size_t cells = (size_t)t->n_layer * (size_t)t->max_k;
    int rc = Q_OK;
    for (int at = from; at < to && rc == Q_OK; at += rows) {
        int n = at + rows < to ? rows : to - at;
        eng_out o;
        if (terms && terms->go_on && !terms->go_on(terms->user, at, t->n)) {
            rc = q_fail(err, Q_CANCEL, _("stopped after %d of %d tokens"), at, t->n);
            break;
        }
        for (int s = 0; s < SIDES; s++)
            for (int i = 0; i < n; i++) {
                eng_row *one = &row[s * n + i];
                *one = (eng_row){ .session = r->line[s], .token = t->token[at + i], .want = ENG_WANT_LOGITS,
                                 .config = s == OTHER || s == HELD ? r->other[r->by[at + i]] : r->made[r->by[at + i]] };
                if (s == RECORD || s == HELD) {
                    one->forced = t->ids + (size_t)(at + i) * cells;
                    one->forced_k = t->max_k;
                }
            }
        if ((rc = eng_cache_step(eng_session_cache(r->line[MADE]), row, SIDES * n, true, &o, err)) == Q_OK)
            judge(r, &o, at, n, n_vocab);
    }
    free(row);
    return rc;
}

int lab_parts_new(struct eng_cache *beside, const struct mem_trace *t, const lab_record *rec, const char *spec, q_buf *said, lab_parts **out, char *err)
{
    eng_model *m = eng_cache_model(beside);
    const eng_info *info = eng_model_info(m);
    *out = NULL;
    if (t->n == 0 || t->n_layer != info->n_layer)
        return q_fail(err, Q_RANGE, _("the recorded routing is of another model"));
    replay *r = q_alloc(sizeof *r);
    *r = (replay){ .t = t };
    r->layer = q_alloc(sizeof *r->layer * (size_t)(info->n_layer + 1));
    for (int l = 0; l < info->n_layer; l++)
        if (eng_layer_is_moe(m, l))
            r->layer[r->n_layer++] = l;
    r->shared = q_alloc(sizeof *r->shared * (size_t)(r->n_layer + 1));
    r->block = q_alloc(sizeof *r->block * (size_t)t->n);
    for (int i = 0; i < SIDES; i++) {
        r->kl[i] = q_alloc(sizeof **r->kl * (size_t)t->n);
        r->dlogp[i] = q_alloc(sizeof **r->dlogp * (size_t)t->n);
    }
    int rc = read_made(r, m, rec, spec, said, err);
    if (rc == Q_OK)
        *out = r;
    else
        lab_parts_free(r);
    return rc;
}

int lab_parts_add(lab_parts *r, struct eng_session *s, int from, int to, const lab_terms *terms, char *err)
{
    const mem_trace *t = r->t;
    int n_vocab = eng_model_info(eng_cache_model(eng_session_cache(s)))->n_vocab, rows = SCRATCH / n_vocab, rc = Q_OK;
    rows = rows < 1 ? 1 : rows > ENG_STEP_ROWS / SIDES ? ENG_STEP_ROWS / SIDES : rows;
    for (int i = 0; i < to; i++)
        if (t->pos[i] != t->pos[0] + i || t->pos[i] >= eng_session_length(s) || eng_session_tokens(s)[t->pos[i]] != t->token[i])
            return q_fail(err, Q_RANGE, _("the context does not hold the last answer as it was made any more: /again answers anew, then this can be asked"));
    for (int i = 0; i < SIDES && rc == Q_OK; i++)
        if ((rc = eng_session_fork(s, &r->line[i], err)) == Q_OK)
            rc = eng_session_cut(r->line[i], t->pos[from], err);
    if (rc == Q_OK)
        rc = evaluate(r, from, to, rows, n_vocab, terms, err);
    for (int i = 0; i < SIDES; i++) {
        eng_session_free(r->line[i]);
        r->line[i] = NULL;
    }
    return rc;
}

void lab_parts_end(lab_parts *r, lab_replayed *o)
{
    int n = r->t->n, blocks = n / PIECE < 1 ? 1 : n / PIECE < PIECES ? n / PIECE : PIECES;
    *o = (lab_replayed){ .n = n, .pieces = blocks, .n_layer = r->n_layer };
    for (int i = 0; i < n; i++)
        r->block[i] = (int)((int64_t)i * blocks / n);
    for (int s = RECORD; s < SIDES; s++) {
        lab_held *h = &o->side[s - 1];
        h->kl = judge_mean(r->kl[s], r->block, n, blocks);
        h->dlogp = judge_mean(r->dlogp[s], r->block, n > 1 ? n - 1 : n, blocks);      /* nothing follows the last one */
        h->top1 = r->top1[s] / n;
    }
    for (int l = 0; l < r->n_layer; l++)
        o->overlap += r->shared[l] / n / r->n_layer;
}

void lab_parts_free(lab_parts *r)
{
    if (!r)
        return;
    for (int i = 0; i < SIDES; i++) {
        free(r->kl[i]);
        free(r->dlogp[i]);
    }
    for (int c = 0; c < r->n_made; c++) {
        eng_config_free(r->made[c]);
        eng_config_free(r->other[c]);
    }
    free(r->made);
    free(r->other);
    free(r->by);
    free(r->block);
    free(r->layer);
    free(r->shared);
    free(r);
}

int lab_replay(struct eng_session *s, const struct mem_trace *t, const lab_record *rec, const char *spec, q_buf *said, const lab_terms *terms,
               lab_replayed *out, char *err)
{
    lab_parts *r = NULL;
    *out = (lab_replayed){ .n = 0 };
    int rc = lab_parts_new(eng_session_cache(s), t, rec, spec, said, &r, err);
    if (rc == Q_OK)
        rc = lab_parts_add(r, s, 0, t->n, terms, err);
    if (rc == Q_OK)
        lab_parts_end(r, out);
    lab_parts_free(r);
    return rc;
}

/* ---- in words ---- */
static void say_side(const lab_replayed *o, const lab_held *h, const char *name, q_buf *out)
{
    q_buf_say(out, "%s\n", name);
    if (o->pieces < 2)
        q_buf_say(out, _("   KL %.4g nats a token · same likeliest %.1f%% · log-probability %+.4g\n"), h->kl.mean, 100 * h->top1, h->dlogp.mean);
    else
        q_buf_say(out, _("   KL %.4g nats a token (95%%: %.4g to %.4g) · same likeliest %.1f%% · log-probability %+.4g\n"), h->kl.mean, h->kl.low, h->kl.high,
                  100 * h->top1, h->dlogp.mean);
}

void lab_replayed_say(const lab_replayed *o, const char *spec, q_buf *out)
{
    char *held = q_printf(_("%s, with the recorded experts"), spec);
    q_buf_say(out, ngettext("%d token of the answer again, against how it was made\n", "%d tokens of the answer again, against how it was made\n",
                            (unsigned long)o->n), o->n);
    say_side(o, &o->side[LAB_RECORD], _("the recorded experts forced, its own settings"), out);
    say_side(o, &o->side[LAB_OTHER], spec, out);
    q_buf_say(out, _("   experts that both run: %.1f%%\n"), 100 * o->overlap);
    say_side(o, &o->side[LAB_HELD], held, out);
    if (o->side[LAB_OTHER].kl.mean > 0)
        q_buf_say(out, _("with routing held, %.1f%% of the difference is left\n"), 100 * o->side[LAB_HELD].kl.mean / o->side[LAB_OTHER].kl.mean);
    else
        q_buf_say(out, "%s\n", _("no difference"));
    if (o->pieces < 2)
        q_buf_say(out, _("too few tokens for an interval: from %d on\n"), 2 * PIECE);
    free(held);
}

static void put(cJSON *o, const char *key, const lab_held *h, bool interval)
{
    cJSON *one = cJSON_AddObjectToObject(o, key), *kl = cJSON_AddObjectToObject(one, "kl");
    cJSON_AddNumberToObject(kl, "mean", h->kl.mean);
    if (interval)
        cJSON_AddItemToObject(kl, "ci", cJSON_CreateDoubleArray((const double[]){ h->kl.low, h->kl.high }, 2));
    cJSON_AddNumberToObject(one, "top1_agreement", h->top1);
    cJSON_AddNumberToObject(one, "dlogp", h->dlogp.mean);
}

struct cJSON *lab_replayed_json(const lab_replayed *o)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "tokens", o->n);
    put(j, "recorded", &o->side[LAB_RECORD], o->pieces > 1);
    put(j, "other", &o->side[LAB_OTHER], o->pieces > 1);
    put(j, "held", &o->side[LAB_HELD], o->pieces > 1);
    cJSON_AddNumberToObject(j, "routing_overlap", o->overlap);
    return j;
}
