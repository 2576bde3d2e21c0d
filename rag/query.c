/* rag/query: reads a question: its words, which of them are grammar, ask, or are everyday, what each weighs in this memory
 * (rag.h has the formula), and which parts of a long question may be answered by themselves. Pure but for the
 * frequencies it asks memory; any thread. It never looks at a passage. */
#include "rag/query.h"

#include "rag/lists.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a text longer than both, HEAD bytes at its start and TAIL at its end are read; its TERMS_MAX heaviest words are looked
 * for; a question of more than LONG that weigh has parts. */
enum { HEAD = 16 << 10, TAIL = 48 << 10, TERMS_MAX = 256, LONG = 12, CLAUSE_MIN = 2 };
static const double BACKGROUND = 2000, EVERYDAY = 200, RARE = 2, SLIGHT = 0.8, BEFORE = 0.7, ASKED = 0.5;

enum border { INSIDE, CLAUSE, SENTENCE, QUESTION };     /* what ends behind a word */
struct place { int term; enum border end; };            /* one word of the text as it stands there */

struct reading {
    rag_result *r;
    const char *text;
    struct place *place; int n, cap;
    size_t last;                        /* where the last word ended */
    int *by_stem;                       /* the terms in order of their stems */
    int cap_term;
    const struct rag_when *when;        /* words that say only when and by whom; NULL: none */
};

/* ---- words ---- */
/* A capital letter by itself is a name (C, R, vitamin D), but for those that begin sentences. */
static bool named(const mem_word *w)
{
    return (w->flags & MEM_WORD_CAPITAL) && w->word[1] == 0 && !strchr("ai", w->word[0]);
}

static bool slight(const mem_word *w)
{
    size_t n = strlen(w->word);
    if ((w->flags & MEM_WORD_WHOLE) || named(w)) return false;
    if (w->flags & MEM_WORD_NUMBER) return n <= 2;
    return n == 1 || (n == 2 && (unsigned char)w->word[0] >= 0xC0);     /* one letter of one or two bytes */
}

static enum border border(const char *p, size_t n)
{
    enum border b = INSIDE;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '?') return QUESTION;
        if (p[i] == '.' || p[i] == '!' || (p[i] == '\n' && i + 1 < n && p[i + 1] == '\n')) b = SENTENCE;
        if (b == INSIDE && (strchr(",;:()\n", p[i]) || strncmp(p + i, "—", strlen("—")) == 0 || strncmp(p + i, "–", strlen("–")) == 0)) b = CLAUSE;
    }
    return b;
}

/* The first of the sorted terms that is not before key. */
static int find(const rag_result *r, const int *v, const char *key)
{
    int a = 0, b = r->n_term;
    while (a < b) {
        int mid = (a + b) / 2;
        if (strcmp(r->term[v[mid]].stem, key) < 0) a = mid + 1;
        else b = mid;
    }
    return a;
}

static bool add_word(void *user, const mem_word *w)
{
    struct reading *d = user;
    rag_result *r = d->r;
    if (w->flags & MEM_WORD_EXACT) return true;
    for (int i = 0; d->when && i < d->when->n_span; i++)
        if (w->start >= d->when->span[i].start && w->start < d->when->span[i].end) return true;
    if (d->n && w->start > d->last) d->place[d->n - 1].end = border(d->text + d->last, w->start - d->last);
    if (w->end > d->last) d->last = w->end;
    int a = find(r, d->by_stem, w->stem);
    if (a == r->n_term || strcmp(r->term[d->by_stem[a]].stem, w->stem) != 0) {
        if (r->n_term == d->cap_term) {
            d->cap_term = d->cap_term ? d->cap_term * 2 : 64;
            r->term = q_realloc(r->term, sizeof *r->term * (size_t)d->cap_term);
            d->by_stem = q_realloc(d->by_stem, sizeof *d->by_stem * (size_t)d->cap_term);
        }
        memmove(d->by_stem + a + 1, d->by_stem + a, sizeof *d->by_stem * (size_t)(r->n_term - a));
        d->by_stem[a] = r->n_term;
        r->term[r->n_term++] = (rag_term){.word = q_strdup(w->word), .stem = q_strdup(w->stem), .whole = (w->flags & MEM_WORD_WHOLE) != 0,
                                          .weight = slight(w) ? SLIGHT : -1};
    }
    if (d->n == d->cap) d->place = q_realloc(d->place, sizeof *d->place * (size_t)(d->cap = d->cap ? d->cap * 2 : 64));
    d->place[d->n++] = (struct place){d->by_stem[a], INSIDE};
    return true;
}

