/* A context of the CUDA backend that has seen much beside one that was made a moment ago, on the emulator (build/libquorum-emu.so): batches
 * of any size of two sequences, knobs and adapters that change between them, caches that are replaced by others, rows read in the middle,
 * experts in three steps, a clock, batches that were given up, cancelled, refused or never ended. Byte for byte the same, so that nothing of
 * a kept graph or buffer is of another batch. Skipped without a C++ compiler. */
#include "tests/forward_low.h"
#include "tests/on_device.h"

enum { ROWS = 20, FEW = 8, PAGES = 6, SLOTS = 4, TEXT = 3 * KER_PAGE };

static const ker_backend *gpu;
static uint64_t drawn;
static int draw(int n)
{
    drawn = q_mix64(drawn, 1);
    return (int)(drawn >> 33) % n;
}

/* The two contexts and what both are given. */
typedef struct life {
    const model *m;
    ker_dev *d;
    ker_ctx *old;
    ker_kv *kv[2];
    atomic_int cancel;
    config set[SLOTS];
    adapter adapters[2];
    ker_adapt acts[SLOTS][2];
    int at[2];                         /* cells of the sequences */
    ker_batch batch;
    ker_seq seqs[2];
    int32_t token[ROWS], cell[ROWS];
    int16_t seq[ROWS], slot[ROWS];
    uint8_t want[ROWS];
    uint16_t forced[4 * ROWS * MAX_E];
} life;

static void caches_new(life *f)
{
    for (int i = 0; i < 2; i++) {
        gpu->kv_free(f->kv[i]);
        f->kv[i] = NULL;
        f->at[i] = 0;
    }
    enum ker_kv_type t = (enum ker_kv_type)draw(KER_KV_TYPES);
    for (int i = 0; i < 2; i++) CHECK_INT(gpu->kv_new(f->d, t, PAGES, &f->kv[i], err), 0);
}

static void knob(life *f)
{
    int i = draw(SLOTS), who = draw(2) ? 0 : draw(4);
    config_make(&f->set[i], f->m, &settings[draw(N_SETTING)]);
    if (who) act(&f->set[i], who & 1 ? &f->adapters[0] : NULL, who & 2 ? &f->adapters[1] : NULL, f->acts[i], draw(2));
    CHECK_MSG(!gpu->cfg_put(f->old, i, &f->set[i].c, err), "%s", err);
}

static void forced_make(life *f, int n)
{
    int all = f->m->m.n_expert;
    for (int i = 0; i < f->m->m.n_layer * n; i++) {
        int k = draw(4), first = draw(all);
        for (int j = 0; j < all; j++) f->forced[i * all + j] = j < k ? (uint16_t)((first + j) % all) : (uint16_t)KER_NO_EXPERT;
    }
}

/* Shapes come again and again, so that graphs do. at: cells behind it. Sequences that are full begin anew. */
static void batch_make(life *f, int at[2])
{
    static const int32_t page[2][3] = { { 4, 1, 2 }, { 0, 5, 3 } };
    int n = draw(2) ? 1 + draw(2) : draw(4) ? 1 + draw(FEW) : FEW + 1 + draw(ROWS - FEW), n_seq = 1 + draw(2), most = draw(SLOTS), wants = draw(3);
    for (int i = 0; i < 2; i++) {
        if (f->at[i] + n > TEXT) f->at[0] = f->at[1] = 0;
        f->seqs[i] = (ker_seq){ .page = page[i], .n_page = 3 };
    }
    memcpy(at, f->at, sizeof f->at);
    for (int i = 0; i < n; i++) {
        f->seq[i] = (int16_t)draw(n_seq);
        f->cell[i] = at[f->seq[i]]++;
        f->token[i] = draw(VOCAB);
        f->slot[i] = (int16_t)(draw(4) ? most : draw(SLOTS));
        f->want[i] = (uint8_t)(wants == 0 ? i == n - 1 : wants == 1 ? KER_WANT_LOGITS : draw(4));
    }
    forced_make(f, n);
    f->batch = (ker_batch){ .n = n, .token = f->token, .pos = f->cell, .cell = f->cell, .seq = f->seq, .slot = f->slot, .want = f->want, .seqs = f->seqs, .n_seq = n_seq,
                            .forced = draw(4) ? NULL : f->forced, .phase = n == 1 };
}

/* Layers up to `end`; look: rows are read in the middle; three: experts in three steps; cancel: in the second layer. */
static int parts(life *f, int end, bool look, bool three, bool cancel)
{
    const ker_model *m = &f->m->m;
    float *rows = malloc(sizeof *rows * (size_t)(ROWS * m->n_embd));
    int rc = gpu->embed(f->old);
    for (int l = 0; l < end && !rc; l++) {
        ker_moe moe;
        if (cancel && l == 1) atomic_store(&f->cancel, 1);
        rc = gpu->attn(f->old, l);
        if (!rc && look && draw(2)) rc = gpu->hidden_get(f->old, rows);
        if (rc) break;
        if (!m->layer[l].moe) rc = gpu->dense(f->old, l);
        else if ((rc = gpu->route(f->old, l))) break;
        else if (!three || draw(2)) rc = gpu->experts(f->old, l);
        else if (!(rc = gpu->moe_take(f->old, l, &moe)) && !(rc = gpu->moe_run(f->old, l, &moe))) rc = gpu->moe_add(f->old, l, &moe);
    }
    free(rows);
    return rc || end < m->n_layer ? rc : gpu->head(f->old);
}

