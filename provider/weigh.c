/* provider/weigh: see weigh.h. The conversation's context stays as it is. */
#include "provider/weigh.h"
#include "provider/render.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- how likely a text is ---- */
typedef struct scoring {
    local *l;
    const eng_tokens *t;
    int from;                            /* the first token that is told of */
    double logprob;                      /* of the token that comes next */
    eng_detok detok;
    q_buf text;
    void (*each)(void *user, const prov_piece *);
    void *user;
} scoring;

static double log_of(const float *logits, int n, int32_t token)
{
    double max = (double)logits[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = (double)logits[i] > max ? (double)logits[i] : max;
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    return (double)logits[token] - max - log(sum);
}

static int score_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    scoring *s = user;
    if (pos >= s->from) {
        bool last = pos + 1 == s->t->n;
        eng_detok_add(s->l->m, &s->detok, s->t->id[pos], &s->text);
        if (last)
            eng_detok_end(&s->detok, &s->text);
        prov_piece p = { .number = pos - s->from + 1, .text = s->text.p ? s->text.p : "", .n = s->text.len, .token = s->t->id[pos],
                         .logprob = s->logprob };
        s->each(s->user, &p);
        q_buf_clear(&s->text);
    }
    if (pos + 1 >= s->from && pos + 1 < s->t->n)
        s->logprob = log_of(logits, eng_model_info(s->l->m)->n_vocab, s->t->id[pos + 1]);
    return 0;
}

int weigh_score(prov *p, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *),
                 void *user, char *err)
{
    local *l = (local *)p;
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    prov_request nothing = { .raw = "" };
    eng_config *c = local_settings(l, before);
    int rc = render_request(l, c, before ? before : &nothing, &t, err);
    scoring sc = { .l = l, .t = &t, .from = t.n, .logprob = (double)NAN, .each = each, .user = user };
    if (rc == Q_OK)
        rc = eng_tokenize(l->m, text, n, false, &t, err);
    if (rc == Q_OK && t.n > sc.from)
        rc = local_aside(l, c, t.n, &s, err);
    if (s)
        rc = eng_session_eval(s, t.id, t.n, 0, NULL, 0, score_row, &sc, err);
    eng_session_free(s);
    eng_config_free(c);
    eng_tokens_free(&t);
    q_buf_free(&sc.text);
    return rc;
}

/* ---- which of some texts comes ---- */
typedef struct judging {
    local *l;
    eng_session *s;
    const eng_tokens *text; int n;
    prov_go *go;
    void *user;
    int read, all;                       /* tokens of all requests */
} judging;

/* Shorter pieces than a batch: whoever stops it is heard within one. */
static int read_on(judging *j, const eng_tokens *t, char *err)
{
    enum { PIECE = 64 };
    const int32_t *had = eng_session_tokens(j->s);
    int at = 0, len = eng_session_length(j->s), rc = Q_OK;
    while (had && at < len && at < t->n - 1 && had[at] == t->id[at])
        at++;
    while (at < t->n && rc == Q_OK) {
        if (atomic_load(&j->l->cancelled) || (j->go && !j->go(j->user, j->read + at, j->all)))
            return q_fail(err, Q_CANCEL, _("stopped"));
        at = t->n - at < PIECE ? t->n : at + PIECE;
        rc = eng_session_sync(j->s, t->id, at, ENG_CONTINUE, NULL, NULL, err);
    }
    j->read += t->n;
    return rc;
}

/* The log-probability of each text behind what was read. */
static int weigh(judging *j, double *out, char *err)
{
    int rc = Q_OK, vocab = eng_model_info(j->l->m)->n_vocab, length = eng_session_length(j->s);
    for (int i = 0; i < j->n; i++)
        out[i] = log_of(eng_session_logits(j->s), vocab, j->text[i].id[0]);
    for (int i = 0; i < j->n && rc == Q_OK; i++) {
        for (int k = 1; k < j->text[i].n && rc == Q_OK; k++) {
            rc = eng_session_push(j->s, j->text[i].id[k - 1], err);
            out[i] += rc == Q_OK ? log_of(eng_session_logits(j->s), vocab, j->text[i].id[k]) : 0;
        }
        if (rc == Q_OK && j->text[i].n > 1)
            rc = eng_session_cut(j->s, length, err);
    }
    return rc;
}

