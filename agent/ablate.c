/* agent/ablate: /ablate modules: what each module adds to answers that were accepted, of this conversation or of a file: the same tokens
 * with it and without it, beside the modules that are on, by lab/added.c. Its knobs act with it. Nothing of a budget: what has no room in the
 * prompt can be measured too. Engine thread, in caches of its own. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "base/say.h"
#include "advice/examples.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWERS_MOST = 400, TOKENS_MOST = 20000, PIECE_BYTES = 2000, FILE_MOST = 16 << 20 };

typedef struct turn_of { enum prov_role who; char *text; } turn_of;
typedef struct answer_of {               /* one that is judged */
    turn_of *v; int n;                   /* what stands before it, without a system text */
    char *system;                        /* its conversation's own; NULL: chat.system */
    bool bare;                           /* a text without turns: it stands behind the modules as it is */
    int32_t *id; int n_id;               /* its tokens */
} answer_of;
typedef struct answers { struct eng_cache *beside; int most; answer_of *v; int n, tokens, left; } answers;      /* most: tokens that the model knows; left: beyond what is measured, or longer than that */

static void answers_free(answers *l)
{
    for (int i = 0; i < l->n; i++) {
        for (int k = 0; k < l->v[i].n; k++)
            free(l->v[i].v[k].text);
        free(l->v[i].v);
        free(l->v[i].system);
        free(l->v[i].id);
    }
    free(l->v);
}

/* The turns are copied. Q_OK also where there is no room for it. */
static int add(answers *l, const turn_of *v, int n, const char *system, bool bare, const char *text, size_t bytes, char *err)
{
    answer_of x = { .bare = bare, .system = system ? q_strdup(system) : NULL };
    x.n_id = lab_tokens(l->beside, text, bytes, &x.id, err);
    int rc = x.n_id < 0 ? x.n_id : Q_OK;
    size_t before = 0;
    for (int i = 0; i < n; i++)
        before += strlen(v[i].text);
    bool fits = rc == Q_OK && x.n_id > 0 && l->n < ANSWERS_MOST && l->tokens + x.n_id <= TOKENS_MOST && (l->most < 1 || x.n_id + (int)(before / 3) < l->most * 3 / 4);
    if (!fits) {
        l->left += rc == Q_OK && x.n_id > 0;
        free(x.id);
        free(x.system);
        return rc;
    }
    x.v = q_alloc(sizeof *x.v * (size_t)(n + 1));
    for (int i = 0; i < n; i++)
        x.v[x.n++] = (turn_of){ v[i].who, q_strdup(v[i].text) };
    l->tokens += x.n_id;
    l->v = q_realloc(l->v, sizeof *l->v * (size_t)(l->n + 1));
    l->v[l->n++] = x;
    return Q_OK;
}

/* ---- of this conversation: answers that are not marked bad, or only those that are marked good, where any is ---- */
static int of_branch(agt *a, answers *out, char *err)
{
    const mem_messages *path = &a->chat.path;
    turn_of *v = q_alloc(sizeof *v * (size_t)(path->n + 1));
    int rc = Q_OK, n = 0, mark, best = -1;
    for (int i = 0; i < path->n && rc == Q_OK; i++)
        if ((rc = mem_answer_marked(a->store, path->v[i].id, &mark, err)) == Q_OK && mark > 0)
            best = 1;
    for (int i = 0; i < path->n && rc == Q_OK; i++) {
        const mem_message *x = &path->v[i];
        if (x->role == MEM_ASSISTANT && *x->text && (rc = mem_answer_marked(a->store, x->id, &mark, err)) == Q_OK && (best > 0 ? mark > 0 : mark == 0))
            rc = add(out, v, n, NULL, false, x->text, strlen(x->text), err);
        if (*x->text && (x->role == MEM_USER || x->role == MEM_ASSISTANT))
            v[n++] = (turn_of){ x->role == MEM_USER ? PROV_USER : PROV_ASSISTANT, x->text };
    }
    free(v);
    return rc == Q_OK && !out->n ? q_fail(err, Q_RANGE, _("this conversation has no answer yet to measure modules by: \"on FILE\" takes one of examples, or of text")) : rc;
}

