/* tests: machines by name and by the driver's library (one of our own stands in for it), and what fits where. */
#include "advice/room.h"
#include "kernels/kernels.h"
#include "tests/test.h"

#include <time.h>
#include <unistd.h>

static char err[Q_ERRLEN];

static void test_named_machines(void)
{
    const adv_machine *all;
    adv_machine m;
    int n;
    CHECK_MSG(adv_machines(&all, &n, err) == Q_OK, "%s", err);
    for (int i = 0; i < n; i++) {
        CHECK_MSG(strncmp(all[i].source, "https://", 8) == 0 && strlen(all[i].date) == 10, "%s", all[i].name);
        CHECK_MSG(all[i].ram >= 8ull << 30 && all[i].ram_bandwidth > 20e9 && all[i].ram_bandwidth < 2e12, "%s", all[i].name);
        CHECK_MSG(!all[i].n_gpu || all[i].gpu[0].bandwidth > all[i].ram_bandwidth, "%s", all[i].name);
        CHECK_INT(adv_machine_find(all[i].name, &m, err), Q_OK);
        double printed = all[i].n_gpu ? ker_card_of(all[i].gpu[0].name).bandwidth : 0;      /* two lists, one truth */
        CHECK_MSG(!all[i].n_gpu || fabs(printed - all[i].gpu[0].bandwidth) < 1, "%s: %g and %g", all[i].name, printed, all[i].gpu[0].bandwidth);
    }
    CHECK_INT(adv_machine_find("4x4090", &m, err), Q_OK);
    CHECK_INT(m.n_gpu, 4);
    CHECK(m.gpu[3].bytes == 24ull << 30);
    CHECK_INT(adv_machine_find("4090", &m, err), Q_OK);
    CHECK_INT(m.n_gpu, 1);
    CHECK_INT(adv_machine_find("toaster", &m, err), Q_NOTFOUND);
    CHECK(strstr(err, "rtx-pro-6000"));
    CHECK_INT(adv_machine_find("2xcpu-64g", &m, err), Q_RANGE);
    CHECK_INT(adv_machine_find("99x4090", &m, err), Q_RANGE);
}

