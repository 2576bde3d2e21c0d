/* teach/tokens: examples as the model reads them, in its own conversation's frame, with a mask of what is learnt: the answers up to the token that
 * ends them, and nothing of questions, frames and system texts. See parts.h. */
#include "teach/parts.h"

#include <stdlib.h>
#include <string.h>

void tokens_text_free(trn_text *t)
{
    free((void *)(uintptr_t)t->token);
    free((void *)(uintptr_t)t->mask);
    *t = (trn_text){ .n = 0 };
}

void tokens_free(lessons *t)
{
    for (int side = 0; side < 2; side++) {
        trn_example *e = side ? t->held : t->train;
        for (int i = 0; i < (side ? t->n_held : t->n_train); i++) {
            tokens_text_free(&e[i].chosen);
            tokens_text_free(&e[i].rejected);
        }
        free(e);
    }
    *t = (lessons){ .n_train = 0 };
}

/* ---- a conversation in the model's frame ---- */
typedef struct framed { eng_message *m; eng_more *more; eng_call **call; int n; } framed;

static framed frame(const adv_said *v, int n)
{
    static const enum eng_role role[] = { [ADV_SAYS_SYSTEM] = ENG_SYSTEM, [ADV_SAYS_USER] = ENG_USER, [ADV_SAYS_ASSISTANT] = ENG_ASSISTANT, [ADV_SAYS_TOOL] = ENG_TOOL };
    framed f = { q_alloc(sizeof *f.m * (size_t)(n + 1)), q_alloc(sizeof *f.more * (size_t)(n + 1)), q_alloc(sizeof *f.call * (size_t)(n + 1)), n };
    for (int i = 0; i < n; i++) {
        f.call[i] = q_alloc(sizeof **f.call * (size_t)(v[i].n_use + 1));
        for (int k = 0; k < v[i].n_use; k++)
            f.call[i][k] = (eng_call){ *v[i].use[k].id ? v[i].use[k].id : NULL, v[i].use[k].name, v[i].use[k].arguments };
        f.more[i] = (eng_more){ *v[i].thinking ? v[i].thinking : NULL, strlen(v[i].thinking), f.call[i], v[i].n_use, *v[i].answers ? v[i].answers : NULL, NULL };
        f.m[i] = (eng_message){ role[v[i].who], v[i].text, strlen(v[i].text), &f.more[i] };
    }
    return f;
}

static void frame_free(framed *f)
{
    for (int i = 0; i < f->n; i++)
        free(f->call[i]);
    free(f->call);
    free(f->more);
    free(f->m);
}

static bool begins(const eng_tokens *whole, const eng_tokens *with)
{
    return with->n <= whole->n && memcmp(whole->id, with->id, sizeof *whole->id * (size_t)with->n) == 0;
}

/* Where answer i begins in the whole: behind what the model would have been given to answer, with or without an empty thought, whichever of
 * these the whole begins with and is longer. -1: the template writes earlier turns otherwise once there are later ones. */
static int answer_at(const eng_model *m, const framed *f, int i, const eng_tokens *whole)
{
    char ignored[Q_ERRLEN];
    int at = -1;
    for (int think = -1; think <= 1; think++) {
        eng_tokens t = { 0 };
        if (eng_template(m, f->m, i, true, think, &t, ignored) == Q_OK && begins(whole, &t) && t.n > at)
            at = t.n;
        eng_tokens_free(&t);
    }
    return at;
}

/* The vocabulary's own end of a text; -1: it names none. */
static int32_t last_token(const eng_model *m)
{
    const char *name = eng_template_token(m, true);
    char ignored[Q_ERRLEN];
    eng_tokens t = { 0 };
    int32_t id = -1;
    if (name && eng_tokenize(m, name, strlen(name), true, &t, ignored) == Q_OK && t.n && eng_token_end(m, t.id[t.n - 1]))
        id = t.id[t.n - 1];
    eng_tokens_free(&t);
    return id;
}

/* What ends the last answer where the template writes no end behind it: the mark of who speaks next, if that ends a reply (GLM closes a turn with
 * the next one's), else the vocabulary's. Unlearnt, the model would not know where to stop. -1: neither. */
