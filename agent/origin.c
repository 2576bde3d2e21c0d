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
    if (p->instead.id)
        cJSON_AddNumberToObject(o, "compaction", (double)p->instead.id);
    cJSON_AddStringToObject(o, "system", p->system);
    if (*p->prefix)
        cJSON_AddStringToObject(o, "prefix", p->prefix);
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

/* Who made the cells that there are now; NULL where one's configuration is not known here, or there are none. *cells: how many. */
static cJSON *runs(agt *a, int *cells)
{
    prov_mix *mix = q_alloc(sizeof *mix * RUNS_MOST);
    int n = prov_runs(a->seat.who, mix, RUNS_MOST), found = 0;
    cJSON *list = cJSON_CreateArray();
    *cells = 0;
    for (int i = 0; i < n && n < RUNS_MOST; i++) {
        *cells += mix[i].cells;
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
    }
    free(mix);
    if (n > 0 && found == n)
        return list;
    cJSON_Delete(list);
    return NULL;
}

char *origin_runs(agt *a, struct cJSON *o)
{
    int cells;
    cJSON *list = runs(a, &cells);
    if (list)
        cJSON_AddItemToObject(o, "runs", list);
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return text;
}

char *origin_turned(agt *a, char *made, int tokens)
{
    int cells;
    cJSON *o = made ? cJSON_Parse(made) : NULL, *turned = cJSON_GetObjectItem(o, "turned"), *one, *list = runs(a, &cells);
    const cJSON *before = cJSON_GetObjectItem(o, "prompt");
    if (!cJSON_IsNumber(before) || (list && cells != (int)before->valuedouble + tokens)) {       /* an answer of which nothing is known, or it was given up */
        cJSON_Delete(o);
        cJSON_Delete(list);
        return made;
    }
    if (!turned)
        turned = cJSON_AddArrayToObject(o, "turned");
    one = cJSON_GetArrayItem(turned, cJSON_GetArraySize(turned) - 1);
    if (one && cJSON_GetObjectItem(one, "at")->valueint == tokens)     /* and turned again before a token came */
        cJSON_DeleteItemFromArray(turned, cJSON_GetArraySize(turned) - 1);
    one = cJSON_CreateObject();
    cJSON_AddNumberToObject(one, "at", tokens);
    if (list)
        cJSON_AddItemToObject(one, "runs", list);
    cJSON_AddItemToArray(turned, one);
    free(made);
    made = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return made;
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

/* Together `cells`, or none. */
static bool read_runs(const cJSON *list, int64_t cells, origin_run **run, int *n)
{
    const cJSON *one;
    bool good = !list || cJSON_IsArray(list);
    int64_t sum = 0;
    *run = q_alloc(sizeof **run * (size_t)(cJSON_GetArraySize(list) + 1));
    cJSON_ArrayForEach(one, list) {
        const cJSON *set = cJSON_GetObjectItem(one, "set");
        origin_run *r = &(*run)[(*n)++];
        *r = (origin_run){ .n = (int)whole(cJSON_GetObjectItem(one, "n"), TOKENS_MOST), .json = cJSON_IsObject(set) ? cJSON_PrintUnformatted(set) : NULL };
        good &= r->n > 0 && r->json && hash_of(cJSON_GetObjectItem(one, "hash"), &r->hash);
        sum += r->n;
    }
    return good && (!list || sum == cells);
}

static bool read_turns(const cJSON *list, origin *o)
{
    const cJSON *one;
    int last = -1;
    bool good = !list || cJSON_IsArray(list);
    o->turn = q_alloc(sizeof *o->turn * (size_t)(cJSON_GetArraySize(list) + 1));
    cJSON_ArrayForEach(one, list) {
        struct origin_turn *t = &o->turn[o->n_turn++];
        *t = (struct origin_turn){ .at = (int)whole(cJSON_GetObjectItem(one, "at"), TOKENS_MOST) };
        good = read_runs(cJSON_GetObjectItem(one, "runs"), (int64_t)o->n + t->at, &t->run, &t->n_run) && good && t->at > last;
        last = t->at;
    }
    return good;
}

void origin_read(const char *text, origin *o)
{
    cJSON *j = text ? cJSON_Parse(text) : NULL;
    const cJSON *system = cJSON_GetObjectItem(j, "system"), *prefix = cJSON_GetObjectItem(j, "prefix");
    *o = (origin){ .n = (int)whole(cJSON_GetObjectItem(j, "prompt"), TOKENS_MOST), .from = whole(cJSON_GetObjectItem(j, "from"), 0x1p53),
                 .compaction = cJSON_HasObjectItem(j, "compaction") ? whole(cJSON_GetObjectItem(j, "compaction"), 0x1p53) : 0,
                 .system = q_strdup(cJSON_IsString(system) ? system->valuestring : ""), .prefix = q_strdup(cJSON_IsString(prefix) ? prefix->valuestring : ""), .base = cJSON_IsTrue(cJSON_GetObjectItem(j, "base")),
                 .recompute = cJSON_IsTrue(cJSON_GetObjectItem(j, "recompute")) };
    bool good = cJSON_IsString(system) && o->n > 0 && o->from >= 0 && o->compaction >= 0 && hash_of(cJSON_GetObjectItem(j, "ids"), &o->ids);
    good = good && read_fed(cJSON_GetObjectItem(j, "fed"), o) && read_runs(cJSON_GetObjectItem(j, "runs"), o->n, &o->run, &o->n_run) && read_turns(cJSON_GetObjectItem(j, "turned"), o);
    cJSON_Delete(j);
    if (!good)
        origin_free(o);
    o->there = good;
}

static void free_runs(origin_run *run, int n)
{
    for (int i = 0; i < n; i++)
        free(run[i].json);
    free(run);
}

void origin_free(origin *o)
{
    for (int i = 0; i < o->n_turn; i++)
        free_runs(o->turn[i].run, o->turn[i].n_run);
    free(o->turn);
    free_runs(o->run, o->n_run);
    free(o->fed);
    free(o->system);
    free(o->prefix);
    *o = (origin){ .n = 0 };
}
