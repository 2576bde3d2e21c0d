/* tests: the room of tools without an agent: arguments, names of files, the tools, diffs, rules, taking back. */
#include "tools/inside.h"
#include "tools/sandbox.h"
#include "tests/unit/folder_help.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/quorum-tools-XXXXXX", err[Q_ERRLEN];
static tool_place *place;

/* ---- files ---- */
static char *at(const char *name)
{
    static char folder[sizeof home + 8];
    snprintf(folder, sizeof folder, "%s/project", home);
    return path_in(folder, name);
}

static void put(const char *name, const char *text) { put_at(at(name), text); }

static bool is(const char *name, const char *text)
{
    q_buf b = { 0 };
    bool same = q_read_file(at(name), &b, 1 << 20, err) == Q_OK && b.len == strlen(text) && memcmp(b.p, text, b.len) == 0;
    if (!same)
        printf("# %s holds: %.*s\n", name, (int)b.len, b.p ? b.p : "");
    q_buf_free(&b);
    return same;
}

static int gone(const char *path, const struct stat *st, int kind, struct FTW *f) { return remove(path); }

/* A call from its words to its result; malloc'ed: the result, or what the model is told instead. */
static char *does(const char *name, const char *arguments)
{
    tool_plan p;
    tool_result r = { 0 };
    char *said;
    if (tool_plan_make(place, name, arguments, &p, err) < 0)
        said = q_printf("no: %s", err);
    else if (tool_run(place, NULL, &p, &r) < 0)
        said = q_strdup("stopped");
    else
        said = q_printf("%s%s", r.failed ? "failed: " : "", r.text.p);
    tool_plan_free(&p);
    tool_result_free(&r);
    return said;
}

#define DOES(name, arguments, wanted) do { char *s_ = does(name, arguments); CHECK_STR(s_, wanted); free(s_); } while (0)
#define DOES_HOLD(name, arguments, wanted) do { char *s_ = does(name, arguments); CHECK_MSG(strstr(s_, wanted), "%s says: %s", arguments, s_); free(s_); } while (0)

/* ---- the registry ---- */
static void only_known_words(const cJSON *schema, const char *tool)
{
    static const char *const known[] = { "type", "properties", "required", "items", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
                                         "description", "additionalProperties" };
    const cJSON *w, *p;
    cJSON_ArrayForEach(w, schema) {
        bool yes = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            yes |= strcmp(known[i], w->string) == 0;
        CHECK_MSG(yes, "%s: %s is checked by nobody", tool, w->string);
    }
    cJSON_ArrayForEach(p, cJSON_GetObjectItem(schema, "properties"))
        only_known_words(p, tool);
    if (cJSON_GetObjectItem(schema, "items"))
        only_known_words(cJSON_GetObjectItem(schema, "items"), tool);
    if (cJSON_GetObjectItem(schema, "properties"))
        CHECK(cJSON_IsFalse(cJSON_GetObjectItem(schema, "additionalProperties")));
}

static void every_row_is_whole(void)
{
    int n;
    const tool_row *r = tool_rows(&n);
    CHECK(n >= 11);
    for (int i = 0; i < n; i++) {
        cJSON *s = cJSON_Parse(r[i].schema);
        CHECK_MSG(s, "%s: its schema is no JSON", r[i].name);
        only_known_words(s, r[i].name);
        if (r[i].path)
            CHECK(cJSON_GetObjectItem(cJSON_GetObjectItem(s, "properties"), r[i].path));
        CHECK((r[i].run != NULL) != (r[i].act != TOOL_ACT_NONE));
        CHECK(*r[i].help);
        CHECK(tool_find(r[i].name) == &r[i]);
        cJSON_Delete(s);
    }
    CHECK(!tool_find("rm"));
}

/* ---- arguments ---- */
static void arguments_are_held_against_the_schema(void)
{
    static const struct { const char *tool, *arguments, *told; } row[] = {
        { "read_file", "{\"path\":\"a\"", "no valid JSON" },
        { "read_file", "", "path is missing" },
        { "read_file", "[1]", "one JSON object" },
        { "read_file", "{\"path\":5}", "path must be a string, not a number" },
        { "read_file", "{\"path\":\"a\",\"from\":\"1\"}", "from must be a whole number, not a string" },
        { "read_file", "{\"path\":\"a\",\"from\":1.5}", "from must be a whole number" },
        { "read_file", "{\"path\":\"a\",\"from\":0}", "from must be at least 1" },
        { "read_file", "{\"path\":\"a\",\"from\":1e99}", "from must be at most" },
        { "read_file", "{\"path\":\"a\",\"mode\":\"w\"}", "no argument mode in the arguments; it takes: path, from, lines" },
        { "read_file", "{\"path\":\"a\",\"path\":\"b\"}", "path is given twice" },
        { "read_file", "{\"path\":\"\"}", "at least 1 bytes" },
        { "read_file", "{\"path\":null}", "path must be a string, not null" },
        { "read_file", "{\"path\":\"a\"} {\"path\":\"b\"}", "no valid JSON" },
        { "search_files", "{\"query\":\"x\",\"path\":\".\",\"where\":\"web\"}", "where must be one of: text, name" },
        { "search_files", "{\"query\":\"x\",\"path\":\".\",\"any_case\":1}", "any_case must be true or false, not a number" },
        { "todo", "{\"steps\":[]}", "at least 1 long" },
        { "todo", "{\"steps\":[{\"text\":\"a\"}]}", "state is missing" },
        { "todo", "{\"steps\":[{\"text\":\"a\",\"state\":\"x\"}]}", "state must be one of: open, doing, done" },
        { "edit_file", "{\"path\":\"a\"}", "either text (the whole file) or old and new" },
        { "edit_file", "{\"path\":\"a\",\"text\":\"b\",\"old\":\"c\"}", "either text" },
        { "exec", "{}", "there is no tool exec; there are: read_file" },
        { "read_file\x1b[31m", "{}", "there is no tool" },
        { "READ_FILE", "{}", "there is no tool READ_FILE" } };
    q_buf deep = { 0 };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *s = does(row[i].tool, row[i].arguments);
        CHECK_MSG(strncmp(s, "no: ", 4) == 0 && strstr(s, row[i].told) && !strchr(s, '\x1b'), "%s %s: %s", row[i].tool, row[i].arguments, s);
        free(s);
    }
    for (int i = 0; i < 100000; i++)
        q_buf_putc(&deep, '[');
    DOES_HOLD("read_file", deep.p, "no: the arguments are nested more than 32 deep");
    q_buf_free(&deep);
}

