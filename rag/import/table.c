/* rag/import/table: rows of CSV and values of JSON, each with the names that it stands under, so that a passage of them can be
 * found and understood alone. Pure functions; any thread. */
#include "rag/import/table.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
        } else if (!quoted && (c == '\n' || c == '\r')) {       /* also of DOS and of an older Mac */
            *at += c == '\r' && *at + 1 < n && p[*at + 1] == '\n' ? 2 : 1;
            return true;
        } else if (c == '\n' || c == '\r' || c == '\t') {
            if (cell->len) q_buf_putc(cell, ' ');
        } else q_buf_putc(cell, c);
        begins = false;
    }
    return true;
}

static size_t line_end(const char *p, size_t n, size_t at)
{
    while (at < n && p[at] != '\n' && p[at] != '\r') at++;
    return at;
}

/* How many of a sign there are in a line, outside of quotes. */
static size_t signs_in(const char *p, size_t from, size_t to, char sign)
{
    size_t k = 0;
    bool quoted = false;
    for (size_t i = from; i < to; i++) {
        if (p[i] == '"') quoted = !quoted;
        k += !quoted && p[i] == sign;
    }
    return k;
}

static bool says_sign(const char *p, size_t n) { return n > 5 && strncasecmp(p, "sep=", 4) == 0 && line_end(p, n, 0) == 5; }

/* The sign of which a line has most, *most times; with `twice`, of those that the next line has as often. 0: none. */
static char most_of(const char *p, size_t n, size_t at, bool twice, size_t *most)
{
    static const char signs[] = ",;\t|";
    size_t end = line_end(p, n, at), below = end;
    char best = 0;
    while (below < n && (p[below] == '\n' || p[below] == '\r')) below++;
    *most = 0;
    for (const char *s = signs; *s; s++) {
        size_t k = signs_in(p, at, end, *s);
        bool sure = !twice && *s != '|';
        if (k > *most && (sure || signs_in(p, below, line_end(p, n, below), *s) == k)) *most = k, best = *s;
    }
    return best;
}

/* What parts the cells: the sign that "sep=;" in the first line names, as Excel has it, or of which the first line has most. Lines of a title
 * may stand above: then the names and the line below them have more, and as many. *from: where the table begins. 0: there is none. */
static char parts_of(const char *p, size_t n, size_t *from)
{
    enum { TITLES = 8 };
    size_t at, first, most;
    *from = 0;
    if (says_sign(p, n)) {
        *from = 5 + strspn(p + 5, "\r\n");
        return p[4];
    }
    char part = most_of(p, n, 0, false, &first);
    if (first && most_of(p, n, 0, true, &most) == part) return part;
    at = line_end(p, n, 0);
    for (int line = 1; line < TITLES; line++, at = line_end(p, n, at)) {
        while (at < n && (p[at] == '\n' || p[at] == '\r')) at++;
        char sign = at < n ? most_of(p, n, at, true, &most) : 0;
        if (!sign || most <= first) continue;
        *from = at;
        return sign;
    }
    return part;
}

static bool numeric(const q_buf *c) { return c->len && strspn(c->p, "0123456789+-.,: ") == c->len; }

/* Two years or more that rise or fall are names of columns: a cell that is one is NULL or behind such a one. */
static bool years(const struct row *r)
{
    long before = 0, step = 0;
    int k = 0;
    for (int i = 0; i < r->n; i++) {
        const q_buf *c = &r->cell[i];
        if (!numeric(c)) continue;
        long y = c->len == 4 && strspn(c->p, "0123456789") == 4 ? strtol(c->p, NULL, 10) : 0;
        if (y < 1000 || y > 2999 || i == 0) return false;
        if (k > 0 && (y == before || (step && (y > before) != (step > 0)))) return false;
        if (k > 0) step = y - before;
        before = y;
        k++;
    }
    return k != 1;
}

/* Names: words, short; the first may have none (an index), and so may those at the end. Some are alike only where the row below shows by its
 * numbers that these are names. */
static bool is_head(const struct row *r, const struct row *below)
{
    int named = r->n;
    bool twice = false, numbers = false;
    while (named && !r->cell[named - 1].len) named--;
    for (int i = 0; i < named; i++) {
        const q_buf *c = &r->cell[i];
        if ((!c->len && i > 0) || c->len > NAME_MAX_) return false;
        for (int k = 0; k < i; k++) twice |= strcmp(c->p, r->cell[k].p ? r->cell[k].p : "") == 0;
        numbers |= i < below->n && numeric(&below->cell[i]) && !numeric(c);
    }
    return r->n > 1 && named > (r->cell[0].len ? 0 : 1) && years(r) && (!twice || numbers);
}

static void put_row(const struct row *names, const struct row *r, q_buf *out)
{
    bool any = false;
    for (int i = 0; i < r->n; i++) {
        const q_buf *c = &r->cell[i];
        if (!c->len) continue;
        if (any) q_buf_puts(out, " | ");
        if (i < names->n && names->cell[i].len) q_buf_printf(out, "%s: ", names->cell[i].p);
        q_buf_add(out, c->p, c->len);
        any = true;
    }
    if (any) q_buf_puts(out, "\n\n");
}

void rag_csv(q_buf *b)
{
    size_t at, below;
    char part = parts_of(b->p, b->len, &at);
    if (!part) return;
    struct row *names = q_alloc(sizeof *names), *r = q_alloc(sizeof *r);
    q_buf out = {0};
    bool titled = at && !says_sign(b->p, b->len);
    if (titled) q_buf_add(&out, b->p, at);
    if (titled) q_buf_putc(&out, '\n');
    below = at;
    if (next_row(b->p, b->len, &below, part, names)) {
        size_t peek = below;
        if (!next_row(b->p, b->len, &peek, part, r)) row_clear(r);
        if (is_head(names, r)) at = below;
        else row_clear(names);
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
