/* Sizes at the edge: more experts than can be told apart, as many as can, stop strings and messages without measure. */
#include "engine/engine.h"
#include "engine/run/session.h"
#include "engine/text.h"
#include "engine/file/gguf.h"
#include "kernels/kernels.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <unistd.h>

static char err[Q_ERRLEN];
enum { EMBD = 8, MOST = 32767 };

static int fill(void *user, void *dst, size_t bytes, char *e)
{
    float *x = dst;
    uint64_t seed = (uint64_t)(uintptr_t)user;
    (void)e;
    for (size_t i = 0; i < bytes / 4; i++)
        x[i] = (float)((double)(q_mix64(seed, i) >> 40) / (1 << 24) - 0.5);
    return Q_OK;
}

static void put(gguf_writer *w, const char *name, int64_t a, int64_t b, int64_t c)
{
    gguf_put_tensor(w, name, KER_F32, c > 1 ? 3 : b > 1 ? 2 : 1, (int64_t[]){ a, b, c }, fill, (void *)(uintptr_t)q_hash64(name, strlen(name), 1));
}

/* One layer of `experts` experts of one neuron each, with the vocabulary of a checked-in model; claimed: what its key says. */
static char *model_with(int experts, int claimed)
{
    static const char *const keys[] = { "block_count", "embedding_length", "attention.head_count", "attention.head_count_kv", "attention.key_length",
                                        "attention.value_length", "rope.dimension_count", "expert_count", "expert_used_count",
                                        "expert_feed_forward_length" };
    const uint32_t values[] = { 1, EMBD, 1, 1, EMBD, EMBD, EMBD, (uint32_t)claimed, 2, 1 };
    char *from = util_model("qwen3moe"), *to = q_printf("%s.many", from), key[80];
    gguf_file *g = NULL;
    CHECK(gguf_open(from, &g, err) == 0);
    gguf_writer *w = gguf_writer_new();
    for (int i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        snprintf(key, sizeof key, "%.*s", (int)kv->key.n, kv->key.p);
        bool mine = false;
        for (size_t j = 0; j < sizeof keys / sizeof *keys; j++)
            mine = mine || (strncmp(key, "qwen3moe.", 9) == 0 && strcmp(key + 9, keys[j]) == 0);
        if (!mine)
            gguf_put_kv(w, key, kv);
    }
    for (size_t j = 0; j < sizeof keys / sizeof *keys; j++) {
        snprintf(key, sizeof key, "qwen3moe.%s", keys[j]);
        gguf_put_u32(w, key, values[j]);
    }
    put(w, "token_embd.weight", EMBD, 320, 1);
    put(w, "output_norm.weight", EMBD, 1, 1);
    put(w, "output.weight", EMBD, 320, 1);
    put(w, "blk.0.attn_norm.weight", EMBD, 1, 1);
    put(w, "blk.0.attn_q.weight", EMBD, EMBD, 1);
    put(w, "blk.0.attn_k.weight", EMBD, EMBD, 1);
    put(w, "blk.0.attn_v.weight", EMBD, EMBD, 1);
    put(w, "blk.0.attn_output.weight", EMBD, EMBD, 1);
    put(w, "blk.0.attn_q_norm.weight", EMBD, 1, 1);
    put(w, "blk.0.attn_k_norm.weight", EMBD, 1, 1);
    put(w, "blk.0.ffn_norm.weight", EMBD, 1, 1);
    put(w, "blk.0.ffn_gate_inp.weight", EMBD, experts, 1);
    gguf_put_tensor(w, "blk.0.ffn_gate_exps.weight", KER_F32, 3, (int64_t[]){ EMBD, 1, experts }, fill, (void *)(uintptr_t)21);
    gguf_put_tensor(w, "blk.0.ffn_up_exps.weight", KER_F32, 3, (int64_t[]){ EMBD, 1, experts }, fill, (void *)(uintptr_t)22);
    gguf_put_tensor(w, "blk.0.ffn_down_exps.weight", KER_F32, 3, (int64_t[]){ 1, EMBD, experts }, fill, (void *)(uintptr_t)23);
    CHECK_MSG(gguf_write(w, to, NULL, NULL, err) == 0, "%s", err);
    gguf_writer_free(w);
    gguf_close(g);
    remove(from);
    free(from);
    return to;
}

