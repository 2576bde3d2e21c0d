/* lab/compare: the same tokens under two configurations, and under a yardstick: the first one again with its cache in another
 * number format, a difference that nobody means. Batches and threads make none here (kernels/kernels.h), so what is left is
 * that and the choice of text, which the bootstrap over paragraphs answers for. The model's thread. */
#include "engine/engine.h"
#include "lab/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { A, B, YARDSTICK, SIDES };
enum { SCRATCH = 8 << 20 /* logits kept at once, a side */ };

typedef struct side {
    eng_model *m;
    eng_config *config;
    eng_session *session;
    eng_cache *cache;                    /* side B may share A's */
    bool owns;
    const float **logits;                /* [rows] of the piece at hand */
    int from;                            /* its first row in its cache's step */
} side;
typedef struct run {
    side side[SIDES];
    lab_text text;
    int rows;                            /* of a piece, a side */
    int n_vocab;
    int n_layer, first, n_expert;        /* routed layers */
    double *noise, *shared;              /* noise: [tokens]; shared: [n_layer] sums of overlap */
    int judged;
    lab_compared *out;
} run;

/* ---- sides ---- */
static int open_side(run *r, int which, char *err)
{
    side *s = &r->side[which];
    char words[24];
    snprintf(words, sizeof words, "%d", r->text.window);
    int rc = eng_config_set(s->config, "context.length", words, err);
    q_buf a = { 0 }, b = { 0 };
    bool together = which == B && s->m == r->side[A].m && strcmp(eng_config_get(r->side[A].config, "kv.type", &a), eng_config_get(s->config, "kv.type", &b)) == 0;
    q_buf_free(&a);
    q_buf_free(&b);
    s->owns = !together;
    if (together)
        s->cache = r->side[A].cache;     /* made for two: the prefix that both see is held once */
    else if (rc == Q_OK)
        rc = eng_cache_new(s->m, s->config, which == A ? 2 : 1, &s->cache, err);
    if (rc == Q_OK)
        rc = eng_cache_session(s->cache, s->config, &s->session, err);
    s->logits = q_alloc(sizeof *s->logits * (size_t)r->rows);
    return rc;
}

static void close_sides(run *r)
{
    for (int i = 0; i < SIDES; i++)
        eng_session_free(r->side[i].session);
    for (int i = 0; i < SIDES; i++) {
        if (r->side[i].owns)
            eng_cache_free(r->side[i].cache);
        eng_config_free(r->side[i].config);
        free(r->side[i].logits);
    }
}

/* ---- one piece ---- */
/* Of B's experts beside A's for row i, in layer l. */
static double overlap(const eng_out *a, int row_a, const eng_out *b, int row_b, int l)
{
    const uint16_t *x = a->ids + ((size_t)l * (size_t)a->n + (size_t)row_a) * (size_t)a->max_k;
    const uint16_t *y = b->ids + ((size_t)l * (size_t)b->n + (size_t)row_b) * (size_t)b->max_k;
    int nx = 0, ny = 0, both = 0;
    while (nx < a->max_k && x[nx] != LAB_NONE)
        nx++;
    while (ny < b->max_k && y[ny] != LAB_NONE)
        ny++;
    for (int i = 0; i < nx; i++)
        for (int j = 0; j < ny; j++)
            both += x[i] == y[j];
    int fewer = nx < ny ? nx : ny;
    return fewer ? (double)both / fewer : 1;
}

static int step(run *r, int at, int n, eng_out out[SIDES], char *err)
{
    eng_row *row = q_alloc(sizeof *row * (size_t)(2 * n));
    int rc = Q_OK;
    for (int first = 0; first < SIDES && rc == Q_OK; first++) {
        if (!r->side[first].owns)
            continue;
        int rows = 0;
        for (int s = first; s < SIDES; s++)
            if (r->side[s].cache == r->side[first].cache) {
                r->side[s].from = rows;
                for (int i = 0; i < n; i++)
                    row[rows++] = (eng_row){ .session = r->side[s].session, .token = r->text.token.id[at + i], .want = ENG_WANT_LOGITS };
            }
        rc = eng_cache_step(r->side[first].cache, row, rows, true, &out[first], err);
        for (int s = first; s < SIDES && rc == Q_OK; s++)
            if (r->side[s].cache == r->side[first].cache) {
                out[s] = out[first];
                for (int i = 0; i < n; i++)
                    r->side[s].logits[i] = out[first].logits[r->side[s].from + i];
            }
    }
    free(row);
    return rc;
}