/* ---- names ---- */
static void names_become_canonical(void)
{
    static const struct { const char *name, *canonical; unsigned risk; } row[] = {
        { "src/a.c", "src/a.c", 0 }, { "./src//./a.c", "src/a.c", 0 }, { "src/../src/a.c", "src/a.c", 0 }, { ".", ".", 0 }, { "src/", "src", 0 }, { "src/..", ".", 0 },
        { "a/b/../../c", "c", 0 }, { "...", "...", 0 }, { "~x", "~x", 0 },
        { "/etc/hosts", "/etc/hosts", TOOL_OUTSIDE }, { "/", "/", TOOL_OUTSIDE }, { "../../../../../../../../etc/hosts", "/etc/hosts", TOOL_OUTSIDE },
        { ".env", ".env", TOOL_SECRET | TOOL_GUARDED }, { "sub/.ENV.local", "sub/.ENV.local", TOOL_SECRET }, { "keys/server.pem", "keys/server.pem", TOOL_SECRET },
        { "x/id_ed25519", "x/id_ed25519", TOOL_SECRET }, { "a/.ssh/config", "a/.ssh/config", TOOL_SECRET | TOOL_GUARDED }, { "credentials", "credentials", TOOL_SECRET },
        { ".git/hooks/pre-commit", ".git/hooks/pre-commit", TOOL_GUARDED }, { ".GIT/config", ".GIT/config", TOOL_GUARDED }, { "src/../.git/config", ".git/config", TOOL_GUARDED },
        { ".bashrc", ".bashrc", TOOL_GUARDED }, { ".vscode/tasks.json", ".vscode/tasks.json", TOOL_GUARDED }, { "environment.c", "environment.c", 0 }, { "git/x", "git/x", 0 },
        { "a/.claude/settings.json", "a/.claude/settings.json", TOOL_GUARDED }, { "a/settings.json", "a/settings.json", 0 }, { "a/.cargo/config.toml", "a/.cargo/config.toml", TOOL_GUARDED },
        { "HEAD", "HEAD", TOOL_GUARDED }, { "bare/config", "bare/config", TOOL_GUARDED }, { "bare/hooks/pre-push", "bare/hooks/pre-push", TOOL_GUARDED }, { "bare/notes", "bare/notes", 0 }, { "sub/config", "sub/config", 0 },
        { "config", "config", 0 }, { "hooks/x", "hooks/x", 0 },
        { "/proc/self/environ", "/proc/self/environ", TOOL_OUTSIDE | TOOL_SECRET | TOOL_GUARDED } };
    static const char *const refused[] = { "a\nb", "a\x1b[2Jb", "a\tb", "\x7f", "a\xff", "a\xe2\x80\xae" "b", "a\xc2\x9b" "b", "" };
    CHECK_INT(q_mkdirs(at("bare/objects"), err), Q_OK);     /* a repository without a tree */
    CHECK_INT(q_mkdirs(at("bare/refs"), err), Q_OK);
    put("bare/HEAD", "ref: refs/heads/main\n");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        unsigned risk = 0;
        char *out = NULL;
        CHECK_INT(place_name(place, row[i].name, &out, &risk, err), Q_OK);
        CHECK_STR(out, row[i].canonical);
        CHECK_MSG(risk == row[i].risk, "%s: risk %u, expected %u", row[i].name, risk, row[i].risk);
        free(out);
    }
    CHECK(unlink(at("bare/HEAD")) == 0);
    char *whole = q_printf("%s/project/src/a.c", home), *beside = q_printf("%s/project2/a.c", home), *out;
    unsigned risk = 0;
    CHECK_INT(place_name(place, whole, &out, &risk, err), Q_OK);
    CHECK_STR(out, "src/a.c");
    CHECK_INT(risk, 0);
    free(out);
    CHECK_INT(place_name(place, beside, &out, &risk, err), Q_OK);
    CHECK_STR(out, beside);
    CHECK_INT(risk, TOOL_OUTSIDE);
    free(out);
    free(whole);
    free(beside);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CHECK_INT(place_name(place, refused[i], &out, &risk, err), Q_FORMAT);
        CHECK(!out);
    }
}

