/* engine/text/pretok: scanners written by hand for the regular expressions of the tokeniser families. No state,
 * any thread. It never allocates while cutting and never looks back further than the piece it is in.
 * Classes come from utf8proc; \s is Unicode's White_Space, as in the engines these expressions run in.
 *
 * gpt2 (openai/gpt-2, encoder.py):
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * olmo (allenai/OLMoE tokenizer.json, after EleutherAI/gpt-neox-20b): the same, after NFC
 * smollm (HuggingFaceTB/SmolLM2 tokenizer.json), starcoder, refact (Granite 3), command-r: each \p{N} alone, what is between them by gpt2's
 * llama-bpe (meta-llama/Llama-3 tokenizer.json):
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * dbrx (databricks/dbrx, OLMo 2), smaug-bpe: as llama-bpe, but merged always; glm4: as llama-bpe without a token before
 *   (src/llama-vocab.cpp of llama.cpp: CHATGLM4)
 * qwen2 (Qwen/Qwen3 tokenizer.json): the same with \p{N} for \p{N}{1,3}
 * qwen35 (Qwen/Qwen3.5 tokenizer.json): as qwen2 with [\p{L}\p{M}] for \p{L}, and [^\s\p{L}\p{M}\p{N}]
 * gpt-4o (openai/gpt-oss, Llama 4; o200k_base of openai/tiktoken), U = \p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}, L = \p{Ll}\p{Lm}\p{Lo}\p{M}, C = (?i:'s|'t|'re|'ve|'m|'ll|'d)?:
 *   [^\r\n\p{L}\p{N}]?[U]*[L]+C|[^\r\n\p{L}\p{N}]?[U]+[L]*C|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * tekken (mistralai/Mistral-Nemo tokenizer.json): the same without C, and \p{N} for \p{N}{1,3}
 * deepseek-v3 (deepseek-ai/DeepSeek-V3 tokenizer.json), one after the other, each within the pieces of the one before:
 *   \p{N}{1,3}, then [\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+, then
 *   [!-/:-@[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * deepseek-coder (deepseek-ai/deepseek-coder-6.7b tokenizer.json): [\r\n], then \s?\p{L}+, then \s?\p{P}+, then HAN+, then \p{N};
 *   HAN = [\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]
 * deepseek-llm (deepseek-ai/deepseek-llm-7b, DeepSeek-V2 tokenizer.json): [\r\n], then \s?[CASED]+ (the table below), then
 *   \s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+, then \s+$, then HAN+, then \p{N} */
#include "engine/text/pretok.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- classes ---- */
enum {
    UPPER = 1 /* Lu Lt */, LOWER = 2 /* Ll */, CASELESS = 4 /* Lm Lo */, MARK = 8, NUMBER = 16, SPACE = 32, PUNCT = 64, SYMBOL = 128, REST = 256,
    LETTER = UPPER | LOWER | CASELESS,
    SIGN = MARK | PUNCT | SYMBOL | REST,                   /* [^\s\p{L}\p{N}] */
};

static unsigned classify(uint32_t cp)
{
    if (cp < 0x80) {
        if ((cp | 32) - 'a' < 26) return cp & 32 ? LOWER : UPPER;
        if (cp - '0' < 10) return NUMBER;
        if (cp == ' ' || cp - 9 < 5) return SPACE;
        return cp < 32 || cp == 127 ? REST : strchr("$+<=>^`|~", (int)cp) ? SYMBOL : PUNCT;
    }
    /* White_Space outside ASCII (PropList.txt); most are Zs, but 0085, 2028 and 2029 are not. */
    if (cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
        cp == 0x202F || cp == 0x205F || cp == 0x3000) return SPACE;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LT: return UPPER;
    case UTF8PROC_CATEGORY_LL: return LOWER;
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: return CASELESS;
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: return MARK;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return NUMBER;
    case UTF8PROC_CATEGORY_PC: case UTF8PROC_CATEGORY_PD: case UTF8PROC_CATEGORY_PS: case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI: case UTF8PROC_CATEGORY_PF: case UTF8PROC_CATEGORY_PO: return PUNCT;
    case UTF8PROC_CATEGORY_SM: case UTF8PROC_CATEGORY_SC: case UTF8PROC_CATEGORY_SK: case UTF8PROC_CATEGORY_SO: return SYMBOL;
    default: return REST;
    }
}

