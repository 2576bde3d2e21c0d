/* engine/run/draft: see draft.h. */
#include "engine/run/draft.h"

#include <string.h>

enum { GRAM_LEAST = 3, GRAM_MOST = 12 };

int draft_find(const int32_t *tokens, int n, int max, int32_t *out)
{
    int best = 0, from = 0;
    for (int end = n - 1; end >= GRAM_LEAST && best < GRAM_MOST; end--) {          /* tokens[0..end) ends with a run of the last ones */
        int len = 0;
        while (len < GRAM_MOST && len < end && tokens[end - 1 - len] == tokens[n - 1 - len])
            len++;
        if (len > best) {
            best = len;
            from = end;
        }
    }
    if (best < GRAM_LEAST)
        return 0;
    int got = n - from < max ? n - from : max;
    memcpy(out, tokens + from, sizeof *out * (size_t)got);
    return got;
}

/* ---- does it pay? ---- */
enum { ROWS_FIRST = 3, STEPS_JUDGED = 3, PAUSE_FIRST = 16, PAUSE_MOST = 512, STEPS_PLAIN = 32 /* after so many the plain step is measured anew */ };

int draft_rows(draft_pays *d)
{
    if (d->rest > 0 || !(d->plain > 0) || d->steps % STEPS_PLAIN == STEPS_PLAIN - 1)
        return 0;
    if (d->rows < 1)
        d->rows = d->dear ? 1 : ROWS_FIRST;
    return d->rows;
}

void draft_plain(draft_pays *d, double seconds)
{
    d->plain = d->plain > 0 ? .7 * d->plain + .3 * seconds : seconds;
    d->rest -= d->rest > 0;
    d->steps += d->steps % STEPS_PLAIN == STEPS_PLAIN - 1;
    d->all.resting = d->rest > 0;
}

void draft_tried(draft_pays *d, int drafted, int accepted, double seconds)
{
    d->all.steps++;
    d->all.drafted += (uint64_t)drafted;
    d->all.accepted += (uint64_t)accepted;
    d->spent = .8 * d->spent + seconds;
    d->won = .8 * d->won + 1 + accepted;
    d->all.gain = d->won * d->plain / (d->spent > 0 ? d->spent : 1e-9);
    d->steps++;
    if (accepted == drafted)
        d->rows = d->rows * 2 + 1 < DRAFT_MAX ? d->rows * 2 + 1 : DRAFT_MAX;
    else
        d->rows = accepted + (d->dear ? 1 : 2) < d->rows ? accepted + (d->dear ? 1 : 2) : d->rows;
    if (d->steps < STEPS_JUDGED)
        return;
    if (d->all.gain >= 1) {
        if (d->steps >= 2 * STEPS_JUDGED)
            d->pause = 0;
        return;
    }
    d->pause = d->pause ? (d->pause * 2 < PAUSE_MOST ? d->pause * 2 : PAUSE_MOST) : PAUSE_FIRST;
    d->rest = d->pause;
    d->spent = d->won = 0;
    d->steps = d->rows = 0;
    d->all.rests++;
    d->all.resting = true;
}
