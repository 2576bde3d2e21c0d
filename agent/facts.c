/* agent/facts: /remember: a statement is kept as a fact; "?" proposes those of this conversation, numbers take them. Quick lane; what was
 * proposed last is its own. No model is asked. */
#include "agent/errands.h"
#include "base/say.h"
#include "rag/rag.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void day_of(int64_t ms, char out[16])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (!ms || !localtime_r(&t, &tm) || !strftime(out, 16, "%Y-%m-%d", &tm))
        strcpy(out, "?");
}

/* What it superseded, or what supersedes it, is said; both stay. */
static void say_kept(agt *a, int64_t id)
{
    char err[Q_ERRLEN];
    mem_facts l = { 0 };
    const mem_fact *own = NULL, *other = NULL;
    if (mem_fact_list(a->store, &l, err) < 0)
        return;
    for (int i = 0; i < l.n; i++)
        own = l.v[i].id == id ? &l.v[i] : own;
    for (int i = 0; own && i < l.n; i++)
        other = l.v[i].by == id || (!other && own->by == l.v[i].id) ? &l.v[i] : other;
    if (own && other && other->by == id)
        note(&a->events, AGT_INFO, _("remembered as fact %lld; “%s” (fact %lld) held until now and is kept, not fed"), (long long)id, other->text, (long long)other->id);
    else if (own && other)
        note(&a->events, AGT_INFO, _("remembered as fact %lld, of a time before “%s” (fact %lld), which holds"), (long long)id, other->text, (long long)other->id);
    else
        note(&a->events, AGT_INFO, _("remembered as fact %lld; /forget fact %lld takes it out again"), (long long)id, (long long)id);
    mem_facts_free(&l);
}

/* "2024-05-01: TEXT" holds from that day on. */
static int64_t since(const char **text)
{
    int y, m, d, n = 0;
    if (sscanf(*text, "%4d-%2d-%2d: %n", &y, &m, &d, &n) != 3 || n == 0 || y < 1900 || m < 1 || m > 12 || d < 1 || d > 31 || !(*text)[n])
        return 0;
    struct tm tm = { .tm_year = y - 1900, .tm_mon = m - 1, .tm_mday = d, .tm_isdst = -1 };
    struct tm noon = tm;
    noon.tm_hour = 12;
    if (mktime(&noon) == (time_t)-1 || noon.tm_mday != d)
        return 0;                       /* 30 February is no day: it stays text */
    time_t t = mktime(&tm);
    *text += t == (time_t)-1 ? 0 : n;
    return t == (time_t)-1 ? 0 : (int64_t)t * 1000;
}

static void keep(agt *a, const char *text, int64_t message, int64_t said_ms)
{
    enum { MOST = 2000 };
    char err[Q_ERRLEN];
    int64_t id, from = since(&text);
    char *subject = rag_fact_subject(text);
    mem_fact f = { .text = (char *)(uintptr_t)text, .subject = subject, .since_ms = from ? from : said_ms, .message = message };
    int rc = strlen(text) > MOST ? q_fail(err, Q_RANGE, _("that is too long for a fact (%d bytes at most): /add takes a file of it"), MOST) : mem_fact_put(a->store, &f, &id, err);
    if (rc == Q_OK)
        rc = rag_facts(a->store, err);
    if (rc == Q_OK)
        say_kept(a, id);
    else
        note(&a->events, AGT_ERROR, "%s", err);
    free(subject);
}

/* ---- what was said ---- */
enum { PROPOSED_MOST = 20 };
typedef struct proposing { facts_proposed *p; const mem_facts *have; int64_t message, said_ms; } proposing;

static bool propose(void *user, const char *statement)
{
    proposing *x = user;
    bool had = false;
    for (int i = 0; i < x->have->n; i++)
        had |= strcmp(x->have->v[i].text, statement) == 0;
    for (int i = 0; i < x->p->n; i++)
        had |= strcmp(x->p->text[i], statement) == 0;
    if (!had) {
        x->p->text[x->p->n] = q_strdup(statement);
        x->p->message[x->p->n] = x->message;
        x->p->said_ms[x->p->n++] = x->said_ms;
    }
    return x->p->n < PROPOSED_MOST;
}

void facts_forget(facts_proposed *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->text[i]);
    p->n = 0;
}

