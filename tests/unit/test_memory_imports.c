/* memory/imports: conversations out of archives. Twice changes nothing, a longer one adds only what is new, branches and
 * places stay, and a process that is killed between two steps leaves a whole tree that the next import completes. */
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"

#include <sys/wait.h>

static mem_store *s;

static int64_t count(const char *sql)
{
    int64_t n = -1;
    store_lock(s);
    OK(store_int(s, &n, err, sql, ""));
    store_unlock(s);
    return n;
}

/* A chain of n messages, every third hidden, and at its end a branch. */
enum { LONG = 1000 };
static mem_import_message v[LONG + 2];
static char names[LONG + 2][8];

static mem_import chain(int n)
{
    int shown = -1;
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i);
        v[i] = (mem_import_message){.external = names[i], .parent = shown, .role = i % 2 ? MEM_ASSISTANT : MEM_USER, .hidden = i % 3 == 2, .created_ms = 1700000000000 + i,
                                    .text = i % 2 ? "the kestrel hovers" : "what does a kestrel do", .thinking = "", .model = i % 2 ? "gpt" : ""};
        if (!v[i].hidden) shown = i;
    }
    return (mem_import){.source = "chatgpt", .external = "c1", .title = "Birds", .created_ms = 1700000000000, .opened_ms = 1700000009000, .v = v, .n = n, .leaf = shown};
}

static mem_imported put(const mem_import *m)
{
    mem_imported got;
    OK(mem_import_put(s, m, NULL, NULL, &got, err));
    return got;
}

static int branch_length(int64_t conversation)
{
    mem_messages b;
    OK(mem_branch(s, conversation, 0, &b, err));
    int n = b.n;
    for (int i = 1; i < n; i++) CHECK_INT(b.v[i].parent, b.v[i - 1].id);
    mem_messages_free(&b);
    return n;
}

static void a_conversation_comes_in_with_its_times(void)
{
    mem_import m = chain(6);
    mem_imported got = put(&m);
    mem_conversation c;
    CHECK(got.fresh);
    CHECK_INT(got.added, 6);
    OK(mem_conversation_get(s, got.conversation, &c, err));
    CHECK_STR(c.title, "Birds");
    CHECK_INT(c.created_ms, 1700000000000);
    CHECK_INT(c.opened_ms, 1700000009000);
    CHECK_INT(c.n_messages, 4);
    mem_conversation_free(&c);
    mem_messages b;
    OK(mem_branch(s, got.conversation, 0, &b, err));
    CHECK_INT(b.n, 4);                                      /* 0 1 3 4 */
    CHECK_INT(b.v[3].created_ms, 1700000000004);
    CHECK_STR(b.v[1].model, "gpt");
    CHECK_INT(b.v[1].role, MEM_ASSISTANT);
    CHECK_INT(b.v[1].status, MEM_DONE);
    mem_messages_free(&b);
    mem_hits h;
    OK(mem_find(s, "kestrel", 50, &h, err));
    CHECK_INT(h.n, 4);                                      /* hidden ones are not found */
    mem_hits_free(&h);
    CHECK_INT(count("SELECT count(*) FROM message WHERE hidden=1"), 2);
}

static void twice_changes_nothing(void)
{
    mem_import m = chain(6);
    OK(mem_conversation_title(s, 1, "Mine", err));
    int64_t before = sqlite3_total_changes64(s->db);
    m.title = "Another title";
    mem_imported got = put(&m);
    CHECK(!got.fresh);
    CHECK_INT(got.added, 0);
    CHECK_INT(got.conversation, 1);
    CHECK_INT(sqlite3_total_changes64(s->db), before);
    mem_conversation c;
    OK(mem_conversation_get(s, 1, &c, err));
    CHECK_STR(c.title, "Mine");
    mem_conversation_free(&c);
}

static void a_longer_one_adds_what_is_new(void)
{
    mem_import m = chain(9);
    mem_imported got = put(&m);
    CHECK(!got.fresh);
    CHECK_INT(got.added, 3);
    CHECK_INT(branch_length(1), 6);                         /* 0 1 3 4 6 7 */
    mem_import_message more = {.external = "other", .parent = 4, .role = MEM_ASSISTANT, .text = "it dives", .thinking = "", .model = ""};
    v[9] = more;
    m.n = 10;
    m.leaf = 9;
    got = put(&m);
    CHECK_INT(got.added, 1);
    mem_messages b, sib;
    OK(mem_branch(s, 1, 0, &b, err));
    CHECK_INT(b.n, 5);
    CHECK_STR(b.v[4].text, "it dives");
    CHECK_INT(b.v[4].sibling, 2);                           /* beside message 6; 5 is hidden and is no sibling */
    CHECK_INT(b.v[4].siblings, 2);
    OK(mem_siblings(s, b.v[4].id, &sib, err));
    CHECK_INT(sib.n, 2);
    mem_messages_free(&sib);
    mem_messages_free(&b);
}

