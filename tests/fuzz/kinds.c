/* tests/fuzz/kinds: models of every architecture, damaged by their structure: keys of other values, types and lengths or gone, keys
 * that other architectures have, tensors of other types, shapes, names and places, blocks of nothing but ones. What is opened must
 * count its costs, run, go back, be saved and taken again; what is refused is refused in a sentence. */
#include "engine/engine.h"
#include "engine/file/gguf.h"
#include "engine/models.h"
#include "kernels/kernels.h"
#include "tests/engine_util.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <sys/mman.h>

static const char *const ARCHS[] = { "qwen3next", "qwen35", "gpt-oss", "deepseek2", "deepseek2-lite", "gemma3", "glm4moe-full", "granitemoe", "mixtral", "olmoe", "phi3", "qwen2" };
enum { N_ARCHS = sizeof ARCHS / sizeof *ARCHS, TOKENS = 70 };
static q_buf whole[N_ARCHS];
static gguf_file *file[N_ARCHS];
static char err[Q_ERRLEN];

static void done(void)
{
    for (int i = 0; i < N_ARCHS; i++) {
        gguf_close(file[i]);
        file[i] = NULL;
        q_buf_free(&whole[i]);
    }
}

static bool ready(void)
{
    bool ok = true;
    for (int i = 0; i < N_ARCHS; i++) {
        char *path = util_model(ARCHS[i]);
        ok = ok && q_read_file(path, &whole[i], (size_t)1 << 26, err) == 0 && gguf_open_memory(whole[i].p, whole[i].len, &file[i], err) == 0;
        unlink(path);
        free(path);
    }
    return ok;
}

/* ---- writing what was made of a model ---- */
static void u32(q_buf *b, uint32_t v) { q_buf_add(b, &v, sizeof v); }
static void u64(q_buf *b, uint64_t v) { q_buf_add(b, &v, sizeof v); }
static void text(q_buf *b, const char *s, size_t n) { u64(b, n); q_buf_add(b, s, n); }

static const double ODD[] = { 0, 1, 2, 3, 5, 7, 8, 16, 31, 64, 255, 256, 4096, 32767, 32768, 65535, 65536, 16777216, 2147483647, 2147483648.0, 4294967295.0, 1e15, 1e30, -1, -2, -1e9, 0.5,
                              1e-30, -0.5, 1.5, NAN, INFINITY, -INFINITY };
static double odd(fuzz_rng *r, double old)
{
    uint32_t i = fuzz_below(r, sizeof ODD / sizeof *ODD + 6);
    if (i >= 6) return ODD[i - 6];
    return i == 0 ? old + 1 : i == 1 ? old - 1 : i == 2 ? old * 2 : i == 3 ? floor(old / 2) : i == 4 ? old * old : -old;
}

/* x as a value of type t; what does not fit is cut off. */
static void number(q_buf *b, enum gguf_vtype t, double x)
{
    int64_t i = x >= -9e18 && x <= 9e18 ? (int64_t)x : -1;
    float f = x > 3e38 ? INFINITY : x < -3e38 ? -INFINITY : (float)x;
    switch (t) {
    case GGUF_F32: q_buf_add(b, &f, 4); break;
    case GGUF_F64: q_buf_add(b, &x, 8); break;
    case GGUF_BOOL: q_buf_putc(b, x != 0); break;
    case GGUF_U64: case GGUF_I64: q_buf_add(b, &i, 8); break;
    case GGUF_U32: case GGUF_I32: q_buf_add(b, &i, 4); break;
    case GGUF_U16: case GGUF_I16: q_buf_add(b, &i, 2); break;
    default: q_buf_add(b, &i, 1); break;
    }
}

static void put_key(q_buf *b, const char *name, size_t n, enum gguf_vtype t)
{
    text(b, name, n);
    u32(b, t);
}

static void plain_value(q_buf *b, const gguf_kv *kv)
{
    put_key(b, kv->key.p, kv->key.n, kv->type);
    if (kv->type == GGUF_ARR) { u32(b, kv->item); u64(b, kv->count); }
    if (kv->type == GGUF_STR) u64(b, kv->bytes);
    q_buf_add(b, kv->data, kv->bytes);
}

static bool numeric(enum gguf_vtype t) { return t != GGUF_STR && t != GGUF_ARR; }
static const enum gguf_vtype TYPES[] = { GGUF_U32, GGUF_I32, GGUF_F32, GGUF_U64, GGUF_F64, GGUF_BOOL, GGUF_U8, GGUF_I64 };

