/* tests: what a model did by tools, as the store keeps it: with its answer, and no longer; what files held before, for so long and so much. */
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"

static mem_store *s;
static int64_t chat, reply;

static void open_store(const store_watch *w)
{
    int64_t asked;
    OK(store_open(":memory:", w, &s, err));
    OK(mem_conversation_new(s, "c", &chat, err));
    OK(mem_message_add(s, chat, 0, MEM_USER, "mend it", 7, &asked, err));
    OK(mem_reply_begin(s, chat, asked, "m", 1, 1, "{}", "", &reply, err));
    OK(mem_reply_end(s, reply, MEM_DONE, "", "done", 4, "", 0, NULL, NULL, err));
}

static int64_t put(const char *path, const char *was, size_t n, const char *whole)
{
    int64_t id = 0;
    mem_call c = { .message = reply, .round = 1, .at = 4, .name = (char *)"edit_file", .arguments = (char *)"{\"path\":\"a\"}", .result = (char *)"a is changed",
                   .policy = (char *)"once", .ms = 7, .path = (char *)path, .became = (char *)"abc", .mode = 0640, .there = was != NULL };
    OK(mem_call_put(s, &c, was, n, whole, whole ? strlen(whole) : 0, &id, err));
    return id;
}

static void a_call_is_kept_with_its_answer(void)
{
    mem_calls l;
    q_buf b = { 0 };
    int64_t id, plain;
    open_store(NULL);
    id = put("/p/a", "was\0nul", 7, "the whole of it");
    plain = put("", NULL, 0, NULL);
    OK(mem_call_list(s, reply, &l, err));
    CHECK_INT(l.n, 2);
    CHECK(l.v[0].id == id && l.v[0].round == 1 && l.v[0].at == 4 && l.v[0].ms == 7 && l.v[0].mode == 0640 && l.v[0].there && l.v[0].kept && !l.v[0].undone);
    CHECK_STR(l.v[0].path, "/p/a");
    CHECK_STR(l.v[0].result, "a is changed");
    CHECK_STR(l.v[0].policy, "once");
    CHECK(!*l.v[1].path && !l.v[1].kept);
    mem_calls_free(&l);
    OK(mem_call_was(s, id, &b, err));
    CHECK(b.len == 7 && memcmp(b.p, "was\0nul", 7) == 0);
    q_buf_clear(&b);
    OK(mem_call_whole(s, id, &b, err));
    CHECK_STR(b.p, "the whole of it");
    CHECK_INT(mem_call_was(s, plain, &b, err), Q_NOTFOUND);
    CHECK_INT(mem_call_whole(s, plain, &b, err), Q_NOTFOUND);
    OK(mem_call_undone(s, id, err));
    OK(mem_call_last(s, chat, 10, &l, err));
    CHECK(l.n == 2 && l.v[1].undone && l.v[0].id == plain);
    mem_calls_free(&l);
    q_buf_free(&b);
}

/* Neither found, nor searched, nor a passage. */
static void no_search_looks_at_it(void)
{
    mem_hits hits;
    mem_passages p;
    const char *word[] = { "changed" };
    OK(mem_find(s, "changed", 10, &hits, err));
    CHECK_INT(hits.n, 0);
    mem_hits_free(&hits);
    OK(mem_candidates(s, MEM_CHAT, word, 1, 0, 10, &p, err));
    CHECK_INT(p.n, 0);
    mem_passages_free(&p);
}

static void it_goes_with_its_answer(void)
{
    int64_t left = 1;
    mem_targets t = { 0 };
    OK(mem_forget_find(s, MEM_FORGET_WORDS, 0, 0, "THE WHOLE OF", &t, err));
    CHECK(t.n == 1 && t.v[0].part == MEM_PART_MESSAGE && t.v[0].id == reply);
    mem_targets_free(&t);
    OK(mem_forget_find(s, MEM_FORGET_WORDS, 0, 0, "is changed", &t, err));
    CHECK_INT(t.n, 1);
    mem_targets_free(&t);
    OK(mem_messages_delete(s, &reply, 1, NULL, err));
    OK(mem_tidy(s, NULL, NULL, err));
    store_lock(s);
    OK(store_int(s, &left, err, "SELECT (SELECT count(*) FROM tool_call) + (SELECT count(*) FROM tool_whole) + (SELECT count(*) FROM tool_undo)", ""));
    store_unlock(s);
    CHECK_INT(left, 0);
    mem_close(s);
}

static int64_t clock_ms;
static int64_t now(void *user) { return clock_ms; }

static void what_files_held_is_kept_for_so_long_and_so_much(void)
{
    enum { BIG = 30 << 20 };
    store_watch w = { .now = now };
    mem_calls l;
    char *big = q_alloc(BIG);
    clock_ms = 1000000000000;
    open_store(&w);
    put("/p/old", "o", 1, NULL);
    put("/p/new", NULL, 0, NULL);
    clock_ms += (int64_t)MEM_UNDO_DAYS * 86400000 + 1;
    put("/p/1", big, BIG, NULL);
    OK(mem_call_list(s, reply, &l, err));
    CHECK(!l.v[0].kept && l.v[1].kept && l.v[2].kept);       /* what was not there needs nothing kept */
    mem_calls_free(&l);
    put("/p/2", big, BIG, NULL);
    put("/p/3", big, BIG, NULL);
    OK(mem_call_list(s, reply, &l, err));
    CHECK(!l.v[2].kept && l.v[3].kept && l.v[4].kept);
    mem_calls_free(&l);
    free(big);
    mem_close(s);
}

int main(void)
{
    RUN(a_call_is_kept_with_its_answer);
    RUN(no_search_looks_at_it);
    RUN(it_goes_with_its_answer);
    RUN(what_files_held_is_kept_for_so_long_and_so_much);
    return TEST_END();
}
