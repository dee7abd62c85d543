/* Counter-based randomness: every draw is a pure function of (seed, stream, counter), so that
 * order, number of shards and restarts do not matter. Philox4x32-10 (Salmon et al., "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011). */
#ifndef RUB_RNG_H
#define RUB_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The four 32-bit words of block `counter` of `stream`. key = seed (2 words), counter = (counter,
 * stream). */
void rub_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

/* A sequential view of one stream, for callers that just want the next number. */
typedef struct rub_rng {
    uint64_t seed, stream, counter;
    uint32_t words[4];
    unsigned used; /* of words */
} rub_rng_t;

void rub_rng_init(rub_rng_t *self, uint64_t seed, uint64_t stream);
uint32_t rub_rng_u32(rub_rng_t *self);
uint64_t rub_rng_u64(rub_rng_t *self);
/* Uniform in [0, bound); bound > 0. Unbiased (Lemire 2019). */
uint64_t rub_rng_below(rub_rng_t *self, uint64_t bound);
/* Uniform in [0, 1), 53 bits. */
double rub_rng_unit(rub_rng_t *self);
/* Fisher-Yates over items[0..n). */
void rub_rng_shuffle_u32(rub_rng_t *self, uint32_t *items, size_t n);

/* 16 bytes from the operating system: nonces only, never training. 0 or RUB_EIO. */
int rub_random_nonce(uint8_t out[16]);

#endif
