/* rag/measure.h: private to rag/. How much of a query's words a passage holds, and where. Pure functions. */
#ifndef QUORUM_RAG_MEASURE_H
#define QUORUM_RAG_MEASURE_H

#include "rag/rag.h"

enum { TERMS_MAX = 32, HEAVY = 4 };     /* words of a query that are looked for; of these, how many make a whole question */

struct rag_measured {
    double sum, most;                   /* of w s over the passage's words; of the HEAVY largest w of the query */
    double squares;                     /* of (w s)^2 */
    double bm25, best_bm25;             /* of the passage; of the search */
};

/* Where a passage's words stand: the path of its file, its headings ("Optics › Rayleigh"), its text. */
struct passage_words { const char *name, *heading, *text; size_t n; };

/* Fills presence[r->n_term] and all of *m but the two of bm25. */
void rag_measure(const rag_result *r, const struct passage_words *w, double *presence, struct rag_measured *m);
/* The last heading of a path of headings, the part of it that is the passage's own. */
const char *rag_own_heading(const char *headings);
/* A passage's signals and their product. */
double rag_score(const struct rag_measured *m, double signal[RAG_SIGNALS_MAX]);

#endif
