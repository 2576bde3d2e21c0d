/* memory/words: how a text becomes the words of the index (memory/tokens.c: the same for FTS5).
 * Pure functions of the text: no state between calls, any thread. It never fails on any bytes.
 *
 * Folding: Unicode compatibility decomposition with case folding (utf8proc), combining marks U+0300..036F
 * dropped, so that e-acute is e and yo is ye; short i is kept, being a letter of its own in Russian.
 * Stems: Snowball "russian" and "english". Scripts written without spaces give one word per character. What is not
 * seen inside a word (soft hyphens, joiners, spaces of no width) is not there. C++, C#, F#, .NET are words. */
#include "memory/store.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

const char store_words_version[] = "3";

enum { PART_MAX = 64, RUN_MAX = 160, PARTS_MAX = 24 };  /* bytes folded, bytes folded, parts */

struct part { int at, n; size_t start, end; };          /* in run.s; in the text */

struct run {                                            /* one stretch of letters, digits and joints */
    char s[RUN_MAX + 8];
    int n;
    struct part part[PARTS_MAX];
    int n_part;
    size_t start, end;
    uint32_t last;                                      /* last folded code point */
    int case_here;                                      /* letter case: 0 none, 1 lower, 2 upper */
    bool cut;                                           /* too long: no whole form */
    bool full;                                          /* cut for its many parts: the rest is a run of its own */
    bool signs;                                         /* a name with signs, .net or g++: has a whole form */
    bool lone;                                          /* one letter with signs, c#: nothing but its whole form */
    bool capital;                                       /* begins with a capital letter */
};

struct stems { struct sb_stemmer *ru, *en; };

static bool is_word(uint32_t c)
{
    if (c < 128) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO);    /* letters, marks, numbers: adjacent in the enum */
}

static bool is_mark(uint32_t c) { return c >= 0x300 && c <= 0x36F; }

/* Soft hyphen, space and joiners of no width, direction marks, word joiner and its kin, byte order mark. */
static bool unseen(uint32_t c)
{
    return c == 0xAD || c == 0x180E || (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x2069) || c == 0xFEFF;
}

/* The next character that is seen; 0 at the end. */
static uint32_t peek(const char *text, size_t n, size_t i)
{
    uint32_t c = 0;
    while (i < n) {
        i += (size_t)q_utf8_next(text + i, n - i, &c);
        if (!unseen(c)) return c;
    }
    return 0;
}

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
    if (r->n_part == PARTS_MAX) { r->cut = r->full = true; return NULL; }
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

static bool letter(uint32_t c) { return is_word(c) && !(c >= '0' && c <= '9'); }

/* One letter with signs (c#, f#, c++) is a word of its own: its letter would say nothing. */
static bool emit_sign(const struct run *r, word_fn *fn, void *user)
{
    return fn(user, &(mem_word){.stem = r->s, .word = r->s, .start = r->start, .end = r->end});
}

static bool emit_part(const struct run *r, const struct part *p, struct stems *st, word_fn *fn, void *user)
{
    char word[RUN_MAX + 8], stem[RUN_MAX + 8];
    int n = p->n > PART_MAX ? (int)q_utf8_whole(r->s + p->at, PART_MAX) : p->n, k;
    memcpy(word, r->s + p->at, (size_t)n);
    word[n] = 0;
    const char *o = stem_of(st, word, n, &k);
    if (k > RUN_MAX) k = RUN_MAX;
    memcpy(stem, o, (size_t)k);
    stem[k] = 0;
    mem_word w = {.stem = stem, .word = word, .start = p->start, .end = p->end,
                  .flags = strspn(word, "0123456789") == (size_t)n ? MEM_WORD_NUMBER : r->capital && r->n == n ? MEM_WORD_CAPITAL : 0};
    if (!fn(user, &w)) return false;
    if (strcmp(stem, word) == 0) return true;
    w.stem = word;
    w.flags |= MEM_WORD_SAME | MEM_WORD_EXACT;
    return fn(user, &w);
}

static bool run_emit(struct run *r, struct stems *st, word_fn *fn, void *user)
{
    r->s[r->n] = 0;
    int live = 0;
    for (int i = 0; i < r->n_part; i++) live += r->part[i].n > 0;
    if (r->lone) return emit_sign(r, fn, user);
    bool go = true, first = true;
    for (int i = 0; i < r->n_part && go; i++) {
        if (r->part[i].n == 0) continue;
        go = emit_part(r, &r->part[i], st, fn, user);
        if (go && first && (live > 1 || r->signs) && !r->cut)
            go = fn(user, &(mem_word){.stem = r->s, .word = r->s, .start = r->start, .end = r->end, .flags = MEM_WORD_SAME | MEM_WORD_WHOLE});
        first = false;
    }
    return go;
}

/* ---- reading a run ---- */
struct reader { const char *text; size_t n, i; };

