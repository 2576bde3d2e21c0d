/* advice: which model for which machine. What a machine has (found, measured, or named from a table), what a published model or a
 * file takes of it in each type, where it lies, how fast it will be, and what to say about it. Numbers come from shapes
 * (engine/models.h), from a measurement, or from a row with source and date; a guess says that it is one.
 *
 * Everything here is plain data and pure but adv_machine_here, which looks at this machine and takes up to three seconds. Any thread.
 * Errors: base.h. Sizes are bytes; GiB only where something is shown. */
#ifndef QUORUM_ADVICE_H
#define QUORUM_ADVICE_H

#include "engine/models.h"

/* ================= machines ================= */
enum { ADV_GPUS = 16 };
typedef struct adv_gpu { char name[64]; uint64_t bytes, free; double bandwidth; /* bytes a second; 0 unknown */ } adv_gpu;
typedef struct adv_machine {
    char name[64], title[128];           /* "rtx-pro-6000"; "RTX PRO 6000 Blackwell, 96 GB"; "here": this one */
    uint64_t ram, ram_free;              /* cgroup limits heeded, page cache counts as free */
    uint64_t disk_free;                  /* where models are kept; 0 unknown */
    int cores;                           /* that may be used */
    char cpu[96], isa[32];               /* as it calls itself; of kernels/ */
    double ram_bandwidth;                /* bytes a second, read by all threads; 0 unknown */
    double disk;                         /* bytes a second that experts are read with; 0 unknown */
    double madds;                        /* multiply-adds a second in prefill, all threads; 0 unknown */
    adv_gpu gpu[ADV_GPUS]; int n_gpu;
    bool no_plugin;                      /* of this machine: its GPUs compute once quorum's plugin for them is built */
    bool measured;                       /* bandwidth and madds were; else from the table */
    bool told;                           /* nobody looked: of ram a tenth is taken for the system's, the rest is ram_free */
    const char *source, *date;           /* of a table's row; "" of this machine */
} adv_machine;
/* What there is here; measure: bandwidth and prefill too (three seconds at most). Never fails: what is not found is 0. */
void adv_machine_here(bool measure, adv_machine *out);
/* Rows of advice/machines.ini: "rtx-pro-6000", "5090", "4090", "h100", "h200", "m4-max", "strix-halo", "cpu-64g", …, several GPUs as "4x4090". */
void adv_machine_told(adv_machine *, double gib);      /* so much memory, as somebody says; see told */
int adv_machine_find(const char *name, adv_machine *out, char *err);        /* Q_NOTFOUND: err lists them */
int adv_machines(const adv_machine **out, int *n, char *err);

/* ================= what a model takes, and where it fits ================= */
enum adv_place { ADV_GPU, ADV_SPLIT /* routed experts in RAM, the rest on the GPU */, ADV_RAM, ADV_DISK /* experts read as they are asked for */, ADV_NOWHERE };
typedef struct adv_wish {
    const char *type;                    /* "Q4_K_M", "Q8_0", "BF16", …: rows of engine/make/synth.c */
    const char *kv_type;                 /* NULL: f16 */
    int context, users;                  /* 0: 8192, 1 */
    int k;                               /* experts a token; 0: the model's own */
} adv_wish;
typedef struct adv_fit {
    eng_energy costs;                    /* of the whole model in this type */
    uint64_t weights, kv, state, room;   /* bytes: file's tensors; all users' cells; recurrent states; what else a run takes */
    uint64_t kv_token;                   /* of one token */
    enum adv_place place;
    uint64_t on_gpu, in_ram, on_disk;    /* how it is split */
    int context_max;                     /* the longest that still fits in this place; 0: none */
    double weights_ram;                  /* ADV_DISK: GiB for --weights-ram; else 0 */
    double decode, prefill;              /* tokens a second foretold for one user; 0: nothing is known to foretell from */
    bool guess;                          /* from a table's bandwidth, not from a measurement */
} adv_fit;
/* Q_RANGE: no such type for this shape. A model that fits nowhere is no error: ADV_NOWHERE. */
int adv_fit_known(const eng_known *, const adv_wish *, const adv_machine *, adv_fit *out, char *err);
int adv_fit_file(const char *path, const adv_wish *, const adv_machine *, adv_fit *out, char *err);     /* its own type; wish.type is ignored. By this program: on one GPU, or none where ours computes no such model */

