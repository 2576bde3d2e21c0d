/* agent/prompt: what the model reads. System text, as much of the branch as fits (whole turns, newest kept), the question
 * with the passages that memory found, framed as data. Engine thread.
 * Texts are plain to who answers, so nothing that a person or a passage says can become a control token; agent/frame.c keeps
 * a passage's lines from passing for the frame around them. */
#include "agent/frame.h"
#include "agent/talk.h"

#include <stdlib.h>
#include <string.h>

int prompt_count(void *user, const char *text, size_t n) { return prov_count(user, text, n); }

char *agt_attach(const char *question, const char *text, size_t n) { return frame_attach(question, text, n); }

static int context_size(agt *a) { return prov_context(a->seat.who).size; }

/* What a reply may count on: sampler.max_tokens, else up to 1024, never more than a quarter of the context. */
static int reply_reserve(agt *a)
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
    int size = context_size(a), left = size - reply_reserve(a) - prompt_count(a->seat.who, question, strlen(question)) - 128 -
               prompt_count(a->seat.who, system, strlen(system)) - prompt_count(a->seat.who, frame_once, strlen(frame_once)) -
               max_passages * prompt_count(a->seat.who, frame_each, strlen(frame_each));
    q_buf_free(&b);
    return left < 0 ? 0 : left < size / 2 ? left : size / 2;
}

static enum prov_role role_of(const mem_message *m)
{
    return m->role == MEM_USER ? PROV_USER : m->role == MEM_ASSISTANT ? PROV_ASSISTANT : m->role == MEM_TOOL ? PROV_TOOL : PROV_SYSTEM;
}

void prompt_free(prompt *p)
{
    free(p->message);
    free(p->raw);
    free(p->system);
    free(p->question);
    *p = (prompt){ 0 };
}

prov_request prompt_request(const prompt *p)
{
    return (prov_request){ .message = p->message, .n_message = p->n, .raw = p->raw, .n_raw = p->raw ? strlen(p->raw) : 0,
                           .begin = p->begin, .n_begin = p->begin ? strlen(p->begin) : 0, .think = p->think };
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

/* The branch from message `from` on; returns its tokens. */
static int render(const agt *a, const mem_messages *path, int from, prompt *out, char *err)
{
    q_buf b = { 0 };
    int last = path->n - 1;
    free(out->message);
    free(out->raw);
    out->message = q_alloc(sizeof *out->message * (size_t)(path->n + 1));
    out->raw = NULL;
    out->n = 0;
    if (*out->system)
        out->message[out->n++] = (prov_message){ PROV_SYSTEM, out->system, strlen(out->system), NULL };
    for (int i = from; i <= last; i++) {
        const char *text = i == last ? out->question : path->v[i].text;
        q_buf_puts(&b, text);
        if (path->v[i].role != MEM_ASSISTANT || *text)   /* stopped before its first word */
            out->message[out->n++] = (prov_message){ role_of(&path->v[i]), text, strlen(text), NULL };
    }
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
    int last = path->n - 1, *cost = q_alloc(sizeof *cost * (size_t)path->n), from = 0;
    for (int i = 0; i <= last; i++) {
        const char *t = i == last ? p->question : path->v[i].text;
        cost[i] = prompt_count(a->seat.who, t, strlen(t)) + 8;           /* 8: the frame of a message, about */
    }
    int sum = 32 + (*p->system ? prompt_count(a->seat.who, p->system, strlen(p->system)) : 32);
    sum += p->begin ? prompt_count(a->seat.who, p->begin, strlen(p->begin)) : 0;
    for (int i = 0; i < path->n; i++)
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
    struct { const char *what, *text; size_t bytes; } part[] = {
        { _("the question"), message, own }, { _("the attached text"), message + own, all - own },
        { _("the system text (chat.system)"), p->system, strlen(p->system) },
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
    int more = tokens + 1024;
    return more <= prov_about(a->seat.who)->n_ctx_train
        ? q_fail(err, Q_RANGE, _("the prompt takes %d tokens and the context holds %d; most of it is %s, %d: shorten it, or /set context.length %d"),
                 tokens, size, most->what, most_n, more)
        : q_fail(err, Q_RANGE, _("the prompt takes %d tokens and the context holds %d, about all that this model was trained for; most of it is %s, %d: shorten it"),
                 tokens, size, most->what, most_n);
}

/* The context-full policy. The system text and the newest turns stay; older turns are dropped whole, and when some must
 * go, enough go that a quarter of the context is free again, so that not every further turn re-evaluates everything.
 * Which message the branch is kept from is remembered (chat.keep_from) while it lies on the branch. */
int prompt_build(agt *a, const mem_messages *path, const rag_result *r, prompt *out, char *err)
{
    int last = path->n - 1, size = context_size(a), reserve = reply_reserve(a), tokens;
    q_buf sys = { 0 };
    *out = (prompt){ .begin = out->begin, .base = a->base, .system = q_strdup(settings_value(&a->settings, "chat.system", &sys)), .question = framed(r, path->v[last].text) };
    q_buf_free(&sys);
    int from = first_kept(a, path, out, size, reserve);
    while ((tokens = render(a, path, from, out, err)) >= 0 && tokens + (from < last ? reserve : 16) > size) {
        if (from == last)
            return too_long(a, path->v[last].text, out, tokens, size, err);
        from = next_turn(path, from);    /* the estimate was short: one more turn */
    }
    bool can = !out->begin || (prov_about(a->seat.who)->can & PROV_BEGIN);
    if (tokens < 0)
        return tokens == Q_RANGE && can ? too_long(a, path->v[last].text, out, -1, size, err) : tokens;
    if (from > 0 && path->v[from].id != a->chat.keep_from)
        note(&a->events, AGT_WARN, ngettext("the context is full: the first %d message of this branch is left out of the prompt (it stays in the conversation)",
                                            "the context is full: the first %d messages of this branch are left out of the prompt (they stay in the conversation)", (unsigned long)from), from);
    a->chat.keep_from = from > 0 ? path->v[from].id : 0;
    char *text = prompt_text(a, out), *old;
    pthread_mutex_lock(&a->shown.mu);
    a->shown.dropped = from;
    a->shown.reserve = reserve;
    old = a->shown.prompt;
    a->shown.prompt = text;
    pthread_mutex_unlock(&a->shown.mu);
    free(old);
    return Q_OK;
}

int prompt_again(agt *a, const mem_messages *path, int from, const char *system, const rag_result *r, prompt *out, char *err)
{
    char *was = q_strdup(system), *question = framed(r, path->v[path->n - 1].text);
    free(out->system);
    free(out->question);
    out->system = was;
    out->question = question;
    return render(a, path, from, out, err);
}
