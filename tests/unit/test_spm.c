/* tests: SentencePiece's BPE (tokenizer.ggml.model "llama") against sentencepiece itself (tests/golden/tokenizer/make_spm.py), with a
 * space put first and without; there and back; what is a person's and what is a frame's; damaged files. */
#include "engine/text/own.h"
#include "engine/text/vocab.h"
#include "tests/packed.h"
#include "tests/test.h"
#include "tests/vocab_fixture.h"

#include <cjson/cJSON.h>

static char err[Q_ERRLEN];

typedef struct opened { q_buf file; gguf_file *g; vocab *v; } opened;

static void shut(opened *o)
{
    vocab_free(o->v);
    gguf_close(o->g);
    q_buf_free(&o->file);
    *o = (opened){0};
}

/* The golden vocabulary, as it is or with add_space_prefix turned off. */
static bool golden(opened *o, bool first)
{
    static const char KEY[] = "tokenizer.ggml.add_space_prefix";
    *o = (opened){0};
    int rc = q_read_file(packed("tests/golden/tokenizer/spm.gguf"), &o->file, 1 << 22, err);
    char *at = rc ? NULL : memmem(o->file.p, o->file.len, KEY, sizeof KEY - 1);
    if (at) at[sizeof KEY - 1 + 4] = first;
    if (!rc) rc = gguf_open_memory(o->file.p, o->file.len, &o->g, err);
    if (!rc) rc = vocab_load(o->g, &o->v, err);
    CHECK_MSG(at && rc == Q_OK, "%s", err);
    return rc == Q_OK;
}

static eng_tokens ids_of(const vocab *v, const char *s, size_t n, bool special)
{
    eng_tokens t = {0};
    CHECK_MSG(vocab_tokenize(v, s, n, special, &t, err) == Q_OK, "%s", err);
    return t;
}

static q_buf back(const vocab *v, const eng_tokens *t)
{
    q_buf b = {0};
    eng_detok d = {0};
    for (int i = 0; i < t->n; i++) {
        size_t n;
        const char *s = vocab_detok_bytes(v, &d, t->id[i], &n);
        q_buf_add(&b, s, n);
    }
    return b;
}

static bool is(const eng_tokens *t, const cJSON *want)
{
    if (cJSON_IsString(want)) {
        uint64_t h = 0xcbf29ce484222325u;
        char hex[16];
        for (int i = 0; i < t->n; i++)
            for (int k = 0; k < 4; k++) h = (h ^ ((uint32_t)t->id[i] >> 8 * k & 255)) * 0x100000001b3u;
        snprintf(hex, sizeof hex, "%08x", (unsigned)h);
        return strcmp(hex, want->valuestring) == 0;
    }
    int i = 0;
    const cJSON *x;
    cJSON_ArrayForEach(x, want) if (i >= t->n || t->id[i++] != x->valueint) return false;
    return i == t->n;
}

/* The same ids; and back comes the very text, but that "▁" is a space. */
static void agrees(bool first)
{
    opened o;
    q_buf b = {0};
    cJSON *all = q_read_file(packed("tests/golden/tokenizer/spm.json"), &b, 1 << 24, err) ? NULL : cJSON_ParseWithLength(b.p, b.len);
    const cJSON *c;
    int n = 0, wrong = 0;
    if (golden(&o, first))
        cJSON_ArrayForEach(c, all) {
            const char *text = cJSON_GetObjectItem(c, "text")->valuestring;
            eng_tokens t = ids_of(o.v, text, strlen(text), false);
            bool ok = is(&t, cJSON_GetObjectItem(c, first ? "first" : "plain"));
            q_buf again = back(o.v, &t);
            if (!strstr(text, "\xE2\x96\x81")) ok = ok && again.len == strlen(text) && (!again.len || memcmp(again.p, text, again.len) == 0);
            if (!ok && wrong++ < 5) printf("# \"%s\" gives %d ids and back \"%.*s\"\n", text, t.n, (int)again.len, again.p ? again.p : "");
            n++;
            q_buf_free(&again);
            eng_tokens_free(&t);
        }
    CHECK_MSG(n > 150 && wrong == 0, "%d of %d texts differ", wrong, n);
    cJSON_Delete(all);
    q_buf_free(&b);
    shut(&o);
}
static void a_space_goes_first(void) { agrees(true); }
static void no_space_goes_first(void) { agrees(false); }

