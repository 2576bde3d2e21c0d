/* cli/reason: `quorum bench reasoning`: questions made on the spot, asked of models and configurations, compared in pairs. One model is open at a time. */
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "cli/lm_eval.h"
#include "exam/exam.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_MODELS = 8, MOST_SEATS = 24, MOST_TASKS = 16, LABEL = 40 };
typedef struct args {
    const char *model[MOST_MODELS], *against[MOST_SEATS], *tasks, *html, *think, *vote, *lm_eval;
    char **more; int n_more;             /* behind --, for lm_eval */
    int n_model, n_against, level, n, seed, streams, max_tokens, shots;
    enum exam_lang lang;
    cli_sets sets;
    bool json, base, force, score;
} args;
typedef struct run {
    const args *a;
    exam_sheet sheet;
    exam_seat seat[MOST_SEATS];
    int n_seat, of[MOST_SEATS];          /* of: which -m each is */
    prov_servers *servers;
    char *command;
    cli_progress progress;
    bool stopped;
} run;

static bool go(void *user, const exam_seat *seat, int done, int n)
{
    run *r = user;
    (void)seat;
    cli_progress_step(&r->progress, (uint64_t)done, (uint64_t)n);
    return cli_go(NULL);
}

static int lm_eval(const args *a)
{
    char err[Q_ERRLEN];
    struct sigaction was[CLI_ENDS];
    const cli_lm_eval w = { .model = a->model[0], .tasks = a->lm_eval, .set = a->sets.item, .n_set = a->sets.n, .more = a->more, .n_more = a->n_more, .streams = a->streams };
    cli_heed_ends(SA_RESTART | SA_RESETHAND, was);
    int rc = cli_run_lm_eval(&w, err);
    cli_heed_no_more(was);
    return rc < 0 ? cli_fail(err) : 0;
}

static const cli_takes takes[] = {
    { "--level", N_("--level takes how hard the questions are, 1 to 5") }, { "-n", N_("-n takes the number of questions of each task, 1 to 10000") },
    { "--seed", N_("--seed takes a whole number, 0 to 1073741824") }, { "--streams", N_("--streams takes how many answers are made at once, 1 to 64") },
    { "--max-tokens", N_("--max-tokens takes a number of tokens, 1 to 262144") }, { "--shots", N_("--shots takes a number of examples, 0 to 16") },
    { "--think", N_("--think takes on or off") }, { "--lang", N_("--lang takes en or ru") }, { "-m", N_("-m takes a model, and stands 8 times at most") },
    { "--against", N_("--against takes a brain or settings, as k=4, and stands 16 times at most") },
};

static int parse(const cli_command *as, int argc, char **argv, args *a)
{
    *a = (args){ .level = 2, .n = 20, .seed = 1, .streams = 4, .max_tokens = 512, .shots = 3 };
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) good = a->n_model < MOST_MODELS && (a->model[a->n_model++] = v);
        else if ((v = cli_opt(argc, argv, &i, "--against"))) good = a->n_against + MOST_MODELS < MOST_SEATS && (a->against[a->n_against++] = v);
        else if ((v = cli_opt(argc, argv, &i, "--tasks"))) a->tasks = v;
        else if ((v = cli_opt(argc, argv, &i, "--vote"))) a->vote = v;
        else if ((v = cli_opt(argc, argv, &i, "--lm-eval"))) a->lm_eval = v;
        else if (!strcmp(argv[i], "--") && a->lm_eval) {
            a->more = argv + i + 1;
            a->n_more = argc - i - 1;
            break;
        }
        else if ((v = cli_opt(argc, argv, &i, "--level"))) good = cli_int(v, 1, EXAM_LEVELS, &a->level);
        else if ((v = cli_opt(argc, argv, &i, "-n"))) good = cli_int(v, 1, 10000, &a->n);
        else if ((v = cli_opt(argc, argv, &i, "--seed"))) good = cli_int(v, 0, 1 << 30, &a->seed);
        else if ((v = cli_opt(argc, argv, &i, "--streams"))) good = cli_int(v, 1, 64, &a->streams);
        else if ((v = cli_opt(argc, argv, &i, "--max-tokens"))) good = cli_int(v, 1, 1 << 18, &a->max_tokens);
        else if ((v = cli_opt(argc, argv, &i, "--shots"))) good = cli_int(v, 0, 16, &a->shots);
        else if ((v = cli_opt(argc, argv, &i, "--html"))) a->html = v;
        else if ((v = cli_opt(argc, argv, &i, "--think"))) good = (!strcmp(v, "on") || !strcmp(v, "off")) && (a->think = v);
        else if ((v = cli_opt(argc, argv, &i, "--set"))) good = a->sets.n < CLI_MAX_SETS && (a->sets.item[a->sets.n++] = v);
        else if ((v = cli_opt(argc, argv, &i, "--lang"))) {
            good = !strcmp(v, "en") || !strcmp(v, "ru");
            a->lang = !strcmp(v, "ru") ? EXAM_RU : EXAM_EN;
        } else if (!strcmp(argv[i], "--json")) a->json = true;
        else if (!strcmp(argv[i], "--base")) a->base = true;
        else if (!strcmp(argv[i], "--force")) a->force = true;
        else if (!strcmp(argv[i], "--score")) a->score = true;
        else good = false;
        if (!good) return cli_wrong(as, "bench reasoning", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    if (a->vote && (a->n_against || a->n_model > 1)) return cli_usage(as, _("--vote is about one model: leave --against and further -m out"));
    if (a->vote && a->score) return cli_usage(as, _("--score is about single answers, --vote about several: take one of them"));
    if (a->n_model == 0) a->model[a->n_model++] = NULL;
    return 0;
}

