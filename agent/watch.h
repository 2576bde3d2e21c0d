/* agent/watch: how unusual the routing is: usual rates, the window of the running answer and that of a stored one. Under
 * watch.mu: the engine's thread feeds the running one, the quick lane the stored one, the front end reads. */
#ifndef QUORUM_AGENT_WATCH_H
#define QUORUM_AGENT_WATCH_H

#include "agent/agent.h"
#include "agent/desk.h"
#include "memory/memory.h"

/* How often each expert runs, per (model, k), learnt over everything that was ever evaluated with it. */
enum { USUAL_KEY = 128 };
typedef struct usual {
    struct usual *next;
    char key[USUAL_KEY];                     /* setting name: "usual.MODELID.K" */
    int n_layer, n_expert;               /* routed layers */
    float n;                             /* tokens seen, at most USUAL_MEMORY */
    float *mean;                         /* [n_layer][n_expert] */
    bool dirty;
} usual;
typedef struct routing {                 /* a decayed window over recent tokens; live or of a stored trace */
    int n_layer, first, n_expert, n_all; /* n_all: all layers of the model, as traces count them */
    int max_k;
    int k;
    usual *u;                            /* belongs to the room's list */
    usual *next_u;                       /* with `fresh`: what the next position is measured against */
    bool fresh;                          /* another k is set: the window begins anew with the next position, not before */
    float *hit;                          /* [n_layer][n_expert] decayed counts */
    double w1, w2;                       /* decayed sums of weights and of their squares */
    uint16_t *now, *before;              /* [n_layer][max_k] */
    uint8_t *was;                        /* [n_layer][n_expert] 1: ran for the last token */
    float *now_weight, *entropy, *margin;
    double repeat_num, repeat_den;
    int n_tokens;
    uint64_t version;
    bool any;
} routing;
enum { USUAL_NEED = 256, USUAL_PRIOR = 64, USUAL_MEMORY = 4096, ROUTING_WINDOW = 32 };

typedef struct watch {
    pthread_mutex_t mu;
    routing live, stored;
    bool show_stored, live_wanted;
    usual *usual;
} watch;

void routing_shape(routing *, int n_all, int first, int n_layer, int n_expert, int max_k);
void routing_clear(routing *);           /* forgets the window, keeps the shape */
void routing_free(routing *);
/* One evaluated position; ids [n_all][max_k] with 0xFFFF in layers without experts. learn: it also teaches `u`. */
void routing_add(routing *, const uint16_t *ids, const float *weights, const float *entropy, const float *margin, int max_k,
                 bool learn);
void routing_export(const routing *, agt_routing *out);
void usual_load(struct agt *, uint64_t model, const char *k);   /* from the store, where it is not in memory yet; without rmu */
/* Under rmu, never from the disk. n_layer 0: of whatever shape there is, or NULL; else made when there is none. */
usual *usual_get(struct agt *, uint64_t model, const char *k, int n_layer, int n_expert);
float usual_rate(const usual *, int layer, int expert, double k);
void usual_save(struct agt *);                  /* dirty ones, to the store */
char *usual_text(const usual *);
bool usual_parse(usual *, const char *text);
void routing_live(struct agt *, mem_trace *also);  /* engine thread: reads the session's new records into `live` and `also` */
void routing_start(struct agt *);               /* a model or k is new: shape and usual rates of `live` */
bool routing_baseline(struct agt *);            /* idle work: true while there is more */
void routing_show(struct agt *, int64_t message);   /* clerk: a stored answer into `stored` */

#endif
