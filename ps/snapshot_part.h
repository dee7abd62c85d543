/* A shard's part of a snapshot, as a file: whose it is, where each rank stood, the view (with the
 * tables' schemas), and the rows with slots and steps, in chunks as ps/chunk.h lays them out.
 *
 * Reading and writing block. */
#ifndef RUB_SNAPSHOT_PART_H
#define RUB_SNAPSHOT_PART_H

#include "ps/fold.h"

typedef struct rub_part_rank {
    uint32_t rank, epoch;
    uint64_t cut;
    uint64_t done; /* clock at this shard, at the cut */
    uint32_t cursor_bytes;
    uint8_t cursor[RUB_CURSOR_LIMIT]; /* of its last CLOCK, IDLE or BYE below the cut */
} rub_part_rank_t;

typedef struct rub_part_head {
    uint32_t shard, n_shards;
    uint64_t job;
    uint64_t pin_lsn, to_lsn; /* the fold looked at no record behind to_lsn */
    uint64_t rows, digest;    /* of what is in */
    rub_part_rank_t *ranks;
    uint32_t n_ranks;
} rub_part_head_t;

/* Exports the core's view and rows. head: rows and digest are filled in. */
int rub_part_write(const char *path, rub_shard_t *core, rub_part_head_t *head,
                   const atomic_bool *cancel, uint64_t *n_bytes_p, uint64_t *hash_p,
                   rub_error_t *err);

/* The counts of pushes of a table's partitions (rub_ptable_counts). */
typedef struct rub_part_counts {
    uint32_t table, first_part, n_parts;
    const uint8_t *bytes;
    size_t n_bytes;
} rub_part_counts_t;

/* Called in this order: head once, view once, then for each table counts, if it has any, and chunk
 * for each chunk. All may be NULL. What they get
 * is borrowed; a negative return ends the reading. */
typedef struct rub_part_visitor {
    void *context;
    int (*head)(void *context, const rub_part_head_t *head, rub_error_t *err);
    int (*view)(void *context, const rub_view_t *view, rub_error_t *err);
    int (*counts)(void *context, const rub_part_counts_t *counts, rub_error_t *err);
    int (*chunk)(void *context, const void *bytes, size_t n_bytes, rub_error_t *err);
} rub_part_visitor_t;

/* RUB_ESTORE; RUB_ECORRUPT: as rub_snapshot_file_read, or its content makes no sense. */
int rub_part_read(const char *path, const rub_part_visitor_t *visitor, uint64_t *n_bytes_p,
                  uint64_t *hash_p, rub_error_t *err);

#endif
