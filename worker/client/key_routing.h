/* Where the keys of a push go, and which of them were there before: what has to be known before its
 * rows are copied. Nothing is sorted: a set of keys in any order is passed through once.
 *
 * Pure, and not kept: everything lies in the caller's arena. */
#ifndef RUB_KEY_ROUTING_H
#define RUB_KEY_ROUTING_H

#include "common/base/arena.h"
#include "common/wire/placement.h"

/* In place of a shard: the key came before in this call. */
#define RUB_KEY_REPEATS UINT16_MAX

/* Both are positions in the call; first < at. */
typedef struct rub_key_repeat {
    uint32_t at, first;
} rub_key_repeat_t;

typedef struct rub_key_routing {
    uint16_t *shards;          /* of each key, or RUB_KEY_REPEATS; NULL: there is one shard */
    uint32_t *counts;          /* of each shard: different keys */
    rub_key_repeat_t *repeats; /* keys that came before, at ascending positions */
    size_t n_repeats;
} rub_key_routing_t;

/* keys: n of them, below UINT32_MAX / 2, borrowed until return; in any order, each as often as it
 * likes. What self points to is valid until the arena is reset. RUB_ENOMEM. */
int rub_key_routing_make(rub_key_routing_t *self, const rub_placement_t *placement,
                         const uint64_t *keys, size_t n, rub_arena_t *arena);

/* How many repeats stand before position `at`: `at` minus that is the place of a key that comes for
 * the first time among all such. Takes the logarithm of n_repeats. */
size_t rub_key_routing_repeats_before(const rub_key_routing_t *self, size_t at);

#endif
