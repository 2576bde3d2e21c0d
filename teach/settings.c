/* teach/settings: what a run may be told, a row each. See teach.h. */
#include "base/say.h"
#include "teach/parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum what { WHOLE, REAL, FLAG, EXPERTS, LAYERS, BY, LOSS, SEED, PATH };
typedef struct row { const char *name; enum what what; size_t at; double min, max; const char *help; } row;
#define AT(field) offsetof(tch_settings, field)
static const row rows[] = {
    { "steps", WHOLE, AT(steps), 1, 1000000, N_("steps of the optimiser; alone: twice through all examples") },
    { "rank", WHOLE, AT(rank), 1, 256, N_("of the adapter (8): how much it can hold") },
    { "alpha", REAL, AT(alpha), .001, 10000, N_("of the adapter; alone: twice the rank") },
    { "lr", REAL, AT(lr), 1e-9, 1, N_("learning rate; alone: .001") },
    { "batch", WHOLE, AT(batch), 1, 1024, N_("examples a step (4)") },
    { "warmup", WHOLE, AT(warmup), 0, 1000000, N_("steps in which the rate rises; alone: a twentieth of them") },
    { "experts", EXPERTS, 0, 0, 0, N_("auto: those that these examples ask for; all; none; or LAYER:EXPERT,…") },
    { "p", REAL, AT(p), 1e-6, 1, N_("with auto: experts are taken until their share of a layer is this (.2)") },
    { "by", BY, AT(by_tokens), 0, 0, N_("with auto: share of gate (the router's weights) or of tokens") },
    { "layers", LAYERS, 0, 0, 0, N_("FIRST-LAST: only these; all") },
    { "attention", FLAG, AT(attention), 0, 0, N_("on, off: attention's matrices are taught too (off)") },
    { "shared", FLAG, AT(shared), 0, 0, N_("on, off: shared experts and dense layers too (off)") },
    { "loss", LOSS, AT(dpo), 0, 0, N_("sft: the accepted answers; dpo: pairs of a better and a worse one") },
    { "beta", REAL, AT(dpo_beta), 1e-4, 100, N_("of dpo (.1)") },
    { "context", WHOLE, AT(context), 16, 1 << 20, N_("tokens; longer examples are left out; alone: 1024, or what the model knows") },
    { "seed", SEED, AT(seed), 0, 0, N_("of the adapter's beginning and of the order of examples (1)") },
    { "threads", WHOLE, AT(threads), 1, 1024, N_("one for each core where nothing is said") },
    { "proof", FLAG, AT(proof), 0, 0, N_("on, off: a tenth of the conversations is held out to prove by; off teaches all of them, and nobody can say whether they were learnt (on)") },
    { "general", PATH, AT(general), 0, 0, N_("a file of text that must not suffer; alone: a built-in one") },
};
enum { ROWS = sizeof rows / sizeof *rows };

void tch_settings_begin(tch_settings *s)
{
    *s = (tch_settings){ .rank = 8, .batch = 4, .warmup = -1, .lr = 1e-3, .p = .2, .dpo_beta = .1, .seed = 1, .proof = true };
}

void tch_settings_help(q_buf *out)
{
    for (int i = 0; i < ROWS; i++)
        q_buf_say(out, "  %-10s %s\n", rows[i].name, _(rows[i].help));
}

static bool yes_no(const char *v, bool *out)
{
    *out = strcmp(v, "on") == 0 || strcmp(v, "да") == 0;
    return *out || strcmp(v, "off") == 0 || strcmp(v, "нет") == 0;
}

static bool two(const char *v, const char *yes, const char *no, bool *out)
{
    *out = strcmp(v, yes) == 0;
    return *out || strcmp(v, no) == 0;
}

/* "3:5,3:9": as it is, if it is one. */
static bool expert_list(const char *v, char *out, size_t size)
{
    if (strlen(v) >= size)
        return false;
    for (const char *p = v; *p;) {
        char *end;
        long layer = strtol(p, &end, 10);
        if (end == p || *end != ':' || layer < 0)
            return false;
        p = end + 1;
        long expert = strtol(p, &end, 10);
        if (end == p || expert < 0 || (*end && *end != ','))
            return false;
        p = *end ? end + 1 : end;
    }
    strcpy(out, v);
    return *v != 0;
}

static bool experts(tch_settings *s, const char *v)
{
    static const struct { const char *word; enum tch_experts as; } words[] = { { "auto", TCH_AUTO }, { "all", TCH_ALL }, { "none", TCH_NONE }, { "авто", TCH_AUTO }, { "все", TCH_ALL } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(v, words[i].word) == 0) {
            s->experts = words[i].as;
            return true;
        }
    s->experts = TCH_LIST;
    return expert_list(v, s->list, sizeof s->list);
}

static bool layers(tch_settings *s, const char *v)
{
    char *end, *last;
    if (strcmp(v, "all") == 0) {
        s->first_layer = s->n_layer = 0;
        return true;
    }
    long a = strtol(v, &end, 10), b = *end == '-' ? strtol(end + 1, &last, 10) : (last = end, a);
    bool good = end != v && !*last && last[-1] != '-' && a >= 0 && b >= a && b < 100000;
    if (good) {
        s->first_layer = (int)a;
        s->n_layer = (int)(b - a) + 1;
    }
    return good;
}