/* What cannot be numbered is refused when the file is opened, with the number that it has. */
static void too_many_experts_are_refused(void)
{
    static const int claimed[] = { MOST + 1, 40000, 65535, 70000, 1 << 24 };
    for (size_t i = 0; i < sizeof claimed / sizeof *claimed; i++) {
        char *path = model_with(4, claimed[i]), number[16];
        eng_model *m = NULL;
        snprintf(number, sizeof number, "%d experts", claimed[i]);
        CHECK_INT(eng_model_open(path, NULL, &m, err), Q_FORMAT);
        CHECK_MSG(strstr(err, number) && strstr(err, "32767"), "%s", err);
        CHECK(m == NULL);
        remove(path);
        free(path);
    }
}

/* As many experts as can be: every way to name one works to the last. */
static void as_many_as_can_be(void)
{
    char *path = model_with(MOST, MOST), v[64];
    eng_model *m = NULL;
    eng_session *s = NULL, *f = NULL;
    int64_t start = q_now_ns();
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    remove(path);
    free(path);
    if (rc)
        return;
    eng_config *c = eng_config_new(m), *d = eng_config_new(m), *all = eng_config_new(m);
    q_buf b = { 0 };
    double lo, hi;
    CHECK(eng_config_range(c, "experts.k", &lo, &hi) && lo == 1 && hi == MOST);
    snprintf(v, sizeof v, "%d", MOST);
    CHECK(eng_config_set(all, "experts.k", v, err) == 0 && eng_config_k(all) == MOST);
    CHECK(eng_config_set(all, "experts.k", "32768", err) == Q_RANGE);
    CHECK(eng_config_set(d, "experts.pin", "0:32766", err) == 0 && eng_config_set(d, "experts.ban", "0:0,0:32765", err) == 0);
    CHECK(eng_config_set(d, "experts.pin", "0:32767", err) == Q_RANGE);
    CHECK_STR(eng_config_get(d, "experts.ban", &b), "0:0,0:32765");
    CHECK(eng_session_new(m, c, &s, err) == 0);
    int32_t t[6] = { 1, 2, 3, 4, 5, 6 };
    CHECK(eng_session_sync(s, t, 6, ENG_CONTINUE, NULL, NULL, err) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(eng_session_push(s, 7 + i, err) == 0);
    printf("# opened, six tokens read and three written in %.2f s", (double)(q_now_ns() - start) / 1e9);
    start = q_now_ns();
    CHECK(eng_session_config(s, d, ENG_CONTINUE, err) == 0 && eng_session_push(s, 1, err) == 0);
    eng_out *out = q_alloc(sizeof *out);
    eng_row row = { .session = s, .token = 1, .want = ENG_WANT_LOGITS };
    CHECK(eng_cache_step(eng_session_cache(s), &row, 1, false, out, err) == 0);
    CHECK(out->ids[0] == MOST - 1 || out->ids[1] == MOST - 1);         /* the pinned one runs */
    /* Every expert forced by name, the list checked and run. */
    uint16_t *forced = q_alloc(sizeof *forced * MOST);
    for (int i = 0; i < MOST; i++)
        forced[i] = (uint16_t)(MOST - 1 - i);
    row.forced = forced;
    row.forced_k = MOST;
    CHECK(eng_cache_step(eng_session_cache(s), &row, 1, false, out, err) == 0);
    CHECK(out->ids[0] == MOST - 1 && out->ids[MOST - 1] == 0);
    forced[MOST - 1] = 5;
    CHECK_INT(eng_cache_step(eng_session_cache(s), &row, 1, false, out, err), Q_RANGE);
    CHECK_MSG(strstr(err, "expert 5 stands there twice"), "%s", err);
    CHECK(eng_session_fork(s, &f, err) == 0 && eng_session_config(f, all, ENG_CONTINUE, err) == 0 && eng_session_push(f, 2, err) == 0);
    printf("; pins, bans, forced lists and k %d in %.2f s\n", MOST, (double)(q_now_ns() - start) / 1e9);
    CHECK(!getenv("QUORUM_LONG") || q_now_ns() - start < 5 * 1000000000LL);
    free(forced);
    free(out);
    q_buf_free(&b);
    eng_session_free(s);
    eng_session_free(f);
    eng_config_free(c);
    eng_config_free(d);
    eng_config_free(all);
    eng_model_free(m);
}

static eng_model *small_model(void)
{
    char *path = util_model("qwen3moe");
    eng_model *m = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    remove(path);
    free(path);
    return m;
}

/* A list of stop strings is looked through at every token: it has an end, and what is longer is refused with the numbers. */
static void stop_strings_have_an_end(void)
{
    eng_model *m = small_model();
    if (!m)
        return;
    eng_config *c = eng_config_new(m);
    char *long_one = q_printf("%04096d", 0), *huge = q_printf("%01000000d", 0);
    q_buf b = { 0 };
    CHECK(eng_config_set(c, "sampler.stop", long_one, err) == 0);
    CHECK_STR(eng_config_get(c, "sampler.stop", &b), long_one);
    CHECK_INT(eng_config_set(c, "sampler.stop", huge, err), Q_RANGE);
    CHECK_MSG(strstr(err, "4096") && strstr(err, "1000000"), "%s", err);
    CHECK_STR(eng_config_get(c, "sampler.stop", &b), long_one);
    CHECK_INT(eng_stop_scan(c, "00", 2), 2);
    /* what stands as it is, blanks and line breaks too, is looked for; it is kept in one line that may be taken up again */
    static const struct { const char *given, *kept, *text; long found; } as[] = {
        { "\n", "\\n", "a\nb", -2 }, { " ", "\\s", "a b", -2 }, { " b", "\\sb", "ab b", -3 }, { "b ", "b\\s", "ab b ", -2 }, { "x\r\ny\t", "x\\r\\ny\\t", "x\r\ny\t", -1 },
        { "\\\n", "\\n", "a\n", -2 }, { "\\ ", "\\s", "a ", -2 }, { "\\\\\n", "\\\\\\n", "a\\\n", -2 }, { "a b", "a b", "a b", -1 }, { "\\n", "\\n", "a\n", -2 }, { "", "none", "a", 0 } };
    for (size_t i = 0; i < sizeof as / sizeof *as; i++)
        for (int again = 0; again < 2; again++) {
            CHECK(eng_config_set(c, "sampler.stop", again ? as[i].kept : as[i].given, err) == 0);
            CHECK_STR(eng_config_get(c, "sampler.stop", &b), as[i].kept);
            CHECK_INT(eng_stop_scan(c, as[i].text, strlen(as[i].text)), as[i].found);
        }
    CHECK(eng_config_set(c, "sampler.stop", long_one, err) == 0);
    CHECK_INT(eng_stop_scan(c, long_one, 4096), -1);
    free(long_one);
    free(huge);
    q_buf_free(&b);
    eng_config_free(c);
    eng_model_free(m);
}

/* A message of 40 MB is refused after as much work as a text that just does not fit takes: the ids that were made of it
 * are counted. */
static void too_long_a_message(void)
{
    eng_model *m = small_model();
    if (!m)
        return;
    enum { BYTES = 40 << 20 };
    static const char *const words[] = { "The members of a quorum speak in turn. ", "Кворум собрался и голосует. ", "0", "<|im_end|>", "\xCC\x88", "\n" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        q_buf text = { 0 };
        while (text.len < BYTES)
            q_buf_puts(&text, words[i]);
        eng_tokens t = { .most = 1000 };
        CHECK_INT(eng_tokenize(m, text.p, text.len, i % 2, &t, err), Q_RANGE);
        CHECK_MSG(strstr(err, "more than 1000 tokens"), "%s", err);
        CHECK_MSG(t.n <= 1000 + 100000, "%d ids were made", t.n);
        eng_message msg[2] = { { ENG_SYSTEM, "s", 1, NULL }, { ENG_USER, text.p, text.len, NULL } };
        eng_tokens u = { .most = 1000 };
        CHECK_INT(eng_template(m, msg, 2, true, -1, &u, err), Q_RANGE);
        CHECK(u.n <= 1000 + 100000);
        eng_tokens_free(&t);
        eng_tokens_free(&u);
        q_buf_free(&text);
    }
    /* Just long enough, and one more. */
    eng_tokens t = { 0 }, u = { 0 };
    q_buf text = { 0 };
    for (int i = 0; i < 300; i++)
        q_buf_puts(&text, words[i % 2]);
    CHECK(eng_tokenize(m, text.p, text.len, false, &t, err) == 0);
    u.most = t.n;
    CHECK(eng_tokenize(m, text.p, text.len, false, &u, err) == 0 && u.n == t.n && memcmp(t.id, u.id, sizeof *t.id * (size_t)t.n) == 0);
    u.n = 0;
    u.most = t.n - 1;
    CHECK_INT(eng_tokenize(m, text.p, text.len, false, &u, err), Q_RANGE);
    eng_tokens_free(&t);
    eng_tokens_free(&u);
    q_buf_free(&text);
    eng_model_free(m);
}

int main(void)
{
    RUN(too_many_experts_are_refused);
    RUN(as_many_as_can_be);
    RUN(stop_strings_have_an_end);
    RUN(too_long_a_message);
    return TEST_END();
}
