/* cli/launch: `quorum launch`: a script or unit that starts a server for a model on a machine. Main thread; the work is advice/launch.h's. */
#include "advice/launch.h"
#include "base/say.h"
#include "cli/common.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_command cli_launch = { "launch", N_(
    "quorum launch vllm|sglang|llama-server|quorum --model NAME|FILE [--machine NAME] [--context N] [--users N] [--type T]\n"
    "              [--kv-half | --kv-quarter] [--weights REPOSITORY|FILE] [--host A] [--port N] [--key-file F] [--unit] [--json]\n"
    "    prints a script that starts a server for a published model (engine/make/catalog.ini has them) or a GGUF file on a machine: what fits,\n"
    "    divided among its GPUs and RAM, each flag explained; docs/launch-flags.md has the flags and their releases;\n"
    "    --machine: rtx-pro-6000, 5090, 4x4090, h100, ..., without it this one; --unit: a unit for systemd --user instead;\n"
    "    --type: BF16, FP8, AWQ, GPTQ, or of GGUFs Q8_0, Q6_K, Q5_K_M, Q4_K_M, without it the best that fits;\n"
    "    --kv-half: cells of a byte a number; --kv-quarter: of half a byte, on llama-server and quorum;\n"
    "    --host: another address than 127.0.0.1, which then asks for a key"), cmd_launch };

typedef struct args {
    adv_launch_wish wish;
    const char *model, *machine;
    bool unit, json;
} args;

static const cli_takes takes[] = {
    { "--model", N_("--model takes a published model's name, or a GGUF file") }, { "-m", N_("-m takes a published model's name, or a GGUF file") },
    { "--machine", N_("--machine takes a name: 4090, 4x4090, h100, cpu-64g") }, { "--type", N_("--type takes BF16, FP8, AWQ or GPTQ; of GGUF files Q8_0, Q6_K, Q5_K_M or Q4_K_M") },
    { "--weights", N_("--weights takes a repository, a folder or a GGUF file") }, { "--host", N_("--host takes an address: 127.0.0.1, 0.0.0.0") },
    { "--key-file", N_("--key-file takes a file of mode 0600 whose first line is the key") }, { "--context", N_("--context takes a number of tokens, 1 to 16777216") },
    { "--users", N_("--users takes a number of conversations at once, 1 to 1024") }, { "--port", N_("--port takes a number, 1 to 65535") },
};

static int parse(int argc, char **argv, args *a)
{
    const struct { const char *name; const char **to; } text[] = {
        { "--model", &a->model }, { "-m", &a->model }, { "--machine", &a->machine }, { "--type", &a->wish.type }, { "--weights", &a->wish.weights },
        { "--host", &a->wish.host }, { "--key-file", &a->wish.key_file } };
    const struct { const char *name; int *to, max; } number[] = { { "--context", &a->wish.context, 1 << 24 }, { "--users", &a->wish.users, 1024 }, { "--port", &a->wish.port, 65535 } };
    const struct { const char *name; bool *to; } flag[] = { { "--kv-half", &a->wish.kv8 }, { "--kv-quarter", &a->wish.kv4 }, { "--unit", &a->unit }, { "--json", &a->json } };
    for (int i = 1; i < argc; i++) {
        const char *v = NULL;
        bool done = false;
        for (size_t j = 0; j < sizeof text / sizeof *text && !done; j++)
            if ((v = cli_opt(argc, argv, &i, text[j].name))) *text[j].to = v, done = true;
        for (size_t j = 0; j < sizeof number / sizeof *number && !done && !v; j++)
            if ((v = cli_opt(argc, argv, &i, number[j].name))) done = cli_int(v, 1, number[j].max, number[j].to);
        for (size_t j = 0; j < sizeof flag / sizeof *flag && !done; j++)
            if (strcmp(argv[i], flag[j].name) == 0) *flag[j].to = done = true;
        if (!done && !v && argv[i][0] != '-' && !a->wish.server) a->wish.server = argv[i], done = true;
        if (!done)
            return cli_wrong(&cli_launch, "launch", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    if (!a->wish.server)
        return cli_usage(&cli_launch, _("launch wants a server: vllm, sglang, llama-server or quorum"));
    return a->model ? 0 : cli_usage(&cli_launch, _("launch wants --model: a published model's name, or a GGUF file"));
}

/* A file where there is one of that name, else a row of the catalogue. */
static int find(const char *what, const eng_known **known, const eng_variant **variant, char **path, char *err)
{
    size_t n = strlen(what);
    bool file = access(what, F_OK) == 0 || (n > 5 && strcmp(what + n - 5, ".gguf") == 0);
    if (!file)
        return eng_catalog_find(what, known, variant, err);
    char *found = NULL;
    int rc = eng_find_model(what, &found, err);
    if (rc == Q_OK) {
        *path = realpath(found, NULL);
        if (!*path) *path = q_strdup(found);
    }
    free(found);
    return rc;
}

static void tell_json(const adv_launch *p, bool unit, const char *text)
{
    cJSON *o = cli_event("launch"), *flags;
    const struct { const char *name; double v; } number[] = {
        { "context", p->context }, { "users", p->users }, { "port", p->port }, { "gpus", p->gpus }, { "experts_in_ram_layers", p->experts_cpu },
        { "weights", (double)p->size.weights }, { "kv", (double)p->size.kv }, { "state", (double)p->size.state }, { "room", (double)p->size.room },
        { "each", (double)p->size.each }, { "has", (double)p->size.has }, { "in_ram", (double)p->size.in_ram } };
    const struct { const char *name, *v; } words[] = { { "server", p->server->name }, { "release", p->server->release }, { "model", p->model }, { "name", p->name },
        { "type", p->type }, { "machine", p->machine }, { "section", p->section }, { unit ? "unit" : "script", text } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) cJSON_AddStringToObject(o, words[i].name, words[i].v);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) cJSON_AddNumberToObject(o, number[i].name, number[i].v);
    flags = cJSON_AddArrayToObject(o, "flags");
    for (int i = 0; i < p->n_flag; i++) {
        cJSON *f = cJSON_CreateObject();
        cJSON_AddStringToObject(f, "flag", p->flag[i].flag);
        if (!p->flag[i].bare && *p->flag[i].value != '\n') cJSON_AddStringToObject(f, "value", p->flag[i].value);
        cJSON_AddStringToObject(f, "why", _(p->flag[i].words));
        cJSON_AddStringToObject(f, "source", p->flag[i].source);
        cJSON_AddItemToArray(flags, f);
    }
    cli_say_event(o);
}

int cmd_launch(int argc, char **argv)
{
    args a = { .model = NULL };
    char err[Q_ERRLEN], *path = NULL;
    const eng_known *known = NULL;
    const eng_variant *variant = NULL;
    adv_machine m;
    adv_launch plan;
    int status = parse(argc, argv, &a);
    if (status)
        return status;
    int rc = find(a.model, &known, &variant, &path, err);
    if (rc == Q_OK && a.machine)
        rc = adv_machine_find(a.machine, &m, err);
    else if (rc == Q_OK)
        adv_machine_here(false, &m);
    if (rc == Q_OK)
        rc = adv_launch_plan(&a.wish, known, variant, path, &m, &plan, err);
    if (rc == Q_OK) {
        q_buf text = { 0 };
        if (a.unit) adv_launch_unit(&plan, &text);
        else adv_launch_script(&plan, &text);
        if (a.json) tell_json(&plan, a.unit, text.p);
        else q_say_data(stdout, text.p, text.len);
        q_buf_free(&text);
    }
    free(path);
    return rc < 0 ? cli_fail(err) : 0;
}
