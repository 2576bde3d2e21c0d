/* lab: what routing means. How often each expert runs usually, a window over recent tokens, and both as the cells that a
 * person sees; of a running answer and of a stored one. Owns the usual rates of every model that was seen (kept in the
 * store as settings "usual.*") and one mutex around all of a lab_watch, so that its calls may come from any thread.
 * It never asks how a token was made: positions are handed in. No call of the watch fails; what cannot be read or kept is
 * learnt again.
 *
 * Only names of other rooms' types stand here, so that whoever shows a lab_view needs no other header. */
#ifndef QUORUM_LAB_H
#define QUORUM_LAB_H

#include "base/base.h"

#include <stdatomic.h>
#include "base/knob.h"

struct mem_store;
struct mem_trace;
struct eng_cache;
struct eng_session;
struct eng_config;
struct eng_model;

/* ================= what is seen ================= */
enum lab_bent { LAB_FREE, LAB_BANNED, LAB_PINNED };         /* never unusual when it is not free */
typedef struct lab_cell { float rate, usual; bool now; int8_t dev; /* -2 far less … 0 usual … +2 far more */ uint8_t bent; bool breaks; /* lab_guard */ bool taught; /* an adapter that acts changes it */ } lab_cell;
typedef struct lab_odd { int layer, expert; float ratio; int8_t dev; } lab_odd;
/* Routing as a person should see it: how far each expert is from its usual rate under the present configuration
 * (lab/window.c has the formulas). Arrays belong to the caller's struct and are reused: zero-initialise, lab_view_free. */
typedef struct lab_view {
    uint64_t version;                    /* changes when anything did */
    int n_layer, first_layer, n_expert;  /* routed layers only; cell[l * n_expert + e] */
    int k;
    lab_cell *cell;
    float *strange;                      /* [n_layer] 0..1: how unusual the layer's routing is now (the strip's glyph) */
    float *entropy, *margin;             /* [n_layer] of the last token; margin NAN: none */
    uint16_t *now;                       /* [n_layer][k_max] ids of the last token, best first, 0xFFFF pads */
    float *now_weight;                   /* the same shape; NAN unknown */
    int k_max;
    lab_odd odd[8]; int n_odd;           /* most unusual first */
    float repeat, repeat_chance;         /* share of a token's experts that also ran for the token before; by chance */
    float mean_entropy, mean_margin;     /* entropy over log n_expert, mean over layers */
    int learned, learn_need;             /* tokens seen towards "usual" of 256 */
    bool estimated;                      /* too few of them: "usual" is reckoned from another k that is known */
    bool stored;                         /* of a stored answer, not of the running one */
    int n_tokens;
} lab_view;
void lab_view_free(lab_view *);          /* contents, not the struct */
/* Which experts ran is known, their weights are not: of a server. */
static inline bool lab_view_bare(const lab_view *v)
{
    for (int l = 0; l < v->n_layer && v->now && v->now_weight; l++)
        if (v->now[l * v->k_max] != 0xFFFF)
            return v->now_weight[l * v->k_max] != v->now_weight[l * v->k_max];
    return false;
}

/* ================= what is watched ================= */
struct lab_guard;
typedef struct lab_watch lab_watch;
typedef struct lab_shape { int n_all, first, n_layer, n_expert; } lab_shape;   /* all layers; the first routed one, how many, experts */
typedef struct lab_how {                 /* how the next positions are made */
    uint64_t model;                      /* names the model among the settings */
    uint64_t hash;                       /* of the configuration; only its positions teach what is usual */
    const char *k, *k_default;           /* experts.k as text, of the configuration and of the model itself */
    int k_max;                           /* the largest k over layers */
    const char *config;                  /* JSON of what differs from the model's defaults; NULL: nothing does */
} lab_how;
typedef struct lab_position {            /* one evaluated token; arrays as in the trace: ids best first, 0xFFFF pads */
    int32_t token;
    int pos;
    uint64_t config;
    bool prompt;
    int n_layer, max_k;
    const uint16_t *ids;                 /* [n_layer][max_k] */
    const float *weights;                /* [n_layer][max_k], NULL: not kept */
    const float *entropy, *margin;       /* [n_layer], NULL: not kept */
} lab_position;

/* store: where usual rates and traces are kept; NULL: nowhere. It must outlive the watch. */
lab_watch *lab_watch_new(struct mem_store *store);
void lab_watch_free(lab_watch *);
void lab_watch_config(lab_watch *, const lab_shape *s, const lab_how *h);     /* a model or its configuration is new */
void lab_watch_unload(lab_watch *);                      /* the model is gone */
void lab_watch_clear(lab_watch *);                       /* another conversation: the window forgets, what is usual stays */
void lab_watch_add(lab_watch *, const lab_position *p);  /* a position of the running answer */
void lab_watch_stored(lab_watch *, int64_t message);     /* shows a stored answer; nothing changes where it has no trace */
void lab_watch_live(lab_watch *);                        /* shows the running answer again, once there is one */
void lab_watch_get(lab_watch *, lab_view *io);           /* copies when io->version is behind */
void lab_watch_guard(lab_watch *, const struct lab_guard *);    /* of the present model: its cells are marked */
void lab_watch_taught(lab_watch *, const uint8_t *changed /* [n_layer of all][n_expert], copied; NULL: none */, int n_layer, int n_expert);    /* likewise, by adapters */
void lab_watch_save(lab_watch *);                        /* usual rates that changed, to the store */

