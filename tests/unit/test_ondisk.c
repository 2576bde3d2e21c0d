/* Experts that are read when they are chosen (engine/run/ondisk.h): the same bytes as with all weights in memory, whatever the room, the
 * order in which slots are given up and the time that reads take; what happens when a read fails, is slow or meets another file. */
#include "engine/run/ondisk.h"
#include "engine/run/weights.h"
#include "tests/golden.h"
#include "tests/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

static const double GIB = 1024.0 * 1024 * 1024;
static char err[Q_ERRLEN];

static const uint64_t LEAST = UINT64_MAX;

static void weights_ram(uint64_t bytes)
{
    double gib = bytes == LEAST ? -1 : (double)bytes / GIB;
    CHECK_INT(eng_device_choose(&(eng_place){ .what = "cpu", .gpu_layers = -1, .weights_gib = gib }, err), 0);
}

/* bytes 0: no bound. */
static eng_model *open_within(const char *path, uint64_t bytes)
{
    eng_model *m = NULL;
    weights_ram(bytes);
    int rc = eng_model_open(path, NULL, &m, err);
    weights_ram(0);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    return m;
}

/* A budget of so many of 16 parts of what lies between the least and all; the least where a tiny model's slots take more than all of it. */
static uint64_t budget_of(const char *path, int sixteenths)
{
    eng_model *m = open_within(path, 0);
    ondisk_plan p;
    uint64_t all = 0;
    bool some = m && ondisk_plan_make(m, ONDISK_LEAST, &p, NULL);
    for (int i = 0; some && i < gguf_n_tensors(m->file); i++) all += gguf_tensor_at(m->file, i)->bytes;
    eng_model_free(m);
    return !some || !sixteenths || p.least + 1 >= all ? LEAST : p.least + 1 + (all - p.least - 2) * (uint64_t)sixteenths / 16;
}

/* How the file system reads: as it does; no more than so many bytes at a time; with O_DIRECT none but the first page. */
static atomic_int at_most;
static atomic_bool refuses;

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    ssize_t (*real)(int, void *, size_t, off_t);
    *(void **)&real = dlsym(RTLD_NEXT, "pread");
    int most = atomic_load(&at_most);
    bool direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
    if (direct && ((uintptr_t)to % READER_ALIGN || n % READER_ALIGN || at % READER_ALIGN || (at && atomic_load(&refuses)))) {
        errno = EINVAL;                                /* whatever this disk's own blocks are */
        return -1;
    }
    ssize_t got = real(fd, to, n, at);
    return most && got > most ? most : got;
}

static int slow(void *user, const read_job *j)
{
    struct timespec t = { 0, (long)(q_mix64((uint64_t)(uintptr_t)user, j->at) % 300000) };
    nanosleep(&t, NULL);
    return Q_OK;
}

static bool same(const golden_result *a, const golden_result *b)
{
    size_t cells = (size_t)a->n * (size_t)a->n_layer * (size_t)a->max_k;
    return a->max_k == b->max_k && memcmp(a->logits, b->logits, sizeof(float) * (size_t)a->n * (size_t)a->n_vocab) == 0
        && (!cells || (memcmp(a->ids, b->ids, sizeof *a->ids * cells) == 0 && memcmp(a->weights, b->weights, sizeof *a->weights * cells) == 0));
}

/* ---- the same bytes ---- */
static const char *arch_now;

