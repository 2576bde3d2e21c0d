/* The type table against goldens made by the gguf Python package (tests/golden/make_types.py): every decoder
 * and encoder bit for bit; the half float conversions over all 65536 values. */
#include "base/base.h"
#include "kernels/cpu/mat_isa.h"
#include "kernels/kernels.h"
#include "kernels/unpack.h"
#include "tests/test.h"
#include "tests/packed.h"

#include <zlib.h>

/* Rows of kernels/types.def, counted where they stand. */
enum {
#define KER_FLOAT(...) + 1
#define KER_BLOCK(...) + 1
    N_WEIGHT = 0
#include "kernels/types.def"
    ,
#define KER_FLOAT(...) + 1
#define KER_BLOCK(...) + 1
#define KER_STORE(...) + 1
#define KER_NAMED(...) + 1
    N_ROW = 0
#include "kernels/types.def"
};

static bool golden(const char *prefix, const char *name, q_buf *b)
{
    char path[256], err[Q_ERRLEN];
    snprintf(path, sizeof path, "tests/golden/types/%s%s.bin", prefix, name);
    if (q_read_file(packed(path), b, 1 << 20, err)) {
        CHECK_MSG(0, "%s", err);
        return false;
    }
    return true;
}

/* Types whose goldens would be large by their values: a float for each of their few bits. */
static bool of_few_bits(const ker_type *t)
{
    const ker_type *four = ker_type_get(KER_IQ4_XS);
    return t->sub && (t->bytes * four->block < four->bytes * t->block || t->d < 0);
}

static int by_values;                  /* types whose every value is compared */

static void decode_bit_identical(void)
{
    int checked = 0;
    for (int id = 0; id < KER_TYPE_LIMIT; id++) {
        const ker_type *t = ker_type_get(id);
        if (!t || !t->weight || id == KER_F32 || of_few_bits(t))
            continue;
        q_buf b = { 0 };
        if (!golden("", t->name, &b))
            continue;
        int32_t head[2];
        memcpy(head, b.p, 8);
        CHECK_INT(ker_row_bytes(id, head[0]), head[1]);
        CHECK_INT(b.len, 8 + head[1] + 4 * (size_t)head[0]);
        float *y = malloc(4 * (size_t)head[0]);
        t->decode(b.p + 8, y, head[0]);
        int bad = 0, nonzero = 0;
        for (int i = 0; i < head[0]; i++) {
            bad += memcmp(y + i, b.p + 8 + head[1] + 4 * i, 4) != 0;
            nonzero += y[i] != 0;
        }
        CHECK_MSG(bad == 0, "%s: %d of %d values differ", t->name, bad, head[0]);
        CHECK(nonzero > head[0] / 2);
        free(y);
        q_buf_free(&b);
        checked++;
    }
    by_values = checked;
    CHECK(checked > 0);
}

/* The same for types of few bits, whose goldens have a sum of each block's values instead of the values. */
static void decode_bit_identical_by_sums(void)
{
    int checked = 0;
    for (int id = 0; id < KER_TYPE_LIMIT; id++) {
        const ker_type *t = ker_type_get(id);
        q_buf b = { 0 };
        if (!t || !of_few_bits(t) || !golden("crc_", t->name, &b))
            continue;
        int32_t head[2];
        memcpy(head, b.p, 8);
        int n = head[0] / t->block, bad = 0, first = -1;
        CHECK_INT(ker_row_bytes(id, head[0]), head[1]);
        CHECK_INT(b.len, 8 + head[1] + 4 * (size_t)n);
        CHECK(n >= 10);
        for (int k = 0; k < n; k++) {
            float y[256];
            uint32_t sum;
            t->decode(b.p + 8 + k * t->bytes, y, t->block);
            memcpy(&sum, b.p + 8 + head[1] + 4 * k, 4);
            if (crc32(0, (const unsigned char *)y, (unsigned)t->block * 4) == sum) continue;
            first = bad++ ? first : k;
        }
        CHECK_MSG(bad == 0, "%s: %d of %d blocks differ, the first is %d", t->name, bad, n, first);
        q_buf_free(&b);
        checked++;
    }
    CHECK(checked > 0);
    CHECK_INT(checked + by_values, N_WEIGHT - 1);        /* all but F32 */
}

