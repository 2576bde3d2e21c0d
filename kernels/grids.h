/* kernels/grids: the codebooks of the IQ types, as they were published with ggml: a row of a grid stands for eight numbers of two
 * bits (number i in bits 2i and 2i + 1), or, IQ3, for four of three bits (number i from bit 4i on). Constants; any thread.
 *
 * What a number means: IQ2 0, 1, 2 are 8, 25, 43; IQ1 0, 1, 2 are -1, 0, 1; IQ3_XXS 0 to 6 are 4 + 8n and 7 is 62; IQ3_S 1 + 2n.
 * (No row holds a 3 of two bits.)
 *
 * ker_grid: all low bytes of a grid's rows, then all high ones, for vectors that look bytes up (cpu/mat_512_grid.h).
 * ker_grid_iq1_steps: of each sixteen rows of IQ1 in a row, which rise, how many begin with the first high byte, that byte, and that of
 * the others.
 * ker_wide: a row as the bytes that its numbers mean, number 0 lowest, for vectors put together from loads (cpu/mat_avx2_grid.h);
 * of IQ1 eight times that and 8 more: 0, 8, 16.
 * Private to kernels/. */
#ifndef QUORUM_GRIDS_H
#define QUORUM_GRIDS_H

#include <stdint.h>

extern const uint8_t ker_grid_iq2_xxs[2][256], ker_grid_iq2_xs[2][512], ker_grid_iq2_s[2][1024], ker_grid_iq1[2][2048];
extern const uint8_t ker_grid_iq3_xxs[2][256], ker_grid_iq3_s[2][512];
extern const uint8_t ker_grid_iq1_steps[3][128];
extern const uint64_t ker_wide_iq2_xxs[256], ker_wide_iq2_xs[512], ker_wide_iq2_s[1024], ker_wide_iq1[2048];
extern const uint32_t ker_wide_iq3_xxs[256], ker_wide_iq3_s[512];

/* Row i of a grid of n rows. */
static inline uint16_t ker_grid_row(const uint8_t *grid, int n, int i) { return (uint16_t)(grid[i] | grid[n + i] << 8); }

#endif
