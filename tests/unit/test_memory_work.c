/* memory at work: many changes, broken indexes, bulk work beside others, half documents, two processes. Nothing here
 * looks at a clock: what bounds a wait is counted in steps and rows, and whatever must happen in the middle of something
 * is done there by whoever looks on (store_watch). */
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"
#include "tests/store_help.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static mem_store *open_at(const char *path, const store_watch *w)
{
    mem_store *s = NULL;
    int rc = store_open(path, w, &s, err);
    CHECK_MSG(rc == Q_OK, "%s", rc ? err : "");
    if (!s) exit(1);
    sqlite3_exec(s->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);    /* the promise to the disk is test_crash's */
    return s;
}

static int64_t levels(mem_store *s, enum mem_kind k)
{
    store_shape shape = {0};
    store_lock(s);
    OK(store_index_shape(s, k, &shape, err));
    store_unlock(s);
    return shape.levels;
}

/* A document of n passages whose words are `word` and its own number. */
static void make(int i, int n, const char *word, mem_document *d, mem_chunk **c)
{
    q_buf all = {0};
    *c = q_alloc(sizeof **c * (size_t)(n + 1));
    for (int k = 0; k < n; k++) {
        q_buf b = {0};
        q_buf_printf(&b, "%s%d part%d of the notes about lighthouses and their keepers, who count ships, storms and years", word, i, k);
        for (int w = 0; w < 80; w++) {                  /* words without a digit: those are identifiers, which have rows of their own */
            int x = (i * 31 + k * 17 + w * w) % 997;
            q_buf_printf(&b, " w%c%c%c", 'a' + x / 100, 'a' + x / 10 % 10, 'a' + x % 10);
        }
        (*c)[k] = (mem_chunk){.offset = all.len, .n = b.len, .text = b.p, .heading = q_strdup("Keepers")};
        q_buf_add(&all, b.p, b.len);
    }
    *d = (mem_document){.path = q_printf("/notes/%d.md", i), .title = q_printf("notes/%d.md", i), .name = q_printf("notes/%d.md", i), .bytes = (int64_t)all.len};
    q_sha256(all.p ? all.p : "", all.len, d->sha256);
    q_buf_free(&all);
}

static void unmake(mem_document *d, mem_chunk *c, int n)
{
    for (int k = 0; k < n; k++) {
        free((char *)c[k].text);
        free(c[k].heading);
    }
    free(c);
    free(d->path);
    free(d->title);
    free(d->name);
}

static int put(mem_bulk *b, int i, int n, const char *word)
{
    mem_document d;
    mem_chunk *c;
    make(i, n, word, &d, &c);
    int rc = mem_bulk_put(b, &d, c, n, err);
    unmake(&d, c, n);
    return rc;
}

static void put_many(mem_store *s, int from, int to, int step, int n, const char *word)
{
    mem_bulk *b = mem_bulk_new(s, NULL, NULL);
    for (int i = from; i < to; i += step) OK(put(b, i, n, word));
    OK(mem_bulk_flush(b, err));
    mem_bulk_free(b);
}

static int found(mem_store *s, const char *word)
{
    mem_passages p;
    OK(mem_candidates(s, MEM_CHUNK, &word, 1, 0, 1000, &p, err));
    int n = p.n;
    mem_passages_free(&p);
    return n;
}

static bool bytes_hold(const char *path, const char *needle)
{
    q_buf b = {0};
    OK(q_read_file(path, &b, 1 << 28, err));
    bool yes = b.len && memmem(b.p, b.len, needle, strlen(needle)) != NULL;
    q_buf_free(&b);
    return yes;
}

static bool said(mem_store *s, const char *part)
{
    char *note = mem_note(s);
    bool yes = note && strstr(note, part);
    free(note);
    return yes;
}

