/* Modules as files: what of a front matter is taken and what is refused, by which words a question switches one on, names, the order,
 * the most that are shown, versions by hash. */
#include "agent/module.h"
#include "base/base.h"
#include "tests/test.h"

#include <locale.h>
#include <unistd.h>

static char err[Q_ERRLEN], home[] = "/tmp/quorum-modules-XXXXXX";

static int parse(const char *text, module *m) { return module_parse("m", "m.md", text, strlen(text), m, err); }

static void good(void)
{
    module m;
    CHECK_INT(parse("\xef\xbb\xbf---\r\ntitle:  Lake \r\n# a remark\n\norder: 7\nwhen: deep water, Озеро\nknobs: experts.ban=3:1,4:0, sampler.temperature=.5\n"
                    "adapter: a.gguf=0.7\nmemory: notes, papers/2025\n---\n\n  First.\n---\nSecond.\n\n", &m), Q_OK);
    CHECK_STR(m.title, "Lake");
    CHECK_STR(m.text, "First.\n---\nSecond.");
    CHECK_INT(m.order, 7);
    CHECK(m.when.n == 2 && m.knobs.n == 2 && m.memory.n == 2);
    CHECK_STR(m.when.v[0], "deep water");
    CHECK_STR(m.knobs.v[0], "experts.ban=3:1,4:0");
    CHECK_STR(m.knobs.v[1], "sampler.temperature=.5");
    CHECK_STR(m.memory.v[1], "papers/2025");
    CHECK_STR(m.adapter, "a.gguf=0.7");
    CHECK_INT(strlen(m.hash), MODULE_HASH);
    char was[MODULE_HASH + 1];
    memcpy(was, m.hash, sizeof was);
    module_free(&m);
    CHECK_INT(parse("---\n---\n", &m), Q_OK);    /* an empty one, called as its file */
    CHECK_STR(m.title, "m");
    CHECK_STR(m.text, "");
    CHECK(m.order == MODULE_ORDER && strcmp(m.hash, was) != 0);
    module_free(&m);
}

static void refused(const char *text, int code, const char *why)
{
    module m;
    CHECK_INT(parse(text, &m), code);
    CHECK_MSG(strstr(err, why) && strstr(err, "m.md") && !strchr(err, '\n'), "%s", err);
    CHECK(!m.text && !m.name);
}

static void bad(void)
{
    refused("", Q_FORMAT, "no front matter");
    refused("Just a text.\n", Q_FORMAT, "no front matter");
    refused("---\ntitle: x\nno end\n", Q_FORMAT, "not NAME: VALUE");
    refused("---\ntitle: x\n", Q_FORMAT, "no --- at its end");
    refused("---\ncolour: red\n---\n", Q_FORMAT, "colour");
    refused("---\norder: first\n---\n", Q_RANGE, "0 to 999");
    refused("---\norder: 1000\n---\n", Q_RANGE, "0 to 999");
    refused("---\nknobs: hot\n---\n", Q_FORMAT, "is no knob");
    refused("---\ntitle: \xff\xfe\n---\n", Q_FORMAT, "UTF-8");
    module m;
    CHECK_INT(module_parse("m", "m.md", "---\n---\na\0b", 11, &m, err), Q_FORMAT);
    q_buf big = { 0 };
    q_buf_puts(&big, "---\n---\n");
    while (big.len <= MODULE_BYTES)
        q_buf_puts(&big, "words and words ");
    refused(big.p, Q_RANGE, "65536");
    q_buf_free(&big);
    q_buf line = { 0 };
    q_buf_puts(&line, "---\nwhen: ");
    for (int i = 0; i < 70; i++)
        q_buf_printf(&line, "w%d,", i);
    q_buf_puts(&line, "\n---\n");
    refused(line.p, Q_RANGE, "more than 64 parts");
    q_buf_free(&line);
}

/* Whole words by stem in both scripts and any case; of a phrase all of its words, in a row. */
static void when(void)
{
    static const struct { const char *words, *question; bool yes; } row[] = {
        { "", "anything", true }, { "lake", "How deep is the LAKE?", true }, { "lake", "two lakes", true }, { "lake", "snowflake", false }, { "lake", "", false },
        { "доказательство", "Где доказательства?", true }, { "ДОКАЗАТЕЛЬСТВО", "нет доказательств", true }, { "доказательство", "докажи", false },
        { "озеро, deep water", "the water is deep", false }, { "озеро, deep water", "in Deep Waters", true }, { "ёлка", "ЕЛКИ стоят", true }, { "C#", "write c# code", true },
        { "c++", "write c", false }, { ", ,", "x", true } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *text = q_printf("---\nwhen: %s\n---\nx", row[i].words);
        module m;
        CHECK_INT(parse(text, &m), Q_OK);
        CHECK_MSG(module_wanted(&m, row[i].question) == row[i].yes, "%s / %s", row[i].words, row[i].question);
        module_free(&m);
        free(text);
    }
}

static void put(const char *name, const char *text)
{
    char *path = q_printf("%s/c/quorum/modules/%s", home, name);
    CHECK_INT(q_write_file_atomic(path, text, strlen(text), err), Q_OK);
    free(path);
}

static int at(const module *v, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0)
            return i;
    return -1;
}

