/* cli/chat: quorum without a subcommand. Parses the options, opens the agent, and hands over to the full screen, the line
 * editor, or the one-shot loop below (-p, --json). One thread; it waits on the agent's descriptor only.
 * With -p, standard output carries the answer alone: notes and errors go to standard error. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"

#include "agent/agent.h"
#include "engine/grammar.h"
#include "rag/rag.h"
#include "tui/tui.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const cli_command cli_chat = { "chat", N_(
    "quorum [-m FILE|NAME] [--db FILE] [--set NAME=VALUE]... [--module NAME]... [--grammar FILE | --json-schema FILE] [--base]\n"
    "       [--allow RULES] [--repl | --json | -p TEXT [--json | --show-prompt]]\n"
    "    talk with the model: full screen, --repl in a line editor, -p one question\n"
    "    -m        a GGUF file, or a part of a known model's name; without it the default model\n"
    "    --db      the file that keeps conversations and memory (:memory: keeps nothing)\n"
    "    --set     a knob: experts.k=4, sampler.temperature=0, memory.on=off ... (/set in the shell lists them)\n"
    "    --module  a named text that stands in the prompt this time: skeptic, ... (/module in the shell lists them)\n"
    "    --grammar FILE      replies fit this grammar (GBNF, as llama.cpp has it); as --set sampler.grammar=FILE\n"
    "    --json-schema FILE  replies are JSON that this schema allows\n"
    "    --base    no template: the text continues\n"
    "    What is piped in without -p is read line by line, as if typed, into a new conversation.\n"
    "    -p TEXT   standard output carries the answer alone; what is piped in is attached as text. The question is kept as\n"
    "              a new conversation; earlier conversations are not searched (memory.chats=off) unless --set says so\n"
    "    --show-prompt  with -p: the prompt as the model would read it, instead of an answer; nothing is kept\n"
    "    --allow   tools that the model may use without asking: read,edit_file:src/* ...; turns tools on. With -p what is not\n"
    "              allowed is denied, ends the answer (finish \"denied\") and gives status 1\n"
    "    --approve-fd N  with -p or --json: who is asked about tools, a line of descriptor N a call: y, a, f, n WHY\n"
    "    --json    one event a line, each with \"v\":1 and \"event\"; without -p standard input is read line by line, as if\n"
    "              typed, commands too:\n"
    "              retrieval  fed, tokens, best, min_score, passages [n, source, heading, score, tokens, fed, fate, pinned, why]\n"
    "              prefill    done, total, tokens_per_s\n"
    "              token      index, id, text, thinking, logprob\n"
    "              knob       name, value, after_token, note\n"
    "              done       state, finish, text, thinking, tokens, thinking_tokens, prompt_tokens, prefill_s, decode_s,\n"
    "                         tokens_per_s, configuration, chat, message\n"
    "              page       name, text, data: what a command printed\n"
    "              source     name, text, from, to: a passage (bytes from..to of text) with what stands around it\n"
    "              ask        text: y as the next line says yes\n"
    "              approve    id, tool, title, arguments, shown, diff, why, rule, folder, question: the next line answers: y once,\n"
    "                         a in this conversation, f always in this folder, n WHY; to a question: the answer\n"
    "              call       message, tool, title, arguments, state, policy, result, ms\n"
    "              plan       text, steps [text, state], done, total\n"
    "              modules    data: modules [name, hash, tokens], tokens, left_out of the answer `message`; without it all modules, when one was\n"
    "                         switched\n"
    "              edit       path: a module's file, to be edited\n"
    "              error      text\n"
    "    --routing with --json: after each token the experts that ran for it: routing  index, id, position, layers [layer,\n"
    "              experts, weights, entropy, margin]"), cmd_chat };

enum { STDIN_MAX = 4 << 20 };

typedef struct options {
    const char *model, *db, *prompt, *grammar, *schema;
    const char **set, **module;
    int n_set, n_module;
    bool base, repl, json, show, routing;
    const char *allow;                   /* --allow; NULL */
    int approve_fd;                      /* who is asked about tools; -1: standard input with --json, else nobody with -p */
} options;


static volatile sig_atomic_t interrupted;
static void on_interrupt(int sig)
{
    interrupted = sig;
    tui_end_by(sig);
}

/* ---- output ---- */
static void json_error(const char *text)
{
    cJSON *o = cli_event("error");
    cJSON_AddStringToObject(o, "text", text);
    cli_say_event(o);
}

