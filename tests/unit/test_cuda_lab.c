/* What the laboratory asks of a model on the emulated GPU: leaving out one expert (the guard), one position again under other
 * settings and masks, two settings compared. Each beside the same on the CPU; what is one number by two ways on the device too.
 * Skipped without a C++ compiler. */
#include "lab/parts.h"
#include "tests/engine_util.h"
#include "tests/on_device.h"
#include "tests/test.h"

#include <math.h>

enum { ROWS = 24, LINE = 90 };
static const ker_backend *gpu;
static const char *const archs[] = { "qwen3moe", "glm4moe" };
static char err[Q_ERRLEN];
static eng_model *cpu, *dev;
static int32_t token[LINE];

static bool models(const char *name)
{
    char *path = util_model(name);
    int rc = eng_model_open(path, &(eng_open_opts){ .n_threads = 2 }, &cpu, err) || eng_model_open(path, &(eng_open_opts){ .n_threads = 2 }, &dev, err) || on_device(dev, gpu, 0, err);
    CHECK_MSG(!rc, "%s: %s", name, err);
    for (int i = 0; !rc && i < LINE; i++) token[i] = (int32_t)((unsigned)(i + 1) * 2654435761u % (unsigned)eng_model_info(cpu)->n_vocab);
    remove(path);
    free(path);
    return !rc;
}

static void models_free(void)
{
    eng_model_free(cpu);
    eng_model_free(dev);
    cpu = dev = NULL;
}

static eng_config *setting(eng_model *m, const char *spec)
{
    q_buf said = { 0 };
    eng_config *c = eng_config_new(m);
    CHECK_MSG(!*spec || lab_spec(c, spec, &said, err) == 0, "%s: %s", spec, err);
    CHECK(eng_config_set(c, "context.length", "128", err) == 0);
    q_buf_free(&said);
    return c;
}

/* ---- the guard ---- */

typedef struct whole { int n, n_vocab; double sum; } whole;
static int one_row(void *user, int pos, const float *x, const uint16_t *ids, const float *weights, int max_k)
{
    (void)ids, (void)weights, (void)max_k;
    whole *w = user;
    double most = (double)x[0], all = 0;
    if (pos + 1 >= w->n) return 0;
    for (int i = 1; i < w->n_vocab; i++) most = fmax(most, (double)x[i]);
    for (int i = 0; i < w->n_vocab; i++) all += exp((double)x[i] - most);
    w->sum -= (double)x[token[pos + 1]] - most - log(all);
    return 0;
}

static double whole_loss(eng_model *m, const char *spec, int n)
{
    eng_config *c = setting(m, spec);
    eng_session *s = NULL;
    whole w = { n, eng_model_info(m)->n_vocab, 0 };
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0 && eng_session_eval(s, token, n, 0, NULL, 0, one_row, &w, err) == 0, "%s", err);
    eng_session_free(s);
    eng_config_free(c);
    return w.sum / (n - 1);
}

