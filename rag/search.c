/* rag/search: from a question to passages with every number (the formula is in rag.h). Pure but for the queries
 * it asks memory; any thread. It never feeds anything: it says what should be fed and why. */
#include "rag/rag.h"

#include "base/say.h"
#include "rag/associate.h"
#include "rag/gather.h"
#include "rag/label.h"
#include "rag/links.h"
#include "rag/meaning.h"
#include "rag/narrow.h"
#include "rag/query.h"
#include "rag/twins.h"
#include "rag/wishes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHOWN_MAX = 20, ANSWERS_MAX = 5, LONG_TEXT = 1200 };

/* ---- a passage ---- */
/* A passage answers the whole question or that part of a long one which it answers best. */
static void measure_passage(const struct rag_query *q, rag_passage *p, const struct gathered *c, const struct passage_words *w)
{
    struct rag_measured m = {.match = p->match, .margin = c->sides.margin, .whole = q->part[0].most};
    const double *tf = c->tf;
    m.fact = p->kind == MEM_CHUNK && c->m.source == q->facts;
    if (m.margin > 0) m.foreign = rag_cyrillic(q->text) != rag_cyrillic(c->m.text);
    rag_presence(q, w, p->presence);
    for (int i = 0; p->kind == MEM_CHAT && i < q->r->n_term; i++) {        /* what stands around a turn speaks for it */
        double s = tf && tf[i] < 1 ? tf[i] : tf != NULL;
        if (q->r->term[i].weight > 0 && s > p->presence[i]) p->presence[i] = s;
    }
    if (q->asks >= 0) p->presence[q->asks] = 1;            /* all that comes in is what was asked for */
    p->score = -1;
    for (int i = 0; i < q->n_part; i++) {
        double signal[RAG_SIGNALS_MAX] = {0};
        rag_measure(q, &q->part[i], p->presence, &m);
        double score = rag_score(&m, signal);
        if (score <= p->score) continue;
        p->score = score;
        memcpy(p->signal, signal, sizeof signal);
    }
}

/* A long message is represented by its best part. */
static void best_part(const struct rag_query *q, const mem_passage *m, rag_passage *p, size_t *from, size_t *n)
{
    *from = 0;
    *n = strlen(m->text);
    if (m->kind == MEM_CHUNK || *n <= LONG_TEXT) return;
    mem_chunk *c;
    int k = rag_chunk(m->text, *n, RAG_MARKDOWN, &c);
    double best = -1;
    for (int i = 0; i < k; i++) {
        double sum = 0;
        rag_presence(q, &(struct passage_words){"", c[i].heading, c[i].text, c[i].n, false}, p->presence);
        for (int t = 0; t < q->r->n_term; t++) sum += q->r->term[t].weight * p->presence[t];
        if (sum > best) {
            best = sum;
            *from = c[i].offset;
            *n = c[i].n;
        }
    }
    rag_chunks_free(c, k);
}

/* Does the question name who said it? */
static bool names(const struct rag_query *q, const char *author)
{
    bool named = false;
    if (!*author) return false;
    double *presence = q_alloc(sizeof *presence * (size_t)(q->r->n_term + 1));
    rag_presence(q, &(struct passage_words){"", "", author, strlen(author), false}, presence);
    for (int i = 0; i < q->own; i++) named |= presence[i] > 0 && q->r->term[i].weight > 0;
    free(presence);
    return named;
}

static int by_score(const void *a, const void *b)
{
    const rag_passage *x = a, *y = b;
    if ((x->wish == RAG_PINNED) != (y->wish == RAG_PINNED)) return x->wish == RAG_PINNED ? -1 : 1;
    if ((x->trust == MEM_TRUST_MODEL) != (y->trust == MEM_TRUST_MODEL)) return y->trust == MEM_TRUST_MODEL ? -1 : 1;
    if (rag_judged(x) != rag_judged(y)) return rag_judged(x) ? -1 : 1;
    if (x->match != y->match) return x->match > y->match ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : 1;          /* a total order: the same question gives the same list */
}

