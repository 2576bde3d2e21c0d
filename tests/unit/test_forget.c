/* memory: what is forgotten is gone from every table, both indexes, the file's bytes and the backups, whatever is killed meanwhile;
 * and the looking for it finds it wherever it is hidden. */
#include "agent/agent.h"
#include "agent/meant.h"
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <utime.h>

static const char SECRET[] = "Зюзельский ПЛЁС zzqkestrel";      /* found in any case */
static const char said[] = "зюзельский плёс ZZQkestrel";

static int unreadable;                           /* tables that cannot be read where it is looked for */

struct places { q_buf all; int n; };

static void place(void *user, const mem_found *f)
{
    struct places *p = user;
    q_buf_printf(&p->all, "%s ", f->where ? f->where : "bytes");
    p->n++;
}

/* How many places hold the text; their names in *where, NULL: not wanted. */
static int stands(const char *path, const char *text, char **where)
{
    struct places p = {{0}, 0};
    int files, unread, n = mem_verify_absent(path, text, place, &p, &files, &unread, err);
    CHECK_MSG(n == p.n && unread == unreadable && files > 0, "%d %d %d %s", n, p.n, unread, err);
    if (where) *where = q_buf_take(&p.all);
    q_buf_free(&p.all);
    return n;
}

static int run(mem_store *s, const char *sql)
{
    store_lock(s);
    int rc = store_run(s, NULL, err, sql, "");
    store_unlock(s);
    return rc;
}

static int64_t number(mem_store *s, const char *sql)
{
    int64_t n = -1;
    store_lock(s);
    OK(store_int(s, &n, err, sql, ""));
    store_unlock(s);
    return n;
}

static int64_t say(mem_store *s, int64_t chat, int64_t parent, enum mem_role role, const char *text)
{
    int64_t id;
    OK(mem_message_add(s, chat, parent, role, text, strlen(text), &id, err));
    return id;
}

/* On a day that does not end while the test runs. */
static int64_t some_noon(void *user) { return 1773144000000; }      /* 2026-03-10 12:00 UTC */
static const store_watch watch = {.now = some_noon};

static mem_store *open_at(const char *path)
{
    mem_store *s = NULL;
    OK(store_open(path, &watch, &s, err));
    return s;
}

/* The text in every column that can hold a person's words, and beside it what is to stay. */
static void fill(mem_store *s, const char *text, int documents)
{
    int64_t keep, chat, q, r, other, id;
    char *more = q_printf("Before %s after, and many ordinary words behind it.", text);
    OK(mem_conversation_new(s, "harbour", &keep, err));
    q = say(s, keep, 0, MEM_USER, "kingfishers nest in steep banks");
    OK(mem_conversation_new(s, more, &chat, err));
    OK(mem_conversation_view(s, chat, more, 0, err));
    int64_t asked = say(s, chat, 0, MEM_USER, more);
    mem_turn turn = {.role = MEM_USER, .author = more, .text = "said by somebody", .n = 16};
    OK(mem_turns_add(s, chat, asked, &turn, 1, &other, err));
    OK(mem_reply_begin(s, chat, asked, "m", 1, 1, "{}", "", &r, err));
    mem_message_config c = {.from = 3, .at = 1, .hash = 2, .json = more, .label = more, .mark = more};
    OK(mem_reply_config(s, r, &c, err));
    mem_trace *t = mem_trace_new(1, 1);
    uint16_t e = 0;
    float w = 1;
    mem_trace_add(t, 1, 0, 1, false, 1, &e, &w, &w, &w);
    t->made = q_strdup(more);
    OK(mem_reply_end(s, r, MEM_DONE, more, more, strlen(more), more, strlen(more), NULL, t, err));
    mem_call done = {.message = r, .name = more, .arguments = more, .result = more, .policy = more, .path = more, .became = more, .there = true};
    OK(mem_call_put(s, &done, more, strlen(more), more, strlen(more), &id, err));
    /* and an answer that holds none of it, but whose question and origin do */
    OK(mem_reply_begin(s, chat, asked, "m", 1, 1, "{}", "", &r, err));
    OK(mem_reply_end(s, r, MEM_DONE, more, "a quiet answer", 14, "", 0, NULL, t, err));
    mem_trace_free(t);
    mem_compaction sum = {.message = r, .kept = (char *)"", .text = more, .fixed = more, .words = more};
    OK(mem_compaction_put(s, &sum, &id, err));
    OK(mem_tag_add(s, more, r, err));
    mem_module of = {.name = more, .hash = more, .tokens = 1, .adapter = more, .scale = more};
    OK(mem_modules_put(s, r, &of, 1, err));
    mem_log log[] = {{.rank = 1, .kind = MEM_CHUNK, .ref = 999, .label = more, .terms = more, .reason = (char *)"", .signals = more, .score = .5}};
    OK(mem_log_put(s, r, log, 1, err));
    mem_import_message im[] = {{.external = "a", .parent = -1, .role = MEM_USER, .text = more, .thinking = "", .model = "", .raw = more, .was = "cp1251"},
                               {.external = "b", .parent = 0, .role = MEM_USER, .text = "stays there", .thinking = "", .model = ""}};
    mem_import m = {.source = "test", .external = "one", .title = "imported", .v = im, .n = 2, .leaf = -1};
    mem_imported got;
    OK(mem_import_put(s, &m, NULL, NULL, &got, err));
    OK(mem_pending_put(s, keep, -1, more, strlen(more), &id, err));
    OK(mem_setting_put(s, "draft.new", more, err));
    OK(mem_fact_put(s, &(mem_fact){.text = more, .subject = more}, &id, err));
    for (int i = 0; i < documents; i++) {
        char *path = q_printf("/home/%s/%d.md", text, i);
        mem_chunk k[] = {{0, strlen(more), more, more}, {strlen(more), 12, "second piece", (char *)""}};
        mem_document d = {.path = path, .title = more, .name = more, .bytes = 5, .was = (char *)"cp1251", .raw = more, .n_raw = strlen(more)};
        OK(mem_document_put(s, &d, k, 2, &id, err));
        free(path);
    }
    mem_chunk k[] = {{0, 30, "kingfishers dive for small fish", (char *)"Birds"}};
    mem_document d = {.path = (char *)"/birds.md", .title = (char *)"birds.md", .name = (char *)"birds.md", .bytes = 30};
    OK(mem_document_put(s, &d, k, 1, &id, err));
    char *away = q_printf("/nonesuch/%s.svg", text);
    OK(mem_outside_put(s, "picture", away, err));
    free(away);
    OK(mem_tidy(s, NULL, NULL, err));
    free(more);
    (void)q;
}

