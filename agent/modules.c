/* agent/modules: see modules.h. */
#include "agent/modules.h"
#include "agent/talk.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is on ---- */
static void names_of(const char *text, strings *out)
{
    for (const char *p = text ? text : ""; *p;) {
        size_t n = strcspn(p, " ");
        if (n)
            strings_add(out, q_strndup(p, n));
        p += n + (p[n] == ' ');
    }
}

void modules_on(agt *a, strings *out)
{
    char *kept = settings_get(&a->settings, "modules.on");
    names_of(kept, out);
    for (int i = 0; i < a->seat.modules.given.n; i++)
        if (strings_at(out, a->seat.modules.given.v[i]) < 0)
            strings_add(out, q_strdup(a->seat.modules.given.v[i]));
    free(kept);
}

/* As it stands in a prompt; sorted by insertion: there are few, and the order has a list beside it. */
static bool before(const strings *order, const module *x, const module *y)
{
    int p = strings_at(order, x->name), q = strings_at(order, y->name);
    if ((x->when.n > 0) != (y->when.n > 0))
        return !x->when.n;
    if (p != q)
        return q < 0 || (p >= 0 && p < q);
    return x->order != y->order ? x->order < y->order : strcmp(x->name, y->name) < 0;
}

static void order_of(agt *a, strings *out)
{
    char *kept = settings_get(&a->settings, "modules.order");
    names_of(kept, out);
    free(kept);
}

static void sort_on(agt *a, module_on *v, int n)
{
    strings order = { 0 };
    order_of(a, &order);
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && before(&order, &v[k].m, &v[k - 1].m); k--) {
            module_on x = v[k];
            v[k] = v[k - 1];
            v[k - 1] = x;
        }
    strings_free(&order);
}

int modules_all(agt *a, module **v, bool **on, int *n, int *over, char *err)
{
    strings names = { 0 }, order = { 0 };
    int rc = module_list(v, n, over, err);
    *on = NULL;
    if (rc < 0)
        return rc;
    modules_on(a, &names);
    order_of(a, &order);
    for (int i = 0; i < names.n; i++) {          /* on, and its file is gone: that is said where it stands */
        bool there = false;
        for (int k = 0; k < *n && !there; k++)
            there = strcmp((*v)[k].name, names.v[i]) == 0;
        if (!there) {
            char why[Q_ERRLEN];
            module m;
            if (module_read(names.v[i], &m, why) < 0)
                m = (module){ .name = q_strdup(names.v[i]), .title = q_strdup(names.v[i]), .text = q_strdup(""), .path = q_strdup(""), .order = 999, .problem = q_strdup(why) };
            *v = q_realloc(*v, sizeof **v * (size_t)(*n + 1));
            (*v)[(*n)++] = m;
        }
    }
    for (int i = 1; i < *n; i++)
        for (int k = i; k > 0 && before(&order, &(*v)[k], &(*v)[k - 1]); k--) {
            module x = (*v)[k];
            (*v)[k] = (*v)[k - 1];
            (*v)[k - 1] = x;
        }
    *on = q_alloc((size_t)*n + 1);
    for (int i = 0; i < *n; i++)
        (*on)[i] = strings_at(&names, (*v)[i].name) >= 0;
    strings_free(&names);
    strings_free(&order);
    return Q_OK;
}

char *modules_text(const module *v, const bool *on, int n)
{
    q_buf b = { 0 };
    q_buf_puts(&b, "");
    for (int i = 0; i < n; i++)
        if (on[i] && v[i].text && *v[i].text)
            q_buf_printf(&b, "%s%s", b.len ? "\n\n" : "", v[i].text);
    return q_buf_take(&b);
}

/* ---- knobs ---- */
static void knob_free(module_knob *k)
{
    free(k->knob);
    free(k->was);
    free(k->set);
    free(k->by);
}

static int knob_at(const module_knob *v, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].knob, name) == 0)
            return i;
    return -1;
}

/* "NAME=VALUE" as a row of the table; NULL: it is none that a module may set, which is said. */
static const q_knob *knob_of(agt *a, const module *m, const char *setting, const char **value, bool *engine)
{
    char *name = q_strndup(setting, strcspn(setting, "="));
    int i = settings_find(&a->settings, name);
    *value = setting + strlen(name) + 1;
    if (i < 0)
        modules_once(a, AGT_WARN, q_printf(_("module %s: there is no knob %s; /set lists them all"), m->name, name));
    else if (a->settings.room[i] == KNOB_AGENT) {
        modules_once(a, AGT_WARN, q_printf(_("module %s: %s is not for modules, which set knobs of the model and of memory; /set changes it"), m->name, name));
        i = -1;
    }
    free(name);
    *engine = i >= 0 && a->settings.room[i] == KNOB_ENGINE;
    return i < 0 ? NULL : a->settings.knob[i];
}

