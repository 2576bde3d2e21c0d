/* lab/routes_csv: a set of routing from a CSV as /trace save writes it (agent/trace.c): a row a token and routed layer, found by
 * the names in the first line, so that columns may be added or moved. Nothing is taken from a file that is half understood. */
#include "lab/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 4096, LAYERS = 1000, EXPERTS = INT16_MAX, MOST_IDS = 1 << 29 /* of all tokens, empty columns too */ };   /* as many as a model may have */
enum { POSITION, LAYER, ENTROPY, MARGIN, FIXED };
static const char *const names[FIXED] = { "position", "layer", "entropy", "margin" };

typedef struct cell { const char *p; size_t n; } cell;       /* without its quotes */
typedef struct reader {
    const char *at, *end;
    int line;
    cell cell[CELLS];
    int n;
    int column[FIXED];                   /* -1: there is none */
    int *expert, experts;                /* expert_0, expert_1, … */
    char *err;
} reader;

static int wrong(const reader *r, const char *what)
{
    return q_fail(r->err, Q_FORMAT, _("line %d of the trace: %s"), r->line, what);
}

/* The cells of the next line; 0: the end. */
static int next_line(reader *r)
{
    r->n = 0;
    if (r->at == r->end)
        return 0;
    r->line++;
    for (bool more = true; more;) {
        cell c = { r->at, 0 };
        if (r->at < r->end && *r->at == '"') {
            const char *p = r->at + 1;
            while (p < r->end && !(*p == '"' && (p + 1 == r->end || p[1] != '"')))
                p += *p == '"' ? 2 : 1;
            if (p >= r->end)
                return wrong(r, _("a quote is not closed"));
            c = (cell){ r->at + 1, (size_t)(p - r->at) - 1 };
            r->at = p + 1;
        } else {
            while (r->at < r->end && *r->at != ',' && *r->at != '\n')
                r->at++;
            c.n = (size_t)(r->at - c.p);
            c.n -= c.n && c.p[c.n - 1] == '\r';
        }
        if (r->n == CELLS)
            return wrong(r, _("it has too many columns"));
        r->cell[r->n++] = c;
        r->at += r->at < r->end && *r->at == '\r';
        more = r->at < r->end && *r->at == ',';
        if (!more && r->at < r->end && *r->at != '\n')
            return wrong(r, _("something stands behind a closing quote"));
        r->at += r->at < r->end;
    }
    return 1;
}

static int column(const reader *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (r->cell[i].n == strlen(name) && memcmp(r->cell[i].p, name, r->cell[i].n) == 0)
            return i;
    return -1;
}

static int head(reader *r)
{
    int rc = next_line(r);
    if (rc < 0)
        return rc;
    for (int i = 0; i < FIXED; i++)
        r->column[i] = column(r, names[i]);
    r->expert = q_alloc(sizeof *r->expert * (size_t)(r->n + 1));
    for (int at; r->experts < r->n; r->expert[r->experts++] = at) {
        char name[24];
        snprintf(name, sizeof name, "expert_%d", r->experts);
        if ((at = column(r, name)) < 0)
            break;
    }
    if (r->column[LAYER] < 0 || r->experts == 0)
        return q_fail(r->err, Q_FORMAT, _("this is no trace: its first line names no column layer or expert_0; /trace save FILE writes one"));
    return Q_OK;
}

/* A whole number of 0 to most, in a cell; -1: it is none. */
static long whole(const reader *r, int at, long most)
{
    long v = 0;
    if (at < 0 || at >= r->n || r->cell[at].n == 0 || r->cell[at].n > 9)
        return -1;
    for (size_t i = 0; i < r->cell[at].n; i++) {
        char c = r->cell[at].p[i];
        if (c < '0' || c > '9')
            return -1;
        v = v * 10 + (c - '0');
    }
    return v <= most ? v : -1;
}