/* Of the first `most` bytes those that are whole words, where a word of ordinary length is cut there. */
static size_t whole_words(const char *text, size_t n, size_t most)
{
    enum { WORD = 64 };
    if (n <= most) return n;
    for (size_t i = most; i > most - WORD; i--)
        if (strchr(" \t\r\n", text[i])) return i;
    return q_utf8_whole(text, most);
}

static void read_text(struct reading *d, const char *text, size_t n)
{
    d->text = text;
    d->last = 0;
    mem_words(text, n, add_word, d);
    if (!d->n) return;
    enum border end = border(text + d->last, n - d->last);
    d->place[d->n - 1].end = end > SENTENCE ? end : SENTENCE;
}

/* The terms in order of their stems. */
static int *sorted(const rag_result *r)
{
    int *v = q_alloc(sizeof *v * (size_t)(r->n_term + 1));
    rag_result some = *r;
    for (some.n_term = 0; some.n_term < r->n_term; some.n_term++) {
        int a = find(&some, v, r->term[some.n_term].stem);
        memmove(v + a + 1, v + a, sizeof *v * (size_t)(some.n_term - a));
        v[a] = some.n_term;
    }
    return v;
}

/* ---- what they weigh ---- */
/* Everyday words are known by their stem, grammar and asking by the very form ("being" is grammar, "beings" is not). */
static bool look_up(void *user, const mem_word *w)
{
    struct reading *d = user;
    rag_result *r = d->r;
    for (int a = find(r, d->by_stem, w->stem); a < r->n_term && strcmp(r->term[d->by_stem[a]].stem, w->stem) == 0; a++)
        r->term[d->by_stem[a]].everyday = true;
    return true;
}

static int weigh(mem_store *s, const rag_config *c, int64_t except, struct reading *d, char *err)
{
    for (const char *const *row = rag_everyday_words; *row; row++) mem_words(*row, strlen(*row), look_up, d);
    for (int i = 0; i < d->r->n_term; i++) {
        rag_term *t = &d->r->term[i];
        if (mem_grammar(t->word)) t->weight = 0;
        else if (rag_listed(rag_asking_words, t->word, false)) t->weight = SLIGHT;
    }
    for (int k = MEM_CHUNK; k <= (c->chats ? MEM_CHAT : MEM_CHUNK); k++) {
        int64_t with, of = -1;
        for (int i = 0; i < d->r->n_term; i++) {
            rag_term *t = &d->r->term[i];
            if (t->weight == 0) continue;
            int rc = mem_frequency(s, (enum mem_kind)k, t->word, t->stem, except, &with, of < 0 ? &of : NULL, err);
            if (rc != Q_OK) return rc;
            t->with += with;
            t->of += of;
        }
    }
    for (int i = 0; i < d->r->n_term; i++) {
        rag_term *t = &d->r->term[i];
        t->share = t->weight < 0 ? 1 : ASKED;
        if (t->weight >= 0) continue;
        double n = (double)t->with + (t->everyday ? EVERYDAY : RARE), all = (double)t->of + BACKGROUND;
        t->weight = log(1 + (all - n + .5) / (n + .5));
    }
    return Q_OK;
}

/* Whose word or of which time it is to be is a word of the question too, as rare as such turns are: where it asks for what was said, or
 * looks for nothing else. */
static void add_asked(const struct narrowing *x, struct reading *d, struct rag_query *q)
{
    rag_result *r = d->r;
    bool wordless = true;
    for (int i = 0; i < r->n_term; i++) wordless &= r->term[i].weight <= SLIGHT;
    if (!x->on || !x->n || !(x->talk || (x->strict && wordless))) return;
    q->wordless = wordless;
    double n = x->n + RARE, all = x->of + BACKGROUND;
    r->term = q_realloc(r->term, sizeof *r->term * (size_t)(r->n_term + 1));
    q->asks = r->n_term;
    r->term[r->n_term++] = (rag_term){.word = q_strdup(x->word), .stem = q_strdup(""), .with = x->n, .of = (int64_t)x->of, .weight = log(1 + (all - n + .5) / (n + .5))};
    if (d->n == d->cap) d->place = q_realloc(d->place, sizeof *d->place * (size_t)(d->cap = d->cap ? d->cap * 2 : 64));
    d->place[d->n++] = (struct place){q->asks, SENTENCE};
}

