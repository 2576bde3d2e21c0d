/* advice/course_plan: stages, one after the other. The file is INI:
 *   [plan]               trainer, model, weights, machine; and every key of a stage, for those that follow
 *   [stage NAME]         any number, run in the order in which they stand; NAME: letters, digits, - and _
 *   data = a.jsonl b.jsonl   heldout = 0.05 or a file   method = lora|qlora|full   train = attention,experts,…   shard = zero2|zero3|fsdp
 *   rate epochs steps context batch accumulate rank expert-rank
 *   stop-loss = 1.8   patience = 3        when a stage ends before its epochs do
 *   order = easy-first|hard-first   judge = FILE.gguf
 *   forget = 2%   gain = 0.5%            what the checks after a stage allow and ask for, of bits a byte
 * Each stage is a folder of adv_course_write whose weights are the stage before; run.sh goes through them and writes down what is done. */
#include "advice/course_data.h"
#include "advice/course_recipe.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLAN = 1 << 20, MOST_NAME = 40 };         /* inih keeps 49 bytes of what stands in brackets, and no word of the rest */
struct adv_plan { adv_stage all, stage[ADV_STAGES]; int n; char *folder, *machine; char **text; int n_text; const char *path, *rest; int line; char *err; int rc; };

/* Strings of a plan live as long as it. */
static char *keep(adv_plan *p, char *s)
{
    p->text = q_realloc(p->text, sizeof *p->text * (size_t)(p->n_text + 1));
    return p->text[p->n_text++] = s;
}

static char *path_of(adv_plan *p, const char *name, size_t n)
{
    if (*name == '/' || *name == '~') {
        char *one = q_strndup(name, n), *home = q_home_path(one);
        free(one);
        return keep(p, home);
    }
    return keep(p, q_printf("%s/%.*s", p->folder, (int)n, name));
}

/* A folder that is there, absolute, or the name as it stands. */
static char *name_or_folder(adv_plan *p, const char *v)
{
    char *path = path_of(p, v, strlen(v)), *real_ = realpath(path, NULL);
    return keep(p, real_ ? real_ : q_strdup(v));
}

static bool whole(const char *v, long min, long max, int *out)
{
    char *end;
    long x = strtol(v, &end, 10);
    *out = (int)x;
    return end != v && !*end && x >= min && x <= max;
}

static bool real(const char *v, double max, double *out)      /* "2%" is .02 */
{
    char *end;
    *out = strtod(v, &end);
    if (end != v && strcmp(end, "%") == 0) {
        *out /= 100;
        end++;
    }
    return end != v && !*end && *out > 0 && *out <= max;
}

static int is_word(const char *what, const char *v, int *out) { return (*out = adv_course_word(what, v)) >= 0; }

static bool put_number(adv_stage *s, const char *key, const char *v, bool *known)
{
    const struct { const char *key; int *at; long max; } ints[] = {
        { "context", &s->course.context, 1 << 22 }, { "batch", &s->course.batch, 4096 }, { "accumulate", &s->course.accumulate, 4096 }, { "rank", &s->course.rank, 4096 },
        { "expert-rank", &s->course.rank_expert, 4096 }, { "steps", &s->course.steps, 100000000 }, { "patience", &s->course.patience, 1000 } };
    const struct { const char *key; double *at; double max; } reals[] = { { "rate", &s->course.rate, 1 }, { "epochs", &s->course.epochs, 1000 },
        { "stop-loss", &s->course.stop_loss, 100 }, { "forget", &s->forget, 1 }, { "gain", &s->gain, 1 } };
    *known = true;
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        if (strcmp(ints[i].key, key) == 0)
            return whole(v, 1, ints[i].max, ints[i].at);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (strcmp(reals[i].key, key) == 0)
            return real(v, reals[i].max, reals[i].at);
    return *known = false;
}

static int put_data(adv_plan *p, adv_stage *s, const char *v)
{
    for (const char *w = v; *w;) {         /* more lines of data add to it */
        size_t n = strcspn(w, " ,\t");
        if (n > 0) {
            if (s->course.n_data == ADV_STAGE_DATA)
                return q_fail(p->err, Q_RANGE, _("%s, line %d: a stage takes %d files of examples: join some"), p->path, p->line, ADV_STAGE_DATA);
            s->data[s->course.n_data++] = path_of(p, w, n);
        }
        w += n + (w[n] != '\0');
    }
    return 0;
}