static void passage_free(rag_passage *p)
{
    free(p->label);
    free(p->cite);
    free(p->text);
    free(p->through);
    free(p->presence);
}

/* ---- candidates ---- */
/* Who said it, where the question names just that one of those who speak in what was found; and the talks in which
 * somebody whom it names takes part. */
static void who_speaks(struct gathering *g)
{
    const char *one = NULL;
    bool several = false;
    for (int i = 0; i < g->n; i++) {
        const char *who = g->v[i].m.author;
        if (!names(g->q, who)) continue;
        several |= one && strcmp(one, who) != 0;
        one = who;
        for (int k = 0; k < g->n; k++)
            if (g->v[k].m.kind == MEM_CHAT && g->v[k].m.source == g->v[i].m.source) g->v[k].sides.present = 1;
    }
    for (int i = 0; i < g->n; i++) g->v[i].sides.speaker = one && !several && strcmp(one, g->v[i].m.author) == 0;
}

static void judge(const struct gathering *g, const struct gathered *c, double most)
{
    rag_result *r = g->q->r;
    const mem_passage *m = &c->m;
    rag_passage *p = &r->v[r->n++];
    *p = (rag_passage){.kind = m->kind, .id = m->id, .source = m->source, .trust = m->trust, .bm25 = c->bm25,
                       .presence = q_alloc(sizeof(double) * (size_t)r->n_term)};
    /* A small model takes either for what it should say, word for word, and what it said becomes its own witness. */
    bool wanted = g->q->narrow && g->q->narrow->talk;      /* it asks for what was said */
    if (!wanted && m->kind == MEM_CHAT && rag_same_question(g->q, m->trust == MEM_TRUST_MODEL ? m->asked : m->text)) p->repeats = -1;
    size_t from, len;
    best_part(g->q, m, p, &from, &len);
    p->match = most > 0 ? fmin(rag_fuse(&c->sides) / most, 1) : 1;
    int n_side;
    const rag_side *side = rag_sides(&n_side);
    for (int i = 0; i < n_side; i++) p->side[i] = floor(side[i].of(&c->sides) * 1000 + .5) / 1000;
    measure_passage(g->q, p, c, &(struct passage_words){m->name, m->heading, m->text + from, len, m->trust == MEM_TRUST_MANUAL});
    p->label = rag_label(m);
    p->cite = rag_cite(m);
    p->through = rag_through(c);
    p->text = q_strndup(m->text + from, len);
    p->offset = m->offset + (int64_t)from;
    p->taken_ms = m->kind == MEM_CHUNK && m->trust == MEM_TRUST_OWN ? m->created_ms : 0;
}

/* The document of what a person wanted remembered; 0: there is none. */
static int64_t facts_of(mem_store *s)
{
    char err[Q_ERRLEN];
    mem_document d = {0};
    int64_t id = mem_document_by_path(s, RAG_FACTS, &d, err) == Q_OK ? d.id : 0;
    mem_document_free(&d);
    return id;
}

/* Of the ranking what is of the sources that are searched: so that what stands elsewhere takes no place from it. */
static void keep_under(const struct gathering *g, struct ranking *k)
{
    int n = 0;
    for (int i = 0; i < k->n; i++) {
        if (rag_gather_may(g, k->v[i].kind, k->v[i].id)) k->v[n++] = k->v[i];
        else free(k->v[i].tf);
    }
    k->n = n;
}

