/* model/app: everything the screen knows, as parts with one owner each: what the agent told (seen, work), what is said
 * (say), what is written (comp), where one is (go). Fed by agent events (model/events.c) and keys (model/input.c), drawn
 * by view/draw.c into its grid. Front-end thread. What only a terminal can do (copy, suspend, an editor) is left in
 * `want` for the loop in run.c; so the same app runs in tests without a terminal. */
#ifndef TUI_MODEL_APP_H
#define TUI_MODEL_APP_H

#include "agent/agent.h"
#include "tui/layout/layout.h"
#include "tui/model/edit.h"
#include "tui/model/say.h"
#include "tui/model/seen.h"
#include "tui/model/transcript.h"
#include "tui/term/keys.h"
#include "tui/term/theme.h"

enum tui_want { WANT_NOTHING, WANT_QUIT, WANT_SUSPEND, WANT_EDITOR, WANT_FILE, WANT_REPAINT };
enum { TUI_QUESTIONS = 3 };

typedef struct tui_app tui_app;

/* ================= a panel is a row ================= */
/* A panel is one file of view/ with one row, named in view/table.h. Its selected row and scroll are kept for it
 * (tui_cursor_of); what the agent tells is in app->seen. */
enum tui_place {
    AT_LEFT,            /* a column of its own where the screen is wide enough (conversations) */
    AT_UPPER, AT_LOWER, /* the panels' column, above and below */
    AT_INSTEAD,         /* in place of both while it is open */
    AT_OVER,            /* over the whole transcript */
    AT_TEXT             /* the transcript itself */
};
typedef struct tui_view {
    const char *name;                   /* a word for settings: "experts" */
    enum tui_key_code key; char digit;  /* opens it: a function key, or the digit or letter after Ctrl-X; 0: none */
    int action;                         /* the command's AGT_UI_*; 0: none */
    enum tui_place place;
    bool zooms;                         /* z gives it the whole column; AT_INSTEAD: all columns but the least that the transcript needs */
    int wide;                           /* AT_INSTEAD: columns that it can use where the transcript has enough; 0: the usual */
    bool types;                         /* any letter that is not its key begins a sentence in the composer */
    const char *hint;                   /* its keys in the bottom line, N_() */
    const char *(*keys)(const tui_app *);               /* the same, translated, where they differ by what one does; NULL: hint */
    bool (*escapes)(tui_app *);         /* Esc is offered to it first; true: taken. NULL: never */
    int (*height)(tui_app *, int width, int most);      /* rows wanted, fewer than all where `most` is less; NULL: any */
    void (*draw)(tui_app *, tui_box);
    bool (*on_key)(tui_app *, const tui_key *);         /* false: not its key */
    void (*on_event)(tui_app *, agt_event *);           /* of every event, before the rest acts on it; NULL: none concerns it */
    void (*opened)(tui_app *);                          /* NULL: nothing to do */
    bool (*back)(tui_app *);                            /* Esc: a step back inside of it; false: there is none. NULL: never */
} tui_view;
typedef struct tui_cursor { int sel, top; } tui_cursor;
enum { TUI_VIEWS_MAX = 16 };

/* ================= the parts ================= */
typedef struct tui_page {
    char *title;
    q_buf text;
    size_t from, to;                     /* bytes of text that it was opened for, shown first and marked; to 0: none */
    tui_lay lay;
    int width, top, at, n;               /* as laid out: lines of from to to begin at `at` and are n */
} tui_page;
typedef struct tui_columns {             /* two configurations side by side, as they were laid out for `width` cells each */
    lab_columns c;
    tui_lay lay[2];
    int width, top;
} tui_columns;
enum { TUI_KNOB_GROUPS = 9 };
typedef struct tui_knobs {              /* rows of the panel of knobs */
    int *row, n, cap;                   /* a knob's place in the joined table, or -1 - group: that group's head */
    int found;                          /* knobs that the filter lets through, folded ones too */
    unsigned folded;                    /* a bit a group */
    char filter[64]; bool typing;       /* "": none; letters go into it */
} tui_knobs;
typedef struct tui_closer {              /* the page of a layer, or of one of its experts */
    int layer, expert;                  /* as the model counts them; expert -1: the layer's page */
    int top;                            /* line at the top of an expert's page */
    bool all;                           /* over all stored conversations, else over this one */
    struct { int64_t message; int number; } from;       /* the token that Esc goes back to; message 0: it was not come to from one */
    agt_zoom of[2]; bool has[2];        /* what was told of the layer, of the expert */
    char *why[2];                       /* or why there is none; NULL: it is on its way */
} tui_closer;
typedef struct tui_popup { char **item; int n, sel; size_t start; } tui_popup;

