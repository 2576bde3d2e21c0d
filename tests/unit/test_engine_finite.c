/* Weights that are not numbers: whatever tensor they stand in, however it is stored, the evaluation fails with one sentence
 * that names the layer and the part where it began, and keeps nothing. */
#include "engine/engine.h"
#include "engine/run/session.h"
#include "tests/engine_util.h"
#include "tests/rewrite.h"
#include "tests/test.h"

#include <stdint.h>

enum { N = 12 };

typedef struct poison { const char *name; float value; bool scale; int done; } poison;

/* One number of the tensor; for types with scales, half of the time one block's scale instead. */
static void put_poison(void *user, const char *name, float *x, int64_t n, unsigned char *bytes, int type)
{
    poison *p = user;
    if (strcmp(name, p->name) != 0)
        return;
    bool blocks = type != KER_F32 && type != KER_F16;
    if (x && !blocks) {
        x[n > 64 ? 64 : 0] = p->value;             /* the second row's first where there are rows: token 1, expert 0's */
        p->done++;
    }
    if (bytes && blocks) {                         /* the scale is each block's first half */
        const ker_type *t = ker_type_get(type);
        uint16_t h = ker_f32_to_f16(p->value);
        size_t at = (size_t)(64 / t->block) * (size_t)t->bytes;
        memcpy(bytes + (n > (int64_t)at + t->bytes ? (int64_t)at : 0), &h, sizeof h);
        p->done++;
    }
}

static const char *part_of(const char *tensor)
{
    if (strncmp(tensor, "blk.", 4) != 0)
        return strcmp(tensor, "token_embd.weight") == 0 ? "the embedding" : "the output head";
    const char *t = strchr(tensor + 4, '.') + 1;
    if (strncmp(t, "attn", 4) == 0 && strncmp(t, "attn_post_norm", 14) != 0)
        return "the attention";
    return strstr(t, "exps") || strstr(t, "shexp") || strcmp(t, "ffn_gate.weight") == 0 || strcmp(t, "ffn_up.weight") == 0 || strcmp(t, "ffn_down.weight") == 0
               ? "the feed-forward part" : "";     /* norms and the router: either of the two parts that follow */
}

static void poisoned(const gguf_file *g, const char *path, const char *tensor, int type, float value, bool moe)
{
    char err[Q_ERRLEN], layer[32] = "";
    poison p = { tensor, value, false, 0 };
    rewrite r = { .from = g, .type = type, .touch = put_poison, .user = &p };
    CHECK_MSG(rewrite_model(&r, path, err) == 0, "%s", err);
    CHECK_INT(p.done, 1);
    eng_model *m = NULL;
    eng_session *s = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    if (rc) {
        CHECK_MSG(0, "%s: %s", tensor, err);
        return;
    }
    eng_config *c = eng_config_new(m);
    CHECK(!moe || eng_config_set(c, "experts.k", "12", err) == 0);
    int32_t t[N];
    for (int i = 0; i < N; i++)
        t[i] = (i + 1) % N;
    CHECK(eng_session_new(m, c, &s, err) == 0);
    rc = eng_session_sync(s, t, N, ENG_CONTINUE, NULL, NULL, err);
    if (strncmp(tensor, "blk.", 4) == 0)
        snprintf(layer, sizeof layer, "layer %d,", atoi(tensor + 4));
    CHECK_MSG(rc == Q_FORMAT && strstr(err, layer) && strstr(err, part_of(tensor)), "%s as %s, %g: %d %s", tensor, ker_type_get(type)->name, (double)value, rc, rc ? err : "passed as if nothing were");
    if (rc) {
        CHECK(!eng_session_logits(s) && session_cells(s) == 0);
        CHECK_INT(eng_session_push(s, 1, err), Q_FORMAT);
        CHECK_INT(eng_session_eval(s, t, N, 1, NULL, 0, NULL, NULL, err), Q_FORMAT);
    }
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

/* Keys that F16 does not hold are no damage: what does hold them is named, and works. */
static void keys_too_large_for_halves(void)
{
    static const struct { const char *type; int rc; } kept[] = { { "f16", Q_FORMAT }, { "f32", 0 }, { "q8_0", 0 } };
    char *own = util_model("qwen2"), *to = q_printf("%s/large-%ld.gguf", getenv("BUILD") ? getenv("BUILD") : "build", (long)getpid()), err[Q_ERRLEN] = "";
    gguf_file *g = NULL;
    poison p = { "blk.0.attn_k.bias", 1e6f, false, 0 };
    CHECK(gguf_open(own, &g, err) == 0);
    CHECK_MSG(rewrite_model(&(rewrite){ .from = g, .type = KER_F32, .touch = put_poison, .user = &p }, to, err) == 0, "%s", err);
    CHECK_INT(p.done, 1);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        eng_model *m = NULL;
        eng_session *s = NULL;
        CHECK_MSG(eng_model_open(to, NULL, &m, err) == 0, "%s", err);
        eng_config *c = m ? eng_config_new(m) : NULL;
        if (!c)
            continue;
        CHECK_MSG(eng_config_set(c, "kv.type", kept[i].type, err) == 0 && eng_session_new(m, c, &s, err) == 0, "%s", err);
        int rc = s ? eng_session_push(s, 1, err) : -1;
        CHECK_MSG(rc == kept[i].rc && (!rc || strstr(err, "layer 0, the attention: kv.type f16 holds nothing above 65504 here (set it to f32)")), "%s: %d %s", kept[i].type, rc, rc ? err : "");
        eng_session_free(s);
        eng_config_free(c);
        eng_model_free(m);
    }
    gguf_close(g);
    remove(own);
    remove(to);
    free(own);
    free(to);
}

