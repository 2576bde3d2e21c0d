/* engine/run/lora: see lora.h. The value's pieces, in the order written: name=F (everything of that adapter), name@L=F and name@L-M=F (of
 * layers), name@LeX=F and name@LeX-Y=F (of routed experts of a layer); behind a name #HASH may stand. Places that are not named of an
 * adapter that is have the factor 1, adapters that are not named act not at all. */
#include "engine/run/lora.h"
#include "engine/run/model.h"
#include "engine/run/room.h"

#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MOST = 64 };
static const double FACTOR_MOST = 100;

typedef struct carried {
    char *name;
    eng_adapter *adapter;
    int at;                            /* its number at the device */
    uint8_t **some;                    /* [n_low][n_expert] 1: B is not all zeros there */
    char *own;                         /* its scale by default: canonical, or NULL: 1 */
} carried;

struct lora_model {
    pthread_rwlock_t lock;
    carried list[ENG_ADAPTERS];
    int n;
    atomic_uint version;
};

/* ---- the list ---- */
struct lora_model *lora_new(void)
{
    struct lora_model *l = q_alloc(sizeof *l);
    pthread_rwlock_init(&l->lock, NULL);
    atomic_init(&l->version, 1);
    return l;
}

static void carried_free(carried *c)
{
    int n = 0;
    if (c->adapter)
        eng_adapter_lows(c->adapter, &n);
    for (int i = 0; c->some && i < n; i++)
        free(c->some[i]);
    free(c->some);
    free(c->own);
    free(c->name);
    eng_adapter_free(c->adapter);
}

void lora_free(eng_model *m)
{
    if (!m->lora)
        return;
    for (int i = 0; i < m->lora->n; i++) {
        m->on.be->adapter_drop(m->on.dev, m->lora->list[i].at);
        carried_free(&m->lora->list[i]);
    }
    pthread_rwlock_destroy(&m->lora->lock);
    free(m->lora);
    m->lora = NULL;
}

unsigned lora_version(const eng_model *m) { return atomic_load_explicit(&m->lora->version, memory_order_acquire); }

/* Under the lock, as the next four. */
static const carried *named(const struct lora_model *l, const char *name, size_t n)
{
    for (int i = 0; i < l->n; i++)
        if (strlen(l->list[i].name) == n && memcmp(l->list[i].name, name, n) == 0)
            return &l->list[i];
    return NULL;
}

static int index_free(const struct lora_model *l)
{
    int at = 0;
    for (int i = 0; i < l->n; i++)
        if (l->list[i].at == at) {
            at++;
            i = -1;
        }
    return at;
}

static char *names(const struct lora_model *l)
{
    q_buf b = { 0 };
    for (int i = 0; i < l->n; i++)
        q_buf_printf(&b, "%s%s", i ? ", " : "", l->list[i].name);
    q_buf_puts(&b, "");
    return q_buf_take(&b);
}

/* A file's name without its folder and ending, letters that a name may have: malloc'ed. */
static char *own_name(const eng_adapter *a)
{
    const eng_adapter_info *i = eng_adapter_info_of(a);
    const char *from = i->path && *i->path ? i->path : i->name ? i->name : "";
    size_t n = strlen(from);
    while (n > 1 && from[n - 1] == '/')
        n--;
    size_t first = n;
    while (first > 0 && from[first - 1] != '/')
        first--;
    if (n - first > 5 && memcmp(from + n - 5, ".gguf", 5) == 0)
        n -= 5;
    q_buf b = { 0 };
    for (size_t k = first; k < n && b.len < NAME_MOST; k++) {
        unsigned char c = (unsigned char)from[k];
        if (isalnum(c) || c == '.' || c == '_' || c == '-')
            q_buf_putc(&b, (char)c);
        else if (b.len && b.p[b.len - 1] != '-')
            q_buf_putc(&b, '-');
    }
    q_buf_puts(&b, b.len ? "" : "adapter");
    return q_buf_take(&b);
}

