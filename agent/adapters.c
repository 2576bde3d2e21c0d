/* agent/adapters: /lora: adapters of the model that answers. What loads or drops one runs in the engine's lane, between answers; a scale is
 * an edit of the configuration like any other (lora.scale), live between two tokens, and F9 takes it back. What a module brings: modadapters.c. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/talk.h"
#include "provider/provider.h"
#include "teach/teach.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the engine's lane ---- */
/* What a token costs more under c than with lora.scale at none. */
static prov_cost more(const prov_config *c)
{
    char err[Q_ERRLEN];
    prov_config *none = prov_config_copy(c);
    prov_cost with = prov_config_cost(c), base;
    prov_config_set(none, "lora.scale", "none", err);
    base = prov_config_cost(none);
    prov_config_free(none);
    return (prov_cost){ with.params - base.params, with.bytes - base.bytes };
}

static cJSON *as_data(const prov_adapter *v)
{
    char hash[20];
    cJSON *one = cJSON_CreateObject();
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)v->hash);
    cJSON_AddStringToObject(one, "name", v->name);
    cJSON_AddStringToObject(one, "path", v->path);
    cJSON_AddStringToObject(one, "base", v->base);
    cJSON_AddStringToObject(one, "hash", hash);
    if (*v->doubt) cJSON_AddStringToObject(one, "doubt", v->doubt);
    cJSON_AddNumberToObject(one, "params", (double)v->params);
    cJSON_AddNumberToObject(one, "changing", (double)v->changing);
    cJSON_AddNumberToObject(one, "bytes", (double)v->bytes);
    cJSON_AddNumberToObject(one, "memory", (double)v->held);
    cJSON_AddNumberToObject(one, "matrices", v->matrices);
    cJSON_AddNumberToObject(one, "rank_min", v->rank_min);
    cJSON_AddNumberToObject(one, "rank_max", v->rank_max);
    cJSON_AddNumberToObject(one, "first_layer", v->first_layer);
    cJSON_AddNumberToObject(one, "last_layer", v->last_layer);
    return one;
}

static int is_adapter(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && strcmp(dot, ".gguf") == 0 && tch_is_name(d->d_name);
}

/* Those of the data folder, which /teach makes, that are not loaded. */
static void at_hand(const prov_adapter *loaded, int n, q_buf *out, cJSON *names)
{
    char *folder = q_user_path(Q_DIR_DATA, "adapters");
    struct dirent **d = NULL;
    int found = folder ? scandir(folder, &d, is_adapter, alphasort) : 0, said = 0;
    for (int i = 0; i < found; i++) {
        bool here = false;
        d[i]->d_name[strlen(d[i]->d_name) - strlen(".gguf")] = 0;
        for (int k = 0; k < n; k++)
            here |= strcmp(loaded[k].name, d[i]->d_name) == 0;
        if (!here) {
            q_buf_say(out, said++ ? ", %s" : _("at hand, for /lora load NAME: %s"), d[i]->d_name);
            cJSON_AddItemToArray(names, cJSON_CreateString(d[i]->d_name));
        }
        free(d[i]);
    }
    if (said)
        q_buf_putc(out, '\n');
    free(d);
    free(folder);
}

static void list(agt *a)
{
    prov_adapter *v;
    int n = prov_adapters(a->seat.who, &v);
    q_buf out = { 0 }, now = { 0 };
    cJSON *data = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(data, "adapters");
    const char *value = prov_config_get(a->seat.cfg, "lora.scale", &now);
    for (int i = 0; i < n; i++) {
        char size[32];
        cJSON_AddItemToArray(all, as_data(&v[i]));
        char *rank = v[i].rank_min == v[i].rank_max ? q_printf("%d", v[i].rank_min) : q_printf(_("%d to %d"), v[i].rank_min, v[i].rank_max);
        q_buf_say(&out, _("%-16s rank %s, %d matrices of layers %d to %d, %.2f million parameters, %s of memory\n"), v[i].name, rank, v[i].matrices, v[i].first_layer,
                  v[i].last_layer, (double)v[i].changing / 1e6, q_bytes_words(v[i].held, size));
        free(rank);
        q_buf_say(&out, "                 %s\n", v[i].path);
        if (*v[i].doubt) q_buf_say(&out, "                 %s\n", v[i].doubt);
    }
    prov_cost cost = more(a->seat.cfg);
    cJSON_AddStringToObject(data, "scale", value);
    cJSON_AddNumberToObject(data, "token_params", (double)cost.params);
    cJSON_AddNumberToObject(data, "token_bytes", (double)cost.bytes);
    if (n) {
        char size[32];
        q_buf_say(&out, _("lora.scale %s: %.2f million parameters and %s more for each token\n"), value, (double)cost.params / 1e6, q_bytes_words(cost.bytes, size));
    } else
        q_buf_say(&out, "%s\n", _("no adapter is loaded: /lora load FILE takes a GGUF adapter or a PEFT folder"));
    at_hand(v, n, &out, cJSON_AddArrayToObject(data, "at_hand"));
    note_page(&a->events, "/lora", q_buf_take(&out), cJSON_PrintUnformatted(data));
    cJSON_Delete(data);
    prov_adapters_free(v, n);
    q_buf_free(&now);
}