/* Questions in turn of task after task, so that a run that is stopped has some of each. */
static int make_items(const args *a, exam_sheet *s, char *err)
{
    int all, n = 0, rc = Q_OK;
    const exam_task *table = exam_tasks(&all);
    const char *name[MOST_TASKS];
    char *list = q_strdup(a->tasks ? a->tasks : ""), *save = NULL;
    for (int i = 0; i < all && !a->tasks; i++) name[n++] = table[i].name;
    for (char *p = a->tasks ? strtok_r(list, ", ", &save) : NULL; p && n < MOST_TASKS; p = strtok_r(NULL, ", ", &save)) name[n++] = p;
    if (n == 0) rc = q_fail(err, Q_RANGE, _("--tasks names none: leave it out for all of them"));
    s->item = q_alloc(sizeof *s->item * (size_t)(n * a->n + 1));
    for (int k = 0; k < a->n; k++)
        for (int t = 0; t < n && rc == Q_OK; t++) {
            rc = exam_make(name[t], a->level, a->lang, (uint64_t)a->seed, k, &s->item[s->n_item], err);
            s->n_item += rc == Q_OK;
        }
    free(list);
    return rc;
}

static int list_tasks(void)
{
    int n;
    const exam_task *t = exam_tasks(&n);
    for (int i = 0; i < n; i++) q_say(stdout, "%-11s %s\n", t[i].name, _(t[i].help));
    return 0;
}

/* The line that runs this again, quoted for a shell: without the page, which is there by then. */
static char *command_of(int argc, char **argv)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "quorum bench reasoning");
    for (int i = 1; i < argc; i++) {
        if (cli_opt(argc, argv, &i, "--html") || !strcmp(argv[i], "--force")) continue;
        bool plain = *argv[i] && strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%") == strlen(argv[i]);
        q_buf_puts(&b, plain ? " " : " '");
        for (const char *p = argv[i]; *p; p++) {
            if (!plain && *p == '\'') q_buf_puts(&b, "'\\''");
            else q_buf_putc(&b, *p);
        }
        q_buf_puts(&b, plain ? "" : "'");
    }
    return q_buf_take(&b);
}

/* ---- one model, under its own configuration and under those it is held against ---- */
typedef struct chair { const char *spec; char *label; uint64_t seed; } chair;      /* label: taken */
static int settings_of(prov *p, const char *spec, prov_config **out, char *err)
{
    int rc = exam_config_of(p, spec, out, err);
    if (rc == Q_OK && !(prov_about(p)->can & (PROV_PER_REQUEST | PROV_LIVE))) {
        prov_config_free(*out);
        *out = NULL;
        rc = q_fail(err, Q_RANGE, _("%s takes no settings of a request: --against wants a model of this machine"), prov_about(p)->name);
    }
    return rc;
}