/* Bytes that are no characters come through as they are, a character in parts only when it is whole. */
static void any_bytes(void)
{
    opened o;
    unsigned x = 7;
    if (!golden(&o, true)) return;
    for (int round = 0; round < 300; round++) {
        char s[64];
        size_t n = (x = x * 1103515245 + 12345) >> 16 & 63;
        for (size_t i = 0; i < n; i++) s[i] = (char)((x = x * 1103515245 + 12345) >> 16);
        eng_tokens t = ids_of(o.v, s, n, false);
        q_buf b = back(o.v, &t);
        bool same = b.len == n && memcmp(b.p ? b.p : "", s, n) == 0;
        for (size_t i = 0; i + 3 <= n; i++) same = same || memcmp(s + i, "\xE2\x96\x81", 3) == 0;
        CHECK(same);
        q_buf_free(&b);
        eng_tokens_free(&t);
    }
    static const char smile[] = "\xF0\x9F\x99\x82";
    eng_tokens t = ids_of(o.v, smile, 4, false);
    eng_detok d = {0};
    q_buf b = {0};
    CHECK_INT(t.n, 5);                                     /* "▁" and four bytes */
    for (int i = 0; i < t.n; i++) {
        vocab_detok(o.v, &d, t.id[i], &b);
        CHECK_INT(b.len, i + 1 < t.n ? 0 : 4);
    }
    CHECK(b.len == 4 && memcmp(b.p, smile, 4) == 0);
    q_buf_free(&b);
    eng_tokens_free(&t);
    shut(&o);
}

/* The space that encoding puts first goes in decoding, where a text begins and behind a frame's token; not in the middle. */
static void the_first_space(void)
{
    opened o;
    if (!golden(&o, true)) return;
    int32_t turn = vocab_find(o.v, "<turn>"), word = vocab_find(o.v, "\xE2\x96\x81" "the");
    CHECK(turn >= 0 && word >= 0 && vocab_control(o.v, turn));
    const struct { int32_t id[3]; int n; const char *text; } rows[] = {
        {{word, word}, 2, "the the"}, {{turn, word}, 2, "the"}, {{word, turn, word}, 3, "thethe"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        q_buf b = {0};
        eng_detok d = {0};
        for (int k = 0; k < rows[i].n; k++) vocab_detok(o.v, &d, rows[i].id[k], &b);
        CHECK_STR(b.p, rows[i].text);
        q_buf_free(&b);
    }
    const struct { int32_t before; const char *text; } begins[] = {{-1, "the"}, {word, " the"}, {turn, "the"}, {1 << 30, "the"}};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        q_buf b = {0};
        eng_detok d = vocab_detok_behind(o.v, begins[i].before);
        vocab_detok(o.v, &d, word, &b);
        CHECK_STR(b.p, begins[i].text);
        q_buf_free(&b);
    }
    shut(&o);
}

/* A person's words never become a frame's token; HTML and line ends are tokens whoever writes them. */
static void what_is_a_frames(void)
{
    opened o;
    if (!golden(&o, false)) return;
    int32_t turn = vocab_find(o.v, "<turn>"), bold = vocab_find(o.v, "<b>"), end = vocab_find(o.v, "</s>");
    CHECK(vocab_bos(o.v) == vocab_find(o.v, "<s>") && vocab_eos(o.v) == -1 && vocab_end(o.v, end));
    for (int special = 0; special < 2; special++) {
        static const char text[] = "<turn><b>x</s>\n\n<s>";
        char mark[sizeof text - 1] = {0};
        memset(mark, !special, sizeof mark);
        eng_tokens t = ids_of(o.v, text, sizeof text - 1, special), m = {0};
        CHECK(vocab_tokenize_marked(o.v, text, mark, sizeof text - 1, &m, err) == Q_OK && m.n == t.n && memcmp(m.id, t.id, (size_t)t.n * sizeof *t.id) == 0);
        int n[3] = {0};
        for (int i = 0; i < t.n; i++) n[0] += t.id[i] == turn, n[1] += t.id[i] == bold, n[2] += vocab_control(o.v, t.id[i]) || vocab_end(o.v, t.id[i]);
        CHECK_INT(n[0], special);
        CHECK_INT(n[1], 1);
        CHECK_INT(n[2], special ? 3 : 0);
        eng_tokens_free(&t);
        eng_tokens_free(&m);
    }
    shut(&o);
}

