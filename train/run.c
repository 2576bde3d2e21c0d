/* train/run: a whole run: the order of examples, steps, checkpoints, what is measured on the way, what the adapter says of its making. See train.h. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/keep.h"
#include "train/step.h"

enum { EPOCHS = 3 /* where no number of steps is given */, LOOKS = 10 /* at what is held out, over a run */, CURVE = 100 /* points of it that the adapter carries */ };

typedef struct run {
    trn *t;
    const trn_run_terms *terms;
    kept k;
    int steps, look;                   /* held-out loss each so many steps */
    int *order;                        /* [n] of the epoch `epoch` */
    int64_t epoch;
    trn_example *batch;                /* [o.batch] */
    int every;                         /* steps between checkpoints; 0: not known yet */
    int64_t saved;                     /* step of the last checkpoint; -1: none */
    int64_t begun;                     /* steps that were there when this process began */
    double seconds;                    /* of its steps */
    uint64_t tokens;                   /* of examples of its steps */
} run;

/* ---- what a run is made of ---- */

static uint64_t mix_text(uint64_t h, const trn_text *x)
{
    h = q_mix64(h, (uint64_t)x->n);
    if (x->n < 1) return h;
    return q_hash64(x->mask, (size_t)x->n, q_hash64(x->token, sizeof *x->token * (size_t)x->n, h));
}

static uint64_t mix_examples(const trn_example *e, int n)
{
    uint64_t h = (uint64_t)n;
    for (int i = 0; i < n; i++) h = mix_text(mix_text(h, &e[i].chosen), &e[i].rejected);
    return h;
}

/* Hash of all that the numbers of a run come of; threads have no part in it. */
static uint64_t terms_of(const run *r, const eng_config *c, const eng_adapter *init)
{
    const trn_options *o = &r->t->o;
    const double real[] = { o->lr, o->beta1, o->beta2, o->eps, o->weight_decay, o->dpo_beta, o->clip };
    const uint64_t whole[] = { o->loss, (uint64_t)r->steps, (uint64_t)o->warmup, (uint64_t)o->batch, o->seed, o->memory, eng_model_info(r->t->model)->id, eng_config_hash(c),
                               eng_adapter_info_of(init)->hash, mix_examples(r->terms->example, r->terms->n), mix_examples(r->terms->heldout, r->terms->n_heldout) };
    return q_hash64(whole, sizeof whole, q_hash64(real, sizeof real, 1));
}

/* The order of an epoch's examples hangs on the seed and the epoch alone, so a run that goes on needs no memory of it. */
static void shuffle(run *r, int64_t epoch)
{
    uint64_t s[4], h = q_mix64(r->t->o.seed + 1, (uint64_t)epoch + 1);
    if (r->epoch == epoch) return;
    r->epoch = epoch;
    for (int i = 0; i < 4; i++) s[i] = h = q_mix64(h, (uint64_t)i + 1) | 1;
    for (int i = 0; i < r->terms->n; i++) r->order[i] = i;
    for (int i = r->terms->n - 1; i > 0; i--) {
        int j = (int)(q_random(s) % (uint64_t)(i + 1)), x = r->order[i];
        r->order[i] = r->order[j];
        r->order[j] = x;
    }
}

static void batch_at(run *r, int64_t step)
{
    for (int i = 0; i < r->t->o.batch; i++) {
        int64_t at = step * r->t->o.batch + i;
        shuffle(r, at / r->terms->n);
        r->batch[i] = r->terms->example[r->order[at % r->terms->n]];
    }
}

/* ---- provenance ---- */

static void hex(cJSON *j, const char *key, uint64_t h)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, h);
    cJSON_AddStringToObject(j, key, text);
}

static cJSON *settings_json(const run *r)
{
    const trn_options *o = &r->t->o;
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "loss", o->loss == TRN_DPO ? "dpo" : "sft");
    const struct { const char *key; double v; } all[] = { { "lr", o->lr }, { "beta1", o->beta1 }, { "beta2", o->beta2 }, { "eps", o->eps }, { "weight_decay", o->weight_decay },
        { "clip", o->clip }, { "steps", r->steps }, { "warmup", o->warmup }, { "batch", o->batch } };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) cJSON_AddNumberToObject(j, all[i].key, all[i].v);
    char seed[24];                                         /* whole: a double holds 53 bits */
    snprintf(seed, sizeof seed, "%" PRIu64, o->seed);
    cJSON_AddRawToObject(j, "seed", seed);
    if (o->loss == TRN_DPO) cJSON_AddNumberToObject(j, "dpo_beta", o->dpo_beta);
    return j;
}

