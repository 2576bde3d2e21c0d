/* teach: a run from its examples to its report on a checked-in model: learnt and proved, stopped and gone on with, taken back; and each thing that can be
 * wrong with one sentence and nothing lost. */
#include "engine/adapter.h"
#include "teach/parts.h"
#include "tests/adapter_help.h"
#include "tests/memory_help.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char *model, *other;
typedef struct heard { int steps, stop_at, first_step; enum tch_phase stop_in; int64_t stopped_ns; bool full; char *plan, *report, *plan_json, *report_json; tch_state last; unsigned phases; atomic_bool stop; } heard;

/* No file may grow: each write fails as on a full disk. */
static void disk_full(bool on)
{
    static struct rlimit was;
    struct rlimit none;
    if (on && was.rlim_max == 0)
        getrlimit(RLIMIT_FSIZE, &was);
    none = (struct rlimit){ 0, was.rlim_max };
    setrlimit(RLIMIT_FSIZE, on ? &none : &was);
}

static void told(void *user, const tch_state *s)
{
    heard *h = user;
    h->last = *s;
    h->phases |= 1u << s->phase;
    h->steps = s->step;
    if (s->phase == TCH_TRAINING && s->step && !h->first_step)
        h->first_step = s->step;
    if (h->full && s->step >= 3)
        disk_full(true);
    if ((h->stop_at && s->step >= h->stop_at) || (h->stop_in && s->phase == h->stop_in && !atomic_load(&h->stop))) {
        h->stopped_ns = q_now_ns();
        atomic_store(&h->stop, true);
    }
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
    char *same = q_strdup(file("data/quorum/teach/style/examples.jsonl"));
    tch_added twin;
    OK(tch_add(same, "twin", NULL, NULL, &twin, err));       /* nothing that this run has is called untaught */
    tch_added_free(&twin);
    free(same);
    CHECK_MSG(run("style", SETTINGS, model, &h) == Q_OK, "%s", err);
    CHECK(h.phases == (1u << TCH_OPENING | 1u << TCH_READING | 1u << TCH_ROUTING | 1u << TCH_MEASURING | 1u << TCH_TRAINING | 1u << TCH_PROVING | 1u << TCH_DONE));
    CHECK(h.plan && strstr(h.plan, "36 to learn from, 4 held out") && strstr(h.plan, "routers stay as they are"));
    CHECK(h.report && strstr(h.report, "it was learnt") && strstr(h.report, "The set rest") && !strstr(h.report, "The set twin"));
    OK(tch_drop("twin", err));
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
    CHECK_MSG(tch_undo(NULL, &which, err) == Q_RANGE && !which && strstr(err, "undo 2024"), "%s", err);       /* what is finished goes by its name */
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
    q_buf again = bytes_of(path);
    CHECK_MSG(whole.len == again.len && memcmp(whole.p, again.p, whole.len) == 0, "%zu and %zu bytes", whole.len, again.len);
    q_buf_free(&whole);
    q_buf_free(&again);
    CHECK(h.last.n_curve == 30 && h.last.step == 30 && h.last.first_heldout > h.last.heldout);       /* the curve is that of the whole run */
    CHECK_INT(h.first_step, 1);          /* and is there before the next step is made */
    drop(&h);
    free(path);
}

/* Stopped as each phase begins: no later one is entered, within a second. */
static void it_stops_in_every_phase(void)
{
    static const enum tch_phase in[] = { TCH_OPENING, TCH_READING, TCH_ROUTING, TCH_MEASURING, TCH_TRAINING, TCH_PROVING };
    char *record = q_strdup(file("data/quorum/teach/slow/run/run.json")), *adapter = tch_adapter_path("slow"), *which;
    put_set("slow", 60, "one more word and another and another until the line is long enough to take a while");
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        heard h = { .stop_in = in[i] };
        int rc = run("slow", i < 5 ? SETTINGS : "", model, &h);
        double took = (double)(q_now_ns() - h.stopped_ns) / 1e9;
        bool begun = in[i] >= TCH_TRAINING;
        CHECK_MSG(rc == Q_CANCEL && took < 1, "%s: %d after %.2f s: %s", tch_phase_word(in[i]), rc, took, err);
        CHECK_MSG((h.phases & ~(1u << TCH_STOPPED)) >> in[i] == 1 && h.last.phase == TCH_STOPPED, "%s: %x", tch_phase_word(in[i]), h.phases);
        CHECK_MSG(strstr(err, begun ? "goes on from here" : "before anything was taught"), "%s: %s", tch_phase_word(in[i]), err);
        CHECK((access(record, F_OK) == 0) == begun && (access(adapter, F_OK) == 0) == (in[i] == TCH_PROVING));
        drop(&h);
    }
    heard h = { .steps = 0 };
    CHECK_MSG(run("slow", "", model, &h) == Q_OK && h.report && h.last.n_curve == 30, "%s: %d points", err, h.last.n_curve);
    OK(tch_undo("slow", &which, err));
    free(which);
    drop(&h);
    free(record);
    free(adapter);
}

