/* agent: one turn and everything a front end needs around it. The full screen, the line editor, -p and --json all stand
 * on this header alone. Owns three threads: the engine thread (loading, turns, re-evaluation: the only one that touches a
 * session) and the clerk's quick and long lanes (memory: lists and search; import and removal). Owns the joined knob table and the command table.
 *
 * Threads: every agt_* call is made from the one front-end thread; none blocks longer than a mutex (no disk, no model)
 * except agt_open and agt_close. What happens comes back as events in a queue; agt_wake_fd becomes readable when there
 * are some. Text events are never dropped; routing is a snapshot that a slow screen may skip.
 * It never draws, and never reads keys. */
#ifndef QUORUM_AGENT_H
#define QUORUM_AGENT_H

#include "advice/advice.h"
#include "agent/commands.h"
#include "base/base.h"
#include "base/knob.h"
#include "lab/lab.h"
#include "teach/teach.h"

typedef struct agt agt;
struct prov;
struct prov_opts;
struct mem_store;

typedef struct agt_options {
    const char *model;          /* path, already resolved; NULL: no model (everything but answering works) */
    const char *db;             /* NULL: the user's; ":memory:" for tests */
    const char *const *set;     /* NAME=VALUE */
    int n_set;
    bool base;                  /* no template: the text continues */
    bool fresh;                 /* start with a new conversation instead of the last one */
    bool routing;               /* AGT_EV_ROUTING is wanted */
    bool once;                  /* one question of a script: its conversation is not what the next start opens */
    bool meaning;               /* memory is searched by meaning too, where there is an embedding model */
    const char *folder;         /* of the project that tools are at home in; NULL: the present one */
    const char *allow;          /* tools that may be used without asking: rules as tools/tools.h has them; NULL */
    bool alone;                 /* nobody is there to be asked about tools: what no rule allows is denied, and ends the answer */
    const char *const *module; int n_module;     /* on for this process, beside those that are kept on */
    bool embeds;                /* with meaning: the vectors that passages are owed are made while nothing else is to be done */
    int (*answers)(const char *model, const struct prov_opts *, struct prov **out, char *err);   /* who answers; NULL: prov_open */
} agt_options;

/* Opens store and knobs, starts the threads; the model loads in the background (AGT_EV_LOADING … AGT_EV_READY or _NOTE).
 * A question sent meanwhile waits for the model. Fails only when the store or an assignment in `set` is bad. */
int agt_open(const agt_options *o, agt **out, char *err);
void agt_close(agt *);          /* stops the answer, keeps what was said, joins the threads */
int agt_wake_fd(const agt *);

/* ================= what is shown: plain copies ================= */
enum agt_role { AGT_SYSTEM, AGT_USER, AGT_ASSISTANT };
enum agt_state { AGT_PARTIAL, AGT_DONE, AGT_STOPPED, AGT_FAILED };
enum agt_cut { AGT_WHOLE, AGT_CUT_LOOP, AGT_CUT_TOKENS, AGT_CUT_CONTEXT,     /* done, but not because all was said */
               AGT_CUT_KILLED };         /* stopped by quorum's own end, maybe before the first word */

/* From which byte of a reply's text on which configuration made it. Equal keys: the same but for dice and bounds; 0: the
 * model's own settings. forward: of what acts on hidden states alone. */
typedef struct agt_made { uint64_t key, forward; int64_t at; char *mark; } agt_made;  /* at -1: unknown; mark: "k 12→4", "": the first */