typedef struct tui_comp {               /* what is being written */
    tui_edit ed;
    int64_t editing;                    /* message whose text it is; 0 none */
    bool amend;                         /* with editing: an answer's (or the question's that has none), which goes on from it */
    tui_popup popup;
    bool ctrl_x;                        /* the prefix was typed */
    char *stash;                        /* put aside for something else; it comes back when that is sent or cleared */
    char *file;                         /* WANT_FILE: what the editor is to open, no message */
    char *kept;                         /* what was stored as the draft of the conversation that is being left */
} tui_comp;

/* What would be lost for good is asked first. Standing until answered; y says yes, any other key no. */
typedef struct tui_ask {
    char *question, *arg;               /* question NULL: nothing is asked */
    int64_t id;
    void (*yes)(tui_app *, int64_t id, const char *arg);
} tui_ask;

typedef struct tui_go {                 /* where one is; NULL: the composer, or nothing */
    const tui_view *focus;
    const tui_view *over;               /* lying over the transcript */
    const tui_view *back;               /* what a page was opened from */
    const tui_view *instead;            /* standing in the panels' place (wide screens) */
    const tui_view *zoom;
    bool page_old;                      /* something was sent while the page was open: an answer closes it */
    int panel_w;                        /* wanted; 0: the usual */
    int first_top;                      /* line at the top of the first screen, where it does not fit */
    int layers_a_column;                /* of the experts panel as it was drawn */
    tui_cursor cursor[TUI_VIEWS_MAX];   /* by the view's place in the table */
} tui_go;

typedef struct tui_ui {                 /* ui.* and the terminal */
    bool motion;                        /* off: panels once a second */
    bool think_open;                    /* ui.thinking: open */
    bool mouse;                         /* off leaves it to the terminal */
    bool glyphs;                        /* the terminal has braille, eighths and circles */
    bool hinted_k, hinted_lang;         /* said once */
} tui_ui;

/* What is to be drawn, and when: model/pace. What one does is seen at once; what a running answer brings, at a pace that reading
 * needs, its words more often than the panels. */
typedef struct tui_owed {
    bool all;                           /* as soon as can be */
    bool text, panels;                  /* of a running answer, or of long work */
    int64_t all_at, text_at;            /* when they were drawn last */
} tui_owed;

struct tui_app {
    agt *a;
    const tui_view *const *view; int n_view;        /* view/table.c */
    tui_grid grid;
    tui_theme theme;
    tui_layout lay;
    tui_transcript tr;
    tui_comp comp;
    tui_seen seen;
    tui_work work;
    tui_say say;
    tui_ask ask;
    tui_go go;
    tui_page page;
    tui_columns columns;
    tui_knobs knobs;
    tui_closer zoom;
    tui_ui ui;
    int64_t now;                        /* monotonic ms, set by the loop */
    int64_t quit_armed, esc_armed;      /* Ctrl-C, Esc once, at this time */
    tui_owed owed;
    enum tui_want want;
    char *clip;                         /* to be copied by the terminal */
    q_buf scratch;
};

/* ================= for the loop and tests ================= */
void tui_app_init(tui_app *app, agt *a, int w, int h);
void tui_app_free(tui_app *app);
void tui_app_resize(tui_app *app, int w, int h);
void tui_app_knob(tui_app *app, const char *name, const char *value);   /* ui.* as it is now */
void tui_app_event(tui_app *app, agt_event *e);         /* may take parts out of e */
void tui_app_key(tui_app *app, const tui_key *k);
void tui_app_draw(tui_app *app);                        /* into app->grid */
void tui_app_frame(tui_app *app);                       /* the same, of what is due alone */
int tui_app_due(const tui_app *app);                    /* ms until a frame is due; -1: nothing is to be drawn */
int tui_app_rest(const tui_app *app);                   /* ms that events may wait for the next frame; 0: they are to be looked at */
int tui_app_timeout(const tui_app *app);                /* ms until something shown changes by itself; -1 never */
void tui_app_note(tui_app *app, int level, const char *text);
void tui_app_keep(tui_app *app);                        /* place, draft and sizes, to the agent */

