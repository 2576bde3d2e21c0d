/* Grammars without a model: which texts GBNF and JSON schemas let through, and what is refused with which words. With arguments it
 * serves tests/grammar/check.py instead: lines "S schema" or "G gbnf" (a grammar is made), "T text" (1 or 0), "R seed" (a text of it). */
#include "engine/grammar/stacks.h"
#include "engine/grammar/decimal.h"
#include "engine/grammar/letters.h"
#include "tests/grammar_walk.h"
#include "tests/packed.h"
#include "tests/test.h"

static char err[Q_ERRLEN];

static eng_grammar *make(enum eng_grammar_kind kind, const char *text)
{
    eng_grammar *g = NULL;
    eng_grammar_source s = { .kind = kind, .text = text, .n = strlen(text) };
    *err = 0;
    eng_grammar_new(&s, &g, err);
    return g;
}

typedef struct wanted { const char *grammar; const char *yes[8], *no[8]; } wanted;

static void check_cases(enum eng_grammar_kind kind, const wanted *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        eng_grammar *g = make(kind, w[i].grammar);
        CHECK_MSG(g, "%s: %s", w[i].grammar, err);
        if (!g) continue;
        for (int k = 0; k < 8 && w[i].yes[k]; k++)
            CHECK_MSG(eng_grammar_accepts(g, w[i].yes[k], strlen(w[i].yes[k])), "%s: %s", w[i].grammar, w[i].yes[k]);
        for (int k = 0; k < 8 && w[i].no[k]; k++)
            CHECK_MSG(!eng_grammar_accepts(g, w[i].no[k], strlen(w[i].no[k])), "%s: not %s", w[i].grammar, w[i].no[k]);
        for (uint64_t seed = 0; seed < 20; seed++) {       /* what the walk writes is let through again, and it always ends */
            q_buf b = { 0 };
            CHECK_MSG(walk_text(g, seed, 60, &b, NULL) && eng_grammar_accepts(g, b.p ? b.p : "", b.len), "%s: walked \"%s\"", w[i].grammar, b.p ? b.p : "");
            q_buf_free(&b);
        }
        eng_grammar_free(g);
    }
}

/* ---- GBNF ---- */
static void test_gbnf(void)
{
    static const wanted W[] = {
        { "root ::= \"yes\" | \"no\"", { "yes", "no" }, { "", "ye", "yesno", "maybe" } },
        { "root ::= (\"a\" | \"bc\")* \"d\"", { "d", "abcad", "bcd" }, { "", "ab", "abd" } },
        { "root ::= [a-c]+ [^a-z]?", { "abc", "a", "c1", "cЖ" }, { "", "1", "abz" } },
        { "root ::= [а-яё]{2,4}", { "ёж", "ежик" }, { "я", "ежики", "ab", "\xD1" } },
        { "root ::= \"a\"{3}", { "aaa" }, { "aa", "aaaa", "" } },
        { "root ::= (\"ab\"){2,}", { "abab", "ababab" }, { "ab", "aba" } },
        { "root ::= [0-9]{0,2} \".\"", { ".", "1.", "12." }, { "123.", "" } },
        { "root ::= (\"x\" \"y\"?){1,3}", { "x", "xyxxy", "xxx" }, { "", "y", "xxxx" } },
        { "# lists\nroot ::= (\n  \"- \" item # one\n)+\nitem ::= [^\\n]+ \"\\n\"", { "- a\n", "- a\n- Ж b\n" }, { "- a", "a\n", "- \n" } },
        { "root ::= \"a\" |\n  \"b\"\n  | \"c\"\n", { "a", "b", "c" }, { "", "ab" } },
        { "root ::= \"\\x41\\u0416\\U0001F600\\n\\t\\\\\\\"\"", { "A\xD0\x96\xF0\x9F\x98\x80\n\t\\\"" }, { "A" } },
        { "root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expr \")\"", { "1", "1+2", "((1)+(2+3))" }, { "", "(1", "1+", ")" } },
        { "root ::= \"a\" root | \"b\"", { "b", "ab", "aaaaaaaaab" }, { "", "a", "ba" } },
        { "root ::= \"(\" root \")\" | \"\"", { "", "()", "((()))" }, { "(", "(()", "())" } },
        { "root ::= a* \"!\"\na ::= \"x\"*", { "!", "xx!" }, { "", "x" } },
        { "root ::= .{3}", { "abc", "aЖ\n", "\xF0\x9F\x98\x80" "ab" }, { "ab", "abcd", "ab\xED\xA0\x80" } },
        { "root ::= [-a\\]^]+", { "-a]^" }, { "b" } },
        { "root ::= \"call \" <|x|> \" end\"", { "call \xFF<|x|>\xFE end", "call <|x|> end" }, { "call \xFF<|y|>\xFE end", "call  end" } },
        { "root ::= \"\"", { "" }, { "a" } },
        { "root ::= a | b | \"k\"\na ::= \"z\" a\nb ::= \"y\"", { "y", "k" }, { "z", "zz" } },     /* a never ends: it is left out */
    };
    check_cases(ENG_GRAMMAR_GBNF, W, sizeof W / sizeof *W);
}