/* What these modules want, the last of two that set one knob. *v malloc'ed. */
static int wanted(agt *a, const module_on *on, int n, bool rules, module_knob **v)
{
    int count = 0;
    *v = q_alloc(sizeof **v);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < on[i].m.knobs.n && (rules || !on[i].m.when.n); k++) {
            const char *value;
            bool engine;
            const q_knob *row = knob_of(a, &on[i].m, on[i].m.knobs.v[k], &value, &engine);
            int at = row ? knob_at(*v, count, row->name) : -1;
            if (!row)
                continue;
            if (at >= 0) {
                modules_once(a, AGT_INFO, strcmp((*v)[at].by, on[i].m.name) == 0
                    ? q_printf(_("module %s sets %s twice: its later value holds, %s"), on[i].m.name, row->name, value)
                    : q_printf(_("modules %s and %s both set %s: %s stands later, so its value holds"), (*v)[at].by, on[i].m.name, row->name, on[i].m.name));
                knob_free(&(*v)[at]);
            } else {
                at = count++;
                *v = q_realloc(*v, sizeof **v * (size_t)(count + 1));
            }
            (*v)[at] = (module_knob){ q_strdup(row->name), NULL, q_strdup(value), q_strdup(on[i].m.name), engine };
        }
    return count;
}

/* Of memory: as it is now, "default" where it is that. malloc'ed. */
static char *memory_value(agt *a, const char *name)
{
    q_buf x = { 0 }, y = { 0 };
    rag_config now = settings_rag(&a->settings), own = rag_config_default();
    const char *v = rag_config_get(&now, name, &x), *d = rag_config_get(&own, name, &y);
    char *out = q_strdup(v && d && strcmp(v, d) == 0 ? "default" : v ? v : "");
    q_buf_free(&x);
    q_buf_free(&y);
    return out;
}

static char *engine_value(const prov_config *c, const char *name)
{
    q_buf b = { 0 };
    char *v = q_strdup(prov_config_is_default(c, name) ? "default" : prov_config_get(c, name, &b));
    q_buf_free(&b);
    return v;
}

static char *value_of(agt *a, const prov_config *c, const module_knob *k) { return k->engine ? engine_value(c, k->knob) : memory_value(a, k->knob); }

/* Sets one: of the engine on c, of memory at once. */
static int turn(agt *a, prov_config *c, const module_knob *k, const char *value, char *err)
{
    if (k->engine)
        return prov_config_set(c, k->knob, value, err);
    int rc = settings_set(&a->settings, k->knob, value, err);
    if (rc == Q_OK) {
        rag_config now = settings_rag(&a->settings);
        q_buf b = { 0 };
        const char *v = rag_config_get(&now, k->knob, &b);
        agt_event e = { .kind = AGT_EV_KNOB, .name = q_strdup(k->knob), .text = q_strdup(v ? v : ""), .note = q_printf(_("by module %s"), k->by) };
        evq_push(&a->events, &e);
        q_buf_free(&b);
        embedder_changed(a);
    }
    return rc;
}

/* What a module set goes back, unless a person turned it since; which of the records stay is what `keep` has. */
static void go_back(agt *a, prov_config *c, const module_knob *keep, int n_keep)
{
    modules *s = &a->seat.modules;
    char err[Q_ERRLEN];
    int left = 0;
    for (int i = 0; i < s->n_knob; i++) {
        module_knob *k = &s->knob[i];
        if (knob_at(keep, n_keep, k->knob) >= 0) {
            s->knob[left++] = *k;
            continue;
        }
        char *now = value_of(a, c, k);
        if (strcmp(now, k->set) != 0)
            note(&a->events, AGT_INFO, _("%s stays as it was turned since: module %s had set %s"), k->knob, k->by, k->set);
        else if (turn(a, c, k, k->was, err) < 0)
            note(&a->events, AGT_WARN, _("module %s is off, but %s did not go back: %s"), k->by, k->knob, err);
        free(now);
        knob_free(k);
    }
    s->n_knob = left;
}