/* One character at i < end: its class and length; a byte that is none is REST. */
static unsigned look(const char *s, size_t i, size_t end, size_t *len)
{
    unsigned char c = (unsigned char)s[i];
    if (c < 0x80) { *len = 1; return classify(c); }
    uint32_t cp;
    *len = (size_t)q_utf8_next(s + i, end - i, &cp);
    return *len == 1 ? (unsigned)REST : classify(cp);
}

/* The end of the run of these classes that begins at i. */
static size_t run(const char *s, size_t i, size_t end, unsigned of)
{
    size_t len;
    while (i < end && look(s, i, end, &len) & of) i += len;
    return i;
}

static size_t numbers(const char *s, size_t i, size_t end, int most)
{
    size_t len;
    for (int k = 0; k < most && i < end && look(s, i, end, &len) & NUMBER; k++) i += len;
    return i;
}

static bool newline(char c) { return c == '\n' || c == '\r'; }
static bool ascii_letter(char c) { return (unsigned)(c | 32) - 'a' < 26; }

/* 's 't 're 've 'm 'll 'd; with fold also in capitals, and long s (U+017F), which folds to s. Its length; 0: there is none. */
static size_t contraction(const char *s, size_t i, size_t end, bool fold)
{
    if (i + 1 >= end || s[i] != '\'') return 0;
    const unsigned char *u = (const unsigned char *)s + i + 1;
    size_t left = end - i - 1;
    if (fold && left >= 2 && u[0] == 0xC5 && u[1] == 0xBF) return 3;
    unsigned a = u[0], b = left >= 2 ? u[1] : 0;
    if (fold) {
        if (a >= 'A' && a <= 'Z') a += 32;
        if (b >= 'A' && b <= 'Z') b += 32;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return 0;
}

/* \s+(?!\S)|\s+ where white space begins at i: all of it at the end of the text, else without the last one. With lines,
 * \s*[\r\n]+ comes first: what follows the last newline is given back. */
static size_t blanks(const char *s, size_t i, size_t end, bool lines)
{
    size_t at = i, last = i, line = i, len;
    while (at < end && look(s, at, end, &len) == SPACE) {
        last = at;
        at += len;
        if (newline(s[last])) line = at;
    }
    if (lines && line > i) return line;
    return at == end || last == i ? at : last;
}

/* ---- scanners: where the piece that begins at i < end ends ---- */
static size_t gpt2(const char *s, size_t i, size_t end)
{
    size_t n = contraction(s, i, end, false), len, from = i;
    if (n) return i + n;
    unsigned c = look(s, i, end, &len);
    if (s[i] == ' ' && i + 1 < end) {
        unsigned after = look(s, i + 1, end, &len);
        if (after != SPACE) c = after, from = i + 1;
    }
    return c == SPACE ? blanks(s, i, end, false) : run(s, from, end, c & LETTER ? LETTER : c == NUMBER ? NUMBER : SIGN);
}

/* Words of these letters with one sign before, up to so many digits, signs with line ends behind. */
static size_t words(const char *s, size_t i, size_t end, unsigned letter, int digits)
{
    size_t n = contraction(s, i, end, true), len, l2;
    if (n) return i + n;
    unsigned c = look(s, i, end, &len), sign = SIGN & ~letter, after = i + len < end ? look(s, i + len, end, &l2) : 0;
    if (c & letter) return run(s, i, end, letter);
    if (c == NUMBER) return numbers(s, i, end, digits);
    if (after & letter && !newline(s[i])) return run(s, i + len, end, letter);
    if (!(c & sign) && !(s[i] == ' ' && after & sign)) return blanks(s, i, end, true);
    size_t at = run(s, c & sign ? i : i + 1, end, sign);
    while (at < end && newline(s[at])) at++;
    return at;
}
static size_t llama3(const char *s, size_t i, size_t end) { return words(s, i, end, LETTER, 3); }
static size_t qwen2(const char *s, size_t i, size_t end) { return words(s, i, end, LETTER, 1); }
static size_t qwen35(const char *s, size_t i, size_t end) { return words(s, i, end, LETTER | MARK, 1); }

/* [U]*[L]+ at i, or, second, [U]+[L]* where that fails; i: it does not match. [U]* takes all it can and gives back down to the last
 * character that is in [L] too, unless one that is only in [L] follows. */
static size_t cased(const char *s, size_t i, size_t end, bool second)
{
    size_t at = i, both = i, len;
    unsigned c = 0;
    while (at < end && (c = look(s, at, end, &len)) & (UPPER | CASELESS | MARK)) {
        at += len;
        if (c != UPPER) both = at;
    }
    if (at < end && c == LOWER) return run(s, at, end, LOWER | CASELESS | MARK);
    return second ? at : both;
}

static size_t o200k(const char *s, size_t i, size_t end, bool contracted, int digits)
{
    size_t len, l2;
    unsigned c = look(s, i, end, &len);
    for (int second = 0; second < 2; second++)
        for (int bare = c & (LETTER | NUMBER) || newline(s[i]); bare < 2; bare++) {
            size_t from = bare ? i : i + len, at = cased(s, from, end, second);
            if (at > from) return at + (contracted ? contraction(s, at, end, true) : 0);
        }
    if (c == NUMBER) return numbers(s, i, end, digits);
    unsigned after = i + len < end ? look(s, i + len, end, &l2) : 0;
    if (!(c & SIGN) && !(s[i] == ' ' && after & SIGN)) return blanks(s, i, end, true);
    size_t at = run(s, c & SIGN ? i : i + 1, end, SIGN);
    while (at < end && (newline(s[at]) || s[at] == '/')) at++;
    return at;
}
static size_t gpt4o(const char *s, size_t i, size_t end) { return o200k(s, i, end, true, 3); }
static size_t tekken(const char *s, size_t i, size_t end) { return o200k(s, i, end, false, 1); }

/* ---- scanners that match some of the text: what is between two matches is a piece too ---- */
/* The end of the match that begins at i, or i. */
typedef size_t matcher(const char *s, size_t i, size_t end);

static size_t between(const char *s, size_t i, size_t end, matcher *match)
{
    size_t at = match(s, i, end), len;
    if (at > i) return at;
    do {
        look(s, at, end, &len);
        at += len;
    } while (at < end && match(s, at, end) == at);
    return at;
}

static size_t match_number(const char *s, size_t i, size_t end) { return numbers(s, i, end, 1); }
static size_t match_numbers(const char *s, size_t i, size_t end) { return numbers(s, i, end, 3); }
static size_t match_newline(const char *s, size_t i, size_t end) { return i + newline(s[i]); }

typedef struct range { uint32_t from, to; } range;
static const range KANA_HAN[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}}, HAN[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}};
static const range SIGNS[] = {{'!', '/'}, {':', '~'}, {0x2018, 0x201F}, {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
/* Letters with two cases as they were when DeepSeek-LLM's expression was made. */
static const range CASED[] = {
    {0x41, 0x5A}, {0x61, 0x7A}, {0xB5, 0xB5}, {0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x1BA}, {0x1BC, 0x1BF}, {0x1C4, 0x293}, {0x295, 0x2AF},
    {0x370, 0x373}, {0x376, 0x376}, {0x377, 0x377}, {0x37B, 0x37D}, {0x37F, 0x37F}, {0x386, 0x386}, {0x388, 0x38A}, {0x38C, 0x38C}, {0x38E, 0x3A1},
    {0x3A3, 0x3F5}, {0x3F7, 0x481}, {0x48A, 0x52F}, {0x531, 0x556}, {0x10A0, 0x10C5}, {0x13A0, 0x13F5}, {0x13F8, 0x13FD}, {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77}, {0x1D79, 0x1D9A}, {0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D},
    {0x1F50, 0x1F57}, {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC}, {0x1FBE, 0x1FBE},
    {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB}, {0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102},
    {0x2107, 0x2107}, {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D}, {0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128}, {0x212A, 0x212D},
    {0x212F, 0x2134}, {0x2139, 0x2139}, {0x213C, 0x213F}, {0x2145, 0x2149}, {0x214E, 0x214E}, {0x2183, 0x2183}, {0x2184, 0x2184}, {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4}, {0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF2}, {0x2CF3, 0x2CF3}, {0xA640, 0xA66D}, {0xA680, 0xA69B}, {0xA722, 0xA76F}, {0xA771, 0xA787},
    {0xA78B, 0xA78E}, {0xAB70, 0xABBF}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}, {0xFF21, 0xFF3A}, {0xFF41, 0xFF5A}, {0x10400, 0x1044F},
    {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

static bool within(const range *r, size_t n, uint32_t cp)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t m = (lo + hi) / 2;
        if (r[m].to < cp) lo = m + 1; else hi = m;
    }
    return lo < n && r[lo].from <= cp;
}

/* The end of the run of these characters that begins at i. */
static size_t run_within(const char *s, size_t i, size_t end, const range *r, size_t n)
{
    while (i < end) {
        uint32_t cp;
        size_t len = (size_t)q_utf8_next(s + i, end - i, &cp);
        if ((len == 1 && (unsigned char)s[i] >= 0x80) || !within(r, n, cp)) break;
        i += len;
    }
    return i;
}
#define WITHIN(s, i, end, r) run_within(s, i, end, r, sizeof (r) / sizeof *(r))

static size_t match_kana_han(const char *s, size_t i, size_t end) { return WITHIN(s, i, end, KANA_HAN); }
static size_t match_han(const char *s, size_t i, size_t end) { return WITHIN(s, i, end, HAN); }

/* Where what may have one white space before it begins: behind it, if it is there. */
static size_t behind_space(const char *s, size_t i, size_t end)
{
    size_t len;
    return look(s, i, end, &len) == SPACE ? i + len : i;
}
static size_t match_letters(const char *s, size_t i, size_t end)
{
    size_t from = behind_space(s, i, end), at = run(s, from, end, LETTER);
    return at > from ? at : i;
}
static size_t match_punct(const char *s, size_t i, size_t end)
{
    size_t from = behind_space(s, i, end), at = run(s, from, end, PUNCT);
    return at > from ? at : i;
}
static size_t match_cased(const char *s, size_t i, size_t end)
{
    size_t from = behind_space(s, i, end), at = WITHIN(s, from, end, CASED);
    return at > from ? at : i;
}
/* U+3000 is white space and a sign: where it is taken for the space and nothing follows, it is the sign. */
static size_t match_signs(const char *s, size_t i, size_t end)
{
    size_t from = behind_space(s, i, end), at = WITHIN(s, from, end, SIGNS);
    return at > from ? at : WITHIN(s, i, end, SIGNS);
}

static size_t match_deepseek3(const char *s, size_t i, size_t end)
{
    size_t len, l2;
    unsigned c = look(s, i, end, &len), after = i + len < end ? look(s, i + len, end, &l2) : 0;
    if ((unsigned char)s[i] < 0x80 && c & (PUNCT | SYMBOL) && i + 1 < end && ascii_letter(s[i + 1])) {
        size_t at = i + 1;
        while (at < end && ascii_letter(s[at])) at++;
        return at;
    }
    if (!(c & (LETTER | PUNCT | SYMBOL)) && !newline(s[i]) && after & (LETTER | MARK)) return run(s, i + len, end, LETTER | MARK);
    if (c & (LETTER | MARK)) return run(s, i, end, LETTER | MARK);
    if (c & (PUNCT | SYMBOL) || (s[i] == ' ' && after & (PUNCT | SYMBOL))) {
        size_t at = run(s, c == SPACE ? i + 1 : i, end, PUNCT | SYMBOL);
        while (at < end && newline(s[at])) at++;
        return at;
    }
    return c == SPACE ? blanks(s, i, end, true) : i;
}

static size_t number(const char *s, size_t i, size_t end) { return between(s, i, end, match_number); }
static size_t three_numbers(const char *s, size_t i, size_t end) { return between(s, i, end, match_numbers); }
static size_t line_end(const char *s, size_t i, size_t end) { return between(s, i, end, match_newline); }
static size_t kana_han(const char *s, size_t i, size_t end) { return between(s, i, end, match_kana_han); }
static size_t han(const char *s, size_t i, size_t end) { return between(s, i, end, match_han); }
static size_t letters(const char *s, size_t i, size_t end) { return between(s, i, end, match_letters); }
static size_t puncts(const char *s, size_t i, size_t end) { return between(s, i, end, match_punct); }
static size_t cased_letters(const char *s, size_t i, size_t end) { return between(s, i, end, match_cased); }
static size_t signs(const char *s, size_t i, size_t end) { return between(s, i, end, match_signs); }
static size_t deepseek3(const char *s, size_t i, size_t end) { return between(s, i, end, match_deepseek3); }

/* \s+$ */
static size_t last_blanks(const char *s, size_t i, size_t end)
{
    size_t from = i, len;
    for (size_t at = i; at < end; at += len)
        if (look(s, at, end, &len) != SPACE) from = at + len;
    return from > i ? from : end;
}

/* ---- families ---- */
/* What a family cuts with, one within the pieces of the other. */
static pretok_scan *const GPT2[] = {gpt2, NULL}, *const SMOLLM[] = {number, gpt2, NULL}, *const LLAMA3[] = {llama3, NULL}, *const QWEN2[] = {qwen2, NULL},
                   *const QWEN35[] = {qwen35, NULL}, *const GPT4O[] = {gpt4o, NULL}, *const TEKKEN[] = {tekken, NULL},
                   *const DEEPSEEK3[] = {three_numbers, kana_han, deepseek3, NULL}, *const DEEPSEEK_CODER[] = {line_end, letters, puncts, han, number, NULL},
                   *const DEEPSEEK_LLM[] = {line_end, cased_letters, signs, last_blanks, han, number, NULL};

static const pretok_family FAMILIES[] = {
    /* name               scanners       NFC    whole  a token before */
    {"gpt2",              GPT2,          false, false, false}, {"gpt-2",       GPT2,          false, false, false},
    {"olmo",              GPT2,          true,  false, false},
    {"smollm",            SMOLLM,        false, false, false}, {"starcoder",   SMOLLM,        false, false, false},
    {"refact",            SMOLLM,        false, false, false}, {"command-r",   SMOLLM,        false, false, false},
    {"llama-bpe",         LLAMA3,        false, true,  true},  {"llama3",      LLAMA3,        false, true,  true},
    {"llama-v3",          LLAMA3,        false, true,  true},
    {"dbrx",              LLAMA3,        false, false, false}, {"smaug-bpe",   LLAMA3,        false, false, false},
    {"glm4",              LLAMA3,        false, true,  false}, {"chatglm-bpe", LLAMA3,        false, true,  false},
    {"qwen2",             QWEN2,         true,  false, false}, {"deepseek-r1-qwen", QWEN2,    true,  false, false},
    {"qwen35",            QWEN35,        true,  false, false},
    {"gpt-4o",            GPT4O,         false, false, false}, {"llama4",      GPT4O,         false, false, false},
    {"tekken",            TEKKEN,        false, true,  true},
    {"deepseek-v3",       DEEPSEEK3,     false, false, false},
    {"deepseek-coder",    DEEPSEEK_CODER, false, false, false}, {"deepseek-llm", DEEPSEEK_LLM, false, false, false},
};
enum { N_FAMILIES = sizeof FAMILIES / sizeof *FAMILIES };

const pretok_family *pretok_find(const char *name, size_t n)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (strlen(FAMILIES[i].name) == n && memcmp(FAMILIES[i].name, name, n) == 0) return &FAMILIES[i];
    return NULL;
}

