/* The files of a snapshot: a header, blocks of sections, and an end that says how much there must
 * be. Written once, in order, and never changed; read once, in order, in as much memory as one
 * block takes.
 *
 * Layout, little-endian, pinned: header {magic 8, version u32, kind u32, u64 0, u32 0, crc u32};
 * block {payload bytes u32, section u32, number u64, u32 0, crc u32} and the payload, padded with
 * zeros to 8; the last block has section 0 and the payload {blocks u64, hash u64}. A block's CRC32C
 * covers its head and its payload. The hash runs over the CRCs and lengths of all blocks: it tells
 * one snapshot's file from another's.
 *
 * One thread; all of it blocks. */
#ifndef RUB_SNAPSHOT_FILE_H
#define RUB_SNAPSHOT_FILE_H

#include "common/base/bytes.h"
#include "include/rubato.h"

#define RUB_SNAPSHOT_BLOCK_LIMIT (64u << 20) /* bytes of a payload */

typedef enum { RUB_SNAPSHOT_PART = 1, RUB_SNAPSHOT_MANIFEST = 2 } rub_snapshot_kind_t;

typedef struct rub_snapshot_writer rub_snapshot_writer_t;

/* Makes "<path>.new" (an old one is replaced). RUB_ESTORE, RUB_ENOSPC, RUB_ENOMEM. */
int rub_snapshot_writer_open(const char *path, rub_snapshot_kind_t kind,
                             rub_snapshot_writer_t **self_p, rub_error_t *err);
/* Appends a block. section: not 0. RUB_ELIMIT: above RUB_SNAPSHOT_BLOCK_LIMIT. */
int rub_snapshot_writer_put(rub_snapshot_writer_t *self, uint32_t section, const void *payload,
                            size_t n_bytes, rub_error_t *err);
/* Writes the end, syncs, gives the file its name, syncs the folder. From here on it is whole, also
 * when the power goes. */
int rub_snapshot_writer_finish(rub_snapshot_writer_t *self, uint64_t *n_bytes_p, uint64_t *hash_p,
                               rub_error_t *err);
/* Removes what was not finished. NULL is fine. */
void rub_snapshot_writer_close(rub_snapshot_writer_t **self_p);

/* payload: 8-byte aligned, borrowed. A negative return ends the reading and is returned. */
typedef int (*rub_snapshot_visit_t)(void *context, uint32_t section, const uint8_t *payload,
                                    size_t n_bytes, rub_error_t *err);
/* Reads the whole file and checks all of it; visit (NULL is fine) sees each block once it has been
 * checked. RUB_ESTORE: it can not be opened or read. RUB_ECORRUPT says what is wrong and at which
 * offset: not a snapshot's file, of the other kind, a newer version, a damaged block, cut off,
 * bytes behind the end. */
int rub_snapshot_file_read(const char *path, rub_snapshot_kind_t kind, rub_snapshot_visit_t visit,
                           void *context, uint64_t *n_bytes_p, uint64_t *hash_p, rub_error_t *err);

#endif
