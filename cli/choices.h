/* cli/choices: the questions of quorum eval choices. Private to cli; single-threaded. */
#ifndef QUORUM_CLI_CHOICES_H
#define QUORUM_CLI_CHOICES_H

#include "engine/engine.h"

/* Prints how likely each choice of each line of file is (json), and how often the right one is the likeliest. */
int cli_choices(eng_model *, const eng_config *, const char *file, bool json, char *err);

#endif
