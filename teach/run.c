/* teach/run: a run from its beginning to its report: what is taught is written down first, then trained by train/ with its checkpoints, then proved.
 * Each step can be gone on with after a stop or a kill. See teach.h. */
#include "teach/run.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_TEXT = 64 << 20, APART_ROUNDS = 999, SPEED_EXAMPLES = 2, CONTEXT = 1024, LOOK_NS = 50000000 };

/* ---- telling ---- */
static void tell(running *r)
{
    if (r->job->tell)
        r->job->tell(r->job->user, &r->state);
}

static bool stopped(const running *r) { return atomic_load(&r->stop) || (r->job->stop && atomic_load(r->job->stop)); }

/* What takes no question of its own is asked behind. */
static int unless_stopped(const running *r, int rc, char *err) { return rc == Q_OK && stopped(r) ? q_fail(err, Q_CANCEL, _("stopped")) : rc; }

/* Looks for whoever wants it to stop, here or in another window, while a step or a piece of a text takes its time. */
static void *watch(void *user)
{
    running *r = user;
    while (!atomic_load(&r->over) && !atomic_load(&r->stop)) {
        bool elsewhere = tch_stop_wanted();
        if (stopped(r) || elsewhere)
            atomic_store(&r->stop, true);
        if (elsewhere && r->job->halts)
            r->job->halts(r->job->user);
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
    }
    return NULL;
}

static void phase(running *r, enum tch_phase p)
{
    r->state.phase = p;
    r->state.done = r->state.total = 0;
    tell(r);
    if (stopped(r))                      /* at once, not when its thread looks next */
        atomic_store(&r->stop, true);
}

static bool goes(void *user, int done, int total)
{
    running *r = user;
    r->state.done = done;
    r->state.total = total;
    tell(r);
    return !stopped(r) && (!r->job->go || r->job->go(r->job->user));
}

/* ---- run.json ---- */
static int save(running *r, const char *state, char *err)
{
    char *path = shelf_of(r->name, "run/run.json");
    cJSON_DeleteItemFromObject(r->run, "state");
    cJSON_AddStringToObject(r->run, "state", state);
    cJSON *copy = cJSON_Duplicate(r->run, true);
    cJSON_DeleteItemFromObject(copy, "kind");
    cJSON_DeleteItemFromObject(copy, "v");
    int rc = shelf_write(path, RECORD_KIND, copy, err);
    free(path);
    return rc;
}

static void put_number(cJSON *j, const char *name, double v)
{
    cJSON_DeleteItemFromObject(j, name);
    cJSON_AddNumberToObject(j, name, v);
}

static void put_text(cJSON *j, const char *name, const char *v)
{
    cJSON_DeleteItemFromObject(j, name);
    cJSON_AddStringToObject(j, name, v);
}

/* ---- beginning ---- */
static int general_of(running *r, char *err)
{
    if (!*r->set.general) {
        for (int i = 0; general_text[i]; i++)
            q_buf_printf(&r->general, "%s%s", i ? "\n\n" : "", general_text[i]);
        return Q_OK;
    }
    int rc = q_read_file(r->set.general, &r->general, MOST_TEXT, err);
    q_buf_puts(&r->general, "");
    return rc == Q_OK && !q_utf8_valid(r->general.p, r->general.len) ? q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), r->set.general) : rc;
}

static int context_of(const running *r)
{
    int known = eng_model_info(r->m)->n_ctx_train, most = r->set.context ? r->set.context : CONTEXT;
    return known > 0 && known < most ? known : most;
}

/* The data have something to learn from and something to judge by. */
static int enough(running *r, char *err)
{
    const lessons *t = &r->data;
    int n = t->n_train + t->n_held, context = context_of(r);
    if (n == 0 && r->set.dpo)
        return q_fail(err, Q_RANGE, _("the set \"%s\" has no pair to learn from: /better on an answer makes one, or a file with chosen and rejected answers"), r->name);
    if (n == 0 && t->long_ones)
        return q_fail(err, Q_RANGE, _("every example of \"%s\" is longer than %d tokens: context=N takes longer ones, as far as the model knows"), r->name, context);
    if (n == 0)
        return q_fail(err, Q_RANGE, _("no example of \"%s\" has an answer that could be learnt"), r->name);
    if (t->n_held == 0 && r->set.proof)
        return q_fail(err, Q_RANGE, _("\"%s\" has one conversation: at least two are needed, because a tenth, and never less than one, is kept to prove by what was learnt; proof=off teaches it without any proof"), r->name);
    return Q_OK;
}