static void encode_bit_identical(void)
{
    int checked = 0;
    for (int id = 0; id < KER_TYPE_LIMIT; id++) {
        const ker_type *t = ker_type_get(id);
        if (!t || !t->encode)
            continue;
        q_buf b = { 0 };
        if (!golden("enc_", t->name, &b))
            continue;
        int32_t head[2];
        memcpy(head, b.p, 8);
        CHECK_INT(ker_row_bytes(id, head[0]), head[1]);
        float *x = malloc(4 * (size_t)head[0]);
        char *e = malloc((size_t)head[1]);
        memcpy(x, b.p + 8, 4 * (size_t)head[0]);
        t->encode(x, e, head[0]);
        int bad = 0;
        for (int i = 0; i < head[1]; i++)
            bad += e[i] != b.p[8 + 4 * (size_t)head[0] + (size_t)i];
        CHECK_MSG(bad == 0, "%s: %d of %d bytes differ", t->name, bad, head[1]);
        free(x);
        free(e);
        q_buf_free(&b);
        checked++;
    }
    CHECK_INT(checked, 7);
}

static void half_floats(void)
{
    for (int h = 0; h < 65536; h++) {
        float f = ker_f16_to_f32((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00)
            CHECK(isnan(f) && isnan(ker_f16_to_f32(ker_f32_to_f16(f))));
        else
            CHECK_INT(ker_f32_to_f16(f), h);
    }
    CHECK(ker_f16_to_f32(0x3c00) == 1 && ker_f16_to_f32(0x7bff) == 65504 && ker_f16_to_f32(1) == 0x1p-24f);
    CHECK_INT(ker_f32_to_f16(0x1p-25f), 0);              /* half of the smallest: to even */
    CHECK_INT(ker_f32_to_f16(0x1.8p-24f), 2);
    CHECK_INT(ker_f32_to_f16(65520), 0x7c00);
}

static void table(void)
{
    int named = 0;
    CHECK(!ker_type_get(-1) && !ker_type_get(KER_TYPE_LIMIT));
    CHECK(!ker_type_named(-1) && !ker_type_named(KER_TYPE_LIMIT));
#define KER_NAMED(id, spelt, ...) CHECK_MSG(!ker_type_get(id), "%d", id); CHECK_STR(ker_type_named(id)->name, #spelt); named++;
#include "kernels/types.def"
    CHECK(named > 0 && named < N_ROW - N_WEIGHT);        /* and others are stored, and never computed with */
    CHECK_STR(ker_type_get(KER_Q6_K)->name, "Q6_K");
    CHECK(!ker_type_get(KER_I32)->weight);
    for (int id = 0; id < KER_TYPE_LIMIT; id++) {
        const ker_type *t = ker_type_get(id);
        CHECK(!t || !t->weight || (t->decode && t->block >= 1 && ker_row_bytes(id, 256) == 256 / t->block * t->bytes));
    }
    CHECK_INT(ker_row_bytes(9, 256), 0);
}

/* How many types there are stands in types.def alone: the enum's end, the products of every instruction set and the
 * rows agree, and each weight can be multiplied by the scalar path that defines its bits. */
static void limit_stands_once(void)
{
    const mat_isa *scalar = mat_isa_scalar();
    int last = -1, n = 0;
#define KER_FLOAT(id, ...) CHECK_MSG(id > last, "row %d stands after %d", id, last); last = id; n++;
#define KER_BLOCK KER_FLOAT
#define KER_STORE KER_FLOAT
#define KER_NAMED KER_FLOAT
#include "kernels/types.def"
    CHECK_INT(last + 1, KER_TYPE_LIMIT);
    CHECK_INT(n, N_ROW);
    CHECK_INT(sizeof scalar->mul / sizeof *scalar->mul, KER_TYPE_LIMIT);
    for (int id = 0; id < KER_TYPE_LIMIT; id++) {
        const ker_type *t = ker_type_get(id), *named = ker_type_named(id);
        CHECK(!t || t == named);
        CHECK_MSG((t && t->weight) == (scalar->mul[id] != NULL), "type %d", id);
        CHECK_MSG((t && t->sub) == (ker_unpack_get(id)->one != NULL), "type %d", id);
        if (t && t->sub) CHECK(t->block % t->sub == 0 && t->d + 2 <= t->bytes && t->m + 2 <= t->bytes && t->block / t->sub <= 16);
        int pieces = ker_unpack_get(id)->pieces;
        if (t && t->sub) CHECK_MSG(pieces == 1 || (pieces > 1 && pieces <= KER_PIECES && pieces * t->sub == t->block && !ker_unpack_get(id)->has_min), "type %d", id);
    }
    CHECK_INT(ker_unpack_get(KER_NVFP4)->pieces, KER_PIECES);
    CHECK_INT(ker_unpack_get(KER_Q4_K)->pieces, 1);
}

/* A scale that is written is the scale that is read, as near as the type keeps it; no integer of the block changes. */
static void scales_alone(void)
{
    for (int id = 0; id < KER_TYPE_LIMIT; id++) {
        const ker_type *t = ker_type_get(id);
        const ker_unpack *u = ker_unpack_get(id);
        if (!u->one) continue;
        uint8_t block[512];
        for (int i = 0; i < t->bytes; i++) block[i] = (uint8_t)(i * 37 + 11);
        for (int k = 0; k < 3; k++) {
            const float d = k == 0 ? .0123f : k == 1 ? .75f : .002f;
            ker_block before, after;
            float one[256], twice[256];
            ker_type_scale(id, block, d, d / 2);
            u->one(block, &before);
            t->decode(block, one, t->block);
            ker_type_scale(id, block, 2 * d, d);
            u->one(block, &after);
            t->decode(block, twice, t->block);
            CHECK_MSG(!memcmp(before.q, after.q, (size_t)t->block) && !memcmp(before.sc, after.sc, sizeof *before.sc * (size_t)(t->block / t->sub)), "%s", t->name);
            float has = u->pieces > 1 ? after.piece[3] : after.d, had = u->pieces > 1 ? before.piece[3] : before.d;
            CHECK_MSG(had > 0 && has / had > 1.4f && has / had < 2.7f, "%s: %g after %g", t->name, (double)has, (double)had);
            float step = id == KER_IQ2_XXS || id == KER_IQ2_XS || id == KER_IQ2_S || id == KER_IQ1_S || id == KER_IQ1_M ? .125f : id == KER_IQ3_XXS ? .25f : 1;
            CHECK_MSG(had / step > d * .49f && had / step < d * 1.51f, "%s: %g for %g", t->name, (double)had, (double)d);
        }
    }
}

static void file_types_are_told_apart(void)
{
    int n;
    const ker_file_type *f = ker_file_types(&n);
    CHECK(n > 20);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) CHECK_MSG(f[i].id != f[j].id && strcmp(f[i].name, f[j].name), "%s and %s", f[i].name, f[j].name);
    CHECK_STR(ker_file_type_get(15)->name, "Q4_K_M");
    CHECK_STR(ker_file_type_get(10)->name, "Q2_K");
    CHECK(ker_file_type_get(38)->bits == 0 && ker_file_type_get(18)->bits > 6 && !ker_file_type_get(5) && !ker_file_type_get(UINT64_MAX));
}

int main(void)
{
    RUN(decode_bit_identical);
    RUN(decode_bit_identical_by_sums);
    RUN(scales_alone);
    RUN(encode_bit_identical);
    RUN(half_floats);
    RUN(table);
    RUN(limit_stands_once);
    RUN(file_types_are_told_apart);
    return TEST_END();
}
