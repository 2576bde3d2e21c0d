/* tests/fuzz/grammar: any bytes as GBNF and as a JSON schema: refused in one sentence, or made; then what a walk over it writes is let
 * through again, and each of its beginnings can be ended. */
#include "tests/fuzz/fuzz.h"
#include "tests/grammar_walk.h"

static void sequence(fuzz_rng *r, q_buf *b, int least)
{
    static const char *const atom[] = {"\"a\"", "[a-z]", "[^\\n\"]", "(\"x\" | [0-9]+)", "item", "more", "\"\\x41\\u0416\\U0001F600\"", ".", "<think>", "(item \",\")", "[а-я]", "[\\]\\-^]", "\"\\\\\\\"\""};
    static const char *const often[] = {"", "", "", "*", "+", "?", "{2,5}", "{3}", "{0,}", "{,2}"};
    for (int i = 0, n = least + (int)fuzz_below(r, 6); i < n; i++) {
        q_buf_puts(b, atom[fuzz_below(r, sizeof atom / sizeof *atom)]);
        q_buf_puts(b, often[fuzz_below(r, sizeof often / sizeof *often)]);
        q_buf_puts(b, fuzz_below(r, 6) ? " " : " |\n  ");
    }
}

static void gbnf_seed(fuzz_rng *r, q_buf *b)
{
    q_buf_puts(b, "# words\nroot ::= ");
    sequence(r, b, 1);
    q_buf_puts(b, "\nitem ::= \"i\" more | \"j\" ");
    sequence(r, b, 0);
    q_buf_puts(b, "\nmore ::= [0-9]{1,3} | \"(\" root \")\"\n");
}

static void schema_value(fuzz_rng *r, q_buf *b, int deep)
{
    static const char *const plain[] = {"true", "{}", "{\"type\":\"string\"}", "{\"type\":\"integer\",\"minimum\":-3,\"maximum\":120}", "{\"type\":[\"null\",\"boolean\"]}", "{\"enum\":[1,\"a\",null,[2],{\"k\":1.50}]}",
                                        "{\"type\":\"string\",\"pattern\":\"^[a-c]+(x|yz){0,3}$\"}", "{\"type\":\"string\",\"minLength\":2,\"maxLength\":7}", "{\"format\":\"date\",\"type\":\"string\"}",
                                        "{\"type\":\"number\",\"exclusiveMinimum\":0.05,\"maximum\":3.25}", "{\"const\":\"\\u0416\\n\"}", "{\"$ref\":\"#/$defs/d\"}", "{\"$ref\":\"#\"}", "false",
                                        "{\"type\":\"string\",\"pattern\":\"\\\\d{2}[^x]|^.$\"}", "{\"format\":\"uuid\"}"};
    uint32_t k = deep > 3 ? 0 : fuzz_below(r, 8);
    if (k < 3) { q_buf_puts(b, plain[fuzz_below(r, sizeof plain / sizeof *plain)]); return; }
    if (k == 3) {
        q_buf_puts(b, "{\"type\":\"array\",\"items\":");
        schema_value(r, b, deep + 1);
        if (fuzz_below(r, 2)) q_buf_printf(b, ",\"minItems\":%u,\"maxItems\":%u", fuzz_below(r, 3), fuzz_below(r, 5));
        q_buf_puts(b, ",\"prefixItems\":[");
        schema_value(r, b, deep + 1);
        q_buf_puts(b, "]}");
    } else if (k < 6) {
        q_buf_puts(b, "{\"type\":\"object\",\"properties\":{\"a\":");
        schema_value(r, b, deep + 1);
        q_buf_puts(b, ",\"b\\\"\":");
        schema_value(r, b, deep + 1);
        q_buf_printf(b, "},\"required\":[\"%s\"],\"additionalProperties\":", fuzz_below(r, 2) ? "a" : "c");
        schema_value(r, b, deep + 1);
        if (fuzz_below(r, 3) == 0) q_buf_printf(b, ",\"maxProperties\":%u", fuzz_below(r, 4));
        q_buf_puts(b, "}");
    } else {
        q_buf_printf(b, "{\"%s\":[", k == 6 ? "anyOf" : fuzz_below(r, 2) ? "allOf" : "oneOf");
        schema_value(r, b, deep + 1);
        q_buf_puts(b, ",");
        schema_value(r, b, deep + 1);
        q_buf_puts(b, "]}");
    }
}

static void schema_seed(fuzz_rng *r, q_buf *b)
{
    q_buf_puts(b, "{\"$defs\":{\"d\":");
    schema_value(r, b, 2);
    q_buf_puts(b, "},\"anyOf\":[");
    schema_value(r, b, 0);
    q_buf_puts(b, "]}");
}

static int grammar_run(enum eng_grammar_kind kind, const char *p, size_t n)
{
    char err[Q_ERRLEN] = "", *exact = q_alloc(n ? n : 1);
    eng_grammar *g = NULL;
    if (n) memcpy(exact, p, n);
    eng_grammar_source s = {.kind = kind, .text = exact, .n = n};
    int rc = eng_grammar_new(&s, &g, err);
    free(exact);
    if (rc < 0) return !*err || strchr(err, '\n') || !q_utf8_valid(err, strlen(err)) ? FUZZ_BROKEN("refused with \"%s\"", err) : 0;
    q_buf b = {0};
    q_buf_puts(&b, "");
    rc = 1;
    for (uint64_t seed = 1; seed < 3 && rc > 0; seed++) {
        bool whole;
        q_buf_clear(&b);
        if (!walk_text(g, seed * 7919 + n, 40, &b, &whole)) rc = FUZZ_BROKEN("a walk came to an end that is none behind \"%s\"", b.p);
        else if (whole && !eng_grammar_accepts(g, b.p, b.len)) rc = FUZZ_BROKEN("\"%s\" was written and is not let through", b.p);
    }
    q_buf_free(&b);
    eng_grammar_free(g);
    return rc;
}

static int gbnf_run(const char *p, size_t n) { return grammar_run(ENG_GRAMMAR_GBNF, p, n); }
static int schema_run(const char *p, size_t n) { return grammar_run(ENG_GRAMMAR_SCHEMA, p, n); }

const fuzz_target fuzz_gbnf = {"gbnf", 1500, 1000000, NULL, gbnf_seed, gbnf_run, NULL, 0},
                  fuzz_schema = {"schema", 1500, 1000000, NULL, schema_seed, schema_run, NULL, 0};
