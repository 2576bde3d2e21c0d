/* advice/launch over the whole catalogue: its bytes are those of adv_fit_known; GPUs divide heads and experts; what is planned fits into
 * what is free; more users never fit better; names that could leave their line are refused. Flags and texts: tests/advice/launch.test. */
#include "tests/test.h"

#include "advice/launch.h"

#define GIB(n) ((uint64_t)(n) << 30)

static const eng_known *k;                 /* the catalogue */
static int n, small;

static adv_machine machine(int n_gpu, int gpu_gib, int ram_gib)
{
    adv_machine m = { .name = "made", .title = "made", .ram = GIB(ram_gib), .ram_free = GIB(ram_gib), .cores = 8, .n_gpu = n_gpu };
    for (int i = 0; i < n_gpu; i++) m.gpu[i].bytes = m.gpu[i].free = GIB(gpu_gib);
    return m;
}

static const char *type_of(const eng_known *of) { return strcmp(of->family, "gpt-oss") == 0 ? "MXFP4" : "Q4_K_M"; }

static void bytes_are_those_of_fit(void)
{
    adv_machine m = machine(1, 1200, 64);
    char err[Q_ERRLEN] = "";
    int seen = 0;
    for (int i = 0; i < n; i++) {
        const char *type = type_of(&k[i]);
        adv_wish w = { .type = type, .context = 2048, .users = 3 };
        adv_launch_wish lw = { .server = "llama-server", .type = type, .context = 2048, .users = 3, .weights = "/x.gguf" };
        adv_fit f;
        adv_launch p;
        CHECK(adv_fit_known(&k[i], &w, &m, &f, err) == Q_OK);
        CHECK(adv_launch_plan(&lw, &k[i], NULL, NULL, &m, &p, err) == Q_OK);
        if (p.size.weights != f.weights || p.size.state != f.state || p.size.kv != f.kv) printf("# %s: %llu and %llu\n", k[i].like, (unsigned long long)p.size.weights, (unsigned long long)f.weights);
        CHECK(p.size.weights == f.weights && p.size.state == f.state && p.size.kv == f.kv && p.gpus == 1 && p.layers == -1);
        seen++;
    }
    CHECK(seen > 20);
}

static void gpus_divide(void)
{
    char err[Q_ERRLEN] = "";
    int planned = 0, several = 0;
    static const char *const servers[] = { "vllm", "sglang" };
    for (int i = 0; i < n; i++)
        for (int g = 1; g <= ADV_GPUS; g++)
            for (int s = 0; s < 2; s++) {
                adv_machine m = machine(g, 24, 64);
                adv_launch_wish w = { .server = servers[s], .context = 2048, .users = 2 };
                adv_launch p;
                if (adv_launch_plan(&w, &k[i], NULL, NULL, &m, &p, err) != Q_OK) continue;
                planned++;
                several += p.gpus > 1;
                CHECK(p.gpus <= g && k[i].n_head % p.gpus == 0 && (!k[i].n_expert || k[i].n_expert % p.gpus == 0));
                CHECK(k[i].n_kv % p.gpus == 0 || p.gpus % k[i].n_kv == 0);
                CHECK(p.size.each <= GIB(24) * 9 / 10 && p.size.share <= .9 && p.size.each * (uint64_t)p.gpus >= p.size.weights + p.size.kv + p.size.room);
            }
    CHECK(planned > 200 && several > 50);
}

static void what_is_free_counts(void)
{
    adv_machine m = machine(1, 24, 64);
    adv_launch_wish w = { .server = "vllm", .type = "BF16", .context = 2048, .users = 1 };
    adv_launch p;
    char err[Q_ERRLEN] = "";
    CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_OK && p.size.share > .89);
    m.gpu[0].free = GIB(20);
    CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_OK && p.size.share > .82 && p.size.share < .84);
    m.gpu[0].free = GIB(3);
    CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_NOMEM);
    m.gpu[0].free = 0;
    CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_NOMEM);
    w.server = "llama-server";
    w.type = "Q8_0";
    w.weights = "/x.gguf";
    CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_OK && p.gpus == 0 && p.layers == 0);
    m.ram_free = GIB(1);
    CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_NOMEM);
}

