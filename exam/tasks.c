/* exam/tasks: the list of tasks, and those that need few lines: arithmetic, word problems, letters, state. Any thread. */
#include "exam/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const exam_task table[] = {
    { "arithmetic", N_("sums and products with carries"), task_arithmetic },
    { "story", N_("word problems of several steps"), task_story },
    { "grid", N_("who lives where: one solution, proven by search"), task_grid },
    { "letters", N_("words turned round, counted and shifted letter by letter"), task_letters },
    { "needle", N_("one line to be found in a long text"), task_needle },
    { "needles", N_("several lines to be found in a long text, in order"), task_needles },
    { "state", N_("what lies where after a row of exchanges"), task_state },
    { "code", N_("a program that is run in the sandbox"), task_code },
    { "form", N_("instructions whose form can be counted"), task_form },
};
const exam_task *exam_tasks(int *n)
{
    *n = sizeof table / sizeof *table;
    return table;
}

int exam_make(const char *task, int level, enum exam_lang lang, uint64_t seed, int number, exam_item *out, char *err)
{
    int n = sizeof table / sizeof *table, t = 0;
    memset(out, 0, sizeof *out);
    while (t < n && strcmp(table[t].name, task) != 0) t++;
    if (t == n) {
        char names[256] = "";
        for (int i = 0; i < n; i++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", table[i].name);
        return q_fail(err, Q_NOTFOUND, _("there is no task \"%s\": the tasks are %s"), task, names);
    }
    if (level < 1 || level > EXAM_LEVELS)
        return q_fail(err, Q_RANGE, _("levels go from 1 to %d, not %d"), EXAM_LEVELS, level);
    *out = (exam_item){ .task = table[t].name, .level = level, .number = number, .lang = lang };
    uint64_t key = q_mix64(q_mix64(seed, (uint64_t)t), q_mix64((uint64_t)level << 8 | lang, (uint64_t)number)), random[4];
    for (int i = 0; i < 4; i++)
        random[i] = key = q_mix64(key, (uint64_t)i + 1);
    random[0] |= 1;
    table[t].make(out, random);
    return Q_OK;
}

void exam_item_free(exam_item *i)
{
    free(i->question);
    free(i->answer);
    free(i->sample);
    free(i->form.keyword);
    for (int r = 0; r < EXAM_RUNS; r++) {
        free(i->in[r]);
        free(i->out[r]);
    }
    memset(i, 0, sizeof *i);
}

/* ---- arithmetic ---- */
/* A number of so many digits whose lowest is at least 5: two of them carry. */
static long long carrying(uint64_t random[4], int digits)
{
    long long n = draw(random, 1, 9);
    for (int i = 1; i < digits; i++)
        n = n * 10 + (i == digits - 1 ? draw(random, 5, 9) : draw(random, 0, 9));
    return n;
}

void task_arithmetic(exam_item *i, uint64_t random[4])
{
    q_buf q = { 0 };
    int level = i->level;
    long long a = carrying(random, level + 1), b = carrying(random, level + 1), c = carrying(random, 2), d = draw(random, 2, 9), answer;
    q_buf_puts(&q, i->lang == EXAM_EN ? "Compute " : "Вычислите ");
    if (level == 1) {
        q_buf_printf(&q, "%lld + %lld.", a, b);
        answer = a + b;
    } else if (level == 2) {
        q_buf_printf(&q, "%lld + %lld - %lld.", a, b, c);
        answer = a + b - c;
    } else if (level == 3) {
        q_buf_printf(&q, "%lld * %lld + %lld.", c, d, a);
        answer = c * d + a;
    } else if (level == 4) {
        q_buf_printf(&q, "%lld * %lld - %lld.", a, c, b);
        answer = a * c - b;
    } else {
        q_buf_printf(&q, "(%lld + %lld) * %lld - %lld * %lld.", a, b, c, b, d);
        answer = (a + b) * c - b * d;
    }
    ask_number(i, &q, answer);
}

/* ---- word problems ---- */
typedef struct telling { const char *en, *he, *she; } telling;
enum { FOUND, GAVE, TWICE, HALF, STEPS };
static const telling begins = { "%s has ", "У %s ", "У %s " };
static const telling steps[STEPS] = {
    { "Then %s finds ", "Потом он нашёл ещё ", "Потом она нашла ещё " },
    { "Then %s gives away ", "Потом он отдал ", "Потом она отдала " },
    { "Then a friend gives %s as many again as there are now.", "Потом друг подарил ему ещё столько же, сколько у него есть.", "Потом друг подарил ей ещё столько же, сколько у неё есть." },
    { "Then %s gives half of them to a neighbour.", "Потом он отдал половину соседу.", "Потом она отдала половину соседу." },
};

void task_story(exam_item *i, uint64_t random[4])
{
    bool english = i->lang == EXAM_EN;
    const person *who = &draw_people[draw(random, 0, draw_n_people - 1)];
    const noun *what = &draw_things[draw(random, 0, draw_n_things - 1)];
    int have = draw(random, 6, 20 + 10 * i->level);
    q_buf q = { 0 };
    q_buf_printf(&q, english ? begins.en : begins.he, english ? who->en : who->whose);
    if (english) put_count(&q, i->lang, have, what);
    else q_buf_printf(&q, "%d %s", have, draw_form(have, what->one, what->few, what->many));
    q_buf_puts(&q, ".");
    for (int s = 0; s <= i->level; s++) {
        int act = draw(random, 0, STEPS - 1), n = draw(random, 2, 25);
        act = act == HALF && have % 2 ? FOUND : act == TWICE && have > 400 ? GAVE : act;
        n = act == GAVE && n >= have ? have / 2 : n;
        act = act == GAVE && n < 1 ? FOUND : act;
        n = n < 1 ? 2 : n;
        const telling *t = &steps[act];
        q_buf_puts(&q, " ");
        if (english) q_buf_printf(&q, t->en, who->en);
        else q_buf_puts(&q, who->she ? t->she : t->he);
        if (act == FOUND || act == GAVE) {
            put_count(&q, i->lang, n, what);
            q_buf_puts(&q, ".");
        }
        have = act == FOUND ? have + n : act == GAVE ? have - n : act == TWICE ? 2 * have : have / 2;
    }
    if (english) q_buf_printf(&q, " How many %s does %s have now?", what->en_many, who->en);
    else q_buf_printf(&q, " Сколько %s теперь у %s?", what->many, who->whose);
    ask_number(i, &q, have);
}

/* ---- letters ---- */
static const char *const alphabet[2][26] = {
    { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z" },
    { "а", "б", "в", "г", "д", "е", "ж", "з", "и", "к", "л", "м", "н", "о", "п", "р", "с", "т", "у", "ф", "х", "ц", "ч", "ш", "э", "я" } };
static const char vowels[2][26] = { { [0] = 1, [4] = 1, [8] = 1, [14] = 1, [20] = 1 }, { [0] = 1, [5] = 1, [8] = 1, [13] = 1, [18] = 1, [24] = 1, [25] = 1 } };
enum { LETTERS = 26, LONGEST = 16 };

/* Consonant and vowel in turn, so that it can be said. */
static void made_word(uint64_t random[4], enum exam_lang lang, int *word, int n)
{
    for (int k = 0; k < n; k++)
        do word[k] = draw(random, 0, LETTERS - 1);
        while (vowels[lang][word[k]] != k % 2);
}

static char *spelt(enum exam_lang lang, const int *word, int n)
{
    q_buf b = { 0 };
    for (int k = 0; k < n; k++) q_buf_puts(&b, alphabet[lang][word[k]]);
    return q_buf_take(&b);
}

void task_letters(exam_item *i, uint64_t random[4])
{
    int n = 3 + 2 * i->level, word[LONGEST], to[LONGEST], m = 0, kind = draw(random, 0, 3);
    bool english = i->lang == EXAM_EN;
    made_word(random, i->lang, word, n);
    char *w = spelt(i->lang, word, n);
    q_buf q = { 0 };
    if (kind == 0) {
        for (int k = n; k-- > 0;) to[m++] = word[k];
        q_buf_printf(&q, english ? "Write the word \"%s\" backwards." : "Напишите слово «%s» задом наперёд.", w);
    } else if (kind == 1) {
        for (int k = 0; k < n; k++)
            if (!vowels[i->lang][word[k]]) to[m++] = word[k];
        q_buf_printf(&q, english ? "Write the word \"%s\" without its vowels (a, e, i, o, u)." : "Напишите слово «%s» без гласных (а, е, и, о, у, э, я).", w);
    } else if (kind == 2) {
        for (int k = 1; k < n; k += 2) to[m++] = word[k];
        q_buf_printf(&q, english ? "Write the second, fourth, sixth letter and so on of the word \"%s\", as one word."
                                 : "Напишите вторую, четвёртую, шестую букву и так далее слова «%s» одним словом.", w);
    } else {
        int which = word[draw(random, 0, n - 1)], count = 0;
        for (int k = 0; k < n; k++) count += word[k] == which;
        q_buf_printf(&q, english ? "How many times does the letter \"%s\" stand in the word \"%s\"?" : "Сколько раз буква «%s» встречается в слове «%s»?", alphabet[i->lang][which], w);
        ask_number(i, &q, count);
        free(w);
        return;
    }
    char *answer = spelt(i->lang, to, m);
    ask_words(i, &q, answer, "the letters, written together", "буквы слитно");
    free(answer);
    free(w);
}

/* ---- state ---- */
static const char *const balls[2][8] = { { "red", "blue", "green", "white", "black", "yellow", "brown", "grey" },
                                         { "красный", "синий", "зелёный", "белый", "чёрный", "жёлтый", "коричневый", "серый" } };

void task_state(exam_item *i, uint64_t random[4])
{
    int n = i->level + 2, at[8], order[8];
    bool english = i->lang == EXAM_EN;
    q_buf q = { 0 };
    draw_order(random, order, 8);
    for (int k = 0; k < n; k++) {
        at[k] = order[k];
        q_buf_printf(&q, english ? "Under cup %d lies a %s ball. " : "Под стаканом %d лежит %s шарик. ", k + 1, balls[i->lang][at[k]]);
    }
    for (int s = 0; s < 2 * i->level + 1; s++) {
        int a = draw(random, 0, n - 1), b = (a + draw(random, 1, n - 1)) % n, was = at[a];
        at[a] = at[b];
        at[b] = was;
        q_buf_printf(&q, english ? "The balls under cups %d and %d change places. " : "Шарики под стаканами %d и %d меняются местами. ", a + 1, b + 1);
    }
    int ask = draw(random, 0, n - 1);
    q_buf_printf(&q, english ? "What colour is the ball under cup %d?" : "Какого цвета шарик под стаканом %d?", ask + 1);
    ask_words(i, &q, balls[i->lang][at[ask]], "the colour", "цвет (прилагательное в мужском роде)");
}
