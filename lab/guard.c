/* lab/guard: experts that a model cannot do without. The built-in text is evaluated once; the experts whose output is strongest
 * in it are then left out one at a time, each from what entered its layer on (eng_probe). The strongest first, so that what
 * was done when somebody needed the engine is what matters most. Engine thread; reading and saying: any. */
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

enum { TOKENS = 96, KEPT_MOST = 1 << 16 };
static const double RISE_MOST = 1e6;     /* kept in place of "no numbers are left" */

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
    int n = cJSON_IsArray(rows) ? cJSON_GetArraySize(rows) : 0;
    bool good = number(j, "v") == 1 && n >= 1 && n <= LAB_GUARD_MOST && whole(tried, 0, n) && whole(tokens, 2, 1 << 20) &&
                whole(layers, 1, 1 << 16) && whole(experts, 1, 1 << 16) && isfinite(number(j, "loss"));
    if (good)
        *g = (lab_guard){ .loss = number(j, "loss"), .tokens = (int)tokens, .n_layer = (int)layers, .n_expert = (int)experts, .n = n, .tried = (int)tried };
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
    q_buf_printf(&b, "{\"v\":1,\"loss\":%.17g,\"tokens\":%d,\"layers\":%d,\"experts\":%d,\"tried\":%d,\"rows\":[", g->loss, g->tokens, g->n_layer, g->n_expert, g->tried);
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
typedef struct looking { const lab_guard_terms *terms; int done, total; } looking;
static bool go_on(void *user)
{
    const looking *l = user;
    return !l->terms->go_on || l->terms->go_on(l->terms->user, l->done, l->total);
}

typedef struct candidate { int layer, expert; float strength; } candidate;
static int stronger(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    return x->strength > y->strength ? -1 : x->strength < y->strength ? 1 : x->layer != y->layer ? x->layer - y->layer : x->expert - y->expert;
}

static void candidates(const eng_model *m, const eng_probe *p, lab_guard *g)
{
    const eng_info *info = eng_model_info(m);
    const float *strength = eng_probe_strength(p);
    candidate *c = q_alloc(sizeof *c * (size_t)info->n_layer * (size_t)info->n_expert);
    int n = 0;
    for (int l = 0; l < info->n_layer; l++)
        for (int e = 0; e < info->n_expert && eng_layer_is_moe(m, l); e++)
            c[n++] = (candidate){ l, e, strength[(size_t)l * (size_t)info->n_expert + (size_t)e] };
    qsort(c, (size_t)n, sizeof *c, stronger);
    g->n_layer = info->n_layer;
    g->n_expert = info->n_expert;
    for (g->n = g->tried = 0; g->n < n && g->n < LAB_GUARD_MOST; g->n++) {
        g->row[g->n].layer = c[g->n].layer;
        g->row[g->n].expert = c[g->n].expert;
        g->row[g->n].strength = c[g->n].strength;
        g->row[g->n].rise = 0;
    }
    free(c);
}

static int look(eng_model *m, const eng_config *c, const lab_guard_terms *terms, lab_guard *g, char *err)
{
    looking l = { terms, g->tried, LAB_GUARD_MOST };
    eng_tokens t = { 0 };
    eng_probe *p = NULL;
    int32_t begin = eng_token_begin(m);
    if (begin >= 0)
        eng_tokens_add(&t, begin);
    int rc = eng_tokenize(m, lab_baseline_text, strlen(lab_baseline_text), false, &t, err);
    int n = t.n < TOKENS ? t.n : TOKENS;
    if (rc == Q_OK)
        rc = eng_probe_new(m, c, t.id, n, go_on, &l, &p, err);
    if (rc == Q_OK && g->n == 0)
        candidates(m, p, g);
    if (rc == Q_OK) {
        g->loss = eng_probe_loss(p);
        g->tokens = n;
    }
    for (l.total = g->n; g->tried < g->n && rc == Q_OK; l.done = g->tried) {
        double loss = 0;
        rc = eng_probe_without(p, g->row[g->tried].layer, g->row[g->tried].expert, &loss, err);
        if (rc == Q_OK)
            g->row[g->tried++].rise = loss - g->loss;
    }
    eng_probe_free(p);
    eng_tokens_free(&t);
    return rc;
}

