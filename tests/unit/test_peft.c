/* tests: folders of PEFT's (engine/adapter/from_peft.c, engine/file/safetensors.c): those of ../shared/data/lora against the same adapters as
 * GGUF; the one that TRL trained (tests/golden/adapter); layouts of older versions; damaged and foreign ones. */
#include "engine/adapter.h"
#include "engine/adapter/modules.h"
#include "engine/file/safetensors.h"
#include "engine/run/model.h"
#include "tests/adapter_help.h"
#include "tests/test.h"

#include <sys/stat.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";

static char *in(const char *name) { return q_printf("%s/%s", dir, name); }

/* ---- against GGUF ---- */

static size_t n_of(const eng_low *l, bool b) { return (size_t)l->n_expert * (size_t)l->rank * (size_t)(b ? l->n_out : l->n_in); }

/* The same change: A bit for bit, scale times B likewise, or, where roots of ranks are in it, to a rounding. */
static void same_change(const char *what, const eng_adapter *x, const eng_adapter *y, bool exact)
{
    int n, k;
    const eng_low *a = eng_adapter_lows(x, &n), *b = eng_adapter_lows(y, &k);
    CHECK_MSG(n == k, "%s: %d and %d matrices", what, n, k);
    for (int i = 0; i < n && i < k; i++) {
        bool shape = a[i].role == b[i].role && a[i].layer == b[i].layer && a[i].rank == b[i].rank && a[i].n_expert == b[i].n_expert && a[i].n_in == b[i].n_in && a[i].n_out == b[i].n_out;
        CHECK_MSG(shape, "%s: matrix %d: role %d %d layer %d %d rank %d %d", what, i, a[i].role, b[i].role, a[i].layer, b[i].layer, a[i].rank, b[i].rank);
        if (!shape) return;
        CHECK_MSG(memcmp(a[i].a, b[i].a, n_of(&a[i], false) * 4) == 0, "%s: A of matrix %d", what, i);
        CHECK_MSG(!exact || (a[i].scale == b[i].scale && memcmp(a[i].b, b[i].b, n_of(&a[i], true) * 4) == 0), "%s: B of matrix %d", what, i);
        double off = 0, largest = 0;
        for (size_t j = 0; j < n_of(&a[i], true); j++) {
            double p = (double)a[i].b[j] * a[i].scale, q = (double)b[i].b[j] * b[i].scale;
            off = fmax(off, fabs(p - q));
            largest = fmax(largest, fabs(q));
        }
        CHECK_MSG(off <= 3e-7 * largest && largest > 0, "%s: B of matrix %d differs by %g of %g", what, i, off, largest);
    }
}

static eng_model *shared_model(const char *name)
{
    char *path = q_printf("../shared/data/golden/%s/model.gguf", name);
    eng_model *m = NULL;
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .n_threads = 1, .ignore_memory = true }, &m, err) == 0, "%s", err);
    free(path);
    return m;
}

/* The same tensors under the same names, bit for bit. */
static void same_tensors(const char *x, const char *y)
{
    st_file *a = NULL, *b = NULL;
    bool pickled;
    CHECK_MSG(st_open_folder(x, "adapter_model", &a, &pickled, err) == 0 && st_open_folder(y, "adapter_model", &b, &pickled, err) == 0, "%s", err);
    CHECK_MSG(a && b && st_count(a) == st_count(b), "%s: %d and %d tensors", x, a ? st_count(a) : -1, b ? st_count(b) : -1);
    for (int i = 0; a && b && i < st_count(a); i++) {
        const st_tensor *t = st_at(a, i), *u = st_find(b, t->name);
        CHECK_MSG(u && u->bytes == t->bytes && u->ne[0] == t->ne[0] && u->ne[1] == t->ne[1] && memcmp(t->data, u->data, t->bytes) == 0, "%s: %s", x, t->name);
    }
    st_close(a);
    st_close(b);
}

/* Written as a folder again: the same tensors where experts are stacked there, and always the same adapter. */
static void as_folder(const eng_model *m, const eng_adapter *x, const char *from, bool stacked)
{
    char *out = in("again");
    eng_adapter *y = NULL;
    CHECK_MSG(eng_adapter_write_peft(x, m, out, true, err) == 0 && eng_adapter_read(m, out, &y, err) == 0, "%s: %s", from, err);
    if (y) same_change(from, y, x, true);
    if (y) CHECK(eng_adapter_info_of(y)->hash == eng_adapter_info_of(x)->hash);
    if (stacked) same_tensors(from, out);
    eng_adapter_free(y);
    free(out);
}