static void json_retrieval(const agt_retrieval *r)
{
    static const char *const fate[] = { [AGT_FED] = "fed", [AGT_BELOW] = "below", [AGT_LIMIT] = "limit", [AGT_REPEATS] = "repeats", [AGT_UNWANTED] = "unwanted", [AGT_ANSWER] = "answer" };
    cJSON *o = cli_event("retrieval");
    cJSON_AddNumberToObject(o, "fed", r->fed);
    cJSON_AddNumberToObject(o, "tokens", r->fed_tokens);
    cJSON_AddNumberToObject(o, "best", r->best);
    cJSON_AddNumberToObject(o, "min_score", r->min_score);
    if (r->narrowed) cJSON_AddStringToObject(o, "narrowed", r->narrowed);
    cJSON *list = cJSON_AddArrayToObject(o, "passages");
    for (int i = 0; i < r->n; i++) {
        const agt_passage *p = &r->p[i];
        cJSON *x = cJSON_CreateObject();
        cJSON_AddNumberToObject(x, "n", p->number);
        cJSON_AddStringToObject(x, "source", p->source);
        cJSON_AddStringToObject(x, "heading", p->heading);
        cJSON_AddNumberToObject(x, "score", p->score);
        rag_json_signals(x, p->signals);
        cJSON_AddNumberToObject(x, "tokens", p->tokens);
        cJSON_AddBoolToObject(x, "fed", p->number > 0);
        cJSON_AddStringToObject(x, "fate", fate[p->fate]);
        cJSON_AddBoolToObject(x, "pinned", p->pinned);
        if (p->away_ms) cJSON_AddNumberToObject(x, "not_reachable_since", (double)p->away_ms);
        cJSON_AddStringToObject(x, "why", p->why);
        cJSON_AddItemToArray(list, x);
    }
    cli_say_event(o);
}

static void json_done(agt *a, const agt_event *e)
{
    agt_status now;
    agt_get_status(a, &now);
    static const char *const state[] = { [AGT_PARTIAL] = "partial", [AGT_DONE] = "done", [AGT_STOPPED] = "stopped", [AGT_FAILED] = "failed" };
    const agt_message *m = e->message;
    cJSON *o = cli_event("done");
    cJSON_AddStringToObject(o, "state", state[m->state]);
    cJSON_AddStringToObject(o, "finish", e->name ? e->name : "");
    cJSON_AddStringToObject(o, "text", m->text ? m->text : "");
    cJSON_AddStringToObject(o, "thinking", m->thinking ? m->thinking : "");
    cJSON_AddNumberToObject(o, "tokens", m->n_tokens);
    cJSON_AddNumberToObject(o, "thinking_tokens", m->n_thinking);
    cJSON_AddNumberToObject(o, "prompt_tokens", m->n_prompt);
    cJSON_AddNumberToObject(o, "prefill_s", m->prefill_s);
    cJSON_AddNumberToObject(o, "decode_s", m->decode_s);
    cJSON_AddNumberToObject(o, "tokens_per_s", e->rate);
    cJSON_AddStringToObject(o, "configuration", m->label ? m->label : "");
    cJSON_AddNumberToObject(o, "chat", (double)now.chat);
    cJSON_AddNumberToObject(o, "message", (double)m->id);
    cli_say_event(o);
}

static void json_knob(const char *name, const char *value, int after, const char *note)
{
    cJSON *o = cli_event("knob");
    cJSON_AddStringToObject(o, "name", name);
    cJSON_AddStringToObject(o, "value", value);
    cJSON_AddNumberToObject(o, "after_token", after);
    cJSON_AddStringToObject(o, "note", note);
    cli_say_event(o);
}

/* What --set came to, once the model could say so. */
static void json_set(agt *a, const options *o)
{
    q_buf b = { 0 };
    for (int i = 0; i < o->n_set; i++) {
        char *name = q_strndup(o->set[i], strcspn(o->set[i], "="));
        const q_knob *k = agt_knob_named(a, name);
        if (k)
            json_knob(k->name, agt_knob_value(a, k, &b), 0, "");
        free(name);
    }
    q_buf_free(&b);
}

