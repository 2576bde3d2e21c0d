/* kernels/grids: the codebooks of the IQ types, as they were published with ggml: a row of a grid stands for eight numbers of two
 * bits (number i in bits 2i and 2i + 1), or, IQ3, for four of three bits (number i from bit 4i on). Constants; any thread.
 *
 * What a number means: IQ2 0, 1, 2 are 8, 25, 43; IQ1 0, 1, 2 are -1, 0, 1; IQ3_XXS 0 to 6 are 4 + 8n and 7 is 62; IQ3_S 1 + 2n.
 * Private to kernels/. */
#ifndef QUORUM_GRIDS_H
#define QUORUM_GRIDS_H

#include <stdint.h>

extern const uint16_t ker_grid_iq2_xxs[256], ker_grid_iq2_xs[512], ker_grid_iq2_s[1024], ker_grid_iq1[2048];
extern const uint16_t ker_grid_iq3_xxs[256], ker_grid_iq3_s[512];

#endif
