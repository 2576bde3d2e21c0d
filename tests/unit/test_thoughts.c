/* provider: a thought that is opened again behind its end. On a script; nothing here depends on time. */
#include "tests/script_provider.h"
#include "tests/test.h"

typedef struct seen { q_buf text, thought; int asked, enough_at; } seen;

static void piece(void *user, const prov_piece *t)
{
    seen *s = user;
    CHECK(!t->thinking || !s->text.len); /* never a thought behind the reply's first word */
    q_buf_add(t->thinking ? &s->thought : &s->text, t->text, t->n);
}

static bool enough(void *user, int answer) { return ++((seen *)user)->asked == ((seen *)user)->enough_at; }

/* Before a word of the reply it is still a thought, of the same budget, however its tokens are cut. Closed by force once, it is
 * closed again before its next token; behind the reply's first word the mark is text. */
static void a_thought_that_opens_again(void)
{
    static const script_line twice[] = { { NULL, "<think>one two\n</think>\n\n<think>three four five\n</think>\n\nThe answer is <think> four." }, { NULL, NULL } };
    static const struct { const char *most; int enough; const char *thought; int tokens; } row[] = {
        { "0", 0, "one two\n\nthree four five\n", 0 }, { "1", 0, "one\n\nthree\n", 4 }, { "2", 0, "one two\n\nthree\n", 5 }, { "4", 0, "one two\n\nthree\n", 5 },
        { "5", 0, "one two\n\nthree four\n", 6 }, { "0", 2, "one two\n\nthree\n", 5 } };
    for (int bytes = 0; bytes <= 12; bytes++)
        for (size_t i = 0; i < sizeof row / sizeof *row && (i == 0 || bytes == 0); i++) {
            char err[Q_ERRLEN] = "";
            seen s = { .enough_at = row[i].enough };
            script how = { .line = twice, .bytes = bytes };
            prov *p = NULL;
            prov_result r = { 0 };
            CHECK_INT(script_open(&how, &(prov_opts){ 0 }, &p, err), Q_OK);
            prov_config *c = prov_present(p);
            CHECK(prov_config_set(c, "sampler.max_tokens", "0", err) == Q_OK && prov_config_set(c, "think.limit", row[i].most, err) == Q_OK);
            CHECK_MSG(prov_set(p, c, PROV_CONTINUE, err) == Q_OK, "%s", err);
            prov_config_free(c);
            prov_message m = { PROV_USER, "think!", 6, NULL };
            prov_hooks h = { .user = &s, .piece = piece, .enough = enough };
            CHECK_MSG(prov_ask(p, &(prov_request){ .message = &m, .n_message = 1 }, &h, &r, err) == Q_OK, "%s", err);
            CHECK_STR(s.thought.p ? s.thought.p : "", row[i].thought);
            CHECK_STR(s.text.p ? s.text.p : "", "The answer is <think> four.");
            CHECK(r.finish == PROV_ENDED && !r.thinking);
            CHECK_MSG(!row[i].tokens || r.thinking_tokens == row[i].tokens, "%zu: %d", i, r.thinking_tokens);
            q_buf_free(&s.text);
            q_buf_free(&s.thought);
            prov_close(p);
        }
}

int main(void)
{
    RUN(a_thought_that_opens_again);
    return TEST_END();
}