static int32_t end_behind(const eng_model *m, framed *f, const eng_tokens *whole)
{
    eng_tokens t = { 0 };
    char ignored[Q_ERRLEN];
    int32_t id = -1;
    f->m[f->n] = (eng_message){ f->more[f->n - 1].n_call ? ENG_TOOL : ENG_USER, "a", 1, NULL };
    if (eng_template(m, f->m, f->n + 1, false, -1, &t, ignored) == Q_OK && begins(&t, whole) && t.n > whole->n && eng_token_end(m, t.id[whole->n]))
        id = t.id[whole->n];
    eng_tokens_free(&t);
    return id >= 0 ? id : last_token(m);
}

static int by_template(const eng_model *m, const adv_said *v, int n, int first, eng_tokens *whole, uint8_t **mask, char *err)
{
    framed f = frame(v, n);
    int rc = eng_template(m, f.m, n, false, -1, whole, err);
    *mask = q_alloc((size_t)whole->n + 2);
    for (int i = first; i < n && rc == Q_OK; i++) {
        int at = v[i].who == ADV_SAYS_ASSISTANT ? answer_at(m, &f, i, whole) : -1;
        bool end = at < 1;
        for (; !end && at < whole->n; at++) {
            (*mask)[at] = 1;
            end = eng_token_end(m, whole->id[at]);
        }
        int32_t id = end || i + 1 < n ? -1 : end_behind(m, &f, whole);
        if (id >= 0) {
            (*mask)[whole->n] = 1;
            eng_tokens_add(whole, id);
        }
    }
    frame_free(&f);
    return rc;
}

/* A model without a frame: the texts one after the other, a blank line between two; where the last is learnt, so is its end. */
static int by_text(const eng_model *m, const adv_said *v, int n, int first, bool bare, eng_tokens *whole, uint8_t **mask, char *err)
{
    int rc = Q_OK, begin = eng_token_begin(m), cap = 0;
    *mask = NULL;
    if (begin >= 0)
        eng_tokens_add(whole, begin);
    for (int i = 0; i < n && rc == Q_OK; i++) {
        char *text = q_printf("%s%s", v[i].text, i + 1 < n ? "\n\n" : "");
        int from = whole->n;
        rc = eng_tokenize(m, text, strlen(text), false, whole, err);
        *mask = q_realloc(*mask, (size_t)whole->n + 1);
        memset(*mask + cap, 0, (size_t)(whole->n + 1 - cap));
        cap = whole->n;
        for (int k = from; k < whole->n; k++)
            (*mask)[k] = k > 0 && i >= first && (bare || v[i].who == ADV_SAYS_ASSISTANT);
        free(text);
    }
    int32_t id = rc == Q_OK && whole->n > 1 && (*mask)[whole->n - 1] && !eng_token_end(m, whole->id[whole->n - 1]) ? last_token(m) : -1;
    if (id >= 0) {
        (*mask)[whole->n] = 1;           /* there is room for one more */
        eng_tokens_add(whole, id);
    }
    return rc;
}

static int text_of(const eng_model *m, const adv_said *v, int n, int first, bool bare, trn_text *out, char *err)
{
    eng_tokens whole = { 0 };
    uint8_t *mask = NULL;
    *out = (trn_text){ .n = 0 };
    int rc = eng_model_info(m)->frame.chat && !bare ? by_template(m, v, n, first, &whole, &mask, err) : by_text(m, v, n, first, bare, &whole, &mask, err);
    int targets = 0;
    for (int k = 1; rc == Q_OK && k < whole.n; k++)
        targets += mask[k];
    if (rc == Q_OK && !targets)
        rc = q_fail(err, Q_RANGE, _("it has no answer that could be learnt"));
    if (rc == Q_OK) {
        mask[0] = 0;                     /* nothing foretells the first token */
        *out = (trn_text){ whole.id, mask, whole.n };
    } else {
        eng_tokens_free(&whole);
        free(mask);
    }
    return rc;
}

int tokens_of_talk(const eng_model *m, const adv_said *v, int n, bool bare, trn_text *out, char *err) { return text_of(m, v, n, 0, bare, out, err); }

/* ---- all of them ---- */
static uint64_t source_of(const adv_example *e)
{
    int i = 0;
    while (i < e->n && e->v[i].who != ADV_SAYS_USER)
        i++;
    const char *text = e->v[i < e->n ? i : 0].text;
    return q_hash64(text, strlen(text), 0x7465616368);
}

