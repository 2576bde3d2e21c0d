/* engine/file/place: where a file that is made may go. See engine/models.h. Any thread. */
#include "engine/models.h"

#include <sys/stat.h>

int eng_no_file(const char *path, bool force, char *err)
{
    struct stat st;
    if (q_no_device(path, err) != Q_OK) return Q_RANGE;        /* by force either */
    if (force || lstat(path, &st) < 0) return Q_OK;
    return q_fail(err, Q_RANGE, _("%s is there already: --force writes over it, or give another name"), path);
}
