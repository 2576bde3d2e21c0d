/* tests/fuzz/text: any bytes through NFC, the pre-tokenisers, the tokenizer and the streaming decoder; any ids
 * through the decoder; damaged chat templates; stop strings. */
#include "engine/text/pretok.h"
#include "engine/run/sample.h"
#include "engine/text/template.h"
#include "tests/fuzz/fuzz.h"
#include "tests/vocab_fixture.h"

static const char *const FAMILY[] = {"gpt2", "smollm", "llama-bpe", "qwen2", "qwen35", "gpt-4o", "tekken", "deepseek-v3", "deepseek-coder", "deepseek-llm"};
enum { FAMILIES = sizeof FAMILY / sizeof *FAMILY };
static vocab *vocabs[FAMILIES];
static fixture files[FAMILIES];
static gguf_file *ggufs[FAMILIES];

static bool open_all(void)
{
    char err[Q_ERRLEN];
    for (int i = 0; i < FAMILIES; i++)
        if (!fixture_make(&files[i], FAMILY[i], NULL, false) || gguf_open_memory(files[i].file.p, files[i].file.len, &ggufs[i], err) ||
            vocab_load(ggufs[i], &vocabs[i], err)) return false;
    return true;
}
static void close_all(void)
{
    for (int i = 0; i < FAMILIES; i++) {
        vocab_free(vocabs[i]);
        gguf_close(ggufs[i]);
        q_buf_free(&files[i].file);
    }
}