static int sit(run *r, prov *p, const chair *x, exam_seat *seat, char *err)
{
    const args *a = r->a;
    prov_config *c = NULL;
    *seat = (exam_seat){ .label = x->label, .p = p };
    int rc = x->spec ? settings_of(p, x->spec, &c, err) : Q_OK;
    if (rc == Q_OK) {
        prov_config *now = prov_present(p);
        seat->config = c;
        seat->bytes_a_token = prov_config_cost(c ? c : now).bytes;
        prov_config_free(now);
        r->sheet.seat = seat;
        r->sheet.n_seat = 1;
        r->sheet.seed = x->seed;
        if (!a->json) q_say(stderr, "%s\n", seat->label);
        cli_progress_start(&r->progress, _("asking"));
        rc = exam_run(&r->sheet, a->streams, err);
        cli_progress_end(&r->progress, rc == Q_OK);
        if (rc == Q_CANCEL && !cli_go(NULL)) {
            r->stopped = true;
            rc = Q_OK;
        }
    }
    if (c) prov_config_free(c);
    seat->config = NULL;
    seat->p = NULL;
    return rc;
}

/* Two files of one model, say two of its types, have one name: each is then told by its file, and one file that stands twice by its number. */
static void tell_apart(run *r)
{
    bool alike[MOST_SEATS] = { false };
    for (int i = 0; i < r->n_seat; i++)
        for (int k = 0; k < r->n_seat; k++) alike[i] |= r->of[i] != r->of[k] && !strcmp(r->seat[i].label, r->seat[k].label);
    for (int i = 0; i < r->n_seat; i++) {
        const char *file = r->a->model[r->of[i]];
        int times = 0, nth = 1;
        if (!alike[i] || !file) continue;
        for (int m = 0; m < r->a->n_model; m++) {
            bool same = r->a->model[m] && !strcmp(r->a->model[m], file);
            times += same;
            nth += same && m < r->of[i];
        }
        const char *slash = *file == '@' ? NULL : strrchr(file, '/');
        char *was = r->seat[i].label;
        r->seat[i].label = times > 1 ? q_printf("%s (%d)", was, nth) : q_printf("%s (%s)", was, slash ? slash + 1 : file);
        free(was);
    }
}

static void rise(run *r, exam_seat *seat)
{
    exam_seat_free(&r->sheet, seat);
    free(seat->label);
}

static int sit_further(run *r, prov *p, int m, const char *spec, char *err)
{
    size_t n = spec ? strlen(spec) : 0;
    bool cut = n > LABEL;                /* a list of bans would fill the screen; the command below has it whole */
    n = cut ? q_utf8_whole(spec, LABEL) : n;
    const chair x = { spec, spec ? q_printf("%s [%.*s%s]", prov_about(p)->name, (int)n, spec, cut ? "…" : "") : q_strdup(prov_about(p)->name), (uint64_t)r->a->seed };
    r->of[r->n_seat] = m;
    exam_seat *seat = &r->seat[r->n_seat++];
    int rc = sit(r, p, &x, seat, err);
    if (r->stopped && seat->done == 0) {           /* it was never answered */
        rise(r, seat);
        r->n_seat--;
    }
    return rc;
}

/* ---- votes ---- */
typedef struct ballot {                  /* one side: members in the order in which they were asked */
    exam_seat seat[EXAM_VOTERS], *member[EXAM_VOTERS];
    int n;
} ballot;

static int sit_voter(run *r, prov *p, ballot *b, const char *spec, char *label, uint64_t seed, char *err)
{
    const chair x = { spec, label, seed };
    int i = b->n++;
    b->member[i] = &b->seat[i];
    return sit(r, p, &x, &b->seat[i], err);
}

static int sit_sample(run *r, prov *p, ballot *b, char *err)
{
    int i = b->n;
    return sit_voter(r, p, b, "sampler.temperature=0.7", q_printf(_("sample %d"), i + 1), (uint64_t)r->a->seed + (uint64_t)(i + 1) * 7919, err);
}

static double tokens_of(const ballot *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        for (int q = 0; q < b->seat[i].done; q++) sum += b->seat[i].reply[q].tokens;
    return sum;
}

/* How many samples, 2 at least, cost most nearly as many tokens. */
static int as_many_tokens(const ballot *b, double tokens)
{
    int best = 2;
    for (int i = 3; i <= b->n; i++)
        if (fabs(tokens_of(b, i) - tokens) < fabs(tokens_of(b, best) - tokens)) best = i;
    return best < b->n ? best : b->n;
}

