/* teach/report: the proof of what a run did: held-out answers before and after, text that must not suffer, the other sets, routing; each difference
 * with the interval of lab's comparison, so that what is within chance is called so. See parts.h. */
#include "base/say.h"
#include "teach/parts.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TASKS = 3, TASK_TALKS = 40, FEW = 3 };

typedef struct measured {
    char *name;
    int tokens, blocks;
    double loss[2];                      /* nats a token, before and after */
    lab_interval gain;                   /* of probability, nats a token: above 0 it became likelier */
    double overlap; int layer; double least;     /* experts that run before and after, mean over layers; the layer with the smallest */
} measured;

static measured measured_of(const char *name, const lab_compared *c)
{
    measured m = { .name = q_strdup(name), .tokens = c->n, .blocks = c->blocks, .loss = { -c->logp[0], -c->logp[1] }, .gain = c->dlogp, .layer = -1, .least = 2 };
    for (int l = 0; l < c->n_layer; l++) {
        m.overlap += c->overlap[l] / c->n_layer;
        if (c->overlap[l] < m.least) {
            m.least = c->overlap[l];
            m.layer = c->first_layer + l;
        }
    }
    return m;
}

static bool sure(const measured *m) { return m->blocks >= FEW && (m->gain.low > 0 || m->gain.high < 0); }

static int talks_measured(const proof *p, const char *name, const trn_example *e, int n, measured *out, char *err)
{
    lab_talk *t = q_alloc(sizeof *t * (size_t)(n + 1));
    lab_compared c;
    for (int i = 0; i < n; i++)
        t[i] = (lab_talk){ e[i].chosen.token, e[i].chosen.mask, e[i].chosen.n };
    int rc = lab_compare_talks(p->m, p->before, p->after, t, n, &(lab_terms){ .go_on = p->go, .user = p->user, .stop = p->stop }, &c, err);
    if (rc == Q_OK) {
        *out = measured_of(name, &c);
        lab_compared_free(&c);
    }
    free(t);
    return rc;
}

static int general_measured(const proof *p, measured *out, char *err)
{
    lab_compared c;
    int rc = lab_compare(p->m, p->before, p->after, p->general->p, p->general->len, &(lab_terms){ .go_on = p->go, .user = p->user, .stop = p->stop }, &c, err);
    if (rc == Q_OK) {
        *out = measured_of("", &c);
        lab_compared_free(&c);
    }
    return rc;
}

static bool same_text(const trn_text *a, const trn_text *b) { return a->n == b->n && memcmp(a->token, b->token, sizeof *a->token * (size_t)a->n) == 0; }

/* This run has it, too: taught, or held out and judged already. */
static bool of_this_run(const proof *p, const trn_example *e)
{
    const lessons *d = p->data;
    bool is = false;
    for (int i = 0; i < d->n_train && !is; i++)
        is = same_text(&d->train[i].chosen, &e->chosen);
    for (int i = 0; i < d->n_held && !is; i++)
        is = same_text(&d->held[i].chosen, &e->chosen);
    return is;
}

/* At most TASK_TALKS of them that are no part of this run; how many. */
static int others(const proof *p, const trn_example *v, int n, trn_example out[TASK_TALKS])
{
    int kept = 0;
    for (int i = 0; i < n && kept < TASK_TALKS; i++)
        if (!of_this_run(p, &v[i]))
            out[kept++] = v[i];
    return kept;
}

/* The other sets: what they teach must not suffer either. */
static int tasks_measured(const proof *p, measured *out, int *n, char *err)
{
    char *folder = shelf_of(NULL, NULL);
    DIR *d = opendir(folder);
    int rc = Q_OK;
    *n = 0;
    for (struct dirent *e; d && rc == Q_OK && *n < MOST_TASKS && (e = readdir(d));) {
        q_buf lines = { 0 };
        lessons t = { 0 };
        char why[Q_ERRLEN];
        if (tch_is_name(e->d_name) && strcmp(e->d_name, p->name) != 0 && set_lines(p->store, e->d_name, &lines, why) == Q_OK &&
            tokens_read(p->m, &lines, TOKENS_SFT, eng_model_info(p->m)->n_ctx_train, true, &t, why) == Q_OK && t.n_train + t.n_held > 0) {
            trn_example v[TASK_TALKS];
            int many = others(p, t.n_held >= FEW ? t.held : t.train, t.n_held >= FEW ? t.n_held : t.n_train, v);
            if (many)
                rc = talks_measured(p, e->d_name, v, many, &out[*n], err);
            *n += many && rc == Q_OK;
        }
        tokens_free(&t);
        q_buf_free(&lines);
    }
    if (d)
        closedir(d);
    free(folder);
    return rc;
}

