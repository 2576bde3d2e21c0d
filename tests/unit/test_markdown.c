/* Markdown's blocks: CommonMark's own examples of breaks, headings and code (43 to 147), and that every line that is not
 * blank lies in exactly one block, whatever the bytes. */
#include "rag/markdown.h"
#include "rag/rag.h"
#include "tests/test.h"

#include <cjson/cJSON.h>
#include <ctype.h>

static char err[Q_ERRLEN];

struct seen { const char *text; q_buf b; };

static void note(void *user, const md_block *b)
{
    struct seen *s = user;
    char *words = b->kind == MD_HEADING ? rag_heading_words(s->text, b->words_from, b->words_to) : q_strdup("");
    if (b->kind == MD_HEADING) q_buf_printf(&s->b, "h%d %s\n", b->level, words);
    if (b->kind == MD_BREAK) q_buf_puts(&s->b, "hr \n");
    if (b->kind == MD_CODE || b->kind == MD_FENCE) q_buf_puts(&s->b, "pre \n");
    free(words);
}

static void commonmarks_own_examples(void)
{
    q_buf file = {0};
    CHECK(q_read_file("tests/golden/commonmark/blocks.json", &file, 1 << 20, err) == Q_OK);
    cJSON *j = cJSON_ParseWithLength(file.p, file.len);
    const cJSON *e, *b;
    int n = 0;
    cJSON_ArrayForEach(e, j) {
        struct seen s = {.text = cJSON_GetStringValue(cJSON_GetObjectItem(e, "markdown"))};
        q_buf want = {0};
        q_buf_puts(&s.b, "");
        q_buf_puts(&want, "");
        rag_markdown(s.text, strlen(s.text), note, &s);
        cJSON_ArrayForEach(b, cJSON_GetObjectItem(e, "blocks"))
            q_buf_printf(&want, "%s %s\n", cJSON_GetStringValue(cJSON_GetArrayItem(b, 0)), cJSON_GetStringValue(cJSON_GetArrayItem(b, 1)));
        CHECK_MSG(strcmp(s.b.p, want.p) == 0, "example %d\n%s--- seen\n%s--- right\n%s", cJSON_GetObjectItem(e, "example")->valueint, s.text,
                  s.b.p, want.p);
        q_buf_free(&s.b);
        q_buf_free(&want);
        n++;
    }
    CHECK_INT(n, 105);
    cJSON_Delete(j);
    q_buf_free(&file);
}

struct tiles { const char *t; size_t at; bool bad; };

static void tile(void *user, const md_block *b)
{
    struct tiles *s = user;
    s->bad |= b->from < s->at || b->to <= b->from;
    for (size_t i = s->at; i < b->from; i++) s->bad |= !strchr(" \t\r\n\f\v>-+*.)0123456789", s->t[i]);    /* marks of empty items and quotes */
    s->at = b->to;
}

static void every_line_lies_in_one_block(void)
{
    static const char *const bits[] = {"# ", "\n", "\n", "\n\n", "```", "~~~", "===", "---", "word", ". ", "> ", "- ", "1. ", "    ", "\t", "2) ",
                                       "* * *", "\\", "`", "#", " ", "\r\n", "\xD0\xB6", "\xFF", "  "};
    uint64_t x[4] = {1, 2, 3, 4};
    for (int round = 0; round < 4000 && !test_bad; round++) {
        q_buf b = {0};
        q_buf_puts(&b, "");
        for (uint64_t k = q_random(x) % 120; k; k--) q_buf_puts(&b, bits[q_random(x) % (sizeof bits / sizeof *bits)]);
        struct tiles s = {b.p, 0, false};
        rag_markdown(b.p, b.len, tile, &s);
        for (size_t i = s.at; i < b.len; i++) s.bad |= !strchr(" \t\r\n\f\v>-+*.)0123456789", b.p[i]);
        CHECK_MSG(!s.bad, "round %d:\n%s", round, b.p);
        q_buf_free(&b);
    }
}

/* The headings of the chunks of a text, one a line. */
static char *headings(const char *text)
{
    mem_chunk *c;
    int n = rag_chunk(text, strlen(text), true, &c);
    q_buf b = {0};
    q_buf_puts(&b, "");
    for (int i = 0; i < n; i++) q_buf_printf(&b, "%s|%.*s\n", c[i].heading, (int)c[i].n, c[i].text);
    rag_chunks_free(c, n);
    return q_buf_take(&b);
}

static void a_line_of_dashes_is_a_heading_only_below_a_paragraph(void)
{
    static const struct { const char *text, *chunks; } t[] = {
        {"- eggs\n- milk and butter\n---\nafter\n", "|- eggs\n- milk and butter\n---\nafter\n"},
        {"> a quoted line\n---\nafter\n", "|> a quoted line\n---\nafter\n"},
        {"---\n---\ntext\n", "|text\n"},
        {"Two lines\nof heading\n===\ntext\n", "Two lines of heading|text\n"},
        {"---\ntitle: Trip to Bergen\ntags: [sea]\n---\n# Packing\nboots\n", "|---\ntitle: Trip to Bergen\ntags: [sea]\n---\nPacking|boots\n"},
        {"---\nnot a key\n---\ntext\n", "not a key|text\n"},
        {"> # quoted\n> text\n\n- # item\n", "|> # quoted\n> text\n\n- # item\n"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *got = headings(t[i].text);
        CHECK_STR(got, t[i].chunks);
        free(got);
    }
}

int main(void)
{
    RUN(commonmarks_own_examples);
    RUN(every_line_lies_in_one_block);
    RUN(a_line_of_dashes_is_a_heading_only_below_a_paragraph);
    return TEST_END();
}
