/* kernels/grids: see grids.h. The rows are in grids.def; here they become the tables that products read. */
#include "kernels/grids.h"

#include "kernels/grids.def"

#define LOW(r) (r) & 255,
#define HIGH(r) (r) >> 8,
#define BYTES(name) { { GRID_##name(LOW) }, { GRID_##name(HIGH) } }

/* Numbers of a row to bytes that say what they mean. */
#define IN_BYTES_8(r, of) of(r) | of(r >> 2) << 8 | of(r >> 4) << 16 | of(r >> 6) << 24 | of(r >> 8) << 32 | of(r >> 10) << 40 | of(r >> 12) << 48 | of(r >> 14) << 56
#define IN_BYTES_4(r, of) (uint32_t)(of(r) | of(r >> 4) << 8 | of(r >> 8) << 16 | of(r >> 12) << 24)
#define IQ2(c) (uint64_t)(((c) & 3) == 0 ? 8 : ((c) & 3) == 1 ? 25 : 43)
#define IQ1(c) (uint64_t)(8 * ((c) & 3))
#define IQ3_XXS(c) (uint64_t)(((c) & 7) == 7 ? 62 : 4 + 8 * ((c) & 7))
#define IQ3_S(c) (uint64_t)(1 + 2 * ((c) & 7))
#define WIDE_IQ2(r) IN_BYTES_8(r, IQ2),
#define WIDE_IQ1(r) IN_BYTES_8(r, IQ1),
#define WIDE_IQ3_XXS(r) IN_BYTES_4(r, IQ3_XXS),
#define WIDE_IQ3_S(r) IN_BYTES_4(r, IQ3_S),

const uint8_t ker_grid_iq2_xxs[2][256] __attribute__((aligned(64))) = BYTES(IQ2_XXS);
const uint8_t ker_grid_iq2_xs[2][512] __attribute__((aligned(64))) = BYTES(IQ2_XS);
const uint8_t ker_grid_iq2_s[2][1024] __attribute__((aligned(64))) = BYTES(IQ2_S);
const uint8_t ker_grid_iq1[2][2048] __attribute__((aligned(64))) = BYTES(IQ1);
const uint8_t ker_grid_iq3_xxs[2][256] __attribute__((aligned(64))) = BYTES(IQ3_XXS);
const uint8_t ker_grid_iq3_s[2][512] __attribute__((aligned(64))) = BYTES(IQ3_S);

const uint64_t ker_wide_iq2_xxs[256] __attribute__((aligned(64))) = { GRID_IQ2_XXS(WIDE_IQ2) };
const uint64_t ker_wide_iq2_xs[512] __attribute__((aligned(64))) = { GRID_IQ2_XS(WIDE_IQ2) };
const uint64_t ker_wide_iq2_s[1024] __attribute__((aligned(64))) = { GRID_IQ2_S(WIDE_IQ2) };
const uint64_t ker_wide_iq1[2048] __attribute__((aligned(64))) = { GRID_IQ1(WIDE_IQ1) };
const uint32_t ker_wide_iq3_xxs[256] __attribute__((aligned(64))) = { GRID_IQ3_XXS(WIDE_IQ3_XXS) };
const uint32_t ker_wide_iq3_s[512] __attribute__((aligned(64))) = { GRID_IQ3_S(WIDE_IQ3_S) };

#define COUNT(count, first, other) count,
#define FIRST(count, first, other) first,
#define OTHER(count, first, other) other,
const uint8_t ker_grid_iq1_steps[3][128] __attribute__((aligned(64))) = { { GRID_IQ1_STEPS(COUNT) }, { GRID_IQ1_STEPS(FIRST) }, { GRID_IQ1_STEPS(OTHER) } };