static void links_are_not_followed(void)
{
    char *outside = q_printf("%s/outside", home), *beyond = q_printf("%s/outside/x", home);
    CHECK_INT(q_mkdirs(outside, err), Q_OK);
    CHECK_INT(q_write_file_atomic(beyond, "outer", 5, err), Q_OK);
    put("src/a.c", "int a;\n");
    CHECK_INT(symlink(outside, at("out")), 0);
    CHECK_INT(symlink(beyond, at("src/x")), 0);
    CHECK_INT(symlink("a.c", at("src/b.c")), 0);
    DOES_HOLD("read_file", "{\"path\":\"out/x\"}", "failed: in out/x, out is a link to");
    DOES_HOLD("read_file", "{\"path\":\"src/x\"}", "in src/x, x is a link to");
    DOES_HOLD("read_file", "{\"path\":\"src/b.c\"}", "b.c is a link to a.c, and links are not followed");
    DOES_HOLD("list_files", "{\"path\":\"out\"}", "is a link to");
    DOES_HOLD("edit_file", "{\"path\":\"out/y\",\"text\":\"z\"}", "no: in out/y, out is a link to");
    DOES_HOLD("edit_file", "{\"path\":\"src/x\",\"text\":\"z\"}", "no: in src/x, x is a link to");
    DOES_HOLD("list_files", "{\"path\":\".\",\"depth\":5}", "out (a link)\nsrc/\nsrc/a.c  7\nsrc/b.c (a link)\nsrc/x (a link)\n");
    DOES_HOLD("search_files", "{\"query\":\"outer\",\"path\":\".\"}", "[found nowhere below .; 1 files were read]");
    CHECK_INT(mkfifo(at("src/pipe"), 0600), 0);
    DOES_HOLD("read_file", "{\"path\":\"src/pipe\"}", "failed: src/pipe is no regular file");
    DOES_HOLD("read_file", "{\"path\":\"src\"}", "failed: src is a folder: list_files lists it");
    DOES_HOLD("list_files", "{\"path\":\"src/a.c\"}", "no folder");
    free(outside);
    free(beyond);
}

/* What was looked at is a folder; when it is done a link stands there. */
static void a_link_put_there_meanwhile_is_not_followed(void)
{
    tool_plan p;
    tool_result r = { 0 };
    char *outside = q_printf("%s/outside", home), *beyond = q_printf("%s/outside/new", home);
    put("swap/old", "o\n");
    CHECK_INT(tool_plan_make(place, "edit_file", "{\"path\":\"swap/new\",\"text\":\"planted\"}", &p, err), Q_OK);
    CHECK_INT(p.risk, 0);
    CHECK_INT(rename(at("swap"), at("swapped")), 0);
    CHECK_INT(symlink(outside, at("swap")), 0);
    CHECK_INT(tool_run(place, NULL, &p, &r), Q_OK);
    CHECK(r.failed && strstr(r.text.p, "is a link to"));
    CHECK(access(beyond, F_OK) < 0);
    CHECK(!r.undo.path);
    tool_plan_free(&p);
    tool_result_free(&r);
    free(outside);
    free(beyond);
}

/* ---- reading ---- */
static void files_are_read(void)
{
    q_buf long_ = { 0 };
    put("text", "one\ntwo\nthree");
    DOES("read_file", "{\"path\":\"text\"}", "one\ntwo\nthree");
    DOES("read_file", "{\"path\":\"text\",\"from\":2,\"lines\":1}", "two\n[lines 2 to 2 of 3; from=3 reads on]\n");
    DOES("read_file", "{\"path\":\"text\",\"from\":3}", "three[lines 3 to 3 of 3]\n");
    DOES("read_file", "{\"path\":\"text\",\"from\":9}", "[text has 3 lines]\n");
    DOES("read_file", "{\"path\":\"nothing\"}", "failed: nothing: there is no such file");
    DOES("read_file", "{\"path\":\"no/thing\"}", "failed: no/thing: there is no folder no");
    put("empty", "");
    DOES("read_file", "{\"path\":\"empty\"}", "[empty is empty]\n");
    put("steers", "a\x1b[31mred\x07 \xe2\x80\xae" "b\r\n\xff");
    char *s = does("read_file", "{\"path\":\"steers\"}");
    CHECK(!strchr(s, '\x1b') && !strchr(s, '\x07') && !strchr(s, '\r') && !strstr(s, "\xe2\x80\xae") && q_utf8_valid(s, strlen(s)));
    free(s);
    CHECK_INT(q_write_file_atomic(at("binary"), "a\0b", 3, err), Q_OK);
    DOES("read_file", "{\"path\":\"binary\"}", "failed: binary is no text: it holds NUL bytes");
    for (int i = 1; i <= 3000; i++)
        q_buf_printf(&long_, "line %d\n", i);
    put("long", long_.p);
    s = does("read_file", "{\"path\":\"long\"}");
    CHECK(strlen(s) <= TOOL_TEXT_MAX + 200 && strstr(s, "line 1\n") && strstr(s, "of 3000; from=") && !strstr(s, "left out"));
    free(s);
    q_buf_clear(&long_);
    for (int i = 0; i < 40000; i++)
        q_buf_puts(&long_, "ж");
    put("wide", long_.p);
    s = does("read_file", "{\"path\":\"wide\"}");
    CHECK(strstr(s, "in the middle are left out]") && q_utf8_valid(s, strlen(s)) && strlen(s) < TOOL_TEXT_MAX + 200);
    free(s);
    q_buf_free(&long_);
}