/* What of c is another value than in effect, a NAME=VALUE a line. */
static void lines_of(const prov_config *was, const prov_config *c, q_buf *out)
{
    int n;
    const q_knob *row = prov_knobs(&n);
    q_buf x = { 0 }, y = { 0 };
    for (int i = 0; i < n; i++) {
        const char *p = prov_config_get(was, row[i].name, &x), *q = prov_config_get(c, row[i].name, &y);
        if (row[i].effect != Q_EFFECT_FIXED && strcmp(p, q) != 0)
            q_buf_printf(out, "%s=%s\n", row[i].name, prov_config_is_default(c, row[i].name) ? "default" : q);
    }
    q_buf_free(&x);
    q_buf_free(&y);
}

static void knobs_act(agt *a, bool rules)
{
    modules *s = &a->seat.modules;
    char err[Q_ERRLEN];
    module_knob *want;
    if (!a->seat.cfg || a->seat.home)
        return;
    int n = wanted(a, s->now, s->n, rules, &want);
    prov_config *c = prov_config_copy(a->seat.cfg);
    go_back(a, c, want, n);
    modadapters_act(a, c, s->now, s->n, rules);
    for (int i = 0; i < n; i++) {
        int at = knob_at(s->knob, s->n_knob, want[i].knob);
        if (at >= 0 && strcmp(s->knob[at].by, want[i].by) == 0)
            continue;                    /* it acts already, or a person turned it since */
        char *was = at >= 0 ? q_strdup(s->knob[at].was) : value_of(a, c, &want[i]);
        if (turn(a, c, &want[i], want[i].set, err) < 0) {
            modules_once(a, AGT_WARN, q_printf(_("module %s: %s"), want[i].by, err));
            free(was);
            continue;
        }
        if (at < 0) {
            at = s->n_knob++;
            s->knob = q_realloc(s->knob, sizeof *s->knob * (size_t)s->n_knob);
        } else
            knob_free(&s->knob[at]);
        s->knob[at] = (module_knob){ q_strdup(want[i].knob), was, value_of(a, c, &want[i]), q_strdup(want[i].by), want[i].engine };
    }
    q_buf lines = { 0 };
    lines_of(a->seat.cfg, c, &lines);
    if (lines.len)
        edits_now(a, lines.p);
    modadapters_leave(a);
    q_buf_free(&lines);
    for (int i = 0; i < n; i++)
        knob_free(&want[i]);
    free(want);
    prov_config_free(c);
}

char *modules_configured(agt *a, const module *v, const bool *on, int n)
{
    char err[Q_ERRLEN];
    module_on *all = q_alloc(sizeof *all * (size_t)(n + 1));
    module_knob *want;
    int count = 0;
    prov_config *c = prov_config_copy(a->seat.cfg);
    for (int i = 0; i < a->seat.modules.n_knob; i++)
        if (a->seat.modules.knob[i].engine)
            prov_config_set(c, a->seat.modules.knob[i].knob, a->seat.modules.knob[i].was, err);
    for (int i = 0; i < n; i++)
        if (on[i])
            all[count++].m = v[i];       /* borrowed */
    modadapters_configure(a, c, all, count);
    int k = wanted(a, all, count, true, &want);
    for (int i = 0; i < k; i++) {
        if (want[i].engine)
            prov_config_set(c, want[i].knob, want[i].set, err);      /* what this model does not take was said, or will be */
        knob_free(&want[i]);
    }
    char *json = prov_config_json(c);
    free(want);
    free(all);
    prov_config_free(c);
    return json;
}

/* ---- a question ---- */
/* Its hash was another one when it was used last: said. NULL: it cannot be read. */
static void look(agt *a, const char *name, const module *m, const char *problem)
{
    modules *s = &a->seat.modules;
    const char *hash = m ? m->hash : "";
    int i = 0;
    while (i < s->n_seen && strcmp(s->seen[i].name, name) != 0)
        i++;
    if (i == s->n_seen) {
        s->seen = q_realloc(s->seen, sizeof *s->seen * (size_t)++s->n_seen);
        s->seen[i] = (module_seen){ q_strdup(name), m ? q_strdup(hash) : q_strdup("-") };
    }
    if (strcmp(s->seen[i].hash, hash) == 0)
        return;
    if (!m)
        note(&a->events, AGT_WARN, _("module %s is on, but left out: %s"), name, problem);
    else
        note(&a->events, AGT_INFO, _("the file of module %s is another one than before (%.8s, was %.8s): from this answer on it says what it says now; /module diff %s"), name, hash,
             s->seen[i].hash, name);
    free(s->seen[i].hash);
    s->seen[i].hash = q_strdup(hash);
}

