/* rag/measure: counts a query's words in a passage (rag.h has the formula). Pure functions of their arguments; any
 * thread. It never looks at the store and never judges: a score is signals.c's. */
#include "rag/measure.h"

#include <stdlib.h>
#include <string.h>

static const double HALF_TF = 0.1, ABOVE = 0.6, MANUAL = 0.75;

struct counting { const struct rag_query *q; int *tf; };

static bool count_word(void *user, const mem_word *w)
{
    struct counting *c = user;
    const rag_term *term = c->q->r->term;
    int a = 0, b = c->q->r->n_term;
    if (w->flags & MEM_WORD_EXACT) return true;
    while (a < b) {
        int mid = (a + b) / 2, at = c->q->by_stem[mid], order = strcmp(term[at].stem, w->stem);
        if (order == 0) {
            c->tf[at]++;
            break;
        }
        if (order < 0) a = mid + 1;
        else b = mid;
    }
    return true;
}

static void count(const struct rag_query *q, const char *text, size_t n, int *tf)
{
    mem_words(text, n, count_word, &(struct counting){q, tf});
}

const char *rag_own_heading(const char *headings)
{
    const char *sep;
    while ((sep = strstr(headings, " › ")) != NULL) headings = sep + strlen(" › ");
    return headings;
}

double rag_most(const rag_result *r, const int *term, int n)
{
    double heavy[HEAVY] = {0}, most = 0;
    for (int i = 0; i < n; i++) {
        double w = r->term[term[i]].weight;
        for (int j = 0; j < HEAVY; j++)
            if (w > heavy[j]) {
                memmove(heavy + j + 1, heavy + j, (size_t)(HEAVY - 1 - j) * sizeof *heavy);
                heavy[j] = w;
                break;
            }
    }
    for (int j = 0; j < HEAVY; j++) most += heavy[j];
    return most;
}

void rag_presence(const struct rag_query *q, const struct passage_words *p, double *presence)
{
    int n = q->r->n_term;
    int *own = q_alloc(sizeof *own * (size_t)(3 * n + 1)), *above = own + n, *body = above + n;
    const char *heading = rag_own_heading(p->heading), *slash = strrchr(p->name, '/'), *file = slash ? slash + 1 : p->name;
    count(q, p->heading, (size_t)(heading - p->heading), above);
    count(q, p->name, (size_t)(file - p->name), above);
    count(q, heading, strlen(heading), own);
    count(q, file, strlen(file), own);
    count(q, p->text, p->n, body);
    for (int i = 0; i < n; i++) {
        double s = body[i] / (body[i] + HALF_TF) * (p->manual ? MANUAL : 1);
        if (above[i] && s < ABOVE) s = ABOVE;
        presence[i] = own[i] ? 1 : s;
    }
    free(own);
}

void rag_measure(const struct rag_query *q, const struct rag_part *part, const double *presence, struct rag_measured *m)
{
    m->sum = m->squares = 0;
    m->most = part->most;
    for (int i = 0; i < part->n; i++) {
        double ws = q->r->term[part->term[i]].weight * presence[part->term[i]];
        m->sum += ws;
        m->squares += ws * ws;
    }
}