static int find(mem_store *s, const rag_config *c, const struct rag_query *q, const rag_scope *scope, char *err)
{
    struct ranking k = {0};
    struct gathering *g = q_alloc(sizeof *g);
    *g = (struct gathering){.s = s, .q = q, .except = scope->conversation, .ru = rag_cyrillic(q->text), .no_answers = !c->answers};
    bool wordless = q->wordless;
    g->narrow = q->narrow;
    double best[2] = {0, 0};            /* of what a model said, and of the rest */
    mem_under under = {0};
    int rc = scope->n_of ? mem_passages_under(s, scope->of, scope->n_of, &under, err) : Q_OK;
    g->under = scope->n_of ? &under : NULL;
    if (rc == Q_OK) rc = rag_rank(s, c, q, &k, err);
    if (rc == Q_OK) keep_under(g, &k);
    if (rc == Q_OK) rc = rag_gather_narrow(g, &k, wordless, err);
    if (rc == Q_OK) rc = rag_gather_best(g, &k, err);
    if (rc == Q_OK && !wordless) rc = rag_gather_near(g, c, scope->near, &k, err);
    if (rc == Q_OK && !wordless) rc = rag_follow_links(g, err);
    if (rc == Q_OK && !wordless) rc = rag_gather_graph(g, c, err);
    if (rc == Q_OK) who_speaks(g);
    q->r->v = q_alloc(sizeof *q->r->v * (size_t)(g->n + 1));
    for (int i = 0; i < g->n; i++) {
        g->v[i].sides.model = g->v[i].m.trust == MEM_TRUST_MODEL;
        g->v[i].sides.manual = g->v[i].m.trust == MEM_TRUST_MANUAL;
        double *most = &best[!g->v[i].sides.model];
        *most = fmax(*most, rag_fuse(&g->v[i].sides));
    }
    for (int i = 0; i < g->n; i++) {
        if (rc == Q_OK) judge(g, &g->v[i], best[1] > 0 ? best[1] : best[0]);
        mem_passage_free(&g->v[i].m);
    }
    free(g);
    mem_under_free(&under);
    rag_ranking_free(&k);
    return rc;
}

int rag_again(mem_store *s, const rag_fed *fed, int n, rag_result **out, char *err)
{
    rag_result *r = q_alloc(sizeof *r);
    int rc = Q_OK;
    *out = NULL;
    r->v = q_alloc(sizeof *r->v * (size_t)(n + 1));
    for (int i = 0; i < n && rc == Q_OK; i++) {
        mem_passage m = {0};
        rc = mem_passage_get(s, fed[i].kind, fed[i].id, &m, err);
        int64_t all = rc == Q_OK ? (int64_t)strlen(m.text) : 0, len = fed[i].n < 0 ? all : fed[i].n;
        if (rc == Q_NOTFOUND || (rc == Q_OK && (fed[i].from < 0 || fed[i].from > all || len > all - fed[i].from)))
            rc = q_fail(err, Q_NOTFOUND, _("passage [%d] that this answer was given is not in memory any more as it was"), i + 1);
        if (rc == Q_OK)
            r->v[r->n++] = (rag_passage){.kind = fed[i].kind, .id = m.id, .source = m.source, .trust = m.trust, .label = rag_label(&m), .cite = rag_cite(&m),
                                         .text = q_strndup(m.text + fed[i].from, (size_t)len), .number = r->n_fed = i + 1};
        mem_passage_free(&m);
    }
    if (rc == Q_OK) *out = r;
    else rag_result_free(r);
    return rc;
}

/* One more, or one less, of what was cut so. */
static void counted(rag_result *r, enum rag_fate f, int by)
{
    if (f == RAG_FED) return;
    if (f == RAG_BELOW) r->n_below += by;
    else if (f == RAG_ANSWER) r->n_answers += by;
    else if (rag_fate_unwanted(f)) r->n_unwanted += by;
    else r->n_over += by;
    if (rag_fate_repeats(f)) r->n_repeat += by;
}

/* What is fed, as rag/twins.h sees it. */
struct folding { struct twin *of; bool *read; };

static const struct twin *twin_of(struct folding *f, const rag_result *r, int i)
{
    if (!f->read[i]) rag_twin_read(r->v[i].text, strlen(r->v[i].text), &f->of[i]);
    f->read[i] = true;
    return &f->of[i];
}

