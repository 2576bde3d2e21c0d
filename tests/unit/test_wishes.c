/* what a person wants of a search: pinned passages are fed first while they fit, banned sources and what is left out are not, and
 * the search says so; wishes go with what they are of, and are kept over a restart and a file that is taken in again. */
#include "memory/store.h"
#include "rag/rag.h"
#include "tests/memory_help.h"

static mem_store *store;
static int64_t chat;

static int64_t raw(const char *sql)
{
    int64_t n = -1;
    store_lock(store);
    OK(store_int(store, &n, err, sql, ""));
    store_unlock(store);
    return n;
}

static int64_t add(const char *name, const char *text)
{
    int64_t id = 0;
    OK(rag_add_text(store, name, name, MEM_TRUST_OWN, text, strlen(text), &id, err));
    return id;
}

static const char bridge[] = "# Bridge\n\nThe old bridge at Kestrel Falls was built by Maren Holt of oak and iron in 1891.\n";
static const char ferry[] = "# Ferry\n\nThe ferry of Kestrel Falls leaves the old bridge at nine, says Maren Holt.\n";
static const char bread[] = "# Bread\n\nRye bread rises for eleven hours in a cold kitchen, then bakes for fifty minutes.\n";

static void begin(void)
{
    int64_t id;
    OK(mem_open(":memory:", &store, err));
    OK(mem_conversation_new(store, "talk", &chat, err));
    OK(mem_message_add(store, chat, 0, MEM_USER, "hello", 5, &id, err));
    add("notes/bridge.md", bridge);
    add("notes/ferry.md", ferry);
    add("notes/bread.md", bread);
}

static void end(void) { mem_close(store); }

static rag_result *ask(const char *question, int max, int budget, const rag_place *without, int n)
{
    rag_config c = rag_config_default();
    rag_scope scope = { .conversation = chat, .budget = budget, .without = without, .n_without = n };
    rag_result *r = NULL;
    c.max_passages = max;
    OK(rag_search(store, &c, question, &scope, &r, err));
    return r;
}

static const rag_passage *of(const rag_result *r, const char *label)
{
    for (int i = 0; i < r->n; i++)
        if (strncmp(r->v[i].label, label, strlen(label)) == 0) return &r->v[i];
    return NULL;
}

/* Every passage has one fate, and the counts are those of the fates. */
static void adds_up(const rag_result *r)
{
    int of_fate[RAG_FATES] = { 0 }, tokens = 0;
    for (int i = 0; i < r->n; i++) {
        of_fate[r->v[i].fate]++;
        CHECK_INT(r->v[i].rank, i + 1);
        CHECK_INT(r->v[i].number > 0, r->v[i].fate == RAG_FED);
        if (r->v[i].fate == RAG_FED) tokens += r->v[i].tokens;
    }
    CHECK_INT(r->n_fed, of_fate[RAG_FED]);
    CHECK_INT(r->n_below, of_fate[RAG_BELOW]);
    CHECK_INT(r->n_unwanted, of_fate[RAG_LEFT_OUT] + of_fate[RAG_OF_BANNED]);
    CHECK_INT(r->n_repeat, of_fate[RAG_REPEATS] + of_fate[RAG_SAME]);
    CHECK_INT(r->n_over, r->n_repeat + of_fate[RAG_OVER_COUNT] + of_fate[RAG_OVER_BUDGET]);
    CHECK_INT(r->fed_tokens, tokens);
}

static const char question[] = "Who built the old bridge at Kestrel Falls?";
#define WHY(r, p, says) do { q_buf b_ = { 0 }; rag_why(r, p, &b_); CHECK_MSG(strstr(b_.p, says) != NULL, "%s", b_.p); q_buf_free(&b_); } while (0)

