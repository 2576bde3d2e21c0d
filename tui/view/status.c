/* view/status: the top line: model, experts, context, speed. Front-end thread. What does not fit is left out from the
 * least important on; numbers keep their width, so that nothing jumps. */
#include "tui/tui.h"
#include "tui/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is left out, each level with those before it. */
enum { NO_COST = 1, SHORT_PARAMETERS, NO_PARAMETERS, CUT_LABEL, NO_RIBBON, NO_DEVICE, LEVELS = NO_DEVICE };

static void context_bar(tui_app *app, q_buf *b, double share, int bar)
{
    static const char *const eighth[8] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    if (!app->ui.glyphs) { q_buf_printf(b, "%3d%%", (int)(share * 100 + 0.5)); return; }
    int n = (int)(share * bar * 8 + 0.5);
    if (n > bar * 8) n = bar * 8;
    if (n == 0 && share > 0) n = 1;
    q_buf_puts(b, "▕");
    for (int i = 0; i < bar; i++) q_buf_puts(b, n >= (i + 1) * 8 ? "█" : n > i * 8 ? eighth[n - i * 8] : " ");
    q_buf_puts(b, "▏");
}

/* The ribbon: who made the cached tokens, in order, then what is free. Zero-width where the model's own made all. */
enum { RIBBON = 24 };
typedef struct ribbon { char letter[RIBBON]; int by[RIBBON], n; } ribbon;     /* letter 0: goes on; by -1: free */

static int run_letter(const tui_app *app, int i)
{
    int l = tui_tr_letter_of_cells(&app->tr, app->seen.turned.run[i].forward);
    return l < 0 ? app->tr.n_hue + 1 : l;
}

/* Each run in proportion, but two cells at least; the oldest give way where there are too many. */
static ribbon ribbon_of(const tui_app *app, int cells)
{
    const agt_turned *t = &app->seen.turned;
    int by[AGT_RUNS], tokens[AGT_RUNS], n = 0, total = 0, from;
    bool own = true;
    ribbon r = {.n = 0};
    for (int i = 0; i < t->n_run; i++) {
        int l = run_letter(app, i);
        own = own && !l;
        if (n && by[n - 1] == l) tokens[n - 1] += t->run[i].cells;
        else { by[n] = l; tokens[n++] = t->run[i].cells; }
    }
    if (own || cells < 4 || app->seen.st.ctx_size <= 0) return r;
    from = n > (cells - 1) / 2 ? n - (cells - 1) / 2 : 0;
    for (int i = from; i < n; i++) total += tokens[i];
    int used = (int)((double)cells * app->seen.st.ctx_used / app->seen.st.ctx_size + .5), least = 2 * (n - from);
    if (used < least) used = least;
    if (used > cells - 1) used = cells - 1;
    int spare = used - least, sum = 0, at = 0;
    for (int i = from; i < n; i++) {
        sum += tokens[i];
        int to = 2 * (i - from + 1) + (total ? (int)((double)spare * sum / total + .5) : 0);
        for (bool first = true; at < to; at++, first = false) { r.by[at] = by[i]; r.letter[at] = (char)(first ? tui_letter(by[i]) : 0); }
    }
    for (; at < cells; at++) r.by[at] = -1;
    r.n = cells;
    return r;
}

static void draw_ribbon(const tui_app *app, const ribbon *r, tui_grid *g, int y, int x, int end)
{
    for (int i = 0; i < r->n; i++, x++) {
        char s[2] = { r->letter[i], 0 };
        const char *cell = r->letter[i] ? s : r->by[i] < 0 ? app->ui.glyphs ? "░" : "." : app->ui.glyphs ? "▓" : "=";
        tui_put(g, y, x, x + 1 < end ? x + 1 : end, cell, r->by[i] < 0 ? S_FAINT : tui_hue(r->by[i]));
    }
}

static void per_token(q_buf *b, double bytes)
{
    char w[32];
    q_buf_printf(b, _(" · %s/tok"), q_bytes_brief((uint64_t)bytes, w));
}

