/* engine/text/chatml: ChatML, with what a file's own template changes about it: a default system prompt, Qwen3's thinking. */
#include "engine/text/frame.h"

#include <string.h>

#define START "<|im_start|>"
#define STOP "<|im_end|>"

/* ---- reading the template ---- */
/* Bytes of s before the first thing that ends a literal, and whether that is the turn's end. */
static size_t literal(span s, bool *whole)
{
    static const char *stops[] = {STOP, START, "'", "\"", "{{", "{%"};
    for (size_t i = 0; i < s.n; i++) {
        if (!strchr("<'\"{", s.p[i])) continue;
        for (size_t k = 0; k < sizeof stops / sizeof *stops; k++)
            if (span_begins((span){s.p + i, s.n - i}, stops[k])) {
                *whole = k == 0;
                return i;
            }
    }
    *whole = false;
    return s.n;
}

/* A literal that a template holds right after <|im_start|>system and a newline: its default system prompt.
 * Newlines stand in the text as themselves or as \n of a Jinja string. */
static char *default_system(span t)
{
    static const char *heads[] = {START "system\n", START "system\\n"};
    for (size_t h = 0; h < 2; h++) {
        for (span rest = t;;) {
            const char *at = span_find(rest, heads[h]);
            if (!at) break;
            at += strlen(heads[h]);
            rest = (span){at, (size_t)(t.p + t.n - at)};
            bool whole;
            span lit = {at, literal(rest, &whole)};
            rest.p += lit.n;                               /* no byte is looked at twice */
            rest.n -= lit.n;
            if (!lit.n || !whole) continue;
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

void chatml_read(span t, chat *c)
{
    c->opens_think = span_find(t, "assistant\n" CHAT_THINK "\n'") || span_find(t, "assistant\\n" CHAT_THINK "\\n'");
    c->thinks = c->opens_think || span_find(t, "enable_thinking") != NULL;
    c->strips_think = span_find(t, CHAT_UNTHINK) != NULL;
    c->replays_turn = span_find(t, "last_query_index") != NULL;
    c->tool_response = span_find(t, "<tool_response>") != NULL;
    c->system = default_system(t);
}

/* ---- writing ---- */
static void open_turn(frame *f, const char *role)
{
    frame_mark(f, START);
    frame_words(f, role);
    frame_words(f, "\n");
}
static void close_turn(frame *f)
{
    frame_mark(f, STOP);
    frame_words(f, "\n");
}

static void think_block(frame *f, span inside)
{
    frame_mark(f, CHAT_THINK);
    frame_words(f, "\n");
    frame_text(f, inside);
    frame_words(f, "\n");
    frame_mark(f, CHAT_UNTHINK);
    frame_words(f, "\n\n");
}

/* The reply m of Qwen3's template: `late` means after the last question, `last` the very last message. */
static void assistant(frame *f, const chat *c, span m, bool late, bool last)
{
    span content = m, inside = {"", 0};
    if (c->strips_think) span_thought(m, &inside, &content);
    open_turn(f, "assistant");
    if (c->replays_turn && late && (last || inside.n)) {
        think_block(f, span_strip(inside, "\n"));
        content = span_lstrip(content, "\n");
    }
    frame_text(f, content);
    close_turn(f);
}

static void tool(frame *f, const eng_message *m, int i, int n)
{
    bool first = i == 0 || m[i - 1].role != ENG_TOOL, last = i == n - 1 || m[i + 1].role != ENG_TOOL;
    if (first) { frame_mark(f, START); frame_words(f, "user"); }
    frame_words(f, "\n");
    frame_mark(f, "<tool_response>");
    frame_words(f, "\n");
    frame_text(f, (span){m[i].text, m[i].n});
    frame_words(f, "\n");
    frame_mark(f, "</tool_response>");
    if (last) close_turn(f);
}

void chatml_render(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think)
{
    static const char *role[] = {"system", "user", "assistant", "tool"};
    int query = n - 1;
    for (int i = n - 1; i >= 0; i--) {
        span s = {m[i].text, m[i].n};
        if (m[i].role == ENG_USER && !(span_begins(s, "<tool_response>") && span_ends(s, "</tool_response>"))) { query = i; break; }
    }
    if (n > 0 && m[0].role != ENG_SYSTEM && c->system) {
        open_turn(f, "system");
        frame_words(f, c->system);
        close_turn(f);
    }
    for (int i = 0; i < n; i++) {
        span s = {m[i].text, m[i].n};
        if (m[i].role == ENG_ASSISTANT) assistant(f, c, s, i > query, i == n - 1);
        else if (m[i].role == ENG_TOOL && c->tool_response) tool(f, m, i, n);
        else {
            open_turn(f, role[m[i].role]);
            frame_text(f, s);
            close_turn(f);
        }
    }
    if (reply) {
        open_turn(f, "assistant");
        if (think == 0 && c->thinks) {
            frame_mark(f, CHAT_THINK);
            frame_words(f, "\n\n");
            frame_mark(f, CHAT_UNTHINK);
            frame_words(f, "\n\n");
        } else if (c->opens_think) {
            frame_mark(f, CHAT_THINK);
            frame_words(f, "\n");
        }
    }
}
