/* The data plane's fixed header and the constants that both planes share. Messages:
 * common/wire/proto.def. */
#ifndef RUB_HEADER_H
#define RUB_HEADER_H

#include "common/base/bytes.h"
#include "include/rubato.h"

#include <stdbool.h>

#define RUB_PROTOCOL 1u /* first byte of every header */
#define RUB_HEADER_BYTES 48u
#define RUB_INLINE_LIMIT 8192u /* up to here a data message is one frame */
#define RUB_MESSAGE_VALUES                                                                         \
    (256u * 1024u) /* push and pull messages are cut at about so many bytes of values */
#define RUB_MESSAGE_LIMIT (1024u * 1024u) /* no frame is longer */
#define RUB_CONTROL_LIMIT (64u * 1024u)
#define RUB_CURSOR_LIMIT 64u

#define RUB_DATA(name, number, ...) RUB_MSG_##name = (number),
typedef enum rub_message {
#include "common/wire/proto.def"
} rub_message_t;
#undef RUB_DATA

enum {
    RUB_FLAG_RANGE =
        1u, /* keys hold {first u64, count u64}, elements of a dense table; n_keys = 1 */
    /* The message is the header and a rub_slot_t; header, keys and values lie in that slot of a
     * lane (common/net/lane.h). Only between peers that agreed on one. */
    RUB_FLAG_SLOT = 2u,
    /* Of PUSH by keys: they are packed (common/wire/key_pack.h) into as many bytes as mark says. */
    RUB_FLAG_PACKED = 8u,
    /* Of PUSH and PULL by keys, to a shard whose WELCOME said that it knows lists: instead of the
     * n_keys keys stand the 16 bytes of their digest (common/wire/key_digest.h). */
    RUB_FLAG_DIGEST = 16u,
    /* The same, with plain keys: they may come again as their digest, on this connection. */
    RUB_FLAG_REMEMBER = 32u,
    /* Within one process only. Of PULL: its values are a grant (common/wire/grant.h). Of ROWS: the
     * rows are where that grant wants them, and not in the message. */
    RUB_FLAG_GRANT = 64u,
    /* The codec of PUSH's and ROWS' values, or the one that PULL asks for (common/num/codec.h). Any
     * number passes here; whoever reads values refuses the unknown with RUB_ECODEC. */
    RUB_FLAG_CODEC_SHIFT = 8,
    RUB_FLAG_CODEC = 0xff00u
};

enum { RUB_RANK_LIVE = 0, RUB_RANK_GONE = 1, RUB_RANK_DONE = 2 };
enum {
    RUB_JOB_GATHERING = 0,
    RUB_JOB_RUNNING = 1,
    RUB_JOB_FINISHING = 2,
    RUB_JOB_DONE = 3,
    RUB_JOB_FAILED = 4
};
enum { RUB_REDUCE_MEAN = 0, RUB_REDUCE_SUM = 1, RUB_REDUCE_EACH = 2 };
enum { RUB_DEAL_PIECE = 0, RUB_DEAL_WAIT = 1, RUB_DEAL_END = 2 };
enum { RUB_DURABILITY_NONE = 0, RUB_DURABILITY_JOURNAL = 1, RUB_DURABILITY_SYNC = 2 };
/* Of a session when its shard was pinned: something was pushed in its open period; it is idle; its
 * codecs keep nothing back while it is (RUB_IDLE_WHOLE), or its stream has ended. */
enum { RUB_PINNED_PUSHED = 1, RUB_PINNED_IDLE = 2, RUB_PINNED_WHOLE = 4 };
/* The mark of IDLE: the session's codecs keep nothing back, and will not until RESUME. */
enum { RUB_IDLE_WHOLE = 1 };
/* An id that no pull ever has: a CANCEL of it is only a sign of life. */
#define RUB_NO_REQUEST UINT64_MAX
/* How far a snapshot is: shards are pinned; the cut stands and is being reached and folded; the
 * manifest is written; it was given up. The last two are final. */
enum {
    RUB_SNAPSHOT_PINNING = 1,
    RUB_SNAPSHOT_CUT = 2,
    RUB_SNAPSHOT_WHOLE = 3,
    RUB_SNAPSHOT_GIVEN_UP = 4
};