static void who_went_on_keeps_their_place(void)
{
    int64_t mine = 0;
    mem_conversation c;
    OK(mem_conversation_get(s, 1, &c, err));
    OK(mem_message_add(s, 1, c.leaf, MEM_USER, "and an owl?", 11, &mine, err));
    mem_conversation_free(&c);
    mem_import m = chain(12);
    CHECK_INT(put(&m).added, 3);
    OK(mem_conversation_get(s, 1, &c, err));
    CHECK_INT(c.leaf, mine);
    mem_conversation_free(&c);
    CHECK_INT(branch_length(1), 6);
}

static void one_that_is_removed_comes_again(void)
{
    OK(mem_conversation_delete(s, 1, err));
    mem_import m = chain(6);
    mem_imported got = put(&m);                             /* it was forgotten: it stays away, */
    CHECK_INT(got.forgotten, 6);
    CHECK(!got.fresh && !got.conversation && !got.added);
    m.again = true;
    got = put(&m);                                          /* until somebody wants it back; before its rows are cleared */
    CHECK(got.fresh && got.conversation > 1 && !got.forgotten);
    m.again = false;
    OK(mem_tidy(s, NULL, NULL, err));
    got = put(&m);
    CHECK(!got.fresh && got.added == 0);
    OK(mem_conversation_delete(s, got.conversation, err));
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(count("SELECT count(*) FROM import"), 0);
    CHECK_INT(count("SELECT count(*) FROM import_message"), 0);
    OK(mem_check(s, err));
}

/* Single messages that were forgotten stay out; what stood below one hangs on what it hung on, and what is new comes in. */
static void what_was_forgotten_stays_out(void)
{
    mem_import m = chain(6);
    m.external = "forgetful";
    mem_imported got = put(&m);
    int64_t id[2] = {count("SELECT message FROM import_message WHERE conversation=(SELECT max(id) FROM conversation) ORDER BY message LIMIT 1 OFFSET 1"),
                     count("SELECT max(message) FROM import_message")};
    int done = 0;
    CHECK_INT(got.added, 6);
    OK(mem_messages_delete(s, id, 2, &done, err));
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(done, 2);
    got = put(&m);
    CHECK_INT(got.added, 0);
    CHECK_INT(got.forgotten, 2);
    m = chain(9);
    m.external = "forgetful";
    got = put(&m);
    CHECK_INT(got.added, 3);
    CHECK_INT(got.forgotten, 2);
    CHECK_INT(count("SELECT count(*) FROM message WHERE conversation=(SELECT max(id) FROM conversation)"), 7);
    /* the same in a new conversation: it was removed, and the message before it */
    OK(mem_conversation_delete(s, got.conversation, err));
    OK(mem_tidy(s, NULL, NULL, err));
    m.again = true;
    got = put(&m);
    CHECK_INT(got.added, 9);
    CHECK(got.fresh && !got.forgotten);
    m.again = false;
    got = put(&m);
    CHECK(!got.added && !got.forgotten);
    /* no word of it, nor of what the archive calls it, is among what is remembered of it */
    CHECK_INT(count("SELECT count(*) FROM forgotten WHERE typeof(hash)<>'integer'"), 0);
    CHECK_INT(count("SELECT count(*) FROM pragma_table_info('forgotten')"), 1);
    OK(mem_check(s, err));
}

/* By their own salt: the same archive in two memories makes other numbers. */
static void another_memory_says_nothing_of_it(void)
{
    mem_store *mine = s;
    int64_t here = count("SELECT count(*) FROM forgotten"), there, hash = count("SELECT max(hash) FROM forgotten"), other;
    mem_imported got;
    CHECK(here > 0);
    OK(mem_open(file("salt.db"), &s, err));
    mem_import m = chain(3);
    got = put(&m);
    OK(mem_conversation_delete(s, got.conversation, err));
    there = count("SELECT count(*) FROM forgotten");
    other = count("SELECT max(hash) FROM forgotten");
    CHECK(there == 2 && other != hash);
    mem_close(s);
    s = mine;
}

