/* provider: who answers. Messages and tools and a configuration go in; text, thinking, tool calls, routing and numbers come
 * out. One interface over a model in this process (local.c, over engine/) and over whoever else answers; flags say what
 * this one can do. A configuration is text at this boundary: set, get, range, label, JSON, hash.
 *
 * Threads: prov_cancel may be called from any thread at any time; everything else that takes a prov may be called from any
 * thread too where nothing else is said, but what evaluates (marked [turn]) waits for its turn unless PROV_PARALLEL is set. Hooks run in the thread of
 * the call. A prov_config belongs to one thread at a time; the prov it came from outlives it. Errors: base.h.
 * It never stores anything and never decides what is shown. No type of another room stands here but base's. */
#ifndef QUORUM_PROVIDER_H
#define QUORUM_PROVIDER_H

#include "base/base.h"
#include "base/knob.h"

typedef struct prov prov;
typedef struct prov_config prov_config;
struct eng_cache;
struct eng_session;

/* ================= opening ================= */
typedef struct prov_servers prov_servers;        /* who there is beyond this machine: see below */
typedef struct prov_opts {
    const prov_servers *servers;         /* for "@NAME/MODEL"; NULL: there are none. Outlive the opening only */
    void (*progress)(void *user, uint64_t done, uint64_t total);     /* may be NULL */
    int (*configure)(void *user, prov_config *c, char *err);         /* sets knobs before room for the context is made; may be NULL */
    void *user;
    double weights_gib;                  /* of a model in this process: memory for its weights (eng_open_opts); 0: no bound but the start's */
    bool adapters;                       /* those that were named at the start (eng_adapters_choose) are loaded onto a model in this process */
    int streams;                         /* of a model in this process: so many requests are answered at once (PROV_PARALLEL), 1 to PROV_STREAMS, and
                                            share the cells of one context.length. 0: they take turns, and a context stays between them */
} prov_opts;
enum { PROV_STREAMS = 256 };
/* what: a path to a model file, or "@NAME/MODEL": MODEL of the server NAME ("@NAME": the one that it has or its settings name). */
int prov_open(const char *what, const prov_opts *o, prov **out, char *err);
void prov_close(prov *);

enum {                                  /* what this one can do */
    PROV_LIVE = 1 << 0,                 /* its configuration may change between two tokens */
    PROV_ROUTING = 1 << 1,              /* positions come with their routing */
    PROV_LOGPROBS = 1 << 2,             /* pieces come with log-probabilities, and prov_score and prov_judge work */
    PROV_COUNT = 1 << 3,                /* counts are exact; else they are estimates */
    PROV_RAW = 1 << 4,                  /* text may simply go on, without a frame */
    PROV_N = 1 << 5,                    /* several answers to one request */
    PROV_TOOLS = 1 << 6,                /* tools may be offered */
    PROV_EMBED = 1 << 7,                /* prov_embed works */
    PROV_PARALLEL = 1 << 8,             /* several requests are answered at once, in threads of their callers; else they take turns */
    PROV_BEGIN = 1 << 9,                /* the beginning of an answer may be given */
    PROV_STATE = 1 << 10,               /* what is evaluated can be kept in a file */
    PROV_GRAMMAR = 1 << 11,             /* answers can be held to a grammar */
    PROV_PER_REQUEST = 1 << 12          /* a request may say config, max_tokens, top, echo, anew and ids */
};
typedef struct prov_layers {            /* how they differ */
    const uint8_t *recurrent;           /* [n_layer] 1: a layer with a state and without heads; NULL: none has, or unknown */
    const int32_t *window;              /* [n_layer] the last tokens that a layer sees, 0: all; NULL: every layer sees all, or unknown */
    bool sinks;                         /* attention has sinks */
} prov_layers;
/* A context that is not as long as it would be, for memory: a sentence, and how many tokens it has, which nobody set; NULL and 0: it is. */
typedef struct prov_short { const char *words; int to; } prov_short;
/* How a model's weights lie, or why there: a sentence or NULL; fell: for a warning, the host's processor computes though a GPU is there. */
typedef struct prov_divided { const char *words; bool fell; } prov_divided;
typedef struct prov_info {              /* strings live as long as the prov */
    const char *path, *name, *languages; /* languages: "en", "en,ru" or "" (unknown) */
    const char *eos;                    /* the token that ends texts, as it is spelt; NULL: unknown */
    prov_short shortened;
    const char *note;                   /* NULL, or a sentence about what is not as it should be (its template) */
    const char *device;                 /* "cuda:0", "" where it is the host's processor */
    prov_divided divided;
    uint64_t id;                        /* names the model in stores */
    uint64_t file_bytes, params;
    unsigned can;
    int n_layer, n_expert, first_moe_layer, n_moe_layer;             /* 0: dense, or unknown */
    int n_group, n_group_used;          /* experts are chosen in the best of so many groups; 0: there are none, or unknown */
    int n_ctx_train, n_embd, n_head;    /* n_head 0: unknown */
    prov_layers layers;
    bool chat, thinks, carved;          /* knows a conversation's frame; thinks before it answers; has made experts */
} prov_info;
const prov_info *prov_about(const prov *);
/* Its cache, for what measures on the very same model (lab/); NULL: it has none. Only in this prov's turn. */
struct eng_cache *prov_cache(prov *);
/* Adapters of a model in this process: Q_ERR with a sentence where who answers is another. In this prov's turn. What is loaded acts in
 * configurations made from then on; lora.scale says how much. */
