/* exam/verdict: what two seats came to on the questions that both were asked: who is right more often, who tells the right answers from others better, and whether the
 * questions could show a difference at all. Pure; any thread. */
#include "exam/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 20 };                       /* one in so many right, or wrong: at an end of the scale */

static int both_asked(const exam_seat *a, const exam_seat *b) { return a->done < b->done ? a->done : b->done; }

exam_pair pair_of(const exam_sheet *s, const exam_seat *a, const exam_seat *b, const char *task)
{
    int n = both_asked(a, b), m = 0;
    bool *x = q_alloc((size_t)n + 1), *y = q_alloc((size_t)n + 1);
    for (int i = 0; i < n; i++)
        if ((!task || !strcmp(task, s->item[i].task)) && a->reply[i].mark != EXAM_SKIPPED && b->reply[i].mark != EXAM_SKIPPED) {
            x[m] = a->reply[i].mark == EXAM_RIGHT;
            y[m++] = b->reply[i].mark == EXAM_RIGHT;
        }
    exam_pair p = exam_compare(x, y, m);
    free(x);
    free(y);
    return p;
}

exam_shift shift_of(const exam_sheet *s, const exam_seat *a, const exam_seat *b)
{
    int n = s->score ? both_asked(a, b) : 0, m = 0;
    double *d = q_alloc(sizeof *d * (size_t)(n + 1));
    for (int i = 0; i < n; i++)
        if (isfinite(a->reply[i].log_odds) && isfinite(b->reply[i].log_odds)) d[m++] = b->reply[i].log_odds - a->reply[i].log_odds;
    exam_shift out = exam_shift_of(d, m);
    free(d);
    return out;
}

judged judge_pair(const exam_sheet *s, const exam_seat *a, const exam_seat *b)
{
    exam_pair p = pair_of(s, a, b, NULL);
    int n = both_asked(a, b), right = 2 * p.both + p.only_a + p.only_b, cut = 0, unread = 0, least = EXAM_LEVELS, most = 1;
    for (int i = 0; i < n; i++) {
        least = s->item[i].level < least ? s->item[i].level : least;
        most = s->item[i].level > most ? s->item[i].level : most;
        cut += (a->reply[i].mark == EXAM_CUT) + (b->reply[i].mark == EXAM_CUT);
        unread += (a->reply[i].mark == EXAM_UNREAD) + (b->reply[i].mark == EXAM_UNREAD);
    }
    if (p.n == 0) return (judged){ V_NONE, 0 };
    if (p.different) return (judged){ p.difference > 0 ? V_BETTER : V_WORSE, 0 };
    if (right <= 2 * p.n / FEW)
        return cut > p.n ? (judged){ V_CUT, 0 } : unread > p.n ? (judged){ V_UNREAD, 0 } : (judged){ V_HARD, least - 1 };
    if (2 * p.n - right <= 2 * p.n / FEW) return (judged){ V_EASY, most < EXAM_LEVELS ? most + 1 : 0 };
    return (judged){ p.only_a + p.only_b == 0 ? V_ALIKE : V_UNSEEN, 0 };
}

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = { "none", "better", "worse", "alike", "unseen", "too_hard", "too_easy", "mostly_cut", "mostly_unread" };
    return names[v];
}