/* With a model that takes its time, in the midst of each phase. */
static void it_stops_within_a_second_on_the_default_model(void)
{
    static const enum tch_phase in[] = { TCH_ROUTING, TCH_MEASURING, TCH_TRAINING, TCH_PROVING };
    const char *home = getenv("HOME");
    char *real = q_printf("%s/.local/share/quorum/models/smollm2-135m-instruct-carved.gguf", home ? home : "");
    if (!getenv("QUORUM_LONG") || access(real, R_OK) != 0)
        SKIP("teach_run", "the default model is stopped in each phase in the long form (QUORUM_LONG), where quorum model fetch brought it");
    else
        for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
            heard h = { .stop_in = in[i] };
            int rc = run("slow", i < 3 ? "steps=2 rank=4 threads=2" : "", real, &h);
            double took = (double)(q_now_ns() - h.stopped_ns) / 1e9;
            printf("# %s: %.2f s\n", tch_phase_word(in[i]), took);
            CHECK_MSG(rc == Q_CANCEL && took < 1, "%s: %d after %.2f s: %s", tch_phase_word(in[i]), rc, took, err);
            drop(&h);
        }
    char *which;
    tch_undo("slow", &which, err);
    free(real);
}

typedef struct at_work { int rc; heard h; } at_work;
static void *work(void *user)
{
    at_work *w = user;
    char *adapter;
    tch_job j = { .name = "slow", .settings = "steps=100000 rank=4 threads=1", .model = model, .tell = told, .page = paged, .user = &w->h, .stop = &w->h.stop };
    char why[Q_ERRLEN];
    w->rc = tch_run(&j, &adapter, why);
    free(adapter);
    return NULL;
}

/* Taken back while it runs: it stops, and nothing of it is left but the set. Another set's is taken back beside it. */
static void a_run_is_taken_back_while_it_runs(void)
{
    at_work w = { .rc = 1 };
    pthread_t t;
    char *which = NULL, *record = q_strdup(file("data/quorum/teach/slow/run/run.json")), *adapter = tch_adapter_path("style");
    CHECK(pthread_create(&t, NULL, work, &w) == 0);
    for (int i = 0; i < 600 && access(record, F_OK) != 0; i++)
        usleep(50000);
    OK(tch_undo("style", &which, err));
    CHECK_STR(which, "style");
    CHECK(access(adapter, F_OK) != 0 && access(record, F_OK) == 0 && !tch_stop_wanted());
    free(which);
    int64_t from = q_now_ns();
    OK(tch_undo(NULL, &which, err));             /* the one that is at work */
    CHECK_STR(which, "slow");
    double took = (double)(q_now_ns() - from) / 1e9;
    CHECK_MSG(took < 2, "%.2f s", took);
    pthread_join(t, NULL);
    CHECK(w.rc == Q_CANCEL && access(record, F_OK) != 0 && access(file("data/quorum/teach/slow/set.json"), F_OK) == 0);
    drop(&w.h);
    free(which);
    free(record);
    free(adapter);
}

static void no_room_in_the_midst_of_a_run(void)
{
    heard h = { .full = true };
    char *path = tch_adapter_path("style");
    heard before = { .steps = 0 };
    CHECK_MSG(run("style", SETTINGS, model, &before) == Q_OK, "%s", err);
    drop(&before);
    q_buf whole = bytes_of(path);
    char *which;
    OK(tch_undo("style", &which, err));
    free(which);
    int rc = run("style", SETTINGS, model, &h);
    disk_full(false);
    CHECK_MSG(rc == Q_IO && err[0] && !strchr(err, '\n'), "%d %s", rc, err);
    drop(&h);
    CHECK_MSG(run("style", "", model, &h) == Q_OK, "%s", err);
    q_buf again = bytes_of(path);
    CHECK_MSG(whole.len == again.len && memcmp(whole.p, again.p, whole.len) == 0, "%zu and %zu bytes", whole.len, again.len);
    q_buf_free(&whole);
    q_buf_free(&again);
    drop(&h);
    free(path);
}

/* One conversation: refused with what it cannot give, or taught without any proof, which the plan and the report say. */
static void without_proof(void)
{
    heard h = { .steps = 0 };
    CHECK_MSG(run("one", "", model, &h) == Q_RANGE && strstr(err, "proof=off"), "%s", err);
    CHECK_MSG(run("one", "proof=off steps=2 rank=2", model, &h) == Q_OK, "%s", err);
    CHECK_MSG(h.plan && strstr(h.plan, "1 to learn from and none held out"), "%s", h.plan ? h.plan : "");
    CHECK_MSG(h.report && strstr(h.report, "nobody can say whether it was learnt") && strstr(h.report, "Text that must not suffer"), "%s", h.report ? h.report : "");
    CHECK(h.report_json && strstr(h.report_json, "\"learnt\":null") && strstr(h.report_json, "\"heldout\":null"));
    drop(&h);
}