/* A number of the model's, or a list of them, as something else; how many keys were written. */
static int bad_number(fuzz_rng *r, q_buf *b, gguf_str key, enum gguf_vtype t, double old)
{
    if (fuzz_below(r, 4) == 0) t = TYPES[fuzz_below(r, 8)];
    switch (fuzz_below(r, 8)) {
    case 0: return 0;
    case 1: put_key(b, key.p, key.n, GGUF_STR); text(b, "\x1b[31m?\n", 8); return 1;
    case 2: {
        uint32_t n = fuzz_below(r, 9);
        bool same = fuzz_below(r, 2);
        put_key(b, key.p, key.n, GGUF_ARR);
        u32(b, t);
        u64(b, n);
        for (uint32_t i = 0; i < n; i++) number(b, t, same ? old : odd(r, old));
        return 1;
    }
    default: put_key(b, key.p, key.n, t); number(b, t, odd(r, old)); return 1;
    }
}

static int bad_value(fuzz_rng *r, q_buf *b, const gguf_kv *kv)
{
    double old = 0;
    if (numeric(kv->type)) {
        gguf_kv as = *kv;
        as.type = GGUF_ARR, as.item = kv->type, as.count = 1;
        gguf_arr_f64(&as, 0, &old);
        return bad_number(r, b, kv->key, kv->type, old);
    }
    if (kv->type == GGUF_ARR && numeric(kv->item)) {
        uint64_t n = fuzz_below(r, 3) ? kv->count : fuzz_below(r, (uint32_t)kv->count + 3);
        put_key(b, kv->key.p, kv->key.n, GGUF_ARR);
        u32(b, kv->item);
        u64(b, n);
        for (uint64_t i = 0; i < n; i++) {
            old = 0;
            gguf_arr_f64(kv, i, &old);
            number(b, kv->item, fuzz_below(r, 4) ? old : odd(r, old));
        }
        return 1;
    }
    if (fuzz_below(r, 3) == 0) return 0;
    if (kv->type == GGUF_STR) {
        static const char *const words[] = { "", "yarn", "longrope", "linear", "llama", "t5", "gpt2", "bert", "tekken", "gpt-4o", "deepseek-v3", "\x1b]0;x\x07\xff", "granitemoe", "deepseek2" };
        const char *w = words[fuzz_below(r, 14)];
        put_key(b, kv->key.p, kv->key.n, GGUF_STR);
        text(b, w, strlen(w));
        return 1;
    }
    plain_value(b, kv);
    return 1;
}

/* Keys that some architecture has, as this one's. */
static int added_key(fuzz_rng *r, q_buf *b, const gguf_file *f)
{
    static const char *const keys[] = { "attention.sliding_window", "attention.sliding_window_pattern", "expert_group_count", "expert_group_used_count", "nextn_predict_layers",
        "attention.kv_lora_rank", "attention.q_lora_rank", "attention.key_length_mla", "attention.value_length_mla", "attention.recurrent_layers", "full_attention_interval",
        "ssm.conv_kernel", "rope.dimension_sections", "rope.scaling.factor", "rope.scaling.attn_factor", "rope.scaling.yarn_log_multiplier", "rope.freq_base_swa", "attention.scale",
        "logit_scale", "residual_scale", "embedding_scale", "expert_gating_func", "expert_weights_scale", "expert_shared_count", "leading_dense_block_count", "rope.dimension_count" };
    gguf_str a = { "", 0 };
    gguf_string(f, "general.architecture", &a);
    char key[128];
    int n = snprintf(key, sizeof key, "%.*s.%s", (int)(a.n < 40 ? a.n : 40), a.p, keys[fuzz_below(r, sizeof keys / sizeof *keys)]);
    if (gguf_find(f, key)) return 0;
    return bad_number(r, b, (gguf_str){ key, (size_t)n }, TYPES[fuzz_below(r, 8)], 2);
}

