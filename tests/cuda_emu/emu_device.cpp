// emu_device.cpp: devices, memory, errors, and calls that are told to fail.
#include <malloc.h>
#include <set>
#include "emu_inside.h"

namespace emu {
Options opt = { 0, 1, 13000, 1024, 99 << 10, 90, 4, 0, 0, 0, 0, 0, 0 };
std::recursive_mutex lock;
EMU_LOCAL thread_local int device_now;
EMU_LOCAL static thread_local cudaError_t last = cudaSuccess;

static const struct { const char *env, *name; long Options::*field; } OPTIONS[] = {
    { "EMU_SEED", "seed", &Options::seed },       { "EMU_DEVICES", "devices", &Options::devices }, { "EMU_DRIVER", "driver", &Options::driver },
    { "EMU_MEM_MB", "mem_mb", &Options::mem_mb }, { "EMU_SMEM", "smem", &Options::smem },          { "EMU_CC", "cc", &Options::cc },
    { "EMU_SMS", "sms", &Options::sms },          { "EMU_SYNC", "sync", &Options::sync },          { "EMU_TRACE", "trace", &Options::trace },
    { "EMU_LEAK", "leak", &Options::leak },       { "EMU_FAIL_AT", "fail_at", &Options::fail_at }, { "EMU_STICKY", "sticky", &Options::sticky },
    { "EMU_CC_FIRST", "cc_first", &Options::cc_first },
};
static uint64_t random_state;
static std::string fail_name;
static long fail_nth, calls;
static cudaError_t stuck_error = cudaSuccess;

static void seed(long s) { random_state = (uint64_t)s * 0x9e3779b97f4a7c15ull + 88172645463325252ull; }
uint32_t rnd()
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}
static void at_exit()
{
    std::string words;
    if (!objects()) return;
    objects_words(&words);
    fflush(stdout);
    fprintf(stderr, "EMU LEAK: %s\n", words.c_str());
    fflush(stderr);
    _Exit(98);
}
void init()
{
    static bool done;
    if (done) return;
    done = true;
    for (auto &o : OPTIONS) {
        const char *s = getenv(o.env);
        if (s && *s) opt.*o.field = atol(s);
    }
    if (const char *s = getenv("EMU_FAIL")) {
        const char *colon = strchr(s, ':');
        fail_name = colon ? std::string(s, (size_t)(colon - s)) : s;
        fail_nth = colon ? atol(colon + 1) : 1;
    }
    seed(opt.seed);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);                    // a device's memory comes and goes with each context: pages that stay
    mallopt(M_TRIM_THRESHOLD, 1 << 30);                    // are not asked of the system, and cleared by it, again and again
    if (opt.leak) atexit(at_exit);
}
void set_option(const char *what, long v)
{
    Guard guard;
    for (auto &o : OPTIONS) if (strcmp(what, o.name) == 0) {
        opt.*o.field = v;
        if (strcmp(what, "seed") == 0) seed(v);
        return;
    }
    die("the emulator has no option %s", what);
}
void fail_at(long n)
{
    Guard guard;
    opt.fail_at = n, calls = 0, stuck_error = cudaSuccess, last = cudaSuccess;
}
void fail(const char *call, long n)
{
    Guard guard;
    fail_name = call ? call : "";
    fail_nth = n;
    stuck_error = cudaSuccess, last = cudaSuccess;
}

// ---- errors
cudaError_t ret(cudaError_t e)
{
    if (e != cudaSuccess && e != cudaErrorNotReady) last = e;
    return e;
}
bool inject(const char *call, cudaError_t e, cudaError_t *out)
{
    st.calls++;
    bool hit = ++calls == opt.fail_at;
    if (!fail_name.empty() && fail_name == call && --fail_nth == 0) hit = true;
    *out = stuck_error != cudaSuccess ? stuck_error : e;
    if (hit && opt.sticky) stuck_error = *out = e == cudaErrorMemoryAllocation ? e : cudaErrorLaunchFailure;
    return hit || stuck_error != cudaSuccess;
}

