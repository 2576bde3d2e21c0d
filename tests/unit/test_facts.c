/* facts: what is a statement and what it is about, that a newer one supersedes an older and both are kept, that they are found and fed, and
 * /remember in the shell. No model is needed. */
#include "agent/errands.h"
#include "rag/rag.h"
#include "tests/unit/agent_help.h"

static void gather(q_buf *b, const char *s) { q_buf_printf(b, "%s|", s); }
static bool one(void *user, const char *s) { gather(user, s); return true; }
static bool first(void *user, const char *s) { gather(user, s); return false; }

static void statements_are_told_by_rules(void)
{
    static const struct { const char *text, *want; } t[] = {
        {"My dentist is Anna Petrova. What is the time?", "My dentist is Anna Petrova|"},
        {"- I live in Omsk!\n- and more of that", "I live in Omsk|"},
        {"Remember that the key is under the third stone.", "the key is under the third stone|"},
        {"The sky is blue. Rayleigh showed why.", ""},
        {"Is my dentist still in town?", ""},
        {"My dentist is who?", ""},
        {"Меня зовут Фёдор. Я работаю в порту. А как зовут тебя?", "Меня зовут Фёдор|Я работаю в порту|"},
        {"Запомни: пароль от калитки 3.14 и точка.", "пароль от калитки 3.14 и точка|"},
        {"МОЯ сестра — Ольга", "МОЯ сестра — Ольга|"},
        {"```\nmy code is here now\n```\nMy cat is called Tom.", "My cat is called Tom|"},
        {"my x", ""},
        {"", ""}, {"\xff\xfe my \xff is broken and long enough", ""}, {"?!.\n\n - * >", ""},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_buf b = { 0 };
        rag_statements(t[i].text, strlen(t[i].text), one, &b);
        CHECK_MSG(strcmp(b.p ? b.p : "", t[i].want) == 0, "%s: %s", t[i].text, b.p ? b.p : "");
        q_buf_free(&b);
    }
    q_buf b = { 0 };
    const char *two = "I live in Omsk. I work at night.";
    rag_statements(two, strlen(two), first, &b);
    CHECK_STR(b.p, "I live in Omsk|");
    q_buf_free(&b);
    static const struct { const char *a, *b; bool same; } subject[] = {
        {"My dentist is Anna", "my dentist was Boris", true}, {"Моя сестра — Ольга", "моя сестра теперь Вера", true}, {"My dentist is Anna", "My doctor is Anna", false},
        {"I live in Omsk", "we live in Tomsk", true}, {"I live in Omsk", "я живу в Томске", true}, {"My name is Fedor", "call me Ted", true}, {"I like tea", "I like coffee", false},
        {"My old phone is broken", "my phone is new", false}, {"The sky is blue", "The sky is grey", false}, {"My cats: Tom and Ann", "my cats: Tom", true},
    };
    for (size_t i = 0; i < sizeof subject / sizeof *subject; i++) {
        char *x = rag_fact_subject(subject[i].a), *y = rag_fact_subject(subject[i].b);
        CHECK_MSG((*x && strcmp(x, y) == 0) == subject[i].same, "%s: \"%s\" and \"%s\"", subject[i].a, x, y);
        free(x);
        free(y);
    }
}

static const mem_fact *fact(const mem_facts *l, int64_t id)
{
    for (int i = 0; i < l->n; i++)
        if (l->v[i].id == id)
            return &l->v[i];
    return NULL;
}

static void a_newer_one_supersedes_by_validity(void)
{
    char err[Q_ERRLEN];
    mem_store *s = NULL;
    mem_facts l;
    int64_t a, b, c, d;
    CHECK_INT(mem_open(":memory:", &s, err), 0);
    CHECK_INT(mem_fact_put(s, &(mem_fact){ .text = (char *)"my dentist is Anna", .subject = (char *)"my dentist", .since_ms = 1000 }, &a, err), 0);
    CHECK_INT(mem_fact_put(s, &(mem_fact){ .text = (char *)"my dentist is Cyril", .subject = (char *)"my dentist", .since_ms = 3000 }, &c, err), 0);
    CHECK_INT(mem_fact_put(s, &(mem_fact){ .text = (char *)"my dentist is Boris", .subject = (char *)"my dentist", .since_ms = 2000 }, &b, err), 0);     /* told of last */
    CHECK_INT(mem_fact_put(s, &(mem_fact){ .text = (char *)"I like tea", .subject = (char *)"" }, &d, err), 0);
    CHECK_INT(mem_fact_put(s, &(mem_fact){ .text = (char *)"I like tea", .subject = (char *)"" }, &d, err), Q_RANGE);
    CHECK_INT(mem_fact_list(s, &l, err), 0);
    CHECK_INT(l.n, 4);
    CHECK(fact(&l, a)->until_ms == 2000 && fact(&l, a)->by == b && fact(&l, b)->until_ms == 3000 && fact(&l, b)->by == c && fact(&l, c)->until_ms == 0);
    mem_facts_free(&l);
    CHECK_INT(rag_facts(s, err), 0);
    mem_document doc;
    CHECK_INT(mem_document_by_path(s, RAG_FACTS, &doc, err), 0);
    CHECK_INT(doc.n_chunks, 2);            /* those that hold */
    int64_t was = doc.id;
    mem_document_free(&doc);
    CHECK_INT(rag_facts(s, err), 0);       /* nothing changed: it is left alone */
    CHECK_INT(mem_document_by_path(s, RAG_FACTS, &doc, err), 0);
    CHECK(doc.id == was);
    mem_document_free(&doc);
    rag_config cfg = rag_config_default();
    rag_result *r = NULL;
    CHECK_INT(rag_search(s, &cfg, "Who is my dentist?", NULL, &r, err), 0);
    CHECK_MSG(r && r->n_fed >= 1 && strstr(r->v[0].text, "Cyril"), "%s", r && r->n ? r->v[0].text : "nothing");
    for (int i = 0; r && i < r->n; i++)
        CHECK(!strstr(r->v[i].text, "Anna") && !strstr(r->v[i].text, "Boris"));
    rag_result_free(r);
    CHECK_INT(mem_facts_delete(s, &c, 1, NULL, err), 0);
    CHECK_INT(mem_fact_list(s, &l, err), 0);
    CHECK(l.n == 3 && fact(&l, b)->until_ms == 0 && fact(&l, b)->by == 0 && fact(&l, a)->by == b);      /* the one before holds again */
    mem_facts_free(&l);
    int done = 0;
    CHECK_INT(rag_facts(s, err), 0);
    CHECK_INT(mem_document_by_path(s, RAG_FACTS, &doc, err), 0);
    CHECK_INT(rag_remove_all(s, &doc.id, 1, &done, err), 0);        /* the document takes them with it */
    mem_document_free(&doc);
    CHECK_INT(rag_facts(s, err), 0);
    CHECK_INT(mem_document_by_path(s, RAG_FACTS, &doc, err), Q_NOTFOUND);
    CHECK_INT(mem_fact_list(s, &l, err), 0);
    CHECK_INT(l.n, 0);
    mem_facts_free(&l);
    CHECK_INT(mem_check(s, err), 0);
    mem_close(s);
}

