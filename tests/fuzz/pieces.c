/* tests/fuzz/pieces: damaged vocabularies that are made of pieces, each asked for the ids of a few texts; any bytes through good ones;
 * damaged files tokenizer.model, and E5S1 through what makes them a GGUF. */
#include "engine/convert/words.h"
#include "engine/models.h"
#include "engine/text/vocab.h"
#include "tests/e5s1.h"
#include "tests/fuzz/fuzz.h"
#include "tests/packed.h"

#include <math.h>
#include <unistd.h>

static const char *const NAME[] = {"unigram", "wordpiece", "wordpiece-cased", "spm"};
enum { FILES = sizeof NAME / sizeof *NAME };
static const char *const TEXT[] = {"Кворум  собрался\t",  "The expert's e\xCC\x81 \xEF\xAC\x81", "\xFF\xE2\x82 \xF0\x93\x80\x80", "\xE2\x96\x81 a", "", "<b> </s>\n\n\n\n  <turn>", "ＡＢ 你好"};
static q_buf files[FILES];
static gguf_file *ggufs[FILES];
static vocab *vocabs[FILES];

static bool open_all(void)
{
    char err[Q_ERRLEN];
    for (int i = 0; i < FILES; i++) {
        char *path = q_printf("tests/golden/tokenizer/%s.gguf", NAME[i]);
        int rc = q_read_file(packed(path), &files[i], 1 << 22, err);
        free(path);
        if (rc || gguf_open_memory(files[i].p, files[i].len, &ggufs[i], err) || vocab_load(ggufs[i], &vocabs[i], err)) return false;
    }
    return true;
}

static void close_all(void)
{
    for (int i = 0; i < FILES; i++) {
        vocab_free(vocabs[i]);
        gguf_close(ggufs[i]);
        q_buf_free(&files[i]);
        vocabs[i] = NULL;
        ggufs[i] = NULL;
    }
}

/* Ids are the vocabulary's own and no marks; the same text gives the same ids. */
static int ids_good(const vocab *v, const char *p, size_t n)
{
    char err[Q_ERRLEN];
    eng_tokens a = {0}, b = {0};
    int rc = vocab_tokenize(v, p, n, false, &a, err) || vocab_tokenize(v, p, n, false, &b, err) ? FUZZ_BROKEN("%s", err) : 0;
    if (!rc && (a.n != b.n || (a.n && memcmp(a.id, b.id, (size_t)a.n * sizeof *a.id) != 0))) rc = FUZZ_BROKEN("the same text, other ids");
    for (int i = 0; i < a.n && !rc; i++) if (a.id[i] < 0 || a.id[i] >= vocab_size(v)) rc = FUZZ_BROKEN("id %d", a.id[i]);
    eng_tokens_free(&a);
    eng_tokens_free(&b);
    return rc;
}

/* An input says what to damage: which file, then for each byte an area, a place in it and a value. Random damage alone would
 * only ever meet the reader of GGUF. */
enum { EDIT = 6 };
static void damage_seed(fuzz_rng *r, q_buf *b)
{
    q_buf_putc(b, (char)fuzz_below(r, 256));
    for (uint32_t k = fuzz_below(r, 40) * EDIT; k; k--) q_buf_putc(b, (char)fuzz_below(r, k % EDIT ? 256 : 16));
}

static void edit(q_buf *b, int which, const char *p)
{
    static const char *const key[] = {"tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.tokens"};
    unsigned area = (unsigned char)p[0], value = (unsigned char)p[1];
    uint32_t place;
    memcpy(&place, p + 2, sizeof place);
    const gguf_kv *kv = gguf_find(ggufs[which], area < 4 ? key[area / 2] : area == 4 ? key[2] : "tokenizer.ggml.precompiled_charsmap");
    if (kv && kv->bytes) b->p[(size_t)((const char *)kv->data - files[which].p) + place % kv->bytes] ^= (char)value;
}

static int damage_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    gguf_file *g = NULL;
    vocab *v = NULL;
    q_buf b = {0};
    int which = n ? (unsigned char)p[0] % FILES : 0;
    q_buf_add(&b, files[which].p, files[which].len);
    for (size_t i = 1; i + EDIT <= n; i += EDIT) edit(&b, which, p + i);
    int rc = gguf_open_memory(b.p, b.len, &g, err);
    if (rc == 0) rc = vocab_load(g, &v, err);
    if (rc && !*err) return FUZZ_BROKEN("refused without a word");
    int bad = 0;
    for (size_t i = 0; !rc && !bad && i < sizeof TEXT / sizeof *TEXT; i++) bad = ids_good(v, TEXT[i], strlen(TEXT[i]));
    for (int i = 0; !rc && i < vocab_size(v); i++) {
        size_t k;
        vocab_bytes(v, i, &k);
    }
    vocab_free(v);
    gguf_close(g);
    q_buf_free(&b);
    return bad ? bad : rc == 0;
}
const fuzz_target fuzz_vocabulary = {"vocabulary", 1500, 20000, open_all, damage_seed, damage_run, close_all, 0};

