/* kernels/cuda/dev: a device: opening it, its weights as planes, its memory. See cuda.h. */
#include "kernels/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGE_BYTES = 32 << 20, STAGES = 2 };

struct cu_stage {                  /* weights come through here, one half filled while the other is taken apart */
    uint8_t *host[STAGES], *dev[STAGES];
    cudaEvent_t free_at[STAGES];
    bool used[STAGES];
    int next;
};

/* ---- errors and memory ---- */

bool cu_ok(ker_dev *d, cudaError_t e, const char *what)
{
    if (e == cudaSuccess) return true;
    if (!d->why[0]) snprintf(d->why, sizeof d->why, "%s: %s", what, cudaGetErrorString(e));
    return false;
}

void cu_enter(const ker_dev *d)
{
    cudaSetDevice(d->index);
    cudaGetLastError();
}

static bool list_add(void ***list, int *n, void *p)
{
    if (*n % 64 == 0) *list = (void **)q_realloc(*list, sizeof(void *) * (size_t)(*n + 64));
    (*list)[(*n)++] = p;
    return true;
}

/* Room behind the end: a last load of 16 bytes may reach over it. */
void *cu_alloc(ker_dev *d, size_t bytes)
{
    void *p = NULL;
    if (cudaMalloc(&p, bytes + 256) != cudaSuccess) {
        cudaGetLastError();
        d->unlocked = false;
        return NULL;
    }
    list_add(&d->mem, &d->n_mem, p);
    return p;
}

void *cu_locked(ker_dev *d, size_t bytes)
{
    void *p = NULL;
    if (cudaMallocHost(&p, bytes) == cudaSuccess) return p;
    cudaGetLastError();
    d->unlocked = true;
    return NULL;
}

int cu_no_memory(const ker_dev *d, char *err)
{
    if (d->unlocked)
        return q_fail(err, Q_NOMEM, _("the driver gets no page-locked memory of this machine (a container, WSL or ulimit -l may bound it): give it more, or use --device cpu"));
    return q_fail(err, Q_NOMEM, _("the GPU's memory is full: take a smaller model, lower context.length, or use --device cpu"));
}

/* ---- open and close ---- */

/* A GPU on which something was only asked keeps this process's context, of some 300 MB, until it is reset. */
enum { DEVICES = 16 };
static struct { bool asked; int n_open; } gpus[DEVICES];

void dev_leave(void)
{
    for (int i = 0; i < DEVICES; i++) {
        if (gpus[i].asked && !gpus[i].n_open && cudaSetDevice(i) == cudaSuccess) cudaDeviceReset();
        gpus[i].asked = false;
    }
    cudaGetLastError();
}

static int no_answer(int index, char *err) { return q_fail(err, Q_ERR, _("GPU %d does not answer: use --device cpu"), index); }

/* How many there are, or why none is. */
static int count(char *err)
{
    int n = 0, driver = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e == cudaSuccess && n < 1) e = cudaErrorNoDevice;
    if (e == cudaSuccess) return n;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    /* No driver and no GPU are no news; whoever has them wants to know what is wrong with them. */
    if (e == cudaErrorInsufficientDriver)
        return q_fail(err, driver ? Q_ERR : Q_NOTFOUND, _("there is no NVIDIA driver here, or one older than this plugin needs (580 for CUDA 13): install it, or use --device cpu"));
    if (e == cudaErrorNoDevice) return q_fail(err, Q_NOTFOUND, _("no NVIDIA GPU answers here: use --device cpu"));
    return q_fail(err, Q_ERR, _("the NVIDIA driver does not answer (%s): use --device cpu"), cudaGetErrorString(e));
}

/* False: it is broken or has left the bus. */
static bool look(int i, cudaDeviceProp *p)
{
    if (cudaGetDeviceProperties(p, i) == cudaSuccess) return true;
    cudaGetLastError();
    return false;
}

