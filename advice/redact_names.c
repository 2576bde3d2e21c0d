/* advice/redact_names: people in a text: by given names that are common in English and Russian, by patronymics, by what stands before a name ("Mr",
 * "меня зовут"), and by names that the person gave. Words come from the index's tokenizer, so one person is one in every case ("Ивану Петрову").
 * Words that are also names ("May", "Вера") count only beside a second name. */
#include "advice/redact.h"
#include "memory/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_WORDS = 4, STEM = 40 };

static const char given[] =
    " james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony donald steven paul andrew joshua kenneth kevin brian george timothy ronald edward jason jeffrey ryan jacob"
    " gary nicholas eric jonathan stephen larry justin scott brandon benjamin samuel gregory alexander patrick raymond dennis jerry tyler aaron jose adam nathan henry douglas zachary peter kyle ethan walter noah jeremy"
    " christian keith roger terry sean gerald carl harold dylan arthur lawrence jordan jesse bryan billy bruce gabriel logan alan juan albert willie elijah wayne randy vincent philip bobby johnny bradley oliver leo liam"
    " mary patricia jennifer linda elizabeth barbara susan jessica sarah karen lisa nancy betty margaret sandra ashley kimberly emily donna michelle carol amanda melissa deborah stephanie dorothy rebecca sharon laura"
    " cynthia amy kathleen angela shirley brenda emma anna pamela nicole samantha katherine christine helen debra rachel carolyn janet maria catherine heather diane olivia julie joyce victoria ruth virginia lauren kelly"
    " christina joan evelyn judith andrea hannah megan cheryl jacqueline martha madison teresa gloria sara janice ann kathryn abigail sophia frances jean alice judy isabella julia denise amber marilyn danielle beverly"
    " charlotte natalie theresa diana brittany doris kayla alexis lori marie ahmed mohammed fatima priya raj wei hans klaus pierre luigi carlos miguel pedro sofia elena ivan olga dmitri sergei yuri natasha vladimir igor"
    " александр алексей анатолий андрей антон аркадий артем борис вадим валентин валерий василий виктор виталий владимир владислав вячеслав геннадий георгий григорий даниил денис дмитрий евгений егор иван игорь илья"
    " кирилл константин леонид максим матвей михаил никита николай олег павел павла петра льва петр роман руслан семен"
    " сергей станислав степан тимофей тимур федор эдуард юрий яков ярослав саша миша коля сережа вася дима женя"
    " александра алина алла анастасия анна валентина валерия варвара вероника виктория галина дарья диана евгения екатерина"
    " елена елизавета жанна зинаида инна ирина карина кира кристина ксения лариса лидия людмила маргарита"
    " марина мария надя наталья наталия нина оксана ольга полина раиса римма светлана софия софья таисия тамара татьяна ульяна эльвира юлия яна катя маша лена таня наташа оля света юля настя даша ";
static const char both[] = " mark will may rose grace hope faith joy dawn art bill jack frank grant dean chase drew miles rich rob"
                           " sue pat mike june april august austin jasmine lily holly iris ivy ruby pearl amber jordan virginia"
                           " madison victoria florence charlotte terry jean gloria diana вера надежда любовь роза лилия слава мир роман"
                           " лев яна света майя август максим kelly logan tyler christian sofia carol chance brandon georgia jerry carl ";
static const char before_row[] = " mr mrs ms miss dr prof professor sir madam г-н г-жа господин госпожа доктор профессор гражданин гражданка товарищ dear уважаемый уважаемая дорогой дорогая ";

typedef struct word { size_t from, to; char stem[STEM], form[STEM]; bool capital, letter, first /* a given name */, both /* and a word */; } word;
typedef struct first_name { uint64_t hash /* of a form */; char base[STEM]; bool both; } first_name;
typedef struct words { const char *text; word *v; int n, cap; } words;
typedef struct person { char stem[NAME_WORDS][STEM]; int n; } person;

struct red_names {
    person *v; int n;
    first_name *given; int n_given;     /* every form, by hash */
    person *own; int n_own;             /* that the person gave */
    uint64_t *sur; int n_sur;           /* hashes of stems that stood in whole names, in order of coming */
};

/* ---- words ---- */
static uint64_t hash(const char *s) { return q_hash64(s, strlen(s), 77); }

/* ABC: an abbreviation, not a name. */
static bool shouted(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n >= 2 && u[0] < 0x80) return u[1] >= 'A' && u[1] <= 'Z';
    return n >= 4 && u[0] == 0xD0 && u[2] == 0xD0 && u[3] >= 0x90 && u[3] <= 0xAF;
}

