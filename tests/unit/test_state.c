/* A timeline in a file (engine/run/state.c): another model of the same file, opened anew, goes on from it byte for byte and
 * evaluates nothing again; what does not fit, is damaged, cut off or stopped is refused and leaves the timeline as it was.
 * Nothing here depends on time: what is evaluated is counted. */
#include "engine/run/session.h"
#include "tests/engine_util.h"
#include "tests/on_device.h"
#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { FIRST = 100, MORE = 23, NEXT = 30 };
static char dir[] = "/tmp/quorum-state-XXXXXX", err[Q_ERRLEN];

static char *in(const char *name)                /* valid until the third call after */
{
    static char path[3][128];
    static int at;
    at = (at + 1) % 3;
    snprintf(path[at], sizeof path[at], "%s/%s", dir, name);
    return path[at];
}

static eng_model *model_at(const char *path)
{
    eng_model *m = NULL;
    eng_open_opts o = { .n_threads = 1 };
    int rc = eng_model_open(path, &o, &m, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    return m;
}

static eng_model *model_of(const char *name)
{
    char *path = util_model(name);
    eng_model *m = model_at(path);
    remove(path);
    free(path);
    return m;
}

static eng_config *config_of(const eng_model *m, const char *kv, const char *k)
{
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_set(c, "context.length", "200", err) == 0 && eng_config_set(c, "kv.type", kv, err) == 0 && eng_config_set(c, "experts.k", k, err) == 0);
    CHECK(eng_config_set(c, "sampler.temperature", "0.9", err) == 0 && eng_config_set(c, "sampler.seed", "7", err) == 0);
    return c;
}

static eng_session *session_of(eng_model *m, const eng_config *c)
{
    eng_session *s = NULL;
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0, "%s", err);
    return s;
}

static void text_of(const eng_model *m, int32_t *t, int n, unsigned from)
{
    for (int i = 0; i < n; i++)
        t[i] = (int32_t)((from = from * 1103515245 + 12345) >> 8) % eng_model_info(m)->n_vocab;
}

/* Tokens of two configurations and, where there are experts, one of forced routing. */
static void fill(eng_session *s, const char *k)
{
    eng_model *m = s->cache->m;
    int32_t t[FIRST + MORE];
    text_of(m, t, FIRST + MORE, 3);
    CHECK_MSG(eng_session_sync(s, t, FIRST, ENG_CONTINUE, NULL, NULL, err) == 0, "%s", err);
    eng_config *c = eng_config_copy(eng_session_get_config(s));
    CHECK(eng_config_set(c, "experts.k", k, err) == 0 && eng_session_config(s, c, ENG_CONTINUE, err) == 0);
    uint16_t forced[8 * 4] = { 0 };
    for (int l = 0; l < m->ker.n_layer && l < 8; l++)
        forced[l] = (uint16_t)(l % m->ker.n_expert);
    eng_row row = { .session = s, .token = t[FIRST], .want = ENG_WANT_LOGITS, .forced = forced, .forced_k = 1 };
    CHECK_MSG(eng_cache_step(s->cache, &row, 1, true, NULL, err) == 0, "%s", err);
    for (int i = 1; i < MORE; i++)
        CHECK(eng_session_push(s, t[FIRST + i], err) == 0);
    eng_config_free(c);
}

typedef struct went { int32_t token[NEXT]; float *logits; } went;

/* NEXT tokens by the configuration's sampler and seed. */
static went go_on(eng_session *s)
{
    size_t n = (size_t)eng_model_info(s->cache->m)->n_vocab;
    went w = { .logits = q_alloc(sizeof(float) * n * NEXT) };
    eng_sampler *p = eng_sampler_new(s->cache->m);
    eng_sampler_reset(p, eng_session_get_config(s));
    for (int i = 0; i < NEXT && eng_session_logits(s); i++) {
        memcpy(w.logits + n * (size_t)i, eng_session_logits(s), sizeof(float) * n);
        w.token[i] = eng_sample(p, eng_session_get_config(s), eng_session_logits(s)).token;
        eng_sampler_accept(p, w.token[i]);
        CHECK_MSG(eng_session_push(s, w.token[i], err) == 0, "%s", err);
    }
    eng_sampler_free(p);
    return w;
}

