/* agent: modules in a conversation: switched between two answers and by words of the question, within a budget, their knobs while they are
 * on, the file that changes or vanishes, what is kept with an answer and said by /why, and how little of a prompt is evaluated anew. */
#include "memory/memory.h"
#include "tests/unit/agent_help.h"

#include <locale.h>

static char err[Q_ERRLEN], home[] = "/tmp/quorum-modules-XXXXXX";
static agt *a;
static char *db;

static void put(const char *name, const char *text)
{
    char *path = q_printf("%s/c/quorum/modules/%s.md", home, name);
    if (text)
        CHECK_INT(q_write_file_atomic(path, text, strlen(text), err), Q_OK);
    else
        CHECK_INT(unlink(path), 0);
    free(path);
}

static void submit(seen *s, const char *text)
{
    seen_clear(s);
    agt_submit(a, text);
    settle(a, s);
}

#define SAYS(words) CHECK_MSG(s.notes.p && strstr(s.notes.p, words), "%s", s.notes.p ? s.notes.p : "nothing")
#define SAYS_NOT(words) CHECK_MSG(!s.notes.p || !strstr(s.notes.p, words), "%s", s.notes.p)

static const char *value(const char *knob)
{
    static q_buf b;
    return agt_knob_value(a, agt_knob_named(a, knob), &b);
}

/* The last answer as it was kept: tokens of its prompt, and those that were in the cache. */
static mem_stats stats(const seen *s, mem_modules *made)
{
    mem_store *m = NULL;
    mem_message x = { 0 };
    mem_stats st = { 0 };
    mem_modules_free(made);
    CHECK_INT(mem_open(db, &m, err), Q_OK);
    if (m && s->last && mem_message_get(m, s->last->id, &x, err) == Q_OK) {
        st = x.stats;
        CHECK_INT(mem_modules_of(m, s->last->id, made, err), Q_OK);
        mem_message_free(&x);
    }
    mem_close(m);
    return st;
}

static void open_room(seen *s)
{
    static const char *const set[] = { "memory.on=off", "sampler.max_tokens=2", "context.length=512", "sampler.temperature=0" };
    db = q_printf("%s/a.db", home);
    a = help_open(db, 4, set, s);
}

static void close_room(seen *s)
{
    agt_close(a);
    seen_clear(s);
    unlink_db(db);
    free(db);
}

static void knobs_act_and_go_back(void)
{
    seen s = { 0 };
    put("calm", "---\nknobs: experts.k=1, memory.min_score=0.5\n---\nab\n");
    put("lake", "---\nwhen: lake\nknobs: experts.k=2, ui.theme=light, no.knob=1\n---\ncd\n");
    open_room(&s);
    char *own = q_strdup(value("experts.k"));
    CHECK(strcmp(own, "1") != 0 && strcmp(own, "2") != 0);
    submit(&s, "/module on calm lake");
    SAYS("module calm is on");
    CHECK_STR(value("experts.k"), "1");
    CHECK_STR(value("memory.min_score"), "0.5");
    submit(&s, "a b");
    CHECK_STR(value("experts.k"), "1");
    submit(&s, "a lake");                        /* the later one's value holds, while its answer is made */
    SAYS("both set experts.k");
    SAYS("ui.theme is not for modules");
    SAYS("there is no knob no.knob");
    CHECK(s.last && s.last->label && strstr(s.last->label, "k 2"));
    CHECK_STR(value("experts.k"), "1");
    submit(&s, "/set experts.k 3");              /* what a person turned since stays */
    submit(&s, "/module off calm");
    SAYS("experts.k stays as it was turned since");
    CHECK_STR(value("experts.k"), "3");
    CHECK_STR(value("memory.min_score"), "0.3");
    submit(&s, "/set experts.k default");
    submit(&s, "a lake");
    CHECK(s.last && s.last->label && strstr(s.last->label, "k 2"));
    CHECK_STR(value("experts.k"), own);
    submit(&s, "/again experts.k=3");            /* settings that are asked for go over a module's */
    CHECK(s.last && s.last->label && strstr(s.last->label, "k 3"));
    CHECK_STR(value("experts.k"), own);
    free(own);
    submit(&s, "/module off all");
    put("both", "---\nknobs: experts.k=1, experts.k=2\n---\n");
    submit(&s, "/module on both");
    SAYS("module both sets experts.k twice: its later value holds, 2");
    CHECK_STR(value("experts.k"), "2");
    submit(&s, "/module off all");
    close_room(&s);
}

