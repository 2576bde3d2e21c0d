/* train/: whole runs: the same bytes whatever the threads, the memory, the vector set and how often a run was killed; what folders are
 * refused; and each misuse with its sentence. On a carved model that is made here, and on a checked-in one. */
#include "engine/adapter.h"
#include "engine/file/gguf.h"
#include "tests/engine_util.h"
#include "tests/test.h"
#include "train/step.h"
#include "train/train.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-test-XXXXXX";
enum { EXAMPLES = 7, TOKENS = 20, STEPS = 12 };
static int32_t token[EXAMPLES * 2][TOKENS];
static uint8_t mask[EXAMPLES * 2][TOKENS];
static trn_example example[EXAMPLES], pair[EXAMPLES];

static void examples_make(int n_vocab)
{
    for (int i = 0; i < EXAMPLES * 2; i++) {
        for (int k = 0; k < TOKENS; k++) {
            token[i][k] = (int32_t)((unsigned)(i * 31 + k * k * 7 + k) % (unsigned)n_vocab);
            mask[i][k] = k > 6;
        }
        trn_text t = { token[i], mask[i], TOKENS - i % 5 };
        if (i < EXAMPLES) example[i].chosen = pair[i].chosen = t;
        else pair[i - EXAMPLES].rejected = t;
    }
}

static eng_model *model;
static eng_config *config;
static eng_adapter *first;
static char *home;

static eng_model *open_at(const char *path)
{
    eng_model *m = NULL;
    eng_open_opts o = { .n_threads = 1 };
    CHECK_MSG(eng_model_open(path, &o, &m, err) == 0, "%s", err);
    return m;
}

static eng_adapter *begun(eng_model *m)
{
    eng_adapter *a = NULL;
    CHECK_MSG(trn_begin(m, &(trn_shape){ .attention = true, .shared = true, .rank = 4, .seed = 3 }, &a, err) == 0, "%s", err);
    return a;
}

static trn_options options(int threads)
{
    return (trn_options){ .lr = 3e-3, .steps = STEPS, .warmup = 2, .batch = 2, .seed = 5, .threads = threads, .clip = 1, .weight_decay = .01 };
}

static char *folder_of(const char *name) { return q_printf("%s/%s", home, name); }

/* The adapter's bytes as its file has them. */
static q_buf bytes_of(const eng_adapter *a)
{
    q_buf b = { 0 };
    char *path = folder_of("out.gguf");
    CHECK_MSG(eng_adapter_write_gguf(a, path, true, err) == 0, "%s", err);
    CHECK_INT(q_read_file(path, &b, (size_t)1 << 26, err), 0);
    unlink(path);
    free(path);
    return b;
}

static int run_in(const char *folder, const trn_options *o, const trn_example *e, int n, int held, q_buf *out)
{
    trn_run_terms t = { .example = e, .n = n - held, .heldout = e + n - held, .n_heldout = held, .folder = folder, .every = 1 };
    eng_adapter *a = NULL;
    int rc = trn_run(model, config, first, o, &t, "taught", "{\"made\":\"here\"}", &a, err);
    *out = (q_buf){ 0 };
    if (a) *out = bytes_of(a);
    eng_adapter_free(a);
    return rc;
}

static bool same(const q_buf *a, const q_buf *b) { return a->len && a->len == b->len && memcmp(a->p, b->p, a->len) == 0; }

static void clear_folder(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)); ) {
        char *path = q_printf("%s/%s", folder, e->d_name);
        unlink(path);
        free(path);
    }
    if (d) closedir(d);
    rmdir(folder);
}

