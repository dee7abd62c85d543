/* A stable radix sort, least significant digit first, in as few passes as the bits need (Knuth, The
 * Art of Computer Programming 3, section 5.2.5).
 *
 * Why: batches are sorted by key thousands of times a second, and a comparison that the processor
 * guesses wrong costs more than a whole pass does for one item. Digits have at most 11 bits: the
 * counts of all passes, taken in one walk, stay in the first cache. Invariant: a pass moves items
 * with equal digits in their order, so the passes before it stay true. */
#include "common/base/radix.h"

#include "common/base/check.h"

#include <string.h>

enum { DIGIT_BITS = 11, PASSES = 3, BITS_LIMIT = 32 };

uint64_t *rub_radix_sort(uint64_t *items, uint64_t *scratch, size_t n, unsigned first_bit,
                         unsigned n_bits)
{
    RUB_ASSERT(n_bits <= BITS_LIMIT);
    RUB_ASSERT(first_bit + n_bits <= 64);
    RUB_ASSERT(n <= UINT32_MAX);
    if (n_bits == 0) {
        return items;
    }
    const unsigned n_passes = (n_bits + DIGIT_BITS - 1) / DIGIT_BITS;
    const unsigned digit_bits = (n_bits + n_passes - 1) / n_passes;
    uint32_t counts[PASSES][1u << DIGIT_BITS];
    memset(counts, 0, n_passes * sizeof counts[0]);
    unsigned shifts[PASSES];
    uint64_t masks[PASSES];
    for (unsigned pass = 0; pass < n_passes; pass++) {
        const unsigned done = pass * digit_bits;
        const unsigned bits = n_bits - done < digit_bits ? n_bits - done : digit_bits;
        shifts[pass] = first_bit + done;
        masks[pass] = (UINT64_C(1) << bits) - 1;
    }
    for (size_t i = 0; i < n; i++) {
        for (unsigned pass = 0; pass < n_passes; pass++) {
            counts[pass][items[i] >> shifts[pass] & masks[pass]]++;
        }
    }
    for (unsigned pass = 0; pass < n_passes; pass++) {
        uint32_t place = 0;
        for (size_t digit = 0; digit <= masks[pass]; digit++) {
            const uint32_t count = counts[pass][digit];
            counts[pass][digit] = place;
            place += count;
        }
        for (size_t i = 0; i < n; i++) {
            scratch[counts[pass][items[i] >> shifts[pass] & masks[pass]]++] = items[i];
        }
        uint64_t *const sorted = scratch;
        scratch = items;
        items = sorted;
    }
    return items;
}