/* ================= the energy map (lab/energy.c; the numbers are eng_energy's, engine/models.h) ================= */
typedef struct lab_bill {                /* of a file, or where path is NULL of the published shapes that `like` names */
    const char *path, *arch, *like, *type;   /* arch NULL: whatever has these shapes; type NULL: Q4_K_M */
    bool measure;                        /* read bandwidth of this machine, and from it a ceiling: takes a third of a second */
    double bandwidth;                    /* bytes a second of another one instead; 0: none was named */
    uint64_t spared;                     /* bytes that ffn.width, as it is set now, does not read of a token's; 0: said nothing */
    const struct lab_adapted *added;     /* by adapters; NULL or of 0 adapters: none acts */
    const struct lab_fetched *fetched;   /* experts that lay on the disk, in the last answer; NULL: none, or no answer yet */
} lab_bill;
/* The share of those chosen that lay in memory; bytes that were read and milliseconds that were waited for them, a token. */
typedef struct lab_fetched { double there, bytes, wait_ms; } lab_fetched;
/* What adapters add to a token as they are set: params multiply-adds and bytes read, of[0] beside the layers, of[1 + l] in layer l; experts: routed ones that they change. */
typedef struct lab_adapted { int adapters, n_layer, experts; const struct lab_adapted_at { uint64_t params, bytes; } *of; } lab_adapted;
int lab_energy(const lab_bill *, q_buf *text, q_buf *json, char *err);       /* either may be NULL */
/* The same as numbers, for whoever draws it. What a token costs is a part that it costs at every k and one for each expert. */
enum { LAB_COSTS_ROWS = 10, LAB_COSTS_PARTS = 6, LAB_COSTS_KV = 4 };
typedef struct lab_costs_row {
    int k;
    bool own, now;                       /* the model's own k; the present one */
    uint64_t params, bytes, flops;       /* of a token: that take part; read of weights; operations with an empty context */
    double ceiling;                      /* tokens/s at most by the bandwidth, states read and written counted; 0: not measured */
} lab_costs_row;
typedef struct lab_costs {               /* zero-initialise; nothing to free */
    char name[128], type[32];
    int n_expert, n_used, k;             /* n_expert 0: dense; k: the one that rows and parts are marked for, n_used without */
    lab_costs_row row[LAB_COSTS_ROWS]; int n_row;        /* k rising; a dense model has one */
    struct { const char *label; /* N_() */ uint64_t bytes; } part[LAB_COSTS_PARTS];    /* read a token at k */
    uint64_t flops_cell;                 /* operations more for each token of context */
    uint64_t flops_near;                 /* ... and for each of the last `window`; 0: none */
    int window, n_near, n_sinks;         /* layers that see no further; layers with attention sinks */
    struct lab_costs_kv { const char *type; double bytes; } kv[LAB_COSTS_KV]; int n_kv;      /* bytes of cache a token of context, in each kv.type */
    int n_recurrent; uint64_t state_bytes;               /* recurrent layers, and what all of them remember, read and written a token */
    double bandwidth;                    /* bytes/s; 0: not measured */
    uint64_t spared;                     /* bytes of a token that ffn.width leaves unread now: the caller's; rows are without it */
    uint64_t added_bytes, added_params;  /* of a token, by adapters that act; likewise */
    uint64_t base[3], each[3], expert;   /* params, bytes, flops: at every k, and for each expert; part experts at k 1 */
} lab_costs;
int lab_costs_read(const char *path, bool measure, lab_costs *out, char *err);     /* a header; measuring takes a third of a second */
void lab_costs_at(lab_costs *, int k);   /* rows and parts for the present k; below 1: the model's own */

/* ================= experts that a model cannot do without (lab/guard.c) ================= */
/* A short built-in text is evaluated under the model's own settings, then again with one expert left out, as experts.ban does
 * it. Where that can be done for every expert within LAB_GUARD_PASSES readings of the text, it is. Else each is estimated first:
 * left out only for the tokens that it ran for, which costs k readings of the layers behind a layer for all of its experts together,
 * however many there are; then the worst by that, and the LAB_GUARD_LOUD with the strongest output (an eighth of the rows at
 * most; what they leave behind reaches tokens they did not run for), are left out wholly: as many as the readings allow,
 * LAB_GUARD_LEAST at least. Work is counted, not
 * timed, so that the same model gives the same list everywhere. Kept in the store, a row of settings a model. What was not left
 * out is never called safe. */
enum { LAB_GUARD_MOST = 256, LAB_GUARD_LEAST = 64, LAB_GUARD_LOUD = 8, LAB_GUARD_PASSES = 290 };
#define LAB_GUARD_BREAKS 0.1             /* nats a token more: a tenth more perplexity */
#define LAB_GUARD_QUICK 5e10             /* of lab_guard_terms.work: a quarter of a minute on two cores */
typedef struct lab_guard {               /* zero-initialise; nothing to free */
    double loss;                         /* nats a token of the text, all experts in place */
    int tokens, n_layer, n_expert;       /* n_layer: all layers */
    int all, seen;                       /* routed experts of the model; of these, layer by layer, the first `seen` were estimated, or with `every` left out */
    bool every;                          /* there is no estimate: the rows are the worst of all that were left out */
    int n, tried;                        /* rows; of these the first `tried` were left out: all of them with `every`, there the worst first */
    double passes, done, pass_s;         /* readings of the whole text that all of it takes, that were done; seconds of one here, 0: not measured */
    struct { int layer, expert; float strength; double rise; } row[LAB_GUARD_MOST];   /* rise: of the loss, an estimate where not tried; INFINITY: no numbers are left */
} lab_guard;
bool lab_guard_read(struct mem_store *, uint64_t model, lab_guard *out);         /* false, and out zero: nothing is kept */
typedef struct lab_guard_terms {
    struct mem_store *store;             /* where it is kept; NULL: nowhere */
    double work;                         /* active parameters times readings at most; 0: any. Larger models are read twice, for pass_s, and Q_RANGE comes without a sentence */
    int passes, most;                    /* 0: LAB_GUARD_PASSES; LAB_GUARD_MOST: rows at most */
    bool (*go_on)(void *user, int done, int total);   /* asked several times a layer; false: Q_CANCEL, what was found is kept */
    void *user;
} lab_guard_terms;
/* Goes on from io (n 0: from the start); beside: a cache of the model, whose cells stay as they are. Engine thread. */
int lab_guard_look(struct eng_cache *beside, const lab_guard_terms *, lab_guard *io, char *err);
int lab_guard_model(struct eng_model *, const lab_guard_terms *, lab_guard *io, char *err);
bool lab_guard_whole(const lab_guard *);                    /* there is nothing left to look at */
double lab_guard_left(const lab_guard *);                   /* seconds that what is left takes here; 0: not known, or nothing */
enum lab_guarded { LAB_UNTRIED, LAB_HARMLESS /* below LAB_GUARD_BREAKS on that text */, LAB_BREAKS };
/* *rise: where it is in a row; else as it was. */
enum lab_guarded lab_guard_of(const lab_guard *, int layer, int expert, double *rise);
void lab_guard_say(const lab_guard *, q_buf *out);
void lab_guard_json(const lab_guard *, q_buf *out);