static void shared_folders(void)
{
    static const char *const names[] = { "qwen3moe", "qwen3", "qwen2moe", "llama", "glm4moe" };
    static const struct { const char *folder, *gguf; bool exact; } rows[] = {
        { "attn", "attn", true }, { "experts", "experts", true }, { "experts_modules", "experts", true }, { "ffn", "ffn", true }, { "fused", "fused", true }, { "mixed", "mixed", false },
    };
    int compared = 0;
    for (size_t i = 0; i < 5; i++) {
        eng_model *m = shared_model(names[i]);
        for (size_t k = 0; k < sizeof rows / sizeof *rows && m; k++) {
            char *folder = q_printf("../shared/data/lora/%s/peft/%s", names[i], rows[k].folder), *gguf = q_printf("../shared/data/lora/%s/adapters/%s.gguf", names[i], rows[k].gguf), *out = in("x.gguf");
            eng_adapter *x = NULL, *y = NULL, *z = NULL;
            if (util_exists(folder)) {
                q_buf alone = { 0 };                                                    /* looked at without its model */
                CHECK_MSG(eng_adapter_describe(folder, false, &alone, err) == 0, "%s", err);
                q_buf_free(&alone);
                CHECK_MSG(eng_adapter_read(m, folder, &x, err) == 0, "%s", err);
                CHECK_MSG(eng_adapter_read(m, gguf, &y, err) == 0, "%s", err);
                if (x && y) same_change(folder, x, y, rows[k].exact);
                if (x) as_folder(m, x, folder, !strstr(folder, "modules"));
                if (x) CHECK_MSG(eng_adapter_write_gguf(x, out, true, err) == 0 && eng_adapter_read(m, out, &z, err) == 0, "%s", err);
                if (z && y) same_change(out, z, y, true);              /* with the roots of ranks as whoever made it had them */
                if (z && y) CHECK(eng_adapter_info_of(z)->alpha == eng_adapter_info_of(y)->alpha);
                compared++;
            }
            eng_adapter_free(x);
            eng_adapter_free(y);
            eng_adapter_free(z);
            free(folder);
            free(gguf);
            free(out);
        }
        eng_model_free(m);
    }
    CHECK_INT(compared, 19);
}

/* ---- folders made here ---- */

typedef struct tensor { const char *name; int rows, cols; float first; } tensor;       /* number i is first + i / 64 */

static float number(const tensor *t, int64_t row, int64_t col) { return t->first + (float)(row * t->cols + col) / 64; }

static void write_text(const char *folder, const char *name, const void *p, size_t n)
{
    char *path = q_printf("%s/%s", folder, name);
    CHECK_MSG(q_write_file_atomic(path, p, n, err) == 0, "%s", err);
    free(path);
}

static void write_safetensors(const char *folder, const char *name, const tensor *t, int n)
{
    q_buf head = { 0 }, file = { 0 };
    size_t at = 0;
    q_buf_puts(&head, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < n; i++, q_buf_puts(&head, "]}")) {
        size_t bytes = (size_t)t[i].rows * (size_t)t[i].cols * 4;
        q_buf_printf(&head, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu", t[i].name, t[i].rows, t[i].cols, at, at + bytes);
        at += bytes;
    }
    q_buf_puts(&head, "}");
    uint64_t len = head.len;
    q_buf_add(&file, &len, 8);
    q_buf_add(&file, head.p, head.len);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < t[i].rows * t[i].cols; k++) {
            float f = number(&t[i], 0, k);
            q_buf_add(&file, &f, 4);
        }
    write_text(folder, name, file.p, file.len);
    q_buf_free(&head);
    q_buf_free(&file);
}

static char *make_folder(const char *name, const char *config, const tensor *t, int n)
{
    char *folder = in(name);
    mkdir(folder, 0700);
    if (config) write_text(folder, "adapter_config.json", config, strlen(config));
    if (t) write_safetensors(folder, "adapter_model.safetensors", t, n);
    return folder;
}

#define CONFIG(more) "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"bias\":\"none\",\"use_rslora\":false" more "}"
#define L0 "base_model.model.model.layers.0."

