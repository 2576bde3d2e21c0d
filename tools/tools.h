/* tools: what a model may do, and when a person is asked first. A registry of rows, arguments checked against their schemas, names of
 * files made canonical, a policy, and the tools themselves. What needs the memory, the knobs or the person is handed in (tool_host).
 *
 * Promises. A call does nothing before tool_run: tool_plan_make only looks, and says what the call would do. A file is named by its
 * canonical path and opened along that path without following a link, so what was judged is what is opened. What a file, a tool or
 * the model says can neither raise a policy nor name a tool that has no row, and no text that comes back holds a control character.
 *
 * Sentences in err and in results are for the model, in English, whatever the interface's language (agent/frame.h has why); titles,
 * reasons and help are for people, and translated; what went wrong on the way to a server is told as net/ tells it. Threads: a place is
 * read-only once it is open and may be used by any; a plan and a result belong to one. Errors: base.h. It never asks anybody, stores
 * nothing, and knows neither store nor screen; the network only where a tool's class says so (TOOL_WEB, TOOL_RUN). */
#ifndef QUORUM_TOOLS_H
#define QUORUM_TOOLS_H

#include "base/base.h"

struct cJSON;

/* ================= the registry ================= */
enum tool_class {
    TOOL_PURE,                          /* reaches nothing: it computes, plans, or asks the person */
    TOOL_READ,                          /* reads files */
    TOOL_RECALL,                        /* reads the person's memory */
    TOOL_WRITE,                         /* changes files */
    TOOL_REMEMBER,                      /* adds to the memory */
    TOOL_KNOB,                          /* changes or measures the model's own configuration */
    TOOL_RUN,                           /* runs a program */
    TOOL_WEB,                           /* asks a server of the web, which learns what it was asked */
    TOOL_MCP,                           /* another program does it, which a person has agreed to: lent rows only */
    TOOL_CLASSES
};
enum tool_act {                         /* what is done elsewhere, by tool_host */
    TOOL_ACT_NONE, TOOL_ACT_MEMORY_SEARCH, TOOL_ACT_MEMORY_REMEMBER, TOOL_ACT_SET_KNOB, TOOL_ACT_COMPARE, TOOL_ACT_ASK_PERSON, TOOL_ACT_TODO
};
typedef struct tool_place tool_place;
typedef struct tool_plan tool_plan;
typedef struct tool_result tool_result;
typedef struct tool_rules { struct tool_rule *v; int n; } tool_rules;    /* zero-initialise; tool_rules_free */
typedef struct tool_host {              /* what the caller lends to a call; any may be NULL */
    void *user;
    /* Does it: text for the model into out. Negative: err is what the model reads instead. args: as the schema has them. */
    int (*act)(void *user, enum tool_act, const struct cJSON *args, q_buf *out, char *err);
    bool (*go)(void *user);             /* asked between two files of a search; false: Q_CANCEL */
    const tool_rules *rules;            /* what denied (tool_denied) asks: files that a folder is listed and searched without */
    bool (*denied)(const tool_rules *, const char *tool, const char *path);
    /* A page's bytes as text, in place: html: its words as Markdown; charset: what its server said, "" nothing. Negative: err says why not. */
    int (*page)(void *user, bool html, const char *charset, q_buf *b, char *err);
    const char *near;                   /* hosts of this machine and of private networks that may be asked, between commas, as patterns of rules; NULL: none */
    /* Does a lent one: text into out->text, out->failed where it is an error of the tool's own. Negative: as act. */
    int (*lent)(void *user, const tool_plan *, tool_result *out, char *err);
} tool_host;
typedef struct tool_row {
    const char *name;
    const char *help;                   /* one line, N_(): the model reads it as it stands, a person translated */
    const char *schema;                 /* JSON schema of the arguments, in the subset that tools/check.c has */
    enum tool_class class;
    enum tool_act act;                  /* NONE: the two below */
    const char *path;                   /* the argument that names a file; NULL: none does */
    /* What a call would do: adds to the plan's `shown` and `risk`. NULL: its arguments say it. Only looks. */
    int (*look)(const tool_place *, tool_plan *, char *err);
    int (*run)(const tool_place *, const tool_host *, const tool_plan *, tool_result *, char *err);
    const char *server, *tool;          /* of a lent one: whose it is, and its name there; else NULL. Then help and schema are a stranger's words */
    bool reads;                         /* lent: its server says that it only reads */
} tool_row;
const tool_row *tool_rows(int *n);
const tool_row *tool_find(const char *name);                     /* NULL: there is none */
const char *tool_class_word(enum tool_class);                    /* "read": as rules name it */
bool tool_class_changes(enum tool_class);                        /* more than reading: agent.tools=read does not offer it */