static void what_is_pinned_is_fed_first_while_it_fits(void)
{
    begin();
    rag_result *r = ask(question, 3, -1, NULL, 0);
    const rag_passage *p = of(r, "notes/bridge.md");
    CHECK(p && p->number == 1 && !of(r, "notes/bread.md"));
    rag_result_free(r);
    r = ask("How long does rye bread rise in a cold kitchen?", 3, -1, NULL, 0);
    p = of(r, "notes/bread.md");
    CHECK(p && p->fate == RAG_FED);
    if (p) OK(mem_pin_put(store, chat, &(mem_pin){ .kind = p->kind, .ref = p->id, .n = -1 }, err));
    rag_result_free(r);

    r = ask(question, 1, -1, NULL, 0);   /* the search does not bring it; a count of one does not hold it back */
    adds_up(r);
    p = of(r, "notes/bread.md");
    CHECK(p && p->number == 1 && p->wish == RAG_PINNED && p->rank == 1 && p->tokens > 0);
    if (p) WHY(r, p, "fed: pinned in this conversation; score .00");
    CHECK(of(r, "notes/bridge.md") && of(r, "notes/bridge.md")->fate == RAG_OVER_COUNT);
    q_buf b = { 0 };
    rag_explain(r, &b);
    CHECK(strstr(b.p, "[1]") && strstr(b.p, "notes/bread.md"));
    q_buf_free(&b);
    rag_result_free(r);

    r = ask("hello", 3, -1, NULL, 0);    /* no word to look for: it is fed all the same, and logged */
    adds_up(r);
    CHECK(!r->searched && r->n_fed == 1);
    int64_t reply;
    mem_logs l;
    OK(mem_reply_begin(store, chat, raw("SELECT max(id) FROM message"), "m", 1, 1, "{}", "standard", &reply, err));
    OK(rag_log(store, reply, r, err));
    OK(mem_log_get(store, reply, &l, err));
    CHECK(l.n == 1 && rag_log_pinned(&l.v[0]) && rag_log_fate(&l.v[0]) == RAG_FED && !rag_log_repeats(&l.v[0]));
    mem_logs_free(&l);
    rag_result_free(r);

    r = ask(question, 3, 10, NULL, 0);   /* no room: said so */
    adds_up(r);
    p = of(r, "notes/bread.md");
    CHECK(p && p->fate == RAG_OVER_BUDGET && r->n_fed == 0);
    rag_result_free(r);
    int64_t other = chat;
    OK(mem_conversation_new(store, "another", &chat, err));
    r = ask(question, 3, -1, NULL, 0);
    CHECK(!of(r, "notes/bread.md"));     /* pinned there, not here */
    rag_result_free(r);
    chat = other;
    mem_pins pins;
    OK(mem_pin_list(store, chat, &pins, err));
    CHECK_INT(pins.n, 1);
    if (pins.n) OK(mem_pin_drop(store, chat, pins.v[0].kind, pins.v[0].ref, err));
    if (pins.n) CHECK_STR(pins.v[0].title, "notes/bread.md");
    mem_pins_free(&pins);
    r = ask(question, 3, -1, NULL, 0);
    CHECK(!of(r, "notes/bread.md"));
    rag_result_free(r);
    CHECK(mem_pin_put(store, chat, &(mem_pin){ .ref = 999, .n = -1 }, err) == Q_NOTFOUND);
    CHECK(mem_pin_put(store, 999, &(mem_pin){ .ref = 1, .n = -1 }, err) == Q_NOTFOUND);
    end();
}

static void a_part_of_a_long_text_is_pinned(void)
{
    begin();
    rag_result *r = ask(question, 3, -1, NULL, 0);
    const rag_passage *p = of(r, "notes/bridge.md");
    int64_t id = p ? p->id : 0;
    rag_result_free(r);
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = id, .from = 4, .n = 10 }, err));
    r = ask("hello", 3, -1, NULL, 0);
    CHECK(r->n == 1 && strlen(r->v[0].text) == 10);
    rag_result_free(r);
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = id, .from = 1 << 20, .n = 10 }, err));     /* it is shorter by now */
    r = ask("hello", 3, -1, NULL, 0);
    CHECK(r->n == 1 && strstr(r->v[0].text, "Maren Holt"));
    rag_result_free(r);
    end();
}

static void a_banned_source_is_never_fed(void)
{
    begin();
    rag_result *r = ask(question, 3, -1, NULL, 0);
    const rag_passage *p = of(r, "notes/bridge.md");
    int64_t source = p ? p->source : 0, passage = p ? p->id : 0;
    CHECK(p && p->fate == RAG_FED);
    rag_result_free(r);
    OK(mem_ban_put(store, MEM_CHUNK, source, true, err));
    OK(mem_ban_put(store, MEM_CHUNK, source, true, err));
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = passage, .n = -1 }, err));     /* a ban is stronger */
    r = ask(question, 3, -1, NULL, 0);
    adds_up(r);
    p = of(r, "notes/bridge.md");
    CHECK(p && p->fate == RAG_OF_BANNED && r->n_unwanted == 1);
    if (p) WHY(r, p, "its source is banned");
    CHECK(of(r, "notes/ferry.md") && of(r, "notes/ferry.md")->number == 1);
    rag_result_free(r);
    mem_bans bans;
    OK(mem_ban_list(store, &bans, err));
    CHECK(bans.n == 1 && bans.v[0].source == source && strcmp(bans.v[0].title, "notes/bridge.md") == 0);
    mem_bans_free(&bans);
    OK(mem_ban_put(store, MEM_CHUNK, source, false, err));
    r = ask(question, 3, -1, NULL, 0);
    p = of(r, "notes/bridge.md");
    CHECK(p && p->number == 1 && p->wish == RAG_PINNED);
    rag_result_free(r);
    CHECK(mem_ban_put(store, MEM_CHUNK, 999, true, err) == Q_NOTFOUND);
    CHECK(mem_ban_put(store, MEM_CHAT, 999, true, err) == Q_NOTFOUND);
    end();
}

