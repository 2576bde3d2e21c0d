/* rag: which of what was found is fed: never what a model wrote unless a person wants it, and then behind everything else. */
#include "rag/rag.h"
#include "tests/test.h"

static char err[Q_ERRLEN];
#define OK(call) do { err[0] = 0; int rc_ = (call); CHECK_MSG(rc_ == Q_OK, "%d %s", rc_, err); } while (0)

static mem_store *open_new(void)
{
    mem_store *s = NULL;
    if (mem_open(":memory:", &s, err) != Q_OK) { printf("not ok open: %s\n", err); exit(1); }
    return s;
}

/* A conversation of a question and an answer; the answer's number. */
static int64_t talk(mem_store *s, const char *question, const char *answer)
{
    int64_t c, m, rep;
    OK(mem_conversation_new(s, "talk", &c, err));
    OK(mem_message_add(s, c, 0, MEM_USER, question, strlen(question), &m, err));
    OK(mem_reply_begin(s, c, m, "m", 1, 1, "{}", "", &rep, err));
    OK(mem_reply_end(s, rep, MEM_DONE, "eos", answer, strlen(answer), "", 0, NULL, NULL, err));
    return rep;
}

static void note(mem_store *s, const char *name, const char *text)
{
    int64_t id;
    OK(rag_add_text(s, name, name, MEM_TRUST_OWN, text, strlen(text), &id, err));
}

static const char asked[] = "Where does the kestrel nest in the belfry?";

/* ---- earlier answers ---- */
static void answers_are_not_fed_unless_wanted(void)
{
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    rag_result *r;
    q_buf b = {0};
    talk(s, "Tell me of birds.", "The kestrel will nest in the belfry, under the big bell.");
    CHECK(!c.answers);
    OK(rag_search(s, &c, asked, NULL, &r, err));
    CHECK_INT(r->n_fed, 0);
    CHECK_MSG(r->n == 1 && r->v[0].fate == RAG_ANSWER && r->v[0].score >= c.min_score, "%d, %s", r->n, r->n ? rag_fate_word(r->v[0].fate) : "");
    CHECK_INT(r->n_answers, 1);
    CHECK_INT(r->n_over + r->n_below + r->n_unwanted, 0);
    CHECK_MSG(strstr(rag_summary(r, &b), "is an earlier answer, and memory.answers is off") != NULL, "%s", b.p);
    q_buf_clear(&b);
    rag_explain(r, &b);
    CHECK_MSG(strstr(b.p, "not fed: an earlier answer, and memory.answers is off; score ") != NULL, "%s", b.p);
    char *json = rag_explain_json(r, asked);
    CHECK_MSG(strstr(json, "\"fate\":\"answer\"") && strstr(json, "\"answers\":1"), "%s", json);
    free(json);
    rag_result_free(r);
    OK(rag_config_set(&c, "memory.answers", "on", err));
    OK(rag_search(s, &c, asked, NULL, &r, err));
    CHECK(r->n_fed == 1 && r->v[0].trust == MEM_TRUST_MODEL && r->n_answers == 0);
    rag_result_free(r);
    q_buf_free(&b);
    mem_close(s);
}

/* However well they say it. */
static void answers_stand_behind_ones_own_words(void)
{
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    rag_result *r;
    c.answers = true, c.max_passages = 2;
    talk(s, "Tell me of birds.", "The kestrel will nest in the belfry; kestrels nest in the belfry; a belfry where kestrels nest.");
    note(s, "birds.md", "Seen this year: swift, jackdaw, and near the belfry tower once more a kestrel that looked for a place to nest, I think.");
    note(s, "walk.md", "A long way round the village, over the bridge, past mill and barn, with tea at the end; a kestrel.");
    OK(rag_search(s, &c, asked, NULL, &r, err));
    CHECK_INT(r->n_fed, 2);
    CHECK_INT(r->n, 3);
    for (int i = 1; i < r->n; i++) CHECK_MSG(!(r->v[i - 1].trust == MEM_TRUST_MODEL && r->v[i].trust != MEM_TRUST_MODEL), "rank %d", i);
    CHECK(r->n == 3 && r->v[0].fate == RAG_FED && strcmp(r->v[0].label, "birds.md") == 0);
    CHECK(r->n == 3 && r->v[2].trust == MEM_TRUST_MODEL && r->v[2].fate == RAG_FED && r->v[1].fate == RAG_BELOW);
    CHECK(r->n == 3 && r->v[0].match == 1 && r->v[2].match <= 1);
    rag_result_free(r);
    c.max_passages = 1;                 /* the one place is the person's own */
    OK(rag_search(s, &c, asked, NULL, &r, err));
    CHECK(r->n_fed == 1 && r->v[0].fate == RAG_FED && r->v[0].trust == MEM_TRUST_OWN && r->n == 3 && r->v[2].fate == RAG_OVER_COUNT);
    rag_result_free(r);
    mem_close(s);
}

