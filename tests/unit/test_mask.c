/* Which tokens may come under a grammar: every mask against a look at each token by itself, on a small vocabulary and on Qwen3's; what a
 * mask costs in nodes of the vocabulary looked at, which no machine changes; and what a sampler makes of one. Nanoseconds are
 * printed only. */
#include "engine/grammar/guide.h"
#include "engine/run/sample.h"
#include "tests/grammar_walk.h"
#include "tests/test.h"
#include "tests/vocab_fixture.h"

#include <unistd.h>

#define QWEN "../shared/data/qwen3-tokenizer/vocab.gguf"

static char err[Q_ERRLEN];

static eng_model *open_small(void)
{
    char small_path[] = "/tmp/quorum-mask-XXXXXX";
    fixture f;
    eng_model *m = NULL;
    eng_open_opts o = { .vocab_only = true };
    int fd = mkstemp(small_path);
    if (fd < 0 || !fixture_make(&f, "qwen2", NULL, false)) return NULL;
    CHECK(write(fd, f.file.p, f.file.len) == (ssize_t)f.file.len);
    close(fd);
    CHECK_MSG(eng_model_open(small_path, &o, &m, err) == Q_OK, "%s", err);
    q_buf_free(&f.file);
    unlink(small_path);
    return m;
}

static eng_model *open_qwen(void)
{
    eng_model *m = NULL;
    eng_open_opts o = { .vocab_only = true };
    return access(QWEN, R_OK) == 0 && eng_model_open(QWEN, &o, &m, err) == Q_OK ? m : NULL;
}

/* "@FORMAT": calls of a tool in that format. */
static eng_grammar *make(const char *text)
{
    eng_grammar *g = NULL;
    if (*text == '@') {
        const eng_grammar_rule tool = { "f", "{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},\"required\":[\"s\",\"l\"],\"additionalProperties\":false}" };
        CHECK_MSG(eng_grammar_calls(text + 1, &tool, 1, &g, err) == Q_OK, "%s: %s", text, err);
        return g;
    }
    eng_grammar_source s = { .text = text, .n = strlen(text) };
    CHECK_MSG(eng_grammar_new(&s, &g, err) == Q_OK, "%s: %s", text, err);
    return g;
}

static const char SCHEMA[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"enum\":[\"read_file\",\"write_file\"]},\"path\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":40},"
    "\"lines\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99999}},\"note\":{\"type\":\"string\"},\"more\":{}},\"required\":[\"name\",\"path\"]}";
static const char *const GRAMMARS[] = {
    SCHEMA, "true", "root ::= [a-zA-Z .,]+", "root ::= (\"the \" | \"a \")? [a-z]+ (\" \" [a-z]+)* \".\"", "root ::= \"(\" root* \")\" | [0-9]",
    "root ::= <|endoftext|> | \"x\" <|im_start|> \"y\"", "root ::= [а-я]+ \"!\"", "{\"type\":\"string\",\"pattern\":\"^[A-Z][a-z]+( [A-Z][a-z]+)*$\"}",
    "{\"type\":\"string\",\"minLength\":20,\"maxLength\":45}", "root ::= (\"x\" [a-z ]){5,60} | ([a-z]+ \" \"){0,30} \".\"",
    "@Qwen3-Coder", "@GLM-4.5", "@Llama 4 pythonic", "@Llama 3" };

/* The token by itself, byte by byte. */
static bool fits(const eng_model *m, stacks *s, uint32_t at, int32_t id)
{
    size_t n;
    const char *p = eng_token_bytes(m, id, &n);
    char name[128];
    if (eng_token_end(m, id)) return stacks_may_end(s, at);
    if (eng_token_control(m, id)) {
        n = (size_t)snprintf(name, sizeof name, "\xFF%s\xFE", eng_token_name(m, id));
        p = name;
    }
    for (size_t i = 0; i < n; i++) {
        if (p != name && (unsigned char)p[i] >= 0xF8) return false;
        at = stacks_step(s, at, (uint8_t)p[i]);
    }
    return n > 0 && at != STACKS_DEAD;
}

static const uint64_t *everything(int n)
{
    static uint64_t *bits;
    bits = realloc(bits, ((size_t)n / 64 + 1) * 8);
    memset(bits, 0xFF, ((size_t)n / 64 + 1) * 8);
    return bits;
}

static bool odd(const eng_model *m, int32_t id)
{
    size_t n;
    const char *p = eng_token_bytes(m, id, &n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] >= 0xF8) return true;
    return n == 0 && !eng_token_control(m, id) && !eng_token_end(m, id);
}

