/* model/pace: when what is drawn. Keys and what they bring are drawn at once, at most a frame in 16 ms. A running answer brings
 * a token in 7 ms: its words are drawn 20 times a second, all else that follows it (panels, status, how far long work is) 5 times.
 * Between two frames its events lie in their queue, so that neither thread wakes for each. Front-end thread; never draws. */
#include "tui/model/app.h"

enum { ALL_MS = 16, TEXT_MS = 50, PANELS_MS = 200, STILL_MS = 1000 };

void tui_owe(tui_app *app, const agt_event *e)
{
    tui_owed *o = &app->owed;
    switch (e->kind) {
    case AGT_EV_TOKEN: o->text = o->panels = true; break;
    case AGT_EV_LOADING: case AGT_EV_PREFILL: case AGT_EV_PROGRESS:
        if (e->total) o->panels = true;
        else o->all = true;                     /* it ended */
        break;
    default: o->all = true;
    }
}

static int64_t panels_ms(const tui_app *app) { return app->ui.motion ? PANELS_MS : STILL_MS; }

/* Before the next words would be drawn: one frame for both. */
bool tui_panels_due(const tui_app *app) { return app->owed.panels && app->owed.all_at + panels_ms(app) < app->now + TEXT_MS; }

int tui_app_due(const tui_app *app)
{
    const tui_owed *o = &app->owed;
    int64_t at = INT64_MAX;
    if (o->all) at = (o->all_at > o->text_at ? o->all_at : o->text_at) + ALL_MS;
    else {
        if (o->text) at = o->text_at + TEXT_MS;
        if (o->panels && o->all_at + panels_ms(app) < at) at = o->all_at + panels_ms(app);
    }
    return at == INT64_MAX ? -1 : at <= app->now ? 0 : (int)(at - app->now);
}

int tui_app_rest(const tui_app *app)
{
    const tui_owed *o = &app->owed;
    int64_t left = o->text_at + TEXT_MS - app->now;
    return o->all || !(o->text || o->panels) || left <= 0 ? 0 : (int)left;
}