static void files_are_found(void)
{
    put("find/a.c", "int x;\nint Needle = 1; /* here */\n");
    put("find/b.txt", "needle\n");
    put("find/.env", "NEEDLE=1\n");
    put("find/sub/c.c", "no\nneedle needle\n");
    put("find/.git/needle", "needle\n");
    DOES("search_files", "{\"query\":\"needle\",\"path\":\"find\"}",
         "find/b.txt:1: needle\nfind/sub/c.c:2: needle needle\n[1 files that may hold secrets were not read]\n");
    DOES("search_files", "{\"query\":\"NEEDLE\",\"path\":\"find\",\"any_case\":true,\"name\":\"*.c\"}", "find/a.c:2: int Needle = 1; /* here */\nfind/sub/c.c:2: needle needle\n");
    DOES("search_files", "{\"query\":\".c\",\"path\":\"find\",\"where\":\"name\"}", "find/a.c\nfind/sub/c.c\n");
    DOES("list_files", "{\"path\":\"find\"}", "find/.env  9\nfind/.git/\nfind/a.c  34\nfind/b.txt  7\nfind/sub/\n");
    DOES("list_files", "{\"path\":\"find\",\"name\":\"*.TXT\"}", "find/b.txt  7\n");
    put("find/\x1b[2Jred", "needle\n");
    DOES_HOLD("list_files", "{\"path\":\"find\"}", "[1 names hold control characters and are left out]\n");
    DOES_HOLD("search_files", "{\"query\":\"needle\",\"path\":\"find\"}", "find/b.txt:1: needle\nfind/sub/c.c:2: needle needle\n");
}

/* ---- changing ---- */
static void files_are_edited(void)
{
    put("edit/a.c", "one\ntwo\nthree\ntwo\n");
    CHECK_INT(chmod(at("edit/a.c"), 0750), 0);
    DOES_HOLD("edit_file", "{\"path\":\"edit/a.c\",\"old\":\"two\",\"new\":\"2\"}", "no: the old text stands in edit/a.c 2 times");
    DOES_HOLD("edit_file", "{\"path\":\"edit/a.c\",\"old\":\"four\",\"new\":\"2\"}", "no: the old text does not stand in edit/a.c");
    DOES_HOLD("edit_file", "{\"path\":\"edit/a.c\",\"old\":\"one\",\"new\":\"one\"}", "no: edit/a.c would stay as it is");
    DOES_HOLD("edit_file", "{\"path\":\"edit/none\",\"old\":\"one\",\"new\":\"one\"}", "no: edit/none is not there");
    CHECK(is("edit/a.c", "one\ntwo\nthree\ntwo\n"));
    DOES("edit_file", "{\"path\":\"edit/a.c\",\"old\":\"one\\ntwo\",\"new\":\"1\\n2\"}", "edit/a.c is changed\n");
    CHECK(is("edit/a.c", "1\n2\nthree\ntwo\n"));
    struct stat st;
    CHECK_INT(stat(at("edit/a.c"), &st), 0);
    CHECK_INT(st.st_mode & 0777, 0750);
    DOES("edit_file", "{\"path\":\"edit/deep/er/new.c\",\"text\":\"x\\n\"}", "edit/deep/er/new.c is new\n");
    CHECK(is("edit/deep/er/new.c", "x\n"));
    mode_t mask = umask(077);            /* nobody else is to read what this person makes */
    DOES("edit_file", "{\"path\":\"edit/own.c\",\"text\":\"x\\n\"}", "edit/own.c is new\n");
    CHECK(stat(at("edit/own.c"), &st) == 0 && (st.st_mode & 0777) == 0600);
    umask(022);
    DOES("edit_file", "{\"path\":\"edit/ours.c\",\"text\":\"x\\n\"}", "edit/ours.c is new\n");
    CHECK(stat(at("edit/ours.c"), &st) == 0 && (st.st_mode & 0777) == 0644);
    umask(mask);
    put("edit/dos", "a\r\nb\r\nc\r\n");
    DOES("edit_file", "{\"path\":\"edit/dos\",\"old\":\"a\\nb\",\"new\":\"a\\nB\"}", "edit/dos is changed\n");
    CHECK(is("edit/dos", "a\r\nB\r\nc\r\n"));
    CHECK_INT(q_write_file_atomic(at("edit/binary"), "a\0b", 3, err), Q_OK);
    DOES_HOLD("edit_file", "{\"path\":\"edit/binary\",\"text\":\"x\"}", "no: edit/binary is no text");
    tool_plan p;
    tool_result r = { 0 };
    CHECK_INT(tool_plan_make(place, "edit_file", "{\"path\":\"edit/a.c\",\"text\":\"all new\"}", &p, err), Q_OK);
    put("edit/a.c", "somebody else\n");
    CHECK_INT(tool_run(place, NULL, &p, &r), Q_OK);
    CHECK_STR(r.text.p, "edit/a.c was changed meanwhile, so nothing was written: read it again");
    CHECK(is("edit/a.c", "somebody else\n"));
    tool_plan_free(&p);
    tool_result_free(&r);
    CHECK_INT(tool_plan_make(place, "edit_file", "{\"path\":\"edit/a.c\",\"text\":\"\"}", &p, err), Q_OK);
    CHECK_INT(p.risk, TOOL_EMPTIES);
    tool_plan_free(&p);
}