/* Of the checked-in model of that name, or of the file at `path` (freed). */
static void every_tensor(const char *name, char *path)
{
    static const int types[] = { KER_F32, KER_F16, KER_Q8_0, KER_Q4_0 };
    static const float values[] = { NAN, INFINITY, -INFINITY };
    char *own = path ? NULL : util_model(name), *to = q_printf("%s/poisoned-%ld.gguf", getenv("BUILD") ? getenv("BUILD") : "build", (long)getpid()), err[Q_ERRLEN];
    gguf_file *g = NULL;
    CHECK(gguf_open(path ? path : own, &g, err) == 0);
    int tried = 0;
    for (int i = 0; g && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        char tensor[96];
        snprintf(tensor, sizeof tensor, "%.*s", (int)t->name.n, t->name.p);
        bool layer = strncmp(tensor, "blk.", 4) == 0;
        if (strcmp(tensor, "rope_freqs.weight") == 0 || (layer && atoi(tensor + 4) != 0 && atoi(tensor + 4) != 2))
            continue;
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            bool matrix = t->n_dims > 1 && t->ne[0] % ker_type_get(types[k])->block == 0;
            if (k == 0 || matrix)
                poisoned(g, to, tensor, types[k], values[(tried + (int)k) % 3], strstr(name, "moe") != NULL), tried++;
        }
    }
    printf("# %s: %d poisoned files\n", name, tried);
    CHECK(tried > 40);
    gguf_close(g);
    if (own)
        remove(own);
    remove(to);
    free(own);
    free(path);
    free(to);
}

static void every_tensor_of_routed_layers(void) { every_tensor("qwen3moe", NULL); }
static void every_tensor_of_shared_experts(void) { every_tensor("glm4moe", NULL); }
#define TINY_LLAMA "../shared/cases/minp-one/tiny-llama.gguf"
static void every_tensor_of_dense_layers(void) { every_tensor("llama", q_strdup(TINY_LLAMA)); }

/* The first of several places is named, and other timelines of the same step fail with it or not at all: nothing is kept. */
static void the_first_place_is_named(void)
{
    char *path = util_model("qwen3moe"), *to = q_printf("%s.bad", path), err[Q_ERRLEN];
    gguf_file *g = NULL;
    CHECK(gguf_open(path, &g, err) == 0);
    poison p = { "token_embd.weight", NAN, false, 0 };
    rewrite r = { .from = g, .type = -1, .touch = put_poison, .user = &p };
    CHECK(rewrite_model(&r, to, err) == 0 && p.done == 1);
    eng_model *m = NULL;
    eng_session *s = NULL, *f = NULL;
    CHECK(eng_model_open(to, NULL, &m, err) == 0);
    eng_config *c = eng_config_new(m);
    CHECK(eng_session_new(m, c, &s, err) == 0);
    CHECK(eng_session_sync(s, (int32_t[]){ 5, 6, 7 }, 3, ENG_CONTINUE, NULL, NULL, err) == 0);     /* token 1 alone is bad */
    CHECK(eng_session_fork(s, &f, err) == 0);
    eng_row rows[2] = { { .session = s, .token = 8, .want = ENG_WANT_LOGITS }, { .session = f, .token = 1, .want = ENG_WANT_LOGITS } };
    CHECK_INT(eng_cache_step(eng_session_cache(s), rows, 2, true, NULL, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "the embedding"), "%s", err);
    CHECK(eng_session_length(s) == 3 && eng_session_length(f) == 3 && session_cells(s) == 3);
    CHECK(eng_session_push(s, 8, err) == 0);
    eng_session_free(s);
    eng_session_free(f);
    eng_config_free(c);
    eng_model_free(m);
    gguf_close(g);
    remove(path);
    remove(to);
    free(path);
    free(to);
}

int main(void)
{
    RUN(every_tensor_of_routed_layers);
    RUN(every_tensor_of_shared_experts);
    if (util_exists(TINY_LLAMA))
        RUN(every_tensor_of_dense_layers);
    else
        SKIP("every_tensor_of_dense_layers", TINY_LLAMA " is absent");
    RUN(the_first_place_is_named);
    RUN(keys_too_large_for_halves);
    return TEST_END();
}
