/* rag/explain_json: a result, or the log of one, as JSON for programs: every number of rag/explain. Pure; any thread. */
#include "rag/rag.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

void rag_json_signals(cJSON *to, const char *text)
{
    cJSON *o = cJSON_AddObjectToObject(to, "signals"), *by = cJSON_AddObjectToObject(to, "by");
    char name[32];
    double v;
    while (rag_signals_next(&text, name, &v)) {
        bool side = strncmp(name, RAG_BY, strlen(RAG_BY)) == 0;
        cJSON_AddNumberToObject(side ? by : o, side ? name + strlen(RAG_BY) : name, v);
    }
}

static cJSON *place(cJSON *list, int rank, int number, enum rag_fate fate, bool pinned, enum mem_kind kind, int64_t id, const char *label, double score, int tokens)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "rank", rank);
    cJSON_AddNumberToObject(o, "number", number);
    cJSON_AddStringToObject(o, "fate", rag_fate_word(fate));
    cJSON_AddBoolToObject(o, "pinned", pinned);
    cJSON_AddStringToObject(o, "kind", kind == MEM_CHAT ? "chat" : "document");
    cJSON_AddNumberToObject(o, "passage", (double)id);
    cJSON_AddStringToObject(o, "label", label);
    cJSON_AddNumberToObject(o, "score", score);
    cJSON_AddNumberToObject(o, "tokens", tokens);
    cJSON_AddItemToArray(list, o);
    return o;
}

static void text_of(cJSON *o, const char *name, q_buf *b)
{
    cJSON_AddStringToObject(o, name, b->p ? b->p : "");
    q_buf_free(b);
    *b = (q_buf){0};
}

static void terms(cJSON *o, const rag_result *r)
{
    cJSON *list = cJSON_AddArrayToObject(o, "terms");
    for (int i = 0; i < r->n_term; i++) {
        const rag_term *t = &r->term[i];
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "word", t->word);
        cJSON_AddStringToObject(e, "stem", t->stem);
        cJSON_AddNumberToObject(e, "weight", t->weight);
        cJSON_AddNumberToObject(e, "with", (double)t->with);
        cJSON_AddNumberToObject(e, "of", (double)t->of);
        cJSON_AddBoolToObject(e, "everyday", t->everyday);
        cJSON_AddItemToArray(list, e);
    }
}

static void presence(cJSON *o, const rag_result *r, const rag_passage *p)
{
    cJSON *list = cJSON_AddArrayToObject(o, "terms");
    for (int i = 0; p->presence && i < r->n_term; i++) {
        if (p->presence[i] <= 0 || r->term[i].weight <= 0) continue;
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "word", r->term[i].word);
        cJSON_AddNumberToObject(e, "weight", r->term[i].weight);
        cJSON_AddNumberToObject(e, "presence", p->presence[i]);
        cJSON_AddItemToArray(list, e);
    }
}

static void cut(cJSON *o, int below, int limit, int repeats, int unwanted, int answers)
{
    cJSON *c = cJSON_AddObjectToObject(o, "cut");
    cJSON_AddNumberToObject(c, "below", below);
    cJSON_AddNumberToObject(c, "limit", limit);
    cJSON_AddNumberToObject(c, "repeats", repeats);
    cJSON_AddNumberToObject(c, "unwanted", unwanted);
    cJSON_AddNumberToObject(c, "answers", answers);
}

static char *printed(cJSON *o)
{
    char *s = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return s ? s : q_strdup("{}");
}

void rag_json_narrowed(cJSON *to, const rag_narrowed *x)
{
    if (!x->words) return;
    cJSON *o = cJSON_AddObjectToObject(to, "narrowed");
    cJSON_AddBoolToObject(o, "narrowed", x->on && !x->all);
    cJSON_AddBoolToObject(o, "all", x->all);
    if (x->from_ms) cJSON_AddNumberToObject(o, "from_ms", (double)x->from_ms);
    if (x->to_ms) cJSON_AddNumberToObject(o, "to_ms", (double)x->to_ms);
    if (x->on) cJSON_AddNumberToObject(o, "turns", x->turns);
    cJSON_AddStringToObject(o, "text", x->words);
}