/* Level 0 says all. */
static void middle(tui_app *app, int level, q_buf *k, q_buf *ctx, ribbon *r)
{
    const agt_status *st = &app->seen.st;
    char a[16], t[16];
    q_buf_clear(k);
    q_buf_clear(ctx);
    if (st->n_expert > 0) {
        if (st->k >= 0) q_buf_printf(k, "k %d/%d", st->k, st->n_expert);
        else q_buf_printf(k, _("k by layer/%d"), st->n_expert);
    } else if (st->loaded) q_buf_puts(k, view_server(st) ? _("on a server") : _("dense"));
    if (st->params_total && level < NO_PARAMETERS) {
        q_buf_puts(k, " · ");
        q_buf_printf(k, level < SHORT_PARAMETERS ? _("%s of %s active") : "%s/%s", view_count(a, (double)st->params_active), view_count(t, (double)st->params_total));
    }
    if (st->bytes_per_token && level < NO_COST) per_token(k, (double)st->bytes_per_token);
    if (!st->ctx_size) return;
    q_buf_puts(ctx, _("ctx "));
    *r = ribbon_of(app, level < NO_RIBBON ? app->grid.w < 100 ? 7 : app->grid.w < 150 ? 11 : RIBBON : 0);
    for (int i = 0; i < r->n; i++) q_buf_putc(ctx, ' ');         /* drawn over it */
    if (level < NO_RIBBON && !r->n) context_bar(app, ctx, (double)st->ctx_used / st->ctx_size, app->grid.w < 150 ? 3 : 6);
    if (level < NO_COST) q_buf_printf(ctx, _(" %5d of %d"), st->ctx_used, st->ctx_size);
    else q_buf_printf(ctx, level < NO_RIBBON ? " %d" : "%d", st->ctx_used);
}

/* A file's name for itself may be long: cut, so that the numbers keep their room. */
static void name(q_buf *b, const char *s, int cells)
{
    size_t n = strlen(s), fit = tui_text_fit(s, n, cells, NULL);
    if (fit < n) fit = tui_text_fit(s, n, cells - 1, NULL);
    q_buf_add(b, s, fit);
    if (fit < n) q_buf_puts(b, "…");
}

/* What differs from the model's own settings is the last thing to go: cut where it must be, and at the least a star.
 * The model's own settings are said where there is room. */
static void configuration(const tui_app *app, q_buf *left, int level, int room)
{
    const agt_status *st = &app->seen.st;
    const agt_turned *t = &app->seen.turned;
    if (!st->loaded) return;
    const char *differs = t->label[0] ? t->label : st->label;
    bool own = !*differs;
    char *label = own ? q_strdup(_("standard")) : t->key ? q_printf("%c %s", tui_letter(tui_tr_letter(&app->tr, t->key)), differs) : q_strdup(differs);
    int w = tui_str_width(label), have = room - tui_str_width(left->p), least = level < NO_RIBBON ? 16 : 8;
    if (own ? level < SHORT_PARAMETERS && have >= 3 + w : level < CUT_LABEL || have >= 3 + w) q_buf_printf(left, " · %s", label);
    else if (!own && have >= 3 + least) {
        q_buf_puts(left, " · ");
        name(left, label, have - 3);
    } else if (!own && level < LEVELS) q_buf_printf(left, " · %s", label);          /* too long: the next level's room is needed */
    else if (!own && t->key) q_buf_printf(left, " *%c", tui_letter(tui_tr_letter(&app->tr, t->key)));
    else if (!own) q_buf_puts(left, " *");
    free(label);
}

/* How many experts lay where they ran; of those on the disk, how fast they came and how much of the time was waited for them. */
static void experts(q_buf *out, const agt_status *st, int width)
{
    char w[32];
    double there = 100 * st->experts.there, waited = 100 * (st->experts.waited < 1 ? st->experts.waited : 1);
    if (!(there > 0) || (width < 80 && !st->experts.disk)) return;       /* below, the speed would go for it */
    if (!st->experts.disk) q_buf_printf(out, width < 100 ? _("%.0f%% on the GPU · ") : _("%.0f%% of experts on the GPU · "), there);
    else if (width < 140) q_buf_printf(out, _("%.0f%% here, disk %.0f%% · "), there, waited);
    else q_buf_printf(out, _("%.0f%% of experts in memory, disk %s/s, waited for %.0f%% of the time · "), there, q_bytes_brief((uint64_t)st->experts.speed, w), waited);
}

