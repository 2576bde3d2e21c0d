/* Products by the library that stands for cuBLAS: weights of every type unpacked to halves, odd widths, several tiles, rows of any
 * size, all that a product does with its outputs; calls that fail; no library. The bound is that of two roundings to a half. */
#include "kernels/cuda/tiles.cuh"
#include "tests/cuda_bench.h"
#include "tests/cuda_emu/emu_stats.h"

#include <unistd.h>

#define ID(name) KER_##name,
static const int types[] = { CU_FLOAT_TYPES(ID) CU_BLOCK_TYPES(ID) };

static bool library(bool there)
{
    const char *build = getenv("BUILD");
    char *path = q_printf("%s/libcublas-emu.so", build ? build : "build");
    bool found = !access(path, R_OK);
    setenv("EMU_BLAS", there ? path : "", 1);
    free(path);
    return found;
}

static uint64_t launched(const char *kernel)
{
    emu_kernel all[64];
    size_t n = emu_api()->kernels(all, 64);
    for (size_t i = 0; i < n && i < 64; i++) if (strstr(all[i].name, kernel)) return all[i].launches;
    return 0;
}

struct job {
    bench b;
    int type, n_in, n_out, n_rows;
    std::vector<uint8_t> file;
    std::vector<float> x, y, bias;
    cu_mat w;
    cu_acts a;
    float *dx, *dy;
    cu_prod p;
    /* big: what row r of the activations, and of floats output o of the weights, is multiplied by. */
    job(int type_, int in, int out, int rows, bool odd) : b(rows, in, 0), type(type_), n_in(in), n_out(out), n_rows(rows)
    {
        static const float of_x[] = { 1, 1e20f, 1e-20f, 0 }, of_w[] = { 1, 1e12f, 1e-12f };
        const ker_type *t = ker_type_get(type);
        file = random_rows(type, n_in, n_out);
        for (int o = 0; odd && type == KER_BF16 && o < n_out; o++)
            for (int i = 0; i < n_in; i++) {
                float v = rndf() * of_w[o % 3];
                t->encode(&v, &file[(size_t)(o * n_in + i) * 2], 1);
            }
        x.resize((size_t)n_rows * n_in);
        y.resize((size_t)n_rows * (n_out + 3));
        bias.resize((size_t)n_out);
        for (size_t i = 0; i < x.size(); i++) x[i] = rndf() * (rnd() % 17 ? 1 : 20) * (odd ? of_x[(int)i / n_in % 4] : 1);
        for (float &v : y) v = rndf();
        for (float &v : bias) v = rndf();
        w = upload(b, type, file, n_in, n_out);
        a = acts_for(b, n_rows, n_in);
        dx = b.keep(to_device(x.data(), x.size()));
        dy = b.keep(to_device(y.data(), y.size()));
        b.c.max_rows = n_rows;
        b.dev.ways.library[type] = (1u << KER_WAY_BITS) - 1;
        if (t->act != KER_ACT_F32) cu_quantise(&b.c, dx, n_rows, n_in, 1u << t->act, &a);
        memset(&p, 0, sizeof p);
        p.w = &w;
        p.bias = b.keep(to_device(bias.data(), bias.size()));
        p.y = dy;
        p.y_stride = n_out + 3;
        p.add = true;
        p.layer = 4;
        p.part = KER_PART_ATTN;
    }
    ~job()
    {
        b.wait();
        cu_blas_free(&b.c);
        for (int i = 0; i < b.c.n_mem; i++) cudaFree(b.c.mem[i]);
        free(b.c.mem);
    }
    std::vector<float> run()
    {
        if (cudaMemcpy(dy, y.data(), y.size() * 4, cudaMemcpyHostToDevice) != cudaSuccess) abort();
        emu_api()->reset();
        cu_products(&b.c, &p, 1, dx, &a, n_rows);
        b.wait();
        return back(dy, y.size());
    }
};

/* Against sums in double precision of the same weights and activations. Either factor is rounded to 11 bits, and what is below
 * 2^-21 of its row's largest to that; floats add the rest. */
