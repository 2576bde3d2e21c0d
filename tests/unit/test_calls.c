/* Calls of tools as models of each format write them: recognised from the template, the same however the answer is cut, told as
 * they come; what is broken is said with its place. */
#include "engine/text/calls.h"
#include "tests/test.h"

static q_buf said;

static void on_said(void *user, enum eng_said kind, const char *p, size_t n)
{
    static const char mark[] = { [ENG_SAID_TEXT] = 'T', [ENG_SAID_CALL] = 'C', [ENG_SAID_THOUGHT] = 'H' };
    char *last = user;
    if (*last != mark[kind]) q_buf_printf(&said, "%s%c:", said.len ? "|" : "", mark[kind]);
    *last = mark[kind];
    q_buf_add(&said, p, n);
}
static void on_call(void *user, const eng_call *c)
{
    q_buf_printf(&said, "|%s(%s)%s%s", c->name, c->arguments, c->id ? "#" : "", c->id ? c->id : "");
    *(char *)user = 0;
}
static void on_bad(void *user, const char *sentence, const char *body)
{
    q_buf_printf(&said, "|BAD %s", sentence);
    *(char *)user = 0;
}

static const eng_tool TOOLS[] = {
    { "f", "", "{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}" },
};

/* The answer cut at these places (sorted), or (step > 0) into pieces of so many bytes. */
static char *heard(const char *tpl, const char *text, const size_t *cut, int n_cut, size_t step)
{
    char last = 0;
    const eng_heard h = { &last, on_said, on_call, on_bad };
    const call_format *f = calls_find(tpl, strlen(tpl));
    if (!f) return q_strdup("no format");
    eng_calls *c = calls_new(f, TOOLS, 1, &h);
    size_t n = strlen(text), at = 0;
    q_buf_clear(&said);
    for (int i = 0; i <= n_cut && !step; i++) {
        size_t to = i < n_cut ? cut[i] : n;
        char *copy = q_strndup(text + at, to - at);        /* alone: a read past it is seen */
        eng_calls_add(c, copy, to - at);
        free(copy);
        at = to;
    }
    for (; step && at < n; at += step) eng_calls_add(c, text + at, n - at < step ? n - at : step);
    eng_calls_end(c);
    eng_calls_free(c);
    return q_strdup(said.p ? said.p : "");
}

