/* base: UTF-8, buffers, hashes. */
#include "base/base.h"
#include "tests/test.h"

static void utf8_rejects_what_unicode_forbids(void)
{
    CHECK(q_utf8_valid("при\xC2\xA0\xF0\x9F\x98\x80", 12));
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

int main(void)
{
    RUN(utf8_rejects_what_unicode_forbids);
    RUN(utf8_round_trip);
    RUN(utf8_whole_never_cuts);
    RUN(buffers_grow);
    RUN(sha256_of_abc);
    return TEST_END();
}
