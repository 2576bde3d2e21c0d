/* memory/words: how a text becomes the words of the index, and the same as an FTS5 tokenizer named "quorum".
 * Pure functions of the text: no state between calls, any thread. It never fails on any bytes.
 *
 * Folding: Unicode compatibility decomposition with case folding (utf8proc), combining marks U+0300..036F
 * dropped, so that e-acute is e and yo is ye; short i is kept, being a letter of its own in Russian.
 * Stems: Snowball "russian" and "english". Scripts written without spaces give one word per character. */
#include "memory/store.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

const char store_words_version[] = "1";

enum { PART_MAX = 64, RUN_MAX = 160, PARTS_MAX = 24 };  /* bytes folded, bytes folded, parts */

struct part { int at, n; size_t start, end; };          /* in run.s; in the text */

struct run {                                            /* one stretch of letters, digits and joints */
    char s[RUN_MAX + 8];
    int n;
    struct part part[PARTS_MAX];
    int n_part;
    size_t start, end;
    uint32_t last;                                      /* last folded code point */
    int case_before, case_here;                         /* letter cases: 0 none, 1 lower, 2 upper */
    bool cut;                                           /* too long: no whole form */
};

struct stems { struct sb_stemmer *ru, *en; };

static bool is_word(uint32_t c)
{
    if (c < 128) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO);    /* letters, marks, numbers: adjacent in the enum */
}

static bool is_mark(uint32_t c) { return c >= 0x300 && c <= 0x36F; }

static bool stands_alone(uint32_t c)                    /* Han, kana: no spaces between words */
{
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x3FFFF);
}

static int case_of(uint32_t c)
{
    if (c < 128) return c >= 'a' && c <= 'z' ? 1 : c >= 'A' && c <= 'Z' ? 2 : 0;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_LL ? 1 : k == UTF8PROC_CATEGORY_LU ? 2 : 0;
}

static void run_byte(struct run *r, char c)
{
    if (r->n < RUN_MAX) r->s[r->n++] = c;
    else r->cut = true;
}

static void run_put(struct run *r, uint32_t c)
{
    char b[4];
    int k = q_utf8_put(b, c);
    if (r->n + k > RUN_MAX) { r->cut = true; return; }
    memcpy(r->s + r->n, b, (size_t)k);
    r->n += k;
    r->last = c;
}

/* Appends the folded form of c. */
static void run_fold(struct run *r, uint32_t c)
{
    if (c >= 'A' && c <= 'Z') { run_put(r, c + 32); return; }
    if (c < 128) { run_put(r, c); return; }
    utf8proc_int32_t out[32];
    int bound = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, out, 32,
                                                 UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD, &bound);
    for (utf8proc_ssize_t i = 0; i < n && i < 32; i++) {
        uint32_t d = (uint32_t)out[i];
        if (d == 0x306 && r->last == 0x438 && r->n >= 2) {      /* и + breve: short i again */
            r->n -= 2;
            run_put(r, 0x439);
        } else if (!is_mark(d) && is_word(d)) {
            run_put(r, d);
        }
    }
}

static struct part *open_part(struct run *r, size_t at)
{
    if (r->n_part == PARTS_MAX) { r->cut = true; return NULL; }
    struct part *p = &r->part[r->n_part++];
    *p = (struct part){.at = r->n, .start = at, .end = at};
    return p;
}

static const char *stem_of(struct stems *st, const char *w, int n, int *out_n)
{
    *out_n = n;
    uint32_t c;
    q_utf8_next(w, (size_t)n, &c);
    for (int i = 0; i < n; i++)
        if (w[i] >= '0' && w[i] <= '9') return w;
    bool ru = c >= 0x400 && c <= 0x52F, en = (c >= 'a' && c <= 'z') || (c >= 0xDF && c <= 0x24F);
    if (!ru && !en) return w;
    struct sb_stemmer **s = ru ? &st->ru : &st->en;
    if (!*s) *s = sb_stemmer_new(ru ? "russian" : "english", "UTF_8");
    if (!*s) return w;
    const sb_symbol *o = sb_stemmer_stem(*s, (const sb_symbol *)w, n);
    if (!o || sb_stemmer_length(*s) <= 0) return w;
    *out_n = sb_stemmer_length(*s);
    return (const char *)o;
}

typedef bool word_fn(void *user, const mem_word *w);

static bool run_emit(struct run *r, struct stems *st, word_fn *fn, void *user)
{
    char word[RUN_MAX + 8], stem[RUN_MAX + 8];
    int live = 0;
    for (int i = 0; i < r->n_part; i++) live += r->part[i].n > 0;
    bool go = true, first = true;
    for (int i = 0; i < r->n_part && go; i++) {
        struct part *p = &r->part[i];
        int n = p->n;
        if (n > PART_MAX) n = (int)q_utf8_whole(r->s + p->at, PART_MAX);
        if (n == 0) continue;
        memcpy(word, r->s + p->at, (size_t)n);
        word[n] = 0;
        int k;
        const char *o = stem_of(st, word, n, &k);
        if (k > RUN_MAX) k = RUN_MAX;
        memcpy(stem, o, (size_t)k);
        stem[k] = 0;
        bool digits = strspn(word, "0123456789") == (size_t)n;
        mem_word w = {.stem = stem, .word = word, .start = p->start, .end = p->end, .flags = digits ? MEM_WORD_NUMBER : 0};
        go = fn(user, &w);
        if (go && strcmp(stem, word) != 0) {
            mem_word e = w;
            e.stem = word;
            e.flags |= MEM_WORD_SAME | MEM_WORD_EXACT;
            go = fn(user, &e);
        }
        if (go && first && live > 1 && !r->cut) {
            memcpy(word, r->s, (size_t)r->n);
            word[r->n] = 0;
            mem_word e = {.stem = word, .word = word, .start = r->start, .end = r->end, .flags = MEM_WORD_SAME | MEM_WORD_WHOLE};
            go = fn(user, &e);
        }
        first = false;
    }
    return go;
}

