/* engine/grammar/grammar: what stands behind an eng_grammar. Private to engine. */
#ifndef QUORUM_GRAMMAR_FORM_H
#define QUORUM_GRAMMAR_FORM_H

#include "engine/grammar.h"
#include "engine/grammar/form.h"

const form *grammar_form(const eng_grammar *);
eng_grammar *grammar_of(form *finished);                 /* takes it */

#endif
