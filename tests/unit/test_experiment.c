/* /experiment: one change, compared, asked about, kept or not, and its written record; records that are damaged or hostile. */
#include "agent/talk.h"
#include "engine/engine.h"
#include "lab/lab.h"
#include "tests/test.h"
#include "tests/unit/agent_help.h"

#include <math.h>
#include <sys/stat.h>

static char home[64];
static const char *const greedy[] = { "sampler.temperature=0", "sampler.max_tokens=40", "memory.on=off", "sampler.loop_stop=off" };

static const q_knob *knob(agt *a, const char *name)
{
    for (int i = 0; i < agt_knob_count(a); i++)
        if (strcmp(agt_knob(a, i)->name, name) == 0)
            return agt_knob(a, i);
    return NULL;
}

static void record_path(int number, char out[160]) { snprintf(out, 160, "%s/quorum/experiments/%d.json", home, number); }

/* The error that this line comes to. */
static void refused(agt *a, seen *s, const char *line, const char *says)
{
    int before = s->errors;
    agt_submit(a, line);
    while (s->errors == before && wait_for(a, s, AGT_EV_NOTE, 0, 60000))
        ;
    CHECK_MSG(s->errors == before + 1 && strstr(s->notes.p, says), "%s: %s", line, s->notes.p ? s->notes.p : "");
}

static void a_change_is_tried_and_kept_or_not(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    char path[160], err[Q_ERRLEN];
    q_buf v = { 0 };
    CHECK(a != NULL);
    if (!a)
        return;
    static const struct { const char *line, *says; } bad[] = { { "/experiment k=1", "no text yet" }, { "/experiment k on LICENSE", "is no change" },
        { "/experiment k=1 eps=1 on LICENSE", "tries one change" }, { "/experiment k=1,eps=1 on LICENSE", "several knobs" }, { "/experiment k=99 on LICENSE", "1 to 12" },
        { "/experiment nose=1 on LICENSE", "no knob nose" }, { "/experiment k=4 on LICENSE", "changes no probability" }, { "/experiment sampler.top_k=4 on LICENSE", "changes no probability" },
        { "/experiment show", "show NUMBER" }, { "/experiment show 7", "no experiment 7" }, { "/experiment show 4294967297", "show NUMBER" }, { "/experiment show 7x", "show NUMBER" }, { "/experiment k=1 on /nonesuch/file", "nonesuch" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(a, &s, bad[i].line, bad[i].says);
    record_path(LAB_EXPERIMENTS, path);  /* behind the last number the gaps are filled */
    char *slash = strrchr(path, '/');
    *slash = 0;
    CHECK(q_mkdirs(path, err) == 0);
    *slash = '/';
    CHECK(q_write_file_atomic(path, "{}", 2, err) == 0);
    record_path(1, path);
    CHECK(access(path, F_OK) != 0);      /* nothing was tried: nothing is written */
    agt_submit(a, "/experiment k=1 on LICENSE");
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 120000));
    CHECK_MSG(s.page && strstr(s.page, "A  experts.k 4\n") && strstr(s.page, "\nexperiment 1, written down"), "%s", s.page ? s.page : "");
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), "4");     /* nothing before the yes */
    lab_experiment e;
    CHECK(lab_experiment_read(1, &e, err) == 0 && !e.kept && e.different && strcmp(e.knob, "experts.k") == 0 && strcmp(e.value, "1") == 0 && strcmp(e.was, "4") == 0);
    CHECK(strcmp(e.on, "LICENSE") == 0 && strncmp(e.said, s.page, strlen(e.said)) == 0 && e.when_ms > 0);
    lab_experiment_free(&e);
    agt_answer(a, s.ask, true);
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), "1");
    agt_submit(a, "/experiment experts.bias=1:3=0.01,1:4=-0.01 on LICENSE");
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 120000));
    agt_answer(a, s.ask, false);
    CHECK(all_done(a, &s));
    CHECK_STR(agt_knob_value(a, knob(a, "experts.bias"), &v), "none");
    agt_submit(a, "/experiment list");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "experts.k 4 → 1  kept\n") && strstr(s.page, "experts.bias none → 1:3=0.01,1:4=-0.01  not kept\n"), "%s", s.page ? s.page : "");
    agt_submit(a, "/experiment show 2");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "baseline  {") && strstr(s.page, "\"experts.k\":\"1\"") && strstr(s.page, "KL(A,B)") && strstr(s.page, "\nnot kept\n"), "%s", s.page ? s.page : "");
    record_path(LAB_EXPERIMENTS, path);
    CHECK(remove(path) == 0);
    agt_toggle(a);                       /* what was kept is taken back like any change */
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), "4");
    q_buf_free(&v);
    seen_clear(&s);
    agt_close(a);
}

