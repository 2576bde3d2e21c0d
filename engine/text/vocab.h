/* engine/text/vocab: text to token ids and back, for byte-level BPE vocabularies (tokenizer.ggml.model "gpt2"),
 * and what the file's chat template asks for. Copies everything it needs out of the file; immutable after
 * vocab_load, any thread may read. It never decides when to add a BOS token: the template and eval do.
 * Private to engine; other rooms use the eng_ functions of engine.h. */
#ifndef QUORUM_VOCAB_H
#define QUORUM_VOCAB_H

#include "engine/text.h"
#include "engine/file/gguf.h"

typedef struct vocab vocab;

/* Values of tokenizer.ggml.token_type (gguf.md). */
enum vocab_type { VOCAB_NORMAL = 1, VOCAB_UNKNOWN = 2, VOCAB_CONTROL = 3, VOCAB_USER = 4, VOCAB_UNUSED = 5, VOCAB_BYTE = 6 };

/* What tokenizer.chat_template says, as far as ChatML goes. */
typedef struct vocab_chat {
    bool has;                      /* the file has a chat template                                       */
    bool thinks;                   /* it knows enable_thinking (Qwen3), or opens with <think>             */
    bool opens_think;              /* its reply always begins with <think> (Qwen3-Thinking)              */
    bool strips_think;             /* thinking of past replies is dropped                                */
    bool replays_turn;             /* but kept in replies after the last question (Qwen3, tool loops)    */
    bool tool_response;            /* tool results come inside a user turn, in <tool_response>           */
    char *system;                  /* the system prompt it adds when none is given, or NULL              */
    char *note;                    /* NULL, or a sentence: another template was found, ChatML is used    */
} vocab_chat;

/* Q_FORMAT with a sentence when the vocabulary is missing, inconsistent or of a kind not known here. */
int vocab_load(const gguf_file *f, vocab **out, char *err);
void vocab_free(vocab *);

int vocab_size(const vocab *);
int32_t vocab_bos(const vocab *);                    /* to put before every text, or -1 where the file says no */
int32_t vocab_find(const vocab *, const char *name); /* token spelt so in the file, or -1 */
const vocab_chat *vocab_template(const vocab *);

/* As the eng_ functions of the same names. */
int vocab_tokenize(const vocab *, const char *text, size_t n, bool special, eng_tokens *out, char *err);
const char *vocab_bytes(const vocab *, int32_t id, size_t *n);
const char *vocab_name(const vocab *, int32_t id);
bool vocab_control(const vocab *, int32_t id);
bool vocab_end(const vocab *, int32_t id);
void vocab_detok(const vocab *, eng_detok *d, int32_t id, q_buf *out);
int vocab_render(const vocab *, const eng_message *m, int n, bool reply, int think, eng_tokens *out, char *err);

/* template.c: what the template's text says. */
void vocab_chat_read(const gguf_file *f, vocab_chat *out);
void vocab_chat_free(vocab_chat *);

#endif
