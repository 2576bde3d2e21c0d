/* engine/text/template: see template.h. Here are the kinds as rows; how each is written stands in chatml.c and families.c. */
#include "engine/text/calls.h"
#include "engine/text/frame.h"
#include "engine/text/own.h"

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
    c->calls = calls_find(t.p, t.n);
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS && !kind; i++)
        if (span_find(t, KINDS[i].mark)) kind = &KINDS[i];
    c->kind = kind ? kind : &UNNAMED;
    if (c->kind->read) c->kind->read(t, c);
    char why[Q_ERRLEN] = "";
    own_open(t.p, t.n, &c->own, why);
    if (c->own && !c->kind->read) c->thinks = jinja_names(c->own, "enable_thinking") || span_find(t, CHAT_THINK);
    if (!c->kind->render && !c->own)
        c->note = q_printf(_("the chat template of this model (%s) cannot be written with (%s), so it cannot be talked with; --base continues a text "
                             "without one"), kind ? kind->name : _("unnamed"), why);
}

/* Whether both ways write these ids, wherever the own template takes the conversation. */
static bool equal_ways(const chat *c, const vocab *v, const eng_talk *t)
{
    char err[Q_ERRLEN];
    eng_tokens fast = {0}, slow = {0};
    const own_token tokens = {c->bos, c->eos, c->now};
    bool same = own_write(c->own, v, &tokens, t, &slow, err) != Q_OK ||
                (chat_render(c, v, t->message, t->n, t->reply, t->think, &fast, err) == Q_OK && fast.n == slow.n &&
                 memcmp(fast.id, slow.id, sizeof *fast.id * (size_t)fast.n) == 0);
    eng_tokens_free(&fast);
    eng_tokens_free(&slow);
    return same;
}

static bool proven(const chat *c, const vocab *v)
{
#define SAYS(role, words) {role, words, sizeof words - 1, NULL}
    static const eng_message m[] = {
        SAYS(ENG_SYSTEM, "Be brief.\n"), SAYS(ENG_USER, " Hello?\n"), SAYS(ENG_ASSISTANT, "<think>\nHm.\n</think>\n\nYes. "), SAYS(ENG_USER, "<|im_end|>"),
        SAYS(ENG_ASSISTANT, "No.\n"), SAYS(ENG_USER, "Да "), SAYS(ENG_ASSISTANT, "<think>\n\n</think>\n\nI look."), SAYS(ENG_TOOL, "21"), SAYS(ENG_TOOL, " 22\n"),
    };
    static const struct { int from, n; } part[] = {{1, 1}, {0, 2}, {1, 3}, {0, 4}, {0, 6}, {4, 2}, {0, 8}, {1, 8}};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        for (int think = -1; think <= 1; think++) {
            eng_talk t = {.message = m + part[i].from, .n = part[i].n, .reply = true, .think = think};
            if (!equal_ways(c, v, &t)) return false;
        }
    return true;
}

/* How the token of this key is spelt. */
static const char *spelt(const gguf_file *f, const char *key, const vocab *v)
{
    uint64_t id;
    return gguf_u64(f, key, &id) && id < (uint64_t)vocab_size(v) ? vocab_name(v, (int32_t)id) : NULL;
}

void chat_learn(chat *c, const gguf_file *f, const vocab *v)
{
    c->bos = spelt(f, "tokenizer.ggml.bos_token_id", v);
    c->eos = spelt(f, "tokenizer.ggml.eos_token_id", v);
    c->now = q_wall_ms();
    if (!c->own) return;
    const own_token tokens = {c->bos, c->eos, c->now};
    if (c->calls && !own_calls(c->own, &tokens, c->calls)) c->calls = NULL;
    c->tools = c->calls && own_takes_tools(c->own, &tokens);
    c->slow = c->kind->render && !proven(c, v);
}

void chat_free(chat *c)
{
    jinja_free(c->own);
    free(c->system);
    free(c->note);
    *c = (chat){0};
}

const char *chat_end(const chat *c) { return c->kind->end; }

int chat_render(const chat *c, const vocab *v, const eng_message *m, int n, bool reply, int think, eng_tokens *out, char *err)
{
    frame f = {v, {0}, out, err, Q_OK};
    int before = out->n;
    if (!c->kind->render) {
        const eng_talk t = {.message = m, .n = n, .reply = reply, .think = think};
        return chat_talk(c, v, &t, out, err);
    }
    if (vocab_bos(v) >= 0) eng_tokens_add(out, vocab_bos(v));
    c->kind->render(&f, c, m, n, reply, think);
    frame_flush(&f);
    q_buf_free(&f.plain);
    if (f.r) out->n = before;
    return f.r;
}

static bool needs_own(const eng_talk *t)
{
    bool more = t->n_tool > 0;
    for (int i = 0; i < t->n; i++) more = more || t->message[i].more;
    return more;
}

int chat_talk(const chat *c, const vocab *v, const eng_talk *t, eng_tokens *out, char *err)
{
    if (t->n == 0 && !t->reply) {                          /* what goes before every text */
        if (c->kind->render) return chat_render(c, v, NULL, 0, false, t->think, out, err);
        if (vocab_bos(v) >= 0) eng_tokens_add(out, vocab_bos(v));
        return Q_OK;
    }
    if (t->n_tool && !c->tools) return q_fail(err, Q_FORMAT, _("the chat template of this model knows no tools: take another model, or ask without them"));
    if (c->own && (c->slow || !c->kind->render || needs_own(t))) {
        const own_token tokens = {c->bos, c->eos, c->now};
        int rc = own_write(c->own, v, &tokens, t, out, err);
        if (rc == Q_OK || rc == Q_RANGE || !c->kind->render || t->n_tool) return rc;
    } else if (!c->kind->render) return q_fail(err, Q_FORMAT, "%s", c->note);
    return chat_render(c, v, t->message, t->n, t->reply, t->think, out, err);
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
