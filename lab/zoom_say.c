/* lab/zoom_say: a zoom in words and as JSON. Plain data. */
#include "base/say.h"
#include "lab/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEWEST = 12 /* answers in a table of all conversations */, NARROWEST = 30, NARROW = 64, TOKEN = 16 };        /* cells; below NARROW some columns are left out */

/* The last, or the first, so many characters of s; malloc'ed. */
static char *end_of(const char *s, int most)
{
    for (int n = q_utf8_points(s); n > most; n--)
        do
            s++;
        while (((unsigned char)*s & 0xC0) == 0x80);
    return q_strdup(s);
}

static char *begin_of(const char *s, int most)
{
    const char *p = s;
    for (int n = 0; *p && n < most; n++)
        do
            p++;
        while (((unsigned char)*p & 0xC0) == 0x80);
    return q_strndup(s, (size_t)(p - s));
}

static void answers_said(const lab_zoom *z, q_buf *out)
{
    q_buf_say(out, ngettext("%d token", "%d tokens", (unsigned long)z->tokens), z->tokens);
    if (z->all)
        q_buf_say(out, ngettext(" of %d answer of all conversations", " of %d answers of all conversations", (unsigned long)z->n_answer), z->n_answer);
    else
        q_buf_say(out, ngettext(" of %d answer of this conversation", " of %d answers of this conversation", (unsigned long)z->n_answer), z->n_answer);
    q_buf_puts(out, "\n");
    if (z->not_read)
        q_buf_say(out, ngettext("the newest ones: %d older answer was not looked at\n", "the newest ones: %d older answers were not looked at\n", (unsigned long)z->not_read), z->not_read);
    if (z->damaged)
        q_buf_say(out, ngettext("%d record cannot be read\n", "%d records cannot be read\n", (unsigned long)z->damaged), z->damaged);
    if (z->left_out)
        q_buf_say(out, ngettext("%d answer of another model is left out", "%d answers of other models are left out", (unsigned long)z->left_out), z->left_out);
    q_buf_puts(out, z->left_out ? "\n" : "");
}

/* ---- a layer ---- */
typedef struct row { int expert; double share; } row;

static int by_share(const void *a, const void *b)
{
    const row *x = a, *y = b;
    return x->share < y->share ? 1 : x->share > y->share ? -1 : x->expert - y->expert;
}

static const lab_cell *cells_of(const lab_zoom *z, const lab_view *now)
{
    int l = now ? z->layer - now->first_layer : -1;
    return l >= 0 && l < now->n_layer && now->cell && now->n_expert == z->n_expert ? now->cell + (size_t)l * (size_t)now->n_expert : NULL;
}

static void layer_said(const lab_zoom *z, const lab_view *now, q_buf *out)
{
    const lab_layer_load *y = &z->load;
    const lab_cell *c = cells_of(z, now);
    double mean = y->k / z->n_expert;
    row *order = q_alloc(sizeof *order * (size_t)(z->n_expert + 1));
    q_buf_say(out, _("layer %d: "), z->layer);
    answers_said(z, out);
    q_buf_say(out, _("load: entropy over log N %.3f (1: all alike), Gini %.3f (0: all alike), largest over mean %.2f\n"), y->entropy, y->gini, y->peak);
    if (!isnan(y->repeat))
        q_buf_say(out, _("%.2f experts a token, of these %.3f ran for the token before (%.3f by chance)\n"), y->k, y->repeat, y->repeat_chance);
    if (y->n_couple)
        q_buf_say(out, "%s\n", _("experts that run together: tokens (by chance)"));
    for (int i = 0; i < y->n_couple; i++) {
        q_buf_puts(out, i == 0 ? "  " : i % 4 ? ", " : "\n  ");
        q_buf_say(out, "%d+%d %d (%.1f)", y->couple[i].a, y->couple[i].b, y->couple[i].together, y->couple[i].chance);
    }
    q_buf_puts(out, y->n_couple ? "\n" : "");
    q_buf_say(out, "\n%7s %7s %8s", _("expert"), _("share"), _("over mean"));
    if (c)
        q_buf_say(out, " %8s %8s %8s", _("rate"), _("usual"), _("times"));
    q_buf_puts(out, "\n");
    for (int e = 0; e < z->n_expert; e++)
        order[e] = (row){ e, y->load[e] };
    qsort(order, (size_t)z->n_expert, sizeof *order, by_share);
    for (int i = 0; i < z->n_expert; i++) {
        int e = order[i].expert;
        q_buf_say(out, "%7d %7.3f %8.2f", e, y->load[e], mean > 0 ? y->load[e] / mean : 0);
        if (c)
            q_buf_say(out, " %8.3f %8.3f %8.2f", (double)c[e].rate, (double)c[e].usual, c[e].usual > 0 ? (double)(c[e].rate / c[e].usual) : 0);
        if (c && c[e].bent)
            q_buf_say(out, "   %s", c[e].bent == LAB_PINNED ? _("pinned") : _("banned"));
        if (c && c[e].taught)
            q_buf_say(out, "   %s", _("changed by an adapter"));
        if (c && c[e].breaks)
            q_buf_say(out, "   %s", _("breaks the model when it is missing (/guard)"));
        q_buf_puts(out, "\n");
    }
    free(order);
}

