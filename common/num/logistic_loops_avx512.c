/* 16 values a register; the build compiles this file alone for AVX-512. */
#define RUB_LOGISTIC_LOOPS_NAME avx512
#include "common/num/logistic_loops_source.h"
