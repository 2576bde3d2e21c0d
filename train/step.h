/* train/step: what a trn is, for those of this room that step it (run.c). Private to train/. */
#ifndef QUORUM_TRAIN_STEP_H
#define QUORUM_TRAIN_STEP_H

#include "engine/adapter.h"
#include "train/pass.h"
#include "train/train.h"

struct trn {
    eng_model *model;                  /* the caller's */
    const ker_model *m;
    eng_arithmetic config;
    double context;                    /* tokens of an example at most */
    trn_options o;                     /* with the defaults filled in */
    team *team;
    lows *low;
    frozen f;
    pass p;
    pass_target *target;               /* [max_target], n_target in use: of the pass at hand */
    int *end;                          /* behind each text's last target */
    int n_target, max_target;
    trn_usage used;
    team_stop stop;
};

/* Examples fit the model, the loss and the context. */
int step_check(const trn *, const trn_example *, int n, char *err);
double step_rate(const trn_options *, int64_t update /* from 1 */);

#endif