/* Which of those that are fed says it already, counted from 1; 0: none. */
static int repeats(const rag_result *r, int i, struct folding *f)
{
    const rag_passage *p = &r->v[i];
    for (int j = 0; j < i; j++)
        if (r->v[j].fate == RAG_FED && (strstr(r->v[j].text, p->text) || (r->v[j].kind == p->kind && r->v[j].id == p->id) || rag_twin_of(twin_of(f, r, i), twin_of(f, r, j)))) return j + 1;
    return 0;
}

/* What becomes of the i-th, all before it being decided. */
static enum rag_fate fate_of(const rag_config *c, const rag_scope *scope, const rag_result *r, int i, struct folding *f)
{
    rag_passage *p = &r->v[i];
    bool pinned = p->wish == RAG_PINNED;
    if (p->repeats > 0) p->repeats = 0;
    if (p->wish == RAG_UNWANTED || p->wish == RAG_BANNED) return p->wish == RAG_BANNED ? RAG_OF_BANNED : RAG_LEFT_OUT;
    if (p->score < c->min_score && !pinned) return RAG_BELOW;
    if (p->repeats < 0 && !pinned) return RAG_SAME;
    if (p->trust == MEM_TRUST_MODEL && !c->answers && !pinned) return RAG_ANSWER;
    int twin = repeats(r, i, f);
    if (twin) {
        p->repeats = twin;
        return RAG_REPEATS;
    }
    if (r->n_fed >= c->max_passages && !pinned) return RAG_OVER_COUNT;
    size_t n = strlen(p->text);
    p->tokens = scope->count ? scope->count(scope->user, p->text, n) : (int)((n + 3) / 4);
    return p->tokens > p->room ? RAG_OVER_BUDGET : RAG_FED;
}

static void choose(const rag_config *c, const rag_scope *scope, rag_result *r)
{
    int room = c->budget;
    struct folding f = {q_alloc(sizeof *f.of * (size_t)(r->n + 1)), q_alloc((size_t)r->n + 1)};
    r->max_passages = c->max_passages;
    if (scope->budget >= 0 && scope->budget < room) room = scope->budget;
    for (int i = 0; i < r->n; i++) {
        rag_passage *p = &r->v[i];
        p->room = room - r->fed_tokens;
        p->fate = fate_of(c, scope, r, i, &f);
        counted(r, p->fate, 1);
        if (p->fate == RAG_BELOW) r->best_below = fmax(r->best_below, p->score);
        if (p->fate != RAG_FED) continue;
        r->n_fed++;
        r->fed_tokens += p->tokens;
    }
    for (int i = 0; i < r->n; i++) rag_twin_free(&f.of[i]);
    free(f.of);
    free(f.read);
}

/* The last row that is not fed, of what a model wrote or of the rest; -1: there is none. */
static int last_unfed(const rag_result *r, bool model)
{
    int i = r->n - 1;
    while (i >= 0 && (r->v[i].fate == RAG_FED || (r->v[i].trust == MEM_TRUST_MODEL) != model)) i--;
    return i;
}

/* Too many to show: the last go, but a few answers stay, which stand last of all. */
static void shorten(rag_result *r)
{
    int answers = 0;
    for (int i = 0; i < r->n; i++) answers += r->v[i].trust == MEM_TRUST_MODEL;
    while (r->n > SHOWN_MAX) {
        bool model = answers > ANSWERS_MAX;
        int i = last_unfed(r, model);
        if (i < 0) i = last_unfed(r, !model);
        if (i < 0) break;
        answers -= r->v[i].trust == MEM_TRUST_MODEL;
        passage_free(&r->v[i]);
        memmove(&r->v[i], &r->v[i + 1], sizeof *r->v * (size_t)(r->n - i - 1));
        r->n--;
        for (int j = 0; j < r->n; j++) r->v[j].repeats -= r->v[j].repeats > i + 1;
    }
    for (int i = 0; i < r->n; i++) r->v[i].rank = i + 1;
}