static void what_changes_is_shown(void)
{
    static const struct { const char *was, *now, *diff; } row[] = {
        { "a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n" },
        { "", "x\ny\n", "@@ -0,0 +1,2 @@\n+x\n+y\n" },
        { "x\n", "", "@@ -1,1 +0,0 @@\n-x\n" },
        { "a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ no newline at the end\n+b\n" },
        { "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", "1\nx\n3\n4\n5\n6\n7\n8\n9\n10\n11\ny\n",
          "@@ -1,5 +1,5 @@\n 1\n-2\n+x\n 3\n 4\n 5\n@@ -9,4 +9,4 @@\n 9\n 10\n 11\n-12\n+y\n" },
        { "a\nb\nc\nd\n", "b\nc\nd\ne\n", "@@ -1,4 +1,4 @@\n-a\n b\n c\n d\n+e\n" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        q_buf b = { 0 };
        diff_lines(&b, row[i].was, strlen(row[i].was), row[i].now, strlen(row[i].now));
        CHECK_STR(b.p, row[i].diff);
        q_buf_free(&b);
    }
    tool_plan p;
    put("edit/shown", "a\nb\n");
    CHECK_INT(tool_plan_make(place, "edit_file", "{\"path\":\"edit/shown\",\"old\":\"b\",\"new\":\"\\u001b[31m\"}", &p, err), Q_OK);
    CHECK_STR(p.shown, "--- edit/shown\n+++ edit/shown\n@@ -1,2 +1,2 @@\n a\n-b\n+\xef\xbf\xbd[31m\n");
    CHECK_STR(p.title, "edit_file edit/shown");
    CHECK(p.diff);
    tool_plan_free(&p);
    CHECK_INT(tool_plan_make(place, "memory_remember", "{\"text\":\"two\\nlines\\u001b\"}", &p, err), Q_OK);
    CHECK_STR(p.shown, "text: two\nlines\xef\xbf\xbd\n");
    CHECK_STR(p.title, "memory_remember two lines\xef\xbf\xbd");
    tool_plan_free(&p);
}

/* A thousand changes of random texts: applying the diff's + and - lines to the old text gives the new one. */
static void a_diff_says_all(void)
{
    uint64_t s[4] = { 1, 2, 3, 4 };
    for (int run = 0; run < 1000; run++) {
        q_buf was = { 0 }, now = { 0 }, diff = { 0 }, got = { 0 };
        q_buf_puts(&was, "");
        q_buf_puts(&now, "");
        for (uint64_t i = 0, n = q_random(s) % 30; i < n; i++) {
            char line[4] = { (char)('a' + q_random(s) % 4), '\n', 0 };
            uint64_t what = q_random(s) % 5;
            if (what != 0)
                q_buf_puts(&was, line);
            if (what != 1)
                q_buf_puts(&now, line);
        }
        diff_lines(&diff, was.p, was.len, now.p, now.len);
        q_buf_puts(&got, "");
        int line = 1;                    /* the old text's next line */
        const char *old = was.p;
        for (const char *p = diff.p; *p; p += strcspn(p, "\n") + 1) {
            size_t n = strcspn(p, "\n");
            int from, count;
            if (*p == '@' && sscanf(p, "@@ -%d,%d", &from, &count) == 2)
                for (int to = count ? from : from + 1; line < to; line++) {
                    q_buf_add(&got, old, strcspn(old, "\n") + 1);
                    old += strcspn(old, "\n") + 1;
                }
            if (*p == ' ' || *p == '+')
                q_buf_add(&got, p + 1, n);
            if (*p == ' ' || *p == '-') {
                CHECK(strncmp(old, p + 1, n) == 0);
                old += n;
                line++;
            }
        }
        q_buf_puts(&got, old);
        CHECK_STR(got.p, now.p);
        q_buf_free(&was);
        q_buf_free(&now);
        q_buf_free(&diff);
        q_buf_free(&got);
    }
}

static void changes_are_taken_back(void)
{
    tool_plan p;
    tool_result r = { 0 };
    put("undo/a", "was\n");
    CHECK_INT(chmod(at("undo/a"), 0640), 0);
    CHECK_INT(tool_plan_make(place, "edit_file", "{\"path\":\"undo/a\",\"text\":\"is\\n\"}", &p, err), Q_OK);
    CHECK_INT(tool_run(place, NULL, &p, &r), Q_OK);
    tool_undo u = { r.undo.path, r.undo.was, r.undo.n_was, r.undo.mode, r.undo.became, r.undo.made };
    CHECK_INT(tool_undo_check(&u, err), Q_OK);
    CHECK(is("undo/a", "is\n"));
    put("undo/a", "mine\n");
    CHECK_INT(tool_undo_do(&u, err), Q_RANGE);
    CHECK(strstr(err, "has changed since"));
    CHECK(is("undo/a", "mine\n"));
    put("undo/a", "is\n");
    CHECK_INT(tool_undo_do(&u, err), Q_OK);
    CHECK(is("undo/a", "was\n"));
    tool_plan_free(&p);
    tool_result_free(&r);
    CHECK_INT(tool_plan_make(place, "edit_file", "{\"path\":\"undo/new\",\"text\":\"n\"}", &p, err), Q_OK);
    CHECK_INT(tool_run(place, NULL, &p, &r), Q_OK);
    tool_undo n = { r.undo.path, r.undo.was, r.undo.n_was, r.undo.mode, r.undo.became, r.undo.made };
    CHECK_INT(tool_undo_do(&n, err), Q_OK);
    CHECK(access(at("undo/new"), F_OK) < 0);
    CHECK_INT(tool_undo_do(&n, err), Q_RANGE);
    CHECK(strstr(err, "is gone since"));
    tool_plan_free(&p);
    tool_result_free(&r);
}

/* ---- numbers ---- */
static void numbers_are_exact(void)
{
    static const struct { const char *text, *value; } row[] = {
        { "1 + 2 * 3", "7" }, { "(1 + 2) * 3", "9" }, { "2^10", "1024" }, { "2**62", "4611686018427387904" }, { "-2^2", "-4" }, { "2^-1", "0.5" }, { "2^3^2", "512" },
        { "7 / 2", "3.5" }, { "8 / 2", "4" }, { "7 // 2", "3" }, { "-7 // 2", "-4" }, { "-7 % 3", "2" }, { "7 % -3", "-2" }, { "0.1 + 0.2", "0.3" }, { "1e3", "1000.0" },
        { "9223372036854775807", "9223372036854775807" }, { "0xff", "255" }, { "sqrt(2)", "1.4142135623731" }, { "round(2.5)", "3" }, { "floor(-1.5)", "-2" },
        { "gcd(12, 18)", "6" }, { "max(1, 2.5)", "2.5" }, { "abs(-3)", "3" }, { "pi", "3.14159265358979" }, { "(-1)^1001", "-1" }, { "-1^1000", "-1" }, { "0^100", "0" },
        { "12345678901 * 12345", "152407406032845" }, { "- - 3", "3" } };
    static const struct { const char *text, *told; } wrong[] = {
        { "9223372036854775807 + 1", "left 64 bits" }, { "2^63", "left 64 bits" }, { "99999999999999999999", "left 64 bits" }, { "3000000000 * 4000000000", "left 64 bits" },
        { "1 / 0", "division by zero" }, { "1 % 0", "division by zero" }, { "sqrt(0 - 1)", "no finite number" }, { "1 +", "ends too early" }, { "(1", "a ) is missing" }, { "1 2", "behind the end" },
        { "system(1)", "no such function" }, { "x", "no constant" }, { "max(1)", "take two numbers" }, { "sin(1, 2)", "only min, max and gcd" }, { "1.0^1e9 * 1e308 * 10", "no finite number" },
        { "(0 - 9223372036854775807 - 1) // -1", "left 64 bits" } };
    q_buf b = { 0 };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        q_buf_clear(&b);
        CHECK_MSG(calc_text(row[i].text, &b, err) == Q_OK, "%s: %s", row[i].text, err);
        CHECK_STR(b.p, row[i].value);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_MSG(calc_text(wrong[i].text, &b, err) == Q_FORMAT && strstr(err, wrong[i].told), "%s: %s", wrong[i].text, err);
    q_buf_clear(&b);
    for (int i = 0; i < 3000; i++)
        q_buf_putc(&b, '(');
    q_buf out = { 0 };
    CHECK_INT(calc_text(b.p, &out, err), Q_FORMAT);
    CHECK(strstr(err, "nested too deeply"));
    q_buf_free(&out);
    q_buf_free(&b);
}

/* ---- the policy ---- */
static void rules_decide(void)
{
    static const struct { const char *tool, *arguments, *rules; enum tool_say say; } row[] = {
        { "read_file", "{\"path\":\"src/a.c\"}", "", TOOL_ASK },
        { "read_file", "{\"path\":\"src/a.c\"}", "read", TOOL_ALLOW },
        { "read_file", "{\"path\":\"src/a.c\"}", "read_file", TOOL_ALLOW },
        { "read_file", "{\"path\":\"src/a.c\"}", "list_files", TOOL_ASK },
        { "read_file", "{\"path\":\"src/a.c\"}", "read,-read_file", TOOL_DENY },
        { "read_file", "{\"path\":\"src/a.c\"}", "-read_file,read", TOOL_DENY },
        { "read_file", "{\"path\":\"src/a.c\"}", "read:doc/*", TOOL_ASK },
        { "read_file", "{\"path\":\"src/a.c\"}", "read:src/*", TOOL_ALLOW },
        { "read_file", "{\"path\":\"src/a.c\"}", "all", TOOL_ALLOW },
        { "read_file", "{\"path\":\".env\"}", "all", TOOL_ASK },
        { "read_file", "{\"path\":\".env\"}", "read:.env", TOOL_ASK },
        { "read_file", "{\"path\":\".env\"}", "all,-read:*.env", TOOL_DENY },
        { "read_file", "{\"path\":\"../x\"}", "all", TOOL_ASK },
        { "read_file", "{\"path\":\"src/../../x\"}", "read:src/*", TOOL_ASK },
        { "read_file", "{\"path\":\".git/config\"}", "read", TOOL_ALLOW },
        { "edit_file", "{\"path\":\".git/config\",\"text\":\"x\"}", "all", TOOL_ASK },
        { "edit_file", "{\"path\":\".git/hooks/pre-commit\",\"text\":\"x\"}", "edit_file", TOOL_ASK },
        { "edit_file", "{\"path\":\"n.c\",\"text\":\"x\"}", "read", TOOL_ASK },
        { "edit_file", "{\"path\":\"n.c\",\"text\":\"x\"}", "write", TOOL_ALLOW },
        { "calculate", "{\"expression\":\"1\"}", "", TOOL_ALLOW },
        { "calculate", "{\"expression\":\"1\"}", "-calculate", TOOL_DENY },
        { "todo", "{\"steps\":[{\"text\":\"a\",\"state\":\"open\"}]}", "", TOOL_ALLOW },
        { "memory_search", "{\"query\":\"a\"}", "read", TOOL_ASK },
        { "memory_search", "{\"query\":\"a\"}", "recall", TOOL_ALLOW },
        { "memory_remember", "{\"text\":\"a\"}", "recall", TOOL_ASK },
        { "set_knob", "{\"name\":\"experts.k\",\"value\":\"1\"}", "", TOOL_ASK },
        { "set_knob", "{\"name\":\"experts.k\",\"value\":\"1\"}", "knob", TOOL_ALLOW } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        tool_rules r = { 0 };
        const tool_rules *set[] = { &r };
        tool_plan p;
        char *why = NULL, *back;
        CHECK_INT(tool_rules_add(&r, row[i].rules, err), Q_OK);
        CHECK_MSG(tool_plan_make(place, row[i].tool, row[i].arguments, &p, err) == Q_OK, "%s", err);
        CHECK_MSG(tool_judge(&p, set, 1, &why) == row[i].say, "row %zu: %s %s under %s: %s", i, row[i].tool, row[i].arguments, row[i].rules, why);
        CHECK(why && *why);
        back = tool_rules_text(&r);
        CHECK_STR(back, row[i].rules);
        free(back);
        free(why);
        tool_plan_free(&p);
        tool_rules_free(&r);
    }
    tool_rules r = { 0 };
    CHECK_INT(tool_rules_add(&r, "read,reed", err), Q_FORMAT);
    CHECK(strstr(err, "reed is no tool"));
    CHECK_INT(tool_rules_add(&r, "set_knob:x", err), Q_FORMAT);
    CHECK_INT(tool_rules_add(&r, "read:", err), Q_FORMAT);
    CHECK_INT(r.n, 0);
    tool_rules_free(&r);
    tool_plan p;
    char *rule;
    CHECK_INT(tool_plan_make(place, "list_files", "{\"path\":\".\"}", &p, err), Q_OK);
    rule = tool_rule_for(&p);
    CHECK_STR(rule, "read");
    free(rule);
    tool_plan_free(&p);
    CHECK_INT(tool_plan_make(place, "read_file", "{\"path\":\".env\"}", &p, err), Q_OK);
    CHECK(!tool_rule_for(&p));
    tool_plan_free(&p);
}

/* What a rule denies by a pattern does not come with the folder that it lies in. */
static void a_search_keeps_what_is_denied(void)
{
    static const struct { const char *rules, *tool, *arguments, *has, *lacks; } row[] = {
        { "read", "search_files", "{\"path\":\"kept\",\"query\":\"needle\"}", "kept/inner/b.txt:1: needle two", "denies" },
        { "read,-read:kept/inner/*", "search_files", "{\"path\":\"kept\",\"query\":\"needle\"}", "needle one", "needle two" },
        { "read,-read_file:kept/inner/*", "search_files", "{\"path\":\"kept\",\"query\":\"needle\"}", "[1 names were not looked at", "needle two" },
        { "read,-all:*b.txt", "search_files", "{\"path\":\".\",\"query\":\"needle\"}", "needle one", "needle two" },
        { "read,-read_file:kept/inner/*", "search_files", "{\"path\":\"kept\",\"query\":\"b.txt\",\"where\":\"name\"}", "kept/inner/b.txt", "denies" },
        { "read,-search_files:kept/inner/*", "search_files", "{\"path\":\"kept\",\"query\":\"b.txt\",\"where\":\"name\"}", "denies", "b.txt" },
        { "read,-edit_file:kept/inner/*", "search_files", "{\"path\":\"kept\",\"query\":\"needle\"}", "needle two", "denies" },
        { "read,-read:kept/inner/*", "list_files", "{\"path\":\"kept\",\"depth\":3}", "kept/a.txt", "b.txt" },
        { "read,-read:kept/inner/*", "list_files", "{\"path\":\"kept/inner\"}", "[1 names are left out", "b.txt" } };
    put("kept/a.txt", "needle one\n");
    put("kept/inner/b.txt", "needle two\n");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        tool_rules r = { 0 };
        const tool_rules *set[] = { &r };
        const tool_host host = { .rules = &r, .denied = tool_denied };
        tool_result out = { 0 };
        tool_plan p;
        CHECK_INT(tool_rules_add(&r, row[i].rules, err), Q_OK);
        CHECK_MSG(tool_plan_make(place, row[i].tool, row[i].arguments, &p, err) == Q_OK, "%s", err);
        CHECK_INT(tool_judge(&p, set, 1, NULL), TOOL_ALLOW);
        CHECK_INT(tool_run(place, &host, &p, &out), Q_OK);
        CHECK_MSG(strstr(out.text.p, row[i].has) && !strstr(out.text.p, row[i].lacks), "row %zu: %s", i, out.text.p);
        tool_result_free(&out);
        tool_plan_free(&p);
        tool_rules_free(&r);
    }
}