static void golden_folder(const char *dir, const char *path)
{
    static const struct { int room, split; const char *threads; uint64_t lot; bool slow, guess, ahead; } way[] = {
        { 0, 0, "2", 0, false, true, true }, { 0, 1, "1", 7, true, false, true }, { 4, 7, "3", 0, true, true, true }, { 8, 1, "2", 99, false, true, true }, { 15, 0, "2", 0, false, true, true },
        { 3, 0, "2", 0, false, false, false },
    };
    eng_model *plain = open_within(path, 0);
    golden_set g;
    if (!plain) return;
    CHECK_INT(golden_open(dir, &g, err), 0);
    for (size_t w = 0; w < sizeof way / sizeof *way; w++) {
        eng_model *m = open_within(path, budget_of(path, way[w].room));
        eng_ondisk before, after;
        CHECK(m && eng_model_ondisk(m, &before));
        if (!m) break;
        ondisk_by_lot(m->on.ondisk, way[w].lot);
        ondisk_ahead(m->on.ondisk, way[w].ahead, way[w].guess);
        if (way[w].slow) reader_tap(ondisk_reader(m->on.ondisk), slow, (void *)(uintptr_t)(w + 1));
        for (int i = 0; i < g.n_case; i++) {
            golden_result want, got;
            CHECK_INT(golden_run_with(&g, plain, i, 0, NULL, &want, err), 0);
            int rc = golden_run_with(&g, m, i, way[w].split, way[w].threads, &got, err);
            CHECK_MSG(rc == 0, "%s", rc ? err : "");
            CHECK_MSG(!rc && same(&want, &got), "%s %s, room %d, in pieces of %d", dir, g.name[i], way[w].room, way[w].split);
            golden_result_free(&want);
            golden_result_free(&got);
        }
        eng_model_ondisk(m, &after);
        CHECK(after.asked > 0 && after.brought > 0 && after.bytes > 0 && after.brought >= after.guessed && after.guessed >= after.right);
        CHECK(way[w].guess || after.guessed == 0);
        eng_model_free(m);
    }
    golden_close(&g);
    eng_model_free(plain);
}

static void routed_goldens_are_the_same_bytes(void)
{
    char *dir = q_printf("tests/golden/engine/%s", arch_now), *path = util_model(arch_now);
    golden_folder(dir, path);
    remove(path);
    free(dir);
    free(path);
}

/* ---- reads that fail, hang or meet another file ---- */
typedef struct fault { atomic_int left /* reads until all fail */, hold, held, late; eng_session *s; } fault;

static int faulty(void *user, const read_job *j)
{
    fault *f = user;
    while (atomic_load(&f->hold)) {
        atomic_store(&f->held, 1);
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    return atomic_fetch_sub(&f->left, 1) <= 1 ? Q_IO : Q_OK;
}

enum { TEXT = 24 };
static int32_t text[TEXT];

/* Logits after the text, malloc'ed; NULL: rc says why. */
static float *after_text(eng_model *m, eng_session **keep, int *rc)
{
    eng_config *c = eng_config_new(m);
    eng_session *s = keep ? *keep : NULL;
    size_t bytes = sizeof(float) * (size_t)eng_model_info(m)->n_vocab;
    float *out = NULL;
    *rc = s ? 0 : eng_session_new(m, c, &s, err);
    if (!*rc) *rc = eng_session_sync(s, text, TEXT, ENG_CONTINUE, NULL, NULL, err);
    if (!*rc) memcpy(out = q_alloc(bytes), eng_session_logits(s), bytes);
    if (!keep) eng_session_free(s);
    else if (*keep != s) *keep = s;                                /* a thread that cancels reads it */
    eng_config_free(c);
    return out;
}

static char *model_path;
static float *expected;

static void alike(float *got)
{
    eng_model *m = open_within(model_path, 0);
    int rc;
    if (m && !expected) {
        for (int i = 0; i < TEXT; i++) text[i] = (int32_t)(q_mix64(5, (uint64_t)i) % (uint64_t)eng_model_info(m)->n_vocab);
        expected = after_text(m, NULL, &rc);
    }
    CHECK(m && (!got || (expected && memcmp(got, expected, sizeof *got * (size_t)eng_model_info(m)->n_vocab) == 0)));
    eng_model_free(m);
    free(got);
}

static void a_read_that_fails_ends_the_pass_and_the_next_one_reads_again(void)
{
    static const int at[] = { 1, 2, 3, 7, 12 };
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        eng_model *m = open_within(model_path, LEAST);
        eng_session *s = NULL;
        fault f = { .left = at[i] };
        int rc;
        if (!m) return;
        reader_tap(ondisk_reader(m->on.ondisk), faulty, &f);
        float *got = after_text(m, &s, &rc);
        CHECK_INT(rc, Q_IO);
        CHECK_MSG(strstr(err, "cannot read experts from") && strstr(err, model_path) && strstr(err, "ask again"), "%s", err);
        CHECK(!got);
        atomic_store(&f.left, 1 << 30);
        got = after_text(m, &s, &rc);
        CHECK_MSG(rc == 0, "%s", rc ? err : "");
        if (got) alike(got);
        eng_session_free(s);
        eng_model_free(m);
    }
}