static bool good_name(const char *s)
{
    size_t n = strlen(s);
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '.' && *p != '_' && *p != '-')
            return false;
    return n > 0 && n <= NAME_MOST && strcmp(s, "none") != 0 && strcmp(s, "default") != 0 && strspn(s, "0123456789.-") != n;
}

/* Of a file called by a number, as a checkpoint's folder is, or in other letters: with a word before it. */
char *lora_name(const eng_model *m, const eng_adapter *a)
{
    char *base = own_name(a);
    if (!good_name(base)) {
        char *whole = q_printf("adapter%s%.*s", *base ? "-" : "", NAME_MOST - 16, base);
        free(base);
        base = whole;
    }
    char *name = q_strdup(base);
    for (int i = 2; named(m->lora, name, strlen(name)); i++) {
        free(name);
        name = q_printf("%.*s-%d", NAME_MOST - 6, base, i);
    }
    free(base);
    return name;
}

static uint8_t **marks(const eng_adapter *a)
{
    int n;
    const eng_low *low = eng_adapter_lows(a, &n);
    uint8_t **some = q_alloc(sizeof *some * (size_t)(n + 1));
    for (int i = 0; i < n; i++) {
        int64_t one = low[i].n_out * low[i].rank;
        some[i] = q_alloc((size_t)low[i].n_expert);
        for (int e = 0; e < low[i].n_expert; e++)
            for (int64_t k = 0; k < one && !some[i][e]; k++)
                some[i][e] = low[i].b[e * one + k] != 0;
    }
    return some;
}

int eng_model_adapter_add(eng_model *m, eng_adapter *a, const char *name, char *err)
{
    struct lora_model *l = m->lora;
    int n;
    if (m->vocab_only)
        return q_fail(err, Q_ERR, _("%s was opened for its vocabulary only"), m->path);
    if (l->n == ENG_ADAPTERS)
        return q_fail(err, Q_RANGE, _("this model carries %d adapters already: drop one first"), ENG_ADAPTERS);
    const char *its = eng_adapter_info_of(a)->arch;
    if (*its && strcmp(its, m->arch->name) != 0)
        return q_fail(err, Q_RANGE, _("the adapter is for a model of architecture %s, and this one is %s: it is for another model"), its, m->arch->name);
    char *own = name ? q_strdup(name) : lora_name(m, a);
    int rc = good_name(own) ? Q_OK : q_fail(err, Q_RANGE, _("an adapter's name is of letters, digits, \".\", \"-\" and \"_\", at most %d, and no number: not \"%s\""), NAME_MOST, own);
    if (!rc && named(l, own, strlen(own)))
        rc = q_fail(err, Q_RANGE, _("an adapter called \"%s\" is loaded already: drop it, or give this one another name"), own);
    const eng_low *low = eng_adapter_lows(a, &n);
    int at = index_free(l);
    if (!rc)
        rc = lora_fits(m, a, room_beside(m), err);
    if (!rc)
        rc = m->on.be->adapter_put(m->on.dev, at, low, n, err);
    if (rc) {
        free(own);
        return rc;
    }
    uint8_t **some = marks(a);
    pthread_rwlock_wrlock(&l->lock);
    l->list[l->n++] = (carried){ own, a, at, some, NULL };
    atomic_fetch_add(&l->version, 1);
    pthread_rwlock_unlock(&l->lock);
    return Q_OK;
}

int eng_model_adapter_drop(eng_model *m, const char *name, char *err)
{
    struct lora_model *l = m->lora;
    const carried *c = named(l, name, strlen(name));
    if (!c) {
        char *all = names(l);
        int rc = l->n ? q_fail(err, Q_NOTFOUND, _("no adapter is called \"%s\" here; loaded: %s"), name, all) : q_fail(err, Q_NOTFOUND, _("no adapter is loaded"));
        free(all);
        return rc;
    }
    carried gone = *c;
    pthread_rwlock_wrlock(&l->lock);
    l->n--;
    memmove(&l->list[c - l->list], c + 1, sizeof *c * (size_t)(l->n - (c - l->list)));
    atomic_fetch_add(&l->version, 1);
    pthread_rwlock_unlock(&l->lock);
    m->on.be->adapter_drop(m->on.dev, gone.at);
    carried_free(&gone);
    return Q_OK;
}

