/* engine/adapter/lows: see lows.h. */
#include "engine/adapter/lows.h"
#include "engine/run/model.h"
#include "engine/run/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

eng_adapter *lows_new(const char *path)
{
    eng_adapter *ad = q_alloc(sizeof *ad);
    ad->path = q_strdup(path);
    ad->name = q_strdup("");
    ad->arch = q_strdup("");
    ad->base = q_strdup("");
    ad->note = q_strdup("");
    ad->doubt = q_strdup("");
    return ad;
}

void eng_adapter_free(eng_adapter *ad)
{
    if (!ad) return;
    for (int i = 0; i < ad->n; i++) {
        free(ad->own[i].a);
        free(ad->own[i].b);
    }
    free(ad->own);
    free(ad->low);
    free(ad->path);
    free(ad->name);
    free(ad->arch);
    free(ad->base);
    free(ad->note);
    free(ad->doubt);
    free(ad);
}

const eng_adapter_info *eng_adapter_info_of(const eng_adapter *ad) { return &ad->info; }
const char *lows_arch(const eng_model *m) { return m->arch->name; }

const eng_low *eng_adapter_lows(const eng_adapter *ad, int *n)
{
    *n = ad->n;
    return ad->low;
}

/* ---- a matrix ---- */

bool lows_role(enum ker_role role)
{
    const ker_role_row *r = ker_role_get(role);
    return r && !r->vec && r->where != KER_IN_NEXT && role != KER_W_K_B && role != KER_W_V_B;
}

/* Against the model: there is such a place, and of that shape. */
static int fits(const eng_model *m, const eng_low *s, const char *called, low_own *o, char *err)
{
    weight_view v;
    char why[Q_ERRLEN];
    if (s->layer >= m->ker.n_layer)
        return q_fail(err, Q_RANGE, _("%s is for another model: it changes layer %d, and %s has %d layers"), called, s->layer, m->info.name, m->ker.n_layer);
    int rc = weight_find(m, s->role, s->layer, &v, why);
    if (rc == Q_NOTFOUND && s->role == KER_W_OUT) {                /* tied: the head that is the embedding's matrix, the embedding left as it is */
        rc = weight_find(m, KER_W_EMBD, -1, &v, why);
        arch_tensor_name(m->arch, KER_W_OUT, -1, v.name, sizeof v.name);
    }
    if (rc != Q_OK)
        return q_fail(err, Q_RANGE, _("%s is for another model: %s has no such matrix (%s) there"), called, m->info.name, _(ker_role_get(s->role)->name));
    int64_t ne[3];
    ker_role_shape(&m->ker, s->layer, s->role, ne);
    if (s->n_in != ne[0] || s->n_out != ne[1] || s->n_expert != ne[2])
        return q_fail(err, Q_RANGE, _("%s is for another model: it is %lld x %lld x %d, and %s has %lld x %lld x %lld there"), called, (long long)s->n_in,
                      (long long)s->n_out, s->n_expert, m->info.name, (long long)ne[0], (long long)ne[1], (long long)ne[2]);
    snprintf(o->tensor, sizeof o->tensor, "%s", v.name);
    return Q_OK;
}

/* Bytes of floats; 0: too many to be addressed. */
static size_t floats(int64_t x, int64_t y, int64_t z)
{
    size_t n;
    if (x < 1 || y < 1 || z < 1 || __builtin_mul_overflow((size_t)x, (size_t)y, &n) || __builtin_mul_overflow(n, (size_t)z, &n) ||
        __builtin_mul_overflow(n, sizeof(float), &n) || n > SIZE_MAX / 4)
        return 0;
    return n;
}

int lows_add(eng_adapter *ad, const eng_model *m, const eng_low *s, double scale, const char *called, float **a, float **b, char *err)
{
    low_own o = { .low = *s, .scale = scale };
    int rc = m ? fits(m, s, called, &o, err) : Q_OK;
    if (rc) return rc;
    size_t na = floats(s->n_expert, s->rank, s->n_in), nb = floats(s->n_expert, s->n_out, s->rank);
    bool room = na && nb && na + nb <= q_mem_available();          /* what was filled before takes part in that */
    o.a = room ? calloc(1, na) : NULL;
    o.b = room ? calloc(1, nb) : NULL;
    if (!o.a || !o.b) {
        char words[32];
        free(o.a);
        free(o.b);
        return q_fail(err, Q_NOMEM, _("%s needs %s of memory, more than there is"), called, q_bytes_words(na + nb, words));
    }
    o.low.scale = (float)scale;
    o.low.a = o.a;
    o.low.b = o.b;
    if (ad->n == ad->cap) {
        ad->cap = ad->cap ? 2 * ad->cap : 64;
        ad->own = q_realloc(ad->own, sizeof *ad->own * (size_t)ad->cap);
    }
    ad->own[ad->n++] = o;
    *a = o.a;
    *b = o.b;
    return Q_OK;
}

