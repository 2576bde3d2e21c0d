/* teach/plan: what a run will do, in words, before it does it. See run.h. */
#include "base/say.h"
#include "teach/run.h"

#include <math.h>

enum { MOST_LAYERS = 400 };

/* "0: 5 9 17" a routed layer a line. */
static void experts_say(const running *r, q_buf *out)
{
    const eng_info *i = eng_model_info(r->m);
    for (int l = 0; l < i->n_layer && l < MOST_LAYERS; l++) {
        bool some = false;
        for (int e = 0; e < i->n_expert; e++)
            if (r->chosen[l * i->n_expert + e]) {
                if (!some)
                    q_buf_say(out, _("  layer %d:"), l);
                q_buf_printf(out, " %d", e);
                some = true;
            }
        if (some)
            q_buf_putc(out, '\n');
    }
}

static void time_say(double s, q_buf *out)
{
    if (s < 90)
        q_buf_say(out, _("about %.0f s"), s);
    else if (s < 5400)
        q_buf_say(out, _("about %.0f min"), s / 60);
    else
        q_buf_say(out, _("about %.1f h"), s / 3600);
}

void plan_say(const running *r, q_buf *out)
{
    char bytes[32];
    const tch_settings *s = &r->set;
    const lessons *t = &r->data;
    q_buf_say(out, _("%s, taught to %s\n"), r->name, eng_model_info(r->m)->name);
    if (!s->proof)
        q_buf_say(out, _("examples: %d to learn from and none held out (proof=off), so whether they are learnt will not be proved; %lld tokens, %lld of them in the loss\n"), t->n_train,
                  (long long)t->n_tokens, (long long)t->n_targets);
    else
        q_buf_say(out, _("examples: %d to learn from, %d held out (a tenth of %d conversations, by their first questions); %lld tokens, %lld of them in the loss\n"), t->n_train,
                  t->n_held, t->sources, (long long)t->n_tokens, (long long)t->n_targets);
    if (t->long_ones)
        q_buf_say(out, _("left out: %d examples of more than %d tokens\n"), t->long_ones, s->context);
    if (t->mute)
        q_buf_say(out, _("left out: %d examples without an answer\n"), t->mute);
    if (r->state.chosen) {
        q_buf_say(out, _("experts: %d of %d"), r->state.chosen, r->state.routed);
        q_buf_say(out, s->experts != TCH_AUTO ? _(", as you said") : s->by_tokens ? _(", those with the largest share of these answers' tokens, up to %.3g of each layer (ESFT)")
                                                                               : _(", those with the largest share of these answers' gates, up to %.3g of each layer (ESFT)"), s->p);
        q_buf_say(out, _(";\n  they run for %.0f%% of what these answers ask for, and for %.0f%% of other text\n"), 100 * shelf_number(r->run, "share", 0), 100 * shelf_number(r->run, "share_elsewhere", 0));
        q_buf_say(out, r->state.p < .05 ? _("their traffic is %.2f away from other text (total variation; p %.3g by permutation): it is one of its own\n")
                                        : _("their traffic is %.2f away from other text (total variation; p %.3g by permutation): it cannot be told from it, so these experts serve both\n"),
                  r->state.distance, r->state.p);
    }
    q_buf_say(out, _("also: %s\n"), s->attention && s->shared ? _("attention, shared experts and dense layers") : s->attention ? _("attention") : s->shared ? _("shared experts and dense layers")
                                                                                                                                                  : _("nothing"));
    q_buf_puts(out, _("routers stay as they are: moving them would change which experts run for everything else, which no held-out answer of these would show\n"));
    q_buf_say(out, _("rank %d, alpha %.3g, %d steps of %d examples, rate %.2g rising for %d steps and falling to a tenth, seed %llu, loss %s\n"), s->rank, s->alpha, s->steps, s->batch, s->lr,
              s->warmup, (unsigned long long)s->seed, s->dpo ? "dpo" : "sft");
    q_buf_say(out, _("%.0f numbers to learn; memory %s beside the model; "), shelf_number(r->run, "params", 0), q_bytes_words((uint64_t)shelf_number(r->run, "expected_bytes", 0), bytes));
    time_say(shelf_number(r->run, "expected_s", 0), out);
    q_buf_putc(out, '\n');
    if (r->state.chosen) {               /* a line for each layer: behind all that is to be read first */
        q_buf_say(out, _("the experts:\n"));
        experts_say(r, out);
    }
}
