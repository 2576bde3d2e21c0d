/* tests: the vocabularies of embedding models against the libraries that made them (tests/golden/tokenizer/make_pieces.py):
 * unigram against sentencepiece, WordPiece in both spellings against tokenizers; damaged files; e5's own where it is here. */
#include "base/base.h"
#include "engine/models.h"
#include "engine/text/charsmap.h"
#include "engine/text/trie.h"
#include "engine/text/vocab.h"
#include "tests/test.h"
#include "tests/packed.h"

#include <cjson/cJSON.h>
#include <unistd.h>

static char err[Q_ERRLEN];

typedef struct opened { q_buf file; gguf_file *g; vocab *v; } opened;

static int open_bytes(opened *o)
{
    int rc = gguf_open_memory(o->file.p, o->file.len, &o->g, err);
    return rc ? rc : vocab_load(o->g, &o->v, err);
}

static void shut(opened *o)
{
    vocab_free(o->v);
    gguf_close(o->g);
    q_buf_free(&o->file);
    *o = (opened){0};
}

static bool golden(opened *o, const char *name)
{
    char *path = q_printf("tests/golden/tokenizer/%s.gguf", name);
    *o = (opened){0};
    int rc = q_read_file(packed(path), &o->file, 1 << 22, err);
    if (!rc) rc = open_bytes(o);
    CHECK_MSG(rc == Q_OK, "%s: %s", path, err);
    free(path);
    return rc == Q_OK;
}

static cJSON *read_json(const char *path)
{
    q_buf b = {0};
    cJSON *j = q_read_file(packed(path), &b, 1 << 24, err) ? NULL : cJSON_ParseWithLength(b.p, b.len);
    q_buf_free(&b);
    return j;
}

static eng_tokens ids_of(const vocab *v, const char *s, size_t n)
{
    eng_tokens t = {0};
    CHECK_MSG(vocab_tokenize(v, s, n, false, &t, err) == Q_OK, "%s", err);
    return t;
}

static bool same_ids(const eng_tokens *t, const cJSON *want)
{
    int i = 0;
    const cJSON *x;
    cJSON_ArrayForEach(x, want) if (i >= t->n || t->id[i++] != (int32_t)x->valuedouble) return false;
    return i == t->n;
}

/* Every text of the golden; few of them may have no ids, all have an answer. */
static void agrees(const char *name, int least_tokens)
{
    opened o;
    cJSON *all = read_json("tests/golden/tokenizer/pieces.json");
    const cJSON *c;
    int n = 0, wrong = 0, tokens = 0;
    if (golden(&o, name))
        cJSON_ArrayForEach(c, all)
        {
            const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(c, "text"));
            eng_tokens t = ids_of(o.v, text, strlen(text));
            n++;
            tokens += t.n;
            if (!same_ids(&t, cJSON_GetObjectItem(c, name)) && wrong++ < 5) {
                char *want = cJSON_PrintUnformatted(cJSON_GetObjectItem(c, name));
                printf("# \"%s\": want %s, have", text, want);
                for (int i = 0; i < t.n; i++) printf(" %d", t.id[i]);
                puts("");
                free(want);
            }
            eng_tokens_free(&t);
        }
    CHECK_INT(wrong, 0);
    CHECK_MSG(n > 300 && tokens > least_tokens, "%d texts, %d tokens", n, tokens);
    printf("# %s: %d texts, %d tokens\n", name, n, tokens);
    cJSON_Delete(all);
    shut(&o);
}

static void test_unigram(void) { agrees("unigram", 5000); }
static void test_wordpiece(void) { agrees("wordpiece", 5000); }
static void test_wordpiece_cased(void) { agrees("wordpiece-cased", 5000); }

/* What goes before and after a text, where the file says it and where it is told not to. */
static void test_frame(void)
{
    static const struct { const char *name, *first, *last; } of[] = {
        {"unigram", "<s>", "</s>"}, {"wordpiece", "[CLS]", "[SEP]"}, {"wordpiece-cased", "[CLS]", "[SEP]"}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        opened o;
        if (!golden(&o, of[i].name)) continue;
        CHECK_STR(vocab_name(o.v, vocab_bos(o.v)), of[i].first);
        CHECK_STR(vocab_name(o.v, vocab_eos(o.v)), of[i].last);
        CHECK(vocab_control(o.v, vocab_bos(o.v)) && vocab_control(o.v, vocab_eos(o.v)));
        shut(&o);
    }
    /* add_eos_token switched off in the bytes of the file: the flag stands behind its key and type. */
    opened o;
    if (!golden(&o, "unigram")) return;
    shut(&o);
    CHECK_INT(q_read_file(packed("tests/golden/tokenizer/unigram.gguf"), &o.file, 1 << 22, err), Q_OK);
    static const char key[] = "tokenizer.ggml.add_eos_token";
    char *at = memmem(o.file.p, o.file.len, key, sizeof key - 1);
    CHECK(at && at[sizeof key - 1 + 4] == 1);
    if (at) at[sizeof key - 1 + 4] = 0;
    CHECK_INT(open_bytes(&o), Q_OK);
    CHECK_INT(vocab_eos(o.v), -1);
    CHECK(vocab_bos(o.v) >= 0);
    shut(&o);
}

