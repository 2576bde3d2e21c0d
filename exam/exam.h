/* exam: benchmarks of reasoning and latency. Questions are made on the spot from a seed, so that nobody has trained on them; their answers
 * are known exactly and are graded without a judge. Who is asked is a prov (provider/provider.h); what of a difference is more than chance
 * is said by paired statistics over the same questions.
 *
 * A question depends on its task, level, language, seed and number alone: the same bytes on every machine. Owns nothing global. Threads: making,
 * grading, statistics and reports are pure, any thread; exam_run starts threads of its own and ends them. Errors: base.h. It never stores anything. */
#ifndef QUORUM_EXAM_H
#define QUORUM_EXAM_H

#include "base/base.h"

struct prov;
struct prov_config;
struct cJSON;

/* ================= questions ================= */
enum exam_lang { EXAM_EN, EXAM_RU };
enum exam_kind {                         /* how an answer is read */
    EXAM_NUMBER,                         /* a whole number */
    EXAM_WORDS,                          /* a short text: case, quotes and full stops do not count */
    EXAM_LIST,                           /* such texts in order, parted by commas */
    EXAM_CODE,                           /* a program in a fence, run on several inputs */
    EXAM_FORM                            /* a text that meets conditions which can be counted */
};
enum { EXAM_RUNS = 4, EXAM_LEVELS = 5, EXAM_OTHERS = 7 };
typedef struct exam_form {               /* conditions; 0 and NULL: none */
    int lines, words;                    /* exactly so many lines that are not empty; words in each */
    const char *prefix;                  /* each line begins so; static */
    char *keyword; int times;            /* this word so many times in all */
    bool no_digits;                      /* without figures */
} exam_form;
typedef struct exam_item {
    const char *task;                    /* "arithmetic"; static */
    int level, number;                   /* 1 to EXAM_LEVELS; from 0 */
    enum exam_lang lang;
    enum exam_kind kind;
    char *question;                      /* with how to answer in its last line */
    char *answer;                        /* what is right; of EXAM_CODE and EXAM_FORM "" */
    char *sample;                        /* a whole reply that is right: for few-shot prompts and tests */
    char *in[EXAM_RUNS], *out[EXAM_RUNS];/* EXAM_CODE: what a program is given and must say */
    exam_form form;
} exam_item;
typedef struct exam_task { const char *name, *help; void (*make)(exam_item *, uint64_t random[4]); } exam_task;
const exam_task *exam_tasks(int *n);     /* in the order for lists; help is N_() */
/* Makes question `number` of a task. Q_NOTFOUND: there is no such task, err lists them; Q_RANGE: of the level. */
int exam_make(const char *task, int level, enum exam_lang lang, uint64_t seed, int number, exam_item *out, char *err);
void exam_item_free(exam_item *);        /* contents, not the struct */

/* ================= grading ================= */
enum exam_mark {
    EXAM_WRONG, EXAM_RIGHT,
    EXAM_UNREAD,                         /* no answer can be read from it: counts as not right, and apart */
    EXAM_CUT,                            /* likewise, and it was cut at the limit of tokens */
    EXAM_FAILED,                         /* whoever was asked failed, or the question never fits its context */
    EXAM_SKIPPED                         /* nothing here can check it (no sandbox, no python3) */
};
/* Where programs are run: NULL where there is no sandbox or no python3, why says so. */
typedef struct exam_bench exam_bench;
exam_bench *exam_bench_new(char *why /* [Q_ERRLEN] */);
void exam_bench_free(exam_bench *);      /* NULL is fine */
/* reply: all that was said, with its thought where it is part of the text. read (may be NULL): what was taken for the answer, malloc'ed or NULL. */
enum exam_mark exam_grade(const exam_item *, const char *reply, const exam_bench *, char **read);

/* ================= statistics of pairs (exam/stats.c) ================= */
typedef struct exam_rate { int right, n; double share, low, high; } exam_rate;       /* 95%, Wilson */
exam_rate exam_rate_of(int right, int n);
typedef struct exam_pair {
    int n, both, only_a, only_b, neither;
    double difference, low, high;        /* share right of B less that of A; 95%, bootstrap over questions */
    double p;                            /* McNemar's exact test, two-sided: lab_sign_test */
    bool different;                      /* p < .05 and the interval leaves out 0 */
    int need;                            /* questions to find this difference (or, where it is 0, one of 5 points) with power .8; 0: unknown */
} exam_pair;
/* a, b: [n] right or not, of the same questions. */
exam_pair exam_compare(const bool *a, const bool *b, int n);
int exam_need(double discordant, double difference);
/* How much better one tells the right answers from others: mean of the differences of log_odds, which shows smaller ones than marks do. */
typedef struct exam_shift {
    int n;
    double nats, low, high;              /* of B less that of A; 95%, bootstrap over questions */
    double p;                            /* sign-flip test, two-sided */
    bool different;                      /* as above */
    int need;                            /* questions to find this shift with power .8; 0: unknown */
} exam_shift;
exam_shift exam_shift_of(const double *difference, int n);

