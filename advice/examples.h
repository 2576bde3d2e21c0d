/* advice/examples: conversations as data. Files of examples in the forms that trainers read, each turned into each other; and what memory
 * holds, as such files: only what a person released, without names and secrets where that is wanted.
 *
 * Forms, where they are described: messages (OpenAI's chat lines: platform.openai.com/docs/guides/fine-tuning; TRL's conversational form,
 * huggingface.co/docs/trl/dataset_formats), sharegpt and alpaca (LLaMA-Factory's data/README.md; sharegpt's "tools" is JSON in a string),
 * openchat (imoneoi/openchat: items and system), completion (TRL's language modelling: text; prompt and completion are read too), pairs
 * (TRL's preference: prompt, chosen, rejected; LLaMA-Factory's ranking rows are read too). Looked up on 2026-11-28.
 *
 * Files are streamed: one example is in memory at a time, up to 256 MiB. Strings are UTF-8 without a zero character. Errors: base.h. Any thread, a
 * reader one at a time. */
#ifndef QUORUM_ADVICE_EXAMPLES_H
#define QUORUM_ADVICE_EXAMPLES_H

#include "base/base.h"

enum adv_form { ADV_AS_MESSAGES, ADV_AS_SHAREGPT, ADV_AS_ALPACA, ADV_AS_OPENCHAT, ADV_AS_COMPLETION, ADV_AS_PAIRS, ADV_FORMS,
                ADV_AS_FOUND = -1 /* whatever each example is by its fields */ };
const char *adv_form_name(enum adv_form);                                   /* "messages" */
int adv_form_named(const char *name, enum adv_form *out, char *err);        /* Q_NOTFOUND: err lists them */

/* ================= one example ================= */
enum adv_speaker { ADV_SAYS_SYSTEM, ADV_SAYS_USER, ADV_SAYS_ASSISTANT, ADV_SAYS_TOOL };
typedef struct adv_use { char *id, *name, *arguments; } adv_use;            /* of a tool; arguments: JSON; id "" */
typedef struct adv_said {
    enum adv_speaker who;
    char *text, *thinking;              /* never NULL */
    adv_use *use; int n_use;            /* calls of tools that an assistant makes behind its text */
    char *answers;                      /* of a tool's result: the id of the call; "" */
} adv_said;
typedef struct adv_example {            /* zero-initialise; adv_example_free */
    adv_said *v; int n;                 /* of a pair: the prompt, then the chosen answer */
    adv_said *other; int n_other;       /* the rejected answer to v[0..from); none: no pair */
    int from;
    bool bare;                          /* a text without roles: v[0] is an assistant's */
    char *tools;                        /* definitions, a JSON array; NULL */
    unsigned lost;                      /* bits of enum adv_loss: what reading left out */
} adv_example;
void adv_example_free(adv_example *);
adv_said *adv_example_add(adv_example *, enum adv_speaker, const char *text, size_t n, bool other);       /* valid until the next */
bool adv_example_same(const adv_example *, const adv_example *);           /* but for `lost` */

/* What a form, or reading, cannot hold. A sentence for each: adv_loss_words. */
enum adv_loss { ADV_LOST_SYSTEM, ADV_LOST_TOOLS /* definitions */, ADV_LOST_CALLS, ADV_LOST_RESULTS, ADV_LOST_THINKING /* left out because it was asked for */,
                ADV_LOST_TAGS /* thinking stands in the text, between tags */,
                ADV_LOST_ROLES /* roles became words in a text */, ADV_LOST_REJECTED, ADV_LOST_JOINED /* messages of one speaker in a row */,
                ADV_LOST_TAIL /* a question without an answer */, ADV_LOST_PARTS /* pictures, sounds */, ADV_LOST_FIELDS /* that quorum does not know */, ADV_LOST_IDS /* of calls */,
                ADV_LOST_WEIGHTS /* of messages in the loss */, ADV_LOSSES };
const char *adv_loss_words(enum adv_loss);                                  /* "a system prompt" …, translated */

