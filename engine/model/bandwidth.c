/* engine/model/bandwidth: how fast this machine reads memory: what bounds a model that the CPU computes. Any thread. */
#include "engine/models.h"
#include "kernels/kernels.h"

double eng_read_bandwidth(void)
{
    uint64_t room = q_mem_available() / 4, want = 512u << 20;        /* far more than any cache holds */
    return ker_cpu_read_bandwidth(q_cores(), NULL, (size_t)(room < want ? room : want));
}
