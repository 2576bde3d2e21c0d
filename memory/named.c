/* memory/named: what a text names: people, places and works by their capital letters and quotation marks, identifiers with
 * signs, dates, addresses, and phrases that it comes back to. By rules, in English and Russian; no model is asked. Pure
 * functions of the text; one thread a named_text. It never knows what other texts say: each passage is read by itself.
 *
 * A key is what a thing is called whatever the ending: stems parted by spaces for names and phrases, the folded form for
 * identifiers and addresses, ISO 8601 for dates. A capital where a sentence begins means nothing by itself: such a word is
 * a name where the text has it as one elsewhere. A last name alone is the whole name that the same text has, if it is one. */
#include "memory/named.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Of one text: mentions, of them identifiers, runs of capitals looked at, phrases; words of a name, of a heading or a quoted title; all words of
 * the longest shout that are acronyms still, and letters of one. */
enum { MENTIONS = 96, IDENTIFIERS = 24, RUNS = 512, PHRASES = 8, NAME_WORDS = 6, TITLE_WORDS = 8, ACRONYMS = 2, ACRONYM_LETTERS = 6, CODE_SHARE = 25 };

struct named_run { int from, to; char key[NAMED_KEY]; size_t last; /* where in key its last word begins */ int words; bool start, person; };
struct named_runs { struct named_run *v; int n, cap; };

/* ---- words ---- */
/* Is it one of a row of words, each with a space before and behind it? */
static bool among(const struct named_text *x, int i, const char *row)
{
    const char *w = named_form(x, i);
    size_t n = strlen(w);
    for (const char *p = row; (p = strstr(p, w)) != NULL; p++)
        if (p > row && p[-1] == ' ' && p[n] == ' ') return true;
    return false;
}

static int keep(struct named_text *x, const char *s)
{
    int at = (int)x->arena.len;
    q_buf_add(&x->arena, s, strlen(s) + 1);
    return at;
}

void named_word(struct named_text *x, const mem_word *w)
{
    if (w->flags & MEM_WORD_EXACT) return;
    struct named_token *last = x->n_v ? &x->v[x->n_v - 1] : NULL;
    bool whole = (w->flags & MEM_WORD_WHOLE) != 0;
    if (last && last->shape & SHAPE_WHOLE && w->start < last->end) return;          /* a part of it */
    if (x->n_v == NAMED_TOKENS) return;
    if (!whole || !last) {
        if (x->n_v == x->cap) x->v = q_realloc(x->v, sizeof *x->v * (size_t)(x->cap = x->cap ? x->cap * 2 : 256));
        last = &x->v[x->n_v++];
    }
    *last = (struct named_token){.start = w->start, .end = w->end, .word = keep(x, w->word), .stem = keep(x, w->stem),
                                 .shape = whole ? SHAPE_WHOLE : w->flags & MEM_WORD_NUMBER ? SHAPE_NUMBER | SHAPE_DIGIT : 0};
    last->hash = (uint32_t)q_hash64(w->stem, strlen(w->stem), 5);
}

/* Most words: no capital, no digit, one part. */
static bool is_plain(const char *p, size_t n)
{
    if ((unsigned char)*p >= 0x80 && n > 1) {           /* а to я, ё */
        unsigned c = (unsigned char)p[0] << 8 | (unsigned char)p[1];
        return (c >= 0xD0B0 && c <= 0xD0BF) || (c >= 0xD180 && c <= 0xD191);
    }
    for (size_t i = 0; i < n; i++)
        if (p[i] < 'a' || p[i] > 'z') return false;
    return true;
}

