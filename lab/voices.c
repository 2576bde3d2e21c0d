/* lab/voices: several answers to one prompt, step by step together; see lab.h. A voice's bytes depend on no other voice
 * (eng_cache_step), so each is the answer that it would have given alone. Engine thread. */
#include "lab/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHES = 4 };

typedef struct line {                    /* a timeline, and the logits after its last token */
    eng_session *s;
    const float *logits;
    int cache;
} line;
typedef struct voice {
    eng_config *c;
    line own, under;                     /* under: the same text under the other's configuration, with cross */
    eng_sampler *dice;
    eng_detok letters;
    q_buf text;
    lab_answer *out;
    bool live;
} voice;
typedef struct choir {
    eng_model *m;
    const lab_ask *ask;
    const lab_terms *terms;
    voice v[LAB_VOICES];
    eng_cache *cache[CACHES];
    char kv[CACHES][16];
    int timelines[CACHES], n_cache;
    int n_vocab, done, total;
} choir;

/* ---- configurations and caches ---- */
/* The dice are those of `now`, whatever else is the model's own. */
static int take_sampler(eng_config *to, eng_model *m, const char *now, char *err)
{
    eng_config *from = eng_config_new(m);
    int n, rc = now ? eng_config_from_json(from, now, err) : Q_OK;
    const q_knob *row = eng_knobs(&n);
    q_buf v = { 0 };
    for (int i = 0; i < n && rc == Q_OK; i++)
        if (row[i].effect == Q_EFFECT_SAMPLING && strncmp(row[i].name, "sampler.", 8) == 0 && !eng_config_is_default(from, row[i].name))
            rc = eng_config_set(to, row[i].name, eng_config_get(from, row[i].name, &v), err);
    q_buf_free(&v);
    eng_config_free(from);
    return rc;
}

static int make_config(eng_model *m, const char *now, const lab_voice *v, eng_config **out, char *err)
{
    *out = eng_config_new(m);
    int rc = v->own ? take_sampler(*out, m, now, err) : now ? eng_config_from_json(*out, now, err) : Q_OK;
    q_buf said = { 0 };
    if (rc == Q_OK && v->spec)
        rc = lab_spec(*out, v->spec, &said, err);
    q_buf_free(&said);
    return rc;
}

int lab_spec_cost(struct eng_cache *beside, const char *now, const char *spec, uint64_t *bytes, char *err)
{
    eng_config *c;
    int rc = make_config(eng_cache_model(beside), now, &(lab_voice){ .spec = spec }, &c, err);
    eng_cost cost = eng_model_cost(eng_cache_model(beside), c);
    *bytes = cost.bytes_layers + cost.bytes_head;
    eng_config_free(c);
    return rc;
}

static int cache_for(choir *h, const eng_config *c)
{
    q_buf kv = { 0 };
    int i = 0;
    eng_config_get(c, "kv.type", &kv);
    while (i < h->n_cache && strcmp(h->kv[i], kv.p) != 0)
        i++;
    if (i == h->n_cache && i < CACHES - 1)
        snprintf(h->kv[h->n_cache++], sizeof h->kv[0], "%s", kv.p);
    q_buf_free(&kv);
    return i;
}

static int configure(choir *h, char *err)
{
    int rc = Q_OK;
    char words[32];
    for (int i = 0; i < h->ask->n_voice && rc == Q_OK; i++) {
        voice *v = &h->v[i];
        rc = make_config(h->m, h->ask->now, &h->ask->voice[i], &v->c, err);
        snprintf(words, sizeof words, "%d", h->ask->n + h->ask->most < 16 ? 16 : h->ask->n + h->ask->most);
        if (rc == Q_OK)
            rc = eng_config_set(v->c, "context.length", words, err);
        snprintf(words, sizeof words, "%llu", (unsigned long long)h->ask->voice[i].seed);
        if (rc == Q_OK)
            rc = eng_config_set(v->c, "sampler.seed", words, err);
        eng_cost cost = eng_model_cost(h->m, v->c);
        v->out->bytes = cost.bytes_layers + cost.bytes_head;
    }
    for (int i = 0; i < h->ask->n_voice && rc == Q_OK; i++) {
        h->v[i].own.cache = cache_for(h, h->v[i].c);
        h->timelines[h->v[i].own.cache] += h->ask->cross ? 2 : 1;
    }
    for (int i = 0; i < h->n_cache && rc == Q_OK; i++)
        for (int k = 0; k < h->ask->n_voice && rc == Q_OK && !h->cache[i]; k++)
            if (h->v[k].own.cache == i)
                rc = eng_cache_new(h->m, h->v[k].c, h->timelines[i], &h->cache[i], err);
    return rc;
}

