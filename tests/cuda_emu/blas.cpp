// blas.cpp: the library that stands for cuBLAS in tests, a file of its own that plugins open as they open cuBLAS: the few entries
// that kernels/cuda/blas.cu asks for, answered by plain loops behind what the stream has to do first, and only for what the real
// one would take. Part of nothing but build/libcublas-emu.so. See emu_blas.h.
#include <unistd.h>
#include "emu_blas.h"

enum { SUCCESS = 0, NOT_INITIALIZED = 1, ALLOC_FAILED = 3, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum { OP_N = 0, OP_T = 1, REAL_16F = 2, REAL_32F = 0, COMPUTE_32F = 68, GEMM_DEFAULT = -1 };
static emu_blas_host host;
struct Handle { cudaStream_t st; void *room; size_t bytes; unsigned alive; };
struct Gemm { int m, n, k, lda, ldb, ldc; float alpha, beta; const uint16_t *a, *b; float *c; char *room; };
// Several with one size each; where their matrices lie is read from the device when their turn comes.
struct Groups { Gemm *of; int n; const uint16_t *const *a, *const *b; uint16_t *const *c; char *room; };

static bool good(const void *h) { return h && ((const Handle *)h)->alive == 0x600dc0de; }

static float value_of(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    float v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(m + 1024), e - 25) : ldexpf((float)m, -24);
    return h & 0x8000 ? -v : v;
}
// All halves as floats: most of a test's time was in making them, number by number.
static const struct Values {
    float of[1 << 16];
    Values() { for (int h = 0; h < 1 << 16; h++) of[h] = value_of((uint16_t)h); }
} values;
static float sum_of(const Gemm *g, int i, int j)
{
    const uint16_t *a = g->a + (size_t)i * (size_t)g->lda, *b = g->b + (size_t)j * (size_t)g->ldb;
    float sum = 0;
    for (int k = 0; k < g->k; k++) sum += values.of[a[k]] * values.of[b[k]];
    return sum;
}
static void multiply(void *p)
{
    Gemm *g = (Gemm *)p;
    for (int j = 0; j < g->n; j++)
        for (int i = 0; i < g->m; i++) {
            float sum = sum_of(g, i, j), *c = g->c + (size_t)j * (size_t)g->ldc + (size_t)i;
            *c = g->alpha * sum + (g->beta != 0 ? g->beta * *c : 0);
        }
    if (g->room) memset(g->room, 0xcd, 64);                // what it was given, it writes to
    delete g;
}
static void multiply_groups(void *p)
{
    Groups *s = (Groups *)p;
    for (int g = 0; g < s->n; g++) {
        Gemm &one = s->of[g];
        one.a = s->a[g], one.b = s->b[g];
        size_t a_n = (size_t)(one.m - 1) * (size_t)one.lda + (size_t)one.k, b_n = (size_t)(one.n - 1) * (size_t)one.ldb + (size_t)one.k, c_n = (size_t)(one.n - 1) * (size_t)one.ldc + (size_t)one.m;
        if ((uintptr_t)one.a % 16 || (uintptr_t)one.b % 16 || (uintptr_t)s->c[g] % 16 || !host.device(one.a, a_n * 2) || !host.device(one.b, b_n * 2) || !host.device(s->c[g], c_n * 2)) {
            fprintf(stderr, "EMU ERROR: cublasGemmGroupedBatchedEx: matrices of group %d do not lie where they can be\n", g);
            _exit(97);
        }
        for (int j = 0; j < one.n; j++)
            for (int i = 0; i < one.m; i++) {
                uint16_t v = emu::float_to_half(sum_of(&one, i, j));       // beyond a half: infinite, as there
                s->c[g][(size_t)j * (size_t)one.ldc + (size_t)i] = v;
            }
    }
    if (s->room) memset(s->room, 0xcd, 64);
    delete[] s->of;
    delete s;
}

