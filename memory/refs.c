/* memory/refs: what one row says of another, rule by rule: what can be derived again is, what cannot is said with the way out. The
 * lock is held and a transaction is open. SQLite's own foreign keys are looked at elsewhere (check.c). */
#include "memory/store.h"

#include <stdlib.h>

#define SOURCE_GONE " AND NOT EXISTS (SELECT 1 FROM chunk c WHERE r.kind=0 AND c.id=r.ref) AND NOT EXISTS (SELECT 1 FROM message m WHERE r.kind=1 AND m.id=r.ref)"

/* rows: which are wrong; mend: makes them right, NULL: nobody can. What is said has the number of rows. */
static const struct { const char *rows, *mend, *said; } rules[] = {
    {"message m WHERE m.parent IS NOT NULL AND NOT EXISTS (SELECT 1 FROM message p WHERE p.id=m.parent AND p.conversation=m.conversation AND p.id<m.id)",
     "UPDATE message AS m SET parent=NULL WHERE m.parent IS NOT NULL AND NOT EXISTS (SELECT 1 FROM message p WHERE p.id=m.parent AND p.conversation=m.conversation AND p.id<m.id)",
     N_("messages that hung on none of their conversation stand at its beginning now: %d")},
    {"conversation v WHERE v.state=0 AND (v.leaf<>0 OR EXISTS (SELECT 1 FROM message m WHERE m.conversation=v.id AND m.hidden=0))"
     " AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id=v.leaf AND m.conversation=v.id)",
     "UPDATE conversation AS v SET leaf=ifnull((SELECT max(id) FROM message m WHERE m.conversation=v.id AND m.hidden=0), 0) WHERE v.state=0"
     " AND (v.leaf<>0 OR EXISTS (SELECT 1 FROM message m WHERE m.conversation=v.id AND m.hidden=0)) AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id=v.leaf AND m.conversation=v.id)",
     N_("conversations that ended at a message not their own end at their newest now: %d")},
    {"heard h JOIN message m ON m.id=h.message WHERE h.prev<>ifnull(m.parent, 0) OR h.conversation<>m.conversation OR h.created<>m.created",
     "UPDATE heard AS h SET (prev, conversation, created)=(SELECT ifnull(m.parent, 0), m.conversation, m.created FROM message m WHERE m.id=h.message)"
     " WHERE EXISTS (SELECT 1 FROM message m WHERE m.id=h.message AND (h.prev<>ifnull(m.parent, 0) OR h.conversation<>m.conversation OR h.created<>m.created))",
     N_("turns that stood in another place than their messages are put right: %d")},
    {"message m WHERE m.elder<>0 AND NOT EXISTS (SELECT 1 FROM message e WHERE e.id=m.elder AND e.conversation=m.conversation AND e.id<m.id)",
     "UPDATE message AS m SET elder=0 WHERE m.elder<>0 AND NOT EXISTS (SELECT 1 FROM message e WHERE e.id=m.elder AND e.conversation=m.conversation AND e.id<m.id)",
     N_("answers beside ones that are not there are beside the ones before them now: %d")},
    {"import_message i JOIN message m ON m.id=i.message WHERE i.conversation<>m.conversation",
     "UPDATE import_message AS i SET conversation=(SELECT m.conversation FROM message m WHERE m.id=i.message)"
     " WHERE EXISTS (SELECT 1 FROM message m WHERE m.id=i.message AND i.conversation<>m.conversation)",
     N_("imported messages noted under another conversation are put right: %d")},
    {"document d WHERE d.state=0 AND d.trust=0 AND d.called<>title_words(d.title)",
     "UPDATE document SET called=title_words(title) WHERE state=0 AND trust=0 AND called<>title_words(title)",
     N_("documents called by other words than their titles' are put right: %d")},
    {"retrieval r WHERE (r.label<>'' OR r.terms<>'')" SOURCE_GONE,
     "UPDATE retrieval AS r SET label='', terms='' WHERE (r.label<>'' OR r.terms<>'')" SOURCE_GONE,
     N_("rows of searches' logs that named what is gone are cleared: %d")},
    {"pin p WHERE NOT EXISTS (SELECT 1 FROM chunk c WHERE p.kind=0 AND c.id=p.ref) AND NOT EXISTS (SELECT 1 FROM message m WHERE p.kind=1 AND m.id=p.ref)",
     "DELETE FROM pin AS p WHERE NOT EXISTS (SELECT 1 FROM chunk c WHERE p.kind=0 AND c.id=p.ref) AND NOT EXISTS (SELECT 1 FROM message m WHERE p.kind=1 AND m.id=p.ref)",
     N_("pins of passages that are gone are taken out: %d")},
    {"ban b WHERE NOT EXISTS (SELECT 1 FROM document d WHERE b.kind=0 AND d.id=b.source) AND NOT EXISTS (SELECT 1 FROM conversation c WHERE b.kind=1 AND c.id=b.source)",
     "DELETE FROM ban AS b WHERE NOT EXISTS (SELECT 1 FROM document d WHERE b.kind=0 AND d.id=b.source) AND NOT EXISTS (SELECT 1 FROM conversation c WHERE b.kind=1 AND c.id=b.source)",
     N_("bans of sources that are gone are taken out: %d")},
    {"pending p WHERE p.conversation<>0 AND NOT EXISTS (SELECT 1 FROM conversation c WHERE c.id=p.conversation AND c.state=0)", NULL,
     N_("waiting questions of conversations that are gone: %d; quorum memory export shows them")},
    {"message m WHERE m.role NOT BETWEEN 0 AND 3 OR m.status NOT BETWEEN 0 AND 3", NULL,
     N_("messages of no kind that quorum knows: %d; they are shown as tools', and quorum memory export shows them as they are")},
};

