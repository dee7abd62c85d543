/* Sort-free routing. Users' keys come as their data has them: unsorted, with a few that come twice.
 * Sorting them would cost more than sending them, so each is looked for in a small hash table of
 * positions that begins empty with each call, and gets its shard from the same hash: the slot is
 * the hash's low bits, the partition its top ones, so keys of one shard fill all slots alike.
 *
 * Invariant: the first position at which a key stands is the one that counts; every other is a
 * repeat and names it. Keys that ascend strictly can have none and are not looked for.
 *
 * Slots are four bytes and at least four to a key, so that few keys meet another and the branch on
 * it is foreseen: that is half the time. A message's few thousand lie in a first or second cache;
 * where slots do not, that of the key AHEAD places ahead is fetched. */
#include "worker/client/key_routing.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <stdbool.h>

enum {
    AHEAD = 8,
    SLOTS_NEAR = 1 << 16, /* that lie in a second cache */
    SLOTS_LEAST = 16,
    SLOTS_PER_KEY = 4
};

_Static_assert(RUB_SHARDS_LIMIT <= RUB_KEY_REPEATS, "a mark that is no shard");

static bool keys_ascend(const uint64_t *keys, size_t n)
{
    size_t i = 1;
    while (i < n && keys[i - 1] < keys[i]) {
        i++;
    }
    return i >= n;
}

/* RUB_ENOMEM; else the repeats are noted. */
static int seek_repeats(rub_key_routing_t *self, const rub_placement_t *placement,
                        const uint64_t *keys, size_t n, rub_arena_t *arena)
{
    size_t n_slots = SLOTS_LEAST;
    while (n_slots < SLOTS_PER_KEY * n) {
        n_slots *= 2;
    }
    const size_t mask = n_slots - 1;
    uint32_t *slots = rub_arena_calloc(arena, n_slots, sizeof(*slots)); /* position + 1; 0: free */
    self->repeats = rub_arena_alloc(arena, n * sizeof(*self->repeats));
    if (!slots || !self->repeats) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        if (n_slots > SLOTS_NEAR && i + AHEAD < n) {
            __builtin_prefetch(&slots[rub_placement_hash(placement, keys[i + AHEAD]) & mask]);
        }
        size_t slot = rub_placement_hash(placement, keys[i]) & mask;
        while (slots[slot] && keys[slots[slot] - 1] != keys[i]) {
            slot = (slot + 1) & mask;
        }
        if (slots[slot]) {
            self->repeats[self->n_repeats++] =
                (rub_key_repeat_t){.at = (uint32_t)i, .first = slots[slot] - 1};
        } else {
            slots[slot] = (uint32_t)(i + 1);
        }
    }
    return 0;
}

static int find_shards(rub_key_routing_t *self, const rub_placement_t *placement,
                       const uint64_t *keys, size_t n, rub_arena_t *arena)
{
    self->shards = rub_arena_alloc(arena, n * sizeof(*self->shards));
    if (!self->shards) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        self->shards[i] = (uint16_t)rub_placement_shard_of_key(placement, keys[i]);
    }
    for (size_t r = 0; r < self->n_repeats; r++) {
        self->shards[self->repeats[r].at] = RUB_KEY_REPEATS;
    }
    for (size_t i = 0; i < n; i++) {
        if (self->shards[i] != RUB_KEY_REPEATS) {
            self->counts[self->shards[i]]++;
        }
    }
    return 0;
}

int rub_key_routing_make(rub_key_routing_t *self, const rub_placement_t *placement,
                         const uint64_t *keys, size_t n, rub_arena_t *arena)
{
    RUB_ASSERT(n < UINT32_MAX / 2);
    *self = (rub_key_routing_t){
        .counts = rub_arena_calloc(arena, placement->n_shards, sizeof(*self->counts))};
    if (!self->counts || (!keys_ascend(keys, n) && seek_repeats(self, placement, keys, n, arena))) {
        return RUB_ENOMEM;
    }
    if (placement->n_shards > 1) {
        return find_shards(self, placement, keys, n, arena);
    }
    self->counts[0] = (uint32_t)(n - self->n_repeats);
    return 0;
}

size_t rub_key_routing_repeats_before(const rub_key_routing_t *self, size_t at)
{
    size_t low = 0, high = self->n_repeats;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (self->repeats[middle].at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
