/* lab/experiment: one change of the present configuration, compared on a text, and its written record; see lab.h.
 *
 * A file: {"quorum_experiment":1,"when":ms,"model":"…","on":"…","knob":"…","value":"…","was":"…","baseline":{…},"said":"…",
 * "kept":false,"result":{…}}; "said" and "result" come when it is finished. Unknown members are left alone by reading; a newer number is refused. */
#include "base/say.h"
#include "lab/text.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCHEMA = 1, FILE_MOST = 1 << 20 };

static char *folder_of(char *err)
{
    char *path = q_user_path(Q_DIR_DATA, "experiments");
    if (!path)
        q_no_home(err);
    return path;
}

static char *path_of(int number, char *err)
{
    char *folder = folder_of(err), *path = folder ? q_printf("%s/%d.json", folder, number) : NULL;
    free(folder);
    return path;
}

static int number_of(const char *file)               /* 0: it is no record's name */
{
    size_t digits = strspn(file, "0123456789");
    return digits > 0 && digits < 7 && *file != '0' && strcmp(file + digits, ".json") == 0 ? atoi(file) : 0;
}

void lab_experiment_free(lab_experiment *e)
{
    char *const all[] = { e->model, e->on, e->said, e->before, e->json, e->knob, e->value, e->was, e->problem };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *e = (lab_experiment){ .number = 0 };
}

void lab_experiments_free(lab_experiment *e, int n)
{
    for (int i = 0; i < n; i++)
        lab_experiment_free(&e[i]);
    free(e);
}

/* ---- the record ---- */
static cJSON *record(const lab_experiment *e, const lab_compared *c)
{
    cJSON *j = cJSON_CreateObject(), *r, *before = cJSON_Parse(e->before);
    const struct { const char *key, *value; } texts[] = { { "model", e->model }, { "on", e->on }, { "knob", e->knob }, { "value", e->value }, { "was", e->was }, { "said", e->said } };
    cJSON_AddNumberToObject(j, "quorum_experiment", SCHEMA);
    cJSON_AddNumberToObject(j, "when", (double)e->when_ms);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].value)
            cJSON_AddStringToObject(j, texts[i].key, texts[i].value);
    cJSON_AddItemToObject(j, "baseline", before ? before : cJSON_CreateObject());
    cJSON_AddBoolToObject(j, "kept", false);
    if (!c)
        return j;
    r = cJSON_AddObjectToObject(j, "result");
    cJSON_AddNumberToObject(r, "tokens", c->n);
    cJSON_AddBoolToObject(r, "different", c->different);
    json_interval(r, "kl", "mean", &c->kl);
    json_interval(r, "noise", "mean", &c->noise);
    json_interval(r, "dlogp", "mean", &c->dlogp);
    cJSON_AddNumberToObject(r, "top1_agreement", c->top1);
    for (int i = 0; i < 2; i++) {
        cJSON_AddNumberToObject(r, i ? "perplexity" : "perplexity_before", exp(-c->logp[i]));
        cJSON_AddNumberToObject(r, i ? "bytes_per_token" : "bytes_per_token_before", (double)c->bytes[i]);
    }
    return j;
}

static int write_record(const char *path, const cJSON *j, char *err)
{
    char *text = cJSON_Print(j);
    int rc = text ? q_write_file_atomic(path, text, strlen(text), err) : q_fail(err, Q_ERR, "%s", path);
    cJSON_free(text);
    return rc;
}

/* The next free number is taken by the record itself, in one step, so that two programs never take the same. */
static int take_number(int *number, const char *text, char **path, char *err)
{
    char *folder = folder_of(err);
    int rc = folder ? q_mkdirs(folder, err) : Q_NOTFOUND;
    DIR *d = rc == Q_OK ? opendir(folder) : NULL;
    *number = 0;
    *path = NULL;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        *number = number_of(e->d_name) > *number ? number_of(e->d_name) : *number;
    if (d)
        closedir(d);
    *number = *number < LAB_EXPERIMENTS ? *number : 0;       /* the first gap then */
    for (bool taken = rc == Q_OK; taken;) {
        free(*path);
        *path = q_printf("%s/%d.json", folder, ++*number);
        rc = q_write_file_new(*path, text, strlen(text), err);
        taken = rc == Q_RANGE && *number < LAB_EXPERIMENTS;
    }
    free(folder);
    return rc;
}

/* Before anything is measured: what is cut off half-way leaves a record that says so. *path: NULL where none could be written. */
static void begin(lab_experiment *e, char **path)
{
    char err[Q_ERRLEN];
    cJSON *j = record(e, NULL);
    char *text = json_text(j);
    if (take_number(&e->number, text, path, err) < 0) {
        e->number = 0;
        e->problem = q_strdup(err);
        free(*path);
        *path = NULL;
    }
    free(text);
}

static void complete(lab_experiment *e, const lab_compared *c, const char *path)
{
    char err[Q_ERRLEN];
    cJSON *j = record(e, c);
    if (path && write_record(path, j, err) < 0) {
        unlink(path);
        e->number = 0;
        e->problem = q_strdup(err);
    }
    e->json = json_text(j);
}

