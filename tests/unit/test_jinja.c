/* Chat templates as files have them: tests/templates/cases.json has small templates with what Python's jinja2 makes of them;
 * whose each byte is; bounds; sentences with line and column. */
#include "engine/jinja/jinja.h"
#include "tests/test.h"

#include <cjson/cJSON.h>
#include <time.h>

static char err[Q_ERRLEN];

/* Noon of 27 November 2026 here, as convs.py has it. */
static int64_t the_day(void)
{
    struct tm tm = { .tm_year = 126, .tm_mon = 10, .tm_mday = 27, .tm_hour = 12, .tm_isdst = -1 };
    return (int64_t)mktime(&tm) * 1000;
}

static char *rendered(const char *tpl, jinja_in *in, q_buf *mark)
{
    jinja *j = NULL;
    q_buf out = { 0 };
    err[0] = 0;
    int rc = jinja_new(tpl, strlen(tpl), &j, err);
    if (rc == Q_OK) rc = jinja_render(j, in, &out, mark, err);
    jinja_free(j);
    if (rc == Q_OK) return q_buf_take(&out);
    CHECK(err[0] && out.len == 0);
    q_buf_free(&out);
    return NULL;
}

static void test_every_construct_as_jinja2_has_it(void)
{
    q_buf file = { 0 };
    CHECK_INT(q_read_file("tests/templates/cases.json", &file, 1 << 20, err), 0);
    cJSON *all = cJSON_Parse(file.p ? file.p : ""), *c;
    CHECK(all != NULL);
    char *messages = cJSON_PrintUnformatted(cJSON_GetObjectItem(all, "messages")), *tools = cJSON_PrintUnformatted(cJSON_GetObjectItem(all, "tools"));
    int n = 0, refused = 0;
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(all, "cases")) {
        const char *tpl = cJSON_GetArrayItem(c, 0)->valuestring, *want = cJSON_GetStringValue(cJSON_GetArrayItem(c, 1));
        jinja_in in = { .messages = messages, .n_messages = strlen(messages), .tools = tools, .n_tools = strlen(tools), .bos = "<s>", .eos = "</s>", .now = the_day(), .think = -1, .reply = true };
        char *got = rendered(tpl, &in, NULL);
        CHECK_MSG(want ? got && strcmp(got, want) == 0 : !got, "%s\n#   gives  %s\n#   wanted %s", tpl, got ? got : err, want ? want : "a refusal");
        refused += !want;
        n++;
        free(got);
    }
    printf("# %d templates, %d of them refused\n", n, refused);
    CHECK(n >= 150 && refused >= 30);
    free(messages);
    free(tools);
    cJSON_Delete(all);
    q_buf_free(&file);
}