/* What stands in a file that is damaged is left there, and the sentence has its name and a way out that works. */
static void damaged_files(void)
{
    static const struct { const char *was, *is; } rows[] = {
        { "\"v\":", "\"v\": 7, \"x\":" }, { "\"begun_ms\":", "\"begun_ms\": 1e300, \"x\":" }, { "\"settings\":", "\"settings\": 5, \"x\":" }, { "\"chosen\":", "\"chosen\": [1], \"x\":" },
        { "\"state\":", "\"state\": \"flying\", \"x\":" }, { "\"data_sha256\":", "\"data_sha256\": \"12\", \"x\":" }, { "\"model_id\":", "\"x\":" }, { NULL, NULL } };
    heard h = { .stop_at = 3 };
    char *which, *path = q_strdup(file("data/quorum/teach/slow/run/run.json")), *set = q_strdup(file("data/quorum/teach/slow/set.json"));
    CHECK_INT(run("slow", SETTINGS, model, &h), Q_CANCEL);
    drop(&h);
    q_buf whole = bytes_of(path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        q_buf b = { 0 };
        char *at = rows[i].was ? strstr(whole.p, rows[i].was) : whole.p + whole.len / 2;
        CHECK(at != NULL);
        q_buf_add(&b, whole.p, (size_t)(at - whole.p));
        if (rows[i].was)
            q_buf_printf(&b, "%s%s", rows[i].is, at + strlen(rows[i].was));
        OK(q_write_file_atomic(path, b.p, b.len, err));
        int rc = run("slow", "", model, &h);
        CHECK_MSG(rc == Q_FORMAT && strstr(err, path) && strstr(err, "is damaged") && strstr(err, "/teach undo slow") && !strchr(err, '\n'), "%s: %d %s", rows[i].was ? rows[i].was : "cut", rc, err);
        q_buf after = bytes_of(path);
        CHECK(after.len == b.len && memcmp(after.p, b.p, b.len) == 0 && access(file("data/quorum/teach/slow/run/train"), F_OK) == 0);
        q_buf_free(&after);
        q_buf_free(&b);
        drop(&h);
    }
    OK(q_write_file_atomic(path, whole.p, whole.len, err));
    CHECK_MSG(run("slow", "", model, &h) == Q_OK, "%s", err);      /* put back, it goes on */
    OK(tch_undo("slow", &which, err));
    free(which);
    drop(&h);
    q_buf_free(&whole);
    whole = bytes_of(set);
    static const struct { const char *was, *is; } sets[] = { { "\"examples\":", "\"examples\": 1e300, \"x\":" }, { "\"pairs\":", "\"pairs\": \"many\", \"x\":" }, { "\"sources\":", "\"sources\": 4, \"x\":" },
        { "\"added_ms\":", "\"added_ms\": -1, \"x\":" }, { NULL, NULL } };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        q_buf b = { 0 };
        char *at = sets[i].was ? strstr(whole.p, sets[i].was) : whole.p + whole.len / 2;
        CHECK(at != NULL);
        q_buf_add(&b, whole.p, (size_t)(at - whole.p));
        if (sets[i].was)
            q_buf_printf(&b, "%s%s", sets[i].is, at + strlen(sets[i].was));
        OK(q_write_file_atomic(set, b.p, b.len, err));
        tch_added added;
        tch_set *v;
        int n, found = 0;
        int rc = run("slow", "", model, &h);
        CHECK_MSG(rc == Q_FORMAT && strstr(err, set) && strstr(err, "is damaged") && strstr(err, "/teach add") && !strchr(err, '\n'), "%s: %d %s", sets[i].was ? sets[i].was : "cut", rc, err);
        CHECK_INT(tch_add(model, "slow", NULL, NULL, &added, err), Q_FORMAT);
        OK(tch_list(NULL, NULL, &v, &n, err));
        for (int k = 0; k < n; k++)
            found += strcmp(v[k].name, "slow") == 0 && v[k].problem && strstr(v[k].problem, "is damaged");
        CHECK_INT(found, 1);
        tch_sets_free(v, n);
        q_buf after = bytes_of(set);
        CHECK(after.len == b.len && memcmp(after.p, b.p, b.len) == 0);
        q_buf_free(&after);
        q_buf_free(&b);
        drop(&h);
    }
    char *away = q_printf("%s.away", set), *examples = q_strdup(file("data/quorum/teach/slow/examples.jsonl"));
    tch_added added;
    CHECK_INT(rename(set, away), 0);
    OK(tch_add(examples, "slow", NULL, NULL, &added, err));
    CHECK_INT(added.same, 60);
    tch_added_free(&added);
    CHECK_MSG(run("slow", "steps=1 rank=2", model, &h) == Q_OK && strstr(h.plan, "54 to learn from, 6 held out"), "%s", err);
    OK(tch_undo("slow", &which, err));
    free(which);
    drop(&h);
    q_buf_free(&whole);
    free(path);
    free(set);
    free(away);
    free(examples);
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
    OK(shelf_lock("rest", &fd, err));
    CHECK(run("rest", "", model, &h) == Q_RANGE && strstr(err, "another run"));
    char *holder = shelf_holder();
    CHECK_STR(holder, "rest");
    free(holder);
    OK(tch_stop(err));
    CHECK(tch_stop_wanted());
    shelf_unlock(fd);
    CHECK(shelf_holder() == NULL && !shelf_locked());
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

