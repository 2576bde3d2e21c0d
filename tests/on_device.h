/* tests: an open model's weights moved to a device of a given backend, and the emulated plugin (build/libquorum-emu.so) with
 * what it counts. For tests and for the measurements of a device. */
#ifndef QUORUM_TESTS_ON_DEVICE_H
#define QUORUM_TESTS_ON_DEVICE_H

#include "engine/run/model.h"
#include "engine/run/weights.h"
#include "tests/cuda_emu/emu_stats.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Before the model's first cache. On failure it stays where it was. */
static inline int on_device(eng_model *m, const ker_backend *be, int index, char *why)
{
    ker_hold hold = { .index = index };
    ker_dev *d = NULL;
    int rc = be->open(&m->ker, 0, &hold, &d, why);
    for (int l = -1; l < m->ker.n_layer && !rc; l++)
        for (int r = 0; r < KER_W_ROLES && !rc; r++) {
            weight_view v;
            rc = weight_find(m, (enum ker_role)r, l, &v, why);
            if (rc == Q_NOTFOUND) {                /* there is none, and need not be */
                rc = 0;
                continue;
            }
            ker_weight w = { .type = v.type, .ne = { v.ne[0], v.ne[1], v.ne[2] }, .data = v.data, .bytes = v.bytes, .stride = v.stride };
            if (rc) break;
            void *turned = v.across ? weight_turned(m, &v) : NULL;         /* K_B of attn_kv_b; a GPU copies it at once */
            if (turned) w.data = turned;
            rc = be->weight(d, l, (enum ker_role)r, &w, why);
            free(turned);
        }
    if (!rc) rc = be->ready(d, why);
    if (rc) {
        if (d) be->close(d);
        return rc;
    }
    m->on.be->close(m->on.dev);
    m->on.be = be;
    m->on.dev = d;
    return 0;
}

/* The emulated plugin and its counters (emu NULL: not wanted). False: it is not built. One that does not load ends the test. */
static inline bool emulated(const ker_backend **be, const emu_api_table **emu)
{
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/libquorum-emu.so", build ? build : "build"), why[Q_ERRLEN];
    bool there = !access(path, R_OK);
    if (there && ker_plugin_open(path, be, why)) {
        printf("not ok emulated_plugin: %s\n", why);
        exit(1);
    }
    void *lib = there && emu ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL, *sym = lib ? dlsym(lib, "emu_api") : NULL;
    const emu_api_table *(*entry)(void);
    memcpy(&entry, &sym, sizeof entry);            /* ISO C knows no way from an object's pointer to a function's */
    if (sym) *emu = entry();
    free(path);
    return there && (!emu || sym);
}

#endif
