/* rag/letters: tells single-byte character sets apart. A text is read in every set; each reading is measured against the
 * letters of each language (how often they come, which script and case stand beside them), and the best is believed when
 * it is good by itself and clearly better than every other reading. Constant tables and pure functions; any thread.
 *
 * The measure is a sum of logarithms of probabilities, a letter of a language at place i of its row having
 * p = (1 - ratio) * ratio^i: rows list letters by how often they come, and such sequences fall off geometrically. */
#include "rag/letters.h"

#include <errno.h>
#include <iconv.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

enum { SAMPLE = 1 << 16, AROUND = 12 };
static const double STRANGE = -9, SIGN = -1.5, ASTRAY = -4.5, MIXED = -6, RISE = -4, CAPITAL = -.5, TWIN = -1.5, MARGIN = 3;
const double rag_letters_pass = -3.7;

/* prior: how much rarer files in this set are, as a logarithm; it counts where a text is short. */
static const struct { const char *name; double prior; } sets[] = {
    {"CP1252", 0}, {"CP1251", 0}, {"KOI8-R", -1}, {"KOI8-U", -2}, {"CP866", -1}, {"ISO-8859-5", -2}, {"MAC-CYRILLIC", -6}, {"ISO-8859-15", -1},
    {"CP850", -3}, {"MACINTOSH", -4}, {"CP1250", -1}, {"ISO-8859-2", -1}, {"CP852", -3}, {"CP1254", -2}, {"CP1257", -2}, {"ISO-8859-13", -3},
    {"CP1253", -2}, {"ISO-8859-7", -2}, {"CP737", -4}, {"CP1255", -2}, {"CP1256", -2},
};

/* Letters above ASCII of each language, the most frequent first. */
static const struct language { const char *letters; double ratio; } languages[] = {
    {"éèàêçôîùûâëïœüæÿ", .55},                          /* French */
    {"üäößé", .6},                                      /* German */
    {"óíáéñúü", .7},                                    /* Spanish */
    {"ãçáéíõóêâúàôü", .75},                             /* Portuguese */
    {"èàùòìéí", .65},                                   /* Italian */
    {"äåöéü", .6},                                      /* Swedish, Finnish */
    {"øåæéöäôòü", .6},                                  /* Danish, Norwegian */
    {"íðáóéþöúæý", .85},                                /* Icelandic */
    {"ëéïèöüá", .6},                                    /* Dutch */
    {"óàéèíçòúüï", .75},                               /* Catalan */
    {"łęóąśżćńź", .8},                                  /* Polish */
    {"áíéěžšýčřůúťďňó", .82},                           /* Czech */
    {"áíéčýúžšľťôóňďĺŕä", .82},                         /* Slovak */
    {"áéőöíóüúű", .8},                                  /* Hungarian */
    {"ăîșțâşţ", .8},                                    /* Romanian */
    {"čšžćđ", .7},                                      /* Croatian, Slovene */
    {"ıüşöçğİâîû", .78},                                /* Turkish */
    {"ėšųžįąūčę", .85},                                 /* Lithuanian */
    {"āīēšļūņžčķģ", .82},                               /* Latvian */
    {"äõüöšž", .65},                                    /* Estonian */
    {"оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", .9},          /* Russian */
    {"оанивіетрслдкмупязьгбчйхцжюїшєщфґ", .9},          /* Ukrainian */
    {"аоніеырслктдпумяьбзвгцчйхэжўюшфё", .9},           /* Belarusian */
    {"аиоетнрсвлкдпмзъябучгцщжхшйюьф", .9},             /* Bulgarian */
    {"аиоенсртјувкдлмпзгбчшцћжњљхђфџ", .88},            /* Serbian */
    {"αοιετσνηυρπκμλςίόάέδήώθγχωύφβξζψϊΐϋΰ", .9},       /* Greek */
    {"יוהלארבתמשנעכדחקפגםטצןסזךףץ", .9},                /* Hebrew */
    {"المينورتبعدةسفهكقحأجشطصىخذثضإغزظءئؤآ", .91},      /* Arabic */
};
enum { LANGUAGES = sizeof languages / sizeof *languages, SETS = sizeof sets / sizeof *sets };

bool rag_convert(const char *from, const char *p, size_t n, q_buf *out)
{
    iconv_t cd = iconv_open("UTF-8", from);
    if (cd == (iconv_t)-1) return false;
    char *in = (char *)p, part[4096];
    bool ok = true;
    while (n && ok) {
        char *o = part;
        size_t room = sizeof part;
        size_t k = iconv(cd, &in, &n, &o, &room);
        ok = k != (size_t)-1 || errno == E2BIG;
        if (ok && n == 0) iconv(cd, NULL, NULL, &o, &room);      /* sets with combining letters hold the last one back */
        q_buf_add(out, part, (size_t)(o - part));
    }
    iconv_close(cd);
    return ok;
}

/* ---- one reading ---- */
static bool is_letter(uint32_t c)
{
    if (c < 128) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return utf8proc_category((utf8proc_int32_t)c) <= UTF8PROC_CATEGORY_LO && utf8proc_category((utf8proc_int32_t)c) >= UTF8PROC_CATEGORY_LU;
}

static uint32_t lower(uint32_t c)
{
    uint32_t l = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return l < 128 && c >= 128 ? c : l;         /* the dotted capital I of Turkish is a letter of its row */
}

