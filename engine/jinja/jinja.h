/* engine/jinja: chat templates as files have them: the Jinja that such templates use, run as Python's jinja2 runs it under
 * transformers (immutable sandbox, trim_blocks, lstrip_blocks, loopcontrols, generation). What it does not know is refused by
 * name, with line and column. Steps, depth, memory and the result's length have bounds. A template is immutable once read:
 * any thread, several at once. Private to engine; other rooms call eng_template_*. Errors: base.h. */
#ifndef QUORUM_JINJA_H
#define QUORUM_JINJA_H

#include "engine/text.h"

typedef struct jinja jinja;
int jinja_new(const char *text, size_t n, jinja **out, char *err);     /* Q_FORMAT; at most 4 MiB */
void jinja_free(jinja *);              /* NULL is fine */
bool jinja_names(const jinja *, const char *word);       /* it stands somewhere as a name: a variable, an attribute */

typedef struct jinja_in {
    const eng_talk *talk;              /* what is said; its texts are somebody's, roles are the template's own words */
    const char *messages, *tools;      /* or both as JSON, as OpenAI's protocol has them; tools NULL: none. Where talk is NULL */
    size_t n_messages, n_tools;
    const char *bos, *eos;             /* as their tokens are spelt; NULL: the template is given none */
    int64_t now;                       /* Unix time in ms, of strftime_now; 0: there is none, and no such function */
    bool text_arguments;               /* arguments of calls as JSON text instead of a dict */
    bool no_tools_is_a_list;           /* where talk offers none: an empty list instead of None */
    int think; bool reply;             /* where talk is NULL */
    uint64_t most_steps; size_t most_bytes;      /* 0: the usual bounds */
} jinja_in;
/* Appends to text, and to mark (NULL: not wanted) as many bytes: 1 where text is somebody's, 0 where it is the template's. */
int jinja_render(const jinja *, const jinja_in *, q_buf *text, q_buf *mark, char *err);

#endif