static void kept_and_said(void)
{
    seen s = { 0 };
    mem_modules made = { 0 };
    put("calm", "---\norder: 9\n---\nab ab\n");
    put("lake", "---\nwhen: lake\norder: 1\n---\ncd cd\n");
    put("none", "---\n---\n");
    open_room(&s);
    submit(&s, "/module on none lake");
    submit(&s, "/module on calm");
    int said = 0;                        /* the same number as /why has afterwards */
    const char *takes = s.notes.p ? strstr(s.notes.p, "it takes ") : NULL;
    CHECK_MSG(takes && sscanf(takes, "it takes %d tokens of every prompt", &said) == 1, "%s", s.notes.p ? s.notes.p : "");
    submit(&s, "/module on calm");
    SAYS("is on already");
    submit(&s, "in a lake");
    stats(&s, &made);
    CHECK_INT(made.n, 3);
    for (int i = 0; i < made.n; i++)             /* what words switch on stands last, whatever its order says */
        CHECK_STR(made.v[i].name, i == 0 ? "calm" : i == 1 ? "none" : "lake");
    CHECK(made.n == 3 && strlen(made.v[0].hash) == 16 && made.v[0].tokens > 2 && made.v[1].tokens == 0);
    CHECK_INT(said, made.n ? made.v[0].tokens : -1);
    submit(&s, "/why");
    CHECK_MSG(s.page && strstr(s.page, "calm (") && strstr(s.page, "lake (") && s.data && strstr(s.data, "\"modules\":[{\"name\":\"calm\",\"hash\":\""), "%s", s.page ? s.page : "");
    submit(&s, "/context");
    CHECK_MSG(s.page && strstr(s.page, "ab ab\n\ncd cd"), "%s", s.page ? s.page : "");
    put("calm", "---\norder: 9\n---\nab ba\n");
    submit(&s, "a b");
    SAYS("the file of module calm is another one");
    submit(&s, "a b");
    SAYS_NOT("another one");
    submit(&s, "/module diff calm");
    CHECK_MSG(s.page && strstr(s.page, "-ab ab") && strstr(s.page, "+ab ba"), "%s", s.page ? s.page : "");
    put("calm", NULL);
    submit(&s, "a b");
    SAYS("module calm is on, but left out: there is no module calm");
    stats(&s, &made);
    CHECK(made.n == 1 && strcmp(made.v[0].name, "none") == 0);
    submit(&s, "/module");
    CHECK(s.ui != NULL);
    submit(&s, "/module list");
    CHECK_MSG(s.page && strstr(s.page, "broken") && strstr(s.page, "by words") && s.data && strstr(s.data, "\"budget\":1024"), "%s", s.page ? s.page : "");
    put("calm", "---\n---\nab\n");
    submit(&s, "a b");                           /* it is back */
    stats(&s, &made);
    CHECK_INT(made.n, 2);
    close_room(&s);
    mem_modules_free(&made);
    open_room(&s);                               /* another store: nothing is on there */
    agt_modules l;
    agt_get_modules(a, &l);
    CHECK(l.n > 0);
    for (int i = 0; i < l.n; i++)
        CHECK(!l.v[i].on);
    agt_modules_free(&l);
    close_room(&s);
}

static void within_a_budget(void)
{
    seen s = { 0 };
    mem_modules made = { 0 };
    put("one", "---\norder: 1\n---\nabcdefgh\n");
    put("two", "---\norder: 2\n---\nabcdefghabcdefghabcdefghabcdefgh\n");
    put("three", "---\norder: 3\n---\nabcd\n");
    open_room(&s);
    submit(&s, "/module only one two three");
    submit(&s, "a");
    stats(&s, &made);
    CHECK_INT(made.n, 3);
    int all = made.n == 3 ? made.v[0].tokens + made.v[1].tokens + made.v[2].tokens : 0;
    char *line = q_printf("/set modules.budget %d", all - 1);
    submit(&s, line);
    free(line);
    submit(&s, "a");
    SAYS("left out is three (");
    stats(&s, &made);
    CHECK_INT(made.n, 2);
    submit(&s, "a");
    SAYS_NOT("left out");                        /* said once */
    submit(&s, "/module order three two one");
    SAYS("left out is one (");
    submit(&s, "a");
    stats(&s, &made);
    CHECK(made.n == 2 && strcmp(made.v[0].name, "three") == 0);
    submit(&s, "/module order default");
    submit(&s, "/set modules.budget 0");
    submit(&s, "a");
    SAYS("left out is one (");
    submit(&s, "/set modules.budget default");
    submit(&s, "/module off two one three");
    mem_modules_free(&made);
    close_room(&s);
}