/* A finished text that is in no index, or one in it that should not be: the index is told, by the row. */
static int mend_indexed(mem_store *s, bool put, int *n, char *err)
{
    static const char *const which[] = {"SELECT id FROM message WHERE id>? AND indexed=1 AND (hidden<>0 OR role NOT IN (1, 2) OR text='') ORDER BY id LIMIT 1",
                                        "SELECT id FROM message WHERE id>? AND indexed=0 AND hidden=0 AND status<>0 AND role IN (1, 2) AND text<>'' ORDER BY id LIMIT 1"};
    int64_t id = 0;
    int rc;
    while ((rc = store_int(s, &id, err, which[put], "i", id)) == Q_OK) {
        rc = put ? store_index_message(s, id, err) : store_unindex_message(s, id, err);
        if (rc != Q_OK) return rc;
        store_allow(s, STORE_LONG);
        ++*n;
    }
    return rc == Q_NOTFOUND ? Q_OK : rc;
}

static void tell(mem_said_fn *fn, void *user, const char *fmt, int n)
{
    char *said = q_printf(_(fmt), n);
    if (fn) fn(user, said);
    free(said);
}

int store_refs_check(mem_store *s, mem_said_fn *fn, void *user, char *err)
{
    int rc = Q_OK, put = 0, out = 0;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && rc == Q_OK; i++) {
        int64_t n = 0;
        char *sql = q_printf("SELECT count(*) FROM %s", rules[i].rows);
        store_allow(s, STORE_LONG);
        rc = store_int(s, &n, err, sql, "");
        free(sql);
        if (rc != Q_OK || n == 0) continue;
        store_allow(s, STORE_LONG);
        if (rules[i].mend) rc = store_run(s, NULL, err, rules[i].mend, "");
        if (rc == Q_OK) tell(fn, user, rules[i].said, (int)n);
    }
    store_allow(s, STORE_LONG);
    if (rc == Q_OK) rc = mend_indexed(s, false, &out, err);
    if (rc == Q_OK) rc = mend_indexed(s, true, &put, err);
    if (rc == Q_OK && out + put) tell(fn, user, N_("messages that stood wrongly in the index, or not in it, are put right: %d"), out + put);
    return rc;
}