/* Neither threads nor memory nor the vector set change a byte; a run learns; its note says what it was. */
static void same_bytes(void)
{
    trn_options o = options(1);
    q_buf one, other;
    CHECK_MSG(run_in(NULL, &o, example, EXAMPLES, 1, &one) == 0, "%s", err);
    for (int i = 0; i < 3; i++) {
        o.threads = 2 + i;
        CHECK_INT(run_in(NULL, &o, example, EXAMPLES, 1, &other), 0);
        CHECK(same(&one, &other));
        q_buf_free(&other);
        if (!ker_cpu_path(i) || ker_cpu_force(ker_cpu_path(i))) continue;
        CHECK_INT(run_in(NULL, &o, example, EXAMPLES, 1, &other), 0);
        CHECK_MSG(same(&one, &other), "%s", ker_cpu_path(i));
        q_buf_free(&other);
        ker_cpu_force(NULL);
    }
    o.seed++;
    CHECK_INT(run_in(NULL, &o, example, EXAMPLES, 1, &other), 0);
    CHECK(!same(&one, &other));
    q_buf_free(&other);
    q_buf_free(&one);
}

/* With less memory than keeps every layer's input they are made anew: the same numbers. */
static void little_memory(void)
{
    trn *t = NULL;
    double loss[2] = { 0 }, before;
    q_buf b[2] = { { 0 }, { 0 } };
    char *path = util_model("gemma3");                         /* six layers */
    eng_model *m = open_at(path);
    eng_config *c = m ? eng_config_new(m) : NULL;
    eng_adapter *begin = m ? begun(m) : NULL;
    if (m) examples_make(eng_model_info(m)->n_vocab);
    for (int i = 0; i < 2 && begin; i++) {
        trn_options o = options(2);
        eng_adapter *a = NULL;
        if (i) {                                               /* what a pass takes with all inputs kept, less one of them */
            CHECK_INT(trn_new(m, c, begin, &o, &t, err), 0);
            CHECK_INT(trn_loss_of(t, example, 2, true, &before, err), 0);
            uint64_t input = (uint64_t)t->p.size.rows * (uint64_t)t->m->n_embd * 4, fixed = lows_bytes(t->low);
            o.memory = fixed + t->p.own.bytes - input + pass_beside(&t->p, t->p.size.rows, t->p.size.longest);
            trn_free(t);
        }
        CHECK_MSG(trn_new(m, c, begin, &o, &t, err) == 0, "%s", err);
        for (int k = 0; k < 3; k++) CHECK_MSG(trn_step(t, example + k, 2, &loss[i], err) == 0, "%s", err);
        CHECK_INT(t->p.size.stride > 1, i);
        CHECK_INT(trn_adapter(t, "x", "", &a, err), 0);
        b[i] = bytes_of(a);
        eng_adapter_free(a);
        trn_free(t);
    }
    CHECK(same(&b[0], &b[1]) && loss[0] == loss[1]);
    /* Where three texts are too much at once, fewer go together: the same loss but for the last bit. */
    trn_options o = options(1);
    double all = 0, apart = 0;
    CHECK_INT(trn_new(m, c, begin, &o, &t, err), 0);
    CHECK_INT(t ? trn_loss_of(t, example, 1, true, &before, err) : -1, 0);
    o.memory = t ? lows_bytes(t->low) + t->p.own.bytes + pass_beside(&t->p, t->p.size.rows, t->p.size.longest) : 0;
    CHECK_INT(t ? trn_loss_of(t, example, 3, true, &all, err) : -1, 0);
    trn_free(t);
    t = NULL;
    CHECK_INT(trn_new(m, c, begin, &o, &t, err), 0);
    CHECK_MSG(t && trn_loss_of(t, example, 3, true, &apart, err) == 0, "%s", err);
    CHECK(t && t->p.size.texts < 3);
    CHECK_MSG(fabs(all - apart) < 1e-5, "%.9g, %.9g", all, apart);
    trn_free(t);
    o.memory = 4096;
    CHECK_INT(trn_new(m, c, begin, &o, &t, err), 0);
    CHECK_INT(trn_loss_of(t, example, 1, false, &before, err), Q_NOMEM);
    CHECK_MSG(strstr(err, "shorten") != NULL, "%s", err);
    trn_free(t);
    q_buf_free(&b[0]), q_buf_free(&b[1]);
    eng_adapter_free(begin);
    eng_config_free(c);
    eng_model_free(m);
    unlink(path);
    free(path);
    examples_make(eng_model_info(model)->n_vocab);
}

