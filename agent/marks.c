/* agent/marks: /good, /bad, /better, /train: what a person thinks of answers, and whether a conversation may leave as examples for training. Engine's
 * lane: an answer is named by its place on the present branch. */
#include "agent/errands.h"
#include "agent/past.h"
#include "agent/room.h"
#include "base/say.h"

#include <stdlib.h>
#include <string.h>

/* "[@ANSWER] [off]": which answer of the branch, *off; -1 with err. */
static int which(agt *a, const char *text, bool *off, int *number, char *err)
{
    static const char *const offs[] = { "off", "снять" };
    const mem_messages *path = &a->chat.path;
    int rc = Q_OK, nth = 0, of = 0, at = -1;
    *number = -1;
    *off = false;
    if (*text == '@')
        rc = answer_named(&text, number, err);
    text += strspn(text, " ");
    for (size_t i = 0; i < sizeof offs / sizeof *offs; i++)
        if (strcmp(text, offs[i]) == 0) {
            *off = true;
            text = "";
        }
    for (int i = 0; i < path->n; i++)
        of += path->v[i].role == MEM_ASSISTANT;
    if (*number < 0)
        *number += of + 1;
    for (int i = 0; i < path->n && rc == Q_OK; i++)
        if (path->v[i].role == MEM_ASSISTANT && ++nth == *number)
            at = i;
    if (rc == Q_OK && of == 0)
        rc = q_fail(err, Q_RANGE, _("there is no answer here yet: ask something first"));
    else if (rc == Q_OK && (at < 0 || *text))
        rc = q_fail(err, Q_RANGE, _("@N names an answer of this conversation: from 1, or from its end with a minus"));
    return rc == Q_OK ? at : -1;
}

static void mark(agt *a, const job *j, int as)
{
    char err[Q_ERRLEN];
    bool off;
    int number, at = which(a, j->text ? j->text : "", &off, &number, err);
    if (at < 0 || mem_answer_mark(a->store, a->chat.path.v[at].id, off ? 0 : as, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    note(&a->events, AGT_INFO, off ? _("answer %d has no mark any more") : as > 0 ? _("answer %d is marked as good") : _("answer %d is marked as bad"), number);
}

static void good(agt *a, const job *j) { mark(a, j, 1); }
static void bad(agt *a, const job *j) { mark(a, j, -1); }

/* "[@ANSWER] TEXT": the text becomes a sibling of the answer, marked as good, and the branch goes on from it. */
static void better(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const char *text = j->text ? j->text : "";
    size_t name = *text == '@' ? strcspn(text, " \t\n") : 0;
    char *which_one = q_strndup(text, name);
    bool off;
    int number, at = which(a, which_one, &off, &number, err), had = 0;
    int64_t id = 0;
    const mem_message *m = at < 0 ? NULL : &a->chat.path.v[at];
    text += name + strspn(text + name, " \t\n");
    int rc = !m ? Q_RANGE : !*text ? q_fail(err, Q_RANGE, _("/better takes the text that the answer should have been"))
           : strcmp(text, m->text) == 0 ? q_fail(err, Q_RANGE, _("that is what answer %d says: /good marks it"), number) : Q_OK;
    if (rc == Q_OK)
        rc = mem_answer_marked(a->store, m->id, &had, err);
    if (rc == Q_OK)
        rc = mem_message_add(a->store, a->chat.id, m->parent, MEM_ASSISTANT, text, strlen(text), &id, err);
    if (rc == Q_OK)
        rc = mem_answer_mark(a->store, id, 1, err);
    if (rc == Q_OK && had > 0)
        rc = mem_answer_mark(a->store, m->id, 0, err);       /* one of two is the better one */
    if (id)
        chat_open(a, a->chat.id);
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, had > 0 ? _("your text stands beside answer %d as the good one, which that one is not any more; the conversation goes on from it")
                                           : _("your text stands beside answer %d as the good one; the conversation goes on from it"), number);
    free(which_one);
}

/* Is it among those that were released, and how many there are. */
static int released(agt *a, int64_t chat, bool *is, int *n, char *err)
{
    int64_t *id;
    int rc = mem_conversations_released(a->store, false, &id, n, err);
    *is = false;
    for (int i = 0; i < *n; i++)
        *is |= id[i] == chat;
    free(id);
    return rc;
}

static void train(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    const char *text = j->text ? j->text : "";
    bool on = strcmp(text, "on") == 0 || strcmp(text, "да") == 0, off = strcmp(text, "off") == 0 || strcmp(text, "нет") == 0, is = false;
    int rc = Q_OK, n = 0;
    if (*text && !on && !off)
        rc = q_fail(err, Q_RANGE, _("/train takes on or off; alone it says what holds"));
    else if (*text && !a->chat.id)
        rc = q_fail(err, Q_RANGE, _("this conversation is empty: ask something first"));
    else if (*text)
        rc = mem_conversation_release(a->store, a->chat.id, on, err);
    if (rc == Q_OK)
        rc = released(a, a->chat.id, &is, &n, err);
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, is ? _("this conversation may leave as examples for training (%d in all): /teach run chats learns from its marked answers, quorum export --train writes them")
                                      : _("this conversation does not leave as examples for training (%d others may); /train on releases it"), n);
}

const job_row job_good = { .name = "good", .lane = LANE_ENGINE, .end = END_CARRIED, .run = good };
const job_row job_bad = { .name = "bad", .lane = LANE_ENGINE, .end = END_CARRIED, .run = bad };
const job_row job_better = { .name = "better", .lane = LANE_ENGINE, .end = END_CARRIED, .run = better };
const job_row job_train = { .name = "train", .lane = LANE_ENGINE, .end = END_CARRIED, .run = train };