static int read_data(running *r, char *err)
{
    char sha[65];
    q_sha256(r->lines.p, r->lines.len, sha);
    if (*shelf_text(r->run, "data_sha256") && strcmp(shelf_text(r->run, "data_sha256"), sha) != 0)
        return q_fail(err, Q_FORMAT, _("the examples that the run of \"%s\" was begun with are not whole any more: /teach undo %s forgets it"), r->name, r->name);
    put_text(r->run, "data_sha256", sha);
    int rc = tokens_read(r->m, &r->lines, r->set.dpo ? TOKENS_DPO : TOKENS_SFT, context_of(r), r->set.proof, &r->data, err);
    return rc == Q_OK ? enough(r, err) : rc;
}

static lab_talk *talks(const trn_example *e, int n)
{
    lab_talk *t = q_alloc(sizeof *t * (size_t)(n + 1));
    for (int i = 0; i < n; i++)
        t[i] = (lab_talk){ e[i].chosen.token, e[i].chosen.mask, e[i].chosen.n };
    return t;
}

/* Where the examples go and the general text goes, and what is taught for it. */
static int choose(running *r, char *err)
{
    lab_talk *t = talks(r->data.train, r->data.n_train);
    traffic own = { .n_layer = 0 }, other = { .n_layer = 0 };
    const eng_info *i = eng_model_info(r->m);
    r->state.routed = i->n_moe_layer * i->n_expert;
    phase(r, TCH_ROUTING);
    int rc = route_texts(r->m, r->before, t, r->data.n_train, goes, r, &r->stop, &own, err);
    if (rc == Q_OK)
        rc = route_plain(r->m, r->before, r->general.p, r->general.len, goes, r, &r->stop, &other, err);
    if (rc == Q_OK)
        rc = choose_experts(r->m, &r->set, &own, &r->chosen, &r->state.chosen, err);
    if (rc == Q_OK)
        rc = trn_apart(&own.t, &other.t, APART_ROUNDS, r->set.seed, &r->stop, &r->state.distance, &r->state.p, err);
    if (rc == Q_OK) {
        char *list = chosen_words(r->m, r->chosen);
        put_text(r->run, "chosen", list);
        put_number(r->run, "chosen_n", r->state.chosen);
        put_number(r->run, "distance", r->state.distance);
        put_number(r->run, "p", r->state.p);
        put_number(r->run, "share", traffic_share(&own, r->chosen));
        put_number(r->run, "share_elsewhere", traffic_share(&other, r->chosen));
        free(list);
    }
    traffic_free(&own);
    traffic_free(&other);
    free(t);
    return rc;
}

static int chosen_again(running *r, char *err)
{
    const eng_info *i = eng_model_info(r->m);
    const char *list = shelf_text(r->run, "chosen");
    r->state.routed = i->n_moe_layer * i->n_expert;
    r->state.distance = shelf_number(r->run, "distance", NAN);
    r->state.p = shelf_number(r->run, "p", NAN);
    if (!*list) {
        r->chosen = q_alloc((size_t)i->n_layer * (size_t)i->n_expert + 1);
        return Q_OK;
    }
    return choose_listed(r->m, list, &r->chosen, &r->state.chosen, err);
}

trn_options run_options(const running *r)
{
    return (trn_options){ .loss = r->set.dpo ? TRN_DPO : TRN_SFT, .lr = r->set.lr, .dpo_beta = r->set.dpo_beta, .clip = 1, .steps = r->set.steps, .warmup = r->set.warmup,
                          .batch = r->set.batch, .seed = r->set.seed, .threads = r->set.threads, .stop = &r->stop };
}

/* Numbers that stand for nothing said become what they are here. */
static void settle(running *r)
{
    tch_settings *s = &r->set;
    s->batch = s->batch < r->data.n_train ? s->batch : r->data.n_train;
    if (!s->steps)
        s->steps = (2 * r->data.n_train + s->batch - 1) / s->batch;
    if (s->warmup < 0)
        s->warmup = s->steps / 20;
    if (!s->alpha)
        s->alpha = 2 * s->rank;
    s->context = context_of(r);
    if (!eng_model_info(r->m)->n_moe_layer && !s->attention)
        s->shared = true;                /* a dense model has no experts to choose: its own matrices are taught */
}