/* from: where the context begins. */
static void judge(run *r, int from, int at, int n, const eng_out out[SIDES])
{
    lab_compared *o = r->out;
    const side *s = r->side;
    for (int i = 0; i < n; i++) {
        for (int l = 0; l < r->n_layer; l++)
            r->shared[l] += overlap(&out[A], s[A].from + i, &out[B], s[B].from + i, r->first + l);
        if (at + i + 1 >= r->text.token.n)
            break;
        if (r->text.mask && !r->text.mask[at + i + 1])
            continue;
        const float *x = s[A].logits[i], *y = s[B].logits[i], *z = s[YARDSTICK].logits[i];
        double lx = judge_log_sum(x, r->n_vocab), ly = judge_log_sum(y, r->n_vocab), lz = judge_log_sum(z, r->n_vocab);
        int32_t next = r->text.token.id[at + i + 1];
        lab_token *t = &o->token[o->n];
        double a = (double)x[next] - lx, b = (double)y[next] - ly;
        bool top, ignored;
        t->kl = (float)judge_kl(x, y, r->n_vocab, lx, ly, &top);
        r->noise[o->n] = judge_kl(x, z, r->n_vocab, lx, lz, &ignored);
        t->id = next;
        t->head = at + i == from ? r->text.token.id[from] : -1;
        t->dlogp = (float)(b - a);
        t->same_top = top;
        t->block = r->text.block[at + i + 1];
        o->logp[0] += a;
        o->logp[1] += b;
        o->top1 += top;
        o->n++;
    }
    r->judged += n;
}

static int evaluate(run *r, const lab_terms *terms, char *err)
{
    for (int from = 0, end; from < r->text.token.n; from = end) {
        end = text_end(&r->text, from);
        for (int s = 0, rc; s < SIDES; s++)
            if ((rc = eng_session_cut(r->side[s].session, 0, err)) < 0)
                return rc;
        for (int at = from; at < end; at += r->rows) {
            int n = at + r->rows < end ? r->rows : end - at;
            if (terms->go_on && !terms->go_on(terms->user, at, r->text.token.n))
                return q_fail(err, Q_CANCEL, _("stopped after %d of %d tokens"), at, r->text.token.n);
            eng_out out[SIDES];
            int rc = step(r, at, n, out, err);
            if (rc)
                return rc;
            judge(r, from, at, at + n == end && end < r->text.token.n ? n - 1 : n, out);     /* the next window's first token has no context here */
        }
    }
    return Q_OK;
}

static void conclude(run *r, bool equal)
{
    lab_compared *o = r->out;
    double *v = q_alloc(sizeof *v * (size_t)(o->n + 1));
    int *block = q_alloc(sizeof *block * (size_t)(o->n + 1));
    for (int i = 0; i < o->n; i++) {
        v[i] = o->token[i].kl;
        block[i] = o->token[i].block;
    }
    o->kl = judge_mean(v, block, o->n, o->blocks);
    o->noise = judge_mean(r->noise, block, o->n, o->blocks);
    for (int i = 0; i < o->n; i++)
        v[i] = o->token[i].dlogp;
    o->dlogp = judge_mean(v, block, o->n, o->blocks);
    for (int s = 0; s < 2; s++)
        o->logp[s] /= o->n;
    o->top1 /= o->n;
    o->different = !equal && o->kl.low > o->noise.high;
    for (int l = 0; l < r->n_layer; l++)
        o->overlap[l] = r->judged ? r->shared[l] / r->judged : 0;
    free(v);
    free(block);
}

static int prepare(run *r, const eng_config *a, const eng_config *b, char *err)
{
    const eng_info *info = eng_model_info(r->side[A].m);
    r->n_vocab = info->n_vocab;
    r->out->more_experts = info->n_expert_used > 0 && (eng_config_k(a) > info->n_expert_used || (r->side[B].m == r->side[A].m && eng_config_k(b) > info->n_expert_used));
    bool one = r->side[A].m == r->side[B].m;         /* experts of two models have nothing in common but their numbers */
    r->n_layer = r->out->n_layer = one ? info->n_moe_layer : 0;
    r->first = r->out->first_layer = info->first_moe_layer;
    r->rows = SCRATCH / (info->n_vocab > 0 ? info->n_vocab : 1);
    r->rows = r->rows < 1 ? 1 : r->rows > ENG_STEP_ROWS / 2 ? ENG_STEP_ROWS / 2 : r->rows;
    r->noise = q_alloc(sizeof *r->noise * (size_t)r->text.token.n);
    r->shared = q_alloc(sizeof *r->shared * (size_t)(r->n_layer + 1));
    r->out->overlap = q_alloc(sizeof *r->out->overlap * (size_t)(r->n_layer + 1));
    r->out->token = q_alloc(sizeof *r->out->token * (size_t)r->text.token.n);
    r->out->blocks = r->text.blocks;
    r->out->by_paragraph = r->text.by_paragraph;
    q_buf kv = { 0 };
    snprintf(r->out->yardstick, sizeof r->out->yardstick, "%s", strcmp(eng_config_get(a, "kv.type", &kv), "f32") == 0 ? "f16" : "f32");
    q_buf_free(&kv);
    r->side[A].config = eng_config_copy(a);
    r->side[B].config = eng_config_copy(b);
    r->side[YARDSTICK].config = eng_config_copy(a);
    for (int s = A; s <= B; s++) {
        eng_cost cost = eng_model_cost(r->side[s].m, r->side[s].config);
        r->out->bytes[s] = cost.bytes_layers + cost.bytes_head;
    }
    return eng_config_set(r->side[YARDSTICK].config, "kv.type", r->out->yardstick, err);
}

