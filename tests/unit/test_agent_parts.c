/* agent: the parts that need no model: commands, slips, completion, the queue. */
#include "agent/room.h"
#include "agent/view.h"
#include "tests/test.h"

#include <sys/wait.h>
#include <unistd.h>

static uint64_t state = 88172645463325252ull;
static unsigned rnd(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

static void names_are_short(void)
{
    static const struct { const char *full; bool carved; const char *brief; } row[] = {
        { "SmolLM2-135M-Instruct carved 1024+16x32", true, "SmolLM2 carved" },
        { "SmolLM2-135M-Instruct", false, "SmolLM2 135M" },
        { "Qwen3-30B-A3B-Instruct-2507", false, "Qwen3 30B A3B" },
        { "gemma-2-9b-it", false, "gemma 2 9b" },
        { "Instruct", false, "Instruct" },
        { "Абвгдежзийклмнопрстуфхцчшщ-1", false, "Абвгдежзийклмнопрстуфхц…" },
        { "", false, "" } };
    char out[96];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        view_model_name(row[i].full, row[i].carved, out, sizeof out);
        CHECK_STR(out, row[i].brief);
    }
}

static void slips_and_distances(void)
{
    char *s = layout_to_latin("ыуе"), *c = layout_to_cyrillic("ghbdtn");
    CHECK_STR(s, "set");
    CHECK_STR(c, "привет");
    free(s);
    free(c);
    CHECK_INT(q_utf8_distance("recompte", "recompute"), 1);
    CHECK_INT(q_utf8_distance("снвоа", "снова"), 1);
    CHECK_INT(q_utf8_distance("", "abc"), 3);
    int n;
    const agt_command *t = agt_commands(&n);
    for (int i = 0; i < n; i++) {        /* names are told apart in both languages, and every row is filled */
        CHECK(t[i].name && t[i].ru && t[i].help && *t[i].help && t[i].args);
        for (int j = 0; j < i; j++)
            CHECK_MSG(strcmp(t[i].name, t[j].name) && strcmp(t[i].ru, t[j].ru), "%s and %s", t[i].name, t[j].name);
    }
}

static bool offered(agt *a, const char *line, const char *want, size_t *start)
{
    int n;
    bool hit = false;
    char **v = agt_completions(a, line, strlen(line), start, &n);
    for (int i = 0; i < n; i++) {
        hit |= strcmp(v[i], want) == 0;
        free(v[i]);
    }
    free(v);
    return hit;
}

static void completion(void)
{
    char err[Q_ERRLEN];
    agt *a;
    agt_options o = { .db = ":memory:" };
    size_t start;
    CHECK_INT(agt_open(&o, &a, err), 0);
    CHECK(offered(a, "/se", "/set", &start) && start == 0);
    CHECK(offered(a, "/зад", "/задать", &start));
    CHECK(offered(a, "/set exp", "experts.k ", &start) && start == 5);
    CHECK(offered(a, "/set num_ex", "num_experts_per_tok ", &start));
    CHECK(offered(a, "/set rope.scaling ya", "yarn", &start) && start == 18);
    CHECK(offered(a, "/set ui.motion ", "off", &start));
    CHECK(offered(a, "/again experts.k=1 samp", "sampler.temperature=", &start));
    CHECK(offered(a, "/again kv.type=q", "q8_0", &start) && start == 15);
    CHECK(offered(a, "/add agent/agent.", "agent/agent.h", &start));
    CHECK(!offered(a, "set exp", "experts.k ", &start));
    agt_close(a);
}

/* A producer far ahead of the reader waits; nothing is lost or reordered; progress is folded. */
static void *produce(void *user)
{
    evq *q = user;
    for (int i = 1; i <= 5000; i++) {
        agt_event e = { .kind = AGT_EV_TOKEN, .number = i, .text = q_printf("%d", i) };
        evq_push(q, &e);
        agt_event p = { .kind = AGT_EV_PREFILL, .done = i, .total = 5000 };
        evq_push(q, &p);
        agt_event p2 = { .kind = AGT_EV_PREFILL, .done = i, .total = 5000 };
        evq_push(q, &p2);
    }
    agt_event e = { .kind = AGT_EV_DONE };
    evq_push(q, &e);
    return NULL;
}