static void put_tensor(q_buf *head, q_buf *data, const gguf_tensor *t, const char *name, size_t n_name, const int64_t *ne, int type, fuzz_rng *r, bool fill)
{
    const ker_type *k = ker_type_get(type);
    while (data->len % 32) q_buf_putc(data, 0);
    text(head, name, n_name);
    u32(head, (uint32_t)t->n_dims);
    for (int i = 0; i < t->n_dims; i++) u64(head, (uint64_t)ne[i]);
    u32(head, (uint32_t)type);
    u64(head, data->len);
    double want = k ? (double)ne[0] / k->block * k->bytes * (double)ne[1] * (double)ne[2] * (double)ne[3] : (double)t->bytes;
    size_t bytes = want > 0 && want < 4e6 ? (size_t)want : t->bytes;
    static const char fills[] = { 0, (char)0xFF, 0x7F, (char)0x80, 0x7C, 1 };
    char c = fills[fuzz_below(r, sizeof fills)];
    bool noise = fuzz_below(r, 4) == 0;
    if (!fill && bytes <= t->bytes) q_buf_add(data, t->data, bytes);
    else for (size_t i = 0; i < bytes; i++) q_buf_putc(data, noise ? (char)fuzz_below(r, 256) : c);
}

/* How many tensors were written. */
static int bad_tensor(fuzz_rng *r, q_buf *head, q_buf *data, const gguf_file *f, const gguf_tensor *t)
{
    static const char *const names[] = { "attn_qkv.weight", "attn_qkv.bias", "ffn_gate_up_exps.weight", "attn_kv_b.weight", "ffn_up.weight", "attn_sinks.weight", "exp_probs_b.bias",
                                         "ffn_gate_exps.bias", "ffn_gate_up_exps.bias", "ssm_conv1d.weight", "ssm_ba.weight", "ffn_gate_inp_shexp.weight", "attn_q.bias" };
    int64_t ne[4];
    char name[300];
    int type = t->type, n = snprintf(name, sizeof name, "%.*s", (int)t->name.n, t->name.p);
    bool fill = false;
    memcpy(ne, t->ne, sizeof ne);
    switch (fuzz_below(r, 7)) {
    case 0: return 0;
    case 1: case 2: type = (int)fuzz_below(r, KER_TYPE_LIMIT), fill = fuzz_below(r, 3) != 0; break;
    case 3: { int d = (int)fuzz_below(r, (uint32_t)t->n_dims); ne[d] = (int64_t)fmax(1, fmin(odd(r, (double)ne[d]), 1e15)); if (ne[d] < 1) ne[d] = 1; break; }
    case 4: n = snprintf(name, sizeof name, "blk.%u.%s", fuzz_below(r, 4), names[fuzz_below(r, sizeof names / sizeof *names)]); break;
    case 5: { int64_t x = ne[0]; ne[0] = ne[1]; ne[1] = x; break; }
    default: fill = true; break;
    }
    if (memcmp(name, t->name.p, (size_t)n < t->name.n ? (size_t)n : t->name.n) != 0 && gguf_tensor_find(f, name)) return 0;
    put_tensor(head, data, t, name, (size_t)n, ne, type, r, fill);
    return 1;
}

static void seed(fuzz_rng *r, q_buf *out)
{
    const gguf_file *f = file[fuzz_below(r, N_ARCHS)];
    q_buf keys = { 0 }, head = { 0 }, data = { 0 };
    uint32_t kinds = fuzz_below(r, 4), n_kv = (uint32_t)gguf_n_kv(f), n_t = (uint32_t)gguf_n_tensors(f), bad[3];
    int kv = 0, tensors = 0;
    for (int i = 0; i < 3; i++) bad[i] = fuzz_below(r, fuzz_below(r, 2) ? n_kv + n_t : n_kv);
    for (uint32_t i = 0; i < n_kv; i++) {
        const gguf_kv *v = gguf_kv_at(f, (int)i);
        bool is = kinds && (bad[0] == i || (kinds > 1 && bad[1] == i) || (kinds > 2 && bad[2] == i));
        if (is) kv += bad_value(r, &keys, v);
        else { plain_value(&keys, v); kv++; }
    }
    if (fuzz_below(r, 3) == 0) kv += added_key(r, &keys, f);
    for (uint32_t i = 0; i < n_t; i++) {
        const gguf_tensor *t = gguf_tensor_at(f, (int)i);
        bool is = kinds && (bad[0] == n_kv + i || (kinds > 1 && bad[1] == n_kv + i) || (kinds > 2 && bad[2] == n_kv + i));
        if (is) tensors += bad_tensor(r, &head, &data, f, t);
        else { put_tensor(&head, &data, t, t->name.p, t->name.n, t->ne, t->type, r, false); tensors++; }
    }
    q_buf_puts(out, "GGUF");
    u32(out, 3);
    u64(out, (uint64_t)tensors);
    u64(out, (uint64_t)kv);
    q_buf_add(out, keys.p ? keys.p : "", keys.len);
    q_buf_add(out, head.p ? head.p : "", head.len);
    while (out->len % 32) q_buf_putc(out, 0);
    q_buf_add(out, data.p ? data.p : "", data.len);
    q_buf_free(&keys);
    q_buf_free(&head);
    q_buf_free(&data);
}