static void look_at(struct named_text *x, struct named_token *t)
{
    int letters = 0, small = 0;
    if (t->shape & SHAPE_NUMBER || (!(t->shape & SHAPE_WHOLE) && is_plain(x->text + t->start, t->end - t->start))) return;
    for (size_t i = t->start; i < t->end;) {
        uint32_t c = (unsigned char)x->text[i];
        bool upper, lower;
        if (c < 0x80) {
            i++;
            upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
            if (c >= '0' && c <= '9') t->shape |= SHAPE_DIGIT;
        } else {
            size_t at = i;
            i += (size_t)q_utf8_next(x->text + at, x->n - at, &c);
            utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
            upper = k == UTF8PROC_CATEGORY_LU, lower = k == UTF8PROC_CATEGORY_LL;
        }
        if (upper && letters == 0 && !(t->shape & SHAPE_DIGIT)) t->shape |= SHAPE_CAPITAL;
        letters += upper || lower;
        small += lower;
        if (small && letters > 1 && t->shape & SHAPE_DIGIT) break;
    }
    size_t n = t->end - t->start;
    bool initials = letters * 2 == (int)n + 1 && n > 1 && memchr(x->text + t->start, '.', n);           /* "J.H" */
    if ((letters == 1 || initials) && !(t->shape & SHAPE_DIGIT) && t->shape & SHAPE_CAPITAL) t->shape |= SHAPE_LETTER;
    else if (letters > 1 && !small) t->shape |= SHAPE_CAPS;
}

/* A word behind which a point ends no sentence. */
static bool shortened(const struct named_text *x, int i)
{
    if (x->v[i].shape & SHAPE_LETTER) return true;
    return among(x, i, " mr mrs ms dr st prof jr sr г ул им проф акад ");
}

static enum named_gap gap_of(const struct named_text *x, int i)
{
    const char *p = x->text + x->v[i - 1].end;
    size_t n = x->v[i].start - x->v[i - 1].end;
    if (n == 1 && (*p == ' ' || *p == '-')) return GAP_NEAR;
    if (n == 2 && memcmp(p, "\xC2\xA0", 2) == 0) return GAP_NEAR;
    if (n <= 2 && *p == '.' && (n == 1 || p[1] == ' ') && shortened(x, i - 1)) return GAP_NEAR;
    if (n == 3 && memcmp(p, " & ", 3) == 0) return GAP_NEAR;
    static const char *const signs[] = {"…", "«", "“", "„"};
    bool high = false;
    for (size_t k = 0; k < n; k++) {
        if (strchr(".!?;:\n\"", p[k])) return GAP_START;
        high |= (unsigned char)p[k] >= 0x80;
    }
    for (size_t k = 0; high && k < sizeof signs / sizeof *signs; k++)
        if (memmem(p, n, signs[k], strlen(signs[k]))) return GAP_START;
    return GAP_FAR;
}

static void look_at_all(struct named_text *x)
{
    for (int i = 0; i < x->n_v; i++) {
        look_at(x, &x->v[i]);
        x->v[i].gap = (uint8_t)(i ? gap_of(x, i) : GAP_START);
        if (x->v[i].gap == GAP_START) x->v[i].shape |= SHAPE_START;
    }
}

/* ---- telling ---- */
static void tell(struct named_text *x, char kind, const char *key, int from, int to)
{
    if (x->stopped || x->told == MENTIONS) return;
    x->told++;
    x->stopped = !x->fn(x->user, &(mem_entity){.kind = kind, .key = key, .start = x->v[from].start, .end = x->v[to - 1].end});
}

static void use(struct named_text *x, int from, int to)
{
    for (int i = from; i < to; i++) x->v[i].shape |= SHAPE_USED;
}

/* ---- keys ---- */
/* A Russian name without the endings of its cases: twice, since a nominative may look like one ("Максим"). The stemmer of words
 * will not do: to it Байкал is a verb of the past and Ломоносов a plural. */
static size_t case_stem(const char *w, size_t n)
{
    static const char *const endings[] = {"иями", "ями", "ами", "ого", "его", "ому", "ему", "ыми", "ими", "ией", "ью", "ою", "ею", "ой", "ей", "ий", "ый",
                                          "ым", "им", "ых", "их", "ая", "яя", "ую", "юю", "ое", "ее", "ые", "ие", "ом", "ем", "ам", "ям", "ах", "ях",
                                          "а", "я", "о", "е", "у", "ю", "ы", "и", "ь", "й"};
    for (int round = 0; round < 2; round++)
        for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
            size_t m = strlen(endings[k]);
            if (n < m + (m == 2 && round == 0 ? 4 : 6) || memcmp(w + n - m, endings[k], m) != 0) continue;      /* three letters stay, or two before one */
            n -= m;
            break;
        }
    return n;
}