static void queue_is_bounded_and_whole(void)
{
    char err[Q_ERRLEN];
    evq q;
    pthread_t t;
    CHECK_INT(evq_open(&q, err), 0);
    CHECK(pthread_create(&t, NULL, produce, &q) == 0);
    usleep(50000);
    pthread_mutex_lock(&q.mu);
    CHECK_MSG(q.n <= EVQ_MAX, "%d events wait", q.n);
    pthread_mutex_unlock(&q.mu);
    int next = 1, extra = 0;
    for (bool end = false; !end;) {
        agt_event e;
        if (!evq_pop(&q, &e)) {
            usleep(200);
            continue;
        }
        if (e.kind == AGT_EV_TOKEN) {
            CHECK_INT(e.number, next);
            next++;
        }
        extra += e.kind == AGT_EV_PREFILL;
        end = e.kind == AGT_EV_DONE;
        agt_event_free(&e);
    }
    CHECK_INT(next, 5001);
    CHECK(extra <= 10000 && extra >= 1);
    pthread_join(t, NULL);
    evq_close(&q);
}

/* By the beginning, then by a part, then by slips; names of config.json too; and nothing wild. */
static void wrong_words_and_what_they_mean(void)
{
    static const struct { const char *typed, *meant; } knob[] = { { "temp", "sampler.temperature" }, { "temperatur", "sampler.temperature" },
        { "sampler.temprature", "sampler.temperature" }, { "penalty", "sampler.repeat_penalty" }, { "num_experts", "experts.k" },
        { "num_experts_per_tokn", "experts.k" }, { "rope_thet", "rope.theta" }, { "budget", "memory.budget" }, { "min_scor", "memory.min_score" },
        { "theme", "ui.theme" }, { "qqqqqq", NULL }, { "foo", NULL }, { "ж", NULL }, { "щщщщщщ", NULL }, { "x", NULL } };
    static const struct { const char *typed, *meant; } command[] = { { "/dele", "/delete?" }, { "/recompte", "/recompute?" }, { "/mem", "/memory?" },
        { "/foo", "/help lists" }, { "/выхд", "/quit?" }, { "/zz", "/help lists" }, { "/screensht x", "/screenshot?" } };
    char err[Q_ERRLEN];
    settings s = { 0 };
    settings_open(&s);
    for (size_t i = 0; i < sizeof knob / sizeof *knob; i++) {
        int n = settings_nearest(&s, knob[i].typed);
        const char *got = n < 0 ? "nothing" : s.knob[n]->name, *want = knob[i].meant ? knob[i].meant : "nothing";
        CHECK_MSG(strcmp(got, want) == 0, "%s means %s, not %s", knob[i].typed, want, got);
    }
    /* what stands behind the point is enough where one knob alone ends so; what the weights fix has to be named whole */
    static const struct { const char *typed, *is; } tail[] = { { "k", "experts.k" }, { "theta", "rope.theta" }, { "Top_P", "sampler.top_p" },
        { "max_passages", "memory.max_passages" }, { "temperature", "sampler.temperature" }, { "min_p", "sampler.min_p" }, { "layers", NULL }, { "", NULL } };
    for (size_t i = 0; i < sizeof tail / sizeof *tail; i++) {
        int n = settings_find(&s, tail[i].typed);
        const char *got = n < 0 ? "nothing" : s.knob[n]->name, *want = tail[i].is ? tail[i].is : "nothing";
        CHECK_MSG(strcmp(got, want) == 0, "%s is %s, not %s", tail[i].typed, want, got);
    }
    settings_close(&s);
    agt *a;
    agt_options o = { .db = ":memory:" };
    CHECK_INT(agt_open(&o, &a, err), 0);
    for (size_t i = 0; i < sizeof command / sizeof *command; i++) {
        agt_submit(a, command[i].typed);
        bool found = false;
        agt_event e;
        while (evq_pop(&a->events, &e)) {        /* said in this very thread, so it is there */
            found |= e.kind == AGT_EV_NOTE && strstr(e.text, "there is no command") && strstr(e.text, command[i].meant);
            agt_event_free(&e);
        }
        CHECK_MSG(found, "%s did not lead to %s", command[i].typed, command[i].meant);
    }
    agt_close(a);
}

/* Any bytes in config.ini: sentences at most, no crash, no unknown assignment. */
static void config_ini_of_any_bytes(void)
{
    static const char good[] = "; a comment\n[set]\nexperts.k = 4\n[sampler]\ntemperature = 0.5 ; half\n[ui]\ntheme = light\npace = 5\n"
                               "[memory]\nmin_score = .4\n";
    settings s = { 0 };
    settings_open(&s);
    for (int round = 0; round < 3000; round++) {
        q_buf t = { 0 };
        strings notes = { 0 };
        q_buf_puts(&t, good);
        for (unsigned m = round ? rnd(12) : 0; m > 0; m--)
            switch (rnd(3)) {
            case 0: t.p[rnd((unsigned)t.len)] = (char)rnd(256); break;
            case 1: t.len = 1 + rnd((unsigned)t.len); t.p[t.len] = 0; break;
            default: for (unsigned i = rnd(400); i > 0; i--) q_buf_putc(&t, (char)rnd(256));
            }
        settings_parse_ini(&s, "config.ini", &t, &notes);
        if (round == 0) {
            q_buf v = { 0 };
            CHECK_INT(notes.n, 0);
            CHECK_INT(s.ini.n, 2);
            CHECK(s.ini.n == 2 && strcmp(s.ini.v[0], "experts.k=4") == 0 && strcmp(s.ini.v[1], "sampler.temperature=0.5") == 0);
            CHECK_STR(settings_value(&s, "ui.theme", &v), "light");
            q_buf_free(&v);
        }
        for (int i = 0; i < s.ini.n; i++) {
            char *name = q_strndup(s.ini.v[i], strcspn(s.ini.v[i], "="));
            CHECK(settings_find(&s, name) >= 0);
            free(name);
        }
        strings_free(&s.ini);
        strings_free(&notes);
        q_buf_free(&t);
    }
    settings_close(&s);
}

