/* model/transcript: the present conversation as it is read: messages laid out for one width, and where one reads.
 * Owns copies of what the agent's events carry. Front-end thread; never draws.
 * Cost: a streamed token costs what is after the last finished block (at most TUI_TAIL bytes), however long the answer. */
#ifndef TUI_MODEL_TRANSCRIPT_H
#define TUI_MODEL_TRANSCRIPT_H

#include "agent/agent.h"
#include "tui/model/wrap.h"

enum { TUI_TAIL = 4096, TUI_INDENT = 3 };

/* One of the configurations that made an answer. letter: 0 the model's own, then as they come in the conversation. */
typedef struct tui_made {
    int64_t at; int letter; char *sign; /* byte of text; what stands there; NULL: nothing */
    int64_t call;                       /* no configuration but a call of a tool, by its number; 0 */
} tui_made;

typedef struct tui_item {
    int64_t id, created_ms;
    enum agt_role role;
    enum agt_state state;
    enum agt_cut cut;
    q_buf text, thinking;
    char *label;
    tui_made *made; int n_made;
    int n_tokens, n_thinking, n_passages, sibling, n_siblings;
    double decode_s;
    long differs_at;                    /* byte of text, -1 none */
    struct { long from, to; } cursor;   /* the token one stands on, bytes of text; to <= from: none */
    bool running, open;                 /* being answered; thinking unfolded */
    int64_t began_ms;                   /* of the running answer: for the live line */
    /* layout */
    tui_lay lay, think;
    int width;                          /* 0: not laid out */
    struct {
        size_t settled, text, think; int running;       /* bytes that are final in lay; bytes it shows at all */
        int made;                                       /* signs that it shows */
        struct { bool open; char ch; int n; } fence;    /* of code, at the end of the settled part */
        struct { size_t from, len; } table;             /* head and delimiter row of the table that the settled part ends in; len 0: none */
        tui_lay_mark mark;                              /* where the settled part ends */
    } laid;
} tui_item;

typedef struct tui_transcript {
    tui_item *item; int n, cap;
    bool follow;                        /* the end is shown */
    int top_item, top_line;             /* else: the first line shown */
    int selected;                       /* item walked to; -1: none */
    struct {                            /* what the cursor stands on; message 0: there is none */
        int64_t message; int number, of;
        char *text, *ran;               /* what is said of it; of its last rows "LAYER EXPERT EXPERT …", a line each */
        bool picks; int row, slot;      /* an expert is being chosen there: which row, which of its experts */
        bool jumps; int jump; char says[192];   /* a token's number is being typed, 0: none yet; the line of the keys then */
    } token;
    struct { uint64_t key, forward; } *hue; int n_hue, cap_hue;     /* configurations of the conversation but the model's own: b, c, … */
} tui_transcript;

void tui_tr_free(tui_transcript *t);
void tui_tr_set(tui_transcript *t, const agt_message *m, int n);         /* AGT_EV_OPENED */
tui_item *tui_tr_add(tui_transcript *t, const agt_message *m);           /* or updates the one with its id */
/* The running answer is made by another configuration from here on. */
void tui_tr_turned(tui_transcript *t, tui_item *it, const agt_made *m, const char *label);
void tui_tr_called(tui_item *it, const agt_call *c);     /* a tool was used in it, or its change undone */
void tui_tr_marked(tui_transcript *t, const agt_message *m);             /* AGT_EV_MARKED, AGT_EV_COMPACTED */
int tui_tr_letter(const tui_transcript *t, uint64_t key);                /* one that made nothing yet: the next free one */
int tui_tr_letter_of_cells(const tui_transcript *t, uint64_t forward);   /* -1: made on another branch */
char tui_letter(int letter);                                             /* a, b, … */
enum tui_style tui_hue(int letter);
tui_item *tui_tr_last(tui_transcript *t);                                /* the running answer or NULL */
tui_item *tui_tr_find(tui_transcript *t, int64_t id);
void tui_tr_token(tui_item *it, const char *text, bool thinking, long differs_at);

/* Lays the item out for `width` columns (of text) if it is not; lines of header, thinking, text and the blank after. */
void tui_item_lay(tui_item *it, int width);
int tui_item_height(tui_item *it, int width);
int tui_item_think_lines(const tui_item *it);
/* The first line to show in a window of w x h; stays at the end while following. */
void tui_tr_top(tui_transcript *t, int w, int h, int *item, int *line);
void tui_tr_scroll(tui_transcript *t, int w, int h, int lines);          /* negative: towards the beginning */
void tui_tr_home(tui_transcript *t, int w, int h);                         /* to the beginning */
void tui_tr_show(tui_transcript *t, int w, int h, int item);             /* scrolls so that its header is seen */
int tui_tr_below(tui_transcript *t, int w, int h);                       /* lines after the window */
/* The cursor on a token, or (message 0) away; text: what is said of it. */
void tui_tr_token_at(tui_transcript *t, int64_t message, int number, int of, long from, long to, const char *text);
void tui_tr_show_token(tui_transcript *t, int w, int h);                 /* scrolls so that it is seen */
int64_t tui_tr_place(const tui_transcript *t);                           /* for agt_keep_place, and back */
void tui_tr_go(tui_transcript *t, int64_t place);

#endif