/* How much of the held-out traffic the taught experts get, before and after. */
static int routing_measured(const proof *p, double share[2], char *err)
{
    share[0] = share[1] = NAN;
    if (!p->chosen || !p->data->n_held)
        return Q_OK;
    lab_talk *t = q_alloc(sizeof *t * (size_t)(p->data->n_held + 1));
    int rc = Q_OK;
    for (int i = 0; i < p->data->n_held; i++)
        t[i] = (lab_talk){ p->data->held[i].chosen.token, p->data->held[i].chosen.mask, p->data->held[i].chosen.n };
    for (int side = 0; side < 2 && rc == Q_OK; side++) {
        traffic f;
        rc = route_texts(p->m, side ? p->after : p->before, t, p->data->n_held, p->go, p->user, p->stop, &f, err);
        if (rc == Q_OK) {
            share[side] = traffic_share(&f, p->chosen);
            traffic_free(&f);
        }
    }
    free(t);
    return rc;
}

/* ---- words ---- */
static double percent(const measured *m) { return m->loss[0] > 0 ? 100 * (m->loss[1] - m->loss[0]) / m->loss[0] : 0; }

static void numbers_say(const measured *m, q_buf *out)
{
    q_buf_say(out, _("loss %.3f before, %.3f after (%+.1f%%); probability %+.3f nats a token (95%%: %+.3f to %+.3f)"), m->loss[0], m->loss[1], percent(m), m->gain.mean, m->gain.low, m->gain.high);
}

static void held_say(const measured *m, q_buf *out)
{
    if (!m->name) {
        q_buf_say(out, _("Held out: nothing (proof=off), so nobody can say whether it was learnt or known by heart\n"));
        return;
    }
    q_buf_say(out, _("Held out, never trained on: %d conversations, %d tokens of answers\n  "), m->blocks, m->tokens);
    numbers_say(m, out);
    q_buf_puts(out, "\n  ");
    if (m->blocks < FEW)
        q_buf_say(out, _("so few conversations tell nothing of chance: add examples before you believe it\n"));
    else
        q_buf_say(out, "%s\n", m->gain.low > 0 ? _("it was learnt: held-out answers became likelier") : m->gain.high < 0 ? _("it did harm: held-out answers became less likely; /teach undo takes it back")
                                                                                                                 : _("nothing is learnt above noise"));
}

static void other_say(const measured *m, q_buf *out)
{
    q_buf_puts(out, "  ");
    numbers_say(m, out);
    q_buf_puts(out, "\n  ");
    q_buf_say(out, "%s\n", m->blocks < FEW ? _("so short a text tells nothing of chance") : !sure(m) ? _("no difference above noise: nothing is forgotten there") : m->gain.high < 0 ? _("it suffered: that much is forgotten")
                                                                                                                                                           : _("it became likelier too"));
}

static void routing_say(const measured *held, const double share[2], q_buf *out)
{
    if (held->layer < 0)
        return;
    q_buf_say(out, _("\nRouting on the held-out answers (routers are the same, what reaches them is not)\n  experts that run before and after: %.1f%% of those that run; least in layer %d: %.1f%%\n"),
              100 * held->overlap, held->layer, 100 * held->least);
    if (!isnan(share[0]))
        q_buf_say(out, _("  the taught experts' share: %.1f%% before, %.1f%% after\n"), 100 * share[0], 100 * share[1]);
}

static void cost_say(const proof *p, q_buf *out)
{
    char bytes[32];
    q_buf_say(out, _("\nIt took %.0f s at %.0f tokens a second and %s beside the model"), shelf_number(p->run, "seconds", 0), shelf_number(p->run, "tokens_s", 0),
              q_bytes_words((uint64_t)shelf_number(p->run, "bytes", 0), bytes));
    if (p->chosen)
        q_buf_say(out, _("; experts taught: %d of %d"), p->state->chosen, p->state->routed);
    q_buf_putc(out, '\n');
}

