/* cli/recall: `quorum bench memory`: how often a search finds what answers a question, on data sets of three forms (XQuAD,
 * LoCoMo, HotpotQA). Each is put into a store in memory as a person's own documents and conversations are, and asked with
 * rag_search. Single-threaded; it never touches the person's own memory. */
#include "agent/agent.h"
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/meaning.h"
#include "engine/embed.h"
#include "kernels/kernels.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rag/rag.h"

enum { FILE_MAX = 256 << 20, KS = 4 };
static const int cut_at[KS] = {1, 2, 5, 10};

/* One question, and what answers it: documents, or messages. */
struct question { char *text; mem_store *s; int64_t *want; int n, group; };
struct sums { int n, first, fed; double recall[KS], ndcg, evidence; };  /* first: a right one leads; fed: and is fed; evidence: of the right ones are fed */

/* How all are asked. */
struct way { rag_config c; eng_embedder *model; rag_embedder e; prov *second; bool together, json; };

struct set {
    const char *name;
    enum mem_kind kind;
    mem_store *s;                           /* the one being filled */
    struct home { mem_store *s; rag_near *near; bool owned; } *home; int n_home;      /* all that it is in */
    bool apart;                             /* each conversation in a store of its own */
    struct question *q; int n;
    char **group; int n_group;              /* conversations, where there are several */
    double passages, indexed_s, embedded_s /* a passage */, asked_s;
};

/* ---- reading ---- */
static int bad_form(char *err, const char *path, const char *what)
{
    return q_fail(err, Q_FORMAT, _("%s has not the form of %s: give a file as that data set publishes it"), path, what);
}

static int load(const char *path, const char *what, cJSON **out, char *err)
{
    q_buf b = {0};
    int rc = q_read_file(path, &b, FILE_MAX, err);
    *out = rc == Q_OK ? cJSON_ParseWithLength(b.p, b.len) : NULL;
    q_buf_free(&b);
    return rc == Q_OK && !*out ? bad_form(err, path, what) : rc;
}

static const char *str(const cJSON *o, const char *key)
{
    const char *v = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return v ? v : "";
}

static const char *at(const cJSON *array, int i)
{
    const char *v = cJSON_GetStringValue(cJSON_GetArrayItem(array, i));
    return v ? v : "";
}

static struct question *ask_later(struct set *d, const char *text, int group)
{
    d->q = q_realloc(d->q, sizeof *d->q * (size_t)(d->n + 1));
    d->q[d->n] = (struct question){.text = q_strdup(text), .s = d->s, .group = group};
    return &d->q[d->n++];
}

static void answered_by(struct question *q, int64_t id)
{
    for (int i = 0; i < q->n; i++)
        if (q->want[i] == id) return;
    q->want = q_realloc(q->want, sizeof *q->want * (size_t)(q->n + 1));
    q->want[q->n++] = id;
}

/* A passage of a data set becomes a document of one passage. */
static int put(mem_bulk *b, const char *path, const char *title, const char *name, const char *text, char *err)
{
    mem_document d = {.path = (char *)path, .title = (char *)title, .name = (char *)name, .trust = MEM_TRUST_OWN, .bytes = (int64_t)strlen(text)};
    mem_chunk c = {0, strlen(text), text, (char *)""};
    return mem_bulk_put(b, &d, &c, 1, err);
}

static int id_of(mem_store *s, const char *path, int64_t *id, char *err)
{
    mem_document d;
    int rc = mem_document_by_path(s, path, &d, err);
    *id = rc == Q_OK ? d.id : 0;
    mem_document_free(&d);
    return rc;
}

static void live_in(struct set *d, mem_store *s, bool owned)
{
    d->home = q_realloc(d->home, sizeof *d->home * (size_t)(d->n_home + 1));
    d->home[d->n_home++] = (struct home){.s = d->s = s, .owned = owned};
}

/* Another store, of which nothing is kept. */
static int another(struct set *d, char *err)
{
    mem_store *s;
    int rc = mem_open(":memory:", &s, err);
    if (rc == Q_OK) live_in(d, s, true);
    return rc;
}