static int forget(mem_store *s, const char *what, char **words)
{
    agt_forgetting f;
    char *said_ = NULL;
    int rc = agt_forget_find(s, what, &f, err);
    if (rc == Q_OK) rc = agt_forget(s, f.items, NULL, NULL, &said_, err);
    if (rc == Q_OK) rc = mem_tidy(s, NULL, NULL, err);
    agt_forgetting_free(&f);
    if (words) *words = said_;
    else free(said_);
    return rc;
}

/* Which columns hold words: all of TEXT and BLOB, but those that hold numbers, names of ours and what indexes are made of. */
static void every_column_is_tried(mem_store *s, const char *where)
{
    static const char *const none[] = {"sqlite_", "chunk_fts", "message_fts", "chunk_posting.data", "message_posting.data", "vector", "embedder", "chore.", "import.source", "import.external",
        "import_message.external", "message_raw.was", "document_raw.was", "document.sha256", "document.owner", "message.owner", "message.model", "pending.owner", "setting.name",
        "retrieval.reason", "chunk_posting.word", "message_posting.word", "message_trace.data", "document.called", "chunk_entity.data", "message_entity.data", "outside.kind", "compaction.kept" /* names in it, folded */};
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, "SELECT m.name || '.' || x.name FROM sqlite_schema m, pragma_table_xinfo(m.name) x WHERE m.type='table' AND m.rootpage>0"
                                   " AND x.type IN ('TEXT', 'BLOB', '')", "");
    int n = 0;
    while (st && store_step(s, st, err) == 1) {
        char *column = store_text(st, 0), *padded = q_printf("%s ", column);
        bool other = false;
        for (size_t i = 0; i < sizeof none / sizeof *none; i++) other |= strncmp(column, none[i], strlen(none[i])) == 0;
        if (!other) CHECK_MSG(strstr(where, padded) != NULL, "nothing was put into %s", column);
        n += !other;
        free(padded);
        free(column);
    }
    sqlite3_finalize(st);
    store_unlock(s);
    CHECK_MSG(n >= 20, "%d columns", n);
}

static void words_go_from_every_table(void)
{
    char *path = file("words.db"), *where, *told;
    mem_store *s = open_at(path);
    fill(s, said, 3);
    CHECK(stands(path, SECRET, &where) >= 20);
    every_column_is_tried(s, where);
    CHECK_MSG(strstr(where, "message_trace.data") != NULL, "%s", where);         /* it is compressed */
    free(where);
    char *what = q_printf("words %s", SECRET);
    OK(forget(s, what, &told));
    free(what);
    CHECK_MSG(told && strstr(told, "3 documents") && strstr(told, "beside"), "%s", told ? told : "");
    free(told);
    CHECK_MSG(stands(path, SECRET, &where) == 0, "%s", where);
    free(where);
    CHECK_INT(stands(path, "zzqkestrel", NULL), 0);
    CHECK_INT(stands(path, "qkestre", NULL), 0);
    CHECK_INT(stands(path, "зюзельск", NULL) + stands(path, "плес", NULL), 0);
    CHECK(stands(path, "KINGFISHERS", NULL) > 0);
    CHECK_INT(number(s, "SELECT count(*) FROM document WHERE path='/birds.md'"), 1);
    CHECK_INT(number(s, "SELECT count(*) FROM message WHERE text IN ('a quiet answer', 'stays there', 'kingfishers nest in steep banks')"), 3);
    CHECK_INT(number(s, "SELECT count(*) FROM message WHERE text='said by somebody'"), 0);      /* its author was the text */
    OK(mem_check(s, err));
    mem_close(s);
    CHECK_INT(stands(path, SECRET, NULL), 0);
}

