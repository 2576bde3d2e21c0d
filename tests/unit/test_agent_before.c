/* agent and rag: questions that point back are searched with those before them, as far back as each leans on the one
 * before it, in one conversation; nothing is carried into another. */
#include "agent/room.h"
#include "tests/script_provider.h"
#include "tests/unit/agent_help.h"

static const script_line lines[] = { { NULL, " As I said." }, { NULL, NULL } };
static script plan = { .line = lines };
static char err[Q_ERRLEN];

static int answers(const char *model, const prov_opts *o, prov **out, char *e) { return script_open(&plan, o, out, e); }

static int fed(agt *a, seen *s, const char *question)
{
    s->passages = -1;
    agt_submit(a, question);
    CHECK(wait_for(a, s, AGT_EV_DONE, 0, 30000));
    return s->passages;
}

static void questions_lean_on_those_before_them(void)
{
    static const char note[] = "The landlord is Mr Okafor; rent is due on the fifth of each month, in cash.\n";
    static const char *const set[] = { "sampler.loop_stop=off", "memory.chats=off" };
    seen s = { 0 };
    agt_options o = { .model = "a script", .db = ":memory:", .set = set, .n_set = 2, .answers = answers };
    agt *a = NULL;
    int64_t id;
    if (agt_open(&o, &a, err) < 0 || !wait_for(a, &s, AGT_EV_READY, 0, 30000)) {
        CHECK_MSG(false, "%s", err);
        return;
    }
    CHECK(rag_add_text(a->store, "/flat.md", "flat.md", MEM_TRUST_OWN, note, sizeof note - 1, &id, err) == Q_OK);
    CHECK_INT(fed(a, &s, "How much?"), 0);                  /* there is nothing before it */
    CHECK_INT(fed(a, &s, "Who is my landlord?"), 1);
    CHECK_INT(fed(a, &s, "How much?"), 1);
    CHECK_INT(fed(a, &s, "And how often?"), 1);             /* leans on one that leans */
    CHECK_INT(fed(a, &s, "What is the capital of France?"), 0);
    CHECK_INT(fed(a, &s, "And why?"), 0);                   /* of France */
    agt_submit(a, "/new");
    CHECK_INT(fed(a, &s, "How much?"), 0);                  /* another conversation */
    agt_close(a);
    seen_clear(&s);
}

int main(void)
{
    RUN(questions_lean_on_those_before_them);
    return TEST_END();
}