/* ---- the three forms ---- */
/* Every paragraph of a file, with its number. */
static int each_paragraph(const cJSON *j, int (*fn)(struct set *, const cJSON *p, const char *path, void *user, char *err), struct set *d, void *user, char *err)
{
    const cJSON *a, *p;
    char path[40];
    int rc = Q_OK, n = 0;
    cJSON_ArrayForEach(a, cJSON_GetObjectItemCaseSensitive(j, "data"))
        cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(a, "paragraphs")) {
            snprintf(path, sizeof path, "%s:%d", d->name, n++);
            if (rc == Q_OK) rc = fn(d, p, path, user, err);
        }
    d->passages = n;
    return rc;
}

static int put_paragraph(struct set *d, const cJSON *p, const char *path, void *user, char *err)
{ (void)d; return put(user, path, path, NULL, str(p, "context"), err); }

struct named { char *id; int64_t document; };
struct names { struct named *v; int n; };

/* A question's document by the question's id. */
static int name_questions(struct set *d, const cJSON *p, const char *path, void *user, char *err)
{
    struct names *x = user;
    int64_t id;
    int rc = id_of(d->s, path, &id, err);
    const cJSON *q;
    cJSON_ArrayForEach(q, cJSON_GetObjectItemCaseSensitive(p, "qas")) {
        if (rc != Q_OK) break;
        x->v = q_realloc(x->v, sizeof *x->v * (size_t)(x->n + 1));
        x->v[x->n++] = (struct named){q_strdup(str(q, "id")), id};
    }
    return rc;
}

static int ask_paragraph(struct set *d, const cJSON *p, const char *path, void *user, char *err)
{
    const cJSON *q;
    int64_t id;
    (void)user;
    int rc = id_of(d->s, path, &id, err);
    cJSON_ArrayForEach(q, cJSON_GetObjectItemCaseSensitive(p, "qas"))
        if (rc == Q_OK) answered_by(ask_later(d, str(q, "question"), 0), id);
    return rc;
}

static int ask_named(struct set *d, const cJSON *p, const char *path, void *user, char *err)
{
    const struct names *x = user;
    const cJSON *q;
    (void)path, (void)err;
    cJSON_ArrayForEach(q, cJSON_GetObjectItemCaseSensitive(p, "qas"))
        for (int i = 0; i < x->n; i++)
            if (*x->v[i].id && strcmp(x->v[i].id, str(q, "id")) == 0) answered_by(ask_later(d, str(q, "question"), 0), x->v[i].document);
    return Q_OK;
}

static int put_paragraphs(struct set *d, const cJSON *j, char *err)
{
    mem_bulk *b = mem_bulk_new(d->s, NULL, NULL);
    int rc = each_paragraph(j, put_paragraph, d, b, err);
    if (rc == Q_OK) rc = mem_bulk_flush(b, err);
    mem_bulk_free(b);
    return rc;
}

static int read_xquad(struct set *d, char *const *file, char *err)
{
    cJSON *j;
    int rc = load(file[0], "XQuAD", &j, err);
    if (rc == Q_OK) rc = put_paragraphs(d, j, err);
    if (rc == Q_OK) rc = each_paragraph(j, ask_paragraph, d, NULL, err);
    if (rc == Q_OK && d->n == 0) rc = bad_form(err, file[0], "XQuAD");
    cJSON_Delete(j);
    return rc;
}

/* Questions of one language, passages of another; the same id is the same question. */
static int read_across(struct set *d, char *const *file, char *err)
{
    cJSON *j, *p = NULL;
    struct names x = {0};
    int rc = load(file[0], "XQuAD", &j, err);
    if (rc == Q_OK) rc = load(file[1], "XQuAD", &p, err);
    if (rc == Q_OK) rc = put_paragraphs(d, p, err);
    if (rc == Q_OK) rc = each_paragraph(p, name_questions, d, &x, err);
    double passages = d->passages;
    if (rc == Q_OK) rc = each_paragraph(j, ask_named, d, &x, err);
    d->passages = passages;
    if (rc == Q_OK && d->n == 0) rc = bad_form(err, file[0], "XQuAD");
    for (int i = 0; i < x.n; i++) free(x.v[i].id);
    free(x.v);
    cJSON_Delete(j);
    cJSON_Delete(p);
    return rc;
}