/* The whole machine as a project: what is the system's stays so, and no command is held in. */
static void a_project_above_the_home_is_asked_about(void)
{
    static const struct { const char *folder, *tool, *arguments; unsigned risk; } row[] = {
        { "/", "read_file", "{\"path\":\"proc/1/environ\"}", TOOL_SECRET }, { "/", "read_file", "{\"path\":\"/proc/1/environ\"}", TOOL_SECRET },
        { "/", "edit_file", "{\"path\":\"sys/x/y\",\"text\":\"x\"}", TOOL_SECRET | TOOL_GUARDED }, { "/", "read_file", "{\"path\":\"usr/x\"}", 0 },
        { "/", "run_command", "{\"command\":\"ls\"}", TOOL_BARE }, { home, "run_command", "{\"command\":\"ls\"}", 0 },
        { "/tmp", "run_command", "{\"command\":\"ls\"}", TOOL_BARE } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        tool_place *other;
        tool_plan p;
        CHECK_MSG(tool_place_open(row[i].folder, &other, err) == Q_OK, "%s", err);
        const struct sandbox *box = strcmp(row[i].tool, "run_command") == 0 ? place_box(other, err) : NULL;
        bool bare = row[i].folder == home && box && box->kind != SANDBOX_BWRAP;
        CHECK_MSG(tool_plan_make(other, row[i].tool, row[i].arguments, &p, err) == Q_OK, "%s", err);
        CHECK_MSG(p.risk == (row[i].risk | (bare ? TOOL_BARE : 0)), "row %zu: %u", i, p.risk);
        tool_plan_free(&p);
        tool_place_close(other);
    }
}

