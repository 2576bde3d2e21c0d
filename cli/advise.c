/* cli/advise: `quorum advise`: which published model for this machine or a named one. Main thread; prints what advice/ says. */
#include "advice/advice.h"
#include "base/say.h"
#include "cli/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const cli_command cli_advise = { "advise", N_(
    "quorum advise [--machine NAME | --ram GIB --vram GIB --bandwidth N] [--context N] [--family F|all] [--want base|instruct|thinking]\n"
    "              [--width N] [--json]\n"
    "quorum advise -m F [--json]   of one model file: what it takes here, what k costs, what else would fit\n"
    "    which model for this machine, which type of file, how fast, and why not another. Without options it looks and measures\n"
    "    (a second); NAME is a row of the list of machines: 4090, 4x4090, rtx-pro-6000, h100, m4-max, cpu-64g. N: thousand\n"
    "    millions of bytes a second, as makers print it, of the GPU where --vram is given, else of the memory"), cmd_advise };

typedef struct args { const char *model, *machine; double ram, vram, bandwidth; int context, width; const char *family, *want; bool json; } args;

static bool one_of(const char *text) { return strcmp(text, "base") == 0 || strcmp(text, "instruct") == 0 || strcmp(text, "thinking") == 0; }

static const cli_takes takes[] = {
    { "--want", N_("--want takes base, instruct or thinking") }, { "--context", N_("--context takes a number of tokens, 256 to 1048576") }, { "--width", N_("--width takes a number of columns, 60 to 400") },
    { "--ram", N_("--ram takes GiB, more than 0 and 1048576 at most: 8, 64, 0.5") }, { "--vram", N_("--vram takes GiB, 1048576 at most: 24; 0 is no GPU") },
    { "--bandwidth", N_("--bandwidth takes thousand millions of bytes a second, as makers print it: 1008") }, { "--machine", N_("--machine takes a name: 4090, 4x4090, h100, cpu-64g") },
    { "--family", N_("--family takes a name, qwen3, or all") }, { "-m", N_("-m takes a file or a part of a model's name") },
};

static int parse(int argc, char **argv, args *o)
{
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) o->model = v;
        else if ((v = cli_opt(argc, argv, &i, "--machine"))) o->machine = v;
        else if ((v = cli_opt(argc, argv, &i, "--ram"))) good = cli_number(v, 1 << 20, &o->ram) && o->ram > 0;
        else if ((v = cli_opt(argc, argv, &i, "--vram"))) good = cli_number(v, 1 << 20, &o->vram);
        else if ((v = cli_opt(argc, argv, &i, "--bandwidth"))) good = cli_number(v, 1e6, &o->bandwidth) && o->bandwidth > 0;
        else if ((v = cli_opt(argc, argv, &i, "--context"))) good = cli_int(v, 256, 1 << 20, &o->context);
        else if ((v = cli_opt(argc, argv, &i, "--width"))) good = cli_int(v, 60, 400, &o->width);
        else if ((v = cli_opt(argc, argv, &i, "--family"))) o->family = v;
        else if ((v = cli_opt(argc, argv, &i, "--want"))) good = one_of(v), o->want = v;
        else if (strcmp(argv[i], "--json") == 0) o->json = true;
        else good = false;
        if (!good) return cli_wrong(&cli_advise, "advise", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    return 0;
}

/* What was said of a machine goes over what was found. --bandwidth: of the GPU where one is asked for by --vram, else of the memory. */
static void overlay(const args *o, adv_machine *m)
{
    const double gib = 1 << 30;
    if (o->ram > 0) adv_machine_told(m, o->ram);
    if (o->vram >= 0) {
        m->n_gpu = o->vram > 0;
        m->no_plugin = false;
        if (m->n_gpu) m->gpu[0] = (adv_gpu){ .name = "GPU", .bytes = (uint64_t)(o->vram * gib), .free = (uint64_t)(o->vram * gib), .bandwidth = o->bandwidth * 1e9 };
    }
    if (o->vram <= 0 && o->bandwidth > 0) {
        m->ram_bandwidth = o->bandwidth * 1e9;
        m->measured = false;
    }
}

static int terminal_width(void)
{
    struct winsize w;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 60 ? w.ws_col : 80;
}

static int of_file(const args *o, const adv_machine *m, q_buf *out, char *err)
{
    char *path = NULL;
    adv_about a = { .n = 0 };
    int rc = cli_model_path(o->model, &path, err);
    if (rc == Q_OK) {
        const char *slash = strrchr(path, '/');
        rc = adv_about_read(path, slash ? slash + 1 : path, m, &a, err);
    }
    if (rc == Q_OK && o->json) adv_json_about(&a, false, out);
    else if (rc == Q_OK) adv_say_about(&a, false, o->width ? o->width : terminal_width(), out);
    adv_about_free(&a);
    free(path);
    return rc;
}

static int of_list(const args *o, const adv_machine *m, q_buf *out, char *err)
{
    adv_choice *list = NULL;
    int n;
    const adv_ask ask = { .family = o->family, .want = o->want, .context = o->context };
    int rc = adv_choose(&ask, m, &list, &n, err);
    if (rc == Q_OK && o->json) adv_json(&ask, m, list, n, out);
    else if (rc == Q_OK) adv_say(&ask, m, list, n, o->width ? o->width : terminal_width(), out);
    free(list);
    return rc;
}

int cmd_advise(int argc, char **argv)
{
    args o = { .vram = -1 };
    int rc = parse(argc, argv, &o);
    if (rc) return rc;
    if (o.vram > 0 && o.bandwidth <= 0) return cli_usage(&cli_advise, _("--vram needs --bandwidth, the GPU's as its maker prints it; or name the machine: --machine 4090"));
    char err[Q_ERRLEN];
    adv_machine m;
    q_buf out = { 0 };
    if (o.machine) rc = adv_machine_find(o.machine, &m, err);
    else adv_machine_here(o.bandwidth <= 0 || o.vram > 0, &m);
    if (rc == Q_OK) {
        overlay(&o, &m);
        rc = o.model ? of_file(&o, &m, &out, err) : of_list(&o, &m, &out, err);
    }
    if (rc == Q_OK && o.json) q_say_json(stdout, out.p);
    else if (rc == Q_OK) q_say_text(stdout, out.p);
    q_buf_free(&out);
    return rc == Q_OK ? 0 : cli_fail(err);
}
