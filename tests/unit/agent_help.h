/* tests: a front end for the agent's tests. Opens a room on the small golden model and follows its events.
 * Every wait ends after a while with a failed check, so that no test hangs. */
#ifndef AGENT_HELP_H
#define AGENT_HELP_H
#include "agent/agent.h"
#include "tests/test.h"

#include <glob.h>
#include <poll.h>
#include <unistd.h>

/* A checked-in golden model as tests/run.sh unpacked it; NULL where that has not run. Valid until the next call. */
static const char *help_golden(const char *arch)
{
    static char path[256];
    const char *build = getenv("BUILD");
    snprintf(path, sizeof path, "%s/golden/%s/model.gguf", build ? build : "build", arch);
    return access(path, R_OK) == 0 ? path : NULL;
}

__attribute__((unused)) static const char *help_model(void) { return help_golden("qwen3moe"); }

/* A database and what stands beside it: SQLite's journal, which stays as a file once it was emptied, and the day's backups. */
__attribute__((unused)) static void unlink_db(const char *db)
{
    static const char *const beside[] = { "", "-journal", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *path = q_printf("%s%s", db, beside[i]);
        unlink(path);
        free(path);
    }
    char *copies = q_printf("%s.backup-*", db);
    glob_t g;
    if (glob(copies, 0, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++)
            unlink(g.gl_pathv[i]);
        globfree(&g);
    }
    free(copies);
}

typedef struct seen {                    /* what the events said since the last clear */
    int n, kind[4096];
    q_buf text, notes;
    agt_message *last; int64_t question;
    int tokens, differs_token, knob_number, errors;
    char knob[256], does[256];          /* of the last KNOB */
    int64_t ids[64]; int n_ids;          /* of the last OPENED */
    int64_t chat, meant;                 /* of the last OPENED, and the message it is about */
    char *page, *data, *ui;              /* data: of the page, as JSON */
    int passages;
    char *label;                         /* of the last LABEL */
    char *nothing, *fed, *why;           /* of the last RETRIEVAL; fed, why: the first one's text, and why it is fed */
    int64_t ask; char *asked;            /* of the last ASK */
    lab_columns *columns;                /* of the last COLUMNS */
    int64_t progress_done, progress_total;   /* the largest */
    bool progress_ended;
    struct { int64_t ticket; char *title, *shown, *why, *rule; bool question; int n; } approve;     /* the last APPROVE; how many */
    struct { char *title, *result, *policy; int n, ran; enum agt_call_state state; } call;         /* the last CALL that ended; how many ended, how many ran */
    char *plan;                          /* the last PLAN */
    struct { int n, messages, before, after; char how[16], *text, *fixed; } compacted;      /* the last COMPACTED; how many */
    int marked;                          /* MARKED */
    struct { q_buf text; int bytes, n; } writing;        /* WRITING: all of it, the last one's bytes, how many */
    struct { int number, of; long from, to; } look;      /* the last LOOK; its page in page */
} seen;

static void seen_compacted(seen *s, const agt_event *e)
{
    free(s->compacted.text);
    free(s->compacted.fixed);
    s->compacted.text = e ? q_strdup(e->text) : NULL;
    s->compacted.fixed = e ? q_strdup(e->note) : NULL;
    if (!e)
        return;
    snprintf(s->compacted.how, sizeof s->compacted.how, "%s", e->name);
    s->compacted.n++;
    s->compacted.messages = e->number;
    s->compacted.before = (int)e->done;
    s->compacted.after = (int)e->total;
}

static void seen_columns(seen *s, lab_columns *c)
{
    if (s->columns)
        lab_columns_free(s->columns);
    free(s->columns);
    s->columns = c;
}

