/* engine/adapter/read: eng_adapter_read: what a path is, and the reader of that kind. */
#include "engine/adapter/kinds.h"
#include "engine/run/model.h"

#include <string.h>
#include <sys/stat.h>

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

int eng_adapter_read(const eng_model *m, const char *path, eng_adapter **out, char *err)
{
    struct stat st;
    if (m && m->vocab_only) return q_fail(err, Q_RANGE, _("%s holds no weights: it is a vocabulary only"), m->path);
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (folder && !m) return q_fail(err, Q_RANGE, _("%s is a folder of PEFT's: only with its model is it known what its names mean"), path);
    if (!folder && ends(path, ".safetensors")) return q_fail(err, Q_RANGE, _("%s is only the weights: name its folder, where adapter_config.json is too"), path);
    eng_adapter *ad = lows_new(path);
    int rc = folder ? lows_from_peft(ad, m, err) : lows_from_gguf(ad, m, true, err);
    if (!rc && m) lows_doubt(ad, m);
    if (!rc) rc = lows_finish(ad, err);
    if (rc) eng_adapter_free(ad);
    else *out = ad;
    return rc;
}