typedef struct prov_adapter { char *name, *path, *base, *doubt /* "", or why it may be another model's */; uint64_t params, changing /* of params, without the experts that it leaves alone */, bytes, held /* bytes of memory */; int matrices, rank_min, rank_max, first_layer, last_layer; uint64_t hash; } prov_adapter;
int prov_adapter_load(prov *, const char *path, const char *name /* NULL: the file's */, char **as /* malloc'ed */, char *err);
int prov_adapter_drop(prov *, const char *name, char *err);
int prov_adapter_rest(prov *, const char *name, char *err);      /* it is in no configuration's defaults: it acts where lora.scale names it */
int prov_adapters(prov *, prov_adapter **out /* malloc'ed: prov_adapters_free */);      /* how many */
void prov_adapters_free(prov_adapter *, int n);
/* Its timeline: the last request's text with its answer, and their cells. Likewise; what looks at it leaves it as it was. */
struct eng_session *prov_session(prov *);
bool prov_holds(prov *, const int32_t *token, const int32_t *pos, int n);        /* each of these tokens stands there in it */

/* ================= configurations ================= */
const q_knob *prov_knobs(int *n);       /* rows of the knobs that models answer to, in the order for lists */
prov_config *prov_config_new(const prov *);              /* the model's own defaults */
prov_config *prov_config_copy(const prov_config *);
void prov_config_free(prov_config *);
/* Sets one knob from text. On failure nothing changes and err says the allowed range. name: the knob's name or an aka. */
int prov_config_set(prov_config *, const char *name, const char *value, char *err);
const char *prov_config_get(const prov_config *, const char *name, q_buf *buf);     /* "" for what it does not know */
double prov_config_number(const prov_config *, const char *name);    /* NAN: it is no number, several, or unknown */
int prov_config_nudge_k(prov_config *, int delta);       /* experts.k by delta in every routed layer, within what there are; the largest then */
bool prov_config_range(const prov_config *, const char *name, double *min, double *max);   /* false: it takes no number here */
/* NULL, or a sentence why this knob cannot be set here, whatever the value: a server's own model. Returns buf's text. */
const char *prov_config_fixed(const prov_config *, const char *name, q_buf *buf);
bool prov_config_is_default(const prov_config *, const char *name);
int prov_config_k(const prov_config *); /* the largest experts.k over layers; 0: nothing is routed */
const char *prov_config_label(const prov_config *, q_buf *buf);      /* what differs: "k 4 · theta 5e5"; "": nothing */
char *prov_config_json(const prov_config *);             /* all that differs from the defaults; malloc'ed. And back: */
int prov_config_from_json(prov_config *, const char *json, char *err);
uint64_t prov_config_hash(const prov_config *);          /* of what acts on hidden states: equal = interchangeable cells */
uint64_t prov_config_hash_all(const prov_config *);      /* with the sampler: names a message's settings */
enum q_effect prov_config_diff(const prov_config *a, const prov_config *b);
typedef struct prov_cost { uint64_t params, bytes; } prov_cost;      /* that take part in one token; 0: unknown */
prov_cost prov_config_cost(const prov_config *);
/* Of these what adapters add: of[0] beside the layers, of[1 + l] in layer l (at most: changed experts run only where they are chosen); changed:
 * [n_layer][n_expert] 1: one that acts changes that expert. Either may be NULL. How many adapters act; 0: nothing is written. */
