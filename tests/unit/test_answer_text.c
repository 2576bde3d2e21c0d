/* tests: an answer's Markdown as lines: tables, signs that stay as they are written, and that what streams in pieces ends
 * as the same lines as what is laid out at once. */
#include "tests/test.h"
#include "tui/model/transcript.h"

#include <stdlib.h>

static q_buf out;

/* The lines of an answer at a width; styles as {name} where they change, when asked for. */
static const char *lines_of(tui_item *it, int width, bool styles)
{
    tui_item_lay(it, width);
    q_buf_clear(&out);
    q_buf_puts(&out, "");
    for (uint32_t l = 0; l < it->lay.n_line; l++) {
        int last = -1;
        for (uint32_t k = 0; k < it->lay.line[l].n; k++) {
            const tui_span *s = &it->lay.span[it->lay.line[l].span + k];
            if (styles && s->style != last) q_buf_printf(&out, "{%s}", tui_style_name(s->style));
            last = s->style;
            q_buf_add(&out, it->lay.text.p + s->off, s->len);
        }
        q_buf_putc(&out, '\n');
    }
    return out.p;
}

static void item_free(tui_item *it)
{
    q_buf_free(&it->text);
    tui_lay_free(&it->lay);
    tui_lay_free(&it->think);
}

static const char *shown(const char *md, int width, bool styles)
{
    tui_item it = { .role = AGT_ASSISTANT, .differs_at = -1 };
    q_buf_puts(&it.text, md);
    lines_of(&it, width, styles);
    item_free(&it);
    return out.p;
}

#define SHOWS(md, width, want) CHECK_STR(shown(md, width, false), want)

static void tables(void)
{
    SHOWS("| left | centre | right |\n|:-----|:------:|------:|\n| a | b | 1 |\n| longer | x | 1000 |\n", 60,
          "left   │ centre │ right\n───────┼────────┼──────\na      │   b    │     1\nlonger │   x    │  1000\n");
    /* nothing is cut: cells wrap inside their column */
    SHOWS("| what | why |\n|---|---|\n| the sky | because sunlight is scattered by air |\n| sea | also |\n", 30,
          "what    │ why\n────────┼─────────────────────\nthe sky │ because sunlight is\n        │ scattered by air\nsea     │ also\n");
    /* bold and code in cells, the head bold */
    CHECK_STR(shown("| a | b |\n|---|---|\n| **x** y | `c` |\n", 40, true),
              "{strong}a{answer}   {rule} │ {strong}b\n{rule}─────┼─────\n{strong}x{answer} y {rule} │ {code}c\n");
    /* wide characters keep the columns */
    SHOWS("| 日本 | b |\n|---|---|\n| привет | 1 |\n", 40, "日本   │ b\n───────┼─────\nпривет │ 1\n");
    /* many columns: all of them are there */
    q_buf b = {0};
    for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 24; c++) { if (r == 1) q_buf_puts(&b, "|---"); else q_buf_printf(&b, "| %c%d ", r ? 'v' : 'h', c); }
        q_buf_puts(&b, "|\n");
    }
    const char *s = shown(b.p, 200, false);
    CHECK(strstr(s, "h23") && strstr(s, "v23") && strstr(s, "h16"));
    s = shown(b.p, 60, false);                       /* too narrow for columns: "head: cell", and still all of them */
    CHECK(strstr(s, "h0: v0\n") && strstr(s, "  h23: v23\n"));
    q_buf_free(&b);
    /* whatever the width, no word is lost */
    static const char *const words[] = { "scattering", "wavelength", "antidisestablishmentarianism", "молекулы", "1000000" };
    for (int w = 8; w <= 120; w++) {
        s = shown("| scattering | wavelength |\n|---|--:|\n| antidisestablishmentarianism | 1000000 |\n| молекулы | x |\n", w, false);
        CHECK_MSG(!strstr(s, "…"), "%d columns: something is cut", w);
        for (size_t i = 0; i < sizeof words / sizeof *words && w >= 70; i++) CHECK_MSG(strstr(s, words[i]) != NULL, "%d columns: %s is lost", w, words[i]);
        int letters = 0;
        for (const char *p = s; *p; p++) letters += (unsigned char)*p < 0x80 && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9'));
        CHECK_MSG(letters >= 10 + 10 + 28 + 7 + 1, "%d columns: %d letters are left", w, letters);
        for (const char *p = s; *p; ) {
            size_t n = strcspn(p, "\n");
            CHECK_MSG(tui_text_width(p, n) <= (w < 11 ? 11 : w), "%d columns: a line of %d", w, tui_text_width(p, n));
            p += n + (p[n] == '\n');
        }
    }
}

