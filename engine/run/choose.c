/* engine/run/choose: the functions of engine.h that choose, each handed on to the sampler with what the model,
 * configuration or session holds. No state. */
#include "engine/run/config.h"
#include "engine/run/sample.h"
#include "engine/run/session.h"
#include "engine/text/template.h"

eng_sampler *eng_sampler_new(const eng_model *m) { return sampler_new(m->info.n_vocab); }
void eng_sampler_reset(eng_sampler *s, const eng_config *c) { sampler_reset(s, &c->v); }
void eng_sampler_watch(eng_sampler *s, const eng_session *of) { sampler_watch(s, of ? &of->cache->cancel : NULL); }
eng_choice eng_sample(eng_sampler *s, const eng_config *c, const float *logits) { return sampler_pick(s, &c->v, logits); }

long eng_stop_scan(const eng_config *c, const char *text, size_t n)
{
    /* A chat model without its frame's tokens is spoken to in that frame all the same and can
     * end its turn only by writing the mark out. */
    const char *end = c->m->chat.has ? chat_end(&c->m->chat) : NULL;
    return sampling_stop(c->v.stop, end && vocab_find(c->m->vocab, end) < 0 ? end : NULL, text, n);
}