/* Among all, or among what `narrow` says. */
static int once(mem_store *s, const rag_config *c, const char *query, const rag_scope *scope, const struct narrowing *narrow, rag_result *r, char *err)
{
    struct rag_query q;
    r->min_score = c->min_score;
    r->by = RAG_LEXICAL;
    int rc = rag_query_read(s, c, query, scope, narrow, r, &q, err);
    if (rc == Q_OK) q.facts = facts_of(s);
    if (rc == Q_OK && r->searched) rc = find(s, c, &q, scope, err);
    rag_query_free(&q);
    if (rc == Q_OK) rc = rag_wishes(s, scope, r, err);
    if (rc != Q_OK) return rc;
    if (r->n) qsort(r->v, (size_t)r->n, sizeof *r->v, by_score);
    choose(c, scope, r);
    return Q_OK;
}

/* Is one of them good enough, whatever became of it? */
static bool fits(const rag_result *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->v[i].wish != RAG_PINNED && r->v[i].score >= r->min_score) return true;
    return false;
}

static bool stands_before(const rag_passage *x, const rag_passage *y)
{
    if ((x->wish == RAG_PINNED) != (y->wish == RAG_PINNED)) return x->wish == RAG_PINNED;
    if ((x->trust == MEM_TRUST_MODEL) != (y->trust == MEM_TRUST_MODEL)) return y->trust == MEM_TRUST_MODEL;
    if (rag_judged(x) || rag_judged(y)) return x->rank < y->rank;
    return x->score != y->score ? x->score > y->score : x->rank < y->rank;
}

/* What is pinned is cited first, then by the score that people see, or as a second look has them stand. */
static void number_fed(rag_result *r)
{
    for (int i = 0; i < r->n; i++) {
        if (r->v[i].fate != RAG_FED) continue;
        int before = 0;
        for (int j = 0; j < r->n; j++) before += j != i && r->v[j].fate == RAG_FED && stands_before(&r->v[j], &r->v[i]);
        r->v[i].number = before + 1;
    }
    for (int i = 0; i < r->n; i++)
        if (r->v[i].repeats > 0) r->v[i].repeats = r->v[r->v[i].repeats - 1].number;
}

int rag_search(mem_store *s, const rag_config *c, const char *query, const rag_scope *scope, rag_result **out, char *err)
{
    static const rag_scope none = {.budget = -1};
    if (!scope) scope = &none;
    rag_result *r = q_alloc(sizeof *r);
    *out = r;
    r->min_score = c->min_score;
    r->mode_off = c->on && c->mode == RAG_OFF;
    r->off = !c->on || r->mode_off;
    if (r->off) {
        r->by = RAG_OFF;
        return Q_OK;
    }
    struct narrowing narrow;
    int rc = rag_narrow(s, c, query, scope, &narrow, r, err);
    bool all = false;
    if (rc == Q_OK) rc = once(s, c, query, scope, narrow.on ? &narrow : NULL, r, err);
    if (rc == Q_OK && narrow.on && !narrow.strict && !fits(r)) {
        rag_result_free(r);
        *out = r = q_alloc(sizeof *r);
        all = true;
        struct narrowing wide = narrow;
        wide.on = false;
        if (!wide.talk) wide.when.n_span = 0;   /* "last year" may stand in a text, "did I say" says no more than that */
        rc = once(s, c, query, scope, &wide, r, err);
    }
    if (rc == Q_OK) rag_narrow_say(&narrow, all, r);
    rag_narrow_free(&narrow);
    if (rc == Q_OK) {
        shorten(r);
        number_fed(r);
        rag_away_mark(s, r);
        return Q_OK;
    }
    rag_result_free(r);
    *out = NULL;
    return rc;
}

bool rag_worth_a_look(const rag_result *r, const rag_passage *p)
{
    double signal[RAG_SIGNALS_MAX];
    memcpy(signal, p->signal, sizeof signal);
    if (rag_fate_unwanted(p->fate) || p->fate == RAG_SAME || p->fate == RAG_ANSWER) return false;
    return p->wish == RAG_PINNED || rag_score_again(1, signal) >= r->min_score;
}

