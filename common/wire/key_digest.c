/* A session digests the keys of every call that could be a repetition, so this must cost little
 * beside the row that follows each key: products of 64 bits, folded to 64 (the mixing step of
 * wyhash, Wang Yi 2019), two keys a step, in four lanes that do not wait for each other, each of
 * two chains with constants of their own. A chain forgets what came before only where a key equals
 * its constant; both do where two keys side by side equal both, so lists of one digest can be made.
 * Chance does not make them, and ps/key_lists takes no harm from those who do. The lanes are taken
 * together last, and then the number of keys, so that a list and its own beginning differ. */
#include "common/wire/key_digest.h"

#include "common/base/bytes.h"

enum { LANES = 4, STEP = 2 * LANES };

static uint64_t folded(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* One step of both chains of a lane. */
static void take(uint64_t chains[2], uint64_t first, uint64_t second)
{
    const uint64_t before = chains[0];
    chains[0] = folded(first ^ UINT64_C(0x8ebc6af09c88c6e3), second ^ before);
    chains[1] = folded(second ^ UINT64_C(0x589965cc75374cc3), first ^ chains[1]);
}

rub_key_digest_t rub_key_digest_of(const uint8_t *keys, size_t n)
{
    uint64_t chains[LANES][2];
    for (uint64_t lane = 0; lane < LANES; lane++) {
        chains[lane][0] = UINT64_C(0xa0761d6478bd642f) + lane;
        chains[lane][1] = UINT64_C(0xe7037ed1a0b428db) + lane;
    }
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        const uint8_t *at = keys + 8 * i;
        take(chains[0], rub_get_u64(at), rub_get_u64(at + 8));
        take(chains[1], rub_get_u64(at + 16), rub_get_u64(at + 24));
        take(chains[2], rub_get_u64(at + 32), rub_get_u64(at + 40));
        take(chains[3], rub_get_u64(at + 48), rub_get_u64(at + 56));
    }
    for (; i < n; i++) { /* the rest, and below the lanes, go through the first */
        take(chains[0], rub_get_u64(keys + 8 * i), i);
    }
    for (size_t lane = 1; lane < LANES; lane++) {
        take(chains[0], chains[lane][0], chains[lane][1]);
    }
    take(chains[0], n, 0);
    return (rub_key_digest_t){{chains[0][0], chains[0][1]}};
}

void rub_key_digest_write(const rub_key_digest_t *self, uint8_t out[RUB_KEY_DIGEST_BYTES])
{
    rub_put_u64(out, self->words[0]);
    rub_put_u64(out + 8, self->words[1]);
}

rub_key_digest_t rub_key_digest_read(const uint8_t in[RUB_KEY_DIGEST_BYTES])
{
    return (rub_key_digest_t){{rub_get_u64(in), rub_get_u64(in + 8)}};
}
