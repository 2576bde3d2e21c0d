/* rag/around: a name in memory and what is named beside it, for people: as text, JSON and a picture. Pure but for what it asks
 * memory; any thread. It looks at passages that may be found, and never changes anything. */
#include "base/say.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1000, BATCH = 64, FORMS = 4 };

static const struct { enum mem_entity_kind kind; const char *name, *word; } kinds[] = {
    {MEM_ENTITY_NAME, "name", N_("name")}, {MEM_ENTITY_IDENTIFIER, "identifier", N_("identifier")}, {MEM_ENTITY_DATE, "date", N_("date")},
    {MEM_ENTITY_ADDRESS, "address", N_("address")}, {MEM_ENTITY_PHRASE, "phrase", N_("phrase")}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int kind_of(char c)
{
    for (int i = 0; i < KINDS; i++)
        if (kinds[i].kind == (unsigned char)c) return i;
    return 0;
}

/* ---- what is named in the passages ---- */
/* A name, how it is written (a few forms, how often each), in how many passages; the last of them. */
struct met { char name[MEM_NAME_MAX]; struct { char *text; int n; } form[FORMS]; int n; int64_t last; enum mem_kind last_kind; };
struct meeting { struct met *v; int n, cap; int *slot, slots; const mem_passage *m; };

static struct met *met_of(struct meeting *g, const char *name)
{
    if (2 * (g->n + 1) > g->slots) {
        free(g->slot);
        g->slots = g->slots ? g->slots * 2 : 1024;
        g->slot = q_alloc(sizeof *g->slot * (size_t)g->slots);
        for (int i = 0; i < g->n; i++) {
            uint64_t h = q_hash64(g->v[i].name, strlen(g->v[i].name), 17);
            while (g->slot[h & (uint64_t)(g->slots - 1)]) h++;
            g->slot[h & (uint64_t)(g->slots - 1)] = i + 1;
        }
    }
    uint64_t h = q_hash64(name, strlen(name), 17);
    for (int at; (at = g->slot[h & (uint64_t)(g->slots - 1)]) != 0; h++)
        if (strcmp(g->v[at - 1].name, name) == 0) return &g->v[at - 1];
    if (g->n == g->cap) g->v = q_realloc(g->v, sizeof *g->v * (size_t)(g->cap = g->cap ? g->cap * 2 : 256));
    g->slot[h & (uint64_t)(g->slots - 1)] = g->n + 1;
    memset(&g->v[g->n], 0, sizeof *g->v);
    snprintf(g->v[g->n].name, sizeof g->v->name, "%s", name);
    return &g->v[g->n++];
}

static void write_as(struct met *e, const char *p, size_t n)
{
    for (int i = 0; i < FORMS; i++) {
        if (!e->form[i].text) e->form[i].text = q_strndup(p, n);
        if (strlen(e->form[i].text) != n || memcmp(e->form[i].text, p, n) != 0) continue;
        e->form[i].n++;
        return;
    }
}

static void meet(struct meeting *g, const char *name, const char *p, size_t n)
{
    struct met *e = met_of(g, name);
    if (e->last != g->m->id || e->last_kind != g->m->kind) e->n++;
    e->last = g->m->id;
    e->last_kind = g->m->kind;
    write_as(e, p, n);
}

static bool take_mention(void *user, const mem_entity *x)
{
    struct meeting *g = user;
    char name[MEM_NAME_MAX];
    snprintf(name, sizeof name, "%c%s", x->kind, x->key);
    meet(g, name, g->m->text + x->start, x->end - x->start);
    return true;
}

/* A heading or the name of a file stands as a name too: that of the file without its ending. */
static void take_heading(struct meeting *g, const char *text)
{
    char name[MEM_NAME_MAX];
    const char *sep = strstr(text, " › "), *slash = strrchr(text, '/');
    for (; sep; sep = strstr(text, " › ")) text = sep + strlen(" › ");
    if (slash && slash > text) text = slash + 1;
    const char *point = strrchr(text, '.');
    size_t n = point && point > text && strlen(point) <= 6 && !strchr(point, ' ') ? (size_t)(point - text) : strlen(text);
    if (n && mem_name_of(text, n, MEM_ENTITY_NAME, name)) meet(g, name, text, n);
}

static const char *form_of(const struct met *e)
{
    int best = 0;
    for (int i = 1; i < FORMS; i++)
        if (e->form[i].text && e->form[i].n > e->form[best].n) best = i;
    return e->form[best].text ? e->form[best].text : e->name + 1;
}

static void meeting_free(struct meeting *g)
{
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < FORMS; k++) free(g->v[i].form[k].text);
    free(g->v);
    free(g->slot);
}