/* ================= the picture of a configuration (lab/map.c) ================= */
typedef struct lab_map {                 /* what it is drawn from; nothing owned */
    const char *name, *label;            /* of the model; of what differs from its own settings */
    int n_layer, n_head, n_expert, first, n_moe, ctx_train;      /* first, n_moe: the routed layers */
    const char *(*value)(void *user, const char *knob, q_buf *); /* a knob's value as text, "" for what is not known */
    const char *(*own)(void *user, const char *knob, q_buf *);   /* the model's own */
    void *user;
    const uint8_t *recurrent;            /* [n_layer] 1: a state stands where others have heads; NULL: none */
    const int32_t *window;               /* [n_layer] the last tokens that a layer sees, 0: all; NULL: every layer sees all */
    bool sinks;                          /* attention has sinks */
} lab_map;
void lab_map_text(const lab_map *, int columns /* 30 to 300 */, q_buf *out);
void lab_map_svg(const lab_map *, q_buf *out);
void lab_map_json(const lab_map *, q_buf *out);

/* ================= brains: configurations under a name (lab/brain.c) ================= */
/* Only what differs from a model's own stands in one, as text that the knobs take: "x2" is twice the model's own. Shipped ones
 * are part of the program; a person's are NAME.json in "brains" beside config.ini. A name is letters, digits, . - and _,
 * 64 bytes at most, never a path. Errors: base.h; Q_NOTFOUND names those that are there. Any thread. */
typedef struct lab_brain {               /* owned; lab_brain_free */
    char *name, *note;                   /* note: a sentence about it, "" for none */
    char *model;                         /* it was saved with, "" for none */
    char **knob, **value; int n;
    bool shipped;
    char *problem;                       /* in a list: why the file cannot be read; NULL */
} lab_brain;
void lab_brain_free(lab_brain *);        /* contents, not the struct */
int lab_brain_read(const char *name, lab_brain *out, char *err);
int lab_brain_list(lab_brain **out, int *n, char *err);      /* shipped ones first, then by name; lab_brains_free */
void lab_brains_free(lab_brain *, int n);
/* One list of a brain, what "experts.ban=@NAME" stands for: its bans, pins, biases or heads alone; a brain that has only another of
 * these lends that one to a ban or a pin. *value: malloc'ed, NULL on an error. */
int lab_brain_list_of(const char *name, const char *knob, char **value, char *err);
/* settings: a JSON object of texts by knob. Q_RANGE: the name is no name, a shipped one's, or (!over) taken. */
int lab_brain_save(const char *name, const char *settings, const char *model, bool over, char *err);
int lab_brain_rename(const char *from, const char *to, char *err);
int lab_brain_delete(const char *name, char *err);
bool lab_is_name(const char *);          /* what may be one */
bool lab_brain_taken(const char *name);  /* there is such a file of the person's */

/* ================= two configurations on the same tokens (lab/compare.c) ================= */
/* What a person writes for a configuration: a brain's name (then said gets a line for each of its settings that does nothing
 * here), or settings as in k=4,rope.theta=5e5 (a comma before a NAME= parts two; what stands behind a knob's point will do for
 * its name where it is the only one; experts.ban=@NAME takes a brain's list): whole or not at all. c: the model's own before. */
int lab_spec(struct eng_config *c, const char *spec, q_buf *said, char *err);
/* What the knob is called that NAME means there; NULL: none, or several. */
const char *lab_spec_name(const char *name);
/* Does a setting NAME=... begin here? Then a comma before it parts two. */
bool lab_spec_begins(const char *s);
/* NAME=VALUE with "@BRAIN" for a list put in its place; else a copy. *out: malloc'ed, NULL on an error. knob: what NAME is, or NULL. */
int lab_spec_lists(const q_knob *knob, const char *setting, char **out, char *err);

