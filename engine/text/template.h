/* engine/text/template: kinds of conversation frames as rows: how a file's own chat template is recognised, what it changes,
 * and how a conversation is written. It reads the template's text for known marks and never runs Jinja. Immutable, any
 * thread. Private to engine; other rooms call eng_template. */
#ifndef QUORUM_TEMPLATE_H
#define QUORUM_TEMPLATE_H

#include "engine/text/vocab.h"

/* How thinking is marked in every frame that knows it. */
#define CHAT_THINK "<think>"
#define CHAT_UNTHINK "</think>"

/* What tokenizer.chat_template says, as far as the kinds of template.c go. */
typedef struct chat {
    const struct chat_kind *kind;  /* the frame that conversations are put in                            */
    bool has;                      /* the file has a chat template                                       */
    bool thinks;                   /* it knows enable_thinking, or opens with <think>                     */
    bool dated;                    /* it always writes a system turn with dates (Llama 3.1)               */
    bool opens_think;              /* its reply always begins with <think> (Qwen3-Thinking)              */
    bool strips_think;             /* thinking of past replies is dropped                                */
    bool replays_turn;             /* but kept in replies after the last question (Qwen3, tool loops)    */
    bool tool_response;            /* tool results come inside a user turn, in <tool_response>           */
    char *system;                  /* the system prompt it adds when none is given, or NULL              */
    char *note;                    /* NULL, or why conversations with this model are refused              */
} chat;

void chat_read(const gguf_file *f, chat *out);
void chat_free(chat *);
/* As eng_template; Q_FORMAT with the note where the template is not known. */
int chat_render(const chat *, const vocab *, const eng_message *m, int n, bool reply, int think, eng_tokens *out, char *err);
/* As eng_thinking. */
bool chat_thinking(const chat *, const vocab *, const int32_t *id, int n);
/* The token that ends a turn in this frame, as it is spelt; NULL where the frame is not known. */
const char *chat_end(const chat *);

#endif