enum agt_call_state { AGT_CALL_WAITS, AGT_CALL_RUNS, AGT_CALL_DONE, AGT_CALL_FAILED, AGT_CALL_DENIED, AGT_CALL_STOPPED };
typedef struct agt_call {       /* of a tool, in an answer */
    int64_t id;                 /* the store's; 0: not stored yet; < 0: no call but a mark on the message, of one line: title */
    int64_t at;                 /* bytes of the answer's text before it */
    char *name, *title;         /* "edit_file"; "edit_file src/a.c": one line, safe to show */
    char *arguments, *result;   /* JSON as the model wrote it; what it read. NULL while it waits */
    char *policy;               /* who let it be done, or did not; while it waits: why it is asked about */
    enum agt_call_state state;
    int64_t ms;
    bool undoable, undone;      /* it changed a file, and /undo knows how to take that back; it was */
    /* while it waits */
    char *shown; bool diff;     /* what it would do: lines, safe to show; they are a diff */
    bool question;              /* it is no call to be allowed but a question, whose answer agt_approve carries */
    enum agt_asks {             /* what is allowed: the call; */
        AGT_ASKS_CALL,
        AGT_ASKS_SERVER,        /* that an MCP server is used: AGT_ONCE and AGT_CHAT until the program ends, AGT_FOLDER always. name: the server's */
        AGT_ASKS_SIGN,          /* that one signs in at an MCP server by a browser, whose link `shown` has; AGT_NO with words: where it ended. name likewise */
        AGT_ASKS_FORM           /* that a server's questions come next: AGT_NO declines them. Of its questions: this too. name likewise */
    } asks;
    bool risky;                 /* it is asked about each time, whatever was allowed */
    char *rule;                 /* what AGT_CHAT and AGT_FOLDER would allow: "read", "edit_file"; NULL: only AGT_ONCE */
    char *folder;               /* of the project */
} agt_call;
void agt_call_free(agt_call *);              /* contents, not the struct */

typedef struct agt_message {
    int64_t id, parent;         /* the store's ids; 0 = none */
    enum agt_role role;
    enum agt_state state;
    enum agt_cut cut;           /* what ended it, where the model did not */
    char *text, *thinking;      /* thinking may be NULL; kept apart from the reply */
    int64_t created_ms;
    char *label;                /* "standard · k 12": the configuration(s), in order, " → " between, as stored: in no language; NULL for users */
    int n_tokens, n_thinking, n_prompt;
    double prefill_s, decode_s;
    int n_passages;
    int sibling, n_siblings;    /* 1-based place among the children of its parent */
    int differs_at;             /* byte of text where it first differs from the sibling it was compared with; -1 */
    int n_config;               /* how many configurations made it */
    agt_made *made;             /* [n_config] */
    agt_call *call; int n_call; /* in their order */
} agt_message;

typedef struct agt_chat { int64_t id; char *title; int64_t updated_ms; int n_messages; } agt_chat;

enum agt_of { AGT_OF_DOCUMENT, AGT_OF_CHAT };
enum agt_fate { AGT_FED, AGT_BELOW, AGT_LIMIT, AGT_REPEATS, AGT_UNWANTED, AGT_ANSWER };      /* cut by score; by count or room; as a repetition; as a person wanted it; a model wrote it */
/* What it is, for people; thousandths. Meaning may stand in for all parts before it; a side has a say in the order alone. */
typedef struct agt_part { char word[48]; double value; enum agt_part_as { AGT_TIMES, AGT_OR, AGT_SIDE } as; } agt_part;
enum { AGT_PARTS = 12 };
typedef struct agt_passage {    /* one candidate of retrieval, fed or not */
    int64_t chunk;              /* which of all passages: of a document's, or the message of a conversation */
    enum agt_of of;
    int64_t owner;              /* the document, or the conversation; 0: not known any more */
    int64_t from, n;            /* bytes of the passage's text that `text` is; n -1: all of it */
    enum agt_fate fate;
    bool pinned;                /* fed first, whatever its score */
    int number;                 /* [1], [2], …; 0 = not fed */
    char *source, *heading;     /* "notes/optics.md", "Rayleigh" */
    char *text;
    double score;
    char shown[24];             /* the score as it is to be shown: ".73", with more digits where .30 is below .30 */
    char *signals;              /* what the score is the product of: "coverage=0.931 evidence=0.824" */
    agt_part factor[AGT_PARTS]; int n_factor;    /* the same, for people */
    int tokens;
    char *terms;                /* which words of the question it holds, each with weight and presence; "" */
    char *why;                  /* every number in words: terms, idf, bm25, coverage, rank; why it was cut; as of when */
    bool missing;               /* the file that it is of was not there when it was looked for */
    char *away;                 /* "not reachable since 2026-11-27": the folder that it lies in; NULL */
    int64_t away_ms;            /* since when; 0 */
} agt_passage;

/* What a person wants of memory: passages that are fed first in the present conversation, sources that are never fed. */
typedef struct agt_wish { enum agt_of of; int64_t id; char *title; } agt_wish;        /* id: of the passage, or of the source */
typedef struct agt_wishes { agt_wish *pin; int n_pin; agt_wish *ban; int n_ban; } agt_wishes;

