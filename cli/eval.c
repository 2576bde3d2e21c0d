/* cli/eval: `quorum eval logits`, `quorum eval ppl` and `quorum eval choices`: numbers for comparison with other engines and with
 * ourselves. One session, teacher-forced. It prints results to stdout or files and nothing else there. */
#include "base/say.h"
#include "cli/choices.h"
#include "cli/common.h"
#include "engine/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_eval = { "eval", N_(
    "quorum eval logits -m F --tokens 1,2,3 --out FILE.f32 [--routing FILE.json] [--force-routing FILE.json]\n"
    "                   [--split N] [--set NAME=VALUE]...\n"
    "    logits of all positions as [tokens][vocabulary] float32; the prompt is evaluated in pieces of N;\n"
    "    --routing writes {\"ids\":[layer][token][slot],\"weights\":...}, --force-routing runs such a file's ids\n"
    "quorum eval ppl -m F -f TEXT [--ctx 512] [--split N] [--set NAME=VALUE]... [--json]\n"
    "    perplexity over windows of that many tokens, the second half of each scored\n"
    "quorum eval choices -m F -f FILE.jsonl [--set NAME=VALUE]... [--json]\n"
    "    lines of {\"prompt\":\"…\",\"choices\":[\"…\",…],\"answer\":N}: how likely each choice is behind the prompt, and how often\n"
    "    the right one is the likeliest (acc; a letter: acc_norm; a byte: acc_bytes), as lm-eval counts it"), cmd_eval };

typedef struct args {
    const char *model, *tokens, *out, *routing, *force, *file;
    int split, ctx;
    bool json;
    cli_sets sets;
} args;

static const cli_takes takes[] = {
    { "-m", N_("-m takes a file or a part of a model's name") }, { "--tokens", N_("--tokens takes numbers of tokens, as 1,2,3") }, { "--out", N_("--out takes a file") }, { "--routing", N_("--routing takes a file") },
    { "--force-routing", N_("--force-routing takes a file, as --routing writes it") }, { "-f", N_("-f takes a file of text") }, { "--split", N_("--split takes a number of tokens, 0 to 16777216") },
    { "--ctx", N_("--ctx takes a number of tokens, 4 to 16777216") },
};

/* Reads the options; 0, or the exit status. */
static int parse(int argc, char **argv, args *a)
{
    a->ctx = 512;
    for (int i = 2; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) a->model = v;
        else if ((v = cli_opt(argc, argv, &i, "--tokens"))) a->tokens = v;
        else if ((v = cli_opt(argc, argv, &i, "--out"))) a->out = v;
        else if ((v = cli_opt(argc, argv, &i, "--routing"))) a->routing = v;
        else if ((v = cli_opt(argc, argv, &i, "--force-routing"))) a->force = v;
        else if ((v = cli_opt(argc, argv, &i, "-f"))) a->file = v;
        else if ((v = cli_opt(argc, argv, &i, "--split"))) good = cli_int(v, 0, 1 << 24, &a->split);
        else if ((v = cli_opt(argc, argv, &i, "--ctx"))) good = cli_int(v, 4, 1 << 24, &a->ctx);
        else if (a->sets.n < CLI_MAX_SETS && (v = cli_opt(argc, argv, &i, "--set"))) a->sets.item[a->sets.n++] = v;
        else if (strcmp(argv[i], "--json") == 0) a->json = true;
        else good = false;
        if (!good) return cli_wrong(&cli_eval, "eval", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    return 0;
}

static int parse_tokens(const char *text, eng_tokens *out)
{
    for (const char *p = text;;) {
        char *end;
        long v = strtol(p, &end, 10);
        if (end == p || v < 0 || v > INT32_MAX || (*end && *end != ','))
            return -1;
        eng_tokens_add(out, (int32_t)v);
        if (!*end)
            return 0;
        p = end + 1;
    }
}

/* ---- logits ---- */
typedef struct logits_job {
    const eng_model *m;
    FILE *f;
    int n, n_layer, n_vocab, max_k, wrong;   /* wrong: the errno of a write that failed, else 0 */
    uint16_t *ids;                     /* [n_layer][n][max_k], when routing is wanted */
    float *weights;
} logits_job;

static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    logits_job *j = user;
    errno = 0;
    if (fwrite(logits, sizeof *logits, (size_t)j->n_vocab, j->f) != (size_t)j->n_vocab) {
        j->wrong = errno ? errno : EIO;
        return Q_IO;
    }
    if (!j->ids)
        return 0;
    for (int l = 0; l < j->n_layer; l++)
        for (int k = 0; k < j->max_k; k++) {
            size_t to = ((size_t)l * (size_t)j->n + (size_t)pos) * (size_t)j->max_k + (size_t)k;
            j->ids[to] = k < max_k ? ids[l * max_k + k] : 0xFFFF;
            j->weights[to] = k < max_k ? weights[l * max_k + k] : 0;
        }
    return 0;
}

