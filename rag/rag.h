/* rag: what is found. Cuts files into chunks, puts them into memory, and searches chunks and past
 * conversations for passages worth feeding, with every number explained. Owns no state: the store is
 * memory's and any thread may call. It never writes a prompt and never decides what a model reads of it.
 *
 * The score, 0..1, is meant to be compared with memory.min_score, in every mode. It is made of signals (rag/signals.c), each
 * of 0..1 and rounded to thousandths before it is multiplied, so that the numbers shown beside a score make it:
 *     score = (words or meaning) * match, words = coverage * evidence, a or b = a + b - a b
 *   weight of a query word  w = ln(1 + (N - n + .5) / (n + .5)), where n and N count the passages with the word
 *     and all passages, in memory plus in a background of 2000 imagined passages of everyday language: a word of
 *     the everyday list (rag/lists.c) is in 200 of those, any other in 2. Words of grammar ("what", "is") weigh
 *     nothing; words of asking ("remind", "my notes"), numbers of one or two digits and single small letters a fixed
 *     0.8. (BM25's idf, Robertson & Zaragoza, 2009, eq. 3.3, with that prior.)
 *   A question of more than 12 words that weigh has parts, its sentences and clauses: what follows is of the part that the
 *     passage answers best. A question that points back has the words of those before it too, at 0.7 of their weight, and
 *     itself for a part.
 *   presence of a word  s = 1 in the passage's own heading or the name of its file; else the larger of tf / (tf + 0.1)
 *     in the text and 0.6 in a heading above it or in the name of a folder. The manual speaks of what its headings say:
 *     a word of its text alone counts 0.75 of that, or everyday words would be fed it.
 *   coverage = c^1.5, c = sum of w s over the passage's words / sum of the four largest w of the query, at most 1:
 *     how much of the question the passage speaks of; to the power of 1.5, because half of a question is less than
 *     half of a reason to feed it.
 *   evidence = m / (m + 16), m = sum of (w s)^2: whether what matched is particular enough to mean anything.
 *     One everyday word gives .25, one word rare in memory .7. Of a fact that a person wanted remembered (m + 8): .4 and .8.
 *     What stands around a turn of a talk speaks for it too: rag/rank.c says how much.
 *   meaning, where an embedder is asked = 1 / (1 + 7/3 exp((t - m) / .02)): m is how much nearer the passage lies to the question than
 *     the mean of all (over the scale of the model, 1 for multilingual-e5-small, or over what the vectors lie apart / .25 where that is more), t = .135, or .105 where one is
 *     Cyrillic and the other is not (and m is more by half of what the question lies nearer to all in its own letters, by their share), less .02 for the heaviest question: .3 at t.
 *   match = 0.8 + 0.2 * how it stands beside the best of this search, by which passages are ordered:
 *     bm25 / best bm25 (with memory.fusion ranks (1 + 60) / (its place + 60) among those with a word, Cormack and others, 2009; of meaning
 *     likewise its place among those with a vector), of which memory.near.* is replaced by how near it lies in meaning between the mean of its kind (0) and the
 *     nearest (1), + .1 if the question names just who said it + .5 if it names somebody who takes
 *     part in the talk + .45 of what names it (rag/links.c) + in mode graph
 *     .4 of what it is associated with by names (rag/graph.h), all of that
 *     * .7 for what a model said and for quorum's manual, over the best such sum of what none said (where there is some; at most 1).
 *   a second look (memory.rerank), where the loaded model judged a passage with the likelihood y that it helps to answer: match is
 *     0.8 + 0.2 * (what it stands for above + y) / 2, by which those stand that were judged, before those that were not.
 * What a model wrote stands behind all else, whatever its score, and is fed where memory.answers is on or it is pinned. */
#ifndef QUORUM_RAG_H
#define QUORUM_RAG_H

#include "base/base.h"
#include "base/knob.h"
#include "memory/memory.h"

/* ================= knobs ================= */
/* How passages are found: auto is by words and meaning where most passages have a vector, else by words alone. A mode's number is its
 * place in RAG_MODES. */
