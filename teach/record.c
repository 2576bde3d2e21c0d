/* teach/record: what a run has written down of itself (run.json), read back only where every part of it is what it was written as: a run that is gone on with
 * under other settings or experts would be another one. See parts.h. */
#include "teach/parts.h"

#include <stdlib.h>
#include <string.h>

static const shelf_row rows[] = {
    { "state", SHELF_TEXT, true }, { "settings", SHELF_TEXT, true }, { "name", SHELF_TEXT, true }, { "model", SHELF_TEXT, true }, { "model_id", SHELF_TEXT, true },
    { "model_path", SHELF_TEXT, true }, { "data_sha256", SHELF_TEXT, true }, { "begun_ms", SHELF_COUNT, true }, { "chosen", SHELF_TEXT, false }, { "chosen_n", SHELF_COUNT, false },
    { "train", SHELF_COUNT, true }, { "heldout", SHELF_COUNT, true }, { "long", SHELF_COUNT, false }, { "mute", SHELF_COUNT, false }, { "tokens", SHELF_COUNT, false },
    { "answer_tokens", SHELF_COUNT, false }, { "params", SHELF_COUNT, false }, { "trained", SHELF_COUNT, false }, { "bytes", SHELF_COUNT, false }, { "expected_bytes", SHELF_COUNT, false },
    { "expected_s", SHELF_REAL, false }, { "seconds", SHELF_REAL, false }, { "distance", SHELF_REAL, false }, { "p", SHELF_REAL, false }, { "share", SHELF_REAL, false },
    { "share_elsewhere", SHELF_REAL, false }, { "loss", SHELF_REAL, false }, { "tokens_s", SHELF_REAL, false },
};

static const char *wrong(const cJSON *j)
{
    static const char *const states[] = { "running", "stopped", "done" };
    bool state = false;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        state |= strcmp(shelf_text(j, "state"), states[i]) == 0;
    return !state ? "state" : strlen(shelf_text(j, "data_sha256")) != 64 ? "data_sha256" : NULL;
}

int record_read(const char *name, cJSON **out, char *err)
{
    char why[Q_ERRLEN], *path = shelf_of(name, "run/run.json");
    *out = NULL;
    int rc = path ? shelf_read(path, RECORD_KIND, rows, (int)(sizeof rows / sizeof *rows), out, why) : q_no_home(why);
    const char *bad = rc == Q_OK ? wrong(*out) : NULL;
    if (bad)
        rc = q_fail(why, Q_FORMAT, _("\"%s\" in it is missing, or not what stands there"), bad);
    if (bad) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    if (rc == Q_FORMAT)
        q_fail(err, rc, _("%s is damaged (%s): nothing is done with it; /teach undo %s forgets that run and what came of it, the set stays"), path, why, name);
    else if (rc < 0)
        q_fail(err, rc, "%s", why);
    free(path);
    return rc;
}
