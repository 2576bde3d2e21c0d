/* advice/redact: see redact.h. Puts words in the place of what was found, the same for the same, and counts. */
#include "advice/redact.h"
#include "memory/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *word, *many; } kinds[RED_KINDS] = {
    [RED_SECRET] = { "SECRET", N_("keys, tokens and passwords") }, [RED_EMAIL] = { "EMAIL", N_("e-mail addresses") }, [RED_PHONE] = { "PHONE", N_("phone numbers") },
    [RED_CARD] = { "CARD", N_("card numbers") }, [RED_IBAN] = { "IBAN", N_("bank accounts (IBAN)") }, [RED_IP] = { "IP", N_("network addresses") },
    [RED_NUMBER] = { "NUMBER", N_("numbers of documents and accounts") }, [RED_ADDRESS] = { "ADDRESS", N_("street addresses") }, [RED_PERSON] = { "PERSON", N_("names of people") } };

typedef struct known { uint64_t hash; int number; } known;

struct redactor {
    struct red_names *names;
    redact_found found[RED_KINDS];
    known *v[RED_KINDS]; int n[RED_KINDS];      /* open addressing; a power of two */
    redact_doubt *doubt; int n_doubt;
};

const char *redact_word(enum redact_kind k) { return kinds[k].word; }
const char *redact_kind_words(enum redact_kind k) { return _(kinds[k].many); }
const redact_found *redact_of(const redactor *r, enum redact_kind k) { return &r->found[k]; }

redactor *redact_new(const char *const *name, int n)
{
    redactor *r = q_alloc(sizeof *r);
    r->names = red_names_new(name, n);
    return r;
}

void redact_free(redactor *r)
{
    if (!r) return;
    red_names_free(r->names);
    for (int k = 0; k < RED_KINDS; k++) free(r->v[k]);
    for (int i = 0; i < r->n_doubt; i++) free(r->doubt[i].name);
    free(r->doubt);
    free(r);
}

/* Which thing of its kind this is: letters and digits count, in any case. */
static uint64_t name_of(const char *p, size_t n)
{
    uint64_t h = 1;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] >= 0x80 || isalnum((unsigned char)p[i])) h = q_mix64(h, (uint64_t)tolower((unsigned char)p[i]));
    return h ? h : 1;
}

static int number_of(redactor *r, enum redact_kind k, uint64_t hash)
{
    int cap = r->n[k], full = r->found[k].different;
    if (full * 2 >= cap) {
        int more = cap ? cap * 2 : 64;
        known *v = q_alloc(sizeof *v * (size_t)more);
        for (int i = 0; i < cap; i++)
            if (r->v[k][i].number) {
                int at = (int)(r->v[k][i].hash & (uint64_t)(more - 1));
                while (v[at].number) at = (at + 1) & (more - 1);
                v[at] = r->v[k][i];
            }
        free(r->v[k]);
        r->v[k] = v;
        cap = r->n[k] = more;
    }
    int at = (int)(hash & (uint64_t)(cap - 1));
    while (r->v[k][at].number && r->v[k][at].hash != hash) at = (at + 1) & (cap - 1);
    if (!r->v[k][at].number) r->v[k][at] = (known){ hash, ++r->found[k].different };
    return r->v[k][at].number;
}

/* The first and the last letter; what is short is hidden whole. */
static void show(redact_found *f, const char *p, size_t n)
{
    if (f->n_shown == RED_SHOWN) return;
    uint32_t c;
    size_t first = (size_t)q_utf8_next(p, n, &c), last = n - 1;
    while (last > first && (p[last] & 0xC0) == 0x80) last--;
    char *s = f->shown[f->n_shown++];
    if (n < 5 || strpbrk((char[]){ p[0], p[last], 0 }, "\n\r\t")) snprintf(s, sizeof f->shown[0], "…");
    else snprintf(s, sizeof f->shown[0], "%.*s…%.*s", (int)first, p, (int)(n - last), p + last);
}

static int by_place(const void *a, const void *b)
{
    const red_span *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* ---- names that nobody took for a person's ---- */
typedef struct doubting { redactor *r; const char *text; const red_spans *s; } doubting;

static bool doubt(void *user, const mem_entity *e)
{
    doubting *d = user;
    redactor *r = d->r;
    const char *p = d->text + e->start;
    size_t n = e->end - e->start;
    if (e->kind != MEM_ENTITY_NAME || !memchr(p, ' ', n) || n > 80 || memchr(p, '\n', n)) return true;
    for (int i = 0; i < d->s->n; i++)
        if (d->s->v[i].from < e->end && e->start < d->s->v[i].to) return true;
    for (int i = 0; i < r->n_doubt; i++)
        if (strlen(r->doubt[i].name) == n && memcmp(r->doubt[i].name, p, n) == 0) {
            r->doubt[i].n++;
            return true;
        }
    enum { DOUBTS = 1000 };
    if (r->n_doubt == DOUBTS) return false;
    if ((r->n_doubt & (r->n_doubt - 1)) == 0) r->doubt = q_realloc(r->doubt, sizeof *r->doubt * (size_t)(r->n_doubt ? r->n_doubt * 2 : 1));
    r->doubt[r->n_doubt++] = (redact_doubt){ q_strndup(p, n), 1 };
    return true;
}

static int by_count(const void *a, const void *b)
{
    const redact_doubt *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->name, y->name);
}

int redact_doubts(redactor *r, const redact_doubt **out)
{
    if (r->n_doubt) qsort(r->doubt, (size_t)r->n_doubt, sizeof *r->doubt, by_count);
    *out = r->doubt;
    return r->n_doubt;
}

/* ---- a text ---- */
void redact_learn(redactor *r, const char *text, size_t n) { red_names_learn(r->names, text, n); }

void redact_text(redactor *r, const char *text, size_t n, q_buf *out)
{
    red_spans marks = {0}, all = {0};
    red_find_marks(text, n, &marks);
    red_names_find(r->names, text, n, &marks, &all);
    for (int i = 0; i < marks.n; i++) red_spans_add(&all, marks.v[i]);
    if (all.n) qsort(all.v, (size_t)all.n, sizeof *all.v, by_place);
    size_t at = 0;
    q_buf_puts(out, "");
    for (int i = 0; i < all.n; i++) {
        const red_span *s = &all.v[i];
        redact_found *f = &r->found[s->kind];
        uint64_t hash = s->kind == RED_PERSON ? (uint64_t)s->person + 1 : name_of(text + s->from, s->to - s->from);
        if (s->from < at) continue;
        q_buf_add(out, text + at, s->from - at);
        q_buf_printf(out, "[%s-%d]", kinds[s->kind].word, number_of(r, s->kind, hash));
        f->n++;
        show(f, text + s->from, s->to - s->from);
        at = s->to;
    }
    q_buf_add(out, text + at, n - at);
    doubting d = { r, text, &all };
    mem_entities(text, n, doubt, &d);
    free(marks.v);
    free(all.v);
}