/* ---- parts ---- */
static void add_part(struct rag_query *q, const struct reading *d, int from, int to)
{
    const rag_result *r = q->r;
    struct rag_part p = {.term = q_alloc(sizeof(int) * (size_t)(to - from + 1))};
    bool *had = q_alloc((size_t)r->n_term + 1);
    for (int i = from; i < to; i++) {
        int t = d->place[i].term;
        if (had[t] || r->term[t].weight <= 0) continue;
        had[t] = true;
        p.term[p.n++] = t;
    }
    free(had);
    p.most = rag_most(r, p.term, p.n);
    q->part = q_realloc(q->part, sizeof *q->part * (size_t)(q->n_part + 1));
    q->part[q->n_part++] = p;
}

/* How many different words weigh in a stretch. */
static int weighty(const struct reading *d, int from, int to)
{
    int n = 0;
    for (int i = from; i < to; i++) {
        int t = d->place[i].term, j = from;
        if (d->r->term[t].weight <= SLIGHT) continue;
        while (d->place[j].term != t) j++;
        n += j == i;
    }
    return n;
}

/* A stretch [from, to) is cut behind borders of at least `at`; a piece too light to say anything goes with the next. */
static void cut(struct rag_query *q, const struct reading *d, int from, int to, enum border at)
{
    for (int i = from, start = from; i < to; i++) {
        enum border end = d->place[i].end;
        if (i + 1 < to && end < at) continue;
        int n = weighty(d, start, i + 1);
        if (n < (end == QUESTION ? 1 : CLAUSE_MIN) && i + 1 < to) continue;
        if (n > LONG && at > CLAUSE) cut(q, d, start, i + 1, CLAUSE);
        if (n && (start > 0 || i + 1 < d->n)) add_part(q, d, start, i + 1);
        start = i + 1;
    }
}

/* Of a very long question so many words are looked for: those that memory knows, the heaviest first. What the parts'
 * words weigh together stays as it was. */
static void lighten(rag_result *r, struct rag_query *q)
{
    if (r->n_term <= TERMS_MAX) return;
    bool *stays = q_alloc((size_t)r->n_term);
    int *to = q_alloc(sizeof *to * (size_t)r->n_term), n = 0;
    for (int k = 0; k < TERMS_MAX; k++) {
        int best = -1;
        for (int i = 0; i < r->n_term; i++) {
            if (stays[i]) continue;
            const rag_term *a = &r->term[i], *b = best < 0 ? NULL : &r->term[best];
            if (!b || (a->with > 0) > (b->with > 0) || ((a->with > 0) == (b->with > 0) && a->weight > b->weight)) best = i;
        }
        stays[best] = true;
    }
    for (int i = 0; i < r->n_term; i++) {
        to[i] = stays[i] ? n : -1;
        if (stays[i]) {
            r->term[n++] = r->term[i];
        } else {
            free(r->term[i].word);
            free(r->term[i].stem);
        }
    }
    r->n_term = n;
    for (int i = 0; i < q->n_part; i++) {
        struct rag_part *p = &q->part[i];
        int kept = 0;
        for (int k = 0; k < p->n; k++)
            if (to[p->term[k]] >= 0) p->term[kept++] = to[p->term[k]];
        p->n = kept;
    }
    free(stays);
    free(to);
}

