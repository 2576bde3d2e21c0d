/* exam/speed_say: what exam_speed measured, as a table with a plot, CSV and JSON. Pure; any thread. */
#include "base/say.h"
#include "exam/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the first n letters. */
static size_t first(const char *s, int n)
{
    size_t at = 0;
    for (; s[at] && n > 0; at++) n -= ((unsigned char)s[at + 1] & 0xc0) != 0x80;
    return at;
}

char *speed_short(const char *s, int most)
{
    int all = q_utf8_points(s), front = (most - 1) / 2;
    if (all <= most) return q_strdup(s);
    return q_printf("%.*s…%s", (int)first(s, front), s, s + first(s, all - (most - 1 - front)));
}

/* Columns of an axis: as wide as its longest word, LABEL at most. */
enum { LABEL = 30 };
static int wide(const exam_speeds *s, int a)
{
    int w = q_utf8_points(s->axis[a]);
    for (int i = 0; i < s->n; i++) {
        int one = q_utf8_points(s->point[i].at[a]);
        w = one > w ? one : w;
    }
    return w > LABEL ? LABEL : w;
}

static void label(const exam_speeds *s, const char *const at[EXAM_AXES], q_buf *out)
{
    for (int a = 0; a < s->n_axis; a++) {
        char *one = speed_short(at[a], LABEL);
        q_buf_say(out, "%-*s", wide(s, a) + (a + 1 < s->n_axis ? 2 : 0), one);
        free(one);
    }
}

/* Whole from a thousand on, one place for tens and hundreds, two or three for less: a model read from a disk makes less than one token a second. */
static const char *number(double v, char out[32])
{
    snprintf(out, 32, "%.*f", v < .9995 ? 3 : v < 9.995 ? 2 : v < 999.95, v);
    return out;
}

static void spread(const exam_spread *x, q_buf *out)
{
    char low[32], high[32], range[72] = "", median[32];
    if (x->n > 1) snprintf(range, sizeof range, "%s-%s", number(x->low, low), number(x->high, high));
    q_buf_say(out, " %8s %-11s", number(x->median, median), range);
}

static void percent(double of, q_buf *out)
{
    if (isfinite(of)) q_buf_say(out, " %7.0f%%", 100 * of);
    else q_buf_say(out, " %8s", "");
}

/* Has a line room for the share of the integer peak, beside the axes? */
enum { LINE = 80, COLUMNS = 2 * 21 + 11 + 2 * 9 };
static bool shows_peak(const exam_speeds *s)
{
    int axes = 0;
    for (int a = 0; a < s->n_axis; a++) axes += wide(s, a) + (a ? 2 : 0);
    for (int i = 0; i < s->n; i++)
        if (isfinite(exam_speed_peak(s, &s->point[i]))) return axes + COLUMNS <= LINE;
    return false;
}

static void table(const exam_speeds *s, q_buf *out)
{
    char w[32];
    bool peaks = shows_peak(s);
    label(s, s->axis, out);
    q_buf_say(out, "  %-19s", _("prefill, tokens/s"));
    if (peaks) q_buf_say(out, " %8s", _("of peak"));
    q_buf_say(out, "  %-19s %10s %8s\n", _("decode, tokens/s"), _("reads"), s->bandwidth > 0 ? _("of roof") : "");
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (p->refused || !p->decode.n) continue;
        label(s, p->at, out);
        spread(&p->prefill, out);
        if (peaks) percent(exam_speed_peak(s, p), out);
        spread(&p->decode, out);
        q_buf_say(out, " %10s", q_bytes_words(p->weights + p->cells, w));
        if (s->bandwidth > 0) percent(exam_speed_share(p), out);
        q_buf_putc(out, '\n');
    }
}

