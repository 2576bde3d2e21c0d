/* memory/check: is the whole file in order? The lock is held and a transaction is open, but for mem_check. An index that
 * does not match its text is no damage: it is made again. */
#include "memory/named.h"
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_words(mem_store *s, enum mem_kind k, const char *fts, char *err)
{
    char sql[96];
    /* rank 1: also compare the index with its content (fts5.html, section 6.5) */
    snprintf(sql, sizeof sql, "INSERT INTO %s(%s, rank) VALUES('integrity-check', 1)", fts, fts);
    s->touched |= 1u << k;
    return store_index_mended(s, k, store_run(s, NULL, err, sql, ""), err);
}

/* ---- postings ---- */
/* Where a word stands, as one number; the sum over all is the same from the text and from the blocks. */
struct summing { uint64_t *h; int *place, *field; int n, cap, now, text; struct named_text names; q_buf entities; };

static void sum_one(struct summing *c, const char *word)
{
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 256;
        c->h = q_realloc(c->h, sizeof *c->h * (size_t)c->cap);
        c->place = q_realloc(c->place, sizeof *c->place * (size_t)c->cap);
        c->field = q_realloc(c->field, sizeof *c->field * (size_t)c->cap);
    }
    c->h[c->n] = q_hash64(word, strlen(word), 3);
    c->place[c->n] = c->now;
    c->field[c->n++] = c->text;
}

static bool sum_word(void *user, const mem_word *w)
{
    struct summing *c = user;
    named_word(&c->names, w);
    if (w->flags & MEM_WORD_EXACT) return true;
    if (!(w->flags & MEM_WORD_SAME)) c->now++;
    sum_one(c, w->stem);
    return true;
}

/* The row of a passage has each of them once. */
static void sum_entity(void *user, const char *word)
{
    struct summing *c = user;
    char *row = q_printf("%s\n", word + 1);
    bool had = false;
    for (const char *p = c->entities.p; p && (p = strstr(p, row)) != NULL && !had; p++) had = p == c->entities.p || p[-1] == '\n';
    if (!had) q_buf_puts(&c->entities, row);
    free(row);
    sum_one(c, word);
}

static uint64_t posting_sum(uint64_t word, int64_t id, uint64_t length, int place, int field)
{
    return q_mix64(q_mix64(word, (uint64_t)id), q_mix64(length, (uint64_t)place << 2 | (uint64_t)field));
}

static const struct { const char *said, *blocks, *rows; int first; } of_kind[] = {
    [MEM_CHUNK] = {"SELECT id, name, heading, text FROM chunk_said", "SELECT word, first, last, data FROM chunk_posting",
                   "SELECT passage, data FROM chunk_entity", 0},
    [MEM_CHAT] = {"SELECT id, text FROM message_said", "SELECT word, first, last, data FROM message_posting",
                  "SELECT passage, data FROM message_entity", 2},
};

struct tally { uint64_t sum, rows; int64_t passages, words; };

static uint64_t row_sum(const char *data, size_t n, int64_t id) { return n ? q_mix64(q_hash64(data, n, 4), (uint64_t)id) : 0; }

static int said_tally(mem_store *s, enum mem_kind k, struct tally *t, char *err)
{
    struct summing c = {0};
    sqlite3_stmt *st = store_query(s, err, of_kind[k].said, "");
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        c.n = c.now = 0;
        q_buf_clear(&c.entities);
        for (int i = 1; i < sqlite3_column_count(st); i++) {
            const char *text = (const char *)sqlite3_column_text(st, i);
            c.text = of_kind[k].first + i - 1;
            size_t n = (size_t)sqlite3_column_bytes(st, i);
            if (!text || n == 0) continue;
            mem_words(text, n, sum_word, &c);
            store_entities_tell(&c.names, c.text, text, n, sum_entity, &c);
        }
        for (int i = 0; i < c.n; i++) t->sum += posting_sum(c.h[i], sqlite3_column_int64(st, 0), (uint64_t)c.now, c.place[i], c.field[i]);
        t->rows += row_sum(c.entities.p, c.entities.len, sqlite3_column_int64(st, 0));
        t->passages++;
        t->words += c.now;
    }
    sqlite3_finalize(st);
    free(c.h);
    free(c.place);
    free(c.field);
    named_free(&c.names);
    q_buf_free(&c.entities);
    return rc;
}