/* ".NET": a point before the first letter and behind nothing that a sentence could end with. */
static bool dotted(const struct reader *t)
{
    if (t->i == 0 || t->text[t->i - 1] != '.') return false;
    return t->i == 1 || strchr(" \t\n\r([\"'`*/,;:=", t->text[t->i - 2]) != NULL;
}

/* Signs behind the run that belong to a name: ++ behind letters, # (or a sharp) behind one. */
static void take_signs(struct run *r, struct reader *t)
{
    uint32_t c = 0, next = 0;
    if (r->cut || r->n == 0 || t->i >= t->n) return;
    int k = q_utf8_next(t->text + t->i, t->n - t->i, &c);
    bool one = r->n_part == 1 && r->n == 1 && r->s[0] >= 'a' && r->s[0] <= 'z', plus = c == '+' && t->i + 1 < t->n && t->text[t->i + 1] == '+';
    if (!plus && !(one && (c == '#' || c == 0x266F))) return;
    size_t end = t->i + (plus ? 2 : (size_t)k);
    bool lettered = (r->s[r->n - 1] >= 'a' && r->s[r->n - 1] <= 'z') || (r->s[r->n - 1] & 0x80);
    if (end < t->n) q_utf8_next(t->text + end, t->n - end, &next);
    if (letter(next) || next == '+' || next == '#' || r->n + 2 > RUN_MAX || !lettered) return;
    if (plus) run_byte(r, '+');
    run_byte(r, plus ? '+' : '#');
    r->signs = true;
    r->lone = one;
    r->end = t->i = end;
}

/* A joint (point, underscore, apostrophe) belongs to the run only between two word characters. Opens the next part. */
static bool take_joint(struct run *r, struct part **p, uint32_t c, const struct reader *t, size_t after)
{
    uint32_t next = peek(t->text, t->n, after);
    bool apostrophe = c == '\'' || c == 0x2019;
    if ((c != '_' && c != '.' && !apostrophe) || next == 0 || !(is_word(next) || (c == '_' && next == '_')) || stands_alone(next)) return false;
    r->case_here = 0;
    if (apostrophe) {
        run_byte(r, '\'');
        return true;
    }
    (*p)->n = r->n - (*p)->at;
    run_byte(r, (char)c);
    struct part *q = open_part(r, after);
    if (q) *p = q;
    return true;
}

/* camelCase opens a part at a capital after a small letter; HTTPServer before the last capital */
static bool hump(const struct run *r, const struct part *p, int here, uint32_t next)
{
    if (here != 2) return false;
    return r->case_here == 1 || (r->case_here == 2 && p->end > p->start && case_of(next) == 1);
}

/* One run from t->i on, which stands at a word's character; t->i then stands behind it. */
static void read_run(struct run *r, struct reader *t)
{
    uint32_t c;
    int k = q_utf8_next(t->text + t->i, t->n - t->i, &c);
    memset(r, 0, offsetof(struct run, part));
    r->n_part = 0, r->case_here = 0, r->cut = r->full = r->signs = r->lone = false, r->last = 0;
    bool alone = stands_alone(c);
    r->capital = case_of(c) == 2;
    r->start = r->end = t->i;
    if (!alone && letter(c) && dotted(t)) {
        run_byte(r, '.');
        r->signs = true;
        r->start--;
    }
    struct part *p = open_part(r, t->i);
    for (; t->i < t->n && !r->cut; t->i += (size_t)k) {
        k = q_utf8_next(t->text + t->i, t->n - t->i, &c);
        size_t after = t->i + (size_t)k;
        if (unseen(c)) continue;
        if (is_mark(c) && k > 1) {
            run_fold(r, c);
        } else if (is_word(c)) {
            if (p->end > p->start && (alone || stands_alone(c))) break;
            int here = case_of(c);
            if (hump(r, p, here, peek(t->text, t->n, after))) {
                p->n = r->n - p->at;
                struct part *q = open_part(r, t->i);
                if (!q) break;
                p = q;
            }
            run_fold(r, c);
            r->case_here = here;
            p->end = after;
        } else if (alone || !take_joint(r, &p, c, t, after)) {
            break;
        }
        r->end = after;
    }
    if (p->n == 0) p->n = r->n - p->at;
    while (r->cut && !r->full && t->i < t->n && (k = q_utf8_next(t->text + t->i, t->n - t->i, &c), is_word(c)) && !stands_alone(c)) t->i += (size_t)k;
    if (!alone) take_signs(r, t);
}

void mem_words(const char *text, size_t n, word_fn *fn, void *user)
{
    struct stems st = {0};
    struct run r;
    struct reader t = {text, n, 0};
    bool go = true;
    while (t.i < n && go) {
        uint32_t c;
        int k = q_utf8_next(text + t.i, n - t.i, &c);
        if (!is_word(c) || is_mark(c)) {
            t.i += (size_t)k;
            continue;
        }
        read_run(&r, &t);
        go = run_emit(&r, &st, fn, user);
    }
    if (st.ru) sb_stemmer_delete(st.ru);
    if (st.en) sb_stemmer_delete(st.en);
}
