/* engine/text/own: see own.h. */
#include "engine/text/own.h"
#include "engine/text/calls.h"

#include <stdlib.h>
#include <string.h>

/* The day is told only to a template that cannot do without: a prompt does not change from day to day. */
static int render(const jinja *j, const own_token *t, const eng_talk *talk, bool text_arguments, q_buf *text, q_buf *mark, char *err)
{
    char why[Q_ERRLEN];
    jinja_in in = { .talk = talk, .bos = t->bos, .eos = t->eos, .text_arguments = text_arguments };
    int rc = jinja_render(j, &in, text, mark, err);
    if (rc != Q_OK && t->now && jinja_names(j, "strftime_now")) {
        in.now = t->now;
        rc = jinja_render(j, &in, text, mark, err);
    }
    if (rc == Q_OK || talk->n_tool || !jinja_names(j, "tools")) return rc;
    in.no_tools_is_a_list = true;      /* some go through the tools without asking whether there are any */
    return jinja_render(j, &in, text, mark, why) == Q_OK ? Q_OK : rc;
}

static bool has_calls(const eng_talk *t)
{
    for (int i = 0; i < t->n; i++) if (t->message[i].more && t->message[i].more->n_call) return true;
    return false;
}

/* ---- a conversation as stricter templates want it ---- */
typedef struct plainer { eng_message *m; int n; q_buf *text; } plainer;

static bool joins(const eng_message *a, const eng_message *b) { return a->role == b->role && a->role != ENG_TOOL && !a->more && !b->more; }

/* No system turn, and no two turns of one side behind each other. */
static void simplify(const eng_talk *t, plainer *p)
{
    q_buf system = { 0 };
    p->m = q_alloc(sizeof *p->m * (size_t)(t->n + 1));
    p->text = q_alloc(sizeof *p->text * (size_t)(t->n + 1));
    for (int i = 0; i < t->n; i++) {
        const eng_message *m = &t->message[i];
        if (m->role == ENG_SYSTEM) {
            if (system.len) q_buf_puts(&system, "\n\n");
            q_buf_add(&system, m->text, m->n);
            continue;
        }
        bool more = p->n && joins(&p->m[p->n - 1], m);
        q_buf *b = &p->text[more ? p->n - 1 : p->n];
        if (m->role == ENG_USER && system.len) {
            if (more) q_buf_puts(b, "\n\n");
            q_buf_add(b, system.p, system.len);
            q_buf_puts(b, "\n\n");
            q_buf_clear(&system);
        } else if (more) q_buf_puts(b, "\n\n");
        q_buf_add(b, m->text, m->n);
        if (!more) p->m[p->n++] = *m;
    }
    if (system.len) {                                      /* nobody asked after it */
        q_buf_add(&p->text[p->n], system.p, system.len);
        p->m[p->n++] = (eng_message){ ENG_USER, NULL, 0, NULL };
    }
    for (int i = 0; i < p->n; i++) {
        p->m[i].text = p->text[i].p ? p->text[i].p : "";
        p->m[i].n = p->text[i].len;
    }
    q_buf_free(&system);
}

static void plainer_free(plainer *p)
{
    for (int i = 0; i < p->n; i++) q_buf_free(&p->text[i]);
    free(p->text);
    free(p->m);
}

static int in_some_form(const jinja *j, const own_token *t, const eng_talk *talk, q_buf *text, q_buf *mark, char *err)
{
    char why[Q_ERRLEN];
    int rc = render(j, t, talk, false, text, mark, err);
    if (rc != Q_OK && has_calls(talk) && render(j, t, talk, true, text, mark, why) == Q_OK) return Q_OK;
    if (rc == Q_OK) return rc;
    plainer p = { 0 };
    simplify(talk, &p);
    eng_talk plain = *talk;
    plain.message = p.m;
    plain.n = p.n;
    bool same = p.n == talk->n;
    if (!same && (render(j, t, &plain, false, text, mark, why) == Q_OK || (has_calls(&plain) && render(j, t, &plain, true, text, mark, why) == Q_OK))) rc = Q_OK;
    plainer_free(&p);
    return rc;
}