enum rag_mode { RAG_AUTO, RAG_OFF, RAG_LEXICAL, RAG_HYBRID, RAG_GRAPH };
#define RAG_MODES "auto,off,lexical,hybrid,graph"
/* How what words say and what meaning says become one order: their scores beside the best, or their places alone. */
enum rag_fusion { RAG_SCORES, RAG_RANKS };
#define RAG_FUSIONS "scores,ranks"
/* A row a knob: its field, name, type, least, most, default, choices, help. The field, its default and what reads and writes it as
 * text follow. */
#define RAG_KNOBS(X) \
    X(on, "memory.on", BOOL, 0, 1, true, NULL, N_("search memory before each answer and feed what is found")) \
    X(mode, "memory.mode", CHOICE, 0, 0, RAG_AUTO, RAG_MODES, N_("search memory by words (lexical), by meaning too (hybrid), by what is named too (graph), or not")) \
    X(min_score, "memory.min_score", FLOAT, 0, 1, 0.30, NULL, N_("passages with a lower score are not fed")) \
    X(max_passages, "memory.max_passages", INT, 0, 20, 3, NULL, N_("how many passages are fed at most")) \
    X(budget, "memory.budget", INT, 0, 100000, 1000, NULL, N_("how many tokens the fed passages may take together")) \
    X(chats, "memory.chats", BOOL, 0, 1, true, NULL, N_("search past conversations too, not documents alone")) \
    X(answers, "memory.answers", BOOL, 0, 1, false, NULL, N_("feed what a model wrote in earlier answers too, behind a person's own words and documents")) \
    X(fusion, "memory.fusion", CHOICE, 0, 0, RAG_SCORES, RAG_FUSIONS, N_("order what is found by scores, or by its places among words and among meanings")) \
    X(near_documents, "memory.near.documents", FLOAT, 0, 1, 0.6, NULL, N_("how much meaning weighs beside words, in documents")) \
    X(near_chats, "memory.near.chats", FLOAT, 0, 1, 0.4, NULL, N_("how much meaning weighs beside words, in what was said")) \
    X(rerank, "memory.rerank", CHOICE, 0, 0, 0, "off,model", N_("a second look at what was found, before a question is answered: the loaded model itself judges each of the first 20 passages")) \
    X(rerank_seconds, "memory.rerank_seconds", FLOAT, 0, 3600, 5, NULL, N_("how long the second look may take; what it has not reached by then stands as it was found"))

typedef struct rag_config {             /* plain; copy by assignment */
#define RAG_BOOL bool
#define RAG_INT int
#define RAG_FLOAT double
#define RAG_CHOICE int
#define RAG_FIELD(field, name, type, ...) RAG_##type field;
    RAG_KNOBS(RAG_FIELD)
#undef RAG_FIELD
} rag_config;
const q_knob *rag_knobs(int *n);
rag_config rag_config_default(void);
int rag_config_set(rag_config *, const char *name, const char *value, char *err);   /* "default" too; Q_NOTFOUND: not ours */
const char *rag_config_get(const rag_config *, const char *name, q_buf *buf);       /* NULL: not ours */

/* ================= by meaning ================= */
/* An embedding model, as its owner lends it. Vectors have length 1. */
typedef struct rag_embedder {
    const char *id;                     /* vectors of two ids never mix */
    int dim;
    /* n texts, as questions or as passages -> out [n][dim], or a q_result with a sentence. One caller at a time. */
    int (*embed)(void *user, bool question, const char *const *text, const size_t *len, int n, float *out, char *err);
    void *user;
} rag_embedder;
typedef struct rag_embed_opts {
    bool (*go)(void *user);                                         /* asked between two batches; false: Q_CANCEL. NULL: always */
    void (*progress)(void *user, int64_t done, int64_t all);        /* after each batch; may be NULL */
    void *user;
    int64_t most;                       /* so many at most; 0: all */
} rag_embed_opts;
/* Makes the vectors that passages are owed, a batch a transaction: stopped or killed it goes on where it was. *done (may be NULL):
 * how many were made. */
int rag_embed_owed(mem_store *, const rag_embedder *, const rag_embed_opts * /* or NULL */, int64_t *done, char *err);