static void write_text(const eng_model *m, guide *g, const char *text)
{
    eng_tokens t = { 0 };
    CHECK_INT(eng_tokenize(m, text, strlen(text), false, &t, err), Q_OK);
    for (int i = 0; i < t.n; i++) guide_take(g, t.id[i]);
    eng_tokens_free(&t);
}

/* One text token by token: each mask is looked at whole, then any of its tokens comes. */
static void check_text(const eng_model *m, guide *g, const eng_grammar *by, const char *begin, uint64_t seed, int steps)
{
    int n = eng_model_info(m)->n_vocab, wrong = 0;
    stacks *s = stacks_new(grammar_form(by));
    uint32_t at = stacks_begin(s);
    int32_t *may = malloc(sizeof *may * (size_t)n);
    guide_begin(g);
    write_text(m, g, begin);
    for (const char *p = begin; *p; p++) at = stacks_step(s, at, (uint8_t)*p);
    for (int k = 0; k < steps; k++) {
        bool ended, stuck;
        const uint64_t *all = guide_mask(g, false, &ended, &stuck), *bits = all ? all : everything(n);
        int count = 0;
        CHECK(!stuck);
        if (ended || stuck) break;
        for (int32_t id = 0; id < n; id++) {
            bool is = bits[id / 64] >> id % 64 & 1;
            if (!all && odd(m, id)) continue;              /* where all may come, that may too */
            if (is != fits(m, s, at, id) && wrong++ < 3) printf("# token %d (%s) is %s\n", id, eng_token_name(m, id), is ? "let through" : "left out");
            if (is) may[count++] = id;
        }
        if (count == 0) break;
        int32_t next = may[walk_below(&seed, (uint32_t)count)];
        if (eng_token_end(m, next)) break;
        size_t len;
        const char *p = eng_token_bytes(m, next, &len);
        char name[128];
        if (eng_token_control(m, next)) { len = (size_t)snprintf(name, sizeof name, "\xFF%s\xFE", eng_token_name(m, next)); p = name; }
        for (size_t i = 0; i < len; i++) at = stacks_step(s, at, (uint8_t)p[i]);
        guide_take(g, next);
        if (k % 7 == 6) at = stacks_trim(s, at);           /* numbers change, texts do not */
    }
    CHECK_INT(wrong, 0);
    free(may);
    stacks_free(s);
}

static void check_model(const eng_model *m, int texts, int steps)
{
    for (size_t i = 0; i < sizeof GRAMMARS / sizeof *GRAMMARS; i++) {
        lexicon *l = lexicon_new(m);
        guide *g = guide_new(m, l);
        guide_set(g, make(GRAMMARS[i]));
        eng_grammar *by = make(GRAMMARS[i]);
        static const char *const begin[] = { "<tool_call>\n<function=f>\n", "<tool_call>f\n", "[f(", "{\"name\": \"f\"" };      /* of the rows with an @, in their order */
        static const size_t first_of_calls = sizeof GRAMMARS / sizeof *GRAMMARS - sizeof begin / sizeof *begin;
        for (int t = 0; t < texts; t++) check_text(m, g, by, i < first_of_calls ? "" : begin[i - first_of_calls], (uint64_t)t * 77 + i, steps);
        eng_grammar_free(by);
        guide_free(g);
        lexicon_free(l);
    }
}

static void test_small_vocabulary(void)
{
    eng_model *m = open_small();
    CHECK(m);
    if (m) check_model(m, 6, 60);
    eng_model_free(m);
}

static void test_qwen3_vocabulary(void)
{
    eng_model *m = open_qwen();
    CHECK(m);
    if (m) check_model(m, 1, 6);
    eng_model_free(m);
}

/* ---- cost ---- */
static uint64_t nodes_of_mask(guide *g)
{
    bool ended, stuck;
    uint64_t before = guide_counts(g).nodes;
    int64_t from = q_now_ns();
    guide_mask(g, false, &ended, &stuck);
    printf("# %llu nodes, %lld ns\n", (unsigned long long)(guide_counts(g).nodes - before), (long long)(q_now_ns() - from));
    CHECK(!ended && !stuck);
    return guide_counts(g).nodes - before;
}

/* Nodes of Qwen3's vocabulary that a mask looks at: a string for the first time about all; the same again none; one in another place
 * only what reaches beyond its end. */