/* ---- tools ---- */
static void json_call(const char *name, const agt_event *e)
{
    static const char *const state[] = { [AGT_CALL_WAITS] = "waits", [AGT_CALL_RUNS] = "runs", [AGT_CALL_DONE] = "done", [AGT_CALL_FAILED] = "failed", [AGT_CALL_DENIED] = "denied",
                                         [AGT_CALL_STOPPED] = "stopped" };
    static const char *const asks_word[] = { [AGT_ASKS_CALL] = "call", [AGT_ASKS_SERVER] = "server", [AGT_ASKS_SIGN] = "sign-in", [AGT_ASKS_FORM] = "form" };
    const agt_call *c = &e->message->call[0];
    bool asks = e->kind == AGT_EV_APPROVE;
    cJSON *j = cli_event(name);
    cJSON_AddNumberToObject(j, asks ? "id" : "message", (double)e->id);
    cJSON_AddStringToObject(j, "tool", c->name);
    cJSON_AddStringToObject(j, "title", c->title);
    cJSON_AddStringToObject(j, "arguments", c->arguments ? c->arguments : "");
    cJSON_AddStringToObject(j, asks ? "why" : "policy", c->policy ? c->policy : "");
    if (asks) {
        cJSON_AddStringToObject(j, "shown", c->shown ? c->shown : "");
        cJSON_AddBoolToObject(j, "diff", c->diff);
        cJSON_AddBoolToObject(j, "question", c->question);
        cJSON_AddStringToObject(j, "asks", asks_word[c->asks]);
        cJSON_AddStringToObject(j, "rule", c->rule ? c->rule : "");
        cJSON_AddStringToObject(j, "folder", c->folder ? c->folder : "");
    } else {
        cJSON_AddStringToObject(j, "state", c->undone ? "undone" : state[c->state]);
        cJSON_AddStringToObject(j, "result", c->result ? c->result : "");
        cJSON_AddNumberToObject(j, "ms", (double)c->ms);
    }
    cli_say_event(j);
}

static void json_plan(const agt_event *e)
{
    cJSON *j = cli_event("plan");
    cJSON_AddStringToObject(j, "text", e->text);
    cJSON_AddNumberToObject(j, "done", (double)e->done);
    cJSON_AddNumberToObject(j, "total", (double)e->total);
    if (e->data)
        cJSON_AddRawToObject(j, "steps", e->data);
    cli_say_event(j);
}

static void json_writing(const agt_event *e)
{
    cJSON *j = cli_event("writing");
    cJSON_AddNumberToObject(j, "message", (double)e->id);
    cJSON_AddNumberToObject(j, "index", e->number);
    cJSON_AddStringToObject(j, "text", e->text);
    cJSON_AddNumberToObject(j, "bytes", (double)e->done);
    cli_say_event(j);
}

/* How far long work is, a call of a server's tool too; the last one has "ended". */
static void json_progress(const agt_event *e)
{
    cJSON *j = cli_event("progress");
    cJSON_AddStringToObject(j, "text", e->text ? e->text : "");
    if (e->total == 0)
        cJSON_AddBoolToObject(j, "ended", true);
    else {
        cJSON_AddNumberToObject(j, "done", (double)e->done);
        cJSON_AddNumberToObject(j, "total", e->total > 0 ? (double)e->total : (double)NAN);      /* null: not known */
        cJSON_AddNumberToObject(j, "left_s", e->rate >= 0 ? e->rate : (double)NAN);
    }
    cli_say_event(j);
}

static void json_compacted(const agt_event *e)
{
    cJSON *j = cli_event("compacted");
    cJSON_AddRawToObject(j, "data", e->data);
    cli_say_event(j);
}

static void json_modules(const agt_event *e)
{
    if (!e->data)                        /* only that the list is to be looked at again */
        return;
    cJSON *j = cli_event("modules");
    if (e->id)
        cJSON_AddNumberToObject(j, "message", (double)e->id);
    cJSON_AddRawToObject(j, "data", e->data);
    cli_say_event(j);
}

static void json_meaning(const agt_event *e)
{
    cJSON *j = cli_event("meaning");
    cJSON_AddStringToObject(j, "state", e->name);
    cJSON_AddNumberToObject(j, "done", (double)e->done);
    cJSON_AddNumberToObject(j, "total", (double)e->total);
    cJSON_AddNumberToObject(j, "left_s", e->rate >= 0 ? e->rate : (double)NAN);      /* null */
    cJSON_AddStringToObject(j, "text", e->text);
    cli_say_event(j);
}

static void json_teach(const agt_event *e)
{
    cJSON *j = cli_event("teach_progress");
    cJSON_AddItemToObject(j, "run", cJSON_Parse(e->data));
    cli_say_event(j);
}

/* A line of the descriptor that answers; false: its end. What comes behind it stays for the next. */
static bool answer_line(int fd, q_buf *out)
{
    q_buf_clear(out);
    q_buf_puts(out, "");
    for (char c; !interrupted;) {
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return out->len > 0;
        if (c == '\n')
            return true;
        if (c != '\r' && out->len < 65536)
            q_buf_putc(out, c);
    }
    return false;
}

/* One line of the descriptor is the answer; without one nobody is there. */
static void approve_by(agt *a, const agt_event *e, int fd)
{
    const agt_call *c = &e->message->call[0];
    enum agt_consent how = AGT_ONCE;
    q_buf b = { 0 };
    const char *words;
    if (!answer_line(fd, &b))
        agt_stop(a);
    else {
        words = b.p;
        if (!c->question)
            agt_consent_line(b.p, &how, &words);
        agt_approve(a, e->id, how, words);
    }
    q_buf_free(&b);
}

