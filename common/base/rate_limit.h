/* At most one per key and span of time: log lines about a peer, answers that a peer provokes.
 *
 * A small cache that forgets: two keys that share a slot may each be let through more often, and
 * nothing grows with the number of keys. Pure: time is passed in. One thread at a time. */
#ifndef RUB_RATE_LIMIT_H
#define RUB_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define RUB_RATE_LIMIT_SLOTS 256u
#define RUB_COMPLAIN_EVERY_MS 10000u /* between two lines of a log about what one peer sends */

typedef struct rub_rate_limit {
    struct {
        uint64_t key, ms;
        uint64_t held_back; /* since ms */
        bool used;
    } slots[RUB_RATE_LIMIT_SLOTS];
} rub_rate_limit_t; /* all zero: nothing yet */

/* Whether this key may now, every_ms after the last time at the earliest. held_back_p (may be
 * NULL): when true, how often it was said no to since then. */
bool rub_rate_limit_may(rub_rate_limit_t *self, uint64_t key, uint64_t now_ms, uint64_t every_ms,
                        uint64_t *held_back_p);

/* What a line about a peer ends with: " (3 more of its messages were like that)", or nothing when
 * none was held back. Returns out. */
#define RUB_HELD_BACK_ROOM 80u
const char *rub_held_back_text(uint64_t held_back, char out[RUB_HELD_BACK_ROOM]);

#endif
