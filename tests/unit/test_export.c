/* rag/export: what leaves memory as a folder and comes in again: the same conversations with their branches, byte by byte, whatever the
 * texts say; nothing is written among other files, nothing half is left, all of it is private. */
#include "rag/rag.h"
#include "tests/store_help.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Texts that look like what stands around them, and what ends a line. */
static const char *const said[] = {
    "What scatters light?", "\n\nbegins with empty lines", "ends with them\n\n\n", "", "<!-- quorum {\"message\":\"1\"} -->\n\n## You\n\nno message", "-->", "a\r\nb\rc",
    "```\n<!-- quorum {\"v\":1,\"conversation\":\"x\"} -->\n```\n", "\n\n</details>\n\n", "## User\n\nhello\n\n## Assistant\n\nhello", "Привет, 世界 🙂"};
enum { SAID = sizeof said / sizeof *said };

static int64_t told(mem_store *s, int64_t chat, int64_t under, enum mem_role role, const char *text)
{
    int64_t id = 0;
    OK(mem_message_add(s, chat, under, role, text, strlen(text), &id, err));
    return id;
}

static int64_t answered(mem_store *s, int64_t chat, int64_t under, const char *text, const char *thinking)
{
    int64_t id = 0;
    mem_stats none = {0};
    OK(mem_reply_begin(s, chat, under, "a model <--> of \"ours\"", 7, 1, "{}", "", &id, err));
    OK(mem_reply_end(s, id, MEM_DONE, "", text, strlen(text), thinking, strlen(thinking), &none, NULL, err));
    return id;
}

static void fill(mem_store *s)
{
    int64_t chat, first, id, document;
    mem_fact f = {.text = "The mast is\n12 m", .subject = ""};
    OK(mem_conversation_new(s, "Light, *and* [air] -->", &chat, err));
    first = told(s, chat, 0, MEM_USER, said[0]);
    id = answered(s, chat, first, "Small particles.", "a thought\n\n</details>\n\nand more");
    for (int i = 1; i < SAID; i++) {
        id = told(s, chat, id, MEM_USER, said[i]);
        id = answered(s, chat, id, said[SAID - i - 1], i % 2 ? "" : said[i]);
    }
    answered(s, chat, first, "Another answer.", "");
    told(s, chat, 0, MEM_USER, "Another beginning");
    OK(mem_conversation_leaf(s, chat, id, err));
    OK(mem_conversation_new(s, "", &chat, err));
    mem_turn turn = {.role = MEM_TOOL, .author = "Marta", .text = "17", .n = 2, .created_ms = 1700000000000};
    OK(mem_turns_add(s, chat, 0, &turn, 1, &id, err));
    OK(mem_conversation_new(s, "nothing was said in it", &chat, err));
    OK(mem_fact_put(s, &f, &id, err));
    OK(rag_add_text(s, "/home/x/a_b.md", "a_b.md", MEM_TRUST_OWN, "words", 5, &document, err));
}

static mem_store *filled(const char *name)
{
    mem_store *s = NULL;
    OK(mem_open(file(name), &s, err));
    fill(s);
    return s;
}

/* ---- what conversations there are, without the numbers of their rows ---- */
static int64_t nth_of(const int64_t *id, int n, int64_t which)
{
    for (int i = 0; i < n; i++)
        if (id[i] == which) return i;
    return -1;
}

static void conversations(mem_store *s, q_buf *out)
{
    enum { MOST = 200 };
    int64_t id[MOST];
    int n = 0;
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT m.id, ifnull(m.parent, 0), m.role, m.hidden, m.created, m.text, m.thinking, m.model, m.author, c.title, c.created, c.opened, c.leaf=m.id"
                                   " FROM message m JOIN conversation c ON c.id=m.conversation ORDER BY c.created, c.id, m.created, m.id", "");
    while (n < MOST && store_step(s, st, err) == 1) {
        id[n] = sqlite3_column_int64(st, 0);
        q_buf_printf(out, "%d under %lld", n, (long long)nth_of(id, n, sqlite3_column_int64(st, 1)));
        n++;
        for (int i = 2; i < sqlite3_column_count(st); i++) q_buf_printf(out, " | %s", (const char *)sqlite3_column_text(st, i));
        q_buf_putc(out, '\n');
    }
    sqlite3_finalize(st);
    store_unlock(s);
}

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) n += *e->d_name != '.';
    if (d) closedir(d);
    return d ? n : -1;
}

static rag_exported export(mem_store *s, const char *path, bool over)
{
    rag_exported out;
    rag_export_opts o = {.json = true, .over = over};
    OK(rag_export(s, path, &o, &out, err));
    return out;
}

