/* agent/tooling: an answer that calls tools: call, policy, person, tool, and the request goes on behind what it brought. Every call is
 * stored with the answer. Engine thread. What a model, a file or a tool says never becomes a rule: rules are a person's alone. */
#include "agent/tooling.h"
#include "agent/errands.h"
#include "agent/view.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is told of a call ---- */
void tooling_tell(agt *a, const mem_call *c)
{
    agt_event e = { .kind = AGT_EV_CALL, .id = c->message, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->call = q_alloc(sizeof *e.message->call);
    e.message->n_call = 1;
    *e.message->call = view_call(c);
    evq_push(&a->events, &e);
}

/* ---- one call ---- */
typedef struct doing {
    turn *t;
    const called *call;
    tool_plan plan;
    tool_result result;
    char *policy;                        /* who let it be done, or not; owned */
    char *told;                          /* what the model reads where no tool ran; owned; NULL */
    enum mem_call_state state;
    bool looked, malformed, alone, stopped;
    int64_t ms;
} doing;

int tooling_place(agt *a, char *err)
{
    toolbox *b = &a->toolbox;
    pthread_mutex_lock(&b->mu);
    if (b->chat_of != a->chat.id)
        tool_rules_free(&b->chat);
    b->chat_of = a->chat.id;
    pthread_mutex_unlock(&b->mu);
    return b->place ? Q_OK : tool_place_open(b->folder, &b->place, err);
}

/* The rules as they are now, all in one; to be freed. */
static tool_rules rules(agt *a)
{
    toolbox *b = &a->toolbox;
    char err[Q_ERRLEN], *text[3] = { [1] = toolrules_kept(a) };
    tool_rules all = { 0 };
    pthread_mutex_lock(&b->mu);
    text[0] = tool_rules_text(&b->given);
    text[2] = tool_rules_text(&b->chat);
    pthread_mutex_unlock(&b->mu);
    for (int i = 0; i < 3; i++) {
        tool_rules_add(&all, text[i], err);      /* one that no version knows any more allows nothing */
        free(text[i]);
    }
    return all;
}

static enum tool_say judge(agt *a, const tool_plan *p, char **why)
{
    tool_rules now = rules(a);
    const tool_rules *set[] = { &now };
    enum tool_say say = tool_judge(p, set, 1, why);
    tool_rules_free(&now);
    return say;
}

/* A file that a command names and that a rule denies to the tools for files: rules do not reach into commands, so the person is told.
 * malloc'ed; NULL: none. By words of the command as it stands: no promise that it names no other. */
static char *denied_word(agt *a, const tool_plan *p)
{
    static const char *const tools[] = { "read_file", "edit_file", "list_files", "search_files" };
    const char *command = p->row->class == TOOL_RUN ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p->args, "command")) : NULL;
    tool_rules now = rules(a);
    char *said = NULL;
    for (const char *at = command; at && *at && !said;) {
        size_t skip = strspn(at, " \t\n;|&<>()'\"`$="), n = strcspn(at + skip, " \t\n;|&<>()'\"`$=");
        const char *from = at + skip;
        size_t dots = n > 2 && strncmp(from, "./", 2) == 0 ? 2 : 0;
        char *word = q_strndup(from + dots, n - dots);
        for (size_t i = 0; i < sizeof tools / sizeof *tools && *word && !said; i++)
            if (tool_denied(&now, tools[i], word))
                said = q_printf(_("it names %s, which a rule denies to %s: rules do not reach into commands"), word, tools[i]);
        free(word);
        at = from + n;
    }
    tool_rules_free(&now);
    return said;
}

