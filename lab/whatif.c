/* lab/whatif: one position again under another configuration, from the cells that are there: a fork is cut to the position
 * and evaluates one row twice without keeping it. The model's thread; the timeline that is asked about stays as it was. */
#include "base/say.h"
#include "engine/engine.h"
#include "engine/text.h"
#include "lab/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEFORE, AFTER, EACH = LAB_NEXT / 2, SHOWN = 8 };

static char *visible(const eng_model *m, int32_t id)
{
    q_buf b = { 0 };
    size_t n = 0;
    const char *p = eng_token_control(m, id) ? eng_token_name(m, id) : eng_token_bytes(m, id, &n);
    if (eng_token_control(m, id))
        n = strlen(p);
    q_buf_puts(&b, "");
    q_say_visible(&b, p, n);
    return q_buf_take(&b);
}

/* The n largest of x, largest first; the lower id where they are alike. */
static void largest(const float *x, int n_vocab, int n, int32_t *out)
{
    int have = 0;
    for (int i = 0; i < n_vocab; i++) {
        int at = have;
        while (at > 0 && x[out[at - 1]] < x[i])
            at--;
        if (at == n)
            continue;
        have += have < n;
        memmove(out + at + 1, out + at, sizeof *out * (size_t)(have - 1 - at));
        out[at] = i;
    }
}

static int by_p(const void *a, const void *b)
{
    const lab_likely *x = a, *y = b;
    double p = fmax(x->p[0], x->p[1]), q = fmax(y->p[0], y->p[1]);
    return p != q ? (p < q ? 1 : -1) : x->id - y->id;
}

static double entropy_of(const float *x, int n, double log_sum)
{
    double h = 0;
    for (int i = 0; i < n; i++) {
        double l = (double)x[i] - log_sum;
        h -= l > -700 ? exp(l) * l : 0;
    }
    return h;
}

static void words(const eng_model *m, const float *const x[2], const double log_sum[2], int n_vocab, lab_whatif_result *o)
{
    int32_t top[2][EACH];
    int each = n_vocab < EACH ? n_vocab : EACH;
    o->word = q_alloc(sizeof *o->word * LAB_NEXT);
    for (int s = 0; s < 2; s++) {
        largest(x[s], n_vocab, each, top[s]);
        for (int i = 0; i < each; i++) {
            bool there = false;
            for (int w = 0; w < o->n_word; w++)
                there |= o->word[w].id == top[s][i];
            if (there)
                continue;
            lab_likely *w = &o->word[o->n_word++];
            w->id = top[s][i];
            w->text = visible(m, w->id);
            for (int side = 0; side < 2; side++)
                w->p[side] = exp((double)x[side][w->id] - log_sum[side]);
        }
    }
    qsort(o->word, (size_t)o->n_word, sizeof *o->word, by_p);
}

/* Of the experts that one side runs the first ones that the other does not. */
static void alone(const uint16_t *x, int n, const uint16_t *other, int n_other, uint16_t *out)
{
    for (int i = 0, said = 0; i < n && said < SHOWN; i++) {
        int at = 0;
        while (at < n_other && other[at] != x[i])
            at++;
        if (at == n_other)
            out[said++] = x[i];
    }
}

/* Which experts one side of the row ran. */
static void take_routing(const eng_model *m, const eng_out *out, int side, uint16_t **ids, lab_whatif_result *o)
{
    const eng_info *info = eng_model_info(m);
    int n = 0;
    ids[side] = q_alloc(sizeof **ids * (size_t)(info->n_layer + 1) * (size_t)(info->n_expert + 1));
    if (!o->layer)
        o->layer = q_alloc(sizeof *o->layer * (size_t)(info->n_layer + 1));
    for (int l = 0; l < info->n_layer; l++) {
        if (!eng_layer_is_moe(m, l))
            continue;
        lab_turned *t = &o->layer[n];
        uint16_t *mine = ids[side] + (size_t)n++ * (size_t)(info->n_expert + 1);
        const uint16_t *id = out->ids + (size_t)l * (size_t)out->n * (size_t)out->max_k;
        t->layer = l;
        for (int i = 0; i < out->max_k && id[i] != LAB_NONE; i++)
            mine[t->n[side]++] = id[i];
        if (side == AFTER) {
            const uint16_t *first = ids[0] + (size_t)(n - 1) * (size_t)(info->n_expert + 1);
            for (int i = 0; i < t->n[0]; i++)
                for (int j = 0; j < t->n[1]; j++)
                    t->same += first[i] == mine[j];
            alone(first, t->n[0], mine, t->n[1], t->id[0]);
            alone(mine, t->n[1], first, t->n[0], t->id[1]);
        }
    }
    o->n_layer = n;
}