void lows_take(float *to, const float *from, size_t n, int n_expert)
{
    size_t each = n / (size_t)n_expert;
    for (int e = 0; e < n_expert; e++, to += each, from += each) {
        size_t i = 0;
        while (i < each && from[i] == 0) i++;
        if (i < each) memcpy(to, from, sizeof *to * each);
    }
}

low_own *lows_find(eng_adapter *ad, enum ker_role role, int layer)
{
    for (int i = ad->n; i-- > 0;)
        if (ad->own[i].low.role == role && ad->own[i].low.layer == layer) return &ad->own[i];
    return NULL;
}

/* ---- the whole ---- */

static int by_place(const void *x, const void *y)
{
    const eng_low *a = &((const low_own *)x)->low, *b = &((const low_own *)y)->low;
    if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
    return (a->role > b->role) - (a->role < b->role);
}

static size_t n_a(const eng_low *l) { return (size_t)l->n_expert * (size_t)l->rank * (size_t)l->n_in; }
static size_t n_b(const eng_low *l) { return (size_t)l->n_expert * (size_t)l->rank * (size_t)l->n_out; }

/* Numbers of those of its n_expert parts that are not all zero. */
static size_t n_some(const float *p, size_t n, int n_expert)
{
    size_t each = n / (size_t)n_expert, all = 0;
    for (int e = 0; e < n_expert; e++, p += each) {
        size_t i = 0;
        while (i < each && p[i] == 0) i++;
        all += i < each ? each : 0;
    }
    return all;
}

static bool finite_all(const float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(p[i])) return false;
    return true;
}

static int look_at(const eng_adapter *ad, const low_own *o, const low_own *before, char *err)
{
    const eng_low *l = &o->low;
    const char *what = _(ker_role_get(l->role)->name);
    if (before && by_place(before, o) == 0)
        return q_fail(err, Q_FORMAT, _("%s changes %s of layer %d twice: write it anew with one change for each matrix"), ad->path, what, l->layer);
    if (!isfinite(l->scale))
        return q_fail(err, Q_FORMAT, _("%s: the scale of %s of layer %d is no finite number: the adapter is damaged, take another copy"), ad->path, what, l->layer);
    if (!finite_all(o->a, n_a(l)) || !finite_all(o->b, n_b(l)))
        return q_fail(err, Q_FORMAT, _("%s: a weight of %s of layer %d is not a number or not finite: its training went wrong, take an earlier state of it"), ad->path, what, l->layer);
    return Q_OK;
}

static uint64_t hash_of(const eng_adapter *ad)
{
    uint64_t h = 0x6c6f7261;                               /* "lora" */
    for (int i = 0; i < ad->n; i++) {
        const eng_low *l = &ad->low[i];
        const int64_t head[6] = { l->role, l->layer, l->n_expert, l->n_in, l->n_out, l->rank };
        h = q_hash64(head, sizeof head, h);
        h = q_hash64(&l->scale, sizeof l->scale, h);
        h = q_hash64(l->a, sizeof(float) * n_a(l), h);
        h = q_hash64(l->b, sizeof(float) * n_b(l), h);
    }
    return h;
}

int lows_finish(eng_adapter *ad, char *err)
{
    if (ad->n == 0)
        return q_fail(err, Q_FORMAT, _("%s changes nothing: there is no low-rank matrix in it"), ad->path);
    qsort(ad->own, (size_t)ad->n, sizeof *ad->own, by_place);
    ad->low = q_realloc(ad->low, sizeof *ad->low * (size_t)ad->n);
    eng_adapter_info *o = &ad->info;
    *o = (eng_adapter_info){ .path = ad->path, .name = ad->name, .arch = ad->arch, .base = ad->base, .note = ad->note, .doubt = ad->doubt, .n_low = ad->n,
                             .rank_min = ad->own[0].low.rank, .first_layer = ad->own[0].low.layer, .last_layer = ad->own[ad->n - 1].low.layer };
    bool one = true;
    for (int i = 0; i < ad->n; i++) {
        int rc = look_at(ad, &ad->own[i], i ? &ad->own[i - 1] : NULL, err);
        if (rc) return rc;
        const eng_low *l = &ad->own[i].low;
        ad->low[i] = *l;
        o->params += n_a(l) + n_b(l);
        o->held += sizeof(float) * (n_some(l->a, n_a(l), l->n_expert) + n_some(l->b, n_b(l), l->n_expert));
        o->rank_min = l->rank < o->rank_min ? l->rank : o->rank_min;
        o->rank_max = l->rank > o->rank_max ? l->rank : o->rank_max;
        if (l->layer >= 0 && o->first_layer < 0) o->first_layer = l->layer;
        one = one && (float)(ad->own[i].scale * l->rank) == (float)(ad->own[0].scale * ad->own[0].low.rank);
    }
    o->bytes = o->params * sizeof(float);
    o->alpha = ad->alpha != 0 ? (float)ad->alpha : one ? (float)(ad->own[0].scale * ad->own[0].low.rank) : 0;
    o->hash = hash_of(ad);
    return Q_OK;
}

