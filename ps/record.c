/* Records are what survives us, so their bytes are written field by field, little-endian, in one
 * place. Everything that decides a record's effect and is not in the rows stands in it (design,
 * section 5): who, where in the stream, at which clock, and the keys and values as received.
 * Reading trusts nothing: the checksum says that the bytes are what was written, not that this
 * program wrote them. */
#include "ps/record.h"

#include "common/base/error.h"
#include "common/base/mutant.h"

void rub_record_write_head(const rub_record_t *record, uint8_t out[RUB_RECORD_HEAD_BYTES])
{
    rub_put_u32(out, record->rank);
    rub_put_u32(out + 4, record->epoch);
    rub_put_u64(out + 8, record->seq);
    rub_put_u64(out + 16, record->clock);
    rub_put_u64(out + 24, record->minimum);
    rub_put_u32(out + 32, record->flags);
    rub_put_u16(out + 36, record->table);
    rub_put_u16(out + 38, RUB_MUTANT(DELAY_UNWRITTEN) ? 0 : record->delay);
    rub_put_u32(out + 40, record->n_keys);
    rub_put_u32(out + 44, (uint32_t)(record->values_bytes * (record->since ? 2 : 1)));
}

/* The values of a REVISION are two halves. */
static int split(rub_record_t *record, rub_error_t *err)
{
    if (record->values_bytes % (2 * sizeof(float)) != 0) {
        return rub_fail(err, RUB_ECORRUPT,
                        "journal record of rank %u seq %llu: %zu bytes are not two halves of "
                        "float32",
                        record->rank, (unsigned long long)record->seq, record->values_bytes);
    }
    record->values_bytes /= 2;
    record->since = record->values + record->values_bytes;
    return 0;
}

int rub_record_read(rub_record_type_t type, const void *payload, size_t n_bytes,
                    rub_record_t *record, rub_error_t *err)
{
    if (n_bytes < RUB_RECORD_HEAD_BYTES) {
        return rub_fail(err, RUB_ECORRUPT, "journal record: %zu bytes, at least %u expected",
                        n_bytes, RUB_RECORD_HEAD_BYTES);
    }
    const uint8_t *at = payload;
    *record = (rub_record_t){
        .rank = rub_get_u32(at),
        .epoch = rub_get_u32(at + 4),
        .seq = rub_get_u64(at + 8),
        .clock = rub_get_u64(at + 16),
        .minimum = rub_get_u64(at + 24),
        .flags = rub_get_u32(at + 32),
        .table = rub_get_u16(at + 36),
        .delay = rub_get_u16(at + 38),
        .n_keys = rub_get_u32(at + 40),
        .values_bytes = rub_get_u32(at + 44),
    };
    const rub_header_t header = {.flags = record->flags, .n_keys = record->n_keys};
    const uint64_t keys_bytes = rub_header_keys_bytes(&header);
    const uint64_t left = n_bytes - RUB_RECORD_HEAD_BYTES;
    if (keys_bytes > left || left - keys_bytes != record->values_bytes) {
        return rub_fail(err, RUB_ECORRUPT,
                        "journal record of rank %u seq %llu: %zu bytes do not fit %u keys and %zu "
                        "bytes of values",
                        record->rank, (unsigned long long)record->seq, n_bytes, record->n_keys,
                        record->values_bytes);
    }
    record->keys = at + RUB_RECORD_HEAD_BYTES;
    record->keys_bytes = (size_t)keys_bytes;
    record->values = record->keys + keys_bytes;
    return type == RUB_RECORD_REVISION ? split(record, err) : 0;
}

rub_frame_t rub_record_frame(const rub_record_t *record)
{
    return (rub_frame_t){
        .header = {.type = RUB_MSG_PUSH,
                   .table = record->table,
                   .flags = record->flags,
                   .seq = record->seq,
                   .clock = record->clock,
                   .n_keys = record->n_keys,
                   .value_bytes = (uint32_t)record->values_bytes},
        .keys = record->keys,
        .keys_bytes = record->keys_bytes,
        .values = record->values,
        .values_bytes = record->values_bytes,
    };
}

void rub_close_write(const rub_close_record_t *close, uint8_t out[RUB_RECORD_CLOSE_BYTES])
{
    rub_put_u64(out, close->period);
    rub_put_u32(out + 8, close->participants);
    rub_put_u32(out + 12, close->n_pushes);
}

int rub_close_read(const void *payload, size_t n_bytes, rub_close_record_t *close, rub_error_t *err)
{
    if (n_bytes != RUB_RECORD_CLOSE_BYTES) {
        return rub_fail(err, RUB_ECORRUPT, "journal record CLOSE: %zu bytes, %u expected", n_bytes,
                        RUB_RECORD_CLOSE_BYTES);
    }
    const uint8_t *at = payload;
    *close = (rub_close_record_t){.period = rub_get_u64(at),
                                  .participants = rub_get_u32(at + 8),
                                  .n_pushes = rub_get_u32(at + 12)};
    return 0;
}

void rub_delete_write_head(const rub_delete_record_t *record,
                           uint8_t out[RUB_RECORD_DELETE_HEAD_BYTES])
{
    rub_put_u64(out, record->tick);
    rub_put_u32(out + 8, record->table);
    rub_put_u32(out + 12, record->n_keys);
}

int rub_delete_read(const void *payload, size_t n_bytes, rub_delete_record_t *record,
                    rub_error_t *err)
{
    const uint8_t *at = payload;
    const uint64_t n_keys = n_bytes >= RUB_RECORD_DELETE_HEAD_BYTES ? rub_get_u32(at + 12) : 0;
    if (n_bytes < RUB_RECORD_DELETE_HEAD_BYTES ||
        n_bytes - RUB_RECORD_DELETE_HEAD_BYTES != 8 * n_keys) {
        return rub_fail(err, RUB_ECORRUPT, "journal record DELETE: %zu bytes do not fit %llu keys",
                        n_bytes, (unsigned long long)n_keys);
    }
    *record = (rub_delete_record_t){.tick = rub_get_u64(at),
                                    .table = rub_get_u32(at + 8),
                                    .n_keys = (uint32_t)n_keys,
                                    .keys = at + RUB_RECORD_DELETE_HEAD_BYTES};
    return 0;
}
