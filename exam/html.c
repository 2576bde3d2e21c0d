/* exam/html: the report as one page: both languages side by side in tables of words, plots drawn as SVG, no script and nothing from elsewhere.
 * All that was said by a model or names a file goes through q_say_xml. Pure; any thread. */
#include "base/say.h"
#include "exam/parts.h"

#include <math.h>
#include <string.h>

enum word { TITLE, HOW, QUESTIONS, RIGHT, UNREAD, CUT, TOKENS, TIME, BYTES, OVER, BETTER, WORSE, SAME, NEEDED, BY_TASK, ALL, ODDS, ALIKE, HARD, EASY, MOST_CUT, MOST_UNREAD, NOBODY, STOPPED, WORDS };
static const char *const words[WORDS][2] = {
    { "Reasoning, measured", "Рассуждения: измерение" },
    { "Run this again; at temperature 0 the numbers are the same:", "Повторите этой командой; при температуре 0 числа будут те же:" },
    { "questions", "вопросов" }, { "right", "верно" }, { "unreadable", "не прочитано" }, { "cut", "обрезано" }, { "tokens", "токенов" }, { "seconds", "секунд" },
    { "MiB read a token", "МиБ на токен" }, { "difference, 95%", "разница, 95 %" }, { "better, more than chance", "лучше, и это не случайность" }, { "worse, more than chance", "хуже, и это не случайность" },
    { "no difference at this n", "при таком n разницы не видно" }, { "questions needed", "нужно вопросов" }, { "By task, with 95% intervals", "По задачам, с 95-процентными интервалами" }, { "all", "все" },
    { "odds of the right answer among 8, 95%", "шансы верного ответа среди 8, 95 %" }, { "no difference: each question judged the same by both", "разницы нет: каждый вопрос оценён у обоих одинаково" },
    { "too hard for both", "слишком трудно для обоих" }, { "too easy for both", "слишком легко для обоих" },
    { "most replies were cut: --max-tokens", "большинство ответов обрезано: --max-tokens" }, { "most replies could not be read", "большинство ответов не прочитано" },
    { "nothing was asked of both", "обоим не задано ничего" },
    { "Stopped early: the rates are of what each was asked, the differences of what both were.", "Остановлено раньше: доли — от заданного каждому, разницы — от заданного обоим." } };
_Static_assert(EXAM_OTHERS == 7, "a heading of the page says how many there are");
static const char *const colours[] = { "#2f6fb0", "#c8722c", "#3f8f56", "#8a56a8", "#777777", "#b03f5b" };
enum { COLOURS = sizeof colours / sizeof *colours, LEFT = 120, WIDE = 560, ROW = 16 };

