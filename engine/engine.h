/* engine: the model. GGUF in; tokens, logits and routing out. Owns mmapped weights, the vocabulary,
 * configurations, sessions (KV pages with their provenance) and the trace ring.
 * It never touches SQLite, curses, or words for people beyond error sentences.
 * Text and its tokens are in engine/text.h, finding and making model files in engine/models.h.
 *
 * Threads: an eng_model is immutable after open and may be read from any thread. An eng_session belongs
 * to one thread (the engine thread), except the calls marked [any]. Errors: base.h. */
#ifndef QUORUM_ENGINE_H
#define QUORUM_ENGINE_H

#include "base/base.h"
#include "base/knob.h"

typedef struct eng_model eng_model;
typedef struct eng_config eng_config;
typedef struct eng_cache eng_cache;
typedef struct eng_session eng_session;

/* ================= model ================= */
/* Where models that are opened from now on compute: "cpu" (as the program starts), "cuda", "cuda:N", or "auto": a GPU where
 * one answers and the model goes, else the CPU. Main's, before any thread. */
enum eng_rest { ENG_REST_CPU, ENG_REST_FETCHED };         /* experts that do not fit on the GPU: the CPU computes them, or they are brought */
typedef struct eng_place {
    const char *what, *named;                             /* named: "QUORUM_DEVICE" where that said so; NULL: --device, or nobody */
    int gpu_layers;                                       /* ENG_REST_CPU: routed experts of so many layers on the GPU, -1 as many as fit */
    double budget_gib;                                    /* of the GPU's memory, 0 all that is free */
    enum eng_rest rest;
    double weights_gib;                                   /* of this machine's memory for weights, 0 no bound, below 0 as little as can be: routed experts beyond
                                                             it are read when they are chosen (CPU only) */
} eng_place;
int eng_device_choose(const eng_place *, char *err);
int eng_device_index(void);                               /* the N of cuda:N that was chosen, else 0 */

/* What the first use or `quorum doctor --gpu` found of a GPU under this plugin and driver is kept for the user. Where it
 * computes wrongly, models are not opened there. */
enum eng_trust { ENG_TRUST_UNKNOWN, ENG_TRUST_GOOD, ENG_TRUST_BAD };
struct ker_backend;
struct ker_device;
struct ker_ways;
enum eng_trust eng_gpu_trust(const struct ker_backend *, const struct ker_device *);
/* ways: which products a library does there (NULL or all zero: none); they are kept with the verdict. */
int eng_gpu_trust_put(const struct ker_backend *, const struct ker_device *, enum eng_trust, const struct ker_ways *ways, char *err);
void eng_gpu_ways(const struct ker_backend *, const struct ker_device *, struct ker_ways *to);

typedef struct eng_open_opts {
    int n_threads;                                    /* 0 = all cores */
    double weights_gib;                               /* as eng_place has it, where the start bounds nothing and asks for no GPU; 0: no bound */
    bool vocab_only;                                  /* tokenizer only: a file without tensors is enough */
    bool ignore_memory;                               /* skip the "does it fit" check (tests) */
    bool unrun;                                       /* to look at it and its weights: nothing is loaded and no cache can be made of it */
    void (*progress)(void *user, uint64_t done, uint64_t total);   /* may be NULL; caller's thread */
    bool (*go_on)(void *user);                        /* asked before each layer; false: Q_CANCEL; may be NULL */
    void *user;
} eng_open_opts;

int eng_model_open(const char *path, const eng_open_opts *o, eng_model **out, char *err);
void eng_model_free(eng_model *);

