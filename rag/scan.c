/* rag/scan: the plain form of the scan, and which forms this processor has. Pure; any thread. */
#include "base/base.h"
#include "rag/scan.h"

void rag_scan_scalar(const uint8_t *row, const int8_t *q, int width, int n, int32_t *sum)
{
    for (int i = 0; i < n; i++, row += width) {
        int32_t x = 0;
        for (int j = 0; j < width; j++) x += ((int)row[j] - 128) * q[j];
        sum[i] = x;
    }
}

/* Whoever has a form has those below it too. */
static const rag_scanner forms[] = {
#if defined(__x86_64__)
    {"avx512-vnni", rag_scan_vnni}, {"avx2", rag_scan_avx2},
#elif defined(__aarch64__)
    {"neon", rag_scan_neon},
#endif
    {"scalar", rag_scan_scalar}, {0},
};

const rag_scanner *rag_scanners(void)
{
#if defined(__x86_64__)
    if (q_isa() < Q_ISA_AVX2) return forms + 2;
    if (q_isa() < Q_ISA_VNNI) return forms + 1;
#endif
    return forms;
}