/* A hundred answers that all match better take no place from the one note, and the list says of some that they were left out. */
static void answers_crowd_nothing_out(void)
{
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    rag_result *r;
    for (int i = 0; i < 100; i++) {
        char *a = q_printf("The kestrel will nest in the belfry, kestrel, belfry, nest number %d.", i);
        talk(s, "Tell me of birds.", a);
        free(a);
    }
    note(s, "birds.md", "Seen this year: swift, jackdaw, and near the belfry tower once more a kestrel that looked for a place to nest, I think.");
    OK(rag_search(s, &c, asked, NULL, &r, err));
    CHECK(r->n_fed == 1 && strcmp(r->v[0].label, "birds.md") == 0 && r->v[0].number == 1);
    CHECK_MSG(r->n_answers > 0 && r->n_answers <= 20 && r->n == 1 + r->n_answers, "%d of %d", r->n_answers, r->n);
    for (int i = 0; i < r->n; i++) CHECK_INT(r->v[i].rank, i + 1);
    rag_result_free(r);
    mem_close(s);
}

/* One that is pinned is wanted. */
static void a_pinned_answer_is_fed(void)
{
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    rag_result *r;
    int64_t here, id = talk(s, "Tell me of birds.", "The kestrel will nest in the belfry.");
    OK(mem_conversation_new(s, "here", &here, err));
    OK(mem_pin_put(s, here, &(mem_pin){.kind = MEM_CHAT, .ref = id, .n = -1}, err));
    OK(rag_search(s, &c, asked, &(rag_scope){.conversation = here, .budget = -1}, &r, err));
    CHECK(r->n_fed == 1 && r->n_answers == 0 && r->v[0].wish == RAG_PINNED);
    rag_result_free(r);
    mem_close(s);
}

/* What people of an imported talk said is no answer, whoever they are. */
static void a_talk_of_two_people_is_their_words(void)
{
    static const mem_turn v[] = {{MEM_USER, "Ada", "Where does the kestrel nest?", 28, 1683554160000}, {MEM_USER, "Bo", "It has its nest in the belfry.", 30, 1683554160000}};
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    rag_result *r;
    int64_t chat, leaf;
    OK(mem_conversation_new(s, "birds", &chat, err));
    OK(mem_turns_add(s, chat, 0, v, 2, &leaf, err));
    OK(rag_search(s, &c, asked, NULL, &r, err));
    CHECK(r->n_fed >= 1 && r->n_answers == 0 && strstr(r->v[0].text, "belfry"));
    rag_result_free(r);
    mem_close(s);
}

/* ---- the order in which it is shown ---- */
/* Found in the order of v; people see the numbers in order, then the rest by score, of two alike the one found first. */
static void people_see_scores_in_order(void)
{
    rag_passage v[] = {
        {.label = "a", .score = .28, .fate = RAG_BELOW, .rank = 1}, {.label = "b", .score = .37, .fate = RAG_FED, .number = 2, .rank = 2},
        {.label = "c", .score = .02, .fate = RAG_BELOW, .rank = 3}, {.label = "d", .score = .65, .fate = RAG_FED, .number = 1, .rank = 4},
        {.label = "e", .score = .64, .fate = RAG_OVER_COUNT, .rank = 5}, {.label = "f", .score = .28, .fate = RAG_BELOW, .rank = 6},
    };
    rag_result r = {.v = v, .n = 6, .n_fed = 2, .min_score = .3, .max_passages = 2};
    mem_log l[6] = {{0}};
    q_buf b = {0};
    int *order = rag_shown(&r);
    char seen[8] = "";
    for (int i = 0; i < r.n; i++) seen[i] = v[order[i]].label[0];
    CHECK_STR(seen, "dbeafc");
    free(order);
    rag_explain(&r, &b);
    const char *want[] = {"[1] .65  d\n", "[2] .37  b\n", "    .64  e\n", "    .28  a\n", "    .28  f\n", "    .02  c\n"}, *at = b.p;
    for (int i = 0; i < 6; i++, at = at ? strstr(at, "\n      ") : NULL) CHECK_MSG(at && (at = strstr(at, want[i])) != NULL, "%s not in its place: %s", want[i], b.p);
    for (int i = 0; i < 6; i++)
        l[i] = (mem_log){.rank = i + 1, .number = v[i].number, .label = v[i].label, .terms = "", .signals = "", .reason = (char *)rag_fate_word(v[i].fate), .score = v[i].score};
    mem_logs logs = {.v = l, .n = 6};
    order = rag_shown_logs(&logs);
    for (int i = 0; i < logs.n; i++) seen[i] = l[order[i]].label[0];
    CHECK_STR(seen, "dbeafc");
    free(order);
    q_buf_free(&b);
}