/* What somebody wrote is Cyrillic here and the templates' words are not: every byte must be told apart, whatever was done to it. */
static void test_words_stay_whose_they_are(void)
{
    static const char *tpl[] = {
        "<{{ m }}>", "{{ m | upper }}{{ m | lower }}{{ m | title }}{{ m.capitalize() }}{{ m.swapcase() }}", "{{ m[2:5] }}{{ m[::-1] }}{{ m[0] }}{{ m | first }}{{ m | reverse }}", "{{ m | trim }}{{ m.strip('П') }}{{ m.lstrip() }}",
        "{{ m.split(' ') | join('+') }}{{ m.split() }}{{ m.rsplit(' ', 1) }}{{ m.splitlines() }}{{ m.partition(' ') }}", "{{ m.replace(' ', '_') }}{{ 'a b'.replace(' ', m) }}{{ m | replace(m[0], 'x') }}", "{{ 'a' + m + 'b' }}{{ 'a' ~ m ~ 1 }}{{ '%s|%r' % (m, m) }}{{ '{}-{x}'.format(m, x=m) }}{{ m * 2 }}",
        "{{ messages | tojson }}{{ messages }}{{ [m] | string }}{{ {m: 1} | tojson(indent=1) }}", "{% set x %}a{{ m }}b{% endset %}{{ x | indent(2, true) }}", "{% macro q(t) %}[{{ t }}]{% endmacro %}{{ q(m) }}{% filter upper %}z{{ m }}{% endfilter %}{% macro w() %}({{ caller() }}){% endmacro %}{% call w() %}c{{ m }}{% endcall %}{{ m | center(60) }}", "{{ m | list | map('upper') | join }}{% for c in m %}{{ c }}.{% endfor %}{{ m | escape }}{{ m | truncate(6, true) }}",
        "{% set n = namespace(s='') %}{% for x in messages %}{% set n.s = n.s + 'w' + x.content %}{% endfor %}{{ n.s }}{{ [m, 'a'] | sort | join }}{{ {'k': m}.k }}{{ ('x', m) | last }}",
    };
    eng_message said[] = { { ENG_USER, "Привет Мир\nЁж", 0, NULL } };
    said[0].n = strlen(said[0].text);
    eng_talk talk = { .message = said, .n = 1, .think = -1 };
    size_t theirs = 0;
    for (size_t i = 0; i < sizeof tpl / sizeof *tpl; i++) {
        jinja_in in = { .talk = &talk };
        q_buf mark = { 0 };
        char *whole = q_printf("{%% set m = messages[0].content %%}%s", tpl[i]), *got = rendered(whole, &in, &mark);
        CHECK_MSG(got != NULL, "%s: %s", tpl[i], err);
        CHECK(got && mark.len == strlen(got));
        bool right = got != NULL;
        for (size_t k = 0; got && k < mark.len && right; k++) {
            unsigned char c = (unsigned char)got[k];
            if (c >= 0x80) right = mark.p[k] == 1;
            else if (c != ' ' && c != '\n' && c != '\\' && c != 'n') right = mark.p[k] == 0;      /* blanks are either's; \n is an escape of theirs */
            theirs += mark.p[k] == 1;
        }
        CHECK_MSG(right, "%s: %s", tpl[i], got);
        free(whole);
        free(got);
        q_buf_free(&mark);
    }
    CHECK(theirs > 500);
}

static void test_escapes_are_somebodys(void)
{
    eng_message said[] = { { ENG_USER, "\"\n", 2, NULL } };
    eng_talk talk = { .message = said, .n = 1, .think = -1 };
    jinja_in in = { .talk = &talk };
    q_buf mark = { 0 };
    char *got = rendered("{{ messages[0].content | tojson }}", &in, &mark);
    CHECK_STR(got, "\"\\\"\\n\"");
    CHECK(mark.len == 6 && memcmp(mark.p, "\0\1\1\1\1\0", 6) == 0);
    free(got);
    q_buf_free(&mark);
}

static void test_calls_and_tools_of_a_talk(void)
{
    const eng_call call = { "id1", "f", "{\"b\": [1, 2.0], \"a\": \"ж\"}" };
    const eng_more more = { .call = &call, .n_call = 1, .thought = "hm", .n_thought = 2 }, answer = { .id = "id1", .name = "f" };
    const eng_message said[] = { { ENG_ASSISTANT, "", 0, &more }, { ENG_TOOL, "21", 2, &answer } };
    const eng_tool tool = { "f", "helps", "{\"type\": \"object\"}" };
    eng_talk talk = { .message = said, .n = 2, .tool = &tool, .n_tool = 1, .reply = true, .think = 1 };
    jinja_in in = { .talk = &talk };
    const char *tpl = "{% set m = messages[0] %}{{ m.tool_calls[0] | tojson }} {{ m.reasoning_content }}{{ m.thinking }} {{ messages[1] | tojson }} {{ tools | tojson }} {{ enable_thinking }}{{ add_generation_prompt }}";
    char *got = rendered(tpl, &in, NULL);
    CHECK_STR(got, "{\"id\": \"id1\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"b\": [1, 2.0], \"a\": \"ж\"}}} hmhm "
                   "{\"role\": \"tool\", \"content\": \"21\", \"tool_call_id\": \"id1\", \"name\": \"f\"} "
                   "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": \"helps\", \"parameters\": {\"type\": \"object\"}}}] TrueTrue");
    free(got);
    in.text_arguments = true;
    got = rendered("{{ messages[0].tool_calls[0].function.arguments }}", &in, NULL);
    CHECK_STR(got, call.arguments);
    free(got);
}