static void it_is_found_where_it_is_hidden(void)
{
    char *path = file("hidden.db"), *where, *beside = file("hidden.db.backup-2020-01-02");
    mem_store *s = open_at(path);
    int64_t chat, id;
    OK(mem_conversation_new(s, "one", &chat, err));
    for (int i = 0; i < 4; i++) {
        char *text = q_printf("zzqword%d with others", i);
        id = say(s, chat, 0, MEM_USER, text);
        free(text);
    }
    CHECK_INT(stands(path, "nowhere at all", NULL), 0);
    OK(mem_messages_delete(s, &id, 1, NULL, err));
    CHECK(stands(path, "ZZQword3", &where) > 0);                    /* in old pages of the index, until that is tidied */
    CHECK_MSG(strstr(where, "message_fts") != NULL, "%s", where);
    free(where);
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(stands(path, "zzqword3", NULL), 0);
    CHECK(stands(path, "zzqword2", NULL) > 0);
    mem_close(s);
    CHECK_INT(stands(path, "in no row of it", NULL), 0);
    FILE *f = fopen(path, "ab");                                    /* bytes behind all pages: no row holds them */
    CHECK(f && fputs("it stands In No Row of it", f) >= 0 && fclose(f) == 0);
    CHECK_INT(stands(path, "in no row of it", &where), 1);
    CHECK_STR(where, "bytes ");
    free(where);
    OK(q_write_file_atomic(beside, "an old Zzqcopy", 14, err));
    unreadable = 1;
    CHECK_INT(stands(path, "zzqcopy", NULL), 1);
    OK(q_write_file_atomic(file("hidden.db-journal"), "zzqjournal", 10, err));
    unreadable = 2;                                                 /* such a journal keeps the file itself from being read */
    CHECK_INT(stands(path, "zzqjournal", NULL), 1);
    unreadable = 0;
    int files, unread;
    CHECK_INT(mem_verify_absent(file("none.db"), "x", place, NULL, &files, &unread, err), Q_NOTFOUND);
    /* a text as long as several pieces, and one that lies across two of them */
    q_buf b = {0};
    for (int i = 0; i < (1 << 20) - 3; i++) q_buf_putc(&b, 'x');
    q_buf_puts(&b, "Тайна");
    for (int i = 0; i < 70000; i++) q_buf_putc(&b, (char)('a' + i % 26));
    OK(q_write_file_atomic(file("long.bin"), b.p, b.len, err));
    int64_t at;
    OK(mem_file_holds(file("long.bin"), "тАЙНА", &at, err));
    CHECK(at >= 0);
    OK(mem_file_holds(file("long.bin"), "тайна нет", &at, err));
    CHECK_INT(at, -1);
    char *tail = q_strdup(b.p + (1 << 20));
    OK(mem_file_holds(file("long.bin"), tail, &at, err));
    CHECK(at >= 0);
    free(tail);
    q_buf_free(&b);
}

/* What is no store is never said to hold nothing, and a folder's name is not its journal's. */
static void the_place_of_the_store_is_looked_at_too(void)
{
    char *folder = file("my-journal"), *path = q_printf("%s/notes-wal.db", folder), *where;
    int files = 0, unread = 0;
    CHECK_INT(mkdir(folder, 0700), 0);
    mem_store *s = open_at(path);
    fill(s, said, 2);
    mem_close(s);
    CHECK(stands(path, SECRET, &where) >= 20);
    free(where);
    const char *const none[] = {folder, "/dev/null", "/nonexistent/x.db"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        CHECK_INT(mem_verify_absent(none[i], SECRET, NULL, NULL, &files, &unread, err), Q_NOTFOUND);
        CHECK(strstr(err, "there is no memory at"));
    }
    free(path);
}

