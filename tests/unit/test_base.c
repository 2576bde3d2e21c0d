/* base: UTF-8, buffers, hashes. */
#include "base/base.h"
#include "base/knob.h"
#include "base/place.h"
#include "base/say.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/test.h"

static void utf8_rejects_what_unicode_forbids(void)
{
    CHECK(q_utf8_valid("при\xC2\xA0\xF0\x9F\x98\x80", 12));
    CHECK_INT(q_utf8_points(""), 0);
    CHECK_INT(q_utf8_points("при\xC2\xA0\xF0\x9F\x98\x80!"), 6);
    CHECK(!q_utf8_valid("\xC0\x80", 2));
    CHECK(!q_utf8_valid("\xED\xA0\x80", 3));
    CHECK(!q_utf8_valid("\xF4\x90\x80\x80", 4));
    CHECK(!q_utf8_valid("\xE2\x82", 2));
    CHECK(q_utf8_valid("\xEF\xBF\xBD", 3));
}

static void utf8_round_trip(void)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        char s[4];
        uint32_t back;
        int n = q_utf8_put(s, c);
        if (q_utf8_next(s, (size_t)n, &back) != n || back != c) { CHECK_INT(back, c); break; }
    }
}

static void utf8_whole_never_cuts(void)
{
    const char *s = "аб\xF0\x9F\x98\x80";
    CHECK_INT(q_utf8_whole(s, 3), 2);
    CHECK_INT(q_utf8_whole(s, 4), 4);
    CHECK_INT(q_utf8_whole(s, 5), 4);
    CHECK_INT(q_utf8_whole(s, 7), 4);
    CHECK_INT(q_utf8_whole(s, 8), 8);
}

static void buffers_grow(void)
{
    q_buf b = {0};
    q_buf_printf(&b, "%s", "");
    CHECK(b.p && !*b.p && b.len == 0);      /* as puts and add */
    for (int i = 0; i < 1000; i++) q_buf_printf(&b, "%03d ", i);
    CHECK_INT(b.len, 4000);
    CHECK(memcmp(b.p + 3996, "999 ", 5) == 0);
    q_buf_free(&b);
}

