/* rag/search: from a question to passages with every number (the formula is in rag.h). Pure but for the queries
 * it asks memory; any thread. It never feeds anything: it says what should be fed and why. */
#include "rag/rag.h"

#include "rag/common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TERMS_MAX = 32, CANDIDATES = 60, SHOWN_MAX = 20, HEAVY = 4, LONG_TEXT = 1200 };
static const double BACKGROUND = 2000, EVERYDAY = 200, RARE = 2, SLIGHT = 0.8, HALF_EVIDENCE = 16, HALF_TF = 0.1, ABOVE = 0.6;

/* ---- the query ---- */
static bool slight(const mem_word *w)
{
    size_t n = strlen(w->word);
    if (w->flags & MEM_WORD_WHOLE) return false;
    if (w->flags & MEM_WORD_NUMBER) return n <= 2;
    return n == 1 || (n == 2 && (unsigned char)w->word[0] >= 0xC0);     /* one letter of one or two bytes */
}

static bool add_term(void *user, const mem_word *w)
{
    rag_result *r = user;
    if (w->flags & MEM_WORD_EXACT) return true;
    for (int i = 0; i < r->n_term; i++)
        if (strcmp(r->term[i].stem, w->stem) == 0) return true;
    if (r->n_term == TERMS_MAX) return false;
    r->term = q_realloc(r->term, sizeof *r->term * (size_t)(r->n_term + 1));
    r->term[r->n_term++] = (rag_term){.word = q_strdup(w->word), .stem = q_strdup(w->stem),
                                      .whole = (w->flags & MEM_WORD_WHOLE) != 0, .weight = slight(w) ? SLIGHT : -1};
    return true;
}

struct listing { rag_result *r; bool grammar; };

static bool look_up(void *user, const mem_word *w)
{
    struct listing *l = user;
    for (int i = 0; i < l->r->n_term; i++) {
        rag_term *t = &l->r->term[i];
        /* grammar by the very form ("being" is grammar, "beings" is not); the rest by stem */
        if (strcmp(l->grammar ? t->word : t->stem, l->grammar ? w->word : w->stem) != 0) continue;
        if (l->grammar) t->weight = 0;
        else t->everyday = true;
    }
    return true;
}

static int weigh(mem_store *s, const rag_config *c, rag_result *r, char *err)
{
    struct listing l = {r, true};
    for (const char *const *row = rag_grammar_words; *row; row++) mem_words(*row, strlen(*row), look_up, &l);
    l.grammar = false;
    for (const char *const *row = rag_everyday_words; *row; row++) mem_words(*row, strlen(*row), look_up, &l);
    for (int i = 0; i < r->n_term; i++) {
        rag_term *t = &r->term[i];
        if (t->weight == 0) continue;
        for (int k = MEM_CHUNK; k <= (c->chats ? MEM_CHAT : MEM_CHUNK); k++) {
            int64_t with, of;
            int rc = mem_frequency(s, (enum mem_kind)k, t->stem, &with, &of, err);
            if (rc != Q_OK) return rc;
            t->with += with;
            t->of += of;
        }
        if (t->weight > 0) continue;
        double n = (double)t->with + (t->everyday ? EVERYDAY : RARE), all = (double)t->of + BACKGROUND;
        t->weight = log(1 + (all - n + .5) / (n + .5));
    }
    return Q_OK;
}

/* ---- a passage ---- */
struct presence { const rag_result *r; int *tf; };

static bool count_word(void *user, const mem_word *w)
{
    struct presence *p = user;
    if (w->flags & MEM_WORD_EXACT) return true;
    for (int i = 0; i < p->r->n_term; i++)
        if (p->r->term[i].weight > 0 && strcmp(p->r->term[i].stem, w->stem) == 0) p->tf[i]++;
    return true;
}