char *adapters_file(const char *what, const char *folder, double *scale)
{
    char *home = q_home_path(what), *path = folder && *home != '/' ? q_printf("%s/%s", folder, home) : q_strdup(home), *eq = strrchr(path, '='), *end = NULL;
    double x = eq ? strtod(eq + 1, &end) : 1;
    bool scaled = eq && end > eq + 1 && !*end && access(path, F_OK) != 0;
    if (scaled)
        *eq = 0;
    *scale = scaled ? x : 1;
    free(home);
    if (access(path, F_OK) != 0) {       /* the name of one that was taught here */
        char *name = q_strndup(what, scaled ? (size_t)(strrchr(what, '=') - what) : strlen(what)), *taught = tch_adapter_named(name);
        if (taught) {
            free(path);
            path = taught;
        }
        free(name);
    }
    return path;
}

static void doubted(agt *a, const char *name)
{
    prov_adapter *v;
    int n = prov_adapters(a->seat.who, &v);
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0 && *v[i].doubt) note(&a->events, AGT_INFO, "%s", v[i].doubt);
    prov_adapters_free(v, n);
}

void adapters_load(agt *a, const char *what)
{
    char err[Q_ERRLEN], *name = NULL;
    double scale;
    char *path = adapters_file(what, NULL, &scale);
    int rc = prov_adapter_load(a->seat.who, path, NULL, &name, err);
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        char num[32];
        q_knob_number(num, scale);
        edits_lora(a, name, num);
        char *now = adapters_piece(a->seat.cfg, name);
        if (*now)
            note(&a->events, AGT_INFO, _("the adapter %s is loaded and acts at %s: /lora scale %s NUMBER changes that, /lora off %s takes it away"), name, num, name, name);
        else                             /* it is 0, or it was refused, which is said */
            note(&a->events, AGT_INFO, _("the adapter %s is loaded and does not act: /lora scale %s NUMBER makes it act, /lora off %s takes it away"), name, name, name);
        free(now);
        doubted(a, name);
    }
    free(name);
    free(path);
}

void adapters_off(agt *a, const char *name)
{
    char err[Q_ERRLEN];
    int rc = prov_adapter_drop(a->seat.who, name, err);
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        edits_lora(a, name, NULL);
        note(&a->events, AGT_INFO, _("the adapter %s is gone from memory; its file stays"), name);
    }
}

static void act(agt *a, const job *j)
{
    if (!a->seat.who)
        note(&a->events, AGT_ERROR, _("no model is loaded, so its knobs have no values yet: run quorum model fetch, or /model FILE"));
    else if (strcmp(j->value, "load") == 0)
        adapters_load(a, j->text);
    else if (strcmp(j->value, "off") == 0)
        adapters_off(a, j->text);
    else
        list(a);
}

static const job_row job_lora = { .name = "lora", .lane = LANE_ENGINE, .end = END_DROPPED, .settles = true, .run = act };
static const job_row job_lora_list = { .name = "lora list", .lane = LANE_ENGINE, .end = END_DROPPED, .run = act };

/* ---- what is typed: front-end thread. All of it stands in one order: what is done to an adapter behind what loads it ---- */
bool adapters_command(agt *a, const char *words)
{
    char *text = q_strdup(words), *at = text + strspn(text, " \t\n");
    size_t n = strcspn(at, " \t\n");
    char *verb = q_strndup(at, n), *rest = at + n + strspn(at + n, " \t\n");
    for (size_t len = strlen(rest); len && strchr(" \t\n", rest[len - 1]); ) rest[--len] = 0;
    size_t name = strcspn(rest, " \t=");
    bool good = true;
    if (!*verb || strcmp(verb, "list") == 0)
        desk_post(&a->desk, &job_lora_list, 0, 0, "", "list");
    else if ((strcmp(verb, "load") == 0 || strcmp(verb, "off") == 0) && *rest)
        desk_post(&a->desk, &job_lora, 0, 0, rest, verb);
    else if (strcmp(verb, "scale") == 0 && *rest && rest[name]) {
        char *value = rest + name + strspn(rest + name, " \t=");
        rest[name] = 0;
        desk_edit(&a->desk, EDIT_LORA, 0, rest, value);   /* of what lora.scale is when its turn comes */
    } else
        good = false;
    free(verb);
    free(text);
    return good;
}