static agt_call asked_about(const doing *d, const char *why_)
{
    const tool_plan *p = &d->plan;
    char *denied = denied_word(d->t->a, p), *why = denied ? q_printf("%s; %s", why_, denied) : q_strdup(why_);
    agt_call c = { .at = (int64_t)d->t->text.len, .name = q_strdup(p->row->name), .title = q_strdup(p->title), .arguments = q_strdup(d->call->arguments), .state = AGT_CALL_WAITS,
                   .shown = q_strdup(p->shown), .diff = p->diff, .policy = why, .risky = p->risk != 0, .rule = tool_rule_for(p),
                   .folder = q_strdup(tool_place_folder(d->t->a->toolbox.place)) };
    free(denied);
    return c;
}

/* What a person agreed to for longer than once. */
static void remember(agt *a, enum agt_consent how, const char *rule)
{
    char err[Q_ERRLEN];
    int rc = Q_OK;
    if (how == AGT_CHAT) {
        pthread_mutex_lock(&a->toolbox.mu);
        rc = tool_rules_add(&a->toolbox.chat, rule, err);
        pthread_mutex_unlock(&a->toolbox.mu);
    } else if (how == AGT_FOLDER)
        rc = toolrules_keep(a, rule, err);
    if (rc < 0)
        note(&a->events, AGT_WARN, "%s", err);
}

/* True: it may be done. */
static bool allowed(doing *d)
{
    static const char *const how_words[] = { [AGT_NO] = "denied", [AGT_ONCE] = "once", [AGT_CHAT] = "this conversation", [AGT_FOLDER] = "always here" };
    agt *a = d->t->a;
    char *why = NULL, *words = NULL, *rule = tool_rule_for(&d->plan);
    enum agt_consent how = AGT_NO;
    enum tool_say say = judge(a, &d->plan, &why);
    d->state = MEM_CALL_DENIED;
    if (say == TOOL_ALLOW)
        d->policy = q_printf("allowed: %s", why);
    else if (say == TOOL_DENY) {
        d->policy = q_printf("denied: %s", why);
        d->told = q_strdup("denied by a rule of the person's");
    } else if (a->toolbox.alone) {
        d->policy = q_strdup("denied: nobody is there to be asked");
        d->told = q_strdup("denied: nobody is there to be asked");
        d->alone = true;
    } else {
        agt_call c = asked_about(d, why);
        enum approved got = approve_wait(a, &c, d->t->so_far.tokens, &how, &words);
        how = rule || how == AGT_NO ? how : AGT_ONCE;        /* what always asks is allowed once, whatever key was pressed */
        d->stopped = got == APPROVED_STOPPED;
        d->policy = d->stopped ? q_strdup("stopped") : q_printf("%s%s%s", how_words[how], words ? ": " : "", words ? words : "");
        d->told = d->stopped ? q_strdup("stopped by the person") : how != AGT_NO ? NULL : words ? q_printf("denied by the person, who says: %s", words) : q_strdup("denied by the person");
        d->state = d->stopped ? MEM_CALL_STOPPED : d->state;
        if (!d->told) {
            remember(a, how, rule);
            say = TOOL_ALLOW;
        }
    }
    free(why);
    free(words);
    free(rule);
    return say == TOOL_ALLOW;
}

/* A result that takes more than a quarter of the context is cut further. */
static void fit(agt *a, tool_result *r)
{
    int most = prov_context(a->seat.who).size / 4;
    for (size_t n = r->text.len; n > 256 && prompt_count(a->seat.who, r->text.p, r->text.len) > most;) {
        q_buf all = r->text;
        r->text = (q_buf){ 0 };
        n = n / 2;
        tool_text_cut(&r->text, all.p, all.len, n);
        if (!r->whole) {
            r->n_whole = all.len;
            r->whole = q_buf_take(&all);
        }
        q_buf_free(&all);
    }
}

