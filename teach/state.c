/* teach/state: how far a run is: the curve, and all of it as lines, as one line and as JSON. Plain functions. See teach.h. */
#include "base/say.h"
#include "teach/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *word, *words; } phases[] = {
    [TCH_IDLE] = { "idle", N_("nothing runs") }, [TCH_OPENING] = { "opening", N_("opening the model") }, [TCH_READING] = { "reading", N_("reading the examples") },
    [TCH_ROUTING] = { "routing", N_("looking where the examples go") }, [TCH_MEASURING] = { "measuring", N_("measuring the speed") },
    [TCH_TRAINING] = { "training", N_("training") }, [TCH_PROVING] = { "proving", N_("proving what it did") }, [TCH_DONE] = { "done", N_("done") },
    [TCH_STOPPED] = { "stopped", N_("stopped") }, [TCH_FAILED] = { "failed", N_("failed") },
};
const char *tch_phase_word(enum tch_phase p) { return phases[p].word; }
const char *tch_phase_words(enum tch_phase p) { return _(phases[p].words); }

void tch_state_point(tch_state *s, double loss)
{
    s->per_point = s->per_point ? s->per_point : 1;
    if (s->n_curve && s->in_last < s->per_point) {
        float *last = &s->curve[s->n_curve - 1];
        *last = (float)(((double)*last * s->in_last + loss) / (s->in_last + 1));
        s->in_last++;
        return;
    }
    if (s->n_curve == TCH_CURVE) {       /* two points become one */
        for (int i = 0; i < TCH_CURVE / 2; i++)
            s->curve[i] = (s->curve[2 * i] + s->curve[2 * i + 1]) / 2;
        s->n_curve = TCH_CURVE / 2;
        s->per_point *= 2;
    }
    s->curve[s->n_curve++] = (float)loss;
    s->in_last = 1;
}

/* The curve in `rows` rows of `columns`, from its largest loss to its smallest. */
static void plot(const tch_state *s, int columns, int rows, q_buf *out)
{
    enum { LABEL = 7, MOST = 200 };
    int width = columns - LABEL - 1;
    width = width < 8 ? 8 : width > MOST ? MOST : width;
    int n = s->n_curve < width ? s->n_curve : width;
    double v[MOST], low = INFINITY, high = -INFINITY;
    for (int i = 0; i < n; i++) {
        int from = i * s->n_curve / n, to = (i + 1) * s->n_curve / n;
        v[i] = 0;
        for (int k = from; k < to; k++)
            v[i] += (double)s->curve[k] / (to - from);
        low = v[i] < low ? v[i] : low;
        high = v[i] > high ? v[i] : high;
    }
    if (!(high > low))
        high = low + 1e-9;
    for (int r = 0; r < rows && n; r++) {
        double edge = r == 0 ? high : r == rows - 1 ? low : NAN;
        if (isnan(edge))
            q_buf_printf(out, "%*s ", LABEL - 1, "");
        else
            q_buf_printf(out, "%*.3f ", LABEL - 1, edge);
        for (int i = 0; i < n; i++) {
            int at = (int)((high - v[i]) / (high - low) * (rows - 1) + .5);
            q_buf_puts(out, at == r ? "•" : " ");
        }
        while (out->len && out->p[out->len - 1] == ' ')
            out->p[--out->len] = 0;
        q_buf_putc(out, '\n');
    }
}

static void time_left(double s, q_buf *out)
{
    if (s < 90)
        q_buf_say(out, _("%.0f s left"), s);
    else if (s < 5400)
        q_buf_say(out, _("%.0f min left"), s / 60);
    else
        q_buf_say(out, _("%.1f h left"), s / 3600);
}

static bool trains(const tch_state *s) { return s->steps > 0; }
static bool stepped(const tch_state *s) { return trains(s) && !isnan(s->loss); }

