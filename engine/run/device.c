/* engine/run/device: where a model's weights lie and who computes with them: the CPU, a GPU through the plugin, or both,
 * the routed experts of some layers staying with the CPU where the GPU's memory ends. See device.h and engine.h. */
#include "engine/run/device.h"
#include "engine/run/ondisk.h"
#include "engine/run/weights.h"
#include "engine/models.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double GIB = 1024.0 * 1024 * 1024;

/* Said once by main, before any model is opened. */
static struct { bool want, must; int index /* auto: of the GPU that was taken last */, layers; double budget, weights; enum eng_rest rest; } chosen = { .layers = -1 };

int eng_device_choose(const eng_place *w, char *err)
{
    const char *what = w->what, *none = w->named ? "QUORUM_DEVICE=cpu" : "--device cpu";
    bool is_auto = !strcmp(what, "auto"), cpu = !strcmp(what, "cpu"), cuda = !strncmp(what, "cuda", 4);
    char *end = NULL;
    long n = cuda && what[4] == ':' && isdigit((unsigned char)what[5]) ? strtol(what + 5, &end, 10) : 0;
    if (!(is_auto || cpu || (cuda && !what[4]) || (end && !*end && n >= 0 && n < 1024)))
        return q_fail(err, Q_RANGE, _("%s takes cpu, cuda, cuda:N or auto, not \"%s\""), w->named ? w->named : "--device", what);
    if (!(w->budget_gib >= 0)) return q_fail(err, Q_RANGE, _("--gpu-budget takes GiB of the GPU's memory, 0 for all that is free"));
    const char *there = w->gpu_layers >= 0 ? "--gpu-layers" : w->budget_gib > 0 ? "--gpu-budget" : w->rest == ENG_REST_FETCHED ? "--gpu-experts fetch" : NULL;
    if (w->weights_gib != 0 && (cuda || there))
        return q_fail(err, Q_RANGE, _("--weights-ram reads experts from the disk for the processor, not for a GPU: leave %s%s out"), cuda ? "--device " : there, cuda ? what : "");
    if (w->rest == ENG_REST_FETCHED && w->gpu_layers >= 0)
        return q_fail(err, Q_RANGE, _("--gpu-layers divides a model with the CPU, --gpu-experts fetch brings all of its experts to the GPU: take one of the two"));
    if (w->rest == ENG_REST_FETCHED && cpu)
        return q_fail(err, Q_RANGE, _("--gpu-experts fetch brings experts to a GPU, and with %s none is used: leave one of the two out"), none);
    if (cpu && there)
        return q_fail(err, Q_RANGE, _("%s says what lies on a GPU, and with %s none is used: leave one of the two out"), there, none);
    if (!(w->weights_gib <= 1e6)) return q_fail(err, Q_RANGE, _("--weights-ram takes GiB of memory for weights, such as 8 or 2.5, or least, not \"%g\"; without it all weights are in memory"), w->weights_gib);
    chosen.want = !cpu && w->weights_gib == 0;
    chosen.weights = w->weights_gib;
    chosen.must = cuda;
    chosen.index = (int)n;
    chosen.layers = w->gpu_layers;
    chosen.budget = w->budget_gib;
    chosen.rest = w->rest;
    return Q_OK;
}

int eng_device_index(void) { return chosen.index; }
double device_weights_gib(void) { return chosen.weights; }

/* The bound for m's weights: what was said at the start, or when it was opened; none where a GPU was asked for in any way. */
static double bound(const eng_model *m)
{
    bool gpu = chosen.must || chosen.layers >= 0 || chosen.budget > 0 || chosen.rest == ENG_REST_FETCHED;
    return chosen.weights != 0 || gpu ? chosen.weights : m->opened.weights_gib;
}

static const ker_backend *cuda;                                    /* the plugin, opened by the first model; engine thread */

static int plugin(const ker_backend **be, char *err)
{
    int rc = cuda ? Q_OK : ker_plugin_open(NULL, &cuda, err);
    *be = cuda;
    return rc;
}

static const uint64_t ROUNDED = 2u << 20;                             /* each is an allocation of its own, which the driver rounds up */

