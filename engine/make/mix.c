/* engine/make/mix: see mix.h. */
#include "engine/make/mix.h"

#include <string.h>

static const mix mixes[] = {
    {"Q4_K_M", KER_Q4_K, 15}, {"Q4_K_S", KER_Q4_K, 14}, {"Q5_K_M", KER_Q5_K, 17}, {"Q5_K_S", KER_Q5_K, 16}, {"Q6_K", KER_Q6_K, 18},
    {"Q8_0", KER_Q8_0, 7},    {"Q4_0", KER_Q4_0, 2},    {"Q2_K", KER_Q2_K, 10},   {"Q3_K_S", KER_Q3_K, 11}, {"Q3_K_M", KER_Q3_K, 12},
    {"Q3_K_L", KER_Q3_K, 13}, {"IQ4_XS", KER_IQ4_XS, 30}, {"MXFP4", KER_MXFP4, 38}, {"F16", KER_F16, 1},    {"BF16", KER_BF16, 32},
    {"F32", KER_F32, 0},
};

const mix *mix_at(int i) { return i >= 0 && (size_t)i < sizeof mixes / sizeof *mixes ? &mixes[i] : NULL; }

const mix *mix_named(const char *name)
{
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (strcmp(mixes[i].name, name) == 0) return &mixes[i];
    return NULL;
}

/* tensor_get_category: the first that fits. */
enum kind { EMBD, HEAD, V, K, O, DOWN, OTHER };
static const struct { const char *has; enum kind kind; } kinds[] = {
    {"token_embd.", EMBD}, {"attn_qkv.", V}, {"attn_kv_b.", V}, {"attn_v.", V}, {"attn_k.", K}, {"attn_output.", O},
    {"output.", HEAD},     {"ffn_up", OTHER}, {"ffn_gate", OTHER}, {"ffn_down", DOWN},
};

static enum kind kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(name, kinds[i].has)) return kinds[i].kind;
    return OTHER;
}

/* use_more_bits: the first and the last eighth, and each third layer between. */
static bool more_bits(int i, int n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

enum when { ALWAYS, WIDE /* four or more heads to one of K and V */, FIRST_2, FIRST_4, SIXTEENTH, EIGHTH, MORE, EIGHT /* experts */ };
static bool holds(enum when w, const shape *s, int i, int n)
{
    switch (w) {
    case ALWAYS: return true;
    case WIDE: return s->n_head / s->n_kv >= 4;
    case FIRST_2: return i < 2;
    case FIRST_4: return i < 4;
    case SIXTEENTH: return i < n / 16;
    case EIGHTH: return i < n / 8;
    case MORE: return more_bits(i, n);
    case EIGHT: return s->n_expert == 8;
    }
    return false;
}

/* The first that holds. */
static const struct { const char *mix; enum kind kind; enum when when; int type; } rules[] = {
    {"Q2_K", V, WIDE, KER_Q4_K},      {"Q2_K", V, ALWAYS, KER_Q3_K},
    {"Q3_K_M", V, FIRST_2, KER_Q5_K}, {"Q3_K_M", V, ALWAYS, KER_Q4_K},
    {"Q3_K_L", V, ALWAYS, KER_Q5_K},  {"IQ4_XS", V, WIDE, KER_Q5_K},
    {"Q4_K_M", V, MORE, KER_Q6_K},    {"Q5_K_M", V, MORE, KER_Q6_K},      {"Q4_K_S", V, FIRST_4, KER_Q5_K},
    {"Q2_K", DOWN, ALWAYS, KER_Q3_K},
    {"Q3_K_M", DOWN, SIXTEENTH, KER_Q5_K}, {"Q3_K_M", DOWN, ALWAYS, KER_Q4_K},
    {"Q3_K_L", DOWN, ALWAYS, KER_Q5_K},    {"IQ4_XS", DOWN, EIGHTH, KER_Q5_K},
    {"Q4_K_M", DOWN, MORE, KER_Q6_K},      {"Q5_K_M", DOWN, MORE, KER_Q6_K}, {"Q4_K_S", DOWN, EIGHTH, KER_Q5_K},
    {"Q2_K", O, EIGHT, KER_Q5_K},   {"Q3_K_S", O, EIGHT, KER_Q5_K}, {"Q3_K_M", O, EIGHT, KER_Q5_K},
    {"Q4_K_S", O, EIGHT, KER_Q5_K}, {"Q4_K_M", O, EIGHT, KER_Q5_K}, {"IQ4_XS", O, EIGHT, KER_Q5_K},
    {"Q2_K", O, ALWAYS, KER_Q3_K},  {"Q3_K_M", O, ALWAYS, KER_Q4_K},
};

/* What stays out of the table: Q3_K_L's attn_output is Q5_K but in models of eight experts; eight experts have V and K in Q8_0; 70B
 * models (80 layers of llama or qwen2) have V in Q5_K at least. */
static int ruled(const mix *m, const shape *s, enum kind kind, int layer, int n_layer)
{
    int type = m->type;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].kind == kind && strcmp(rules[i].mix, m->name) == 0 && holds(rules[i].when, s, layer, n_layer)) {
            type = rules[i].type;
            break;
        }
    if (kind == O && strcmp(m->name, "Q3_K_L") == 0 && s->n_expert != 8) type = KER_Q5_K;
    bool seventy = n_layer == 80 && ((strcmp(s->arch, "llama") == 0 && s->n_head != s->n_kv) || strcmp(s->arch, "qwen2") == 0);
    if (kind == V && seventy && (type == KER_Q3_K || type == KER_Q4_K)) type = KER_Q5_K;
    if ((kind == V || kind == K) && s->n_expert == 8) type = KER_Q8_0;
    return type;
}

/* tensor_type_fallback: rows that a block of 256 does not fill. */
static int fitting(int type, int64_t ne0)
{
    static const struct { int from, to; } smaller[] = {
        {KER_Q2_K, KER_Q4_0}, {KER_Q3_K, KER_Q4_0}, {KER_Q4_K, KER_Q5_0}, {KER_Q5_K, KER_Q5_1}, {KER_Q6_K, KER_Q8_0}, {KER_IQ4_XS, KER_IQ4_NL},
    };
    for (size_t i = 0; i < sizeof smaller / sizeof *smaller; i++)
        if (ne0 % ker_type_get(type)->block && smaller[i].from == type) type = smaller[i].to;
    return ne0 % ker_type_get(type)->block ? KER_F16 : type;
}

int mix_type(const mix *m, const shape *s, const char *name, int layer, int n_layer, int64_t ne0, int64_t ne2)
{
    if (m->type == KER_F32 || m->type == KER_F16 || m->type == KER_BF16) return m->type;
    enum kind kind = kind_of(name);
    int type = m->type;
    if (kind == HEAD || (kind == EMBD && s->tied))
        type = m->type == KER_MXFP4 || m->type == KER_Q8_0 || ne0 % ker_type_get(m->type)->block ? KER_Q8_0 : KER_Q6_K;
    else if (m->type == KER_MXFP4) type = ne2 > 1 ? KER_MXFP4 : KER_Q8_0;
    else if (kind != EMBD) type = ruled(m, s, kind, layer, n_layer);
    return fitting(type, ne0);
}
