/* cli/trace: `quorum trace stats`: how the load lies on the experts in a trace file. It reads a file, asks lab/, and prints. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_trace = { "trace", N_(
    "quorum trace stats FILE [--experts N] [--json]\n"
    "    of routing as /trace save writes it, layer by layer: each expert's load, its entropy over log N, Gini, how many of a\n"
    "    token's experts ran for the one before, and which run together more often than by chance. How many experts there are\n"
    "    is read from FILE.json beside it, or --experts says it"), cmd_trace };

enum { MOST = 1 << 30 };

/* What FILE.json says of the model; 0: nothing. */
static int experts_beside(const char *file)
{
    char err[Q_ERRLEN], *beside = q_printf("%s.json", file);
    q_buf b = { 0 };
    int n = 0;
    cJSON *j = q_read_file(beside, &b, 1 << 26, err) == Q_OK && b.p ? cJSON_ParseWithLength(b.p, b.len) : NULL;
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, "experts");
    if (cJSON_IsNumber(v) && v->valuedouble >= 1 && v->valuedouble <= 0xFFFF)
        n = (int)v->valuedouble;
    cJSON_Delete(j);
    q_buf_free(&b);
    free(beside);
    return n;
}

static void print_json(const lab_load *o)
{
    cJSON *j = cJSON_CreateObject(), *layers;
    cJSON_AddNumberToObject(j, "tokens", o->tokens);
    cJSON_AddNumberToObject(j, "experts", o->n_expert);
    cJSON_AddBoolToObject(j, "experts_known", o->known);
    layers = cJSON_AddArrayToObject(j, "layers");
    for (int l = 0; l < o->n_layer; l++) {
        const lab_layer_load *y = &o->layer[l];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "layer", y->layer);
        lab_layer_load_json(y, o->n_expert, one);
        cJSON_AddNumberToObject(one, "router_entropy", y->router_entropy);
        cJSON_AddNumberToObject(one, "margin", y->margin);
        cJSON_AddItemToArray(layers, one);
    }
    char *s = cJSON_Print(j);
    q_say_json(stdout, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

static int stats(const char *file, int n_expert, bool json)
{
    char err[Q_ERRLEN];
    q_buf text = { 0 };
    lab_routes *r = NULL;
    int rc = q_read_input(file, &text, MOST, err);
    if (rc == Q_OK)
        rc = lab_routes_csv(text.p ? text.p : "", text.len, n_expert ? n_expert : experts_beside(file), &r, err);
    q_buf_free(&text);
    if (rc < 0)
        return cli_fail(err);
    lab_load load;
    lab_load_of(r, &load);
    if (json)
        print_json(&load);
    else {
        q_buf out = { 0 };
        lab_load_say(&load, &out);
        q_say_text(stdout, out.p);
        q_buf_free(&out);
    }
    lab_load_free(&load);
    lab_routes_free(r);
    return 0;
}

int cmd_trace(int argc, char **argv)
{
    const char *file = NULL, *v;
    int n_expert = 0;
    bool json = false;
    if (argc < 2 || strcmp(argv[1], "stats") != 0)
        return cli_usage(&cli_trace, argc < 2 ? NULL : _("trace knows one word: stats"));
    for (int i = 2; i < argc; i++) {
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "--experts"))) good = cli_int(v, 1, 0xFFFF, &n_expert);
        else if (strcmp(argv[i], "--json") == 0) json = true;
        else if (!file && argv[i][0] != '-') file = argv[i];
        else good = false;
        if (!good)
            return cli_wrong(&cli_trace, "trace stats", NULL, 0, argv, i);
    }
    return file ? stats(file, n_expert, json) : cli_usage(&cli_trace, _("trace stats needs a file that /trace save wrote"));
}