static void text_seed(fuzz_rng *r, q_buf *b)
{
    static const char *parts[] = {"Кворум собрался", " the experts' votes", " 12345", "\n\n", "  \t", "e\xCC\x81\xCC\xA3", "й ё", "가각\xE1\x86\xA8",
                                  "👨‍👩‍👧", "<|im_start|>", "<think>", "</think>", "<thinker", "DON'T we'LL", "\xC5\xBF", "\xE3\x80\x80", "नमस्ते", "x=0x1F;",
                                  "\xE0\xA3\x93\xCC\xA1", "\xFF\xFE", "\xE2\x82", "\r\n", "\xC2\x85", "½Ⅻ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    int n = 1 + (int)fuzz_below(r, 12);
    for (int i = 0; i < n; i++) q_buf_puts(b, parts[fuzz_below(r, sizeof parts / sizeof *parts)]);
}

static int check_family(int f, const char *p, size_t n, bool special)
{
    const vocab *v = vocabs[f];
    char err[Q_ERRLEN];
    eng_tokens t = {0};
    q_buf raw = {0}, shown = {0}, want = {0};
    eng_detok d = {0};
    int rc = vocab_tokenize(v, p, n, special, &t, err) ? FUZZ_BROKEN("%s", err) : 0;
    for (int i = 0; i < t.n && !rc; i++) {
        size_t k;
        const char *s = vocab_bytes(v, t.id[i], &k);
        if (t.id[i] < 0 || t.id[i] >= vocab_size(v)) rc = FUZZ_BROKEN("id %d", t.id[i]);
        else if (!special && vocab_control(v, t.id[i])) rc = FUZZ_BROKEN("a control token in plain text");
        if (vocab_control(v, t.id[i])) q_buf_puts(&raw, vocab_name(v, t.id[i]));
        else q_buf_add(&raw, s, k);
        vocab_detok(v, &d, t.id[i], &shown);
        if (!q_utf8_valid(shown.p ? shown.p : "", shown.len)) rc = FUZZ_BROKEN("half a character was shown");
    }
    eng_detok_end(&d, &shown);
    if (!q_utf8_valid(shown.p ? shown.p : "", shown.len)) rc = FUZZ_BROKEN("the end is not UTF-8");
    /* Every byte comes back; under NFC only text without added tokens compares (these split before it). */
    bool nfc = pretok_find(FAMILY[f], strlen(FAMILY[f]))->nfc;
    if (nfc) pretok_nfc(p, n, &want); else q_buf_add(&want, p, n);
    if (!rc && (!nfc || (!memchr(p, '<', n) && n)) && (raw.len != want.len || (raw.len && memcmp(raw.p, want.p, raw.len) != 0)))
        rc = FUZZ_BROKEN("%s: %zu bytes in, %zu bytes back", FAMILY[f], n, raw.len);
    eng_tokens_free(&t);
    q_buf_free(&raw);
    q_buf_free(&shown);
    q_buf_free(&want);
    return rc;
}

static int text_run(const char *p, size_t n)
{
    q_buf once = {0}, twice = {0};
    int rc = 0;
    pretok_nfc(p, n, &once);
    pretok_nfc(once.p ? once.p : "", once.len, &twice);
    if (once.len != twice.len || (once.len && memcmp(once.p, twice.p, once.len) != 0)) rc = FUZZ_BROKEN("NFC of NFC differs");
    if (pretok_is_nfc(p, n) && (once.len != n || (n && memcmp(once.p, p, n) != 0))) rc = FUZZ_BROKEN("text called NFC is changed by it");
    q_buf_free(&once);
    q_buf_free(&twice);
    for (int f = 0; f < FAMILIES && !rc; f++) {
        pretok k = {.family = pretok_find(FAMILY[f], strlen(FAMILY[f])), .s = p, .n = n};
        size_t from, end = 0;
        while (pretok_next(&k, &from)) {
            if (from != end || k.at <= from || k.at > n) { rc = FUZZ_BROKEN("%s: piece %zu..%zu after %zu", FAMILY[f], from, k.at, end); break; }
            end = k.at;
        }
        if (!rc && end != n) rc = FUZZ_BROKEN("%s: the pieces end at %zu of %zu", FAMILY[f], end, n);
        for (int special = 0; special < 2 && !rc; special++) rc = check_family(f, p, n, special);
    }
    return rc < 0 ? rc : 1;
}
const fuzz_target fuzz_text = {"text", 4000, 20000, open_all, text_seed, text_run, close_all, 0};

/* ---- ids in any order through the streaming decoder ---- */
static void ids_seed(fuzz_rng *r, q_buf *b)
{
    int n = 1 + (int)fuzz_below(r, 40);
    for (int i = 0; i < n; i++) {
        int32_t id = (int32_t)fuzz_below(r, fuzz_below(r, 2) ? 256 : 2900);
        q_buf_add(b, &id, 4);
    }
}
static int ids_run(const char *p, size_t n)
{
    q_buf raw = {0}, shown = {0}, at_once = {0};
    eng_detok d = {0}, e = {0};
    int rc = 1;
    for (size_t i = 0; i + 4 <= n; i += 4) {
        int32_t id;
        size_t k;
        memcpy(&id, p + i, 4);
        const char *s = vocab_bytes(vocabs[0], id, &k);
        q_buf_add(&raw, s, k);
        vocab_detok(vocabs[0], &d, id, &shown);
        if (!q_utf8_valid(shown.p ? shown.p : "", shown.len)) rc = FUZZ_BROKEN("half a character was shown");
    }
    eng_detok_end(&d, &shown);
    for (size_t i = 0; i < raw.len; i++) vocab_detok(vocabs[0], &e, (unsigned char)raw.p[i], &at_once);      /* ids 0..255 are the bytes */
    eng_detok_end(&e, &at_once);
    if (shown.len != at_once.len || (shown.len && memcmp(shown.p, at_once.p, shown.len) != 0)) rc = FUZZ_BROKEN("the text depends on where tokens end");
    if (raw.len && q_utf8_valid(raw.p, raw.len) && (shown.len != raw.len || memcmp(shown.p, raw.p, raw.len) != 0)) rc = FUZZ_BROKEN("good text was changed");
    q_buf_free(&raw);
    q_buf_free(&shown);
    q_buf_free(&at_once);
    return rc;
}
const fuzz_target fuzz_ids = {"ids", 4000, 20000, open_all, ids_seed, ids_run, close_all, 0};

/* ---- chat templates and conversations ---- */
static void template_seed(fuzz_rng *r, q_buf *b)
{
    static const char *t[] = {"{{ '<|im_start|>system\\nYou are Nobody.<|im_end|>\\n' }}{%- if enable_thinking is false %}<think>\\n\\n</think>{%- endif %}last_query_index<tool_response>",
                              "{{'<|im_start|>assistant\\n<think>\\n'}}</think>", "<|im_start|>system\nS<|im_end|>", "[INST] {{ x }} [/INST]"};
    q_buf_puts(b, t[fuzz_below(r, 4)]);
}
static int template_run(const char *p, size_t n)
{
    q_buf b = {0};
    q_buf_puts(&b, "GGUF");
    fx_u32(&b, 3); fx_u64(&b, 0); fx_u64(&b, 1);
    fx_key(&b, "tokenizer.chat_template", GGUF_STR); fx_text(&b, p, n);
    char err[Q_ERRLEN];
    gguf_file *f;
    chat c;
    if (gguf_open_memory(b.p, b.len, &f, err)) return FUZZ_BROKEN("%s", err);
    chat_read(f, &c);
    bool known = c.has && !c.note;
    chat_free(&c);
    gguf_close(f);
    q_buf_free(&b);

    /* The same bytes as a conversation: every message's text is plain, so control tokens come from the frame alone. */
    eng_message m[4] = {{ENG_USER, p, n, NULL}, {ENG_ASSISTANT, p, n, NULL}, {ENG_TOOL, p, n / 2, NULL}, {ENG_ASSISTANT, p, n, NULL}};
    eng_tokens t = {0};
    int controls = 0;
    chat_read(ggufs[3], &c);
    if (chat_render(&c, vocabs[3], m, 4, true, 1, &t, err)) return FUZZ_BROKEN("%s", err);
    for (int i = 0; i < t.n; i++) controls += vocab_control(vocabs[3], t.id[i]);
    eng_tokens_free(&t);
    if (controls != 9) return FUZZ_BROKEN("%d control tokens in a frame of 9", controls);
    return known;
}
const fuzz_target fuzz_template = {"template", 2500, 20000, open_all, template_seed, template_run, close_all, 0};

/* ---- stop strings: the first half of the input is the list, the second the text ---- */
static void stops_seed(fuzz_rng *r, q_buf *b)
{
    static const char *s[] = {"END,\\n\\n|the EN", "a\\,b,aab|aab a,b", "###|# ##", ",,\\|x\\"};
    q_buf_puts(b, s[fuzz_below(r, 4)]);
}
static int stops_run(const char *p, size_t n)
{
    const char *bar = memchr(p, '|', n);
    char *list = q_strndup(p, bar ? (size_t)(bar - p) : n / 2);
    const char *text = bar ? bar + 1 : p + n / 2;
    size_t len = n - (size_t)(text - p);
    long r = sampling_stop(list, "<|im_end|>", text, len);
    free(list);
    if (r > (long)len || -1 - r >= (long)(len ? len : 1)) return FUZZ_BROKEN("%ld for a text of %zu bytes", r, len);
    return 1;
}
const fuzz_target fuzz_stops = {"stops", 3000, 20000, NULL, stops_seed, stops_run, NULL, 0};
