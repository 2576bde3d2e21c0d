// emu_blas.h: what the library that stands for cuBLAS (tests/cuda_emu/blas.cpp) asks of the emulator that opened it. It is opened
// by its path in EMU_BLAS, each time that a plugin looks for cuBLAS; where that names nothing there is no cuBLAS.
#pragma once
#include "emu_types.h"
#include "emu_api.h"

struct emu_blas_host {
    bool (*fails)(const char *call);                       // this call is to fail
    bool (*device)(const void *p, size_t bytes);           // device memory, all of it
    bool (*later)(cudaStream_t st, void (*fn)(void *), void *data);    // when the stream comes to it; device memory may be touched then
    void (*held)(int change);                              // handles that are not given back
};
extern "C" void emu_blas_bind(const emu_blas_host *host);
