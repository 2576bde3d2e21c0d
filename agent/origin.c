/* agent/origin: what an answer was made from, in words for the store: enough to make its prompt again and to know that it is the
 * same one, but none of the prompt's own text other than the system text: what was fed is named, so that what a person forgets is
 * gone here too. Engine thread. */
#include "agent/past.h"
#include "agent/talk.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MOST = 512, TOKENS_MOST = 1 << 24 };

uint64_t origin_hash(const int32_t *ids, int n)
{
    uint64_t h = 0x71756f72756dULL;
    for (int i = 0; i < n; i++)
        h = q_mix64(h, (uint64_t)(uint32_t)ids[i]);      /* the same on every machine */
    return h;
}

static void put_hash(cJSON *o, const char *name, uint64_t v)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)v);
    cJSON_AddStringToObject(o, name, hex);
}

struct cJSON *origin_begin(agt *a, const struct prompt *p, const rag_result *found, bool recompute)
{
    char err[Q_ERRLEN];
    int32_t *ids;
    prov_request r = prompt_request(p);
    int n = prov_ids(a->seat.who, &r, &ids, err);
    if (n < 0)
        return NULL;
    cJSON *o = cJSON_CreateObject(), *fed = cJSON_AddArrayToObject(o, "fed");
    cJSON_AddNumberToObject(o, "prompt", n);
    put_hash(o, "ids", origin_hash(ids, n));
    cJSON_AddNumberToObject(o, "from", (double)a->chat.keep_from);
    cJSON_AddStringToObject(o, "system", p->system);
    cJSON_AddBoolToObject(o, "base", p->base);
    cJSON_AddBoolToObject(o, "recompute", recompute);
    for (int k = 1; found && k <= found->n_fed; k++)
        for (int i = 0; i < found->n; i++) {
            const rag_passage *v = &found->v[i];
            if (v->number != k)
                continue;
            const double of[4] = { (double)v->kind, (double)v->id, v->kind == MEM_CHAT ? (double)v->offset : 0, (double)strlen(v->text) };
            cJSON_AddItemToArray(fed, cJSON_CreateDoubleArray(of, 4));
        }
    free(ids);
    return o;
}

/* Whose configuration is not known here is left out, and with it the whole list. */
char *origin_runs(agt *a, struct cJSON *o)
{
    prov_mix *mix = q_alloc(sizeof *mix * RUNS_MOST);
    int n = prov_runs(a->seat.who, mix, RUNS_MOST), found = 0;
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < n && n < RUNS_MOST; i++)
        for (int k = 0; k < a->seat.n_known; k++)
            if (a->seat.known[k].hash == mix[i].config) {
                cJSON *one = cJSON_CreateObject();
                cJSON_AddNumberToObject(one, "n", mix[i].cells);
                put_hash(one, "hash", mix[i].config);
                cJSON_AddRawToObject(one, "set", *a->seat.known[k].json ? a->seat.known[k].json : "{}");
                cJSON_AddItemToArray(list, one);
                found++;
                break;
            }
    if (n > 0 && found == n)
        cJSON_AddItemToObject(o, "runs", list);
    else
        cJSON_Delete(list);
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    free(mix);
    return text;
}

/* ---- and back ---- */
static int64_t whole(const cJSON *v, double most)
{
    return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= most && floor(v->valuedouble) == v->valuedouble ? (int64_t)v->valuedouble : -1;
}

static bool hash_of(const cJSON *v, uint64_t *out)
{
    char *end = NULL;
    *out = cJSON_IsString(v) ? strtoull(v->valuestring, &end, 16) : 0;
    return end && end != v->valuestring && !*end;
}

static bool read_fed(const cJSON *list, origin *o)
{
    const cJSON *one;
    bool good = cJSON_IsArray(list);
    o->fed = q_alloc(sizeof *o->fed * (size_t)(cJSON_GetArraySize(list) + 1));
    cJSON_ArrayForEach(one, list) {
        int64_t v[4];
        for (int i = 0; i < 4; i++)
            v[i] = whole(cJSON_GetArrayItem(one, i), 0x1p53);
        good &= cJSON_GetArraySize(one) == 4 && (v[0] == MEM_CHUNK || v[0] == MEM_CHAT) && v[1] > 0 && v[2] >= 0 && v[3] >= 0;
        o->fed[o->n_fed++] = (rag_fed){ v[0] == MEM_CHAT ? MEM_CHAT : MEM_CHUNK, v[1], v[2], v[3] };
    }
    return good;
}

static bool read_runs(const cJSON *list, origin *o)
{
    const cJSON *one;
    bool good = !list || cJSON_IsArray(list);
    int64_t sum = 0;
    o->run = q_alloc(sizeof *o->run * (size_t)(cJSON_GetArraySize(list) + 1));
    cJSON_ArrayForEach(one, list) {
        const cJSON *set = cJSON_GetObjectItem(one, "set");
        origin_run *r = &o->run[o->n_run++];
        *r = (origin_run){ .n = (int)whole(cJSON_GetObjectItem(one, "n"), TOKENS_MOST), .json = cJSON_IsObject(set) ? cJSON_PrintUnformatted(set) : NULL };
        good &= r->n > 0 && r->json && hash_of(cJSON_GetObjectItem(one, "hash"), &r->hash);
        sum += r->n;
    }
    return good && (!list || sum == o->n);
}

void origin_read(const char *text, origin *o)
{
    cJSON *j = text ? cJSON_Parse(text) : NULL;
    const cJSON *system = cJSON_GetObjectItem(j, "system");
    *o = (origin){ .n = (int)whole(cJSON_GetObjectItem(j, "prompt"), TOKENS_MOST), .from = whole(cJSON_GetObjectItem(j, "from"), 0x1p53),
                 .system = q_strdup(cJSON_IsString(system) ? system->valuestring : ""), .base = cJSON_IsTrue(cJSON_GetObjectItem(j, "base")),
                 .recompute = cJSON_IsTrue(cJSON_GetObjectItem(j, "recompute")) };
    bool good = cJSON_IsString(system) && o->n > 0 && o->from >= 0 && hash_of(cJSON_GetObjectItem(j, "ids"), &o->ids);
    good = good && read_fed(cJSON_GetObjectItem(j, "fed"), o) && read_runs(cJSON_GetObjectItem(j, "runs"), o);
    cJSON_Delete(j);
    if (!good)
        origin_free(o);
    o->there = good;
}

void origin_free(origin *o)
{
    for (int i = 0; i < o->n_run; i++)
        free(o->run[i].json);
    free(o->run);
    free(o->fed);
    free(o->system);
    *o = (origin){ .n = 0 };
}
