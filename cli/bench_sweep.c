/* cli/bench_sweep: `quorum bench --sweep`: prefill and decode over the values of one setting or of two, of one model or of several. Reads its options, makes the
 * points, lets exam_speed measure them, and prints. Files of random weights that it makes itself are deleted again. */
#include "advice/advice.h"
#include "base/place.h"
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "engine/models.h"
#include "exam/exam.h"
#include "kernels/kernels.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MODELS = 16, VALUES = 32, LONGEST = 1 << 24 /* context.length's end */ };
typedef struct axis { char *name, *value[VALUES]; int n; } axis;         /* value points into text behind name */
typedef struct args {
    const char *model[MODELS], *like, *csv, *svg;
    axis axis[EXAM_AXES];
    int n_model, n_axis, layers, prompt, tokens, threads, rounds;
    cli_sets sets;
    bool json, force, made_up;
} args;
/* What is open: a model a file, a configuration a point. */
typedef struct opened { char *path; eng_model *m; eng_config *own; eng_energy cost; bool made; } opened;
typedef struct bench {
    const args *a;
    opened file[MODELS];
    eng_config *config[EXAM_POINTS];
    exam_fast point[EXAM_POINTS];
    bool spoiled[EXAM_POINTS];           /* refused by a value of an axis, not by memory or length */
    exam_speeds s;
    cli_progress progress;
    q_buf title;                         /* the models, a line each, and where they ran */
    char *machine, *all_cores;           /* its processor and instructions; what threads=0 is called */
    char *folder;                        /* of the files made; NULL: none are */
    char *label[MODELS];
    int n_file;
} bench;

static const cli_takes takes[] = {
    { "-p", N_("-p takes the number of tokens read at once, 1 to 1048576") }, { "-n", N_("-n takes the number of tokens made one after the other, 1 to 1048576") },
    { "-r", N_("-r takes the number of rounds, 1 to 1000") }, { "--layers", N_("--layers takes a number, 0 for all") },
    { "-m", N_("-m takes a model, and stands 16 times at most") },
    { "-t", N_("-t takes a number of threads, 1 to 1024; --sweep threads=1,2,4 compares several") },
    { "--sweep", N_("--sweep takes NAME=VALUE,VALUE,... with up to 32 values, and stands twice at most: --sweep k=1,2,4,8 --sweep context=0,2k") },
};

static bool read_axis(const char *text, axis *out)
{
    const char *is = strchr(text, '=');
    if (!is || is == text) return false;
    out->name = q_strdup(text);
    out->name[is - text] = '\0';
    char *save = NULL;
    for (char *v = strtok_r(out->name + (is - text) + 1, ",", &save); v; v = strtok_r(NULL, ",", &save)) {
        if (out->n == VALUES) return false;
        out->value[out->n++] = v;
    }
    return out->n > 0;
}

static int parse(const cli_command *as, int argc, char **argv, args *a)
{
    *a = (args){ .prompt = 512, .tokens = 32, .rounds = 3 };
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) good = a->n_model < MODELS && (a->model[a->n_model++] = v);
        else if ((v = cli_opt(argc, argv, &i, "--sweep"))) good = a->n_axis < EXAM_AXES && read_axis(v, &a->axis[a->n_axis++]);
        else if ((v = cli_opt(argc, argv, &i, "-p"))) good = cli_int(v, 1, 1 << 20, &a->prompt);
        else if ((v = cli_opt(argc, argv, &i, "-n"))) good = cli_int(v, 1, 1 << 20, &a->tokens);
        else if ((v = cli_opt(argc, argv, &i, "-t"))) good = cli_int(v, 1, 1024, &a->threads);
        else if ((v = cli_opt(argc, argv, &i, "-r"))) good = cli_int(v, 1, 1000, &a->rounds);
        else if ((v = cli_opt(argc, argv, &i, "--set"))) good = a->sets.n < CLI_MAX_SETS && (a->sets.item[a->sets.n++] = v);
        else if ((v = cli_opt(argc, argv, &i, "--like"))) a->like = v;
        else if ((v = cli_opt(argc, argv, &i, "--layers"))) good = cli_int(v, 0, 100000, &a->layers);
        else if ((v = cli_opt(argc, argv, &i, "--csv"))) good = *(a->csv = v) != '\0';
        else if ((v = cli_opt(argc, argv, &i, "--svg"))) good = *(a->svg = v) != '\0';
        else if (strcmp(argv[i], "--json") == 0) a->json = true;
        else if (strcmp(argv[i], "--force") == 0) a->force = true;
        else if (strcmp(argv[i], "--made-up") == 0) a->made_up = true;
        else good = false;
        if (!good) return cli_wrong(as, "bench --sweep", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    return 0;
}

