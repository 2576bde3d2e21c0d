/* engine/text/vocab: text to token ids and back, for the kinds of vocabularies in kind.h. Copies everything it needs out of
 * the file; immutable after vocab_load, any thread may read. It never decides when to add a BOS token: the template and eval
 * do. Private to engine; other rooms use the eng_ functions of text.h. */
#ifndef QUORUM_VOCAB_H
#define QUORUM_VOCAB_H

#include "engine/text.h"
#include "engine/file/gguf.h"

typedef struct vocab vocab;

/* Q_FORMAT with a sentence when the vocabulary is missing, inconsistent or of a kind not known here. */
int vocab_load(const gguf_file *f, vocab **out, char *err);
void vocab_free(vocab *);
/* What vocab_load would say of the keys alone, without reading them all: the kind, the pre-tokeniser, that the lists are
 * there. Milliseconds. */
int vocab_check(const gguf_file *f, char *err);

int vocab_size(const vocab *);
int32_t vocab_bos(const vocab *);                    /* to put before every text (BOS, CLS), or -1 where the file says no */
int32_t vocab_eos(const vocab *);                    /* and after it (EOS, SEP), for models that read whole texts; likewise */
int32_t vocab_find(const vocab *, const char *name); /* token spelt so in the file, or -1 */

/* As the eng_ functions of the same names. */
int vocab_tokenize(const vocab *, const char *text, size_t n, bool special, eng_tokens *out, char *err);
/* The same where whose a byte is decides: control tokens are recognised where mark (n bytes) is 0, elsewhere text is text. */
int vocab_tokenize_marked(const vocab *, const char *text, const char *mark, size_t n, eng_tokens *out, char *err);
const char *vocab_bytes(const vocab *, int32_t id, size_t *n);
const char *vocab_name(const vocab *, int32_t id);
bool vocab_control(const vocab *, int32_t id);
bool vocab_end(const vocab *, int32_t id);
void vocab_detok(const vocab *, eng_detok *d, int32_t id, q_buf *out);
const char *vocab_detok_bytes(const vocab *, eng_detok *d, int32_t id, size_t *n);
eng_detok vocab_detok_behind(const vocab *, int32_t id);

#endif
