/* Why: a peer that sends nonsense must fill neither our log nor its own connection, and a table of
 * all peers there ever were would be one more thing that a peer makes us hold. So keys are mixed
 * into a fixed number of slots, and a newcomer takes over the slot it meets. */
#include "common/base/rate_limit.h"

#include "common/base/hash.h"

#include <inttypes.h>
#include <stdio.h>

bool rub_rate_limit_may(rub_rate_limit_t *self, uint64_t key, uint64_t now_ms, uint64_t every_ms,
                        uint64_t *held_back_p)
{
    const uint64_t at = rub_mix64(key) % RUB_RATE_LIMIT_SLOTS;
    const bool same = self->slots[at].used && self->slots[at].key == key;
    if (same && now_ms - self->slots[at].ms < every_ms) {
        self->slots[at].held_back++;
        return false;
    }
    if (held_back_p) {
        *held_back_p = same ? self->slots[at].held_back : 0;
    }
    self->slots[at].used = true;
    self->slots[at].key = key;
    self->slots[at].ms = now_ms;
    self->slots[at].held_back = 0;
    return true;
}

const char *rub_held_back_text(uint64_t held_back, char out[RUB_HELD_BACK_ROOM])
{
    out[0] = '\0';
    if (held_back > 0) {
        (void)snprintf(out, RUB_HELD_BACK_ROOM,
                       " (%" PRIu64 " more of its messages were like that)", held_back);
    }
    return out;
}
