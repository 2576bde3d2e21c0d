/* rag/signals: what a passage's score is made of, and what passages are ordered by (rag.h has the formulas). A row is all that a
 * signal or a side needs: explanation, log, screen and JSON loop over the lists. Constant data and pure functions.
 *
 * Constants of meaning, and the weights of sides (apart and together in one memory), were chosen on the half of XQuAD that no
 * measurement asks (24 articles, Russian and English), HotpotQA's first 50 questions, LoCoMo conv-26 and 30, and 88 everyday questions
 * in both languages that are not those of the tests. Of the last none is fed anything and none comes above .2; 95% of XQuAD's and 98% of
 * HotpotQA's whose passage leads are fed it, and 65% of the Russian ones with an English passage. */
#include "rag/measure.h"

#include <math.h>

/* What a person wanted remembered is particular by that: one everyday word is enough where it is the whole question (.4), two of
 * which it holds one are not (.35 x .57). */
static const double HALF_EVIDENCE = 16, HALF_OF_FACT = 8, MODEL = .7;
static const double ALIKE = .135, FOREIGN = .105, HEAVIER = .02, HEAVIEST = 27, SLOPE = .02;

static double coverage(const struct rag_measured *m)
{
    double c = m->most > 0 ? m->sum / m->most : 0;
    if (c > 1) c = 1;
    return c * sqrt(c);
}

static double evidence(const struct rag_measured *m) { return m->squares / (m->squares + (m->fact ? HALF_OF_FACT : HALF_EVIDENCE)); }

/* .3 where the margin is the threshold. That is higher where words should have met too, lower for a question of heavy words. */
static double meaning(const struct rag_measured *m)
{
    double least = (m->foreign ? FOREIGN : ALIKE) - HEAVIER * fmin(m->whole / HEAVIEST, 1);
    return m->margin > 0 ? 1 / (1 + 7. / 3 * exp((least - m->margin) / SLOPE)) : 0;
}

static double match(const struct rag_measured *m)
{ return 0.8 + 0.2 * m->match; }

/* ---- what passages are ordered by ---- */
static double words(const struct rag_sides *s) { return s->words; }
static double near(const struct rag_sides *s) { return s->near; }
static double speaker(const struct rag_sides *s) { return s->speaker; }
static double present(const struct rag_sides *s) { return s->present; }
static double linked(const struct rag_sides *s) { return s->linked; }
static double graph(const struct rag_sides *s) { return s->graph; }
static double second(const struct rag_sides *s) { return s->second; }

static double newest(const struct rag_sides *s) { return s->newest; }

static const rag_side sides[] = {
    {"words", N_("words"), words},                                  /* BM25 / the best of it */
    {"near", N_("similar in meaning"), near},                       /* between the mean of its kind and the nearest */
    {"speaker", N_("named as the speaker"), speaker},    /* and nobody else is named */
    {"present", N_("named in this talk"), present},
    {"linked", N_("named by title"), linked},                  /* its document's title stands there */
    {"graph", N_("named together"), graph},                         /* it names what the question or its best hits name */
    {"newest", N_("how new"), newest},                              /* the question looks for no word */
    {RAG_SECOND, N_("second look"), second},                        /* the loaded model says yes to it */
};
enum { WORDS, NEAR, SPEAKER, PRESENT, LINKED, GRAPH, NEWEST, SECOND, SIDES };
static const double weight[SIDES] = {[SPEAKER] = .1, [PRESENT] = .5, [LINKED] = .45, [GRAPH] = .4, [NEWEST] = 1};
_Static_assert(sizeof sides / sizeof *sides == SIDES && (int)SIDES <= (int)RAG_SIDES_MAX, "a passage has no place for so many sides");

const rag_side *rag_sides(int *n)
{
    *n = SIDES;
    return sides;
}

double rag_found(const struct rag_sides *s) { return s->words * (1 - s->share) + s->near * s->share; }

double rag_fuse(const struct rag_sides *s)
{
    double sum = rag_found(s);
    for (int i = SPEAKER; i < SIDES; i++) sum += weight[i] * sides[i].of(s);
    return s->model || s->manual ? sum * MODEL : sum;
}

bool rag_judged(const rag_passage *p) { return p->side[SECOND] > 0; }
double *rag_second(rag_passage *p) { return &p->side[SECOND]; }

/* ---- the score ---- */
enum { COVERAGE, EVIDENCE, MEANING, MATCH, SIGNALS };
static const rag_signal rows[] = {
    {"coverage", N_("coverage"), coverage},     /* how much of the question the passage speaks of */
    {"evidence", N_("evidence"), evidence},     /* whether what matched is particular enough to mean anything */
    {RAG_EITHER, N_("meaning"), meaning},        /* whether it is nearer in meaning than chance makes one of many */
    {"match", N_("match"), match},              /* how it stands beside the best of this search */
};
_Static_assert(sizeof rows / sizeof *rows == SIGNALS && (int)SIGNALS <= (int)RAG_SIGNALS_MAX, "a passage has no place for so many signals");

const rag_signal *rag_signals(int *n)
{
    *n = SIGNALS;
    return rows;
}

static double product(const double signal[RAG_SIGNALS_MAX])
{
    double by_words = signal[COVERAGE] * signal[EVIDENCE], any = by_words + (1 - by_words) * signal[MEANING];
    return floor(any * signal[MATCH] * 1e9 + .5) / 1e9;       /* .6 × .5 is .30 and not a hair below it */
}

double rag_score(const struct rag_measured *m, double signal[RAG_SIGNALS_MAX])
{
    for (int i = 0; i < SIGNALS; i++) signal[i] = floor(rows[i].of(m) * 1000 + .5) / 1000;
    return product(signal);
}

double rag_score_again(double x, double signal[RAG_SIGNALS_MAX])
{
    signal[MATCH] = floor(match(&(struct rag_measured){.match = x}) * 1000 + .5) / 1000;
    return product(signal);
}
