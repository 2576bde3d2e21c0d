/* rag/import/table: rows of CSV and values of JSON, each with the names that it stands under, so that a passage of them can be
 * found and understood alone. Pure functions; any thread. */
#include "rag/import/table.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 256, NAME_MAX_ = 60, JSON_MAX = 4 << 20, PATH_MAX_ = 200 };

/* ---- CSV ---- */
struct row { q_buf cell[COLUMNS_MAX]; int n; };

static void row_clear(struct row *r)
{
    for (int i = 0; i < r->n; i++) q_buf_clear(&r->cell[i]);
    r->n = 0;
}

/* The next row; a quoted cell may hold ends of lines. False at the end. */
static bool next_row(const char *p, size_t n, size_t *at, char part, struct row *r)
{
    bool quoted = false, begins = true;
    row_clear(r);
    if (*at >= n) return false;
    r->n = 1;
    for (; *at < n; ++*at) {
        char c = p[*at];
        q_buf *cell = &r->cell[r->n - 1];
        if (quoted && c == '"' && *at + 1 < n && p[*at + 1] == '"') q_buf_putc(cell, p[++*at]);
        else if (quoted ? c == '"' : c == '"' && begins) quoted = !quoted;
        else if (!quoted && c == part && r->n < COLUMNS_MAX) {
            r->n++;
            begins = true;
            continue;
        } else if (!quoted && c == '\n') {
            ++*at;
            return true;
        } else if (c == '\n' || c == '\r' || c == '\t') {
            if (cell->len) q_buf_putc(cell, ' ');
        } else q_buf_putc(cell, c);
        begins = false;
    }
    return true;
}

/* What parts the cells: the sign of which the first line has most; 0: it has none. */
static char parts_of(const char *p, size_t n)
{
    static const char signs[] = ",;\t";
    size_t most = 0;
    char best = 0;
    const char *end = memchr(p, '\n', n);
    size_t len = end ? (size_t)(end - p) : n;
    for (const char *s = signs; *s; s++) {
        size_t k = 0;
        for (size_t i = 0; i < len; i++) k += p[i] == *s;
        if (k > most) most = k, best = *s;
    }
    return best;
}

/* Names: words, short, none empty, none twice. */
static bool is_head(const struct row *r)
{
    for (int i = 0; i < r->n; i++) {
        const q_buf *c = &r->cell[i];
        if (!c->len || c->len > NAME_MAX_ || strspn(c->p, "0123456789+-.,: ") == c->len) return false;
        for (int k = 0; k < i; k++)
            if (strcmp(c->p, r->cell[k].p) == 0) return false;
    }
    return r->n > 1;
}

static void put_row(const struct row *names, const struct row *r, q_buf *out)
{
    bool any = false;
    for (int i = 0; i < r->n; i++) {
        const q_buf *c = &r->cell[i];
        if (!c->len) continue;
        if (any) q_buf_puts(out, " | ");
        if (i < names->n) q_buf_printf(out, "%s: ", names->cell[i].p);
        q_buf_add(out, c->p, c->len);
        any = true;
    }
    if (any) q_buf_puts(out, "\n\n");
}

void rag_csv(q_buf *b)
{
    char part = parts_of(b->p, b->len);
    size_t at = 0;
    if (!part) return;
    struct row *names = q_alloc(sizeof *names), *r = q_alloc(sizeof *r);
    q_buf out = {0};
    if (next_row(b->p, b->len, &at, part, names) && !is_head(names)) {
        row_clear(names);
        at = 0;
    }
    while (next_row(b->p, b->len, &at, part, r)) put_row(names, r, &out);
    for (int i = 0; i < COLUMNS_MAX; i++) {
        q_buf_free(&names->cell[i]);
        q_buf_free(&r->cell[i]);
    }
    free(names);
    free(r);
    if (out.len) {
        q_buf_free(b);
        *b = out;
    } else q_buf_free(&out);
}

/* ---- JSON ---- */
static void name_of(const cJSON *o, int at, char path[PATH_MAX_], size_t n)
{
    if (n >= PATH_MAX_ - 24) return;
    if (o->string) {
        size_t k = strlen(o->string), room = PATH_MAX_ - 2 - n;
        size_t fits = k < room ? k : q_utf8_whole(o->string, room);
        if (n) path[n++] = '.';
        memcpy(path + n, o->string, fits < room ? fits : room - 1);
        n += fits < room ? fits : room - 1;
        path[n] = 0;
    } else {
        char *number = q_printf("%s%d", n ? "." : "", at);
        memcpy(path + n, number, strlen(number) + 1);
        free(number);
    }
}

/* cJSON lets no more than a thousand levels in. */
static void values(const cJSON *o, char path[PATH_MAX_], int level, q_buf *out)
{
    size_t n = strlen(path);
    int at = 0;
    for (const cJSON *x = o->child; x; x = x->next, at++) {
        name_of(x, at, path, n);
        if (cJSON_IsObject(x) || cJSON_IsArray(x)) values(x, path, level + 1, out);
        else if (cJSON_IsString(x)) q_buf_printf(out, "%s: %s\n", path, x->valuestring);
        else if (cJSON_IsNumber(x)) q_buf_printf(out, "%s: %.15g\n", path, x->valuedouble);
        else q_buf_printf(out, "%s: %s\n", path, cJSON_IsTrue(x) ? "true" : cJSON_IsFalse(x) ? "false" : "null");
        path[n] = 0;
        if (level < 2 && (x->child || !x->next)) q_buf_putc(out, '\n');
    }
}

void rag_json(q_buf *b)
{
    cJSON *o = b->len <= JSON_MAX ? cJSON_ParseWithLength(b->p, b->len) : NULL;
    char path[PATH_MAX_] = "";
    q_buf out = {0};
    if (o) values(o, path, 0, &out);
    cJSON_Delete(o);
    if (out.len) {
        q_buf_clear(b);
        q_buf_puts_clean(b, &out);
    }
    q_buf_free(&out);
}
