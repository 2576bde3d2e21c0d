/* tui/lang: which language the interface speaks. The C library's gettext, led by LANGUAGE, so that Russian works where
 * no Russian locale was generated: C.UTF-8 carries it. Called first before any thread exists (setenv); afterwards only
 * the text domain changes. The program's own translations are beside the binary (build/locale) or installed. */
#include "tui/tui.h"

#include <langinfo.h>
#include <libgen.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* build/quorum -> build/locale; build/tests/test_x -> build/locale; else the installed place. */
static char *locale_dir(void)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    for (int up = 0; n > 0 && up < 2; up++) {
        exe[n] = 0;
        char *slash = strrchr(exe, '/');
        if (!slash) break;
        *slash = 0;
        n = slash - exe;
        char *dir = q_printf("%s/locale", exe), *probe = q_printf("%s/ru/LC_MESSAGES/quorum.mo", dir);
        bool there = access(probe, R_OK) == 0;
        free(probe);
        if (there) return dir;
        free(dir);
    }
    return q_strdup(QUORUM_LOCALEDIR);
}

static bool environment_is_russian(void)
{
    static const char *const vars[] = { "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG" };
    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++) {
        const char *v = getenv(vars[i]);
        if (v && *v) return strncmp(v, "ru", 2) == 0;
    }
    return false;
}

void tui_lang(const char *lang)
{
    static char *libc_dir;
    static bool begun, russian;         /* what the environment asked for, before LANGUAGE was set for gettext */
    if (!begun) {
        begun = true;
        const char *dir_of_libc = bindtextdomain("libc", NULL);
        libc_dir = q_strdup(dir_of_libc ? dir_of_libc : "/usr/share/locale");
        russian = environment_is_russian();
        if (!setlocale(LC_ALL, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
        const char *m = setlocale(LC_MESSAGES, NULL);
        /* gettext translates nothing in the locale called "C". */
        if (!m || strcmp(m, "C") == 0 || strcmp(m, "POSIX") == 0) setlocale(LC_MESSAGES, "C.UTF-8");
        setlocale(LC_NUMERIC, "C");
        setenv("LANGUAGE", "ru", 1);
        char *dir = locale_dir();
        bindtextdomain("quorum", dir);
        bind_textdomain_codeset("quorum", "UTF-8");
        free(dir);
    }
    bool ru = lang && strcmp(lang, "ru") == 0 ? true : lang && strcmp(lang, "en") == 0 ? false : russian;
    bindtextdomain("libc", ru ? libc_dir : "/");  /* the C library's own words (strerror) speak the same language */
    textdomain(ru ? "quorum" : "quorum-en");      /* a domain without a catalogue: the text in the code */
}
