/* cli/models_path: which file -m means. Main thread; owns nothing. */
#include "cli/cli.h"
#include "engine/models.h"

int cli_model_path(const char *m, char **out, char *err) { return eng_find_model(m, out, err); }