/* ---- which name is meant ---- */
struct ids { int64_t v[2][MOST + 1]; int n[2]; enum mem_kind kind; };

static void take_id(void *user, int at, int64_t passage)
{
    struct ids *x = user;
    if (x->n[x->kind] < MOST) x->v[x->kind][x->n[x->kind]++] = passage;
}

static int holders(mem_store *s, const char *name, struct ids *x, int *degree, char *err)
{
    int rc = Q_OK;
    *degree = x->n[0] = x->n[1] = 0;
    for (x->kind = MEM_CHUNK; x->kind <= MEM_CHAT && rc == Q_OK; x->kind++) {
        int one = 0;
        rc = mem_named_by_any(s, x->kind, &name, 1, MOST, &one, take_id, x, err);
        *degree += one;
    }
    return rc;
}

struct first { char name[MEM_NAME_MAX]; };

static bool take_first(void *user, const mem_entity *x)
{
    snprintf(((struct first *)user)->name, MEM_NAME_MAX, "%c%s", x->kind, x->key);
    return false;
}

/* The name that most passages have of those that the text may be; "": none has any. */
static int meant(mem_store *s, const char *text, char name[MEM_NAME_MAX], struct ids *x, int *degree, char *err)
{
    char may[KINDS + 1][MEM_NAME_MAX];
    struct first f = {""};
    int n = 0, most = 0, rc = Q_OK;
    mem_entities(text, strlen(text), take_first, &f);
    if (*f.name) memcpy(may[n++], f.name, MEM_NAME_MAX);
    for (int i = 0; i < KINDS; i++) n += mem_name_of(text, strlen(text), kinds[i].kind, may[n]);
    *name = 0;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        rc = holders(s, may[i], x, degree, err);
        if (*degree > most) most = *degree, memcpy(name, may[i], MEM_NAME_MAX);
    }
    if (rc == Q_OK && *name) rc = holders(s, name, x, degree, err);
    return rc;
}

/* ---- names like it ---- */
struct near { char name[MEM_NAME_MAX]; int far; };
struct nearest { const char *key; struct near v[RAG_AROUND_NEAR]; int n; };

/* A name that has the word within it stands before one that is spelt nearly so. */
static bool take_near(void *user, const char *name)
{
    struct nearest *k = user;
    size_t n = strlen(k->key), at = 0;
    const char *in = strstr(name + 1, k->key);
    bool within = in && (in == name + 1 || in[-1] == ' ') && (in[n] == 0 || in[n] == ' ');
    int letters = q_utf8_distance("", k->key), most = letters < 4 ? 1 : letters < 8 ? 2 : 3, far = within ? 0 : 1 + q_utf8_distance(name + 1, k->key);
    if (far > most + 1) return true;
    for (int i = 0; i < k->n; i++)
        if (strcmp(k->v[i].name, name) == 0) return true;
    while (at < (size_t)k->n && k->v[at].far <= far) at++;
    if (at == RAG_AROUND_NEAR) return true;
    if (k->n < RAG_AROUND_NEAR) k->n++;
    memmove(k->v + at + 1, k->v + at, sizeof *k->v * ((size_t)k->n - 1 - at));
    snprintf(k->v[at].name, sizeof k->v->name, "%s", name);
    k->v[at].far = far;
    return true;
}

/* How a name is written in one of its passages that may be found; NULL: there is none. malloc'ed. */
static int written(mem_store *s, const char *name, struct ids *x, char **form, char *err)
{
    int degree, rc = holders(s, name, x, &degree, err);
    *form = NULL;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK && !*form; k++) {
        mem_passages p;
        rc = mem_passages_of(s, k, x->v[k], x->n[k] < FORMS ? x->n[k] : FORMS, 0, &p, err);
        struct meeting g = {0};
        for (int i = 0; i < p.n; i++) {
            g.m = &p.v[i];
            mem_entities(p.v[i].text, strlen(p.v[i].text), take_mention, &g);
            take_heading(&g, p.v[i].heading);
            take_heading(&g, p.v[i].name);
        }
        if (g.n) *form = met_of(&g, name)->form[0].text ? q_strdup(form_of(met_of(&g, name))) : NULL;
        meeting_free(&g);
        mem_passages_free(&p);
    }
    return rc;
}

