/* engine/adapter/export: an adapter kept in the other way: a folder of PEFT's as a GGUF, a GGUF as such a folder, or (OUT ends with .gguf) as
 * a GGUF without the hash that ties it to one file of its base. */
#include "engine/adapter/kinds.h"
#include "engine/file/gguf.h"
#include "engine/run/model.h"

#include <string.h>
#include <sys/stat.h>

int eng_adapter_export(const eng_model *m, const char *path, const char *out, bool force, char *err)
{
    struct stat st;
    size_t n = strlen(out);
    bool from_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode), to_gguf = from_folder || (n > 5 && strcmp(out + n - 5, ".gguf") == 0);
    if (m->vocab_only) return q_fail(err, Q_RANGE, _("%s holds no weights: it is a vocabulary only"), m->path);
    int rc = gguf_no_input(m->file, out, err);
    if (!rc) rc = q_no_input(out, path, err);
    if (rc) return rc;
    eng_adapter *ad = lows_new(path);
    rc = from_folder ? lows_from_peft(ad, m, err) : lows_from_gguf(ad, m, false, err);
    if (!rc) rc = lows_finish(ad, err);
    ad->base_id = 0;
    if (!rc) rc = to_gguf ? eng_adapter_write_gguf(ad, out, force, err) : eng_adapter_write_peft(ad, m, out, force, err);
    eng_adapter_free(ad);
    return rc;
}