typedef struct eng_frame {                            /* of a conversation: what the file's chat template allows */
    bool chat;                                        /* there is one */
    bool thinks;                                      /* it knows Qwen3's thinking switch */
    const char *note;                                 /* NULL, or why a conversation is refused: it is not known here */
    bool tools;                                       /* tools can be offered, and calls are recognised */
} eng_frame;
typedef struct eng_groups { int n, used; } eng_groups;  /* experts are chosen in the best `used` of n groups; n 0: there are none */
typedef struct eng_info {                             /* strings live as long as the model */
    const char *path, *name, *arch, *quant;           /* quant: "Q4_K_M", from file_type or the commonest type */
    const char *languages;                            /* "en", "en,ru" or "" (unknown) */
    uint64_t file_bytes, params;                      /* all weights */
    int n_layer, n_embd, n_head, n_kv_head, head_dim, n_vocab, n_ctx_train;
    int n_expert, n_expert_used, n_ff_exp, n_ff_sh;   /* 0 in dense models */
    int first_moe_layer, n_moe_layer;                 /* dense leading layers come first */
    eng_groups groups;
    bool carved;                                      /* has quorum.router_scale */
    eng_frame frame;
    uint64_t id;                                      /* hash of header and sizes: names the model in caches and stores */
    double load_s;
} eng_info;
const eng_info *eng_model_info(const eng_model *);
bool eng_layer_is_moe(const eng_model *, int layer);
/* [n_layer] 1: a recurrent layer, which has a state and no cells, and no heads that could be silenced; malloc'ed; NULL: there is none. */
uint8_t *eng_recurrent_layers(const eng_model *);
/* [n_layer] how many of the last tokens a layer sees, 0: all; malloc'ed; NULL: every layer sees all. *sinks: attention has sinks. */
int32_t *eng_layer_windows(const eng_model *, bool *sinks);
int eng_model_threads(const eng_model *);                 /* the device's now: a session sets them before a batch */
const char *eng_model_device(const eng_model *);          /* "cpu", "cuda:0 NVIDIA H100 80GB HBM3"; lives as long as the model */
const char *eng_model_device_note(const eng_model *);     /* "", or a sentence: how it is divided, or why it is the CPU after all */
bool eng_model_device_fell(const eng_model *);            /* ... and it is the CPU, though a GPU is there or was asked for: for a warning */
/* Of a model whose routed experts are read when they are chosen (eng_place.weights_gib): bytes of memory for weights (those of every token,
 * slots of experts), of all routed experts, the share of them that has a slot, whether reads go past the system's cache. Since it was
 * opened, over all its sessions: experts that ran, that were brought, of these by a guess of the next layer's choice and rightly so;
 * bytes read, and how long passes stood still for them. False: all weights lie in memory. [any] */
typedef struct eng_ondisk {
    uint64_t rest, slots, experts;
    double share;
    bool direct;
    uint64_t asked, brought, guessed, right, bytes, wait_ns;
} eng_ondisk;
bool eng_model_ondisk(const eng_model *, eng_ondisk *out);
/* The tensors as mapped, for measuring reads: of file 0, 1, ... that the model lies in; NULL: there is no such file. */
const void *eng_model_pages(const eng_model *, int file, size_t *bytes);
/* Parameters that take part in one token under c (as eng_energy_active counts them: embedding and head whole), and bytes of
 * weights read for it (layers and head apart; of the embedding a row, which counts as nothing; KV reads excluded). */
typedef struct eng_cost { uint64_t params, bytes_layers, bytes_head; } eng_cost;
eng_cost eng_model_cost(const eng_model *, const eng_config *c);

/* ================= knobs and configurations ================= */
/* Rows of the engine's knobs (experts.*, rope.*, norm.eps, context.length, kv.type, attention.heads_off, ffn.width,
 * sampler.*, think, threads); in the order in which they should be listed. */
const q_knob *eng_knobs(int *n);
const q_knob *eng_knob(const char *name);              /* one of them, by its name or an aka; NULL: none */
/* The numbers a knob may have in this model; false: it takes no number, or has nothing to act on here (experts.k of a
 * dense model), or is fixed by the weights. */
bool eng_config_range(const eng_config *, const char *name, double *min, double *max);
/* A configuration with the model's own defaults (sampler defaults of the model's family included). */
eng_config *eng_config_new(const eng_model *);
eng_config *eng_config_copy(const eng_config *);
void eng_config_free(eng_config *);
/* Sets one knob from text ("8", "1,6,11", "0:5=2.0", "yarn", "default"). On failure nothing changes and err says the
 * allowed range for this model. `name` may be the knob's name or an aka. */
int eng_config_set(eng_config *, const char *name, const char *value, char *err);
/* The value in effect as text that eng_config_set would take; returns buf. */
const char *eng_config_get(const eng_config *, const char *name, q_buf *buf);
double eng_config_number(const eng_config *, const char *name);      /* NAN: it is no number, or several */
/* experts.k by delta in every routed layer, held within 1 and what there are; the largest then (0: nothing is routed). */
int eng_config_nudge_k(eng_config *, int delta);
bool eng_config_is_default(const eng_config *, const char *name);
int eng_config_k(const eng_config *);                     /* largest k over layers in effect */
/* Hash of everything that acts on hidden states (not the sampler, think, threads, context.length). Equal hash =
 * interchangeable cells. */