/* Heads' rows come in pairs in files of this architecture: head h, half j, place i stands at h * dim + 2 i + j (llama.cpp, permute). */
static void turned_heads(void)
{
    eng_model *m = help_model("mixtral");
    if (!m) return;
    int dim = m->ker.head_dim, q = m->ker.n_head * dim, kv = m->ker.n_kv_head * dim, embd = m->ker.n_embd;
    tensor t[] = { { L0 "self_attn.q_proj.lora_A.weight", 2, embd, 0.5f }, { L0 "self_attn.q_proj.lora_B.weight", q, 2, 1 }, { L0 "self_attn.k_proj.lora_A.weight", 2, embd, 2 },
                   { L0 "self_attn.k_proj.lora_B.weight", kv, 2, 3 }, { L0 "self_attn.v_proj.lora_A.weight", 2, embd, 4 }, { L0 "self_attn.v_proj.lora_B.weight", kv, 2, 5 } };
    char *folder = make_folder("turned", CONFIG(""), t, 6);
    eng_adapter *ad = NULL;
    CHECK_MSG(eng_adapter_read(m, folder, &ad, err) == 0, "%s", err);
    int n = 0;
    const eng_low *l = ad ? eng_adapter_lows(ad, &n) : NULL;
    CHECK_INT(n, 3);
    for (int w = 0; w < n; w++)
        for (int h = 0; h < l[w].n_out / dim; h++)
            for (int i = 0; i < dim; i++) {
                int from = l[w].role == KER_W_V ? i : i % 2 * (dim / 2) + i / 2;
                const tensor *b = &t[2 * w + 1];
                for (int k = 0; k < 2; k++) CHECK_MSG(l[w].b[(h * dim + i) * 2 + k] == number(b, h * dim + from, k), "%d: head %d row %d", w, h, i);
            }
    if (l) CHECK(l[0].scale == 2 && l[0].a[3] == number(&t[0], 0, 3) && l[0].role == KER_W_Q && l[1].role == KER_W_K && l[2].role == KER_W_V);
    eng_adapter_free(ad);
    eng_model_free(m);
    free(folder);
}

/* Delta of expert e's matrix, output o, input i, by the formula of the version (ParamWrapper.get_delta_weight). */
static double delta(const tensor *a, const tensor *b, int experts, int r, int e, int o, int i)
{
    double sum = 0;
    for (int k = 0; k < r; k++) sum += (double)number(b, o, k * experts + e) * (double)number(a, e * r + k, i);
    return sum;
}

static double made(const eng_low *l, int e, int o, int i)
{
    double sum = 0;
    for (int k = 0; k < l->rank; k++) sum += (double)l->b[((int64_t)e * l->n_out + o) * l->rank + k] * (double)l->a[((int64_t)e * l->rank + k) * l->n_in + i];
    return sum;
}

/* Parameters of all experts in both ways that PEFT had: since 0.19.1 A is over inputs; before, over what the tensor has second, the outputs. */
static void stacked_experts(void)
{
    static const struct { const char *config; bool old; } rows[] = {
        { CONFIG(",\"peft_version\":\"0.21.2\",\"target_parameters\":[\"mlp.experts.gate_up_proj\",\"mlp.experts.down_proj\"]"), false },
        { CONFIG(",\"peft_version\":\"0.18.1\",\"target_parameters\":[\"mlp.experts.gate_up_proj\",\"mlp.experts.down_proj\"]"), true },
        { CONFIG(""), false },
    };
    eng_model *m = help_model("qwen3moe");
    int E = m->ker.n_expert, embd = m->ker.n_embd, ff = m->ker.n_ff_exp;
    CHECK(embd == 2 * ff);                                 /* square: only the version tells */
    for (size_t v = 0; v < sizeof rows / sizeof *rows; v++) {
        bool old = rows[v].old;
        tensor t[] = { { L0 "mlp.experts.base_layer.lora_A.weight", 2 * E, old ? 2 * ff : embd, -1 }, { L0 "mlp.experts.base_layer.lora_B.weight", old ? embd : 2 * ff, 2 * E, 1 },
                       { L0 "mlp.experts.lora_A.weight", 2 * E, old ? embd : ff, -2 }, { L0 "mlp.experts.lora_B.weight", old ? ff : embd, 2 * E, 2 } };
        char *folder = make_folder("stacked", rows[v].config, t, 4);
        eng_adapter *ad = NULL;
        CHECK_MSG(eng_adapter_read(m, folder, &ad, err) == 0, "%s", err);
        int n = 0;
        const eng_low *l = ad ? eng_adapter_lows(ad, &n) : NULL;
        CHECK_INT(n, 3);
        for (int w = 0; w < n; w++) {
            static const enum ker_role order[] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };
            CHECK_INT(l[w].role, order[w]);
            const tensor *a = &t[w == 2 ? 2 : 0], *b = a + 1;
            for (int e = 0; e < E; e += 5)
                for (int o = 0; o < l[w].n_out; o += 7)
                    for (int i = 0; i < l[w].n_in; i += 3) {
                        int row = w == 1 ? ff + o : o;
                        double want = old ? delta(a, b, E, 2, e, i, row) : delta(a, b, E, 2, e, row, i), got = made(&l[w], e, o, i);
                        CHECK_MSG(fabs(want - got) <= 1e-9 * fabs(want), "version %zu matrix %d expert %d: %g, expected %g", v, w, e, got, want);
                    }
        }
        eng_adapter_free(ad);
        free(folder);
    }
    eng_model_free(m);
}