/* Each is refused in one sentence, at this line and column. */
static void test_gbnf_refused(void)
{
    static const struct { const char *grammar, *says; } W[] = {
        { "", "no rule \"root\"" }, { "rot ::= \"a\"", "no rule \"root\"" }, { "root = \"a\"", "line 1, column 6: ::= is expected" },
        { "root ::= \"a", "line 1, column 10: this text has no end" }, { "root ::= [a-", "line 1, column 10: this class has no end" },
        { "root ::= (\"a\"\n", "line 1, column 10: this group has no end" }, { "root ::= \"a\" )", "line 1, column 14" },
        { "root ::= other", "line 1, column 10: rule \"other\" is used but nowhere defined" },
        { "root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: this rule is defined twice" },
        { "root ::= root \"a\" | \"b\"", "line 1, column 1: rule \"root\" begins with itself" },
        { "root ::= x\nx ::= y? x \"a\" | \"b\"\ny ::= \"c\"", "rule \"x\" begins with itself" },
        { "root ::= a\na ::= b \"x\"\nb ::= a | \"y\"", "begins with itself" },
        { "root ::= \"a\" root", "stands for no text that ends" }, { "root ::= [z-a]", "line 1, column 11: this range ends before it begins" },
        { "root ::= \"\\q\"", "line 1, column 11: an escape" }, { "root ::= \"\\u12\"", "hexadecimal" }, { "root ::= \"\\uD800\"", "no character" },
        { "root ::= \"a\"{2,1}", "at most fewer than at least" }, { "root ::= \"a\"{", "a number is expected" }, { "root ::= \"a\"{99999999}", "too large" },
        { "root ::= ((\"a\"{100}){100}){100}", "" }, { "root ::= \"abcdefghij\"{1000000}", "too large" },
        { "root ::= * \"a\"", "line 1, column 10" }, { "root ::= \"a\"**", "line 1, column 14: there is nothing before this" }, { "root ::= <[12]>", "tokens by number" },
        { "root ::= !<x>", "any token but this" }, { "root ::= <x", "line 1, column 10: this token's name has no end" }, { "root ::= \"\xFF\"", "line 1, column 11: this byte is no UTF-8" },
        { "root ::= \"Ж\" %", "line 1, column 14" },
    };
    for (size_t i = 0; i < sizeof W / sizeof *W; i++) {
        eng_grammar *g = make(ENG_GRAMMAR_GBNF, W[i].grammar);
        if (!*W[i].says)                                   /* calls of calls: small, however long its texts */
            CHECK(g);
        else
            CHECK_MSG(!g && strstr(err, W[i].says), "%s: \"%s\"", W[i].grammar, err);
        CHECK(!strchr(err, '\n'));
        eng_grammar_free(g);
    }
}

/* The README's own: chess, a list, C-like things. */
static void test_gbnf_deep(void)
{
    eng_grammar *g = make(ENG_GRAMMAR_GBNF, "root ::= \"[\" root? \"]\"");
    q_buf b = { 0 };
    for (int deep = 1; deep <= 4096; deep *= 8) {          /* beyond STACKS_DEEP nothing can be written, and nothing breaks */
        q_buf_clear(&b);
        for (int i = 0; i < deep; i++) q_buf_putc(&b, '[');
        for (int i = 0; i < deep; i++) q_buf_putc(&b, ']');
        CHECK_INT(eng_grammar_accepts(g, b.p, b.len), deep < STACKS_DEEP);
    }
    eng_grammar_free(g);
    g = make(ENG_GRAMMAR_GBNF, "root ::= item (\",\" root)?\nitem ::= [a-z]+");     /* a list by recursion stays flat */
    q_buf_clear(&b);
    for (int i = 0; i < 20000; i++) q_buf_puts(&b, i ? ",a" : "a");
    CHECK(eng_grammar_accepts(g, b.p, b.len));
    eng_grammar_free(g);
    q_buf_free(&b);
}

