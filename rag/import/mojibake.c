/* rag/import/mojibake: undoes what happens when a program takes UTF-8 for a single-byte set and writes it as UTF-8 again,
 * once or twice. Constant tables and pure functions; any thread. It keeps its hands off whatever is not almost wholly
 * broken: a text that only quotes such letters, and any that does not read as words of a language afterwards.
 *
 * The evidence is twofold. Structure: nearly every character above ASCII, put back to the byte it was read from, is part of
 * a well-formed UTF-8 sequence; text that people write is not, for its letters stand alone or follow each other where UTF-8
 * wants a lead byte and bytes of another range behind it. Language: what comes out reads as words (rag/letters.h) and, where
 * there is little of it, better than what there was. */
#include "rag/import/mojibake.h"

#include "rag/letters.h"
#include "rag/rag.h"

#include <stdlib.h>
#include <string.h>

/* TAILS: bytes behind lead bytes that make a text's origin credible: two typographic signs or four letters. */
enum { SETS = 5, HIGH = 128, TWICE = 2, TAILS = 4, PLENTY = 16, SAMPLE = 1 << 16 };
static const double COVERED = .9, WHOLLY = .98, BETTER = 1;

/* high: the characters of the bytes from 0x80 on; a byte that has none is read as the control of its number. */
static const struct { const char *name, *shown, *high; } sets[SETS] = {
    {"MACINTOSH", "Mac Roman",
     "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü"
     "†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø"
     "¿¡¬√ƒ≈∆«»…\302\240ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ"
     "‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\357\243\277ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ"},
    {"CP1252", "Windows-1252",
     "€\302\201‚ƒ„…†‡ˆ‰Š‹Œ\302\215Ž\302\217\302\220‘’“”•–—˜™š›œ\302\235žŸ"
     "\302\240¡¢£¤¥¦§¨©ª«¬\302\255®¯°±²³´µ¶·¸¹º»¼½¾¿"
     "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß"
     "àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ"},
    {"CP1251", "Windows-1251",
     "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\302\230™љ›њќћџ"
     "\302\240ЎўЈ¤Ґ¦§Ё©Є«¬\302\255®Ї°±Ііґµ¶·ё№є»јЅѕї"
     "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
     "абвгдежзийклмнопрстуфхцчшщъыьэюя"},
    {"KOI8-R", "KOI8-R",
     "─│┌┐└┘├┤┬┴┼▀▄█▌▐░▒▓⌠■∙√≈≤≥\302\240⌡°²·÷"
     "═║╒ё╓╔╕╖╗╘╙╚╛╜╝╞╟╠╡Ё╢╣╤╥╦╧╨╩╪╫╬©"
     "юабцдефгхийклмнопярстужвьызшэщчъ"
     "ЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ"},
    {"CP866", "CP866",
     "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
     "абвгдежзийклмноп░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
     "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
     "рстуфхцчшщъыьэюяЁёЄєЇїЎў°∙·√№¤■\302\240"},
};
/* What else a byte was read as: programs differ in a few. */
static const struct { int set; unsigned char byte; uint32_t cp; } also[] = {
    {0, 0xBD, 0x2126}, {0, 0xDB, 0xA4}, {0, 0xF0, 0xE01E}, {0, 0xC6, 0x394},
};

/* From characters to bytes: the upper half of a set in the order of its characters. */
typedef struct table { uint32_t cp[HIGH + 40]; unsigned char byte[HIGH + 40]; int n; } table;

static void put(table *t, uint32_t cp, unsigned char byte)
{
    int i = t->n++;
    for (; i > 0 && t->cp[i - 1] > cp; i--) {
        t->cp[i] = t->cp[i - 1];
        t->byte[i] = t->byte[i - 1];
    }
    t->cp[i] = cp;
    t->byte[i] = byte;
}

static void make_table(int set, table *t)
{
    const char *p = sets[set].high;
    t->n = 0;
    for (int b = HIGH; b < 2 * HIGH; b++) {
        uint32_t cp;
        p += q_utf8_next(p, strlen(p), &cp);
        put(t, cp, (unsigned char)b);
    }
    for (size_t i = 0; i < sizeof also / sizeof *also; i++)
        if (also[i].set == set) put(t, also[i].cp, also[i].byte);
}

/* The byte above ASCII that a character was read from; 0: none. */
static unsigned char byte_of(const table *t, uint32_t cp)
{
    int a = 0, b = t->n;
    while (a < b) {
        int m = (a + b) / 2;
        if (t->cp[m] < cp) a = m + 1;
        else b = m;
    }
    return a < t->n && t->cp[a] == cp ? t->byte[a] : 0;
}

static int length_of(unsigned char lead) { return lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 0; }

/* One character of UTF-8 whose bytes were read as characters, at p; returns the bytes it takes there, 0: there is none. */
static size_t sequence(const table *t, const char *p, size_t n, uint32_t *cp)
{
    char raw[4];
    size_t at = 0;
    int k = 0, want = 1;
    for (; k < want && at < n; k++) {
        uint32_t c;
        at += (size_t)q_utf8_next(p + at, n - at, &c);
        unsigned char b = c < HIGH ? 0 : byte_of(t, c);
        if (k == 0) want = length_of(b);
        if (want == 0 || (k && (b & 0xC0) != 0x80)) return 0;
        raw[k] = (char)b;
    }
    return k == want && q_utf8_valid(raw, (size_t)want) && q_utf8_next(raw, (size_t)want, cp) == want ? at : 0;
}