/* A section whose name does not end gives nothing to the one above it, which may be a server with a key. */
static void a_torn_section_gives_nothing_to_another(void)
{
    static const struct { const char *head; int torn; } row[] = { { "[ui", 1 }, { "[", 1 }, { "[ui ; dark]", 1 }, { "[ui] ; dark", 0 }, { "[ui;]", 0 }, { "[ui]", 0 } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        settings s = { 0 };
        q_buf t = { 0 }, v = { 0 };
        strings notes = { 0 };
        settings_open(&s);
        q_buf_printf(&t, "[sampler]\ntemperature = 0.5\n%s\ntemperature = 0.9\n theme = light\n[sampler]\ntop_k = 7\n", row[i].head);
        settings_parse_ini(&s, "config.ini", &t, &notes);
        CHECK_MSG(s.ini.n == 2 && strcmp(s.ini.v[0], "sampler.temperature=0.5") == 0 && strcmp(s.ini.v[1], "sampler.top_k=7") == 0, "%s: %d values, %s", row[i].head, s.ini.n,
                  s.ini.n ? s.ini.v[s.ini.n - 1] : "");
        CHECK_MSG(notes.n > 0 && (strstr(notes.v[0], "line 3: the section's name has no ]") != NULL) == row[i].torn, "%s: %s", row[i].head, notes.n ? notes.v[0] : "nothing said");
        strings_free(&notes);
        q_buf_free(&t);
        q_buf_free(&v);
        settings_close(&s);
    }
}

/* --set of one knob twice: the last one holds and is the only one; another name of the same knob is the same knob. */
static void the_last_set_holds(void)
{
    static const char *const set[] = { "experts.k=1", "temperature=1", "experts.k=3", "sampler.temperature=0.5" };
    char err[Q_ERRLEN] = "";
    agt *a = NULL;
    agt_options o = { .db = ":memory:", .set = set, .n_set = 4 };
    CHECK_INT(agt_open(&o, &a, err), 0);
    if (!a)
        return;
    CHECK_INT(a->settings.set.n, 2);
    CHECK_STR(a->settings.set.v[0], "experts.k=3");
    CHECK_STR(a->settings.set.v[1], "sampler.temperature=0.5");
    agt_close(a);
}

/* An answer that a hard end of quorum cut off, maybe before its first word, is not called stopped. */
static void an_end_that_nobody_asked_for_is_said(void)
{
    static const struct { enum mem_status status; char *finish; enum agt_cut cut; } row[] = {
        { MEM_STOPPED, "interrupted", AGT_CUT_KILLED }, { MEM_STOPPED, "stopped", AGT_WHOLE }, { MEM_DONE, "interrupted", AGT_WHOLE },
        { MEM_DONE, "loop", AGT_CUT_LOOP }, { MEM_STOPPED, "loop", AGT_WHOLE } };
    char err[Q_ERRLEN];
    mem_store *s = NULL;
    CHECK_INT(mem_open(":memory:", &s, err), 0);
    for (size_t i = 0; s && i < sizeof row / sizeof *row; i++) {
        agt_message o;
        mem_message m = { .id = 1, .role = MEM_ASSISTANT, .status = row[i].status, .finish = row[i].finish, .text = "", .thinking = "", .model = "" };
        view_message(s, &m, &o);
        CHECK_INT(o.cut, row[i].cut);
        agt_message_free(&o);
    }
    mem_close(s);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    RUN(names_are_short);
    RUN(a_torn_section_gives_nothing_to_another);
    RUN(the_last_set_holds);
    RUN(slips_and_distances);
    RUN(completion);
    RUN(wrong_words_and_what_they_mean);
    RUN(queue_is_bounded_and_whole);
    RUN(config_ini_of_any_bytes);
    RUN(an_end_that_nobody_asked_for_is_said);
    return TEST_END();
}
