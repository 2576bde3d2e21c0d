/* lab/swept: what a sweep came to: a table with a plot, JSON, CSV. Any thread; owns nothing. */
#include "base/say.h"
#include "lab/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Low perplexity is high log-probability: the interval's ends change places. */
static lab_interval perplexity(const lab_swept_row *r)
{
    return (lab_interval){ exp(-r->logp.mean), exp(-r->logp.high), exp(-r->logp.low) };
}

/* ---- words ---- */
static void table(const lab_swept *o, q_buf *out)
{
    char w[32], ci[48];
    q_buf_say(out, "%8s %10s %-17s %9s %8s %10s %6s\n", "", _("perplexity"), "95%", _("over own"), _("tokens/s"), _("reads"), _("agree"));
    for (int i = 0; i < o->n; i++) {
        const lab_swept_row *r = &o->row[i];
        if (r->refused)
            continue;
        lab_interval p = perplexity(r);
        snprintf(ci, sizeof ci, "%.4g … %.4g", p.low, p.high);
        q_buf_say(out, "%8s %10.4g %-17s ", r->value, p.mean, ci);
        if (r->own)
            q_buf_say(out, "%9s", _("own"));
        else
            q_buf_say(out, "%+8.3f%s", r->over.mean, r->over.low > 0 || r->over.high < 0 ? "*" : " ");
        q_buf_say(out, " %8.1f %10s %5.1f%%\n", r->rate, q_bytes_words(r->bytes, w), 100 * r->top1);
    }
}

enum { SPAN = 60 };                      /* cells of the plot */
static int cell(double x, double low, double high)
{
    double at = high > low ? (x - low) / (high - low) * (SPAN - 1) : 0;
    return at < 0 ? 0 : at > SPAN - 1 ? SPAN - 1 : (int)(at + .5);
}

/* A row a value, its interval as a bar; the axis is logarithmic, so that equal steps are equal shares. */
static void plot(const lab_swept *o, q_buf *out)
{
    double low = INFINITY, high = -INFINITY, own = 0;
    for (int i = 0; i < o->n; i++)
        if (!o->row[i].refused) {
            low = fmin(low, -o->row[i].logp.high);
            high = fmax(high, -o->row[i].logp.low);
            own = o->row[i].own ? -o->row[i].logp.mean : own;
        }
    char left[32], right[32];
    snprintf(left, sizeof left, "%.4g", exp(low));
    snprintf(right, sizeof right, "%.4g", exp(high));
    q_buf_say(out, "\n%8s  %-*s%s\n", _("perpl."), SPAN - (int)strlen(right), left, right);
    for (int i = 0; i < o->n; i++) {
        const lab_swept_row *r = &o->row[i];
        if (r->refused)
            continue;
        int from = cell(-r->logp.high, low, high), to = cell(-r->logp.low, low, high), at = cell(-r->logp.mean, low, high), line = cell(own, low, high);
        q_buf_say(out, "%8s  ", r->value);
        for (int x = 0; x <= (to > line ? to : line); x++)
            q_buf_puts(out, x == at ? "●" : x == from ? "├" : x == to ? "┤" : x > from && x < to ? "─" : x == line ? "┊" : " ");
        q_buf_putc(out, '\n');
    }
}

static bool more_experts(const lab_swept *o)
{
    for (int i = 0; i < o->n && strcmp(o->knob, "experts.k") == 0; i++)
        if (!o->row[i].refused && atof(o->row[i].value) > atof(o->own))
            return true;
    return false;
}

static void words(const lab_swept *o, q_buf *out)
{
    q_buf_say(out, o->by_paragraph ? ngettext("%s, the model's own %s; %d tokens in %d paragraph\n\n", "%s, the model's own %s; %d tokens in %d paragraphs\n\n", (unsigned long)o->blocks)
                                   : _("%s, the model's own %s; %d tokens in %d pieces of equal length\n\n"), o->knob, o->own, o->tokens, o->blocks);
    table(o, out);
    plot(o, out);
    q_buf_putc(out, '\n');
    for (int i = 0; i < o->n; i++)
        if (o->row[i].refused)
            q_buf_say(out, _("%s is left out: %s\n"), o->row[i].value, o->row[i].refused);
    q_buf_say(out, _("over own: log-probability of a token over the own value's, nats (* more\n"
                     "than chance); agree: the likeliest next token is that of the own value.\n"));
    q_buf_say(out, _("Lower perplexity is not better answers: it says under which value this\ntext is more likely.\n"));
    if (more_experts(o))
        q_buf_say(out, _("No controlled study shows that more experts than the trained number\n"
                         "improve a model like Qwen3-30B; what a varied k gives is diversity.\n"));
}

/* ---- JSON, CSV ---- */
static void as_json(const lab_swept *o, q_buf *out)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "knob", o->knob);
    cJSON_AddStringToObject(j, "own", o->own);
    cJSON_AddNumberToObject(j, "tokens", o->tokens);
    cJSON_AddNumberToObject(j, "blocks", o->blocks);
    cJSON_AddBoolToObject(j, "by_paragraph", o->by_paragraph);
    cJSON *all = cJSON_AddArrayToObject(j, "values");
    for (int i = 0; i < o->n; i++) {
        const lab_swept_row *r = &o->row[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddItemToArray(all, one);
        cJSON_AddStringToObject(one, "value", r->value);
        if (r->refused) {
            cJSON_AddStringToObject(one, "refused", r->refused);
            continue;
        }
        lab_interval p = perplexity(r);
        cJSON_AddBoolToObject(one, "own", r->own);
        json_interval(one, "perplexity", "mean", &p);
        json_interval(one, "over_own", "mean", &r->over);
        cJSON_AddNumberToObject(one, "top1_agreement", r->top1);
        cJSON_AddNumberToObject(one, "tokens_per_s", r->rate);
        cJSON_AddNumberToObject(one, "bytes_per_token", (double)r->bytes);
    }
    char *s = cJSON_PrintUnformatted(j);
    q_buf_puts(out, s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
}

static void as_csv(const lab_swept *o, q_buf *out)
{
    q_buf_puts(out, "knob,value,own,perplexity,low,high,over_own,over_low,over_high,top1_agreement,tokens_per_s,bytes_per_token,refused\n");
    for (int i = 0; i < o->n; i++) {
        const lab_swept_row *r = &o->row[i];
        q_buf_printf(out, "%s,", o->knob);
        q_say_csv(out, r->value);
        if (r->refused) {
            q_buf_puts(out, ",,,,,,,,,,,");
            q_say_csv(out, r->refused);
        } else {
            lab_interval p = perplexity(r);
            q_buf_printf(out, ",%d,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%llu,", r->own ? 1 : 0, p.mean, p.low, p.high, r->over.mean, r->over.low,
                         r->over.high, r->top1, r->rate, (unsigned long long)r->bytes);
        }
        q_buf_putc(out, '\n');
    }
}

void lab_swept_say(const lab_swept *o, enum lab_form form, q_buf *out)
{
    static void (*const as[])(const lab_swept *, q_buf *) = { [LAB_WORDS] = words, [LAB_JSON] = as_json, [LAB_CSV] = as_csv };
    as[form](o, out);
}