static void signs_that_stay(void)
{
    SHOWS("\\(x^2\\) and \\[a_1 * b_1 * c\\] end\n", 60, "\\(x^2\\) and \\[a_1 * b_1 * c\\] end\n");
    SHOWS("\\(\\frac{a}{b} \\{x\\} f(x)\\)\n", 60, "\\(\\frac{a}{b} \\{x\\} f(x)\\)\n");
    SHOWS("`\\(code\\)` and \\(never closed\n", 60, "\\(code\\) and \\(never closed\n");
    SHOWS("\\*not emphasis\\* and \\# no heading\n", 60, "*not emphasis* and # no heading\n");
    CHECK_STR(shown("~~gone~~ here\n", 60, true), "{struck}g\xCC\xB6o\xCC\xB6n\xCC\xB6" "e\xCC\xB6{answer} here\n");
    SHOWS("10. ten\n11. eleven\n", 60, "10. ten\n11. eleven\n");
    SHOWS("Steps:\n\n10. ten\n\n11. eleven\n", 60, "Steps:\n\n10. ten\n\n11. eleven\n");
    SHOWS("- item\n  ```\n  a*b*c\n\n  d*e*f\n  ```\n", 60, "• item\n\n    a*b*c\n  \n    d*e*f\n");
    SHOWS("7) seven\n8) eight\n", 60, "7) seven\n8) eight\n");
    SHOWS("a < b && c > d; x <- y; <div> is text\n", 60, "a < b && c > d; x <- y; <div> is text\n");
    SHOWS("snake_case_name and 2*3*4\n", 60, "snake_case_name and 2*3*4\n");
}

/* Cut into pieces of any size and drawn after each, the end is what is laid out at once. */
static void same(const char *text, int width)
{
    size_t n = strlen(text);
    char *want = q_strdup(shown(text, width, true));
    static const size_t piece[] = { 1, 2, 3, 5, 7, 64, 1000 };
    for (size_t k = 0; k < sizeof piece / sizeof *piece; k++) {
        tui_item it = { .role = AGT_ASSISTANT, .differs_at = -1, .running = true };
        if (n / piece[k] > 4000) { item_free(&it); continue; }
        for (size_t i = 0; i < n; i += piece[k]) {
            char *s = q_strndup(text + i, n - i < piece[k] ? n - i : piece[k]);
            tui_tr_token(&it, s, false, -1);
            tui_item_lay(&it, width);
            free(s);
        }
        it.running = false;
        CHECK_MSG(strcmp(lines_of(&it, width, true), want) == 0, "pieces of %zu: %.60s…", piece[k], text);
        item_free(&it);
    }
    free(want);
}

static void streams_to_the_same(void)
{
    same("| a | b |\n|:--|--:|\n| **1** | `2` |\n\ntext \\(x^2\\) and ~~gone~~\n\n10. ten\n11. eleven\n", 40);
    q_buf b = {0};
    q_buf_puts(&b, "Before.\n\n| number | square | cube |\n|--:|--:|:-:|\n");
    for (int i = 0; i < 400; i++) q_buf_printf(&b, "| %d | %d | **%d** |\n", i, i * i, i * i * i);
    q_buf_puts(&b, "\nAfter.\n");
    same(b.p, 70);
    /* while it runs a long table stays a table: no row of it is ever text */
    tui_item it = { .role = AGT_ASSISTANT, .differs_at = -1, .running = true };
    int raw = 0;
    for (size_t i = 0; i < b.len; i += 50) {
        char *s = q_strndup(b.p + i, b.len - i < 50 ? b.len - i : 50);
        tui_tr_token(&it, s, false, -1);
        free(s);
        if (i > 6000) raw += strstr(lines_of(&it, 70, false), "| 1") != NULL;
    }
    CHECK_INT(raw, 0);
    CHECK_MSG(it.lay.work < b.len * 200, "%llu bytes laid out for %zu", (unsigned long long)it.lay.work, b.len);
    item_free(&it);
    q_buf_clear(&b);
    for (int i = 0; i < 900; i++) q_buf_puts(&b, "a paragraph without an end ");
    same(b.p, 70);
    q_buf_free(&b);
}

int main(void)
{
    RUN(tables);
    RUN(signs_that_stay);
    RUN(streams_to_the_same);
    q_buf_free(&out);
    return TEST_END();
}