static bool take(tch_settings *s, const row *r, const char *v)
{
    char *end, *at = (char *)s + r->at;
    double x = strtod(v, &end);
    bool number = end != v && !*end && x >= r->min && x <= r->max;
    switch (r->what) {
    case WHOLE: if (number && x == (int)x) *(int *)at = (int)x; return number && x == (int)x;
    case REAL: if (number) *(double *)at = x; return number;
    case FLAG: return yes_no(v, (bool *)at);
    case EXPERTS: return experts(s, v);
    case LAYERS: return layers(s, v);
    case BY: return two(v, "tokens", "gate", (bool *)at);
    case LOSS: return two(v, "dpo", "sft", (bool *)at);
    case SEED:
        errno = 0;
        *(uint64_t *)at = strtoull(v, &end, 10);
        return *v >= '0' && *v <= '9' && !*end && errno == 0;
    case PATH: {
        char *path = q_whole_path(v);
        bool fits = strlen(path) < sizeof s->general;
        if (fits)
            strcpy(at, path);
        free(path);
        return fits;
    }
    }
    return false;
}

static int refuse(const char *name, const row *r, const char *value, char *err)
{
    q_buf all = { 0 };
    for (int i = 0; i < ROWS; i++)
        q_buf_printf(&all, "%s%s", i ? ", " : "", rows[i].name);
    int rc = r ? q_fail(err, Q_RANGE, _("%s cannot be \"%.60s\": %s"), name, value, _(r->help)) : q_fail(err, Q_RANGE, _("there is no setting \"%.60s\" here: NAME=VALUE with %s"), name, all.p);
    q_buf_free(&all);
    return rc;
}

static int set_one(tch_settings *s, const char *name, const char *value, char *err)
{
    const row *r = NULL;
    for (int i = 0; i < ROWS; i++)
        r = strcmp(rows[i].name, name) == 0 ? &rows[i] : r;
    return r && value && take(s, r, value) ? Q_OK : refuse(name, value ? r : NULL, value ? value : "", err);
}

int settings_from_json(tch_settings *s, const char *json, char *err)
{
    cJSON *j = cJSON_Parse(json), *one;
    int rc = cJSON_IsObject(j) ? Q_OK : q_fail(err, Q_FORMAT, _("the settings of the run cannot be read: /teach undo forgets it"));
    tch_settings_begin(s);
    for (one = rc == Q_OK ? j->child : NULL; one && rc == Q_OK; one = one->next) {
        char number[64];
        snprintf(number, sizeof number, "%.17g", cJSON_IsNumber(one) ? one->valuedouble : 0);
        const char *value = cJSON_IsString(one) ? one->valuestring : cJSON_IsBool(one) ? (cJSON_IsTrue(one) ? "on" : "off") : number;
        bool unset = (cJSON_IsNumber(one) && one->valuedouble <= 0 && strcmp(one->string, "warmup") != 0) || (cJSON_IsString(one) && !*value);
        if (!unset && !(strcmp(one->string, "warmup") == 0 && one->valuedouble < 0))
            rc = set_one(s, one->string, value, err);
    }
    cJSON_Delete(j);
    return rc;
}

int tch_settings_set(tch_settings *s, const char *words, char *err)
{
    int rc = Q_OK;
    char *line = q_strdup(words), *at = NULL;
    for (char *w = strtok_r(line, " \t\n", &at); w && rc == Q_OK; w = strtok_r(NULL, " \t\n", &at)) {
        char *value = strchr(w, '=');
        if (value)
            *value++ = 0;
        rc = set_one(s, w, value, err);
    }
    free(line);
    return rc;
}

char *tch_settings_json(const tch_settings *s)
{
    static const char *const of[] = { [TCH_AUTO] = "auto", [TCH_ALL] = "all", [TCH_NONE] = "none" };
    cJSON *j = cJSON_CreateObject();
    for (int i = 0; i < ROWS; i++) {
        const row *r = &rows[i];
        const char *at = (const char *)s + r->at;
        char layer[32], seed[24];
        switch (r->what) {
        case WHOLE: cJSON_AddNumberToObject(j, r->name, *(const int *)at); break;
        case REAL: cJSON_AddNumberToObject(j, r->name, *(const double *)at); break;
        case FLAG: cJSON_AddBoolToObject(j, r->name, *(const bool *)at); break;
        case EXPERTS: cJSON_AddStringToObject(j, r->name, s->experts == TCH_LIST ? s->list : of[s->experts]); break;
        case LAYERS:
            snprintf(layer, sizeof layer, s->n_layer ? "%d-%d" : "all", s->first_layer, s->first_layer + s->n_layer - 1);
            cJSON_AddStringToObject(j, r->name, layer);
            break;
        case BY: cJSON_AddStringToObject(j, r->name, s->by_tokens ? "tokens" : "gate"); break;
        case LOSS: cJSON_AddStringToObject(j, r->name, s->dpo ? "dpo" : "sft"); break;
        case SEED:                       /* as text: a number of JSON has 53 bits, and 0 would stand for nothing said */
            snprintf(seed, sizeof seed, "%" PRIu64, s->seed);
            cJSON_AddStringToObject(j, r->name, seed);
            break;
        case PATH: cJSON_AddStringToObject(j, r->name, at); break;
        }
    }
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}
