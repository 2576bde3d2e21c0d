/* engine/adapter/modules: what Hugging Face's models call their parameters, by architecture, and how those lie against the matrices of a
 * GGUF. Constant tables and pure functions, any thread; private to engine. Names: transformers' modeling files and gguf-py's tensor_mapping.py. */
#ifndef QUORUM_MODULES_H
#define QUORUM_MODULES_H

#include "engine/run/arch.h"

/* How the rows of a parameter give those of its roles. */
enum module_rows {
    MODULE_SAME,                       /* as they are; of several roles one's after another's */
    MODULE_HEADS,                      /* of each head the halves that rotate together: turned into pairs (module_row) where pairs are adjacent */
    MODULE_PAIRS                       /* of two roles in turns: even rows are the first's */
};

typedef struct module_place {
    enum ker_role role[3];
    int n;                             /* roles, 1 to 3 */
    int layer;                         /* -1: of the whole model */
    int expert;                        /* of a parameter that is one routed expert's; else -1 */
    bool stacked;                      /* all routed experts in one parameter, of three dimensions */
    bool across;                       /* ... each with its rows and columns exchanged (gpt-oss) */
    enum module_rows rows;
} module_place;

/* The place of a parameter ("model.layers.3.mlp.experts.5.gate_proj.weight", "….mlp.experts.gate_up_proj"), whatever stands before
 * "model." of a language model in a larger one. a NULL: of any architecture that has such a name. False: unknown. */
bool module_find(const arch *a, const char *name, module_place *out);
/* The name of the parameter that holds this role; expert >= 0: where experts have parameters of their own; -1: where they are stacked, or
 * none of experts. Fits 160 bytes. False: it has none. */
bool module_name(const arch *a, enum ker_role role, int layer, int expert, char *out, size_t n);
/* Heads' rows are turned in this architecture's files (llama.cpp, conversion of LlamaModel: permute). */
bool module_turns(const arch *a);
/* The parameter's row for row i of a role whose rows [first, first + n_out) of all it holds: dim numbers a head. */
int64_t module_row(const arch *a, enum module_rows rows, int64_t i, int64_t first, int which, int dim);

#endif
