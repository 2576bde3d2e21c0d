/* Several answers at once: each is the one that its configuration and seed give alone, whatever stands beside it; what is
 * said of a token under the other configuration; which short answers are the same. On a golden model of random weights. */
#include "engine/engine.h"
#include "lab/text.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <locale.h>
#include <math.h>

enum { MOST = 40 };
static eng_model *m;
static eng_cache *beside;
static eng_tokens prompt;

static eng_config *config_of(const char *spec, uint64_t seed)
{
    char err[Q_ERRLEN], words[32];
    eng_config *c = eng_config_new(m);
    CHECK(!spec || lab_spec(c, spec, NULL, err) == 0);
    snprintf(words, sizeof words, "%llu", (unsigned long long)seed);
    CHECK(eng_config_set(c, "sampler.seed", words, err) == 0 && eng_config_set(c, "context.length", "400", err) == 0);
    return c;
}

/* One answer, a token at a time; returns how many. */
static int alone(const char *spec, uint64_t seed, int32_t out[MOST], float logp[MOST])
{
    char err[Q_ERRLEN];
    eng_config *c = config_of(spec, seed);
    eng_session *s = NULL;
    int n = 0;
    CHECK(eng_session_new(m, c, &s, err) == 0 && eng_session_sync(s, prompt.id, prompt.n, ENG_RECOMPUTE, NULL, NULL, err) == 0);
    eng_sampler *dice = eng_sampler_new(m);
    eng_sampler_reset(dice, c);
    for (int i = 0; i < prompt.n; i++)
        eng_sampler_accept(dice, prompt.id[i]);
    while (n < MOST) {
        eng_choice x = eng_sample(dice, c, eng_session_logits(s));
        if (eng_token_end(m, x.token))
            break;
        out[n] = x.token;
        logp[n++] = x.logprob;
        eng_sampler_accept(dice, x.token);
        CHECK(eng_session_push(s, x.token, err) == 0);
    }
    eng_sampler_free(dice);
    eng_session_free(s);
    eng_config_free(c);
    return n;
}

static void each_is_as_it_would_be_alone(void)
{
    static const lab_voice voice[] = { { "k=1", 5, false }, { NULL, 5, false }, { NULL, 6, false }, { "k=1", 6, true }, { "kv.type=f32,temperature=1.5", 7, false },
                                       { "rope.theta=5e4,temperature=0", 8, false }, { "k=12", 5, true }, { "kv.type=q8_0", 5, false } };
    enum { N = sizeof voice / sizeof *voice };
    char err[Q_ERRLEN];
    lab_answer out[N];
    lab_ask ask = { .prompt = prompt.id, .n = prompt.n, .voice = voice, .n_voice = N, .most = MOST };
    int rc = lab_answer_beside(beside, &ask, NULL, out, err), differ = 0;
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    for (int i = 0; i < N && rc == 0; i++) {
        int32_t want[MOST];
        float logp[MOST];
        int n = alone(voice[i].spec, voice[i].seed, want, logp);
        bool same = n == out[i].n;
        for (int t = 0; t < n && same; t++)
            same = want[t] == out[i].word[t].id && logp[t] == out[i].word[t].logp && isnan(out[i].word[t].over) && out[i].at[t] <= strlen(out[i].text);
        CHECK_MSG(same, "voice %d: %d tokens, alone %d", i, out[i].n, n);
        CHECK(out[i].ended == (n < MOST) && out[i].bytes > 0 && q_utf8_valid(out[i].text, strlen(out[i].text)));
        differ += i > 0 && strcmp(out[i].text, out[0].text) != 0;
    }
    CHECK(differ >= N - 2);
    lab_answers_free(out, N);
}

