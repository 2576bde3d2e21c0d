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
    q_buf_say(out, " %8s %-13s", number(x->median, median), range);
}

static void table(const exam_speeds *s, q_buf *out)
{
    char w[32];
    label(s, s->axis, out);
    q_buf_say(out, "   %-22s %-22s %9s %9s\n", _("prefill, tokens/s"), _("decode, tokens/s"), _("reads"), s->bandwidth > 0 ? _("of roof") : "");
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (p->refused || !p->decode.n) continue;
        label(s, p->at, out);
        spread(&p->prefill, out);
        spread(&p->decode, out);
        q_buf_say(out, " %9s", q_bytes_words(p->weights + p->cells, w));
        double share = exam_speed_share(p);
        if (isfinite(share)) q_buf_say(out, " %8.0f%%", 100 * share);
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
    q_buf_say(out, ngettext("median and range of %d round, all points in turn; %d tokens read at once, %d made one after the other",
                            "median and range of %d rounds, all points in turn; %d tokens read at once, %d made one after the other", (unsigned long)n), n, s->prompt, s->tokens);
}

void exam_speed_say(const exam_speeds *s, q_buf *out)
{
    char w[32];
    table(s, out);
    plot(s, out);
    q_buf_putc(out, '\n');
    for (int i = 0; i < s->n; i++)
        if (s->point[i].refused) {
            label(s, s->point[i].at, out);
            q_buf_say(out, _(" is left out: %s\n"), s->point[i].refused);
        }
    speed_terms(s, out);
    q_buf_putc(out, '\n');
    if (s->done > 1) q_buf_say(out, _("bars: █ to the slowest round, ▓ to the median, ░ to the fastest\n"));
    if (s->bandwidth > 0) q_buf_say(out, _("of roof: bytes decode read a second, of what the machine read right before or after it (%s/s at best), the median of the rounds; reads: weights, and the context's K and V\n"), q_bytes_words((uint64_t)s->bandwidth, w));
}

/* ---- CSV, JSON ---- */
void exam_speed_csv(const exam_speeds *s, q_buf *out)
{
    for (int a = 0; a < s->n_axis; a++) {
        q_say_csv(out, s->axis[a]);
        q_buf_putc(out, ',');
    }
    q_buf_puts(out, "prompt_tokens,context_tokens,prefill,prefill_low,prefill_high,decode,decode_low,decode_high,rounds,weight_bytes,cell_bytes,roofline_share,refused\n");
    for (int i = 0; i < s->n; i++) {
        const exam_fast *p = &s->point[i];
        if (!p->refused && !p->decode.n) continue;
        for (int a = 0; a < s->n_axis; a++) {
            q_say_csv(out, p->at[a]);
            q_buf_putc(out, ',');
        }
        q_buf_printf(out, "%d,%d,", s->prompt, p->context);
        if (p->refused) {
            q_buf_puts(out, ",,,,,,,,,,");
            q_say_csv(out, p->refused);
        } else {
            q_buf_printf(out, "%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%d,%llu,%llu,", p->prefill.median, p->prefill.low, p->prefill.high, p->decode.median, p->decode.low, p->decode.high,
                         p->decode.n, (unsigned long long)p->weights, (unsigned long long)p->cells);
            double share = exam_speed_share(p);
            if (isfinite(share)) q_buf_printf(out, "%.4f", share);
            q_buf_putc(out, ',');
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
    if (s->bandwidth > 0) cJSON_AddNumberToObject(o, "read_bandwidth", s->bandwidth);
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
        spread_json(one, "prefill_tokens_per_s", &p->prefill);
        spread_json(one, "decode_tokens_per_s", &p->decode);
        cJSON_AddNumberToObject(one, "rounds", p->decode.n);
        cJSON_AddNumberToObject(one, "weight_bytes", (double)p->weights);
        cJSON_AddNumberToObject(one, "cell_bytes", (double)p->cells);
        double share = exam_speed_share(p);
        if (!isfinite(share)) continue;
        cJSON_AddNumberToObject(one, "roofline_share", share);
        cJSON_AddNumberToObject(one, "roofline_share_low", p->share.low);
        cJSON_AddNumberToObject(one, "roofline_share_high", p->share.high);
    }
    return o;
}
