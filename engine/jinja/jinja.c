/* engine/jinja: see jinja.h. Here are the bounds, and how a conversation becomes the template's variables. */
#include "engine/jinja/jinja.h"
#include "engine/jinja/eval.h"
#include "engine/jinja/json.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MOST = 4 << 20 };          /* bytes of a template */
static const size_t MEMORY_MOST = (size_t)256 << 20;
static const uint64_t STEPS_MOST = 20000000;       /* about a second at most, whatever is done: what goes through a text or a list costs as long as that is */

struct jinja { jx x; jnodes body; jnames names; };

int jinja_new(const char *text, size_t n, jinja **out, char *err)
{
    *out = NULL;
    if (n > TEXT_MOST) return q_fail(err, Q_RANGE, _("the chat template has %zu bytes, more than %d MiB"), n, TEXT_MOST >> 20);
    jinja *j = q_alloc(sizeof *j);
    j->x = (jx){ .most = MEMORY_MOST, .most_steps = STEPS_MOST, .err = err };
    if (setjmp(j->x.out)) {
        int code = j->x.code;
        jinja_free(j);
        return code;
    }
    j->body = jn_read(&j->x, text, n, &j->names);
    j->x.err = NULL;
    *out = j;
    return Q_OK;
}

void jinja_free(jinja *j)
{
    if (!j) return;
    jx_free(&j->x);
    free(j);
}

bool jinja_names(const jinja *j, const char *word)
{
    for (int i = 0; i < j->names.n; i++) if (strcmp(j->names.v[i], word) == 0) return true;
    return false;
}

/* ---- a conversation as variables ---- */
static void set(jx *x, jv dict, const char *name, jv v) { jv_put(x, dict, jv_words(x, name), v); }

static jv somebodys(jx *x, const char *p, size_t n)
{
    char *mark = jx_alloc(x, n + 1);
    memset(mark, 1, n);
    return jv_text(x, n ? p : "", n, mark);
}

static jv calls_of(jx *x, const eng_more *m, bool as_text)
{
    jv out = jv_list(x, JV_LIST, m->n_call);
    for (int i = 0; i < m->n_call; i++) {
        const eng_call *c = &m->call[i];
        jv call = jv_dict(x, JV_DICT), f = jv_dict(x, JV_DICT);
        const char *arguments = c->arguments && *c->arguments ? c->arguments : "{}";
        if (c->id) set(x, call, "id", somebodys(x, c->id, strlen(c->id)));
        set(x, call, "type", jv_words(x, "function"));
        set(x, f, "name", somebodys(x, c->name, strlen(c->name)));
        set(x, f, "arguments", as_text ? somebodys(x, arguments, strlen(arguments)) : jj_read(x, arguments, strlen(arguments), true, _("what a call was given")));
        set(x, call, "function", f);
        jv_push(x, out, call);
    }
    return out;
}

static jv message_of(jx *x, const eng_message *m, bool text_arguments)
{
    static const char *role[] = { [ENG_SYSTEM] = "system", [ENG_USER] = "user", [ENG_ASSISTANT] = "assistant", [ENG_TOOL] = "tool" };
    jv out = jv_dict(x, JV_DICT);
    const eng_more *more = m->more;
    set(x, out, "role", jv_words(x, role[m->role]));
    set(x, out, "content", somebodys(x, m->text, m->n));
    if (!more) return out;
    if (more->n_thought) {
        jv thought = somebodys(x, more->thought, more->n_thought);
        set(x, out, "reasoning_content", thought);
        set(x, out, "thinking", thought);
    }
    if (more->n_call) set(x, out, "tool_calls", calls_of(x, more, text_arguments));
    if (more->id) set(x, out, "tool_call_id", somebodys(x, more->id, strlen(more->id)));
    if (more->name) set(x, out, "name", somebodys(x, more->name, strlen(more->name)));
    return out;
}

