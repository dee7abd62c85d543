/* A peer's account: two running sums, what was charged and what is known to be gone. The second is
 * raised by marks, in libzmq's I/O thread, so accounts are counted: the table holds one reference,
 * each mark another.
 *
 * Nobody tells us when a connection ends. But an account all of whose marks have come back holds no
 * news, and the marks of a connection that ended have all come back: when the table is full, those
 * are thrown out before it grows. */
#include "common/net/unread.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#include <stdatomic.h>

enum { FIRST_SLOTS = 64 };

struct rub_unread_peer {
    atomic_uint references;
    _Atomic uint64_t gone; /* of charged */
    uint64_t peer, charged, marked;
};

struct rub_unread_mark {
    rub_unread_peer_t *peer;
    uint64_t charged; /* when it was made */
};

void rub_unread_init(rub_unread_t *self)
{
    *self = (rub_unread_t){.slots = NULL};
}

static void unref(rub_unread_peer_t *peer)
{
    if (atomic_fetch_sub_explicit(&peer->references, 1, memory_order_acq_rel) == 1) {
        rub_free(peer);
    }
}

void rub_unread_fini(rub_unread_t *self)
{
    for (size_t i = 0; i < self->n_slots; i++) {
        if (self->slots[i]) {
            unref(self->slots[i]);
        }
    }
    rub_free(self->slots);
    *self = (rub_unread_t){.slots = NULL};
}

static uint64_t gone_of(const rub_unread_peer_t *peer)
{
    return atomic_load_explicit(&peer->gone, memory_order_relaxed);
}

/* Its place, or the empty one where it belongs. */
static size_t find_slot(rub_unread_peer_t *const *slots, size_t n_slots, uint64_t peer)
{
    size_t at = (size_t)rub_mix64(peer) & (n_slots - 1);
    while (slots[at] && slots[at]->peer != peer) {
        at = (at + 1) & (n_slots - 1);
    }
    return at;
}

/* Makes the table anew without those that hold no news. */
static bool make_room(rub_unread_t *self)
{
    if (2 * (self->n + 1) <= self->n_slots) {
        return true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < self->n_slots; i++) {
        kept += self->slots[i] && gone_of(self->slots[i]) < self->slots[i]->marked;
    }
    size_t n_slots = FIRST_SLOTS;
    while (n_slots < 4 * (kept + 1)) {
        n_slots *= 2;
    }
    rub_unread_peer_t **slots = rub_calloc(n_slots, sizeof(rub_unread_peer_t *));
    if (!slots) {
        return false;
    }
    kept = 0;
    for (size_t i = 0; i < self->n_slots; i++) {
        rub_unread_peer_t *peer = self->slots[i];
        if (peer && gone_of(peer) < peer->marked) {
            slots[find_slot(slots, n_slots, peer->peer)] = peer;
            kept++;
        } else if (peer) {
            unref(peer);
        }
    }
    rub_free(self->slots);
    *self = (rub_unread_t){.slots = slots, .n = kept, .n_slots = n_slots};
    return true;
}

static rub_unread_peer_t *find(const rub_unread_t *self, uint64_t peer)
{
    return self->n_slots == 0 ? NULL : self->slots[find_slot(self->slots, self->n_slots, peer)];
}

static rub_unread_peer_t *add(rub_unread_t *self, uint64_t peer)
{
    rub_unread_peer_t *account = make_room(self) ? rub_calloc(1, sizeof(*account)) : NULL;
    if (account) {
        atomic_init(&account->references, 1);
        atomic_init(&account->gone, 0);
        account->peer = peer;
        self->slots[find_slot(self->slots, self->n_slots, peer)] = account;
        self->n++;
    }
    return account;
}

rub_unread_peer_t *rub_unread_charge(rub_unread_t *self, uint64_t peer, size_t bytes)
{
    rub_unread_peer_t *account = find(self, peer);
    account = account ? account : add(self, peer);
    if (account) {
        account->charged += bytes + RUB_UNREAD_MESSAGE_BYTES;
    }
    return account;
}

bool rub_unread_is_due(const rub_unread_peer_t *peer)
{
    return peer->charged - peer->marked >= RUB_UNREAD_STEP;
}

rub_unread_mark_t *rub_unread_mark(rub_unread_peer_t *peer)
{
    rub_unread_mark_t *mark = rub_alloc(sizeof(*mark));
    if (mark) {
        *mark = (rub_unread_mark_t){.peer = peer, .charged = peer->charged};
        peer->marked = peer->charged;
        atomic_fetch_add_explicit(&peer->references, 1, memory_order_relaxed);
    }
    return mark;
}

void rub_unread_release(rub_unread_mark_t **mark_p)
{
    rub_unread_mark_t *mark = *mark_p;
    *mark_p = NULL;
    if (!mark) {
        return;
    }
    uint64_t gone = gone_of(mark->peer);
    while (gone < mark->charged &&
           !atomic_compare_exchange_weak_explicit(&mark->peer->gone, &gone, mark->charged,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    unref(mark->peer);
    rub_free(mark);
}

/* What no mark stands behind yet is small change: it counts only together with what is known to be
 * there, or a peer that reads everything would owe us up to a step for ever. */
uint64_t rub_unread_bytes(const rub_unread_t *self, uint64_t peer)
{
    const rub_unread_peer_t *account = find(self, peer);
    if (!account) {
        return 0;
    }
    const uint64_t gone = gone_of(account);
    return gone < account->marked ? account->charged - gone : 0;
}

void rub_unread_forget(rub_unread_t *self, uint64_t peer)
{
    if (self->n_slots == 0) {
        return;
    }
    const size_t mask = self->n_slots - 1;
    size_t hole = find_slot(self->slots, self->n_slots, peer);
    if (!self->slots[hole]) {
        return;
    }
    unref(self->slots[hole]);
    for (size_t at = (hole + 1) & mask; self->slots[at]; at = (at + 1) & mask) {
        const size_t home = (size_t)rub_mix64(self->slots[at]->peer) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            self->slots[hole] = self->slots[at];
            hole = at;
        }
    }
    self->slots[hole] = NULL;
    self->n--;
}