static void a_message_goes_and_the_tree_stays(void)
{
    mem_store *s = open_at(":memory:");
    int64_t chat, leaf;
    mem_messages b;
    OK(mem_conversation_new(s, "tree", &chat, err));
    int64_t q1 = say(s, chat, 0, MEM_USER, "first question"), a1 = say(s, chat, q1, MEM_ASSISTANT, "first answer"), q2 = say(s, chat, a1, MEM_USER, "second question"),
            a2 = say(s, chat, q2, MEM_ASSISTANT, "second answer"), other = say(s, chat, q2, MEM_ASSISTANT, "another answer");
    OK(mem_conversation_leaf(s, chat, a2, err));
    int done;
    OK(mem_messages_delete(s, &a1, 1, &done, err));
    CHECK_INT(done, 1);
    OK(mem_branch(s, chat, 0, &b, err));
    CHECK(b.n == 3 && b.v[0].id == q1 && b.v[1].id == q2 && b.v[2].id == a2 && b.v[1].parent == q1);
    mem_messages_free(&b);
    OK(mem_messages_delete(s, &a2, 1, NULL, err));                  /* the end of the branch: the other answer is shown */
    OK(mem_branch(s, chat, 0, &b, err));
    CHECK(b.n == 3 && b.v[2].id == other);
    mem_messages_free(&b);
    OK(mem_messages_delete(s, &q1, 1, NULL, err));                  /* a first message: what is below it is first now */
    OK(mem_branch(s, chat, 0, &b, err));
    CHECK(b.n == 2 && b.v[0].id == q2 && b.v[0].parent == 0);
    mem_messages_free(&b);
    OK(mem_check(s, err));
    const int64_t rest[] = {q2, other, a2};
    OK(mem_messages_delete(s, rest, 3, &done, err));
    CHECK_INT(done, 2);
    mem_conversation c;
    CHECK_INT(mem_conversation_get(s, chat, &c, err), Q_NOTFOUND);  /* none is left: the conversation goes too */
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(number(s, "SELECT count(*) FROM conversation"), 0);
    CHECK_INT(number(s, "SELECT count(*) FROM heard"), 0);
    CHECK_INT(mem_leaf_below(s, q2, &leaf, err), Q_NOTFOUND);
    OK(mem_check(s, err));
    mem_close(s);
}

