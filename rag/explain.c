/* rag/explain: a result in words, for the summary line, /why and the stored log. Pure functions; any thread.
 * It never computes a number that the search did not, and every score it shows is the product of what stands beside it. */
#include "base/say.h"
#include "rag/rag.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *word, *why; } fates[RAG_FATES] = {
    [RAG_FED] = {"fed", N_("fed")},
    [RAG_BELOW] = {"below", N_("not fed: below the threshold")},
    [RAG_OVER_COUNT] = {"count", N_("not fed: memory.max_passages")},
    [RAG_OVER_BUDGET] = {"budget", N_("not fed: no room for it")},
    [RAG_REPEATS] = {"repeats", N_("not fed: repeats one that is fed")},
    [RAG_LEFT_OUT] = {"left_out", N_("not fed: left out of this answer")},
    [RAG_OF_BANNED] = {"banned", N_("not fed: its source is banned")},
    [RAG_ANSWER] = {"answer", N_("not fed: an earlier answer, and memory.answers is off")},
    [RAG_SAME] = {"same", N_("not fed: this question in another conversation, or what a model answered to it")},
};

const char *rag_fate_word(enum rag_fate f) { return fates[f].word; }

const char *rag_trust_word(enum mem_trust t)
{
    static const char *const word[] = {[MEM_TRUST_OWN] = "own", [MEM_TRUST_MANUAL] = "manual", [MEM_TRUST_MODEL] = "model", [MEM_TRUST_STRANGER] = "stranger"};
    return word[t];
}
bool rag_fate_repeats(enum rag_fate f) { return f == RAG_REPEATS || f == RAG_SAME; }
bool rag_fate_unwanted(enum rag_fate f) { return f == RAG_LEFT_OUT || f == RAG_OF_BANNED; }

/* With `digits` behind the point: .12, 1.0 at the top, as the screen shows scores. */
static void shown(double v, int digits, char out[RAG_NUMBER])
{
    char b[RAG_NUMBER];
    snprintf(b, sizeof b, "%.*f", digits, v);
    snprintf(out, RAG_NUMBER, "%s", b[0] == '0' ? b + 1 : digits == 2 && b[0] == '1' ? "1.0" : b);
}

const char *rag_number(double v, double min, char out[RAG_NUMBER])
{
    /* as many digits as it takes to stand on the same side of the threshold as the score itself */
    int digits = 2;
    for (; digits < 9; digits++) {
        char x[32];
        snprintf(x, sizeof x, "%.*f", digits, v);
        double s = strtod(x, NULL);
        if (v == min ? fabs(s - v) < 1e-9 : v < min ? s < min : s >= min) break;
    }
    shown(v, digits, out);
    return out;
}

/* A threshold, with all its digits. */
static const char *threshold(double min, char out[RAG_NUMBER]) { return rag_number(min, min, out); }

/* ---- signals ---- */
const char *rag_signals_text(const rag_passage *p, q_buf *b)
{
    int n;
    const rag_signal *s = rag_signals(&n);
    q_buf_clear(b);
    q_buf_puts(b, "");
    for (int i = 0; i < n; i++)
        if (p->signal[i] > 0 || strcmp(s[i].name, RAG_EITHER) != 0) q_buf_say(b, "%s%s=%.3f", b->len ? " " : "", s[i].name, p->signal[i]);
    const rag_side *side = rag_sides(&n);
    for (int i = 0; i < n; i++)
        if (p->side[i] > 0) q_buf_say(b, " %s%s=%.3f", RAG_BY, side[i].name, p->side[i]);
    return b->p;
}

bool rag_signals_next(const char **at, char name[32], double *v)
{
    const char *p = *at + strspn(*at, " "), *eq = strchr(p, '=');
    size_t n = eq ? (size_t)(eq - p) : 0;
    if (!n || n > 31 || strcspn(p, " ") < n) return false;
    memcpy(name, p, n);
    name[n] = 0;
    char *end;
    *v = strtod(eq + 1, &end);
    *at = end;
    return end != eq + 1;
}

static bool is_side(const char *name) { return strncmp(name, RAG_BY, strlen(RAG_BY)) == 0; }

/* "coverage .931 × evidence .824", or "(coverage .931 × evidence .824, or meaning .4) × match .95"; a name that no row has (an older
 * search's) as it is. */