static bool same_went(const went *a, const went *b, const eng_model *m)
{
    return memcmp(a->token, b->token, sizeof a->token) == 0 && memcmp(a->logits, b->logits, sizeof(float) * (size_t)eng_model_info(m)->n_vocab * NEXT) == 0;
}

static bool same_made(const eng_session *a, const eng_session *b)
{
    bool same = a->line.n == b->line.n && a->n_tokens == b->n_tokens && memcmp(a->tokens, b->tokens, sizeof *a->tokens * (size_t)a->n_tokens) == 0;
    for (int i = 0; i < a->line.n && same; i++)
        same = kv_cell_chain(a->cache->pool, &a->line, i) == kv_cell_chain(b->cache->pool, &b->line, i) &&
               kv_cell_forced(a->cache->pool, &a->line, i) == kv_cell_forced(b->cache->pool, &b->line, i) &&
               kv_cell_config(a->cache->pool, &a->line, i) == kv_cell_config(b->cache->pool, &b->line, i);
    return same;
}

static int entries(void)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static int version_in(const char *name)
{
    uint8_t head[12] = { 0 };
    FILE *f = fopen(in(name), "rb");
    size_t got = f ? fread(head, 1, sizeof head, f) : 0;
    if (f) fclose(f);
    return got == sizeof head ? head[8] | head[9] << 8 | head[10] << 16 | head[11] << 24 : -1;
}

static void it_goes_on_as_if_nothing_had_been(void)
{
    static const char *const kinds[] = { "f16", "f32", "q8_0", "q4_0" }, *const names[] = { "qwen3moe", "deepseek2", "glm4moe" };     /* K and V; latents; K with a bias */
    for (int i = 0; i < 12; i++) {
        const char *kind = kinds[i % 4], *name = names[i / 4];
        bool blocks = i % 4 >= 2;
        eng_model *m = model_of(name), *n = model_of(name);
        eng_config *c = config_of(m, kind, "3"), *d = config_of(n, kind, "2");
        eng_session *s = session_of(m, c), *t = session_of(n, d);
        fill(s, "2");
        uint64_t bytes = eng_state_bytes(s, 5);
        CHECK(eng_session_cut(s, FIRST + MORE - 1, err) == 0);
        uint64_t less = eng_state_bytes(s, 5) + 4 * (uint64_t)eng_model_info(m)->n_vocab;      /* logits go with the last token */
        CHECK_INT(bytes - less, sizeof(int32_t) + 2 * sizeof(uint64_t) + (uint64_t)ker_cells_bytes(&s->cache->m->ker, s->cache->type, 1));     /* no byte that is no cell's */
        eng_session_free(s);
        s = session_of(m, c);
        fill(s, "2");
        CHECK_MSG(eng_state_save(s, in("one"), "hello", 5, NULL, NULL, err) == 0, "%s", err);
        struct stat st;
        CHECK(stat(in("one"), &st) == 0 && (uint64_t)st.st_size == bytes && (st.st_mode & 0777) == 0600);
        CHECK_INT(version_in("one"), i >= 8 ? blocks ? 4 : 1 : i >= 4 ? 3 : strcmp(kind, "q4_0") ? 1 : 2);      /* what programs before this type can read, they may */
        CHECK(mkfifo(in("pipe"), 0600) == 0 && eng_state_save(s, in("pipe"), "", 0, NULL, NULL, err) == Q_RANGE && strstr(err, "no ordinary file"));
        CHECK(stat(in("pipe"), &st) == 0 && S_ISFIFO(st.st_mode) && unlink(in("pipe")) == 0);
        CHECK_MSG(eng_state_load(t, in("one"), NULL, NULL, err) == 0, "%s", err);
        CHECK_INT(eng_session_length(t), FIRST + MORE);
        CHECK(same_made(s, t));
        CHECK_INT(eng_trace_end(t), 0);              /* not a position was evaluated */
        eng_mix mix[4];
        CHECK_INT(eng_session_runs(t, mix, 4), 2);
        went w = go_on(s), x = go_on(t);
        CHECK_MSG(same_went(&w, &x, m), "cells of %s, %s: other tokens or logits after loading", name, kind);
        CHECK_INT(eng_trace_end(t), NEXT);           /* nor was one but those */
        CHECK(same_made(s, t));
        free(w.logits);
        free(x.logits);
        eng_state look;
        CHECK(eng_state_look(in("one"), &look, err) == 0 && look.tokens == FIRST + MORE && look.cells == look.tokens && look.bytes == bytes);
        CHECK_STR(look.note, "hello");
        CHECK_STR(look.name, eng_model_info(m)->name);
        CHECK_STR(look.device, "cpu");
        CHECK(look.model == eng_model_info(m)->id && look.config == eng_config_hash(d));
        eng_state_free(&look);
        eng_session_free(s);
        eng_session_free(t);
        eng_config_free(c);
        eng_config_free(d);
        eng_model_free(m);
        eng_model_free(n);
    }
    unlink(in("one"));
}

