/* cli/device: the options that every subcommand has: --device, --gpu-layers, --gpu-budget. Taken out of the arguments
 * before the subcommand reads them; start-up code. */
#include "cli/common.h"

#include <stdlib.h>
#include <string.h>

typedef struct found { const char *device, *layers, *budget; } found;

/* The option at argv[i] with its value, here or after "=": how many arguments it takes, 0 for another one's, -1 without a value. */
static int option(int argc, char **argv, int i, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(argv[i], name, n) != 0 || (argv[i][n] && argv[i][n] != '=')) return 0;
    *value = argv[i][n] ? argv[i] + n + 1 : i + 1 < argc ? argv[i + 1] : NULL;
    return !*value ? -1 : argv[i][n] ? 1 : 2;
}

static int choose(const found *f, char *err)
{
    const char *what = f->device ? f->device : getenv("QUORUM_DEVICE");
    int layers = -1;
    double budget = 0;
    char *end = NULL;
    if (f->layers && strcmp(f->layers, "auto") != 0 && !cli_int(f->layers, 0, 100000, &layers))
        return q_fail(err, Q_RANGE, _("--gpu-layers takes a number of layers or auto, not \"%s\""), f->layers);
    if (f->budget) budget = strtod(f->budget, &end);
    if (end && (end == f->budget || *end || !(budget > 0)))
        return q_fail(err, Q_RANGE, _("--gpu-budget takes GiB of the GPU's memory, not \"%s\""), f->budget);
    return eng_device_choose(what && *what ? what : "auto", layers, budget, err);
}

int cli_device(int *argc, char **argv, char *err)
{
    found f = { 0 };
    int kept = 1;
    for (int i = 1; i < *argc; ) {
        int n = 0;
        /* What stands after -p, --set and -- is somebody's text, whatever it looks like. */
        if (!strcmp(argv[i], "--")) {
            while (i < *argc) argv[kept++] = argv[i++];
            break;
        }
        if ((n = option(*argc, argv, i, "--device", &f.device)) || (n = option(*argc, argv, i, "--gpu-layers", &f.layers))
            || (n = option(*argc, argv, i, "--gpu-budget", &f.budget))) {
            if (n < 0) return q_fail(err, Q_RANGE, _("%s wants a value: quorum --help"), argv[i]);
            i += n;
            continue;
        }
        bool takes = !strcmp(argv[i], "-p") || !strcmp(argv[i], "--set") || !strcmp(argv[i], "-m") || !strcmp(argv[i], "--db");
        argv[kept++] = argv[i++];
        if (takes && i < *argc) argv[kept++] = argv[i++];
    }
    argv[*argc = kept] = NULL;
    return choose(&f, err);
}
