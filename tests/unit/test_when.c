/* rag: a question that says when something was said, or by whom, is searched among that; where nothing of it fits all is searched, and
 * either way it is said. The clock is Thursday, 2026-11-26, 15:00, in UTC. */
#include "rag/rag.h"
#include "tests/test.h"

#include <time.h>

static char err[Q_ERRLEN];
#define OK(call) do { err[0] = 0; int rc_ = (call); CHECK_MSG(rc_ == Q_OK, "%d %s", rc_, err); } while (0)

static int64_t at(int y, int m, int d, int hour)
{
    struct tm tm = {.tm_year = y - 1900, .tm_mon = m - 1, .tm_mday = d, .tm_hour = hour};
    return (int64_t)timegm(&tm) * 1000;
}

static mem_store *open_new(void)
{
    mem_store *s = NULL;
    if (mem_open(":memory:", &s, err) != Q_OK) { printf("not ok open: %s\n", err); exit(1); }
    return s;
}

static void said(mem_store *s, enum mem_role role, const char *author, int64_t when, const char *text)
{
    int64_t c, leaf;
    OK(mem_conversation_new(s, "talk", &c, err));
    OK(mem_turns_add(s, c, 0, &(mem_turn){role, author, text, strlen(text), when}, 1, &leaf, err));
}

static void note(mem_store *s, const char *name, const char *text)
{
    int64_t id;
    OK(rag_add_text(s, name, name, MEM_TRUST_OWN, text, strlen(text), &id, err));
}

static rag_scope scope(void) { return (rag_scope){.budget = -1, .now_ms = at(2026, 11, 26, 15)}; }

static rag_result *ask(mem_store *s, const rag_config *c, const char *q, const rag_scope *of)
{
    rag_config def = rag_config_default();
    rag_scope plain = scope();
    rag_result *r;
    OK(rag_search(s, c ? c : &def, q, of ? of : &plain, &r, err));
    return r;
}