/* All vectors of a model in memory, a byte a number: read on the first search, brought up on each later one, whoever changed
 * the store. A turn of a talk stands there with what was said around it: the sum of its own vector, 0.6^k of the k-th turn before
 * it (k <= 4) and 0.4^k of the k-th behind it (k <= 3), at length 1. Any thread, several at once. */
typedef struct rag_near rag_near;
rag_near *rag_near_new(mem_store *, const rag_embedder *);         /* copies *e; what it lends must outlive it */
void rag_near_free(rag_near *);
typedef struct rag_near_hit { enum mem_kind kind; int64_t id; double score; } rag_near_hit;
typedef struct rag_near_hits {
    rag_near_hit *v; int n;             /* the best RAG_NEAR_BEST of each kind, exact, best first */
    double mean, max;                   /* of the scores of all that was looked through; 0 where there was nothing */
    double mean_of[2];                  /* of those of each kind */
    double foreign[2][2];               /* of a passage of that kind in other letters than a question in Latin ones, in Cyrillic ones: how much it is short of */
    double spread;                      /* 1 - m·m, of the kinds' by how many there are: how far all lies apart */
    double scale;                       /* the model's: how far apart it puts what has nothing to do with one another, beside multilingual-e5-small; 0: not measured */
    int64_t of;                         /* how many that was */
} rag_near_hits;
enum { RAG_NEAR_BEST = 200 };
/* q [dim]. score = q·v - .5 m·v, m the mean of the kind's vectors; bytes choose, floats decide. Without conversation `except`.
 * Q_RANGE: a number of q is none. */
int rag_near_find(rag_near *, const float *q, int64_t except, bool chats, rag_near_hits *out, char *err);
void rag_near_hits_free(rag_near_hits *);
/* The same for a question in words, of which its embedder makes the vector; and the scores of `also`, whose kind and id stand there: NAN where
 * a passage has no vector. */
int rag_near_ask(rag_near *, const char *question, int64_t except, bool chats, const mem_under *among /* NULL: all */, rag_near_hit *also, int n_also, rag_near_hits *out, char *err);
/* How many passages have a vector now; asks the store alone. */
int rag_near_held(rag_near *, int64_t *n, char *err);
/* Seconds of one look through n made-up rows of dim numbers, the best of `tries`; between (may be NULL) is called before each.
 * form: which form of the scan it was. */
int rag_near_time(int64_t n, int dim, int tries, void (*between)(void *user), void *user, double *seconds, const char **form, char *err);

/* ================= search ================= */
enum rag_fate { RAG_FED, RAG_BELOW, RAG_OVER_COUNT, RAG_OVER_BUDGET, RAG_REPEATS, RAG_SAME, RAG_LEFT_OUT, RAG_OF_BANNED, RAG_ANSWER, RAG_FATES };
/* Cut because a passage says nothing new: what is fed says it, or it is this very question, or what a model answered to it. */
bool rag_fate_repeats(enum rag_fate);
bool rag_fate_unwanted(enum rag_fate);      /* cut because a person wanted it so */
/* What a person wants of a passage: fed first while it fits, whatever its score; not fed this time; never fed, as all of its source. */
enum rag_wish { RAG_NO_WISH, RAG_PINNED, RAG_UNWANTED, RAG_BANNED };

typedef struct rag_term {               /* one word of the query */
    char *word, *stem;
    int64_t with, of;                   /* passages that hold it, passages there are (background not counted) */
    double weight;                      /* w above; 0 = a word of grammar */
    double share;                       /* of its idf that counts in BM25: 1; less for a word of asking or of the question before */
    bool everyday, whole;               /* on the everyday list; a whole identifier */
} rag_term;