static void test_cost(void)
{
    eng_model *m = open_qwen();
    lexicon *l = lexicon_new(m);
    guide *g = guide_new(m, l);
    guide_set(g, make("true"));
    uint32_t all = l->tree[0].n + l->tree[1].n;
    printf("# %d tokens, %u and %u nodes, the longest has %d bytes\n", l->n_vocab, l->tree[0].n, l->tree[1].n, l->deepest);
    write_text(m, g, "{\"first");
    uint64_t first = nodes_of_mask(g);
    write_text(m, g, " one");
    CHECK_INT(nodes_of_mask(g), 0);
    write_text(m, g, "\": [1, {\"second\": {\"x\": \"y");
    uint64_t other = nodes_of_mask(g);
    CHECK_MSG(first > all / 2 && other < all / 50, "%llu, then %llu of %u", (unsigned long long)first, (unsigned long long)other, all);
    write_text(m, g, " z");
    CHECK_INT(nodes_of_mask(g), 0);
    /* A bounded string: far from its bounds every place is like the others, but for tokens of more than FORM_ALIKE bytes. */
    guide_set(g, make("{\"type\":\"string\",\"maxLength\":300}"));
    write_text(m, g, "\"first");
    uint64_t bounded = nodes_of_mask(g), more = 0;
    for (int i = 0; i < 12; i++) {
        write_text(m, g, " word");
        uint64_t one = nodes_of_mask(g);
        more = one > more ? one : more;
    }
    CHECK_MSG(bounded > all / 2 && more < all / 5, "%llu, then at most %llu of %u", (unsigned long long)bounded, (unsigned long long)more, all);
    guide_free(g);
    lexicon_free(l);
    eng_model_free(m);
}

/* A form that a text may be read in by ever more ways: no mask of it takes more than its bound, once before and once behind what is kept
 * was forgotten; where it would, nothing may come any more. */
static void test_ways_without_number(void)
{
    static const char *const wild[] = { "root ::= (((\"a\"{0,1000}){0,1000}){0,1000}){0,1000}", "root ::= ((\"a\"{0,100}){0,100}){0,100}", "root ::= (x{0,300} \"a\"?){0,300}\nx ::= \"a\" y?\ny ::= x{0,90}" };
    eng_model *m = open_qwen();
    m = m ? m : open_small();
    lexicon *l = lexicon_new(m);
    int ends = 0;
    for (size_t w = 0; w < sizeof wild / sizeof *wild; w++) {
        guide *g = guide_new(m, l);
        eng_grammar *by = NULL;
        eng_grammar_source s = { .text = wild[w], .n = strlen(wild[w]) };
        CHECK_MSG(eng_grammar_new(&s, &by, err) == Q_OK, "%s: %s", wild[w], err);
        guide_set(g, by);
        bool ended = false, stuck = false;
        uint64_t most = 0;
        int64_t from = q_now_ns();
        int i = 0;
        for (; i < 12 && !ended && !stuck; i++) {
            masks_count a = guide_counts(g);
            guide_mask(g, false, &ended, &stuck);
            masks_count b = guide_counts(g);
            uint64_t cost = b.looked + b.nodes - a.looked - a.nodes;
            most = cost > most ? cost : most;
            write_text(m, g, "aa");
        }
        ends += ended || stuck;
        printf("# %s: %d masks, at most %.1f of the bound, %.1f s\n", wild[w], i, (double)most / MASKS_WORK, (double)(q_now_ns() - from) / 1e9);
        CHECK(most < 3ull * MASKS_WORK);
        guide_free(g);
    }
    CHECK(ends > 0);
    lexicon_free(l);
    eng_model_free(m);
}