/* ---- the phrases ---- */
static void times_are_read_in_both_languages(void)
{
    static const struct { const char *q, *from, *to; } t[] = {      /* from "": no time; to "": open */
        {"What did I say yesterday?", "2026-11-25", "2026-11-26"}, {"что я говорил вчера?", "2026-11-25", "2026-11-26"},
        {"What did I say the day before yesterday?", "2026-11-24", "2026-11-25"}, {"Что я говорила позавчера", "2026-11-24", "2026-11-25"},
        {"What did I say last week about the boiler?", "2026-11-16", "2026-11-23"}, {"Что я говорил на прошлой неделе про котёл?", "2026-11-16", "2026-11-23"},
        {"What did I say this week?", "2026-11-23", "2026-11-30"}, {"что я сказал на этой неделе", "2026-11-23", "2026-11-30"},
        {"What did we discuss last month?", "2026-10-01", "2026-11-01"}, {"О чём мы говорили в прошлом месяце?", "2026-10-01", "2026-11-01"},
        {"What did we discuss last year?", "2025-01-01", "2026-01-01"}, {"что мы обсуждали в прошлом году", "2025-01-01", "2026-01-01"},
        {"What did I tell you 3 days ago?", "2026-11-23", "2026-11-24"}, {"Что я тебе говорил 3 дня назад?", "2026-11-23", "2026-11-24"}, {"что я говорил три дня назад", "2026-11-23", "2026-11-24"},
        {"What did I say two weeks ago?", "2026-11-09", "2026-11-16"}, {"Что я говорил две недели назад?", "2026-11-09", "2026-11-16"}, {"что я говорил неделю назад", "2026-11-16", "2026-11-23"},
        {"What did I say a month ago?", "2026-10-01", "2026-11-01"}, {"Что я говорил год назад?", "2025-01-01", "2026-01-01"}, {"What did I say a couple of days ago?", "2026-11-24", "2026-11-25"},
        {"что я говорил пару дней назад?", "2026-11-24", "2026-11-25"},
        {"What did I say in March?", "2026-03-01", "2026-04-01"}, {"Что я говорил в марте?", "2026-03-01", "2026-04-01"}, {"что я говорил в декабре?", "2025-12-01", "2026-01-01"},
        {"What did I say in March 2024?", "2024-03-01", "2024-04-01"}, {"Что я говорил в мае 2023 года?", "2023-05-01", "2023-06-01"},
        {"What did I say on 5 March?", "2026-03-05", "2026-03-06"}, {"What did I say on March 5, 2024?", "2024-03-05", "2024-03-06"}, {"Что я говорил 27 ноября?", "2025-11-27", "2025-11-28"},
        {"Что я говорил 5 марта 2024 года?", "2024-03-05", "2024-03-06"}, {"What did I say in 2024?", "2024-01-01", "2025-01-01"}, {"Что я говорил в 2024 году?", "2024-01-01", "2025-01-01"},
        {"What did I say in the last two weeks?", "2026-11-12", "2026-11-27"}, {"Что я говорил за последние 2 недели?", "2026-11-12", "2026-11-27"}, {"что я говорил за последнюю неделю?", "2026-11-19", "2026-11-27"},
        {"What did I say last Monday?", "2026-11-23", "2026-11-24"}, {"Что я говорил в прошлый четверг?", "2026-11-19", "2026-11-20"}, {"What did I say on Wednesday?", "2026-11-25", "2026-11-26"},
        {"What did I say today?", "2026-11-26", "2026-11-27"}, {"что я говорил сегодня?", "2026-11-26", "2026-11-27"},
        {"What did I say on 29 February?", "2024-02-29", "2024-03-01"}, {"Что я говорил 29 февраля 2025 года?", "", ""}, {"What did I say on 31 February?", "", ""}, {"что я говорил 31 июня?", "", ""},
        /* of something that was: told then or later */
        {"What did I plant last week?", "2026-11-16", ""}, {"Что я сажал вчера?", "2026-11-25", ""}, {"Where was I 3 days ago?", "2026-11-23", ""},
        /* no time, or no question about what was */
        {"What may I plant in May?", "", ""}, {"What shall I cook today?", "", ""}, {"что приготовить сегодня?", "", ""}, {"How much is 5 march hares?", "", ""}, {"Who won in 1998?", "", ""},
        {"Is this week long enough?", "", ""}, {"I told my boss yesterday that the boiler broke.", "", ""}, {"How do I say thanks in Greek?", "", ""}, {"", "", ""}, {"0 days ago?", "2026-11-26", ""},
        {"99999999999 days ago?", "", ""}, {"Что было 66 миллионов лет назад?", "", ""}, {"? ? ?", "", ""},
    };
    mem_store *s = open_new();
    said(s, MEM_USER, NULL, at(2020, 1, 1, 0), "Nothing of it.");
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_result *r = ask(s, NULL, t[i].q, NULL);
        const rag_narrowed *x = &r->narrowed;
        int y, m, d;
        int64_t from = sscanf(t[i].from, "%d-%d-%d", &y, &m, &d) == 3 ? at(y, m, d, 0) : 0, to = sscanf(t[i].to, "%d-%d-%d", &y, &m, &d) == 3 ? at(y, m, d, 0) : 0;
        CHECK_MSG(x->from_ms == from && x->to_ms == to, "\"%s\": %lld to %lld, not %lld to %lld", t[i].q, (long long)x->from_ms / 86400000, (long long)x->to_ms / 86400000,
                  (long long)from / 86400000, (long long)to / 86400000);
        rag_result_free(r);
    }
    mem_close(s);
}