static void conversations_come_in_again_as_they_were(void)
{
    mem_store *s = filled("a.db"), *t = NULL;
    q_buf was = {0}, is = {0};
    rag_progress p = {0};
    rag_exported out = export(s, file("out"), false);
    CHECK_INT(out.conversations, 2);
    CHECK_INT(out.messages, 2 * SAID + 3);
    CHECK_INT(out.documents, 1);
    CHECK_INT(out.facts, 1);
    conversations(s, &was);
    mem_close(s);
    OK(mem_open(file("b.db"), &t, err));
    OK(rag_add(t, file("out/conversations"), NULL, &p, err));
    CHECK_INT(p.chats, 2);
    CHECK_INT(p.messages, 2 * SAID + 3);
    CHECK_INT(p.damaged + p.repaired + p.added, 0);
    conversations(t, &is);
    CHECK_STR(is.p, was.p);
    OK(rag_add(t, file("out/conversations"), NULL, &p, err));
    CHECK_INT(p.chats + p.chats_more + p.messages, 0);
    CHECK_INT(p.chats_same, 2);
    OK(mem_check(t, err));
    mem_close(t);
    q_buf_free(&was);
    q_buf_free(&is);
}

/* A person reads it: names of branches, of documents and facts; and what changed in an editor comes in changed. */
static void a_person_reads_it_and_may_change_it(void)
{
    q_buf b = {0};
    mem_store *t = NULL;
    mem_conversations l;
    rag_progress p = {0};
    OK(q_read_file(file("out/README.md"), &b, 1 << 20, err));
    CHECK(strstr(b.p, "[Light, \\*and\\* \\[air\\] --\\>](conversations/0001.md)"));
    CHECK(!strstr(b.p, "nothing was said"));
    q_buf_clear(&b);
    OK(q_read_file(file("out/documents.md"), &b, 1 << 20, err));
    CHECK(strstr(b.p, "- **a\\_b.md** — /home/x/a\\_b.md"));
    q_buf_clear(&b);
    OK(q_read_file(file("out/facts.md"), &b, 1 << 20, err));
    CHECK(strstr(b.p, "- The mast is 12 m ("));
    q_buf_clear(&b);
    OK(q_read_file(file("out/conversations/0001.md"), &b, 1 << 20, err));
    CHECK(strstr(b.p, "another branch, behind message 1") && strstr(b.p, "another beginning"));
    char *at = strstr(b.p, "Small particles."), *rest = q_strdup(at + strlen("Small particles."));
    b.len = (size_t)(at - b.p);
    q_buf_printf(&b, "Small particles, mostly.%s", rest);
    free(rest);
    OK(q_write_file_atomic(file("changed.md"), b.p, b.len, err));
    OK(mem_open(file("c.db"), &t, err));
    OK(rag_add(t, file("changed.md"), NULL, &p, err));
    CHECK_INT(p.messages, 2 * SAID + 2);
    CHECK_INT(raw(t, "SELECT count(*) FROM message WHERE text='Small particles, mostly.'"), 1);
    OK(mem_conversation_list(t, &l, err));
    CHECK_INT(l.n, 1);
    mem_conversations_free(&l);
    mem_close(t);
    q_buf_free(&b);
}

static bool one_line(void *user, const char *table, const mem_export_value *v, int n)
{
    char *line = rag_export_line(table, v, n);
    q_buf_printf(user, "%s\n", line);
    free(line);
    return true;
}

/* The random words of an answer may be such: the folder and `quorum memory export` say them in the same bytes. */
static void what_would_move_on_a_terminal_is_escaped(void)
{
    const char *odd = "a\x7f\xc2\x85\xe2\x80\xae\xd1\x8f";
    mem_export_value v = {.name = "text", .text = odd, .n = strlen(odd)};
    char *line = rag_export_line("message", &v, 1);
    CHECK_STR(line, "{\"v\":1,\"table\":\"message\",\"text\":\"a\\u007f\\u0085\\u202e\xd1\x8f\"}");
    free(line);
}

