/* cli/embed: `quorum embed` (texts to vectors, for scripts) and `quorum bench embed` (how fast). Both open an embedder of
 * their own; nothing is kept. */
#include "base/say.h"
#include "cli/common.h"
#include "engine/embed.h"
#include "kernels/kernels.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_embed = { "embed", N_(
    "quorum embed [-m F] [--query|--plain] [-t THREADS] [TEXT]...\n"
    "    the vector of each TEXT, without one of each line of standard input, as JSON: {\"model\",\"id\",\"dim\",\"tokens\":[...],\n"
    "    \"vectors\":[[...]]}; a text is a passage, --query: a question, --plain: nothing is put before it.\n"
    "    F is a GGUF file; without -m the one that quorum model fetch --embedder brings"), cmd_embed };

/* ---- quorum embed ---- */

typedef struct texts { const char **text; size_t *len; int n, cap; } texts;

static void texts_add(texts *t, const char *text, size_t len)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->text = q_realloc(t->text, sizeof *t->text * (size_t)t->cap);
        t->len = q_realloc(t->len, sizeof *t->len * (size_t)t->cap);
    }
    t->text[t->n] = text;
    t->len[t->n++] = len;
}

static void texts_of_lines(texts *t, const q_buf *in)
{
    for (const char *p = in->p, *end = p ? p + in->len : NULL; p < end; ) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        texts_add(t, p, (size_t)(stop - p) - (stop > p && stop[-1] == '\r'));
        p = stop + 1;
    }
}

/* A text in JSON, as q_say_data may write it. */
static void put_string(q_buf *out, const char *s)
{
    cJSON *j = cJSON_CreateString(s);
    char *text = cJSON_PrintUnformatted(j);
    q_json_safe(out, text, strlen(text));
    free(text);
    cJSON_Delete(j);
}

static int print_all(eng_embedder *e, enum eng_embed_as as, const texts *t, char *err)
{
    const eng_embedder_info *info = eng_embedder_info_of(e);
    q_buf out = { 0 };
    int rc = Q_OK;
    float *v = malloc(sizeof *v * (size_t)info->dim * (size_t)(t->n ? t->n : 1));
    if (!v) return q_fail(err, Q_NOMEM, _("no memory for %d vectors: give fewer texts at once"), t->n);
    rc = eng_embed(e, as, t->text, t->len, t->n, v, NULL, NULL, err);
    q_buf_puts(&out, "{\"model\":");
    put_string(&out, info->name);
    q_buf_printf(&out, ",\"id\":\"%s\",\"dim\":%d,\"tokens\":[", info->id, info->dim);
    for (int i = 0; i < t->n && !rc; i++) {
        int n = eng_embed_count(e, as, t->text[i], t->len[i], err);
        q_buf_printf(&out, "%s%d", i ? "," : "", n);
        rc = n < 0 ? n : Q_OK;
    }
    q_buf_puts(&out, "],\"vectors\":[");
    for (int i = 0; i < t->n && !rc; i++)
        for (int d = 0; d < info->dim; d++)
            q_buf_printf(&out, "%s%.9g%s", d ? "," : i ? ",\n[" : "[", (double)v[(size_t)i * (size_t)info->dim + (size_t)d], d + 1 < info->dim ? "" : "]");
    q_buf_puts(&out, "]}\n");
    if (!rc) q_say_data(stdout, out.p, out.len);           /* main says when that fails */
    q_buf_free(&out);
    free(v);
    return rc;
}

static const cli_takes takes[] = {
    { "-m", N_("-m takes a file or a part of a model's name") }, { "-p", N_("-p takes a number of passages, 1 to 10000") },
    { "-n", N_("-n takes a number of tokens of each passage, 8 to 100000") }, { "-r", N_("-r takes how often each is measured, 1 to 1000") },
};

