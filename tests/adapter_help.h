/* tests/adapter_help: models and random adapters for tests of engine/adapter.h. */
#ifndef QUORUM_TESTS_ADAPTER_HELP_H
#define QUORUM_TESTS_ADAPTER_HELP_H

#include "engine/adapter.h"
#include "tests/engine_util.h"

#include <string.h>

static inline float *help_numbers(size_t n, uint64_t seed)
{
    uint64_t s[4] = { seed, seed + 1, seed + 2, 99 };
    float *f = q_alloc(n * sizeof *f);
    for (int i = 0; i < 8; i++) q_random(s);
    for (size_t i = 0; i < n; i++) f[i] = (float)((double)(q_random(s) >> 11) / 9007199254740992.0 - 0.5);
    return f;
}

/* A random change of a role's matrix; a and b are the caller's to free (help_low_free). */
static inline eng_low help_low(const eng_model *m, enum ker_role role, int layer, int rank, float scale)
{
    int64_t ne[3];
    ker_role_shape(eng_model_arithmetic(m), layer, role, ne);
    eng_low l = { .role = role, .layer = layer, .n_expert = (int)ne[2], .n_in = ne[0], .n_out = ne[1], .rank = rank, .scale = scale };
    uint64_t seed = (uint64_t)role * 1000 + (uint64_t)(layer + 1) * 10 + (uint64_t)rank;
    l.a = help_numbers((size_t)(ne[2] * rank * ne[0]), seed);
    l.b = help_numbers((size_t)(ne[2] * rank * ne[1]), seed + 7);
    return l;
}

static inline void help_low_free(eng_low *l, int n)
{
    for (int i = 0; i < n; i++) {
        free((void *)l[i].a);
        free((void *)l[i].b);
    }
}

/* On m: an adapter of the query matrix of layer 0, written to path. */
static inline void help_adapter_file(const eng_model *m, const char *path, int rank)
{
    char err[Q_ERRLEN] = "";
    eng_adapter *a = NULL;
    eng_low low = help_low(m, KER_W_Q, 0, rank, .8f);
    int rc = eng_adapter_make(m, "", &low, 1, "", &a, err);
    if (rc == 0) rc = eng_adapter_write_gguf(a, path, true, err);
    if (rc) printf("# %s: %s\n", path, err);
    eng_adapter_free(a);
    help_low_free(&low, 1);
}

#ifndef AGENT_HELP_H                    /* which has a help_model of its own */
/* A checked-in model (tests/golden/engine/NAME), opened; its file is removed again. */
static inline eng_model *help_model(const char *name)
{
    char err[Q_ERRLEN] = "", *path = util_model(name);
    eng_model *m = NULL;
    if (eng_model_open(path, &(eng_open_opts){ .n_threads = 1, .ignore_memory = true }, &m, err)) printf("# %s: %s\n", path, err);
    unlink(path);
    free(path);
    return m;
}
#endif

#endif
