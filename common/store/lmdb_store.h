/* One LMDB environment as Rubato uses it: named small states and numbered chunks, each value with
 * its CRC32C (LMDB has no page checksums). A write transaction has a sticky error: put what you
 * like, look once at commit.
 *
 * LMDB 0.9.24: default sync flags only (design, section 8). One open per process. Values are bound
 * to one thread per transaction. */
#ifndef RUB_LMDB_STORE_H
#define RUB_LMDB_STORE_H

#include "common/base/bytes.h"
#include "include/rubato.h"

typedef struct rub_store rub_store_t;

/* Opens or makes folder/data.mdb. RUB_ESTORE, RUB_ENOSPC, RUB_ECORRUPT (foreign file, newer
 * format). The caller holds the folder's lock. */
int rub_store_open(const char *folder, rub_store_t **self_p, rub_error_t *err);
/* Opens what is there to be read; changes nothing, not even LMDB's lock file. The caller sees to it
 * that nobody writes. RUB_ESTORE when there is no store; else as rub_store_open. */
int rub_store_open_readonly(const char *folder, rub_store_t **self_p, rub_error_t *err);
void rub_store_close(rub_store_t **self_p);

/* What a look at a whole store found. */
typedef struct rub_store_findings {
    uint64_t transaction; /* the newest committed one */
    uint64_t n_pages, n_used, n_free, page_bytes;
    uint64_t n_values, value_bytes;
    uint64_t n_faults;
} rub_store_findings_t;

/* Looks at every page and every value of the store in folder, which nobody writes to, without
 * LMDB: a damaged file can not hurt. fault (may be NULL: the first ends it) hears of each fault.
 * RUB_ECORRUPT: the first one; RUB_ESTORE, RUB_ENOMEM. */
int rub_store_inspect(const char *folder, void (*fault)(void *context, const rub_error_t *fault),
                      void *context, rub_store_findings_t *findings, rub_error_t *err);

/* One write transaction at a time. Grows the map by itself. Commits on the way when more than 128
 * MiB is dirty; the state puts are held back and go into the last transaction. */
int rub_store_begin(rub_store_t *self, rub_error_t *err);
void rub_store_put_chunk(rub_store_t *self, uint32_t table, uint32_t chunk, const void *bytes,
                         size_t n_bytes);
void rub_store_delete_chunk(rub_store_t *self, uint32_t table, uint32_t chunk);
void rub_store_put_state(rub_store_t *self, const char *name, const void *bytes, size_t n_bytes);
/* The first error of begin..now, or of the commit. After it the store is as before begin (or at a
 * whole earlier part of its chunks). */
int rub_store_commit(rub_store_t *self, rub_error_t *err);

/* *data_p is the caller's (rub_free); NULL and 0 bytes when there is none. */
int rub_store_get_state(rub_store_t *self, const char *name, void **data_p, size_t *bytes_p,
                        rub_error_t *err);
typedef int (*rub_store_visit_t)(void *context, uint32_t table, uint32_t chunk, const void *bytes,
                                 size_t n_bytes, rub_error_t *err);
int rub_store_each_chunk(rub_store_t *self, rub_store_visit_t visit, void *context,
                         rub_error_t *err);

/* A look at what was committed last, which stays as it is whatever is committed after it; LMDB can
 * not use the pages behind it again meanwhile. Made by the thread that commits, between two
 * transactions; used and let go by any one thread, before the store is closed. RUB_ESTORE,
 * RUB_ENOMEM. */
typedef struct rub_store_pin rub_store_pin_t;
int rub_store_pin(rub_store_t *self, rub_store_pin_t **pin_p, rub_error_t *err);
void rub_store_unpin(rub_store_pin_t **pin_p); /* NULL is fine */
/* As the two above. */
int rub_store_pin_get_state(rub_store_pin_t *pin, const char *name, void **data_p, size_t *bytes_p,
                            rub_error_t *err);
int rub_store_pin_each_chunk(rub_store_pin_t *pin, rub_store_visit_t visit, void *context,
                             rub_error_t *err);

#endif