/* Losses of at most CURVE steps, evenly taken, the last among them, and every held-out loss. */
static void add_curve(cJSON *j, const run *r)
{
    cJSON *curve = cJSON_AddArrayToObject(j, "curve"), *held = cJSON_AddArrayToObject(j, "heldout");
    int64_t apart = (r->k.step + CURVE - 1) / CURVE;
    if (!isnan(r->k.first)) {
        cJSON *p = cJSON_CreateArray();
        cJSON_AddItemToArray(p, cJSON_CreateNumber(0));
        cJSON_AddItemToArray(p, cJSON_CreateNumber(r->k.first));
        cJSON_AddItemToArray(held, p);
    }
    for (int64_t i = 0; i < r->k.step; i++)
        for (int side = 0; side < 2; side++) {
            double v = side ? r->k.row[i].heldout : r->k.row[i].loss;
            if (isnan(v) || (!side && (r->k.step - 1 - i) % apart)) continue;
            cJSON *p = cJSON_CreateArray();
            cJSON_AddItemToArray(p, cJSON_CreateNumber((double)i + 1));
            cJSON_AddItemToArray(p, cJSON_CreateNumber(v));
            cJSON_AddItemToArray(side ? held : curve, p);
        }
}

/* The caller's note, an object or some text, with `training` in it; malloc'ed. */
static char *note_of(const run *r, const eng_config *c, const char *note)
{
    cJSON *all = note && *note ? cJSON_Parse(note) : NULL, *j = cJSON_CreateObject();
    if (!cJSON_IsObject(all)) {
        cJSON_Delete(all);
        all = cJSON_CreateObject();
        if (note && *note) cJSON_AddStringToObject(all, "note", note);
    }
    cJSON_AddStringToObject(j, "by", "quorum " QUORUM_VERSION);
    cJSON_AddStringToObject(j, "base", eng_model_info(r->t->model)->name);
    hex(j, "base_id", eng_model_info(r->t->model)->id);
    hex(j, "config", eng_config_hash(c));
    hex(j, "examples_hash", mix_examples(r->terms->example, r->terms->n));
    cJSON_AddNumberToObject(j, "examples", r->terms->n);
    if (r->terms->n_heldout) {
        hex(j, "heldout_hash", mix_examples(r->terms->heldout, r->terms->n_heldout));
        cJSON_AddNumberToObject(j, "heldout_examples", r->terms->n_heldout);
    }
    cJSON_AddItemToObject(j, "settings", settings_json(r));
    add_curve(j, r);
    cJSON_DeleteItemFromObject(all, "training");
    cJSON_AddItemToObject(all, "training", j);
    char *text = cJSON_PrintUnformatted(all), *own = q_strdup(text ? text : "");
    cJSON_free(text);
    cJSON_Delete(all);
    return own;
}

/* ---- the loop ---- */

static int heldout(run *r, double *loss, char *err)
{
    *loss = NAN;
    return r->terms->n_heldout ? trn_loss_of(r->t, r->terms->heldout, r->terms->n_heldout, false, loss, err) : Q_OK;
}

static int save(run *r, char *err)
{
    if (r->saved == r->k.step || !r->terms->folder) return Q_OK;
    int rc = keep_write(r->terms->folder, r->t->low, &r->k, err);
    if (!rc) r->saved = r->k.step;
    return rc;
}

static bool told(const run *r)
{
    const keep_row *w = &r->k.row[r->k.step - 1];
    int64_t here = r->k.step - r->begun;
    trn_progress p = { (int)r->k.step, r->steps, w->loss, w->heldout, r->k.first, w->lr, r->seconds > 0 ? (double)r->tokens / r->seconds : 0,
                       here > 0 ? r->seconds / (double)here * (double)(r->steps - r->k.step) : 0, r->t->used.bytes };
    return !r->terms->progress || r->terms->progress(r->terms->user, &p);
}

/* The steps of a run that is gone on with. */
static void tell_past(const run *r)
{
    for (int64_t i = 0; i < r->k.step && r->terms->past; i++) {
        const keep_row *w = &r->k.row[i];
        r->terms->past(r->terms->user, &(trn_progress){ (int)i + 1, r->steps, w->loss, w->heldout, r->k.first, w->lr, 0, -1, r->t->used.bytes });
    }
}