static void a_month_back_ends_with_its_month(void)
{
    static const struct { int y, m, d; const char *q; int from[3]; } t[] = {
        {2026, 3, 31, "What did I say in the last 1 month?", {2026, 2, 28}}, {2024, 3, 31, "что я говорил за последний месяц?", {2024, 2, 29}},
        {2026, 1, 31, "What did I say in the last 2 months?", {2025, 11, 30}}, {2026, 1, 31, "What did I say in the last 14 months?", {2024, 11, 30}},
        {2024, 2, 29, "What did I say in the last 1 year?", {2023, 2, 28}}, {2026, 3, 30, "What did I say in the last 3 months?", {2025, 12, 30}}};
    mem_store *s = open_new();
    said(s, MEM_USER, NULL, at(2020, 1, 1, 0), "Nothing of it.");
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_scope then = {.budget = -1, .now_ms = at(t[i].y, t[i].m, t[i].d, 15)};
        rag_result *r = ask(s, NULL, t[i].q, &then);
        int64_t from = at(t[i].from[0], t[i].from[1], t[i].from[2], 0);
        CHECK_MSG(r->narrowed.from_ms == from, "\"%s\": %lld, not %lld", t[i].q, (long long)r->narrowed.from_ms / 86400000, (long long)from / 86400000);
        rag_result_free(r);
    }
    mem_close(s);
}

/* ---- what comes in ---- */
static void what_was_said_then_comes_in_alone(void)
{
    static const struct { const char *q, *want; } t[] = {
        {"What did I say about the boiler last week?", "The boiler was mended on Tuesday."}, {"What did I say about the boiler in March?", "The boiler is loud again."},
        {"What did I tell you about the boiler yesterday?", "The boiler leaks a little."}, {"Did I mention the boiler 3 days ago?", "The boiler is blue now."},
        {"What did I ask about the boiler?", "How old is the boiler?"},
    };
    mem_store *s = open_new();
    said(s, MEM_USER, NULL, at(2026, 3, 10, 9), "The boiler is loud again.");
    said(s, MEM_USER, NULL, at(2026, 11, 18, 9), "The boiler was mended on Tuesday.");
    said(s, MEM_USER, NULL, at(2026, 11, 23, 23), "The boiler is blue now.");
    said(s, MEM_USER, NULL, at(2026, 11, 25, 9), "The boiler leaks a little.");
    said(s, MEM_USER, NULL, at(2026, 2, 25, 9), "How old is the boiler?");
    said(s, MEM_ASSISTANT, NULL, at(2026, 11, 18, 9), "A boiler, a boiler, the boiler hums.");
    note(s, "boiler.md", "# Boiler\n\nThe boiler is a Vaillant, and the boiler was built in 1998.\n");
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_result *r = ask(s, NULL, t[i].q, NULL);
        CHECK_MSG(r->n == 1 && r->n_fed == 1 && strcmp(r->v[0].text, t[i].want) == 0, "\"%s\": %d, %s", t[i].q, r->n, r->n ? r->v[0].text : "");
        CHECK(r->narrowed.on && !r->narrowed.all);
        rag_result_free(r);
    }
    rag_result *r = ask(s, NULL, "What did I write about the boiler?", NULL);      /* that may be a note */
    CHECK(r->n == 5 && strcmp(r->v[0].label, "boiler.md § Boiler") == 0);
    rag_result_free(r);
    r = ask(s, NULL, "Что я говорил про boiler вчера?", NULL);
    CHECK(r->n == 1 && strcmp(r->v[0].text, "The boiler leaks a little.") == 0);
    rag_result_free(r);
    r = ask(s, NULL, "How loud was the boiler last week?", NULL);                   /* told since then, and documents */
    for (int i = 0; i < r->n; i++) CHECK_MSG(strcmp(r->v[i].text, "The boiler is loud again.") != 0, "%d", i);
    CHECK(r->n == 5 && r->narrowed.on && !r->narrowed.all && strstr(r->narrowed.words, "narrowed to documents and what was said, since 2026-11-16") != NULL);
    rag_result_free(r);
    mem_close(s);
}

