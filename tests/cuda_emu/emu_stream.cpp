// emu_stream.cpp: streams are queues that run only when something waits for them, and then in a seeded order, so that a
// forgotten wait shows. Events, copies, launches, captured graphs.
#include <deque>
#include <memory>
#include "emu_inside.h"

namespace emu {
enum Kind { KERNEL, COPY, SET, HOST, RECORD, WAIT };
struct Mark { unsigned asked = 0, done = 0; double at = 0; };          // an event's state; outlives the event while work names it
struct Op {
    Kind kind;
    std::function<void()> fn;
    const void *kernel = nullptr;
    std::shared_ptr<const Launch> launch = nullptr;
    std::shared_ptr<Held> held = nullptr;
    bool follows = true;                                   // comes behind what is queued before it, and nothing else
    std::shared_ptr<Mark> mark = nullptr;
    unsigned version = 0;
    void *to_host = nullptr;                               // pinned memory that this writes: not to be read before
    size_t to_host_bytes = 0;
    bool in_graph = false;
};
struct Node { Op op; std::vector<int> after; };
struct Capture { cudaStream_t origin; bool every_thread, relaxed, bad; const void *thread; std::vector<Node> nodes; };
bool drain_all();
bool unsafe_in_capture();
EMU_LOCAL static thread_local char this_thread;
}
using namespace emu;

struct emu_stream {
    std::deque<Op> q;
    bool blocking;
    int device;
    Capture *capture;
    std::vector<int> tail;                                 // nodes that the next one comes after
};
struct emu_event {
    std::shared_ptr<Mark> mark;
    bool timed;
    Capture *capture;                                      // recorded in it last
    std::vector<int> tail;
};
struct emu_graph { std::vector<Node> nodes; };
struct emu_graph_exec { std::vector<Node> nodes; };

static std::vector<emu_stream *> streams;
static std::vector<Capture *> captures;
static long n_events, n_graphs, n_execs;
static double clock_us;                                    // passes as work is done: what cudaEventElapsedTime tells

