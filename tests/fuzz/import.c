/* tests/fuzz/import: damaged archives of chats through the readers: records, every kind of archive, notes and dialogues, zip
 * members, broken text. Whatever comes in, a settled conversation is a tree: parents first and shown, names once, UTF-8. */
#include "rag/charset.h"
#include "rag/import/archive.h"
#include "rag/import/date.h"
#include "rag/import/mail.h"
#include "rag/import/markup.h"
#include "rag/import/mojibake.h"
#include "rag/import/office.h"
#include "rag/import/records.h"
#include "rag/import/table.h"
#include "rag/import/unpack.h"
#include "rag/rag.h"
#include "tests/fuzz/fuzz.h"
#include "tests/packed.h"

#include <stdlib.h>
#include <string.h>

static char err[Q_ERRLEN];
static const char *const FILES[] = {"chatgpt.json", "chatgpt-longer.json", "chatgpt-damaged.json", "chatgpt-hole.json", "claude.json", "webui.json", "studio.conversation.json", "tavern.jsonl", "mojibake.json"};
static const char *const TEXTS[] = {"quorum.md", "nexus.md", "dialogue.md", "dialogue-bold.md", "dialogue.txt"};
enum { N_FILES = sizeof FILES / sizeof *FILES, N_TEXTS = sizeof TEXTS / sizeof *TEXTS };

static void golden(const char *name, q_buf *out)
{
    char *path = q_printf("tests/golden/chats/%s", name);
    if (q_read_file(packed(path), out, 1 << 20, err) != Q_OK) { puts(err); abort(); }
    free(path);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int check_chat(chat *c)
{
    int rc = 0;
    rag_chat_settle(c);
    char **name = q_alloc(sizeof *name * (size_t)(c->n + 1));
    for (int i = 0; i < c->n && !rc; i++) {
        const chat_message *m = &c->v[i];
        name[i] = m->id;
        if (m->parent >= i || m->parent < -1) rc = FUZZ_BROKEN("a child before its parent");
        else if (m->parent >= 0 && c->v[m->parent].kind != CHAT_SEEN) rc = FUZZ_BROKEN("something below a hidden message");
        else if (m->kind == CHAT_BARE) rc = FUZZ_BROKEN("a bare message is left");
        else if (!q_utf8_valid(m->text, strlen(m->text)) || !q_utf8_valid(m->id, strlen(m->id)) || !q_utf8_valid(m->thinking, strlen(m->thinking))) rc = FUZZ_BROKEN("no UTF-8");
    }
    if (!rc && c->n) qsort(name, (size_t)c->n, sizeof *name, by_name);
    for (int i = 1; i < c->n && !rc; i++)
        if (strcmp(name[i - 1], name[i]) == 0) rc = FUZZ_BROKEN("two messages of one name");
    if (!rc && (c->leaf < -1 || c->leaf >= c->n)) rc = FUZZ_BROKEN("the leaf is nowhere");
    if (c->title && (strchr(c->title, '\n') || strchr(c->title, '\033'))) rc = FUZZ_BROKEN("a title steers a terminal");
    free(name);
    rag_chat_free(c);
    return rc;
}

struct bytes { const char *p; size_t n, at; };
static long give(void *user, char *p, size_t n)
{
    struct bytes *b = user;
    if (n > b->n - b->at) n = b->n - b->at;
    memcpy(p, b->p + b->at, n);
    b->at += n;
    return (long)n;
}

/* Everything that a source holds; how many conversations, or what broke. */
static int read_all(const rag_source *src)
{
    rag_records *rs = rag_records_new(src);
    rag_record r;
    chat lines = {0};
    int n = 0, rc = 0;
    while (!rc && rag_records_next(rs, &r)) {
        cJSON *o = r.p ? cJSON_ParseWithLength(r.p, r.n) : NULL;
        const archive *a = o ? archive_of(o) : NULL;
        if (a) rag_records_good(rs);
        else if (r.p && !o) rag_records_bad(rs);
        chat own = {0}, *c = a && a->lines ? &lines : &own;
        if (a && !a->read(o, c) && !a->lines) rc = check_chat(c), n++;
        n += a && a->lines;
        rag_chat_free(&own);
        cJSON_Delete(o);
    }
    rag_records_free(rs);
    int last = check_chat(&lines);
    return rc ? rc : last ? last : n;
}

static void archive_seed(fuzz_rng *r, q_buf *b) { golden(FILES[fuzz_below(r, N_FILES)], b); }

static int archive_run(const char *p, size_t n)
{
    struct bytes b = {p, n, 0};
    rag_source src = {give, &b};
    int rc = read_all(&src);
    return rc < 0 ? rc : rc > 0;
}

static void note_seed(fuzz_rng *r, q_buf *b) { golden(TEXTS[fuzz_below(r, N_TEXTS)], b); }

static int note_run(const char *p, size_t n)
{
    char *clean = q_utf8_clean(p, n);
    size_t k = strlen(clean);
    char *exact = malloc(k ? k : 1);                    /* a read past it is seen */
    memcpy(exact, clean, k);
    const archive *a = archive_of_text(exact, k);
    chat c = {0};
    int rc = a && !a->read_text(exact, k, &c) ? 1 : 0, bad = check_chat(&c);
    rag_date(clean);
    free(clean);
    free(exact);
    return bad ? bad : rc;
}

static void zip_seed(fuzz_rng *r, q_buf *b)
{
    (void)r;
    golden("chatgpt.zip", b);
}

struct member { unpack *u; enum read_why why; };
static long of_member(void *user, char *p, size_t n)
{
    struct member *m = user;
    return m->why ? -1 : (long)unpack_read(m->u, p, n, &m->why);
}

static int zip_run(const char *p, size_t n)
{
    struct member m = {0};
    enum read_why why = READ_END;
    const char *name;
    int rc = 0, chats = 0;
    char *exact = malloc(n ? n : 1);
    memcpy(exact, p, n);
    m.u = unpack_open(-1, exact, n, &unpack_archive, &why);
    if (!m.u && !why) rc = FUZZ_BROKEN("refused without a word");
    while (m.u && !rc && (name = unpack_next(m.u, &why)) != NULL) {
        if (!q_utf8_valid(name, strlen(name))) rc = FUZZ_BROKEN("a name is no UTF-8");
        m.why = READ_END;
        rag_source src = {of_member, &m};
        int got = rc ? rc : read_all(&src);
        if (got < 0) rc = got;
        else chats += got;
    }
    unpack_free(m.u);
    free(exact);
    return rc ? rc : chats > 0;
}

static void broken_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const parts[] = {"Ð¿Ñ€Ð¸Ð²ÐµÑ‚ ", "–ü—Ä–∏–≤–µ—Ç ", "п÷я─п╦п╡п╣я┌ ", "РџСЂРёРІРµС‚ ", "╨Я╤А╨╕╨▓╨╡╤В ", "donâ€™t ", "café ", "Привет ", "x ", "√©", "\xF0\x9F\xA7\xA0", "\xE2\x80", "Ã", "–"};
    int n = 1 + (int)fuzz_below(r, 10), same = (int)fuzz_below(r, 6);
    for (int i = 0; i < n; i++) q_buf_puts(b, parts[fuzz_below(r, 3) ? same : (int)fuzz_below(r, sizeof parts / sizeof *parts)]);
}