static int block_tally(mem_store *s, enum mem_kind k, struct tally *t, bool *sound, char *err)
{
    sqlite3_stmt *st = store_query(s, err, of_kind[k].blocks, "");
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1) {
        const char *word = (const char *)sqlite3_column_text(st, 0);
        const unsigned char *data = sqlite3_column_blob(st, 3);
        store_block b = {data, data ? data + sqlite3_column_bytes(st, 3) : NULL, sqlite3_column_int64(st, 1)};
        uint64_t h = q_hash64(word, strlen(word), 3);
        for (store_block_entry e; store_block_next(&b, &e);)
            for (int place = 0, field; store_block_place(&e, &place, &field);) t->sum += posting_sum(h, e.id, e.length, place, field);
        *sound &= data && b.p == b.end && b.id == sqlite3_column_int64(st, 2);
    }
    sqlite3_finalize(st);
    if (rc == Q_OK) rc = store_int(s, &t->passages, err, "SELECT passages FROM extent WHERE kind=?", "i", (int64_t)k);
    if (rc == Q_OK) rc = store_int(s, &t->words, err, "SELECT words FROM extent WHERE kind=?", "i", (int64_t)k);
    if (rc == Q_NOTFOUND) *sound = false;
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static int rows_tally(mem_store *s, enum mem_kind k, struct tally *t, char *err)
{
    sqlite3_stmt *st = store_query(s, err, of_kind[k].rows, "");
    int rc = st ? 1 : store_failed(s);
    while (rc == 1 && (rc = store_step(s, st, err)) == 1)
        t->rows += row_sum((const char *)sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1), sqlite3_column_int64(st, 0));
    sqlite3_finalize(st);
    return rc;
}

static int heard_sound(mem_store *s, const struct tally *t, bool *sound, char *err)
{
    int64_t n = 0, words = 0;
    int rc = store_int(s, &n, err, "SELECT count(*) FROM heard h JOIN message m ON m.id=h.message AND m.conversation=h.conversation AND m.created=h.created", "");
    if (rc == Q_OK) rc = store_int(s, &words, err, "SELECT ifnull(sum(words), 0) FROM heard", "");
    *sound &= n == t->passages && words == t->words;
    return rc;
}

/* Postings that do not match the text are made again, with the index. */
static int check_postings(mem_store *s, enum mem_kind k, char *err)
{
    struct tally text = {0}, blocks = {0};
    bool sound = true;
    store_allow(s, STORE_LONG);
    int rc = said_tally(s, k, &text, err);
    if (rc == Q_OK) rc = block_tally(s, k, &blocks, &sound, err);
    if (rc == Q_OK) rc = rows_tally(s, k, &blocks, err);
    if (rc == Q_OK && k == MEM_CHAT) rc = heard_sound(s, &text, &sound, err);
    if (rc != Q_OK || (sound && text.sum == blocks.sum && text.rows == blocks.rows && text.passages == blocks.passages && text.words == blocks.words)) return rc;
    rc = store_index_reset(s, k, err);
    if (rc == Q_OK) store_index_said(s);
    return rc;
}

int store_check(mem_store *s, char *err)
{
    store_allow(s, STORE_LONG);
    int rc = check_words(s, MEM_CHUNK, "chunk_fts", err);       /* first: newer SQLites look at the indexes too */
    if (rc == Q_OK) rc = check_words(s, MEM_CHAT, "message_fts", err);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = check_postings(s, k, err);
    if (rc == Q_OK) rc = store_vectors_check(s, err);
    if (rc != Q_OK) return rc;
    store_allow(s, STORE_LONG);
    sqlite3_stmt *st = store_query(s, err, "PRAGMA integrity_check(1)", "");
    rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) {
        const char *how = (const char *)sqlite3_column_text(st, 0);
        rc = how && strcmp(how, "ok") == 0 ? Q_OK : store_damaged(s, err, how ? how : "?");
    }
    sqlite3_finalize(st);
    if (rc != Q_OK) return rc;
    store_allow(s, STORE_LONG);
    st = store_query(s, err, "PRAGMA foreign_key_check", "");
    rc = st ? store_step(s, st, err) : store_failed(s);
    if (rc == 1) rc = store_damaged(s, err, _("rows whose owner is gone"));
    sqlite3_finalize(st);
    return rc;
}

int mem_check_said(mem_store *s, mem_said_fn *fn, void *user, char *err)
{
    int rc = store_begin(s, err);
    if (rc != Q_OK) return rc;
    rc = store_check(s, err);
    if (rc == Q_OK) rc = store_refs_check(s, fn, user, err);
    rc = store_end(s, rc, err);
    for (enum mem_kind k = MEM_CHUNK; k <= MEM_CHAT && rc == Q_OK; k++) rc = store_index_ready(s, k, err);
    return rc;
}

int mem_check(mem_store *s, char *err) { return mem_check_said(s, NULL, NULL, err); }