typedef struct rub_header {
    uint8_t type; /* RUB_MSG_* */
    uint16_t table;
    uint32_t flags;
    uint64_t seq, clock, mark, lsn;
    uint32_t n_keys; /* u64 keys that follow; with RUB_FLAG_RANGE 1, and 16 bytes follow; with
                        RUB_FLAG_PACKED in mark bytes; with RUB_FLAG_DIGEST 16 stand for them */
    uint32_t value_bytes;
} rub_header_t;

/* A whole data message, borrowed: keys (little-endian u64) and values as they stand on the wire.
 * values is 4-byte aligned. */
typedef struct rub_frame {
    rub_header_t header;
    const uint8_t *keys;
    size_t keys_bytes;
    const uint8_t *values;
    size_t values_bytes;
    struct rub_grant *grant; /* of a PULL within one process; else NULL. As borrowed as the rest */
} rub_frame_t;

/* Where the rest of a message with RUB_FLAG_SLOT lies. */
typedef struct rub_slot {
    uint32_t lane; /* its number, as LANE said */
    uint32_t slot;
} rub_slot_t;
#define RUB_SLOT_MESSAGE_BYTES (RUB_HEADER_BYTES + 8u)

/* Rows of that width in a message: as many values as fit RUB_MESSAGE_VALUES, and at most
 * RUB_MESSAGE_ROWS_BYTES with their keys, so that 1024 rows of 64 values are one message and not
 * one and a rest. At least 1. */
#define RUB_MESSAGE_ROWS_BYTES (RUB_MESSAGE_VALUES + 8192u)
static inline uint32_t rub_message_rows(uint32_t width)
{
    const uint64_t row_bytes = (uint64_t)width * sizeof(float);
    const uint64_t by_values = RUB_MESSAGE_VALUES / (row_bytes + (row_bytes == 0));
    const uint64_t by_all = RUB_MESSAGE_ROWS_BYTES / (row_bytes + 8);
    const uint64_t n = by_values < by_all ? by_values : by_all;
    return n < 1 ? 1 : (uint32_t)n;
}

void rub_header_write(const rub_header_t *header, uint8_t out[RUB_HEADER_BYTES]);

/* Bytes of keys that a header announces (u64, cannot overflow). */
uint64_t rub_header_keys_bytes(const rub_header_t *header);

/* Reads a message of one frame, or of three. Refuses (RUB_EPROTO) a wrong version or type, unknown
 * flags, lengths that do not agree with the header, anything above RUB_MESSAGE_LIMIT. The frame
 * borrows the parts. */
int rub_frame_read(const rub_span_t *parts, size_t n_parts, rub_frame_t *frame, rub_error_t *err);
/* The same of a message that came from within this process, and by no other way: it may bear a
 * grant, which is found in its memory. A PULL's frame then has the grant and neither its flag nor
 * values. */
int rub_frame_read_in_process(const rub_span_t *parts, size_t n_parts, rub_frame_t *frame,
                              rub_error_t *err);

/* A message whose keys and values are in a slot. header is as without a lane. */
void rub_slot_write(const rub_header_t *header, rub_slot_t slot,
                    uint8_t out[RUB_SLOT_MESSAGE_BYTES]);
/* Does it say that it is one? Else rub_frame_read reads it. */
bool rub_slot_is_meant(const rub_span_t *parts, size_t n_parts);
/* Reads one: the header as without a lane, and how many bytes of keys and values there are; keys
 * and values are NULL, for they are still to be found. Refuses as rub_frame_read does. */
int rub_slot_read(const rub_span_t *part, rub_slot_t *slot, rub_frame_t *frame, rub_error_t *err);

/* The name of a message number of either plane ("PUSH", "JOIN"); "?" when unknown. */
const char *rub_message_name(uint32_t number);

static inline uint32_t rub_codec_of_flags(uint32_t flags)
{
    return (flags & RUB_FLAG_CODEC) >> RUB_FLAG_CODEC_SHIFT;
}

static inline uint32_t rub_codec_flags(uint32_t codec)
{
    return codec << RUB_FLAG_CODEC_SHIFT & RUB_FLAG_CODEC;
}

static inline uint64_t rub_rank_epoch(uint32_t rank, uint32_t epoch)
{
    return (uint64_t)rank << 32 | epoch;
}

#endif