char *rag_explain_json(const rag_result *r, const char *query)
{
    cJSON *o = cJSON_CreateObject();
    q_buf b = {0};
    cJSON_AddNumberToObject(o, "v", 1);
    if (query) cJSON_AddStringToObject(o, "query", query);
    rag_summary(r, &b);
    text_of(o, "summary", &b);
    cJSON_AddBoolToObject(o, "searched", r->searched);
    cJSON_AddStringToObject(o, "by", r->by == RAG_HYBRID ? "hybrid" : r->by == RAG_GRAPH ? "graph" : r->by == RAG_OFF ? "off" : "lexical");
    cJSON_AddStringToObject(o, "fusion", r->fusion == RAG_RANKS ? "ranks" : "scores");
    if (r->note) cJSON_AddStringToObject(o, "note", r->note);
    rag_json_narrowed(o, &r->narrowed);
    cJSON_AddNumberToObject(o, "fed", r->n_fed);
    cJSON_AddNumberToObject(o, "tokens", r->fed_tokens);
    cJSON_AddNumberToObject(o, "min_score", r->min_score);
    cJSON_AddNumberToObject(o, "max_passages", r->max_passages);
    cJSON_AddNumberToObject(o, "best_below", r->best_below);
    cut(o, r->n_below, r->n_over - r->n_repeat, r->n_repeat, r->n_unwanted, r->n_answers);
    terms(o, r);
    cJSON *list = cJSON_AddArrayToObject(o, "passages");
    for (int i = 0; i < r->n; i++) {
        const rag_passage *p = &r->v[i];
        cJSON *e = place(list, p->rank, p->number, p->fate, p->wish == RAG_PINNED, p->kind, p->id, p->label, p->score, p->tokens);
        if (p->repeats > 0) cJSON_AddNumberToObject(e, "repeats", p->repeats);
        if (p->through) cJSON_AddStringToObject(e, "through", p->through);
        cJSON_AddNumberToObject(e, "source", (double)p->source);
        cJSON_AddStringToObject(e, "trust", rag_trust_word(p->trust));
        cJSON_AddNumberToObject(e, "offset", (double)p->offset);
        if (p->away_ms) cJSON_AddNumberToObject(e, "not_reachable_since", (double)p->away_ms);
        rag_signals_text(p, &b);
        rag_json_signals(e, b.p);
        q_buf_clear(&b);
        cJSON_AddNumberToObject(e, "match", p->match);
        cJSON_AddNumberToObject(e, "bm25", p->bm25);
        presence(e, r, p);
        rag_why(r, p, &b);
        text_of(e, "why", &b);
        cJSON_AddStringToObject(e, "text", p->text);
    }
    return printed(o);
}

void rag_explain_logs(const mem_logs *l, q_buf *out)
{
    q_buf b = {0};
    char x[RAG_NUMBER];
    q_buf_printf(out, "%s\n", rag_logs_summary(l, &b));
    q_buf_free(&b);
    int *order = rag_shown_logs(l);
    for (int i = 0; i < l->n; i++) {
        const mem_log *v = &l->v[order[i]];
        if (v->number) q_buf_printf(out, "[%d] ", v->number);
        else q_buf_puts(out, "    ");
        q_buf_printf(out, "%3s  %s\n      ", rag_number(v->score, rag_log_min_score(v), x), *v->label ? v->label : _("deleted since"));
        rag_log_why(v, out);
        q_buf_putc(out, '\n');
    }
    free(order);
}

char *rag_explain_logs_json(const mem_logs *l)
{
    cJSON *o = cJSON_CreateObject();
    q_buf b = {0};
    int n[RAG_FATES] = {0}, fed_tokens = 0;
    cJSON_AddNumberToObject(o, "v", 1);
    rag_logs_summary(l, &b);
    text_of(o, "summary", &b);
    for (int i = 0; i < l->n; i++) {
        n[rag_log_fate(&l->v[i])]++;
        fed_tokens += l->v[i].number ? l->v[i].tokens : 0;
    }
    cJSON_AddNumberToObject(o, "fed", n[RAG_FED]);
    cJSON_AddNumberToObject(o, "tokens", fed_tokens);
    cut(o, n[RAG_BELOW], n[RAG_OVER_COUNT] + n[RAG_OVER_BUDGET], n[RAG_REPEATS] + n[RAG_SAME], n[RAG_LEFT_OUT] + n[RAG_OF_BANNED], n[RAG_ANSWER]);
    cJSON *list = cJSON_AddArrayToObject(o, "passages");
    for (int i = 0; i < l->n; i++) {
        const mem_log *v = &l->v[i];
        cJSON *e = place(list, v->rank, v->number, rag_log_fate(v), rag_log_pinned(v), (enum mem_kind)v->kind, v->ref, v->label, v->score, v->tokens);
        rag_json_signals(e, v->signals);
        cJSON_AddStringToObject(e, "words", v->terms);
        rag_log_why(v, &b);
        text_of(e, "why", &b);
    }
    return printed(o);
}