/* What an event says of a call; NULL: nothing any more. */
static void seen_call(seen *s, const agt_event *e)
{
    const agt_call *c = e && e->n_messages ? e->message->call : NULL;
    if (!c || e->kind == AGT_EV_APPROVE) {
        free(s->approve.title);
        free(s->approve.shown);
        free(s->approve.why);
        free(s->approve.rule);
        s->approve.title = s->approve.shown = s->approve.why = s->approve.rule = NULL;
    }
    if (c && e->kind == AGT_EV_APPROVE) {
        s->approve.ticket = e->id;
        s->approve.title = q_strdup(c->title);
        s->approve.shown = q_strdup(c->shown);
        s->approve.why = q_strdup(c->policy ? c->policy : "");
        s->approve.rule = c->rule ? q_strdup(c->rule) : NULL;
        s->approve.question = c->question;
        s->approve.n++;
    }
    if (c && c->state == AGT_CALL_RUNS)
        s->call.ran++;
    if (!c || (e->kind == AGT_EV_CALL && c->state != AGT_CALL_RUNS)) {
        free(s->call.title);
        free(s->call.result);
        free(s->call.policy);
        s->call.title = c ? q_strdup(c->title) : NULL;
        s->call.result = c ? q_strdup(c->result) : NULL;
        s->call.policy = c ? q_strdup(c->policy) : NULL;
        s->call.state = c ? c->state : AGT_CALL_DONE;
        s->call.n += c != NULL;
    }
}

__attribute__((unused)) static void seen_clear(seen *s)
{
    seen_columns(s, NULL);
    q_buf_free(&s->text);
    q_buf_free(&s->notes);
    if (s->last) {
        agt_message_free(s->last);
        free(s->last);
    }
    free(s->page);
    seen_call(s, NULL);
    seen_compacted(s, NULL);
    q_buf_free(&s->writing.text);
    free(s->plan);
    free(s->data);
    free(s->ui);
    free(s->asked);
    free(s->nothing);
    free(s->fed);
    free(s->why);
    free(s->label);
    memset(s, 0, sizeof *s);
}

static void seen_take(seen *s, agt_event *e)
{
    if (s->n < 4096)
        s->kind[s->n++] = (int)e->kind;
    switch (e->kind) {
    case AGT_EV_SENT: s->question = e->message->id; break;
    case AGT_EV_TOKEN:
        if (!e->thinking)
            q_buf_puts(&s->text, e->text);
        if (e->number > s->tokens)
            s->tokens = e->number;
        if (e->differs)
            s->differs_token = e->number;
        break;
    case AGT_EV_KNOB:
        snprintf(s->knob, sizeof s->knob, "%s=%s", e->name, e->text);
        snprintf(s->does, sizeof s->does, "%s", e->note ? e->note : "");
        s->knob_number = e->number;
        break;
    case AGT_EV_DONE:
        if (s->last) {
            agt_message_free(s->last);
            free(s->last);
        }
        s->last = e->message;
        e->message = NULL;
        e->n_messages = 0;
        break;
    case AGT_EV_NOTE:
        s->errors += e->level == AGT_ERROR;
        q_buf_puts(&s->notes, e->text);
        q_buf_putc(&s->notes, '\n');
        break;
    case AGT_EV_OPENED:
        s->chat = e->id;
        s->meant = e->done;
        s->n_ids = 0;
        for (int i = 0; i < e->n_messages && i < 64; i++)
            s->ids[s->n_ids++] = e->message[i].id;
        break;
    case AGT_EV_TEXT:
        free(s->page);
        free(s->data);
        s->page = q_strdup(e->text);
        s->data = e->data ? q_strdup(e->data) : NULL;
        break;
    case AGT_EV_COLUMNS:
        seen_columns(s, e->columns);
        e->columns = NULL;
        break;
    case AGT_EV_APPROVE: case AGT_EV_CALL: seen_call(s, e); break;
    case AGT_EV_COMPACTED: seen_compacted(s, e); break;
    case AGT_EV_WRITING:
        q_buf_puts(&s->writing.text, e->text);
        s->writing.bytes = (int)e->done;
        s->writing.n++;
        break;
    case AGT_EV_MARKED: s->marked++; break;
    case AGT_EV_PLAN: free(s->plan); s->plan = q_strdup(e->text); break;
    case AGT_EV_UI: free(s->ui); s->ui = q_printf("%lld %s", (long long)e->id, e->text); break;
    case AGT_EV_LABEL: free(s->label); s->label = q_strdup(e->text); break;
    case AGT_EV_LOOK:
        s->look.number = e->number;
        s->look.of = (int)e->total;
        s->look.from = (long)e->done;
        s->look.to = (long)e->scroll;
        free(s->page);
        s->page = q_strdup(e->text);
        break;
    case AGT_EV_ASK: s->ask = e->id; free(s->asked); s->asked = q_strdup(e->text); break;
    case AGT_EV_PROGRESS:
        s->progress_ended |= e->total == 0;
        s->progress_done = e->done > s->progress_done ? e->done : s->progress_done;
        s->progress_total = e->total > s->progress_total ? e->total : s->progress_total;
        break;
    case AGT_EV_RETRIEVAL:
        s->passages = e->retrieval->fed;
        free(s->fed);
        s->fed = e->retrieval->n ? q_strdup(e->retrieval->p[0].text) : NULL;
        free(s->why);
        s->why = e->retrieval->n ? q_strdup(e->retrieval->p[0].why) : NULL;
        free(s->nothing);
        s->nothing = q_strdup(e->retrieval->broken ? e->retrieval->broken : e->retrieval->nothing ? e->retrieval->nothing : "");
        break;
    default: break;
    }
    agt_event_free(e);
}