/* ---- fault 9 ---- */
static void thousands_of_changes_leave_a_whole_memory(void)
{
    int rounds = getenv("QUORUM_LONG") ? 5000 : 1200;
    char *path = file("changes.db");
    mem_store *s = open_at(path, NULL);
    int64_t c, id, at = 0, most = 0;
    put_many(s, 0, 20, 1, 2, "early");
    for (int i = 0; i < rounds && !test_bad; i++) {
        put_many(s, i % 20, i % 20 + 1, 1, 2, i == rounds - 1 ? "last" : "again");
        if (i % 4 == 0) {
            OK(mem_conversation_new(s, "t", &c, err));
            OK(mem_message_add(s, c, 0, MEM_USER, "keepers of lighthouses zzqgone", 30, &id, err));
            OK(mem_conversation_delete(s, c, err));
        }
        OK(mem_tidy(s, NULL, NULL, err));
        int64_t now = levels(s, MEM_CHUNK);
        if (now > most) most = now;
    }
    printf("# %d updates, %lld levels at most\n", rounds, (long long)most);
    CHECK(most <= store_levels_max + 4);
    CHECK_INT(raw(s, "SELECT count(*) FROM document"), 20);
    CHECK_INT(found(s, "early3"), 0);
    q_buf w = {0};
    q_buf_printf(&w, "last%d", (rounds - 1) % 20);
    CHECK_INT(found(s, w.p), 2);
    q_buf_free(&w);
    OK(mem_conversation_new(s, "t", &c, err));
    OK(mem_message_add(s, c, at, MEM_USER, "still here", 10, &id, err));
    mem_hits h;
    OK(mem_find(s, "still", 5, &h, err));
    CHECK_INT(h.n, 1);
    mem_hits_free(&h);
    OK(mem_check(s, err));
    CHECK(!said(s, "broken"));
    mem_close(s);
    CHECK(!bytes_hold(path, "zzqgone") && !bytes_hold(path, "qgone") && !bytes_hold(path, "early"));
}

/* A structure record with so many levels, as an older quorum left it after as many complete merges: the one that is there,
 * moved up. */
static void raise_levels(mem_store *s, const char *fts, int to)
{
    char sql[160];
    sqlite3_stmt *st = NULL;
    unsigned char b[9000];
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    snprintf(sql, sizeof sql, "INSERT INTO %s(%s) VALUES('optimize')", fts, fts);
    CHECK(sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK);
    snprintf(sql, sizeof sql, "SELECT block FROM %s_data WHERE id=10", fts);
    CHECK(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW);
    const unsigned char *p = sqlite3_column_blob(st, 0);
    int len = sqlite3_column_bytes(st, 0), had = p[4], n = 0;
    CHECK(had < 128 && p[5] < 128 && p[6] < 128 && len < 200);
    memcpy(b, p, 4);                                            /* the cookie */
    n = 4;
    b[n++] = (unsigned char)(to >> 7 | 0x80);                   /* levels, as a number of two bytes */
    b[n++] = (unsigned char)(to & 0x7f);
    b[n++] = p[5];                                              /* segments, counter */
    b[n++] = p[6];
    for (int i = had; i < to; i++) b[n++] = 0, b[n++] = 0;      /* empty levels below: nothing merges, no segment */
    memcpy(b + n, p + 7, (size_t)(len - 7));
    n += len - 7;
    sqlite3_finalize(st);
    snprintf(sql, sizeof sql, "UPDATE %s_data SET block=? WHERE id=10", fts);
    CHECK(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK);
    sqlite3_bind_blob(st, 1, b, n, SQLITE_STATIC);
    CHECK(sqlite3_step(st) == SQLITE_DONE);
    sqlite3_finalize(st);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
}

static void an_index_of_many_levels_is_kept_alive(void)
{
    static const int at[] = {101, 1997, 1998, 1999, 2000, 2001};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        char name[32];
        snprintf(name, sizeof name, "levels%d.db", at[i]);
        char *path = file(name);
        mem_store *s = open_at(path, NULL);
        int64_t c, id;
        put_many(s, 0, 5, 1, 2, "keeper");
        OK(mem_conversation_new(s, "t", &c, err));
        OK(mem_message_add(s, c, 0, MEM_USER, "said before", 11, &id, err));
        raise_levels(s, "chunk_fts", at[i]);
        raise_levels(s, "message_fts", at[i]);
        mem_close(s);
        s = open_at(path, NULL);
        OK(mem_message_add(s, c, 0, MEM_USER, "said after", 10, &id, err));
        put_many(s, 3, 7, 1, 2, "renewed");
        mem_hits h;
        OK(mem_find(s, "said ", 5, &h, err));
        CHECK_INT(h.n, 2);
        mem_hits_free(&h);
        CHECK_INT(found(s, "keeper1"), 2);
        CHECK_INT(found(s, "keeper4"), 0);
        CHECK_INT(found(s, "renewed4"), 2);
        OK(mem_tidy(s, NULL, NULL, err));
        OK(mem_check(s, err));
        CHECK(levels(s, MEM_CHUNK) <= store_levels_max);
        mem_close(s);
    }
}

