/* tui/lang: which language the interface speaks, from the environment or a knob. The catalogue is our own reader's
 * (tui/mo.c), so Russian needs no Russian locale and no help of the C library: C.UTF-8 carries it. Called first before any
 * thread exists (setlocale, setenv); afterwards only a pointer changes, and no catalogue that was read is ever freed. */
#include <libintl.h>                     /* before ours, which take the name ngettext */

#include "tui/mo.h"
#include "tui/tui.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

static tui_mo *russian_words;           /* read once, before any thread; NULL: there are none */

static const char *look(const char *one, const char *many, unsigned long n)
{
    return many ? tui_mo_plural(russian_words, one, n) : tui_mo_find(russian_words, one);
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

static void read_words(void)
{
    char *dir = q_locale_dir(), *path = q_printf("%s/ru/LC_MESSAGES/quorum.mo", dir);
    russian_words = tui_mo_open(path);
    free(path);
    free(dir);
}

void tui_lang(const char *lang)
{
    static char *libc_dir;
    static bool begun, russian;         /* what the environment asked for, before LANGUAGE was set for the C library */
    if (!begun) {
        begun = true;
        const char *dir_of_libc = bindtextdomain("libc", NULL);
        libc_dir = q_strdup(dir_of_libc ? dir_of_libc : "/usr/share/locale");
        russian = environment_is_russian();
        if (!setlocale(LC_ALL, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
        const char *m = setlocale(LC_MESSAGES, NULL);
        if (!m || strcmp(m, "C") == 0 || strcmp(m, "POSIX") == 0) setlocale(LC_MESSAGES, "C.UTF-8");    /* for strerror alone */
        setlocale(LC_NUMERIC, "C");
        q_words_language("ru");
        read_words();
    }
    bool ru = lang && strcmp(lang, "ru") == 0 ? true : lang && strcmp(lang, "en") == 0 ? false : russian;
    bindtextdomain("libc", ru ? libc_dir : "/");  /* the C library's own words (strerror), where it has them, speak the same */
    q_words_from(ru && russian_words ? look : NULL);
}
