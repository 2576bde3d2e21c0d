/* rag/knobs: the rows of memory.* and a small configuration that holds their values. Plain data: a rag_config
 * belongs to whoever declared it. It never reads the environment or the store. */
#include "rag/rag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ON, CHATS, MIN_SCORE, MAX_PASSAGES, BUDGET };

static const q_knob rows[] = {
    {"memory.on", NULL, Q_KNOB_BOOL, 0, 1, NULL, Q_EFFECT_RETRIEVAL, N_("search memory before each answer and feed what is found"), ON},
    {"memory.min_score", NULL, Q_KNOB_FLOAT, 0, 1, NULL, Q_EFFECT_RETRIEVAL, N_("passages with a lower score are not fed"), MIN_SCORE},
    {"memory.max_passages", NULL, Q_KNOB_INT, 0, 20, NULL, Q_EFFECT_RETRIEVAL, N_("how many passages are fed at most"), MAX_PASSAGES},
    {"memory.budget", NULL, Q_KNOB_INT, 0, 100000, NULL, Q_EFFECT_RETRIEVAL, N_("how many tokens the fed passages may take together"), BUDGET},
    {"memory.chats", NULL, Q_KNOB_BOOL, 0, 1, NULL, Q_EFFECT_RETRIEVAL, N_("search past conversations too, not documents alone"), CHATS},
};

const q_knob *rag_knobs(int *n)
{
    *n = (int)(sizeof rows / sizeof *rows);
    return rows;
}

rag_config rag_config_default(void)
{
    return (rag_config){.on = true, .chats = true, .min_score = 0.30, .max_passages = 3, .budget = 1000};
}

static const q_knob *find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
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

int rag_config_set(rag_config *c, const char *name, const char *value, char *err)
{
    const q_knob *k = find(name);
    if (!k) return q_fail(err, Q_NOTFOUND, _("there is no knob %s: /set lists them"), name);
    rag_config d = rag_config_default();
    bool reset = strcmp(value, "default") == 0;
    if (k->type == Q_KNOB_BOOL) {
        int b = read_bool(value);
        bool *p = k->id == ON ? &c->on : &c->chats;
        if (b < 0 && !reset) return q_fail(err, Q_RANGE, _("%s is on or off, not %s"), name, value);
        *p = reset ? (k->id == ON ? d.on : d.chats) : b;
        return Q_OK;
    }
    char *end;
    errno = 0;
    double v = strtod(value, &end);
    bool whole = k->type != Q_KNOB_INT || v == (double)(long)v;
    if (!reset && (errno || end == value || *end || !(v >= k->min && v <= k->max) || !whole))
        return q_fail(err, Q_RANGE, k->type == Q_KNOB_INT ? _("%s is a whole number from %g to %g, not %s") : _("%s is a number from %g to %g, not %s"),
                      name, k->min, k->max, value);
    switch (k->id) {
    case MIN_SCORE: c->min_score = reset ? d.min_score : v; break;
    case MAX_PASSAGES: c->max_passages = reset ? d.max_passages : (int)v; break;
    default: c->budget = reset ? d.budget : (int)v; break;
    }
    return Q_OK;
}

const char *rag_config_get(const rag_config *c, const char *name, q_buf *buf)
{
    const q_knob *k = find(name);
    if (!k) return NULL;
    q_buf_clear(buf);
    switch (k->id) {
    case ON: q_buf_puts(buf, c->on ? "on" : "off"); break;
    case CHATS: q_buf_puts(buf, c->chats ? "on" : "off"); break;
    case MIN_SCORE: q_buf_printf(buf, "%.4g", c->min_score); break;
    case MAX_PASSAGES: q_buf_printf(buf, "%d", c->max_passages); break;
    default: q_buf_printf(buf, "%d", c->budget); break;
    }
    return buf->p;
}
