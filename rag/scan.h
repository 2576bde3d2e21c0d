/* rag/scan.h: private to rag/. Many rows of bytes times one, in integers: the same sums on every processor. */
#ifndef QUORUM_RAG_SCAN_H
#define QUORUM_RAG_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum { RAG_SCAN_STEP = 64 };            /* a row's bytes are a multiple of this */
/* row [n][width]: bytes of 0..255 that mean -128..127 (offset by 128); q [width] -127..127; sum [n] gets the products' sums as if not
 * offset. width at most 8192. Rows are aligned to RAG_SCAN_STEP bytes. */
typedef void rag_scan_fn(const uint8_t *row, const int8_t *q, int width, int n, int32_t *sum);
typedef struct rag_scanner { const char *name; rag_scan_fn *scan; } rag_scanner;
/* All that this processor has, the best first, ended by a NULL name. */
const rag_scanner *rag_scanners(void);

rag_scan_fn rag_scan_scalar, rag_scan_avx2, rag_scan_vnni, rag_scan_neon;

#endif