int prov_config_added(const prov_config *, prov_cost *of, uint8_t *changed);

/* What happens to cells that another configuration made. */
enum prov_policy { PROV_CONTINUE, PROV_RECOMPUTE };
/* The configuration (copied) of every request from now on; within a request, from prov_hooks.between only, from its next
 * token. On failure the old one stays. In any other thread than the running request's: [turn]. */
int prov_set(prov *, const prov_config *c, enum prov_policy p, char *err);
prov_config *prov_present(prov *);      /* a copy */

/* ================= requests ================= */
enum prov_role { PROV_SYSTEM, PROV_USER, PROV_ASSISTANT, PROV_TOOL };
typedef struct prov_message {
    enum prov_role role;
    const char *text; size_t n;         /* plain: nothing in it becomes a control token */
    const char *call;                   /* PROV_TOOL: the id of the call that it answers; else NULL */
} prov_message;
typedef struct prov_tool { const char *name, *help, *schema; } prov_tool;          /* schema: JSON of its arguments */
typedef struct prov_call { const char *id, *name, *arguments; } prov_call;         /* arguments: JSON */
typedef struct prov_past_call { int message; prov_call call; } prov_past_call;     /* a PROV_ASSISTANT message, from 0, ended with it */
typedef struct prov_past_thought { int message; const char *text; size_t n; } prov_past_thought;      /* a PROV_ASSISTANT message, from 0, was said behind it; plain */
/* What answers must fit: GBNF or a JSON schema, which engine/grammar.h describes. */
typedef struct prov_rule { const char *name, *schema; } prov_rule;       /* that a GBNF text may name: what this schema allows */
typedef struct prov_grammar {
    const char *text; size_t n;
    const prov_rule *rule; int n_rule;
    const char *trigger;                /* NULL: from the first byte to the last. Else from behind this text or control token to the grammar's first end,
                                           whenever it comes; before and after an answer may say anything */
} prov_grammar;
typedef struct prov_request {
    const prov_message *message; int n_message;
    const char *raw; size_t n_raw;      /* instead of messages: this text goes on, unframed. NULL: messages */
    const int32_t *ids; int n_ids;      /* instead of both: these tokens go on, as they are. n_ids 0 with ids: an empty prompt is refused */
    const char *begin; size_t n_begin;  /* plain: the answer begins so and goes on from there, without a thought, as it stands (blanks too);
                                           a part of the prompt, in no piece. n_begin 0: all of it is the model's */
    const prov_tool *tool; int n_tool;
    const prov_past_call *call; int n_call;      /* in the order of the messages; PROV_TOOL messages behind answer them by their ids */
    const prov_past_thought *thought; int n_thought;     /* rising; where a template has a place for them and only there.
                                           A server is told them in the field in which its own came; one that has none is told none */
    const prov_grammar *grammar;        /* instead of sampler.grammar; thoughts are free. NULL: as that says */
    const char *think;                  /* "on", "off": whatever the configuration says of thinking; NULL: as that says */
    const prov_config *config;          /* of this request alone, made by this prov; NULL: the present one. Cells of other settings never serve it; kv.type is as at
                                           opening, context.length at most. Without PROV_PARALLEL as by prov_set, and back */
    int max_tokens;                     /* of each answer; 0: as sampler.max_tokens says; PROV_NOTHING: none is chosen, the prompt is evaluated */
    int top;                            /* so many alternatives come with each piece, 0 to PROV_TOP */
    bool echo;                          /* raw or ids only: their tokens come as pieces too, before the first of each answer; all of them are evaluated for that */
    bool anew;                          /* no cell that is there serves it: hooks.position is told of every token of its prompt */
    int n;                              /* how many answers; 0 is 1 */
    uint64_t seed;                      /* of the first answer, the next ones count on; 0: sampler.seed */
    enum prov_policy policy;
} prov_request;