static void sha256_of_abc(void)
{
    char hex[65];
    q_sha256("abc", 3, hex);   /* FIPS 180-2, appendix B.1 */
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* Whatever a sentence quotes, it is one line of UTF-8 without control characters. */
static void sentences(void)
{
    char err[Q_ERRLEN], big[2000];
    CHECK_INT(q_fail(err, Q_IO, "no %s", "a\nb\x1B[2J\xFFz\xC2\x9B" "я"), Q_IO);
    CHECK_STR(err, "no a b [2J?z?я");
    q_fail(err, Q_IO, "again: %s", err);                   /* its own argument */
    CHECK_STR(err, "again: no a b [2J?z?я");
    memset(big, 0, sizeof big);
    for (int i = 0; i < 990; i++) memcpy(big + 2 * i, "я", 2);
    for (int shift = 0; shift < 2; shift++) {              /* what is too long loses its middle, between letters, and the rest is said */
        q_fail(err, Q_IO, "no \"%s%s\" here: take b", shift ? "x" : "", big);
        CHECK(strlen(err) < 100 && q_utf8_valid(err, strlen(err)) && strstr(err, "я…я") && strstr(err, "я\" here: take b"));
        q_fail(err, Q_IO, "no %s%s here: take b", shift ? "x" : "", big);
        CHECK(strlen(err) < 100 && q_utf8_valid(err, strlen(err)) && strstr(err, "я…я") && strstr(err, "я here: take b"));
    }
    for (int i = 0; i < 1980; i++) big[i] = i % 2 ? ' ' : '"';             /* no part of it is long */
    q_fail(err, Q_IO, "no %s here", big);
    CHECK(strlen(err) <= Q_ERRLEN - 1 && strlen(err) > Q_ERRLEN - 8 && strstr(err, "…") && strstr(err, " here"));
    memset(big, 'a', 440);
    big[440] = 0;
    q_fail(err, Q_IO, "no \"%s\": take b", big);           /* what fits stays whole */
    CHECK_INT((int)strlen(err), 440 + 13);
    char path[512];
    CHECK(q_fault_file((void *)(uintptr_t)&q_fail, path, sizeof path) > 0 && strstr(path, "test_base"));
    CHECK_INT(q_fault_file((void *)16, path, sizeof path), 0);
    CHECK_INT(q_fault_file((void *)(uintptr_t)&q_fail, path, 4), 3);
}

/* Without HOME the password file's folder; never one that anybody could have made; nothing that begins here. */
static void homes(void)
{
    struct passwd *me = getpwuid(getuid());
    char *p, err[Q_ERRLEN];
    setenv("HOME", "/somewhere/of mine", 1);
    unsetenv("XDG_DATA_HOME");
    p = q_user_path(Q_DIR_DATA, "x");
    CHECK_STR(p, "/somewhere/of mine/.local/share/quorum/x");
    free(p);
    setenv("XDG_DATA_HOME", "/data", 1);
    p = q_user_path(Q_DIR_DATA, "x");
    CHECK_STR(p, "/data/quorum/x");
    free(p);
    const char *const bad[] = { NULL, "", ".", "home", "../home" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (bad[i]) setenv("HOME", bad[i], 1), setenv("XDG_DATA_HOME", bad[i], 1);
        else unsetenv("HOME"), unsetenv("XDG_DATA_HOME");
        char *home = q_home();
        p = q_user_path(Q_DIR_DATA, "x");
        CHECK(me && me->pw_dir[0] == '/' ? home && strcmp(home, me->pw_dir) == 0 : home == NULL);
        CHECK(home ? p && strncmp(p, home, strlen(home)) == 0 && strstr(p, "/.local/share/quorum/x") : p == NULL);
        CHECK(!p || (p[0] == '/' && strncmp(p, "/tmp/.local", 11) != 0));
        free(home);
        free(p);
    }
    CHECK_INT(q_no_home(err), Q_NOTFOUND);
    CHECK(strstr(err, "HOME"));
}

static void clean_environments(void)
{
    static const struct { const char *path, *want; } t[] = {
        { "/bin:/usr/bin", "/bin:/usr/bin" }, { ".:/bin", "/bin" }, { "/bin:", "/bin" }, { ":/bin", "/bin" }, { "/bin::/sbin", "/bin:/sbin" },
        { "bin:./x:../y:/z", "/z" }, { "", "/usr/local/bin:/usr/bin:/bin" }, { ".", "/usr/local/bin:/usr/bin:/bin" } };
    char *kept = q_strdup(getenv("PATH") ? getenv("PATH") : "");
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        setenv("PATH", t[i].path, 1);
        setenv("HF_HOME", "hf", 1);
        setenv("LLAMA_CACHE", "/cache", 1);
        setenv("XDG_CONFIG_HOME", "", 1);
        q_clean_environment();
        CHECK_STR(getenv("PATH"), t[i].want);
        CHECK(!getenv("HF_HOME") && !getenv("XDG_CONFIG_HOME"));
        CHECK_STR(getenv("LLAMA_CACHE"), "/cache");
        CHECK(!getenv("HOME") || getenv("HOME")[0] == '/');
    }
    setenv("PATH", kept, 1);
    free(kept);
}

/* What would hold up whoever reads it is refused; where a command line names it, it is waited for. */
static void layers_are_said_by_ranges(void)
{
    static const char *const t[][2] = { { "0,0,4,4,4,12,12,3", "2-4:4 5-6:12 7:3" }, { "1,6,11", "0:1 1:6 2:11" }, { "8", "8" }, { "none", "none" }, { "", "" },
        { "4,4,4", "0-2:4" }, { "1:3,2:7", "1:3,2:7" }, { "0,5,0,5", "1:5 3:5" }, { ",", "" } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_buf b = { 0 };
        q_buf_puts(&b, "");
        q_knob_brief(&b, t[i][0]);
        CHECK_STR(b.p, t[i][1]);
        q_buf_free(&b);
    }
}

static void numbers_of_knobs_are_read_back(void)
{
    static const struct { double v; const char *want; } t[] = { { 9007199254740992.0, "9007199254740992" }, { -9007199254740991.0, "-9007199254740991" }, { 0, "0" },
        { -0.0, "0" }, { 1e17, "1e+17" }, { 1234567, "1234567" }, { .25, "0.25" }, { 1e-05, "1e-05" }, { 1. / 3, "0.3333333333" }, { -2.5, "-2.5" }, { 1e300, "1e+300" } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char s[32];
        q_knob_number(s, t[i].v);
        CHECK_STR(s, t[i].want);
    }
}

