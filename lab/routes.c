/* lab/routes: sets of routing: how they grow, from the store and from a text. routes_csv.c reads files; load.c and differ.c
 * say what is in them. A set belongs to whoever made it. */
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/parts.h"
#include "lab/text.h"
#include "memory/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a set ---- */
lab_routes *routes_new(const int *layer, int n_layer, int max_k, int n_expert)
{
    lab_routes *r = q_alloc(sizeof *r);
    r->n_layer = n_layer;
    r->layer = q_alloc(sizeof *r->layer * (size_t)(n_layer + 1));
    memcpy(r->layer, layer, sizeof *layer * (size_t)n_layer);
    r->max_k = max_k < 1 ? 1 : max_k;
    r->n_expert = n_expert;
    r->known = n_expert > 0;
    return r;
}

void lab_routes_free(lab_routes *r)
{
    if (!r)
        return;
    free(r->layer);
    free(r->ids);
    free(r->entropy);
    free(r->margin);
    free(r->first);
    free(r);
}

int lab_routes_tokens(const lab_routes *r) { return r->n; }

void routes_token(lab_routes *r, bool first)
{
    size_t cells = (size_t)r->n_layer * (size_t)r->max_k, layers = (size_t)r->n_layer;
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : cells < 4096 ? 256 : 1;
        r->ids = q_realloc(r->ids, sizeof *r->ids * cells * (size_t)r->cap + 1);
        r->entropy = q_realloc(r->entropy, sizeof *r->entropy * layers * (size_t)r->cap + 1);
        r->margin = q_realloc(r->margin, sizeof *r->margin * layers * (size_t)r->cap + 1);
        r->first = q_realloc(r->first, (size_t)r->cap);
    }
    size_t at = (size_t)r->n++;
    memset(r->ids + at * cells, 0xFF, sizeof *r->ids * cells);
    for (size_t l = 0; l < layers; l++)
        r->entropy[at * layers + l] = r->margin[at * layers + l] = NAN;
    r->first[at] = first || at == 0;
}

bool routes_put(lab_routes *r, int l, const uint16_t *ids, int k, float entropy, float margin)
{
    size_t row = (size_t)(r->n - 1) * (size_t)r->n_layer + (size_t)l;
    uint16_t *to = r->ids + row * (size_t)r->max_k;
    int n = 0;
    for (int i = 0; i < k; i++) {
        if (ids[i] == LAB_NONE)
            continue;
        for (int j = 0; j < n; j++)
            if (to[j] == ids[i])
                return false;
        if (n == r->max_k || (r->known && ids[i] >= r->n_expert))
            return false;
        to[n++] = ids[i];
        if (!r->known && ids[i] >= r->n_expert)
            r->n_expert = ids[i] + 1;
    }
    r->entropy[row] = entropy;
    r->margin[row] = margin;
    return true;
}

const uint16_t *routes_ids(const lab_routes *r, int token, int l)
{
    return r->ids + ((size_t)token * (size_t)r->n_layer + (size_t)l) * (size_t)r->max_k;
}

int routes_k(const lab_routes *r, int token, int l)
{
    const uint16_t *id = routes_ids(r, token, l);
    int k = 0;
    while (k < r->max_k && id[k] != LAB_NONE)
        k++;
    return k;
}

/* ---- from the store ---- */
static bool routed(const mem_trace *t, int l)
{
    for (int i = 0; i < t->n; i++)
        if (t->ids[((size_t)i * (size_t)t->n_layer + (size_t)l) * (size_t)t->max_k] != LAB_NONE)
            return true;
    return false;
}

/* Its routed layers must be the set's; the first one makes the set, with room for `most` experts a token. */
static int add_trace(lab_routes **r, const mem_trace *t, int most, int n_expert, const char *name, char *err)
{
    int *layer = q_alloc(sizeof *layer * (size_t)(t->n_layer + 1)), n = 0;
    for (int l = 0; l < t->n_layer; l++)
        if (routed(t, l))
            layer[n++] = l;
    bool alike = !*r || ((*r)->n_layer == n && memcmp((*r)->layer, layer, sizeof *layer * (size_t)n) == 0);
    if (!*r)
        *r = routes_new(layer, n, most, n_expert);
    for (int i = 0; i < t->n && alike; i++) {
        if (t->prompt[i])
            continue;
        routes_token(*r, i == 0 || t->pos[i] != t->pos[i - 1] + 1);
        for (int l = 0; l < n && alike; l++) {
            size_t row = (size_t)i * (size_t)t->n_layer + (size_t)layer[l];
            alike = routes_put(*r, l, t->ids + row * (size_t)t->max_k, t->max_k, t->entropy[row], t->margin[row]);
        }
    }
    free(layer);
    return alike ? Q_OK : q_fail(err, Q_RANGE, _("the routing under %s is of models of several shapes: give their answers names of their own"), name);
}

