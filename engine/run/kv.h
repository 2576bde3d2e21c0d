/* engine/run/kv: pages of cached cells with their provenance, and timelines made of them. Owns the backend's
 * KV memory and the only reference count of the project. Belongs to its cache's thread; private to engine.
 * It never evaluates anything and never shifts a cell: a cell stays where its position put it. */
#ifndef QUORUM_KV_H
#define QUORUM_KV_H

#include "engine/engine.h"
#include "kernels/kernels.h"

typedef struct kv_pool kv_pool;

/* A timeline: cells 0..n-1 in pages of KER_PAGE. Pages before the last are full. */
/* Of a model with recurrent layers it stands on a state that covers exactly those cells (`state`, 0 where n is 0), and what is
 * evaluated next leaves its state in `next` (0: none is at hand). met: cells that the last kv_reuse found, with a state or without. */
typedef struct kv_line { int32_t *page; int n_page, cap; int n; int state, next; int met; } kv_line;

/* outside: bytes of the device's memory that are left to others (device.outside), for states that are kept. */
int kv_pool_new(const ker_backend *be, ker_dev *dev, enum ker_kv_type type, int n_page, uint64_t outside, kv_pool **out, char *err);
void kv_pool_free(kv_pool *);
ker_kv *kv_pool_kv(kv_pool *);

/* chain_i = hash(chain_{i-1}, token, position, configuration, forced routing). forced 0 = none. */
uint64_t kv_chain(uint64_t prev, int32_t token, int pos, uint64_t config, uint64_t forced);

/* What made a cell, beside those before it. forced: hash of the expert ids it was made to run, 0 = the router chose. */
typedef struct kv_cell { int32_t token; uint64_t config, forced; } kv_cell;

/* With recurrent layers a line may only end where a state is: reuse and cut go back to the last one, and what is missing is
 * evaluated again. A line that leaves its state keeps it, as a border that somebody may come back to.
 *
 * Makes line the longest cached run of tokens[0..n) that starts from `seed` (a hash of what all cells of a
 * timeline must share: the position knobs) and keeps line's own cells where they serve as well as others.
 * ENG_CONTINUE: cells of equal tokens whose router was free; ENG_RECOMPUTE: only cells whose chain is that of
 * evaluating under `config`. Returns line->n. Every reuse of cells goes through here. */
int kv_reuse(kv_pool *, kv_line *line, const int32_t *tokens, int n, uint64_t seed, uint64_t config, enum eng_policy policy);

/* Pages for `count` more cells, writable by this line alone: a shared or half-used last page is copied first.
 * Q_NOMEM when every page is in use. */
int kv_extend(kv_pool *, kv_line *line, int count);
/* A state to be written for the line's next cells (line->next), where the model has recurrent layers. */
int kv_next_state(kv_pool *, kv_line *line, char *err);
/* The line's state stays when the line goes on: one of a turn's borders. */
void kv_border(kv_pool *, const kv_line *line);
/* What all states may take: state.memory, on a GPU not more than was free beside the cells; and what those in use do: how many, bytes of each. */
uint64_t kv_state_room(const kv_pool *, uint64_t bytes /* state.memory */);
void kv_state_limit(kv_pool *, uint64_t bytes);
uint64_t kv_state_bytes(const kv_pool *, int *count, uint64_t *each);
bool kv_has_states(const kv_pool *);
/* The `count` cells after line->n hold evaluated tokens now, and line->next their state. */
void kv_commit(kv_pool *, kv_line *line, const kv_cell *cells, int count, uint64_t seed);
/* Cells beyond the first n, which were committed last and fill no further page, are taken back; kv_again makes the next one of them
 * the line's anew, as kv_commit would: true if nothing can have touched it (the caller knows that nothing was evaluated since). With
 * recurrent layers the line goes back to `state`, which is written for n cells and becomes the line's; what it stood on is returned,
 * held for the caller. kv_again takes the state of its cell over, where it says true. Without such layers states are 0. */
int kv_take_back(kv_pool *, kv_line *line, int n, int state);
bool kv_again(kv_pool *, kv_line *line, const kv_cell *cell, uint64_t seed, int state);
/* States for rows that are tried behind a line, each held by the caller until kv_state_drop or kv_again: true, or none is taken. */
bool kv_states_ahead(kv_pool *, const kv_line *line, int32_t *state, int n);
/* Lets all pages go; they stay findable until they are needed for something else. */
void kv_release(kv_pool *, kv_line *line);
/* The same for a line that was only tried: what it did not share with another is forgotten. */
void kv_discard(kv_pool *, kv_line *line);
/* A second line over the same cells. `to` is empty before. */
void kv_fork(kv_pool *, const kv_line *from, kv_line *to);
/* Keeps the first n cells, or as many as a state allows. */
void kv_cut(kv_pool *, kv_line *line, int n);
/* Pages that lines hold, and of these the ones that several hold. */
void kv_count(const kv_pool *, int *held, int *shared);
int kv_pages(const kv_pool *);         /* in all */

/* The cells of the line's page `index`, all there are in it, as the backend saves them; dst: ker_cells_bytes of them. */
int kv_line_save(const kv_pool *, const kv_line *, int index, void *dst);
/* Into a page that kv_extend has given the line beyond line->n: its first n cells. They are nobody's until kv_commit. */
int kv_line_load(kv_pool *, const kv_line *, int index, int n, const void *src);

/* The last `most` states along the line, its own the last of them: how many. */
int kv_line_states(const kv_pool *, const kv_line *, int *state, int most);
int kv_state_cells(const kv_pool *, int state);                     /* that it covers */
int kv_state_save(const kv_pool *, int state, void *dst);
/* A state from memory, for cells that kv_commit is still to make: its number, or a q_result (Q_FORMAT: numbers that are none). It becomes
 * a border of the line by kv_state_settle, the line's own as its `next` by kv_commit; else kv_state_drop. */
int kv_state_load(kv_pool *, const kv_line *, const void *src, char *err);
void kv_state_settle(kv_pool *, const kv_line *, int state, int cells);
void kv_state_drop(kv_pool *, int state);

uint64_t kv_cell_config(const kv_pool *, const kv_line *, int cell);
uint64_t kv_cell_chain(const kv_pool *, const kv_line *, int cell);
uint64_t kv_cell_forced(const kv_pool *, const kv_line *, int cell);

#endif
