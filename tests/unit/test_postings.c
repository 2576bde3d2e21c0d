/* memory/postings: through everything that adds, changes and removes, they say what the texts say, to the place; a check
 * finds what does not and makes it again; nothing of what was removed stays in them. */
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"

static uint64_t seed = 88172645463325252u;
static unsigned dice(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static const char *const vocabulary[] = {"heron", "kestrels", "ferry", "rowing", "snake_case", "C++", "ёжик", "бегают", "apricots", "17", "mill's", "xenon"};
enum { WORDS = sizeof vocabulary / sizeof *vocabulary, BUSY = 0 };

/* Word BUSY is in nearly every text, so that its blocks are many. */
static char *text_of(unsigned words)
{
    q_buf b = {0};
    q_buf_puts(&b, dice(8) ? vocabulary[BUSY] : "so");
    for (unsigned i = 0; i < words; i++) q_buf_printf(&b, "%s%s", dice(9) ? " " : ". ", vocabulary[dice(WORDS)]);
    if (dice(3) == 0) q_buf_putc(&b, '?');
    return q_buf_take(&b);
}

/* ---- what the texts say ---- */
struct counting { const char *stem; int field, *tf, length; };

static bool count_word(void *user, const mem_word *w)
{
    struct counting *c = user;
    if (w->flags & MEM_WORD_EXACT) return true;
    if (!(w->flags & MEM_WORD_SAME)) c->length++;
    if (strcmp(w->stem, c->stem) == 0) c->tf[c->field]++;
    return true;
}

static bool first_stem(void *user, const mem_word *w)
{
    *(char **)user = q_strdup(w->stem);
    return false;
}

/* Every posting of a stem, beside what a reading of all texts gives. */
static void same_as_the_texts(mem_store *s, enum mem_kind k, const char *stem)
{
    mem_posting *v;
    int n, at = 0, bad = 0;
    OK(mem_postings(s, k, stem, &v, &n, err));
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, k == MEM_CHUNK ? "SELECT id, name, heading, text FROM chunk ORDER BY id" :
                                   "SELECT id, '', '', text FROM message WHERE indexed=1 ORDER BY id", "");
    while (st && store_step(s, st, err) == 1) {
        int tf[3] = {0};
        struct counting c = {stem, 0, tf, 0};
        for (; c.field < 3; c.field++) {
            const char *t = (const char *)sqlite3_column_text(st, c.field + 1);
            mem_words(t, strlen(t), count_word, &c);
        }
        if (!tf[0] && !tf[1] && !tf[2]) continue;
        bad += at >= n || v[at].id != sqlite3_column_int64(st, 0) || v[at].name != tf[0] || v[at].heading != tf[1] || v[at].text != tf[2] || v[at].length != c.length;
        at++;
    }
    sqlite3_finalize(st);
    store_unlock(s);
    CHECK_MSG(bad == 0 && at == n, "kind %d, \"%s\": %d wrong, %d of %d", (int)k, stem, bad, at, n);
    free(v);
}

static void all_the_same(mem_store *s)
{
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT; k++)
        for (int i = 0; i < WORDS && !test_bad; i++) {
            char *stem = NULL;
            mem_words(vocabulary[i], strlen(vocabulary[i]), first_stem, &stem);
            same_as_the_texts(s, k, stem);
            free(stem);
        }
    same_as_the_texts(s, MEM_CHUNK, "snake_case");
}

/* ---- acts ---- */
static void put_some(mem_bulk *b)
{
    int n = 1 + (int)dice(9);
    char path[32], *title = text_of(1);
    mem_chunk c[10];
    snprintf(path, sizeof path, "/notes/%u", dice(40));
    for (int i = 0; i < n; i++) {
        char *t = text_of(dice(30));
        c[i] = (mem_chunk){(size_t)i * 100, strlen(t), t, text_of(dice(3))};
    }
    mem_document d = {.path = path, .title = title, .name = title, .trust = MEM_TRUST_OWN};
    OK(mem_bulk_put(b, &d, c, n, err));
    for (int i = 0; i < n; i++) {
        free((char *)c[i].text);
        free(c[i].heading);
    }
    free(title);
}

