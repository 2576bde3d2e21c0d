// emu_block.cpp: a block's threads as fibers. A thread runs until it waits; the fiber then goes to the next thread, without a
// way over the caller. A thread that ends without having waited leaves its fiber to the next one, so a kernel without
// barriers costs a call a thread.
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <sys/mman.h>
#include "emu_inside.h"

namespace emu {
Thread *cur;
static const std::function<void()> *body;
static const char *kernel_name;
static Fiber home;                                         // the host's stack, while a grid runs
static std::vector<Fiber *> pool, idle;
static std::vector<Fiber *> &all_fibers = *new std::vector<Fiber *>;       // the running one is in no list when the program ends
static size_t fibers_made;
static Blk *running;
static const size_t STACK = 256 << 10;
#ifdef EMU_ASAN
static bool from_home;
#endif
#ifdef EMU_TSAN
static char grid_begins, grid_ends;
static uint64_t block_no, fiber_sets;
static std::vector<std::vector<Fiber *>> early_set;        // [set][thread]
static std::vector<char> set_used;
#endif

void die(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "EMU ERROR: kernel %s", kernel_name ? kernel_name : "-");
    if (cur) fprintf(stderr, " block (%u,%u,%u) thread %u (warp %u lane %u)", cur->blk->bid.x, cur->blk->bid.y, cur->blk->bid.z,
                     cur->lin, cur->warp, cur->lane);
    fprintf(stderr, ": ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    fflush(stderr);
    _Exit(97);
}

// ---- switching
#if defined(__x86_64__)
asm(R"(.text
.p2align 4
.type emu_switch,@function
emu_switch:
 pushq %rbp
 pushq %rbx
 pushq %r12
 pushq %r13
 pushq %r14
 pushq %r15
 movq %rsp,(%rdi)
 movq %rsi,%rsp
 popq %r15
 popq %r14
 popq %r13
 popq %r12
 popq %rbx
 popq %rbp
 ret
.size emu_switch,.-emu_switch
)");
static const int SAVED = 6;
#elif defined(__aarch64__)
asm(R"(.text
.p2align 4
.type emu_switch,%function
emu_switch:
 sub sp, sp, #176
 stp x19, x20, [sp, #0]
 stp x21, x22, [sp, #16]
 stp x23, x24, [sp, #32]
 stp x25, x26, [sp, #48]
 stp x27, x28, [sp, #64]
 stp x29, x30, [sp, #80]
 stp d8, d9, [sp, #96]
 stp d10, d11, [sp, #112]
 stp d12, d13, [sp, #128]
 stp d14, d15, [sp, #144]
 mov x9, sp
 str x9, [x0]
 mov sp, x1
 ldp x19, x20, [sp, #0]
 ldp x21, x22, [sp, #16]
 ldp x23, x24, [sp, #32]
 ldp x25, x26, [sp, #48]
 ldp x27, x28, [sp, #64]
 ldp x29, x30, [sp, #80]
 ldp d8, d9, [sp, #96]
 ldp d10, d11, [sp, #112]
 ldp d12, d13, [sp, #128]
 ldp d14, d15, [sp, #144]
 add sp, sp, #176
 ret
.size emu_switch,.-emu_switch
)");
#else
#error "the emulator's fibers are written for x86-64 and aarch64"
#endif
extern "C" void emu_switch(void **save, void *to) asm("emu_switch");

static void arrived(Fiber *me)
{
    (void)me;
#ifdef EMU_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(me->fake, &bottom, &size);
    if (from_home) home.stack = bottom, home.size = size, from_home = false;
#endif
}
static void swap_to(Fiber *me, Fiber *to)
{
    st.fibers++;
#ifdef EMU_TSAN
    __tsan_switch_to_fiber(to->tsan, 1);                   // 1: the switch itself orders nothing
#endif
#ifdef EMU_ASAN
    from_home = me == &home;
    __sanitizer_start_switch_fiber(&me->fake, to->stack, to->size);
#endif
    emu_switch(&me->sp, to->sp);
    arrived(me);
}

static Fiber *fiber_of(Lane *l);
static Lane *pick();
static void entry();

static Fiber *new_fiber()
{
    Quiet quiet;
    char *m = (char *)mmap(nullptr, STACK + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) die("no memory for a fiber's stack");
    mprotect(m, 4096, PROT_NONE);
    Fiber *f = new Fiber();
    f->stack = m + 4096;
    f->size = STACK;
    // tops of stacks lie apart, or all would meet in the same lines of the cache
    void **sp = (void **)(m + 4096 + STACK - fibers_made++ * 320 % 8192 / 16 * 16);
#if defined(__x86_64__)
    *--sp = nullptr;
    *--sp = (void *)entry;
    for (int k = 0; k < SAVED; k++) *--sp = nullptr;
#else
    sp -= 22;
    memset(sp, 0, 176);
    sp[11] = (void *)entry;
#endif
    f->sp = sp;
    all_fibers.push_back(f);
#ifdef EMU_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

// The fiber on which a thread goes on. TSan tells threads apart by their fiber, so there each has its own, and blocks that
// follow each other have others: what a barrier orders in one block must not order the next one's.
static Fiber *fiber_of(Lane *l)
{
    if (l->fiber) return l->fiber;
#ifdef EMU_TSAN
    if (running->set >= 0) return l->fiber = early_set[(size_t)running->set][l->lin];
    return l->fiber = pool[block_no % fiber_sets * running->n + l->lin];
#else
    if (idle.empty()) idle.push_back(new_fiber());
    l->fiber = idle.back();
    idle.pop_back();
    return l->fiber;
#endif
}

static void run_thread(Lane *l)
{
    l->state = RUNNING;
#ifdef EMU_TSAN
    __tsan_acquire(&grid_begins);
#endif
    (*body)();
    l = self();
    if (!l->copies.empty()) die("thread ends with cp.async still on its way: wait for it first");
#ifdef EMU_TSAN
    __tsan_release(&grid_ends);
#endif
    l->state = DONE;
    running->live--;
    running->warp[l->warp].live &= ~(1u << l->lane);
}
static void entry()
{
    Fiber *me = self()->fiber;
    arrived(me);
    for (;;) {
        run_thread(self());
        Lane *next = pick();
        cur = next;
#ifndef EMU_TSAN
        if (next && !next->fiber) {
            next->fiber = me;
            continue;
        }
        idle.push_back(me);
#endif
        swap_to(me, next ? fiber_of(next) : &home);
        me = self()->fiber;                                // the same fiber, woken for a fresh thread
    }
}

// ---- who runs next
static unsigned choose(unsigned set)
{
    if (random_order()) {
        unsigned r = rnd() & 31, m = set >> r | (r ? set << (32 - r) : 0);
        return ((unsigned)__builtin_ctz(m) + r) & 31;
    }
    return opt.seed == 1 ? 31 - (unsigned)__builtin_clz(set) : (unsigned)__builtin_ctz(set);
}
void wake(Warp &w, unsigned warp, unsigned lanes)
{
    w.ready |= lanes;
    if (w.ready) running->warps_ready |= 1u << warp;
}
[[noreturn]] static void stuck()
{
    Blk *b = running;
    for (Lane &l : b->lane) if (l.state == IN_WARP) {
        cur = &l;
        die("deadlock: %s at line %d, mask %08x, arrived %08x", l.wait.name, l.wait.line, l.wait.mask, b->warp[l.warp].arrived);
    }
    for (Lane &l : b->lane) if (l.state == AT_BARRIER) {
        cur = &l;
        die("deadlock: __syncthreads at line %d: %u of %u threads arrived, %u have returned", l.bar_line, b->waiting, b->n, b->n - b->live);
    }
    die("deadlock");
}
// A warp runs until all its lanes wait at a barrier, except that a random order leaves it now and then. nullptr: all done.
static Lane *pick()
{
    Blk *b = running;
    if (!b->warps_ready) {
        if (b->live && !b->held) stuck();
        return nullptr;
    }
    if (!(b->warps_ready >> b->at & 1) || (random_order() && rnd() % 32 == 0)) b->at = choose(b->warps_ready);
    Warp &w = b->warp[b->at];
    unsigned lane = choose(w.ready);
    w.ready &= ~(1u << lane);
    if (!w.ready) b->warps_ready &= ~(1u << b->at);
    return &b->lane[b->at * 32 + lane];
}
void suspend(State why)
{
    Lane *me = self();
    me->state = why;
    Lane *next = pick();
    if (next != me) {
        cur = next;
        swap_to(me->fiber, next ? fiber_of(next) : &home); // nullptr: the block goes on when the launch before has ended
    }
    me->state = RUNNING;
}

// ---- launches that start early
void wait_before()
{
    Blk *b = block();
    b->waited = true;
    if (!b->early) return;
    copy_all();                                            // what was asked for may have come, of the old
    b->held++;
    suspend(EARLY);
#ifdef EMU_TSAN
    __tsan_acquire(&grid_ends);
#endif
}
void let_next() { block()->let = true; }
void give_way(int one_in)
{
    if (!random_order() || rnd() % (unsigned)one_in) return;
    wake(running->warp[cur->warp], cur->warp, 1u << cur->lane);
    suspend(RUNNING);
}

// ---- barriers of a block
static void release_barrier(Blk *b)
{
    Lane *first = nullptr;
    int all = 1, count = 0;
    for (Lane &l : b->lane) {
        if (!first) first = &l;
        if (l.bar_line != first->bar_line || l.bar_kind != first->bar_kind)
            die("divergent __syncthreads: lines %d and %d", first->bar_line, l.bar_line);
        count += l.bar_pred;
        all &= l.bar_pred;
    }
    b->bar_result = first->bar_kind == COUNT ? count : first->bar_kind == AND ? all : count > 0;
    b->waiting = 0;
    b->bar_count++;
#ifdef EMU_TSAN
    Quiet quiet;
    for (Lane &l : b->lane) {
        b->touched.insert(b->touched.end(), l.touched.begin(), l.touched.end());
        l.touched.clear();
    }
#endif
    for (unsigned w = 0; w < b->warp.size(); w++) wake(b->warp[w], w, b->warp[w].live);
}
int barrier(int line, int kind, int pred)
{
    Lane *me = self();
    Blk *b = block();
    me->bar_line = line, me->bar_kind = kind, me->bar_pred = pred;
#ifdef EMU_TSAN
    char *order = &b->order[b->bar_count & 1];
    __tsan_release(order);
#endif
    if (++b->waiting == b->n) {
        release_barrier(b);
        if (opt.seed == 0) {                               // the last one goes on
            Warp &w = b->warp[me->warp];
            w.ready &= ~(1u << me->lane);
            if (!w.ready) b->warps_ready &= ~(1u << me->warp);
        } else suspend(AT_BARRIER);
    } else suspend(AT_BARRIER);
#ifdef EMU_TSAN
    __tsan_acquire(order);
#endif
    return b->bar_result;
}

// ---- shared memory: an allocation of its own for each array and block (redzones), nothing known in it
void *shared_slot(const void *key, size_t n)
{
    Blk *b = block();
    Array *a = nullptr;
    for (Array &x : b->arrays) if (x.key == key) a = &x;
    if (!a) {
        Quiet quiet;
        b->arrays.push_back({ key, nullptr, n });
        a = &b->arrays.back();
        if (posix_memalign(&a->mem, 16, n)) die("no memory for shared memory");
        poison(a->mem, n);
        b->used += n;
        if (b->used - b->dyn_bytes > 48 << 10) die("%zu bytes of static shared memory, a block may have 49152", b->used - b->dyn_bytes);
        if (b->used > b->most) die("%zu bytes of shared memory, this device gives a block %zu%s", b->used, b->most, b->most == 48 << 10 ? ", static and dynamic, where no more were asked for" : "");
#ifdef EMU_TSAN
        __tsan_release(a->mem);
#endif
    }
#ifdef EMU_TSAN
    __tsan_acquire(a->mem);
#endif
    return a->mem;
}
void *dyn_shared()
{
    Blk *b = block();
    if (!b->dyn_bytes) die("the kernel uses dynamic shared memory and was launched with 0 bytes of it");
    return b->dyn;
}
bool in_shared(const void *p, size_t n)
{
    Blk *b = block();
    const char *q = (const char *)p;
    if (b->dyn_bytes && q >= (char *)b->dyn && q + n <= (char *)b->dyn + b->dyn_bytes) return true;
    for (Array &a : b->arrays) if (q >= (char *)a.mem && q + n <= (char *)a.mem + a.bytes) return true;
    return false;
}

// ---- a block, a grid
static void begin_block(Blk &b, const Launch &k, unsigned no)
{
    Quiet quiet;
    b.bid = { no % k.g.x, no / k.g.x % k.g.y, no / k.g.x / k.g.y };
    b.bdim = k.b, b.gdim = k.g;
    b.dyn = nullptr, b.dyn_bytes = b.used = k.smem, b.most = k.asked ? (size_t)opt.smem : 48 << 10;
    b.held = 0, b.early = b.waited = b.let = false, b.set = -1;
    unsigned n = b.n = b.live = b.bdim.x * b.bdim.y * b.bdim.z, nw = (n + 31) / 32;
    b.waiting = 0, b.bar_count = 0, b.at = 0;
    b.touched.clear();
    b.warps_ready = nw == 32 ? ~0u : (1u << nw) - 1;
    b.lane.resize(n);
    b.warp.assign(nw, { 0, 0, 0 });
    for (unsigned i = 0; i < n; i++) {
        Lane &l = b.lane[i];
        l.tid = { i % b.bdim.x, i / b.bdim.x % b.bdim.y, i / b.bdim.x / b.bdim.y };
        l.lin = i, l.lane = i & 31, l.warp = i >> 5;
        l.blk = &b;
        l.fiber = nullptr;
        l.state = FRESH;
        l.warp_syncs = 0, l.group = 0;
        l.touched.clear();
        l.fenced = false;
        b.warp[i >> 5].live |= 1u << (i & 31);
    }
    for (Warp &w : b.warp) w.ready = w.live;
#ifdef EMU_TSAN
    block_no++;
    free(b.order);
    b.order = (char *)malloc(2 + 2 * nw);
#endif
    if (b.dyn_bytes) {
        if (posix_memalign(&b.dyn, 16, b.dyn_bytes)) die("no memory for shared memory");
        poison(b.dyn, b.dyn_bytes);
    }
}
static void go(Blk &b)                                     // until it has ended, or waits before its time
{
    running = &b;
    b.at = choose(b.warps_ready);
    Lane *first = pick();
    cur = first;
    swap_to(&home, fiber_of(first));
    cur = nullptr;
}
static void end_block(Blk &b, const Launch &k)
{
    Quiet quiet;
    if (k.early && !b.waited) die("block (%u,%u,%u) may start early and ends without gpu_wait_before: what comes behind would not wait for what came before", b.bid.x, b.bid.y, b.bid.z);
    for (Array &a : b.arrays) free(a.mem);
    b.arrays.clear();
    free(b.dyn);
    b.dyn = nullptr;
}
static void open_grid(const Launch &k)
{
    kernel_name = k.name;
    body = &k.body;
    open_device(true);
#ifdef EMU_TSAN
    home.tsan = __tsan_get_current_fiber();
    __tsan_release(&grid_begins);
#endif
}
static void close_grid()
{
    open_device(false);
    kernel_name = nullptr;
    body = nullptr;
}
static unsigned place(const Blk &b) { return b.bid.x + b.gdim.x * (b.bid.y + b.gdim.y * b.bid.z); }

// Blocks of a launch, before the one in front of it runs.
void start_early(const Launch &k, Held *h)
{
    unsigned nb = k.g.x * k.g.y * k.g.z, most = std::min(nb, random_order() ? rnd() % 4 : 2u), from = random_order() ? rnd() % nb : opt.seed == 1 ? nb - most : 0;
    open_grid(k);
    h->let = most > 0;
    for (unsigned i = 0; i < most; i++) {
        Blk *b = new Blk();
        begin_block(*b, k, (from + i) % nb);
        b->early = true;
#ifdef EMU_TSAN
        __tsan_release(&grid_begins);                      // its threads read what was made just now
        b->set = (int)(std::find(set_used.begin(), set_used.end(), 0) - set_used.begin());
        if ((size_t)b->set == set_used.size()) set_used.push_back(0), early_set.push_back({});
        set_used[(size_t)b->set] = 1;
        while (early_set[(size_t)b->set].size() < b->n) early_set[(size_t)b->set].push_back(new_fiber());
#endif
        go(*b);
        h->let = h->let && b->let;
        h->blk.push_back(b);
    }
    close_grid();
}
static void finish_early(Blk *b, const Launch &k)
{
    b->early = false;
    running = b;
    for (Lane &l : b->lane) if (l.state == EARLY) wake(b->warp[l.warp], l.warp, 1u << l.lane);
    b->held = 0;
    if (b->live) go(*b);
    end_block(*b, k);
#ifdef EMU_TSAN
    set_used[(size_t)b->set] = 0;
#endif
}
static double cpu_ms()
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}
void run_grid(const Launch &k, Held *h)
{
    static Blk b;
    double t0 = opt.trace ? cpu_ms() : 0;
    uint64_t fibers = st.fibers;
    open_grid(k);
    unsigned nb = k.g.x * k.g.y * k.g.z, threads = k.b.x * k.b.y * k.b.z;
#ifdef EMU_TSAN
    fiber_sets = std::min<size_t>(nb, std::max<size_t>(2, 256 / threads));
    while (pool.size() < fiber_sets * threads) pool.push_back(new_fiber());
#endif
    std::vector<Blk *> ended;                              // not let go before all that its threads did has an order here
    std::vector<unsigned> order(nb);
    for (unsigned i = 0; i < nb; i++) order[i] = opt.seed == 1 ? nb - 1 - i : i;
    if (random_order()) for (unsigned i = nb; i > 1; i--) std::swap(order[i - 1], order[rnd() % i]);
    for (unsigned o : order) {
        Blk *early = nullptr;
        for (size_t i = 0; h && i < h->blk.size(); i++) if (place(*h->blk[i]) == o) early = h->blk[i];
        if (early) {
            finish_early(early, k);
            ended.push_back(early);
            h->blk.erase(std::find(h->blk.begin(), h->blk.end(), early));
            continue;
        }
        begin_block(b, k, o);
        go(b);
        end_block(b, k);
    }
#ifdef EMU_TSAN
    __tsan_acquire(&grid_ends);
#endif
    for (Blk *e : ended) {
        free(e->order);
        delete e;
    }
    close_grid();
    count_kernel(k.name, nb, (uint64_t)nb * threads);
    if (opt.trace) fprintf(stderr, "EMU %-24s grid %6u x %4u: %8.3f ms cpu, %llu switches\n", k.name, nb, threads, cpu_ms() - t0,
                           (unsigned long long)(st.fibers - fibers));
}
}