/* ---- of a file: examples in any of their forms, or plain text ---- */
static int of_example(const adv_example *x, answers *out, char *err)
{
    turn_of *v = q_alloc(sizeof *v * (size_t)(x->n + 1));
    const char *system = NULL;
    int n = 0, rc = Q_OK;
    for (int i = 0; i < x->n && rc == Q_OK; i++) {
        const adv_said *s = &x->v[i];
        if (s->who == ADV_SAYS_SYSTEM)
            system = s->text;
        else if (s->who == ADV_SAYS_ASSISTANT && *s->text)
            rc = add(out, v, n, system ? system : "", x->bare, s->text, strlen(s->text), err);
        if (s->who == ADV_SAYS_USER || (s->who == ADV_SAYS_ASSISTANT && *s->text))
            v[n++] = (turn_of){ s->who == ADV_SAYS_USER ? PROV_USER : PROV_ASSISTANT, s->text };
    }
    free(v);
    return rc;
}

static int of_text(const char *path, answers *out, char *err)
{
    q_buf b = { 0 };
    int rc = q_read_file(path, &b, FILE_MOST, err);
    if (rc == Q_OK && !q_utf8_valid(b.p ? b.p : "", b.len))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), path);
    for (size_t at = 0, n; at < b.len && rc == Q_OK; at += n) {
        n = b.len - at;
        if (n > PIECE_BYTES) {           /* up to a line's end, where one is near */
            n = q_utf8_whole(b.p + at, PIECE_BYTES);
            for (size_t k = n; k > PIECE_BYTES / 2; k--)
                if (b.p[at + k - 1] == '\n') {
                    n = k;
                    break;
                }
        }
        rc = add(out, NULL, 0, "", true, b.p + at, n, err);
    }
    q_buf_free(&b);
    return rc;
}

static int of_file(const char *name, answers *out, char *err)
{
    char *path = q_home_path(name), why[Q_ERRLEN];
    enum adv_form form;
    adv_reader *r = NULL;
    adv_example x = { 0 };
    int rc = adv_form_of(path, &form, why), got;
    if (rc == Q_FORMAT)
        rc = of_text(path, out, err);
    else if (rc < 0)
        rc = q_fail(err, rc, "%s", why);
    else if ((rc = adv_reader_open(path, ADV_AS_FOUND, &r, err)) == Q_OK) {
        while (rc == Q_OK && ((got = adv_reader_next(r, &x, NULL, why)) > 0 || got == Q_FORMAT))
            if (got > 0) {
                rc = of_example(&x, out, err);
                adv_example_free(&x);
            }
        adv_reader_close(r);
    }
    if (rc == Q_OK && !out->n)
        rc = q_fail(err, Q_RANGE, _("%s has no answers to measure modules by: examples (JSONL of messages), or plain text"), path);
    free(path);
    return rc;
}

/* ---- one side ---- */
/* Ids of what stands before the answer, with these modules' text. */
static int prompt_ids(agt *a, const answer_of *x, const char *more, int32_t **ids, char *err)
{
    q_buf own = { 0 }, text = { 0 };
    const char *base = x->system ? x->system : settings_value(&a->settings, "chat.system", &own);
    char *system = q_printf("%s%s%s", base, *base && *more ? "\n\n" : "", more);
    prov_message *v = q_alloc(sizeof *v * (size_t)(x->n + 1));
    prov_request r = { .message = v };
    if (*system)
        v[r.n_message++] = (prov_message){ PROV_SYSTEM, system, strlen(system), NULL };
    for (int i = 0; i < x->n; i++)
        v[r.n_message++] = (prov_message){ x->v[i].who, x->v[i].text, strlen(x->v[i].text), NULL };
    if (x->bare || a->base) {            /* as plain prefixes */
        q_buf_printf(&text, "%s%s", more, *more ? "\n\n" : "\n");
        for (int i = 0; i < x->n; i++)
            q_buf_puts(&text, x->v[i].text);
        r = (prov_request){ .raw = text.p, .n_raw = text.len };
    }
    int n = prov_ids(a->seat.who, &r, ids, err);
    free(v);
    free(system);
    q_buf_free(&own);
    q_buf_free(&text);
    return n == 0 ? q_fail(err, Q_RANGE, _("this model's prompt has no token before an answer: it cannot be foretold")) : n;
}

