/* advice/examples: forms of examples read and written: what each holds comes back as it was, what it cannot hold is told; broken files cost
 * their broken examples alone. The random conversations are the same in every run. */
#include "advice/examples.h"
#include "tests/memory_help.h"

#include <sys/stat.h>

static const char *const chat =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Weather in Oslo?\"},"
    "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"I must look.\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":\"{\\\"city\\\":\\\"Oslo\\\"}\"}}]},"
    "{\"role\":\"tool\",\"content\":\"-3\",\"tool_call_id\":\"c1\"},{\"role\":\"assistant\",\"content\":\"Minus three.\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{\"type\":\"object\"}}}]}";

static adv_example read_one(const char *json, enum adv_form as)
{
    adv_example e;
    enum adv_form was = ADV_AS_FOUND;
    OK(adv_example_read(json, strlen(json), as, &e, &was, err));
    return e;
}

static char *written(const adv_example *e, enum adv_form f, unsigned *lost)
{
    q_buf b = {0};
    OK(adv_example_write(e, f, true, &b, lost, err));
    return q_buf_take(&b);
}

static void a_chat_with_tools_is_held_by_messages_and_told_of_elsewhere(void)
{
    static const struct { enum adv_form f; unsigned lost; const char *has; } want[] = {
        { ADV_AS_MESSAGES, 0, "\"reasoning_content\":\"I must look.\"" },
        { ADV_AS_SHAREGPT, 1u << ADV_LOST_IDS | 1u << ADV_LOST_TAGS, "{\"from\":\"function_call\",\"value\":\"{\\\"name\\\":\\\"weather\\\",\\\"arguments\\\":{\\\"city\\\":\\\"Oslo\\\"}}\"}" },
        { ADV_AS_ALPACA, 1u << ADV_LOST_TOOLS | 1u << ADV_LOST_CALLS | 1u << ADV_LOST_RESULTS | 1u << ADV_LOST_JOINED | 1u << ADV_LOST_TAGS, "\"system\":\"Be brief.\"" },
        { ADV_AS_OPENCHAT, 1u << ADV_LOST_TOOLS | 1u << ADV_LOST_CALLS | 1u << ADV_LOST_RESULTS | 1u << ADV_LOST_JOINED | 1u << ADV_LOST_TAGS, "\"items\":[{\"role\":\"user\"" },
        { ADV_AS_COMPLETION, 1u << ADV_LOST_TOOLS | 1u << ADV_LOST_ROLES | 1u << ADV_LOST_TAGS, "User: Weather in Oslo?\\n\\nAssistant: " } };
    adv_example e = read_one(chat, ADV_AS_FOUND);
    CHECK_INT(e.n, 5);
    CHECK_INT(e.lost, 0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        unsigned lost = 0;
        char *line = written(&e, want[i].f, &lost);
        CHECK_MSG(lost == want[i].lost, "%s: %x, not %x", adv_form_name(want[i].f), lost, want[i].lost);
        CHECK_MSG(strstr(line ? line : "", want[i].has) != NULL, "%s: %s", adv_form_name(want[i].f), line);
        free(line);
    }
    q_buf b = {0};
    unsigned lost = 0;
    CHECK_INT(adv_example_write(&e, ADV_AS_PAIRS, true, &b, &lost, err), Q_RANGE);
    OK(adv_example_write(&e, ADV_AS_MESSAGES, false, &b, &lost, err));
    CHECK(lost == 1u << ADV_LOST_THINKING && !strstr(b.p, "look"));
    q_buf_free(&b);
    adv_example_free(&e);
}