static void tell_runs(const doing *d)
{
    mem_call going = { .name = (char *)(uintptr_t)d->plan.row->name, .arguments = d->call->arguments, .result = (char[]){ "" }, .policy = d->policy, .at = (int64_t)d->t->text.len,
                       .path = (char[]){ "" } };
    agt_event e = { .kind = AGT_EV_CALL, .id = d->t->reply, .message = q_alloc(sizeof *e.message), .n_messages = 1 };
    e.message->call = q_alloc(sizeof *e.message->call);
    e.message->n_call = 1;
    *e.message->call = view_call(&going);
    e.message->call->state = AGT_CALL_RUNS;
    evq_push(&d->t->a->events, &e);
}

/* One after the other in the engine's thread, or several that only read in as many. */
typedef struct running_calls { doing *d; const tool_host *host; } running_calls;

static void run_one(void *user, int i)
{
    const running_calls *r = user;
    doing *d = &r->d[i];
    const toolbox *b = &d->t->a->toolbox;
    if (b->before)
        b->before(b->before_user);
    int64_t from = q_now_ns();
    d->stopped = tool_run(b->place, r->host, &d->plan, &d->result) == Q_CANCEL;
    d->ms = (q_now_ns() - from) / 1000000;
}

/* Calls of a round that may be done: at once, where there are several. */
static void run(doing *d, int n)
{
    agt *a = d->t->a;
    tool_rules now = rules(a);
    q_buf near = { 0 };
    tool_host host = { .user = d->t, .act = toolhost_act, .lent = hub_lent, .go = toolhost_go, .rules = &now, .denied = tool_denied, .page = toolhost_page,
                       .near = settings_value(&a->settings, "agent.fetch_private", &near) };
    running_calls all = { d, &host };
    for (int i = 0; i < n; i++)
        tell_runs(&d[i]);
    atonce_do(n, run_one, &all);
    for (int i = 0; i < n; i++) {
        d[i].state = d[i].stopped ? MEM_CALL_STOPPED : d[i].result.failed ? MEM_CALL_FAILED : MEM_CALL_DONE;
        if (d[i].stopped && !d[i].result.text.len)
            d[i].told = q_strdup("stopped by the person");
        else
            fit(a, &d[i].result);
    }
    tool_rules_free(&now);
    q_buf_free(&near);
}

/* ---- storing ---- */
static char *sealed(const char *text, size_t n)
{
    char hash[65];
    q_sha256(text, n, hash);
    return q_printf("[secret: %zu bytes, sha256 %s; not kept]", n, hash);
}

static void store(doing *d)
{
    turn *t = d->t;
    char err[Q_ERRLEN];
    const tool_result *r = &d->result;
    bool secret = r->secret || (d->plan.risk & TOOL_SECRET), recalls = d->plan.row && d->plan.row->class == TOOL_RECALL && !d->told && !r->failed;
    const char *text = d->told ? d->told : r->text.p ? r->text.p : "";
    char *result = secret && !d->told ? sealed(text, strlen(text)) : recalls ? q_printf("[%zu bytes of passages out of memory; not kept here]", strlen(text)) : q_strdup(text);
    char *arguments = secret && d->plan.row->class == TOOL_WRITE ? sealed(d->call->arguments, strlen(d->call->arguments)) : q_utf8_clean(d->call->arguments, strlen(d->call->arguments));
    mem_call c = { .message = t->reply, .round = t->round, .at = (int64_t)t->text.len, .name = d->call->name, .arguments = arguments, .result = result, .policy = d->policy, .state = d->state,
                   .ms = d->ms, .path = r->undo.path ? r->undo.path : (char[]){ "" }, .became = (char *)(uintptr_t)r->undo.became, .mode = (int)r->undo.mode, .made = r->undo.made, .there = r->undo.was != NULL };
    if (mem_call_put(t->a->store, &c, secret ? NULL : r->undo.was, r->undo.n_was, secret || recalls ? NULL : r->whole, r->n_whole, &c.id, err) < 0)
        note(&t->a->events, AGT_WARN, _("what a tool did could not be stored, so /undo will not know of it: %s"), err);
    c.kept = c.id && *c.path && (!c.there || !secret);
    tooling_tell(t->a, &c);
    free(result);
    free(arguments);
}

