/* base/paths: where things are: the user's folders (XDG Base Directory 0.8), what ships with quorum, and an environment in
 * which nothing is looked for in the current directory. */
#include "base/base.h"

#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prefix.h"                      /* made by the build: QUORUM_DATADIR, QUORUM_LOCALEDIR */

static bool absolute(const char *p) { return p && p[0] == '/'; }

char *q_home(void)
{
    const char *home = getenv("HOME");
    if (absolute(home)) return q_strdup(home);
    struct passwd room, *me = NULL;
    char text[4096];
    if (getpwuid_r(getuid(), &room, text, sizeof text, &me) == 0 && me && absolute(me->pw_dir)) return q_strdup(me->pw_dir);
    return NULL;
}

char *q_home_path(const char *path)
{
    char *home = path[0] == '~' && (path[1] == '/' || !path[1]) ? q_home() : NULL;
    char *out = home ? q_printf("%s%s", home, path + 1) : q_strdup(path);
    free(home);
    return out;
}

char *q_whole_path(const char *path)
{
    char *out = q_home_path(path), *here = *out == '/' ? NULL : realpath(".", NULL);
    if (!here) return out;
    char *whole = q_printf("%s/%s", here[1] ? here : "", out);
    free(here);
    free(out);
    return whole;
}

int q_no_home(char *err)
{
    return q_fail(err, Q_NOTFOUND, _("there is no home directory to keep anything in: set HOME to a folder of yours"));
}

char *q_user_path(enum q_dir d, const char *name)
{
    static const struct { const char *var, *home; } dirs[] = {
        [Q_DIR_CONFIG] = {"XDG_CONFIG_HOME", ".config"},
        [Q_DIR_DATA] = {"XDG_DATA_HOME", ".local/share"},
        [Q_DIR_CACHE] = {"XDG_CACHE_HOME", ".cache"},
        [Q_DIR_STATE] = {"XDG_STATE_HOME", ".local/state"},
    };
    const char *x = getenv(dirs[d].var);
    if (absolute(x)) return q_printf("%s/quorum/%s", x, name);
    char *home = q_home(), *path = home ? q_printf("%s/%s/quorum/%s", home, dirs[d].home, name) : NULL;
    free(home);
    return path;
}

/* The folder of the running program, up[] from it and name below that, if it can be read; malloc'ed or NULL. */
static char *beside(const char *const up[], const char *name, const char *probe)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return NULL;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (slash) *slash = 0;
    for (int i = 0; up[i]; i++) {
        char *p = q_printf("%s%s/%s", exe, up[i], name), *there = q_printf("%s%s", p, probe);
        bool found = access(there, R_OK) == 0;
        free(there);
        if (found) return p;
        free(p);
    }
    return NULL;
}

char *q_share_path(const char *name)
{
    /* build/quorum or build/tests/x: the tree is one or two levels up; bin/quorum: ../share/quorum */
    static const char *const up[] = {"/..", "/../..", "/../share/quorum", NULL};
    char *p = beside(up, name, "");
    if (p) return p;
    p = q_printf("%s/%s", QUORUM_DATADIR, name);
    if (access(p, R_OK) == 0) return p;
    free(p);
    return NULL;
}

char *q_locale_dir(void)
{
    /* build/quorum, build/tests/x, bin/quorum */
    static const char *const up[] = {"", "/..", "/../share", NULL};
    char *p = beside(up, "locale", "/ru/LC_MESSAGES/quorum.mo");
    return p ? p : q_strdup(QUORUM_LOCALEDIR);
}

char *q_own_program(const char *name)
{
    /* build/quorum, build/tests/x, bin/quorum */
    static const char *const up[] = {"", "/..", "/../lib/quorum", NULL};
    return beside(up, name, "");
}

char *q_find_program(const char *name)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        char *p = path[0] == '/' ? q_printf("%.*s/%s", (int)n, path, name) : NULL;
        if (p && access(p, X_OK) == 0) return p;
        free(p);
        path += n + (path[n] == ':');
    }
    return NULL;
}

/* PATH without entries that begin in the current directory; what is left may be empty. */
static void clean_path(void)
{
    const char *path = getenv("PATH");
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        if (path[0] == '/') {
            if (b.len) q_buf_putc(&b, ':');
            q_buf_add(&b, path, n);
        }
        path += n + (path[n] == ':');
    }
    setenv("PATH", b.len ? b.p : "/usr/local/bin:/usr/bin:/bin", 1);
    q_buf_free(&b);
}

/* Descriptions of terminals that came with us stand behind the system's own (an empty entry). */
static void know_terminals(void)
{
    static const char *const up[] = {"/../share", NULL};
    char *p = getenv("TERMINFO_DIRS") ? NULL : beside(up, "terminfo", "/x/xterm");
    char *dirs = p ? q_printf(":%s", p) : NULL;
    if (dirs) setenv("TERMINFO_DIRS", dirs, 1);
    free(dirs);
    free(p);
}

void q_clean_environment(void)
{
    static const char *const folders[] = { "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HF_HOME", "HF_HUB_CACHE",
        "LLAMA_CACHE", "OLLAMA_MODELS", "TERMINFO", "TMPDIR", "LOCPATH", "PIP_CONFIG_FILE" };
    clean_path();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (getenv(folders[i]) && !absolute(getenv(folders[i]))) unsetenv(folders[i]);
    know_terminals();
    char *home = q_home();
    if (home) setenv("HOME", home, 1);
    else unsetenv("HOME");
    free(home);
}