/* What other programs write: the number of messages, the first text, the last, how many rejected. */
static void rows_of_other_programs_are_read(void)
{
    static const struct { const char *json; int n; const char *first, *last; int other; unsigned lost; } rows[] = {
        { "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}],\"id\":\"x1\"}", 2, "a", "b", 0, 1u << ADV_LOST_FIELDS },
        { "{\"conversations\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}", 2, "a", "b", 0, 0 },
        { "{\"instruction\":\"sum\",\"input\":\"1 2\",\"output\":\"3\"}", 2, "sum\n1 2", "3", 0, 0 },
        { "{\"instruction\":\"q2\",\"input\":\"\",\"output\":\"a2\",\"system\":\"s\",\"history\":[[\"q1\",\"a1\"]]}", 5, "s", "a2", 0, 0 },
        { "{\"items\":[{\"role\":\"user\",\"content\":\"a\",\"weight\":0.0},{\"role\":\"assistant\",\"content\":\"b\",\"weight\":1.0}],\"system\":\"\"}", 2, "a", "b", 0, 1u << ADV_LOST_WEIGHTS },
        { "{\"text\":\"all of it\"}", 1, "all of it", "all of it", 0, 0 },
        { "{\"prompt\":\"a\",\"completion\":\"b\"}", 2, "a", "b", 0, 0 },
        { "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", 2, "a", "b", 1, 0 },
        { "{\"chosen\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"c\"}]}", 2, "a", "b", 1, 0 },
        { "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"}],\"chosen\":{\"from\":\"gpt\",\"value\":\"b\"},\"rejected\":{\"from\":\"gpt\",\"value\":\"c\"}}", 2, "a", "b", 1, 0 },
        { "{\"system\":\"s\",\"question\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", 3, "s", "b", 1, 0 },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]},{\"role\":\"assistant\",\"content\":\"<think>\\nhm\\n</think>\\n\\nb\"}]}", 2, "a", "b", 0, 1u << ADV_LOST_PARTS },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        adv_example e = read_one(rows[i].json, ADV_AS_FOUND);
        CHECK_MSG(e.n == rows[i].n && e.n_other == rows[i].other && e.lost == rows[i].lost, "%s: %d %d %x", rows[i].json, e.n, e.n_other, e.lost);
        if (e.n) CHECK_STR(e.v[0].text, rows[i].first);
        if (e.n) CHECK_STR(e.v[e.n - 1].text, rows[i].last);
        if (e.n_other) CHECK_STR(e.other[0].text, "c");
        if (e.n_other) CHECK_INT(e.from, e.n - 1);
        adv_example_free(&e);
    }
}