int eng_model_adapters(const eng_model *m, const char *name[ENG_ADAPTERS], const eng_adapter *out[ENG_ADAPTERS])
{
    struct lora_model *l = m->lora;
    pthread_rwlock_rdlock(&l->lock);
    int n = l->n;
    for (int i = 0; i < n; i++) {
        name[i] = l->list[i].name;
        out[i] = l->list[i].adapter;
    }
    pthread_rwlock_unlock(&l->lock);
    return n;
}

/* ---- a value, as factors ---- */
typedef struct factors {
    double *layer;                     /* [n_layer + 1] the whole model's roles, then each layer's; NULL: the adapter is not named */
    double *expert;                    /* [n_layer][n_expert] */
} factors;

static size_t grid(const eng_model *m) { return (size_t)m->ker.n_layer * (size_t)m->ker.n_expert; }

static void factors_free(factors *f)
{
    for (int i = 0; i < ENG_ADAPTERS; i++) {
        free(f[i].layer);
        free(f[i].expert);
    }
}

static void whole(const eng_model *m, factors *f, double x)
{
    if (!f->layer) {
        f->layer = q_alloc(sizeof *f->layer * (size_t)(m->ker.n_layer + 1));
        f->expert = q_alloc(sizeof *f->expert * (grid(m) + 1));
    }
    for (int i = 0; i <= m->ker.n_layer; i++)
        f->layer[i] = x;
    for (size_t i = 0; i < grid(m); i++)
        f->expert[i] = x;
}

static bool acts(const eng_model *m, const factors *f)
{
    bool any = false;
    for (int i = 0; f->layer && i <= m->ker.n_layer; i++)
        any |= f->layer[i] != 0;
    for (size_t i = 0; f->layer && i < grid(m) && !any; i++)
        any |= f->expert[i] != 0;
    return any;
}

typedef struct place { int first, last, expert, expert_last; } place;      /* layers; expert -1: all of them, and everything else there */

/* "3", "0-11", "17e90", "17e90-95"; false: none of these. */
static bool place_read(const char *s, size_t n, place *p)
{
    int v[4] = { 0 }, k = 0;
    char between[3] = { 0 };
    if (!n || !isdigit((unsigned char)s[n - 1]))       /* "3-" and "3x" are no places */
        return false;
    for (size_t i = 0; i < n; k++) {
        if (k == 4 || !isdigit((unsigned char)s[i]))
            return false;
        for (; i < n && isdigit((unsigned char)s[i]); i++)
            v[k] = v[k] > 1000000 ? v[k] : v[k] * 10 + (s[i] - '0');
        if (i < n && k < 3)
            between[k] = s[i++];
        else if (i < n)
            return false;
    }
    if (k == 1)
        *p = (place){ v[0], v[0], -1, -1 };
    else if (k == 2 && between[0] == '-')
        *p = (place){ v[0], v[1], -1, -1 };
    else if (k == 2 && between[0] == 'e')
        *p = (place){ v[0], v[0], v[1], v[1] };
    else if (k == 3 && between[0] == 'e' && between[1] == '-')
        *p = (place){ v[0], v[0], v[1], v[2] };
    else
        return false;
    return true;
}