/* The majority of the first n members as a seat of the report. Of a run that was stopped: of those that were asked everything, or of which two were asked
 * anything; a single one stands for itself. */
static int count_votes(run *r, ballot *b, int n, char *label, char *err)
{
    int whole = 0, some = 0;
    for (int i = 0; i < n && i < b->n; i++) {
        whole += b->seat[i].done == r->sheet.n_item;
        some += b->seat[i].done > 0;
    }
    int votes = whole >= 2 ? whole : some;
    exam_seat *out = &r->seat[r->n_seat];
    if (votes == 1 && b->seat[0].done) {
        *out = b->seat[0];
        b->seat[0] = (exam_seat){ 0 };
        r->n_seat++;
    }
    if (votes < 2) {
        free(label);
        return Q_OK;
    }
    *out = (exam_seat){ .label = votes == n ? label : q_printf(_("%s, of which %d were asked"), label, votes) };
    if (votes != n) free(label);
    r->n_seat++;
    return exam_vote(&r->sheet, b->member, votes, out, err);
}

/* Each value of k once, at temperature 0; samples of the model's own k, as many as there are values, and more or fewer of them until they cost as
 * many tokens; and the majority of each. In turn, so that a run that is stopped has some of both. */
static int sit_voting(run *r, prov *p, char *err)
{
    ballot *sweep = q_alloc(sizeof *sweep), *samples = q_alloc(sizeof *samples);
    char *k[EXAM_VOTERS], *list = q_strdup(r->a->vote), *save = NULL;
    int n = 0, rc = Q_OK;
    bool many = false;
    for (char *v = strtok_r(list, ",", &save); v; v = strtok_r(NULL, ",", &save)) {
        many |= n == EXAM_VOTERS;
        if (!many) k[n++] = v;
    }
    if (n < 2 || many) rc = q_fail(err, Q_RANGE, _("--vote wants two to %d values of experts.k, as in 4,8,16"), EXAM_VOTERS);
    for (int i = 0; i < n && rc == Q_OK && !r->stopped; i++) {
        char *spec = q_printf("experts.k=%s", k[i]);
        rc = sit_voter(r, p, sweep, spec, q_strdup(spec), (uint64_t)r->a->seed, err);
        free(spec);
        if (rc == Q_OK && !r->stopped) rc = sit_sample(r, p, samples, err);
    }
    double cost = tokens_of(sweep, sweep->n);
    while (rc == Q_OK && !r->stopped && samples->n < EXAM_VOTERS && tokens_of(samples, samples->n) < cost * (1 - 0.5 / samples->n)) rc = sit_sample(r, p, samples, err);
    int equal = r->stopped ? n : as_many_tokens(samples, cost);
    if (rc == Q_OK) rc = count_votes(r, samples, equal, q_printf(equal == n ? _("majority of %d samples") : _("majority of %d samples, about as many tokens"), equal), err);
    if (rc == Q_OK) rc = count_votes(r, sweep, n, q_printf(_("majority of k = %s"), r->a->vote), err);
    if (rc == Q_OK && equal != n && !r->stopped) rc = count_votes(r, samples, n, q_printf(_("majority of %d samples"), n), err);
    for (int i = 0; i < samples->n; i++) rise(r, &samples->seat[i]);
    for (int i = 0; i < sweep->n; i++) rise(r, &sweep->seat[i]);
    free(samples);
    free(sweep);
    free(list);
    return rc;
}

static int ask_model(run *r, int m, char *err)
{
    const args *a = r->a;
    const exam_open o = { .model = a->model[m], .servers = r->servers, .set = a->sets.item, .n_set = a->sets.n, .streams = a->streams };
    prov *p = NULL;
    int rc = exam_seat_open(&r->sheet, &o, &p, err);
    if (rc == Q_OK) cli_said_of(p);
    if (rc == Q_OK && !a->base && !prov_about(p)->chat && !(a->model[m] && *a->model[m] == '@'))
        rc = q_fail(err, Q_RANGE, _("%s knows no conversation: give --base, which asks by examples"), prov_about(p)->name);
    if (rc == Q_OK && a->base && !(prov_about(p)->can & PROV_RAW)) rc = q_fail(err, Q_RANGE, _("%s cannot go on with a plain text: leave --base out"), prov_about(p)->name);
    if (rc == Q_OK && a->score && !(prov_about(p)->can & PROV_LOGPROBS)) rc = q_fail(err, Q_RANGE, _("%s does not tell how likely a text is: --score wants a model of this machine"), prov_about(p)->name);
    for (int i = 0; i < a->n_against && m == 0 && rc == Q_OK; i++) {       /* a misspelt knob is told before hours of questions */
        prov_config *c = NULL;
        rc = settings_of(p, a->against[i], &c, err);
        if (c) prov_config_free(c);
    }
    if (rc == Q_OK) rc = a->vote ? sit_voting(r, p, err) : sit_further(r, p, m, NULL, err);
    for (int i = 0; i < a->n_against && m == 0 && rc == Q_OK && !r->stopped; i++) rc = sit_further(r, p, m, a->against[i], err);
    prov_close(p);
    return rc;
}