/* What fits alone fits behind something else that did: a pass of more rows of shorter texts. */
static void room_is_of_each_pass(void)
{
    trn *t = NULL;
    double loss;
    trn_options o = options(1);
    CHECK_INT(trn_new(model, config, first, &o, &t, err), 0);
    CHECK_INT(t ? trn_loss_of(t, example + 3, 2, true, &loss, err) : -1, 0);
    o.memory = t ? lows_bytes(t->low) + t->p.own.bytes + pass_beside(&t->p, t->p.size.rows, example[0].chosen.n) : 0;
    CHECK(t && t->p.size.rows > example[0].chosen.n && t->p.size.longest < example[0].chosen.n - 1);
    trn_free(t);
    t = NULL;
    CHECK_INT(trn_new(model, config, first, &o, &t, err), 0);
    for (int i = 0; i < 2 && t; i++) {
        CHECK_MSG(trn_loss_of(t, example + 3, 2, true, &loss, err) == 0, "%s", err);
        CHECK_MSG(trn_loss_of(t, example, 1, true, &loss, err) == 0, "%s", err);
    }
    trn_free(t);
}

static void learns(void)
{
    trn_options o = options(2);
    o.lr = 1e-2, o.steps = 30;
    q_buf b;
    char *folder = folder_of("learns");
    CHECK_MSG(run_in(folder, &o, example, EXAMPLES, 0, &b) == 0, "%s", err);
    char *path = q_printf("%s/curve.csv", folder);
    q_buf csv = { 0 };
    CHECK_INT(q_read_file(path, &csv, 1 << 20, err), 0);
    double begin = 0, end = 0;
    int lines = 0;
    for (char *p = csv.p; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (lines++) end = strtod(strchr(p, ',') + 1, NULL), begin = lines == 2 ? end : begin;
    CHECK_INT(lines, 31);
    CHECK_MSG(end < .8 * begin, "the loss went from %.4f to %.4f", begin, end);
    CHECK(b.len && memmem(b.p, b.len, "\"made\":\"here\"", 13) && memmem(b.p, b.len, "\"examples_hash\"", 15));
    q_buf_free(&csv), q_buf_free(&b);
    free(path);
    clear_folder(folder);
    free(folder);
}

/* A child that dies by SIGKILL when it has written to the disk so many times, or steps so often; the parent goes on until the run ends. */
static bool die_at(void *user, const trn_progress *p)
{
    int *left = user;
    if (--*left < 0) raise(SIGKILL);
    return true;
}

static void killed(void)
{
    int kills = getenv("QUORUM_LONG") ? 20 : 3, died = 0, turns = 0;
    trn_options o = options(2);
    q_buf want, got;
    char *folder = folder_of("killed");
    uint64_t s[4] = { (uint64_t)getpid(), 2, 3, (uint64_t)q_wall_ms() };
    printf("# seed %llu %llu\n", (unsigned long long)s[0], (unsigned long long)s[3]);
    o.steps = kills * 3 + 6;
    CHECK_MSG(run_in(NULL, &o, example, EXAMPLES, 2, &want) == 0, "%s", err);
    for (; died < kills && turns < 10 * kills; turns++) {
        int status, left = (int)(q_random(s) % 4);
        pid_t child = fork();
        if (child == 0) {
            trn_run_terms t = { .example = example, .n = EXAMPLES - 2, .heldout = example + EXAMPLES - 2, .n_heldout = 2, .folder = folder, .every = 1, .progress = die_at, .user = &left };
            eng_adapter *a = NULL;
            if (q_random(s) % 2) {                             /* or by the clock, in whatever it does */
                left = 1 << 20;
                struct itimerspec when = { .it_value = { 0, 1 + (long)(q_random(s) % 30000000) } };
                struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
                timer_t clock;
                if (!timer_create(CLOCK_MONOTONIC, &ev, &clock)) timer_settime(clock, 0, &when, NULL);
            }
            _exit(trn_run(model, config, first, &o, &t, "taught", "{\"made\":\"here\"}", &a, err) == 0 ? 0 : 3);
        }
        waitpid(child, &status, 0);
        CHECK(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
        died += WIFSIGNALED(status);
        if (!WIFSIGNALED(status)) clear_folder(folder);        /* it came through: once more from the beginning */
    }
    CHECK_INT(died, kills);
    CHECK_MSG(run_in(folder, &o, example, EXAMPLES, 2, &got) == 0, "%s", err);
    CHECK(same(&want, &got));
    q_buf_free(&got);
    CHECK_MSG(run_in(folder, &o, example, EXAMPLES, 2, &got) == 0, "%s", err);         /* it is at its end: the same again, at once */
    CHECK(same(&want, &got));
    int n = 0;
    char *half = q_printf("%s/checkpoint-00000009.qtr.3x0", folder);
    CHECK_INT(q_write_file_atomic(half, "half", 4, err), 0);
    q_buf_free(&got);
    CHECK_INT(run_in(folder, &o, example, EXAMPLES, 2, &got), 0);
    free(half);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)); ) n += e->d_name[0] != '.' && strcmp(e->d_name, "curve.csv") != 0;       /* nor what a kill left half written */
    if (d) closedir(d);
    CHECK_INT(n, 2);
    o.lr *= 2;
    q_buf_free(&got);
    CHECK_INT(run_in(folder, &o, example, EXAMPLES, 2, &got), Q_RANGE);
    CHECK_MSG(strstr(err, "other examples, settings") != NULL, "%s", err);
    o.lr /= 2;
    CHECK_INT(run_in(folder, &o, example, EXAMPLES - 1, 2, &got), Q_RANGE);
    q_buf_free(&want), q_buf_free(&got);
    clear_folder(folder);
    free(folder);
}

