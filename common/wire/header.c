/* The data plane's 48 bytes.
 *
 * Layout (little-endian, every field aligned to its size): version u8, type u8, table u16, flags
 * u32, seq u64, clock u64, mark u64, lsn u64, n_keys u32, value_bytes u32. Keys are multiples of 8
 * bytes, so in a message of one frame the values stand as aligned as the frame itself.
 *
 * Invariant: a frame that was read has exactly the keys and values its header announces, all inside
 * the parts it came from, none above RUB_MESSAGE_LIMIT. Whoever gets a rub_frame_t checks meanings,
 * never lengths again. */
#include "common/wire/header.h"

#include "common/base/error.h"
#include "common/wire/grant.h"
#include "common/wire/key_digest.h"

enum { ONE_FRAME = 1, THREE_FRAMES = 3 };

void rub_header_write(const rub_header_t *header, uint8_t out[RUB_HEADER_BYTES])
{
    out[0] = RUB_PROTOCOL;
    out[1] = header->type;
    rub_put_u16(out + 2, header->table);
    rub_put_u32(out + 4, header->flags);
    rub_put_u64(out + 8, header->seq);
    rub_put_u64(out + 16, header->clock);
    rub_put_u64(out + 24, header->mark);
    rub_put_u64(out + 32, header->lsn);
    rub_put_u32(out + 40, header->n_keys);
    rub_put_u32(out + 44, header->value_bytes);
}

uint64_t rub_header_keys_bytes(const rub_header_t *header)
{
    if ((header->flags & RUB_FLAG_PACKED) != 0) {
        return header->mark;
    }
    if ((header->flags & RUB_FLAG_DIGEST) != 0) {
        return RUB_KEY_DIGEST_BYTES;
    }
    return (header->flags & RUB_FLAG_RANGE) != 0 ? 16 : 8 * (uint64_t)header->n_keys;
}

static bool is_data_message(uint8_t type)
{
#define RUB_DATA(NAME, number, ...) case (number):
    switch (type) {
#include "common/wire/proto.def"
        return true;
    default:
        return false;
    }
#undef RUB_DATA
}

/* Packed keys are fewer bytes than plain ones, and unpacked no more than a message may have. A key
 * takes a byte at least: a few bytes on the wire make nobody reserve room for more keys than that.
 */
static int check_packed(const rub_header_t *header, rub_error_t *err)
{
    const uint64_t plain_bytes = 8 * (uint64_t)header->n_keys;
    if ((header->flags & RUB_FLAG_RANGE) != 0) {
        return rub_fail(err, RUB_EPROTO, "%s with a range says that its keys are packed",
                        rub_message_name(header->type));
    }
    if (header->mark % 8 != 0 || header->mark < header->n_keys || header->mark >= plain_bytes ||
        plain_bytes > RUB_MESSAGE_LIMIT) {
        return rub_fail(err, RUB_EPROTO,
                        "%s with %u keys in %llu bytes, expected a multiple of 8, 1 to below 8 a "
                        "key, and at most %u keys",
                        rub_message_name(header->type), header->n_keys,
                        (unsigned long long)header->mark, RUB_MESSAGE_LIMIT / 8);
    }
    return RUB_OK;
}

/* A digest stands for plain keys, and only these are remembered; no more of them than a message may
 * have. */
static int check_list(const rub_header_t *header, rub_error_t *err)
{
    const uint32_t others = RUB_FLAG_RANGE | RUB_FLAG_PACKED;
    const uint32_t both = RUB_FLAG_DIGEST | RUB_FLAG_REMEMBER;
    if ((header->flags & others) != 0 || (header->flags & both) == both) {
        return rub_fail(err, RUB_EPROTO, "%s says of its keys two things that exclude each other",
                        rub_message_name(header->type));
    }
    if (8 * (uint64_t)header->n_keys > RUB_MESSAGE_LIMIT) {
        return rub_fail(err, RUB_EPROTO, "%s means a list of %u keys, at most %u",
                        rub_message_name(header->type), header->n_keys, RUB_MESSAGE_LIMIT / 8);
    }
    return RUB_OK;
}

/* Takes the fields out of 48 bytes; refuses what no header of ours says. known: flags; of them
 * RUB_FLAG_GRANT where grants may be. */
