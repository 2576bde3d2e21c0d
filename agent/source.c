/* agent/source: a passage shown where it stands: in its document with what is before and behind it, in its conversation with the
 * turns around it. From memory, not from the file, which may be another by now. Quick lane. */
#include "base/say.h"
#include "agent/errands.h"

#include <string.h>

enum { AROUND = 40, TURNS = 6 };

static const char *own_heading(const char *h)
{
    const char *p = h, *next;
    while ((next = strstr(p, " › ")))
        p = next + strlen(" › ");
    return p;
}

static int of_document(agt *a, int64_t chunk, agt_event *e, q_buf *b, char *err)
{
    mem_passages m = { 0 };
    int rc = mem_passages_around(a->store, chunk, AROUND, AROUND, &m, err);
    const char *heading = "";
    if (rc == Q_OK && m.v[0].ordinal > 0)
        q_buf_puts(b, "…\n\n");
    for (int i = 0; i < m.n && rc == Q_OK; i++) {
        const mem_passage *p = &m.v[i];
        if (strcmp(p->heading, heading) != 0 && *p->heading)
            q_buf_say(b, "§ %s\n\n", own_heading(p->heading));
        heading = p->heading;
        if (p->id == chunk) {
            e->done = (int64_t)b->len;
            e->name = q_strdup(p->title);
        }
        q_buf_puts(b, p->text);
        if (p->id == chunk)
            e->total = (int64_t)b->len;
        q_buf_puts(b, "\n\n");
    }
    mem_passages_free(&m);
    return rc;
}

static void turn(const mem_message *m, q_buf *b)
{
    q_buf_say(b, "%s\n", m->role == MEM_USER ? _("you") : *m->model ? m->model : _("model"));
    q_buf_puts(b, m->text);
}

/* The branch that goes through it, a few turns to either side. */
static int of_chat(agt *a, int64_t message, agt_event *e, q_buf *b, char *err)
{
    mem_message m = { 0 };
    mem_conversation c = { 0 };
    mem_messages path = { 0 };
    int64_t leaf = 0;
    int rc = mem_message_get(a->store, message, &m, err), at = 0;
    if (rc == Q_OK)
        rc = mem_leaf_below(a->store, message, &leaf, err);
    if (rc == Q_OK)
        rc = mem_branch(a->store, m.conversation, leaf, &path, err);
    if (rc == Q_OK)
        rc = mem_conversation_get(a->store, m.conversation, &c, err);
    while (rc == Q_OK && at < path.n && path.v[at].id != message)
        at++;
    if (rc == Q_OK && at < path.n) {
        e->name = q_strdup(*c.title ? c.title : _("untitled"));
        for (int i = at > TURNS ? at - TURNS : 0; i < path.n && i <= at + TURNS; i++) {
            if (i == at)
                e->done = (int64_t)b->len;
            turn(&path.v[i], b);
            if (i == at)
                e->total = (int64_t)b->len;
            q_buf_puts(b, "\n\n");
        }
    }
    if (rc == Q_OK && at == path.n)
        rc = q_fail(err, Q_NOTFOUND, _("this passage is no longer in memory"));
    mem_message_free(&m);
    mem_conversation_free(&c);
    mem_messages_free(&path);
    return rc;
}

static void show(agt *a, enum mem_kind kind, int64_t chunk)
{
    char err[Q_ERRLEN];
    agt_event e = { .kind = AGT_EV_SOURCE, .id = chunk };
    q_buf b = { 0 };
    if ((kind == MEM_CHAT ? of_chat : of_document)(a, chunk, &e, &b, err) < 0) {
        q_buf_free(&b);
        agt_event_free(&e);
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    e.text = q_buf_take(&b);
    if (!e.name)
        e.name = q_strdup("");
    evq_push(&a->events, &e);
}

static void numbered(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    mem_pin p;
    int64_t source;
    if (wishes_numbered(a, j->id, (int)j->number, &p, &source, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        show(a, p.kind, p.ref);
}

static void passage(agt *a, const job *j) { show(a, j->number ? MEM_CHAT : MEM_CHUNK, j->id); }

const job_row job_source = { .name = "source", .lane = LANE_QUICK, .end = END_DROPPED, .run = numbered };
static const job_row job_passage = { .name = "passage", .lane = LANE_QUICK, .end = END_DROPPED, .run = passage };

void agt_ask_source(agt *a, enum agt_of of, int64_t chunk) { desk_post(&a->desk, &job_passage, chunk, of == AGT_OF_CHAT, NULL, NULL); }
