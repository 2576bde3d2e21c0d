/* bench/forward_bench: where a forward pass spends its time, part by part, straight on the backend.
 * Usage: forward_bench MODEL.gguf [threads, 0 for all [prompt [decode [k]]]]. Reads qwen3moe, qwen3, llama and
 * glm4moe files by the common tensor names; prints ms per part, tokens/s and GB/s of weights. QUORUM_CPU chooses the set of
 * instructions, as it does for quorum. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/file/gguf.h"
#include "kernels/kernels.h"

static const struct { const char *name; enum ker_role role; } names[] = {
    { "attn_norm.weight", KER_W_ATTN_NORM }, { "attn_q.weight", KER_W_Q }, { "attn_k.weight", KER_W_K }, { "attn_v.weight", KER_W_V },
    { "attn_output.weight", KER_W_O }, { "attn_q.bias", KER_W_BQ }, { "attn_k.bias", KER_W_BK }, { "attn_v.bias", KER_W_BV },
    { "attn_q_norm.weight", KER_W_Q_NORM }, { "attn_k_norm.weight", KER_W_K_NORM }, { "ffn_norm.weight", KER_W_FFN_NORM },
    { "post_attention_norm.weight", KER_W_FFN_NORM }, { "ffn_gate.weight", KER_W_GATE }, { "ffn_up.weight", KER_W_UP },
    { "ffn_down.weight", KER_W_DOWN }, { "ffn_gate_inp.weight", KER_W_ROUTER }, { "exp_probs_b.bias", KER_W_SELECT_BIAS },
    { "ffn_gate_exps.weight", KER_W_GATE_EXPS }, { "ffn_up_exps.weight", KER_W_UP_EXPS }, { "ffn_down_exps.weight", KER_W_DOWN_EXPS },
    { "ffn_gate_shexp.weight", KER_W_GATE_SH }, { "ffn_up_shexp.weight", KER_W_UP_SH }, { "ffn_down_shexp.weight", KER_W_DOWN_SH },
};

static char err[Q_ERRLEN];
static gguf_file *file;
static char arch[64];

static uint64_t key(const char *name, uint64_t otherwise)
{
    char k[128];
    uint64_t v = otherwise;
    snprintf(k, sizeof k, "%s.%s", arch, name);
    gguf_u64(file, k, &v);
    return v;
}

static void die(int rc) { if (rc) { fprintf(stderr, "%d %s\n", rc, err); exit(1); } }

enum part { EMBED, ATTN, ROUTE, EXPERTS, DENSE, HEAD, PARTS };
static const char *const part_name[PARTS] = { "embed", "attn", "route", "experts", "dense", "head" };
static int64_t spent[PARTS];

/* One thread: its processor time, which other programs disturb less; else the clock. */
static bool alone;
static int64_t now_ns(void)
{
    struct timespec t;
    if (!alone) return q_now_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int timed(int rc, enum part p, int64_t *t)
{
    int64_t now = now_ns();
    spent[p] += now - *t;
    *t = now;
    return rc;
}

static void forward(ker_ctx *c, ker_kv *kv, const ker_model *m, const ker_batch *b, ker_out *out)
{
    const ker_backend *k = ker_cpu();
    die(k->begin(c, kv, b, err));
    int64_t t = now_ns();
    die(timed(k->embed(c), EMBED, &t));
    for (int l = 0; l < m->n_layer; l++) {
        die(timed(k->attn(c, l), ATTN, &t));
        if (!m->layer[l].moe) { die(timed(k->dense(c, l), DENSE, &t)); continue; }
        die(timed(k->route(c, l), ROUTE, &t));
        die(timed(k->experts(c, l), EXPERTS, &t));
    }
    die(timed(k->head(c), HEAD, &t));
    die(k->end(c, out));
}

static double show(const char *what, int n)
{
    int64_t all = 0;
    for (int i = 0; i < PARTS; i++) all += spent[i];
    printf("%-8s %8.2f tok/s  %8.3f ms/tok:", what, n * 1e9 / (double)all, (double)all / 1e6 / n);
    for (int i = 0; i < PARTS; i++) if (spent[i]) printf("  %s %.3f", part_name[i], (double)spent[i] / 1e6 / n);
    printf("\n");
    memset(spent, 0, sizeof spent);
    return n * 1e9 / (double)all;
}

enum { MOST = 1 << 20 };

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[2]) : 0, prompt = argc > 3 ? atoi(argv[3]) : 512, decode = argc > 4 ? atoi(argv[4]) : 32;
    if (argc < 2 || prompt < 1 || decode < 0 || prompt > MOST || decode > MOST)
        return fprintf(stderr, "usage: forward_bench MODEL.gguf [THREADS, 0 for all [PROMPT, 1 to %d [DECODE, 0 to %d [K]]]]\n", MOST, MOST), 2;
    const char *isa = getenv("QUORUM_CPU");
    if (isa && *isa && ker_cpu_force(isa)) return fprintf(stderr, "QUORUM_CPU=%s is no set of instructions of this processor; unset, the best is taken: %s\n", isa, ker_cpu_features()), 2;
    if (threads < 1) threads = q_cores();          /* what bounds them is measured with as many */
    alone = threads == 1;
    die(gguf_open(argv[1], &file, err));
    gguf_str a;
    if (!gguf_string(file, "general.architecture", &a)) return 1;
    snprintf(arch, sizeof arch, "%.*s", (int)a.n, a.p);
    const gguf_tensor *embd = gguf_tensor_find(file, "token_embd.weight");
    ker_model m = { .n_layer = (int)key("block_count", 0), .n_embd = (int)key("embedding_length", 0), .n_vocab = (int)embd->ne[1],
        .n_head = (int)key("attention.head_count", 0), .n_kv_head = (int)key("attention.head_count_kv", 0), .n_expert = (int)key("expert_count", 0),
        .n_ff_exp = (int)key("expert_feed_forward_length", 0), .weights_scale = 1 };
    m.head_dim = (int)key("attention.key_length", (uint64_t)(m.n_embd / m.n_head));
    m.rope_dim = (int)key("rope.dimension_count", (uint64_t)m.head_dim);
    m.n_ff_sh = m.n_ff_exp * (int)key("expert_shared_count", 0);
    m.gate = key("expert_gating_func", 1) == 2 ? KER_GATE_SIGMOID : KER_GATE_SOFTMAX;
    m.rope_half = strcmp(arch, "llama") != 0;
    m.renorm = m.gate == KER_GATE_SOFTMAX;
    double r = 0;
    if (gguf_f64(file, "quorum.router_scale", &r)) m.router_scale = (float)r;
    int used = argc > 5 ? atoi(argv[5]) : (int)key("expert_used_count", 0), lead = (int)key("leading_dense_block_count", m.n_expert ? 0 : 1 << 20);
    ker_layer *layer = q_alloc(sizeof *layer * (size_t)m.n_layer);
    int16_t *k = q_alloc(sizeof *k * (size_t)m.n_layer);
    for (int i = 0; i < m.n_layer; i++) {
        layer[i] = (ker_layer){ .moe = i >= lead, .n_ff = i < lead ? (int)key("feed_forward_length", 0) : 0 };
        k[i] = (int16_t)(i < lead ? 0 : used);
    }
    m.layer = layer;

    const ker_backend *b = ker_cpu();
    ker_dev *d;
    ker_ctx *c;
    ker_kv *kv;
    die(b->open(&m, threads, NULL, &d, err));
    double moved = 0, madds = 0;                   /* of a token: bytes of weights in decode; multiply-adds of the layers' products in prefill */
    for (int i = 0; i < gguf_n_tensors(file); i++) {
        const gguf_tensor *t = gguf_tensor_at(file, i);
        int l = -1, role = -1, at = 0;
        char name[96];
        snprintf(name, sizeof name, "%.*s", (int)t->name.n, t->name.p);
        if (!strcmp(name, "token_embd.weight")) role = KER_W_EMBD;
        else if (!strcmp(name, "output.weight")) role = KER_W_OUT;
        else if (!strcmp(name, "output_norm.weight")) role = KER_W_OUT_NORM;
        else if (sscanf(name, "blk.%d.%n", &l, &at) == 1)
            for (size_t j = 0; j < sizeof names / sizeof *names; j++) if (!strcmp(name + at, names[j].name)) role = (int)names[j].role;
        if (role < 0) continue;
        ker_weight w = { .type = t->type, .ne = { t->ne[0], t->ne[1], t->ne[2] }, .data = t->data, .bytes = t->bytes };
        die(b->weight(d, l, (enum ker_role)role, &w, err));
        bool routed = role == KER_W_GATE_EXPS || role == KER_W_UP_EXPS || role == KER_W_DOWN_EXPS;
        if (role != KER_W_EMBD || !gguf_tensor_find(file, "output.weight")) moved += (double)t->bytes * (routed ? (double)used / m.n_expert : 1);
        if (l >= 0 && t->ne[1] > 1) madds += (double)(t->ne[0] * t->ne[1]) * (routed ? used : 1);
    }
    die(b->ready(d, err));
    int rows = prompt < 512 ? prompt : 512, cells = prompt + decode;
    die(b->ctx_new(d, rows, used, NULL, &c, err));
    die(b->kv_new(d, KER_KV_F16, cells / KER_PAGE + 1, &kv, err));
    float freq[256];
    for (int i = 0; i < m.rope_dim / 2; i++) freq[i] = powf(10000, -2.0f * (float)i / (float)m.rope_dim);
    ker_config g = { .norm_eps = 1e-5f, .rope_freq = freq, .rope_mscale = 1, .attn_scale = 1 / sqrtf((float)m.head_dim), .k = k, .router_temperature = 1 };
    die(b->cfg_put(c, 0, &g, err));
    int32_t *pos = q_alloc(sizeof *pos * (size_t)(cells + 64)), *tok = q_alloc(sizeof *tok * (size_t)(cells + 64)), *page = q_alloc(sizeof *page * (size_t)(cells / KER_PAGE + 1));
    for (int i = 0; i < cells; i++) { pos[i] = i; tok[i] = (int32_t)((unsigned)i * 2654435761u % (unsigned)m.n_vocab); }
    for (int i = 0; i <= cells / KER_PAGE; i++) page[i] = i;
    ker_seq seq = { .page = page, .n_page = cells / KER_PAGE + 1 };
    ker_out out;
    printf("%s %s, %d threads, %.1f MB a token\n", arch, ker_cpu_features(), threads, moved / 1e6);
    for (int round = 0; round < 2; round++) {      /* the first round faults the pages in */
        for (int t = 0; t < prompt; t += rows) {
            ker_batch batch = { .n = prompt - t < rows ? prompt - t : rows, .token = tok + t, .pos = pos + t, .cell = pos + t, .seqs = &seq, .n_seq = 1 };
            forward(c, kv, &m, &batch, &out);
        }
        double rate = show("prefill", prompt) * madds, peak = 0;
        for (int i = 0; i < 4; i++) {              /* the best of some, as a bound wants */
            double now = ker_cpu_peak(threads, .1);
            peak = now > peak ? now : peak;
        }
        if (peak > rate) printf("         %.1f GMAC/s of products, %.1f%% of the integer peak of %.1f\n", rate / 1e9, 100 * rate / peak, peak / 1e9);
        int64_t t0 = now_ns();
        for (int t = prompt; t < cells; t++) {
            ker_batch batch = { .n = 1, .token = tok + t, .pos = pos + t, .cell = pos + t, .seqs = &seq, .n_seq = 1, .phase = 1 };
            forward(c, kv, &m, &batch, &out);
        }
        double s = (double)(now_ns() - t0) / 1e9;
        if (decode) show("decode", decode), printf("         %.2f GB/s\n", moved * decode / s / 1e9);
    }
    double bw = ker_cpu_read_bandwidth(threads, NULL, (size_t)1 << 30);
    printf("read bandwidth %.2f GB/s\n", bw / 1e9);
    b->kv_free(kv);
    b->ctx_free(c);
    b->close(d);
    gguf_close(file);
    return 0;
}