static void files(void)
{
    module *v, m;
    int n, over;
    char *path;
    CHECK_INT(module_list(&v, &n, &over, err), Q_OK);
    CHECK_MSG(n == 8 && over == 0, "%d", n);
    for (int i = 0; i < n; i++)
        CHECK_MSG(v[i].shipped && !v[i].problem && strlen(v[i].text) > 100 && strlen(v[i].text) < 1200 && !v[i].when.n, "%s: %s", v[i].name, v[i].problem ? v[i].problem : "");
    CHECK_STR(v[0].name, "skeptic");
    CHECK_STR(v[7].name, "summariser");
    modules_free(v, n);
    CHECK_INT(module_read("../../etc/passwd", &m, err), Q_RANGE);
    CHECK_INT(module_read("", &m, err), Q_RANGE);
    CHECK_INT(module_read("nobody", &m, err), Q_NOTFOUND);
    CHECK_MSG(strstr(err, "/module new nobody"), "%s", err);
    CHECK(!module_known("../skeptic") && module_known("skeptic"));

    CHECK_INT(module_new("озеро", &path, err), Q_OK);        /* a new one can be read as it is */
    CHECK_INT(module_read("озеро", &m, err), Q_OK);
    CHECK(*m.text && !m.when.n && !m.knobs.n && !m.shipped);
    CHECK_STR(m.path, path);
    module_free(&m);
    free(path);
    CHECK_INT(module_new("озеро", &path, err), Q_RANGE);
    CHECK(!path);
    CHECK_INT(module_new("poet", &path, err), Q_RANGE);
    CHECK_INT(module_open("nobody", &path, err), Q_NOTFOUND);
    CHECK_INT(module_open("poet", &path, err), Q_OK);        /* a copy, which stands before the shipped one from here on */
    CHECK_INT(module_read("poet", &m, err), Q_OK);
    CHECK(!m.shipped && strcmp(m.path, path) == 0);
    module_free(&m);
    free(path);
    put("torn.md", "no front matter");
    put("UPPER CASE.md", "---\n---\n");          /* no name: not a module */
    CHECK_INT(module_list(&v, &n, &over, err), Q_OK);
    CHECK_MSG(n == 10 && v[at(v, n, "torn")].problem && at(v, n, "UPPER CASE") < 0, "%d", n);
    modules_free(v, n);
}

static void most(void)
{
    module *v;
    int n, over;
    char *path;
    for (int i = 0; i < 62; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%02d.md", i);
        put(name, "---\norder: 3\n---\nx\n");
    }
    CHECK_INT(module_list(&v, &n, &over, err), Q_OK);        /* 65 own ones: one beyond, and the shipped ones gave room */
    CHECK_MSG(n == MODULES_MOST && over == 1 && at(v, n, "skeptic") < 0 && at(v, n, "m61") >= 0, "%d %d", n, over);
    modules_free(v, n);
    CHECK_INT(module_new("another", &path, err), Q_RANGE);
    CHECK_MSG(strstr(err, "64"), "%s", err);
}

static void versions(void)
{
    module m;
    q_buf text = { 0 };
    char was[MODULE_HASH + 1], first[MODULE_HASH + 1];
    put("v.md", "---\n---\none\n");
    CHECK_INT(module_read("v", &m, err), Q_OK);
    memcpy(first, m.hash, sizeof first);
    CHECK_INT(module_before("v", m.hash, &text, was, err), Q_NOTFOUND);
    CHECK_INT(module_keep(&m, err), Q_OK);
    CHECK_INT(module_keep(&m, err), Q_OK);
    CHECK_INT(module_before("v", m.hash, &text, was, err), Q_NOTFOUND);
    put("v.md", "---\n---\ntwo\n");
    CHECK_INT(module_keep(&m, err), Q_OK);       /* kept already, and not under the text of another */
    module_free(&m);
    CHECK_INT(module_read("v", &m, err), Q_OK);
    CHECK_INT(module_before("v", m.hash, &text, was, err), Q_OK);
    CHECK_STR(was, first);
    CHECK_STR(text.p, "---\n---\none\n");
    module_free(&m);
    q_buf_clear(&text);
    CHECK_INT(module_read("poet", &m, err), Q_OK);           /* a copy of the shipped one as it is */
    CHECK_INT(module_before("poet", m.hash, &text, was, err), Q_NOTFOUND);
    module_free(&m);
    put("poet.md", "---\n---\nmine\n");
    CHECK_INT(module_read("poet", &m, err), Q_OK);
    CHECK_INT(module_before("poet", m.hash, &text, was, err), Q_OK);         /* against the shipped one */
    CHECK(strstr(text.p, "title: Poet"));
    module_free(&m);
    q_buf_free(&text);
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");       /* letters of names */
    CHECK(mkdtemp(home) != NULL);
    char *c = q_printf("%s/c", home), *d = q_printf("%s/d", home), *folder = q_printf("%s/c/quorum/modules", home), *rm = q_printf("rm -rf %s", home);
    setenv("XDG_CONFIG_HOME", c, 1);
    setenv("XDG_DATA_HOME", d, 1);
    RUN(good);
    RUN(bad);
    RUN(when);
    CHECK_INT(q_mkdirs(folder, err), Q_OK);
    RUN(files);
    RUN(most);
    RUN(versions);
    CHECK_INT(system(rm), 0);
    free(c);
    free(d);
    free(folder);
    free(rm);
    return TEST_END();
}
