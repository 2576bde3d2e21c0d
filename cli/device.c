/* cli/device: the options that every subcommand has: --device, --gpu-layers, --gpu-budget, --gpu-experts, --weights-ram, --lora. Taken out of the arguments
 * before the subcommand reads them, and QUORUM_CPU; start-up code. */
#include "base/say.h"
#include "cli/common.h"
#include "engine/adapter.h"
#include "kernels/kernels.h"
#include "teach/teach.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { WEIGHTS = 32 };                 /* letters of weights.ram */
typedef struct found { const char *device, *layers, *budget, *experts, *weights; bool whole; } found;       /* whole: weights.ram=0, all of them in memory */

/* The option at argv[i] with its value, here or after "=": how many arguments it takes, 0 for another one's, -1 without a value. */
static int option(int argc, char **argv, int i, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(argv[i], name, n) != 0 || (argv[i][n] && argv[i][n] != '=')) return 0;
    *value = argv[i][n] ? argv[i] + n + 1 : i + 1 < argc ? argv[i + 1] : NULL;
    return !*value ? -1 : argv[i][n] ? 1 : 2;
}

/* FILE[=SCALE[@WHERE]], where there is no such file the one that was taught by that name. The engine keeps the pointer as long as it lives. */
static const char *with_file(const char *spec)
{
    size_t n = strcspn(spec, "=");
    char *name = q_strndup(spec, n), *taught = access(spec, F_OK) != 0 && access(name, F_OK) != 0 ? tch_adapter_named(name) : NULL;
    const char *out = taught ? q_printf("%s%s", taught, spec + n) : spec;
    free(taught);
    free(name);
    return out;
}

static int weights_row(void *user, const char *section, const char *name, const char *value)
{
    bool whole = !*section || strcmp(section, "set") == 0;
    if (strcmp(name, whole ? "weights.ram" : "ram") == 0 && (whole || strcmp(section, "weights") == 0)) snprintf(user, WEIGHTS, "%s", value);
    return 1;
}

/* weights.ram of config.ini for a subcommand; a conversation reads it itself, with what was set there. "": none, or nothing that is a bound. */
static void weights_kept(char out[WEIGHTS])
{
    char ignored[Q_ERRLEN], *end;
    *out = 0;
    cli_config_rows(weights_row, out, ignored);
    double gib = strtod(out, &end);
    bool number = end != out && !*end && gib >= 0 && gib <= 1e6, least = strcasecmp(out, "least") == 0;
    if (*out && !number && !least) q_say(stderr, _("quorum: weights.ram in config.ini is a number of GiB from 0 to 1000000, or least, not \"%s\": it is skipped\n"), out);
    if (!least && (!number || gib == 0)) *out = 0;
}

/* Under --weights-ram auto means the CPU, which alone reads experts from the disk. */
static int choose(const found *f, bool kept, char *err)
{
    const char *what = f->device ? f->device : getenv("QUORUM_DEVICE"), *weights = f->weights || f->whole ? f->weights : getenv("QUORUM_WEIGHTS_RAM");
    char own[WEIGHTS] = "";
    if (!f->device && what && !*what) what = NULL;
    bool gpu = (what && strncmp(what, "cuda", 4) == 0) || f->layers || f->budget || (f->experts && strcmp(f->experts, "fetch") == 0);
    if (!f->weights && !f->whole && !(weights && *weights)) {
        if (kept && !gpu) weights_kept(own);
        weights = *own ? own : NULL;
    }
    bool bounded = weights != NULL, variable = !f->device && what;
    if (bounded && (!what || strcmp(what, "auto") == 0)) what = "cpu";
    eng_place want = { .what = what ? what : "auto", .named = variable ? "QUORUM_DEVICE" : NULL, .gpu_layers = -1 };
    if (f->layers && strcmp(f->layers, "auto") != 0 && !cli_int(f->layers, 0, 100000, &want.gpu_layers))
        return q_fail(err, Q_RANGE, _("--gpu-layers takes a number of layers or auto, not \"%s\""), f->layers);
    if (f->budget && !(cli_number(f->budget, 1e6, &want.budget_gib) && want.budget_gib > 0))
        return q_fail(err, Q_RANGE, _("--gpu-budget takes GiB of the GPU's memory, not \"%s\""), f->budget);
    bool least = bounded && strcasecmp(weights, "least") == 0;
    if (least) want.weights_gib = -1;
    else if (bounded && !(cli_number(weights, 1e6, &want.weights_gib) && want.weights_gib > 0))
        return q_fail(err, Q_RANGE, _("--weights-ram takes GiB of memory for weights, such as 8 or 2.5, or least, not \"%s\"; without it all weights are in memory"), weights);
    want.rest = f->experts && strcmp(f->experts, "fetch") == 0 ? ENG_REST_FETCHED : ENG_REST_CPU;
    if (f->experts && !want.rest && strcmp(f->experts, "cpu") != 0)
        return q_fail(err, Q_RANGE, _("--gpu-experts takes cpu (experts that do not fit on the GPU are computed by the CPU) or fetch (they are brought when they are asked for), not \"%s\""), f->experts);
    return eng_device_choose(&want, err);
}