static int broken_run(const char *p, size_t n)
{
    char how[MOJIBAKE_HOW], *clean = q_utf8_clean(p, n);
    size_t k = strlen(clean);
    char *exact = malloc(k ? k : 1);
    q_buf out = {0};
    memcpy(exact, clean, k);
    bool found = rag_mojibake(exact, k, how);
    int rc = found;
    if (found && !rag_mojibake_undo(exact, k, how, &out)) rc = FUZZ_BROKEN("found, and nothing to undo");
    if (found && !q_utf8_valid(out.p, out.len)) rc = FUZZ_BROKEN("what was repaired is no UTF-8");
    free(clean);
    free(exact);
    q_buf_free(&out);
    return rc;
}

/* ---- documents ---- */
static void page_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const names[] = {"../readers/page.html", "../hostile/odd.html", "../readers/page-1251.htm"};
    golden(names[fuzz_below(r, 3)], b);
}

static int page_run(const char *p, size_t n)
{
    q_buf b = {0}, out = {0};
    q_buf_puts(&b, "");
    q_buf_add(&b, p, n);
    rag_charset_said(&b);
    char *clean = q_utf8_clean(b.p, b.len), *exact = malloc(strlen(clean) + 1);
    size_t k = strlen(clean);
    memcpy(exact, clean, k);
    markup_html(exact, k, &out);
    int rc = out.len && !q_utf8_valid(out.p, out.len) ? FUZZ_BROKEN("no UTF-8") : out.len > 8 * k + 64 ? FUZZ_BROKEN("it grew") : out.len > 0;
    free(clean);
    free(exact);
    q_buf_free(&b);
    q_buf_free(&out);
    return rc;
}

