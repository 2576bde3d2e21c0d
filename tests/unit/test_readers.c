/* rag/read: documents of every kind as text: what tests/golden/readers/make.py makes, read, is what stands beside it
 * (NAME.want; UPDATE=1 writes what is missing or differs: read the diff), and their headings become titles of passages. */
#include "rag/import/pdf.h"
#include "rag/rag.h"
#include "rag/read.h"
#include "tests/memory_help.h"
#include "tests/packed.h"

#include <glob.h>
#include <sys/stat.h>

static rag_child *child;

static void each_document_reads_as_it_should(void)
{
    glob_t g;
    int files = 0;
    CHECK_INT(glob("tests/golden/readers/*", 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        char *is = q_strdup(g.gl_pathv[i]), *gz = strlen(is) > 3 ? is + strlen(is) - 3 : is;
        if (strcmp(gz, ".gz") == 0) *gz = 0;
        const char *name = strrchr(is, '/') + 1;
        if (strcmp(name, "make.py") == 0 || strcmp(name + strlen(name) - 5, ".want") == 0) {
            free(is);
            continue;
        }
        files++;
        q_buf b = {0}, want = {0}, got = {0};
        enum rag_form form = RAG_PLAIN;
        OK(q_read_file(packed(is), &b, 1 << 26, err));
        const char *why = rag_read(child, is, &b, &form);
        q_buf_printf(&got, "%s%s\n", why ? "refused: " : form == RAG_MARKDOWN ? "markdown" : form == RAG_SOURCE ? "source" : "text", why ? why : "");
        if (!why) q_buf_add(&got, b.p, b.len);
        CHECK(q_utf8_valid(got.p, got.len));
        char *path = q_printf("%s.want", is);
        bool same = q_read_file(path, &want, 1 << 24, err) == Q_OK && want.len == got.len && memcmp(want.p, got.p, got.len) == 0;
        if (!same && getenv("UPDATE")) OK(q_write_file_atomic(path, got.p, got.len, err));
        else CHECK_MSG(same, "%s: UPDATE=1 build/tests/test_readers writes what is read: %s", path, got.p);
        free(path);
        free(is);
        q_buf_free(&b);
        q_buf_free(&want);
        q_buf_free(&got);
    }
    globfree(&g);
    CHECK(files >= 10);
}

static void headings_become_titles_and_words_are_found(void)
{
    static const struct { const char *ask, *label, *text; } t[] = {
        {"how large is a raven", "page.html § Kestrels — пустельга", "raven | 64 cm"}, {"what do herons eat", "text.docx § Заголовок", "Herons eat & fish."},
        {"where do owls sleep", "text.odt § Owls", "They sleep"}, {"когда кончается", "book.epub § Second", "И кончается."}};
    mem_store *s;
    rag_progress p = {0};
    OK(mem_open(":memory:", &s, err));
    OK(rag_add(s, "tests/golden/readers", NULL, &p, err));
    CHECK_INT(p.seen - p.added, p.skipped);
    CHECK(p.skipped >= 3 && p.added >= 7);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_result *r = NULL;
        rag_config c = rag_config_default();
        bool found = false;
        OK(rag_search(s, &c, t[i].ask, NULL, &r, err));
        for (int k = 0; r && k < r->n; k++) found |= strstr(r->v[k].label, t[i].label) && strstr(r->v[k].text, t[i].text);
        CHECK_MSG(found, "%s: %s", t[i].ask, r && r->n ? r->v[0].label : "nothing");
        rag_result_free(r);
    }
    mem_close(s);
}

/* A program in place of pdftotext: a shell's script, which gets the file as descriptor 3. */
static const char *read_by(const char *script, const held_limits *l, q_buf *b)
{
    char *path = file("bin/pdftotext"), *text = q_printf("#!/bin/sh\n%s\n", script);
    mkdir(file("bin"), 0700);
    OK(q_write_file_atomic(path, text, strlen(text), err));
    CHECK_INT(chmod(path, 0700), 0);
    free(text);
    q_buf_clear(b);
    q_buf_puts(b, "%PDF-1.7 of a test");
    setenv("PATH", file("bin"), 1);
    return rag_pdf(child, b, l);
}

static void a_pdf_is_read_by_a_program_that_is_held_in(void)
{
    char *was = q_strdup(getenv("PATH"));
    held_limits l = pdf_ordinary, small = pdf_ordinary;
    q_buf b = {0};
    CHECK_MSG(!read_by("printf 'first page\\f'; cat <&3", &l, &b), "it was refused");
    CHECK_STR(b.p, "first page\n%PDF-1.7 of a test");
    CHECK_MSG(!read_by("echo \"$# $1 $2 $3 $6 $7\"; cat /dev/fd/3", &l, &b), "it was refused");
    CHECK_STR(b.p, "7 -q -enc UTF-8 /dev/fd/3 -\n%PDF-1.7 of a test");
    static const struct { const char *script, *why; int cpu_s, stall_ms; size_t out; } t[] = {
        {"exit 1", "password", 0, 0, 0}, {"kill -9 $$", "more work", 0, 0, 0}, {"printf ' \\f\\n'", "pictures", 0, 0, 0}, {"while :; do echo flood of words; done", "than any document", 0, 0, 1000},
        {"exec sleep 1000", "stands still", 0, 300, 0}, {"while :; do :; done", "more work", 1, 0, 0}, {"echo x > \"${0%/*}/written\"; cat \"${0%/*}/written\"", "more work", 0, 0, 0}};       /* it may write no file */
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        small = (held_limits){t[i].cpu_s ? t[i].cpu_s : l.cpu_s, t[i].stall_ms ? t[i].stall_ms : l.stall_ms, l.memory, t[i].out ? t[i].out : l.out};
        const char *why = read_by(t[i].script, &small, &b);
        CHECK_MSG(why && strstr(why, t[i].why), "%s: %s", t[i].script, why ? why : b.p);
        CHECK_STR(b.p, "%PDF-1.7 of a test");
    }
    setenv("PATH", "/nowhere", 1);
    const char *why = rag_pdf(child, &b, &l);
    CHECK(why && strstr(why, "poppler-utils"));
    setenv("PATH", was, 1);
    free(was);
    q_buf_free(&b);
}

