// emu_inside.h: what the emulator's own files share. They are compiled WITHOUT the sanitizer that the kernels get (but with
// EMU_ASAN or EMU_TSAN, so that fibers are announced to its runtime); for MSan WITH it, and EMU_MSAN.
#pragma once
#include <algorithm>
#include <mutex>
#include <string>
#include <vector>
#include "emu.h"
#include "emu_stats.h"

#ifdef EMU_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void **, const void *, size_t);
void __sanitizer_finish_switch_fiber(void *, const void **, size_t *);
void __asan_poison_memory_region(void const volatile *, size_t);
void __asan_unpoison_memory_region(void const volatile *, size_t);
void __asan_loadN(uintptr_t, size_t);
void __asan_storeN(uintptr_t, size_t);
}
#endif
#ifdef EMU_TSAN
extern "C" {
void *__tsan_get_current_fiber();
void *__tsan_create_fiber(unsigned);
void __tsan_switch_to_fiber(void *, unsigned);
void __tsan_read_range(void *, size_t);
void __tsan_write_range(void *, size_t);
void __tsan_acquire(void *);
void __tsan_release(void *);
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
}
#endif
#ifdef EMU_MSAN
extern "C" void __msan_allocated_memory(const volatile void *, size_t);
#endif

// A thread's own words lie where the program's do and not where a plugin's go, which the C library allocates behind MSan's back.
#define EMU_LOCAL __attribute__((tls_model("initial-exec")))

namespace emu {
// A sorted vector as a map: std::map balances its tree inside libstdc++.so, which MSan cannot follow.
template <class K, class V> struct Map : std::vector<std::pair<K, V>> {
    typedef typename std::vector<std::pair<K, V>>::iterator It;
    It lower(K k)
    {
        return std::lower_bound(this->begin(), this->end(), k, [](const std::pair<K, V> &a, K b) { return a.first < b; });
    }
    It find(K k)
    {
        It i = lower(k);
        return i != this->end() && i->first == k ? i : this->end();
    }
    It at_or_below(K k)                                    // the last key that is not above k, or end
    {
        It i = lower(k);
        if (i != this->end() && i->first == k) return i;
        return i == this->begin() ? this->end() : i - 1;
    }
    V &operator[](K k)
    {
        It i = lower(k);
        if (i == this->end() || i->first != k) i = this->insert(i, { k, V() });
        return i->second;
    }
};

// The emulator's own bookkeeping in a kernel's thread: its allocations are no business of the race detector.
struct Quiet {
#ifdef EMU_TSAN
    Quiet() { __tsan_ignore_thread_begin(); }
    ~Quiet() { __tsan_ignore_thread_end(); }
#else
    Quiet() {}
    ~Quiet() {}
#endif
};

// ---- options (emu_device.cpp)
struct Options { long seed, devices, driver, mem_mb, smem, cc, sms, sync, trace, leak, fail_at, sticky, cc_first /* of device 0; 0: cc */; };
extern Options opt;
void init();                                               // reads the environment, once
uint32_t rnd();
static inline bool random_order() { return opt.seed > 1; }

// ---- one lock over every call (a kernel runs inside the call that waits for it)
extern std::recursive_mutex lock;
struct Guard {
    std::lock_guard<std::recursive_mutex> g;
    Guard() : g(lock) { init(); }
};

// ---- errors (emu_device.cpp)
cudaError_t ret(cudaError_t e);                            // remembered for cudaGetLastError
bool inject(const char *call, cudaError_t e, cudaError_t *out);        // true: this call is to fail; e when nothing stuck before
#define EMU_ENTER(call, e) Guard guard; cudaError_t injected; if (inject(call, e, &injected)) return ret(injected)

// ---- memory (emu_device.cpp)
void poison(void *p, size_t n);                            // NaN in every word; MSan: never written
void open_device(bool open);                               // kernels and copies only may touch device memory (ASan)
bool in_device(const void *p, size_t n);
int device_of(const void *p);                              // -1: not device memory
bool pinned(const void *p, size_t n);
struct Device { size_t used; };
size_t n_contexts();                                       // devices that were made current and not reset since
extern EMU_LOCAL thread_local int device_now;
long objects();                                            // streams, events, graphs alive (emu_stream.cpp)
void objects_words(std::string *to);

// ---- kernels (emu_block.cpp)
struct Blk;
struct Launch { const char *name; dim3 g, b; size_t smem; std::function<void()> body; bool early, asked; };      // asked: more than 48 KB of shared memory were
struct Held { std::vector<Blk *> blk; bool let; };         // blocks that wait before their time; all have let the next start
void start_early(const Launch &l, Held *h);                // h: empty
void run_grid(const Launch &l, Held *h);                   // h: what start_early gave, or nullptr

// ---- statistics (emu_stats.cpp)
extern emu_stats st;
void count_kernel(const char *name, uint64_t blocks, uint64_t threads);

// ---- a block as it runs
struct Fiber {
    void *sp;
    const void *stack;
    size_t size;
    void *fake, *tsan;
};
struct Wait { unsigned mask; void (*fn)(unsigned mask, void *const *arg); void *arg; const char *name; int line; };
struct Copy { void *s; const void *g; int bytes, from_global, group; };
enum State { FRESH, RUNNING, IN_WARP, AT_BARRIER, EARLY, DONE };
struct alignas(64) Lane : Thread {                         // what a barrier touches lies in the first line of the cache
    Fiber *fiber;                                          // while it waits
    State state;
    int bar_line, bar_kind, bar_pred;
    Wait wait;
    unsigned warp_syncs;
    int group;
    bool fenced;
    std::vector<Copy> copies;
    std::vector<void *> touched;                           // TSan: words of its atomics since the last fence or barrier
};
struct Warp { unsigned live, ready, arrived; };            // lanes not returned; that can run and do not; in a collective
struct Array { const void *key; void *mem; size_t bytes; };
struct Blk : Block {
    std::vector<Lane> lane;
    std::vector<Warp> warp;
    unsigned n, live, waiting, warps_ready, at;            // at: the warp that runs
    int bar_result;
    uint64_t bar_count;
    unsigned held;                                         // lanes in wait_before, while this runs early
    bool early, waited, let;                               // runs early; some lane has called wait_before, let_next
    int set;                                               // TSan: fibers of its own, where it runs early; else -1
    char *order;                                           // TSan: 2 bytes for the block, 2 for each warp
    std::vector<Array> arrays;
    std::vector<void *> touched;                           // TSan: of all lanes' atomics before the last barrier
    void *dyn;
    size_t dyn_bytes, used, most;
};
static inline Lane *self() { return static_cast<Lane *>(cur); }
static inline Blk *block() { return static_cast<Blk *>(cur->blk); }
void wake(Warp &w, unsigned warp, unsigned lanes);
void suspend(State why);                                   // until woken
void copy_all();                                           // what cp.async has on its way (emu_warp.cpp)
void give_way(int one_in);                                 // lets others run first, when the order is random
bool in_shared(const void *p, size_t n);
void reads(const void *p, size_t n);                       // tell the sanitizer what the emulator does in a thread's name
}