/* Over the model's own: of the present configuration the sampler only. */
static void the_dice_are_the_present_ones(void)
{
    static const lab_voice voice[] = { { "k=2", 5, true }, { "k=2", 6, true }, { "k=2,temperature=0", 7, true }, { "k=2,rope.theta=5e4,temperature=0", 7, true }, { "k=2", 5, false } };
    enum { N = sizeof voice / sizeof *voice };
    char err[Q_ERRLEN];
    lab_answer out[N];
    lab_ask ask = { .prompt = prompt.id, .n = prompt.n, .now = "{\"sampler.temperature\":\"0\",\"rope.theta\":\"50000\"}", .voice = voice, .n_voice = N, .most = MOST };
    int rc = lab_answer_beside(beside, &ask, NULL, out, err);
    CHECK_MSG(rc == 0, "%s", rc ? err : "");
    if (rc)
        return;
    for (int i = 1; i < 3; i++)
        CHECK_MSG(strcmp(out[0].text, out[i].text) == 0, "%d: %s, not %s", i, out[i].text, out[0].text);
    CHECK(strcmp(out[3].text, out[4].text) == 0 && strcmp(out[0].text, out[4].text) != 0);
    lab_answers_free(out, N);
}

/* What the other configuration says of each token, by evaluating the answer under it. */
typedef struct rows { int first, n; const lab_word *word; double logp[MOST]; int n_vocab; } rows;
static int on_row(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k)
{
    rows *r = user;
    int at = pos + 1 - r->first;
    if (at >= 0 && at < r->n)
        r->logp[at] = (double)logits[r->word[at].id] - judge_log_sum(logits, r->n_vocab);
    return 0;
}

static void tokens_are_judged_under_the_other(void)
{
    static const char *const pairs[][2] = { { "k=1", "k=4" }, { NULL, "kv.type=f32,k=2" }, { NULL, NULL } };
    char err[Q_ERRLEN];
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        lab_voice voice[2] = { { pairs[p][0], 3, false }, { pairs[p][1], 3, false } };
        lab_answer out[2];
        lab_ask ask = { .prompt = prompt.id, .n = prompt.n, .voice = voice, .n_voice = 2, .most = MOST, .cross = true };
        int rc = lab_answer_beside(beside, &ask, NULL, out, err);
        CHECK_MSG(rc == 0, "%s", rc ? err : "");
        for (int s = 0; s < 2 && rc == 0; s++) {
            eng_config *c = config_of(pairs[p][1 - s], 3);
            eng_session *e = NULL;
            eng_tokens all = { 0 };
            for (int i = 0; i < prompt.n; i++)
                eng_tokens_add(&all, prompt.id[i]);
            for (int i = 0; i < out[s].n; i++)
                eng_tokens_add(&all, out[s].word[i].id);
            rows r = { .first = prompt.n, .n = out[s].n, .word = out[s].word, .n_vocab = eng_model_info(m)->n_vocab };
            CHECK(eng_session_new(m, c, &e, err) == 0 && eng_session_eval(e, all.id, all.n, 0, NULL, 0, on_row, &r, err) == 0);
            for (int i = 0; i < out[s].n; i++) {
                double over = (double)out[s].word[i].logp - r.logp[i];
                CHECK_MSG(fabs((double)out[s].word[i].over - over) < 1e-4, "pair %zu, side %d, token %d: %g, not %g", p, s, i, (double)out[s].word[i].over, over);
                CHECK(out[s].word[i].kl >= 0 && (p < 2 || out[s].word[i].kl == 0));
            }
            CHECK(out[s].n > 3 && out[s].rate > 0);
            eng_tokens_free(&all);
            eng_session_free(e);
            eng_config_free(c);
        }
        CHECK(p < 2 || strcmp(out[0].text, out[1].text) == 0);       /* equal configurations, one seed: one answer */
        lab_answers_free(out, 2);
    }
}

static bool three(void *user, int done, int total) { return done <= total && --*(int *)user > 0; }