enum { PROV_NOTHING = -1, PROV_TOP = 20 };
typedef struct prov_likely {            /* what could have come instead, or what came */
    int32_t token;
    double logprob;                     /* of the model, before any sampling */
    const char *text; size_t n;         /* its bytes, maybe part of a character; a control token's name */
} prov_likely;
typedef struct prov_piece {             /* one token's text, or what was held back until the end */
    int answer, number;                 /* which answer, from 0; which token of it, from 1 */
    const char *text; size_t n;         /* whole characters, maybe none; valid during the call */
    bool thinking;
    int32_t token;                      /* -1: no token of its own */
    double logprob;                     /* of the model, before any sampling; NAN: unknown */
    bool call;                          /* it is part of a call that is being written, not of the answer's text */
    bool prompt;                        /* echoed; number counts the prompt's tokens; logprob is NAN of the very first, which has no alternatives */
    const prov_likely *likely; int n_likely;     /* [request.top] the likeliest, best first; none where nothing was chosen. Valid during the call */
} prov_piece;
typedef struct prov_position {          /* one evaluated token, prompts included; valid during the call */
    int32_t token;
    int pos;
    uint64_t config;                    /* prov_config_hash under which it was evaluated */
    bool prompt;
    int n_layer, max_k;
    const uint16_t *ids;                /* [n_layer][max_k], best first, 0xFFFF pads */
    const float *weights;               /* [n_layer][max_k]; NULL: not kept */
    const float *entropy, *margin;      /* [n_layer]; NULL: not kept; margin NAN: none */
} prov_position;

enum prov_finish {
    PROV_ENDED,                         /* by itself */
    PROV_STOP_STRING, PROV_MAX_TOKENS,
    PROV_FULL,                          /* the context has no room left */
    PROV_REPEATS,                       /* hooks.repeats said to end it */
    PROV_CALLS,                         /* it waits for what its tool calls bring */
    PROV_STOPPED,                       /* hooks.between or prov_cancel */
    PROV_FAILED
};
typedef struct prov_result {            /* of one answer */
    enum prov_finish finish;
    bool evaluated;                     /* the prompt was evaluated to its end */
    bool thinking;                      /* the last token belonged to a thought */
    int prompt_tokens, cached_tokens;   /* cached: of these, found evaluated */
    int tokens, thinking_tokens;
    double prefill_s, decode_s;
} prov_result;

/* Every hook may be NULL. */
typedef struct prov_hooks {
    void *user;
    /* Before each token, the last of which was number `tokens` (0: none): may wait, may call prov_set (with PROV_PARALLEL it is for requests
     * that begin later). False: stop. With PROV_PARALLEL it is asked again, with the same numbers, while the request waits for others, a few times a second,
     * and between two parts of a prompt. Who waits here, or in any other hook, holds no other request up. */
    bool (*between)(void *user, int answer, int tokens);
    void (*prefill)(void *user, int done, int total);    /* tokens evaluated before the next can be chosen */
    void (*prefilled)(void *user, const prov_result *so_far);        /* all of them */
    void (*piece)(void *user, const prov_piece *);
    void (*position)(void *user, const prov_position *);
    void (*token)(void *user, int answer, const prov_result *so_far);      /* a token is evaluated too */
    void (*call)(void *user, int answer, const prov_call *);     /* one that is broken too: name "", arguments as it was written */
    bool (*repeats)(void *user, int answer, int tokens); /* it goes round in circles: true ends it */
    bool (*enough)(void *user, int answer);              /* in a thought, before its next token: true closes it, and the answer begins */
    void (*ended)(void *user, int answer, const prov_piece *);   /* by this token, which is no part of it: it brings no text and is not counted */
    void (*unrouted)(void *user, const char *why);       /* the answer is there, its positions cannot be told */
    void (*misread)(void *user, int answer, const char *why);      /* the call that comes next cannot be read: where and why, one sentence */
} prov_hooks;

/* [turn] Answers. out: [request.n], filled also on failure. Q_OK however the answers ended but PROV_FAILED. With PROV_PARALLEL it waits
 * until one of the streams is free, in order (asked within another's hook, it takes one more); what it says depends on no other request, bit for
 * bit. Q_RANGE: it never fits. */