/* From log-probabilities. */
static void shares(double *v, int n)
{
    double most = v[0], sum = 0;
    for (int i = 1; i < n; i++)
        most = v[i] > most ? v[i] : most;
    for (int i = 0; i < n; i++)
        sum += exp(v[i] - most);
    for (int i = 0; i < n; i++)
        v[i] = exp(v[i] - most) / sum;
}

int weigh_judge(prov *p, const prov_request *r, int n_request, const char *const *text, int n, double *share, prov_go *go, void *user, char *err)
{
    local *l = (local *)p;
    eng_tokens *t = q_alloc(sizeof *t * (size_t)(n_request + n + 1)), *said = t + n_request;
    double *at = q_alloc(sizeof *at * (size_t)(n + 1));
    judging j = { .l = l, .text = said, .n = n, .go = go, .user = user };
    eng_config *c = local_settings(l, n_request > 0 ? &r[0] : NULL);
    int rc = Q_OK, longest = 0, most = 0;
    for (int i = 0; i < n && rc >= 0; i++) {
        rc = eng_tokenize(l->m, text[i], strlen(text[i]), false, &said[i], err);
        if (rc >= 0 && said[i].n == 0)
            rc = q_fail(err, Q_RANGE, _("an empty text cannot be judged"));
        longest = said[i].n > longest ? said[i].n : longest;
    }
    for (int i = 0; i < n_request && rc >= 0; i++) {
        t[i].most = render_most(c);
        rc = render_anew(l, c, &r[i], &t[i], err);
        j.all += t[i].n;
        most = t[i].n > most ? t[i].n : most;
    }
    if (rc >= 0 && most > 0)
        rc = local_aside(l, c, most + longest, &j.s, err);
    for (int i = 0; i < n_request && j.s && rc >= 0; i++) {
        rc = read_on(&j, &t[i], err);
        if (rc >= 0)
            rc = weigh(&j, at, err);
        if (rc >= 0)
            shares(memcpy(share + (size_t)i * (size_t)n, at, sizeof *at * (size_t)n), n);
    }
    eng_session_free(j.s);
    for (int i = 0; i < n_request + n; i++)
        eng_tokens_free(&t[i]);
    eng_config_free(c);
    free(t);
    free(at);
    return rc < 0 ? rc : Q_OK;
}

/* ---- a text as a vector ---- */
/* The mean of the last hidden states: what a model of conversations has of a whole text. */
int weigh_embed(prov *p, const char *text, size_t n, float *out, char *err)
{
    local *l = (local *)p;
    int width = p->info.n_embd, rc;
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    double *sum = q_alloc(sizeof *sum * (size_t)width), square = 0;
    prov_request raw = { .raw = text, .n_raw = n };
    eng_config *c = local_settings(l, NULL);
    if ((rc = render_request(l, c, &raw, &t, err)) == Q_OK && t.n == 0)
        rc = q_fail(err, Q_RANGE, _("an empty text has no vector"));
    if (rc == Q_OK)
        rc = local_aside(l, c, t.n, &s, err);
    for (int at = 0; at < t.n && rc == Q_OK; at += ENG_STEP_ROWS) {
        eng_row row[ENG_STEP_ROWS];
        eng_out o;
        int rows = t.n - at < ENG_STEP_ROWS ? t.n - at : ENG_STEP_ROWS;
        for (int i = 0; i < rows; i++)
            row[i] = (eng_row){ .session = s, .token = t.id[at + i], .want = ENG_WANT_HIDDEN };
        rc = eng_cache_step(eng_session_cache(s), row, rows, true, &o, err);
        for (int i = 0; i < rows && rc == Q_OK; i++)
            for (int e = 0; e < width; e++)
                sum[e] += (double)o.hidden[i][e];
    }
    for (int e = 0; e < width; e++)
        square += sum[e] * sum[e];
    for (int e = 0; e < width && rc == Q_OK; e++)
        out[e] = (float)(square > 0 ? sum[e] / sqrt(square) : 0);
    eng_session_free(s);
    eng_config_free(c);
    eng_tokens_free(&t);
    free(sum);
    return rc;
}