static int place_check(const eng_model *m, const char *what, const place *p, char *err)
{
    int layers = m->ker.n_layer, experts = m->ker.n_expert;
    if (p->first >= layers || p->last >= layers || p->last < p->first)
        return q_fail(err, Q_RANGE, _("lora.scale: \"%s\" names layers that are not in this model: they are 0 to %d"), what, layers - 1);
    if (p->expert >= 0 && !m->layers[p->first].moe)
        return experts ? q_fail(err, Q_RANGE, _("lora.scale: layer %d has no experts; layers %d to %d have"), p->first, m->info.first_moe_layer, layers - 1)
                       : q_fail(err, Q_RANGE, _("lora.scale: \"%s\" names an expert, and this model has none"), what);
    if (p->expert >= experts || p->expert_last >= experts || p->expert_last < p->expert)
        return q_fail(err, Q_RANGE, _("lora.scale: \"%s\" names experts that are not in this model: they are 0 to %d"), what, experts - 1);
    return Q_OK;
}

static void place_put(const eng_model *m, factors *f, const place *p, double x)
{
    size_t experts = (size_t)m->ker.n_expert;
    for (int l = p->first; l <= p->last; l++) {
        if (p->expert < 0)
            f->layer[l + 1] = x;
        for (size_t e = p->expert < 0 ? 0 : (size_t)p->expert; e < experts && (p->expert < 0 || e <= (size_t)p->expert_last); e++)
            f->expert[(size_t)l * experts + e] = x;
    }
}

static int bad_form(const char *value, char *err)
{
    return q_fail(err, Q_RANGE, _("lora.scale is a list of name=factor, name@layer=factor, name@first-last=factor or name@LAYEReEXPERT=factor with factors from %g to %g, like "
                                  "style=0.7,other@0-11=0, or one factor for all, or none; not \"%.100s\""), -FACTOR_MOST, FACTOR_MOST, value);
}

/* One piece [s, s + n). strict: what is not there is an error, else it is passed over. Under the lock. */
static int piece(const eng_model *m, const char *s, size_t n, bool strict, factors *f, char *err)
{
    const struct lora_model *l = m->lora;
    char what[160], *end;
    snprintf(what, sizeof what, "%.*s", (int)(n < 150 ? n : 150), s);
    size_t name = strcspn(what, "#@="), at = name;
    uint64_t hash = 0;
    place p = { 0, 0, -1, -1 };
    bool somewhere = false;
    double x = 1;
    if (n >= sizeof what - 1 || name == 0)
        return bad_form(what, err);
    if (what[at] == '#') {
        hash = strtoull(what + at + 1, &end, 16);
        at = (size_t)(end - what);
    }
    if (what[at] == '@') {
        size_t len = strcspn(what + at + 1, "=");
        somewhere = true;
        if (!place_read(what + at + 1, len, &p))
            return bad_form(what, err);
        at += 1 + len;
    }
    if (what[at] == '=') {
        x = strtod(what + at + 1, &end);
        if (end == what + at + 1 || *end || !(fabs(x) <= FACTOR_MOST))
            return bad_form(what, err);
    } else if (what[at])
        return bad_form(what, err);
    const carried *c = named(l, what, name);
    if (!c && strict) {
        char *all = names(l);
        int rc = l->n ? q_fail(err, Q_RANGE, _("lora.scale: no adapter is called \"%.*s\" here; loaded: %s"), (int)name, what, all)
                      : q_fail(err, Q_RANGE, _("lora.scale: no adapter is loaded: load one with /lora load FILE, or start with --lora FILE"));
        free(all);
        return rc;
    }
    if (c && hash && hash != eng_adapter_info_of(c->adapter)->hash) {
        if (strict)
            return q_fail(err, Q_RANGE, _("lora.scale: the adapter \"%s\" that is loaded is not the one that these settings were made with: load that one, or set lora.scale anew"), c->name);
        c = NULL;
    }
    if (!c)
        return Q_OK;
    factors *to = &f[c - l->list];
    int rc = somewhere ? place_check(m, what, &p, err) : Q_OK;
    if (rc)
        return rc;
    if (!to->layer || !somewhere)
        whole(m, to, somewhere ? 1 : x);
    if (somewhere)
        place_put(m, to, &p, x == 0 ? 0 : x);
    return Q_OK;
}

