/* agent/history: see history.h. */
#include "agent/history.h"

#include <string.h>

void history_clear(history *h)
{
    for (int i = 0; i < h->n; i++)
        prov_config_free(h->v[i].cfg);
    memset(h, 0, sizeof *h);
    h->step = h->maker = h->before = -1;
}

/* What names a place keeps naming what stood there. */
static void moved(int *place, int from, int to)
{
    if (*place == from)
        *place = to;
    else if (from < *place && *place <= to)
        --*place;
    else if (to <= *place && *place < from)
        ++*place;
}

static void move(history *h, int from, int to)
{
    past p = h->v[from];
    if (from < to)
        memmove(h->v + from, h->v + from + 1, sizeof *h->v * (size_t)(to - from));
    else
        memmove(h->v + to + 1, h->v + to, sizeof *h->v * (size_t)(from - to));
    h->v[to] = p;
    moved(&h->at, from, to);
    moved(&h->maker, from, to);
    moved(&h->before, from, to);
}

/* The oldest goes, but never the present one, nor those that the effect is measured between. */
static void make_room(history *h)
{
    int i = 0;
    if (h->n < HISTORY_MAX)
        return;
    while (i == h->at || i == h->maker || i == h->before)
        i++;
    move(h, i, h->n - 1);
    prov_config_free(h->v[--h->n].cfg);
}

static bool same(const prov_config *a, const prov_config *b)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    q_buf x = { 0 }, y = { 0 };
    bool equal = prov_config_hash_all(a) == prov_config_hash_all(b);
    for (int i = 0; i < n && equal; i++)
        equal = strcmp(prov_config_get(a, k[i].name, &x), prov_config_get(b, k[i].name, &y)) == 0;
    q_buf_free(&x);
    q_buf_free(&y);
    return equal;
}

static int find(const history *h, const prov_config *c)
{
    int i = 0;
    while (i < h->n && !same(h->v[i].cfg, c))
        i++;
    return i < h->n ? i : -1;
}

void history_rest(history *h)
{
    if (h->n)
        move(h, h->at, h->n - 1);
    h->step = -1;
}

void history_turned(history *h, const prov_config *now)
{
    int i;
    if (!h->n)
        history_clear(h);
    history_rest(h);
    i = find(h, now);
    if (i < 0) {
        make_room(h);
        i = h->n++;
        h->v[i] = (past){ .cfg = prov_config_copy(now) };
    }
    move(h, i, h->n - 1);
    h->at = h->n - 1;
}

void history_under(history *h, const prov_config *below)
{
    if (find(h, below) >= 0)
        return;
    make_room(h);
    h->v[h->n++] = (past){ .cfg = prov_config_copy(below) };
    move(h, h->n - 1, 0);
}

int history_next(const history *h, int *step)
{
    *step = h->step;
    if (h->n < 2)
        return -1;
    if (h->at + *step < 0 || h->at + *step >= h->n)
        *step = -*step;
    return h->at + *step;
}

void history_go(history *h, int to, int step)
{
    h->at = to;
    h->step = step;
}

void history_made(history *h, const double value[TALLY_N])
{
    if (!h->n)
        return;
    if (h->maker != h->at) {
        h->before = h->maker;
        h->maker = h->at;
    }
    tally_add(&h->v[h->at].made, value);
}

void history_forget(history *h)
{
    for (int i = 0; i < h->n; i++)
        h->v[i].made = (tally){ 0 };
    h->maker = h->before = -1;
}