/* What a score is made of, in the order of rag_passage.signal. A row of rag/signals.c is all that a signal needs. */
enum { RAG_SIGNALS_MAX = 8 };
struct rag_measured;                    /* what a row's function looks at: rag/measure.h */
typedef struct rag_signal {
    const char *name;                   /* in logs and JSON: "coverage"; never translated, no blanks */
    const char *word;                   /* for people, N_() */
    double (*of)(const struct rag_measured *);      /* 0..1 */
} rag_signal;
const rag_signal *rag_signals(int *n);
/* What a passage is ordered by, in the order of rag_passage.side: beside the best of the search, each 0..1. */
enum { RAG_SIDES_MAX = 8 };
struct rag_sides;
typedef struct rag_side {
    const char *name;                   /* in logs and JSON, never translated: "near" */
    const char *word;                   /* for people, N_(): "similar in meaning" */
    double (*of)(const struct rag_sides *);
} rag_side;
const rag_side *rag_sides(int *n);

typedef struct rag_passage {
    enum mem_kind kind;
    int64_t id, source;                 /* as in mem_passage */
    char *label;                        /* for people: "notes/optics.md § Rayleigh", "chat of 3 May: light"; translated */
    char *cite;                         /* the same for a model: one clean line, the same in every language and time zone */
    char *text;                         /* what would be fed; of a long message the best part */
    char *through;                      /* the name by which the graph led to it, as it is written there; NULL: it did not */
    enum mem_trust trust;
    int64_t taken_ms;                   /* when the person's file was taken in that it is of; 0: it is of none */
    bool missing;                       /* the caller knows that this file is not there now */
    int64_t away_ms;                    /* since when the folder that it lies in cannot be reached; 0: it can, as far as is known */
    int64_t offset;                     /* of text in its document or message */
    int rank;                           /* 1-based */
    int number;                         /* 1-based among the fed, the highest score first or as a second look orders them, by which the prompt cites it; 0: not fed */
    int repeats;                        /* the number of the fed one that says it; -1: it is this question asked elsewhere, or a model's answer to it; else 0 */
    enum rag_fate fate;
    enum rag_wish wish;
    double match;                       /* 0..1 beside the best of this search: passages stand in its order */
    double score, signal[RAG_SIGNALS_MAX], side[RAG_SIDES_MAX], bm25;
    int tokens;                         /* by the caller's count; 0 where it was not asked */
    int room;                           /* tokens that were left when it was this one's turn */
    double *presence;                   /* [n_terms] s above; 0 = not there */
} rag_passage;

/* Of what was searched when a question, or its caller, asks for what somebody said, or for what was said at some time. */
typedef struct rag_narrowed {
    bool on, all;                       /* all: nothing there fitted, so all was searched after all */
    int64_t from_ms, to_ms;             /* Unix time; to is not included; 0: open */
    int turns;                          /* turns of talks that could have come in */
    char *words;                        /* one sentence, translated; NULL: nothing of this kind was asked */
} rag_narrowed;

typedef struct rag_result {
    rag_term *term; int n_term;
    rag_passage *v; int n;              /* what is pinned, then best first, then what a model wrote, best first; fed or not; at most 20 */
    int n_fed, fed_tokens;
    int n_below, n_over;                /* cut by score; by count, budget or as a repetition */
    int n_repeat;                       /* of n_over, the repetitions */
    int n_unwanted;                     /* cut because a person wanted it so */
    int n_answers;                      /* cut because a model wrote it and memory.answers is off */
    double best_below;                  /* the best score under the threshold; 0 = nothing matched at all */
    double min_score;                   /* the threshold in force */
    int max_passages;                   /* the count in force */
    bool off, mode_off;                 /* memory.on is off, or memory.mode */
    enum rag_mode by;                   /* how it was searched: lexical, hybrid or graph; off */
    enum rag_fusion fusion;             /* how words and meaning became one order */
    char *note;                         /* why meaning was not asked though it should have been: one sentence, translated; or NULL */
    rag_narrowed narrowed;
    bool searched;                      /* false: off, or the query has no words that weigh */
} rag_result;

