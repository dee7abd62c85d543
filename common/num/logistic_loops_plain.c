/* The definition: what every CPU runs. */
#define RUB_LOGISTIC_LOOPS_NAME plain
#include "common/num/logistic_loops_source.h"