/* One parameter alone has no "base_layer"; experts as modules may be few; patterns choose ranks and alphas; rsLoRA. */
static void ranks_and_alphas(void)
{
    eng_model *m = help_model("qwen3moe");
    int E = m->ker.n_expert, embd = m->ker.n_embd, ff = m->ker.n_ff_exp;
    tensor t[] = { { L0 "mlp.experts.lora_A.weight", 3 * E, ff, 1 }, { L0 "mlp.experts.lora_B.weight", embd, 3 * E, 2 },
                   { "base_model.model.model.layers.1.mlp.experts.5.up_proj.lora_A.weight", 2, embd, 3 }, { "base_model.model.model.layers.1.mlp.experts.5.up_proj.lora_B.weight", ff, 2, 4 },
                   { "base_model.model.lm_head.lora_A.weight", 4, embd, 5 }, { "base_model.model.lm_head.lora_B.weight", m->ker.n_vocab, 4, 6 },
                   { "base_model.model.model.embed_tokens.lora_embedding_A", 2, m->ker.n_vocab, 7 }, { "base_model.model.model.embed_tokens.lora_embedding_B", embd, 2, 8 } };
    char *folder = make_folder("ranks", "{\"r\":2,\"lora_alpha\":6,\"use_rslora\":true,\"base_model_name_or_path\":\"some/where\",\"target_parameters\":[\"layers.0.mlp.experts.down_proj\"],"
                               "\"rank_pattern\":{\"down_proj\":3,\"lm_head\":4},\"alpha_pattern\":{\"^model\\\\.layers\\\\.\\\\d+\\\\.mlp.*up_proj\":8,\"up_proj\":9}}", t, 8);
    eng_adapter *ad = NULL;
    CHECK_MSG(eng_adapter_read(m, folder, &ad, err) == 0, "%s", err);
    int n = 0;
    const eng_low *l = ad ? eng_adapter_lows(ad, &n) : NULL;
    CHECK_INT(n, 4);
    if (n == 4) {
        CHECK(l[0].role == KER_W_EMBD && l[0].rank == 2 && l[0].a[embd + 3] == number(&t[7], 3, 1) && l[0].b[5 * 2 + 1] == number(&t[6], 1, 5));
        CHECK(l[1].role == KER_W_OUT && l[1].rank == 4 && l[1].scale == 3);
        CHECK(l[2].role == KER_W_DOWN_EXPS && l[2].layer == 0 && l[2].rank == 3 && l[2].scale == (float)(6 / sqrt(3)));
        CHECK(l[3].role == KER_W_UP_EXPS && l[3].layer == 1 && l[3].scale == (float)(8 / sqrt(2)));
        CHECK(l[3].a[5 * 2 * embd + 1] == number(&t[2], 0, 1) && l[3].b[5 * ff * 2 + 3] == number(&t[3], 1, 1));
        CHECK(l[3].a[4 * 2 * embd] == 0 && l[3].a[6 * 2 * embd] == 0 && l[3].b[0] == 0);
        CHECK_STR(eng_adapter_info_of(ad)->base, "some/where");
        CHECK_STR(eng_adapter_info_of(ad)->name, "ranks");
    }
    eng_adapter_free(ad);
    eng_model_free(m);
    free(folder);
}

/* ---- whose it is ---- */

/* PEFT's folders name a base and no architecture: one of another name is doubted, not refused. */
static void another_base_is_doubted(void)
{
    eng_model *m = help_model("qwen3moe");
    int embd = m->ker.n_embd;
    const tensor t[] = { { "base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight", 2, m->ker.n_head * m->ker.head_dim, 1 }, { "base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight", embd, 2, 2 } };
    char own[128];
    snprintf(own, sizeof own, "Some-Org/%s-Instruct", m->info.name);
    const struct { const char *base; bool doubted; } rows[] = { { "Qwen/Qwen3-Other-7B", true }, { "/home/me/checkpoint-300", true }, { own, false }, { m->info.name, false }, { "", false } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *config = q_printf("{\"r\":2,\"lora_alpha\":4,\"base_model_name_or_path\":\"%s\"}", rows[i].base), *name = q_printf("base%zu", i), *folder = make_folder(name, config, t, 2);
        eng_adapter *ad = NULL;
        CHECK_MSG(eng_adapter_read(m, folder, &ad, err) == 0, "%s", err);
        const char *doubt = ad ? eng_adapter_info_of(ad)->doubt : "";
        CHECK_MSG((*doubt != 0) == rows[i].doubted && (!rows[i].doubted || (strstr(doubt, rows[i].base) && strstr(doubt, m->info.name))), "%s: %s", rows[i].base, doubt);
        eng_adapter_free(ad);
        free(config), free(name), free(folder);
    }
    eng_model_free(m);
}

/* ---- what is refused ---- */

