/* base/knob: the row type of every knob table. A room exports rows; agent/ joins them, and /set,
 * completion, the config panel, the manual page and --set all read the joined table. A row is
 * constant data; values live in a room's configuration object (engine: eng_config), never in the row. */
#ifndef QUORUM_KNOB_H
#define QUORUM_KNOB_H

/* What a change touches, mildest first. */
enum q_effect {
    Q_EFFECT_SCREEN,      /* what is drawn                                   */
    Q_EFFECT_RETRIEVAL,   /* the next search of memory                       */
    Q_EFFECT_SAMPLING,    /* the next choice of a token only                 */
    Q_EFFECT_PROMPT,      /* the text of the next prompt                     */
    Q_EFFECT_ROUTING,     /* which experts run, hidden states from here on   */
    Q_EFFECT_FORWARD,     /* hidden states from here on                      */
    Q_EFFECT_POSITION,    /* rotations: cached cells must be re-evaluated    */
    Q_EFFECT_ALLOCATION,  /* the cache is rebuilt                            */
    Q_EFFECT_FIXED        /* fixed by the weights; help says what can be had */
};

enum q_knob_type {
    Q_KNOB_INT, Q_KNOB_FLOAT, Q_KNOB_BOOL, Q_KNOB_CHOICE, Q_KNOB_TEXT,
    Q_KNOB_INTS,          /* one number, or a list of one per layer: 8 or 1,6,11 */
    Q_KNOB_PAIRS,         /* layer:expert,...        1:3,2:7 ; "none" empties    */
    Q_KNOB_PAIR_VALUES    /* layer:expert=value,...  0:5=2.0 ; "none" empties    */
};

typedef struct q_knob {
    const char *name;        /* "experts.k"                                        */
    const char *aka;         /* config.json names, comma-separated, or NULL        */
    enum q_knob_type type;
    double min, max;         /* INT, FLOAT, INTS; a room may narrow them per model; TEXT: max bytes, 0 any */
    const char *choices;     /* CHOICE: "f16,f32,q8_0"; of an agent's FLOAT: words that it takes beside numbers */
    enum q_effect effect;
    const char *help;        /* one line, N_()                                     */
    int id;                  /* the room's own number for get/set                  */
} q_knob;

/* A value for people: "0,0,4,4,12" of a Q_KNOB_INTS as "2-3:4 4:12", in the form that setting takes with commas (layers of 0
 * have no such thing); any other text as it is. */
struct q_buf;
/* A value or a bound as it is typed: whole numbers to the last digit up to 2^53, others to ten digits; no -0. */
void q_knob_number(char out[32], double v);
void q_knob_brief(struct q_buf *, const char *value);

#endif