/* Thousands of rules in any order, and what is followed from many places: read at once, or refused. */
static void test_gbnf_many_rules(void)
{
    enum { RULES = 3000 };
    q_buf b = { 0 }, text = { 0 };
    for (int backwards = 0; backwards < 2; backwards++) {
        q_buf_clear(&b);
        q_buf_printf(&b, "root ::= r%x\n", backwards ? RULES : 0);
        for (int i = 0; i <= RULES; i++)
            q_buf_printf(&b, i == (backwards ? 0 : RULES) ? "r%x ::= \"x\"\n" : backwards ? "r%x ::= \"a\"r%x\n" : "r%x ::= \"a\"? r%x\n", i, backwards ? i - 1 : i + 1);
        eng_grammar *g = make(ENG_GRAMMAR_GBNF, b.p);
        CHECK_MSG(g, "%s", err);
        q_buf_clear(&text);
        for (int i = 0; i < RULES; i++) q_buf_putc(&text, 'a');
        q_buf_putc(&text, 'x');
        CHECK(g && eng_grammar_accepts(g, text.p, text.len) && !eng_grammar_accepts(g, text.p + 1, text.len) && eng_grammar_accepts(g, text.p + 1, text.len - 1) == !backwards);
        eng_grammar_free(g);
    }
    q_buf_clear(&b);
    q_buf_puts(&b, "root ::= (\"a\"");
    for (int i = 0; i < 9000; i++) q_buf_puts(&b, "|\"b\"");
    q_buf_puts(&b, ") ");
    for (int i = 0; i < 9000; i++) q_buf_puts(&b, "()");
    q_buf_puts(&b, "\nother ::= root root other\n");
    CHECK_MSG(!make(ENG_GRAMMAR_GBNF, b.p) && strstr(err, "too large"), "%s", err);
    q_buf_clear(&b);
    q_buf_puts(&b, "root ::= a\na ::= \"x\"\n");
    for (int i = 0; i < 1000; i++) q_buf_printf(&b, "n%d ::= a\n", i);
    q_buf_puts(&b, "   a ::= \"y\"\n");
    CHECK_MSG(!make(ENG_GRAMMAR_GBNF, b.p) && strstr(err, "line 1003, column 4") && strstr(err, "twice"), "%s", err);
    q_buf_free(&b);
    q_buf_free(&text);
}

/* ---- what waits for a trigger ---- */
static void test_trigger(void)
{
    static const char *const yes[] = { "", "any text {[}", "a <tool>{1}</tool>", "<tool>{1}</tool> and <tool>{22}</tool>.", "<<tool>{1}</tool>", "x\xFF<|end|>\xFE y", "\xFF<tool>\xFE{1}</tool>z", "<too" };
    static const char *const no[] = { "<tool>", "<tool>{x}</tool>", "<tool>{1}</too", "a <tool> {1}</tool>", "<tool>{1}</tool><tool>?", "<to<tool>x", "\xFF<tool>\xFE?" };
    eng_grammar *g = NULL;
    const char *text = "root ::= \"{\" [0-9]+ \"}</tool>\"";
    eng_grammar_source s = { .text = text, .n = strlen(text), .trigger = "<tool>" };
    CHECK_INT(eng_grammar_new(&s, &g, err), Q_OK);
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) CHECK_MSG(eng_grammar_accepts(g, yes[i], strlen(yes[i])), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) CHECK_MSG(!eng_grammar_accepts(g, no[i], strlen(no[i])), "%s", no[i]);
    eng_grammar_free(g);
}

/* A GBNF text may name what a schema allows: a call's frame around its arguments. */
static void test_rules_of_schemas(void)
{
    eng_grammar *g = NULL;
    const char *text = "root ::= \"<f=\" (\"add>\" args-1 | \"say>\" args-2) \"</f>\"";
    const eng_grammar_rule rule[] = { { "args-1", "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":2}" }, { "args-2", "{\"type\":\"string\",\"maxLength\":3}" } };
    eng_grammar_source s = { .kind = ENG_GRAMMAR_GBNF, .text = text, .n = strlen(text), .rule = rule, .n_rule = 2 };
    CHECK_MSG(eng_grammar_new(&s, &g, err) == Q_OK, "%s", err);
    static const char *const yes[] = { "<f=add>[1, 2]</f>", "<f=say>\"abc\"</f>" }, *const no[] = { "<f=add>\"abc\"</f>", "<f=say>\"abcd\"</f>", "<f=add>[1]</f>" };
    for (int i = 0; g && i < 2; i++) CHECK_MSG(eng_grammar_accepts(g, yes[i], strlen(yes[i])), "%s", yes[i]);
    for (int i = 0; g && i < 3; i++) CHECK_MSG(!eng_grammar_accepts(g, no[i], strlen(no[i])), "%s", no[i]);
    eng_grammar_free(g);
}

