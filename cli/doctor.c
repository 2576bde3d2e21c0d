/* cli/doctor: `quorum doctor --gpu`: whether a GPU computes what the CPU does, and how fast, as a report to paste. What it
 * finds is kept: a GPU that computes wrongly is not used. Opens no model; takes memory of the GPU while it runs.
 * `quorum doctor --hub`: which hub models are brought from, whether it answers, whether there is a token. Only that asks the network. */
#include "advice/pull.h"
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_command cli_doctor = { "doctor", N_(
    "quorum doctor --gpu [--device cuda:N] [--plugin FILE] [--quick] [--out FILE]\n"
    "    each part of the CUDA plugin against the CPU, then its speed: a report to paste. A GPU that computes wrongly is\n"
    "    not used from then on; --quick leaves large shapes out, --out writes the report into a file too\n"
    "quorum doctor --hub [--offline]\n"
    "    which hub models come from, whether it answers within 3 s (--offline: not asked), and whether there is a token for it"), cmd_doctor };

enum { PARTS = 24, KINDS = 24, WRONG_SHOWN = 12, LAYERS = 48, LAYERS_MEASURED = 8, WAYS = 256 };
static const double WORTH = .95;       /* of the own kernels' time: a library that takes less is taken */

typedef struct tally { const char *part; int n, wrong; double worst; } tally;
typedef struct visit {
    const ker_backend *b;
    ker_device dev;
    int index;
    bool quick;
    tally part[PARTS], kind[KINDS];    /* by part of a layer, and by kind of model                */
    int wrong;
    ker_ways ways;                     /* products that a library does faster                     */
    q_buf out, bad;                    /* the report; its lines of what is wrong */
} visit;

static void count(tally *list, int max, const char *name, const ker_proof *p)
{
    int i = 0;
    while (i < max - 1 && list[i].part && strcmp(list[i].part, name) != 0) i++;
    tally *t = &list[i];
    t->part = name;
    t->n++;
    t->worst = p->off > t->worst || p->off != p->off ? p->off : t->worst;
    t->wrong += !p->ok;
}

static void on_proof(void *user, const ker_proof *p)
{
    visit *v = user;
    count(v->part, PARTS, p->part, p);
    count(v->kind, KINDS, p->kind, p);
    if (p->ok) return;
    if (v->wrong++ < WRONG_SHOWN)
        q_buf_printf(&v->bad, _("  wrong: %s (%s, %d rows): off by %.2e, allowed %.0e\n"), _(p->part), p->model, p->rows, p->off, p->limit);
}

static void add_device(visit *v)
{
    const ker_device *d = &v->dev;
    const double gib = 1024.0 * 1024 * 1024;
    q_buf_printf(&v->out, _("quorum %s, backend %s, %s, processor %s\n"), QUORUM_VERSION, v->b->name, d->name, ker_cpu_features());
    if (d->driver)
        q_buf_printf(&v->out, _("compute capability %d.%d, %d multiprocessors, %.1f GiB (%.1f free), driver for CUDA %d.%d, plugin of CUDA %d.%d\n"), d->major, d->minor,
                     d->units, (double)d->bytes / gib, (double)d->free / gib, d->driver / 1000, d->driver % 1000 / 10, d->runtime / 1000, d->runtime % 1000 / 10);
}

static void add_tallies(visit *v, const tally *list, int max)
{
    for (int i = 0; i < max && list[i].part; i++)
        q_buf_say(&v->out, _("%-47s %3d of %d agree, %.1e\n"), _(list[i].part), list[i].n - list[i].wrong, list[i].n, list[i].worst);
}