/* run.json as somebody's hand or a failing disk leaves it: one sentence, and what was learnt lies there still. */
static void a_damaged_run_is_left_alone(void)
{
    static const struct { const char *key, *value, *says; } rows[] = {
        { "settings", "[0]", "cannot be read" }, { "settings", "[5]", "cannot be read" }, { "settings", "7", "cannot be read" }, { "settings", "{", "cannot be read" },
        { "chosen", "0:-100000", "no list of experts" }, { "chosen", "-2000:3", "no list of experts" }, { "chosen", "0", "no list of experts" }, { "chosen", "0:1x", "no list of experts" },
        { "chosen", "4294967296:1", "no expert" }, { "kind", "other", "another version" }, { NULL, NULL, "damaged" } };
    heard h = { .stop_at = 2 };
    put_set("torn", 6, "and so on");
    CHECK_INT(run("torn", "steps=4 rank=2 experts=all", model, &h), Q_CANCEL);
    drop(&h);
    char *path = q_strdup(file("data/quorum/teach/torn/run/run.json")), *which;
    q_buf whole = bytes_of(path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cJSON *j = cJSON_ParseWithLength(whole.p, whole.len);
        if (rows[i].key)
            cJSON_ReplaceItemInObjectCaseSensitive(j, rows[i].key, cJSON_CreateString(rows[i].value));
        char *text = rows[i].key ? cJSON_Print(j) : strdup("{\"kind\":");
        OK(q_write_file_atomic(path, text, strlen(text), err));
        int rc = run("torn", "", model, &h);
        CHECK_MSG(rc < 0 && strstr(err, rows[i].says) && !strchr(err, '\n'), "%s %s: %d %s", rows[i].key, rows[i].value, rc, err);
        q_buf now = bytes_of(path);
        CHECK_MSG(now.len == strlen(text) && access(file("data/quorum/teach/torn/run/train"), F_OK) == 0, "row %zu: the run is gone", i);
        q_buf_free(&now);
        free(text);
        cJSON_Delete(j);
        drop(&h);
    }
    OK(q_write_file_atomic(path, whole.p, whole.len, err));
    CHECK_MSG(run("torn", "", model, &h) == Q_OK, "%s", err);
    drop(&h);
    /* a link in the place of the run's folder goes; what it leads to is not the run's */
    char *mv = q_printf("cd '%s' && mkdir elsewhere && echo mine > elsewhere/mine && rm -r data/quorum/teach/torn/run && ln -s ../../../../elsewhere data/quorum/teach/torn/run", dir);
    CHECK(system(mv) == 0);
    OK(tch_undo("torn", &which, err));
    CHECK(access(file("elsewhere/mine"), F_OK) == 0 && access(file("data/quorum/teach/torn/run"), F_OK) != 0);
    OK(tch_drop("torn", err));
    q_buf_free(&whole);
    free(which);
    free(mv);
    free(path);
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
    signal(SIGXFSZ, SIG_IGN);            /* as the program has it */
    model = keep("qwen3moe");
    other = keep("glm4moe");
    RUN(a_style_is_learnt_and_proved);
    RUN(without_effect_it_says_so);
    RUN(a_stopped_run_goes_on_to_the_same_bytes);
    RUN(what_is_wrong_is_one_sentence);
    RUN(a_damaged_run_is_left_alone);
    RUN(a_disk_that_is_full_costs_nothing);
    RUN(without_proof);
    RUN(it_stops_in_every_phase);
    RUN(it_stops_within_a_second_on_the_default_model);
    RUN(a_run_is_taken_back_while_it_runs);
    RUN(no_room_in_the_midst_of_a_run);
    RUN(damaged_files);
    unlink(model);
    unlink(other);
    free(model);
    free(other);
    return memory_end();
}
