/* The histogram of gaps as messages carry it: pairs of (gap, pulls), ascending. Pure. */
#ifndef RUB_GAP_LIST_H
#define RUB_GAP_LIST_H

#include "common/metrics/histogram.h"
#include "common/wire/control.h"

/* Writes the bins that are not empty; returns how many. */
uint32_t rub_gap_list_write(const rub_histogram_t *gaps, rub_gap_count_t out[RUB_HISTOGRAM_BINS]);
/* Adds a received list. */
void rub_gap_list_add(rub_histogram_t *gaps, const rub_gap_count_t *list, uint32_t n);

#endif
