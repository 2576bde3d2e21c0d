/* engine/run/room: how much memory is left beside a model's weights. Bytes; reads the model and the system, keeps nothing; any thread that may read the
 * model. */
#ifndef QUORUM_ENGINE_ROOM_H
#define QUORUM_ENGINE_ROOM_H

#include "engine/run/model.h"

/* Memory that weights take, or will take, of what counts as free: their place in the page cache, and room for experts that was not written yet. */
uint64_t room_weights(const eng_model *);
/* Memory of the device that holds the cells, free for what comes beside the weights: those that the processor reads lie in the page cache, which
 * counts as free, and what is put in their place is read from the disk at every token. Of weights that do not fit anyway nothing is taken off. */
uint64_t room_beside(const eng_model *);
/* Of a GPU's memory so much stays free of cells and of states that are merely kept: the driver takes some in the middle of a pass, which fails
 * without it, and adapters make room for their products when the first acts. */
#define ROOM_DRIVER ((uint64_t)128 << 20)

#endif