typedef struct rag_place { enum mem_kind kind; int64_t id; } rag_place;      /* a passage */
typedef struct rag_scope {
    int64_t conversation;               /* the present one: never fed to itself; 0 = none */
    int budget;                         /* tokens left in the context; < 0: only memory.budget counts */
    int (*count)(void *user, const char *text, size_t n);   /* tokens of a text; NULL: bytes / 4 */
    void *user;
    const char *before;                 /* what was asked before: a question that points back is searched with it; NULL: nothing */
    rag_near *near;                     /* what lies near in meaning; NULL: words alone. A failure of it is a note, not one of the search */
    const rag_place *without; int n_without;     /* passages that are not to be fed this time */
    int64_t now_ms;                     /* the clock by which "last week" is read, Unix time; 0: now */
    int64_t since_ms, until_ms;         /* only what was said or taken in then; until is not included; 0: open */
    const char *by;                     /* only what "me" (the person of this memory), "model" or somebody of that name said; NULL: anybody */
    bool whole;                         /* the text is no question: times and speakers in it narrow nothing */
    const char *const *of; int n_of;    /* only passages of sources whose title ("notes/optics.md") holds one of these, in any letter case; 0: of anything */
    bool no_pins;                       /* what the conversation's pins feed is fed already */
} rag_scope;
/* Does a question lean on what was said before it ("And on Sundays?", "How often?")? */
bool rag_points_back(const char *question);

/* Local time at which a day begins, or `later` days after it: "2026-11-27", "27.11.2026", today, yesterday, вчера; Unix ms; -1: it is none. */
int64_t rag_day(const char *word, int later, int64_t now_ms);

/* Options of a search as a person writes them, "since" and "until" (the whole day) with a day, "by" with who, into a scope, which points to
 * value then. Q_NOTFOUND: there is no such option; Q_RANGE: the value is none. */
int rag_scope_set(rag_scope *, const char *option, const char *value, char *err);

/* A question that asks for what was said, by whom or when ("what did I say last week about ...?", in both languages), is searched among that
 * alone; where nothing of it fits, all is searched. Either way the result's `narrowed` says so. What the scope asks for is never widened. */
int rag_search(mem_store *, const rag_config *, const char *query, const rag_scope *, rag_result **out, char *err);
bool rag_judged(const rag_passage *);    /* somebody took a second look at it; then that side is .001 at least */
/* May a second look have it fed? Not what is not wanted, nor what is too weak even in the first place. */
bool rag_worth_a_look(const rag_result *, const rag_passage *);
/* A second look at what was found: yes [n] is how likely each of r's passages helps to answer, 0..1; NAN: it was not reached, and stands
 * behind those that were, as it was found. What is fed is chosen anew. */
void rag_look_again(const rag_config *, const rag_scope * /* or NULL */, rag_result *, const double *yes);
/* What was fed once more, numbered in this order, for the same prompt: `from` and `n` bytes of a passage's text (n < 0: all of it). Q_NOTFOUND:
 * one is not in memory any more, or is shorter now. */
typedef struct rag_fed { enum mem_kind kind; int64_t id, from, n; } rag_fed;
int rag_again(mem_store *, const rag_fed *, int n, rag_result **out, char *err);
/* Puts what a second search found behind the first; a passage that both know stays as the first has it. Takes `more`. */
void rag_join(rag_result *, rag_result *more);
void rag_result_free(rag_result *);

/* ================= in words ================= */
/* One word for a fate ("fed", "below", ...) that logs and JSON carry; not translated. */
const char *rag_fate_word(enum rag_fate);
const char *rag_trust_word(enum mem_trust);    /* "own", "manual", "model": constant, for programs */
/* A score as it is shown beside a threshold: ".73"; with as many digits as tell the two apart (".2996" below ".30"). */
enum { RAG_NUMBER = 24 };
const char *rag_number(double score, double min_score, char out[RAG_NUMBER]);
/* One line: "2 fed, 310 tok", "nothing fed: best .12 below .30". Returns buf->p. */
const char *rag_summary(const rag_result *, q_buf *buf);
/* The order in which people are shown passages: what is fed by its number, then the rest, the highest score first. Places of v, malloc'ed.
 * Programs read them in the order of the search. */