static cJSON *measured_json(const measured *m)
{
    cJSON *j = cJSON_CreateObject(), *g;
    if (*m->name)
        cJSON_AddStringToObject(j, "set", m->name);
    cJSON_AddNumberToObject(j, "blocks", m->blocks);
    cJSON_AddNumberToObject(j, "tokens", m->tokens);
    cJSON_AddNumberToObject(j, "before", m->loss[0]);
    cJSON_AddNumberToObject(j, "after", m->loss[1]);
    cJSON_AddNumberToObject(j, "percent", percent(m));
    g = cJSON_AddObjectToObject(j, "nats");
    cJSON_AddNumberToObject(g, "mean", m->gain.mean);
    cJSON_AddNumberToObject(g, "low", m->gain.low);
    cJSON_AddNumberToObject(g, "high", m->gain.high);
    cJSON_AddBoolToObject(j, "sure", sure(m));
    return j;
}

static char *as_json(const proof *p, const measured *held, const measured *general, const measured *task, int n, const double share[2])
{
    static const char *const copied[] = { "model", "model_id", "data_sha256", "settings", "chosen", "chosen_n", "distance", "p", "seconds", "tokens_s", "bytes", "params", "train", "heldout" };
    cJSON *j = cJSON_CreateObject(), *tasks, *r;
    cJSON_AddStringToObject(j, "name", p->name);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(p->run, copied[i]);
        if (v)
            cJSON_AddItemToObject(j, strcmp(copied[i], "heldout") == 0 ? "n_heldout" : copied[i], cJSON_Duplicate(v, true));
    }
    if (held->name)
        cJSON_AddBoolToObject(j, "learnt", sure(held) && held->gain.low > 0);
    else
        cJSON_AddNullToObject(j, "learnt");
    cJSON_AddItemToObject(j, "heldout", held->name ? measured_json(held) : cJSON_CreateNull());
    cJSON_AddItemToObject(j, "general", measured_json(general));
    tasks = cJSON_AddArrayToObject(j, "tasks");
    for (int i = 0; i < n; i++)
        cJSON_AddItemToArray(tasks, measured_json(&task[i]));
    if (held->layer >= 0) {
        r = cJSON_AddObjectToObject(j, "routing");
        cJSON_AddNumberToObject(r, "overlap", held->overlap);
        cJSON_AddNumberToObject(r, "least_layer", held->layer);
        cJSON_AddNumberToObject(r, "least", held->least);
        if (!isnan(share[0])) {
            cJSON_AddNumberToObject(r, "share_before", share[0]);
            cJSON_AddNumberToObject(r, "share_after", share[1]);
        }
    }
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

int report_make(const proof *p, char **text, char **json, char *err)
{
    measured held = { .layer = -1 }, general = { .name = NULL }, task[MOST_TASKS];
    double share[2];
    int n = 0;
    *text = *json = NULL;
    int rc = p->data->n_held ? talks_measured(p, "", p->data->held, p->data->n_held, &held, err) : Q_OK;
    if (rc == Q_OK)
        rc = general_measured(p, &general, err);
    if (rc == Q_OK)
        rc = tasks_measured(p, task, &n, err);
    if (rc == Q_OK)
        rc = routing_measured(p, share, err);
    if (rc == Q_OK) {
        q_buf b = { 0 };
        q_buf_say(&b, _("%s, taught to %s\n\n"), p->name, shelf_text(p->run, "model"));
        held_say(&held, &b);
        q_buf_say(&b, _("\nText that must not suffer: %d tokens, %d paragraphs or pieces\n"), general.tokens, general.blocks);
        other_say(&general, &b);
        for (int i = 0; i < n; i++) {
            q_buf_say(&b, _("\nThe set %s, of which nothing was taught now: %d conversations\n"), task[i].name, task[i].blocks);
            other_say(&task[i], &b);
        }
        routing_say(&held, share, &b);
        cost_say(p, &b);
        *text = q_buf_take(&b);
        *json = as_json(p, &held, &general, task, n, share);
    }
    free(held.name);
    free(general.name);
    for (int i = 0; i < n; i++)
        free(task[i].name);
    return rc;
}
