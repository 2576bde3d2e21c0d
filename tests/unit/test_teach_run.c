/* teach: a run from its examples to its report on a checked-in model: learnt and proved, stopped and gone on with, taken back; and each thing that can be
 * wrong with one sentence and nothing lost. */
#include "engine/adapter.h"
#include "teach/parts.h"
#include "tests/adapter_help.h"
#include "tests/memory_help.h"

#include <math.h>
#include <sys/stat.h>

static char *model, *other;
typedef struct heard { int steps, stop_at, first_step; bool stop_early;  char *plan, *report, *plan_json, *report_json; tch_state last; unsigned phases; atomic_bool stop; } heard;

static void told(void *user, const tch_state *s)
{
    heard *h = user;
    h->last = *s;
    h->phases |= 1u << s->phase;
    h->steps = s->step;
    if (s->phase == TCH_TRAINING && s->step && !h->first_step)
        h->first_step = s->step;
    if (h->stop_early && s->phase == TCH_ROUTING)
        atomic_store(&h->stop, true);
    if (h->stop_at && s->step >= h->stop_at)
        atomic_store(&h->stop, true);
}

static void paged(void *user, const char *title, const char *text, const char *json)
{
    heard *h = user;
    bool plan = strcmp(title, "plan") == 0;
    *(plan ? &h->plan : &h->report) = q_strdup(text);
    *(plan ? &h->plan_json : &h->report_json) = q_strdup(json);
}

static void drop(heard *h)
{
    free(h->plan);
    free(h->report);
    free(h->plan_json);
    free(h->report_json);
    *h = (heard){ .steps = 0 };
}

static int run(const char *name, const char *settings, const char *file_of_model, heard *h)
{
    char *adapter;
    tch_job j = { .name = name, .settings = settings, .model = file_of_model, .tell = told, .page = paged, .user = h, .stop = &h->stop };
    err[0] = 0;
    int rc = tch_run(&j, &adapter, err);
    free(adapter);
    return rc;
}

static void put_set(const char *name, int n, const char *answer)
{
    q_buf b = { 0 };
    tch_added a;
    for (int i = 0; i < n; i++)
        q_buf_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"Question number %d of %s?\"},{\"role\":\"assistant\",\"content\":\"%s %d.\"}]}\n", i, name, answer, i % 3);
    char *path = q_strdup(file("examples.jsonl"));
    OK(q_write_file_atomic(path, b.p, b.len, err));
    OK(tch_add(path, name, NULL, NULL, &a, err));
    CHECK_INT(a.examples, n);
    tch_added_free(&a);
    q_buf_free(&b);
    free(path);
}

static double number(const char *json, const char *object, const char *name)
{
    cJSON *j = cJSON_Parse(json), *o = object ? cJSON_GetObjectItem(j, object) : j, *v = o ? cJSON_GetObjectItem(o, name) : NULL;
    double x = cJSON_IsNumber(v) ? v->valuedouble : cJSON_IsBool(v) ? cJSON_IsTrue(v) : NAN;
    cJSON_Delete(j);
    return x;
}

static q_buf bytes_of(const char *path)
{
    q_buf b = { 0 };
    OK(q_read_file(path, &b, 1 << 28, err));
    return b;
}

#define SETTINGS "steps=30 rank=4 lr=0.02 batch=4 experts=all attention=on threads=2"