int *rag_shown(const rag_result *);
int *rag_shown_logs(const mem_logs *);
/* /why: every number of the search, as lines of text. */
void rag_explain(const rag_result *, q_buf *out);
/* The same as JSON, for programs; query may be NULL. malloc'ed. */
char *rag_explain_json(const rag_result *, const char *query);
/* Of a stored log both, as far as it holds them. */
void rag_explain_logs(const mem_logs *, q_buf *out);
char *rag_explain_logs_json(const mem_logs *);
/* One passage's numbers in one line: "fed; score .73 = coverage .931 × evidence .824 × match .955; place 1 by words .95; found: ...". */
void rag_why(const rag_result *, const rag_passage *, q_buf *out);
/* The same of a stored row. */
void rag_log_why(const mem_log *, q_buf *out);
const char *rag_logs_summary(const mem_logs *, q_buf *buf);     /* rag_summary of stored rows */
bool rag_log_repeats(const mem_log *);           /* cut because one that is fed says it */
enum rag_fate rag_log_fate(const mem_log *);
bool rag_log_pinned(const mem_log *);            /* fed because it is pinned */
double rag_log_min_score(const mem_log *);      /* the threshold that a row was below; 0: it was not cut by it */
/* Keeps the result as the message's retrieval log. */
int rag_log(mem_store *, int64_t message, const rag_result *, char *err);
/* The log again, with the labels of what was said made now: none of these is kept. "" where the passage is gone. */
int rag_log_get(mem_store *, int64_t message, mem_logs *out, char *err);
/* A passage's signals and sides as a log keeps them, but those that are 0 and say nothing then: "coverage=0.931 evidence=0.824 match=0.955
 * by.words=0.800 by.near=0.710". Returns buf->p. */
#define RAG_BY "by."
#define RAG_SECOND "second"             /* of the sides the one of a second look: no search gives it */
#define RAG_EITHER "meaning"            /* of the signals the one that may stand in for all before it */
const char *rag_signals_text(const rag_passage *, q_buf *buf);
/* Which words of the question it holds, each with weight and presence; malloc'ed. */
char *rag_terms_text(const rag_result *, const rag_passage *);
/* Takes the next "name=value" off such a text; false at its end. */
bool rag_signals_next(const char **text, char name[32], double *value);
/* "signals" and "by", {name: value}, into a passage's object, from that text. */
struct cJSON;
void rag_json_signals(struct cJSON *passage, const char *text);
/* "narrowed" into a result's object; nothing where nothing of the kind was asked. */
void rag_json_narrowed(struct cJSON *result, const rag_narrowed *);

/* A map of the memory: counts by kind, languages, forms, growth by month; in words and as JSON (malloc'ed), either may be NULL. Reads
 * every text; go (may be NULL) is asked at each, false: Q_CANCEL. */
int rag_map(mem_store *, bool (*go)(void *user), void *user, q_buf *out, char **json, char *err);

/* ================= a name and what stands beside it ================= */
enum { RAG_AROUND_MOST = 24, RAG_AROUND_PLACES = 8, RAG_AROUND_NEAR = 5 };
typedef struct rag_around_name {
    char name[MEM_NAME_MAX];            /* kind and key, as memory.h has it */
    char *form;                         /* as it is mostly written */
    int shared, all;                    /* passages that it shares with the name; that have it at all (above 1000 of a kind: 1001) */
} rag_around_name;
typedef struct rag_around {
    char name[MEM_NAME_MAX], *form;
    int passages;                       /* that may be found and have it */
    bool more;                          /* so many have it that none of one kind was looked at */
    rag_around_name v[RAG_AROUND_MOST]; int n;      /* those that share most first */
    char *place[RAG_AROUND_PLACES]; int n_place;    /* labels of some of the passages */
    char *near[RAG_AROUND_NEAR]; int n_near;        /* names that are spelt nearly so; only while it is looked for */
} rag_around;
/* Q_NOTFOUND: nothing is called so; the sentence says what is called nearly so. */
int rag_around_find(mem_store *, const char *name, rag_around *out, char *err);
void rag_around_free(rag_around *);
void rag_around_text(const rag_around *, q_buf *out);
void rag_around_json(const rag_around *, q_buf *out);       /* one line */
void rag_around_svg(const rag_around *, q_buf *out);
/* A passage's label, as in rag_passage; malloc'ed. */
char *rag_label(const mem_passage *);