/* What of the weights must lie on the GPU with what the driver adds, and a layer's routed experts as in the file, in bytes; beside
 * them the type that the GPU does not compute with, if they are of one (else -1). */
typedef struct layer_experts { uint64_t bytes, stay; int strange; } layer_experts;       /* stay: of bytes, biases, which are not fetched */
static uint64_t weigh(const eng_model *m, const ker_backend *be, layer_experts *experts /* [n_layer] */)
{
    for (int l = 0; l < m->ker.n_layer; l++) experts[l].strange = -1;
    uint64_t rest = 0;
    for (int l = -1; l < m->ker.n_layer; l++)
        for (int r = 0; r < KER_W_ROLES; r++) {
            weight_view v;
            char err[Q_ERRLEN];
            if (weight_find(m, (enum ker_role)r, l, &v, err)) continue;
            uint64_t bytes = (uint64_t)(ker_row_bytes(v.type, v.ne[0]) * v.ne[1] * v.ne[2]);
            if (l < 0 || !ker_role_of_experts((enum ker_role)r)) {
                rest += bytes + ROUNDED;
                continue;
            }
            experts[l].bytes += bytes;
            if (ker_role_get((enum ker_role)r)->vec) {
                experts[l].stay += bytes + ROUNDED;
                continue;
            }
            if (be->takes && !be->takes(v.type)) experts[l].strange = v.type;
        }
    return rest;
}

/* Cells of 8,192 tokens or what the model knows, in F16, and a context's buffers (about; kernels/cuda/ctx.cu). */
static uint64_t beside(const ker_model *k, int n_ctx_train, int n_states)
{
    uint64_t cells = n_ctx_train > 0 && n_ctx_train < 8192 ? (uint64_t)n_ctx_train : 8192;
    uint64_t kv = cells * (uint64_t)ker_cell_layers(k) * (uint64_t)k->n_kv_head * (uint64_t)(ker_cell_k(k) + ker_cell_v(k)) * 2;
    uint64_t rows = ENG_STEP_ROWS, pairs = rows * 16;
    uint64_t buffers = rows * 4 * (uint64_t)(8 * k->n_embd + 4 * k->n_head * k->head_dim) + pairs * 6 * (uint64_t)(k->n_ff_exp + k->n_embd)
                     + 16 * 4 * (uint64_t)k->n_vocab + rows * (uint64_t)k->n_layer * (uint64_t)k->n_expert * 6;
    uint64_t states = (uint64_t)n_states * 4 * (uint64_t)ker_state_floats(k);
    const ker_delta *d = &k->delta;
    if (states) buffers += rows * 4 * (uint64_t)(4 * d->n_key * d->key_dim + 4 * d->n_value * d->value_dim + 2 * k->n_head * k->head_dim);
    return kv + buffers + states + (256u << 20);
}

typedef struct plan {
    bool *moved;                       /* [n_layer] routed experts are the CPU's                       */
    int n_moved, n_moe;
    uint64_t on_gpu, elsewhere;        /* bytes; of routed experts that do not lie there               */
    uint64_t cache;                    /* of on_gpu: slots of experts that are fetched; 0: none are    */
    int strange;                       /* a type of experts that the GPU does not compute with; -1: none is */
} plan;

/* Experts stay on the GPU from the first layer on while they fit and are of types that it computes with; false: not even the rest
 * fits. Where some are of another type none are fetched. */
