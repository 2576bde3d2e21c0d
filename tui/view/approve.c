/* view/approve: the tool that a person is asked about, over the lower part of the conversation, and the plan below it. Front-end thread. */
#include "tui/view/view.h"

#include <stdlib.h>
#include <string.h>

static enum tui_style style_of(const char *line, bool diff)
{
    if (!diff) return S_TEXT;
    return strncmp(line, "+++", 3) == 0 || strncmp(line, "---", 3) == 0 || *line == '\\' ? S_DIM : *line == '+' ? S_ACCENT : *line == '-' ? S_ERROR : *line == '@' ? S_QUOTE : S_TEXT;
}

static void lay_shown(tui_lay *l, const agt_call *c, int w)
{
    for (const char *s = c->shown ? c->shown : ""; *s;) {
        size_t n = strcspn(s, "\n");
        tui_lay_plain(l, s, n, w, "", style_of(s, c->diff));
        if (!n) tui_lay_blank(l);
        s += n + (s[n] == '\n');
    }
}

/* Why it is asked, and where: what a person must not overlook stands there, so it is never cut for its width. */
static void lay_why(tui_lay *l, const agt_call *c, int w)
{
    if (c->question) return;
    bool where = c->folder && *c->folder;
    char *why = q_printf("%s%s%s", c->policy ? c->policy : "", where ? " · " : "", where ? c->folder : "");
    tui_lay_plain(l, why, strlen(why), w, "", c->risky ? S_WARN : S_DIM);
    free(why);
}

static char *keys_of(const agt_call *c, bool typing)
{
    if (c->question) return q_strdup(_("Enter answers · Ctrl-C or Esc stops"));
    if (c->asks == AGT_ASKS_SERVER && !typing) return q_strdup(_("y until quorum ends · f always, as it is now · n no"));
    if (c->asks == AGT_ASKS_FORM && !typing) return q_strdup(_("y answer it · n decline · Esc stops the answer"));
    if (c->asks == AGT_ASKS_SIGN) return q_strdup(typing ? _("Enter hands over the address · Esc back") : _("y sign in · n no · e put in the address that the browser ended at"));
    if (typing) return q_strdup(_("Enter says no and why · Esc back"));
    return c->rule ? q_printf(_("y once · a in this conversation · f always in this folder (%s) · n no · e no, and why"), c->rule)
                   : q_strdup(_("y once (asked about each time) · n no · e no, and why"));
}

static char *title_of(const agt_call *c)
{
    if (c->asks == AGT_ASKS_SERVER)
        return q_printf(c->diff ? _("May the model use what is new of the server %s?") : _("May the model use the server %s?"), c->title);
    if (c->asks == AGT_ASKS_SIGN) return q_printf(_("The server %s asks for a sign-in"), c->title);
    if (c->asks == AGT_ASKS_FORM) return q_printf(_("The server %s asks"), c->title);
    return c->question ? q_strdup(_("The model asks")) : q_printf(_("The model wants to: %s"), c->title);
}

void view_approve(tui_app *app)
{
    enum { FRAME = 2, WHY_MOST = 3 };                        /* the rule above and the caption; lines of why it is asked */
    tui_approve *p = &app->seen.approve;
    tui_grid *g = &app->grid;
    tui_box t = app->lay.transcript;
    tui_lay l = {0}, keys = {0}, why = {0};
    int w = t.w - 4;
    char *hint = keys_of(&p->call, p->typing), *title = title_of(&p->call);
    lay_shown(&l, &p->call, w);
    tui_lay_plain(&keys, hint, strlen(hint), w, "", S_PROMPT);
    lay_why(&why, &p->call, w);
    int n_why = why.n_line < 1 ? 1 : why.n_line < WHY_MOST ? (int)why.n_line : WHY_MOST, below = (int)keys.n_line + n_why, h = (int)l.n_line + below + FRAME;
    h = h > t.h ? t.h : h;
    int rows = h - below - FRAME, y = t.y + t.h - h;
    if (rows < 0) rows = 0;
    if (p->top > (int)l.n_line - rows) p->top = (int)l.n_line - rows;
    if (p->top < 0) p->top = 0;
    tui_fill(g, y, t.x, t.w, h, S_TEXT);
    for (int x = t.x; x < t.x + t.w; x++) tui_put(g, y, x, x + 1, app->ui.glyphs ? "─" : "-", S_RULE);
    int more = (int)l.n_line - rows - p->top;
    char *left = more > 0 ? q_printf(ngettext("%d more line · PgDn", "%d more lines · PgDn", (unsigned long)more), more) : NULL;
    tui_put_cut(g, ++y, t.x + 1, t.x + t.w - 1 - (left ? tui_str_width(left) + 2 : 0), title, S_TITLE);
    if (left) tui_put_right(g, y, t.x, t.x + t.w - 1, left, S_DIM);
    for (int i = 0; i < rows; i++) tui_lay_draw(&l, (uint32_t)(p->top + i), g, ++y, t.x + 2, t.x + t.w - 1);
    for (int i = 0; i < n_why && y < t.y + t.h - 1; i++, y++)
        if (i < (int)why.n_line) tui_lay_draw(&why, (uint32_t)i, g, y + 1, t.x + 1, t.x + t.w - 1);
    for (uint32_t i = 0; i < keys.n_line && y < t.y + t.h - 1; i++) tui_lay_draw(&keys, i, g, ++y, t.x + 1, t.x + t.w - 1);
    p->drawn = p->drawn || rows >= ((int)l.n_line < 3 ? (int)l.n_line : 3);     /* what cannot be seen cannot be allowed */
    tui_lay_free(&l);
    tui_lay_free(&keys);
    tui_lay_free(&why);
    free(left);
    free(title);
    free(hint);
}

/* ---- the plan ---- */
enum { PLAN_MOST = 8 };

int view_plan_rows(const tui_app *app)
{
    int n = 0;
    for (const char *s = app->seen.plan; s && *s && n < PLAN_MOST; n++) s += strcspn(s, "\n") + (s[strcspn(s, "\n")] == '\n');
    int most = app->lay.transcript.h / 3;
    return n && most > 1 ? (n < most ? n + 1 : most) : 0;
}

void view_plan(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    int y = b.y, rows = b.h - 1, doing = 0, n = 0;
    tui_fill(g, b.y, b.x, b.w, b.h, S_TEXT);
    view_caption(app, (tui_box){ b.x, b.y, b.w, 1 }, _("the plan"), NULL, false);
    for (const char *s = app->seen.plan; *s; n++, s += strcspn(s, "\n") + (s[strcspn(s, "\n")] == '\n')) if (strncmp(s, "[>]", 3) == 0) doing = n;
    int skip = doing >= rows ? doing - rows + 1 : 0;         /* what is being done is seen */
    for (const char *s = app->seen.plan; *s && rows > 0; s += strcspn(s, "\n") + (s[strcspn(s, "\n")] == '\n')) {
        if (skip-- > 0) continue;
        char *line = q_strndup(s, strcspn(s, "\n"));
        tui_put_cut(g, ++y, b.x + 1, b.x + b.w - 1, line, strncmp(line, "[x]", 3) == 0 ? S_DIM : strncmp(line, "[>]", 3) == 0 ? S_ACCENT : S_TEXT);
        free(line);
        rows--;
    }
}
