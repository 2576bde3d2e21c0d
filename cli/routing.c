/* cli/routing: `quorum routing`: which experts two texts use differently. It opens a model, asks lab/, and prints. */
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "engine/engine.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_routing = { "routing", N_(
    "quorum routing -m F -f A -f B [--set NAME=VALUE]... [--ctx N] [--json]\n"
    "    which experts run more often for one text than for the other: shares, a permutation test over pieces of text that is\n"
    "    corrected for the number of experts, and Jensen-Shannon divergence by layer, each beside what chance gives"), cmd_routing };

typedef struct args { const char *model, *file[2]; cli_sets sets; int n, ctx, threads; bool json; } args;

static int parse(int argc, char **argv, args *o)
{
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) o->model = v;
        else if ((v = cli_opt(argc, argv, &i, "-f"))) {
            if ((good = o->n < 2)) o->file[o->n] = v;
            o->n++;
        } else if ((v = cli_opt(argc, argv, &i, "--set"))) {
            if ((good = o->sets.n < CLI_MAX_SETS)) o->sets.item[o->sets.n++] = v;
        }
        else if ((v = cli_opt(argc, argv, &i, "--ctx"))) good = cli_int(v, 16, 1 << 24, &o->ctx);
        else if ((v = cli_opt(argc, argv, &i, "-t"))) good = cli_int(v, 1, 1024, &o->threads);
        else if (strcmp(argv[i], "--json") == 0) o->json = true;
        else good = false;
        if (!good)
            return cli_wrong(&cli_routing, "routing", NULL, 0, argv, i);
    }
    return o->n == 2 ? 0 : cli_usage(&cli_routing, _("routing needs -f twice: two texts"));
}

static void print_json(const lab_differ *d)
{
    cJSON *j = lab_differ_json(d);
    char *s = cJSON_Print(j);
    q_say_json(stdout, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

static void print_text(const lab_differ *d, const args *o)
{
    q_buf out = { 0 };
    lab_differ_say(d, o->file[0], o->file[1], &out);
    q_say_text(stdout, out.p);
    q_buf_free(&out);
}

static bool go_on(void *progress, int done, int total)
{
    cli_progress_step(progress, (uint64_t)done, (uint64_t)total);
    return true;
}

static int routes_of(const args *o, int i, eng_model *m, const eng_config *c, lab_routes **out, char *err)
{
    q_buf text = { 0 };
    cli_progress p;
    int rc = q_read_input(o->file[i], &text, (size_t)1 << 28, err);
    if (!rc && !q_utf8_valid(text.p ? text.p : "", text.len))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), o->file[i]);
    if (!rc) {
        cli_progress_start(&p, o->file[i]);
        rc = lab_routes_text(m, c, text.p ? text.p : "", text.len, &(lab_terms){ .window = o->ctx, .go_on = go_on, .user = &p }, out, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    q_buf_free(&text);
    return rc;
}

int cmd_routing(int argc, char **argv)
{
    args o = { .ctx = 0 };
    char err[Q_ERRLEN];
    eng_model *m = NULL;
    eng_config *c = NULL;
    lab_routes *r[2] = { NULL, NULL };
    lab_differ d = { .n_layer = 0 };
    int rc = parse(argc, argv, &o);
    if (rc)
        return rc;
    if ((rc = cli_open(o.model, &o.sets, o.threads, &m, &c, err)) != 0)
        return cli_fail(err);
    for (int i = 0; i < 2 && !rc; i++)
        rc = routes_of(&o, i, m, c, &r[i], err);
    if (!rc)
        rc = lab_differ_of(r[0], r[1], NULL, &d, err);
    if (!rc && o.json)
        print_json(&d);
    else if (!rc)
        print_text(&d, &o);
    lab_differ_free(&d);
    lab_routes_free(r[0]);
    lab_routes_free(r[1]);
    eng_config_free(c);
    eng_model_free(m);
    return rc ? cli_fail(err) : 0;
}
