/* base: allocation, buffers, clocks. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *need(void *p, size_t n)
{
    if (!p && n) {
        fprintf(stderr, "quorum: out of memory (%zu bytes asked for)\n", n);
        abort();
    }
    return p;
}

void *q_alloc(size_t n) { return need(calloc(1, n ? n : 1), n); }
void *q_realloc(void *p, size_t n) { return need(realloc(p, n ? n : 1), n); }
char *q_strdup(const char *s) { return q_strndup(s, strlen(s)); }

char *q_strndup(const char *s, size_t n)
{
    char *p = q_alloc(n + 1);
    if (n) memcpy(p, s, n);
    return p;
}

bool q_listed(const char *list, const char *parted, const char *word, size_t n)
{
    for (const char *p = list; p && n && *p;) {
        size_t w = strcspn(p, parted);
        if (w == n && memcmp(p, word, n) == 0)
            return true;
        p += w + strspn(p + w, parted);
    }
    return false;
}

char *q_printf(const char *fmt, ...)
{
    va_list ap;
    char *p = NULL;
    va_start(ap, fmt);
    if (vasprintf(&p, fmt, ap) < 0) p = NULL;
    va_end(ap);
    return need(p, 1);
}

/* ---- q_buf ---- */

static void buf_room(q_buf *b, size_t n)
{
    if (b->len + n + 1 <= b->cap) return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < b->len + n + 1) cap *= 2;
    b->p = q_realloc(b->p, cap);
    b->cap = cap;
}

void q_buf_add(q_buf *b, const void *p, size_t n)
{
    buf_room(b, n);
    if (n) memcpy(b->p + b->len, p, n);
    b->len += n;
    b->p[b->len] = 0;
}

void q_buf_puts(q_buf *b, const char *s) { q_buf_add(b, s, strlen(s)); }
void q_buf_putc(q_buf *b, char c) { q_buf_add(b, &c, 1); }

void q_buf_printf(q_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0) {                        /* nothing printed is an empty text, not none */
        buf_room(b, (size_t)n);
        vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void q_buf_clear(q_buf *b)
{
    b->len = 0;
    if (b->p) b->p[0] = 0;
}

char *q_buf_take(q_buf *b)
{
    char *p = b->p ? b->p : q_alloc(1);
    *b = (q_buf){0};
    return p;
}

void q_buf_free(q_buf *b)
{
    free(b->p);
    *b = (q_buf){0};
}

/* ---- time ---- */

int64_t q_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t q_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int q_hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

int q_percent(const char *p, size_t n)
{
    int high = n > 2 && *p == '%' ? q_hex_digit(p[1]) : -1, low = high >= 0 ? q_hex_digit(p[2]) : -1;
    return low >= 0 ? high << 4 | low : -1;
}

int q_by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
