/* agent/undo: /undo: the files that the last answer with changes made become what they were, the newest change first; one that somebody has
 * changed since stays, and so do older changes of it, and that is said. Engine's lane: no answer runs meanwhile. */
#include "agent/errands.h"
#include "agent/tooling.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* The last answer of the branch that changed something which can be taken back; false: there is none. *over: one had, whose contents are gone. */
static bool last_changed(agt *a, mem_calls *out, bool *over)
{
    char err[Q_ERRLEN];
    *over = false;
    for (int i = a->chat.path.n - 1; i >= 0; i--) {
        if (a->chat.path.v[i].role != MEM_ASSISTANT || mem_call_list(a->store, a->chat.path.v[i].id, out, err) < 0)
            continue;
        bool any = false;
        for (int k = 0; k < out->n; k++) {
            any |= *out->v[k].path && out->v[k].kept && !out->v[k].undone;
            *over |= *out->v[k].path && !out->v[k].kept && !out->v[k].undone;
        }
        if (any)
            return true;
        mem_calls_free(out);
    }
    return false;
}

static int one(agt *a, const mem_call *c, char *err)
{
    q_buf was = { 0 };
    int rc = c->there ? mem_call_was(a->store, c->id, &was, err) : Q_OK;
    tool_undo u = { c->path, c->there ? was.p : NULL, was.len, (unsigned)c->mode, c->became };
    if (rc == Q_OK)
        rc = tool_undo_do(&u, err);
    if (rc == Q_OK && mem_call_undone(a->store, c->id, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    q_buf_free(&was);
    return rc;
}

static bool among(const strings *s, const char *path)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i], path) == 0)
            return true;
    return false;
}

static void undo(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_calls l = { 0 };
    bool over;
    if (!last_changed(a, &l, &over)) {
        char text[Q_ERRLEN];
        snprintf(text, sizeof text, _("what files held is kept for %d days and %d MiB, and this is older or was more: it cannot be taken back here"), MEM_UNDO_DAYS, MEM_UNDO_BYTES >> 20);
        note(&a->events, over ? AGT_ERROR : AGT_INFO, "%s", over ? text : _("no answer of this conversation changed a file that could be taken back"));
        return;
    }
    q_buf b = { 0 };
    strings stays = { 0 };
    cJSON *all = cJSON_CreateArray();
    int back = 0;
    for (int i = l.n - 1; i >= 0; i--) {
        mem_call *c = &l.v[i];
        if (!*c->path || !c->kept || c->undone)
            continue;
        bool older = among(&stays, c->path);
        int rc = older ? Q_RANGE : one(a, c, err);
        if (rc == Q_OK) {
            back++;
            q_buf_say(&b, c->there ? _("%s is as it was before\n") : _("%s is gone: it was new\n"), c->path);
            c->undone = true;
            tooling_tell(a, c);
        } else if (!older) {
            strings_add(&stays, q_strdup(c->path));
            q_buf_say(&b, "%s\n", err);
        }
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "path", c->path);
        cJSON_AddBoolToObject(o, "undone", rc == Q_OK);
        cJSON_AddStringToObject(o, "why", rc == Q_OK || older ? "" : err);
        cJSON_AddItemToArray(all, o);
    }
    if (stays.n)
        note(&a->events, AGT_ERROR, ngettext("%d file stays as it is: it was changed since", "%d files stay as they are: they were changed since", (unsigned long)stays.n), stays.n);
    note_page(&a->events, "/undo", q_buf_take(&b), cJSON_PrintUnformatted(all));
    cJSON_Delete(all);
    strings_free(&stays);
    mem_calls_free(&l);
}

const job_row job_undo = { .name = "undo", .lane = LANE_ENGINE, .end = END_DROPPED, .run = undo };