static void what_is_meant(void)
{
    mem_store *s = open_at(":memory:");
    fill(s, said, 2);
    agt_forgetting f;
    OK(run(s, "UPDATE message SET created=unixepoch('2025-03-01 12:00', 'utc') * 1000 WHERE text='stays there'"));
    OK(run(s, "UPDATE document SET gone=5 WHERE path='/birds.md'"));
    static const struct { const char *what; int rc; const char *holds; } t[] = {
        {"gone", Q_OK, "birds.md"}, {"пропавшее", Q_OK, "birds.md"}, {"since 2025-03-01 until 2025-03-01", Q_OK, "1 message"}, {"с 01.03.2025 по 01.03.2025", Q_OK, "1 message"},
        {"since 2025-03-02 until 2025-03-03", Q_NOTFOUND, "nothing"}, {"since yesterday", Q_OK, "and "}, {"since", Q_RANGE, "/forget since DAY"}, {"words", Q_RANGE, "/forget words TEXT"}, {"слова", Q_RANGE, "/forget words TEXT"}, {"chat", Q_RANGE, "/chats"}, {"since 2025-13-01", Q_RANGE, "no day"}, {"since 2025-02-30", Q_RANGE, "no day"}, {"since 2025-02-28 until 29.02.2025", Q_RANGE, "no day"}, {"since 2024-02-29 until 2024-02-29", Q_NOTFOUND, "nothing"},
        {"since 2025-03-01 until", Q_RANGE, "until"}, {"since 2025-03-01 bis 2025-03-02", Q_RANGE, "until"}, {"chat 1", Q_OK, "harbour"}, {"chat 99", Q_NOTFOUND, "99"},
        {"chat x", Q_RANGE, "/chats"}, {"message 1:1", Q_OK, "kingfishers"}, {"message 1", Q_OK, "kingfishers"}, {"message 999", Q_NOTFOUND, "999"}, {"message one", Q_RANGE, "/find"},
        {"words nobody wrote this", Q_OK, "No document"}, {"words KINGFISHERS", Q_OK, "1 document, 1 message"}, {"/birds.md", Q_OK, "birds.md"}, {"/nowhere", Q_NOTFOUND, "/memory list"},
        {"fact 1", Q_OK, "1 fact"}, {"fact 9", Q_NOTFOUND, "/remember"}, {"fact x", Q_RANGE, "/remember"},
        {"gone with the wind", Q_NOTFOUND, "no document"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int rc = agt_forget_find(s, t[i].what, &f, err);
        const char *got = rc == Q_OK ? f.question : err;
        CHECK_MSG(rc == t[i].rc && strstr(got, t[i].holds), "%s: %d %s", t[i].what, rc, got);
        agt_forgetting_free(&f);
    }
    /* what stands under a number by now is another thing: left alone */
    char *told;
    OK(agt_forget(s, "1:beef c1:beef m1:beef", NULL, NULL, &told, err));
    CHECK_INT(number(s, "SELECT count(*) FROM message WHERE id=1"), 1);
    CHECK_INT(number(s, "SELECT count(*) FROM conversation WHERE id=1 AND state=0"), 1);
    free(told);
    mem_close(s);
}

/* ---- backups ---- */
static uint64_t no_room(void *user) { return 1; }

static char *day_before(int days)
{
    static char day[2][11];
    static int i;
    time_t t = (time_t)(some_noon(NULL) / 1000) - (time_t)days * 86400;
    struct tm tm;
    i = !i;
    localtime_r(&t, &tm);
    strftime(day[i], sizeof day[i], "%Y-%m-%d", &tm);
    return day[i];
}

static bool made_one(mem_store *s)
{
    bool made;
    OK(mem_backup_make(s, NULL, NULL, &made, err));
    return made;
}

static int backups_of(const char *path)
{
    mem_backups l;
    OK(mem_backup_list(path, &l, err));
    int n = l.n;
    mem_backups_free(&l);
    return n;
}

static void one_backup_a_day_and_seven_are_kept(void)
{
    char *path = file("kept.db"), *name;
    mem_store *s = open_at(path), *b;
    CHECK(!made_one(s));                                            /* nothing of a person's is in it */
    fill(s, said, 1);
    CHECK(made_one(s) && !made_one(s));
    CHECK_INT(backups_of(path), 1);
    name = q_printf("%s.backup-%s", path, day_before(0));
    struct stat st;
    CHECK(stat(name, &st) == 0 && (st.st_mode & 0777) == 0600);
    b = open_at(name);                                              /* it is a store like any */
    CHECK_INT(number(b, "SELECT count(*) FROM document WHERE path='/birds.md'"), 1);
    OK(mem_check(b, err));
    mem_close(b);
    for (int i = 1; i <= 9; i++) {                                  /* of nine days before */
        char *old = q_printf("%s.backup-%s", path, day_before(i));
        OK(q_write_file_atomic(old, "x", 1, err));
        free(old);
    }
    char *ahead = q_printf("%s.backup-2199-01-01", path);
    OK(q_write_file_atomic(ahead, "x", 1, err));
    CHECK(!made_one(s));
    CHECK_INT(unlink(name), 0);
    CHECK(!made_one(s));                                            /* nothing changed since the newest */
    struct utimbuf past = {1000, 1000};
    for (int i = 1; i <= 9; i++) {
        char *old = q_printf("%s.backup-%s", path, day_before(i));
        CHECK_INT(utime(old, &past), 0);
        free(old);
    }
    char *left = q_printf("%s.backup-%s.999999999.part", path, day_before(3));
    OK(q_write_file_atomic(left, "x", 1, err));
    CHECK(made_one(s));                                             /* one of a far day, under a wrong clock, does not stop it */
    CHECK_INT(unlink(ahead), 0);
    free(ahead);
    CHECK_INT(backups_of(path), 6);
    CHECK(access(left, F_OK) != 0);                                 /* of a process that is gone */
    CHECK(access(name, F_OK) == 0);
    free(left);
    free(name);
    mem_close(s);
}

static void a_backup_never_fills_the_disk(void)
{
    store_watch w = {.room = no_room};
    mem_store *s = NULL;
    bool made;
    char *path = file("room.db");
    OK(store_open(path, &w, &s, err));
    fill(s, said, 1);
    CHECK_INT(mem_backup_make(s, NULL, NULL, &made, err), Q_RANGE);
    CHECK_MSG(!made && strstr(err, "free"), "%s", err);
    CHECK_INT(backups_of(path), 0);
    mem_close(s);
}

static bool never(void *user) { return ++*(int *)user < 2; }

static void a_stopped_backup_leaves_nothing(void)
{
    char *path = file("stopped.db");
    mem_store *s = open_at(path);
    int asked = 0;
    bool made;
    q_buf big = {0};
    fill(s, said, 1);
    for (int i = 0; i < 400000; i++) q_buf_printf(&big, "word%d ", i % 977);
    int64_t chat;
    OK(mem_conversation_new(s, "large", &chat, err));
    say(s, chat, 0, MEM_USER, big.p);
    q_buf_free(&big);
    CHECK_INT(mem_backup_make(s, never, &asked, &made, err), Q_CANCEL);
    CHECK(!made);
    char *ls = q_printf("ls %s | grep -c '^stopped.db.backup'", dir);
    FILE *f = popen(ls, "r");
    int n = -1;
    CHECK(f && fscanf(f, "%d", &n) == 1);
    if (f) pclose(f);
    CHECK_INT(n, 0);
    free(ls);
    CHECK(made_one(s));                                             /* in steps of a megabyte, between which others write */
    mem_close(s);
}

static void forgetting_reaches_the_backups(void)
{
    char *path = file("reach.db"), *name, *where;
    mem_store *s = open_at(path);
    fill(s, said, 2);
    CHECK(made_one(s));
    name = q_printf("%s.backup-%s", path, day_before(0));
    CHECK(stands(name, SECRET, NULL) >= 20);
    char *kept = q_printf("%s.replaced", name), *link_ = file("reach.link");
    OK(q_write_file_atomic(kept, said, strlen(said), err));
    CHECK_INT(link(kept, link_), 0);
    char *what = q_printf("words %s", SECRET);
    OK(forget(s, what, NULL));
    free(what);
    CHECK(access(name, F_OK) != 0 && access(kept, F_OK) != 0);
    int64_t at;
    OK(mem_file_holds(link_, SECRET, &at, err));                    /* overwritten, not only unlinked */
    CHECK_INT(at, -1);
    char *note = mem_note(s);
    CHECK_MSG(note && strstr(note, "2 backups"), "%s", note ? note : "");
    free(note);
    CHECK(made_one(s));                                             /* the next one holds the rest */
    CHECK_MSG(stands(path, SECRET, &where) == 0, "%s", where);
    free(where);
    CHECK(stands(name, "kingfishers", NULL) > 0);
    free(kept);
    free(name);
    mem_close(s);
}

static void a_day_is_brought_back(void)
{
    char *path = file("back.db"), *kept = NULL;
    mem_store *s = open_at(path);
    int64_t chat;
    fill(s, said, 1);
    CHECK(made_one(s));
    OK(mem_conversation_new(s, "after that", &chat, err));
    say(s, chat, 0, MEM_USER, "said after the backup");
    mem_close(s);
    CHECK_INT(mem_restore(path, "2001-01-01", &kept, err), Q_NOTFOUND);
    CHECK_INT(mem_restore(path, "../../etc/passwd", &kept, err), Q_NOTFOUND);
    CHECK(!kept);
    OK(mem_restore(path, day_before(0), &kept, err));
    s = open_at(path);
    CHECK_INT(number(s, "SELECT count(*) FROM message WHERE text='said after the backup'"), 0);
    CHECK_INT(number(s, "SELECT count(*) FROM document WHERE path='/birds.md'"), 1);
    OK(mem_check(s, err));
    mem_close(s);
    s = kept ? open_at(kept) : NULL;
    if (s) CHECK_INT(number(s, "SELECT count(*) FROM message WHERE text='said after the backup'"), 1);
    mem_close(s);
    free(kept);
    /* also over a file that is damaged; and a damaged backup is not taken */
    char *name = q_printf("%s.backup-%s", path, day_before(0)), *bad = q_printf("%s.backup-2001-02-03", path);
    OK(q_write_file_atomic(bad, "no store at all, but long enough to be one ......................................................", 90, err));
    CHECK(mem_restore(path, "2001-02-03", &kept, err) < 0 && !kept);
    OK(q_write_file_atomic(bad, "", 0, err));                       /* it would open as an empty memory */
    CHECK_INT(mem_restore(path, "2001-02-03", &kept, err), Q_FORMAT);
    CHECK(!kept && strstr(err, "is empty"));
    unlink(bad);
    CHECK_INT(symlink(path, bad), 0);
    CHECK_INT(mem_restore(path, "2001-02-03", &kept, err), Q_NOTFOUND);
    s = open_at(path);
    mem_close(s);
    OK(q_write_file_atomic(path, "no store at all, but long enough to be one ......................................................", 90, err));
    OK(mem_restore(path, day_before(0), &kept, err));
    s = open_at(path);
    CHECK_INT(number(s, "SELECT count(*) FROM document WHERE path='/birds.md'"), 1);
    mem_close(s);
    free(kept);
    free(bad);
    free(name);
}

/* What the first restoring of a day put aside is the only copy of what was said since the backup. */
static void a_second_restoring_keeps_what_the_first_put_aside(void)
{
    char *path = file("twice.db"), *first = NULL, *second = NULL;
    mem_store *s = open_at(path);
    int64_t chat;
    fill(s, said, 1);
    CHECK(made_one(s));
    OK(mem_conversation_new(s, "after that", &chat, err));
    say(s, chat, 0, MEM_USER, "said after the backup");
    mem_close(s);
    OK(mem_restore(path, day_before(0), &first, err));
    OK(mem_restore(path, day_before(0), &second, err));
    CHECK(first && second && strcmp(first, second) != 0);
    s = first ? open_at(first) : NULL;
    if (s) CHECK_INT(number(s, "SELECT count(*) FROM message WHERE text='said after the backup'"), 1);
    mem_close(s);
    /* and a forgetting reaches both */
    s = open_at(path);
    char *what = q_printf("words %s", SECRET);
    OK(forget(s, what, NULL));
    free(what);
    CHECK(first && second && access(first, F_OK) != 0 && access(second, F_OK) != 0);
    free(mem_note(s));
    mem_close(s);
    free(first);
    free(second);
}

/* ---- killed, full, two at once ---- */
/* Dies when the lock was given back for the k-th time: each is a state that a kill may leave on the disk. */
static void die(void *user, mem_store *s, int64_t rows)
{
    if (--*(int *)user == 0) raise(SIGKILL);
}

static bool killed_at(const char *path, int k, int (*act)(mem_store *))
{
    pid_t pid = fork();
    if (pid == 0) {
        store_watch w = {.user = &k, .unlocked = die};
        mem_store *s = NULL;
        if (store_open(path, &w, &s, err) != Q_OK || act(s) != Q_OK) _exit(3);
        mem_close(s);
        _exit(0);
    }
    int st = 0;
    while (waitpid(pid, &st, 0) < 0) {}
    CHECK_MSG((WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL) || (WIFEXITED(st) && WEXITSTATUS(st) == 0), "step %d: %d", k, st);
    return WIFSIGNALED(st);
}

static int forget_all(mem_store *s)
{
    char *what = q_printf("words %s", SECRET);
    int rc = forget(s, what, NULL);
    free(what);
    return rc;
}

static int back_up(mem_store *s)
{
    bool made;
    return mem_backup_make(s, NULL, NULL, &made, err);
}

static int take_in(mem_store *s)
{
    fill(s, said, 2);
    return Q_OK;
}

/* A fresh copy, without what lay beside the last one. */
static void copy_of(const char *whole, const char *path)
{
    q_buf b = {0};
    char *rm = q_printf("rm -f '%s'*", path);
    CHECK_INT(system(rm), 0);
    free(rm);
    OK(q_read_file(whole, &b, 1 << 28, err));
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(b.p, 1, b.len, f) == b.len && fclose(f) == 0);
    q_buf_free(&b);
}

