/* memory/entities: what texts in English and Russian name, and what they do not; it stands in the store as the texts say, through
 * everything that adds, changes and removes; a check makes again what does not; nothing of what was removed stays. */
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"
#include "tests/store_help.h"

static bool gather(void *user, const mem_entity *e)
{
    q_buf *b = user;
    if (b->len) q_buf_puts(b, "; ");
    q_buf_printf(b, "%c %s", e->kind, e->key);
    return true;
}

static void names_are(const char *text, const char *want)
{
    q_buf b = {0};
    q_buf_puts(&b, "");
    mem_entities(text, strlen(text), gather, &b);
    CHECK_MSG(strcmp(b.p, want) == 0, "%s\n#   gives %s\n#   wants %s", text, b.p, want);
    q_buf_free(&b);
}

static void english_names(void)
{
    static const struct { const char *text, *want; } rows[] = {
        {"We saw Lofoten and the Barents Sea.", "n lofoten; n barent sea"},
        {"It was the University of Oxford, not the Museum of the Moving Image.", "n univers of oxford; n museum of the move imag"},
        {"She met Barack Obama. Obama left; they saw Obama's dog.", "n barack obama; n barack obama; n barack obama"},
        {"They know Barack Obama and Michelle Obama, and only Obama spoke.", "n barack obama; n michell obama; n obama"},
        {"The works of J. R. R. Tolkien and of Dr. Watson.", "n tolkien; n watson"},
        {"He read \"Lord of the Flies\" and “The Lord of the Rings”.", "n lord of the ring; n lord of the fli"},
        {"NASA sent Apollo 11 and Simon & Schuster wrote of it.", "n nasa; n apollo 11; n simon schuster"},
        {"I liked YouTube and the Jean-Luc Picard of old.", "n youtube; n jean luc picard"},
        {"our solar panel is cheap; a solar panel is light", "p solar panel; p solar panel"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) names_are(rows[i].text, rows[i].want);
}

static void russian_names(void)
{
    static const struct { const char *text, *want; } rows[] = {
        {"Мы были на Байкале. Байкал глубок, у Байкала ветер.", "n байкал; n байкал; n байкал"},
        {"В книге Михаил Ломоносов молод. О Ломоносове писали, к Ломоносову ехали.", "n михаил ломоносов; n михаил ломоносов; n михаил ломоносов"},
        {"Он читал «Войну и мир» и роман «Война и мир».", "n войн и мир; n войн и мир"},
        {"Поезд шёл из Ростова-на-Дону в Нью-Йорк.", "n ростов на дон; n нь йорк"},
        {"Письма Андрея и Марии, Казани и Достоевского; мы с Андреем, о Казани, и он Андрей, а с ней Мария и Максим, у Максима.",
         "n андр; n мар; n казан; n достоевск; n андр; n казан; n андр; n мар; n макс; n макс"},
        {"Договор подписали МГУ и США.", "n мгу; n сша"},
        {"Стихи написал А. С. Пушкин, их любил Иванов.", "n пушкин; n иванов"},
        {"в саду растёт белая сирень, а белая сирень пахнет", "p бел сирен; p бел сирен"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) names_are(rows[i].text, rows[i].want);
}

static void identifiers_dates_and_addresses(void)
{
    static const struct { const char *text, *want; } rows[] = {
        {"we use C#, c++, v3.45.1, foo_bar, getUserName, x86 and .NET", "i c#; i c++; i v3.45.1; i foo_bar; i getusername; i x86; i .net"},
        {"on 3 May 1998, May 3rd, 1998, 1998-05-03 or 03.05.1998", "d 1998-05-03; d 1998-05-03; d 1998-05-03; d 1998-05-03"},
        {"it began in May 1998 and on the 4th of July; in 1776 too", "d 1998-05; d --07-04; d 1776"},
        {"это было 3 мая 1998 года, в мае 1998 и 7 ноября", "d 1998-05-03; d 1998-05; d --11-07"},
        {"write to Anna.Ivanova@example.org or see https://example.com/Map.", "a anna.ivanova@example.org; a https://example.com/map"},
        {"it lies in /usr/lib/libx.so and in src/main.c", "a /usr/lib/libx.so; a src/main.c"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) names_are(rows[i].text, rows[i].want);
}

static void what_is_no_name(void)
{
    static const char *const rows[] = {
        "Yesterday we went home. Running is fun. \"Come here!\" she said.",
        "Вчера было холодно. Сегодня тепло. «Иди сюда!» — сказал он.",
        "THIS IS ALL VERY LOUD AND SAYS NOTHING. PLEASE READ THE WHOLE THING.",
        "ВНИМАНИЕ ВСЕМ КТО ЕЩЁ НЕ СПИТ",
        "if (Found) { Left = Right; return Done(Left); } /* The Thing Itself */",
        "I think it may 3 times be, and you march 2 miles; on Monday or in May.",
        "a price of 3.14 or 1,200 on the 2nd, e.g. and/or i.e. the end.Next comes 05/03/2004",
        "IMPORTANT: I and You. WARNING.", "", " ", "\xFF\xFE\xC3", "...", "«»\"\"",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) names_are(rows[i], "");
}

static bool count_mention(void *user, const mem_entity *e)
{
    int *n = user;
    return ++*n < 1000 && e->key[0];
}

static void a_text_is_bounded(void)
{
    q_buf b = {0};
    int n = 0;
    for (int i = 0; i < 20000; i++) q_buf_printf(&b, "we saw Name%c%c with foo_%d; ", 'a' + i % 26, 'a' + i / 26 % 26, i);
    mem_entities(b.p, b.len, count_mention, &n);
    CHECK_MSG(n > 20 && n <= 96, "%d", n);
    q_buf_clear(&b);
    for (int i = 0; i < 100000; i++) q_buf_puts(&b, i % 3 ? "A" : "\"");
    n = 0;
    mem_entities(b.p, b.len, count_mention, &n);
    CHECK_MSG(n <= 96, "%d", n);
    q_buf_free(&b);
}

static bool stop_at_once(void *user, const mem_entity *e)
{
    ++*(int *)user;
    return e == NULL;
}

static void whoever_asks_may_stop(void)
{
    int n = 0;
    const char *text = "We saw Lofoten, Paris and Rome.";
    mem_entities(text, strlen(text), stop_at_once, &n);
    CHECK_INT(n, 1);
}

/* ---- in the store ---- */
static uint64_t seed = 88172645463325252u;
static unsigned dice(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static const char *const parts[] = {"we saw Lofoten", "and Barack Obama", "with v3.45.1", "on 3 May 1998", "в Байкале", "for Obama", "to me@example.org", "nobody", "at all"};
enum { PARTS = sizeof parts / sizeof *parts };

static char *text_of(unsigned n)
{
    q_buf b = {0};
    q_buf_puts(&b, "so");
    for (unsigned i = 0; i < n; i++) q_buf_printf(&b, " %s", parts[dice(PARTS)]);
    return q_buf_take(&b);
}

struct counting { char word[64]; int tf; };

static bool count_entity(void *user, const mem_entity *e)
{
    struct counting *c = user;
    c->tf += e->kind == c->word[1] && strcmp(e->key, c->word + 2) == 0;
    return true;
}

/* Every posting of an entity, and every row, beside what a reading of all texts gives. */
static void same_as_the_texts(mem_store *s, enum mem_kind k, char kind, const char *key)
{
    mem_posting *v;
    int n, at = 0, bad = 0;
    struct counting c = {.word = {STORE_ENTITY, kind}};
    snprintf(c.word + 2, sizeof c.word - 2, "%s", key);
    char *row = q_printf("\n%s\n", c.word + 1);
    OK(mem_postings(s, k, c.word, &v, &n, err));
    store_lock(s);
    sqlite3_stmt *st = store_query(s, err, k == MEM_CHUNK ? "SELECT id, text, (SELECT char(10) || data FROM chunk_entity WHERE passage=id) FROM chunk ORDER BY id" :
                                   "SELECT id, text, (SELECT char(10) || data FROM message_entity WHERE passage=id) FROM message WHERE indexed=1 ORDER BY id", "");
    while (st && store_step(s, st, err) == 1) {
        const char *text = (const char *)sqlite3_column_text(st, 1), *data = (const char *)sqlite3_column_text(st, 2);
        c.tf = 0;
        mem_entities(text, strlen(text), count_entity, &c);
        bad += (c.tf > 0) != (data && strstr(data, row) != NULL);
        if (c.tf == 0) continue;
        bad += at >= n || v[at].id != sqlite3_column_int64(st, 0) || v[at].text != c.tf || v[at].heading || v[at].name;
        at++;
    }
    sqlite3_finalize(st);
    store_unlock(s);
    CHECK_MSG(bad == 0 && at == n, "kind %d, %c %s: %d wrong, %d of %d", (int)k, kind, key, bad, at, n);
    free(row);
    free(v);
}

static void all_the_same(mem_store *s)
{
    static const struct { char kind; const char *key; } all[] = {{'n', "lofoten"}, {'n', "barack obama"}, {'n', "obama"}, {'i', "v3.45.1"}, {'d', "1998-05-03"},
                                                                 {'n', "байкал"}, {'a', "me@example.org"}};
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT; k++)
        for (size_t i = 0; i < sizeof all / sizeof *all && !test_bad; i++) same_as_the_texts(s, k, all[i].kind, all[i].key);
}

static void put_some(mem_bulk *b)
{
    int n = 1 + (int)dice(5);
    char path[32];
    mem_chunk c[6];
    snprintf(path, sizeof path, "/notes/%u", dice(20));
    for (int i = 0; i < n; i++) {
        char *t = text_of(dice(9));
        c[i] = (mem_chunk){(size_t)i * 100, strlen(t), t, q_strdup("")};
    }
    mem_document d = {.path = path, .title = path, .trust = MEM_TRUST_OWN};
    OK(mem_bulk_put(b, &d, c, n, err));
    for (int i = 0; i < n; i++) {
        free((char *)c[i].text);
        free(c[i].heading);
    }
}

static mem_store *filled(const char *path, int acts)
{
    mem_store *s;
    int64_t conversation, leaf = 0, id;
    OK(mem_open(path, &s, err));
    OK(mem_conversation_new(s, "t", &conversation, err));
    for (int i = 0; i < acts; i++) {
        mem_bulk *b = mem_bulk_new(s, NULL, NULL);
        for (unsigned k = dice(8); k > 0; k--) put_some(b);
        OK(mem_bulk_flush(b, err));
        mem_bulk_free(b);
        char *t = text_of(dice(9));
        OK(mem_message_add(s, conversation, leaf, MEM_USER, t, strlen(t), &id, err));
        leaf = id;
        free(t);
        if (dice(4) == 0) OK(mem_tidy(s, NULL, NULL, err));
    }
    OK(mem_tidy(s, NULL, NULL, err));
    return s;
}

static void they_come_and_go_with_the_words(void)
{
    mem_store *s = filled(":memory:", 60);
    CHECK(raw(s, "SELECT count(*) FROM chunk_entity") > 20);
    CHECK(raw(s, "SELECT count(*) FROM message_entity") > 20);
    all_the_same(s);
    OK(mem_check(s, err));
    char *note = mem_note(s);
    CHECK_MSG(note == NULL, "%s", note);
    free(note);
    mem_close(s);
}

/* A heading is a name, and so is what a file is called; what stands above either is not. */
static void headings_and_names_of_files(void)
{
    mem_store *s;
    int64_t id;
    const char *text = "nothing is named here";
    mem_chunk c = {0, strlen(text), text, "Waves › The Rayleigh Limit"};
    mem_document d = {.path = "/x", .title = "notes/trip to Hull.md", .name = "notes/trip to Hull.md", .trust = MEM_TRUST_OWN};
    OK(mem_open(":memory:", &s, err));
    OK(mem_document_put(s, &d, &c, 1, &id, err));
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk_entity WHERE data='ntrip to hull' || char(10) || 'nrayleigh limit' || char(10)"), 1);
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk_posting WHERE word=char(1) || 'nrayleigh limit'"), 1);
    OK(mem_check(s, err));
    char *note = mem_note(s);
    CHECK_MSG(note == NULL, "%s", note);
    free(note);
    mem_close(s);
}

static void a_check_makes_them_again(void)
{
    static const char *const harm[] = {"DELETE FROM chunk_entity WHERE passage=(SELECT min(passage) FROM chunk_entity)",
                                       "UPDATE message_entity SET data='n nothing' || char(10) WHERE passage=(SELECT max(passage) FROM message_entity)",
                                       "INSERT INTO chunk_entity VALUES(99999, 'n x' || char(10))", "DELETE FROM chunk_posting WHERE word=char(1) || 'nlofoten'"};
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        mem_store *s = filled(":memory:", 20);
        store_lock(s);
        OK(store_run(s, NULL, err, harm[i], ""));
        store_unlock(s);
        OK(mem_check(s, err));
        char *note = mem_note(s);
        CHECK_MSG(note && strstr(note, "made again"), "%s: %s", harm[i], note ? note : "nothing said");
        free(note);
        all_the_same(s);
        mem_close(s);
    }
}

/* What was removed is nowhere in the file. */
static void nothing_of_them_stays(void)
{
    static const char *const gone[] = {"zanzibar", "ksenofontov", "me@zanzibar.org"};
    char *path = q_strdup(file("gone.db"));
    mem_store *s = filled(path, 10);
    int64_t id;
    const char *text = "we went to Zanzibar with Ivan Ksenofontov, so write to me@zanzibar.org";
    mem_chunk c = {0, strlen(text), text, ""};
    mem_document d = {.path = "/notes/secret", .title = "secret", .trust = MEM_TRUST_OWN};
    OK(mem_document_put(s, &d, &c, 1, &id, err));
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk_posting WHERE word=char(1) || 'nzanzibar'"), 1);
    OK(mem_document_delete(s, id, err));
    OK(mem_tidy(s, NULL, NULL, err));
    mem_close(s);
    const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
        char *p = q_printf("%s%s", path, ends[e]);
        q_buf b = {0};
        if (access(p, R_OK) == 0) OK(q_read_file(p, &b, 1 << 28, err));
        for (size_t i = 0; i < b.len; i++)
            if (b.p[i] >= 'A' && b.p[i] <= 'Z') b.p[i] |= 32;
        for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) CHECK_MSG(!b.len || !memmem(b.p, b.len, gone[i], strlen(gone[i])), "%s in %s", gone[i], ends[e]);
        q_buf_free(&b);
        free(p);
    }
    free(path);
}

int main(void)
{
    if (!memory_begin("entities")) return 1;
    RUN(english_names);
    RUN(russian_names);
    RUN(identifiers_dates_and_addresses);
    RUN(what_is_no_name);
    RUN(a_text_is_bounded);
    RUN(whoever_asks_may_stop);
    RUN(they_come_and_go_with_the_words);
    RUN(headings_and_names_of_files);
    RUN(a_check_makes_them_again);
    RUN(nothing_of_them_stays);
    return memory_end();
}