int dev_list(ker_device *list, int max, char *err)
{
    int n = count(err), driver = 0, runtime = 0, lost = 0;
    if (n < 0) return n;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    for (int i = 0; i < n && i < max; i++) {
        cudaDeviceProp p;
        size_t left = 0, all = 0;
        ker_device *d = &list[i];
        memset(d, 0, sizeof *d);
        if (!look(i, &p)) {        /* the others compute */
            lost++;
            continue;
        }
        snprintf(d->name, sizeof d->name, "%.95s", p.name);
        d->bytes = p.totalGlobalMem;
        /* One that is busy or forbidden says so here; the others are none the worse for it. */
        if (i < DEVICES) gpus[i].asked = true;
        if (cudaSetDevice(i) == cudaSuccess && cudaMemGetInfo(&left, &all) == cudaSuccess) d->free = left;
        else cudaGetLastError();
        d->major = p.major;
        d->minor = p.minor;
        d->units = p.multiProcessorCount;
        d->driver = driver;
        d->runtime = runtime;
    }
    if (lost && (lost == n || lost == max)) return no_answer(0, err);
    return n;
}

static void stage_free(ker_dev *d)
{
    cu_stage *s = d->stage;
    if (!s) return;
    for (int i = 0; i < STAGES; i++) {
        if (s->free_at[i]) cudaEventDestroy(s->free_at[i]);
        if (s->host[i]) cudaFreeHost(s->host[i]);
        if (s->dev[i]) cudaFree(s->dev[i]);
    }
    free(s);
    d->stage = NULL;
}

static bool stage_make(ker_dev *d)
{
    cu_stage *s = (cu_stage *)q_alloc(sizeof *s);
    d->stage = s;
    for (int i = 0; i < STAGES; i++)
        if (!(s->host[i] = (uint8_t *)cu_locked(d, STAGE_BYTES)) || cudaMalloc(&s->dev[i], STAGE_BYTES) != cudaSuccess
            || cudaEventCreateWithFlags(&s->free_at[i], cudaEventDisableTiming) != cudaSuccess) {
            cudaGetLastError();
            stage_free(d);
            return false;
        }
    return true;
}

void dev_close(ker_dev *d)
{
    if (!d) return;
    cudaSetDevice(d->index);
    if (d->st) cudaStreamSynchronize(d->st);
    stage_free(d);
    cu_cache_free(d);
    cu_adapters_free(d);
    for (int i = 0; i < d->n_mem; i++) cudaFree(d->mem[i]);
    if (d->st) cudaStreamDestroy(d->st);
    gpus[d->index].n_open--;
    gpus[d->index].asked = true;
    free(d->mem);
    free(d->layer);
    free((void *)(uintptr_t)d->m.layer);
    free((void *)(uintptr_t)d->hold.no_experts);
    free(d);
}

int dev_open(const ker_model *m, int n_threads, const ker_hold *hold, ker_dev **out, char *err)
{
    static const ker_can can = {
        1u << KER_MIX_GQA | 1u << KER_MIX_MLA | 1u << KER_MIX_DELTA,   /* mixers */
        (1u << KER_GLUS) - 1,      /* glus       */
        KER_BIAS_QKV | KER_BIAS_O | KER_BIAS_ROUTER | KER_BIAS_EXPERTS,      /* biases */
        true,                      /* window     */
        true,                      /* sinks      */
        true,                      /* post_norms */
        KER_ROPE_SETS,             /* rope_sets  */
        true,                      /* q_gate     */
        true,                      /* qk_whole   */
        true,                      /* scales     */
        true,                      /* groups     */
        false,                     /* next       */
    };
    int rc = ker_model_check(m, &can, err), index = hold ? hold->index : 0;
    if (!rc) rc = cu_delta_check(m, err);
    if (!rc) rc = cu_mla_check(m, err);
    if (rc) return rc;
    int n = count(err);
    cudaDeviceProp p;
    if (n < 0) return n;
    if (index < 0 || index >= n || index >= DEVICES) return q_fail(err, Q_RANGE, _("there is no GPU %d here: the last one is GPU %d"), index, n - 1);
    if (!look(index, &p)) return no_answer(index, err);
    if (p.major < 8) return q_fail(err, Q_ERR, _("%s is too old for quorum (compute capability %d.%d, 8.0 is needed): use --device cpu"), p.name, p.major, p.minor);
    ker_dev *d = (ker_dev *)q_alloc(sizeof *d);
    d->m = *m;
    ker_layer *layers = (ker_layer *)q_alloc(sizeof *layers * (size_t)m->n_layer);
    memcpy(layers, m->layer, sizeof *layers * (size_t)m->n_layer);
    d->m.layer = layers;
    for (int i = 0; i < m->n_layer; i++) d->n_moe += layers[i].moe;
    if (hold) d->hold = *hold;
    if (hold && hold->no_experts) {
        bool *no = (bool *)q_alloc(sizeof *no * (size_t)m->n_layer);
        memcpy(no, hold->no_experts, sizeof *no * (size_t)m->n_layer);
        d->hold.no_experts = no;
    }
    d->layer = (cu_layer *)q_alloc(sizeof *d->layer * (size_t)(m->n_layer + 1));
    d->index = index;
    gpus[index].n_open++;
    dev_leave();                   /* and errors that whoever came before left */
    if (cu_ok(d, cudaSetDevice(index), "cudaSetDevice") && cu_ok(d, cudaStreamCreateWithFlags(&d->st, cudaStreamNonBlocking), "cudaStreamCreate")) {
        d->sms = p.multiProcessorCount;
        d->major = p.major;
        d->minor = p.minor;
        d->smem_most = p.sharedMemPerBlockOptin;
        d->early = cu_few_early(d);
        cu_ways_of(index, &d->ways);
        *out = d;
        return Q_OK;
    }
    q_fail(err, Q_ERR, _("GPU %d cannot be used (%s): use --device cpu"), index, d->why);
    dev_close(d);
    return Q_ERR;
}