static char *decoded(const vocab *v, const char *s)
{
    eng_tokens t = ids_of(v, s, strlen(s));
    eng_detok d = {0};
    q_buf b = {0};
    for (int i = 0; i < t.n; i++) vocab_detok(v, &d, t.id[i], &b);
    eng_detok_end(&d, &b);
    eng_tokens_free(&t);
    return q_buf_take(&b);
}

static void test_back(void)
{
    static const struct { const char *name, *text, *back; } of[] = {
        {"unigram", "  the expert  said\tso ", "the expert said so"}, {"unigram", "роутер ﬁne", "роутер fine"},
        {"wordpiece", "The expert's ROUTER", " the expert ' s router"}, {"wordpiece-cased", "The expert said", " The expert said"}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        opened o;
        if (!golden(&o, of[i].name)) continue;
        char *s = decoded(o.v, of[i].text);
        CHECK_STR(s, of[i].back);
        free(s);
        shut(&o);
    }
}

/* A limit on tokens is a limit on tokens, not on bytes: white space has none. A word without an end costs no square. */
static void test_sizes(void)
{
    static const char *const name[] = {"unigram", "wordpiece"};
    for (int k = 0; k < 2; k++) {
        opened o;
        if (!golden(&o, name[k])) continue;
        q_buf b = {0};
        for (int i = 0; i < 400000; i++) q_buf_putc(&b, ' ');
        eng_tokens t = {.most = 4};
        CHECK_INT(vocab_tokenize(o.v, b.p, b.len, false, &t, err), Q_OK);
        CHECK_INT(t.n, 0);
        for (int i = 0; i < 5; i++) q_buf_puts(&b, "a ");
        CHECK_INT(vocab_tokenize(o.v, b.p, b.len, false, &t, err), Q_RANGE);
        CHECK(strstr(err, "more than 4 tokens") != NULL);
        eng_tokens_free(&t);
        q_buf_clear(&b);
        for (int i = 0; i < 400000; i++) q_buf_putc(&b, "ab"[i % 2]);
        t = ids_of(o.v, b.p, b.len);
        CHECK(k ? t.n == 1 : t.n > 1000);
        eng_tokens_free(&t);
        t = ids_of(o.v, "\xF0\x93\x80\x80\xFF\xE2\x82", 7);              /* unknown, and bytes that are no characters */
        CHECK_INT(t.n, k ? 1 : 2);
        eng_tokens_free(&t);
        q_buf_free(&b);
        shut(&o);
    }
}

/* ---- damage ---- */
/* The file with n bytes at `skip` bytes past the first `key` replaced; what is said of it. */
static int damaged(const char *name, const char *key, size_t skip, const void *to, size_t n)
{
    char *path = q_printf("tests/golden/tokenizer/%s.gguf", name);
    opened o = {0};
    CHECK_INT(q_read_file(packed(path), &o.file, 1 << 22, err), Q_OK);
    free(path);
    char *at = memmem(o.file.p, o.file.len, key, strlen(key));
    CHECK(at != NULL);
    if (at) memcpy(at + strlen(key) + skip, to, n);
    err[0] = 0;
    int rc = open_bytes(&o);
    shut(&o);
    return rc;
}

static void test_damage(void)
{
    static const uint32_t large = 0xFFFFFFF0, odd = 7, infinite = 0x7F800000;
    /* Behind a key: type 4 bytes; of an array: item's type 4, count 8, then the items. */
    CHECK_INT(damaged("unigram", "tokenizer.ggml.precompiled_charsmap", 16, &large, 4), Q_FORMAT);
    CHECK(strstr(err, "does not fit its own size") != NULL);
    CHECK_INT(damaged("unigram", "tokenizer.ggml.precompiled_charsmap", 16, &odd, 4), Q_FORMAT);
    CHECK_INT(damaged("unigram", "tokenizer.ggml.scores", 16 + 40, &infinite, 4), Q_FORMAT);
    CHECK(strstr(err, "score of token 10") != NULL);
    CHECK_INT(damaged("unigram", "tokenizer.ggml.score", 0, "x", 1), Q_FORMAT);
    CHECK(strstr(err, "no score for each") != NULL);
    CHECK_INT(damaged("unigram", "tokenizer.ggml.token", 0, "x", 1), Q_FORMAT);
    CHECK(*err != 0);
    CHECK_INT(damaged("unigram", "tokenizer.ggml.unknown_token_i", 0, "x", 1), Q_OK);         /* the type says which it is */
    CHECK_INT(damaged("wordpiece", "tokenizer.ggml.unknown_token_i", 0, "x", 1), Q_OK);       /* the name does */
    CHECK_INT(damaged("wordpiece", "[UN", 0, "X", 1), Q_OK);                                  /* and here the key */
}

