/* model/folds: what of the composer's text is one step, and which of its rows a change touches. Front-end thread. */
#include "tui/model/edit.h"
#include "tui/term/text.h"

#include <string.h>

const tui_fold *tui_fold_from(const tui_edit *e, size_t i)
{
    for (int k = 0; k < e->folds.n; k++) if (e->folds.f[k].from == i) return &e->folds.f[k];
    return NULL;
}

const tui_fold *tui_fold_to(const tui_edit *e, size_t i)
{
    for (int k = 0; k < e->folds.n; k++) if (e->folds.f[k].to == i) return &e->folds.f[k];
    return NULL;
}

size_t tui_edit_step(const tui_edit *e, size_t i, const char **shown, size_t *n)
{
    const tui_fold *f = tui_fold_from(e, i);
    size_t l = f ? f->to - i : tui_cluster_next(e->b.p + i, e->b.len - i);
    if (shown) { *shown = f ? f->label : e->b.p + i; *n = f ? strlen(f->label) : l; }
    return i + l;
}

void tui_rows_changed(tui_rows *r, size_t from, size_t to, size_t n)
{
    if (!r->stale) { r->from = from; r->old_to = r->new_to = to; r->stale = true; }
    if (from < r->from) r->from = from;
    if (to > r->new_to) { r->old_to += to - r->new_to; r->new_to = to; }
    r->new_to = r->new_to - (to - from) + n;
}