/* Words choose when a person is asked each time; the kernel says what can be done. */
static bool until_it_said(void *user) { return access(at("said"), F_OK) != 0; }

/* A person's stop: what the command said until then stays, and that it was ended. */
static void a_command_that_is_stopped_keeps_what_it_said(void)
{
    tool_plan p;
    tool_result r;
    const tool_host host = { .go = until_it_said };
    if (tool_plan_make(place, "run_command", "{\"command\":\"echo half of it; echo x > said; sleep 600\",\"seconds\":600}", &p, err) < 0) {
        printf("# no command is run: %s\n", err);
        CHECK(strstr(err, "no command can be run here"));
        return;
    }
    CHECK_INT(tool_run(place, &host, &p, &r), Q_CANCEL);
    CHECK_STR(r.text.p, "half of it\n[the person ended it]\n");
    tool_result_free(&r);
    tool_plan_free(&p);
    remove(at("said"));
}

static void commands_are_looked_at(void)
{
    static const struct { const char *command; unsigned risk; } row[] = {
        { "make test", 0 }, { "ls -l | head", 0 }, { "echo x > /outside", 0 }, { "firm --format", 0 }, { "rm -r build", TOOL_TAKES }, { "git  reset --hard", TOOL_TAKES },
        { "x=1;rm a", TOOL_TAKES }, { "$(rm a)", TOOL_TAKES }, { "git push", TOOL_TAKES }, { "make clean", TOOL_TAKES }, { "sudo ls", TOOL_TAKES } };
    tool_plan p;
    tool_result r = { 0 };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *arguments = q_printf("{\"command\":\"%s\"}", row[i].command);
        if (tool_plan_make(place, "run_command", arguments, &p, err) < 0) {
            printf("# no command was looked at: %s\n", err);
            CHECK(strstr(err, "no command can be run here"));
        } else
            CHECK_MSG((p.risk & ~(unsigned)TOOL_BARE) == row[i].risk, "%s: %u", row[i].command, p.risk);
        free(arguments);
        tool_plan_free(&p);
    }
    if (tool_plan_make(place, "run_command", "{\"command\":\"echo \\u001b[2J; echo two > made; exit 3\",\"network\":true}", &p, err) == Q_OK) {
        CHECK(p.risk & TOOL_NETWORK && !strchr(p.shown, '\x1b') && strstr(p.shown, "$ echo "));
        CHECK(!tool_rule_for(&p));
        CHECK_INT(tool_run(place, NULL, &p, &r), Q_OK);
        CHECK_MSG(!r.failed && strcmp(r.text.p, "\xef\xbf\xbd[2J\n[it ended with status 3]\n") == 0, "%s", r.text.p);
        CHECK(is("made", "two\n"));
        tool_result_free(&r);
    }
    tool_plan_free(&p);
}

