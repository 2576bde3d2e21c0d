/* rag/measure.h: private to rag/. How much of a query's words a passage holds, and where. Pure functions. */
#ifndef QUORUM_RAG_MEASURE_H
#define QUORUM_RAG_MEASURE_H

#include "rag/rag.h"

enum { HEAVY = 4 };                     /* so many of the heaviest words make a whole question */

/* A question, or a sentence or clause of a long one, that a passage may answer by itself. */
struct rag_part { int *term, n; double most; /* the sum of the HEAVY largest weights of its terms */ };

struct rag_query {
    rag_result *r;                      /* whose terms these are */
    int *by_stem;                       /* [r->n_term] the terms in order of their stems */
    struct rag_part *part; int n_part;  /* the first is the whole */
    const char *text;                   /* the question itself; the caller's */
    const char *before;                 /* what it points back to; NULL: it stands alone */
    int64_t facts;                      /* the document of the facts; 0: there is none */
    const struct narrowing *narrow;     /* among what it is searched; NULL: all */
    bool wordless;                      /* it looks for nothing else */
    int asks;                           /* the term that stands for that; -1: none does */
    int own;                            /* of r's terms the first are its words, the rest are those of the question before it */
};

struct rag_measured {
    double sum, most;                   /* of w s over the passage's words; of the part */
    double squares;                     /* of (w s)^2 */
    double match;                       /* 0..1 beside the best of this search */
    double margin;                      /* how much nearer in meaning than the mean of all, where meaning was asked; else 0 */
    double whole;                       /* the sum of the HEAVY largest weights of the whole question */
    bool fact;                          /* a person wanted it remembered */
    bool foreign;                       /* question and passage are of different letters: no word of one could stand in the other */
};

/* What speaks for a passage beside the best of this search, each 0..1. */
struct rag_sides {
    double words, near, speaker, present, linked, graph;
    double newest;                      /* where a question looks for no word: the last is 1 */
    double second;                      /* of a second look; a search gives none, and no weight to it */
    double share;                       /* how much near weighs, words the rest; 0: it has no vector, or meaning was not asked */
    double margin;                      /* how much nearer than the mean of all; 0 likewise */
    bool model, manual;                 /* a model said it, or it is of quorum's manual: weaker than a person's own words */
};
double rag_found(const struct rag_sides *);     /* words and near alone, 0..1 */
double rag_fuse(const struct rag_sides *);
double *rag_second(rag_passage *);              /* where its side of a second look stands */

/* Where a passage's words stand: the path of its file, its headings ("Optics › Rayleigh"), its text. */
struct passage_words { const char *name, *heading, *text; size_t n; bool manual; };

/* Fills presence[n_term]. */
void rag_presence(const struct rag_query *, const struct passage_words *, double *presence);
/* What that means for one part; match stays as it is. */
void rag_measure(const struct rag_query *, const struct rag_part *, const double *presence, struct rag_measured *m);
/* The sum of the HEAVY largest weights. */
double rag_most(const rag_result *, const int *term, int n);
/* The last heading of a path of headings, the part of it that is the passage's own. */
const char *rag_own_heading(const char *headings);
/* A passage's signals and its score. */
double rag_score(const struct rag_measured *m, double signal[RAG_SIGNALS_MAX]);
/* The same once more for another match, 0..1. */
double rag_score_again(double match, double signal[RAG_SIGNALS_MAX]);

#endif