/* Calls of tools in each format: any text; each call that begins is one of a tool that there is, with arguments of its schema. */
static void test_calls(void)
{
    static const eng_grammar_rule tool[] = { { "read_file", "{\"type\":\"object\",\"properties\":{\"path\":{\"$ref\":\"#/$defs/p\"}},\"required\":[\"path\"],\"additionalProperties\":false,\"$defs\":{\"p\":{\"type\":\"string\"}}}" },
                                             { "add", "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"maximum\":9}},\"required\":[\"n\"],\"additionalProperties\":false}" } };
    static const struct { const char *format, *yes[6], *no[6]; } W[] = {
        { "Hermes", { "hello", "I look.\n<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a<tool_call>\"}}\n</tool_call>", "\xFF<tool_call>\xFE\n{\"name\": \"add\", \"arguments\": {\"n\": 3}}\n\xFF</tool_call>\xFE",
                      "<tool_call>{\"name\":\"add\",\"arguments\":{\"n\":1}}</tool_call><tool_call>{\"name\":\"add\",\"arguments\":{\"n\":2}}</tool_call> done" },
          { "<tool_call>\n{\"name\": \"rm\", \"arguments\": {}}\n</tool_call>", "<tool_call>{\"name\":\"add\",\"arguments\":{\"n\":10}}</tool_call>", "<tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>", "<tool_call>", "<tool_call>{\"name\":\"add\",\"arguments\":{\"n\":1}}" } },
        { "Llama 3", { "<|python_tag|>{\"name\": \"add\", \"parameters\": {\"n\": 3}}", "{\"city\": \"Bob\"}", "\xFF<|python_tag|>\xFE{\"name\": \"read_file\", \"parameters\": {\"path\": \"x\"}}", "{\"nam" }, { "<|python_tag|>{\"name\": \"add\", \"arguments\": {\"n\": 3}}", "\xFF<|python_tag|>\xFE{\"name\": \"no\", \"parameters\": {}}",
            "{\"name\": \"Bob\"}", " { \"type\": \"x\"}", "{\"name\": \"add\", \"parameters\": {\"n\": 3}}; {\"name\": \"no\"" } },
        { "Llama 3", { "{\"name\": \"add\", \"parameters\": {\"n\": 3}}", "\n{\"type\": \"function\", \"name\": \"add\", \"parameters\": {\"n\": 3}}; {\"name\": \"add\", \"parameters\": {\"n\": 4}}", "{ \"names\": 1}", "{\"name", "{}", "{\"a\": {\"name\": 1}}" },
          { "{\"name\": \"add\", \"parameters\": {\"n\": 30}}", "{\"function\"", "{\"name\": \"add\", \"parameters\": {\"n\": 3}}<|python_tag|>{\"name\": \"no\"" } },
        { "Llama 4 pythonic", { "[add(n=3)]", "[add(n=3), read_file(path=\"a\\u0416\\n'\")]", "<|python_start|>[add(n=-1)]<|python_end|>", "[1, 2] is a list", "[add", "Well: [rm(x=1)]" },
          { "[rm(x=1)]", "[add(n=30)]", "[add(n=3), rm()]", "[add()]", "[add(n=3)]\xFF<|python_end|>\xFE [rm(x=1)]", " [ add (n=3)] <|python_start|>[rm()]" } },
        { "Qwen3-Coder", { "<tool_call>\n<function=add>\n<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>", "\xFF<tool_call>\xFE\n<function=read_file>\n<parameter=path>\n\"a<b<\\/c\"\n</parameter>\n</function>\n\xFF</tool_call>\xFE ok",
            "a <b>", "<tool_call><function=add><parameter=n>\n9\n</parameter></function></tool_call>" },
          { "<tool_call>\n<function=add>\n<parameter=n>\n30\n</parameter>\n</function>\n</tool_call>", "<tool_call>\n<function=add>\n</function>\n</tool_call>", "<tool_call>\n<function=rm>", "<tool_call>\n<function=add>\n<parameter=m>",
            "<tool_call>\n<function=read_file>\n<parameter=path>\nx</tool_call>y\n</parameter>", "<tool_call>\n<function=add>\n<parameter=n>\n\"3\"" } },
        { "GLM-4.5", { "<tool_call>add\n<arg_key>n</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", "\xFF<tool_call>\xFE" "add\n\xFF<arg_key>\xFEn\xFF</arg_key>\xFE\n\xFF<arg_value>\xFE" "3\xFF</arg_value>\xFE\n\xFF</tool_call>\xFE",
            "<tool_call>read_file<arg_key>path</arg_key><arg_value>\"a < b & c\"</arg_value></tool_call>" },
          { "<tool_call>add\n<arg_key>n</arg_key>\n<arg_value>\"3\"</arg_value>", "<tool_call>rm", "<tool_call>add\n</tool_call>", "<tool_call>read_file<arg_key>path</arg_key><arg_value>a</tool_call>b</arg_value></tool_call>" } },
        { "Mistral", { "[TOOL_CALLS] [{\"name\": \"add\", \"arguments\": {\"n\": 3}}]", "\xFF[TOOL_CALLS]\xFE" "add\xFF[ARGS]\xFE{\"n\": 3}" }, { "[TOOL_CALLS] [{\"name\": \"add\", \"arguments\": {\"n\": 30}}]", "\xFF[TOOL_CALLS]\xFE" "add\xFF[ARGS]\xFE{}" } },
        { "harmony", { "\xFF<|channel|>\xFE" "commentary to=functions.add \xFF<|constrain|>\xFE" "json\xFF<|message|>\xFE{\"n\":3}", "to=functions.add\xFF<|channel|>\xFE" "commentary\xFF<|message|>\xFE{\"n\":3}", "\xFF<|channel|>\xFE" "final\xFF<|message|>\xFE" "four" },
          { "\xFF<|channel|>\xFE" "commentary to=functions.rm\xFF<|message|>\xFE{}", "to=functions.add\xFF<|message|>\xFE{\"n\":\"x\"}" } },
    };
    eng_grammar *g;
    for (size_t i = 0; i < sizeof W / sizeof *W; i++) {
        CHECK_MSG(eng_grammar_calls(W[i].format, tool, 2, &g, err) == Q_OK, "%s: %s", W[i].format, err);
        for (int k = 0; k < 6 && W[i].yes[k] && g; k++) CHECK_MSG(eng_grammar_accepts(g, W[i].yes[k], strlen(W[i].yes[k])), "%s: %s", W[i].format, W[i].yes[k]);
        for (int k = 0; k < 6 && W[i].no[k] && g; k++) CHECK_MSG(!eng_grammar_accepts(g, W[i].no[k], strlen(W[i].no[k])), "%s: not %s", W[i].format, W[i].no[k]);
        eng_grammar_free(g);
    }
    CHECK(eng_grammar_calls("GLM-3", tool, 2, &g, err) == Q_NOTFOUND && !g);
    CHECK(eng_grammar_calls("Qwen3-Coder", &(eng_grammar_rule){ "x", "{\"properties\":{\"a>b\":{}}}" }, 1, &g, err) == Q_FORMAT && strstr(err, "an argument of the name \"a>b\""));
    CHECK(eng_grammar_calls("Hermes", &(eng_grammar_rule){ "x", "{\"not\":{}}" }, 1, &g, err) == Q_FORMAT && strstr(err, "the tool x: the JSON schema, line 1, column 2"));
    CHECK(eng_grammar_calls("Hermes", &(eng_grammar_rule){ "x y\"", "{}" }, 1, &g, err) == Q_FORMAT && !g);
}