static bool make_plan(const eng_model *m, const ker_backend *be, uint64_t have, plan *p)
{
    layer_experts *experts = q_alloc(sizeof *experts * (size_t)m->ker.n_layer);
    /* Recurrent layers: a text is read with two states; a few of those that state.memory keeps (as many as there is memory for: kv.c) come
     * before experts. */
    enum { LEAST = 2, KEPT = 6 };
    uint64_t least = weigh(m, be, experts) + beside(&m->ker, m->info.n_ctx_train, LEAST), used = least, more = KEPT * 4 * (uint64_t)ker_state_floats(&m->ker);
    uint64_t all = 0, largest = 0, stay = 0;
    p->moved = q_alloc((size_t)m->ker.n_layer);
    bool fits = used <= have;
    used += !fits ? 0 : used + more <= have ? more : have - used;
    p->on_gpu = used;
    p->strange = -1;
    for (int l = 0, kept = 0; l < m->ker.n_layer; l++) {
        if (!m->layers[l].moe) continue;
        uint64_t bytes = experts[l].bytes;
        p->n_moe++;
        all += bytes;
        stay += experts[l].stay;
        largest = bytes > largest ? bytes : largest;
        if (experts[l].strange >= 0) p->strange = experts[l].strange;
        if (experts[l].strange < 0 && p->on_gpu + bytes + 3 * ROUNDED <= have && (chosen.layers < 0 || kept < chosen.layers)) {
            p->on_gpu += bytes + 3 * ROUNDED;
            kept++;
        } else {
            p->moved[l] = true;
            p->n_moved++;
            p->elsewhere += bytes;
        }
    }
    free(experts);
    if (p->n_moved && chosen.rest == ENG_REST_FETCHED && p->strange < 0) {
        uint64_t one = largest / (uint64_t)m->ker.n_expert + 1, stages = 4 * one + 7 * ROUNDED;     /* on the way (kernels/cuda/cache.cu) */
        uint64_t few = stages + stay + (uint64_t)m->info.n_expert_used * one;
        fits = least + few <= have;
        used = fits && used + few > have ? have - few : used;
        p->on_gpu = used + stages + stay;
        p->cache = fits ? have - used - stages - stay : 0;
        p->on_gpu += fits ? p->cache : (uint64_t)m->info.n_expert_used * one;
        p->elsewhere = all;
    }
    return fits;
}

/* How the weights lie, in words: malloc'ed. A token is never faster than the CPU reads what is its own. */
static char *plan_words(const eng_model *m, const plan *p)
{
    char gpu[32], rest[32];
    q_bytes_words(p->elsewhere, rest);
    if (p->cache)
        return q_printf(_("room for %.0f%% of the routed experts on the GPU (%s of %s), which are brought there when they are asked for"),
                        100 * (double)p->cache / (double)p->elsewhere, q_bytes_words(p->cache, gpu), rest);
    double token = (double)p->elsewhere * m->info.n_expert_used / m->ker.n_expert, speed = token > 0 ? eng_read_bandwidth() / token : 0;
    char *how = q_printf(_("experts of %d of %d layers on the GPU (%s there), those of %d computed by the CPU (%s)"), p->n_moe - p->n_moved, p->n_moe,
                         q_bytes_words(p->on_gpu, gpu), p->n_moved, rest);
    if (p->strange >= 0) {
        char *why = q_printf(_("%s, since the GPU does not compute with experts of type %s yet"), how, ker_type_get(p->strange)->name);
        free(how);
        how = why;
    }
    if (!(speed > 0)) return how;
    char w[32], *whole = q_printf(_("%s: at most %.*f tokens/s, since the CPU reads %s for each"), how, speed < 10, speed, q_bytes_words((uint64_t)token, w));
    free(how);
    return whole;
}

/* Upwards, so that what is said is enough. */
static double gib_up(uint64_t bytes) { return ceil((double)bytes / GIB * 1000) / 1000; }

static void no_row(void *user, const ker_proof *p) { (void)user, (void)p; }

/* Before the first use under this plugin and driver a few parts are compared with the CPU, which takes memory and keeps some: what is
 * free is asked again. What cannot be kept is found anew. */
static int trusted(const ker_backend *be, ker_device *one, char *err)
{
    char why[Q_ERRLEN];
    ker_device now[16];
    enum eng_trust t = eng_gpu_trust(be, one);
    if (t == ENG_TRUST_UNKNOWN) {
        int wrong = ker_prove(be, chosen.index, KER_PROVE_FEW, no_row, NULL, err);
        if (wrong < 0) {
            snprintf(why, sizeof why, "%s", err);
            return q_fail(err, wrong, _("%s failed while it was compared with the CPU before its first use: %s"), one->name, why);
        }
        t = wrong ? ENG_TRUST_BAD : ENG_TRUST_GOOD;
        eng_gpu_trust_put(be, one, t, NULL, why);
        if (be->devices(now, 16, why) > chosen.index) one->free = now[chosen.index].free;
    }
    if (t == ENG_TRUST_GOOD) return Q_OK;
    return q_fail(err, Q_ERR, _("%s computes other numbers than the CPU under this plugin and driver (quorum doctor --gpu says which): update the driver, build the plugin anew, or use --device cpu"), one->name);
}

