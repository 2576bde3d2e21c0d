/* cli/latency: `quorum bench latency`: time to the first token and between tokens, over lengths of prompts and numbers of users. */
#include "base/say.h"
#include "cli/common.h"
#include "exam/exam.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 12 };
typedef struct args { const char *model; int prompt[MOST], n_prompt, users[MOST], n_users, rounds, tokens; cli_sets sets; bool json; } args;

static bool numbers(const char *text, int min, int max, int out[MOST], int *n)
{
    char *list = q_strdup(text), *save = NULL;
    bool good = true;
    *n = 0;
    for (char *p = strtok_r(list, ",", &save); p && good; p = strtok_r(NULL, ",", &save))
        good = *n < MOST && cli_int(p, min, max, &out[(*n)++]);
    free(list);
    return good && *n > 0;
}

static const cli_takes takes[] = {
    { "-p", N_("-p takes up to 12 lengths of prompts in tokens, as 32,1024") }, { "--users", N_("--users takes up to 12 numbers of users at once, as 1,4,8") },
    { "-r", N_("-r takes how often each is measured, 1 to 1000") }, { "-n", N_("-n takes the number of tokens of an answer, 2 to 65536") },
};

static int parse(const cli_command *as, int argc, char **argv, args *a)
{
    *a = (args){ .prompt = { 32, 256 }, .n_prompt = 2, .users = { 1, 2, 4 }, .n_users = 3, .rounds = 3, .tokens = 32 };
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) a->model = v;
        else if ((v = cli_opt(argc, argv, &i, "-p"))) good = numbers(v, 1, 1 << 20, a->prompt, &a->n_prompt);
        else if ((v = cli_opt(argc, argv, &i, "--users"))) good = numbers(v, 1, PROV_STREAMS, a->users, &a->n_users);
        else if ((v = cli_opt(argc, argv, &i, "-r"))) good = cli_int(v, 1, 1000, &a->rounds);
        else if ((v = cli_opt(argc, argv, &i, "-n"))) good = cli_int(v, 2, 1 << 16, &a->tokens);
        else if ((v = cli_opt(argc, argv, &i, "--set"))) good = a->sets.n < CLI_MAX_SETS && (a->sets.item[a->sets.n++] = v);
        else if (!strcmp(argv[i], "--json")) a->json = true;
        else good = false;
        if (!good) return cli_wrong(as, "bench latency", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    return 0;
}

static void times_json(cJSON *o, const char *name, const exam_times *t)
{
    cJSON *one = cJSON_AddObjectToObject(o, name);
    cJSON_AddNumberToObject(one, "p50_ms", 1e3 * t->p50);
    if (isfinite(t->p90)) cJSON_AddNumberToObject(one, "p90_ms", 1e3 * t->p90);
    if (isfinite(t->p99)) cJSON_AddNumberToObject(one, "p99_ms", 1e3 * t->p99);
    cJSON_AddNumberToObject(one, "mean_ms", 1e3 * t->mean);
    cJSON_AddNumberToObject(one, "n", t->n);
}

/* A value that there are too few measurements for is a dash. */
static void put_times(const exam_times *t)
{
    const double v[] = { t->p50, t->p90, t->p99 };
    for (int i = 0; i < 3; i++) {
        if (t->n == 0 || !isfinite(v[i])) q_say(stdout, "        -");
        else q_say(stdout, " %8.1f", 1e3 * v[i]);
    }
    q_say(stdout, " ");
}

static void tell(const args *a, const exam_pace *x)
{
    if (a->json) {
        cJSON *o = cli_event("latency");
        cJSON_AddNumberToObject(o, "prompt", x->prompt);
        cJSON_AddNumberToObject(o, "users", x->users);
        cJSON_AddNumberToObject(o, "prompt_tokens", x->prompt_tokens);
        times_json(o, "first", &x->first);
        times_json(o, "between", &x->between);
        cJSON_AddNumberToObject(o, "tokens_per_s", x->tokens_per_s);
        cJSON_AddNumberToObject(o, "failed", x->failed);
        cli_say_event(o);
        return;
    }
    q_say(stdout, "%6d %6d %5d ", x->prompt, x->prompt_tokens, x->users);
    put_times(&x->first);
    put_times(&x->between);
    q_say(stdout, "%8.1f", x->tokens_per_s);
    if (x->failed) q_say(stdout, _("   failed: %d"), x->failed);
    q_say(stdout, "\n");
    fflush(stdout);
}

int cli_bench_latency(const cli_command *as, int argc, char **argv)
{
    args a;
    char err[Q_ERRLEN];
    prov_servers *servers = NULL;
    prov *p = NULL;
    int status = parse(as, argc, argv, &a), streams = 1, longest = 0;
    bool few = false, longer = false;
    if (status) return status;
    for (int i = 0; i < a.n_users; i++) streams = a.users[i] > streams ? a.users[i] : streams;
    for (int i = 0; i < a.n_prompt; i++) longest = a.prompt[i] > longest ? a.prompt[i] : longest;
    const exam_sheet none = { .max_tokens = a.tokens };
    int rc = cli_servers(&servers, err);
    const exam_open o = { .model = a.model, .servers = servers, .set = a.sets.item, .n_set = a.sets.n, .streams = streams, .room = 2 * longest + a.tokens + 128 };
    if (rc == Q_OK) rc = exam_seat_open(&none, &o, &p, err);
    if (rc == Q_OK) cli_said_of(p);
    struct sigaction was[CLI_ENDS];
    cli_heed_ends(SA_RESTART | SA_RESETHAND, was);
    if (rc == Q_OK && !a.json) {
        char *who = cli_who(p);
        q_say(stdout, "%s\n", who);
        free(who);
        q_say_text(stdout, _("prompt tokens users first, ms:                  between tokens, ms:         tokens/s\n"
                             "asked    read            p50      p90      p99       p50      p90      p99   of all\n"));
    }
    exam_pace x;
    if (rc == Q_OK) rc = exam_latency(p, 8, 1, 1, 2, &x, cli_go, NULL, err);       /* weights into memory */
    for (int i = 0; i < a.n_prompt * a.n_users && rc == Q_OK; i++) {
        rc = exam_latency(p, a.prompt[i / a.n_users], a.users[i % a.n_users], a.rounds, a.tokens, &x, cli_go, NULL, err);
        if (rc != Q_OK) break;
        tell(&a, &x);
        few |= x.first.n < EXAM_P99_FROM || x.between.n < EXAM_P99_FROM;
        longer |= x.prompt_tokens > x.prompt && prov_about(p)->can & PROV_COUNT;
    }
    if (rc == Q_OK && few && !a.json) q_say(stdout, _("-: too few for that percentile; p90 stands from %d measurements on, p99 from %d: -r asks more often\n"), EXAM_P90_FROM, EXAM_P99_FROM);
    if (rc == Q_OK && longer && !a.json) q_say_text(stdout, _("a prompt is not shorter than the frame of a conversation: hence more tokens than asked\n"));
    cli_heed_no_more(was);
    prov_close(p);
    prov_servers_free(servers);
    return rc < 0 ? cli_fail(err) : 0;
}
