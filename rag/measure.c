/* rag/measure: counts a query's words in a passage (rag.h has the formula). Pure functions of their arguments; any
 * thread. It never looks at the store and never judges: a score is signals.c's. */
#include "rag/measure.h"

#include <string.h>

static const double HALF_TF = 0.1, ABOVE = 0.6;

struct counting { const rag_result *r; int *tf; };

static bool count_word(void *user, const mem_word *w)
{
    struct counting *c = user;
    if (w->flags & MEM_WORD_EXACT) return true;
    for (int i = 0; i < c->r->n_term; i++)
        if (c->r->term[i].weight > 0 && strcmp(c->r->term[i].stem, w->stem) == 0) c->tf[i]++;
    return true;
}

static void count(const rag_result *r, const char *text, size_t n, int *tf)
{
    mem_words(text, n, count_word, &(struct counting){r, tf});
}

const char *rag_own_heading(const char *headings)
{
    const char *sep;
    while ((sep = strstr(headings, " › ")) != NULL) headings = sep + strlen(" › ");
    return headings;
}

/* The sum of the HEAVY largest weights. */
static double whole_question(const rag_result *r)
{
    double heavy[HEAVY] = {0}, most = 0;
    for (int i = 0; i < r->n_term; i++)
        for (int j = 0; j < HEAVY; j++)
            if (r->term[i].weight > heavy[j]) {
                memmove(heavy + j + 1, heavy + j, (size_t)(HEAVY - 1 - j) * sizeof *heavy);
                heavy[j] = r->term[i].weight;
                break;
            }
    for (int j = 0; j < HEAVY; j++) most += heavy[j];
    return most;
}

void rag_measure(const rag_result *r, const struct passage_words *p, double *presence, struct rag_measured *m)
{
    int own[TERMS_MAX] = {0}, above[TERMS_MAX] = {0}, body[TERMS_MAX] = {0};
    const char *heading = rag_own_heading(p->heading), *slash = strrchr(p->name, '/'), *file = slash ? slash + 1 : p->name;
    count(r, p->heading, (size_t)(heading - p->heading), above);
    count(r, p->name, (size_t)(file - p->name), above);
    count(r, heading, strlen(heading), own);
    count(r, file, strlen(file), own);
    count(r, p->text, p->n, body);
    *m = (struct rag_measured){.most = whole_question(r)};
    for (int i = 0; i < r->n_term; i++) {
        double w = r->term[i].weight, s = body[i] / (body[i] + HALF_TF);
        if (above[i] && s < ABOVE) s = ABOVE;
        if (own[i]) s = 1;
        presence[i] = s;
        m->sum += w * s;
        m->squares += w * s * w * s;
    }
}