// ---- memory
struct Buffer { size_t n; int device; };
static Map<const char *, Buffer> held;
static Map<const char *, size_t> host, registered;
static std::vector<size_t> used;                           // by device
static std::set<int> contexts;                             // devices that were made the current one since the process began, or since they were reset
size_t n_contexts() { return contexts.size(); }

void poison(void *p, size_t n)
{
    memset(p, 0xff, n);
#ifdef EMU_MSAN
    __msan_allocated_memory(p, n);
#endif
}
void open_device(bool open)
{
    (void)open;
#ifdef EMU_ASAN
    for (auto &d : held) open ? __asan_unpoison_memory_region(d.first, d.second.n) : __asan_poison_memory_region(d.first, d.second.n);
#endif
}
static bool covers(const char *from, size_t have, const void *p, size_t n)
{
    const char *q = (const char *)p;
    return q >= from && q + n <= from + have;
}
bool in_device(const void *p, size_t n)
{
    auto it = held.at_or_below((const char *)p);
    return it != held.end() && covers(it->first, it->second.n, p, n);
}
int device_of(const void *p)
{
    auto it = held.at_or_below((const char *)p);
    return it != held.end() && covers(it->first, it->second.n, p, 1) ? it->second.device : -1;
}
bool pinned(const void *p, size_t n)
{
    auto a = host.at_or_below((const char *)p), b = registered.at_or_below((const char *)p);
    return (a != host.end() && covers(a->first, a->second, p, n)) || (b != registered.end() && covers(b->first, b->second, p, n));
}
long buffers() { return (long)(held.size() + host.size() + registered.size()); }
void buffers_words(std::string *to)
{
    if (!held.empty()) *to += std::to_string(held.size()) + " device buffers of " + std::to_string(st.held) + " bytes; ";
    if (!host.empty()) *to += std::to_string(host.size()) + " pinned buffers; ";
    if (!registered.empty()) *to += std::to_string(registered.size()) + " registered buffers; ";
}
static size_t total() { return (size_t)opt.mem_mb << 20; }
static size_t &used_now()
{
    if (used.size() <= (size_t)device_now) used.resize((size_t)device_now + 1);
    return used[(size_t)device_now];
}
bool unsafe_in_capture();                                  // emu_stream.cpp: true: a capture runs that this call breaks
bool stream_on(int device);
bool drain_all();                                          // true: something was waited for
}
using namespace emu;

