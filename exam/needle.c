/* exam/needle: lines to be found in a long text, programs, and instructions whose form can be counted. Any thread. */
#include "exam/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- needles ---- */
static const char *const place[2][12] = {
    { "harbour", "library", "station", "market", "garden", "school", "theatre", "bakery", "museum", "bridge", "mill", "tower" },
    { "порту", "библиотеке", "мастерской", "лавке", "саду", "школе", "театре", "пекарне", "музее", "конторе", "мельнице", "башне" } };
static const char *const filler[2][6] = {
    { "On day %d the %s was open until the evening.", "On day %d few people came to the %s.", "On day %d it rained, and the %s stayed quiet.",
      "On day %d the doors of the %s were painted.", "On day %d somebody left an umbrella at the %s.", "On day %d a letter came to the %s." },
    { "В день %d до вечера работали, и в %s горел свет.", "В день %d людей в %s было мало.", "В день %d шёл дождь, и в %s было тихо.", "В день %d в %s красили двери.",
      "В день %d кто-то забыл зонт в %s.", "В день %d в %s пришло письмо." } };
static const char *const chest[2][8] = { { "red", "blue", "green", "white", "black", "yellow", "brown", "grey" },
                                        { "красного", "синего", "зелёного", "белого", "чёрного", "жёлтого", "коричневого", "серого" } };
static const int lines_of[EXAM_LEVELS] = { 12, 40, 120, 360, 1000 };

/* n chests are named in the text, `ask` of them asked for. */
static void hide(exam_item *i, uint64_t random[4], int n, int ask)
{
    bool english = i->lang == EXAM_EN;
    int lines = lines_of[i->level - 1], order[8], code[8], at[8];
    q_buf q = { 0 }, answer = { 0 };
    draw_order(random, order, 8);
    for (int k = 0; k < n; k++) {
        code[k] = draw(random, 1000, 9999);
        at[k] = lines * k / n + draw(random, 0, lines / n - 1);
    }
    q_buf_puts(&q, english ? "Read this text.\n" : "Прочитайте текст.\n");
    for (int l = 0, k = 0; l < lines; l++) {
        int f = draw(random, 0, 5), p = draw(random, 0, 11);
        q_buf_printf(&q, filler[i->lang][f], l + 1, place[i->lang][p]);
        if (k < n && at[k] == l) {
            q_buf_printf(&q, english ? " The code of the %s chest is %d." : " Код %s сундука — %d.", chest[i->lang][order[k]], code[k]);
            k++;
        }
        q_buf_puts(&q, "\n");
    }
    if (ask == 1) {
        int k = draw(random, 0, n - 1);
        q_buf_printf(&q, english ? "What is the code of the %s chest?" : "Какой код у %s сундука?", chest[i->lang][order[k]]);
        ask_number(i, &q, code[k]);
        return;
    }
    int say[8];
    draw_order(random, say, n);
    q_buf_puts(&q, english ? "What are the codes of these chests, in this order:" : "Какие коды у этих сундуков, именно в таком порядке:");
    for (int k = 0; k < ask; k++) {
        q_buf_printf(&q, english ? "%s the %s one" : "%s у %s", k ? "," : "", chest[i->lang][order[say[k]]]);
        q_buf_printf(&answer, "%s%d", k ? ", " : "", code[say[k]]);
    }
    q_buf_puts(&q, "?");
    ask_words(i, &q, answer.p, "the numbers, parted by commas", "числа через запятую");
    q_buf_free(&answer);
}

void task_needle(exam_item *i, uint64_t random[4]) { hide(i, random, 1 + i->level / 2, 1); }
void task_needles(exam_item *i, uint64_t random[4]) { hide(i, random, 3 + i->level / 2, 2 + i->level / 3); }

/* ---- programs ---- */
enum { CODES = 3 };
static const char *const wanted[2][CODES] = {
    { "reads whole numbers from standard input, parted by blanks, and prints the sum of those that are divisible by %d",
      "reads words from standard input, parted by blanks, and prints how many of them are longer than %d letters",
      "reads whole numbers from standard input, parted by blanks, and prints them without repetitions on one line, parted by single blanks, "
      "in the order of their remainders by %d (the smaller number first where remainders are equal)" },
    { "читает из стандартного ввода целые числа через пробел и печатает сумму тех, что делятся на %d",
      "читает из стандартного ввода слова через пробел и печатает, сколько из них длиннее %d букв",
      "читает из стандартного ввода целые числа через пробел и печатает их без повторений в одну строку через один пробел в порядке остатков от деления на %d (при равных остатках меньшее число раньше)" } };
static const char *const solved[CODES] = { "import sys\nprint(sum(x for x in map(int, sys.stdin.read().split()) if x %% %d == 0))\n",
                                           "import sys\nprint(sum(len(w) > %d for w in sys.stdin.read().split()))\n",
                                           "import sys\nprint(*sorted(set(map(int, sys.stdin.read().split())), key=lambda x: (x %% %d, x)))\n" };

static void order_of(int *v, int n, int by)
{
    for (int a = 1; a < n; a++)
        for (int b = a; b > 0 && (v[b - 1] % by > v[b] % by || (v[b - 1] % by == v[b] % by && v[b - 1] > v[b])); b--) {
            int was = v[b];
            v[b] = v[b - 1];
            v[b - 1] = was;
        }
}

