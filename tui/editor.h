/* tui/editor: $VISUAL or $EDITOR on a file, in the terminal that the caller has given back. The UI thread. */
#ifndef TUI_EDITOR_H
#define TUI_EDITOR_H

#include <stdbool.h>

bool tui_editor(const char *path);       /* false: it did not end well, or there is none ($EDITOR names it; without one vi) */

#endif
