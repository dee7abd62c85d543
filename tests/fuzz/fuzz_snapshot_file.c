/* Files of snapshots, parts and manifests: {kind}, bytes. Any bytes are read or refused; with the
 * high bit of the kind the CRCs are made to fit first. */
#include "common/base/bytes.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/store/snapshot_file.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD_BYTES = 32, BLOCK_HEAD_BYTES = 24, LIMIT = 1 << 16 };

static int visit(void *context, uint32_t section, const uint8_t *payload, size_t n_bytes,
                 rub_error_t *err)
{
    uint64_t *sum = context;
    (void)err;
    RUB_ASSERT((uintptr_t)payload % 8 == 0);
    *sum += section + rub_hash_bytes(payload, n_bytes);
    return 0;
}

static void set_crc(uint8_t *head, size_t head_bytes, size_t payload_bytes)
{
    const uint32_t crc = rub_crc32c(0, head, head_bytes - 4);
    rub_put_u32(head + head_bytes - 4, rub_crc32c(crc, head + head_bytes, payload_bytes));
}

/* CRCs, and the hash over them in the end. */
static void repair(uint8_t *data, size_t size, uint64_t hash)
{
    size_t at = HEAD_BYTES;
    if (size >= HEAD_BYTES) {
        set_crc(data, HEAD_BYTES, 0);
    }
    while (at + BLOCK_HEAD_BYTES <= size &&
           rub_get_u32(data + at) <= size - at - BLOCK_HEAD_BYTES) {
        const uint64_t n = rub_get_u32(data + at);
        if (rub_get_u32(data + at + 4) == 0 && n == 16) {
            rub_put_u64(data + at + BLOCK_HEAD_BYTES + 8, hash);
        }
        set_crc(data + at, BLOCK_HEAD_BYTES, n);
        const uint64_t crc = rub_get_u32(data + at + BLOCK_HEAD_BYTES - 4);
        hash = rub_mix64(hash ^ (crc << 32 ^ n)) + n;
        at += BLOCK_HEAD_BYTES + (n + 7) / 8 * 8;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[LIMIT];
    if (size < 1 || size - 1 > LIMIT) {
        return 0;
    }
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 0x80) {
        repair(bytes, size - 1, data[0] % 2 ? RUB_SNAPSHOT_PART : RUB_SNAPSHOT_MANIFEST);
    }
    const char *path = rub_fuzz_file(0, bytes, size - 1);
    const rub_snapshot_kind_t kind = data[0] % 2 ? RUB_SNAPSHOT_PART : RUB_SNAPSHOT_MANIFEST;
    uint64_t n_bytes = 0, hash = 0, again = 0, sum = 0;
    rub_error_t err = {0};
    const int rc = rub_snapshot_file_read(path, kind, visit, &sum, &n_bytes, &hash, &err);
    RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    if (rc == 0) {
        RUB_ASSERT(n_bytes == size - 1);
        RUB_ASSERT(rub_snapshot_file_read(path, kind, NULL, NULL, &n_bytes, &again, &err) == 0);
        RUB_ASSERT(hash == again);
    }
    return 0;
}
