/* cli/serve: `quorum serve`: a model in this process for other programs, over HTTP. Owns the signals while it runs: the first one lets
 * running answers end, the second cuts them. What is asked and answered is never printed. */
#include "base/say.h"
#include "cli/common.h"
#include "lab/lab.h"
#include "serve/serve.h"

#include <cjson/cJSON.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STREAMS = 4, STREAMS_MOST = 64, GRACE_S = 30 };
const cli_command cli_serve = { "serve", N_(
    "quorum serve [-m F] [--listen 127.0.0.1:8080 | --unix PATH] [--key-file FILE] [--streams 4] [--embedder F]\n"
    "             [--limit NAME=N]... [--set NAME=VALUE]... [--json]\n"
    "    answers other programs over HTTP, as OpenAI's protocol has it: /v1/chat/completions, /v1/completions,\n"
    "    /v1/embeddings, /v1/models, /tokenize, /detokenize, /health, /metrics; docs/serve.md says what they take;\n"
    "    an address that other machines reach needs --key-file, a file of mode 0600 with the key that is asked of them;\n"
    "    --streams: so many requests are answered at once over one context; Ctrl-C lets running answers end, for 30 s;\n"
    "    --limit: body, answer, behind (bytes), connections, queue (how many), arrive, stall (seconds)"), cmd_serve };

typedef struct args {
    const char *model, *listen, *path, *key_file, *embedder;
    int streams;
    bool json;
    serve_limits limit;
    cli_sets sets;
} args;

/* --limit NAME=N */
static bool set_limit(serve_limits *l, const char *v)
{
    const struct { const char *name; size_t *bytes; int *n; int min, max; } row[] = {
        { "body", &l->body, NULL, 1 << 10, 1 << 30 }, { "answer", &l->answer, NULL, 1 << 10, 1 << 30 }, { "behind", &l->behind, NULL, 1 << 10, 1 << 30 },
        { "connections", NULL, &l->connections, 1, 1 << 20 }, { "queue", NULL, &l->queue, 1, 1 << 20 }, { "arrive", NULL, &l->arrive_s, 1, 86400 }, { "stall", NULL, &l->stall_s, 1, 86400 } };
    const char *eq = strchr(v, '=');
    for (size_t i = 0; eq && i < sizeof row / sizeof *row; i++) {
        int n;
        if (strncmp(row[i].name, v, (size_t)(eq - v)) != 0 || row[i].name[eq - v] || !cli_int(eq + 1, row[i].min, row[i].max, &n))
            continue;
        if (row[i].bytes)
            *row[i].bytes = (size_t)n;
        else
            *row[i].n = n;
        return true;
    }
    return false;
}

static const cli_takes takes[] = {
    { "-m", N_("-m takes a file or a part of a model's name") }, { "--listen", N_("--listen takes an address and a port: 127.0.0.1:8080") }, { "--unix", N_("--unix takes the name of a socket") },
    { "--key-file", N_("--key-file takes a file of mode 0600 whose first line is the key") }, { "--embedder", N_("--embedder takes an embedding model, a file or a part of its name") },
    { "--streams", N_("--streams takes how many answers are made at once, 1 to 64") }, { "--limit", N_("--limit takes NAME=N: body, answer, behind, connections, queue, arrive or stall, as arrive=10") },
};

static int parse(int argc, char **argv, args *a)
{
    a->streams = STREAMS;
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) a->model = v;
        else if ((v = cli_opt(argc, argv, &i, "--listen"))) a->listen = v;
        else if ((v = cli_opt(argc, argv, &i, "--unix"))) a->path = v;
        else if ((v = cli_opt(argc, argv, &i, "--key-file"))) a->key_file = v;
        else if ((v = cli_opt(argc, argv, &i, "--embedder"))) a->embedder = v;
        else if ((v = cli_opt(argc, argv, &i, "--streams"))) good = cli_int(v, 1, STREAMS_MOST, &a->streams);
        else if ((v = cli_opt(argc, argv, &i, "--limit"))) good = set_limit(&a->limit, v);
        else if (a->sets.n < CLI_MAX_SETS && (v = cli_opt(argc, argv, &i, "--set"))) a->sets.item[a->sets.n++] = v;
        else if (strcmp(argv[i], "--json") == 0) a->json = true;
        else good = false;
        if (!good) return cli_wrong(&cli_serve, "serve", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    return a->listen && a->path ? cli_usage(&cli_serve, _("--listen and --unix are two ways to be asked: give one")) : 0;
}

/* ---- what is told ---- */
static void on_request(void *user, const serve_event *e)
{
    const args *a = user;
    if (!a->json)
        return;
    cJSON *o = cli_event("request");
    cJSON_AddStringToObject(o, "method", e->method);
    cJSON_AddStringToObject(o, "path", e->path);
    cJSON_AddNumberToObject(o, "status", e->status);
    cJSON_AddNumberToObject(o, "prompt_tokens", e->prompt_tokens);
    cJSON_AddNumberToObject(o, "cached_tokens", e->cached_tokens);
    cJSON_AddNumberToObject(o, "tokens", e->tokens);
    cJSON_AddNumberToObject(o, "seconds", e->seconds);
    cJSON_AddBoolToObject(o, "cut", e->cut);
    cli_say_event(o);
}

