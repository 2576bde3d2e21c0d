/* base/say: every byte, every pair of bytes and every code point through every way out. */
#include "base/say.h"

#include <unistd.h>

#include "tests/test.h"

/* What must never stand in what a terminal is told. */
static bool told(const char *s, size_t n, bool line)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t l = (size_t)q_utf8_next(s + i, n - i, &cp);
        bool bad = (cp == 0xFFFD && l == 1) || cp == 0x7F || (cp >= 0x80 && cp < 0xA0) || (cp < 0x20 && (line || (cp != '\n' && cp != '\t'))) ||
                   cp == 0x061C || cp == 0x200E || cp == 0x200F || (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069) ||
                   (cp >= 0xFFF9 && cp <= 0xFFFB) || (cp >= 0xE0000 && cp <= 0xE007F);
        if (bad) return false;
        i += l;
    }
    return true;
}

/* One text through every function that words pass; false if anything dangerous comes out, or cleaning twice differs. */
static bool safe(const char *s, size_t n)
{
    bool good = true;
    for (int line = 0; line < 2; line++) {
        q_buf a = { 0 }, b = { 0 };
        q_say_clean(&a, s, n, line);
        q_say_clean(&b, a.p ? a.p : "", a.len, line);
        good = good && told(a.p ? a.p : "", a.len, line) && a.len == b.len && (!a.len || memcmp(a.p, b.p, a.len) == 0);
        q_buf_free(&a);
        q_buf_free(&b);
    }
    char here[16], err[Q_ERRLEN];
    memcpy(here, s, n);
    size_t w = q_say_plain(here, n);
    good = good && w <= n && told(here, w, true);
    if (memchr(s, 0, n)) return good;
    memcpy(here, s, n);
    here[n] = 0;
    q_buf b = { 0 };
    q_buf_say(&b, "%s", here);
    q_fail(err, Q_ERR, "%s", here);
    good = good && told(b.p, b.len, true) && told(err, strlen(err), true);
    q_buf_free(&b);
    return good;
}

static void every_pair_of_bytes(void)
{
    int bad = 0;
    for (int x = 0; x < 256; x++) {
        char one[1] = { (char)x };
        bad += !safe(one, 1);
        for (int y = 0; y < 256; y++) {
            char two[2] = { (char)x, (char)y };
            bad += !safe(two, 2);
        }
    }
    CHECK_INT(bad, 0);
}

static void every_code_point(void)
{
    int bad = 0, kept = 0;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char s[8] = "";
        size_t n = (size_t)q_utf8_put(s, cp);
        q_buf b = { 0 };
        q_say_clean(&b, s, n, true);
        bad += !told(b.p ? b.p : "", b.len, true);
        if (b.len == n && memcmp(b.p, s, n) == 0) kept++;
        q_buf_clear(&b);
        q_json_safe(&b, s, n);
        if (cp >= 0x20) bad += !told(b.p, b.len, true);
        q_buf_free(&b);
    }
    CHECK_INT(bad, 0);
    /* what goes: 32 C0, 33 DEL and C1, U+061C, 2 marks, 2028 to 202E, 4 isolates, 3 of FFF9, 128 tags; surrogates are no UTF-8 */
    CHECK_INT(kept, 0x110000 - 0x800 - 32 - 33 - 1 - 2 - 7 - 4 - 3 - 128);
}

#define SAYS(want, ...) do { q_buf said = { 0 }; q_buf_say(&said, __VA_ARGS__); CHECK_STR(said.p, want); q_buf_free(&said); } while (0)
static void our_own_printf(void)
{
    SAYS("a\nb c�d\n", "a\nb%sd\n", "\tc\x9B");
    SAYS("100% x 07 -3 ff 1.50 2e+00", "100%% %s %02d %ld %x %.2f %.0e", "x", 7, -3L, 255, 1.5, 2.0);
    SAYS("[ab   ] [   яю] [я]", "[%-5s] [%5s] [%.2s]", "ab", "яю", "яю");
    SAYS("9 18446744073709551615 -9223372036854775807 c?", "%zu %llu %lld %c%c", (size_t)9, 18446744073709551615ull, -9223372036854775807ll, 'c', '\033');
    SAYS("[  x] [y  ] [1.50]", "[%*s] [%-*s] [%.*f]", 3, "x", 3, "y", 2, 1.5);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wformat"
    SAYS("b 1 a", "%3$s %2$d %1$s", "a", 1, "b");            /* translations may turn words round */
#pragma GCC diagnostic pop
    SAYS("no  [31m colour", "no %s", "\033[31m colour");
    SAYS("rtl �gpj.exe", "rtl %s", "\xE2\x80\xAEgpj.exe");
}

static void texts_keep_their_lines(void)
{
    q_buf b = { 0 };
    const char *s = "a\tb\r\nc\rd\x0B" "e\xE2\x80\xA8" "f\x1B]0;x\x07g\xE2\x80\x8Fh";
    q_say_clean(&b, s, strlen(s), false);
    CHECK_STR(b.p, "a\tb\nc�d�e\nf�]0;x�gh");
    q_buf_clear(&b);
    q_say_clean(&b, s, strlen(s), true);
    CHECK_STR(b.p, "a b c d e f ]0;x gh");
    q_buf_free(&b);
}

static void json_keeps_its_value(void)
{
    q_buf b = { 0 };
    const char *s = "{\"a\":\"\x7F\xC2\x9B \xE2\x80\xAE \xE2\x80\xA8 \xF3\xA0\x80\xA1 \xD1\x8F \xFF\"}";
    q_json_safe(&b, s, strlen(s));
    CHECK_STR(b.p, "{\"a\":\"\\u007f\\u009b \\u202e \\u2028 \\udb40\\udc21 я \\ufffd\"}");
    q_buf_free(&b);
}

static void ways_out(void)
{
    char path[] = "/tmp/quorum-say-XXXXXX", got[256] = "";
    FILE *f = fdopen(mkstemp(path), "w+");
    if (!f) { CHECK(!"a temporary file"); return; }
    q_say(f, "%s|", "\033x");
    q_say_text(f, "l\nm\033|");
    q_say_data(f, "\033y\n", 3);                            /* a file: as it is */
    q_say_own(f, "\033[K");
    q_say_json(f, "\"\xC2\x9B\"");
    rewind(f);
    size_t n = fread(got, 1, sizeof got - 1, f);
    got[n] = 0;
    CHECK_STR(got, " x|l\nm�|\033y\n\033[K\"\\u009b\"\n");
    fclose(f);
    unlink(path);
}

int main(void)
{
    RUN(every_pair_of_bytes);
    RUN(every_code_point);
    RUN(our_own_printf);
    RUN(texts_keep_their_lines);
    RUN(json_keeps_its_value);
    RUN(ways_out);
    return TEST_END();
}
