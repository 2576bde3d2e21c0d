/* tests/fuzz/state: saved timelines (engine/run/state.c). Half of the mutated files are sealed again, with the right hashes, as
 * somebody would who means it: what is refused is refused in a sentence and leaves the timeline as it was, what is taken can be
 * gone on from. */
#include "engine/run/session.h"
#include "tests/engine_util.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

enum { OWN = 20, KEPT = 70, HEAD = 224, HEAD_HASH = 216 };      /* tokens of the session's own and of the file; the head */
static char err[Q_ERRLEN];
static eng_model *model;
static eng_session *own;
static int32_t tokens[OWN];
static q_buf whole;

static bool one_sentence(const char *e) { return *e && !strchr(e, '\n') && strlen(e) < Q_ERRLEN && q_utf8_valid(e, strlen(e)); }

static bool ready_of(const char *name, const char *cells)
{
    char *path = util_model(name), *file = q_printf("/tmp/quorum-fuzz-%ld.state", (long)getpid());
    eng_open_opts o = {.n_threads = 1};
    int rc = eng_model_open(path, &o, &model, err);
    unlink(path);
    eng_config *c = rc ? NULL : eng_config_new(model);
    eng_session *s = NULL;
    int32_t t[KEPT];
    for (int i = 0; i < KEPT; i++) t[i] = (i * 7 + 3) % eng_model_info(model)->n_vocab;
    for (int i = 0; i < OWN; i++) tokens[i] = i + 1;
    bool good = c && eng_config_set(c, "context.length", "128", err) == 0 && eng_config_set(c, "kv.type", cells, err) == 0 && eng_session_new(model, c, &s, err) == 0 && eng_session_new(model, c, &own, err) == 0 &&
                eng_session_sync(s, t, KEPT, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_state_save(s, file, "{\"note\":1}", 10, NULL, NULL, err) == 0 &&
                q_read_file(file, &whole, 1 << 24, err) == 0;
    unlink(file);
    eng_session_free(s);
    eng_config_free(c);
    free(file);
    free(path);
    return good;
}

static bool ready(void) { return ready_of("qwen3moe", "f16"); }
static bool ready_eights(void) { return ready_of("qwen3moe", "q8_0"); }
static bool ready_fours(void) { return ready_of("qwen3moe", "q4_0"); }
static bool ready_latent(void) { return ready_of("deepseek2-lite", "q8_0"); }
static bool ready_hybrid(void) { return ready_of("qwen3next", "f16"); }

static void done(void)
{
    eng_session_free(own);
    eng_model_free(model);
    q_buf_free(&whole);
    own = NULL;
    model = NULL;
}

static void seed(fuzz_rng *r, q_buf *out)
{
    q_buf_add(out, whole.p, whole.len);
    (void)fuzz_below(r, 2);
}

static int32_t number(const char *p, size_t at)
{
    int32_t v;
    memcpy(&v, p + at, sizeof v);
    return v;
}

static uint32_t half(const char *p, size_t at)
{
    uint16_t v;
    memcpy(&v, p + at, sizeof v);
    return v;
}

/* The hashes of a file whose lengths its head gives: pieces as they are written. */
static void seal(char *p, size_t n)
{
    if (n < HEAD + 8) return;
    uint64_t h = q_hash64(p, HEAD_HASH, 1);
    memcpy(p + HEAD_HASH, &h, sizeof h);
    int32_t layers = number(p, 56), heads = number(p, 60), dim = number(p, 64), kv = (int16_t)half(p, 68), n_tokens = number(p, 76), cells = number(p, 80), logits = number(p, 84);
    if (layers < 1 || layers > 64 || heads < 1 || heads > 64 || dim < 1 || dim > 256 || kv < 0 || kv >= KER_KV_TYPES || n_tokens < 0 || n_tokens > 1 << 20 || cells < 0 || cells > 1 << 20) return;
    ker_model m = {.n_layer = layers, .n_kv_head = heads, .head_dim = dim, .latent.kv_rank = number(p, 212)};
    if (m.latent.kv_rank < 0 || m.latent.kv_rank > dim) return;
    size_t at = 0, piece[5] = {HEAD, (uint32_t)number(p, 88), (uint32_t)number(p, 92), (uint32_t)number(p, 96), 4 * (size_t)n_tokens};
    h = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 5 && !pass; i++) {
            if (piece[i] > n - at) return;
            h = q_hash64(p + at, piece[i], h);
            at += piece[i];
        }
        for (int c = 0; c < cells; c += 64) {
            int k = cells - c < 64 ? cells - c : 64;
            size_t len = pass ? (size_t)ker_cells_bytes(&m, (enum ker_kv_type)kv, k) : 16 * (size_t)k;
            if (len > n - at) return;
            h = q_hash64(p + at, len, h);
            at += len;
        }
        if (!pass && logits > 0) {
            if (4 * (size_t)logits > n - at) return;
            h = q_hash64(p + at, 4 * (size_t)logits, h);
            at += 4 * (size_t)logits;
        }
    }
    size_t states = half(p, 70), bytes = 4 * (size_t)(uint32_t)number(p, 100);      /* each behind its cells */
    for (size_t i = 0; i < 2 * states; i++) {
        size_t len = i & 1 ? bytes : sizeof(int64_t);
        if (len > n - at) return;
        h = q_hash64(p + at, len, h);
        at += len;
    }
    if (n - at == sizeof h) memcpy(p + at, &h, sizeof h);
}

