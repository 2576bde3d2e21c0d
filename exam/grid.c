/* exam/grid: who lives where. People, pets and drinks in a row of houses; clues are drawn from what is true until a search over all
 * assignments finds one solution alone, then those that are not needed are dropped. Any thread. */
#include "exam/parts.h"

#include <stdlib.h>
#include <string.h>

enum { KINDS = 3, HOUSES = 5, CLUES = 64 };
enum relation { SAME, OTHER, LEFT, NEXT, AT, NOT_AT };
typedef struct clue { enum relation r; int a_kind, a, b_kind, b; } clue;       /* AT, NOT_AT: b is the house */
typedef struct world { int kinds, n, place[KINDS][HOUSES]; } world;            /* place[kind][who]: from 0 */

static const char *const pet[2][HOUSES] = { { "the cat", "the dog", "the parrot", "the hamster", "the turtle" }, { "кошки", "собаки", "попугая", "хомяка", "черепахи" } };
static const char *const drink[2][HOUSES] = { { "tea", "coffee", "milk", "juice", "water" }, { "чай", "кофе", "молоко", "сок", "воду" } };

static bool holds(const world *w, const clue *c)
{
    int a = w->place[c->a_kind][c->a], b = c->r == AT || c->r == NOT_AT ? c->b : w->place[c->b_kind][c->b];
    switch (c->r) {
        case SAME: case AT: return a == b;
        case OTHER: case NOT_AT: return a != b;
        case LEFT: return a < b;
        case NEXT: return a + 1 == b;
    }
    return false;
}

static int level_of(const clue *c)       /* the last kind that it speaks of: it can be judged as soon as that is placed */
{
    return c->r == AT || c->r == NOT_AT || c->a_kind > c->b_kind ? c->a_kind : c->b_kind;
}

/* How many worlds fit, counted up to 2. */
static int solutions(world *w, int kind, int who, unsigned used, const clue *c, int n)
{
    if (who == w->n) {
        for (int i = 0; i < n; i++)
            if (level_of(&c[i]) == kind && !holds(w, &c[i])) return 0;
        return kind + 1 == w->kinds ? 1 : solutions(w, kind + 1, 0, 0, c, n);
    }
    int found = 0;
    for (int h = 0; h < w->n && found < 2; h++)
        if (!(used & 1u << h)) {
            w->place[kind][who] = h;
            found += solutions(w, kind, who + 1, used | 1u << h, c, n);
        }
    return found;
}

static bool only_one(const world *w, const clue *c, int n)
{
    world x = { .kinds = w->kinds, .n = w->n };
    return solutions(&x, 0, 0, 0, c, n) == 1;
}

static clue draw_clue(const world *w, uint64_t random[4])
{
    for (;;) {
        clue c = { .r = (enum relation)draw(random, 0, 5), .a_kind = draw(random, 0, w->kinds - 1), .a = draw(random, 0, w->n - 1), .b_kind = draw(random, 0, w->kinds - 1), .b = draw(random, 0, w->n - 1) };
        bool place = c.r == AT || c.r == NOT_AT, own = c.a_kind == c.b_kind;
        if (!place && own && (c.a == c.b || c.r == SAME || c.r == OTHER)) continue;
        if (holds(w, &c)) return c;
    }
}

static void name(q_buf *b, enum exam_lang lang, int kind, int who, const int *person_of)
{
    bool english = lang == EXAM_EN;
    if (kind == 0) q_buf_puts(b, english ? draw_people[person_of[who]].en : draw_people[person_of[who]].ru);
    else if (kind == 1) q_buf_printf(b, english ? "the owner of %s" : "хозяин %s", pet[lang][who]);
    else q_buf_printf(b, english ? "the one who drinks %s" : "тот, кто пьёт %s,", drink[lang][who]);
}