/* Real ones, by the real program where it is (tests/golden/pdf/make.py); what is cut off or no PDF is refused in words. */
static void real_pdfs_are_read(void)
{
    static const struct { const char *name, *words[5]; } t[] = {
        {"heron", {"The heron waits for fish in the morning.", "efficient", "a bird at the pond"}},
        {"kestrel", {"Пустельга зависает над лугом и высматривает полёвок.", "Кладка — четыре или пять яиц", "Ёё Ъъ Ыы Ээ", "Вторая страница", "naïve café"}}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *path = q_printf("tests/golden/pdf/%s.pdf", t[i].name);
        q_buf b = {0}, cut = {0};
        enum rag_form form;
        OK(q_read_file(path, &b, 1 << 20, err));
        q_buf_add(&cut, b.p, 300);
        const char *why = rag_read(child, path, &b, &form);
        CHECK_MSG(!why, "%s: %s", path, why);
        for (size_t k = 0; !why && k < 5 && t[i].words[k]; k++) CHECK_MSG(strstr(b.p, t[i].words[k]) != NULL, "%s: no \"%s\" in: %s", path, t[i].words[k], b.p);
        CHECK(!why && !strchr(b.p, '\f'));
        why = rag_read(child, path, &cut, &form);
        CHECK_MSG(why && strstr(why, "damaged"), "%s: %s", path, why ? why : cut.p);
        free(path);
        q_buf_free(&b);
        q_buf_free(&cut);
    }
}

/* Functions and types stay whole and are titled by their first lines; small ones share a passage. */
static void sources_are_cut_between_functions(void)
{
    static const char text[] =
        "/* birds: what flies. */\n#include <stdio.h>\n\nenum { ONE, TWO };\n\n/* Says who hovers. */\nstatic int hover(int height,\n                 int wind)\n{\n"
        "    int sum = 0;\n\n    for (int i = 0; i < height; i++)\n        sum += wind * i; /* %0600d */\n\n    return sum;\n}\n\n@decorated\ndef land(tree):\n    # %0500d\n\n    return tree\n\n\nx = 1\n";
    char *whole = q_printf(text, 1, 2);
    mem_chunk *c;
    int n = rag_chunk(whole, strlen(whole), RAG_SOURCE, &c);
    CHECK_INT(n, 4);
    if (n == 4) {
        CHECK_STR(c[0].heading, "/* birds: what flies. */");
        CHECK_STR(c[1].heading, "static int hover(int height,");
        CHECK(c[1].n > 600 && strncmp(c[1].text, "/* Says who hovers. */", 22) == 0 && c[1].text[c[1].n - 1] == '}');
        CHECK_STR(c[2].heading, "def land(tree):");
        CHECK(strncmp(c[2].text, "@decorated", 10) == 0);
        CHECK_STR(c[3].heading, "x = 1");
    }
    rag_chunks_free(c, n);
    free(whole);
    /* every word of our own sources is in a passage, in order, and none is longer than a function may be */
    glob_t g;
    CHECK_INT(glob("rag/*.c", 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        q_buf b = {0};
        OK(q_read_file(g.gl_pathv[i], &b, 1 << 20, err));
        n = rag_chunk(b.p, b.len, RAG_SOURCE, &c);
        size_t at = 0;
        for (int k = 0; k < n; k++) {
            for (; at < c[k].offset; at++) CHECK(strchr(" \n\t", b.p[at]) != NULL);
            CHECK(c[k].n <= 4000 && *c[k].heading);
            at = c[k].offset + c[k].n;
        }
        for (; at < b.len; at++) CHECK(strchr(" \n\t", b.p[at]) != NULL);
        rag_chunks_free(c, n);
        q_buf_free(&b);
    }
    globfree(&g);
}

int main(void)
{
    if (!memory_begin("readers")) return 1;
    child = rag_child_new(NULL);
    RUN(each_document_reads_as_it_should);
    RUN(sources_are_cut_between_functions);
    RUN(a_pdf_is_read_by_a_program_that_is_held_in);
    char *pdftotext = q_find_program("pdftotext");
    if (pdftotext) RUN(real_pdfs_are_read);
    else SKIP("real_pdfs_are_read", "pdftotext (poppler-utils) is not installed");
    free(pdftotext);
    RUN(headings_become_titles_and_words_are_found);
    rag_child_free(child);
    return memory_end();
}
