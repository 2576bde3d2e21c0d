// wrong.cu: kernels and calls with one mistake each, and the same without it. What the emulator must report, and what it
// must leave alone. wrong NAME 0|1: 1 with the mistake. Says "right", "wrong result" or what CUDA answered.
#include "kernels/cuda/gpu.h"
#define FULL 0xffffffffu

static __device__ float warp_sum(float v, unsigned mask)
{
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(mask, v, o);
    return v;
}

// ---- kernels: out[0] or out[i] is compared with what the right one gives
__global__ void k_sum(const float *x, float *out, int n, int bug)
{
    SHARED(float, part, 32);
    float s = 0;
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x) s += x[i];
    s = warp_sum(s, bug == 2 ? 0xffffu : FULL);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32 + (bug == 5 ? 29 : 0)] = s;
    if (bug != 1) __syncthreads();
    if (bug == 3 && threadIdx.x < 32) __syncthreads();
    if (bug == 4 && threadIdx.x == 40) return;
    s = warp_sum(threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : 0, FULL);
    if (threadIdx.x == 0) out[0] = s;
}
__global__ void k_branches(float *out, int bug)
{
    if (bug && threadIdx.x < 32) __syncthreads();
    else __syncthreads();
    if (bug == 2 && threadIdx.x < 32) __syncthreads();
    out[threadIdx.x] = (float)threadIdx.x;
}
__global__ void k_return(float *out, int bug)
{
    if (bug && threadIdx.x == 7) return;
    __syncthreads();
    out[threadIdx.x] = (float)threadIdx.x;
}
__global__ void k_lane(float *out, int bug)
{
    float v = (float)threadIdx.x;
    if (threadIdx.x < 16) v = __shfl_sync(0xffffu, v, bug ? 20 : 3);
    out[threadIdx.x] = v;
}
__global__ void k_misaligned(const int *x, int *out, int bug)
{
    const int4 v = *(const int4 *)(x + bug);
    out[threadIdx.x] = v.x - bug;
}
__global__ void k_pipe(const uint4 *x, unsigned *out, int n, int bug)
{
    SHARED(uint4, buf, 64);
    unsigned s = 0;
    cp_async16(&buf[threadIdx.x], x + threadIdx.x);
    cp_commit();
    for (int i = 0; i < n; i++) {
        if (i + 1 < n) cp_async16(&buf[(i + 1) % 2 * 32 + (int)threadIdx.x], x + (i + 1) * 32 + (int)threadIdx.x);
        cp_commit();
        if (bug == 1) cp_wait<2>();
        else cp_wait<1>();
        if (bug != 2) __syncwarp();
        s = s * 31 + buf[i % 2 * 32 + (int)(threadIdx.x ^ 1)].y;
        __syncwarp();
    }
    if (bug == 1) cp_wait_all();
    if (bug == 3) cp_async16(&buf[threadIdx.x], x + threadIdx.x);
    out[threadIdx.x] = s;
}
__global__ void k_matrix(const uint4 *x, unsigned *out, int bug)
{
    SHARED(uint4, rows, 32);
    rows[threadIdx.x] = x[threadIdx.x];
    if (bug != 1) __syncwarp();
    uint32_t r[4];
    ldmatrix_x4(r, (char *)&rows[threadIdx.x] + (bug == 2 ? 8 : 0) + (bug == 3 ? 512 : 0));
    out[threadIdx.x] = r[0] ^ r[1] ^ r[2] ^ r[3];
}
__global__ void k_unwritten(float *out, int bug)
{
    SHARED(float, a, 64);
    if (!bug || threadIdx.x != 9) a[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = a[threadIdx.x ^ 1];
}
__global__ void k_count(int *out, int bug)
{
    SHARED(int, n, 1);
    if (threadIdx.x == 0) n[0] = 0;
    __syncthreads();
    if (bug) n[0]++;
    else atomicAdd(&n[0], 1);
    __syncthreads();
    if (threadIdx.x == 0) out[0] = n[0];
}
__global__ void k_blocks(int *out, int bug)
{
    if (threadIdx.x) return;
    if (bug) out[0] += 1;
    else atomicAdd(out, 1);
}
__global__ void k_last(const float *x, float *part, unsigned *count, float *out, int bug)
{
    SHARED(int, last, 1);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = x[blockIdx.x];
        if (bug != 1) __threadfence();
        last[0] = atomicInc(count, gridDim.x - 1) == gridDim.x - 1;
        if (bug != 2) __threadfence();
    }
    __syncthreads();
    if (!last[0] || threadIdx.x) return;
    float s = 0;
    for (unsigned i = 0; i < gridDim.x; i++) s += part[i];
    out[0] = s;
}
__global__ void k_read(const float *x, float *out, int n, int bug)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n + bug) out[i % n] = x[i] > 0 ? 1 : 2;
}
__global__ void k_copy(const float *x, float *out, int n)
{
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x) out[i] = x[i];
}
/* May start early. bug 1: reads too soon, 2: copies too soon, 3: does not wait at all. */
__global__ void k_behind(const float *x, float *out, int bug)
{
    SHARED(float4, part, 64);
    float v = bug == 1 ? x[threadIdx.x] : 0;
    if (bug == 2) cp_async16(&part[threadIdx.x], x + 4 * threadIdx.x);
    if (bug != 3) gpu_wait_before();
    gpu_let_next();
    if (bug != 2) cp_async16(&part[threadIdx.x], x + 4 * threadIdx.x);
    cp_wait_all();
    __syncthreads();
    out[threadIdx.x] = bug == 1 ? v : ((const float *)part)[threadIdx.x];
}
/* Lets the next start before it has waited, or behind that. */
__global__ void k_between(int bug)
{
    if (bug) gpu_let_next();
    gpu_wait_before();
    if (!bug) gpu_let_next();
}
__global__ void k_third(const float *x, float *out)
{
    float v = x[threadIdx.x];
    gpu_wait_before();
    out[threadIdx.x] = v;
}
template <int N> __global__ void k_wide(float *out)
{
    SHARED(float, a, N);
    a[threadIdx.x] = 1;
    out[threadIdx.x] = a[threadIdx.x];
}
__global__ void k_dyn(float *out)
{
    DYN_SHARED(float, a);
    a[threadIdx.x] = (float)threadIdx.x;
    out[threadIdx.x] = a[threadIdx.x];
}

