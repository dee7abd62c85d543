/* A data message as it goes out: one piece of counted memory, [header][keys][values], so that the
 * ring that keeps it for a resend and the socket that sends it share one copy. The count is atomic
 * (libzmq frees from its own thread); nothing else is: fill it before it is shared. */
#ifndef RUB_PACKET_H
#define RUB_PACKET_H

#include "common/wire/header.h"

typedef struct rub_packet rub_packet_t;

/* One reference is the caller's. Keys and values are uninitialised; header is written at once
 * (n_keys and value_bytes as given in it must fit the sizes). NULL when memory is short. */
rub_packet_t *rub_packet_new(const rub_header_t *header, size_t keys_bytes, size_t values_bytes);
rub_packet_t *rub_packet_ref(rub_packet_t *self);
void rub_packet_unref(rub_packet_t **self_p); /* NULL is fine */

const rub_header_t *rub_packet_header(const rub_packet_t *self);
/* Rewrites the header in place (same sizes), before the packet is shared. */
void rub_packet_set_header(rub_packet_t *self, const rub_header_t *header);
uint8_t *rub_packet_keys(rub_packet_t *self);   /* 8-byte aligned */
uint8_t *rub_packet_values(rub_packet_t *self); /* 8-byte aligned */

/* All bytes: header, keys, values, contiguous. */
rub_span_t rub_packet_bytes(const rub_packet_t *self);
/* The message as a receiver sees it; borrows the packet. */
rub_frame_t rub_packet_frame(const rub_packet_t *self);

#endif