static int read_hotpot(struct set *d, char *const *file, char *err)
{
    cJSON *j, *corpus = NULL;
    int rc = load(file[0], "HotpotQA", &j, err);
    if (rc == Q_OK) rc = load(file[1], "HotpotQA", &corpus, err);
    const cJSON *e, *f;
    mem_bulk *b = mem_bulk_new(d->s, NULL, NULL);
    cJSON_ArrayForEach(e, corpus) {
        q_buf t = {0}, path = {0};
        q_buf_printf(&path, "hotpot:%s", e->string ? e->string : "");
        q_buf_puts(&t, "");
        cJSON_ArrayForEach(f, e) q_buf_puts(&t, cJSON_GetStringValue(f) ? cJSON_GetStringValue(f) : "");
        if (rc == Q_OK && t.len) rc = put(b, path.p, path.p + strlen("hotpot:"), path.p + strlen("hotpot:"), t.p, err);
        d->passages++;
        q_buf_free(&t);
        q_buf_free(&path);
    }
    if (rc == Q_OK) rc = mem_bulk_flush(b, err);
    mem_bulk_free(b);
    cJSON_ArrayForEach(e, j) {
        struct question *q = NULL;
        cJSON_ArrayForEach(f, cJSON_GetObjectItemCaseSensitive(e, "supporting_facts")) {
            char *path = q_printf("hotpot:%s", at(f, 0)), why[Q_ERRLEN];
            int64_t id = 0;
            if (rc == Q_OK && id_of(d->s, path, &id, why) == Q_OK) {
                if (!q) q = ask_later(d, str(e, "question"), 0);
                answered_by(q, id);
            }
            free(path);
        }
    }
    if (rc == Q_OK && d->n == 0) rc = bad_form(err, file[0], "HotpotQA");
    cJSON_Delete(j);
    cJSON_Delete(corpus);
    return rc;
}

/* "1:56 pm on 8 May, 2023", as UTC; 0 where it is something else. */
static int64_t time_of(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int hour, minute, day, year;
    char half[3], month[16];
    if (sscanf(text, "%d:%d %2s on %d %15[A-Za-z], %d", &hour, &minute, half, &day, month, &year) != 6) return 0;
    month[3] = 0;
    const char *m = strstr(months, month);
    if (!m || (m - months) % 3 || year < 1900 || year > 9999) return 0;
    struct tm tm = {.tm_year = year - 1900, .tm_mon = (int)(m - months) / 3, .tm_mday = day, .tm_hour = hour % 12 + (half[0] == 'p' ? 12 : 0), .tm_min = minute};
    return (int64_t)timegm(&tm) * 1000;
}

struct said { char *name; int64_t id; };        /* "D1:3" and its message */

/* Each session is a conversation, each turn a message said by its speaker. */
static int read_session(struct set *d, const cJSON *turns, int64_t when, struct said **ids, int *n_ids, char *err)
{
    int n = cJSON_GetArraySize(turns), k = 0;
    int64_t conversation, leaf;
    mem_turn *v = q_alloc(sizeof *v * (size_t)(n + 1));
    char **text = q_alloc(sizeof *text * (size_t)(n + 1));
    const cJSON *t;
    cJSON_ArrayForEach(t, turns) {
        const char *photo = str(t, "blip_caption");            /* what a photo shows that was sent along */
        text[k] = q_printf("%s%s%s%s", str(t, "text"), *photo ? " (photo: " : "", photo, *photo ? ")" : "");
        v[k] = (mem_turn){MEM_USER, str(t, "speaker"), text[k], strlen(text[k]), when};
        k++;
    }
    int rc = mem_conversation_new(d->s, "", &conversation, err);
    if (rc == Q_OK) rc = mem_turns_add(d->s, conversation, 0, v, n, &leaf, err);
    for (int i = 0; i < k; i++) free(text[i]);
    free(text);
    free(v);
    mem_messages m = {0};
    if (rc == Q_OK) rc = mem_branch(d->s, conversation, 0, &m, err);
    for (int i = 0; rc == Q_OK && i < m.n; i++) {
        *ids = q_realloc(*ids, sizeof **ids * (size_t)(*n_ids + 1));
        (*ids)[(*n_ids)++] = (struct said){q_strdup(str(cJSON_GetArrayItem(turns, i), "dia_id")), m.v[i].id};
    }
    mem_messages_free(&m);
    d->passages += n;
    return rc;
}

