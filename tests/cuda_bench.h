/* tests: single kernels of the CUDA backend over the emulator: numbers, device memory, weights as planes, a context made by
 * hand. Plain C++; everything that a bench keeps goes with it. */
#ifndef QUORUM_TESTS_CUDA_BENCH_H
#define QUORUM_TESTS_CUDA_BENCH_H

#include "kernels/cuda/types.cuh"

extern "C" {
#include "kernels/cpu/mat.h"
}
#include "tests/test.h"

#include <vector>

static uint64_t seed = 88172645463325252u;
static inline uint32_t rnd(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed >> 24);
}
static inline float rndf(void) { return (float)(rnd() & 0xffff) / 32768.0f - 1; }

/* Random rows of a type: now and then the extreme bytes, with tame scales so that nothing is NaN. */
static inline void fill_row(int type, uint8_t *p, int64_t n)
{
    const ker_type *t = ker_type_get(type);
    if (t->act == KER_ACT_F32) {
        for (int64_t i = 0; i < n; i++) {
            float f = rndf();
            t->encode(&f, p + i * t->bytes, 1);
        }
        return;
    }
    for (int64_t b = 0; b < n / t->block; b++, p += t->bytes) {
        uint32_t kind = rnd() % 8;
        for (int i = 0; i < t->bytes; i++) p[i] = kind == 0 ? 0xff : kind == 1 ? 0x80 : kind == 2 ? 0 : (uint8_t)rnd();
        float d = rndf() * 0.02f;
        ker_type_scale(type, p, d, rndf() * 0.02f);
    }
}

template <class T> static T *device(size_t n)
{
    T *p = NULL;
    if (cudaMalloc(&p, (n ? n : 1) * sizeof(T)) != cudaSuccess) abort();
    return p;
}
template <class T> static T *to_device(const T *from, size_t n)
{
    T *p = device<T>(n);
    if (cudaMemcpy(p, from, n * sizeof(T), cudaMemcpyHostToDevice) != cudaSuccess) abort();
    return p;
}
template <class T> static std::vector<T> back(const T *from, size_t n)
{
    std::vector<T> v(n);
    if (cudaMemcpy(v.data(), from, n * sizeof(T), cudaMemcpyDeviceToHost) != cudaSuccess) abort();
    return v;
}

/* A context with just what these kernels read; freed with the process's device memory. */
struct bench {
    ker_dev dev;
    ker_ctx c;
    cu_layer layers[2];
    ker_layer plain[2];
    std::vector<void *> mem;
    bench(int n_rows, int n_embd, int rope_dim)
    {
        memset(&dev, 0, sizeof dev);
        memset((void *)&c, 0, sizeof c);
        memset(layers, 0, sizeof layers);
        memset(plain, 0, sizeof plain);
        dev.m.layer = plain;
        dev.m.n_embd = n_embd;
        dev.m.rope_dim = rope_dim;
        dev.layer = layers;
        c.dev = &dev;
        c.shape.n = n_rows;
        CHECK(cudaStreamCreateWithFlags(&c.st, cudaStreamNonBlocking) == cudaSuccess);
        std::vector<unsigned> none((size_t)n_rows, 0u);
        c.tr.bad = keep(to_device(none.data(), none.size()));
    }
    ~bench()
    {
        cudaStreamSynchronize(c.st);
        for (void *p : mem) cudaFree(p);
        cudaStreamDestroy(c.st);
    }
    template <class T> T *keep(T *p) { mem.push_back((void *)p); return p; }
    void wait() { CHECK(cudaStreamSynchronize(c.st) == cudaSuccess); }
};

static inline cu_mat upload(bench &b, int type, const std::vector<uint8_t> &file, int64_t n_in, int64_t n_out, int n_mat = 1)
{
    const ker_type *t = ker_type_get(type);
    const cu_planes *planes = cu_planes_of(type);
    int64_t blocks = n_in / t->block * n_out * n_mat;
    cu_mat w;
    memset(&w, 0, sizeof w);
    w.type = type;
    w.act = t->act;
    w.n_in = (int)n_in;
    w.n_out = (int)n_out;
    w.n_mat = n_mat;
    w.block = t->block;
    for (int i = 0, at = 0; i < planes->n; at += planes->bytes[i++]) {
        std::vector<uint8_t> one((size_t)(blocks * planes->bytes[i]));
        for (int64_t k = 0; k < blocks; k++) memcpy(&one[(size_t)(k * planes->bytes[i])], &file[(size_t)(k * t->bytes + at)], (size_t)planes->bytes[i]);
        w.p[i] = b.keep(to_device(one.data(), one.size()));
    }
    return w;
}

static inline std::vector<uint8_t> random_rows(int type, int64_t n_in, int64_t n_out)
{
    std::vector<uint8_t> file((size_t)(ker_row_bytes(type, n_in) * n_out));
    for (int64_t o = 0; o < n_out; o++) fill_row(type, &file[(size_t)(o * ker_row_bytes(type, n_in))], n_in);
    return file;
}

static inline cu_acts acts_for(bench &b, int n_rows, int n)
{
    cu_acts a;
    memset(&a, 0, sizeof a);
    for (int k = KER_ACT_Q8_32; k <= KER_ACT_Q8_256; k++) {
        a.kind[k].q = b.keep(device<int8_t>((size_t)n_rows * n));
        a.kind[k].d = b.keep(device<float>((size_t)n_rows * n / 32));
        a.kind[k].sum = b.keep(device<int>((size_t)n_rows * n / 32));
    }
    return a;
}

#endif