static void one_run(exam_item *i, int r, int kind, int by, uint64_t random[4])
{
    q_buf in = { 0 }, out = { 0 };
    int n = r == 0 ? 1 : draw(random, 4, 10 + 4 * i->level), v[40], m = 0;
    long long sum = 0;
    for (int k = 0; k < n; k++) {
        if (kind == 1) {
            int len = draw(random, 1, 9);
            for (int l = 0; l < len; l++) q_buf_putc(&in, (char)('a' + draw(random, 0, 25)));
            sum += len > by;
        } else {
            int x = draw(random, 0, 20 * i->level), seen = 0;
            q_buf_printf(&in, "%d", x);
            sum += x % by == 0 ? x : 0;
            for (int l = 0; l < m; l++) seen |= v[l] == x;
            if (!seen) v[m++] = x;
        }
        q_buf_puts(&in, k + 1 < n ? " " : "\n");
    }
    if (kind == 2) {
        order_of(v, m, by);
        for (int k = 0; k < m; k++) q_buf_printf(&out, "%s%d", k ? " " : "", v[k]);
    } else q_buf_printf(&out, "%lld", sum);
    i->in[r] = q_buf_take(&in);
    i->out[r] = q_buf_take(&out);
}

void task_code(exam_item *i, uint64_t random[4])
{
    bool english = i->lang == EXAM_EN;
    int kind = i->level <= 1 ? 0 : i->level == 2 ? draw(random, 0, 1) : draw(random, 0, CODES - 1), by = draw(random, 3, 7);
    q_buf q = { 0 };
    i->kind = EXAM_CODE;
    q_buf_puts(&q, english ? "Write a program in Python 3 that " : "Напишите программу на Python 3, которая ");
    q_buf_printf(&q, wanted[i->lang][kind], by);
    q_buf_puts(&q, english ? ".\nAnswer with the whole program in one block between ```python and ```." : ".\nОтветьте всей программой в одном блоке между ```python и ```.");
    for (int r = 0; r < EXAM_RUNS; r++) one_run(i, r, kind, by, random);
    i->question = q_buf_take(&q);
    i->answer = q_strdup("");
    q_buf_puts(&q, english ? "Answer:\n```python\n" : "Ответ:\n```python\n");
    q_buf_printf(&q, solved[kind], by);
    q_buf_puts(&q, "```");
    i->sample = q_buf_take(&q);
}

/* ---- forms ---- */
static const char *const fill[2][6] = { { "quiet", "rain", "falls", "over", "old", "roofs" }, { "тихий", "дождь", "идёт", "над", "старым", "домом" } };
static const char *const keys[2][5] = { { "river", "window", "silver", "morning", "paper" }, { "река", "окно", "серебро", "утро", "бумага" } };

void task_form(exam_item *i, uint64_t random[4])
{
    bool english = i->lang == EXAM_EN;
    exam_form *f = &i->form;
    q_buf q = { 0 };
    i->kind = EXAM_FORM;
    f->lines = draw(random, 2, 3 + i->level);
    f->keyword = q_strdup(keys[i->lang][draw(random, 0, 4)]);
    f->times = 1;
    f->words = i->level > 1 ? draw(random, 3, 6) : 0;
    f->prefix = i->level > 2 ? (draw(random, 0, 1) ? "- " : "> ") : NULL;
    f->no_digits = i->level > 1;
    f->times = i->level > 3 ? draw(random, 2, f->lines) : 1;
    q_buf_printf(&q, english ? "Write about the weather in exactly %d lines." : "Напишите о погоде. Строк ровно %d.", f->lines);
    if (f->words) q_buf_printf(&q, english ? " Each line has exactly %d words." : " Слов в каждой строке ровно %d.", f->words);
    if (f->prefix) q_buf_printf(&q, english ? " Each line begins with \"%s\" (which is no word)." : " Каждая строка начинается с «%s» (это не слово).", f->prefix);
    q_buf_printf(&q, english ? " The word \"%s\" stands in the text, in just this form, exactly %d %s." : " Слово «%s» стоит в тексте именно в этой форме ровно %d %s.", f->keyword, f->times,
                 english ? f->times == 1 ? "time" : "times" : draw_form(f->times, "раз", "раза", "раз"));
    if (f->no_digits) q_buf_puts(&q, english ? " There are no figures." : " Цифр в тексте нет.");
    q_buf_puts(&q, english ? "\nAnswer with the text alone." : "\nОтветьте одним только текстом.");
    i->question = q_buf_take(&q);
    i->answer = q_strdup("");
    for (int l = 0; l < f->lines; l++) {
        int words = f->words ? f->words : 4;
        q_buf_puts(&q, f->prefix ? f->prefix : "");
        for (int k = 0; k < words; k++) q_buf_printf(&q, "%s%s", k ? " " : "", k == 0 && l < f->times ? f->keyword : fill[i->lang][k]);
        q_buf_puts(&q, l + 1 < f->lines ? "\n" : "");
    }
    i->sample = q_buf_take(&q);
}
