/* rag/import: archives of every kind, whole and damaged, as tests/golden/chats/make.py writes them: what memory holds of each
 * afterwards stands beside it (NAME.want; UPDATE=1 writes what is missing or differs: read the diff). Twice changes nothing,
 * a longer one adds what is new, and a text that is no archive stays a document. */
#include "rag/import/date.h"
#include "rag/import/records.h"
#include "rag/rag.h"
#include "tests/memory_help.h"
#include "tests/packed.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <time.h>

static mem_store *s;
static char *golden(const char *name)
{
    static char p[128];
    snprintf(p, sizeof p, "tests/golden/chats/%s", name);
    return p;
}

/* ---- what memory holds, as text ---- */
static void one_message(q_buf *out, const mem_export_value *v, int n)
{
    for (int i = 0; i < n; i++) {
        const char *name = v[i].name;
        if (strcmp(name, "title") != 0 && strcmp(name, "id") != 0 && strcmp(name, "conversation") != 0 && strcmp(name, "parent") != 0 && strcmp(name, "role") != 0 &&
            strcmp(name, "created") != 0 && strcmp(name, "text") != 0 && strcmp(name, "thinking") != 0 && strcmp(name, "model") != 0 && strcmp(name, "author") != 0 && strcmp(name, "hidden") != 0 &&
            strcmp(name, "leaf") != 0 && strcmp(name, "source") != 0 && strcmp(name, "external") != 0 && strcmp(name, "was") != 0 && strcmp(name, "data") != 0 &&
            strcmp(name, "opened") != 0 && strcmp(name, "message") != 0)
            continue;
        if (v[i].n == 0) continue;
        q_buf_printf(out, " %s=", name);
        for (size_t k = 0; k < v[i].n; k++) {
            if (v[i].text[k] == '\n') q_buf_puts(out, "\\n");
            else q_buf_putc(out, v[i].text[k]);
        }
    }
    q_buf_putc(out, '\n');
}

static bool one_row(void *user, const char *table, const mem_export_value *v, int n)
{
    q_buf *out = user;
    bool ours = strcmp(table, "conversation") == 0 || strcmp(table, "message") == 0 || strncmp(table, "import", 6) == 0 || strcmp(table, "message_raw") == 0;
    if (!ours) return true;
    q_buf_puts(out, table);
    one_message(out, v, n);
    return true;
}

static void whole(q_buf *out)
{
    int unread = 0;
    OK(mem_export(file("a.db"), one_row, out, &unread, err));
    CHECK_INT(unread, 0);
}

static rag_progress add(const char *path)
{
    rag_progress p = {0};
    OK(rag_add(s, path, NULL, &p, err));
    return p;
}

static void fresh(void)
{
    unlink(file("a.db"));
    OK(mem_open(file("a.db"), &s, err));
}

/* Where nothing is exported the disk need not be waited for. */
static void fresh_in_memory(void) { OK(mem_open(":memory:", &s, err)); }

static void compare(const char *name, const q_buf *got)
{
    q_buf want = {0};
    char *path = q_printf("tests/golden/chats/%s.want", name);
    bool there = q_read_file(path, &want, 1 << 24, err) == Q_OK, same = there && want.len == got->len && memcmp(want.p, got->p, got->len) == 0;
    if (!same && getenv("UPDATE")) OK(q_write_file_atomic(path, got->p, got->len, err));
    else CHECK_MSG(same, "%s: UPDATE=1 build/tests/test_import writes what memory holds", path);
    free(path);
    q_buf_free(&want);
}