uint64_t eng_config_hash(const eng_config *);
uint64_t eng_config_hash_all(const eng_config *);          /* with the sampler: names a message's settings */
/* A short label of what differs from the model's defaults: "k 4", "k 12 · theta 5e5"; "": nothing does. */
const char *eng_config_label(const eng_config *, q_buf *buf);
/* All non-default forward and sampling knobs as one JSON object text {"experts.k":"4",...}; malloc'ed. And back. */
char *eng_config_json(const eng_config *);
int eng_config_from_json(eng_config *, const char *json, char *err);
/* Mildest effect class under which a → b can be applied (Q_EFFECT_SAMPLING when equal). */
enum q_effect eng_config_diff(const eng_config *a, const eng_config *b);

/* ================= cache ================= */
/* What the timelines of one model share: the memory of their cells, scratch, and the configurations in use. One thread a
 * cache; its model outlives it. */

/* Pages for `timelines` timelines of c's context.length in c's kv.type, and some to find former branches in. Refused with
 * sizes when they do not fit. */
int eng_cache_new(eng_model *, const eng_config *c, int timelines, eng_cache **out, char *err);
/* The longest context of one timeline, c's at most, for whose cells there is memory now; what a cache takes besides them is not taken off. */
int eng_context_fits(const eng_model *, const eng_config *c);
void eng_cache_free(eng_cache *);                         /* after its sessions */
eng_model *eng_cache_model(const eng_cache *);
/* Pages of 64 cells that timelines hold now, and of these the ones that several share. */
void eng_cache_pages(const eng_cache *, int *held, int *shared);
int eng_cache_room(const eng_cache *);                    /* pages in all */
/* Bytes of the states of recurrent layers that are kept (state.memory), how many, and of one; all 0 in other models. */
uint64_t eng_cache_states(const eng_cache *, int *count, uint64_t *each);

/* One row of a step: the next position of a timeline. */
enum { ENG_STEP_ROWS = 512 };
enum eng_want { ENG_WANT_NOTHING = 0, ENG_WANT_LOGITS = 1, ENG_WANT_HIDDEN = 2 /* after the output norm */ };
typedef struct eng_row {
    eng_session *session;               /* rows of one timeline follow one another, in order */
    int32_t token;
    unsigned want;                      /* eng_want flags */
    const eng_config *config;           /* NULL: the session's; rope.* and kv.type must be as there */
    const uint16_t *forced;             /* ids to run in each layer, 0xFFFF ends a list; NULL: the router chooses */
    int forced_k;                       /* at most so many a layer */
    size_t forced_step;                 /* ids from one layer's list to the next; 0 = forced_k */
} eng_row;
typedef struct eng_out {                /* belongs to the cache; valid until the next evaluation over it */
    int n, max_k;
    const float *logits[ENG_STEP_ROWS]; /* [n_vocab] of each row that wanted them, else NULL */
    const float *hidden[ENG_STEP_ROWS]; /* [n_embd] likewise */
    const uint16_t *ids;                /* [n_layer][n][max_k], best first, 0xFFFF pads */
    const float *weights;               /* [n_layer][n][max_k] */
    const float *entropy, *margin;      /* [n_layer][n]; margin NAN: none */
} eng_out;
/* Evaluates 1 to ENG_STEP_ROWS rows of several timelines under several configurations in one pass; cells that a timeline
 * still lacks come first. A row's bytes depend on no other timeline's rows. commit: the rows are the timelines' next
 * tokens; else text, cells, logits and records stay as they were (a counterfactual; a draft to be verified). On failure
 * nothing is added. out may be NULL. */
int eng_cache_step(eng_cache *, const eng_row *rows, int n, bool commit, eng_out *out, char *err);

/* ================= session ================= */
/* One timeline: text, the cells made of it, its configuration, its routing records. */
enum eng_policy { ENG_CONTINUE, ENG_RECOMPUTE };

/* A new empty timeline under c (copied) in a cache; context.length at most and kv.type just as the cache was made for. */
int eng_cache_session(eng_cache *, const eng_config *c, eng_session **out, char *err);
/* The same in a cache of its own, which goes with its last timeline. Refused with sizes when it does not fit. */
int eng_session_new(eng_model *, const eng_config *c, eng_session **out, char *err);
void eng_session_free(eng_session *);
eng_cache *eng_session_cache(const eng_session *);
/* A second timeline of the same text, logits and configuration: pages are shared until one of them writes. Its routing
 * records begin empty. */
