/* tests: the catalogue's reader: plural forms by the catalogue's rule, broken files, and Russian under a C locale. */
#include "tests/test.h"
#include "tui/mo.h"
#include "tui/tui.h"

#include <locale.h>
#include <sys/wait.h>
#include <unistd.h>

/* A catalogue in memory: ids must come sorted. */
static void put32(q_buf *b, uint32_t v, bool swap)
{
    unsigned char c[4];
    for (int i = 0; i < 4; i++) c[i] = (unsigned char)(v >> (swap ? 24 - 8 * i : 8 * i));
    q_buf_add(b, c, 4);
}

typedef struct pair { const char *id, *is; size_t id_len, is_len; } pair;
#define PAIR(a, b) { a, b, sizeof a - 1, sizeof b - 1 }

static void build(q_buf *b, const pair *p, uint32_t n, bool swap)
{
    uint32_t head = 28, at = head + 16 * n;
    const uint32_t top[7] = { 0x950412de, 0, n, head, head + 8 * n, 0, 0 };
    q_buf_clear(b);
    for (int i = 0; i < 7; i++) put32(b, top[i], swap);
    for (uint32_t i = 0; i < n; i++) { put32(b, (uint32_t)p[i].id_len, swap); put32(b, at, swap); at += (uint32_t)p[i].id_len + 1; }
    for (uint32_t i = 0; i < n; i++) { put32(b, (uint32_t)p[i].is_len, swap); put32(b, at, swap); at += (uint32_t)p[i].is_len + 1; }
    for (uint32_t i = 0; i < n; i++) q_buf_add(b, p[i].id, p[i].id_len + 1);
    for (uint32_t i = 0; i < n; i++) q_buf_add(b, p[i].is, p[i].is_len + 1);
}

static const pair sample[] = {
    PAIR("", "Plural-Forms: nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\n"),
    PAIR("%d file\0%d files", "%d файл\0%d файла\0%d файлов"), PAIR("empty", ""), PAIR("yes", "да") };
enum { N_SAMPLE = sizeof sample / sizeof *sample };

static void catalogues(void)
{
    q_buf b = {0};
    for (int swap = 0; swap < 2; swap++) {           /* of either byte order */
        build(&b, sample, N_SAMPLE, swap);
        tui_mo *m = tui_mo_read(b.p, b.len);
        CHECK(m != NULL);
        if (!m) continue;
        CHECK_STR(tui_mo_find(m, "yes"), "да");
        CHECK(!tui_mo_find(m, "no") && !tui_mo_find(m, "empty"));
        static const struct { unsigned long n; const char *is; } form[] = { { 1, "%d файл" }, { 2, "%d файла" }, { 5, "%d файлов" }, { 11, "%d файлов" },
            { 12, "%d файлов" }, { 21, "%d файл" }, { 104, "%d файла" }, { 112, "%d файлов" }, { 0, "%d файлов" }, { 4294967291ul, "%d файл" } };
        for (size_t i = 0; i < sizeof form / sizeof *form; i++) CHECK_STR(tui_mo_plural(m, "%d file", form[i].n), form[i].is);
        tui_mo_free(m);
    }
    static const char *const wrong[] = { "plural=n%0", "plural=", "plural=(n", "plural=n ? 1", "plural=n==1)", "plural=x", "plural=n%10 1" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {      /* a rule that is none is refused, not guessed */
        char *head = q_printf("Plural-Forms: nplurals=2; %s;\n", wrong[i]);
        pair p[1] = { { "", head, 0, strlen(head) } };
        build(&b, p, 1, false);
        tui_mo *m = tui_mo_read(b.p, b.len);
        CHECK_MSG(!m, "\"%s\" was taken", wrong[i]);
        tui_mo_free(m);
        free(head);
    }
    char deep[200] = "Plural-Forms: nplurals=2; plural=";
    memset(deep + strlen(deep), '(', 120);
    pair d[1] = { { "", deep, 0, strlen(deep) } };
    build(&b, d, 1, false);
    CHECK(!tui_mo_read(b.p, b.len));
    q_buf_free(&b);
}

/* Cut anywhere and with any byte changed it is refused or read, never past its end (what ASan sees). */
static void broken_catalogues(void)
{
    q_buf b = {0};
    build(&b, sample, N_SAMPLE, false);
    int taken = 0;
    for (size_t n = 0; n < b.len; n++) {
        char *copy = memcpy(malloc(n + 1), b.p, n);
        tui_mo *m = tui_mo_read(copy, n);
        if (m) taken++;
        tui_mo_free(m);
        free(copy);
    }
    CHECK_INT(taken, 0);
    for (size_t i = 0; i < b.len; i++)
        for (int v = 0; v < 256; v += 51) {
            char *copy = memcpy(malloc(b.len), b.p, b.len);
            copy[i] = (char)v;
            tui_mo *m = tui_mo_read(copy, b.len);
            if (m) {
                for (int k = 0; k < N_SAMPLE; k++) tui_mo_find(m, sample[k].id);
                for (unsigned long n = 0; n < 130; n++) tui_mo_plural(m, "%d file", n);
            }
            tui_mo_free(m);
            free(copy);
        }
    q_buf_free(&b);
}

/* Whoever asks for Russian gets it, whatever locales the system has: the C library is not asked. */
static void russian_needs_no_locale(void)
{
    static const char *const locale[] = { "C.UTF-8", "C", "POSIX" };
    for (size_t i = 0; i < sizeof locale / sizeof *locale; i++) {
        setlocale(LC_ALL, locale[i]);
        tui_lang("ru");
        CHECK_STR(_("stopped"), "остановлен");
        char *s = q_printf(ngettext("%d passage", "%d passages", 22ul), 22);
        CHECK_STR(s, "22 отрывка");
        free(s);
        CHECK_STR(_("nobody translated this"), "nobody translated this");
        CHECK_STR(_(""), "");
        tui_lang("en");
        CHECK_STR(_("stopped"), "stopped");
        s = q_printf(ngettext("%d passage", "%d passages", 1ul), 1);
        CHECK_STR(s, "1 passage");
        free(s);
    }
}

/* What is set for the C library's own words is of this process: programs that are started have what the environment said. */
static void started_programs_keep_their_language(void)
{
    CHECK_STR(getenv("LANGUAGE"), "ru");
    CHECK_STR(q_words_language_was(), "sv:en");
    int to[2] = { -1, -1 }, status = -1;
    char said[64] = "";
    CHECK(pipe(to) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        q_words_language_back();
        dup2(to[1], 1);
        execl("/bin/sh", "sh", "-c", "printf %s \"$LANGUAGE/$BESIDE\"", (char *)NULL);
        _exit(127);
    }
    close(to[1]);
    size_t n = 0;
    for (ssize_t k; n < sizeof said - 1 && (k = read(to[0], said + n, sizeof said - 1 - n)) > 0;) n += (size_t)k;
    close(to[0]);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK_STR(said, "sv:en/is kept");
}

int main(void)
{
    setenv("LANGUAGE", "sv:en", 1);
    setenv("BESIDE", "is kept", 1);
    tui_lang("en");
    RUN(started_programs_keep_their_language);
    RUN(catalogues);
    RUN(broken_catalogues);
    if (access("po/ru.po", R_OK) == 0) RUN(russian_needs_no_locale);
    return TEST_END();
}