static void pipes_are_no_files(void)
{
    char dir[] = "/tmp/quorum-base-XXXXXX", err[Q_ERRLEN];
    CHECK(mkdtemp(dir) != NULL);
    char *fifo = q_printf("%s/fifo", dir), *file = q_printf("%s/file", dir);
    q_buf b = { 0 };
    CHECK(mkfifo(fifo, 0600) == 0 && q_write_file_atomic(file, "words", 5, err) == 0);
    CHECK_INT(q_read_file(fifo, &b, 100, err), Q_IO);
    CHECK(strstr(err, "pipe") && b.len == 0);
    CHECK_INT(q_write_file_atomic(fifo, "words", 5, err), Q_IO);
    CHECK(strstr(err, "no ordinary file"));
    CHECK_INT(q_write_file_atomic(dir, "words", 5, err), Q_IO);
    struct stat st;
    CHECK(lstat(fifo, &st) == 0 && S_ISFIFO(st.st_mode));
    CHECK_INT(q_read_file(file, &b, 100, err), Q_OK);
    CHECK_STR(b.p, "words");
    q_buf_clear(&b);
    CHECK_INT(q_read_file("/dev/null", &b, 100, err), Q_OK);
    CHECK_INT(q_read_file("/dev/zero", &b, 100, err), Q_RANGE);
    q_buf_clear(&b);
    int end[2];
    CHECK(pipe(end) == 0 && write(end[1], "piped", 5) == 5 && close(end[1]) == 0);
    char *path = q_printf("/proc/self/fd/%d", end[0]);
    CHECK_INT(q_read_input(path, &b, 100, err), Q_OK);
    CHECK_STR(b.p, "piped");
    close(end[0]);
    unlink(fifo);
    unlink(file);
    rmdir(dir);
    q_buf_free(&b);
    free(path);
    free(fifo);
    free(file);
}

/* A link under the name of what is written first leads nowhere: what it points to stays as it was. */
static void links_are_not_written_through(void)
{
    char dir[] = "/tmp/quorum-base-XXXXXX", err[Q_ERRLEN];
    CHECK(mkdtemp(dir) != NULL);
    char *victim = q_printf("%s/victim", dir), *file = q_printf("%s/file", dir), *trap = q_printf("%s/file.tmp.%ld", dir, (long)getpid());
    q_buf b = { 0 };
    CHECK(q_write_file_atomic(victim, "mine", 4, err) == 0 && symlink("victim", trap) == 0);
    CHECK_INT(q_write_file_atomic(file, "words", 5, err), Q_OK);
    CHECK(q_read_file(victim, &b, 100, err) == 0 && strcmp(b.p, "mine") == 0);
    q_buf_clear(&b);
    CHECK(q_read_file(file, &b, 100, err) == 0 && strcmp(b.p, "words") == 0);
    struct stat st;
    CHECK(lstat(file, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600 && lstat(trap, &st) != 0);
    unlink(victim);
    unlink(file);
    rmdir(dir);
    q_buf_free(&b);
    free(victim);
    free(file);
    free(trap);
}

/* A name that is taken stays what it was, and so does what was to get it. */
static void nothing_is_moved_over(void)
{
    char dir[] = "/tmp/quorum-base-XXXXXX", err[Q_ERRLEN];
    CHECK(mkdtemp(dir) != NULL);
    char *a = q_printf("%s/a", dir), *b = q_printf("%s/b", dir), *c = q_printf("%s/c", dir);
    q_buf got = { 0 };
    CHECK_INT(q_write_file_new(a, "one", 3, err), Q_OK);
    CHECK_INT(q_write_file_new(b, "two", 3, err), Q_OK);
    CHECK_INT(q_write_file_new(b, "more", 4, err), Q_RANGE);
    CHECK(q_move_new(a, b) != 0 && errno == EEXIST);
    CHECK(q_read_file(a, &got, 100, err) == Q_OK && got.len == 3 && memcmp(got.p, "one", 3) == 0);
    q_buf_clear(&got);
    CHECK(q_read_file(b, &got, 100, err) == Q_OK && got.len == 3 && memcmp(got.p, "two", 3) == 0);
    CHECK(q_move_new(a, c) == 0 && access(a, F_OK) != 0 && access(c, F_OK) == 0);
    CHECK(q_move_new(a, b) != 0 && errno != 0 && access(b, F_OK) == 0);
    unlink(b), unlink(c), rmdir(dir);
    q_buf_free(&got);
    free(a), free(b), free(c);
}

/* What cannot be written is known beforehand, and is what writing itself says. */
static void a_place_is_known_before_work(void)
{
    char dir[] = "/tmp/quorum-base-XXXXXX", err[Q_ERRLEN];
    CHECK(mkdtemp(dir) != NULL);
    char *link = q_printf("%s/link", dir), *round = q_printf("%s/round", dir), *none = q_printf("%s/no/where", dir), *file = q_printf("%s/f", dir);
    char *under = q_printf("%s/f/x", dir), *longest = q_printf("%s/%0255d", dir, 0), *long_one = q_printf("%s/%0250d", dir, 0);
    CHECK(symlink("nowhere", link) == 0 && symlink("round", round) == 0);
    CHECK(!q_taken(file) && q_taken(link) && q_taken(round));
    CHECK_INT(q_may_write(file, err), Q_OK);
    CHECK_INT(q_write_file_new(file, "x", 1, err), Q_OK);
    CHECK(q_taken(file) && !q_taken(none));
    CHECK_INT(q_write_file_new(link, "x", 1, err), Q_RANGE);
    char *dotted = q_printf("%s/.//f", dir), *name = strrchr(dir, '/'), *about = q_printf("%s/..%s/new", dir, name), *plain = q_printf("%s/new", dir);
    CHECK(q_same_place(file, dotted) && q_same_place(about, plain) && q_same_place("new", "./new") && q_same_place(none, none));
    CHECK(!q_same_place(file, plain) && !q_same_place(link, file) && !q_same_place("new", plain) && !q_same_place(none, plain));
    free(dotted), free(about), free(plain);
    static const char *const lies[][2] = { { "/x/y/f", "/x/y" }, { "/f", "/" }, { "f", "." }, { "x/f", "x" }, { "", "." } };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        char *in = q_folder_of(lies[i][0]);
        CHECK_STR(in, lies[i][1]);
        free(in);
    }
    CHECK_INT(q_no_folder("", "report.md", err), Q_RANGE);
    CHECK(strstr(err, "report.md") != NULL);
    CHECK_INT(q_no_folder(file, "report.md", err), Q_OK);
    char *const never[] = { none, under, longest, long_one };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        CHECK_INT(q_may_write(never[i], err), Q_IO);
        CHECK(strstr(err, "cannot write") != NULL);
        CHECK_INT(q_write_file_new(never[i], "x", 1, err), Q_IO);
    }
    unlink(link), unlink(round), unlink(file), rmdir(dir);
    free(link), free(round), free(none), free(file), free(under), free(longest), free(long_one);
}