void tch_state_say(const tch_state *s, int columns, q_buf *out)
{
    char bytes[32];
    q_buf_say(out, "%s: %s", *s->name ? s->name : TCH_OWN, tch_phase_words(s->phase));
    if (trains(s))
        q_buf_say(out, _(", step %d of %d"), s->step, s->steps);
    else if (s->total > 0)
        q_buf_printf(out, ", %d / %d", s->done, s->total);
    q_buf_putc(out, '\n');
    if (*s->problem)
        q_buf_say(out, "%s\n", s->problem);
    if (!stepped(s))
        return;
    q_buf_say(out, _("loss %.3f"), s->loss);
    if (!isnan(s->heldout)) {
        q_buf_say(out, _(" · held out %.3f"), s->heldout);
        if (!isnan(s->first_heldout))
            q_buf_say(out, _(" (at first %.3f)"), s->first_heldout);
    }
    q_buf_say(out, _("\nrate %.2g · %.0f tok/s · %s"), s->lr, s->tokens_s, q_bytes_words(s->bytes, bytes));
    if (s->phase == TCH_TRAINING && s->left_s >= 0) {
        q_buf_puts(out, " · ");
        time_left(s->left_s, out);
    }
    q_buf_putc(out, '\n');
    if (s->routed > 0)
        q_buf_say(out, _("%d experts of %d are taught"), s->chosen, s->routed);
    if (s->routed > 0 && !isnan(s->p))
        q_buf_say(out, _("; their traffic is %.2f away from other traffic (p %.3g)"), s->distance, s->p);
    if (s->routed > 0)
        q_buf_putc(out, '\n');
    if (s->n_curve > 1)
        plot(s, columns, 8, out);
}

char *tch_state_line(const tch_state *s)
{
    q_buf b = { 0 };
    q_buf_say(&b, "%s: %s", s->name, tch_phase_words(s->phase));
    if (trains(s))
        q_buf_say(&b, " %d/%d", s->step, s->steps);
    if (stepped(s))
        q_buf_say(&b, _(" · loss %.3f · %.0f tok/s"), s->loss, s->tokens_s);
    if (stepped(s) && s->phase == TCH_TRAINING && s->left_s >= 0) {
        q_buf_puts(&b, " · ");
        time_left(s->left_s, &b);
    }
    return q_buf_take(&b);
}

static void number(cJSON *j, const char *name, double v)
{
    if (isfinite(v))
        cJSON_AddNumberToObject(j, name, v);
    else
        cJSON_AddNullToObject(j, name);
}