static void kinds_that_are_not_computed(void)
{
    static const struct { const char *config, *says; int code; } rows[] = {
        { CONFIG(",\"use_dora\":true"), "DoRA", Q_RANGE }, { CONFIG(",\"modules_to_save\":[\"embed_tokens\"]"), "modules_to_save", Q_RANGE },
        { CONFIG(",\"fan_in_fan_out\":true"), "fan_in_fan_out", Q_RANGE }, { CONFIG(",\"lora_bias\":true"), "lora_bias", Q_RANGE },
        { CONFIG(",\"init_lora_weights\":\"pissa_niter_16\""), "pissa_niter_16", Q_RANGE }, { CONFIG(",\"alora_invocation_tokens\":[1]"), "aLoRA", Q_RANGE },
        { CONFIG(",\"layer_replication\":[[0,2]]"), "layer_replication", Q_RANGE }, { CONFIG(",\"rank_pattern\":{\"(a{1,9}){1,9}\":3}"), "rank_pattern", Q_RANGE },
        { CONFIG(",\"alpha_pattern\":{\"(q)\\\\1\":3}"), "alpha_pattern", Q_RANGE }, { CONFIG(",\"rank_pattern\":{\"q_proj\":0}"), "rank_pattern", Q_RANGE },
        { "{\"peft_type\":\"IA3\"}", "IA3", Q_RANGE }, { "{\"peft_type\":\"PROMPT_TUNING\"}", "PROMPT_TUNING", Q_RANGE },
        { "{\"r\":2,\"lora_alpha\":1,\"bias\":\"all\"}", "biases were trained", Q_RANGE }, { "{\"r\":0,\"lora_alpha\":1}", "\"r\"", Q_FORMAT },
        { "{\"r\":1e99,\"lora_alpha\":1}", "\"r\"", Q_FORMAT }, { "{\"r\":2}", "lora_alpha", Q_FORMAT }, { "[1,2", "no JSON object", Q_FORMAT }, { "", "no JSON object", Q_FORMAT },
        { NULL, "no adapter_config.json", Q_IO },
        { CONFIG(",\"rank_pattern\":{\"k_proj\":3}"), "the rank 3", Q_FORMAT },
    };
    eng_model *m = help_model("qwen3moe");
    tensor t[] = { { L0 "self_attn.k_proj.lora_A.weight", 2, m->ker.n_embd, 1 }, { L0 "self_attn.k_proj.lora_B.weight", m->ker.n_kv_head * m->ker.head_dim, 2, 1 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *name = q_printf("kind%zu", i), *folder = make_folder(name, rows[i].config, t, 2);
        eng_adapter *ad = NULL;
        int rc = eng_adapter_read(m, folder, &ad, err);
        CHECK_MSG(rc == rows[i].code && strstr(err, rows[i].says), "%s: %d %s", rows[i].config ? rows[i].config : "none", rc, err);
        free(name);
        free(folder);
    }
    eng_adapter *ad = NULL;
    char *folder = make_folder("sound", CONFIG(""), t, 2), *file = q_printf("%s/adapter_model.safetensors", folder), *bin = q_printf("%s/adapter_model.bin", folder);
    CHECK_MSG(eng_adapter_read(m, folder, &ad, err) == 0, "%s", err);
    eng_adapter_free(ad);
    CHECK(eng_adapter_read(NULL, folder, &ad, err) == Q_RANGE);
    CHECK(eng_adapter_read(m, file, &ad, err) == Q_RANGE && strstr(err, "name its folder"));
    CHECK(unlink(file) == 0 && eng_adapter_read(m, folder, &ad, err) == Q_FORMAT && strstr(err, "not complete"));
    write_text(folder, "adapter_model.bin", "PK", 2);
    CHECK(eng_adapter_read(m, folder, &ad, err) == Q_RANGE && strstr(err, "pickles"));
    CHECK(symlink("/nowhere/at/all", file) == 0 && eng_adapter_read(m, folder, &ad, err) == Q_IO);
    free(folder);
    free(file);
    free(bin);
    eng_model_free(m);
}

/* The same module under the names that PEFT, torch.compile, FSDP and a PeftModel inside another give it. */
static void wrappers_are_no_part_of_names(void)
{
    static const char *const rows[] = { "base_model.model.model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.k_proj", "_orig_mod.base_model.model.model.layers.0.self_attn.k_proj",
        "base_model.model._orig_mod.model.layers.0.self_attn.k_proj", "base_model.model.model.layers.0._orig_mod.self_attn.k_proj", "base_model.model.base_model.model.model.layers.0.self_attn.k_proj",
        "module.base_model.model.model.layers.0._checkpoint_wrapped_module.self_attn.k_proj", "_fsdp_wrapped_module.base_model.model.model.layers.0._fsdp_wrapped_module.self_attn.k_proj" };
    eng_model *m = help_model("qwen3moe");
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *a = q_printf("%s.lora_A.weight", rows[i]), *b = q_printf("%s.lora_B.weight", rows[i]);
        tensor t[] = { { a, 2, m->ker.n_embd, 1 }, { b, m->ker.n_kv_head * m->ker.head_dim, 2, 1 } };
        char *folder = make_folder("wrapped", CONFIG(",\"rank_pattern\":{\"^model.layers.0.self_attn.k_proj\":2}"), t, 2);
        eng_adapter *ad = NULL;
        int rc = eng_adapter_read(m, folder, &ad, err);
        CHECK_MSG(rc == 0, "%s: %s", rows[i], err);
        uint64_t hash = rc ? 0 : eng_adapter_info_of(ad)->hash;
        if (i == 0) first = hash;
        CHECK_MSG(hash == first, "%s", rows[i]);
        eng_adapter_free(ad);
        free(folder);
        free(a);
        free(b);
    }
    eng_model_free(m);
}

