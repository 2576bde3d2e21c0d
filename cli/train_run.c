/* cli/train_run: `quorum train run`: steps of training on a batch that a file gives, for scripts and for comparison with other trainers: the first
 * loss, the loss after each step, the gradients and the adapter that comes of it. Whole runs over conversations are quorum teach's. */
#include "base/say.h"
#include "cli/common.h"
#include "engine/adapter.h"
#include "engine/models.h"
#include "train/train.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_command cli_train = { "train", N_(
    "quorum train run -m F --init A.gguf --batch B.json... --steps N --out FINAL.gguf [--loss sft|dpo] [--lr X] [--beta1 X] [--beta2 X]\n"
    "                 [--eps X] [--weight-decay X] [--dpo-beta X] [--clip X] [--grad GRAD.gguf] [--threads N] [--set NAME=VALUE]... [--force] [--json]\n"
    "    trains the adapter A for N steps with AdamW at a constant rate (1e-4), on one batch, or on several in turn (--batch again); prints the first\n    loss and that after each step, of the batch that comes next\n"
    "    B.json: {\"sft\":{\"tokens\":[[…],…],\"mask\":[[0,1,…],…]}} (mask 1: a token to be foretold),\n"
    "    or {\"dpo\":{\"pairs\":[{\"prompt\":[…],\"chosen\":[…],\"rejected\":[…]},…]}}; --grad: the first step's gradients, in A's shape"), cmd_train };

enum { MOST_BATCH = 1 << 28, MOST_BATCHES = 256 };
typedef struct args {
    const char *model, *init, *batch[MOST_BATCHES], *out, *grad;
    int n_batch;
    trn_options o;
    bool force, json, loss;
    int steps;
    cli_sets sets;
} args;

/* none: 0 is a value, and not the default. */
static bool real(const char *v, bool none, double *out)
{
    char *end;
    *out = strtod(v, &end);
    return end != v && !*end && isfinite(*out) && (none ? *out >= 0 : *out > 0);
}

static bool number(int argc, char **argv, int *i, args *a, bool *known)
{
    const struct { const char *name; double *at; bool none; } reals[] = { { "--lr", &a->o.lr, false }, { "--beta1", &a->o.beta1, true }, { "--beta2", &a->o.beta2, true },
        { "--eps", &a->o.eps, false }, { "--weight-decay", &a->o.weight_decay, true }, { "--dpo-beta", &a->o.dpo_beta, false }, { "--clip", &a->o.clip, true } };
    const char *v;
    *known = true;
    for (size_t k = 0; k < sizeof reals / sizeof *reals; k++)
        if ((v = cli_opt(argc, argv, i, reals[k].name))) {
            bool good = real(v, reals[k].none, reals[k].at), beta = reals[k].at == &a->o.beta1 || reals[k].at == &a->o.beta2;
            if (good && beta && *reals[k].at == 0) *reals[k].at = -1;         /* train.h: 0 is the default there */
            return good;
        }
    if ((v = cli_opt(argc, argv, i, "--steps"))) return cli_int(v, 0, 1000000, &a->steps);
    if ((v = cli_opt(argc, argv, i, "--threads"))) return cli_int(v, 1, 256, &a->o.threads);
    return *known = false;
}

static const cli_takes takes[] = {
    { "--steps", N_("--steps takes a whole number, 0 to 1000000") }, { "--threads", N_("--threads takes a number of threads, 1 to 256") }, { "--lr", N_("--lr takes a number above 0: 1e-4") },
    { "--beta1", N_("--beta1 takes a number from 0 to below 1") }, { "--beta2", N_("--beta2 takes a number from 0 to below 1") }, { "--eps", N_("--eps takes a number above 0: 1e-8") },
    { "--weight-decay", N_("--weight-decay takes 0 or a number above it") }, { "--dpo-beta", N_("--dpo-beta takes a number above 0") }, { "--clip", N_("--clip takes 0 or a number above it") },
    { "--loss", N_("--loss takes sft or dpo") }, { "-m", N_("-m takes a file or a part of a model's name") }, { "--init", N_("--init takes an adapter, a file") },
    { "--batch", N_("--batch takes a file of examples, and stands 256 times at most") }, { "--out", N_("--out takes a file") }, { "--grad", N_("--grad takes a file") },
};