static void say_some(mem_store *s, int64_t conversation, int64_t *leaf)
{
    char *t = text_of(dice(20)), *u = text_of(dice(20));
    if (dice(2)) {
        int64_t parent = dice(9) ? *leaf : 0;
        OK(mem_message_add(s, conversation, parent, MEM_USER, t, strlen(t), leaf, err));
    } else {
        int64_t id;
        OK(mem_reply_begin(s, conversation, *leaf, "m", 1, 1, "{}", "", &id, err));
        OK(mem_reply_save(s, id, t, strlen(t), "", 0, err));
        OK(mem_reply_end(s, id, MEM_DONE, "eos", u, strlen(u), "", 0, NULL, NULL, err));
        if (dice(2)) OK(mem_reply_begin(s, conversation, *leaf, "m", 1, 1, "{}", "", leaf, err));
    }
    free(t);
    free(u);
}

static void remove_one(mem_store *s)
{
    mem_documents l;
    OK(mem_document_list(s, &l, err));
    if (l.n > 10) OK(mem_document_delete(s, l.v[dice((unsigned)l.n)].id, err));
    mem_documents_free(&l);
    if (dice(2)) OK(mem_tidy(s, NULL, NULL, err));
}

static mem_store *filled(const char *path, int rounds)
{
    mem_store *s = NULL;
    OK(mem_open(path, &s, err));
    if (!s) exit(1);
    int64_t conversation[3], leaf[3] = {0};
    for (int i = 0; i < 3; i++) OK(mem_conversation_new(s, "t", &conversation[i], err));
    for (int i = 0; i < rounds && !test_bad; i++) {
        mem_bulk *b = mem_bulk_new(s, NULL, NULL);
        for (unsigned n = dice(4); n > 0; n--) put_some(b);
        OK(mem_bulk_flush(b, err));
        mem_bulk_free(b);
        unsigned at = dice(3);
        say_some(s, conversation[at], &leaf[at]);
        if (dice(5) == 0) remove_one(s);
        if (i % 40 == 39) all_the_same(s);
    }
    OK(mem_conversation_delete(s, conversation[2], err));
    OK(mem_tidy(s, NULL, NULL, err));
    all_the_same(s);
    return s;
}

static void quiet_check(mem_store *s)
{
    OK(mem_check(s, err));
    char *note = mem_note(s);
    CHECK_MSG(!note, "%s", note ? note : "");
    free(note);
}

static int64_t raw(mem_store *s, const char *sql)
{
    int64_t n = -1;
    store_lock(s);
    store_int(s, &n, err, sql, "");
    store_unlock(s);
    return n;
}

static void they_say_what_the_texts_say(void)
{
    mem_store *s = filled(":memory:", 240);
    CHECK_MSG(raw(s, "SELECT count(*) FROM chunk_posting WHERE word='heron'") > 3, "one block only");
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk_posting WHERE first>last OR length(data)>4096"), 0);
    int64_t passages, words;
    OK(mem_extent(s, MEM_CHUNK, &passages, &words, err));
    CHECK_INT(passages, raw(s, "SELECT count(*) FROM chunk"));
    CHECK(words > passages);
    mem_heard *h;
    int n;
    OK(mem_heard_all(s, &h, &n, err));
    CHECK_INT(n, raw(s, "SELECT count(*) FROM message WHERE indexed=1"));
    for (int i = 0; i < n; i++) CHECK(h[i].length > 0 && h[i].id > h[i].prev && (i == 0 || h[i].id > h[i - 1].id));
    free(h);
    quiet_check(s);
    mem_close(s);
}

/* What goes wrong with them is seen by a check and made again; until then a search only finds less. */
static void a_check_makes_broken_ones_again(void)
{
    static const char *const ways[] = {
        "DELETE FROM chunk_posting WHERE word='heron'", "DELETE FROM message_posting WHERE word='kestrel'", "UPDATE chunk_posting SET data=x'ffffffffffffffffffff'",
        "UPDATE chunk_posting SET data=zeroblob(9) WHERE word='xenon'", "UPDATE message_posting SET last=last+1 WHERE word='heron'",
        "UPDATE chunk_posting SET data=substr(data, 1, length(data)-1)", "UPDATE extent SET words=words+1 WHERE kind=0", "DELETE FROM extent",
        "UPDATE message_posting SET data=x''", "DELETE FROM heard WHERE message=(SELECT min(message) FROM heard)", "UPDATE heard SET conversation=9", "UPDATE chunk_posting SET word='other' WHERE word='xenon'",
        "UPDATE message_posting SET data=x'7f8080808080808080808080800000'", "UPDATE chunk_posting SET first=-9223372036854775808, last=0 WHERE word='ferri'",
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways && !test_bad; i++) {
        seed = 99 + i;
        mem_store *s = filled(":memory:", 12);
        store_lock(s);
        CHECK_MSG(sqlite3_exec(s->db, ways[i], NULL, NULL, NULL) == SQLITE_OK && sqlite3_changes(s->db) > 0, "%s: %s", ways[i], sqlite3_errmsg(s->db));
        store_unlock(s);
        mem_posting *v;
        int n;
        for (int w = 0; w < WORDS; w++) {
            OK(mem_postings(s, MEM_CHUNK, vocabulary[w], &v, &n, err));
            free(v);
        }
        mem_document d = {.path = (char *)"/late", .title = (char *)"late", .name = (char *)"heron"};
        mem_chunk c = {0, 5, "xenon", (char *)"ferry"};
        int64_t id;
        OK(mem_document_put(s, &d, &c, 1, &id, err));
        OK(mem_check(s, err));
        char *note = mem_note(s);
        CHECK_MSG(note && strstr(note, "nothing is lost"), "%s: not noticed", ways[i]);
        free(note);
        all_the_same(s);
        quiet_check(s);
        if (test_bad) printf("# %s\n", ways[i]);
        mem_close(s);
    }
}

