/* provider: prov_judge, by a model here and by a script: what it says of texts is what they score one by one, the conversation's context
 * stays as it is, and it may be stopped anywhere. */
#include "tests/script_provider.h"
#include "tests/unit/agent_help.h"

static prov *p;
static const char *who;
static char err[Q_ERRLEN];

/* The conversation that is there before and after. */
static prov_result ask(void)
{
    static const prov_message m = { PROV_USER, "The quick brown fox?", 20, NULL };
    prov_result out = { 0 };
    CHECK_INT(prov_ask(p, &(prov_request){ .message = &m, .n_message = 1, .seed = 1 }, NULL, &out, err), Q_OK);
    return out;
}

/* ---- which of some texts comes ---- */
struct reading { int asked, until, last, all; };
static bool read_until(void *user, int done, int total)
{
    struct reading *r = user;
    CHECK_MSG(done >= r->last && done < total && (!r->all || r->all == total), "%d behind %d of %d", done, r->last, total);
    r->last = done;
    r->all = total;
    return ++r->asked != r->until;
}

/* What a request of this text goes on with, of four texts. */
static prov_request judged(prov_message *m, const char *text)
{
    *m = (prov_message){ PROV_USER, text, strlen(text), NULL };
    return (prov_request){ .message = m, .n_message = 1, .think = "off" };
}

static void add_up(void *user, const prov_piece *t) { *(double *)user += t->logprob; }

static void of_some_texts_it_says_which_comes(void)
{
    static const char *const said[] = { "yes", "Yes, it is.", "no", "Не знаю" }, *const asked[] = {
        "Is a heron a bird? Say yes or no, as you like it, with the passage of the manual before you: herons are birds that wade.",
        "Is a heron a bird? Say yes or no, as you like it, with another passage before you: the train leaves at nine.", "Хлеб печёт пекарь?" };
    enum { N = 4, ASKED = 3 };
    prov_message m[ASKED];
    prov_request r[ASKED];
    double share[ASKED * N], again[ASKED * N];
    ask();
    prov_room was = prov_context(p);
    prov_mix mix[8], mixed[8];
    int n_mix = prov_mixture(p, mix, 8);
    for (int i = 0; i < ASKED; i++)
        r[i] = judged(&m[i], asked[i]);
    struct reading all = { 0 };
    CHECK_INT(prov_judge(p, r, ASKED, said, N, share, read_until, &all, err), Q_OK);
    for (int i = 0; i < ASKED; i++) {
        double sum = 0, log[N], most = -1e300, by_log = 0;
        for (int k = 0; k < N; k++) {
            sum += share[i * N + k];
            log[k] = 0;
            CHECK_INT(prov_score(p, &r[i], said[k], strlen(said[k]), add_up, &log[k], err), Q_OK);
            most = log[k] > most ? log[k] : most;
        }
        CHECK_MSG(fabs(sum - 1) < 1e-9, "%s: %g together", who, sum);
        for (int k = 0; k < N; k++)
            by_log += exp(log[k] - most);
        for (int k = 0; k < N && strcmp(who, "a script") != 0; k++)     /* as each text is scored by itself */
            CHECK_MSG(fabs(share[i * N + k] - exp(log[k] - most) / by_log) < 1e-3, "%s, %d: %s %g, scored %g", who, i, said[k], share[i * N + k], exp(log[k] - most) / by_log);
    }
    prov_room now = prov_context(p);
    CHECK(now.used == was.used && now.size == was.size && now.text == was.text);
    CHECK(prov_mixture(p, mixed, 8) == n_mix && mixed[0].config == mix[0].config && mixed[0].cells == mix[0].cells);
    prov_result next = ask();
    CHECK_MSG(next.cached_tokens == next.prompt_tokens, "%s: %d of %d", who, next.cached_tokens, next.prompt_tokens);
    /* stopped at any place: what was reached stands, and is what it was */
    for (int until = 1; until <= all.asked; until++) {
        struct reading some = { .until = until };
        int reached = 0;
        CHECK_INT(prov_judge(p, r, ASKED, said, N, again, read_until, &some, err), Q_CANCEL);
        for (int i = 0; i < ASKED; i++) {
            if (isnan(again[i * N]))
                break;
            reached++;
            for (int k = 0; k < N; k++)
                CHECK_MSG(again[i * N + k] == share[i * N + k], "%s, %d of %d: %g, %g", who, until, all.asked, again[i * N + k], share[i * N + k]);
        }
        for (int i = reached * N; i < ASKED * N; i++)
            CHECK(isnan(again[i]));
        CHECK(reached < ASKED && (until > 1 || reached == 0));
    }
    prov_cancel(p, true);
    CHECK_INT(prov_judge(p, r, ASKED, said, N, again, NULL, NULL, err), Q_CANCEL);
    CHECK(isnan(again[0]));
    prov_cancel(p, false);
    CHECK_INT(prov_judge(p, r, 0, said, N, again, NULL, NULL, err), Q_OK);
}

static int brief(void *user, prov_config *c, char *e) { return prov_config_set(c, "sampler.max_tokens", "8", e); }

static void by_a_script(void)
{
    static const script_line line[] = { { NULL, "judge .3" }, { NULL, "a quick one" }, { NULL, NULL } };
    static const script s = { .line = line };
    who = "a script";
    CHECK_INT(script_open(&s, &(prov_opts){ .configure = brief }, &p, err), Q_OK);
    of_some_texts_it_says_which_comes();
    prov_close(p);
}

static void by_a_model_here(void)
{
    who = "a model here";
    CHECK_INT(prov_open(help_model(), &(prov_opts){ .configure = brief }, &p, err), Q_OK);
    of_some_texts_it_says_which_comes();
    CHECK(prov_judge(p, &(prov_request){ .raw = "x", .n_raw = 1 }, 1, (const char *const[]){ "yes", "" }, 2, (double[2]){ 0 }, NULL, NULL, err) == Q_RANGE && strstr(err, "empty"));
    prov_close(p);
}

int main(void)
{
    RUN(by_a_script);
    if (help_model()) RUN(by_a_model_here);
    else SKIP("by_a_model_here", "no golden model: tests/run.sh unpacks it");
    return TEST_END();
}