static bool is_capital(uint32_t c) { return lower(c) != c || c == 0x130; }
static bool latin(uint32_t c) { return c < 0x250; }

static bool one_of(uint32_t c, const char *signs)
{
    char b[5] = {0};
    q_utf8_put(b, c);
    return strstr(signs, b) != NULL;
}

static bool solid(uint32_t c) { return is_letter(c) || (c > ' ' && c < 127); }

/* Signs that texts of every language hold (quotes, dashes, points, degrees, money) in their place or astray. */
static double sign(uint32_t before, uint32_t c, uint32_t after)
{
    bool inside = is_letter(before) && is_letter(after);
    if (one_of(c, "\u00AD\u00A0’") || (!inside && one_of(c, "–—"))) return SIGN;
    if (c == 0xB7 && (before | 32) == 'l' && (after | 32) == 'l') return SIGN;         /* Catalan */
    if (one_of(c, "“„«‘‹¿¡‚") && !is_letter(before) && solid(after)) return SIGN;
    if (one_of(c, "“”»‘›…°ªº™®") && solid(before) && !is_letter(after)) return SIGN;
    if (one_of(c, "•§€£©№±×½¼¾…") && !inside && !is_letter(before)) return SIGN;
    return inside ? MIXED : one_of(c, "«»‹›“”„‘‚…•°§€£©®™№·¿¡ªº½¼¾±×′″") ? ASTRAY : STRANGE;
}

struct judged { double sum[LANGUAGES]; int n; };

/* What a character costs whatever the language. */
static double apart_from_language(uint32_t before, uint32_t c, uint32_t after)
{
    if (!is_letter(c)) return sign(before, c, after);
    double v = is_capital(c) ? CAPITAL : 0;
    for (int i = 0; i < 2; i++) {
        uint32_t beside = i ? after : before;
        if (is_letter(beside) && latin(beside) != latin(c)) v += MIXED;
    }
    if (is_letter(before) && !is_capital(before) && is_capital(c)) v += RISE;
    if (latin(c) && is_letter(before) && before >= 128) v += TWIN;
    return v;
}

static void judge_letter(struct judged *j, uint32_t before, uint32_t c, uint32_t after)
{
    double v = apart_from_language(before, c, after);
    bool known = is_letter(c);
    char small[5] = {0};
    q_utf8_put(small, lower(c));
    for (int l = 0; l < LANGUAGES; l++) {
        double p = 0;
        if (known) {
            const char *at = strstr(languages[l].letters, small);
            int place = 0;
            for (const char *s = languages[l].letters; at && s < at; s++) place += (*s & 0xC0) != 0x80;
            p = at ? log(1 - languages[l].ratio) + place * log(languages[l].ratio) : STRANGE;
        }
        j->sum[l] += v + p;
    }
    j->n++;
}

/* The best language's sum; *average by letter. */
static double judge(const char *p, size_t n, double *average)
{
    struct judged j = {0};
    uint32_t before = ' ', c = ' ', after;
    for (size_t i = 0; i <= n; before = c, c = after) {
        if (i < n) i += (size_t)q_utf8_next(p + i, n - i, &after);
        else after = ' ', i++;
        if (c >= 128) judge_letter(&j, before, c, after);
    }
    double best = j.sum[0];
    for (int l = 1; l < LANGUAGES; l++)
        if (j.sum[l] > best) best = j.sum[l];
    *average = j.n ? best / j.n : 0;
    return best;
}

/* The bytes above ASCII with those around them, at most SAMPLE. */
static void sample(const char *p, size_t n, q_buf *out)
{
    size_t told = 0;
    for (size_t i = 0; i < n && out->len < SAMPLE; i++) {
        if (!(p[i] & 0x80)) continue;
        size_t from = i > AROUND ? i - AROUND : 0, to = i + AROUND < n ? i + AROUND : n;
        if (from < told) from = told;
        else if (out->len) q_buf_putc(out, ' ');
        if (to > from) q_buf_add(out, p + from, to - from);
        told = to > told ? to : told;
    }
}

double rag_letters_average(const char *p, size_t n)
{
    q_buf around = {0};
    double average = 0;
    sample(p, n, &around);
    judge(around.p ? around.p : "", around.len, &average);
    q_buf_free(&around);
    return average;
}

const char *rag_letters_set(const char *p, size_t n)
{
    q_buf bytes = {0}, reading[SETS] = {{0}};
    double sum[SETS], average[SETS];
    sample(p, n, &bytes);
    int best = -1;
    for (int i = 0; i < SETS; i++) {
        sum[i] = -HUGE_VAL, average[i] = -HUGE_VAL;
        if (bytes.len && rag_convert(sets[i].name, bytes.p, bytes.len, &reading[i]))
            sum[i] = sets[i].prior + judge(reading[i].p, reading[i].len, &average[i]);
        if (sum[i] > -HUGE_VAL && (best < 0 || sum[i] > sum[best])) best = i;
    }
    bool sure = best >= 0 && average[best] >= rag_letters_pass;
    for (int i = 0; i < SETS && sure; i++)
        if (sum[i] > sum[best] - MARGIN && (reading[i].len != reading[best].len || memcmp(reading[i].p, reading[best].p, reading[best].len) != 0))
            sure = false;
    for (int i = 0; i < SETS; i++) q_buf_free(&reading[i]);
    q_buf_free(&bytes);
    return sure ? sets[best].name : NULL;
}
