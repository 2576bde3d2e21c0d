/* cli/models_path: which file -m means. Main thread; owns nothing. */
#include "cli/cli.h"
#include "engine/models.h"

int cli_model_path(const char *m, char **out, char *err)
{
    *out = NULL;
    if (m && !*m)                        /* an empty variable of a script: the default model is not what was meant */
        return q_fail(err, Q_NOTFOUND, _("the model's name is empty: give a file or a part of a name, or leave it out for the default model"));
    if (m && *m == '@')
        return q_fail(err, Q_RANGE, _("%s is on a server, and this looks into the model itself: give a file or a part of a name"), m);
    return eng_find_model(m, out, err);
}