typedef struct side { double *logp; char *text, *config; int prompt; } side;      /* prompt: tokens of all prompts */

static void side_free(side *s)
{
    free(s->logp);
    free(s->text);
    free(s->config);
}

static int measure(agt *a, struct eng_cache *beside, const answers *l, lab_reply *r, bool yardstick, const lab_terms *terms, side *s, char *err)
{
    int rc = Q_OK;
    s->logp = q_alloc(sizeof *s->logp * (size_t)(l->tokens + 1));
    memset(r, 0, sizeof *r * (size_t)l->n);
    for (int i = 0; i < l->n && rc == Q_OK; i++) {
        int32_t *ids = NULL;
        int n = prompt_ids(a, &l->v[i], s->text, &ids, err);
        rc = n < 0 ? n : Q_OK;
        r[i] = (lab_reply){ ids, n < 0 ? 0 : n, l->v[i].id, l->v[i].n_id };
        s->prompt += n < 0 ? 0 : n;
    }
    if (rc == Q_OK)
        rc = lab_replies(beside, s->config, yardstick, r, l->n, terms, s->logp, err);
    for (int i = 0; i < l->n; i++)
        free((void *)r[i].prompt);
    return rc;
}

/* ---- all of them ---- */
typedef struct found { const module *m; lab_added added; int tokens; } found;      /* tokens: of its text in each prompt */

static int by_worth(const void *x, const void *y)
{
    const found *a = x, *b = y;
    return a->added.dlogp.mean != b->added.dlogp.mean ? (a->added.dlogp.mean < b->added.dlogp.mean) - (a->added.dlogp.mean > b->added.dlogp.mean) : strcmp(a->m->name, b->m->name);
}

static const char *verdict(const lab_added *v)
{
    return !v->enough ? _("too few tokens to tell") : v->verdict > 0 ? _("answers are likelier with it") : v->verdict < 0 ? _("answers are less likely with it")
                                                                                                                          : _("no difference above noise");
}

static void keep_found(agt *a, const found *f)
{
    char *key = q_printf("module.did.%s", f->m->name);
    char *value = f->added.verdict ? q_printf("%s %+.3f (%+.3f…%+.3f) · %d tok", f->m->hash, f->added.dlogp.mean, f->added.dlogp.low, f->added.dlogp.high, f->tokens)
                                   : q_printf("%s ±0 (%+.3f…%+.3f) · %d tok", f->m->hash, f->added.dlogp.low, f->added.dlogp.high, f->tokens);
    settings_put(&a->settings, key, value);
    desk_post(&a->desk, &job_setting, 0, 0, key, value);
    free(key);
    free(value);
}