cudaError_t emu_malloc(void **p, size_t n)
{
    EMU_ENTER("cudaMalloc", cudaErrorMemoryAllocation);
    *p = nullptr;
    if (unsafe_in_capture()) return ret(cudaErrorStreamCaptureUnsupported);
    if (!n) return cudaSuccess;
    if (n > total() || used_now() + n > total() || posix_memalign(p, 256, n)) return ret(cudaErrorMemoryAllocation);
    poison(*p, n);
    held[(char *)*p] = { n, device_now };
    used_now() += n;
    st.mallocs++;
    st.held += n;
    st.peak = std::max(st.peak, st.held);
    open_device(false);
    return cudaSuccess;
}
cudaError_t cudaFree(void *p)
{
    Guard guard;
    if (!p) return cudaSuccess;
    if (unsafe_in_capture()) return ret(cudaErrorStreamCaptureUnsupported);
    if (drain_all()) st.host_syncs++;
    auto it = held.find((char *)p);
    if (it == held.end()) return ret(cudaErrorInvalidValue);
    open_device(true);
    used[(size_t)it->second.device] -= it->second.n;
    st.held -= it->second.n;
    st.frees++;
    held.erase(it);
    free(p);
    open_device(false);
    return cudaSuccess;
}
cudaError_t emu_malloc_host(void **p, size_t n, const char *name)
{
    EMU_ENTER(name, cudaErrorMemoryAllocation);
    *p = nullptr;
    if (unsafe_in_capture()) return ret(cudaErrorStreamCaptureUnsupported);
    if (!n) return cudaSuccess;
    if (posix_memalign(p, 256, n)) return ret(cudaErrorMemoryAllocation);
    poison(*p, n);
    host[(char *)*p] = n;
    st.host_mallocs++;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p)
{
    Guard guard;
    if (!p) return cudaSuccess;
    if (drain_all()) st.host_syncs++;
    auto it = host.find((char *)p);
    if (it == host.end()) return ret(cudaErrorInvalidValue);
    st.host_frees++;
    host.erase(it);
    free(p);
    return cudaSuccess;
}
cudaError_t cudaHostRegister(void *p, size_t n, unsigned)
{
    EMU_ENTER("cudaHostRegister", cudaErrorNotSupported);
    if (!p || !n) return ret(cudaErrorInvalidValue);
    if (pinned(p, 1) || pinned((char *)p + n - 1, 1)) return ret(cudaErrorHostMemoryAlreadyRegistered);
    registered[(char *)p] = n;
    return cudaSuccess;
}
cudaError_t cudaHostUnregister(void *p)
{
    Guard guard;
    auto it = registered.find((char *)p);
    if (it == registered.end()) return ret(cudaErrorHostMemoryNotRegistered);
    drain_all();
    registered.erase(it);
    return cudaSuccess;
}
cudaError_t emu_host_device(void **d, void *h)
{
    EMU_ENTER("cudaHostGetDevicePointer", cudaErrorNotSupported);
    if (!pinned(h, 1)) return ret(cudaErrorInvalidValue);
    *d = h;
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    Guard guard;
    void *q = const_cast<void *>(p);
    int d = device_of(p);
    *a = { d >= 0 ? cudaMemoryTypeDevice : pinned(p, 1) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered, d < 0 ? device_now : d,
           d >= 0 ? q : nullptr, d >= 0 ? nullptr : q };
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *f, size_t *t)
{
    EMU_ENTER("cudaMemGetInfo", cudaErrorInitializationError);
    *t = total();
    *f = *t - used_now();
    return cudaSuccess;
}

