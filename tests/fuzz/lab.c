/* tests/fuzz/lab: files that lab/ and the engine read beside models: brains, the verdict on a GPU, headers whose cost is counted,
 * traces as CSV. A refusal is one sentence; what is taken can be used. */
#include "engine/engine.h"
#include "engine/models.h"
#include "kernels/kernels.h"
#include "lab/parts.h"
#include "tests/engine_util.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

static char err[Q_ERRLEN], home[64], file[128];

static bool one_sentence(const char *e) { return *e && !strchr(e, '\n') && strlen(e) < Q_ERRLEN && q_utf8_valid(e, strlen(e)); }

/* A folder of the target's own, the variable that points to it, and the file in it. */
static bool make_home(const char *variable, const char *below, const char *name)
{
    strcpy(home, "/tmp/quorum-fuzz-XXXXXX");
    if (!mkdtemp(home)) return false;
    setenv(variable, home, 1);
    snprintf(file, sizeof file, "%s/quorum%s", home, below);
    int rc = q_mkdirs(file, err);
    snprintf(file, sizeof file, "%s/quorum%s/%s", home, below, name);
    return rc == 0;
}

static void remove_home(void)
{
    unlink(file);
    for (char *slash; strcmp(file, home) != 0 && (slash = strrchr(file, '/'));) {
        *slash = 0;
        rmdir(file);
    }
}

static bool put_file(const char *p, size_t n)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, p, n) == (ssize_t)n;
    if (fd >= 0) close(fd);
    return good;
}

/* ---- brains ---- */
static eng_model *model;

static bool brain_ready(void)
{
    char *path = util_model("qwen3moe");
    eng_open_opts o = {.n_threads = 1};
    int rc = eng_model_open(path, &o, &model, err);
    unlink(path);
    free(path);
    return rc == Q_OK && make_home("XDG_CONFIG_HOME", "/brains", "f.json");
}
static void brain_done(void)
{
    eng_model_free(model);
    remove_home();
}
static void brain_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const set[] = {"\"experts.k\":\"x2\"", "\"experts.k\":\"0-1:4,2:3\"", "\"rope.theta\":5e5", "\"think\":true", "\"experts.ban\":\"0:1,1:2\"",
                                      "\"norm.eps\":0.01", "\"nonesuch\":\"1\"", "\"kv.type\":\"q8_0\"", "\"sampler.stop\":\"\\u0410,b\""};
    q_buf_puts(b, fuzz_below(r, 3) ? "{\"quorum_brain\":1,\"set\":{" : "{\"quorum_brain\":1,\"note\":\"n\",\"model\":\"m\",\"set\":{");
    for (int i = (int)fuzz_below(r, 4); i >= 0; i--) q_buf_printf(b, "%s%s", set[fuzz_below(r, sizeof set / sizeof *set)], i ? "," : "}}");
}
static int brain_run(const char *p, size_t n)
{
    lab_brain b;
    q_buf said = {0};
    if (!put_file(p, n)) return FUZZ_BROKEN("cannot write %s", file);
    err[0] = 0;
    if (lab_brain_read("f", &b, err) < 0) return one_sentence(err) ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
    eng_config *c = eng_config_new(model), *again = eng_config_new(model);
    int rc = lab_spec(c, "f", &said, err) ? FUZZ_BROKEN("read, and not taken: %s", err) : 1;
    char *json = eng_config_json(c);
    if (eng_config_from_json(again, json, err) || eng_config_hash_all(again) != eng_config_hash_all(c)) rc = FUZZ_BROKEN("%s read back is another configuration", json);
    for (int i = 0; i < b.n; i++)
        if (strpbrk(b.knob[i], "\n\r") || strpbrk(b.value[i], "\n\r")) rc = FUZZ_BROKEN("a setting of two lines");
    free(json);
    eng_config_free(c);
    eng_config_free(again);
    lab_brain_free(&b);
    q_buf_free(&said);
    return rc;
}
const fuzz_target fuzz_brain = {"brain", 1500, 20000, brain_ready, brain_seed, brain_run, brain_done, 0};

/* ---- the verdict on a GPU ---- */
static q_buf verdict;                                       /* a line that names the device below */
static ker_device device = {.name = "a GPU", .driver = 13000};

