/* 16 values a register; the build compiles this file alone for AVX-512. */
#define RUB_DISTANCE_LOOPS_NAME avx512
#include "common/num/distance_loops_source.h"
