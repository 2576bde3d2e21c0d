/* rag/explain: a result in words, for the summary line, /why and the stored log. Pure functions; any thread.
 * It never computes a number that the search did not. */
#include "rag/rag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *rag_fate_word(enum rag_fate f)
{
    static const char *const words[] = {[RAG_FED] = "fed", [RAG_BELOW] = "below", [RAG_OVER_COUNT] = "count",
                                        [RAG_OVER_BUDGET] = "budget", [RAG_REPEATS] = "repeats"};
    return words[f];
}

/* .12 as the screen shows scores; 1.0 at the top. */
static const char *score(double v, char out[16])
{
    if (v >= .995) return "1.0";
    snprintf(out, 16, "%.2f", v);
    return out + 1;
}

const char *rag_summary(const rag_result *r, q_buf *b)
{
    char x[16], y[16];
    q_buf_clear(b);
    if (!r->searched) q_buf_puts(b, _("memory was not searched"));
    else if (r->n_fed) q_buf_printf(b, _("%d fed, %d tok"), r->n_fed, r->fed_tokens);
    else if (r->n == 0) q_buf_puts(b, _("nothing fed: nothing matched"));
    else if (r->n_below) q_buf_printf(b, _("nothing fed: best %s below %s"), score(r->best_below, x), score(r->min_score, y));
    else q_buf_puts(b, _("nothing fed: no room for a passage"));
    return b->p;
}

static void terms_of(const rag_result *r, const rag_passage *p, q_buf *b)
{
    bool first = true;
    for (int i = 0; i < r->n_term; i++) {
        if (p->presence[i] <= 0 || r->term[i].weight <= 0) continue;
        q_buf_printf(b, "%s%s %.1f×%.2f", first ? "" : ", ", r->term[i].word, r->term[i].weight, p->presence[i]);
        first = false;
    }
}

void rag_explain(const rag_result *r, q_buf *b)
{
    q_buf line = {0};
    char x[16];
    q_buf_printf(b, "%s\n", rag_summary(r, &line));
    q_buf_free(&line);
    if (!r->searched) return;
    q_buf_puts(b, _("words of the question: weight (in how many passages)"));
    q_buf_putc(b, '\n');
    for (int i = 0; i < r->n_term; i++) {
        const rag_term *t = &r->term[i];
        if (t->weight <= 0) continue;
        q_buf_printf(b, "  %-24s %4.1f  (%lld / %lld)%s\n", t->word, t->weight, (long long)t->with, (long long)t->of,
                     t->everyday ? _("  everyday word") : "");
    }
    for (int i = 0; i < r->n; i++) {
        const rag_passage *p = &r->v[i];
        if (p->number) q_buf_printf(b, "[%d] ", p->number);
        else q_buf_puts(b, "    ");
        q_buf_printf(b, "%3s  %s", score(p->score, x), p->label);
        if (p->fate != RAG_FED) {
            static const char *const why[] = {[RAG_FED] = "", [RAG_BELOW] = N_("cut: below the threshold"),
                [RAG_OVER_COUNT] = N_("cut: memory.max_passages"), [RAG_OVER_BUDGET] = N_("cut: by the token budget"),
                [RAG_REPEATS] = N_("cut: repeats one that was fed")};
            q_buf_printf(b, "  (%s)", _(why[p->fate]));
        }
        q_buf_printf(b, _("\n      coverage %.2f × evidence %.2f, bm25 %.2f; "), p->coverage, p->evidence, p->bm25);
        terms_of(r, p, b);
        q_buf_putc(b, '\n');
    }
}

int rag_log(mem_store *s, int64_t message, const rag_result *r, char *err)
{
    mem_log *v = q_alloc(sizeof *v * (size_t)(r->n + 1));
    for (int i = 0; i < r->n; i++) {
        const rag_passage *p = &r->v[i];
        q_buf t = {0};
        terms_of(r, p, &t);
        v[i] = (mem_log){.rank = p->rank, .number = p->number, .kind = (int)p->kind, .ref = p->id, .label = p->label,
                         .terms = q_buf_take(&t), .reason = (char *)(p->fate == RAG_FED ? "" : rag_fate_word(p->fate)),
                         .score = p->score, .coverage = p->coverage, .evidence = p->evidence, .bm25 = p->bm25, .tokens = p->tokens};
    }
    int rc = mem_log_put(s, message, v, r->n, err);
    for (int i = 0; i < r->n; i++) free(v[i].terms);
    free(v);
    return rc;
}