/* ---- what is done with it ---- */
static bool one_sentence(const char *e) { return *e && !strchr(e, '\n') && !strchr(e, '\x1b') && strlen(e) < Q_ERRLEN && q_utf8_valid(e, strlen(e)); }

/* A text read in pieces, gone back in, saved and taken again. */
static int talk(eng_model *m, const char *kv, const char *memory, const char *state)
{
    eng_config *c = eng_config_new(m);
    eng_session *s = NULL;
    eng_state look = { 0 };
    int32_t t[TOKENS];
    int rc = 0, n = eng_model_info(m)->n_vocab, context;
    for (int i = 0; i < TOKENS; i++) t[i] = (i * 7 + 3) % n;
    err[0] = 0;
    eng_config_set(c, "context.length", "128", err);
    eng_config_set(c, "kv.type", kv, err);
    eng_config_set(c, "state.memory", memory, err);
    eng_model_cost(m, c);
    err[0] = 0;
    if ((rc = eng_session_new(m, c, &s, err))) goto out;
    context = eng_session_room(s);
    for (int i = 0, to; i < TOKENS && i < context && !rc; i = to) {
        to = i + 23 < TOKENS ? i + 23 : TOKENS;
        if (to > context) to = context;
        rc = eng_session_sync(s, t, to, ENG_CONTINUE, NULL, NULL, err);
    }
    if (!rc && eng_session_room(s)) rc = eng_session_push(s, 1 % n, err);
    if (!rc) rc = eng_session_cut(s, eng_session_length(s) / 2, err);
    if (!rc && eng_session_room(s)) rc = eng_session_push(s, 2 % n, err);
    if (!rc) rc = eng_state_save(s, state, "{}", 2, NULL, NULL, err);
    if (!rc) rc = eng_state_look(state, &look, err);
    if (!rc && (rc = eng_state_load(s, state, NULL, NULL, err))) rc = FUZZ_BROKEN("what was saved is not taken: %s", err), err[0] = 0;
    for (int i = 0; !rc && eng_session_logits(s) && i < n; i++)
        if (!isfinite(eng_session_logits(s)[i])) rc = FUZZ_BROKEN("logit %d is no number", i), err[0] = 0;
out:
    unlink(state);
    eng_state_free(&look);
    eng_session_free(s);
    eng_config_free(c);
    if (rc < 0 && err[0]) rc = one_sentence(err) ? 0 : FUZZ_BROKEN("answered with \"%s\"", err);
    return rc < 0 ? rc : 1;
}

static int run(const char *p, size_t n)
{
    static const char *const kvs[] = { "f16", "q8_0", "f32", "q4_0" }, *const memories[] = { "0", "1", "512" };
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n) return FUZZ_BROKEN("cannot write a file in memory");
    char path[64], state[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(state, sizeof state, "/tmp/quorum-kinds-%ld.state", (long)getpid());
    eng_open_opts o = { .n_threads = 1 };
    eng_model *m = NULL;
    eng_energy e = { 0 };
    q_buf says = { 0 };
    err[0] = 0;
    int rc = eng_energy_read(path, &e, err);
    if (rc < 0 && !one_sentence(err)) rc = FUZZ_BROKEN("its energy is refused with \"%s\"", err);
    else {
        err[0] = 0;
        rc = eng_describe(path, n & 32, &says, err);
        if (rc < 0 && !one_sentence(err)) rc = FUZZ_BROKEN("described with \"%s\"", err);
        else if (says.len && strchr(says.p, '\x1b')) rc = FUZZ_BROKEN("the description has control bytes");
        else {
            err[0] = 0;
            rc = eng_model_open(path, &o, &m, err);
            if (rc) rc = one_sentence(err) && !m ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
            else rc = talk(m, kvs[p[n / 2] & 1 ? 0 : (unsigned char)p[n / 3] % 4], memories[(unsigned char)p[n / 2] % 3], state);
        }
    }
    q_buf_free(&says);
    eng_model_free(m);
    close(fd);
    return rc;
}

const fuzz_target fuzz_kinds = { "kinds", 300, 6000, ready, seed, run, done, FUZZ_MADE };