static void each_archive_comes_in_and_twice_changes_nothing(void)
{
    glob_t g;
    int files = 0;
    CHECK_INT(glob("tests/golden/chats/*", 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        char *is = g.gl_pathv[i];
        if (strcmp(is + strlen(is) - 3, ".gz") == 0) is[strlen(is) - 3] = 0;
        const char *name = strrchr(is, '/') + 1;
        size_t n = strlen(name);
        if (strcmp(name, "make.py") == 0 || strcmp(name + n - 5, ".want") == 0) continue;
        files++;
        fresh();
        /* whatever is broken in it, its own time does not matter */
        char *copy = file(name);
        q_buf b = {0}, got = {0}, again = {0};
        OK(q_read_file(packed(is), &b, 1 << 24, err));
        OK(q_write_file_atomic(copy, b.p, b.len, err));
        struct timespec when[2] = {{.tv_sec = 1710000000}, {.tv_sec = 1710000000}};
        CHECK_INT(utimensat(AT_FDCWD, copy, when, 0), 0);
        rag_progress p = add(copy);
        q_buf_printf(&got, "new %d, more %d, same %d, messages %d, damaged %d, documents %d, repaired %d\n", p.chats, p.chats_more, p.chats_same, p.messages, p.damaged, p.added, p.repaired);
        rag_skips_words(&p, &got);
        whole(&got);
        compare(name, &got);
        rag_progress q = add(copy);
        CHECK_INT(q.chats + q.chats_more + q.messages + q.added, 0);
        CHECK_INT(q.chats_same, p.chats + p.chats_same);
        CHECK_INT(q.damaged, p.damaged);
        whole(&again);
        CHECK_MSG(again.len && got.len > again.len && memcmp(got.p + got.len - again.len, again.p, again.len) == 0, "%s: the second time changed something", name);
        OK(mem_check(s, err));
        mem_close(s);
        q_buf_free(&b);
        q_buf_free(&got);
        q_buf_free(&again);
    }
    globfree(&g);
    CHECK(files >= 17);
}

static void a_longer_export_adds_what_is_new(void)
{
    fresh_in_memory();
    CHECK_INT(add(golden("chatgpt.zip")).chats, 2);
    rag_progress p = add(golden("chatgpt.json"));
    CHECK_INT(p.chats, 0);
    CHECK_INT(p.chats_same, 2);
    p = add(golden("chatgpt-longer.json"));
    CHECK_INT(p.chats, 0);
    CHECK_INT(p.chats_same, 1);
    CHECK_INT(p.chats_more, 1);
    CHECK_INT(p.messages, 2);
    q_buf b = {0};
    rag_chats_words(&p, &b);
    CHECK_STR(b.p, "0 conversations added, 1 goes on (2 messages), 1 unchanged");
    q_buf_free(&b);
    mem_close(s);
}

static void branches_are_shown_and_what_is_hidden_is_not(void)
{
    fresh_in_memory();
    add(golden("chatgpt.json"));
    mem_messages b, sib;
    OK(mem_branch(s, 1, 0, &b, err));
    static const char *const text[] = {"Why do kestrels hover?", "To see the ground\nwithout moving their heads.", "И на закате?", "Тоже."};
    CHECK_INT(b.n, 4);
    for (int i = 0; i < b.n && i < 4; i++) CHECK_STR(b.v[i].text, text[i]);
    if (b.n == 4) {
        CHECK_INT(b.v[1].siblings, 2);
        OK(mem_siblings(s, b.v[1].id, &sib, err));
        CHECK_INT(sib.n, 2);
        CHECK_STR(sib.v[0].text, "They look for mice.");
        mem_messages_free(&sib);
        int64_t id;
        OK(mem_message_add(s, 1, b.v[3].id, MEM_USER, "and in rain?", 12, &id, err));       /* it goes on like one's own */
    }
    mem_messages_free(&b);
    mem_hits h;
    OK(mem_find(s, "short answers", 9, &h, err));
    CHECK_INT(h.n, 0);
    mem_hits_free(&h);
    rag_result *r = NULL;
    rag_config c = rag_config_default();
    OK(rag_search(s, &c, "do kestrels look for mice or hover", NULL, &r, err));
    CHECK(r && r->n > 0);
    for (int i = 0; r && i < r->n; i++) CHECK(!strstr(r->v[i].text, "short answers") && !strstr(r->v[i].text, "results"));
    rag_result_free(r);
    mem_close(s);
}

static void what_is_no_archive_stays_a_document(void)
{
    static const struct { const char *name, *text; } t[] = {
        {"faq.md", "# FAQ\n\n## User\n\nA user is a person.\n\n## Group\n\nSeveral users.\n"},
        {"notes.md", "Some text first.\n\nAnd more of it.\n\n## User\n\nx\n\n## Assistant\n\ny\n"},
        {"log.txt", "User: root\nHost: a\nSystem: linux\n"}, {"one.txt", "User: alone\nAssistant: alone\n"},
        {"code.c", "/*\nUser: a\nAssistant: b\nUser: c\nAssistant: d\n*/\nint main(void) { return 0; }\n"},
        {"list.json", "[1, 2, 3]"}, {"object.json", "{\"name\": \"value\", \"messages\": [1]}"}, {"many.jsonl", "{\"a\": 1}\n{\"a\": 2}\n"}, {"brackets.md", "[link](x) is no JSON\n"},
        {"chat.json", "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}"}};
    fresh_in_memory();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        OK(q_write_file_atomic(file(t[i].name), t[i].text, strlen(t[i].text), err));
        rag_progress p = add(file(t[i].name));
        CHECK_MSG(p.added == 1 && p.chats == 0 && p.damaged == 0, "%s: %d documents, %d chats", t[i].name, p.added, p.chats);
    }
    rag_progress p = {0};
    static const char zip[] = "PK\3\4 and nothing more";
    OK(q_write_file_atomic(file("x.zip"), zip, sizeof zip - 1, err));
    CHECK_INT(rag_add(s, file("x.zip"), NULL, &p, err), Q_FORMAT);
    CHECK(strstr(err, "archive"));
    mem_close(s);
}

