/* engine/adapter/read: eng_adapter_read: what a path is, and the reader of that kind. */
#include "engine/adapter/kinds.h"
#include "engine/run/model.h"

#include <string.h>

int eng_adapter_read(const eng_model *m, const char *path, eng_adapter **out, char *err)
{
    if (m && m->vocab_only) return q_fail(err, Q_RANGE, _("%s holds no weights: it is a vocabulary only"), m->path);
    eng_adapter *ad = lows_new(path);
    int rc = lows_from_gguf(ad, m, err);
    if (!rc) rc = lows_finish(ad, err);
    if (rc) eng_adapter_free(ad);
    else *out = ad;
    return rc;
}
