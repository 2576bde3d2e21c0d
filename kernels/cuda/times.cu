/* kernels/cuda/times: how long each kernel of a pass takes, by events around every launch. While it is on, passes are
 * launched one by one and not as a graph; a first kernel holds the stream until the host has put all launches behind it,
 * so that no gap of the host is counted. One context at a time. See ker_backend's times. */
#include "kernels/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct mark { const char *name; cudaEvent_t at; } mark;
static struct { ker_ctx *ctx; mark *m; int n, cap; } t;        /* of the context that is timed; NULL: none */

__global__ void hold_stream(int64_t cycles, unsigned *out)
{
    int64_t from = gpu_cycles();
    while (gpu_cycles() - from < cycles) {}
    if (cycles < 0) *out = 0;
}

static void mark_put(const char *name, cudaStream_t st)
{
    if (!t.ctx || st != t.ctx->st || name == NULL) return;
    if (t.n == t.cap) t.m = (mark *)q_realloc(t.m, sizeof *t.m * (size_t)(t.cap = 2 * t.cap + 256));
    mark *m = &t.m[t.n];
    m->name = name;
    if (cudaEventCreateWithFlags(&m->at, 0) == cudaSuccess) {
        if (cudaEventRecord(m->at, st) == cudaSuccess) {
            t.n++;
            return;
        }
        cudaEventDestroy(m->at);
    }
    cudaGetLastError();
}

static void forget(void)
{
    for (int i = 0; i < t.n; i++) cudaEventDestroy(t.m[i].at);
    free(t.m);
    memset(&t, 0, sizeof t);
    gpu_mark = NULL;
}

/* The name without a template's arguments and brackets, so that all instances count as one. */
static void name_of(const char *from, char *to, size_t n)
{
    while (*from == '(' || *from == ' ') from++;
    size_t len = strcspn(from, "<)");
    snprintf(to, n, "%.*s", (int)(len < n ? len : n - 1), from);
}

static int collect(ker_time *out, int max)
{
    int n = 0;
    for (int i = 0; i + 1 < t.n; i++) {
        char name[sizeof out->name];
        int j = 0;
        name_of(t.m[i].name, name, sizeof name);
        if (!strcmp(name, "hold_stream")) continue;
        while (j < n && strcmp(out[j].name, name) != 0) j++;
        if (j == max) continue;
        if (j == n) {
            memset(&out[n], 0, sizeof out[n]);
            memcpy(out[n++].name, name, sizeof name);
        }
        out[j].n++;
        out[j].ms += (double)gpu_event_ms(t.m[i].at, t.m[i + 1].at);
    }
    return n;
}

bool cu_timing(const ker_ctx *c) { return t.ctx == c; }

void cu_times_hold(ker_ctx *c)
{
    if (t.ctx == c) LAUNCH(hold_stream, dim3(1), dim3(1), 0, c->st, gpu_hold_cycles, c->tr.bad);
}

int cu_times(ker_ctx *c, bool on, ker_time *out, int max)
{
    if (on) {
        forget();
        t.ctx = c;
        gpu_mark = mark_put;
        return Q_OK;
    }
    if (t.ctx != c) return Q_ERR;
    mark_put("end", c->st);
    int n = cudaStreamSynchronize(c->st) == cudaSuccess ? collect(out, max) : Q_ERR;
    cudaGetLastError();
    forget();
    return n;
}
