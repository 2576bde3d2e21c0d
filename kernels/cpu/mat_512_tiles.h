/* kernels/cpu/mat_512_tiles: the types of mat_512_grid.h by the number of activation rows: few by mat_512_grid_few.h, many by tiles for
 * mat_512_gemm.h, behind which mat_512.h includes it. */

INLINE void tile_grid(tile256 *t, const uint8_t *const row[16], int64_t at, const int type)
{
    __m512i v[4][16];
    int16_t scale[2][32] __attribute__((aligned(64))), one[16][16];
    for (int i = 0; i < 16; i += 2) {
        grid_pair two;
        grid_two(type, row[i] + at, row[i + 1] + at, &two);
        UNROLL for (int e = 0; e < 2; e++) {
            UNROLL for (int k = 0; k < 4; k++) v[k][i + e] = two.v[e][k];
            if (!GRID_TERNARY(type)) put(scale[0], two.scale[e][0]), put(scale[1], two.scale[e][1]);
            for (int j = 0; j < 16; j++)             /* where grid_scale_at has put them */
                one[i + e][j] = GRID_TERNARY(type) ? 1 : scale[j / 8][8 * (j % 4) + 4 * (j / 4 % 2)];
        }
    }
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 16; i++) t->sc[j][i] = (int32_t)((uint32_t)one[i][2 * j] << 16 | (uint16_t)one[i][2 * j + 1]);
    _mm512_storeu_ps(t->d, grid_d(type, row, at));
    for (int k = 0; k < 4; k++) {
        transpose16(v[k]);
        UNROLL for (int i = 0; i < 16; i++) put(t->w[16 * k + i], v[k][i]);
    }
}

#define GRID_TYPE(name, type, few) \
    static void tile_##name(tile256 *t, const uint8_t *const row[16], int64_t at) { tile_grid(t, row, at, type); } \
    static void mul_##name(ARGS) { \
    static const rows_of f = { 256, GRID_BYTES(type), 16, GRID_TERNARY(type) ? 1 : GRID_LESS, BYTES, tile_##name, NULL, .run = run_q3k }; \
    switch (n) { \
    case 1: few(w, act, act_stride, 1, o0, o1, y, y_stride, scratch, type); return; \
    case 2: few(w, act, act_stride, 2, o0, o1, y, y_stride, scratch, type); return; \
    case 3: few(w, act, act_stride, 3, o0, o1, y, y_stride, scratch, type); return; \
    case 4: few(w, act, act_stride, 4, o0, o1, y, y_stride, scratch, type); return; \
    default: gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f); } }
GRID_TYPE(iq2xxs, KER_IQ2_XXS, dec_wholes)
GRID_TYPE(iq2xs, KER_IQ2_XS, dec_eights)
GRID_TYPE(iq2s, KER_IQ2_S, dec_eights)
GRID_TYPE(iq3xxs, KER_IQ3_XXS, dec_fours)
GRID_TYPE(iq3s, KER_IQ3_S, dec_fours)
GRID_TYPE(iq1s, KER_IQ1_S, dec_wholes)
GRID_TYPE(iq1m, KER_IQ1_M, dec_eights)
GRID_TYPE(tq10, KER_TQ1_0, dec_ternary)
GRID_TYPE(tq20, KER_TQ2_0, dec_ternary)
#define GRID_TABLE [KER_IQ2_XXS] = mul_iq2xxs, [KER_IQ2_XS] = mul_iq2xs, [KER_IQ2_S] = mul_iq2s, [KER_IQ3_XXS] = mul_iq3xxs, \
    [KER_IQ3_S] = mul_iq3s, [KER_IQ1_S] = mul_iq1s, [KER_IQ1_M] = mul_iq1m, [KER_TQ1_0] = mul_tq10, [KER_TQ2_0] = mul_tq20,