/* The record is there while it is measured, and says that it is not finished: a program that is killed leaves that. */
typedef struct half_way { int at, seen; } half_way;
static bool looks(void *user, int done, int total)
{
    half_way *h = user;
    lab_experiment *all;
    char err[Q_ERRLEN], from[160], to[160];
    int n;
    CHECK(done <= total && lab_experiment_list(&all, &n, err) == 0 && n == 1 + (h->seen > 0));
    for (int i = 0; i < n; i++)
        CHECK(all[i].unfinished && !all[i].problem && strcmp(all[i].value, "1") == 0 && strcmp(all[i].was, "4") == 0);
    if (h->seen++ == 0) {                /* what a kill would leave */
        q_buf b = { 0 };
        record_path(all[0].number, from);
        record_path(all[0].number + 7, to);
        CHECK(q_read_file(from, &b, 1 << 20, err) == 0 && q_write_file_new(to, b.p, b.len, err) == 0);
        CHECK(q_write_file_new(to, "x", 1, err) == Q_RANGE && strstr(err, "is there already"));
        q_buf_free(&b);
    }
    lab_experiments_free(all, n);
    return !h->at || h->seen < h->at;
}

static void a_record_is_there_from_the_beginning(void)
{
    char err[Q_ERRLEN], path[160];
    q_buf text = { 0 };
    eng_model *m = NULL;
    eng_cache *k = NULL;
    int rc = eng_model_open(help_model(), NULL, &m, err);
    eng_config *c = rc ? NULL : eng_config_new(m);
    rc = rc ? rc : eng_cache_new(m, c, 2, &k, err);
    rc = rc ? rc : q_read_file("LICENSE", &text, 1 << 20, err);
    CHECK_MSG(rc == 0, "%s", err);
    for (int at = 2; at >= 0 && rc == 0; at -= 2) {
        half_way h = { at, 0 };
        lab_experiment e;
        lab_trial t = { .change = "k=1", .on = "LICENSE", .model = "m" };
        int done = lab_experiment_beside(k, &t, text.p, text.len, &(lab_terms){ .window = 64, .go_on = looks, .user = &h }, &e, err);
        CHECK_MSG(done == (at ? Q_CANCEL : Q_OK) && h.seen > 1, "%d, %d: %s", at, h.seen, done ? err : "");
        record_path(1, path);
        CHECK((access(path, F_OK) == 0) == !at);         /* one that was stopped leaves none */
        lab_experiment_free(&e);
        if (!at) {
            CHECK(lab_experiment_read(1, &e, err) == 0 && !e.unfinished && *e.said);
            lab_experiment_free(&e);
        }
        unlink(path);
        record_path(8, path);
        CHECK(at == 0 || remove(path) == 0);
    }
    q_buf_free(&text);
    eng_cache_free(k);
    eng_config_free(c);
    eng_model_free(m);
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    agt_submit(a, "/experiment list");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "k 4 → 1  not finished\n"), "%s", s.page ? s.page : "");
    agt_submit(a, "/experiment show 8");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_MSG(s.page && strstr(s.page, "\nnot finished: it was cut off"), "%s", s.page ? s.page : "");
    CHECK(remove(path) == 0);
    seen_clear(&s);
    agt_close(a);
}

