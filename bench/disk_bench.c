/* bench: a model whose experts are read from the disk (--weights-ram), under the choices that a real router made. Prompt by the
 * model's own router, then one token a pass with the experts of a trace forced, so that a file of random weights in a real
 * model's shape (quorum model synth) is read as the real model would be. What is read ahead can be left out, one thing at a
 * time. One line of JSON; run each setting in a process of its own, in turn.
 * usage: disk_bench MODEL.gguf [--ram GIB] [--trace FILE.csv] [-p PROMPT] [-n TOKENS] [-t THREADS] [--again]
 *                   [--kept SHARE] [--wait] [--right SHARE]
 * --ram 0 (as without it): mapped. --again: another prompt before it, so that memory has been touched once. --kept: of a choice, with each further pass (ondisk_keeps). --wait: experts are read only when
 * they are asked for. --right: the next layer's are guessed, so many of them rightly, the others as often as the trace has them.
 * A trace is a table with a line of names, of which step, layer, slot and expert are needed; lines that begin with # are not read.
 * Of a model with fewer layers its first ones are taken. Such is what BigMoeOnEdge writes (github.com/Helldez/BigMoeOnEdge, docs/bench-data/2026-07-15-route-trace). */
#include "engine/engine.h"
#include "engine/run/ondisk.h"
#include "exam/exam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { NONE = 0xFFFF, LINE = 4096 };
static char err[Q_ERRLEN];

typedef struct trace { int n_step, n_layer, k; uint16_t *id; /* [n_step][n_layer][k], NONE pads */ } trace;
typedef struct guesser { ondisk *o; const trace *t; const uint16_t *now; int n_layer; double right; uint64_t x; } guesser;

static int die(void)
{
    fprintf(stderr, "disk_bench: %s\n", err);
    return 1;
}

/* ---- the trace ---- */
enum { STEP, LAYER, SLOT, EXPERT, COLUMNS };

static bool columns(char *line, int at[COLUMNS])
{
    static const char *const name[COLUMNS] = { "step", "layer", "slot", "expert" };
    for (int c = 0; c < COLUMNS; c++) at[c] = -1;
    int i = 0;
    for (char *rest = line, *w; (w = strsep(&rest, ",\n")); i++)
        for (int c = 0; c < COLUMNS; c++)
            if (!strcmp(w, name[c])) at[c] = i;
    return at[STEP] >= 0 && at[LAYER] >= 0 && at[SLOT] >= 0 && at[EXPERT] >= 0;
}

static bool numbers(char *line, const int at[COLUMNS], long v[COLUMNS])
{
    int i = 0, got = 0;
    for (char *rest = line, *w; (w = strsep(&rest, ",\n")); i++)
        for (int c = 0; c < COLUMNS; c++)
            if (at[c] == i) {
                char *end;
                v[c] = strtol(w, &end, 10);
                if (end == w || *end || v[c] < 0 || v[c] >= NONE) return false;
                got++;
            }
    return got == COLUMNS;
}

/* Some writers leave the last layer of a prompt's tokens out: it has the experts that the next token has there. */
static void fill_gaps(trace *t)
{
    for (int s = t->n_step - 2; s >= 0; s--)
        for (int l = 0; l < t->n_layer; l++) {
            size_t at = ((size_t)s * (size_t)t->n_layer + (size_t)l) * (size_t)t->k;
            if (t->id[at] == NONE) memcpy(t->id + at, t->id + at + (size_t)t->n_layer * (size_t)t->k, sizeof *t->id * (size_t)t->k);
        }
}

/* Twice: once for the sizes. */
static int trace_read(const char *path, trace *t)
{
    FILE *f = fopen(path, "r");
    if (!f) return q_fail(err, Q_IO, "cannot open %s", path);
    char line[LINE];
    int at[COLUMNS], rc = Q_OK;
    for (int pass = 0; pass < 2 && !rc; pass++) {
        bool named = false;
        rewind(f);
        while (!rc && fgets(line, sizeof line, f)) {
            long v[COLUMNS];
            if (*line == '#') continue;
            if (!named) {
                if (!(named = columns(line, at))) rc = q_fail(err, Q_FORMAT, "%s has no line that names step, layer, slot and expert", path);
                continue;
            }
            if (!numbers(line, at, v)) rc = q_fail(err, Q_FORMAT, "%s: a line without numbers where they are due", path);
            else if (pass) t->id[((size_t)v[STEP] * (size_t)t->n_layer + (size_t)v[LAYER]) * (size_t)t->k + (size_t)v[SLOT]] = (uint16_t)v[EXPERT];
            else {
                t->n_step = v[STEP] >= t->n_step ? (int)v[STEP] + 1 : t->n_step;
                t->n_layer = v[LAYER] >= t->n_layer ? (int)v[LAYER] + 1 : t->n_layer;
                t->k = v[SLOT] >= t->k ? (int)v[SLOT] + 1 : t->k;
            }
        }
        size_t n = (size_t)t->n_step * (size_t)t->n_layer * (size_t)t->k;
        if (!rc && !pass) {
            if (n == 0 || n > (size_t)1 << 28) rc = q_fail(err, Q_FORMAT, "%s: %d steps of %d layers of %d experts", path, t->n_step, t->n_layer, t->k);
            else memset(t->id = q_alloc(sizeof *t->id * n), 0xFF, sizeof *t->id * n);
        }
    }
    fclose(f);
    if (!rc) fill_gaps(t);
    return rc;
}

