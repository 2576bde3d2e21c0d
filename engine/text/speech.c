/* engine/text/speech: the functions of text.h, each handed on to vocab or template with what the model holds. No state. */
#include "engine/jinja/jinja.h"
#include "engine/run/model.h"
#include "engine/text/calls.h"
#include "engine/text/template.h"

#include <string.h>

int eng_tokenize(const eng_model *m, const char *text, size_t n, bool special, eng_tokens *out, char *err)
{
    return vocab_tokenize(m->vocab, text, n, special, out, err);
}

const char *eng_token_bytes(const eng_model *m, int32_t id, size_t *n) { return vocab_bytes(m->vocab, id, n); }
const char *eng_token_name(const eng_model *m, int32_t id) { return vocab_name(m->vocab, id); }
bool eng_token_control(const eng_model *m, int32_t id) { return vocab_control(m->vocab, id); }
int32_t eng_token_begin(const eng_model *m) { return vocab_bos(m->vocab); }
bool eng_token_end(const eng_model *m, int32_t id)
{
    int end = m->chat.calls ? calls_end(m->chat.calls, vocab_name(m->vocab, id)) : -1;       /* harmony goes on behind <|end|> */
    return end < 0 ? vocab_end(m->vocab, id) : end;
}

eng_calls *eng_calls_new(const eng_model *m, const eng_tool *tool, int n, const eng_heard *h)
{
    const call_format *f = m->chat.calls;
    return f && (n > 0 || calls_always(f)) ? calls_new(f, tool, n, h) : NULL;
}

bool eng_calls_hears(const eng_model *m, int32_t id) { return m->chat.calls && vocab_control(m->vocab, id) && calls_mark(m->chat.calls, vocab_name(m->vocab, id)); }
const char *eng_calls_format(const eng_model *m) { return m->chat.calls ? calls_format_name(m->chat.calls) : NULL; }
eng_detok eng_detok_behind(const eng_model *m, int32_t id) { return vocab_detok_behind(m->vocab, id); }
const char *eng_detok_bytes(const eng_model *m, eng_detok *d, int32_t id, size_t *n) { return vocab_detok_bytes(m->vocab, d, id, n); }
void eng_detok_add(const eng_model *m, eng_detok *d, int32_t id, q_buf *out) { vocab_detok(m->vocab, d, id, out); }

int eng_template(const eng_model *m, const eng_message *msg, int n, bool reply, int think, eng_tokens *out, char *err)
{
    const eng_talk t = {.message = msg, .n = n, .reply = reply, .think = think};
    return chat_talk(&m->chat, m->vocab, &t, out, err);
}

int eng_template_talk(const eng_model *m, const eng_talk *t, eng_tokens *out, char *err) { return chat_talk(&m->chat, m->vocab, t, out, err); }

int eng_template_render(const eng_render *r, q_buf *out, char *err)
{
    jinja *j = NULL;
    jinja_in in = {.messages = r->messages, .n_messages = r->n_messages, .tools = r->tools, .n_tools = r->n_tools, .bos = r->bos, .eos = r->eos,
                   .now = r->now, .think = r->think, .reply = r->reply};
    int rc = jinja_new(r->text, r->n, &j, err);
    if (!rc) rc = jinja_render(j, &in, out, NULL, err);
    jinja_free(j);
    return rc;
}

const char *eng_template_text(const eng_model *m, size_t *n)
{
    gguf_str s;
    if (!gguf_string(m->file, "tokenizer.chat_template", &s) || s.n == 0) return NULL;
    *n = s.n;
    return s.p;
}

const char *eng_template_token(const eng_model *m, bool end)
{
    uint64_t id;
    if (!gguf_u64(m->file, end ? "tokenizer.ggml.eos_token_id" : "tokenizer.ggml.bos_token_id", &id) || id >= (uint64_t)vocab_size(m->vocab)) return NULL;
    return vocab_name(m->vocab, (int32_t)id);
}

const char eng_think_open[] = CHAT_THINK, eng_think_close[] = CHAT_UNTHINK;

bool eng_token_thinks(const eng_model *m, int32_t id)
{
    const char *name = vocab_name(m->vocab, id);
    return strcmp(name, CHAT_THINK) == 0 || strcmp(name, CHAT_UNTHINK) == 0;
}

bool eng_thinking(const eng_model *m, const int32_t *id, int n) { return chat_thinking(&m->chat, m->vocab, id, n); }
