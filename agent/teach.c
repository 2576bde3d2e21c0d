/* agent/teach: /teach add, list, report, settings, undo, drop, text: what reads and writes the files of teach/; and what becomes of a run that is over. The long and
 * the quick lane. */
#include "agent/errands.h"
#include "agent/room.h"
#include "agent/teacher.h"
#include "base/say.h"

#include <stdlib.h>
#include <string.h>

static bool is_word(const char *word, size_t n, const char *en, const char *ru)
{
    return (strlen(en) == n && strncmp(word, en, n) == 0) || (strlen(ru) == n && strncmp(word, ru, n) == 0);
}

static bool go(void *user) { return !desk_stopped(&((agt *)user)->desk, LANE_LONG); }

/* "add FILE [to NAME]". */
static void add(agt *a, const job *j)
{
    char err[Q_ERRLEN], *line = q_strdup(j->text), *what = line + strcspn(line, " \t\n"), *to = NULL;
    what += strspn(what, " \t\n");
    for (char *p = what; (p = strstr(p, " to ")); p++)       /* the last one: a file's name may have blanks */
        to = p;
    for (char *p = what; (p = strstr(p, " в ")); p++)
        to = to && to > p ? to : p;
    if (to) {
        *to = 0;
        to += 1 + strcspn(to + 1, " ");
        to += strspn(to, " ");
    }
    tch_added out;
    q_buf b = { 0 };
    int rc = *what ? tch_add(what, to ? to : TCH_OWN, go, a, &out, err) : q_fail(err, Q_RANGE, _("/teach add FILE [to NAME], or /teach add chats [to NAME]"));
    if (rc == Q_OK) {
        tch_added_say(what, to ? to : TCH_OWN, &out, &b);
        note_text(&a->events, "/teach add", q_buf_take(&b));
        tch_added_free(&out);
    } else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    free(line);
}

static void list(agt *a, const char *rest)
{
    char err[Q_ERRLEN];
    tch_set *v;
    int n;
    pthread_mutex_lock(&a->shown.mu);
    char *model = a->shown.path && *a->shown.path != '@' ? q_strdup(a->shown.path) : NULL;
    pthread_mutex_unlock(&a->shown.mu);
    if (tch_list(a->store, model, &v, &n, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else {
        q_buf b = { 0 };
        tch_list_say(v, n, &b);
        note_page(&a->events, "/teach list", q_buf_take(&b), tch_list_json(v, n));
        tch_sets_free(v, n);
    }
    free(model);
}

static void report(agt *a, const char *rest)
{
    char err[Q_ERRLEN], *text, *json;
    if (tch_report(*rest ? rest : NULL, &text, &json, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note_page(&a->events, "/teach report", text, json);
}

static void what_may_be_set(agt *a, const char *rest)
{
    q_buf b = { 0 };
    tch_settings_help(&b);
    note_text(&a->events, "/teach settings", q_buf_take(&b));
}

static void state(agt *a, const char *rest)
{
    enum { COLUMNS = 78 };
    tch_state s;
    q_buf b = { 0 };
    if (!teacher_state(a, &s)) {
        note(&a->events, AGT_INFO, _("nothing is being taught: /teach list shows the sets, /teach run NAME begins"));
        return;
    }
    tch_state_say(&s, COLUMNS, &b);
    note_page(&a->events, "/teach", q_buf_take(&b), tch_state_json(&s));
}

static void undo(agt *a, const char *rest)
{
    char *runs = teacher_undo(a, *rest ? rest : NULL);       /* one that is at work here stops first, and is taken back behind that */
    if (runs)
        note(&a->events, AGT_INFO, _("the run of %s stops, and what it has done is taken back; the set stays"), runs);
    else
        desk_post(&a->desk, &job_untaught, 0, 0, *rest ? rest : NULL, NULL);
    free(runs);
}

static void drop(agt *a, const char *rest)
{
    char err[Q_ERRLEN];
    if (tch_drop(rest, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, _("the set %s is gone, with its run"), rest);
}

static void teach(agt *a, const job *j)
{
    static const struct { const char *en, *ru; void (*run)(agt *, const char *rest); } words[] = { { "list", "список", list }, { "report", "отчёт", report }, { "settings", "настройки", what_may_be_set },
        { "undo", "вернуть", undo }, { "drop", "удалить", drop }, { "text", "текст", state } };
    size_t n = strcspn(j->text, " \t\n");
    const char *rest = j->text + n + strspn(j->text + n, " \t\n");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(j->text, n, words[i].en, words[i].ru)) {
            words[i].run(a, rest);
            return;
        }
    note(&a->events, AGT_ERROR, _("/teach takes add FILE, list, run NAME, stop, undo, report, settings or drop NAME; alone it shows the run"));
}

const job_row job_teach_add = { .name = "teach add", .lane = LANE_LONG, .end = END_DROPPED, .run = add };
const job_row job_teach = { .name = "teach", .lane = LANE_QUICK, .end = END_CARRIED, .run = teach };

/* ---- what is typed: what is asked at once is answered at once, what reads or writes files is a job ---- */
void teach_command(agt *a, const agt_command *c, char *args)
{
    size_t n = strcspn(args, " \t\n");
    const char *rest = args + n + strspn(args + n, " \t\n");
    if (!*args)
        note_ui(&a->events, c->action, args);
    else if (is_word(args, n, "stop", "стоп"))
        teacher_stop(a);
    else if (is_word(args, n, "run", "начать")) {
        size_t len = strcspn(rest, " \t\n=");
        bool named = len && rest[len] != '=';
        char *name = named ? q_strndup(rest, len) : q_strdup(TCH_OWN);
        if (teacher_run(a, name, named ? rest + len + strspn(rest + len, " \t\n") : rest))
            note(&a->events, AGT_INFO, _("%s is being taught beside the conversation: /teach shows how far it is, /teach stop ends it"), name);
        free(name);
    } else
        desk_post(&a->desk, is_word(args, n, "add", "добавить") ? &job_teach_add : &job_teach, 0, 0, args, NULL);
}