typedef struct lab_interval { double mean, low, high; } lab_interval;  /* 95%, by bootstrap over blocks of text (lab/judge.c) */
/* Of the mean of n values, each drawn for itself; n > 0. Any thread. */
lab_interval lab_mean_of(const double *value, int n);
typedef struct lab_token {               /* one predicted token */
    int32_t id;
    float dlogp;                         /* log-probability under B less that under A, nats */
    float kl;                            /* KL(A||B) of the two distributions, nats                      */
    int32_t head;                        /* the token before it, where nothing foretells that: a context begins with it; -1 */
    int block;                           /* the paragraph, or the piece, it stands in                    */
    bool same_top;                       /* both have the same likeliest token                           */
} lab_token;
typedef struct lab_compared {            /* zero-initialise; lab_compared_free */
    lab_token *token;
    int n, blocks;
    bool by_paragraph;                   /* else blocks are pieces of equal length: there are too few paragraphs */
    lab_interval kl, dlogp, noise;       /* noise: KL(A||A with another kv.type), the yardstick                  */
    char yardstick[16];                  /* that kv.type                                                         */
    double logp[2];                      /* mean log-probability of a token under A and B */
    double top1;                         /* share of tokens with the same likeliest next token */
    bool different;                      /* kl.low is above noise.high */
    bool more_experts;                   /* one side runs more experts than the model was made with */
    uint64_t bytes[2];                   /* of weights, read a token */
    double rate[2];                      /* tokens a second one after another, measured now; 0: it could not be */
    int n_layer, first_layer;            /* routed ones; 0: dense */
    double *overlap;                     /* [n_layer] experts that both run, of the fewer that one of them runs */
} lab_compared;
typedef struct lab_terms {
    int window;                          /* tokens that are evaluated as one context; 0: 1,024 or what the model knows */
    bool (*go_on)(void *user, int done, int total);   /* between pieces; false ends it with Q_CANCEL; NULL */
    void *user;
    const atomic_bool *stop;             /* lab_compare and lab_compare_talks: set by any thread, a piece that runs ends too; NULL */
} lab_terms;
/* While it lives, what runs over the caches of these sessions (4 at most) ends with Q_CANCEL soon after *stop is set. stop NULL: NULL. By the sessions'
 * thread, before they are freed. */
typedef struct lab_halt lab_halt;
lab_halt *lab_halt_new(const atomic_bool *stop, struct eng_session *const *session, int n);
void lab_halt_free(lab_halt *);
/* Teacher-forced: the same tokens under a, b and the yardstick, in lock-step, contexts evaluated anew. text: UTF-8, at least
 * 32 tokens. Owns its caches while it runs. The model's thread. */
int lab_compare(struct eng_model *, const struct eng_config *a, const struct eng_config *b, const char *text, size_t n,
                const lab_terms *, lab_compared *out, char *err);
/* The same over conversations, each a context and a block of the bootstrap of its own: only tokens that a mask names are judged, foretold by
 * what stands before them. Q_RANGE: none is. */
typedef struct lab_talk { const int32_t *token; const uint8_t *mask; int n; } lab_talk;
int lab_compare_talks(struct eng_model *, const struct eng_config *a, const struct eng_config *b, const lab_talk *, int n, const lab_terms *, lab_compared *out, char *err);
void lab_compared_free(lab_compared *);  /* contents, not the struct */
/* In words; a and b: how the sides are called. */
void lab_compared_say(const lab_compared *, const char *a, const char *b, q_buf *out);
typedef struct lab_pair { const char *a, *b;        /* as lab_spec takes them; NULL: `now` */
                          const char *now; } lab_pair;   /* JSON of a configuration, NULL: the model's own */
/* The same on the model of `beside`, in caches of its own: in words, as JSON (malloc'ed) and as columns. Engine thread. */
struct lab_columns;
int lab_compare_beside(struct eng_cache *beside, const lab_pair *, const char *text, size_t n, const lab_terms *, q_buf *words, char **json, struct lab_columns *cols, char *err);
struct cJSON;
struct cJSON *lab_compared_json(const lab_compared *, const char *a, const char *b);     /* cJSON_Delete */

/* ================= two models on the same text (lab/other.c) ================= */
/* Whatever their tokenizers: bits for each byte of the text. Each context is the same bytes for both and begins with the
 * model's own beginning token, or a line break where it has none, so that every byte is foretold by both. */
typedef struct lab_two {
    const char *path[2];
    const char *spec[2];                 /* as lab_spec takes it; NULL: the model's own, or `now` */
    const char *now;                     /* JSON of the first's configuration; NULL */
    struct eng_model *first;             /* it is open already; NULL: it is opened here */
    int threads;
    bool apart;                          /* one after the other, even where both fit: only bits a byte then */
    void (*say)(void *user, const char *sentence);   /* what should be known beforehand; NULL */
    void *user;
} lab_two;
typedef struct lab_bits {                /* lab_bits_free */
    char *model[2];
    uint64_t read[2];                    /* bytes of weights, read a token */
    int tokens[2];
    int64_t bytes;                       /* of text, foretold by both */
    lab_interval bits[2], less;          /* bits a byte; B's less A's, paired */
    int blocks;
    bool by_paragraph, different;        /* different: the interval of `less` is without 0 */
    bool same_vocabulary, compared;      /* compared: kl is set: both were in memory and ids mean the same */
    lab_compared kl;
} lab_bits;
int lab_other(const lab_two *, const char *text, size_t n, const lab_terms *, lab_bits *out, q_buf *said, char *err);
int lab_other_beside(struct eng_cache *, const lab_two *, const char *text, size_t n, const lab_terms *, lab_bits *out, q_buf *said, char *err);   /* its model is the first */
void lab_bits_free(lab_bits *);          /* contents, not the struct */
void lab_bits_say(const lab_bits *, const char *a, const char *b, q_buf *out);       /* in words */
struct cJSON *lab_bits_json(const lab_bits *, const char *a, const char *b);
char *lab_bits_data(const lab_bits *, const char *a, const char *b);                 /* its text; malloc'ed */
/* Do weights of a and b bytes go into `have` bytes together (2) or one after the other (1)? 0: not even so. say: the sentence
 * for it, for 2 nothing. */
int lab_room_for(uint64_t a, uint64_t b, uint64_t have, q_buf *say);