static void more_users_never_fit_better(void)
{
    static const char *const servers[] = { "vllm", "sglang", "llama-server", "quorum" };
    char err[Q_ERRLEN] = "";
    int turned = 0;
    for (int i = 0; i < n; i++)
        for (int s = 0; s < 4; s++) {
            bool fitted = true;
            for (int users = 1; users <= 1024; users *= 4) {
                adv_machine m = machine(2, 32, 96);
                adv_launch_wish w = { .server = servers[s], .context = 4096, .users = users, .weights = s > 1 ? "/x.gguf" : NULL };
                adv_launch p;
                bool fits = adv_launch_plan(&w, &k[i], NULL, NULL, &m, &p, err) == Q_OK;
                CHECK(fitted || !fits);
                turned += fitted && !fits;
                fitted = fits;
                if (fits && p.gpus) CHECK(p.size.each <= GIB(32) && p.size.in_ram <= GIB(96));
            }
        }
    CHECK(turned > 20);
}

static void names_stay_in_their_line(void)
{
    static const char *const bad[] = { "a\nb", "-x", "", "a\rb", "a\033[2J", "a\177", "a\xC2\x9B" "2J", "a\xE2\x80\xAE" "b", "a\xE2\x80\xA8" "b", "a\xFF" "b" };
    adv_machine m = machine(1, 80, 64);
    adv_launch p;
    char err[Q_ERRLEN] = "";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        adv_launch_wish w = { .server = "llama-server", .weights = bad[i] };
        CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_RANGE);
        adv_launch_wish host = { .server = "vllm", .host = bad[i] };
        CHECK(adv_launch_plan(&host, &k[small], NULL, NULL, &m, &p, err) == Q_RANGE);
    }
    adv_launch_wish w = { .server = "llama-server", .weights = "/a b`c$d\"e\\f'g.gguf" };
    CHECK(adv_launch_plan(&w, &k[small], NULL, NULL, &m, &p, err) == Q_OK);
    q_buf sh = { 0 }, unit = { 0 };
    adv_launch_script(&p, &sh);
    adv_launch_unit(&p, &unit);
    CHECK(strstr(sh.p, "--model \"/a b\\`c\\$d\\\"e\\\\f'g.gguf\"\n"));
    CHECK(strstr(unit.p, "--model \"/a b`c$$d\\\"e\\\\f'g.gguf\""));
    q_buf_free(&sh);
    q_buf_free(&unit);
}

static void a_catalogue_is_there(void)
{
    char err[Q_ERRLEN] = "";
    CHECK(eng_catalog(&k, &n, err) == Q_OK);
    while (small < n && strcmp(k[small].like, "4b") != 0) small++;
    CHECK(small < n);
}

/* What the engine does not compute is started by another program: ours refuses, those that the catalogue names do it. */
static void what_runs_elsewhere(void)
{
    char err[Q_ERRLEN] = "";
    adv_machine m = machine(4, 96, 512);
    int seen = 0;
    for (int i = 0; i < n; i++) {
        adv_launch p;
        adv_launch_wish w = { .server = "quorum", .weights = "/x.gguf" };
        if (!k[i].n_elsewhere) continue;
        CHECK_MSG(adv_launch_plan(&w, &k[i], NULL, NULL, &m, &p, err) == Q_RANGE && strstr(err, "does not compute the architecture of"), "%s", err);
        for (int j = 0; j < k[i].n_elsewhere; j++, seen++) {
            w.server = k[i].elsewhere[j].server;
            w.weights = NULL;
            CHECK_MSG(adv_launch_plan(&w, &k[i], NULL, NULL, &m, &p, err) == Q_OK, "%s: %s", w.server, err);
        }
    }
    CHECK(seen > 0);
}

int main(void)
{
    RUN(a_catalogue_is_there);
    if (test_failed) return TEST_END();
    RUN(bytes_are_those_of_fit);
    RUN(what_runs_elsewhere);
    RUN(gpus_divide);
    RUN(what_is_free_counts);
    RUN(more_users_never_fit_better);
    RUN(names_stay_in_their_line);
    return TEST_END();
}
