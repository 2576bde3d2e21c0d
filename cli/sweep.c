/* cli/sweep: `quorum sweep`: one knob at several values on the same text. It opens a model, asks lab/, and prints. */
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "lab/lab.h"

#include <stdlib.h>
#include <string.h>

const cli_command cli_sweep = { "sweep", N_(
    "quorum sweep -m F KNOB VALUES -f TEXT [--set NAME=VALUE] [--ctx N] [-t N] [--json | --csv]\n"
    "    one knob at several values on the same tokens: perplexity with its interval, tokens a second, bytes a token and\n"
    "    agreement with the model's own value. VALUES: 1,2,4 or 1..16 or 1..128/8 (with a step); what the knob refuses is\n"
    "    said and left out"), cmd_sweep };

typedef struct args { const char *model, *file; lab_range range; cli_sets sets; int ctx, threads; enum lab_form form; } args;

static int parse(int argc, char **argv, args *o)
{
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) o->model = v;
        else if ((v = cli_opt(argc, argv, &i, "-f"))) o->file = v;
        else if ((v = cli_opt(argc, argv, &i, "--set"))) good = o->sets.n < CLI_MAX_SETS && (o->sets.item[o->sets.n++] = v);
        else if ((v = cli_opt(argc, argv, &i, "--ctx"))) good = cli_int(v, 16, 1 << 24, &o->ctx);
        else if ((v = cli_opt(argc, argv, &i, "-t"))) good = cli_int(v, 1, 1024, &o->threads);
        else if (strcmp(argv[i], "--json") == 0) o->form = LAB_JSON;
        else if (strcmp(argv[i], "--csv") == 0) o->form = LAB_CSV;
        else if (argv[i][0] == '-' || o->range.values) good = false;
        else *(o->range.knob ? &o->range.values : &o->range.knob) = argv[i];
        if (!good)
            return cli_wrong(&cli_sweep, "sweep", NULL, 0, argv, i);
    }
    return o->range.values && o->file ? 0 : cli_usage(&cli_sweep, _("sweep needs a knob, its values and -f"));
}

static bool go_on(void *progress, int done, int total)
{
    cli_progress_step(progress, (uint64_t)done, (uint64_t)total);
    return true;
}

int cmd_sweep(int argc, char **argv)
{
    args o = { .ctx = 0 };
    int rc = parse(argc, argv, &o);
    if (rc)
        return rc;
    char err[Q_ERRLEN];
    q_buf text = { 0 }, out = { 0 };
    eng_model *m = NULL;
    eng_config *c = NULL;
    lab_swept s = { .n = 0 };
    rc = cli_text(o.file, &text, err);
    if (!rc && (rc = cli_open(o.model, &o.sets, o.threads, &m, &c, err)) != 0) {
        m = NULL;
        c = NULL;
    }
    if (!rc) {
        cli_progress p;
        cli_progress_start(&p, _("sweeping"));
        rc = lab_sweep(m, c, &o.range, text.p, text.len, &(lab_terms){ .window = o.ctx, .go_on = go_on, .user = &p }, &s, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    if (!rc) {
        lab_swept_say(&s, o.form, &out);
        if (o.form == LAB_JSON)
            q_say_json(stdout, out.p);
        else
            q_say_text(stdout, out.p);
    }
    lab_swept_free(&s);
    eng_config_free(c);
    if (m)
        eng_model_free(m);
    q_buf_free(&text);
    q_buf_free(&out);
    return rc ? cli_fail(err) : 0;
}