/* /vote: what it will cost first, then the answers and the count; the conversation stays as it was. */
static void a_vote_is_counted(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    static const struct { const char *line, *says; } bad[] = { { "/vote k=1", "QUESTION" }, { "/vote n=0 why?", "QUESTION" }, { "/vote n=65 why?", "QUESTION" }, { "/vote n=x why?", "QUESTION" },
        { "/vote k=1,2 eps=1 why?", "QUESTION" }, { "/vote k=1,,2 why?", "QUESTION" }, { "/vote k=1,2,3,4 n=20 why?", "QUESTION" }, { "/vote k=99 why?", "1 to 12" }, { "/vote nose=1 why?", "nose" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(a, &s, bad[i].line, bad[i].says);
    agt_status st;
    agt_get_status(a, &st);
    int used = st.ctx_used;
    agt_submit(a, "/vote k=1,4 n=2 what are experts? x=1");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 120000));
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "/vote: 4 answers of up to 40 tokens; k=1 reads ") && strstr(s.notes.p, "of weights in all"), "%s", s.notes.p);
    CHECK_MSG(s.page && strncmp(s.page, "what are experts? x=1\n\nk=1  ", 28) == 0 && strstr(s.page, "\nk=4  ") && strstr(s.page, "\ncost: ") && strstr(s.page, "agreement, not truth"), "%s", s.page ? s.page : "");
    agt_get_status(a, &st);
    CHECK(st.ctx_used == used && first_of(&s, AGT_EV_SENT) < 0);
    agt_submit(a, "/set sampler.seed 9007199254740991");      /* the last but one: behind the largest comes 1 */
    CHECK(all_done(a, &s));
    agt_submit(a, "/vote n=3 what are experts?");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 120000));
    CHECK_MSG(s.errors == (int)(sizeof bad / sizeof *bad), "%s", s.notes.p);
    agt_submit(a, "/set sampler.max_tokens 3000000");        /* "3e+06" as text: neither 3 tokens nor seed 2 */
    agt_submit(a, "/set sampler.seed 20000000");
    CHECK(all_done(a, &s));
    agt_submit(a, "/vote n=1 what are experts?");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 120000));
    CHECK_MSG(strstr(s.notes.p, "/vote: 1 answer of up to 256 tokens"), "%s", s.notes.p);
    CHECK(all_done(a, &s));
    CHECK_INT((int)measure_seed(a), 20000000);
    seen_clear(&s);
    agt_close(a);
}

static bool note_of_columns(const seen *s, const char *words) { return s->columns && s->columns->note && strstr(s->columns->note, words); }

/* How many tokens say how likely they are on the other side. */
static int marked(const lab_columns *c)
{
    int n = 0;
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < c->side[s].n; i++)
            n += !isnan(c->side[s].piece[i].over);
    return n;
}

