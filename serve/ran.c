/* serve/ran: see ran.h. */
#include "serve/ran.h"

#include <stdlib.h>
#include <string.h>

enum { EMPTY = 0xFFFF };

void base64_write(const void *from, size_t n, q_buf *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = from;
    q_buf_puts(out, "");
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        const char four[4] = { digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=', i + 2 < n ? digit[v & 63] : '=' };
        q_buf_add(out, four, 4);
    }
}

static size_t row(const ran *r) { return (size_t)r->layers * (size_t)r->k; }

static void room(ran *r, int n)
{
    if (n > r->cap) {
        r->cap = n < 64 ? 64 : 2 * n;
        r->id = q_realloc(r->id, sizeof *r->id * row(r) * (size_t)r->cap + 1);
        r->known = q_realloc(r->known, sizeof *r->known * (size_t)r->cap);
    }
    for (; r->n < n; r->n++) {
        memset(r->id + (size_t)r->n * row(r), 0xFF, sizeof *r->id * row(r));
        r->known[r->n] = false;
    }
}

size_t ran_put(ran *r, const prov_position *p)
{
    if (p->pos < 0 || p->n_layer <= 0 || p->max_k <= 0)
        return 0;
    if (!r->layers)
        *r = (ran){ .layers = p->n_layer, .k = p->max_k };
    int had = r->n;
    room(r, p->pos + 1);
    uint16_t *to = r->id + (size_t)p->pos * row(r);
    int k = p->max_k < r->k ? p->max_k : r->k;
    for (int l = 0; l < r->layers && l < p->n_layer; l++)
        memcpy(to + l * r->k, p->ids + l * p->max_k, sizeof *to * (size_t)k);
    r->known[p->pos] = true;
    return sizeof *r->id * row(r) * (size_t)(r->n - had);
}

size_t ran_begin(ran *r, const ran *first, int n)
{
    if (!first->layers)
        return 0;
    *r = (ran){ .layers = first->layers, .k = first->k };
    n = n < first->n ? n : first->n;
    room(r, n);
    memcpy(r->id, first->id, sizeof *r->id * row(r) * (size_t)n);
    memcpy(r->known, first->known, sizeof *r->known * (size_t)n);
    return sizeof *r->id * row(r) * (size_t)n;
}

/* {'descr': …} as numpy writes it: the head's end lies at a multiple of 64. */
static void npy_head(const char *descr, int n, int layers, int k, q_buf *out)
{
    char *dict = q_printf("{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d, %d), }", descr, n, layers, k);
    size_t whole = (10 + strlen(dict) + 1 + 63) / 64 * 64, len = whole - 10;
    const char magic[10] = { '\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(len & 255), (char)(len >> 8) };
    q_buf_add(out, magic, sizeof magic);
    q_buf_puts(out, dict);
    while (out->len + 1 < whole)
        q_buf_putc(out, ' ');
    q_buf_putc(out, '\n');
    free(dict);
}

void ran_write(const ran *r, int from, int n, const prov_info *info, q_buf *out)
{
    q_buf b = { 0 };
    n = n < r->n ? n : r->n;
    from = from < 0 ? 0 : from < n ? from : n;
    bool holes = false;
    for (int i = from; i < n; i++)
        for (size_t at = 0; at < row(r); at++)
            holes |= r->id[(size_t)i * row(r) + at] == EMPTY && (!r->known[i] || (int)at / r->k >= info->first_moe_layer);
    int width = holes ? 4 : info->n_expert <= 256 ? 1 : 2;
    npy_head(width == 4 ? "<i4" : width == 2 ? "<u2" : "|u1", n - from, r->layers, r->k, &b);
    for (int i = from; i < n; i++)
        for (size_t at = 0; at < row(r); at++) {
            uint16_t id = r->id[(size_t)i * row(r) + at];
            uint32_t x = id != EMPTY ? id : holes ? UINT32_MAX : 0;          /* a dense layer's row: nobody looks at it */
            for (int w = 0; w < width; w++)
                q_buf_putc(&b, (char)(x >> 8 * w & 255));
        }
    base64_write(b.p, b.len, out);
    q_buf_free(&b);
}

void ran_free(ran *r)
{
    free(r->id);
    free(r->known);
    *r = (ran){ .id = NULL };
}
