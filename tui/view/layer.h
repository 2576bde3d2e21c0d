/* view/layer: one layer's routing in numbers, as a page. */
#ifndef TUI_VIEW_LAYER_H
#define TUI_VIEW_LAYER_H

#include "tui/model/app.h"

void view_layer_page(tui_app *app, int layer);          /* layer: from 0 among the routed ones */

#endif
