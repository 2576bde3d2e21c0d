/* cli/common: helpers of the subcommands that run a model: options, opening, room in the context.
 * Single-threaded start-up code; never included outside cli. */
#ifndef QUORUM_CLI_COMMON_H
#define QUORUM_CLI_COMMON_H

#include "cli/cli.h"
#include "engine/engine.h"

#include <signal.h>

enum { CLI_MAX_SETS = 64 };
typedef struct cli_sets { const char *item[CLI_MAX_SETS]; int n; } cli_sets;     /* the --set arguments */

/* The value of option `name` at argv[*i], as the next argument (then *i moves on) or after "=" for long
 * names; NULL when argv[*i] is something else or the value is missing. */
const char *cli_opt(int argc, char **argv, int *i, const char *name);
bool cli_int(const char *text, long min, long max, int *out);
bool cli_number(const char *text, double most, double *out);               /* 0 to most */
/* What an option takes, as a sentence for who gave it something else. */
typedef struct cli_takes { const char *name, *takes; } cli_takes;
/* cli_usage of an argument that the subcommand `who` does not take: argv[i], or the value at argv[i] that cli_opt went on to. Its option is looked up
 * in takes[n], then among those that all have (--ctx, -t, --set). Returns 2. */
int cli_wrong(const cli_command *as, const char *who, const cli_takes *takes, int n, char *const *argv, int i);
/* What there is instead of an option of llama.cpp's programs, as cli_usage_take takes it; NULL: it is none of those that this subcommand is asked for. */
char *cli_foreign(const cli_command *as, const char *arg);
bool cli_is_model(const char *arg);     /* by its name the file of one, where an option or a subcommand should stand */
/* Opens the model that -m names (NULL: the default) and makes its configuration with the sets applied. */
int cli_open(const char *m, const cli_sets *sets, int threads, eng_model **model, eng_config **config, char *err);
/* A file of UTF-8 text, up to 256 MiB; out->p is never NULL on success. */
int cli_text(const char *file, q_buf *out, char *err);
/* Takes --device and the --gpu-* options out of the arguments and tells the engine. */
int cli_device(int *argc, char **argv, char *err);
/* Bytes a second that the model's threads read together, now: of its own pages (not where some are to stay on the disk) and of other memory, the better. */
double cli_bench_reads(const eng_model *);
/* What bounds a model's speed under a configuration. of: what its file costs, as eng_energy_read told while the file was there. */
struct eng_energy;
/* Multiply-adds of one token's products with the layers' weights, where those are of few bits and so multiplied as bytes; 0 elsewhere, and on a GPU. */
double cli_bench_products(const eng_model *, const eng_config *, const struct eng_energy *of);
/* Bytes beside the weights that a token reads which attends to so many: their K and V, and the states of recurrent layers, read and written. */
uint64_t cli_bench_cells(const eng_config *, const struct eng_energy *of, int cells);
/* Sets context.length to n tokens unless --set already said something. */
int cli_room(eng_config *c, const cli_sets *sets, int n, char *err);
/* The embedding model in file m, or (NULL) the one that quorum model fetch --embedder brings. */
struct eng_embedder;
int cli_embedder(const char *m, int threads, struct eng_embedder **, char *err);
/* The same as rag takes it; lives as long as the embedder. */
struct rag_embedder;
void cli_lend(struct eng_embedder *, struct rag_embedder *out);
/* Each line "name = value" of the person's config.ini, in which others may be broken; no such file is no lines. cli_row returns 1. */
typedef int cli_row(void *user, const char *section, const char *name, const char *value);
int cli_config_rows(cli_row *, void *user, char *err);
/* The [server.NAME] sections of the person's config.ini, for "@NAME/MODEL". A line that cannot be used is said on standard error. */
struct prov_servers;
int cli_servers(struct prov_servers **, char *err);
/* On standard error, of one that was opened: how its weights lie, why the CPU computes after all, a context that is shorter than it would be. */
struct prov;
void cli_said_of(const struct prov *);
/* Its name and where it computes: "Qwen3 30B A3B (cuda:0)"; malloc'ed. */
char *cli_who(const struct prov *);
/* This signal asks a subcommand to end in its own way, with these flags of sigaction; was: what stood before, NULL: nobody wants it back. */
void cli_heed(int sig, int flags, struct sigaction *was);
/* So do all that end a program from outside: ^C, kill, and a terminal that is closed, unless nohup stands before it. */
enum { CLI_ENDS = 3 };
void cli_heed_ends(int flags, struct sigaction was[CLI_ENDS]);
void cli_heed_no_more(const struct sigaction was[CLI_ENDS]);
int cli_ended_by(void);                  /* the signal that came; 0: none */
bool cli_go(void *user);                 /* false once one came; user is not looked at, so that it fits who asks */
/* A line of --json: {"v":1,"event":NAME}, to be added to; and out with it, at once. */
struct cJSON;
struct cJSON *cli_event(const char *name);
void cli_say_event(struct cJSON * /* deleted */);
/* What can be known of that before work begins: no folder and no device; it is not there, or force; its folder can be written to. like: see below. */
int cli_may_put(const char *path, bool force, const char *like, char *err);
/* A picture into a file, with the mode that the umask leaves: one that is there is written over only by force; never over a folder, a device or a pipe. like: what to give instead. */
int cli_put_picture(const char *path, bool force, const char *like, const q_buf *picture, char *err);

#endif
