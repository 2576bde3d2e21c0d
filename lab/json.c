/* lab/json: comparisons for programs; the same for the command line and for commands of the shell. Any thread. */
#include "lab/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

cJSON *json_interval(cJSON *o, const char *key, const char *mean, const lab_interval *v)
{
    cJSON *one = cJSON_AddObjectToObject(o, key), *ci;
    cJSON_AddNumberToObject(one, mean, v->mean);
    ci = cJSON_AddArrayToObject(one, "ci");
    cJSON_AddItemToArray(ci, cJSON_CreateNumber(v->low));
    cJSON_AddItemToArray(ci, cJSON_CreateNumber(v->high));
    return one;
}

char *json_text(cJSON *j)
{
    char *s = cJSON_PrintUnformatted(j), *own = q_strdup(s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
    return own;
}

cJSON *lab_compared_json(const lab_compared *c, const char *a, const char *b)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "tokens", c->n);
    json_interval(j, "kl", "mean", &c->kl);
    json_interval(j, "dlogp", "mean", &c->dlogp);
    cJSON_AddNumberToObject(j, "top1_agreement", c->top1);
    cJSON_AddStringToObject(json_interval(j, "noise", "kl", &c->noise), "kv_type", c->yardstick);
    cJSON_AddBoolToObject(j, "different", c->different);
    cJSON_AddNumberToObject(j, "blocks", c->blocks);
    cJSON_AddBoolToObject(j, "by_paragraph", c->by_paragraph);
    const char *const names[2] = { "A", "B" };
    const char *const said[2] = { a, b };
    for (int i = 0; i < 2; i++) {
        cJSON *side = cJSON_AddObjectToObject(j, names[i]);
        cJSON_AddStringToObject(side, "settings", said[i]);
        cJSON_AddNumberToObject(side, "logp", c->logp[i]);
        cJSON_AddNumberToObject(side, "perplexity", exp(-c->logp[i]));
        cJSON_AddNumberToObject(side, "bytes_per_token", (double)c->bytes[i]);
        cJSON_AddNumberToObject(side, "tokens_per_s", c->rate[i]);
    }
    cJSON *layers = cJSON_AddArrayToObject(j, "routing_overlap");
    for (int l = 0; l < c->n_layer; l++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "layer", c->first_layer + l);
        cJSON_AddNumberToObject(one, "share", c->overlap[l]);
        cJSON_AddItemToArray(layers, one);
    }
    return j;
}

cJSON *lab_bits_json(const lab_bits *b, const char *spec_a, const char *spec_b)
{
    cJSON *j = cJSON_CreateObject();
    const char *const names[2] = { "A", "B" }, *const specs[2] = { spec_a, spec_b };
    cJSON_AddNumberToObject(j, "bytes", (double)b->bytes);
    for (int i = 0; i < 2; i++) {
        cJSON *side = cJSON_AddObjectToObject(j, names[i]);
        cJSON_AddStringToObject(side, "model", b->model[i]);
        cJSON_AddStringToObject(side, "settings", specs[i]);
        json_interval(side, "bits_per_byte", "mean", &b->bits[i]);
        cJSON_AddNumberToObject(side, "tokens", b->tokens[i]);
        cJSON_AddNumberToObject(side, "bytes_per_token", (double)b->read[i]);
    }
    json_interval(j, "difference", "mean", &b->less);
    cJSON_AddBoolToObject(j, "different", b->different);
    cJSON_AddBoolToObject(j, "same_vocabulary", b->same_vocabulary);
    cJSON_AddNumberToObject(j, "blocks", b->blocks);
    cJSON_AddBoolToObject(j, "by_paragraph", b->by_paragraph);
    if (b->compared) {
        json_interval(j, "kl", "mean", &b->kl.kl);
        cJSON_AddNumberToObject(j, "top1_agreement", b->kl.top1);
    }
    return j;
}

char *lab_bits_data(const lab_bits *b, const char *spec_a, const char *spec_b) { return json_text(lab_bits_json(b, spec_a, spec_b)); }

char *lab_columns_json(const lab_columns *c)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddBoolToObject(j, "answers", c->answers);
    cJSON_AddBoolToObject(j, "blind", c->blind);
    if (c->first >= 0)
        cJSON_AddNumberToObject(j, "first_difference", c->first);
    else
        cJSON_AddNullToObject(j, "first_difference");
    cJSON *sides = cJSON_AddArrayToObject(j, "sides");
    for (int s = 0; s < 2; s++) {
        const lab_column *col = &c->side[s];
        cJSON *one = cJSON_CreateObject(), *tokens;
        cJSON_AddItemToArray(sides, one);
        if (!c->blind) {
            cJSON_AddStringToObject(one, "settings", col->name ? col->name : "");
            cJSON_AddNumberToObject(one, "logp", col->logp);
            cJSON_AddNumberToObject(one, "kl", col->kl);
            cJSON_AddNumberToObject(one, "tokens_per_s", col->rate);
            cJSON_AddNumberToObject(one, "bytes_per_token", (double)col->bytes);
        }
        tokens = cJSON_AddArrayToObject(one, "tokens");
        for (int i = 0; i < col->n; i++) {
            cJSON *t = cJSON_CreateObject();
            cJSON_AddStringToObject(t, "text", col->piece[i].text);
            if (!c->blind && !isnan(col->piece[i].over)) {
                cJSON_AddNumberToObject(t, "dlogp", (double)col->piece[i].over);
                cJSON_AddNumberToObject(t, "kl", (double)col->piece[i].kl);
            }
            cJSON_AddItemToArray(tokens, t);
        }
    }
    if (c->note)
        cJSON_AddStringToObject(j, "note", c->note);
    return json_text(j);
}
