/* cli/train: `quorum train-config` and `quorum train-plan`: folders that a trainer runs. The room advice/ makes them; the losses by which
 * examples are put in an order are measured here, where there is an engine. */
#include "advice/course.h"
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "engine/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const cli_command cli_train_config = { "train-config", N_(
    "quorum train-config trl|axolotl|llamafactory --method lora|qlora|full --model NAME --data FILE... --out DIR [--machine NAME]\n"
    "    a folder in which that trainer runs: its files, the examples as it reads them, memory by part, what to watch\n"
    "    [--train attention,experts,dense,routers,embeddings,head] [--deepspeed zero2|zero3 | --fsdp] [--heldout SHARE|FILE]\n"
    "    [--context N] [--batch N] [--accumulate N] [--rank N] [--expert-rank N] [--rate X] [--epochs X | --steps N]\n"
    "    [--stop-loss X] [--patience N] [--order easy-first|hard-first -m FILE] [--weights FOLDER] [--force] [--json]\n"
    "    --model: of the catalogue, or a folder with config.json; --order: by the losses of the model that -m names"), cmd_train_config };
const cli_command cli_train_plan = { "train-plan", N_(
    "quorum train-plan FILE --out DIR [--machine NAME] [--force] [--json]\n"
    "    stages one after the other, each such a folder, with checks between and one run.sh that goes on where it was\n"
    "    interrupted; docs/training.md says what FILE holds"), cmd_train_plan };

enum { MOST_DATA = 256, MOST_TRAIN_FILE = 1 << 30 };
typedef struct args {
    adv_course c;
    const char *data[MOST_DATA], *out, *machine, *judge, *plan;
    bool force, json;
} args;

static bool real(const char *v, double max, double *out)
{
    char *end;
    *out = strtod(v, &end);
    return end != v && !*end && *out > 0 && *out <= max;
}

static bool word(const char *what, const char *v, int *out) { return (*out = adv_course_word(what, v)) >= 0; }

/* A numeric option of train-config; *known: it is one. */
static bool number(int argc, char **argv, int *i, adv_course *c, bool *known)
{
    const struct { const char *name; int *at; long max; } ints[] = { { "--context", &c->context, 1 << 22 }, { "--batch", &c->batch, 4096 },
        { "--accumulate", &c->accumulate, 4096 }, { "--rank", &c->rank, 4096 }, { "--expert-rank", &c->rank_expert, 4096 }, { "--steps", &c->steps, 100000000 },
        { "--patience", &c->patience, 1000 } };
    const struct { const char *name; double *at; double max; } reals[] = { { "--rate", &c->rate, 1 }, { "--epochs", &c->epochs, 1000 }, { "--stop-loss", &c->stop_loss, 100 } };
    const char *v;
    *known = true;
    for (size_t k = 0; k < sizeof ints / sizeof *ints; k++)
        if ((v = cli_opt(argc, argv, i, ints[k].name)))
            return cli_int(v, 1, ints[k].max, ints[k].at);
    for (size_t k = 0; k < sizeof reals / sizeof *reals; k++)
        if ((v = cli_opt(argc, argv, i, reals[k].name)))
            return real(v, reals[k].max, reals[k].at);
    return *known = false;
}

/* --data takes all that follows up to the next option. */
static bool data_files(int argc, char **argv, int *i, args *a)
{
    bool some = false;
    if (strcmp(argv[*i], "--data") != 0)
        return false;
    while (*i + 1 < argc && argv[*i + 1][0] != '-' && a->c.n_data < MOST_DATA) {
        a->data[a->c.n_data++] = argv[++*i];
        some = true;
    }
    return some;
}

