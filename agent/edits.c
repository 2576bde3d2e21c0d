/* agent/edits: changes of the configuration, applied between two tokens. Engine thread.
 * It never changes a token that was shown. */
#include "agent/errands.h"
#include "agent/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* experts.k by delta in every routed layer, held within 1 and what the model has. */
static char *nudged(agt *a, const prov_config *c, int delta)
{
    q_buf v = { 0 }, out = { 0 };
    int n = prov_about(a->seat.who)->n_expert;
    const char *p = prov_config_get(c, "experts.k", &v);
    while (*p) {
        char *end;
        long k = strtol(p, &end, 10) + delta;
        if (end == p)
            break;
        q_buf_printf(&out, "%s%ld", out.len ? "," : "", k < 1 ? 1 : k > n ? n : k);
        p = end + (*end == ',');
    }
    q_buf_free(&v);
    return q_buf_take(&out);
}

static char *meaning(agt *a, enum q_effect e, int token)
{
    prov_room room = sync_room(a);
    int cells = room.used;
    bool anew = sync_policy(&a->settings) == PROV_RECOMPUTE;
    if (e == Q_EFFECT_PROMPT)
        return q_strdup(_("from the next question"));
    if (e < Q_EFFECT_PROMPT)
        return q_strdup(token ? _("from the next token") : _("from the next answer"));
    if (cells == 0)
        return q_strdup(_("from the next answer"));
    if (e >= Q_EFFECT_POSITION || anew) {
        int t = room.text > cells ? room.text : cells;
        return q_printf(ngettext("%d token to re-evaluate", "%d tokens to re-evaluate", (unsigned long)t), t);
    }
    return q_printf(token ? ngettext("from the next token; %d cached token stays as it was made (/recompute changes that)",
                                     "from the next token; %d cached tokens stay as they were made (/recompute changes that)", (unsigned long)cells)
                          : ngettext("from the next answer; %d cached token stays as it was made (/recompute changes that)",
                                     "from the next answer; %d cached tokens stay as they were made (/recompute changes that)", (unsigned long)cells), cells);
}

/* One edit on one configuration; *name and *value say what it came to. */
static int edited(agt *a, const edit *e, prov_config *c, char **name, char **value, char *err)
{
    q_buf b = { 0 };
    int rc = Q_OK;
    if (e->kind == EDIT_NUDGE) {
        if (prov_about(a->seat.who)->n_expert == 0)
            rc = q_fail(err, Q_RANGE, _("this model is dense: it has no experts to choose; /model lists others"));
        else {
            char *k = nudged(a, c, e->delta);
            rc = prov_config_set(c, "experts.k", k, err);
            free(k);
        }
    } else
        rc = prov_config_set(c, e->name, e->value, err);
    if (rc == Q_OK) {
        *name = q_strdup(e->kind == EDIT_NUDGE ? "experts.k" : e->name);
        *value = q_strdup(prov_config_get(c, *name, &b));
    }
    q_buf_free(&b);
    return rc;
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

int edits_apply(agt *a, int token)
{
    int applied = 0;
    for (;;) {
        edit *e = desk_next_edit(&a->desk);
        if (!e)
            return applied;
        char err[Q_ERRLEN], *name = NULL, *value = NULL;
        prov_config *c = NULL;
        int rc = Q_OK;
        if (!a->seat.cfg)
            rc = q_fail(err, Q_ERR, _("no model is loaded, so its knobs have no values yet: run quorum model fetch, or /model FILE"));
        else if (e->kind == EDIT_TOGGLE || e->kind == EDIT_BRAIN) {
            if (e->kind == EDIT_TOGGLE && !a->seat.previous)
                rc = q_fail(err, Q_NOTFOUND, _("there is no other configuration yet: change a knob first"));
            else {
                char label[64];
                c = e->kind == EDIT_BRAIN ? brained(a, e) : prov_config_copy(a->seat.previous);
                name = q_strdup("");
                value = q_strdup(sync_label(c, label, sizeof label));
            }
        } else {
            c = prov_config_copy(a->seat.cfg);
            rc = edited(a, e, c, &name, &value, err);
        }
        if (rc == Q_OK && prov_config_hash_all(c) == prov_config_hash_all(a->seat.cfg) && prov_config_diff(a->seat.cfg, c) == Q_EFFECT_SAMPLING && *name) {
            q_buf was = { 0 };
            if (strcmp(prov_config_get(a->seat.cfg, name, &was), value) == 0) {
                agt_event ev = { .kind = AGT_EV_KNOB, .name = name, .text = value, .number = token, .note = q_strdup(_("unchanged")) };
                evq_push(&a->events, &ev);
                q_buf_free(&was);
                prov_config_free(c);
                edit_free(e);
                continue;
            }
            q_buf_free(&was);
        }
        enum q_effect effect = rc == Q_OK ? prov_config_diff(a->seat.cfg, c) : Q_EFFECT_SAMPLING;
        char *meant = NULL;
        if (rc == Q_OK && e->kind == EDIT_SET) {
            int i = settings_find(&a->settings, name);
            if (i >= 0 && a->settings.knob[i]->effect == Q_EFFECT_PROMPT)
                effect = Q_EFFECT_PROMPT;
        }
        if (rc == Q_OK) {
            meant = meaning(a, effect, token);
            guard_say(a, a->seat.cfg, c);
        }
        if (rc == Q_OK)
            rc = prov_set(a->seat.who, c, sync_policy(&a->settings), err);
        if (rc < 0) {
            note(&a->events, AGT_ERROR, "%s", err);
            free(name);
            free(value);
            free(meant);
            prov_config_free(c);
            edit_free(e);
            continue;
        }
        prov_config *was = prov_config_copy(a->seat.cfg);
        if (a->seat.home) {                   /* during /again the edit also stays afterwards */
            char *n2 = NULL, *v2 = NULL;
            if (e->kind == EDIT_BRAIN)
                brain_over(a->seat.home, e->value, NULL);
            else if (e->kind != EDIT_TOGGLE)
                edited(a, e, a->seat.home, &n2, &v2, err);
            free(n2);
            free(v2);
            prov_config_free(a->seat.cfg);
        } else {
            prov_config_free(a->seat.previous);
            a->seat.previous = a->seat.cfg;
        }
        a->seat.cfg = c;
        a->seat.config_changed = true;
        applied++;
        sync_publish(a);
        agt_event ev = { .kind = AGT_EV_KNOB, .name = name, .text = value, .number = token, .note = meant };
        evq_push(&a->events, &ev);
        sync_say_crowded(a, was, c);
        prov_config_free(was);
        edit_free(e);
    }
}