static void factors(const char *text, q_buf *b)
{
    int n;
    const rag_signal *s = rag_signals(&n);
    char name[32], x[RAG_NUMBER];
    double v;
    bool either = strstr(text, RAG_EITHER) != NULL;
    if (either) q_buf_puts(b, "(");
    for (bool first = true; rag_signals_next(&text, name, &v); first = false) {
        const char *word = name;
        bool alone = strcmp(name, RAG_EITHER) == 0;
        if (is_side(name)) continue;
        for (int i = 0; i < n; i++)
            if (strcmp(s[i].name, name) == 0) word = _(s[i].word);
        shown(v, 3, x);
        /* TRANSLATORS: between two reasons of which either is enough: "(coverage .9 × evidence .8, or meaning .4) × match .95" */
        q_buf_say(b, "%s%s %s%s", first ? "" : alone ? _(", or ") : " × ", word, x, alone ? ")" : "");
    }
}

/* " by words .80, similar in meaning .71": what the place is made of; nothing where nothing was kept. */
static void reasons(const char *text, q_buf *b)
{
    int n;
    const rag_side *s = rag_sides(&n);
    char name[32], x[RAG_NUMBER];
    double v;
    for (bool first = true; rag_signals_next(&text, name, &v);) {
        const char *word = name + strlen(RAG_BY);
        if (!is_side(name)) continue;
        for (int i = 0; i < n; i++)
            if (strcmp(s[i].name, name + strlen(RAG_BY)) == 0) word = _(s[i].word);
        shown(v, 2, x);
        q_buf_say(b, "%s%s %s", first ? _(" by ") : ", ", word, x);
        first = false;
    }
}

/* ---- one passage ---- */
static void terms_of(const rag_result *r, const rag_passage *p, q_buf *b)
{
    bool first = true;
    for (int i = 0; i < r->n_term; i++) {
        if (p->presence[i] <= 0 || r->term[i].weight <= 0) continue;
        q_buf_say(b, "%s%s %.1f×%.2f", first ? "" : ", ", r->term[i].word, r->term[i].weight, p->presence[i]);
        first = false;
    }
    /* TRANSLATORS: the name that led to a passage, and which passage that is */
    if (p->through) q_buf_say(b, _("%sby %s → %s"), first ? "" : ", ", p->through, p->label);
}

char *rag_terms_text(const rag_result *r, const rag_passage *p)
{
    q_buf b = {0};
    q_buf_puts(&b, "");
    terms_of(r, p, &b);
    return q_buf_take(&b);
}

/* Why a row was not fed, with its figures: "below 0.3", "budget 310 120", "count 3". The first word is its fate. */
static char *reason(const rag_result *r, const rag_passage *p)
{
    switch (p->fate) {
    case RAG_FED: return q_strdup(p->wish == RAG_PINNED ? "fed pinned" : "");
    case RAG_BELOW: return q_printf("%s %.9g", rag_fate_word(p->fate), r->min_score);
    case RAG_OVER_BUDGET: return q_printf("%s %d %d", rag_fate_word(p->fate), p->tokens, p->room);
    case RAG_REPEATS: return q_printf("%s %d", rag_fate_word(p->fate), p->repeats);
    case RAG_OVER_COUNT: return q_printf("%s %d", rag_fate_word(p->fate), r->max_passages);
    default: return q_strdup(rag_fate_word(p->fate));
    }
}

/* A row's fate and the figures that made it. */
static enum rag_fate fate_of(const mem_log *v, double *a, double *b)
{
    size_t n = strcspn(v->reason, " ");
    int fate = RAG_FED;
    *a = *b = 0;
    for (int i = 0; i < RAG_FATES; i++)
        if (strlen(fates[i].word) == n && strncmp(fates[i].word, v->reason, n) == 0) fate = i;
    sscanf(v->reason + n, "%lf %lf", a, b);
    return (enum rag_fate)fate;
}

bool rag_log_pinned(const mem_log *v) { return strcmp(v->reason, "fed pinned") == 0; }

enum rag_fate rag_log_fate(const mem_log *v)
{
    double a, b;
    return fate_of(v, &a, &b);
}

bool rag_log_repeats(const mem_log *v) { return rag_fate_repeats(rag_log_fate(v)); }

double rag_log_min_score(const mem_log *v)
{
    double a, b;
    return fate_of(v, &a, &b) == RAG_BELOW ? a : 0;
}