/* Characters above ASCII, those that are part of a sequence, and how many of these are not its first. */
struct found { size_t high, covered, tails; };

static void undo(const table *t, const char *p, size_t n, q_buf *out, struct found *f)
{
    for (size_t i = 0; i < n;) {
        size_t plain = i;
        while (i < n && !(p[i] & 0x80)) i++;
        q_buf_add(out, p + plain, i - plain);
        if (i == n) break;
        uint32_t cp;
        char b[4];
        size_t took = sequence(t, p + i, n - i, &cp);
        if (took) {
            size_t k = (size_t)q_utf8_put(b, cp);
            *f = (struct found){f->high + k, f->covered + k, f->tails + k - 1};
            q_buf_add(out, b, k);
        } else {
            took = (size_t)q_utf8_next(p + i, n - i, &cp);
            f->high++;
            q_buf_add(out, p + i, took);
        }
        i += took;
    }
}

/* Signs that say nothing of a language (arrows, frames, emoji, odd blanks and hyphens) as blanks. */
static double reads(const char *p, size_t n)
{
    q_buf b = {0};
    for (size_t i = 0; i < n && b.len < SAMPLE;) {
        uint32_t cp;
        size_t k = (size_t)q_utf8_next(p + i, n - i, &cp);
        bool sign = (cp >= 0x2190 && cp < 0x2E80) || (cp >= 0x2000 && cp <= 0x2012) || cp == 0x202F || cp == 0x200D || (cp >= 0xFE00 && cp <= 0xFE0F) || cp >= 0x1F000;
        if (sign) q_buf_putc(&b, ' ');
        else q_buf_add(&b, p + i, k);
        i += k;
    }
    double v = rag_letters_average(b.p ? b.p : "", b.len);
    q_buf_free(&b);
    return v;
}

static bool enough(const struct found *f)
{
    return f->tails >= TAILS && (double)f->covered >= COVERED * (double)f->high;
}

struct best { double reads; int times; bool plain; char how[MOJIBAKE_HOW]; };

/* A text as it came out of `how`; tries one more set, and keeps what reads best: behind two rather than behind one, for what
 * is still broken text of frames and letters may read well too. */
static void try(const table *t, const char *p, size_t n, const char *how, int times, struct best *best)
{
    for (int s = 0; s < SETS; s++) {
        struct found f = {0};
        q_buf out = {0};
        char longer[MOJIBAKE_HOW];
        undo(&t[s], p, n, &out, &f);
        if (enough(&f)) {
            q_buf words = {0};
            q_buf_printf(&words, "%s%s%s", how, *how ? " " : "", sets[s].name);
            memcpy(longer, words.p, words.len + 1);
            q_buf_free(&words);
            double v = reads(out.p, out.len);
            if (v >= rag_letters_pass && (times > best->times || (times == best->times && v > best->reads))) {
                best->reads = v;
                best->times = times;
                best->plain = f.tails >= PLENTY && (double)f.covered >= WHOLLY * (double)f.high;
                memcpy(best->how, longer, sizeof longer);
            }
            if (times < TWICE) try(t, out.p, out.len, longer, times + 1, best);
        }
        q_buf_free(&out);
    }
}

bool rag_mojibake(const char *p, size_t n, char how[MOJIBAKE_HOW])
{
    bool any = false;
    *how = 0;
    for (size_t i = 0; i < n && !any; i++) any = (p[i] & 0x80) != 0;
    if (!any) return false;
    table *t = q_alloc(sizeof *t * SETS);
    for (int s = 0; s < SETS; s++) make_table(s, &t[s]);
    struct best best = {0};
    try(t, p, n, "", 1, &best);
    bool sure = best.times && (best.plain || best.reads >= rag_letters_average(p, n) + BETTER);
    if (sure) memcpy(how, best.how, sizeof best.how);
    free(t);
    return sure;
}

static int set_of(const char *name, size_t n)
{
    for (int s = 0; s < SETS; s++)
        if (strlen(sets[s].name) == n && memcmp(sets[s].name, name, n) == 0) return s;
    return -1;
}

bool rag_mojibake_undo(const char *p, size_t n, const char *how, q_buf *out)
{
    table *t = q_alloc(sizeof *t);
    q_buf now = {0};
    bool any = false;
    q_buf_add(&now, p, n);
    for (size_t k; *how; how += k + strspn(how + k, " ")) {
        k = strcspn(how, " ");
        struct found f = {0};
        q_buf next = {0};
        int s = set_of(how, k);
        if (s >= 0) {
            make_table(s, t);
            undo(t, now.p ? now.p : "", now.len, &next, &f);
        }
        if (f.covered) {
            any = true;
            q_buf_free(&now);
            now = next;
        } else {
            q_buf_free(&next);
        }
    }
    q_buf_add(out, now.p ? now.p : "", now.len);
    q_buf_free(&now);
    free(t);
    return any;
}

char *rag_repaired_words(const char *how)
{
    q_buf b = {0};
    for (size_t k, i = 0; *how; how += k + strspn(how + k, " "), i++) {
        k = strcspn(how, " ");
        int s = set_of(how, k);
        if (s >= 0) q_buf_printf(&b, "%s%s", i ? ", " : "", sets[s].shown);
    }
    /* TRANSLATORS: a character set, or two */
    char *words = q_printf(_("UTF-8 read as %s, repaired"), b.p ? b.p : "?");
    q_buf_free(&b);
    return words;
}
