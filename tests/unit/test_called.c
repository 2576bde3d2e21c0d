/* Calls that a grammar writes and calls that are heard, in each format: whatever a walk over the grammar of some tools writes is heard as a call of one of
 * them, however it looks, and its arguments are what its schema allows. Seeds are fixed. */
#include "engine/grammar.h"
#include "engine/text/calls.h"
#include "tests/grammar_walk.h"
#include "tests/test.h"
#include "tools/tools.h"

static char err[Q_ERRLEN];

static const struct { const char *format, *tpl, *begin; } FORMATS[] = {
    { "Hermes", "<tool_call>", "<tool_call>" }, { "Qwen3-Coder", "<tool_call><function=<parameter=", "I look.\n<tool_call>" }, { "GLM-4.5", "<tool_call><arg_key>", "<tool_call>" },
    { "Llama 3", "<|start_header_id|>parameters", "<|python_tag|>" }, { "Llama 3", "<|start_header_id|>parameters", "{\"name\":" }, { "Llama 4 pythonic", "[func_name1(", "<|python_start|>" },
    { "Llama 4 pythonic", "[func_name1(", " [g(" }, { "Mistral", "[TOOL_CALLS]", "[TOOL_CALLS]" }, { "harmony", "<|channel|><|message|>", "<|channel|>commentary to=functions." },
    { "DeepSeek R1", "<｜tool▁call▁begin｜>```json", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>" }, { "DeepSeek V3.1", "<｜tool▁call▁begin｜>", "<｜tool▁call▁begin｜>" },
    { "Kimi K2", "<|tool_call_argument_begin|>", "<|tool_calls_section_begin|><|tool_call_begin|>" },
};

static const eng_tool TOOLS[] = {
    { "read_file", "", "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"minLength\":1},\"from\":{\"type\":\"integer\",\"minimum\":1},\"all\":{\"type\":\"boolean\"}},\"required\":[\"path\"],\"additionalProperties\":false}" },
    { "g", "", "{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"},\"kind\":{\"type\":\"string\",\"enum\":[\"a</b\",\"12\",\"true\",\"Ж\\n\"]},\"p\":{\"type\":\"string\",\"pattern\":\"^[</a-c>]{2,5}$\"}},"
                "\"required\":[\"kind\",\"p\"],\"additionalProperties\":false}" },
    { "deep.er", "", "{\"type\":\"object\",\"properties\":{\"list\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":3},\"o\":{\"type\":\"object\",\"properties\":{\"k</v\":{\"type\":[\"null\",\"string\"],\"maxLength\":9}}},"
                "\"e\":{\"enum\":[\"</x\",null,false,2,[\"</arg_value>\"]]}},\"required\":[\"list\",\"o\",\"e\"],\"additionalProperties\":false}" },
    { "open", "", "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"number\",\"minimum\":-2,\"maximum\":9.5}}}" },
    { "typed", "", "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\",\"maxLength\":6},\"maxProperties\":4}" },
    { "some", "", "{\"$defs\":{\"w\":{\"type\":\"string\",\"maxLength\":4}},\"type\":\"object\",\"anyOf\":[{\"properties\":{\"x\":{\"$ref\":\"#/$defs/w\"},\"y\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":5}},\"required\":[\"x\"]},{\"required\":[\"z\"]}],"
                "\"properties\":{\"y\":{\"type\":\"string\"},\"z\":{\"type\":\"string\",\"format\":\"date\"}},\"additionalProperties\":true}" },
};
enum { N_TOOLS = sizeof TOOLS / sizeof *TOOLS };
static eng_grammar *schema[N_TOOLS];

typedef struct ear { int calls, bad, wrong; char why[300]; } ear;
static void on_call(void *user, const eng_call *c)
{
    ear *e = user;
    e->calls++;
    for (int i = 0; i < N_TOOLS; i++)
        if (strcmp(TOOLS[i].name, c->name) == 0 && eng_grammar_accepts(schema[i], c->arguments, strlen(c->arguments))) return;
    e->wrong++;
    snprintf(e->why, sizeof e->why, "%s(%s)", c->name, c->arguments);
}
static void on_bad(void *user, const char *sentence, const char *body)
{
    ear *e = user;
    e->bad++;
    snprintf(e->why, sizeof e->why, "%s", sentence);
}

static eng_grammar *grammar_of_calls(const char *format)
{
    eng_grammar_rule rule[N_TOOLS];
    eng_grammar *g = NULL;
    for (int i = 0; i < N_TOOLS; i++) rule[i] = (eng_grammar_rule){ TOOLS[i].name, TOOLS[i].schema };
    CHECK_MSG(eng_grammar_calls(format, rule, N_TOOLS, &g, err) == Q_OK, "%s: %s", format, err);
    return g;
}