int lab_experiment_beside(struct eng_cache *beside, const lab_trial *t, const char *text, size_t n, const lab_terms *terms, lab_experiment *out, char *err)
{
    eng_model *m = eng_cache_model(beside);
    eng_config *a = eng_config_new(m), *b = NULL;
    lab_compared c = { .n = 0 };
    q_buf v = { 0 }, said = { 0 };
    char *path = NULL;
    *out = (lab_experiment){ .when_ms = q_wall_ms(), .model = q_strdup(t->model), .on = q_strdup(t->on) };
    int rc = spec_one(t->change, &out->knob, &out->value, err);
    if (rc == Q_OK && t->now)
        rc = eng_config_from_json(a, t->now, err);
    if (rc == Q_OK) {
        b = eng_config_copy(a);
        rc = eng_config_set(b, out->knob, out->value, err);
    }
    if (rc == Q_OK && eng_config_hash(a) == eng_config_hash(b))
        rc = q_fail(err, Q_RANGE, _("%s=%s changes no probability here: it is so already, or it acts on something else"), out->knob, out->value);
    if (rc == Q_OK) {
        out->was = q_strdup(eng_config_get(a, out->knob, &v));
        out->before = eng_config_json(a);
        begin(out, &path);
        rc = lab_compare(m, a, b, text, n, terms, &c, err);
    }
    if (rc == Q_OK) {
        out->different = c.different;
        out->dlogp = c.dlogp;
        char *side_a = q_printf("%s %s", out->knob, out->was), *side_b = q_printf("%s %s", out->knob, out->value);
        lab_compared_say(&c, side_a, side_b, &said);
        out->said = q_strdup(said.p);
        complete(out, &c, path);
        free(side_a);
        free(side_b);
    } else {
        if (path)
            unlink(path);
        lab_experiment_free(out);
    }
    free(path);
    lab_compared_free(&c);
    eng_config_free(a);
    eng_config_free(b);
    q_buf_free(&v);
    q_buf_free(&said);
    return rc;
}

/* ---- reading ---- */
static char *text_in(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return q_strdup(cJSON_IsString(v) ? v->valuestring : "");
}

static double number_in(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static int parse(const char *path, cJSON **out, char *err)
{
    q_buf text = { 0 };
    int rc = q_read_file(path, &text, FILE_MOST, err);
    *out = rc == Q_OK && text.p && q_utf8_valid(text.p, text.len) ? cJSON_ParseWithLengthOpts(text.p, text.len + 1, NULL, true) : NULL;
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(*out, "quorum_experiment");
    if (rc == Q_OK && (!cJSON_IsObject(*out) || !cJSON_IsNumber(schema)))
        rc = q_fail(err, Q_FORMAT, _("%s is no record of an experiment: /experiment KNOB=VALUE writes one"), path);
    else if (rc == Q_OK && (schema->valuedouble < 1 || schema->valuedouble > SCHEMA))
        rc = q_fail(err, Q_FORMAT, _("%s was written by another version of quorum (its number is %g, this one reads %d)"), path, schema->valuedouble, SCHEMA);
    if (rc) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    q_buf_free(&text);
    return rc;
}

int lab_experiment_read(int number, lab_experiment *out, char *err)
{
    char *path = path_of(number, err);
    cJSON *j = NULL;
    *out = (lab_experiment){ .number = number };
    if (!path)
        return Q_NOTFOUND;
    int rc = access(path, F_OK) == 0 ? parse(path, &j, err) : q_fail(err, Q_NOTFOUND, _("there is no experiment %d; /experiment list names them"), number);
    if (rc == Q_OK) {
        const cJSON *result = cJSON_GetObjectItemCaseSensitive(j, "result"), *dlogp = cJSON_GetObjectItemCaseSensitive(result, "dlogp");
        const cJSON *ci = cJSON_GetObjectItemCaseSensitive(dlogp, "ci"), *low = cJSON_GetArrayItem(ci, 0), *high = cJSON_GetArrayItem(ci, 1);
        double when = number_in(j, "when");
        out->when_ms = when > 0 && when < 1e15 ? (int64_t)when : 0;
        out->model = text_in(j, "model");
        out->on = text_in(j, "on");
        out->said = text_in(j, "said");
        out->knob = text_in(j, "knob");
        out->value = text_in(j, "value");
        out->was = text_in(j, "was");
        char *before = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(j, "baseline"));
        out->before = q_strdup(before ? before : "{}");
        cJSON_free(before);
        out->dlogp = (lab_interval){ number_in(dlogp, "mean"), cJSON_IsNumber(low) ? low->valuedouble : 0, cJSON_IsNumber(high) ? high->valuedouble : 0 };
        out->different = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "different"));
        out->unfinished = !cJSON_IsObject(result);
        out->kept = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "kept"));
        out->json = json_text(j);
    }
    free(path);
    return rc;
}

static int by_number(const void *a, const void *b)
{
    return ((const lab_experiment *)a)->number - ((const lab_experiment *)b)->number;
}

int lab_experiment_list(lab_experiment **out, int *n, char *err)
{
    char *folder = folder_of(err), why[Q_ERRLEN];
    *out = NULL;
    *n = 0;
    if (!folder)
        return Q_NOTFOUND;
    DIR *d = opendir(folder);
    int rc = !d && errno != ENOENT ? q_fail(err, Q_IO, _("cannot open %s: %s"), folder, strerror(errno)) : Q_OK;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        int number = number_of(e->d_name);
        if (!number)
            continue;
        *out = q_realloc(*out, sizeof **out * (size_t)(*n + 1));
        lab_experiment *one = &(*out)[(*n)++];
        if (lab_experiment_read(number, one, why) < 0)
            one->problem = q_strdup(why);
    }
    if (d)
        closedir(d);
    if (*n)
        qsort(*out, (size_t)*n, sizeof **out, by_number);
    free(folder);
    return rc;
}

int lab_experiment_keep(int number, char *err)
{
    char *path = path_of(number, err);
    cJSON *j = NULL;
    int rc = path ? parse(path, &j, err) : Q_NOTFOUND;
    if (rc == Q_OK) {
        cJSON_DeleteItemFromObjectCaseSensitive(j, "kept");
        cJSON_AddBoolToObject(j, "kept", true);
        rc = write_record(path, j, err);
    }
    cJSON_Delete(j);
    free(path);
    return rc;
}
