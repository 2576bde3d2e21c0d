/* agent/brains: /brain: configurations under a name, kept as files (lab/brain.c). Quick lane; what is loaded becomes one edit of
 * the configuration, so that F9 takes it back. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/talk.h"
#include "base/knob.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

void brain_over(prov_config *c, const char *lines, q_buf *said)
{
    static const char *const stays[] = { "context.length", "threads", "sampler.seed", "state.memory" };
    char err[Q_ERRLEN];
    int n;
    const q_knob *row = prov_knobs(&n);
    for (int i = 0; i < n; i++) {
        bool keep = row[i].effect == Q_EFFECT_FIXED;
        for (size_t k = 0; k < sizeof stays / sizeof *stays; k++)
            keep |= strcmp(row[i].name, stays[k]) == 0;
        if (!keep)
            prov_config_set(c, row[i].name, "default", err);     /* a row that has nothing to act on refuses, and is as it was */
    }
    while (*lines) {
        size_t len = strcspn(lines, "\n");
        char *one = q_strndup(lines, len), *eq = strchr(one, '=');
        if (eq) {
            *eq = 0;
            if (prov_config_set(c, one, eq + 1, err) < 0 && said)
                q_buf_printf(said, "%s\n", err);
        }
        free(one);
        lines += len + (lines[len] == '\n');
    }
}

static void lines_of(const lab_brain *b, q_buf *out)
{
    q_buf_puts(out, "");
    for (int i = 0; i < b->n; i++)
        q_buf_printf(out, "%s=%s\n", b->knob[i], b->value[i]);
}

static prov_config *present(agt *a, char **model)        /* NULL: no model is loaded; said */
{
    pthread_mutex_lock(&a->shown.mu);
    prov_config *c = a->shown.cfg ? prov_config_copy(a->shown.cfg) : NULL;
    if (model)
        *model = q_strdup(a->shown.full_name ? a->shown.full_name : "");
    pthread_mutex_unlock(&a->shown.mu);
    if (!c)
        note(&a->events, AGT_ERROR, _("no model is loaded, so its knobs have no values yet: run quorum model fetch, or /model FILE"));
    return c;
}