static void page(agt *a, found *f, int n, const answers *l)
{
    q_buf b = { 0 };
    cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "modules");
    qsort(f, (size_t)n, sizeof *f, by_worth);
    q_buf_say(&b, _("%-16s %6s  %-29s\n"), _("module"), _("tokens"), _("nats a token (95%)"));
    for (int i = 0; i < n; i++) {
        const lab_added *v = &f[i].added;
        q_buf_say(&b, "%-16s %6d  %+.4f (%+.4f to %+.4f)  %s\n", f[i].m->name, f[i].tokens, v->dlogp.mean, v->dlogp.low, v->dlogp.high, verdict(v));
        cJSON *one = cJSON_CreateObject(), *ci = cJSON_CreateArray();
        cJSON_AddStringToObject(one, "name", f[i].m->name);
        cJSON_AddStringToObject(one, "hash", f[i].m->hash);
        cJSON_AddNumberToObject(one, "tokens", f[i].tokens);
        cJSON_AddNumberToObject(one, "dlogp", v->dlogp.mean);
        cJSON_AddItemToArray(ci, cJSON_CreateNumber(v->dlogp.low));
        cJSON_AddItemToArray(ci, cJSON_CreateNumber(v->dlogp.high));
        cJSON_AddItemToObject(one, "ci", ci);
        cJSON_AddNumberToObject(one, "logp_without", v->logp[0]);
        cJSON_AddNumberToObject(one, "logp_with", v->logp[1]);
        cJSON_AddStringToObject(one, "verdict", !v->enough ? "too few" : v->verdict > 0 ? "likelier" : v->verdict < 0 ? "less likely" : "no difference");
        cJSON_AddItemToArray(list, one);
        keep_found(a, &f[i]);
    }
    const lab_added *v = &f[0].added;
    cJSON_AddNumberToObject(data, "answers", v->answers);
    cJSON_AddNumberToObject(data, "answer_tokens", v->n);
    cJSON_AddNumberToObject(data, "blocks", v->blocks);
    cJSON_AddNumberToObject(data, "noise", v->noise);
    cJSON_AddNumberToObject(data, "left_out", l->left);
    q_buf_say(&b, ngettext("\n%d token of %d answers", "\n%d tokens of %d answers", (unsigned long)v->n), v->n, v->answers);
    q_buf_say(&b, v->by_answer ? _(", intervals over answers") : _(", intervals over %d pieces of them"), v->blocks);
    q_buf_say(&b, _("; a difference is above noise beyond ±%.4f (the cache in another number format).\n"), v->noise);
    if (l->left)
        q_buf_say(&b, ngettext("%d answer is left out: too long, or beyond what is measured at once\n", "%d answers are left out: too long, or beyond what is measured at once\n",
                               (unsigned long)l->left), l->left);
    q_buf_puts(&b, _("Each: the log-probability of the answers with it less without it, its knobs and its adapter too, beside the modules that are on. It says what these answers gain, not others.\n"));
    note_page(&a->events, "/ablate", q_buf_take(&b), cJSON_PrintUnformatted(data));
    cJSON_Delete(data);
}

static int each(agt *a, struct eng_cache *beside, module *v, bool *on, const bool *wanted, int n, const answers *l, char *err)
{
    measuring work = measure_begin(a, "/ablate");
    lab_terms terms = { .go_on = measure_go_on, .user = &work };
    lab_reply *r = q_alloc(sizeof *r * (size_t)(l->n + 1));
    side now = { .text = modules_text(v, on, n), .config = modules_configured(a, v, on, n) }, yard = { .text = q_strdup(now.text), .config = q_strdup(now.config) };
    found *f = q_alloc(sizeof *f * (size_t)(n + 1));
    int count = 0, rc = measure(a, beside, l, r, false, &terms, &now, err);
    if (rc == Q_OK)
        rc = measure(a, beside, l, r, true, &terms, &yard, err);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        if (!wanted[i])
            continue;
        bool was = on[i];
        on[i] = !was;
        side other = { .text = modules_text(v, on, n), .config = modules_configured(a, v, on, n) };
        on[i] = was;
        rc = measure(a, beside, l, r, false, &terms, &other, err);
        for (int k = 0; k < l->n; k++)
            r[k].n = l->v[k].n_id;
        if (rc == Q_OK) {
            f[count].added = lab_added_of(was ? other.logp : now.logp, was ? now.logp : other.logp, now.logp, yard.logp, r, l->n);
            f[count].m = &v[i];
            f[count++].tokens = (was ? now.prompt - other.prompt : other.prompt - now.prompt) / l->n;
        }
        side_free(&other);
    }
    measure_end(&work);
    if (rc == Q_OK)
        page(a, f, count, l);
    side_free(&now);
    side_free(&yard);
    free(f);
    free(r);
    return rc;
}