/* The first GPU that takes the whole model, else the one with most memory free: the others may be busy. Those that are too old are passed over
 * unless there are no others. */
static int index_for(const eng_model *m, const ker_backend *be, const ker_device *list, int n)
{
    int most = -1;
    for (int i = 0; i < n; i++) {
        plan p = { 0 };
        bool whole = list[i].major >= 8 && make_plan(m, be, list[i].free, &p) && !p.n_moved && !p.cache;
        free(p.moved);
        if (whole) return i;
        if (list[i].major >= 8 && (most < 0 || list[i].free > list[most].free)) most = i;
    }
    return most < 0 ? 0 : most;
}

static int open_gpu(eng_model *m, device *d, char *err)
{
    const ker_backend *be;
    ker_device list[16];
    int n = plugin(&be, err);
    if (n == Q_OK) n = be->devices(list, 16, err);
    if (n < 0) return n;
    if (!chosen.must) chosen.index = index_for(m, be, list, n < 16 ? n : 16);
    if (chosen.index >= n || chosen.index >= 16) return q_fail(err, Q_RANGE, _("there is no GPU %d here: the last one is GPU %d"), chosen.index, n - 1);
    ker_device *one = &list[chosen.index];
    if (!one->major) return q_fail(err, Q_ERR, _("GPU %d does not answer: use --device cpu"), chosen.index);
    if (!one->free) return q_fail(err, Q_NOMEM, _("%s lets nobody in: another program has it for itself, or it may not compute (nvidia-smi says which); end that, or use --device cpu"), one->name);
    int rc = trusted(be, one, err);
    if (rc) return rc;
    if (be->ways_put) {
        ker_ways ways;
        eng_gpu_ways(be, one, &ways);
        be->ways_put(chosen.index, &ways);
    }
    bool bounded = chosen.budget > 0 && chosen.budget * GIB < (double)one->free;
    uint64_t have = bounded ? (uint64_t)(chosen.budget * GIB) : one->free;
    plan p = { 0 };
    bool fits = make_plan(m, be, have, &p);
    d->outside = one->free - have;
    if (!fits && bounded)
        rc = q_fail(err, Q_NOMEM, _("--gpu-budget %g is too little: this model needs at least %.3f GiB of %s, which has %.3f free: give more, or use --device cpu"),
                    chosen.budget, gib_up(p.on_gpu), one->name, (double)one->free / GIB);
    else if (!fits)
        rc = q_fail(err, Q_NOMEM, _("%s has %.3f GiB of memory free, this model needs at least %.3f GiB there: free some, or use --device cpu"),
                    one->name, (double)have / GIB, gib_up(p.on_gpu));
    else if (p.n_moved && p.elsewhere > q_mem_available() && !q_in_memory(m->path))
        rc = q_fail(err, Q_NOMEM, _("%.1f GiB of this model's experts do not fit on the GPU, and %.1f GiB of the machine's memory are free: close something or take a smaller model"),
                    (double)p.elsewhere / GIB, (double)q_mem_available() / GIB);
    else if (p.n_moved == 0 || p.cache) {
        ker_hold hold = { .index = chosen.index, .cache_bytes = p.cache };
        d->be = be;
        d->note = p.cache ? plan_words(m, &p) : NULL;
        rc = be->open(&m->ker, m->n_threads, &hold, &d->dev, err);
    } else {
        d->be = ker_split();
        d->note = plan_words(m, &p);
        rc = ker_split_open(be, ker_cpu(), p.moved, chosen.index, &m->ker, m->n_threads, &d->dev, err);
    }
    free(p.moved);
    if (rc) return rc;
    d->name = q_printf("cuda:%d %s", chosen.index, one->name);
    return Q_OK;
}

