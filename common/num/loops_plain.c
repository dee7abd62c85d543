/* The truth that the others are compared with, and what runs on any CPU. */
#define RUB_LOOPS_NAME plain
#include "common/num/loops_source.h"