static void json_event(agt *a, const options *o, const agt_event *e)
{
    cJSON *j;
    switch (e->kind) {
    case AGT_EV_READY: json_set(a, o); break;
    case AGT_EV_RETRIEVAL: json_retrieval(e->retrieval); break;
    case AGT_EV_PREFILL:
        if (e->total > 0) {
            j = cli_event("prefill");
            cJSON_AddNumberToObject(j, "done", (double)e->done);
            cJSON_AddNumberToObject(j, "total", (double)e->total);
            cJSON_AddNumberToObject(j, "tokens_per_s", e->rate);
            cli_say_event(j);
        }
        break;
    case AGT_EV_MEANING: json_meaning(e); break;
    case AGT_EV_TEACH: json_teach(e); break;
    case AGT_EV_TOKEN:
        j = cli_event("token");
        cJSON_AddNumberToObject(j, "index", e->number);
        cJSON_AddNumberToObject(j, "id", e->token);
        cJSON_AddStringToObject(j, "text", e->text);
        cJSON_AddBoolToObject(j, "thinking", e->thinking);
        cJSON_AddNumberToObject(j, "logprob", e->logprob);
        cli_say_event(j);
        break;
    case AGT_EV_ROUTING:
        j = cli_event("routing");
        cJSON_AddNumberToObject(j, "index", e->number);
        cJSON_AddNumberToObject(j, "id", e->token);
        cJSON_AddNumberToObject(j, "position", (double)e->done);
        cJSON_AddRawToObject(j, "layers", e->data);
        cli_say_event(j);
        break;
    case AGT_EV_KNOB: json_knob(e->name, e->text, e->number, e->note ? e->note : ""); break;
    case AGT_EV_APPROVE: json_call("approve", e); break;
    case AGT_EV_CALL: json_call("call", e); break;
    case AGT_EV_PLAN: json_plan(e); break;
    case AGT_EV_COMPACTED: json_compacted(e); break;
    case AGT_EV_MODULES: json_modules(e); break;
    case AGT_EV_WRITING: json_writing(e); break;
    case AGT_EV_PROGRESS: json_progress(e); break;
    case AGT_EV_DONE: json_done(a, e); break;
    case AGT_EV_TEXT:
        j = cli_event("page");
        cJSON_AddStringToObject(j, "name", e->name ? e->name : "");
        cJSON_AddStringToObject(j, "text", e->text);
        if (e->data)
            cJSON_AddRawToObject(j, "data", e->data);
        cli_say_event(j);
        break;
    case AGT_EV_SOURCE:
        j = cli_event("source");
        cJSON_AddStringToObject(j, "name", e->name);
        cJSON_AddStringToObject(j, "text", e->text);
        cJSON_AddNumberToObject(j, "from", (double)e->done);
        cJSON_AddNumberToObject(j, "to", (double)e->total);
        cli_say_event(j);
        break;
    case AGT_EV_COLUMNS: {
        char *data = lab_columns_json(e->columns);
        j = cli_event("columns");
        cJSON_AddRawToObject(j, "data", data);
        cli_say_event(j);
        free(data);
        break;
    }
    case AGT_EV_ASK:
        j = cli_event("ask");
        cJSON_AddStringToObject(j, "text", e->text);
        if (e->data)
            cJSON_AddRawToObject(j, "data", e->data);
        cli_say_event(j);
        break;
    case AGT_EV_NOTE:
        if (e->level == AGT_ERROR)
            json_error(e->text);
        else
            q_say(stderr, "quorum: %s\n", e->text);
        break;
    default: break;
    }
}

typedef struct said { bool ended, failed, newline, any; char *note; } said;     /* note: the last one that was shown */

/* What is said of it begins on a line of its own. */
static void end_line(said *s)
{
    if (s->any && !s->newline)
        q_say(stdout, "\n");
    s->newline = true;
}

static void plain_event(const agt_event *e, said *s)
{
    switch (e->kind) {
    case AGT_EV_TOKEN:
        if (e->thinking || !*e->text)
            break;
        q_say_data(stdout, e->text, strlen(e->text));
        fflush(stdout);
        s->any = true;
        s->newline = e->text[strlen(e->text) - 1] == '\n';
        break;
    case AGT_EV_APPROVE: {
        char *words = agt_call_words(&e->message->call[0]);
        q_say_text(stderr, words);
        free(words);
        break;
    }
    case AGT_EV_NOTE:
        if (e->level == AGT_ERROR) {             /* the answer ends here */
            end_line(s);
            fflush(stdout);
        }
        if (e->level != AGT_INFO)
            q_say(stderr, "quorum: %s\n", e->text);
        break;
    default: break;
    }
}