static void test_a_machine_lacks_nothing(void)
{
    adv_machine *v;
    int n;
    static const struct { const char *text, *says; } bad[] = {
        {"[a]\ntitle = A\nram_gb = 8\nram_bandwidth = 50\ndate = 2026-01-01\n", "a lacks its source"},
        {"[a]\ntitle = A\nram_bandwidth = 50\nsource = https://x\ndate = 2026-01-01\n", "a lacks its ram_gb"},
        {"[a]\ngpu = G\nram_gb = 8\nram_bandwidth = 50\nsource = https://x\ndate = 2026-01-01\n", "a lacks its gpu_gb"},
        {"[a]\nram_gb = many\n", "ram_gb = many is not understood"},
        {"[a]\nram_gb = inf\n", "ram_gb = inf is not understood"},
        {"[a]\ngpu_gb = 1e300\n", "gpu_gb = 1e300 is not understood"},
        {"[a]\nram_bandwidth = 64x\n", "ram_bandwidth = 64x is not understood"},
        {"[a]\nshoes = 2\n", "shoes = 2 is not understood"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(machines_read(bad[i].text, "x.ini", &v, &n, err), Q_FORMAT);
        CHECK_MSG(strstr(err, bad[i].says), "%s", err);
    }
}

/* A driver's library with two GPUs, one of them broken. */
static const char fake[] =
    "typedef struct { unsigned long long t, f, u; } mem;\n"
    "int nvmlInit_v2(void) { return 0; }\nint nvmlShutdown(void) { return 0; }\n"
    "int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }\n"
    "int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(unsigned long)(i + 1); return i == 1 ? 15 : 0; }\n"
    "int nvmlDeviceGetName(void *d, char *s, unsigned n) { const char *w = \"NVIDIA GeForce RTX 4090\"; while (n-- > 1 && *w) *s++ = *w++; *s = 0; return 0; }\n"
    "int nvmlDeviceGetMemoryInfo(void *d, mem *m) { m->t = 25757220864ull; m->f = 25000000000ull; m->u = m->t - m->f; return 0; }\n"
    "int nvmlDeviceGetMemoryBusWidth(void *d, unsigned *w) { *w = 384; return d == (void *)3 ? 3 : 0; }\n"
    "int nvmlDeviceGetMaxClockInfo(void *d, int k, unsigned *c) { *c = 10501; return k == 2 ? 0 : 2; }\n";

static void test_gpus_by_the_drivers_library(void)
{
    char dir[] = "/tmp/quorum-test-XXXXXX";
    adv_gpu g[ADV_GPUS];
    CHECK_INT(gpu_look("libno-such-library.so.9", g), 0);
    CHECK_INT(gpu_look("libm.so.6", g), 0);             /* a library that is not the driver's */
    if (!mkdtemp(dir)) return;
    char *c = q_printf("%s/nvml.c", dir), *so = q_printf("%s/nvml.so", dir), *make = q_printf("cc -shared -fPIC -w -o %s %s 2>/dev/null", so, c);
    CHECK_INT(q_write_file_new(c, fake, strlen(fake), err), Q_OK);
    if (system(make) == 0) {
        CHECK_INT(gpu_look(so, g), 2);
        CHECK_STR(g[0].name, "NVIDIA GeForce RTX 4090");
        CHECK(g[0].bytes == 25757220864ull && g[0].free == 25000000000ull);
        CHECK_MSG(fabs(g[0].bandwidth / 1008e9 - 1) < .001, "%.0f", g[0].bandwidth);     /* as the maker prints it */
        CHECK(g[1].bandwidth == 0);
    } else SKIP("test_gpus_by_the_drivers_library", "no cc here");
    unlink(c), unlink(so), rmdir(dir);
    free(c), free(so), free(make);
}

static void test_this_machine(void)
{
    adv_machine m;
    adv_machine_here(false, &m);
    CHECK(m.ram > 0 && m.ram_free > 0 && m.ram_free <= m.ram && m.cores > 0 && !m.measured && m.ram_bandwidth == 0);
    struct timespec t0, t1;                                /* this process's own time: what others take of the machine is not counted */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
    adv_machine_here(true, &m);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
    double spent = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
    CHECK_MSG(spent < 10.0 * m.cores, "%g s of %d cores", spent, m.cores);
    CHECK(m.measured && m.ram_bandwidth > 1e8 && m.madds > 1e7);
}

static adv_fit fit(const char *like, const char *type, const char *machine, int context, int k)
{
    const eng_known *row;
    const eng_variant *v;
    adv_machine m;
    adv_fit f = {0};
    CHECK_MSG(eng_catalog_find(like, &row, &v, err) == Q_OK, "%s", err);
    CHECK_MSG(adv_machine_find(machine, &m, err) == Q_OK, "%s", err);
    CHECK_MSG(adv_fit_known(row, &(adv_wish){.type = type, .context = context, .k = k}, &m, &f, err) == Q_OK, "%s", err);
    return f;
}

/* What runs elsewhere is never the one to take, on no machine, and says where; it is not foretold how fast. */
static void test_what_runs_elsewhere_is_not_recommended(void)
{
    const adv_machine *all;
    int n_all;
    CHECK_INT(adv_machines(&all, &n_all, err), Q_OK);
    for (int i = 0; i < n_all; i++)
        for (int own = 0; own < 2; own++) {
            adv_choice *v;
            int n, seen = 0;
            adv_ask ask = {.family = own ? "apertus" : NULL, .want = i % 2 ? "base" : NULL};
            CHECK_MSG(adv_choose(&ask, &all[i], &v, &n, err) == Q_OK, "%s", err);
            for (int j = 0; j < n; j++) {
                bool other = v[j].known->n_elsewhere > 0;
                seen += other;
                CHECK_MSG((v[j].why == ADV_ELSEWHERE) == other && (!other || (v[j].fit.decode == 0 && v[j].decode[0] == 0)), "%s", v[j].variant->name);
            }
            CHECK(seen == 1 && (own ? n == 1 : n > 10));
            char *best = adv_best_words(&ask, v, n), *why = adv_why_words(&v[n - 1], NULL);
            CHECK_MSG(strstr(best, "Apertus") ? own && strstr(best, "runs elsewhere") && strstr(best, "quorum launch vllm|sglang") : !own, "%s", best);
            CHECK_MSG(own || (strstr(why, "runs elsewhere") && (strstr(why, "|llama-server --model") != NULL) == (*v[n - 1].variant->gguf != 0)), "%s", why);
            free(best);
            free(why);
            free(v);
        }
}

static void test_where_models_lie(void)
{
    static const struct { const char *like, *machine; enum adv_place place; } want[] = {
        {"32b", "4090", ADV_GPU}, {"30b-a3b", "4090", ADV_GPU}, {"235b-a22b", "4090", ADV_DISK}, {"235b-a22b", "rtx-pro-6000", ADV_SPLIT},
        {"235b-a22b", "2xrtx-pro-6000", ADV_GPU}, {"llama-70b", "4090", ADV_SPLIT}, {"llama-70b", "cpu-32g", ADV_NOWHERE}, {"32b", "cpu-32g", ADV_RAM},
        {"30b-a3b", "cpu-16g", ADV_DISK}, {"8b", "cpu-16g", ADV_RAM},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        adv_fit f = fit(want[i].like, "Q4_K_M", want[i].machine, 8192, 0);
        CHECK_MSG(f.place == want[i].place, "%s on %s: %d", want[i].like, want[i].machine, (int)f.place);
        if (f.place != ADV_NOWHERE) CHECK_MSG(f.on_gpu + f.in_ram + f.on_disk == f.weights + f.kv + f.state, "%s on %s", want[i].like, want[i].machine);
    }
}

static void test_numbers_of_a_fit(void)
{
    adv_fit f = fit("30b-a3b", "Q4_K_M", "cpu-64g", 8192, 0);
    CHECK_INT(f.kv_token, 98304);
    CHECK_INT(f.kv, 98304ll * 8192);
    CHECK_INT(f.context_max, 262144);                   /* the model's own */
    CHECK(f.guess && f.prefill == 0);
    /* 1.92 GB and 64 cells a token, at .94 of 90 GB/s. */
    CHECK_MSG(fabs(f.decode - .94 * 90e9 / (1919597696. + 64 * 98304)) < .2, "%.2f", f.decode);
    adv_fit one = fit("30b-a3b", "Q4_K_M", "cpu-64g", 8192, 1), many = fit("30b-a3b", "Q4_K_M", "cpu-64g", 8192, 16);
    CHECK(one.decode > f.decode && f.decode > many.decode);
    /* A longer context takes the room of others, and ends somewhere. */
    adv_fit gpu = fit("32b", "Q4_K_M", "4090", 4096, 0), all = fit("32b", "Q4_K_M", "4090", gpu.context_max, 0), more = fit("32b", "Q4_K_M", "4090", gpu.context_max + 64, 0);
    CHECK_MSG(gpu.context_max > 4096 && gpu.context_max < 40960, "%d", gpu.context_max);
    CHECK(all.place == ADV_GPU && more.place == ADV_SPLIT && more.decode < all.decode);
    /* A hybrid has states, one a user. */
    adv_fit h = fit("3.6-35b-a3b", "Q4_K_M", "cpu-64g", 8192, 0);
    CHECK_INT(h.state, 30 * (32 * 128 * 128 + 3 * 8192) * 4);
    CHECK_INT(h.kv_token, 20480);
    adv_machine m;
    const eng_known *row;
    const eng_variant *v;
    CHECK_INT(adv_machine_find("cpu-64g", &m, err), Q_OK);
    CHECK_INT(eng_catalog_find("8b", &row, &v, err), Q_OK);
    CHECK_INT(adv_fit_known(row, &(adv_wish){.type = "Q9_Z"}, &m, &f, err), Q_RANGE);
    CHECK(strstr(err, "Q4_K_M"));
    CHECK(adv_fit_file("/nowhere/such.gguf", &(adv_wish){0}, &m, &f, err) != Q_OK);
    /* A file's own length is the most that is promised. */
    char short_one[] = "/tmp/quorum-fit-XXXXXX";
    int fd = mkstemp(short_one);
    CHECK(fd >= 0);
    close(fd), unlink(short_one);
    CHECK_MSG(eng_synth("qwen3moe", "smoke", "Q4_K_M", 2, 5, short_one, NULL, NULL, err) == Q_OK, "%s", err);
    CHECK_MSG(adv_fit_file(short_one, &(adv_wish){0}, &m, &f, err) == Q_OK, "%s", err);
    CHECK_INT(f.context_max, f.costs.n_ctx);
    CHECK(f.costs.n_ctx >= 256 && f.costs.n_ctx <= 1 << 17);
    unlink(short_one);
    /* A GPU computes every architecture of our own engine, one of several. */
    static const struct { const char *arch, *like; } of[] = {{"qwen3moe", "smoke"}, {"qwen35moe", "smoke-delta"}, {"gpt-oss", "smoke-oss"}};
    adv_machine four;
    CHECK_INT(adv_machine_find("4x4090", &four, err), Q_OK);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        CHECK_MSG(eng_synth(of[i].arch, of[i].like, "Q4_K_M", 0, 5, short_one, NULL, NULL, err) == Q_OK, "%s", err);
        CHECK_MSG(adv_fit_file(short_one, &(adv_wish){0}, &four, &f, err) == Q_OK, "%s", err);
        CHECK_MSG(f.place == ADV_GPU && f.room == ADV_ROOM_GPU, "%s: %d", of[i].arch, (int)f.place);
        unlink(short_one);
    }
    CHECK_INT(adv_fit_known(row, &(adv_wish){.type = "Q8_0", .context = 4096, .users = 5}, &m, &f, err), Q_OK);
    CHECK_INT(f.kv, 5ll * 4096 * 147456);
}

