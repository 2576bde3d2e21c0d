/* exam/speed_svg: what exam_speed measured as a picture: decode above, prefill below; the first axis from left to right in equal steps, a curve for each value of
 * the second, ranges as bars. Pure; any thread. */
#include "base/say.h"
#include "exam/exam.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const colours[] = { "#2f6fb0", "#c8722c", "#3f8f56", "#8a56a8", "#777777", "#b03f5b" };
enum { COLOURS = sizeof colours / sizeof *colours, LEFT = 64, WIDE = 560, TALL = 180, TOP = 64, GAP = 60, RIGHT = 140 };

typedef struct frame { const exam_speeds *s; q_buf *out; const char *x[EXAM_POINTS], *curve[EXAM_POINTS]; int n_x, n_curve; } frame;

static int index_of(const char **names, int *n, const char *name)
{
    for (int i = 0; i < *n; i++)
        if (!strcmp(names[i], name)) return i;
    names[*n] = name;
    return (*n)++;
}

static void text(frame *f, double x, double y, const char *anchor, const char *words)
{
    q_buf_printf(f->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    q_say_xml(f->out, words);
    q_buf_puts(f->out, "</text>\n");
}

/* The next of 1, 2, 5 and ten times those: the axis ends there. */
static double rounded_up(double v)
{
    double ten = pow(10, floor(log10(v)));
    static const double steps[] = { 1, 2, 5, 10 };
    for (int i = 0; i < 4; i++)
        if (steps[i] * ten >= v) return steps[i] * ten;
    return v;
}

static const exam_spread *spread_at(const exam_fast *p, bool decode) { return decode ? &p->decode : &p->prefill; }

static double across(const frame *f, int at) { return LEFT + (f->n_x > 1 ? (double)at * WIDE / (f->n_x - 1) : WIDE / 2.0); }

static void curve(frame *f, int which, bool decode, int top, double most)
{
    const char *colour = colours[which % COLOURS];
    q_buf path = { 0 };
    for (int i = 0; i < f->s->n; i++) {
        const exam_fast *p = &f->s->point[i];
        const exam_spread *v = spread_at(p, decode);
        if (!v->n || (f->s->n_axis > 1 && strcmp(p->at[1], f->curve[which]) != 0)) continue;
        double x = across(f, index_of(f->x, &f->n_x, p->at[0])), y = top + TALL * (1 - v->median / most);
        q_buf_printf(&path, "%s%.1f %.1f", path.len ? " L" : "M", x, y);
        q_buf_printf(f->out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\"/><circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, x,
                     top + TALL * (1 - v->high / most), top + TALL * (1 - v->low / most), colour, x, y, colour);
    }
    if (path.len) q_buf_printf(f->out, "<path d=\"%s\" fill=\"none\" stroke=\"%s\"/>\n", path.p, colour);
    q_buf_free(&path);
}

static void panel(frame *f, bool decode, int top)
{
    double most = 0;
    char w[32];
    for (int i = 0; i < f->s->n; i++) most = fmax(most, f->s->point[i].refused ? 0 : spread_at(&f->s->point[i], decode)->high);
    if (most <= 0) return;
    most = rounded_up(most);
    text(f, LEFT, top - 12, "start", decode ? _("decode, tokens/s") : _("prefill, tokens/s"));
    for (int g = 0; g <= 4; g++) {
        double y = top + TALL * (1 - g / 4.0);
        snprintf(w, sizeof w, "%g", most * g / 4);
        q_buf_printf(f->out, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#999\" stroke-dasharray=\"2 4\"/>", LEFT, LEFT + WIDE, y, y);
        text(f, LEFT - 8, y + 4, "end", w);
    }
    for (int i = 0; i < f->n_x; i++) text(f, across(f, i), top + TALL + 18, "middle", f->x[i]);
    for (int k = 0; k < f->n_curve; k++) curve(f, k, decode, top, most);
}

void exam_speed_svg(const exam_speeds *s, q_buf *out)
{
    frame f = { .s = s, .out = out };
    for (int i = 0; i < s->n && i < EXAM_POINTS; i++) {
        if (!s->point[i].decode.n) continue;
        index_of(f.x, &f.n_x, s->point[i].at[0]);
        index_of(f.curve, &f.n_curve, s->n_axis > 1 ? s->point[i].at[1] : "");
    }
    int tall = TOP + 2 * (TALL + GAP), wide = LEFT + WIDE + (s->n_axis > 1 ? RIGHT : LEFT / 2);
    q_buf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
                 "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", wide, tall, wide, tall);
    if (s->title) text(&f, LEFT, 24, "start", s->title);
    panel(&f, true, TOP);
    panel(&f, false, TOP + TALL + GAP);
    text(&f, LEFT + WIDE / 2.0, tall - 8, "middle", s->axis[0]);
    for (int k = 0; k < f.n_curve && s->n_axis > 1; k++) {
        char *words = q_printf("%s %s", s->axis[1], f.curve[k]);
        q_buf_printf(out, "<rect x=\"%d\" y=\"%d\" width=\"10\" height=\"10\" fill=\"%s\"/>", LEFT + WIDE + 16, TOP + 18 * k, colours[k % COLOURS]);
        text(&f, LEFT + WIDE + 32, TOP + 18 * k + 9, "start", words);
        free(words);
    }
    q_buf_puts(out, "</svg>\n");
}