/* ---- JSON schemas ---- */
static void test_schema(void)
{
    static const wanted W[] = {
        { "true", { "1", "\"a\"", "[1, {\"a\": null}]", "{}", "-1.5e-3", "[\n  1,\n  2\n]" }, { "", "01", "[1,]", "nul", " 1", "\"\x01\"", "{1: 2}" } },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"],\"additionalProperties\":false}",
          { "{\"a\": 1}", "{\"a\":1,\"b\":\"x\"}", "{\n  \"a\": -5\n}" }, { "{}", "{\"b\":\"x\"}", "{\"b\":\"x\",\"a\":1}", "{\"a\":1.5}", "{\"a\":1,\"c\":2}", "{\"a\":1,}", "{\"a\":1 }x" } },
        { "{\"properties\":{\"ab\":{\"type\":\"integer\"}}}", { "{}", "{\"ab\": 1, \"c\": []}", "{\"a\":\"x\",\"abc\":0}", "7", "{\"\": 1}" }, { "{\"ab\": \"x\"}", "{\"\\u0061b\":\"x\"}", "{\"c\":1,\"ab\":\"x\"}" } },
        { "{\"enum\":[1,\"a\\n\",null,{\"x\":[true]}]}", { "1", "\"a\\n\"", "null", "{\"x\": [true]}" }, { "2", "\"a\"", "{}" } },
        { "{\"const\":\"Ж\\\"\"}", { "\"Ж\\\"\"" }, { "\"Ж\"" } },
        { "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":12}", { "-5", "0", "9", "10", "12", "-1" }, { "-6", "13", "1.0", "-0", "00", "100" } },
        { "{\"type\":\"integer\",\"exclusiveMinimum\":99,\"maximum\":1000}", { "100", "999", "1000", "123" }, { "99", "1001", "-100", "9", "10000" } },
        { "{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":2.25}", { "0.5", "1", "2.249", "2.2", "0.50", "1.999999", "2.0" }, { "0.49", "2.25", "2.250", "3", "0", "-1", "0.4999" } },
        { "{\"type\":\"number\",\"exclusiveMinimum\":-1.5,\"maximum\":0}", { "-1.4", "-1.4999", "0", "0.0", "-0.001" }, { "-1.5", "-1.50", "-2", "0.1", "1" } },
        { "{\"type\":\"integer\",\"minimum\":9007199254740993}", { "9007199254740993", "10000000000000000" }, { "9007199254740992", "0", "-9007199254740993" } },
        { "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", { "\"ab\"", "\"aЖc\"", "\"\\n\\u0416\"", "\"\\ud83d\\ude00x\"" }, { "\"a\"", "\"abcd\"", "\"\"", "\"\\ud83dxx\"" } },
        { "{\"type\":\"string\",\"pattern\":\"^[a-f]+(-[0-9]{2})?$\"}", { "\"abc\"", "\"f-12\"" }, { "\"\"", "\"g\"", "\"a-1\"", "\"a-123\"" } },
        { "{\"type\":\"string\",\"pattern\":\"b\\\\\\\\\"}", { "\"ab\\\\c\"", "\"b\\\\\"" }, { "\"b\"", "\"\\\\\"" } },
        { "{\"type\":\"string\",\"pattern\":\"^a|z$\",\"maxLength\":3}", { "\"abc\"", "\"xyz\"", "\"z\"" }, { "\"abcd\"", "\"bca\"" } },
        { "{\"type\":\"string\",\"format\":\"date\"}", { "\"2024-02-29\"", "\"1999-12-31\"" }, { "\"2023-02-29\"", "\"2023-13-01\"", "\"2023-04-31\"", "\"x\"" } },
        { "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":3}", { "[true]", "[true, false,true]" }, { "[]", "[1]", "[true,true,true,true]" } },
        { "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"type\":\"string\"}],\"items\":false}", { "[]", "[1]", "[1,\"a\"]" }, { "[2]", "[1,\"a\",1]" } },
        { "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}]}", { "1", "[[1, 2], []]" }, { "\"a\"", "[true]" } },
        { "{\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"null\"},\"l\":{\"$ref\":\"#/$defs/t\"}},\"required\":[\"v\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/t\"}",
          { "{\"v\":null}", "{\"v\":null,\"l\":{\"v\":null,\"l\":{\"v\":null}}}" }, { "{}", "{\"v\":null,\"l\":{}}" } },
        { "{\"allOf\":[{\"type\":\"integer\",\"minimum\":3},{\"maximum\":5}]}", { "3", "5" }, { "2", "6", "\"a\"" } },
        { "{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"type\":\"object\",\"properties\":{\"a\":{\"maximum\":3},\"b\":{}},\"additionalProperties\":false}]}",
          { "{\"a\":3}", "{\"a\":-9,\"b\":[]}" }, { "{\"a\":4}", "{\"a\":1,\"c\":1}", "{\"b\":1}" } },
        { "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}},\"required\":[\"k\"]},{\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}],\"type\":\"object\"}",
          { "{\"k\":\"a\",\"x\":1}", "{\"k\":\"b\",\"x\":\"y\"}" }, { "{\"k\":\"a\",\"x\":\"y\"}", "{\"k\":\"c\"}", "{}" } },
        { "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"additionalProperties\":false,\"minProperties\":1,\"maxProperties\":2}",
          { "{\"a\":1}", "{\"a\":1,\"c\":2}", "{\"b\":1}" }, { "{}", "{\"a\":1,\"b\":1,\"c\":1}" } },
        { "{\"type\":[\"integer\",\"null\"],\"enum\":[1,2,null,\"x\",2.5],\"minimum\":2}", { "2", "null" }, { "1", "\"x\"", "2.5" } },
        { "{\"properties\":{\"a\":false,\"b\":true},\"type\":\"object\"}", { "{\"b\":1}", "{}" }, { "{\"a\":1}", "{\"a\":1,\"b\":1}" } },
        { "{\"$ref\":\"#/$defs/a~1b%25\",\"$defs\":{\"a/b%\":{\"type\":\"null\"}}}", { "null" }, { "1" } },
    };
    check_cases(ENG_GRAMMAR_ANY, W, sizeof W / sizeof *W);
}