/* ---- the rest ---- */
void own_open(const char *text, size_t n, jinja **out, char *err)
{
    static const char question[] = "Is there a quorum?";
    const eng_message m = { ENG_USER, question, sizeof question - 1, NULL };
    const eng_talk talk = { .message = &m, .n = 1, .reply = true, .think = -1 };
    const own_token t = { .bos = "", .eos = "", .now = 1 };
    q_buf shown = { 0 };
    if (jinja_new(text, n, out, err) != Q_OK) return;
    int rc = in_some_form(*out, &t, &talk, &shown, NULL, err);
    if (rc == Q_OK && !memmem(shown.p ? shown.p : "", shown.len, question, sizeof question - 1)) rc = q_fail(err, Q_FORMAT, _("it leaves out what is asked"));
    q_buf_free(&shown);
    if (rc == Q_OK) return;
    jinja_free(*out);
    *out = NULL;
}

bool own_takes_tools(const jinja *j, const own_token *t)
{
    const eng_message m = { ENG_USER, "?", 1, NULL };
    const eng_tool tool = { "quorum_probe", "probes", "{\"type\": \"object\", \"properties\": {}}" };
    const eng_talk talk = { .message = &m, .n = 1, .tool = &tool, .n_tool = 1, .reply = true, .think = -1 };
    char err[Q_ERRLEN];
    q_buf shown = { 0 };
    bool there = in_some_form(j, t, &talk, &shown, NULL, err) == Q_OK && memmem(shown.p ? shown.p : "", shown.len, tool.name, strlen(tool.name));
    q_buf_free(&shown);
    return there;
}

/* ---- is a call heard as it is written? ---- */
typedef struct echoed { const eng_call *want; int right, wrong; } echoed;

static void on_call(void *user, const eng_call *got)
{
    echoed *e = user;
    bool same = strcmp(got->name, e->want->name) == 0 && strcmp(got->arguments, e->want->arguments) == 0;
    e->right += same;
    e->wrong += !same;
}

static void on_bad(void *user, const char *sentence, const char *body) { ((echoed *)user)->wrong++; }

bool own_calls(const jinja *j, const own_token *t, const struct call_format *f)
{
    static const char question[] = "Where?";
    const eng_call call = { "abcdefghi", "quorum_probe", "{\"city\": \"Ж \\\"x\\\"\", \"n\": 2}" };
    const eng_more more = { .call = &call, .n_call = 1 };
    const eng_message m[] = { { ENG_USER, question, sizeof question - 1, NULL }, { ENG_ASSISTANT, "", 0, &more } };
    const eng_tool tool = { call.name, "probes", "{\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}, \"n\": {\"type\": \"integer\"}}}" };
    eng_talk talk = { .message = m, .n = 1, .tool = &tool, .n_tool = 1, .reply = true, .think = -1 };
    char err[Q_ERRLEN];
    q_buf asked = { 0 }, said = { 0 };
    echoed e = { .want = &call };
    bool there = in_some_form(j, t, &talk, &asked, NULL, err) == Q_OK;
    talk.n = 2;
    talk.reply = false;
    if (there && in_some_form(j, t, &talk, &said, NULL, err) == Q_OK) {
        const eng_heard h = { .user = &e, .call = on_call, .bad = on_bad };
        eng_calls *c = calls_new(f, &tool, 1, &h);
        size_t from = 0;
        while (from < asked.len && from < said.len && asked.p[from] == said.p[from]) from++;
        while (from < asked.len && from > 0 && !strchr(">]\n ", said.p[from - 1])) from--;      /* not within a mark that begins as another does */
        eng_calls_add(c, said.p ? said.p + from : "", said.len - from);
        eng_calls_end(c);
        eng_calls_free(c);
    }
    q_buf_free(&asked);
    q_buf_free(&said);
    return e.right == 1 && !e.wrong;
}

int own_write(const jinja *j, const vocab *v, const own_token *t, const eng_talk *talk, eng_tokens *out, char *err)
{
    q_buf text = { 0 }, mark = { 0 };
    int before = out->n, rc = in_some_form(j, t, talk, &text, &mark, err);
    eng_tokens said = { .most = out->most };
    if (rc == Q_OK) rc = vocab_tokenize_marked(v, text.p ? text.p : "", mark.p, text.len, &said, err);
    int32_t bos = vocab_bos(v);
    if (rc == Q_OK && bos >= 0 && (said.n == 0 || said.id[0] != bos)) eng_tokens_add(out, bos);
    for (int i = 0; i < said.n && rc == Q_OK; i++) eng_tokens_add(out, said.id[i]);
    if (rc != Q_OK) out->n = before;
    eng_tokens_free(&said);
    q_buf_free(&text);
    q_buf_free(&mark);
    return rc;
}