/* Wherever it is killed, what is left is whole, and doing it again ends it. */
static void a_kill_at_any_step(void)
{
    static const struct { const char *name; int (*act)(mem_store *); bool before, gone; } t[] = {
        {"forget", forget_all, true, true}, {"backup", back_up, true, false}, {"import", take_in, false, false}};
    int most = getenv("QUORUM_LONG") ? 100 : 7;
    uint64_t seed[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *whole = q_strdup(file("kill-whole.db")), *path = q_strdup(file("kill.db")), *where;
        int steps = 1, kills = 0;
        unlink(whole);
        mem_store *s = open_at(whole);
        if (t[i].before) fill(s, said, 2);
        mem_close(s);
        do copy_of(whole, path), steps *= 2;                        /* more steps than it has are never reached */
        while (killed_at(path, steps, t[i].act));
        for (int n = 0; n < most; n++) {
            copy_of(whole, path);
            kills += killed_at(path, 1 + (int)(q_random(seed) % (uint64_t)(steps / 2)), t[i].act);
            s = open_at(path);
            OK(mem_tidy(s, NULL, NULL, err));
            OK(mem_check(s, err));
            if (t[i].act != take_in) OK(t[i].act(s));
            OK(mem_check(s, err));
            mem_close(s);
            if (t[i].gone) CHECK_MSG(stands(path, SECRET, &where) == 0, "%s %d: %s", t[i].name, n, where);
            if (t[i].gone) free(where);
        }
        free(whole);
        free(path);
        CHECK_MSG(kills == most, "%s: only %d of %d were killed", t[i].name, kills, most);
    }
}