static void shell(agt *a, seen *s, const char *line, const char *notes, const char *page)
{
    q_buf_clear(&s->notes);
    free(s->page);
    s->page = NULL;
    agt_submit(a, line);
    settle(a, s);
    if (notes)
        CHECK_MSG(s->notes.p && strstr(s->notes.p, notes), "%s: %s", line, s->notes.p ? s->notes.p : "");
    if (page)
        CHECK_MSG(s->page && strstr(s->page, page), "%s: %s", line, s->page ? s->page : "");
}

static void remembered_in_the_shell(void)
{
    seen s = { 0 };
    char err[Q_ERRLEN];
    int64_t chat = 0, id = 0;
    agt *a = NULL;
    agt_options o = { .db = ":memory:" };
    if (agt_open(&o, &a, err) < 0) {
        printf("not ok opening a room: %s\n", err);
        exit(1);
    }
    settle(a, &s);
    shell(a, &s, "/remember", "nothing is remembered", NULL);
    shell(a, &s, "/remember?", "nothing that was said", NULL);
    shell(a, &s, "/remember all", "nothing was proposed", NULL);
    shell(a, &s, "/remember My dentist is Anna", "remembered as fact 1", NULL);
    shell(a, &s, "/remember My dentist is Anna", "already", NULL);
    shell(a, &s, "/remember My dentist is Boris", "“My dentist is Anna” (fact 1) held until now", NULL);
    shell(a, &s, "/remember 1999-05-01: My dentist is Old Cyril", "of a time before", NULL);
    CHECK_INT(mem_conversation_new(a->store, "talk", &chat, err), 0);
    static const char *const said_[] = { "Hello! I live in Omsk. Is it far?", "My cat is called Tom. I prefer short answers." };
    for (int i = 0; i < 2; i++)
        CHECK_INT(mem_message_add(a->store, chat, id, MEM_USER, said_[i], strlen(said_[i]), &id, err), 0);
    CHECK_INT(mem_message_add(a->store, chat, id, MEM_ASSISTANT, "My name is a model.", 19, &id, err), 0);      /* not the person's */
    agt_open_chat(a, chat);
    settle(a, &s);
    shell(a, &s, "/remember?", NULL, "   1  I live in Omsk\n   2  My cat is called Tom\n   3  I prefer short answers\n");
    CHECK_MSG(s.data && strstr(s.data, "\"text\":\"I live in Omsk\""), "%s", s.data ? s.data : "");
    shell(a, &s, "/remember 1, 7", "no proposal 7", NULL);
    shell(a, &s, "/remember 1 3", "remembered as fact 5", NULL);
    shell(a, &s, "/запомнить ?", NULL, "   1  My cat is called Tom\n");          /* what is kept is not proposed again */
    shell(a, &s, "/remember", NULL, "My dentist is Anna (until ");
    CHECK_MSG(s.page && strstr(s.page, "I prefer short answers") && !strstr(s.page, "Tom"), "%s", s.page ? s.page : "");
    shell(a, &s, "/search the dentist Boris", NULL, "1 fed");
    CHECK(s.page && strstr(s.page, "] .") && strstr(s.page, "facts"));
    shell(a, &s, "/search Anna", NULL, "nothing fed");
    agt_submit(a, "/forget fact 2");
    CHECK(wait_for(a, &s, AGT_EV_ASK, 0, 60000));
    CHECK_MSG(s.asked && strstr(s.asked, "1 fact") && strstr(s.asked, "Boris"), "%s", s.asked ? s.asked : "");
    agt_answer(a, s.ask, true);
    settle(a, &s);
    shell(a, &s, "/search the dentist Anna", NULL, "1 fed");
    shell(a, &s, "/search Boris", NULL, "nothing fed");
    agt_close(a);
    seen_clear(&s);
}

int main(void)
{
    RUN(statements_are_told_by_rules);
    RUN(a_newer_one_supersedes_by_validity);
    RUN(remembered_in_the_shell);
    return TEST_END();
}