static bool take(void *user, const mem_word *w)
{
    words *l = user;
    if (w->flags & (MEM_WORD_SAME | MEM_WORD_EXACT | MEM_WORD_WHOLE | MEM_WORD_NUMBER)) return true;
    if (l->n && w->start < l->v[l->n - 1].to) return true;
    if (l->n == l->cap) l->v = q_realloc(l->v, sizeof *l->v * (size_t)(l->cap = l->cap ? l->cap * 2 : 256));
    word *o = &l->v[l->n++];
    *o = (word){ .from = w->start, .to = w->end, .capital = (w->flags & MEM_WORD_CAPITAL) != 0 && !shouted(l->text + w->start, w->end - w->start) };
    snprintf(o->form, sizeof o->form, "%s", w->word);
    o->letter = w->end - w->start <= 2 && ((unsigned char)l->text[w->start] >= 0x80 || w->end - w->start == 1);
    return true;
}

static bool cut_any(char *w, const char *const *row, size_t n)
{
    size_t k = strlen(w);
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(row[i]);
        if (k < m + 6 || strcmp(w + k - m, row[i]) != 0) continue;      /* three letters stay */
        w[k - m] = 0;
        return true;
    }
    return false;
}

/* A Russian name without what its case adds; the same of every case. (The index's stemmer is made for words: "иван" is "ива" there, "ивану" "иван".) */
static void base_of(const char *form, char base[STEM])
{
    static const char *const vowels[] = { "а", "я", "у", "ю", "о", "е", "ы", "и", "й", "ь" }, *const more[] = { "ом", "ем", "ым", "им" };
    snprintf(base, STEM, "%s", form);
    if ((unsigned char)*form < 0xD0) return;
    while (cut_any(base, vowels, 10)) {}
    if (cut_any(base, more, 4)) while (cut_any(base, vowels, 10)) {}
}

static const first_name *known_first(const struct red_names *r, const char *form)
{
    uint64_t h = hash(form);
    int lo = 0, hi = r->n_given;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (r->given[mid].hash < h) lo = mid + 1;
        else hi = mid;
    }
    return lo < r->n_given && r->given[lo].hash == h ? &r->given[lo] : NULL;
}

static words words_of(const struct red_names *r, const char *text, size_t n)
{
    words l = { .text = text };
    mem_words(text, n, take, &l);
    for (int i = 0; i < l.n; i++) {
        const first_name *f = l.v[i].capital ? known_first(r, l.v[i].form) : NULL;
        l.v[i].first = f != NULL;
        l.v[i].both = f && f->both;
        if (f) memcpy(l.v[i].stem, f->base, STEM);
        else base_of(l.v[i].form, l.v[i].stem);
    }
    return l;
}

static bool among(const char *w, const char *row)
{
    size_t n = strlen(w);
    for (const char *p = row; n && (p = strstr(p, w)) != NULL; p++)
        if (p > row && p[-1] == ' ' && p[n] == ' ') return true;
    return false;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const first_name *)a)->hash, y = ((const first_name *)b)->hash;
    return x < y ? -1 : x > y;
}

static void add_form(struct red_names *r, const char *base, const char *stem, const char *end, bool is_both)
{
    char form[STEM * 2];
    if ((r->n_given & (r->n_given - 1)) == 0) r->given = q_realloc(r->given, sizeof *r->given * (size_t)(r->n_given ? r->n_given * 2 : 1));
    snprintf(form, sizeof form, "%s%s", stem, end);
    first_name *f = &r->given[r->n_given++];
    *f = (first_name){ .hash = hash(form), .both = is_both };
    snprintf(f->base, sizeof f->base, "%s", base);
}

/* A Russian name in all its cases, by how it ends; others as they are. */
static void add_name(struct red_names *r, const char *name, size_t n)
{
    static const struct { const char *end, *forms[9]; } rows[] = {
        { "а", { "а", "ы", "и", "е", "у", "ой", "ою", "ей" } }, { "я", { "я", "и", "е", "ю", "ей", "ею" } }, { "й", { "й", "я", "ю", "ем", "е", "и" } }, { "ь", { "ь", "я", "ю", "ем", "е" } },
        { "", { "", "а", "у", "ом", "ем", "е", "ы" } } };
    char base[STEM];
    snprintf(base, sizeof base, "%.*s", (int)n, name);
    bool is_both = among(base, both);
    if ((unsigned char)*name < 0xD0) {
        add_form(r, base, base, "", is_both);
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t k = strlen(rows[i].end);
        if (k && strcmp(base + n - k, rows[i].end) != 0) continue;
        char stem[STEM];
        snprintf(stem, sizeof stem, "%.*s", (int)(n - k), name);
        for (int f = 0; f < 9 && rows[i].forms[f]; f++) add_form(r, base, stem, rows[i].forms[f], is_both);
        return;
    }
}