static bool is(const axis *x, const char *name) { return strcmp(x->name, name) == 0; }

/* The same setting, by whatever name. */
static bool means(const char *a, const char *b)
{
    const char *x = lab_spec_name(a), *y = lab_spec_name(b);
    return strcmp(x ? x : a, y ? y : b) == 0;
}

/* --csv -: CSV stands on standard output, where else the table stands. */
static bool to_output(const args *a) { return a->csv && !strcmp(a->csv, "-"); }

static bool over(const args *a, const char *name)
{
    for (int i = 0; i < a->n_axis; i++)
        if (means(a->axis[i].name, name)) return true;
    return false;
}

/* 2048 and 2k; -1: it is neither. */
static int cells_of(const char *v)
{
    char *end;
    long n = strtol(v, &end, 10);
    if (*v < '0' || *v > '9' || n > LONGEST) return -1;
    if (*end == 'k' || *end == 'K') n *= 1024, end++;
    return *end || n > LONGEST ? -1 : (int)n;
}

/* Is it a number, as the values of most knobs are? */
static bool number(const char *v)
{
    char *end;
    strtod(v, &end);
    return end != v && *end == '\0';
}

/* 2k and 2048, 8 and 8.0, f16 and F16 are the same value; names of files are not. */
static bool twice(const axis *x)
{
    for (int v = 1; v < x->n; v++)
        for (int w = 0; w < v; w++) {
            const char *a = x->value[v], *b = x->value[w];
            bool both = number(a) && number(b);
            if (is(x, "context") ? cells_of(a) == cells_of(b) : both ? strtod(a, NULL) == strtod(b, NULL) : is(x, "model") ? !strcmp(a, b) : !strcasecmp(a, b)) return true;
        }
    return false;
}

/* What the axes ask of the rest; a model axis is added where there are several models. NULL: all is well; else what is wrong, to be translated. */
static const char *check(args *a)
{
    bool types = false, contexts = false;
    long points = 1;
    for (int i = 0; i < a->n_axis; i++) {
        types |= is(&a->axis[i], "type");
        for (int v = 0; is(&a->axis[i], "context") && v < a->axis[i].n; v++)
            if (cells_of(a->axis[i].value[v]) < 0) return N_("context takes numbers of tokens, as 0,2048 or 0,2k");
        contexts |= is(&a->axis[i], "context");
        if (is(&a->axis[i], "weights.ram")) return N_("memory for weights is chosen when a model is opened: bench with --weights-ram GIB, once for each");
        if (twice(&a->axis[i])) return N_("a --sweep has one value twice: give each of them once, and -r ROUNDS measures it more often");
        if (is(&a->axis[i], "model")) return N_("several models are several -m, not --sweep model=");
    }
    if (a->n_axis == 2 && means(a->axis[0].name, a->axis[1].name)) return N_("both --sweep are over the same setting");
    if (types && !a->like) return N_("--sweep type= needs --like SHAPE: random weights are made in each type; a file has the type that it has, give several -m instead");
    if (a->json && to_output(a)) return N_("--json and --csv - both write to standard output: give --csv a file");
    if (a->csv && a->svg && q_same_place(a->csv, a->svg)) return N_("--csv and --svg name the same file");
    if (a->made_up && !contexts) return N_("--made-up fills a context with numbers instead of reading it: it goes with --sweep context=0,2k,32k");
    if (a->like && !types) return N_("--like goes with --sweep type=T,T,...");
    if (a->like && a->n_model) return N_("--like and -m do not go together");
    if (a->n_model > 1 && a->n_axis == EXAM_AXES) return N_("several models are an axis of their own: with them only one --sweep");
    for (int i = 0; i < a->n_axis; i++) points *= a->axis[i].n;
    if (points * (a->n_model > 1 ? a->n_model : 1) > EXAM_POINTS) return N_("these are more than 64 points: give fewer values");
    return NULL;
}