static void a_document_of_an_older_quorum_becomes_a_conversation(void)
{
    fresh_in_memory();
    q_buf b = {0};
    mem_document d = {.path = file("old.md"), .title = (char *)"old.md", .name = (char *)"old.md", .mtime_ms = 5};
    mem_chunk c = {.text = "an old note", .n = 11};
    int64_t id;
    OK(mem_document_put(s, &d, &c, 1, &id, err));
    OK(q_read_file(golden("nexus.md"), &b, 1 << 20, err));
    OK(q_write_file_atomic(d.path, b.p, b.len, err));
    CHECK_INT(add(d.path).chats, 1);
    mem_documents l;
    OK(mem_document_list(s, &l, err));
    CHECK_INT(l.n, 0);
    mem_documents_free(&l);
    q_buf_free(&b);
    mem_close(s);
}

static void broken_documents_are_repaired_and_marked(void)
{
    static const char broken[] = "# –ü—Ç–∏—Ü—ã\n\n–°–æ–∫–æ–ª –∑–∞–≤–∏—Å–∞–µ—Ç –≤ –≤–æ–∑–¥—É—Ö–µ.\n";
    fresh_in_memory();
    OK(q_write_file_atomic(file("b.md"), broken, strlen(broken), err));
    rag_progress p = add(file("b.md"));
    CHECK_INT(p.added, 1);
    CHECK_INT(p.repaired, 1);
    mem_documents l;
    OK(mem_document_list(s, &l, err));
    CHECK_STR(l.v[0].was, "MACINTOSH");
    char *was, *words = rag_repaired_words(l.v[0].was);
    CHECK_STR(words, "UTF-8 read as Mac Roman, repaired");
    free(words);
    q_buf raw = {0};
    OK(mem_document_raw(s, l.v[0].id, &was, &raw, err));
    CHECK_STR(raw.p, broken);
    free(was);
    q_buf_free(&raw);
    mem_documents_free(&l);
    rag_result *r = NULL;
    rag_config c = rag_config_default();
    OK(rag_search(s, &c, "где зависает сокол", NULL, &r, err));
    CHECK(r && r->n == 1 && strstr(r->v[0].text, "Сокол зависает"));
    rag_result_free(r);
    mem_close(s);
}

static void real_notes_come_in(void)
{
    static const char *const names[] = {"000_762542dfd2259e42.txt", "002_26192f84d955f88c.txt"};
    if (access("../shared/data/nexus", R_OK) != 0) {
        SKIP("real_notes_come_in", "../shared/data/nexus is not there");
        return;
    }
    fresh_in_memory();
    for (int i = 0; i < 2; i++) {
        char *path = q_printf("../shared/data/nexus/%s", names[i]);
        rag_progress p = add(path);
        CHECK_INT(p.chats, 1);
        CHECK_INT(p.messages, 2);
        CHECK_INT(p.repaired, 1);
        free(path);
    }
    mem_messages b;
    OK(mem_branch(s, 2, 0, &b, err));
    CHECK_INT(b.n, 2);
    if (b.n == 2) {
        CHECK_STR(b.v[0].text, "Почему у квент-3 не выложены бейс-версии 70-й и более крупных моделей?");
        CHECK(strncmp(b.v[1].text, "Вот реальные факты и анализ", strlen("Вот реальные факты и анализ")) == 0);
        CHECK(b.v[1].created_ms - b.v[0].created_ms == 60000);
    }
    mem_messages_free(&b);
    mem_close(s);
}