/* A damaged checkpoint is passed over for the one before it; where both are, the sentence says so. */
static void damaged(void)
{
    trn_options o = options(2);
    q_buf want, got;
    char *folder = folder_of("damaged"), *name[2] = { q_printf("%s/checkpoint-%08d.qtr", folder, STEPS), q_printf("%s/checkpoint-%08d.qtr", folder, STEPS - 1) };
    CHECK_INT(run_in(folder, &o, example, EXAMPLES, 1, &want), 0);
    static const char *const like[] = { "checkpoint-1.qtr", "checkpoint-99999999999999999999.qtr", "checkpoint--0000001.qtr", "checkpoint-00000099.qtr2" };        /* names that are none of ours */
    for (size_t i = 0; i < sizeof like / sizeof *like; i++) {
        char *path = q_printf("%s/%s", folder, like[i]);
        FILE *f = fopen(path, "w");
        CHECK(f && fclose(f) == 0);
        free(path);
    }
    CHECK_MSG(run_in(folder, &o, example, EXAMPLES, 1, &got) == 0, "%s", err);
    CHECK(same(&want, &got));
    q_buf_free(&got);
    for (int i = 0; i < 2; i++) {
        struct stat st;
        FILE *f = fopen(name[i], "r+b");
        CHECK(f != NULL && stat(name[i], &st) == 0);
        if (!f) continue;
        fseek(f, (long)(st.st_size / 2), SEEK_SET);
        int c = fgetc(f);
        fseek(f, (long)(st.st_size / 2), SEEK_SET);
        fputc(c ^ 4, f);
        fclose(f);
        if (i) {
            CHECK_INT(truncate(name[0], (off_t)1 << 40), 0);                /* longer than any of ours: not read to its end */
            CHECK_INT(run_in(folder, &o, example, EXAMPLES, 1, &got), Q_FORMAT);
            CHECK_MSG(strstr(err, "damaged") != NULL, "%s", err);
        } else {
            CHECK_MSG(run_in(folder, &o, example, EXAMPLES, 1, &got) == 0, "%s", err);
            CHECK(same(&want, &got));
        }
        q_buf_free(&got);
    }
    q_buf_free(&want);
    free(name[0]), free(name[1]);
    clear_folder(folder);
    free(folder);
}

