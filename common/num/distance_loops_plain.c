/* The definition: what every CPU runs. */
#define RUB_DISTANCE_LOOPS_NAME plain
#include "common/num/distance_loops_source.h"