/* A template of such a file: its own tokens once each, BOS not twice and not missing, each stretch of text as it is cut by itself,
 * a person's tokens as letters. */
static void templates_chat(void)
{
    static const struct { const char *text; bool bos; } of[] = {
        {"{{ bos_token }}{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<turn>model\n{% endif %}", true},
        {"{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<turn>model\n{% endif %}", false}};
    static const char words[] = "The  experts </s><turn>\n\n<b>said</b>";
    const eng_message m = {ENG_USER, words, sizeof words - 1, NULL};
    const eng_talk talk = {.message = &m, .n = 1, .reply = true, .think = -1};
    const own_token names = {.bos = "<s>", .eos = "</s>"};
    for (int k = 0; k < 4; k++) {
        opened o;
        jinja *j = NULL;
        eng_tokens want = {0}, got = {0};
        if (!golden(&o, k & 1)) return;
        own_open(of[k / 2].text, strlen(of[k / 2].text), &j, err);
        CHECK_MSG(j && own_write(j, o.v, &names, &talk, &got, err) == Q_OK, "%s", err);
        eng_tokens_add(&want, vocab_bos(o.v));
        eng_tokens_add(&want, vocab_find(o.v, "<turn>"));
        CHECK(vocab_tokenize(o.v, "user\n", 5, false, &want, err) == Q_OK && vocab_tokenize(o.v, words, sizeof words - 1, false, &want, err) == Q_OK);
        eng_tokens_add(&want, vocab_find(o.v, "</s>"));
        CHECK(vocab_tokenize(o.v, "\n", 1, false, &want, err) == Q_OK);
        eng_tokens_add(&want, vocab_find(o.v, "<turn>"));
        CHECK(vocab_tokenize(o.v, "model\n", 6, false, &want, err) == Q_OK);
        CHECK_MSG(got.n == want.n && got.n && memcmp(got.id, want.id, (size_t)got.n * sizeof *got.id) == 0, "template %d: %d ids, not %d", k, got.n, want.n);
        jinja_free(j);
        eng_tokens_free(&want);
        eng_tokens_free(&got);
        shut(&o);
    }
}

/* A megabyte of one letter, of spaces and of what no piece has costs no square; a limit on tokens ends it early. */
static void long_runs(void)
{
    opened o;
    enum { N = 1 << 20 };
    if (!golden(&o, true)) return;
    char *s = q_alloc(N);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < N; i++) s[i] = k == 0 ? 'a' : k == 1 ? ' ' : "\xF0\x9F\x99\x82"[i % 4];
        eng_tokens t = {0}, few = {.most = 100};
        CHECK(vocab_tokenize(o.v, s, N, false, &t, err) == Q_OK && t.n > N / 64);
        CHECK(vocab_tokenize(o.v, s, N, false, &few, err) == Q_RANGE);
        eng_tokens_free(&t);
        eng_tokens_free(&few);
    }
    free(s);
    shut(&o);
}

/* A vocabulary of these tokens; scores NULL: none, else so many (which may be too few). */
static int small(opened *o, const char *const *token, const uint32_t *type, uint32_t n, const float *score, uint32_t n_score)
{
    q_buf *b = &o->file;
    *o = (opened){0};
    q_buf_puts(b, "GGUF");
    fx_u32(b, 3);
    fx_u64(b, 0);
    fx_u64(b, score ? 4 : 3);
    fx_str(b, "tokenizer.ggml.model", "llama");
    fx_key(b, "tokenizer.ggml.tokens", GGUF_ARR); fx_u32(b, GGUF_STR); fx_u64(b, n);
    for (uint32_t i = 0; i < n; i++) fx_text(b, token[i], strlen(token[i]));
    fx_key(b, "tokenizer.ggml.token_type", GGUF_ARR); fx_u32(b, GGUF_I32); fx_u64(b, n);
    for (uint32_t i = 0; i < n; i++) fx_u32(b, type[i]);
    if (score) {
        fx_key(b, "tokenizer.ggml.scores", GGUF_ARR); fx_u32(b, GGUF_F32); fx_u64(b, n_score);
        q_buf_add(b, score, n_score * sizeof *score);
    }
    int rc = gguf_open_memory(b->p, b->len, &o->g, err);
    return rc ? rc : vocab_load(o->g, &o->v, err);
}