/* A full disk ends a run with a sentence; when there is room it goes on, to the same bytes. */
static void full_disk(void)
{
    trn_options o = options(2);
    q_buf want, got;
    char *folder = folder_of("full");
    CHECK_INT(run_in(NULL, &o, example, EXAMPLES, 1, &want), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit little = { 4096, 4096 };
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &little);
        trn_run_terms t = { .example = example, .n = EXAMPLES - 1, .heldout = example + EXAMPLES - 1, .n_heldout = 1, .folder = folder, .every = 1 };
        eng_adapter *a = NULL;
        int rc = trn_run(model, config, first, &o, &t, "taught", "{\"made\":\"here\"}", &a, err);
        _exit(rc == Q_IO && strstr(err, "make room") ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_MSG(run_in(folder, &o, example, EXAMPLES, 1, &got) == 0, "%s", err);
    CHECK(same(&want, &got));
    q_buf_free(&want), q_buf_free(&got);
    clear_folder(folder);
    free(folder);
}

static bool until(void *user, const trn_progress *p) { return p->step < *(int *)user; }

/* Stopped by the caller, by the flag, and gone on with: the same bytes. */
static void stopped(void)
{
    trn_options o = options(2);
    q_buf want, got;
    char *folder = folder_of("stopped");
    int at = 5;
    atomic_bool stop = true;
    eng_adapter *a = NULL;
    trn_run_terms t = { .example = example, .n = EXAMPLES - 1, .heldout = example + EXAMPLES - 1, .n_heldout = 1, .folder = folder, .progress = until, .user = &at };
    CHECK_INT(run_in(NULL, &o, example, EXAMPLES, 1, &want), 0);
    CHECK_INT(trn_run(model, config, first, &o, &t, "taught", "{\"made\":\"here\"}", &a, err), Q_CANCEL);
    t.stop = &stop;
    CHECK_INT(trn_run(model, config, first, &o, &t, "taught", "{\"made\":\"here\"}", &a, err), Q_CANCEL);
    CHECK_INT(run_in(folder, &o, example, EXAMPLES, 1, &got), 0);
    CHECK(same(&want, &got));
    trn *x = NULL;
    double loss, again;
    CHECK_INT(trn_new(model, config, first, &o, &x, err), 0);
    CHECK_INT(trn_loss_of(x, example, 2, true, &loss, err), 0);
    trn_stop(x);
    CHECK_INT(trn_step(x, example, 2, &again, err), Q_CANCEL);
    CHECK_INT(trn_step(x, example, 2, &again, err), 0);
    CHECK(again == loss);
    trn_free(x);
    q_buf_free(&want), q_buf_free(&got);
    clear_folder(folder);
    free(folder);
}

static void preferences(void)
{
    trn_options o = options(2);
    q_buf one, two;
    o.loss = TRN_DPO;
    CHECK_MSG(run_in(NULL, &o, pair, EXAMPLES, 1, &one) == 0, "%s", err);
    o.threads = 1;
    CHECK_INT(run_in(NULL, &o, pair, EXAMPLES, 1, &two), 0);
    CHECK(same(&one, &two));
    q_buf_free(&one), q_buf_free(&two);
}

/* Each misuse, and a word of its sentence. */
static void misuse(void)
{
    static uint8_t none[TOKENS];
    static int32_t long_token[1 << 16], foreign[TOKENS] = { 0, 1 << 20 };
    static uint8_t long_mask[1 << 16];
    memset(long_mask, 1, sizeof long_mask);
    trn_example no_target = { .chosen = { token[0], none, TOKENS } }, too_long = { .chosen = { long_token, long_mask, 1 << 16 } }, other = { .chosen = { foreign, mask[0], TOKENS } },
                empty = { .chosen = { token[0], mask[0], 0 } };
    const struct { const trn_example *e; int n; enum trn_loss loss; double lr; const char *word; } all[] = {
        { example, 0, TRN_SFT, 1e-3, "no examples" }, { &no_target, 1, TRN_SFT, 1e-3, "no token as a target" }, { &too_long, 1, TRN_SFT, 1e-3, "context" },
        { &other, 1, TRN_SFT, 1e-3, "another model" }, { &empty, 1, TRN_SFT, 1e-3, "no token as a target" }, { pair, 1, TRN_SFT, 1e-3, "loss dpo" },
        { example, 1, TRN_DPO, 1e-3, "loss sft" }, { example, 1, TRN_SFT, -1, "learning rate" }, { example, 1, TRN_SFT, NAN, "learning rate" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        trn_options o = { .loss = all[i].loss, .lr = all[i].lr, .steps = 2, .threads = 1 };
        trn_run_terms t = { .example = all[i].e, .n = all[i].n };
        eng_adapter *a = NULL;
        CHECK_INT(trn_run(model, config, first, &o, &t, "x", "", &a, err), Q_RANGE);
        CHECK_MSG(strstr(err, all[i].word) != NULL, "%s", err);
    }
    trn_options o = { .lr = 10, .steps = 200, .threads = 2 };  /* a run that bursts says so, and gives nothing */
    trn_run_terms t = { .example = example, .n = 3 };
    eng_adapter *a = NULL;
    trn *x = NULL;
    double loss;
    CHECK_INT(trn_new(model, config, first, &o, &x, err), 0);
    x->low->p[0] = NAN;
    CHECK_INT(trn_step(x, t.example, 3, &loss, err), Q_ERR);
    CHECK_MSG(strstr(err, "no number") != NULL, "%s", err);
    trn_free(x);
    CHECK_INT(trn_begin(model, &(trn_shape){ .rank = 0 }, &a, err), Q_RANGE);
    CHECK_INT(trn_begin(model, &(trn_shape){ .rank = 4, .no_experts = true }, &a, err), Q_RANGE);
    CHECK_INT(trn_begin(model, &(trn_shape){ .rank = 4, .first_layer = 3, .n_layer = 97 }, &a, err), Q_RANGE);
}

/* Only the experts asked for are begun, and only they move. */
static void only_some(void)
{
    const ker_model *m = eng_model_arithmetic(model);
    uint8_t *experts = q_alloc((size_t)(m->n_layer * m->n_expert));
    eng_adapter *a = NULL, *b = NULL;
    trn *t = NULL;
    double loss;
    int n;
    for (int l = 0; l < m->n_layer; l++) experts[l * m->n_expert + 1] = 1;
    CHECK_MSG(trn_begin(model, &(trn_shape){ .experts = experts, .rank = 3, .alpha = 6 }, &a, err) == 0, "%s", err);
    trn_options o = options(2);
    CHECK_INT(trn_new(model, config, a, &o, &t, err), 0);
    for (int i = 0; i < 3; i++) CHECK_INT(trn_step(t, example, EXAMPLES, &loss, err), 0);
    CHECK_INT(trn_adapter(t, "x", "", &b, err), 0);
    const eng_low *w = eng_adapter_lows(b, &n);
    CHECK(n > 0);
    for (int i = 0; i < n; i++)
        for (int e = 0; e < w[i].n_expert; e++) {
            bool any = false;
            CHECK(w[i].n_expert == m->n_expert && w[i].scale == 2);
            for (int64_t k = 0; k < w[i].rank * w[i].n_out; k++) any |= w[i].b[e * w[i].rank * w[i].n_out + k] != 0;
            CHECK_INT(any, e == 1);
        }
    trn_free(t);
    eng_adapter_free(a), eng_adapter_free(b);
    free(experts);
}

/* A carved model: every weight of an expert is 1, and nothing flows back through the router. Against differences of the loss; and the loss
 * is the engine's. */
static double heard;
static int heard_vocab;
static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    const trn_text *x = user;
    double sum = 0;
    if (pos + 1 >= x->n || !x->mask[pos + 1]) return 0;
    for (int i = 0; i < heard_vocab; i++) sum += exp((double)logits[i]);
    heard += log(sum) - (double)logits[x->token[pos + 1]];
    return 0;
}

static int fill_from(void *user, void *dst, size_t bytes, char *e)
{
    memcpy(dst, user, bytes);
    return Q_OK;
}

/* A checked-in model as carving would leave one: routed by the scores, every weight 1. */
static void carve(const char *from, const char *to)
{
    gguf_file *f = NULL;
    CHECK_MSG(gguf_open(from, &f, err) == 0, "%s", err);
    gguf_writer *w = gguf_writer_new();
    for (int i = 0; f && i < gguf_n_kv(f); i++) {
        const gguf_kv *kv = gguf_kv_at(f, i);
        char *key = q_strndup(kv->key.p, kv->key.n);
        gguf_put_kv(w, key, kv);
        free(key);
    }
    gguf_put_f32(w, "quorum.router_scale", .5f);
    for (int i = 0; f && i < gguf_n_tensors(f); i++) {
        const gguf_tensor *t = gguf_tensor_at(f, i);
        char *name = q_strndup(t->name.p, t->name.n);
        gguf_put_tensor(w, name, t->type, t->n_dims, t->ne, fill_from, (void *)(uintptr_t)t->data);
        free(name);
    }
    CHECK_MSG(gguf_write(w, to, NULL, NULL, err) == 0, "%s", err);
    gguf_writer_free(w);
    gguf_close(f);
}

static void carved(void)
{
    char *out = folder_of("carved.gguf"), *from = util_model("glm4moe");
    carve(from, out);
    unlink(from);
    eng_model *m = open_at(out);
    eng_config *c = m ? eng_config_new(m) : NULL;
    eng_adapter *a = NULL;
    eng_session *s = NULL;
    trn *t = NULL;
    double loss, up, down;
    if (m) {
        examples_make(heard_vocab = eng_model_info(m)->n_vocab);
        CHECK(eng_model_info(m)->carved);
        CHECK_MSG(trn_begin(m, &(trn_shape){ .attention = true, .shared = true, .rank = 3 }, &a, err) == 0, "%s", err);
        trn_options o = options(2);
        CHECK_MSG(trn_new(m, c, a, &o, &t, err) == 0, "%s", err);
    }
    if (t) {
        CHECK_INT(eng_config_set(c, "kv.type", "f32", err), 0);
        CHECK_INT(eng_session_new(m, c, &s, err), 0);
        CHECK_INT(eng_session_eval(s, token[0], TOKENS, 0, NULL, 0, on_row, &example[0].chosen, err), 0);
        CHECK_INT(trn_loss_of(t, example, 1, false, &loss, err), 0);
        CHECK_MSG(fabs(heard / (TOKENS - 7) - loss) < 1e-3, "the engine has %.6f, training %.6f", heard / (TOKENS - 7), loss);
        eng_session_free(s);
        for (int i = 0; i < 3; i++) CHECK_INT(trn_step(t, example, EXAMPLES, &loss, err), 0);
        CHECK_INT(trn_loss_of(t, example, EXAMPLES, true, &loss, err), 0);
        int64_t n = t->low->n_param;
        float *g = q_alloc(sizeof *g * (size_t)n), *p = q_alloc(sizeof *p * (size_t)n);
        memcpy(g, t->low->g, sizeof *g * (size_t)n);
        memcpy(p, t->low->p, sizeof *p * (size_t)n);
        double length = lows_length(t->low), off = INFINITY;
        for (double h = 4e-3 / length; off > .02 * length * length && h > 1e-4 / length; h /= 3) {
            for (int64_t i = 0; i < n; i++) t->low->p[i] = (float)((double)p[i] + h * (double)g[i]);
            CHECK_INT(trn_loss_of(t, example, EXAMPLES, false, &up, err), 0);
            for (int64_t i = 0; i < n; i++) t->low->p[i] = (float)((double)p[i] - h * (double)g[i]);
            CHECK_INT(trn_loss_of(t, example, EXAMPLES, false, &down, err), 0);
            off = fabs((up - down) / (2 * h) - length * length);
        }
        CHECK_MSG(off <= .02 * length * length, "%.4g off %.4g", off, length * length);
        free(g), free(p);
    }
    trn_free(t);
    eng_adapter_free(a);
    eng_config_free(c);
    eng_model_free(m);
    unlink(out);
    free(out), free(from);
    examples_make(eng_model_info(model)->n_vocab);
}

/* Without betas a step is the learning rate against each gradient's sign; 0 is a value of theirs, which a negative number says. */
static void no_momentum(void)
{
    trn_options o = { .lr = 1e-3, .beta1 = -1, .beta2 = -1, .eps = 1e-30, .threads = 2 };
    trn *t = NULL;
    double loss = 0;
    int64_t moved = 0;
    CHECK_MSG(trn_new(model, config, first, &o, &t, err) == 0, "%s", err);
    if (!t) return;
    size_t n = (size_t)t->low->n_param;
    float *before = q_alloc(sizeof *before * n);
    CHECK(t->o.beta1 == 0 && t->o.beta2 == 0);
    for (int step = 0; step < 2; step++) {
        memcpy(before, t->low->p, sizeof *before * n);
        CHECK_MSG(trn_step(t, example, 1, &loss, err) == 0, "%s", err);
        for (size_t i = 0; i < n; i++) {
            double want = t->low->g[i] == 0 ? 0 : t->low->g[i] > 0 ? -1e-3 : 1e-3;
            moved += want != 0;
            CHECK_MSG(fabs((double)t->low->p[i] - (double)before[i] - want) < 1e-7, "number %zu: moved by %g, its gradient is %g", i, (double)t->low->p[i] - (double)before[i], (double)t->low->g[i]);
        }
    }
    CHECK(moved > 100);
    free(before);
    trn_free(t);
}

/* The seed is told whole, and what is allowed holds the threads' scratch too. */
static void told_and_held(void)
{
    trn_options o = options(2);
    q_buf out;
    o.seed = 0x7000000000000001;
    o.steps = 1;
    CHECK_MSG(run_in(NULL, &o, example, EXAMPLES, 0, &out) == 0, "%s", err);
    CHECK(out.len && memmem(out.p, out.len, "\"seed\":8070450532247928833", 26) != NULL);
    q_buf_free(&out);
    for (uint64_t memory = UINT64_C(1) << 20, fits = 0; memory <= UINT64_C(1) << 32; memory += memory / 4) {
        trn *t = NULL;
        double loss;
        o.memory = memory;
        CHECK_MSG(trn_new(model, config, first, &o, &t, err) == 0, "%s", err);
        int rc = trn_loss_of(t, example, EXAMPLES, true, &loss, err);
        CHECK_MSG(rc == Q_OK || (rc == Q_NOMEM && !fits && strstr(err, "are allowed")), "%s", err);
        if (rc == Q_OK) CHECK_MSG(trn_used(t).bytes <= memory, "%llu of %llu bytes", (unsigned long long)trn_used(t).bytes, (unsigned long long)memory);
        fits += rc == Q_OK;
        trn_free(t);
    }
}

int main(void)
{
    home = mkdtemp(dir);
    char *path = util_model("qwen3moe");
    if (!(model = open_at(path))) return 1;
    config = eng_config_new(model);
    first = begun(model);
    examples_make(eng_model_info(model)->n_vocab);
    RUN(same_bytes);
    RUN(little_memory);
    RUN(room_is_of_each_pass);
    RUN(learns);
    RUN(killed);
    RUN(damaged);
    RUN(no_momentum);
    RUN(told_and_held);
    RUN(full_disk);
    RUN(stopped);
    RUN(preferences);
    RUN(misuse);
    RUN(only_some);
    RUN(carved);
    eng_adapter_free(first);
    eng_config_free(config);
    eng_model_free(model);
    unlink(path);
    free(path);
    rmdir(home);
    return TEST_END();
}