int rag_query_read(mem_store *s, const rag_config *c, const char *question, const rag_scope *scope, const struct narrowing *narrow, rag_result *r, struct rag_query *q, char *err)
{
    struct reading d = {.r = r, .when = narrow ? &narrow->when : NULL};
    const char *before = scope->before;
    size_t n = strlen(question), head = n > HEAD + TAIL ? whole_words(question, n, HEAD) : n;
    *q = (struct rag_query){.r = r, .text = question, .narrow = narrow, .asks = -1};
    read_text(&d, question, head);
    d.when = NULL;
    if (head < n) {
        const char *tail = question + n - TAIL, *gap = strpbrk(tail, " \t\r\n");
        if (gap && gap - tail < 64) tail = gap;
        read_text(&d, tail, strlen(tail));
    }
    int own = r->n_term, own_places = d.n;
    bool back = before && *before && rag_points_back(question) && !(narrow && narrow->on && narrow->talk);
    if (back) {
        q->before = before;
        read_text(&d, before, whole_words(before, strlen(before), TAIL));
    }
    int rc = weigh(s, c, scope->conversation, &d, err);
    if (rc == Q_OK) {
        for (int i = own; i < r->n_term; i++)
            if (r->term[i].weight > SLIGHT) r->term[i].weight *= BEFORE, r->term[i].share = BEFORE;
        if (narrow) add_asked(narrow, &d, q);
        add_part(q, &d, 0, d.n);
        if (back && own_places < d.n) add_part(q, &d, 0, own_places);
        d.n = own_places;
        r->searched = q->part[0].n > 0;
        if (weighty(&d, 0, d.n) > LONG) cut(q, &d, 0, d.n, SENTENCE);
        q->own = own;
        lighten(r, q);
        q->by_stem = sorted(r);
    }
    free(d.by_stem);
    free(d.place);
    return rc;
}

void rag_query_free(struct rag_query *q)
{
    for (int i = 0; i < q->n_part; i++) free(q->part[i].term);
    free(q->part);
    free(q->by_stem);
    *q = (struct rag_query){0};
}

int rag_query_words(const struct rag_query *q, const char **words, int max)
{
    const rag_result *r = q->r;
    double least = SLIGHT;
    int n = 0;
    for (int i = 0; i < r->n_term; i++) n += r->term[i].weight > SLIGHT && r->term[i].with > 0;
    if (n == 0) least = 0;                      /* only numbers and letters: they will have to do */
    bool *had = q_alloc((size_t)r->n_term + 1);
    for (n = 0; n < max; n++) {
        int best = -1;
        for (int i = 0; i < r->n_term; i++)
            if (!had[i] && r->term[i].with > 0 && r->term[i].weight > least && (best < 0 || r->term[i].weight > r->term[best].weight)) best = i;
        if (best < 0) break;
        had[best] = true;
        words[n] = r->term[best].word;
    }
    free(had);
    return n;
}

struct comparing { const struct rag_query *q; bool *met, same; };

static bool compare_word(void *user, const mem_word *w)
{
    struct comparing *c = user;
    const rag_result *r = c->q->r;
    if (w->flags & MEM_WORD_EXACT) return true;
    int a = find(r, c->q->by_stem, w->stem), t = a < r->n_term ? c->q->by_stem[a] : -1;
    if (t >= 0 && t < c->q->own && strcmp(r->term[t].stem, w->stem) == 0) c->met[t] = true;
    else c->same = mem_grammar(w->word);
    return c->same;
}

bool rag_same_question(const struct rag_query *q, const char *other)
{
    size_t n = strlen(q->text), m = strlen(other);
    if (n == m && memcmp(q->text, other, n) == 0) return true;
    if (m == 0 || n >= MEM_ASKED_MAX || m >= MEM_ASKED_MAX || q->r->n_term >= TERMS_MAX) return false;
    struct comparing c = {.q = q, .met = q_alloc((size_t)q->own + 1), .same = true};
    bool says = false;
    mem_words(other, m, compare_word, &c);
    for (int i = 0; i < q->own && c.same; i++) {
        if (q->r->term[i].weight <= 0) continue;
        says = true;
        c.same = c.met[i];
    }
    free(c.met);
    return c.same && says;
}

/* A name of a program is of no language: something stands between its letters ("sampler.repeat_penalty"), or before them. */
static bool is_name(const char *w, size_t n)
{
    if (n && (*w == '/' || *w == '-')) return true;
    for (size_t i = 0; i + 1 < n; i++)
        if ((w[i] == '.' || w[i] == '_' || w[i] == '/') && ((unsigned char)w[i + 1] | 32) >= 'a' && ((unsigned char)w[i + 1] | 32) <= 'z') return true;
    return false;
}

bool rag_cyrillic(const char *s)
{
    int ru = 0, en = 0;
    for (; *s; s += strspn(s, " \t\r\n")) {
        size_t n = strcspn(s, " \t\r\n");
        bool name = is_name(s, n);
        for (size_t i = 0; i < n;) {
            uint32_t c;
            i += (size_t)q_utf8_next(s + i, n - i, &c);
            ru += c >= 0x400 && c <= 0x52F;
            en += !name && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
        }
        s += n;
    }
    return ru * 2 > en;
}