/* A line (without its end) in that form. Q_RANGE: the example has nothing of this form (no rejected answer, no answer at all), and err says what. think:
 * thinking stays. *lost: bits, those of the example too. */
int adv_example_write(const adv_example *, enum adv_form, bool think, q_buf *line, unsigned *lost, char *err);
/* From one JSON object. Q_FORMAT: err says why. */
int adv_example_read(const char *json, size_t n, enum adv_form, adv_example *out, enum adv_form *was /* or NULL */, char *err);
/* As plain text, for a measure: who says what, in words. */
void adv_example_text(const adv_example *, q_buf *out);

/* ================= files ================= */
/* Lines of JSON, or one JSON array. */
typedef struct adv_reader adv_reader;
int adv_reader_open(const char *path, enum adv_form, adv_reader **out, char *err);
/* 1: an example; 0: the end; Q_FORMAT: a broken one, which err names (FILE:LINE: why), and the next call goes on behind it; Q_IO: it ends here. */
int adv_reader_next(adv_reader *, adv_example *out, enum adv_form *was /* or NULL */, char *err);
int64_t adv_reader_line(const adv_reader *);         /* where the last one began, from 1 */
void adv_reader_close(adv_reader *);
/* The form of a file's first examples that are whole. Q_FORMAT: it has none. */
int adv_form_of(const char *path, enum adv_form *out, char *err);

enum { ADV_BROKEN_KEPT = 20 };
typedef struct adv_tally {              /* adv_tally_free */
    int64_t read, written, broken, unfit /* examples that the form cannot hold at all */;
    int64_t lost[ADV_LOSSES];           /* examples that lost it */
    int64_t of[ADV_FORMS];              /* what they were */
    char *why[ADV_BROKEN_KEPT]; int n_why;      /* the first broken and unfit ones: sentences */
} adv_tally;
void adv_tally_free(adv_tally *);
void adv_tally_say(const adv_tally *, q_buf *out);   /* a sentence a line; what is 0 is not said */
/* Files into one, written beside and renamed, mode 0600; over one that is there only with force. go (may be NULL): false: Q_CANCEL. */
typedef struct adv_convert { enum adv_form from, to; bool drop_thinking, force; bool (*go)(void *user); void *user; } adv_convert;
int adv_convert_files(const char *const *path, int n, const char *out, const adv_convert *, adv_tally *, char *err);

/* ================= out of memory ================= */
/* What the person released (memory.h: mem_conversation_release), never what was forgotten, and of what is there only what was said: no passages
 * that were fed, no documents, no passages that a tool read out of memory (they are not kept with its call). Calls of tools leave with their results in the
 * forms that hold them: messages, sharegpt and pairs. Of each conversation the branch that is shown, up to an answer that is bad, failed
 * or was stopped; only_good: up to each last good answer of every branch. Pairs: two answers to one question, of which one is good and the other is not, or
 * (where none is marked) one was gone on with and the other was not. */
struct mem_store;
typedef struct adv_export {
    enum adv_form to;
    const char *dir;                    /* made; Q_RANGE where it is there already */
    bool all;                           /* also what was not released */
    bool only_good, redact, drop_thinking;
    double heldout;                     /* share of the conversations, 0 to .5: which ones does not change with what else there is */
    const char *const *name; int n_name;        /* further names for redact */
    bool (*go)(void *user); void *user; /* may be NULL; false: Q_CANCEL */
} adv_export;
typedef struct adv_exported {           /* adv_exported_free */
    int64_t chats, used, train, heldout /* examples */, same, near /* duplicates left out */, by_mark, by_going_on /* pairs */, bad /* branches cut at an answer */, tools /* answers that leave with their calls */;
    int64_t lost[ADV_LOSSES];
    char *report, *json;                /* report.md, report.json */
} adv_exported;
void adv_exported_free(adv_exported *);
/* dir with train.jsonl, heldout.jsonl (where something is held out), report.md, report.json, mode 0600: all of it or nothing. Q_NOTFOUND: nothing is
 * released, or nothing fits; err says what to do. */
int adv_export_memory(struct mem_store *, const adv_export *, adv_exported *out, char *err);

#endif