void pretok_names(q_buf *out)
{
    for (int i = 0; i < N_FAMILIES; i++) q_buf_printf(out, "%s%s", i ? ", " : "", FAMILIES[i].name);
}

bool pretok_next(pretok *p, size_t *from)
{
    size_t end = p->n;
    if (p->at >= p->n) return false;
    *from = p->at;
    for (int k = 0; p->family->scan[k]; k++) {
        if (p->at >= p->limit[k]) p->limit[k] = p->family->scan[k](p->s, p->at, end);
        end = p->limit[k];
    }
    p->at = end;
    return true;
}

/* ---- NFC (UAX 15) ---- */
/* Marks that came after Unicode 9. The normaliser of Hugging Face's tokenizers (unicode-normalization-alignments
 * 0.1.12) has Unicode 9's tables, where these are not yet combining; ids must agree with it, so here too they stay
 * where they are. Found by comparing all code points between U+0315 and U+0300. */
static const uint32_t YOUNG[][2] = {
    {0x7FD, 0x7FD}, {0x898, 0x89F}, {0x8CA, 0x8D3}, {0x9FE, 0x9FE}, {0xC3C, 0xC3C}, {0xD3B, 0xD3C}, {0xEBA, 0xEBA},
    {0x1715, 0x1715}, {0x1ABF, 0x1ACE}, {0x1DF6, 0x1DFA}, {0xA82C, 0xA82C}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC},
    {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
    {0x11839, 0x1183A}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
    {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
};

static bool young(uint32_t c)
{
    for (size_t i = 0; i < sizeof YOUNG / sizeof *YOUNG && YOUNG[i][0] <= c; i++)
        if (c <= YOUNG[i][1]) return true;
    return false;
}

/* Characters of combining class 0 that no composition ends with and that are their own NFC: text made of them
 * alone is NFC already, and nothing composes across the left edge of one. Ranges of common scripts; the rest
 * takes the long way, which gives the same result. */
static bool inert(uint32_t c)
{
    return c < 0x300 || (c >= 0x400 && c <= 0x482) || (c >= 0x48A && c <= 0x590) || (c >= 0x1E00 && c <= 0x1EFF) ||
           (c >= 0x2010 && c <= 0x2027) || (c >= 0x2030 && c <= 0x205E) || (c >= 0x2190 && c <= 0x2328) || (c >= 0x232B && c <= 0x2ADB) ||
           (c >= 0x3041 && c <= 0x3096) || (c >= 0x30A0 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) ||
           (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0x1F300 && c <= 0x1FAFF) ||
           c == 0x11A7 /* no trailing consonant, yet utf8proc would swallow it after a Hangul syllable */ || young(c);
}

bool pretok_is_nfc(const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        if ((unsigned char)text[i] < 0x80) { i++; continue; }
        uint32_t cp;
        int l = q_utf8_next(text + i, n - i, &cp);
        if (l > 1 && !inert(cp)) return false;
        i += (size_t)l;
    }
    return true;
}