static void forget_now(modules *s)
{
    for (int i = 0; i < s->n; i++)
        module_free(&s->now[i].m);
    free(s->now);
    free(s->text);
    strings_free(&s->held);
    s->now = NULL;
    s->text = NULL;
    s->n = s->tokens = 0;
}

int modules_tokens(agt *a, const module *m)
{
    enum { BETWEEN = 2 };                /* the blank line between two texts */
    return a->seat.who && *m->text ? prompt_count(a->seat.who, m->text, strlen(m->text)) + BETWEEN : 0;
}

/* In their order, while they fit; what does not is said, once for each set of them. */
static void fit(agt *a)
{
    modules *s = &a->seat.modules;
    int budget = (int)settings_number(&a->settings, "modules.budget"), n = 0;
    q_buf left = { 0 }, text = { 0 };
    q_buf_puts(&text, "");
    for (int i = 0; i < s->n; i++) {
        module_on *x = &s->now[i];
        x->tokens = modules_tokens(a, &x->m);
        if (s->tokens + x->tokens > budget) {
            q_buf_printf(&left, "%s%s (%d)", left.len ? ", " : "", x->m.name, x->tokens);
            module_free(&x->m);
            continue;
        }
        s->tokens += x->tokens;
        if (*x->m.text)
            q_buf_printf(&text, "%s%s", text.len ? "\n\n" : "", x->m.text);
        s->now[n++] = *x;
    }
    s->n = n;
    s->text = q_buf_take(&text);
    if (left.len && (!s->left || strcmp(s->left, left.p) != 0))
        note(&a->events, AGT_WARN, _("modules.budget is %d tokens: left out is %s; /set modules.budget N gives them room, /module order what comes first"), budget, left.p);
    free(s->left);
    s->left = left.len ? q_buf_take(&left) : NULL;
}

void modules_choose(agt *a, const char *question)
{
    modules *s = &a->seat.modules;
    char err[Q_ERRLEN];
    strings names = { 0 };
    forget_now(s);
    modules_on(a, &names);
    s->now = q_alloc(sizeof *s->now * (size_t)(names.n + 1));
    for (int i = 0; i < names.n; i++) {
        module m;
        bool good = module_read(names.v[i], &m, err) == Q_OK;
        double scale;
        char *adapter = good ? modadapters_path(&m, &scale) : NULL;
        if (adapter)
            strings_add(&s->held, adapter);
        look(a, names.v[i], good ? &m : NULL, err);
        if (good && module_wanted(&m, question))
            s->now[s->n++] = (module_on){ m, 0 };
        else if (good)
            module_free(&m);
    }
    strings_free(&names);
    sort_on(a, s->now, s->n);
    fit(a);
    knobs_act(a, true);
}

void modules_rest(agt *a)
{
    bool any = false;
    for (int i = 0; i < a->seat.modules.n; i++)
        any |= a->seat.modules.now[i].m.when.n && (a->seat.modules.now[i].m.knobs.n || a->seat.modules.now[i].m.adapter);
    if (any)
        knobs_act(a, false);
    modules_publish(a, true);
}

void modules_leave(agt *a)
{
    forget_now(&a->seat.modules);
    knobs_act(a, true);
}

void modules_loaded(agt *a)
{
    modules *s = &a->seat.modules;
    int left = 0;
    for (int i = 0; i < s->n_knob; i++)
        if (s->knob[i].engine)
            knob_free(&s->knob[i]);
        else
            s->knob[left++] = s->knob[i];
    s->n_knob = left;
    modadapters_lost(s);
    modules_publish(a, true);
}

static cJSON *made_json(const mem_module *m)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "name", m->name);
    cJSON_AddStringToObject(one, "hash", m->hash);
    cJSON_AddNumberToObject(one, "tokens", m->tokens);
    if (*m->adapter) {
        cJSON_AddStringToObject(one, "adapter", m->adapter);
        cJSON_AddStringToObject(one, "scale", m->scale);
    }
    return one;
}