/* ================= what a text before answers adds to them (lab/added.c) ================= */
typedef struct lab_reply { const int32_t *prompt; int n_prompt; const int32_t *answer; int n; } lab_reply;     /* both have a token at least */
typedef struct lab_added {
    int n, answers, blocks;              /* tokens that are judged */
    bool by_answer;                      /* blocks are answers; else pieces of them: they are fewer than a dozen */
    lab_interval dlogp;                  /* with it less without it, nats a token */
    double logp[2];                      /* means, without and with */
    double noise;                        /* what another kv.type differs by at most, within its interval */
    bool enough;                         /* tokens and blocks, to tell anything */
    int verdict;                         /* 1: they are likelier with it, -1: less likely, 0: no difference above noise */
} lab_added;
int lab_tokens(struct eng_cache *beside, const char *text, size_t n, int32_t **out, char *err);      /* plain: no control tokens; malloc'ed, returns how many */
/* Log-probability of each token of each answer behind its prompt, under a configuration (JSON; NULL: the model's own), in a cache of its own: what
 * prompts share is evaluated once, in their order. yardstick: with another kv.type. logp: [sum of n]. The model's thread. */
int lab_replies(struct eng_cache *beside, const char *config, bool yardstick, const lab_reply *, int n, const lab_terms *, double *logp, char *err);
/* own, yardstick: of one prompt, without and with yardstick. r: for the answers' lengths alone. Any thread. */
lab_added lab_added_of(const double *without, const double *with, const double *own, const double *yardstick, const lab_reply *r, int n);

/* ================= several answers at once (lab/voices.c) ================= */
/* Timelines of one prompt in lock-step, each under its own configuration and seed; what of the prompt they share is evaluated
 * and held once. */
typedef struct lab_voice {
    const char *spec;                    /* over `now`, as lab_spec takes it; NULL: just `now` */
    uint64_t seed;
    bool own;                            /* over the model's own, and of `now` the sampler only */
} lab_voice;
typedef struct lab_ask {
    const int32_t *prompt; int n;        /* ids */
    const char *now;                     /* JSON of a configuration; NULL: the model's own */
    const lab_voice *voice; int n_voice; /* LAB_VOICES at most */
    int most;                            /* tokens of an answer */
    bool cross;                          /* of two voices: each token is judged under the other's configuration too */
} lab_ask;
enum { LAB_VOICES = 64 };
typedef struct lab_word {                /* one token of an answer */
    int32_t id;
    float logp;                          /* under its own configuration */
    float over, kl;                      /* that less the other's; KL(own||other) here; NAN without cross */
} lab_word;
typedef struct lab_answer {              /* lab_answers_free */
    char *text;                          /* valid UTF-8 */
    lab_word *word; int n;
    size_t *at;                          /* [n] where each begins in text; beyond it where it was cut off */
    bool ended;                          /* by itself, or at a stop string */
    uint64_t bytes;                      /* of weights, read a token */
    double rate;                         /* tokens a second of this configuration alone, measured afterwards; 0: not (cross only) */
} lab_answer;
/* out: [n_voice], zeroed here. Owns its caches while it runs. Engine thread. */
int lab_answer_beside(struct eng_cache *, const lab_ask *, const lab_terms *, lab_answer *out, char *err);
void lab_answers_free(lab_answer *, int n);              /* contents, not the array */
/* The configuration that a spec makes of `now`: bytes of weights it reads a token. */
int lab_spec_cost(struct eng_cache *, const char *now, const char *spec, uint64_t *bytes, char *err);

/* ================= side by side (lab/columns.c) ================= */
typedef struct lab_piece {               /* a token as it is shown */
    char *text;                          /* whole characters, maybe none */
    float over;                          /* log-probability under its own side's configuration less under the other's; NAN */
    float kl;
} lab_piece;
typedef struct lab_column {
    char *name;                          /* the configuration as it was asked for; NULL: not to be known yet */
    lab_piece *piece; int n;
    bool whole;                          /* all of the text; the answer ended by itself */
    double rate;                         /* tokens a second one after another, measured; 0: not */
    double logp, kl;                     /* means a token; NAN: not known, and bytes neither */
    uint64_t bytes;                      /* of weights, read a token */
} lab_column;
typedef struct lab_columns {             /* lab_columns_free */
    lab_column side[2];
    int first;                           /* piece before which they differ for the first time: the token, or with one text the likeliest; -1 */
    bool answers;                        /* each side's own answer, else one text under both */
    bool blind;                          /* which is which is not to be known, nor told by numbers */
    char *note;                          /* a sentence below; NULL */
} lab_columns;
/* Two answers to one prompt, each token judged under the other's configuration: ask with two voices and cross. Engine thread. */
int lab_columns_beside(struct eng_cache *, const lab_ask *, const lab_terms *, lab_columns *out, char *err);
/* Two answers that are there already, each with its name and its tokens a second (0: not known): piece by piece a word, no token judged. Any thread. */
void lab_columns_of_texts(const char *const name[2], const char *const text[2], const double rate[2], lab_columns *out);
void lab_columns_copy(const lab_columns *from, lab_columns *to);
void lab_columns_free(lab_columns *);    /* contents, not the struct */
char *lab_column_numbers(const lab_column *);        /* what stands under it; malloc'ed */
char *lab_columns_json(const lab_columns *);         /* malloc'ed; what blind answers must not tell is not in it */
void lab_columns_say(const lab_columns *, q_buf *out);   /* for line mode; of one text the place of the first difference only */
/* Two-sided sign test: how likely so uneven a count is where both are liked alike (Dixon and Mood 1946); ties are left out. Of the pairs that two
 * models answer differently it is McNemar's exact test. */
