/* 8 values a register; the build compiles this file alone for AVX2. */
#define RUB_DISTANCE_LOOPS_NAME avx2
#include "common/num/distance_loops_source.h"