int lab_compare(eng_model *m, const eng_config *a, const eng_config *b, const char *text, size_t n, const lab_terms *terms, lab_compared *out, char *err)
{
    return compare_models(m, a, m, b, text, n, terms, out, err);
}

/* text: what text_open or the talks left, rc: how that went; closed here. */
static int compare(eng_model *m, const eng_config *a, eng_model *other, const eng_config *b, lab_text *text, int rc, const lab_terms *terms, lab_compared *out, char *err)
{
    run r = { .side = { [A] = { .m = m }, [B] = { .m = other }, [YARDSTICK] = { .m = m } }, .text = *text, .out = out };
    *out = (lab_compared){ .n = 0 };
    if (rc == Q_OK)
        rc = prepare(&r, a, b, err);
    for (int s = 0; s < SIDES && rc == Q_OK; s++)
        rc = open_side(&r, s, err);
    eng_session *all[SIDES];
    for (int s = 0; s < SIDES; s++)
        all[s] = r.side[s].session;
    lab_halt *halt = rc == Q_OK ? lab_halt_new(terms->stop, all, SIDES) : NULL;
    if (rc == Q_OK)
        rc = evaluate(&r, terms, err);
    lab_halt_free(halt);
    for (int i = A; i <= B && rc == Q_OK; i++)
        out->rate[i] = text_rate(r.side[i].session);
    if (rc == Q_OK)
        conclude(&r, m == other && eng_config_hash(a) == eng_config_hash(b));
    close_sides(&r);
    text_close(&r.text);
    free(r.noise);
    free(r.shared);
    if (rc)
        lab_compared_free(out);
    return rc;
}

static const lab_terms usual = { .window = 0 };

int compare_models(eng_model *m, const eng_config *a, eng_model *other, const eng_config *b, const char *text, size_t n, const lab_terms *terms,
                   lab_compared *out, char *err)
{
    lab_text t = { .window = 0 };
    terms = terms ? terms : &usual;
    int rc = text_open(m, text, n, terms->window, &t, err);
    return compare(m, a, other, b, &t, rc, terms, out, err);
}

static int judged_of(const lab_talk *t)
{
    int n = 0;
    for (int k = 1; k < t->n; k++)
        n += t->mask[k] != 0;
    return n;
}

int lab_compare_talks(eng_model *m, const eng_config *a, const eng_config *b, const lab_talk *talk, int n, const lab_terms *terms, lab_compared *out, char *err)
{
    lab_text t = { .window = TEXT_NARROWEST, .by_paragraph = true };
    size_t all = 1;
    for (int i = 0; i < n; i++)
        all += (size_t)talk[i].n;
    uint8_t *mask = q_alloc(all);
    t.begin = q_alloc(sizeof *t.begin * (size_t)(n + 1));
    t.block = q_alloc(sizeof *t.block * all);
    for (int i = 0; i < n; i++) {
        if (!judged_of(&talk[i]))
            continue;
        t.begin[t.n_begin++] = t.token.n;
        t.window = talk[i].n > t.window ? talk[i].n : t.window;
        for (int k = 0; k < talk[i].n; k++) {
            t.block[t.token.n] = t.blocks;
            mask[t.token.n] = k > 0 && talk[i].mask[k];
            eng_tokens_add(&t.token, talk[i].token[k]);
        }
        t.blocks++;
    }
    t.mask = mask;
    int rc = t.blocks ? Q_OK : q_fail(err, Q_RANGE, _("these conversations have no answer to be judged by"));
    rc = compare(m, a, m, b, &t, rc, terms ? terms : &usual, out, err);
    free(mask);
    return rc;
}

void lab_compared_free(lab_compared *o)
{
    free(o->token);
    free(o->overlap);
    *o = (lab_compared){ .n = 0 };
}
