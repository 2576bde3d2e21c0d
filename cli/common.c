/* cli/common: what every subcommand says alike: usage, failure, --set, the options that models share.
 * Single-threaded start-up code. It never reads a model itself. */
#include "base/place.h"
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "engine/adapter.h"
#include "engine/embed.h"
#include "engine/models.h"
#include "kernels/kernels.h"
#include "lab/lab.h"
#include "provider/provider.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

int cli_usage(const cli_command *c, const char *problem)
{
    bool bare = strcmp(c->name, "chat") == 0;    /* it is called without its name */
    if (problem && *problem) {
        char *brief = q_strdup(problem);
        brief[q_say_brief(brief, strlen(brief), Q_ERRLEN - 1)] = '\0';
        q_say(stderr, _("quorum: %s; quorum %s%s--help shows how it is called\n"), brief, bare ? "" : c->name, bare ? "" : " ");
        free(brief);
    } else {
        char *usage = q_printf(_("usage: %s\n"), _(c->usage));
        q_say_text(stderr, usage);
        free(usage);
    }
    return 2;
}

int cli_usage_take(const cli_command *c, char *problem)
{
    int rc = cli_usage(c, problem);
    free(problem);
    return rc;
}

void cli_help(const cli_command *c)
{
    q_say_text(stdout, _(c->usage));
    q_say(stdout, "\n");
}

int cli_fail(const char *err)
{
    q_say(stderr, "quorum: %s\n", err);
    return 1;
}

int cli_stdin(q_buf *out, size_t max, char *err)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    if (!isatty(STDIN_FILENO) && poll(&p, 1, 2000) == 0)
        q_say(stderr, _("quorum: waiting for text on standard input, which is open and silent; < /dev/null says that there is none\n"));
    return q_read_fd(STDIN_FILENO, _("standard input"), out, max, err);
}

/* Of NAME=VALUE: the knob's whole name by any of its names, as a conversation takes them (k, K, n_ctx); what names none as it stands. malloc'ed. */
static char *name_of(const char *assignment)
{
    char *name = q_strndup(assignment, strcspn(assignment, "=")), *low = q_strdup(name);
    for (char *p = low; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p += 'a' - 'A';
    const char *known = lab_spec_name(low);
    char *out = q_strdup(known ? known : name);
    free(name);
    free(low);
    return out;
}

int cli_set(struct eng_config *c, const char *assignment, char *err)
{
    const char *eq = strchr(assignment, '=');
    if (!eq || eq == assignment)
        return q_fail(err, Q_RANGE, _("--set wants NAME=VALUE, not \"%s\""), assignment);
    char *name = name_of(assignment), *whole = NULL;
    int rc = lab_spec_lists(eng_knob(name), assignment, &whole, err);
    rc = rc ? rc : eng_config_set(c, name, strchr(whole, '=') + 1, err);
    free(name);
    free(whole);
    return rc;
}

const char *cli_opt(int argc, char **argv, int *i, const char *name)
{
    size_t n = strlen(name);
    if (strcmp(argv[*i], name) == 0 && *i + 1 < argc)
        return argv[++*i];
    if (n > 2 && strncmp(argv[*i], name, n) == 0 && argv[*i][n] == '=')
        return argv[*i] + n + 1;
    return NULL;
}

bool cli_int(const char *text, long min, long max, int *out)
{
    char *end;
    long v = strtol(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text) || v < min || v > max)
        return false;
    *out = (int)v;
    return true;
}

bool cli_number(const char *text, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == 0 && !isspace((unsigned char)*text) && !strpbrk(text, "xX") && *out >= 0 && *out <= most;
}

static const char *takes_of(const cli_takes *t, int n, const char *arg)
{
    for (int k = 0; k < n; k++) {
        size_t len = strlen(t[k].name);
        if (strncmp(arg, t[k].name, len) == 0 && (!arg[len] || (len > 2 && arg[len] == '='))) return t[k].takes;
    }
    return NULL;
}

bool cli_is_model(const char *arg)
{
    size_t n = strlen(arg);
    return *arg != '-' && n > 5 && strcasecmp(arg + n - 5, ".gguf") == 0;
}

int cli_wrong(const cli_command *as, const char *who, const cli_takes *takes, int n, char *const *argv, int i)
{
    static const cli_takes all[] = { { "--ctx", N_("--ctx takes a number of tokens, 16 to 16777216") }, { "-t", N_("-t takes a number of threads, 1 to 1024") },
        { "--set", N_("--set takes NAME=VALUE, and stands 64 times at most") } };
    const char *said = NULL;
    bool foreign = false;                /* cli_opt goes on to a value that is there: whoever still stands before one does not take the option */
    for (int a = 0; a < (int)(sizeof all / sizeof *all); a++) foreign |= argv[i + 1] && strcmp(argv[i], all[a].name) == 0 && !takes_of(takes, n, argv[i]);
    for (int back = 0; !said && !foreign && back < 2; back++)          /* cli_opt may have gone on to the value */
        if (!(said = takes_of(takes, n, argv[i - back]))) said = takes_of(all, (int)(sizeof all / sizeof *all), argv[i - back]);
    if (!said && cli_is_model(argv[i]) && strstr(as->usage, "-m ")) return cli_usage_take(as, q_printf(_("a model's file is given by -m: -m %s"), argv[i]));
    char *theirs = said ? NULL : cli_foreign(as, argv[i]);
    if (theirs) return cli_usage_take(as, theirs);
    return said ? cli_usage(as, _(said)) : cli_usage_take(as, q_printf(_("%s does not know \"%s\", or its value is wrong or missing"), who, argv[i]));
}

