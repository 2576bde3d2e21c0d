/* tests of who answers (provider/): a script's lines, what hooks saw of an answer, and how one is asked. Who is tested is p. */
#ifndef PROVIDER_HELP_H
#define PROVIDER_HELP_H

#include "tests/script_provider.h"
#include "tests/test.h"

static const script_line lines[] = {
    { "think", "<think>first this\nthen that</think>\n\nThe answer is four." },
    { "tool", "I look it up. {call search {\"for\":\"lenses\"}}" },
    { "round", "round and round and round and round and round and round and round and round and round and round and round" },
    { NULL, "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
            "twenty then some more and an end. | Another answer of the same length goes on and on through many words until it has as many of "
            "them as the first one has, about thirty, more or less, so there. | A third one is here too, with words of its own, and as long "
            "as it takes to have thirty tokens of which each is one word and no more than that, fine." },
    { NULL, NULL } };
__attribute__((unused)) static script by_lines = { .line = lines };

static char err[Q_ERRLEN];
static prov *p;                          /* who is tested */
__attribute__((unused)) static const char *who = "a script";

/* ---- what hooks saw ---- */
typedef struct seen {
    q_buf text, thought, calls;
    int tokens, pieces, positions, prompt_positions, prefills, done, total, told, last_number;
    int stop_at, cancel_at, set_at;      /* the token before which to stop, at which to cancel, after which to set */
    const char *knob, *value;
    enum prov_policy policy;
    uint64_t config[600];                /* of each decoded position */
    int k[600];
    int32_t token[600];
    double logprob[600];
    bool in_order, end_it;
    int repeats;
    int between_n;
    int enough_at, enough_asked;         /* which question about a thought is answered with yes; how many there were */
} seen;

static void seen_clear(seen *s)
{
    q_buf_free(&s->text);
    q_buf_free(&s->thought);
    q_buf_free(&s->calls);
    memset(s, 0, sizeof *s);
}

static bool between(void *user, int answer, int tokens)
{
    seen *s = user;
    s->between_n++;
    if (s->set_at && tokens == s->set_at) {
        prov_config *c = prov_present(p);
        CHECK_MSG(prov_config_set(c, s->knob, s->value, err) == Q_OK && prov_set(p, c, s->policy, err) == Q_OK, "%s: %s", who, err);
        prov_config_free(c);
    }
    return !s->stop_at || tokens < s->stop_at;
}

static void prefill(void *user, int done, int total)
{
    seen *s = user;
    s->prefills++;
    s->done = done;
    s->total = total;
}

static void piece(void *user, const prov_piece *t)
{
    seen *s = user;
    if (t->call)                         /* no text of the answer */
        return;
    q_buf_add(t->thinking ? &s->thought : &s->text, t->text, t->n);
    s->in_order = s->pieces == 0 ? t->number <= 1 : s->in_order && (t->number == s->last_number || t->number == s->last_number + 1);
    s->last_number = t->number;
    if (t->token >= 0 && t->number <= 600) {
        s->token[t->number - 1] = t->token;
        s->logprob[t->number - 1] = t->logprob;
        s->tokens = t->number;
    }
    s->pieces++;
    if (s->cancel_at && t->number == s->cancel_at)
        prov_cancel(p, true);
}

static void position(void *user, const prov_position *x)
{
    seen *s = user;
    if (x->prompt) {
        s->prompt_positions++;
        return;
    }
    if (s->positions < 600) {
        int last = x->n_layer - 1, k = 0;
        while (k < x->max_k && x->ids[last * x->max_k + k] != 0xFFFF)
            k++;
        s->config[s->positions] = x->config;
        s->k[s->positions] = k;
    }
    s->positions++;
}

static void token(void *user, int answer, const prov_result *r) { ((seen *)user)->told = r->tokens; }
static void call(void *user, int answer, const prov_call *c) { q_buf_printf(&((seen *)user)->calls, "%s(%s)", c->name, c->arguments); }

static bool repeats(void *user, int answer, int tokens)
{
    seen *s = user;
    s->repeats++;
    return s->end_it;
}

static bool enough(void *user, int answer)
{
    seen *s = user;
    return ++s->enough_asked == s->enough_at;
}

static prov_hooks hooks(seen *s)
{
    return (prov_hooks){ .user = s, .between = between, .prefill = prefill, .piece = piece, .position = position, .token = token, .call = call, .repeats = repeats, .enough = enough };
}

/* ---- asking ---- */
static const prov_message hello[] = { { PROV_SYSTEM, "You are brief.", 14, NULL }, { PROV_USER, "Say something long, please.", 27, NULL } };
static const prov_request plain = { .message = hello, .n_message = 2, .seed = 3 };

__attribute__((unused)) static prov_result ask(const prov_request *r, seen *s)
{
    prov_result out[4];
    prov_hooks h = hooks(s);
    int rc = prov_ask(p, r, &h, out, err);
    CHECK_MSG((rc == Q_OK) == (out[0].finish != PROV_FAILED), "%s: %s", who, err);
    return out[0];
}

__attribute__((unused)) static void set(const char *name, const char *value)
{
    prov_config *c = prov_present(p);
    CHECK_MSG(prov_config_set(c, name, value, err) == Q_OK && prov_set(p, c, PROV_CONTINUE, err) == Q_OK, "%s: %s", who, err);
    prov_config_free(c);
}

__attribute__((unused)) static const char *text(const seen *s) { return s->text.p ? s->text.p : ""; }

static int brief(void *user, prov_config *c, char *e) { return prov_config_set(c, "sampler.max_tokens", "40", e); }

__attribute__((unused)) static void open_script(script s)
{
    static script kept;
    kept = s;
    CHECK_INT(script_open(&kept, &(prov_opts){ .configure = brief }, &p, err), Q_OK);
}

#endif
