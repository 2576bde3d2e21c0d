/* cli/model: what the files of `quorum model` share: their options, and that nothing is written over by a slip. Main thread; private to cli. */
#ifndef QUORUM_CLI_MODEL_H
#define QUORUM_CLI_MODEL_H

#include "cli/common.h"

typedef struct model_option { const char *name; const char **value; bool *flag; } model_option;     /* the last has no name */

/* Sorts argv[1..] into options and at most max words; returns the number of words, or -1 after a usage message. */
int model_parse(int argc, char **argv, const model_option *o, const char **words, int max);
/* A model takes hours to fetch or to make: none is written over by a slip. */
int model_not_there(const char *path, bool force, char *err);

int model_lora_export(int argc, char **argv);              /* adapter.c */
int model_merge(int argc, char **argv);

#endif