void agt_wishes_free(agt_wishes *);          /* contents, not the struct */

typedef struct agt_retrieval {
    agt_passage *p; int n;      /* fed first by number, then the rest, the highest score first */
    int fed, fed_tokens;
    int cut_limit, cut_repeat, cut_score, cut_unwanted, cut_answers;      /* how many of each fate */
    agt_wishes wishes;          /* of AGT_EV_WISHES alone */
    double best, min_score;
    char *broken;               /* memory could not be searched: why, and what to do; else NULL */
    char *narrowed;             /* among what the question had it searched: "narrowed to what you said, on 2026-11-26"; else NULL */
    char *nothing;              /* fed == 0: why, "nothing fed: best .12 below .30"; else NULL */
} agt_retrieval;

/* ================= events ================= */
enum agt_event_kind {
    AGT_EV_LOADING,     /* text: the file's name; done, total bytes; total 0: loaded, or it failed  */
    AGT_EV_READY,       /* the model answers; text: its name                                        */
    AGT_EV_CHATS,       /* chat[n_chats]                                                            */
    AGT_EV_OPENED,      /* the present conversation from root to leaf: message[n_messages], id = chat, text = title, draft,
                           scroll, done = the message that is to be seen (0: none is meant); also after editing, branching,
                           deleting                                                                 */
    AGT_EV_TITLE,       /* a conversation has another name: id = chat, text                                 */
    AGT_EV_SENT,        /* message: the question, durable                                           */
    AGT_EV_RETRIEVAL,   /* retrieval; id = the answer's or question's message                       */
    AGT_EV_WISHES,      /* retrieval->wishes: pins of the present conversation and banned sources, as they are now */
    AGT_EV_SOURCE,      /* agt_ask_source: name = title, text = the passage with what stands around it, done and total = the bytes of text
                           from which and up to which it is the passage                            */
    AGT_EV_PREFILL,     /* done, total, rate (tokens/s); total 0: ended                             */
    AGT_EV_BEGIN,       /* an answer begins: message (partial, empty)                               */
    AGT_EV_TOKEN,       /* text (whole characters, maybe ""), thinking, number (1-based; 0: what agt_amend gave), token id, logprob,
                           differs: the first token unlike the compared sibling's; done = differs_at then   */
    AGT_EV_ROUTING,     /* where agt_options wanted it, behind each token: number, token, done = position, data = layers as JSON */
    AGT_EV_LOOK,        /* agt_look: id = message, number = token (from 1), total = how many, done and scroll = bytes of the
                           message's text from and to (to 0: it is not in it), text: its page, narrow; data: its last
                           rows' experts, "LAYER EXPERT EXPERT …" a line */
    AGT_EV_KNOB,        /* name, text = value now, number = token after which it holds (0 = between answers), note = what it
                           means in one sentence ("from the next token", "412 tokens to re-evaluate") */
    AGT_EV_LABEL,       /* the running answer's caption is another one: id = message, text = its label now, as stored;
                           number = token, message: made[0] is what it is made by from here on        */
    AGT_EV_DONE,        /* message: the finished answer (state says how), rate                      */
    AGT_EV_PAUSED,      /* flag: paused or not                                                      */
    AGT_EV_PROGRESS,    /* long work: text = what, done, total, seconds left in rate (<0 unknown); total 0: ended */
    AGT_EV_NOTE,        /* level, text: one sentence                                                */
    AGT_EV_TEXT,        /* a page of text that a command printed (/set, /context, /why, /help): title in name, text, data */
    AGT_EV_COLUMNS,     /* two configurations side by side: columns (lab/lab.h); with one text a TEXT with its numbers came before */
    AGT_EV_FOUND,       /* /find: message[n_messages], snippets in text, chat id in parent          */
    AGT_EV_ASK,         /* what cannot be taken back: text = the question (lines), id for agt_answer; data: of a forgetting, as JSON */
    AGT_EV_APPROVE,     /* a tool is to be used that a person is asked about: message->call[0], id for agt_approve; the answer waits. Until
                           an AGT_EV_CALL or AGT_EV_DONE comes */
    AGT_EV_WRITING,     /* the model is writing a call of a tool: text = what came of it, done = bytes of it so far, number = token; id = the answer.
                           It is over with the next AGT_EV_CALL, AGT_EV_APPROVE, AGT_EV_DONE, or token that has text */
    AGT_EV_CALL,        /* a tool runs, or ended: id = the answer, message->call[0] */
    AGT_EV_PLAN,        /* what the model means to do: text = lines "[x] step", data = the same as JSON, done, total; id = the answer */
    AGT_EV_COMPACTED,   /* a summary stands for older turns, or no longer: message: the last of them as it is now; name = "made", "edited", "pinned" or
                           "undone", text = the summary, note = lines that stay word for word beside it, number = messages that it stands
                           for, done, total = tokens before and after, data = the same as JSON */
    AGT_EV_MARKED,      /* message: as it is now: its turn was pinned, or is not any more */
    AGT_EV_ZOOM,        /* agt_ask_zoom: number = layer, token = expert, flag = all; zoom (lab/lab.h), or text: why there is none          */
    AGT_EV_ENERGY,      /* what agt_ask_energy asked for is there: agt_get_energy                              */
    AGT_EV_ADVICE,      /* what agt_ask_advice asked for is there: agt_get_advice; flag: not yet, an answer runs and measuring would slow it down; it comes again when that has ended */
    AGT_EV_MEANING,     /* agt_get_meaning says something else: text = it in words ("": nothing), name = its state, done, total (coming: of 100; broken: 0), rate: seconds left (<0 unknown) */
    AGT_EV_MODULES,     /* id 0: agt_get_modules says something else; else the modules that stand in the prompt of this answer: data = JSON
                           {modules [name, hash, tokens], tokens, left_out} */
    AGT_EV_TEACH,       /* agt_get_teaching says something else: text = a line, name = its phase, done, total = steps, rate = seconds left (<0 unknown), data = all of
                           it as JSON, flag: the phase is another one, note: what is wrong, or NULL */
    AGT_EV_UI           /* a command that only a front end can do: action in id, its argument in text */
};
enum agt_level { AGT_INFO, AGT_WARN, AGT_ERROR };

