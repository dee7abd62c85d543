/* 16 values a register; the build compiles this file alone for AVX-512. */
#define RUB_CODEC_LOOPS_NAME avx512
#include "common/num/codec_loops_source.h"