/* An acronym has no endings. */
static void add_stem(const struct named_text *x, int i, char key[NAMED_KEY], size_t *n)
{
    const char *w = named_form(x, i), *s = named_stem(x, i);
    bool cyrillic = (unsigned char)*w == 0xD0 || (unsigned char)*w == 0xD1;
    if (x->v[i].shape & SHAPE_CAPS || cyrillic) s = w;
    size_t len = strlen(s);
    if (cyrillic && !(x->v[i].shape & (SHAPE_CAPS | SHAPE_DIGIT))) len = case_stem(s, len);
    if (len > 2 && strcmp(s + len - 2, "'s") == 0) len -= 2;
    if (*n + len + 2 > NAMED_KEY) return;
    if (*n) key[(*n)++] = ' ';
    memcpy(key + *n, s, len);
    key[*n += len] = 0;
}

static bool article(const struct named_text *x, int i)
{
    const char *w = named_form(x, i);
    return strcmp(w, "the") == 0 || strcmp(w, "a") == 0 || strcmp(w, "an") == 0;
}

/* All words of a stretch, without a leading article. */
static bool whole_key(const struct named_text *x, int from, int to, char key[NAMED_KEY])
{
    size_t n = 0;
    *key = 0;
    if (from + 1 < to && article(x, from)) from++;
    for (int i = from; i < to; i++) add_stem(x, i, key, &n);
    return n > 1 && (n > 2 || (unsigned char)*key < 0x80);
}

/* ---- addresses ---- */
static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Of what stands between two blanks: an address, an e-mail or a path. */
static bool is_address(const char *p, size_t n)
{
    const char *at = memchr(p, '@', n);
    if (memmem(p, n, "://", 3) || (n > 4 && strncmp(p, "www.", 4) == 0)) return n > 7;
    if (at) return at > p && at + 3 < p + n && memchr(at, '.', (size_t)(p + n - at)) && !memchr(at + 1, '@', (size_t)(p + n - at - 1));
    size_t slashes = 0;
    for (size_t i = 0; i < n; i++) {
        slashes += p[i] == '/';
        if (strchr("<>()=;,\"|*", p[i])) return false;
    }
    if (*p == '/' || strncmp(p, "~/", 2) == 0 || strncmp(p, "./", 2) == 0) return slashes >= 2;
    const char *point = memrchr(p, '.', n), *slash = memrchr(p, '/', n);
    return slash && point && point > slash + 1 && point + 1 < p + n;             /* of a path that begins here the file has an ending */
}

static void address(struct named_text *x, size_t from, size_t to, int *at)
{
    static const char around[] = "()[]<>{}\"'`.,;:!?";
    while (from < to && strchr(around, x->text[from]) && x->text[from] != '.') from++;
    while (to > from && strchr(around, x->text[to - 1])) to--;
    if (to - from < 5 || to - from >= NAMED_KEY || memchr(x->text + from, 0, to - from) || !is_address(x->text + from, to - from)) return;
    while (*at < x->n_v && x->v[*at].start < from) ++*at;
    int end = *at;
    while (end < x->n_v && x->v[end].end <= to) end++;
    if (end == *at) return;
    char key[NAMED_KEY];
    for (size_t i = from; i < to; i++) key[i - from] = x->text[i] >= 'A' && x->text[i] <= 'Z' ? (char)(x->text[i] | 32) : x->text[i];
    key[to - from] = 0;
    tell(x, MEM_ENTITY_ADDRESS, key, *at, end);
    use(x, *at, end);
    *at = end;
}

static void addresses(struct named_text *x)
{
    if (!memchr(x->text, '/', x->n) && !memchr(x->text, '@', x->n) && !memmem(x->text, x->n, "www.", 4)) return;
    int at = 0;
    size_t end = x->n_v ? x->v[x->n_v - 1].end : 0;
    for (size_t i = 0; i < end;) {
        size_t from = i;
        bool sign = false;
        for (; i < x->n && !blank(x->text[i]); i++) sign |= x->text[i] == '/' || x->text[i] == '@' || x->text[i] == '.';
        if (sign) address(x, from, i, &at);
        i++;
    }
}

