/* cli/teach: `quorum teach`: what teach/ does, from a script. Main thread. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "memory/memory.h"
#include "teach/teach.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_command cli_teach = { "teach", N_(
    "quorum teach add FILE|chats [to NAME] [--json]\n"
    "    examples into a set: lines of JSON in any form of quorum export, a dialogue in Markdown, an archive of chats; chats: the\n"
    "    answers of memory that are marked (/good, /better) in conversations that you released (/train on)\n"
    "quorum teach list [-m F] [--db FILE] [--json]\n"
    "    the sets: what is in them, tokens for the model that -m names, consent\n"
    "quorum teach run NAME [SETTING=VALUE]... [-m F] [--db FILE] [--json]\n"
    "    shows which experts these examples ask for, how far their traffic is from other text, memory and time; then teaches an\n"
    "    adapter, adapters/NAME.gguf, and proves what it did. Ctrl-C stops it, the same line goes on\n"
    "quorum teach settings\n"
    "    what a run may be told\n"
    "quorum teach report [NAME] [--json]\n"
    "    held-out loss before and after, forgetting, routing\n"
    "quorum teach stop\n"
    "    a run that is at work anywhere stops within a second, and can be gone on with\n"
    "quorum teach undo [NAME]\n"
    "    the adapter and its run go; the set stays\n"
    "quorum teach drop NAME\n"
    "    the set goes, with its run"), cmd_teach };

enum { REST = 64 };
typedef struct ask { const char *model, *db, *word[REST]; int n; bool json; } ask;

static bool go(void *user) { return cli_go(user); }

/* What JSON text says, as members of an event. */
static void say_event(const char *name, const char *member, const char *json)
{
    cJSON *e = cli_event(name);
    cJSON_AddItemToObject(e, member, cJSON_Parse(json));
    cli_say_event(e);
}

static void say_added(const char *what, const char *name, const tch_added *a, bool json)
{
    q_buf out = { 0 };
    if (json) {
        cJSON *e = cli_event("teach_added");
        cJSON_AddStringToObject(e, "set", name);
        cJSON_AddStringToObject(e, "what", what);
        cJSON_AddNumberToObject(e, "examples", (double)a->examples);
        cJSON_AddNumberToObject(e, "pairs", (double)a->pairs);
        cJSON_AddNumberToObject(e, "same", (double)a->same);
        cJSON_AddNumberToObject(e, "broken", (double)a->broken);
        if (a->first_broken) cJSON_AddStringToObject(e, "first_broken", a->first_broken);
        cli_say_event(e);
        return;
    }
    tch_added_say(what, name, a, &out);
    q_say_text(stdout, out.p);
    q_buf_free(&out);
}

static int add(const ask *a, char *err)
{
    bool to = a->n == 3 && strcmp(a->word[1], "to") == 0;
    if (a->n != 1 && !to) return cli_usage(&cli_teach, _("teach add takes a file, or the word chats, and then: to NAME"));
    tch_added out;
    cli_heed(SIGINT, SA_RESTART, NULL);
    const char *name = to ? a->word[2] : TCH_OWN;
    if (tch_add(a->word[0], name, go, NULL, &out, err) < 0) return cli_fail(err);
    say_added(a->word[0], name, &out, a->json);
    tch_added_free(&out);
    return 0;
}

static int list(const ask *a, char *err)
{
    mem_store *s = NULL;
    char *model = NULL, why[Q_ERRLEN];
    tch_set *v;
    int n;
    if (a->n) return cli_usage(&cli_teach, _("teach list takes no more words"));
    if (a->model && cli_model_path(a->model, &model, err) != Q_OK) return cli_fail(err);
    if (mem_open(a->db, &s, why) < 0) {
        s = NULL;
        q_say(stderr, _("quorum: conversations are not counted: %s\n"), why);
    }
    int rc = tch_list(s, model, &v, &n, err);
    if (rc == Q_OK && a->json) {
        char *json = tch_list_json(v, n);
        say_event("teach_sets", "sets", json);
        free(json);
    } else if (rc == Q_OK) {
        q_buf out = { 0 };
        tch_list_say(v, n, &out);
        q_say_text(stdout, out.p);
        q_buf_free(&out);
    }
    if (rc == Q_OK) tch_sets_free(v, n);
    if (s) mem_close(s);
    free(model);
    return rc == Q_OK ? 0 : cli_fail(err);
}