static int begin_adapter(running *r, char *err)
{
    const eng_info *i = eng_model_info(r->m);
    bool none = r->set.experts == TCH_NONE || !i->n_moe_layer;
    trn_shape s = { .experts = r->chosen, .no_experts = none, .attention = r->set.attention, .shared = r->set.shared, .first_layer = r->set.first_layer,
                    .n_layer = r->set.n_layer, .rank = r->set.rank, .alpha = r->set.alpha, .seed = r->set.seed };
    if (none && !s.attention && !s.shared)
        return q_fail(err, Q_RANGE, _("with experts=none nothing is left to be taught: attention=on or shared=on"));
    return trn_begin(r->m, &s, &r->init, err);
}

/* The most that the run keeps: in a batch, or where it looks at what is held out. */
static uint64_t expected_bytes(running *r, trn *t, uint64_t most)
{
    uint64_t held = trn_foresee(t, r->data.held, r->data.n_held);
    most = held > most ? held : most;
    for (int i = 0; i + r->set.batch <= r->data.n_train; i += r->set.batch) {
        uint64_t batch = trn_foresee(t, r->data.train + i, r->set.batch);
        most = batch > most ? batch : most;
    }
    return most;
}

/* Seconds and bytes that the run will take: by one step's worth of examples. */
static int measure(running *r, char *err)
{
    trn_options o = run_options(r);
    trn *t = NULL;
    double loss;
    int n = r->data.n_train < SPEED_EXAMPLES ? r->data.n_train : SPEED_EXAMPLES;
    int64_t tokens = 0;
    phase(r, TCH_MEASURING);
    int rc = trn_new(r->m, r->before, r->init, &o, &t, err);
    int64_t from = q_now_ns();
    if (rc == Q_OK)
        rc = trn_loss_of(t, r->data.train, n, true, &loss, err);
    double took = (double)(q_now_ns() - from) / 1e9;
    for (int i = 0; i < r->data.n_train; i++)
        tokens += r->data.train[i].chosen.n + r->data.train[i].rejected.n;
    if (rc == Q_OK) {
        trn_usage u = trn_used(t);
        double rate = took > 0 ? (double)u.tokens / took : 0;
        put_number(r->run, "expected_bytes", (double)expected_bytes(r, t, u.bytes));
        put_number(r->run, "expected_s", rate > 0 ? (double)tokens / r->data.n_train * r->set.batch * r->set.steps / rate : 0);
        put_number(r->run, "params", (double)u.params);
    }
    trn_free(t);
    return rc;
}

static int write_down(running *r, char *err)
{
    char *json = tch_settings_json(&r->set), *path = shelf_of(r->name, "run/examples.jsonl"), id[24];
    const eng_info *i = eng_model_info(r->m);
    snprintf(id, sizeof id, "%016llx", (unsigned long long)i->id);
    put_text(r->run, "settings", json);
    put_text(r->run, "name", r->name);
    put_text(r->run, "model", i->name);
    put_text(r->run, "model_id", id);
    put_text(r->run, "model_path", i->path);
    put_number(r->run, "begun_ms", (double)q_wall_ms());
    put_number(r->run, "train", r->data.n_train);
    put_number(r->run, "heldout", r->data.n_held);
    put_number(r->run, "long", r->data.long_ones);
    put_number(r->run, "mute", r->data.mute);
    put_number(r->run, "tokens", (double)r->data.n_tokens);
    put_number(r->run, "answer_tokens", (double)r->data.n_targets);
    int rc = shelf_make(r->name, true, err);
    if (rc == Q_OK)
        rc = q_write_file_atomic(path, r->lines.p, r->lines.len, err);
    if (rc == Q_OK)
        rc = save(r, "running", err);
    r->begun = rc == Q_OK;
    free(path);
    free(json);
    return rc;
}

/* The plan as it is shown before anything runs. */
static void show_plan(running *r)
{
    q_buf b = { 0 };
    plan_say(r, &b);
    char *json = cJSON_PrintUnformatted(r->run);
    if (r->job->page)
        r->job->page(r->job->user, "plan", b.p, json);
    free(json);
    q_buf_free(&b);
}