/* The batch at hand comes to nothing. */
static void mishap(life *f)
{
    int16_t nowhere[ROWS];
    ker_batch bad = f->batch;
    ker_out o;
    int how = draw(4);
    for (int i = 0; i < ROWS; i++) nowhere[i] = 77;
    if (how == 0) {
        bad.slot = nowhere;
        CHECK_INT(gpu->begin(f->old, f->kv[0], &bad, err), Q_RANGE);
        if (draw(2)) return;
    } else {
        CHECK_INT(gpu->begin(f->old, f->kv[0], &bad, err), 0);
        int rc = parts(f, how == 1 ? f->m->m.n_layer : draw(f->m->m.n_layer), true, false, how == 1);
        CHECK_INT(rc, how == 1 ? Q_CANCEL : 0);
        if (how == 2) return;                      /* no end */
    }
    gpu->end(f->old, &o);
    atomic_store(&f->cancel, 0);
}

static bool same_bytes(const life *f, int step, const char *name, const void *a, const void *b, size_t n)
{
    bool alike = !memcmp(a, b, n);
    CHECK_MSG(alike, "%s, batch %d of %d rows: %s of the context that has seen much are others", f->m->s->name, step, f->batch.n, name);
    return alike;
}

static bool batch_runs(life *f, int step)
{
    size_t L = (size_t)f->m->m.n_layer * (size_t)f->batch.n, X = (size_t)f->m->m.n_expert, E = (size_t)f->m->m.n_embd;
    bool timed = draw(12) == 0, look = draw(4) == 0, three = f->batch.n > FEW && draw(3) == 0;     /* few rows' own sums are of another order */
    ker_time t[48];
    ker_ctx *c = NULL;
    ker_out a, b;
    if (timed) CHECK_INT(gpu->times(f->old, true, NULL, 0), 0);
    int rc = gpu->begin(f->old, f->kv[0], &f->batch, err);
    if (!rc) rc = parts(f, f->m->m.n_layer, look, three, false);
    if (!rc) rc = gpu->end(f->old, &a);
    if (timed) CHECK(gpu->times(f->old, false, t, 48) > 3);
    if (!rc) rc = gpu->ctx_new(f->d, ROWS, (int)X, NULL, &c, err);
    for (int i = 0; i < SLOTS && !rc; i++) rc = gpu->cfg_put(c, i, &f->set[i].c, err);
    if (!rc) rc = forward(c, f->kv[1], f->m, &f->batch, &b);
    CHECK_MSG(!rc, "%s, batch %d: %d %s", f->m->s->name, step, rc, err);
    bool alike = !rc && a.n_logits == b.n_logits && a.n_hidden == b.n_hidden && same_bytes(f, step, "ids", a.ids, b.ids, 2 * L * X)
              && same_bytes(f, step, "weights", a.weights, b.weights, 4 * L * X) && same_bytes(f, step, "margins", a.margin, b.margin, 4 * L)
              && same_bytes(f, step, "hidden rows", a.hidden, b.hidden, 4 * (size_t)a.n_hidden * E)
              && same_bytes(f, step, "logits", a.logits, b.logits, 4 * (size_t)a.n_logits * VOCAB);
    gpu->ctx_free(c);
    return alike;
}

static void a_life(const char *name, int steps)
{
    life *f = calloc(1, sizeof *f);
    model *m = model_new(&specs[spec_named(name)]);
    int n = 0, at[2];
    f->m = m;
    backend = gpu;
    drawn = q_hash64(name, strlen(name), 1);
    atomic_init(&f->cancel, 0);
    adapter_make(&f->adapters[0], m, 11, 5, everything);
    adapter_make(&f->adapters[1], m, 12, 2, attention_alone);
    bool there = (f->d = dev_new(m, 1)) && !gpu->adapter_put(f->d, 0, f->adapters[0].low, f->adapters[0].n, err) && !gpu->adapter_put(f->d, 3, f->adapters[1].low, f->adapters[1].n, err)
              && !gpu->ctx_new(f->d, ROWS, m->m.n_expert, &f->cancel, &f->old, err);
    CHECK_MSG(there, "%s: %s", name, err);
    for (int i = 0; i < SLOTS && there; i++) {
        config_make(&f->set[i], m, &settings[i]);
        CHECK_INT(gpu->cfg_put(f->old, i, &f->set[i].c, err), 0);
    }
    for (bool alike = there; alike && n < steps; n++) {
        if (n % 20 == 0) caches_new(f);
        if (draw(3) == 0) knob(f);
        if (draw(20) == 0) CHECK_INT(gpu->adapter_put(f->d, 0, f->adapters[0].low, f->adapters[0].n, err), 0);
        batch_make(f, at);
        if (draw(6) == 0) mishap(f);
        alike = batch_runs(f, n);
        memcpy(f->at, at, sizeof at);
    }
    for (int i = 0; i < 2; i++) {
        gpu->kv_free(f->kv[i]);
        adapter_free(&f->adapters[i]);
    }
    gpu->ctx_free(f->old);
    if (f->d) gpu->close(f->d);
    model_free(m);
    free(f);
}

static void what_was_before_leaves_nothing(void)
{
    static const char *const names[] = { "q8", "norms, q8", "deepseek, q8", "qwen3moe", "q8bias", "groups2", "whole heads, q8", "carved" };
    bool all = getenv("QUORUM_LONG") != NULL;
    for (size_t i = 0; i < (all ? sizeof names / sizeof *names : test_brief() ? 1 : 4); i++) a_life(names[i], all ? 200 : i ? 20 : 60);
}

int main(void)
{
    if (!emulated(&gpu, NULL)) {
        SKIP("cuda_long_lived", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    RUN(what_was_before_leaves_nothing);
    return TEST_END();
}