static void what_cannot_be_asked_is_said(void)
{
    char err[Q_ERRLEN];
    lab_answer out[2];
    lab_voice voice[2] = { { "k=1", 1, false }, { "k=99", 1, false } };
    lab_ask ask = { .prompt = prompt.id, .n = prompt.n, .voice = voice, .n_voice = 2, .most = MOST };
    CHECK(lab_answer_beside(beside, &ask, NULL, out, err) < 0 && strstr(err, "1 to 12"));
    ask.n_voice = LAB_VOICES + 1;
    CHECK(lab_answer_beside(beside, &(lab_ask){ .prompt = prompt.id, .n = prompt.n, .voice = voice, .n_voice = 0, .most = MOST }, NULL, out, err) == Q_RANGE);
    voice[1].spec = "k=2";
    ask.n_voice = 2;
    for (int left = 1; left < 8; left += 3) {
        int n = left;
        CHECK(lab_answer_beside(beside, &ask, &(lab_terms){ .go_on = three, .user = &n }, out, err) == Q_CANCEL && strstr(err, "stopped after"));
        CHECK(!out[0].text && !out[1].word);
    }
}

static void short_answers_are_counted(void)
{
    static const struct { const char *said, *key; } what[] = { { "42", "42" }, { " 42.\n", "42" }, { "**42**", "42" }, { "The answer is 42.", "42" }, { "Answer: 42", "42" },
        { "42.0", "42" }, { "42.50", "42.5" }, { "1,000", "1000" }, { "1000", "1000" }, { "1,2", "1,2" }, { "-3", "-3" }, { ".5", ".5" }, { "100", "100" }, { "“Paris”", "paris" },
        { "It is Paris!", "paris" }, { "the  river   Thames", "river thames" }, { "Ответ: Ёж.", "еж" }, { "«Париж»", "париж" }, { "Это Париж", "париж" },
        { "<think>is it 7? answer: 7</think>\n\n8", "8" }, { "First I add.\nThen I see.\nAnswer: 12", "12" }, { "One line\nand another", NULL }, { "", NULL }, { " ... ", NULL },
        { "This is a sentence that goes on for so long that no two of them would ever be the same as one another", NULL } };
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        char *key = lab_vote_key(what[i].said);
        CHECK_MSG(what[i].key ? key && strcmp(key, what[i].key) == 0 : !key, "%s: %s", what[i].said, key ? key : "(none)");
        free(key);
    }
    static const struct { char *const key[5]; int n, best, most, votes; bool majority; } count[] = { { { "a", "b", "b", NULL, "b" }, 5, 1, 3, 4, true },
        { { "a", "b", "b", "a" }, 4, 0, 2, 4, false }, { { NULL, NULL }, 2, -1, 0, 0, false }, { { NULL, "x" }, 2, 1, 1, 1, true }, { { "a", "b", "c", "c" }, 4, 2, 2, 4, false } };
    for (size_t i = 0; i < sizeof count / sizeof *count; i++) {
        int best, votes;
        bool majority;
        CHECK_INT(lab_vote_count(count[i].key, count[i].n, &best, &votes, &majority), count[i].most);
        CHECK(best == count[i].best && votes == count[i].votes && majority == count[i].majority);
    }
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    char *path = util_model("qwen3moe"), err[Q_ERRLEN];
    static const char words[] = "Tell me what experts are in a model that has many of them.";
    if (eng_model_open(path, NULL, &m, err) != 0) {
        printf("not ok test_voices: %s\n", err);
        return 1;
    }
    remove(path);
    free(path);
    eng_config *c = eng_config_new(m);
    CHECK(eng_config_set(c, "context.length", "64", err) == 0 && eng_cache_new(m, c, 1, &beside, err) == 0);
    CHECK(eng_tokenize(m, words, sizeof words - 1, false, &prompt, err) == 0);
    RUN(each_is_as_it_would_be_alone);
    RUN(the_dice_are_the_present_ones);
    RUN(tokens_are_judged_under_the_other);
    RUN(what_cannot_be_asked_is_said);
    RUN(short_answers_are_counted);
    eng_tokens_free(&prompt);
    eng_config_free(c);
    eng_cache_free(beside);
    eng_model_free(m);
    return TEST_END();
}