namespace emu {
long buffers();
extern long blas_handles;
void buffers_words(std::string *to);
long objects() { return buffers() + (long)streams.size() + n_events + n_graphs + n_execs + blas_handles; }
void objects_words(std::string *to)
{
    buffers_words(to);
    const struct { long n; const char *what; } all[] = { { (long)streams.size(), "streams" }, { n_events, "events" }, { n_graphs, "graphs" }, { n_execs, "instantiated graphs" }, { blas_handles, "cuBLAS handles" } };
    for (auto &a : all) if (a.n) *to += std::to_string(a.n) + " " + a.what + "; ";
    *to += "not given back";
}
bool unsafe_in_capture()
{
    bool bad = false;
    for (Capture *c : captures) if (!c->relaxed && (c->every_thread || c->thread == &this_thread)) bad = c->bad = true;
    return bad;
}

bool stream_on(int device)
{
    return std::any_of(streams.begin(), streams.end(), [=](const emu_stream *s) { return s->device == device; });
}

// ---- running what was queued
static void poison_host(const Op &o, bool on)
{
    (void)o, (void)on;
#ifdef EMU_ASAN
    if (o.to_host) on ? __asan_poison_memory_region(o.to_host, o.to_host_bytes) : __asan_unpoison_memory_region(o.to_host, o.to_host_bytes);
#endif
}
static void run(Op &o)
{
    poison_host(o, false);
    clock_us += 2;
    if (o.kind == KERNEL && o.in_graph) st.graph_kernels++;
    if (o.kind == RECORD) o.mark->done = o.version, o.mark->at = clock_us;
    if (o.fn) o.fn();
    if (o.launch) {
        dim3 g = o.launch->g, b = o.launch->b;
        run_grid(*o.launch, o.held.get());
        const char *slow = getenv("EMU_SLOW");
        clock_us += (slow && *slow && strstr(o.launch->name, slow) ? 1 : 1e-3) * g.x * g.y * g.z * b.x * b.y * b.z;
    }
}
// What comes behind a kernel that is about to run and may start early does so, and what comes behind that if all its blocks
// let it start before they waited.
static void start_behind(emu_stream *s)
{
    for (Op &o : s->q) {
        if (o.kind != KERNEL || !o.launch->early || !o.follows) return;
        if (!o.held) {
            o.held = std::make_shared<Held>();
            start_early(*o.launch, o.held.get());
        }
        if (!o.held->let) return;
    }
}
static bool step(emu_stream *s)
{
    if (s->q.empty()) return false;
    Op &front = s->q.front();
    if (front.kind == WAIT && front.mark->done < front.version) return false;
    Op o = std::move(front);
    s->q.pop_front();
    if (o.kind == KERNEL) start_behind(s);
    run(o);
    return true;
}
template <class P> static bool drain(P until)
{
    bool waited = false;
    while (!until()) {
        std::vector<emu_stream *> c;
        for (emu_stream *s : streams) if (!s->q.empty()) c.push_back(s);
        bool ok = false;
        size_t k = c.empty() ? 0 : random_order() ? rnd() % c.size() : opt.seed == 1 ? c.size() - 1 : 0;
        for (size_t i = 0; i < c.size() && !ok; i++) ok = step(c[(k + i) % c.size()]);
        if (!ok) die("streams wait for each other, or for an event that nobody records");
        waited = true;
    }
    return waited;
}
bool drain_all()
{
    return drain([] { return std::all_of(streams.begin(), streams.end(), [](emu_stream *s) { return s->q.empty(); }); });
}
static bool drain_blocking()
{
    return drain([] { return std::all_of(streams.begin(), streams.end(), [](emu_stream *s) { return !s->blocking || s->q.empty(); }); });
}

// ---- queueing
static bool known(cudaStream_t s) { return !s || std::find(streams.begin(), streams.end(), s) != streams.end(); }
static cudaError_t put(cudaStream_t s, Op o)
{
    if (!known(s)) return ret(cudaErrorInvalidResourceHandle);
    if (!s) {                                              // the legacy stream: behind every blocking stream, and at once
        for (Capture *c : captures) if (c->origin->blocking) {
            c->bad = true;
            return ret(cudaErrorStreamCaptureImplicit);
        }
        drain_blocking();
        run(o);
        return cudaSuccess;
    }
    if (s->capture) {
        Capture *c = s->capture;
        c->nodes.push_back({ std::move(o), s->tail });
        s->tail = { (int)c->nodes.size() - 1 };
        return cudaSuccess;
    }
    poison_host(o, true);
    s->q.push_back(std::move(o));
    if (opt.sync) drain([=] { return s->q.empty(); });
    return cudaSuccess;
}
static Map<const void *, int> smem_of;                     // dynamic shared memory a kernel was allowed

static bool launchable(const void *k, const char *name, dim3 g, dim3 b, size_t smem)
{
    auto it = smem_of.find(k);
    size_t most = it == smem_of.end() ? 48 << 10 : (size_t)std::max(it->second, 48 << 10);
    uint64_t n = (uint64_t)b.x * b.y * b.z;
    if (n && n <= 1024 && b.z <= 64 && g.x && g.y && g.z && g.x <= 0x7fffffffu && g.y <= 65535 && g.z <= 65535 && smem <= most) return true;
    fprintf(stderr, "EMU: bad launch of %s: grid %u,%u,%u block %u,%u,%u shared %zu of at most %zu\n", name, g.x, g.y, g.z, b.x, b.y, b.z, smem, most);
    return false;
}
static bool early_next;
void next_launch_is_early(bool early) { early_next = early; }
cudaError_t launch(const void *k, const char *name, dim3 g, dim3 b, size_t smem, cudaStream_t s, std::function<void()> fn)
{
    bool early = early_next;
    early_next = false;
    EMU_ENTER("launch", cudaErrorLaunchFailure);
    if (!launchable(k, name, g, b, smem)) return ret(cudaErrorInvalidConfiguration);
    if (!known(s) || (s && s->device != device_now)) return ret(cudaErrorInvalidResourceHandle);
    return put(s, { KERNEL, nullptr, k, std::make_shared<const Launch>(Launch{ name, g, b, smem, std::move(fn), early, smem_of.find(k) != smem_of.end() }) });
}
}