/* ---- a sampler ---- */
static void test_sampler(void)
{
    enum { N = 200 };
    float l[N];
    uint64_t mask[4] = { 0 }, none[4] = { 0 }, seed = 7;
    knob_values v = { .temperature = 1.5, .top_p = 1, .repeat_penalty = 1.2, .presence_penalty = 0.5, .repeat_last_n = 64, .seed = 3 };
    eng_sampler *s = sampler_new(N);
    for (int i = 0; i < N; i++) l[i] = (float)(walk_below(&seed, 1000)) / 100 - 5;
    for (int i = 3; i < N; i += 41) mask[i / 64] |= 1ull << i % 64;
    sampler_reset(s, &v);
    eng_choice free_choice = sampler_pick(s, &v, l);
    for (int k = 0; k < 600; k++) {
        static const struct { double t, p, m; int k; } set[] = { { 0, 1, 0, 0 }, { 1, 1, 0, 0 }, { 50, 0.9, 0, 0 }, { 2, 1, 0.3, 0 }, { 1, 0.5, 0, 40 }, { 100, 1, 0, 200 } };
        v.temperature = set[k % 6].t; v.top_p = set[k % 6].p; v.min_p = set[k % 6].m; v.top_k = set[k % 6].k;
        eng_choice c = sampler_pick_among(s, &v, l, mask);
        CHECK_MSG(c.token >= 3 && c.token % 41 == 3, "token %d at temperature %g", c.token, v.temperature);
        if (c.token == free_choice.token) CHECK(c.logprob == free_choice.logprob);      /* the model's own, whatever may come */
        sampler_accept(s, c.token);
    }
    for (int i = 0; i < N; i++) l[i] = i % 41 == 3 ? -INFINITY : 0;        /* the only ones that may come, the model holds for impossible */
    for (int k = 0; k < 20; k++) {
        v.temperature = k % 2;
        CHECK_INT(sampler_pick_among(s, &v, l, mask).token % 41, 3);
    }
    CHECK_INT(sampler_pick_among(s, &v, l, none).token, -1);
    sampler_free(s);
}

static const eng_model *vocabulary_of;

/* The likeliest token is `first` where it may come. */
static int32_t next_token(eng_sampler *s, const eng_config *c, float *l, int n, int32_t first, enum eng_part part)
{
    for (int i = 0; i < n; i++) l[i] = 0;
    l[first] = 10;
    eng_sampler_part(s, part);
    int32_t t = eng_sample(s, c, l).token;
    if (t >= 0 && !eng_token_end(vocabulary_of, t)) eng_sampler_accept(s, t);
    return t;
}

/* A thought may be opened where the reply begins; what is in it is nobody's business; behind it the grammar is at its beginning. */
static void test_thoughts(void)
{
    eng_model *m = open_small();
    eng_config *c = eng_config_new(m);
    int n = eng_model_info(m)->n_vocab;
    float *l = malloc(sizeof *l * (size_t)n);
    eng_sampler *s = eng_sampler_new(m);
    int32_t think = -1, x = -1, y = -1, end = -1;
    size_t k;
    for (int32_t i = n; i-- > 0;) {
        if (strcmp(eng_token_name(m, i), "<think>") == 0) think = i;
        if (eng_token_end(m, i)) end = i;
        const char *p = eng_token_bytes(m, i, &k);
        if (k == 1 && *p == 'x') x = i;
        if (k == 1 && *p == 'y') y = i;
    }
    CHECK(think >= 0 && x >= 0 && y >= 0 && end >= 0);
    CHECK_MSG(eng_config_set(c, "sampler.grammar", "\nroot ::= \"xx\"", err) == 0 && eng_config_set(c, "sampler.temperature", "0", err) == 0, "%s", err);
    vocabulary_of = m;
    eng_sampler_reset(s, c);
    CHECK_INT(next_token(s, c, l, n, think, ENG_PART_TEXT), x);       /* none may begin here */
    eng_sampler_reset(s, c);
    CHECK_INT(next_token(s, c, l, n, y, ENG_PART_OPENING), x);
    eng_sampler_reset(s, c);
    CHECK_INT(next_token(s, c, l, n, think, ENG_PART_OPENING), think);
    for (int i = 0; i < 3; i++) CHECK_INT(next_token(s, c, l, n, y, ENG_PART_THOUGHT), y);
    CHECK_INT(next_token(s, c, l, n, end, ENG_PART_TEXT), x);
    CHECK_INT(next_token(s, c, l, n, y, ENG_PART_TEXT), x);
    CHECK_INT(next_token(s, c, l, n, end, ENG_PART_TEXT), end);
    CHECK(next_token(s, c, l, n, y, ENG_PART_TEXT) != y);
    CHECK(eng_config_set(c, "sampler.grammar", "off", err) == 0);
    CHECK_INT(next_token(s, c, l, n, y, ENG_PART_TEXT), y);
    free(l);
    eng_sampler_free(s);
    eng_config_free(c);
    eng_model_free(m);
}

int main(void)
{
    RUN(test_sampler);
    RUN(test_thoughts);
    RUN(test_small_vocabulary);
    RUN(test_ways_without_number);
    if (access(QWEN, R_OK) == 0) {
        RUN(test_qwen3_vocabulary);
        RUN(test_cost);
    } else {
        SKIP("test_qwen3_vocabulary", QWEN " is absent");
        SKIP("test_cost", QWEN " is absent");
    }
    return TEST_END();
}