int cli_open(const char *m, const cli_sets *sets, int threads, eng_model **model, eng_config **config, char *err)
{
    char *path = NULL;
    eng_open_opts o = { .n_threads = threads };
    int rc = cli_model_path(m, &path, err);
    if (!rc)
        rc = eng_model_open(path, &o, model, err);
    free(path);
    if (rc)
        return rc;
    if ((rc = eng_adapters_apply(*model, err))) {
        eng_model_free(*model);
        return rc;
    }
    const char *name[ENG_ADAPTERS];
    const eng_adapter *adapter[ENG_ADAPTERS];
    for (int i = 0, n = eng_model_adapters(*model, name, adapter); i < n; i++)
        if (*eng_adapter_info_of(adapter[i])->doubt) q_say(stderr, "quorum: %s\n", eng_adapter_info_of(adapter[i])->doubt);
    if (*eng_model_device_note(*model))
        q_say(stderr, "quorum: %s\n", eng_model_device_note(*model));
    *config = eng_config_new(*model);
    for (int i = 0; i < sets->n && !rc; i++)
        rc = cli_set(*config, sets->item[i], err);
    if (rc) {
        eng_config_free(*config);
        eng_model_free(*model);
    }
    return rc;
}

int cli_room(eng_config *c, const cli_sets *sets, int n, char *err)
{
    char words[24];
    for (int i = 0; i < sets->n; i++) {
        char *name = name_of(sets->item[i]);
        bool length = strcmp(name, "context.length") == 0;
        free(name);
        if (length) return 0;
    }
    snprintf(words, sizeof words, "%d", n < 16 ? 16 : n);
    return eng_config_set(c, "context.length", words, err);
}

static const size_t READ_AT_ONCE = (size_t)256 << 20 /* beyond any cache that a few threads share */, READ_AT_LEAST = (size_t)16 << 20;

/* Of the files that the model lies in the one with most of it. */
static const void *largest(const eng_model *m, size_t *bytes)
{
    const void *best = eng_model_pages(m, 0, bytes), *p;
    size_t n;
    for (int file = 1; (p = eng_model_pages(m, file, &n)); file++)
        if (n > *bytes) {
            best = p;
            *bytes = n;
        }
    return best;
}

double cli_bench_reads(const eng_model *m)
{
    size_t n;
    const void *pages = largest(m, &n);
    bool there = !eng_model_ondisk(m, &(eng_ondisk){ 0 });
    double own = there ? ker_cpu_read_bandwidth(eng_model_threads(m), pages, n < READ_AT_ONCE ? n : READ_AT_ONCE) : 0;
    size_t like = !there || n > READ_AT_ONCE ? READ_AT_ONCE : n > READ_AT_LEAST ? n : READ_AT_LEAST;       /* a small model lies in caches: so may what bounds it */
    double any = ker_cpu_read_bandwidth(eng_model_threads(m), NULL, like);
    return own > any ? own : any;
}

double cli_bench_products(const eng_model *m, const eng_config *c, const eng_energy *of)
{
    const eng_info *info = eng_model_info(m);
    bool bytes = !strcmp(eng_model_device(m), "cpu") && info->quant[0] != 'F' && strncmp(info->quant, "BF", 2) != 0;
    uint64_t all = bytes ? eng_model_cost(m, c).params : 0, ends = of->params[ENG_ENERGY_EMBED] + of->params[ENG_ENERGY_HEAD];
    return all > ends ? (double)(all - ends) : 0;
}

uint64_t cli_bench_cells(const eng_config *c, const eng_energy *of, int cells)
{
    q_buf kv = { 0 };
    uint64_t bytes = eng_energy_cells(of, eng_config_get(c, "kv.type", &kv), (uint64_t)cells) + 2 * of->state_bytes;
    q_buf_free(&kv);
    return bytes;
}

int cli_text(const char *file, q_buf *out, char *err)
{
    int rc = q_read_input(file, out, (size_t)1 << 28, err);
    q_buf_puts(out, "");
    if (rc == Q_OK && !q_utf8_valid(out->p, out->len))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), file);
    return rc;
}

int cli_embedder(const char *m, int threads, eng_embedder **e, char *err)
{
    char *own = m ? NULL : eng_default_embedder();
    if (!m && (!own || access(own, R_OK) != 0)) {
        free(own);
        return q_fail(err, Q_NOTFOUND, _("there is no embedding model yet: fetch it with \"quorum model fetch --embedder\", or name a GGUF file with -m"));
    }
    int rc = eng_embedder_open(m ? m : own, threads, e, err);
    free(own);
    return rc;
}