static void plot(const exam_sheet *s, int lang, q_buf *o)
{
    int n, y = 20;
    const exam_task *task = exam_tasks(&n);
    q_buf rows = { 0 };
    for (int t = -1; t < n; t++) {
        const char *name = t < 0 ? NULL : task[t].name;
        if (tally_of(s, &s->seat[0], name, 0).n == 0) continue;
        q_buf_printf(&rows, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", LEFT - 8, y + 12, name ? name : words[ALL][lang]);
        for (int i = 0; i < s->n_seat; i++, y += ROW) {
            tally x = tally_of(s, &s->seat[i], name, 0);
            exam_rate r = exam_rate_of(x.right, x.n);
            const char *c = colours[i % COLOURS];
            q_buf_printf(&rows, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"12\" fill=\"%s\"/>", LEFT, y + 2, WIDE * r.share, c);
            q_buf_printf(&rows, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"currentColor\"/>", LEFT + WIDE * r.low, LEFT + WIDE * r.high, y + 8, y + 8);
            q_buf_printf(&rows, "<text x=\"%d\" y=\"%d\">%d/%d</text>", LEFT + WIDE + 8, y + 12, x.right, x.n);
        }
        y += 8;
    }
    q_buf_printf(o, "<svg role=\"img\" width=\"%d\" height=\"%d\" font-size=\"12\" fill=\"currentColor\">", LEFT + WIDE + 80, y + 10);
    for (int g = 0; g <= 4; g++)
        q_buf_printf(o, "<line x1=\"%d\" x2=\"%d\" y1=\"16\" y2=\"%d\" stroke=\"#999\" stroke-dasharray=\"2 4\"/><text x=\"%d\" y=\"12\" text-anchor=\"middle\">%d%%</text>", LEFT + WIDE * g / 4,
                     LEFT + WIDE * g / 4, y, LEFT + WIDE * g / 4, 25 * g);
    q_buf_puts(o, rows.p ? rows.p : "");
    q_buf_puts(o, "</svg>\n");
    q_buf_free(&rows);
}

static void seats(const exam_sheet *s, int lang, q_buf *o)
{
    q_buf_printf(o, "<table><tr><th></th><th>%s</th><th>%s</th><th>95%%</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th></tr>\n", words[QUESTIONS][lang],
                 words[RIGHT][lang], words[UNREAD][lang], words[CUT][lang],
                 words[TOKENS][lang], words[TIME][lang], words[BYTES][lang]);
    for (int i = 0; i < s->n_seat; i++) {
        tally t = tally_of(s, &s->seat[i], NULL, 0);
        exam_rate r = exam_rate_of(t.right, t.n);
        q_buf_printf(o, "<tr><td><span style=\"color:%s\">&#9632;</span> ", colours[i % COLOURS]);
        q_say_xml(o, s->seat[i].label);
        q_buf_printf(o, "</td><td>%d</td><td>%.1f%%</td><td>%.1f – %.1f</td><td>%d</td><td>%d</td><td>%.0f</td><td>%.1f</td><td>%.1f</td></tr>\n", t.n,
                     100 * r.share, 100 * r.low, 100 * r.high, t.unread, t.cut + t.failed,
                     t.tokens, s->seat[i].seconds, (double)s->seat[i].bytes_a_token / 1048576);
    }
    q_buf_puts(o, "</table>\n");
}

static void pairs(const exam_sheet *s, int lang, q_buf *o)
{
    if (s->n_seat < 2) return;
    q_buf_printf(o, "<table><tr><th></th><th>%s</th><th>McNemar p</th><th></th><th>%s</th>", words[OVER][lang], words[NEEDED][lang]);
    if (s->score) q_buf_printf(o, "<th>%s</th><th>p</th>", words[ODDS][lang]);
    q_buf_puts(o, "</tr>\n");
    for (int i = 1; i < s->n_seat; i++) {
        static const enum word said[] = { [V_NONE] = NOBODY, [V_BETTER] = BETTER, [V_WORSE] = WORSE, [V_ALIKE] = ALIKE, [V_UNSEEN] = SAME, [V_HARD] = HARD, [V_EASY] = EASY, [V_CUT] = MOST_CUT,
                                          [V_UNREAD] = MOST_UNREAD };
        exam_pair p = pair_of(s, &s->seat[0], &s->seat[i], NULL);
        exam_shift x = shift_of(s, &s->seat[0], &s->seat[i]);
        judged j = judge_pair(s, &s->seat[0], &s->seat[i]);
        q_buf_puts(o, "<tr><td>");
        q_say_xml(o, s->seat[i].label);
        q_buf_puts(o, " − ");
        q_say_xml(o, s->seat[0].label);
        q_buf_printf(o, "</td><td>%+.1f (%+.1f – %+.1f)</td><td>%.3g</td><td>%s", 100 * p.difference, 100 * p.low, 100 * p.high, p.p, words[said[j.verdict]][lang]);
        if (j.level) q_buf_printf(o, ": --level %d", j.level);
        q_buf_puts(o, "</td><td>");
        if (j.verdict == V_UNSEEN && p.need) q_buf_printf(o, "%d", p.need);
        if (x.n) q_buf_printf(o, "</td><td>× %.3g (%.3g – %.3g)</td><td>%.2g", exp(x.nats), exp(x.low), exp(x.high), x.p);
        else if (s->score) q_buf_puts(o, "</td><td></td><td>");
        q_buf_puts(o, "</td></tr>\n");
    }
    q_buf_puts(o, "</table>\n");
}

void exam_report_html(const exam_sheet *s, const exam_about *a, q_buf *o)
{
    q_buf_puts(o, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>quorum bench reasoning</title><style>body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
                  "table{border-collapse:collapse;margin:1em 0}td,th{border-bottom:1px solid #999;padding:.3em .7em;text-align:right}"
                  "td:first-child{text-align:left}pre{white-space:pre-wrap;background:#eee;color:#111;padding:.7em}"
                  "</style></head><body>\n");
    for (int lang = 0; lang < 2; lang++) {
        q_buf_printf(o, "<section lang=\"%s\"><h1>%s</h1>\n<p>quorum %s, %s, seed %llu</p><p>%s</p>\n<pre>", lang ? "ru" : "en", words[TITLE][lang], a->version, a->date, (unsigned long long)a->seed, words[HOW][lang]);
        q_say_xml(o, a->command);
        q_buf_puts(o, "</pre>\n");
        if (s->stopped) q_buf_printf(o, "<p>%s</p>\n", words[STOPPED][lang]);
        seats(s, lang, o);
        pairs(s, lang, o);
        q_buf_printf(o, "<h2>%s</h2>\n", words[BY_TASK][lang]);
        plot(s, lang, o);
        q_buf_puts(o, "</section>\n");
    }
    q_buf_puts(o, "</body></html>\n");
}