int cmd_embed(int argc, char **argv)
{
    const char *model = NULL;
    int threads = 0;
    enum eng_embed_as as = ENG_EMBED_PASSAGE;
    texts t = { 0 };
    bool options = true;
    char err[Q_ERRLEN];
    int status = 0;
    for (int i = 1; i < argc && !status; i++) {
        const char *v;
        bool good = true;
        if (!options || argv[i][0] != '-') texts_add(&t, argv[i], strlen(argv[i]));
        else if (strcmp(argv[i], "--") == 0) options = false;
        else if ((v = cli_opt(argc, argv, &i, "-m"))) model = v;
        else if ((v = cli_opt(argc, argv, &i, "-t"))) good = cli_int(v, 1, 1024, &threads);
        else if (strcmp(argv[i], "--query") == 0) as = ENG_EMBED_QUERY;
        else if (strcmp(argv[i], "--plain") == 0) as = ENG_EMBED_PLAIN;
        else good = false;
        if (!good) status = cli_wrong(&cli_embed, "embed", takes, 1, argv, i);
    }
    q_buf in = { 0 };
    eng_embedder *e = NULL;
    if (!status) {
        int rc = cli_embedder(model, threads, &e, err);
        if (!rc && !t.n && !(rc = cli_stdin(&in, SIZE_MAX, err))) texts_of_lines(&t, &in);
        if (!rc) rc = print_all(e, as, &t, err);
        status = rc ? cli_fail(err) : 0;
    }
    eng_embedder_close(e);
    q_buf_free(&in);
    free(t.text);
    free(t.len);
    return status;
}

/* ---- quorum bench embed ---- */

typedef struct speed { double passages_s, tokens_s, query_ms; int tokens, query_tokens; } speed;