static void secrets_are_marked(void)
{
    tool_plan p;
    tool_result r = { 0 };
    put(".env", "KEY=hunter2\n");
    CHECK_INT(tool_plan_make(place, "read_file", "{\"path\":\".env\"}", &p, err), Q_OK);
    CHECK_INT(tool_run(place, NULL, &p, &r), Q_OK);
    CHECK(r.secret);
    CHECK_STR(r.text.p, "KEY=hunter2\n");
    tool_plan_free(&p);
    tool_result_free(&r);
}

int main(void)
{
    if (!mkdtemp(home))
        return 1;
    setenv("HOME", home, 1);
    CHECK_INT(q_mkdirs(at(""), err), Q_OK);
    if (tool_place_open(at(""), &place, err) < 0) {
        printf("not ok opening the folder: %s\n", err);
        return 1;
    }
    RUN(every_row_is_whole);
    RUN(arguments_are_held_against_the_schema);
    RUN(names_become_canonical);
    RUN(links_are_not_followed);
    RUN(a_link_put_there_meanwhile_is_not_followed);
    RUN(files_are_read);
    RUN(files_are_found);
    RUN(files_are_edited);
    RUN(what_changes_is_shown);
    RUN(a_diff_says_all);
    RUN(changes_are_taken_back);
    RUN(numbers_are_exact);
    RUN(rules_decide);
    RUN(a_search_keeps_what_is_denied);
    RUN(a_project_above_the_home_is_asked_about);
    RUN(commands_are_looked_at);
    RUN(a_command_that_is_stopped_keeps_what_it_said);
    RUN(secrets_are_marked);
    tool_place_close(place);
    nftw(home, gone, 16, FTW_DEPTH | FTW_PHYS);
    return TEST_END();
}