static void what_is_left_out_is_left_out_once(void)
{
    begin();
    rag_result *r = ask(question, 3, -1, NULL, 0);
    const rag_passage *p = of(r, "notes/bridge.md");
    rag_place without = { MEM_CHUNK, p ? p->id : 0 };
    rag_result_free(r);
    r = ask(question, 3, -1, &without, 1);
    adds_up(r);
    p = of(r, "notes/bridge.md");
    CHECK(p && p->fate == RAG_LEFT_OUT);
    if (p) WHY(r, p, "left out of this answer");
    rag_result_free(r);
    r = ask(question, 3, -1, NULL, 0);
    CHECK(of(r, "notes/bridge.md") && of(r, "notes/bridge.md")->number == 1);
    rag_result_free(r);
    end();
}

static void wishes_go_with_what_they_are_of(void)
{
    begin();
    int64_t passage = raw("SELECT c.id FROM chunk c JOIN document d ON d.id=c.document WHERE d.title='notes/bread.md'");
    int64_t bread_id = raw("SELECT id FROM document WHERE title='notes/bread.md'"), other, said;
    OK(mem_conversation_new(store, "another", &other, err));
    OK(mem_message_add(store, other, 0, MEM_USER, "The mill stands by the weir.", 28, &said, err));
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = passage, .n = -1 }, err));
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHAT, .ref = said, .n = -1 }, err));
    OK(mem_ban_put(store, MEM_CHUNK, bread_id, true, err));
    OK(mem_ban_put(store, MEM_CHAT, other, true, err));
    mem_bans bans;
    mem_pins pins;

    /* taken in again with another end: the passage that says the same is pinned still, and so is the source banned */
    char *longer = q_printf("%s\n## Salt\n\nTwo spoons of salt.\n", bread);
    int64_t again = add("notes/bread.md", longer);
    free(longer);
    CHECK(again != bread_id);
    OK(mem_ban_list(store, &bans, err));
    CHECK(bans.n == 2 && bans.v[0].source == again);
    mem_bans_free(&bans);
    OK(mem_pin_list(store, chat, &pins, err));
    CHECK(pins.n == 2 && pins.v[0].ref == passage && pins.v[1].kind == MEM_CHAT);
    mem_pins_free(&pins);

    OK(mem_conversation_delete(store, other, err));          /* in no list at once, */
    OK(mem_ban_list(store, &bans, err));
    CHECK_INT(bans.n, 1);
    mem_bans_free(&bans);
    OK(mem_pin_list(store, chat, &pins, err));
    CHECK_INT(pins.n, 1);
    mem_pins_free(&pins);
    OK(mem_document_delete(store, again, err));
    OK(mem_tidy(store, NULL, NULL, err));                    /* and then in no table */
    CHECK_INT(raw("SELECT count(*) FROM pin"), 0);
    CHECK_INT(raw("SELECT count(*) FROM ban"), 0);
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = raw("SELECT min(id) FROM chunk"), .n = -1 }, err));
    OK(mem_conversation_delete(store, chat, err));
    OK(mem_tidy(store, NULL, NULL, err));
    CHECK_INT(raw("SELECT count(*) FROM pin"), 0);
    end();
}

static void wishes_outlive_a_restart(void)
{
    const char *path = file("m.db");
    int64_t id = 0;
    OK(mem_open(path, &store, err));
    OK(mem_conversation_new(store, "talk", &chat, err));
    id = add("notes/bridge.md", bridge);
    OK(mem_ban_put(store, MEM_CHUNK, id, true, err));
    OK(mem_pin_put(store, chat, &(mem_pin){ .kind = MEM_CHUNK, .ref = raw("SELECT min(id) FROM chunk"), .n = -1 }, err));
    mem_close(store);
    OK(mem_open(path, &store, err));
    mem_bans bans;
    mem_pins pins;
    OK(mem_ban_list(store, &bans, err));
    OK(mem_pin_list(store, chat, &pins, err));
    CHECK(bans.n == 1 && bans.v[0].source == id && pins.n == 1);
    mem_bans_free(&bans);
    mem_pins_free(&pins);
    OK(mem_check(store, err));
    mem_close(store);
}

int main(void)
{
    if (!memory_begin("wishes")) return 1;
    RUN(what_is_pinned_is_fed_first_while_it_fits);
    RUN(a_part_of_a_long_text_is_pinned);
    RUN(a_banned_source_is_never_fed);
    RUN(what_is_left_out_is_left_out_once);
    RUN(wishes_go_with_what_they_are_of);
    RUN(wishes_outlive_a_restart);
    return memory_end();
}