/* /compare side by side: one text; both answers; blind ones, and what is chosen. */
static void two_columns_are_shown(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    CHECK(a != NULL);
    if (!a)
        return;
    static const struct { const char *line, *says; } bad[] = { { "/compare k=1 free", "no question yet" }, { "/compare free", "free [--blind]" }, { "/compare k=1 free on LICENSE", "free [--blind]" },
        { "/compare --other x --blind", "free [--blind]" }, { "/prefer 1", "no two answers" }, { "/prefer 3", "/prefer 2" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(a, &s, bad[i].line, bad[i].says);
    agt_submit(a, "what are experts?");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    agt_submit(a, "/compare k=1 k=4 on LICENSE");
    CHECK(wait_for(a, &s, AGT_EV_COLUMNS, 0, 120000));
    CHECK(s.page && strstr(s.page, "A  k=1") && s.columns && !s.columns->answers && s.columns->side[0].n > 200 && s.columns->side[0].n == s.columns->side[1].n);
    for (int i = 0; s.columns && i < s.columns->side[0].n; i++)      /* NAN: foretold by neither */
        CHECK((isnan(s.columns->side[0].piece[i].over) ? isnan(s.columns->side[1].piece[i].over) : s.columns->side[0].piece[i].over == -s.columns->side[1].piece[i].over) &&
              strcmp(s.columns->side[0].piece[i].text, s.columns->side[1].piece[i].text) == 0);
    agt_submit(a, "/compare k=1 k=4 free");
    CHECK(wait_for(a, &s, AGT_EV_COLUMNS, 0, 120000));
    CHECK(s.columns->answers && !s.columns->blind && strcmp(s.columns->side[0].name, "k=1") == 0 && s.columns->side[1].n > 3 && s.columns->first >= 0 && note_of_columns(&s, "/prefer 1"));
    CHECK(s.columns->side[0].rate > 0 && s.columns->side[0].kl > 0 && s.columns->side[0].logp < 0);
    agt_submit(a, "/prefer 2");
    CHECK(wait_for(a, &s, AGT_EV_COLUMNS, 0, 60000));
    CHECK_MSG(note_of_columns(&s, "you chose k=4 · k=1 0, k=4 1, neither 0; sign test p 1: within chance"), "%s", s.columns->note);
    refused(a, &s, "/prefer 1", "chosen from already");
    for (int i = 0; i < 5; i++) {
        agt_submit(a, "/compare k=4 k=1 --blind");
        CHECK(wait_for(a, &s, AGT_EV_COLUMNS, 0, 120000));
        CHECK(s.columns->blind && !s.columns->side[0].name && !s.columns->side[1].name && note_of_columns(&s, "which is better?"));
        CHECK_INT(marked(s.columns), 0);                 /* nor by whose tokens are the unlikelier ones */
        bool first = s.columns->side[0].bytes > s.columns->side[1].bytes;       /* k=4 reads more: the test knows, a person is not told */
        agt_submit(a, i == 4 ? "/prefer same" : first ? "/prefer 1" : "/prefer 2");
        CHECK(wait_for(a, &s, AGT_EV_COLUMNS, 0, 60000));
        CHECK(marked(s.columns) > 6);
        CHECK(!s.columns->blind && strcmp(s.columns->side[!first].name, "k=4") == 0 && strcmp(s.columns->side[first].name, "k=1") == 0);
    }
    CHECK_MSG(note_of_columns(&s, "k=1 0, k=4 5, neither 1; sign test p 0.062: within chance"), "%s", s.columns->note);
    agt_submit(a, "/prefer");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK_STR(s.page, "k=1 0, k=4 5, neither 1; sign test p 0.062: within chance\n  of these blind: k=1 0, k=4 4, neither 1; sign test p 0.12: within chance\n");
    agt_submit(a, "/compare k=4 k=4 free");
    CHECK(wait_for(a, &s, AGT_EV_COLUMNS, 0, 120000));
    CHECK(s.columns->first == -1 && note_of_columns(&s, "both answers are the same"));
    refused(a, &s, "/prefer 1", "no two answers");
    seen_clear(&s);
    agt_close(a);
}

/* A yes that comes when another model is loaded changes nothing, and the record says so too. */
static void a_yes_is_for_the_model_that_was_tried(void)
{
    seen s = { 0 };
    char err[Q_ERRLEN];
    agt *a = help_open(":memory:", 4, greedy, &s);
    q_buf v = { 0 };
    lab_experiment e, *all;
    int n = 0;
    CHECK(a != NULL);
    if (!a)
        return;
    agt_submit(a, "/experiment k=2 on LICENSE");
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 120000));
    int64_t ask = s.ask;
    CHECK(lab_experiment_list(&all, &n, err) == 0 && n > 0);
    int number = n ? all[n - 1].number : 0;
    lab_experiments_free(all, n);
    char *line = q_printf("/model %s", help_golden("glm4moe"));
    agt_submit(a, line);
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 60000) && all_done(a, &s));
    char *before = q_strdup(agt_knob_value(a, knob(a, "experts.k"), &v));
    agt_answer(a, ask, true);
    CHECK(all_done(a, &s));
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "which is not loaded now: nothing was changed"), "%s", s.notes.p ? s.notes.p : "");
    CHECK_STR(agt_knob_value(a, knob(a, "experts.k"), &v), before);
    CHECK(lab_experiment_read(number, &e, err) == 0 && !e.kept);
    lab_experiment_free(&e);
    char path[160];
    record_path(number, path);
    CHECK(remove(path) == 0);
    free(before);
    free(line);
    q_buf_free(&v);
    seen_clear(&s);
    agt_close(a);
}

