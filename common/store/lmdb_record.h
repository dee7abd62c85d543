/* Inside of the store: what its files share. lmdb.h goes no further than to those that include
 * this.
 *
 * Keys: 's' and the state's name; 'c', table and chunk number big-endian, so that chunks lie in
 * order; 'f' for the format. Values begin with {CRC32C of key and data, 0}, since LMDB checks no
 * page: a flipped bit must read as RUB_ECORRUPT, not as weights. */
#ifndef RUB_LMDB_RECORD_H
#define RUB_LMDB_RECORD_H

#include "common/store/lmdb_store.h"

#include <lmdb.h>
#include <stdatomic.h>

enum { RUB_STORE_NAME_LIMIT = 200, RUB_STORE_CHUNK_KEY_BYTES = 9, RUB_STORE_VALUE_HEAD_BYTES = 8 };

/* A state put that waits for the last transaction. */
typedef struct rub_store_held {
    uint8_t key[RUB_STORE_NAME_LIMIT + 1];
    size_t key_bytes;
    void *data;
    size_t bytes;
} rub_store_held_t;

struct rub_store {
    char *path;
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t map_bytes;
    MDB_txn *txn;
    uint64_t dirty_bytes;
    rub_store_held_t *held;
    size_t n_held, capacity_held;
    rub_error_t failure; /* sticky, from begin to commit */
    atomic_uint n_pins;  /* while any stands, the map must not move */
};

struct rub_store_pin {
    rub_store_t *store;
    MDB_txn *txn;
};

/* Raises what LMDB returned: RUB_ENOSPC and RUB_ENOMEM are answers, RUB_ECORRUPT is the file's;
 * anything else (RUB_ESTORE) means that we do not know what is on the platter. */
int rub_store_fail(const rub_store_t *self, rub_error_t *err, int rc, const char *what);

/* ---- keys: each returns its bytes ---- */
size_t rub_store_state_key(const char *name, uint8_t key[RUB_STORE_NAME_LIMIT + 1]);
size_t rub_store_chunk_key(uint32_t table, uint32_t chunk, uint8_t key[RUB_STORE_CHUNK_KEY_BYTES]);
/* True, and its numbers, if the key is a chunk's. */
bool rub_store_read_chunk_key(const void *key, size_t key_bytes, uint32_t *table_p,
                              uint32_t *chunk_p);

/* ---- values ---- */
/* {crc, 0, data} into out, of bytes + RUB_STORE_VALUE_HEAD_BYTES. */
void rub_store_write_value(const MDB_val *key, const void *data, size_t bytes, uint8_t *out);
/* RUB_ECORRUPT, naming file and record. */
int rub_store_check_value(const char *path, const void *key, size_t key_bytes, const void *value,
                          size_t bytes, rub_error_t *err);

#endif