/* One question, one answer. */
/* Once the model is there: one without a template gets the question in a plain frame, which it may only go on with. */
static bool told_of_no_template(agt *a)
{
    agt_status st;
    agt_get_status(a, &st);
    if (!st.loaded || st.chat_template || st.model[0] == '@')           /* a server frames its own */
        return st.loaded;
    q_say(stderr, _("quorum: this file has no chat template: it may be a base model, which continues texts rather than answers; --base lets it\n"));
    return true;
}

static int one_shot(agt *a, const options *o, const char *text)
{
    bool stopping = false, told = o->show;
    said s = { .newline = true };
    struct sigaction sa = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    char *message = q_printf(" %s", text);       /* a message, also when it begins with "/" */
    if (o->show)
        agt_show_prompt(a, text);
    else
        agt_submit(a, message);
    free(message);
    while (!s.ended) {
        agt_event e;
        while (!s.ended && agt_next(a, &e)) {
            told = told || told_of_no_template(a);
            bool again = e.kind == AGT_EV_NOTE && s.note && strcmp(s.note, e.text) == 0;
            if (e.kind == AGT_EV_NOTE && !again) {
                free(s.note);
                s.note = q_strdup(e.text);
            }
            if (again) {
                /* a model that did not load fails the question for the same reason: said once */
            } else if (o->json)
                json_event(a, o, &e);
            else
                plain_event(&e, &s);
            if (e.kind == AGT_EV_DONE) {
                s.ended = true;
                s.failed = e.message->state != AGT_DONE;
            } else if (e.kind == AGT_EV_APPROVE)
                approve_by(a, &e, o->approve_fd);
            else if (e.kind == AGT_EV_TEXT && o->show) {
                q_say_text(stdout, e.text);
                s.ended = s.any = true;
                s.newline = !*e.text || e.text[strlen(e.text) - 1] == '\n';
            } else if (e.kind == AGT_EV_UI && e.id == AGT_UI_EDIT)
                s.ended = s.failed = true;       /* the question could not be stored; a note said why */
            agt_event_free(&e);
        }
        if ((interrupted || ferror(stdout)) && !stopping) {
            stopping = true;
            agt_stop(a);
        }
        if (!s.ended) {
            struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
            poll(&p, 1, 200);
        }
    }
    free(s.note);
    if (!o->json)
        end_line(&s);
    if (fflush(stdout) != 0 || ferror(stdout))
        s.failed = true;
    return s.failed || interrupted ? 1 : 0;
}

typedef struct lines { int64_t ask, approve; bool question, failed, quit, chats; } lines;

/* ---- lists that the full screen shows as panels, as pages ---- */
static void json_page(const char *name, q_buf *text, cJSON *data)
{
    cJSON *j = cli_event("page");
    cJSON_AddStringToObject(j, "name", name);
    cJSON_AddStringToObject(j, "text", text->p ? text->p : "");
    cJSON_AddItemToObject(j, "data", data);
    cli_say_event(j);
    q_buf_free(text);
}

static void json_help(void)
{
    int n;
    const agt_command *c = agt_commands(&n);
    q_buf b = { 0 };
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        cJSON *one = cJSON_CreateObject();
        const char *args = *c[i].args ? _(c[i].args) : "";
        cJSON_AddStringToObject(one, "name", c[i].name);
        cJSON_AddStringToObject(one, "args", args);
        cJSON_AddStringToObject(one, "help", _(c[i].help));
        cJSON_AddItemToArray(all, one);
        q_buf_printf(&b, "/%s%s%s  %s\n", c[i].name, *args ? " " : "", args, _(c[i].help));
    }
    json_page("/help", &b, all);
}

static void json_chats(const agt_event *e)
{
    q_buf b = { 0 };
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < e->n_chats; i++) {
        const agt_chat *c = &e->chat[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "chat", (double)c->id);
        cJSON_AddStringToObject(one, "title", c->title);
        cJSON_AddNumberToObject(one, "updated_ms", (double)c->updated_ms);
        cJSON_AddNumberToObject(one, "messages", c->n_messages);
        cJSON_AddItemToArray(all, one);
        q_buf_printf(&b, "%4lld  %s  (%d)\n", (long long)c->id, *c->title ? c->title : _("untitled"), c->n_messages);
    }
    json_page("/chats", &b, all);
}

static void json_found(const agt_event *e)
{
    q_buf b = { 0 };
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < e->n_messages; i++) {
        const agt_message *m = &e->message[i];
        cJSON *one = cJSON_CreateObject();
        for (char *p = m->text; *p; p++)             /* the marks of a match */
            *p = *p == 1 || *p == 2 ? '*' : *p;
        cJSON_AddNumberToObject(one, "chat", (double)m->parent);
        cJSON_AddNumberToObject(one, "message", (double)m->id);
        cJSON_AddStringToObject(one, "title", m->label ? m->label : "");
        cJSON_AddStringToObject(one, "text", m->text);
        cJSON_AddItemToArray(all, one);
        q_buf_printf(&b, "%4lld:%lld  %s: %s\n", (long long)m->parent, (long long)m->id, m->label ? m->label : "", m->text);
    }
    json_page("/find", &b, all);
}