/* ---- guesses ---- */
static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* Of the next layer's experts in this token so many; in place of the others, experts that another token of the trace has there. */
static void guess(void *user, int layer)
{
    guesser *g = user;
    const trace *t = g->t;
    if (!g->now || layer + 1 >= g->n_layer) return;
    int ids[64], n = 0, all = t->k < 64 ? t->k : 64;
    for (int i = 0; i < all; i++) {
        g->x = q_mix64(g->x, (uint64_t)i);
        const uint16_t *from = (double)(g->x >> 11) * 0x1p-53 < g->right ? g->now : t->id + (size_t)(g->x % (uint64_t)t->n_step) * (size_t)t->n_layer * (size_t)t->k;
        int e = from[(size_t)(layer + 1) * (size_t)t->k + (size_t)i], seen = 0;
        while (seen < n && ids[seen] != e) seen++;
        if (e != NONE && seen == n) ids[n++] = e;
    }
    qsort(ids, (size_t)n, sizeof *ids, by_number);
    ker_source s = ondisk_source(g->o);
    s.guess(s.user, layer + 1, ids, n);
}

/* ---- the run ---- */
typedef struct plan { const char *model, *trace; double ram, right, kept; int prompt, tokens, threads; bool wait, again; } plan;

static int read_plan(int argc, char **argv, plan *p)
{
    *p = (plan){ .model = argc > 1 ? argv[1] : NULL, .prompt = 512, .tokens = 64, .threads = 2, .right = -1 };
    for (int i = 2; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(a, "--wait")) p->wait = true;
        else if (!strcmp(a, "--again")) p->again = true;
        else if (!v) return -1;
        else if (i++, !strcmp(a, "--ram")) p->ram = atof(v);
        else if (!strcmp(a, "--trace")) p->trace = v;
        else if (!strcmp(a, "--kept")) p->kept = atof(v);
        else if (!strcmp(a, "--right")) p->right = atof(v);
        else if (!strcmp(a, "-p")) p->prompt = atoi(v);
        else if (!strcmp(a, "-n")) p->tokens = atoi(v);
        else if (!strcmp(a, "-t")) p->threads = atoi(v);
        else return -1;
    }
    return p->model && p->prompt > 0 && p->tokens > 0 && p->threads > 0 ? 0 : -1;
}

/* One pass a token; experts of the trace's steps in turn where there is one. */
static int decode(eng_session *s, const plan *p, const trace *t, guesser *g, const int32_t *tokens, int from, int n)
{
    int rc = Q_OK;
    for (int i = 0; i < n && !rc; i++) {
        const uint16_t *ids = t->id ? t->id + (size_t)((from + i) % t->n_step) * (size_t)t->n_layer * (size_t)t->k : NULL;
        eng_row row = { .session = s, .token = tokens[p->prompt + from + i], .want = ENG_WANT_LOGITS, .forced = ids, .forced_k = t->k, .forced_step = (size_t)t->k };
        g->now = p->right >= 0 ? ids : NULL;
        rc = eng_cache_step(eng_session_cache(s), &row, 1, true, NULL, err);
    }
    g->now = NULL;
    return rc;
}

typedef struct point { eng_ondisk o; int64_t ns; struct rusage u; } point;

static point told(const eng_model *m)
{
    point p = { .ns = q_now_ns() };
    eng_model_ondisk(m, &p.o);
    getrusage(RUSAGE_SELF, &p.u);
    return p;
}

static double between(struct timeval a, struct timeval b) { return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_usec - a.tv_usec) / 1e6; }