typedef struct agt_event {
    enum agt_event_kind kind;
    char *text, *name, *note, *draft;       /* owned by the event; NULL where unused */
    char *data;                             /* of a TEXT: the same as JSON, for programs; owned; NULL: it has none */
    int64_t id, done, total, scroll;
    int number, level, token;
    bool thinking, differs, flag;
    double rate, logprob;
    agt_message *message;  int n_messages;  /* one or an array */
    agt_chat *chat;        int n_chats;
    agt_retrieval *retrieval;
    lab_columns *columns;
    lab_zoom *zoom;
} agt_event;

bool agt_next(agt *, agt_event *out);        /* false: none waiting. The caller frees with agt_event_free. */
void agt_event_free(agt_event *);            /* contents, not the struct */
void agt_message_free(agt_message *);        /* contents, not the struct */
void agt_retrieval_free(agt_retrieval *);    /* contents, not the struct; what an event gave away */

/* ================= what a person does ================= */
/* Anything typed: a message, or a command ("/set experts.k 1", also ".ыуе"-style slips, answered with a note). A question
 * that is sent while an answer runs waits its turn. */
void agt_submit(agt *, const char *text);
/* A question with a text beside it (what was piped in), as one message for agt_submit: the text framed as data. Memory is
 * then searched for the question first. malloc'ed. */
char *agt_attach(const char *question, const char *text, size_t n);
/* The prompt that this question would make, as its model would read it: AGT_EV_TEXT named "/prompt"; AGT_EV_DONE (failed)
 * where there is none. Nothing is asked or stored. */
void agt_show_prompt(agt *, const char *text);
void agt_stop(agt *);                                    /* within 50 ms, in prefill too */
void agt_pause(agt *, bool on);
/* Closes the thought of the running answer, so that the answer begins; where nothing is being thought, a note says so. */
void agt_end_thinking(agt *);
void agt_step(agt *);                                    /* while paused: one token */
void agt_nudge_k(agt *, int delta);                      /* F7, F8: every routed layer's k by delta, from the next token */
void agt_toggle(agt *);                                  /* F9: the configuration before, and on, and back (agent/history.h) */
void agt_again(agt *, int64_t message, const char *assignments);  /* a sibling of an answer; "experts.k=1 …" or "" */
void agt_edit(agt *, int64_t message, const char *text); /* a sibling of a question, then its answer */
/* A sibling of an answer that begins with these words, as they stand, and goes on from there. AGT_EV_TOKEN number 0 carries
 * them. A question's message: its first answer. Where nothing comes of it, AGT_EV_UI AMEND brings them back. */