void modules_made(agt *a, int64_t message)
{
    modules *s = &a->seat.modules;
    char err[Q_ERRLEN];
    mem_module *row = q_alloc(sizeof *row * (size_t)(s->n + 1));
    cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "modules");
    for (int i = 0; i < s->n; i++) {
        row[i] = (mem_module){ s->now[i].m.name, s->now[i].m.hash, s->now[i].tokens, NULL, NULL };
        if (!modadapters_said(a, &s->now[i].m, &row[i].adapter, &row[i].scale)) {
            row[i].adapter = q_strdup("");
            row[i].scale = q_strdup("");
        }
        cJSON_AddItemToArray(list, made_json(&row[i]));
        if (module_keep(&s->now[i].m, err) < 0)
            modules_once(a, AGT_WARN, q_printf(_("this version of module %s is not kept, so /module diff will not know it: %s"), row[i].name, err));
    }
    cJSON_AddNumberToObject(data, "tokens", s->tokens);
    cJSON_AddStringToObject(data, "left_out", s->left ? s->left : "");
    if (mem_modules_put(a->store, message, row, s->n, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    char *json = cJSON_PrintUnformatted(data);
    pthread_mutex_lock(&s->mu);
    free(s->made);
    s->made = q_strdup(json);
    pthread_mutex_unlock(&s->mu);
    agt_event e = { .kind = AGT_EV_MODULES, .id = message, .data = json };
    if (s->n || s->left)
        evq_push(&a->events, &e);
    else
        free(json);
    cJSON_Delete(data);
    for (int i = 0; i < s->n; i++) {
        free(row[i].adapter);
        free(row[i].scale);
    }
    free(row);
}

char *modules_why_of(agt *a, int64_t message)
{
    char err[Q_ERRLEN], *text = NULL;
    mem_modules l = { 0 };
    if (mem_modules_of(a->store, message, &l, err) == Q_OK && l.n) {
        cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "modules");
        int tokens = 0;
        for (int i = 0; i < l.n; i++) {
            cJSON_AddItemToArray(list, made_json(&l.v[i]));
            tokens += l.v[i].tokens;
        }
        cJSON_AddNumberToObject(data, "tokens", tokens);
        text = cJSON_PrintUnformatted(data);
        cJSON_Delete(data);
    }
    mem_modules_free(&l);
    return text;
}

void modules_why(const char *made, q_buf *out, char **json)
{
    cJSON *all = made ? cJSON_Parse(made) : NULL, *list = cJSON_GetObjectItem(all, "modules"), *one, *o = *json ? cJSON_Parse(*json) : NULL;
    const cJSON *left = cJSON_GetObjectItem(all, "left_out");
    int n = 0;
    cJSON_ArrayForEach(one, list) {
        const char *adapter = cJSON_GetStringValue(cJSON_GetObjectItem(one, "adapter")), *scale = cJSON_GetStringValue(cJSON_GetObjectItem(one, "scale"));
        q_buf_say(out, "%s%s (%.8s, %d", n++ ? ", " : _("\nModules, in their order, with version and tokens: "), cJSON_GetStringValue(cJSON_GetObjectItem(one, "name")),
                  cJSON_GetStringValue(cJSON_GetObjectItem(one, "hash")), (int)cJSON_GetNumberValue(cJSON_GetObjectItem(one, "tokens")));
        if (adapter && scale)
            q_buf_say(out, _(", adapter %s at %s"), adapter, scale);
        q_buf_puts(out, ")");
    }
    q_buf_puts(out, n ? "\n" : "");
    if (cJSON_IsString(left) && *left->valuestring)
        q_buf_say(out, _("Modules left out by modules.budget: %s\n"), left->valuestring);
    if (cJSON_IsObject(o) && n) {
        cJSON_AddItemToObject(o, "modules", cJSON_DetachItemFromObject(all, "modules"));
        free(*json);
        *json = cJSON_PrintUnformatted(o);
    } else if (!*json && n)
        *json = q_strdup(made);
    cJSON_Delete(o);
    cJSON_Delete(all);
}

int modules_memory(const modules *s, const char ***names)
{
    int n = 0;
    *names = NULL;
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->now[i].m.memory.n; k++) {
            *names = q_realloc(*names, sizeof **names * (size_t)(n + 1));
            (*names)[n++] = s->now[i].m.memory.v[k];
        }
    return n;
}