static void test_schema_refused(void)
{
    static const struct { const char *schema, *says; } W[] = {
        { "{\"type\":\"integer\",\n \"multipleOf\": 3}", "line 2, column 2: \"multipleOf\" cannot be held" },
        { "{\"type\":\"text\"}", "the value of \"type\"" }, { "{\"maxLenght\":3}", "the keyword \"maxLenght\" is not known" }, { "{\"x-mine\":3, \"type\":\"null\"}", NULL },
        { "{\"uniqueItems\":true}", "\"uniqueItems\" cannot be held" }, { "{\"uniqueItems\":false,\"type\":\"null\"}", NULL }, { "{\"not\":{}}", "\"not\" cannot be held" },
        { "{\"format\":\"iri\"}", "the format \"iri\" cannot be held" }, { "{\"pattern\":\"a(?=b)\"}", "the pattern, byte 2: looking ahead" },
        { "{\"pattern\":\"(a)\\\\1\"}", "back references" }, { "{\"pattern\":\"a\\\\b\"}", "word boundaries" }, { "{\"pattern\":\"(^a)\"}", "^ and $" }, { "{\"pattern\":\"[a\"}", "a ] is missing" },
        { "{\"pattern\":\"(a{1000}){1000}\"}", "too large" }, { "{\"$ref\":\"other.json\"}", "within the schema only" }, { "{\"$ref\":\"#/$defs/x\"}", "leads to nothing" },
        { "{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":3}]}", "may fit at once" }, { "{\"minLength\":-1}", "the value of \"minLength\"" }, { "{\"allOf\":[]}", "the value of \"allOf\"" },
        { "{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", "stands for no text that ends" }, { "false", "stands for no text that ends" }, { "{\"required\":[\"a\"],\"properties\":{\"a\":false},\"type\":\"object\"}", "no text that ends" },
        { "{\"a\":1", "line 1, column 7: a , or } is expected" }, { "{\"a\":1,\"a\":2}", "column 8: this name stands twice" }, { "{\"type\":\"null\"} x", "behind the schema's end" },
        { "{\"title\":\"\\ud800\"}", "half a character" }, { "{\"title\":\"a\nb\"}", "line 1, column 12" }, { "{\"enum\":[01]}", "does not begin with 0" },
        { "{\"patternProperties\":{\"a\":{}}}", "patternProperties" }, { "{\"minProperties\":2,\"type\":\"object\"}", "minProperties" }, { "{\"type\":\"string\",\"maxLength\":100000000}", "too large" },
        { "{\"properties\":{\"a\":{\"$id\":\"x\"}}}", "\"$id\"" }, { "{\"properties\":{\"a\":3}}", "a schema is an object" },
        { "{\"enum\":[{}],\"required\":[\"a\"]}", "beside other keywords" },
    };
    for (size_t i = 0; i < sizeof W / sizeof *W; i++) {
        eng_grammar *g = make(ENG_GRAMMAR_SCHEMA, W[i].schema);
        if (!W[i].says)
            CHECK_MSG(g, "%s: %s", W[i].schema, err);
        else
            CHECK_MSG(!g && strstr(err, W[i].says), "%s: \"%s\"", W[i].schema, err);
        CHECK(!strchr(err, '\n'));
        eng_grammar_free(g);
    }
}