static const char HERMES[] = "x<tool_call>y", XML[] = "<tool_call>\n<function=a>\n<parameter=b>", GLM[] = "<arg_key>", MISTRAL[] = "[TOOL_CALLS]",
                  LLAMA[] = "<|start_header_id|> \"parameters\"", PYTHONIC[] = "[func_name1(params)]", HARMONY[] = "<|channel|><|message|>",
                  SEEK_R1[] = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>x\n```json", SEEK[] = "<｜tool▁call▁begin｜><｜tool▁sep｜>", KIMI[] = "<|tool_call_argument_begin|>";

static const struct { const char *tpl, *text, *want; } ROWS[] = {
    { HERMES, "Just text < and <tool.", "T:Just text < and <tool." },
    { HERMES, "See:\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"a</tool_call>}\\\"\", \"n\": 1.0}}\n</tool_call>", "T:See:\n|C:\n{\"name\": \"f\", \"arguments\": {\"s\": \"a</tool_call>}\\\"\", \"n\": 1.0}}|f({\"s\": \"a</tool_call>}\\\"\", \"n\": 1.0})" },
    { HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":{\"x\":[1,{\"y\":null}]}}</tool_call>\n\nDone", "C:{\"name\":\"f\",\"arguments\":{}}|f({})|C:{\"name\":\"g\",\"arguments\":{\"x\":[1,{\"y\":null}]}}|g({\"x\": [1, {\"y\": null}]})|T:Done" },
    { HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"s\\\": 1}\"}", "C:{\"name\":\"f\",\"arguments\":\"{\\\"s\\\": 1}\"}|f({\"s\": 1})" },
    { HERMES, "<tool_call>{\"name\":\"f\",}</tool_call>ok", "C:{\"name\":\"f\",}|BAD the call is not JSON: byte 13: a key in quotation marks is expected|T:ok" },
    { HERMES, "<tool_call>{\"name\":\"f\"</tool_call>ok", "C:{\"name\":\"f\"|BAD the call is not JSON: byte 12: \",\" or \"}\" is expected|T:ok" },
    { HERMES, "<tool_call>{\"name\":\"f", "C:{\"name\":\"f|BAD the call is not JSON: byte 11: a text has no end" },
    { HERMES, "<tool_call></tool_call>", "BAD" },
    { HERMES, "<tool_call>[1]</tool_call>", "C:[1]|BAD the call is no object: write {\"name\": ..., \"arguments\": {...}}" },
    { HERMES, "<tool_call>{\"arguments\":{}}</tool_call>", "C:{\"arguments\":{}}|BAD the call names no tool: write {\"name\": ..., \"arguments\": {...}}" },
    { HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>", "C:{\"name\":\"f\",\"arguments\":[1]}|BAD the arguments of a call are no object: write {\"name\": ..., \"arguments\": {...}}" },
    { HERMES, "```json\n{\n  \"name\": \"f\",\n  \"arguments\": {\"s\": \"```\"}\n}\n```", "C:{\n  \"name\": \"f\",\n  \"arguments\": {\"s\": \"```\"}\n}|f({\"s\": \"```\"})" },
    { HERMES, " {\"name\":\"f\",\"arguments\":{}}\n```\n{\"name\": \"f\"}\n```\nDone", "C:{\"name\":\"f\",\"arguments\":{}}|f({})|C:{\"name\": \"f\"}|f({})|T:Done" },
    { HERMES, "```json\n{\"name\": \"Anna\", \"arguments\": {}}\n```", "T:```json\n{\"name\": \"Anna\", \"arguments\": {}}\n```" },
    { HERMES, "```\n{\"name\": 5}", "T:```\n{\"name\": 5}" }, { HERMES, "``", "T:``" }, { HERMES, "```json", "T:```json" }, { HERMES, "{\"name\": \"f", "T:{\"name\": \"f" },
    { HERMES, "<tools>\n{\"name\": \"f\", \"arguments\": {\"s\": \"</tools>\"}}\n</tools>\n<tools>{\"name\": \"f\"}</tools>", "C:{\"name\": \"f\", \"arguments\": {\"s\": \"</tools>\"}}|f({\"s\": \"</tools>\"})|C:{\"name\": \"f\"}|f({})" },
    { HERMES, "<tools>{\"name\": \"Anna\"}</tools>", "T:<tools>{\"name\": \"Anna\"}</tools>" }, { HERMES, "<tool", "T:<tool" }, { HERMES, "<tools>x", "T:<tools>x" },
    { HERMES, "So:\n```json\n{\"name\": \"f\", \"arguments\": {}}\n```", "T:So:\n```json\n{\"name\": \"f\", \"arguments\": {}}\n```" },
    { XML, "I look.\n<tool_call>\n<function=f>\n<parameter=s>\n12\n</parameter>\n<parameter=n>\n12\n</parameter>\n<parameter=o>\n{\"a\": [1]}\nx\n</parameter>\n</function>\n</tool_call>", "T:I look.\n|C:\n<function=f>\n<parameter=s>\n12\n</parameter>\n<parameter=n>\n12\n</parameter>\n<parameter=o>\n{\"a\": [1]}\nx\n</parameter>\n</function>\n|f({\"s\": \"12\", \"n\": 12, \"o\": \"{\\\"a\\\": [1]}\\nx\"})" },
    { XML, "<tool_call><function=f></function></tool_call> <tool_call><function=f><parameter=s>a<b</parameter></tool_call>", "C:<function=f></function>|f({})|C:<function=f><parameter=s>a<b</parameter>|BAD the call: byte 41: <parameter= is expected" },
    { GLM, "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>5</arg_value>\n<arg_key>n</arg_key>\n<arg_value>5</arg_value>\n</tool_call>ok", "C:f\n<arg_key>s</arg_key>\n<arg_value>5</arg_value>\n<arg_key>n</arg_key>\n<arg_value>5</arg_value>\n|f({\"s\": \"5\", \"n\": 5})|T:ok" },
    { XML, "<tool_call><function=f><parameter=s>True</parameter><parameter=b>True</parameter><parameter=c>None</parameter></function></tool_call>", "C:<function=f><parameter=s>True</parameter><parameter=b>True</parameter><parameter=c>None</parameter></function>|f({\"s\": \"True\", \"b\": true, \"c\": null})" },
    { PYTHONIC, "[f(s=\"\\u0416\\ud83d\\ude00\\x41\\ud800\\q\")]", "C:[f(s=\"\\u0416\\ud83d\\ude00\\x41\\ud800\\q\")]|f({\"s\": \"Ж😀A\\\\ud800\\\\q\"})" },
    { GLM, "<tool_call>f</tool_call>", "C:f|f({})" },
    { MISTRAL, "Hm [TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"s\": \"]\"}, \"id\": \"abcdefghi\"}, {\"name\": \"g\", \"arguments\": {}}]", "T:Hm |C: [{\"name\": \"f\", \"arguments\": {\"s\": \"]\"}, \"id\": \"abcdefghi\"}, {\"name\": \"g\", \"arguments\": {}}]|f({\"s\": \"]\"})#abcdefghi|g({})" },
    { MISTRAL, "[TOOL_CALLS]f[CALL_ID]id1[ARGS]{\"s\": \"x\"}[TOOL_CALLS]g[ARGS]{}", "C:f[CALL_ID]id1[ARGS]{\"s\": \"x\"}|f({\"s\": \"x\"})#id1|C:g[ARGS]{}|g({})" },
    { LLAMA, "{\"name\": \"f\", \"parameters\": {\"s\": \"it's\"}}", "C:{\"name\": \"f\", \"parameters\": {\"s\": \"it's\"}}|f({\"s\": \"it's\"})" },
    { LLAMA, " {\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}", "C:{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}|f({})|C:{\"name\": \"g\", \"parameters\": {}}|g({})" },
    { LLAMA, "{\"city\": \"no call\"} and text", "T:{\"city\": \"no call\"} and text" },
    { LLAMA, "<|python_tag|>brave_search.call(query=\"a (b\")", "C:brave_search.call(query=\"a (b\")|brave_search({\"query\": \"a (b\"})" },
    { PYTHONIC, "[f(s='a\\'b', n=-1.5, l=[1, (2,), {'k': True}], z=None), g()]", "C:[f(s='a\\'b', n=-1.5, l=[1, (2,), {'k': True}], z=None), g()]|f({\"s\": \"a'b\", \"n\": -1.5, \"l\": [1, [2], {\"k\": true}], \"z\": null})|g({})" },
    { PYTHONIC, "[1, 2] is a list", "T:[1, 2] is a list" },
    { PYTHONIC, "[f(s=)]", "C:[f(s=)]|BAD the call: byte 6: a value is expected" },
    { HARMONY, "<|channel|>analysis<|message|>I think <b<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"s\": \"x\"}<|call|>", "H:I think <b|C:{\"s\": \"x\"}|f({\"s\": \"x\"})" },
    { HARMONY, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Привет", "H:hm|T:Привет" },
    { HARMONY, "to=functions.f<|channel|>commentary<|message|>{}", "C:{}|f({})" },
    { SEEK_R1, "I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"s\": \"```\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      "T:I look.|C:function<｜tool▁sep｜>f\n```json\n{\"s\": \"```\"}|f({\"s\": \"```\"})|C:function<｜tool▁sep｜>g\n```json\n{}|g({})" },
    { SEEK, "Hm <｜tool▁call <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"n\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "T:Hm <｜tool▁call |C:f<｜tool▁sep｜>{\"n\": 1}|f({\"n\": 1})" },
    { SEEK, "<｜tool▁call▁begin｜>f<｜tool▁sep｜>no<｜tool▁call▁end｜>ok", "C:f<｜tool▁sep｜>no|BAD what a call was given is not JSON: byte 1: a value is expected|T:ok" },
    { KIMI, "I look.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"s\": \"<|tool_call_end|>\"}<|tool_call_end|><|tool_call_begin|>functions.g:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
      "T:I look.|C:functions.f:0<|tool_call_argument_begin|>{\"s\": \"<|tool_call_end|>\"}|f({\"s\": \"<|tool_call_end|>\"})#functions.f:0|C:functions.g:1<|tool_call_argument_begin|>{}|g({})#functions.g:1" },
    { HARMONY, "<|channel|>analysis to=functions.f code<|message|>{\"s\": \"x\"}<|call|>", "C:{\"s\": \"x\"}|f({\"s\": \"x\"})" },
    { HARMONY, "<|channel|>commentary to=functions.fjson<|message|>{}<|call|>", "C:{}|f({})" },
    { HARMONY, "<|channel|>commentary to=functions.gjson<|message|>{}<|call|>", "C:{}|gjson({})" },
    { HARMONY, "<|channel|>commentary to=assistant<|channel|>commentary?<|message|>one<|end|><|start|>assistant<|channel|>analysis to=all<|message|>hm<|end|>", "T:one|H:hm" },
    { HARMONY, "<|channel|>analysis?? commentary 2?<|end|><|start|>assistant<|channel|>final<|message|>ok", "T:ok" },
    { HARMONY, "<|channel|>commentary to=functions.f ??, <|start|>assistant<|channel|>commentary<|channel|>analysis<|message|>hm<|end|>", "H:hm" },
    { HARMONY, "today is fine", "T:today is fine" }, { HARMONY, "to", "T:to" }, { HARMONY, "<|channel|>final", "" },
    { HARMONY, "<|channel|>commentary to=functions.f<|message|>{\"s\":<|call|>", "C:{\"s\":|BAD what a call was given is not JSON: byte 6: a value is expected" },
};