/* Weights may take so much memory: routed experts beyond that are read when they are chosen. */
static int keep_on_disk(const eng_model *m, device *d, char *err)
{
    double gib = bound(m);
    uint64_t budget = gib < 0 ? ONDISK_LEAST : (uint64_t)(gib * GIB) + 1;       /* never ONDISK_LEAST by rounding */
    ondisk_plan p;
    char w1[32], w2[32];
    bool some = ondisk_plan_make(m, budget, &p, NULL);
    if (p.whole) return Q_OK;
    if (!some)
        return q_fail(err, Q_RANGE, _("--weights-ram: all of %s (%s) is needed for every token, and there is nothing that could stay on the disk: take a smaller quantisation, or leave --weights-ram out"),
                      m->info.name, q_bytes_words(p.rest, w1));
    if (!p.fits)
        return q_fail(err, Q_NOMEM, _("--weights-ram %g is too little for %s: it needs at least %.3f (%s for what every token uses, %s for the experts of one)"),
                      gib, m->info.name, gib_up(p.least), q_bytes_words(p.rest, w1), q_bytes_words(p.least - p.rest, w2));
    int rc = ondisk_new(m, budget, &d->ondisk, err);
    if (rc) return rc;
    ker_source s = ondisk_source(d->ondisk);
    d->note = q_printf(_("room for %.0f%% of the routed experts in memory (%s of %s); the others are read from the disk when they are chosen"),
                       100 * p.share, q_bytes_words(p.slots, w1), q_bytes_words(p.experts, w2));
    return d->be->source(d->dev, &s, err);
}

static int open_cpu(eng_model *m, device *d, char *err)
{
    d->be = ker_cpu();
    d->name = q_strdup("cpu");
    int rc = d->be->open(&m->ker, m->n_threads, NULL, &d->dev, err);
    return rc || bound(m) == 0 ? rc : keep_on_disk(m, d, err);
}

int device_open(eng_model *m, device *d, char *err)
{
    device_close(d);
    if (!chosen.want || bound(m) != 0) return open_cpu(m, d, err);
    int rc = open_gpu(m, d, err);
    if (!rc || chosen.must) return rc;
    return device_fall_back(m, d, rc, err);
}

/* A refusal without its last advice, which is to take the CPU: it is taken already. In every language that advice names the flag and ends
 * the sentence, behind a colon, a comma or the word between the last of several. */
static char *without_advice(const char *refusal)
{
    static const char flag[] = "--device cpu";
    const char *last = _(" or ");
    size_t n = strlen(refusal), word = strlen(last), end = n;
    if (n >= sizeof flag - 1 && !strcmp(refusal + n - (sizeof flag - 1), flag))
        for (size_t i = n; i > 1 && end == n; i--) {
            if (i >= word && !memcmp(refusal + i - word, last, word)) end = i - word;
            else if (refusal[i - 1] == ' ' && (refusal[i - 2] == ':' || refusal[i - 2] == ',')) end = i - 2;
        }
    while (end > 0 && end < n && refusal[end - 1] == ',') end--;
    return q_strndup(refusal, end);
}

int device_fall_back(eng_model *m, device *d, int rc, char *err)
{
    char *why = rc == Q_NOTFOUND ? NULL : without_advice(err);       /* no plugin or no GPU is no news */
    device_close(d);
    if (cuda && cuda->leave) cuda->leave();
    rc = open_cpu(m, d, err);
    d->note = why ? q_printf(_("the CPU computes: %s"), why)
              : chosen.rest == ENG_REST_FETCHED ? q_strdup(_("the CPU computes: --gpu-experts fetch brings experts to a GPU, and there is none here; quorum doctor --gpu says why"))
              : chosen.layers >= 0 || chosen.budget > 0
                  ? q_printf(_("the CPU computes: %s says what lies on a GPU, and there is none here; quorum doctor --gpu says why"), chosen.layers >= 0 ? "--gpu-layers" : "--gpu-budget")
                  : NULL;
    d->fell = d->note != NULL;
    free(why);
    return rc;
}

bool device_may_fall_back(const device *d) { return chosen.want && !chosen.must && d->be && d->be != ker_cpu(); }

void device_close(device *d)
{
    if (d->dev) d->be->close(d->dev);
    ondisk_free(d->ondisk);
    free(d->name);
    free(d->note);
    *d = (device){ 0 };
}
