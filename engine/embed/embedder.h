/* engine/embed/embedder: an open embedder from inside. Private to engine. It owns the mapped file, the vocabulary and the pass
 * that computes rows; everything is made at open and freed by eng_embedder_close. */
#ifndef QUORUM_EMBEDDER_H
#define QUORUM_EMBEDDER_H

#include "engine/embed.h"
#include "engine/file/gguf.h"
#include "engine/text/vocab.h"

enum embed_pool { EMBED_MEAN = 1, EMBED_CLS = 2, EMBED_LAST = 3 };      /* as GGUF's ARCH.pooling_type */

/* How rows are computed: text t has the rows at[t] to at[t + 1]; *hidden holds [at[n]][dim] until the next run. go (NULL: always) is
 * asked before each step (a layer, some rows); false: Q_CANCEL. */
typedef struct embed_pass {
    int (*run)(void *own, const int32_t *token, const int *at, int n, bool (*go)(void *), void *user, const float **hidden, char *err);
    void (*close)(void *own);
} embed_pass;

struct eng_embedder {
    gguf_file *file;
    vocab *vocab;
    embed_pass pass;
    void *own;                         /* the pass's */
    enum embed_pool pool;
    eng_embedder_info info;
    char *strings[3];                  /* path, name, arch */
};

/* A kind of embedder (kind.c). */
typedef struct embed_kind {
    const char *arch;                  /* NULL: any decoder's, where the file has its pooling_type */
    enum embed_pool pool;              /* where the file does not say */
    bool decoder;
} embed_kind;
/* The file's kind and the name of its architecture; NULL: it is none. */
const embed_kind *embed_kind_of(const gguf_file *, const char **name);
char *embed_known(void);               /* "bert, nomic-bert"; malloc'ed */

/* These fill pass, own, dim, max_tokens, n_layer, threads once `info` and `strings` are there; on failure own may be left:
 * pass.close frees it. */
int encoder_open(eng_embedder *, int threads, bool exact, char *err);          /* encoder.c: bert, nomic-bert */
int causal_open(eng_embedder *, int threads, bool exact, char *err);           /* causal.c: exact only keeps cells in F32 */

typedef struct embed_family { const char *name; const char *query, *passage; } embed_family;
const embed_family *embed_family_of(const char *name);                         /* never NULL; families.c */

/* exact: F32 arithmetic throughout, for references. */
int embed_open(const char *path, int threads, bool exact, eng_embedder **out, char *err);

/* Vectors of texts that are ids already, without what goes before and after a text: begin, a text at a time, end. */
typedef struct embed_feed {
    eng_embedder *e;
    bool (*go)(void *user);
    void *user;
    int32_t *token;                    /* of the batch at hand */
    int *at;                           /* [n_win + 1] */
    struct embed_window { float *out; int pieces; bool last; } *win;
    int n_win, cap_win, rows;
    double *acc, weight;               /* of the text whose windows come now */
} embed_feed;
void feed_begin(embed_feed *, eng_embedder *, bool (*go)(void *), void *user);
int feed_text(embed_feed *, const int32_t *piece, int n, float *out, char *err);
int feed_end(embed_feed *, int rc, char *err);         /* rc: what came before; frees. Returns rc or its own failure */

#endif