static void test_each_format(void)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        char *got = heard(ROWS[i].tpl, ROWS[i].text, NULL, 0, 0);
        if (strcmp(ROWS[i].want, "BAD") == 0) CHECK_MSG(strstr(got, "BAD the call is not JSON"), "%s: %s", ROWS[i].text, got);
        else CHECK_MSG(strcmp(got, ROWS[i].want) == 0, "%s\n#   gives  %s\n#   wanted %s", ROWS[i].text, got, ROWS[i].want);
        free(got);
    }
}

/* Cut in two everywhere, in three everywhere, and into pieces of every size. */
static void test_cuts_change_nothing(void)
{
    int cuts = 0;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        char *whole = heard(ROWS[i].tpl, ROWS[i].text, NULL, 0, 0);
        size_t n = strlen(ROWS[i].text), bad = 0;
        for (size_t a = 0; a <= n && bad < 3; a++)
            for (size_t b = a; b <= n && bad < 3; b++) {
                const size_t cut[] = { a, b };
                char *got = heard(ROWS[i].tpl, ROWS[i].text, cut, 2, 0);
                if (strcmp(got, whole) != 0) { bad++; CHECK_MSG(false, "cut at %zu and %zu: %s\n#   gives  %s", a, b, ROWS[i].text, got); }
                cuts++;
                free(got);
            }
        for (size_t step = 1; step < 20; step++) {
            char *got = heard(ROWS[i].tpl, ROWS[i].text, NULL, 0, step);
            CHECK_MSG(strcmp(got, whole) == 0, "pieces of %zu: %s\n#   gives  %s", step, ROWS[i].text, got);
            free(got);
        }
        free(whole);
    }
    printf("# %d cuts\n", cuts);
}