static void report(const point *from, const point *to, int n, const char *what)
{
    const eng_ondisk *a = &from->o, *b = &to->o;
    uint64_t asked = b->asked - a->asked, guessed = b->guessed - a->guessed, right = b->right - a->right, late = b->brought - a->brought - guessed;
    printf("\"%s\":{\"tokens\":%d,\"tokens_per_s\":%.3f,\"hit\":%.4f,\"mib_per_token\":%.3f,\"wait_ms_per_token\":%.3f,\"guessed\":%llu,\"right\":%llu,\"user_s\":%.2f,\"system_s\":%.2f,"
           "\"major_faults\":%ld}", what, n, n / ((double)(to->ns - from->ns) / 1e9), asked ? 1 - (double)(late + right) / (double)asked : 1, (double)(b->bytes - a->bytes) / 1048576 / n,
           (double)(b->wait_ns - a->wait_ns) / 1e6 / n, (unsigned long long)guessed, (unsigned long long)right, between(from->u.ru_utime, to->u.ru_utime), between(from->u.ru_stime, to->u.ru_stime),
           to->u.ru_majflt - from->u.ru_majflt);
}

static int measure(eng_session *s, const plan *p, const trace *t, guesser *g)
{
    const eng_model *m = eng_cache_model(eng_session_cache(s));
    int warm = t->id && t->n_step > p->tokens ? t->n_step - p->tokens : 0, rc;        /* the trace's beginning fills the slots */
    int32_t *tokens = q_alloc(sizeof *tokens * (size_t)(p->prompt + warm + p->tokens)), *other = q_alloc(sizeof *other * (size_t)p->prompt);
    exam_any_ids(tokens, p->prompt + warm + p->tokens, eng_model_info(m)->n_vocab, 0);
    exam_any_ids(other, p->prompt, eng_model_info(m)->n_vocab, 1);
    point first = told(m), at[4];
    rc = p->again ? eng_session_sync(s, other, p->prompt, ENG_CONTINUE, NULL, NULL, err) : Q_OK;
    at[0] = told(m);
    if (!rc) rc = eng_session_sync(s, tokens, p->prompt, ENG_CONTINUE, NULL, NULL, err);
    at[1] = told(m);
    if (!rc) rc = decode(s, p, t, g, tokens, 0, warm);
    at[2] = told(m);
    if (!rc) rc = decode(s, p, t, g, tokens, warm, p->tokens);
    at[3] = told(m);
    free(tokens);
    free(other);
    if (rc) return rc;
    printf("{\"ram\":%g,\"share\":%.3f,\"direct\":%s,", p->ram, at[0].o.share, at[0].o.direct ? "true" : "false");
    if (p->again) report(&first, &at[0], p->prompt, "first"), printf(",");
    report(&at[0], &at[1], p->prompt, "prefill");
    if (warm) printf(","), report(&at[1], &at[2], warm, "warm");
    printf(","), report(&at[2], &at[3], p->tokens, "decode");
    printf(",\"rss_mib\":%ld}\n", at[3].u.ru_maxrss >> 10);
    return Q_OK;
}

int main(int argc, char **argv)
{
    plan p;
    trace t = { 0 };
    if (read_plan(argc, argv, &p)) {
        fprintf(stderr, "usage: disk_bench MODEL.gguf [--ram GIB] [--trace FILE.csv] [-p PROMPT] [-n TOKENS] [-t THREADS] [--again] [--kept SHARE] [--wait] [--right SHARE]\n");
        return 2;
    }
    if (p.trace && trace_read(p.trace, &t)) return die();
    eng_model *m = NULL;
    eng_session *s = NULL;
    int rc = eng_device_choose(&(eng_place){ .what = "cpu", .gpu_layers = -1, .weights_gib = p.ram }, err);
    if (!rc) rc = eng_model_open(p.model, &(eng_open_opts){ .n_threads = p.threads, .ignore_memory = p.ram == 0 }, &m, err);
    if (!rc && t.id && t.n_layer < m->ker.n_layer) rc = q_fail(err, Q_RANGE, "the trace has %d layers, the model %d", t.n_layer, m->ker.n_layer);
    guesser g = { .o = rc ? NULL : m->on.ondisk, .t = &t, .n_layer = rc ? 0 : m->ker.n_layer, .right = p.right, .x = 1 };
    if (!rc && g.o) {
        if (p.kept > 0) ondisk_keeps(g.o, (float)p.kept);
        ondisk_ahead(g.o, !p.wait, p.right >= 0);
        if (p.right >= 0 && t.id) ondisk_tap(g.o, guess, &g);
    }
    eng_config *c = rc ? NULL : eng_config_new(m);
    if (c) rc = eng_session_new(m, c, &s, err);
    if (!rc) rc = measure(s, &p, &t, &g);
    eng_session_free(s);
    eng_config_free(c);
    eng_model_free(m);
    free(t.id);
    return rc ? die() : 0;
}
