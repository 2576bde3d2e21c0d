/* engine/run/kv: the page pool behind kv.h. A page knows its place in a timeline, the chain before its first cell,
 * and each cell's token, chain, configuration and forced routing; that is enough to find it again for any branch.
 * Single-threaded, like the cache that owns it. It never looks at numbers inside a page. */
#include "engine/run/kv.h"
#include "engine/run/kept.h"
#include "engine/run/room.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct page {
    int refs;                          /* lines that hold it                                  */
    int index;                         /* which page of a timeline it is                      */
    int n;                             /* cells that are evaluated                            */
    uint64_t prev;                     /* chain before the first cell                         */
    uint64_t used;                     /* the pool's clock when it was last held              */
    int32_t token[KER_PAGE];
    uint64_t chain[KER_PAGE], config[KER_PAGE], forced[KER_PAGE];
} page;

struct kv_pool {
    const ker_backend *be;
    ker_kv *kv;
    kept *states;                      /* NULL: no layer is recurrent */
    uint64_t states_most;              /* bytes that they may take, whatever state.memory says */
    page *pages;
    int n;
    uint64_t clock;
};

int kv_pool_new(const ker_backend *be, ker_dev *dev, enum ker_kv_type type, int n_page, uint64_t outside, kv_pool **out, char *err)
{
    kv_pool *p = q_alloc(sizeof *p);
    p->be = be;
    p->n = n_page;
    p->pages = calloc((size_t)n_page, sizeof *p->pages);
    int rc = p->pages ? be->kv_new(dev, type, n_page, &p->kv, err)
                      : q_fail(err, Q_NOMEM, _("no memory for the cache's list of %d pages: lower context.length"), n_page);
    if (rc) {
        free(p->pages);
        free(p);
        return rc;
    }
    p->states = kept_new(be, dev, p->kv);
    uint64_t left = !p->states || be == ker_cpu() ? UINT64_MAX : be->memory(dev);
    p->states_most = left == UINT64_MAX || !left ? UINT64_MAX : left > ROOM_DRIVER + outside ? left - ROOM_DRIVER - outside : 0;
    *out = p;
    return 0;
}

void kv_pool_free(kv_pool *p)
{
    if (!p)
        return;
    kept_free(p->states);
    p->be->kv_free(p->kv);
    free(p->pages);
    free(p);
}

ker_kv *kv_pool_kv(kv_pool *p) { return p->kv; }
int kv_pages(const kv_pool *p) { return p->n; }

uint64_t kv_chain(uint64_t prev, int32_t token, int pos, uint64_t config, uint64_t forced)
{
    uint64_t h = q_mix64(prev, ((uint64_t)(uint32_t)token << 32) | (uint32_t)pos);
    h = q_mix64(h, config);
    return forced ? q_mix64(h, forced) : h;
}

static void hold(kv_pool *p, int id)
{
    p->pages[id].refs++;
    p->pages[id].used = ++p->clock;
}

/* The last page is the first to be evicted: earlier ones serve more branches. */
static void drop_pages(kv_pool *p, const int32_t *ids, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        assert(p->pages[ids[i]].refs > 0);
        p->pages[ids[i]].refs--;
        p->pages[ids[i]].used = ++p->clock;
    }
}

/* An empty page, else the one that was held longest ago. */
static int take(kv_pool *p)
{
    int best = -1;
    for (int i = 0; i < p->n; i++) {
        const page *g = &p->pages[i], *b = best < 0 ? NULL : &p->pages[best];
        if (g->refs == 0 && (!b || (g->n == 0) > (b->n == 0) || ((g->n == 0) == (b->n == 0) && g->used < b->used)))
            best = i;
    }
    if (best >= 0) {
        p->pages[best].n = 0;
        hold(p, best);
    }
    return best;
}

static void line_push(kv_line *l, int id)
{
    if (l->n_page == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->page = q_realloc(l->page, sizeof *l->page * (size_t)l->cap);
    }
    l->page[l->n_page++] = id;
}

/* ---- states of recurrent layers ---- */
enum { ON_THE_WAY = 2048 };            /* cells of a long text between two states that are kept of it */