/* Looks at a call; what cannot be done at all is told. */
static void look(doing *d)
{
    char err[Q_ERRLEN];
    agt *a = d->t->a;
    int rc = tooling_place(a, err);
    bool opened = rc == Q_OK;
    d->looked = true;
    if (opened && d->call->misread)
        rc = q_fail(err, Q_FORMAT, "the call cannot be read: %s", d->call->misread);
    else if (opened)
        rc = tool_plan_make(a->toolbox.place, d->call->name, d->call->arguments, &d->plan, err);
    if (rc < 0) {
        d->malformed = opened && (rc == Q_NOTFOUND || rc == Q_FORMAT) && !d->plan.title;
        d->state = MEM_CALL_FAILED;
        d->policy = q_strdup(d->malformed ? "malformed" : "not asked");
        d->told = q_strdup(err);
    } else if (!prompt_offers(a, d->plan.row)) {
        d->state = MEM_CALL_DENIED;
        d->policy = q_strdup("denied: agent.tools does not offer it");
        d->told = q_printf("%s is not offered here", d->plan.row->name);
    }
}

/* It only reads, by itself, and nobody need be asked: it may be done beside others. */
static bool beside(doing *d)
{
    char *why = NULL;
    if (!d->looked)
        look(d);
    const tool_row *row = d->plan.row;
    if (d->told || (row->class != TOOL_READ && row->class != TOOL_PURE) || row->act != TOOL_ACT_NONE)
        return false;
    bool yes = judge(d->t->a, &d->plan, &why) == TOOL_ALLOW;
    free(d->policy);
    d->policy = yes ? q_printf("allowed: %s", why) : NULL;
    free(why);
    return yes;
}

/* The calls from the first on that may be done at once, or the first alone; returns how many. */
static int carry_out(doing *d, int n)
{
    int group = 0;
    while (group < n && beside(&d[group]))
        group++;
    if (group)
        run(d, group);
    else if (!d->told && allowed(d))
        run(d, 1);
    group += !group;
    for (int i = 0; i < group; i++)
        store(&d[i]);
    return group;
}

static void done_free(doing *d)
{
    tool_plan_free(&d->plan);
    tool_result_free(&d->result);
    free(d->policy);
    free(d->told);
}

/* ---- a round ---- */
static void forget_calls(turn *t)
{
    for (int i = 0; i < t->calls.n; i++) {
        free(t->calls.v[i].name);
        free(t->calls.v[i].arguments);
        free(t->calls.v[i].misread);
    }
    free(t->calls.v);
    free(t->calls.misread);
    t->calls.misread = NULL;
    t->calls.v = NULL;
    t->calls.n = 0;
}

/* Does the request with what the calls brought leave room for an answer? */
static bool room(agt *a, const prompt *p)
{
    char err[Q_ERRLEN];
    prov_request r = prompt_request(p);
    int n = prov_count_request(a->seat.who, &r, err);
    return n >= 0 && n + 16 <= prov_context(a->seat.who).size;
}

/* A call that cannot be read is said: to the model alone the first time, then it ends here. */
static void say_malformed(turn *t, const doing *d)
{
    note(&t->a->events, t->malformed ? AGT_ERROR : AGT_INFO, t->malformed ? _("the model wrote a call that cannot be read twice in a row (%s): %s")
                                                                          : _("a call of the model's cannot be read and goes back to it once (%s): %s"),
         *d->call->name ? d->call->name : "?", d->told);
}

/* What stands behind a stop is told too: each call has an answer. */
static void not_done(doing *d)
{
    free(d->policy);
    free(d->told);
    d->policy = q_strdup("stopped");
    d->told = q_strdup("stopped by the person");
    d->state = MEM_CALL_STOPPED;
    store(d);
}