static void tell(q_buf *out, enum exam_lang lang, const clue *c, const int *person_of)
{
    static const char *const words[2][6] = {
        { "%s and %s are the same person.", "%s and %s are different people.", "%s lives somewhere to the left of %s.",
          "%s lives immediately to the left of %s.", "%s lives in house %d.", "%s does not live in house %d." },
        { "%s и %s — один и тот же человек.", "%s и %s — разные люди.", "%s живёт левее, чем %s.", "%s живёт непосредственно слева от дома, где живёт %s.", "%s живёт в доме %d.", "%s не живёт в доме %d." } };
    q_buf a = { 0 }, b = { 0 }, line = { 0 };
    name(&a, lang, c->a_kind, c->a, person_of);
    if (c->r == AT || c->r == NOT_AT) q_buf_printf(&line, words[lang][c->r], a.p, c->b + 1);
    else {
        name(&b, lang, c->b_kind, c->b, person_of);
        q_buf_printf(&line, words[lang][c->r], a.p, b.p);
    }
    size_t n = line.len;                 /* a comma before a full stop or the dash goes */
    for (char *comma; (comma = strstr(line.p, ",.")) != NULL; n--) memmove(comma, comma + 1, strlen(comma));
    if (line.p[0] == 't') line.p[0] = 'T';
    if (!strncmp(line.p, "т", 2)) memcpy(line.p, "Т", 2);
    if (!strncmp(line.p, "х", 2)) memcpy(line.p, "Х", 2);
    q_buf_puts(out, line.p);
    q_buf_puts(out, "\n");
    q_buf_free(&a);
    q_buf_free(&b);
    q_buf_free(&line);
}

void task_grid(exam_item *i, uint64_t random[4])
{
    static const struct { int n, kinds; } size[EXAM_LEVELS] = { { 3, 1 }, { 3, 2 }, { 4, 2 }, { 4, 3 }, { 5, 3 } };
    bool english = i->lang == EXAM_EN;
    world w = { .kinds = size[i->level - 1].kinds, .n = size[i->level - 1].n };
    int person_of[8], n = 0;
    clue c[CLUES];
    draw_order(random, person_of, 8);
    for (int k = 0; k < w.kinds; k++) draw_order(random, w.place[k], w.n);
    while (n < CLUES && !(n > 0 && only_one(&w, c, n))) c[n++] = draw_clue(&w, random);
    if (!only_one(&w, c, n)) n = 0;
    for (int who = 0; n < w.n * w.kinds && !(n > 0 && only_one(&w, c, n)); who++)        /* what luck did not settle is said outright */
        c[n++] = (clue){ .r = AT, .a_kind = who / w.n, .a = who % w.n, .b = w.place[who / w.n][who % w.n] };
    for (int k = n; k-- > 0;) {
        clue was = c[k];
        memmove(&c[k], &c[k + 1], sizeof *c * (size_t)(n - k - 1));
        if (n > 1 && only_one(&w, c, n - 1)) n--;
        else {
            memmove(&c[k + 1], &c[k], sizeof *c * (size_t)(n - k - 1));
            c[k] = was;
        }
    }
    q_buf q = { 0 };
    q_buf_printf(&q, english ? "%d people live in a row of houses, numbered 1 to %d from left to right, one in each: "
                                   : "Люди живут в ряду домов, по одному в каждом; домов %d, они пронумерованы от 1 до %d слева направо. Их зовут: ", w.n, w.n);
    for (int k = 0; k < w.n; k++) q_buf_printf(&q, "%s%s", k ? ", " : "", english ? draw_people[person_of[k]].en : draw_people[person_of[k]].ru);
    if (w.kinds > 1) {
        q_buf_puts(&q, english ? ". Each owns one animal, all different" : ". У каждого одно животное, все разные (слово «хозяин» сказано о любом из них)");
        q_buf_puts(&q, english ? " (" : ": хозяева ");
        for (int k = 0; k < w.n; k++) q_buf_printf(&q, "%s%s", k ? ", " : "", pet[i->lang][k]);
        q_buf_puts(&q, english ? ")" : "");
    }
    if (w.kinds > 2) {
        q_buf_puts(&q, english ? ". Each drinks something else (" : ". Каждый пьёт что-то своё: ");
        for (int k = 0; k < w.n; k++) q_buf_printf(&q, "%s%s", k ? ", " : "", drink[i->lang][k]);
        q_buf_puts(&q, english ? ")" : "");
    }
    q_buf_puts(&q, ".\n");
    for (int k = 0; k < n; k++) tell(&q, i->lang, &c[k], person_of);
    int kind = w.kinds - 1, what = draw(random, 0, w.n - 1), at = w.place[kind][what], who = 0;
    while (w.place[0][who] != at) who++;
    if (kind == 0) q_buf_printf(&q, english ? "Who lives in house %d?" : "Кто живёт в доме %d?", at + 1);
    else if (kind == 1) q_buf_printf(&q, english ? "Who is the owner of %s?" : "Кто хозяин %s?", pet[i->lang][what]);
    else q_buf_printf(&q, english ? "Who drinks %s?" : "Кто пьёт %s?", drink[i->lang][what]);
    const person *p = &draw_people[person_of[who]];
    ask_words(i, &q, english ? p->en : p->ru, "the name", "имя");
}