static int read_header(const uint8_t *p, uint32_t known, rub_header_t *header, rub_error_t *err)
{
    if (p[0] != RUB_PROTOCOL) {
        return rub_fail(err, RUB_EPROTO, "data message of protocol version %u, expected %u", p[0],
                        RUB_PROTOCOL);
    }
    if (!is_data_message(p[1])) {
        return rub_fail(err, RUB_EPROTO, "data message of unknown type %u", p[1]);
    }
    *header = (rub_header_t){
        .type = p[1],
        .table = rub_get_u16(p + 2),
        .flags = rub_get_u32(p + 4),
        .seq = rub_get_u64(p + 8),
        .clock = rub_get_u64(p + 16),
        .mark = rub_get_u64(p + 24),
        .lsn = rub_get_u64(p + 32),
        .n_keys = rub_get_u32(p + 40),
        .value_bytes = rub_get_u32(p + 44),
    };
    if (header->type == RUB_MSG_PUSH || header->type == RUB_MSG_PULL ||
        header->type == RUB_MSG_ROWS) {
        known |= RUB_FLAG_CODEC;
    }
    if (header->type != RUB_MSG_PULL && header->type != RUB_MSG_ROWS) {
        known &= ~(uint32_t)RUB_FLAG_GRANT;
    }
    known |= header->type == RUB_MSG_PUSH ? RUB_FLAG_PACKED : 0;
    if (header->type == RUB_MSG_PUSH || header->type == RUB_MSG_PULL) {
        known |= RUB_FLAG_DIGEST | RUB_FLAG_REMEMBER;
    }
    if ((header->flags & ~known) != 0) {
        /* A flag changes what a message means; half understood it must not pass. */
        return rub_fail(err, RUB_EPROTO, "%s has flags %x, of which %x are known",
                        rub_message_name(header->type), header->flags, known);
    }
    if ((header->flags & RUB_FLAG_RANGE) != 0 && header->n_keys != 1) {
        return rub_fail(err, RUB_EPROTO, "%s with a range says %u keys, expected 1",
                        rub_message_name(header->type), header->n_keys);
    }
    int rc = (header->flags & RUB_FLAG_PACKED) != 0 ? check_packed(header, err) : RUB_OK;
    if (!rc && (header->flags & (RUB_FLAG_DIGEST | RUB_FLAG_REMEMBER)) != 0) {
        rc = check_list(header, err);
    }
    return rc;
}

static int check_limits(const rub_span_t *parts, size_t n_parts, rub_error_t *err)
{
    if (n_parts != ONE_FRAME && n_parts != THREE_FRAMES) {
        return rub_fail(err, RUB_EPROTO, "data message of %zu frames, expected 1 or 3", n_parts);
    }
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].bytes > RUB_MESSAGE_LIMIT) {
            return rub_fail(err, RUB_EPROTO, "data frame of %zu bytes, limit %u", parts[i].bytes,
                            RUB_MESSAGE_LIMIT);
        }
    }
    if (parts[0].bytes < RUB_HEADER_BYTES) {
        return rub_fail(err, RUB_EPROTO, "data message of %zu bytes, its header alone has %u",
                        parts[0].bytes, RUB_HEADER_BYTES);
    }
    return RUB_OK;
}

static int read_frame(const rub_span_t *parts, size_t n_parts, uint32_t known, rub_frame_t *frame,
                      rub_error_t *err)
{
    *frame = (rub_frame_t){0};
    int rc = check_limits(parts, n_parts, err);
    if (rc != 0) {
        return rc;
    }
    rub_header_t header;
    rc = read_header(parts[0].data, known, &header, err);
    if (rc != 0) {
        return rc;
    }
    const uint64_t keys_bytes = rub_header_keys_bytes(&header);
    const uint8_t *first = parts[0].data;
    bool agrees;
    if (n_parts == ONE_FRAME) {
        agrees = parts[0].bytes == RUB_HEADER_BYTES + keys_bytes + header.value_bytes;
    } else {
        agrees = parts[0].bytes == RUB_HEADER_BYTES && parts[1].bytes == keys_bytes &&
                 parts[2].bytes == header.value_bytes;
    }
    if (!agrees) {
        return rub_fail(err, RUB_EPROTO,
                        "%s announces %llu bytes of keys and %u of values, its %zu frames differ",
                        rub_message_name(header.type), (unsigned long long)keys_bytes,
                        header.value_bytes, n_parts);
    }
    frame->header = header;
    frame->keys_bytes = (size_t)keys_bytes;
    frame->values_bytes = header.value_bytes;
    frame->keys = n_parts == ONE_FRAME ? first + RUB_HEADER_BYTES : parts[1].data;
    frame->values = n_parts == ONE_FRAME ? frame->keys + frame->keys_bytes : parts[2].data;
    return RUB_OK;
}

