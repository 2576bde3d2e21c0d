/* engine/run/knobs: the rows of knobs.h as data, and what a model makes of them. Constant data, any thread.
 * It never holds a value: those are in eng_config. */
#include "engine/run/knobs.h"
#include "engine/run/model.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the rows' expressions call ---- */
/* A file keeps its numbers as f32. The shortest decimal that is the same f32 is what its author wrote (1e-05, not
 * 9.999999747378752e-06); the backend gets the same f32 of either. */
static double as_written(double x)
{
    char buf[40];
    if ((double)(float)x != x)
        return x;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, x);
        if (strtof(buf, NULL) == (float)x)
            return strtod(buf, NULL);
    }
    return x;
}

/* What the file advises for sampling (general.sampling.*), else `otherwise`. */
static double advised(const eng_model *m, const char *what, double otherwise)
{
    char key[64];
    double x;
    snprintf(key, sizeof key, "general.sampling.%s", what);
    return as_written(gguf_f64(m->file, key, &x) ? x : otherwise);
}

static const arch_sampling *family(const eng_model *m)
{
    gguf_str pre;
    bool small = m->info.carved || (gguf_string(m->file, "tokenizer.ggml.pre", &pre) && pre.n == 6 && memcmp(pre.p, "smollm", 6) == 0);
    return arch_sampling_of(small ? "smollm" : m->arch ? m->arch->family : "llama");
}

static double all_if_none(double top_p) { return top_p > 0 ? top_p : 1; }

/* A first context that costs little memory; the knob goes as far as the model. With longrope it is one of the short factors. */
static int first_context(const eng_model *m)
{
    int n = m->defaults.rope_original;
    if (m->defaults.rope_scaling == SCALING_LONGROPE && n < 8192 && n < m->info.n_ctx_train)
        return n > 16 ? n : 16;
    return m->info.n_ctx_train > 8192 ? 8192 : m->info.n_ctx_train > 16 ? m->info.n_ctx_train : 16;
}

/* Of the dense and shared feed-forward parts. */
static int widest(const eng_model *m)
{
    int w = m->ker.n_ff_sh;
    for (int i = 0; i < m->ker.n_layer; i++)
        if (!m->layers[i].moe && m->layers[i].n_ff > w)
            w = m->layers[i].n_ff;
    return w;
}

/* Of an expert or of a dense layer. */
static int most_neurons(const eng_model *m)
{
    int w = m->ker.n_ff_exp;
    for (int i = 0; i < m->ker.n_layer; i++)
        if (!m->layers[i].moe && m->layers[i].n_ff > w)
            w = m->layers[i].n_ff;
    return w;
}

/* ---- the rows ---- */
#define NUMBER(f, ...) AT_##f,
enum { KNOBS(NUMBER) KNOB_COUNT };
#undef NUMBER

#define FUNCTIONS(f, lives, type, name, aka, label, effect, flags, lo, hi, choices, here, own, acts, help) \
    static double highest_##f(const eng_model *m, int layer) { (void)m, (void)layer; return here; } \
    static double own_##f(const eng_model *m, int layer) { (void)m, (void)layer; return own; } \
    static bool acts_##f(const knob_values *v) { (void)v; return acts; }
KNOBS(FUNCTIONS)
#undef FUNCTIONS

#define OFFSET_NUM(f) offsetof(knob_values, f)
#define OFFSET_TEXT(f) offsetof(knob_values, f)
#define OFFSET_INTS(f) offsetof(knob_values, f)
#define OFFSET_GRID(f) offsetof(knob_values, f)
#define OFFSET_NONE(f) 0
#define KNOB(f, type_, name_, aka_, effect_, lo, hi, choices_, help_) \
    { .name = name_, .aka = aka_, .type = Q_KNOB_##type_, .min = lo, .max = hi, .choices = choices_, .effect = Q_EFFECT_##effect_, .help = help_, .id = AT_##f }
#define ROW(f, lives_, type, name, aka, label_, effect, flags_, lo, hi, choices, here, mine, when, help) \
    { .knob = KNOB(f, type, name, aka, effect, lo, hi, choices, help), .label = label_, .lives = KNOB_##lives_, .offset = OFFSET_##lives_(f), \
      .flags = flags_, .highest = highest_##f, .own = own_##f, .acts = acts_##f },
static const knob_row rows[] = { KNOBS(ROW) };
#undef ROW

/* The same rows as other rooms see them. */
#define ROW(f, lives, type, name, aka, label, effect, flags, lo, hi, choices, here, own, acts, help) KNOB(f, type, name, aka, effect, lo, hi, choices, help),
static const q_knob listed[] = { KNOBS(ROW) };
#undef ROW

const q_knob *eng_knobs(int *n)
{
    *n = KNOB_COUNT;
    return listed;
}

int knob_count(void) { return KNOB_COUNT; }
const knob_row *knob_at(int i) { return &rows[i]; }

const knob_row *knob_find(const char *name)
{
    for (int i = 0; i < KNOB_COUNT; i++)
        if (strcmp(rows[i].knob.name, name) == 0)
            return &rows[i];
    for (int i = 0; i < KNOB_COUNT; i++)
        if (q_listed(rows[i].knob.aka, ",", name, strlen(name)))
            return &rows[i];
    return NULL;
}

const q_knob *eng_knob(const char *name)
{
    const knob_row *r = knob_find(name);
    return r ? &r->knob : NULL;
}

void knob_range(const eng_model *m, const knob_row *r, double *min, double *max)
{
    *min = r->knob.min;
    *max = r->highest(m, -1);
}

size_t knob_cells(const eng_model *m, const knob_row *r)
{
    size_t layers = (size_t)m->ker.n_layer;
    return r->lives == KNOB_INTS ? layers : r->lives == KNOB_GRID ? layers * (size_t)r->highest(m, -1) : 0;
}

bool knob_forward(const knob_row *r)
{
    enum q_effect e = r->knob.effect;
    return e == Q_EFFECT_ROUTING || e == Q_EFFECT_FORWARD || e == Q_EFFECT_POSITION || r->flags & K_CELLS;
}