/* A key of a stage, or of all. */
static int put_key(adv_plan *p, adv_stage *s, const char *key, const char *v)
{
    adv_course *c = &s->course;
    int word = 0;
    bool known, good = put_number(s, key, v, &known);
    if (known && good)
        return 0;
    if (!known) {
        known = good = true;
        if (strcmp(key, "data") == 0) return put_data(p, s, v);
        else if (strcmp(key, "heldout") == 0) c->heldout = strspn(v, "0123456789.") == strlen(v) ? keep(p, q_strdup(v)) : path_of(p, v, strlen(v));
        else if (strcmp(key, "judge") == 0) s->judge = path_of(p, v, strlen(v));
        else if (strcmp(key, "train") == 0) {
            char why[Q_ERRLEN];
            if (!(c->trained = adv_course_trained(v, why)))
                return q_fail(p->err, Q_FORMAT, _("%s, line %d: %s"), p->path, p->line, why);
        } else if (strcmp(key, "method") == 0) good = is_word(key, v, &word), c->method = (enum adv_method)word;
        else if (strcmp(key, "shard") == 0) good = is_word(key, v, &word), c->shard = (enum adv_shard)word;
        else if (strcmp(key, "order") == 0) good = is_word(key, v, &word), c->order = (enum adv_order)word;
        else if (s == &p->all && strcmp(key, "trainer") == 0) good = is_word(key, v, &word), c->trainer = (enum adv_trainer)word;
        else if (s == &p->all && strcmp(key, "model") == 0) c->model = name_or_folder(p, v);
        else if (s == &p->all && strcmp(key, "weights") == 0) c->weights = name_or_folder(p, v);
        else if (s == &p->all && strcmp(key, "machine") == 0) p->machine = keep(p, q_strdup(v));
        else known = false;
    }
    if (!known)
        return q_fail(p->err, Q_FORMAT, _("%s, line %d: there is no key \"%.40s\" here; docs/training.md lists them"), p->path, p->line, key);
    return good ? 0 : q_fail(p->err, Q_FORMAT, _("%s, line %d: %s cannot be \"%.60s\"; docs/training.md says what it takes"), p->path, p->line, key, v);
}

static adv_stage *stage_of(adv_plan *p, const char *section)
{
    bool stage = strncmp(section, "stage ", 6) == 0;
    const char *name = stage ? section + 6 : "";
    if (strcmp(section, "plan") == 0)
        return &p->all;
    size_t n = strlen(name);
    if (n > MOST_NAME) {
        q_fail(p->err, Q_RANGE, _("%s, line %d: the name of a stage has %d letters at most: give it a shorter one"), p->path, p->line, MOST_NAME);
        return NULL;
    }
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != n) {
        q_fail(p->err, Q_FORMAT, _("%s, line %d: a part of a plan is [plan] or [stage NAME], NAME of letters, digits, - and _"), p->path, p->line);
        return NULL;
    }
    if (p->n && strcmp(p->stage[p->n - 1].name, name) == 0)
        return &p->stage[p->n - 1];
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->stage[i].name, name) == 0) {
            q_fail(p->err, Q_FORMAT, _("%s, line %d: there are two stages \"%s\": give the second another name"), p->path, p->line, name);
            return NULL;
        }
    if (p->n == ADV_STAGES) {
        q_fail(p->err, Q_RANGE, _("%s, line %d: a plan has %d stages at most"), p->path, p->line, ADV_STAGES);
        return NULL;
    }
    adv_stage *s = &p->stage[p->n++];
    *s = p->all;
    s->name = keep(p, q_strdup(name));
    s->dir = keep(p, q_printf("%02d-%s", p->n, name));
    return s;
}

/* inih asks for a line at a time, so this counts them. */
static char *next_line(char *out, int size, void *user)
{
    adv_plan *p = user;
    int n = 0;
    if (!*p->rest)
        return NULL;
    while (n + 1 < size && *p->rest) {
        out[n++] = *p->rest++;
        if (out[n - 1] == '\n') break;
    }
    out[n] = '\0';
    p->line++;
    if (!p->rc && *p->rest && out[n - 1] != '\n')
        p->rc = q_fail(p->err, Q_FORMAT, _("%s, line %d is longer than %d signs: a line of data may come several times"), p->path, p->line, size - 1);
    return out;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    adv_plan *p = user;
    if (p->rc)
        return 1;
    adv_stage *s = stage_of(p, section);
    p->rc = s ? put_key(p, s, name, value) : Q_FORMAT;
    return 1;
}