extern "C" {
void emu_blas_bind(const emu_blas_host *h) { host = *h; }

int cublasCreate_v2(void **to)
{
    if (host.fails("cublasCreate")) return ALLOC_FAILED;
    *to = new Handle{ nullptr, nullptr, 0, 0x600dc0de };
    host.held(1);
    return SUCCESS;
}
int cublasDestroy_v2(void *h)
{
    if (!good(h)) return NOT_INITIALIZED;
    ((Handle *)h)->alive = 0;
    delete (Handle *)h;
    host.held(-1);
    return SUCCESS;
}
int cublasSetStream_v2(void *h, cudaStream_t st)
{
    if (!good(h)) return NOT_INITIALIZED;
    if (host.fails("cublasSetStream")) return EXECUTION_FAILED;
    ((Handle *)h)->st = st;
    ((Handle *)h)->room = nullptr;                         // the real one forgets it then
    return SUCCESS;
}
int cublasSetWorkspace_v2(void *h, void *room, size_t bytes)
{
    if (!good(h)) return NOT_INITIALIZED;
    if (host.fails("cublasSetWorkspace")) return EXECUTION_FAILED;
    if ((uintptr_t)room % 256 || !host.device(room, bytes)) return INVALID_VALUE;
    ((Handle *)h)->room = room;
    ((Handle *)h)->bytes = bytes;
    return SUCCESS;
}
int cublasGemmEx(void *h, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda, const void *b, int b_type, int ldb,
                 const void *beta, void *c, int c_type, int ldc, int compute, int algo)
{
    if (!good(h)) return NOT_INITIALIZED;
    if (host.fails("cublasGemmEx")) return EXECUTION_FAILED;
    if (op_a != OP_T || op_b != OP_N || a_type != REAL_16F || b_type != REAL_16F || c_type != REAL_32F || compute != COMPUTE_32F || algo != GEMM_DEFAULT) return NOT_SUPPORTED;
    if (m < 0 || n < 0 || k < 0 || lda < k || ldb < k || ldc < m) return INVALID_VALUE;
    if (!m || !n) return SUCCESS;
    size_t a_n = (size_t)(m - 1) * (size_t)lda + (size_t)k, b_n = (size_t)(n - 1) * (size_t)ldb + (size_t)k, c_n = (size_t)(n - 1) * (size_t)ldc + (size_t)m;
    if ((uintptr_t)a % 16 || (uintptr_t)b % 16 || !host.device(a, a_n * 2) || !host.device(b, b_n * 2) || !host.device(c, c_n * 4)) return INVALID_VALUE;
    Handle *at = (Handle *)h;
    Gemm *g = new Gemm{ m, n, k, lda, ldb, ldc, *(const float *)alpha, *(const float *)beta, (const uint16_t *)a, (const uint16_t *)b, (float *)c, (char *)at->room };
    if (host.later(at->st, multiply, g)) return SUCCESS;
    delete g;
    return EXECUTION_FAILED;
}
// As its documentation has it: what a group is lies with the host, where its matrices lie on the device; outputs are of the type of
// what is multiplied.
int cublasGemmGroupedBatchedEx(void *h, const int *op_a, const int *op_b, const int *m, const int *n, const int *k, const void *alpha, const void *const *a, int a_type,
                               const int *lda, const void *const *b, int b_type, const int *ldb, const void *beta, void *const *c, int c_type, const int *ldc, int n_group,
                               const int *size, int compute)
{
    if (!good(h)) return NOT_INITIALIZED;
    if (host.fails("cublasGemmGroupedBatchedEx")) return EXECUTION_FAILED;
    if (a_type != REAL_16F || b_type != REAL_16F || c_type != REAL_16F || compute != COMPUTE_32F) return NOT_SUPPORTED;
    if (n_group < 0 || !host.device(a, (size_t)n_group * 8) || !host.device(b, (size_t)n_group * 8) || !host.device(c, (size_t)n_group * 8)) return INVALID_VALUE;
    for (int g = 0; g < n_group; g++) {
        if (op_a[g] != OP_T || op_b[g] != OP_N || size[g] != 1 || ((const float *)alpha)[g] != 1 || ((const float *)beta)[g] != 0) return NOT_SUPPORTED;
        if (m[g] < 1 || n[g] < 1 || k[g] < 1 || lda[g] < k[g] || ldb[g] < k[g] || ldc[g] < m[g]) return INVALID_VALUE;
    }
    Handle *at = (Handle *)h;
    Groups *s = new Groups{ new Gemm[(size_t)n_group], n_group, (const uint16_t *const *)a, (const uint16_t *const *)b, (uint16_t *const *)c, (char *)at->room };
    for (int g = 0; g < n_group; g++) s->of[g] = Gemm{ m[g], n[g], k[g], lda[g], ldb[g], ldc[g], 1, 0, nullptr, nullptr, nullptr, nullptr };
    if (host.later(at->st, multiply_groups, s)) return SUCCESS;
    delete[] s->of;
    delete s;
    return EXECUTION_FAILED;
}
}