static void agrees(job &j, const std::vector<float> &got)
{
    const ker_type *t = ker_type_get(j.type);
    std::vector<double> w((size_t)j.n_in * j.n_out), x((size_t)j.n_in * j.n_rows);
    std::vector<float> row((size_t)j.n_in);
    for (int o = 0; o < j.n_out; o++) {
        t->decode(&j.file[(size_t)(o * ker_row_bytes(j.type, j.n_in))], row.data(), j.n_in);
        for (int i = 0; i < j.n_in; i++) w[(size_t)o * j.n_in + i] = row[(size_t)i];
    }
    if (t->act == KER_ACT_F32) for (size_t i = 0; i < x.size(); i++) x[i] = j.x[i];
    else {
        std::vector<int8_t> q = back(j.a.kind[t->act].q, x.size());
        std::vector<float> d = back(j.a.kind[t->act].d, x.size() / 32);
        for (size_t i = 0; i < x.size(); i++) x[i] = (double)q[i] * d[i / 32];
    }
    int wrong = 0;
    for (int r = 0; r < j.n_rows; r++)
        for (int o = 0; o < j.n_out + 3; o++) {
            size_t at = (size_t)(r * (j.n_out + 3) + o);
            if (o >= j.n_out) {
                wrong += got[at] != j.y[at];
                continue;
            }
            double sum = 0, size = 0, most_x = 0, most_w = 0;
            for (int i = 0; i < j.n_in; i++) {
                double a = x[(size_t)r * j.n_in + i], b = w[(size_t)o * j.n_in + i];
                sum += a * b;
                size += fabs(a * b);
                most_x = fmax(most_x, fabs(a));
                most_w = fmax(most_w, fabs(b));
            }
            double rest = j.bias[(size_t)o] + (double)j.y[at], bound = size * 1.1e-3 + j.n_in * most_x * most_w * 1e-9 + (fabs(sum) + fabs(rest) + 1) * 3e-7;
            wrong += !(fabs(got[at] - sum - rest) <= bound);
        }
    CHECK_MSG(!wrong, "%s %d x %d, %d rows: %d numbers are off", t->name, j.n_out, j.n_in, j.n_rows, wrong);
    for (unsigned u : back(j.b.c.tr.bad, (size_t)j.n_rows)) CHECK_INT(u, 0);
}

static void one(int type, int n_in, int n_out, int n_rows, int64_t tile_bytes, int tiles, bool odd)
{
    job j(type, n_in, n_out, n_rows, odd);
    CHECK(cu_blas_make(&j.b.c, n_in, n_out, tile_bytes));
    CHECK(cu_blas_takes(&j.b.c, &j.w, n_rows));
    std::vector<float> got = j.run();
    CHECK_INT(launched("blas_put"), tiles);
    agrees(j, got);
    std::vector<float> again = j.run();
    CHECK(!memcmp(got.data(), again.data(), got.size() * 4));
}

static void every_type_is_unpacked(void)
{
    library(true);
    for (int type : types) {
        int block = ker_type_get(type)->block;
        if (type == KER_F32) {
            CHECK(!cu_blas_type(type));
            continue;
        }
        CHECK(cu_blas_type(type));
        one(type, block == 1 ? 83 : 3 * block, 37, 11, 1 << 20, 1, false);
        one(type, block == 1 ? 40 : block == 256 ? 256 : block == 64 ? 1088 : 1056, 97, 9, 1, 4, true);
        one(type, block == 1 ? 1 : block, 1, 33, 1 << 20, 1, true);
    }
}

/* Few rows, the router's, floats in full precision, more rows or wider than there is room for, a type whose bit is not set. */
static void what_it_does_not_take(void)
{
    library(true);
    job j(KER_Q8_0, 64, 40, 12, false);
    CHECK(cu_blas_make(&j.b.c, 64, 40, 1 << 20));
    CHECK(cu_blas_takes(&j.b.c, &j.w, 12) && cu_blas_takes(&j.b.c, &j.w, 9));
    CHECK(!cu_blas_takes(&j.b.c, &j.w, 8) && !cu_blas_takes(&j.b.c, &j.w, 13));
    j.p.exact = true;
    j.run();
    CHECK_INT(launched("blas_put"), 0);
    j.p.exact = false;
    j.run();
    CHECK_INT(launched("blas_put"), 1);
    cu_mat wide = j.w;
    wide.n_in = 96;
    CHECK(!cu_blas_takes(&j.b.c, &wide, 12));
    j.b.dev.ways.library[KER_Q8_0] = (uint16_t)~(1u << ker_way_of(40, 12));
    CHECK(!cu_blas_takes(&j.b.c, &j.w, 12));
    CHECK_INT(ker_way_of(40, 8), -1);
    CHECK_INT(ker_way_of(1023, 63), 0);
    CHECK_INT(ker_way_of(1024, 64), KER_WAY_ROWS + 1);
    CHECK_INT(ker_way_of(8192, 256), KER_WAY_EXPERTS - 1);
    CHECK_INT(ker_way_experts(8), -1);
    CHECK_INT(ker_way_experts(63), KER_WAY_EXPERTS);
    CHECK_INT(ker_way_experts(256), KER_WAY_BITS - 1);
}

static void what_is_not_finite_is_marked(void)
{
    library(true);
    for (int type : { (int)KER_F16, (int)KER_Q4_K })
        for (float v : { NAN, INFINITY }) {
            job j(type, 256, 32, 10, false);
            j.x[3 * 256 + 17] = v;
            j.dx = j.b.keep(to_device(j.x.data(), j.x.size()));
            cu_quantise(&j.b.c, j.dx, 10, 256, 1u << KER_ACT_Q8_256, &j.a);
            CHECK(cu_blas_make(&j.b.c, 256, 32, 1 << 20));
            j.run();
            std::vector<unsigned> bad = back(j.b.c.tr.bad, 10);
            for (int r = 0; r < 10; r++) CHECK_INT(bad[(size_t)r], r == 3 ? KER_PART_ATTN << 16 | 5 : 0);
        }
}