/* ---- dates and identifiers ---- */
static void dates(struct named_text *x)
{
    char key[NAMED_KEY];
    for (int i = 0; i < x->n_v; i++) {
        if (x->v[i].shape & SHAPE_USED) continue;
        bool may = x->v[i].shape & SHAPE_DIGIT || (i + 1 < x->n_v && x->v[i + 1].shape & SHAPE_DIGIT);
        int n = may ? named_date(x, i, key) : 0;
        if (n == 0) continue;
        tell(x, MEM_ENTITY_DATE, key, i, i + n);
        use(x, i, i + n);
        i += n - 1;
    }
}

/* What a word is made of. */
struct form { size_t points, joints, letters, digits, high, humps, shortest; };

static struct form form_of(const char *p, size_t n)
{
    struct form f = {.shortest = n};
    size_t part = 0;
    for (size_t i = 0; i <= n; i++) {
        bool ends = i == n || p[i] == '.' || p[i] == '_';
        if (ends && part < f.shortest) f.shortest = part;
        if (i == n) break;
        part = ends ? 0 : part + 1;
        f.points += p[i] == '.';
        f.joints += p[i] == '_' || p[i] == '+' || p[i] == '#';
        f.letters += (p[i] | 32) >= 'a' && (p[i] | 32) <= 'z';
        f.high += (unsigned char)p[i] >= 0x80;
        f.digits += p[i] >= '0' && p[i] <= '9';
        f.humps += i && p[i] >= 'A' && p[i] <= 'Z' && p[i - 1] >= 'a' && p[i - 1] <= 'z';
    }
    return f;
}

/* A word with several parts, with digits among its letters, or with signs: C#, v3.45.1, foo_bar, x86, .NET. Not "3.14", "e.g",
 * "2nd", nor "end.Next", where a space is missing. */
static bool is_identifier(const struct named_text *x, const struct named_token *t)
{
    const char *p = x->text + t->start;
    size_t n = t->end - t->start;
    struct form f = form_of(p, n);
    if (n < 2 || (f.high && !f.joints)) return false;
    if (f.joints) return f.letters + f.high > 0;
    if (*p == '.') return f.letters > 1;
    if (f.points && f.letters == 0) return f.points > 1;
    if (f.points) {
        char behind = ((const char *)memchr(p, '.', n))[1];
        bool missing = f.points == 1 && !f.digits && behind >= 'A' && behind <= 'Z' && *p >= 'a';
        return !missing && (f.shortest > 1 || f.digits);
    }
    if (f.humps) return *p >= 'a' && *p <= 'z';                                 /* YouTube is a name */
    return f.digits && f.letters && !(*p >= '0' && *p <= '9');
}

static void identifiers(struct named_text *x)
{
    for (int i = 0, n = 0; i < x->n_v && n < IDENTIFIERS; i++) {
        struct named_token *t = &x->v[i];
        char last = x->text[t->end - 1];
        bool may = t->shape & (SHAPE_WHOLE | SHAPE_DIGIT) || last == '+' || last == '#';
        if (t->shape & (SHAPE_USED | SHAPE_NUMBER) || !may || strlen(named_form(x, i)) >= NAMED_KEY || !is_identifier(x, t)) continue;
        tell(x, MEM_ENTITY_IDENTIFIER, named_form(x, i), i, i + 1);
        n++;
        use(x, i, i + 1);
    }
}

/* ---- quoted titles ---- */
static const struct { const char *open, *close; } quotes[] = {{"«", "»"}, {"“", "”"}, {"„", "“"}, {"\"", "\""}};

/* What is said in quotation marks ends as a sentence does; a title does not. */
static void title(struct named_text *x, size_t from, size_t to)
{
    int a = 0, b;
    while (a < x->n_v && x->v[a].start < from) a++;
    for (b = a; b < x->n_v && x->v[b].end <= to; b++)
        if (x->v[b].shape & SHAPE_USED) return;
    char key[NAMED_KEY];
    if (a == b || b - a > TITLE_WORDS || !(x->v[a].shape & SHAPE_CAPITAL) || strchr(".,!?;:", x->text[to - 1])) return;
    if ((b - a == 1 && mem_grammar(named_form(x, a))) || !whole_key(x, a, b, key)) return;
    tell(x, MEM_ENTITY_NAME, key, a, b);
    use(x, a, b);
}