/* ================= is its file there? ================= */
enum rag_there { RAG_THERE, RAG_MISSING, RAG_NOT_LOOKED };
/* Looks at a name on a disk of this machine; never at one that may not answer, nor at what is no absolute path. */
enum rag_there rag_file_there(const char *path);
/* Does what /proc/self/mountinfo says make the disk of an absolute path one of this machine? */
bool rag_disk_answers(const char *mounts, const char *path);
/* "; as of 2026-05-03; its file is not there now", or "not reachable since 2026-11-27", behind what rag_why says; a log row does not hold it. */
void rag_taken(int64_t taken_ms, bool missing, int64_t away_ms, q_buf *out);
/* A folder that cannot be reached, which whoever watches it tells (away false: it can be again); *since_ms: since when, also over a start. */
int rag_away_put(mem_store *, const char *folder, bool away, int64_t now_ms, int64_t *since_ms, char *err);
typedef struct rag_away { char *folder; int64_t since_ms; } rag_away;
typedef struct rag_aways { rag_away *v; int n; } rag_aways;
int rag_away_list(mem_store *, rag_aways *out, char *err);
void rag_aways_free(rag_aways *);
int64_t rag_away_since(mem_store *, const rag_aways *, int64_t document);       /* 0: it is in none */
void rag_away_mark(mem_store *, rag_result *);  /* what rag_search has done */
char *rag_away_words(int64_t away_ms);          /* "not reachable since 2026-11-27"; malloc'ed */

/* ================= taking in ================= */
enum { RAG_SKIPS = 16 };
typedef struct rag_skip {               /* why files were passed over, once a reason */
    char why[192];                      /* translated */
    int n;
    char example[192];                  /* one of them; the end of a long path */
} rag_skip;

typedef struct rag_progress {
    const char *path;                   /* the file at hand */
    int seen, added, unchanged, skipped, chunks;
    int renamed;                        /* documents whose file has another name now */
    int gone, back, kept;               /* documents whose file is missed from now on; that are there again; not found, but nobody can say */
    const char *note;                   /* why this file was skipped, or NULL */
    rag_skip skip[RAG_SKIPS]; int n_skip;   /* the last row takes what finds no other */
    int chats, chats_more, chats_same, messages;    /* conversations of archives: new, with something new, as they were; messages */
    int forgotten;                      /* messages of archives that were forgotten and stayed out */
    int damaged;                        /* records of archives that could not be read */
    rag_skip damage[RAG_SKIPS]; int n_damage;       /* likewise; the example says where */
    int repaired;                       /* documents and conversations whose text was UTF-8 read as another set */
} rag_progress;
typedef struct rag_add_opts {
    /* After each file; false cancels: what was added stays. May be NULL. */
    bool (*progress)(void *user, const rag_progress *p);
    void *user;
    /* Asked while one large file is stored; false cancels, that file is not taken. May be NULL. */
    bool (*go)(void *user);
    /* Files of a folder that are passed over, as if they were not there to be taken. May be NULL. */
    bool (*skip)(void *user, const char *path);
    bool again;                         /* what was forgotten of archives comes back too */
} rag_add_opts;
/* A file, or a folder with all text files below it (hidden ones and symlinks that leave it are passed over).
 * A file whose content is already there is left alone, a changed one replaced. Q_CANCEL after a cancel.
 * Archives of chats (rag/import/) become conversations instead: what of them came before is left alone. Text that is UTF-8 read
 * as another set is repaired, and its bytes kept.
 * Fails on a single file that cannot be taken; in a folder such files are skipped with a note. total may be NULL. */
int rag_add(mem_store *, const char *path, const rag_add_opts *, rag_progress *total, char *err);
/* What was skipped or damaged and why, a line a reason with its count and an example; nothing when nothing was. */
void rag_skips_words(const rag_progress *, q_buf *out);
/* "2 conversations added (35 messages), 1 unchanged"; nothing where there was no archive. */
void rag_chats_words(const rag_progress *, q_buf *out);
/* What mem_document.was says, for people: "UTF-8 read as Mac Roman, repaired"; malloc'ed. */
char *rag_repaired_words(const char *was);
/* A text that is no file: name is its unique path ("manual:en"), title what is shown. */
int rag_add_text(mem_store *, const char *name, const char *title, enum mem_trust, const char *text, size_t n,
                 int64_t *id, char *err);
