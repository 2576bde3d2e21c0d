/* advice/course_data: examples read and written. */
#include "advice/course_data.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_HELDOUT_TEXT = 1 << 20, MOST_SAID = 5 };

typedef struct example { enum adv_task task; cJSON *json; unsigned lost; } example;    /* json: as advice/examples.h writes it; to be deleted */

/* visit is called for each example of a file; why: it is broken, e NULL. */
typedef struct visitor { int (*visit)(void *user, const char *file, long line, example *e, const char *why, char *err); void *user; } visitor;

static int visit_one(const visitor *v, const char *file, long line, const adv_example *x, char *err)
{
    example e = { .task = x->n_other > 0 ? ADV_PAIRS : x->bare ? ADV_TEXT : ADV_TALK };
    static const enum adv_form form[] = { ADV_AS_COMPLETION, ADV_AS_MESSAGES, ADV_AS_PAIRS };
    q_buf text = { 0 };
    char why[Q_ERRLEN] = "";
    int rc = adv_example_write(x, form[e.task], true, &text, &e.lost, why);
    if (rc == Q_OK && !(e.json = cJSON_ParseWithLength(text.p, text.len)))
        rc = q_fail(why, Q_RANGE, _("it cannot be written as JSON"));
    q_buf_free(&text);
    char said[2 * Q_ERRLEN];
    snprintf(said, sizeof said, "%s:%ld: %s", file, line, why);
    rc = rc == Q_OK ? v->visit(v->user, file, line, &e, NULL, err) : v->visit(v->user, file, line, NULL, said, err);
    cJSON_Delete(e.json);
    return rc;
}

static int visit_file(const visitor *v, const char *file, char *err)
{
    adv_reader *r = NULL;
    char why[Q_ERRLEN];
    int rc = adv_reader_open(file, ADV_AS_FOUND, &r, err), got = 1;
    while (rc == Q_OK && got != 0) {
        adv_example x = { .n = 0 };
        got = adv_reader_next(r, &x, NULL, why);
        if (got == 1)
            rc = visit_one(v, file, (long)adv_reader_line(r), &x, err);
        else if (got == Q_FORMAT)
            rc = v->visit(v->user, file, (long)adv_reader_line(r), NULL, why, err);
        else if (got < 0)
            rc = q_fail(err, got, "%s", why);
        adv_example_free(&x);
    }
    adv_reader_close(r);
    return rc;
}