void rag_log_why(const mem_log *v, q_buf *b)
{
    char x[RAG_NUMBER];
    double least, room;
    enum rag_fate fate = fate_of(v, &least, &room);
    q_buf_puts(b, rag_log_pinned(v) ? _("fed: pinned in this conversation") : _(fates[fate].why));
    if (fate == RAG_BELOW && least > 0) q_buf_say(b, " %s", threshold(least, x));
    if (fate == RAG_REPEATS && least > 0) q_buf_say(b, " [%.0f]", least);
    if (fate == RAG_OVER_COUNT && least > 0) q_buf_say(b, _(" %.0f, and as many others match better"), least);
    if (fate == RAG_OVER_BUDGET && least > 0) q_buf_say(b, _(" (%.0f tok, room for %.0f)"), least, room);
    q_buf_say(b, _("; score %s"), rag_number(v->score, rag_log_min_score(v), x));
    if (*v->signals) q_buf_puts(b, " = ");
    factors(v->signals, b);
    q_buf_say(b, _("; place %d"), v->rank);
    reasons(v->signals, b);
    if (*v->terms) q_buf_say(b, _("; found: %s"), v->terms);
}

static mem_log row_of(const rag_result *r, const rag_passage *p)
{
    q_buf t = {0}, s = {0};
    terms_of(r, p, &t);
    rag_signals_text(p, &s);
    return (mem_log){.rank = p->rank, .number = p->number, .kind = (int)p->kind, .ref = p->id, .label = p->label,
                     .terms = q_buf_take(&t), .reason = reason(r, p), .signals = q_buf_take(&s), .score = p->score, .tokens = p->tokens};
}

static void row_free(mem_log *v)
{
    free(v->terms);
    free(v->reason);
    free(v->signals);
}

void rag_why(const rag_result *r, const rag_passage *p, q_buf *b)
{
    mem_log v = row_of(r, p);
    rag_log_why(&v, b);
    row_free(&v);
}

/* ---- the order ---- */
struct row { int at, number; double score; };