static void titles(struct named_text *x)
{
    bool high = memchr(x->text, 0xC2, x->n) || memchr(x->text, 0xE2, x->n);      /* where those begin that are not ASCII */
    for (size_t q = 0; q < sizeof quotes / sizeof *quotes; q++) {
        if (!high && *quotes[q].open != '"') continue;
        size_t open = strlen(quotes[q].open), shut = strlen(quotes[q].close);
        for (const char *p = x->text, *end = p + x->n; (p = memmem(p, (size_t)(end - p), quotes[q].open, open)) != NULL;) {
            p += open;
            const char *close = memmem(p, (size_t)(end - p), quotes[q].close, shut);
            if (!close) break;
            if (close > p && close - p < NAMED_KEY && !memchr(p, '\n', (size_t)(close - p))) title(x, (size_t)(p - x->text), (size_t)(close - x->text));
            p = close + shut;
        }
    }
}

/* ---- names ---- */
static bool capital(const struct named_text *x, int i)
{
    return i < x->n_v && x->v[i].shape & SHAPE_CAPITAL && !(x->v[i].shape & SHAPE_USED);
}

static bool near(const struct named_text *x, int i) { return i < x->n_v && x->v[i].gap == GAP_NEAR && !(x->v[i].shape & SHAPE_USED); }

/* A small word inside a name: "University of Oxford", "Ростов-на-Дону". */
static bool joins(const struct named_text *x, int i)
{
    if (!near(x, i) || x->v[i].shape & SHAPE_CAPITAL) return false;
    if (strcmp(named_form(x, i), "на") == 0) return x->text[x->v[i].start - 1] == '-';
    return among(x, i, " of the de la le du van von der den del di da el al bin ibn for ");
}

static bool ordinary(const struct named_text *x, int i)
{
    return among(x, i, " monday tuesday wednesday thursday friday saturday sunday todo fixme note ok yes no ") || mem_month(named_form(x, i)) > 0;
}

/* The end of the stretch of capitals that begins at i. */
static int run_end(const struct named_text *x, int i)
{
    int end = i + 1;
    for (int k = end; k < x->n_v; end = k) {
        if (capital(x, k) && near(x, k)) k++;
        else if (joins(x, k) && capital(x, k + 1) && near(x, k + 1)) k += 2;
        else if (joins(x, k) && joins(x, k + 1) && capital(x, k + 2) && near(x, k + 2)) k += 3;
        else break;
    }
    return end;
}

/* Is the word there with a small letter too? */
static bool small_elsewhere(const struct named_text *x, int i)
{
    for (int k = 0; k < x->n_v; k++)
        if (x->v[k].hash == x->v[i].hash && !(x->v[k].shape & (SHAPE_CAPITAL | SHAPE_DIGIT))) return true;
    return false;
}

/* "Письма Андрея" where a sentence begins: a word in front of a name in the genitive, unless it is one itself elsewhere. */
static bool stands_before(const struct named_text *x, int i)
{
    const char *w = named_form(x, i + 1);
    if ((unsigned char)*named_form(x, i) < 0xD0 || (unsigned char)*w < 0xD0 || case_stem(w, strlen(w)) == strlen(w)) return false;
    for (int k = 0; k < x->n_v; k++)
        if (x->v[k].hash == x->v[i].hash && (x->v[k].shape & (SHAPE_CAPITAL | SHAPE_START)) == SHAPE_CAPITAL) return false;
    return true;
}

static bool honorific(const struct named_text *x, int i)
{
    return among(x, i, " mr mrs ms dr prof sir проф акад ");
}