int eng_session_fork(const eng_session *, eng_session **out, char *err);
/* Keeps the first n tokens. Shorter than before: there are no logits until the next evaluation. */
int eng_session_cut(eng_session *, int n, char *err);
/* The next evaluated token uses c. Sampling-only changes are free. Under ENG_CONTINUE forward and routing changes keep
 * the cells, and the logits at hand still choose the next token, whatever comes of the cells; position and allocation
 * changes drop the cells (K is stored after rope). Under ENG_RECOMPUTE cells not made by c are dropped, and logits not
 * made by c's. The text stays in either case: the next sync, step, or push without a progress call, evaluates what is
 * missing, and routing that was forced is the router's again there; cells of the same chain that are still in the pool are
 * found again (toggling between two configurations is cheap).
 * Never fails half-way: on error the old configuration stays. Q_RANGE: context.length below the present length, or a
 * cache that other timelines use would have to be made anew. */
int eng_session_config(eng_session *, const eng_config *c, enum eng_policy p, char *err);
const eng_config *eng_session_get_config(const eng_session *);

/* Makes the timeline exactly tokens[0..n), evaluating as little as the policy allows, at least the last token; its
 * logits are then ready. Cells of forced routing never serve it. Pages of the former timeline stay findable by chain until evicted, so going back to a
 * branch is cheap. progress(done,total) counts tokens to evaluate; between chunks. Q_CANCEL leaves a valid,
 * shorter timeline. Q_RANGE: n exceeds context.length. */
int eng_session_sync(eng_session *, const int32_t *tokens, int n, enum eng_policy p,
                     void (*progress)(void *user, int done, int total), void *user, char *err);
/* For measuring alone: an empty timeline becomes tokens[0..n) with made-up numbers for cells, in no time. What is evaluated behind it costs what it
 * does behind a text that was read, and means nothing. Q_RANGE: the model has recurrent layers, whose states cannot be made up. */
int eng_session_make_up(eng_session *, const int32_t *tokens, int n, char *err);
/* Makes the timeline the longest beginning of tokens[0..n) whose cells are anywhere in the cache, and evaluates nothing: another timeline's
 * are shared until one of them writes. Returns its length; there are no logits. */
int eng_session_reuse(eng_session *, const int32_t *tokens, int n, enum eng_policy p, char *err);
/* Where tokens[0..n), which the timeline was just reused for, are to be come back to, if the model has recurrent layers: out, ascending; how
 * many. Who evaluates by eng_cache_step ends a step at each and marks it: what these layers remember at the timeline's end is kept, as
 * state.memory allows. One is before the last message, so that an answer is made again by reading a few tokens. Where there are 64 tokens to
 * save: one is where another text ended to be the same, and the next that begins so goes on from there; the others are the beginnings of
 * earlier messages, the last ones that there is room for, so that each may be edited without reading what stands before it. */
enum { ENG_BORDERS = 64 };
int eng_session_borders(const eng_session *, const int32_t *tokens, int n, int out[ENG_BORDERS]);
void eng_session_mark(eng_session *);
/* Appends and evaluates one token (decode). */
int eng_session_push(eng_session *, int32_t token, char *err);
/* The same without the head: no logits afterwards. Tells the layers' time from the head's (bench). */
int eng_session_push_headless(eng_session *, int32_t token, char *err);
int eng_session_length(const eng_session *);
int eng_session_room(const eng_session *);                /* tokens that still fit */
const int32_t *eng_session_tokens(const eng_session *);
const float *eng_session_logits(eng_session *);           /* [n_vocab] after the last token; NULL if none; valid until the next evaluation over its cache */
/* The same, from now on in memory of its own: valid, for another thread too, until this timeline's next evaluation. */
const float *eng_session_keep(eng_session *);
void eng_session_cancel(eng_session *);                   /* [any] the call running over its cache returns Q_CANCEL soon */
void eng_session_uncancel(eng_session *);                 /* by the engine thread, before the next work   */

/* Which configurations made the cached cells: hash, count, and how many of these had their routing forced; most frequent
 * first; returns how many there are. */
typedef struct eng_mix { uint64_t config; int cells, forced; } eng_mix;
int eng_session_mix(const eng_session *, eng_mix *out, int max);
/* The same in the order of the cells, a run of one configuration after another: how many, at most max, the last of which
 * holds all cells that follow. */
