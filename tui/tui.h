/* tui: what is seen. The full screen (ncursesw) and the line editor (libedit), both on agent/agent.h alone. Owns the
 * terminal, themes and the interface language. Everything here runs in the one front-end thread; it never blocks on
 * the model or the disk, and gives the terminal back whatever happens. */
#ifndef QUORUM_TUI_H
#define QUORUM_TUI_H

#include "agent/agent.h"

typedef struct tui_options {
    const char *theme;      /* "dark", "light" or a path; NULL: the knob ui.theme, else dark */
} tui_options;

/* Language of the interface: "auto" (from LANG and its relatives), "en" or "ru"; NULL = auto. The first call must come
 * before any thread is started (it sets the locale); later calls only switch the catalogue. Numbers keep the C form. */
void tui_lang(const char *lang);

/* Whether these tokens a second were measured: no server's model says TUI_RATE_MOST in one answer, it was sent all at once. Small models of this
 * machine do. model: as the status names it. */
enum { TUI_RATE_MOST = 10000 };
static inline bool tui_rate_known(double rate, const char *model) { return rate > 0 && (*model != '@' || rate < TUI_RATE_MOST); }

/* Can this terminal carry the full screen: both ends a terminal, TERM known and able to move the cursor. */
bool tui_possible(void);

/* The full screen until the person leaves. 0, a negative q_result with err, or the positive number of the signal that
 * ended it (SIGTERM, SIGHUP): the terminal is already given back; the caller closes the agent and raises it again. */
int tui_run(agt *a, const tui_options *o, char *err);

/* In a handler of a signal that is to end the program, beside whatever tells the loop: async-signal-safe. From the first one
 * on the program has two seconds to end by itself (tui/term/ending.h). */
void tui_end_by(int sig);

/* The same conversation in a line editor. As tui_run. */
int tui_repl(agt *a, char *err);

#endif