static void *cancels(void *user)
{
    fault *f = user;
    while (!atomic_load(&f->held)) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    eng_session_cancel(f->s);
    for (int i = 0; i < 30000 && atomic_load(&f->hold); i++) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    if (atomic_exchange(&f->hold, 0)) atomic_store(&f->late, 1);           /* so that a failure is seen, not waited for */
    return NULL;
}

static void a_cancel_does_not_wait_for_a_read(void)
{
    eng_model *m = open_within(model_path, LEAST);
    fault f = { .hold = 1, .left = 1 << 30 };
    pthread_t t;
    int rc;
    if (!m) return;
    reader_tap(ondisk_reader(m->on.ondisk), faulty, &f);
    eng_config *c = eng_config_new(m);
    CHECK_INT(eng_session_new(m, c, &f.s, err), 0);
    CHECK_INT(pthread_create(&t, NULL, cancels, &f), 0);
    float *got = after_text(m, &f.s, &rc);
    CHECK_INT(rc, Q_CANCEL);
    CHECK(!got && !atomic_load(&f.late));
    atomic_store(&f.hold, 0);
    pthread_join(t, NULL);
    eng_session_uncancel(f.s);
    got = after_text(m, &f.s, &rc);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    if (got) alike(got);
    eng_session_free(f.s);
    eng_config_free(c);
    eng_model_free(m);
}

static void a_file_that_changes_is_not_read_on(void)
{
    char *path = util_model("qwen3moe"), *own = q_printf("%s-changed", path);
    CHECK_INT(rename(path, own), 0);
    eng_model *m = open_within(own, LEAST);
    int rc;
    if (m) {
        CHECK_INT(utimensat(AT_FDCWD, own, (struct timespec[2]){ { 1000, 0 }, { 1000, 0 } }, 0), 0);
        float *got = after_text(m, NULL, &rc);
        CHECK_INT(rc, Q_IO);
        CHECK_MSG(strstr(err, "was changed while it was in use") != NULL, "%s", err);
        free(got);
    }
    eng_model_free(m);
    remove(own);
    free(path);
    free(own);
}

/* ---- sessions ---- */
static void sessions_of_a_model_share_what_was_read(void)
{
    eng_model *plain = open_within(model_path, 0), *m = open_within(model_path, budget_of(model_path, 6)), *of[2] = { plain, m };
    eng_session *s[2][2] = { { NULL } };
    if (!plain || !m) return;
    size_t bytes = sizeof(float) * (size_t)eng_model_info(m)->n_vocab;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            eng_config *c = eng_config_new(of[i]);
            CHECK_INT(eng_session_new(of[i], c, &s[i][k], err), 0);
            eng_config_free(c);
        }
    for (int t = 0; t < 12; t++)
        for (int k = 0; k < 2; k++) {
            for (int i = 0; i < 2; i++) CHECK_INT(eng_session_push(s[i][k], text[(t * (k + 1)) % TEXT], err), 0);
            CHECK(memcmp(eng_session_logits(s[0][k]), eng_session_logits(s[1][k]), bytes) == 0);
        }
    eng_ondisk o;
    CHECK(eng_model_ondisk(m, &o) && o.asked == 24ULL * (uint64_t)eng_model_info(m)->n_moe_layer * (uint64_t)eng_model_info(m)->n_expert_used);
    eng_fetched a = eng_cache_fetched(eng_session_cache(s[1][0])), b = eng_cache_fetched(eng_session_cache(s[1][1]));
    CHECK_INT(a.asked + b.asked, o.asked);
    CHECK(a.fetched + b.fetched <= o.brought && a.bytes + b.bytes <= o.bytes && a.bytes > 0);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) eng_session_free(s[i][k]);
    eng_model_free(plain);
    eng_model_free(m);
}

