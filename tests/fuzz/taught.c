/* tests/fuzz/taught: what a person or a stranger's file says of teaching and modules: modules, the scale of adapters, examples of every form,
 * settings of a run (typed, and as a run keeps them), plans of stages. What is taken reads back as itself; what is refused is refused in one sentence. */
#include "advice/course.h"
#include "advice/examples.h"
#include "agent/module.h"
#include "lab/lab.h"
#include "teach/parts.h"
#include "tests/adapter_help.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <unistd.h>

static char err[Q_ERRLEN];
static bool one_sentence(const char *e) { return *e && !strchr(e, '\n') && strlen(e) < Q_ERRLEN && q_utf8_valid(e, strlen(e)); }
static int refused(const char *what) { return one_sentence(err) ? 0 : FUZZ_BROKEN("%s refused with \"%s\"", what, err); }
#define ONE_OF(r, list) (list)[fuzz_below(r, sizeof(list) / sizeof *(list))]

/* ---- modules ---- */
static void module_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const lines[] = { "title: Skeptic\n", "order: 20\n", "when: proof, sources, доказательство\n", "knobs: sampler.temperature=0.3, experts.ban=3:1,4:0\n",
                                         "adapter: ../skeptic.gguf=0.7\n", "memory: notes, papers/2025\n", "# a remark\n", "\n", "order: 999\r\n" };
    q_buf_puts(b, fuzz_below(r, 5) ? "---\n" : "\xef\xbb\xbf---\r\n");
    for (int i = (int)fuzz_below(r, 6); i >= 0; i--) q_buf_puts(b, ONE_OF(r, lines));
    q_buf_puts(b, "---\nAsk what would show that you are wrong.\n");
}

static int module_run(const char *p, size_t n)
{
    module m;
    err[0] = 0;
    if (module_parse("fuzzed", "/nowhere/fuzzed.md", p, n, &m, err) < 0) return refused("a module");
    int rc = 1;
    if (!m.text || !m.title || !*m.title || m.order < 0 || m.order > 999 || strlen(m.hash) != MODULE_HASH) rc = FUZZ_BROKEN("a module without its parts");
    for (int i = 0; i < m.knobs.n; i++)
        if (!lab_spec_begins(m.knobs.v[i])) rc = FUZZ_BROKEN("\"%s\" was taken for a knob", m.knobs.v[i]);
    module_wanted(&m, "Is there proof of that, and доказательство?");
    module_free(&m);
    return rc;
}
const fuzz_target fuzz_module = { "module", 3000, 40000, NULL, module_seed, module_run, NULL, 0 };

/* ---- lora.scale ---- */
static eng_model *model;

static bool scale_ready(void)
{
    eng_adapter *a = NULL;
    if (!(model = help_model("qwen3moe"))) return false;
    for (int i = 0; i < 2; i++) {
        eng_low l[] = { help_low(model, KER_W_Q, 0, 2, 1), help_low(model, KER_W_UP_EXPS, 1, 1, 2) };
        bool good = eng_adapter_make(model, "a", l, 2, "", &a, err) == Q_OK && eng_model_adapter_add(model, a, i ? "other" : "style", err) == Q_OK;
        help_low_free(l, 2);
        if (!good) return false;
    }
    return true;
}

static void scale_done(void)
{
    eng_model_free(model);
    model = NULL;
}

static void scale_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const pieces[] = { "style=0.7", "other=-3", "style", "style@0=0", "style@0-1=2", "other@1e2=1", "other@1e0-3=0.5", "style@1=1e-3", "other=100" }, *const whole[] = { "none", "", "0.5", " 1", "0" };
    if (fuzz_below(r, 8) == 0) q_buf_puts(b, ONE_OF(r, whole));
    else
        for (int i = (int)fuzz_below(r, 5); i >= 0; i--) q_buf_printf(b, "%s%s", b->len ? fuzz_below(r, 4) ? "," : ";" : "", ONE_OF(r, pieces));
}

