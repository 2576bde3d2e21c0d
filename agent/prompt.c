/* agent/prompt: what the model reads. System text, as much of the branch as fits (whole turns, newest kept), the question
 * with the passages that memory found, framed as data. Engine thread.
 * Texts are plain to who answers, so nothing that a person or a passage says can become a control token; agent/frame.c keeps
 * a passage's lines from passing for the frame around them. */
#include "agent/frame.h"
#include "agent/talk.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

int prompt_count(void *user, const char *text, size_t n) { return prov_count(user, text, n); }

char *agt_attach(const char *question, const char *text, size_t n) { return frame_attach(question, text, n); }

static int context_size(agt *a) { return prov_context(a->seat.who).size; }

/* What a reply may count on: sampler.max_tokens, else up to 1024, never more than a quarter of the context. */
int prompt_reserve(agt *a)
{
    double max = prov_config_number(a->seat.cfg, "sampler.max_tokens");      /* NAN: it has no such knob */
    int size = context_size(a), want = max > 0 ? (int)max : 1024;
    return want < size / 4 ? want : size / 4;
}

/* What is left for passages beside the question, the system text, a reply and the words around the passages; 128 tokens are
 * for the roles, and for a system text of the model's own. */
int prompt_room_for_passages(agt *a, const char *question, int max_passages)
{
    q_buf b = { 0 };
    const char *system = settings_value(&a->settings, "chat.system", &b);
    int size = context_size(a), left = size - a->seat.modules.tokens - prompt_reserve(a) - prompt_count(a->seat.who, question, strlen(question)) - 128 -
               prompt_count(a->seat.who, system, strlen(system)) - prompt_count(a->seat.who, frame_once, strlen(frame_once)) -
               max_passages * prompt_count(a->seat.who, frame_each, strlen(frame_each));
    q_buf_free(&b);
    return left < 0 ? 0 : left < size / 2 ? left : size / 2;
}

static enum prov_role role_of(const mem_message *m)
{
    return m->role == MEM_USER ? PROV_USER : m->role == MEM_ASSISTANT ? PROV_ASSISTANT : m->role == MEM_TOOL ? PROV_TOOL : PROV_SYSTEM;
}

static void forget_messages(prompt *p)
{
    free(p->message);
    free(p->call);
    free(p->thought);
    free(p->raw);
    strings_free(&p->kept);
    p->message = NULL;
    p->call = NULL;
    p->thought = NULL;
    p->raw = NULL;
    p->n = p->n_call = p->n_thought = 0;
}

void prompt_free(prompt *p)
{
    forget_messages(p);
    free(p->tool);
    free(p->system);
    free(p->question);
    free(p->prefix);
    compacted_free(&p->instead);
    *p = (prompt){ 0 };
}

prov_request prompt_request(const prompt *p)
{
    return (prov_request){ .message = p->message, .n_message = p->n, .raw = p->raw, .n_raw = p->raw ? strlen(p->raw) : 0, .tool = p->tool, .n_tool = p->n_tool,
                           .call = p->call, .n_call = p->n_call, .thought = p->thought, .n_thought = p->n_thought, .begin = p->begin, .n_begin = p->begin ? strlen(p->begin) : 0, .think = p->think };
}

/* ---- messages ---- */
static void say(prompt *p, enum prov_role role, const char *text, size_t n, const char *call)
{
    if ((p->n & (p->n - 1)) == 0)
        p->message = q_realloc(p->message, sizeof *p->message * (size_t)(p->n ? 2 * p->n : 1));
    p->message[p->n++] = (prov_message){ role, text, n, call };
}

static const char *keep(prompt *p, char *text)
{
    strings_add(&p->kept, text);
    return text;
}

void prompt_thought(prompt *p, const char *text, size_t n)
{
    if ((p->n_thought & (p->n_thought - 1)) == 0)
        p->thought = q_realloc(p->thought, sizeof *p->thought * (size_t)(p->n_thought ? 2 * p->n_thought : 1));
    p->thought[p->n_thought++] = (prov_past_thought){ p->n, keep(p, q_strndup(text, n)), n };
}

/* Templates read arguments as a JSON object: what is none (a call that cannot be read, one that is not kept) is one with its text. */
static char *arguments_of(const char *text)
{
    cJSON *o = cJSON_Parse(text);
    bool good = cJSON_IsObject(o);
    cJSON_Delete(o);
    if (good)
        return q_strdup(text);
    o = cJSON_CreateObject();
    char *clean = q_utf8_clean(text, strlen(text));
    cJSON_AddStringToObject(o, "text", clean);
    char *out = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    free(clean);
    return out;
}