typedef struct line_of { const kv_pool *p; const kv_line *line; } line_of;

static uint64_t chain_at(const void *user, int n)
{
    const line_of *l = user;
    return kv_cell_chain(l->p, l->line, n - 1);
}

static bool is_here(const void *user, int n, uint64_t chain)
{
    const line_of *l = user;
    return n > 0 && n <= l->line->n && chain_at(user, n) == chain;
}

static void leave_states(kv_pool *p, kv_line *line)
{
    if (!p || !p->states)
        return;
    kept_keep(p->states, line->state, KEPT_BORDER);
    kept_drop(p->states, line->state);
    kept_drop(p->states, line->next);
    line->state = line->next = 0;
}

/* The line, whose cells are there already, ends at the last state it has. */
static void settle_on_state(kv_pool *p, kv_line *line)
{
    int covers = 0;
    if (!p->states)
        return;
    line->state = kept_find(p->states, line->n, chain_at, &(line_of){ p, line }, &covers);
    kept_hold(p->states, line->state);
    line->n = covers;
    int keep = (covers + KER_PAGE - 1) / KER_PAGE;
    if (line->n_page > keep) {
        drop_pages(p, line->page + keep, line->n_page - keep);
        line->n_page = keep;
    }
}

int kv_next_state(kv_pool *p, kv_line *line, char *err)
{
    if (!p->states || line->next)
        return 0;
    int state = kept_take(p->states, is_here, &(line_of){ p, line }, err);
    line->next = state > 0 ? state : 0;
    return state > 0 ? 0 : state;
}

void kv_border(kv_pool *p, const kv_line *line)
{
    if (p->states)
        kept_keep(p->states, line->state, KEPT_BORDER);
}

uint64_t kv_state_room(const kv_pool *p, uint64_t bytes) { return bytes < p->states_most ? bytes : p->states_most; }
void kv_state_limit(kv_pool *p, uint64_t bytes) { kept_limit(p->states, kv_state_room(p, bytes)); }
uint64_t kv_state_bytes(const kv_pool *p, int *count, uint64_t *each) { return kept_bytes(p->states, count, each); }
bool kv_has_states(const kv_pool *p) { return p->states != NULL; }

/* How many of tokens[0..n) page g holds from its first cell on, under the policy. */
static int match(const page *g, const int32_t *tokens, int n, int pos, uint64_t config, enum eng_policy policy, int *of_config)
{
    uint64_t chain = g->prev;
    int len = 0, max = n < g->n ? n : g->n;
    *of_config = 0;
    while (len < max && g->token[len] == tokens[len] && g->forced[len] == 0) {
        chain = kv_chain(chain, tokens[len], pos + len, config, 0);
        if (policy == ENG_RECOMPUTE && g->chain[len] != chain)
            break;
        *of_config += g->config[len] == config;
        len++;
    }
    return len;
}

int kv_reuse(kv_pool *p, kv_line *line, const int32_t *tokens, int n, uint64_t seed, uint64_t config, enum eng_policy policy)
{
    kv_line next = { 0 };
    uint64_t chain = seed;
    bool own = true;                   /* so far the new line is a prefix of the old one */
    for (int at = 0; at < n; at += KER_PAGE) {
        int best = -1, best_len = 0, best_rank = 0, index = at / KER_PAGE;
        int mine = own && index < line->n_page ? line->page[index] : -1;
        for (int i = 0; i < p->n; i++) {
            const page *g = &p->pages[i];
            int of_config;
            if (g->n == 0 || g->index != index || g->prev != chain)
                continue;
            int len = match(g, tokens + at, n - at < KER_PAGE ? n - at : KER_PAGE, at, config, policy, &of_config);
            int rank = i == mine ? KER_PAGE + 1 : of_config;
            if (len > best_len || (len == best_len && len > 0 && rank > best_rank)) {
                best = i;
                best_len = len;
                best_rank = rank;
            }
        }
        if (best < 0)
            break;
        own = own && best == mine;
        line_push(&next, best);
        hold(p, best);
        next.n = at + best_len;
        chain = p->pages[best].chain[best_len - 1];
        if (best_len < KER_PAGE)
            break;
    }
    next.met = next.n;
    settle_on_state(p, &next);         /* while the old one is held */
    if (next.state && next.state == line->state) {
        kept_drop(p->states, line->state);
        line->state = 0;
    }
    leave_states(p, line);
    drop_pages(p, line->page, line->n_page);
    free(line->page);
    *line = next;
    return line->n;
}