static int scale_run(const char *p, size_t n)
{
    char *value = q_strndup(p, n);
    eng_config *c = eng_config_new(model), *again = eng_config_new(model);
    uint64_t before = eng_config_hash_all(c);
    q_buf v = { 0 };
    int rc = 1;
    err[0] = 0;
    if (eng_config_set(c, "lora.scale", value, err) < 0) {
        rc = refused("lora.scale");
        if (eng_config_hash_all(c) != before) rc = FUZZ_BROKEN("a refused \"%s\" changed something", value);
    } else {
        eng_arithmetic x;
        char *own = q_strdup(eng_config_get(c, "lora.scale", &v)), *json = eng_config_json(c);
        if (eng_config_set(again, "lora.scale", own, err) < 0 || eng_config_hash_all(again) != eng_config_hash_all(c)) rc = FUZZ_BROKEN("\"%s\" read back as \"%s\" is another", value, own);
        else if (eng_config_from_json(again, json, err) < 0 || eng_config_hash_all(again) != eng_config_hash_all(c)) rc = FUZZ_BROKEN("%s read back is another", json);
        else if (eng_config_arithmetic(c, &x, err) != Q_OK) rc = FUZZ_BROKEN("\"%s\" cannot be computed: %s", value, err);
        else eng_config_arithmetic_free(&x);
        eng_config_added(c, NULL, NULL);
        free(own);
        free(json);
    }
    eng_config_free(c);
    eng_config_free(again);
    q_buf_free(&v);
    free(value);
    return rc;
}
const fuzz_target fuzz_scale = { "scale", 2000, 30000, scale_ready, scale_seed, scale_run, scale_done, 0 };

/* ---- examples ---- */
static void example_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const lines[] = {
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Hello\"},{\"role\":\"assistant\",\"content\":\"<think>\\nhm\\n</think>\\n\\nHi\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"2\"},{\"role\":\"assistant\",\"content\":\"two\"}],\"tools\":[{\"type\":\"function\"}]}",
        "{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"gpt\",\"value\":\"a\"},{\"from\":\"function_call\",\"value\":\"{\\\"name\\\":\\\"g\\\"}\"}],\"system\":\"s\",\"tools\":\"[{}]\"}",
        "{\"instruction\":\"i\",\"input\":\"more\",\"output\":\"o\",\"history\":[[\"a\",\"b\"]]}", "{\"items\":[{\"role\":\"user\",\"content\":\"q\",\"weight\":0},{\"role\":\"assistant\",\"content\":\"a\"}]}",
        "{\"text\":\"plain\"}", "{\"prompt\":\"p\",\"completion\":\"c\"}", "{\"prompt\":\"p\",\"chosen\":\"good\",\"rejected\":\"bad\"}",
        "{\"chosen\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"b\"}]}" };
    q_buf_puts(b, ONE_OF(r, lines));
}

/* What is written in a form is of that form, and the same again when it is read and written once more. */
static int example_run(const char *p, size_t n)
{
    adv_example e, again;
    enum adv_form was, second;
    unsigned lost;
    q_buf line = { 0 }, twice = { 0 }, text = { 0 };
    err[0] = 0;
    if (adv_example_read(p, n, ADV_AS_FOUND, &e, &was, err) < 0) return refused("an example");
    int rc = e.n > 0 ? 1 : FUZZ_BROKEN("an example without a message");
    for (int f = 0; f < ADV_FORMS && rc > 0; f++) {
        if (adv_example_write(&e, (enum adv_form)f, true, &line, &lost, err) < 0) {
            rc = one_sentence(err) ? 1 : FUZZ_BROKEN("%s is not written: \"%s\"", adv_form_name((enum adv_form)f), err);
            continue;
        }
        if (memchr(line.p, '\n', line.len) || !q_utf8_valid(line.p, line.len)) rc = FUZZ_BROKEN("%s is no line: %s", adv_form_name((enum adv_form)f), line.p);
        else if (adv_example_read(line.p, line.len, ADV_AS_FOUND, &again, &second, err) < 0) rc = FUZZ_BROKEN("its own %s is refused: %s: %s", adv_form_name((enum adv_form)f), err, line.p);
        else {
            if (adv_example_write(&again, (enum adv_form)f, true, &twice, &lost, err) < 0) rc = FUZZ_BROKEN("%s is not written again: %s: %s", adv_form_name((enum adv_form)f), err, line.p);
            else if (twice.len != line.len || memcmp(twice.p, line.p, line.len) != 0) rc = FUZZ_BROKEN("%s becomes another: %s and %s", adv_form_name((enum adv_form)f), line.p, twice.p);
            adv_example_free(&again);
        }
    }
    adv_example_text(&e, &text);
    adv_example_free(&e);
    q_buf_free(&line);
    q_buf_free(&twice);
    q_buf_free(&text);
    return rc;
}
const fuzz_target fuzz_example = { "example", 3000, 60000, NULL, example_seed, example_run, NULL, 0 };