/* ---- what repeats ---- */
static const rag_passage *called(const rag_result *r, const char *label)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->v[i].label, label) == 0) return &r->v[i];
    return NULL;
}

/* A copy with a few other words is folded into the one that is fed, which is named; what differs in a number, or says more, is not. */
static void near_duplicates_are_folded(void)
{
    static const char belfry[] = "Every spring the kestrel comes back to nest in the old belfry of Saint Mary, under the big bell, and its call is heard all over the village square by noon";
    static const struct { const char *name, *tail; bool folded; } t[] = {
        {"copy.md", ", I noted.", true}, {"again.md", " and by evening.", true}, {"other year.md", " in 1998.", false},
        {"more.md", ". This year two jackdaws took its place before winter ended, and the sexton, who likes neither bird, nailed wire over every single window of the tower.", false},
    };
    rag_config c = rag_config_default();
    c.max_passages = 10;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        mem_store *s = open_new();
        rag_result *r;
        char *text = q_printf("%s.", belfry), *other = q_printf("%s%s", belfry, t[i].tail);
        note(s, "# nests.md", text);
        note(s, t[i].name, other);
        note(s, "walk.md", "The kestrel flew over the belfry, where else would it nest.");
        OK(rag_search(s, &c, asked, NULL, &r, err));
        const rag_passage *a = called(r, "# nests.md"), *b = called(r, t[i].name);
        const rag_passage *in = a && a->fate == RAG_REPEATS ? b : a, *out = in == a ? b : a;
        CHECK_MSG(a && b && in->number > 0 && (out->fate == RAG_REPEATS) == t[i].folded, "%s: %s, %s", t[i].name, a ? rag_fate_word(a->fate) : "", b ? rag_fate_word(b->fate) : "");
        CHECK_INT(r->n_fed, t[i].folded ? 2 : 3);
        if (t[i].folded && out && in) {
            q_buf why = {0};
            char *says = q_printf("not fed: repeats one that is fed [%d]; score", in->number), *json = rag_explain_json(r, asked), *part = q_printf("\"repeats\":%d,", in->number);
            rag_why(r, out, &why);
            CHECK_MSG(strncmp(why.p, says, strlen(says)) == 0, "%s", why.p);
            CHECK_MSG(strstr(json, part) != NULL, "%s", json);
            q_buf_free(&why);
            free(says);
            free(json);
            free(part);
        }
        rag_result_free(r);
        free(text);
        free(other);
        mem_close(s);
    }
}

