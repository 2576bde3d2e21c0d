/* view/table: see table.h. */
#include "tui/view/table.h"

const tui_view *const tui_views[] = {
#define X(name) &view_##name,
    TUI_VIEWS(X)
#undef X
};
_Static_assert(sizeof tui_views / sizeof *tui_views <= TUI_VIEWS_MAX, "each panel has its cursor");

int tui_views_count(void) { return (int)(sizeof tui_views / sizeof *tui_views); }