/* Letters and digits of a name's last part, in small letters: "Qwen/Qwen3-0.6B" is "qwen306b". */
static char *bare(const char *s, size_t n)
{
    q_buf b = { 0 };
    for (size_t i = n; i-- > 0;)
        if (s[i] == '/' && i + 1 < n) {
            s += i + 1, n -= i + 1;
            break;
        }
    q_buf_puts(&b, "");
    for (size_t i = 0; i < n; i++)
        if ((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z')) q_buf_putc(&b, s[i]);
        else if (s[i] >= 'A' && s[i] <= 'Z') q_buf_putc(&b, (char)(s[i] - 'A' + 'a'));
    return q_buf_take(&b);
}

void lows_doubt(eng_adapter *ad, const eng_model *m)
{
    static const char *const keys[] = { "general.name", "general.basename", "general.base_model.0.name" };
    bool any = false, like = false;
    char *want = bare(ad->base, strlen(ad->base));
    for (size_t i = 0; i < sizeof keys / sizeof *keys && *want; i++) {
        gguf_str s;
        if (!gguf_string(m->file, keys[i], &s)) continue;
        char *own = bare(s.p, s.n);
        any = any || *own;
        like = like || (*own && (strstr(own, want) || strstr(want, own)));
        free(own);
    }
    free(want);
    if (!any || like || ad->base_id) return;
    free(ad->doubt);
    ad->doubt = q_printf(_("%s says that it was made for %s, and this model is called %s: shapes fit, but it may be another one's"), ad->path, ad->base, m->info.name);
}

int lows_base(const eng_adapter *ad, const eng_model *m, bool tied, char *err)
{
    if (*ad->arch && strcmp(ad->arch, m->arch->name) != 0)
        return q_fail(err, Q_RANGE, _("%s is for another model: it is of architecture %s, and %s is %s"), ad->path, ad->arch, m->info.name, m->arch->name);
    if (tied && ad->base_id && ad->base_id != m->info.id)
        return q_fail(err, Q_RANGE, _("%s is for another model: it was made for %s (%016llx), and %s is %016llx; `quorum model lora-export` writes it without that tie"),
                      ad->path, *ad->base ? ad->base : _("a file"), (unsigned long long)ad->base_id, m->info.name, (unsigned long long)m->info.id);
    return Q_OK;
}

int eng_adapter_make(const eng_model *m, const char *name, const eng_low *low, int n, const char *note, eng_adapter **out, char *err)
{
    eng_adapter *ad = lows_new(name);
    int rc = m->vocab_only ? q_fail(err, Q_RANGE, _("%s holds no weights: it is a vocabulary only"), m->path) : Q_OK;
    free(ad->name);
    free(ad->arch);
    free(ad->base);
    free(ad->note);
    ad->name = q_strdup(name);
    ad->arch = q_strdup(rc ? "" : m->arch->name);
    ad->base = q_strdup(m->info.name ? m->info.name : "");
    ad->note = q_strdup(note ? note : "");
    ad->base_id = m->info.id;
    for (int i = 0; i < n && !rc; i++) {
        float *a, *b;
        if (!lows_role(low[i].role) || low[i].rank < 1)
            rc = q_fail(err, Q_RANGE, _("%s: matrix %d is of a kind that a low-rank change cannot be made of"), name, i);
        else
            rc = lows_add(ad, m, &low[i], (double)low[i].scale, name, &a, &b, err);
        if (!rc) {
            lows_take(a, low[i].a, n_a(&low[i]), low[i].n_expert);
            lows_take(b, low[i].b, n_b(&low[i]), low[i].n_expert);
        }
    }
    if (!rc) rc = lows_finish(ad, err);
    if (rc) eng_adapter_free(ad);
    else *out = ad;
    return rc;
}