static int embed(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *err)
{
    return eng_embed(user, question ? ENG_EMBED_QUERY : ENG_EMBED_PASSAGE, text, len, n, out, NULL, NULL, err);
}

void cli_lend(eng_embedder *e, rag_embedder *out)
{
    const eng_embedder_info *i = eng_embedder_info_of(e);
    *out = (rag_embedder){.id = i->id, .dim = i->dim, .embed = embed, .user = e};
}

cJSON *cli_event(const char *name)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddStringToObject(o, "event", name);
    return o;
}

void cli_say_event(cJSON *o)
{
    char *s = cJSON_PrintUnformatted(o);
    if (s) q_say_json(stdout, s);
    fflush(stdout);
    cJSON_free(s);
    cJSON_Delete(o);
}

static int taken(const char *path, bool force, char *err)
{
    return !force && q_taken(path) ? q_fail(err, Q_RANGE, _("%s exists: --force writes over it"), path) : Q_OK;
}

/* As other programs take it; here a file "-" would be made. */
static int no_output(const char *path, const char *like, char *err)
{
    return strcmp(path, "-") == 0 ? q_fail(err, Q_RANGE, _("- is no file: give a name, such as %s"), like) : Q_OK;
}

int cli_may_put(const char *path, bool force, const char *like, char *err)
{
    if (no_output(path, like, err)) return Q_RANGE;
    if (q_no_folder(path, like, err) || q_no_device(path, err) || taken(path, force, err)) return Q_RANGE;
    return q_may_write(path, err);
}

int cli_put_picture(const char *path, bool force, const char *like, const q_buf *picture, char *err)
{
    struct stat st;
    bool stood = stat(path, &st) == 0;   /* what takes a file's place keeps its mode */
    int rc = no_output(path, like, err);
    if (rc == Q_OK) rc = q_no_folder(path, like, err);
    if (rc == Q_OK) rc = taken(path, force, err);
    if (rc == Q_OK) rc = (force ? q_write_file_atomic : q_write_file_new)(path, picture->p, picture->len, err);
    if (rc != Q_OK) return rc;
    mode_t mask = umask(077);            /* what is written so is the person's alone; a picture is to be shown */
    umask(mask);
    (void)!chmod(path, stood ? st.st_mode & 0777 : 0666 & ~mask);
    return Q_OK;
}

static int server_row(void *user, const char *section, const char *name, const char *value)
{
    char why[Q_ERRLEN];
    if (!strncmp(section, "server.", 7) && prov_servers_put(user, section + 7, name, value, why) < 0)
        q_say(stderr, _("quorum: config.ini, [%s]: %s\n"), section, why);
    return 1;
}

int cli_config_rows(cli_row *row, void *user, char *err)
{
    char *path = q_user_path(Q_DIR_CONFIG, "config.ini");
    q_buf text = { 0 };
    int rc = Q_OK;
    if (path && access(path, F_OK) == 0) rc = q_read_file(path, &text, (size_t)1 << 20, err);
    if (rc == Q_OK && text.len) ini_parse_string(text.p, row, user);
    q_buf_free(&text);
    free(path);
    return rc;
}

int cli_servers(prov_servers **out, char *err)
{
    *out = prov_servers_new();
    return cli_config_rows(server_row, *out, err);
}

void cli_said_of(const prov *p)
{
    const prov_info *i = prov_about(p);
    const char *const said[] = { i->shortened.words, i->divided.words };
    for (int n = 0; n < 2; n++)
        if (said[n]) q_say(stderr, "quorum: %s\n", said[n]);
}

char *cli_who(const prov *p)
{
    const prov_info *i = prov_about(p);
    return i->device[0] ? q_printf("%s (%s)", i->name, i->device) : q_strdup(i->name);
}

static volatile sig_atomic_t interrupted;
static void on_interrupt(int sig) { interrupted = sig; }

void cli_heed(int sig, int flags, struct sigaction *was)
{
    struct sigaction act = { .sa_handler = on_interrupt, .sa_flags = flags };
    sigaction(sig, &act, was);
}

static const int ends[CLI_ENDS] = { SIGINT, SIGTERM, SIGHUP };

void cli_heed_ends(int flags, struct sigaction was[CLI_ENDS])
{
    struct sigaction before;
    for (int i = 0; i < CLI_ENDS; i++) {
        struct sigaction *of = was ? &was[i] : &before;
        cli_heed(ends[i], flags, of);
        if (ends[i] == SIGHUP && of->sa_handler == SIG_IGN) sigaction(SIGHUP, of, NULL);
    }
}

void cli_heed_no_more(const struct sigaction was[CLI_ENDS])
{
    for (int i = 0; i < CLI_ENDS; i++) sigaction(ends[i], &was[i], NULL);
}

int cli_ended_by(void) { return interrupted; }
bool cli_go(void *user) { return !interrupted; }