/* A row a point, as long as it decodes fast; its range as a lighter end. From 0, so that lengths are ratios. */
enum { SPAN = 46 };
static void plot(const exam_speeds *s, q_buf *out)
{
    double most = 0;
    for (int i = 0; i < s->n; i++)
        if (s->point[i].decode.n) most = fmax(most, s->point[i].decode.high);
    if (most <= 0) return;
    q_buf_say(out, "\n%s\n", _("decode, tokens/s"));
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (p->refused || !p->decode.n) continue;
        label(s, p->at, out);
        q_buf_putc(out, ' ');
        int low = (int)(p->decode.low / most * SPAN), at = (int)(p->decode.median / most * SPAN), high = (int)(p->decode.high / most * SPAN);
        for (int x = 0; x < (high > at ? high : at); x++) q_buf_puts(out, x < low ? "█" : x < at ? "▓" : "░");
        char w[32];
        q_buf_say(out, " %s\n", number(p->decode.median, w));
    }
}

void speed_terms(const exam_speeds *s, q_buf *out)
{
    int n = s->n && !s->point[0].refused ? s->point[0].decode.n : s->done;
    if (n == 1) q_buf_say(out, _("measured once, all points in turn, so no range is known (-r 3 shows one); %d tokens read at once, %d made one after the other"), s->prompt, s->tokens);
    else q_buf_say(out, ngettext("median and range of %d round, all points in turn; %d tokens read at once, %d made one after the other",
                                 "median and range of %d rounds, all points in turn; %d tokens read at once, %d made one after the other", (unsigned long)n), n, s->prompt, s->tokens);
    int contexts = 0, made = 0;
    for (int i = 0; i < s->n; i++)
        if (s->point[i].context > 0 && !s->point[i].refused) contexts++, made += s->point[i].made_up;
    if (made && made == contexts) q_buf_puts(out, _("; contexts are made-up numbers, not read"));
    else if (s->made_up && contexts) q_buf_puts(out, _("; contexts were read where a model has recurrent layers, whose states cannot be made up"));
}

void exam_speed_say(const exam_speeds *s, q_buf *out)
{
    char w[32];
    q_buf under = { 0 };
    table(s, out);
    plot(s, out);
    q_buf_putc(out, '\n');
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (p->refused) {
            label(s, p->at, &under);
            q_buf_say(&under, _(" is left out: %s\n"), p->refused);
        }
    }
    speed_terms(s, &under);
    q_buf_putc(&under, '\n');
    if (s->done > 1) q_buf_say(&under, _("bars: █ to the slowest round, ▓ to the median, ░ to the fastest\n"));
    if (shows_peak(s)) q_buf_say(&under, _("of peak: multiply-adds of products with the layers' weights, of %.0f G a second that these processors do at best\n"), s->peak / 1e9);
    if (s->bandwidth > 0) q_buf_say(&under, _("of roof: bytes decode read a second, of what the machine read right before or after it (%s/s at best), the median of the rounds; reads: weights, and the context's K and V\n"), q_bytes_words((uint64_t)s->bandwidth, w));
    q_say_wrapped(out, under.p, LINE);
    q_buf_free(&under);
}

