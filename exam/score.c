/* exam/score: how well a model tells the right answer of a question from others. The share of probability that the right one has, behind "Answer:" and without a
 * thought or a step, among it and answers that are right for other questions of the task. What only belongs to the form (is there a blank, a line's
 * end, a star first?) is the same for all of them and falls out. Sees smaller differences than marks do, because each question tells
 * something whether it is answered right or not. One caller at a time. */
#include "exam/parts.h"
#include "provider/provider.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 64, FROM = 2000000 };         /* questions of these numbers, which nobody is asked */
static const double LEAST = 1e-300;

bool score_has_one(const exam_item *i) { return i->kind == EXAM_NUMBER || i->kind == EXAM_WORDS || i->kind == EXAM_LIST; }

/* " 42": the right answer first, then others of its kind that are all different. Returns how many. */
static int choices(const exam_sheet *s, const exam_item *i, char *text[EXAM_OTHERS + 1])
{
    int n = 0;
    char err[Q_ERRLEN];
    text[n++] = q_printf(" %s", i->answer);
    for (int k = 0; k < TRIES && n <= EXAM_OTHERS; k++) {
        exam_item other;
        bool fits = exam_make(i->task, i->level, i->lang, s->seed, FROM + i->number * TRIES + k, &other, err) == Q_OK && other.kind == i->kind;
        for (int m = 0; m < n && fits; m++) fits = strcmp(text[m] + 1, other.answer) != 0;
        if (fits) text[n++] = q_printf(" %s", other.answer);
        exam_item_free(&other);
    }
    return n;
}

int score_room(const exam_sheet *s, int item)
{
    return s->score && score_has_one(&s->item[item]) ? 2 * (int)strlen(s->item[item].sample) : 0;
}

int score_answer(const exam_sheet *s, const exam_seat *seat, int item, bool (*go)(void *user, int done, int total), void *user, double *out, char *err)
{
    const exam_item *i = &s->item[item];
    char *prompt = s->base ? exam_prompt(s, item) : NULL, *text[EXAM_OTHERS + 1];
    double share[EXAM_OTHERS + 1];
    const prov_message m = { .role = PROV_USER, .text = i->question, .n = strlen(i->question) };
    prov_request q = { .message = &m, .n_message = 1, .begin = i->sample, .n_begin = strlen(i->sample) - strlen(i->answer) - 1, .config = seat->config };
    if (prompt) q = (prov_request){ .raw = prompt, .n_raw = strlen(prompt), .config = seat->config };      /* it ends with the mark */
    int n = choices(s, i, text), rc = prov_judge(seat->p, &q, 1, (const char *const *)text, n, share, go, user, err);
    double against = 0;
    for (int k = 1; k < n; k++) against += share[k];
    if (rc == Q_OK) *out = log(share[0] > LEAST ? share[0] : LEAST) - log(against > LEAST ? against : LEAST);
    for (int k = 0; k < n; k++) free(text[k]);
    free(prompt);
    return rc;
}