static void whole_letters(void *user, const char *key, const char *value)
{
    CHECK_MSG(q_utf8_valid(key, strlen(key)), "%s", key);
    ++*(int *)user;
}

/* A side's name is cut for the store where a character ends. */
static void long_names_are_cut_between_letters(void)
{
    seen s = { 0 };
    agt *a = help_open(":memory:", 4, greedy, &s);
    CHECK(a != NULL);
    if (!a)
        return;
    q_buf line = { 0 };
    int n = 0;
    agt_submit(a, "what are experts?");
    CHECK(wait_for(a, &s, AGT_EV_DONE, 0, 60000));
    q_buf_puts(&line, "/compare k=1,sampler.stop=");
    for (int i = 0; i < 100; i++)
        q_buf_puts(&line, "ж");
    q_buf_puts(&line, " k=4 free");
    agt_submit(a, line.p);
    CHECK(wait_for(a, &s, AGT_EV_COLUMNS, 0, 120000) && all_done(a, &s));
    agt_submit(a, "/prefer 2");
    CHECK(all_done(a, &s));
    settings_each(&a->settings, "prefer.", whole_letters, &n);
    CHECK_INT(n, 1);
    q_buf_free(&line);
    seen_clear(&s);
    agt_close(a);
}

static void damaged_records_are_named(void)
{
    static const struct { const char *text, *says; } bad[] = { { "", "is no record" }, { "{", "is no record" }, { "[1]", "is no record" }, { "\xff\xfe", "is no record" }, { "{\"quorum_experiment\":1}x", "is no record" },
        { "{\"quorum_experiment\":2}", "another version" }, { "{\"quorum_experiment\":\"1\"}", "is no record" } };
    char path[160], err[Q_ERRLEN];
    lab_experiment e, *all;
    int n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        record_path((int)i + 10, path);
        CHECK(q_write_file_atomic(path, bad[i].text, strlen(bad[i].text), err) == 0);
        CHECK_MSG(lab_experiment_read((int)i + 10, &e, err) < 0 && strstr(err, bad[i].says), "%s: %s", bad[i].text, err);
        lab_experiment_free(&e);
        CHECK(lab_experiment_keep((int)i + 10, err) < 0);
    }
    record_path(20, path);
    static const char odd[] = "{\"quorum_experiment\":1,\"when\":-1e300,\"said\":5,\"result\":[],\"baseline\":7,\"knob\":{},\"kept\":\"yes\"}";
    CHECK(q_write_file_atomic(path, odd, strlen(odd), err) == 0);
    CHECK(lab_experiment_read(20, &e, err) == 0 && !e.kept && !e.different && *e.said == 0 && *e.knob == 0 && e.when_ms == 0);
    lab_experiment_free(&e);
    CHECK(lab_experiment_list(&all, &n, err) == 0 && n == 2 + (int)(sizeof bad / sizeof *bad) + 1);
    int problems = 0;
    for (int i = 0; i < n; i++)
        problems += all[i].problem != NULL;
    CHECK_INT(problems, (int)(sizeof bad / sizeof *bad));
    CHECK(all[0].number == 1 && all[n - 1].number == 20);
    lab_experiments_free(all, n);
}

static void remove_all(void)
{
    char path[160];
    for (int i = 1; i < 30; i++) {
        record_path(i, path);
        remove(path);
    }
    snprintf(path, sizeof path, "%s/quorum/experiments", home);
    CHECK(rmdir(path) == 0);
    *strrchr(path, '/') = 0;
    CHECK(rmdir(path) == 0 && rmdir(home) == 0);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    strcpy(home, "/tmp/quorum-experiment-XXXXXX");
    if (!help_model() || !mkdtemp(home)) {
        SKIP("experiment", "no golden model");
        return 0;
    }
    setenv("XDG_DATA_HOME", home, 1);
    RUN(a_record_is_there_from_the_beginning);
    RUN(a_change_is_tried_and_kept_or_not);
    RUN(a_vote_is_counted);
    RUN(two_columns_are_shown);
    RUN(a_yes_is_for_the_model_that_was_tried);
    RUN(long_names_are_cut_between_letters);
    RUN(damaged_records_are_named);
    RUN(remove_all);
    return TEST_END();
}
