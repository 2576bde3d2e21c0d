/* engine/text/pretok: scanners written by hand for the regular expressions of four tokeniser families. No state,
 * any thread. It never allocates while cutting and never looks back further than the piece it is in.
 * Classes come from utf8proc; \s is Unicode's White_Space, as in the engines these expressions run in.
 *
 * gpt2 (openai/gpt-2, encoder.py):
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * smollm (HuggingFaceTB/SmolLM2 tokenizer.json): each \p{N} alone, what is between them by gpt2's expression
 * llama-bpe (meta-llama/Llama-3 tokenizer.json):
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * glm4: as llama-bpe, but merged always (src/llama-vocab.cpp of llama.cpp: CHATGLM4)
 * qwen2 (Qwen/Qwen3 tokenizer.json): the same with \p{N} for \p{N}{1,3} */
#include "engine/text/pretok.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const pretok_family FAMILIES[] = {
    {"gpt2", PRETOK_GPT2, false, false, false},      {"gpt-2", PRETOK_GPT2, false, false, false},
    {"smollm", PRETOK_SMOLLM, false, false, false},
    {"llama-bpe", PRETOK_LLAMA3, false, true, true}, {"llama3", PRETOK_LLAMA3, false, true, true},
    {"llama-v3", PRETOK_LLAMA3, false, true, true},
    {"glm4", PRETOK_LLAMA3, false, false, false},    {"chatglm-bpe", PRETOK_LLAMA3, false, false, false},
    {"qwen2", PRETOK_QWEN2, true, false, false},     {"deepseek-r1-qwen", PRETOK_QWEN2, true, false, false},
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

/* ---- classes ---- */
enum class { LETTER, NUMBER, SPACE, OTHER };

static enum class classify(uint32_t cp)
{
    if (cp < 0x80) {
        if ((cp | 32) - 'a' < 26) return LETTER;
        if (cp - '0' < 10) return NUMBER;
        return cp == ' ' || cp - 9 < 5 ? SPACE : OTHER;
    }
    /* White_Space outside ASCII (PropList.txt); most are Zs, but 0085, 2028 and 2029 are not. */
    if (cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
        cp == 0x202F || cp == 0x205F || cp == 0x3000) return SPACE;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: return LETTER;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return NUMBER;
    default: return OTHER;
    }
}

/* One character of p at i, i < limit: its class and length. */
static enum class look(const pretok *p, size_t i, size_t *len)
{
    unsigned char c = (unsigned char)p->s[i];
    if (c < 0x80) { *len = 1; return classify(c); }
    uint32_t cp;
    *len = (size_t)q_utf8_next(p->s + i, p->limit - i, &cp);
    return *len == 1 ? OTHER : classify(cp);
}

/* The end of the run of `want` that begins at i; *last is where its last character begins (i if empty). */
static size_t run(const pretok *p, size_t i, enum class want, size_t *last)
{
    size_t len;
    *last = i;
    while (i < p->limit && look(p, i, &len) == want) { *last = i; i += len; }
    return i;
}

/* 's 't 're 've 'm 'll 'd; with fold also in capitals, and long s (U+017F), which folds to s. */
static size_t contraction(const pretok *p, size_t i, bool fold)
{
    if (p->s[i] != '\'' || i + 1 >= p->limit) return 0;
    const unsigned char *u = (const unsigned char *)p->s + i + 1;
    size_t left = p->limit - i - 1;
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

/* \s+(?!\S)|\s+ on the whitespace run [i, end): all of it at the end of the text, else without the last one. */
static size_t spaces(const pretok *p, size_t i, size_t end, size_t last)
{
    return end == p->limit || last == i ? end : last;
}

static size_t scan_gpt2(const pretok *p, size_t i)
{
    size_t n = contraction(p, i, false), len, last;
    if (n) return i + n;
    enum class c = look(p, i, &len);
    if (p->s[i] == ' ' && i + 1 < p->limit) {
        size_t l2;
        enum class after = look(p, i + 1, &l2);
        if (after != SPACE) return run(p, i + 1, after, &last);
    }
    size_t end = run(p, i, c, &last);
    return c == SPACE ? spaces(p, i, end, last) : end;
}

static bool newline(char c) { return c == '\n' || c == '\r'; }

static size_t scan_llama3(const pretok *p, size_t i, int digits)
{
    size_t n = contraction(p, i, true), len, last;
    if (n) return i + n;
    enum class c = look(p, i, &len);
    if (c == LETTER) return run(p, i, LETTER, &last);
    if (c == NUMBER) {
        size_t end = i + len, l2;
        for (int k = 1; k < digits && end < p->limit && look(p, end, &l2) == NUMBER; k++) end += l2;
        return end;
    }
    enum class after = OTHER;
    size_t l2 = 0;
    if (i + len < p->limit) after = look(p, i + len, &l2);
    if (after == LETTER && l2 && !newline(p->s[i])) return run(p, i + len, LETTER, &last);
    size_t symbol = c == OTHER ? i : p->s[i] == ' ' && l2 && after == OTHER ? i + 1 : SIZE_MAX;
    if (symbol != SIZE_MAX) {
        size_t end = run(p, symbol, OTHER, &last);
        while (end < p->limit && newline(p->s[end])) end++;
        return end;
    }
    size_t end = run(p, i, SPACE, &last), k = end;
    while (k > i && !newline(p->s[k - 1])) k--;              /* \s*[\r\n]+ gives back what follows the last newline */
    return k > i ? k : spaces(p, i, end, last);
}

bool pretok_next(pretok *p, size_t *from)
{
    if (p->at >= p->n) return false;
    *from = p->at;
    size_t len;
    switch (p->kind) {
    case PRETOK_SMOLLM:
        if (p->at >= p->limit) {                             /* find the next stretch between numbers */
            p->limit = p->n;
            if (look(p, p->at, &len) == NUMBER) { p->at += len; p->limit = p->at; return true; }
            size_t i = p->at;
            while (i < p->n && look(p, i, &len) != NUMBER) i += len;
            p->limit = i;
        }
        p->at = scan_gpt2(p, p->at);
        return true;
    case PRETOK_GPT2: p->limit = p->n; p->at = scan_gpt2(p, p->at); return true;
    case PRETOK_LLAMA3: p->limit = p->n; p->at = scan_llama3(p, p->at, 3); return true;
    case PRETOK_QWEN2: p->limit = p->n; p->at = scan_llama3(p, p->at, 1); return true;
    }
    return false;
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