/* ================= rows that are lent ================= */
/* Tools of other programs. What they say of themselves is cut, cleaned and marked as theirs, and raises nothing: they are of class mcp. */
enum { TOOL_NAME_MAX = 64, TOOL_HELP_MAX = 1024, TOOL_SCHEMA_MAX = 64 << 10, TOOL_LENT_MAX = 256 };
typedef struct tool_lent tool_lent;
tool_lent *tool_lent_new(void);
void tool_lent_free(tool_lent *);
/* One more, called SERVER__TOOL in letters, digits, - and _ alone, no longer than TOOL_NAME_MAX; a name that is taken gets another end.
 * Q_FORMAT: its schema is none of an object; Q_RANGE: too many, too large, or another server is called so: it is left out, err (for people) says why. */
int tool_lent_add(tool_lent *, const char *server, const char *tool, const char *help, const char *schema, bool reads, char *err);
const tool_row *tool_lent_rows(const tool_lent *, int *n);
char *tool_lent_prefix(const char *server);                      /* "SERVER__"; malloc'ed */

/* ================= where ================= */
/* A project folder. Q_NOTFOUND: there is no such folder. */
int tool_place_open(const char *folder, tool_place **out, char *err);
void tool_place_close(tool_place *);                             /* NULL is fine */
const char *tool_place_folder(const tool_place *);               /* canonical, absolute */
/* Instead of those that were lent before; kept by the caller until the next, and while a plan names one. NULL: none. Not while a call runs. */
void tool_place_lend(tool_place *, const tool_lent *);
const tool_row *tool_place_find(const tool_place *, const char *name);   /* its own or a lent one; NULL: there is none */
char *tool_place_box(const tool_place *);       /* how commands are held in here: a sentence for people; tried at the first call; malloc'ed */

/* ================= a call, looked at ================= */
enum tool_risk {                        /* why a person is asked whatever the rules say */
    TOOL_OUTSIDE = 1,                   /* it leaves the project folder */
    TOOL_SECRET = 2,                    /* it touches what holds keys or passwords */
    TOOL_GUARDED = 4,                   /* it writes what other programs run or obey: .git, .bashrc */
    TOOL_EMPTIES = 8,                   /* it removes all that a file holds */
    TOOL_BARE = 16,                     /* it runs, and nothing here keeps it from what the person may do */
    TOOL_NETWORK = 32,                  /* it wants the network; of fetch_url a rule for that host lifts it */
    TOOL_TAKES = 64,                    /* a command that names what takes something away or sends it out */
    TOOL_CARRIES = 128                  /* an address so long that much may leave in it */
};
struct tool_plan {
    const tool_row *row;
    struct cJSON *args;                 /* checked */
    char *path;                         /* canonical: below the project folder, else absolute; "" : it names no file */
    unsigned risk;
    char *host;                         /* whom it would ask, as a rule may name it: "example.org:8080"; NULL: nobody */
    char *title;                        /* one line, safe to show: "edit_file src/a.c" */
    char *shown; bool diff;             /* what it would do, safe to show: a diff, or the arguments */
    char before[65];                    /* sha256 of the file as it was looked at; "": there is none */
};
/* arguments: JSON as a model wrote it. Q_NOTFOUND: no such tool; Q_FORMAT: not what its schema says; else why it cannot be done. */
int tool_plan_make(const tool_place *, const char *name, const char *arguments, tool_plan *out, char *err);
char *tool_title(const char *name, const char *arguments);        /* of a call that is over: as a plan's title; malloc'ed */
void tool_plan_free(tool_plan *);       /* contents, not the struct */

