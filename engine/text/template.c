/* engine/text/template: see template.h. Here are the kinds as rows; how each is written stands in chatml.c and families.c. */
#include "engine/text/frame.h"

#include <stdlib.h>
#include <string.h>

typedef struct chat_kind {
    const char *mark, *name;           /* a template with this text in it is of this kind, called so */
    const char *end;                   /* the token that ends a turn */
    void (*read)(span t, chat *c);     /* what the template changes; NULL with render: known by name only */
    void (*render)(frame *f, const chat *c, const eng_message *m, int n, bool reply, int think);
} chat_kind;

/* The first that fits counts; ChatML's mark is in templates of others too. */
static const chat_kind KINDS[] = {
    {"<|im_middle|>", "Kimi", NULL, NULL, NULL},
    {"<|im_start|>", "ChatML", "<|im_end|>", chatml_read, chatml_render},
    {"<|start_header_id|>", "Llama 3", "<|eot_id|>", llama3_read, llama3_render},
    {"<start_of_turn>", "Gemma", NULL, NULL, NULL},
    {"/nothink", "GLM-4.5", "<|user|>", glm45_read, glm45_render},
    {"[gMASK]", "GLM-4", NULL, NULL, NULL},
    {"<｜User｜>", "DeepSeek", NULL, NULL, NULL},
    {"<|START_OF_TURN_TOKEN|>", "Command R", NULL, NULL, NULL},
    {"<|start_of_role|>", "Granite", NULL, NULL, NULL},
    {"<|channel|>", "Harmony", NULL, NULL, NULL},
    {"[INST]", "Mistral", NULL, NULL, NULL},
    {"<|user|>", "Phi or Zephyr", NULL, NULL, NULL},
};
static const chat_kind UNNAMED = {"", "", NULL, NULL, NULL};
static const chat_kind *const FALLBACK = &KINDS[1];    /* spoken to models without a template */

void chat_read(const gguf_file *f, chat *c)
{
    gguf_str s;
    const chat_kind *kind = NULL;
    *c = (chat){.kind = FALLBACK};
    if (!gguf_string(f, "tokenizer.chat_template", &s) || s.n == 0) return;
    span t = {s.p, s.n};
    c->has = true;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS && !kind; i++)
        if (span_find(t, KINDS[i].mark)) kind = &KINDS[i];
    c->kind = kind ? kind : &UNNAMED;
    if (c->kind->read) c->kind->read(t, c);
    if (!c->kind->render)
        c->note = q_printf(_("the chat template of this model (%s) is not known here, so it cannot be talked with yet; --base continues "
                             "a text without one"), kind ? kind->name : _("unnamed"));
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
    if (!c->kind->render) return q_fail(err, Q_FORMAT, "%s", c->note);
    if (vocab_bos(v) >= 0) eng_tokens_add(out, vocab_bos(v));
    c->kind->render(&f, c, m, n, reply, think);
    frame_flush(&f);
    q_buf_free(&f.plain);
    if (f.r) out->n = before;
    return f.r;
}

bool chat_thinking(const chat *c, const vocab *v, const int32_t *id, int n)
{
    int32_t open = vocab_find(v, CHAT_THINK), close = vocab_find(v, CHAT_UNTHINK);
    if (!c->thinks || open < 0) return false;
    for (int i = n - 1; i >= 0; i--) {
        if (id[i] == open) return true;
        if (id[i] == close || vocab_control(v, id[i])) return false;      /* a turn's mark: nothing was opened since */
    }
    return false;
}
