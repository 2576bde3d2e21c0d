/* emu_stats.h: what a test may ask of the emulator and set in it. C and C++. A plugin's user finds emu_api by dlsym;
 * a plugin made by nvcc has no such name. Not for several threads at once. */
#ifndef EMU_STATS_H
#define EMU_STATS_H

#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct emu_stats {                 /* since the last reset                                    */
    uint64_t launches;                     /* kernels that ran, those of graphs too                   */
    uint64_t graph_kernels;                /* of them, inside graphs                                  */
    uint64_t graph_launches, graphs_made, graphs_updated;
    uint64_t h2d, h2d_bytes, d2h, d2h_bytes, d2d, d2d_bytes, sets, set_bytes;
    uint64_t host_syncs;                   /* calls that made the host wait for the device: synchronise, copies of
                                              pageable memory to the host, cudaMemcpy, freeing while work is queued */
    uint64_t mallocs, frees, host_mallocs, host_frees;
    uint64_t calls;                        /* calls that can fail                                     */
    uint64_t fibers;                       /* switches between threads of kernels                     */
    uint64_t held, peak;                   /* device bytes now, and at most since the reset           */
    uint64_t contexts;                     /* devices that this process holds something of now        */
} emu_stats;

typedef struct emu_kernel { const char *name; uint64_t launches, blocks, threads; } emu_kernel;

typedef struct emu_api_table {
    void (*stats)(emu_stats *to);
    void (*reset)(void);
    size_t (*kernels)(emu_kernel *to, size_t most);      /* how many kernels have run since the reset, the first `most` into to */
    void (*set)(const char *what, long v);               /* an EMU_ variable by its name without EMU_, in lower case: "seed", "mem_mb", ... */
    void (*fail_at)(long n);                             /* counts anew: the n-th call from here fails; 0: none   */
    void (*fail)(const char *call, long n);              /* the n-th call of this name from here; NULL: none      */
    size_t (*leaks)(char *words, size_t n);              /* how many objects are held, with words for people      */
} emu_api_table;

__attribute__((visibility("default"))) const emu_api_table *emu_api(void);

#ifdef __cplusplus
}
#endif
#endif