/* The same on the emulated GPU, and not from one kind of device to another: their numbers are not the same. */
static const ker_backend *gpu;
static void on_a_gpu_it_goes_on_too(void)
{
    eng_model *m = model_of("qwen3moe"), *n = model_of("qwen3moe");
    const char *names[2] = { "cuda:0 emulated", "cuda:1 emulated" };
    for (int i = 0; i < 2; i++) {
        eng_model *one = i ? n : m;
        CHECK_MSG(on_device(one, gpu, 0, err) == 0, "%s", err);
        free(one->on.name);
        one->on.name = q_strdup(names[i]);
    }
    eng_config *c = config_of(m, "f16", "3"), *d = config_of(n, "f16", "2");
    eng_session *s = session_of(m, c), *t = session_of(n, d);
    fill(s, "2");
    CHECK_MSG(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0 && eng_state_load(t, in("one"), NULL, NULL, err) == 0, "%s", err);
    CHECK(same_made(s, t) && eng_trace_end(t) == 0);
    went w = go_on(s), x = go_on(t);
    CHECK(same_went(&w, &x, m));
    CHECK_INT(eng_trace_end(t), NEXT);
    free(n->on.name);
    n->on.name = q_strdup("cpu");
    CHECK_INT(eng_state_load(t, in("one"), NULL, NULL, err), Q_RANGE);
    CHECK_MSG(strstr(err, "another device (cuda emulated)"), "%s", err);
    free(w.logits);
    free(x.logits);
    eng_session_free(s);
    eng_session_free(t);
    eng_config_free(c);
    eng_config_free(d);
    eng_model_free(m);
    eng_model_free(n);
    unlink(in("one"));
}

/* A page's other cells were somebody else's: they are in no file. */
static void nothing_of_another_text_is_saved(void)
{
    eng_model *m = model_of("qwen3moe");
    eng_config *c = config_of(m, "f16", "2");
    q_buf file[2] = { { 0 }, { 0 } };
    int32_t other[150], text[70];
    text_of(m, other, 150, 99);
    text_of(m, text, 70, 5);
    for (int i = 0; i < 2; i++) {
        eng_session *s = session_of(m, c);
        if (i) {
            CHECK(eng_session_sync(s, other, 150, ENG_CONTINUE, NULL, NULL, err) == 0);
            kv_discard(s->cache->pool, &s->line);    /* the next text is written over its pages */
            s->n_tokens = 0;
        }
        CHECK(eng_session_sync(s, text, 70, ENG_CONTINUE, NULL, NULL, err) == 0);
        CHECK(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0 && q_read_file(in("one"), &file[i], 1 << 24, err) == 0);
        eng_session_free(s);
    }
    CHECK(file[0].len == file[1].len && memcmp(file[0].p, file[1].p, file[0].len) == 0);
    for (int i = 0; i < 2; i++)
        q_buf_free(&file[i]);
    unlink(in("one"));
    eng_config_free(c);
    eng_model_free(m);
}

/* What a refusal must leave: text, cells and the very next logits. */
typedef struct before { eng_session *s; int32_t *tokens; int n, cells; float *logits; } before;

static before remember(eng_session *s)
{
    size_t n = sizeof(float) * (size_t)eng_model_info(s->cache->m)->n_vocab;
    before b = { s, q_alloc(sizeof(int32_t) * (size_t)s->n_tokens), s->n_tokens, s->line.n, q_alloc(n) };
    memcpy(b.tokens, s->tokens, sizeof(int32_t) * (size_t)s->n_tokens);
    memcpy(b.logits, eng_session_logits(s), n);
    return b;
}

