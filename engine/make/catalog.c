/* engine/make/catalog: reads engine/make/catalog.ini. See engine/models.h (published models) and catalog.h. */
#include "engine/make/catalog.h"
#include "engine/make/shapes.h"

#include <ini.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CATALOG_MAX = 1 << 20 };

/* What a `note` of the file means. */
static const struct { const char *name, *words; } notes[] = {
    {"no-base", N_("no base version is published: to train from a base, take Qwen3-30B-A3B-Base or a dense one")},
    {"no-base-32b", N_("no base version of this size is published: take Qwen3-14B-Base or Qwen3-30B-A3B-Base instead")},
    {"no-base-235b", N_("no base version of this size is published: take Qwen3-30B-A3B-Base, or a dense 70B that has one (Llama-3.1-70B, Qwen2.5-72B)")},
    {"base-unsure", N_("whether a base version of this size is published is not confirmed: look at the hub before you plan with one")},
    {"mtp-apart", N_("published files hold one more layer that guesses ahead (MTP, some 3.6 thousand million weights): it is not counted here")},
};
static const char *const openings[] = {"yes", "partly", "no"};
static const char *const kinds[] = {"base", "instruct", "thinking", "hybrid"};

typedef struct reader {
    catalog *c;
    char *err;
    const char *name;
    int rc;
} reader;

static const char *keep(catalog *c, const char *s)
{
    c->text = q_realloc(c->text, (size_t)(c->n_text + 1) * sizeof *c->text);
    return c->text[c->n_text++] = q_strdup(s);
}

static eng_known *new_row(reader *r, const char *like)
{
    const shape *s = shape_named(NULL, like);
    if (!s) {
        r->rc = q_fail(r->err, Q_FORMAT, _("%s: [%s] is no shape that engine/make/shapes.c has"), r->name, like);
        return NULL;
    }
    r->c->row = q_realloc(r->c->row, (size_t)(r->c->n + 1) * sizeof *r->c->row);
    eng_known *k = &r->c->row[r->c->n++];
    *k = (eng_known){.like = s->like, .arch = s->arch, .family = "", .title = "", .note = "", .source = "", .date = "", .released = "", .n_layer = s->n_layer,
                     .n_expert = s->n_expert, .n_used = s->n_used, .n_ctx = s->n_ctx, .n_head = s->n_head, .n_kv = s->n_kv};
    return k;
}

static int published(reader *r, eng_known *k, const char *value)
{
    char type[16], source[256], date[16];
    unsigned long long bytes;
    if (sscanf(value, "%15s %llu %255s %15s", type, &bytes, source, date) != 4) return -1;
    eng_published *p = q_realloc((void *)k->published, (size_t)(k->n_published + 1) * sizeof *p);
    p[k->n_published++] = (eng_published){.type = keep(r->c, type), .source = keep(r->c, source), .date = keep(r->c, date), .bytes = bytes};
    k->published = p;
    return 0;
}

static int elsewhere(reader *r, eng_known *k, const char *value)
{
    char server[32], source[256], date[16];
    if (sscanf(value, "%31s %255s %15s", server, source, date) != 3) return -1;
    eng_elsewhere *e = q_realloc((void *)k->elsewhere, (size_t)(k->n_elsewhere + 1) * sizeof *e);
    e[k->n_elsewhere++] = (eng_elsewhere){.server = keep(r->c, server), .source = keep(r->c, source), .date = keep(r->c, date)};
    k->elsewhere = e;
    return 0;
}

/* YYYY-MM: who reads it counts in months. */
static bool is_month(const char *s)
{
    return strlen(s) == 7 && strspn(s, "0123456789") == 4 && s[4] == '-' && strspn(s + 5, "0123456789") == 2;
}

static int row_value(reader *r, eng_known *k, const char *name, const char *value)
{
    const struct { const char *name; const char **to; } texts[] = {
        {"family", &k->family}, {"title", &k->title}, {"source", &k->source}, {"date", &k->date}, {"released", &k->released},
    };
    if (strcmp(name, "released") == 0 && !is_month(value)) return -1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].name, name) == 0) return *texts[i].to = keep(r->c, value), 0;
    if (strcmp(name, "opened") == 0) return k->partly = true, strcmp(value, "partly") == 0 ? 0 : -1;
    if (strcmp(name, "published") == 0) return published(r, k, value);
    if (strcmp(name, "elsewhere") == 0) return eng_runs(k->arch) ? -1 : elsewhere(r, k, value);
    for (size_t i = 0; strcmp(name, "note") == 0 && i < sizeof notes / sizeof *notes; i++)
        if (strcmp(notes[i].name, value) == 0) return k->note = notes[i].words, 0;
    return -1;
}