void agt_amend(agt *, int64_t message, const char *text);
void agt_branch(agt *, int64_t message, int delta);      /* to the previous or next sibling */
void agt_open_chat(agt *, int64_t chat);                 /* 0: a new one */
void agt_open_at(agt *, int64_t chat, int64_t message);  /* on a branch that holds this message */
void agt_ask_chats(agt *);                               /* answered by AGT_EV_CHATS */
void agt_ask_retrieval(agt *, int64_t message);          /* the stored log of an answer: AGT_EV_RETRIEVAL */
/* What a person wants of memory; each is answered by AGT_EV_WISHES, or a note that says why not. */
void agt_ask_wishes(agt *);
void agt_pin(agt *, const agt_passage *, bool on);       /* in the present conversation, from the next answer on */
void agt_ban(agt *, enum agt_of, int64_t owner, bool on);        /* everywhere */
/* A sibling of an answer (0: the last) to which these of its passages are not fed ("1 3"; "": no memory at all), then both side by
 * side: AGT_EV_COLUMNS. What was left out of the answer already stays so. */
void agt_without(agt *, int64_t message, const char *numbers);
void agt_ask_source(agt *, enum agt_of, int64_t chunk);  /* a passage where it stands: AGT_EV_SOURCE */
/* A token of an answer: AGT_EV_LOOK, or a note that says why not. number: from 1, 0: the last, -n: where the last look at
 * this answer came to, else n; by: from there so many tokens (words: to where so many words further begin). Where more waits to be
 * done already only the place is taken. */
void agt_look(agt *, int64_t message, int number, int by, bool words);
void agt_look_again(agt *, int64_t message, int number);         /* the same without moving, its alternatives too where the answer must be evaluated again for them */
/* A layer (expert -1), or one expert of it, over the answers of the present branch: AGT_EV_ZOOM. Layers as the model counts
 * them. An expert's tokens are spelt behind what the model is doing, a layer's load at once. all: over all stored conversations, the newest
 * answers up to a number of tokens, behind other long work; agt_stop ends it. */
void agt_ask_zoom(agt *, int layer, int expert, bool all);
void agt_rename(agt *, int64_t chat, const char *title);
void agt_delete_chat(agt *, int64_t chat);               /* at once, for good: the caller has asked */
/* A file outside quorum's folders holds what was said here: "picture", "trace", "export"; a later /forget names it. */
void agt_outside(agt *, const char *kind, const char *path);
void agt_keep_place(agt *, int64_t chat, int64_t scroll, const char *draft);     /* remembered for it; 0: for the next new one */
void agt_setting_put(agt *, const char *key, const char *value); /* panel sizes and the like; kept in the store */
char *agt_setting_get(agt *, const char *key);                   /* malloc'ed or NULL; from a copy in memory */
void agt_answer(agt *, int64_t ask, bool yes);           /* to AGT_EV_ASK; unanswered, nothing is done */
/* To AGT_EV_APPROVE, by its id; what was asked about before is not answered by it. words: with AGT_NO why not, to a question the answer; NULL. */
enum agt_consent { AGT_NO, AGT_ONCE, AGT_CHAT /* in this conversation */, AGT_FOLDER /* always in this folder */ };
void agt_edited(agt *, const char *path);                /* the editor has left this file (AGT_UI_FILE): what it says now is looked at */
void agt_approve(agt *, int64_t id, enum agt_consent, const char *words);
/* What a person typed: a letter (why: words are to follow), or a line, "n not that file"; false: it is none of these, and then how is AGT_NO
 * and words the line. The question as lines for one who types lines; malloc'ed. */
bool agt_consent_letter(uint32_t cp, enum agt_consent *how, bool *why);
bool agt_consent_line(const char *line, enum agt_consent *how, const char **words);
char *agt_call_words(const agt_call *);
bool agt_busy(const agt *);                              /* an answer or long work runs */
bool agt_answering(agt *);                               /* an answer runs */
bool agt_idle(agt *);                                    /* nothing at all runs or waits: all that was asked for is in the events */

