/* advice/course_data: examples read and written. */
#include "advice/course_data.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_LINE = 1 << 26, MOST_ARRAY = 1 << 28, MOST_HELDOUT_TEXT = 1 << 20, MOST_SAID = 5 };

typedef struct example { enum adv_task task; cJSON *json; } example;   /* in TRL's form; json: to be deleted */

static const char *text_of(const cJSON *j, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

static cJSON *message(const char *role, const char *content)
{
    cJSON *m = cJSON_CreateObject();
    cJSON_AddStringToObject(m, "role", role);
    cJSON_AddStringToObject(m, "content", content);
    return m;
}

/* ShareGPT's names of who speaks. */
static const char *role_of(const char *from)
{
    static const char *const role[][2] = { { "human", "user" }, { "user", "user" }, { "gpt", "assistant" }, { "assistant", "assistant" }, { "system", "system" },
                                           { "tool", "tool" } };
    for (size_t i = 0; from && i < sizeof role / sizeof *role; i++)
        if (strcmp(role[i][0], from) == 0)
            return role[i][1];
    return NULL;
}

/* A list of messages, from the API's form or ShareGPT's; *why: a reason, NULL on success. */
static cJSON *messages_of(const cJSON *list, const char **why)
{
    cJSON *out = cJSON_CreateArray();
    const cJSON *m;
    bool answered = false;
    *why = NULL;
    cJSON_ArrayForEach(m, list) {
        const char *role = role_of(text_of(m, "role") ? text_of(m, "role") : text_of(m, "from"));
        const char *content = text_of(m, "content") ? text_of(m, "content") : text_of(m, "value");
        if (!role)
            *why = N_("who speaks is none of system, user, assistant, tool");
        else if (!content)
            *why = N_("a message has no text (calls of tools are not trained on)");
        if (*why)
            break;
        answered |= strcmp(role, "assistant") == 0 && *content;
        cJSON_AddItemToArray(out, message(role, content));
    }
    if (!*why && !answered)
        *why = N_("no message is the assistant's");
    if (*why) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

/* One side of a pair: a text, a message, or a list whose last message is meant. */
static cJSON *side_of(const cJSON *v)
{
    if (cJSON_IsArray(v) && cJSON_GetArraySize(v) > 0)
        v = cJSON_GetArrayItem(v, cJSON_GetArraySize(v) - 1);
    const char *text = cJSON_IsString(v) ? v->valuestring : text_of(v, "content") ? text_of(v, "content") : text_of(v, "value");
    return text && *text ? message("assistant", text) : NULL;
}

static const char *read_pair(const cJSON *j, example *out)
{
    const cJSON *prompt = cJSON_GetObjectItemCaseSensitive(j, "prompt"), *m;
    cJSON *list = cJSON_CreateArray(), *good = side_of(cJSON_GetObjectItemCaseSensitive(j, "chosen")), *bad = side_of(cJSON_GetObjectItemCaseSensitive(j, "rejected"));
    const char *why = good && bad ? NULL : N_("chosen and rejected are not both answers");
    if (cJSON_IsString(prompt))
        cJSON_AddItemToArray(list, message("user", prompt->valuestring));
    else if (cJSON_IsArray(prompt))
        cJSON_ArrayForEach(m, prompt) {
            const char *role = role_of(text_of(m, "role") ? text_of(m, "role") : text_of(m, "from")), *content = text_of(m, "content") ? text_of(m, "content") : text_of(m, "value");
            if (!role || !content) why = N_("a message of the prompt has no text, or nobody says it");
            else cJSON_AddItemToArray(list, message(role, content));
        }
    if (!why && cJSON_GetArraySize(list) == 0)
        why = N_("the prompt is empty");
    if (!why && cJSON_Compare(good, bad, true))
        why = N_("chosen and rejected are the same");
    out->task = ADV_PAIRS;
    out->json = cJSON_CreateObject();
    cJSON_AddItemToObject(out->json, "prompt", list);
    if (good) cJSON_AddItemToObject(out->json, "chosen", good);
    if (bad) cJSON_AddItemToObject(out->json, "rejected", bad);
    return why;
}

static const char *read_alpaca(const cJSON *j, example *out)
{
    const char *ask = text_of(j, "instruction"), *with = text_of(j, "input"), *answer = text_of(j, "output");
    if (!*ask || !answer || !*answer)
        return N_("the instruction or the output is empty");
    char *user = with && *with ? q_printf("%s\n\n%s", ask, with) : q_strdup(ask);
    cJSON *list = cJSON_CreateArray();
    cJSON_AddItemToArray(list, message("user", user));
    cJSON_AddItemToArray(list, message("assistant", answer));
    out->task = ADV_TALK;
    out->json = cJSON_CreateObject();
    cJSON_AddItemToObject(out->json, "messages", list);
    free(user);
    return NULL;
}

/* NULL, or why it cannot be used (an N_() text). out->json is to be deleted in both cases. */
static const char *read_example(const cJSON *j, example *out)
{
    const char *why = NULL, *text = text_of(j, "text");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "messages");
    *out = (example){ .json = NULL };
    if (!cJSON_IsObject(j))
        return N_("it is no JSON object");
    if (!list) list = cJSON_GetObjectItemCaseSensitive(j, "conversations");
    if (cJSON_HasObjectItem(j, "chosen"))
        return read_pair(j, out);
    if (cJSON_IsArray(list)) {
        cJSON *m = messages_of(list, &why);
        if (why)
            return why;
        out->task = ADV_TALK;
        out->json = cJSON_CreateObject();
        cJSON_AddItemToObject(out->json, "messages", m);
        return NULL;
    }
    if (text_of(j, "instruction"))
        return read_alpaca(j, out);
    if (text && *text) {
        out->task = ADV_TEXT;
        out->json = cJSON_CreateObject();
        cJSON_AddStringToObject(out->json, "text", text);
        return NULL;
    }
    return N_("it has none of text, messages, conversations, instruction, prompt with chosen and rejected");
}

/* ---- files: visit is called for each example; why: it is broken ---- */
typedef struct visitor {
    int (*visit)(void *user, const char *file, long line, example *, const char *why, char *err);
    void *user;
} visitor;

static int visit_json(const visitor *v, const char *file, long line, const cJSON *j, const char *why, char *err)
{
    example e = { .json = NULL };
    if (!why)
        why = read_example(j, &e);
    int rc = v->visit(v->user, file, line, &e, why, err);
    cJSON_Delete(e.json);
    return rc;
}

static int visit_line(const visitor *v, const char *file, long line, const char *p, size_t n, char *err)
{
    const char *why = memchr(p, '\0', n) || !q_utf8_valid(p, n) ? N_("it is not UTF-8 text") : NULL, *end = NULL;
    cJSON *j = why ? NULL : cJSON_ParseWithLengthOpts(p, n, &end, false);
    if (!why && (!j || strspn(end, " \t\r\n") < (size_t)(p + n - end)))
        why = N_("it is not one line of JSON");
    int rc = visit_json(v, file, line, j, why, err);
    cJSON_Delete(j);
    return rc;
}

static int visit_array(const visitor *v, const char *file, FILE *f, char *err)
{
    q_buf text = { 0 };
    const cJSON *one;
    long i = 0;
    int rc = q_read_fd(fileno(f), file, &text, MOST_ARRAY, err);
    cJSON *j = !rc && q_utf8_valid(text.p ? text.p : "", text.len) ? cJSON_ParseWithLength(text.p, text.len) : NULL;
    if (!rc && !cJSON_IsArray(j))
        rc = q_fail(err, Q_FORMAT, _("%s begins as a JSON array and is none: is it whole?"), file);
    cJSON_ArrayForEach(one, j)
        if (!rc)
            rc = visit_json(v, file, ++i, one, NULL, err);
    cJSON_Delete(j);
    q_buf_free(&text);
    return rc;
}

static int visit_file(const visitor *v, const char *file, char *err)
{
    FILE *f = fopen(file, "r");
    if (!f)
        return q_fail(err, Q_IO, _("%s: %s"), file, strerror(errno));
    int rc = q_file_check(fileno(f), file, err), c = ' ';
    char *p = NULL;
    size_t cap = 0;
    ssize_t n;
    long line = 0;
    static const char bom[] = "\xEF\xBB\xBF";
    for (int i = 0; !rc && i < 3; i++)
        if ((c = getc(f)) != (unsigned char)bom[i]) break;
    if (!rc && c != (unsigned char)bom[2])
        rewind(f);
    while (!rc && (c = getc(f)) != EOF && strchr(" \t\r\n", c))
        line += c == '\n';
    if (!rc && c != EOF)
        ungetc(c, f);
    if (!rc && c == '[') {
        long at = ftell(f);
        if (at < 0 || fseek(f, at, SEEK_SET) != 0 || lseek(fileno(f), at, SEEK_SET) < 0)
            rc = q_fail(err, Q_IO, _("%s: %s"), file, strerror(errno));
        else
            rc = visit_array(v, file, f, err);
    } else {
        while (!rc && (n = getline(&p, &cap, f)) > 0) {
            line++;
            if (n > MOST_LINE)
                rc = q_fail(err, Q_RANGE, _("%s, line %ld is longer than 64 MiB: cut it into examples"), file, line);
            else if (strspn(p, " \t\r\n") < (size_t)n)
                rc = visit_line(v, file, line, p, (size_t)n, err);
        }
    }
    if (!rc && ferror(f))
        rc = q_fail(err, Q_IO, _("%s: %s"), file, strerror(errno));
    free(p);
    fclose(f);
    return rc;
}

/* ---- the first pass: what they are ---- */
typedef struct looking { course_data *d; enum adv_task task; long n, broken; const char *first; char why[Q_ERRLEN]; } looking;

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
            snprintf(l->why, sizeof l->why, _("%.200s, line %ld: %s"), file, line, _(why));
        return 0;
    }
    if (l->n++ == 0) {
        l->task = e->task;
        l->first = file;
    } else if (e->task != l->task)
        return q_fail(err, Q_FORMAT, _("%s, line %ld holds %s, %s held %s: train one kind at a time (a plan takes a stage for each)"), file, line, task_words(e->task), l->first,
                      task_words(l->task));
    uint64_t h = hash_of(e);
    l->d->least = h < l->d->least ? h : l->d->least;
    return 0;
}

