/* view/layer: one layer's routing in numbers, as a page: every expert's rate beside its usual one, and the last token's
 * choice. Front-end thread; reads the app's copy of the routing. Numbers of different layers are never put together. */
#include "tui/view/layer.h"
#include "tui/view/view.h"

#include <math.h>
#include <stdlib.h>

typedef struct row { int expert; double ratio; } row;

static int by_ratio(const void *a, const void *b)
{
    const row *x = a, *y = b;
    return x->ratio < y->ratio ? 1 : x->ratio > y->ratio ? -1 : x->expert - y->expert;
}

/* Right-aligned in its column whatever the language's word is. */
static void column(q_buf *b, const char *s, int cells)
{
    q_buf_printf(b, "%*s%s", cells - tui_str_width(s) > 1 ? cells - tui_str_width(s) : 1, "", s);
}

void view_layer_page(tui_app *app, int layer)
{
    const agt_routing *r = &app->seen.rt;
    static const char *const word[5] = { N_("far less"), N_("less"), N_("usual"), N_("more"), N_("far more") };
    if (layer < 0 || layer >= r->n_layer || !r->cell) return;
    int n = r->n_expert;
    const agt_cell *c = r->cell + (size_t)layer * (size_t)n;
    row *order = q_alloc(sizeof *order * (size_t)n);
    for (int e = 0; e < n; e++) order[e] = (row){ e, ((double)c[e].rate + 1e-4) / ((double)c[e].usual + 1e-4) };
    qsort(order, (size_t)n, sizeof *order, by_ratio);
    char a[8], m[8], t[8];
    q_buf b = {0};
    q_buf_printf(&b, _("Last token: entropy %s, margin %s. How unusual the layer is now: %s."),
                 view_frac(a, r->entropy && n > 1 ? (double)r->entropy[layer] / log(n) : NAN), view_frac(m, r->margin ? (double)r->margin[layer] : NAN),
                 view_frac(t, r->strange ? (double)r->strange[layer] : NAN));
    q_buf_puts(&b, "\n");
    q_buf_puts(&b, r->stored ? _("Rates are shares of the stored answer's tokens.") : _("Rates are decayed over the last 32 tokens; usual is this model's own rate at this k."));
    q_buf_puts(&b, "\n\n");
    static const char *const head[5] = { N_("expert"), N_("rate"), N_("usual"), N_("times"), N_("weight") };
    static const int wide[5] = { 8, 10, 10, 10, 10 };
    for (int i = 0; i < 5; i++) column(&b, _(head[i]), wide[i]);
    q_buf_puts(&b, "\n");
    for (int i = 0; i < n; i++) {
        int e = order[i].expert, d = c[e].dev < -2 ? -2 : c[e].dev > 2 ? 2 : c[e].dev;
        double w = NAN;
        const uint16_t *now = r->now ? r->now + (size_t)layer * (size_t)r->k_max : NULL;
        for (int k = 0; now && k < r->k_max && now[k] != 0xFFFF; k++)
            if (now[k] == e && r->now_weight) w = (double)r->now_weight[(size_t)layer * (size_t)r->k_max + (size_t)k];
        q_buf_printf(&b, "%*d", wide[0], e);
        column(&b, view_frac(a, (double)c[e].rate), wide[1]);
        column(&b, view_frac(a, (double)c[e].usual), wide[2]);
        if (c[e].usual > 0) q_buf_printf(&b, "%*.2f", wide[3], (double)(c[e].rate / c[e].usual));
        else column(&b, "–", wide[3]);
        column(&b, !c[e].now ? "–" : isnan(w) ? app->ui.glyphs ? "●" : "*" : view_frac(a, w), wide[4]);
        if (c[e].bent) q_buf_printf(&b, "   %s", c[e].bent == LAB_PINNED ? _("pinned") : _("banned"));
        else if (c[e].dev) q_buf_printf(&b, "   %s", _(word[d + 2]));
        if (c[e].breaks) q_buf_printf(&b, "   %s", _("breaks the model when it is missing (/guard)"));
        q_buf_puts(&b, "\n");
    }
    char *title = q_printf(_("Layer %d"), r->first_layer + layer);
    tui_go_page(app, title, b.p);
    free(title);
    free(order);
    q_buf_free(&b);
}