/* Without the library, or where a call says no before the first sum, the own kernels' bytes; behind it, the device's failure. */
static void own_kernels_stand_behind(void)
{
    static const char *const calls[] = { "dlopen", "cublasCreate", "cublasSetStream", "cublasSetWorkspace", "cublasGemmEx" };
    library(false);
    job j(KER_Q4_0, 96, 80, 10, false);
    CHECK(!cu_blas_make(&j.b.c, 96, 80, 1 << 20) && !j.b.c.blas);
    std::vector<float> own = j.run();
    CHECK_INT(launched("blas_put"), 0);
    library(true);
    for (const char *call : calls) {
        emu_api()->fail(call, 1);
        CHECK_MSG(!cu_blas_make(&j.b.c, 96, 80, 1 << 20) && !j.b.c.blas, "%s fails and nobody knows", call);
        emu_api()->fail(NULL, 0);
        CHECK(!memcmp(own.data(), j.run().data(), own.size() * 4));
    }
    CHECK(cu_blas_make(&j.b.c, 96, 80, 1 << 20));
    emu_api()->fail("cublasGemmEx", 1);
    CHECK(!memcmp(own.data(), j.run().data(), own.size() * 4));
    emu_api()->fail(NULL, 0);
    CHECK(!j.b.c.state && !j.b.dev.why[0] && !cu_blas_takes(&j.b.c, &j.w, 10));       /* and for good */
    cu_blas_free(&j.b.c);
    CHECK(cu_blas_make(&j.b.c, 96, 80, 1));        /* three tiles */
    emu_api()->fail("cublasGemmEx", 2);
    j.run();
    emu_api()->fail(NULL, 0);
    CHECK_INT(j.b.c.state, Q_ERR);
    CHECK_MSG(strstr(j.b.dev.why, "cuBLAS"), "\"%s\"", j.b.dev.why);
}

static void both_ways_are_measured(void)
{
    char err[Q_ERRLEN], words[400];
    ker_way way[96];
    ker_ways all, kept;
    library(false);
    CHECK_INT(cu_ways_measure(0, true, way, 96, err), 0);
    library(true);
    size_t before = emu_api()->leaks(words, sizeof words);
    int n = cu_ways_measure(0, true, way, 96, err);
    CHECK_INT(n, 3 * (int)(sizeof types / sizeof *types - 1));         /* few rows, more, and of experts */
    for (int i = 0; i < n; i++) {
        CHECK(way[i].own_s > 0 && way[i].library_s > 0 && cu_blas_type(way[i].type) && (way[i].experts > 0) == (i % 3 == 2));
        if (i % 3 < 2) CHECK_INT(ker_way_of(way[i].n_out, way[i].rows), i % 3);
        else CHECK_INT(ker_way_experts(way[i].rows), KER_WAY_EXPERTS);
    }
    emu_api()->fail("cublasGemmGroupedBatchedEx", 1);      /* a library without that call, or that says no: dense ones alone */
    CHECK_INT(cu_ways_measure(0, true, way, 96, err), 2 * (int)(sizeof types / sizeof *types - 1));
    emu_api()->fail(NULL, 0);
    CHECK_INT(cu_ways_measure(0, true, way, 3, err), 3);
    emu_api()->fail("cudaStreamSynchronize", 20);
    CHECK_INT(cu_ways_measure(0, true, way, 96, err), Q_ERR);
    CHECK(strstr(err, "cuBLAS"));
    emu_api()->fail(NULL, 0);
    cudaGetLastError();
    CHECK_INT(emu_api()->leaks(words, sizeof words), before);
    memset(&all, 0xff, sizeof all);
    cu_ways_put(0, &all);
    cu_ways_put(99, &all);
    cu_ways_of(0, &kept);
    CHECK_INT(kept.library[KER_F32], 0);
    CHECK_INT(kept.library[KER_I8], 0);
    CHECK_INT(kept.library[KER_Q4_K], (1 << KER_WAY_BITS) - 1);
    cu_ways_put(0, NULL);
    cu_ways_of(0, &kept);
    CHECK_INT(kept.library[KER_Q4_K], 0);
}

int main(void)
{
    if (!library(true)) {
        SKIP("cuda_blas", "build/libcublas-emu.so is not built");
        return 0;
    }
    RUN(every_type_is_unpacked);
    RUN(what_it_does_not_take);
    RUN(what_is_not_finite_is_marked);
    RUN(own_kernels_stand_behind);
    RUN(both_ways_are_measured);
    return TEST_END();
}
