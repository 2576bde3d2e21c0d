/* rag/signals: the signals whose product is a passage's score (rag.h has the formulas). A row is all that a signal
 * needs: search, explanation, log, screen and JSON loop over the list. Constant data and pure functions. */
#include "rag/measure.h"

#include <math.h>

static const double HALF_EVIDENCE = 16, MODEL = .7;

static double coverage(const struct rag_measured *m)
{
    double c = m->most > 0 ? m->sum / m->most : 0;
    if (c > 1) c = 1;
    return c * sqrt(c);
}

static double evidence(const struct rag_measured *m) { return m->squares / (m->squares + HALF_EVIDENCE); }

static double match(const struct rag_measured *m)
{ return 0.8 + 0.2 * m->match; }

/* ---- what passages are ordered by ---- */
static double words(const struct rag_sides *s) { return s->words; }
static double speaker(const struct rag_sides *s) { return s->speaker; }
static double present(const struct rag_sides *s) { return s->present; }
static double linked(const struct rag_sides *s) { return s->linked; }

static const struct side { double (*of)(const struct rag_sides *); double weight; } sides[] = {
    {words, .6},        /* BM25 / the best of it */
    {speaker, .1},      /* the question names who said it, and nobody else */
    {present, .2},      /* somebody whom the question names takes part in the talk */
    {linked, .3},       /* what leads names its document */
};

double rag_fuse(const struct rag_sides *s)
{
    double sum = 0;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) sum += sides[i].weight * sides[i].of(s);
    return s->model ? sum * MODEL : sum;
}

static const rag_signal rows[] = {
    {"coverage", N_("coverage"), coverage},     /* how much of the question the passage speaks of */
    {"evidence", N_("evidence"), evidence},     /* whether what matched is particular enough to mean anything */
    {"match", N_("match"), match},              /* how it stands by BM25 beside the best of this search */
};
_Static_assert(sizeof rows / sizeof *rows <= RAG_SIGNALS_MAX, "a passage has no place for so many signals");

const rag_signal *rag_signals(int *n)
{
    *n = (int)(sizeof rows / sizeof *rows);
    return rows;
}

double rag_score(const struct rag_measured *m, double signal[RAG_SIGNALS_MAX])
{
    double score = 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        signal[i] = floor(rows[i].of(m) * 1000 + .5) / 1000;
        score *= signal[i];
    }
    return floor(score * 1e9 + .5) / 1e9;       /* .6 × .5 is .30 and not a hair below it */
}