/* Every whole number and every one of two places behind the point, against comparing. */
static void test_ranges(void)
{
    static const double bound[] = { -120, -99, -12.25, -10, -9.5, -1, -0.5, 0, 0.05, 0.5, 1, 9, 9.75, 10, 11, 99, 100, 101.5, 120 };
    enum { N = sizeof bound / sizeof *bound };
    for (int a = -1; a < N; a++)
        for (int b = a < 0 ? 0 : a; b <= N; b++)
            for (int open = (a + b) & 3, last = a == b ? 3 : open; open <= last; open++) {
                q_buf s = { 0 };
                q_buf_puts(&s, "{\"type\":\"number\"");
                if (a >= 0) q_buf_printf(&s, ",\"%s\":%g", open & 1 ? "exclusiveMinimum" : "minimum", bound[a]);
                if (b < N) q_buf_printf(&s, ",\"%s\":%g", open & 2 ? "exclusiveMaximum" : "maximum", bound[b]);
                q_buf_putc(&s, '}');
                eng_grammar *g = make(ENG_GRAMMAR_SCHEMA, s.p);
                if (a == b && open) { CHECK(!g); q_buf_free(&s); eng_grammar_free(g); continue; }
                CHECK_MSG(g, "%s: %s", s.p, err);
                if (a < 0 && b == N) { q_buf_free(&s); eng_grammar_free(g); continue; }
                for (int x = -12500; x <= 12500 && g; x += x % 100 && abs(x) > 1300 ? 7 : 1) {
                    char t[16];
                    double v = x / 100.0;
                    if (x == 0) snprintf(t, sizeof t, "0");
                    else if (x % 100 == 0) snprintf(t, sizeof t, "%d", x / 100);
                    else snprintf(t, sizeof t, "%.2f", v);
                    bool want = (a < 0 || v > bound[a] || (v == bound[a] && !(open & 1))) && (b == N || v < bound[b] || (v == bound[b] && !(open & 2)));
                    if (eng_grammar_accepts(g, t, strlen(t)) != want) { CHECK_MSG(false, "%s: %s", s.p, t); break; }
                    if (abs(x) > 1300) x += 13;
                }
                eng_grammar_free(g);
                q_buf_free(&s);
            }
}