static int read_talk(struct set *d, const cJSON *e, char *err)
{
    struct said *ids = NULL;
    int n_ids = 0, rc = Q_OK, group = d->n_group++;
    const cJSON *talk = cJSON_GetObjectItemCaseSensitive(e, "conversation"), *turns, *q, *f;
    d->group = q_realloc(d->group, sizeof *d->group * (size_t)d->n_group);
    d->group[group] = q_strdup(*str(e, "sample_id") ? str(e, "sample_id") : "?");
    if (d->apart && group > 0) rc = another(d, err);
    for (int i = 1; rc == Q_OK; i++) {
        char name[48];
        snprintf(name, sizeof name, "session_%d", i);
        if (!(turns = cJSON_GetObjectItemCaseSensitive(talk, name))) break;
        snprintf(name, sizeof name, "session_%d_date_time", i);
        rc = read_session(d, turns, time_of(str(talk, name)), &ids, &n_ids, err);
    }
    cJSON_ArrayForEach(q, cJSON_GetObjectItemCaseSensitive(e, "qa")) {
        struct question *x = NULL;
        cJSON_ArrayForEach(f, cJSON_GetObjectItemCaseSensitive(q, "evidence")) {
            const char *name = cJSON_GetStringValue(f);
            for (int i = 0; name && i < n_ids && rc == Q_OK; i++) {
                if (strcmp(ids[i].name, name) != 0) continue;
                if (!x) x = ask_later(d, str(q, "question"), group);
                answered_by(x, ids[i].id);
            }
        }
    }
    for (int i = 0; i < n_ids; i++) free(ids[i].name);
    free(ids);
    return rc;
}

static int read_locomo(struct set *d, char *const *file, char *err)
{
    cJSON *j;
    int rc = load(file[0], "LoCoMo", &j, err);
    const cJSON *e;
    cJSON_ArrayForEach(e, j)
        if (rc == Q_OK) rc = read_talk(d, e, err);
    if (rc == Q_OK && d->n == 0) rc = bad_form(err, file[0], "LoCoMo");
    cJSON_Delete(j);
    return rc;
}

/* ---- asking ---- */
static bool answers(const struct question *q, int64_t id)
{
    for (int i = 0; i < q->n; i++)
        if (q->want[i] == id) return true;
    return false;
}

static void count(const struct set *d, const struct question *q, const rag_result *r, struct sums *x)
{
    int rank = 0, found = 0;
    double gain = 0, ideal = 0;
    bool first = false, fed = false;
    for (int i = 0; i < r->n && rank < cut_at[KS - 1]; i++) {
        const rag_passage *p = &r->v[i];
        int64_t id = d->kind == MEM_CHAT ? p->id : p->source;
        bool seen = false;                      /* several passages of one document are one answer */
        for (int k = 0; k < i && !seen; k++) seen = p->kind == r->v[k].kind && id == (d->kind == MEM_CHAT ? r->v[k].id : r->v[k].source);
        if (seen) continue;
        rank++;
        if (p->kind != d->kind || !answers(q, id)) continue;
        found++;
        gain += 1 / log2(rank + 1);
        first |= rank == 1;
        fed |= rank == 1 && p->fate == RAG_FED;
        for (int k = 0; k < KS; k++) x->recall[k] += rank <= cut_at[k] ? 1.0 / q->n : 0;
    }
    for (int i = 1; i <= q->n && i <= cut_at[KS - 1]; i++) ideal += 1 / log2(i + 1);
    x->n++;
    x->ndcg += gain / ideal;
    for (int i = 0; i < r->n; i++)
        if (r->v[i].fate == RAG_FED && r->v[i].kind == d->kind && answers(q, d->kind == MEM_CHAT ? r->v[i].id : r->v[i].source)) x->evidence += 1.0 / q->n;
    x->first += first;
    x->fed += fed;
}

/* Passages get their vectors, where the way asks for meaning. */
static int embed(struct set *d, const struct way *w, char *err)
{
    int64_t start = q_now_ns(), done = 0, n;
    int rc = Q_OK;
    for (int i = 0; i < d->n_home && rc == Q_OK && w->model; i++) {
        rc = rag_embed_owed(d->home[i].s, &w->e, NULL, &n, err);
        d->home[i].near = rag_near_new(d->home[i].s, &w->e);
        done += rc == Q_OK ? n : 0;
    }
    d->embedded_s = done ? (double)(q_now_ns() - start) / 1e9 / (double)done : 0;
    return rc;
}

static rag_near *near_of(const struct set *d, const mem_store *s)
{
    for (int i = 0; i < d->n_home; i++)
        if (d->home[i].s == s) return d->home[i].near;
    return NULL;
}