static void sources_are_apart_and_hidden_alone_is_kept(void)
{
    mem_import m = chain(3), other = m;
    m.again = true;                                         /* forgotten above */
    other.source = "claude";
    CHECK(put(&m).fresh && put(&other).fresh);
    mem_import_message alone = {.external = "x", .parent = -1, .role = MEM_SYSTEM, .hidden = true, .text = "be brief", .thinking = "", .model = ""};
    mem_import only = {.source = "claude", .external = "c2", .title = "", .v = &alone, .n = 1, .leaf = -1}, none = {.source = "claude", .external = "c3", .title = "empty", .leaf = -1};
    mem_imported got = put(&only);
    CHECK(got.fresh && got.added == 1);
    CHECK_INT(branch_length(got.conversation), 0);
    CHECK(put(&none).fresh && !put(&none).fresh);
    /* a time to come, or none at all, is now: it does not stand before what a person opened since */
    mem_import late = {.source = "claude", .external = "c4", .title = "", .created_ms = INT64_MAX, .opened_ms = -5, .leaf = -1};
    mem_conversation c;
    OK(mem_conversation_get(s, put(&late).conversation, &c, err));
    CHECK(c.created_ms <= q_wall_ms() && c.opened_ms > 1700000000000 && c.opened_ms <= q_wall_ms());
    mem_conversation_free(&c);
}

static void what_was_repaired_is_kept_as_it_came(void)
{
    mem_import_message one = {.external = "x", .parent = -1, .role = MEM_USER, .text = "Привет", .thinking = "", .model = "", .raw = "ÐŸÑ€Ð¸Ð²ÐµÑ‚", .was = "CP1252"};
    mem_import m = {.source = "webui", .external = "r", .title = "", .v = &one, .n = 1, .leaf = 0};
    mem_imported got = put(&m);
    mem_messages b;
    q_buf out = {0};
    char *was = NULL;
    OK(mem_branch(s, got.conversation, 0, &b, err));
    OK(mem_message_raw(s, b.v[0].id, &was, &out, err));
    CHECK_STR(was, "CP1252");
    CHECK_STR(out.p, one.raw);
    free(was);
    OK(mem_message_raw(s, b.v[0].id + 1, &was, &out, err));
    CHECK(was == NULL);
    q_buf_free(&out);
    mem_messages_free(&b);
    mem_chunk chunk = {.text = "слово", .n = 10, .heading = NULL};
    mem_document d = {.path = (char *)"/n.md", .title = (char *)"n.md", .was = (char *)"KOI8-R", .raw = "as it came", .n_raw = 10}, back;
    int64_t id;
    OK(mem_document_put(s, &d, &chunk, 1, &id, err));
    OK(mem_document_get(s, id, &back, err));
    CHECK_STR(back.was, "KOI8-R");
    mem_document_free(&back);
    OK(mem_document_raw(s, id, &was, &out, err));
    CHECK(out.len == 10 && memcmp(out.p, "as it came", 10) == 0);
    free(was);
    q_buf_free(&out);
    d.was = NULL;
    OK(mem_document_put(s, &d, &chunk, 1, &id, err));
    OK(mem_tidy(s, NULL, NULL, err));
    OK(mem_document_get(s, id, &back, err));
    CHECK_STR(back.was, "");
    mem_document_free(&back);
    CHECK_INT(count("SELECT count(*) FROM document_raw"), 0);
}

/* ---- many at once ---- */
static void several_come_in_together(void)
{
    mem_import m[5];
    mem_imported got[5];
    char name[5][4];
    for (int i = 0; i < 5; i++) {
        m[i] = chain(6);
        snprintf(name[i], sizeof name[i], "s%d", i);
        m[i].external = name[i];
    }
    m[3].external = "s1";                                   /* one comes twice */
    OK(mem_import_put_all(s, m, 5, NULL, NULL, got, err));
    for (int i = 0; i < 5; i++) {
        CHECK_INT(got[i].fresh, i != 3);
        CHECK_INT(got[i].added, i == 3 ? 0 : 6);
        CHECK_INT(branch_length(got[i].conversation), 4);
    }
    CHECK_INT(got[3].conversation, got[1].conversation);
    OK(mem_import_put_all(s, m, 5, NULL, NULL, got, err));
    for (int i = 0; i < 5; i++) CHECK(!got[i].fresh && !got[i].added && got[i].conversation);
}