/* ================= which one ================= */
enum { ADV_PACE = 8 /* tokens a second: below that an answer comes slower than one reads; a line that we drew */,
       ADV_NEW = 12 /* months before the newest model of the list: what is older comes after what is not */ };
enum adv_why { ADV_BEST, ADV_FITS /* runs well, has fewer weights */, ADV_OLD, ADV_SLOW, ADV_BIG /* lies nowhere, or on the disk */, ADV_ELSEWHERE /* this engine does not compute it */ };
typedef struct adv_ask { const char *family, *want; int context, users; } adv_ask;      /* NULL, 0: all, whatever answers, 8192, 1 */
typedef struct adv_choice {
    const eng_known *known;
    const eng_variant *variant;
    const char *type;                    /* of the file: static */
    adv_fit fit;
    int k[3];                            /* experts: 1, 8, 16 as far as there are so many; 0: dense, or fewer */
    double decode[3];                    /* tokens a second at each; 0 unknown */
    enum adv_why why;
} adv_choice;
/* What a model counts for beside dense ones, in thousand millions: all its weights, of a mixture no more than five times what a token reads of
 * them. That Qwen3's mixtures do as well as dense models with a fifth of the active weights say their makers, of their own base models (Qwen3
 * Technical Report, arXiv 2505.09388, 2025-05-14, section 3.3). */
double adv_counts_for(const eng_known *);
/* The best first: of the models that run at ADV_PACE or faster in memory and are not old, the one that counts for most: that more weights
 * answer better is a rule of thumb, which `quorum bench reasoning` checks. *out malloc'ed. Q_NOTFOUND: no such family, or nothing of it
 * is published as wanted. That nothing fits is no error: no row is ADV_BEST then. */
int adv_choose(const adv_ask *, const adv_machine *, adv_choice **out, int *n, char *err);
/* What was chosen and why, the others and why not, the table; width in columns. */
void adv_say(const adv_ask *, const adv_machine *, const adv_choice *, int n, int width, q_buf *out);
void adv_json(const adv_ask *, const adv_machine *, const adv_choice *, int n, q_buf *out);
/* Its first words alone, two sentences: which one to take and why, or what comes nearest where nothing does; how it is brought; why one is not
 * the best (best: the first of the list where that is ADV_BEST, else NULL). malloc'ed. Where a model lies, in one word: static. */
char *adv_best_words(const adv_ask *, const adv_choice *, int n);
char *adv_get_words(const adv_choice *);
char *adv_why_words(const adv_choice *, const adv_choice *best);
const char *adv_place_words(enum adv_place);
/* Which of a list are named as runners-up, in the order in which they are said: places in it, as many as `most`. Returns how many. */
int adv_others(const adv_choice *, int n, int most, int *out);

/* ================= one file here, and what else there is for this machine ================= */
enum { ADV_KS = 4 /* 1, 8, 16 and the model's own */, ADV_OTHERS = 9 };
typedef struct adv_about {
    adv_machine machine;
    char name[160];                      /* what the file is called; "": it is of no file, the next five are 0 */
    adv_fit fit;
    int k[ADV_KS], n_k;                  /* experts a token, rising; n_k 0: dense */
    double decode[ADV_KS];               /* tokens a second foretold at each; 0 unknown */
    uint64_t read[ADV_KS], token;        /* bytes of weights a token reads at each, and as the model has it */
    double measured;                     /* tokens a second that its last answer ran at, as whoever has it fills in; 0: none did */
    adv_choice *choice; int n;           /* all published ones for this machine, the best first; owned */
} adv_about;
/* path NULL: of no file. Whatever comes of it, *out is to be given to adv_about_free. */
int adv_about_read(const char *path, const char *name, const adv_machine *, adv_about *out, char *err);
void adv_about_copy(const adv_about *, adv_about *out);
void adv_about_free(adv_about *);                        /* contents, not the struct */
/* What k costs, what else would fit; whole: the recommendation before it, the others and the table behind. width in columns; 0: a line a
 * paragraph, for who breaks lines himself, and a table of 80. */
void adv_say_about(const adv_about *, bool whole, int width, q_buf *out);
void adv_json_about(const adv_about *, bool whole, q_buf *out);

#endif