/* What the words alone do not say. */
static int check(adv_plan *p)
{
    if (!p->n)
        return q_fail(p->err, Q_FORMAT, _("%s has no [stage NAME]: a plan needs one at least"), p->path);
    if (!p->all.course.model)
        return q_fail(p->err, Q_FORMAT, _("%s: [plan] names no model"), p->path);
    for (int i = 0; i < p->n; i++) {
        adv_stage *s = &p->stage[i];
        s->course.data = (const char *const *)s->data;
        s->course.trainer = p->all.course.trainer;
        if (s->course.n_data == 0)
            return q_fail(p->err, Q_FORMAT, _("%s: stage %s names no data"), p->path, s->name);
        if (s->course.order != ADV_AS_IS && !s->judge)
            return q_fail(p->err, Q_FORMAT, _("%s: stage %s is ordered by difficulty and names no judge: judge = FILE.gguf, whose losses say what is difficult"), p->path, s->name);
    }
    return 0;
}

int adv_plan_read(const char *path, adv_plan **out, char *err)
{
    q_buf text = { 0 };
    int rc = q_read_input(path, &text, MOST_PLAN, err);
    *out = NULL;
    if (!rc && (!text.p || memchr(text.p, '\0', text.len) || !q_utf8_valid(text.p, text.len)))
        rc = q_fail(err, Q_FORMAT, _("%s is empty or not UTF-8 text"), path);
    if (rc) {
        q_buf_free(&text);
        return rc;
    }
    adv_plan *p = q_alloc(sizeof *p);
    const char *slash = strrchr(path, '/');
    p->path = path;
    p->err = err;
    p->folder = slash ? q_strndup(path, (size_t)(slash - path)) : q_strdup(".");
    p->rest = text.p;
    int bad = ini_parse_stream(next_line, p, on_key, p);
    if (!p->rc && bad > 0)
        p->rc = q_fail(err, Q_FORMAT, _("%s, line %d is not NAME = VALUE"), path, bad);
    if (!p->rc)
        p->rc = check(p);
    q_buf_free(&text);
    rc = p->rc;
    if (rc) adv_plan_free(p);
    else *out = p;
    return rc;
}

void adv_plan_free(adv_plan *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n_text; i++)
        free(p->text[i]);
    free(p->text);
    free(p->folder);
    free(p);
}

int adv_plan_stages(const adv_plan *p, const adv_stage **out)
{
    *out = p->stage;
    return p->n;
}

const char *adv_plan_machine(const adv_plan *p) { return p->machine; }

void adv_plan_on(adv_plan *p, const adv_machine *m)
{
    for (int i = 0; i < p->n; i++)
        p->stage[i].course.machine = m;
}

/* ---- run.sh ---- */
static void run_sh(const adv_plan *p, q_buf *out)
{
    bool checks = false;
    for (int i = 0; i < p->n; i++)
        checks |= p->stage[i].forget > 0 || p->stage[i].gain > 0;
    q_buf_puts(out, "#!/bin/sh\n");
    yaml_note(out, _("Goes through the stages. What is done stands in the file state and is not done again; a stage that was interrupted goes on from its last\n"
                     "checkpoint. Between stages quorum compares the model before and after on held-out texts."));
    q_buf_puts(out, "set -eu\ncd \"$(dirname \"$0\")\"\ntouch state\n"
                    "once() {\n    name=$1\n    shift\n    if grep -qxF \"$name\" state; then return 0; fi\n    echo \"== $name\"\n    \"$@\"\n"
                    "    { cat state; echo \"$name\"; } > state.part\n    mv state.part state\n}\n"
                    "check() {\n    out=$1 before=$2 after=$3 text=$4\n    shift 4\n    \"${QUORUM:-quorum}\" compare -m \"$before\" --other \"$after\" -f \"$text\" --json > \"$out.part\"\n"
                    "    mv \"$out.part\" \"$out\"\n    python3 gate.py \"$out\" --name \"$text\" \"$@\"\n}\n");
    if (checks)
        q_buf_printf(out, "base() {\n    : \"${LLAMA_CPP:?%s}\"\n    : \"${BASE:?%s}\"\n    rm -f base.part\n"
                          "    python3 \"$LLAMA_CPP/convert_hf_to_gguf.py\" \"$BASE\" --outfile base.part --outtype bf16\n    mv base.part base.gguf\n}\n",
                     _("names the folder of llama.cpp, which has convert_hf_to_gguf.py"), _("names the folder of the model that the plan begins with"));
    if (checks)
        q_buf_puts(out, "once 'base gguf' base\n");
    for (int i = 0; i < p->n; i++) {
        const adv_stage *s = &p->stage[i];
        const char *before = i ? p->stage[i - 1].dir : NULL;
        static const char *const step[] = { "train", "merge", "gguf" };
        for (int k = 0; k < (checks ? 3 : 2); k++)
            q_buf_printf(out, "once '%s %s' ./%s/run.sh %s\n", s->dir, step[k], s->dir, step[k]);
        if (s->gain > 0)
            q_buf_printf(out, "once '%s learnt' check %s/learnt.json %s%s %s/model.gguf %s/heldout.txt --least %g\n", s->dir, s->dir, before ? before : "base.gguf",
                         before ? "/model.gguf" : "", s->dir, s->dir, s->gain);
        for (int k = 0; k < i && s->forget > 0; k++)
            q_buf_printf(out, "once '%s keeps %s' check %s/keeps-%s.json %s/model.gguf %s/model.gguf %s/heldout.txt --most %g\n", s->dir, p->stage[k].dir, s->dir, p->stage[k].name,
                         before, s->dir, p->stage[k].dir, s->forget);
    }
    q_buf_printf(out, "echo \"%s\"\n", _("all stages are done"));
}

