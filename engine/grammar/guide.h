/* engine/grammar/guide: a reply on its way through a grammar, token by token: which may come, and where the reply stands then. One a
 * sampler, of its thread; the model outlives it. Made where a grammar is first asked for, since a vocabulary takes a while. Private to engine. */
#ifndef QUORUM_GUIDE_H
#define QUORUM_GUIDE_H

#include "engine/grammar/grammar.h"
#include "engine/grammar/mask.h"

typedef struct guide guide;
guide *guide_new(const eng_model *);
void guide_free(guide *);
/* The grammar from here on, at its beginning; taken. NULL: none. */
void guide_set(guide *, eng_grammar *);
void guide_begin(guide *);               /* the text begins again */
bool guide_on(const guide *);
/* Bits as masks_of; NULL: anything may come. thought: the token that opens one too. *ended: the text is whole and nothing may come;
 * *stuck: it is not, and nothing may. */
const uint64_t *guide_mask(guide *, bool thought, bool *ended, bool *stuck);
int32_t guide_thought(const guide *);    /* the token that opens a thought; -1 */
void guide_take(guide *, int32_t token);
masks_count guide_counts(const guide *);

#endif