/* What is banned runs in no case: settings that act on it alone do nothing, and that is to be said. */
static void bans(const eng_config *const side[2], lab_whatif_result *o)
{
    static const char *const acts[] = { "experts.pin", "experts.bias" };
    q_buf b = { 0 }, idle = { 0 };
    for (int i = 0; i < 2; i++)
        o->banned[i] = q_strdup(eng_config_is_default(side[i], "experts.ban") ? "" : eng_config_get(side[i], "experts.ban", &b));
    for (int k = 0; k < 2; k++)
        for (const char *p = eng_config_is_default(side[AFTER], acts[k]) ? "" : eng_config_get(side[AFTER], acts[k], &b); *p; p += strcspn(p, ","), p += *p == ',') {
            size_t n = strcspn(p, ",=");
            bool there = false;
            for (const char *q = o->banned[AFTER]; *q && !there; q += strcspn(q, ","), q += *q == ',')
                there = strcspn(q, ",") == n && strncmp(p, q, n) == 0;
            if (there)
                q_buf_printf(&idle, "%s%.*s", idle.len ? ", " : "", (int)n, p);
        }
    o->idle = idle.len ? q_buf_take(&idle) : NULL;
    o->same = eng_config_hash(side[0]) == eng_config_hash(side[1]);
    q_buf_free(&idle);
    q_buf_free(&b);
}

int lab_whatif(struct eng_session *s, int pos, const eng_config *before, const eng_config *after, lab_whatif_result *o, char *err)
{
    eng_model *m = eng_cache_model(eng_session_cache(s));
    int n_vocab = eng_model_info(m)->n_vocab, length = eng_session_length(s);
    const eng_config *const side[2] = { before, after };
    *o = (lab_whatif_result){ .pos = pos };
    if (pos < 0 || pos >= length)
        return q_fail(err, Q_RANGE, _("the text has %d tokens: there is none at %d"), length, pos);
    float *logits[2] = { NULL, NULL };
    uint16_t *ids[2] = { NULL, NULL };
    int32_t token = eng_session_tokens(s)[pos], follows = pos + 1 < length ? eng_session_tokens(s)[pos + 1] : -1;
    eng_session *fork = NULL;
    int64_t from = q_now_ns();
    int rc = eng_session_fork(s, &fork, err);
    if (rc == Q_OK)
        rc = eng_session_cut(fork, pos, err);
    for (int i = 0; i < 2 && rc == Q_OK; i++) {
        eng_row row = { .session = fork, .token = token, .want = ENG_WANT_LOGITS, .config = side[i] };
        eng_out out;
        if ((rc = eng_cache_step(eng_session_cache(s), &row, 1, false, &out, err)) != Q_OK) {
            if (rc == Q_RANGE && i == 0 && eng_config_diff(before, after) < Q_EFFECT_POSITION)
                rc = lab_was_turned(err);        /* not what was asked for: what made the token does not fit the cells */
            break;
        }
        logits[i] = q_alloc(sizeof **logits * (size_t)n_vocab);
        memcpy(logits[i], out.logits[0], sizeof **logits * (size_t)n_vocab);
        take_routing(m, &out, i, ids, o);
    }
    o->ms = (double)(q_now_ns() - from) / 1e6;
    if (rc == Q_OK) {
        const float *const x[2] = { logits[0], logits[1] };
        double log_sum[2];
        bool ignored;
        for (int i = 0; i < 2; i++) {
            log_sum[i] = judge_log_sum(x[i], n_vocab);
            o->entropy[i] = entropy_of(x[i], n_vocab, log_sum[i]);
            o->p_follows[i] = follows >= 0 ? exp((double)x[i][follows] - log_sum[i]) : NAN;
        }
        o->kl = judge_kl(x[0], x[1], n_vocab, log_sum[0], log_sum[1], &ignored);
        words(m, x, log_sum, n_vocab, o);
        bans(side, o);
        o->text = visible(m, token);
        o->follows = follows >= 0 ? visible(m, follows) : NULL;
    } else
        lab_whatif_free(o);
    eng_session_free(fork);
    for (int i = 0; i < 2; i++) {
        free(logits[i]);
        free(ids[i]);
    }
    return rc;
}

int lab_whatif_spec(struct eng_session *s, int pos, const char *now, const char *spec, q_buf *said, lab_whatif_result *out, char *err)
{
    eng_config *before = eng_config_new(eng_cache_model(eng_session_cache(s)));
    int rc = now ? eng_config_from_json(before, now, err) : Q_OK;
    eng_config *after = eng_config_copy(before);
    *out = (lab_whatif_result){ .pos = pos };
    if (rc == Q_OK && *spec)
        rc = lab_spec(after, spec, said, err);
    if (rc == Q_OK)
        rc = lab_whatif(s, pos, before, after, out, err);
    eng_config_free(before);
    eng_config_free(after);
    return rc;
}

void lab_whatif_free(lab_whatif_result *o)
{
    for (int i = 0; i < o->n_word; i++)
        free(o->word[i].text);
    free(o->word);
    free(o->layer);
    free(o->text);
    free(o->follows);
    free(o->banned[0]);
    free(o->banned[1]);
    free(o->idle);
    *o = (lab_whatif_result){ .pos = 0 };
}

