/* lab/brain: configurations under a name: the shipped ones as a table, a person's as files. See lab.h.
 *
 * A file: {"quorum_brain":1,"note":"…","model":"…","set":{"experts.k":"x2"}}. Unknown members are left alone by reading; the
 * number goes up when their meaning changes, and a newer one is refused. */
#include "base/say.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wctype.h>

enum { SCHEMA = 1, NAME_MOST = 64, FILE_MOST = 1 << 20, SETTINGS_MOST = 200 };

/* Notes say what was measured (README: perplexity of the default model on encyclopedia text, k 12 of 16 its own) or that
 * nothing is known. */
static const struct { const char *name, *note, *set[8]; } shipped[] = {
    { "standard", N_("the model as it was made"), { NULL } },
    /* xgettext:no-c-format */
    { "fast", N_("half of the experts: fewer bytes a token; k 8 of 16 costs the default model about 12 to 20% of perplexity"), { "experts.k", "x0.5", NULL } },
    { "deep", N_("twice the experts: more bytes a token; no controlled study shows that more than the trained number helps a model like Qwen3-30B"),
      { "experts.k", "x2", NULL } },
    { "agi", N_("all that a configuration can raise: twice the experts, four times the context by YaRN, thinking on; it adds reach and effort, not knowledge"),
      { "experts.k", "x2", "rope.scaling", "yarn", "rope.factor", "4", "think", "on" } },
    { "solo", N_("one expert a layer: the least that is read; the default model's perplexity doubles"), { "experts.k", "1", NULL } },
};
enum { N_SHIPPED = sizeof shipped / sizeof *shipped };