/* {"ids":[layer][token][slot],"weights":...}: layers with experts only, as the goldens have it. */
static int write_routing(const logits_job *j, const char *path, char *err)
{
    q_buf b = { 0 };
    for (int part = 0; part < 2; part++) {
        const char *layer_sep = "";
        q_buf_puts(&b, part ? "], \"weights\": [" : "{\"ids\": [");
        for (int l = 0; l < j->n_layer; l++) {
            if (!eng_layer_is_moe(j->m, l))
                continue;
            q_buf_printf(&b, "%s[", layer_sep);
            layer_sep = ", ";
            for (int t = 0; t < j->n; t++) {
                q_buf_puts(&b, t ? ", [" : "[");
                for (int k = 0; k < j->max_k; k++) {
                    size_t at = ((size_t)l * (size_t)j->n + (size_t)t) * (size_t)j->max_k + (size_t)k;
                    if (j->ids[at] == 0xFFFF)
                        break;
                    if (part)
                        q_buf_printf(&b, "%s%.9g", k ? ", " : "", (double)j->weights[at]);
                    else
                        q_buf_printf(&b, "%s%d", k ? ", " : "", j->ids[at]);
                }
                q_buf_puts(&b, "]");
            }
            q_buf_puts(&b, "]");
        }
    }
    q_buf_puts(&b, "]}\n");
    int rc = q_write_file_atomic(path, b.p, b.len, err);
    q_buf_free(&b);
    return rc;
}

/* Reads "ids" of such a file into [n_layer][n][max_k]. Layers: those with experts, or all. */
static int read_forced(const eng_model *m, const char *path, int n, uint16_t **out, int *max_k, char *err)
{
    const eng_info *info = eng_model_info(m);
    q_buf b = { 0 };
    int rc = q_read_input(path, &b, (size_t)1 << 30, err);
    if (rc)
        return rc;
    cJSON *root = cJSON_Parse(b.p);
    const cJSON *ids = cJSON_GetObjectItem(root, "ids"), *layer, *token, *slot;
    int n_rows = cJSON_IsArray(ids) ? cJSON_GetArraySize(ids) : 0, k = 0, l = 0;
    bool all = n_rows == info->n_layer;
    q_buf_free(&b);
    if (n_rows == 0 || (!all && n_rows != info->n_moe_layer)) {
        cJSON_Delete(root);
        return q_fail(err, Q_FORMAT, _("%s: expected {\"ids\": [layer][token][slot]} with %d layers"), path, info->n_moe_layer);
    }
    cJSON_ArrayForEach(layer, ids)
        cJSON_ArrayForEach(token, layer)
            k = cJSON_GetArraySize(token) > k ? cJSON_GetArraySize(token) : k;
    size_t cells = (size_t)info->n_layer * (size_t)n * (size_t)(k ? k : 1);
    uint16_t *v = q_alloc(sizeof *v * cells);
    memset(v, 0xFF, sizeof *v * cells);
    cJSON_ArrayForEach(layer, ids) {
        int t = 0;
        while (!all && l < info->n_layer && !eng_layer_is_moe(m, l))
            l++;
        if (!rc && cJSON_GetArraySize(layer) != n)
            rc = q_fail(err, Q_FORMAT, _("%s: layer %d has %d tokens, the text %d"), path, l, cJSON_GetArraySize(layer), n);
        if (rc)
            break;
        cJSON_ArrayForEach(token, layer) {
            int s = 0;
            cJSON_ArrayForEach(slot, token) {
                double x = cJSON_IsNumber(slot) ? slot->valuedouble : -1;
                if (!rc && !(x >= 0 && x < 65535))
                    rc = q_fail(err, Q_FORMAT, _("%s: layer %d, token %d: not an expert's number"), path, l, t);
                v[((size_t)l * (size_t)n + (size_t)t) * (size_t)k + (size_t)s++] = (uint16_t)(rc ? 0 : x);
            }
            t++;
        }
        l++;
    }
    cJSON_Delete(root);
    if (rc || k == 0) {
        free(v);
        return rc ? rc : q_fail(err, Q_FORMAT, _("%s names no experts"), path);
    }
    *out = v;
    *max_k = k;
    return 0;
}