/* ---- in words ---- */
static void say_experts(const lab_whatif_result *o, q_buf *out)
{
    enum { LAYERS = 6 };
    int same = 0, said = 0;
    for (int l = 0; l < o->n_layer; l++)
        same += o->layer[l].same == o->layer[l].n[0] && o->layer[l].same == o->layer[l].n[1];
    if (!o->n_layer)
        return;
    q_buf_say(out, _("the same experts in %d of %d layers\n"), same, o->n_layer);
    if (same < o->n_layer)
        q_buf_say(out, "%s\n", _("in the others, experts that run only before → only after:"));
    for (int l = 0; l < o->n_layer && said < LAYERS; l++) {
        const lab_turned *t = &o->layer[l];
        if (t->same == t->n[0] && t->same == t->n[1])
            continue;
        said++;
        q_buf_say(out, "  L%d ", t->layer);
        for (int side = 0; side < 2; side++) {
            int only = t->n[side] - t->same;
            for (int i = 0; i < only && i < SHOWN; i++)
                q_buf_say(out, " %d", t->id[side][i]);
            if (only > SHOWN)
                q_buf_say(out, " +%d", only - SHOWN);
            q_buf_puts(out, only ? "" : " –");
            q_buf_puts(out, side ? "\n" : "  →");
        }
    }
    if (o->n_layer - same > said)
        q_buf_say(out, ngettext("  and in %d layer more\n", "  and in %d layers more\n", (unsigned long)(o->n_layer - same - said)), o->n_layer - same - said);
}

void lab_whatif_say(const lab_whatif_result *o, const char *spec, q_buf *out)
{
    q_buf_say(out, _("after \"%s\" (position %d), had it been evaluated under %s:\n"), o->text, o->pos, spec);
    q_buf_say(out, "  %-24s %8s %8s\n", _("next token"), _("before"), _("after"));
    for (int i = 0; i < o->n_word; i++) {
        char *quoted = q_printf("\"%s\"", o->word[i].text);
        q_buf_say(out, "  %-24s %8.4f %8.4f%s\n", quoted, o->word[i].p[0], o->word[i].p[1],
                  o->follows && strcmp(o->follows, o->word[i].text) == 0 ? _("  came") : "");
        free(quoted);
    }
    if (o->follows)
        q_buf_say(out, _("what came, \"%s\": %.4f → %.4f\n"), o->follows, o->p_follows[0], o->p_follows[1]);
    q_buf_say(out, _("KL %.4g nats · entropy %.3f → %.3f nats · %.0f ms\n"), o->kl, o->entropy[0], o->entropy[1], o->ms);
    if (strcmp(o->banned[0], o->banned[1]) != 0)
        q_buf_say(out, _("experts.ban: %s → %s\n"), *o->banned[0] ? o->banned[0] : _("none"), *o->banned[1] ? o->banned[1] : _("none"));
    if (o->idle)
        q_buf_say(out, _("%s: banned there, so that a pin or a bias of it does nothing; ban=none in the same line takes the bans off\n"), o->idle);
    if (o->same)
        q_buf_say(out, "%s", _("the settings are those that made it: nothing changes\n"));
    say_experts(o, out);
}

struct cJSON *lab_whatif_json(const lab_whatif_result *o)
{
    static const char *const side[2] = { "before", "after" };
    cJSON *j = cJSON_CreateObject(), *list;
    cJSON_AddNumberToObject(j, "position", o->pos);
    cJSON_AddStringToObject(j, "text", o->text);
    cJSON_AddNumberToObject(j, "kl", o->kl);
    for (int i = 0; i < 2; i++) {
        cJSON *one = cJSON_AddObjectToObject(j, side[i]);
        cJSON_AddNumberToObject(one, "entropy", o->entropy[i]);
        cJSON_AddStringToObject(one, "banned", o->banned[i]);
        if (o->follows)
            cJSON_AddNumberToObject(one, "p_came", o->p_follows[i]);
    }
    if (o->follows)
        cJSON_AddStringToObject(j, "came", o->follows);
    if (o->idle)
        cJSON_AddStringToObject(j, "idle", o->idle);
    list = cJSON_AddArrayToObject(j, "next");
    for (int i = 0; i < o->n_word; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "id", o->word[i].id);
        cJSON_AddStringToObject(one, "text", o->word[i].text);
        cJSON_AddNumberToObject(one, "before", o->word[i].p[0]);
        cJSON_AddNumberToObject(one, "after", o->word[i].p[1]);
        cJSON_AddItemToArray(list, one);
    }
    list = cJSON_AddArrayToObject(j, "layers");
    for (int l = 0; l < o->n_layer; l++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "layer", o->layer[l].layer);
        cJSON_AddNumberToObject(one, "experts_before", o->layer[l].n[0]);
        cJSON_AddNumberToObject(one, "experts_after", o->layer[l].n[1]);
        cJSON_AddNumberToObject(one, "same", o->layer[l].same);
        cJSON_AddItemToArray(list, one);
    }
    cJSON_AddNumberToObject(j, "ms", o->ms);
    return j;
}