/* Larger than the memory: what --weights-ram keeps, and a speed that the disk bounds; without a disk's speed there is none. */
static void test_experts_on_the_disk(void)
{
    const eng_known *row;
    const eng_variant *v;
    adv_machine m;
    double last = 0;
    CHECK_INT(eng_catalog_find("30b-a3b", &row, &v, err), Q_OK);
    CHECK_INT(adv_machine_find("cpu-64g", &m, err), Q_OK);
    for (int gib = 10; gib <= 16; gib += 3) {
        adv_fit f, slow, none;
        m.ram_free = (uint64_t)gib << 30;
        m.disk = 2e9;
        CHECK_INT(adv_fit_known(row, &(adv_wish){.type = "Q4_K_M"}, &m, &f, err), Q_OK);
        CHECK(f.place == ADV_DISK && f.guess && f.weights_ram > 2 && f.weights_ram < gib);
        CHECK(f.decode > last);                            /* more memory is faster */
        last = f.decode;
        m.disk = 1e9;
        CHECK_INT(adv_fit_known(row, &(adv_wish){.type = "Q4_K_M"}, &m, &slow, err), Q_OK);
        CHECK(slow.decode < f.decode && 2 * slow.decode > f.decode);
        m.disk = 0;
        CHECK_INT(adv_fit_known(row, &(adv_wish){.type = "Q4_K_M"}, &m, &none, err), Q_OK);
        CHECK(none.decode == 0 && none.weights_ram == f.weights_ram);
    }
    m.ram_free = 64ull << 30;
    adv_fit all;
    CHECK_INT(adv_fit_known(row, &(adv_wish){.type = "Q4_K_M"}, &m, &all, err), Q_OK);
    CHECK(all.place == ADV_RAM && all.weights_ram == 0 && all.decode > last);
}

