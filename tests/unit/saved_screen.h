/* tests: whole screens beside what is saved under tests/golden, in both languages; UPDATE=1 saves them anew. Included where
 * `app` is there already. */
#ifndef QUORUM_SAVED_SCREEN_H
#define QUORUM_SAVED_SCREEN_H
#include "tests/test.h"
#include "tui/tui.h"

#include <unistd.h>

static const char *lang = "en";

/* What is drawn now; valid until the next call. */
static __attribute__((unused)) char *screen(void)
{
    static q_buf b;
    q_buf_clear(&b);
    tui_app_draw(&app);
    tui_grid_text(&app.grid, &b);
    return b.p;
}

/* path: malloc'ed, taken. */
static void saved_text(char *path, const char *got, size_t n)
{
    q_buf want = { 0 };
    char err[Q_ERRLEN];
    if (getenv("UPDATE")) CHECK(q_write_file_atomic(path, got, n, err) == 0);
    else if (q_read_file(path, &want, 1 << 20, err) < 0) CHECK_MSG(0, "%s", err);
    else if (want.len != n || memcmp(want.p, got, n) != 0) CHECK_MSG(0, "%s differs, now:\n%s", path, got);
    q_buf_free(&want);
    free(path);
}

static __attribute__((unused)) void compare(const char *name)
{
    char *got = screen();
    saved_text(q_printf("tests/golden/screens/%s_%d_%s.txt", name, app.grid.w, lang), got, strlen(got));
}

static void in_russian(void (*check)(void))
{
    lang = "ru";
    tui_lang("ru");
    if (strcmp(_("you"), "you") == 0) CHECK_MSG(0, "no Russian catalogue: is gettext installed?");
    else check();
    lang = "en";
    tui_lang("en");
}

static __attribute__((unused)) void in_both_languages(void (*check)(void))
{
    lang = "en";
    tui_lang("en");
    check();
    if (access("po/ru.po", R_OK) == 0) in_russian(check);
}
#endif