/* What can be known before the first question is asked: further models are there, the page can be written. */
static int look_ahead(const args *a, char *err)
{
    char *what = NULL;
    int rc = Q_OK;
    for (int m = 1; m < a->n_model && rc == Q_OK; m++) {
        rc = prov_find_model(a->model[m], &what, err);
        free(what);
        what = NULL;
    }
    return rc || !a->html ? rc : cli_may_put(a->html, a->force, "report.html", err);
}

static int report(run *r, char *err)
{
    char date[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof date, "%Y-%m-%d", localtime_r(&now, &tm));
    const exam_about about = { r->command, (uint64_t)r->a->seed, QUORUM_VERSION, date };
    q_buf b = { 0 };
    int rc = Q_OK;
    r->sheet.seat = r->seat;
    r->sheet.n_seat = r->n_seat;
    r->sheet.stopped = r->stopped;
    if (r->a->html) {
        exam_report_html(&r->sheet, &about, &b);
        rc = cli_put_picture(r->a->html, r->a->force, "report.html", &b, err);
        q_buf_clear(&b);
    }
    if (r->a->json) cli_say_event(exam_report_json(&r->sheet, &about));
    else {
        exam_report_text(&r->sheet, &b);
        q_say_text(stdout, b.p);
        q_say(stdout, _("\nagain: %s\n"), r->command);
    }
    q_buf_free(&b);
    return rc;
}

int cli_bench_reasoning(const cli_command *as, int argc, char **argv)
{
    args a;
    char err[Q_ERRLEN], why[Q_ERRLEN];
    int status = parse(as, argc, argv, &a);
    if (status) return status;
    if (a.tasks && !strcmp(a.tasks, "list")) return list_tasks();
    if (a.lm_eval) return lm_eval(&a);
    run r = { .a = &a, .command = command_of(argc, argv) };
    r.sheet = (exam_sheet){ .base = a.base, .shots = a.shots, .max_tokens = a.max_tokens, .seed = (uint64_t)a.seed, .think = a.think, .score = a.score, .go = go, .user = &r };
    int rc = make_items(&a, &r.sheet, err);
    bool code = false;
    for (int i = 0; i < r.sheet.n_item && rc == Q_OK; i++) code |= r.sheet.item[i].kind == EXAM_CODE;
    exam_bench *bench = code ? exam_bench_new(why) : NULL;
    if (code && !bench) q_say(stderr, _("quorum: programs are skipped: %s\n"), why);
    r.sheet.bench = bench;
    if (rc == Q_OK) rc = look_ahead(&a, err);
    if (rc == Q_OK) rc = cli_servers(&r.servers, err);
    struct sigaction was[CLI_ENDS];
    cli_heed_ends(SA_RESTART | SA_RESETHAND, was);
    for (int m = 0; m < a.n_model && rc == Q_OK && !r.stopped; m++) rc = ask_model(&r, m, err);
    cli_heed_no_more(was);
    if (rc == Q_OK && r.n_seat == 0) rc = q_fail(err, Q_CANCEL, _("stopped before there was anything to compare"));
    tell_apart(&r);
    if (rc == Q_OK) rc = report(&r, err);
    for (int i = 0; i < r.n_seat; i++) rise(&r, &r.seat[i]);
    for (int i = 0; i < r.sheet.n_item; i++) exam_item_free(&r.sheet.item[i]);
    free(r.sheet.item);
    exam_bench_free(bench);
    prov_servers_free(r.servers);
    free(r.command);
    return rc < 0 ? cli_fail(err) : r.stopped ? 1 : 0;
}