static void test_bounds(void)
{
    enum { STEPS = 20000, BYTES = 1 << 20 };
#define LONG "{% set s = ('a' * 1000) * 100 %}"
    static const struct { const char *tpl, *says; uint64_t steps; size_t bytes; } rows[] = {
        { "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { "{% set n = namespace(s='ab') %}{% for a in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}", "more memory than 1 MiB", 0, BYTES },
        { "{{ 'x' * 1000000000000 }}", "more memory than 1 MiB", 0, BYTES },
        { "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deeper than 500 levels", 0, 0 },
        { "{% set n = namespace(x=[]) %}{% for a in range(2000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", "deeper than 500 levels", 0, 0 },
        { "{% set n = namespace(x={}) %}{% for a in range(600) %}{% set n.x = {'a': n.x} %}{% endfor %}{{ {'b': n.x} == {'b': n.x} }}", "deeper than 500 levels", 0, 0 },
        /* what goes through a long text costs as long as that takes, not one step */
        { LONG "{% for a in range(1000) %}{% if s.count('c') %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { LONG "{% for a in range(1000) %}{% if s | length %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { LONG "{% for a in range(1000) %}{% if s.rfind('c') %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { LONG "{% for a in range(1000) %}{% if s is upper %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { LONG "{{ ([s] * 1000) | map('length') | list | length }}", "more than 20000 steps", STEPS, 0 },
        { LONG "{{ ([s] * 1000) | sort | length }}", "more than 20000 steps", STEPS, 0 },
        { LONG "{{ ([s] * 1000) | select('string') | list | length }}", "more than 20000 steps", STEPS, 0 },
        { LONG "{{ s.startswith((s ~ 'b', 'c') * 1000) }}", "more than 20000 steps", STEPS, 0 },
        { LONG "{{ s.strip('b' * 100 + 'a') | length }}", "more than 20000 steps", STEPS, 0 },
        { LONG "{{ s.rfind('a' * 30000 ~ 'b') }}", "more than 20000 steps", STEPS, 0 },
        { "{% set l = range(10000) | list %}{% for a in range(100) %}{% if -1 in l %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { "{% set l = range(10000) | list %}{% for a in range(100) %}{% if l | sum %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { "{% set l = range(10000) | list %}{% for a in range(100) %}{% if l.count(3) %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { "{% set l = range(10000) | list %}{% for a in range(100) %}{% for b in l %}{% break %}{% endfor %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { "{% set l = range(10000) | list %}{% set k = l + [] %}{% for a in range(100) %}{% if l == k %}{% endif %}{% endfor %}", "more than 20000 steps", STEPS, 0 },
        { "{{ range(1000000) }}", "more than 100000", 0, 0 }, { "{{ 'x' | center(1000000000) }}", "a million", 0, 0 },
    };
    jinja_in in = { .messages = "[]", .n_messages = 2, .think = -1 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        in.most_steps = rows[i].steps;
        in.most_bytes = rows[i].bytes;
        char *got = rendered(rows[i].tpl, &in, NULL);
        CHECK_MSG(!got && strstr(err, rows[i].says), "%s: %s", rows[i].tpl, got ? got : err);
        free(got);
    }
    q_buf deep = { 0 };
    for (int i = 0; i < 5000; i++) q_buf_puts(&deep, "{% if 1 %}");
    CHECK(!rendered(deep.p, &in, NULL) && strstr(err, "deeper than 500"));
    q_buf_clear(&deep);
    q_buf_puts(&deep, "{{ ");
    for (int i = 0; i < 5000; i++) q_buf_putc(&deep, '-');
    q_buf_puts(&deep, "1 }}");
    CHECK(!rendered(deep.p, &in, NULL) && strstr(err, "deeper than 500"));
    q_buf_clear(&deep);
    q_buf_puts(&deep, "[{\"role\": \"user\", \"content\": \"");
    for (int i = 0; i < 200000; i++) q_buf_putc(&deep, 'x');
    q_buf_puts(&deep, "\"}]");
    in.messages = deep.p;
    in.n_messages = deep.len;
    in.most_steps = STEPS;
    CHECK(!rendered("x", &in, NULL) && strstr(err, "more than 20000 steps"));
    in.most_steps = 0;
    q_buf_clear(&deep);
    for (int i = 0; i < 5000; i++) q_buf_putc(&deep, '[');
    in.messages = deep.p;
    in.n_messages = deep.len;
    CHECK(!rendered("x", &in, NULL) && strstr(err, "deeper than 500"));
    q_buf_free(&deep);
}

static void test_sentences_say_where(void)
{
    static const struct { const char *tpl, *says; } rows[] = {
        { "ab\n  {{ жук }}{{ x.y }}", "line 2, column 16: 'x' is undefined" }, { "{% include 'x' %}", "line 1, column 4: the statement 'include' is not known here" },
        { "\n{{ 1 | urlize }}", "line 2, column 8: the filter 'urlize' is not known here" }, { "{{ raise_exception('Roles must alternate\\n!') }}", "it refuses: Roles must alternate !" },
        { "{% for x in [1] %}", "endfor is expected, not the end of the template" }, { "{{ [].append(1) }}", "'append' is undefined, or changes" }, { "{{ 1 + 'a' }}", "+ between int and str has no sense" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        jinja_in in = { .messages = "[]", .n_messages = 2, .think = -1 };
        char *got = rendered(rows[i].tpl, &in, NULL);
        CHECK_MSG(!got && strstr(err, rows[i].says), "%s: %s", rows[i].tpl, got ? got : err);
        free(got);
    }
    static const char *bad[] = { "", "{", "[1,]", "[{\"role\":1}]", "{\"a\":1}", "[\"\\ud800\"]", "[\"a", "[01]", "[1e]", "[nul]", "[1] x", "[123456789012345678901234567890]" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jinja_in in = { .messages = bad[i], .n_messages = strlen(bad[i]), .think = -1 };
        char *got = rendered("x", &in, NULL);
        CHECK_MSG(!got && err[0], "%s", bad[i]);
        free(got);
    }
}

/* A line of 1.6 million bytes with 600,000 tokens: where each stands is counted on from the one before, else this takes minutes. */
static void test_one_long_line(void)
{
    q_buf b = { 0 };
    jinja_in in = { .messages = "[]", .n_messages = 2, .think = -1 };
    for (int i = 0; i < 200000; i++) q_buf_puts(&b, "{{'ж'}}");
    q_buf_puts(&b, "{{ 'a\n\nbc' ~ x.y }}");
    CHECK_MSG(!rendered(b.p, &in, NULL) && strstr(err, "line 3, column 8: 'x' is undefined"), "%s", err);
    q_buf_clear(&b);
    for (int i = 0; i < 200000; i++) q_buf_puts(&b, "{{'ж'}}");
    q_buf_puts(&b, "{{ x.y }}");
    CHECK_MSG(!rendered(b.p, &in, NULL) && strstr(err, "line 1, column 1400005: 'x' is undefined"), "%s", err);
    q_buf_free(&b);
}

int main(void)
{
    RUN(test_every_construct_as_jinja2_has_it);
    RUN(test_words_stay_whose_they_are);
    RUN(test_escapes_are_somebodys);
    RUN(test_calls_and_tools_of_a_talk);
    RUN(test_bounds);
    RUN(test_sentences_say_where);
    RUN(test_one_long_line);
    return TEST_END();
}