/* ---- an expert ---- */
static void words_said(const lab_zoom *z, int columns, q_buf *out)
{
    bool all = columns >= NARROW;
    int room = columns - (all ? 33 : 16) - 2, side = room > 2 * TOKEN ? (room - TOKEN) / 2 : room / 3;
    q_buf_say(out, "\n%s\n%7s %6s", _("tokens that it ran for most often, each where its weight was largest"), _("ran"), _("of"));
    if (all)
        q_buf_say(out, " %8s %7s", _("chance"), _("weight"));
    q_buf_say(out, "  %s\n", _("in context"));
    for (int i = 0; i < z->n_token; i++) {
        const lab_zoom_token *t = &z->token[i];
        q_buf_say(out, "%7d %6d", t->ran, t->of);
        if (all)
            q_buf_say(out, t->weight > 0 ? " %8.1f %7.3f" : " %8.1f        ", t->chance, t->weight);      /* none is known: a server's */
        q_buf_puts(out, "  ");
        char *text = *t->text ? begin_of(t->text, room - side < TOKEN ? room - side : TOKEN) : q_printf(_("id %d"), t->id);
        char *left = end_of(t->before, side), *right = begin_of(t->after, room - side - q_utf8_points(text));
        q_buf_printf(out, "%*s%s[%s]%s\n", side - q_utf8_points(left), "", left, text, right);
        free(left);
        free(right);
        free(text);
    }
}

static void met_said(const lab_zoom *z, q_buf *out)
{
    q_buf_say(out, "\n%s\n", _("experts of the layers beside that run with it: tokens (by chance)"));
    for (int i = 0; i < z->n_met; i++) {
        const lab_zoom_met *m = &z->met[i];
        bool first = i == 0 || z->met[i - 1].layer != m->layer;
        q_buf_printf(out, "%s", first ? i ? "\n" : "" : ", ");
        if (first)
            q_buf_say(out, _("  layer %d: "), m->layer);
        q_buf_say(out, "e%d %d (%.1f)", m->expert, m->together, m->chance);
    }
    q_buf_puts(out, z->n_met ? "\n" : "");
}

static void expert_said(const lab_zoom *z, int columns, q_buf *out)
{
    int room = columns - 24;
    q_buf_say(out, _("layer %d, expert %d: "), z->layer, z->expert);
    answers_said(z, out);
    q_buf_say(out, ngettext("it ran for %d token, a share of %.3f; an even share is %.3f\n", "it ran for %d tokens, a share of %.3f; an even share is %.3f\n",
                            (unsigned long)z->ran), z->ran, (double)z->ran / z->tokens, z->load.k / z->n_expert);
    if (!z->ran)
        return;
    q_buf_say(out, "\n%6s %7s %7s  %s\n", z->all ? _("chat") : _("answer"), _("tokens"), _("share"), _("begins"));
    for (int i = z->all && z->n_answer > NEWEST ? z->n_answer - NEWEST : 0; i < z->n_answer; i++) {
        char *begins = begin_of(z->answer[i].begins, room);
        q_buf_say(out, "%6lld %7d %7.3f  %s\n", z->all ? (long long)z->answer[i].chat : i + 1, z->answer[i].tokens, z->answer[i].tokens ? (double)z->answer[i].ran / z->answer[i].tokens : 0, begins);
        free(begins);
    }
    words_said(z, columns, out);
    met_said(z, out);
}

void lab_zoom_say(const lab_zoom *z, const lab_view *now, int columns, q_buf *out)
{
    if (z->expert < 0)
        layer_said(z, now, out);
    else
        expert_said(z, columns < NARROWEST ? NARROWEST : columns, out);
}

/* ---- for programs ---- */
static cJSON *item(cJSON *list)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddItemToArray(list, one);
    return one;
}

static void number(cJSON *j, const char *name, double v)
{
    if (isnan(v))
        cJSON_AddNullToObject(j, name);
    else
        cJSON_AddNumberToObject(j, name, v);
}

static void expert_json(const lab_zoom *z, cJSON *j)
{
    number(j, "expert", z->expert);
    number(j, "ran", z->ran);
    cJSON *list = cJSON_AddArrayToObject(j, "often");
    for (int i = 0; i < z->n_token; i++) {
        const lab_zoom_token *t = &z->token[i];
        cJSON *one = item(list);
        number(one, "id", t->id);
        number(one, "ran", t->ran);
        number(one, "of", t->of);
        number(one, "chance", t->chance);
        number(one, "weight", t->weight);
        number(one, "answer", t->answer + 1);
        number(one, "token", t->at);
        cJSON_AddStringToObject(one, "before", t->before);
        cJSON_AddStringToObject(one, "text", t->text);
        cJSON_AddStringToObject(one, "after", t->after);
    }
    list = cJSON_AddArrayToObject(j, "beside");
    for (int i = 0; i < z->n_met; i++) {
        cJSON *one = item(list);
        number(one, "layer", z->met[i].layer);
        number(one, "expert", z->met[i].expert);
        number(one, "tokens", z->met[i].together);
        number(one, "chance", z->met[i].chance);
    }
}

struct cJSON *lab_zoom_json(const lab_zoom *z)
{
    cJSON *j = cJSON_CreateObject();
    number(j, "layer", z->layer);
    number(j, "tokens", z->tokens);
    number(j, "experts", z->n_expert);
    number(j, "left_out", z->left_out);
    if (z->all) {
        cJSON_AddBoolToObject(j, "all", true);
        number(j, "not_looked_at", z->not_read);
        number(j, "damaged", z->damaged);
    }
    cJSON *list = cJSON_AddArrayToObject(j, "answers");
    for (int i = 0; i < z->n_answer; i++) {
        cJSON *one = item(list);
        number(one, "message", (double)z->answer[i].message);
        number(one, "chat", (double)z->answer[i].chat);
        number(one, "tokens", z->answer[i].tokens);
        if (z->expert >= 0)
            number(one, "ran", z->answer[i].ran);
    }
    if (z->expert < 0)
        lab_layer_load_json(&z->load, z->n_expert, j);
    else
        expert_json(z, j);
    return j;
}