static int drop(const ask *a, char *err)
{
    if (a->n != 1) return cli_usage(&cli_teach, _("teach drop takes the name of a set"));
    if (tch_drop(a->word[0], err) < 0) return cli_fail(err);
    if (!a->json) q_say(stdout, _("the set %s is gone\n"), a->word[0]);
    return 0;
}

static int settings(const ask *a, char *err)
{
    q_buf out = { 0 };
    (void)a, (void)err;
    tch_settings_help(&out);
    q_say_text(stdout, out.p);
    q_buf_free(&out);
    return 0;
}

/* ---- a run ---- */
typedef struct showing { cli_progress bar; bool json, barred; enum tch_phase phase; int step; atomic_bool stop; } showing;

static void told(void *user, const tch_state *s)
{
    showing *w = user;
    bool turned = s->phase != w->phase;
    if (w->json && (turned || (s->phase == TCH_TRAINING && s->step != w->step))) {
        char *json = tch_state_json(s);
        cJSON *j = cJSON_Parse(json);
        cJSON_DeleteItemFromObject(j, "curve");
        cJSON *e = cli_event("teach_progress");
        cJSON_AddItemToObject(e, "run", j);
        cli_say_event(e);
        free(json);
    }
    if (!w->json && turned && w->barred)
        cli_progress_end(&w->bar, true);
    if (!w->json && turned) {
        w->barred = s->phase > TCH_IDLE && s->phase < TCH_DONE;
        if (w->barred) cli_progress_start(&w->bar, tch_phase_words(s->phase));
    }
    if (!w->json && w->barred)
        cli_progress_step(&w->bar, (uint64_t)(s->phase == TCH_TRAINING ? s->step : s->done), (uint64_t)(s->phase == TCH_TRAINING ? s->steps : s->total));
    w->phase = s->phase;
    w->step = s->step;
}

static void paged(void *user, const char *title, const char *text, const char *json)
{
    showing *w = user;
    if (w->json) {
        char *event = q_printf("teach_%s", title);
        say_event(event, title, json);
        free(event);
        return;
    }
    if (w->barred) cli_progress_end(&w->bar, true);
    w->barred = false;
    q_say_text(stdout, text);
    fflush(stdout);
}

/* The signal is seen between steps and, by a thread of its own, within one. */
typedef struct watching { showing *w; atomic_bool end; } watching;
static void *watch(void *user)
{
    watching *x = user;
    while (!atomic_load(&x->end)) {
        if (!cli_go(NULL)) atomic_store(&x->w->stop, true);
        usleep(100000);
    }
    return NULL;
}