/* What jsonschema said (tests/grammar/check.py golden): "S schema", then texts that are valid and are let through (Y) and that are not (N). */
static void test_golden(void)
{
    q_buf b = { 0 };
    int count[3] = { 0 };
    eng_grammar *g = NULL;
    CHECK_MSG(q_read_file(packed("tests/golden/grammar/schemas.txt"), &b, 1 << 24, err) == Q_OK, "%s", err);
    char *schema = "";
    for (char *line = b.p, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        for (char *p = line; *p; p++) if (*p == '\r') *p = '\n';
        if (*line == 'S') {
            eng_grammar_free(g);
            schema = line + 2;
            g = make(ENG_GRAMMAR_SCHEMA, schema);
            CHECK_MSG(g, "%s: %s", schema, err);
            count[0]++;
        } else {
            bool yes = g && eng_grammar_accepts(g, line + 2, strlen(line + 2));
            CHECK_MSG(yes == (*line == 'Y'), "%s: %s", schema, line);
            count[1 + (*line == 'N')]++;
        }
    }
    CHECK_MSG(count[0] > 400 && count[1] > 800 && count[2] > 1000, "%d schemas, %d and %d texts", count[0], count[1], count[2]);
    eng_grammar_free(g);
    q_buf_free(&b);
}

/* ---- for check.py ---- */
static void put_line(const q_buf *b)
{
    for (size_t i = 0; i < b->len; i++) putchar(b->p[i] == '\n' ? '\r' : b->p[i]);    /* JSON takes it for white space too */
    putchar('\n');
}

static int serve(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    eng_grammar *g = NULL;
    while ((n = getline(&line, &cap, stdin)) > 1) {
        line[n - 1] = 0;
        char *rest = line + 2;
        for (char *p = rest; *p; p++) if (*p == '\r') *p = '\n';
        if (*line == 'S' || *line == 'G') {
            eng_grammar_free(g);
            g = make(*line == 'S' ? ENG_GRAMMAR_SCHEMA : ENG_GRAMMAR_GBNF, rest);
            printf("%s\n", g ? "ok" : err);
        } else if (*line == 'T')
            printf("%d\n", g && eng_grammar_accepts(g, rest, strlen(rest)));
        else {
            q_buf b = { 0 };
            q_buf_puts(&b, "");
            if (!g || !walk_text(g, strtoull(rest, NULL, 10), 150, &b, NULL)) { q_buf_clear(&b); q_buf_puts(&b, "DEAD END"); }
            put_line(&b);
            q_buf_free(&b);
        }
        fflush(stdout);
    }
    eng_grammar_free(g);
    free(line);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) return serve();
    RUN(test_gbnf);
    RUN(test_gbnf_refused);
    RUN(test_gbnf_deep);
    RUN(test_gbnf_many_rules);
    RUN(test_trigger);
    RUN(test_rules_of_schemas);
    RUN(test_calls);
    RUN(test_schema);
    RUN(test_schema_refused);
    RUN(test_ranges);
    RUN(test_golden);
    return TEST_END();
}
