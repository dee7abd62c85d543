/* 8 values a register; the build compiles this file alone for AVX2. */
#define RUB_LOGISTIC_LOOPS_NAME avx2
#include "common/num/logistic_loops_source.h"
