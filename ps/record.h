/* Payload layouts of journal records: pinned for ever. Framing, checksum, lsn and type are the
 * journal's (common/store/journal_file.h).
 *
 * - A record of a stream: head (48 bytes), keys, values. Head: rank u32, epoch u32, seq u64, clock
 * u64, minimum u64, flags u32, table u16, delay u16, n_keys u32, value_bytes u32.
 * - PUSH: as received; flags are those of its header: range, and the codec that its values are in.
 * - REVISION: a PUSH whose values are float32, twice as many: the gradients, and then for each of
 *   them the sum of those that were applied since its rank was given the weight.
 * - CLOCK, IDLE, BYE: values are the cursor; flags of BYE: RUB_RECORD_DONE, of IDLE:
 *   RUB_RECORD_WHOLE.
 * - RESUME: clock is the wanted one.
 * - REFUSED: values are {code i32, 0 u32}.
 * - LOST: seq is the first lost, clock where to go on, values are {last lost u64}.
 * - CLOSE: period u64, participants u32, n_pushes u32.
 * - VIEW: the VIEW message as common/wire/control.h encodes it.
 * - SYNC: lsn u64 that was on the platter.
 * - DELETE: tick u64 at which the table's policy named the rows, table u32, n_keys u32, keys.
 *
 * delay (PUSH, REVISION; else, and in older journals, 0): how many periods of other ranks had ended
 * here between the first pull for this push's period and the push, UINT16_MAX for more. Under bsp
 * 0.
 *
 * minimum: over counted ranks when the record was made (for people who read journals). Keys start
 * 8-aligned in the payload, values behind them 8-aligned too. Pure. */
#ifndef RUB_RECORD_H
#define RUB_RECORD_H

#include "common/wire/header.h"
#include "ps/shard.h"

#define RUB_RECORD_HEAD_BYTES 48u
#define RUB_RECORD_DONE (1u << 31)  /* BYE: its work is finished; apart from RUB_FLAG_* */
#define RUB_RECORD_WHOLE (1u << 30) /* IDLE: as RUB_IDLE_WHOLE */
#define RUB_RECORD_CLOSE_BYTES 16u
#define RUB_RECORD_SYNC_BYTES 8u
#define RUB_RECORD_DELETE_HEAD_BYTES 16u
/* What the journal adds to a payload, from above: frame, padding. */
#define RUB_RECORD_OVERHEAD 64u

/* A record of a session's stream, borrowed. */
typedef struct rub_record {
    uint32_t rank, epoch;
    uint64_t seq, clock, minimum;
    uint32_t flags;
    uint16_t table, delay;
    uint32_t n_keys;
    const uint8_t *keys;
    size_t keys_bytes;
    const uint8_t *values;
    size_t values_bytes;
    const uint8_t *since; /* REVISION: the sums, as many bytes as values; else NULL */
} rub_record_t;

static inline bool rub_record_is_push(rub_record_type_t type)
{
    return type == RUB_RECORD_PUSH || type == RUB_RECORD_REVISION;
}

void rub_record_write_head(const rub_record_t *record, uint8_t out[RUB_RECORD_HEAD_BYTES]);
/* Of any type but CLOSE, VIEW, SYNC and DELETE. The record borrows payload. RUB_ECORRUPT: too
 * short, or lengths that disagree. */
int rub_record_read(rub_record_type_t type, const void *payload, size_t n_bytes,
                    rub_record_t *record, rub_error_t *err);
/* The PUSH inside as the table's readers want it. */
rub_frame_t rub_record_frame(const rub_record_t *record);

/* Whether a record with the one lsn may stand behind one with the other: the next number, or the
 * first of a later incarnation. */
static inline bool rub_record_follows(uint64_t lsn, uint64_t before)
{
    const bool first = (lsn & ((UINT64_C(1) << 40) - 1)) == 1;
    return lsn == before + 1 || (first && lsn >> 40 > before >> 40);
}

typedef struct rub_close_record {
    uint64_t period;
    uint32_t participants, n_pushes;
} rub_close_record_t;
void rub_close_write(const rub_close_record_t *close, uint8_t out[RUB_RECORD_CLOSE_BYTES]);
int rub_close_read(const void *payload, size_t n_bytes, rub_close_record_t *close,
                   rub_error_t *err); /* RUB_ECORRUPT */

typedef struct rub_delete_record {
    uint64_t tick;
    uint32_t table, n_keys;
    const uint8_t *keys; /* n_keys x u64, behind the head; borrowed */
} rub_delete_record_t;
void rub_delete_write_head(const rub_delete_record_t *record,
                           uint8_t out[RUB_RECORD_DELETE_HEAD_BYTES]);
/* The record borrows payload. RUB_ECORRUPT: too short, or not as many keys as it says. */
int rub_delete_read(const void *payload, size_t n_bytes, rub_delete_record_t *record,
                    rub_error_t *err);

#endif
