/* agent/captions: configurations as texts: how answers, the history and marks name them. Any thread, on a configuration of
 * its own. */
#include "agent/talk.h"
#include "agent/view.h"

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

/* "T .5", "k default": a knob as captions name it. */
static void short_value(const prov_config *c, const char *name, q_buf *out)
{
    static const char *const brief[][2] = { { "experts.k", "k" }, { "sampler.temperature", "T" } };
    const char *dot = strrchr(name, '.'), *word = dot ? dot + 1 : name;
    q_buf v = { 0 };
    for (size_t i = 0; i < sizeof brief / sizeof *brief; i++)
        if (strcmp(name, brief[i][0]) == 0)
            word = brief[i][1];
    q_buf_printf(out, "%s%s %s", out->len ? " · " : "", word, prov_config_is_default(c, name) ? "default" : prov_config_get(c, name, &v));
    q_buf_free(&v);
}

/* What bounds an answer, or names its dice, is no part of how it was chosen. */
static bool captioned(const char *name)
{
    static const char *const never[] = { "sampler.seed", "sampler.max_tokens", "sampler.stop", "threads" };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strcmp(name, never[i]) == 0)
            return false;
    return true;
}

/* It is stored: its words are those of no language. */
char *caption_of(const prov_config *c)
{
    char label[64];
    int n, experts = prov_config_k(c);
    const q_knob *k = prov_knobs(&n);
    q_buf b = { 0 };
    snprintf(label, sizeof label, "%s", prov_config_label(c, &b));
    label[q_utf8_whole(label, strlen(label))] = 0;
    q_buf_clear(&b);
    q_buf_puts(&b, *label ? label : "standard");
    if (!*label && experts > 0)
        q_buf_printf(&b, " · k %d", experts);
    for (int i = 0; i < n; i++)
        if (k[i].effect == Q_EFFECT_SAMPLING && captioned(k[i].name) && !prov_config_is_default(c, k[i].name))
            short_value(c, k[i].name, &b);
    return q_buf_take(&b);
}

char *caption_change(const prov_config *was, const prov_config *c)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    q_buf b = { 0 }, x = { 0 }, y = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < n; i++)
        if (captioned(k[i].name) && strcmp(prov_config_get(was, k[i].name, &x), prov_config_get(c, k[i].name, &y)) != 0)
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