static void what_is_no_example_says_why(void)
{
    static const struct { const char *json, *why; } rows[] = {
        { "", "no JSON" }, { "{\"messages\":[", "no JSON" }, { "[1]", "no JSON object" }, { "{\"a\":1,\"b\":2}", "fields (a, b)" }, { "{\"messages\":[]}", "no message" },
        { "{\"messages\":[{\"role\":\"wizard\",\"content\":\"a\"}]}", "\"wizard\"" }, { "{\"messages\":[{\"content\":\"a\"}]}", "whose it is" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", "no text" }, { "{\"text\":\"a\\u0000b\"}", "character 0" }, { "{\"text\":\"\xff\"}", "UTF-8" },
        { "{\"text\":\"\\ud800\"}", "no JSON" }, { "{\"instruction\":\"a\",\"output\":3}", "output is no text" }, { "{\"conversations\":[{\"from\":\"function_call\",\"value\":\"x\"}]}", "function_call" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":\"{\"}", "definitions" }, { "{\"prompt\":\"a\",\"chosen\":[],\"rejected\":\"c\"}", "no answer" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[{\"name\":\"f\"}]}]}", "only an assistant" },
        { "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":[{\"id\":\"f\"}]}]}", "has no name" }, { "{\"text\":\"a\"} {\"text\":\"b\"}", "no JSON" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        adv_example e;
        int rc = adv_example_read(rows[i].json, strlen(rows[i].json), ADV_AS_FOUND, &e, NULL, err);
        CHECK_MSG(rc == Q_FORMAT && strstr(err, rows[i].why), "%s: %d %s", rows[i].json, rc, err);
    }
    adv_example e;
    CHECK_INT(adv_example_read("{\"text\":\"a\"}", 12, ADV_AS_ALPACA, &e, NULL, err), Q_FORMAT);
    CHECK(strstr(err, "completion, not alpaca") != NULL);
    const char *escaped = "{\"text\":\"a\\\\u0000b\"}";
    OK(adv_example_read(escaped, strlen(escaped), ADV_AS_FOUND, &e, NULL, err));       /* a backslash, then letters */
    adv_example_free(&e);
    char *deep = q_alloc(4000);
    strcpy(deep, "{\"text\":\"a\",\"x\":");
    memset(deep + strlen(deep), '[', 3000);
    CHECK_INT(adv_example_read(deep, strlen(deep), ADV_AS_FOUND, &e, NULL, err), Q_FORMAT);
    CHECK(strstr(err, "nested") != NULL);
    free(deep);
}

/* ---- random conversations ---- */
static uint64_t seed[4] = { 13, 5, 8, 21 };
static int below(int n) { return (int)(q_random(seed) % (uint64_t)n); }

static void random_text(q_buf *b, int least)
{
    static const char *const piece[] = { "a", " ", "\n", "\"", "\\", "ж", "ё", "😀", "\t", "</s>", "{\"x\":1}", "\x01", "\x7f", "\u2028", "\u202e", "User: ", "0", "мир", "</think>", "\\u0000", "<", "\r\n" };
    q_buf_clear(b);
    q_buf_puts(b, "");
    for (int n = least + below(12); n > 0; n--) q_buf_puts(b, piece[below((int)(sizeof piece / sizeof *piece))]);
}

static void random_answer(adv_example *e, bool other, bool tools, q_buf *b)
{
    random_text(b, 1);
    q_buf_puts(b, b->p[strspn(b->p, " \t\r\n")] ? "" : "a");      /* an answer of nothing is none */
    adv_said *s = adv_example_add(e, ADV_SAYS_ASSISTANT, b->p, b->len, other);
    if (below(3) == 0) {
        random_text(b, 1);
        for (char *p; (p = strstr(b->p, "</think>")) != NULL;) memcpy(p, "<think!>", 8);      /* it would end there, in a form that has only tags */
        free(s->thinking);
        s->thinking = q_printf("t%st", b->p);
    }
    if (!tools || below(3)) return;
    s->n_use = 1 + below(2);
    s->use = q_alloc(sizeof *s->use * 2);
    for (int i = 0; i < s->n_use; i++) s->use[i] = (adv_use){ q_printf("id%d", below(100)), q_strdup(below(2) ? "look" : "найти"), q_strdup(below(2) ? "{\"a\":[1,\"ж\"]}" : "not { json") };
}

static adv_example random_chat(bool tools, bool pair)
{
    adv_example e = {0};
    q_buf b = {0};
    if (below(2)) random_text(&b, 1), adv_example_add(&e, ADV_SAYS_SYSTEM, b.p, b.len, false);
    for (int i = 0, n = 1 + below(4); i < n; i++) {
        random_text(&b, 1);
        adv_example_add(&e, ADV_SAYS_USER, b.p, b.len, false);
        if (pair && i == n - 1) e.from = e.n;
        random_answer(&e, false, tools, &b);
        if (e.v[e.n - 1].n_use && !(pair && i == n - 1)) {
            random_text(&b, 0);
            adv_said *s = adv_example_add(&e, ADV_SAYS_TOOL, b.p, b.len, false);
            free(s->answers);
            s->answers = q_strdup(e.v[e.n - 2].use[0].id);
            random_answer(&e, false, false, &b);
        }
    }
    if (pair) random_answer(&e, true, tools, &b);
    if (tools && below(2)) e.tools = q_strdup("[{\"type\":\"function\",\"function\":{\"name\":\"look\"}}]");
    q_buf_free(&b);
    return e;
}

/* A text that begins as thinking does would be read as it: none of these begins so. What a form holds comes back; what it loses, it says. */
static void what_a_form_holds_comes_back(void)
{
    for (int round = 0; round < 3000; round++) {
        enum adv_form f = (enum adv_form)(round % ADV_FORMS);
        bool pair = f == ADV_AS_PAIRS, tools = f == ADV_AS_MESSAGES || f == ADV_AS_SHAREGPT || pair;
        adv_example e = random_chat(tools, pair), back = {0};
        enum adv_form was;
        unsigned lost = 0, again = 0;
        if (f == ADV_AS_COMPLETION) {
            adv_example text = { .bare = true };
            char *some = q_printf("a%s", e.v[0].text);
            adv_example_add(&text, ADV_SAYS_ASSISTANT, some, strlen(some), false);
            free(some);
            adv_example_free(&e);
            e = text;
        }
        char *line = written(&e, f, &lost), *line2 = NULL;
        int rc = line ? adv_example_read(line, strlen(line), ADV_AS_FOUND, &back, &was, err) : Q_ERR;
        CHECK_MSG(rc == Q_OK && was == f, "%s: %s", rc == Q_OK ? adv_form_name(was) : err, line);
        if (rc == Q_OK) line2 = written(&back, f, &again);
        CHECK_MSG(line2 && strcmp(line, line2) == 0, "%s\n%s", line, line2 ? line2 : "");
        if (!(lost & ~(1u << ADV_LOST_TAGS))) CHECK_MSG(adv_example_same(&e, &back), "%s", line);
        CHECK_MSG(!strchr(line ? line : "", '\n'), "%s", line);
        CHECK_MSG(!(lost & ~(1u << ADV_LOST_TAGS | 1u << ADV_LOST_IDS)), "%s: %x", adv_form_name(f), lost);
        free(line);
        free(line2);
        adv_example_free(&e);
        adv_example_free(&back);
        if (test_bad) return;
    }
}

/* ---- files ---- */
static void put(const char *name, const char *text) { OK(q_write_file_atomic(file(name), text, strlen(text), err)); }

static adv_tally convert(const char *in, const char *out, enum adv_form to, int want)
{
    char *from = q_strdup(file(in)), *into = q_strdup(file(out));
    const char *paths[] = { from };
    adv_convert c = { .from = ADV_AS_FOUND, .to = to };
    adv_tally t;
    int rc = adv_convert_files(paths, 1, into, &c, &t, err);
    CHECK_MSG(rc == want, "%d %s", rc, rc ? err : "");
    free(from);
    free(into);
    return t;
}

static void a_pipe_is_not_replaced(void)
{
    struct stat st;
    put("pair.jsonl", "{\"text\":\"one\"}\n");
    char *from = q_strdup(file("pair.jsonl")), *into = q_strdup(file("pipe"));
    const char *paths[] = { from };
    adv_convert c = { .from = ADV_AS_FOUND, .to = ADV_AS_COMPLETION, .force = true };
    adv_tally t;
    CHECK(mkfifo(into, 0600) == 0 && adv_convert_files(paths, 1, into, &c, &t, err) == Q_RANGE && strstr(err, "no ordinary file"));
    CHECK(lstat(into, &st) == 0 && S_ISFIFO(st.st_mode));
    unlink(into);
    free(from);
    free(into);
}

/* What a form leaves out is no answer: an empty one would be learnt. */
static void an_answer_that_is_left_out_is_none(void)
{
    static const char call[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"\"},"
                               "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}]}";
    static const char thought[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\"}]}";
    for (int f = 0; f < ADV_FORMS; f++)
        for (int i = 0; i < 3; i++) {
            const char *text = i ? thought : call;
            adv_example e;
            q_buf line = { 0 };
            unsigned lost;
            OK(adv_example_read(text, strlen(text), ADV_AS_FOUND, &e, NULL, err));
            int rc = adv_example_write(&e, (enum adv_form)f, i < 2, &line, &lost, err);
            bool held = f != ADV_AS_PAIRS && (i == 0 ? f != ADV_AS_ALPACA && f != ADV_AS_OPENCHAT : i == 1);
            CHECK_MSG(rc == (held ? Q_OK : Q_RANGE), "%s %d: %d %s", adv_form_name((enum adv_form)f), i, rc, rc ? err : line.p);
            adv_example_free(&e);
            q_buf_free(&line);
        }
}

static void broken_examples_cost_themselves_alone(void)
{
    put("lines.jsonl", "\xEF\xBB\xBF{\"text\":\"one\"}\n\n{\"text\":\"two\"\n{\"text\":\"\xC3(\"}\r\n{\"text\":\"five\"}\r\n{\"nothing\":1}\n{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}\n{\"text\":\"last\"}");
    adv_tally t = convert("lines.jsonl", "out1.jsonl", ADV_AS_COMPLETION, Q_OK);
    CHECK_INT(t.read, 4);
    CHECK_INT(t.written, 3);
    CHECK_INT(t.broken, 3);
    CHECK_INT(t.unfit, 1);
    CHECK(t.n_why == 4 && strstr(t.why[0], "lines.jsonl:3: it is no JSON") && strstr(t.why[1], ":4: it is no UTF-8") && strstr(t.why[2], ":6: its fields (nothing)") && strstr(t.why[3], ":7: it holds no answer"));
    q_buf b = {0};
    adv_tally_say(&t, &b);
    CHECK(strstr(b.p, "4 examples were read (messages: 1, completion: 3), 3 were written") && strstr(b.p, "3 examples are broken"));
    q_buf_clear(&b);
    OK(q_read_file(file("out1.jsonl"), &b, 1 << 20, err));
    CHECK_STR(b.p, "{\"text\":\"one\"}\n{\"text\":\"five\"}\n{\"text\":\"last\"}\n");
    struct stat st;
    CHECK(stat(file("out1.jsonl"), &st) == 0 && (st.st_mode & 0777) == 0600);
    adv_tally_free(&t);
    q_buf_free(&b);
    put("array.json", " [\n {\"text\": \"one, [two] {three\"},\n {\"text\": \"br\noken}, {\"a\": [}, 7 ,\n\n {\n  \"text\":\"four \\\" ]\"\n }\n] ");
    t = convert("array.json", "out2.jsonl", ADV_AS_COMPLETION, Q_OK);
    CHECK_INT(t.read, 2);
    CHECK_INT(t.broken, 3);
    CHECK(t.n_why == 3 && strstr(t.why[0], "array.json:3: it is no JSON") && strstr(t.why[1], "array.json:4: it is no JSON") && strstr(t.why[2], "array.json:4: it is no JSON object"));
    adv_tally_free(&t);
}

static void nothing_is_left_where_nothing_is_written(void)
{
    put("none.jsonl", "\n\n");
    adv_tally t = convert("none.jsonl", "out3.jsonl", ADV_AS_MESSAGES, Q_FORMAT);
    adv_tally_free(&t);
    t = convert("nonesuch.jsonl", "out3.jsonl", ADV_AS_MESSAGES, Q_IO);
    adv_tally_free(&t);
    put("text.jsonl", "{\"text\":\"a\"}\n");
    t = convert("text.jsonl", "out3.jsonl", ADV_AS_PAIRS, Q_FORMAT);
    CHECK(strstr(err, "no rejected answer") != NULL);
    adv_tally_free(&t);
    put("there.jsonl", "kept");
    t = convert("text.jsonl", "there.jsonl", ADV_AS_MESSAGES, Q_RANGE);
    adv_tally_free(&t);
    q_buf b = {0};
    OK(q_read_file(file("there.jsonl"), &b, 100, err));
    CHECK_STR(b.p, "kept");
    q_buf_free(&b);
    CHECK(access(file("out3.jsonl"), F_OK) != 0);
    char *ls = q_printf("ls '%s' | grep -c part > /dev/null", dir);
    CHECK(system(ls) != 0);
    free(ls);
    enum adv_form f;
    OK(adv_form_of(file("text.jsonl"), &f, err));
    CHECK_INT(f, ADV_AS_COMPLETION);
    CHECK_INT(adv_form_of(file("none.jsonl"), &f, err), Q_FORMAT);
    CHECK_INT(adv_form_of(dir, &f, err), Q_IO);
    CHECK_INT(adv_form_named("csv", &f, err), Q_NOTFOUND);
    CHECK(strstr(err, "sharegpt") != NULL);
}

/* A model that learns from an empty answer learns to say nothing. */
static void an_answer_of_nothing_is_none(void)
{
    static const struct { const char *json; int rc; } rows[] = {
        { "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"\"}]}", Q_RANGE }, { "{\"instruction\":\"a\",\"output\":\" \\n\"}", Q_RANGE },
        { "{\"text\":\"\"}", Q_RANGE }, { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"name\":\"f\"}]}]}", Q_OK },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"b\"}]}", Q_OK } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        adv_example e = read_one(rows[i].json, ADV_AS_FOUND);
        unsigned lost;
        q_buf line = {0};
        int rc = adv_example_write(&e, ADV_AS_MESSAGES, true, &line, &lost, err);
        CHECK_MSG(rc == rows[i].rc && (rc == Q_OK || strstr(err, "no answer")), "%s: %d %s", rows[i].json, rc, err);
        q_buf_free(&line);
        adv_example_free(&e);
    }
}

static void a_long_message_comes_whole(void)
{
    size_t n = 2 << 20;
    char *text = q_alloc(n + 1);
    for (size_t i = 0; i + 3 < n; i += 4) memcpy(text + i, i % 64 ? "ж\"\\" : "\x01\n\t ", 4);
    adv_example e = {0};
    adv_example_add(&e, ADV_SAYS_USER, "q", 1, false);
    adv_example_add(&e, ADV_SAYS_ASSISTANT, text, strlen(text), false);
    for (int f = 0; f < ADV_AS_COMPLETION; f++) {
        unsigned lost;
        char *line = written(&e, (enum adv_form)f, &lost);
        adv_example back = read_one(line, (enum adv_form)f);
        CHECK(adv_example_same(&e, &back));
        adv_example_free(&back);
        free(line);
    }
    adv_example_free(&e);
    free(text);
}

int main(void)
{
    if (!memory_begin("examples")) return 1;
    RUN(a_chat_with_tools_is_held_by_messages_and_told_of_elsewhere);
    RUN(rows_of_other_programs_are_read);
    RUN(what_is_no_example_says_why);
    RUN(what_a_form_holds_comes_back);
    RUN(a_pipe_is_not_replaced);
    RUN(an_answer_that_is_left_out_is_none);
    RUN(broken_examples_cost_themselves_alone);
    RUN(nothing_is_left_where_nothing_is_written);
    RUN(an_answer_of_nothing_is_none);
    RUN(a_long_message_comes_whole);
    return memory_end();
}