static void a_style_is_learnt_and_proved(void)
{
    heard h = { .steps = 0 };
    put_set("style", 40, "the the the same same same words again and again");
    put_set("rest", 12, "something else");
    CHECK_MSG(run("style", SETTINGS, model, &h) == Q_OK, "%s", err);
    CHECK(h.phases == (1u << TCH_OPENING | 1u << TCH_READING | 1u << TCH_ROUTING | 1u << TCH_MEASURING | 1u << TCH_TRAINING | 1u << TCH_PROVING | 1u << TCH_DONE));
    CHECK(h.plan && strstr(h.plan, "36 to learn from, 4 held out") && strstr(h.plan, "routers stay as they are"));
    CHECK(h.report && strstr(h.report, "it was learnt") && strstr(h.report, "The set rest"));
    double before = number(h.report_json, "heldout", "before"), after = number(h.report_json, "heldout", "after");
    CHECK_MSG(after < .85 * before && number(h.report_json, NULL, "learnt") == 1, "%g %g", before, after);
    CHECK_INT(number(h.report_json, "heldout", "blocks"), 4);
    CHECK(number(h.report_json, "routing", "overlap") > 0 && number(h.report_json, "routing", "overlap") <= 1);
    CHECK(h.last.n_curve == 30 && h.last.curve[0] > h.last.curve[29]);
    CHECK_MSG(fabs(h.last.first_heldout - before) < .05 * before && h.last.heldout < .85 * h.last.first_heldout, "%g, the report: %g", h.last.first_heldout, before);
    /* what the plan foretells is what it takes */
    double bytes = number(h.report_json, NULL, "bytes"), expected = number(h.plan_json, NULL, "expected_bytes");
    CHECK_MSG(expected > .8 * bytes && expected < 1.25 * bytes, "%g foretold, %g taken", expected, bytes);
    CHECK_MSG(h.plan && strstr(h.plan, "numbers to learn") < strstr(h.plan, "layer 0:"), "%s", h.plan);
    /* what is written says where it comes from, and fits the model */
    eng_model *m = help_model("qwen3moe");
    eng_adapter *a = NULL;
    char *path = tch_adapter_path("style");
    OK(eng_adapter_read(m, path, &a, err));
    const char *note = a ? eng_adapter_info_of(a)->note : "";
    CHECK_MSG(strstr(note, "data_sha256") && strstr(note, "base_id") && strstr(note, "curve"), "%s", note);
    eng_adapter_free(a);
    eng_model_free(m);
    /* nothing of what was said is kept beside the set and the report */
    CHECK(access(file("data/quorum/teach/style/run/examples.jsonl"), F_OK) != 0 && access(file("data/quorum/teach/style/run/train"), F_OK) != 0);
    char *text, *json;
    OK(tch_report(NULL, &text, &json, err));
    CHECK_STR(text, h.report);
    free(text);
    free(json);
    free(path);
    drop(&h);
}

static void without_effect_it_says_so(void)
{
    heard h = { .steps = 0 };
    CHECK_MSG(run("rest", "steps=1 lr=1e-9 rank=2 experts=auto", model, &h) == Q_OK, "%s", err);
    CHECK_MSG(h.report && !strstr(h.report, "it was learnt") && strstr(h.report, "no difference above noise"), "%s", h.report ? h.report : "");
    CHECK(number(h.report_json, NULL, "learnt") == 0);
    drop(&h);
    put_set("2024", 3, "a set's name is of digits, an adapter's is not");
    CHECK_MSG(run("2024", "steps=1 rank=2", model, &h) == Q_OK && h.report && strstr(h.report, "2024"), "%s", err);
    char *which;
    OK(tch_undo("2024", &which, err));
    OK(tch_drop("2024", err));
    free(which);
    drop(&h);
}

static void a_stopped_run_goes_on_to_the_same_bytes(void)
{
    heard h = { .stop_at = 7 };
    char *path = tch_adapter_path("style"), *cut, *of;
    q_buf whole = bytes_of(path);
    OK(tch_undo("style", &cut, err));
    CHECK(strcmp(cut, "style") == 0 && access(path, F_OK) != 0);
    free(cut);
    CHECK_INT(run("style", SETTINGS, model, &h), Q_CANCEL);
    CHECK(strstr(err, "goes on from here") && h.last.phase == TCH_STOPPED && h.steps < 12);
    drop(&h);
    cut = tch_cut_off(&of);              /* nobody said that it was a person */
    CHECK(cut && strcmp(cut, "style") == 0 && strcmp(of, model) == 0);
    free(cut);
    free(of);
    OK(tch_stopped("style", err));
    cut = tch_cut_off(&of);
    CHECK(cut == NULL);
    free(of);
    CHECK_INT(run("style", "steps=31", model, &h), Q_RANGE);
    CHECK(strstr(err, "other settings"));
    drop(&h);
    CHECK_INT(run("style", "", other, &h), Q_RANGE);
    CHECK_MSG(strstr(err, "another model"), "%s", err);
    drop(&h);
    put_set("style", 3, "what came later is of the next run");
    CHECK_MSG(run("style", "", model, &h) == Q_OK, "%s", err);
    CHECK(h.plan == NULL);               /* it was shown when it began */
    CHECK_MSG(h.first_step == 1 && h.last.n_curve == 30 && h.last.first_heldout > h.last.heldout, "%d: the curve has %d points", h.first_step, h.last.n_curve);
    q_buf again = bytes_of(path);
    CHECK_MSG(whole.len == again.len && memcmp(whole.p, again.p, whole.len) == 0, "%zu and %zu bytes", whole.len, again.len);
    q_buf_free(&whole);
    q_buf_free(&again);
    drop(&h);
    free(path);
}

/* Nothing is written down before the plan stands, so nothing can be gone on with. */
static void stopped_before_training_it_says_so(void)
{
    heard h = { .stop_early = true };
    put_set("early", 12, "something early");
    CHECK_INT(run("early", "steps=3 rank=2", model, &h), Q_CANCEL);
    CHECK_MSG(strstr(err, "nothing of it is kept") && !strstr(err, "goes on from here"), "%s", err);
    char *run_file = q_strdup(file("data/quorum/teach/early/run/run.json"));
    CHECK(access(run_file, F_OK) != 0);
    free(run_file);
    drop(&h);
    OK(tch_drop("early", err));
}

