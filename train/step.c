/* train/step: one step: examples into passes, losses, gradients, the update. See train.h. */
#include "train/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PASS_ROWS = 1024 };             /* texts share a pass up to so many rows: part of the arithmetic */
static const uint64_t MEMORY = UINT64_C(2) << 30;

/* ---- opening ---- */

static trn_options defaults(const trn_options *o)
{
    trn_options d = *o;
    const struct { double *at, value; } all[] = { { &d.lr, 1e-4 }, { &d.beta1, .9 }, { &d.beta2, .999 }, { &d.eps, 1e-8 }, { &d.dpo_beta, .1 } };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i].at == 0) *all[i].at = all[i].value;
    double *const none[] = { &d.weight_decay, &d.beta1, &d.beta2 };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (*none[i] < 0) *none[i] = 0;
    if (d.batch < 1) d.batch = 1;
    if (!d.memory) d.memory = MEMORY;
    return d;
}

static int options_check(const trn_options *o, char *err)
{
    if (!(o->lr > 0 && o->lr <= 10) || !(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1) || !(o->eps > 0) || !(o->weight_decay <= 10) || !(o->dpo_beta > 0)
        || !(o->clip >= 0))
        return q_fail(err, Q_RANGE, _("training wants a learning rate above 0 and at most 10, betas from 0 to below 1, and eps, weight decay, clipping and the preference's beta that are not negative"));
    return o->steps < 0 || o->warmup < 0 ? q_fail(err, Q_RANGE, _("steps and warm-up cannot be negative")) : Q_OK;
}

/* What has a way back here. Sentences are those of ker_model_check for what no backend computes, and ours for the rest. */
static int model_check(const ker_model *m, char *err)
{
    static const char *const mixers[] = { [KER_MIX_MLA] = N_("latent attention (MLA)"), [KER_MIX_DELTA] = N_("linear attention (delta rule)") };
    for (int l = 0; l < m->n_layer; l++) {
        const char *what = m->layer[l].mixer != KER_MIX_GQA ? mixers[m->layer[l].mixer] : m->layer[l].q_gate ? N_("a gate on its attention") : NULL;
        if (what) return q_fail(err, Q_RANGE, _("layer %d has %s, through which quorum cannot train yet: take another model, or make a folder for a trainer with quorum train-config"), l, _(what));
    }
    return Q_OK;
}

int trn_new(struct eng_model *model, const struct eng_config *c, const struct eng_adapter *init, const trn_options *o, trn **out, char *err)
{
    trn *t = q_alloc(sizeof *t);
    t->o = defaults(o);
    t->model = model;
    t->m = eng_model_arithmetic(model);
    t->context = eng_config_number(c, "context.length");
    t->stop.outer = o->stop;
    int rc = options_check(&t->o, err);
    if (!rc) rc = model_check(t->m, err);
    if (!rc) rc = eng_config_arithmetic(c, &t->config, err);
    if (!rc) rc = lows_of(t->m, init, &t->low, err);
    if (!rc && !(t->team = team_new(t->o.threads))) rc = q_fail(err, Q_NOMEM, _("there is no memory for threads: close something and try again"));
    if (!rc) rc = frozen_open(&t->f, model, t->low, t->team, &t->stop, err);
    if (!rc) rc = pass_open(&t->p, &t->f, t->config.c, t->low->lowest, err);
    if (rc) trn_free(t);
    else *out = t;
    return rc;
}

void trn_free(trn *t)
{
    if (!t) return;
    if (t->f.model) {
        pass_close(&t->p);
        frozen_close(&t->f);
    }
    team_free(t->team);
    lows_drop(t->low);
    free(t->target), free(t->end);
    eng_config_arithmetic_free(&t->config);
    free(t);
}

/* ---- examples ---- */

/* Rows that a text needs: up to the one that foretells its last target. 0: it has none. */
static int rows_of(const trn_text *x)
{
    int last = 0;
    for (int i = 1; i < x->n; i++) if (x->mask[i]) last = i;
    return last;
}

static int text_check(const trn *t, const trn_text *x, int at, const char *which, char *err)
{
    for (int i = 0; i < x->n; i++)
        if (x->token[i] < 0 || x->token[i] >= t->m->n_vocab)
            return q_fail(err, Q_RANGE, _("example %d (%s) holds token %d, and the model has %d: it was made for another model"), at + 1, which, x->token[i], t->m->n_vocab);
    if (x->n > t->context)
        return q_fail(err, Q_RANGE, _("example %d (%s) has %d tokens, more than the context of %.0f: shorten it, or raise context.length"), at + 1, which, x->n, t->context);
    if (!rows_of(x)) return q_fail(err, Q_RANGE, _("example %d (%s) marks no token as a target, so it teaches nothing: leave it out"), at + 1, which);
    return Q_OK;
}

