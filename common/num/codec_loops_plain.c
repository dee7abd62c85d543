/* The truth that the others are compared with, and what runs on any CPU. */
#define RUB_CODEC_LOOPS_NAME plain
#include "common/num/codec_loops_source.h"