static bool verdict_ready(void)
{
    ker_ways ways = {{0}};
    ways.library[KER_Q4_K] = 0x1ff;
    ways.library[KER_BF16] = 0x0ba;
    return make_home("XDG_STATE_HOME", "", "gpu.checked") && !eng_gpu_trust_put(ker_cpu(), &device, ENG_TRUST_GOOD, &ways, err) && !q_read_file(file, &verdict, 1000, err);
}
static void verdict_done(void)
{
    q_buf_free(&verdict);
    remove_home();
}
static void verdict_seed(fuzz_rng *r, q_buf *b)
{
    if (fuzz_below(r, 2)) q_buf_puts(b, "0123456789abcdef good ways=1:3,8:ff\n");
    q_buf_add(b, verdict.p, verdict.len);
    if (fuzz_below(r, 2)) q_buf_puts(b, "fedcba9876543210 bad\n");
}
static int verdict_run(const char *p, size_t n)
{
    ker_ways ways, back;
    if (!put_file(p, n)) return FUZZ_BROKEN("cannot write %s", file);
    int known = eng_gpu_trust(ker_cpu(), &device) != ENG_TRUST_UNKNOWN;
    eng_gpu_ways(ker_cpu(), &device, &ways);
    for (int t = 0; t < KER_TYPE_LIMIT; t++)
        if (ways.library[t] >> KER_WAY_BITS) return FUZZ_BROKEN("a way that there is not: %x", ways.library[t]);
    if (eng_gpu_trust_put(ker_cpu(), &device, ENG_TRUST_BAD, &ways, err)) return FUZZ_BROKEN("not kept: %s", err);
    eng_gpu_ways(ker_cpu(), &device, &back);
    if (eng_gpu_trust(ker_cpu(), &device) != ENG_TRUST_BAD || memcmp(&ways, &back, sizeof ways)) return FUZZ_BROKEN("what was kept is not read back");
    return known;
}
const fuzz_target fuzz_verdict = {"verdict", 500, 10000, verdict_ready, verdict_seed, verdict_run, verdict_done, 0};

/* ---- what a header costs ---- */
static q_buf header;

static bool energy_ready(void)
{
    char *path = util_model("qwen3moe");
    int rc = q_read_file(path, &header, 64 << 20, err);
    unlink(path);
    free(path);
    return rc == 0 && make_home("XDG_CACHE_HOME", "", "f.gguf");
}
static void energy_done(void)
{
    q_buf_free(&header);
    remove_home();
}
static void energy_seed(fuzz_rng *r, q_buf *b)
{
    (void)r;
    q_buf_add(b, header.p, header.len);
}
static int energy_run(const char *p, size_t n)
{
    if (!put_file(p, n)) return FUZZ_BROKEN("cannot write %s", file);
    int rc = 1;
    for (int json = 0; json < 2 && rc > 0; json++) {
        q_buf out = {0};
        err[0] = 0;
        if (lab_energy(&(lab_bill){.path = file}, json ? NULL : &out, json ? &out : NULL, err) < 0) rc = one_sentence(err) ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
        else if (out.len > 20000 || (json && strstr(out.p, "null"))) rc = FUZZ_BROKEN("%zu bytes%s", out.len, json ? " of JSON" : "");
        q_buf_free(&out);
    }
    return rc;
}
const fuzz_target fuzz_energy = {"energy", 300, 5000, energy_ready, energy_seed, energy_run, energy_done, 1200};

/* ---- traces ---- */
static void routes_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const head[] = {"layer,expert_0,expert_1", "position,\"layer\",entropy,margin,expert_0,expert_1,text", "expert_1,x,expert_0,layer\r"};
    int which = (int)fuzz_below(r, 3), tokens = 1 + (int)fuzz_below(r, 6);
    q_buf_puts(b, head[which]);
    for (int t = 0; t < tokens; t++)
        for (int l = 0; l < 2; l++) {
            int x = (int)fuzz_below(r, 9), y = (x + 1 + (int)fuzz_below(r, 8)) % 9;
            if (which == 0) q_buf_printf(b, "\n%d,%d,%d", l * 3, x, y);
            else if (which == 1) q_buf_printf(b, "\n%d,%d,0.5,%s,%d,%d,\"a,\"\"b\"", t, l * 3, t % 2 ? "" : "1e-3", x, y);
            else q_buf_printf(b, "\n%d,,%d,%d\r", x, y, l * 3);
        }
}
static int routes_run(const char *p, size_t n)
{
    lab_routes *r;
    lab_load o;
    err[0] = 0;
    if (lab_routes_csv(p, n, n % 2 ? 0 : 12, &r, err) < 0) return one_sentence(err) && !r ? 0 : FUZZ_BROKEN("refused with \"%s\"", err);
    lab_load_of(r, &o);
    int rc = 1;
    for (int l = 0; l < o.n_layer; l++) {
        double sum = 0;
        for (int e = 0; e < o.n_expert; e++) sum += o.layer[l].load[e];
        if (!(fabs(sum - o.layer[l].k) < 1e-6) || !(o.layer[l].entropy >= -1e-9 && o.layer[l].entropy <= 1 + 1e-9)) rc = FUZZ_BROKEN("loads of %g for k %g, entropy %g", sum, o.layer[l].k, o.layer[l].entropy);
    }
    lab_load_free(&o);
    lab_routes_free(r);
    return rc;
}
const fuzz_target fuzz_routes = {"routes", 3000, 40000, NULL, routes_seed, routes_run, NULL, 0};