double lab_sign_test(int more, int less);

/* A short answer as it is counted: letters small, without frame words, quotes and closing points, numbers in one form; from
 * behind "answer:" where that stands. NULL: it is long, so that no two would be the same. malloc'ed. (lab/vote.c) */
char *lab_vote_key(const char *answer);
/* Counts keys [n] (NULL: long ones, which do not vote); *best is the index of the first of the most frequent, -1: there is
 * none; returns how often it came. *majority: more than half of those that vote. */
int lab_vote_count(char *const *key, int n, int *best, int *votes, bool *majority);

/* ================= experiments: one change, judged and written down (lab/experiment.c) ================= */
/* Records are NUMBER.json in "experiments" in the data directory, 1 to LAB_EXPERIMENTS. Errors: base.h. */
enum { LAB_EXPERIMENTS = 999999 };
typedef struct lab_trial {
    const char *now;                     /* JSON of the baseline; NULL: the model's own */
    const char *change;                  /* one NAME=VALUE */
    const char *on, *model;              /* what the text is, who reads it: as the record names them */
} lab_trial;
typedef struct lab_experiment {          /* lab_experiment_free */
    int number;
    int64_t when_ms;
    char *model, *on, *said;             /* said: the comparison in words */
    char *before;                        /* JSON of the baseline */
    char *json;                          /* the whole record */
    char *knob, *value, *was;            /* the change, and what stood there */
    lab_interval dlogp;
    bool different, kept;
    bool unfinished;                     /* it was cut off, or runs in another program: nothing was measured */
    char *problem;                       /* in a list: why the file cannot be read; NULL */
} lab_experiment;
/* Baseline against the change on the text, and the record, which is there from the beginning, gets what was measured at the end (one
 * that is stopped leaves none) and says that it was not kept. Where only the record fails, it has
 * number 0 and its problem says why. Engine thread. */
int lab_experiment_beside(struct eng_cache *, const lab_trial *, const char *text, size_t n, const lab_terms *, lab_experiment *out, char *err);
int lab_experiment_read(int number, lab_experiment *out, char *err);
int lab_experiment_list(lab_experiment **out, int *n, char *err);    /* oldest first; lab_experiments_free */
int lab_experiment_keep(int number, char *err);          /* the record says from now on that the change was kept */
void lab_experiment_free(lab_experiment *);              /* contents, not the struct */
void lab_experiments_free(lab_experiment *, int n);

/* ================= one knob at several values (lab/sweep.c) ================= */
typedef struct lab_range {
    const char *knob;                    /* its name, or what stands behind the point: "k" */
    const char *values;                  /* "1,2,4", "1..16", "0.5..2/0.25", several with commas between; 64 at most */
    const char *now;                     /* JSON of the configuration that they stand in; NULL: the model's own */
} lab_range;
typedef struct lab_swept_row {
    char value[24];                      /* as the knob has it; as it was asked for where it is refused */
    char *refused;                       /* why the knob does not take it, and nothing below is set; NULL */
    bool own;                            /* the model's own value, which the others are measured against */
    lab_interval logp;                   /* mean log-probability of a token, nats: perplexity is exp(-logp) */
    lab_interval over;                   /* that less the own value's, paired token by token */
    double top1;                         /* share of tokens with the same likeliest next token as under the own value */
    double rate;                         /* tokens a second one after another, measured now; 0: it could not be */
    uint64_t bytes;                      /* of weights, read a token */
} lab_swept_row;
typedef struct lab_swept {               /* zero-initialise; lab_swept_free */
    lab_swept_row *row;                  /* in the order asked for; the own value is among them */
    int n, tokens, blocks;
    bool by_paragraph;
    char knob[40], own[24];
} lab_swept;
/* Each value in `now` and in a cache of its own, on the same tokens. Q_RANGE: the knob takes none of them, or acts on nothing
 * that is measured here. The model's thread. */
int lab_sweep(struct eng_model *, const struct eng_config *now, const lab_range *, const char *text, size_t n, const lab_terms *, lab_swept *out, char *err);
int lab_sweep_beside(struct eng_cache *, const lab_range *, const char *text, size_t n, const lab_terms *, lab_swept *out, char *err);
void lab_swept_free(lab_swept *);        /* contents, not the struct */
enum lab_form { LAB_WORDS, LAB_JSON, LAB_CSV };
void lab_swept_say(const lab_swept *, enum lab_form, q_buf *out);    /* words: a table and a plot, 78 columns at most */

/* ================= sets of routing (lab/routes.c, lab/routes_csv.c) ================= */
/* Which experts ran for many tokens, of one answer or of several. Nothing in it says what a token was. Any thread, one at a time. */
typedef struct lab_routes lab_routes;
void lab_routes_free(lab_routes *);
int lab_routes_tokens(const lab_routes *);
/* From a CSV as /trace save writes it, by the names of its columns. n_expert: of the model; 0: not known, then as many as
 * the largest number says. Q_FORMAT names the line. */
int lab_routes_csv(const char *text, size_t n, int n_expert, lab_routes **out, char *err);
/* Of the answers that stand under a name in the store (memory/memory.h); *model: whose. Q_RANGE: they are of several models. */
int lab_routes_tag(struct mem_store *, const char *name, int n_expert, lab_routes **out, uint64_t *model, char *err);
/* Of a text under c, evaluated in contexts of their own (lab_terms below). Q_RANGE: nothing is routed. The model's thread. */
struct lab_terms;
int lab_routes_text(struct eng_model *, const struct eng_config *c, const char *text, size_t n, const struct lab_terms *,
                    lab_routes **out, char *err);