int rub_frame_read(const rub_span_t *parts, size_t n_parts, rub_frame_t *frame, rub_error_t *err)
{
    return read_frame(parts, n_parts, RUB_FLAG_RANGE, frame, err);
}

int rub_frame_read_in_process(const rub_span_t *parts, size_t n_parts, rub_frame_t *frame,
                              rub_error_t *err)
{
    const int rc = read_frame(parts, n_parts, RUB_FLAG_RANGE | RUB_FLAG_GRANT, frame, err);
    if (rc != 0 || frame->header.type != RUB_MSG_PULL ||
        (frame->header.flags & RUB_FLAG_GRANT) == 0) {
        return rc;
    }
    frame->grant = rub_grant_find(frame->values, frame->values_bytes);
    if (!frame->grant) {
        return rub_fail(err, RUB_EPROTO,
                        "PULL says that its %zu bytes of values are a grant, and they are none",
                        frame->values_bytes);
    }
    frame->header.flags &= ~(uint32_t)RUB_FLAG_GRANT;
    frame->header.value_bytes = 0;
    frame->values = NULL;
    frame->values_bytes = 0;
    return RUB_OK;
}

void rub_slot_write(const rub_header_t *header, rub_slot_t slot,
                    uint8_t out[RUB_SLOT_MESSAGE_BYTES])
{
    rub_header_write(header, out);
    rub_put_u32(out + 4, header->flags | RUB_FLAG_SLOT);
    rub_put_u32(out + RUB_HEADER_BYTES, slot.lane);
    rub_put_u32(out + RUB_HEADER_BYTES + 4, slot.slot);
}

bool rub_slot_is_meant(const rub_span_t *parts, size_t n_parts)
{
    return n_parts == ONE_FRAME && parts[0].bytes == RUB_SLOT_MESSAGE_BYTES &&
           (rub_get_u32((const uint8_t *)parts[0].data + 4) & RUB_FLAG_SLOT) != 0;
}

int rub_slot_read(const rub_span_t *part, rub_slot_t *slot, rub_frame_t *frame, rub_error_t *err)
{
    *frame = (rub_frame_t){0};
    int rc = check_limits(part, ONE_FRAME, err);
    if (!rc && part->bytes != RUB_SLOT_MESSAGE_BYTES) {
        rc = rub_fail(err, RUB_EPROTO, "data message of %zu bytes in a lane, expected %u",
                      part->bytes, RUB_SLOT_MESSAGE_BYTES);
    }
    const uint8_t *bytes = part->data;
    rub_header_t header;
    rc = rc ? rc : read_header(bytes, RUB_FLAG_RANGE | RUB_FLAG_SLOT, &header, err);
    if (rc != 0) {
        return rc;
    }
    header.flags &= ~(uint32_t)RUB_FLAG_SLOT;
    const uint64_t keys_bytes = rub_header_keys_bytes(&header);
    if (keys_bytes > RUB_MESSAGE_LIMIT || header.value_bytes > RUB_MESSAGE_LIMIT) {
        return rub_fail(err, RUB_EPROTO,
                        "%s announces %llu bytes of keys and %u of values, limit %u",
                        rub_message_name(header.type), (unsigned long long)keys_bytes,
                        header.value_bytes, RUB_MESSAGE_LIMIT);
    }
    *slot = (rub_slot_t){.lane = rub_get_u32(bytes + RUB_HEADER_BYTES),
                         .slot = rub_get_u32(bytes + RUB_HEADER_BYTES + 4)};
    frame->header = header;
    frame->keys_bytes = (size_t)keys_bytes;
    frame->values_bytes = header.value_bytes;
    return RUB_OK;
}