// ---- devices
static cudaError_t device_error()
{
    if (opt.driver < 13000) return cudaErrorInsufficientDriver;
    return opt.devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceCount(int *n)
{
    EMU_ENTER("cudaGetDeviceCount", cudaErrorInitializationError);
    cudaError_t e = device_error();
    *n = e == cudaSuccess ? (int)opt.devices : 0;
    return ret(e);
}
cudaError_t cudaGetDevice(int *d)
{
    Guard guard;
    *d = device_now;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int d)
{
    EMU_ENTER("cudaSetDevice", cudaErrorInitializationError);
    if (device_error() != cudaSuccess) return ret(device_error());
    if (d < 0 || d >= opt.devices) return ret(cudaErrorInvalidDevice);
    device_now = d;
    contexts.insert(d);
    return cudaSuccess;
}
cudaError_t cudaDeviceReset()
{
    EMU_ENTER("cudaDeviceReset", cudaErrorInitializationError);
    drain_all();
    if (used_now() || stream_on(device_now)) die("cudaDeviceReset of device %d, which has buffers or streams", device_now);
    contexts.erase(device_now);
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int d)
{
    EMU_ENTER("cudaGetDeviceProperties", cudaErrorInitializationError);
    if (device_error() != cudaSuccess) return ret(device_error());
    if (d < 0 || d >= opt.devices) return ret(cudaErrorInvalidDevice);
    *p = cudaDeviceProp();
    snprintf(p->name, sizeof p->name, "CPU emulator");
    long cc = !d && opt.cc_first ? opt.cc_first : opt.cc;
    p->major = (int)cc / 10, p->minor = (int)cc % 10;
    p->multiProcessorCount = (int)opt.sms;
    p->totalGlobalMem = total();
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = (size_t)opt.smem;
    p->sharedMemPerMultiprocessor = (size_t)opt.smem + 1024;
    p->warpSize = 32, p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = 1536, p->regsPerBlock = 65536;
    p->l2CacheSize = 4 << 20, p->memoryBusWidth = 64, p->asyncEngineCount = 2, p->concurrentKernels = p->canMapHostMemory = 1;
    p->pciBusID = d + 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *v, cudaDeviceAttr a, int d)
{
    EMU_ENTER("cudaDeviceGetAttribute", cudaErrorInitializationError);
    if (d < 0 || d >= opt.devices) return ret(cudaErrorInvalidDevice);
    const struct { cudaDeviceAttr a; long v; } table[] = {
        { cudaDevAttrMaxThreadsPerBlock, 1024 }, { cudaDevAttrMaxSharedMemoryPerBlock, 48 << 10 }, { cudaDevAttrWarpSize, 32 },
        { cudaDevAttrMaxRegistersPerBlock, 65536 }, { cudaDevAttrClockRate, 1000000 }, { cudaDevAttrMultiProcessorCount, opt.sms },
        { cudaDevAttrIntegrated, 0 }, { cudaDevAttrCanMapHostMemory, 1 }, { cudaDevAttrConcurrentKernels, 1 },
        { cudaDevAttrMemoryClockRate, 1000000 }, { cudaDevAttrGlobalMemoryBusWidth, 64 }, { cudaDevAttrL2CacheSize, 4 << 20 },
        { cudaDevAttrMaxThreadsPerMultiProcessor, 1536 }, { cudaDevAttrAsyncEngineCount, 2 }, { cudaDevAttrComputeCapabilityMajor, opt.cc / 10 },
        { cudaDevAttrComputeCapabilityMinor, opt.cc % 10 }, { cudaDevAttrMaxSharedMemoryPerMultiprocessor, opt.smem + 1024 },
        { cudaDevAttrMaxRegistersPerMultiprocessor, 65536 }, { cudaDevAttrMaxSharedMemoryPerBlockOptin, opt.smem },
        { cudaDevAttrHostRegisterSupported, 1 }, { cudaDevAttrMaxBlocksPerMultiprocessor, 16 },
    };
    for (auto &t : table) if (t.a == a) {
        *v = (int)t.v;
        return cudaSuccess;
    }
    return ret(cudaErrorInvalidValue);
}
cudaError_t cudaDeviceGetPCIBusId(char *to, int n, int d)
{
    snprintf(to, (size_t)n, "0000:%02x:00.0", d + 1);
    return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0, *greatest = -5;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *v)
{
    Guard guard;
    *v = (int)opt.driver;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = 13000;
    return cudaSuccess;
}

// ---- words
static const struct { cudaError_t e; const char *name, *words; } ERRORS[] = {
    { cudaSuccess, "cudaSuccess", "no error" },
    { cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument" },
    { cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory" },
    { cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error" },
    { cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument" },
    { cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer" },
    { cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy" },
    { cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version" },
    { cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected" },
    { cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal" },
    { cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle" },
    { cudaErrorNotReady, "cudaErrorNotReady", "device not ready" },
    { cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered" },
    { cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch" },
    { cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered", "part or all of the requested memory range is already mapped" },
    { cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered", "pointer does not correspond to a registered memory region" },
    { cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure" },
    { cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported" },
    { cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing" },
    { cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture" },
    { cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched", "capture was not ended in the same stream as it began" },
    { cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work" },
    { cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit", "operation would make the legacy stream depend on a capturing blocking stream" },
    { cudaErrorCapturedEvent, "cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a capturing stream" },
    { cudaErrorGraphExecUpdateFailure, "cudaErrorGraphExecUpdateFailure", "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update" },
};
const char *cudaGetErrorString(cudaError_t e)
{
    for (auto &x : ERRORS) if (x.e == e) return x.words;
    return "unrecognized error code";
}
const char *cudaGetErrorName(cudaError_t e)
{
    for (auto &x : ERRORS) if (x.e == e) return x.name;
    return "unrecognized error code";
}
cudaError_t cudaGetLastError()
{
    Guard guard;
    cudaError_t e = last;
    last = stuck_error;
    return e;
}
cudaError_t cudaPeekAtLastError() { return last; }
