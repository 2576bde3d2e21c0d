/* provider/inprocess: see inprocess.h: the configurations of a model in this process, which are the engine's. */
#include "provider/inprocess.h"
#include "engine/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct local_config {
    prov_config base;
    const local *p;
    eng_config *c;
    bool sized;                          /* somebody set its context.length, to whatever */
} local_config;

static const local *of_const(const prov *p) { return (const local *)p; }
static eng_config *conf(const prov_config *c) { return ((const local_config *)c)->c; }
eng_config *local_conf(const prov_config *c) { return conf(c); }

prov_config *local_wrap(const local *l, eng_config *c /* taken */)
{
    local_config *o = q_alloc(sizeof *o);
    *o = (local_config){ .base = { l->base.kind }, .p = l, .c = c };
    return &o->base;
}

prov_config *local_config_new(const prov *p) { return local_wrap(of_const(p), eng_config_new(of_const(p)->m)); }
prov_config *local_config_copy(const prov_config *c)
{
    prov_config *o = local_wrap(((const local_config *)c)->p, eng_config_copy(conf(c)));
    ((local_config *)o)->sized = local_sized(c);
    return o;
}

bool local_sized(const prov_config *c) { return ((const local_config *)c)->sized; }

void local_config_free(prov_config *c)
{
    eng_config_free(conf(c));
    free(c);
}

int local_config_set(prov_config *c, const char *name, const char *value, char *err)
{
    int rc = eng_config_set(conf(c), name, value, err);
    if (rc == Q_OK && strcmp(eng_knob(name)->name, "context.length") == 0) ((local_config *)c)->sized = strcmp(value, "default") != 0;
    return rc;
}

const char *local_config_get(const prov_config *c, const char *name, q_buf *b) { return eng_config_get(conf(c), name, b); }
double local_config_number(const prov_config *c, const char *name) { return eng_config_number(conf(c), name); }
int local_config_nudge_k(prov_config *c, int delta) { return eng_config_nudge_k(conf(c), delta); }
bool local_config_range(const prov_config *c, const char *name, double *min, double *max) { return eng_config_range(conf(c), name, min, max); }
/* What would be refused whatever the value is said before one tries. */
const char *local_config_fixed(const prov_config *c, const char *name, q_buf *b)
{
    const q_knob *k = eng_knob(name);
    if (((const local_config *)c)->p->base.info.n_expert)
        return NULL;
    if (!k || k->effect != Q_EFFECT_ROUTING)
        return NULL;
    q_buf_clear(b);
    q_buf_puts(b, _("this model is dense: it has no experts to choose; /model lists others"));
    return b->p;
}

bool local_config_is_default(const prov_config *c, const char *name) { return eng_config_is_default(conf(c), name); }
int local_config_k(const prov_config *c) { return ((const local_config *)c)->p->base.info.n_expert ? eng_config_k(conf(c)) : 0; }
const char *local_config_label(const prov_config *c, q_buf *b) { return eng_config_label(conf(c), b); }
char *local_config_json(const prov_config *c) { return eng_config_json(conf(c)); }
int local_config_from_json(prov_config *c, const char *json, char *err) { return eng_config_from_json(conf(c), json, err); }
uint64_t local_config_hash(const prov_config *c, bool all) { return all ? eng_config_hash_all(conf(c)) : eng_config_hash(conf(c)); }
enum q_effect local_config_diff(const prov_config *a, const prov_config *b) { return eng_config_diff(conf(a), conf(b)); }

prov_cost local_config_cost(const prov_config *c)
{
    eng_cost e = eng_model_cost(((const local_config *)c)->p->m, conf(c));
    return (prov_cost){ e.params, e.bytes_layers + e.bytes_head };
}

int local_config_added(const prov_config *c, prov_cost *of, uint8_t *changed)
{
    int n = eng_model_info(((const local_config *)c)->p->m)->n_layer + 1;
    eng_added *each = of ? q_alloc(sizeof *each * (size_t)n) : NULL;
    int acting = eng_config_added(conf(c), each, changed);
    for (int i = 0; each && i < n; i++) of[i] = (prov_cost){ each[i].params, each[i].bytes };
    free(each);
    return acting;
}

void local_take(local *l, eng_config *c)
{
    pthread_mutex_lock(&l->mu);
    eng_config_free(l->c);
    l->c = c;
    pthread_mutex_unlock(&l->mu);
}

eng_config *local_settings(local *l, const prov_request *r)
{
    pthread_mutex_lock(&l->mu);
    eng_config *c = eng_config_copy(r && r->config ? conf(r->config) : l->c);
    pthread_mutex_unlock(&l->mu);
    return c;
}

/* A session beside the conversation's. */
int local_aside(local *l, const eng_config *of, int n, eng_session **out, char *err)
{
    char room_text[24];
    eng_config *c = eng_config_copy(of);
    snprintf(room_text, sizeof room_text, "%d", n < 64 ? 64 : n);
    int rc = eng_config_set(c, "context.length", room_text, err);
    if (rc == Q_OK)
        rc = eng_session_new(l->m, c, out, err);
    eng_config_free(c);
    return rc;
}