/* Under the lock. f: of each adapter of the list. */
static int read_factors(const eng_model *m, const char *value, bool strict, factors f[ENG_ADAPTERS], char *err)
{
    memset(f, 0, sizeof *f * ENG_ADAPTERS);
    while (isspace((unsigned char)*value))
        value++;
    if (!*value || strcmp(value, "none") == 0)
        return Q_OK;
    char *end;
    double x = strtod(value, &end);
    if (end != value && !*end) {                   /* one number, for each that is there */
        if (!(fabs(x) <= FACTOR_MOST))
            return bad_form(value, err);
        if (strict && m->lora->n == 0 && x != 0)
            return q_fail(err, Q_RANGE, _("lora.scale: no adapter is loaded: load one with /lora load FILE, or start with --lora FILE"));
        for (int i = 0; i < m->lora->n; i++)
            whole(m, &f[i], x == 0 ? 0 : x);
        return Q_OK;
    }
    int rc = Q_OK;
    for (const char *p = value; !rc; p++) {
        size_t n = strcspn(p, ",;");       /* ";" where a "," ends a setting (lab_spec_begins) */
        rc = piece(m, p, n, strict, f, err);
        p += n;
        if (!*p)
            break;
    }
    return rc;
}

/* ---- factors, as text ---- */
typedef struct pieces { q_buf *to; const carried *c; bool hashes; } pieces;

static void put_piece(const pieces *o, const char *where, double x)
{
    char num[32];
    q_knob_number(num, x);
    q_buf_printf(o->to, "%s%s", o->to->len ? "," : "", o->c->name);
    if (o->hashes)
        q_buf_printf(o->to, "#%016llx", (unsigned long long)eng_adapter_info_of(o->c->adapter)->hash);
    q_buf_printf(o->to, "%s=%s", where, num);
}

/* Under the lock. Layers that differ from what the whole has, then experts that differ from their layer. */
static void put_factors(const eng_model *m, const carried *c, const factors *f, bool hashes, q_buf *to)
{
    const pieces o = { to, c, hashes };
    char where[64];
    int layers = m->ker.n_layer, experts = m->ker.n_expert;
    put_piece(&o, "", f->layer[0]);
    for (int l = 0, n; l < layers; l += n) {
        for (n = 1; l + n < layers && f->layer[l + n + 1] == f->layer[l + 1]; n++) {}
        if (f->layer[l + 1] == f->layer[0])
            continue;
        snprintf(where, sizeof where, n > 1 ? "@%d-%d" : "@%d", l, l + n - 1);
        put_piece(&o, where, f->layer[l + 1]);
    }
    for (int l = 0; l < layers; l++)
        for (int e = 0, n; m->layers[l].moe && e < experts; e += n) {
            const double *x = f->expert + (size_t)l * (size_t)experts + e;
            for (n = 1; e + n < experts && x[n] == x[0]; n++) {}
            if (x[0] == f->layer[l + 1])
                continue;
            snprintf(where, sizeof where, n > 1 ? "@%de%d-%d" : "@%de%d", l, e, e + n - 1);
            put_piece(&o, where, x[0]);
        }
}

static void put_all(const eng_model *m, const factors f[ENG_ADAPTERS], bool hashes, q_buf *to)
{
    for (int i = 0; i < m->lora->n; i++)
        if (acts(m, &f[i]))
            put_factors(m, &m->lora->list[i], &f[i], hashes, to);
}

int lora_parse(const eng_model *m, const char *value, char **canonical, char *err)
{
    factors f[ENG_ADAPTERS];
    q_buf b = { 0 };
    pthread_rwlock_rdlock(&m->lora->lock);
    int rc = read_factors(m, value, true, f, err);
    if (!rc)
        put_all(m, f, true, &b);
    pthread_rwlock_unlock(&m->lora->lock);
    factors_free(f);
    q_buf_puts(&b, "");
    if (!rc)
        *canonical = q_buf_take(&b);
    q_buf_free(&b);
    return rc;
}