/* ---- files ---- */
/* Minutes of writing are not waited for once they are of no use: what is there of the file goes, and the signal, heeded once, ends the program. */
typedef struct writing { cli_progress p; const bench *b; const char *path; } writing;

static void step(void *user, uint64_t done, uint64_t total)
{
    writing *w = user;
    cli_progress_step(&w->p, done, total);
    if (cli_go(NULL)) return;
    char *part = q_printf("%s.part", w->path);
    unlink(part);
    rmdir(w->b->folder);
    free(part);
    cli_progress_end(&w->p, false);
    cli_fail(_("stopped"));
    raise(cli_ended_by());
}

static int make(bench *b, int i, const char *type, char *err)
{
    const eng_known *known;
    const eng_variant *variant;
    int rc = eng_catalog_find(b->a->like, &known, &variant, err);
    if (rc != Q_OK) return rc;
    b->file[i].path = q_printf("%s/%d.gguf", b->folder, i);
    writing w = { .b = b, .path = b->file[i].path };
    char *words = q_printf(_("writing random weights, %s"), type);
    cli_progress_start(&w.p, words);
    b->file[i].made = true;
    rc = eng_synth(known->arch, known->like, type, b->a->layers, 1, w.path, step, &w, err);
    cli_progress_end(&w.p, rc == Q_OK);
    free(words);
    return rc;
}

static const axis *types_of(const args *a)
{
    for (int i = 0; i < a->n_axis; i++)
        if (is(&a->axis[i], "type")) return &a->axis[i];
    return NULL;
}

/* What was made is mapped by now: without a name it is gone with the process, however that ends. */
static void drop(opened *f)
{
    if (f->made) unlink(f->path);
    f->made = false;
}

/* What a model is called here: as its file, or where one before it is called so, by its whole path; the same file again by its number, too. */
static char *label_of(const bench *b, int i)
{
    const char *path = b->file[i].path ? b->file[i].path : "", *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (int j = 0; j < i; j++) {
        if (b->file[j].path && !strcmp(b->file[j].path, path)) return q_printf("%s (%d)", path, i + 1);
        if (!strcmp(b->label[j], name)) name = path;
    }
    return q_strdup(name);
}

/* Types are looked at before minutes of writing begin. */
static int types_known(const args *a, const axis *types, char *err)
{
    const eng_known *known;
    const eng_variant *variant;
    eng_energy of;
    int rc = types ? eng_catalog_find(a->like, &known, &variant, err) : Q_OK;
    for (int i = 0; types && i < types->n && rc == Q_OK; i++) rc = eng_energy_like(known->arch, known->like, types->value[i], a->layers, &of, err);
    return rc;
}

