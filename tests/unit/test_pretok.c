/* tests: each family's way of cutting text against Hugging Face's tokenizers with the published expressions (golden:
 * tests/golden/tokenizer/make_pretok.py, which also compares whole corpora), and pieces by hand where the expressions are easy to
 * get wrong. */
#include "engine/text/pretok.h"
#include "engine/text/vocab.h"
#include "tests/packed.h"
#include "tests/test.h"
#include "tests/vocab_fixture.h"

#include <cjson/cJSON.h>

enum { GROUP = 16, FAMILIES = 10 };
static char err[Q_ERRLEN];

static cJSON *read_json(const char *path)
{
    q_buf b = {0};
    cJSON *j = q_read_file(packed(path), &b, 64 << 20, err) == 0 ? cJSON_Parse(b.p) : NULL;
    q_buf_free(&b);
    return j;
}

static uint64_t fnv(uint64_t h, const eng_tokens *t)
{
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < 4; k++) h = (h ^ ((uint32_t)t->id[i] >> 8 * k & 255)) * 0x100000001b3u;
    return h;
}

static int groups_that_differ(const vocab *v, const cJSON *hashes, const cJSON *texts)
{
    const cJSON *h, *text = texts->child;
    int bad = 0, n = 0;
    cJSON_ArrayForEach(h, hashes) {
        uint64_t got = 0xcbf29ce484222325u;
        const char *from = text ? text->valuestring : "";
        for (int i = 0; i < GROUP && text; i++, text = text->next, n++) {
            eng_tokens t = {0};
            CHECK(vocab_tokenize(v, text->valuestring, strlen(text->valuestring), false, &t, err) == Q_OK);
            got = fnv(got, &t);
            eng_tokens_free(&t);
        }
        if ((uint32_t)got != strtoul(h->valuestring, NULL, 16) && bad++ < 3) printf("# the %d texts from \"%.60s\" on differ\n", GROUP, from);
    }
    CHECK(n > 1000 && !text);
    return bad;
}

static void ids_of_each_family(void)
{
    cJSON *cases = read_json("tests/golden/tokenizer/cases.json"), *all = read_json("tests/golden/tokenizer/pretok.json");
    const cJSON *family;
    int n = 0;
    cJSON_ArrayForEach(family, all) {
        fixture f;
        gguf_file *g = NULL;
        vocab *v = NULL;
        CHECK(fixture_make(&f, family->string, NULL, false) && gguf_open_memory(f.file.p, f.file.len, &g, err) == 0 && vocab_load(g, &v, err) == 0);
        if (v) CHECK_MSG(groups_that_differ(v, family, cJSON_GetObjectItem(cases, "texts")) == 0, "%s", family->string);
        n++;
        vocab_free(v);
        gguf_close(g);
        q_buf_free(&f.file);
    }
    CHECK_INT(n, FAMILIES);
    cJSON_Delete(cases);
    cJSON_Delete(all);
}

/* Pieces joined by '|'. */
static void pieces_by_hand(void)
{
    static const struct { const char *family, *text, *pieces; } rows[] = {
        {"gpt-4o", "HTTPServer's don'T", "HTTPServer's| don'T"},
        {"tekken", "HTTPServer's don't", "HTTPServer|'s| don|'t"},
        {"gpt-4o", "日ABC 日aB 日AB", "日|ABC| 日a|B| 日|AB"},      /* [U]* gives back to the last that is in [L] too */
        {"gpt-4o", "1234 x\r\n/ !\n/\n//a", "123|4| x|\r\n|/| !\n/\n//|a"},
        {"tekken", "2024", "2|0|2|4"},
        {"gpt-4o", "\xCC\x81" "a \xCC\x81!\xCC\x81!!\xCC\x81", "\xCC\x81" "a| \xCC\x81|!\xCC\x81|!!\xCC\x81"},
        {"qwen35", "नमस्ते दुनिया 12", "नमस्ते| दुनिया| |1|2"},
        {"qwen2", "नमस्ते", "नमस|्त|े"},
        {"deepseek-v3", "カタ・カナ中文abc漢a", "カタ|・|カナ中文|abc|漢|a"},
        {"deepseek-v3", "#include <stdio.h>'été' $5", "#include| <|stdio|.h|>'|été|'| $|5"},
        {"deepseek-v3", "a\x01\x02z\x01", "a|\x01|\x02z|\x01"},
        {"deepseek-v3", "x12345y  z \n ", "x|123|45|y| | z| \n| "},
        {"deepseek-coder", "int x1=23;\r\n中x", "int| x|1|=|2|3|;|\r|\n|中|x"},
        {"deepseek-llm", "éa!b  c  ", "é|a|!|b| | c|  "},           /* the signs' ranges hold the small ASCII letters too */
        {"deepseek-llm", "x\xE3\x80\x80\xE3\x80\x80y", "x|\xE3\x80\x80|\xE3\x80\x80|y"},      /* U+3000: white space, a sign and within HAN */
        {"smollm", "a12 b", "a|1|2| b"},
        {"dbrx", "a\n \n  b", "a|\n \n| | b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = rows[i].text;
        pretok p = {.family = pretok_find(rows[i].family, strlen(rows[i].family)), .s = text, .n = strlen(text)};
        q_buf got = {0};
        size_t from, at = 0;
        CHECK(p.family);
        while (p.family && pretok_next(&p, &from)) {
            CHECK(from == at && p.at > from);
            q_buf_printf(&got, "%s%.*s", from ? "|" : "", (int)(p.at - from), text + from);
            at = p.at;
        }
        CHECK_MSG(got.p && strcmp(got.p, rows[i].pieces) == 0, "%s: %s, not %s", rows[i].family, got.p, rows[i].pieces);
        q_buf_free(&got);
    }
}

/* A megabyte of what each expression could look at again and again costs no square. */
static void long_runs(void)
{
    static const char *const unit[] = {"a", "A", "\xE6\x97\xA5", "\xE6\x97\xA5" "A", " ", "\n", "1", "!", "\x01", "\xCC\x81", "\xFF", " \xE3\x80\x80", "'s", "\xE3\x83\xBB", "A\xE6\x97\xA5" "a "};
    static const char *const family[] = {"gpt2", "smollm", "llama3", "qwen35", "gpt-4o", "tekken", "deepseek-v3", "deepseek-coder", "deepseek-llm"};
    enum { N = 1 << 20 };
    char *s = q_alloc(N + 1);
    for (size_t u = 0; u < sizeof unit / sizeof *unit; u++) {
        for (size_t i = 0, k = strlen(unit[u]); i < N; i++) s[i] = unit[u][i % k];
        s[N] = 'x';
        for (size_t f = 0; f < sizeof family / sizeof *family; f++) {
            pretok p = {.family = pretok_find(family[f], strlen(family[f])), .s = s, .n = N + 1};
            size_t from, at = 0;
            while (pretok_next(&p, &from) && from == at) at = p.at;
            CHECK_INT(at, N + 1);
        }
    }
    free(s);
}

int main(void)
{
    RUN(ids_of_each_family);
    RUN(pieces_by_hand);
    RUN(long_runs);
    return TEST_END();
}