/* What the full screen would show as a panel is printed; what is its alone is an error. */
/* A file that is there for the caller's own editor. */
static void json_edit(const char *path)
{
    cJSON *j = cli_event("edit");
    cJSON_AddStringToObject(j, "path", path);
    cli_say_event(j);
}

static void instead(agt *a, const agt_event *e, lines *l)
{
    switch ((enum agt_action)e->id) {
    case AGT_UI_QUIT: l->quit = true; break;
    case AGT_UI_EXPERTS: agt_submit(a, "/experts text"); break;
    case AGT_UI_ENERGY: agt_submit(a, "/energy text"); break;
    case AGT_UI_ADVISE: agt_submit(a, "/advise text"); break;
    case AGT_UI_TEACH: agt_submit(a, "/teach text"); break;
    case AGT_UI_MEMORY: agt_submit(a, "/memory list"); break;
    case AGT_UI_CONFIG: agt_submit(a, "/set"); break;
    case AGT_UI_MAP: agt_submit(a, "/map text"); break;
    case AGT_UI_HELP: json_help(); break;
    case AGT_UI_CHATS: l->chats = true; break;
    case AGT_UI_MODULE: agt_submit(a, "/module list"); break;
    case AGT_UI_FILE: json_edit(e->text); break;
    case AGT_UI_LANG: case AGT_UI_THEME: case AGT_UI_CLEAR: case AGT_UI_FORGOTTEN: break;      /* the knob's row says it; there is no screen */
    default:
        json_error((enum agt_action)e->id == AGT_UI_EDIT ? _("/edit TEXT asks the last question anew, worded so.")
                                                         : _("That needs the full screen: start quorum without --json."));
        l->failed = true;
    }
}

/* Until nothing runs. False: it was interrupted, or nobody reads. */
static bool follow(agt *a, const options *o, lines *l)
{
    for (bool idle = false; !idle && !l->approve && !interrupted && !ferror(stdout);) {
        agt_event e;
        idle = agt_idle(a);              /* before the events: what was asked for is all there then */
        while (agt_next(a, &e)) {
            json_event(a, o, &e);
            l->ask = e.kind == AGT_EV_ASK ? e.id : l->ask;
            l->failed |= e.kind == AGT_EV_NOTE && e.level == AGT_ERROR;
            if (e.kind == AGT_EV_APPROVE && o->approve_fd >= 0)
                approve_by(a, &e, o->approve_fd);
            else if (e.kind == AGT_EV_APPROVE) {
                l->approve = e.id;
                l->question = e.message->call[0].question;
            }
            if (e.kind == AGT_EV_UI) {
                instead(a, &e, l);
                idle = false;            /* it may have asked for something: a line ends with what came of it */
            } else if (e.kind == AGT_EV_FOUND)
                json_found(&e);
            else if (e.kind == AGT_EV_CHATS && l->chats) {
                json_chats(&e);
                l->chats = false;
            }
            agt_event_free(&e);
        }
        if (!idle) {
            struct pollfd p = { .fd = agt_wake_fd(a), .events = POLLIN };
            poll(&p, 1, 20);
        }
    }
    return !interrupted && !ferror(stdout);
}

static bool one_of(const char *s, const char *const *word, int n)
{
    while (n > 0 && strcmp(s, word[n - 1]) != 0)
        n--;
    return n > 0;
}

/* Standard input line by line, as if typed; each is done before the next is read. */
static int json_lines(agt *a, const options *o)
{
    char *text = NULL;
    size_t cap = 0;
    static const char *const yes[] = { "y", "yes", "да", "д" }, *const no[] = { "n", "no", "нет", "н" };
    lines l = { 0 };
    bool on;
    struct sigaction sa = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    on = follow(a, o, &l);
    for (ssize_t n; on && !l.quit && (n = getline(&text, &cap, stdin)) >= 0;) {
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
            text[--n] = 0;
        if (l.approve && *text != '/') {
            enum agt_consent how = AGT_ONCE;
            const char *words = text;
            if (!l.question)
                agt_consent_line(text, &how, &words);
            agt_approve(a, l.approve, how, words);
            l.approve = 0;
            on = follow(a, o, &l);
            continue;
        }
        l.approve = 0;
        bool agreed = l.ask && one_of(text, yes, 4), answer = l.ask && (agreed || one_of(text, no, 4));
        if (l.ask)
            agt_answer(a, l.ask, agreed);
        l.ask = 0;
        if (!answer && n > 0)
            agt_submit(a, text);
        on = follow(a, o, &l);
    }
    if (!on || l.approve)                /* nobody is left to be asked */
        agt_stop(a);
    free(text);
    return l.failed || !on ? 1 : 0;
}

