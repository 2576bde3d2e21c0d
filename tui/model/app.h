/* model/app: everything the screen knows, fed by agent events (model/events.c) and keys (model/input*.c), drawn by
 * view/draw.c into its grid. Front-end thread. What only a terminal can do (copy, suspend, an editor) is left in `want`
 * for the loop in run.c; so the same app runs in tests without a terminal. */
#ifndef TUI_MODEL_APP_H
#define TUI_MODEL_APP_H

#include "agent/agent.h"
#include "tui/layout/layout.h"
#include "tui/model/edit.h"
#include "tui/model/transcript.h"
#include "tui/term/keys.h"
#include "tui/term/theme.h"

enum tui_focus { FOCUS_COMPOSER, FOCUS_TRANSCRIPT, FOCUS_CHATS, FOCUS_EXPERTS, FOCUS_MEMORY, FOCUS_CONFIG, FOCUS_PAGE, FOCUS_FOUND };
enum tui_want { WANT_NOTHING, WANT_QUIT, WANT_SUSPEND, WANT_EDITOR, WANT_REPAINT };
enum { TUI_LOG_MAX = 200, TUI_QUESTIONS = 3 };

typedef struct tui_page { char *title; q_buf text; tui_lay lay; int width, top; bool log; } tui_page;
typedef struct tui_popup { char **item; int n, sel; size_t start; } tui_popup;
typedef struct tui_log_entry { int64_t wall_ms; int level; char *text; } tui_log_entry;

typedef struct tui_app {
    agt *a;
    tui_grid grid;
    tui_theme theme;
    tui_layout lay;
    tui_transcript tr;
    tui_edit ed;
    int64_t editing;                    /* message whose text is in the composer; 0 none */
    int64_t now;                        /* monotonic ms, set by the loop */
    bool dirty;                         /* something to draw */

    agt_status st;
    agt_routing rt; int64_t rt_at;      /* when the snapshot was taken */
    agt_retrieval ret; int64_t ret_id; bool has_ret;      /* owned; taken out of the event */
    agt_chat *chats; int n_chats;       /* owned */
    int64_t chat; char *chat_title;
    agt_message *found; int n_found;    /* owned */

    enum tui_focus focus;
    enum tui_focus over;                /* panel lying over the transcript; FOCUS_COMPOSER: none */
    enum tui_focus back;                /* panel that a page was opened from; FOCUS_COMPOSER: none */
    bool page_old;                      /* something was sent while the page was open: an answer closes it */
    bool config_open;                   /* config in the panels' place (wide screens) */
    enum tui_zoom zoom;
    int panel_w;
    int sel_chat, sel_memory, sel_config, sel_found, sel_layer, layers_a_column, top_experts;
    tui_page page;
    tui_popup popup;
    bool ctrl_x;                        /* the prefix was typed */

    tui_log_entry log[TUI_LOG_MAX]; int n_log;
    char *note; int note_level; int64_t note_until;       /* the sentence beside the composer */
    char *load_what;                    /* model being loaded, progress */
    int64_t load_done, load_total; bool loading;
    int64_t pre_done, pre_total; double pre_rate;
    char *prog_what; int64_t prog_done, prog_total; double prog_left;
    int64_t quit_armed;                 /* Ctrl-C once, at this time */
    bool motion;                        /* ui.motion; off: panels once a second */
    bool think_open;                    /* ui.thinking: open */
    bool mouse;                         /* ui.mouse; off leaves it to the terminal */
    bool glyphs;                        /* the terminal has braille, eighths and circles */
    bool hinted_k, hinted_lang, saved;

    enum tui_want want;
    char *clip;                         /* to be copied by the terminal */
    q_buf scratch;
} tui_app;

void tui_app_init(tui_app *app, agt *a, int w, int h);
void tui_app_free(tui_app *app);
void tui_app_resize(tui_app *app, int w, int h);
void tui_app_knob(tui_app *app, const char *name, const char *value);   /* ui.* as it is now */
void tui_app_event(tui_app *app, agt_event *e);         /* may take parts out of e */
void tui_app_key(tui_app *app, const tui_key *k);
void tui_app_draw(tui_app *app);                         /* into app->grid */
int tui_app_timeout(const tui_app *app);                /* ms until something shown changes by itself; -1 never */
void tui_app_note(tui_app *app, int level, const char *text);
void tui_app_keep(tui_app *app);                        /* place, draft and sizes, to the agent */

/* between the model's files */
void tui_app_page(tui_app *app, const char *title, const char *text);
void tui_app_layer_page(tui_app *app, int layer);       /* every number of one layer's routing */
void tui_app_help(tui_app *app);
void tui_app_show_log(tui_app *app);
void tui_app_open(tui_app *app, enum tui_focus f);      /* panel: shown and focused; again: left */
void tui_app_leave(tui_app *app);                       /* back to the composer, overlay closed */
void tui_app_back(tui_app *app);                        /* one step: from a page to the panel it was opened from */
void tui_app_copy(tui_app *app, const tui_item *it);
void tui_app_action(tui_app *app, int action, const char *arg);
void tui_app_edit(tui_app *app, tui_item *question);
void tui_app_screenshot(tui_app *app, const char *path);
void tui_app_submit(tui_app *app);
bool tui_app_panel_key(tui_app *app, const tui_key *k);  /* of the focused panel; false: not its key */
void tui_app_complete(tui_app *app);
bool tui_app_popup_key(tui_app *app, const tui_key *k);
void tui_popup_close(tui_app *app);
uint32_t tui_key_latin(uint32_t cp);                    /* й → q: the key a Cyrillic letter stands on */
int tui_transcript_width(const tui_app *app);           /* of text */
const char *tui_question(const tui_app *app, int i);   /* 0..2, in a language the model speaks */
bool tui_app_first(const tui_app *app);                 /* the first screen is shown */
int tui_experts_rows(const tui_app *app, int width);
int tui_experts_rows_in(const tui_app *app, int width, int most);    /* two layers a row where else there are too many */
int tui_experts_strangest(const tui_app *app);          /* layer, 0-based among the routed ones */

/* views: draw into app->grid, inside the box */
void view_status(tui_app *app, tui_box b);
void view_transcript(tui_app *app, tui_box b);
void view_first(tui_app *app, tui_box b);
void view_composer(tui_app *app, tui_box b);
void view_hint(tui_app *app, tui_box b);
void view_notice(tui_app *app, tui_box b);
void view_strip(tui_app *app, tui_box b);
void view_experts(tui_app *app, tui_box b);
void view_memory(tui_app *app, tui_box b);
void view_answers(tui_app *app, tui_box b);              /* what the conversation's answers cost, newest first */
void view_config(tui_app *app, tui_box b);
void view_chats(tui_app *app, tui_box b);
void view_page(tui_app *app, tui_box b);
void view_found(tui_app *app, tui_box b);
void view_popup(tui_app *app, tui_box composer);
/* shared by views */
int view_caption(tui_app *app, tui_box b, const char *title, const char *right, bool focused);
const char *view_frac(char out[8], double v);            /* ".81", "1.0", "–" */
const char *view_count(char out[16], double v);          /* "128M", "3.3B" */
int view_notice_rows(const tui_app *app, int width);
int view_composer_cells(const tui_app *app, int width);
const char *view_glyph8(const tui_app *app, double v);   /* one of eight heights for 0..1 */

#endif
