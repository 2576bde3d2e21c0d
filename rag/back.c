/* rag/back: whether a question stands by itself. Pure function of its words; any thread. It never looks at memory. */
#include "rag/rag.h"

#include "rag/lists.h"

#include <string.h>

enum { WORDS_MAX = 14, RARE_MAX = 2 };   /* a longer question, and one with more words of its own, stands by itself */

struct look { const char *key; bool found; };

static bool look_at(void *user, const mem_word *w)
{
    struct look *l = user;
    l->found = strcmp(w->stem, l->key) == 0;
    return !l->found;
}

/* A form as it stands between blanks: the lists are folded already. */
static bool in_row(const char *row, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = row; n && (p = strstr(p, key)) != NULL; p++)
        if ((p == row || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0)) return true;
    return false;
}

bool rag_listed(const char *const *rows, const char *key, bool stem)
{
    struct look l = {key, false};
    for (; *rows && !l.found; rows++) {
        if (stem) mem_words(*rows, strlen(*rows), look_at, &l);
        else l.found = in_row(*rows, key);
    }
    return l.found;
}

struct kinds { int words, rare, everyday, pointing, polite; bool goes_on, polite_first; };

static bool sort_word(void *user, const mem_word *w)
{
    struct kinds *k = user;
    if (w->flags & (MEM_WORD_EXACT | MEM_WORD_WHOLE)) return true;
    bool polite = rag_listed(rag_polite_words, w->word, false);
    if (k->words++ == 0) {
        k->goes_on = rag_listed(rag_going_on_words, w->word, false);
        k->polite_first = polite;
    }
    k->polite += polite;
    if (rag_listed(rag_pointing_words, w->word, false)) k->pointing++;
    else if (mem_grammar(w->word) || rag_listed(rag_asking_words, w->word, false)) return k->words <= WORDS_MAX;
    else if (rag_listed(rag_everyday_words, w->stem, true)) k->everyday++;
    else k->rare++;
    return k->words <= WORDS_MAX;
}

bool rag_points_back(const char *question)
{
    struct kinds k = {0};
    mem_words(question, strlen(question), sort_word, &k);
    if (k.words == 0 || k.words > WORDS_MAX || k.rare > RARE_MAX) return false;
    if (k.polite_first && !strchr(question, '?')) return false;         /* thanks, that was good */
    if (k.goes_on || k.pointing) return true;
    return k.rare == 0 && k.everyday <= 1 && k.polite == 0;             /* "How often?", "Why?" */
}
