/* engine/run/sample_base: the passes of sample_body.h for any processor.
 * Pure functions; the same bits as the others. */
#include "engine/run/sample.h"

#define NAME(x) sample_base_##x
#include "engine/run/sample_body.h"
