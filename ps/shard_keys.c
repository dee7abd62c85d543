/* Keys that a session says by their digest: looked up before anything judges the message, so that
 * what is admitted, parked and journaled has plain keys, and nothing behind this file knows that
 * they came as sixteen bytes.
 *
 * Invariant: a record never depends on a list. Lists belong to a connection: after a restart, and
 * after every HELLO, none is known; and what is not used for a while goes. A digest that is not
 * known consumes nothing: KEYS_UNKNOWN, and the message comes again with its keys. */
#include "ps/shard_internal.h"

size_t rub_shard_lists_share(const rub_shard_t *self, const rub_link_t *link)
{
    const size_t limit = self->config.limit_bytes == 0 ? SIZE_MAX : self->config.limit_bytes;
    const size_t rest = rub_key_lists_bytes(link->lists) + rub_shard_memory_left(self) / 2;
    size_t share = limit / 16 / (self->links.n > 0 ? self->links.n : 1);
    share = share < rest ? share : rest; /* or each push would have to take it back */
    if (share < RUB_KEY_LISTS_LEAST) {
        return 0;
    }
    return share < RUB_KEY_LISTS_MOST ? share : RUB_KEY_LISTS_MOST;
}

void rub_shard_remember(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    link->lists = link->lists ? link->lists : rub_key_lists_new();
    if (link->lists) {
        self->lists_bytes -= rub_key_lists_bytes(link->lists);
        rub_key_lists_tell(link->lists, frame->keys, frame->keys_bytes / 8,
                           rub_shard_lists_share(self, link), self->now_ms, &self->forgotten_lists);
        self->lists_bytes += rub_key_lists_bytes(link->lists);
    }
}

bool rub_shard_plain_keys(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame,
                          rub_frame_t *plain)
{
    const size_t n = frame->header.n_keys;
    const rub_key_digest_t digest = rub_key_digest_read(frame->keys);
    const uint8_t *keys =
        link->lists ? rub_key_lists_find(link->lists, &digest, n, self->now_ms, &self->listed_found)
                    : NULL;
    if (!keys) {
        uint8_t share[8]; /* perhaps less than WELCOME said: others have come since */
        const rub_header_t header = {.type = RUB_MSG_KEYS_UNKNOWN,
                                     .seq = frame->header.seq,
                                     .mark = frame->header.type,
                                     .value_bytes = sizeof(share)};
        rub_put_u64(share, rub_shard_lists_share(self, link));
        rub_shard_send(self, link->peer, &header, share);
        return false;
    }
    self->listed_keys = keys;
    *plain = *frame;
    plain->header.flags &= ~(uint32_t)RUB_FLAG_DIGEST;
    plain->keys = keys;
    plain->keys_bytes = 8 * n;
    return true;
}

rub_found_rows_t *rub_shard_found_rows(const rub_shard_t *self, const uint8_t *keys, uint32_t table)
{
    rub_found_rows_t *found = self->listed_keys == keys ? self->listed_found : NULL;
    if (!found || (found->table != 0 && found->table != table)) {
        return NULL;
    }
    found->table = table;
    return found;
}

void rub_shard_forget_unused_lists(rub_shard_t *self)
{
    if (self->lists_bytes == 0 || self->now_ms < self->config.lists_idle_ms) {
        return;
    }
    for (size_t i = 0; i < self->links.n_slots; i++) {
        rub_link_t *link = self->links.slots[i];
        if (link && link->lists) {
            self->lists_bytes -= rub_key_lists_bytes(link->lists);
            rub_key_lists_forget_unused(link->lists, self->now_ms - self->config.lists_idle_ms,
                                        &self->forgotten_lists);
            self->lists_bytes += rub_key_lists_bytes(link->lists);
        }
    }
}

void rub_shard_forget_lists(rub_shard_t *self, rub_link_t *link)
{
    self->lists_bytes -= rub_key_lists_bytes(link->lists);
    rub_key_lists_destroy(&link->lists, &self->forgotten_lists);
}

void rub_shard_forget_all_lists(rub_shard_t *self)
{
    for (size_t i = 0; i < self->links.n_slots; i++) {
        if (self->links.slots[i]) {
            rub_shard_forget_lists(self, self->links.slots[i]);
        }
    }
}