static void pieces_seed(fuzz_rng *r, q_buf *b)
{
    for (uint32_t n = 1 + fuzz_below(r, 12); n; n--) q_buf_puts(b, TEXT[fuzz_below(r, sizeof TEXT / sizeof *TEXT)]);
}

static int pieces_run(const char *p, size_t n)
{
    int rc = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        char err[Q_ERRLEN];
        eng_tokens t = {0};
        rc = ids_good(vocabs[i], p, n);
        if (!rc && vocab_tokenize(vocabs[i], p, n, true, &t, err)) rc = FUZZ_BROKEN("%s", err);
        int controls = 0;
        eng_tokens plain = {0};
        if (!rc) vocab_tokenize(vocabs[i], p, n, false, &plain, err);
        for (int k = 0; k < plain.n; k++) controls += vocab_control(vocabs[i], plain.id[k]) && plain.id[k] != vocab_find(vocabs[i], i ? "[UNK]" : "<unk>");
        if (controls) rc = FUZZ_BROKEN("a control token in plain text");
        eng_tokens_free(&t);
        eng_tokens_free(&plain);
    }
    return rc < 0 ? rc : 1;
}
const fuzz_target fuzz_pieces = {"pieces", 2000, 20000, open_all, pieces_seed, pieces_run, close_all, 0};

/* ---- tokenizer.model ---- */
static q_buf sentences[2];
static bool models_ready(void)
{
    static const char *const names[2] = {"first", "unigram"};
    char err[Q_ERRLEN];
    for (int i = 0; i < 2; i++) {
        char *path = q_printf("tests/golden/convert/pieces/%s/tokenizer.model", names[i]);
        int rc = q_read_file(packed(path), &sentences[i], 1 << 20, err);
        free(path);
        if (rc) return false;
    }
    return true;
}

static void models_done(void)
{
    for (int i = 0; i < 2; i++) q_buf_free(&sentences[i]);
}

static void models_seed(fuzz_rng *r, q_buf *b)
{
    const q_buf *one = &sentences[fuzz_below(r, 2)];
    q_buf_add(b, one->p, one->len);
}

static int models_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "";
    words o = {.folder = "F", .n = 600, .id = {-1, -1, -1, -1}};
    o.token = q_alloc(sizeof *o.token * 600);
    o.type = q_alloc(sizeof *o.type * 600);
    o.score = q_alloc(sizeof *o.score * 600);
    int rc = pieces_model(&o, p, n, err), bad = 0;
    for (int i = 0; i < o.n && !bad; i++)
        if (o.token[i] && (o.type[i] < TYPE_NORMAL || o.type[i] > TYPE_BYTE || !isfinite(o.score[i]))) bad = FUZZ_BROKEN("token %d of type %d", i, o.type[i]);
    for (int i = 0; i < WORD_IDS && !bad; i++)
        if (o.id[i] < -1 || o.id[i] >= o.n) bad = FUZZ_BROKEN("id %d", o.id[i]);
    words_free(&o);
    return bad ? bad : rc == Q_OK ? 1 : *err ? 0 : FUZZ_BROKEN("refused without a word");
}
const fuzz_target fuzz_sentences = {"tokenizer.model", 2000, 200000, models_ready, models_seed, models_run, models_done, 0};

/* ---- E5S1 ---- */
static char e5_dir[] = "/tmp/quorum-fuzz-XXXXXX";
static bool e5_ready(void) { return mkdtemp(e5_dir) != NULL; }
static void e5_done(void)
{
    char *in = q_printf("%s/in", e5_dir);
    unlink(in);
    rmdir(e5_dir);
    free(in);
}

static void e5_seed(fuzz_rng *r, q_buf *b)
{
    e5_places at;
    e5s1_make(b, &at);
}

/* The result would go into a folder that is not there: all is read, nothing is written. */
static int e5_run(const char *p, size_t n)
{
    char err[Q_ERRLEN] = "", *in = q_printf("%s/in", e5_dir), *out = q_printf("%s/none/out.gguf", e5_dir);
    FILE *f = fopen(in, "wb");
    bool written = f && fwrite(p, 1, n, f) == n;
    if (f) fclose(f);
    int rc = written ? eng_convert_e5(in, out, NULL, NULL, err) : Q_OK;
    free(in);
    free(out);
    if (rc != Q_IO && rc != Q_FORMAT) return FUZZ_BROKEN("%d: %s", rc, err);
    return *err ? rc == Q_IO : FUZZ_BROKEN("refused without a word");
}
const fuzz_target fuzz_e5s1 = {"e5s1", 250, 10000, e5_ready, e5_seed, e5_run, e5_done, 2600};