static int run_logits(const args *a, eng_model *m, eng_config *c, const eng_tokens *t, char *err)
{
    const eng_info *info = eng_model_info(m);
    eng_session *s = NULL;
    uint16_t *forced = NULL;
    int forced_k = 0, rc = cli_room(c, &a->sets, t->n, err);
    if (!rc && a->force)
        rc = read_forced(m, a->force, t->n, &forced, &forced_k, err);
    if (!rc)
        rc = eng_session_new(m, c, &s, err);
    logits_job j = { .m = m, .n = t->n, .n_layer = info->n_layer, .n_vocab = info->n_vocab, .max_k = info->n_expert };
    if (!rc && a->routing && info->n_expert == 0)
        rc = q_fail(err, Q_ERR, _("%s has no experts: there is no routing to write"), info->name);
    if (!rc)
        rc = q_no_input(a->out, info->path, err);
    if (!rc && a->routing)
        rc = q_no_input(a->routing, info->path, err);
    if (!rc && !(j.f = fopen(a->out, "wb")))
        rc = q_fail(err, Q_IO, "%s: %s", a->out, strerror(errno));
    if (!rc && a->routing) {
        size_t cells = (size_t)j.n_layer * (size_t)j.n * (size_t)j.max_k;
        j.ids = q_alloc(sizeof *j.ids * cells);
        j.weights = q_alloc(sizeof *j.weights * cells);
    }
    if (!rc) {
        rc = eng_session_eval(s, t->id, t->n, a->split, forced, forced_k, on_row, &j, err);
        if (j.wrong)                   /* else what failed is the model's reading, which has said so */
            q_fail(err, rc, "%s: %s", a->out, strerror(j.wrong));
    }
    if (j.f && fclose(j.f) && !rc)
        rc = q_fail(err, Q_IO, "%s: %s", a->out, strerror(errno));
    if (!rc && a->routing)
        rc = write_routing(&j, a->routing, err);
    free(j.ids);
    free(j.weights);
    free(forced);
    eng_session_free(s);
    return rc;
}

/* ---- perplexity ---- */
typedef struct ppl_job { const int32_t *tokens; int n, first, n_vocab; double nll; long count; } ppl_job;

/* Position p's logits predict token p+1; scored from the middle of the window on, where each has had at least
 * half a window of context (as llama.cpp's perplexity tool does, so that numbers compare). */
