/* engine/text/template: kinds of conversation frames as rows: how a file's own chat template is recognised, what it changes,
 * and how a conversation is written: fast, where the kind is known and writes what the template itself does, else by running
 * the template (own.h). Immutable, any thread. Private to engine; other rooms call eng_template. */
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
    struct jinja *own;             /* the file's own template, NULL: it cannot be used                    */
    bool slow;                     /* what the kind writes is not what the own template writes            */
    bool tools;                    /* tools can be offered                                               */
    const struct call_format *calls;       /* how the template has tools called, or NULL: not known       */
    const char *bos, *eos;         /* as the vocabulary spells them, or NULL: what the own template is given */
    int64_t now;                   /* the day that it is told where it must be                             */
} chat;

void chat_read(const gguf_file *f, chat *out);
void chat_free(chat *);
/* What the vocabulary adds to that, now: whether the fast way writes what the own template does. */
void chat_learn(chat *, const gguf_file *f, const vocab *v);
/* As eng_template; Q_FORMAT with the note where the template is not known. */
int chat_render(const chat *, const vocab *, const eng_message *m, int n, bool reply, int think, eng_tokens *out, char *err);
int chat_talk(const chat *, const vocab *, const eng_talk *, eng_tokens *out, char *err);      /* as eng_template_talk */
/* As eng_thinking. */
bool chat_thinking(const chat *, const vocab *, const int32_t *id, int n);
/* The token that ends a turn in this frame, as it is spelt; NULL where the frame is not known. */
const char *chat_end(const chat *);

#endif
