/* memory/tokens: the words of a text as an FTS5 tokenizer named "quorum" (fts5.html, section 7); the same words, and what the text
 * names, go to the postings while a passage is taken in or out (postings.c). The lock is held. */
#include "memory/named.h"
#include "memory/store.h"

#include <string.h>

struct fts_call { mem_store *s; void *ctx; int (*token)(void *, int, const char *, int, int, int); int flags, rc; };

static bool fts_word(void *user, const mem_word *w)
{
    struct fts_call *c = user;
    bool document = (c->flags & (FTS5_TOKENIZE_DOCUMENT | FTS5_TOKENIZE_AUX)) != 0;
    if ((w->flags & MEM_WORD_EXACT) && !document) return true;
    /* a prefix is compared with unstemmed forms, which documents hold beside the stems */
    const char *t = (c->flags & FTS5_TOKENIZE_PREFIX) ? w->word : w->stem;
    if ((c->flags & FTS5_TOKENIZE_PREFIX) && (w->flags & MEM_WORD_WHOLE)) return true;
    if (c->s && store_postings_field(c->s) >= 0) named_word(c->s->names, w);
    if (c->s && !(w->flags & MEM_WORD_EXACT)) store_postings_word(c->s, w->stem, (w->flags & MEM_WORD_SAME) != 0);
    c->rc = c->token(c->ctx, w->flags & MEM_WORD_SAME ? FTS5_TOKEN_COLOCATED : 0, t, (int)strlen(t), (int)w->start, (int)w->end);
    return c->rc == SQLITE_OK;
}

static int fts_create(void *user, const char **arg, int n, Fts5Tokenizer **out)
{
    *out = (Fts5Tokenizer *)user;                       /* no state: any pointer that is not NULL */
    return SQLITE_OK;
}

static void fts_delete(Fts5Tokenizer *t) {}

static void fts_entity(void *user, const char *word) { store_postings_word(user, word, true); }

static int fts_tokenize(Fts5Tokenizer *t, void *ctx, int flags, const char *text, int n,
                        int (*token)(void *, int, const char *, int, int, int))
{
    mem_store *s = flags & FTS5_TOKENIZE_DOCUMENT ? (mem_store *)t : NULL;
    struct fts_call c = {s, ctx, token, flags, SQLITE_OK};
    if (s) store_postings_text(s);
    if (text && n > 0) mem_words(text, (size_t)n, fts_word, &c);
    if (s && text && n > 0 && store_postings_field(s) >= 0) store_entities_tell(s->names, store_postings_field(s), text, (size_t)n, fts_entity, s);
    return c.rc;
}

int store_register_words(mem_store *s, char *err)
{
    fts5_api *api = NULL;
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT fts5(?1)", -1, &st, NULL) == SQLITE_OK) {
        sqlite3_bind_pointer(st, 1, &api, "fts5_api_ptr", NULL);
        sqlite3_step(st);
    }
    sqlite3_finalize(st);
    if (!api) return q_fail(err, Q_ERR, _("this SQLite was built without FTS5: install a libsqlite3 that has it"));
    fts5_tokenizer t = {fts_create, fts_delete, fts_tokenize};
    if (api->xCreateTokenizer(api, "quorum", s, &t, NULL) != SQLITE_OK) return store_error(s, err);
    return Q_OK;
}
