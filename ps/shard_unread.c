/* Who asks and does not read: what we send such a peer stays in our memory.
 *
 * A session asks for no more than its window at a time, and asks again for what a connection did
 * not bring, so more than two windows unread is not the protocol: the peer is stopped, cut off one
 * way, or means harm. Every byte a peer makes us hold is charged to that peer, and no other
 * session's. Above the limit we forget what it has parked, and neither listen nor answer until it
 * has read; then its next frame gets REHELLO, and an honest session goes on from WELCOME.
 * Invariant: a peer makes us hold its limit, what it had parked, and one message. Memory that it
 * keeps is freed when its connection ends, which TCP sees to (common/net/zmq_socket.h). */
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

/* Windows shrink when sessions join, and a session that was granted more may still ask by that. */
#define UNREAD_LEAST ((uint64_t)32 << 20)

static uint64_t limit_of(const rub_shard_t *self)
{
    const uint64_t two_windows = 2 * rub_shard_window(self);
    return two_windows > UNREAD_LEAST ? two_windows : UNREAD_LEAST;
}

static uint64_t unread_of(const rub_shard_t *self, rub_peer_t peer)
{
    const rub_link_t *link = rub_links_find(&self->links, peer);
    const uint64_t turn =
        link && link->answered_turn == self->turn_number ? link->answered_bytes : 0;
    return turn + self->effects.unread(self->effects.context, peer);
}

bool rub_shard_is_deaf(const rub_shard_t *self, rub_peer_t peer)
{
    return self->effects.unread && unread_of(self, peer) > limit_of(self) &&
           !RUB_MUTANT(DEAF_SERVED);
}

void rub_shard_count_answer(const rub_shard_t *self, rub_link_t *link, size_t bytes)
{
    if (link->answered_turn != self->turn_number) {
        link->answered_turn = self->turn_number;
        link->answered_bytes = 0;
    }
    link->answered_bytes += bytes;
}

void rub_shard_cut_off(rub_shard_t *self, rub_peer_t peer)
{
    rub_link_t *link = rub_links_find(&self->links, peer);
    if (!link) {
        return; /* said before, or it never was a session */
    }
    char who[32] = "a reader";
    rub_error_t text;
    if (link->rank != UINT32_MAX) {
        (void)rub_fail(&text, RUB_OK, "rank %u", link->rank);
        memcpy(who, text.message, strnlen(text.message, sizeof(who) - 1) + 1);
    }
    RUB_SHARD_NOTICE(self,
                     "%s, peer %llu, does not read: %llu bytes of answers wait for it, limit %llu; "
                     "it is not heard until it has read them",
                     who, (unsigned long long)peer, (unsigned long long)unread_of(self, peer),
                     (unsigned long long)limit_of(self));
    self->cut_off++;
    rub_shard_unbind(self, link);
}

void rub_shard_cut_off_all_deaf(rub_shard_t *self)
{
    if (!self->effects.unread) {
        return;
    }
    /* Removing moves others into the hole: the same slot is looked at again. */
    for (size_t i = 0; i < self->links.n_slots;) {
        const rub_link_t *link = self->links.slots[i];
        if (link && rub_shard_is_deaf(self, link->peer)) {
            rub_shard_cut_off(self, link->peer);
        } else {
            i++;
        }
    }
}
