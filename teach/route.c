/* teach/route: where examples go in the model, which experts that asks for, and how it is said. See parts.h. */
#include "teach/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void traffic_free(traffic *t)
{
    free((void *)(uintptr_t)t->t.count);
    free((void *)(uintptr_t)t->t.mass);
    free((void *)(uintptr_t)t->t.tokens);
    free(t->layer);
    *t = (traffic){ .n_layer = 0 };
}

/* ---- counting ---- */
typedef struct counting { const lab_talk *talk; const traffic *to; uint32_t *count, *tokens; float *mass; int at; int (*row)(void); asks_go *go; void *user; int n; } counting;

static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    counting *c = user;
    const trn_traffic *t = &c->to->t;
    (void)logits;
    if (pos % 64 == 0 && c->go && !c->go(c->user, c->at, c->n))
        return Q_CANCEL;
    if (c->talk->mask && (pos + 1 >= c->talk->n || !c->talk->mask[pos + 1]))
        return Q_OK;
    c->tokens[c->at]++;
    for (int l = 0; l < t->n_layer; l++) {
        const size_t from = ((size_t)c->at * (size_t)t->n_layer + (size_t)l) * (size_t)t->n_expert, row = (size_t)c->to->layer[l] * (size_t)max_k;
        for (int k = 0; k < max_k && ids[row + (size_t)k] < t->n_expert; k++) {
            float w = weights ? weights[row + (size_t)k] : 1;
            c->count[from + ids[row + (size_t)k]]++;
            c->mass[from + ids[row + (size_t)k]] += w > 0 ? w : 0;       /* no weight is known of what a server ran; none is below 0 */
        }
    }
    return Q_OK;
}

static int shape_of(const eng_model *m, int n, traffic *out, char *err)
{
    const eng_info *i = eng_model_info(m);
    *out = (traffic){ .n_layer = i->n_layer, .layer = q_alloc(sizeof *out->layer * (size_t)(i->n_layer + 1)) };
    for (int l = 0; l < i->n_layer; l++)
        if (i->n_expert && eng_layer_is_moe(m, l))
            out->layer[out->t.n_layer++] = l;
    out->t.n_expert = i->n_expert;
    out->t.n = n;
    return out->t.n_layer ? Q_OK : q_fail(err, Q_RANGE, _("%s has no routed experts"), i->name);
}

int route_texts(eng_model *m, const eng_config *config, const lab_talk *talk, int n, asks_go *go, void *user, const atomic_bool *stop, traffic *out, char *err)
{
    int tokens = 0, longest = 16, used = 0;
    for (; used < n && used < ROUTE_TEXTS && tokens < ROUTE_TOKENS; used++) {
        tokens += talk[used].n;
        longest = talk[used].n > longest ? talk[used].n : longest;
    }
    int rc = shape_of(m, used, out, err);
    if (rc < 0) {
        traffic_free(out);
        return rc;
    }
    const size_t all = (size_t)(used + 1) * (size_t)out->t.n_layer * (size_t)out->t.n_expert;
    counting c = { .to = out, .count = q_alloc(sizeof *c.count * all), .mass = q_alloc(sizeof *c.mass * all), .tokens = q_alloc(sizeof *c.tokens * (size_t)(used + 1)),
                   .go = go, .user = user, .n = used };
    out->t.count = c.count;
    out->t.mass = c.mass;
    out->t.tokens = c.tokens;
    eng_config *own = eng_config_copy(config);
    eng_session *s = NULL;
    char words[24];
    snprintf(words, sizeof words, "%d", longest);
    rc = eng_config_set(own, "context.length", words, err);
    if (rc == Q_OK)
        rc = eng_session_new(m, own, &s, err);
    lab_halt *halt = s ? lab_halt_new(stop, &s, 1) : NULL;
    for (c.at = 0; c.at < used && rc == Q_OK; c.at++) {
        c.talk = &talk[c.at];
        rc = go && !go(user, c.at, used) ? Q_CANCEL : eng_session_cut(s, 0, err);
        if (rc == Q_OK)
            rc = eng_session_eval(s, c.talk->token, c.talk->n, 0, NULL, 0, on_row, &c, err);
        if (rc == Q_CANCEL)
            q_fail(err, rc, _("stopped before anything was taught"));
    }
    lab_halt_free(halt);
    eng_session_free(s);
    eng_config_free(own);
    if (rc < 0)
        traffic_free(out);
    return rc;
}

int route_plain(eng_model *m, const eng_config *c, const char *text, size_t n, asks_go *go, void *user, const atomic_bool *stop, traffic *out, char *err)
{
    eng_tokens t = { 0 };
    *out = (traffic){ .n_layer = 0 };
    int rc = eng_tokenize(m, text, n, false, &t, err), pieces = t.n / ROUTE_PIECE;
    if (rc == Q_OK && pieces < 2)
        rc = q_fail(err, Q_RANGE, _("the general text has %d tokens: at least %d are needed to tell other traffic by it"), t.n, 2 * ROUTE_PIECE);
    lab_talk *piece = q_alloc(sizeof *piece * (size_t)(pieces + 1));
    for (int i = 0; i < pieces; i++)
        piece[i] = (lab_talk){ t.id + (size_t)i * ROUTE_PIECE, NULL, ROUTE_PIECE };
    if (rc == Q_OK)
        rc = route_texts(m, c, piece, pieces, go, user, stop, out, err);
    free(piece);
    eng_tokens_free(&t);
    return rc;
}