static void a_path_is_found_from_anywhere(void)
{
    char *here = realpath(".", NULL), *want = q_printf("%s/x/y", here), *got = q_whole_path("x/y");
    CHECK_STR(got, want);
    free(got);
    CHECK_STR(got = q_whole_path("/x/y"), "/x/y");
    free(got);
    setenv("HOME", "/nobody", 1);
    CHECK_STR(got = q_whole_path("~/x"), "/nobody/x");
    free(got), free(want), free(here);
}

static void words_are_found_in_lists(void)
{
    CHECK(q_listed("a,bc,d", ",", "bc", 2) && q_listed("a,bc,d", ",", "d", 1) && q_listed(" q z ", " ", "z", 1) && q_listed("read, write", ", ", "writes", 5));
    CHECK(!q_listed("a,bc,d", ",", "b", 1) && !q_listed("a,bc,d", ",", "c", 1) && !q_listed("", ",", "a", 1) && !q_listed(NULL, ",", "a", 1) && !q_listed("a,,b", ",", "", 0));
}

static void words_are_wrapped(void)
{
    static const struct { const char *text, *out; } t[] = {
        { "one two three", "one two\nthree" }, { "eleven-long x", "eleven-long\nx" }, { "a\nb c", "a\nb c" }, { "a   b", "a   b" }, { "", "" },
        { "\xD0\xB4\xD0\xB0 \xD0\xBD\xD0\xB5\xD1\x82 x", "\xD0\xB4\xD0\xB0 \xD0\xBD\xD0\xB5\xD1\x82 x" },      /* eight letters, thirteen bytes */
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_buf b = { 0 };
        q_say_wrapped(&b, t[i].text, 8);
        CHECK_STR(b.p ? b.p : "", t[i].out);
        q_buf_free(&b);
    }
}

int main(void)
{
    RUN(utf8_rejects_what_unicode_forbids);
    RUN(utf8_round_trip);
    RUN(utf8_whole_never_cuts);
    RUN(buffers_grow);
    RUN(sha256_of_abc);
    RUN(sentences);
    RUN(homes);
    RUN(clean_environments);
    RUN(layers_are_said_by_ranges);
    RUN(numbers_of_knobs_are_read_back);
    RUN(pipes_are_no_files);
    RUN(links_are_not_written_through);
    RUN(nothing_is_moved_over);
    RUN(a_place_is_known_before_work);
    RUN(a_path_is_found_from_anywhere);
    RUN(words_are_found_in_lists);
    RUN(words_are_wrapped);
    return TEST_END();
}
