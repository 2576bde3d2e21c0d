/* cli/lm_eval: lm_eval through quorum's own server. Private to cli; single-threaded. */
#ifndef QUORUM_CLI_LM_EVAL_H
#define QUORUM_CLI_LM_EVAL_H

#include "base/base.h"

typedef struct cli_lm_eval {
    const char *model, *tasks;           /* as -m takes it; as lm_eval's --tasks takes them */
    const char *const *set; int n_set;
    char **more; int n_more;             /* arguments for lm_eval itself */
    int streams;
} cli_lm_eval;
/* What lm_eval prints goes where ours does. Q_NOTFOUND: it is not installed. */
int cli_run_lm_eval(const cli_lm_eval *, char *err);

#endif
