/* rag/import/mojibake: what was UTF-8 read as another set comes back whole, and what is right stays as it is: every text of
 * the data sets, every line of this repository, and texts that look like it and are not. */
#include "rag/import/mojibake.h"
#include "rag/letters.h"
#include "rag/rag.h"
#include "tests/test.h"

#include <cjson/cJSON.h>
#include <glob.h>

static char err[Q_ERRLEN];
static const char *const sets[] = {"MACINTOSH", "CP1252", "CP1251", "KOI8-R", "CP866"};
enum { SETS = 5 };

/* A program reads UTF-8 as a set: by the C library, which knows nothing of our tables; a byte without a character is read as
 * the control of its number, as browsers do. */
static void mistake(const char *set, const char *p, size_t n, q_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        char c[4];
        if ((unsigned char)p[i] < 0x80) q_buf_putc(out, p[i]);
        else if (!rag_convert(set, p + i, 1, out)) q_buf_add(out, c, (size_t)q_utf8_put(c, (unsigned char)p[i]));
    }
}

/* 1: it comes back as it was; 0: it is taken for right; -1: something else comes back. */
static int comes_back(const char *p, size_t n, const char *first, const char *second)
{
    q_buf once = {0}, twice = {0}, back = {0};
    char how[MOJIBAKE_HOW];
    mistake(first, p, n, &once);
    if (second) mistake(second, once.p, once.len, &twice);
    else q_buf_add(&twice, once.p, once.len);
    int v = 0;
    if (rag_mojibake(twice.p, twice.len, how)) v = rag_mojibake_undo(twice.p, twice.len, how, &back) && back.len == n && memcmp(back.p, p, n) == 0 ? 1 : -1;
    q_buf_free(&once);
    q_buf_free(&twice);
    q_buf_free(&back);
    return v;
}

static bool touched(const char *p, size_t n)
{
    char how[MOJIBAKE_HOW];
    return rag_mojibake(p, n, how);
}

static const char *const texts[] = {
    "Почему у кворума восемь экспертов, а не четыре?",
    "Да — **ты верно понял**: «голосов» было 8–16, ✅ готово 🧠.",
    "## Заголовок\n\n> цитата\n\n- пункт №1 → пункт №2\n\nfor (int i = 0; i < n; i++) x += i;\n",
    "Їжак і ґава: що ж із того вийде?",
    "Les élèves étaient très fâchés, ça se voit à leur tête.",
    "Die Prüfung wäre schön, größer und süßer gewesen.",
    "He said “don’t”, and she didn’t — that’s all.",
    "Η θάλασσα είναι ήρεμη και ο ουρανός καθαρός.",
    "El niño comió la manzana en la montaña española, ¿verdad? Sí, señor.",
};
enum { TEXTS = sizeof texts / sizeof *texts };

static void broken_text_comes_back(void)
{
    for (int t = 0; t < TEXTS; t++)
        for (int a = 0; a < SETS; a++) CHECK_MSG(comes_back(texts[t], strlen(texts[t]), sets[a], NULL) == 1, "text %d read as %s", t, sets[a]);
}

static void what_was_broken_twice_comes_back(void)
{
    for (int t = 0; t < TEXTS; t++)
        for (int a = 0; a < SETS; a++)
            for (int b = 0; b < SETS; b++) CHECK_MSG(comes_back(texts[t], strlen(texts[t]), sets[a], sets[b]) == 1, "text %d read as %s, then %s", t, sets[a], sets[b]);
}

static void other_programs_letters_are_known(void)
{
    static const struct { const char *broken, *right; } t[] = {
        {"–ú–æ–Ω–∞ \xEF\xA3\xBFüß† –∏ –ù–µ", "Мона 🧠 и Не"},        /* the apple, as Python and macOS have it */
        {"–\xE2\x84\xA6–µ—Ç, –ø–æ–∑–∂–µ", "нет, позже"},                  /* ohm for omega */
        {"Ð\xC2\x9DÐµÑ\xE2\x80\x9A, Ð¿Ð¾Ð·Ð¶Ðµ", "Нет, позже"},      /* a byte without a character */
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char how[MOJIBAKE_HOW];
        q_buf out = {0};
        CHECK(rag_mojibake(t[i].broken, strlen(t[i].broken), how));
        CHECK(rag_mojibake_undo(t[i].broken, strlen(t[i].broken), how, &out));
        CHECK_STR(out.p, t[i].right);
        q_buf_free(&out);
    }
}