struct red_names *red_names_new(const char *const *name, int n)
{
    static const char *const rows[] = { given, both };
    struct red_names *r = q_alloc(sizeof *r);
    for (int k = 0; k < 2; k++)
        for (const char *p = rows[k] + 1; *p;) {
            size_t m = strcspn(p, " ");
            add_name(r, p, m);
            p += m + 1;
        }
    qsort(r->given, (size_t)r->n_given, sizeof *r->given, by_hash);
    r->own = q_alloc(sizeof *r->own * (size_t)(n + 1));
    for (int i = 0; i < n; i++) {
        words l = words_of(r, name[i], strlen(name[i]));
        person *p = &r->own[r->n_own];
        for (int k = 0; k < l.n && k < NAME_WORDS; k++) memcpy(p->stem[p->n++], l.v[k].stem, STEM);
        r->n_own += p->n > 0;
        free(l.v);
    }
    return r;
}

void red_names_free(struct red_names *r)
{
    if (!r) return;
    free(r->v);
    free(r->given);
    free(r->own);
    free(r->sur);
    free(r);
}

/* ---- who ---- */
static bool ends(const char *form, const char *const *row, size_t n)
{
    size_t k = strlen(form);
    for (size_t i = 0; i < n; i++)
        if (k > strlen(row[i]) + 3 && strcmp(form + k - strlen(row[i]), row[i]) == 0) return true;
    return false;
}

static bool is_patronymic(const word *w)
{
    static const char *const row[] = { "ович", "овича", "овичу", "овичем", "овиче", "евич", "евича", "евичу", "евичем", "евиче", "овна", "овны", "овне", "овну", "овной",
                                       "евна", "евны", "евне", "евну", "евной", "ична", "ичны", "ичне", "ичну", "ичной", "ьич", "ьича", "ьичу" };
    return w->capital && ends(w->form, row, sizeof row / sizeof *row);
}

/* A last name by its ending, in front of a given one: "Петров Иван". */
static bool is_last_name(const word *w)
{
    static const char *const row[] = { "ов", "ова", "ову", "овым", "овой", "ев", "ева", "еву", "евым", "евой", "ин", "ина", "ину", "иным", "иной",
                                       "ский", "ского", "скому", "ским", "ская", "ской", "енко", "цкий", "цкая", "чук", "юк" };
    return w->capital && ends(w->form, row, sizeof row / sizeof *row);
}

static bool joins(const words *l, int i)
{
    const char *p = l->text + l->v[i - 1].to;
    size_t n = l->v[i].from - l->v[i - 1].to;
    return (n == 1 && (*p == ' ' || *p == '-')) || (n == 2 && memcmp(p, "\xC2\xA0", 2) == 0) || (l->v[i - 1].letter && n <= 2 && *p == '.');
}

static bool begins_sentence(const words *l, int i)
{
    if (i == 0) return true;
    const char *p = l->text + l->v[i - 1].to;
    for (size_t k = 0, n = l->v[i].from - l->v[i - 1].to; k < n; k++)
        if (strchr(".!?:;\n\"", p[k])) return true;
    return false;
}

/* "Mr", "my name is", "меня зовут" before word i. */
static bool cued(const words *l, int i)
{
    if (!i) return false;
    const char *one = l->v[i - 1].form, *two = i > 1 ? l->v[i - 2].form : "", *three = i > 2 ? l->v[i - 3].form : "";
    size_t far = l->v[i].from - l->v[i - 1].to;
    if (far > 3) return false;
    if (among(one, before_row) && !memchr(l->text + l->v[i - 1].to, '\n', far)) return true;
    if (strcmp(one, "зовут") == 0 && among(two, " меня его ее её их тебя вас ")) return true;
    return (strcmp(one, "is") == 0 && strcmp(two, "name") == 0 && among(three, " my his her ")) || (strcmp(one, "called") == 0 && among(two, " am is "));
}

