/* tests/fuzz/tools: a call of a tool as a model might write it: a name, a line's end, arguments. Whatever comes in, nothing is done, what is said is a
 * sentence that steers no terminal, a path that comes of it is canonical, and no rule but a person's allows it. The same bytes as rules and as an
 * expression. */
#include "base/say.h"
#include "tests/fuzz/fuzz.h"
#include "tools/inside.h"

#include <unistd.h>

static tool_place *place;
static char folder[] = "/tmp/quorum-fuzz-tools-XXXXXX";

static bool tools_ready(void)
{
    char err[Q_ERRLEN];
    return mkdtemp(folder) && tool_place_open(folder, &place, err) == Q_OK;
}

static void tools_done(void)
{
    tool_place_close(place);
    rmdir(folder);
}

static void tools_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const seeds[] = {
        "read_file\n{\"path\":\"src/a.c\",\"from\":3,\"lines\":10}", "list_files\n{\"path\":\".\",\"depth\":2,\"name\":\"*.c\"}", "search_files\n{\"query\":\"x\",\"path\":\"..\",\"where\":\"name\"}",
        "edit_file\n{\"path\":\"n\\u0000/../.git/config\",\"text\":\"a\\u001b[31m\\n\"}", "edit_file\n{\"path\":\"a\",\"old\":\"b\",\"new\":\"c\"}", "calculate\n{\"expression\":\"(1 + 2) * 3 ^ 4 // 5\"}",
        "todo\n{\"steps\":[{\"text\":\"a\",\"state\":\"open\"},{\"text\":\"b\",\"state\":\"done\"}]}", "set_knob\n{\"name\":\"experts.k\",\"value\":\"4\"}", "memory_search\n{\"query\":\"кто\"}",
        "read,edit_file:src/*,-set_knob\n{}", "max(sqrt(2), 0x1f) - -3 % 2.5e3\n{}", "read_file\n{\"path\":\"/proc/self/../../etc/passwd\"}", "read_file\n{\"path\":\"~/.ssh/id_rsa\"}",
        "ask_person\n{\"question\":\"\\ud83d\\ude00?\"}", "compare\n{\"a\":\"k=4\",\"b\":\"k=1\"}",
        "fetch_url\n{\"url\":\"https://п\\u0440имер.example.org:8080/a?b=c#d\"}", "network:*.example.org*,-fetch_url:[::1]:81\n{}" };
    q_buf_puts(b, seeds[fuzz_below(r, sizeof seeds / sizeof *seeds)]);
}

static bool steers(const char *s, bool lines)
{
    for (size_t n = s ? strlen(s) : 0, at = 0; at < n;) {
        uint32_t cp;
        int w = q_utf8_next(s + at, n - at, &cp);
        if (q_char_kind(cp) != Q_CHAR_FINE && !(lines && (cp == '\n' || cp == '\t')))
            return true;
        at += (size_t)w;
    }
    return false;
}

static bool climbs(const char *path) { return strstr(path, "/../") || strncmp(path, "../", 3) == 0 || strcmp(path, "..") == 0 || strstr(path, "//"); }

static int call(const char *name, const char *arguments)
{
    char err[Q_ERRLEN] = "";
    tool_plan p;
    tool_rules all = { 0 }, none = { 0 };
    int rc = tool_plan_make(place, name, arguments, &p, err), out = rc == Q_OK;
    if (rc < 0 && (!*err || steers(err, false)))
        out = FUZZ_BROKEN("a sentence that is none: %d", rc);
    if (rc == Q_OK && (steers(p.title, false) || steers(p.shown, true)))
        out = FUZZ_BROKEN("what is shown steers the terminal");
    if (p.path && climbs(p.path))
        out = FUZZ_BROKEN("a path that is not canonical: %s", p.path);
    if (rc == Q_OK) {
        const tool_rules *a[] = { &all }, *n[] = { &none };
        tool_rules_add(&all, "all", err);
        if (p.row->class != TOOL_PURE && tool_judge(&p, n, 1, NULL) != TOOL_ASK)
            out = FUZZ_BROKEN("no rule allows %s, and it is not asked about", p.row->name);
        if (p.risk && p.row->class != TOOL_PURE && tool_judge(&p, a, 1, NULL) == TOOL_ALLOW)
            out = FUZZ_BROKEN("%s is risky and allowed", p.row->name);
    }
    char *title = tool_title(name, arguments);
    if (steers(title, false))
        out = FUZZ_BROKEN("a title steers the terminal");
    free(title);
    tool_rules_free(&all);
    tool_plan_free(&p);
    return out;
}

static int rules(const char *text)
{
    char err[Q_ERRLEN];
    tool_rules r = { 0 }, again = { 0 };
    int out = tool_rules_add(&r, text, err) == Q_OK;
    char *said = tool_rules_text(&r);
    if (out && tool_rules_add(&again, said, err) < 0)
        out = FUZZ_BROKEN("rules that were taken are not taken again: %s", said);
    char *twice = tool_rules_text(&again);
    if (out == 1 && strcmp(said, twice) != 0)
        out = FUZZ_BROKEN("rules became others: %s, %s", said, twice);
    free(said);
    free(twice);
    tool_rules_free(&r);
    tool_rules_free(&again);
    return out;
}

static int tools_run(const char *p, size_t n)
{
    char *text = q_strndup(p, n), *end = strchr(text, '\n'), err[Q_ERRLEN];
    q_buf number = { 0 };
    if (end)
        *end = 0;
    int out = strcmp(text, "run_command") == 0 ? 0 : call(text, end ? end + 1 : "");      /* that looks for a sandbox: tests/unit has it */
    int more = rules(text);
    calc_text(text, &number, err);
    q_buf_free(&number);
    free(text);
    return out < 0 || more < 0 ? -1 : out;
}
const fuzz_target fuzz_tools = { "tools", 20000, 1000000, tools_ready, tools_seed, tools_run, tools_done, 0 };
