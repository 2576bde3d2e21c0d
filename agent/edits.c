/* agent/edits: changes of the configuration, applied between two tokens. Engine thread.
 * It never changes a token that was shown. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "base/knob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Was all that is cached made under c already, as on the way back from a change that no answer has seen? */
static bool made_under(agt *a, const prov_config *c)
{
    prov_mix m[2];
    return prov_mixture(a->seat.who, m, 2) == 1 && m[0].config == prov_config_hash(c) && m[0].cells >= sync_room(a).text;
}

/* Other adapters act, or otherwise: what was read with those is no beginning for an answer with these, whatever context.policy says of knobs. */
static bool other_adapters(const agt *a, const prov_config *c, const char *name)
{
    q_buf was = { 0 }, now = { 0 };
    bool other = strcmp(name ? name : "", "lora.scale") == 0 || strcmp(prov_config_get(a->seat.cfg, "lora.scale", &was), prov_config_get(c, "lora.scale", &now)) != 0;
    q_buf_free(&was);
    q_buf_free(&now);
    return other;
}

/* inside: in an answer, whose first token may not be made yet. */
static char *meaning(agt *a, const prov_config *c, enum q_effect e, bool adapters, bool inside)
{
    prov_room room = sync_room(a);
    int cells = room.used;
    bool anew = sync_policy(&a->settings) == PROV_RECOMPUTE || (adapters && !inside);
    if (e == Q_EFFECT_PROMPT)
        return q_strdup(_("from the next question"));
    if (e < Q_EFFECT_PROMPT)
        return q_strdup(inside ? _("from the next token") : _("from the next answer"));
    if (!inside && (cells == 0 || made_under(a, c)))
        return q_strdup(_("from the next answer"));
    if (e >= Q_EFFECT_POSITION || anew) {
        int t = room.text > cells ? room.text : cells;
        return q_printf(ngettext("%d token to re-evaluate", "%d tokens to re-evaluate", (unsigned long)t), t);
    }
    if (cells == 0)
        return q_strdup(_("from the next token"));
    return q_printf(inside ? ngettext("from the next token; %d cached token stays as it was made (/recompute changes that)",
                                      "from the next token; %d cached tokens stay as they were made (/recompute changes that)", (unsigned long)cells)
                           : ngettext("from the next answer; %d cached token stays as it was made (/recompute changes that)",
                                      "from the next answer; %d cached tokens stay as they were made (/recompute changes that)", (unsigned long)cells), cells);
}

/* An edit of one knob. */
static bool of_one(const edit *e) { return e->kind == EDIT_SET || e->kind == EDIT_NUDGE || e->kind == EDIT_LORA; }

/* One such edit on one configuration; *name and *value say what it came to. */
static int edited(agt *a, const edit *e, prov_config *c, char **name, char **value, char *err)
{
    q_buf b = { 0 };
    int rc = Q_OK;
    if (e->kind == EDIT_NUDGE) {
        if (prov_config_fixed(c, "experts.k", &b))
            rc = q_fail(err, Q_RANGE, "%s", b.p);
        else if (prov_about(a->seat.who)->n_expert == 0)
            rc = q_fail(err, Q_RANGE, _("this model is dense: it has no experts to choose; /model lists others"));
        else
            prov_config_nudge_k(c, e->delta);
    } else {
        char *all = e->kind == EDIT_LORA ? adapters_scaled(c, e->name, e->value) : NULL;
        rc = prov_config_set(c, all ? "lora.scale" : e->name, all ? all : e->value, err);
        free(all);
    }
    if (rc == Q_OK) {
        *name = q_strdup(e->kind == EDIT_NUDGE ? "experts.k" : e->kind == EDIT_LORA ? "lora.scale" : e->name);
        *value = q_strdup(prov_config_get(c, *name, &b));
    }
    q_buf_free(&b);
    return rc;
}

/* Several settings on one configuration; where one is refused it is of no use. *said: "a = 1, b = 2". */
static int listed(prov_config *c, const char *lines, q_buf *said, char *err)
{
    int rc = Q_OK;
    q_buf v = { 0 };
    for (const char *p = lines; *p && rc == Q_OK;) {
        size_t n = strcspn(p, "\n"), name = strcspn(p, "=");
        char *one = q_strndup(p, n);
        one[name] = 0;
        rc = prov_config_set(c, one, one + name + 1, err);
        if (rc == Q_OK) {
            q_buf_printf(said, "%s%s = ", said->len ? ", " : "", one);
            q_knob_brief(said, prov_config_get(c, one, &v));
        }
        free(one);
        p += n + (p[n] == '\n');
    }
    q_buf_free(&v);
    return rc;
}

