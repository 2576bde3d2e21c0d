/* engine/run/choose: the functions of engine.h that choose, each handed on to the sampler with what the model,
 * configuration or session holds, and with what a grammar lets come. */
#include "engine/grammar/guide.h"
#include "engine/run/config.h"
#include "engine/run/sample.h"
#include "engine/run/session.h"
#include "engine/text/template.h"

#include <stdlib.h>
#include <string.h>

/* ---- grammars ---- */
typedef struct sample_held {
    const eng_model *m;
    lexicon *lexicon;                    /* NULL: no grammar was asked for yet; a vocabulary takes a while */
    guide *knob, *request;               /* NULL: none yet; the request's stays for the next of its kind */
    char *text;                          /* what the knob's guide follows; "": none */
    bool given;                          /* the request's holds */
    enum eng_part part;
} sample_held;

static sample_held *held(eng_sampler *s) { return *sampler_held(s); }
static guide *holds(const sample_held *h) { return h->given ? h->request : h->knob; }

static void follow(sample_held *h, guide **g, eng_grammar *grammar)
{
    if (!h->lexicon && grammar)
        h->lexicon = lexicon_new(h->m);
    if (!*g && grammar)
        *g = guide_new(h->m, h->lexicon);
    if (*g)
        guide_set(*g, grammar);
}

/* The knob's grammar, where it is another than before. It was read when it was set, so it can be. */
static void sync(sample_held *h, const knob_values *v)
{
    const char *now = v->grammar ? v->grammar : "";
    if (strcmp(h->text, now) == 0)
        return;
    char err[Q_ERRLEN];
    eng_grammar *g = NULL;
    const char *text = now + strcspn(now, "\n");
    eng_grammar_source source = { .text = *text ? text + 1 : text, .n = *text ? strlen(text + 1) : 0 };
    if (*now)
        eng_grammar_new(&source, &g, err);
    follow(h, &h->knob, g);
    free(h->text);
    h->text = q_strdup(now);
}

void eng_sampler_grammar(eng_sampler *s, eng_grammar *g)
{
    follow(held(s), &held(s)->request, g);
    held(s)->given = true;
}

bool eng_sampler_hold(eng_sampler *s, bool on)
{
    sample_held *h = held(s);
    bool there = h->request && guide_on(h->request);
    h->given = on && there;
    if (h->given)
        guide_begin(h->request);
    return there;
}

void eng_sampler_part(eng_sampler *s, enum eng_part part) { held(s)->part = part; }

/* ---- choosing ---- */
eng_sampler *eng_sampler_new(const eng_model *m)
{
    eng_sampler *s = sampler_new(m->info.n_vocab);
    sample_held *h = *sampler_held(s) = q_alloc(sizeof *h);
    h->m = m;
    h->text = q_strdup("");
    return s;
}

void eng_sampler_free(eng_sampler *s)
{
    sample_held *h = s ? held(s) : NULL;
    if (h) {
        guide_free(h->knob);
        guide_free(h->request);
        lexicon_free(h->lexicon);
        free(h->text);
        free(h);
    }
    sampler_free(s);
}

void eng_sampler_reset(eng_sampler *s, const eng_config *c)
{
    sample_held *h = held(s);
    sampler_reset(s, &c->v);
    h->part = ENG_PART_TEXT;
    sync(h, &c->v);
    if (holds(h))
        guide_begin(holds(h));
}

void eng_sampler_watch(eng_sampler *s, const eng_session *of) { sampler_watch(s, of ? &of->cache->cancel : NULL); }
void eng_sampler_heard(eng_sampler *s, int32_t token) { sampler_accept(s, token); }

void eng_sampler_accept(eng_sampler *s, int32_t token)
{
    sample_held *h = held(s);
    sampler_accept(s, token);
    guide *g = holds(h);
    if (g && guide_on(g) && h->part != ENG_PART_THOUGHT && !(h->part == ENG_PART_OPENING && token == h->lexicon->think))
        guide_take(g, token);
}

eng_choice eng_sample(eng_sampler *s, const eng_config *c, const float *logits)
{
    sample_held *h = held(s);
    sync(h, &c->v);
    guide *g = holds(h);
    if (!g || !guide_on(g) || h->part == ENG_PART_THOUGHT)
        return sampler_pick(s, &c->v, logits);
    bool ended, stuck;
    const uint64_t *mask = guide_mask(g, h->part == ENG_PART_OPENING, &ended, &stuck);
    if (ended || stuck)
        return (eng_choice){ ENG_NO_TOKEN, 0, ended ? 1 : 0 };
    return sampler_pick_among(s, &c->v, logits, mask);
}

int eng_likeliest(const eng_sampler *s, const float *logits, eng_choice *out, int max) { return sampler_likeliest(s, logits, out, max); }
float eng_logprob(const eng_sampler *s, const float *logits, int32_t token) { return sampler_logprob(s, logits, token); }

long eng_stop_scan(const eng_config *c, const char *text, size_t n)
{
    /* A chat model without its frame's tokens is spoken to in that frame all the same and can
     * end its turn only by writing the mark out. */
    const char *end = c->m->chat.has ? chat_end(&c->m->chat) : NULL;
    return sampling_stop(c->v.stop, end && vocab_find(c->m->vocab, end) < 0 ? end : NULL, text, n);
}