/* An id of a call is its number in the request: nine letters, as some templates want them, and the same whenever it is made again. */
void prompt_go_on(prompt *p, const char *text, size_t n, const prompt_done *done, int n_done)
{
    int at = p->n, first = p->n_call;
    say(p, PROV_ASSISTANT, keep(p, q_strndup(text, n)), n, NULL);
    for (int i = 0; i < n_done; i++) {
        if ((p->n_call & (p->n_call - 1)) == 0)
            p->call = q_realloc(p->call, sizeof *p->call * (size_t)(p->n_call ? 2 * p->n_call : 1));
        const char *id = keep(p, q_printf("c%08d", p->n_call + 1));
        p->call[p->n_call++] = (prov_past_call){ at, { id, keep(p, q_strdup(done[i].name)), keep(p, arguments_of(done[i].arguments)) } };
    }
    for (int i = 0; i < n_done; i++) {
        const char *result = keep(p, done[i].result);
        say(p, PROV_TOOL, result, strlen(result), p->call[first + i].call.id);
    }
}

/* An answer in which tools were called: what was said and done, in turns, as it was. False: none was, or nobody here knows of tools. */
static bool with_calls(const agt *a, const mem_message *m, prompt *out)
{
    char err[Q_ERRLEN];
    mem_calls l = { 0 };
    if (m->role != MEM_ASSISTANT || out->base || !(prov_about(a->seat.who)->can & PROV_TOOLS) || mem_call_list(a->store, m->id, &l, err) < 0)
        return false;
    size_t from = 0, all = strlen(m->text);
    bool any = l.n > 0;
    for (int i = 0, to; i < l.n; i = to) {
        prompt_done *done = q_alloc(sizeof *done * (size_t)l.n);
        for (to = i; to < l.n && l.v[to].round == l.v[i].round; to++)
            done[to - i] = (prompt_done){ l.v[to].name, l.v[to].arguments,
                                          l.v[to].undone ? q_printf("%s\n[the person has undone this change]", l.v[to].result) : q_strdup(l.v[to].result) };
        size_t at = l.v[i].at < (int64_t)from ? from : (size_t)l.v[i].at < all ? (size_t)l.v[i].at : all;
        prompt_go_on(out, m->text + from, at - from, done, to - i);
        from = at + strspn(m->text + at, "\n");
        free(done);
    }
    if (any && from < all)
        say(out, PROV_ASSISTANT, keep(out, q_strdup(m->text + from)), all - from, NULL);
    mem_calls_free(&l);
    return any;
}

static char *prompt_text(const agt *a, const prompt *p)
{
    char err[Q_ERRLEN];
    q_buf b = { 0 };
    prov_request r = prompt_request(p);
    if (prov_show(a->seat.who, &r, &b, err) < 0)
        q_buf_puts(&b, err);
    return q_buf_take(&b);
}

/* One message of the branch. *owed: what stands for older turns, until somebody of the person's side has said it; NULL. */
static void one_message(const agt *a, const mem_messages *path, int i, prompt *out, q_buf *raw, const char **owed)
{
    const mem_message *m = &path->v[i];
    bool last = i == path->n - 1;
    const char *text = last ? out->question : m->text;
    q_buf_puts(raw, text);
    if (*owed && m->role == MEM_USER)
        text = keep(out, q_printf("%s%s", *owed, text));
    else if (*owed)
        say(out, PROV_USER, *owed, strlen(*owed), NULL);
    *owed = NULL;
    if ((last || !with_calls(a, m, out)) && (m->role != MEM_ASSISTANT || *text))     /* stopped before its first word */
        say(out, role_of(m), text, strlen(text), NULL);
}

/* The branch from message `from` on, behind what stands for those before; returns its tokens. */
static int render(const agt *a, const mem_messages *path, int from, prompt *out, char *err)
{
    q_buf b = { 0 };
    const char *owed = out->instead.block;
    forget_messages(out);
    if (*out->system)
        say(out, PROV_SYSTEM, out->system, strlen(out->system), NULL);
    q_buf_puts(&b, out->prefix);
    q_buf_puts(&b, owed ? owed : "");
    for (int i = 0; i < out->instead.n_kept; i++)
        one_message(a, path, out->instead.kept[i], out, &b, &owed);
    for (int i = from; i < path->n; i++)
        one_message(a, path, i, out, &b, &owed);
    if (out->base)                       /* raw text goes on: everything said so far, as it stands */
        out->raw = q_buf_take(&b);
    q_buf_free(&b);
    prov_request r = prompt_request(out);
    return prov_count_request(a->seat.who, &r, err);
}