int kv_extend(kv_pool *p, kv_line *line, int count)
{
    int part = line->n % KER_PAGE, need = (line->n + count + KER_PAGE - 1) / KER_PAGE;
    if (part && count > 0) {
        int tail = line->n / KER_PAGE, old = line->page[tail];
        page *g = &p->pages[old];
        if (g->refs > 1 || g->n > part) {
            int id = take(p);
            if (id < 0)
                return Q_NOMEM;
            p->be->kv_copy(p->kv, id, old, part);
            page *c = &p->pages[id];
            int refs = c->refs;
            uint64_t used = c->used;
            *c = *g;
            c->refs = refs;
            c->used = used;
            c->n = part;
            line->page[tail] = id;
            drop_pages(p, &(int32_t){ old }, 1);
        }
    }
    while (line->n_page < need) {
        int id = take(p);
        if (id < 0)
            return Q_NOMEM;
        p->pages[id].index = line->n_page;
        line_push(line, id);
    }
    return 0;
}

void kv_commit(kv_pool *p, kv_line *line, const kv_cell *cells, int count, uint64_t seed)
{
    uint64_t chain = line->n ? kv_cell_chain(p, line, line->n - 1) : seed;
    for (int i = 0; i < count; i++, line->n++) {
        page *g = &p->pages[line->page[line->n / KER_PAGE]];
        int at = line->n % KER_PAGE;
        assert(g->n == at && g->refs == 1 && g->index == line->n / KER_PAGE);
        if (at == 0)
            g->prev = chain;
        chain = kv_chain(chain, cells[i].token, line->n, cells[i].config, cells[i].forced);
        g->token[at] = cells[i].token;
        g->chain[at] = chain;
        g->config[at] = cells[i].config;
        g->forced[at] = cells[i].forced;
        g->n = at + 1;
    }
    if (!p->states)
        return;
    assert(line->next);
    kept_settle(p->states, line->next, line->n, chain);
    if (line->n / ON_THE_WAY != (line->n - count) / ON_THE_WAY)
        kept_keep(p->states, line->next, KEPT_ON_THE_WAY);
    kept_drop(p->states, line->state);
    line->state = line->next;
    line->next = 0;
}

int kv_take_back(kv_pool *p, kv_line *line, int n, int state)
{
    page *g = &p->pages[line->page[line->n_page - 1]];
    int beyond = line->state;
    assert((p->states != NULL) == (state > 0) && n <= line->n && g->refs == 1 && g->index == (n - 1) / KER_PAGE);
    g->n = n - g->index * KER_PAGE;
    line->n = n;
    line->state = state;
    if (state)
        kept_settle(p->states, state, n, kv_cell_chain(p, line, n - 1));
    return beyond;
}

bool kv_again(kv_pool *p, kv_line *line, const kv_cell *cell, uint64_t seed, int state)
{
    int at = line->n % KER_PAGE, index = line->n / KER_PAGE;
    if (at == 0 || line->n_page != index + 1 || (p->states && (!state || line->next)))
        return false;
    const page *g = &p->pages[line->page[index]];
    if (g->refs != 1 || g->n != at || g->index != index)
        return false;
    line->next = state;
    kv_commit(p, line, cell, 1, seed);
    return true;
}

bool kv_states_ahead(kv_pool *p, const kv_line *line, int32_t *state, int n)
{
    char ignored[Q_ERRLEN];
    for (int i = 0; i < n && p->states; i++)
        if ((state[i] = kept_take_beside(p->states, is_here, &(line_of){ p, line }, ignored)) < 0) {
            while (i-- > 0)
                kept_drop(p->states, state[i]);
            return false;
        }
    return true;
}

