/* provider/kind: what one kind of provider implements; private to provider/ and to the tests' scripted one. provider.c
 * takes turns, checks requests against flags, and calls these. */
#ifndef QUORUM_PROVIDER_KIND_H
#define QUORUM_PROVIDER_KIND_H

#include "provider/provider.h"

#include <pthread.h>

typedef struct prov_kind {
    void (*close)(prov *);
    /* configurations: see prov_config_* */
    prov_config *(*config_new)(const prov *);
    prov_config *(*config_copy)(const prov_config *);
    void (*config_free)(prov_config *);
    int (*config_set)(prov_config *, const char *name, const char *value, char *err);
    const char *(*config_get)(const prov_config *, const char *name, q_buf *buf);
    double (*config_number)(const prov_config *, const char *name);
    int (*config_nudge_k)(prov_config *, int delta);
    bool (*config_range)(const prov_config *, const char *name, double *min, double *max);
    const char *(*config_fixed)(const prov_config *, const char *name, q_buf *buf);     /* NULL: nothing is */
    bool (*config_is_default)(const prov_config *, const char *name);
    int (*config_k)(const prov_config *);
    const char *(*config_label)(const prov_config *, q_buf *buf);
    char *(*config_json)(const prov_config *);
    int (*config_from_json)(prov_config *, const char *json, char *err);
    uint64_t (*config_hash)(const prov_config *, bool all);
    enum q_effect (*config_diff)(const prov_config *a, const prov_config *b);
    prov_cost (*config_cost)(const prov_config *);
    int (*config_added)(const prov_config *, prov_cost *of, uint8_t *changed);    /* NULL: it knows no adapters */
    /* requests; in turn */
    int (*set)(prov *, const prov_config *c, enum prov_policy p, char *err);
    prov_config *(*present)(prov *);
    int (*ask)(prov *, const prov_request *, const prov_hooks *, prov_result *out, char *err);
    int (*renew)(prov *, const prov_hooks *, char *err);
    void (*forget)(prov *);              /* NULL: it holds nothing between requests */
    void (*cancel)(prov *, bool on);     /* any thread */
    /* numbers */
    prov_room (*context)(prov *);
    prov_load (*load)(prov *);           /* with PROV_PARALLEL */
    int (*mixture)(prov *, prov_mix *out, int max);
    int (*runs)(prov *, prov_mix *out, int max);     /* NULL: it does not know */
    int (*count)(const prov *, const char *text, size_t n);
    int (*count_request)(const prov *, const prov_request *, char *err);
    int (*show)(const prov *, const prov_request *, q_buf *out, char *err);      /* NULL: the texts, each under its role */
    int (*score)(prov *, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *),
                 void *user, char *err);
    int (*judge)(prov *, const prov_request *, int n_request, const char *const *text, int n, double *share /* NANs */, prov_go *go, void *user,
                 char *err);             /* NULL: it cannot */
    int (*embed)(prov *, const char *text, size_t n, float *out, char *err);
    struct eng_cache *(*cache)(prov *);
    int (*ids)(const prov *, const prov_request *, int32_t **out, char *err);    /* NULL: its prompts are no ids */
    struct eng_session *(*session)(prov *);
    bool (*holds)(prov *, const int32_t *token, const int32_t *pos, int n);
    void (*spell)(const prov *, int32_t token, q_buf *out);      /* NULL: it does not say */
    uint64_t (*state_bytes)(prov *, size_t n_note);              /* these three with PROV_STATE */
    int (*state_save)(prov *, const char *path, const char *note, size_t n_note, prov_go *go, void *user, char *err);
    int (*state_load)(prov *, const char *path, prov_go *go, void *user, char *err);
} prov_kind;

struct prov {                            /* first member of a kind's own struct */
    const prov_kind *kind;
    prov_info info;
    pthread_mutex_t turn;                /* held while one request is answered, unless PROV_PARALLEL; its hooks may take it again */
    bool busy;                           /* a request runs; under turn */
};
struct prov_config { const prov_kind *kind; };   /* first member likewise */

void prov_init(prov *, const prov_kind *);       /* by a kind's opening; provider.c's prov_close undoes it */

#endif