/* Embeddings and heads: PEFT's copies of the base beside the halves, whole ones, tied ones. */
static void embeddings_and_heads(void)
{
#define EMBED "base_model.model.model.embed_tokens."
#define HEAD "base_model.model.lm_head."
    eng_model *m = help_model("gemma3");
    int d = m->ker.n_embd, v = m->ker.n_vocab;
    const struct { const char *config; tensor t[4]; int n, lows; const char *says; } rows[] = {
        { CONFIG(""), { { HEAD "lora_A.weight", 2, d, 1 }, { HEAD "lora_B.weight", v, 2, 1 } }, 2, 1, NULL },
        { CONFIG(""), { { HEAD "lora_A.weight", 2, d, 1 }, { HEAD "lora_B.weight", v, 2, 1 }, { HEAD "base_layer.weight", v, d, 1 } }, 3, 1, NULL },
        { CONFIG(""), { { HEAD "lora_A.weight", 2, d, 1 }, { HEAD "lora_B.weight", v, 2, 1 }, { HEAD "base_layer.weight", v + 2, d, 1 } }, 3, 0, "tokens were added" },
        { CONFIG(""), { { EMBED "lora_embedding_A", 2, v, 1 }, { EMBED "lora_embedding_B", d, 2, 1 }, { EMBED "base_layer.weight", v, d, 1 } }, 3, 1, NULL },
        { CONFIG(",\"ensure_weight_tying\":true"), { { EMBED "lora_embedding_A", 2, v, 1 }, { EMBED "lora_embedding_B", d, 2, 1 } }, 2, 2, NULL },
        { CONFIG(",\"ensure_weight_tying\":true"), { { EMBED "lora_embedding_A", 2, v, 1 }, { EMBED "lora_embedding_B", d, 2, 1 }, { HEAD "lora_A.weight", 2, d, 2 }, { HEAD "lora_B.weight", v, 2, 2 } }, 4, 2, NULL },
        { CONFIG(""), { { HEAD "weight", v, d, 1 } }, 1, 0, "save_embedding_layers" },
        { CONFIG(""), { { EMBED "weight", v, d, 1 } }, 1, 0, "save_embedding_layers" },
        { "{\"fine_tune_type\":\"lora\",\"lora_parameters\":{\"rank\":2}}", { { "model.layers.0.self_attn.q_proj.lora_a", d, 2, 1 } }, 1, 0, "mlx-lm" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = make_folder("words", rows[i].config, rows[i].t, rows[i].n);
        eng_adapter *ad = NULL;
        err[0] = 0;
        int n = 0, rc = eng_adapter_read(m, folder, &ad, err);
        CHECK_MSG(rows[i].says ? rc == Q_RANGE && strstr(err, rows[i].says) : rc == 0, "%zu: %d %s", i, rc, err);
        const eng_low *l = rc ? NULL : eng_adapter_lows(ad, &n);
        CHECK_MSG(n == rows[i].lows, "%zu: %d", i, n);
        if (n == 2 && rows[i].n == 2) CHECK(l[0].role == KER_W_EMBD && l[1].role == KER_W_OUT && memcmp(l[0].a, l[1].a, n_of(&l[0], false) * 4) == 0 && memcmp(l[0].b, l[1].b, n_of(&l[0], true) * 4) == 0);
        if (n == 2 && rows[i].n == 4) CHECK(memcmp(l[0].a, l[1].a, n_of(&l[0], false) * 4) != 0);
        eng_adapter_free(ad);
        free(folder);
    }
    eng_model_free(m);
}

static void weights_that_do_not_fit(void)
{
    eng_model *m = help_model("qwen3moe");
    int embd = m->ker.n_embd, kv = m->ker.n_kv_head * m->ker.head_dim;
    const struct { tensor t[2]; int n; const char *says; int code; } rows[] = {
        { { { L0 "self_attn.k_proj.lora_A.weight", 2, embd, 1 } }, 1, "lora_B.weight is missing", Q_FORMAT },
        { { { L0 "self_attn.k_proj.lora_B.weight", kv, 2, 1 } }, 1, "lora_A.weight is missing", Q_FORMAT },
        { { { L0 "self_attn.k_proj.lora_A.weight", 2, embd, 1 }, { L0 "self_attn.k_proj.lora_B.weight", kv, 3, 1 } }, 2, "do not fit", Q_FORMAT },
        { { { L0 "self_attn.k_proj.lora_A.weight", 4, embd, 1 }, { L0 "self_attn.k_proj.lora_B.weight", kv, 4, 1 } }, 2, "the rank 2", Q_FORMAT },
        { { { L0 "self_attn.k_proj.lora_A.weight", 2, embd + 1, 1 }, { L0 "self_attn.k_proj.lora_B.weight", kv, 2, 1 } }, 2, "another model", Q_RANGE },
        { { { L0 "self_attn.k_proj.lora_A.weight", 2, embd, 1 }, { L0 "self_attn.k_proj.lora_B.weight", kv + 1, 2, 1 } }, 2, "another model", Q_RANGE },
        { { { L0 "self_attn.k_proj.lora_A.weight", 2, embd, NAN }, { L0 "self_attn.k_proj.lora_B.weight", kv, 2, 1 } }, 2, "not a number", Q_FORMAT },
        { { { L0 "self_attn.k_proj.lora_A.weight", 2, embd, 1 }, { L0 "self_attn.k_proj.lora_B.weight", kv, 2, INFINITY } }, 2, "not finite", Q_FORMAT },
        { { { "base_model.model.model.layers.99.self_attn.k_proj.lora_A.weight", 2, embd, 1 }, { "base_model.model.model.layers.99.self_attn.k_proj.lora_B.weight", kv, 2, 1 } }, 2, "another model", Q_RANGE },
        { { { L0 "mlp.experts.77.up_proj.lora_A.weight", 2, embd, 1 }, { L0 "mlp.experts.77.up_proj.lora_B.weight", m->ker.n_ff_exp, 2, 1 } }, 2, "expert 77", Q_RANGE },
        { { { L0 "mlp.up_proj.lora_A.weight", 2, embd, 1 }, { L0 "mlp.up_proj.lora_B.weight", 64, 2, 1 } }, 2, "no such matrix", Q_RANGE },
        { { { L0 "self_attn.k_proj.lora_magnitude_vector", 2, embd, 1 } }, 1, "no low-rank change", Q_RANGE },
        { { { L0 "vision.patch.lora_A.weight", 2, embd, 1 }, { L0 "vision.patch.lora_B.weight", kv, 2, 1 } }, 2, "vision.patch", Q_RANGE },
        { { { L0 "self_attn.k_norm.lora_A.weight", 2, 1, 1 }, { L0 "self_attn.k_norm.lora_B.weight", 32, 2, 1 } }, 2, "k_norm", Q_RANGE },
        { { { L0 "self_attn.k_proj.lora_A.weight", 0, embd, 1 }, { L0 "self_attn.k_proj.lora_B.weight", kv, 0, 1 } }, 2, "do not fit", Q_FORMAT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = make_folder("fit", CONFIG(""), rows[i].t, rows[i].n);
        eng_adapter *ad = NULL;
        int rc = eng_adapter_read(m, folder, &ad, err);
        CHECK_MSG(rc == rows[i].code && strstr(err, rows[i].says), "%zu: %d %s", i, rc, err);
        free(folder);
    }
    char *folder = make_folder("fit", CONFIG(""), NULL, 0);
    write_safetensors(folder, "adapter_model.safetensors", NULL, 0);
    eng_adapter *ad = NULL;
    CHECK(eng_adapter_read(m, folder, &ad, err) == Q_FORMAT && strstr(err, "changes nothing"));
    free(folder);
    eng_model_free(m);
}

/* Headers that lie: nothing is read outside the file (ASan), one sentence each. */
static void damaged_safetensors(void)
{
    static const struct { const char *head; uint64_t len /* 0: the header's */; size_t data; const char *says; } rows[] = {
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 0, 16, NULL },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 0, 15, "beyond the end" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", UINT64_MAX, 16, "cut short" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 1000, 16, "cut short" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 20, 16, "no JSON object" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,16]}}", 0, 16, "more or fewer bytes" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],\"data_offsets\":[0,16]}}", 0, 16, "no shape" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[-2,-2],\"data_offsets\":[0,16]}}", 0, 16, "no shape" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,4],\"data_offsets\":[0,16]}}", 0, 16, "no shape" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[16,0]}}", 0, 16, "no type or place" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[9007199254740976,9007199254740992]}}", 0, 16, "beyond the end" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0.5,16.5]}}", 0, 32, "no type or place" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2]}}", 0, 16, "no type or place" },
        { "{\"x\":{\"dtype\":\"Q7\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 0, 16, "unknown type" },
        { "{\"x\":17}", 0, 16, "no type or place" },
        { "{\"\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 0, 16, "name is empty" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 0, 16, "overlaps" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 0, 16, "twice" },
        { "[1,2,3]", 0, 16, "no JSON object" },
        { "", 0, 0, "cut short" },
    };
    char *path = in("damaged.safetensors");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        q_buf b = { 0 };
        uint64_t len = rows[i].len ? rows[i].len : strlen(rows[i].head);
        q_buf_add(&b, &len, 8);
        q_buf_puts(&b, rows[i].head);
        for (size_t k = 0; k < rows[i].data; k++) q_buf_putc(&b, 0);
        CHECK(q_write_file_atomic(path, b.p, b.len, err) == 0);
        q_buf_free(&b);
        st_file *f = NULL;
        err[0] = 0;
        int rc = st_open(path, &f, err);
        CHECK_MSG(rows[i].says ? rc == Q_FORMAT && strstr(err, rows[i].says) : rc == 0, "%zu: %d %s", i, rc, err);
        if (!rc) CHECK(st_count(f) == 1 && st_find(f, "x") && !st_find(f, "y") && st_bytes(f) > 16);
        if (!rc) st_close(f);
    }
    CHECK(q_write_file_atomic(path, "", 0, err) == 0);
    st_file *f = NULL;
    CHECK(st_open(path, &f, err) == Q_FORMAT && st_open(dir, &f, err) == Q_IO && st_open("/dev/zero", &f, err) == Q_IO);
    free(path);
}

