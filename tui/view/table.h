/* view/table: the panels, a row each, in the order in which they are drawn and offered keys. To add one: its file in this
 * folder with a `const tui_view view_NAME`, its name below, a saved screen. */
#ifndef TUI_VIEW_TABLE_H
#define TUI_VIEW_TABLE_H

#include "tui/model/app.h"

#define TUI_VIEWS(X) X(chats) X(experts) X(memory) X(config) X(energy) X(advise) X(modules) X(teach) X(layer) X(page) X(map) X(columns) X(found) X(walk) X(token)

#define X(name) extern const tui_view view_##name;
TUI_VIEWS(X)
#undef X

extern const tui_view *const tui_views[];
int tui_views_count(void);

#endif