/* Tables, data and sources: what becomes of them is UTF-8, and the passages lie in it in order. */
static void table_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const names[] = {"../readers/table.csv", "../readers/cut.tsv", "../readers/data.json", "../readers/make.py", "../readers/excel.csv", "../readers/years.csv", "../readers/quoted.csv"};
    golden(names[fuzz_below(r, 7)], b);
}

static int table_run(const char *p, size_t n)
{
    char *clean = q_utf8_clean(p, n);
    int rc = 1;
    for (int i = 0; i < 3 && rc > 0; i++) {
        q_buf b = {0};
        mem_chunk *c = NULL;
        q_buf_puts(&b, clean);
        if (i == 0) rag_csv(&b);
        if (i == 1) rag_json(&b);
        if (!q_utf8_valid(b.p, b.len)) rc = FUZZ_BROKEN("no UTF-8");
        int k = rag_chunk(b.p, b.len, i == 2 ? RAG_SOURCE : RAG_PLAIN, &c);
        size_t at = 0;
        for (int j = 0; j < k && rc > 0; j++) {
            if (c[j].offset < at || c[j].n > b.len - c[j].offset || !q_utf8_valid(c[j].heading, strlen(c[j].heading))) rc = FUZZ_BROKEN("a passage is out of place");
            at = c[j].offset + c[j].n;
        }
        rag_chunks_free(c, k);
        q_buf_free(&b);
    }
    free(clean);
    return rc;
}

static void mail_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const names[] = {"../readers/letters.mbox", "../readers/letter.eml", "../readers/strange.mbox"};
    golden(names[fuzz_below(r, 3)], b);
}

/* What is HTML in a letter is refused here: the program that reads it has a target of its own (page), and would be started ten thousand times. */
static const char *const no_program = "/nonexistent";
static rag_child *child;

static int mail_run(const char *p, size_t n)
{
    q_buf b = {0};
    char *exact = malloc(n ? n : 1);
    if (!child) child = rag_child_new(&(rag_child_opts){.program = no_program});
    if (n) memcpy(exact, p, n);
    bool known = rag_mail_knows(exact, n);
    q_buf_puts(&b, "");
    q_buf_add(&b, p, n);
    const char *why = rag_mail(child, &b);
    int rc = !q_utf8_valid(b.p, b.len) && !why ? FUZZ_BROKEN("no UTF-8") : known;
    free(exact);
    q_buf_free(&b);
    return rc;
}

static void office_seed(fuzz_rng *r, q_buf *b)
{
    static const char *const names[] = {"../readers/text.docx", "../readers/text.odt", "../readers/book.epub", "../readers/other.zip", "../readers/noted.docx", "../readers/noted.odt"};
    golden(names[fuzz_below(r, 6)], b);
}

static int office_run(const char *p, size_t n)
{
    q_buf out = {0};
    char *exact = malloc(n ? n : 1);
    if (n) memcpy(exact, p, n);
    enum read_why why = office_read(exact, n, &out);
    int rc = why ? (read_words(why) ? 0 : FUZZ_BROKEN("refused without a word")) : !q_utf8_valid(out.p, out.len) ? FUZZ_BROKEN("no UTF-8") : 1;
    free(exact);
    q_buf_free(&out);
    return rc;
}

const fuzz_target fuzz_archive = {.name = "archive", .short_runs = 1500, .long_runs = 30000, .seed = archive_seed, .run = archive_run};
const fuzz_target fuzz_note = {.name = "note", .short_runs = 1500, .long_runs = 20000, .seed = note_seed, .run = note_run};
const fuzz_target fuzz_zip = {.name = "zip", .short_runs = 1000, .long_runs = 10000, .seed = zip_seed, .run = zip_run};
const fuzz_target fuzz_broken = {.name = "broken_text", .short_runs = 1000, .long_runs = 20000, .seed = broken_seed, .run = broken_run};
const fuzz_target fuzz_page = {.name = "page", .short_runs = 1500, .long_runs = 20000, .seed = page_seed, .run = page_run};
const fuzz_target fuzz_office = {.name = "office", .short_runs = 1000, .long_runs = 10000, .seed = office_seed, .run = office_run};
const fuzz_target fuzz_table = {.name = "table", .short_runs = 1000, .long_runs = 10000, .seed = table_seed, .run = table_run};
const fuzz_target fuzz_mail = {.name = "mail", .short_runs = 1000, .long_runs = 10000, .seed = mail_seed, .run = mail_run};
