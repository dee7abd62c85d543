/* A journal of up to two segments: {flags, u16 where the second begins}, bytes. With flag 1 the
 * headers and frames get the CRCs that fit, or no change would ever be looked at. Records come in
 * rising order, and the same ones each time. */
#include "common/base/bytes.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/store/journal_replay.h"
#include "tests/fuzz/fuzz.h"

enum { FLAG_REPAIR = 1, FLAG_SAME_BOOT = 2, LIMIT = 1 << 16, BOOT = 7 };

typedef struct seen {
    uint64_t last_lsn, n, sum;
} seen_t;

static int visit(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                 rub_error_t *err)
{
    seen_t *seen = context;
    (void)err;
    RUB_ASSERT(lsn > seen->last_lsn);
    RUB_ASSERT((uintptr_t)payload % 8 == 0);
    seen->last_lsn = lsn;
    seen->n++;
    seen->sum += rub_hash_bytes(payload, bytes) + type;
    return 0;
}

/* Number from the name as a folder's scan would give it. */
static void repair(uint8_t *data, size_t size, uint64_t number)
{
    if (size < RUB_SEGMENT_HEADER_BYTES) {
        return;
    }
    rub_put_u32(data + 12, 0);
    rub_put_u32(data + 12, rub_crc32c(0, data, RUB_SEGMENT_HEADER_BYTES));
    rub_framed_t record;
    uint64_t last = rub_get_u64(data + 40);
    for (size_t at = RUB_SEGMENT_HEADER_BYTES;
         rub_frame_plausible(data + at, size - at, last, &record); at += record.frame_bytes) {
        uint8_t head[RUB_FRAME_HEADER_BYTES];
        const uint32_t begun =
            rub_frame_begin(head, number, record.lsn, record.type, record.payload_bytes);
        rub_frame_set_crc(data + at, rub_crc32c(begun, data + at + RUB_FRAME_HEADER_BYTES,
                                                record.frame_bytes - RUB_FRAME_HEADER_BYTES));
        last = record.lsn;
    }
}

static int replay(rub_segment_t *const *segments, size_t n, uint64_t boot, seen_t *seen)
{
    rub_replay_end_t end;
    rub_error_t err = {0};
    *seen = (seen_t){0};
    const int rc = rub_replay_segments(segments, n, boot, 0, visit, seen, &end, &err);
    RUB_ASSERT(rc == 0 || rc == RUB_ECORRUPT);
    RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    RUB_ASSERT(rc != 0 || end.n_records == seen->n);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[LIMIT];
    if (size < 3 || size - 3 > LIMIT) {
        return 0;
    }
    const size_t all = size - 3;
    const size_t wanted = rub_get_u16(data + 1);
    const size_t cut = wanted < all ? wanted : all;
    memcpy(bytes, data + 3, all);
    if (data[0] & FLAG_REPAIR) {
        repair(bytes, cut, 1);
        repair(bytes + cut, all - cut, 2);
    }
    rub_segment_t *segments[2] = {NULL, NULL};
    size_t n = 0;
    int rc = rub_segment_open(rub_fuzz_file(0, bytes, cut), 1, &segments[0], NULL);
    n += rc == 0;
    if (rc == 0 && all > cut) {
        rc = rub_segment_open(rub_fuzz_file(1, bytes + cut, all - cut), 2, &segments[1], NULL);
        n += rc == 0;
    }
    for (size_t i = 0; i < n; i++) { /* what a file lacks of its length is read as zeros: slow */
        rc = segments[i]->bytes > LIMIT ? RUB_ELIMIT : rc;
    }
    if (rc == 0) {
        const uint64_t boot = data[0] & FLAG_SAME_BOOT ? BOOT : BOOT + 1;
        seen_t first, second;
        rc = replay(segments, n, boot, &first);
        RUB_ASSERT(replay(segments, n, boot, &second) == rc);
        RUB_ASSERT(first.n == second.n);
        RUB_ASSERT(first.sum == second.sum);
    }
    rub_segment_close(&segments[0]);
    rub_segment_close(&segments[1]);
    return 0;
}
