/* engine/text/template: see template.h. Here is ChatML with what a file's own template changes about it (a default system
 * prompt, Qwen3's thinking). Texts of a conversation are tokenised as plain text together with the words of the frame
 * around them, exactly as if the rendered whole were tokenised, but nothing in a text becomes a control token. */
#include "engine/text/template.h"

#include <stdlib.h>
#include <string.h>

#define START "<|im_start|>"
#define STOP "<|im_end|>"
#define THINK "<think>"
#define UNTHINK "</think>"

typedef struct span { const char *p; size_t n; } span;

static const char *within(span s, const char *what)
{
    return s.n ? memmem(s.p, s.n, what, strlen(what)) : NULL;
}
static bool begins(span s, const char *what) { return s.n >= strlen(what) && memcmp(s.p, what, strlen(what)) == 0; }
static bool ends(span s, const char *what)
{
    size_t n = strlen(what);
    return s.n >= n && memcmp(s.p + s.n - n, what, n) == 0;
}
static span lstrip(span s) { while (s.n && s.p[0] == '\n') { s.p++; s.n--; } return s; }
static span rstrip(span s) { while (s.n && s.p[s.n - 1] == '\n') s.n--; return s; }

/* ---- reading the template ---- */
/* A literal that a template holds right after <|im_start|>system and a newline: its default system prompt.
 * Newlines stand in the text as themselves or as \n of a Jinja string. */
static char *default_system(span t)
{
    static const char *heads[] = {START "system\n", START "system\\n"};
    for (size_t h = 0; h < 2; h++) {
        for (span rest = t;;) {
            const char *at = within(rest, heads[h]);
            if (!at) break;
            at += strlen(heads[h]);
            rest = (span){at, (size_t)(t.p + t.n - at)};
            const char *stop = within(rest, STOP);
            span lit = {at, stop ? (size_t)(stop - at) : 0};
            if (!lit.n || within(lit, "'") || within(lit, "\"") || within(lit, "{{") || within(lit, "{%")) continue;
            q_buf b = {0};
            for (size_t i = 0; i < lit.n; i++) {
                if (lit.p[i] == '\\' && i + 1 < lit.n && (lit.p[i + 1] == 'n' || lit.p[i + 1] == '\\'))
                    q_buf_putc(&b, lit.p[++i] == 'n' ? '\n' : '\\');
                else q_buf_putc(&b, lit.p[i]);
            }
            return q_buf_take(&b);
        }
    }
    return NULL;
}

static void chatml_read(span t, chat *c)
{
    c->opens_think = within(t, "assistant\n" THINK "\n'") || within(t, "assistant\\n" THINK "\\n'");
    c->thinks = c->opens_think || within(t, "enable_thinking");
    c->strips_think = within(t, UNTHINK) != NULL;
    c->replays_turn = within(t, "last_query_index") != NULL;
    c->tool_response = within(t, "<tool_response>") != NULL;
    c->system = default_system(t);
}

/* ---- writing a conversation ---- */
typedef struct frame { const vocab *v; q_buf plain; eng_tokens *out; char *err; int r; } frame;

static void text(frame *f, span s) { q_buf_add(&f->plain, s.p, s.n); }
static void words(frame *f, const char *s) { q_buf_puts(&f->plain, s); }

static void flush(frame *f)
{
    if (f->plain.len && !f->r) f->r = vocab_tokenize(f->v, f->plain.p, f->plain.len, false, f->out, f->err);
    q_buf_clear(&f->plain);
}

/* A token of the frame; where the vocabulary lacks it, its letters. */
static void mark(frame *f, const char *name)
{
    int32_t id = vocab_find(f->v, name);
    if (id < 0) { words(f, name); return; }
    flush(f);
    eng_tokens_add(f->out, id);
}

static void open_turn(frame *f, const char *role)
{
    mark(f, START);
    words(f, role);
    words(f, "\n");
}
static void close_turn(frame *f)
{
    mark(f, STOP);
    words(f, "\n");
}

static void think_block(frame *f, span inside)
{
    mark(f, THINK);
    words(f, "\n");
    text(f, inside);
    words(f, "\n");
    mark(f, UNTHINK);
    words(f, "\n\n");
}

/* The reply m of Qwen3's template: `late` means after the last question, `last` the very last message. */
static void assistant(frame *f, const chat *c, span m, bool late, bool last)
{
    span content = m, inside = {"", 0};
    const char *first = c->strips_think ? within(m, UNTHINK) : NULL;
    if (first) {
        inside = rstrip((span){m.p, (size_t)(first - m.p)});
        for (const char *at; (at = within(inside, THINK));) {
            inside.n -= (size_t)(at - inside.p) + strlen(THINK);
            inside.p = at + strlen(THINK);
        }
        inside = lstrip(inside);
        for (const char *at; (at = within(content, UNTHINK));) {
            content.n -= (size_t)(at - content.p) + strlen(UNTHINK);
            content.p = at + strlen(UNTHINK);
        }
        content = lstrip(content);
    }
    open_turn(f, "assistant");
    if (c->replays_turn && late && (last || inside.n)) {
        think_block(f, rstrip(lstrip(inside)));
        content = lstrip(content);
    }
    text(f, content);
    close_turn(f);
}