/* Short turns are not taken for what stands in a longer one in another order. */
static void short_texts_repeat_only_whole(void)
{
    static const struct { const char *a, *b; bool folded; } t[] = {
        {"The kestrel likes the belfry.", "We saw that the kestrel likes the belfry best of all.", true}, {"The belfry likes the kestrel.", "We saw that the kestrel likes the belfry best of all.", false},
        {"The kestrel nests in belfry 2.", "The kestrel nests in belfry 3.", false}, {"kestrel_nest in the belfry", "kestrel nest in the belfry", false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        mem_store *s = open_new();
        rag_config c = rag_config_default();
        rag_result *r;
        c.min_score = 0;
        note(s, "kestrel and belfry.md", t[i].b);
        note(s, "a.md", t[i].a);
        OK(rag_search(s, &c, "kestrel belfry", NULL, &r, err));
        const rag_passage *a = called(r, "a.md"), *b = called(r, "kestrel and belfry.md");
        CHECK(a && b && b->number == 1 && b->rank < a->rank);
        CHECK_MSG(a && (a->fate == RAG_REPEATS) == t[i].folded && (a->fate == RAG_FED) != t[i].folded, "%s", t[i].a);
        rag_result_free(r);
        mem_close(s);
    }
}

/* ---- facts ---- */
/* What a person wanted remembered is found by one everyday word where that is the question, and by none of the everyday questions. */
static void a_fact_is_fed_to_its_question_and_to_no_other(void)
{
    static const char *const facts[] = {"I live in Riga.", "My wife is called Maria.", "I work as a nurse.", "My birthday is on 5 March.", "I prefer tea to coffee.", "Я живу в Риге.", "Мою жену зовут Мария.",
                                        "Я работаю медсестрой.", "Мой врач — доктор Озолс.", "Я больше люблю чай, чем кофе."};
    static const struct { const char *q, *holds; } t[] = {
        {"Where do I live?", "Riga"}, {"where do i work", "nurse"}, {"When is my birthday?", "5 March"}, {"Who is my wife?", "Maria"}, {"где я живу?", "Риге"}, {"Кто мой врач?", "Озолс"},
        {"How do people live longer?", NULL}, {"Where do penguins live?", NULL}, {"How does a bird sing?", NULL}, {"Сколько лет живут черепахи?", NULL},
    };
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    rag_result *r;
    int64_t id;
    OK(rag_manual(s, err));
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) OK(mem_fact_put(s, &(mem_fact){.text = (char *)facts[i], .subject = (char *)""}, &id, err));
    OK(rag_facts(s, err));
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        bool fed = false;
        OK(rag_search(s, &c, t[i].q, NULL, &r, err));
        for (int k = 0; k < r->n; k++) fed |= r->v[k].fate == RAG_FED && (!t[i].holds || strstr(r->v[k].text, t[i].holds));
        CHECK_MSG(fed == (t[i].holds != NULL), "\"%s\": the best is %.2f %s", t[i].q, r->n ? r->v[0].score : 0, r->n ? r->v[0].text : "");
        rag_result_free(r);
    }
    int asks = 0;
    for (int ru = 0; ru < 2; ru++) {
        q_buf b = {0};
        OK(q_read_file(ru ? "tests/golden/questions/everyday.ru.txt" : "tests/golden/questions/everyday.en.txt", &b, 1 << 20, err));
        q_buf_putc(&b, 0);
        for (char *at = NULL, *q = strtok_r(b.p, "\n", &at); q; q = strtok_r(NULL, "\n", &at), asks++) {
            OK(rag_search(s, &c, q, NULL, &r, err));
            CHECK_MSG(r->n_fed == 0, "\"%s\" is fed %s", q, r->v[0].text);
            rag_result_free(r);
        }
        q_buf_free(&b);
    }
    CHECK_INT(asks, 160);
    mem_close(s);
}

/* The manual's own pages, which have a word of everything, stand behind a person's note that says less of it in words but is theirs. */
static void the_manual_stands_behind_notes(void)
{
    mem_store *s = open_new();
    rag_config c = rag_config_default();
    rag_result *r;
    int64_t id;
    static const char page[] = "# Screen\n\nThe kestrel theme: a belfry of colours, where rows nest.\n", own[] = "# Birds\n\nThe kestrel sat in the belfry for an hour, no nest was there, so we all went home and came again on Sunday.\n";
    OK(rag_add_text(s, "manual:en", "manual", MEM_TRUST_MANUAL, page, sizeof page - 1, &id, err));
    OK(rag_add_text(s, "birds.md", "birds.md", MEM_TRUST_OWN, own, sizeof own - 1, &id, err));
    OK(rag_search(s, &c, asked, NULL, &r, err));
    CHECK_MSG(r->n == 2 && r->v[0].trust == MEM_TRUST_OWN && r->v[0].match == 1 && r->v[1].match < 1, "%d, %s", r->n, r->n ? r->v[0].label : "");
    rag_result_free(r);
    mem_close(s);
}

int main(void)
{
    RUN(the_manual_stands_behind_notes);
    RUN(a_fact_is_fed_to_its_question_and_to_no_other);
    RUN(near_duplicates_are_folded);
    RUN(short_texts_repeat_only_whole);
    RUN(answers_are_not_fed_unless_wanted);
    RUN(answers_stand_behind_ones_own_words);
    RUN(answers_crowd_nothing_out);
    RUN(a_pinned_answer_is_fed);
    RUN(a_talk_of_two_people_is_their_words);
    RUN(people_see_scores_in_order);
    return TEST_END();
}