uint64_t dev_memory(const ker_dev *d)
{
    size_t left = 0, all = 0;
    cudaSetDevice(d->index);
    return cudaMemGetInfo(&left, &all) == cudaSuccess ? left : 0;
}

/* ---- weights ---- */

/* Two bytes a thread where every piece of a block has an even size and an even place: all types but MXFP4. */
template <class T> static __global__ void __launch_bounds__(256) plane_take(const T *src, int64_t n, int block, int at, int piece, T *dst)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n * piece) dst[i] = src[i / piece * block + at + i % piece];
}

/* The next half, once what it held is on the device; -1: the device failed. */
static int stage_take(ker_dev *d)
{
    cu_stage *s = d->stage;
    int h = s->next;
    s->next = (h + 1) % STAGES;
    return s->used[h] && !cu_ok(d, cudaEventSynchronize(s->free_at[h]), "weights") ? -1 : h;
}

static bool stage_done(ker_dev *d, int h)
{
    d->stage->used[h] = true;
    return cu_ok(d, cudaEventRecord(d->stage->free_at[h], d->st), "weights");
}

/* n blocks from the caller's memory into a matrix's planes, from its block `first` on, by way of the staging halves. */
static bool planes_fill(ker_dev *d, const cu_mat *w, const cu_planes *pl, const uint8_t *src, int64_t first, int64_t n)
{
    int block = 0;
    for (int i = 0; i < pl->n; i++) block += pl->bytes[i];
    int64_t most = STAGE_BYTES / block;
    for (int64_t done = 0; done < n; ) {
        cu_stage *s = d->stage;
        int h = stage_take(d);
        int64_t part = n - done < most ? n - done : most;
        if (h < 0) return false;
        memcpy(s->host[h], src + done * block, (size_t)(part * block));
        if (!cu_ok(d, cudaMemcpyAsync(s->dev[h], s->host[h], (size_t)(part * block), cudaMemcpyHostToDevice, d->st), "weights")) return false;
        for (int i = 0, at = 0; i < pl->n; at += pl->bytes[i++]) {
            int unit = block % 2 ? 1 : 2, piece = pl->bytes[i] / unit;
            uint8_t *to = (uint8_t *)(uintptr_t)w->p[i] + (first + done) * pl->bytes[i];
            dim3 grid((unsigned)((part * piece + 255) / 256));
            if (unit == 1) LAUNCH(plane_take<uint8_t>, grid, dim3(256), 0, d->st, (const uint8_t *)s->dev[h], part, block, at, piece, to);
            else LAUNCH(plane_take<uint16_t>, grid, dim3(256), 0, d->st, (const uint16_t *)s->dev[h], part, block / 2, at / 2, piece, (uint16_t *)(void *)to);
        }
        if (!cu_ok(d, cudaGetLastError(), "weights") || !stage_done(d, h)) return false;
        done += part;
    }
    return true;
}

