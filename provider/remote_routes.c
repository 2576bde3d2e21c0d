/* provider/remote_routes: see remote_routes.h. */
#include "provider/remote_routes.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 28, NONE = 0xFFFF };  /* ids at most */

void remote_routes_free(remote_routes *r)
{
    free(r->id);
    *r = (remote_routes){ .id = NULL };
}

static int no_format(char *err)
{
    return q_fail(err, Q_FORMAT, _("the server's routing cannot be read: check routing of its section in config.ini, and the server's version"));
}

static int other_shape(const prov_server *s, int layers, int k, char *err)
{
    return q_fail(err, Q_RANGE, _("the server's routing has %d layers of %d experts a token, and its section in config.ini says %d of %d: mend layers and k"),
                  layers, k, s->layers, s->k);
}

/* ---- base64 (RFC 4648, 4) ---- */
static int digit(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool base64(const char *s, q_buf *out)
{
    size_t n = strlen(s);
    while (n && s[n - 1] == '=')
        n--;
    if (n % 4 == 1)
        return false;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < n; i++) {
        int d = digit(s[i]);
        if (d < 0)
            return false;
        bits = bits << 6 | (uint32_t)d;
        if ((have += 6) >= 8)
            q_buf_putc(out, (char)(bits >> (have -= 8)));
    }
    return true;
}

/* ---- ids ---- */
/* A layer that routes nothing has no experts, whatever its row holds. x < 0: an empty place. */
static int put(const prov_server *s, remote_routes *r, size_t at, long x, char *err)
{
    int layer = (int)(at / (size_t)r->k % (size_t)r->layers);
    if (layer >= s->dense && x >= s->experts)
        return q_fail(err, Q_RANGE, _("the server's routing names expert %ld, and its section in config.ini says there are %d: mend experts"), x, s->experts);
    r->id[at] = layer < s->dense || x < 0 ? NONE : (uint16_t)x;
    return Q_OK;
}

static int numbers(const prov_server *s, const unsigned char *p, int width, remote_routes *r, char *err)
{
    size_t all = (size_t)r->n * (size_t)r->layers * (size_t)r->k;
    int rc = Q_OK;
    r->id = q_alloc(sizeof *r->id * (all + 1));
    for (size_t i = 0; i < all && rc == Q_OK; i++) {
        const unsigned char *b = p + i * (size_t)width;
        uint32_t x = width == 1 ? b[0] : width == 2 ? b[0] | (uint32_t)b[1] << 8
                   : b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        rc = put(s, r, i, width == 4 ? (long)(int32_t)x : (long)x, err);
    }
    return rc;
}

/* ---- .npy ---- */
static const char *behind(const char *head, size_t n, const char *word)
{
    const char *at = memmem(head, n, word, strlen(word));
    return at ? at + strlen(word) : NULL;
}

/* {'descr': '|u1', 'fortran_order': False, 'shape': (7, 48, 8), }; head is followed by a 0. */
static int npy_head(const prov_server *s, const char *head, size_t n, int *width, remote_routes *r, char *err)
{
    static const struct { const char *descr; int width; } row[] = { { "'|u1'", 1 }, { "'<u2'", 2 }, { "'<i4'", 4 } };
    const char *descr = behind(head, n, "'descr': "), *order = behind(head, n, "'fortran_order': False"), *shape = behind(head, n, "'shape': (");
    long x[3];
    *width = 0;
    for (size_t i = 0; descr && i < sizeof row / sizeof *row; i++)
        if (strncmp(descr, row[i].descr, strlen(row[i].descr)) == 0)
            *width = row[i].width;
    if (!*width || !order || !shape)
        return no_format(err);
    for (int i = 0; i < 3; i++) {
        char *end;
        x[i] = *shape >= '0' && *shape <= '9' ? strtol(shape, &end, 10) : -1;
        if (x[i] < 0 || x[i] > MOST || *end != (i < 2 ? ',' : ')'))
            return no_format(err);
        shape = end + 1 + (i < 2 && end[1] == ' ');
    }
    if (x[1] != s->layers || x[2] != s->k)
        return other_shape(s, (int)x[1], (int)x[2], err);
    *r = (remote_routes){ NULL, (int)x[0], (int)x[1], (int)x[2] };
    return Q_OK;
}

