/* cli/adapter: `quorum model lora-export | merge`: adapters kept in another way, and added to a model for good. Main thread; prints what the engine says. */
#include "base/say.h"
#include "cli/fetch.h"
#include "cli/model.h"
#include "engine/adapter.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    if (rc == Q_OK) rc = eng_model_open(path, &(eng_open_opts){.unrun = true}, &m, err);
    if (rc == Q_OK) rc = eng_adapter_export(m, files[0], files[1], force, err);
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

int model_merge(int argc, char **argv)
{
    bool force = false;
    const char *type = NULL, **words = q_alloc(sizeof *words * (size_t)(argc + 1));
    const model_option o[] = {{"--type", &type, NULL}, {"--force", NULL, &force}, {NULL, NULL, NULL}};
    int n = model_parse(argc, argv, o, words, argc), adapters = n - 2, rc = Q_OK;
    if (n < 3) {
        free(words);
        return n < 0 ? 2 : cli_usage(&cli_model, _("merge needs BASE, at least one ADAPTER, and OUT"));
    }
    char err[Q_ERRLEN], *path = NULL;
    eng_model *m = NULL;
    eng_merge *what = q_alloc(sizeof *what * (size_t)adapters);
    eng_adapter **read = q_alloc(sizeof *read * (size_t)adapters);
    rc = model_not_there(words[n - 1], force, err);
    if (rc == Q_OK) rc = cli_model_path(words[0], &path, err);
    if (rc == Q_OK) rc = eng_model_open(path, &(eng_open_opts){.unrun = true}, &m, err);
    for (int i = 0; i < adapters && rc == Q_OK; i++) {
        char *file = NULL;
        if (!with_scale(words[i + 1], &file, &what[i].scale)) rc = q_fail(err, Q_RANGE, _("%s: what stands behind = is no scale: give a number, such as 0.7"), words[i + 1]);
        if (rc == Q_OK) rc = eng_adapter_read(m, file, &read[i], err);
        what[i].adapter = read[i];
        free(file);
    }
    if (rc == Q_OK) {
        cli_progress p;
        cli_progress_start(&p, _("merging"));
        rc = eng_merge_write(m, what, adapters, type, words[n - 1], force, cli_progress_step, &p, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    for (int i = 0; i < adapters; i++) eng_adapter_free(read[i]);
    free(read);
    free(what);
    eng_model_free(m);
    free(path);
    free(words);
    return rc ? cli_fail(err) : 0;
}