/* ---- starting ---- */
/* Text of a pipe or file on standard input, put beside the question. */
static int attach(q_buf *question, char *err)
{
    struct stat st;
    if (isatty(STDIN_FILENO) || fstat(STDIN_FILENO, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)))
        return Q_OK;
    q_buf in = { 0 };
    int rc = cli_stdin(&in, STDIN_MAX, err);
    if (rc == Q_RANGE)
        q_fail(err, rc, _("standard input is longer than %d MiB: quorum memory add FILE takes long texts"), STDIN_MAX >> 20);
    if (rc == Q_OK && in.len && memchr(in.p, 0, in.len))
        rc = q_fail(err, Q_FORMAT, _("standard input is not text (it holds NUL bytes): convert it to UTF-8 text first"));
    if (rc == Q_OK && in.len) {
        char *whole = agt_attach(question->p, in.p, in.len);
        q_buf_clear(question);
        q_buf_puts(question, whole);
        free(whole);
    }
    q_buf_free(&in);
    return rc;
}

/* The descriptor that --approve-fd names is there and can be read. */
static bool readable(const char *text, int *fd)
{
    char *end;
    long n = strtol(text, &end, 10);
    int mode = *text && !*end && n >= 0 && n < 1 << 20 ? fcntl((int)n, F_GETFL) : -1;
    *fd = (int)n;
    return mode >= 0 && (mode & O_ACCMODE) != O_WRONLY;
}

static int excluded(const options *o, const char *fd)
{
    static const char *const row[] = {
        N_("--json and --repl exclude each other"), N_("--show-prompt goes with -p, without --json"), N_("--routing goes with --json"),
        N_("-p and --repl exclude each other"), N_("--approve-fd goes with -p or --json"), N_("--approve-fd needs the number of an open descriptor that can be read"),
        N_("--grammar and --json-schema exclude each other: a schema is a grammar too") };
    bool wrong[] = { o->json && o->repl, o->show && (!o->prompt || o->json), o->routing && !o->json, o->repl && o->prompt, fd && !o->prompt && !o->json, fd && o->approve_fd < 0,
                     o->grammar && o->schema };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (wrong[i])
            return cli_usage(&cli_chat, _(row[i]));
    return 0;
}

static int parse(int argc, char **argv, options *o)
{
    const char *fd = NULL;
    struct { const char *name; const char **value; } with[] = { { "-m", &o->model }, { "--db", &o->db }, { "-p", &o->prompt }, { "--allow", &o->allow }, { "--approve-fd", &fd },
                                                                { "--grammar", &o->grammar }, { "--json-schema", &o->schema } };
    o->set = q_alloc(sizeof *o->set * (size_t)(argc + 5));
    o->module = q_alloc(sizeof *o->module * (size_t)(argc + 1));
    for (int i = 1; i < argc; i++) {
        const char *s = argv[i];
        bool taken = false;
        if (strcmp(s, "--base") == 0) o->base = taken = true;
        else if (strcmp(s, "--repl") == 0) o->repl = taken = true;
        else if (strcmp(s, "--json") == 0) o->json = taken = true;
        else if (strcmp(s, "--show-prompt") == 0) o->show = taken = true;
        else if (strcmp(s, "--routing") == 0) o->routing = taken = true;
        else if (strcmp(s, "--set") == 0) {
            if (++i == argc || !strchr(argv[i], '='))
                return cli_usage(&cli_chat, _("--set needs NAME=VALUE"));
            o->set[o->n_set++] = argv[i];
            taken = true;
        }
        else if (strcmp(s, "--module") == 0) {
            if (++i == argc)
                return cli_usage_take(&cli_chat, q_printf(_("%s needs a value"), s));
            o->module[o->n_module++] = argv[i];
            taken = true;
        }
        for (size_t k = 0; !taken && k < sizeof with / sizeof *with; k++)
            if (strcmp(s, with[k].name) == 0) {
                if (++i == argc)
                    return cli_usage_take(&cli_chat, q_printf(_("%s needs a value"), s));
                *with[k].value = argv[i];
                taken = true;
            }
        if (!taken) {
            char *theirs = cli_foreign(&cli_chat, s);
            return cli_usage_take(&cli_chat, theirs ? theirs : q_printf(_("unknown option %s"), s));
        }
    }
    o->approve_fd = -1;
    if (fd && !readable(fd, &o->approve_fd))
        o->approve_fd = -1;
    for (int i = 0; o->allow && i <= o->n_set; i++)      /* who says what is allowed wants tools */
        if (i == o->n_set) {
            o->set[o->n_set++] = "agent.tools=all";
            break;
        } else if (strncmp(o->set[i], "agent.tools=", 12) == 0 || strncmp(o->set[i], "tools=", 6) == 0)
            break;
    int rc = excluded(o, fd);
    if (o->approve_fd == STDIN_FILENO && !o->prompt)     /* its lines answer anyway, and are read ahead */
        o->approve_fd = -1;
    return rc;
}

