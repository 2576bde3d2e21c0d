/* engine/run/room: see room.h. */
#include "engine/run/room.h"
#include "engine/run/ondisk.h"

uint64_t room_weights(const eng_model *m)
{
    uint64_t n = 0;
    if (m->on.ondisk) {
        eng_ondisk o;
        ondisk_tell(m->on.ondisk, &o);
        return ondisk_room(m->on.ondisk) - (o.bytes < o.slots ? o.bytes : o.slots);
    }
    bool in_memory = q_in_memory(m->path);
    for (int i = 0; i < gguf_n_tensors(m->file) && !in_memory; i++)
        n += gguf_tensor_at(m->file, i)->bytes;
    return n;
}

uint64_t room_beside(const eng_model *m)
{
    uint64_t have = m->on.be->memory(m->on.dev), weights = m->on.be == ker_cpu() ? room_weights(m) : 0;
    if (m->on.outside) return have > m->on.outside ? have - m->on.outside : have > 0;      /* 0: not known */
    return have > weights ? have - weights : have;
}
