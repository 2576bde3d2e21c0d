/* rag/there: is the file there that a passage was taken from, as far as that can be told without waiting. Any thread; it
 * looks at names alone and never opens a file. A disk that may not answer (over a network, or somebody's program) is not
 * looked at: whoever asks would stand as long as it does. */
#include "rag/rag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A mount point as /proc/self/mountinfo writes it: "\040" is a blank. In place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        bool octal = s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7';
        *to++ = octal ? (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0')) : *s;
        s += octal ? 3 : 0;
    }
    *to = 0;
}

/* On a disk of this machine: a block device, or a kind of file system that has none of its own and is in memory or on one. */
static bool local(unsigned major, const char *kind)
{
    static const char *const kinds[] = {"tmpfs", "ramfs", "overlay", "btrfs", "zfs", "bcachefs", "ubifs"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i]) == 0) return true;
    return major != 0;
}

/* The n-th word of a line, from 0; its end where there are fewer. */
static const char *word(const char *line, int n)
{
    for (; n > 0 && *line; n--) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    return line;
}

/* Words of a line (proc_pid_mountinfo(5)): number, parent, major:minor, root, place ... - kind ... */
bool rag_disk_answers(const char *mounts, const char *path)
{
    size_t best = 0;
    bool answers = false;
    for (const char *at = mounts, *end; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, '\n');
        char *line = q_strndup(at, (size_t)(end - at));
        const char *place = word(line, 4), *dash = strstr(line, " - "), *kind_of = dash ? dash + 3 : "", *device = word(line, 2);
        char *where = q_strndup(place, strcspn(place, " ")), *kind = q_strndup(kind_of, strcspn(kind_of, " "));
        if (*where && *kind && *device >= '0' && *device <= '9') {
            unsigned major = (unsigned)strtoul(device, NULL, 10);
            unescape(where);
            size_t n = strcmp(where, "/") == 0 ? 0 : strlen(where);
            /* what was mounted last over the same place is what is seen */
            if (strncmp(path, where, n) == 0 && (path[n] == '/' || !path[n]) && n >= best) {
                best = n;
                answers = local(major, kind);
            }
        }
        free(where);
        free(kind);
        free(line);
    }
    return answers;
}

/* "" where that cannot be read: then no disk answers. */
static char *mounts_of_this(void)
{
    q_buf b = {0};
    char err[Q_ERRLEN];
    if (q_read_file("/proc/self/mountinfo", &b, 1 << 24, err) < 0) q_buf_clear(&b);
    return q_buf_take(&b);
}

enum rag_there rag_file_there(const char *path)
{
    struct stat st;
    char *mounts = *path == '/' ? mounts_of_this() : NULL;
    bool answers = mounts && rag_disk_answers(mounts, path);
    free(mounts);
    if (!answers) return RAG_NOT_LOOKED;
    if (lstat(path, &st) == 0) return RAG_THERE;
    return errno == ENOENT || errno == ENOTDIR ? RAG_MISSING : RAG_NOT_LOOKED;
}

void rag_taken(int64_t taken_ms, bool missing, int64_t away_ms, q_buf *b)
{
    time_t t = (time_t)(taken_ms / 1000);
    struct tm tm;
    char day[32] = "";
    if (taken_ms && localtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%d", &tm);
    /* TRANSLATORS: a date: the file's text as it was on that day */
    if (*day) q_buf_printf(b, _("; as of %s"), day);
    char *away = away_ms ? rag_away_words(away_ms) : NULL;
    if (away) q_buf_printf(b, "; %s", away);
    else if (missing) q_buf_puts(b, _("; its file is not there now"));
    free(away);
}
