/* act_alloc: what it gives is aligned, whole and free()'s, in pages of 4 KiB or of 2 MiB. */
#include <stdint.h>
#include <stdlib.h>

#include "kernels/cpu/act.h"
#include "tests/test.h"

static void buffers_are_aligned_and_whole(void)
{
    static const size_t sizes[] = { 0, 1, 63, 64, 4096, (1 << 20) - 256, 1 << 20, (2 << 20) - 1, 2 << 20, (5 << 20) + 3 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *p = act_alloc(sizes[i]);
        CHECK(p != NULL);
        CHECK_INT((uintptr_t)p % 64, 0);
        if (sizes[i] >= 1 << 20) CHECK_INT((uintptr_t)p % (2 << 20), 0);      /* else no huge page fits at its start */
        for (size_t at = 0; at < sizes[i]; at += 4096) p[at] = (uint8_t)(at >> 12);
        for (size_t at = 0; at < sizes[i]; at += 4096) CHECK_INT(p[at], (uint8_t)(at >> 12));
        if (sizes[i]) p[sizes[i] - 1] = 77;
        free(p);
    }
}

int main(void)
{
    RUN(buffers_are_aligned_and_whole);
    return TEST_END();
}