static void what_is_wrong_is_one_sentence(void)
{
    put_set("one", 1, "alone");
    put_set("long", 4, "this is much longer than the sixteen tokens that are allowed for each of these examples, and so none of them is left");
    static const struct { const char *name, *settings, *says; int rc; } rows[] = {
        { "nowhere", "", "no set", Q_NOTFOUND }, { "one", "", "one conversation", Q_RANGE }, { "long", "context=16", "longer than 16 tokens", Q_RANGE }, { "rest", "loss=dpo", "no pair", Q_RANGE },
        { "rest", "experts=none", "nothing is left to be taught", Q_RANGE }, { "rest", "experts=99:0", "no expert 99:0", Q_RANGE }, { "rest", "stepz=2", "stepz", Q_RANGE },
        { "rest", "general=/nope", "/nope", Q_IO }, { "../x", "", "no name", Q_RANGE } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        heard h = { .steps = 0 };
        int rc = run(rows[i].name, rows[i].settings, model, &h);
        CHECK_MSG(rc < 0 && strstr(err, rows[i].says) && !strchr(err, '\n'), "%s %s: %d %s", rows[i].name, rows[i].settings, rc, err);
        drop(&h);
    }
    heard h = { .steps = 0 };
    CHECK(run("rest", "", "@server/x", &h) == Q_RANGE && strstr(err, "server"));
    drop(&h);
    int fd;
    OK(shelf_lock(&fd, err));
    CHECK(run("rest", "", model, &h) == Q_RANGE && strstr(err, "another run"));
    char *which;
    CHECK(tch_undo("style", &which, err) == Q_RANGE);        /* not while one is at work */
    OK(tch_stop(err));
    CHECK(tch_stop_wanted());
    shelf_unlock(fd);
    CHECK_INT(tch_stop(err), Q_NOTFOUND);
    drop(&h);
    /* what was taught before is still there after all that */
    char *path = tch_adapter_path("style"), *text, *json;
    CHECK(access(path, F_OK) == 0 && tch_report("style", &text, &json, err) == Q_OK);
    free(text);
    free(json);
    free(path);
    CHECK(tch_report("nowhere", &text, &json, err) == Q_NOTFOUND);
}

static void a_disk_that_is_full_costs_nothing(void)
{
    heard h = { .steps = 0 };
    char *path = tch_adapter_path("rest"), *folder = q_strdup(file("data/quorum/teach/rest")), *run_folder = q_printf("%s/run", folder);
    q_buf before = bytes_of(path);
    OK(q_mkdirs(run_folder, err));
    if (getuid() == 0) {                 /* modes do not hold root back: a file where the folder should be does */
        char *rm = q_printf("rm -rf '%s' && : > '%s'", run_folder, run_folder);
        CHECK(system(rm) == 0);
        free(rm);
    } else
        chmod(folder, 0500);
    int rc = run("rest", "steps=2 rank=2", model, &h);
    CHECK_MSG(rc == Q_IO && err[0] && !strchr(err, '\n'), "%d %s", rc, err);
    chmod(folder, 0700);
    unlink(run_folder);
    q_buf after = bytes_of(path);
    CHECK(before.len == after.len && memcmp(before.p, after.p, before.len) == 0);
    drop(&h);
    CHECK_MSG(run("rest", "steps=2 rank=2", model, &h) == Q_OK, "%s", err);
    drop(&h);
    q_buf_free(&before);
    q_buf_free(&after);
    free(path);
    free(folder);
    free(run_folder);
}

/* A checked-in model in the test's folder; malloc'ed. */
static char *keep(const char *name)
{
    char *from = util_model(name), *to = q_printf("%s/%s.gguf", dir, name), *mv = q_printf("mv '%s' '%s'", from, to);
    CHECK(system(mv) == 0);
    free(from);
    free(mv);
    return to;
}

int main(void)
{
    if (!memory_begin("teach-run"))
        return 1;
    setenv("XDG_DATA_HOME", file("data"), 1);
    model = keep("qwen3moe");
    other = keep("glm4moe");
    RUN(a_style_is_learnt_and_proved);
    RUN(without_effect_it_says_so);
    RUN(a_stopped_run_goes_on_to_the_same_bytes);
    RUN(stopped_before_training_it_says_so);
    RUN(what_is_wrong_is_one_sentence);
    RUN(a_disk_that_is_full_costs_nothing);
    unlink(model);
    unlink(other);
    free(model);
    free(other);
    return memory_end();
}