/* A hole in it (a character that some program dropped) stays as it stands, and the rest comes back. */
static void a_hole_costs_only_itself(void)
{
    char how[MOJIBAKE_HOW];
    q_buf b = {0}, out = {0};
    mistake("CP1252", texts[0], strlen(texts[0]), &b);
    q_buf_puts(&b, " Ð ");
    CHECK(rag_mojibake(b.p, b.len, how));
    CHECK_STR(how, "CP1252");
    CHECK(rag_mojibake_undo(b.p, b.len, how, &out));
    char *want = q_printf("%s Ð ", texts[0]), *words = rag_repaired_words("CP1252 MACINTOSH");
    CHECK_STR(out.p, want);
    CHECK_STR(words, "UTF-8 read as Windows-1252, Mac Roman, repaired");
    free(want);
    free(words);
    q_buf_free(&b);
    q_buf_free(&out);
}

static void right_text_is_let_be(void)
{
    static const char *const right[] = {
        "", "plain", "café", "naïve café, 5 °C ± 1", "√© is the root of ©", "A×B÷C ≠ D ≤ E ≥ F ∑ ∏ ∫ ∂ ∞ π µ Ω √ ∆", "Â° and Ã¤ are what one sees",
        "┌────┬────┐\n│ a  │ b  │\n├────┼────┤\n└────┴────┘", "├┤├┤├┤├┤├┤├┤├┤", "─┐─┐─┐─┐─┐", "║█║▌║▐║▀║▄║░║▒║▓║",
        "Кодировка: «Привет» стало «Ð\xC2\x9FÑ\xE2\x82\xAC", "Текст «–ü—Ä–∏–≤–µ—Ç» читается «Привет», если вернуть байты на место.",
        "Привет, мир", "ЁЖИК И ЙОД", "Рязань, Сочи, Пенза", "РС РПС СРС РСПС", "Ђ Ѓ Љ Њ Ќ Ћ Џ", "Čeština: příliš žluťoučký kůň", "Zażółć gęślą jaźń", "ÄÖÜ äöü ß",
        "日本語のテキスト", "한국어 텍스트", "שלום עולם", "مرحبا بالعالم", "ÐÑÞ ðñþ Íslendingar þjóð ð", "«Ñandú» Ñuñoa Ñañaras",
        "😀🎉✅→←↑↓", "“” ‘’ – — … • ™ ® ©", "§ 1 § 2 ¶ 3 †‡", "a\xC2\xA0" "b\xC2\xA0" "c\xC2\xA0" "d\xC2\xA0" "e", "Ã‚Â»", "é", "ééééé", "àààààààà",
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        CHECK_MSG(!touched(right[i], strlen(right[i])), "%zu: %s", i, right[i]);
    }
    for (int t = 0; t < TEXTS; t++) CHECK_MSG(!touched(texts[t], strlen(texts[t])), "%s", texts[t]);
}

/* Every letter of every set, alone and beside every other one: not even a table of a code page is taken for broken text. */
static void code_pages_are_let_be(void)
{
    for (int s = 0; s < SETS; s++) {
        q_buf all = {0}, pairs = {0};
        for (int a = 0x80; a < 256; a++) {
            char c = (char)a;
            rag_convert(sets[s], &c, 1, &all);
            for (int b = 0x80; b < 256; b++) {
                char d = (char)b;
                rag_convert(sets[s], &c, 1, &pairs);
                rag_convert(sets[s], &d, 1, &pairs);
                q_buf_putc(&pairs, ' ');
            }
        }
        CHECK_MSG(!touched(all.p, all.len), "%s", sets[s]);
        CHECK_MSG(!touched(pairs.p, pairs.len), "pairs of %s", sets[s]);
        q_buf_free(&all);
        q_buf_free(&pairs);
    }
}

static int whole, lines;
static void look(const char *name, const char *p, size_t n)
{
    if (touched(p, n)) printf("# false repair: %s\n", name), whole++;
    for (size_t i = 0, end; i < n; i = end + 1) {
        const char *nl = memchr(p + i, '\n', n - i);
        end = nl ? (size_t)(nl - p) : n;
        if (!touched(p + i, end - i)) continue;
        printf("# false repair: %s: %.*s\n", name, (int)(end - i > 200 ? 200 : end - i), p + i);
        lines++;
    }
}