/* A letter that becomes a book: a table of characters may lengthen a text by so much only. */
static void test_charsmap_grows(void)
{
    char table[4 + 4 + CHARSMAP_MOST + 2] = "\4";
    charsmap m;
    memset(table + 8, 'x', CHARSMAP_MOST);
    CHECK_INT(charsmap_load(&m, table, sizeof table, err), Q_OK);
    charsmap_free(&m);
    table[8 + CHARSMAP_MOST] = 'x';
    CHECK_INT(charsmap_load(&m, table, sizeof table, err), Q_FORMAT);
    CHECK(strstr(err, "by more than 255 bytes") != NULL);
    charsmap_free(&m);
}

/* A table of characters that lies: no step leaves it, whatever its units say. */
static void test_charsmap(void)
{
    opened o;
    if (!golden(&o, "unigram")) return;
    const gguf_kv *kv = gguf_find(o.g, "tokenizer.ggml.precompiled_charsmap");
    charsmap m;
    const char *to;
    CHECK_INT(charsmap_load(&m, kv->data, kv->bytes, err), Q_OK);
    CHECK_INT(charsmap_at(&m, "\xEF\xAC\x81nd", 5, &to), 3);
    CHECK_STR(to, "fi");
    CHECK_INT(charsmap_at(&m, "e\xCC\x81", 3, &to), 3);
    CHECK_STR(to, "\xC3\xA9");
    CHECK_INT(charsmap_at(&m, "e\xCC", 2, &to), 0);
    CHECK_INT(charsmap_at(&m, "a", 1, &to), 0);
    uint64_t r[4] = {1, 2, 3, 4};
    size_t hits = 0, lengths = 0;
    for (uint32_t i = 0; i < m.n; i++) m.unit[i] = 0;
    for (int k = 0; k < 20000; k++) {
        for (int c = 0; c < 40; c++) {           /* places near and far, both bytes that the text has, ends here and there */
            uint64_t x = q_random(r);
            uint32_t far = x & 7 ? (uint32_t)(x >> 8) & 0xFF : (uint32_t)(x >> 8) & 0x1FFFFF;
            m.unit[x & 8 ? q_random(r) % m.n : q_random(r) % 256] = far << 10 | (x & 16 ? 1 << 9 : 0) | (x & 96 ? 1 << 8 : 0) | (uint32_t)(1 + (x >> 7 & 1));
        }
        char s[8];
        for (int i = 0; i < 8; i++) s[i] = (char)(1 + (q_random(r) & 1));
        size_t n = charsmap_at(&m, s, sizeof s, &to);
        if (n) { hits++; lengths += strlen(to); }
        if (n > sizeof s) break;
    }
    printf("# %zu of 20000 hits in tables of nonsense, %zu bytes\n", hits, lengths);
    CHECK(hits > 0);
    charsmap_free(&m);
    shut(&o);
}

static void test_trie(void)
{
    trie_key k[] = {{"ab", 2, 5}, {"a", 1, 7}, {"ab", 2, 3}, {"\xFFz", 2, 1}, {"b", 1, 0}};
    trie t;
    trie_make(&t, k, 5);
    uint32_t a = trie_step(&t, 0, 'a'), ab = trie_step(&t, a, 'b'), top = trie_step(&t, 0, 0xFF);
    CHECK(a && ab && top && t.node[a].id == 7 && t.node[ab].id == 3 && t.node[top].id == -1);
    CHECK_INT(t.node[trie_step(&t, top, 'z')].id, 1);
    CHECK_INT(t.node[trie_step(&t, 0, 'b')].id, 0);
    CHECK(!trie_step(&t, 0, 'c') && !trie_step(&t, ab, 'b') && !trie_step(&t, a, 'a'));
    CHECK_INT(t.n, 6);
    trie_free(&t);
    trie_make(&t, NULL, 0);
    CHECK(!trie_step(&t, 0, 'a'));
    trie_free(&t);
}

int main(void)
{
    RUN(test_unigram);
    RUN(test_wordpiece);
    RUN(test_wordpiece_cased);
    RUN(test_frame);
    RUN(test_back);
    RUN(test_sizes);
    RUN(test_damage);
    RUN(test_charsmap);
    RUN(test_charsmap_grows);
    RUN(test_trie);
    return TEST_END();
}