/* One call: the beginning as it stands, then a walk until it is whole. Control tokens become their names, as they are heard. */
static void write_call(stacks *s, const char *begin, uint64_t seed, size_t soon, q_buf *out)
{
    uint32_t at = stacks_begin(s);
    q_buf_clear(out);
    q_buf_puts(out, begin);
    for (const char *p = begin; *p; p++) at = stacks_step(s, at, (uint8_t)*p);
    CHECK_MSG(at != STACKS_DEAD, "%s does not begin a call", begin);
    for (int b; !stacks_may_end(s, at) && (b = walk_byte(s, at, &seed, out->len > soon)) >= 0 && out->len < WALK_MOST;) {
        if (b != FORM_TOKEN && b != FORM_TOKEN_END) q_buf_putc(out, (char)b);
        at = stacks_step(s, at, (uint8_t)b);
    }
    CHECK(stacks_may_end(s, at));
}

static void test_what_is_written_is_heard_and_fits(void)
{
    int calls = 0;
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        eng_grammar *g = grammar_of_calls(FORMATS[i].format);
        if (!g) continue;
        stacks *s = stacks_new(grammar_form(g));
        const call_format *f = calls_find(FORMATS[i].tpl, strlen(FORMATS[i].tpl));
        q_buf b = { 0 };
        int bad = 0;
        CHECK_STR(calls_format_name(f), FORMATS[i].format);
        for (uint64_t seed = 1; seed <= 300 && bad < 3; seed++) {
            ear e = { 0 };
            const eng_heard h = { .user = &e, .call = on_call, .bad = on_bad };
            write_call(s, FORMATS[i].begin, seed * 977 + i, seed % 4 * 60, &b);
            eng_calls *c = calls_new(f, TOOLS, N_TOOLS, &h);
            for (size_t at = 0, step = 1 + seed % 9; at < b.len; at += step) eng_calls_add(c, b.p + at, b.len - at < step ? b.len - at : step);
            eng_calls_end(c);
            eng_calls_free(c);
            bool ok = e.calls >= 1 && !e.bad && !e.wrong;
            bad += !ok;
            calls += e.calls;
            CHECK_MSG(ok, "%s: %d heard, %d broken, %d not of the schema (%s): %.400s", FORMATS[i].format, e.calls, e.bad, e.wrong, e.why, b.p);
        }
        q_buf_free(&b);
        stacks_free(s);
        eng_grammar_free(g);
    }
    printf("# %d calls\n", calls);
}

/* Texts that are no call are as free as without a grammar, and are heard as text. */
static void test_other_texts_are_free(void)
{
    static const char *const text[] = { "", "Hello, [1, 2] and {\"city\": 3} <b>.", "[1, f(2)]", "{\"names\": []}", "[ab, cd]", "a\n[g(x)]", "x {\"name\": 1}", "[TOOL", "<tool_cal" };
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        eng_grammar *g = grammar_of_calls(FORMATS[i].format);
        const call_format *f = calls_find(FORMATS[i].tpl, strlen(FORMATS[i].tpl));
        for (size_t k = 0; g && k < sizeof text / sizeof *text; k++) {
            ear e = { 0 };
            const eng_heard h = { .user = &e, .call = on_call, .bad = on_bad };
            eng_calls *c = calls_new(f, TOOLS, N_TOOLS, &h);
            eng_calls_add(c, text[k], strlen(text[k]));
            eng_calls_end(c);
            eng_calls_free(c);
            CHECK_MSG(!e.calls && !e.bad, "%s hears a call in %s", FORMATS[i].format, text[k]);
            CHECK_MSG(eng_grammar_accepts(g, text[k], strlen(text[k])), "%s refuses %s", FORMATS[i].format, text[k]);
        }
        eng_grammar_free(g);
    }
}

/* The tools that there are, each in each format. */
static void test_our_own_tools_are_held(void)
{
    int n;
    const tool_row *row = tool_rows(&n);
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        for (int k = 0; k < n; k++) {
            const eng_grammar_rule rule = { row[k].name, row[k].schema };
            eng_grammar *g = NULL;
            CHECK_MSG(eng_grammar_calls(FORMATS[i].format, &rule, 1, &g, err) == Q_OK, "%s, %s: %s", FORMATS[i].format, row[k].name, err);
            eng_grammar_free(g);
        }
}

int main(void)
{
    for (int i = 0; i < N_TOOLS; i++) {
        eng_grammar_source s = { .kind = ENG_GRAMMAR_SCHEMA, .text = TOOLS[i].schema, .n = strlen(TOOLS[i].schema) };
        CHECK_MSG(eng_grammar_new(&s, &schema[i], err) == Q_OK, "%s: %s", TOOLS[i].name, err);
    }
    RUN(test_what_is_written_is_heard_and_fits);
    RUN(test_other_texts_are_free);
    RUN(test_our_own_tools_are_held);
    for (int i = 0; i < N_TOOLS; i++) eng_grammar_free(schema[i]);
    return TEST_END();
}
