// emu_blas.cpp: the emulator's side of the library that stands for cuBLAS. See emu_blas.h.
#include <dlfcn.h>
#include "emu_blas.h"
#include "emu_inside.h"

namespace emu {
long blas_handles;
static bool fails(const char *call)
{
    cudaError_t e;
    Guard guard;
    return inject(call, cudaErrorUnknown, &e);
}
static bool device(const void *p, size_t n)
{
    Guard guard;
    return in_device(p, n);
}
struct Job { void (*fn)(void *); void *data; };
static void run(void *p)
{
    Job *j = (Job *)p;
    open_device(true);
    j->fn(j->data);
    open_device(false);
    delete j;
}
static bool later(cudaStream_t st, void (*fn)(void *), void *data)
{
    Job *j = new Job{ fn, data };
    if (cudaLaunchHostFunc(st, run, j) == cudaSuccess) return true;
    delete j;
    return false;
}
static void held(int change) { blas_handles += change; }

void *blas_open()
{
    static const emu_blas_host host = { fails, device, later, held };
    const char *path = getenv("EMU_BLAS");
    if (!path || !*path || fails("dlopen")) return nullptr;
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL), *sym = lib ? dlsym(lib, "emu_blas_bind") : nullptr;
    void (*bind)(const emu_blas_host *);
    memcpy(&bind, &sym, sizeof bind);
    if (sym) bind(&host);
    return lib;
}
}
