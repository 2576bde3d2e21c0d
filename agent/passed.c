/* agent/passed: which folders are watched, as the store keeps it, and what in them a person forgot: that is passed over there until it is
 * added by its name. Of such a path only a hash is kept. Any thread. */
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>

static const char SETTING[] = "watched.", NOT[] = "watch.not.";

static char *key_of(const char *prefix, const char *path)
{
    return q_printf("%s%016llx", prefix, (unsigned long long)q_hash64(path, strlen(path), 7));
}

char *watching_key(const char *folder) { return key_of(SETTING, folder); }

bool watching_within(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == 0 || path[n] == '/' || (n && folder[n - 1] == '/'));
}

static void of_setting(void *user, const char *name, const char *value)
{
    if (strncmp(name, SETTING, strlen(SETTING)) == 0)
        strings_add(user, q_strdup(value));
}

int watching_folders(mem_store *s, strings *out, char *err) { return mem_setting_each(s, "usual.", of_setting, out, err); }

void watching_not(mem_store *s, const char *path)
{
    char err[Q_ERRLEN];
    strings all = { 0 };
    bool any = false;
    if (*path == '/' && watching_folders(s, &all, err) == Q_OK)
        for (int i = 0; i < all.n; i++)
            any |= watching_within(path, all.v[i]);
    strings_free(&all);
    char *key = any ? key_of(NOT, path) : NULL;
    if (key)
        mem_setting_put(s, key, "1", err);
    free(key);
}

void watching_again(mem_store *s, const char *path)
{
    char err[Q_ERRLEN], *key = key_of(NOT, path), *had = mem_setting_get(s, key);
    if (had)
        mem_setting_put(s, key, NULL, err);
    free(had);
    free(key);
}

bool watching_passes(mem_store *s, const char *path)
{
    char *key = key_of(NOT, path), *value = mem_setting_get(s, key);
    free(key);
    free(value);
    return value != NULL;
}