static int parse(int argc, char **argv, args *a)
{
    if (argc < 2 || strcmp(argv[1], "run") != 0) return cli_usage(&cli_train, _("train does one thing: train run"));
    for (int i = 2; i < argc; i++) {
        const char *v;
        bool known, good = number(argc, argv, &i, a, &known);
        if (known ? good : (v = cli_opt(argc, argv, &i, "-m")) != NULL) {
            if (!known) a->model = v;
            continue;
        }
        if (known) ;
        else if ((v = cli_opt(argc, argv, &i, "--init"))) a->init = v, good = true;
        else if (a->n_batch < MOST_BATCHES && (v = cli_opt(argc, argv, &i, "--batch"))) a->batch[a->n_batch++] = v, good = true;
        else if ((v = cli_opt(argc, argv, &i, "--out"))) a->out = v, good = true;
        else if ((v = cli_opt(argc, argv, &i, "--grad"))) a->grad = v, good = true;
        else if ((v = cli_opt(argc, argv, &i, "--loss"))) good = strcmp(v, "sft") == 0 || strcmp(v, "dpo") == 0, a->o.loss = strcmp(v, "dpo") == 0 ? TRN_DPO : TRN_SFT;
        else if ((v = cli_opt(argc, argv, &i, "--set")) && a->sets.n < CLI_MAX_SETS) a->sets.item[a->sets.n++] = v, good = true;
        else if (strcmp(argv[i], "--force") == 0) good = a->force = true;
        else if (strcmp(argv[i], "--json") == 0) good = a->json = true;
        if (!good) return cli_wrong(&cli_train, "train run", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    if (!a->model || !a->init || !a->n_batch || !a->out || a->steps < 0)
        return cli_usage(&cli_train, _("train run needs -m, --init, --batch, --steps and --out"));
    return 0;
}

/* ---- the batch ---- */
typedef struct batch { trn_example *e; int n; int32_t **token; uint8_t **mask; int n_text; } batch;

static void batch_free(batch *b)
{
    for (int i = 0; i < b->n_text; i++) free(b->token[i]), free(b->mask[i]);
    free(b->e), free(b->token), free(b->mask);
}

/* Numbers of a list behind at; false: one is none. */
static bool tokens(const cJSON *list, int32_t *to, int *at)
{
    const cJSON *v;
    if (!cJSON_IsArray(list)) return false;
    cJSON_ArrayForEach(v, list) {
        if (!cJSON_IsNumber(v) || v->valuedouble < 0 || v->valuedouble > INT32_MAX || v->valuedouble != floor(v->valuedouble)) return false;
        to[(*at)++] = (int32_t)v->valuedouble;
    }
    return true;
}

/* A text of tokens with its mask, or of a prompt and an answer, all of which is learnt. */
static bool text(batch *b, const cJSON *first, const cJSON *answer, const cJSON *mask, trn_text *out)
{
    int room = cJSON_GetArraySize(first) + cJSON_GetArraySize(answer), n = 0, prompt, i = b->n_text++;
    int32_t *t = b->token[i] = q_alloc(sizeof *t * (size_t)(room + 1));
    uint8_t *m = b->mask[i] = q_alloc((size_t)room + 1);
    if (!tokens(first, t, &n)) return false;
    prompt = n;
    if (answer && !tokens(answer, t, &n)) return false;
    if (answer) memset(m + prompt, 1, (size_t)(n - prompt));
    else if (!cJSON_IsArray(mask) || cJSON_GetArraySize(mask) != n) return false;
    int k = 0;
    const cJSON *v;
    if (!answer) cJSON_ArrayForEach(v, mask) {
        if (!cJSON_IsNumber(v) && !cJSON_IsBool(v)) return false;
        m[k++] = cJSON_IsTrue(v) || (cJSON_IsNumber(v) && v->valuedouble != 0);
    }
    *out = (trn_text){ t, m, n };
    return true;
}

static int batch_read(const char *path, bool dpo, batch *b, char *err)
{
    q_buf file = { 0 };
    *b = (batch){ .n = 0 };
    int rc = q_read_input(path, &file, MOST_BATCH, err);
    if (rc) return q_buf_free(&file), rc;
    cJSON *root = cJSON_ParseWithLength(file.p, file.len);
    const cJSON *s = cJSON_GetObjectItem(root, dpo ? "dpo" : "sft"), *list = cJSON_GetObjectItem(s, dpo ? "pairs" : "tokens"), *masks = cJSON_GetObjectItem(s, "mask"), *v;
    int n = cJSON_GetArraySize(list), at = 0;
    bool ok = cJSON_IsArray(list) && (dpo || (cJSON_IsArray(masks) && cJSON_GetArraySize(masks) == n));
    const cJSON *mask = ok && !dpo ? masks->child : NULL;
    b->e = q_alloc(sizeof *b->e * (size_t)(n + 1));
    b->token = q_alloc(sizeof *b->token * (size_t)(2 * n + 1));
    b->mask = q_alloc(sizeof *b->mask * (size_t)(2 * n + 1));
    for (v = ok ? list->child : NULL; v && ok; v = v->next, at++) {
        trn_example *e = &b->e[at];
        if (!dpo) ok = text(b, v, NULL, mask, &e->chosen), mask = mask->next;
        else {
            const cJSON *p = cJSON_GetObjectItem(v, "prompt"), *c = cJSON_GetObjectItem(v, "chosen"), *r = cJSON_GetObjectItem(v, "rejected");
            ok = c && r && text(b, p, c, NULL, &e->chosen) && text(b, p, r, NULL, &e->rejected);
        }
    }
    b->n = at;
    if (!root) rc = q_fail(err, Q_FORMAT, _("%s is no JSON: see quorum train --help for what it holds"), path);
    else if (!ok) rc = q_fail(err, Q_FORMAT, _("%s holds no batch for the loss %s, or its example %d is damaged: see quorum train --help for what it holds"), path, dpo ? "dpo" : "sft", at + !at);
    cJSON_Delete(root);
    q_buf_free(&file);
    if (rc) batch_free(b);
    return rc;
}

/* ---- steps ---- */

static void tell(const args *a, int step, double loss)
{
    if (!a->json) {
        if (!step) q_say(stdout, _("first loss %.7g\n"), loss);
        else q_say(stdout, _("after step %d %.7g\n"), step, loss);
        fflush(stdout);
        return;
    }
    cJSON *j = cli_event("train_loss");
    cJSON_AddNumberToObject(j, "step", step);
    cJSON_AddNumberToObject(j, "loss", loss);
    cli_say_event(j);
}

static void finished(const args *a, trn_usage u, const eng_adapter *made)
{
    char bytes[32];
    double rate = u.seconds > 0 ? (double)u.tokens / u.seconds : 0;
    if (!a->json) {
        q_say(stdout, _("%s: %d steps, %.1f tokens a second, %s of memory beside the model\n"), a->out, a->steps, rate, q_bytes_brief(u.bytes, bytes));
        return;
    }
    cJSON *j = cli_event("train_run");
    cJSON_AddStringToObject(j, "adapter", a->out);
    if (a->grad) cJSON_AddStringToObject(j, "gradients", a->grad);
    cJSON_AddNumberToObject(j, "steps", a->steps);
    cJSON_AddNumberToObject(j, "parameters", (double)eng_adapter_info_of(made)->params);
    cJSON_AddNumberToObject(j, "tokens", (double)u.tokens);
    cJSON_AddNumberToObject(j, "seconds", u.seconds);
    cJSON_AddNumberToObject(j, "tokens_s", rate);
    cJSON_AddNumberToObject(j, "bytes", (double)u.bytes);
    cli_say_event(j);
}

/* One that is there is written over only by force: asked before the work, not after it. */
static int free_to_write(const args *a, const char *path, char *err)
{
    int rc = path ? q_no_folder(path, a->out, err) : Q_OK;
    return rc || !path ? rc : eng_no_file(path, a->force, err);
}

/* Force or not: nothing that is read is written over, and the gradients are not the adapter. */
static int apart(const args *a, const eng_model *m, char *err)
{
    const char *const out[] = { a->out, a->grad };
    int rc = a->grad && (strcmp(a->grad, a->out) == 0 || q_same_file(a->grad, a->out)) ? q_fail(err, Q_RANGE, _("--out and --grad are one file: give each a name of its own")) : Q_OK;
    for (int i = 0; i < 2 && out[i]; i++) {
        if (!rc) rc = q_no_input(out[i], eng_model_info(m)->path, err);
        if (!rc) rc = q_no_input(out[i], a->init, err);
        for (int k = 0; k < a->n_batch && !rc; k++) rc = q_no_input(out[i], a->batch[k], err);
    }
    return rc;
}

/* b: [n_batch], in turn. */
static int steps(args *a, eng_model *m, const eng_config *c, const eng_adapter *init, const batch *b, char *err)
{
    trn *t = NULL;
    eng_adapter *made = NULL, *grad = NULL;
    double loss;
    int rc = trn_new(m, c, init, &a->o, &t, err);
    if (!rc) rc = trn_loss_of(t, b->e, b->n, a->grad != NULL, &loss, err);
    if (!rc) tell(a, 0, loss);
    if (!rc && a->grad) rc = trn_gradients(t, &grad, err);
    if (!rc && a->grad) rc = eng_adapter_write_gguf(grad, a->grad, a->force, err);
    for (int i = 0; i < a->steps && !rc; i++) {
        rc = trn_step(t, b[i % a->n_batch].e, b[i % a->n_batch].n, &loss, err);
        if (!rc && i) tell(a, i, loss);                        /* a step says the loss before it */
    }
    const batch *next = &b[a->steps % a->n_batch];
    if (!rc && a->steps) rc = trn_loss_of(t, next->e, next->n, false, &loss, err);
    if (!rc && a->steps) tell(a, a->steps, loss);
    if (!rc) rc = trn_adapter(t, eng_adapter_info_of(init)->name, "", &made, err);
    if (!rc) rc = eng_adapter_write_gguf(made, a->out, a->force, err);
    if (!rc) finished(a, trn_used(t), made);
    eng_adapter_free(made);
    eng_adapter_free(grad);
    trn_free(t);
    return rc;
}

int cmd_train(int argc, char **argv)
{
    args a = { .steps = -1 };
    int rc = parse(argc, argv, &a);
    if (rc) return rc;
    char err[Q_ERRLEN];
    eng_model *m = NULL;
    eng_config *c = NULL;
    eng_adapter *init = NULL;
    batch *b = q_alloc(sizeof *b * (size_t)a.n_batch);
    int n = 0;
    rc = free_to_write(&a, a.out, err);
    if (!rc) rc = free_to_write(&a, a.grad, err);
    for (; n < a.n_batch && !rc; n += !rc) rc = batch_read(a.batch[n], a.o.loss == TRN_DPO, &b[n], err);
    if (!rc && cli_open(a.model, &a.sets, a.o.threads, &m, &c, err) != 0) rc = Q_ERR, m = NULL, c = NULL;
    if (!rc) rc = apart(&a, m, err);
    if (!rc) rc = eng_adapter_read(m, a.init, &init, err);
    if (!rc) rc = steps(&a, m, c, init, b, err);
    eng_adapter_free(init);
    eng_config_free(c);
    if (m) eng_model_free(m);
    for (int i = 0; i < n; i++) batch_free(&b[i]);
    free(b);
    return rc ? cli_fail(err) : 0;
}
