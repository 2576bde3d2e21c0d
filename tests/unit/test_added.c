/* What a text before answers adds to them: signs, intervals and the noise below which nothing is claimed, on numbers that are known; then a
 * golden model's log-probabilities against those of the session itself, whatever is shared between prompts. */
#include "engine/engine.h"
#include "lab/parts.h"
#include "tests/unit/agent_help.h"

enum { ANSWERS = 14, EACH = 6, ALL = ANSWERS * EACH };

static lab_added of(double by, double spread, double noise, int n)
{
    static const int32_t id[EACH] = { 0 };
    double own[ALL], with[ALL], yard[ALL];
    lab_reply r[ANSWERS];
    for (int i = 0; i < ALL; i++) {
        own[i] = -2 - .1 * (i % 7);
        with[i] = own[i] + by + (i % 2 ? spread : -spread);
        yard[i] = own[i] + (i % 2 ? noise : noise / 2);
    }
    for (int i = 0; i < ANSWERS; i++)
        r[i] = (lab_reply){ id, 1, id, EACH };
    return lab_added_of(own, with, own, yard, r, n);
}

static void what_is_claimed(void)
{
    lab_added more = of(.5, .2, .001, ANSWERS), less = of(-.5, .2, .001, ANSWERS), none = of(0, 0, .001, ANSWERS), chance = of(.01, 3, .001, ANSWERS - 1), loud = of(.05, 0, .2, ANSWERS);
    CHECK(more.verdict == 1 && more.by_answer && more.blocks == ANSWERS && more.n == ALL && fabs(more.dlogp.mean - .5) < 1e-9 && more.dlogp.low > .4);
    CHECK(fabs(more.logp[1] - more.logp[0] - .5) < 1e-9);
    CHECK(less.verdict == -1 && less.dlogp.high < -.4);
    CHECK(none.verdict == 0 && none.enough && none.dlogp.low == 0 && none.dlogp.high == 0 && none.noise > 0);
    CHECK_MSG(chance.verdict == 0 || chance.dlogp.low > 0, "%g %g", chance.dlogp.low, chance.dlogp.high);
    CHECK_MSG(loud.verdict == 0 && loud.dlogp.low > 0, "below what a number format makes: %g beside %g", loud.dlogp.low, loud.noise);
    lab_added few = of(.5, 0, .001, 2), some = of(.5, .01, .001, 8);
    CHECK(!few.enough && few.verdict == 0);                      /* 12 tokens */
    CHECK(some.enough && !some.by_answer && some.blocks >= 8 && some.verdict == 1);
}

static void as_the_session_says(void)
{
    char err[Q_ERRLEN];
    eng_model *m;
    eng_session *s = NULL;
    eng_cache *beside = NULL;
    if (!help_model()) {
        SKIP("as_the_session_says", "the golden models are not unpacked: tests/run.sh does");
        return;
    }
    CHECK_INT(eng_model_open(help_model(), NULL, &m, err), Q_OK);
    eng_config *c = eng_config_new(m);
    static const int32_t front[] = { 5, 9, 12, 7, 3, 8 }, other[] = { 5, 9, 12, 7, 11 }, say[] = { 6, 14, 2, 10 };
    lab_reply r[3] = { { front, 6, say, 4 }, { other, 5, say, 4 }, { front, 6, say + 1, 3 } };
    double got[11], yard[11];
    CHECK_INT(eng_cache_new(m, c, 1, &beside, err), Q_OK);
    CHECK_INT(lab_replies(beside, NULL, false, r, 3, NULL, got, err), Q_OK);
    CHECK_INT(lab_replies(beside, NULL, true, r, 3, NULL, yard, err), Q_OK);
    for (int i = 0, at = 0; i < 3; at += r[i++].n) {
        CHECK_INT(eng_session_new(m, c, &s, err), Q_OK);
        for (int k = 0; k < r[i].n_prompt; k++)
            CHECK_INT(eng_session_push(s, r[i].prompt[k], err), Q_OK);
        for (int k = 0; k < r[i].n; k++) {
            const float *x = eng_session_logits(s);
            double want = (double)x[r[i].answer[k]] - judge_log_sum(x, eng_model_info(m)->n_vocab);
            CHECK_MSG(want == got[at + k], "%d %d: %.17g, not %.17g", i, k, got[at + k], want);
            CHECK(fabs(yard[at + k] - want) < .05);
            CHECK_INT(eng_session_push(s, r[i].answer[k], err), Q_OK);
        }
        eng_session_free(s);
    }
    eng_cache_free(beside);
    eng_config_free(c);
    eng_model_free(m);
}

int main(void)
{
    RUN(what_is_claimed);
    RUN(as_the_session_says);
    return TEST_END();
}