static char *framed(const rag_result *r, const char *question)
{
    q_buf b = { 0 };
    frame_passages(&b, r);
    q_buf_puts(&b, question);
    return q_buf_take(&b);
}

static int next_turn(const mem_messages *path, int from)
{
    do
        from++;
    while (from < path->n - 1 && path->v[from].role != MEM_USER);
    return from;
}

/* By estimate: which message the branch is kept from. */
static int first_kept(const agt *a, const mem_messages *path, const prompt *p, int size, int reserve)
{
    int last = path->n - 1, *cost = q_alloc(sizeof *cost * (size_t)path->n), from = p->instead.upto + 1;
    for (int i = 0; i <= last; i++) {
        const char *t = i == last ? p->question : path->v[i].text;
        cost[i] = prompt_count(a->seat.who, t, strlen(t)) + 8;           /* 8: the frame of a message, about */
    }
    int sum = 32 + prompt_count(a->seat.who, p->prefix, strlen(p->prefix)) + (*p->system ? prompt_count(a->seat.who, p->system, strlen(p->system)) : 32);
    sum += p->begin ? prompt_count(a->seat.who, p->begin, strlen(p->begin)) : 0;
    sum += p->instead.block ? prompt_count(a->seat.who, p->instead.block, strlen(p->instead.block)) : 0;
    for (int i = 0; i < p->instead.n_kept; i++)
        sum += cost[p->instead.kept[i]];
    for (int i = from; i < path->n; i++)
        if (a->chat.keep_from && path->v[i].id == a->chat.keep_from)
            from = i;
    for (int i = from; i < path->n; i++)
        sum += cost[i];
    bool tight = sum > size - reserve;
    while (tight && from < last && sum > size - size / 4 - reserve)
        for (int to = next_turn(path, from); from < to; from++)
            sum -= cost[from];
    free(cost);
    return from;
}

/* Nothing is left to leave out: which part is it that takes the room? tokens < 0: so many that nobody counted them. */
static int too_long(const agt *a, const char *message, const prompt *p, int tokens, int size, char *err)
{
    size_t own = frame_question(message), all = strlen(message), whole = strlen(p->question);
    size_t ours = !p->base && a->seat.modules.text && strlen(a->seat.modules.text) <= strlen(p->system) ? strlen(a->seat.modules.text) : 0;      /* the end of the system text */
    struct { const char *what, *text; size_t bytes; } part[] = {
        { _("the question"), message, own }, { _("the attached text"), message + own, all - own },
        { _("the system text (chat.system)"), p->system, strlen(p->system) - ours }, { _("the modules (/module)"), ours ? p->system + strlen(p->system) - ours : p->prefix, ours ? ours : strlen(p->prefix) },
        { _("what memory feeds (memory.budget)"), p->question, whole - all },
        { _("the beginning of the answer"), p->begin ? p->begin : "", p->begin ? strlen(p->begin) : 0 } }, *most = part;
    int n = 0, most_n = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        if (tokens >= 0)
            n = prompt_count(a->seat.who, part[i].text, part[i].bytes);
        if (tokens < 0 ? part[i].bytes > most->bytes : n > most_n) {
            most = &part[i];
            most_n = n;
        }
    }
    if (tokens < 0)
        return q_fail(err, Q_RANGE, _("the prompt takes far more tokens than the context holds, %d; most of it is %s: shorten it"), size, most->what);
    int trained = prov_about(a->seat.who)->n_ctx_train, more = tokens + 1024 < trained ? tokens + 1024 : trained;
    return more > tokens && more > size
        ? q_fail(err, Q_RANGE, _("the prompt takes %d tokens and the context holds %d; most of it is %s, %d: shorten it, or /set context.length %d"),
                 tokens, size, most->what, most_n, more)
        : q_fail(err, Q_RANGE, _("the prompt takes %d tokens and the context holds %d, about all that this model was trained for; most of it is %s, %d: shorten it"),
                 tokens, size, most->what, most_n);
}

bool prompt_offers(agt *a, const tool_row *row)
{
    q_buf b = { 0 };
    const char *mode = settings_value(&a->settings, "agent.tools", &b);
    bool yes = !a->base && (prov_about(a->seat.who)->can & PROV_TOOLS) && (strcmp(mode, "all") == 0 || (strcmp(mode, "read") == 0 && (!tool_class_changes(row->class) || row->reads)));
    q_buf_free(&b);
    return yes;
}