/* By hand: equal scores are joined from the left, a piece can hold a character that is no token, one without bytes leaves what it
 * does not know as one unknown token, and a name that two tokens have is the first one's. */
static void small_vocabularies(void)
{
    static const char *const token[] = {"<unk>", "\xE2\x96\x81", "a", "b", "ab", "ba", "aba", "\xC3\xA9" "a", "ab"};
    static const uint32_t type[] = {2, 1, 1, 1, 1, 1, 1, 1, 1};
    static const float score[] = {0, -9, -9, -9, -1, -1, -2, -3, -0.5f};
    const struct { const char *text; int32_t id[6]; int n; } rows[] = {
        {"aba", {1, 6}, 2}, {"abab", {1, 4, 4}, 3}, {"baba", {1, 5, 5}, 3}, {"\xC3\xA9" "a", {1, 7}, 2}, {"a\xC3\xA9\xC3\xA9" "b", {1, 2, 0, 3}, 4},
        {"a\xFF\xFF", {1, 2, 0}, 3}, {"", {0}, 0}, {"ba a", {1, 5, 1, 2}, 4}};
    opened o;
    CHECK_MSG(small(&o, token, type, 9, score, 9) == Q_OK, "%s", err);
    for (size_t i = 0; o.v && i < sizeof rows / sizeof *rows; i++) {
        eng_tokens t = ids_of(o.v, rows[i].text, strlen(rows[i].text), false);
        CHECK_MSG(t.n == rows[i].n && (!t.n || memcmp(t.id, rows[i].id, (size_t)t.n * sizeof *t.id) == 0), "%s: %d ids, %d %d %d", rows[i].text, t.n, t.n > 0 ? t.id[0] : -1,
                  t.n > 1 ? t.id[1] : -1, t.n > 2 ? t.id[2] : -1);
        eng_tokens_free(&t);
    }
    shut(&o);
    static const float nan[] = {0, -9, NAN, -9, -1, -1, -2, -3, -4};
    const struct { const float *score; uint32_t n; const char *words; } bad[] = {
        {NULL, 0, "no score for each of its tokens"}, {score, 8, "no score for each of its tokens"}, {nan, 9, "the score of token 2 is no number"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_MSG(small(&o, token, type, 9, bad[i].score, bad[i].n) == Q_FORMAT && !o.v && strstr(err, bad[i].words), "said \"%s\"", err);
        shut(&o);
    }
}

/* Thousands of long pieces, every cut of which is two pieces: to list all that joins would be the square of their bytes. The text is the
 * longest one, which is reached by joining. */
static void pieces_of_pieces(void)
{
    enum { N = 6000, LONG = 1000 };
    char **name = q_alloc(N * sizeof *name);
    uint32_t *type = q_alloc(N * sizeof *type);
    float *score = q_alloc(N * sizeof *score);
    for (int i = 0; i < N; i++) {                          /* "a", "aa", ...; then the same between two others */
        int len = i % LONG + 1, kind = i / LONG;
        name[i] = q_alloc((size_t)LONG + 4);
        memset(name[i], 'a', (size_t)len);
        if (kind) name[i][0] = (char)('a' + kind);
        type[i] = 1;
        score[i] = (float)len;
    }
    free(name[N - 1]);
    name[N - 1] = q_strdup("\xE2\x96\x81");
    opened o;
    CHECK_MSG(small(&o, (const char *const *)name, type, N, score, N) == Q_OK, "%s", err);
    for (int kind = 0; o.v && kind < 2; kind++) {
        char *text = name[kind * LONG + LONG / 2];
        eng_tokens t = ids_of(o.v, text, strlen(text), false);
        CHECK_MSG(t.n == 2 && t.id[0] == N - 1 && t.id[1] == kind * LONG + LONG / 2, "%d tokens, %d and %d", t.n, t.id[0], t.n > 1 ? t.id[1] : -1);
        eng_tokens_free(&t);
    }
    shut(&o);
    for (int i = 0; i < N; i++) free(name[i]);
    free(name);
    free(type);
    free(score);
}

int main(void)
{
    RUN(a_space_goes_first);
    RUN(no_space_goes_first);
    RUN(any_bytes);
    RUN(the_first_space);
    RUN(what_is_a_frames);
    RUN(templates_chat);
    RUN(long_runs);
    RUN(small_vocabularies);
    RUN(pieces_of_pieces);
    return TEST_END();
}
