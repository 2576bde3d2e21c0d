/* cli/compare: `quorum compare`: two configurations on the same tokens. It opens a model, asks lab/, and prints. */
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "engine/text.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_compare = { "compare", N_(
    "quorum compare -m F -A SETTINGS -B SETTINGS -f TEXT [--ctx N] [--json] [--tokens]\n"
    "    the same tokens under two configurations: how far the next token's distributions are apart (KL), which one\n"
    "    gives the text more probability, and whether that is more than noise. SETTINGS: a brain, or k=4,rope.theta=5e5;\n"
    "    --ctx: tokens in one context (1024); --tokens prints each token's numbers\n"
    "quorum compare -m F --other F2 [-A SETTINGS] [-B SETTINGS] -f TEXT [--apart] [--json]\n"
    "    two models on the same text, whatever their tokenizers: bits a byte, and KL where the vocabulary is one. One after\n"
    "    the other where both do not fit into memory, or with --apart"), cmd_compare };

typedef struct args { const char *model, *other, *a, *b, *file; int ctx, threads; bool json, tokens, apart; } args;

static int parse(int argc, char **argv, args *o)
{
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) o->model = v;
        else if ((v = cli_opt(argc, argv, &i, "-A"))) o->a = v;
        else if ((v = cli_opt(argc, argv, &i, "-B"))) o->b = v;
        else if ((v = cli_opt(argc, argv, &i, "-f"))) o->file = v;
        else if ((v = cli_opt(argc, argv, &i, "--other"))) o->other = v;
        else if ((v = cli_opt(argc, argv, &i, "--ctx"))) good = cli_int(v, 16, 1 << 24, &o->ctx);
        else if ((v = cli_opt(argc, argv, &i, "-t"))) good = cli_int(v, 1, 1024, &o->threads);
        else if (strcmp(argv[i], "--json") == 0) o->json = true;
        else if (strcmp(argv[i], "--tokens") == 0) o->tokens = true;
        else if (strcmp(argv[i], "--apart") == 0) o->apart = true;
        else good = false;
        if (!good)
            return cli_wrong(&cli_compare, "compare", NULL, 0, argv, i);
    }
    if (o->other)
        return o->file && !o->tokens ? 0 : cli_usage(&cli_compare, _("compare --other needs -f, and has no --tokens"));
    return o->a && o->b && o->file && !o->apart ? 0 : cli_usage(&cli_compare, _("compare needs -A, -B and -f"));
}

/* ---- JSON ---- */
static void print_json(const lab_compared *c, const args *o, const eng_model *m)
{
    cJSON *j = lab_compared_json(c, o->a, o->b);
    if (o->tokens) {
        cJSON *all = cJSON_AddArrayToObject(j, "by_token");
        for (int i = 0; i < c->n; i++) {
            const lab_token *t = &c->token[i];
            cJSON *one = cJSON_CreateObject();
            size_t n;
            const char *p = eng_token_bytes(m, t->id, &n);
            char *text = q_utf8_clean(p, n);
            cJSON_AddNumberToObject(one, "id", t->id);
            cJSON_AddStringToObject(one, "text", text);
            cJSON_AddNumberToObject(one, "dlogp", (double)t->dlogp);
            cJSON_AddNumberToObject(one, "kl", (double)t->kl);
            cJSON_AddNumberToObject(one, "block", t->block);
            cJSON_AddItemToArray(all, one);
            free(text);
        }
    }
    char *s = cJSON_Print(j);
    q_say_json(stdout, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

/* ---- text ---- */
static void print_text(const lab_compared *c, const args *o, const eng_model *m)
{
    q_buf out = { 0 };
    lab_compared_say(c, o->a, o->b, &out);
    q_say_text(stdout, out.p);
    q_buf_free(&out);
    for (int i = 0; o->tokens && i < c->n; i++) {
        size_t n;
        const char *p = eng_token_bytes(m, c->token[i].id, &n);
        char *text = q_utf8_clean(p, n);
        q_say(stdout, "%6d  %+9.4f  %10.3g  %s\n", i + 1, (double)c->token[i].dlogp, (double)c->token[i].kl, text);
        free(text);
    }
}

static bool go_on(void *progress, int done, int total)
{
    cli_progress_step(progress, (uint64_t)done, (uint64_t)total);
    return true;
}

/* ---- two models ---- */
static void print_other(const lab_bits *b, const args *o)
{
    if (!o->json) {
        q_buf out = { 0 };
        lab_bits_say(b, o->a ? o->a : "standard", o->b ? o->b : "standard", &out);
        q_say_text(stdout, out.p);
        q_buf_free(&out);
        return;
    }
    cJSON *j = lab_bits_json(b, o->a ? o->a : "standard", o->b ? o->b : "standard");
    char *s = cJSON_Print(j);
    q_say_json(stdout, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

static void say_before(void *user, const char *sentence) { q_say(stderr, "quorum: %s\n", sentence); }

static int compare_other(const args *o)
{
    char err[Q_ERRLEN], *path[2] = { NULL, NULL };
    q_buf text = { 0 }, said = { 0 };
    lab_bits b = { .bytes = 0 };
    int rc = cli_text(o->file, &text, err);
    if (!rc)
        rc = cli_model_path(o->model, &path[0], err);
    if (!rc)
        rc = cli_model_path(o->other, &path[1], err);
    if (!rc) {
        cli_progress p;
        cli_progress_start(&p, _("comparing"));
        lab_two two = { .path = { path[0], path[1] }, .spec = { o->a, o->b }, .threads = o->threads, .apart = o->apart, .say = say_before };
        rc = lab_other(&two, text.p, text.len, &(lab_terms){ .window = o->ctx, .go_on = go_on, .user = &p }, &b, &said, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    if (said.len)
        q_say_text(stderr, said.p);
    if (!rc)
        print_other(&b, o);
    lab_bits_free(&b);
    q_buf_free(&text);
    q_buf_free(&said);
    free(path[0]);
    free(path[1]);
    return rc ? cli_fail(err) : 0;
}

int cmd_compare(int argc, char **argv)
{
    args o = { .ctx = 0 };
    int rc = parse(argc, argv, &o);
    if (rc)
        return rc;
    if (o.other)
        return compare_other(&o);
    char err[Q_ERRLEN];
    q_buf text = { 0 }, said = { 0 };
    eng_model *m = NULL;
    eng_config *a = NULL, *b = NULL;
    lab_compared c = { .n = 0 };
    rc = cli_text(o.file, &text, err);
    if (!rc && (rc = cli_open(o.model, &(cli_sets){ .n = 0 }, o.threads, &m, &a, err)) != 0) {
        m = NULL;
        a = NULL;
    }
    if (!rc) {
        b = eng_config_copy(a);
        rc = lab_spec(a, o.a, &said, err);
    }
    if (!rc)
        rc = lab_spec(b, o.b, &said, err);
    if (said.len)
        q_say_text(stderr, said.p);
    q_buf_free(&said);
    if (!rc) {
        cli_progress p;
        cli_progress_start(&p, _("comparing"));
        rc = lab_compare(m, a, b, text.p, text.len, &(lab_terms){ .window = o.ctx, .go_on = go_on, .user = &p }, &c, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    if (!rc)
        (o.json ? print_json : print_text)(&c, &o, m);
    lab_compared_free(&c);
    eng_config_free(a);
    eng_config_free(b);
    if (m)
        eng_model_free(m);
    q_buf_free(&text);
    return rc ? cli_fail(err) : 0;
}