static void a_full_disk_forgets_later(void)
{
    char *path = file("full.db");
    mem_store *s = open_at(path);
    fill(s, said, 4);
    struct stat st;
    mem_close(s);
    CHECK_INT(stat(path, &st), 0);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit l = {0, 0};                                   /* nothing can be written at all */
        int rc = mem_open(path, &s, err) != Q_OK || setrlimit(RLIMIT_FSIZE, &l) != 0;
        char *what = q_printf("words %s", SECRET);
        if (!rc) rc = forget(s, what, NULL) == Q_OK || !strstr(err, "safe");
        _exit(rc ? 3 : 0);
    }
    int how = 0;
    while (waitpid(pid, &how, 0) < 0) {}
    CHECK_MSG(WIFEXITED(how) && WEXITSTATUS(how) == 0, "%d", how);
    s = open_at(path);
    OK(mem_check(s, err));
    OK(forget_all(s));
    OK(mem_check(s, err));
    mem_close(s);
    CHECK_INT(stands(path, SECRET, NULL), 0);
}

static void two_processes_on_one_file(void)
{
    enum { EACH = 20 };
    char *path = file("two.db");
    mem_store *s = open_at(path);
    int64_t chat, id, mine = 0;
    OK(mem_conversation_new(s, "one", &chat, err));
    say(s, chat, 0, MEM_USER, "stays");
    fill(s, said, 2);
    mem_close(s);
    pid_t pid = fork();
    if (pid == 0) {                                                 /* says much, while the other forgets and backs up */
        int rc = mem_open(path, &s, err);
        for (int i = 0; i < EACH && rc == Q_OK; i++) rc = mem_message_add(s, chat, 0, MEM_USER, "other process", 13, &id, err);
        if (rc == Q_OK) mem_close(s);
        _exit(rc == Q_OK ? 0 : 3);
    }
    s = open_at(path);
    for (int i = 0; i < EACH; i++) {
        id = say(s, chat, 0, MEM_USER, "zzqmine");
        OK(mem_messages_delete(s, &id, 1, NULL, err));
        mine++;
        if (i % 5 == 0) OK(back_up(s));
    }
    OK(forget_all(s));
    int how = 0;
    while (waitpid(pid, &how, 0) < 0) {}
    CHECK_MSG(WIFEXITED(how) && WEXITSTATUS(how) == 0, "%d", how);
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(number(s, "SELECT count(*) FROM message WHERE text='other process'"), EACH);
    CHECK_INT(number(s, "SELECT count(*) FROM message WHERE text='zzqmine'"), 0);
    OK(mem_check(s, err));
    mem_close(s);
    CHECK_INT(stands(path, SECRET, NULL), 0);
    CHECK_INT(stands(path, "zzqmine", NULL), 0);
    CHECK_INT(mine, EACH);
}

