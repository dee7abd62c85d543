/* A session's end of the lane to one shard: none, offered, open, or refused. It begins anew with
 * every HELLO: what was on its way through the lane before is then found in the ring, or asked for
 * again, so a message of an old lane never means anything.
 *
 * One thread: the session's. */
#ifndef RUB_SESSION_LANE_H
#define RUB_SESSION_LANE_H

#include "common/net/host_token.h"
#include "common/net/lane.h"

typedef enum {
    RUB_LANE_NONE = 0, /* the shard has said no HOST since HELLO */
    RUB_LANE_OFFERED,
    RUB_LANE_OPEN,
    RUB_LANE_ELSEWHERE, /* the shard is on another host, or no lane is wanted */
    RUB_LANE_REFUSED    /* it could not be made here, or the shard could not take it */
} rub_session_lane_state_t;

typedef struct rub_session_lane {
    rub_session_lane_state_t state;
    int code; /* why it was refused */
    rub_lane_t *lane;
} rub_session_lane_t;

/* What all lanes of a session share. */
typedef struct rub_session_lanes {
    bool wanted; /* and this host has a token */
    uint8_t host[RUB_HOST_TOKEN_BYTES];
    size_t ring_limit_bytes; /* no lane holds more pushes */
    uint32_t last_number;
} rub_session_lanes_t;

void rub_session_lanes_init(rub_session_lanes_t *self, bool wanted, size_t ring_limit_bytes);

/* Ends it: HELLO is said, or the connection is a new one. */
void rub_session_lane_end(rub_session_lane_t *self);
/* The shard's HOST. Returns the LANE to send, or NULL: nothing to say. */
rub_packet_t *rub_session_lane_host(rub_session_lane_t *self, rub_session_lanes_t *all,
                                    const rub_frame_t *frame);
void rub_session_lane_answer(rub_session_lane_t *self, const rub_frame_t *frame);

/* A packet in the lane; NULL: it belongs on the heap. */
rub_packet_t *rub_session_lane_packet(const rub_session_lane_t *self, const rub_header_t *header,
                                      size_t keys_bytes);
/* If the packet lies in the lane: writes the message that says so. */
bool rub_session_lane_write(const rub_session_lane_t *self, const rub_packet_t *packet,
                            uint8_t out[RUB_SLOT_MESSAGE_BYTES]);
/* A message of which header and slot came: the frame lies in the slot of the lane, which is
 * returned with a reference, until rub_lane_done. NULL: not of this lane, or unreadable. */
rub_lane_t *rub_session_lane_read(const rub_session_lane_t *self, const rub_span_t *part,
                                  uint32_t *slot_p, rub_frame_t *frame);

/* ---- the lane's post boxes ---- */

/* Puts a small message into the shard's box. false: there is no lane, the message is too long or
 * the box is full: it goes through the connection. *knock_p: the shard sleeps and must be knocked
 * up through the connection. */
bool rub_session_lane_put(const rub_session_lane_t *self, const void *bytes, size_t n_bytes,
                          bool *knock_p);
/* A message has gone to the shard through the connection. */
void rub_session_lane_sent(const rub_session_lane_t *self);
/* The box with what the shard says; NULL: there is no open lane. Borrowed until the lane ends. */
rub_post_t *rub_session_lane_box(const rub_session_lane_t *self);

/* What may be on its way through the lane before a push waits for acknowledgements: enough to keep
 * the shard busy, and no more, for what is written far ahead has left the cache when it is read.
 * SIZE_MAX: no lane. */
size_t rub_session_lane_flight(const rub_session_lane_t *self);

#endif
