/* agent/token: /token: one token of the last answer: what else could have stood there, and which experts ran for it. Engine
 * thread, in its turn: the alternatives come from the position before, evaluated again; the routing is what was recorded. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "agent/whatif.h"
#include "base/say.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALTERNATIVES = 5, SHOWN = 8 };

/* What stood there, and the likeliest. r: of the position before. */
static void say_place(const lab_whatif_result *r, q_buf *out, cJSON *json)
{
    int rank = 0, said = 0;
    for (int i = 0; i < r->n_word && !rank; i++)
        rank = strcmp(r->word[i].text, r->follows) == 0 ? i + 1 : 0;
    q_buf_say(out, _("probability %.4f"), r->p_follows[0]);
    if (rank)
        q_buf_say(out, _(", number %d of the likeliest"), rank);
    q_buf_say(out, _(" · entropy %.3f nats\n"), r->entropy[0]);
    cJSON_AddNumberToObject(json, "p", r->p_follows[0]);
    cJSON_AddNumberToObject(json, "entropy", r->entropy[0]);
    cJSON *list = cJSON_AddArrayToObject(json, "likeliest");
    for (int i = 0; i < r->n_word && said < ALTERNATIVES; i++, said++) {
        char *quoted = q_printf("\"%s\"", r->word[i].text);
        q_buf_say(out, "  %-24s %8.4f%s\n", quoted, r->word[i].p[0], i + 1 == rank ? _("  came") : "");
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "id", r->word[i].id);
        cJSON_AddStringToObject(one, "text", r->word[i].text);
        cJSON_AddNumberToObject(one, "p", r->word[i].p[0]);
        cJSON_AddItemToArray(list, one);
        free(quoted);
    }
}

static void say_experts(const mem_trace *t, int at, q_buf *out, cJSON *json)
{
    cJSON *layers = cJSON_AddArrayToObject(json, "layers");
    q_buf_say(out, "%5s %7s %7s  %s\n", _("layer"), _("entropy"), _("margin"), _("experts with their weights"));
    for (int l = 0; l < t->n_layer; l++) {
        size_t row = (size_t)at * (size_t)t->n_layer + (size_t)l;
        const uint16_t *id = t->ids + row * (size_t)t->max_k;
        const float *w = t->weights + row * (size_t)t->max_k;
        int k = 0;
        while (k < t->max_k && id[k] != 0xFFFF)
            k++;
        if (!k)
            continue;
        cJSON *one = cJSON_CreateObject(), *experts, *weights;
        cJSON_AddNumberToObject(one, "layer", l);
        cJSON_AddNumberToObject(one, "entropy", (double)t->entropy[row]);
        cJSON_AddNumberToObject(one, "margin", (double)t->margin[row]);
        experts = cJSON_AddArrayToObject(one, "experts");
        weights = cJSON_AddArrayToObject(one, "weights");
        q_buf_say(out, "%5d %7.3f ", l, (double)t->entropy[row]);
        if (isfinite(t->margin[row]))
            q_buf_say(out, "%7.3f ", (double)t->margin[row]);
        else
            q_buf_say(out, "%7s ", "");
        for (int i = 0; i < k; i++) {
            cJSON_AddItemToArray(experts, cJSON_CreateNumber(id[i]));
            cJSON_AddItemToArray(weights, cJSON_CreateNumber((double)w[i]));
            if (i < SHOWN)
                q_buf_say(out, " e%d %.3f", id[i], (double)w[i]);
        }
        if (k > SHOWN)
            q_buf_say(out, " +%d", k - SHOWN);
        q_buf_say(out, "\n");
        cJSON_AddItemToArray(layers, one);
    }
}

static void page(agt *a, const mem_message *m, const mem_trace *t, int at)
{
    char err[Q_ERRLEN];
    q_buf out = { 0 }, spelt = { 0 }, visible = { 0 };
    cJSON *json = cJSON_CreateObject();
    lab_whatif_result r = { .pos = 0 };
    if (a->seat.who && prov_about(a->seat.who)->id == m->model_id)
        prov_spell(a->seat.who, t->token[at], &spelt);
    q_buf_puts(&visible, "");
    q_say_visible(&visible, spelt.p ? spelt.p : "", spelt.len);
    q_buf_say(&out, _("token %d of %d, \"%s\" (id %d, position %d)\n"), at + 1, t->n, visible.p, t->token[at], t->pos[at]);
    cJSON_AddNumberToObject(json, "token", at + 1);
    cJSON_AddNumberToObject(json, "of", t->n);
    cJSON_AddNumberToObject(json, "id", t->token[at]);
    cJSON_AddNumberToObject(json, "position", t->pos[at]);
    cJSON_AddStringToObject(json, "text", visible.p);
    int rc = answer_there(a, m, t, err);
    if (rc == Q_OK && t->pos[at] > 0) {
        /* what chose it is the configuration of the position before */
        char *now = answer_made_by(a, m, t, at > 0 ? at - 1 : 0);
        rc = lab_whatif_spec(prov_session(a->seat.who), t->pos[at] - 1, now, "", NULL, &r, err);
        free(now);
    }
    if (rc == Q_OK && r.follows)
        say_place(&r, &out, json);
    else if (rc != Q_OK)
        q_buf_say(&out, _("what else could have stood there cannot be said: %s\n"), err);
    say_experts(t, at, &out, json);
    note_page(&a->events, "/token", q_buf_take(&out), cJSON_PrintUnformatted(json));
    cJSON_Delete(json);
    lab_whatif_free(&r);
    q_buf_free(&spelt);
    q_buf_free(&visible);
}

static void token(agt *a, const job *j)
{
    char err[Q_ERRLEN], *end = NULL;
    const char *text = j->text ? j->text : "-1";
    const mem_message *m = NULL;
    mem_trace *t = NULL;
    long n = strtol(text, &end, 10);
    int rc = end == text || *end || n == 0 ? q_fail(err, Q_RANGE, _("/token [N]: a token of the last answer, from 1, or from its end with a minus"))
                                           : answer_recorded(a, &m, &t, err);
    if (rc == Q_OK && (n > t->n || n < -t->n))
        rc = q_fail(err, Q_RANGE, _("the last answer has %d tokens: 1 to %d, or -1 to -%d from its end"), t->n, t->n, t->n);
    if (rc == Q_OK)
        page(a, m, t, (int)(n < 0 ? t->n + n : n - 1));
    else
        note(&a->events, AGT_ERROR, "%s", err);
    mem_trace_free(t);
}

const job_row job_token = { .name = "token", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = token };