/* n rows: a batch that the fused launches take, or more. */
static void without_each(const char *name, const char *base, int n, double *most)
{
    eng_config *c[2] = { setting(cpu, base), setting(dev, base) };
    eng_probe *p[2] = { NULL, NULL };
    const eng_info *o = eng_model_info(cpu);
    CHECK_MSG(eng_probe_new(cpu, c[0], token, n, NULL, NULL, &p[0], err) == 0 && eng_probe_new(dev, c[1], token, n, NULL, NULL, &p[1], err) == 0, "%s", err);
    if (p[0] && p[1]) {
        double at_once = whole_loss(dev, base, n), loss[2];
        *most = fmax(*most, fabs(eng_probe_loss(p[0]) - eng_probe_loss(p[1])));
        CHECK_MSG(fabs(eng_probe_loss(p[1]) - at_once) < 1e-4, "%s %s: %.9g, evaluated as a whole %.9g", name, base, eng_probe_loss(p[1]), at_once);
        for (int i = 0; i < o->n_layer * o->n_expert; i++) {
            double a = (double)eng_probe_strength(p[0])[i], b = (double)eng_probe_strength(p[1])[i];
            CHECK_MSG(fabs(a - b) <= 1e-3 * (a + 1e-3), "%s %s: layer %d, expert %d has %g of what came in, on the device %g", name, base, i / o->n_expert, i % o->n_expert, a, b);
        }
        int differ = 0;
        for (int i = 0, step = getenv("QUORUM_LONG") ? 1 : test_brief() ? 15 : 5; i < o->n_moe_layer * o->n_expert && test_bad < 9; i += step) {
            int l = o->first_moe_layer + i / o->n_expert, e = i % o->n_expert;
            for (int d = 0; d < 2; d++) CHECK_MSG(eng_probe_without(p[d], l, e, &loss[d], err) == 0, "%s", err);
            CHECK_MSG(fabs(loss[0] - loss[1]) < 1e-4, "%s %s without L%de%d: %.9g, on the device %.9g", name, base, l, e, loss[0], loss[1]);
            *most = fmax(*most, fabs(loss[0] - loss[1]));
            differ += fabs(loss[1] - eng_probe_loss(p[1])) > 1e-3;
            if (i % 10 || *base) continue;
            char ban[32];
            snprintf(ban, sizeof ban, "experts.ban=%d:%d", l, e);
            at_once = whole_loss(dev, ban, n);
            CHECK_MSG(fabs(loss[1] - at_once) < 1e-4, "%s without L%de%d: %.9g, evaluated as a whole %.9g", name, l, e, loss[1], at_once);
        }
        CHECK_MSG(differ > 0, "no expert of %s makes a difference", name);
        for (int own = 0; own < 2; own++) {          /* several in a pass, in cells of their own */
            int expert[64], l = o->n_layer - 2;
            double many[2][64];
            for (int e = 0; e < o->n_expert; e++) expert[e] = e;
            for (int d = 0; d < 2; d++) CHECK_MSG(eng_probe_try(p[d], l, expert, o->n_expert, own, many[d], err) == 0, "%s", err);
            for (int e = 0; e < o->n_expert; e++)
                CHECK_MSG(fabs(many[0][e] - many[1][e]) < 1e-4, "%s %s without L%de%d, own %d: %.9g, on the device %.9g", name, base, l, e, own, many[0][e], many[1][e]);
        }
    }
    for (int d = 0; d < 2; d++) {
        eng_probe_free(p[d]);
        eng_config_free(c[d]);
    }
}

static void experts_left_out(void)
{
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        double most = 0;
        if (models(archs[a])) {
            if (!test_brief() || a == 0) without_each(archs[a], "", ROWS, &most);
            without_each(archs[a], "", 6, &most);
            if (!test_brief()) without_each(archs[a], "k=2,experts.ban=1:0,experts.min_p=0.2", ROWS, &most);
            printf("# %s: losses are at most %.2e nats from the CPU's\n", archs[a], most);
        }
        models_free();
    }
}

/* ---- what if ---- */

