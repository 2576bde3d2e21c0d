/* kernels/cpu/mat_512_nvfp4: products of NVFP4, with 512-bit vectors and byte permutations (VBMI): few activation rows straight from
 * the file's layout, and its tiles for mat_512_gemm.h, behind which mat_512.h includes it. Format: unpack_few.c, against which it is
 * tested.
 *
 * A block is four floats of eight bits, then four times eight bytes of nibbles: element i of a sixteen low, i + 8 high. Two blocks of a
 * row are a vector of nibbles: low ones against the first eight activations of their sixteens, high ones against the others. Sums of
 * eight products of at most 24 less 12 fit 14 bits, so those of two rows pack, and words side by side make a sixteen's sum. */

/* What the floats in bytes of S mean, byte j of each dword: as half floats they are 2^-7 of it, and what is doubled in the values is
 * halved here. No number is 0. */
INLINE __m512i nvfp4_heads(__m512i s) { return _mm512_maskz_mov_epi8(_mm512_cmpneq_epi8_mask(s, _mm512_set1_epi8(0x7f)), s); }
INLINE __m512 nvfp4_float(__m512i s, const int j)
{
    s = j ? _mm512_srli_epi32(s, (unsigned)(8 * j - 7)) : _mm512_slli_epi32(s, 7);
    return _mm512_mul_ps(low_halves(_mm512_and_si512(s, _mm512_set1_epi32(0x3f80))), _mm512_set1_ps(128));
}

/* v[i] lane L of 128 bits: sixteens 2L and 2L + 1 of row 2i, then of row 2i + 1. To out[j]: sixteen j of every row. */
INLINE void nvfp4_transpose(const __m512i v[8], __m512i out[8])
{
    __m512i part[2][4];
    UNROLL for (int q = 0; q < 4; q++) {
        const __m512 x = _mm512_castsi512_ps(v[2 * q]), w = _mm512_castsi512_ps(v[2 * q + 1]);
        part[0][q] = _mm512_castps_si512(_mm512_shuffle_ps(x, w, 0x88));
        part[1][q] = _mm512_castps_si512(_mm512_shuffle_ps(x, w, 0xdd));
    }
    UNROLL for (int e = 0; e < 2; e++) {
        transpose_lanes(part[e]);
        UNROLL for (int l = 0; l < 4; l++) out[2 * l + e] = part[e][l];
    }
}

/* Two blocks of sixteen rows, or the last one of an odd number; b counts activations' blocks of 32. */
INLINE void nvfp4_group(const uint8_t *const row[16], int64_t at, int64_t far, const void *act, int64_t act_stride, const int nr, int64_t n_in, int64_t b,
                        const int blocks, __m512 acc[4])
{
    const __m512i z = _mm512_setzero_si512(), less = _mm512_set1_epi8(12), ones = _mm512_set1_epi16(1);
    const __m512i table = _mm512_broadcast_i32x4(load16(e2m1_plus_12));
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    __m512i a[4][2], c[4], v[4][8], head[2];
    EACH(r) {
        const char *q = ROW(r) + 32 * b;
        __m512i x = load64(q), w = blocks == 2 ? load64(q + 64) : z;
        a[r][0] = _mm512_permutex2var_epi64(x, even, w);
        a[r][1] = _mm512_permutex2var_epi64(x, odd, w);
        c[r] = _mm512_sub_epi32(z, dpb(dpb(z, less, a[r][0]), less, a[r][1]));
    }
    UNROLL for (int i = 0; i < 8; i++) {
        __m512i p[4][2];
        UNROLL for (int e = 0; e < 2; e++) {
            const uint8_t *s = row[2 * i + e] + at;
            fetch(s + far, at, 36 * blocks);
            __m512i x = _mm512_castsi256_si512(load32(s + 4));
            if (blocks == 2) x = _mm512_mask_loadu_epi32(x, 0xff00, s + 8);      /* the second one's, from byte 40 on: no shuffle */
            /* by the low six bits, in a table that repeats itself */
            __m512i lo = _mm512_permutexvar_epi8(x, table), hi = _mm512_permutexvar_epi8(_mm512_srli_epi16(x, 4), table);
            EACH(r) p[r][e] = dpb(dpb(c[r], lo, a[r][0]), hi, a[r][1]);
        }
        EACH(r) v[r][i] = _mm512_madd_epi16(_mm512_packs_epi32(p[r][0], p[r][1]), ones);
    }
    UNROLL for (int k = 0; k < blocks; k++) head[k] = nvfp4_heads(dwords16(row, at + 36 * k));
    EACH(r) {
        const float *da = mat_q8_32(ROW(r), n_in).d + b;
        __m512i sum[8];
        nvfp4_transpose(v[r], sum);
        UNROLL for (int j = 0; j < 4 * blocks; j++)
            acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(nvfp4_float(head[j / 4], j % 4), _mm512_set1_ps(da[j / 2])), _mm512_cvtepi32_ps(sum[j]), acc[r]);
    }
}