/* "What did I say yesterday?" looks for no word: all of it, the newest first, where it is little beside the rest. */
static void a_question_without_a_subject_is_answered_by_all_of_it(void)
{
    mem_store *s = open_new();
    char *text;
    for (int i = 0; i < 30; i++) {
        text = q_printf("Something about %d hedgehogs.", i);
        said(s, MEM_USER, NULL, at(2026, 1, 1 + i % 28, 9), text);
        free(text);
    }
    said(s, MEM_USER, NULL, at(2026, 11, 25, 9), "The boiler leaks.");
    said(s, MEM_USER, NULL, at(2026, 11, 25, 10), "Shall I call the plumber?");
    rag_result *r = ask(s, NULL, "What did I say yesterday?", NULL);
    CHECK_INT(r->n_fed, 2);
    CHECK(r->n == 2 && strcmp(r->v[0].text, "Shall I call the plumber?") == 0 && strcmp(r->v[1].text, "The boiler leaks.") == 0);
    q_buf b = {0};
    rag_explain(r, &b);
    CHECK_MSG(strstr(b.p, "narrowed to what you said, on 2026-11-25\n") && strstr(b.p, "how new 1.0") && strstr(b.p, "say"), "%s", b.p);
    rag_result_free(r);
    r = ask(s, NULL, "What did I say in January?", NULL);       /* nothing particular: as good as all there is */
    CHECK(r->narrowed.on);
    rag_result_free(r);
    q_buf_free(&b);
    mem_close(s);
}

static void a_model_is_asked_for_only_where_its_answers_are_fed(void)
{
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    said(s, MEM_USER, NULL, at(2026, 11, 25, 9), "The boiler leaks.");
    said(s, MEM_ASSISTANT, NULL, at(2026, 11, 25, 9), "For the boiler I recommend a plumber.");
    rag_result *r = ask(s, &c, "What did you recommend for the boiler yesterday?", NULL);
    CHECK(!r->narrowed.on && r->narrowed.words && strstr(r->narrowed.words, "memory.answers is off"));
    CHECK(r->n == 2 && r->n_answers == 1 && r->n_fed == 1);
    rag_result_free(r);
    c.answers = true;
    for (int i = 0; i < 2; i++) {
        r = ask(s, &c, i ? "Что ты советовал вчера про boiler?" : "What did you recommend for the boiler yesterday?", NULL);
        CHECK(r->narrowed.on && r->n == 1 && r->v[0].trust == MEM_TRUST_MODEL && r->n_fed == 1);
        rag_result_free(r);
    }
    mem_close(s);
}

/* Nothing of it fits: all is searched, with the question's words as ever, and that is said. */
static void nothing_is_lost_where_nothing_fits(void)
{
    static const char *const q[] = {"What did I say about the boiler last week?", "Что я говорил на прошлой неделе: boiler?", "When did the boiler leak yesterday?"};
    mem_store *s = open_new();
    said(s, MEM_USER, NULL, at(2026, 3, 10, 9), "The boiler leaks in winter.");
    said(s, MEM_USER, NULL, at(2026, 11, 18, 9), "Cheese for the picnic.");
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        rag_result *r = ask(s, NULL, q[i], NULL);
        q_buf why = {0};
        rag_explain(r, &why);
        CHECK_MSG(r->n_fed == 1 && strcmp(r->v[0].text, "The boiler leaks in winter.") == 0, "%s: %s", q[i], why.p);
        q_buf_free(&why);
        CHECK_MSG(r->narrowed.all && strstr(r->narrowed.words, ": nothing there fits, so all was searched"), "%s", r->narrowed.words);
        char *json = rag_explain_json(r, q[i]);
        CHECK_MSG(strstr(json, "\"narrowed\":{\"narrowed\":false,\"all\":true,\"from_ms\":") != NULL, "%s", json);
        free(json);
        rag_result_free(r);
    }
    mem_close(s);
}