int step_check(const trn *t, const trn_example *e, int n, char *err)
{
    int rc = n < 1 ? q_fail(err, Q_RANGE, _("there are no examples to train on: add some first")) : Q_OK;
    for (int i = 0; i < n && !rc; i++) {
        bool pair = e[i].rejected.n > 0;
        if (pair != (t->o.loss == TRN_DPO))
            rc = q_fail(err, Q_RANGE, pair ? _("example %d is a pair of a better and a worse answer, which plain training cannot use: train with the loss dpo")
                                           : _("example %d has no worse answer to compare with: leave it out, or train with the loss sft"), i + 1);
        if (!rc) rc = text_check(t, &e[i].chosen, i, pair ? _("the better answer") : _("text"), err);
        if (!rc && pair) rc = text_check(t, &e[i].rejected, i, _("the worse answer"), err);
    }
    return rc;
}

/* ---- a pass ---- */

typedef struct group {                 /* examples that go through together */
    const trn_example *e;
    int n, n_text, rows, longest;
} group;

/* The next examples of [e, e + n) that fit so many rows; at least one. */
static group group_of(const trn_example *e, int n, int most)
{
    group g = { .e = e };
    for (; g.n < n; g.n++) {
        int a = rows_of(&e[g.n].chosen), b = rows_of(&e[g.n].rejected);
        if (g.n && g.rows + a + b > most) break;
        g.rows += a + b;
        g.n_text += 1 + (b > 0);
        g.longest = a > g.longest ? a : g.longest;
        g.longest = b > g.longest ? b : g.longest;
    }
    return g;
}

/* Texts and targets of a group into the pass; targets in the order of texts, t->end[text]: behind its last. */
static void enter(trn *t, const group *g)
{
    const int32_t **token = q_alloc(sizeof *token * (size_t)g->n_text);
    int *n = q_alloc(sizeof *n * (size_t)g->n_text), text = 0, row = 0;
    t->n_target = 0;
    for (int i = 0; i < g->n; i++)
        for (int side = 0; side < 2; side++) {
            const trn_text *x = side ? &g->e[i].rejected : &g->e[i].chosen;
            int rows = rows_of(x);
            if (!rows) continue;
            token[text] = x->token;
            n[text] = rows;
            for (int k = 1; k <= rows; k++)
                if (x->mask[k]) t->target[t->n_target++] = (pass_target){ .row = row + k - 1, .id = x->token[k] };
            t->end[text++] = t->n_target;
            row += rows;
        }
    pass_begin(&t->p, token, n, g->n_text);
    free(token), free(n);
    t->used.tokens += (uint64_t)g->rows;
}

/* logp of each text of the group, summed over its targets. */
static int logps(trn *t, const group *g, bool plain, bool keep, double *sum)
{
    t->f.plain = plain;
    int rc = pass_forward(&t->p, keep);
    if (!rc) rc = pass_logp(&t->p, t->target, t->n_target);
    t->f.plain = false;
    for (int x = 0, i = 0; x < g->n_text && !rc; x++) {
        sum[x] = 0;
        for (; i < t->end[x]; i++) sum[x] += (double)t->target[i].logp;
    }
    return rc;
}

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* Adds the group's part of the loss, and of the gradients. total: targets of the whole batch, or pairs. */
static int through(trn *t, const group *g, double total, bool grad, double *loss)
{
    double *policy = q_alloc(sizeof *policy * (size_t)g->n_text * 2), *plain = policy + g->n_text;
    int rc = Q_OK;
    enter(t, g);
    if (t->o.loss == TRN_DPO) rc = logps(t, g, true, false, plain);
    if (!rc) rc = logps(t, g, false, grad, policy);
    for (int x = 0, i = 0; x < g->n_text && !rc; x++) {
        double coef = -1 / total;
        if (t->o.loss == TRN_SFT) *loss -= policy[x] / total;
        else {                                                 /* texts lie in pairs: -log sigmoid(z), z = beta (better - worse) */
            int a = x & ~1;
            double z = t->o.dpo_beta * (policy[a] - plain[a] - (policy[a + 1] - plain[a + 1]));
            if (x == a) *loss += softplus(-z) / total;
            coef = (x == a ? -1 : 1) * t->o.dpo_beta / total / (1 + exp(z));
        }
        for (; i < t->end[x]; i++) t->target[i].coef = (float)coef;
    }
    if (!rc && grad) rc = pass_logp_back(&t->p, t->target, t->n_target);
    if (!rc && grad) rc = pass_backward(&t->p);
    free(policy);
    return rc;
}

static int targets_of(const trn_example *e, int n)
{
    int all = 0;
    for (int i = 0; i < n; i++)
        for (int k = 1; k < e[i].chosen.n; k++) all += e[i].chosen.mask[k] != 0;
    return all;
}

