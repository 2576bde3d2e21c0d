// emu_exec.h: a kernel's threads: who they are, how they wait for each other, how they are launched. Part of emu.h.
#pragma once
#include <functional>
#include "emu_api.h"

namespace emu {
void *blas_open();                                         // the file that EMU_BLAS names, or null (emu_blas.h)
struct Block {
    uint3 bid;
    dim3 bdim, gdim;
};
struct Thread {
    uint3 tid;
    unsigned lin, lane, warp;
    Block *blk;
};
extern Thread *cur;                                            // the running thread of a kernel; nullptr on the host
[[noreturn]] void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

enum { SYNC, COUNT, AND, OR };
int barrier(int line, int kind, int pred);
void *shared_slot(const void *key, size_t bytes);              // the block's array of this key, made on the first call
void *dyn_shared();
enum { IDX, UP, DOWN, XOR };
void shfl_bits(unsigned mask, int kind, uint64_t *v, int p, int width, int line);
enum { BALLOT, ANY, ALL, UNI };
unsigned vote(unsigned mask, int kind, int pred, int line);
unsigned match_any(unsigned mask, uint64_t v, int line);
enum { R_ADD, R_MIN, R_MAX, R_UMIN, R_UMAX, R_AND, R_OR, R_XOR };
unsigned reduce(unsigned mask, int kind, unsigned v, int line);
void syncwarp(unsigned mask, int line);
unsigned active_mask();
void fence();
void wait_before();                                            // gpu_wait_before and gpu_let_next
void let_next();
void next_launch_is_early(bool early);
void cp_async(void *s, const void *g, int bytes, int from_global);     // the rest up to bytes becomes zero
void cp_commit();
void cp_wait(int n);                                           // until at most n groups are on their way
void cp_wait_all();
void ldmatrix(uint32_t *r, const void *row, int num, bool trans);
void mma_f16(float *d, const uint32_t *a, const uint32_t *b);  // m16n8k16, f32 += f16 f16
void mma_bf16(float *d, const uint32_t *a, const uint32_t *b); // m16n8k16, f32 += bf16 bf16
void mma_s8(int *d, const uint32_t *a, const uint32_t *b);     // m16n8k32, s32 += s8 s8
void mma_s8_k16(int *d, const uint32_t *a, const uint32_t *b); // m16n8k16, s32 += s8 s8
cudaError_t launch(const void *fn, const char *name, dim3 g, dim3 b, size_t smem, cudaStream_t st, std::function<void()> body);

template <class T> T shfl(unsigned m, int kind, T v, int p, int w, int line)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "shuffles move at most 8 bytes");
    uint64_t u = 0;
    memcpy(&u, &v, sizeof v);
    shfl_bits(m, kind, &u, p, w, line);
    memcpy(&v, &u, sizeof v);
    return v;
}
// What five shuffles in a butterfly give, in one meeting of the lanes: gpu_fold.
void collective(unsigned mask, void (*fn)(unsigned mask, void *const *arg), void *arg, const char *name, int line);
// The last lane to come does all lanes' work in their variables: a shuffle's, which the race detector is not to see.
template <class T, class F> __attribute__((no_sanitize("thread"))) void fold_lanes(unsigned, void *const *arg)
{
    T a[32], b[32];
    F f;
    for (int l = 0; l < 32; l++) a[l] = *(T *)arg[l];
    for (int o = 16; o; o >>= 1) {
        for (int l = 0; l < 32; l++) b[l] = f(a[l], a[l ^ o]);
        memcpy(a, b, sizeof a);
    }
    for (int l = 0; l < 32; l++) *(T *)arg[l] = a[l];
}
template <class T, class F> T fold(T v, F)
{
    static_assert(std::is_default_constructible_v<F>, "what is folded by captures nothing");
    collective(~0u, fold_lanes<T, F>, &v, "a fold", 0);
    return v;
}
template <class... P, class... A> void launch_kernel(const char *name, void (*k)(P...), dim3 g, dim3 b, size_t sm, cudaStream_t st, A... a)
{
    static_assert((0 + ... + sizeof(P)) <= 4096, "a kernel takes at most 4096 bytes of arguments");
    launch((const void *)k, name, g, b, sm, st, [=] { k(static_cast<P>(a)...); });
}
}
#define threadIdx (emu::cur->tid)
#define blockIdx (emu::cur->blk->bid)
#define blockDim (emu::cur->blk->bdim)
#define gridDim (emu::cur->blk->gdim)
static const int warpSize = 32;

