/* model/say: the sentence beside the composer and the log of all that was said. Owns its copies. Front-end thread; never
 * draws. */
#ifndef TUI_MODEL_SAY_H
#define TUI_MODEL_SAY_H

#include "agent/agent.h"

enum { TUI_LOG_MAX = 200 };

typedef struct tui_log_entry { int64_t wall_ms; int level; char *text; } tui_log_entry;
typedef struct tui_say {
    tui_log_entry log[TUI_LOG_MAX]; int n_log;              /* oldest first */
    char *note; int note_level; int64_t note_until;         /* NULL: nothing is said now */
} tui_say;

void tui_say_note(tui_say *s, int64_t now, int level, const char *text);   /* level: enum agt_level */
void tui_say_hush(tui_say *s);                              /* the sentence goes; the log keeps it */
void tui_say_free(tui_say *s);

char *tui_compacted(const agt_event *e);                   /* AGT_EV_COMPACTED in one line; malloc'ed */
const char *tui_paused(bool answering, bool on);            /* what a pause means, and its end */

#endif