/* ---- CSV, JSON ---- */
void exam_speed_csv(const exam_speeds *s, q_buf *out)
{
    for (int a = 0; a < s->n_axis; a++) {
        q_say_csv(out, s->axis[a]);
        q_buf_putc(out, ',');
    }
    q_buf_puts(out, "prompt_tokens,context_tokens,prefill,prefill_low,prefill_high,decode,decode_low,decode_high,rounds,weight_bytes,cell_bytes,roofline_share,roofline_share_low,roofline_share_high,"
                    "machine,threads_used,read_bandwidth,integer_peak,integer_peak_share,made_up_context,refused\n");
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (!p->refused && !p->decode.n) continue;
        for (int a = 0; a < s->n_axis; a++) {
            q_say_csv(out, p->at[a]);
            q_buf_putc(out, ',');
        }
        q_buf_printf(out, "%d,%d,", s->prompt, p->context);
        if (p->refused) {
            q_buf_puts(out, ",,,,,,,,,,,,,,,,,,");
            q_say_csv(out, p->refused);
        } else {
            q_buf_printf(out, "%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%d,%llu,%llu,", p->prefill.median, p->prefill.low, p->prefill.high, p->decode.median, p->decode.low, p->decode.high,
                         p->decode.n, (unsigned long long)p->weights, (unsigned long long)p->cells);
            double share = exam_speed_share(p);
            if (isfinite(share)) q_buf_printf(out, "%.4f,%.4f,%.4f,", share, p->share.low, p->share.high);
            else q_buf_puts(out, ",,,");
            q_say_csv(out, s->machine ? s->machine : "");
            q_buf_printf(out, ",%d,", p->threads);
            if (s->bandwidth > 0) q_buf_printf(out, "%.0f", s->bandwidth);
            q_buf_putc(out, ',');
            if (s->peak > 0) q_buf_printf(out, "%.0f", s->peak);
            q_buf_putc(out, ',');
            if (isfinite(exam_speed_peak(s, p))) q_buf_printf(out, "%.4f", exam_speed_peak(s, p));
            q_buf_printf(out, ",%d,", p->made_up);
        }
        q_buf_putc(out, '\n');
    }
}

static void spread_json(cJSON *o, const char *name, const exam_spread *x)
{
    cJSON *one = cJSON_AddObjectToObject(o, name);
    cJSON_AddNumberToObject(one, "median", x->median);
    cJSON_AddNumberToObject(one, "low", x->low);
    cJSON_AddNumberToObject(one, "high", x->high);
}

cJSON *exam_speed_json(const exam_speeds *s)
{
    cJSON *o = cJSON_CreateObject(), *axes = cJSON_AddArrayToObject(o, "axes"), *points = cJSON_AddArrayToObject(o, "points");
    for (int a = 0; a < s->n_axis; a++) cJSON_AddItemToArray(axes, cJSON_CreateString(s->axis[a]));
    cJSON_AddNumberToObject(o, "prompt", s->prompt);
    cJSON_AddNumberToObject(o, "tokens", s->tokens);
    if (s->machine) cJSON_AddStringToObject(o, "machine", s->machine);
    if (s->bandwidth > 0) cJSON_AddNumberToObject(o, "read_bandwidth", s->bandwidth);
    if (s->peak > 0) cJSON_AddNumberToObject(o, "integer_peak_madds_per_s", s->peak);
    bool made = false;
    for (int i = 0; i < s->n; i++) made |= s->point[i].made_up;
    if (made) cJSON_AddTrueToObject(o, "made_up_contexts");
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (!p->refused && !p->decode.n) continue;
        cJSON *one = cJSON_CreateObject(), *at = cJSON_AddObjectToObject(one, "at");
        cJSON_AddItemToArray(points, one);
        for (int a = 0; a < s->n_axis; a++) cJSON_AddStringToObject(at, s->axis[a], p->at[a]);
        if (p->refused) {
            cJSON_AddStringToObject(one, "refused", p->refused);
            continue;
        }
        cJSON_AddNumberToObject(one, "context", p->context);
        cJSON_AddNumberToObject(one, "threads", p->threads);
        spread_json(one, "prefill_tokens_per_s", &p->prefill);
        spread_json(one, "decode_tokens_per_s", &p->decode);
        cJSON_AddNumberToObject(one, "rounds", p->decode.n);
        cJSON_AddNumberToObject(one, "weight_bytes", (double)p->weights);
        cJSON_AddNumberToObject(one, "cell_bytes", (double)p->cells);
        if (isfinite(exam_speed_peak(s, p))) cJSON_AddNumberToObject(one, "integer_peak_share", exam_speed_peak(s, p));
        double share = exam_speed_share(p);
        if (!isfinite(share)) continue;
        cJSON_AddNumberToObject(one, "roofline_share", share);
        cJSON_AddNumberToObject(one, "roofline_share_low", p->share.low);
        cJSON_AddNumberToObject(one, "roofline_share_high", p->share.high);
    }
    return o;
}
