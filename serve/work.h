/* serve/work: what each path does: it reads exchange->body and answers. Private to serve. */
#ifndef QUORUM_SERVE_WORK_H
#define QUORUM_SERVE_WORK_H

#include "serve/house.h"

/* answer.c: in a stream's thread */
void work_chat(exchange *);
void work_text(exchange *);
/* texts.c: in the thread of texts */
void work_tokenize(exchange *);
void work_detokenize(exchange *);
/* texts.c: in the thread of vectors */
void work_embed(exchange *);
/* status.c: at once */
void work_models(exchange *);
void work_model(exchange *);             /* the one that is asked for by its name */
void work_tokenizer(exchange *);
void work_health(exchange *);
void work_metrics(exchange *);

extern const char *const work_path[HOUSE_ROUTES];        /* by route, as metrics count them */
void numbers_count(numbers *, int route, const exchange *, double seconds);
/* An answer that is over, with its fault or none; for /health. */
void numbers_answered(numbers *, const fault *);

#endif
