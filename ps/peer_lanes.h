/* The lanes of one shard: which of its peers shares memory with it, and the private memory into
 * which a message is copied before anybody looks at it.
 *
 * Bounded: RUB_PEER_LANES_LIMIT lanes, each of at most RUB_LANE_PUSH_SLOTS_MOST and
 * RUB_LANE_PULL_SLOTS_MOST slots; RUB_PEER_COPIES messages a turn. A lane ends when its peer says
 * HELLO or offers another one, and, within a second or so, when its maker lets go of it or dies.
 * One thread: the shard's. */
#ifndef RUB_PEER_LANES_H
#define RUB_PEER_LANES_H

#include "common/net/host_token.h"
#include "common/net/lane.h"

#define RUB_PEER_LANES_LIMIT 64u
/* Messages through lanes in one turn: as many copies as stay in a core's second cache, and few
 * enough that acknowledgements leave while the peer still writes: a turn that takes all there is
 * makes shard and session work by turns. */
#define RUB_PEER_COPIES 4u

typedef struct rub_peer_lane {
    uint64_t peer;
    uint64_t number; /* of all that this shard ever took, from 1 */
    rub_lane_t *lane;
} rub_peer_lane_t;

/* A place in a peer's box: rub_post_mark of that lane's. */
typedef struct rub_peer_mark {
    uint64_t number;
    uint32_t at;
} rub_peer_mark_t;

typedef struct rub_peer_lanes {
    bool offered; /* this shard takes lanes, and knows its host */
    uint8_t host[RUB_HOST_TOKEN_BYTES];
    rub_peer_lane_t items[RUB_PEER_LANES_LIMIT];
    size_t n, last; /* last: the one found last */
    uint64_t n_taken;
    size_t next;   /* whose box is looked into first */
    bool borrowed; /* copies live until the turn's end; else each takes the place of the last */
    uint8_t *copies[RUB_PEER_COPIES];
    size_t n_copies; /* made in this turn */
    uint64_t swept_ms;
} rub_peer_lanes_t;

/* wanted: false takes no lanes at all. borrowed: a copy is needed until rub_peer_lanes_reset (a
 * journal borrows it), not only until the next one is made. */
void rub_peer_lanes_init(rub_peer_lanes_t *self, bool wanted, bool borrowed);
void rub_peer_lanes_fini(rub_peer_lanes_t *self);

/* What follows a WELCOME with that window: HOST. NULL: no lanes here, or no memory. */
rub_packet_t *rub_peer_lanes_host(const rub_peer_lanes_t *self, uint64_t window_bytes);
/* A LANE of that peer; always answers by *answer_p (NULL: no memory). Not taken: err says why, and
 * its code is returned. */
int rub_peer_lanes_accept(rub_peer_lanes_t *self, uint64_t peer, const rub_frame_t *frame,
                          rub_packet_t **answer_p, rub_error_t *err);

/* That peer has said HELLO: its lane is over, as it is at the peer's end. What is still in the lane
 * goes through the connection, and so do answers until the peer offers another one. */
void rub_peer_lanes_end(rub_peer_lanes_t *self, uint64_t peer);

/* No copy more can be made in this turn. */
bool rub_peer_lanes_are_full(const rub_peer_lanes_t *self);
/* A message of which only header and slot came: copied, the frame borrows the copy for
 * as long as init was told. RUB_EPROTO; RUB_ENOMEM. */
int rub_peer_lanes_read(rub_peer_lanes_t *self, uint64_t peer, const rub_span_t *part,
                        rub_frame_t *frame, rub_error_t *err);
void rub_peer_lanes_reset(rub_peer_lanes_t *self); /* the turn is over */

/* A packet for that peer, in its lane or, when it has none or no slot is free, on the heap. NULL:
 * no memory. */
rub_packet_t *rub_peer_lanes_packet(rub_peer_lanes_t *self, uint64_t peer,
                                    const rub_header_t *header, size_t values_bytes);
/* If the packet lies in that peer's lane: writes the message that says so, and gives the slot to
 * the peer. */
bool rub_peer_lanes_hand_over(rub_peer_lanes_t *self, uint64_t peer, rub_packet_t *packet,
                              uint8_t out[RUB_SLOT_MESSAGE_BYTES]);

/* ---- post boxes: small messages of those who have a lane ---- */

/* Puts a small message for that peer into its box. false: it has no lane, the message is too long
 * or the box is full: it goes through the connection. *knock_p: the peer sleeps and must be knocked
 * up through the connection. */
bool rub_peer_lanes_put(rub_peer_lanes_t *self, uint64_t peer, const void *bytes, size_t n_bytes,
                        bool *knock_p);
/* A message to, or from, that peer has gone through its connection. */
void rub_peer_lanes_sent(rub_peer_lanes_t *self, uint64_t peer);
void rub_peer_lanes_came(rub_peer_lanes_t *self, uint64_t peer);

/* Before rub_peer_lanes_came: something in the peer's box is older. Then *mark_p is where that
 * ends, and the message from the connection waits until rub_peer_lanes_reached says so: all of that
 * is taken, or the lane is over, whatever the peer has put in its place. */
bool rub_peer_lanes_has_older(rub_peer_lanes_t *self, uint64_t peer, rub_peer_mark_t *mark_p);
bool rub_peer_lanes_reached(rub_peer_lanes_t *self, uint64_t peer, const rub_peer_mark_t *mark);

/* The next message out of a box: of only_peer's, or (NULL) of all boxes in turn. How many bytes; 0:
 * there is none. */
size_t rub_peer_lanes_take(rub_peer_lanes_t *self, const uint64_t *only_peer, uint64_t *peer_p,
                           uint8_t out[RUB_POST_MOST]);
bool rub_peer_lanes_have(const rub_peer_lanes_t *self); /* a message whose turn it is */
/* The shard waits at its sockets from now on; false: it better does not. */
bool rub_peer_lanes_sleep(rub_peer_lanes_t *self);
void rub_peer_lanes_rise(rub_peer_lanes_t *self);

/* Ends lanes whose maker is gone; looks once a second. */
void rub_peer_lanes_sweep(rub_peer_lanes_t *self, uint64_t now_ms);

#endif