static int remembered(const struct red_names *r, const word *w)
{
    uint64_t h = hash(w->stem);
    for (int i = 0; w->capital && i < r->n_sur; i++)
        if (r->sur[i] == h) return true;
    return false;
}

static int own_at(const struct red_names *r, const words *l, int i)
{
    for (int k = 0; k < r->n_own; k++) {
        int n = 0;
        while (n < r->own[k].n && i + n < l->n && strcmp(l->v[i + n].stem, r->own[k].stem[n]) == 0 && (n == 0 || joins(l, i + n))) n++;
        if (n == r->own[k].n) return n;
    }
    return 0;
}

/* How many words from i on are a person's name; 0: none begins here. */
static int name_at(const struct red_names *r, const words *l, int i)
{
    int own = own_at(r, l, i), n = 1, firsts = 0, sure = 0;
    if (own) return own;
    if (!l->v[i].capital || among(l->v[i].form, before_row)) return 0;
    while (i + n < l->n && n < NAME_WORDS && l->v[i + n].capital && joins(l, i + n) && strcmp(l->v[i + n].form, "i") != 0) n++;
    for (int k = i; k < i + n; k++) {
        bool first = l->v[k].first, two = l->v[k].both;
        firsts += first && !two;
        sure += is_patronymic(&l->v[k]) || remembered(r, &l->v[k]);
        if (first && two && n > 1 && k + 1 < i + n && !l->v[k + 1].first && !begins_sentence(l, i)) firsts++;
    }
    bool here = l->v[i].first && (!l->v[i].both || n > 1 || cued(l, i)), told = cued(l, i);
    if (told) return n;
    if (!firsts && !sure) return 0;
    if (here || remembered(r, &l->v[i])) return n;
    if (n > 1 && (l->v[i].letter || is_last_name(&l->v[i])) && (l->v[i + 1].first || is_patronymic(&l->v[i + 1]) || remembered(r, &l->v[i + 1]))) return n;
    return is_patronymic(&l->v[i]) && n == 1 ? 1 : 0;
}

/* All of the one's stems are among the other's. */
static bool within(const person *a, const person *b)
{
    for (int i = 0; i < a->n; i++) {
        bool has = false;
        for (int k = 0; k < b->n; k++) has |= strcmp(a->stem[i], b->stem[k]) == 0;
        if (!has) return false;
    }
    return true;
}

static int who(struct red_names *r, const words *l, int i, int n)
{
    person p = {0};
    for (int k = 0; k < n; k++) memcpy(p.stem[p.n++], l->v[i + k].stem, STEM);
    for (int k = 0; k < r->n; k++) {
        if (within(&p, &r->v[k])) return k;
        if (!within(&r->v[k], &p)) continue;
        r->v[k] = p;
        return k;
    }
    if ((r->n & (r->n - 1)) == 0) r->v = q_realloc(r->v, sizeof *r->v * (size_t)(r->n ? r->n * 2 : 1));
    r->v[r->n] = p;
    return r->n++;
}

static void remember(struct red_names *r, const words *l, int i, int n)
{
    for (int k = i; n > 1 && k < i + n; k++) {
        const word *w = &l->v[k];
        if (w->letter || !w->capital || w->first || remembered(r, w) || strlen(w->form) < 3) continue;
        if ((r->n_sur & (r->n_sur - 1)) == 0) r->sur = q_realloc(r->sur, sizeof *r->sur * (size_t)(r->n_sur ? r->n_sur * 2 : 1));
        r->sur[r->n_sur++] = hash(w->stem);
    }
}

void red_names_learn(struct red_names *r, const char *text, size_t n)
{
    words l = words_of(r, text, n);
    for (int i = 0; i < l.n;) {
        int k = name_at(r, &l, i);
        if (k) remember(r, &l, i, k), who(r, &l, i, k);
        i += k ? k : 1;
    }
    free(l.v);
}

void red_names_find(struct red_names *r, const char *text, size_t n, const red_spans *taken, red_spans *out)
{
    words l = words_of(r, text, n);
    for (int i = 0, t = 0; i < l.n;) {
        int k = name_at(r, &l, i);
        if (!k) {
            i++;
            continue;
        }
        size_t from = l.v[i].from, to = l.v[i + k - 1].to;
        while (t < taken->n && taken->v[t].to <= from) t++;
        if (t == taken->n || taken->v[t].from >= to) red_spans_add(out, (red_span){ from, to, RED_PERSON, who(r, &l, i, k) });
        i += k;
    }
    free(l.v);
}