static int unknown(mem_store *s, const char *text, struct ids *x, rag_around *out, char *err)
{
    char key[MEM_NAME_MAX];
    struct nearest k = {.key = key + 1};
    int rc = Q_OK;
    if (!mem_name_of(text, strlen(text), MEM_ENTITY_NAME, key)) return q_fail(err, Q_NOTFOUND, _("%s is no name that memory could know: give a word or several"), text);
    rc = mem_names_each(s, take_near, &k, err);
    for (int i = 0; i < k.n && rc == Q_OK; i++) {
        char *form;
        rc = written(s, k.v[i].name, x, &form, err);
        if (form) out->near[out->n_near++] = form;
    }
    if (rc != Q_OK) return rc;
    q_buf b = {0};
    for (int i = 0; i < out->n_near; i++) q_buf_printf(&b, "%s%s", i ? ", " : "", out->near[i]);
    rc = out->n_near ? q_fail(err, Q_NOTFOUND, _("nothing in memory is called %s; there is %s"), text, b.p)
                     : q_fail(err, Q_NOTFOUND, _("nothing in memory is called %s, nor nearly so: /search looks for words"), text);
    q_buf_free(&b);
    return rc;
}

/* ---- the whole ---- */
static int by_shared(const void *a, const void *b)
{
    const struct met *x = a, *y = b;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int read_passages(mem_store *s, const struct ids *x, struct meeting *g, rag_around *out, char *err)
{
    int rc = Q_OK;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++)
        for (int at = 0; at < x->n[k] && rc == Q_OK; at += BATCH) {
            mem_passages p;
            rc = mem_passages_of(s, k, x->v[k] + at, x->n[k] - at < BATCH ? x->n[k] - at : BATCH, 0, &p, err);
            for (int i = 0; i < p.n && rc == Q_OK; i++) {
                g->m = &p.v[i];
                mem_entities(p.v[i].text, strlen(p.v[i].text), take_mention, g);
                take_heading(g, p.v[i].heading);
                take_heading(g, p.v[i].name);
                out->passages++;
                if (out->n_place < RAG_AROUND_PLACES) out->place[out->n_place++] = rag_label(&p.v[i]);
            }
            g->m = NULL;
            mem_passages_free(&p);
        }
    return rc;
}

/* In how many passages a neighbour stands at all. */
static int count_all(mem_store *s, rag_around *out, char *err)
{
    int rc = Q_OK;
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++)
        for (int i = 0; i < out->n && rc == Q_OK; i++) {
            struct ids x = {.kind = k};
            const char *name = out->v[i].name;
            int degree = 0;
            rc = mem_named_by_any(s, k, &name, 1, MOST, &degree, take_id, &x, err);
            out->v[i].all += degree;
        }
    return rc;
}

int rag_around_find(mem_store *s, const char *text, rag_around *out, char *err)
{
    struct ids *x = q_alloc(sizeof *x);
    struct meeting g = {0};
    int degree = 0;
    *out = (rag_around){0};
    int rc = meant(s, text, out->name, x, &degree, err);
    if (rc == Q_OK && *out->name) rc = read_passages(s, x, &g, out, err);
    if (rc == Q_OK && out->passages == 0) rc = unknown(s, text, x, out, err);
    if (rc == Q_OK) {
        struct met *own = met_of(&g, out->name);
        out->form = q_strdup(own->n ? form_of(own) : text);
        out->more = degree > MOST;
        if (g.n) qsort(g.v, (size_t)g.n, sizeof *g.v, by_shared);
        for (int i = 0; i < g.n && out->n < RAG_AROUND_MOST; i++) {
            if (strcmp(g.v[i].name, out->name) == 0 || g.v[i].n == 0) continue;
            rag_around_name *r = &out->v[out->n++];
            memcpy(r->name, g.v[i].name, MEM_NAME_MAX);
            r->form = q_strdup(form_of(&g.v[i]));
            r->shared = g.v[i].n;
        }
        rc = count_all(s, out, err);
    }
    meeting_free(&g);
    free(x);
    if (rc != Q_OK) rag_around_free(out);
    return rc;
}

void rag_around_free(rag_around *r)
{
    free(r->form);
    for (int i = 0; i < r->n; i++) free(r->v[i].form);
    for (int i = 0; i < r->n_place; i++) free(r->place[i]);
    for (int i = 0; i < r->n_near; i++) free(r->near[i]);
    *r = (rag_around){0};
}