/* Until an event of this kind (tokens: until token number `number`); false after `ms`, but no sooner than a busy machine needs. */
static bool wait_for(agt *a, seen *s, enum agt_event_kind kind, int number, int ms)
{
    int64_t end = q_now_ns() + (int64_t)(ms < 60000 ? 60000 : ms) * 1000000;
    while (q_now_ns() < end) {
        agt_event e;
        while (agt_next(a, &e)) {
            bool hit = e.kind == kind && (number == 0 || e.number >= number);
            seen_take(s, &e);
            if (hit)
                return true;
        }
        struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
        poll(&p, 1, 50);
    }
    printf("# waited in vain for event %d; notes: %s\n", (int)kind, s->notes.p ? s->notes.p : "");
    return false;
}

/* Until a note holds these words. */
__attribute__((unused)) static bool said(agt *a, seen *s, const char *words)
{
    while (!s->notes.p || !strstr(s->notes.p, words))
        if (!wait_for(a, s, AGT_EV_NOTE, 0, 60000))
            return false;
    return true;
}

/* Until nothing at all runs or waits, and every event was read. */
__attribute__((unused)) static bool all_done(agt *a, seen *s)
{
    int64_t end = q_now_ns() + 120000000000;
    while (q_now_ns() < end) {
        agt_event e;
        bool idle = agt_idle(a);         /* before the events: a job pushes its last one while it runs */
        while (agt_next(a, &e))
            seen_take(s, &e);
        if (idle)
            return true;
        struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
        poll(&p, 1, 5);
    }
    printf("# something still runs; notes: %s\n", s->notes.p ? s->notes.p : "");
    return false;
}

__attribute__((unused)) static void settle(agt *a, seen *s) { CHECK(all_done(a, s)); }

__attribute__((unused)) static int first_of(const seen *s, int kind)
{
    for (int i = 0; i < s->n; i++)
        if (s->kind[i] == kind)
            return i;
    return -1;
}

/* Without a room nothing else can be tried: the test ends here, and fails. */
static agt *help_opened(agt *a, const char *why)
{
    if (a)
        return a;
    printf("not ok opening a room: %s\n", why);
    exit(1);
}

__attribute__((unused)) static agt *help_open_on(const char *model, const char *db, int n_set, const char *const *set, seen *s)
{
    char err[Q_ERRLEN];
    agt *a = NULL;
    agt_options o = { .model = model, .db = db, .set = set, .n_set = n_set };
    if (agt_open(&o, &a, err) < 0)
        a = NULL;
    return help_opened(a && wait_for(a, s, AGT_EV_READY, 0, 20000) ? a : NULL, a ? "its model did not come" : err);
}

__attribute__((unused)) static agt *help_open(const char *db, int n_set, const char *const *set, seen *s)
{
    return help_open_on(help_model(), db, n_set, set, s);
}
#endif