/* Over one group, or all (-1). */
static int ask_all(struct set *d, const struct way *w, struct sums *of_group, struct sums *all, char *err)
{
    int64_t start = q_now_ns();
    for (int i = 0; i < d->n; i++) {
        rag_result *r;
        rag_scope scope = {.budget = -1, .near = near_of(d, d->q[i].s)};
        int rc = rag_search(d->q[i].s, &w->c, d->q[i].text, &scope, &r, err);
        if (rc == Q_OK && r->note) {
            rc = q_fail(err, Q_IO, "%s", r->note);
            rag_result_free(r);
        }
        int judged;
        if (rc == Q_OK && w->second) rc = agt_second_look(w->second, d->q[i].text, &w->c, &scope, r, NULL, NULL, &judged, err);
        if (rc != Q_OK) return rc;
        count(d, &d->q[i], r, all);
        if (of_group) count(d, &d->q[i], r, &of_group[d->q[i].group]);
        rag_result_free(r);
    }
    d->asked_s = (double)(q_now_ns() - start) / 1e9;
    return Q_OK;
}

static void put_sums(const struct set *d, const struct sums *x, cJSON *o)
{
    char name[16];
    double n = x->n ? x->n : 1;
    if (d->kind == MEM_CHUNK) cJSON_AddNumberToObject(o, "ndcg@10", x->ndcg / n);
    for (int k = 0; k < KS; k++) {
        snprintf(name, sizeof name, "r@%d", cut_at[k]);
        cJSON_AddNumberToObject(o, name, x->recall[k] / n);
    }
    cJSON_AddNumberToObject(o, "questions", x->n);
    cJSON_AddNumberToObject(o, "first", x->first / n);
    cJSON_AddNumberToObject(o, "fed_of_first", x->first ? (double)x->fed / x->first : 0);
    cJSON_AddNumberToObject(o, "evidence_fed", x->evidence / n);
}

static int measure(struct set *d, const struct way *w, cJSON *out, char *err)
{
    struct sums all = {0}, *part = d->n_group ? q_alloc(sizeof *part * (size_t)d->n_group) : NULL;
    int rc = ask_all(d, w, part, &all, err);
    cJSON *o = rc == Q_OK ? cJSON_AddObjectToObject(out, d->name) : NULL;
    if (o) {
        put_sums(d, &all, o);
        cJSON_AddNumberToObject(o, "passages", d->passages);
        cJSON_AddNumberToObject(o, "ms_per_question", d->n ? 1e3 * d->asked_s / d->n : 0);
        cJSON_AddNumberToObject(o, "passages_per_s", d->indexed_s > 0 ? d->passages / d->indexed_s : 0);
        if (d->embedded_s > 0) cJSON_AddNumberToObject(o, "embedded_per_s", 1 / d->embedded_s);
        cJSON *by = d->n_group > 1 ? cJSON_AddObjectToObject(o, "by") : NULL;
        for (int i = 0; by && i < d->n_group; i++) put_sums(d, &part[i], cJSON_AddObjectToObject(by, d->group[i]));
    }
    free(part);
    return rc;
}

/* ---- the command ---- */
static const struct form { const char *option, *name; enum mem_kind kind; int files; int (*read)(struct set *, char *const *, char *); } forms[] = {
    {"--xquad", "xquad", MEM_CHUNK, 1, read_xquad},
    {"--locomo", "locomo", MEM_CHAT, 1, read_locomo},
    {"--hotpot", "hotpot", MEM_CHUNK, 2, read_hotpot},
    {"--across", "across", MEM_CHUNK, 2, read_across},
};
enum { FORMS = sizeof forms / sizeof *forms };

static int fill(struct set *d, const struct form *f, char *const *file, mem_store *shared, char *err)
{
    int rc = Q_OK;
    d->apart = !shared;
    d->name = f->name;
    if (shared) live_in(d, shared, false);
    else rc = another(d, err);
    d->kind = f->kind;
    int64_t start = q_now_ns();
    if (rc == Q_OK) rc = f->read(d, file, err);
    d->indexed_s = (double)(q_now_ns() - start) / 1e9;
    return rc;
}

static void forget(struct set *d)
{
    for (int i = 0; i < d->n; i++) {
        free(d->q[i].text);
        free(d->q[i].want);
    }
    for (int i = 0; i < d->n_group; i++) free(d->group[i]);
    free(d->q);
    free(d->group);
    for (int i = 0; i < d->n_home; i++) {
        rag_near_free(d->home[i].near);
        if (d->home[i].owned) mem_close(d->home[i].s);
    }
    free(d->home);
}

