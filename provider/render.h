/* provider/render: a request as the tokens of its prompt, for a model in this process. Any thread. */
#ifndef QUORUM_PROVIDER_RENDER_H
#define QUORUM_PROVIDER_RENDER_H

#include "provider/inprocess.h"

/* Appends; c: the settings that hold for the request. */
int render_request(local *, const eng_config *c, const prov_request *, eng_tokens *out, char *err);      /* the last one is remembered */
int render_anew(const local *, const eng_config *c, const prov_request *, eng_tokens *out, char *err);
int render_begin(const local *, const prov_request *, eng_tokens *out, char *err);     /* the given beginning alone */
const char *render_thinks(const eng_config *c, const prov_request *, q_buf *);         /* "on", "off" or "auto" */
int render_most(const eng_config *c);    /* so many tokens need not be told apart any more: none of it fits */

#endif
