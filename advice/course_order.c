/* advice/course_order: dramaturgy. Examples in the order of a model's own losses on them (the curriculum of Bengio et al. 2009, "Curriculum
 * Learning", ICML; losses of the learner itself as the measure: Hacohen and Weinshall 2019, arXiv 1904.03626), and their pictures. */
#include "advice/course_recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILE = 1 << 30, BINS = 240, ROWS = 12, SVG_W = 720, SVG_H = 300, MARGIN = 48 };

typedef struct ranked { double loss; int at; enum adv_order order; } ranked;

static int by_loss(const void *x, const void *y)
{
    const ranked *a = x, *b = y;
    bool no_a = isnan(a->loss), no_b = isnan(b->loss);
    if (no_a != no_b)
        return no_a ? 1 : -1;
    if (!no_a && a->loss != b->loss && a->order != ADV_AS_IS)
        return (a->loss < b->loss) == (a->order == ADV_EASY_FIRST) ? -1 : 1;
    return a->at < b->at ? -1 : 1;
}

/* Where each line begins, [n + 1]; NULL: there are not n. */
static const char **lines_of(const q_buf *text, int n)
{
    const char **at = q_alloc(sizeof *at * ((size_t)n + 1)), *p = text->p, *end = text->p + text->len;
    int i = 0;
    while (i < n && p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        at[i++] = p;
        p = nl ? nl + 1 : end;
    }
    at[i] = p;
    if (i == n && p == end)
        return at;
    free(at);
    return NULL;
}

/* ---- pictures ---- */
typedef struct curve { double y[BINS], low, high; int n; } curve;

/* Means of equal pieces of what was measured. */
static curve curve_of(const double *loss, int n, int bins)
{
    curve c = { .low = INFINITY, .high = -INFINITY };
    bins = bins > BINS ? BINS : bins;
    bins = bins > n ? n : bins;
    for (int i = 0; i < bins; i++) {
        int from = (int)((long long)i * n / bins), to = (int)((long long)(i + 1) * n / bins), many = 0;
        double sum = 0;
        for (int k = from; k < to; k++)
            if (!isnan(loss[k])) {
                sum += loss[k];
                many++;
            }
        if (!many)
            continue;
        c.y[c.n] = sum / many;
        c.low = fmin(c.low, c.y[c.n]);
        c.high = fmax(c.high, c.y[c.n]);
        c.n++;
    }
    return c;
}

void adv_course_plot(const double *loss, int n, int columns, q_buf *out)
{
    curve c = curve_of(loss, n, columns > 20 ? columns - 10 : 10);
    if (!c.n)
        return;
    double span = c.high - c.low > 0 ? c.high - c.low : 1;
    for (int row = ROWS; row > 0; row--) {
        double floor_ = c.low + span * (row - 1) / ROWS;
        q_buf_printf(out, row == ROWS || row == 1 ? "%7.3f |" : "        |", row == ROWS ? c.high : c.low);
        for (int i = 0; i < c.n; i++)
            q_buf_putc(out, c.y[i] >= floor_ ? '#' : ' ');
        while (out->len && out->p[out->len - 1] == ' ')
            out->p[--out->len] = '\0';
        q_buf_putc(out, '\n');
    }
    q_buf_printf(out, "        +%.*s\n", c.n, "------------------------------------------------------------------------------------------------------------------------"
                 "------------------------------------------------------------------------------------------------------------------------");
    q_buf_printf(out, "         %s\n", _("examples in their order; their loss, nats a token"));
}

static void svg(const double *loss, int n, q_buf *out)
{
    curve c = curve_of(loss, n, BINS);
    double span = c.high - c.low > 0 ? c.high - c.low : 1, w = SVG_W - 2 * MARGIN, h = SVG_H - 2 * MARGIN;
    q_buf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                      "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n<title>%s</title>\n", SVG_W, SVG_H, SVG_W, SVG_H, _("Difficulty of the examples"));
    q_buf_printf(out, "<path d=\"M%d %d V%d H%d\" fill=\"none\" stroke=\"#555555\"/>\n<polyline fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\" points=\"", MARGIN, MARGIN,
                 SVG_H - MARGIN, SVG_W - MARGIN);
    for (int i = 0; i < c.n; i++)
        q_buf_printf(out, "%s%.1f,%.1f", i ? " " : "", MARGIN + (c.n > 1 ? w * i / (c.n - 1) : 0), SVG_H - MARGIN - h * (c.y[i] - c.low) / span);
    q_buf_puts(out, "\"/>\n");
    if (c.n)
        q_buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.2f</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.2f</text>\n", MARGIN - 6, MARGIN + 4, c.high,
                     MARGIN - 6, SVG_H - MARGIN, c.low);
    q_buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n</svg>\n", SVG_W / 2, SVG_H - 16, _("examples in their order; their loss, nats a token"));
}

static int put_order(const char *dir, const ranked *r, int n, char *err)
{
    q_buf csv = { 0 }, picture = { 0 };
    double *sorted = q_alloc(sizeof *sorted * (size_t)(n ? n : 1));
    q_buf_puts(&csv, "place,line,loss\n");
    for (int i = 0; i < n; i++) {
        sorted[i] = r[i].loss;
        q_buf_printf(&csv, "%d,%d,", i + 1, r[i].at + 1);
        if (!isnan(r[i].loss)) q_buf_printf(&csv, "%.6f", r[i].loss);
        q_buf_putc(&csv, '\n');
    }
    svg(sorted, n, &picture);
    int rc = course_put(dir, "difficulty.csv", &csv, false, err);
    if (!rc) rc = course_put(dir, "difficulty.svg", &picture, false, err);
    free(sorted);
    q_buf_free(&csv);
    q_buf_free(&picture);
    return rc;
}

static ranked *rank_all(const double *loss, int n, enum adv_order order)
{
    ranked *r = q_alloc(sizeof *r * (size_t)(n ? n : 1));
    for (int i = 0; i < n; i++)
        r[i] = (ranked){ loss[i], i, order };
    qsort(r, (size_t)n, sizeof *r, by_loss);
    return r;
}

void adv_course_sorted(double *loss, int n, enum adv_order order)
{
    ranked *r = rank_all(loss, n, order);
    for (int i = 0; i < n; i++)
        loss[i] = r[i].loss;
    free(r);
}

int adv_course_order(const char *dir, const double *loss, int n, enum adv_order order, char *err)
{
    char *path = q_printf("%s/data/train.jsonl", dir);
    q_buf text = { 0 }, out = { 0 };
    int rc = q_read_file(path, &text, MOST_FILE, err);
    const char **at = rc ? NULL : lines_of(&text, n);
    if (!rc && !at)
        rc = q_fail(err, Q_FORMAT, _("%s does not hold the %d examples that were measured: make the folder anew"), path, n);
    ranked *r = rank_all(loss, n, order);
    for (int i = 0; !rc && i < n; i++) {
        const char *from = at[r[i].at], *to = at[r[i].at + 1];
        q_buf_add(&out, from, (size_t)(to - from));
        if (to == from || to[-1] != '\n') q_buf_putc(&out, '\n');
    }
    if (!rc) rc = q_write_file_atomic(path, out.p ? out.p : "", out.len, err);
    if (!rc) rc = put_order(dir, r, n, err);
    free(r);
    free(at);
    free(path);
    q_buf_free(&text);
    q_buf_free(&out);
    return rc;
}
