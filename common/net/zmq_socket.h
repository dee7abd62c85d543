/* Sockets as Rubato uses them: a ROUTER where sessions and shards arrive, a DEALER that goes out. A
 * thin skin over libzmq 4.3.4 that sets what its defaults leave dangerous, moves whole messages,
 * and never blocks but in poll.
 *
 * Both kinds: heartbeats every second, dead after 3; a handshake that takes longer than 3 s is
 * dropped; reconnection after 50 to 250 ms; nothing is queued for a peer that is not connected
 * (IMMEDIATE); frames above RUB_MESSAGE_LIMIT (and some slack) end the connection. No high-water
 * marks: the protocol's windows bound what is in flight, and a full pipe would make libzmq's I/O
 * thread stop reading, heartbeats included, so that a busy peer would look dead. What a ROUTER's
 * peer does not take is counted instead (rub_socket_unread), and TCP ends a connection that takes
 * nothing for 10 s.
 *
 * A socket belongs to the thread that opened it. The net may be shared by threads. zmq.h is not
 * needed to use this. */
#ifndef RUB_ZMQ_SOCKET_H
#define RUB_ZMQ_SOCKET_H

#include "common/base/bytes.h"
#include "common/wire/packet.h"

typedef struct rub_net rub_net_t; /* a libzmq context with one I/O thread */
typedef struct rub_socket rub_socket_t;

/* NULL with RUB_ENOMEM or RUB_EIO (no file descriptors left) in err. */
rub_net_t *rub_net_new(rub_error_t *err);
/* The same over a libzmq context of somebody else's, which is kept until destroy and lives on: who
 * shares one can talk by inproc:// addresses. RUB_ENOMEM. */
rub_net_t *rub_net_borrow(void *context, rub_error_t *err);
void *rub_net_context(const rub_net_t *self); /* libzmq's; borrowed */
/* All sockets must be closed. Blocks as long as the closed sockets linger. NULL is fine. */
void rub_net_destroy(rub_net_t **self_p);

typedef enum { RUB_SOCKET_ROUTER = 0, RUB_SOCKET_DEALER = 1 } rub_socket_kind_t;

enum {
    RUB_SOCKET_DROPPED = 1, /* outcome of a send: no connection to that peer; the message is gone */
    RUB_SOCKET_EMPTY = 2    /* outcome of a receive: nothing is there now */
};

int rub_socket_open(rub_net_t *net, rub_socket_kind_t kind, rub_socket_t **self_p,
                    rub_error_t *err);
/* What was sent gets linger_ms to leave, in the background; 0 drops it. NULL is fine. */
void rub_socket_close(rub_socket_t **self_p, uint32_t linger_ms);

/* Listens on "tcp://host:port"; host may be *, port 0 takes a free one; or on "inproc://name", for
 * sockets of the same context. actual (may be NULL) gets the endpoint with its real port.
 * RUB_EBUSY: the address is taken; RUB_ECONFIG: not ours, or malformed; RUB_EIO. All name the
 * address. */
int rub_socket_bind(rub_socket_t *self, const char *address, char *actual, size_t actual_bytes,
                    rub_error_t *err);
/* Returns at once; the connection comes, and comes back, in the background. RUB_ECONFIG: malformed
 * address. */
int rub_socket_connect(rub_socket_t *self, const char *address, rub_error_t *err);
/* DEALER: a connection stands (as far as heartbeats tell) and takes messages. */
bool rub_socket_connected(rub_socket_t *self);

/* Sends a data message; takes the packet in every case. Up to RUB_INLINE_LIMIT bytes it is copied
 * into one frame, unless its values are lent; else keys and values travel from where they lie, and
 * libzmq lets go of the packet from a thread of its own: once the kernel has all of it, or the
 * connection, or this socket, is over. peer: whom a ROUTER sends to (from rub_received_t); ignored
 * by a DEALER. 0 (queued: not yet received), RUB_SOCKET_DROPPED, or RUB_ENOMEM. */
int rub_socket_send(rub_socket_t *self, uint64_t peer, rub_packet_t *packet);
/* ROUTER: bytes of messages that were sent to that peer and wait here because it does not take
 * them, give or take 64 KiB. 0 when its connection is over. */
uint64_t rub_socket_unread(const rub_socket_t *self, uint64_t peer);
/* The same as rub_socket_send for one frame of bytes (control plane), borrowed. */
int rub_socket_send_bytes(rub_socket_t *self, uint64_t peer, const void *data, size_t bytes);

#define RUB_RECEIVED_PARTS 4u

/* A whole message. The spans borrow the message memory, which is owned by this struct until
 * rub_received_release; each part is 8-byte aligned. Do not move the struct in between: short parts
 * lie inside of it. */
typedef struct rub_received {
    uint64_t peer; /* the connection, as a ROUTER numbers it; 0 from a DEALER */
    size_t n_parts;
    rub_span_t parts[RUB_RECEIVED_PARTS];
    _Alignas(16) unsigned char memory[RUB_RECEIVED_PARTS][64]; /* zmq_msg_t, opaque here */
} rub_received_t;

/* Takes the next whole message without waiting: 0, RUB_SOCKET_EMPTY (nothing to release then), or
 * RUB_ENOMEM. Messages of more than RUB_RECEIVED_PARTS parts, or from peers that chose their own
 * routing id, are dropped on the way. */
int rub_socket_receive(rub_socket_t *self, rub_received_t *received);
void rub_received_release(rub_received_t *self); /* a second time does nothing */

/* How many messages were dropped by receive since open. */
uint64_t rub_socket_dropped(const rub_socket_t *self);

/* What to wait for: a socket, or (socket NULL) a file descriptor. */
typedef struct rub_poll {
    rub_socket_t *socket;
    int fd;
    bool readable; /* out */
} rub_poll_t;

#define RUB_POLL_LIMIT 64u

/* Waits until something is readable, at most timeout_ms; returns how many are. 0: none, or a signal
 * came, or a socket had news that was no message (a connection that came or went). At most
 * RUB_POLL_LIMIT items. */
int rub_socket_poll(rub_poll_t *items, size_t n_items, uint64_t timeout_ms);

/* The libzmq socket, for zloop in programs (zmq_*.c and *_main.c only). */
void *rub_socket_handle(rub_socket_t *self);

#endif
