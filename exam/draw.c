/* exam/draw: random numbers, nouns and people of the tasks, and how a question is closed. Any thread. */
#include "exam/parts.h"

#include <stdlib.h>
#include <string.h>

const noun draw_things[] = {
    { "apple", "apples", "яблоко", "яблока", "яблок", "яблоко" },
    { "pear", "pears", "груша", "груши", "груш", "грушу" },
    { "pencil", "pencils", "карандаш", "карандаша", "карандашей", "карандаш" },
    { "book", "books", "книга", "книги", "книг", "книгу" },
    { "coin", "coins", "монета", "монеты", "монет", "монету" },
    { "stamp", "stamps", "марка", "марки", "марок", "марку" },
    { "button", "buttons", "пуговица", "пуговицы", "пуговиц", "пуговицу" },
    { "nut", "nuts", "орех", "ореха", "орехов", "орех" },
    { "stone", "stones", "камень", "камня", "камней", "камень" },
    { "ticket", "tickets", "билет", "билета", "билетов", "билет" },
};
const int draw_n_things = sizeof draw_things / sizeof *draw_things;
const person draw_people[] = {
    { "Anna", "Анна", "Анны", true }, { "Boris", "Борис", "Бориса", false }, { "Vera", "Вера", "Веры", true }, { "Gleb", "Глеб", "Глеба", false },
    { "Daria", "Дарья", "Дарьи", true }, { "Egor", "Егор", "Егора", false }, { "Zoya", "Зоя", "Зои", true }, { "Ivan", "Иван", "Ивана", false },
};
const int draw_n_people = sizeof draw_people / sizeof *draw_people;

int draw(uint64_t random[4], int low, int high)
{
    return low + (int)((q_random(random) >> 33) % (uint64_t)(high - low + 1));
}

void draw_order(uint64_t random[4], int *out, int n)
{
    for (int i = 0; i < n; i++) {
        int j = draw(random, 0, i);
        out[i] = out[j];
        out[j] = i;
    }
}

const char *draw_form(int n, const char *one, const char *few, const char *many)
{
    int d = n % 10, dd = n % 100;
    return d == 1 && dd != 11 ? one : d >= 2 && d <= 4 && (dd < 12 || dd > 14) ? few : many;
}

void put_count(q_buf *b, enum exam_lang lang, int n, const noun *w)
{
    q_buf_printf(b, "%d %s", n, lang == EXAM_EN ? (n == 1 ? w->en_one : w->en_many) : draw_form(n, w->accusative, w->few, w->many));
}

static void close_with(exam_item *i, q_buf *question, const char *answer, const char *en, const char *ru)
{
    bool english = i->lang == EXAM_EN;
    q_buf_printf(question, english ? "\nEnd your reply with one line: Answer: %s" : "\nЗакончите ответ одной строкой: «Ответ: %s»", english ? en : ru);
    i->question = q_buf_take(question);
    i->answer = q_strdup(answer);
    i->sample = q_printf("%s %s", english ? "Answer:" : "Ответ:", answer);
}

void ask_number(exam_item *i, q_buf *question, long long answer)
{
    char *s = q_printf("%lld", answer);
    i->kind = EXAM_NUMBER;
    close_with(i, question, s, "the number in figures", "число цифрами");
    free(s);
}

void ask_words(exam_item *i, q_buf *question, const char *answer, const char *en, const char *ru)
{
    i->kind = strchr(answer, ',') ? EXAM_LIST : EXAM_WORDS;
    close_with(i, question, answer, en, ru);
}