/* After a removal and the tidying no byte of a word that only it held is in the file. */
static void nothing_of_what_is_removed_stays(void)
{
    static const char *const secret[] = {"quetzalcoatl", "popocatepetl"};
    char *path = file("gone.db");
    seed = 5;
    mem_store *s = filled(path, 20);
    int64_t id, c, m;
    mem_document d = {.path = (char *)"/secret", .title = (char *)"secret", .name = (char *)"secret"};
    mem_chunk k = {0, strlen(secret[0]), secret[0], (char *)""};
    OK(mem_document_put(s, &d, &k, 1, &id, err));
    OK(mem_conversation_new(s, "t", &c, err));
    OK(mem_message_add(s, c, 0, MEM_USER, secret[1], strlen(secret[1]), &m, err));
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk_posting WHERE word LIKE 'quetzal%'"), 1);
    CHECK_INT(raw(s, "SELECT count(*) FROM message_posting WHERE word LIKE 'popocat%'"), 1);
    OK(mem_document_delete(s, id, err));
    OK(mem_conversation_delete(s, c, err));
    OK(mem_tidy(s, NULL, NULL, err));
    mem_close(s);
    q_buf b = {0};
    OK(q_read_file(path, &b, 1 << 26, err));
    CHECK(!memmem(b.p, b.len, "quetzal", 7) && !memmem(b.p, b.len, "popocat", 7));
    q_buf_free(&b);
}

/* What a damaged file says: no place past what an int holds, no count whose sums do not fit. */
static void numbers_at_their_ends(void)
{
    static const unsigned char twice[] = {0xfd, 0xff, 0xff, 0xff, 0x0f, 0xfd, 0xff, 0xff, 0xff, 0x0f, 0xfd, 0xff, 0xff, 0xff, 0x1f}, zero[] = {0x80, 0x00},
                               all[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    store_block_entry e = {.places = twice, .end = twice + sizeof twice};
    int place = 0, field, n = 0;
    while (store_block_place(&e, &place, &field)) n++;
    CHECK(n == 2 && place > 0);
    e = (store_block_entry){.places = zero, .end = zero + sizeof zero};
    CHECK(!store_block_place(&e, &place, &field));
    e = (store_block_entry){.places = all, .end = all + sizeof all};
    CHECK(!store_block_place(&e, &place, &field));
    static const char *const set[] = {"UPDATE extent SET passages=9223372036854775807, words=9223372036854775807", "UPDATE extent SET passages=-9223372036854775807-1, words=-1"};
    for (size_t i = 0; i < 2; i++) {
        mem_store *s;
        int64_t passages = 5, words = 5, with, of;
        OK(mem_open(":memory:", &s, err));
        store_lock(s);
        OK(store_run(s, NULL, err, set[i], ""));
        store_unlock(s);
        OK(mem_extent(s, MEM_CHUNK, &passages, &words, err));
        OK(mem_frequency(s, MEM_CHUNK, "heron", "heron", 0, &with, &of, err));
        CHECK_INT(passages, i ? 0 : (int64_t)1 << 40);
        CHECK_INT(words, i ? 0 : (int64_t)1 << 40);
        CHECK_INT(of, passages);
        mem_close(s);
    }
}

int main(void)
{
    if (!memory_begin("postings")) return 1;
    RUN(they_say_what_the_texts_say);
    RUN(a_check_makes_broken_ones_again);
    RUN(nothing_of_what_is_removed_stays);
    RUN(numbers_at_their_ends);
    return memory_end();
}