/* ================= a run (exam/run.c) ================= */
typedef struct exam_reply {
    enum exam_mark mark;
    char *text, *read;                   /* malloc'ed; read NULL: nothing */
    int prompt_tokens, tokens;
    double seconds, first_s;             /* of all; until the first piece */
    double log_odds;                     /* exam_sheet.score: natural logarithm of how much likelier the right answer is than EXAM_OTHERS others together; NAN: not asked for,
                                            there is no one right answer, or it did not fit */
} exam_reply;
typedef struct exam_seat {               /* who is asked: a model under a configuration */
    char *label;                         /* for people; the caller's */
    struct prov *p; const struct prov_config *config;      /* the caller's; config NULL: the present one */
    uint64_t bytes_a_token;              /* weights read; 0: unknown */
    exam_reply *reply;                   /* [n_item], filled by exam_run */
    int done;                            /* of n_item, in order: all before it are answered */
    double seconds;
} exam_seat;
typedef struct exam_sheet {              /* what is asked, and of whom */
    exam_item *item; int n_item;
    exam_seat *seat; int n_seat;
    const exam_bench *bench;
    bool base;                           /* few-shot completion, for models that know no conversation */
    int shots;                           /* with base: examples before each question */
    int max_tokens;
    uint64_t seed;
    const char *think;                   /* "on", "off" or NULL */
    bool score;                          /* also: how well the right answer is told from others at once, without a thought: exam/score.c. Needs PROV_LOGPROBS */
    bool stopped;                        /* somebody ended it: for the report */
    bool (*go)(void *user, const exam_seat *, int done, int n);      /* asked between tokens and questions, one caller at a time; false: it ends */
    void *user;
} exam_sheet;
/* Asks every seat every question, several at once where who answers can. Q_CANCEL: go said so; what is there stands, and `done` says how far
 * every seat came. */
int exam_run(const exam_sheet *, int at_once, char *err);
/* Majority of n members that were asked the same questions (exam/vote.c): out gets its replies, tokens and seconds of all members together, and bytes a
 * token as they weigh. Of programs and forms nothing is counted: skipped. Members stay the caller's. Q_RANGE: of n. */
enum { EXAM_VOTERS = 16 };
int exam_vote(const exam_sheet *, exam_seat *const *member, int n, exam_seat *out, char *err);
void exam_seat_free(const exam_sheet *, exam_seat *);    /* its replies */
char *exam_prompt(const exam_sheet *, int item);         /* with base: the text that goes on; malloc'ed (exam/prompt.c) */

/* ---- opening (exam/seat.c) ---- */
struct prov_servers;
typedef struct exam_open {
    const char *model;                   /* as prov_find_model takes it */
    const struct prov_servers *servers;
    const char *const *set; int n_set;   /* NAME=VALUE; without one of them sampler.temperature is 0 and context.length what the questions need */
    int streams;
    int room;                            /* tokens of the longest request; 0: what the questions need */
} exam_open;
int exam_seat_open(const exam_sheet *, const exam_open *, struct prov **out, char *err);
int exam_set(struct prov_config *, const char *set, char *err);      /* NAME=VALUE */
/* The present configuration with spec over it: a brain's name, or settings as lab_spec takes them. *out: freed by the caller, on failure too. */
int exam_config_of(struct prov *, const char *spec, struct prov_config **out, char *err);

/* ================= reports (exam/report.c, exam/html.c) ================= */
typedef struct exam_about { const char *command; uint64_t seed; const char *version, *date; } exam_about;
int exam_asked(const exam_sheet *);      /* questions that every seat was asked; a seat's own rate is of all that it was */
void exam_report_text(const exam_sheet *, q_buf *out);
struct cJSON *exam_report_json(const exam_sheet *, const exam_about *);
/* One page, both languages, plots as SVG, no script, nothing from elsewhere. */
void exam_report_html(const exam_sheet *, const exam_about *, q_buf *out);

/* ================= latency (exam/latency.c) ================= */
/* Seconds, nearest rank; NAN: n is too small for that percentile to be another value than the largest. */
enum { EXAM_P90_FROM = 10, EXAM_P99_FROM = 100 };
typedef struct exam_times { double p50, p90, p99, mean; int n; } exam_times;
typedef struct exam_pace {               /* one cell of the table */
    int prompt, users;                   /* tokens asked for, frame included; at once */
    int prompt_tokens;                   /* mean of what it was: more where the frame alone takes more, about that many of who does not count */
    exam_times first, between;           /* until the first token; from one to the next */
    double tokens_per_s;                 /* of all users together */
    int failed;
} exam_pace;
/* Each user asks `rounds` questions of one prompt length, one after the other, and is answered `tokens` tokens; every prompt is another one, so
 * that nothing is served from a cache. go as above with what is done of all requests. */