int eng_session_runs(const eng_session *, eng_mix *out, int max);

typedef struct eng_speed { int prefill_tokens; double prefill_s; int decode_tokens; double decode_s; } eng_speed;
/* The knob draft: tokens that were evaluated ahead since the timeline began. gain: tokens that drafts bring lately against plain
 * steps of the same time (0: not known); where it stays below 1 they rest for a while. Its thread. */
typedef struct eng_drafts { uint64_t steps, drafted, accepted, rests; double gain; bool resting; } eng_drafts;
eng_drafts eng_session_drafts(const eng_session *);
/* Experts of a cache of experts since the eng_cache was made: that ran, of them brought first (to the device, or from the disk), the bytes
 * of those and of guesses, and how long passes waited for them; all 0 where every expert lies where it runs. Its owner's thread. */
typedef struct eng_fetched { uint64_t asked, fetched, bytes, wait_ns; } eng_fetched;
eng_fetched eng_cache_fetched(const eng_cache *);
eng_speed eng_session_speed(const eng_session *);         /* since the last reset */
void eng_session_speed_reset(eng_session *);

/* Evaluates tokens from an empty timeline in pieces of `split` (0 = all at once up to the chunk size) and calls
 * row(user, position, logits[n_vocab], ids, weights) for each position in order; ids and weights are
 * [n_layer][max_k] of that position. forced: [n_layer][n][max_k] ids as in kernels.h, or NULL. For eval and tests. */
int eng_session_eval(eng_session *, const int32_t *tokens, int n, int split, const uint16_t *forced, int max_k,
                     int (*row)(void *user, int pos, const float *logits, const uint16_t *ids, const float *weights, int max_k),
                     void *user, char *err);

/* ================= a timeline in a file ================= */
/* Text, cells with what made each of them, the logits after the last token, and the hash of the configuration: what another
 * process needs to go on without evaluating anything again. Only under the same model, device, kv.type and forward
 * configuration; then every further token is, byte for byte, the one that would have come. The caller's note rides along. */
typedef struct eng_state {
    uint64_t model, config, bytes;                        /* eng_info.id, eng_config_hash, of the file */
    int tokens, cells;
    char *name, *device, *settings;                       /* of the model; "cpu"; configuration as eng_config_json wrote it */
    char *note; size_t n_note;                            /* the caller's, followed by a 0 */
} eng_state;
enum { ENG_STATE_NOTE = 1 << 20 };                        /* bytes of a note at most */
/* Asked once a page of 64 cells; false: Q_CANCEL. */
typedef bool eng_state_go(void *user, int done, int total);
uint64_t eng_state_bytes(const eng_session *, size_t n_note);   /* of the file that would be written; 0: there are no cells */
/* Written beside, made durable, renamed, mode 0600; what stood there before is overwritten with zeros. On failure nothing of it stays. */
int eng_state_save(eng_session *, const char *path, const char *note, size_t n_note, eng_state_go *go, void *user, char *err);
/* The timeline becomes the file's. Refused with what differs; on failure the timeline is as before, but that its own cells may
 * have made room and are evaluated anew. */
int eng_state_load(eng_session *, const char *path, eng_state_go *go, void *user, char *err);
/* What a file says of itself, its length checked, without a model; its cells are not looked at. [any] */
int eng_state_look(const char *path, eng_state *out, char *err);
void eng_state_free(eng_state *);                         /* contents, not the struct */

/* ================= a text with one expert less ================= */
/* One short text, evaluated once under a configuration; then again and again with one more expert banned, from what entered
 * its layer on. Bytes as a whole evaluation with that ban. In a cache of its own; one thread. */
typedef struct eng_probe eng_probe;
enum { ENG_PROBE_LEAST = 2 };
/* tokens: [n], 2 to ENG_STEP_ROWS. go_on(user): asked a few times a layer; false ends the call with Q_CANCEL, and what was
 * known before stays. NULL: never asked. Refused with Q_RANGE for a dense model. */
int eng_probe_new(eng_model *, const eng_config *, const int32_t *tokens, int n, bool (*go_on)(void *user), void *user,
                  eng_probe **out, char *err);
void eng_probe_free(eng_probe *);
double eng_probe_loss(const eng_probe *);                 /* nats a token, mean over the n - 1 that are predicted */
/* [n_layer][n_expert] the largest share that an expert's weighted output had of what entered its layer, over the tokens (norms); 0:
 * it never ran. */
