/* engine: text. Bytes to token ids and back by the model's own vocabulary, and conversations in the frame it was taught.
 * Pure functions of an open model: any thread. They never decide what a person's words mean: control tokens come
 * from templates only, unless a caller asks for them. Errors: base.h. */
#ifndef QUORUM_ENGINE_TEXT_H
#define QUORUM_ENGINE_TEXT_H

#include "engine/engine.h"

/* ================= vocabulary ================= */
/* Zero-initialise; eng_tokens_free. most > 0: what would make it longer fails with Q_RANGE as soon as that is seen, so that
 * a text far too long costs no more than one that fits. */
typedef struct eng_tokens { int32_t *id; int n, cap, most; } eng_tokens;
void eng_tokens_add(eng_tokens *, int32_t id);
void eng_tokens_free(eng_tokens *);

/* Appends the ids of text. special: control and user-defined tokens written in the text (<|im_end|>, </think>) become those
 * tokens; without it they are letters, whatever type or merges the file gives them: a person's words never open or close a
 * frame. User-defined runs of white space and elements of HTML are matched either way.
 * A vocabulary of SentencePiece puts a space before text (unless its file says no), also behind a token that is recognised. */
int eng_tokenize(const eng_model *, const char *text, size_t n, bool special, eng_tokens *out, char *err);
/* The bytes of one token ("" for control tokens); lives as long as the model. May be part of a character. */
const char *eng_token_bytes(const eng_model *, int32_t id, size_t *n);
const char *eng_token_name(const eng_model *, int32_t id);      /* as the file spells it */
bool eng_token_control(const eng_model *, int32_t id);
bool eng_token_end(const eng_model *, int32_t id);               /* ends a reply (eos, eot, eom) */
int32_t eng_token_begin(const eng_model *);                      /* to put before every text, or -1 where the file says no */

/* Streaming decode: bytes held back until a character is whole; the space that a vocabulary puts before text is left out. Zero where
 * a text begins, else what eng_detok_behind says of the token before the first one. */
typedef struct eng_detok { char part[4]; int n; bool inside; } eng_detok;
eng_detok eng_detok_behind(const eng_model *, int32_t id);       /* id -1: there is none */
/* The bytes of the next token as they are, whole characters or not; lives as long as the model. */
const char *eng_detok_bytes(const eng_model *, eng_detok *d, int32_t id, size_t *n);
void eng_detok_add(const eng_model *, eng_detok *d, int32_t id, q_buf *out);
void eng_detok_end(eng_detok *d, q_buf *out);                    /* an unfinished character becomes U+FFFD */

/* ================= templates ================= */
enum eng_role { ENG_SYSTEM, ENG_USER, ENG_ASSISTANT, ENG_TOOL };
typedef struct eng_call { const char *id, *name, *arguments; } eng_call;           /* id may be NULL; arguments: a JSON object */
typedef struct eng_more {                                /* what a message has beside its text */
    const char *thought; size_t n_thought;               /* of an answer */
    const eng_call *call; int n_call;                    /* that it makes */
    const char *id, *name;                               /* ENG_TOOL: of the call that it answers; NULL: not known */
} eng_more;
typedef struct eng_message { enum eng_role role; const char *text; size_t n; const eng_more *more; } eng_message;      /* more: NULL or a message's */
typedef struct eng_tool { const char *name, *help, *schema; } eng_tool;            /* schema: JSON of its arguments */
typedef struct eng_talk { const eng_message *message; int n; const eng_tool *tool; int n_tool; bool reply; int think; } eng_talk;
/* Appends the ids of a conversation; texts are plain, the frame's control tokens are real ones. With `reply` the opening
 * of an assistant message is added (and, when think == 0 on a thinking model, the empty think block).
 * think: -1 the model's own default, 0 off, 1 on. Q_FORMAT: the model's template cannot be written with (eng_info's frame.note). */
int eng_template(const eng_model *, const eng_message *m, int n, bool reply, int think, eng_tokens *out, char *err);
int eng_template_talk(const eng_model *, const eng_talk *, eng_tokens *out, char *err);      /* with tools and what messages have beside their texts */

/* A chat template as a file has it, written with as transformers would: text, control tokens by their names. */
typedef struct eng_render {
    const char *text; size_t n;                          /* the template */
    const char *bos, *eos;                               /* tokens as they are spelt; NULL: it is given none */
    const char *messages, *tools; size_t n_messages, n_tools;      /* JSON as OpenAI's protocol has them; tools NULL: none */
    bool reply; int think;                               /* as above */
    int64_t now;                                         /* Unix time in ms: what strftime_now says */
} eng_render;
int eng_template_render(const eng_render *, q_buf *out, char *err);
const char *eng_template_text(const eng_model *, size_t *n);       /* the model's own template, NULL: it has none; lives as long as the model */
const char *eng_template_token(const eng_model *, bool end);       /* how its first (BOS) or last (EOS) token is spelt; NULL: the file names none */

/* ================= calls of tools ================= */
/* An answer heard piece by piece (however it is cut): text, thoughts (where the format has them in a channel of their own) and the
 * bodies of calls as they come, calls when they are whole. */
enum eng_said { ENG_SAID_TEXT, ENG_SAID_CALL, ENG_SAID_THOUGHT };
typedef struct eng_heard {                               /* each may be NULL; strings are valid during the call */
    void *user;
    void (*said)(void *user, enum eng_said kind, const char *p, size_t n);
    void (*call)(void *user, const eng_call *);          /* id NULL: the format has none; arguments: a JSON object, checked for nothing else */
    void (*bad)(void *user, const char *sentence, const char *body);     /* a call that is none, and where */
} eng_heard;
typedef struct eng_calls eng_calls;                      /* one thread */
/* tools: what was offered (kept by the caller): formats without quotation marks ask their schemas what is text. NULL: nothing needs to be heard,
 * for the template knows no calls, or none are offered. */
eng_calls *eng_calls_new(const eng_model *, const eng_tool *, int n, const eng_heard *);
void eng_calls_add(eng_calls *, const char *p, size_t n);
void eng_calls_end(eng_calls *);
void eng_calls_free(eng_calls *);                        /* NULL is fine */
bool eng_calls_hears(const eng_model *, int32_t id);     /* a control token that a call is written with: its name is text for eng_calls_add */
const char *eng_calls_format(const eng_model *);         /* "Hermes", ...; NULL: none that is known */

/* How a thought begins and ends in a reply, as text. */
extern const char eng_think_open[], eng_think_close[];
/* The token is one of these two, control token or not: then its name is the text. */
bool eng_token_thinks(const eng_model *, int32_t id);
/* Whether the reply to a prompt of these ids begins inside a thought that the frame has opened. */
bool eng_thinking(const eng_model *, const int32_t *id, int n);

#endif
