/* rag/knobs: the rows of memory.* and a small configuration that holds their values. Plain data: a rag_config
 * belongs to whoever declared it. It never reads the environment or the store. */
#include "rag/rag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW(field, name, type, min, max, def, choices, help) {name, NULL, Q_KNOB_##type, min, max, choices, Q_EFFECT_RETRIEVAL, help, (int)offsetof(rag_config, field)},
#define DEFAULT(field, name, type, min, max, def, choices, help) .field = def,
static const q_knob rows[] = {RAG_KNOBS(ROW)};
static const rag_config defaults = {RAG_KNOBS(DEFAULT)};

const q_knob *rag_knobs(int *n)
{
    *n = (int)(sizeof rows / sizeof *rows);
    return rows;
}

rag_config rag_config_default(void) { return defaults; }

static const q_knob *find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

/* A row's field lies id bytes into the configuration. */
static double value(const rag_config *c, const q_knob *k)
{
    const void *p = (const char *)c + k->id;
    return k->type == Q_KNOB_BOOL ? *(const bool *)p : k->type == Q_KNOB_FLOAT ? *(const double *)p : *(const int *)p;
}

static void keep(rag_config *c, const q_knob *k, double v)
{
    void *p = (char *)c + k->id;
    if (k->type == Q_KNOB_BOOL) *(bool *)p = v != 0;
    else if (k->type == Q_KNOB_FLOAT) *(double *)p = v;
    else *(int *)p = (int)v;
}

/* The words of a list with commas: which one it is; -1: none. */
static int read_choice(const char *choices, const char *v)
{
    size_t n = strlen(v);
    for (int i = 0; *choices; i++) {
        size_t len = strcspn(choices, ",");
        if (len == n && memcmp(choices, v, n) == 0) return i;
        choices += len + (choices[len] == ',');
    }
    return -1;
}

static void put_choice(const char *choices, int at, q_buf *b)
{
    while (at-- > 0) choices += strcspn(choices, ",") + 1;
    q_buf_printf(b, "%.*s", (int)strcspn(choices, ","), choices);
}

static int read_bool(const char *v)
{
    static const char *const yes[] = {"on", "true", "yes", "1"}, *const no[] = {"off", "false", "no", "0"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(v, yes[i]) == 0) return 1;
        if (strcmp(v, no[i]) == 0) return 0;
    }
    return -1;
}

int rag_config_set(rag_config *c, const char *name, const char *text, char *err)
{
    const q_knob *k = find(name);
    if (!k) return q_fail(err, Q_NOTFOUND, _("there is no knob %s: /set lists them"), name);
    double v;
    if (strcmp(text, "default") == 0) {
        v = value(&defaults, k);
    } else if (k->type == Q_KNOB_BOOL) {
        v = read_bool(text);
        if (v < 0) return q_fail(err, Q_RANGE, _("%s is on or off, not %s"), name, text);
    } else if (k->type == Q_KNOB_CHOICE) {
        v = read_choice(k->choices, text);
        if (v < 0) return q_fail(err, Q_RANGE, _("%s is one of: %s"), name, k->choices);
    } else {
        char *end, low[32], high[32];
        errno = 0;
        v = strtod(text, &end);
        bool ok = !errno && end != text && !*end && v >= k->min && v <= k->max;
        q_knob_number(low, k->min);
        q_knob_number(high, k->max);
        if (!ok || (k->type == Q_KNOB_INT && v != (double)(long)v))
            return q_fail(err, Q_RANGE, k->type == Q_KNOB_INT ? _("%s is a whole number from %s to %s, not %s") : _("%s is a number from %s to %s, not %s"),
                          name, low, high, text);
        v = v == 0 ? 0 : v;              /* -0 reads alike and is no other value */
    }
    keep(c, k, v);
    return Q_OK;
}

const char *rag_config_get(const rag_config *c, const char *name, q_buf *buf)
{
    const q_knob *k = find(name);
    if (!k) return NULL;
    q_buf_clear(buf);
    double v = value(c, k);
    if (k->type == Q_KNOB_BOOL) q_buf_puts(buf, v != 0 ? "on" : "off");
    else if (k->type == Q_KNOB_CHOICE) put_choice(k->choices, (int)v, buf);
    else q_buf_printf(buf, k->type == Q_KNOB_INT ? "%.0f" : "%.4g", v);
    return buf->p;
}