/* How the load lies on the experts of each layer (lab/load.c). Numbers of experts mean nothing across layers. */
enum { LAB_COUPLES = 8 };
typedef struct lab_couple { int a, b, together; double chance; } lab_couple;   /* tokens for which both ran; so many by chance */
typedef struct lab_layer_load {
    int layer;
    double k;                            /* experts a token, mean */
    double *load;                        /* [n_expert] share of tokens for which it ran */
    double entropy, gini, peak;          /* of the load: entropy over log N; Gini; largest over mean */
    double repeat, repeat_chance;        /* of a token's experts those that also ran for the token before; by chance */
    double router_entropy, margin;       /* means of what the router said, entropy over log N; NAN: not kept */
    lab_couple couple[LAB_COUPLES]; int n_couple;   /* together more often than by chance, the farthest beyond it first */
} lab_layer_load;
typedef struct lab_load { int tokens, n_layer, n_expert; bool known; lab_layer_load *layer; } lab_load;   /* known: how many experts there are */
void lab_load_of(const lab_routes *, lab_load *out);
void lab_load_free(lab_load *);          /* contents, not the struct */
void lab_load_say(const lab_load *, q_buf *out);
struct cJSON;
void lab_layer_load_json(const lab_layer_load *, int n_expert, struct cJSON *into);      /* adds members; what the router said is left out */

/* Which experts differ between two sets (lab/differ.c has the test). */
typedef struct lab_moved { int layer, expert; double share[2]; /* of what its layer ran */ double p; } lab_moved;
typedef struct lab_drift { int layer; double js, chance, p; } lab_drift;    /* Jensen-Shannon, bits; its mean when the sets are mixed */
typedef struct lab_differ {              /* p: corrected for how many were tried */
    int tokens[2], blocks[2], n_layer, n_expert, tried;
    lab_drift *drift;                    /* [n_layer] */
    lab_moved *moved; int n_moved;       /* p below .05, the smallest first */
} lab_differ;
/* Q_RANGE: other layers or experts, or fewer than 64 tokens in one. */
int lab_differ_of(const lab_routes *a, const lab_routes *b, const lab_terms *, lab_differ *out, char *err);    /* go_on is asked before each dealing */
void lab_differ_free(lab_differ *);
void lab_differ_say(const lab_differ *, const char *a, const char *b, q_buf *out);
struct cJSON *lab_differ_json(const lab_differ *);      /* cJSON_Delete */

/* ================= zooms: a layer, an expert (lab/zoom.c) ================= */
/* Over the recorded routing of answers of one model: how the load lies on a layer's experts; of one of them where it ran. */
enum { LAB_ZOOM_TOKENS = 12, LAB_ZOOM_MET = 5 };
typedef struct lab_zoom_answer { int64_t message, chat; char *begins; /* its first words, on one line; owned */ int tokens, ran; } lab_zoom_answer;
typedef struct lab_zoom_token {          /* a token that it ran for; texts as q_say_visible makes them, owned */
    int32_t id;
    int ran, of, answer, at;             /* times that it ran, of how many there were; where its weight was largest: index of the answer, token from 1 */
    double chance, weight;               /* so many by its share alone; mean weight of those it ran for */
    char *before, *text, *after;         /* there: text "" where nobody can spell it */
} lab_zoom_token;
typedef struct lab_zoom_met { int layer, expert, together; double chance; } lab_zoom_met;    /* tokens for which both ran; so many by chance */
typedef struct lab_zoom {                /* zero-initialise; lab_zoom_free */
    int layer, expert;                   /* expert -1: the layer, and nothing below `load` but `answer` (ran 0) is set */
    int tokens, ran, n_expert, left_out; /* left_out: answers of other models */
    bool all;                            /* of all stored conversations, else of one; */
    int not_read, damaged;               /* then: older answers that were not looked at, and records that could not be read */
    lab_layer_load load;
    lab_zoom_answer *answer; int n_answer;
    lab_zoom_token token[LAB_ZOOM_TOKENS]; int n_token;  /* it ran for most often, first */
    lab_zoom_met met[2 * LAB_ZOOM_MET]; int n_met;       /* experts of the routed layers beside, the layer above first, farthest beyond chance first */
} lab_zoom;
typedef struct lab_zoom_terms {
    const int64_t *message; int n;       /* answers with routing, of one model, in order */
    int n_expert;                        /* of the model; 0: not known */
    int layer, expert;                   /* as in lab_zoom */
    void (*spell)(void *user, int32_t token, q_buf *out);        /* NULL: nobody can */
    void *user;
    int most;                            /* the newest answers of about so many tokens in all, passing over what cannot be read; 0: every one, or none */
    bool (*go_on)(void *user, int done, int total);              /* between two answers; false ends it with Q_CANCEL; NULL */
} lab_zoom_terms;
/* Any thread but spell's. Q_NOTFOUND: no answers; Q_RANGE: no such layer or expert; Q_FORMAT: a record is damaged. */
int lab_zoom_of(struct mem_store *, const lab_zoom_terms *, lab_zoom *out, char *err);
void lab_zoom_free(lab_zoom *);          /* contents, not the struct */
/* In words; the rows of an expert's tables take `columns` cells at most (30 to 300). now: the running window, for a layer's table; NULL. */
void lab_zoom_say(const lab_zoom *, const lab_view *now, int columns, q_buf *out);
struct cJSON *lab_zoom_json(const lab_zoom *);   /* cJSON_Delete */