/* ---- what the caller asks for ---- */
static void options_keep_to_what_they_say(void)
{
    mem_store *s = open_new();
    said(s, MEM_USER, NULL, at(2026, 3, 10, 9), "The boiler leaks again.");
    said(s, MEM_USER, "Ada Lovelace", at(2026, 11, 18, 9), "My boiler is quiet.");
    said(s, MEM_USER, "Борис", at(2026, 11, 19, 9), "Boiler? What boiler.");
    said(s, MEM_ASSISTANT, NULL, at(2026, 11, 20, 9), "A boiler heats.");
    note(s, "boiler.md", "The boiler is a Vaillant.");
    static const struct { const char *since, *until, *by; int n; const char *words; } t[] = {
        {NULL, NULL, "me", 2, "narrowed to what you said or wrote"}, {NULL, NULL, "model", 1, "narrowed to what a model answered"}, {NULL, NULL, "ada", 1, "narrowed to what ada said"},
        {NULL, NULL, "борис", 1, "said"}, {NULL, NULL, "lovelace ADA", 1, "said"}, {NULL, NULL, "Cleo", 0, "narrowed to what Cleo said: nothing there fits"}, {NULL, "2026-11-18", NULL, 2, "until 2026-11-18"},
        {"2026-11-18", "2026-11-19", NULL, 2, "from 2026-11-18 to 2026-11-19"}, {"19.11.2026", "2026-11-19", NULL, 1, "on 2026-11-19"}, {"2026-11-18", "2026-11-20", "model", 1, "answered"},
        {"2021-01-01", "2021-12-31", NULL, 0, ": nothing there fits"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rag_scope of = scope();
        if (t[i].since) OK(rag_scope_set(&of, "since", t[i].since, err));
        if (t[i].until) OK(rag_scope_set(&of, "until", t[i].until, err));
        if (t[i].by) OK(rag_scope_set(&of, "by", t[i].by, err));
        rag_result *r = ask(s, NULL, "boiler", &of);
        CHECK_MSG(r->n == t[i].n && r->narrowed.on && strstr(r->narrowed.words, t[i].words), "%d: %d, %s", (int)i, r->n, r->narrowed.words);
        rag_result_free(r);
    }
    rag_scope of = scope();
    CHECK_INT(rag_scope_set(&of, "since", "2026-02-30", err), Q_RANGE);
    CHECK_INT(rag_scope_set(&of, "by", "  ", err), Q_RANGE);
    CHECK_INT(rag_scope_set(&of, "mode", "x", err), Q_NOTFOUND);
    OK(rag_scope_set(&of, "since", "yesterday", err));
    CHECK_INT(of.since_ms, at(2026, 11, 25, 0));
    CHECK_INT(rag_scope_set(&of, "until", "2026-11-01", err), Q_RANGE);
    of = scope();
    OK(rag_scope_set(&of, "since", "2026-11-19", err));
    rag_result *r = ask(s, NULL, "", &of);                       /* no words: the newest first */
    CHECK(r->n == 2 && r->v[0].trust == MEM_TRUST_OWN && strcmp(r->v[0].text, "Boiler? What boiler.") == 0);
    rag_result_free(r);
    of = scope();
    of.whole = true;                                             /* a text, no question */
    r = ask(s, NULL, "What did I say about the boiler last week?", &of);
    CHECK(!r->narrowed.on && !r->narrowed.words && r->n > 2);
    rag_result_free(r);
    mem_close(s);
}

/* With chats off there is nothing to narrow to. */
static void without_chats_nothing_is_narrowed(void)
{
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    c.chats = false;
    note(s, "boiler.md", "The boiler is a Vaillant.");
    rag_result *r = ask(s, &c, "What did I say about the boiler last week?", NULL);
    CHECK(!r->narrowed.on && r->n == 1);
    rag_result_free(r);
    mem_close(s);
}

int main(void)
{
    setenv("TZ", "UTC0", 1);
    tzset();
    RUN(times_are_read_in_both_languages);
    RUN(a_month_back_ends_with_its_month);
    RUN(what_was_said_then_comes_in_alone);
    RUN(a_question_without_a_subject_is_answered_by_all_of_it);
    RUN(a_model_is_asked_for_only_where_its_answers_are_fed);
    RUN(nothing_is_lost_where_nothing_fits);
    RUN(options_keep_to_what_they_say);
    RUN(without_chats_nothing_is_narrowed);
    return TEST_END();
}