static void those_before_a_bad_one_come_in(void)
{
    mem_import_message bad[2] = {{.external = "x", .parent = -1, .role = MEM_USER, .text = "good", .thinking = "", .model = ""},
                                 {.external = "y", .parent = 0, .role = MEM_ASSISTANT, .text = "bad", .thinking = "", .model = "", .raw = "no word how"}};
    mem_import m[3] = {chain(6), {.source = "chatgpt", .external = "b2", .title = "", .v = bad, .n = 2, .leaf = -1}, chain(6)};
    mem_imported got[3];
    m[0].external = "b1";
    m[2].external = "b3";
    int64_t before = count("SELECT count(*) FROM message");
    CHECK(mem_import_put_all(s, m, 3, NULL, NULL, got, err) != Q_OK && *err);
    CHECK(got[0].fresh && got[0].added == 6 && !got[1].added && !got[2].added);
    CHECK_INT(count("SELECT count(*) FROM message"), before + 6);
    bad[1].raw = NULL;
    OK(mem_import_put_all(s, m, 3, NULL, NULL, got, err));
    CHECK(!got[0].fresh && !got[0].added && got[1].fresh && got[1].added == 2 && got[2].added == 6);
    CHECK_INT(count("SELECT count(*) FROM message"), before + 14);
    OK(mem_check(s, err));
}

/* ---- ends in the middle ---- */
struct at { int step, end; };
static void die(void *user, mem_store *m)
{
    struct at *a = user;
    (void)m;
    if (++a->step == a->end) _exit(7);
}

static bool only_one_step(void *user) { return (*(int *)user)++ > 1000; }

static void a_stop_between_two_steps_keeps_a_whole_tree(void)
{
    mem_import m = chain(LONG);
    mem_imported got;
    int asked = 0;
    m.external = "long";
    CHECK_INT(mem_import_put(s, &m, only_one_step, &asked, &got, err), Q_CANCEL);
    CHECK(got.added > 0 && got.added < LONG);
    int shown = branch_length(got.conversation);
    CHECK(shown > 0);
    mem_imported rest = put(&m);
    CHECK(!rest.fresh);
    CHECK_INT(rest.added + got.added, LONG);
    CHECK_INT(branch_length(got.conversation), LONG - LONG / 3);
}

static void a_kill_between_two_steps_costs_nothing(void)
{
    int whole = 0;
    for (int end = 0; end < 4; end++) {                     /* LONG is four steps at least, however fast the machine; 0: none is its end */
        char *path = file("kill.db");
        unlink(path);
        pid_t child = fork();
        if (child == 0) {
            struct at at = {.end = end};
            store_watch w = {.user = &at, .between = die};
            mem_store *mine;
            mem_imported got;
            mem_import m = chain(LONG);
            if (store_open(path, &w, &mine, err) != Q_OK) _exit(1);
            _exit(mem_import_put(mine, &m, NULL, NULL, &got, err) == Q_OK ? 0 : 2);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && (WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0));
        whole += WEXITSTATUS(status) == 0;
        OK(mem_open(path, &s, err));
        OK(mem_check(s, err));
        int64_t before = count("SELECT count(*) FROM message");
        mem_import m = chain(LONG);
        mem_imported got = put(&m);
        CHECK_INT(got.added + before, LONG);
        CHECK_INT(branch_length(got.conversation), LONG - LONG / 3);
        OK(mem_check(s, err));
        mem_close(s);
    }
    CHECK_INT(whole, 1);
}

int main(void)
{
    if (!memory_begin("imports")) return 1;
    OK(mem_open(file("a.db"), &s, err));
    RUN(a_conversation_comes_in_with_its_times);
    RUN(twice_changes_nothing);
    RUN(a_longer_one_adds_what_is_new);
    RUN(who_went_on_keeps_their_place);
    RUN(one_that_is_removed_comes_again);
    RUN(what_was_forgotten_stays_out);
    RUN(another_memory_says_nothing_of_it);
    RUN(sources_are_apart_and_hidden_alone_is_kept);
    RUN(what_was_repaired_is_kept_as_it_came);
    RUN(several_come_in_together);
    RUN(those_before_a_bad_one_come_in);
    RUN(a_stop_between_two_steps_keeps_a_whole_tree);
    OK(mem_check(s, err));
    mem_close(s);
    RUN(a_kill_between_two_steps_costs_nothing);
    return memory_end();
}