/* ================= what if (lab/whatif.c) ================= */
/* One position evaluated again, from the cells before it, under another configuration: what the next token would be. */
enum { LAB_NEXT = 16 };
typedef struct lab_likely { int32_t id; char *text; /* all of it visible; owned */ double p[2]; } lab_likely;    /* before, after */
typedef struct lab_turned { int layer, n[2], same; uint16_t id[2][8]; } lab_turned;   /* experts that run, of how many both; the first that only one side runs */
typedef struct lab_whatif_result {              /* zero-initialise; lab_whatif_free */
    int pos;                             /* evaluated: the timeline's token there */
    char *text, *follows;                /* it; what came after it, NULL: nothing. owned */
    char *banned[2], *idle;              /* experts.ban, "": none; of `after` those that it pins or biases though they are banned, NULL: none. owned */
    bool same;                           /* both configurations are alike */
    double p_follows[2];
    double kl, entropy[2], ms;           /* KL(before||after), nats; how long it took */
    lab_likely *word; int n_word;        /* the 8 likeliest of either */
    lab_turned *layer; int n_layer;      /* routed ones */
} lab_whatif_result;
/* The timeline stays as it was: nothing is kept. before: what made the position; after: rope.* and kv.type as there. Q_RANGE
 * says what cannot be tried so. The model's thread. */
int lab_whatif(struct eng_session *, int pos, const struct eng_config *before, const struct eng_config *after, lab_whatif_result *out, char *err);
/* The same for whoever knows configurations as text: now is the JSON of what made it; spec as lab_spec takes it, over that ("": nothing, and
 * said may be NULL). */
int lab_whatif_spec(struct eng_session *, int pos, const char *now, const char *spec, q_buf *said, lab_whatif_result *out, char *err);
void lab_whatif_free(lab_whatif_result *);       /* contents, not the struct */
void lab_whatif_say(const lab_whatif_result *, const char *spec, q_buf *out);
struct cJSON *lab_whatif_json(const lab_whatif_result *);        /* cJSON_Delete */

/* ================= an answer's timeline again (lab/past.c) ================= */
/* A stored answer with all that stood before it, evaluated once more in a cache of its own: its positions can then be asked about as
 * those of the running one. Gone before the cache that it was made beside. The model's thread. */
typedef struct lab_past lab_past;
typedef struct lab_past_run { int n; const char *config; } lab_past_run;       /* of so many tokens in a row the cells were made by this; JSON, NULL: the model's own */
typedef struct lab_past_of {
    const int32_t *token; int n;         /* the whole text */
    int first;                           /* so many tokens stand before the answer, whose record has the others, and perhaps more */
    const lab_past_run *run; int n_run;  /* together n */
    int from;                            /* before this token of the answer, from 0, all was made anew: its record is of another timeline, and not looked at */
} lab_past_of;
/* Evaluates nothing yet. Everything is copied. Refused with sizes where the memory is short. */
int lab_past_new(struct eng_cache *beside, const lab_past_of *, lab_past **out, char *err);
void lab_past_free(lab_past *);          /* NULL is fine */
/* Evaluates what is left. terms may be NULL. Q_CANCEL: what is there stays, and the next call goes on. t: the answer's record. */
int lab_past_read(lab_past *, const struct mem_trace *t, const lab_terms *terms, char *err);
struct eng_session *lab_past_session(lab_past *);
int lab_past_left(const lab_past *);     /* tokens that are not evaluated yet */
int lab_past_off(const lab_past *);      /* the first token of the answer, from 0, that ran otherwise than its record says, by a bit; -1: none so far.
                                            What another configuration made than the record says is not looked at */

/* ================= an answer's routing replayed (lab/replay.c) ================= */
typedef struct lab_record {              /* what is known of how an answer was made */
    const char *const *config; int n_config;     /* JSON of every configuration that made tokens of it */
    const char *now;                     /* JSON of what stands against them where no settings are named */
} lab_record;
enum { LAB_RECORD, LAB_OTHER, LAB_HELD };        /* its experts forced; other settings; other settings, its experts forced */
typedef struct lab_held { lab_interval kl, dlogp; double top1; } lab_held;       /* against how it was made; nats a token */
typedef struct lab_replayed {
    int n, n_layer, pieces;              /* of so many the intervals are: one tells nothing of chance */
    lab_held side[3];
    double overlap;                      /* experts that both run, as it was made and other */
} lab_replayed;
/* The answer's tokens again on forks of the timeline, beside each other, in its cache; nothing is kept. spec: settings over
 * those that made it (as lab_spec takes them), NULL: now. Q_RANGE says why it cannot be. The model's thread. */
int lab_replay(struct eng_session *, const struct mem_trace *, const lab_record *, const char *spec, q_buf *said, const struct lab_terms *,
               lab_replayed *out, char *err);
/* The same where its tokens stand in several timelines, a part of them in each: new, the parts in their order, end. What stands
 * before a part is as it was made on every side. */
typedef struct lab_parts lab_parts;
int lab_parts_new(struct eng_cache *beside, const struct mem_trace *, const lab_record *, const char *spec, q_buf *said, lab_parts **out, char *err);
int lab_parts_add(lab_parts *, struct eng_session *, int from, int to, const struct lab_terms *, char *err);      /* tokens of the answer, from 0 */
void lab_parts_end(lab_parts *, lab_replayed *out);         /* after the last token */
void lab_parts_free(lab_parts *);
void lab_replayed_say(const lab_replayed *, const char *spec, q_buf *out);
struct cJSON *lab_replayed_json(const lab_replayed *);   /* cJSON_Delete */

/* What is usual before anybody said anything: evaluates a built-in text where nothing is known of the present k yet and
 * that costs about a second at most, on the model of `beside`, in a cache of its own. busy(user) is asked every 32 tokens; true ends it.
 * True: it was ended so and there is more to do. Engine thread. */
bool lab_baseline(lab_watch *, struct eng_cache *beside, const char *config, bool (*busy)(void *user), void *user);

#endif
