/* provider/remote_share: see remote_share.h. */
#include "provider/remote_share.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

void share_begin(remote_share *s, int n)
{
    share_free(s);
    s->n = n;
    s->kept = q_alloc(sizeof *s->kept * (size_t)n);
}

void share_free(remote_share *s)
{
    for (int i = 0; i < s->n; i++)
        q_buf_free(&s->kept[i]);
    free(s->kept);
    *s = (remote_share){ .n = 0 };
}

/* The answer's number, and -1 for one that nobody asked for or whose turn is over. */
static int number_of(const remote_share *s, const cJSON *choice)
{
    const cJSON *index = cJSON_GetObjectItemCaseSensitive(choice, "index");
    double x = cJSON_IsNumber(index) ? index->valuedouble : 0;
    return x >= s->now && x < s->n && x == (int)x ? (int)x : -1;
}

/* One line, to whom it is: a text of JSON that was printed plainly holds no line's end. */
static int give(remote_share *s, int to, const char *json, share_take *take, void *user)
{
    size_t n = strlen(json);
    if (to == s->now)
        return take(user, json, n) ? Q_OK : Q_ERR;
    if (n + 1 > SHARE_BYTES - s->bytes)
        return Q_RANGE;
    q_buf_add(&s->kept[to], json, n);
    q_buf_putc(&s->kept[to], '\n');
    s->bytes += n + 1;
    return Q_OK;
}

/* One answer's part of a chunk, with all that the chunk says beside its answers. choice: taken. */
static int part(remote_share *s, const cJSON *rest, cJSON *choice, int to, share_take *take, void *user)
{
    cJSON *one = cJSON_Duplicate(rest, true);
    cJSON_DeleteItemFromObjectCaseSensitive(choice, "index");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(one, "choices"), choice);
    char *text = cJSON_PrintUnformatted(one);
    cJSON_Delete(one);
    s->came = to + 1 > s->came ? to + 1 : s->came;
    int rc = give(s, to, text, take, user);
    free(text);
    return rc;
}

/* What is of no answer is of all. */
static int for_all(remote_share *s, const cJSON *j, share_take *take, void *user)
{
    char *text = cJSON_PrintUnformatted(j);
    int rc = Q_OK;
    for (int i = s->n - 1; i >= s->now && rc == Q_OK; i--)
        rc = give(s, i, text, take, user);
    free(text);
    return rc;
}

int share_chunk(remote_share *s, const char *json, size_t n, share_take *take, void *user)
{
    cJSON *j = cJSON_ParseWithLength(json, n), *choices = cJSON_DetachItemFromObjectCaseSensitive(j, "choices"), *one;
    int rc = Q_OK;
    if (!cJSON_IsObject(j)) {
        cJSON_Delete(j);
        return take(user, json, n) ? Q_OK : Q_ERR;       /* whoever reads it says what is wrong */
    }
    cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(j, "usage"), "completion_tokens");
    if (!cJSON_IsArray(choices) || cJSON_GetArraySize(choices) == 0)
        rc = for_all(s, j, take, user);
    while (rc == Q_OK && cJSON_IsArray(choices) && (one = cJSON_DetachItemFromArray(choices, 0)) != NULL) {
        int to = number_of(s, one);
        if (to >= 0)
            rc = part(s, j, one, to, take, user);
        else
            cJSON_Delete(one);
    }
    cJSON_Delete(choices);
    cJSON_Delete(j);
    return rc;
}

bool share_next(remote_share *s, share_take *take, void *user)
{
    if (s->now + 1 >= s->n || s->came <= s->now + 1)
        return false;
    q_buf b = s->kept[++s->now];
    s->kept[s->now] = (q_buf){ .p = NULL };
    s->bytes -= b.len;
    bool on = true;
    for (char *p = b.p, *end; on && p && (end = memchr(p, '\n', b.len - (size_t)(p - b.p))) != NULL; p = end + 1)
        on = take(user, p, (size_t)(end - p));
    q_buf_free(&b);
    return true;
}
