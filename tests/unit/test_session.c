/* tests: a session that a person would have, with replies written for it: find the failing test in a small C project, mend it, run it; what is
 * asked is agreed to as a person would, and /undo brings the tree back byte for byte. It needs a C compiler and quorum-box. */
#include "tests/unit/folder_help.h"
#include "tests/unit/script_help.h"

#include <ftw.h>
#include <sys/stat.h>

static char home[] = "/tmp/quorum-session-XXXXXX";
static seen s;

static const char sum_c[] = "int sum(const int *v, int n)\n{\n    int s = 0;\n    for (int i = 1; i < n; i++)\n        s += v[i];\n    return s;\n}\n";
static const char max_c[] = "int max(const int *v, int n)\n{\n    int m = v[0];\n    for (int i = 1; i < n; i++)\n        if (v[i] > m) m = v[i];\n    return m;\n}\n";
static const char test_c[] = "#include <stdio.h>\nint sum(const int *v, int n);\nint max(const int *v, int n);\nint main(void)\n{\n    int v[] = { 3, 4, 5 }, bad = 0;\n"
                             "    bad += max(v, 3) != 5;\n    printf(\"%s max\\n\", max(v, 3) == 5 ? \"ok\" : \"not ok\");\n    bad += sum(v, 3) != 12;\n"
                             "    printf(\"%s sum\\n\", sum(v, 3) == 12 ? \"ok\" : \"not ok\");\n    return bad;\n}\n";

#define TEST "{call run_command {\"command\":\"cc -o ${TMPDIR:-/tmp}/t test.c sum.c max.c && ${TMPDIR:-/tmp}/t\"}}"
#define PLAN(a, b, c) "{call todo {\"steps\":[{\"text\":\"find the failing test\",\"state\":\"" a "\"},{\"text\":\"mend it\",\"state\":\"" b "\"},{\"text\":\"run the tests again\",\"state\":\"" c "\"}]}}"
static const script_line replies[] = {
    { "find the failing test", "I look around first. " PLAN("doing", "open", "open") "{call list_files {\"path\":\".\"}}" },
    { "test.c  ", "{call read_file {\"path\":\"test.c\"}}{call search_files {\"query\":\"for (int i\",\"path\":\".\"}}" },
    { "sum.c:4:", "Now the tests. " TEST },
    { "not ok sum", "sum() leaves out the first number. " PLAN("done", "doing", "open")
                    "{call edit_file {\"path\":\"sum.c\",\"old\":\"    for (int i = 1; i < n; i++)\\n        s += v[i];\",\"new\":\"    for (int i = 0; i < n; i++)\\n        s += v[i];\"}}" },
    { "sum.c is changed", PLAN("done", "done", "doing") TEST },
    { "ok sum", PLAN("done", "done", "done") },
    { "3 of 3 done", "The loop in sum.c began at 1, so the first number was left out; it begins at 0 now, and both tests pass." },
    { NULL, NULL } };

static char *at(const char *name)
{
    static char folder[sizeof home + 8];
    snprintf(folder, sizeof folder, "%s/project", home);
    return path_in(folder, name);
}

static q_buf all;                        /* of the tree: names, modes, contents */
static int one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    q_buf b = { 0 };
    q_buf_printf(&all, "%s %o\n", path, (unsigned)st->st_mode);
    if (kind == FTW_F && q_read_file(path, &b, 1 << 20, err) == Q_OK)
        q_buf_add(&all, b.p, b.len);
    q_buf_free(&b);
    return 0;
}

static void tree(char hash[65])
{
    q_buf_clear(&all);
    nftw(at(""), one, 16, FTW_PHYS);
    q_sha256(all.p, all.len, hash);
}

static int gone(const char *path, const struct stat *st, int kind, struct FTW *f) { return remove(path); }

static void approve(const char *title, enum agt_consent how, const char *shows)
{
    CHECK(wait_for(a, &s, AGT_EV_APPROVE, 0, 60000));
    CHECK_STR(s.approve.title, title);
    CHECK_MSG(!shows || strstr(s.approve.shown, shows), "%s", s.approve.shown);
    agt_approve(a, s.approve.ticket, how, NULL);
}

static void a_failing_test_is_found_mended_and_run(void)
{
    static const char run[] = "run_command cc -o ${TMPDIR:-/tmp}/t test.c sum.c max.c && ${TMPDIR:-/tmp}/t";
    char before[65], after[65];
    const char *set[] = { "memory.on=off", "sampler.loop_stop=off", "agent.tools=all" };
    tree(before);
    plan = (script){ .line = replies };
    agt_options o = { .model = "a script", .db = ":memory:", .set = set, .n_set = 3, .answers = answers, .folder = at("") };
    if (agt_open(&o, &a, err) < 0 || !wait_for(a, &s, AGT_EV_READY, 0, 30000)) {
        CHECK_MSG(false, "%s", err);
        return;
    }
    agt_submit(a, "find the failing test in this small C project, mend it, run it");
    approve("list_files .", AGT_CHAT, "path: .");
    approve(run, AGT_ONCE, "$ cc -o");
    approve("edit_file sum.c", AGT_ONCE, "-    for (int i = 1; i < n; i++)\n+    for (int i = 0; i < n; i++)\n");
    approve(run, AGT_ONCE, NULL);
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    CHECK(strstr(s.last->text, "both tests pass."));
    CHECK(s.approve.n == 4 && s.last->n_call == 10);
    for (int i = 0; i < s.last->n_call; i++)
        CHECK_MSG(s.last->call[i].state == AGT_CALL_DONE, "%s: %s", s.last->call[i].title, s.last->call[i].result);
    CHECK_MSG(strcmp(s.last->call[4].result, "ok max\nnot ok sum\n[it ended with status 1]\n") == 0, "%s", s.last->call[4].result);
    CHECK_MSG(strcmp(s.last->call[8].result, "ok max\nok sum\n[it ended with status 0]\n") == 0, "%s", s.last->call[8].result);
    CHECK_STR(s.plan, "[x] find the failing test\n[x] mend it\n[x] run the tests again\n");
    tree(after);
    CHECK(strcmp(before, after) != 0);
    seen_clear(&s);
    agt_submit(a, "/undo");
    settle(a, &s);
    tree(after);
    CHECK_STR(after, before);
    finish(&s);
}

int main(void)
{
    tool_place *p = NULL;
    if (!mkdtemp(home) || q_mkdirs(at(""), err) < 0)
        return 1;
    setenv("HOME", home, 1);
    const struct { const char *name, *text; } file[] = { { "sum.c", sum_c }, { "max.c", max_c }, { "test.c", test_c } };
    for (size_t i = 0; i < sizeof file / sizeof *file; i++)
        CHECK_INT(q_write_file_atomic(at(file[i].name), file[i].text, strlen(file[i].text), err), Q_OK);
    char *cc = q_find_program("cc");
    tool_plan look;
    bool box = tool_place_open(at(""), &p, err) == Q_OK && tool_plan_make(p, "run_command", "{\"command\":\"true\"}", &look, err) == Q_OK;
    if (!cc || !box)
        SKIP("a_failing_test_is_found_mended_and_run", cc ? err : "there is no C compiler");
    else
        RUN(a_failing_test_is_found_mended_and_run);
    if (box)
        tool_plan_free(&look);
    tool_place_close(p);
    free(cc);
    q_buf_free(&all);
    nftw(home, gone, 16, FTW_DEPTH | FTW_PHYS);
    return TEST_END();
}