/* The calls of this round are done. NULL: it goes on; else why it ends, *status with it. */
static const char *round_of(turn *t, prompt *p, enum mem_status *status)
{
    agt *a = t->a;
    int n = t->calls.n, bad = 0;
    bool stopped = false, alone = false;
    prompt_done *done = q_alloc(sizeof *done * (size_t)(n + 1));
    doing *all = q_alloc(sizeof *all * (size_t)(n + 1));
    for (int i = 0; i < n; i++)
        all[i] = (doing){ .t = t, .call = &t->calls.v[i] };
    for (int i = 0, to; i < n; i = to) {
        to = i + 1;
        if (stopped)
            not_done(&all[i]);
        else
            to = i + carry_out(&all[i], n - i);
        for (int k = i; k < to; k++) {
            stopped = stopped || all[k].stopped;
            alone = alone || all[k].alone;
            bad += all[k].malformed;
            if (all[k].malformed)
                say_malformed(t, &all[k]);
        }
        stopped = stopped || desk_stopped(&a->desk, LANE_ENGINE);
    }
    for (int i = 0; i < n; i++) {
        done[i] = (prompt_done){ all[i].call->name, all[i].call->arguments, q_strdup(all[i].told ? all[i].told : all[i].result.text.p) };
        done_free(&all[i]);
    }
    free(all);
    const char *said = t->text.p ? t->text.p + t->segment.text + strspn(t->text.p + t->segment.text, "\n") : "";
    if (t->think.len > t->segment.think)
        prompt_thought(p, t->think.p + t->segment.think, t->think.len - t->segment.think);
    prompt_go_on(p, said, strlen(said), done, n);
    free(done);
    p->begin = NULL;                     /* it stands in what was said now */
    bool twice = bad && t->malformed;
    t->malformed = bad > 0;
    *status = stopped || alone ? MEM_STOPPED : MEM_DONE;
    return stopped ? "stopped" : alone ? "denied" : twice ? "malformed" : NULL;
}

/* Why no further round begins; NULL: it may. */
static const char *spent(turn *t, const prompt *p)
{
    agt *a = t->a;
    int steps = (int)settings_number(&a->settings, "agent.steps"), tokens = (int)settings_number(&a->settings, "agent.tokens");
    if (t->round >= steps) {
        note(&a->events, AGT_WARN, _("the answer went on after tools %d times and ends here: ask it to go on, or /set agent.steps"), t->round);
        return "steps";
    }
    if (tokens > 0 && t->so_far.tokens >= tokens) {
        note(&a->events, AGT_WARN, _("the answer with its tools took %d tokens and ends here: ask it to go on, or /set agent.tokens"), t->so_far.tokens);
        return "budget";
    }
    if (!room(a, p)) {
        note(&a->events, AGT_WARN, _("what the tools brought fills the context: /set context.length gives more room, or ask to go on"));
        return "context";
    }
    return NULL;
}

enum mem_status tooling_converse(turn *t, prompt *p, prov_request *r, const char **finish, char *err)
{
    enum mem_status status = generate(t, r, finish, err);
    while (t->so_far.finish == PROV_CALLS && t->calls.n) {
        t->round++;
        free(t->trace->made);            /* its tokens stand in several contexts from here on: they cannot be asked about */
        t->trace->made = NULL;
        const char *why = round_of(t, p, &status);
        forget_calls(t);
        if (!why && (why = spent(t, p)))
            status = MEM_DONE;
        if (why) {
            if (strcmp(why, "denied") == 0)
                note(&t->a->events, AGT_ERROR, _("a tool was asked for that nobody is there to allow: --allow RULES says what may be done without asking"));
            *finish = why;
            break;
        }
        enum prov_policy policy = r->policy;
        uint64_t seed = r->seed;
        *r = prompt_request(p);
        r->policy = policy;
        r->seed = seed;
        generate_segment(t);
        status = generate(t, r, finish, err);
    }
    forget_calls(t);
    return status;
}