static int on_ppl(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    ppl_job *j = user;
    (void)ids, (void)weights, (void)max_k;
    if (pos < j->first || pos + 1 >= j->n)
        return 0;
    float max = logits[0];
    double sum = 0;
    for (int i = 1; i < j->n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    for (int i = 0; i < j->n_vocab; i++)
        sum += (double)expf(logits[i] - max);
    j->nll += log(sum) + (double)max - (double)logits[j->tokens[pos + 1]];
    j->count++;
    return 0;
}

static int run_ppl(const args *a, eng_model *m, eng_config *c, char *err)
{
    q_buf text = { 0 };
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    ppl_job j = { .n = a->ctx, .first = a->ctx / 2, .n_vocab = eng_model_info(m)->n_vocab };
    int rc = q_read_input(a->file, &text, (size_t)1 << 30, err), windows = 0;
    if (!rc && !q_utf8_valid(text.p ? text.p : "", text.len))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), a->file);
    if (!rc)
        rc = eng_tokenize(m, text.p ? text.p : "", text.len, false, &t, err);
    q_buf_free(&text);
    if (!rc && t.n < a->ctx)
        rc = q_fail(err, Q_RANGE, _("%s has %d tokens: less than one window of %d; give a longer text or a smaller --ctx"), a->file, t.n, a->ctx);
    if (!rc)
        rc = cli_room(c, &a->sets, a->ctx, err);
    if (!rc)
        rc = eng_session_new(m, c, &s, err);
    int32_t bos = eng_token_begin(m);
    for (int at = 0; !rc && at + a->ctx <= t.n; at += a->ctx, windows++) {
        j.tokens = t.id + at;
        if (bos >= 0)                  /* as llama.cpp's tool: each window begins a text */
            t.id[at] = bos;
        rc = eng_session_eval(s, j.tokens, a->ctx, a->split, NULL, 0, on_ppl, &j, err);
    }
    eng_tokens_free(&t);
    eng_session_free(s);
    if (rc)
        return rc;
    double ppl = exp(j.nll / (double)j.count);
    if (!isfinite(ppl))
        return q_fail(err, Q_RANGE, _("the perplexity is beyond any number: %.4g nats a token, so this model and this text have nothing in common, or a knob goes too far"),
                      j.nll / (double)j.count);
    if (a->json)
        q_say(stdout, "{\"perplexity\":%.6g,\"tokens\":%ld}\n", ppl, j.count);
    else
        q_say(stdout, _("perplexity %.4f over %ld tokens (%d windows of %d)\n"), ppl, j.count, windows, a->ctx);
    return 0;
}

int cmd_eval(int argc, char **argv)
{
    args a = { 0 };
    char err[Q_ERRLEN];
    if (argc < 2)
        return cli_usage(&cli_eval, _("eval what? logits, ppl or choices"));
    bool logits = strcmp(argv[1], "logits") == 0;
    bool choices = strcmp(argv[1], "choices") == 0;
    if (!logits && !choices && strcmp(argv[1], "ppl") != 0)
        return cli_usage(&cli_eval, _("eval knows logits, ppl and choices"));
    int status = parse(argc, argv, &a);
    if (status)
        return status;
    eng_tokens t = { 0 };
    if (logits && (!a.tokens || !a.out))
        return cli_usage(&cli_eval, _("eval logits needs --tokens and --out"));
    if (logits && parse_tokens(a.tokens, &t)) {
        eng_tokens_free(&t);
        return cli_usage(&cli_eval, _("--tokens wants ids separated by commas, like 1,2,3"));
    }
    if (choices && !a.file)
        return cli_usage(&cli_eval, _("eval choices needs -f FILE.jsonl"));
    if (!logits && !a.file)
        return cli_usage(&cli_eval, _("eval ppl needs -f TEXT"));
    eng_model *m = NULL;
    eng_config *c = NULL;
    int rc = cli_open(a.model, &a.sets, 0, &m, &c, err);
    if (!rc) {
        rc = logits ? run_logits(&a, m, c, &t, err) : choices ? cli_choices(m, c, a.file, a.json, err) : run_ppl(&a, m, c, err);
        eng_config_free(c);
        eng_model_free(m);
    }
    eng_tokens_free(&t);
    return rc ? cli_fail(err) : 0;
}
