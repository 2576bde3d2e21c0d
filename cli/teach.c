/* cli/teach: `quorum teach`: what teach/ does, from a script. Main thread. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "memory/memory.h"
#include "teach/teach.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_teach = { "teach", N_(
    "quorum teach add FILE|chats [to NAME] [--json]\n"
    "    examples into a set: lines of JSON in any form of quorum export, a dialogue in Markdown, an archive of chats; chats: the\n"
    "    answers of memory that are marked (/good, /better) in conversations that you released (/train on)\n"
    "quorum teach list [-m F] [--db FILE] [--json]\n"
    "    the sets: what is in them, tokens for the model that -m names, consent\n"
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

static const struct { const char *word; int (*run)(const ask *, char *err); } verbs[] = { { "add", add }, { "list", list }, { "drop", drop } };

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
        else if ((!plain && argv[i][0] == '-') || a.n == REST) return cli_usage_take(&cli_teach, q_printf(_("teach does not know \"%s\", or its value is missing"), argv[i]));
        else a.word[a.n++] = argv[i];
    }
    for (size_t k = 0; k < sizeof verbs / sizeof *verbs; k++)
        if (argc > 1 && strcmp(argv[1], verbs[k].word) == 0) return verbs[k].run(&a, err);
    return cli_usage(&cli_teach, argc > 1 ? _("teach takes one of its words first") : "");
}
