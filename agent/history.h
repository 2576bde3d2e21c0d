/* agent/history: the configurations that were in effect, the last 25, what was measured of each, and F9's walk through
 * them. The oldest stands first. A knob that is turned makes its configuration the last one, right behind the one that it
 * was turned in; F9 goes back from there, one at a time, turns round at the oldest and again at the last, so that two are
 * gone to and fro between. An answer that begins makes the present one the last: the walk then begins anew from it.
 * Plain data: whoever has it (the seat: engine's thread) is its only user. It never sets a configuration. */
#ifndef QUORUM_AGENT_HISTORY_H
#define QUORUM_AGENT_HISTORY_H

#include "agent/tally.h"
#include "provider/provider.h"

enum { HISTORY_MAX = AGT_HISTORY_MAX };
typedef struct past {
    prov_config *cfg;                    /* owned */
    tally made;                          /* of the tokens of the present conversation that it made */
} past;
typedef struct history {
    past v[HISTORY_MAX];
    int n, at;                           /* at: the present one; n 0: no model */
    int step;                            /* where the walk goes: -1 back, 1 forth */
    int maker, before;                   /* which made the last token, and which one before that; -1: none */
} history;

void history_clear(history *);           /* frees all; zeroed is empty too */
void history_turned(history *, const prov_config *now);      /* copied */
void history_under(history *, const prov_config *below);     /* where it is not known yet: copied, as the oldest */
/* Where F9 goes: a place, and *step for history_go; -1: there is one only. */
int history_next(const history *, int *step);
void history_go(history *, int to, int step);
void history_rest(history *);            /* an answer begins */
void history_made(history *, const double value[TALLY_N]);   /* the present one made a token */
void history_forget(history *);          /* another conversation: nothing was measured of it */

#endif
