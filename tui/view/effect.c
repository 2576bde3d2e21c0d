/* view/effect: what the last turned knob did: speed, surprise, repeat and the routers' entropy, before and after, with the
 * noise of their difference. Front-end thread. */
#include "tui/view/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; const char *format; } row[AGT_MEASURES] = {
    [AGT_SPEED] = { N_("tok/s"), "%.0f" }, [AGT_SURPRISE] = { N_("surprise"), "%.1f" }, [AGT_REPEAT] = { N_("repeat"), "%.2f" },
    [AGT_ENTROPY] = { N_("entropy"), "%.2f" } };

static void number(q_buf *b, const char *format, double v)
{
    char s[32];
    if (isnan(v)) { q_buf_puts(b, "–"); return; }
    snprintf(s, sizeof s, format, v);
    q_buf_puts(b, s[0] == '0' && s[1] == '.' ? s + 1 : s);
}

/* "66 → 77 ±4"; *sure: the difference is above its noise. */
static void change(q_buf *b, int i, const agt_measured *m, bool *sure)
{
    number(b, row[i].format, m->before);
    q_buf_puts(b, " → ");
    number(b, row[i].format, m->after);
    *sure = !isnan(m->noise) && fabs(m->after - m->before) > m->noise;
    if (isnan(m->noise)) return;
    q_buf_puts(b, " ±");
    number(b, i == AGT_SURPRISE && m->noise < .1 ? "%.2f" : i == AGT_SPEED && m->noise < 1 ? "%.1f" : row[i].format, m->noise);
}

bool view_effect_words(const agt_measured of[AGT_MEASURES], int cells, q_buf *out)
{
    bool any_sure = false, few = false, known = false, said = false;
    q_buf_clear(out);
    q_buf_puts(out, "");
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < AGT_MEASURES; i++) {
            const agt_measured *m = &of[i];
            if (!m->n_before || !m->n_after) continue;
            few = few || isnan(m->noise);
            known = known || !isnan(m->noise);
            if (isnan(m->noise) || (fabs(m->after - m->before) > m->noise) != (pass == 0)) continue;
            q_buf s = {0};
            q_buf_printf(&s, "%s%s ", said ? " · " : "", _(row[i].name));
            number(&s, row[i].format, m->before);
            q_buf_puts(&s, "→");
            number(&s, row[i].format, m->after);
            size_t bare = s.len;
            q_buf_puts(&s, " ±");
            number(&s, i == AGT_SURPRISE && m->noise < .1 ? "%.2f" : i == AGT_SPEED && m->noise < 1 ? "%.1f" : row[i].format, m->noise);
            if (tui_str_width(out->p) + tui_str_width(s.p) > cells) s.p[s.len = bare] = 0;       /* its noise gives way first */
            if (tui_str_width(out->p) + tui_str_width(s.p) <= cells) {
                q_buf_puts(out, s.p);
                said = true;
                any_sure = any_sure || pass == 0;
            }
            q_buf_free(&s);
        }
    if (known && !said) q_buf_puts(out, "…");            /* it is said where there is more room */
    if (few && !known) q_buf_puts(out, cells < 24 ? _("too few yet") : _("too few tokens yet"));
    return any_sure;
}

/* A seed, a length: what shows in no token has no letter of its own, and nothing to say here (/history has it). */
static bool any(const agt_turned *t) { return t->before[0] && t->before_key != t->key; }
static bool few(const agt_turned *t) { return isnan(t->of[AGT_SPEED].noise) && isnan(t->of[AGT_SURPRISE].noise); }

int view_effect_rows(const tui_app *app) { return !any(&app->seen.turned) ? 0 : few(&app->seen.turned) ? 2 : 1 + AGT_MEASURES; }

int view_effect(tui_app *app, tui_box b)
{
    const agt_turned *t = &app->seen.turned;
    tui_grid *g = &app->grid;
    int y = b.y, end = b.x + b.w - 1, letter = tui_tr_letter(&app->tr, t->key);
    char by[2] = { tui_letter(letter), 0 };
    if (b.h < view_effect_rows(app) || !any(t)) return b.y;
    char *cap = q_printf(_("What %s did"), by), *tokens = q_printf(_("%c → %c, %d tok"), tui_letter(tui_tr_letter(&app->tr, t->before_key)), by[0], t->of[AGT_SPEED].n_after);
    view_caption(app, (tui_box){ b.x, y++, b.w, 1 }, cap, tokens, false);
    free(cap);
    free(tokens);
    if (few(t)) {
        tui_put_cut(g, y++, b.x + 1, end, _("too few tokens yet"), S_DIM);
        return y;
    }
    for (int i = 0; i < AGT_MEASURES; i++, y++) {
        q_buf s = {0};
        bool sure;
        change(&s, i, &t->of[i], &sure);
        int x = tui_put_cut(g, y, b.x + 1, end, _(row[i].name), S_DIM);
        tui_put_right(g, y, x + 1, end, s.p, sure ? tui_hue(letter) : S_DIM);
        q_buf_free(&s);
    }
    return y;
}

void view_effect_line(tui_app *app, tui_box b)
{
    const agt_turned *t = &app->seen.turned;
    tui_grid *g = &app->grid;
    int x = b.x + 1, end = b.x + b.w - 1, letter = tui_tr_letter(&app->tr, t->key);
    char by[2] = { tui_letter(letter), 0 };
    x = tui_put(g, b.y, x, end, by, tui_hue(letter));
    if (few(t)) { tui_put_cut(g, b.y, x + 2, end, _("too few tokens yet"), S_DIM); return; }
    for (int i = 0; i < AGT_MEASURES; i++) {
        q_buf s = {0};
        bool sure;
        q_buf_printf(&s, "%s ", _(row[i].name));
        change(&s, i, &t->of[i], &sure);
        if (x + 2 + tui_str_width(s.p) <= end) x = tui_put(g, b.y, x + 2, end, s.p, sure ? tui_hue(letter) : S_DIM);
        q_buf_free(&s);
    }
}
