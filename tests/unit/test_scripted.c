/* provider: what only a script can show: thoughts, tools, failures at a chosen token, circles. Nothing here depends on time. */
#include "tests/unit/provider_help.h"

#include <unistd.h>

static int refuse(void *user, prov_config *c, char *e) { return prov_config_set(c, "experts.k", "99999", e); }

static seen say(script s, const char *question)
{
    seen out = { 0 };
    prov_message m = { PROV_USER, question, strlen(question), NULL };
    static const prov_tool tool = { "search", "looks things up", "{}" };
    prov_request r = { .message = &m, .n_message = 1, .tool = &tool, .n_tool = 1 };
    open_script(s);
    ask(&r, &out);
    prov_close(p);
    return out;
}

/* A thought that takes too long is closed, at that token, and the reply begins; turned in the middle it counts from there. */
static void a_thought_has_a_budget(void)
{
    for (int most = 0; most <= 5; most++) {
        static const char *const thought[] = { "first this\nthen that", "first\n", "first this\n", "first this\nthen\n", "first this\nthen that", "first this\nthen that" };
        seen s = { 0 };
        char value[8];
        open_script((script){ .line = lines });
        snprintf(value, sizeof value, "%d", most);
        set("sampler.max_tokens", "0");
        set("think.limit", value);
        prov_message m = { PROV_USER, "think!", 6, NULL };
        prov_result r = ask(&(prov_request){ .message = &m, .n_message = 1 }, &s);
        CHECK_STR(s.thought.p, thought[most]);
        CHECK_STR(text(&s), "The answer is four.");
        CHECK(r.finish == PROV_ENDED && !r.thinking && s.in_order);
        CHECK_MSG(!most || r.thinking_tokens <= most + 1, "%d: %d", most, r.thinking_tokens);
        seen_clear(&s);
        prov_close(p);
    }
}

/* Or somebody has enough of it: asked before each of its tokens and never outside of it; at the k-th it is closed. */
static void a_thought_is_ended(void)
{
    static const char *const thought[] = { "first this\nthen that", "first\n", "first this\n", "first this\nthen\n" };
    for (int at = 0; at <= 3; at++) {
        seen s = { 0 };
        s.enough_at = at;
        open_script((script){ .line = lines });
        set("sampler.max_tokens", "0");
        prov_message m = { PROV_USER, "think!", 6, NULL };
        prov_result r = ask(&(prov_request){ .message = &m, .n_message = 1 }, &s);
        CHECK_MSG(s.thought.p && strcmp(s.thought.p, thought[at]) == 0, "%d: \"%s\"", at, s.thought.p ? s.thought.p : "");
        CHECK_STR(text(&s), "The answer is four.");
        CHECK(r.finish == PROV_ENDED && !r.thinking && s.in_order);
        CHECK_MSG(s.enough_asked == (at ? at : 3), "%d: asked %d times of %d", at, s.enough_asked, r.thinking_tokens);
        seen_clear(&s);
        prov_close(p);
    }
}