/* Stable sort of a run of marks by combining class: a counting sort, since a text may be one long run. */
static void order_marks(utf8proc_int32_t *c, size_t n, utf8proc_int32_t *tmp)
{
    size_t start[257] = {0};
    if (n < 2) return;
    for (size_t i = 0; i < n; i++) start[(unsigned char)utf8proc_get_property(c[i])->combining_class + 1]++;
    for (int i = 1; i < 257; i++) start[i] += start[i - 1];
    for (size_t i = 0; i < n; i++) tmp[start[(unsigned char)utf8proc_get_property(c[i])->combining_class]++] = c[i];
    memcpy(c, tmp, n * sizeof *c);
}

/* Decompose, order, compose: s is valid UTF-8. */
static void nfc_piece(const char *s, size_t n, q_buf *out)
{
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    size_t cap = n + 16, w = 0;
    utf8proc_int32_t *c = q_alloc(cap * sizeof *c);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += (size_t)q_utf8_next(s + i, n - i, &cp);
        if (cap - w < 16) c = q_realloc(c, (cap = cap * 2 + 16) * sizeof *c);
        utf8proc_ssize_t k = utf8proc_decompose_char((utf8proc_int32_t)cp, c + w, (utf8proc_ssize_t)(cap - w), how, NULL);
        if (k > 0 && (size_t)k <= cap - w) w += (size_t)k;
        else c[w++] = (utf8proc_int32_t)cp;
    }
    utf8proc_int32_t *tmp = q_alloc((w + 1) * sizeof *tmp);
    for (size_t i = 0; i < w;) {
        size_t j = i;
        while (j < w && utf8proc_get_property(c[j])->combining_class) j++;
        order_marks(c + i, j - i, tmp);
        i = j + 1;
    }
    free(tmp);
    utf8proc_ssize_t k = utf8proc_normalize_utf32(c, (utf8proc_ssize_t)w, how);
    for (utf8proc_ssize_t i = 0; i < k; i++) {
        char u[4];
        q_buf_add(out, u, (size_t)q_utf8_put(u, (uint32_t)c[i]));
    }
    free(c);
}

void pretok_nfc(const char *text, size_t n, q_buf *out)
{
    size_t done = 0, prev = 0;                   /* [0, done) is written; prev: start of the character before i */
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int l = q_utf8_next(text + i, n - i, &cp);
        if (l == 1 || inert(cp)) { prev = i; i += (size_t)l; continue; }
        /* A piece from the character before (it may compose with what follows) to the next inert one. A stray byte
         * or a young mark before is not part of it. */
        size_t from = i;
        if (prev < i && ((unsigned char)text[prev] < 0x80 || (q_utf8_next(text + prev, n - prev, &cp) > 1 && !young(cp)))) from = prev;
        if (from < done) from = done;
        q_buf_add(out, text + done, from - done);
        size_t end = i + (size_t)l;
        while (end < n) {
            int l2 = q_utf8_next(text + end, n - end, &cp);
            if (l2 == 1 || inert(cp)) break;
            end += (size_t)l2;
        }
        nfc_piece(text + from, end - from, out);
        done = prev = i = end;
    }
    q_buf_add(out, text + done, n - done);
}