static int variant_value(reader *r, eng_known *k, const char *variant, const char *name, const char *value)
{
    eng_variant *all = (eng_variant *)k->variant, *v = NULL;
    for (int i = 0; i < k->n_variant; i++)
        if (strcmp(all[i].name, variant) == 0) v = &all[i];
    if (!v) {
        all = q_realloc(all, (size_t)(k->n_variant + 1) * sizeof *all);
        v = &all[k->n_variant++];
        *v = (eng_variant){.kind = "", .name = keep(r->c, variant), .repo = "", .gguf = "", .licence = "", .sampling = "", .source = "", .date = "", .opened = ""};
        k->variant = all;
    }
    const struct { const char *name; const char **to; } texts[] = {
        {"repo", &v->repo}, {"gguf", &v->gguf}, {"licence", &v->licence}, {"sampling", &v->sampling}, {"source", &v->source}, {"date", &v->date},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].name, name) == 0) return *texts[i].to = keep(r->c, value), 0;
    for (size_t i = 0; strcmp(name, "kind") == 0 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], value) == 0) return v->kind = kinds[i], 0;
    for (size_t i = 0; strcmp(name, "opened") == 0 && i < sizeof openings / sizeof *openings; i++)
        if (strcmp(openings[i], value) == 0) return v->opened = openings[i], 0;
    if (strcmp(name, "context") == 0) return (v->context = atoi(value)) > 0 ? 0 : -1;
    if (strcmp(name, "gated") == 0) return v->gated = strcmp(value, "yes") == 0, 0;
    return -1;
}

static int on_line(void *user, const char *section, const char *name, const char *value)
{
    reader *r = user;
    if (r->rc) return 1;                    /* the first complaint stands */
    const char *slash = strchr(section, '/');
    char *like = slash ? q_strndup(section, (size_t)(slash - section)) : q_strdup(section);
    eng_known *k = NULL;
    for (int i = 0; i < r->c->n; i++)
        if (strcmp(r->c->row[i].like, like) == 0) k = &r->c->row[i];
    if (!k) k = new_row(r, like);
    free(like);
    if (!k) return 1;
    if ((slash ? variant_value(r, k, slash + 1, name, value) : row_value(r, k, name, value)) != 0)
        r->rc = q_fail(r->err, Q_FORMAT, _("%s: [%s] %s = %s is not understood"), r->name, section, name, value);
    return 1;
}

static const char *lacking(const eng_known *k, const char **where)
{
    const struct { const char *name, *value; } row[] = {{"family", k->family}, {"title", k->title}, {"source", k->source}, {"date", k->date}, {"released", k->released}};
    *where = k->like;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (!*row[i].value) return row[i].name;
    for (int i = 0; i < k->n_variant; i++) {
        const eng_variant *v = &k->variant[i];
        const struct { const char *name, *value; } of[] = {
            {"kind", v->kind}, {"repo", v->repo}, {"licence", v->licence}, {"source", v->source}, {"date", v->date}, {"opened", v->opened}, {"context", v->context ? "there" : ""},
        };
        *where = v->name;
        for (size_t j = 0; j < sizeof of / sizeof *of; j++)
            if (!*of[j].value) return of[j].name;
    }
    *where = k->like;
    if (!eng_runs(k->arch) && !k->n_elsewhere) return "elsewhere";
    return k->n_variant ? NULL : "a model";
}

static int by_size(const void *a, const void *b)
{
    double x = ((const eng_known *)a)->params_b, y = ((const eng_known *)b)->params_b;
    return x < y ? -1 : x > y;
}