static int vector_put(ker_dev *d, int layer, enum ker_role role, const ker_weight *w, char *err)
{
    int64_t n = w->ne[0] * (w->ne[1] > 0 ? w->ne[1] : 1);
    size_t bytes = sizeof(float) * (size_t)n;
    float *dev = (float *)cu_alloc(d, bytes), *host = (float *)q_alloc(bytes);
    bool ok = dev && (d->stage || stage_make(d));
    if (!ok) {
        free(host);
        return cu_no_memory(d, err);
    }
    ker_type_get(w->type)->decode(w->data, host, n);
    for (size_t at = 0, part; ok && at < bytes; at += part) {
        int h = stage_take(d);
        part = bytes - at < (size_t)STAGE_BYTES ? bytes - at : (size_t)STAGE_BYTES;
        if (h >= 0) memcpy(d->stage->host[h], (uint8_t *)host + at, part);
        ok = h >= 0 && cu_ok(d, cudaMemcpyAsync((uint8_t *)dev + at, d->stage->host[h], part, cudaMemcpyHostToDevice, d->st), "weights") && stage_done(d, h);
    }
    free(host);
    cu_layer_of(d, layer)->vec[role] = dev;
    return ok ? Q_OK : q_fail(err, Q_ERR, _("the GPU failed while weights were loaded (%s): use --device cpu"), d->why);
}

int dev_weight(ker_dev *d, int layer, enum ker_role role, const ker_weight *w, char *err)
{
    int rc = ker_weight_check(&d->m, layer, role, w, d->source.acquire != NULL && ker_role_get(role)->ne[2] == KER_DIM_EXPERT, err);
    if (rc) return rc;
    bool apart = w->stride && w->stride != w->ne[1] * ker_row_bytes(w->type, w->ne[0]);      /* matrices do not touch */
    cudaSetDevice(d->index);
    if (ker_role_get(role)->vec) return vector_put(d, layer, role, w, err);
    const cu_planes *pl = cu_planes_of(w->type);
    const ker_type *t = ker_type_get(w->type);
    if (!pl) return q_fail(err, Q_RANGE, _("weights of type %s are not computed on the GPU yet: use --device cpu"), t->name);
    int64_t blocks = w->ne[0] / t->block * w->ne[1] * w->ne[2], at[CU_PLANES], total = 0;
    cu_mat *m = &cu_layer_of(d, layer)->w[role];
    memset(m, 0, sizeof *m);
    m->type = w->type;
    m->act = t->act;
    m->n_in = (int)w->ne[0];
    m->n_out = (int)w->ne[1];
    m->n_mat = (int)w->ne[2];
    m->block = t->block;
    for (int i = 0; i < pl->n; i++) {
        at[i] = total;
        total += (blocks * pl->bytes[i] + 255) & ~(int64_t)255;
    }
    if (cu_cache_takes(d, role)) {
        cu_cache_weight(d, layer, role, w);
        return Q_OK;
    }
    uint8_t *mem = (uint8_t *)cu_alloc(d, (size_t)total);
    if (!mem || (!d->stage && !stage_make(d))) {
        m->n_out = 0;
        return cu_no_memory(d, err);
    }
    for (int i = 0; i < pl->n; i++) m->p[i] = mem + at[i];
    int64_t part = apart ? blocks / w->ne[2] : blocks;
    bool ok = true;
    for (int64_t done = 0; ok && done < blocks; done += part) ok = planes_fill(d, m, pl, (const uint8_t *)w->data + done / part * w->stride, done, part);
    if (ok) return Q_OK;
    return q_fail(err, Q_ERR, _("the GPU failed while weights were loaded (%s): use --device cpu"), d->why);
}

int dev_source(ker_dev *d, const ker_source *s, char *err)
{
    if (d->ready || d->n_mem) return q_fail(err, Q_ERR, _("a source of experts must be given before the weights"));
    d->source = *s;
    return Q_OK;
}

static bool has(const void *user, int layer, enum ker_role role)
{
    const cu_layer *l = cu_layer_of((const ker_dev *)user, layer);
    return l->w[role].n_out || l->vec[role];
}

int dev_ready(ker_dev *d, char *err)
{
    int rc = ker_weights_whole(&d->m, &d->hold, has, d, err);
    if (rc) return rc;
    cudaSetDevice(d->index);
    if (!cu_ok(d, cudaStreamSynchronize(d->st), "weights"))
        return q_fail(err, Q_ERR, _("the GPU failed while weights were loaded (%s): use --device cpu"), d->why);
    stage_free(d);
    if ((rc = cu_cache_ready(d, err))) return rc;
    d->ready = true;
    return Q_OK;
}
