/* lab/zoom: what the recorded routing of some answers says of one layer, and of one of its experts: where it ran, for which
 * tokens, and with whom in the layers beside. Plain numbers; zoom_say.c puts them into words.
 *
 * Chance. Of a token that came n times an expert with share p runs for n p if it does not care which token it is. Two experts
 * of different layers with shares p and q run together for p q of the tokens. As in load.c far beyond chance means many standard
 * deviations of a count: an order, not a test. */
#include "base/say.h"
#include "lab/parts.h"
#include "memory/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BESIDE = 8, BEGINS = 60 };        /* tokens before and behind; bytes of an answer's first words */

typedef struct record { int32_t id; int answer, at; bool ran; double weight; } record;
typedef struct traces { mem_trace **t; int n; } traces;

static const uint16_t *ids_of(const mem_trace *t, int i, int l) { return t->ids + ((size_t)i * (size_t)t->n_layer + (size_t)l) * (size_t)t->max_k; }

/* Its slot; -1: it did not run. */
static int slot_of(const mem_trace *t, int i, int l, int expert)
{
    const uint16_t *id = ids_of(t, i, l);
    for (int s = 0; s < t->max_k; s++)
        if (id[s] == expert)
            return s;
    return -1;
}

static bool routed(const traces *a, int l)
{
    for (int m = 0; m < a->n; m++)
        for (int i = 0; i < a->t[m]->n; i++)
            if (l < a->t[m]->n_layer && ids_of(a->t[m], i, l)[0] != LAB_NONE)
                return true;
    return false;
}

/* ---- the layer ---- */
static int put_all(const traces *a, int l, lab_routes *r, char *err)
{
    for (int m = 0; m < a->n; m++)
        for (int i = 0; i < a->t[m]->n; i++) {
            const mem_trace *t = a->t[m];
            size_t row = (size_t)i * (size_t)t->n_layer + (size_t)l;
            if (t->prompt[i])
                continue;
            routes_token(r, i == 0 || t->prompt[i - 1] || t->pos[i] != t->pos[i - 1] + 1);
            if (l >= t->n_layer || !routes_put(r, 0, ids_of(t, i, l), t->max_k, t->entropy[row], t->margin[row]))
                return q_fail(err, Q_FORMAT, _("the recorded routing of an answer is damaged: it names experts that its model does not have"));
        }
    return Q_OK;
}

static int layer_load(const traces *a, const lab_zoom_terms *z, lab_zoom *out, char *err)
{
    int most = 1;
    lab_load load;
    for (int m = 0; m < a->n; m++)
        most = a->t[m]->max_k > most ? a->t[m]->max_k : most;
    lab_routes *r = routes_new(&z->layer, 1, most, z->n_expert);
    int rc = put_all(a, z->layer, r, err);
    if (rc == Q_OK && r->n == 0)
        rc = q_fail(err, Q_NOTFOUND, _("this conversation has no recorded routing yet: ask something first"));
    if (rc == Q_OK && z->expert >= r->n_expert)
        rc = q_fail(err, Q_RANGE, _("layer %d has no expert %d: 0 to %d"), z->layer, z->expert, r->n_expert - 1);
    if (rc == Q_OK) {
        lab_load_of(r, &load);
        out->load = load.layer[0];
        out->tokens = r->n;
        out->n_expert = r->n_expert;
        free(load.layer);
    }
    lab_routes_free(r);
    return rc;
}

/* ---- the expert's tokens ---- */
static int by_id(const void *a, const void *b)
{
    const record *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->answer != y->answer ? x->answer - y->answer : x->at - y->at;
}

/* More often first; as often: the one that came less often. */
static bool before(const lab_zoom_token *a, const lab_zoom_token *b)
{
    return a->ran != b->ran ? a->ran > b->ran : a->of != b->of ? a->of < b->of : a->id < b->id;
}

static void add_token(lab_zoom *out, lab_zoom_token t)
{
    int at = out->n_token;
    while (at > 0 && before(&t, &out->token[at - 1]))
        at--;
    if (at == LAB_ZOOM_TOKENS)
        return;
    int last = out->n_token < LAB_ZOOM_TOKENS ? out->n_token++ : LAB_ZOOM_TOKENS - 1;
    memmove(&out->token[at + 1], &out->token[at], sizeof t * (size_t)(last - at));
    out->token[at] = t;
}

static record *records_of(const traces *a, const lab_zoom_terms *z, lab_zoom *out)
{
    record *v = q_alloc(sizeof *v * (size_t)(out->tokens + 1));
    int n = 0;
    for (int m = 0; m < a->n; m++)
        for (int i = 0; i < a->t[m]->n; i++) {
            const mem_trace *t = a->t[m];
            if (t->prompt[i])
                continue;
            int s = slot_of(t, i, z->layer, z->expert);
            double w = s >= 0 ? (double)t->weights[((size_t)i * (size_t)t->n_layer + (size_t)z->layer) * (size_t)t->max_k + (size_t)s] : 0;
            v[n++] = (record){ t->token[i], m, i, s >= 0, isfinite(w) ? w : 0 };
            out->answer[m].ran += s >= 0;
            out->ran += s >= 0;
        }
    return v;
}

