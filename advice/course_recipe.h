/* advice/course_recipe: a course with every choice made: which of a model's modules are what, and the numbers that its memory is counted
 * from. Private to advice/course*.c; strings are the catalogue's, the course's or constant. Errors: base.h. */
#ifndef QUORUM_ADVICE_COURSE_RECIPE_H
#define QUORUM_ADVICE_COURSE_RECIPE_H

#include "advice/course.h"

#include <limits.h>

enum { COURSE_PARTS = 6 };
/* What transformers 5 calls the parts of a family (its modeling_*.py, 5.24.0, 2026-11-28): lists of names' ends, "" where there are none.
 * Experts are parameters of three dimensions, not modules; patterns are regular expressions on parameters' names, in which a point
 * stands for itself to axolotl and for any sign to Python. */
typedef struct course_family {
    const char *arch, *type;             /* of GGUF; model_type of config.json */
    const char *attention, *dense, *experts, *router;
    bool mxfp4;                          /* published in MXFP4: widened to train */
    bool masks;                          /* TRL has a template of the family that says what the assistant says */
    const char *template_;               /* LLaMA-Factory's name of its chat template, "" none */
} course_family;

typedef struct course_shape {            /* of one model */
    uint64_t part[COURSE_PARTS];         /* parameters: attention with norms, experts, dense, routers, embeddings, head (0: tied) */
    double layers, attention_layers;
    double embd, vocab, q, kv;           /* widths; q and kv: of all heads, in a layer that has them */
    double layers_moe, experts, used, ff_expert, ff_dense;
} course_shape;

typedef struct course_recipe {
    adv_course c;                        /* nothing in it is 0 that could be chosen */
    char name[128];                      /* of the model, to be shown */
    const char *weights;                 /* repository or folder */
    char folder[PATH_MAX];               /* where weights may lie */
    const char *licence;
    const eng_known *row;                /* where --model named several models: these, of which `name` was taken; else NULL */
    const course_family *family;
    course_shape shape;
    enum adv_task task;
    int gpus;                            /* 0: on the processor */
    bool eval;                           /* there is a held-out part */
    bool offload;                        /* ZeRO on one GPU: the optimiser's numbers lie in RAM */
} course_recipe;

/* Everything but task and eval. weights is c.weights where that is given. */
/* Of a folder: made, or (force) one of ours again; a file in it; a script that ships with quorum (advice/desk). course.c */
int course_folder(const char *dir, bool force, bool *anew /* it was none of ours */, char *err);
void course_leave(const char *dir);      /* takes it away again: files of ours, and itself where nothing else is in it */
int course_put(const char *dir, const char *name, const q_buf *, bool runs, char *err);
int course_put_shipped(const char *dir, const char *name, char *err);

int course_resolve(const adv_course *, course_recipe *out, char *err);
int course_shape_of_known(const eng_known *, course_recipe *out, char *err);
int course_shape_of_folder(const char *dir, course_recipe *out, char *err);     /* config.json */
const course_family *course_family_of(const char *arch, bool moe);          /* NULL: not known */
const char *course_part_name(int i);     /* "attention", …; NULL behind the last */
const char *course_part_pattern(int i);  /* of parameters' names */
void course_load(const course_recipe *, adv_load *out);

/* Files of a folder, each added to out. */
void course_trl(const course_recipe *, q_buf *config, q_buf *desk);
void course_axolotl(const course_recipe *, q_buf *config);
void course_llamafactory(const course_recipe *, q_buf *config, q_buf *data_info);
void course_accelerate(const course_recipe *, q_buf *out);
void course_deepspeed(const course_recipe *, q_buf *out);
void course_readme(const course_recipe *, const adv_load *, const char *said, q_buf *out);
void course_run(const course_recipe *, q_buf *out);
void course_warn(const course_recipe *, const adv_load *, q_buf *said);          /* sentences, one a line */

/* ---- YAML: what stands right of a colon is JSON's, which YAML takes ---- */
void yaml_text(q_buf *, const char *key, const char *text);
void yaml_int(q_buf *, const char *key, long n);
void yaml_num(q_buf *, const char *key, double x);     /* with a point: PyYAML reads 1e-05 as a text */
void yaml_bool(q_buf *, const char *key, bool);
void yaml_list(q_buf *, const char *key, const char *words);   /* of words parted by blanks */
void yaml_note(q_buf *, const char *text);             /* a comment before what follows */

#endif
