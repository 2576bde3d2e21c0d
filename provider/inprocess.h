/* provider/inprocess: a model in this process, as the files that answer with it see it. Private to provider/. */
#ifndef QUORUM_PROVIDER_INPROCESS_H
#define QUORUM_PROVIDER_INPROCESS_H

#include "engine/engine.h"
#include "engine/text.h"
#include "provider/kind.h"

#include <stdatomic.h>

/* A prompt as tokens, under the name of what it is made of. */
typedef struct rendered { pthread_mutex_t mu; uint64_t salt, name; bool there; eng_tokens t; unsigned times; } rendered;

typedef struct local {
    prov base;
    eng_model *m;
    pthread_mutex_t mu;                  /* over c where several requests are answered at once */
    eng_config *c;                       /* in effect */
    rendered last;                       /* what was counted is asked next: it is rendered once */
    char device[16];
    char *shortened;                     /* what is said of a context that memory made shorter; NULL: it is as long as it was to be */
    uint8_t *recurrent;                  /* [n_layer], NULL: no layer is */
    int32_t *window;                     /* likewise: none slides */
    bool sinks;
    atomic_bool cancelled;               /* as prov_cancel says; what runs beside the conversation looks at it */
    struct single *single;               /* the conversation, where requests take turns; else NULL */
    struct many *many;                   /* where several are answered at once; else NULL */
} local;

/* A session in a cache of its own, under the settings `of`, with room for n tokens. */
int local_aside(local *, const eng_config *of, int n, eng_session **out, char *err);
eng_config *local_settings(local *, const prov_request *);     /* a copy of those that hold for it: its own, or the present ones */
bool local_sized(const prov_config *);                         /* its context.length was set, maybe to what it would be anyway */
eng_config *local_conf(const prov_config *);                   /* what this prov's configurations are made of; theirs */
void local_take(local *, eng_config *c /* taken */);           /* the present ones from now on */
prov_config *local_wrap(const local *, eng_config *c /* taken */);

/* What prov_kind asks of configurations. */
prov_config *local_config_new(const prov *p);
prov_config *local_config_copy(const prov_config *c);
void local_config_free(prov_config *c);
int local_config_set(prov_config *c, const char *name, const char *value, char *err);
const char *local_config_get(const prov_config *c, const char *name, q_buf *b);
double local_config_number(const prov_config *c, const char *name);
int local_config_nudge_k(prov_config *c, int delta);
bool local_config_range(const prov_config *c, const char *name, double *min, double *max);
const char *local_config_fixed(const prov_config *c, const char *name, q_buf *b);
bool local_config_is_default(const prov_config *c, const char *name);
int local_config_k(const prov_config *c);
const char *local_config_label(const prov_config *c, q_buf *b);
char *local_config_json(const prov_config *c);
int local_config_from_json(prov_config *c, const char *json, char *err);
uint64_t local_config_hash(const prov_config *c, bool all);
enum q_effect local_config_diff(const prov_config *a, const prov_config *b);
prov_cost local_config_cost(const prov_config *c);
int local_config_added(const prov_config *c, prov_cost *of, uint8_t *changed);

#endif