static int add_proofs(visit *v, char *err)
{
    cli_progress p;
    cli_progress_start(&p, _("comparing the GPU with the CPU"));
    int rc = ker_prove(v->b, v->index, v->quick ? KER_PROVE_SMALL : KER_PROVE_LARGE, on_proof, v, err);
    cli_progress_end(&p, rc >= 0);
    if (v->part[0].part) q_buf_puts(&v->out, _("compared with the CPU, and how far off at most:\n"));
    add_tallies(v, v->part, PARTS);
    add_tallies(v, v->kind, KINDS);
    if (v->bad.len) q_buf_puts(&v->out, v->bad.p);
    if (v->wrong > WRONG_SHOWN) q_buf_printf(&v->out, _("  and %d more\n"), v->wrong - WRONG_SHOWN);
    return rc < 0 ? rc : 0;
}

static int by_time(const void *a, const void *b)
{
    const ker_time *x = a, *y = b;
    return (x->ms < y->ms) - (x->ms > y->ms);
}

static void add_kernels(visit *v, ker_speed *s)
{
    double sum = 0;
    int launches = 0;
    for (int i = 0; i < s->n_kernel; i++) {
        sum += s->kernel[i].ms;
        launches += s->kernel[i].n;
    }
    if (s->n_kernel < 1) return;
    qsort(s->kernel, (size_t)s->n_kernel, sizeof *s->kernel, by_time);
    q_buf_printf(&v->out, _("a decoded token is %d launches; time by kernel, one by one %.1f us in all:\n"), launches, sum * 1e3);
    for (int i = 0; i < s->n_kernel; i++)
        q_buf_printf(&v->out, "  %-28s %4d %9.1f us %5.1f%%\n", s->kernel[i].name, s->kernel[i].n, s->kernel[i].ms * 1e3, sum > 0 ? 100 * s->kernel[i].ms / sum : 0);
}

static int add_speed(visit *v, char *err)
{
    ker_speed s;
    cli_progress p;
    cli_progress_start(&p, _("measuring the speed"));
    int rc = ker_speed_measure(v->b, v->index, v->quick ? 2 : LAYERS_MEASURED, v->quick, &s, err);
    if (rc == Q_NOMEM) rc = ker_speed_measure(v->b, v->index, 2, v->quick, &s, err);
    cli_progress_end(&p, !rc);
    if (rc) return rc;
    double bytes = s.layers * s.bytes_layer + s.bytes_head, roof = ker_card_of(v->dev.name).bandwidth, whole = s.layers_s * LAYERS / s.layers + s.token_s - s.layers_s;
    q_buf_printf(&v->out, v->quick ? _("tiny shapes, %d layers: decode %.1f tokens/s, prompt %.1f tokens/s\n")
                                   : _("shapes of 30B-A3B, %d layers of random weights: decode %.1f tokens/s, prompt %.1f tokens/s\n"), s.layers, 1 / s.token_s, 1 / s.prompt_s);
    if (v->quick) return 0;
    char w1[32], w2[32];
    q_buf_printf(&v->out, _("%s a token: %s/s"), q_bytes_words((uint64_t)bytes, w1), q_bytes_brief((uint64_t)(bytes / s.token_s), w2));
    if (roof > 0) q_buf_printf(&v->out, _(", %.0f%% of the published %s/s (roofline %.0f tokens/s)"), 100 * bytes / s.token_s / roof, q_bytes_brief((uint64_t)roof, w1), roof / bytes);
    q_buf_printf(&v->out, _("\n48 layers, computed from these: decode %.0f tokens/s"), 1 / whole);
    if (roof > 0) q_buf_printf(&v->out, _(", roofline %.0f"), roof / (LAYERS * s.bytes_layer + s.bytes_head));
    q_buf_puts(&v->out, "\n");
    add_kernels(v, &s);
    return 0;
}

static void count_wrong(void *user, const ker_proof *p) { *(int *)user += !p->ok; }

static int bit_of(const ker_way *w) { return w->experts ? ker_way_experts(w->rows) : ker_way_of(w->n_out, w->rows); }