static jv tools_of(jx *x, const eng_tool *t, int n)
{
    jv out = jv_list(x, JV_LIST, n);
    for (int i = 0; i < n; i++) {
        jv tool = jv_dict(x, JV_DICT), f = jv_dict(x, JV_DICT);
        const char *schema = t[i].schema && *t[i].schema ? t[i].schema : "{}";
        set(x, tool, "type", jv_words(x, "function"));
        set(x, f, "name", somebodys(x, t[i].name, strlen(t[i].name)));
        set(x, f, "description", somebodys(x, t[i].help ? t[i].help : "", t[i].help ? strlen(t[i].help) : 0));
        set(x, f, "parameters", jj_read(x, schema, strlen(schema), true, _("a tool's schema")));
        set(x, tool, "function", f);
        jv_push(x, out, tool);
    }
    return out;
}

/* As transformers takes messages: keys whose value is None are left out, thoughts are known by two names. */
static jv messages_of(jx *x, const char *p, size_t n)
{
    static const char *names[] = { "reasoning_content", "thinking", "reasoning" };
    jv all = jj_read(x, p, n, true, _("the conversation")), out = jv_list(x, JV_LIST, 0), v;
    if (all.kind != JV_LIST) jx_fail(x, _("the conversation is no list of messages: give [{\"role\":\"user\",\"content\":\"...\"}, ...]"));
    for (int i = 0; i < all.u.l->n; i++) {
        jv from = all.u.l->v[i], to = jv_dict(x, JV_DICT), thought = jv_none();
        if (from.kind != JV_DICT || !jv_find_name(x, from, "role", &v) || v.kind != JV_STR) jx_fail(x, _("message %d of the conversation has no role"), i + 1);
        for (size_t k = 0; k < 3 && thought.kind == JV_NONE; k++) if (jv_find_name(x, from, names[k], &v)) thought = v;
        if (thought.kind != JV_NONE) set(x, to, "thinking", thought);
        for (int k = 0; k < from.u.d->n; k++) if (from.u.d->val[k].kind != JV_NONE) jv_put(x, to, from.u.d->key[k], from.u.d->val[k]);
        if (thought.kind != JV_NONE) set(x, to, "reasoning_content", thought);
        jv_push(x, out, to);
    }
    return out;
}

static jv variables(jx *x, const jinja_in *in)
{
    jv vars = jv_dict(x, JV_DICT), list = jv_list(x, JV_LIST, 0), tools = jv_none();
    const eng_talk *t = in->talk;
    int think = t ? t->think : in->think;
    for (int i = 0; t && i < t->n; i++) jv_push(x, list, message_of(x, &t->message[i], in->text_arguments));
    if (t && (t->n_tool || in->no_tools_is_a_list)) tools = tools_of(x, t->tool, t->n_tool);
    if (!t && in->tools) tools = jj_read(x, in->tools, in->n_tools, true, _("the list of tools"));
    if (tools.kind != JV_NONE && tools.kind != JV_LIST) jx_fail(x, _("the tools are no list: give [{\"type\":\"function\",\"function\":{...}}, ...]"));
    set(x, vars, "messages", t ? list : messages_of(x, in->messages, in->n_messages));
    set(x, vars, "tools", tools);
    set(x, vars, "documents", jv_none());
    set(x, vars, "add_generation_prompt", jv_bool(t ? t->reply : in->reply));
    if (in->bos) set(x, vars, "bos_token", jv_words(x, in->bos));
    if (in->eos) set(x, vars, "eos_token", jv_words(x, in->eos));
    if (think >= 0) {                                      /* both names are in use */
        set(x, vars, "enable_thinking", jv_bool(think));
        set(x, vars, "thinking", jv_bool(think));
    }
    return vars;
}

int jinja_render(const jinja *j, const jinja_in *in, q_buf *text, q_buf *mark, char *err)
{
    jx *x = q_alloc(sizeof *x);        /* not on the stack: it must stand through the way back out of a failure */
    *x = (jx){ .most = in->most_bytes ? in->most_bytes : MEMORY_MOST, .most_steps = in->most_steps ? in->most_steps : STEPS_MOST, .now = in->now, .err = err };
    if (setjmp(x->out) == 0) {
        jv out = jr_run(x, &j->body, &j->names, variables(x, in));
        q_buf_add(text, out.u.s->p, out.u.s->n);
        if (mark && out.u.s->mark) q_buf_add(mark, out.u.s->mark, out.u.s->n);
        for (size_t i = 0; mark && !out.u.s->mark && i < out.u.s->n; i++) q_buf_putc(mark, 0);
    }
    int code = x->code;
    jx_free(x);
    free(x);
    return code;
}
