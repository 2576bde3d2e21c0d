/* lab/guard: experts that a model cannot do without. The built-in text is evaluated once; then experts are left out one at a
 * time, each from what entered its layer on (eng_probe): all of them where that is little work, else the worst by a cheaper
 * estimate (lab.h has the rule). Engine thread; reading and saying: any. */
#include "base/say.h"
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/parts.h"
#include "memory/memory.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 96, KEPT_MOST = 1 << 16, SLICE = 16 /* experts of a layer between two looks at what was found */ };
static const double RISE_MOST = 1e6, /* kept in place of "no numbers are left" */ WORK_MOST = 1e9;

/* ---- kept ---- */
static void name_of(uint64_t model, char name[48]) { snprintf(name, 48, "guard.%016llx", (unsigned long long)model); }

static double number(const cJSON *o, const char *name)
{
    const cJSON *v = cJSON_GetObjectItem(o, name);
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static bool whole(double v, int least, int most) { return v >= least && v <= most && v == floor(v); }

/* Somebody may have changed it: what does not hold together is as if it were not there. */
static bool parse(const char *text, lab_guard *g)
{
    cJSON *j = strlen(text) < KEPT_MOST ? cJSON_Parse(text) : NULL;
    const cJSON *rows = cJSON_GetObjectItem(j, "rows");
    double tried = number(j, "tried"), tokens = number(j, "tokens"), layers = number(j, "layers"), experts = number(j, "experts");
    double all = number(j, "all"), seen = number(j, "seen"), passes = number(j, "passes"), done = number(j, "done");
    int n = cJSON_IsArray(rows) ? cJSON_GetArraySize(rows) : 0;
    bool good = number(j, "v") == 2 && n >= 1 && n <= LAB_GUARD_MOST && whole(tried, 0, n) && whole(tokens, 2, 1 << 20) &&
                whole(layers, 1, 1 << 16) && whole(experts, 1, 1 << 16) && whole(all, n, 1 << 30) && whole(seen, n, (int)all) &&
                isfinite(number(j, "loss")) && passes > 0 && passes <= WORK_MOST && done >= 0 && done <= WORK_MOST;
    if (good)
        *g = (lab_guard){ .loss = number(j, "loss"), .tokens = (int)tokens, .n_layer = (int)layers, .n_expert = (int)experts, .all = (int)all, .seen = (int)seen,
                          .every = cJSON_IsTrue(cJSON_GetObjectItem(j, "every")), .n = n, .tried = (int)tried, .passes = passes, .done = done };
    good = good && (!g->every || g->tried == n);
    for (int i = 0; i < n && good; i++) {
        const cJSON *row = cJSON_GetArrayItem(rows, i);
        double v[4];
        for (int k = 0; k < 4 && good; k++) {
            const cJSON *one = cJSON_GetArrayItem(row, k);
            good = cJSON_IsNumber(one) && isfinite(v[k] = one->valuedouble);
        }
        if (!good || !whole(v[0], 0, g->n_layer - 1) || !whole(v[1], 0, g->n_expert - 1)) {
            good = false;
            break;
        }
        g->row[i].layer = (int)v[0];
        g->row[i].expert = (int)v[1];
        g->row[i].strength = (float)v[2];
        g->row[i].rise = v[3] >= RISE_MOST ? (double)INFINITY : v[3];
    }
    cJSON_Delete(j);
    if (!good)
        *g = (lab_guard){ .n = 0 };
    return good;
}

bool lab_guard_read(struct mem_store *s, uint64_t model, lab_guard *out)
{
    char name[48];
    name_of(model, name);
    *out = (lab_guard){ .n = 0 };
    char *text = s ? mem_setting_get(s, name) : NULL;
    bool good = text && parse(text, out);
    free(text);
    return good;
}

static void keep(struct mem_store *s, uint64_t model, const lab_guard *g)
{
    char name[48], err[Q_ERRLEN];
    q_buf b = { 0 };
    name_of(model, name);
    q_buf_printf(&b, "{\"v\":2,\"loss\":%.17g,\"tokens\":%d,\"layers\":%d,\"experts\":%d,\"all\":%d,\"seen\":%d,\"every\":%s,\"passes\":%.17g,\"done\":%.17g,\"tried\":%d,\"rows\":[",
                 g->loss, g->tokens, g->n_layer, g->n_expert, g->all, g->seen, g->every ? "true" : "false", g->passes, g->done, g->tried);
    for (int i = 0; i < g->n; i++) {
        double rise = g->row[i].rise < RISE_MOST ? g->row[i].rise : RISE_MOST;
        q_buf_printf(&b, "%s[%d,%d,%.9g,%.17g]", i ? "," : "", g->row[i].layer, g->row[i].expert, (double)g->row[i].strength, rise);
    }
    q_buf_puts(&b, "]}");
    if (s)
        mem_setting_put(s, name, b.p, err);     /* looked at again if the disk refuses */
    q_buf_free(&b);
}

/* ---- looking ---- */
typedef struct looking {
    const lab_guard_terms *terms;
    const eng_model *m;
    eng_probe *probe;
    lab_guard *g;
    uint64_t params;                     /* that take part in a token */
    double head;                         /* work of the head, in layers */
    double began;                        /* readings that were done when this began */
    int64_t since;
} looking;

static bool go_on(void *user)
{
    const looking *l = user;
    return !l->terms->go_on || l->terms->go_on(l->terms->user, (int)(l->g->done * 100), (int)(l->g->passes * 100));
}

/* Readings of the whole text that `tokens` of its rows are, from a layer on. */
static double work(const looking *l, int layer, int tokens)
{
    return (double)tokens / (l->g->tokens - 1) * (l->g->n_layer - layer + l->head) / (l->g->n_layer + l->head);
}

static int ran(const looking *l, int layer, int expert) { return eng_probe_ran(l->probe)[(size_t)layer * (size_t)l->g->n_expert + (size_t)expert]; }
static float strength(const looking *l, int layer, int expert) { return eng_probe_strength(l->probe)[(size_t)layer * (size_t)l->g->n_expert + (size_t)expert]; }

/* How fast it is comes from what was done; from the first reading as long as that is little. */
static void did(looking *l, double more)
{
    lab_guard *g = l->g;
    g->done += more;
    if (g->done - l->began >= 1)
        g->pass_s = (double)(q_now_ns() - l->since) * 1e-9 / (g->done - l->began);
}

/* What is to be done: the work of leaving out each expert, of estimating each, and how many are to be left out. */
static void plan(looking *l, int *tries)
{
    lab_guard *g = l->g;
    double one = 0, own = 0, budget = l->terms->passes ? l->terms->passes : LAB_GUARD_PASSES;
    int all = 0;
    for (int i = 0; i < g->n_layer; i++)
        for (int e = 0; e < g->n_expert && eng_layer_is_moe(l->m, i); e++, all++) {
            one += work(l, i, g->tokens - 1);
            own += work(l, i, ran(l, i, e));
        }
    double fit = one <= budget ? all : (budget - own) / (one / all);
    *tries = fit >= all ? all : fit > LAB_GUARD_LEAST ? (int)fit : LAB_GUARD_LEAST;
    int most = l->terms->most ? l->terms->most : LAB_GUARD_MOST;
    *tries = *tries < most ? *tries : most;
    bool every = one <= budget;
    if (g->all != all || g->every != every) {
        g->n = g->tried = g->seen = 0;
        g->done = 0;
    }
    g->all = all;
    g->every = every;
    if (g->seen < all)                   /* then it is known whom it takes, and so how much */
        g->passes = every ? one : own + *tries * (one / all);
}

/* The expert that is the nth of all, in the order of layers. */
static void nth(const looking *l, int n, int *layer, int *expert)
{
    for (*layer = 0; *layer < l->g->n_layer; ++*layer)
        if (eng_layer_is_moe(l->m, *layer)) {
            if (n < l->g->n_expert)
                break;
            n -= l->g->n_expert;
        }
    *expert = n;
}

/* Among the worst, if there is room or it is worse than the last of them. */
static void insert(lab_guard *g, int most, int layer, int expert, float strong, double rise)
{
    if (g->n >= most && !(rise > g->row[g->n - 1].rise))
        return;
    int at = g->n < most ? g->n++ : g->n - 1;
    for (; at > 0 && rise > g->row[at - 1].rise; at--)
        g->row[at] = g->row[at - 1];
    g->row[at].layer = layer;
    g->row[at].expert = expert;
    g->row[at].strength = strong;
    g->row[at].rise = rise;
}

/* Every expert once, a slice of a layer at a time. */
static int sift(looking *l, int tries, char *err)
{
    lab_guard *g = l->g;
    int rc = 0;
    while (g->seen < g->all && !rc) {
        int layer, first, n = 0, expert[SLICE];
        double loss[SLICE], more = 0;
        nth(l, g->seen, &layer, &first);
        for (; n < SLICE && first + n < g->n_expert; n++) {
            expert[n] = first + n;
            more += work(l, layer, g->every ? g->tokens - 1 : ran(l, layer, first + n));
        }
        rc = eng_probe_try(l->probe, layer, expert, n, !g->every, loss, err);
        for (int i = 0; i < n && !rc; i++)
            if (g->every || ran(l, layer, expert[i]))
                insert(g, tries, layer, expert[i], strength(l, layer, expert[i]), loss[i] - g->loss);
        if (rc)
            break;
        g->seen += n;
        did(l, more);
        g->tried = g->every ? g->n : 0;
    }
    return rc;
}

static int find(const lab_guard *g, int layer, int expert)
{
    for (int i = 0; i < g->n; i++)
        if (g->row[i].layer == layer && g->row[i].expert == expert)
            return i;
    return -1;
}

/* The loudest are left out first, whatever was estimated of them; then the worst. */
static void order(const looking *l, int tries)
{
    lab_guard *g = l->g, was = *g;
    int loud = tries / 8 < LAB_GUARD_LOUD ? tries / 8 : LAB_GUARD_LOUD;
    g->n = 0;
    for (int i = 0; i < g->all; i++) {
        int layer, expert;
        nth(l, i, &layer, &expert);
        if (loud && ran(l, layer, expert))
            insert(g, loud, layer, expert, strength(l, layer, expert), (double)strength(l, layer, expert));
    }
    for (int i = 0; i < g->n; i++) {
        int at = find(&was, g->row[i].layer, g->row[i].expert);
        g->row[i].rise = at < 0 ? 0 : was.row[at].rise;
    }
    for (int i = 0; i < was.n && g->n < tries; i++)
        if (find(g, was.row[i].layer, was.row[i].expert) < 0)
            g->row[g->n++] = was.row[i];
    g->passes = g->done;
    for (int i = 0; i < g->n; i++)
        g->passes += work(l, g->row[i].layer, g->tokens - 1);
}

static bool slow(const looking *l) { return l->terms->work > 0 && (double)l->params * l->g->passes > l->terms->work; }

/* Nobody asked yet: one pass more, for the first one found memory and file cold. Q_RANGE. */
static int only_timed(looking *l, char *err)
{
    int layer, expert;
    double loss;
    int64_t since = q_now_ns();
    nth(l, 0, &layer, &expert);
    int rc = eng_probe_without(l->probe, layer, expert, &loss, err);
    if (rc == Q_OK)
        l->g->pass_s = (double)(q_now_ns() - since) * 1e-9 / work(l, layer, l->g->tokens - 1);
    return rc == Q_OK ? Q_RANGE : rc;
}

static int leave_out(looking *l, char *err)
{
    lab_guard *g = l->g;
    int tries, rc = Q_OK;
    plan(l, &tries);
    if (l->began > l->g->done)
        l->began = l->g->done;           /* it begins from the start */
    bool sifted = g->seen == g->all;
    if (slow(l))
        return only_timed(l, err);
    if (!sifted)
        rc = sift(l, tries, err);
    if (rc == Q_OK && !sifted && !g->every)
        order(l, tries);
    while (rc == Q_OK && g->tried < g->n) {
        double loss = 0;
        int at = g->tried;
        rc = eng_probe_without(l->probe, g->row[at].layer, g->row[at].expert, &loss, err);
        if (rc == Q_OK) {
            g->row[g->tried++].rise = loss - g->loss;
            did(l, work(l, g->row[at].layer, g->tokens - 1));
        }
    }
    return rc;
}

static int look(looking *l, eng_model *m, const eng_config *c, char *err)
{
    lab_guard *g = l->g;
    eng_tokens t = { 0 };
    int32_t begin = eng_token_begin(m);
    if (begin >= 0)
        eng_tokens_add(&t, begin);
    int rc = eng_tokenize(m, lab_baseline_text, strlen(lab_baseline_text), false, &t, err);
    int64_t since = q_now_ns();
    if (rc == Q_OK) {
        g->tokens = t.n < TOKENS ? t.n : TOKENS;
        g->n_layer = eng_model_info(m)->n_layer;
        g->n_expert = eng_model_info(m)->n_expert;
        rc = eng_probe_new(m, c, t.id, g->tokens, go_on, l, &l->probe, err);
    }
    if (rc == Q_OK) {
        g->pass_s = (double)(q_now_ns() - since) * 1e-9;
        g->loss = eng_probe_loss(l->probe);
        l->began = g->done;
        l->since = q_now_ns();
        rc = leave_out(l, err);
    }
    eng_probe_free(l->probe);
    eng_tokens_free(&t);
    return rc;
}

bool lab_guard_whole(const lab_guard *g) { return g->all && g->seen == g->all && g->tried == g->n; }
double lab_guard_left(const lab_guard *g) { return g->passes > g->done && !lab_guard_whole(g) ? (g->passes - g->done) * g->pass_s : 0; }

int lab_guard_model(eng_model *m, const lab_guard_terms *terms, lab_guard *g, char *err)
{
    static const lab_guard_terms none = { .store = NULL };
    const eng_info *info = eng_model_info(m);
    eng_config *c = eng_config_new(m);
    eng_cost cost = eng_model_cost(m, c);
    looking l = { .terms = terms ? terms : &none, .m = m, .g = g, .params = cost.params,
                  .head = cost.bytes_layers ? (double)cost.bytes_head * info->n_layer / (double)cost.bytes_layers : 0 };
    if (g->all && (g->n_layer != info->n_layer || g->n_expert != info->n_expert || g->all != info->n_moe_layer * info->n_expert))
        *g = (lab_guard){ .n = 0 };
    double before = g->done;
    int rc = lab_guard_whole(g) ? Q_OK : g->pass_s > 0 && slow(&l) ? Q_RANGE : look(&l, m, c, err);
    if (g->n && !(g->done == before))
        keep(l.terms->store, info->id, g);
    eng_config_free(c);
    return rc;
}

int lab_guard_look(struct eng_cache *beside, const lab_guard_terms *terms, lab_guard *io, char *err)
{
    return lab_guard_model(eng_cache_model(beside), terms, io, err);
}

enum lab_guarded lab_guard_of(const lab_guard *g, int layer, int expert, double *rise)
{
    for (int i = 0; i < g->tried; i++)
        if (g->row[i].layer == layer && g->row[i].expert == expert) {
            *rise = g->row[i].rise;
            return *rise >= LAB_GUARD_BREAKS ? LAB_BREAKS : LAB_HARMLESS;
        }
    bool less = g->every && lab_guard_whole(g) && g->n && layer < g->n_layer && expert < g->n_expert && g->row[g->n - 1].rise < LAB_GUARD_BREAKS;
    return less ? LAB_HARMLESS : LAB_UNTRIED;
}

/* ---- said ---- */
static int by_rise(const void *a, const void *b, void *guard)
{
    const lab_guard *g = guard;
    int x = *(const int *)a, y = *(const int *)b;
    double p = g->row[x].rise, q = g->row[y].rise;
    return p > q ? -1 : p < q ? 1 : x - y;
}

/* How long what is left takes here; nothing where that is not known. */
static void say_left(const lab_guard *g, q_buf *out)
{
    double left = lab_guard_left(g);
    unsigned long minutes = left < 60e6 ? (unsigned long)(left / 60 + 0.5) : 1000000;
    if (!(left > 0))
        return;
    if (minutes < 1)
        q_buf_puts(out, _("What is left takes less than a minute here.\n"));
    else
        q_buf_say(out, ngettext("What is left takes about %lu minute here.\n", "What is left takes about %lu minutes here.\n", minutes), minutes);
}

void lab_guard_say(const lab_guard *g, q_buf *out)
{
    int by[LAB_GUARD_MOST], breakers = 0;
    for (int i = 0; i < g->tried; i++) {
        by[i] = i;
        breakers += g->row[i].rise >= LAB_GUARD_BREAKS;
    }
    if (!g->seen) {
        q_buf_puts(out, _("No expert has been looked at yet: nothing is known of what a ban does.\n"));
        say_left(g, out);
        return;
    }
    qsort_r(by, (size_t)g->tried, sizeof *by, by_rise, (void *)(uintptr_t)g);
    if (g->every)
        q_buf_say(out, _("%d of the %d experts were left out, one at a time.\n"), g->seen, g->all);
    else if (g->seen < g->all)
        q_buf_say(out, _("%d of the %d experts were estimated: each left out for the tokens that it ran for. Then the worst of them are left out wholly.\n"), g->seen, g->all);
    else
        q_buf_say(out, _("All %d experts were estimated, each left out for the tokens that it ran for; %d of the %d that seemed worst or were\nstrongest were left out wholly, one at a time.\n"),
                  g->all, g->tried, g->n);
    q_buf_say(out, _("A text of %d tokens: %.3f nats a token with all in place.\n"), g->tokens, g->loss);
    say_left(g, out);
    q_buf_puts(out, "\n");
    if (g->tried)
        q_buf_say(out, "%-10s%9s%10s%11s\n", _("expert"), _("nats"), _("times"), _("strength"));
    for (int i = 0; i < g->tried && (i < 10 || i < breakers); i++) {
        char name[32], nats[32], times[32];
        double rise = g->row[by[i]].rise;
        snprintf(name, sizeof name, "L%de%d", g->row[by[i]].layer, g->row[by[i]].expert);
        snprintf(nats, sizeof nats, isinf(rise) ? "∞" : "%+.3f", rise);
        snprintf(times, sizeof times, isinf(rise) || rise > 20 ? "∞" : "%.2f", exp(rise));
        q_buf_say(out, "%-10s%9s%10s%11.2f%s%s\n", name, nats, times, (double)g->row[by[i]].strength,
                  rise >= LAB_GUARD_BREAKS ? "   " : "", rise >= LAB_GUARD_BREAKS ? _("breaks the model") : "");
    }
    if (g->tried)
        q_buf_puts(out, _("\nnats: how much the loss of a token rises without it; times: the same as perplexity;\nstrength: its largest share of what entered its layer.\n"));
    if (g->every && lab_guard_whole(g) && g->n < g->all)
        q_buf_say(out, _("Each of the %d others raises it by %.3f nats at most.\n"), g->all - g->n, g->row[g->n - 1].rise);
    else if (!g->every)
        q_buf_puts(out, _("All other experts were only estimated: that does not say that they are safe to ban.\n"));
}

void lab_guard_json(const lab_guard *g, q_buf *out)
{
    cJSON *j = cJSON_CreateObject(), *rows;
    cJSON_AddNumberToObject(j, "loss", g->loss);
    cJSON_AddNumberToObject(j, "tokens", g->tokens);
    cJSON_AddNumberToObject(j, "all", g->all);
    cJSON_AddNumberToObject(j, "seen", g->seen);
    cJSON_AddBoolToObject(j, "every", g->every);
    cJSON_AddNumberToObject(j, "candidates", g->n);
    cJSON_AddNumberToObject(j, "tried", g->tried);
    cJSON_AddNumberToObject(j, "breaks_from", LAB_GUARD_BREAKS);
    cJSON_AddNumberToObject(j, "readings", g->passes);
    cJSON_AddNumberToObject(j, "readings_done", g->done);
    if (lab_guard_left(g) > 0)
        cJSON_AddNumberToObject(j, "seconds_left", lab_guard_left(g));
    rows = cJSON_AddArrayToObject(j, "experts");
    for (int i = 0; i < g->n; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "layer", g->row[i].layer);
        cJSON_AddNumberToObject(o, "expert", g->row[i].expert);
        cJSON_AddNumberToObject(o, "strength", (double)g->row[i].strength);
        if (i < g->tried && isfinite(g->row[i].rise))
            cJSON_AddNumberToObject(o, "rise", g->row[i].rise);
        else
            cJSON_AddNullToObject(o, "rise");
        if (i >= g->tried && isfinite(g->row[i].rise))
            cJSON_AddNumberToObject(o, "estimate", g->row[i].rise);
        cJSON_AddBoolToObject(o, "tried", i < g->tried);
        cJSON_AddBoolToObject(o, "breaks", i < g->tried && g->row[i].rise >= LAB_GUARD_BREAKS);
        cJSON_AddItemToArray(rows, o);
    }
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}