static void print(const cJSON *out, bool json)
{
    if (json) {
        char *text = cJSON_PrintUnformatted(out);
        if (text) q_say_json(stdout, text);
        free(text);
        return;
    }
    const cJSON *o, *v;
    cJSON_ArrayForEach(o, out) {
        q_say(stdout, "%-8s", o->string);
        cJSON_ArrayForEach(v, o)
            if (cJSON_IsNumber(v)) q_say(stdout, "  %s %.*f", v->string, v->valuedouble > 20 ? 0 : 3, v->valuedouble);
        q_say(stdout, "\n");
    }
}

static int run(char *file[FORMS][2], const struct way *w)
{
    char err[Q_ERRLEN];
    mem_store *shared = NULL;
    struct set d[FORMS] = {{0}};
    int rc = w->together ? mem_open(":memory:", &shared, err) : Q_OK;
    cJSON *out = cJSON_CreateObject();
    for (int i = 0; i < FORMS && rc == Q_OK; i++)
        if (file[i][0]) rc = fill(&d[i], &forms[i], file[i], shared, err);
    for (int i = 0; i < FORMS && rc == Q_OK; i++) rc = embed(&d[i], w, err);
    for (int i = 0; i < FORMS && rc == Q_OK; i++)
        if (d[i].n) rc = measure(&d[i], w, out, err);
    if (rc == Q_OK) print(out, w->json);
    for (int i = 0; i < FORMS; i++) forget(&d[i]);
    mem_close(shared);
    cJSON_Delete(out);
    return rc == Q_OK ? 0 : cli_fail(err);
}

/* ---- one look through vectors ---- */
struct beside { size_t bytes; double best; };

/* One core reading as much, in turn with the scan, so that both see the same neighbours. */
static void read_beside(void *user)
{
    struct beside *b = user;
    double x = ker_cpu_read_bandwidth(1, NULL, b->bytes);
    if (x > b->best) b->best = x;
}

static int scan(int n, int dim, bool json)
{
    enum { TRIES = 9, LEAST = 64 << 20, MOST = 512 << 20 };
    char err[Q_ERRLEN];
    double seconds = 0, bytes = (double)n * dim;
    const char *form;
    struct beside b = {bytes < LEAST ? LEAST : bytes > MOST ? MOST : (size_t)bytes, 0};
    if (rag_near_time(n, dim, TRIES, read_beside, &b, &seconds, &form, err) != Q_OK) return cli_fail(err);
    cJSON *out = cJSON_CreateObject(), *o = cJSON_AddObjectToObject(out, "scan");
    cJSON_AddNumberToObject(o, "n", n);
    cJSON_AddNumberToObject(o, "dim", dim);
    cJSON_AddNumberToObject(o, "ms", seconds * 1e3);
    cJSON_AddNumberToObject(o, "bytes_per_s", seconds > 0 ? bytes / seconds : 0);
    cJSON_AddNumberToObject(o, "bandwidth", b.best);
    cJSON_AddNumberToObject(o, "share", seconds > 0 && b.best > 0 ? bytes / seconds / b.best : 0);
    cJSON_AddStringToObject(o, "form", form);
    print(out, json);
    cJSON_Delete(out);
    return 0;
}

static bool scan_size(const char *v, int *n, int *dim)
{
    const char *comma = strchr(v, ',');
    char *first = comma ? q_strndup(v, (size_t)(comma - v)) : NULL;
    bool good = first && cli_int(first, 1, 100000000, n) && cli_int(comma + 1, 1, 8192, dim);
    free(first);
    return good;
}

/* ---- a whole search of many made-up passages ---- */
enum { VOCABULARY = 30000, WORDS_EACH = 60, ASKED = 41, ASKED_WORDS = 7 };

/* A word of two to four syllables, the k-th most frequent of a language of nobody. */
static void word_of(unsigned k, q_buf *b)
{
    static const char *const syllable[] = {"ba", "de", "ki", "lo", "mu", "ne", "po", "ra", "si", "tu", "va", "ze", "cho", "gri", "fla", "ste", "bro", "nim", "dar", "hul", "wex"};
    enum { N = sizeof syllable / sizeof *syllable };
    for (k += N * N; k; k /= N) q_buf_puts(b, syllable[k % N]);
}

