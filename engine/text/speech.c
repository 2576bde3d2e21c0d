/* engine/text/speech: the functions of engine.h that turn text into tokens, tokens into text and logits into a
 * choice, each handed on to vocab, template or sample with what the model or configuration holds. No state. */
#include "engine/run/config.h"
#include "engine/run/model.h"
#include "engine/run/sample.h"
#include "engine/text/vocab.h"

int eng_tokenize(const eng_model *m, const char *text, size_t n, bool special, eng_tokens *out, char *err)
{
    return vocab_tokenize(m->vocab, text, n, special, out, err);
}

const char *eng_token_bytes(const eng_model *m, int32_t id, size_t *n) { return vocab_bytes(m->vocab, id, n); }
const char *eng_token_name(const eng_model *m, int32_t id) { return vocab_name(m->vocab, id); }
bool eng_token_control(const eng_model *m, int32_t id) { return vocab_control(m->vocab, id); }
int32_t eng_token_begin(const eng_model *m) { return vocab_bos(m->vocab); }
bool eng_token_end(const eng_model *m, int32_t id) { return vocab_end(m->vocab, id); }
void eng_detok_add(const eng_model *m, eng_detok *d, int32_t id, q_buf *out) { vocab_detok(m->vocab, d, id, out); }

int eng_template(const eng_model *m, const eng_message *msg, int n, bool reply, int think, eng_tokens *out, char *err)
{
    return vocab_render(m->vocab, msg, n, reply, think, out, err);
}

eng_sampler *eng_sampler_new(const eng_model *m) { return sampler_new(m->info.n_vocab); }
void eng_sampler_reset(eng_sampler *s, const eng_config *c) { sampler_reset(s, config_sampling(c)); }
eng_choice eng_sample(eng_sampler *s, const eng_config *c, const float *logits) { return sampler_pick(s, config_sampling(c), logits); }

long eng_stop_scan(const eng_config *c, const char *text, size_t n)
{
    /* A chat model without ChatML's tokens is spoken to in ChatML all the same (template_note says so) and can end
     * its turn only by writing the mark out. */
    const vocab *v = c->m->vocab;
    bool spelt = vocab_template(v)->has && vocab_find(v, "<|im_end|>") < 0;
    return sampling_stop(config_sampling(c)->stop, spelt ? "<|im_end|>" : NULL, text, n);
}