/* ---- for people ---- */
void rag_around_text(const rag_around *r, q_buf *b)
{
    q_buf_say(b, "%s (%s): ", r->form, _(kinds[kind_of(*r->name)].word));
    q_buf_say(b, ngettext("in %d passage", "in %d passages", (unsigned long)r->passages), r->passages);
    if (r->more) q_buf_say(b, _(", and in more that were not looked at"));
    q_buf_puts(b, "\n");
    int width = 12;
    for (int i = 0; i < r->n; i++) {
        int n = q_utf8_distance("", r->v[i].form);
        width = n > width ? n : width;
    }
    if (r->n) q_buf_say(b, _("\nbeside it, in so many of these passages, and in so many of all:\n"));
    for (int i = 0; i < r->n; i++)
        q_buf_say(b, "  %-*s %5d %5d  %s\n", width, r->v[i].form, r->v[i].shared, r->v[i].all, _(kinds[kind_of(*r->v[i].name)].word));
    if (r->n_place) q_buf_say(b, _("\nstands in:\n"));
    for (int i = 0; i < r->n_place; i++) q_buf_say(b, "  %s\n", r->place[i]);
    if (r->passages > r->n_place) q_buf_say(b, _("  and %d more: /search finds them by words\n"), r->passages - r->n_place);
}

void rag_around_json(const rag_around *r, q_buf *b)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddStringToObject(o, "name", r->form);
    cJSON_AddStringToObject(o, "kind", kinds[kind_of(*r->name)].name);
    cJSON_AddNumberToObject(o, "passages", r->passages);
    cJSON_AddBoolToObject(o, "more", r->more);
    cJSON *a = cJSON_AddArrayToObject(o, "beside");
    for (int i = 0; i < r->n; i++) {
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "name", r->v[i].form);
        cJSON_AddStringToObject(e, "kind", kinds[kind_of(*r->v[i].name)].name);
        cJSON_AddNumberToObject(e, "shared", r->v[i].shared);
        cJSON_AddNumberToObject(e, "all", r->v[i].all);
        cJSON_AddItemToArray(a, e);
    }
    a = cJSON_AddArrayToObject(o, "places");
    for (int i = 0; i < r->n_place; i++) cJSON_AddItemToArray(a, cJSON_CreateString(r->place[i]));
    char *text = cJSON_PrintUnformatted(o);
    q_buf_puts(b, text);
    cJSON_free(text);
    cJSON_Delete(o);
}

/* The name in the middle, what stands beside it around; a line is the wider the more passages they share. */
void rag_around_svg(const rag_around *r, q_buf *b)
{
    enum { W = 900, H = 700, RX = 300, RY = 280 };
    static const char *const fill[KINDS] = {"#3b5b92", "#2f8f5b", "#8a5a9e", "#b07c2a", "#5f6b78"};
    int most = 1;
    for (int i = 0; i < r->n; i++) most = r->v[i].shared > most ? r->v[i].shared : most;
    q_buf_printf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"DejaVu Sans,Helvetica,Arial,sans-serif\" "
                 "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", W, H, W, H);
    for (int i = 0; i < r->n; i++) {
        double turn = 6.283185307179586 * i / r->n - 1.5707963267948966;
        q_buf_printf(b, "<line x1=\"%d\" y1=\"%d\" x2=\"%.0f\" y2=\"%.0f\" stroke=\"#c9d2dc\" stroke-width=\"%.1f\"/>\n", W / 2, H / 2, W / 2 + RX * cos(turn), H / 2 + RY * sin(turn),
                     1 + 5. * r->v[i].shared / most);
    }
    for (int i = 0; i < r->n; i++) {
        double turn = 6.283185307179586 * i / r->n - 1.5707963267948966, x = W / 2 + RX * cos(turn), y = H / 2 + RY * sin(turn);
        q_buf_printf(b, "<circle cx=\"%.0f\" cy=\"%.0f\" r=\"5\" fill=\"%s\"/>\n<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\" fill=\"#222\">", x, y, fill[kind_of(*r->v[i].name)],
                     cos(turn) < 0 ? x - 9 : x + 9, y + 4, cos(turn) < 0 ? "end" : "start");
        q_say_xml(b, r->v[i].form);
        q_buf_printf(b, " · %d</text>\n", r->v[i].shared);
    }
    q_buf_printf(b, "<circle cx=\"%d\" cy=\"%d\" r=\"9\" fill=\"%s\"/>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" font-size=\"16\" font-weight=\"bold\" fill=\"#222\">", W / 2,
                 H / 2, fill[kind_of(*r->name)], W / 2, H / 2 - 16);
    q_say_xml(b, r->form);
    q_buf_puts(b, "</text>\n</svg>\n");
}