static void plan_readme(const adv_plan *p, const adv_coursed *d, q_buf *out)
{
    q_buf_printf(out, "# %s\n\n    BASE=%s LLAMA_CPP=~/llama.cpp ./run.sh\n\n", _("A plan of stages"), _("FOLDER_OF_THE_MODEL"));
    q_buf_puts(out, _("run.sh trains each stage on what the one before left, and checks it. What is done stands in the file state; take a line out of it to do\n"
                      "that step again. Each folder has its own README.md.\n\n"));
    q_buf_printf(out, "| %s | %s | %s | %s |\n|---|---|---|---|\n", _("stage"), _("examples"), _("held out"), _("memory"));
    for (int i = 0; i < p->n; i++) {
        char size[32];
        q_buf_printf(out, "| [%s](%s/README.md) | %ld | %ld | %s |\n", p->stage[i].name, p->stage[i].dir, d[i].examples, d[i].heldout, q_bytes_brief(d[i].load.total, size));
    }
}

static int check_heldout(const adv_plan *p, const adv_coursed *d, char *err)
{
    for (int i = 0; i < p->n; i++) {
        bool later = false;
        for (int k = i + 1; k < p->n; k++)
            later |= p->stage[k].forget > 0;
        if (d[i].heldout == 0 && (later || p->stage[i].gain > 0))
            return q_fail(err, Q_RANGE, _("stage %s holds nothing out, and a check compares models on what it holds out: heldout = 0.05"), p->stage[i].name);
    }
    return 0;
}

/* All stages are looked at before anything is written: a folder that is half there would be in the way of the next try. */
static int look_ahead(const adv_plan *p, char *err)
{
    int rc = 0;
    for (int i = 0; !rc && i < p->n; i++) {
        char why[Q_ERRLEN];
        course_recipe r;
        course_data d;
        rc = course_resolve(&p->stage[i].course, &r, why);
        if (!rc) rc = course_data_look(&r.c, &d, &r.task, why);
        if (rc) q_fail(err, rc, _("stage %s: %s"), p->stage[i].name, why);
    }
    return rc;
}

int adv_plan_write(const adv_plan *p, const char *dir, bool force, adv_coursed *out, char *err)
{
    q_buf text = { 0 };
    memset(out, 0, sizeof *out * (size_t)p->n);
    int rc = look_ahead(p, err);
    bool anew = false;
    if (!rc) rc = course_folder(dir, force, &anew, err);
    bool begun = !rc;
    for (int i = 0; !rc && i < p->n; i++) {
        adv_course c = p->stage[i].course;
        char *sub = q_printf("%s/%s", dir, p->stage[i].dir), why[Q_ERRLEN];
        char *weights = i ? q_printf("../%s/%s", p->stage[i - 1].dir, p->stage[i - 1].course.method == ADV_FULL ? "output" : "merged") : NULL;
        if (weights) c.weights = weights;
        rc = adv_course_write(&c, sub, force, &out[i], why);
        if (rc) q_fail(err, rc, _("stage %s: %s"), p->stage[i].name, why);
        free(sub);
        free(weights);
    }
    if (!rc) rc = check_heldout(p, out, err);
    if (!rc) rc = course_put_shipped(dir, "gate.py", err);
    plan_readme(p, out, &text);
    if (!rc) rc = course_put(dir, "README.md", &text, false, err);
    q_buf_clear(&text);
    run_sh(p, &text);
    if (!rc) rc = course_put(dir, "run.sh", &text, true, err);
    for (int i = 0; rc && begun && anew && i < p->n; i++) {
        char *sub = q_printf("%s/%s", dir, p->stage[i].dir);
        course_leave(sub);
        free(sub);
    }
    if (rc && begun && anew) course_leave(dir);
    q_buf_free(&text);
    return rc;
}