/* ---- the parts ---- */
static void dates_are_read(void)
{
    static const struct { const char *text; int64_t ms; } t[] = {
        {"2024-01-12T15:21:03.5Z", 1705072863500}, {"2024-01-12T15:21:03.123456+03:00", 1705062063123}, {"2024-01-12 15:21", 1705072860000}, {"30.06.2025 at 3:14", 1751253240000},
        {"06/30/2025 at 3:14 PM", 1751296440000}, {"06/07/2025 at 3:14 PM", 1749309240000}, {"06/07/2025 at 3:14", 1751771640000}, {"30/06/2025 15:14", 1751296440000},
        {"January 12, 2024 3:21pm", 1705072860000}, {"12 января 2024 15:21", 1705072860000}, {"2024-1-12 @15h 21m 3s 123ms", 1705072863123}, {"12 May 2024", 1715472000000},
        {"2024/01/12 12:05 AM", 1705017900000}, {"1. 6. 2025 v 3:14", 1748747640000}, {"", 0}, {"never", 0}, {"99.99.2025", 0}, {"2024-13-01", 0}, {"1.2", 0}, {"12345678901234567890", 0},
        {"0000-00-00T00:00:00Z", 0}, {"2024-01-12T99:99", 0}, {"1.1.2024 1 2 3 4 5 6 7 8 9", 0}};
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) CHECK_MSG(rag_date(t[i].text) == t[i].ms, "%s: %lld", t[i].text, (long long)rag_date(t[i].text));
    CHECK_INT(rag_date_of_number(1700000000.25), 1700000000250);
    CHECK_INT(rag_date_of_number(1700000000250), 1700000000250);
    CHECK_INT(rag_date_of_number(1700000000250000000.), 1700000000250);
    CHECK_INT(rag_date_of_number(-1) + rag_date_of_number(0) + rag_date_of_number(NAN) + rag_date_of_number(INFINITY) + rag_date_of_number(1e300), 0);
}

struct bytes { const char *p; size_t n, at, piece; };
static long give(void *user, char *p, size_t n)
{
    struct bytes *b = user;
    if (n > b->piece) n = b->piece;
    if (n > b->n - b->at) n = b->n - b->at;
    memcpy(p, b->p + b->at, n);
    b->at += n;
    return (long)n;
}

/* Records as "number@at:text", damaged ones with !. */
static void cut(const char *text, size_t n, size_t piece, q_buf *out)
{
    struct bytes b = {text, n, 0, piece};
    rag_source src = {give, &b};
    rag_records *rs = rag_records_new(&src);
    rag_record r;
    while (rag_records_next(rs, &r)) {
        if (!r.p) q_buf_printf(out, "%d@%lld! ", r.number, (long long)r.at);
        else q_buf_printf(out, "%d@%lld%s:%.*s ", r.number, (long long)r.at, r.doubtful ? "?" : "", r.n > 40 ? 40 : (int)r.n, r.p);
        if (r.p && r.n > 4 && strstr(r.p, "bad") && strstr(r.p, "bad") < r.p + r.n) rag_records_bad(rs);
        else if (r.p) rag_records_good(rs);
    }
    rag_records_free(rs);
}