static void damage(mem_store *s, const char *sql)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    CHECK_MSG(sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(s->db));
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
}

static void a_broken_index_is_made_again_from_the_text(void)
{
    /* what is done to it; whether FTS5 notices when it is used (else only a check can tell), and then says so */
    static const struct { const char *sql; bool noticed, said; } ways[] = {
        {"UPDATE %s_data SET block=x'00000000ffffffff' WHERE id=10", true, true},       /* what segments there are */
        {"UPDATE %s_data SET block=x'0000000001010103010101' WHERE id=10", true, true},
        {"DELETE FROM %s_data WHERE id=10", false, false},
        {"DELETE FROM %s_data WHERE id>10", true, true},                                /* the words */
        {"UPDATE %s_data SET block=zeroblob(8) WHERE id>10", false, false},
        {"DELETE FROM %s_data", false, false},
        {"DELETE FROM %s_docsize", false, false},
    };
    enum { ASK, CHANGE, REMOVE, CHECKING, TIDY, ACTS };
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        for (int act = 0; act < ACTS; act++) {
            char *path = file("broken.db"), sql[160];
            unlink(path);
            mem_store *s = open_at(path, NULL);
            int64_t c, id;
            put_many(s, 0, 8, 1, 2, "keeper");
            OK(mem_conversation_new(s, "t", &c, err));
            for (int i = 0; i < 5; i++) OK(mem_message_add(s, c, 0, MEM_USER, "albatross flew by", 17, &id, err));
            for (int k = 0; k < 2; k++) {
                snprintf(sql, sizeof sql, ways[w].sql, k ? "chunk_fts" : "message_fts");
                damage(s, sql);
            }
            mem_close(s);
            s = open_at(path, NULL);
            /* the first act finds it broken, mends it and succeeds */
            if (act == CHANGE) {
                put_many(s, 2, 3, 1, 2, "renewed");
                OK(mem_message_add(s, c, 0, MEM_USER, "albatross again", 15, &id, err));
            } else if (act == REMOVE) {
                mem_document d;
                OK(mem_document_by_path(s, "/notes/3.md", &d, err));
                OK(mem_document_delete(s, d.id, err));
                mem_document_free(&d);
            } else if (act == CHECKING) {
                OK(mem_check(s, err));
            }
            if (act != ASK) OK(mem_tidy(s, NULL, NULL, err));
            mem_hits h;
            OK(mem_find(s, "albatross ", 9, &h, err));
            bool told = ways[w].noticed;
            if (told) CHECK_MSG(h.n == 5 + (act == CHANGE), "way %d act %d: %d", (int)w, act, h.n);
            mem_hits_free(&h);
            if (told) CHECK_MSG(found(s, "keeper1") == 2, "way %d act %d", (int)w, act);
            if (ways[w].said) CHECK_MSG(said(s, "nothing is lost"), "way %d act %d", (int)w, act);
            OK(mem_check(s, err));
            OK(mem_find(s, "albatross ", 9, &h, err));
            CHECK_MSG(h.n == 5 + (act == CHANGE), "way %d act %d: %d after the check", (int)w, act, h.n);
            mem_hits_free(&h);
            CHECK_INT(found(s, "keeper1"), 2);
            CHECK_INT(found(s, "keeper3"), act == REMOVE ? 0 : 2);
            CHECK_INT(found(s, "renewed2"), act == CHANGE ? 2 : 0);
            mem_close(s);
        }
}

/* ---- what a change costs ---- */
/* merged: of the rows, those of steps that merge an index. */
struct cost { int64_t statements, rows, most, merged; int steps; bool merges; };
static void on_statement(void *user, const char *sql)
{
    struct cost *c = user;
    c->statements++;
    c->merges |= strstr(sql, "VALUES('merge'") != NULL;
}
static void on_unlocked(void *user, mem_store *s, int64_t rows)
{
    struct cost *c = user;
    c->rows += rows;
    c->merged += c->merges ? rows : 0;
    c->merges = false;
    c->steps++;
    if (rows > c->most) c->most = rows;
}