/* So many words, frequent ones often (Zipf); at most the `least`-th most frequent. */
static void words_of(uint64_t x[4], int n, unsigned least, q_buf *b)
{
    for (int i = 0; i < n; i++) {
        double u = (double)(q_random(x) >> 11) / 9007199254740992.0;
        if (i) q_buf_putc(b, ' ');
        word_of((unsigned)(least * pow((double)VOCABULARY / least, u)), b);
    }
}

struct speed { eng_embedder *model; int dim; double embedding_s; };

/* A question by the model, which is timed; a passage's numbers come from its hash. */
static int made_up(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *err)
{
    struct speed *s = user;
    if (question) {
        int64_t at = q_now_ns();
        int rc = eng_embed(s->model, ENG_EMBED_QUERY, text, len, n, out, NULL, NULL, err);
        s->embedding_s = (double)(q_now_ns() - at) / 1e9;
        return rc;
    }
    for (int i = 0; i < n; i++) {
        uint64_t x = q_hash64(text[i], len[i], 3);
        double length = 0;
        float *f = out + (size_t)i * (size_t)s->dim;
        for (int j = 0; j < s->dim; j++) {
            x = q_mix64(x, (uint64_t)j);
            f[j] = (float)((double)(x >> 11) / 9007199254740992.0 - .5);
            length += (double)f[j] * (double)f[j];
        }
        for (int j = 0; j < s->dim; j++) f[j] /= (float)sqrt(length);
    }
    return Q_OK;
}

static int fill_made_up(mem_store *s, int n, uint64_t x[4], char *err)
{
    mem_bulk *b = mem_bulk_new(s, NULL, NULL);
    int rc = Q_OK;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        q_buf t = {0};
        char path[32];
        snprintf(path, sizeof path, "made:%d", i);
        words_of(x, WORDS_EACH, 1, &t);
        rc = put(b, path, path, NULL, t.p, err);
        q_buf_free(&t);
    }
    if (rc == Q_OK) rc = mem_bulk_flush(b, err);
    mem_bulk_free(b);
    return rc;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int ask_made_up(mem_store *s, rag_near *near, const struct way *w, struct speed *speed, uint64_t x[4], double ms[2][ASKED], char *err)
{
    int rc = Q_OK;
    for (int i = -2; i < ASKED && rc == Q_OK; i++) {        /* the first two make it warm */
        q_buf q = {0};
        rag_result *r = NULL;
        words_of(x, ASKED_WORDS, 20, &q);
        speed->embedding_s = 0;
        int64_t at = q_now_ns();
        rc = rag_search(s, &w->c, q.p, &(rag_scope){.budget = -1, .near = near}, &r, err);
        double took = (double)(q_now_ns() - at) / 1e6;
        if (rc == Q_OK && r->note) rc = q_fail(err, Q_IO, "%s", r->note);
        if (i >= 0) ms[0][i] = took, ms[1][i] = 1e3 * speed->embedding_s;
        rag_result_free(r);
        q_buf_free(&q);
    }
    for (int k = 0; k < 2; k++) qsort(ms[k], ASKED, sizeof *ms[k], by_size);
    return rc;
}

static int search_time(int n, const struct way *w)
{
    char err[Q_ERRLEN];
    double ms[2][ASKED] = {{0}};
    uint64_t x[4] = {1, 2, 3, 4};
    mem_store *s = NULL;
    rag_near *near = NULL;
    struct speed speed = {.model = w->model, .dim = w->e.dim};
    rag_embedder e = {.id = "made-up", .dim = w->e.dim, .embed = made_up, .user = &speed};
    int rc = mem_open(":memory:", &s, err);
    if (rc == Q_OK) rc = fill_made_up(s, n, x, err);
    if (rc == Q_OK && w->model) rc = rag_embed_owed(s, &e, NULL, NULL, err);
    if (rc == Q_OK && w->model) near = rag_near_new(s, &e);
    if (rc == Q_OK) rc = ask_made_up(s, near, w, &speed, x, ms, err);
    cJSON *out = cJSON_CreateObject(), *o = cJSON_AddObjectToObject(out, "search");
    cJSON_AddNumberToObject(o, "passages", n);
    q_buf mode = {0};
    cJSON_AddStringToObject(o, "mode", rag_config_get(&w->c, "memory.mode", &mode));
    q_buf_free(&mode);
    cJSON_AddNumberToObject(o, "questions", ASKED);
    cJSON_AddNumberToObject(o, "ms", ms[0][ASKED / 2]);
    cJSON_AddNumberToObject(o, "ms_of_nine_in_ten", ms[0][ASKED * 9 / 10]);
    cJSON_AddNumberToObject(o, "embedding_ms", ms[1][ASKED / 2]);
    if (rc == Q_OK) print(out, w->json);
    cJSON_Delete(out);
    rag_near_free(near);
    mem_close(s);
    return rc == Q_OK ? 0 : cli_fail(err);
}