static const cli_takes takes[] = {
    { "--method", N_("--method takes lora, qlora or full") }, { "--deepspeed", N_("--deepspeed takes zero2 or zero3, and not beside --fsdp") }, { "--order", N_("--order takes easy-first or hard-first") },
    { "--fsdp", N_("--fsdp does not go with --deepspeed: take one of them") }, { "--context", N_("--context takes a number of tokens, 1 to 4194304") }, { "--rate", N_("--rate takes a number above 0, at most 1: 2e-4") },
    { "--epochs", N_("--epochs takes a number above 0, at most 1000: 1, 0.5") }, { "--stop-loss", N_("--stop-loss takes a loss above 0, at most 100") }, { "--batch", N_("--batch takes a whole number, 1 to 4096") },
    { "--accumulate", N_("--accumulate takes a whole number, 1 to 4096") }, { "--rank", N_("--rank takes a whole number, 1 to 4096") }, { "--expert-rank", N_("--expert-rank takes a whole number, 1 to 4096") },
    { "--steps", N_("--steps takes a whole number, 1 to 100000000") }, { "--patience", N_("--patience takes a whole number, 1 to 1000") }, { "--data", N_("--data takes one file of examples or more") },
};

static int parse_config(int argc, char **argv, args *a)
{
    adv_course *c = &a->c;
    char err[Q_ERRLEN] = "";
    int w = 0, rows = 0;
    bool method = false;
    if (argc < 2 || !word("trainer", argv[1], &w))
        return cli_usage(&cli_train_config, _("train-config for which trainer? trl, axolotl or llamafactory"));
    c->trainer = (enum adv_trainer)w;
    for (int i = 2; i < argc; i++) {
        const char *v;
        bool known, good = number(argc, argv, &i, c, &known);
        if (known ? good : data_files(argc, argv, &i, a)) continue;
        if (known) ;
        else if ((v = cli_opt(argc, argv, &i, "--method"))) good = method = word("method", v, &w), c->method = (enum adv_method)w;
        else if ((v = cli_opt(argc, argv, &i, "--deepspeed"))) good = word("shard", v, &w) && (w == ADV_ZERO2 || w == ADV_ZERO3) && !rows++, c->shard = (enum adv_shard)w;
        else if ((v = cli_opt(argc, argv, &i, "--order"))) good = word("order", v, &w), c->order = (enum adv_order)w;
        else if ((v = cli_opt(argc, argv, &i, "--train"))) good = (c->trained = adv_course_trained(v, err)) != 0;
        else if ((v = cli_opt(argc, argv, &i, "--model"))) good = (c->model = v) != NULL;
        else if ((v = cli_opt(argc, argv, &i, "--weights"))) good = (c->weights = v) != NULL;
        else if ((v = cli_opt(argc, argv, &i, "--heldout"))) good = (c->heldout = v) != NULL;
        else if ((v = cli_opt(argc, argv, &i, "--machine"))) good = (a->machine = v) != NULL;
        else if ((v = cli_opt(argc, argv, &i, "--out"))) good = (a->out = v) != NULL;
        else if ((v = cli_opt(argc, argv, &i, "-m"))) good = (a->judge = v) != NULL;
        else if (strcmp(argv[i], "--fsdp") == 0) good = !rows++, c->shard = ADV_FSDP;
        else if (strcmp(argv[i], "--force") == 0) good = a->force = true;
        else if (strcmp(argv[i], "--json") == 0) good = a->json = true;
        if (!good)
            return *err ? cli_usage(&cli_train_config, err) : cli_wrong(&cli_train_config, "train-config", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    c->data = a->data;
    if (!method || !c->model || !c->n_data || !a->out)
        return cli_usage(&cli_train_config, _("train-config needs --method, --model, --data and --out"));
    return (c->order == ADV_AS_IS) == !a->judge ? 0 : cli_usage(&cli_train_config, _("--order goes by the losses of the model that -m names: give both or neither"));
}

static int machine_of(const char *name, adv_machine *out, char *err)
{
    if (name)
        return adv_machine_find(name, out, err);
    adv_machine_here(false, out);
    return 0;
}

/* ---- losses ---- */
typedef struct scoring { const eng_tokens *t; int n_vocab; double nll; int n; } scoring;

static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    scoring *s = user;
    (void)ids, (void)weights, (void)max_k;
    if (pos + 1 >= s->t->n)
        return 0;
    float most = logits[0];
    double sum = 0;
    for (int i = 1; i < s->n_vocab; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int i = 0; i < s->n_vocab; i++)
        sum += exp((double)logits[i] - (double)most);
    s->nll += (double)most + log(sum) - (double)logits[s->t->id[pos + 1]];
    s->n++;
    return 0;
}

/* Mean loss of a text's first `room` tokens; NAN: it is too short to have one. */
static int loss_of(eng_model *m, eng_session *s, const q_buf *text, int room, double *out, char *err)
{
    eng_tokens t = { 0 };
    int rc = eng_template(m, NULL, 0, false, -1, &t, err);
    if (rc >= 0)
        rc = eng_tokenize(m, text->p, text->len, false, &t, err);
    scoring sc = { .t = &t, .n_vocab = eng_model_info(m)->n_vocab };
    if (rc >= 0 && t.n > room)
        t.n = room;
    rc = rc < 0 ? rc : t.n < 2 ? 0 : eng_session_eval(s, t.id, t.n, 0, NULL, 0, on_row, &sc, err);
    *out = sc.n ? sc.nll / sc.n : NAN;
    eng_tokens_free(&t);
    return rc;
}

/* The loss of each line of a folder's examples under the model in file; *out: [*n], malloc'ed. */
static int measure(const char *dir, const char *file, int context, double **out, int *n, char *err)
{
    char *path = q_printf("%s/data/train.jsonl", dir);
    q_buf data = { 0 };
    eng_model *m = NULL;
    eng_config *c = NULL;
    eng_session *s = NULL;
    cli_sets none = { .n = 0 };
    *out = NULL;
    *n = 0;
    int rc = q_read_file(path, &data, MOST_TRAIN_FILE, err), all = 0;
    if (!rc && cli_open(file, &none, 0, &m, &c, err) != 0) {
        rc = Q_ERR;
        m = NULL;
        c = NULL;
    }
    int room = !rc && context < eng_model_info(m)->n_ctx_train ? context : rc ? 0 : eng_model_info(m)->n_ctx_train;
    if (!rc) rc = cli_room(c, &none, room, err);
    if (!rc) rc = eng_session_new(m, c, &s, err);
    for (size_t i = 0; i < data.len; i++)
        all += data.p[i] == '\n';
    *out = q_alloc(sizeof **out * (size_t)(all ? all : 1));
    cli_progress p;
    cli_progress_start(&p, _("measuring difficulty"));
    for (size_t at = 0; !rc && at < data.len;) {
        const char *nl = memchr(data.p + at, '\n', data.len - at);
        size_t len = nl ? (size_t)(nl - data.p) - at : data.len - at;
        q_buf text = { 0 };
        rc = adv_course_text(data.p + at, len, &text, err);
        if (!rc) rc = loss_of(m, s, &text, room, &(*out)[*n], err);
        q_buf_free(&text);
        *n += !rc;
        at += len + 1;
        cli_progress_step(&p, (uint64_t)*n, (uint64_t)all);
    }
    cli_progress_end(&p, !rc);
    if (s) eng_session_free(s);
    eng_config_free(c);
    if (m) eng_model_free(m);
    q_buf_free(&data);
    free(path);
    return rc;
}

static int columns(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* Puts a folder's examples in order; plot: the picture for a terminal. */
static int arrange(const char *dir, const adv_course *c, const char *judge, q_buf *plot, char *err)
{
    double *loss = NULL;
    int n = 0, rc = measure(dir, judge, c->context ? c->context : 4096, &loss, &n, err);
    if (!rc) rc = adv_course_order(dir, loss, n, c->order, err);
    if (!rc) {
        adv_course_sorted(loss, n, c->order);
        adv_course_plot(loss, n, columns(), plot);
    }
    free(loss);
    return rc;
}

static void tell(const args *a, const adv_course *c, const char *stage, const char *dir, const adv_coursed *d, const char *plot)
{
    q_buf out = { 0 };
    if (a->json) {
        char *own = adv_coursed_json(c, d);
        cJSON *j = cli_event(stage ? "train_stage" : "train_config"), *more = cJSON_Parse(own), *one;
        if (stage) cJSON_AddStringToObject(j, "stage", stage);
        cJSON_AddStringToObject(j, "folder", dir);
        while ((one = more ? more->child : NULL)) {
            char *key = q_strdup(one->string);
            cJSON_AddItemToObject(j, key, cJSON_DetachItemViaPointer(more, one));
            free(key);
        }
        cJSON_Delete(more);
        free(own);
        cli_say_event(j);
        return;
    }
    if (stage) q_buf_printf(&out, "%s: ", stage);
    adv_coursed_say(c, d, &out);
    if (plot) q_buf_puts(&out, plot);
    q_say_text(stdout, out.p);
    q_buf_free(&out);
}

int cmd_train_config(int argc, char **argv)
{
    args a = { .force = false };
    int rc = parse_config(argc, argv, &a);
    if (rc)
        return rc;
    char err[Q_ERRLEN];
    adv_machine machine;
    adv_coursed d = { .examples = 0 };
    q_buf plot = { 0 };
    char *weights = a.c.weights ? realpath(a.c.weights, NULL) : NULL;      /* the trainer runs in another folder */
    if (weights) a.c.weights = weights;
    a.c.machine = &machine;
    rc = machine_of(a.machine, &machine, err);
    if (!rc) rc = adv_course_write(&a.c, a.out, a.force, &d, err);
    if (!rc && a.c.order != ADV_AS_IS) rc = arrange(a.out, &a.c, a.judge, &plot, err);
    if (!rc) {
        tell(&a, &a.c, NULL, a.out, &d, plot.p);
        if (!a.json) q_say(stdout, d.load.fits ? _("%s is ready: its README.md says how it is run\n") : _("%s is written, but will not run on this machine: see the first line\n"), a.out);
    }
    free(weights);
    adv_coursed_free(&d);
    q_buf_free(&plot);
    return rc ? cli_fail(err) : 0;
}

static const cli_takes plan_takes[] = { { "--machine", N_("--machine takes a name: 4090, 4x4090, h100, cpu-64g") }, { "--out", N_("--out takes a folder") } };

static int parse_plan(int argc, char **argv, args *a)
{
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "--out"))) a->out = v;
        else if ((v = cli_opt(argc, argv, &i, "--machine"))) a->machine = v;
        else if (strcmp(argv[i], "--force") == 0) a->force = true;
        else if (strcmp(argv[i], "--json") == 0) a->json = true;
        else if (argv[i][0] != '-' && !a->plan) a->plan = argv[i];
        else good = false;
        if (!good)
            return cli_wrong(&cli_train_plan, "train-plan", plan_takes, (int)(sizeof plan_takes / sizeof *plan_takes), argv, i);
    }
    return a->plan && a->out ? 0 : cli_usage(&cli_train_plan, _("train-plan needs the plan's file and --out"));
}