/* Files, and their lines one by one; two tests break text on purpose. */
static void the_sources_are_let_be(void)
{
    static const char *const where[] = {"*/*.[ch]", "*/*/*.[ch]", "*/*/*/*.[ch]", "*.md", "docs/*", "po/*.po", "themes/*", "tests/*/*.test", "tests/golden/screens/*", "tests/golden/commonmark/*"};
    int files = 0;
    whole = lines = 0;
    for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
        glob_t g;
        if (glob(where[i], 0, NULL, &g) != 0) continue;
        for (size_t k = 0; k < g.gl_pathc; k++) {
            q_buf b = {0};
            bool mine = strstr(g.gl_pathv[k], "mojibake") != NULL || strstr(g.gl_pathv[k], "test_import") != NULL || strncmp(g.gl_pathv[k], "build", 5) == 0;
            if (!mine && q_read_file(g.gl_pathv[k], &b, 1 << 26, err) == Q_OK && b.len && q_utf8_valid(b.p, b.len)) {
                files++;
                look(g.gl_pathv[k], b.p, b.len);
            }
            q_buf_free(&b);
        }
        globfree(&g);
    }
    printf("# %d files, false repairs: %d of files, %d of lines\n", files, whole, lines);
    CHECK(files > 400);
    CHECK_INT(whole + lines, 0);
}

static cJSON *data(const char *name)
{
    q_buf b = {0};
    char *path = q_printf("../shared/data/eval/%s", name);
    cJSON *o = q_read_file(path, &b, 1 << 28, err) == Q_OK ? cJSON_ParseWithLength(b.p, b.len) : NULL;
    free(path);
    q_buf_free(&b);
    return o;
}

struct tried { int texts, falsely, broken, back, wrong; };

static void each_text(const cJSON *o, struct tried *t, bool breaks)
{
    const cJSON *x;
    cJSON_ArrayForEach(x, o) each_text(x, t, breaks);
    if (!cJSON_IsString(o)) return;
    const char *s = o->valuestring;
    size_t n = strlen(s);
    t->texts++;
    t->falsely += touched(s, n);
    if (!breaks || n < 200) return;
    for (int a = 0; a < SETS; a++) {
        int v = comes_back(s, n, sets[a], t->texts % 2 ? NULL : sets[(a + t->texts / 2) % SETS]);
        t->broken++;
        t->back += v > 0;
        t->wrong += v < 0;
    }
}

static void the_data_sets_are_let_be(void)
{
    static const char *const names[] = {"xquad-ru-half.json", "locomo3.json", "hotpotqa_train_corpus.json", "hotpotqa_train.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cJSON *o = data(names[i]);
        if (!o) {
            SKIP("mojibake_data", names[i]);
            continue;
        }
        struct tried t = {0};
        each_text(o, &t, i == 0);
        printf("# %s: %d texts, %d false repairs; %d broken, %d came back, %d wrongly\n", names[i], t.texts, t.falsely, t.broken, t.back, t.wrong);
        CHECK_INT(t.falsely, 0);
        CHECK_INT(t.back, t.broken);
        CHECK(i || t.broken > 500);
        cJSON_Delete(o);
    }
}

static void two_real_notes_come_back(void)
{
    static const struct { const char *name, *words; } t[] = {
        {"000_762542dfd2259e42.txt", "Насколько я понял, меняя эти параметры мы можем 30 приблизить к 70б?"},
        {"002_26192f84d955f88c.txt", "Почему у квент-3 не выложены бейс-версии 70-й и более крупных моделей?"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_buf b = {0}, out = {0};
        char how[MOJIBAKE_HOW], *path = q_printf("../shared/data/nexus/%s", t[i].name);
        if (q_read_file(path, &b, 1 << 20, err) != Q_OK) SKIP("nexus_notes", path);
        else {
            CHECK(rag_mojibake(b.p, b.len, how));
            CHECK_STR(how, "MACINTOSH");
            CHECK(rag_mojibake_undo(b.p, b.len, how, &out));
            CHECK(out.p && strstr(out.p, t[i].words));
            CHECK(!touched(out.p, out.len));
        }
        free(path);
        q_buf_free(&b);
        q_buf_free(&out);
    }
}

int main(void)
{
    RUN(broken_text_comes_back);
    RUN(what_was_broken_twice_comes_back);
    RUN(other_programs_letters_are_known);
    RUN(a_hole_costs_only_itself);
    RUN(right_text_is_let_be);
    RUN(code_pages_are_let_be);
    RUN(the_sources_are_let_be);
    RUN(the_data_sets_are_let_be);
    RUN(two_real_notes_come_back);
    return TEST_END();
}
