/* 16 values a register; the build compiles this file alone for AVX-512. */
#define RUB_LOOPS_NAME avx512
#include "common/num/loops_source.h"