int lab_routes_tag(struct mem_store *store, const char *name, int n_expert, lab_routes **out, uint64_t *model, char *err)
{
    int64_t *id = NULL;
    int n = 0, rc = mem_tag_messages(store, name, &id, &n, err), most = 1;
    mem_trace **t = q_alloc(sizeof(mem_trace *) * (size_t)(n + 1));
    *out = NULL;
    for (int i = 0; i < n && rc == Q_OK; i++) {
        mem_message m = { 0 };
        rc = mem_message_get(store, id[i], &m, err);
        if (rc == Q_OK && i > 0 && m.model_id != *model)
            rc = q_fail(err, Q_RANGE, _("the routing under %s is of several models: experts are numbered anew in each, so give their answers names of their own"), name);
        *model = m.model_id;
        mem_message_free(&m);
        if (rc == Q_OK && (rc = mem_trace_get(store, id[i], &t[i], err)) == Q_OK)
            most = t[i]->max_k > most ? t[i]->max_k : most;
    }
    for (int i = 0; i < n && rc == Q_OK; i++)
        rc = add_trace(out, t[i], most, n_expert, name, err);
    for (int i = 0; i < n; i++)
        mem_trace_free(t[i]);
    free(t);
    free(id);
    if (rc != Q_OK) {
        lab_routes_free(*out);
        *out = NULL;
    }
    return rc;
}

/* ---- from a text ---- */
static void take(lab_routes *r, const eng_out *o, bool first)
{
    for (int i = 0; i < o->n; i++) {
        routes_token(r, first && i == 0);
        for (int l = 0; l < r->n_layer; l++) {
            size_t row = (size_t)r->layer[l] * (size_t)o->n + (size_t)i;
            routes_put(r, l, o->ids + row * (size_t)o->max_k, o->max_k, o->entropy[row], o->margin[row]);
        }
    }
}

static int evaluate(eng_session *s, const eng_tokens *t, int window, const lab_terms *terms, lab_routes *r, char *err)
{
    for (int from = 0; from < t->n; from += window) {
        int end = from + window < t->n ? from + window : t->n, rc = eng_session_cut(s, 0, err);
        for (int at = from; at < end && rc == Q_OK; at += ENG_STEP_ROWS) {
            int n = at + ENG_STEP_ROWS < end ? ENG_STEP_ROWS : end - at;
            eng_row row[ENG_STEP_ROWS];
            eng_out o;
            if (terms && terms->go_on && !terms->go_on(terms->user, at, t->n))
                return q_fail(err, Q_CANCEL, _("stopped after %d of %d tokens"), at, t->n);
            for (int i = 0; i < n; i++)
                row[i] = (eng_row){ .session = s, .token = t->id[at + i] };
            if ((rc = eng_cache_step(eng_session_cache(s), row, n, true, &o, err)) == Q_OK)
                take(r, &o, at == from);
        }
        if (rc)
            return rc;
    }
    return Q_OK;
}

int lab_routes_text(struct eng_model *m, const struct eng_config *c, const char *text, size_t n, const lab_terms *terms, lab_routes **out, char *err)
{
    const eng_info *info = eng_model_info(m);
    eng_tokens t = { 0 };
    eng_session *s = NULL;
    eng_config *own = eng_config_copy(c);
    int window = terms && terms->window ? terms->window : text_window(m), layers = 0, *layer = q_alloc(sizeof *layer * (size_t)info->n_layer);
    char words[24];
    *out = NULL;
    for (int l = 0; l < info->n_layer; l++)
        if (eng_layer_is_moe(m, l))
            layer[layers++] = l;
    int rc = layers ? eng_tokenize(m, text, n, false, &t, err) : q_fail(err, Q_RANGE, _("%s routes nothing: it has no experts"), info->name);
    if (rc == Q_OK && t.n == 0)
        rc = q_fail(err, Q_RANGE, _("the text is empty: nothing is routed for it"));
    window = t.n > TEXT_NARROWEST && window > t.n ? t.n : window;
    snprintf(words, sizeof words, "%d", window);
    if (rc == Q_OK)
        rc = eng_config_set(own, "context.length", words, err);
    if (rc == Q_OK)
        rc = eng_session_new(m, own, &s, err);
    if (rc == Q_OK) {
        *out = routes_new(layer, layers, eng_config_k(own), info->n_expert);
        rc = evaluate(s, &t, window, terms, *out, err);
    }
    if (rc) {
        lab_routes_free(*out);
        *out = NULL;
    }
    eng_session_free(s);
    eng_config_free(own);
    eng_tokens_free(&t);
    free(layer);
    return rc;
}