/* ---- acts ---- */
static void list(agt *a)
{
    char err[Q_ERRLEN];
    lab_brain *all;
    int n;
    q_buf b = { 0 };
    if (lab_brain_list(&all, &n, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "brains");
    for (int i = 0; i < n; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", all[i].name);
        cJSON *set = cJSON_AddObjectToObject(one, "set");
        q_buf_say(&b, "%-12s", all[i].name);
        for (int k = 0; k < all[i].n; k++) {
            q_buf_say(&b, "%s%s %s", k ? " · " : " ", all[i].knob[k], all[i].value[k]);
            cJSON_AddStringToObject(set, all[i].knob[k], all[i].value[k]);
        }
        if (all[i].problem)
            cJSON_AddStringToObject(one, "problem", all[i].problem);
        cJSON_AddItemToArray(list, one);
        q_buf_say(&b, "\n");
        const char *under = all[i].problem ? all[i].problem : all[i].note;
        if (*under)
            q_buf_say(&b, "             %s\n", under);
        else if (*all[i].model)
            q_buf_say(&b, _("             saved with %s\n"), all[i].model);
    }
    lab_brains_free(all, n);
    q_buf_say(&b, _("\n/brain load NAME takes one, /brain save NAME keeps the present configuration, F9 goes back.\n"));
    note_page(&a->events, "/brain", q_buf_take(&b), cJSON_PrintUnformatted(data));
    cJSON_Delete(data);
}

static void load(agt *a, const char *name)
{
    char err[Q_ERRLEN], *model = NULL;
    lab_brain b;
    prov_config *c = present(a, &model);
    if (c && lab_brain_read(name, &b, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else if (c) {
        q_buf lines = { 0 };
        lines_of(&b, &lines);
        if (*b.model && strcmp(b.model, model) != 0)
            note(&a->events, AGT_INFO, _("%s was saved with another model, %s: what does nothing here is named, the rest is taken"), name, b.model);
        desk_edit(&a->desk, EDIT_BRAIN, 0, name, lines.p);
        q_buf_free(&lines);
        lab_brain_free(&b);
    }
    prov_config_free(c);
    free(model);
}

static void save(agt *a, const char *name)
{
    char err[Q_ERRLEN], *model = NULL;
    prov_config *c = present(a, &model);
    char *json = c ? prov_config_json(c) : NULL;
    if (c && lab_brain_save(name, json, model, false, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else if (c)
        note(&a->events, AGT_INFO, _("the present configuration is kept as %s; /brain load %s brings it back"), name, name);
    free(json);
    free(model);
    prov_config_free(c);
}

/* The second: NULL is the present one. */
static void diff(agt *a, const char *first, const char *second)
{
    char err[Q_ERRLEN];
    prov_config *now = present(a, NULL), *side[2] = { NULL, NULL };
    const char *const name[2] = { first, second };
    int rc = now ? Q_OK : Q_ERR;
    for (int i = 0; i < 2 && rc == Q_OK; i++) {
        lab_brain b = { 0 };
        q_buf lines = { 0 };
        side[i] = prov_config_copy(now);
        if (name[i] && (rc = lab_brain_read(name[i], &b, err)) < 0)
            note(&a->events, AGT_ERROR, "%s", err);
        else if (name[i]) {
            lines_of(&b, &lines);
            brain_over(side[i], lines.p, NULL);
        }
        lab_brain_free(&b);
        q_buf_free(&lines);
    }
    if (rc == Q_OK) {
        q_buf out = { 0 }, x = { 0 }, y = { 0 }, left = { 0 }, right = { 0 };
        int n, differ = 0;
        const q_knob *row = prov_knobs(&n);
        cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "differ");
        cJSON_AddStringToObject(data, "first", first);
        cJSON_AddStringToObject(data, "second", second ? second : "now");
        q_buf_say(&out, "%-28s %-20s %s\n", "", first, second ? second : _("now"));
        for (int i = 0; i < n; i++) {
            const char *p = prov_config_get(side[0], row[i].name, &x), *q = prov_config_get(side[1], row[i].name, &y);
            if (strcmp(p, q) == 0)
                continue;
            q_buf_clear(&left);
            q_buf_clear(&right);
            q_knob_brief(&left, p);
            q_knob_brief(&right, q);
            q_buf_say(&out, "%-28s %-20s %s\n", row[i].name, left.len ? left.p : "", right.len ? right.p : "");
            cJSON *one = cJSON_CreateObject();
            cJSON_AddStringToObject(one, "knob", row[i].name);
            cJSON_AddStringToObject(one, "first", p);
            cJSON_AddStringToObject(one, "second", q);
            cJSON_AddItemToArray(list, one);
            differ++;
        }
        if (differ)
            note_page(&a->events, "/brain diff", q_buf_take(&out), cJSON_PrintUnformatted(data));
        else
            note(&a->events, AGT_INFO, _("no knob differs between them on this model"));
        cJSON_Delete(data);
        q_buf_free(&out);
        q_buf_free(&x);
        q_buf_free(&y);
        q_buf_free(&left);
        q_buf_free(&right);
    }
    prov_config_free(side[0]);
    prov_config_free(side[1]);
    prov_config_free(now);
}

static void told(agt *a, int rc, const char *err, const char *fmt, const char *name)
{
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, fmt, name);
}

static bool wants_name(const char *verb)
{
    static const char *const verbs[] = { "save", "load", "diff", "rename", "delete" };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verb, verbs[i]) == 0)
            return true;
    return false;
}

static void brain(agt *a, const job *j)
{
    char err[Q_ERRLEN], *text = q_strdup(j->text ? j->text : ""), *word[3] = { NULL, NULL, NULL }, *at = NULL;
    int n = 0;
    for (char *p = strtok_r(text, " \t\n", &at); p && n < 3; p = strtok_r(NULL, " \t\n", &at))
        word[n++] = p;
    const char *verb = n ? word[0] : "list";
    if (strcmp(verb, "list") == 0 || strcmp(verb, "список") == 0)
        list(a);
    else if (n >= 2 && (strcmp(verb, "load") == 0 || strcmp(verb, "взять") == 0))
        load(a, word[1]);
    else if (n >= 2 && (strcmp(verb, "save") == 0 || strcmp(verb, "сохранить") == 0))
        save(a, word[1]);
    else if (n >= 2 && strcmp(verb, "diff") == 0)
        diff(a, word[1], word[2]);
    else if (n == 3 && strcmp(verb, "rename") == 0)
        told(a, lab_brain_rename(word[1], word[2], err), err, _("it is called %s now"), word[2]);
    else if (n >= 2 && strcmp(verb, "delete") == 0 && lab_brain_taken(word[1]))
        asks_put(a, q_printf(_("Delete the brain %s for good?"), word[1]), &job_brain_deleted, 0, 0, word[1]);
    else if (n >= 2 && strcmp(verb, "delete") == 0)
        told(a, lab_brain_delete(word[1], err), err, "%s", word[1]);      /* it says why not */
    else if (n == 1 && !wants_name(verb))
        load(a, verb);                   /* /brain deep */
    else
        note(&a->events, AGT_ERROR, _("/brain lists; /brain load NAME, save NAME, diff NAME [NAME], rename NAME NAME, delete NAME"));
    free(text);
}

static void set_from(agt *a, const job *j)
{
    char err[Q_ERRLEN], *value = NULL;
    if (lab_brain_list_of(j->value, j->text, &value, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        desk_edit(&a->desk, EDIT_SET, 0, j->text, value);
    free(value);
}

static void deleted(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    told(a, lab_brain_delete(j->text, err), err, _("the brain %s is deleted"), j->text);
}

const job_row job_brain_deleted = { .name = "brain deleted", .lane = LANE_QUICK, .end = END_CARRIED, .run = deleted };
const job_row job_brain_set = { .name = "brain set", .lane = LANE_QUICK, .end = END_DROPPED, .run = set_from };
const job_row job_brain = { .name = "brain", .lane = LANE_QUICK, .end = END_CARRIED, .run = brain };
