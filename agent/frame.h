/* agent/frame: text of others in the prompt: quoted line by line under a label of one line, so that nothing in it can pass for
 * the frame around it or for a person's words. Plain functions; English on purpose, and dates are UTC: what a model reads
 * depends on neither the interface's language nor the time zone. */
#ifndef QUORUM_AGENT_FRAME_H
#define QUORUM_AGENT_FRAME_H

#include "rag/rag.h"

void frame_line(q_buf *out, const char *s);              /* s as one line: breaks and control characters become blanks */
void frame_quote(q_buf *out, const char *s, size_t n);   /* each line after "> ", whatever breaks it; ends with a line's end */
void frame_passages(q_buf *out, const rag_result *r);    /* those that are fed, with their numbers; nothing where none is */
/* What stands for turns that are left out: a summary, quoted, and lines beside it that stay as they are (each ends with a line's end). */
void frame_summary(q_buf *out, const char *text, const char *fixed);
char *frame_attach(const char *question, const char *text, size_t n);    /* agt_attach */
size_t frame_question(const char *message);              /* bytes of a message before what frame_attach put beside it */
/* Does a line lay something down ("Rule: …", "Правило: …")? *skip: blanks before it. */
bool frame_rule(const char *line, size_t n, size_t *skip);
/* A stranger's text that stands as a question: each line of it that would pass for a rule of the person's stands behind "> ". */
void frame_no_rules(q_buf *out, const char *s, size_t n);
/* What the frames cost beside the passages' texts: two texts to be counted, once a prompt and once a passage. */
extern const char frame_once[], frame_each[];

#endif
