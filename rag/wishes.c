/* rag/wishes: what a person wants of the passages that a search found: the conversation's pins, banned sources, what is left out
 * this once. It marks and adds; what is fed of it is rag/search's. Pure but for what it asks memory; any thread. */
#include "rag/wishes.h"

#include "rag/label.h"

#include <stdlib.h>
#include <string.h>

static bool banned(const mem_bans *b, const rag_passage *p)
{
    for (int i = 0; i < b->n; i++)
        if (b->v[i].kind == p->kind && b->v[i].source == p->source) return true;
    return false;
}

static rag_passage *found(rag_result *r, enum mem_kind kind, int64_t id)
{
    for (int i = 0; i < r->n; i++)
        if (r->v[i].kind == kind && r->v[i].id == id) return &r->v[i];
    return NULL;
}

/* One that the search did not bring. What is gone, or is of a file that is gone, is not fed. */
static int fetch(mem_store *s, const mem_pin *pin, rag_result *r, char *err)
{
    mem_passages m;
    int rc = mem_passages_of(s, pin->kind, &pin->ref, 1, 0, &m, err);
    if (rc == Q_OK && m.n) {
        const mem_passage *x = &m.v[0];
        size_t all = strlen(x->text), from = 0, n = all;
        if (pin->n >= 0 && pin->from >= 0 && (uint64_t)pin->from <= all && (uint64_t)pin->n <= all - (uint64_t)pin->from) from = (size_t)pin->from, n = (size_t)pin->n;
        r->v = q_realloc(r->v, sizeof *r->v * (size_t)(r->n + 1));
        r->v[r->n++] = (rag_passage){.kind = x->kind, .id = x->id, .source = x->source, .trust = x->trust, .label = rag_label(x), .cite = rag_cite(x),
                                     .text = q_strndup(x->text + from, n), .offset = x->offset + (int64_t)from, .taken_ms = x->kind == MEM_CHUNK && x->trust == MEM_TRUST_OWN ? x->created_ms : 0,
                                     .wish = RAG_PINNED, .presence = q_alloc(sizeof(double) * (size_t)(r->n_term + 1))};
    }
    mem_passages_free(&m);
    return rc;
}

int rag_wishes(mem_store *s, const rag_scope *scope, rag_result *r, char *err)
{
    mem_bans bans;
    mem_pins pins = {0};
    int rc = mem_ban_list(s, &bans, err);
    if (rc == Q_OK && scope->conversation && !scope->no_pins) rc = mem_pin_list(s, scope->conversation, &pins, err);
    for (int i = 0; i < pins.n && rc == Q_OK; i++) {
        rag_passage *p = found(r, pins.v[i].kind, pins.v[i].ref);
        if (p) p->wish = RAG_PINNED;
        else rc = fetch(s, &pins.v[i], r, err);
    }
    for (int i = 0; i < scope->n_without && rc == Q_OK; i++) {
        rag_passage *p = found(r, scope->without[i].kind, scope->without[i].id);
        if (p) p->wish = RAG_UNWANTED;
    }
    for (int i = 0; i < r->n && rc == Q_OK; i++)
        if (banned(&bans, &r->v[i])) r->v[i].wish = RAG_BANNED;
    mem_bans_free(&bans);
    mem_pins_free(&pins);
    return rc;
}
