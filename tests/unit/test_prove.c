/* A backend against the CPU (kernels/prove.c): one that is right is found right; each part that is made wrong is named, and
 * no other. What a doctor found of a GPU is kept and found again. Speed is measured on any backend. */
#include "engine/engine.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <unistd.h>

static char err[Q_ERRLEN];

/* ---- the CPU with one part spoiled ---- */
static enum { RIGHT, EMBED, ATTN, EXPERTS, DENSE, HEAD, FAILS } spoil;
static float room[256 * 4096];

static int spoiled(ker_ctx *c, int rc)
{
    if (!rc) rc = ker_cpu()->hidden_get(c, room);
    room[3] *= 1.1f;                   /* one number of the first row */
    return rc ? rc : ker_cpu()->hidden_put(c, room);
}
static int embed(ker_ctx *c) { return spoil == EMBED ? spoiled(c, ker_cpu()->embed(c)) : ker_cpu()->embed(c); }
static int attn(ker_ctx *c, int l) { return spoil == FAILS ? Q_ERR : spoil == ATTN ? spoiled(c, ker_cpu()->attn(c, l)) : ker_cpu()->attn(c, l); }
static int experts(ker_ctx *c, int l) { return spoil == EXPERTS ? spoiled(c, ker_cpu()->experts(c, l)) : ker_cpu()->experts(c, l); }
static int dense(ker_ctx *c, int l) { return spoil == DENSE ? spoiled(c, ker_cpu()->dense(c, l)) : ker_cpu()->dense(c, l); }
static int end(ker_ctx *c, ker_out *o)
{
    int rc = ker_cpu()->end(c, o);
    if (!rc && spoil == HEAD && o->n_logits) ((float *)(uintptr_t)o->logits)[1] += 1;
    return rc;
}

static ker_backend table(void)
{
    ker_backend b = *ker_cpu();
    b.name = "spoiled";
    b.embed = embed;
    b.attn = attn;
    b.experts = experts;
    b.dense = dense;
    b.end = end;
    return b;
}

typedef struct seen { const char *wrong[64]; int n_wrong, n; } seen;

static void on_row(void *user, const ker_proof *p)
{
    seen *s = user;
    s->n++;
    CHECK(p->ok == (p->off <= p->limit));
    if (p->ok || s->n_wrong == 64) return;
    for (int i = 0; i < s->n_wrong; i++) if (!strcmp(s->wrong[i], p->part)) return;
    s->wrong[s->n_wrong++] = p->part;
}

static void a_right_backend_is_right(void)
{
    seen s = { .n = 0 };
    spoil = RIGHT;
    ker_backend b = table();
    CHECK_INT(ker_prove(&b, 0, KER_PROVE_SMALL, on_row, &s, err), 0);
    CHECK(s.n > 500);
    int all = s.n;
    s.n = 0;
    CHECK_INT(ker_prove(&b, 0, KER_PROVE_FEW, on_row, &s, err), 0);
    CHECK(s.n > 50 && s.n < all / 2);
}

static void a_wrong_part_is_named(void)
{
    static const struct { int part; const char *name; } parts[] = {
        { EMBED, "embedding" }, { ATTN, "attention" }, { EXPERTS, "experts" }, { DENSE, "dense feed-forward" }, { HEAD, "output head" } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        seen s = { .n = 0 };
        bool named = false;
        spoil = parts[i].part;
        ker_backend b = table();
        CHECK(ker_prove(&b, 0, KER_PROVE_SMALL, on_row, &s, err) > 0);
        for (int j = 0; j < s.n_wrong; j++) {
            named = named || !strcmp(s.wrong[j], parts[i].name);
            bool follows = !strcmp(s.wrong[j], "greedy tokens") || !strncmp(s.wrong[j], "routing", 7);    /* of whole passes */
            CHECK_MSG(follows || !strcmp(s.wrong[j], parts[i].name), "%s is spoiled, %s is called wrong", parts[i].name, s.wrong[j]);
        }
        CHECK_MSG(named, "%s is spoiled and not named", parts[i].name);
    }
    spoil = FAILS;
    seen s = { .n = 0 };
    ker_backend b = table();
    CHECK_INT(ker_prove(&b, 0, KER_PROVE_SMALL, on_row, &s, err), Q_ERR);
    CHECK(strstr(err, "stopped in the middle of a pass") != NULL);
}

static void what_was_found_is_kept(void)
{
    char dir[] = "/tmp/quorum-test-XXXXXX";
    ker_device a = { .name = "a GPU", .driver = 13000 }, newer = { .name = "a GPU", .driver = 13010 };
    if (!mkdtemp(dir)) return;
    setenv("XDG_STATE_HOME", dir, 1);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_UNKNOWN);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_BAD, NULL, err), 0);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_BAD);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &newer), ENG_TRUST_UNKNOWN);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &newer, ENG_TRUST_GOOD, NULL, err), 0);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_GOOD, NULL, err), 0);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_GOOD);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &newer), ENG_TRUST_GOOD);
    /* Which products a library does is kept with it, device by device, and goes with a new verdict. */
    ker_ways ways = { { 0 } }, back;
    eng_gpu_ways(ker_cpu(), &a, &back);
    CHECK(!memcmp(&back, &ways, sizeof ways));
    ways.library[KER_Q4_K] = 0x1ff;
    ways.library[KER_BF16] = 0x0ba;
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_GOOD, &ways, err), 0);
    CHECK_INT(eng_gpu_trust(ker_cpu(), &a), ENG_TRUST_GOOD);
    eng_gpu_ways(ker_cpu(), &a, &back);
    CHECK(!memcmp(&back, &ways, sizeof ways));
    eng_gpu_ways(ker_cpu(), &newer, &back);
    CHECK_INT(back.library[KER_Q4_K], 0);
    CHECK_INT(eng_gpu_trust_put(ker_cpu(), &a, ENG_TRUST_GOOD, NULL, err), 0);
    eng_gpu_ways(ker_cpu(), &a, &back);
    CHECK_INT(back.library[KER_Q4_K], 0);
    char *file = q_printf("%s/quorum/gpu.checked", dir), *sub = q_printf("%s/quorum", dir);
    unlink(file);
    rmdir(sub);
    rmdir(dir);
    free(file);
    free(sub);
}

static void speed_is_measured(void)
{
    ker_speed s;
    CHECK_INT(ker_speed_measure(ker_cpu(), 0, 3, true, &s, err), 0);
    CHECK_INT(s.layers, 3);
    CHECK(s.token_s > 0 && s.layers_s > 0 && s.prompt_s > 0 && s.bytes_layer > 0 && s.bytes_head > 0);
    CHECK_INT(s.n_kernel, 0);          /* the CPU has no clock of kernels */
}

int main(void)
{
    RUN(a_right_backend_is_right);
    RUN(a_wrong_part_is_named);
    RUN(what_was_found_is_kept);
    RUN(speed_is_measured);
    return TEST_END();
}
