/* kernels/speed: how fast a backend's device is on the shapes of Qwen3-30B-A3B in Q4_K with Q6_K, random weights made here:
 * decoding with and without the head, a prompt, the time of each kernel. All layers share one layer's bytes here and have
 * their own on the device. Owns nothing beyond one call. */
#include "kernels/made.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, WARM = 8, TOKENS = 48 };
static const made_shape big = { "30B-A3B", 2048, 32, 4, 128, 128, 128, 768, 0, 0, 151936, 8, KER_Q6_K, MADE_QK_NORM | MADE_RENORM | MADE_HALF,
                                KER_GATE_SOFTMAX, 1, 0, .rows = NULL };
static const made_shape tiny = { "tiny", 256, 4, 2, 64, 64, 8, 256, 0, 0, 512, 2, KER_Q6_K, MADE_QK_NORM | MADE_RENORM | MADE_HALF, KER_GATE_SOFTMAX, 1, 0, .rows = NULL };

typedef struct feed { int32_t token[CHUNK], cell[CHUNK], page[CHUNK / KER_PAGE]; uint8_t want[CHUNK]; ker_seq seq; } feed;

static int pass(made_side *s, const made_model *m, feed *f, int at, int n, bool with_head, char *err)
{
    for (int i = 0; i < n; i++) f->want[i] = with_head && i == n - 1 ? KER_WANT_LOGITS : 0;
    ker_batch b = { .n = n, .token = f->token + at, .pos = f->cell + at, .cell = f->cell + at, .want = f->want, .seqs = &f->seq, .n_seq = 1, .phase = n == 1 };
    return made_pass(s, m, &b, err);
}

/* Median seconds of a decoded token. */
static int decode(made_side *s, const made_model *m, feed *f, bool with_head, double *out, char *err)
{
    double t[TOKENS];
    int rc = 0;
    for (int i = -WARM; i < TOKENS && !rc; i++) {
        int64_t from = q_now_ns();
        rc = pass(s, m, f, i + WARM, 1, with_head, err);
        if (i >= 0) t[i] = (double)(q_now_ns() - from) / 1e9;
    }
    qsort(t, TOKENS, sizeof *t, q_by_number);
    *out = t[TOKENS / 2];
    return rc;
}

static double bytes_of(const made_model *m, int layer)
{
    double sum = 0;
    for (int r = 0; r < KER_W_ROLES; r++) {
        bool routed = ker_role_get((enum ker_role)r)->ne[2] == KER_DIM_EXPERT;
        if (r != KER_W_EMBD) sum += (double)m->w[layer + 1][r].bytes * (routed ? (double)m->s->k / m->s->n_expert : 1);
    }
    return sum;
}

int ker_speed_measure(const ker_backend *b, int index, int layers, bool small, ker_speed *out, char *err)
{
    const made_shape *shape = small ? &tiny : &big;
    made_model *m = made_new(shape, KER_Q4_K, layers < MADE_LAYERS ? layers : MADE_LAYERS);
    made_side s = { 0 };
    feed *f = q_alloc(sizeof *f);
    *out = (ker_speed){ .layers = m->m.n_layer, .bytes_layer = bytes_of(m, 0), .bytes_head = bytes_of(m, -1) };
    for (int i = 0; i < CHUNK; i++) {
        f->token[i] = (int32_t)((unsigned)(i + 1) * 2654435761u % (unsigned)shape->n_vocab);
        f->cell[i] = i;
    }
    for (int i = 0; i < CHUNK / KER_PAGE; i++) f->page[i] = i;
    f->seq = (ker_seq){ .page = f->page, .n_page = CHUNK / KER_PAGE };
    int rc = made_open(&s, b, index, m, CHUNK, CHUNK, err);
    for (int i = 0; i < 2 && !rc; i++) {             /* the first is not counted */
        int64_t from = q_now_ns();
        rc = pass(&s, m, f, 0, CHUNK, true, err);
        out->prompt_s = (double)(q_now_ns() - from) / 1e9 / CHUNK;
    }
    if (!rc) rc = decode(&s, m, f, false, &out->layers_s, err);
    if (!rc) rc = decode(&s, m, f, true, &out->token_s, err);
    if (!rc && b->times && !b->times(s.ctx, true, NULL, 0)) {
        rc = pass(&s, m, f, 0, 1, true, err);
        int n = b->times(s.ctx, false, out->kernel, KER_SPEED_KERNELS);
        out->n_kernel = !rc && n > 0 ? n : 0;
    }
    made_close(&s);
    made_free(m);
    free(f);
    return rc;
}