static void run_key(const struct named_text *x, struct named_run *r)
{
    size_t n = 0;
    bool joint = false;
    *r->key = 0;
    for (int i = r->from; i < r->to; i++) {
        if (x->v[i].shape & SHAPE_LETTER && r->to - r->from > 1) continue;          /* an initial */
        if (r->words == 0 && i + 1 < r->to && honorific(x, i)) continue;
        joint |= !(x->v[i].shape & (SHAPE_CAPITAL | SHAPE_NUMBER));
        size_t at = n ? n + 1 : 0;
        add_stem(x, i, r->key, &n);
        if (n > at) r->last = at;
        r->words++;
    }
    r->person = !joint && r->words >= 2 && r->words <= 3 && !(x->v[r->to - 1].shape & (SHAPE_NUMBER | SHAPE_CAPS));
    if (n < 2 || (n < 3 && (unsigned char)*r->key >= 0x80)) r->words = 0;
}

/* A stretch [from, to) of capitals as a name; false: it is none. */
static bool make_run(const struct named_text *x, int from, int to, struct named_run *r)
{
    int caps = 0, all = to - from;
    *r = (struct named_run){.start = x->v[from].shape & SHAPE_START};
    for (int i = from; i < to; i++) caps += (x->v[i].shape & SHAPE_CAPS) != 0;
    if (caps > ACRONYMS && caps * 2 > all) return false;                            /* that is shouting */
    while (from < to && mem_grammar(named_form(x, from)) && !(x->v[from].shape & SHAPE_LETTER) && !(x->v[from].shape & SHAPE_CAPS && all == 1)) from++, r->start = false;
    if (from < to && r->start && to - from > 1 && small_elsewhere(x, from)) from++, r->start = false;
    if (from < to && r->start && to - from == 2 && stands_before(x, from)) from++, r->start = false;
    while (to > from && !(x->v[to - 1].shape & SHAPE_CAPITAL)) to--;
    if (from == to || (to - from == 1 && (ordinary(x, from) || mem_grammar(named_form(x, from)) || x->v[from].shape & SHAPE_LETTER))) return false;
    size_t letter = (unsigned char)*named_form(x, from) < 0x80 ? 1 : 2;
    if (to - from == 1 && x->v[from].shape & SHAPE_CAPS && x->v[from].end - x->v[from].start > ACRONYM_LETTERS * letter) return false;
    if (to < x->n_v && near(x, to) && x->v[to].shape & SHAPE_NUMBER && x->v[to].end - x->v[to].start <= 3 && !(r->start && to - from == 1)) to++;
    if (to - from > NAME_WORDS) return false;
    r->from = from;
    r->to = to;
    if (x->v[from].shape & SHAPE_CAPS) r->start = false;
    run_key(x, r);
    return r->words > 0;
}

/* The whole name that a last name alone stands for; NULL: there is none, or more than one. */
static const struct named_run *whole_name(const struct named_runs *l, const struct named_run *r)
{
    const struct named_run *found = NULL;
    for (int i = 0; i < l->n && r->words == 1; i++) {
        const struct named_run *k = &l->v[i];
        if (!k->person || strcmp(k->key + k->last, r->key) != 0) continue;
        if (found && strcmp(found->key, k->key) != 0) return NULL;
        found = k;
    }
    return found;
}

static bool confirmed(const struct named_runs *l, const struct named_run *r)
{
    for (int i = 0; i < l->n; i++)
        if (!l->v[i].start && strcmp(l->v[i].key, r->key) == 0) return true;
    return false;
}

static void names(struct named_text *x)
{
    struct named_runs l = {0};
    for (int i = 0; i < x->n_v && l.n < RUNS;) {
        int end = i + 1;
        if (capital(x, i)) {
            end = run_end(x, i);
            if (l.n == l.cap) l.v = q_realloc(l.v, sizeof *l.v * (size_t)(l.cap = l.cap ? l.cap * 2 : 16));
            l.n += make_run(x, i, end, &l.v[l.n]);
        }
        i = end;
    }
    for (int i = 0; i < l.n; i++) {
        const struct named_run *r = &l.v[i], *whole = whole_name(&l, r);
        if (r->start && r->words == 1 && !whole && !confirmed(&l, r)) continue;
        tell(x, MEM_ENTITY_NAME, whole ? whole->key : r->key, r->from, r->to);
        use(x, r->from, r->to);
    }
    free(l.v);
}

