/* Sorting 64-bit numbers by some of their bits. Pure; any thread. */
#ifndef RUB_RADIX_H
#define RUB_RADIX_H

#include <stddef.h>
#include <stdint.h>

/* Sorts items[0..n) ascending by bits [first_bit, first_bit + n_bits); equal ones stay in their
 * order. n < 2^32; n_bits <= 32, 0 leaves all as it is; first_bit + n_bits <= 64. scratch: n, must
 * not overlap items. Returns the array that the result is in: items or scratch; the other one is
 * rubbish then. */
uint64_t *rub_radix_sort(uint64_t *items, uint64_t *scratch, size_t n, unsigned first_bit,
                         unsigned n_bits);

#endif
