/* Philox4x32-10 and the little that is built on it.
 *
 * A draw is a bijection of its counter under a key: no state to store, to seed apart or to lose, so
 * a row's first touch, a shuffle and a minibatch come out the same in any order, on any number of
 * shards, after any restart. Stored weights depend on these numbers: pinned for ever. The
 * multipliers and the key's Weyl increments are those of Salmon et al. (SC 2011), and the tests
 * hold the authors' known answers. */
#include "common/base/rng.h"

#include "common/base/check.h"
#include "include/rubato.h"

#include <errno.h>
#include <sys/random.h>

enum { ROUNDS = 10 };

void rub_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)counter;
    uint32_t c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream;
    uint32_t c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t p0 = UINT64_C(0xD2511F53) * c0;
        const uint64_t p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void rub_rng_init(rub_rng_t *self, uint64_t seed, uint64_t stream)
{
    *self = (rub_rng_t){.seed = seed, .stream = stream, .used = RUB_COUNT_OF(self->words)};
}

uint32_t rub_rng_u32(rub_rng_t *self)
{
    if (self->used == RUB_COUNT_OF(self->words)) {
        rub_philox(self->seed, self->stream, self->counter, self->words);
        self->counter++;
        self->used = 0;
    }
    return self->words[self->used++];
}

uint64_t rub_rng_u64(rub_rng_t *self)
{
    const uint64_t low = rub_rng_u32(self);
    return (uint64_t)rub_rng_u32(self) << 32 | low;
}

uint64_t rub_rng_below(rub_rng_t *self, uint64_t bound)
{
    RUB_ASSERT(bound > 0);
    /* Lemire, "Fast random integer generation in an interval", 2019: the high word of a product is
     * the draw; the few low words that would favour some results are drawn again. */
    unsigned __int128 product = (unsigned __int128)rub_rng_u64(self) * bound;
    if ((uint64_t)product < bound) {
        const uint64_t threshold = (0 - bound) % bound;
        while ((uint64_t)product < threshold) {
            product = (unsigned __int128)rub_rng_u64(self) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

double rub_rng_unit(rub_rng_t *self)
{
    return (double)(rub_rng_u64(self) >> 11) * 0x1p-53;
}

void rub_rng_shuffle_u32(rub_rng_t *self, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)rub_rng_below(self, i);
        const uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}

int rub_random_nonce(uint8_t out[16])
{
    size_t have = 0;
    while (have < 16) {
        const ssize_t got = getrandom(out + have, 16 - have, 0);
        if (got < 0 && errno != EINTR) {
            return RUB_EIO;
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return RUB_OK;
}