static int example_of(const eng_model *m, const adv_example *e, enum tokens_of kind, trn_example *out, char *err)
{
    *out = (trn_example){ .source = source_of(e) };
    int rc = text_of(m, e->v, e->n, e->n_other ? e->from : 0, e->bare, &out->chosen, err);
    if (rc == Q_OK && kind == TOKENS_DPO) {
        int n = e->from + e->n_other;    /* the same prompt, another end */
        adv_said *v = q_alloc(sizeof *v * (size_t)(n + 1));
        memcpy(v, e->v, sizeof *v * (size_t)e->from);
        memcpy(v + e->from, e->other, sizeof *v * (size_t)e->n_other);
        rc = text_of(m, v, n, e->from, false, &out->rejected, err);
        free(v);
    }
    if (rc < 0)
        tokens_text_free(&out->chosen);
    return rc;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Divides all[0..n) into what is trained on and what is held out. */
static void divide(trn_example *all, int n, bool hold, lessons *out)
{
    uint64_t *source = q_alloc(sizeof *source * (size_t)(n + 1));
    for (int i = 0; i < n; i++)
        source[i] = all[i].source;
    qsort(source, (size_t)n, sizeof *source, by_hash);
    out->sources = 0;
    for (int i = 0; i < n; i++)
        if (i == 0 || source[i] != source[out->sources - 1])
            source[out->sources++] = source[i];
    int held = !hold || out->sources < 2 ? 0 : (int)(TOKENS_HELD * out->sources + .999);
    out->train = q_alloc(sizeof *out->train * (size_t)(n + 1));
    out->held = q_alloc(sizeof *out->held * (size_t)(n + 1));
    for (int i = 0; i < n; i++) {
        bool is = held && all[i].source <= source[held - 1];
        *(is ? &out->held[out->n_held++] : &out->train[out->n_train++]) = all[i];
        out->n_tokens += all[i].chosen.n + all[i].rejected.n;
        for (int k = 0; k < all[i].chosen.n; k++)
            out->n_targets += all[i].chosen.mask[k];
        for (int k = 0; k < all[i].rejected.n; k++)
            out->n_targets += all[i].rejected.mask[k];
        out->longest = all[i].chosen.n > out->longest ? all[i].chosen.n : out->longest;
        out->longest = all[i].rejected.n > out->longest ? all[i].rejected.n : out->longest;
    }
    free(source);
}

int tokens_read(const eng_model *m, const q_buf *lines, enum tokens_of kind, int context, bool hold, lessons *out, char *err)
{
    trn_example *all = NULL;
    int n = 0, cap = 0, rc = Q_OK;
    char why[Q_ERRLEN];
    *out = (lessons){ .n_train = 0 };
    for (size_t at = 0; at < lines->len && rc == Q_OK;) {
        const char *p = lines->p + at, *end = memchr(p, '\n', lines->len - at);
        size_t len = end ? (size_t)(end - p) : lines->len - at;
        adv_example e = { 0 };
        trn_example x;
        at += len + 1;
        if (!len)
            continue;
        rc = adv_example_read(p, len, ADV_AS_FOUND, &e, NULL, err);
        int made = rc < 0 || (kind == TOKENS_DPO && !e.n_other) ? Q_NOTFOUND : example_of(m, &e, kind, &x, why);
        adv_example_free(&e);
        out->mute += made == Q_RANGE;
        if (made == Q_NOTFOUND || made == Q_RANGE)
            continue;
        if (made < 0)
            rc = q_fail(err, made, "%s", why);
        else if (context && (x.chosen.n > context || x.rejected.n > context)) {
            out->long_ones++;
            tokens_text_free(&x.chosen);
            tokens_text_free(&x.rejected);
        } else {
            if (n == cap)
                all = q_realloc(all, sizeof *all * (size_t)(cap = cap ? 2 * cap : 64));
            all[n++] = x;
        }
    }
    if (rc == Q_OK)
        divide(all, n, hold, out);
    for (int i = 0; i < n && rc < 0; i++) {
        tokens_text_free(&all[i].chosen);
        tokens_text_free(&all[i].rejected);
    }
    free(all);
    return rc;
}
