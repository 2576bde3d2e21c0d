/* advice/pull_name: what a person or a hub calls a file, read and checked. Pure functions, any thread. Private to advice. */
#ifndef QUORUM_PULL_NAME_H
#define QUORUM_PULL_NAME_H

#include "base/base.h"

enum pull_kind { PULL_HF, PULL_MS, PULL_URL };
typedef struct pull_source {             /* strings malloc'ed; NULL: not said */
    enum pull_kind kind;
    char *owner, *name, *rev;            /* of hubs; rev never NULL there */
    char *file, *quant;                  /* at most one of them */
    char *url, *sha256;                  /* of PULL_URL, without its fragment */
    char *hub;                           /* "https://huggingface.co", without a last slash; of PULL_URL: the token's one */
} pull_source;
/* Q_FORMAT says what may be written. out is to be freed in every case. */
int pull_source_read(const char *what, pull_source *out, char *err);
void pull_source_free(pull_source *);    /* contents */

/* The address of a hub (of PULL_URL: Hugging Face's), without a last slash: that of the environment, *from is the variable's name, or the usual one,
 * *from is "". *out malloc'ed, NULL on failure. Q_FORMAT: the environment's is no address. */
int pull_hub_name(enum pull_kind, char **out, const char **from, char *err);

/* Its page, for a person, and the address of one of its files; malloc'ed. */
char *pull_page(const pull_source *);
char *pull_address(const pull_source *, const char *path);

/* May a hub's path become one below a folder here? UTF-8, parts of at most 200 bytes, at most 8 of them, none of them "", beginning with '.',
 * or ending like our own files on the way; no control characters, nothing that turns or hides text, no backslash. */
bool pull_path_safe(const char *path);
/* The quantisation that a path says: "Q4_K_M"; "" where it says none. */
void pull_quant_of(const char *path, char out[24]);
/* The path as a part of an address, '/' left as it is; malloc'ed. */
char *pull_encode(const char *path);
/* The last part of an address's path, decoded; malloc'ed, "" where there is none. */
char *pull_last_of(const char *url);
/* Where a header Location leads from base (RFC 3986, 5.2, without dot segments); malloc'ed. */
char *pull_join(const char *base, const char *location);
bool pull_hex(const char *s, size_t n);  /* n digits, and nothing behind them */

#endif
