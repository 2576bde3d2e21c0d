/* rag/query: reads a question: its words, which of them are grammar or everyday, and what each weighs in this memory
 * (rag.h has the formula). Pure but for the frequencies it asks memory; any thread. It never looks at a passage. */
#include "rag/query.h"

#include "rag/lists.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double BACKGROUND = 2000, EVERYDAY = 200, RARE = 2, SLIGHT = 0.8;

/* A capital letter by itself is a name (C, R, vitamin D), but for those that begin sentences. */
static bool named(const mem_word *w)
{
    return (w->flags & MEM_WORD_CAPITAL) && w->word[1] == 0 && !strchr("ai", w->word[0]);
}

static bool slight(const mem_word *w)
{
    size_t n = strlen(w->word);
    if ((w->flags & MEM_WORD_WHOLE) || named(w)) return false;
    if (w->flags & MEM_WORD_NUMBER) return n <= 2;
    return n == 1 || (n == 2 && (unsigned char)w->word[0] >= 0xC0);     /* one letter of one or two bytes */
}

static bool add_term(void *user, const mem_word *w)
{
    rag_result *r = user;
    if (w->flags & MEM_WORD_EXACT) return true;
    for (int i = 0; i < r->n_term; i++)
        if (strcmp(r->term[i].stem, w->stem) == 0) return true;
    if (r->n_term == TERMS_MAX) return false;
    r->term = q_realloc(r->term, sizeof *r->term * (size_t)(r->n_term + 1));
    r->term[r->n_term++] = (rag_term){.word = q_strdup(w->word), .stem = q_strdup(w->stem),
                                      .whole = (w->flags & MEM_WORD_WHOLE) != 0, .everyday = named(w), .weight = slight(w) ? SLIGHT : -1};
    return true;
}

struct listing { rag_result *r; bool grammar; };

static bool look_up(void *user, const mem_word *w)
{
    struct listing *l = user;
    for (int i = 0; i < l->r->n_term; i++) {
        rag_term *t = &l->r->term[i];
        /* grammar by the very form ("being" is grammar, "beings" is not); the rest by stem */
        if (strcmp(l->grammar ? t->word : t->stem, l->grammar ? w->word : w->stem) != 0) continue;
        if (l->grammar) t->weight = 0;
        else t->everyday = true;
    }
    return true;
}

static int weigh(mem_store *s, const rag_config *c, rag_result *r, char *err)
{
    struct listing l = {r, true};
    for (const char *const *row = rag_grammar_words; *row; row++) mem_words(*row, strlen(*row), look_up, &l);
    l.grammar = false;
    for (const char *const *row = rag_everyday_words; *row; row++) mem_words(*row, strlen(*row), look_up, &l);
    for (int i = 0; i < r->n_term; i++) {
        rag_term *t = &r->term[i];
        if (t->weight == 0) continue;
        for (int k = MEM_CHUNK; k <= (c->chats ? MEM_CHAT : MEM_CHUNK); k++) {
            int64_t with, of;
            int rc = mem_frequency(s, (enum mem_kind)k, t->stem, &with, &of, err);
            if (rc != Q_OK) return rc;
            t->with += with;
            t->of += of;
        }
        if (t->weight > 0) continue;
        double n = (double)t->with + (t->everyday ? EVERYDAY : RARE), all = (double)t->of + BACKGROUND;
        t->weight = log(1 + (all - n + .5) / (n + .5));
    }
    return Q_OK;
}

int rag_query(mem_store *s, const rag_config *c, const char *query, rag_result *r, char *err)
{
    mem_words(query, strlen(query), add_term, r);
    int rc = weigh(s, c, r, err);
    for (int i = 0; i < r->n_term; i++)
        if (r->term[i].weight > 0) r->searched = true;
    return rc;
}

int rag_query_words(const rag_result *r, const char *words[TERMS_MAX])
{
    int n = 0;
    for (int i = 0; i < r->n_term; i++)
        if (r->term[i].weight > SLIGHT) words[n++] = r->term[i].word;
    if (n == 0)                             /* only numbers and letters: they will have to do */
        for (int i = 0; i < r->n_term; i++)
            if (r->term[i].weight > 0) words[n++] = r->term[i].word;
    return n;
}

bool rag_cyrillic(const char *s)
{
    int ru = 0, en = 0;
    for (size_t i = 0, n = strlen(s); i < n;) {
        uint32_t c;
        i += (size_t)q_utf8_next(s + i, n - i, &c);
        ru += c >= 0x400 && c <= 0x52F;
        en += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }
    return ru * 2 > en;                     /* a Russian question may hold a long knob name */
}
