/* Models with recurrent layers: going back to a border of a text reads only what follows it, and the bytes are those of reading it
 * all; states are bounded, saved and loaded; nothing of them depends on the instruction set. The model is tests/golden/engine/qwen3next
 * and one of random weights, larger with QUORUM_LONG (eight layers of Qwen3.6-35B-A3B's shape, 38,000 tokens). */
#include "engine/engine.h"
#include "engine/models.h"
#include "engine/run/session.h"
#include "kernels/kernels.h"
#include "tests/engine_util.h"
#include "tests/test.h"

enum { N = 300 };

static eng_model *model_of(const char *name)
{
    char *path = util_model(name), err[Q_ERRLEN];
    eng_model *m = NULL;
    int rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    remove(path);
    free(path);
    return m;
}

static eng_session *session_of(eng_model *m, const char *memory)
{
    char err[Q_ERRLEN];
    eng_config *c = eng_config_new(m);
    eng_session *s = NULL;
    CHECK(eng_config_set(c, "context.length", "600", err) == 0 && eng_config_set(c, "state.memory", memory, err) == 0);
    int rc = eng_session_new(m, c, &s, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    eng_config_free(c);
    return s;
}

static void text(int32_t *t, int from, int to, int seed)
{
    for (int i = from; i < to; i++)
        t[i] = (int32_t)(q_mix64((uint64_t)seed, (uint64_t)i) % 300);
}

/* Tokens that a sync to t[0..n) evaluates. */
static int reads(eng_session *s, const int32_t *t, int n)
{
    char err[Q_ERRLEN];
    eng_session_speed_reset(s);
    int rc = eng_session_sync(s, t, n, ENG_CONTINUE, NULL, NULL, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    return eng_session_speed(s).prefill_tokens;
}

static void answer(eng_session *s, int n, int seed)
{
    char err[Q_ERRLEN];
    for (int i = 0; i < n; i++)
        CHECK(eng_session_push(s, (int32_t)(q_mix64((uint64_t)seed, (uint64_t)i) % 300), err) == 0);
}

static bool as_fresh(eng_model *m, eng_session *s)
{
    eng_session *f = session_of(m, "64");
    const float *x = eng_session_logits(s);
    CHECK_INT(reads(f, eng_session_tokens(s), eng_session_length(s)), eng_session_length(s));
    bool same = x && memcmp(x, eng_session_logits(f), sizeof(float) * (size_t)eng_model_info(m)->n_vocab) == 0;
    eng_session_free(f);
    return same;
}

static void borders(void)
{
    eng_model *m = model_of("qwen3next");
    if (!m)
        return;
    eng_session *s = session_of(m, "64");
    int32_t t[600], edited[600];
    text(t, 0, N, 1);
    CHECK_INT(reads(s, t, N), N);
    answer(s, 20, 2);
    CHECK_INT(reads(s, t, N), 1);                    /* regenerate: before the last token, which is always read */
    CHECK(as_fresh(m, s));
    answer(s, 20, 3);
    memcpy(t, eng_session_tokens(s), sizeof *t * (N + 20));
    text(t, N + 20, N + 60, 4);
    CHECK_INT(reads(s, t, N + 60), 40);              /* the next turn */
    memcpy(edited, t, sizeof t);
    text(edited, N + 20, N + 50, 5);
    CHECK_INT(reads(s, edited, N + 50), 30);         /* the last question edited: from the end of the answer before it */
    CHECK(as_fresh(m, s));
    CHECK_INT(reads(s, t, N + 60), 1);               /* and the former branch again */
    CHECK(as_fresh(m, s));
    memcpy(edited, t, sizeof t);
    edited[N - 5] ^= 1;
    CHECK_INT(reads(s, edited, N), N);               /* inside the first question there is no border */
    CHECK(as_fresh(m, s));
    edited[N - 5] ^= 2;
    CHECK_INT(reads(s, edited, N), 5);               /* now there is: where that one ended to be the same as the first */
    CHECK(as_fresh(m, s));
    edited[40] ^= 1;
    CHECK_INT(reads(s, edited, N), N);               /* but not for so few tokens */
    edited[40] ^= 2;
    CHECK_INT(reads(s, edited, N), N);
    eng_session_free(s);
    eng_model_free(m);
}

/* Before the last message, whose beginning is a control token, there is a border too. */
static void last_message(void)
{
    eng_model *m = model_of("qwen3next");
    if (!m)
        return;
    eng_session *s = session_of(m, "64");
    int32_t t[N], control[4], n_control = 0;
    char err[Q_ERRLEN];
    eng_tokens c = { 0 };
    CHECK(eng_tokenize(m, "<|im_start|>", 12, true, &c, err) == 0);
    if (c.n == 1)
        control[n_control++] = c.id[0];
    eng_tokens_free(&c);
    CHECK_INT(n_control, 1);
    text(t, 0, N, 1);
    if (n_control) {
        t[N - 8] = control[0];
        CHECK_INT(reads(s, t, N), N);
        t[N - 3] ^= 1;                               /* another frame of the same message */
        CHECK_INT(reads(s, t, N), 8);
        CHECK(as_fresh(m, s));
    }
    eng_session_free(s);
    eng_model_free(m);
}

/* A conversation that is read anew has a border at each message: each is edited without reading what stands before it. */
static void every_message(void)
{
    enum { MESSAGES = 3, ENDED = 150 };
    static const int at[MESSAGES] = { 110, 222, 292 };
    eng_model *m = model_of("qwen3next");
    if (!m)
        return;
    eng_session *s = session_of(m, "64"), *none = session_of(m, "0");
    int32_t t[600], edited[600];
    char err[Q_ERRLEN];
    eng_tokens c = { 0 };
    CHECK(eng_tokenize(m, "<|im_start|><|im_end|>", 22, true, &c, err) == 0 && c.n == 2 && eng_token_end(m, c.id[1]) && eng_token_control(m, c.id[1]));
    text(t, 0, N, 1);
    t[ENDED] = c.n == 2 ? c.id[1] : 0;               /* what ends a message opens none */
    for (int i = 0; i < MESSAGES; i++)
        t[at[i]] = c.n ? c.id[0] : 0;
    eng_tokens_free(&c);
    CHECK_INT(reads(none, t, N), N);
    CHECK_INT(reads(s, t, N), N);
    CHECK(as_fresh(m, s));
    for (int i = MESSAGES - 1; i >= 0; i--) {
        memcpy(edited, t, sizeof t);
        edited[at[i] + 3] ^= 1;
        CHECK_INT(reads(s, edited, N), N - at[i]);
        CHECK(as_fresh(m, s));
        CHECK_INT(reads(none, edited, N), N);        /* without room none is kept */
    }
    CHECK_INT(reads(s, t, N), N - at[MESSAGES - 1]); /* and those of the former branch are there */
    CHECK(as_fresh(m, s));
    eng_session_free(s);
    eng_session_free(none);
    eng_model_free(m);
}

/* state.memory 0: no state but the one in use, and the same bytes. Then room for some: never more than that is kept. */
static void bounded(void)
{
    eng_model *m = model_of("qwen3next");
    if (!m)
        return;
    eng_session *s = session_of(m, "0");
    int32_t t[600];
    int count;
    uint64_t each, bytes;
    text(t, 0, N, 1);
    reads(s, t, N);
    answer(s, 5, 2);
    CHECK_INT(reads(s, t, N), N);
    CHECK(as_fresh(m, s));
    bytes = eng_cache_states(eng_session_cache(s), &count, &each);
    CHECK_MSG(count == 1 && bytes >= each && bytes <= 2 * each && each > 0, "%d states of %llu bytes", count, (unsigned long long)each);
    eng_session_free(s);
    s = session_of(m, "1");
    for (int i = 0; i < 200; i++) {
        text(t, 20, 40, 100 + i);
        reads(s, t, 40);
        CHECK((bytes = eng_cache_states(eng_session_cache(s), &count, &each)) <= 1 << 20);
    }
    CHECK_MSG(bytes > 1 << 19 && count > 3, "%d states take %llu of a MiB", count, (unsigned long long)bytes);
    eng_session_free(s);
    eng_model_free(m);
}

static void saved(void)
{
    eng_model *m = model_of("qwen3next");
    if (!m)
        return;
    eng_session *s = session_of(m, "64"), *l = session_of(m, "64");
    char err[Q_ERRLEN], *path = q_printf("%s/hybrid-%ld.state", getenv("BUILD") ? getenv("BUILD") : "build", (long)getpid());
    int32_t t[N];
    q_buf file = { 0 };
    text(t, 0, N, 1);
    reads(s, t, N);
    answer(s, 20, 2);
    CHECK_MSG(eng_state_save(s, path, "", 0, NULL, NULL, err) == 0, "%s", err);
    CHECK_MSG(eng_state_load(l, path, NULL, NULL, err) == 0, "%s", err);
    CHECK(as_fresh(m, l));
    answer(s, 3, 7);
    answer(l, 3, 7);
    CHECK(memcmp(eng_session_logits(s), eng_session_logits(l), sizeof(float) * (size_t)eng_model_info(m)->n_vocab) == 0);
    CHECK_INT(reads(l, t, N), 1);                    /* the border before the answer came along */
    CHECK(as_fresh(m, l));
    CHECK(q_read_file(path, &file, 1 << 24, err) == 0);
    uint32_t none = 0;                               /* one number of the last state that is none: refused, and nothing of it stays */
    memset(&none, 0xFF, sizeof none);
    eng_state look;
    CHECK(eng_state_look(path, &look, err) == 0);
    memcpy(file.p + look.bytes - 16, &none, sizeof none);
    CHECK(q_write_file_atomic(path, file.p, (size_t)look.bytes, err) == 0);
    eng_state_free(&look);
    CHECK_INT(eng_state_load(l, path, NULL, NULL, err), Q_FORMAT);
    CHECK_INT(reads(l, t, N), 1);
    CHECK(as_fresh(m, l));
    q_buf_free(&file);
    remove(path);
    free(path);
    eng_session_free(s);
    eng_session_free(l);
    eng_model_free(m);
}

/* Rows that are tried aside leave the timeline as it was; heads of recurrent layers cannot be masked, which is said. */
static void aside_and_masks(void)
{
    eng_model *m = model_of("qwen3next");
    if (!m)
        return;
    eng_session *s = session_of(m, "64");
    char err[Q_ERRLEN];
    int32_t t[N];
    text(t, 0, N, 1);
    reads(s, t, N);
    eng_row rows[3];
    for (int i = 0; i < 3; i++)
        rows[i] = (eng_row){ .session = s, .token = 5 + i, .want = ENG_WANT_LOGITS };
    CHECK(eng_cache_step(eng_session_cache(s), rows, 3, false, NULL, err) == 0);
    answer(s, 4, 2);
    CHECK(as_fresh(m, s));
    eng_config *c = eng_config_new(m);
    CHECK_INT(eng_config_set(c, "attention.heads_off", "0:1", err), Q_RANGE);
    CHECK_MSG(strstr(err, "recurrent"), "%s", err);
    CHECK(eng_config_set(c, "attention.heads_off", "2:1", err) == 0);
    eng_config_free(c);
    eng_session_free(s);
    eng_model_free(m);
}

/* The same bytes by every path that this processor has, for any number of threads. */
static void every_path(void)
{
    float *first = NULL;
    int n = 0;
    for (int i = 0; ker_cpu_path(i); i++) {
        CHECK_INT(ker_cpu_force(ker_cpu_path(i)), 0);
        eng_model *m = model_of("qwen35");
        if (!m)
            break;
        eng_session *s = session_of(m, "64");
        int32_t t[N];
        text(t, 0, N, 1);
        session_set_chunk(s, 512 >> i);
        reads(s, t, N);
        size_t bytes = sizeof(float) * (size_t)eng_model_info(m)->n_vocab;
        if (!first)
            first = memcpy(q_alloc(bytes), eng_session_logits(s), bytes);
        CHECK_MSG(memcmp(first, eng_session_logits(s), bytes) == 0, "%s: other bytes", ker_cpu_path(i));
        n++;
        eng_session_free(s);
        eng_model_free(m);
    }
    ker_cpu_force(NULL);
    CHECK(n >= 2);
    free(first);
}

/* A long text: an answer to it is made again without reading it again. */
static void long_text(void)
{
    bool large = getenv("QUORUM_LONG") != NULL;
    int n = large ? 38000 : 5000, rc;
    char err[Q_ERRLEN], size[16], *path = q_printf("%s/hybrid-%ld.gguf", getenv("BUILD") ? getenv("BUILD") : "build", (long)getpid());
    eng_model *m = NULL;
    eng_session *s = NULL;
    rc = large ? eng_synth("qwen35moe", "3.6-35b-a3b", "Q4_K_M", 8, 1, path, NULL, NULL, err) : eng_synth("qwen35moe", "smoke-delta", "Q4_K_M", 0, 1, path, NULL, NULL, err);
    if (!rc)
        rc = eng_model_open(path, NULL, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    if (!rc) {
        eng_config *c = eng_config_new(m);
        snprintf(size, sizeof size, "%d", n + 200);
        CHECK(eng_config_set(c, "context.length", size, err) == 0);
        rc = eng_session_new(m, c, &s, err);
        CHECK_MSG(rc == 0, "%s", rc ? err : "");
        eng_config_free(c);
    }
    if (!rc) {
        int32_t *t = q_alloc(sizeof *t * (size_t)n);
        text(t, 0, n, 1);
        reads(s, t, n);
        double read_s = eng_session_speed(s).prefill_s;
        answer(s, 16, 2);
        int again = reads(s, t, n);
        double again_s = eng_session_speed(s).prefill_s;
        t[n / 2] ^= 1;                               /* an edit inside goes back to a state on the way */
        int edited = reads(s, t, n);
        printf("# %d tokens in %.2f s; the answer anew: %d token in %.3f s; edited in the middle: %d tokens\n", n, read_s, again, again_s, edited);
        CHECK_INT(again, 1);
        CHECK(edited <= n - n / 2 + 2048 + ENG_STEP_ROWS && edited >= n - n / 2);
        CHECK(again_s < read_s / 20 && (!large || again_s < 1));
        free(t);
    }
    eng_session_free(s);
    eng_model_free(m);
    remove(path);
    free(path);
}

int main(void)
{
    RUN(borders);
    RUN(last_message);
    RUN(every_message);
    RUN(bounded);
    RUN(saved);
    RUN(aside_and_masks);
    RUN(every_path);
    RUN(long_text);
    return TEST_END();
}