/* "sampler.max_tokens (30), experts.k (4)": what was set and is the model's own again, with what it was. */
static void say_back(agt *a, const char *who, const prov_config *was, const prov_config *c)
{
    int n;
    const q_knob *k = prov_knobs(&n);
    q_buf b = { 0 }, v = { 0 }, brief = { 0 };
    for (int i = 0; i < n; i++) {
        if (prov_config_is_default(was, k[i].name) || !prov_config_is_default(c, k[i].name))
            continue;
        q_buf_clear(&brief);
        q_knob_brief(&brief, prov_config_get(was, k[i].name, &v));
        bool cut = brief.len > 40;
        q_buf_printf(&b, "%s%s (%.*s%s)", b.len ? ", " : "", k[i].name, (int)(cut ? q_utf8_whole(brief.p, 40) : brief.len), brief.p ? brief.p : "", cut ? "…" : "");
    }
    if (b.len)
        note(&a->events, AGT_INFO, _("%s takes back: %s"), who, b.p);
    q_buf_free(&b);
    q_buf_free(&v);
    q_buf_free(&brief);
}

/* The brain's configuration; what of it does nothing on this model is said. */
static prov_config *brained(agt *a, const edit *e)
{
    prov_config *c = prov_config_copy(a->seat.cfg);
    q_buf said = { 0 };
    brain_over(c, e->value, &said);
    for (char *p = said.p; p && *p;) {
        char *end = strchr(p, '\n');
        *end = 0;
        note(&a->events, AGT_WARN, "%s: %s", e->name, p);
        p = end + 1;
    }
    q_buf_free(&said);
    return c;
}

/* Where F9 or a number of /history goes; a place of the history, *step for history_go; or an error. */
static int past_at(agt *a, const edit *e, int *step, char *err)
{
    history *h = &a->seat.past;
    if (e->kind == EDIT_PAST) {
        *step = -1;
        return e->delta <= h->n ? e->delta - 1
             : q_fail(err, Q_RANGE, ngettext("the history holds %d configuration: /history lists it", "the history holds %d configurations: /history lists them",
                                             (unsigned long)h->n), h->n);
    }
    int to = history_next(h, step);
    if (to < 0) {                        /* the first press: there is at least the model's own */
        prov_config *own = prov_config_new(a->seat.who);
        history_under(h, own);
        prov_config_free(own);
        costs_publish(a);
        to = history_next(h, step);
    }
    return to;
}

/* The configuration that an edit makes of the present one; *name and *value say what it came to. *to, *step: where in the
 * history it stands already; -1: nowhere. Q_NOTFOUND without a sentence: there is nothing to do, which was said. */
static prov_config *changed(agt *a, const edit *e, char **name, char **value, int *to, int *step, int *rc, char *err)
{
    prov_config *c = NULL;
    char *caption = NULL;
    *to = -1;
    *rc = Q_OK;
    if (of_one(e)) {
        c = prov_config_copy(a->seat.cfg);
        *rc = edited(a, e, c, name, value, err);
        return c;
    }
    if (e->kind == EDIT_LIST) {
        q_buf said = { 0 };
        c = prov_config_copy(a->seat.cfg);
        *rc = listed(c, e->value, &said, err);
        *name = q_strdup("");
        *value = q_buf_take(&said);
        return c;
    }
    if (e->kind == EDIT_BRAIN)
        c = brained(a, e);
    else if ((*to = past_at(a, e, step, err)) >= 0)
        c = prov_config_copy(a->seat.past.v[*to].cfg);
    else if (*to < -1)
        *rc = *to;
    else {
        note(&a->events, AGT_INFO, _("this is the model's own configuration, the first one: F7 and F8 turn k, /set any knob, /brain NAME takes a whole one"));
        *err = 0;
        *rc = Q_NOTFOUND;
    }
    if (c) {
        caption = *to >= 0 ? caption_past(&a->seat.past, *to) : caption_of(c);
        *name = q_strdup("");
        char *said = caption_said(caption);
        *value = *to >= 0 ? q_printf(_("%s (%d of %d)"), said, *to + 1, a->seat.past.n) : q_strdup(said);
        free(said);
        free(caption);
    }
    return c;
}

/* Sets what is the same already: said, and nothing else happens. */
static bool unchanged(agt *a, const prov_config *c, const char *name, const char *value, int token)
{
    q_buf was = { 0 };
    bool same = *name && prov_config_hash_all(c) == prov_config_hash_all(a->seat.cfg) && prov_config_diff(a->seat.cfg, c) == Q_EFFECT_SAMPLING &&
                strcmp(prov_config_get(a->seat.cfg, name, &was), value) == 0;
    if (same) {
        agt_event ev = { .kind = AGT_EV_KNOB, .name = q_strdup(name), .text = q_strdup(value), .number = token, .note = q_strdup(_("unchanged")) };
        evq_push(&a->events, &ev);
    }
    q_buf_free(&was);
    return same;
}