/* Two timelines in one pass, each under settings of its own that change between tokens: few experts, all of them, banned, pinned and lighter ones. */
static void settings_change_between_tokens(void)
{
    static const struct { const char *name, *value; } set[] = {
        { "experts.k", "1" }, { "experts.k", "all" }, { "experts.ban", "0:1,1:3" }, { "experts.pin", "0:5" }, { "experts.k", "default" }, { "experts.min_p", "0.5" }, { "experts.ban", "none" }, { "experts.pin", "none" },
    };
    enum { N_SET = sizeof set / sizeof *set, STEPS = 24 };
    eng_model *of[2] = { open_within(model_path, 0), open_within(model_path, LEAST) };
    eng_cache *cache[2] = { NULL };
    eng_session *s[2][2] = { { NULL } };
    eng_config *c[2][2] = { { NULL } };
    static eng_out out[2];
    if (!of[0] || !of[1]) return;
    size_t bytes = sizeof(float) * (size_t)eng_model_info(of[0])->n_vocab;
    for (int i = 0; i < 2; i++) {
        c[i][0] = eng_config_new(of[i]);
        c[i][1] = eng_config_new(of[i]);
        CHECK_INT(eng_cache_new(of[i], c[i][0], 2, &cache[i], err), 0);
        for (int k = 0; k < 2; k++) CHECK_INT(eng_cache_session(cache[i], c[i][k], &s[i][k], err), 0);
    }
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < 2; i++) {
            const char *name = set[t % N_SET].name, *value = set[t % N_SET].value;
            char all[16];
            snprintf(all, sizeof all, "%d", of[i]->ker.n_expert);
            int rc = eng_config_set(c[i][t & 1], name, !strcmp(value, "all") ? all : value, err);
            CHECK_MSG(rc == 0, "%s=%s: %s", name, value, err);
            eng_row rows[2];
            for (int k = 0; k < 2; k++) rows[k] = (eng_row){ .session = s[i][k], .token = text[(t + 5 * k) % TEXT], .want = ENG_WANT_LOGITS, .config = c[i][k] };
            rc = eng_cache_step(cache[i], rows, 2, true, &out[i], err);
            CHECK_MSG(rc == 0, "step %d: %s", t, err);
            if (rc) return;
        }
        for (int k = 0; k < 2; k++) CHECK_MSG(memcmp(out[0].logits[k], out[1].logits[k], bytes) == 0, "step %d, timeline %d", t, k);
    }
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            eng_session_free(s[i][k]);
            eng_config_free(c[i][k]);
        }
        eng_cache_free(cache[i]);
        eng_model_free(of[i]);
    }
}

/* Passes of several threads at once, with reads that fail and passes that are cancelled: what is given is always the expert's. */
typedef struct passes { eng_model *m; const eng_model *plain; uint64_t seed; int bad, done, failed; } passes;

static bool is_expert(const passes *p, int layer, int e, const ker_expert *x)
{
    static const enum ker_role role[3] = { KER_W_GATE_EXPS, KER_W_UP_EXPS, KER_W_DOWN_EXPS };
    const void *got[3] = { x->gate, x->up, x->down };
    char why[Q_ERRLEN];
    for (int i = 0; i < 3; i++) {
        weight_view v;
        if (weight_find(p->plain, role[i], layer, &v, why)) return false;
        int64_t one = ker_row_bytes(v.type, v.ne[0]) * v.ne[1];
        if (memcmp(got[i], (const char *)v.data + e * (v.stride ? v.stride : one), (size_t)one) != 0) return false;
    }
    return true;
}