int course_data_look(const adv_course *c, course_data *d, enum adv_task *task, char *err)
{
    looking l = { .d = d };
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
    bool only_test;                      /* a file of what is held out */
} writing;

/* axolotl and LLaMA-Factory name the prompt messages. */
static void as_trainer(const writing *w, example *e)
{
    if (w->task == ADV_PAIRS && w->c->trainer == ADV_TRL) {
        static const char *const side[] = { "chosen", "rejected" };
        for (int i = 0; i < 2; i++) {
            cJSON *list = cJSON_CreateArray();
            cJSON_AddItemToArray(list, cJSON_DetachItemFromObjectCaseSensitive(e->json, side[i]));
            cJSON_AddItemToObject(e->json, side[i], list);
        }
    } else if (w->task == ADV_PAIRS) {
        cJSON_AddItemToObject(e->json, "messages", cJSON_DetachItemFromObjectCaseSensitive(e->json, "prompt"));
    }
}

static int write_one(void *user, const char *file, long line, example *e, const char *why, char *err)
{
    writing *w = user;
    if (why) {
        if (w->out->broken++ < MOST_SAID)
            q_buf_printf(w->said, _("Left out: %s, line %ld: %s\n"), file, line, _(why));
        return 0;
    }
    if (w->only_test && e->task != w->task)
        return q_fail(err, Q_FORMAT, _("%s, line %ld holds %s, the examples are %s: hold out the same kind"), file, line, task_words(e->task), task_words(w->task));
    uint64_t h = hash_of(e);
    bool held = w->only_test || (w->d->share > 0 && (h == w->d->least || (double)(h >> 11) * 0x1p-53 < w->d->share));
    as_trainer(w, e);
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
        if (cJSON_IsObject(v)) add_text(out, text_of(v, "content"));
        else cJSON_ArrayForEach(m, v) add_text(out, text_of(m, "content"));
    }
    cJSON_Delete(j);
    return out->len > before ? 0 : q_fail(err, Q_FORMAT, _("a line holds no example: was the folder changed by hand?"));
}