const float *eng_probe_strength(const eng_probe *);
/* [n_layer][n_expert] for how many of the n - 1 tokens it ran. */
const int *eng_probe_ran(const eng_probe *);
int eng_probe_without(eng_probe *, int layer, int expert, double *loss, char *err);    /* INFINITY: no numbers are left */
/* The same of n experts of a layer, each left out alone, several in a pass; loss: [n]. own: an estimate that costs only the tokens
 * that an expert ran for: it is left out for these, the others stay what they were. With recurrent layers it is the whole way. */
int eng_probe_try(eng_probe *, int layer, const int *expert, int n, bool own, double *loss, char *err);

/* ================= sampling ================= */
typedef struct eng_sampler eng_sampler;                   /* holds the seed's state and the penalties' window */
eng_sampler *eng_sampler_new(const eng_model *);
void eng_sampler_free(eng_sampler *);
void eng_sampler_reset(eng_sampler *, const eng_config *c);          /* restart from sampler.seed, forget the window */
/* A choice ends early once the cache of this session is cancelled: with the likeliest token. NULL: never. The session
 * outlives the sampler, or the watch. */
void eng_sampler_watch(eng_sampler *, const eng_session *);
void eng_sampler_accept(eng_sampler *, int32_t token);               /* a token of the reply: it was chosen, or given as its beginning */
/* What a prompt or another's text brings is for penalties alone; a reply's own tokens are for the grammar too. */
void eng_sampler_heard(eng_sampler *, int32_t token);
/* A grammar for the text from here on, from its beginning, instead of the knob's (sampler.grammar); taken. eng_sampler_reset begins it anew. */
struct eng_grammar;
void eng_sampler_grammar(eng_sampler *, struct eng_grammar *);
/* Off: the knob's holds again, from where it stands. On: the one that was given last, from its beginning, with all that is known of it. False: there is none. */
bool eng_sampler_hold(eng_sampler *, bool on);
/* What comes next. A thought is no part of what a grammar holds; where one may begin, the token that opens it may come besides. */
enum eng_part { ENG_PART_TEXT, ENG_PART_THOUGHT, ENG_PART_OPENING };
void eng_sampler_part(eng_sampler *, enum eng_part);
typedef struct eng_choice { int32_t token; float logprob; /* of the model, before any change */ float p; /* after */ } eng_choice;
/* Chooses by c's sampler knobs from logits [n_vocab]. temperature 0 = the largest logit, lowest id on a tie. token ENG_NO_TOKEN: the
 * grammar lets nothing come; p 1: the text is whole, p 0: it cannot become so with this vocabulary. */
enum { ENG_NO_TOKEN = -1 };
eng_choice eng_sample(eng_sampler *, const eng_config *c, const float *logits);
/* The `max` likeliest of the model's own, best first, the lower id on a tie (p 0): how many. And one token's log-probability; both as eng_sample says
 * it. */
int eng_likeliest(const eng_sampler *, const float *logits, eng_choice *out, int max);
float eng_logprob(const eng_sampler *, const float *logits, int32_t token);
/* Stop strings of c (sampler.stop): length of the longest suffix of text that could still become one (0 = none),
 * or -1 - position when text contains one at position. */
long eng_stop_scan(const eng_config *c, const char *text, size_t n);

/* ================= trace ================= */
/* One record per evaluated position, prompts included, in evaluation order; numbered from 0 over the session's life. */
typedef struct eng_trace_rec {
    uint64_t seq;                       /* running number */
    int32_t token; int pos;
    uint64_t config;
    bool prompt;
    int n_layer, max_k;                 /* of the arrays below; layers without experts hold KER_NO_EXPERT (0xFFFF) */
    const uint16_t *ids;                /* [n_layer][max_k], best first, 0xFFFF pads */
    const float *weights;               /* [n_layer][max_k]; NULL for prompt tokens (ids only) */
    const float *entropy, *margin;      /* [n_layer]; NULL for prompt tokens; margin NAN: none */
} eng_trace_rec;
/* [any] Copies records from *cursor on to fn, under the ring's lock, until the end or fn returns false; moves *cursor;
 * returns how many were lost because the ring had overwritten them. fn must be quick and must not call the session. */
uint64_t eng_trace_read(eng_session *, uint64_t *cursor, bool (*fn)(void *user, const eng_trace_rec *r), void *user);
uint64_t eng_trace_end(eng_session *);                    /* [any] the number the next record will get */

#endif