/* Each kind of number, and shards that an index names. */
static void numbers_and_shards(void)
{
    static const char head[] = "{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]},"
                               "\"c\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[8,16]},\"d\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[16,19]}}";
    static const uint8_t data[] = { 0x80, 0x3f, 0x20, 0xc0, 0x00, 0x3c, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 1, 2, 3 };
    char *folder = in("shards");
    mkdir(folder, 0700);
    q_buf b = { 0 };
    uint64_t len = sizeof head - 1;
    q_buf_add(&b, &len, 8);
    q_buf_add(&b, head, sizeof head - 1);
    q_buf_add(&b, data, sizeof data);
    write_text(folder, "one.safetensors", b.p, b.len);
    q_buf_free(&b);
    write_safetensors(folder, "two.safetensors", &(tensor){ "e", 1, 4, 2 }, 1);
    st_file *f = NULL;
    bool pickled;
    static const char index[] = "{\"metadata\":{},\"weight_map\":{\"a\":\"one.safetensors\",\"e\":\"two.safetensors\",\"b\":\"one.safetensors\"}}";
    CHECK(st_open_folder(folder, "model", &f, &pickled, err) == Q_NOTFOUND && !pickled);
    write_text(folder, "model.safetensors.index.json", index, sizeof index - 1);
    CHECK_MSG(st_open_folder(folder, "model", &f, &pickled, err) == 0, "%s", err);
    float x[4];
    if (f) {
        CHECK_INT(st_count(f), 5);
        st_floats(st_find(f, "a"), 0, 2, x);
        CHECK(x[0] == 1 && x[1] == -2.5f);
        st_floats(st_find(f, "b"), 1, 1, x);
        CHECK(x[0] == -2.5f);
        st_floats(st_find(f, "c"), 0, 1, x);
        CHECK(x[0] == 0.5f);
        CHECK(st_find(f, "d")->kind == ST_OTHER);
        st_floats(st_find(f, "e"), 2, 2, x);
        CHECK(x[0] == 2 + 2.0f / 64 && x[1] == 2 + 3.0f / 64);
        st_close(f);
    }
    static const char *const wrong[] = { "{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "{\"weight_map\":{\"a\":3}}", "{\"weight_map\":[]}", "{}", "x" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text(folder, "model.safetensors.index.json", wrong[i], strlen(wrong[i]));
        CHECK_MSG(st_open_folder(folder, "model", &f, &pickled, err) == Q_FORMAT, "%s", wrong[i]);
    }
    write_text(folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"gone.safetensors\"}}", strlen("{\"weight_map\":{\"a\":\"gone.safetensors\"}}"));
    CHECK(st_open_folder(folder, "model", &f, &pickled, err) == Q_IO && strstr(err, "gone"));
    free(folder);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    RUN(turned_heads);
    RUN(stacked_experts);
    RUN(ranks_and_alphas);
    RUN(another_base_is_doubted);
    RUN(kinds_that_are_not_computed);
    RUN(wrappers_are_no_part_of_names);
    RUN(embeddings_and_heads);
    RUN(weights_that_do_not_fit);
    RUN(damaged_safetensors);
    RUN(numbers_and_shards);
    if (util_exists("../shared/data/lora/README.md")) RUN(shared_folders);
    else SKIP("shared_folders", "no ../shared/data/lora");
    char *cmd = q_printf("rm -rf %s", dir);
    if (system(cmd)) printf("# %s stays\n", dir);
    free(cmd);
    return TEST_END();
}