/* --set weights.ram=GIB, which means --weights-ram to a subcommand; a conversation keeps it for the models to come, too. As option() returns. */
static int weights_set(int argc, char **argv, int i, found *f)
{
    static const char *const names[] = { "weights.ram=", "weights_ram=" };
    const char *v = NULL;
    char *end;
    int n = option(argc, argv, i, "--set", &v);
    for (size_t k = 0; n > 0 && k < sizeof names / sizeof *names; k++) {
        size_t len = strlen(names[k]);
        if (strncasecmp(v, names[k], len) != 0) continue;
        f->whole = strtod(v + len, &end) == 0 && end != v + len && !*end;
        f->weights = f->whole ? NULL : v + len;
        return n;
    }
    return 0;
}

/* A lower set of instructions than the best one here, for comparing; the best where nothing is said. */
static int instructions(char *err)
{
    const char *want = getenv("QUORUM_CPU");
    char have[128] = "";
    if (!want || !*want || ker_cpu_force(want) == Q_OK) return Q_OK;
    for (int i = 0; ker_cpu_path(i); i++)
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", i ? ", " : "", ker_cpu_path(i));
    return q_fail(err, Q_RANGE, _("QUORUM_CPU takes a set of instructions that this processor has (%s), not \"%s\"; unset, the best is taken"), have, want);
}

int cli_somebodys(const char *arg)
{
    static const char *const takes[] = { "-p", "--set", "-m", "--db" };
    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++)
        if (strcmp(arg, takes[i]) == 0)
            return 1;
    return strcmp(arg, "--") == 0 ? INT_MAX : 0;
}

int cli_device(int *argc, char **argv, char *err)
{
    found f = { 0 };
    const char **lora = q_alloc(sizeof *lora * (size_t)(*argc + 1)), *one;
    int kept = 1, n_lora = 0, rc = Q_OK;
    for (int i = 1; i < *argc; ) {
        int n = 0;
        if ((n = option(*argc, argv, i, "--device", &f.device)) || (n = option(*argc, argv, i, "--gpu-layers", &f.layers))
            || (n = option(*argc, argv, i, "--gpu-budget", &f.budget)) || (n = option(*argc, argv, i, "--gpu-experts", &f.experts))
            || (n = option(*argc, argv, i, "--weights-ram", &f.weights))) {
            if (n < 0) return q_fail(err, Q_RANGE, _("%s wants a value: quorum --help"), argv[i]);
            i += n;
            continue;
        }
        if (kept > 1 && argv[1][0] != '-' && (n = weights_set(*argc, argv, i, &f))) {
            i += n;
            continue;
        }
        if ((n = option(*argc, argv, i, "--lora", &one))) {
            if (n < 0) return q_fail(err, Q_RANGE, _("%s wants a value: quorum --help"), argv[i]);
            lora[n_lora++] = with_file(one);
            i += n;
            continue;
        }
        int with = cli_somebodys(argv[i]);
        argv[kept++] = argv[i++];
        for (; with && i < *argc; with--) argv[kept++] = argv[i++];
    }
    argv[*argc = kept] = NULL;
    rc = instructions(err);
    if (rc == Q_OK) rc = eng_adapters_choose(lora, n_lora, err);
    free(lora);
    return rc < 0 ? rc : choose(&f, *argc > 1 && argv[1][0] != '-', err);
}