void kv_release(kv_pool *p, kv_line *line)
{
    leave_states(p, line);
    if (p)
        drop_pages(p, line->page, line->n_page);
    free(line->page);
    *line = (kv_line){ 0 };
}

void kv_discard(kv_pool *p, kv_line *line)
{
    for (int i = 0; i < line->n_page; i++)
        if (p->pages[line->page[i]].refs == 1)
            p->pages[line->page[i]].n = 0;
    if (p->states) {
        kept_drop(p->states, line->state);
        kept_drop(p->states, line->next);
        line->state = line->next = 0;
    }
    kv_release(p, line);
}

void kv_fork(kv_pool *p, const kv_line *from, kv_line *to)
{
    assert(to->n_page == 0);
    for (int i = 0; i * KER_PAGE < from->n; i++) {     /* not a page beyond, which both would write to */
        line_push(to, from->page[i]);
        hold(p, from->page[i]);
    }
    to->n = from->n;
    to->state = from->state;
    if (p->states)
        kept_hold(p->states, to->state);
}

void kv_cut(kv_pool *p, kv_line *line, int n)
{
    int keep = (n + KER_PAGE - 1) / KER_PAGE;
    assert(n >= 0 && n <= line->n);
    drop_pages(p, line->page + keep, line->n_page - keep);
    line->n_page = keep;
    if (n < line->n) {
        kv_line shorter = *line;
        shorter.n = n;
        shorter.state = shorter.next = 0;
        settle_on_state(p, &shorter);
        leave_states(p, line);
        *line = shorter;
    }
}

void kv_count(const kv_pool *p, int *held, int *shared)
{
    *held = *shared = 0;
    for (int i = 0; i < p->n; i++) {
        *held += p->pages[i].refs > 0;
        *shared += p->pages[i].refs > 1;
    }
}

int kv_line_save(const kv_pool *p, const kv_line *l, int index, void *dst)
{
    int left = l->n - index * KER_PAGE;
    assert(index >= 0 && left > 0);
    return p->be->kv_save(p->kv, l->page[index], left < KER_PAGE ? left : KER_PAGE, dst);
}

int kv_line_load(kv_pool *p, const kv_line *l, int index, int n, const void *src)
{
    assert(index * KER_PAGE >= l->n && index < l->n_page && p->pages[l->page[index]].refs == 1 && p->pages[l->page[index]].n == 0);
    return p->be->kv_load(p->kv, l->page[index], n, src);
}

int kv_line_states(const kv_pool *p, const kv_line *l, int *state, int most)
{
    return p->states ? kept_list(p->states, is_here, &(line_of){ p, l }, state, most) : 0;
}

int kv_state_cells(const kv_pool *p, int state) { return kept_covers(p->states, state); }
int kv_state_save(const kv_pool *p, int state, void *dst) { return p->be->state_save(p->kv, state, dst); }

int kv_state_load(kv_pool *p, const kv_line *line, const void *src, char *err)
{
    int state = kept_take(p->states, is_here, &(line_of){ p, line }, err), rc = state;
    if (state > 0 && (rc = p->be->state_load(p->kv, state, src))) {
        kept_drop(p->states, state);
        return rc;
    }
    return state;
}

void kv_state_settle(kv_pool *p, const kv_line *line, int state, int cells)
{
    kept_settle(p->states, state, cells, kv_cell_chain(p, line, cells - 1));
    kept_keep(p->states, state, KEPT_BORDER);
    kept_drop(p->states, state);
}

void kv_state_drop(kv_pool *p, int state)
{
    if (state)
        kept_drop(p->states, state);
}

uint64_t kv_cell_config(const kv_pool *p, const kv_line *l, int cell)
{
    return p->pages[l->page[cell / KER_PAGE]].config[cell % KER_PAGE];
}

uint64_t kv_cell_chain(const kv_pool *p, const kv_line *l, int cell)
{
    return p->pages[l->page[cell / KER_PAGE]].chain[cell % KER_PAGE];
}

uint64_t kv_cell_forced(const kv_pool *p, const kv_line *l, int cell)
{
    return p->pages[l->page[cell / KER_PAGE]].forced[cell % KER_PAGE];
}
