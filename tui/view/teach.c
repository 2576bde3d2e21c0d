/* view/teach: a run of /teach at work: phase, steps, losses, rate, speed, memory, time left, the curve. Front-end thread; draws what agt_get_teaching says. */
#include "tui/view/table.h"
#include "tui/view/view.h"

#include <stdlib.h>
#include <string.h>

enum { EMPTY_ROWS = 4, MOST_ROWS = 16 };

static void lines_of(const tch_state *s, int width, q_buf *out) { tch_state_say(s, width, out); }

static int height(tui_app *app, int width, int most)
{
    tch_state s;
    q_buf b = { 0 };
    int n = 1, room = width > 12 ? width - 3 : 9;
    (void)most;
    if (!agt_get_teaching(app->a, &s)) return EMPTY_ROWS;
    lines_of(&s, width - 2, &b);
    for (char *p = b.p; p && *p;) {
        char *end = p + strcspn(p, "\n");
        bool last = !*end;
        *end = 0;
        n += 1 + tui_str_width(p) / room;
        p = last ? end : end + 1;
    }
    q_buf_free(&b);
    return n < MOST_ROWS ? n : MOST_ROWS;
}

/* A line of the curve is a number or nothing, then points. */
static bool is_curve(const char *p, size_t n) { return memmem(p, n, "•", strlen("•")) != NULL; }

static int line(tui_app *app, tui_box b, int y, const char *p, size_t n, bool first)
{
    char *text = q_strndup(p, n), *at = text;
    enum tui_style st = first ? S_ACCENT : is_curve(p, n) ? S_BAR : S_TEXT;
    for (; !app->ui.glyphs && (at = strstr(at, "•")); at++) {
        *at = '*';
        memmove(at + 1, at + strlen("•"), strlen(at + strlen("•")) + 1);
    }
    if (st == S_BAR) tui_put_cut(&app->grid, y++, b.x + 1, b.x + b.w - 1, text, st);
    else y = view_words(app, b, y, 1, text, st);
    free(text);
    return y;
}

static void draw(tui_app *app, tui_box b)
{
    tch_state s;
    q_buf all = { 0 };
    bool focused = app->go.focus == &view_teach, any = agt_get_teaching(app->a, &s);
    view_caption(app, b, _("Teaching"), any ? s.name : "", focused);
    if (!any) {
        view_words(app, b, b.y + 1, 2, _("Nothing is being taught. /teach add FILE puts examples into a set, /teach run NAME begins, /teach list shows the sets; /better, /good and /train on teach from conversations."), S_DIM);
        return;
    }
    lines_of(&s, b.w - 2, &all);
    int y = b.y + 1, first = 1;
    for (const char *p = all.p; p && *p && y < b.y + b.h; first = 0) {
        size_t n = strcspn(p, "\n");
        y = line(app, b, y, p, n, first);
        p += n + (p[n] == '\n');
    }
    q_buf_free(&all);
}

static void stop(tui_app *app, int64_t id, const char *arg) { agt_submit(app->a, "/teach stop"); }

/* s is a letter that words have, too: it asks before it ends an hour's work. */
static void ask_stop(tui_app *app)
{
    tch_state s;
    bool runs = agt_get_teaching(app->a, &s) && s.phase >= TCH_OPENING && s.phase <= TCH_PROVING;
    if (!runs) { stop(app, 0, NULL); return; }
    char *say = q_printf(_("Stop teaching %s? It can be gone on with."), s.name);
    tui_ask_for(app, say, stop, 0, NULL);
    free(say);
}

static bool on_key(tui_app *app, const tui_key *k)
{
    switch (tui_key_letter(k)) {
    case 's': ask_stop(app); return true;
    case 'r': agt_submit(app->a, "/teach report"); return true;
    default: return false;
    }
}

const tui_view view_teach = {
    .name = "teach", .action = AGT_UI_TEACH, .place = AT_INSTEAD, .types = true,
    .hint = N_("s stop · r report · Esc back"), .height = height, .draw = draw, .on_key = on_key,
};