static int open_all(bench *b, char *err)
{
    const args *a = b->a;
    const axis *types = types_of(a);
    int rc = types_known(a, types, err);
    b->n_file = types ? types->n : a->n_model ? a->n_model : 1;
    if (b->n_file > MODELS) return b->n_file = 0, q_fail(err, Q_RANGE, _("at most %d models or types at once"), MODELS);
    if (types && rc == Q_OK) {
        const char *tmp = getenv("TMPDIR");
        b->folder = q_printf("%s/quorum-bench-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
        if (!mkdtemp(b->folder)) {
            rc = q_fail(err, Q_IO, _("no folder for files of random weights can be made below %s: set TMPDIR to one that can be written to"), tmp && *tmp ? tmp : "/var/tmp");
            free(b->folder);
            b->folder = NULL;
        }
    }
    for (int i = 0; i < b->n_file && rc == Q_OK; i++) {
        opened *f = &b->file[i];
        rc = types ? make(b, i, types->value[i], err) : cli_model_path(a->n_model ? a->model[i] : NULL, &f->path, err);
        if (rc == Q_OK) rc = eng_energy_read(f->path, &f->cost, err);
        if (rc == Q_OK && (rc = cli_open(f->path, &a->sets, a->threads, &f->m, &f->own, err)) != Q_OK) f->m = NULL, f->own = NULL;
        drop(f);
        b->label[i] = label_of(b, i);
    }
    if (b->folder && rmdir(b->folder) == 0) {
        free(b->folder);
        b->folder = NULL;
    }
    return rc;
}

static void close_all(bench *b)
{
    exam_speed_free(&b->s);
    for (int i = 0; i < b->s.n; i++) eng_config_free(b->config[i]);
    for (int i = 0; i < b->n_file; i++) {
        eng_config_free(b->file[i].own);
        eng_model_free(b->file[i].m);
        drop(&b->file[i]);
        free(b->file[i].path);
        free(b->label[i]);
    }
    if (b->folder) rmdir(b->folder);
    free(b->folder);
    q_buf_free(&b->title);
    free(b->machine);
    free(b->all_cores);
}

/* ---- points ---- */
/* A context has room: in what a cache may hold, and in memory now. `said`: as it was typed. */
static int room(bench *b, const opened *f, eng_config *c, int context, const char *said, char *err)
{
    const args *a = b->a;
    char w1[32], w2[32];
    eng_session *tried = NULL;
    int n = context + a->prompt + a->tokens + 2, rc = n > LONGEST ? Q_RANGE : Q_OK;
    bool fixed = over(a, "context.length");        /* the length is what is compared */
    if (rc == Q_OK && !fixed) rc = cli_room(c, &a->sets, n, err);
    if (rc == Q_OK && fixed) {
        q_buf words = { 0 };
        int length = atoi(eng_config_get(c, "context.length", &words));
        q_buf_free(&words);
        if (length > 0 && length < n) return q_fail(err, Q_RANGE, _("%d tokens do not fit into the context of %d: raise context.length or shorten the text"), n, length);
    }
    if (n > LONGEST) return q_fail(err, rc, _("context=%s leaves no room for %d tokens read and %d made: a context holds %d at most"), said, a->prompt, a->tokens, LONGEST);
    if (rc == Q_OK && context && (rc = eng_session_new(f->m, c, &tried, err)) == Q_NOMEM) {
        q_buf kv = { 0 };
        const char *type = eng_config_get(c, "kv.type", &kv);
        uint64_t needs = eng_energy_cells(&f->cost, type, (uint64_t)n), has = q_mem_available();
        if (needs <= has) q_fail(err, rc, _("context=%s does not fit: %s"), said, err);
        else q_fail(err, rc, _("context=%s needs %s for its cells, %s of memory are free: about %.0f tokens fit"), said, q_bytes_words(needs, w1), q_bytes_words(has, w2), (double)n * (double)has / (double)needs);
        q_buf_free(&kv);
    }
    eng_session_free(tried);
    return rc;
}

/* The file and what the axes say, put into the point's own configuration; what a knob does not take is the reason why it is left out. */
static void point(bench *b, int n, int file, const int at[EXAM_AXES])
{
    const args *a = b->a;
    opened *f = &b->file[file];
    exam_fast *p = &b->point[n];
    eng_config *c = b->config[n] = eng_config_copy(f->own);
    char err[Q_ERRLEN];
    const char *context = "0";
    int rc = Q_OK, axes = 0;
    *p = (exam_fast){ .m = f->m, .c = c };
    for (int i = 0; i < a->n_axis; i++) {
        const axis *x = &a->axis[i];
        p->at[axes++] = is(x, "threads") && number(x->value[at[i]]) && strtod(x->value[at[i]], NULL) == 0 ? b->all_cores : x->value[at[i]];
        if (is(x, "context")) p->context = cells_of(context = x->value[at[i]]);
        else if (!is(x, "type") && rc == Q_OK) {
            char *set = q_printf("%s=%s", x->name, x->value[at[i]]);
            q_buf said = { 0 };
            rc = lab_spec(c, set, &said, err);
            q_buf_free(&said);
            free(set);
        }
    }
    if (a->n_model > 1) p->at[axes++] = b->label[file];
    b->spoiled[n] = rc != Q_OK;
    if (rc == Q_OK) rc = room(b, f, c, p->context, context, err);
    if (rc != Q_OK) p->refused = q_strdup(err);
    eng_cost cost = eng_model_cost(f->m, c);
    p->weights = cost.bytes_layers + cost.bytes_head;
    p->madds = cli_bench_products(f->m, c, &f->cost);
    p->cells = cli_bench_cells(c, &f->cost, p->context + a->prompt + a->tokens / 2);
}

static void name_all(bench *b)
{
    for (int i = 0; i < b->n_file; i++) {
        const eng_info *info = eng_model_info(b->file[i].m);
        bool cpu = !strcmp(eng_model_device(b->file[i].m), "cpu");
        q_buf_puts(&b->title, i ? "\n" : "");
        q_buf_say(&b->title, "%s (%s, %s), ", info->name, info->arch, info->quant);
        int threads = eng_model_threads(b->file[i].m);
        if (cpu && !over(b->a, "threads")) q_buf_say(&b->title, ngettext("%d thread, ", "%d threads, ", (unsigned long)threads), threads);
        q_buf_puts(&b->title, cpu ? ker_cpu_features() : eng_model_device(b->file[i].m));
    }
    b->s.title = b->title.p;
    adv_machine here;
    adv_machine_here(false, &here);
    b->machine = q_printf("%s, %s", here.cpu, here.isa);
    b->s.machine = b->machine;
}

/* Before anything is measured: a value that no knob could take, of any model, ends it; a number that is too much for a model is told now, and the others are
 * measured. */
static int look(const bench *b, char *err)
{
    for (int i = 0; i < b->s.n; i++) {
        const exam_fast *p = &b->point[i];
        bool words = false;
        for (int a = 0; a < b->a->n_axis; a++) words |= !is(&b->a->axis[a], "type") && !is(&b->a->axis[a], "context") && !number(p->at[a]) && p->at[a] != b->all_cores;
        if (p->refused && b->spoiled[i] && words) return q_fail(err, Q_RANGE, _("%s; nothing was measured"), p->refused);
    }
    for (int i = 0; i < b->s.n; i++) {
        const exam_fast *p = &b->point[i];
        q_buf name = { 0 };
        for (int a = 0; a < b->s.n_axis; a++) q_buf_printf(&name, "%s%s=%s", a ? ", " : "", b->s.axis[a], p->at[a]);
        if (p->refused) q_say(stderr, _("quorum: %s is left out: %s\n"), name.p, p->refused);
        q_buf_free(&name);
    }
    for (int a = 0; a < b->a->n_axis; a++)
        for (int v = 0; is(&b->a->axis[a], "threads") && v < b->a->axis[a].n; v++)
            if (atoi(b->a->axis[a].value[v]) > q_cores())
                q_say(stderr, _("quorum: threads=%s is more than the %d processors that this program may keep busy: threads beyond them wait for one another\n"), b->a->axis[a].value[v], q_cores());
    return Q_OK;
}

static bool all_refused(const exam_speeds *s)
{
    for (int i = 0; i < s->n; i++)
        if (!s->point[i].refused) return false;
    return true;
}

static void points(bench *b)
{
    const args *a = b->a;
    const axis *types = types_of(a);
    int n[EXAM_AXES] = { 1, 1 };
    for (int i = 0; i < a->n_axis; i++) {
        n[i] = a->axis[i].n;
        b->s.axis[b->s.n_axis++] = a->axis[i].name;
    }
    if (a->n_model > 1) b->s.axis[b->s.n_axis++] = "model";
    for (int file = 0; file < (types ? 1 : b->n_file); file++)
        for (int y = 0; y < n[1]; y++)
            for (int x = 0; x < n[0]; x++) {
                const int at[EXAM_AXES] = { x, y };
                point(b, b->s.n++, !types ? file : types == &a->axis[0] ? x : y, at);
            }
    b->s.point = b->point;
}

static bool go(void *user, int done, int of)
{
    bench *b = user;
    cli_progress_step(&b->progress, (uint64_t)done, (uint64_t)of);
    return cli_go(NULL);
}

static void slow(void *user, double seconds)
{
    bench *b = user;
    cli_progress_end(&b->progress, false);
    int minutes = (int)(seconds / 60 + .5);
    q_say(stderr, ngettext("quorum: to read these contexts takes %d minute or more; --made-up fills them with numbers instead, and shorter ones take less\n",
                           "quorum: to read these contexts takes %d minutes or more; --made-up fills them with numbers instead, and shorter ones take less\n", (unsigned long)minutes), minutes);
    cli_progress_start(&b->progress, _("measuring"));
}

static double reads(void *user, eng_model *m) { return (void)user, cli_bench_reads(m); }
/* By each thread's own time, so more threads than processors only take longer. */
static double peaks(void *user, eng_model *m)
{
    int n = eng_model_threads(m);
    return (void)user, ker_cpu_peak(n < q_cores() ? n : q_cores(), .1);
}

/* ---- what is written ---- */
/* What is named after the measurement must be good before it: `read` where the files that are measured are known. */
static int may_put(const bench *b, bool read, char *err)
{
    const char *const path[] = { to_output(b->a) ? NULL : b->a->csv, b->a->svg }, *const like[] = { "speed.csv", "speed.svg" };
    int rc = Q_OK;
    for (int i = 0; i < 2 && rc == Q_OK; i++) {
        if (path[i] && !read) rc = cli_may_put(path[i], b->a->force, like[i], err);
        for (int f = 0; path[i] && read && f < b->n_file && rc == Q_OK; f++) rc = q_no_input(path[i], b->file[f].path, err);
    }
    return rc;
}

static int put(const bench *b, const char *path, void (*say)(const exam_speeds *, q_buf *), const char *like, char *err)
{
    q_buf out = { 0 };
    say(&b->s, &out);
    int rc = cli_put_picture(path, b->a->force, like, &out, err);
    q_buf_free(&out);
    if (rc == Q_OK) q_say(stderr, _("%s is written\n"), path);
    return rc;
}

static int tell(const bench *b, char *err)
{
    const args *a = b->a;
    q_buf out = { 0 };
    if (a->json) {
        cJSON *o = exam_speed_json(&b->s), *event = cli_event("speed");
        cJSON_AddItemToObject(event, "sweep", o);
        cli_say_event(event);
    } else if (to_output(a)) {
        exam_speed_csv(&b->s, &out);
        q_say_text(stdout, out.p);
    } else {
        q_buf_printf(&out, "%s\n\n", b->title.p);
        exam_speed_say(&b->s, &out);
        q_say_text(stdout, out.p);
    }
    q_buf_free(&out);
    int rc = a->csv && !to_output(a) ? put(b, a->csv, exam_speed_csv, "speed.csv", err) : Q_OK;
    return rc == Q_OK && a->svg ? put(b, a->svg, exam_speed_svg, "speed.svg", err) : rc;
}

int cli_bench_sweep(const cli_command *as, int argc, char **argv)
{
    args a;
    bench b = { .a = &a };
    char err[Q_ERRLEN];
    int status = parse(as, argc, argv, &a);
    const char *wrong = status ? NULL : check(&a);
    if (wrong) status = cli_usage(as, _(wrong));
    if (status) goto out;
    struct sigaction was[CLI_ENDS];
    int rc = may_put(&b, false, err);
    cli_heed_ends(SA_RESTART | SA_RESETHAND, was);
    if (rc == Q_OK) rc = open_all(&b, err);
    if (rc == Q_OK) rc = may_put(&b, true, err);
    if (rc == Q_OK) {
        b.all_cores = q_printf("0 (%d)", q_cores());
        points(&b);
        b.s.prompt = a.prompt, b.s.tokens = a.tokens, b.s.rounds = a.rounds;
        b.s.go = go, b.s.slow = slow, b.s.user = &b;
        b.s.made_up = a.made_up;
        if (!strcmp(eng_model_device(b.file[0].m), "cpu")) b.s.reads = reads, b.s.peaks = peaks;         /* of memory that a GPU does not read */
        name_all(&b);
        if (all_refused(&b.s)) rc = q_fail(err, Q_RANGE, "%s", b.point[0].refused);
        else if ((rc = look(&b, err)) == Q_OK) {
            cli_progress_start(&b.progress, _("measuring"));
            rc = exam_speed(&b.s, err);
            cli_progress_end(&b.progress, rc == Q_OK);
        }
        bool any = false;
        for (int i = 0; i < b.s.n; i++) any |= b.s.point[i].decode.n > 0;
        if (rc == Q_CANCEL && any) {
            q_say(stderr, _("quorum: stopped; what is shown is of the rounds before\n"));
            rc = tell(&b, err) == Q_OK ? Q_CANCEL : Q_ERR;
            q_fail(err, Q_CANCEL, _("stopped"));
        } else if (rc == Q_OK && !any) rc = q_fail(err, Q_RANGE, "%s", b.s.n && b.s.point[0].refused ? b.s.point[0].refused : _("nothing was measured"));
        else if (rc == Q_OK) rc = tell(&b, err);
    }
    cli_heed_no_more(was);
    status = rc ? cli_fail(err) : 0;
out:
    close_all(&b);
    for (int i = 0; i < a.n_axis; i++) free(a.axis[i].name);
    return status;
}