static void proposals(agt *a)
{
    char err[Q_ERRLEN];
    mem_messages m = { 0 };
    mem_facts have = { 0 };
    proposing x = { .p = &a->quick.proposed, .have = &have };
    pthread_mutex_lock(&a->shown.mu);
    int64_t chat = a->shown.st.chat;
    pthread_mutex_unlock(&a->shown.mu);
    facts_forget(&a->quick.proposed);
    int rc = mem_fact_list(a->store, &have, err);
    if (rc == Q_OK && chat)
        rc = mem_branch(a->store, chat, 0, &m, err);
    for (int i = 0; i < m.n && rc == Q_OK && a->quick.proposed.n < PROPOSED_MOST; i++) {
        if (m.v[i].role != MEM_USER)
            continue;
        x.message = m.v[i].id;
        x.said_ms = m.v[i].created_ms;
        rag_statements(m.v[i].text, strlen(m.v[i].text), propose, &x);
    }
    q_buf b = { 0 };
    cJSON *json = cJSON_CreateArray();
    for (int i = 0; i < a->quick.proposed.n; i++) {
        q_buf_say(&b, "%4d  %s\n", i + 1, a->quick.proposed.text[i]);
        cJSON *e = cJSON_CreateObject();
        cJSON_AddNumberToObject(e, "number", i + 1);
        cJSON_AddStringToObject(e, "text", a->quick.proposed.text[i]);
        cJSON_AddNumberToObject(e, "message", (double)a->quick.proposed.message[i]);
        cJSON_AddItemToArray(json, e);
    }
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else if (a->quick.proposed.n == 0)
        note(&a->events, AGT_INFO, _("nothing that was said here looks like a fact that is not remembered yet; /remember TEXT keeps one in your words"));
    else {
        q_buf_puts(&b, _("\n/remember 1 3 keeps those, /remember all keeps them all; what is not taken is not kept.\n"));
        note_page(&a->events, "/remember", q_buf_take(&b), cJSON_PrintUnformatted(json));
    }
    cJSON_Delete(json);
    q_buf_free(&b);
    mem_facts_free(&have);
    mem_messages_free(&m);
}

/* Numbers of what was proposed, and nothing else. */
static bool numbers(const char *text) { return *text && strspn(text, "0123456789 ,") == strlen(text); }

static void accept(agt *a, const char *text)
{
    bool all = strcmp(text, "all") == 0 || strcmp(text, "все") == 0, want[PROPOSED_MOST] = { false };
    facts_proposed *p = &a->quick.proposed;
    for (const char *s = text; !all && *s;) {
        char *end;
        long n = strtol(s, &end, 10);
        if (end == s)
            end++;
        else if (n < 1 || n > p->n) {
            note(&a->events, AGT_ERROR, _("there is no proposal %ld: /remember? shows them"), n);
            return;
        } else
            want[n - 1] = true;
        s = end;
    }
    if (p->n == 0)
        note(&a->events, AGT_ERROR, _("nothing was proposed: /remember? shows what of this conversation could be kept"));
    for (int i = 0; i < p->n; i++)
        if (all || want[i])
            keep(a, p->text[i], p->message[i], p->said_ms[i]);
    facts_forget(p);
}

/* ---- what is remembered ---- */
static void list(agt *a)
{
    char err[Q_ERRLEN], from[16], until[16];
    mem_facts l = { 0 };
    q_buf b = { 0 };
    cJSON *json = cJSON_CreateArray();
    int rc = mem_fact_list(a->store, &l, err);
    for (int i = 0; i < l.n; i++) {
        const mem_fact *f = &l.v[i];
        day_of(f->since_ms, from);
        day_of(f->until_ms, until);
        if (f->until_ms)
            q_buf_say(&b, _("%4lld  %s  %s (until %s; fact %lld holds)\n"), (long long)f->id, from, f->text, until, (long long)f->by);
        else
            q_buf_say(&b, "%4lld  %s  %s\n", (long long)f->id, from, f->text);
        cJSON *e = cJSON_CreateObject();
        cJSON_AddNumberToObject(e, "id", (double)f->id);
        cJSON_AddStringToObject(e, "text", f->text);
        cJSON_AddNumberToObject(e, "since", (double)f->since_ms);
        cJSON_AddNumberToObject(e, "until", (double)f->until_ms);
        cJSON_AddNumberToObject(e, "by", (double)f->by);
        cJSON_AddNumberToObject(e, "message", (double)f->message);
        cJSON_AddItemToArray(json, e);
    }
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else if (l.n == 0)
        note(&a->events, AGT_INFO, _("nothing is remembered yet: /remember TEXT keeps a fact, /remember? proposes what was said here"));
    else {
        q_buf_puts(&b, _("\nnumber, since when, what. /forget fact NUMBER takes one out; the one before it holds again.\n"));
        note_page(&a->events, "/remember", q_buf_take(&b), cJSON_PrintUnformatted(json));
    }
    cJSON_Delete(json);
    q_buf_free(&b);
    mem_facts_free(&l);
}

static void remember(agt *a, const job *j)
{
    const char *text = j->text ? j->text : "";
    if (!*text)
        list(a);
    else if (strcmp(text, "?") == 0)
        proposals(a);
    else if (numbers(text) || strcmp(text, "all") == 0 || strcmp(text, "все") == 0)
        accept(a, text);
    else
        keep(a, text, 0, 0);
}

const job_row job_remember = { .name = "remember", .lane = LANE_QUICK, .end = END_CARRIED, .run = remember };
