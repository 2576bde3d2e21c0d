/* rag/shelf.h: private to rag/. Rows of bytes in memory as they are scanned. */
#ifndef QUORUM_RAG_SHELF_H
#define QUORUM_RAG_SHELF_H

#include "memory/memory.h"

struct shelf {
    int dim, width;                     /* numbers; bytes of a row */
    int n, cap;
    uint8_t *row;                       /* [cap][width] offset by 128, aligned (scan.h) */
    float *scale;                       /* [cap] */
    int64_t *id, *conversation;         /* [cap] */
    struct talk *talk;                  /* of turns: what they were before they were summed; NULL: passages that stand alone */
    double *sum;                        /* [dim] of turns: of all rows */
};

void shelf_open(struct shelf *, int dim, bool talk);
void shelf_close(struct shelf *);
void shelf_clear(struct shelf *);
bool shelf_room(struct shelf *, int n);         /* false: there is no memory for so many */
bool shelf_add(struct shelf *, const mem_vector_row *);         /* false likewise */
void shelf_fill(struct shelf *, int n);         /* with made-up rows */
/* Turns that came, and those around them, are summed anew. */
void shelf_settle(struct shelf *);
/* Of turns: where one stands; -1: nowhere. */
int shelf_place(const struct shelf *, int64_t id);
/* Whose vectors make up the row at a place, itself first, with their weights; returns how many, at most `most`. */
int shelf_around(const struct shelf *, int at, int64_t *id, double *weight, int most);

#endif