/* ---- the prompt ---- */
typedef struct reading { choir *h; eng_session *s; } reading;
static void on_prompt(void *user, int done, int total)
{
    const reading *r = user;
    choir *h = r->h;
    if (h->terms->go_on && !h->terms->go_on(h->terms->user, h->done + done, h->total))
        eng_session_cancel(r->s);
}

static int stopped(const choir *h, char *err) { return q_fail(err, Q_CANCEL, _("stopped after %d of %d tokens"), h->done, h->total); }

static int read_prompt(choir *h, voice *v, char *err)
{
    int rc = eng_cache_session(h->cache[v->own.cache], v->c, &v->own.s, err);
    reading r = { h, v->own.s };
    if (rc == Q_OK)
        rc = eng_session_sync(v->own.s, h->ask->prompt, h->ask->n, ENG_RECOMPUTE, on_prompt, &r, err);
    if (rc == Q_CANCEL)
        stopped(h, err);
    h->done += h->ask->n;
    return rc;
}

static int begin(choir *h, char *err)
{
    int rc = Q_OK;
    for (int i = 0; i < h->ask->n_voice && rc == Q_OK; i++) {
        voice *v = &h->v[i];
        const voice *like = NULL;
        for (int k = 0; k < i && !like; k++)
            like = eng_config_hash(h->v[k].c) == eng_config_hash(v->c) && h->v[k].own.cache == v->own.cache ? &h->v[k] : NULL;
        rc = like ? eng_session_fork(like->own.s, &v->own.s, err) : read_prompt(h, v, err);
        if (like)
            h->done += h->ask->n;
    }
    for (int i = 0; i < 2 && h->ask->cross && rc == Q_OK; i++) {
        h->v[i].under.cache = h->v[1 - i].own.cache;
        rc = eng_session_fork(h->v[1 - i].own.s, &h->v[i].under.s, err);
    }
    for (int i = 0; i < h->ask->n_voice && rc == Q_OK; i++) {
        voice *v = &h->v[i];
        v->own.logits = eng_session_logits(v->own.s);
        v->under.logits = v->under.s ? eng_session_logits(v->under.s) : NULL;
        v->dice = eng_sampler_new(h->m);
        eng_sampler_reset(v->dice, v->c);
        for (int t = 0; t < h->ask->n; t++)
            eng_sampler_heard(v->dice, h->ask->prompt[t]);
        v->letters = eng_detok_behind(h->m, h->ask->n ? h->ask->prompt[h->ask->n - 1] : -1);
        v->out->word = q_alloc(sizeof *v->out->word * (size_t)(h->ask->most + 1));
        v->out->at = q_alloc(sizeof *v->out->at * (size_t)(h->ask->most + 1));
        q_buf_puts(&v->text, "");
        v->live = true;
    }
    return rc;
}

/* ---- one token of each ---- */
/* False: the answer has ended. */
static bool choose(const choir *h, voice *v)
{
    lab_answer *o = v->out;
    eng_choice c = eng_sample(v->dice, v->c, v->own.logits);
    if (c.token == ENG_NO_TOKEN || eng_token_end(h->m, c.token)) {
        o->ended = c.token != ENG_NO_TOKEN || c.p > 0;     /* else the grammar lets nothing come, and it is cut off */
        return false;
    }
    lab_word *w = &o->word[o->n];
    *w = (lab_word){ .id = c.token, .logp = c.logprob, .over = NAN, .kl = NAN };
    if (v->under.s) {
        double own = judge_log_sum(v->own.logits, h->n_vocab), other = judge_log_sum(v->under.logits, h->n_vocab);
        bool top;
        w->over = (float)(((double)v->own.logits[c.token] - own) - ((double)v->under.logits[c.token] - other));
        w->kl = (float)judge_kl(v->own.logits, v->under.logits, h->n_vocab, own, other, &top);
    }
    o->at[o->n++] = v->text.len;
    eng_sampler_accept(v->dice, c.token);
    eng_detok_add(h->m, &v->letters, c.token, &v->text);
    long stop = eng_stop_scan(v->c, v->text.p, v->text.len);
    if (stop < 0) {
        v->text.len = (size_t)(-1 - stop);
        v->text.p[v->text.len] = 0;
        v->letters.n = 0;
        o->ended = true;
    }
    return stop >= 0 && o->n < h->ask->most;
}