static int begin(running *r, char *err)
{
    char *folder = shelf_of(r->name, "run");
    int rc = set_lines(r->job->store, r->name, &r->lines, err);
    r->run = cJSON_CreateObject();
    if (rc == Q_OK)
        rc = read_data(r, err);
    if (rc == Q_OK)
        settle(r);
    if (rc == Q_OK && eng_model_info(r->m)->n_moe_layer && r->set.experts != TCH_NONE)
        rc = choose(r, err);
    if (rc == Q_OK)
        rc = begin_adapter(r, err);
    if (rc == Q_OK)
        rc = unless_stopped(r, measure(r, err), err);
    if (rc == Q_OK) {
        shelf_erase(folder);             /* of a run before this one, which is done */
        rc = write_down(r, err);
    }
    if (rc == Q_OK)
        show_plan(r);
    free(folder);
    return rc;
}

/* ---- going on ---- */
static int again(running *r, const char *settings, char *err)
{
    char id[24], *path = shelf_of(r->name, "run/examples.jsonl");
    tch_settings wanted;
    int rc = settings_from_json(&r->set, shelf_text(r->run, "settings"), err);
    snprintf(id, sizeof id, "%016llx", (unsigned long long)eng_model_info(r->m)->id);
    if (rc == Q_OK && strcmp(id, shelf_text(r->run, "model_id")) != 0)
        rc = q_fail(err, Q_RANGE, _("the run of \"%s\" was begun with %s, and this is another model: take that one (/model), or /teach undo %s forgets the run"), r->name,
                    shelf_text(r->run, "model"), r->name);
    if (rc == Q_OK && *settings) {       /* they change nothing of what it was begun with */
        wanted = r->set;
        rc = tch_settings_set(&wanted, settings, err);
        char *a = tch_settings_json(&r->set), *b = tch_settings_json(&wanted);
        if (rc == Q_OK && strcmp(a, b) != 0)
            rc = q_fail(err, Q_RANGE, _("the run of \"%s\" was begun with other settings: /teach run %s goes on with those, /teach undo %s forgets it"), r->name, r->name, r->name);
        free(a);
        free(b);
    }
    if (rc == Q_OK)
        rc = q_read_file(path, &r->lines, MOST_TEXT * 4, err);
    if (rc == Q_OK)
        rc = read_data(r, err);
    if (rc == Q_OK)
        rc = chosen_again(r, err);
    if (rc == Q_OK)
        rc = begin_adapter(r, err);
    if (rc == Q_OK)
        rc = save(r, "running", err);
    free(path);
    return rc;
}

/* ---- training ---- */
/* The curve of a run whose steps another process or another day made: as train/ keeps it beside its checkpoints. */
static void curve_before(running *r)
{
    char *path = shelf_of(r->name, "run/train/curve.csv"), ignored[Q_ERRLEN], *line = NULL, *at = NULL;
    q_buf b = { 0 };
    if (path && q_read_file(path, &b, MOST_TEXT, ignored) == Q_OK && b.len)
        line = strtok_r(b.p, "\n", &at);        /* the heading */
    while (line && (line = strtok_r(NULL, "\n", &at))) {
        char *loss = strchr(line, ','), *held = loss ? strchr(loss + 1, ',') : NULL, *end, *held_end;
        long k = strtol(line, &end, 10);
        double x = loss ? strtod(loss + 1, &end) : NAN, y = held ? strtod(held + 1, &held_end) : NAN;
        if (!held || k < 0 || k > INT_MAX)
            continue;
        if (end > loss + 1 && isfinite(x))
            tch_state_point(&r->state, r->state.loss = x);
        if (held_end > held + 1 && isfinite(y)) {
            r->state.heldout = y;
            r->state.first_heldout = isnan(r->state.first_heldout) ? y : r->state.first_heldout;
        }
        r->state.step = (int)k;
    }
    q_buf_free(&b);
    free(path);
}

static void take_step(running *r, const trn_progress *p)
{
    tch_state *s = &r->state;
    s->step = p->step;
    s->steps = p->steps;
    s->loss = p->loss;
    s->lr = p->lr;
    s->tokens_s = p->tokens_s;
    s->left_s = p->left_s;
    s->bytes = p->bytes > s->bytes ? p->bytes : s->bytes;
    s->first_heldout = p->first_heldout;
    if (!isnan(p->heldout))
        s->heldout = p->heldout;
    tch_state_point(s, p->loss);
    tell(r);
}