static int npy(const prov_server *s, const q_buf *b, remote_routes *out, char *err)
{
    const unsigned char *p = (const unsigned char *)b->p;
    int width;
    if (b->len < 12 || memcmp(p, "\x93NUMPY", 6) != 0 || p[6] < 1 || p[6] > 3)
        return no_format(err);
    size_t from = p[6] == 1 ? 10 : 12, head = p[8] | (size_t)p[9] << 8 | (p[6] == 1 ? 0 : (size_t)p[10] << 16 | (size_t)p[11] << 24);
    if (head > b->len - from)
        return no_format(err);
    char *text = q_strndup(b->p + from, head);
    int rc = npy_head(s, text, strlen(text), &width, out, err);
    free(text);
    size_t each = rc == Q_OK ? (size_t)out->layers * (size_t)out->k * (size_t)width : 1;
    if (rc == Q_OK && (b->len - from - head) / each != (size_t)out->n)
        rc = no_format(err);
    return rc < 0 ? rc : numbers(s, p + from + head, width, out, err);
}

static int bare(const prov_server *s, const q_buf *b, remote_routes *out, char *err)
{
    size_t each = 4 * (size_t)s->layers * (size_t)s->k;
    if (b->len % each || b->len / 4 > MOST)
        return q_fail(err, Q_RANGE, _("the server's routing is not of %d layers of %d experts a token, as its section in config.ini says: mend layers and k"), s->layers, s->k);
    *out = (remote_routes){ NULL, (int)(b->len / each), s->layers, s->k };
    return numbers(s, (const unsigned char *)b->p, 4, out, err);
}

/* ---- lists of lists of lists ---- */
static int lists(const prov_server *s, const char *said, remote_routes *out, char *err)
{
    cJSON *j = cJSON_Parse(said);
    const cJSON *position, *layer, *id;
    int n = cJSON_GetArraySize(j), rc = cJSON_IsArray(j) ? Q_OK : no_format(err);
    size_t at = 0;
    if (rc == Q_OK && (uint64_t)n * (uint64_t)s->layers * (uint64_t)s->k > MOST)
        rc = no_format(err);
    if (rc == Q_OK) {
        *out = (remote_routes){ NULL, n, s->layers, s->k };
        out->id = q_alloc(sizeof *out->id * ((size_t)n * (size_t)s->layers * (size_t)s->k + 1));
    }
    cJSON_ArrayForEach(position, j) {
        if (rc == Q_OK && cJSON_GetArraySize(position) != s->layers)
            rc = other_shape(s, cJSON_GetArraySize(position), s->k, err);
        cJSON_ArrayForEach(layer, position) {
            if (rc == Q_OK && cJSON_GetArraySize(layer) != s->k)
                rc = other_shape(s, s->layers, cJSON_GetArraySize(layer), err);
            cJSON_ArrayForEach(id, layer)
                if (rc == Q_OK)
                    rc = cJSON_IsNumber(id) && id->valuedouble >= -1 && id->valuedouble < 1e9 ? put(s, out, at++, (long)id->valuedouble, err) : no_format(err);
        }
    }
    cJSON_Delete(j);
    return rc;
}

/* Ids of one layer are all different where it routes: a row of equal ones (zeros, by vLLM and by quorum serve) is that of a layer without experts, also
 * where `dense` does not stand in the section. */
static void clear_dense(remote_routes *r)
{
    for (size_t row = 0; r->k > 1 && row < (size_t)r->n * (size_t)r->layers; row++) {
        uint16_t *id = r->id + row * (size_t)r->k;
        int same = 1;
        while (same < r->k && id[same] == id[0])
            same++;
        for (int i = 0; same == r->k && i < r->k; i++)
            id[i] = NONE;
    }
}

int remote_routes_read(const prov_server *s, const char *said, remote_routes *out, char *err)
{
    q_buf b = { 0 };
    *out = (remote_routes){ .id = NULL };
    int rc;
    if (*said == '[')
        rc = lists(s, said, out, err);
    else if (!base64(said, &b))
        rc = no_format(err);
    else
        rc = s->routing == SERVER_SGLANG ? bare(s, &b, out, err) : npy(s, &b, out, err);
    q_buf_free(&b);
    if (rc < 0)
        remote_routes_free(out);
    else
        clear_dense(out);
    return rc;
}