char *lora_default(const eng_model *m)
{
    char *text = NULL, err[Q_ERRLEN];
    q_buf b = { 0 };
    if (lora_version(m) == 1)
        return q_strdup("");
    pthread_rwlock_rdlock(&m->lora->lock);
    for (int i = 0; i < m->lora->n; i++)
        q_buf_printf(&b, "%s%s", b.len ? "," : "", m->lora->list[i].own ? m->lora->list[i].own : m->lora->list[i].name);
    pthread_rwlock_unlock(&m->lora->lock);
    int rc = b.len ? lora_parse(m, b.p, &text, err) : Q_NOTFOUND;
    q_buf_free(&b);
    return rc == Q_OK ? text : q_strdup("");
}

int lora_own(eng_model *m, const char *name, const char *value, char *err)
{
    struct lora_model *l = m->lora;
    char *text = NULL;
    int rc = lora_parse(m, value, &text, err);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&l->lock);
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->list[i].name, name) == 0) {
            free(l->list[i].own);
            l->list[i].own = *text ? q_strdup(text) : q_printf("%s=0", name);
        }
    pthread_rwlock_unlock(&l->lock);
    free(text);
    return Q_OK;
}

int eng_model_adapter_rest(eng_model *m, const char *name, char *err)
{
    char *value = q_printf("%s=0", name);
    int rc = lora_own(m, name, value, err);
    free(value);
    return rc;
}

void lora_put(const eng_model *m, const char *canonical, bool hashes, q_buf *to)
{
    factors f[ENG_ADAPTERS];
    char err[Q_ERRLEN];
    q_buf b = { 0 };
    if (!*canonical)
        return;
    pthread_rwlock_rdlock(&m->lora->lock);
    read_factors(m, canonical, false, f, err);
    put_all(m, f, hashes, &b);
    pthread_rwlock_unlock(&m->lora->lock);
    factors_free(f);
    if (b.len)
        q_buf_add(to, b.p, b.len);
    q_buf_free(&b);
}

/* ---- what acts ---- */
uint64_t lora_hash(const eng_model *m, const char *canonical, uint64_t h)
{
    factors f[ENG_ADAPTERS];
    char err[Q_ERRLEN];
    if (!*canonical)
        return h;
    pthread_rwlock_rdlock(&m->lora->lock);
    read_factors(m, canonical, false, f, err);
    for (int i = 0; i < m->lora->n; i++) {
        if (!acts(m, &f[i]))
            continue;
        h = q_mix64(q_hash64("lora", 4, h), eng_adapter_info_of(m->lora->list[i].adapter)->hash);
        h = q_hash64(f[i].layer, sizeof *f[i].layer * (size_t)(m->ker.n_layer + 1), h);
        h = q_hash64(f[i].expert, sizeof *f[i].expert * grid(m), h);
    }
    pthread_rwlock_unlock(&m->lora->lock);
    factors_free(f);
    return h;
}

static float *floats(const double *from, size_t n)
{
    float *to = q_alloc(sizeof *to * (n + 1));
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
    return to;
}

ker_adapt *lora_adapt(const eng_model *m, const char *canonical, int *n)
{
    factors f[ENG_ADAPTERS];
    char err[Q_ERRLEN];
    *n = 0;
    if (!*canonical)
        return NULL;
    ker_adapt *out = q_alloc(sizeof *out * ENG_ADAPTERS);
    pthread_rwlock_rdlock(&m->lora->lock);
    read_factors(m, canonical, false, f, err);
    for (int i = 0; i < m->lora->n; i++)
        if (acts(m, &f[i]))
            out[(*n)++] = (ker_adapt){ m->lora->list[i].at, floats(f[i].layer, (size_t)(m->ker.n_layer + 1)), floats(f[i].expert, grid(m)) };
    pthread_rwlock_unlock(&m->lora->lock);
    factors_free(f);
    if (*n)
        return out;
    free(out);
    return NULL;
}

