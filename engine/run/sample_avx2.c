/* engine/run/sample_avx2: the passes of sample_body.h for this instruction set. Called only where sample.c found it.
 * Pure functions; the same bits as the others. */
#include "engine/run/sample.h"

#define NAME(x) sample_avx2##_##x
#include "engine/run/sample_body.h"