char *tch_state_json(const tch_state *s)
{
    cJSON *j = cJSON_CreateObject(), *curve = NULL;
    cJSON_AddStringToObject(j, "name", s->name);
    cJSON_AddStringToObject(j, "model", s->model);
    cJSON_AddStringToObject(j, "phase", tch_phase_word(s->phase));
    if (*s->problem)
        cJSON_AddStringToObject(j, "problem", s->problem);
    number(j, "done", s->done);
    number(j, "total", s->total);
    number(j, "step", s->step);
    number(j, "steps", s->steps);
    if (trains(s)) {
        number(j, "loss", s->loss);
        number(j, "heldout", s->heldout);
        number(j, "first_heldout", s->first_heldout);
        number(j, "lr", s->lr);
        number(j, "tokens_s", s->tokens_s);
        number(j, "left_s", s->left_s);
        number(j, "bytes", (double)s->bytes);
        number(j, "experts", s->chosen);
        number(j, "experts_all", s->routed);
        number(j, "distance", s->distance);
        number(j, "p", s->p);
        number(j, "steps_a_point", s->per_point);
        curve = cJSON_AddArrayToObject(j, "curve");
        for (int i = 0; i < s->n_curve; i++)
            cJSON_AddItemToArray(curve, cJSON_CreateNumber((double)s->curve[i]));
    }
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

/* ---- what was added ---- */
void tch_added_say(const char *what, const char *name, const tch_added *a, q_buf *out)
{
    if (strcmp(what, TCH_CHATS) == 0) {
        q_buf_say(out, _("%s: the answers marked /good or written with /better, of conversations that you released (/train on), belong to it now; they are read when a run begins\n"), name);
        return;
    }
    q_buf_say(out, _("%s: examples added: %lld, pairs: %lld"), name, (long long)a->examples, (long long)a->pairs);
    if (a->same)
        q_buf_say(out, _("; there already: %lld"), (long long)a->same);
    if (a->broken)
        q_buf_say(out, _("; not to be used: %lld, the first: %s"), (long long)a->broken, a->first_broken ? a->first_broken : "");
    q_buf_putc(out, '\n');
    for (const char *p = a->lost; p && *p;) {
        const char *end = strchr(p, '\n');
        q_buf_say(out, _("left out: %.*s\n"), (int)(end ? end - p : (long)strlen(p)), p);
        p = end ? end + 1 : "";
    }
}

/* ---- the list of sets ---- */
static void one_line(const tch_set *t, q_buf *out)
{
    q_buf_puts(out, t->name);
    if (t->examples || t->pairs || !t->problem)
        q_buf_say(out, _(" · examples: %lld, pairs: %lld"), (long long)t->examples, (long long)t->pairs);
    if (t->tokens >= 0)
        q_buf_say(out, _(" · tokens: %lld, of answers: %lld"), (long long)t->tokens, (long long)t->targets);
    if (*t->state)
        q_buf_say(out, " · %s", strcmp(t->state, "done") == 0 ? _("taught") : strcmp(t->state, "stopped") == 0 ? _("stopped half-way: /teach run goes on") : _("at work, or cut off: /teach run goes on"));
    if (t->adapter)
        q_buf_printf(out, " · adapters/%s.gguf", t->name);
    q_buf_putc(out, '\n');
    for (int i = 0; i < t->n; i++)
        if (*t->source[i].sha)
            q_buf_say(out, _("    %s: added by you (examples: %lld, pairs: %lld)\n"), t->source[i].what, (long long)t->source[i].examples, (long long)t->source[i].pairs);
    if (t->chats && t->released >= 0)
        q_buf_say(out, _("    conversations: released by you (/train on): %lld, not: %lld; of the released ones the answers marked /good or written with /better\n"), (long long)t->released, (long long)t->unreleased);
    if (t->problem)
        q_buf_say(out, "    %s\n", t->problem);
}

void tch_list_say(const tch_set *v, int n, q_buf *out)
{
    for (int i = 0; i < n; i++)
        one_line(&v[i], out);
}

char *tch_list_json(const tch_set *v, int n)
{
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        const tch_set *t = &v[i];
        cJSON *j = cJSON_CreateObject(), *sources;
        cJSON_AddStringToObject(j, "name", t->name);
        number(j, "examples", (double)t->examples);
        number(j, "pairs", (double)t->pairs);
        number(j, "tokens", t->tokens >= 0 ? (double)t->tokens : NAN);
        number(j, "answer_tokens", t->targets >= 0 ? (double)t->targets : NAN);
        sources = cJSON_AddArrayToObject(j, "sources");
        for (int k = 0; k < t->n; k++) {
            cJSON *s = cJSON_CreateObject();
            cJSON_AddStringToObject(s, "what", t->source[k].what);
            cJSON_AddStringToObject(s, "consent", *t->source[k].sha ? "added" : "released");
            if (*t->source[k].sha)
                cJSON_AddStringToObject(s, "sha256", t->source[k].sha);
            cJSON_AddItemToArray(sources, s);
        }
        if (t->chats && t->released >= 0) {
            number(j, "released", (double)t->released);
            number(j, "unreleased", (double)t->unreleased);
        }
        cJSON_AddStringToObject(j, "state", t->state);
        cJSON_AddBoolToObject(j, "adapter", t->adapter);
        if (t->problem)
            cJSON_AddStringToObject(j, "problem", t->problem);
        cJSON_AddItemToArray(all, j);
    }
    char *text = cJSON_PrintUnformatted(all);
    cJSON_Delete(all);
    return text;
}