double traffic_share(const traffic *f, const uint8_t *chosen)
{
    const trn_traffic *t = &f->t;
    double sum = 0;
    int layers = 0;
    for (int l = 0; l < t->n_layer; l++) {
        double all = 0, of = 0;
        bool some = false;
        for (int e = 0; e < t->n_expert; e++) {
            double n = 0;
            for (int i = 0; i < t->n; i++)
                n += t->count[((size_t)i * (size_t)t->n_layer + (size_t)l) * (size_t)t->n_expert + (size_t)e];
            bool is = chosen[(size_t)f->layer[l] * (size_t)t->n_expert + (size_t)e];
            all += n;
            of += is ? n : 0;
            some |= is;
        }
        sum += some && all > 0 ? of / all : 0;
        layers += some && all > 0;
    }
    return layers ? sum / layers : 0;
}

/* ---- which ---- */
static int listed(const eng_model *m, const char *list, uint8_t *chosen, char *err)
{
    const eng_info *i = eng_model_info(m);
    for (const char *p = list; *p;) {
        char *end;
        long layer = strtol(p, &end, 10), expert = end > p && *end == ':' ? strtol(end + 1, &end, 10) : -1;
        if (layer < 0 || expert < 0 || (*end && *end != ','))            /* of a file that was damaged: what is typed is looked at before */
            return q_fail(err, Q_FORMAT, _("\"%.40s\" is no list of experts: LAYER:EXPERT,…"), list);
        if (layer >= i->n_layer || !eng_layer_is_moe(m, (int)layer) || expert >= i->n_expert)
            return q_fail(err, Q_RANGE, _("there is no expert %ld:%ld in this model: routed layers are %d to %d, experts 0 to %d"), layer, expert, i->first_moe_layer,
                          i->first_moe_layer + i->n_moe_layer - 1, i->n_expert - 1);
        chosen[layer * i->n_expert + expert] = 1;
        p = *end == ',' ? end + 1 : end;
    }
    return Q_OK;
}

int choose_listed(const eng_model *m, const char *list, uint8_t **chosen, int *n, char *err)
{
    const size_t all = (size_t)eng_model_info(m)->n_layer * (size_t)eng_model_info(m)->n_expert;
    *chosen = q_alloc(all + 1);
    *n = 0;
    int rc = listed(m, list, *chosen, err);
    for (size_t k = 0; k < all && rc == Q_OK; k++)
        *n += (*chosen)[k];
    return rc;
}

int choose_experts(const eng_model *m, const tch_settings *s, const traffic *f, uint8_t **chosen, int *n, char *err)
{
    const eng_info *i = eng_model_info(m);
    const size_t experts = (size_t)i->n_expert, all = (size_t)i->n_layer * experts;
    uint8_t *out = q_alloc(all + 1), *routed = q_alloc((size_t)f->t.n_layer * experts + 1);
    int rc = Q_OK;
    *n = 0;
    if (s->experts == TCH_LIST)
        rc = listed(m, s->list, out, err);
    else if (s->experts == TCH_AUTO)
        rc = trn_choose(&f->t, s->by_tokens ? TRN_BY_TOKENS : TRN_BY_GATE, s->p, routed, err);
    for (int l = 0; l < f->t.n_layer && rc == Q_OK && s->experts != TCH_LIST && s->experts != TCH_NONE; l++)
        for (size_t e = 0; e < experts; e++)
            out[(size_t)f->layer[l] * experts + e] = s->experts == TCH_ALL ? 1 : routed[(size_t)l * experts + e];
    for (size_t k = 0; k < all; k++) {
        int l = (int)(k / experts);
        out[k] = out[k] && (!s->n_layer || (l >= s->first_layer && l < s->first_layer + s->n_layer));
        *n += out[k];
    }
    free(routed);
    if (rc == Q_OK && !*n && s->experts != TCH_NONE)
        rc = q_fail(err, Q_RANGE, _("layers=%d-%d leaves no expert: routed layers are %d to %d"), s->first_layer, s->first_layer + s->n_layer - 1, i->first_moe_layer, i->first_moe_layer + i->n_moe_layer - 1);
    if (rc < 0) {
        free(out);
        out = NULL;
    }
    *chosen = out;
    return rc;
}

char *chosen_words(const eng_model *m, const uint8_t *chosen)
{
    const eng_info *i = eng_model_info(m);
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int l = 0; l < i->n_layer; l++)
        for (int e = 0; e < i->n_expert; e++)
            if (chosen[l * i->n_expert + e])
                q_buf_printf(&b, "%s%d:%d", b.len ? "," : "", l, e);
    return q_buf_take(&b);
}