static bool is_word(const char *w, const char *en, const char *ru) { return strcmp(w, en) == 0 || strcmp(w, ru) == 0; }

typedef struct asked { char *line, *name[MODULES_MOST], *on; int n; } asked;
static int read_line(const char *text, asked *q, char *err)
{
    char *at = NULL, *first;
    *q = (asked){ .line = q_strdup(text ? text : "") };
    first = strtok_r(q->line, " \t\n", &at);
    bool good = first && is_word(first, "modules", "модули"), on = false;
    for (char *p = good ? strtok_r(NULL, " \t\n,", &at) : NULL; p && !(on = measure_on(p, at, &q->on)) && q->n < MODULES_MOST; p = strtok_r(NULL, " \t\n,", &at))
        q->name[q->n++] = p;
    return good && (!on || q->on) ? Q_OK : q_fail(err, Q_RANGE, _("/ablate modules [NAME …] on FILE|conversation: what each module adds; without names those that are on, or all"));
}

/* Those that are named; else those that are on, else all that can be read. */
static int choose(const asked *q, const module *v, const bool *on, int n, bool *wanted, char *err)
{
    bool any = false;
    int count = 0;
    for (int i = 0; i < n; i++)
        any |= on[i] && !v[i].problem;
    for (int k = 0; k < q->n; k++) {
        int i = 0;
        while (i < n && strcmp(v[i].name, q->name[k]) != 0)
            i++;
        if (i == n || v[i].problem)
            return i == n ? q_fail(err, Q_NOTFOUND, _("there is no module %s: /module lists them, /module new %s makes one"), q->name[k], q->name[k])
                          : q_fail(err, Q_FORMAT, "%s", v[i].problem);
        wanted[i] = true;
    }
    for (int i = 0; i < n; i++) {
        wanted[i] |= !q->n && !v[i].problem && (!any || on[i]);
        count += wanted[i];
    }
    return count ? Q_OK : q_fail(err, Q_NOTFOUND, _("there is no module to measure: /module new NAME makes one"));
}

static void ablate(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    asked q;
    answers l = { 0 };
    module *v = NULL;
    bool *on = NULL, *wanted = NULL;
    int n = 0, over, rc = read_line(j->text, &q, err);
    struct eng_cache *beside = NULL;
    if (rc == Q_OK && !(beside = measure_cache(a, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK && (rc = modules_all(a, &v, &on, &n, &over, err)) == Q_OK) {
        wanted = q_alloc((size_t)n + 1);
        rc = choose(&q, v, on, n, wanted, err);
    }
    if (rc == Q_OK) {
        bool here = !q.on || is_word(q.on, "conversation", "беседа") || strcmp(q.on, "беседе") == 0;
        l.beside = beside;
        l.most = prov_about(a->seat.who)->n_ctx_train;
        rc = here ? of_branch(a, &l, err) : of_file(q.on, &l, err);
    }
    for (int i = 0; i < n && rc == Q_OK; i++)
        on[i] &= !v[i].problem;
    if (rc == Q_OK) {
        modadapters_ready(a, v, on, n);
        modadapters_ready(a, v, wanted, n);
        rc = each(a, beside, v, on, wanted, n, &l, err);
        modadapters_leave(a);
    }
    if (rc == Q_OK)
        modules_publish(a, true);
    else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    answers_free(&l);
    modules_free(v, n);
    free(on);
    free(wanted);
    free(q.line);
}

const job_row job_ablate = { .name = "ablate", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = ablate };
