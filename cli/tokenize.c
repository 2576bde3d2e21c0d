/* cli/tokenize: `quorum tokenize` and `quorum detokenize`: standard input to token ids and back, byte for byte.
 * A file with a vocabulary and no tensors is enough. Owns the two formats;
 * it never adds a token (no BOS) that the text does not hold. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "engine/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_tokenize = { "tokenize", N_(
    "quorum tokenize -m F [--json] [--special] < TEXT\n"
    "    the ids of standard input; a file with a vocabulary and no tensors is enough; --json: {\"ids\":[...]};\n"
    "    --special: control tokens written in the text (<|im_end|>) become those tokens"), cmd_tokenize };
const cli_command cli_detokenize = { "detokenize", N_(
    "quorum detokenize -m F < IDS\n"
    "    the bytes of ids separated by spaces, newlines or commas, or of what tokenize --json wrote;\n"
    "    control tokens are written by name"), cmd_detokenize };

typedef struct options { const char *model; bool json, special; } options;

/* Parses the options, opens the vocabulary and reads the input: what both commands begin with. */
static int begin(int argc, char **argv, const cli_command *which, options *o, eng_model **m, q_buf *in, int *status)
{
    for (int i = 1; i < argc; i++) {
        const char *v = cli_opt(argc, argv, &i, "-m");
        if (v) o->model = v;
        else if (which == &cli_tokenize && strcmp(argv[i], "--json") == 0) o->json = true;
        else if (which == &cli_tokenize && strcmp(argv[i], "--special") == 0) o->special = true;
        else {
            char *what = q_printf(strcmp(argv[i], "-m") == 0 ? _("%s wants a file or a model's name") : _("unknown option %s"), argv[i]);
            *status = cli_usage(which, what);
            free(what);
            return Q_ERR;
        }
    }
    char err[Q_ERRLEN], *path = NULL;
    eng_open_opts open = {.vocab_only = true};
    int r = cli_model_path(o->model, &path, err);
    if (!r) r = eng_model_open(path, &open, m, err);
    if (!r) r = cli_stdin(in, SIZE_MAX, err);
    free(path);
    if (r) *status = cli_fail(err);
    return r;
}

int cmd_tokenize(int argc, char **argv)
{
    options o = {0};
    eng_model *m = NULL;
    q_buf in = {0}, out = {0};
    int status = 0;
    if (begin(argc, argv, &cli_tokenize, &o, &m, &in, &status) == 0) {
        char err[Q_ERRLEN];
        eng_tokens t = {0};
        if (eng_tokenize(m, in.p ? in.p : "", in.len, o.special, &t, err)) status = cli_fail(err);
        else {
            q_buf_puts(&out, o.json ? "{\"ids\":[" : "");
            for (int i = 0; i < t.n; i++) q_buf_printf(&out, "%s%d", i ? (o.json ? "," : " ") : "", t.id[i]);
            q_buf_puts(&out, o.json ? "]}\n" : "\n");
            q_say_data(stdout, out.p ? out.p : "", out.len);          /* main says when that fails */
        }
        eng_tokens_free(&t);
    }
    eng_model_free(m);
    q_buf_free(&in);
    q_buf_free(&out);
    return status;
}

static int add_id(eng_tokens *t, double v, int n_vocab, char *err)
{
    if (!(v >= 0) || v >= n_vocab || v != (double)(int)v)
        return q_fail(err, Q_RANGE, _("%g is not a token of this vocabulary; ids go from 0 to %d"), v, n_vocab - 1);
    eng_tokens_add(t, (int32_t)v);
    return Q_OK;
}

/* Ids separated by spaces, newlines or commas; or the JSON that tokenize --json writes. */
static int parse_ids(const q_buf *in, int n_vocab, eng_tokens *t, char *err)
{
    const char *p = in->p ? in->p : "";
    p += strspn(p, " \t\r\n");
    int r = Q_OK;
    if (*p == '{' || *p == '[') {
        cJSON *j = cJSON_Parse(p);
        const cJSON *list = cJSON_IsObject(j) ? cJSON_GetObjectItem(j, "ids") : j, *x;
        if (!cJSON_IsArray(list)) r = q_fail(err, Q_FORMAT, _("standard input is not {\"ids\":[...]} or a list of ids"));
        cJSON_ArrayForEach(x, list) {
            if (r) break;
            r = cJSON_IsNumber(x) ? add_id(t, x->valuedouble, n_vocab, err) : q_fail(err, Q_FORMAT, _("an id is not a number"));
        }
        cJSON_Delete(j);
        return r;
    }
    while (!r && *(p += strspn(p, " \t\r\n,"))) {
        char *end;
        long v = strtol(p, &end, 10);
        if (end == p || !strchr(" \t\r\n,", *end))
            return q_fail(err, Q_FORMAT, _("\"%.*s\" is not an id; give numbers separated by spaces"), (int)q_utf8_whole(p, strcspn(p, " \t\r\n,") % 40), p);
        r = add_id(t, (double)v, n_vocab, err);
        p = end;
    }
    return r;
}

int cmd_detokenize(int argc, char **argv)
{
    options o = {0};
    eng_model *m = NULL;
    q_buf in = {0}, out = {0};
    int status = 0;
    if (begin(argc, argv, &cli_detokenize, &o, &m, &in, &status) == 0) {
        char err[Q_ERRLEN];
        eng_tokens t = {0};
        if (parse_ids(&in, eng_model_info(m)->n_vocab, &t, err)) status = cli_fail(err);
        else {
            eng_detok d = {0};
            for (int i = 0; i < t.n; i++) {
                size_t n;
                const char *s = eng_detok_bytes(m, &d, t.id[i], &n);
                if (eng_token_control(m, t.id[i])) q_buf_puts(&out, eng_token_name(m, t.id[i]));
                else q_buf_add(&out, s, n);
            }
            q_say_data(stdout, out.p ? out.p : "", out.len);          /* main says when that fails */
        }
        eng_tokens_free(&t);
    }
    eng_model_free(m);
    q_buf_free(&in);
    q_buf_free(&out);
    return status;
}