static void records_are_cut_out(void)
{
    static const struct { const char *text, *want; } t[] = {
        {"[]", ""}, {"", ""}, {" \n", ""}, {"[{\"a\":1},{\"a\":2}]", "1@1:{\"a\":1} 2@9:{\"a\":2} "}, {"{\"a\":[{}]}\n{\"b\":\"}\"}\n", "1@0:{\"a\":[{}]} 2@11:{\"b\":\"}\"} "},
        {"\xEF\xBB\xBF[ {\"a\":\"\\\"]}\"} ]", "1@5:{\"a\":\"\\\"]}\"} "},
        {"[{\"a\":1}, 7, {\"a\":2}]", "1@1:{\"a\":1} 2@8! 3@13:{\"a\":2} "},
        {"[{\"a\":1},{\"a\":", "1@1:{\"a\":1} 2@9! "},
        {"{\"a\":\"x\n{\"a\":2}\n", "1@0! 2@8:{\"a\":2} "},                            /* a line ends inside a string */
        {"[{\"a\":1},{\"a\":[2,{\"a\":3}]", "1@1:{\"a\":1} 2@9! 3@17?:{\"a\":3} "},   /* a bracket is gone */
        {"[{\"a\":\"\\ud83d\",\"b\":\"\\ud83d\\ude00\\u0000\"}]", "1@1:{\"a\":\"\\ufffd\",\"b\":\"\\ud83d\\ude00\\ufffd\"} "},
        {"[{\"a\":\"bad\",\"x\":[{\"a\":5}]},{\"a\":6}]", "1@1:{\"a\":\"bad\",\"x\":[{\"a\":5}]} 2@17?:{\"a\":5} 3@24! 4@27:{\"a\":6} "}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        for (size_t piece = 1; piece < 40; piece += 13) {
            q_buf b = {0};
            q_buf_puts(&b, "");
            cut(t[i].text, strlen(t[i].text), piece, &b);
            CHECK_STR(b.p, t[i].want);
            q_buf_free(&b);
        }
}

/* A million levels, and a record of more values than any conversation: told, and the next one comes in. */
static void depth_and_size_have_an_end(void)
{
    enum { DEEP = 1000000 };
    q_buf b = {0}, got = {0};
    q_buf_puts(&b, "[{\"t\":");
    for (int i = 0; i < DEEP; i++) q_buf_putc(&b, '[');
    for (int i = 0; i < DEEP; i++) q_buf_putc(&b, ']');
    q_buf_puts(&b, "},{\"t\":1}]");
    cut(b.p, b.len, 1 << 16, &got);
    CHECK(strstr(got.p, "2@2000008:{\"t\":1} "));
    q_buf_clear(&b);
    q_buf_clear(&got);
    q_buf_puts(&b, "[{\"t\":[");
    for (int i = 0; i < 5 * DEEP; i++) q_buf_puts(&b, "1,");
    q_buf_puts(&b, "1]},{\"t\":2}]");
    cut(b.p, b.len, 1 << 16, &got);
    CHECK_MSG(strstr(got.p, "1@1! ") && strstr(got.p, "?:{\"t\":2} "), "%s", got.p);
    /* few bytes that become much memory: each value is a node */
    q_buf_clear(&b);
    q_buf_clear(&got);
    q_buf_puts(&b, "[{\"t\":[");
    for (int i = 0; i < 2 * DEEP; i++) q_buf_puts(&b, "{},");
    q_buf_puts(&b, "{}]},{\"t\":3}]");
    cut(b.p, b.len, 1 << 16, &got);
    CHECK_MSG(strstr(got.p, "1@1! ") && strstr(got.p, "?:{\"t\":3} "), "%s", got.p);
    q_buf_free(&b);
    q_buf_free(&got);
    fresh_in_memory();
    q_buf_puts(&b, "[{\"title\":\"deep\",\"create_time\":1,\"mapping\":");
    for (int i = 0; i < DEEP; i++) q_buf_putc(&b, '[');
    for (int i = 0; i < DEEP; i++) q_buf_putc(&b, ']');
    q_buf_puts(&b, "},{\"title\":\"flat\",\"id\":\"f\",\"current_node\":\"m\",\"mapping\":{\"m\":{\"message\":{\"author\":{\"role\":\"user\"},\"content\":{\"content_type\":\"text\",\"parts\":[\"hi\"]}}}}}]");
    OK(q_write_file_atomic(file("deep.json"), b.p, b.len, err));
    rag_progress p = add(file("deep.json"));
    CHECK_INT(p.chats, 1);
    CHECK_INT(p.damaged, 1);
    mem_close(s);
    q_buf_free(&b);
}

/* A chain of twenty thousand messages, told from its end. */
static void a_long_chain_is_no_depth(void)
{
    enum { LONG = 20000 };
    q_buf b = {0};
    q_buf_puts(&b, "[{\"title\":\"long\",\"id\":\"l\",\"mapping\":{");
    for (int i = LONG; i > 0; i--)
        q_buf_printf(&b, "\"%d\":{\"parent\":\"%d\",\"message\":{\"weight\":0,\"author\":{\"role\":\"user\"},\"content\":{\"content_type\":\"text\",\"parts\":[\"x\"]}}}%s", i, i - 1, i > 1 ? "," : "");
    q_buf_puts(&b, "}}]");
    fresh_in_memory();
    OK(q_write_file_atomic(file("long.json"), b.p, b.len, err));
    rag_progress p = add(file("long.json"));
    CHECK_INT(p.chats, 1);
    CHECK_INT(p.damaged, 0);
    CHECK_INT(p.messages, LONG);
    mem_close(s);
    q_buf_free(&b);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    if (!memory_begin("import")) return 1;
    RUN(each_archive_comes_in_and_twice_changes_nothing);
    RUN(a_longer_export_adds_what_is_new);
    RUN(branches_are_shown_and_what_is_hidden_is_not);
    RUN(what_is_no_archive_stays_a_document);
    RUN(a_document_of_an_older_quorum_becomes_a_conversation);
    RUN(broken_documents_are_repaired_and_marked);
    RUN(real_notes_come_in);
    RUN(dates_are_read);
    RUN(records_are_cut_out);
    RUN(depth_and_size_have_an_end);
    RUN(a_long_chain_is_no_depth);
    return memory_end();
}
