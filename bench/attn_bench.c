/* bench/attn_bench: the attention part of a layer alone, in Qwen3-30B-A3B's heads, at long contexts: by type of cells the time of a
 * step of a few rows and how fast it reads the cells. Usage: attn_bench [avx2] [q8_0 ...] [threads [rows [context ...]]]: a set of
 * instructions and types of cells, else the best and all. The cells are those of one page of random rows, copied to all pages (what is
 * in them changes no time); the residual is narrow, so that products of weights are next to nothing. One thread: its processor time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/made.h"

enum { LAYERS = 8, ROUNDS = 15, MOST_ROWS = 512 };
static const made_shape shape = { "heads", 32, 32, 4, 128, 128, 0, 0, 0, 32, 64, 0, -1, MADE_QK_NORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, .rows = NULL };
static const struct { const char *name; enum ker_kv_type type; } types[] = { { "f16", KER_KV_F16 }, { "q8_0", KER_KV_Q8_0 }, { "q4_0", KER_KV_Q4_0 }, { "f32", KER_KV_F32 } };
enum { TYPES = sizeof types / sizeof *types };
static char err[Q_ERRLEN];
static bool alone;

static void die(int rc) { if (rc) { fprintf(stderr, "%d %s\n", rc, err); exit(1); } }

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int type_named(const char *name)
{
    for (int t = 0; t < TYPES; t++)
        if (!strcmp(name, types[t].name)) return t;
    return -1;
}

static int by_time(const void *a, const void *b) { return *(const int64_t *)a < *(const int64_t *)b ? -1 : *(const int64_t *)a > *(const int64_t *)b; }

/* Nanoseconds of attention in all layers, for rows at the end of `context` cells. */
static int64_t step(made_side *s, ker_kv *kv, int context, int rows, const int32_t *page)
{
    static int32_t token[MOST_ROWS], cell[MOST_ROWS];
    ker_seq seq = { .page = page, .n_page = (context + KER_PAGE - 1) / KER_PAGE };
    ker_batch b = { .n = rows, .token = token, .pos = cell, .cell = cell, .seqs = &seq, .n_seq = 1, .phase = rows == 1 };
    for (int i = 0; i < rows; i++) token[i] = i % shape.n_vocab, cell[i] = context - rows + i;
    die(s->b->begin(s->ctx, kv, &b, err));
    die(s->b->embed(s->ctx));
    int64_t t = now_ns();
    for (int l = 0; l < LAYERS; l++) die(s->b->attn(s->ctx, l));
    t = now_ns() - t;
    die(s->b->end(s->ctx, &s->out));
    return t;
}

static int n_threads;
static double reading(void *user) { return ker_cpu_read_bandwidth(n_threads, NULL, (size_t)1 << 28); }

static void measure(made_side *s, const made_model *m, int type, int context, int rows)
{
    int n_page = (context + KER_PAGE - 1) / KER_PAGE;
    int32_t *page = q_alloc(sizeof *page * (size_t)n_page);
    ker_kv *kv;
    die(s->b->kv_new(s->dev, types[type].type, n_page, &kv, err));
    for (int i = 0; i < n_page; i++) page[i] = i;
    for (int i = 0; i < KER_PAGE; i++) step(s, kv, i + 1, 1, page);
    for (int i = 1; i < n_page; i++) s->b->kv_copy(kv, i, 0, KER_PAGE);
    int64_t t[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) t[i] = step(s, kv, context, rows, page);
    qsort(t, ROUNDS, sizeof *t, by_time);
    double ms = (double)t[ROUNDS / 2] / 1e6, bytes = (double)ker_kv_head_bytes(&m->m, types[type].type) * shape.n_kv * LAYERS * n_page;
    printf("%-5s context %6d rows %3d  %8.3f ms (%.3f to %.3f)", types[type].name, context, rows, ms, (double)t[0] / 1e6, (double)t[ROUNDS - 1] / 1e6);
    double rate = bytes / ms * 1e3, roof = alone ? 0 : ker_roofline(rate, 4, reading, NULL);
    if (rows == 1) printf("  %6.2f GiB/s of cells", rate / 0x1p30);
    if (rows == 1 && roof > 0) printf(", %.0f%% of what memory gives (%.1f)", rate / roof * 100, roof / 0x1p30);
    if (rows > 1) printf("  %6.1f GMAC/s", (double)rows * (context - rows / 2.0) * shape.n_head * shape.hd * 2 * LAYERS / ms / 1e6);
    printf("\n");
    s->b->kv_free(kv);
    free(page);
}

int main(int argc, char **argv)
{
    bool asked[TYPES] = { false };
    int n_asked = 0;
    for (; argc > 1 && (*argv[1] < '0' || *argv[1] > '9'); argc--, argv++) {
        int t = type_named(argv[1]);
        if (t >= 0) asked[t] = true, n_asked++;
        else if (ker_cpu_force(argv[1])) return fprintf(stderr, "%s is no type of cells and not a set of instructions of this processor\n", argv[1]), 2;
    }
    int threads = n_threads = argc > 1 ? atoi(argv[1]) : 0, rows = argc > 2 ? atoi(argv[2]) : 1, usual[] = { 2048, 8192, 32768 };
    if (rows < 1 || rows > MOST_ROWS) return fprintf(stderr, "1 to %d rows\n", MOST_ROWS), 2;
    if (threads < 1) threads = n_threads = q_cores();          /* what bounds them is measured with as many */
    alone = threads == 1;
    made_model *m = made_new(&shape, KER_Q8_0, LAYERS);
    made_side s = { .b = ker_cpu() };
    die(s.b->open(&m->m, threads, NULL, &s.dev, err));
    for (int l = 0; l <= LAYERS; l++)
        for (int r = 0; r < KER_W_ROLES; r++)
            if (m->w[l][r].data) die(s.b->weight(s.dev, l - 1, (enum ker_role)r, &m->w[l][r], err));
    die(s.b->ready(s.dev, err));
    die(s.b->ctx_new(s.dev, rows, m->m.n_expert, NULL, &s.ctx, err));
    ker_config c = { .norm_eps = 1e-5f, .rope_freq = m->freq, .rope_mscale = 1, .attn_scale = 1 / sqrtf((float)shape.hd), .k = m->k, .router_temperature = 1, .rope_local_mscale = 1 };
    die(s.b->cfg_put(s.ctx, 0, &c, err));
    printf("%s, threads: %d, %d layers\n", ker_cpu_features(), threads, LAYERS);
    for (int i = 0; i < (argc > 3 ? argc - 3 : 3); i++)
        for (int t = 0; t < TYPES; t++) {
            int context = argc > 3 ? atoi(argv[3 + i]) : usual[i];
            if (context >= rows && (asked[t] || !n_asked)) measure(&s, m, t, context, rows);
        }
    made_close(&s);
    made_free(m);
    return 0;
}