/* ================= between files ================= */
/* model/go: where one is */
void tui_go_open(tui_app *app, const tui_view *v);      /* shown and focused; again: left */
void tui_go_leave(tui_app *app);                        /* back to the composer, overlay closed */
void tui_go_back(tui_app *app);                         /* one step: from a page to the panel it was opened from */
void tui_go_page(tui_app *app, const char *title, const char *text);
void tui_go_page_at(tui_app *app, const char *title, const char *text, size_t from, size_t to);     /* a place in it */
void tui_go_over(tui_app *app, const tui_view *v);      /* an AT_OVER one; Esc there goes back to the panel that has the focus */
tui_box tui_box_of(const tui_layout *l, const tui_view *v, const tui_go *go);   /* its column; w 0: it has none now */
void tui_go_zoom(tui_app *app, const tui_view *v);
void tui_go_compose(tui_app *app, const char *text);    /* the composer, with this in it; what was there is put aside */
void tui_owe(tui_app *app, const agt_event *e);         /* model/pace: what this event makes due */
bool tui_panels_due(const tui_app *app);                /* what follows a running answer is to be drawn with its words */
/* model/compose: what is being written is never lost to something else */
void tui_comp_put_aside(tui_app *app);
void tui_comp_add_aside(tui_comp *c, const char *text);  /* before what is put aside already, which stays */
void tui_comp_come_back(tui_app *app);                  /* into an empty composer */
void tui_comp_leave(tui_app *app);                      /* Esc: no message is edited any more */
const char *tui_draft(tui_app *app);                    /* what is typed or put aside, and not of an edited message */
/* model/knobs; sel: the selected row, which stays on what it stood on */
void tui_knobs_rows(tui_app *app);                      /* as they are now */
int tui_knobs_group(const q_knob *k);
const char *tui_knobs_title(int group);
void tui_knobs_filter(tui_app *app, int *sel, const char *text);
void tui_knobs_fold(tui_app *app, int *sel, int group, bool fold);
/* model/ask */
void tui_ask_for(tui_app *app, const char *question, void (*yes)(tui_app *, int64_t, const char *), int64_t id, const char *arg);
bool tui_ask_key(tui_app *app, const tui_key *k);       /* true: the key was the answer */
void tui_ask_free(tui_ask *ask);
/* model/approve: a tool that is asked about. _key, _submit: true: it was taken. */
void tui_approve_event(tui_app *app, agt_event *e);
void tui_approve_arm(tui_app *app);                     /* the loop: what was typed before it was drawn has been read */
bool tui_approve_key(tui_app *app, const tui_key *k);
bool tui_approve_submit(tui_app *app);
void tui_approve_close(tui_app *app);
const tui_view *tui_view_named(const tui_app *app, const char *name);   /* NULL: none */
tui_cursor *tui_cursor_of(tui_app *app, const tui_view *v);
uint32_t tui_key_letter(const tui_key *k);              /* 0: no letter */
int tui_key_step(const tui_key *k, int page);           /* rows an arrow, j, k, PgDn… moves; 0: another key */
void tui_move(int *sel, int by, int n);                 /* stays in 0..n-1 */
/* model/acts: what several keys and commands do */
void tui_act_help(tui_app *app);
void tui_act_log(tui_app *app);
void tui_act_copy(tui_app *app, const tui_item *it);
void tui_act_edit(tui_app *app, tui_item *question);
void tui_act_amend(tui_app *app, const tui_item *it, const char *text);  /* text NULL: the answer's own */
tui_item *tui_last_of(tui_transcript *t, enum agt_role role, int from);  /* at or before item `from`; NULL: none */
void tui_act(tui_app *app, int action, const char *arg);        /* model/action.c: AGT_UI_* */
/* model/complete */
void tui_complete(tui_app *app);
bool tui_popup_key(tui_app *app, const tui_key *k);
void tui_popup_close(tui_app *app);
/* model/app */
int tui_transcript_width(const tui_app *app);           /* of text */
int tui_composer_cells(const tui_app *app, int width);
const char *tui_composer_prompt(const tui_app *app);
const char *tui_question(const tui_app *app, int i);    /* 0..2, in a language the model speaks */
bool tui_app_first(const tui_app *app);                 /* the first screen is shown */

#endif
