/* agent/experiment: /experiment: one change against the present configuration on the same text (measure.c), then a question
 * whether it is to stay; the record is lab/experiment.c's. Nothing is changed before the yes. The engine's thread measures,
 * the quick lane lists and carries out the yes. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/talk.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void ask(agt *a, const lab_experiment *e)
{
    char *set = q_printf("%s=%s", e->knob, e->value);
    const char *is = !e->different ? _("no difference above noise") : e->dlogp.low > 0 ? _("it gives this text more probability")
                   : e->dlogp.high < 0 ? _("it gives this text less probability") : _("different, which way is within chance");
    asks_put(a, q_printf(_("Keep %s %s (it was %s)? %s."), e->knob, e->value, e->was, is), &job_experiment_kept, 0, e->number, set);
    free(set);
}

static void experiment(agt *a, const job *j)
{
    char err[Q_ERRLEN], *line = q_strdup(j->text), *on = NULL, *at = NULL, *change = NULL, *now = NULL;
    int n = 0;
    for (char *p = strtok_r(line, " \t\n", &at); p && !measure_on(p, at, &on); p = strtok_r(NULL, " \t\n", &at), n++)
        change = n ? change : p;
    struct eng_cache *beside = NULL;
    q_buf text = { 0 };
    lab_experiment e = { .number = 0 };
    int rc = n == 1 ? Q_OK : q_fail(err, Q_RANGE, _("/experiment KNOB=VALUE [on FILE|last] tries one change; /experiment list, /experiment show NUMBER"));
    if (rc == Q_OK && !(beside = measure_cache(a, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK)
        rc = measure_text(a, on, &text, err);
    if (rc == Q_OK) {
        measuring work = measure_begin(a, "/experiment");
        now = prov_config_json(a->seat.cfg);
        lab_trial t = { .now = now, .change = change, .on = on ? on : "conversation", .model = prov_about(a->seat.who)->name };
        rc = lab_experiment_beside(beside, &t, text.p, text.len, &(lab_terms){ .go_on = measure_go_on, .user = &work }, &e, err);
        measure_end(&work);
    }
    if (rc == Q_OK) {
        q_buf page = { 0 };
        q_buf_puts(&page, e.said);
        if (e.number)
            q_buf_say(&page, _("\nexperiment %d, written down; /experiment list names them all\n"), e.number);
        note_page(&a->events, "/experiment", q_buf_take(&page), q_strdup(e.json));
        if (e.problem)
            note(&a->events, AGT_WARN, _("the experiment could not be written down: %s"), e.problem);
        ask(a, &e);
    } else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    lab_experiment_free(&e);
    q_buf_free(&text);
    free(now);
    free(line);
}

/* Was it tried with the model that is loaded now? One that could not be written down says nothing of that. */
static bool still_here(agt *a, int number, char *err)
{
    lab_experiment e = { .number = 0 };
    if (!number)
        return true;
    int rc = lab_experiment_read(number, &e, err);
    pthread_mutex_lock(&a->shown.mu);
    const char *now = a->shown.full_name ? a->shown.full_name : "";
    if (rc == Q_OK && strcmp(e.model, now) != 0)
        rc = q_fail(err, Q_RANGE, _("experiment %d was of %s, which is not loaded now: nothing was changed"), number, e.model);
    pthread_mutex_unlock(&a->shown.mu);
    lab_experiment_free(&e);
    return rc != Q_RANGE;                /* a record that is gone keeps nobody from the change */
}

static void kept(agt *a, const job *j)
{
    char err[Q_ERRLEN], *name = q_strdup(j->text), *value = strchr(name, '=');
    if (!still_here(a, (int)j->number, err)) {
        note(&a->events, AGT_WARN, "%s", err);
        free(name);
        return;
    }
    *value = 0;
    desk_edit(&a->desk, EDIT_SET, 0, name, value + 1);
    if (j->number && lab_experiment_keep((int)j->number, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    free(name);
}

/* ---- what was tried ---- */
static void day(int64_t ms, char out[24])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (!ms || !localtime_r(&t, &tm) || !strftime(out, 24, "%Y-%m-%d %H:%M", &tm))
        strcpy(out, "?");
}

static void list(agt *a)
{
    char err[Q_ERRLEN], when[24];
    lab_experiment *all;
    int n;
    q_buf b = { 0 }, data = { 0 };
    if (lab_experiment_list(&all, &n, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    for (int i = 0; i < n; i++) {
        const lab_experiment *e = &all[i];
        if (e->problem) {
            q_buf_say(&b, "%4d  %s\n", e->number, e->problem);
            continue;
        }
        day(e->when_ms, when);
        q_buf_printf(&data, "%s%s", data.len ? "," : "", e->json);
        q_buf_say(&b, "%4d  %s  %s %s → %s  %s\n", e->number, when, e->knob, e->was, e->value, e->unfinished ? _("not finished") : e->kept ? _("kept") : _("not kept"));
        if (e->unfinished)
            continue;
        if (e->different)
            q_buf_say(&b, _("      %+.3g nats a token (95%%: %.3g to %.3g) · %s · %s\n"), e->dlogp.mean, e->dlogp.low, e->dlogp.high, e->on, e->model);
        else
            q_buf_say(&b, _("      no difference above noise · %s · %s\n"), e->on, e->model);
    }
    if (n == 0)
        note(&a->events, AGT_INFO, _("nothing was tried yet: /experiment experts.k=4 tries one change"));
    else
        note_page(&a->events, "/experiment", q_buf_take(&b), q_printf("[%s]", data.p ? data.p : ""));
    q_buf_free(&b);
    q_buf_free(&data);
    lab_experiments_free(all, n);
}

static void show(agt *a, int number)
{
    char err[Q_ERRLEN], when[24];
    lab_experiment e;
    q_buf b = { 0 };
    if (lab_experiment_read(number, &e, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    day(e.when_ms, when);
    q_buf_say(&b, "%d  %s  %s · %s\n", e.number, when, e.model, e.on);
    q_buf_say(&b, _("baseline  %s\n\n"), e.before);
    q_say_clean(&b, e.said, strlen(e.said), false);
    q_buf_say(&b, "%s\n", e.unfinished ? _("not finished: it was cut off, or another program is at it") : e.kept ? _("kept") : _("not kept"));
    note_page(&a->events, "/experiment", q_buf_take(&b), q_strdup(e.json));
    lab_experiment_free(&e);
}

static void experiments(agt *a, const job *j)
{
    const char *text = j->text ? j->text : "", *number = text + strcspn(text, " ");
    bool shows = strncmp(text, "show", 4) == 0 || strncmp(text, "показать", strlen("показать")) == 0;
    char *end;
    long n = strtol(number, &end, 10);
    if (!shows)
        list(a);
    else if (n < 1 || n > LAB_EXPERIMENTS || *end)
        note(&a->events, AGT_ERROR, _("/experiment KNOB=VALUE [on FILE|last] tries one change; /experiment list, /experiment show NUMBER"));
    else
        show(a, (int)n);
}

const job_row job_experiment = { .name = "experiment", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = experiment };
const job_row job_experiment_kept = { .name = "experiment kept", .lane = LANE_QUICK, .end = END_CARRIED, .run = kept };
const job_row job_experiments = { .name = "experiments", .lane = LANE_QUICK, .end = END_DROPPED, .run = experiments };
