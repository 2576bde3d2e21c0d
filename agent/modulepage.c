/* agent/modulepage: /module: what is on, in which order, the files behind it. Engine's lane: nothing changes within an answer. What is on is
 * kept in the store. A file is a person's to edit: the front end has the editor (AGT_UI_FILE). */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/talk.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */
static const char *state_of(const agt_module *m)
{
    return m->why ? _("broken") : !m->on ? _("not on") : m->rule ? m->acts ? _("by words, acts") : _("by words") : _("on");
}

static cJSON *row_json(const agt_module *m)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", m->name);
    cJSON_AddStringToObject(o, "title", m->title);
    cJSON_AddStringToObject(o, "hash", m->hash);
    if (m->tokens >= 0)
        cJSON_AddNumberToObject(o, "tokens", m->tokens);
    cJSON_AddBoolToObject(o, "on", m->on);
    cJSON_AddBoolToObject(o, "acts", m->acts);
    cJSON_AddBoolToObject(o, "by_words", m->rule);
    cJSON_AddBoolToObject(o, "shipped", m->shipped);
    if (m->did)
        cJSON_AddStringToObject(o, "did", m->did);
    if (m->why)
        cJSON_AddStringToObject(o, "problem", m->why);
    return o;
}

static char *list_json(const agt_modules *l)
{
    cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "modules");
    for (int i = 0; i < l->n; i++)
        cJSON_AddItemToArray(list, row_json(&l->v[i]));
    cJSON_AddNumberToObject(data, "tokens", l->tokens);
    cJSON_AddNumberToObject(data, "budget", l->budget);
    char *text = cJSON_PrintUnformatted(data);
    cJSON_Delete(data);
    return text;
}

static void list(agt *a)
{
    agt_modules l;
    q_buf b = { 0 };
    modules_publish(a, true);
    agt_get_modules(a, &l);
    for (int i = 0; i < l.n; i++) {
        const agt_module *m = &l.v[i];
        char *tokens = m->tokens < 0 ? q_strdup("–") : q_printf(_("%d tok"), m->tokens);
        q_buf_say(&b, "%s %-14s %-16s %9s  %.8s  %s%s\n", m->acts ? "*" : " ", m->name, state_of(m), tokens, *m->hash ? m->hash : "–", m->title, m->shipped ? _(" (comes with quorum)") : "");
        if (m->did)
            q_buf_say(&b, "                 %s\n", m->did);
        if (m->why)
            q_buf_say(&b, "                 %s\n", m->why);
        free(tokens);
    }
    if (l.over)
        q_buf_say(&b, ngettext("%d more file is not shown: %d modules are the most\n", "%d more files are not shown: %d modules are the most\n", (unsigned long)l.over), l.over, MODULES_MOST);
    q_buf_say(&b, _("\nmodules.budget: %d tokens, %d in the last prompt (* stood in it).\n"), l.budget, l.tokens);
    q_buf_puts(&b, _("/module on|off|only NAME, order NAME …, edit NAME, new NAME, diff NAME; /ablate modules on FILE says what each adds.\n"));
    note_page(&a->events, "/module", q_buf_take(&b), list_json(&l));
    agt_modules_free(&l);
}

static void tell(agt *a)                 /* what is on is another set, or stands otherwise */
{
    agt_modules l;
    modules_choose(a, "");
    modules_publish(a, false);
    agt_get_modules(a, &l);
    agt_event e = { .kind = AGT_EV_MODULES, .data = list_json(&l) };
    evq_push(&a->events, &e);
    agt_modules_free(&l);
}