/* ================= snapshots ================= */
bool agt_rests(agt *);                   /* the same but for housekeeping (tidying, the backup of the day), for which no person waits */
typedef struct agt_status {
    char model[96], label[96];           /* "SmolLM2 carved", "k 4 · theta 5e5"; label "": the model's own settings */
    char device[24];                     /* "cuda:0": where it computes; "": the processor, or a server */
    bool loaded, busy, paused, prefill, thinking;
    bool chat_template, carved, thinks;
    char languages[32];
    int k, n_expert;                     /* 0 in dense models; k = -1: differs by layer */
    uint64_t params_active, params_total, bytes_per_token;
    int ctx_used, ctx_size;
    struct { double decode, prefill; } rate;                     /* tokens/s; prefill only while it runs */
    struct { double there, speed, waited, bytes, wait_ms; bool disk; } experts;  /* where they are brought (to a device, or from the disk): the share that lay there already, else 0; bytes
                                            a second of this answer; the share of its time in which it stood still for them; both a token */
    struct {                             /* of the tokens that were drafted for this answer (knob draft) the share that was said; -1: none were */
        double said;
        bool rest;                       /* they did not pay and rest */
    } drafts;
    int n_tokens;                        /* of the running answer */
    struct {                             /* the two most frequent configurations cached, and how many further ones */
        int n, rest;
        struct { char label[48]; int k, cells; } of[2];  /* label "": the model's own, which run k experts (0: dense) */
    } mix;
    int64_t chat;
} agt_status;
void agt_get_status(agt *, agt_status *out);

/* ---- configurations: what the next would cost, and what the last change did ---- */
enum { AGT_HISTORY_MAX = 25 };
enum agt_measure { AGT_SPEED /* tokens/s */, AGT_SURPRISE /* -log p of what was said */, AGT_REPEAT /* share of the experts that the token before had too */,
                   AGT_ENTROPY /* of the routers, over log n_expert */, AGT_MEASURES };
typedef struct agt_measured {            /* two configurations, on the tokens that each of them made */
    double before, after;                /* means; NAN: nothing was measured */
    double noise;                        /* half of the 95% interval of their difference; NAN: too few tokens yet */
    int n_before, n_after;
} agt_measured;
typedef struct agt_price {               /* k 0: it goes no further, or by layer -1; bytes of weights a token; tokens/s, 0: nothing was measured here yet */
    int k; uint64_t bytes; double rate;
    bool measured;                       /* the rate is of tokens that read just so many bytes; else it is predicted from others */
} agt_price;
typedef struct agt_run { uint64_t forward; int cells; } agt_run;
enum { AGT_RUNS = 32 };
typedef struct agt_turned {
    uint64_t key, forward;               /* of the present configuration, as in agt_made */
    char label[128];                     /* what differs, the sampler too: "k 4 · T .9"; "": nothing */
    agt_run run[AGT_RUNS]; int n_run;    /* the context in order: so many tokens of this, then so many of that; the last holds the rest */
    agt_price step[2];                   /* F7, F8 */
    char before[96], after[96];          /* "": nothing was changed since the conversation's first token */
    uint64_t before_key;                 /* as key */
    agt_measured of[AGT_MEASURES];
} agt_turned;
void agt_get_turned(agt *, agt_turned *out);

/* ---- modules: named texts in the system text (/module) ---- */
typedef struct agt_module {
    char *name, *title, *hash;           /* hash: 16 hex digits of the file's SHA-256 */
    char *why;                           /* it cannot be read: a sentence; NULL */
    char *did;                           /* knobs that it turned, what the last /ablate of this version found; NULL: nothing is known */
    int tokens;                          /* -1: no model is loaded that could count them */
    bool on, acts;                       /* acts: it stood in the last prompt */
    bool rule;                           /* it joins questions that hold its words */
    bool shipped;
} agt_module;
typedef struct agt_modules { agt_module *v; int n, over, tokens, budget; } agt_modules;     /* n -1: not looked yet; over: files beyond the most; tokens: of the last prompt */
void agt_get_modules(agt *, agt_modules *out);           /* a copy; agt_modules_free */
void agt_modules_free(agt_modules *);    /* contents, not the struct */