/* Every step-th document has another passage `part` than it had; `more`: behind its n passages, else instead of one. */
static void edit_many(mem_store *s, int from, int to, int step, int n, const char *word, int part, const char *other, bool more)
{
    mem_bulk *b = mem_bulk_new(s, NULL, NULL);
    for (int i = from; i < to; i += step) {
        mem_document d, e;
        mem_chunk *c, *o;
        make(i, n, word, &d, &c);
        make(i, part + 1, other, &e, &o);
        mem_chunk was = c[part];
        o[part].offset = more ? c[n - 1].offset + c[n - 1].n : was.offset;
        c[more ? n : part] = o[part];
        for (int k = part + 1; !more && k < n; k++) c[k].offset += o[part].n - was.n;
        OK(mem_bulk_put(b, &d, c, n + more, err));
        c[part] = was;
        unmake(&d, c, n);
        unmake(&e, o, part + 1);
    }
    OK(mem_bulk_flush(b, err));
    mem_bulk_free(b);
}

/* What a change costs at once and what it leaves owed, in rows and as a share of adding all: the removal of old rows, and
 * the merge that clears their words out of the index, which is the whole index once, however few are removed. */
static struct cost measure(mem_store *s, struct cost *c, struct cost *owed, const struct cost *add, const char *what)
{
    int64_t from = q_now_ns();
    struct cost now = *c;
    OK(mem_tidy(s, NULL, NULL, err));
    double all = (double)(add ? add->rows : now.rows);
    *owed = (struct cost){.rows = c->rows - now.rows - c->merged, .merged = c->merged};
    printf("# %s: %lld rows (%.3f); owed %lld (%.3f), and %lld (%.3f) of merging; %.0f ms\n", what, (long long)now.rows,
           (double)now.rows / all, (long long)owed->rows, (double)owed->rows / all, (long long)owed->merged, (double)owed->merged / all, (double)(q_now_ns() - from) / 1e6);
    *c = (struct cost){0};
    return now;
}

static void a_few_changed_files_cost_a_few(void)
{
    struct cost c = {0}, owed = {0};
    store_watch w = {.user = &c, .statement = on_statement, .unlocked = on_unlocked};
    mem_store *s = open_at(file("few.db"), &w);
    c = (struct cost){0};
    put_many(s, 0, 400, 1, 4, "first");
    struct cost add = measure(s, &c, &owed, NULL, "400 files");
    CHECK_INT(owed.rows + owed.merged, 0);

    /* a passage of each four is another one: nothing of the other three is written again but their places */
    edit_many(s, 0, 400, 10, 4, "first", 1, "edited", false);
    int64_t id = raw(s, "SELECT id FROM chunk WHERE text LIKE 'first10 part2%'"), pages = raw(s, "SELECT count(*) FROM chunk_fts_data");
    struct cost edit = measure(s, &c, &owed, &add, "40 edited");
    /* of a passage each different word is a row of postings, and adding many at once shares some of those */
    CHECK_MSG(edit.rows * 100 <= add.rows * 8, "%lld", (long long)edit.rows);
    CHECK_MSG((edit.rows + owed.rows) * 100 < add.rows * 14, "%lld", (long long)(edit.rows + owed.rows));
    CHECK_MSG(owed.merged <= 5 * pages, "%lld rows for %lld pages", (long long)owed.merged, (long long)pages);
    CHECK_INT(found(s, "first10"), 3);
    CHECK_INT(found(s, "edited10"), 1);
    CHECK_INT(raw(s, "SELECT id FROM chunk WHERE text LIKE 'first10 part2%'"), id);
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk"), 1600);
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk a JOIN chunk b ON a.document=b.document AND b.ordinal=a.ordinal+1"
                     " WHERE b.start<>a.start+length(CAST(a.text AS BLOB))"), 0);
    c = (struct cost){0};

    /* one passage more: no word goes, so nothing is to be cleared out of the index */
    edit_many(s, 1, 400, 10, 4, "first", 1, "more", true);
    struct cost more = measure(s, &c, &owed, &add, "40 continued");
    CHECK_MSG((more.rows + owed.rows) * 100 < add.rows * 9, "%lld", (long long)(more.rows + owed.rows));
    CHECK_INT(owed.merged, 0);
    CHECK_INT(found(s, "first11"), 4);
    CHECK_INT(found(s, "more11"), 1);
    c = (struct cost){0};

    /* every word is another one: a tenth of the files is a tenth of the work, and a word in each old row */
    put_many(s, 2, 400, 10, 4, "second");
    pages = raw(s, "SELECT count(*) FROM chunk_fts_data");
    struct cost change = measure(s, &c, &owed, &add, "40 rewritten");
    CHECK_MSG(change.rows <= add.rows * 12 / 100 + 40 + 4, "%lld", (long long)change.rows);     /* SPEED.md: less is not to be had */
    CHECK_MSG(owed.rows * 100 <= add.rows * 14, "%lld", (long long)owed.rows);
    CHECK_MSG(owed.merged <= 5 * pages, "%lld rows for %lld pages", (long long)owed.merged, (long long)pages);
    CHECK_INT(found(s, "first12"), 0);
    CHECK_INT(found(s, "second12"), 4);
    CHECK_INT(found(s, "first13"), 4);
    OK(mem_check(s, err));
    mem_close(s);
}