int prov_ask(prov *, const prov_request *, const prov_hooks *, prov_result *out, char *err);
/* [any] on: what is being evaluated ends soon (within milliseconds), and so does what is asked next, until it is off. */
void prov_cancel(prov *, bool on);
/* [turn] Evaluates anew, under the present configuration alone, what is in the context. Q_CANCEL: the rest follows with the
 * next request. */
int prov_renew(prov *, const prov_hooks *, char *err);
void prov_forget(prov *);               /* [turn] the context becomes empty; the configuration stays */

typedef bool prov_go(void *user, int done, int total);     /* tokens; false: Q_CANCEL */

/* ================= what is evaluated, in a file ================= */
/* [turn] The context as it stands, for another process to go on from without evaluating it again: under the same model, device
 * and forward configuration every further token is then the one that would have come. note: the caller's own, kept with it. */
uint64_t prov_state_bytes(prov *, size_t n_note);        /* of the file that would be written; 0: there is nothing, or it cannot */
/* Whole or not at all, mode 0600. Q_RANGE: who cannot, or holds nothing. */
int prov_state_save(prov *, const char *path, const char *note, size_t n_note, prov_go *go, void *user, char *err);
/* The context becomes the file's. Refused with what differs; then it stays as it is. */
int prov_state_load(prov *, const char *path, prov_go *go, void *user, char *err);
typedef struct prov_state {             /* what a file says of itself */
    uint64_t model, config, bytes;      /* prov_info.id, prov_config_hash, of the file */
    int tokens;
    char *name, *device, *settings;     /* of the model; "cpu"; as prov_config_json */
    char *note; size_t n_note;          /* followed by a 0 */
} prov_state;
int prov_state_look(const char *path, prov_state *out, char *err);      /* without a model */
void prov_state_free(prov_state *);     /* contents, not the struct */

/* ================= numbers ================= */
typedef struct prov_room {
    int used, text, size;               /* tokens: evaluated or due; of the last text; at most */
    uint64_t asked, fetched, fetched_bytes;   /* experts so far, where they are brought (to a device, or from the disk): that ran, of them brought first, what that moved; else 0 */
    uint64_t fetch_wait_ns;             /* how long answering stood still for them */
    bool from_disk;
    uint64_t drafted, drafts_said;      /* tokens of drafts so far (knob draft), and of them those that were said */
    bool drafts_rest;                   /* they do not pay now */
    uint64_t states; int n_states;      /* bytes of states of recurrent layers that are kept (state.memory), of how many places; 0: there are none */
} prov_room;
prov_room prov_context(prov *);
typedef struct prov_load {               /* of a prov with PROV_PARALLEL; counts are since it was opened. Others: all 0 */
    int streams, running, waiting;       /* at most; requests that have a stream; that wait for one, or for room */
    uint64_t requests, tokens, prompt_tokens, cached_tokens;     /* tokens: chosen. prompt_tokens: cached ones included */
    uint64_t passes, rows;               /* through the model; rows / passes: how many tokens a pass had */
    uint64_t put_off;                    /* a stream that gave its room up to an older one and was evaluated anew later */
} prov_load;
prov_load prov_pool_numbers(prov *);     /* any thread */
typedef struct prov_mix { uint64_t config; int cells; } prov_mix;    /* which configurations made what is cached */
int prov_runs(prov *, prov_mix *out, int max);           /* the same in the order of the context; the last of max holds all that follows */
int prov_mixture(prov *, prov_mix *out, int max);        /* most frequent first; returns how many there are */
/* These four look at the present configuration and the context: only in the thread that makes requests and sets, hooks too. */
int prov_count(const prov *, const char *text, size_t n);            /* tokens; an estimate without PROV_COUNT */
int prov_count_request(const prov *, const prov_request *, char *err);       /* of the whole prompt as its model reads it */
int prov_ids(const prov *, const prov_request *, int32_t **out, char *err);  /* that prompt's ids, malloc'ed; returns how many. Q_RANGE: it has none */
int prov_show(const prov *, const prov_request *, q_buf *out, char *err);    /* that prompt as text, control tokens by their names */
/* One token as text: its bytes, maybe part of a character, or a control token's name; nothing where there is no such token or
 * this one does not say. */
void prov_spell(const prov *, int32_t token, q_buf *out);
/* [turn] The log-probability of each token of text after `before` (NULL: nothing), under its config, as pieces; the very first token of all
 * has none (NAN). The context stays as it is. */