int exam_latency(struct prov *, int prompt, int users, int rounds, int tokens, exam_pace *out, bool (*go)(void *user), void *user, char *err);
exam_times exam_times_of(double *seconds /* sorted in place */, int n);

/* ================= speed over settings (exam/speed.c, exam/speed_say.c, exam/speed_svg.c) ================= */
/* Points are measured in rounds, each once in every round, so that a machine's moods hit all alike; median and range of the rounds. */
struct eng_model;
struct eng_config;
enum { EXAM_AXES = 2, EXAM_POINTS = 64 };
typedef struct exam_spread { double median, low, high; int n; } exam_spread;     /* n 0: not measured */
typedef struct exam_fast {               /* one point */
    struct eng_model *m;                 /* the caller's, as what follows */
    const struct eng_config *c;          /* its context.length holds context + prompt + tokens + 2 */
    const char *at[EXAM_AXES];           /* its value on each axis, for people */
    int context;                         /* tokens that are in the cache before what is measured */
    double madds;                        /* multiply-adds of bytes that one token's products with the layers' weights are; 0: not told */
    uint64_t weights, cells;             /* bytes read for a token: of weights; of the context's K and V, in the middle of what is measured */
    exam_spread prefill, decode;         /* tokens a second; filled by exam_speed, and so is what follows */
    exam_spread share;                   /* of what decode read a second, in each round, of what the machine read beside it: the faster of a reading
                                            before and one after, and never less than decode itself, which read it; n 0: not measured */
    bool made_up;                        /* its context is made-up numbers */
    int threads;                         /* that it ran with */
    char *refused;                       /* why it is not measured, malloc'ed; NULL: it is. exam_speed_free */
} exam_fast;
typedef struct exam_speeds {
    const char *title;                   /* what was measured, for the picture, a line or several; the caller's */
    const char *machine;                 /* its processor and what instructions were taken, for tables; the caller's, or NULL */
    const char *axis[EXAM_AXES]; int n_axis;
    exam_fast *point; int n;             /* the caller's; those with the same value of axis[1], if there are two, make a curve */
    int prompt, tokens, rounds;          /* read at once; made one after the other */
    bool made_up;                        /* wanted: contexts are not read but filled with made-up numbers, where the model has cells alone */
    double bandwidth;                    /* bytes a second that this machine read at best, in any round; 0: not measured */
    double peak;                         /* multiply-adds of bytes a second that its registers do, an upper bound of every prefill; 0: none was found */
    bool (*go)(void *user, int done, int of);            /* asked before each measurement and in it: false ends it; the rounds before it stand */
    void (*slow)(void *user, double seconds);            /* contexts take at least so long to be read, all together: told where that is minutes, and again where it turns out to be twice as
                                                            much; may be NULL */
    double (*reads)(void *user, struct eng_model *);     /* measures the bandwidth, now; NULL: not asked for */
    double (*peaks)(void *user, struct eng_model *);     /* and the peak */
    void *user;
    int done;                            /* rounds that all points have                                          */
} exam_speeds;
/* A point that cannot be measured is refused with its reason and the others go on. Q_CANCEL: go said so. The models' thread. */
int exam_speed(exam_speeds *, char *err);
void exam_speed_free(exam_speeds *);     /* reasons of points; the points are the caller's */
double exam_speed_share(const exam_fast *);             /* decode of what the bandwidth allows, the median of the rounds; NAN: not known */
double exam_speed_peak(const exam_speeds *, const exam_fast *);          /* prefill of what the peak allows; NAN: not known */
/* How long reading takes, foretold by its first piece and the last one: n tokens take a n + b n n seconds. sum: of all n that are to be read, and of their
 * squares; since: q_now_ns where the first of them is begun; the rest is its own. Returns seconds of all where those are more than a minute, and again
 * where it turns out to be twice as much; 0: nothing to tell. done: tokens of the first. */
typedef struct exam_forecast { int64_t since; double sum[2], first, first_s, told; } exam_forecast;
double exam_foretell(exam_forecast *, int done);
void exam_any_ids(int32_t *tokens, int n, int n_vocab, uint64_t salt);      /* that differ by the salt */
exam_spread exam_spread_of(double *v /* sorted in place */, int n);
void exam_speed_say(const exam_speeds *, q_buf *out);    /* a table and a plot; 80 columns where the words of the axes take 19, 10 with the share of the peak */
void exam_speed_csv(const exam_speeds *, q_buf *out);    /* RFC 4180, "." for decimals */
struct cJSON *exam_speed_json(const exam_speeds *);
void exam_speed_svg(const exam_speeds *, q_buf *out);    /* decode and prefill, a curve a value of the second axis, ranges as bars */

#endif
