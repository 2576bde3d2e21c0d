/* provider/remote_config: configurations of a model on a server: the samplers that such servers know, and our own bound on what is
 * sent. Every other knob is the server's. Private to provider. One thread at a time. */
#ifndef QUORUM_PROVIDER_REMOTE_CONFIG_H
#define QUORUM_PROVIDER_REMOTE_CONFIG_H

#include "provider/kind.h"

/* "@NAME"; tokens; of its model, 0: unknown; it takes grammars in GBNF too, not JSON schemas alone (llama-server) */
typedef struct remote_own { char *at; int context, k, experts; bool gbnf; } remote_own;

/* The fields of a request that c sets: a value that nobody set is the server's own and stays out. each: name in the request. */
void remote_config_each(const prov_config *c, void (*each)(void *user, const char *field, const char *value), void *user);
/* What answers must fit by sampler.grammar: GBNF, or a JSON schema, which begins with {; NULL: nothing. */
const char *remote_config_grammar(const prov_config *);
bool remote_grammar_is_schema(const char *text, size_t n);
int remote_grammar_no_gbnf(const remote_own *, char *err);   /* the sentence where a server takes schemas alone; Q_RANGE */
/* All of prov_kind that is about configurations. own outlives them. */
prov_config *remote_config_new(const prov_kind *, const remote_own *);
prov_config *remote_config_copy(const prov_config *);
void remote_config_free(prov_config *);
int remote_config_set(prov_config *, const char *name, const char *value, char *err);
const char *remote_config_get(const prov_config *, const char *name, q_buf *);
double remote_config_number(const prov_config *, const char *name);
int remote_config_nudge_k(prov_config *, int delta);
bool remote_config_range(const prov_config *, const char *name, double *min, double *max);
const char *remote_config_fixed(const prov_config *, const char *name, q_buf *);
bool remote_config_is_default(const prov_config *, const char *name);
int remote_config_k(const prov_config *);
const char *remote_config_label(const prov_config *, q_buf *);
char *remote_config_json(const prov_config *);
int remote_config_from_json(prov_config *, const char *json, char *err);
uint64_t remote_config_hash(const prov_config *, bool all);
enum q_effect remote_config_diff(const prov_config *, const prov_config *);
prov_cost remote_config_cost(const prov_config *);

#endif
