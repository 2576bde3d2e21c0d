/* train/gemm_body: the body behind gemm.h, included once for each instruction set after that has defined v16 (16 float lanes) with v_zero,
 * v_load, v_store, v_add, v_all (a number in every lane) and v_fma(a, b, c) = a * b + c, GEM_ROWS (rows held in registers at once) and
 * GEM_SIDE (panels beside each other). Never included elsewhere. */

/* `rows` x `side` tiles of c; both are constants where this is inlined. cols: columns in use of the last panel. */
static inline __attribute__((always_inline)) void gem_tile(const int rows, const int side, const float *a, int64_t lda, int k, const float *b, int64_t apart,
                                                           float *c, int64_t ldc, int cols, bool add)
{
    v16 sum[GEM_ROWS][GEM_SIDE];
    _Pragma("GCC unroll 12")
    for (int i = 0; i < rows; i++)
        _Pragma("GCC unroll 2")
        for (int s = 0; s < side; s++) sum[i][s] = v_zero();
    for (int x = 0; x < k; x++) {
        v16 w[GEM_SIDE];
        _Pragma("GCC unroll 2")
        for (int s = 0; s < side; s++) w[s] = v_load(b + s * apart + (int64_t)x * GEM_COLS);
        _Pragma("GCC unroll 12")
        for (int i = 0; i < rows; i++) {
            v16 f = v_all(a[i * lda + x]);
            _Pragma("GCC unroll 2")
            for (int s = 0; s < side; s++) sum[i][s] = v_fma(f, w[s], sum[i][s]);
        }
    }
    _Pragma("GCC unroll 12")
    for (int i = 0; i < rows; i++)
        _Pragma("GCC unroll 2")
        for (int s = 0; s < side; s++) {
            float *to = c + i * ldc + s * GEM_COLS;
            if (s + 1 < side || cols == GEM_COLS) {
                v_store(to, add ? v_add(v_load(to), sum[i][s]) : sum[i][s]);
                continue;
            }
            float t[GEM_COLS];
            v_store(t, sum[i][s]);
            for (int j = 0; j < cols; j++) to[j] = add ? to[j] + t[j] : t[j];
        }
}

static inline __attribute__((always_inline)) void gem_strip(const int side, const float *a, int64_t lda, int m, int k, const float *b, int64_t apart, float *c,
                                                            int64_t ldc, int cols, bool add)
{
    int i = 0;
    for (; i + GEM_ROWS <= m; i += GEM_ROWS) gem_tile(GEM_ROWS, side, a + i * lda, lda, k, b, apart, c + i * ldc, ldc, cols, add);
    for (; i + 2 <= m; i += 2) gem_tile(2, side, a + i * lda, lda, k, b, apart, c + i * ldc, ldc, cols, add);
    if (i < m) gem_tile(1, side, a + i * lda, lda, k, b, apart, c + i * ldc, ldc, cols, add);
}

static void gem_mul(const float *a, int64_t lda, int m, int k, const float *b, int64_t depth, int n, float *c, int64_t ldc, bool add)
{
    int64_t apart = depth * GEM_COLS;
    for (int x = 0; x < k || x == 0; x += GEM_DEPTH, add = true) {
        int terms = k - x < GEM_DEPTH ? k - x : GEM_DEPTH, j = 0;
        for (; j + GEM_SIDE * GEM_COLS <= n; j += GEM_SIDE * GEM_COLS)
            gem_strip(GEM_SIDE, a + x, lda, m, terms, b + j / GEM_COLS * apart + (int64_t)x * GEM_COLS, apart, c + j, ldc, GEM_COLS, add);
        for (; j < n; j += GEM_COLS)
            gem_strip(1, a + x, lda, m, terms, b + j / GEM_COLS * apart + (int64_t)x * GEM_COLS, apart, c + j, ldc, n - j < GEM_COLS ? n - j : GEM_COLS, add);
    }
}