int catalog_read(const char *text, const char *name, catalog *out, char *err)
{
    *out = (catalog){.n = 0};
    reader r = {.c = out, .err = err, .name = name};
    int line = ini_parse_string(text, on_line, &r);
    int rc = r.rc;
    if (rc == Q_OK && line) rc = q_fail(err, Q_FORMAT, _("%s: line %d is not understood"), name, line);
    for (int i = 0; rc == Q_OK && i < out->n; i++) {
        eng_known *k = &out->row[i];
        const char *where, *key = lacking(k, &where);
        eng_energy e;
        if (key) rc = q_fail(err, Q_FORMAT, _("%s: %s lacks its %s"), name, where, key);
        else rc = eng_energy_like(k->arch, k->like, "F16", 0, &e, err);
        if (rc) break;
        uint64_t all = 0;
        for (int j = 0; j < k->n_variant; j++)
            if (k->variant[j].context > k->n_ctx) k->n_ctx = k->variant[j].context;      /* later models of a shape take more */
        for (int p = 0; p < ENG_ENERGY_PARTS; p++) all += e.params[p];
        k->params_b = (double)all / 1e9;
        k->active_b = (double)eng_energy_active(&e, k->n_used) / 1e9;
    }
    if (rc) catalog_free(out);
    else qsort(out->row, (size_t)out->n, sizeof *out->row, by_size);
    return rc;
}

void catalog_free(catalog *c)
{
    for (int i = 0; i < c->n; i++) {
        free((void *)c->row[i].variant);
        free((void *)c->row[i].published);
        free((void *)c->row[i].elsewhere);
    }
    for (int i = 0; i < c->n_text; i++) free(c->text[i]);
    free(c->row);
    free(c->text);
    *c = (catalog){.n = 0};
}

/* ---- the one that ships with the program ---- */
static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
static catalog shipped;

int eng_catalog(const eng_known **out, int *n, char *err)
{
    int rc = Q_OK;
    pthread_mutex_lock(&once);
    if (!shipped.n) {
        char *path = q_share_path("engine/make/catalog.ini");
        q_buf text = {0};
        if (!path) rc = q_fail(err, Q_NOTFOUND, _("engine/make/catalog.ini is not beside the program: install quorum again"));
        if (rc == Q_OK) rc = q_read_file(path, &text, CATALOG_MAX, err);
        if (rc == Q_OK) rc = catalog_read(text.p ? text.p : "", path, &shipped, err);
        q_buf_free(&text);
        free(path);
    }
    *out = shipped.row;
    *n = shipped.n;
    pthread_mutex_unlock(&once);
    return rc;
}

/* ---- finding ---- */
typedef struct hit { const eng_known *k; const eng_variant *v; } hit;

/* 2: equal, 1: a part, 0: neither; letter case ignored. */
static int fits(const char *what, const char *name)
{
    return strcasecmp(what, name) == 0 ? 2 : *what && strcasestr(name, what) != NULL;
}

static int of_variant(const char *what, const eng_variant *v)
{
    int a = fits(what, v->name), b = fits(what, v->repo);
    return a > b ? a : b;
}

static int of_row(const char *what, const eng_known *k)
{
    int a = fits(what, k->like), b = fits(what, k->title);
    return a == 2 || b == 2 ? 2 : 0;
}

static void add_name(q_buf *list, const char *name) { q_buf_printf(list, "%s%s", list->len ? ", " : "", name); }

int eng_catalog_find(const char *what, const eng_known **out, const eng_variant **variant, char *err)
{
    const eng_known *all;
    int n, rc = eng_catalog(&all, &n, err), parts = 0, equal = 0;
    if (rc) return rc;
    hit whole = {0}, part = {0};
    q_buf several = {0}, near = {0};
    for (int i = 0; i < n; i++) {
        if (of_row(what, &all[i]) == 2 && ++equal) whole = (hit){&all[i], NULL};
        add_name(&near, all[i].like);
        for (int j = 0; j < all[i].n_variant; j++) {
            const eng_variant *v = &all[i].variant[j];
            int f = of_variant(what, v);
            if (f == 2 && !whole.v && ++equal) whole = (hit){&all[i], v};      /* of one name for a row and for a model in it, the model */
            if (f == 1 && ++parts) part = (hit){&all[i], v}, add_name(&several, v->name);
        }
    }
    hit found = whole.k ? whole : parts == 1 ? part : (hit){0};
    if (!found.k) rc = parts ? q_fail(err, Q_RANGE, _("%s could be each of these: %s; name one of them"), what, several.p)
                             : q_fail(err, Q_NOTFOUND, _("no model called %s is in the list; it has %s"), what, near.p);
    q_buf_free(&several);
    q_buf_free(&near);
    *out = found.k;
    *variant = found.v;
    return rc;
}
