/* What each peer of a ROUTER makes us hold: bytes that were sent to it and still lie in libzmq's
 * pipe, because the peer, or the network, does not take them.
 *
 * libzmq counts messages, not bytes, and tells nobody. But a pipe is first in, first out, and a
 * borrowed message calls back when it has been written to the connection, or dropped with it: a
 * *mark* on such a message says that everything up to it is gone. A large message carries one in
 * any case, small ones every RUB_UNREAD_STEP bytes, so the figure is wrong by at most that much.
 *
 * One thread owns this (the socket's); only rub_unread_release may come from any. */
#ifndef RUB_UNREAD_H
#define RUB_UNREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Small messages are marked so often. */
#define RUB_UNREAD_STEP ((uint64_t)64 << 10)
/* What a message costs in the pipe beside its bytes. */
#define RUB_UNREAD_MESSAGE_BYTES 256u

typedef struct rub_unread_peer rub_unread_peer_t;
typedef struct rub_unread_mark rub_unread_mark_t;

typedef struct rub_unread {
    rub_unread_peer_t **slots; /* open addressing by mixed peer number */
    size_t n, n_slots;
} rub_unread_t;

void rub_unread_init(rub_unread_t *self);
void rub_unread_fini(rub_unread_t *self); /* marks that are still out stay valid */

/* Charges a message of so many bytes. Returns the peer, borrowed until the next call; NULL when
 * memory is short: it is not charged then. */
rub_unread_peer_t *rub_unread_charge(rub_unread_t *self, uint64_t peer, size_t bytes);
/* Whether RUB_UNREAD_STEP bytes were charged since the last mark. */
bool rub_unread_is_due(const rub_unread_peer_t *peer);
/* A mark behind everything charged so far, to be released when that is gone. NULL: no memory. */
rub_unread_mark_t *rub_unread_mark(rub_unread_peer_t *peer);
void rub_unread_release(rub_unread_mark_t **mark_p); /* NULL is fine; any thread */

/* Bytes charged to that peer which are not known to be gone. 0 for one that was never charged. */
uint64_t rub_unread_bytes(const rub_unread_t *self, uint64_t peer);
/* Its connection is over. */
void rub_unread_forget(rub_unread_t *self, uint64_t peer);

#endif