static void offer(agt *a, prompt *out)
{
    int n, lent;
    const tool_row *row = tool_rows(&n), *more = hub_rows(a, &lent);
    out->tool = q_alloc(sizeof *out->tool * (size_t)(n + lent));
    for (int i = 0; i < n + lent; i++) {
        const tool_row *r = i < n ? &row[i] : &more[i - n];
        if (prompt_offers(a, r))
            out->tool[out->n_tool++] = (prov_tool){ r->name, r->help, r->schema };
    }
}

static void left_out(agt *a, int n, bool summed)
{
    if (summed)
        note(&a->events, AGT_WARN, ngettext("the context is full: %d message behind the summary is left out of the prompt (it stays in the conversation); /compact takes it into the summary",
                                            "the context is full: %d messages behind the summary are left out of the prompt (they stay in the conversation); /compact takes them into the summary",
                                            (unsigned long)n), n);
    else
        note(&a->events, AGT_WARN, ngettext("the context is full: the first %d message of this branch is left out of the prompt (it stays in the conversation); /compact feeds a summary of it instead",
                                            "the context is full: the first %d messages of this branch are left out of the prompt (they stay in the conversation); /compact feeds a summary of them instead",
                                            (unsigned long)n), n);
}

/* The context-full policy. The system text and the newest turns stay; older turns are dropped whole, and when some must
 * go, enough go that a quarter of the context is free again, so that not every further turn re-evaluates everything.
 * Which message the branch is kept from is remembered (chat.keep_from) while it lies on the branch. What a summary stands for is left out
 * before all that; the summary always stays. */
int prompt_build(agt *a, const mem_messages *path, const rag_result *r, prompt *out, char *err)
{
    int last = path->n - 1, size = context_size(a), reserve = prompt_reserve(a), tokens;
    q_buf sys = { 0 };
    const char *own = settings_value(&a->settings, "chat.system", &sys), *more = a->seat.modules.text && !a->base ? a->seat.modules.text : "";
    *out = (prompt){ .begin = out->begin, .base = a->base, .system = q_printf("%s%s%s", own, *own && *more ? "\n\n" : "", more), .question = framed(r, path->v[last].text),
                     .prefix = a->base && a->seat.modules.n && *a->seat.modules.text ? q_printf("%s\n\n", a->seat.modules.text) : q_strdup("") };
    q_buf_free(&sys);
    int rc = compacted_of(a, path, 0, &out->instead, err);
    if (rc < 0)
        return rc;
    offer(a, out);
    int start = out->instead.upto + 1, from = first_kept(a, path, out, size, reserve);
    while ((tokens = render(a, path, from, out, err)) >= 0 && tokens + (from < last ? reserve : 16) > size) {
        if (from == last)
            return too_long(a, path->v[last].text, out, tokens, size, err);
        from = next_turn(path, from);    /* the estimate was short: one more turn */
    }
    bool can = !out->begin || (prov_about(a->seat.who)->can & PROV_BEGIN);
    if (tokens < 0)
        return tokens == Q_RANGE && can ? too_long(a, path->v[last].text, out, -1, size, err) : tokens;
    if (from > start && path->v[from].id != a->chat.keep_from)
        left_out(a, from - start, start > 0);
    a->chat.keep_from = from > start ? path->v[from].id : 0;
    char *text = prompt_text(a, out), *old;
    pthread_mutex_lock(&a->shown.mu);
    a->shown.left.dropped = from - start;
    a->shown.left.reserve = reserve;
    a->shown.left.compacted = out->instead.id ? out->instead.row.messages : 0;
    a->shown.left.before = out->instead.row.before;
    a->shown.left.after = out->instead.row.after;
    old = a->shown.prompt;
    a->shown.prompt = text;
    pthread_mutex_unlock(&a->shown.mu);
    free(old);
    return Q_OK;
}

int prompt_again(agt *a, const mem_messages *path, int from, int64_t compaction, const char *system, const char *prefix, const rag_result *r, prompt *out, char *err)
{
    int rc = compaction && compaction != out->instead.id ? compacted_of(a, path, compaction, &out->instead, err) : Q_OK;
    if (rc < 0)
        return rc;
    if (compaction && from <= out->instead.upto)
        from = out->instead.upto + 1;
    char *was = q_strdup(system), *front = q_strdup(prefix), *question = framed(r, path->v[path->n - 1].text);
    free(out->system);
    free(out->question);
    free(out->prefix);
    out->prefix = front;
    out->system = was;
    out->question = question;
    return render(a, path, from, out, err);
}
