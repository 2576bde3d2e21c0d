/* bench: what a context takes, and how fast tokens come behind it, for each type of cell: made-up numbers are written into all cells of a
 * timeline, so that nothing has to be read first. Beside what was announced stand what the memory check counts and what the
 * process has grown by. A token behind made-up cells costs what one behind real ones does, but for a choice of experts of its own.
 * usage: context_bench MODEL.gguf [CELLS [THREADS [STEPS]]] */
#include "engine/models.h"
#include "engine/run/cache.h"
#include "engine/run/config.h"
#include "engine/run/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS_MOST = 1000, ANY_TOKEN = 5 };

static int fail(const char *err)
{
    fprintf(stderr, "context_bench: %s\n", err);
    return 1;
}

static double resident(void)           /* bytes */
{
    long all = 0, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &all, &here) != 2) here = 0;
    if (f) fclose(f);
    return (double)here * (double)sysconf(_SC_PAGESIZE);
}

/* Seconds of each of n tokens behind the line, sorted. */
static int steps(eng_cache *k, kv_line *line, const eng_config *c, uint64_t seed, uint64_t hash, double *took, int n, char *err)
{
    for (int i = -2; i < n; i++) {     /* the first two are not measured */
        cache_seq seq = { .line = line, .seed = seed };
        cache_row row = { .token = ANY_TOKEN + i + 2, .want = KER_WANT_LOGITS, .config = c, .hash = hash };
        ker_out out;
        int64_t from = q_now_ns();
        int rc = cache_forward(k, &seq, 1, &row, 1, true, false, &out, err);
        if (rc != Q_OK) return cache_failed(k, rc, err);
        if (i >= 0) took[i] = 1e-9 * (double)(q_now_ns() - from);
    }
    qsort(took, (size_t)n, sizeof *took, q_by_number);
    return Q_OK;
}

static int one(eng_model *m, const eng_energy *e, int t, int cells, int n, char *err)
{
    char words[32], a[32], b[32], g[32];
    eng_config *c = eng_config_new(m);
    eng_cache *k = NULL;
    kv_line line = { 0 };
    double took[STEPS_MOST];
    snprintf(words, sizeof words, "%d", cells + n + 2);
    int rc = eng_config_set(c, "context.length", words, err);
    if (rc == Q_OK) rc = eng_config_set(c, "kv.type", eng_kv_type(t), err);
    if (rc == Q_OK) rc = eng_cache_new(m, c, 1, &k, err);
    uint64_t seed = config_position_hash(c), hash = eng_config_hash(c);
    int32_t *tokens = q_alloc(sizeof *tokens * (size_t)cells);
    for (int i = 0; i < cells; i++) tokens[i] = ANY_TOKEN;
    double before = resident();
    if (rc == Q_OK) rc = cache_make_up(k, &line, tokens, cells, seed, hash, err);
    free(tokens);
    double grown = resident() - before, said = eng_energy_kv_bytes(e, eng_kv_type(t)) * cells;
    if (rc == Q_OK) rc = steps(k, &line, c, seed, hash, took, n, err);
    if (rc == Q_OK) {
        double counted = (double)m->on.be->kv_page_bytes(m->on.dev, k->type) * ((cells + KER_PAGE - 1) / KER_PAGE);
        printf("| %s | %s | %s | %s | %+.2f%% | %.4g (%.4g to %.4g) |\n", eng_kv_type(t), q_bytes_words((uint64_t)said, a), q_bytes_words((uint64_t)counted, b), q_bytes_words((uint64_t)grown, g),
               100 * (grown / said - 1), 1 / took[n / 2], 1 / took[n - 1], 1 / took[0]);
        fflush(stdout);
    }
    if (k) kv_release(k->pool, &line);
    free(line.page);
    eng_cache_free(k);
    eng_config_free(c);
    return rc;
}

int main(int argc, char **argv)
{
    char err[Q_ERRLEN];
    eng_model *m;
    eng_energy e;
    int cells = argc > 2 ? atoi(argv[2]) : 32768, threads = argc > 3 ? atoi(argv[3]) : 0, n = argc > 4 ? atoi(argv[4]) : 32;
    if (argc < 2 || cells < 1 || n < 1 || n > STEPS_MOST) return fail("usage: context_bench MODEL.gguf [CELLS [THREADS [STEPS]]]");
    if (eng_energy_read(argv[1], &e, err) || eng_model_open(argv[1], &(eng_open_opts){ .n_threads = threads }, &m, err)) return fail(err);
    if (m->on.be != ker_cpu() || e.n_recurrent) return fail("measures attention on the processor: take a model without recurrent layers");
    printf("%s, %d cells, %d tokens behind them\n\n| kv.type | announced | counted by the check | grown | off | decode, tokens/s: median (least to most) |\n|---|---|---|---|---|---|\n",
           eng_model_info(m)->name, cells, n);
    int rc = Q_OK;
    for (int t = 0; eng_kv_type(t) && rc == Q_OK; t++) rc = one(m, &e, t, cells, n, err);
    eng_model_free(m);
    return rc == Q_OK ? 0 : fail(err);
}