static int run(const char *p, size_t n)
{
    int rc;
    if (eng_session_sync(own, tokens, OWN, ENG_CONTINUE, NULL, NULL, err)) return FUZZ_BROKEN("the own text is not taken any more: %s", err);
    char *copy = malloc(n + 1), path[64];
    memcpy(copy, p, n);
    if (q_hash64(p, n, 3) & 1) seal(copy, n);
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, copy, n) != (ssize_t)n) rc = FUZZ_BROKEN("cannot write a file in memory");
    else {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        eng_state look;
        err[0] = 0;
        if (eng_state_look(path, &look, err) < 0 && !one_sentence(err)) rc = FUZZ_BROKEN("looked at with \"%s\"", err);
        eng_state_free(&look);
        err[0] = 0;
        rc = eng_state_load(own, path, NULL, NULL, err);
        bool as_before = eng_session_length(own) == OWN && memcmp(eng_session_tokens(own), tokens, sizeof tokens) == 0;
        if (rc < 0) rc = !one_sentence(err) ? FUZZ_BROKEN("refused with \"%s\"", err) : !as_before ? FUZZ_BROKEN("refused, yet the timeline is another one") : 0;
        else if (eng_session_length(own) > 128 || session_cells(own) > eng_session_length(own)) rc = FUZZ_BROKEN("%d tokens in a context of 128", eng_session_length(own));
        else {
            int pushed = eng_session_room(own) ? eng_session_push(own, 1, err) : 0;
            rc = pushed == 0 || pushed == Q_FORMAT ? 1 : FUZZ_BROKEN("taken, but not gone on from: %s", err);
        }
    }
    if (fd >= 0) close(fd);
    free(copy);
    return rc;
}
const fuzz_target fuzz_state = {"state", 1500, 30000, ready, seed, run, done, HEAD};
const fuzz_target fuzz_eights = {"eights", 300, 10000, ready_eights, seed, run, done, 0};
const fuzz_target fuzz_fours = {"fours", 300, 10000, ready_fours, seed, run, done, 0};
const fuzz_target fuzz_latent = {"latent", 300, 10000, ready_latent, seed, run, done, 0};
const fuzz_target fuzz_hybrid = {"hybrid", 600, 10000, ready_hybrid, seed, run, done, 0};