/* NAN where there is none; false: it is no number. */
static bool real(const reader *r, int at, float *out)
{
    char text[40], *end;
    *out = NAN;
    if (at < 0 || at >= r->n || r->cell[at].n == 0)
        return true;
    if (r->cell[at].n >= sizeof text)
        return false;
    memcpy(text, r->cell[at].p, r->cell[at].n);
    text[r->cell[at].n] = 0;
    *out = strtof(text, &end);
    return !*end && isfinite(*out);
}

typedef struct row { int layer, k; long position; uint16_t *ids; float entropy, margin; } row;

static int read_row(const reader *r, row *o)
{
    if ((o->layer = (int)whole(r, r->column[LAYER], LAYERS - 1)) < 0)
        return wrong(r, _("its layer is no number of a layer"));
    o->position = whole(r, r->column[POSITION], 1L << 29);
    o->k = 0;
    for (int i = 0; i < r->experts; i++) {
        if (r->expert[i] >= r->n || r->cell[r->expert[i]].n == 0)
            continue;
        long e = whole(r, r->expert[i], EXPERTS - 1);
        if (e < 0)
            return wrong(r, _("an expert is no number of an expert"));
        o->ids[o->k++] = (uint16_t)e;
    }
    if (o->k == 0)
        return wrong(r, _("no expert stands in it"));
    return real(r, r->column[ENTROPY], &o->entropy) && real(r, r->column[MARGIN], &o->margin) ? Q_OK : wrong(r, _("its entropy or margin is no number"));
}

/* The layers of the first token: those of all. */
static int layers_of(reader *r, row *o, int *layer, int *n)
{
    const char *from = r->at;
    int line = r->line, rc;
    *n = 0;
    while ((rc = next_line(r)) == 1) {
        if ((rc = read_row(r, o)) < 0)
            return rc;
        if (*n && o->layer <= layer[*n - 1])
            break;
        layer[(*n)++] = o->layer;
    }
    r->at = from;
    r->line = line;
    return rc < 0 ? rc : *n ? Q_OK : q_fail(r->err, Q_FORMAT, _("the trace has no tokens: only its first line is there"));
}

static int read_rows(reader *r, row *o, lab_routes *to)
{
    long before = -2;
    int at = 0, rc;                      /* at: which layer of the token comes */
    while ((rc = next_line(r)) == 1) {
        if ((rc = read_row(r, o)) < 0)
            return rc;
        if (o->layer != to->layer[at])
            return wrong(r, _("its layer is not the one that comes next: each token has a row for each layer of the first one"));
        if (at == 0 && (size_t)(to->n + 1) * (size_t)to->n_layer * (size_t)to->max_k > MOST_IDS)
            return wrong(r, _("the trace is too large: leave out columns of experts that are empty, or cut it"));
        if (at == 0) {
            routes_token(to, o->position >= 0 && o->position != before + 1);
            before = o->position;
        }
        if (!routes_put(to, at, o->ids, o->k, o->entropy, o->margin))
            return wrong(r, _("an expert stands in it twice, or there are fewer experts"));
        at = (at + 1) % to->n_layer;
    }
    return rc < 0 ? rc : at ? wrong(r, _("the last token lacks layers: the file was cut short")) : Q_OK;
}

int lab_routes_csv(const char *text, size_t n, int n_expert, lab_routes **out, char *err)
{
    reader *r = q_alloc(sizeof *r);
    int *layer = q_alloc(sizeof *layer * LAYERS), layers;
    row o = { 0 };
    *r = (reader){ .at = text, .end = text + n, .err = err };
    *out = NULL;
    int rc = n ? head(r) : q_fail(err, Q_FORMAT, _("the trace is an empty file"));
    o.ids = q_alloc(sizeof *o.ids * (size_t)(r->experts + 1));
    if (rc == Q_OK)
        rc = layers_of(r, &o, layer, &layers);
    if (rc == Q_OK) {
        *out = routes_new(layer, layers, r->experts, n_expert);
        rc = read_rows(r, &o, *out);
    }
    if (rc) {
        lab_routes_free(*out);
        *out = NULL;
    }
    free(o.ids);
    free(layer);
    free(r->expert);
    free(r);
    return rc;
}