int prov_score(prov *, const prov_request *before, const char *text, size_t n, void (*each)(void *user, const prov_piece *),
               void *user, char *err);
/* [turn] With which of n texts the model goes on after each of some requests, by the texts' log-probabilities as wholes: share
 * [n_request][n], 1 together for a request; NAN: it was not reached. What requests begin with in common is evaluated once; the
 * first one's config holds for all. go (NULL: always) is asked every few dozen tokens, with those that are read of all; false, or prov_cancel: Q_CANCEL,
 * and what was reached stands. The context and its cells stay as they are. */
int prov_judge(prov *, const prov_request *, int n_request, const char *const *text, int n, double *share, prov_go *go, void *user, char *err);
/* [turn] The text as a vector, out [info.n_embd] of length 1. The context stays as it is. */
int prov_embed(prov *, const char *text, size_t n, float *out, char *err);

/* ================= who there is ================= */
typedef struct prov_found {
    char *path, *name;                  /* name: what -m takes a part of */
    char *arch, *quant;                 /* "" when its header cannot be read */
    char *problem;                      /* NULL, or why it cannot answer: one sentence */
    const char *place;                  /* where it lies: "quorum", "Ollama", …; static */
    uint64_t bytes, params;
    int n_expert, n_expert_used;        /* 0: dense */
    bool fits;                          /* into the memory that is free now */
} prov_found;
int prov_find(prov_found **out, int *n, char *err);      /* those that can answer first, then by name; Q_OK: err "" or a sentence about what was left out */
void prov_found_free(prov_found *, int n);
/* What -m and /model take: a path, part of a name, "@NAME/MODEL" of a server, or NULL for the default; *what malloc'ed, for prov_open. Q_NOTFOUND: none;
 * Q_RANGE: several fit, err lists them. */
int prov_find_model(const char *m, char **what, char *err);

/* ================= servers that speak OpenAI's language ================= */
/* Sections [server.NAME] of config.ini. Filled by one thread, read by any. A key is never among them: key_env names a variable of
 * the environment, key_file a file of mode 0600. */
prov_servers *prov_servers_new(void);
void prov_servers_free(prov_servers *);                  /* NULL is fine */
/* One line of NAME's section. Q_NOTFOUND: there is no such key, err lists them; Q_RANGE, Q_FORMAT: what the key takes. */
int prov_servers_put(prov_servers *, const char *name, const char *key, const char *value, char *err);
int prov_servers_count(const prov_servers *);            /* NULL: 0 */
/* "@NAME/MODEL" or "@NAME", malloc'ed; *url: where it is, for a list. */
char *prov_servers_name(const prov_servers *, int i, const char **url);

/* ================= vectors of many texts: a model of its own, beside whoever answers ================= */
typedef struct prov_embedder prov_embedder;      /* one caller at a time; several may run at once */
typedef struct prov_embedder_info {     /* strings live as long as the embedder */
    const char *path, *name, *id;       /* id: of the file; vectors of two ids never mix */
    int dim, threads;
} prov_embedder_info;
/* What memory.embedder takes: a path, part of a name, an id, or NULL and "" for the one that is fetched. *path malloc'ed. */
int prov_embedder_find(const char *what, char **path, char *err);
/* threads 0: all cores; they take the niceness of the thread that opens it. */
int prov_embedder_open(const char *path, int threads, prov_embedder **out, char *err);
void prov_embedder_close(prov_embedder *);       /* NULL is fine */
const prov_embedder_info *prov_embedder_about(const prov_embedder *);
/* n texts, as questions or as passages -> out [n][dim], each of length 1. go, NULL: always, is asked every few
 * milliseconds of work; false: Q_CANCEL, and out is void. */
int prov_embedder_run(prov_embedder *, bool question, const char *const *text, const size_t *len, int n, float *out, bool (*go)(void *user), void *user, char *err);
/* How many tokens of a text it reads, as a question or as a passage; negative: an error. */
int prov_embedder_count(prov_embedder *, bool question, const char *text, size_t len, char *err);
/* How far the one that is fetched is: engine/models.h has these words. Microseconds. */
typedef struct prov_arrival { bool here, coming; int percent; char problem[Q_ERRLEN]; } prov_arrival;
void prov_embedder_arrival(prov_arrival *);

#endif