static int room_for(trn *t, const group *g, char *err)
{
    uint64_t fixed = lows_bytes(t->low);
    int rc = pass_room(&t->p, g->rows, g->longest, g->n_text, t->o.memory > fixed ? t->o.memory - fixed : 0, err);
    if (!rc && g->rows > t->max_target) {
        free(t->target), free(t->end);
        t->target = q_alloc(sizeof *t->target * (size_t)g->rows);
        t->max_target = g->rows;
        t->end = NULL;
    }
    if (!rc) t->end = q_realloc(t->end, sizeof *t->end * (size_t)g->n_text);
    uint64_t bytes = fixed + t->p.own.bytes + t->f.bytes;
    if (bytes > t->used.bytes) t->used.bytes = bytes;
    return rc;
}

uint64_t trn_foresee(trn *t, const trn_example *e, int n)
{
    uint64_t fixed = lows_bytes(t->low), most = 0;
    for (int at = 0; at < n; ) {
        group g = group_of(e + at, n - at, PASS_ROWS);
        uint64_t need = pass_need(&t->p, g.rows, g.longest, g.n_text, t->o.memory > fixed ? t->o.memory - fixed : 0);
        most = need > most ? need : most;
        at += g.n;
    }
    return fixed + most;
}

static int ended(trn *t, int rc, char *err)
{
    if (rc == Q_CANCEL) {
        atomic_store(&t->stop.own, false);
        return q_fail(err, rc, _("training was stopped"));
    }
    if ((rc == Q_NOMEM || rc == Q_RANGE) && *err) return rc;   /* it is said already */
    return q_fail(err, Q_ERR, _("the model's weights could not be read: is %s still there and whole?"), eng_model_info(t->model)->path);
}

int trn_loss_of(trn *t, const trn_example *e, int n, bool grad, double *loss, char *err)
{
    int rc = step_check(t, e, n, err), at = 0;
    int64_t start = q_now_ns();
    double total = t->o.loss == TRN_DPO ? n : targets_of(e, n), sum = 0;
    if (rc) return rc;
    *err = 0;
    if (grad) memset(t->low->g, 0, sizeof(float) * (size_t)t->low->n_param);
    for (int most = PASS_ROWS; at < n && !rc; ) {
        group g = group_of(e + at, n - at, most);
        rc = room_for(t, &g, err);
        if (rc == Q_NOMEM && g.n > 1) {                        /* fewer at once */
            most = g.rows / 2;
            rc = Q_OK;
            *err = 0;
            continue;
        }
        if (!rc) rc = through(t, &g, total, grad, &sum);
        at += g.n;
    }
    t->used.seconds += (double)(q_now_ns() - start) * 1e-9;
    if (rc) return ended(t, rc, err);
    *loss = sum;
    if (!isfinite(sum)) return q_fail(err, Q_ERR, _("the loss is no number: the adapter or the model holds numbers that are none, or the learning rate was too high; begin again with a lower one"));
    return Q_OK;
}

double step_rate(const trn_options *o, int64_t update)
{
    if (update <= o->warmup) return o->lr * (double)update / o->warmup;
    if (o->steps <= 0) return o->lr;
    double part = o->steps > o->warmup ? (double)(update - o->warmup) / (o->steps - o->warmup) : 1;
    return o->lr * (.1 + .9 * .5 * (1 + cos(M_PI * (part > 1 ? 1 : part))));
}

int trn_step(trn *t, const trn_example *e, int n, double *loss, char *err)
{
    int rc = trn_loss_of(t, e, n, true, loss, err);
    if (rc) return rc;
    double length = lows_length(t->low);
    if (!isfinite(length)) return q_fail(err, Q_ERR, _("the gradients are no numbers: the learning rate was too high; begin again with a lower one"));
    if (t->o.clip > 0 && length > t->o.clip) {
        float f = (float)(t->o.clip / length);
        for (int64_t i = 0; i < t->low->n_param; i++) t->low->g[i] *= f;
    }
    lows_adamw(t->low, &t->o, step_rate(&t->o, t->low->updates + 1));
    return Q_OK;
}

/* ---- what comes of it ---- */

int trn_adapter(const trn *t, const char *name, const char *note, struct eng_adapter **out, char *err)
{
    return lows_adapter(t->low, t->low->p, t->model, name, note, out, err);
}

int trn_gradients(const trn *t, struct eng_adapter **out, char *err) { return lows_adapter(t->low, t->low->g, t->model, "gradients", "", out, err); }

void trn_stop(trn *t) { atomic_store(&t->stop.own, true); }

trn_usage trn_used(const trn *t)
{
    trn_usage u = t->used;
    u.params = t->low->n_param;
    return u;
}