static int one_pass(passes *p, const ker_source *s, uint64_t *x, const atomic_int *cancel)
{
    int n_expert = p->m->ker.n_expert, layer, n = 0, rc = Q_OK, *ids = q_alloc(sizeof *ids * (size_t)n_expert);
    ker_expert *out = q_alloc(sizeof *out * (size_t)n_expert);
    do layer = (int)((*x = q_mix64(*x, 1)) % (uint64_t)p->m->ker.n_layer);
    while (!p->m->layers[layer].moe);
    uint64_t share = (*x = q_mix64(*x, 2)) % 7 + 1;
    for (int e = 0; e < n_expert; e++)
        if ((*x = q_mix64(*x, 3)) % 8 < share) ids[n++] = e;
    if (*x & 256 && n > 3) s->guess(s->user, layer, ids, 3);
    if (*x & 512) s->hint(s->user, layer, ids, n);
    for (int i = 0, most; i < n && !rc; i += most) {
        most = s->most(s->user, layer, n - i);
        ker_fetched count = { 0 };
        if ((rc = s->acquire(s->user, layer, ids + i, most, out, cancel, &count))) break;
        p->bad += count.asked != (uint64_t)most || count.fetched > (uint64_t)most;
        for (int k = 0; k < most; k++) p->bad += !is_expert(p, layer, ids[i + k], &out[k]);
        s->release(s->user, layer, ids + i, most);
    }
    free(ids);
    free(out);
    return rc;
}

static void *run_passes(void *user)
{
    passes *p = user;
    ker_source s = ondisk_source(p->m->on.ondisk);
    uint64_t x = p->seed;
    for (int i = 0; i < 150; i++) {
        atomic_int cancel = i % 13 == 12;
        int rc = one_pass(p, &s, &x, &cancel);
        p->bad += rc && rc != Q_IO && (rc != Q_CANCEL || !cancel);
        p->failed += rc == Q_IO;
        p->done += rc == Q_OK;
    }
    return NULL;
}

static int now_and_then(void *user, const read_job *j)
{
    slow((void *)(uintptr_t)3, j);
    return atomic_fetch_add((atomic_int *)user, 1) % 97 == 96 ? Q_IO : Q_OK;
}

static void passes_of_several_threads_get_what_they_ask_for(void)
{
    for (int round = 0; round < 3; round++) {
        atomic_int reads = 0;
        eng_model *plain = open_within(model_path, 0), *m = open_within(model_path, round ? budget_of(model_path, 8) : LEAST);
        passes p[3];
        pthread_t t[3];
        if (!m || !plain) return;
        reader_tap(ondisk_reader(m->on.ondisk), now_and_then, &reads);
        ondisk_by_lot(m->on.ondisk, round == 2 ? 11 : 0);
        for (int i = 0; i < 3; i++) {
            p[i] = (passes){ .m = m, .plain = plain, .seed = (uint64_t)(100 * round + i + 1) };
            CHECK_INT(pthread_create(&t[i], NULL, run_passes, &p[i]), 0);
        }
        for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(p[i].bad, 0);
            CHECK_MSG(p[i].done > 20 && p[i].failed > 0, "%d done, %d failed", p[i].done, p[i].failed);
        }
        eng_model_free(m);
        eng_model_free(plain);
    }
}

/* ---- the reader alone ---- */
typedef struct order { pthread_mutex_t mu; int n, id[8], rc[8]; char why[Q_ERRLEN]; atomic_int hold, held; } order;

