/* advice/course: training folders and staged plans. From a published model (or a folder that Hugging Face's trainers read), files of
 * examples and a machine comes a folder that runs: the trainer's own file, accelerate's or DeepSpeed's, data as that trainer reads it, what
 * memory it will take by part, and what to watch. Several of them in a row, with checks between, are a plan.
 *
 * Trained by TRL 1.16.0, axolotl 0.19.0 or LLaMA-Factory 0.9.5 (versions that the keys were checked against: tests/course). Nothing is run
 * here. Sizes are bytes. Folders are made new, or over an earlier one of ours with force. Errors: base.h. Any thread. */
#ifndef QUORUM_ADVICE_COURSE_H
#define QUORUM_ADVICE_COURSE_H

#include "advice/advice.h"

enum adv_trainer { ADV_TRL, ADV_AXOLOTL, ADV_LLAMAFACTORY, ADV_TRAINERS };
enum adv_method { ADV_LORA, ADV_QLORA /* the frozen weights in 4 bits */, ADV_FULL, ADV_METHODS };
enum adv_shard { ADV_ALONE, ADV_ZERO2, ADV_ZERO3, ADV_FSDP, ADV_SHARDS };
/* What is trained; bits. Norms go with attention. */
enum adv_trained { ADV_ATTENTION = 1, ADV_EXPERTS = 2 /* routed ones */, ADV_DENSE = 4 /* dense layers and shared experts */, ADV_ROUTERS = 8, ADV_EMBEDDINGS = 16,
                   ADV_HEAD = 32 };
enum adv_order { ADV_AS_IS, ADV_EASY_FIRST, ADV_HARD_FIRST, ADV_ORDERS };

typedef struct adv_course {              /* zero-initialise; what is 0 or NULL is chosen */
    enum adv_trainer trainer; enum adv_method method; enum adv_shard shard;
    unsigned trained;                    /* 0: all that the method and the trainer can, but routers */
    const char *model;                   /* as eng_catalog_find takes it, or a folder with config.json */
    const char *weights;                 /* what the trainer loads; NULL: the model's repository or that folder */
    const adv_machine *machine;
    const char *const *data; int n_data; /* files of examples */
    const char *heldout;                 /* a share ("0.05", the default) or a file of examples */
    int context, batch, accumulate, rank, rank_expert, steps;      /* tokens; examples a GPU; …; of LoRA; 0 steps: epochs */
    double rate, epochs;                 /* learning rate */
    double stop_loss; int patience;      /* held-out loss that is good enough; evaluations in a row without a better one */
    enum adv_order order;                /* of the examples; the order itself is made by adv_course_order */
} adv_course;

/* What one GPU must hold (the machine, where there is none), by part, and all together; how it is counted: advice/course_memory.c. */
typedef struct adv_load {
    uint64_t weights, adapter, gradients, optimiser, activations, logits, room, total, have;
    uint64_t trained, params;            /* parameters */
    uint64_t offloaded;                  /* gradients and optimiser in RAM (ZeRO on one GPU) */
    uint64_t merging;                    /* RAM that joining the adapter with the model takes; 0: nothing is joined */
    bool experts_stay_wide;              /* 4 bits were asked for, routed experts stay in 16 */
    bool fits;
} adv_load;

enum adv_task { ADV_TEXT /* continued */, ADV_TALK /* conversations */, ADV_PAIRS /* chosen and rejected answers */ };
typedef struct adv_coursed {             /* what became of it; adv_coursed_free */
    enum adv_task task;
    long examples, heldout, broken;      /* broken: lines left out, said in `said` */
    adv_load load;
    char *said;                          /* sentences, one a line: what a person should know before it runs */
} adv_coursed;
void adv_coursed_free(adv_coursed *);    /* contents */

/* Writes the folder. Q_RANGE: something that this trainer cannot do, is wrong, or a folder that is there (without force). */
int adv_course_write(const adv_course *, const char *dir, bool force, adv_coursed *out, char *err);
/* As JSON (malloc'ed) and in words: the estimate by part, then `said`. */
char *adv_coursed_json(const adv_course *, const adv_coursed *);
void adv_coursed_say(const adv_course *, const adv_coursed *, q_buf *out);
/* Words on a command line and in a plan: the row, or -1. what: "trainer", "method", "order", "shard". trained: 0: err says what there is. */
int adv_course_word(const char *what, const char *word);
unsigned adv_course_trained(const char *list, char *err);

/* ================= dramaturgy: examples in the order of their difficulty ================= */
/* An example as plain text, from a line of a folder's own data; each loss is of the model that is to judge, in nats a token. */
int adv_course_text(const char *line, size_t n, q_buf *out, char *err);
/* Writes data/train.jsonl of a folder anew in that order, and difficulty.csv, difficulty.svg beside it. n: lines of the file; NAN: not
 * measured, these go last. Equal ones keep their order. */
int adv_course_order(const char *dir, const double *loss, int n, enum adv_order, char *err);
void adv_course_sorted(double *loss, int n, enum adv_order);     /* the losses as the file has them then */
void adv_course_plot(const double *loss, int n, int columns, q_buf *out);            /* for a terminal */

/* ================= staged plans (advice/course_plan.c says the file) ================= */
enum { ADV_STAGES = 64, ADV_STAGE_DATA = 64 };
typedef struct adv_stage {
    char *name, *dir;                    /* "embedding"; "01-embedding" */
    adv_course course;                   /* its strings and data are the plan's */
    char *data[ADV_STAGE_DATA];
    char *judge;                         /* a GGUF model whose losses order the examples; NULL */
    double forget;                       /* most bits a byte that earlier held-out texts may become worse by; share */
    double gain;                         /* least that its own held-out text must become better by; share */
} adv_stage;
typedef struct adv_plan adv_plan;
/* Q_FORMAT: err names line and key. Paths in it are read from the plan's own folder. */
int adv_plan_read(const char *path, adv_plan **out, char *err);
void adv_plan_free(adv_plan *);
const char *adv_plan_machine(const adv_plan *);       /* machine = …; NULL: it names none */
void adv_plan_on(adv_plan *, const adv_machine *);   /* kept by the caller */
int adv_plan_stages(const adv_plan *, const adv_stage **out);
/* dir with a folder for each stage and run.sh. out: [stages], adv_coursed_free each. */
int adv_plan_write(const adv_plan *, const char *dir, bool force, adv_coursed *out, char *err);

#endif
