/* engine/model/arrival: where the embedding model is, and how far the process is that fetches it. That one writes a record into
 * a small file and holds a lock on it as long as it lives; whoever asks reads the record and looks whether the lock is held, which
 * takes nothing from anybody. Owns nothing beyond a call but what eng_arrival_begin gives; any thread. */
#include "engine/model/brief.h"
#include "engine/models.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD = 512 };             /* always written whole: a percentage, or "!" and a sentence */

char *eng_default_embedder(void) { return q_user_path(Q_DIR_DATA, "embedders/multilingual-e5-small.gguf"); }
static char *record_path(void) { return q_user_path(Q_DIR_CACHE, "fetch/embedder/state"); }
static struct flock whole(short type) { return (struct flock){.l_type = type, .l_whence = SEEK_SET}; }

int eng_arrival_begin(void)
{
    char *path = record_path(), err[Q_ERRLEN];
    char *slash = path ? strrchr(path, '/') : NULL;
    int fd = -1;
    if (slash) {
        *slash = 0;
        int rc = q_mkdirs(path, err);
        *slash = '/';
        struct flock lock = whole(F_WRLCK);
        if (!rc) fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) != 0) {
            close(fd);
            fd = -1;
        }
    }
    free(path);
    if (fd >= 0) eng_arrival_note(fd, 0, NULL);
    return fd;
}

void eng_arrival_note(int fd, int percent, const char *problem)
{
    char record[RECORD];
    if (fd < 0) return;
    memset(record, 0, sizeof record);
    if (problem) snprintf(record, sizeof record, "!%s", problem);
    else snprintf(record, sizeof record, "%d", percent);
    if (pwrite(fd, record, sizeof record, 0) < 0) return;  /* a full disk: whoever asks sees the record before */
}

void eng_arrival_end(int fd) { if (fd >= 0) close(fd); }

void eng_embedder_arrival(eng_arrival *out)
{
    *out = (eng_arrival){.percent = -1};
    char *path = eng_default_embedder(), *record = record_path();
    out->here = path && access(path, R_OK) == 0;
    int fd = record && !out->here ? open(record, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        char text[RECORD + 1] = "";
        struct flock lock = whole(F_RDLCK);
        ssize_t n = pread(fd, text, RECORD, 0);
        out->coming = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
        if (n > 0 && *text == '!' && !out->coming) {
            char *clean = brief_text(text + 1, strlen(text + 1), sizeof out->problem - 1);
            snprintf(out->problem, sizeof out->problem, "%.*s", (int)q_utf8_whole(clean, strnlen(clean, sizeof out->problem - 1)), clean);
            free(clean);
        }
        long percent = n > 0 && *text >= '0' && *text <= '9' ? strtol(text, NULL, 10) : -1;
        if (out->coming) out->percent = percent < 0 ? 0 : percent > 100 ? 100 : (int)percent;
    }
    if (fd >= 0) close(fd);
    free(path);
    free(record);
}
