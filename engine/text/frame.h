/* engine/text/frame: what the frames of template.c are written with: plain text is gathered and cut into tokens together with
 * the words of the frame around it, exactly as if the rendered whole were tokenised; marks are tokens of their own. No text
 * ever becomes a mark. One writer, one thread. Private to engine/text. */
#ifndef QUORUM_FRAME_H
#define QUORUM_FRAME_H

#include "engine/text/template.h"

typedef struct span { const char *p; size_t n; } span;
typedef struct frame { const vocab *v; q_buf plain; eng_tokens *out; char *err; int r; } frame;

void frame_text(frame *f, span s);
void frame_words(frame *f, const char *s);
void frame_mark(frame *f, const char *name);   /* where the vocabulary lacks it, its letters */
void frame_flush(frame *f);                    /* what was gathered, as ids; the first error stays in r */

const char *span_find(span s, const char *what);
bool span_begins(span s, const char *what);
bool span_ends(span s, const char *what);
span span_strip(span s, const char *set);      /* these characters off both ends, as str.strip of Python */
span span_lstrip(span s, const char *set);
span span_rstrip(span s, const char *set);
#define SPAN_SPACE " \t\n\r\v\f"

/* A reply that may begin with a thought: what stands between the last <think> and the first </think>, without newlines
 * around, and what follows the last </think>. Without </think> everything is content and inside is empty. */
void span_thought(span m, span *inside, span *content);

/* ---- the frames (chatml.c, families.c): what a template changes, and how a conversation is written ---- */
void chatml_read(span t, chat *c);
void chatml_render(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think);
void llama3_read(span t, chat *c);
void llama3_render(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think);
void glm45_read(span t, chat *c);
void glm45_render(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think);

#endif