/* The seat's is c from now on, which is taken. */
static void take(agt *a, const edit *e, prov_config *c, int to, int step)
{
    char err[Q_ERRLEN];
    if (a->seat.home) {                  /* during /again the edit also stays afterwards */
        char *name = NULL, *value = NULL;
        if (e->kind == EDIT_BRAIN)
            brain_over(a->seat.home, e->value, NULL);
        else if (e->kind == EDIT_LIST) {
            q_buf said = { 0 };
            listed(a->seat.home, e->value, &said, err);
            q_buf_free(&said);
        } else if (of_one(e))
            edited(a, e, a->seat.home, &name, &value, err);
        free(name);
        free(value);
    }
    prov_config_free(a->seat.cfg);
    a->seat.cfg = c;
    a->seat.config_changed = true;
    if (to >= 0)
        history_go(&a->seat.past, to, step);
    else
        history_turned(&a->seat.past, c);
    sync_publish(a);
}

/* Between two answers a context may become shorter than what stands in it: that goes, and the next question brings in what fits. */
static int put(agt *a, const prov_config *c, int token, bool *emptied, char *err)
{
    q_buf b = { 0 };
    int rc = prov_set(a->seat.who, c, sync_policy(&a->settings), err);
    *emptied = rc == Q_RANGE && token == 0 && !desk_answering(&a->desk) && atoi(prov_config_get(c, "context.length", &b)) < sync_room(a).text;
    if (*emptied) {
        prov_forget(a->seat.who);
        rc = prov_set(a->seat.who, c, sync_policy(&a->settings), err);
    }
    q_buf_free(&b);
    return rc;
}

/* True: it took effect. */
static bool apply(agt *a, const edit *e, int token)
{
    char err[Q_ERRLEN], *name = NULL, *value = NULL;
    prov_config *c = NULL, *was = NULL;
    int rc, to = -1, step = -1;
    bool done = false, emptied = false;
    if (!a->seat.cfg)
        rc = q_fail(err, Q_ERR, _("no model is loaded, so its knobs have no values yet: run quorum model fetch, or /model FILE"));
    else
        c = changed(a, e, &name, &value, &to, &step, &rc, err);
    if (rc == Q_OK && unchanged(a, c, name, value, token))
        goto out;
    enum q_effect effect = rc == Q_OK ? prov_config_diff(a->seat.cfg, c) : Q_EFFECT_SAMPLING;
    if (rc == Q_OK && e->kind == EDIT_SET) {
        int i = settings_find(&a->settings, name);
        if (i >= 0 && a->settings.knob[i]->effect == Q_EFFECT_PROMPT)
            effect = Q_EFFECT_PROMPT;
    }
    bool adapters = rc == Q_OK && other_adapters(a, c, name);
    char *meant = rc != Q_OK ? NULL : meaning(a, c, effect, adapters, token || desk_answering(&a->desk));
    if (rc == Q_OK) {
        guard_say(a, a->seat.cfg, c);
        rc = put(a, c, token, &emptied, err);
    }
    if (rc == Q_OK && emptied) {
        free(meant);
        meant = q_strdup(_("the next question reads anew what fits of the conversation"));
    }
    if (rc < 0) {
        if (*err)
            note(&a->events, AGT_ERROR, "%s", err);
        free(meant);
        goto out;
    }
    was = prov_config_copy(a->seat.cfg);
    if (e->kind == EDIT_BRAIN)
        say_back(a, e->name, was, c);
    take(a, e, c, to, step);
    a->seat.after_again |= adapters;
    agt_event ev = { .kind = AGT_EV_KNOB, .name = name, .text = value, .number = token, .note = meant };
    evq_push(&a->events, &ev);
    sync_say_crowded(a, was, c);
    c = NULL;
    name = value = NULL;
    done = true;
out:
    free(name);
    free(value);
    prov_config_free(c);
    prov_config_free(was);
    return done;
}

bool edits_now(agt *a, const char *lines)
{
    edit e = { .kind = EDIT_LIST, .name = (char *)"", .value = (char *)lines };
    return apply(a, &e, 0);
}

bool edits_lora(agt *a, const char *name, const char *scale)
{
    edit e = { .kind = EDIT_LORA, .name = (char *)name, .value = (char *)scale };
    return apply(a, &e, 0);
}

int edits_apply(agt *a, int token)
{
    int applied = 0;
    for (edit *e; (e = desk_next_edit(&a->desk)); edit_free(e))
        applied += apply(a, e, token);
    return applied;
}
