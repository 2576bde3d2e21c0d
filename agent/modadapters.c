/* agent/modadapters: the adapters that modules go with. One is loaded when a module that names it acts, acts by a piece of lora.scale while it does, and
 * leaves memory when no module that is on names it any more; by a rule (when:) it stays loaded between two answers and only its scale goes. In the model's own
 * configuration it does not act, so that what a module brings shows as a difference, as its knobs do. A person's hand goes first: what
 * was loaded or turned with /lora stays as it is, which is said. An adapter that is refused takes nothing from its module but itself. Engine's thread. */
#include "agent/errands.h"
#include "agent/talk.h"
#include "base/place.h"

#include <stdlib.h>
#include <string.h>

static module_adapter *record_of(modules *s, const char *path)
{
    for (int i = 0; i < s->n_adapter; i++)
        if (strcmp(s->adapter[i].path, path) == 0)
            return &s->adapter[i];
    return NULL;
}

static void record_free(module_adapter *x)
{
    free(x->path);
    free(x->name);
    free(x->by);
    free(x->set);
}

static char *real(char *path)            /* takes it */
{
    char *whole = realpath(path, NULL), *out = whole ? q_strdup(whole) : q_strdup(path);
    free(whole);
    free(path);
    return out;
}

char *modadapters_path(const module *m, double *scale)
{
    char *folder = q_folder_of(m->path), *path = m->adapter ? real(adapters_file(m->adapter, folder, scale)) : NULL;
    free(folder);
    return path;
}

/* How the model calls the adapter of this file; malloc'ed, NULL: it carries none. */
static char *carried(agt *a, const char *path)
{
    prov_adapter *v = NULL;
    char *name = NULL;
    int n = a->seat.who ? prov_adapters(a->seat.who, &v) : 0;
    for (int i = 0; i < n && !name; i++) {
        char *its = real(q_strdup(v[i].path));
        name = strcmp(its, path) == 0 ? q_strdup(v[i].name) : NULL;
        free(its);
    }
    prov_adapters_free(v, n);
    return name;
}

/* ---- what is wanted ---- */
typedef struct wish { char *path; const char *by; double scale; } wish;

/* The last of two that name one file; *v malloc'ed. */
static int wishes_of(agt *a, const module_on *on, int n, bool rules, wish **v)
{
    int count = 0;
    *v = q_alloc(sizeof **v * (size_t)(n + 1));
    for (int i = 0; i < n; i++) {
        double scale = 1;
        char *path = rules || !on[i].m.when.n ? modadapters_path(&on[i].m, &scale) : NULL;
        int at = 0;
        while (path && at < count && strcmp((*v)[at].path, path) != 0)
            at++;
        if (!path)
            continue;
        if (at == count)
            (*v)[count++] = (wish){ path, on[i].m.name, scale };
        else {
            if ((*v)[at].scale != scale)
                modules_once(a, AGT_INFO, q_printf(_("modules %s and %s both set the scale of %s: %s stands later, so its value holds"), (*v)[at].by, on[i].m.name, path, on[i].m.name));
            free(path);
            (*v)[at].by = on[i].m.name;
            (*v)[at].scale = scale;
        }
    }
    return count;
}

static void wishes_free(wish *v, int n)
{
    for (int i = 0; i < n; i++)
        free(v[i].path);
    free(v);
}

static bool wished(const wish *v, int n, const char *path)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].path, path) == 0)
            return true;
    return false;
}

/* ---- acting ---- */
static void set_piece(agt *a, prov_config *c, module_adapter *x, const char *scale)
{
    char err[Q_ERRLEN], *all = adapters_scaled(c, x->name, scale);
    if (prov_config_set(c, "lora.scale", all, err) == Q_OK) {
        free(x->set);
        x->set = adapters_piece(c, x->name);
    } else                               /* "adapter: FILE=1e9": it is loaded and does not act */
        modules_once(a, AGT_WARN, q_printf(_("module %s: %s"), x->by, err));
    free(all);
}

/* A person dropped or turned it: hands off, until its modules go off. */
static void look(agt *a, const prov_config *c, module_adapter *x)
{
    char *name = carried(a, x->path), *now = adapters_piece(c, x->name);
    if (!x->hands && !name)
        note(&a->events, AGT_INFO, _("module %s goes on without the adapter %s, which you took away: /module off %s, then on, brings it back"), x->by, x->name, x->by);
    else if (!x->hands && strcmp(now, x->set) != 0)
        note(&a->events, AGT_INFO, _("the adapter %s of module %s stays as you turned it: lora.scale %s"), x->name, x->by, *now ? now : "none");
    x->hands |= !name || strcmp(now, x->set) != 0;
    free(name);
    free(now);
}

