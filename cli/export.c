/* cli/export: `quorum export`: conversations of memory as examples for training, and files of examples in another form. Single-threaded. No model is
 * loaded. */
#include "advice/examples.h"
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/keep.h"
#include "memory/memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const cli_command cli_export = { "export", N_(
    "quorum export --train FORM [--db FILE] [--only good] [--redact] [--name NAME]... [--thinking keep|drop] [--heldout SHARE]\n"
    "              [--all] [--yes] [--out FOLDER] [--json]\n"
    "    conversations that you released (/train on in the shell) as examples for training, with a report; FORM is messages, sharegpt,\n"
    "    alpaca, openchat, completion or pairs (of answers to one question). --only good: answers that are marked (/good);\n"
    "    --redact: without names, addresses, numbers and secrets, --name takes one more out; --heldout .1: a tenth of the\n"
    "    conversations into a file of its own; --all: also conversations that were not released; asks first\n"
    "quorum export --convert FORM --out FILE [--thinking keep|drop] [--force] FILE...\n"
    "    examples of any of these forms, as lines of JSON or as an array, in one of them; what a form cannot hold is told"), cmd_export };

enum { NAMES = 64, GIVEN = 256 };
typedef struct ask {
    const char *train, *convert, *db, *out, *only, *thinking, *share, *name[NAMES], *file[GIVEN];
    int n_name, n_file;
    bool redact, all, yes, json, force;
} ask;

static char *folder_name(void)
{
    time_t t = time(NULL);
    struct tm tm;
    char day[16] = "";
    if (localtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%d", &tm);
    return q_printf("quorum-training-%s", day);
}

static int train(const ask *a, enum adv_form form, char *err)
{
    mem_store *s;
    adv_export x = { .to = form, .all = a->all, .only_good = a->only != NULL, .redact = a->redact, .drop_thinking = a->thinking && strcmp(a->thinking, "drop") == 0, .name = a->name, .n_name = a->n_name, .go = cli_go };
    adv_exported out = {0};
    memory_ask asking = { .yes = a->yes };
    char *end = NULL;
    if (a->share) x.heldout = strtod(a->share, &end);
    if (a->share && (*end || end == a->share || !(x.heldout >= 0 && x.heldout <= .5))) return cli_usage(&cli_export, _("--heldout is a share of the conversations from 0 to 0.5"));
    if (a->all && !memory_agreed(&asking, _("All conversations leave as examples, also those that you did not release. Go on? [y/N] "))) return 1;
    if (mem_open(a->db, &s, err) != Q_OK) return cli_fail(err);
    char *name = folder_name(), *dir = q_whole_path(a->out ? a->out : name);
    x.dir = dir;                                        /* memory notes it down: it must be found from any folder */
    int rc = mem_tidy(s, cli_go, NULL, err);            /* what was forgotten a moment ago does not leave */
    if (rc == Q_OK) rc = adv_export_memory(s, &x, &out, err);
    mem_close(s);
    if (rc == Q_OK && a->json) q_say_json(stdout, out.json);
    else if (rc == Q_OK) {
        q_say_text(stdout, out.report);
        q_say(stdout, _("\nIt is in %s, for your eyes only (mode 0600).\n"), dir);
    }
    adv_exported_free(&out);
    free(dir);
    free(name);
    return rc == Q_OK ? 0 : cli_fail(err);
}

static int convert(const ask *a, enum adv_form form, char *err)
{
    adv_convert c = { .from = ADV_AS_FOUND, .to = form, .drop_thinking = a->thinking && strcmp(a->thinking, "drop") == 0, .force = a->force, .go = cli_go };
    adv_tally t;
    q_buf b = {0};
    int rc = adv_convert_files(a->file, a->n_file, a->out, &c, &t, err);
    adv_tally_say(&t, &b);
    if (rc == Q_OK) q_say_text(stdout, b.p);
    q_buf_free(&b);
    adv_tally_free(&t);
    return rc == Q_OK ? 0 : cli_fail(err);
}

/* Takes an option at argv[*i]; false: it is none, or incomplete. */
static bool option(int argc, char **argv, int *i, ask *a)
{
    const struct { const char *name; const char **to; } values[] = { { "--train", &a->train }, { "--convert", &a->convert }, { "--db", &a->db }, { "--out", &a->out }, { "--only", &a->only },
                                                              { "--thinking", &a->thinking }, { "--heldout", &a->share } };
    const struct { const char *name; bool *to; } flags[] = { { "--redact", &a->redact }, { "--all", &a->all }, { "--yes", &a->yes }, { "--json", &a->json }, { "--force", &a->force } };
    const char *v;
    for (size_t k = 0; k < sizeof values / sizeof *values; k++)
        if ((v = cli_opt(argc, argv, i, values[k].name)) != NULL) {
            *values[k].to = v;
            return true;
        }
    for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
        if (strcmp(argv[*i], flags[k].name) == 0) return *flags[k].to = true;
    if (a->n_name == NAMES || (v = cli_opt(argc, argv, i, "--name")) == NULL) return false;
    a->name[a->n_name++] = v;
    return true;
}

int cmd_export(int argc, char **argv)
{
    ask a = {0};
    bool plain = false;
    char err[Q_ERRLEN];
    enum adv_form form;
    for (int i = 1; i < argc; i++) {
        bool dash = argv[i][0] == '-' && argv[i][1] && !plain;
        if (dash && strcmp(argv[i], "--") == 0) plain = true;
        else if (dash && !option(argc, argv, &i, &a)) return cli_usage(&cli_export, _("unknown or incomplete option"));
        else if (!dash && a.n_file == GIVEN) return cli_usage(&cli_export, _("too many arguments"));
        else if (!dash) a.file[a.n_file++] = argv[i];
    }
    if (!a.train == !a.convert) return cli_usage(&cli_export, _("export takes --train FORM or --convert FORM; quorum memory export writes the whole memory"));
    if (adv_form_named(a.train ? a.train : a.convert, &form, err) != Q_OK) return cli_usage(&cli_export, err);
    if (a.thinking && strcmp(a.thinking, "keep") != 0 && strcmp(a.thinking, "drop") != 0) return cli_usage(&cli_export, _("--thinking is keep or drop"));
    if (a.only && strcmp(a.only, "good") != 0) return cli_usage(&cli_export, _("--only takes the word good"));
    if (a.convert && (!a.n_file || !a.out)) return cli_usage(&cli_export, _("--convert takes files of examples and --out FILE"));
    if (a.convert && (a.db || a.only || a.redact || a.n_name || a.share || a.all || a.yes || a.json)) return cli_usage(&cli_export, _("--convert takes --out, --thinking and --force, and nothing else"));
    if (a.train && (a.n_file || a.force)) return cli_usage(&cli_export, _("--train takes no files and writes over none: it is memory that leaves, into a new folder"));
    if (a.n_name && !a.redact) return cli_usage(&cli_export, _("--name goes with --redact"));
    cli_heed(SIGINT, 0, NULL);
    return a.train ? train(&a, form, err) : convert(&a, form, err);
}