void lora_adapt_free(ker_adapt *a, int n)
{
    for (int i = 0; i < n; i++) {
        free((void *)(uintptr_t)a[i].layer);
        free((void *)(uintptr_t)a[i].expert);
    }
    free(a);
}

/* ---- what it costs ---- */

/* Under the lock: of one matrix of an adapter. Of experts that it changes at most k run for a token. */
static eng_added cost_of(const eng_model *m, const eng_low *w, const uint8_t *some, const factors *f, int k, uint8_t *changed)
{
    uint64_t one = (uint64_t)w->rank * (uint64_t)(w->n_in + w->n_out), times = 0;
    bool experts = ker_role_of_experts(w->role);
    size_t at = experts ? (size_t)w->layer * (size_t)m->ker.n_expert : 0;
    for (int e = 0; e < w->n_expert; e++) {
        bool acting = some[e] && (experts ? f->expert[at + (size_t)e] : f->layer[w->layer + 1]) != 0;
        times += acting;
        if (acting && experts && changed) changed[at + (size_t)e] = 1;
    }
    if (experts && times > (uint64_t)k)
        times = (uint64_t)k;
    if (w->role == KER_W_EMBD)         /* of an embedding A and a row of B are read */
        one = (uint64_t)w->rank * (uint64_t)(w->n_in + 1);
    return (eng_added){ times * one, times * one * sizeof(float) };
}

eng_cost lora_cost(const eng_model *m, const char *canonical, const int16_t *k, eng_added *of, uint8_t *changed, int *n)
{
    factors f[ENG_ADAPTERS];
    char err[Q_ERRLEN];
    eng_cost o = { 0 };
    *n = 0;
    if (!*canonical)
        return o;
    pthread_rwlock_rdlock(&m->lora->lock);
    read_factors(m, canonical, false, f, err);
    for (int i = 0; i < m->lora->n; i++) {
        int n_low;
        const eng_low *low = eng_adapter_lows(m->lora->list[i].adapter, &n_low);
        bool acting = acts(m, &f[i]);
        *n += acting;
        for (int w = 0; w < n_low && acting; w++) {
            eng_added one = cost_of(m, &low[w], m->lora->list[i].some[w], &f[i], low[w].layer < 0 ? 0 : k[low[w].layer], changed);
            o.params += one.params;
            *(low[w].layer < 0 ? &o.bytes_head : &o.bytes_layers) += one.bytes;
            if (of) {
                of[low[w].layer + 1].params += one.params;
                of[low[w].layer + 1].bytes += one.bytes;
            }
        }
    }
    pthread_rwlock_unlock(&m->lora->lock);
    factors_free(f);
    return o;
}

/* The CPU turns B of what is changed (kernels/cpu/low.c) and reads A where it lies; another device has copies of both. */
uint64_t lora_device_bytes(const eng_model *m, const eng_adapter *a)
{
    int n;
    const eng_low *low = eng_adapter_lows(a, &n);
    uint64_t bytes = 0;
    uint8_t **some = marks(a);
    for (int i = 0; i < n; i++) {
        for (int e = 0; e < low[i].n_expert; e++)
            bytes += some[i][e] ? sizeof(float) * (uint64_t)low[i].rank * (uint64_t)(low[i].n_out + (m->on.be == ker_cpu() ? 0 : low[i].n_in)) : 0;
        free(some[i]);
    }
    free(some);
    return bytes;
}

int lora_fits(const eng_model *m, const eng_adapter *a, uint64_t have, char *err)
{
    char need[32], room[32];
    uint64_t bytes = lora_device_bytes(m, a);
    if (have == 0 || bytes <= have)
        return Q_OK;
    return q_fail(err, Q_NOMEM, _("the adapter %s needs %s of memory more beside the model, but %s are free: close something, or take one of a lower rank or of fewer experts"),
                  eng_adapter_info_of(a)->path, q_bytes_words(bytes, need), q_bytes_words(have, room));
}
