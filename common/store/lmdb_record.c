/* The shape of a record in LMDB: how keys sort, and what proves that a value is what was put. The
 * checksum covers the key too, so that a value that ended up under another key is found out, and it
 * is computed over the data alone, so that it can be checked where LMDB shows it, without a copy.
 *
 * Pinned for ever: stores of any age are read by these. */
#include "common/store/lmdb_record.h"

#include "common/base/bytes.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"

#include <errno.h>

static int code_of(int rc)
{
    return rc == ENOSPC || rc == EDQUOT || rc == EFBIG || rc == MDB_MAP_FULL ? RUB_ENOSPC
           : rc == ENOMEM                                                    ? RUB_ENOMEM
           : rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
                   rc == MDB_VERSION_MISMATCH
               ? RUB_ECORRUPT
               : RUB_ESTORE;
}

int rub_store_fail(const rub_store_t *self, rub_error_t *err, int rc, const char *what)
{
    return rub_fail(err, code_of(rc), "store %s: %s: %s", self->path, what, mdb_strerror(rc));
}

size_t rub_store_state_key(const char *name, uint8_t key[RUB_STORE_NAME_LIMIT + 1])
{
    const size_t bytes = strnlen(name, RUB_STORE_NAME_LIMIT);
    key[0] = 's';
    memcpy(key + 1, name, bytes);
    return bytes + 1;
}

static void put_be32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static uint32_t get_be32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

size_t rub_store_chunk_key(uint32_t table, uint32_t chunk, uint8_t key[RUB_STORE_CHUNK_KEY_BYTES])
{
    key[0] = 'c';
    put_be32(key + 1, table);
    put_be32(key + 5, chunk);
    return RUB_STORE_CHUNK_KEY_BYTES;
}

bool rub_store_read_chunk_key(const void *key, size_t key_bytes, uint32_t *table_p,
                              uint32_t *chunk_p)
{
    const uint8_t *k = key;
    if (key_bytes != RUB_STORE_CHUNK_KEY_BYTES || k[0] != 'c') {
        return false;
    }
    *table_p = get_be32(k + 1);
    *chunk_p = get_be32(k + 5);
    return true;
}

static uint32_t value_crc(const void *key, size_t key_bytes, const void *data, size_t bytes)
{
    return rub_crc32c(rub_crc32c(0, key, key_bytes), data, bytes);
}

void rub_store_write_value(const MDB_val *key, const void *data, size_t bytes, uint8_t *out)
{
    rub_put_u32(out, value_crc(key->mv_data, key->mv_size, data, bytes));
    rub_put_u32(out + 4, 0);
    if (bytes > 0) {
        memcpy(out + RUB_STORE_VALUE_HEAD_BYTES, data, bytes);
    }
}

int rub_store_check_value(const char *path, const void *key, size_t key_bytes, const void *value,
                          size_t bytes, rub_error_t *err)
{
    const uint8_t *data = value;
    if (bytes >= RUB_STORE_VALUE_HEAD_BYTES &&
        rub_get_u32(data) == value_crc(key, key_bytes, data + RUB_STORE_VALUE_HEAD_BYTES,
                                       bytes - RUB_STORE_VALUE_HEAD_BYTES)) {
        return 0;
    }
    uint32_t table, chunk;
    if (rub_store_read_chunk_key(key, key_bytes, &table, &chunk)) {
        return rub_fail(err, RUB_ECORRUPT, "store %s: chunk %u of table %u is damaged (%zu bytes)",
                        path, chunk, table, bytes);
    }
    return rub_fail(err, RUB_ECORRUPT, "store %s: record '%.*s' is damaged (%zu bytes)", path,
                    (int)key_bytes, (const char *)key, bytes);
}