static void the_lines_are_those_of_the_store_and_all_is_private(void)
{
    q_buf now = {0}, lines = {0};
    struct stat st;
    int unread;
    OK(mem_export(file("a.db"), one_line, &now, &unread, err));
    OK(q_read_file(file("out/everything.jsonl"), &lines, 1 << 24, err));
    CHECK_INT(now.len, lines.len);
    CHECK(now.len == lines.len && memcmp(now.p, lines.p, now.len) == 0);
    CHECK(stat(file("out"), &st) == 0 && (st.st_mode & 0777) == 0700);
    CHECK(stat(file("out/conversations"), &st) == 0 && (st.st_mode & 0777) == 0700);
    CHECK(stat(file("out/conversations/0001.md"), &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(stat(file("out/everything.jsonl"), &st) == 0 && (st.st_mode & 0777) == 0600);
    q_buf_free(&now);
    q_buf_free(&lines);
}

static void nothing_is_written_over_unasked(void)
{
    mem_store *s = NULL;
    rag_exported out;
    rag_export_opts o = {.over = true};
    bool over;
    OK(mem_open(file("a.db"), &s, err));
    OK(rag_export_place(file("out"), &over, err));
    CHECK(over);
    o.over = false;
    CHECK_INT(rag_export(s, file("out"), &o, &out, err), Q_RANGE);
    CHECK(access(file("out/everything.jsonl"), F_OK) == 0);
    OK(rag_export_place(file("new"), &over, err));
    CHECK(!over);
    o.over = true;
    /* a person's own file among ours, or in their place, is nobody's to remove */
    static const char *const other[] = {"out/letter.md", "out/conversations/letter.md", "out/conversations/12.txt"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        OK(q_write_file_atomic(file(other[i]), "mine", 4, err));
        CHECK_INT(rag_export(s, file("out"), &o, &out, err), Q_RANGE);
        CHECK(access(file(other[i]), F_OK) == 0);
        unlink(file(other[i]));
    }
    CHECK_INT(mkdir(file("mine"), 0700), 0);
    OK(q_write_file_atomic(file("mine/README.md"), "# Mine\n", 7, err));
    CHECK_INT(rag_export(s, file("mine"), &o, &out, err), Q_RANGE);
    CHECK_INT(rag_export(s, file("a.db"), &o, &out, err), Q_RANGE);
    CHECK_INT(rag_export(s, "", &o, &out, err), Q_RANGE);
    CHECK_INT(rag_export(s, file("nonesuch/out"), &o, &out, err), Q_IO);
    /* an export in the place of one: what is not said any more is not there any more */
    OK(mem_conversation_delete(s, 2, err));
    OK(mem_tidy(s, NULL, NULL, err));
    OK(rag_export(s, file("out/"), &o, &out, err));
    CHECK(access(file("out/conversations/0001.md"), F_OK) == 0 && access(file("out/conversations/0002.md"), F_OK) != 0 && access(file("out/everything.jsonl"), F_OK) != 0);
    mem_close(s);
}

struct stopping { int64_t at, asked; };

static bool until(void *user, const rag_exported *so_far)
{
    struct stopping *x = user;
    return ++x->asked < x->at;
}

static void what_stops_it_leaves_nothing_half(void)
{
    mem_store *s = NULL;
    rag_exported out;
    OK(mem_open(file("a.db"), &s, err));
    int before = entries(dir);
    struct stopping never = {.at = INT64_MAX};
    rag_export_opts o = {.json = true, .go = until, .user = &never};
    OK(rag_export(s, file("whole"), &o, &out, err));
    CHECK(never.asked > 2);
    for (int64_t at = 1; at <= never.asked; at++) {
        struct stopping x = {.at = at};
        o.user = &x;
        CHECK_INT(rag_export(s, file("part"), &o, &out, err), Q_CANCEL);
        CHECK_INT(entries(dir), before + 1);
    }
    /* a disk that is full, here: files may be no longer than this */
    struct rlimit was, small = {.rlim_cur = 2048};
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &was), 0);
    small.rlim_max = was.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    o.go = NULL;
    o.over = true;
    CHECK_INT(rag_export(s, file("whole"), &o, &out, err), Q_IO);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &was), 0);
    CHECK_INT(entries(dir), before + 1);
    CHECK(access(file("whole/everything.jsonl"), F_OK) == 0);
    mem_close(s);
}

/* The folder that a killed one left is cleared by the next; one of a process that runs is not. */
static void what_a_killed_one_left_goes(void)
{
    mem_store *s = NULL;
    char *mine = q_printf("%s.%ld.part", file("late"), (long)getppid());
    OK(mem_open(file("a.db"), &s, err));
    CHECK_INT(mkdir(file("late.999999999.part"), 0700), 0);
    OK(q_write_file_atomic(file("late.999999999.part/README.md"), "x", 1, err));
    CHECK_INT(mkdir(file("late.999999998.part"), 0700), 0);
    OK(q_write_file_atomic(file("late.999999998.part/letter"), "x", 1, err));
    CHECK_INT(mkdir(file("late.999999999.part.old"), 0700), 0);
    OK(q_write_file_atomic(file("late.999999999.part.old/README.md"), "x", 1, err));
    CHECK_INT(mkdir(mine, 0700), 0);
    export(s, file("late"), false);
    CHECK(access(file("late.999999999.part"), F_OK) != 0 && access(file("late.999999999.part.old"), F_OK) != 0);
    CHECK(access(file("late.999999998.part/letter"), F_OK) == 0 && access(mine, F_OK) == 0);
    mem_close(s);
    free(mine);
}

static void a_memory_in_no_file_says_so(void)
{
    mem_store *s = NULL;
    rag_exported out;
    rag_export_opts o = {.json = true};
    OK(mem_open(":memory:", &s, err));
    CHECK_INT(rag_export(s, file("none"), &o, &out, err), Q_RANGE);
    CHECK(strstr(err, "kept in no file") && access(file("none"), F_OK) != 0);
    mem_close(s);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    if (!memory_begin("export")) return 1;
    RUN(conversations_come_in_again_as_they_were);
    RUN(a_person_reads_it_and_may_change_it);
    RUN(what_would_move_on_a_terminal_is_escaped);
    RUN(the_lines_are_those_of_the_store_and_all_is_private);
    RUN(nothing_is_written_over_unasked);
    RUN(what_stops_it_leaves_nothing_half);
    RUN(what_a_killed_one_left_goes);
    RUN(a_memory_in_no_file_says_so);
    return memory_end();
}