static void add_way(visit *v, const ker_way *w, bool library)
{
    char *shape = w->experts ? q_printf(_("%d experts of %d x %d, %d a row"), w->experts, w->n_out, w->n_in, w->k) : q_printf("%d x %d", w->n_out, w->n_in);
    q_buf_say(&v->out, "  %-8s %-36s %4d %9.1f %9.1f %s\n", ker_type_get(w->type)->name, shape, w->rows, w->own_s * 1e6, w->library_s * 1e6, library ? "cuBLAS" : "");
    free(shape);
}

/* What a whole run chose stays: tiny shapes say nothing about large ones. */
static void keep_chosen(visit *v)
{
    ker_ways before;
    eng_gpu_ways(v->b, &v->dev, &before);
    for (int t = 0; v->quick && t < KER_TYPE_LIMIT; t++)
        if (before.library[t]) {
            v->ways = before;
            q_buf_puts(&v->out, _("what is kept of an earlier run stays: --quick measures tiny shapes\n"));
            return;
        }
}

/* Both ways of a product, where there are two: each type and shape timed, then what the library is to do compared with the
 * CPU, everything by the library. One that computes wrongly does nothing; the own kernels are none the worse for it. */
static int add_ways(visit *v, char *err)
{
    static ker_way way[WAYS];
    cli_progress p;
    cli_progress_start(&p, _("timing products"));
    int n = v->b->ways_measure ? v->b->ways_measure(v->index, v->quick, way, WAYS, err) : 0, chosen = 0, wrong = 0;
    cli_progress_end(&p, n >= 0);
    if (n < 0) return n;
    if (!n) {
        if (v->b->ways_measure) q_buf_puts(&v->out, _("cuBLAS is not found here: the plugin's own kernels do all products\n"));
        keep_chosen(v);
        return 0;
    }
    q_buf_puts(&v->out, _("products, own kernels and cuBLAS, in us (type, outputs x inputs, rows):\n"));
    for (int i = 0; i < n; i++) {
        const ker_way *w = &way[i];
        int bit = bit_of(w);
        bool library = bit >= 0 && w->library_s < WORTH * w->own_s;
        if (library) v->ways.library[w->type] |= (uint16_t)(1u << bit);
        chosen += library;
        add_way(v, w, library);
    }
    if (chosen) {
        ker_ways all;
        memset(&all, 0xff, sizeof all);
        v->b->ways_put(v->index, &all);
        int rc = ker_prove(v->b, v->index, KER_PROVE_LIBRARY, count_wrong, &wrong, err);
        v->b->ways_put(v->index, NULL);
        if (rc < 0) return rc;
    }
    if (wrong) {
        v->ways = (ker_ways){ 0 };
        q_buf_printf(&v->out, _("%d comparisons of cuBLAS with the CPU failed: it is not used\n"), wrong);
    } else {
        q_buf_printf(&v->out, _("cuBLAS is used for %d of %d\n"), chosen, n);
        keep_chosen(v);
    }
    return 0;
}

/* The device is chosen by --device, which main has taken out of the arguments: QUORUM_DEVICE and it mean one number here. */
static int open_device(visit *v, const char *plugin, char *err)
{
    ker_device *all = q_alloc(sizeof *all * 64);
    int rc = ker_plugin_open(plugin, &v->b, err), n = rc ? rc : v->b->devices(all, 64, err);
    v->index = eng_device_index();
    if (n >= 0 && (v->index >= n || v->index >= 64)) n = q_fail(err, Q_RANGE, _("there is no GPU %d here: the last one is GPU %d"), v->index, n - 1);
    if (n >= 0) v->dev = all[v->index];
    free(all);
    return n < 0 ? n : 0;
}