/* ---- the snapshot ---- */
/* "experts.k 12→4 · +0.12 (0.05 to 0.20) a token": its adapter and knobs that act, and what the last /ablate of this version found. malloc'ed, NULL: nothing. */
static char *did_of(agt *a, const module *m)
{
    q_buf b = { 0 }, v = { 0 };
    char *name, *scale;
    if (modadapters_said(a, m, &name, &scale))
        q_buf_say(&b, _("adapter %s at %s"), name, scale);
    free(name);
    free(scale);
    for (int i = 0; i < a->seat.modules.n_knob; i++)
        if (strcmp(a->seat.modules.knob[i].by, m->name) == 0) {
            q_buf_clear(&v);
            q_knob_brief(&v, a->seat.modules.knob[i].set);
            q_buf_printf(&b, "%s%s %s→%s", b.len ? ", " : "", a->seat.modules.knob[i].knob, a->seat.modules.knob[i].was, v.p ? v.p : "");
        }
    char *key = q_printf("module.did.%s", m->name), *kept = settings_get(&a->settings, key);
    if (kept && strncmp(kept, m->hash, MODULE_HASH) == 0 && kept[MODULE_HASH] == ' ')
        q_buf_printf(&b, "%s%s", b.len ? " · " : "", kept + MODULE_HASH + 1);
    free(key);
    free(kept);
    q_buf_free(&v);
    return b.len ? q_buf_take(&b) : NULL;
}

void modules_publish(agt *a, bool told)
{
    modules *s = &a->seat.modules;
    char err[Q_ERRLEN];
    module *v;
    bool *on;
    int n, over;
    if (modules_all(a, &v, &on, &n, &over, err) < 0) {
        modules_once(a, AGT_WARN, q_strdup(err));
        return;
    }
    agt_modules *out = q_alloc(sizeof *out), *old;
    *out = (agt_modules){ .v = q_alloc(sizeof *out->v * (size_t)(n + 1)), .n = n, .over = over, .tokens = s->tokens, .budget = (int)settings_number(&a->settings, "modules.budget") };
    for (int i = 0; i < n; i++) {
        agt_module *x = &out->v[i];
        *x = (agt_module){ .name = q_strdup(v[i].name), .title = q_strdup(v[i].title), .hash = q_strdup(v[i].hash), .why = v[i].problem ? q_strdup(v[i].problem) : NULL,
                           .did = did_of(a, &v[i]), .tokens = a->seat.who ? modules_tokens(a, &v[i]) : -1,
                           .on = on[i], .rule = v[i].when.n > 0, .shipped = v[i].shipped };
        for (int k = 0; k < s->n; k++)
            x->acts |= strcmp(s->now[k].m.name, v[i].name) == 0;
        x->acts &= on[i];
    }
    modules_free(v, n);
    free(on);
    pthread_mutex_lock(&s->mu);
    old = s->shown;
    s->shown = out;
    pthread_mutex_unlock(&s->mu);
    if (old)
        agt_modules_free(old);
    free(old);
    if (told) {
        agt_event e = { .kind = AGT_EV_MODULES };
        evq_push(&a->events, &e);
    }
}

void agt_get_modules(agt *a, agt_modules *out)
{
    modules *s = &a->seat.modules;
    *out = (agt_modules){ .n = -1 };
    pthread_mutex_lock(&s->mu);
    if (s->shown) {
        *out = *s->shown;
        out->v = q_alloc(sizeof *out->v * (size_t)(out->n + 1));
        for (int i = 0; i < out->n; i++) {
            const agt_module *x = &s->shown->v[i];
            out->v[i] = *x;
            out->v[i].name = q_strdup(x->name);
            out->v[i].title = q_strdup(x->title);
            out->v[i].hash = q_strdup(x->hash);
            out->v[i].why = x->why ? q_strdup(x->why) : NULL;
            out->v[i].did = x->did ? q_strdup(x->did) : NULL;
        }
    }
    pthread_mutex_unlock(&s->mu);
}

void agt_modules_free(agt_modules *m)
{
    for (int i = 0; i < m->n; i++) {
        free(m->v[i].name);
        free(m->v[i].title);
        free(m->v[i].hash);
        free(m->v[i].why);
        free(m->v[i].did);
    }
    free(m->v);
    *m = (agt_modules){ .n = 0 };
}

void modules_open(modules *s) { pthread_mutex_init(&s->mu, NULL); }

void modules_close(modules *s)
{
    forget_now(s);
    for (int i = 0; i < s->n_knob; i++)
        knob_free(&s->knob[i]);
    free(s->knob);
    modadapters_lost(s);
    free(s->adapter);
    for (int i = 0; i < s->n_seen; i++) {
        free(s->seen[i].name);
        free(s->seen[i].hash);
    }
    free(s->seen);
    free(s->left);
    free(s->made);
    if (s->shown)
        agt_modules_free(s->shown);
    free(s->shown);
    strings_free(&s->given);
    strings_free(&s->told);
    pthread_mutex_destroy(&s->mu);
}