INLINE void dec_nvfp4(const mat *w, const void *act, int64_t act_stride, const int nr, int64_t o0, int64_t o1, float *y, int64_t y_stride)
{
    const uint8_t *row[16];
    for (int64_t o = o0; o < o1; o += 16) {
        __mmask16 live = rows16(w, o, o1, row);
        const int64_t far = fetch_ahead(w, o, o1, 16);
        __m512 acc[4];
        EACH(r) acc[r] = _mm512_setzero_ps();
        int64_t b = 0, at = 0;
        for (; at + 72 <= w->row_bytes; b += 4, at += 72)
            nvfp4_group(row, at, far, act, act_stride, nr, w->n_in, b, 2, acc);
        if (at < w->row_bytes)
            nvfp4_group(row, at, far, act, act_stride, nr, w->n_in, b, 1, acc);
        EACH(r) _mm512_mask_storeu_ps(y + r * y_stride + o, live, acc[r]);
    }
}

/* Half a block, as if it were one of 18 bytes: at / 36 is the block. The floats of its two sixteens are d and m. */
static void tile_nvfp4(tile32 *t, const uint8_t *const row[16], int64_t at)
{
    const __m512i nib = _mm512_set1_epi8(15), table = _mm512_broadcast_i32x4(load16(e2m1_plus_12));
    const int64_t half = at % 36 / 18, s = at - 18 * half, q = s + 4 + 16 * half;
    __m512i h[4], v[4], head = _mm512_srlv_epi32(nvfp4_heads(dwords16(row, s)), _mm512_set1_epi32((int)(16 * half)));
    UNROLL for (int g = 0; g < 4; g++)
        h[g] = four16(row[g] + q, row[4 + g] + q, row[8 + g] + q, row[12 + g] + q);
    transpose4(h, v);
    UNROLL for (int k = 0; k < 4; k++) {               /* elements 4k .. of a sixteen low, 4k + 8 .. high */
        const int to = 4 * (k / 2) + k % 2;
        put(t->w[to], _mm512_shuffle_epi8(table, _mm512_and_si512(v[k], nib)));
        put(t->w[to + 2], _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v[k], 4), nib)));
    }
    _mm512_storeu_ps(t->d, nvfp4_float(head, 0));
    _mm512_storeu_ps(t->m, nvfp4_float(head, 1));
}

static void mul_nvfp4(ARGS)
{
#define CALL(nr) dec_nvfp4(w, act, act_stride, nr, o0, o1, y, y_stride)
    BY_N(CALL)
#undef CALL
    static const rows_of f = { 32, 18, 16, 12, BYTES, NULL, tile_nvfp4, .run = run_two16 };
    gemm(w, act, act_stride, n, o0, o1, y, y_stride, scratch, &f);
}