static void in_order(void *user, read_job *j, int rc, const char *why)
{
    order *o = user;
    pthread_mutex_lock(&o->mu);
    o->id[o->n] = *(const int *)j->user;
    o->rc[o->n++] = rc;
    if (rc) snprintf(o->why, sizeof o->why, "%s", why);
    pthread_mutex_unlock(&o->mu);
}

static int holds(void *user, const read_job *j)
{
    order *o = user;
    atomic_store(&o->held, 1);
    while (atomic_load(&o->hold)) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    return Q_OK;
}

static int done_now(order *o)
{
    pthread_mutex_lock(&o->mu);
    int n = o->n;
    pthread_mutex_unlock(&o->mu);
    return n;
}

static void wait_for(order *o, int n)
{
    for (int i = 0; i < 30000 && done_now(o) < n; i++) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    CHECK_INT(done_now(o), n);
}

static void reads_bytes_at_odd_places(void)
{
    static const struct { uint64_t at; size_t bytes; } want[] = { { 0, 1 }, { 4095, 2 }, { 4096, 4096 }, { 17, 9000 }, { 8191, 1801 }, { 9983, 17 } };
    static const int id[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/reader-%ld", build ? build : "build", (long)getpid());
    uint8_t all[10000];
    order o = { .mu = PTHREAD_MUTEX_INITIALIZER };
    reader *r = NULL;
    for (size_t i = 0; i < sizeof all; i++) all[i] = (uint8_t)q_mix64(1, i);
    CHECK_INT(q_write_file_atomic(path, (const char *)all, sizeof all, err), 0);
    CHECK_INT(reader_new(&(reader_file){ path, 9999 }, 1, 2, in_order, &o, &r, err), Q_IO);
    CHECK_MSG(strstr(err, "changed while it was opened") != NULL, "%s", err);
    CHECK_INT(reader_new(&(reader_file){ path, 10000 }, 1, 2, in_order, &o, &r, err), 0);
    read_job job[8];
    for (int i = 0; i < 7; i++) {
        bool past = i == 6;
        job[i] = (read_job){ .at = past ? 9990 : want[i].at, .bytes = past ? 11 : want[i].bytes, .user = (void *)(uintptr_t)&id[i] };
        job[i].to = aligned_alloc(READER_ALIGN, reader_room(job[i].bytes));
        reader_put(r, &job[i], i % 2);
    }
    wait_for(&o, 7);
    for (int i = 0; i < 7; i++) {
        CHECK_INT(o.rc[i], o.id[i] == 6 ? Q_IO : Q_OK);
        CHECK_MSG(o.id[i] == 6 || memcmp(job[o.id[i]].to + job[o.id[i]].at % READER_ALIGN, all + job[o.id[i]].at, job[o.id[i]].bytes) == 0, "job %d", o.id[i]);
    }
    CHECK_MSG(strstr(o.why, "was cut short") != NULL, "%s", o.why);
    reader_free(r);
    char why[Q_ERRLEN];
    CHECK(reader_speed(&(reader_file){ path, 10000 }, 3, 1 << 20, why) > 0);
    for (int i = 0; i < 7; i++) free(job[i].to);
    remove(path);
    free(path);
}

/* What comes in pieces that end anywhere, or not at all past the cache, is read all the same. */
static void reads_what_comes_in_pieces(void)
{
    static const int most[4] = { 1000, 1, 5000, 0 };
    for (int way = 0; way < 4; way++) {
        atomic_store(&at_most, most[way]);
        atomic_store(&refuses, way == 3);
        reads_bytes_at_odd_places();
    }
    atomic_store(&at_most, 0);
    atomic_store(&refuses, false);
}

static void urgent_reads_come_first(void)
{
    static const int id[] = { 0, 1, 2, 3, 4 };
    order o = { .mu = PTHREAD_MUTEX_INITIALIZER, .hold = 1 };
    reader *r = NULL;
    struct stat st;
    CHECK_INT(stat(model_path, &st), 0);
    CHECK_INT(reader_new(&(reader_file){ model_path, (uint64_t)st.st_size }, 1, 1, in_order, &o, &r, err), 0);
    if (!r) return;
    reader_tap(r, holds, &o);
    read_job job[5];
    for (int i = 0; i < 5; i++) {
        job[i] = (read_job){ .at = 64, .bytes = 64, .to = aligned_alloc(READER_ALIGN, reader_room(64)), .user = (void *)(uintptr_t)&id[i] };
        reader_put(r, &job[i], i == 3);
        while (i == 0 && !atomic_load(&o.held)) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    reader_hurry(r, &job[2]);
    CHECK(reader_take_back(r, &job[4]) && !reader_take_back(r, &job[4]) && !reader_take_back(r, &job[0]));
    atomic_store(&o.hold, 0);
    wait_for(&o, 4);
    CHECK(o.id[0] == 0 && o.id[1] == 3 && o.id[2] == 2 && o.id[3] == 1);
    reader_free(r);
    for (int i = 0; i < 5; i++) free(job[i].to);
}

/* ---- what is refused ---- */
static void too_little_names_the_least(void)
{
    eng_model *m = NULL;
    weights_ram(1024);
    CHECK_INT(eng_model_open(model_path, NULL, &m, err), Q_NOMEM);
    weights_ram(0);
    const char *at = strstr(err, "needs at least ");
    CHECK_MSG(at != NULL, "%s", err);
    if (!at) return;
    double gib = strtod(at + strlen("needs at least "), NULL);
    CHECK_INT(eng_device_choose(&(eng_place){ .what = "cpu", .gpu_layers = -1, .weights_gib = gib }, err), 0);
    CHECK_INT(eng_model_open(model_path, NULL, &m, err), 0);
    weights_ram(0);
    eng_model_free(m);
    m = open_within(model_path, 1 << 30);                  /* all of it is within that */
    CHECK(m && !eng_model_ondisk(m, &(eng_ondisk){ 0 }));
    eng_model_free(m);
    char *dense = util_model("qwen2");
    weights_ram(1024);
    CHECK_INT(eng_model_open(dense, NULL, &m, err), Q_RANGE);
    CHECK_MSG(strstr(err, "nothing that could stay on the disk") != NULL, "%s", err);
    weights_ram(0);
    remove(dense);
    free(dense);
    CHECK_INT(eng_device_choose(&(eng_place){ .what = "cuda", .gpu_layers = -1, .weights_gib = 2 }, err), Q_RANGE);
    CHECK_MSG(strstr(err, "--device cuda") != NULL, "%s", err);
}

int main(void)
{
    static const char *const routed[] = { "qwen3moe", "olmoe", "mixtral", "granitemoe", "gpt-oss", "glm4moe", "glm4moe-full", "deepseek2", "deepseek2-lite", "qwen3next" };
    for (size_t i = 0; i < sizeof routed / sizeof *routed; i++) {
        arch_now = routed[i];
        printf("# %s\n", arch_now);
        RUN(routed_goldens_are_the_same_bytes);
    }
    char *unpacked = util_model("qwen3moe");
    model_path = q_printf("%s-kept", unpacked);
    CHECK_INT(rename(unpacked, model_path), 0);
    free(unpacked);
    alike(NULL);
    RUN(a_read_that_fails_ends_the_pass_and_the_next_one_reads_again);
    RUN(a_cancel_does_not_wait_for_a_read);
    RUN(a_file_that_changes_is_not_read_on);
    RUN(sessions_of_a_model_share_what_was_read);
    RUN(settings_change_between_tokens);
    RUN(passes_of_several_threads_get_what_they_ask_for);
    RUN(reads_bytes_at_odd_places);
    RUN(reads_what_comes_in_pieces);
    RUN(urgent_reads_come_first);
    RUN(too_little_names_the_least);
    remove(model_path);
    free(model_path);
    free(expected);
    return TEST_END();
}