/* What counts for how much, and who goes first where both run. */
static void test_a_mixture_counts_for_what_it_reads(void)
{
    const eng_known *moe, *dense;
    const eng_variant *v;
    CHECK_INT(eng_catalog_find("30b-a3b", &moe, &v, err), Q_OK);
    CHECK_INT(eng_catalog_find("14b", &dense, &v, err), Q_OK);
    CHECK(fabs(adv_counts_for(moe) - 5 * moe->active_b) < 1e-9 && adv_counts_for(moe) > adv_counts_for(dense) && adv_counts_for(dense) == dense->params_b);
    adv_machine m = {.name = "m", .title = "m", .source = "", .date = "", .ram_bandwidth = 30e9};
    adv_machine_told(&m, 8);
    CHECK(m.ram == 8ull << 30 && m.ram_free > 7.19 * (1 << 30) && m.ram_free < 7.21 * (1 << 30));
    adv_choice *list;
    int n;
    CHECK_MSG(adv_choose(&(adv_ask){0}, &m, &list, &n, err) == Q_OK, "%s", err);
    CHECK_STR(list[0].variant->name, "Qwen3.5-4B");
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].known->like, "olmoe-1b-7b") == 0) CHECK_INT(list[i].why, ADV_OLD);
    free(list);
}

/* A GPU that quorum could use, and does not yet. */
static void test_a_plugin_that_is_not_built_is_said(void)
{
    adv_machine m;
    adv_choice *list;
    int n;
    CHECK_INT(adv_machine_find("4090", &m, err), Q_OK);
    for (int without = 0; without < 2; without++) {
        q_buf b = {0};
        m.no_plugin = without;
        CHECK_MSG(adv_choose(&(adv_ask){0}, &m, &list, &n, err) == Q_OK, "%s", err);
        adv_say(&(adv_ask){0}, &m, list, n, 200, &b);
        CHECK_INT(strstr(b.p, "make cuda") != NULL, without);
        q_buf_free(&b);
        free(list);
    }
    adv_machine_here(false, &m);
    CHECK_INT(m.no_plugin, m.n_gpu && !ker_plugin_there());
}

int main(void)
{
    RUN(test_a_plugin_that_is_not_built_is_said);
    RUN(test_a_mixture_counts_for_what_it_reads);
    RUN(test_named_machines);
    RUN(test_a_machine_lacks_nothing);
    RUN(test_gpus_by_the_drivers_library);
    RUN(test_this_machine);
    RUN(test_what_runs_elsewhere_is_not_recommended);
    RUN(test_where_models_lie);
    RUN(test_numbers_of_a_fit);
    RUN(test_experts_on_the_disk);
    return TEST_END();
}