static int examine(visit *v, const char *plugin, const char *file, char *err)
{
    char why[Q_ERRLEN];
    int rc = file ? cli_may_put(file, true, "report.md", err) : 0;        /* before minutes of measuring */
    if (!rc) rc = open_device(v, plugin, err);
    if (rc) return rc;
    add_device(v);
    rc = add_proofs(v, err);
    bool stopped = rc != 0;
    if (!rc && (rc = add_ways(v, err))) eng_gpu_ways(v->b, &v->dev, &v->ways);      /* measured or compared in part: what was chosen before stays */
    if (!rc && v->b->ways_put) v->b->ways_put(v->index, &v->ways);
    if (!rc) rc = add_speed(v, err);
    if (rc) q_buf_printf(&v->out, _("stopped: %s\n"), err);
    bool bad = v->wrong > 0;
    if (bad) q_buf_puts(&v->out, _("this GPU computes wrongly: it is not used, and the CPU goes on; update the driver, build the plugin anew, then run this again\n"));
    else if (!rc) q_buf_puts(&v->out, _("all is well: quorum bench --device cuda -m FILE measures a model of yours\n"));
    q_say_text(stdout, v->out.p);
    /* What was not compared to its end proves nothing, and a device that failed did not compute wrongly. It is kept whether the report can be or not. */
    if ((bad || !stopped) && eng_gpu_trust_put(v->b, &v->dev, bad ? ENG_TRUST_BAD : ENG_TRUST_GOOD, &v->ways, why)) q_say(stderr, "quorum: %s\n", why);
    if (file && q_write_file_atomic(file, v->out.p, v->out.len, why)) return q_fail(err, Q_IO, "%s", why);
    return bad ? q_fail(err, Q_ERR, _("%d comparisons with the CPU failed"), v->wrong) : rc;
}

/* One line; the token itself is never said. */
static int look_at_hub(bool ask, char *err)
{
    adv_hub h;
    int rc = adv_hub_look(ask, &h, err);
    if (rc < 0) return rc;
    q_buf b = { 0 };
    q_buf_printf(&b, *h.from ? _("hub %s (named by %s)") : _("hub %s (the usual one; QUORUM_HUB names another)"), h.url, h.from);
    if (!h.asked) q_buf_puts(&b, _("; not asked whether it answers"));
    else if (h.answers) q_buf_printf(&b, _("; answers in %d ms"), h.ms);
    else q_buf_puts(&b, _("; does not answer"));
    if (!h.token) q_buf_puts(&b, _("; no token (HF_TOKEN; only gated models want one)"));
    else q_buf_puts(&b, h.safe ? _("; a token is there") : _("; a token is there, but without TLS it is told to nobody: name the hub as https://"));
    if (*h.no_token) q_buf_printf(&b, "; %s", h.no_token);
    q_buf_putc(&b, '\n');
    q_say_text(stdout, b.p);
    q_buf_free(&b);
    return h.asked && !h.answers ? q_fail(err, Q_IO, "%s", h.why) : Q_OK;
}

static const cli_takes takes[] = { { "--plugin", N_("--plugin takes a file: libquorum-cuda.so") }, { "--out", N_("--out takes a file, into which the report is written") } };

int cmd_doctor(int argc, char **argv)
{
    visit v = { .quick = false };
    const char *plugin = NULL, *file = NULL, *s;
    bool gpu = false, hub = false, offline = false;
    char err[Q_ERRLEN];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--gpu") == 0) gpu = true;
        else if (strcmp(argv[i], "--hub") == 0) hub = true;
        else if (strcmp(argv[i], "--offline") == 0) offline = true;
        else if (strcmp(argv[i], "--quick") == 0) v.quick = true;
        else if ((s = cli_opt(argc, argv, &i, "--plugin"))) plugin = s;
        else if ((s = cli_opt(argc, argv, &i, "--out"))) file = s;
        else return cli_wrong(&cli_doctor, "doctor", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    if (!gpu && !hub) return cli_usage(&cli_doctor, _("doctor looks after the GPU or the hub: quorum doctor --gpu, quorum doctor --hub"));
    int rc = hub ? look_at_hub(!offline, err) : 0;
    if (!rc && gpu) rc = examine(&v, plugin, file, err);
    q_buf_free(&v.out);
    q_buf_free(&v.bad);
    return rc ? cli_fail(err) : 0;
}