/* ---- memory by meaning: the embedding model, and how far its vectors are ---- */
enum agt_meaning_state {
    AGT_MEANING_OFF,                     /* this room was opened without, or memory.embedder, memory.mode or memory.on is off */
    AGT_MEANING_NONE,                    /* there is no embedding model yet; problem: why it did not come, "" */
    AGT_MEANING_COMING,                  /* it is being fetched: percent */
    AGT_MEANING_BROKEN,                  /* it cannot be opened, or its vectors cannot be kept: problem */
    AGT_MEANING_MAKING,                  /* vectors are made, or will be when nothing else is asked for */
    AGT_MEANING_ELSEWHERE,               /* likewise, by another process */
    AGT_MEANING_READY                    /* every passage has one, or this room makes none */
};
typedef struct agt_meaning {
    enum agt_meaning_state state;
    char name[96], id[20];               /* of the model; "" where none is open */
    char problem[Q_ERRLEN];
    int percent;
    int64_t done, all;                   /* passages that have a vector, that there are; as it was counted last */
    double left_s;                       /* <0: unknown */
} agt_meaning;
void agt_get_meaning(agt *, agt_meaning *out);
const char *agt_meaning_word(enum agt_meaning_state);    /* "making": for programs */
char *agt_meaning_words(const agt_meaning *);            /* "by meaning: 1240 of 3300, about 2 min"; "": all is as it should be; malloc'ed */

/* Routing as a person should see it: lab/lab.h. Zero-initialise; agt_routing_free. */
typedef lab_cell agt_cell;
typedef lab_odd agt_odd;
typedef lab_view agt_routing;
typedef lab_zoom agt_zoom;
void agt_get_routing(agt *, agt_routing *io);            /* copies when io->version is behind */
void agt_routing_free(agt_routing *);
void agt_show_routing(agt *, int64_t message);           /* of a stored answer; 0 = back to live */

/* What a token costs: lab/lab.h. Asked for once a model, then it follows the present k. False: not known yet. */
typedef lab_costs agt_energy;
void agt_ask_energy(agt *);              /* answered by AGT_EV_ENERGY */
bool agt_get_energy(agt *, agt_energy *out);

/* Which model suits this machine, and what the loaded one takes of it: advice/advice.h. False: not known yet. name "": no model is loaded, or a
 * server has it. What comes is to be given to adv_about_free, also then. */
typedef adv_about agt_advice;
void agt_ask_advice(agt *, bool anew);   /* anew: the machine is measured again; answered by AGT_EV_ADVICE */
bool agt_get_advice(agt *, agt_advice *out);

/* A run of /teach. False: nothing was taught here yet. */
bool agt_get_teaching(agt *, tch_state *out);

/* The picture of the present configuration in so many columns (30 to 300), lines of text; malloc'ed. */
char *agt_map(agt *, int columns);
bool agt_layer_recurrent(agt *, int layer);              /* it has a state where others have heads */

/* The second look of memory.rerank, also without an agent: the model judges each passage of a search by the likelihoods of yes and no, and
 * they are ordered and chosen anew. go is asked every few dozen of its tokens; false ends it: what was not reached stands behind, as it
 * was found. *judged: how many were. Q_RANGE: this one does not say how likely words are; then all stays. In the model's turn. */
struct prov;
struct rag_config;
struct rag_scope;
struct rag_result;
int agt_second_look(struct prov *, const char *question, const struct rag_config *, const struct rag_scope *, struct rag_result *,
                   bool (*go)(void *user, int done, int total), void *user, int *judged, char *err);

/* Documents were removed from this store without an agent: saved states that were made with what they said go too. Any thread. */
void agt_forget_states(struct mem_store *, const int64_t *document, int n);

/* What "/forget WHAT" means, also without an agent: the question (lines: the count, the first five), the same as JSON, and the items
 * for agt_forget. Q_NOTFOUND: nothing; Q_RANGE: it is no way to say it. Any thread. */