/* However its tokens are cut, a thought is a thought. */
static void thoughts_are_told_apart(void)
{
    for (int bytes = 0; bytes <= 12; bytes++) {
        seen s = { 0 };
        open_script((script){ .line = lines, .bytes = bytes });
        set("sampler.max_tokens", "0");
        prov_message m = { PROV_USER, "think!", 6, NULL };
        prov_result r = ask(&(prov_request){ .message = &m, .n_message = 1 }, &s);
        CHECK_STR(s.thought.p, "first this\nthen that");
        CHECK_STR(text(&s), "The answer is four.");
        CHECK(r.thinking_tokens > 0 && r.thinking_tokens < r.tokens && !r.thinking && s.in_order);
        seen_clear(&s);
        set("sampler.stop", "swer is");
        r = ask(&(prov_request){ .message = &m, .n_message = 1 }, &s);
        CHECK_STR(text(&s), "The an");
        CHECK_INT(r.finish, PROV_STOP_STRING);
        seen_clear(&s);
        prov_close(p);
    }
    static const struct { const char *say, *text, *thought; bool stopped; } want[] = {
        { "Hello there.", "Hello there.", "", false },
        { "\n Hello", "Hello", "", false },
        { "<think>\nhm, a < b\n</think>\n\nHello", "Hello", "\nhm, a < b\n", false },
        { "\n<think>never closed", "", "never closed", false },
        { "<thin ice>", "<thin ice>", "", false },
        { "a <think> inside is text", "a <think> inside is text", "", false },
        { "one STOP two", "one ", "", true },
        { "one STO", "one STO", "", false },
        { "<think>STOP</think>x", "x", "STOP", false },
        { "Привет STOP", "Привет ", "", true } };
    for (int bytes = 1; bytes <= 12; bytes++)
        for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
            script_line one[] = { { NULL, want[i].say }, { NULL, NULL } };
            seen s = { 0 };
            open_script((script){ .line = one, .bytes = bytes });
            set("sampler.stop", "STOP");
            prov_result r = ask(&plain, &s);
            CHECK_STR(text(&s), want[i].text);
            CHECK_STR(s.thought.p ? s.thought.p : "", want[i].thought);
            CHECK((r.finish == PROV_STOP_STRING) == want[i].stopped);
            seen_clear(&s);
            prov_close(p);
        }
    static const script_line odd[] = { { "open", "<think>no end of it" }, { "half", "<thin" }, { "blank", "  \n <think> </think>  \n" }, { "late", "so <think> is a word" },
                                       { NULL, NULL } };
    static const struct { const char *ask, *thought, *text; } row[] = {
        { "open", "no end of it", "" }, { "half", "", "<thin" }, { "blank", " ", "" }, { "late", "", "so <think> is a word" } };
    for (int bytes = 1; bytes < 9; bytes++)
        for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
            seen s = say((script){ .line = odd, .bytes = bytes }, row[i].ask);
            CHECK_STR(text(&s), row[i].text);
            CHECK_STR(s.thought.p ? s.thought.p : "", row[i].thought);
            seen_clear(&s);
        }
}

static void tools_are_called(void)
{
    seen s = { 0 };
    open_script(by_lines);
    prov_message m[] = { { PROV_USER, "use the tool", 12, NULL }, { PROV_TOOL, "think of what it brought", 24, "call-1" } };
    static const prov_tool tool = { "search", "looks things up", "{}" };
    prov_request r = { .message = m, .n_message = 1, .tool = &tool, .n_tool = 1 };
    prov_result out = ask(&r, &s);
    CHECK(out.finish == PROV_CALLS);
    CHECK_STR(text(&s), "I look it up. ");
    CHECK_STR(s.calls.p, "search({\"for\":\"lenses\"})");
    seen_clear(&s);
    r.n_message = 2;
    out = ask(&r, &s);
    CHECK(out.finish == PROV_ENDED && !s.calls.len);
    CHECK_STR(text(&s), "The answer is four.");
    seen_clear(&s);
    prov_close(p);
    open_script((script){ .line = lines, .cannot = PROV_TOOLS | PROV_RAW | PROV_N | PROV_LOGPROBS | PROV_EMBED | PROV_LIVE | PROV_BEGIN });
    prov_result f[2];
    float v[SCRIPT_DIMS];
    CHECK(prov_ask(p, &r, NULL, f, err) == Q_RANGE && strstr(err, "tools"));
    CHECK(prov_ask(p, &(prov_request){ .raw = "x", .n_raw = 1 }, NULL, f, err) == Q_RANGE && strstr(err, "--base"));
    CHECK(prov_ask(p, &(prov_request){ .message = hello, .n_message = 2, .n = 2 }, NULL, f, err) == Q_RANGE && f[1].finish == PROV_FAILED);
    CHECK(prov_ask(p, &(prov_request){ .message = hello, .n_message = 2, .begin = "x", .n_begin = 1 }, NULL, f, err) == Q_RANGE && strstr(err, "beginning"));
    CHECK(prov_score(p, NULL, "x", 1, piece, &s, err) == Q_RANGE);
    double share[2] = { 1, 1 };
    CHECK(prov_judge(p, &r, 1, (const char *const[]){ "yes", "no" }, 2, share, NULL, NULL, err) == Q_RANGE && isnan(share[0]) && isnan(share[1]));
    CHECK(prov_embed(p, "x", 1, v, err) == Q_RANGE);
    prov_close(p);
}