/* ---- beside others ---- */
struct beside { struct cost cost; int64_t conversation, find_ns; int put, inside, found, turns, most_turns; mem_store *other; bool on; };

/* At every step of bulk work somebody asks something, and it is on the disk before the work goes on. */
static void ask_between(void *user, mem_store *s)
{
    struct beside *b = user;
    int64_t id;
    if (!b->on || b->put >= 200) return;
    b->on = false;                                          /* its own steps are not of the bulk */
    OK(mem_message_add(s, b->conversation, 0, MEM_USER, "a question between", 18, &id, err));
    b->put++;
    mem_message m;
    if (b->other) {
        OK(mem_message_get(b->other, id, &m, err));         /* another connection sees it: no transaction holds it back */
        b->inside += strcmp(m.text ? m.text : "", "a question between") == 0;
        mem_message_free(&m);
    }
    mem_hits h;
    int64_t from = q_now_ns();
    b->turns = 0;
    OK(mem_find(s, "question ", 50, &h, err));               /* finds what was said, and stands in the queue how often? */
    b->found += h.n > 0;
    mem_hits_free(&h);
    if (b->turns > b->most_turns) b->most_turns = b->turns;
    if (q_now_ns() - from > b->find_ns) b->find_ns = q_now_ns() - from;
    b->on = true;
}

static void beside_unlocked(void *user, mem_store *s, int64_t rows)
{
    struct beside *b = user;
    b->turns++;
    if (b->on) on_unlocked(&b->cost, s, rows);
}

static void others_do_not_wait_for_bulk_work(void)
{
    struct beside b = {0};
    store_watch w = {.user = &b, .unlocked = beside_unlocked, .between = ask_between};
    char *path = file("beside.db");
    mem_store *s = open_at(path, &w);
    OK(mem_conversation_new(s, "t", &b.conversation, err));
    b.other = open_at(path, NULL);
    b.on = true;
    put_many(s, 0, 400, 1, 3, "small");
    put_many(s, 1000, 1001, 1, 3000, "large");
    struct cost adding = b.cost;
    CHECK_MSG(b.put >= 55, "%d", b.put);
    CHECK_INT(b.inside, b.put);
    b.cost = (struct cost){0};
    int asked = b.put;
    mem_document d;
    OK(mem_document_by_path(s, "/notes/1000.md", &d, err));
    OK(mem_document_delete(s, d.id, err));
    mem_document_free(&d);
    OK(mem_tidy(s, NULL, NULL, err));
    printf("# adding: %d steps of at most %lld rows; removing: %d of at most %lld; %d questions between\n", adding.steps, (long long)adding.most,
           b.cost.steps, (long long)b.cost.most, b.put);
    printf("# a look-up between takes %d turns at most, %.1f ms\n", b.most_turns, (double)b.find_ns / 1e6);
    CHECK_INT(b.found, b.put);
    CHECK_MSG(b.most_turns <= 2, "%d", b.most_turns);       /* it waits for so many steps of others, however long they work */
    CHECK_MSG(b.put > asked + 40, "%d", b.put - asked);
    CHECK_INT(b.inside, b.put);
    /* a step: 64 passages in four tables and two indexes, what FTS5 merges behind them, and a small row a different word or name */
    CHECK_MSG(adding.most <= 2600, "%lld", (long long)adding.most);
    CHECK_MSG(b.cost.most <= 2600, "%lld", (long long)b.cost.most);
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk"), 1200);
    b.on = false;
    OK(mem_check(s, err));
    mem_close(b.other);
    mem_close(s);
}

