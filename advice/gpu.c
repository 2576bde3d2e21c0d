/* advice/gpu: what GPUs are here, by the driver's own library. See room.h. */
#include "advice/room.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* nvml.h's shapes and numbers. */
typedef struct nvml_memory { unsigned long long total, free, used; } nvml_memory;
enum { NVML_OK = 0, NVML_CLOCK_MEM = 2, NVML_NAME = 96 };

typedef struct nvml {
    int (*init)(void), (*shutdown)(void), (*count)(unsigned *), (*handle)(unsigned, void **), (*name)(void *, char *, unsigned);
    int (*memory)(void *, nvml_memory *), (*width)(void *, unsigned *), (*clock)(void *, int, unsigned *);
} nvml;

static bool load(void *lib, nvml *n)
{
    struct { const char *name; void *to; } f[] = {
        {"nvmlInit_v2", &n->init}, {"nvmlShutdown", &n->shutdown}, {"nvmlDeviceGetCount_v2", &n->count}, {"nvmlDeviceGetHandleByIndex_v2", &n->handle},
        {"nvmlDeviceGetName", &n->name}, {"nvmlDeviceGetMemoryInfo", &n->memory}, {"nvmlDeviceGetMemoryBusWidth", &n->width}, {"nvmlDeviceGetMaxClockInfo", &n->clock},
    };
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        void *p = dlsym(lib, f[i].name);
        if (!p) return false;
        memcpy(f[i].to, &p, sizeof p);      /* POSIX: a function's address comes as a pointer to data */
    }
    return true;
}

int gpu_look(const char *library, adv_gpu out[ADV_GPUS])
{
    void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    nvml n;
    unsigned count = 0;
    int found = 0;
    if (lib && load(lib, &n) && n.init() == NVML_OK) {
        if (n.count(&count) != NVML_OK) count = 0;
        for (unsigned i = 0; i < count && found < ADV_GPUS; i++) {
            void *d;
            nvml_memory m;
            unsigned width = 0, clock = 0;
            char name[NVML_NAME] = "";
            if (n.handle(i, &d) != NVML_OK || n.memory(d, &m) != NVML_OK) continue;
            adv_gpu *g = &out[found++];
            *g = (adv_gpu){.bytes = m.total, .free = m.free};
            if (n.name(d, name, sizeof name) != NVML_OK) name[0] = 0;
            snprintf(g->name, sizeof g->name, "%.63s", *name ? name : "GPU");
            g->name[q_utf8_whole(g->name, strlen(g->name))] = 0;
            if (n.width(d, &width) == NVML_OK && n.clock(d, NVML_CLOCK_MEM, &clock) == NVML_OK) g->bandwidth = 2e6 * clock * width / 8;
        }
        n.shutdown();
    }
    if (lib) dlclose(lib);
    return found;
}