/* A call is told while it is written, not when it is whole. */
static void test_calls_come_as_they_are_written(void)
{
    char last = 0;
    const eng_heard h = { &last, on_said, on_call, on_bad };
    eng_calls *c = calls_new(calls_find(HERMES, strlen(HERMES)), TOOLS, 1, &h);
    q_buf_clear(&said);
    eng_calls_add(c, "<tool_call>{\"name\": \"f\"", 23);
    CHECK_STR(said.p, "C:{\"name\": \"f\"");
    eng_calls_add(c, ", \"arg", 6);
    CHECK_STR(said.p, "C:{\"name\": \"f\", \"arg");
    eng_calls_free(c);
}

/* Heads that never end, and blanks and bodies that take long: each byte is looked at a few times, not once for each that came before it. */
static void test_long_answers_take_work_of_their_length(void)
{
    static const struct { const char *tpl, *begin, *more, *end; } W[] = {
        { HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"s\":\"", "a b", "\"}}</tool_call>" }, { XML, "<tool_call><function=f><parameter=s>", "</tool_cal", "</parameter></function></tool_call>" },
        { GLM, "<tool_call>f<arg_key>s</arg_key><arg_value>", "\n<", "</arg_value></tool_call>" }, { MISTRAL, "[TOOL_CALLS]", "long", "[ARGS]{}" }, { MISTRAL, "[TOOL_CALLS]", " ", "[]" },
        { MISTRAL, "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{\"s\":\"", "[{", "\"}}]" }, { LLAMA, "", " \n", "{\"name\":\"f\",\"parameters\":{}}" }, { PYTHONIC, "[f(s='", "[(", "')]" }, { PYTHONIC, "", "[f(s='x')]", "" },
        { HERMES, "", "<tool_call>{\"name\":\"f\"}</tool_call>\n", "" }, { HERMES, "<tool_call>{}", " ", "" }, { HARMONY, "<|channel|>", "analysis ", "" }, { SEEK, "", "<｜tool▁calls▁begin", "" }, { KIMI, "<|tool_call_begin|>", "functions.", "" }, { SEEK, "", "<｜tool▁calls▁begin｜>", "" }, { HARMONY, "", "<|channel|>", "x" }, { HARMONY, "<|channel|>final<|message|>", "<|en", "<|end|>" }, { HARMONY, "", "  ", "" },
    };
    for (size_t i = 0; i < sizeof W / sizeof *W; i++)
        for (size_t step = 1; step < 200000; step = step == 1 ? 5 : 200000) {
            char last = 0;
            const eng_heard h = { &last, on_said, on_call, on_bad };
            eng_calls *c = calls_new(calls_find(W[i].tpl, strlen(W[i].tpl)), TOOLS, 1, &h);
            q_buf b = { 0 };
            q_buf_puts(&b, W[i].begin);
            while (b.len < 100000) q_buf_puts(&b, W[i].more);
            q_buf_puts(&b, W[i].end);
            q_buf_clear(&said);
            for (size_t at = 0; at < b.len; at += step) eng_calls_add(c, b.p + at, b.len - at < step ? b.len - at : step);
            eng_calls_end(c);
            CHECK_MSG(calls_work(c) < 128 * b.len, "%s%s in pieces of %zu: %llu bytes of work for %zu", W[i].begin, W[i].more, step, (unsigned long long)calls_work(c), b.len);
            eng_calls_free(c);
            q_buf_free(&b);
        }
}

int main(void)
{
    RUN(test_each_format);
    RUN(test_cuts_change_nothing);
    RUN(test_calls_come_as_they_are_written);
    RUN(test_long_answers_take_work_of_their_length);
    q_buf_free(&said);
    return TEST_END();
}