static int by_what_is_shown(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (!x->number != !y->number) return x->number ? -1 : 1;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

/* Takes the rows. */
static int *in_order(struct row *v, int n)
{
    int *order = q_alloc(sizeof *order * (size_t)(n + 1));
    qsort(v, (size_t)n, sizeof *v, by_what_is_shown);
    for (int i = 0; i < n; i++) order[i] = v[i].at;
    free(v);
    return order;
}

int *rag_shown(const rag_result *r)
{
    struct row *v = q_alloc(sizeof *v * (size_t)(r->n + 1));
    for (int i = 0; i < r->n; i++) v[i] = (struct row){i, r->v[i].number, r->v[i].score};
    return in_order(v, r->n);
}

int *rag_shown_logs(const mem_logs *l)
{
    struct row *v = q_alloc(sizeof *v * (size_t)(l->n + 1));
    for (int i = 0; i < l->n; i++) v[i] = (struct row){i, l->v[i].number, l->v[i].score};
    return in_order(v, l->n);
}

/* ---- the whole ---- */
/* Why nothing was fed: what stood in the way of the best. */
static const char *nothing(const mem_log *v, q_buf *b)
{
    char x[RAG_NUMBER], y[RAG_NUMBER];
    double least, room;
    enum rag_fate fate = fate_of(v, &least, &room);
    rag_number(v->score, rag_log_min_score(v), x);
    if (fate == RAG_BELOW) q_buf_say(b, _("nothing fed: best %s below %s"), x, threshold(least, y));
    else if (fate == RAG_OVER_BUDGET) q_buf_say(b, _("nothing fed: best %s takes %.0f tok, room for %.0f"), x, least, room);
    else if (fate == RAG_SAME) q_buf_say(b, _("nothing fed: best %s is this question in another conversation, or what a model answered to it"), x);
    else if (fate == RAG_LEFT_OUT) q_buf_say(b, _("nothing fed: best %s is left out of this answer"), x);
    else if (fate == RAG_ANSWER) q_buf_say(b, _("nothing fed: best %s is an earlier answer, and memory.answers is off"), x);
    else if (fate == RAG_OF_BANNED) q_buf_say(b, _("nothing fed: the source of the best, %s, is banned"), x);
    else q_buf_say(b, _("nothing fed: best %s, but memory.max_passages is %.0f"), x, least);
    return b->p;
}

const char *rag_logs_summary(const mem_logs *l, q_buf *b)
{
    const mem_log *best = NULL;
    int fed = 0, tokens = 0;
    for (int i = 0; i < l->n; i++) {
        if (!best || l->v[i].score > best->score) best = &l->v[i];
        fed += l->v[i].number > 0;
        tokens += l->v[i].number > 0 ? l->v[i].tokens : 0;
    }
    q_buf_clear(b);
    if (fed) q_buf_say(b, _("%d fed, %d tok"), fed, tokens);
    else if (!best) q_buf_puts(b, _("nothing fed: nothing matched"));
    else nothing(best, b);
    return b->p;
}

const char *rag_summary(const rag_result *r, q_buf *b)
{
    const rag_passage *best = NULL;
    for (int i = 0; i < r->n; i++)
        if (!best || r->v[i].score > best->score) best = &r->v[i];
    q_buf_clear(b);
    if (r->off) q_buf_puts(b, r->mode_off ? _("not searched: memory.mode is off") : _("not searched: memory.on is off"));
    else if (r->n_fed) q_buf_say(b, _("%d fed, %d tok"), r->n_fed, r->fed_tokens);
    else if (!r->searched) q_buf_puts(b, _("not searched: no word to look for"));
    else if (!best) q_buf_puts(b, _("nothing fed: nothing matched"));
    else {
        mem_log v = row_of(r, best);
        nothing(&v, b);
        row_free(&v);
    }
    return b->p;
}

void rag_explain(const rag_result *r, q_buf *b)
{
    q_buf first = {0};
    char x[RAG_NUMBER];
    q_buf_say(b, "%s\n", rag_summary(r, &first));
    q_buf_free(&first);
    if (r->note) q_buf_say(b, "%s\n", r->note);
    if (r->fusion == RAG_RANKS && r->n) q_buf_say(b, "%s\n", _("ordered by places among words and among meanings, 61 / (60 + place): memory.fusion"));
    if (r->narrowed.words) q_buf_say(b, "%s\n", r->narrowed.words);
    if (!r->searched && !r->n) return;
    if (r->searched) q_buf_say(b, "%s\n", _("words of the question: weight (in how many passages)"));
    for (int i = 0; i < r->n_term; i++) {
        const rag_term *t = &r->term[i];
        if (t->weight <= 0) continue;
        q_buf_say(b, "  %-24s %4.1f  (%lld / %lld)%s\n", t->word, t->weight, (long long)t->with, (long long)t->of,
                     t->everyday ? _("  everyday word") : "");
    }
    int *order = rag_shown(r);
    for (int i = 0; i < r->n; i++) {
        const rag_passage *p = &r->v[order[i]];
        if (p->number) q_buf_say(b, "[%d] ", p->number);
        else q_buf_puts(b, "    ");
        q_buf_say(b, "%3s  %s\n      ", rag_number(p->score, r->min_score, x), p->label);
        rag_why(r, p, b);
        rag_taken(p->taken_ms, p->missing, p->away_ms, b);
        q_buf_putc(b, '\n');
    }
    free(order);
}

int rag_log_get(mem_store *s, int64_t message, mem_logs *out, char *err)
{
    int rc = mem_log_get(s, message, out, err);
    for (int i = 0; rc == Q_OK && i < out->n; i++) {
        mem_log *v = &out->v[i];
        mem_passage m = {0};
        if (v->kind != MEM_CHAT) continue;
        int got = mem_passage_get(s, MEM_CHAT, v->ref, &m, err);     /* an older quorum wrote one down, in its language: it is made anew too */
        if (got != Q_OK && got != Q_NOTFOUND) rc = got;
        free(v->label);
        v->label = got == Q_OK ? rag_label(&m) : q_strdup("");
        mem_passage_free(&m);
    }
    if (rc != Q_OK) mem_logs_free(out);
    return rc;
}

int rag_log(mem_store *s, int64_t message, const rag_result *r, char *err)
{
    mem_log *v = q_alloc(sizeof *v * (size_t)(r->n + 1));
    for (int i = 0; i < r->n; i++) {
        v[i] = row_of(r, &r->v[i]);
        if (r->v[i].kind == MEM_CHAT) v[i].label = "";       /* it is in the language and the time of whoever looks */
    }
    int rc = mem_log_put(s, message, v, r->n, err);
    for (int i = 0; i < r->n; i++) row_free(&v[i]);
    free(v);
    return rc;
}
