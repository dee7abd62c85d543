/* A lane: slots of shared memory between a session and one shard, for the keys and values of their
 * messages; a message of header and slot's number (RUB_FLAG_SLOT) then says where they are. Such
 * small messages have a post box each way (common/net/post.h); ZeroMQ carries the rest, and wakes.
 *
 *   [head: magic, token, which pull slots are free][push slots][pull slots][two post boxes]
 *
 * The client makes it, writes push slots and reads pull slots; the shard attaches, reads push slots
 * and writes pull slots. A push slot is free again when the client forgets the record, so the ring
 * that keeps records for a resend is the segment itself. A pull slot is the client's from the
 * shard's sending until it says rub_lane_done, by a bit in the head. A slot begins with the
 * message's header, as a packet does: what is read from another slot than was meant is noticed.
 *
 * Trust: the client may change every byte of it at any time. What the shard relies on (how many
 * slots, where they begin) it keeps for itself, and it copies a message before it looks at it
 * (rub_lane_copy). A client that writes where it should not, head and boxes included, garbles its
 * own pushes and answers, nobody else's.
 *
 * A lane belongs to the thread of its session or shard, but packets in it may be released by any.
 */
#ifndef RUB_LANE_H
#define RUB_LANE_H

#include "common/net/post.h"
#include "common/wire/packet.h"

typedef struct rub_lane rub_lane_t;

/* A message of RUB_MESSAGE_VALUES with keys and header; larger ones (a row above 256 KiB) go
 * through the connection. */
#define RUB_LANE_SLOT_BYTES (67u * 4096u)
_Static_assert(RUB_MESSAGE_ROWS_BYTES + RUB_HEADER_BYTES <= RUB_LANE_SLOT_BYTES,
               "a message of rows fits a slot");
#define RUB_LANE_PUSH_SLOTS_MOST 512u
#define RUB_LANE_PULL_SLOTS_MOST 128u

/* What the message LANE says: where the segment is and how it is cut. */
typedef struct rub_lane_offer {
    uint32_t number; /* of this lane, in the session's count */
    uint64_t pid;
    uint32_t descriptor;
    uint32_t n_push, n_pull; /* 1.. each */
    uint8_t token[16];       /* random; stands in the head, too */
} rub_lane_offer_t;

#define RUB_LANE_OFFER_BYTES 36u
/* The number travels in the header's seq, the rest as values. */
void rub_lane_offer_write(const rub_lane_offer_t *offer, uint8_t out[RUB_LANE_OFFER_BYTES]);
/* RUB_EPROTO: of another length. */
int rub_lane_offer_read(const rub_frame_t *frame, rub_lane_offer_t *offer, rub_error_t *err);

/* The client's end. Fills in the offer but for its number and counts, which are given. RUB_ENOMEM,
 * RUB_EIO. */
int rub_lane_create(rub_lane_offer_t *offer, rub_lane_t **self_p, rub_error_t *err);
/* The shard's end. RUB_EREFUSED: no such segment, more slots than are allowed, or not the one that
 * was offered; RUB_ENOMEM. */
int rub_lane_attach(const rub_lane_offer_t *offer, rub_lane_t **self_p, rub_error_t *err);
/* Packets that lie in it keep the memory until they are gone. NULL is fine. */
void rub_lane_close(rub_lane_t **self_p);

rub_lane_t *rub_lane_ref(rub_lane_t *self); /* to be closed, too */

uint32_t rub_lane_number(const rub_lane_t *self);
/* Nobody is at the other end of this attached lane any more. */
bool rub_lane_is_orphaned(const rub_lane_t *self);

/* A packet in a free slot of those this end writes. NULL: none is free, it is small enough for one
 * frame (RUB_INLINE_LIMIT) or too large for a slot: then it belongs on the heap. */
rub_packet_t *rub_lane_packet(rub_lane_t *self, const rub_header_t *header, size_t keys_bytes,
                              size_t values_bytes);
/* Is that packet in this lane? Then its slot. */
bool rub_lane_holds(const rub_lane_t *self, const rub_packet_t *packet, uint32_t *slot_p);

/* A frame that rub_slot_read left without keys and values gets them, from the other end's slot.
 * RUB_EPROTO: there is no such slot, it is too small, or another message is in it; then the frame
 * is as it was.
 *
 * open: they stay in the slot (the client, who trusts its shard). copy: into room, of
 * RUB_LANE_SLOT_BYTES, 16-byte aligned. */
int rub_lane_open(const rub_lane_t *self, uint32_t slot, rub_frame_t *frame, rub_error_t *err);
int rub_lane_copy(const rub_lane_t *self, uint32_t slot, uint8_t *room, rub_frame_t *frame,
                  rub_error_t *err);
/* The client has what it wants of that pull slot. A slot that is not there is ignored. */
void rub_lane_done(rub_lane_t *self, uint32_t slot);

/* This end of the boxes: what it puts messages into, and takes them out of. What goes through the
 * connection is counted from the moment on when the putter made the lane, or said LANE_ANSWER.
 * Borrowed until the lane is closed. */
rub_post_t *rub_lane_out(rub_lane_t *self);
rub_post_t *rub_lane_in(rub_lane_t *self);

#endif