/* ---- names ---- */
/* The name that a person means: it, or a title; malloc'ed. NULL: said. */
static char *meant(agt *a, const char *word)
{
    char err[Q_ERRLEN], *found = NULL;
    module *v;
    module m;
    int n, over;
    if (module_known(word))
        return q_strdup(word);
    if (lab_is_name(word) && module_list(&v, &n, &over, err) == Q_OK) {
        char *low = q_strdup(word);
        q_fold_bytes(low, strlen(low));
        for (int i = 0; i < n && !found; i++)
            if (strlen(v[i].title) == strlen(low) && q_holds(v[i].title, strlen(v[i].title), low, strlen(low)))
                found = q_strdup(v[i].name);
        free(low);
        modules_free(v, n);
    }
    if (!found && module_read(word, &m, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    return found;
}

static void keep(agt *a, const char *key, const strings *names)
{
    q_buf b = { 0 };
    for (int i = 0; i < names->n; i++)
        q_buf_printf(&b, "%s%s", i ? " " : "", names->v[i]);
    settings_put(&a->settings, key, b.p);
    desk_post(&a->desk, &job_setting, 0, 0, key, b.p);
    q_buf_free(&b);
}

static void take_off(strings *s, const char *name)
{
    int i = strings_at(s, name);
    if (i < 0)
        return;
    free(s->v[i]);
    memmove(&s->v[i], &s->v[i + 1], sizeof *s->v * (size_t)(s->n-- - i - 1));
}

static void said_of(agt *a, const module *m)
{
    int tokens = modules_tokens(a, m);
    if (m->when.n)
        note(&a->events, AGT_INFO, _("module %s is on for questions that hold one of its words (when:); %d tokens then"), m->name, tokens);
    else if (!*m->text)
        note(&a->events, AGT_INFO, _("module %s is on from the next question; it has no text"), m->name);
    else
        note(&a->events, AGT_INFO, _("module %s is on from the next question; it takes %d tokens of every prompt"), m->name, tokens);
}

/* ---- acts ---- */
static void on(agt *a, char *const *word, int n, bool only)
{
    char err[Q_ERRLEN];
    strings was = { 0 }, now = { 0 }, fresh = { 0 };
    modules_on(a, &was);
    bool good = true;
    for (int i = 0; i < was.n && !only; i++)
        strings_add(&now, q_strdup(was.v[i]));
    for (int i = 0; i < n && good; i++) {
        module m;
        char *name = meant(a, word[i]);
        good = name && strings_at(&now, name) < 0;
        if (name && !good)
            note(&a->events, AGT_INFO, _("module %s is on already"), name);
        if (good && (good = module_read(name, &m, err) == Q_OK)) {
            strings_add(&now, q_strdup(name));
            strings_add(&fresh, q_strdup(name));
            module_free(&m);
        } else if (name && strings_at(&now, name) < 0)
            note(&a->events, AGT_ERROR, "%s", err);
        free(name);
    }
    if (good) {
        for (int i = 0; i < was.n && only; i++)
            if (strings_at(&now, was.v[i]) < 0) {
                note(&a->events, AGT_INFO, _("module %s is off"), was.v[i]);
                take_off(&a->seat.modules.given, was.v[i]);
            }
        keep(a, "modules.on", &now);
        for (int i = 0; i < fresh.n; i++) {
            module m;
            if (module_read(fresh.v[i], &m, err) == Q_OK) {
                said_of(a, &m);
                module_free(&m);
            }
        }
        tell(a);
    }
    strings_free(&was);
    strings_free(&now);
    strings_free(&fresh);
}

/* A module whose file is gone goes off by its name all the same. */
static void off(agt *a, char *const *word, int n)
{
    strings now = { 0 };
    modules_on(a, &now);
    bool all = n == 1 && (strcmp(word[0], "all") == 0 || strcmp(word[0], "все") == 0), any = false;
    for (int i = 0; i < (all ? now.n : n);) {
        char *name = all || strings_at(&now, word[i]) >= 0 ? q_strdup(all ? now.v[0] : word[i]) : meant(a, word[i]);
        bool was = name && strings_at(&now, name) >= 0;
        if (was) {
            note(&a->events, AGT_INFO, _("module %s is off"), name);
            take_off(&now, name);
            take_off(&a->seat.modules.given, name);
            any = true;
        } else if (name)
            note(&a->events, AGT_INFO, _("module %s is off already"), name);
        free(name);
        i += !all;
    }
    if (any) {
        keep(a, "modules.on", &now);
        tell(a);
    } else if (all)
        note(&a->events, AGT_INFO, _("no module is on"));
    strings_free(&now);
}

static void order(agt *a, char *const *word, int n)
{
    strings names = { 0 };
    bool plain = n == 1 && (strcmp(word[0], "default") == 0 || strcmp(word[0], "обычный") == 0), good = true;
    for (int i = 0; i < n && !plain && good; i++) {
        char *name = meant(a, word[i]);
        good = name != NULL;
        if (name && strings_at(&names, name) < 0)
            strings_add(&names, q_strdup(name));
        free(name);
    }
    if (good && n) {
        keep(a, "modules.order", &names);
        tell(a);
        note(&a->events, AGT_INFO, plain ? _("modules stand by the order in their files again") : _("modules stand in this order from the next question on; those that words switch on stand behind the others"));
    } else if (good)
        list(a);
    strings_free(&names);
}

static void edit_file(agt *a, const char *word, bool fresh)
{
    char err[Q_ERRLEN], *path = NULL, *name = fresh ? q_strdup(word) : meant(a, word);
    int rc = !name ? Q_ERR : fresh ? module_new(name, &path, err) : module_open(name, &path, err);
    if (rc == Q_OK) {
        note(&a->events, AGT_INFO, fresh ? _("a new module: %s") : _("the module's file: %s"), path);
        note_ui(&a->events, AGT_UI_FILE, path);
    } else if (name)
        note(&a->events, AGT_ERROR, "%s", err);
    free(path);
    free(name);
}

static void edited(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const char *slash = strrchr(j->text, '/'), *file = slash ? slash + 1 : j->text;
    char *name = q_strndup(file, strlen(file) > 3 ? strlen(file) - 3 : 0);
    module m;
    if (module_read(name, &m, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        strings now = { 0 };
        modules_on(a, &now);
        if (strings_at(&now, name) < 0)
            note(&a->events, AGT_INFO, _("module %s can be read, %d tokens; it is off: /module on %s"), name, modules_tokens(a, &m), name);
        else
            said_of(a, &m);
        strings_free(&now);
        module_free(&m);
    }
    tell(a);
    free(name);
}

static void differs(agt *a, const char *word)
{
    char err[Q_ERRLEN], was[MODULE_HASH + 1], *name = meant(a, word);
    module m = { .order = 0 };
    q_buf before = { 0 }, now = { 0 }, out = { 0 };
    int rc = !name ? Q_ERR : module_read(name, &m, err);
    if (rc == Q_OK)
        rc = module_before(name, m.hash, &before, was, err);
    if (rc == Q_OK)
        rc = q_read_file(m.path, &now, MODULE_BYTES, err);
    if (rc == Q_OK) {
        q_buf_say(&out, _("%s: %.8s then, %.8s now\n"), name, was, m.hash);
        size_t from = out.len;
        diff_lines(&out, before.p ? before.p : "", before.len, now.p ? now.p : "", now.len);
        cJSON *data = cJSON_CreateObject();
        cJSON_AddStringToObject(data, "name", name);
        cJSON_AddStringToObject(data, "was", was);
        cJSON_AddStringToObject(data, "hash", m.hash);
        cJSON_AddStringToObject(data, "diff", out.p + from);
        note_page(&a->events, "/module diff", q_buf_take(&out), cJSON_PrintUnformatted(data));
        cJSON_Delete(data);
    } else if (name)
        note(&a->events, rc == Q_NOTFOUND ? AGT_INFO : AGT_ERROR, "%s", err);
    q_buf_free(&before);
    q_buf_free(&now);
    q_buf_free(&out);
    module_free(&m);
    free(name);
}

enum verb { ON, OFF, ONLY, ORDER, EDIT, NEW, LIST, DIFF };
static const struct { const char *name, *ru; enum verb verb; int least, most; bool acts; } verbs[] = {
    { "on", "вкл", ON, 1, 64, true }, { "off", "выкл", OFF, 1, 64, true }, { "only", "только", ONLY, 1, 64, true }, { "order", "порядок", ORDER, 0, 64, true },
    { "edit", "правка", EDIT, 1, 1, false }, { "new", "новый", NEW, 1, 1, false }, { "list", "список", LIST, 0, 0, false }, { "diff", "отличия", DIFF, 1, 1, false },
};

static int verb_of(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if ((strlen(verbs[i].name) == n && strncmp(word, verbs[i].name, n) == 0) || (strlen(verbs[i].ru) == n && strncmp(word, verbs[i].ru, n) == 0))
            return (int)i;
    return -1;
}

static void module_job(agt *a, const job *j)
{
    enum { WORDS = 66 };
    char *text = q_strdup(j->text ? j->text : ""), *word[WORDS], *save = NULL;
    int n = 0;
    for (char *p = strtok_r(text, " \t\n,", &save); p && n < WORDS; p = strtok_r(NULL, " \t\n,", &save))
        word[n++] = p;
    int v = n ? verb_of(word[0], strlen(word[0])) : -1;
    if (!n)
        list(a);
    else if (v < 0 || n - 1 < verbs[v].least || n - 1 > verbs[v].most)
        note(&a->events, AGT_ERROR, _("/module on|off|only NAME …, order NAME …, edit NAME, new NAME, diff NAME; list, or nothing, shows all"));
    else
        switch (verbs[v].verb) {
        case ON: on(a, word + 1, n - 1, false); break;
        case ONLY: on(a, word + 1, n - 1, true); break;
        case OFF: off(a, word + 1, n - 1); break;
        case ORDER: order(a, word + 1, n - 1); break;
        case EDIT: edit_file(a, word[1], false); break;
        case NEW: edit_file(a, word[1], true); break;
        case LIST: list(a); break;
        case DIFF: differs(a, word[1]); break;
        }
    free(text);
}

static const job_row job_module = { .name = "module", .lane = LANE_ENGINE, .end = END_CARRIED, .settles = true, .run = module_job };
static const job_row job_module_shown = { .name = "module shown", .lane = LANE_ENGINE, .end = END_CARRIED, .run = module_job };
const job_row job_module_edited = { .name = "module edited", .lane = LANE_ENGINE, .end = END_DROPPED, .run = edited };

/* ---- front-end thread ---- */
void modules_command(agt *a, const char *words)
{
    int v = verb_of(words, strcspn(words, " \t\n,"));
    desk_post(&a->desk, v >= 0 && verbs[v].acts ? &job_module : &job_module_shown, 0, 0, words, NULL);
}

void agt_edited(agt *a, const char *path) { desk_post(&a->desk, &job_module_edited, 0, 0, path, NULL); }