/* Fills presence, coverage and evidence of text under heading. */
static void measure(const rag_result *r, const char *heading, const char *text, size_t n, rag_passage *p)
{
    int own[TERMS_MAX] = {0}, above[TERMS_MAX] = {0}, body[TERMS_MAX] = {0};
    const char *last = heading, *sep;
    while ((sep = strstr(last, " › ")) != NULL) last = sep + strlen(" › ");
    mem_words(heading, (size_t)(last - heading), count_word, &(struct presence){r, above});
    mem_words(last, strlen(last), count_word, &(struct presence){r, own});
    mem_words(text, n, count_word, &(struct presence){r, body});
    double sum = 0, squares = 0, heavy[HEAVY] = {0}, most = 0;
    for (int i = 0; i < r->n_term; i++) {
        double w = r->term[i].weight, s = body[i] / (body[i] + HALF_TF);
        if (above[i] && s < ABOVE) s = ABOVE;
        if (own[i]) s = 1;
        p->presence[i] = s;
        sum += w * s;
        squares += w * s * w * s;
        for (int j = 0; j < HEAVY; j++)
            if (w > heavy[j]) {
                memmove(heavy + j + 1, heavy + j, (size_t)(HEAVY - 1 - j) * sizeof *heavy);
                heavy[j] = w;
                break;
            }
    }
    for (int j = 0; j < HEAVY; j++) most += heavy[j];
    p->coverage = most > 0 ? sum / most : 0;
    if (p->coverage > 1) p->coverage = 1;
    p->evidence = squares / (squares + HALF_EVIDENCE);
}