/* The embedder of the ways that ask one. */
static int run_as(char *file[FORMS][2], int search, struct way *w, const char *model, const char *second)
{
    char err[Q_ERRLEN];
    w->c.budget = 100000;
    if (w->c.mode == RAG_HYBRID || w->c.mode == RAG_GRAPH) {
        if (cli_embedder(model, 0, &w->model, err) != Q_OK) return cli_fail(err);
        cli_lend(w->model, &w->e);
    }
    int rc = second ? cli_memory_second(second, &w->second, err) : Q_OK;
    int status = rc != Q_OK ? cli_fail(err) : search ? search_time(search, w) : run(file, w);
    prov_close(w->second);
    eng_embedder_close(w->model);
    return status;
}

static const cli_takes takes[] = {
    { "-m", N_("-m takes a file or a part of a model's name") }, { "--rerank", N_("--rerank takes a model, a file or a part of its name") },
    { "--scan", N_("--scan takes how many vectors and how many numbers each has, as 1000000,384") }, { "--search", N_("--search takes a number of passages, as 100000") },
    { "--set", N_("--set takes a knob of memory, as memory.fusion=ranks") }, { "--mode", N_("--mode is lexical, hybrid or graph") },
};

static bool knob_of(rag_config *c, const char *v)
{
    char name[64], err[Q_ERRLEN];
    size_t k = strcspn(v, "=");
    snprintf(name, sizeof name, "%.*s", (int)(k < sizeof name ? k : 0), v);
    return v[k] && rag_config_set(c, name, v + k + 1, err) == Q_OK;
}

int cli_bench_memory(const cli_command *as, int argc, char **argv)
{
    char *file[FORMS][2] = {{NULL}}, err[Q_ERRLEN];
    struct way w = {.c = rag_config_default()};
    const char *v, *model = NULL, *second = NULL;
    bool any = false;
    int n = 0, dim = 0, search = 0;
    w.c.mode = RAG_LEXICAL;
    for (int i = 1; i < argc; i++) {
        bool good = false;
        for (int k = 0; k < FORMS && !good; k++) {
            if (strcmp(argv[i], forms[k].option) != 0 || i + forms[k].files >= argc) continue;
            good = any = true;
            for (int j = 0; j < forms[k].files; j++) file[k][j] = argv[i + 1 + j];
            i += forms[k].files;
        }
        if (good) continue;
        good = true;
        if (strcmp(argv[i], "--json") == 0) w.json = true;
        else if (strcmp(argv[i], "--together") == 0) w.together = true;
        else if ((v = cli_opt(argc, argv, &i, "-m"))) model = v;
        else if ((v = cli_opt(argc, argv, &i, "--rerank"))) second = v;
        else if ((v = cli_opt(argc, argv, &i, "--scan"))) good = scan_size(v, &n, &dim);
        else if ((v = cli_opt(argc, argv, &i, "--search"))) good = cli_int(v, 1, 10000000, &search);
        else if ((v = cli_opt(argc, argv, &i, "--set"))) good = knob_of(&w.c, v);
        else if ((v = cli_opt(argc, argv, &i, "--mode"))) good = rag_config_set(&w.c, "memory.mode", v, err) == Q_OK && w.c.mode != RAG_OFF && w.c.mode != RAG_AUTO;
        else good = false;
        if (!good) return cli_wrong(as, "bench memory", takes, (int)(sizeof takes / sizeof *takes), argv, i);
    }
    if (n && !any && !search) return scan(n, dim, w.json);
    if ((any || n) == (search > 0) || n) return cli_usage(as, _("bench memory needs a data set: --xquad, --locomo, --hotpot or --across; or --scan, or --search"));
    return run_as(file, search, &w, model, second);
}
