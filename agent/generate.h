/* agent/generate: one answer while it is made; turn.c begins and ends it. Engine thread. */
#ifndef QUORUM_AGENT_GENERATE_H
#define QUORUM_AGENT_GENERATE_H

#include "agent/room.h"

typedef struct called { char *name, *arguments, *misread; } called;         /* a call of a tool as the model wrote it; misread: why it cannot be read, or NULL */
typedef struct turn {
    agt *a;
    int64_t reply;
    uint64_t seed;
    prov_config *said;                   /* the configuration that the caption names last */
    q_buf caption;                       /* "standard · k 4 → k 1" */
    q_buf text, think;                   /* shown; thought */
    const char *begin;                   /* how it begins, given by the person; NULL: by itself */
    mem_trace *trace;
    struct cJSON *made;                  /* what is to be known of its prompt (past.h), until that is evaluated; NULL */
    prov_result so_far;
    int64_t elder;                       /* the sibling that it is made beside; 0: the one before it, if there is one */
    char *compare;                       /* its text; NULL: there is none */
    int differs_at;
    /* tools */
    struct { struct called *v; int n; char *misread; size_t written; } calls;        /* of the present round; of the one that comes; bytes of the one that is being written */
    prov_result before;                  /* of the rounds before this one */
    struct { size_t text, think; } segment;          /* bytes before this round's */
    int round;
    bool malformed, gap;                 /* a call of the round before could not be read; words stood before it */
    prov_room began;                     /* when its first token was evaluated */
    int64_t saved_ns, last_ns;
    struct {                             /* the last one */
        double surprise, entropy, repeat, decode_s;
        uint16_t *ids; int n_ids;        /* [layer][k] */
        uint8_t had[65536 / 8];          /* a bit an expert; clear between two layers */
    } token;
} turn;

/* Asks, and tells the store, the lab and the front end what comes. finish: one word for the store, "" = by itself; or err. */
enum mem_status generate(turn *t, const prov_request *r, const char **finish, char *err);
void generate_segment(turn *t);          /* what comes next stands behind calls of tools */
void generate_begin(turn *t);            /* what was given is said and stored; it is no token of the answer's */
char *generate_config(const turn *t);    /* the present configuration with the answer's seed, as JSON; malloc'ed */
void generate_progress(turn *t);

#endif