void mem_words(const char *text, size_t n, word_fn *fn, void *user)
{
    struct stems st = {0};
    struct run r;
    size_t i = 0;
    bool go = true;
    while (i < n && go) {
        uint32_t c;
        int k = q_utf8_next(text + i, n - i, &c);
        if (!is_word(c) || is_mark(c)) { i += (size_t)k; continue; }
        memset(&r, 0, offsetof(struct run, part));
        r.n_part = 0, r.case_before = r.case_here = 0, r.cut = false, r.last = 0;
        r.start = i;
        struct part *p = open_part(&r, i);
        bool alone = stands_alone(c);
        while (i < n) {
            k = q_utf8_next(text + i, n - i, &c);
            if (is_mark(c) && k > 1) {
                run_fold(&r, c);
            } else if (is_word(c)) {
                if (p->end > p->start && (alone || stands_alone(c))) break;
                int here = case_of(c);
                /* camelCase opens a part at a capital after a small letter; HTTPServer before the last capital */
                bool hump = here == 2 && r.case_here == 1;
                if (here == 2 && r.case_here == 2 && p->end > p->start) {
                    uint32_t next = 0;
                    if (i + (size_t)k < n) q_utf8_next(text + i + k, n - i - (size_t)k, &next);
                    hump = case_of(next) == 1;
                }
                if (hump) {
                    p->n = r.n - p->at;
                    struct part *q = open_part(&r, i);
                    if (!q) break;
                    p = q;
                }
                run_fold(&r, c);
                r.case_here = here;
                p->end = i + (size_t)k;
            } else {
                /* a joint belongs to the run only between two word characters */
                uint32_t next = 0;
                if (i + (size_t)k < n) q_utf8_next(text + i + k, n - i - (size_t)k, &next);
                bool apostrophe = c == '\'' || c == 0x2019;
                if (alone || (c != '_' && c != '.' && !apostrophe) || next == 0 || !(is_word(next) || (c == '_' && next == '_')) || stands_alone(next)) break;
                if (apostrophe) {
                    run_byte(&r, '\'');
                    r.case_here = 0;
                } else {
                    p->n = r.n - p->at;
                    run_byte(&r, (char)c);
                    struct part *q = open_part(&r, i + (size_t)k);
                    if (!q) { i += (size_t)k; break; }
                    p = q;
                    r.case_here = 0;
                }
            }
            i += (size_t)k;
            r.end = i;
            if (r.cut) {                                /* a very long run: take what there is, skip to its end */
                while (i < n && (k = q_utf8_next(text + i, n - i, &c), is_word(c)) && !stands_alone(c)) i += (size_t)k;
                break;
            }
        }
        if (p->n == 0) p->n = r.n - p->at;
        go = run_emit(&r, &st, fn, user);
    }
    if (st.ru) sb_stemmer_delete(st.ru);
    if (st.en) sb_stemmer_delete(st.en);
}

/* ---- the FTS5 tokenizer (fts5.html, section 7) ---- */
struct fts_call { void *ctx; int (*token)(void *, int, const char *, int, int, int); int flags, rc; };

static bool fts_word(void *user, const mem_word *w)
{
    struct fts_call *c = user;
    bool document = (c->flags & (FTS5_TOKENIZE_DOCUMENT | FTS5_TOKENIZE_AUX)) != 0;
    if ((w->flags & MEM_WORD_EXACT) && !document) return true;
    /* a prefix is compared with unstemmed forms, which documents hold beside the stems */
    const char *t = (c->flags & FTS5_TOKENIZE_PREFIX) ? w->word : w->stem;
    if ((c->flags & FTS5_TOKENIZE_PREFIX) && (w->flags & MEM_WORD_WHOLE)) return true;
    c->rc = c->token(c->ctx, w->flags & MEM_WORD_SAME ? FTS5_TOKEN_COLOCATED : 0, t, (int)strlen(t), (int)w->start, (int)w->end);
    return c->rc == SQLITE_OK;
}

static int fts_create(void *user, const char **arg, int n, Fts5Tokenizer **out)
{
    *out = (Fts5Tokenizer *)user;                       /* no state: any pointer that is not NULL */
    return SQLITE_OK;
}

static void fts_delete(Fts5Tokenizer *t) {}

static int fts_tokenize(Fts5Tokenizer *t, void *ctx, int flags, const char *text, int n,
                        int (*token)(void *, int, const char *, int, int, int))
{
    struct fts_call c = {ctx, token, flags, SQLITE_OK};
    if (text && n > 0) mem_words(text, (size_t)n, fts_word, &c);
    return c.rc;
}

int store_register_words(mem_store *s, char *err)
{
    fts5_api *api = NULL;
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT fts5(?1)", -1, &st, NULL) == SQLITE_OK) {
        sqlite3_bind_pointer(st, 1, &api, "fts5_api_ptr", NULL);
        sqlite3_step(st);
    }
    sqlite3_finalize(st);
    if (!api) return q_fail(err, Q_ERR, _("this SQLite was built without FTS5: install a libsqlite3 that has it"));
    fts5_tokenizer t = {fts_create, fts_delete, fts_tokenize};
    if (api->xCreateTokenizer(api, "quorum", s, &t, NULL) != SQLITE_OK) return store_error(s, err);
    return Q_OK;
}