static void add_row(eng_row *rows, line **of, int *n, line *l, int32_t token)
{
    of[*n] = l;
    rows[(*n)++] = (eng_row){ .session = l->s, .token = token, .want = ENG_WANT_LOGITS };
}

static int step(choir *h, int cache, char *err)
{
    eng_row rows[2 * LAB_VOICES];
    line *of[2 * LAB_VOICES];
    eng_out *out = q_alloc(sizeof *out);
    int n = 0;
    for (int i = 0; i < h->ask->n_voice; i++) {
        voice *v = &h->v[i];
        for (int k = 0; k < 2 && v->live; k++) {
            line *l = k ? &v->under : &v->own;
            if (l->s && l->cache == cache)
                add_row(rows, of, &n, l, v->out->word[v->out->n - 1].id);
        }
    }
    int rc = n ? eng_cache_step(h->cache[cache], rows, n, true, out, err) : Q_OK;
    for (int i = 0; i < n && rc == Q_OK; i++)
        of[i]->logits = out->logits[i];
    free(out);
    return rc;
}

static int speak(choir *h, char *err)
{
    for (int left = h->ask->n_voice, rc; left > 0;) {
        left = 0;
        for (int i = 0; i < h->ask->n_voice; i++) {
            voice *v = &h->v[i];
            if (!v->live)
                continue;
            v->live = choose(h, v);
            left += v->live;
            h->done++;
        }
        if (h->terms->go_on && !h->terms->go_on(h->terms->user, h->done < h->total ? h->done : h->total, h->total))
            return stopped(h, err);
        for (int c = 0; c < h->n_cache && left; c++)
            if ((rc = step(h, c, err)) < 0)
                return rc;
    }
    return Q_OK;
}

/* ---- the end ---- */
static void end(choir *h, int rc)
{
    for (int i = 0; i < h->ask->n_voice; i++) {
        voice *v = &h->v[i];
        eng_detok_end(&v->letters, &v->text);
        v->out->rate = rc == Q_OK && h->ask->cross ? text_rate(v->own.s) : 0;
        v->out->text = q_utf8_clean(v->text.p ? v->text.p : "", v->text.len);
        eng_sampler_free(v->dice);
        eng_session_free(v->under.s);
        eng_session_free(v->own.s);
        eng_config_free(v->c);
        q_buf_free(&v->text);
    }
    for (int i = 0; i < h->n_cache; i++)
        eng_cache_free(h->cache[i]);
}

int lab_answer_beside(struct eng_cache *beside, const lab_ask *ask, const lab_terms *terms, lab_answer *out, char *err)
{
    static const lab_terms usual = { .window = 0 };
    memset(out, 0, sizeof *out * (size_t)ask->n_voice);
    if (ask->n_voice < 1 || ask->n_voice > LAB_VOICES)
        return q_fail(err, Q_RANGE, _("from 1 to %d answers can be given at once, not %d"), LAB_VOICES, ask->n_voice);
    choir *h = q_alloc(sizeof *h);
    *h = (choir){ .m = eng_cache_model(beside), .ask = ask, .terms = terms ? terms : &usual };
    h->n_vocab = eng_model_info(h->m)->n_vocab;
    h->total = ask->n_voice * (ask->n + ask->most);
    for (int i = 0; i < ask->n_voice; i++)
        h->v[i].out = &out[i];
    int rc = configure(h, err);
    if (rc == Q_OK)
        rc = begin(h, err);
    if (rc == Q_OK)
        rc = speak(h, err);
    end(h, rc);
    free(h);
    if (rc)
        lab_answers_free(out, ask->n_voice);
    return rc;
}

void lab_answers_free(lab_answer *a, int n)
{
    for (int i = 0; i < n; i++) {
        free(a[i].text);
        free(a[i].word);
        free(a[i].at);
        a[i] = (lab_answer){ .n = 0 };
    }
}