static void on_start(const args *a, const serve *s, const prov *p)
{
    if (a->json) {
        cJSON *o = cli_event("listening");
        cJSON_AddStringToObject(o, "address", serve_address(s));
        cJSON_AddStringToObject(o, "model", prov_about(p)->name);
        cJSON_AddNumberToObject(o, "streams", a->streams);
        cli_say_event(o);
        return;
    }
    char *who = cli_who(p);
    q_say(stdout, a->path ? _("%s answers at %s (paths begin with /v1); Ctrl-C ends it\n") : _("%s answers at %s/v1; Ctrl-C ends it\n"), who, serve_address(s));
    free(who);
    fflush(stdout);
}

/* ---- until a signal ---- */
/* By a handler: the threads of an open model block none, so any of them may be given it. */
static sem_t asked;
static void on_signal(int sig)
{
    (void)sig;
    sem_post(&asked);
}

static void hear_signals(void)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sem_init(&asked, 0, 0);
    sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction was;
        if (sigaction(signals[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN)         /* nohup means it */
            sigaction(signals[i], &a, NULL);
    }
    signal(SIGPIPE, SIG_IGN);            /* whoever read our events may go; the server does not */
}

static bool signalled(long ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(&asked, &until) == 0;
}

static void run(const args *a, serve *s)
{
    while (!signalled(1000))
        serve_tick(s);
    serve_drain(s);
    int busy = serve_busy(s);
    if (a->json) {
        cJSON *o = cli_event("stopping");
        cJSON_AddNumberToObject(o, "running", busy);
        cli_say_event(o);
    } else if (busy > 0)
        q_say(stderr, ngettext("quorum: %d answer is let end, for 30 s; Ctrl-C cuts it\n", "quorum: %d answers are let end, for 30 s; Ctrl-C cuts them\n", (unsigned long)busy), busy);
    int64_t until = q_now_ns() + (int64_t)GRACE_S * 1000000000;
    while (serve_busy(s) > 0 && q_now_ns() < until && !signalled(50))
        serve_tick(s);
}

/* ---- opening ---- */
static int configure(void *user, prov_config *c, char *err)
{
    const args *a = user;
    int rc = Q_OK;
    for (int i = 0; i < a->sets.n && rc == Q_OK; i++) {
        const char *set = a->sets.item[i], *eq = strchr(set, '=');
        if (!eq || eq == set)
            return q_fail(err, Q_RANGE, _("--set wants NAME=VALUE, not \"%s\""), set);
        char *name = q_strndup(set, (size_t)(eq - set)), *whole = NULL;
        int n;
        const q_knob *row = prov_knobs(&n);
        while (n > 0 && strcmp(row->name, name) != 0)
            row++, n--;
        rc = lab_spec_lists(n > 0 ? row : NULL, set, &whole, err);
        if (rc == Q_OK)
            rc = prov_config_set(c, name, strchr(whole, '=') + 1, err);
        free(name);
        free(whole);
    }
    return rc;
}

static int open_model(args *a, prov **out, char *err)
{
    char *what = NULL;
    const prov_opts o = { .configure = configure, .user = a, .streams = a->streams, .adapters = true };
    int rc = a->model && *a->model == '@' ? q_fail(err, Q_RANGE, _("serve answers with a model of this machine: -m takes a file or a model's name"))
                                          : prov_find_model(a->model, &what, err);
    if (rc == Q_OK)
        rc = prov_open(what, &o, out, err);
    free(what);
    return rc;
}

int cmd_serve(int argc, char **argv)
{
    args a = { 0 };
    char err[Q_ERRLEN], *key = NULL;
    prov *p = NULL;
    serve *s = NULL;
    int status = parse(argc, argv, &a);
    if (status)
        return status;
    int rc = a.key_file ? q_key_file(a.key_file, &key, err) : Q_OK;
    if (rc == Q_OK)
        rc = open_model(&a, &p, err);
    if (rc == Q_OK) {
        cli_said_of(p);
        hear_signals();                  /* behind the opening: Ctrl-C ends that at once */
        const serve_opts o = { .p = p, .listen = a.listen, .unix_path = a.path, .key = key, .embedder = a.embedder, .streams = a.streams, .limit = a.limit, .said = on_request, .user = &a };
        rc = serve_start(&o, &s, err);
    }
    if (rc == Q_OK) {
        on_start(&a, s, p);
        run(&a, s);
        serve_stop(s);
        if (a.json)
            cli_say_event(cli_event("stopped"));
    }
    prov_close(p);
    free(key);
    return rc < 0 ? cli_fail(err) : 0;
}