#define __syncthreads() ((void)emu::barrier(__LINE__, emu::SYNC, 0))
#define __syncthreads_count(p) emu::barrier(__LINE__, emu::COUNT, !!(p))
#define __syncthreads_and(p) emu::barrier(__LINE__, emu::AND, !!(p))
#define __syncthreads_or(p) emu::barrier(__LINE__, emu::OR, !!(p))

#define EMU_FIRST(a, ...) a
#define EMU_WIDTH(...) EMU_FIRST(__VA_ARGS__ __VA_OPT__(, ) 32)
#define EMU_MASK(...) EMU_FIRST(__VA_ARGS__ __VA_OPT__(, ) 0xffffffffu)
#define __shfl_sync(m, v, p, ...) emu::shfl(m, emu::IDX, v, (int)(p), EMU_WIDTH(__VA_ARGS__), __LINE__)
#define __shfl_up_sync(m, v, p, ...) emu::shfl(m, emu::UP, v, (int)(p), EMU_WIDTH(__VA_ARGS__), __LINE__)
#define __shfl_down_sync(m, v, p, ...) emu::shfl(m, emu::DOWN, v, (int)(p), EMU_WIDTH(__VA_ARGS__), __LINE__)
#define __shfl_xor_sync(m, v, p, ...) emu::shfl(m, emu::XOR, v, (int)(p), EMU_WIDTH(__VA_ARGS__), __LINE__)
#define __ballot_sync(m, p) emu::vote(m, emu::BALLOT, !!(p), __LINE__)
#define __any_sync(m, p) ((int)emu::vote(m, emu::ANY, !!(p), __LINE__))
#define __all_sync(m, p) ((int)emu::vote(m, emu::ALL, !!(p), __LINE__))
#define __uni_sync(m, p) ((int)emu::vote(m, emu::UNI, !!(p), __LINE__))
#define __match_any_sync(m, v) emu::match_any(m, (uint64_t)(v), __LINE__)
#define __syncwarp(...) emu::syncwarp(EMU_MASK(__VA_ARGS__), __LINE__)
#define __activemask() emu::active_mask()
#define __threadfence() emu::fence()
#define __threadfence_block() emu::fence()
#define __threadfence_system() emu::fence()
#define __trap() emu::die("line %d: __trap", __LINE__)
static inline unsigned __reduce_add_sync(unsigned m, unsigned v) { return emu::reduce(m, emu::R_ADD, v, 0); }
static inline int __reduce_add_sync(unsigned m, int v) { return (int)emu::reduce(m, emu::R_ADD, (unsigned)v, 0); }
static inline unsigned __reduce_min_sync(unsigned m, unsigned v) { return emu::reduce(m, emu::R_UMIN, v, 0); }
static inline int __reduce_min_sync(unsigned m, int v) { return (int)emu::reduce(m, emu::R_MIN, (unsigned)v, 0); }
static inline unsigned __reduce_max_sync(unsigned m, unsigned v) { return emu::reduce(m, emu::R_UMAX, v, 0); }
static inline int __reduce_max_sync(unsigned m, int v) { return (int)emu::reduce(m, emu::R_MAX, (unsigned)v, 0); }
static inline unsigned __reduce_and_sync(unsigned m, unsigned v) { return emu::reduce(m, emu::R_AND, v, 0); }
static inline unsigned __reduce_or_sync(unsigned m, unsigned v) { return emu::reduce(m, emu::R_OR, v, 0); }
static inline unsigned __reduce_xor_sync(unsigned m, unsigned v) { return emu::reduce(m, emu::R_XOR, v, 0); }
