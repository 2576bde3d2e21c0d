/* engine/text/families: frames of single families, after what their publishers document: Llama 3 (Meta's model cards "Prompt
 * format", with the dated system turn that 3.1 to 3.3 always write) and GLM-4.5 (the template published with GLM-4.5 and
 * 4.6). Both trim what a message begins and ends with where their templates do. */
#include "engine/text/frame.h"

#include <string.h>

static span of(const eng_message *m) { return (span){m->text, m->n}; }

/* ---- Llama 3 ---- */
void llama3_read(span t, chat *c)
{
    c->dated = span_find(t, "Cutting Knowledge Date") != NULL;
}

static void turn(frame *f, const char *role)
{
    frame_mark(f, "<|start_header_id|>");
    frame_words(f, role);
    frame_mark(f, "<|end_header_id|>");
    frame_words(f, "\n\n");
}

/* The date is the one that the template itself falls back to: a prompt does not change from day to day. */
void llama3_render(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think)
{
    static const char *role[] = {"system", "user", "assistant", "ipython"};
    int i = 0;
    if (vocab_bos(f->v) < 0) frame_mark(f, "<|begin_of_text|>");
    if (c->dated) {
        turn(f, "system");
        frame_words(f, "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n");
        if (n > 0 && m[0].role == ENG_SYSTEM) frame_text(f, span_strip(of(&m[i++]), SPAN_SPACE));
        frame_mark(f, "<|eot_id|>");
    }
    for (; i < n; i++) {
        turn(f, role[m[i].role]);
        frame_text(f, span_strip(of(&m[i]), SPAN_SPACE));
        frame_mark(f, "<|eot_id|>");
    }
    if (reply) turn(f, "assistant");
}

/* ---- GLM-4.5 ---- */
void glm45_read(span t, chat *c) { c->thinks = c->strips_think = true; }

static void glm_thought(frame *f, span inside)
{
    frame_words(f, "\n");
    frame_mark(f, CHAT_THINK);
    frame_text(f, inside);
    frame_mark(f, CHAT_UNTHINK);
}

void glm45_render(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think)
{
    int last_user = -1;
    for (int i = 0; i < n; i++) if (m[i].role == ENG_USER) last_user = i;
    if (vocab_bos(f->v) < 0) frame_mark(f, "[gMASK]");
    frame_mark(f, "<sop>");
    for (int i = 0; i < n; i++) {
        span s = of(&m[i]), inside;
        switch (m[i].role) {
        case ENG_SYSTEM:
        case ENG_USER:
            frame_mark(f, m[i].role == ENG_USER ? "<|user|>" : "<|system|>");
            frame_words(f, "\n");
            frame_text(f, s);
            if (m[i].role == ENG_USER && think == 0 && !span_ends(s, "/nothink")) frame_mark(f, "/nothink");
            break;
        case ENG_ASSISTANT:
            frame_mark(f, "<|assistant|>");
            span_thought(s, &inside, &s);
            glm_thought(f, i > last_user ? span_strip(inside, SPAN_SPACE) : (span){"", 0});
            s = span_strip(s, SPAN_SPACE);
            if (s.n) frame_words(f, "\n");
            frame_text(f, s);
            break;
        case ENG_TOOL:
            if (i == 0 || m[i - 1].role != ENG_TOOL) frame_mark(f, "<|observation|>");
            frame_words(f, "\n");
            frame_mark(f, "<tool_response>");
            frame_words(f, "\n");
            frame_text(f, s);
            frame_words(f, "\n");
            frame_mark(f, "</tool_response>");
            break;
        }
    }
    if (!reply) return;
    frame_mark(f, "<|assistant|>");
    if (think == 0) glm_thought(f, (span){"", 0});
}
