/* tui/lang: which language the interface speaks. The C library's gettext, led by LANGUAGE, so that Russian works where
 * no Russian locale was generated: C.UTF-8 carries it. Called first before any thread exists (setenv); afterwards only
 * the text domain changes. The program's own translations are beside the binary (build/locale) or installed. */
#include "tui/tui.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

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
        char *dir = q_locale_dir();
        bindtextdomain("quorum", dir);
        bind_textdomain_codeset("quorum", "UTF-8");
        free(dir);
    }
    bool ru = lang && strcmp(lang, "ru") == 0 ? true : lang && strcmp(lang, "en") == 0 ? false : russian;
    bindtextdomain("libc", ru ? libc_dir : "/");  /* the C library's own words (strerror) speak the same language */
    textdomain(ru ? "quorum" : "quorum-en");      /* a domain without a catalogue: the text in the code */
}