static int fail(const options *o, const char *err)
{
    if (o->json)
        json_error(err);
    return cli_fail(err);
}

/* The file is looked at as what the flag says it is, before anything is opened; *set: the knob that names it, malloc'ed, or NULL. */
static int read_grammar(options *o, char **set, char *err)
{
    const char *path = o->grammar ? o->grammar : o->schema;
    eng_grammar *g = NULL;
    q_buf b = { 0 };
    char why[Q_ERRLEN];
    *set = NULL;
    if (!path)
        return Q_OK;
    int rc = q_read_file(path, &b, ENG_GRAMMAR_BYTES, err);
    if (rc < 0) {
        q_buf_free(&b);
        return rc;
    }
    eng_grammar_source s = { .kind = o->grammar ? ENG_GRAMMAR_GBNF : ENG_GRAMMAR_SCHEMA, .text = b.p ? b.p : "", .n = b.len };
    rc = eng_grammar_new(&s, &g, why);
    eng_grammar_free(g);
    q_buf_free(&b);
    if (rc < 0)
        return q_fail(err, rc, "%.200s: %s", path, why);
    *set = q_printf("sampler.grammar=%s", path);
    o->set[o->n_set++] = *set;
    return Q_OK;
}

static int run(options *o, char *err)
{
    char *path = NULL;
    agt *a;
    q_buf question = { 0 };
    bool server = o->model && *o->model == '@';       /* config.ini says where; opening it, whether it is there */
    int rc = server ? Q_OK : cli_model_path(o->model, &path, err), status = 0;
    if (server)
        path = q_strdup(o->model);
    if (rc < 0 && (o->model || o->prompt))
        return fail(o, err);
    if (o->prompt) {
        q_buf_puts(&question, o->prompt);
        if (o->approve_fd != STDIN_FILENO && attach(&question, err) < 0) {       /* else it answers, and is no text */
            q_buf_free(&question);
            free(path);
            return fail(o, err);
        }
        if (strspn(question.p, " \t\r\n") == question.len) {
            q_buf_free(&question);
            free(path);
            return cli_usage(&cli_chat, _("-p needs a question, or text on standard input"));
        }
        /* Scripts want the same answer twice: earlier conversations stay out unless asked for. */
        memmove(o->set + 1, o->set, sizeof *o->set * (size_t)o->n_set);
        o->set[0] = "memory.chats=off";
        o->n_set++;
    }
    bool script = o->prompt || o->json || !isatty(STDIN_FILENO);       /* it is nobody who goes on with what was said last */
    agt_options ao = { .model = path, .db = o->db, .set = o->set, .n_set = o->n_set, .base = o->base, .fresh = script, .once = script, .routing = o->routing,
                       .module = o->module, .n_module = o->n_module, .meaning = true, .embeds = !o->prompt, .allow = o->allow, .alone = o->prompt && o->approve_fd < 0 };
    rc = agt_open(&ao, &a, err);
    free(path);
    if (rc < 0) {
        q_buf_free(&question);
        return fail(o, err);
    }
    if (o->prompt) {
        o->set++;                        /* not one that the person gave */
        o->n_set--;
        status = one_shot(a, o, question.p);
        o->set--;
    } else if (o->json)
        status = json_lines(a, o);
    else {
        q_buf b = { 0 };
        for (int i = 0; i < agt_knob_count(a); i++)
            if (strcmp(agt_knob(a, i)->name, "ui.lang") == 0)
                tui_lang(agt_knob_value(a, agt_knob(a, i), &b));
        q_buf_free(&b);
        rc = o->repl || !tui_possible() ? tui_repl(a, err) : tui_run(a, &(tui_options){ 0 }, err);
    }
    agt_close(a);
    q_buf_free(&question);
    if (rc > 0) {
        signal(rc, SIG_DFL);
        raise(rc);
    }
    return rc < 0 ? fail(o, err) : status;
}

int cmd_chat(int argc, char **argv)
{
    char err[Q_ERRLEN];
    options o = { 0 };
    tui_lang(NULL);
    char *grammar = NULL;
    int rc = parse(argc, argv, &o);
    if (rc == 0)
        rc = read_grammar(&o, &grammar, err) < 0 ? fail(&o, err) : run(&o, err);
    free(o.set);
    free(o.module);
    free(grammar);
    return rc;
}