cudaError_t emu_func_set(const void *f, cudaFuncAttribute a, int v)
{
    EMU_ENTER("cudaFuncSetAttribute", cudaErrorInvalidValue);
    if (a != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (v < 0 || v > opt.smem) return ret(cudaErrorInvalidValue);
    smem_of[f] = v;
    return cudaSuccess;
}
cudaError_t emu_func_get(cudaFuncAttributes *a, const void *f)
{
    EMU_ENTER("cudaFuncGetAttributes", cudaErrorInvalidValue);
    auto it = smem_of.find(f);
    *a = { 0, 0, 0, 1024, 64, (int)opt.cc, (int)opt.cc, it == smem_of.end() ? 48 << 10 : it->second };
    return cudaSuccess;
}
cudaError_t emu_occupancy(int *n, const void *, int block, size_t smem)
{
    EMU_ENTER("cudaOccupancyMaxActiveBlocksPerMultiprocessor", cudaErrorInvalidValue);
    if (block < 1 || block > 1024) return ret(cudaErrorInvalidValue);
    long by_threads = 1536 / ((block + 31) / 32 * 32), by_memory = smem ? (opt.smem + 1024) / (long)(smem + 1024) : 16;
    *n = (int)std::min({ by_threads, by_memory, 16L });
    return cudaSuccess;
}

// ---- copies
struct Plane { void *d; size_t dpitch; const void *s; size_t spitch, width, height; cudaMemcpyKind kind; };
static size_t reach(size_t pitch, const Plane &p) { return p.height ? pitch * (p.height - 1) + p.width : 0; }
static void copy_now(const Plane &p)
{
    open_device(true);
    for (size_t i = 0; i < p.height; i++) memmove((char *)p.d + i * p.dpitch, (const char *)p.s + i * p.spitch, p.width);
    open_device(false);
    size_t n = p.width * p.height;
    if (p.kind == cudaMemcpyHostToDevice) st.h2d++, st.h2d_bytes += n;
    if (p.kind == cudaMemcpyDeviceToHost) st.d2h++, st.d2h_bytes += n;
    if (p.kind == cudaMemcpyDeviceToDevice) st.d2d++, st.d2d_bytes += n;
    clock_us += 1e-4 * (double)n;
}
static cudaError_t copy(const char *call, Plane p, cudaStream_t s, bool wait)
{
    EMU_ENTER(call, cudaErrorLaunchFailure);
    if (!p.width || !p.height) return cudaSuccess;
    if (p.width > p.dpitch || p.width > p.spitch || !known(s)) return ret(cudaErrorInvalidValue);
    bool to_dev = in_device(p.d, reach(p.dpitch, p)), from_dev = in_device(p.s, reach(p.spitch, p));
    if (p.kind == cudaMemcpyDefault) p.kind = (cudaMemcpyKind)((from_dev ? 2 : 0) + (to_dev ? 1 : 0));
    if (to_dev != !!(p.kind & 1) || from_dev != !!(p.kind & 2)) {
        fprintf(stderr, "EMU: %s of %zu x %zu bytes: an end lies outside its allocation, or the direction is another\n", call, p.width, p.height);
        return ret(cudaErrorInvalidValue);
    }
    bool loose_from = !from_dev && !pinned(p.s, reach(p.spitch, p)), loose_to = !to_dev && !pinned(p.d, reach(p.dpitch, p));
    if (s && s->capture && (loose_from || loose_to || wait)) {
        fprintf(stderr, "EMU: %s of memory that is not pinned, inside a capture\n", call);
        s->capture->bad = true;
        return ret(cudaErrorStreamCaptureUnsupported);
    }
    wait = wait || loose_to;                               // the driver returns when pageable memory has arrived
    Op o = { COPY, nullptr };
    if (loose_from && !wait) {                             // and takes a copy of pageable memory before it returns
        auto all = std::make_shared<std::vector<char>>(p.width * p.height);
        for (size_t i = 0; i < p.height; i++) memcpy(all->data() + i * p.width, (const char *)p.s + i * p.spitch, p.width);
        Plane q = p;
        q.spitch = p.width;
        o.fn = [q, all]() mutable {
            q.s = all->data();
            copy_now(q);
        };
    } else {
        if (!to_dev && !loose_to && p.height == 1) o.to_host = p.d, o.to_host_bytes = p.width;
        o.fn = [p] { copy_now(p); };
    }
    cudaError_t e = put(s, std::move(o));
    if (e == cudaSuccess && wait) {
        st.host_syncs++;
        if (s) drain([=] { return s->q.empty(); });
    }
    return e;
}
cudaError_t cudaMemcpy(void *d, const void *s, size_t n, cudaMemcpyKind k) { return copy("cudaMemcpy", { d, n, s, n, n, 1, k }, nullptr, true); }
cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, cudaMemcpyKind k, cudaStream_t stream)
{
    return copy("cudaMemcpyAsync", { d, n, s, n, n, 1, k }, stream, false);
}
cudaError_t cudaMemcpy2D(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h, cudaMemcpyKind k)
{
    return copy("cudaMemcpy2D", { d, dp, s, sp, w, h, k }, nullptr, true);
}
cudaError_t cudaMemcpy2DAsync(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h, cudaMemcpyKind k, cudaStream_t stream)
{
    return copy("cudaMemcpy2DAsync", { d, dp, s, sp, w, h, k }, stream, false);
}
static cudaError_t set_bytes(const char *call, void *d, int v, size_t n, cudaStream_t s)
{
    EMU_ENTER(call, cudaErrorLaunchFailure);
    if (!n) return cudaSuccess;
    if (!in_device(d, n)) return ret(cudaErrorInvalidValue);
    return put(s, { SET, [=] {
        open_device(true);
        memset(d, v, n);
        open_device(false);
        st.sets++, st.set_bytes += n;
    } });
}
cudaError_t cudaMemset(void *d, int v, size_t n) { return set_bytes("cudaMemset", d, v, n, nullptr); }
cudaError_t cudaMemsetAsync(void *d, int v, size_t n, cudaStream_t s) { return set_bytes("cudaMemsetAsync", d, v, n, s); }
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t fn, void *data)
{
    EMU_ENTER("cudaLaunchHostFunc", cudaErrorLaunchFailure);
    return put(s, { HOST, [=] { fn(data); } });
}