static int run(const ask *a, char *err)
{
    if (a->n < 1) return cli_usage(&cli_teach, _("teach run takes the name of a set"));
    q_buf words = { 0 };
    char *model = NULL, *adapter = NULL, why[Q_ERRLEN];
    mem_store *s = NULL;
    showing w = { .json = a->json };
    watching x = { .w = &w };
    pthread_t thread;
    q_buf_puts(&words, "");
    for (int i = 1; i < a->n; i++) q_buf_printf(&words, "%s%s", i > 1 ? " " : "", a->word[i]);
    if (cli_model_path(a->model, &model, err) != Q_OK) {
        q_buf_free(&words);
        return cli_fail(err);
    }
    if (mem_open(a->db, &s, why) < 0) s = NULL;
    cli_heed_ends(SA_RESTART, NULL);
    bool watched = pthread_create(&thread, NULL, watch, &x) == 0;
    tch_job j = { .name = a->word[0], .settings = words.p, .model = model, .store = s, .go = go, .tell = told, .page = paged, .user = &w, .stop = &w.stop };
    int rc = tch_run(&j, &adapter, err);
    atomic_store(&x.end, true);
    if (watched) pthread_join(thread, NULL);
    if (w.barred) cli_progress_end(&w.bar, rc == Q_OK);
    if (rc == Q_CANCEL) tch_stopped(a->word[0], why);
    if (rc == Q_OK && !a->json) q_say(stdout, _("\nThe adapter is %s: --lora or /lora load takes it\n"), adapter);
    if (rc == Q_OK && a->json) {
        cJSON *e = cli_event("teach_done");
        cJSON_AddStringToObject(e, "name", a->word[0]);
        cJSON_AddStringToObject(e, "adapter", adapter);
        cli_say_event(e);
    }
    if (s) mem_close(s);
    q_buf_free(&words);
    free(model);
    free(adapter);
    return rc == Q_OK ? 0 : cli_fail(err);
}

static int report(const ask *a, char *err)
{
    char *text, *json;
    if (a->n > 1) return cli_usage(&cli_teach, _("teach report takes one name"));
    if (tch_report(a->n ? a->word[0] : NULL, &text, &json, err) < 0) return cli_fail(err);
    if (a->json) say_event("teach_report", "report", json);
    else q_say_text(stdout, text);
    free(text);
    free(json);
    return 0;
}

static int stop(const ask *a, char *err)
{
    if (a->n) return cli_usage(&cli_teach, _("teach stop takes no more words: one run at a time is at work"));
    if (tch_stop(err) < 0) return cli_fail(err);
    if (!a->json) q_say(stdout, _("it stops within a second; quorum teach run goes on with it\n"));
    return 0;
}

static int undo(const ask *a, char *err)
{
    char *which;
    if (a->n > 1) return cli_usage(&cli_teach, _("teach undo takes one name"));
    if (tch_undo(a->n ? a->word[0] : NULL, &which, err) < 0) return cli_fail(err);
    if (a->json) {
        cJSON *e = cli_event("teach_undone");
        cJSON_AddStringToObject(e, "name", which);
        cli_say_event(e);
    } else q_say(stdout, _("what was taught as %s is gone; the set stays\n"), which);
    free(which);
    return 0;
}

static const struct { const char *word; int (*run)(const ask *, char *err); } verbs[] = { { "add", add }, { "list", list }, { "drop", drop }, { "settings", settings }, { "run", run }, { "report", report }, { "stop", stop }, { "undo", undo } };

static const cli_takes takes[] = { { "-m", N_("-m takes a file or a part of a model's name") }, { "--db", N_("--db takes the file of a memory") } };

int cmd_teach(int argc, char **argv)
{
    ask a = { .n = 0 };
    char err[Q_ERRLEN];
    bool plain = false;
    for (int i = 2; i < argc; i++) {
        const char *v;
        if (!plain && strcmp(argv[i], "--") == 0) plain = true;
        else if (!plain && strcmp(argv[i], "--json") == 0) a.json = true;
        else if (!plain && (v = cli_opt(argc, argv, &i, "-m"))) a.model = v;
        else if (!plain && (v = cli_opt(argc, argv, &i, "--db"))) a.db = v;
        else if ((!plain && argv[i][0] == '-') || a.n == REST) return cli_wrong(&cli_teach, "teach", takes, (int)(sizeof takes / sizeof *takes), argv, i);
        else a.word[a.n++] = argv[i];
    }
    for (size_t k = 0; k < sizeof verbs / sizeof *verbs; k++)
        if (argc > 1 && strcmp(argv[1], verbs[k].word) == 0) return verbs[k].run(&a, err);
    return cli_usage(&cli_teach, argc > 1 ? _("teach takes one of its words first") : "");
}