static int shipped_at(const char *name)
{
    for (int i = 0; i < N_SHIPPED; i++)
        if (strcmp(shipped[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- names ---- */
bool lab_is_name(const char *s)
{
    size_t n = strlen(s);
    if (n < 1 || n > NAME_MOST || *s == '.' || *s == '-' || !q_utf8_valid(s, n))
        return false;
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        at += (size_t)q_utf8_next(s + at, n - at, &cp);
        bool plain = (cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || strchr("._-", (int)cp & 127);
        if (cp < 128 ? !plain : !iswalnum((wint_t)cp))
            return false;
    }
    return true;
}

static int check_name(const char *name, char *err)
{
    return lab_is_name(name) ? Q_OK : q_fail(err, Q_RANGE, _("a brain's name is up to %d letters, digits, dots, dashes and underscores, not \"%s\""), NAME_MOST, name);
}

static char *path_of(const char *name, char *err)        /* NULL: there is no home */
{
    char *in = q_printf("brains/%s.json", name), *path = q_user_path(Q_DIR_CONFIG, in);
    free(in);
    if (!path)
        q_no_home(err);
    return path;
}

bool lab_brain_taken(const char *name)
{
    char err[Q_ERRLEN], *path = lab_is_name(name) ? path_of(name, err) : NULL;
    bool there = path && access(path, F_OK) == 0;
    free(path);
    return there;
}

/* ---- one brain ---- */
static void put(lab_brain *b, char *knob, char *value)
{
    b->knob = q_realloc(b->knob, sizeof *b->knob * (size_t)(b->n + 1));
    b->value = q_realloc(b->value, sizeof *b->value * (size_t)(b->n + 1));
    b->knob[b->n] = knob;
    b->value[b->n++] = value;
}

void lab_brain_free(lab_brain *b)
{
    for (int i = 0; i < b->n; i++) {
        free(b->knob[i]);
        free(b->value[i]);
    }
    free(b->knob);
    free(b->value);
    free(b->name);
    free(b->note);
    free(b->model);
    free(b->problem);
    *b = (lab_brain){ .n = 0 };
}

static void from_table(int i, lab_brain *out)
{
    *out = (lab_brain){ .name = q_strdup(shipped[i].name), .note = q_strdup(_(shipped[i].note)), .model = q_strdup(""), .shipped = true };
    for (int k = 0; k + 1 < 8 && shipped[i].set[k]; k += 2)
        put(out, q_strdup(shipped[i].set[k]), q_strdup(shipped[i].set[k + 1]));
}

/* A value as the text that a knob takes; NULL: it is none. */
static char *value_of(const cJSON *v)
{
    if (cJSON_IsString(v))
        return q_strdup(v->valuestring);
    if (cJSON_IsBool(v))
        return q_strdup(cJSON_IsTrue(v) ? "on" : "off");
    return cJSON_IsNumber(v) ? q_printf("%.15g", v->valuedouble) : NULL;
}

static char *text_of(const cJSON *root, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, key);
    return q_strdup(cJSON_IsString(v) ? v->valuestring : "");
}

static int from_text(const char *path, const char *name, const q_buf *text, lab_brain *out, char *err)
{
    *out = (lab_brain){ .n = 0 };
    cJSON *root = q_utf8_valid(text->p ? text->p : "", text->len) ? cJSON_ParseWithLengthOpts(text->p ? text->p : "", text->len + 1, NULL, true) : NULL;
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(root, "quorum_brain"), *set = cJSON_GetObjectItemCaseSensitive(root, "set"), *one;
    int rc = Q_OK, n = 0;
    if (!cJSON_IsObject(root) || !cJSON_IsNumber(schema) || !cJSON_IsObject(set))
        rc = q_fail(err, Q_FORMAT, _("%s is no brain: expected {\"quorum_brain\":1,\"set\":{\"experts.k\":\"4\"}}"), path);
    else if (schema->valuedouble < 1 || schema->valuedouble > SCHEMA)
        rc = q_fail(err, Q_FORMAT, _("%s was written by another version of quorum (its number is %g, this one reads %d)"), path, schema->valuedouble, SCHEMA);
    if (rc == Q_OK)
        *out = (lab_brain){ .name = q_strdup(name), .note = text_of(root, "note"), .model = text_of(root, "model") };
    cJSON_ArrayForEach(one, set) {
        char *v = rc == Q_OK ? value_of(one) : NULL;
        if (rc == Q_OK && (!v || ++n > SETTINGS_MOST || strpbrk(one->string, "\n\r") || strpbrk(v, "\n\r")))
            rc = q_fail(err, Q_FORMAT, _("%s: the value of %.60s is no setting"), path, one->string);
        if (rc == Q_OK)
            put(out, q_strdup(one->string), v);
        else
            free(v);
    }
    cJSON_Delete(root);
    if (rc)
        lab_brain_free(out);
    return rc;
}

static int from_file(const char *path, const char *name, lab_brain *out, char *err)
{
    q_buf text = { 0 };
    *out = (lab_brain){ .n = 0 };
    int rc = q_read_file(path, &text, FILE_MOST, err);
    if (rc == Q_OK)
        rc = from_text(path, name, &text, out, err);
    q_buf_free(&text);
    return rc;
}

static void known(q_buf *out)
{
    lab_brain *all;
    int n;
    char err[Q_ERRLEN];
    if (lab_brain_list(&all, &n, err) < 0)
        return;
    for (int i = 0; i < n; i++)
        q_buf_printf(out, "%s%s", i ? ", " : "", all[i].name);
    lab_brains_free(all, n);
}

int lab_brain_read(const char *name, lab_brain *out, char *err)
{
    int i = shipped_at(name), rc = i < 0 ? check_name(name, err) : Q_OK;
    *out = (lab_brain){ .n = 0 };
    if (rc)
        return rc;
    if (i >= 0)
        return from_table(i, out), Q_OK;
    char *path = path_of(name, err);
    if (!path)
        return Q_NOTFOUND;
    if (access(path, F_OK) != 0) {
        q_buf all = { 0 };
        known(&all);
        rc = q_fail(err, Q_NOTFOUND, _("there is no brain %s; there are %s"), name, all.p ? all.p : "");
        q_buf_free(&all);
    } else
        rc = from_file(path, name, out, err);
    free(path);
    return rc;
}

int lab_brain_list_of(const char *name, const char *knob, char **value, char *err)
{
    static const char *const lists[] = { "experts.ban", "experts.pin" };
    const char *found = NULL;
    lab_brain b = { 0 };
    *value = NULL;
    int rc = lab_brain_read(name, &b, err);
    for (int i = 0; i < b.n; i++)
        found = strcmp(b.knob[i], knob) == 0 ? b.value[i] : found;
    for (int i = 0; i < b.n && !found; i++)
        for (int k = 0; k < 2 && (strcmp(knob, lists[0]) == 0 || strcmp(knob, lists[1]) == 0); k++)
            found = strcmp(b.knob[i], lists[k]) == 0 ? b.value[i] : found;
    if (found)
        *value = q_strdup(found);
    else if (rc == Q_OK)
        rc = q_fail(err, Q_NOTFOUND, _("the brain %s holds no list for %s: set one, then /brain save NAME keeps it"), name, knob);
    lab_brain_free(&b);
    return rc;
}

/* ---- all of them ---- */
static int by_name(const void *a, const void *b)
{
    const lab_brain *x = a, *y = b;
    if (x->shipped || y->shipped)
        return x->shipped && y->shipped ? shipped_at(x->name) - shipped_at(y->name) : x->shipped ? -1 : 1;
    return strcmp(x->name, y->name);
}

int lab_brain_list(lab_brain **out, int *n, char *err)
{
    *out = q_alloc(sizeof **out * (N_SHIPPED + 1));
    *n = 0;
    for (int i = 0; i < N_SHIPPED; i++)
        from_table(i, &(*out)[(*n)++]);
    char *folder = q_user_path(Q_DIR_CONFIG, "brains");
    DIR *d = folder ? opendir(folder) : NULL;
    int rc = !d && folder && errno != ENOENT ? q_fail(err, Q_IO, _("cannot open %s: %s"), folder, strerror(errno)) : Q_OK;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 5, ".json") != 0)
            continue;
        char *name = q_strndup(e->d_name, len - 5), why[Q_ERRLEN];
        lab_brain b;
        if (lab_is_name(name) && shipped_at(name) < 0) {
            char *path = q_printf("%s/%s", folder, e->d_name);       /* not lab_brain_read: it lists them to say which there are */
            if (from_file(path, name, &b, why) < 0)
                b = (lab_brain){ .name = q_strdup(name), .note = q_strdup(""), .model = q_strdup(""), .problem = q_strdup(why) };
            *out = q_realloc(*out, sizeof **out * (size_t)(*n + 1));
            (*out)[(*n)++] = b;
            free(path);
        }
        free(name);
    }
    if (d)
        closedir(d);
    free(folder);
    if (rc) {
        lab_brains_free(*out, *n);
        *out = NULL;
        *n = 0;
        return rc;
    }
    qsort(*out, (size_t)*n, sizeof **out, by_name);
    return rc;
}

