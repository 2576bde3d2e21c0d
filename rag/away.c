/* rag/away: folders that cannot be reached (a disk that is not there, a share that does not answer), since when, as the store keeps it: a
 * passage of such a folder is fed as before, and says so. Any thread. It never looks at a disk: who watches the folder does. */
#include "rag/rag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char SETTING[] = "watch.away.";

static char *key_of(const char *folder) { return q_printf("%s%016llx", SETTING, (unsigned long long)q_hash64(folder, strlen(folder), 7)); }

/* "MS PATH" */
static int64_t value_of(const char *value, const char **path)
{
    char *end;
    long long ms = strtoll(value, &end, 10);
    *path = *end == ' ' ? end + 1 : "";
    return **path == '/' && ms > 0 ? ms : 0;
}

int rag_away_put(mem_store *s, const char *folder, bool away, int64_t now_ms, int64_t *since_ms, char *err)
{
    char *key = key_of(folder), *had = mem_setting_get(s, key), *value = away ? q_printf("%lld %s", (long long)now_ms, folder) : NULL;
    const char *path;
    int64_t since = had ? value_of(had, &path) : 0;
    int rc = Q_OK;
    if (away && !since) rc = mem_setting_put(s, key, value, err);
    else if (!away && had) rc = mem_setting_put(s, key, NULL, err);
    *since_ms = !away ? 0 : since ? since : now_ms;
    free(value);
    free(had);
    free(key);
    return rc;
}

static void one(void *user, const char *name, const char *value)
{
    rag_aways *l = user;
    const char *path;
    int64_t since = strncmp(name, SETTING, sizeof SETTING - 1) == 0 ? value_of(value, &path) : 0;
    if (!since) return;
    l->v = q_realloc(l->v, sizeof *l->v * (size_t)(l->n + 1));
    l->v[l->n++] = (rag_away){q_strdup(path), since};
}

int rag_away_list(mem_store *s, rag_aways *out, char *err)
{
    *out = (rag_aways){0};
    return mem_setting_each(s, "usual.", one, out, err);
}

void rag_aways_free(rag_aways *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i].folder);
    free(l->v);
    *l = (rag_aways){0};
}

int64_t rag_away_since(mem_store *s, const rag_aways *l, int64_t document)
{
    char err[Q_ERRLEN];
    mem_document d = {0};
    int64_t since = 0;
    if (!l->n || mem_document_get(s, document, &d, err) != Q_OK) return 0;
    for (int i = 0; i < l->n && !since; i++) {
        size_t n = strlen(l->v[i].folder);
        if (strncmp(d.path, l->v[i].folder, n) == 0 && (d.path[n] == '/' || l->v[i].folder[n - 1] == '/')) since = l->v[i].since_ms;
    }
    mem_document_free(&d);
    return since;
}

void rag_away_mark(mem_store *s, rag_result *r)
{
    char err[Q_ERRLEN];
    rag_aways l;
    bool any = false;
    for (int i = 0; i < r->n; i++) any |= r->v[i].taken_ms != 0;
    if (any && rag_away_list(s, &l, err) == Q_OK) {
        for (int i = 0; i < r->n; i++)
            if (r->v[i].taken_ms) r->v[i].away_ms = rag_away_since(s, &l, r->v[i].source);
        rag_aways_free(&l);
    }
}

char *rag_away_words(int64_t away_ms)
{
    time_t t = (time_t)(away_ms / 1000);
    struct tm tm;
    char day[16] = "?";
    if (localtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%d", &tm);
    return q_printf(_("not reachable since %s"), day);
}