int lab_guard_model(eng_model *m, const lab_guard_terms *terms, lab_guard *g, char *err)
{
    static const lab_guard_terms none = { .store = NULL };
    enum { QUICK = 400000000 };          /* active parameters: some seconds */
    const eng_info *info = eng_model_info(m);
    terms = terms ? terms : &none;
    eng_config *c = eng_config_new(m);
    int rc = Q_OK, before = g->tried;
    if (g->n && (g->n_layer != info->n_layer || g->n_expert != info->n_expert || g->n > info->n_moe_layer * info->n_expert))
        *g = (lab_guard){ .n = 0 };
    if (terms->quick && eng_model_cost(m, c).params > QUICK)
        rc = Q_RANGE;
    else if (!g->n || g->tried < g->n)
        rc = look(m, c, terms, g, err);
    if (g->n && (g->tried > before || !before))
        keep(terms->store, info->id, g);
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
    return LAB_UNTRIED;
}

/* ---- said ---- */
static int by_rise(const void *a, const void *b, void *guard)
{
    const lab_guard *g = guard;
    int x = *(const int *)a, y = *(const int *)b;
    double p = g->row[x].rise, q = g->row[y].rise;
    return p > q ? -1 : p < q ? 1 : x - y;
}

void lab_guard_say(const lab_guard *g, q_buf *out)
{
    int order[LAB_GUARD_MOST], breakers = 0;
    for (int i = 0; i < g->tried; i++) {
        order[i] = i;
        breakers += g->row[i].rise >= LAB_GUARD_BREAKS;
    }
    if (!g->n) {
        q_buf_puts(out, _("No expert has been looked at yet: nothing is known of what a ban does.\n"));
        return;
    }
    qsort_r(order, (size_t)g->tried, sizeof *order, by_rise, (void *)(uintptr_t)g);
    q_buf_say(out, _("%d of the %d experts with the strongest output were left out, one at a time.\nA text of %d tokens: %.3f nats a token with all in place.\n\n"),
              g->tried, g->n, g->tokens, g->loss);
    if (g->tried)
        q_buf_say(out, "%-10s%9s%10s%11s\n", _("expert"), _("nats"), _("times"), _("strength"));
    for (int i = 0; i < g->tried && (i < 10 || i < breakers); i++) {
        char name[32], nats[32], times[32];
        double rise = g->row[order[i]].rise;
        snprintf(name, sizeof name, "L%de%d", g->row[order[i]].layer, g->row[order[i]].expert);
        snprintf(nats, sizeof nats, isinf(rise) ? "∞" : "%+.3f", rise);
        snprintf(times, sizeof times, isinf(rise) || rise > 20 ? "∞" : "%.2f", exp(rise));
        q_buf_say(out, "%-10s%9s%10s%11.2f%s%s\n", name, nats, times, (double)g->row[order[i]].strength,
                  rise >= LAB_GUARD_BREAKS ? "   " : "", rise >= LAB_GUARD_BREAKS ? _("breaks the model") : "");
    }
    if (g->tried)
        q_buf_puts(out, _("\nnats: how much the loss of a token rises without it; times: the same as perplexity;\nstrength: its largest share of what entered its layer.\n"));
    if (g->n == LAB_GUARD_MOST)
        q_buf_puts(out, _("All other experts were not looked at: that does not say that they are safe to ban.\n"));
}

void lab_guard_json(const lab_guard *g, q_buf *out)
{
    cJSON *j = cJSON_CreateObject(), *rows;
    cJSON_AddNumberToObject(j, "loss", g->loss);
    cJSON_AddNumberToObject(j, "tokens", g->tokens);
    cJSON_AddNumberToObject(j, "candidates", g->n);
    cJSON_AddNumberToObject(j, "tried", g->tried);
    cJSON_AddNumberToObject(j, "breaks_from", LAB_GUARD_BREAKS);
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
        cJSON_AddBoolToObject(o, "tried", i < g->tried);
        cJSON_AddBoolToObject(o, "breaks", i < g->tried && g->row[i].rise >= LAB_GUARD_BREAKS);
        cJSON_AddItemToArray(rows, o);
    }
    char *s = cJSON_Print(j);
    q_buf_puts(out, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}