/* ---- what a trainer takes ---- */
static const char *text_of(const cJSON *j, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

/* LLaMA-Factory reads a message's role and content alone: a thought stands in the text, as its templates have it. */
static void think_aloud(cJSON *m)
{
    const char *thought = text_of(m, "reasoning_content"), *text = text_of(m, "content");
    if (!thought) return;
    char *both = q_printf("<think>\n%s\n</think>\n\n%s", thought, text ? text : "");
    cJSON_ReplaceItemInObjectCaseSensitive(m, "content", cJSON_CreateString(both));
    cJSON_DeleteItemFromObjectCaseSensitive(m, "reasoning_content");
    free(both);
}

/* It takes a question and an answer in turn, of pairs up to the question, and skips any other example with a line in its log (its
 * SharegptDatasetConverter, src/llamafactory/data/converter.py, commit 02e2fb3). NULL, or why it would. */
static const char *in_turn(cJSON *list, bool pairs)
{
    int turn = 0;
    cJSON *m;
    cJSON_ArrayForEach(m, list) {
        const char *role = text_of(m, "role");
        if (m == list->child && role && strcmp(role, "system") == 0) continue;
        if (!role || strcmp(role, "tool") == 0 || cJSON_GetObjectItemCaseSensitive(m, "tool_calls"))
            return _("it calls tools, which only the folders for TRL and axolotl can hold");
        if (strcmp(role, turn % 2 ? "assistant" : "user") != 0)
            return _("questions and answers do not take turns, so LLaMA-Factory would skip it (quorum export --convert openchat joins what one speaker says in a row)");
        think_aloud(m);
        turn++;
    }
    return turn % 2 == pairs ? NULL : _("it does not end where LLaMA-Factory expects it to, with an answer, and would be skipped");
}

/* TRL's form is the one that examples are written in; axolotl and LLaMA-Factory name the prompt messages and take one answer a side. NULL, or why
 * the example cannot be used. */
static const char *as_trainer(const adv_course *c, example *e)
{
    static const char *const side[] = { "chosen", "rejected" };
    bool factory = c->trainer == ADV_LLAMAFACTORY;
    if (c->trainer == ADV_TRL || (e->task != ADV_PAIRS && !(factory && e->task == ADV_TALK)))
        return NULL;
    if (e->task == ADV_TALK)
        return in_turn(cJSON_GetObjectItemCaseSensitive(e->json, "messages"), false);
    cJSON_AddItemToObject(e->json, "messages", cJSON_DetachItemFromObjectCaseSensitive(e->json, "prompt"));
    for (int i = 0; i < 2; i++) {
        cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(e->json, side[i]), *one = cJSON_GetArraySize(list) == 1 ? cJSON_DetachItemFromArray(list, 0) : NULL;
        cJSON_Delete(list);
        if (!one)
            return _("an answer of several messages, which TRL alone takes");
        cJSON_AddItemToObject(e->json, side[i], one);
        if (factory && cJSON_GetObjectItemCaseSensitive(one, "tool_calls"))
            return _("it calls tools, which only the folders for TRL and axolotl can hold");
        if (factory)
            think_aloud(one);
    }
    return factory ? in_turn(cJSON_GetObjectItemCaseSensitive(e->json, "messages"), true) : NULL;
}

/* ---- the first pass: what they are ---- */
typedef struct looking { const adv_course *c; course_data *d; enum adv_task task; long n, broken; const char *first; char why[Q_ERRLEN]; } looking;

static uint64_t hash_of(const example *e)
{
    char *s = cJSON_PrintUnformatted(e->json);
    uint64_t h = s ? q_hash64(s, strlen(s), 0x68656c64) : 0;
    cJSON_free(s);
    return h;
}

static const char *task_words(enum adv_task t)
{
    return t == ADV_TEXT ? _("texts") : t == ADV_TALK ? _("conversations") : _("preference pairs");
}

static int look(void *user, const char *file, long line, example *e, const char *why, char *err)
{
    looking *l = user;
    if (why) {
        if (!l->broken++)
            snprintf(l->why, sizeof l->why, "%s", why);
        return 0;
    }
    if (!l->first) {
        l->task = e->task;
        l->first = file;
    } else if (e->task != l->task)
        return q_fail(err, Q_FORMAT, _("%s, line %ld holds %s, %s held %s: train one kind at a time (a plan takes a stage for each)"), file, line, task_words(e->task), l->first,
                      task_words(l->task));
    uint64_t h = hash_of(e);
    if ((why = as_trainer(l->c, e)) != NULL) {
        if (!l->broken++)
            snprintf(l->why, sizeof l->why, "%s:%ld: %s", file, line, why);
        return 0;
    }
    l->n++;
    l->d->least = h < l->d->least ? h : l->d->least;
    return 0;
}

int course_data_look(const adv_course *c, course_data *d, enum adv_task *task, char *err)
{
    looking l = { .c = c, .d = d };
    char *end = NULL;
    *d = (course_data){ .least = UINT64_MAX, .share = .05 };
    if (c->n_data < 1)
        return q_fail(err, Q_RANGE, _("--data names no file of examples"));
    if (c->heldout) {
        d->share = strtod(c->heldout, &end);
        if (end == c->heldout || *end) d->file = c->heldout, d->share = 0;
        else if (!(d->share >= 0 && d->share <= .5))
            return q_fail(err, Q_RANGE, _("--heldout is a share from 0 to 0.5, or a file of examples"));
    }
    int rc = 0;
    for (int i = 0; !rc && i < c->n_data; i++)
        rc = visit_file(&(visitor){ look, &l }, c->data[i], err);
    if (!rc && l.n == 0)
        rc = l.broken ? q_fail(err, Q_FORMAT, _("no line can be used; %s"), l.why) : q_fail(err, Q_FORMAT, _("%s holds no examples"), c->data[0]);
    *task = l.task;
    return rc;
}

/* ---- the second: written ---- */
typedef struct writing {
    const adv_course *c; const course_data *d; enum adv_task task; adv_coursed *out; q_buf *said;
    FILE *train, *test, *text;
    size_t text_bytes;
    long lost[ADV_LOSSES];
    bool only_test;                      /* a file of what is held out */
} writing;

static void left_out(writing *w, const char *why)
{
    if (w->out->broken++ < MOST_SAID)
        q_buf_printf(w->said, _("Left out: %s\n"), why);
}

static int write_one(void *user, const char *file, long line, example *e, const char *why, char *err)
{
    writing *w = user;
    char text[Q_ERRLEN];
    if (why) {
        left_out(w, why);
        return 0;
    }
    for (int i = 0; i < ADV_LOSSES; i++)
        w->lost[i] += e->lost >> i & 1;
    if (w->only_test && e->task != w->task)
        return q_fail(err, Q_FORMAT, _("%s, line %ld holds %s, the examples are %s: hold out the same kind"), file, line, task_words(e->task), task_words(w->task));
    uint64_t h = hash_of(e);
    bool held = w->only_test || (w->d->share > 0 && (h == w->d->least || (double)(h >> 11) * 0x1p-53 < w->d->share));
    if ((why = as_trainer(w->c, e)) != NULL) {
        snprintf(text, sizeof text, "%s:%ld: %s", file, line, why);
        left_out(w, text);
        return 0;
    }
    char *s = cJSON_PrintUnformatted(e->json);
    int rc = s && fprintf(held ? w->test : w->train, "%s\n", s) > 0 ? 0 : q_fail(err, Q_IO, _("an example cannot be written: %s"), strerror(errno));
    if (!rc && held && w->text_bytes < MOST_HELDOUT_TEXT) {
        q_buf plain = { 0 };
        rc = adv_course_text(s, strlen(s), &plain, err);
        if (!rc && fprintf(w->text, "%s\n\n", plain.p) < 0)
            rc = q_fail(err, Q_IO, _("an example cannot be written: %s"), strerror(errno));
        w->text_bytes += plain.len;
        q_buf_free(&plain);
    }
    cJSON_free(s);
    *(held ? &w->out->heldout : &w->out->examples) += 1;
    return rc;
}

static FILE *open_part(const char *dir, const char *name, char *err)
{
    char *path = q_printf("%s/%s.part", dir, name);
    FILE *f = fopen(path, "w");
    if (!f)
        q_fail(err, Q_IO, _("%s: %s"), path, strerror(errno));
    free(path);
    return f;
}

static int close_part(const char *dir, const char *name, FILE *f, int rc, char *err)
{
    char *part = q_printf("%s/%s.part", dir, name), *path = q_printf("%s/%s", dir, name);
    bool bad = f && (ferror(f) | (fflush(f) != 0) | (fsync(fileno(f)) != 0));
    bad |= f && fclose(f) != 0;
    if (!rc && (bad || !f || rename(part, path) != 0))
        rc = q_fail(err, Q_IO, _("%s: %s"), path, strerror(errno));
    if (rc)
        remove(part);
    free(part);
    free(path);
    return rc;
}

int course_data_write(const adv_course *c, const course_data *d, enum adv_task task, const char *dir, adv_coursed *out, q_buf *said, char *err)
{
    writing w = { .c = c, .d = d, .task = task, .out = out, .said = said };
    int rc = 0;
    w.train = open_part(dir, "data/train.jsonl", err);
    w.test = w.train ? open_part(dir, "data/test.jsonl", err) : NULL;
    w.text = w.test ? open_part(dir, "heldout.txt", err) : NULL;
    if (!w.text)
        rc = Q_IO;
    for (int i = 0; !rc && i < c->n_data; i++)
        rc = visit_file(&(visitor){ write_one, &w }, c->data[i], err);
    w.only_test = true;
    if (!rc && d->file)
        rc = visit_file(&(visitor){ write_one, &w }, d->file, err);
    if (!rc && out->examples == 0)
        rc = q_fail(err, Q_FORMAT, _("one example is too few: with one held out none is left to train on"));
    if (out->broken > MOST_SAID)
        q_buf_printf(said, _("And %ld more lines were left out.\n"), out->broken - MOST_SAID);
    for (int i = 0; i < ADV_LOSSES; i++)
        if (w.lost[i])
            q_buf_printf(said, _("%ld examples lost %s.\n"), w.lost[i], adv_loss_words((enum adv_loss)i));
    rc = close_part(dir, "data/train.jsonl", w.train, rc, err);
    rc = close_part(dir, "data/test.jsonl", w.test, rc, err);
    return close_part(dir, "heldout.txt", w.text, rc, err);
}

/* ---- an example as plain text ---- */
static void add_text(q_buf *out, const char *text)
{
    if (!text)
        return;
    if (out->len) q_buf_puts(out, "\n\n");
    q_buf_puts(out, text);
}

int adv_course_text(const char *line, size_t n, q_buf *out, char *err)
{
    cJSON *j = cJSON_ParseWithLength(line, n);
    const cJSON *m;
    size_t before = out->len;
    add_text(out, text_of(j, "text"));
    static const char *const list[] = { "prompt", "messages", "chosen" };
    for (int i = 0; i < 3; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, list[i]);
        if (cJSON_IsString(v)) add_text(out, v->valuestring);
        else if (cJSON_IsObject(v)) add_text(out, text_of(v, "content"));
        else cJSON_ArrayForEach(m, v) add_text(out, text_of(m, "content"));
    }
    cJSON_Delete(j);
    return out->len > before ? 0 : q_fail(err, Q_FORMAT, _("a line holds no example: was the folder changed by hand?"));
}