void lab_brains_free(lab_brain *b, int n)
{
    for (int i = 0; i < n; i++)
        lab_brain_free(&b[i]);
    free(b);
}

/* ---- changes ---- */
static int own_name(const char *name, char *err)     /* one that a person may write */
{
    int rc = check_name(name, err);
    if (rc == Q_OK && shipped_at(name) >= 0)
        rc = q_fail(err, Q_RANGE, _("%s comes with quorum and stays as it is: take another name"), name);
    return rc;
}

int lab_brain_save(const char *name, const char *settings, const char *model, bool over, char *err)
{
    int rc = own_name(name, err);
    if (rc)
        return rc;
    char *path = path_of(name, err);
    if (!path)
        return Q_NOTFOUND;
    char *slash = strrchr(path, '/');
    *slash = 0;
    rc = q_mkdirs(path, err);
    *slash = '/';
    if (rc == Q_OK && !over && access(path, F_OK) == 0)
        rc = q_fail(err, Q_RANGE, _("there is a brain %s already: /brain delete %s makes room, or take another name"), name, name);
    cJSON *root = cJSON_CreateObject(), *set = cJSON_Parse(settings);
    cJSON_AddNumberToObject(root, "quorum_brain", SCHEMA);
    cJSON_AddStringToObject(root, "note", "");
    cJSON_AddStringToObject(root, "model", model);
    cJSON_AddItemToObject(root, "set", set ? set : cJSON_CreateObject());
    char *text = cJSON_Print(root);
    if (rc == Q_OK && text)
        rc = q_write_file_atomic(path, text, strlen(text), err);
    cJSON_free(text);
    cJSON_Delete(root);
    free(path);
    return rc;
}

/* Its path, where there is such a file of the person's. */
static int there(const char *name, char **path, char *err)
{
    int rc = own_name(name, err);
    *path = rc == Q_OK ? path_of(name, err) : NULL;
    if (rc == Q_OK && !*path)
        rc = Q_NOTFOUND;
    if (rc == Q_OK && access(*path, F_OK) != 0)
        rc = q_fail(err, Q_NOTFOUND, _("there is no brain %s of yours; /brain lists them"), name);
    return rc;
}

int lab_brain_rename(const char *from, const char *to, char *err)
{
    char *a = NULL, *b = NULL;
    int rc = there(from, &a, err);
    if (rc == Q_OK)
        rc = own_name(to, err);
    if (rc == Q_OK && !(b = path_of(to, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK && q_move_new(a, b) != 0)
        rc = errno == EEXIST ? q_fail(err, Q_RANGE, _("there is a brain %s already: /brain delete %s makes room, or take another name"), to, to)
                             : q_fail(err, Q_IO, "%s: %s", b, strerror(errno));
    free(a);
    free(b);
    return rc;
}

int lab_brain_delete(const char *name, char *err)
{
    char *path = NULL;
    int rc = there(name, &path, err);
    if (rc == Q_OK && unlink(path) != 0)
        rc = q_fail(err, Q_IO, "%s: %s", path, strerror(errno));
    free(path);
    return rc;
}
