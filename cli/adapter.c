/* cli/adapter: `quorum model lora-export`: adapters kept in another way. Main thread; prints what the engine says. */
#include "base/say.h"
#include "cli/model.h"
#include "engine/adapter.h"

#include <stdlib.h>

int model_lora_export(int argc, char **argv)
{
    bool force = false;
    const char *base = NULL, *files[2];
    const model_option o[] = {{"-m", &base, NULL}, {"--force", NULL, &force}, {NULL, NULL, NULL}};
    int n = model_parse(argc, argv, o, files, 2);
    if (n < 0) return 2;
    if (n != 2) return cli_usage(&cli_model, _("lora-export needs ADAPTER and OUT, and -m BASE"));
    char err[Q_ERRLEN], *path = NULL;
    eng_model *m = NULL;
    int rc = model_not_there(files[1], force, err);
    if (rc == Q_OK) rc = cli_model_path(base, &path, err);
    if (rc == Q_OK) rc = eng_model_open(path, &(eng_open_opts){.n_threads = 1, .ignore_memory = true}, &m, err);
    if (rc == Q_OK) rc = eng_adapter_export(m, files[0], files[1], force, err);
    eng_model_free(m);
    free(path);
    return rc ? cli_fail(err) : 0;
}
