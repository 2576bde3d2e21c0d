/* memory/entities: what passages name, as it is kept and asked for. It stands among the postings (postings.c), so that it comes
 * and goes with the words; a row a passage says the same the other way round. Takes the lock where it asks the store; any
 * thread. It never judges what a name is worth. */
#include "memory/named.h"
#include "memory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- of a text ---- */
struct telling { store_entity_fn *fn; void *user; };

static bool tell_word(void *user, const mem_entity *e)
{
    struct telling *t = user;
    char word[NAMED_KEY + 4] = {STORE_ENTITY, e->kind};
    snprintf(word + 2, sizeof word - 2, "%s", e->key);
    t->fn(t->user, word);
    return true;
}

void store_entities_tell(struct named_text *x, int field, const char *text, size_t n, store_entity_fn *fn, void *user)
{
    struct telling t = {fn, user};
    named_tell(x, text, n, (enum named_field)field, tell_word, &t);
}

static bool take_word(void *user, const mem_word *w)
{
    named_word(user, w);
    return true;
}

void mem_entities(const char *text, size_t n, mem_entity_fn *fn, void *user)
{
    struct named_text x = {0};
    mem_words(text, n, take_word, &x);
    named_tell(&x, text, n, NAMED_TEXT, fn, user);
    named_free(&x);
}