static void *wait_turn(void *user)
{
    mem_store *s = user;
    int64_t n;
    char e[Q_ERRLEN];
    store_lock(s);
    int rc = store_int(s, &n, e, "SELECT 1", "");
    store_unlock(s);
    return (void *)(intptr_t)rc;
}

/* Whoever comes first is served first, however often bulk work comes again. */
static void the_lock_is_a_queue(void)
{
    mem_store *s = open_at(":memory:", NULL);
    store_lock(s);
    pthread_t t;
    uint64_t before = s->next;
    pthread_create(&t, NULL, wait_turn, s);
    for (int i = 0; i < 30000; i++) {                       /* until it stands in the queue */
        pthread_mutex_lock(&s->mutex);
        bool there = s->next > before;
        pthread_mutex_unlock(&s->mutex);
        if (there) break;
        usleep(1000);
    }
    CHECK_INT(s->next, before + 1);
    store_unlock(s);
    store_lock(s);                                          /* at once again: but the other stood there before */
    CHECK_INT(s->serving, before + 1);
    store_unlock(s);
    void *rc;
    pthread_join(t, &rc);
    CHECK((intptr_t)rc == Q_OK);
    mem_close(s);
}

/* ---- never half ---- */
struct half { int steps, stop_at, wrong; bool removing; };

static void look_for_half(void *user, mem_store *s)
{
    struct half *h = user;
    h->steps++;
    int n = found(s, "huge7"), old = found(s, "old7");
    mem_document d;
    char e[Q_ERRLEN];
    int rc = mem_document_by_path(s, "/notes/7.md", &d, e);
    /* while it is taken in the old version is whole; while it is removed there is nothing */
    bool fine = h->removing ? n == 0 && old == 0 && rc == Q_NOTFOUND : n == 0 && old == 1 && rc == Q_OK && d.n_chunks == 1;
    if (rc == Q_OK) mem_document_free(&d);
    mem_documents l;
    OK(mem_document_list(s, &l, e));
    fine &= l.n == !h->removing;
    mem_documents_free(&l);
    h->wrong += !fine;
}

static bool go_until(void *user)
{
    struct half *h = user;
    return h->stop_at == 0 || h->steps < h->stop_at;
}

static void half_a_document_is_never_seen(void)
{
    enum { HUGE_N = 700 };
    /* stopped at each of its steps, and not at all (0) */
    for (int stop = 0; stop <= 12; stop++) {
        struct half h = {.stop_at = stop};
        store_watch w = {.user = &h, .between = look_for_half};
        char *path = file("half.db");
        unlink(path);
        mem_store *s = open_at(path, NULL);
        put_many(s, 7, 8, 1, 1, "old");
        s->watch = &w;
        mem_bulk *b = mem_bulk_new(s, go_until, &h);
        int rc = put(b, 7, HUGE_N, "huge");
        mem_bulk_free(b);
        CHECK_INT(h.wrong, 0);
        CHECK_MSG(rc == (h.steps < stop || stop == 0 ? Q_OK : Q_CANCEL), "stopped at %d of %d: %d", stop, h.steps, rc);
        int n = rc == Q_OK ? HUGE_N : 0;
        s->watch = NULL;
        CHECK_INT(found(s, "huge7"), n);
        CHECK_INT(found(s, "old7"), n ? 0 : 1);
        OK(mem_tidy(s, NULL, NULL, err));
        CHECK_INT(raw(s, "SELECT count(*) FROM chunk"), n ? HUGE_N : 1);
        CHECK_INT(raw(s, "SELECT count(*) FROM document"), 1);
        if (stop == 0) {
            printf("# %d steps\n", h.steps);
            CHECK(h.steps >= 10);
        }
        mem_close(s);
    }
    /* removed: stopped at a step, seen by nobody, gone on with at the next start */
    struct half h = {.removing = true, .stop_at = 3};
    store_watch w = {.user = &h, .between = look_for_half};
    char *path = file("half.db");
    unlink(path);
    mem_store *s = open_at(path, NULL);
    put_many(s, 7, 8, 1, HUGE_N, "huge");
    mem_document d;
    OK(mem_document_by_path(s, "/notes/7.md", &d, err));
    OK(mem_document_delete(s, d.id, err));
    mem_document_free(&d);
    s->watch = &w;
    CHECK_INT(mem_tidy(s, go_until, &h, err), Q_CANCEL);
    CHECK_INT(h.wrong, 0);
    CHECK_INT(h.steps, 3);
    mem_close(s);
    s = open_at(path, NULL);
    CHECK(raw(s, "SELECT count(*) FROM chunk") > 400);
    h.stop_at = 0;
    s->watch = &w;
    OK(mem_tidy(s, go_until, &h, err));
    CHECK_INT(h.wrong, 0);
    s->watch = NULL;
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk"), 0);
    CHECK_INT(raw(s, "SELECT count(*) FROM document"), 0);
    OK(mem_check(s, err));
    mem_close(s);
    CHECK(!bytes_hold(path, "huge7") && !bytes_hold(path, "keepers"));
}