static void positions_again(void)
{
    static const char *const spec[] = { "k=1", "k=8", "ban=1:3,k=3", "bias=1:3=4", "pin=2:5", "experts.temperature=0.5", "norm.eps=0.01", "experts.min_p=0.5",
                                        "attention.heads_off=1:1", "ffn.width=24", "ffn.width=24:magnitude" };
    static const int at[] = { 64, LINE - 1 };
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        if (!models(archs[a])) continue;
        eng_model *of[2] = { cpu, dev };
        eng_config *now[2] = { setting(cpu, ""), setting(dev, "") };
        eng_session *s[2] = { NULL, NULL };
        double most = 0;
        int changed = 0;
        for (int d = 0; d < 2; d++) CHECK_MSG(eng_session_new(of[d], now[d], &s[d], err) == 0 && eng_session_sync(s[d], token, LINE, ENG_CONTINUE, NULL, NULL, err) == 0, "%s", err);
        for (size_t i = 0; i < sizeof spec / sizeof *spec && test_bad < 9; i++)
            for (size_t p = 0; p < sizeof at / sizeof *at && test_bad < 9; p++) {
                lab_whatif_result r[2] = { 0 };
                for (int d = 0; d < 2; d++) {
                    eng_config *b = setting(of[d], spec[i]);
                    CHECK_MSG(lab_whatif(s[d], at[p], now[d], b, &r[d], err) == 0, "%s at %d: %s", spec[i], at[p], err);
                    eng_config_free(b);
                }
                double off = fmax(fabs(r[0].kl - r[1].kl), fmax(fabs(r[0].p_follows[1] - r[1].p_follows[1]), fabs(r[0].entropy[1] - r[1].entropy[1])));
                most = fmax(most, off);
                changed += r[1].kl > 1e-5;
                CHECK_MSG(off < 5e-4 && r[0].n_layer == r[1].n_layer, "%s, %s at %d: KL %g, on the device %g; entropy %g and %g", archs[a], spec[i], at[p], r[0].kl, r[1].kl,
                          r[0].entropy[1], r[1].entropy[1]);
                for (int l = 0; l < r[0].n_layer && l < r[1].n_layer; l++)
                    CHECK_MSG(r[0].layer[l].same == r[1].layer[l].same && !memcmp(r[0].layer[l].id, r[1].layer[l].id, sizeof r[0].layer[l].id), "%s, %s at %d: other experts", archs[a], spec[i], at[p]);
                lab_whatif_free(&r[0]);
                lab_whatif_free(&r[1]);
            }
        CHECK_INT(eng_session_length(s[1]), LINE);
        CHECK_MSG(changed > (int)(sizeof spec / sizeof *spec), "only %d settings change anything", changed);
        printf("# %s: at most %.2e from the CPU's, %d of %zu change something\n", archs[a], most, changed, sizeof spec / sizeof *spec * sizeof at / sizeof *at);
        for (int d = 0; d < 2; d++) {
            eng_session_free(s[d]);
            eng_config_free(now[d]);
        }
        models_free();
    }
}

/* ---- two settings ---- */

static void settings_compared(void)
{
    static const char *const spec[] = { "k=2", "attention.heads_off=0:1", "" };
    if (models("qwen3moe"))
        for (size_t i = 0; i < sizeof spec / sizeof *spec; i++) {
            lab_compared r[2] = { 0 };
            eng_model *of[2] = { cpu, dev };
            for (int d = 0; d < 2; d++) {
                eng_config *a = setting(of[d], ""), *b = setting(of[d], spec[i]);
                CHECK_MSG(lab_compare(of[d], a, b, lab_baseline_text, 260, &(lab_terms){ .window = 64 }, &r[d], err) == 0, "%s: %s", spec[i], err);
                eng_config_free(a);
                eng_config_free(b);
            }
            CHECK_MSG(r[0].n == r[1].n && r[0].n > 60, "%d tokens and %d", r[0].n, r[1].n);
            CHECK_MSG(fabs(r[0].kl.mean - r[1].kl.mean) < 1e-4 && fabs(r[0].logp[1] - r[1].logp[1]) < 1e-4 && fabs(r[0].top1 - r[1].top1) < .02,
                      "%s: KL %g, on the device %g; log-probability %g and %g", spec[i], r[0].kl.mean, r[1].kl.mean, r[0].logp[1], r[1].logp[1]);
            for (int l = 0; l < r[0].n_layer; l++) CHECK_MSG(fabs(r[0].overlap[l] - r[1].overlap[l]) < .01, "%s: overlap %g and %g", spec[i], r[0].overlap[l], r[1].overlap[l]);
            CHECK_MSG(*spec[i] ? r[1].kl.mean > 1e-4 : fabs(r[1].kl.mean) < 1e-12, "\"%s\": KL %g", spec[i], r[1].kl.mean);
            lab_compared_free(&r[0]);
            lab_compared_free(&r[1]);
        }
    models_free();
}

int main(void)
{
    if (!emulated(&gpu, NULL)) {
        SKIP("cuda_lab", "build/libquorum-emu.so is not built (it needs g++)");
        return 0;
    }
    RUN(experts_left_out);
    RUN(positions_again);
    RUN(settings_compared);
    return TEST_END();
}