static bool as_before(const before *b)
{
    const float *now = eng_session_logits(b->s);
    return b->s->n_tokens == b->n && b->s->line.n == b->cells && memcmp(b->s->tokens, b->tokens, sizeof(int32_t) * (size_t)b->n) == 0 && now &&
           memcmp(now, b->logits, sizeof(float) * (size_t)eng_model_info(b->s->cache->m)->n_vocab) == 0;
}

static void forget(before *b)
{
    free(b->tokens);
    free(b->logits);
}

static bool sentence(const char *e) { return *e && !strchr(e, '\n') && q_utf8_valid(e, strlen(e)); }

static void refused(const before *b, const char *path, int code, const char *says)
{
    *err = 0;
    CHECK_INT(eng_state_load(b->s, path, NULL, NULL, err), code);
    CHECK_MSG(sentence(err) && strstr(err, says), "\"%s\" does not say \"%s\"", err, says);
    CHECK_MSG(as_before(b), "%s: the timeline is another one", says);
}

static void what_differs_is_said(void)
{
    static const struct { const char *knob, *value, *says; } other[] = {
        { "experts.k", "3", "(k 2)" }, { "kv.type", "f32", "kv f32" }, { "rope.theta", "500000", "theta 5e5" }, { "norm.eps", "0.01", "(k 2)" },
        { "context.length", "100", "123 tokens, the context 100" } };
    eng_model *m = model_of("qwen3moe");
    eng_config *c = config_of(m, "f16", "2");
    eng_session *s = session_of(m, c);
    fill(s, "2");
    CHECK(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0);
    int32_t t[40];
    text_of(m, t, 40, 77);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        eng_config *d = eng_config_copy(c);
        CHECK_MSG(eng_config_set(d, other[i].knob, other[i].value, err) == 0, "%s", err);
        eng_session *o = session_of(m, d);
        CHECK(eng_session_sync(o, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0);
        before b = remember(o);
        refused(&b, in("one"), Q_RANGE, other[i].says);
        forget(&b);
        eng_session_free(o);
        eng_config_free(d);
    }
    eng_session *o = session_of(m, c);
    CHECK(eng_session_sync(o, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0);
    before b = remember(o);
    refused(&b, in("none"), Q_NOTFOUND, "cannot open");
    refused(&b, dir, Q_FORMAT, "is no saved state");
    refused(&b, "LICENSE", Q_FORMAT, "is no saved state");
    CHECK_INT(eng_state_save(o, in("none/one"), "", 0, NULL, NULL, err), Q_IO);
    forget(&b);
    eng_session_free(o);
    o = session_of(m, c);
    CHECK_INT(eng_state_bytes(o, 0), 0);
    CHECK_INT(eng_state_save(o, in("two"), "", 0, NULL, NULL, err), Q_RANGE);
    CHECK_INT(entries(), 1);
    eng_session_free(o);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

/* Cells of blocks from before keys lay about a centre: the same scores would lack what these hold. The head is that of their version. */
static void keys_with_their_bias_are_not_gone_on_with(void)
{
    enum { VERSION_AT = 8, CENTRED = 208, HASH = 216 };        /* where the head has them */
    eng_model *m = model_of("glm4moe");
    for (int i = 0; i < 2; i++) {
        eng_config *c = config_of(m, i ? "q4_0" : "q8_0", "2");
        eng_session *s = session_of(m, c);
        q_buf file = { 0 };
        fill(s, "2");
        CHECK_MSG(eng_state_save(s, in("before"), "", 0, NULL, NULL, err) == 0 && q_read_file(in("before"), &file, 1 << 24, err) == 0, "%s", err);
        CHECK(file.p[VERSION_AT] == 4 && file.p[CENTRED] == 1);
        file.p[VERSION_AT] = (char)(1 + i);
        file.p[CENTRED] = 0;
        uint64_t h = q_hash64(file.p, HASH, 1);
        memcpy(file.p + HASH, &h, sizeof h);
        CHECK(q_write_file_atomic(in("before"), file.p, file.len, err) == 0);
        before b = remember(s);
        refused(&b, in("before"), Q_RANGE, i ? "when q4_0 cells still held the bias" : "when q8_0 cells still held the bias");
        forget(&b);
        q_buf_free(&file);
        unlink(in("before"));
        eng_session_free(s);
        eng_config_free(c);
    }
    eng_model_free(m);
}

/* Another architecture; the same header over other weights; another device. The file is that of the test before. */
static void another_model_is_another_one(void)
{
    char *path = util_model("qwen3moe");
    q_buf gguf = { 0 }, file = { 0 };
    CHECK(q_read_file(path, &gguf, 1 << 24, err) == 0 && q_read_file(in("one"), &file, 1 << 24, err) == 0);
    gguf.p[gguf.len - 1] ^= 4;
    CHECK(q_write_file_atomic(path, gguf.p, gguf.len, err) == 0);
    for (int i = 0; i < 2; i++) {
        eng_model *m = i ? model_of("glm4moe") : model_at(path);
        eng_config *c = config_of(m, "f16", "2");
        eng_session *s = session_of(m, c);
        int32_t t[40];
        text_of(m, t, 40, 77);
        CHECK(eng_session_sync(s, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0);
        before b = remember(s);
        refused(&b, in("one"), Q_RANGE, i ? "another model" : "another file of");
        forget(&b);
        eng_session_free(s);
        eng_config_free(c);
        eng_model_free(m);
    }
    enum { DEVICE = 104, HASH = 216 };           /* where the head has them */
    eng_model *m = model_of("qwen3moe");
    eng_config *c = config_of(m, "f16", "2");
    eng_session *s = session_of(m, c);
    fill(s, "2");
    before b = remember(s);
    memcpy(file.p + DEVICE, "gpu", 3);
    uint64_t h = q_hash64(file.p, HASH, 1);
    memcpy(file.p + HASH, &h, sizeof h);
    CHECK(q_write_file_atomic(in("one"), file.p, file.len, err) == 0);
    refused(&b, in("one"), Q_RANGE, "another device (gpu)");
    forget(&b);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    q_buf_free(&gguf);
    q_buf_free(&file);
    unlink(in("one"));
    remove(path);
    free(path);
}

/* Without waiting for the disk. */
static bool written(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    bool good = f && fwrite(p, 1, n, f) == n;
    return f && fclose(f) == 0 && good;
}

/* Cut off anywhere, a byte turned anywhere, a byte more. */
static void damage_is_seen(void)
{
    eng_model *m = model_of("qwen3moe");
    eng_config *c = config_of(m, "q8_0", "2");
    eng_session *s = session_of(m, c), *o = session_of(m, c);
    int32_t t[40];
    text_of(m, t, 40, 77);
    fill(s, "2");
    CHECK(eng_session_sync(o, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0 && eng_state_save(s, in("one"), "note", 4, NULL, NULL, err) == 0);
    before b = remember(o);
    q_buf file = { 0 };
    int taken = 0, tried = 0, blamed = 0;
    CHECK(q_read_file(in("one"), &file, 1 << 24, err) == 0);
    for (size_t at = 0; at < file.len; at += at < 300 ? 1 : 191) {
        file.p[at] ^= 0x10;
        for (int cut = 0; cut < 2; cut++) {
            CHECK(written(in("two"), file.p, cut ? at : file.len));
            *err = 0;
            taken += eng_state_load(o, in("two"), NULL, NULL, err) == 0 || !sentence(err) || !as_before(&b);
            blamed += strstr(err, "another version") && (cut || at < 8 || at >= 12);     /* nothing but the version itself tells of another */
            tried++;
        }
        file.p[at] ^= 0x10;
    }
    CHECK_INT(blamed, 0);
    CHECK_MSG(taken == 0 && tried > 500, "%d of %d damaged files were taken, or changed something", taken, tried);
    q_buf_putc(&file, 0);
    CHECK(q_write_file_atomic(in("two"), file.p, file.len, err) == 0);
    refused(&b, in("two"), Q_FORMAT, "damaged");
    CHECK_MSG(eng_state_load(o, in("one"), NULL, NULL, err) == 0, "%s", err);      /* and the whole one is */
    CHECK(same_made(s, o));
    forget(&b);
    q_buf_free(&file);
    unlink(in("one"));
    unlink(in("two"));
    eng_session_free(s);
    eng_session_free(o);
    eng_config_free(c);
    eng_model_free(m);
}

/* Other timelines hold all pages but one: the own cells make room, and when the file turns out bad at its very end, the text is
 * still there and evaluated anew. */
static void a_tight_cache_loses_no_text(void)
{
    eng_model *m = model_of("qwen3moe");
    eng_config *c = config_of(m, "f16", "2");
    eng_session *s = session_of(m, c), *o = NULL, *other[8] = { NULL };
    eng_cache *k = NULL;
    int32_t t[128];
    fill(s, "2");
    CHECK(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0);
    q_buf file = { 0 };
    CHECK(q_read_file(in("one"), &file, 1 << 24, err) == 0);
    file.p[file.len - 1] ^= 1;
    CHECK(q_write_file_atomic(in("two"), file.p, file.len, err) == 0);
    CHECK(eng_cache_new(m, c, 1, &k, err) == 0 && eng_cache_session(k, c, &o, err) == 0);
    text_of(m, t, 128, 77);
    CHECK(eng_session_sync(o, t, 120, ENG_CONTINUE, NULL, NULL, err) == 0);
    int n = 0, held = 0, shared, rc = 0;
    for (; n < 8 && !rc; n++) {
        t[0] = n;
        rc = eng_cache_session(k, c, &other[n], err);
        rc = rc ? rc : eng_session_sync(other[n], t, 128, ENG_CONTINUE, NULL, NULL, err);
    }
    CHECK_INT(rc, Q_NOMEM);
    eng_session_free(other[n - 1]);
    other[n - 1] = NULL;
    eng_cache_pages(k, &held, &shared);
    float *was = q_alloc(sizeof(float) * (size_t)eng_model_info(m)->n_vocab);
    memcpy(was, eng_session_logits(o), sizeof(float) * (size_t)eng_model_info(m)->n_vocab);
    CHECK_INT(eng_state_load(o, in("two"), NULL, NULL, err), Q_FORMAT);
    CHECK_INT(eng_session_length(o), 120);
    int32_t last = o->tokens[119];
    CHECK(eng_session_cut(o, 119, err) == 0 && eng_session_push(o, last, err) == 0);
    CHECK(memcmp(was, eng_session_logits(o), sizeof(float) * (size_t)eng_model_info(m)->n_vocab) == 0);
    CHECK_MSG(eng_state_load(o, in("one"), NULL, NULL, err) == 0, "%s", err);
    CHECK(same_made(s, o));
    free(was);
    eng_session_free(o);
    for (int i = 0; i < 8; i++)
        eng_session_free(other[i]);
    eng_cache_free(k);
    q_buf_free(&file);
    unlink(in("one"));
    unlink(in("two"));
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

/* A draft's states are let go when another text takes its place: else each load would keep some for the cache's life. */
static void drafts_leave_nothing(void)
{
    eng_model *m = model_of("qwen3next");
    eng_session *s = NULL;
    eng_config *c = eng_config_new(m);
    int32_t t[300];
    int first = 0, count = 0, pending = 0;
    uint64_t each;
    for (int i = 0; i < 300; i++) t[i] = 10 + i % 7;
    CHECK(eng_config_set(c, "context.length", "600", err) == 0 && eng_config_set(c, "draft", "ngram", err) == 0);
    CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_sync(s, t, 300, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK_MSG(eng_state_save(s, in("drafts"), "", 0, NULL, NULL, err) == 0, "%s", err);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 60 && s->ahead.n <= s->ahead.at; i++) CHECK(eng_session_push(s, 10 + eng_session_length(s) % 7, err) == 0);
        pending += s->ahead.n > s->ahead.at;
        CHECK_MSG(eng_state_load(s, in("drafts"), NULL, NULL, err) == 0, "%s", err);
        eng_cache_states(eng_session_cache(s), &count, &each);
        if (round == 1) first = count;
    }
    remove(in("drafts"));
    CHECK_INT(pending, 5);
    CHECK_MSG(count == first, "%d states after five loads, %d after two", count, first);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

typedef struct stopper { int at, seen; } stopper;
static bool stop_there(void *user, int done, int total)
{
    stopper *s = user;
    CHECK(done <= total && total == FIRST + MORE);
    return ++s->seen < s->at;
}

/* At the first page, at the last; on a disk that takes no more: what was saved before stays, nothing half stands beside it. */
static void half_a_state_is_none(void)
{
    eng_model *m = model_of("qwen3moe");
    eng_config *c = config_of(m, "f16", "2");
    eng_session *s = session_of(m, c), *o = session_of(m, c);
    q_buf first = { 0 }, now = { 0 };
    int32_t t[40];
    text_of(m, t, 40, 77);
    CHECK(eng_session_sync(o, t, 40, ENG_CONTINUE, NULL, NULL, err) == 0);
    CHECK(eng_state_save(o, in("one"), "", 0, NULL, NULL, err) == 0 && q_read_file(in("one"), &first, 1 << 24, err) == 0);
    fill(s, "2");
    for (int at = 1; at <= 2; at++) {
        stopper k = { at, 0 };
        CHECK_INT(eng_state_save(s, in("one"), "", 0, stop_there, &k, err), Q_CANCEL);
        CHECK(sentence(err) && k.seen == at);
    }
    struct rlimit was, low;
    CHECK(getrlimit(RLIMIT_FSIZE, &was) == 0);
    signal(SIGXFSZ, SIG_IGN);
    for (uint64_t room = 100; room < eng_state_bytes(s, 0); room += 9000) {
        low = was;
        low.rlim_cur = room;
        CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
        CHECK_INT(eng_state_save(s, in("one"), "", 0, NULL, NULL, err), Q_IO);
        CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
        CHECK_MSG(sentence(err) && strstr(err, "cannot write"), "%s", err);
    }
    CHECK_INT(entries(), 1);
    CHECK(q_read_file(in("one"), &now, 1 << 24, err) == 0 && now.len == first.len && memcmp(now.p, first.p, now.len) == 0);
    CHECK(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0);
    before b = remember(o);
    for (int at = 1; at <= 2; at++) {
        stopper k = { at, 0 };
        CHECK_INT(eng_state_load(o, in("one"), stop_there, &k, err), Q_CANCEL);
        CHECK(sentence(err) && as_before(&b));
    }
    forget(&b);
    q_buf_free(&first);
    q_buf_free(&now);
    unlink(in("one"));
    eng_session_free(s);
    eng_session_free(o);
    eng_config_free(c);
    eng_model_free(m);
}

static bool only_zeros(const char *path)
{
    q_buf b = { 0 };
    size_t other = 0;
    CHECK(q_read_file(path, &b, 1 << 24, err) == 0 && b.len > 1000);
    for (size_t i = 0; i < b.len; i++)
        other += b.p[i] != 0;
    q_buf_free(&b);
    return other == 0;
}

/* Seen through another name of the same file. */
static void what_is_replaced_or_erased_is_overwritten(void)
{
    eng_model *m = model_of("qwen3moe");
    eng_config *c = config_of(m, "f16", "2");
    eng_session *s = session_of(m, c);
    fill(s, "2");
    CHECK(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0 && link(in("one"), in("two")) == 0 && !only_zeros(in("two")));
    CHECK(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0 && only_zeros(in("two")) && !only_zeros(in("one")));
    unlink(in("two"));
    CHECK(link(in("one"), in("two")) == 0 && q_file_erase(in("one"), err) == 0);
    CHECK(access(in("one"), F_OK) != 0 && only_zeros(in("two")));
    unlink(in("two"));
    CHECK(q_file_erase(in("one"), err) == 0);        /* there is none: as wanted */
    CHECK(eng_state_save(s, in("one"), "", 0, NULL, NULL, err) == 0 && symlink(in("one"), in("two")) == 0);
    CHECK(q_file_erase(in("two"), err) == 0 && access(in("two"), F_OK) != 0 && !only_zeros(in("one")));
    unlink(in("one"));
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    RUN(it_goes_on_as_if_nothing_had_been);
    if (emulated(&gpu, NULL))
        RUN(on_a_gpu_it_goes_on_too);
    else
        SKIP("on_a_gpu_it_goes_on_too", "build/libquorum-emu.so is not built (it needs g++)");
    RUN(nothing_of_another_text_is_saved);
    RUN(what_differs_is_said);
    RUN(keys_with_their_bias_are_not_gone_on_with);
    RUN(another_model_is_another_one);
    RUN(damage_is_seen);
    RUN(a_tight_cache_loses_no_text);
    RUN(drafts_leave_nothing);
    RUN(half_a_state_is_none);
    RUN(what_is_replaced_or_erased_is_overwritten);
    CHECK_INT(entries(), 0);
    rmdir(dir);
    return TEST_END();
}