static void tool(frame *f, const eng_message *m, int i, int n)
{
    bool first = i == 0 || m[i - 1].role != ENG_TOOL, last = i == n - 1 || m[i + 1].role != ENG_TOOL;
    if (first) { mark(f, START); words(f, "user"); }
    words(f, "\n");
    mark(f, "<tool_response>");
    words(f, "\n");
    text(f, (span){m[i].text, m[i].n});
    words(f, "\n");
    mark(f, "</tool_response>");
    if (last) close_turn(f);
}

static void chatml_render(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think)
{
    static const char *role[] = {"system", "user", "assistant", "tool"};
    int query = n - 1;
    for (int i = n - 1; i >= 0; i--) {
        span s = {m[i].text, m[i].n};
        if (m[i].role == ENG_USER && !(begins(s, "<tool_response>") && ends(s, "</tool_response>"))) { query = i; break; }
    }
    if (n > 0 && m[0].role != ENG_SYSTEM && c->system) {
        open_turn(f, "system");
        words(f, c->system);
        close_turn(f);
    }
    for (int i = 0; i < n; i++) {
        span s = {m[i].text, m[i].n};
        if (m[i].role == ENG_ASSISTANT) assistant(f, c, s, i > query, i == n - 1);
        else if (m[i].role == ENG_TOOL && c->tool_response) tool(f, m, i, n);
        else {
            open_turn(f, role[m[i].role]);
            text(f, s);
            close_turn(f);
        }
    }
    if (reply) {
        open_turn(f, "assistant");
        if (think == 0 && c->thinks) {
            mark(f, THINK);
            words(f, "\n\n");
            mark(f, UNTHINK);
            words(f, "\n\n");
        } else if (c->opens_think) {
            mark(f, THINK);
            words(f, "\n");
        }
    }
}

/* ---- the kinds ---- */
typedef struct chat_kind {
    const char *mark, *name;           /* a template with this text in it is of this kind, called so */
    const char *end;                   /* the token that ends a turn */
    void (*read)(span t, chat *c);     /* what the template changes; NULL with render: known by name only */
    void (*render)(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think);
} chat_kind;

/* The first that fits counts; ChatML's mark is in templates of others too. */
static const chat_kind KINDS[] = {
    {"<|im_middle|>", "Kimi", NULL, NULL, NULL},
    {START, "ChatML", STOP, chatml_read, chatml_render},
    {"<|start_header_id|>", "Llama 3", NULL, NULL, NULL},
    {"<start_of_turn>", "Gemma", NULL, NULL, NULL},
    {"[gMASK]", "GLM-4", NULL, NULL, NULL},
    {"<｜User｜>", "DeepSeek", NULL, NULL, NULL},
    {"<|START_OF_TURN_TOKEN|>", "Command R", NULL, NULL, NULL},
    {"<|start_of_role|>", "Granite", NULL, NULL, NULL},
    {"<|channel|>", "Harmony", NULL, NULL, NULL},
    {"[INST]", "Mistral", NULL, NULL, NULL},
    {"<|user|>", "Phi or Zephyr", NULL, NULL, NULL},
};
static const chat_kind *const FALLBACK = &KINDS[1];    /* spoken to models without a template, or with another one */

void chat_read(const gguf_file *f, chat *c)
{
    gguf_str s;
    const chat_kind *kind = NULL;
    *c = (chat){.kind = FALLBACK};
    if (!gguf_string(f, "tokenizer.chat_template", &s) || s.n == 0) return;
    span t = {s.p, s.n};
    c->has = true;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS && !kind; i++)
        if (within(t, KINDS[i].mark)) kind = &KINDS[i];
    if (kind && kind->render) {
        c->kind = kind;
        kind->read(t, c);
        return;
    }
    c->note = q_printf(_("the chat template of this model (%s) is not known here; ChatML is used instead, answers may be worse"),
                       kind ? kind->name : _("unnamed"));
}

void chat_free(chat *c)
{
    free(c->system);
    free(c->note);
    *c = (chat){0};
}

const char *chat_end(const chat *c) { return c->kind->end; }

int chat_render(const chat *c, const vocab *v, const eng_message *m, int n, bool reply, int think, eng_tokens *out, char *err)
{
    frame f = {v, {0}, out, err, Q_OK};
    int before = out->n;
    if (vocab_bos(v) >= 0) eng_tokens_add(out, vocab_bos(v));
    c->kind->render(&f, c, m, n, reply, think);
    flush(&f);
    q_buf_free(&f.plain);
    if (f.r) out->n = before;
    return f.r;
}
