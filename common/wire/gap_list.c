/* One pair per bin: adding what was written gives back the same histogram, greatest gap included.
 */
#include "common/wire/gap_list.h"

uint32_t rub_gap_list_write(const rub_histogram_t *gaps, rub_gap_count_t out[RUB_HISTOGRAM_BINS])
{
    uint32_t n = 0;
    size_t at = 0;
    rub_gap_count_t pair;
    while (n < RUB_HISTOGRAM_BINS && rub_histogram_next(gaps, &at, &pair.gap, &pair.count)) {
        out[n++] = pair;
    }
    return n;
}

void rub_gap_list_add(rub_histogram_t *gaps, const rub_gap_count_t *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        rub_histogram_add_bin(gaps, list[i].gap, list[i].count);
    }
}