// ---- streams
static cudaError_t new_stream(const char *call, cudaStream_t *s, unsigned flags)
{
    EMU_ENTER(call, cudaErrorMemoryAllocation);
    *s = new emu_stream();
    (*s)->blocking = !(flags & cudaStreamNonBlocking);
    (*s)->device = device_now;
    streams.push_back(*s);
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *s) { return new_stream("cudaStreamCreate", s, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags) { return new_stream("cudaStreamCreateWithFlags", s, flags); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int) { return new_stream("cudaStreamCreateWithPriority", s, flags); }
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    Guard guard;
    auto it = std::find(streams.begin(), streams.end(), s);
    if (it == streams.end()) return ret(cudaErrorInvalidResourceHandle);
    drain([=] { return s->q.empty(); });
    for (size_t i = captures.size(); i-- > 0;) {
        if (captures[i]->origin != s) continue;
        for (emu_stream *o : streams) if (o->capture == captures[i]) o->capture = nullptr;
        delete captures[i];
        captures.erase(captures.begin() + (long)i);
    }
    streams.erase(std::find(streams.begin(), streams.end(), s));
    delete s;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    EMU_ENTER("cudaStreamSynchronize", cudaErrorLaunchFailure);
    if (!known(s)) return ret(cudaErrorInvalidResourceHandle);
    if (s && s->capture) {
        s->capture->bad = true;
        return ret(cudaErrorStreamCaptureUnsupported);
    }
    st.host_syncs++;
    if (s) drain([=] { return s->q.empty(); });
    else drain_blocking();
    return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t s)
{
    EMU_ENTER("cudaStreamQuery", cudaErrorLaunchFailure);
    if (!known(s)) return ret(cudaErrorInvalidResourceHandle);
    if (s) step(s);                                        // asked often enough, it is done
    return !s || s->q.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaDeviceSynchronize()
{
    EMU_ENTER("cudaDeviceSynchronize", cudaErrorLaunchFailure);
    if (unsafe_in_capture()) return ret(cudaErrorStreamCaptureUnsupported);
    st.host_syncs++;
    drain_all();
    return cudaSuccess;
}

// ---- events
static Op marked(Kind kind, const std::shared_ptr<Mark> &mark, unsigned version)
{
    Op o = { kind, nullptr };
    o.mark = mark;
    o.version = version;
    return o;
}
static cudaError_t new_event(const char *call, cudaEvent_t *e, unsigned flags)
{
    EMU_ENTER(call, cudaErrorMemoryAllocation);
    *e = new emu_event();
    (*e)->mark = std::make_shared<Mark>();
    (*e)->timed = !(flags & cudaEventDisableTiming);
    n_events++;
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) { return new_event("cudaEventCreate", e, 0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags) { return new_event("cudaEventCreateWithFlags", e, flags); }
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    Guard guard;
    if (!e) return ret(cudaErrorInvalidResourceHandle);
    delete e;
    n_events--;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    EMU_ENTER("cudaEventRecord", cudaErrorLaunchFailure);
    if (!known(s)) return ret(cudaErrorInvalidResourceHandle);
    if (s && s->capture) {
        e->capture = s->capture;
        e->tail = s->tail;
        return cudaSuccess;
    }
    e->capture = nullptr;
    return put(s, marked(RECORD, e->mark, ++e->mark->asked));
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    EMU_ENTER("cudaStreamWaitEvent", cudaErrorLaunchFailure);
    if (!known(s)) return ret(cudaErrorInvalidResourceHandle);
    if (!e->capture) {
        if (s && s->capture) {                             // what lies outside of a capture cannot be waited for in it
            s->capture->bad = true;
            return ret(cudaErrorStreamCaptureInvalidated);
        }
        if (e->mark->done >= e->mark->asked) return cudaSuccess;
        return put(s, marked(WAIT, e->mark, e->mark->asked));
    }
    if (std::find(captures.begin(), captures.end(), e->capture) == captures.end() || !s || (s->capture && s->capture != e->capture))
        return ret(cudaErrorCapturedEvent);
    if (!s->capture) {                                     // joins the capture
        s->capture = e->capture;
        s->tail = e->tail;
        return cudaSuccess;
    }
    for (int t : e->tail) if (std::find(s->tail.begin(), s->tail.end(), t) == s->tail.end()) s->tail.push_back(t);
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    EMU_ENTER("cudaEventSynchronize", cudaErrorLaunchFailure);
    if (e->capture) return ret(cudaErrorCapturedEvent);
    st.host_syncs++;
    unsigned v = e->mark->asked;
    drain([=] { return e->mark->done >= v; });
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    EMU_ENTER("cudaEventQuery", cudaErrorLaunchFailure);
    if (e->capture) return ret(cudaErrorCapturedEvent);
    if (e->mark->done >= e->mark->asked) return cudaSuccess;
    for (emu_stream *s : streams) if (step(s)) break;      // asked often enough, it is done
    return e->mark->done >= e->mark->asked ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
    EMU_ENTER("cudaEventElapsedTime", cudaErrorLaunchFailure);
    if (!a->timed || !b->timed || !a->mark->asked || !b->mark->asked) return ret(cudaErrorInvalidResourceHandle);
    if (a->mark->done < a->mark->asked || b->mark->done < b->mark->asked) return cudaErrorNotReady;
    *ms = (float)((b->mark->at - a->mark->at) * 1e-3);
    return cudaSuccess;
}

// ---- graphs
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode m)
{
    EMU_ENTER("cudaStreamBeginCapture", cudaErrorLaunchFailure);
    if (!s || !known(s)) return ret(cudaErrorStreamCaptureUnsupported);
    if (s->capture) return ret(cudaErrorInvalidValue);
    s->capture = new Capture{ s, m == cudaStreamCaptureModeGlobal, m == cudaStreamCaptureModeRelaxed, false, &this_thread, {} };
    s->tail.clear();
    captures.push_back(s->capture);
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
    Guard guard;
    cudaError_t injected;
    bool fails = inject("cudaStreamEndCapture", cudaErrorStreamCaptureInvalidated, &injected);       // however it ends, the capture is over
    *g = nullptr;
    Capture *c = s ? s->capture : nullptr;
    if (!c) return ret(fails ? injected : cudaErrorInvalidValue);
    if (c->origin != s) return ret(cudaErrorStreamCaptureUnmatched);
    std::vector<char> followed(c->nodes.size());
    for (Node &n : c->nodes) for (int a : n.after) followed[(size_t)a] = 1;
    for (int t : s->tail) followed[(size_t)t] = 1;
    bool joined = std::all_of(followed.begin(), followed.end(), [](char f) { return f; }), bad = c->bad;
    if (!fails && !bad && joined) *g = new emu_graph{ std::move(c->nodes) }, n_graphs++;
    for (emu_stream *o : streams) if (o->capture == c) o->capture = nullptr, o->tail.clear();
    captures.erase(std::find(captures.begin(), captures.end(), c));
    delete c;
    return ret(fails ? injected : bad ? cudaErrorStreamCaptureInvalidated : joined ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *to)
{
    EMU_ENTER("cudaStreamIsCapturing", cudaErrorLaunchFailure);
    if (!known(s)) return ret(cudaErrorInvalidResourceHandle);
    *to = !s || !s->capture ? cudaStreamCaptureStatusNone : s->capture->bad ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *n)
{
    EMU_ENTER("cudaGraphGetNodes", cudaErrorInvalidValue);
    if (nodes) for (size_t i = 0; i < *n && i < g->nodes.size(); i++) nodes[i] = &g->nodes[i];
    *n = g->nodes.size();
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long)
{
    EMU_ENTER("cudaGraphInstantiate", cudaErrorMemoryAllocation);
    *x = new emu_graph_exec{ g->nodes };
    n_execs++;
    st.graphs_made++;
    return cudaSuccess;
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t x, cudaGraph_t g, cudaGraphExecUpdateResultInfo *info)
{
    *info = { cudaGraphExecUpdateErrorTopologyChanged, nullptr, nullptr };
    EMU_ENTER("cudaGraphExecUpdate", cudaErrorGraphExecUpdateFailure);
    bool same = x->nodes.size() == g->nodes.size();
    for (size_t i = 0; same && i < g->nodes.size(); i++) {
        const Node &a = x->nodes[i], &b = g->nodes[i];
        same = a.op.kind == b.op.kind && a.op.kernel == b.op.kernel && a.after == b.after;
    }
    if (!same) return ret(cudaErrorGraphExecUpdateFailure);
    info->result = cudaGraphExecUpdateSuccess;
    x->nodes = g->nodes;
    st.graphs_updated++;
    return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s)
{
    EMU_ENTER("cudaGraphLaunch", cudaErrorLaunchFailure);
    if (!known(s)) return ret(cudaErrorInvalidResourceHandle);
    st.graph_launches++;
    size_t n = x->nodes.size();
    std::vector<char> queued(n);
    int last = -1;
    for (size_t done = 0; done < n; done++) {              // an order that the nodes' dependencies allow
        std::vector<size_t> can;
        for (size_t i = 0; i < n; i++) {
            const std::vector<int> &after = x->nodes[i].after;
            if (!queued[i] && std::all_of(after.begin(), after.end(), [&](int a) { return queued[(size_t)a]; })) can.push_back(i);
            if (opt.seed == 0 && !can.empty()) break;
        }
        size_t i = can[random_order() ? rnd() % can.size() : opt.seed == 1 ? can.size() - 1 : 0];
        queued[i] = 1;
        Op o = x->nodes[i].op;
        o.in_graph = true;
        o.follows = last >= 0 && x->nodes[i].after == std::vector<int>{ last };
        last = (int)i;
        if (cudaError_t e = put(s, std::move(o))) return e;
    }
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    Guard guard;
    if (!g) return ret(cudaErrorInvalidValue);
    delete g;
    n_graphs--;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x)
{
    Guard guard;
    if (!x) return ret(cudaErrorInvalidValue);
    delete x;
    n_execs--;
    return cudaSuccess;
}