/* ================= the policy ================= */
enum tool_say { TOOL_ASK, TOOL_ALLOW, TOOL_DENY };
/* Adds rules out of "read,edit_file:lib*,-set_knob,time__*": a tool or a class, maybe with a pattern that its path must match (* stands for
 * any letters, / too), of fetch_url its host (HOST, HOST:PORT, HOST* on any port, *.HOST what lies below it, * any); a lent tool by its name,
 * or all of a server by SERVER__*, whether they are there now or not; "-" denies. Q_FORMAT: nothing was added, err (for people) says which word. */
int tool_rules_add(tool_rules *, const char *text, char *err);
char *tool_rules_text(const tool_rules *);                       /* as they may be added again; malloc'ed */
void tool_rules_free(tool_rules *);
/* A rule that would have allowed this: "read" for what reads, else the tool; NULL: it is asked about each time. malloc'ed */
char *tool_rule_for(const tool_plan *);
/* Denied by any rule: TOOL_DENY. A risk: TOOL_ASK. Allowed by any rule, or reaching nothing: TOOL_ALLOW. Else TOOL_ASK.
 * why (for people, malloc'ed; NULL where it is not wanted): what decided. */
enum tool_say tool_judge(const tool_plan *, const tool_rules *const *set, int n, char **why);
/* Do rules deny this tool the file of that canonical path, by a pattern? */
bool tool_denied(const tool_rules *, const char *tool, const char *path);
char *tool_risk_words(unsigned risk);   /* "it leaves the project folder"; "": none; malloc'ed */

/* ================= a call, done ================= */
struct tool_result {
    q_buf text;                         /* what the model reads: valid UTF-8, no control characters but LF and tab */
    bool failed;                        /* text is an error sentence */
    bool secret;                        /* it is not to be kept: hash and length are */
    char *whole; size_t n_whole;        /* all of it, where text was cut in the middle; NULL */
    struct {                            /* a file that it changed; path NULL: none */
        char *path;                     /* absolute */
        char *was; size_t n_was;        /* NULL: it was not there */
        unsigned mode;
        char became[65];                /* sha256 */
        int made;                       /* folders above it that it was made with */
    } undo;
};
enum { TOOL_TEXT_MAX = 16 << 10 };      /* bytes of a result's text */
/* Does it. What went wrong is the result's text. Q_CANCEL: host.go said so. */
int tool_run(const tool_place *, const tool_host *, const tool_plan *, tool_result *out);
void tool_result_free(tool_result *);   /* contents, not the struct */
/* Text as the model and a terminal may have it, cut in the middle above `most` bytes: true where it was. */
bool tool_text_cut(q_buf *out, const char *text, size_t n, size_t most);

/* What became of a text, line by line, as diff -u shows it without its head. Any thread. */
void diff_lines(q_buf *out, const char *was, size_t n_was, const char *now, size_t n_now);

/* ================= taking it back ================= */
typedef struct tool_undo {
    const char *path;                   /* as in tool_result */
    const char *was; size_t n_was;      /* NULL: it was not there, and is removed */
    unsigned mode;
    const char *became;
    int made;                           /* folders above it that were new with it: they go too, while they are empty */
} tool_undo;
/* The file becomes what it was. Q_RANGE: it is another one by now than what the call left, err (for people) says so; then nothing is done. */
int tool_undo_check(const tool_undo *, char *err);
int tool_undo_do(const tool_undo *, char *err);

#endif