void rag_look_again(const rag_config *c, const rag_scope *scope, rag_result *r, const double *yes)
{
    static const rag_scope none = {.budget = -1};
    for (int i = 0; i < r->n; i++) {
        rag_passage *p = &r->v[i];
        counted(r, p->fate, -1);
        p->number = p->tokens = 0;
        if (isnan(yes[i])) continue;
        double *side = rag_second(p);
        *side = fmax(floor(yes[i] * 1000 + .5) / 1000, .001);
        p->match = (p->match + *side) / 2;
        p->score = rag_score_again(p->match, p->signal);
    }
    r->n_fed = r->fed_tokens = 0;
    r->best_below = 0;
    if (r->n) qsort(r->v, (size_t)r->n, sizeof *r->v, by_score);
    choose(c, scope ? scope : &none, r);
    for (int i = 0; i < r->n; i++) r->v[i].rank = i + 1;
    number_fed(r);
}

void rag_join(rag_result *r, rag_result *more)
{
    int n = r->n_term, m = more->n_term, had = r->n;
    r->term = q_realloc(r->term, sizeof *r->term * (size_t)(n + m + 1));
    if (m) memcpy(r->term + n, more->term, sizeof *r->term * (size_t)m);
    r->n_term = n + m;
    for (int i = 0; i < had; i++) {
        r->v[i].presence = q_realloc(r->v[i].presence, sizeof(double) * (size_t)(n + m + 1));
        memset(r->v[i].presence + n, 0, sizeof(double) * (size_t)m);
    }
    r->v = q_realloc(r->v, sizeof *r->v * (size_t)(had + more->n + 1));
    int *order = rag_shown(more), *to = q_alloc(sizeof *to * (size_t)(more->n_fed + 1));        /* fed ones come first: their numbers here */
    for (int i = 0; i < more->n; i++) {
        rag_passage *p = &more->v[order[i]];
        int j = 0;
        while (j < had && !(r->v[j].kind == p->kind && r->v[j].id == p->id)) j++;
        if (p->fate == RAG_FED) to[p->number] = j < had && r->v[j].fate == RAG_FED ? r->v[j].number : r->n_fed + 1;
        if (p->repeats > 0) p->repeats = to[p->repeats];
        if (j < had && (r->v[j].fate == RAG_FED || p->fate != RAG_FED)) {
            passage_free(p);
            continue;
        }
        double *presence = q_alloc(sizeof(double) * (size_t)(n + m + 1));
        if (m) memcpy(presence + n, p->presence, sizeof(double) * (size_t)m);
        free(p->presence);
        p->presence = presence;
        if (p->fate == RAG_FED) {
            p->number = ++r->n_fed;
            r->fed_tokens += p->tokens;
        }
        if (j < had) {                   /* the text beside the question feeds what the question alone did not */
            counted(r, r->v[j].fate, -1);
            p->rank = r->v[j].rank;
            passage_free(&r->v[j]);
            r->v[j] = *p;
            continue;
        }
        p->rank = r->n + 1;
        r->v[r->n++] = *p;
    }
    free(order);
    free(to);
    r->n_below += more->n_below;
    r->n_over += more->n_over;
    r->n_repeat += more->n_repeat;
    r->n_unwanted += more->n_unwanted;
    r->n_answers += more->n_answers;
    if (more->best_below > r->best_below) r->best_below = more->best_below;
    r->searched |= more->searched;
    if (!r->note) r->note = more->note;
    else free(more->note);
    free(more->narrowed.words);
    free(more->term);                    /* the words went over */
    free(more->v);
    free(more);
}

void rag_result_free(rag_result *r)
{
    if (!r) return;
    for (int i = 0; i < r->n_term; i++) {
        free(r->term[i].word);
        free(r->term[i].stem);
    }
    for (int i = 0; i < r->n; i++) passage_free(&r->v[i]);
    free(r->note);
    free(r->narrowed.words);
    free(r->term);
    free(r->v);
    free(r);
}