/* Spelt tokens from i to end, as far as one follows the other. */
static char *spelt(const mem_trace *t, int from, int end, const lab_zoom_terms *z)
{
    q_buf raw = { 0 }, seen = { 0 };
    q_buf_puts(&raw, "");
    for (int i = from; i < end; i++)
        z->spell(z->user, t->token[i], &raw);
    size_t skip = 0, n = raw.len;
    if (end - from > 1) {                /* half a character at an outer end says nothing */
        while (skip < n && skip < 3 && ((unsigned char)raw.p[skip] & 0xC0) == 0x80)
            skip++;
        n = skip + q_utf8_whole(raw.p + skip, n - skip);
    }
    q_buf_puts(&seen, "");
    q_say_visible(&seen, raw.p + skip, n - skip);
    q_buf_free(&raw);
    return q_buf_take(&seen);
}

static void context_of(const traces *a, const lab_zoom_terms *z, lab_zoom_token *k)
{
    const mem_trace *t = a->t[k->answer];
    int i = k->at, from = i, end = i + 1;
    k->at = i + 1;
    if (!z->spell) {
        k->before = q_strdup("");
        k->text = q_strdup("");
        k->after = q_strdup("");
        return;
    }
    while (from > 0 && i - from < BESIDE && t->pos[from - 1] + 1 == t->pos[from])
        from--;
    while (end < t->n && end - i <= BESIDE && t->pos[end] == t->pos[end - 1] + 1)
        end++;
    k->before = spelt(t, from, i, z);
    k->text = spelt(t, i, i + 1, z);
    k->after = spelt(t, i + 1, end, z);
}

static void tokens_of(const traces *a, const lab_zoom_terms *z, lab_zoom *out)
{
    record *v = records_of(a, z, out);
    double share = (double)out->ran / out->tokens;
    qsort(v, (size_t)out->tokens, sizeof *v, by_id);
    for (int from = 0, end; from < out->tokens; from = end) {
        lab_zoom_token t = { .id = v[from].id };
        double best = -1;
        for (end = from; end < out->tokens && v[end].id == t.id; end++) {
            t.of++;
            t.ran += v[end].ran;
            t.weight += v[end].weight;
            if (v[end].ran && v[end].weight > best) {
                best = v[end].weight;
                t.answer = v[end].answer;
                t.at = v[end].at;
            }
        }
        t.chance = share * t.of;
        t.weight = t.ran ? t.weight / t.ran : 0;
        if (t.ran)
            add_token(out, t);
    }
    for (int i = 0; i < out->n_token; i++)
        context_of(a, z, &out->token[i]);
    free(v);
}

/* ---- the layers beside ---- */
static void met_in(const traces *a, const lab_zoom_terms *z, int l, lab_zoom *out)
{
    double *all = q_alloc(sizeof *all * LAB_NONE), *both = q_alloc(sizeof *both * LAB_NONE), score[LAB_ZOOM_MET];
    lab_zoom_met *met = out->met + out->n_met;
    int n = 0;
    for (int m = 0; m < a->n; m++)
        for (int i = 0; i < a->t[m]->n; i++) {
            const mem_trace *t = a->t[m];
            if (t->prompt[i] || l >= t->n_layer)
                continue;
            bool ran = slot_of(t, i, z->layer, z->expert) >= 0;
            const uint16_t *id = ids_of(t, i, l);
            for (int s = 0; s < t->max_k; s++)
                if (id[s] != LAB_NONE) {
                    all[id[s]] += 1;
                    both[id[s]] += ran;
                }
        }
    for (int e = 0; e < LAB_NONE; e++) {
        double chance = all[e] * out->ran / out->tokens, far = chance > 0 ? (both[e] - chance) / sqrt(chance) : 0;
        int at = n;
        if (far <= 0)
            continue;
        while (at > 0 && score[at - 1] < far)
            at--;
        if (at == LAB_ZOOM_MET)
            continue;
        int last = n < LAB_ZOOM_MET ? n++ : LAB_ZOOM_MET - 1;
        for (int i = last; i > at; i--) {
            met[i] = met[i - 1];
            score[i] = score[i - 1];
        }
        met[at] = (lab_zoom_met){ l, e, (int)both[e], chance };
        score[at] = far;
    }
    out->n_met += n;
    free(all);
    free(both);
}

static void beside(const traces *a, const lab_zoom_terms *z, int layers, lab_zoom *out)
{
    int above = z->layer - 1, below = z->layer + 1;
    while (above >= 0 && !routed(a, above))
        above--;
    while (below < layers && !routed(a, below))
        below++;
    if (above >= 0)
        met_in(a, z, above, out);
    if (below < layers)
        met_in(a, z, below, out);
}