/* ---- what rows say of one another ---- */
static void gather(void *user, const char *sentence) { q_buf_printf(user, "%s\n", sentence); }

static void what_can_be_derived_is_made_again(void)
{
    static const struct { const char *wrong, *right, *says; int64_t want; } t[] = {
        {"UPDATE message SET parent=(SELECT max(id) FROM message WHERE text='kingfishers nest in steep banks') WHERE text='stays there'", "SELECT count(*) FROM message WHERE text='stays there' AND parent IS NULL", "at its beginning", 1},
        {"UPDATE conversation SET leaf=99999 WHERE title='harbour'", "SELECT count(*) FROM conversation WHERE title='harbour' AND leaf IN (SELECT id FROM message WHERE text LIKE 'kingf%')", "their newest", 1},
        {"UPDATE heard SET prev=77 WHERE message=(SELECT id FROM message WHERE text='a quiet answer')", "SELECT count(*) FROM heard h JOIN message m ON m.id=h.message WHERE h.prev<>ifnull(m.parent, 0)", "turns", 0},
        {"UPDATE message SET elder=99999 WHERE text='a quiet answer'", "SELECT elder FROM message WHERE text='a quiet answer'", "beside", 0},
        {"UPDATE import_message SET conversation=77 WHERE external='b'", "SELECT count(*) FROM import_message i JOIN message m ON m.id=i.message WHERE i.conversation<>m.conversation", "imported", 0},
        {"UPDATE document SET called='other words' WHERE path='/birds.md'", "SELECT count(*) FROM document WHERE path='/birds.md' AND called='birds'", "called", 1},
        {"UPDATE retrieval SET ref=99999, label='left behind', terms='words'", "SELECT count(*) FROM retrieval WHERE label<>'' OR terms<>''", "logs", 0},
        {"INSERT INTO pin VALUES(1, 0, 99999, 0, -1, 5)", "SELECT count(*) FROM pin", "pins", 0},
        {"INSERT INTO ban VALUES(1, 99999, 5)", "SELECT count(*) FROM ban", "bans", 0},
        {"UPDATE message SET hidden=1 WHERE text='stays there'", "SELECT indexed FROM message WHERE text='stays there'", "index", 0},
        {"UPDATE pending SET conversation=99999", "SELECT count(*) FROM pending", "memory export", 1},
        {"UPDATE message SET role=9 WHERE text='said by somebody'", "SELECT count(*) FROM message WHERE role=9", "memory export", 1},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        mem_store *s = open_at(":memory:");
        fill(s, said, 1);
        q_buf b = {0};
        OK(mem_check(s, err));                                      /* its log names a passage that was never there */
        OK(mem_check_said(s, gather, &b, err));
        CHECK_MSG(b.len == 0, "%s", b.p);
        OK(run(s, t[i].wrong));
        OK(mem_check_said(s, gather, &b, err));
        CHECK_MSG(b.p && strstr(b.p, t[i].says), "%s: %s", t[i].wrong, b.p ? b.p : "");
        int64_t got = number(s, t[i].right);
        CHECK_MSG(got == t[i].want, "%s: %lld", t[i].right, (long long)got);
        q_buf_clear(&b);
        OK(mem_check_said(s, gather, &b, err));
        CHECK_MSG((b.len > 0) == (strcmp(t[i].says, "memory export") == 0), "%s", b.p ? b.p : "");     /* put right, once and for all */
        q_buf_free(&b);
        mem_close(s);
    }
}

int main(void)
{
    if (!memory_begin("forget")) return 1;
    setenv("HOME", dir, 1);
    const char *const own[] = {"XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) unsetenv(own[i]);
    RUN(words_go_from_every_table);
    RUN(it_is_found_where_it_is_hidden);
    RUN(the_place_of_the_store_is_looked_at_too);
    RUN(a_message_goes_and_the_tree_stays);
    RUN(what_is_meant);
    RUN(one_backup_a_day_and_seven_are_kept);
    RUN(a_backup_never_fills_the_disk);
    RUN(a_stopped_backup_leaves_nothing);
    RUN(forgetting_reaches_the_backups);
    RUN(a_day_is_brought_back);
    RUN(a_second_restoring_keeps_what_the_first_put_aside);
    RUN(what_can_be_derived_is_made_again);
    RUN(a_kill_at_any_step);
    RUN(a_full_disk_forgets_later);
    RUN(two_processes_on_one_file);
    return memory_end();
}
