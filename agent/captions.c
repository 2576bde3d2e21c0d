/* agent/captions: configurations as texts: how answers, the history and marks name them. Any thread, on a configuration of
 * its own. */
#include "agent/talk.h"
#include "agent/view.h"
#include "base/knob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *caption_label(const prov_config *c, char *buf, size_t n)
{
    q_buf b = { 0 };
    view_label(prov_config_label(c, &b), prov_config_k(c), buf, n);
    q_buf_free(&b);
    return buf;
}

static const char *short_name(const char *name)
{
    static const char *const brief[][2] = { { "experts.k", "k" }, { "sampler.temperature", "T" }, { "kv.type", "kv" } };
    const char *dot = strrchr(name, '.'), *word = dot ? dot + 1 : name;
    for (size_t i = 0; i < sizeof brief / sizeof *brief; i++)
        if (strcmp(name, brief[i][0]) == 0)
            word = brief[i][1];
    return word;
}

/* "T .5", "k default": a knob as captions name it. */
static void short_value(const prov_config *c, const char *name, q_buf *out)
{
    q_buf v = { 0 };
    q_buf_printf(out, "%s%s ", out->len ? " · " : "", short_name(name));
    q_knob_brief(out, prov_config_is_default(c, name) ? "default" : prov_config_get(c, name, &v));
    q_buf_free(&v);
}

/* What the sampler, and a prompt's thinking, have of their own. */
static void sampling(const prov_config *c, q_buf *b)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    for (int i = 0; i < n; i++)
        if ((k[i].effect == Q_EFFECT_SAMPLING || k[i].effect == Q_EFFECT_PROMPT) && view_captioned(k[i].name) && !prov_config_is_default(c, k[i].name))
            short_value(c, k[i].name, b);
}

char *caption_differences(const prov_config *c)
{
    q_buf b = { 0 }, own = { 0 };
    q_buf_puts(&b, prov_config_label(c, &own));
    q_buf_free(&own);
    sampling(c, &b);
    return q_buf_take(&b);
}

/* What bounds an answer or names its dice, where that is all that tells it from another place of the history. */
static void apart(const history *h, int at, q_buf *b)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    const prov_config *c = h->v[at].cfg;
    q_buf x = { 0 }, y = { 0 };
    for (int i = 0; i < n; i++) {
        bool differs = false;
        if (view_captioned(k[i].name) || prov_config_is_default(c, k[i].name))
            continue;
        for (int j = 0; j < h->n && !differs; j++)
            differs = strcmp(prov_config_get(c, k[i].name, &x), prov_config_get(h->v[j].cfg, k[i].name, &y)) != 0;
        if (differs)
            short_value(c, k[i].name, b);
    }
    q_buf_free(&x);
    q_buf_free(&y);
}

char *caption_past(const history *h, int at)
{
    q_buf b = { 0 };
    char *first = caption_of(h->v[at].cfg);
    q_buf_puts(&b, first);
    free(first);
    apart(h, at, &b);
    return q_buf_take(&b);
}

/* It is stored: its words are those of no language. */
char *caption_of(const prov_config *c)
{
    char label[64];
    int experts = prov_config_k(c);
    q_buf b = { 0 };
    snprintf(label, sizeof label, "%s", prov_config_label(c, &b));
    label[q_utf8_whole(label, strlen(label))] = 0;
    q_buf_clear(&b);
    q_buf_puts(&b, *label ? label : "standard");
    if (!*label && experts > 0)
        q_buf_printf(&b, " · k %d", experts);
    sampling(c, &b);
    return q_buf_take(&b);
}

/* A long list, its end only. */
static void mark_value(q_buf *b, const char *value)
{
    enum { MOST = 24 };
    q_buf brief = { 0 };
    q_knob_brief(&brief, value);
    const char *v = brief.p ? brief.p : "";
    size_t n = strlen(v), from = n > MOST ? n - MOST : 0;
    while (((unsigned char)v[from] & 0xC0) == 0x80)
        from++;
    q_buf_printf(b, "%s%s", from ? "…" : "", v + from);
    q_buf_free(&brief);
}

char *caption_mark(const prov_config *was, const prov_config *c)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    q_buf b = { 0 }, x = { 0 }, y = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < n; i++) {
        const char *from = prov_config_get(was, k[i].name, &x), *to = prov_config_get(c, k[i].name, &y);
        if (!view_captioned(k[i].name) || strcmp(from, to) == 0)
            continue;
        q_buf_printf(&b, "%s%s ", b.len ? " · " : "", short_name(k[i].name));
        if (*from && strcmp(from, "none") != 0) {
            mark_value(&b, from);
            q_buf_puts(&b, "→");
        }
        mark_value(&b, *to ? to : "none");
    }
    q_buf_free(&x);
    q_buf_free(&y);
    return q_buf_take(&b);
}

char *caption_change(const prov_config *was, const prov_config *c)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    q_buf b = { 0 }, x = { 0 }, y = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < n; i++)
        if (view_captioned(k[i].name) && strcmp(prov_config_get(was, k[i].name, &x), prov_config_get(c, k[i].name, &y)) != 0)
            short_value(c, k[i].name, &b);
    q_buf_free(&x);
    q_buf_free(&y);
    return q_buf_take(&b);
}

/* The same in the person's language: only the model's own settings have a word in it. */
char *caption_said(const char *caption)
{
    static const char own[] = "standard";
    size_t n = sizeof own - 1;
    bool begins = strncmp(caption, own, n) == 0 && (!caption[n] || caption[n] == ' ');
    return begins ? q_printf("%s%s", _("standard"), caption + n) : q_strdup(caption);
}