/* The record of a file, loaded if it is not; NULL: refused, which is said. */
static module_adapter *ready(agt *a, const prov_config *c, const char *path, const char *by)
{
    modules *s = &a->seat.modules;
    char err[Q_ERRLEN], *name = carried(a, path), *own = NULL;
    if (record_of(s, path)) {
        free(name);
        return record_of(s, path);
    }
    if (!name && prov_adapter_load(a->seat.who, path, NULL, &own, err) < 0) {
        modules_once(a, AGT_WARN, q_printf(_("module %s goes on without its adapter: %s"), by, err));
        return NULL;
    }
    if (own && prov_adapter_rest(a->seat.who, own, err) < 0)
        modules_once(a, AGT_WARN, q_strdup(err));
    if (name) {
        char *now = adapters_piece(c, name);
        modules_once(a, AGT_INFO, q_printf(_("the adapter %s of module %s is one that you loaded: it stays as it is, lora.scale %s"), name, by, *now ? now : "none"));
        free(now);
    }
    s->adapter = q_realloc(s->adapter, sizeof *s->adapter * (size_t)(s->n_adapter + 1));
    s->adapter[s->n_adapter] = (module_adapter){ q_strdup(path), own ? own : name, q_strdup(by), q_strdup(""), own != NULL, own == NULL };
    return &s->adapter[s->n_adapter++];
}

void modadapters_act(agt *a, prov_config *c, const module_on *on, int n, bool rules)
{
    modules *s = &a->seat.modules;
    wish *v;
    int count = wishes_of(a, on, n, rules, &v);
    for (int i = 0; i < s->n_adapter; i++) {
        module_adapter *x = &s->adapter[i];
        look(a, c, x);
        if (!x->hands && *x->set && !wished(v, count, x->path))
            set_piece(a, c, x, NULL);
    }
    for (int i = 0; i < count; i++) {
        char num[32];
        module_adapter *x = ready(a, c, v[i].path, v[i].by);
        if (!x)
            continue;
        free(x->by);
        x->by = q_strdup(v[i].by);
        q_knob_number(num, v[i].scale);
        if (!x->hands)
            set_piece(a, c, x, num);
    }
    wishes_free(v, count);
}

void modadapters_leave(agt *a)
{
    modules *s = &a->seat.modules;
    char err[Q_ERRLEN];
    int left = 0;
    for (int i = 0; i < s->n_adapter; i++) {
        module_adapter *x = &s->adapter[i];
        if (strings_at(&s->held, x->path) >= 0) {
            s->adapter[left++] = *x;
            continue;
        }
        char *name = x->own ? carried(a, x->path) : NULL;
        if (name && x->hands)
            note(&a->events, AGT_INFO, _("the adapter %s stays, as you turned it; module %s is off: /lora off %s takes it away"), x->name, x->by, x->name);
        else if (name && prov_adapter_drop(a->seat.who, x->name, err) < 0)
            note(&a->events, AGT_WARN, "%s", err);
        free(name);
        record_free(x);
    }
    s->n_adapter = left;
}

void modadapters_lost(modules *s)
{
    for (int i = 0; i < s->n_adapter; i++)
        record_free(&s->adapter[i]);
    s->n_adapter = 0;
}

/* ---- for measuring ---- */
void modadapters_ready(agt *a, const module *v, const bool *with, int n)
{
    for (int i = 0; i < n; i++) {
        double scale;
        char *path = with[i] && !v[i].problem ? modadapters_path(&v[i], &scale) : NULL;
        if (path)
            ready(a, a->seat.cfg, path, v[i].name);
        free(path);
    }
}

void modadapters_configure(agt *a, prov_config *c, const module_on *on, int n)
{
    modules *s = &a->seat.modules;
    wish *v;
    int count = wishes_of(a, on, n, true, &v);
    for (int i = 0; i < s->n_adapter; i++) {
        char err[Q_ERRLEN], num[32];
        module_adapter *x = &s->adapter[i];
        const wish *w = NULL;
        for (int k = 0; k < count; k++)
            w = strcmp(v[k].path, x->path) == 0 ? &v[k] : w;
        if (w)
            q_knob_number(num, w->scale);
        char *all = adapters_scaled(c, x->name, w ? num : NULL);
        if (!x->hands)
            prov_config_set(c, "lora.scale", all, err);      /* of adapters that are there: it is taken */
        free(all);
    }
    wishes_free(v, count);
}

/* ---- what is said of it ---- */
bool modadapters_said(agt *a, const module *m, char **name, char **scale)
{
    double own;
    char *path = m->adapter && a->seat.cfg ? modadapters_path(m, &own) : NULL;
    const module_adapter *x = path ? record_of(&a->seat.modules, path) : NULL;
    char *now = x ? adapters_piece(a->seat.cfg, x->name) : q_strdup("");
    q_buf b = { 0 };
    for (const char *p = now; *p; p += *p == ',') {
        size_t n = strcspn(p, ","), its = strlen(x->name) + (p[strlen(x->name)] == '=');
        q_buf_puts(&b, b.len ? "," : "");
        q_buf_add(&b, p + its, n - its);
        p += n;
    }
    *name = b.len ? q_strdup(x->name) : NULL;
    *scale = b.len ? q_buf_take(&b) : NULL;
    free(path);
    free(now);
    return *name != NULL;
}