/* Words from a fixed text, from the `from`-th on, until the tokens are as many or nearly; malloc'ed. */
static char *passage(eng_embedder *e, int from, int tokens, int *has, char *err)
{
    static const char *const words[] = { "the", "lighthouse", "keeper", "wrote", "every", "evening", "what", "ships", "had", "passed,", "and", "at",
        "night", "he", "counted", "stars", "над", "морем", "поднимался", "туман;", "сторож", "маяка", "зажигал", "лампу", "и", "ждал", "утра,",
        "in", "1893", "a", "storm", "broke", "two", "windows.", "Никто", "не", "приехал", "чинить", "их", "до", "весны." };
    enum { N = sizeof words / sizeof *words };
    q_buf b = { 0 };
    size_t before = 0;
    *has = 0;
    for (int i = 0, n; i < tokens + 16; i++) {
        before = b.len;
        q_buf_printf(&b, "%s%s", b.len ? " " : "", words[(from + i) % N]);
        if (i < tokens / 3) continue;              /* no word is more than three tokens */
        if ((n = eng_embed_count(e, ENG_EMBED_PASSAGE, b.p, b.len, err)) < 0) break;
        if (n > tokens && before) {
            b.p[b.len = before] = 0;
            break;
        }
        *has = n;
    }
    return q_buf_take(&b);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of some single questions. */
static int query_time(eng_embedder *e, speed *s, float *v, char *err)
{
    enum { TRIES = 21 };
    double ms[TRIES];
    const char *text = "when did the storm break the windows of the lighthouse?";
    size_t len = strlen(text);
    int rc = s->query_tokens = eng_embed_count(e, ENG_EMBED_QUERY, text, len, err);
    for (int i = 0; i < TRIES && rc >= 0; i++) {
        int64_t at = q_now_ns();
        rc = eng_embed(e, ENG_EMBED_QUERY, &text, &len, 1, v, NULL, NULL, err);
        ms[i] = (double)(q_now_ns() - at) / 1e6;
    }
    if (rc < 0) return rc;
    qsort(ms, TRIES, sizeof *ms, by_size);
    s->query_ms = ms[TRIES / 2];
    return Q_OK;
}

static int measure(eng_embedder *e, int n, int tokens, int repeat, speed *s, char *err)
{
    char **text = q_alloc(sizeof *text * (size_t)n);
    size_t *len = q_alloc(sizeof *len * (size_t)n);
    float *v = q_alloc(sizeof *v * (size_t)n * (size_t)eng_embedder_info_of(e)->dim);
    int rc = Q_OK;
    for (int i = 0; i < n; i++) {
        int has;
        text[i] = passage(e, i, tokens, &has, err);
        len[i] = strlen(text[i]);
        s->tokens += has;
    }
    rc = eng_embed(e, ENG_EMBED_PASSAGE, (const char *const *)text, len, 1, v, NULL, NULL, err);      /* weights into memory, threads up */
    for (int r = 0; r < repeat && !rc; r++) {
        int64_t at = q_now_ns();
        rc = eng_embed(e, ENG_EMBED_PASSAGE, (const char *const *)text, len, n, v, NULL, NULL, err);
        double took = (double)(q_now_ns() - at) / 1e9;
        if (!rc && n / took > s->passages_s) {
            s->passages_s = n / took;
            s->tokens_s = s->tokens / took;
        }
    }
    if (!rc) rc = query_time(e, s, v, err);
    for (int i = 0; i < n; i++) free(text[i]);
    free(text);
    free(len);
    free(v);
    return rc;
}

static void report(const eng_embedder_info *info, const speed *s, int n, bool json)
{
    if (json) {
        q_buf out = { 0 };
        q_buf_puts(&out, "{\"model\":");
        put_string(&out, info->name);
        q_buf_printf(&out, ",\"dim\":%d,\"threads\":%d,\"cpu\":\"%s\",\"passages\":%d,\"tokens\":%d,\"passages_per_s\":%.3f,\"tokens_per_s\":%.1f,"
                     "\"query_tokens\":%d,\"query_ms\":%.3f}\n", info->dim, info->threads, ker_cpu_features(), n, s->tokens, s->passages_s, s->tokens_s,
                     s->query_tokens, s->query_ms);
        q_say_data(stdout, out.p, out.len);
        q_buf_free(&out);
        return;
    }
    q_say(stdout, _("%s (%s), %d threads, %s\n"), info->name, info->arch, info->threads, ker_cpu_features());
    q_say(stdout, _("passages %9.2f a second   (%d of %d tokens each, %.0f tokens/s)\n"), s->passages_s, n, s->tokens / n, s->tokens_s);
    q_say(stdout, _("a query  %9.2f ms         (%d tokens)\n"), s->query_ms, s->query_tokens);
}

int cli_bench_embed(const cli_command *as, int argc, char **argv)
{
    const char *model = NULL;
    int n = 32, tokens = 194, threads = 0, repeat = 1;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        const char *v;
        bool good = true;
        if ((v = cli_opt(argc, argv, &i, "-m"))) model = v;
        else if ((v = cli_opt(argc, argv, &i, "-p"))) good = cli_int(v, 1, 10000, &n);
        else if ((v = cli_opt(argc, argv, &i, "-n"))) good = cli_int(v, 8, 100000, &tokens);
        else if ((v = cli_opt(argc, argv, &i, "-t"))) good = cli_int(v, 1, 1024, &threads);
        else if ((v = cli_opt(argc, argv, &i, "-r"))) good = cli_int(v, 1, 1000, &repeat);
        else if (strcmp(argv[i], "--json") == 0) json = true;
        else good = false;
        if (!good) return cli_wrong(as, "bench embed", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    char err[Q_ERRLEN];
    eng_embedder *e = NULL;
    speed s = { 0 };
    int rc = cli_embedder(model, threads, &e, err);
    if (!rc) rc = measure(e, n, tokens, repeat, &s, err);
    if (!rc) report(eng_embedder_info_of(e), &s, n, json);
    eng_embedder_close(e);
    return rc ? cli_fail(err) : 0;
}
