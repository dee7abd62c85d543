/* A grant: the leave to write the rows of one PULL message straight into the array of who asks.
 * Session and shard are threads of one process and both hold it; an atomic state says whose the
 * array is:
 *
 *   open -> writing -> done      the shard has gathered the rows there, and says so with ROWS
 *   open -> revoked              the session wants no rows there any more: never written
 *
 * Whoever revokes a grant that is being written waits for the end of that gather, some
 * microseconds. So once a grant is revoked nobody writes there, whatever messages of the pull are
 * still on their way.
 *
 * It travels as the values of a PULL with RUB_FLAG_GRANT: sixteen bytes that are the head of the
 * grant itself, in its own memory. A message within a process is passed by reference, so that
 * whoever reads them stands in the grant, and the message keeps it alive. Bytes that were copied on
 * their way, or came from elsewhere, do not lie where they say (rub_grant_find). That keeps
 * mistakes out, not enemies: a grant is looked for only in messages from within the process
 * (rub_frame_read_in_process).
 *
 * References may be let go of in any thread; else one thread is the session's, one the shard's. */
#ifndef RUB_GRANT_H
#define RUB_GRANT_H

#include "common/wire/packet.h"

typedef struct rub_grant rub_grant_t;

#define RUB_GRANT_BYTES 16u
/* Of the memory that both read: another build's grants are none of ours. WELCOME tells the shard's.
 */
#define RUB_GRANT_LAYOUT 1u

/* Where the rows go: row i to values + positions[i] * width, or (positions NULL) one behind the
 * other. Of a range each element is a row of width 1, and there are no positions. Borrowed until
 * the grant is done or revoked. */
typedef struct rub_grant_place {
    float *values;
    const uint32_t *positions;
    size_t n_rows;
    uint32_t width;
} rub_grant_place_t;

/* Does the address name a socket that only sockets of the same process and context reach? */
bool rub_address_is_in_process(const char *address);

/* Revoked, until it is opened. One reference is the caller's; NULL: memory is short. */
rub_grant_t *rub_grant_new(void);
rub_grant_t *rub_grant_ref(rub_grant_t *self);
void rub_grant_unref(rub_grant_t **self_p); /* NULL is fine */

/* ---- the session's thread ---- */
/* A PULL that bears it. header: with RUB_FLAG_GRANT and value_bytes RUB_GRANT_BYTES. The packet
 * keeps a reference. NULL: memory is short. */
rub_packet_t *rub_grant_packet(rub_grant_t *self, const rub_header_t *header, size_t keys_bytes);
/* Keeps the place. Once, before the packet is sent. */
void rub_grant_open(rub_grant_t *self, const rub_grant_place_t *place);
/* Afterwards nobody writes there, and whoever wrote has ended: the array is the session's. True:
 * rows were written, all of them. Waits for a gather; never for more. */
bool rub_grant_revoke(rub_grant_t *self);
bool rub_grant_is_done(const rub_grant_t *self);

/* ---- the shard's thread ---- */
/* The grant whose head these bytes are; NULL: they are not. Borrowed from the message. */
rub_grant_t *rub_grant_find(const void *values, size_t n_bytes);
/* Begins to write, if it is open and so many rows of that width are awaited; is_range: without
 * positions. False: nothing may be written, the rows go into the answer. Whoever has taken it ends
 * soon with rub_grant_finish: somebody may be waiting. */
bool rub_grant_take(rub_grant_t *self, size_t n_rows, uint32_t width, bool is_range,
                    rub_grant_place_t *place);
void rub_grant_finish(rub_grant_t *self);

#endif