/* ---- names of files and headings ---- */
/* A short one is a name by all its words; of a path of headings the last, the passage's own. */
static void heading(struct named_text *x)
{
    const char *own = x->text, *end = x->text + x->n;
    for (const char *p; (p = memmem(own, (size_t)(end - own), " › ", strlen(" › "))) != NULL;) own = p + strlen(" › ");
    int a = 0, b = x->n_v;
    char key[NAMED_KEY];
    while (a < b && x->text + x->v[a].start < own) a++;
    if (a == b || b - a > NAME_WORDS || (b - a == 1 && x->v[a].shape & SHAPE_DIGIT) || !whole_key(x, a, b, key)) return;
    tell(x, MEM_ENTITY_NAME, key, a, b);
    use(x, a, b);
}

/* ---- phrases ---- */
static bool plain(const struct named_text *x, int i)
{
    const struct named_token *t = &x->v[i];
    size_t n = t->end - t->start;
    bool high = (unsigned char)x->text[t->start] >= 0x80;
    return !(t->shape & (SHAPE_CAPITAL | SHAPE_DIGIT | SHAPE_USED | SHAPE_WHOLE)) && n >= (high ? 8 : 4);
}

/* Two words side by side that the text says twice. */
static void phrases(struct named_text *x)
{
    struct pair { uint64_t hash; int at, n; } *v;
    size_t slots = 64, told = 0;
    while (slots < 2 * (size_t)x->n_v) slots *= 2;
    v = q_alloc(sizeof *v * slots);             /* hash 0 and n 0: nothing stands there */
    for (int i = 0; i + 1 < x->n_v && told < PHRASES; i++) {
        if (!near(x, i + 1) || !plain(x, i) || !plain(x, i + 1)) continue;
        uint64_t h = q_mix64(x->v[i].hash, x->v[i + 1].hash), k = h & (slots - 1);
        while (v[k].n && v[k].hash != h) k = (k + 1) & (slots - 1);
        if (v[k].n++ == 0) v[k].hash = h, v[k].at = i;
        if (v[k].n != 2 || mem_grammar(named_form(x, i)) || mem_grammar(named_form(x, i + 1))) continue;
        char key[NAMED_KEY];
        if (!whole_key(x, i, i + 2, key)) continue;
        tell(x, MEM_ENTITY_PHRASE, key, v[k].at, v[k].at + 2);
        tell(x, MEM_ENTITY_PHRASE, key, i, i + 2);
        told++;
    }
    free(v);
}

/* ---- the whole ---- */
/* A program's or a table's text: its capitals and quotation marks are no names. */
static bool is_code(const char *p, size_t n)
{
    size_t signs = 0;
    for (size_t i = 0; i < n; i++)
        signs += p[i] == '{' || p[i] == '}' || p[i] == '(' || p[i] == ')' || p[i] == ';' || p[i] == '=' || p[i] == '<' || p[i] == '>' || p[i] == '[' || p[i] == ']';
    return signs * CODE_SHARE > n;
}

void named_tell(struct named_text *x, const char *text, size_t n, enum named_field field, mem_entity_fn *fn, void *user)
{
    x->text = text;
    x->n = n;
    x->fn = fn;
    x->user = user;
    x->told = 0;
    x->stopped = false;
    look_at_all(x);
    if (field == NAMED_TEXT) addresses(x);
    if (field != NAMED_TEXT) heading(x);
    dates(x);
    identifiers(x);
    if (field == NAMED_TEXT && !is_code(text, n)) {
        titles(x);
        names(x);
        phrases(x);
    }
    named_clear(x);
}

bool named_key(struct named_text *x, const char *text, size_t n, char key[NAMED_KEY])
{
    x->text = text;
    x->n = n;
    look_at_all(x);
    bool is = x->n_v > 0 && whole_key(x, 0, x->n_v, key);
    named_clear(x);
    return is;
}

void named_clear(struct named_text *x)
{
    x->n_v = 0;
    q_buf_clear(&x->arena);
}

void named_free(struct named_text *x)
{
    free(x->v);
    q_buf_free(&x->arena);
    *x = (struct named_text){0};
}