int cmd_train_plan(int argc, char **argv)
{
    args a = { .force = false };
    int rc = parse_plan(argc, argv, &a), n = 0;
    if (rc)
        return rc;
    char err[Q_ERRLEN];
    adv_machine machine;
    adv_plan *plan = NULL;
    const adv_stage *stage = NULL;
    adv_coursed *d = q_alloc(sizeof *d * ADV_STAGES);
    rc = adv_plan_read(a.plan, &plan, err);
    if (!rc) rc = machine_of(a.machine ? a.machine : adv_plan_machine(plan), &machine, err);
    if (!rc) {
        adv_plan_on(plan, &machine);
        n = adv_plan_stages(plan, &stage);
        rc = adv_plan_write(plan, a.out, a.force, d, err);
    }
    for (int i = 0; !rc && i < n; i++) {
        q_buf plot = { 0 };
        char *dir = q_printf("%s/%s", a.out, stage[i].dir);
        if (stage[i].course.order != ADV_AS_IS) rc = arrange(dir, &stage[i].course, stage[i].judge, &plot, err);
        if (!rc) tell(&a, &stage[i].course, stage[i].name, dir, &d[i], plot.p);
        q_buf_free(&plot);
        free(dir);
    }
    bool fits = true;
    for (int i = 0; i < n; i++)
        fits = fits && d[i].load.fits;
    if (!rc && !a.json) q_say(stdout, fits ? _("%s is ready: its README.md says how it is run\n") : _("%s is written, but not every stage will run on this machine: see above\n"), a.out);
    for (int i = 0; i < n; i++)
        adv_coursed_free(&d[i]);
    free(d);
    adv_plan_free(plan);
    return rc ? cli_fail(err) : 0;
}