static uint64_t tokens_of(const trn_example *e, int n)
{
    uint64_t all = 0;
    for (int i = 0; i < n; i++) all += (uint64_t)e[i].chosen.n + (uint64_t)(e[i].rejected.n > 0 ? e[i].rejected.n : 0);
    return all;
}

static int one(run *r, char *err)
{
    int64_t start = q_now_ns();
    keep_row w = { .lr = step_rate(&r->t->o, r->t->low->updates + 1), .heldout = NAN };
    batch_at(r, r->k.step);
    int rc = trn_step(r->t, r->batch, r->t->o.batch, &w.loss, err);
    if (rc) return rc;
    double took = (double)(q_now_ns() - start) * 1e-9;
    uint64_t tokens = tokens_of(r->batch, r->t->o.batch);
    w.tokens = tokens + (r->k.step ? r->k.row[r->k.step - 1].tokens : 0);
    r->seconds += took;
    r->tokens += tokens;
    keep_row_add(&r->k, w);                        /* the step is done: a stop from here on loses nothing */
    if (!r->every) r->every = took > 30 ? 1 : took > 0 ? (int)(30 / took) + 1 : 1000;
    return Q_OK;
}

/* What is held out, after the steps at which that is looked at. Stopped in it, a run looks when it goes on. */
static int look(run *r, char *err)
{
    int64_t n = r->k.step;
    if (!n || (n % r->look && n != r->steps) || !isnan(r->k.row[n - 1].heldout) || !r->terms->n_heldout) return Q_OK;
    r->saved = r->saved == n ? -1 : r->saved;
    return heldout(r, &r->k.row[n - 1].heldout, err);
}

static int loop(run *r, char *err)
{
    int rc = Q_OK;
    char why[Q_ERRLEN];
    while (r->k.step < r->steps && !rc) {
        rc = one(r, err);
        if (!rc) rc = look(r, err);
        if (!rc && r->terms->folder) rc = keep_curve(r->terms->folder, &r->k, false, err);
        if (!rc && !told(r)) rc = q_fail(err, Q_CANCEL, _("training was stopped"));
        if (!rc && (r->k.step - r->begun) % r->every == 0) rc = save(r, err);
    }
    if (rc == Q_CANCEL && save(r, why)) return q_fail(err, Q_IO, "%s", why);
    return rc ? rc : save(r, err);
}

static int begin(run *r, const eng_config *c, const eng_adapter *init, char *err)
{
    trn *t = r->t;
    const trn_run_terms *terms = r->terms;
    int rc = step_check(t, terms->example, terms->n, err);
    if (!rc && terms->n_heldout) rc = step_check(t, terms->heldout, terms->n_heldout, err);
    if (rc) return rc;
    if (!t->o.steps) t->o.steps = (int)(((int64_t)EPOCHS * terms->n + t->o.batch - 1) / t->o.batch);
    r->steps = t->o.steps;
    r->look = r->steps / LOOKS > 1 ? r->steps / LOOKS : 1;
    r->order = q_alloc(sizeof *r->order * (size_t)terms->n);
    r->batch = q_alloc(sizeof *r->batch * (size_t)t->o.batch);
    r->k.terms = terms_of(r, c, init);
    if (terms->folder) rc = q_mkdirs(terms->folder, err);
    if (rc) return rc;
    rc = terms->folder ? keep_read(terms->folder, t->low, &r->k, err) : Q_NOTFOUND;
    if (rc == Q_NOTFOUND) rc = heldout(r, &r->k.first, err);
    else if (!rc) r->saved = r->k.step;
    r->begun = r->k.step;
    if (!rc) tell_past(r);
    if (!rc) rc = look(r, err);
    return rc || !terms->folder ? rc : keep_curve(terms->folder, &r->k, true, err);
}

int trn_run(struct eng_model *m, const struct eng_config *c, const struct eng_adapter *init, const trn_options *o, const trn_run_terms *terms, const char *name,
            const char *note, struct eng_adapter **out, char *err)
{
    run r = { .terms = terms, .epoch = -1, .saved = -1, .every = terms->every, .k = { .first = NAN } };
    int rc = trn_new(m, c, init, o, &r.t, err);
    if (rc) return rc;
    r.t->stop.outer = terms->stop ? terms->stop : o->stop;
    rc = begin(&r, c, init, err);
    if (!rc) rc = loop(&r, err);
    if (!rc) {
        char *text = note_of(&r, c, note);
        rc = trn_adapter(r.t, name, text, out, err);
        free(text);
    }
    free(r.order), free(r.batch), free(r.k.row);
    trn_free(r.t);
    return rc;
}