/* Killed at each of its steps while it takes a document in and while it removes one: the next start ends it. */
struct kill_at { int steps, at; };
static void die_at(void *user, mem_store *s)
{
    struct kill_at *k = user;
    if (++k->steps == k->at) kill(getpid(), SIGKILL);
}

static void a_kill_between_two_steps_leaves_nothing_half(void)
{
    char *path = file("killed.db");
    for (int at = 1; at <= 14; at++) {
        unlink(path);
        mem_store *s = open_at(path, NULL);
        put_many(s, 7, 8, 1, 1, "old");
        mem_close(s);
        pid_t p = fork();
        if (p == 0) {
            struct kill_at k = {.at = at};
            store_watch w = {.user = &k, .between = die_at};
            s = open_at(path, &w);
            put_many(s, 7, 8, 1, 300, "huge");
            mem_tidy(s, NULL, NULL, err);
            mem_document d;
            if (mem_document_by_path(s, "/notes/7.md", &d, err) == Q_OK) mem_document_delete(s, d.id, err);
            mem_tidy(s, NULL, NULL, err);
            _exit(0);
        }
        int st;
        waitpid(p, &st, 0);
        CHECK_MSG(WIFSIGNALED(st), "step %d did not come", at);
        s = open_at(path, NULL);
        int n = found(s, "huge7"), old = found(s, "old7");
        CHECK_MSG((n == 0 && old == 1) || (n == 300 && old == 0) || (n == 0 && old == 0), "step %d: %d and %d", at, n, old);
        OK(mem_tidy(s, NULL, NULL, err));
        CHECK_INT(raw(s, "SELECT count(*) FROM chunk"), n + old);
        CHECK_INT(raw(s, "SELECT count(*) FROM document"), n + old > 0);
        OK(mem_check(s, err));
        mem_close(s);
    }
}

/* ---- several processes ---- */
struct words { const char *path; int at, n, busy, opened; bool again; };

/* Before the at-th statement of an opening another store, as another process would, puts its first words into the file. */
static void say_before(void *user, const char *sql)
{
    struct words *w = user;
    if (w->again || ++w->n != w->at) return;
    w->again = true;
    pid_t p = fork();
    if (p == 0) {
        mem_store *s = NULL;
        char e[Q_ERRLEN];
        int64_t c, id;
        sqlite3 *db = NULL;
        /* the opening may hold the file: then the words cannot come now */
        int rc = sqlite3_open_v2(w->path, &db, SQLITE_OPEN_READWRITE, NULL);
        if (rc == SQLITE_OK) rc = sqlite3_exec(db, "BEGIN EXCLUSIVE; ROLLBACK", NULL, NULL, NULL);
        sqlite3_close(db);
        if ((rc & 0xff) == SQLITE_BUSY) _exit(1);
        if (mem_open(w->path, &s, e) || mem_conversation_new(s, "t", &c, e) || mem_message_add(s, c, 0, MEM_USER, "the first words", 15, &id, e)) {
            fprintf(stderr, "%s\n", e);
            _exit(2);
        }
        mem_chunk k = {0, 11, "first words", NULL};
        mem_document d = {.path = (char *)"/first.md", .title = (char *)"first.md"};
        if (mem_document_put(s, &d, &k, 1, &id, e)) _exit(3);
        _exit(0);
    }
    int st;
    waitpid(p, &st, 0);
    CHECK(WIFEXITED(st) && WEXITSTATUS(st) <= 1);
    w->busy += WIFEXITED(st) && WEXITSTATUS(st) == 1;
    w->opened += WIFEXITED(st) && WEXITSTATUS(st) == 0;
}