/* ---- all of it ---- */
static int read_one(struct mem_store *s, int64_t id, traces *a, lab_zoom *out, char *err)
{
    mem_message m = { 0 };
    int rc = mem_message_get(s, id, &m, err);
    if (rc == Q_OK && (rc = mem_trace_get(s, id, &a->t[a->n], err)) == Q_OK) {
        lab_zoom_answer *w = &out->answer[out->n_answer++];
        q_buf line = { 0 };
        size_t n = strlen(m.text);
        q_buf_puts(&line, "");
        q_say_clean(&line, m.text, n > BEGINS ? q_utf8_whole(m.text, BEGINS) : n, true);
        *w = (lab_zoom_answer){ .message = m.id, .chat = m.conversation, .begins = q_buf_take(&line) };
        for (int k = 0; k < a->t[a->n]->n; k++)
            w->tokens += !a->t[a->n]->prompt[k];
        a->n++;
    }
    mem_message_free(&m);
    return rc;
}

/* The newest are read first, and stand last. */
static void turn_round(traces *a, lab_zoom *out)
{
    for (int i = 0, j = a->n - 1; i < j; i++, j--) {
        mem_trace *t = a->t[i];
        lab_zoom_answer w = out->answer[i];
        a->t[i] = a->t[j];
        a->t[j] = t;
        out->answer[i] = out->answer[j];
        out->answer[j] = w;
    }
}

static int read_all(struct mem_store *s, const lab_zoom_terms *z, traces *a, lab_zoom *out, char *err)
{
    int rc = z->n > 0 ? Q_OK : q_fail(err, Q_NOTFOUND, z->most ? _("no answer of this model has recorded routing yet: ask something first") :
                                                       _("this conversation has no recorded routing yet: ask something first"));
    int64_t tokens = 0;
    a->t = q_alloc(sizeof(mem_trace *) * (size_t)(z->n + 1));
    out->answer = q_alloc(sizeof *out->answer * (size_t)(z->n + 1));
    for (int i = z->n - 1; i >= 0 && rc == Q_OK; i--) {
        if (z->most && tokens >= z->most) {
            out->not_read = i + 1;
            break;
        }
        if (z->go_on && !z->go_on(z->user, z->n - 1 - i, z->n)) {
            rc = q_fail(err, Q_CANCEL, _("stopped after %d of %d answers"), z->n - 1 - i, z->n);
            break;
        }
        rc = read_one(s, z->message[i], a, out, err);
        if (rc == Q_OK)
            tokens += out->answer[out->n_answer - 1].tokens;
        else if (z->most && (rc == Q_FORMAT || rc == Q_NOTFOUND)) {       /* damaged, or deleted meanwhile */
            out->damaged += rc == Q_FORMAT;
            rc = Q_OK;
        }
    }
    turn_round(a, out);
    return rc;
}

static int there(const traces *a, const lab_zoom_terms *z, int layers, char *err)
{
    int first = 0, last = layers - 1;
    while (first < layers && !routed(a, first))
        first++;
    while (last > first && !routed(a, last))
        last--;
    if (first >= layers)
        return q_fail(err, Q_NOTFOUND, _("this conversation has no recorded routing yet: ask something first"));
    if (z->layer < 0 || z->layer >= layers || !routed(a, z->layer))
        return q_fail(err, Q_RANGE, _("nothing is routed in layer %d: %d to %d are"), z->layer, first, last);
    return Q_OK;
}

int lab_zoom_of(struct mem_store *s, const lab_zoom_terms *z, lab_zoom *out, char *err)
{
    traces a = { 0 };
    int layers = 0;
    *out = (lab_zoom){ .layer = z->layer, .expert = z->expert, .all = z->most > 0 };
    int rc = read_all(s, z, &a, out, err);
    for (int m = 0; m < a.n; m++)
        layers = a.t[m]->n_layer > layers ? a.t[m]->n_layer : layers;
    if (rc == Q_OK)
        rc = there(&a, z, layers, err);
    if (rc == Q_OK)
        rc = layer_load(&a, z, out, err);
    if (rc == Q_OK && z->expert >= 0) {
        tokens_of(&a, z, out);
        beside(&a, z, layers, out);
    }
    for (int m = 0; m < a.n; m++)
        mem_trace_free(a.t[m]);
    free(a.t);
    if (rc != Q_OK)
        lab_zoom_free(out);
    return rc;
}

void lab_zoom_free(lab_zoom *z)
{
    for (int i = 0; i < z->n_answer; i++)
        free(z->answer[i].begins);
    for (int i = 0; i < z->n_token; i++) {
        free(z->token[i].before);
        free(z->token[i].text);
        free(z->token[i].after);
    }
    free(z->answer);
    free(z->load.load);
    *z = (lab_zoom){ .layer = 0 };
}