typedef struct agt_forgetting { char *question, *data, *items; } agt_forgetting;
int agt_forget_find(struct mem_store *, const char *what, agt_forgetting *out, char *err);
void agt_forgetting_free(agt_forgetting *);
/* Removes them, in durable steps, with their saved states and what lies outside the store. go (may be NULL) is asked between two: false:
 * Q_CANCEL. *said: what was removed, also on failure; malloc'ed. The caller tidies (mem_tidy). */
int agt_forget(struct mem_store *, const char *items, bool (*go)(void *user, int done, int total), void *user, char **said, char *err);

/* "copies outside memory were not touched: ...": those of mem_outside_list that are still there; NULL: none is. malloc'ed. */
char *agt_outside_kept(struct mem_store *);

/* ================= tables ================= */
/* What only a front end can do; ids of AGT_EV_UI. EDIT and FIND prepare something to be sent, FORGOTTEN is a text that no history of
 * lines is to hold any more, FILE is one that a person is to edit in $EDITOR, then agt_edited; the others are rows. */
enum agt_action {
    AGT_UI_NONE, AGT_UI_EDIT, AGT_UI_FIND, AGT_UI_FORGOTTEN, AGT_UI_FILE,
#define AGT_ACTION_JOB(...)
#define AGT_ACTION_RUN(...)
#define AGT_ACTION_UI(action) AGT_UI_##action,
#define AGT_ACTION_BOTH(action, f) AGT_UI_##action,
#define AGT_ACTION(name, does, ...) AGT_ACTION_##does
    AGT_COMMANDS(AGT_ACTION)
#undef AGT_ACTION
};
enum agt_complete { AGT_COMPLETE_NONE, AGT_COMPLETE_KNOB /* NAME VALUE */, AGT_COMPLETE_ASSIGN /* NAME=VALUE … */,
                    AGT_COMPLETE_PATH, AGT_COMPLETE_MODEL, AGT_COMPLETE_CHAT, AGT_COMPLETE_MODULE };
struct job_row;
typedef struct agt_command {
    const char *name, *ru;               /* "set", "задать" */
    const char *args;                    /* "NAME VALUE" */
    const char *help;                    /* one line, N_() */
    const char *key;                     /* "F7", or NULL */
    int action;                          /* agt_action: a front end does it; 0: the agent alone */
    bool needs;                          /* arguments: without them it says what they are */
    const char *words;                   /* "list,…": what may stand first; NULL */
    const char *knob;                    /* the knob that it sets; NULL */
    enum agt_complete complete;
    /* the agent's own: what it does; neither: only its action */
    void (*run)(agt *, const struct agt_command *, char *args);
    const struct job_row *job;           /* this job, its text the arguments */
} agt_command;
const agt_command *agt_commands(int *n);

/* The joined knob table, and values as text. */
int agt_knob_count(const agt *);
const q_knob *agt_knob(const agt *, int i);
const q_knob *agt_knob_named(const agt *, const char *name);     /* as /set and --set take names: an aka too, in any case; NULL: there is none */
const char *agt_knob_value(agt *, const q_knob *k, q_buf *buf);
bool agt_knob_default(agt *, const q_knob *k);
const char *agt_knob_fixed(agt *, const q_knob *k, q_buf *buf);  /* NULL, or why it cannot be set with the model that is loaded */
const char *agt_knob_own(agt *, const q_knob *k, q_buf *buf);    /* the model's own value, or the program's: what "default" brings back */
typedef struct agt_knob_turn {
    int64_t message; int token;          /* its value holds from this token of this answer on; message 0: from the next answer on */
    agt_measured of[AGT_MEASURES];       /* what turning it did; n_before and n_after 0: not known, or more was turned with it */
} agt_knob_turn;
bool agt_knob_turned(agt *, const q_knob *k, agt_knob_turn *out);        /* false: it was not turned in this conversation */
/* The numbers it may have for the model at hand; false: it takes none, or has nothing to act on. */
bool agt_knob_range(agt *, const q_knob *k, double *min, double *max);
const char *agt_effect_word(enum q_effect e);            /* "routing", translated */
char *agt_knob_cost(agt *, const q_knob *);              /* what it costs here, and what a step would: a sentence; ""; malloc'ed */
/* Completions of the word that ends at byte `at` of line: malloc'ed list of malloc'ed strings, *start = byte where the
 * word begins. NULL and *n = 0 when there are none. */
char **agt_completions(agt *, const char *line, size_t at, size_t *start, int *n);

#endif