/* The manual in both languages, at every start: put in, renewed when it changed; nothing when the person removed it. */
int rag_manual(mem_store *, char *err);
/* Statements of a text that somebody could want remembered, in order: by rules, English and Russian. fn: false ends it. */
void rag_statements(const char *text, size_t n, bool (*fn)(void *user, const char *statement), void *user);
/* What a fact is about, in stems: a newer one of the same subject supersedes it; "": it supersedes nothing. malloc'ed. */
char *rag_fact_subject(const char *text);
/* The facts that hold are searched as this document, a passage each: made anew where it is not what they say. After every change. */
#define RAG_FACTS "facts:"
int rag_facts(mem_store *, char *err);
/* Deletes a document; the manual then stays away, and that of the facts takes them with it. */
int rag_remove(mem_store *, int64_t document, char *err);
/* Many at once, in steps. *done: how many are removed, also when it fails. */
int rag_remove_all(mem_store *, const int64_t *document, int n, int *done, char *err);

/* ================= leaving ================= */
typedef struct rag_exported { int64_t conversations, messages, documents, facts, rows; int unread /* tables that could not be read to their end */; } rag_exported;
typedef struct rag_export_opts {
    bool json;                          /* everything.jsonl too: every row as quorum memory export writes it */
    bool over;                          /* an earlier export in its place goes */
    bool (*go)(void *user, const rag_exported *so_far);     /* now and then; false: Q_CANCEL. NULL: always */
    void *user;
} rag_export_opts;
/* Everything that memory holds at one moment, as a folder that a person can read: README.md, conversations/N.md (a comment before each
 * message says what it hangs on; rag_add takes such files in again as the same conversations), documents.md, facts.md. It is made beside
 * its place under another name and takes it when it is whole and on the disk: after a failure nothing is there but what was. All of it
 * is the person's alone (0700, 0600). */
int rag_export(mem_store *, const char *path, const rag_export_opts *, rag_exported *out, char *err);
/* May it be written there? *over: an earlier export is there, and nothing else. Q_RANGE: something else is. */
int rag_export_place(const char *path, bool *over, char *err);
/* "quorum-export-2026-11-27": malloc'ed. */
char *rag_export_name(void);
/* A row of mem_export as one line of JSON without its end; what a number or a text cannot say exactly is a text or {"bytes": hex}; what
 * would move on a terminal is escaped (q_json_safe). malloc'ed; NULL: no memory. */
char *rag_export_line(const char *table, const mem_export_value *v, int n);

/* A page as a server sent it, in place: UTF-8 text; of HTML (html) its words as Markdown, read by quorum-readers. charset: what the server
 * said, "": nothing. go: asked while it is read, false ends it; NULL: always. NULL, or a translated reason why not; b is then as it may be. */
const char *rag_page(q_buf *b, bool html, const char *charset, bool (*go)(void *user), void *user);
/* Does the kernel here end quorum-readers at any call that reading does not need? Else its other bounds hold. Starts a process. */
bool rag_readers_held(void);
/* The member of that name of a zip in an open file, which stays the caller's, piece by piece to put; false ends it (Q_CANCEL). It is read by
 * quorum-readers, a process that is held in. Q_NOTFOUND: there is none of that name; Q_FORMAT: it cannot be read. What put got before a
 * failure is not to be used. */
int rag_unzip(int fd, const char *member, bool (*put)(void *user, const char *p, size_t n), void *user, char *err);

/* Cuts a text into chunks of about 1000 bytes at headings, paragraphs and sentences; fenced code stays whole up to
 * 4000. PLAIN: nothing is a heading or a fence. SOURCE: a program's, cut between what stands at the margin (functions, types),
 * each whole up to 4000, its first line its heading. Returns how many; *out and the headings are malloc'ed, texts point into
 * text. For tests and other importers. */
enum rag_form { RAG_PLAIN, RAG_MARKDOWN, RAG_SOURCE };
int rag_chunk(const char *text, size_t n, enum rag_form, mem_chunk **out);
void rag_chunks_free(mem_chunk *, int n);

#endif
