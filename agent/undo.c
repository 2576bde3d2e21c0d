/* agent/undo: /undo: the files that the last answer with changes made become what they were, the newest change first; one that somebody has
 * changed since stays, and so do older changes of it, and that is said, and so is which commands ran: what they did is not known. Engine's lane: no answer runs meanwhile. */
#include "agent/errands.h"
#include "agent/tooling.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* The last answer of the branch before *from that changed something which can be taken back, *from then its place; false: there is none. *over:
 * one had, whose contents are gone. */
static bool last_changed(agt *a, int *from, mem_calls *out, bool *over)
{
    char err[Q_ERRLEN];
    for (int i = *from - 1; i >= 0; i--) {
        if (a->chat.path.v[i].role != MEM_ASSISTANT || mem_call_list(a->store, a->chat.path.v[i].id, out, err) < 0)
            continue;
        bool any = false;
        for (int k = 0; k < out->n; k++) {
            any |= *out->v[k].path && out->v[k].kept && !out->v[k].undone;
            *over |= *out->v[k].path && !out->v[k].kept && !out->v[k].undone;
        }
        if (any) {
            *from = i;
            return true;
        }
        mem_calls_free(out);
    }
    return false;
}

/* Commands that ran in answers from place `from` on: what they changed is nobody's to take back. Returns how many; the first few into b. */
static int commands(agt *a, int from, q_buf *b, cJSON *list)
{
    enum { SHOWN = 5 };
    char err[Q_ERRLEN];
    int n = 0;
    for (int i = from; i < a->chat.path.n; i++) {
        mem_calls l = { 0 };
        if (a->chat.path.v[i].role != MEM_ASSISTANT || mem_call_list(a->store, a->chat.path.v[i].id, &l, err) < 0)
            continue;
        for (int k = 0; k < l.n; k++) {
            const tool_row *row = tool_find(l.v[k].name);
            if (!row || row->class != TOOL_RUN || l.v[k].state == MEM_CALL_DENIED || strcmp(l.v[k].policy, "malformed") == 0 || strcmp(l.v[k].policy, "not asked") == 0)
                continue;
            char *title = tool_title(l.v[k].name, l.v[k].arguments);
            if (n++ < SHOWN)
                q_buf_say(b, "  %s\n", title);
            cJSON_AddItemToArray(list, cJSON_CreateString(title));
            free(title);
        }
        mem_calls_free(&l);
    }
    return n;
}

static int one(agt *a, const mem_call *c, char *err)
{
    q_buf was = { 0 };
    int rc = c->there ? mem_call_was(a->store, c->id, &was, err) : Q_OK;
    tool_undo u = { c->path, c->there ? was.p : NULL, was.len, (unsigned)c->mode, c->became, c->made };
    if (rc == Q_OK)
        rc = tool_undo_do(&u, err);
    if (rc == Q_OK && mem_call_undone(a->store, c->id, err) < 0)
        note(&a->events, AGT_WARN, "%s", err);
    q_buf_free(&was);
    return rc;
}

typedef struct taking { q_buf b; strings stays; cJSON *all; int back; } taking;

/* The files of one answer, the newest change first. */
static void take_back(agt *a, mem_calls *l, taking *t)
{
    char err[Q_ERRLEN];
    for (int i = l->n - 1; i >= 0; i--) {
        mem_call *c = &l->v[i];
        if (!*c->path || !c->kept || c->undone)
            continue;
        bool older = strings_at(&t->stays, c->path) >= 0;
        int rc = older ? Q_RANGE : one(a, c, err);
        if (rc == Q_OK) {
            t->back++;
            q_buf_say(&t->b, c->there ? _("%s is as it was before\n") : _("%s is gone: it was new\n"), c->path);
            c->undone = true;
            tooling_tell(a, c);
        } else if (!older) {
            strings_add(&t->stays, q_strdup(c->path));
            q_buf_say(&t->b, "%s\n", err);
        }
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "path", c->path);
        cJSON_AddBoolToObject(o, "undone", rc == Q_OK);
        cJSON_AddStringToObject(o, "why", rc == Q_OK || older ? "" : err);
        cJSON_AddItemToArray(t->all, o);
    }
}

static void nothing_to_undo(agt *a, bool over)
{
    char text[Q_ERRLEN];
    snprintf(text, sizeof text, _("what files held is kept for %d days and %d MiB, and this is older or was more: it cannot be taken back here"), MEM_UNDO_DAYS, MEM_UNDO_BYTES >> 20);
    note(&a->events, over ? AGT_ERROR : AGT_INFO, "%s", over ? text : _("no answer of this conversation changed a file that could be taken back"));
}

/* Answer by answer from the last one on, until something went back: one whose files were all changed since keeps nobody from an older one. */
static void undo(agt *a, const job *j)
{
    mem_calls l = { 0 };
    bool over = false;
    int from = a->chat.path.n, answers = 0;
    taking t = { .all = cJSON_CreateArray() };
    while (!t.back && last_changed(a, &from, &l, &over)) {
        answers++;
        take_back(a, &l, &t);
        mem_calls_free(&l);
    }
    q_buf ran = { 0 };
    cJSON *data = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(data, "commands");
    int n = commands(a, answers ? from : 0, &ran, list);
    if (!answers)
        nothing_to_undo(a, over);
    if (t.stays.n)
        note(&a->events, AGT_ERROR, ngettext("%d file stays as it is: it was changed since", "%d files stay as they are: they were changed since", (unsigned long)t.stays.n), t.stays.n);
    if (t.back && answers > 1)
        q_buf_puts(&t.b, _("The files of later answers were changed since: what went back is an older answer's.\n"));
    if (n)
        q_buf_say(&t.b, ngettext("%d command ran too; what it changed is not taken back:\n%s", "%d commands ran too; what they changed is not taken back:\n%s", (unsigned long)n), n, ran.p);
    cJSON_AddItemToObject(data, "files", t.all);
    if (answers || n)
        note_page(&a->events, "/undo", q_buf_take(&t.b), cJSON_PrintUnformatted(data));
    cJSON_Delete(data);
    q_buf_free(&ran);
    q_buf_free(&t.b);
    strings_free(&t.stays);
}

const job_row job_undo = { .name = "undo", .lane = LANE_ENGINE, .end = END_DROPPED, .run = undo };
