/* exam/speed_svg: what exam_speed measured as a picture: decode above, prefill below; the first axis from left to right in equal steps, a curve for each value of
 * the second, ranges as bars. Pure; any thread. */
#include "base/say.h"
#include "exam/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const colours[] = { "#2f6fb0", "#c8722c", "#3f8f56", "#8a56a8", "#777777", "#b03f5b" };
enum { COLOURS = sizeof colours / sizeof *colours, LEFT = 64, WIDE = 560, TALL = 180, TOP = 64, GAP = 60, RIGHT = 140, LINE = 16, LETTER = 7 /* about */, LABEL = 30, ENTRY = 18 /* of the legend */, NAME = 2 * LEFT / LETTER };

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

/* The axis ends at the next of these steps, whose quarters are short numbers: what is highest takes three quarters of it or more. */
static double rounded_up(double v)
{
    double ten = pow(10, floor(log10(v)));
    static const double steps[] = { 1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10 };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i] * ten >= v) return steps[i] * ten;
    return v;
}

static const exam_spread *spread_at(const exam_fast *p, bool decode) { return decode ? &p->decode : &p->prefill; }

static double across(const frame *f, int at) { return LEFT + (f->n_x > 1 ? (double)at * WIDE / (f->n_x - 1) : WIDE / 2.0); }

/* More curves than colours: those that come round again are dashed, dotted ... */
static const char *dashes(int which)
{
    static const char *const kinds[] = { "", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 2\"", " stroke-dasharray=\"8 2 2 2\"" };
    return kinds[which / COLOURS % (int)(sizeof kinds / sizeof *kinds)];
}

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
    if (path.len) q_buf_printf(f->out, "<path d=\"%s\" fill=\"none\" stroke=\"%s\"%s/>\n", path.p, colour, dashes(which));
    q_buf_free(&path);
}

/* Of the values from left to right; of many that are long only every second, third ... */
static void names(frame *f, int y)
{
    int widest = 1, room = f->n_x > 1 ? WIDE / (f->n_x - 1) : WIDE;
    for (int i = 0; i < f->n_x; i++)
        if (q_utf8_points(f->x[i]) > widest) widest = q_utf8_points(f->x[i]);
    if (widest > NAME) widest = NAME;
    for (int i = 0; i < f->n_x; i += (widest * LETTER + room - 1) / room) {
        char *words = speed_short(f->x[i], NAME);
        text(f, across(f, i), y, "middle", words);
        free(words);
    }
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
    names(f, top + TALL + 18);
    for (int k = 0; k < f->n_curve; k++) curve(f, k, decode, top, most);
}

static char *legend(const frame *f, int curve)
{
    char *value = speed_short(f->curve[curve], LABEL), *words = q_printf("%s %s", f->s->axis[1], value);
    free(value);
    return words;
}

/* Lines of the title, each put from y on where `put`. */
static int title(frame *f, int y, bool put)
{
    int lines = 0;
    for (const char *at = f->s->title; at && *at; lines++) {
        size_t n = strcspn(at, "\n");
        char *one = q_strndup(at, n);
        if (put) text(f, LEFT, y + LINE * lines, "start", one);
        free(one);
        at += n + (at[n] == '\n');
    }
    return lines;
}

/* Letters of the longest line of the title, `least` or more. */
static int longest(const char *title, int least)
{
    for (const char *at = title; at && *at;) {
        size_t n = strcspn(at, "\n");
        char *one = q_strndup(at, n);
        if (q_utf8_points(one) > least) least = q_utf8_points(one);
        free(one);
        at += n + (at[n] == '\n');
    }
    return least;
}

void exam_speed_svg(const exam_speeds *s, q_buf *out)
{
    frame f = { .s = s, .out = out };
    for (int i = 0; i < s->n && i < EXAM_POINTS; i++) {
        if (!s->point[i].decode.n) continue;
        index_of(f.x, &f.n_x, s->point[i].at[0]);
        index_of(f.curve, &f.n_curve, s->n_axis > 1 ? s->point[i].at[1] : "");
    }
    int lines = title(&f, 0, false), top = TOP + (lines > 1 ? LINE * (lines - 1) : 0), tall = top + 2 * (TALL + GAP) + LINE, right = s->n_axis > 1 ? RIGHT : LEFT;
    for (int k = 0; k < f.n_curve && s->n_axis > 1; k++) {
        char *words = legend(&f, k);
        if (40 + LETTER * q_utf8_points(words) > right) right = 40 + LETTER * q_utf8_points(words);
        free(words);
    }
    if (s->n_axis > 1 && top + ENTRY * f.n_curve + 3 * LINE > tall) tall = top + ENTRY * f.n_curve + 3 * LINE;       /* each curve has its line of the legend */
    q_buf terms = { 0 };
    speed_terms(s, &terms);
    int wide = LEFT + WIDE + right, said = 2 * LEFT + LETTER * longest(s->title, q_utf8_points(terms.p));
    if (said > wide) wide = said;
    q_buf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
                 "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", wide, tall, wide, tall);
    title(&f, 24, true);
    panel(&f, true, top);
    panel(&f, false, top + TALL + GAP);
    text(&f, LEFT + WIDE / 2.0, top + 2 * (TALL + GAP) - 8, "middle", s->axis[0]);
    text(&f, LEFT, tall - 8, "start", terms.p);
    q_buf_free(&terms);
    for (int k = 0; k < f.n_curve && s->n_axis > 1; k++) {
        char *words = legend(&f, k);
        q_buf_printf(out, "<polyline points=\"%d,%d %d,%d\" stroke-width=\"3\" stroke=\"%s\"%s/>", LEFT + WIDE + 10, top + ENTRY * k + 5, LEFT + WIDE + 28, top + ENTRY * k + 5,
                     colours[k % COLOURS], dashes(k));
        text(&f, LEFT + WIDE + 32, top + ENTRY * k + 9, "start", words);
        free(words);
    }
    q_buf_puts(out, "</svg>\n");
}
