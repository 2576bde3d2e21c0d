/* engine/grammar/guide: a reply on its way through a grammar, token by token: which may come, and where the reply stands then. One a
 * sampler and grammar, of its thread; model and lexicon outlive it. Private to engine. */
#ifndef QUORUM_GUIDE_H
#define QUORUM_GUIDE_H

#include "engine/grammar/grammar.h"
#include "engine/grammar/mask.h"

typedef struct guide guide;
guide *guide_new(const eng_model *, const lexicon *);
void guide_free(guide *);
/* The grammar from here on, at its beginning; taken. NULL: none. */
void guide_set(guide *, eng_grammar *);
void guide_begin(guide *);               /* the text begins again */
bool guide_on(const guide *);
/* Bits as masks_of; NULL: anything may come. thought: the token that opens one too. *ended: the text is whole and nothing may come;
 * *stuck: it is not, and nothing may. */
const uint64_t *guide_mask(guide *, bool thought, bool *ended, bool *stuck);
void guide_take(guide *, int32_t token);
masks_count guide_counts(const guide *);

#endif
