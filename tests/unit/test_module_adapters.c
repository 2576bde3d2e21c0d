/* agent: the adapters that modules bring: on, off, by a rule, two modules with one file, a person's hand before them, refused ones; what is kept with an
 * answer, said by /why and shown; that an answer made with one is the answer that a loaded adapter gives, and one without it is the base's. Edits that
 * depend on a job: in the order in which they are typed. */
#include "memory/memory.h"
#include "tests/unit/agent_help.h"
#include "tests/adapter_help.h"

#include <locale.h>

static char err[Q_ERRLEN], home[] = "/tmp/quorum-modad-XXXXXX";
static agt *a;
static char *db;

static void put(const char *name, const char *text)
{
    char *path = q_printf("%s/c/quorum/modules/%s.md", home, name);
    CHECK_INT(q_write_file_atomic(path, text, strlen(text), err), Q_OK);
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

static const char *scale(void)
{
    static q_buf b;
    return agt_knob_value(a, agt_knob_named(a, "lora.scale"), &b);
}

/* What /lora lists, as JSON. */
static char *loaded(seen *s)
{
    submit(s, "/lora");
    return q_strdup(s->data ? s->data : "");
}

static bool holds(seen *s, const char *words)
{
    char *l = loaded(s);
    bool is = strstr(l, words) != NULL;
    free(l);
    return is;
}

/* The last answer's modules as they were kept. */
static void kept(const seen *s, mem_modules *made)
{
    mem_store *m = NULL;
    mem_modules_free(made);
    CHECK_INT(mem_open(db, &m, err), Q_OK);
    if (m && s->last)
        CHECK_INT(mem_modules_of(m, s->last->id, made, err), Q_OK);
    mem_close(m);
}

static void open_room(seen *s)
{
    static const char *const set[] = { "memory.on=off", "sampler.max_tokens=8", "context.length=512", "sampler.temperature=0" };
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

/* The answer to "a b" in a new conversation. */
static char *answer(seen *s, const char *question)
{
    submit(s, "/new");
    submit(s, question);
    return q_strdup(s->text.p ? s->text.p : "");
}

static void on_and_off(void)
{
    seen s = { 0 };
    mem_modules made = { 0 };
    put("calm", "---\nadapter: style.gguf=0.7\n---\n");
    open_room(&s);
    char *base = answer(&s, "a b");
    submit(&s, "/module on calm");
    CHECK_STR(scale(), "style=0.7");
    char *with = answer(&s, "a b");
    CHECK(strcmp(base, with) != 0);
    kept(&s, &made);
    CHECK(made.n == 1 && strcmp(made.v[0].adapter, "style") == 0 && strcmp(made.v[0].scale, "0.7") == 0);
    CHECK_MSG(s.last && s.last->label && strstr(s.last->label, "style"), "%s", s.last && s.last->label ? s.last->label : "");
    submit(&s, "/why");
    CHECK_MSG(s.page && strstr(s.page, "adapter style at 0.7") && s.data && strstr(s.data, "\"adapter\":\"style\",\"scale\":\"0.7\""), "%s", s.page ? s.page : "");
    submit(&s, "/module list");
    CHECK_MSG(s.page && strstr(s.page, "adapter style at 0.7"), "%s", s.page ? s.page : "");
    submit(&s, "/module off calm");
    CHECK_STR(scale(), "none");
    CHECK(holds(&s, "\"adapters\":[]"));
    char *after = answer(&s, "a b");
    CHECK_STR(after, base);
    kept(&s, &made);
    CHECK_INT(made.n, 0);
    char *line = q_printf("/lora load %s/c/quorum/modules/style.gguf=0.7", home);
    submit(&s, line);
    char *loaded_by_hand = answer(&s, "a b");
    CHECK_STR(loaded_by_hand, with);
    free(line);
    free(loaded_by_hand);
    free(base);
    free(with);
    free(after);
    mem_modules_free(&made);
    close_room(&s);
}

static void by_a_rule(void)
{
    seen s = { 0 };
    mem_modules made = { 0 };
    put("lake", "---\nwhen: lake\nadapter: style.gguf\nknobs: experts.k=2\n---\n");
    open_room(&s);
    char *base = answer(&s, "a b"), *lake = answer(&s, "a lake");
    submit(&s, "/module on lake");
    CHECK_STR(scale(), "none");
    CHECK(holds(&s, "\"adapters\":[]"));         /* not before it is wanted */
    char *again = answer(&s, "a b");
    CHECK_STR(again, base);
    char *with = answer(&s, "a lake");
    CHECK(strcmp(with, lake) != 0);
    CHECK_STR(scale(), "none");                  /* it rests, and stays loaded */
    CHECK(holds(&s, "\"name\":\"style\""));
    kept(&s, &made);
    submit(&s, "a lake");
    kept(&s, &made);
    CHECK(made.n == 1 && strcmp(made.v[0].adapter, "style") == 0 && strcmp(made.v[0].scale, "1") == 0);
    free(again);
    again = answer(&s, "a b");
    CHECK_STR(again, base);
    submit(&s, "/module off lake");
    CHECK(holds(&s, "\"adapters\":[]"));
    free(base);
    free(lake);
    free(again);
    free(with);
    mem_modules_free(&made);
    close_room(&s);
}

static void two_with_one_file(void)
{
    seen s = { 0 };
    put("calm", "---\norder: 1\nadapter: style.gguf=0.7\n---\n");
    char *text = q_printf("---\norder: 2\nadapter: %s/c/quorum/modules/../modules/style.gguf=0.3\n---\n", home);
    put("loud", text);
    free(text);
    open_room(&s);
    submit(&s, "/module on calm loud");
    SAYS("both set the scale of");
    CHECK_STR(scale(), "style=0.3");
    submit(&s, "/module off loud");
    CHECK_STR(scale(), "style=0.7");
    submit(&s, "/module on loud");
    submit(&s, "/module off calm");
    CHECK_STR(scale(), "style=0.3");
    submit(&s, "/module off all");
    CHECK_STR(scale(), "none");
    CHECK(holds(&s, "\"adapters\":[]"));
    close_room(&s);
}

static void a_hand_goes_first(void)
{
    seen s = { 0 };
    char *load = q_printf("/lora load %s/c/quorum/modules/style.gguf=0.5", home);
    put("calm", "---\nadapter: style.gguf=0.7\n---\nab\n");
    open_room(&s);
    submit(&s, load);
    submit(&s, "/module on calm");               /* what was loaded before stays */
    SAYS("is one that you loaded: it stays as it is, lora.scale style=0.5");
    CHECK_STR(scale(), "style=0.5");
    submit(&s, "a b");
    submit(&s, "/module off calm");
    CHECK_STR(scale(), "style=0.5");
    submit(&s, "/lora off style");
    submit(&s, "/module on calm");
    CHECK_STR(scale(), "style=0.7");
    submit(&s, "/lora scale style 0.2");         /* and what was turned since */
    submit(&s, "a b");
    SAYS("stays as you turned it: lora.scale style=0.2");
    CHECK_STR(scale(), "style=0.2");
    submit(&s, "a b");
    SAYS_NOT("stays as you turned it");
    submit(&s, "/module off calm");
    SAYS("stays, as you turned it; module calm is off: /lora off style takes it away");
    CHECK_STR(scale(), "style=0.2");
    submit(&s, "/lora off style");
    submit(&s, "/module on calm");
    submit(&s, "/lora off style");               /* or taken away */
    submit(&s, "a b");
    SAYS("goes on without the adapter style, which you took away");
    CHECK_STR(scale(), "none");
    submit(&s, "/module off calm");
    submit(&s, "/module on calm");
    CHECK_STR(scale(), "style=0.7");
    submit(&s, "/module off all");
    free(load);
    close_room(&s);
}

static void refused(void)
{
    seen s = { 0 };
    put("calm", "---\nadapter: nowhere.gguf\n---\nab ab\n");
    put("far", "---\nadapter: foreign.gguf\n---\ncd cd\n");
    open_room(&s);
    submit(&s, "/module on calm far");
    SAYS("module calm goes on without its adapter:");
    SAYS("nowhere.gguf");
    SAYS("module far goes on without its adapter:");
    SAYS("is for another model");
    submit(&s, "a b");
    SAYS_NOT("goes on without");                 /* said once */
    submit(&s, "/context");
    CHECK_MSG(s.page && strstr(s.page, "ab ab\n\ncd cd"), "%s", s.page ? s.page : "");
    mem_modules made = { 0 };
    submit(&s, "a b");
    kept(&s, &made);
    CHECK(made.n == 2 && !*made.v[0].adapter && !*made.v[1].scale);
    submit(&s, "/module off all");
    mem_modules_free(&made);
    close_room(&s);
}

/* What /ablate measures has the adapter, and leaves nothing loaded. */
/* It is loaded, and a scale that no adapter can have makes it act not at all: that is said, and nothing else. */
static void a_scale_that_is_none(void)
{
    seen s = { 0 };
    put("loud", "---\nadapter: style.gguf=1e9\n---\n");
    open_room(&s);
    submit(&s, "/module on loud");
    SAYS("module loud: lora.scale");
    CHECK_STR(scale(), "none");
    submit(&s, "/module off loud");
    char *line = q_printf("/lora load %s/c/quorum/modules/style.gguf=nan", home);
    submit(&s, line);
    SAYS("is loaded and does not act");
    SAYS_NOT("acts at nan");
    CHECK_STR(scale(), "none");
    submit(&s, "/lora scale style 0.5");
    CHECK_STR(scale(), "style=0.5");
    free(line);
    close_room(&s);
}

static void measured(void)
{
    seen s = { 0 };
    static const char talk[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"abc abc\"},{\"role\":\"assistant\",\"content\":\"the cat sat on the mat and looked at the rain for an hour\"}]}\n";
    char *path = q_printf("%s/talk.jsonl", home), *line = q_printf("/ablate modules calm none on %s", path);
    CHECK_INT(q_write_file_atomic(path, talk, sizeof talk - 1, err), Q_OK);
    put("calm", "---\nadapter: style.gguf\n---\n");
    put("none", "---\n---\n");
    open_room(&s);
    submit(&s, line);
    const char *none = s.data ? strstr(s.data, "\"name\":\"none\"") : NULL, *calm = s.data ? strstr(s.data, "\"name\":\"calm\"") : NULL;
    const char *of_none = none ? strstr(none, "\"dlogp\":") : NULL, *of_calm = calm ? strstr(calm, "\"dlogp\":") : NULL;
    CHECK_MSG(of_none && of_calm && strtod(of_none + 8, NULL) == 0 && fabs(strtod(of_calm + 8, NULL)) > 1e-6, "%s", s.data ? s.data : s.notes.p ? s.notes.p : "nothing");
    CHECK_STR(scale(), "none");
    CHECK(holds(&s, "\"adapters\":[]"));
    free(path);
    free(line);
    close_room(&s);
}

/* What a module did to one model goes back with it, and is done to the next one where that takes it. */
static void another_model(void)
{
    seen s = { 0 };
    put("calm", "---\nadapter: style.gguf=0.7\nknobs: experts.k=1\n---\n");
    open_room(&s);
    char *there = q_printf("/model %s", help_golden("glm4moe")), *back = q_printf("/model %s", help_golden("qwen3moe"));
    submit(&s, "/module on calm");
    CHECK_STR(scale(), "style=0.7");
    submit(&s, there);
    SAYS_NOT("still set from before");
    submit(&s, "a b");
    SAYS("module calm goes on without its adapter:");
    CHECK_STR(scale(), "none");
    q_buf b = { 0 };
    CHECK_STR(agt_knob_value(a, agt_knob_named(a, "experts.k"), &b), "1");
    submit(&s, back);
    submit(&s, "a b");
    CHECK_STR(scale(), "style=0.7");
    submit(&s, "/module off all");
    CHECK_STR(scale(), "none");
    CHECK(strcmp(agt_knob_value(a, agt_knob_named(a, "experts.k"), &b), "1") != 0);
    q_buf_free(&b);
    free(there);
    free(back);
    close_room(&s);
}

/* One line at once behind the other, as somebody who types ahead. */
static void typed(seen *s, const char *const *line, int n)
{
    seen_clear(s);
    for (int i = 0; i < n; i++)
        agt_submit(a, line[i]);
    settle(a, s);
}
#define TYPED(...) typed(&s, (const char *const[]){ __VA_ARGS__ }, (int)(sizeof (const char *const[]){ __VA_ARGS__ } / sizeof(char *)))

static void as_typed(void)
{
    seen s = { 0 };
    char *load = q_printf("/lora load %s/c/quorum/modules/style.gguf", home);
    put("calm", "---\nadapter: style.gguf=0.7\nknobs: experts.k=1\n---\n");
    open_room(&s);
    for (int i = 0; i < 5; i++) {
        TYPED(load, "/lora scale style 0.4", "/lora scale style@0 0.2");
        CHECK_INT(s.errors, 0);
        CHECK_STR(scale(), "style=0.4,style@0=0.2");
        TYPED("/lora off style", load, "/lora off style");
        CHECK_INT(s.errors, 0);
        CHECK_STR(scale(), "none");
        TYPED("tell me", load, "/set lora.scale style=0.9");
        CHECK_INT(s.errors, 0);
        CHECK_STR(scale(), "style=0.9");
        TYPED("/lora off style", "/lora scale style 0.1");
        CHECK_INT(s.errors, 1);                  /* it is gone by then */
        CHECK_STR(scale(), "none");
        TYPED("/module on calm", "/set experts.k 3", "/lora scale style 0.6", "/module off calm");
        CHECK_INT(s.errors, 0);
        q_buf b = { 0 };
        CHECK_STR(agt_knob_value(a, agt_knob_named(a, "experts.k"), &b), "3");
        CHECK_STR(scale(), "style=0.6");
        q_buf_free(&b);
        TYPED("/lora off style", "/set experts.k default");
    }
    free(load);
    close_room(&s);
}

static void files(void)
{
    char *path = q_printf("%s/c/quorum/modules", home), *style = q_printf("%s/style.gguf", path), *foreign = q_printf("%s/foreign.gguf", path);
    static const char *const of[] = { "qwen3moe", "glm4moe" };
    CHECK_INT(q_mkdirs(path, err), Q_OK);
    for (int i = 0; i < 2; i++) {
        eng_model *m = NULL;
        CHECK_MSG(eng_model_open(help_golden(of[i]), &(eng_open_opts){ .n_threads = 1, .ignore_memory = true }, &m, err) == 0, "%s", err);
        if (m)
            help_adapter_file(m, i ? foreign : style, 4);
        eng_model_free(m);
    }
    free(path);
    free(style);
    free(foreign);
}

int main(void)
{
    if (!help_model() || !help_golden("glm4moe")) {
        SKIP("module_adapters", "the golden models are not unpacked: tests/run.sh does");
        return 0;
    }
    setlocale(LC_ALL, "C.UTF-8");
    CHECK(mkdtemp(home) != NULL);
    char *c = q_printf("%s/c", home), *d = q_printf("%s/d", home), *rm = q_printf("rm -rf %s", home);
    setenv("XDG_CONFIG_HOME", c, 1);
    setenv("XDG_DATA_HOME", d, 1);
    files();
    RUN(on_and_off);
    RUN(by_a_rule);
    RUN(two_with_one_file);
    RUN(a_hand_goes_first);
    RUN(refused);
    RUN(a_scale_that_is_none);
    RUN(measured);
    RUN(another_model);
    RUN(as_typed);
    CHECK_INT(system(rm), 0);
    free(c);
    free(d);
    free(rm);
    return TEST_END();
}
