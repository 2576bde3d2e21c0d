/* advice/course_data: a course's examples, read in any form that advice/examples.h knows and written as its trainer reads them. Private to
 * advice/course*.c. Streams; no file is held in memory. What cannot be used is named, counted and left out.
 * Held out is an example whose hash falls into the share: the same example always lies on the same side, whatever the order. */
#ifndef QUORUM_ADVICE_COURSE_DATA_H
#define QUORUM_ADVICE_COURSE_DATA_H

#include "advice/course.h"
#include "advice/examples.h"

typedef struct course_data {
    uint64_t least;                      /* the smallest hash: held out in any case */
    double share; const char *file;      /* of what is held out; NULL: a share */
} course_data;
/* What kind of examples there are; Q_FORMAT where they differ in that, or there is none. */
int course_data_look(const adv_course *, course_data *, enum adv_task *, char *err);
/* data/train.jsonl, data/test.jsonl and heldout.txt (their plain text, for quorum compare) in dir. said: what was left out, a line each. */
int course_data_write(const adv_course *, const course_data *, enum adv_task, const char *dir, adv_coursed *out, q_buf *said, char *err);

#endif