static void on_past(void *user, const trn_progress *p) { take_step(user, p); }

static bool on_step(void *user, const trn_progress *p)
{
    running *r = user;
    take_step(r, p);
    return !stopped(r) && (!r->job->go || r->job->go(r->job->user));
}

/* What the adapter says of where it comes from. */
static char *note_of(const running *r)
{
    cJSON *j = cJSON_CreateObject(), *settings = cJSON_Parse(shelf_text(r->run, "settings"));
    cJSON_AddStringToObject(j, "by", "quorum " QUORUM_VERSION);
    cJSON_AddStringToObject(j, "set", r->name);
    cJSON_AddStringToObject(j, "base", shelf_text(r->run, "model"));
    cJSON_AddStringToObject(j, "base_id", shelf_text(r->run, "model_id"));
    cJSON_AddStringToObject(j, "data_sha256", shelf_text(r->run, "data_sha256"));
    cJSON_AddNumberToObject(j, "examples", r->data.n_train);
    cJSON_AddNumberToObject(j, "heldout", r->data.n_held);
    cJSON_AddStringToObject(j, "routers", "frozen");
    if (settings)
        cJSON_AddItemToObject(j, "settings", settings);
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

static int train(running *r, char *err)
{
    char *folder = shelf_of(r->name, "run/train"), *note = note_of(r), *file = tch_adapter_path(r->name), *slash = strrchr(file, '/');
    trn_options o = run_options(r);
    trn_run_terms t = { .example = r->data.train, .n = r->data.n_train, .heldout = r->data.held, .n_heldout = r->data.n_held, .folder = folder, .progress = on_step, .past = on_past, .user = r,
                        .stop = &r->stop };
    r->state.steps = r->set.steps;
    phase(r, TCH_TRAINING);
    int64_t from = q_now_ns();
    int rc = trn_run(r->m, r->before, r->init, &o, &t, r->name, note, &r->adapter, err);
    put_number(r->run, "seconds", shelf_number(r->run, "seconds", 0) + (double)(q_now_ns() - from) / 1e9);
    if (rc < 0) {                        /* how long it took so far is kept; what went wrong is said already */
        char ignored[Q_ERRLEN];
        save(r, "running", ignored);
    }
    if (rc == Q_OK) {
        *slash = 0;
        rc = q_mkdirs(file, err);
        *slash = '/';
    }
    if (rc == Q_OK)
        rc = eng_adapter_write_gguf(r->adapter, file, true, err);
    if (rc == Q_OK) {
        put_number(r->run, "trained", 1);
        put_number(r->run, "loss", r->state.loss);
        put_number(r->run, "tokens_s", r->state.tokens_s);
        put_number(r->run, "bytes", (double)r->state.bytes);
        rc = save(r, "running", err);
    }
    free(folder);
    free(note);
    free(file);
    return rc;
}

/* ---- proving ---- */
static int prove(running *r, char *err)
{
    char *file = tch_adapter_path(r->name), *text = NULL, *json = NULL, *md = shelf_of(r->name, "run/report.md"), *js = shelf_of(r->name, "run/report.json");
    if (!r->state.n_curve) {             /* it was trained before it was cut off */
        curve_before(r);
        r->state.steps = r->set.steps;
    }
    phase(r, TCH_PROVING);
    int rc = r->adapter ? Q_OK : eng_adapter_read(r->m, file, &r->adapter, err);
    if (rc == Q_OK)
        rc = eng_model_adapter_add(r->m, r->adapter, NULL, err);      /* a set may be called 2024, an adapter may not */
    if (rc == Q_OK) {
        r->adapter = NULL;               /* the model's now; its scale is 0 in `before`, which is older */
        eng_config *after = eng_config_new(r->m);
        proof p = { .m = r->m, .before = r->before, .after = after, .data = &r->data, .general = &r->general, .name = r->name, .run = r->run, .state = &r->state,
                    .chosen = r->state.chosen ? r->chosen : NULL, .store = r->job->store, .go = goes, .user = r, .stop = &r->stop };
        rc = report_make(&p, &text, &json, err);
        eng_config_free(after);
    }
    if (rc == Q_OK)
        rc = q_write_file_atomic(md, text, strlen(text), err);
    if (rc == Q_OK)
        rc = q_write_file_atomic(js, json, strlen(json), err);
    if (rc == Q_OK)
        rc = save(r, "done", err);
    if (rc == Q_OK) {                    /* what was said is not kept beside the memory longer than it is needed */
        char *lines = shelf_of(r->name, "run/examples.jsonl"), *folder = shelf_of(r->name, "run/train"), ignored[Q_ERRLEN];
        q_file_erase(lines, ignored);
        shelf_erase(folder);
        free(lines);
        free(folder);
        if (r->job->page)
            r->job->page(r->job->user, "report", text, json);
    }
    free(file);
    free(text);
    free(json);
    free(md);
    free(js);
    return rc;
}

/* ---- all of it ---- */
static bool opens(void *user) { return !stopped(user); }


static int open_model(running *r, char *err)
{
    phase(r, TCH_OPENING);
    if (!r->job->model || *r->job->model == '@')
        return q_fail(err, Q_RANGE, _("a model of a server cannot be taught from here: /model takes one of this machine"));
    int rc = eng_model_open(r->job->model, &(eng_open_opts){ .n_threads = r->set.threads, .go_on = opens, .user = r }, &r->m, err);
    if (rc == Q_OK) {
        snprintf(r->state.model, sizeof r->state.model, "%s", eng_model_info(r->m)->name);
        r->before = eng_config_new(r->m);
    }
    return rc;
}

static int all_of(running *r, char *err)
{
    int rc = shelf_name(r->name, err);
    const char *settings = r->job->settings ? r->job->settings : "";
    tch_settings_begin(&r->set);
    if (rc == Q_OK)
        rc = tch_settings_set(&r->set, settings, err);
    if (rc == Q_OK)
        rc = shelf_lock(r->name, &r->lock, err);
    if (rc < 0)
        return rc;
    r->watched = pthread_create(&r->watch, NULL, watch, r) == 0;     /* without it a stop is seen between two steps */
    rc = unless_stopped(r, open_model(r, err), err);
    if (rc < 0)
        return rc;
    phase(r, TCH_READING);
    rc = record_read(r->name, &r->run, err);
    if (rc < 0 && rc != Q_NOTFOUND)
        return rc;                       /* damaged: what stands there is not written over */
    if (r->run && strcmp(shelf_text(r->run, "state"), "done") == 0) {        /* taught before: anew */
        cJSON_Delete(r->run);
        r->run = NULL;
    }
    r->begun = r->run != NULL;
    rc = unless_stopped(r, r->run ? again(r, settings, err) : Q_OK, err);
    if (rc == Q_OK)
        rc = general_of(r, err);
    if (rc == Q_OK && !r->run)
        rc = begin(r, err);
    if (rc == Q_OK && !shelf_number(r->run, "trained", 0))
        rc = train(r, err);
    return rc == Q_OK ? prove(r, err) : rc;
}

static void close_run(running *r)
{
    atomic_store(&r->over, true);
    if (r->watched)
        pthread_join(r->watch, NULL);
    shelf_unlock(r->lock);
    eng_adapter_free(r->adapter);
    eng_adapter_free(r->init);
    eng_config_free(r->before);
    tokens_free(&r->data);
    free(r->chosen);
    q_buf_free(&r->lines);
    q_buf_free(&r->general);
    cJSON_Delete(r->run);
    eng_model_free(r->m);
}

int tch_run(const tch_job *job, char **adapter, char *err)
{
    running r = { .job = job, .name = job->name, .lock = -1, .state = { .loss = NAN, .heldout = NAN, .first_heldout = NAN, .lr = NAN, .tokens_s = 0, .left_s = -1, .distance = NAN, .p = NAN } };
    snprintf(r.state.name, sizeof r.state.name, "%.*s", TCH_NAME, job->name);
    *adapter = NULL;
    int rc = all_of(&r, err);
    if (rc == Q_OK)
        *adapter = tch_adapter_path(job->name);
    if (rc == Q_CANCEL)
        q_fail(err, rc, r.begun ? _("stopped: /teach run %s goes on from here") : _("stopped before anything was taught: /teach run %s begins anew, with the settings that you give it then"), job->name);
    if (rc < 0)
        snprintf(r.state.problem, sizeof r.state.problem, "%s", err);
    close_run(&r);                       /* whoever hears that it is over can begin the next one */
    phase(&r, rc == Q_OK ? TCH_DONE : rc == Q_CANCEL ? TCH_STOPPED : TCH_FAILED);
    return rc;
}
