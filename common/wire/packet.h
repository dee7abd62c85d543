/* A data message as it goes out: one piece of counted memory, [header][keys][values], so that the
 * ring that keeps it for a resend and the socket that sends it share one copy; or [header][keys],
 * and values that somebody has lent. The count is atomic (libzmq frees from its own thread);
 * nothing else is: fill it before it is shared. */
#ifndef RUB_PACKET_H
#define RUB_PACKET_H

#include "common/wire/header.h"

#include <stdbool.h>

typedef struct rub_packet rub_packet_t;

/* Memory that a packet may lie in instead of the heap: a slot that its receiver can see, too
 * (common/net/lane.h). 16-byte aligned, room for header, keys and values. release is called once,
 * from whatever thread lets go of the packet last; handed_over: the receiver has the memory now, it
 * must not be used again. */
typedef struct rub_packet_place {
    uint8_t *bytes;
    void (*release)(void *context, uint8_t *bytes, bool handed_over);
    void *context;
} rub_packet_place_t;

/* Values that lie in somebody else's array, which he leaves as it is until release is called: once,
 * from whatever thread lets go of the packet last. */
typedef struct rub_packet_loan {
    const void *values; /* 4-byte aligned */
    void (*release)(void *context);
    void *context;
} rub_packet_loan_t;

/* One reference is the caller's. Keys and values are uninitialised; header is written at once
 * (n_keys and value_bytes as given in it must fit the sizes). NULL when memory is short. */
rub_packet_t *rub_packet_new(const rub_header_t *header, size_t keys_bytes, size_t values_bytes);
/* The same in a place, which it takes on success only. NULL: no memory for what stays on the heap.
 */
rub_packet_t *rub_packet_new_at(const rub_header_t *header, size_t keys_bytes, size_t values_bytes,
                                const rub_packet_place_t *place);
/* The same on the heap with values that are lent: keeps them until release, which it owes on
 * success only. */
rub_packet_t *rub_packet_new_lent(const rub_header_t *header, size_t keys_bytes,
                                  size_t values_bytes, const rub_packet_loan_t *loan);
bool rub_packet_is_lent(const rub_packet_t *self);
/* Where it lies; NULL: on the heap. Borrowed. */
const rub_packet_place_t *rub_packet_place(const rub_packet_t *self);
/* Its place is the receiver's from now on. One thread: whoever sends it there. */
void rub_packet_hand_over(rub_packet_t *self);
rub_packet_t *rub_packet_ref(rub_packet_t *self);
void rub_packet_unref(rub_packet_t **self_p); /* NULL is fine */

const rub_header_t *rub_packet_header(const rub_packet_t *self);
/* Rewrites the header in place (same sizes), before the packet is shared. */
void rub_packet_set_header(rub_packet_t *self, const rub_header_t *header);
uint8_t *rub_packet_keys(rub_packet_t *self);   /* 8-byte aligned */
uint8_t *rub_packet_values(rub_packet_t *self); /* 8-byte aligned; of none that is lent */

/* Its keys are a digest (RUB_FLAG_DIGEST) of the keys of list, a packet of plain ones; it keeps a
 * reference. Once, before the packet is shared. */
void rub_packet_stand_for(rub_packet_t *self, rub_packet_t *list);
/* Has it a digest for keys? */
bool rub_packet_is_short(const rub_packet_t *self);
/* The same message with its plain keys, on the heap; the caller's. Of a short one, to which it
 * keeps a reference if that lies in a place, for its receiver may still be on the way there, or if
 * its values are lent. NULL when memory is short. */
rub_packet_t *rub_packet_in_full(rub_packet_t *self);
/* How many bytes it has with plain keys, short or not. */
size_t rub_packet_full_bytes(const rub_packet_t *self);

/* Bytes of header, keys and values. */
size_t rub_packet_size(const rub_packet_t *self);
/* All of them, contiguous: of none that is lent. */
rub_span_t rub_packet_bytes(const rub_packet_t *self);
/* The frames that rub_frame_read takes: one, or the three of a lent one. Returns how many. */
size_t rub_packet_parts(const rub_packet_t *self, rub_span_t parts[3]);
/* The message as a receiver sees it; borrows the packet. */
rub_frame_t rub_packet_frame(const rub_packet_t *self);

#endif