/* Switching the last one evaluates what follows it and nothing before; what stands before it is found in the cache. */
static void the_prefix_stays(void)
{
    seen s = { 0 };
    mem_modules made = { 0 };
    q_buf first = { 0 };
    q_buf_puts(&first, "---\norder: 1\n---\n");
    for (int i = 0; i < 20; i++)
        q_buf_puts(&first, "abcdefgh ");
    put("long", first.p);
    put("last", "---\norder: 2\n---\nxyz\n");
    put("word", "---\nwhen: lake\n---\nuvw\n");
    open_room(&s);
    submit(&s, "/module only long last word");
    submit(&s, "a");
    int before = stats(&s, &made).prompt_tokens, whole = made.n == 2 ? made.v[0].tokens : 0;
    CHECK_MSG(whole > 60, "%d", whole);
    submit(&s, "b");
    mem_stats st = stats(&s, &made);
    CHECK_MSG(st.cached_tokens >= before - 1 && st.prompt_tokens > before, "%d of %d, %d before", st.cached_tokens, st.prompt_tokens, before);
    submit(&s, "/module off last");
    submit(&s, "c");
    st = stats(&s, &made);
    CHECK_MSG(st.cached_tokens >= whole - 2 && st.cached_tokens < before, "%d of %d, the first module has %d", st.cached_tokens, st.prompt_tokens, whole);
    int on_off = st.prompt_tokens - st.cached_tokens;
    submit(&s, "a lake");
    st = stats(&s, &made);
    CHECK_MSG(st.cached_tokens >= whole - 2, "%d of %d", st.cached_tokens, st.prompt_tokens);
    submit(&s, "/module off long");              /* what stands first costs all of it */
    submit(&s, "d");
    st = stats(&s, &made);
    CHECK_MSG(st.cached_tokens < whole / 2 && st.prompt_tokens - st.cached_tokens > 0 && on_off > 0, "%d", st.cached_tokens);
    mem_modules_free(&made);
    q_buf_free(&first);
    close_room(&s);
}

static void refused(void)
{
    seen s = { 0 };
    static const struct { const char *line, *why; } row[] = {
        { "/module on ../calm", "a module's name is up to 64" }, { "/module on nobody", "there is no module nobody" }, { "/module on torn", "no front matter" },
        { "/module what", "/module on|off|only NAME" }, { "/module on", "/module on|off|only NAME" }, { "/module off nobody", "there is no module nobody" },
        { "/module off all", "no module is on" }, { "/module new a/b", "a module's name is up to 64" }, { "/module diff torn", "no front matter" },
        { "/module on calm nobody", "there is no module nobody" }, { "/module off calm", "is off already" } };
    put("torn", "nothing");
    put("calm", "---\n---\nab\n");
    open_room(&s);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        submit(&s, row[i].line);
        CHECK_MSG(s.notes.p && strstr(s.notes.p, row[i].why), "%s: %s", row[i].line, s.notes.p ? s.notes.p : "nothing");
    }
    submit(&s, "/module on Skeptic");            /* by its title */
    SAYS("module skeptic is on");
    submit(&s, "/module edit teacher");
    CHECK_MSG(s.ui && strstr(s.ui, "/c/quorum/modules/teacher.md"), "%s", s.ui ? s.ui : "");
    char *path = q_printf("%s/c/quorum/modules/teacher.md", home);
    put("teacher", "---\ntitle: \xff\n---\n");
    seen_clear(&s);
    agt_edited(a, path);
    settle(a, &s);
    SAYS("is not UTF-8 text");
    free(path);
    put("teacher", NULL);
    close_room(&s);
}

int main(void)
{
    if (!help_model()) {
        SKIP("agent_modules", "the golden models are not unpacked: tests/run.sh does");
        return 0;
    }
    setlocale(LC_ALL, "C.UTF-8");
    CHECK(mkdtemp(home) != NULL);
    char *c = q_printf("%s/c", home), *d = q_printf("%s/d", home), *folder = q_printf("%s/c/quorum/modules", home), *rm = q_printf("rm -rf %s", home);
    setenv("XDG_CONFIG_HOME", c, 1);
    setenv("XDG_DATA_HOME", d, 1);
    CHECK_INT(q_mkdirs(folder, err), Q_OK);
    RUN(knobs_act_and_go_back);
    RUN(kept_and_said);
    RUN(within_a_budget);
    RUN(the_prefix_stays);
    RUN(refused);
    CHECK_INT(system(rm), 0);
    free(c);
    free(d);
    free(folder);
    free(rm);
    return TEST_END();
}
