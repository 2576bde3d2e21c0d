/* cli/adapter: `quorum model lora-export | merge`: adapters kept in another way, and added to a model for good. Main thread; prints what the engine says. */
#include "base/say.h"
#include "cli/common.h"
#include "cli/fetch.h"
#include "engine/adapter.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_adapter_export(const char *adapter, const char *out, const char *base, bool force)
{
    char err[Q_ERRLEN], *path = NULL;
    eng_model *m = NULL;
    int rc = cli_model_path(base, &path, err);
    if (rc == Q_OK) rc = eng_model_open(path, &(eng_open_opts){.unrun = true}, &m, err);
    if (rc == Q_OK) rc = eng_adapter_export(m, adapter, out, force, err);
    eng_model_free(m);
    free(path);
    return rc ? cli_fail(err) : 0;
}

/* "FILE=0.7"; a file that is there under the whole name is that file. path malloc'ed. False: the scale is no number. */
static bool with_scale(const char *word, char **path, float *scale)
{
    const char *at = strrchr(word, '=');
    *scale = 1;
    if (!at || at == word || access(word, F_OK) == 0) {
        *path = q_strdup(word);
        return true;
    }
    char *end;
    errno = 0;
    *scale = strtof(at + 1, &end);
    *path = q_strndup(word, (size_t)(at - word));
    return at[1] && !*end && !errno && isfinite(*scale);
}

int cli_adapter_merge(const cli_merge *g)
{
    char err[Q_ERRLEN], *path = NULL;
    eng_model *m = NULL;
    eng_merge *what = q_alloc(sizeof *what * (size_t)g->n);
    eng_adapter **read = q_alloc(sizeof *read * (size_t)g->n);
    int rc = cli_model_path(g->base, &path, err);
    if (rc == Q_OK) rc = eng_model_open(path, &(eng_open_opts){.unrun = true}, &m, err);
    for (int i = 0; i < g->n && rc == Q_OK; i++) {
        char *file = NULL;
        if (!with_scale(g->adapter[i], &file, &what[i].scale)) rc = q_fail(err, Q_RANGE, _("%s: what stands behind = is no scale: give a number, such as 0.7"), g->adapter[i]);
        if (rc == Q_OK) rc = eng_adapter_read(m, file, &read[i], err);
        what[i].adapter = read[i];
        free(file);
    }
    if (rc == Q_OK) {
        cli_progress p;
        cli_progress_start(&p, _("merging"));
        rc = eng_merge_write(m, what, g->n, g->type, g->out, g->force, cli_progress_step, &p, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    for (int i = 0; i < g->n; i++) eng_adapter_free(read[i]);
    free(read);
    free(what);
    eng_model_free(m);
    free(path);
    return rc ? cli_fail(err) : 0;
}