void view_status(tui_app *app, tui_box b)
{
    tui_grid *g = &app->grid;
    const agt_status *st = &app->seen.st;
    q_buf left = {0}, k = {0}, ctx = {0}, right = {0};
    ribbon r = {.n = 0};
    size_t named = 0;                        /* bytes of the model's name */
    if (st->prefill && st->rate.prefill > 0) q_buf_printf(&right, _("prefill %4.0f tok/s"), st->rate.prefill);
    else if (st->paused && st->busy) q_buf_printf(&right, b.w >= 100 ? _("paused at token %d · → one more") : _("paused at %d · →"), st->n_tokens);
    else if (st->paused) q_buf_puts(&right, _("paused · F6 goes on"));
    else if (app->work.mean_what && app->work.mean_percent >= 0 && !agt_answering(app->a)) q_buf_printf(&right, _("by meaning %d%%"), app->work.mean_percent);
    else if (tui_rate_known(st->rate.decode, st->model)) {
        experts(&right, st, b.w);
        if (b.w >= 100 && st->drafts.said >= 0 && st->drafts.rest) q_buf_puts(&right, _("drafts rest · "));
        else if (b.w >= 100 && st->drafts.said > 0) q_buf_printf(&right, _("%.0f%% of drafts said · "), 100 * st->drafts.said);
        q_buf_printf(&right, b.w >= 100 ? _("decode %4.0f tok/s") : _("%4.0f tok/s"), st->rate.decode);
    }
    int rw = tui_str_width(right.p ? right.p : ""), level = 0, lw, kw, cw;
    for (;; level++) {
        q_buf_clear(&left);
        const char *coming = app->work.loading ? app->work.load_what : NULL;
        name(&left, st->model[0] ? st->model : coming ? coming : _("no model · /model"), !st->model[0] ? b.w : b.w / 5 < 16 ? 16 : b.w / 5);
        if (st->model[0] && st->device[0] && level < NO_DEVICE) q_buf_printf(&left, " · %s", st->device);
        named = left.len;
        middle(app, level, &k, &ctx, &r);
        kw = tui_str_width(k.p ? k.p : "");
        cw = tui_str_width(ctx.p ? ctx.p : "");
        configuration(app, &left, level, b.w - 2 - (kw ? 2 + kw : 0) - (cw ? 2 + cw : 0) - (rw ? 2 + rw : 0));
        lw = tui_str_width(left.p);
        if (level == LEVELS || 1 + lw + (kw ? 2 : 0) + kw + (cw ? 2 : 0) + cw + (rw ? 2 : 0) + rw + 1 <= b.w) break;
    }
    int x = tui_put_cut(g, b.y, b.x + 1, b.x + b.w - 1, left.p, S_TITLE);
    if (app->seen.turned.key && left.len > named) {      /* what differs, in its hue */
        size_t skip = left.p[named + 1] == '*' ? 1 : strlen(" · ");
        char *before = q_strndup(left.p, named + skip);
        tui_put_cut(g, b.y, b.x + 1 + tui_str_width(before), b.x + b.w - 1, left.p + named + skip, tui_hue(tui_tr_letter(&app->tr, app->seen.turned.key)));
        free(before);
    }
    int spare = b.w - 2 - lw - kw - cw - rw, gaps = (kw > 0) + (cw > 0) + (rw > 0), gap = spare / (gaps ? gaps : 1);
    if (gap < 2) gap = 2;
    if (gap > 12) gap = 12;
    if (kw) x = tui_put_cut(g, b.y, x + gap, b.x + b.w - 1, k.p ? k.p : "", st->paused ? S_WARN : S_STATUS);
    if (cw) {
        const char *p = ctx.p;
        x += gap;
        tui_glyph gl;
        for (size_t i = 0; i < ctx.len;) {
            size_t n = tui_glyph_next(p + i, ctx.len - i, &gl);
            bool bar = n == 3 && (unsigned char)p[i] == 0xE2 && (unsigned char)p[i + 1] == 0x96;
            x = tui_putn(g, b.y, x, b.x + b.w - 1, p + i, n, bar ? S_BAR : S_STATUS);
            i += n;
        }
        draw_ribbon(app, &r, g, b.y, x - cw + tui_str_width(_("ctx ")), b.x + b.w - 1);
    }
    if (rw) tui_put_right(g, b.y, x + 1, b.x + b.w - 1, right.p, st->paused ? S_WARN : S_STATUS);
    q_buf_free(&left);
    q_buf_free(&k);
    q_buf_free(&ctx);
    q_buf_free(&right);
}
