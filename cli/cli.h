/* cli: the command line. One file a subcommand, one table in main.c. Owns argument parsing and exit
 * statuses (0 done, 1 failed with a sentence on stderr, 2 usage); everything else is done by the rooms. */
#ifndef QUORUM_CLI_H
#define QUORUM_CLI_H

#include "base/base.h"

typedef struct cli_command {
    const char *name;                       /* "eval" */
    const char *usage;                      /* lines after "quorum ", N_() */
    int (*run)(int argc, char **argv);      /* argv[0] is the subcommand; returns the exit status */
} cli_command;
/* Each in its own file, beside what it does. */
extern const cli_command cli_chat, cli_eval, cli_tokenize, cli_detokenize, cli_bench, cli_model, cli_memory, cli_export, cli_doctor, cli_compare, cli_sweep,
    cli_trace, cli_routing, cli_embed, cli_template, cli_serve, cli_train, cli_train_config, cli_train_plan, cli_teach, cli_launch, cli_advise;

/* To stderr: one sentence with the way to the usage; problem NULL or "": the usage itself. Returns 2. */
int cli_usage(const cli_command *c, const char *problem);
int cli_usage_take(const cli_command *c, char *problem);     /* problem: malloc'ed, freed */
void cli_help(const cli_command *c);                        /* prints the usage to stdout */
int cli_fail(const char *err);                              /* prints "quorum: SENTENCE", returns 1 */
/* Standard input to its end, by descriptor 0 and never by a path, so a socket will do. Says on standard error that it
 * waits when nothing comes for two seconds. Q_RANGE above max. */
int cli_stdin(q_buf *out, size_t max, char *err);
/* The path of the model that -m names: a path, part of a known model's name, or NULL for the default. malloc'ed in *out. */
int cli_model_path(const char *m, char **out, char *err);
/* How many arguments after this one are somebody's text or name, whatever they look like: after -p, --set, -m, --db and --. */
int cli_somebodys(const char *arg);
/* Applies NAME=VALUE to an engine configuration. */
struct eng_config;
int cli_set(struct eng_config *c, const char *assignment, char *err);

int cmd_eval(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_detokenize(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cli_bench_embed(const cli_command *as, int argc, char **argv);      /* embed.c: argv[0] is "embed" */
int cli_bench_memory(const cli_command *as, int argc, char **argv);     /* recall.c: argv[0] is "memory" */
int cli_bench_reasoning(const cli_command *as, int argc, char **argv);  /* reason.c: argv[0] is "reasoning" */
int cli_bench_sweep(const cli_command *as, int argc, char **argv);      /* bench_sweep.c: as cmd_bench, where --sweep is among the arguments */
int cli_bench_latency(const cli_command *as, int argc, char **argv);    /* latency.c: argv[0] is "latency" */
int cmd_model(int argc, char **argv);
typedef struct cli_map { const char *file, *svg, **set; int n_set; bool json, force; } cli_map;
int cli_model_map(const cli_map *);         /* map.c */
int cli_model_guard(const char *file, const char *db, bool json);      /* guard.c; db NULL: the user's */
typedef struct cli_pull { const char *what, *to, *token_file; int lines, stall; bool list, force, json; } cli_pull;     /* 0: not said */
int cli_model_pull(const cli_pull *);       /* pull.c */
typedef struct cli_merge { const char *base, *out, *type; const char *const *adapter; int n; bool force; } cli_merge;      /* adapter: FILE or FILE=SCALE */
int cli_adapter_merge(const cli_merge *);   /* adapter.c */
int cli_adapter_export(const char *adapter, const char *out, const char *base, bool force);
int cmd_memory(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_routing(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_advise(int argc, char **argv);
int cmd_launch(int argc, char **argv);
int cmd_train(int argc, char **argv);              /* train_run.c */
int cmd_train_config(int argc, char **argv);       /* train.c */
int cmd_train_plan(int argc, char **argv);
int cmd_teach(int argc, char **argv);
int cmd_chat(int argc, char **argv);        /* no subcommand: full screen, --repl, -p */

#endif