static bool set_in_between(void *user, int answer, int tokens)
{
    prov_config *c = prov_present(p);
    prov_config_set(c, "experts.k", "1", err);
    if (tokens == 3)
        *(int *)user = prov_set(p, c, PROV_CONTINUE, err);
    prov_config_free(c);
    return true;
}

static void what_is_not_live_waits(void)
{
    int rc = Q_OK;
    prov_result out;
    open_script((script){ .line = lines, .cannot = PROV_LIVE });
    prov_hooks h = { .user = &rc, .between = set_in_between };
    CHECK_INT(prov_ask(p, &plain, &h, &out, err), Q_OK);
    CHECK(rc == Q_RANGE && out.finish != PROV_FAILED && strstr(err, "next question"));
    set("experts.k", "1");               /* between two requests it does */
    prov_close(p);
}

/* Failing at any token loses no word that was made, and the next request is answered. */
static void failures_keep_what_was_said(void)
{
    for (int at = 1; at < 12; at++) {
        open_script((script){ .line = lines, .fail_at = at });
        seen s = { 0 };
        prov_hooks h = hooks(&s);
        prov_result out;
        set("sampler.stop", "no such string");
        CHECK(prov_ask(p, &plain, &h, &out, err) < 0 && out.finish == PROV_FAILED && out.tokens == at && strstr(err, "fails here"));
        const char *all = lines[3].say;
        CHECK_MSG(strncmp(all, text(&s), s.text.len) == 0 && prov_count(p, text(&s), s.text.len) == at, "token %d: \"%s\"", at, text(&s));
        seen_clear(&s);
        prov_close(p);
    }
}

static void circles_are_told(void)
{
    static char round_and_round[8192];
    for (int i = 0; i < 600; i++)
        strcat(round_and_round, i % 3 == 0 ? " round" : i % 3 == 1 ? " and" : " about");
    script_line one[] = { { NULL, round_and_round }, { NULL, NULL } };
    seen s = { 0 };
    open_script((script){ .line = one });
    set("sampler.max_tokens", "0");
    prov_result r = ask(&plain, &s);
    CHECK(r.finish == PROV_ENDED && r.tokens == 600 && s.repeats > 100);   /* its caller may let it */
    seen_clear(&s);
    s.end_it = true;
    r = ask(&plain, &s);
    CHECK_MSG(r.finish == PROV_REPEATS && s.repeats == 1 && r.tokens < 300, "%d tokens", r.tokens);
    prov_close(p);
    seen_clear(&s);
}

static void a_refused_setting_opens_nothing(void)
{
    prov *none = NULL;
    script s = by_lines;
    CHECK(script_open(&s, &(prov_opts){ .configure = refuse }, &none, err) == Q_RANGE && !none);
    const char *build = getenv("BUILD");
    char path[256];
    snprintf(path, sizeof path, "%s/golden/qwen3moe/model.gguf", build ? build : "build");
    if (access(path, R_OK) == 0)
        CHECK(prov_open(path, &(prov_opts){ .configure = refuse }, &none, err) == Q_RANGE && !none);
    CHECK(prov_open("/no/such/model.gguf", NULL, &none, err) < 0 && !none && *err);
}

int main(void)
{
    RUN(thoughts_are_told_apart);
    RUN(a_thought_has_a_budget);
    RUN(a_thought_is_ended);
    RUN(tools_are_called);
    RUN(what_is_not_live_waits);
    RUN(failures_keep_what_was_said);
    RUN(circles_are_told);
    RUN(a_refused_setting_opens_nothing);
    return TEST_END();
}
