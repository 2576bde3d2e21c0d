// emu_warp.cpp: what the lanes of a warp do together, fences, asynchronous copies.
#include "emu_inside.h"

namespace emu {
// Each lane of mask brings its argument and waits; the last to come runs fn over all.
void collective(unsigned mask, void (*fn)(unsigned, void *const *), void *arg, const char *name, int line)
{
    Lane *me = self();
    Blk *b = block();
    Warp &w = b->warp[me->warp];
    unsigned mine = 1u << me->lane;
    if (!(mask & mine)) die("line %d: %s's mask %08x does not name the calling lane", line, name, mask);
    if (unsigned gone = mask & ~w.live)
        die("line %d: %s's mask %08x names lanes %08x, which are not there or have returned", line, name, mask, gone);
    me->wait = { mask, fn, arg, name, line };
    if (unsigned others = mask & w.arrived) {              // one is enough: it was compared when it came
        unsigned l = (unsigned)__builtin_ctz(others);
        const Wait &o = b->lane[me->warp * 32 + l].wait;
        if (o.mask != mask || o.fn != fn) die("%s (line %d, mask %08x) meets %s (line %d, mask %08x) of lane %u", name, line, mask, o.name, o.line, o.mask, l);
    }
    w.arrived |= mine;
    if ((w.arrived & mask) != mask) {
        suspend(IN_WARP);
        return;
    }
    void *args[32];
    for (unsigned l = 0; l < 32; l++) args[l] = mask >> l & 1 ? b->lane[me->warp * 32 + l].wait.arg : nullptr;
    w.arrived &= ~mask;
    wake(w, me->warp, mask & ~mine);
    if (fn) fn(mask, args);
    give_way(4);
}

// ---- shuffles, votes
struct Shuffle { uint64_t *v; int kind, p, width, line; };
static void do_shuffle(unsigned mask, void *const *a)
{
    uint64_t in[32];
    for (int l = 0; l < 32; l++) in[l] = mask >> l & 1 ? *((Shuffle *)a[l])->v : 0;
    for (int l = 0; l < 32; l++) {
        if (!(mask >> l & 1)) continue;
        Shuffle *s = (Shuffle *)a[l];
        int w = s->width, base = l & ~(w - 1), src = l;
        switch (s->kind) {
        case IDX: src = base + (s->p & (w - 1)); break;
        case UP: src = l - s->p < base ? l : l - s->p; break;
        case DOWN: src = l + s->p >= base + w ? l : l + s->p; break;
        case XOR: src = (l ^ s->p) >= base + w ? l : l ^ s->p; break;
        }
        if (!(mask >> src & 1)) die("line %d: lane %d shuffles from lane %d, which is not in mask %08x: its value is undefined", s->line, l, src, mask);
        *s->v = in[src];
    }
}
void shfl_bits(unsigned mask, int kind, uint64_t *v, int p, int width, int line)
{
    if (width < 1 || width > 32 || (width & (width - 1))) die("line %d: a shuffle of width %d, which is no power of two up to 32", line, width);
    if ((kind == UP || kind == DOWN) && p < 0) die("line %d: a shuffle by %d lanes", line, p);
    Shuffle s = { v, kind, p & 31, width, line };
    if ((kind == UP || kind == DOWN) && p > 31) s.p = 32;
    collective(mask, do_shuffle, &s, "a shuffle", line);
}
struct Vote { int kind; uint64_t v; unsigned result; };
static void do_vote(unsigned mask, void *const *a)
{
    unsigned m = 0;
    for (int l = 0; l < 32; l++) if (mask >> l & 1 && ((Vote *)a[l])->v) m |= 1u << l;
    for (int l = 0; l < 32; l++) {
        if (!(mask >> l & 1)) continue;
        Vote *v = (Vote *)a[l];
        switch (v->kind) {
        case BALLOT: v->result = m; break;
        case ANY: v->result = m != 0; break;
        case ALL: v->result = m == mask; break;
        default: v->result = m == mask || m == 0; break;
        }
    }
}
unsigned vote(unsigned mask, int kind, int pred, int line)
{
    Vote v = { kind, (uint64_t)pred, 0 };
    collective(mask, do_vote, &v, "a vote", line);
    return v.result;
}
static void do_match(unsigned mask, void *const *a)
{
    for (int l = 0; l < 32; l++) {
        if (!(mask >> l & 1)) continue;
        Vote *v = (Vote *)a[l];
        for (int o = 0; o < 32; o++) if (mask >> o & 1 && ((Vote *)a[o])->v == v->v) v->result |= 1u << o;
    }
}
unsigned match_any(unsigned mask, uint64_t x, int line)
{
    Vote v = { 0, x, 0 };
    collective(mask, do_match, &v, "a match", line);
    return v.result;
}
static unsigned joined(int kind, unsigned a, unsigned b)
{
    switch (kind) {
    case R_ADD: return a + b;
    case R_MIN: return (int)a < (int)b ? a : b;
    case R_MAX: return (int)a > (int)b ? a : b;
    case R_UMIN: return a < b ? a : b;
    case R_UMAX: return a > b ? a : b;
    case R_AND: return a & b;
    case R_OR: return a | b;
    default: return a ^ b;
    }
}
static void do_reduce(unsigned mask, void *const *a)
{
    unsigned r = 0;
    bool first = true;
    for (int l = 0; l < 32; l++) {
        if (!(mask >> l & 1)) continue;
        Vote *v = (Vote *)a[l];
        r = first ? (unsigned)v->v : joined(v->kind, r, (unsigned)v->v);
        first = false;
    }
    for (int l = 0; l < 32; l++) if (mask >> l & 1) ((Vote *)a[l])->result = r;
}
unsigned reduce(unsigned mask, int kind, unsigned x, int line)
{
    Vote v = { kind, x, 0 };
    collective(mask, do_reduce, &v, "a reduction", line);
    return v.result;
}
static void do_sync(unsigned, void *const *) {}
void syncwarp(unsigned mask, int line)
{
#ifdef EMU_TSAN
    char *order = block()->order + 2 + self()->warp * 2 + (self()->warp_syncs++ & 1);
    __tsan_release(order);
#endif
    collective(mask, do_sync, nullptr, "__syncwarp", line);
#ifdef EMU_TSAN
    __tsan_acquire(order);
#endif
}
unsigned active_mask() { return block()->warp[cur->warp].live; }

// ---- fences. In the device's memory model a fence before an atomic and one behind another thread's atomic of the same
// word make an order; TSan is told just that. (Relaxed atomics alone order nothing, there as here.) The word itself is
// in order too: who saw an addition, and fenced, writes it after that addition. Fences are sequentially consistent
// (fence.sc), so that the one behind the atomic may also be another thread's of the block, when a barrier lies between:
// came it first in the order of fences, its atomic would be before the one that it saw.
void fence()
{
#ifdef EMU_TSAN
    Lane *l = self();
    for (void *p : l->touched) __tsan_acquire(p);
    l->touched.clear();
    for (void *p : block()->touched) __tsan_acquire(p);
    l->fenced = true;
#endif
}
#ifdef EMU_TSAN
void atomic_note(void *p)
{
    Lane *l = self();
    if (!l) return;
    if (l->fenced) __tsan_release(p);
    Quiet quiet;
    if (std::find(l->touched.begin(), l->touched.end(), p) == l->touched.end()) l->touched.push_back(p);
}
#endif

// ---- sanitizers: what the emulator reads and writes in a thread's name
void reads(const void *p, size_t n)
{
    (void)p, (void)n;
#ifdef EMU_ASAN
    __asan_loadN((uintptr_t)p, n);
#endif
#ifdef EMU_TSAN
    __tsan_read_range(const_cast<void *>(p), n);
#endif
}
static void writes(void *p, size_t n)
{
    (void)p, (void)n;
#ifdef EMU_ASAN
    __asan_storeN((uintptr_t)p, n);
#endif
#ifdef EMU_TSAN
    __tsan_write_range(p, n);
#endif
}

// ---- cp.async: copied as late as is allowed, at the wait, so that a missing wait shows what was there before
void cp_async(void *s, const void *g, int n, int from_global)
{
    Lane *l = self();
    if (((uintptr_t)s | (uintptr_t)g) % (unsigned)n) die("cp.async of %d bytes: an address is not a multiple of %d", n, n);
    if (from_global < 0 || from_global > n) die("cp.async of %d bytes is to read %d", n, from_global);
    if (!in_shared(s, (size_t)n)) die("cp.async writes outside the block's shared memory");
    if (from_global && in_shared(g, 1)) die("cp.async reads shared memory");
    Quiet quiet;
    l->copies.push_back({ s, g, n, from_global, l->group });
}
void cp_commit() { self()->group++; }
static void copy_until(int group)
{
    Lane *l = self();
    size_t left = 0;
    for (Copy &c : l->copies) {
        if (c.group >= group) {
            l->copies[left++] = c;
            continue;
        }
        if (c.from_global) reads(c.g, (size_t)c.from_global);
        writes(c.s, (size_t)c.bytes);
        memcpy(c.s, c.g, (size_t)c.from_global);
        memset((char *)c.s + c.from_global, 0, (size_t)(c.bytes - c.from_global));
    }
    l->copies.resize(left);
}
void cp_wait(int n) { copy_until(self()->group - n); }
void cp_wait_all() { copy_until(self()->group + 1); }
void copy_all() { copy_until(self()->group + 1); }
}