// ---- cases
enum { N = 256 };
struct Room {
    cudaStream_t s;
    float *x, *out;                                        // device [2 N], [2 N]
    unsigned *count;
    float *hx, *ho;                                        // pinned [2 N]
};
static int say(cudaError_t e)
{
    printf("%s\n", cudaGetErrorString(e));
    return 2;
}
static int verdict(bool right)
{
    puts(right ? "right" : "wrong result");
    return right ? 0 : 1;
}
static bool is(const float *p, int n, float (*want)(int))
{
    for (int i = 0; i < n; i++) if (!(p[i] == want(i))) return false;
    return true;
}
static float same(int i) { return (float)i; }
static float one(int) { return 1; }
static float x_of(int i) { return (float)(i % 7 + 1); }
static void fetch(Room *r, int n)
{
    cudaMemcpyAsync(r->ho, r->out, sizeof(float) * (size_t)n, cudaMemcpyDeviceToHost, r->s);
    cudaStreamSynchronize(r->s);
}
static int sum(Room *r, int bug)
{
    LAUNCH(k_sum, dim3(1), dim3(N), 0, r->s, r->x, r->out, N, bug);
    fetch(r, 1);
    float want = 0;
    for (int i = 0; i < N; i++) want += x_of(i);
    return verdict(r->ho[0] == want);
}
static int no_barrier(Room *r, int b) { return sum(r, b ? 1 : 0); }
static int half_mask(Room *r, int b) { return sum(r, b ? 2 : 0); }
static int barrier_in_one_warp(Room *r, int b) { return sum(r, b ? 3 : 0); }
static int return_before_shuffle(Room *r, int b) { return sum(r, b ? 4 : 0); }
static int shared_overrun(Room *r, int b) { return sum(r, b ? 5 : 0); }
static int branches(Room *r, int b)
{
    LAUNCH(k_branches, dim3(1), dim3(64), 0, r->s, r->out, b);
    fetch(r, 64);
    return verdict(is(r->ho, 64, same));
}
static int return_before_barrier(Room *r, int b)
{
    LAUNCH(k_return, dim3(1), dim3(64), 0, r->s, r->out, b);
    fetch(r, 64);
    return verdict(is(r->ho, 64, same));
}
static int foreign_lane(Room *r, int b)
{
    LAUNCH(k_lane, dim3(1), dim3(32), 0, r->s, r->out, b);
    fetch(r, 32);
    return verdict(r->ho[0] == 3 && r->ho[31] == 31);
}
static int misaligned(Room *r, int b)
{
    LAUNCH(k_misaligned, dim3(1), dim3(1), 0, r->s, (const int *)r->x, (int *)r->out, b);
    fetch(r, 1);
    return verdict(true);
}
static int pipe(Room *r, int bug)
{
    unsigned want[32] = { 0 }, *got = (unsigned *)r->ho, *hx = (unsigned *)r->hx;
    for (int i = 0; i < 2; i++) for (int t = 0; t < 32; t++) want[t] = want[t] * 31 + hx[(i * 32 + (t ^ 1)) * 4 + 1];
    LAUNCH(k_pipe, dim3(1), dim3(32), 0, r->s, (const uint4 *)r->x, (unsigned *)r->out, 2, bug);
    fetch(r, 32);
    return verdict(memcmp(want, got, sizeof want) == 0);
}
static int copy_wait(Room *r, int b) { return pipe(r, b ? 1 : 0); }
static int copy_no_syncwarp(Room *r, int b) { return pipe(r, b ? 2 : 0); }
static int copy_left(Room *r, int b) { return pipe(r, b ? 3 : 0); }
static int matrix(Room *r, int bug)
{
    const uint16_t *h = (const uint16_t *)r->hx;
    LAUNCH(k_matrix, dim3(1), dim3(32), 0, r->s, (const uint4 *)r->x, (unsigned *)r->out, bug);
    fetch(r, 32);
    for (int l = 0; l < 32; l++) {
        unsigned want = 0;
        for (int m = 0; m < 4; m++) for (int i = 0; i < 2; i++) want ^= (unsigned)h[(m * 8 + l / 4) * 8 + l % 4 * 2 + i] << 16 * i;
        if (want != ((unsigned *)r->ho)[l]) return verdict(false);
    }
    return verdict(true);
}
static int matrix_no_syncwarp(Room *r, int b) { return matrix(r, b ? 1 : 0); }
static int matrix_misaligned(Room *r, int b) { return matrix(r, b ? 2 : 0); }
static int matrix_overrun(Room *r, int b) { return matrix(r, b ? 3 : 0); }
static int unwritten_shared(Room *r, int b)
{
    LAUNCH(k_unwritten, dim3(1), dim3(64), 0, r->s, r->out, b);
    fetch(r, 64);
    return verdict(is(r->ho, 64, one));
}
static int plain_count(Room *r, int b)
{
    LAUNCH(k_count, dim3(1), dim3(64), 0, r->s, (int *)r->out, b);
    fetch(r, 1);
    return verdict(*(int *)r->ho == 64);
}
static int blocks_race(Room *r, int b)
{
    cudaMemsetAsync(r->out, 0, 4, r->s);
    LAUNCH(k_blocks, dim3(8), dim3(32), 0, r->s, (int *)r->out, b);
    fetch(r, 1);
    return verdict(*(int *)r->ho == 8);
}
static int last_block(Room *r, int bug)
{
    cudaMemsetAsync(r->count, 0, 4, r->s);
    LAUNCH(k_last, dim3(5), dim3(32), 0, r->s, r->x, r->out + N, r->count, r->out, bug);
    fetch(r, 1);
    return verdict(r->ho[0] == x_of(0) + x_of(1) + x_of(2) + x_of(3) + x_of(4));
}
static int no_fence_before(Room *r, int b) { return last_block(r, b ? 1 : 0); }
static int no_fence_behind(Room *r, int b) { return last_block(r, b ? 2 : 0); }
static int read_overrun(Room *r, int b)
{
    float *tight;
    cudaMalloc(&tight, sizeof(float) * N);
    cudaMemsetAsync(tight, 0, sizeof(float) * N, r->s);
    LAUNCH(k_read, dim3(2), dim3(N), 0, r->s, tight, r->out, N, b ? 8 : 0);
    fetch(r, 1);
    cudaFree(tight);
    return verdict(r->ho[0] == 2);
}
static int unwritten_device(Room *r, int b)
{
    float *fresh;
    cudaMalloc(&fresh, sizeof(float) * N);
    if (!b) cudaMemsetAsync(fresh, 0, sizeof(float) * N, r->s);
    LAUNCH(k_read, dim3(1), dim3(N), 0, r->s, fresh, r->out, N, 0);
    fetch(r, N);
    cudaFree(fresh);
    return verdict(r->ho[0] == 2);
}
/* Two kernels, the second of which may start early; into and out of memory that was zero. */
static int early(Room *r, int bug)
{
    cudaMemsetAsync(r->out, 0, sizeof(float) * 2 * N, r->s);
    LAUNCH(k_copy, dim3(1), dim3(64), 0, r->s, r->x, r->out + N, N);
    LAUNCH_EARLY(true, k_behind, dim3(1), dim3(64), 0, r->s, r->out + N, r->out, bug);
    fetch(r, 64);
    return verdict(is(r->ho, 64, x_of));
}
static int early_read(Room *r, int b) { return early(r, b ? 1 : 0); }
static int early_copy(Room *r, int b) { return early(r, b ? 2 : 0); }
static int early_without_wait(Room *r, int b) { return early(r, b ? 3 : 0); }
/* The third reads what the first wrote, and is let start by the second: which had waited for the first, or not yet. */
static int early_third(Room *r, int b)
{
    cudaMemsetAsync(r->out, 0, sizeof(float) * 2 * N, r->s);
    LAUNCH(k_copy, dim3(1), dim3(64), 0, r->s, r->x, r->out + N, N);
    LAUNCH_EARLY(true, k_between, dim3(2), dim3(32), 0, r->s, b);
    LAUNCH_EARLY(true, k_third, dim3(1), dim3(64), 0, r->s, r->out + N, r->out);
    fetch(r, 64);
    return verdict(is(r->ho, 64, x_of));
}
static int no_wait(Room *r, int b)
{
    LAUNCH(k_copy, dim3(1), dim3(64), 0, r->s, r->x, r->out, N);
    cudaMemcpyAsync(r->ho, r->out, sizeof(float) * N, cudaMemcpyDeviceToHost, r->s);
    if (!b) cudaStreamSynchronize(r->s);
    bool right = is(r->ho, N, x_of);
    cudaStreamSynchronize(r->s);
    return verdict(right);
}
static int changed_too_soon(Room *r, int b)
{
    for (int i = 0; i < N; i++) r->hx[i] = 1;
    cudaMemcpyAsync(r->x, r->hx, sizeof(float) * N, cudaMemcpyHostToDevice, r->s);
    if (!b) cudaStreamSynchronize(r->s);
    for (int i = 0; i < N; i++) r->hx[i] = 5;
    LAUNCH(k_copy, dim3(1), dim3(64), 0, r->s, r->x, r->out, N);
    fetch(r, N);
    return verdict(is(r->ho, N, one));
}
static int host_reads_device(Room *r, int b)
{
    cudaStreamSynchronize(r->s);
    return verdict(b ? r->x[3] == x_of(3) : true);
}
static int no_event(Room *r, int b)
{
    cudaStream_t other;
    cudaEvent_t e;
    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&e, cudaEventDisableTiming);
    cudaMemsetAsync(r->out, 0, sizeof(float) * N, r->s);
    cudaStreamSynchronize(r->s);
    LAUNCH(k_copy, dim3(1), dim3(64), 0, r->s, r->x, r->out + N, N);
    cudaEventRecord(e, r->s);
    if (!b) cudaStreamWaitEvent(other, e, 0);
    LAUNCH(k_copy, dim3(1), dim3(64), 0, other, r->out + N, r->out, N);
    cudaMemcpyAsync(r->ho, r->out, sizeof(float) * N, cudaMemcpyDeviceToHost, other);
    cudaStreamSynchronize(other);
    bool right = is(r->ho, N, x_of);
    cudaEventDestroy(e);
    cudaStreamDestroy(other);
    return verdict(right);
}
static int fork_not_joined(Room *r, int b)
{
    cudaStream_t other;
    cudaEvent_t e, back;
    cudaGraph_t g;
    cudaGraphExec_t x;
    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&e, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&back, cudaEventDisableTiming);
    cudaStreamBeginCapture(r->s, cudaStreamCaptureModeThreadLocal);
    LAUNCH(k_copy, dim3(1), dim3(64), 0, r->s, r->x, r->out + N, N);
    cudaEventRecord(e, r->s);
    cudaStreamWaitEvent(other, e, 0);
    LAUNCH(k_copy, dim3(1), dim3(64), 0, other, r->out + N, r->out, N / 2);
    LAUNCH(k_copy, dim3(1), dim3(64), 0, r->s, r->out + N, r->out + N / 2, N / 2);
    cudaEventRecord(back, other);
    if (!b) cudaStreamWaitEvent(r->s, back, 0);
    cudaError_t bad = cudaStreamEndCapture(r->s, &g);
    bool right = false;
    if (bad == cudaSuccess) {
        cudaGraphInstantiate(&x, g, 0);
        cudaGraphLaunch(x, r->s);
        fetch(r, N / 2);
        right = is(r->ho, N / 2, x_of);
        cudaGraphExecDestroy(x);
        cudaGraphDestroy(g);
    }
    cudaEventDestroy(e);
    cudaEventDestroy(back);
    cudaStreamDestroy(other);
    return bad != cudaSuccess ? say(bad) : verdict(right);
}
static int in_capture(Room *r, int bug)
{
    cudaGraph_t g;
    float loose[4] = { 0 }, *p = nullptr;
    cudaStreamBeginCapture(r->s, cudaStreamCaptureModeThreadLocal);
    cudaMemcpyAsync(r->out, r->hx, sizeof loose, cudaMemcpyHostToDevice, r->s);
    if (bug == 1) cudaMalloc(&p, 16);
    if (bug == 2) cudaMemcpyAsync(r->out, loose, sizeof loose, cudaMemcpyHostToDevice, r->s);
    if (bug == 3) cudaStreamSynchronize(r->s);
    cudaError_t e = cudaStreamEndCapture(r->s, &g);
    if (e != cudaSuccess) return say(e);
    cudaGraphDestroy(g);
    return verdict(true);
}
static int malloc_in_capture(Room *r, int b) { return in_capture(r, b ? 1 : 0); }
static int loose_copy_in_capture(Room *r, int b) { return in_capture(r, b ? 2 : 0); }
static int wait_in_capture(Room *r, int b) { return in_capture(r, b ? 3 : 0); }
static int answered(cudaError_t e, Room *r)
{
    cudaStreamSynchronize(r->s);
    return e == cudaSuccess ? verdict(true) : say(e);
}
static int wrong_way(Room *r, int b)
{
    return answered(cudaMemcpyAsync(r->out, r->hx, 16, b ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, r->s), r);
}
static int copy_overrun(Room *r, int b)
{
    return answered(cudaMemcpyAsync(r->x, r->hx, sizeof(float) * (2 * N + (size_t)b), cudaMemcpyHostToDevice, r->s), r);
}
static int big_block(Room *r, int b)
{
    LAUNCH(k_copy, dim3(1), dim3(b ? 1056 : 1024), 0, r->s, r->x, r->out, N);
    return answered(cudaGetLastError(), r);
}
static int empty_grid(Room *r, int b)
{
    LAUNCH(k_copy, dim3(b ? 0 : 1), dim3(32), 0, r->s, r->x, r->out, N);
    return answered(cudaGetLastError(), r);
}
static int dyn_not_asked(Room *r, int b)
{
    if (!b) cudaFuncSetAttribute(k_dyn, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10);
    LAUNCH(k_dyn, dim3(1), dim3(32), 64 << 10, r->s, r->out);
    return answered(cudaGetLastError(), r);
}
static int dyn_missing(Room *r, int b)
{
    LAUNCH(k_dyn, dim3(1), dim3(32), b ? 0 : 128, r->s, r->out);
    fetch(r, 32);
    return verdict(is(r->ho, 32, same));
}
static int too_much_static(Room *r, int b)
{
    if (b) LAUNCH((k_wide<12289>), dim3(1), dim3(32), 0, r->s, r->out);
    else LAUNCH((k_wide<12288>), dim3(1), dim3(32), 0, r->s, r->out);
    fetch(r, 32);
    return verdict(is(r->ho, 32, one));
}
static int static_beside_dynamic(Room *r, int b)
{
    if (!b) cudaFuncSetAttribute(k_wide<8192>, cudaFuncAttributeMaxDynamicSharedMemorySize, 32 << 10);
    LAUNCH((k_wide<8192>), dim3(1), dim3(32), 32 << 10, r->s, r->out);
    fetch(r, 32);
    return verdict(is(r->ho, 32, one));
}
static int foreign_device(Room *r, int b)
{
    cudaSetDevice(b);
    LAUNCH(k_copy, dim3(1), dim3(32), 0, r->s, r->x, r->out, N);
    cudaError_t e = cudaGetLastError();
    cudaSetDevice(0);
    return answered(e, r);
}
static int leak(Room *r, int b)
{
    float *p;
    cudaMalloc(&p, 64);
    if (!b) cudaFree(p);
    return answered(cudaSuccess, r);
}