/* ---- a run's settings: words, or the object that a run keeps ---- */
static void settings_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const words[] = { "steps=20", "rank=8", "alpha=16", "lr=1e-4", "batch=2", "warmup=3", "experts=auto", "experts=3:5,3:9", "p=.3", "by=tokens", "layers=1-2", "layers=all",
                                         "attention=on", "shared=off", "loss=dpo", "beta=.2", "context=512", "seed=18446744073709551615", "threads=2", "general=/tmp/a.txt" };
    q_buf_putc(b, fuzz_below(r, 2) ? 'w' : 'j');
    if (*b->p == 'w')
        for (int i = (int)fuzz_below(r, 6); i >= 0; i--) q_buf_printf(b, "%s ", ONE_OF(r, words));
    else {
        tch_settings s;
        tch_settings_begin(&s);
        tch_settings_set(&s, ONE_OF(r, words), err);
        char *json = tch_settings_json(&s);
        q_buf_puts(b, json);
        free(json);
    }
}

static int settings_run(const char *p, size_t n)
{
    tch_settings s, again;
    char *text = q_strndup(n ? p + 1 : "", n ? n - 1 : 0);
    bool words = n && *p == 'w';
    err[0] = 0;
    tch_settings_begin(&s);
    int rc = words ? tch_settings_set(&s, text, err) : settings_from_json(&s, text, err);
    free(text);
    if (rc < 0) return refused("settings");
    char *one = tch_settings_json(&s), *two = NULL;
    rc = settings_from_json(&again, one, err) < 0 ? FUZZ_BROKEN("%s is refused: %s", one, err) : 1;
    if (rc > 0) two = tch_settings_json(&again);
    if (two && strcmp(one, two) != 0) rc = FUZZ_BROKEN("%s becomes %s", one, two);
    free(one);
    free(two);
    return rc;
}
const fuzz_target fuzz_settings = { "settings", 3000, 60000, NULL, settings_seed, settings_run, NULL, 0 };

/* ---- plans ---- */
static char plan[] = "/tmp/quorum-fuzz-XXXXXX";

static bool plan_ready(void)
{
    int fd = mkstemp(plan);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static void plan_done(void)
{
    unlink(plan);
    snprintf(plan, sizeof plan, "/tmp/quorum-fuzz-XXXXXX");
}

static void plan_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const keys[] = { "rate = 2e-5\n", "epochs = 2\n", "steps = 100\n", "context = 2048\n", "batch = 2\n", "rank = 16\n", "heldout = 0.05\n", "method = lora\n", "train = attention,experts\n",
                                        "stop-loss = 1.8\n", "patience = 3\n", "forget = 2%\n", "gain = .5%\n", "# said\n", "data = c.jsonl\n  d.jsonl\n", "shard = zero2\n" };
    q_buf_puts(b, "[plan]\ntrainer = trl\nmodel = Qwen/Qwen3-0.6B\nmachine = here\n");
    for (int s = 0, n = 1 + (int)fuzz_below(r, 4); s < n; s++) {
        q_buf_printf(b, "[stage part-%d]\ndata = a.jsonl ~/b.jsonl\n", s);
        for (int i = (int)fuzz_below(r, 5); i > 0; i--) q_buf_puts(b, ONE_OF(r, keys));
    }
}

static int plan_run(const char *p, size_t n)
{
    adv_plan *x;
    const adv_stage *s;
    if (q_write_file_atomic(plan, p, n, err) != Q_OK) return 0;
    err[0] = 0;
    if (adv_plan_read(plan, &x, err) < 0) return refused("a plan");
    int rc = 1, k = adv_plan_stages(x, &s);
    if (k < 1 || k > ADV_STAGES) rc = FUZZ_BROKEN("%d stages", k);
    for (int i = 0; i < k && rc > 0; i++)
        if (strspn(s[i].name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(s[i].name) || strchr(s[i].dir, '/') || s[i].course.n_data < 1 || !s[i].course.model)
            rc = FUZZ_BROKEN("stage %d is not whole", i);
    adv_plan_free(x);
    return rc;
}
const fuzz_target fuzz_plan = { "plan", 1500, 20000, plan_ready, plan_seed, plan_run, plan_done, 0 };