static char *label(const mem_passage *m)
{
    if (m->kind == MEM_CHUNK) {
        const char *last = m->heading, *sep;
        while ((sep = strstr(last, " › ")) != NULL) last = sep + strlen(" › ");
        return *last ? q_printf("%s § %s", m->title, last) : q_strdup(m->title);
    }
    static const char *const months[] = {N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun"),
                                         N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec")};
    time_t t = (time_t)(m->created_ms / 1000);
    struct tm tm;
    if (!localtime_r(&t, &tm)) memset(&tm, 0, sizeof tm);
    /* TRANSLATORS: day, month, title of the conversation */
    return q_printf(_("chat of %d %s: %s"), tm.tm_mday, _(months[tm.tm_mon]), *m->title ? m->title : _("untitled"));
}

/* A long message is represented by its best part. */
static void best_part(const rag_result *r, const mem_passage *m, rag_passage *p, size_t *from, size_t *n)
{
    *from = 0;
    *n = strlen(m->text);
    if (m->kind == MEM_CHUNK || *n <= LONG_TEXT) return;
    mem_chunk *c;
    int k = rag_chunk(m->text, *n, true, &c);
    double best = -1;
    for (int i = 0; i < k; i++) {
        measure(r, c[i].heading, c[i].text, c[i].n, p);
        if (p->coverage * p->evidence > best) {
            best = p->coverage * p->evidence;
            *from = c[i].offset;
            *n = c[i].n;
        }
    }
    rag_chunks_free(c, k);
}

static bool cyrillic(const char *s)
{
    int ru = 0, en = 0;
    for (size_t i = 0, n = strlen(s); i < n;) {
        uint32_t c;
        i += (size_t)q_utf8_next(s + i, n - i, &c);
        ru += c >= 0x400 && c <= 0x52F;
        en += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }
    return ru * 2 > en;                     /* a Russian question may hold a long knob name */
}

static int by_score(const void *a, const void *b)
{
    const rag_passage *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : 1;          /* a total order: the same question gives the same list */
}

static void passage_free(rag_passage *p)
{
    free(p->label);
    free(p->text);
    free(p->presence);
}

static int gather(mem_store *s, enum mem_kind kind, int64_t except, bool ru, rag_result *r, int *cap, char *err)
{
    const char *words[TERMS_MAX];
    int n = 0;
    for (int i = 0; i < r->n_term; i++)
        if (r->term[i].weight > SLIGHT) words[n++] = r->term[i].word;
    if (n == 0)                             /* only numbers and letters: they will have to do */
        for (int i = 0; i < r->n_term; i++)
            if (r->term[i].weight > 0) words[n++] = r->term[i].word;
    mem_passages m;
    int rc = mem_candidates(s, kind, words, n, except, CANDIDATES, &m, err);
    if (rc != Q_OK) return rc;
    double most = 0;
    for (int i = 0; i < m.n; i++)
        if (m.v[i].bm25 > most) most = m.v[i].bm25;
    for (int i = 0; i < m.n; i++) {
        /* the manual is there in two languages: the question's is taken */
        if (m.v[i].trust == MEM_TRUST_MANUAL && cyrillic(m.v[i].text) != ru) continue;
        if (r->n == *cap) r->v = q_realloc(r->v, sizeof *r->v * (size_t)(*cap = *cap ? *cap * 2 : 64));
        rag_passage *p = &r->v[r->n++];
        *p = (rag_passage){.kind = kind, .id = m.v[i].id, .source = m.v[i].source, .trust = m.v[i].trust, .bm25 = m.v[i].bm25,
                           .presence = q_alloc(sizeof(double) * (size_t)r->n_term)};
        size_t from, len;
        best_part(r, &m.v[i], p, &from, &len);
        measure(r, m.v[i].heading, m.v[i].text + from, len, p);
        p->label = label(&m.v[i]);
        p->text = q_strndup(m.v[i].text + from, len);
        p->offset = m.v[i].offset + (int64_t)from;
        p->score = p->coverage * sqrt(p->coverage) * p->evidence * (0.8 + 0.2 * (most > 0 ? p->bm25 / most : 1));
    }
    mem_passages_free(&m);
    return Q_OK;
}

static void choose(const rag_config *c, const rag_scope *scope, rag_result *r)
{
    int room = c->budget;
    if (scope->budget >= 0 && scope->budget < room) room = scope->budget;
    for (int i = 0; i < r->n; i++) {
        rag_passage *p = &r->v[i];
        p->rank = i + 1;
        if (p->score < c->min_score) {
            p->fate = RAG_BELOW;
            r->n_below++;
            if (p->score > r->best_below) r->best_below = p->score;
            continue;
        }
        bool repeats = false;
        for (int j = 0; j < i && !repeats; j++)
            repeats = r->v[j].fate == RAG_FED && (strstr(r->v[j].text, p->text) || (r->v[j].kind == p->kind && r->v[j].id == p->id));
        if (repeats) {
            p->fate = RAG_REPEATS;
            r->n_over++;
            continue;
        }
        if (r->n_fed >= c->max_passages) {
            p->fate = RAG_OVER_COUNT;
            r->n_over++;
            continue;
        }
        size_t n = strlen(p->text);
        p->tokens = scope->count ? scope->count(scope->user, p->text, n) : (int)((n + 3) / 4);
        if (p->tokens > room - r->fed_tokens) {
            p->fate = RAG_OVER_BUDGET;
            r->n_over++;
            continue;
        }
        p->fate = RAG_FED;
        p->number = ++r->n_fed;
        r->fed_tokens += p->tokens;
    }
}

int rag_search(mem_store *s, const rag_config *c, const char *query, const rag_scope *scope, rag_result **out, char *err)
{
    static const rag_scope none = {.budget = -1};
    if (!scope) scope = &none;
    rag_result *r = q_alloc(sizeof *r);
    *out = r;
    r->min_score = c->min_score;
    if (!c->on) return Q_OK;
    mem_words(query, strlen(query), add_term, r);
    int rc = weigh(s, c, r, err);
    for (int i = 0; i < r->n_term; i++)
        if (r->term[i].weight > 0) r->searched = true;
    int cap = 0;
    bool ru = cyrillic(query);
    if (rc == Q_OK && r->searched) rc = gather(s, MEM_CHUNK, 0, ru, r, &cap, err);
    if (rc == Q_OK && r->searched && c->chats) rc = gather(s, MEM_CHAT, scope->conversation, ru, r, &cap, err);
    if (rc != Q_OK) {
        rag_result_free(r);
        *out = NULL;
        return rc;
    }
    if (r->n) qsort(r->v, (size_t)r->n, sizeof *r->v, by_score);
    choose(c, scope, r);
    while (r->n > SHOWN_MAX && r->v[r->n - 1].fate != RAG_FED) passage_free(&r->v[--r->n]);
    return Q_OK;
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
    for (int i = 0; i < more->n; i++) {
        rag_passage *p = &more->v[i];
        int j = 0;
        while (j < had && !(r->v[j].kind == p->kind && r->v[j].id == p->id)) j++;
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
            r->n_below -= r->v[j].fate == RAG_BELOW;
            r->n_over -= r->v[j].fate != RAG_BELOW;
            p->rank = r->v[j].rank;
            passage_free(&r->v[j]);
            r->v[j] = *p;
            continue;
        }
        p->rank = r->n + 1;
        r->v[r->n++] = *p;
    }
    r->n_below += more->n_below;
    r->n_over += more->n_over;
    if (more->best_below > r->best_below) r->best_below = more->best_below;
    r->searched |= more->searched;
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
    free(r->term);
    free(r->v);
    free(r);
}