static void a_file_opens_while_its_first_words_come(void)
{
    int busy = 0, came = 0, statements = 0;
    for (int made = 0; made < 2; made++)                    /* into no file yet, and into one that is made and empty */
        for (int at = 1;; at++) {
            struct words w = {.path = file("first.db"), .at = at};
            store_watch watch = {.user = &w, .statement = say_before};
            unlink(w.path);
            if (made) mem_close(open_at(w.path, NULL));
            mem_store *s = NULL;
            int rc = store_open(w.path, &watch, &s, err);
            CHECK_MSG(rc == Q_OK, "words before statement %d: %s", at, err);
            if (!s || test_bad) return;
            s->watch = NULL;
            if (w.opened) {
                CHECK_INT(raw(s, "SELECT count(*) FROM message"), 1);
                CHECK_INT(found(s, "first"), 1);
            }
            OK(mem_check(s, err));
            mem_close(s);
            busy += w.busy;
            came += w.opened;
            if (!w.again) break;                            /* there are no more statements */
            statements++;
        }
    printf("# before each of %d statements: %d times the words came, %d times the file was held\n", statements, came, busy);
    CHECK(came >= 6);
    CHECK(statements > 20);
}

static void two_processes_write_one_file(void)
{
    enum { EACH = 60 };
    char *path = file("two.db");
    mem_store *s = open_at(path, NULL);
    int64_t c;
    OK(mem_conversation_new(s, "t", &c, err));
    mem_close(s);
    /* turn about: each waits for the other's byte before it writes, so both write beside an open store of the other */
    int to[2][2];
    CHECK(pipe(to[0]) == 0 && pipe(to[1]) == 0);
    pid_t p[2];
    for (int k = 0; k < 2; k++)
        if ((p[k] = fork()) == 0) {
            int64_t id;
            char byte = 1;
            if (mem_open(path, &s, err)) _exit(2);
            for (int i = 0; i < EACH; i++) {
                if (read(to[k][0], &byte, 1) != 1) _exit(4);
                if (mem_message_add(s, c, 0, MEM_USER, "from one of two", 15, &id, err)) { fprintf(stderr, "%s\n", err); _exit(3); }
                if (write(to[!k][1], &byte, 1) != 1) _exit(5);
            }
            mem_close(s);
            _exit(0);
        }
    char byte = 1;
    CHECK(write(to[0][1], &byte, 1) == 1);
    for (int k = 0; k < 2; k++) {
        int st;
        waitpid(p[k], &st, 0);
        CHECK_INT(st, 0);
    }
    for (int k = 0; k < 4; k++) close(to[k / 2][k % 2]);
    s = open_at(path, NULL);
    CHECK_INT(raw(s, "SELECT count(*) FROM message"), 2 * EACH);
    OK(mem_check(s, err));
    mem_close(s);
}

int main(void)
{
    if (!memory_begin("work")) return 1;
    RUN(thousands_of_changes_leave_a_whole_memory);
    RUN(an_index_of_many_levels_is_kept_alive);
    RUN(a_broken_index_is_made_again_from_the_text);
    RUN(a_few_changed_files_cost_a_few);
    RUN(others_do_not_wait_for_bulk_work);
    RUN(the_lock_is_a_queue);
    RUN(half_a_document_is_never_seen);
    RUN(a_kill_between_two_steps_leaves_nothing_half);
    RUN(a_file_opens_while_its_first_words_come);
    RUN(two_processes_write_one_file);
    return memory_end();
}