static const struct { const char *name; int (*fn)(Room *, int); } CASES[] = {
#define CASE(f) { #f, f },
    CASE(no_barrier) CASE(half_mask) CASE(barrier_in_one_warp) CASE(return_before_shuffle) CASE(shared_overrun) CASE(branches)
    CASE(return_before_barrier) CASE(foreign_lane) CASE(misaligned) CASE(copy_wait) CASE(copy_no_syncwarp) CASE(copy_left)
    CASE(matrix_no_syncwarp) CASE(matrix_misaligned) CASE(matrix_overrun) CASE(unwritten_shared) CASE(plain_count) CASE(blocks_race)
    CASE(no_fence_before) CASE(no_fence_behind) CASE(read_overrun) CASE(unwritten_device) CASE(early_read) CASE(early_copy)
    CASE(early_without_wait) CASE(early_third) CASE(no_wait) CASE(changed_too_soon)
    CASE(host_reads_device) CASE(no_event) CASE(fork_not_joined) CASE(malloc_in_capture) CASE(loose_copy_in_capture)
    CASE(wait_in_capture) CASE(wrong_way) CASE(copy_overrun) CASE(big_block) CASE(empty_grid) CASE(dyn_not_asked) CASE(dyn_missing)
    CASE(too_much_static) CASE(static_beside_dynamic) CASE(foreign_device) CASE(leak)
};
static const char *kind()
{
#if defined(__SANITIZE_THREAD__)
    return "tsan";
#elif defined(__SANITIZE_ADDRESS__)
    return "asan";
#elif defined(__has_feature)
#if __has_feature(memory_sanitizer)
    return "msan";
#endif
#endif
    return "plain";
}
int main(int argc, char **argv)
{
    if (argc < 3) {
        puts(kind());
        return 0;
    }
    for (auto &c : CASES) {
        if (strcmp(c.name, argv[1]) != 0) continue;
        Room r;
        size_t n = sizeof(float) * 2 * N;
        cudaStreamCreateWithFlags(&r.s, cudaStreamNonBlocking);
        cudaMalloc(&r.x, n);
        cudaMalloc(&r.out, n);
        cudaMalloc(&r.count, sizeof *r.count);
        cudaMallocHost(&r.hx, n);
        cudaMallocHost(&r.ho, n);
        for (int i = 0; i < 2 * N; i++) r.hx[i] = x_of(i), r.ho[i] = -1;
        cudaMemcpyAsync(r.x, r.hx, n, cudaMemcpyHostToDevice, r.s);
        cudaStreamSynchronize(r.s);
        int rc = c.fn(&r, atoi(argv[2]));
        cudaFree(r.x);
        cudaFree(r.out);
        cudaFree(r.count);
        cudaFreeHost(r.hx);
        cudaFreeHost(r.ho);
        cudaStreamDestroy(r.s);
        return rc;
    }
    return 9;
}
