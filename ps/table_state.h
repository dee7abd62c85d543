/* Inside a table: its state, and what the two kinds (ps/dense_table.c, ps/hashed_table.c) do
 * differently. Only the files of the table include this; everybody else uses ps/table.h. */
#ifndef RUB_TABLE_STATE_H
#define RUB_TABLE_STATE_H

#include "common/num/initializer.h"
#include "common/num/optimizer.h"
#include "ps/chunk.h"
#include "ps/push_counts.h"
#include "ps/table.h"
#include "ps/table_index.h"

/* Functions of a kind. Rows and pushes are checked; errors as in ps/table.h. */
typedef struct rub_table_ops {
    int (*open)(rub_ptable_t *self, rub_error_t *err); /* sets up dense or hashed, and the chunks */
    void (*close)(rub_ptable_t *self);
    /* Shape, and whether this shard holds the rows. whole_blocks: pushes begin and end at block
     * borders. */
    int (*check)(const rub_ptable_t *self, const rub_rows_t *rows, bool whole_blocks,
                 rub_error_t *err);
    /* Asks the memory for what a push steps with n values from element `first` on, all of one
     * block. NULL: it is asked while rows are sought. */
    void (*fetch)(const rub_ptable_t *self, uint64_t first, size_t n);
    /* Memory that pushing these rows takes, from above as long as that is within limit_bytes.
     * RUB_ELIMIT: there cannot be so many rows. */
    int (*growth)(const rub_ptable_t *self, const rub_rows_t *rows, uint64_t limit_bytes,
                  uint64_t *bytes_p, rub_error_t *err);
    /* positions: NULL, rows lie one behind the other; else of keys, row i lies at positions[i]. */
    void (*pull)(const rub_ptable_t *self, const rub_rows_t *rows, const uint32_t *positions,
                 float *values, uint8_t *exists);
    void (*sums)(const rub_ptable_t *self, const rub_rows_t *rows, float *sums); /* slot 0 */
    int (*push)(rub_ptable_t *self, const rub_push_view_t *push, uint64_t lsn, rub_error_t *err);
    uint32_t (*row_bytes)(const rub_ptable_t *self, size_t index); /* of a row in that chunk */
    /* Copies the chunk's n_rows - n_dead live rows behind its header. */
    void (*stage)(const rub_ptable_t *self, size_t index, uint8_t *out);
    /* body: n_rows x row_bytes. The chunk's number is this shard's and not loaded yet. */
    int (*load)(rub_ptable_t *self, size_t index, const rub_chunk_header_t *header,
                const uint8_t *body, rub_error_t *err);
    /* Takes the rows that belong to this shard of a chunk of any shard of the table. */
    int (*adopt)(rub_ptable_t *self, const rub_chunk_header_t *header, const uint8_t *body,
                 uint64_t lsn, rub_error_t *err);
    uint64_t (*digest)(const rub_ptable_t *self);
    int (*put)(rub_ptable_t *self, uint64_t id, const float *values, size_t n, uint64_t lsn,
               rub_error_t *err);
    int (*each_row)(const rub_ptable_t *self, rub_row_visit_t visit, void *context,
                    rub_error_t *err);
    void (*recovered)(rub_ptable_t *self); /* loaded chunks may be filled again; NULL: nothing */
} rub_table_ops_t;

typedef struct rub_dense {
    uint64_t first_block, n_blocks; /* of this shard */
} rub_dense_t;

typedef struct rub_hashed {
    uint32_t row_bytes;
    /* Offsets in a row: {key u64, step u32 if the optimizer counts, stamp u32 if the table evicts,
     * weights, slots}. */
    uint32_t stamp_at; /* 0: none */
    uint32_t weights_at;
    uint32_t rows_shift; /* a chunk has 1 << rows_shift rows */
    uint32_t fill_chunk; /* chunks below have no room for a new row */
    rub_table_index_t index;
    uint64_t n_placed;   /* rows in chunks, the dead among them */
    uint32_t *free_rows; /* places of deleted rows, to be used first */
    size_t n_free, free_capacity;
    rub_push_counts_t counts; /* of a table that admits rows by them */
} rub_hashed_t;

/* How far a table has looked for rows to be deleted. */
typedef struct rub_sweep {
    uint64_t tick;      /* the last one that is done */
    uint32_t partition; /* of the next tick, where to go on */
} rub_sweep_t;

struct rub_ptable {
    const rub_table_ops_t *ops;
    rub_table_view_t schema;
    const rub_optimizer_t *optimizer;
    rub_hyper_t hyper; /* as the view has them */
    rub_hyper_t timed; /* the same with the rate of the clock that is stepped now */
    rub_initializer_t initializer;
    rub_placement_t placement;
    uint32_t shard;
    bool recovering;
    uint64_t n_rows; /* stored rows or blocks */
    uint64_t clock;  /* of the push that is stepped now */
    rub_eviction_t evict;
    rub_sweep_t sweep;
    uint64_t n_deletes;      /* of rows, in this life */
    uint64_t n_not_admitted; /* likewise */
    rub_chunks_t chunks;
    uint32_t first_chunk; /* number of chunks.items[0]: dense tables number their blocks over all
                             shards */
    uint32_t chunk_limit; /* items there can be */
    rub_dense_t dense;
    rub_hashed_t hashed;
};

extern const rub_table_ops_t rub_dense_ops;
extern const rub_table_ops_t rub_hashed_ops;

/* No address is too bad to be fetched. Into the second cache: a core waits for some two dozen lines
 * of its first one, which are three rows, and then stands still at the next fetch. */
static inline void rub_fetch(const uint8_t *bytes, size_t n_bytes)
{
    for (size_t offset = 0; offset < n_bytes; offset += 64) {
        __builtin_prefetch(bytes + offset, 0, 2);
    }
}

/* What is stepped from now on was pushed in the period of that clock, and so late. */
void rub_ptable_take_clock(rub_ptable_t *self, uint64_t clock, uint16_t delay);

/* One term of the digest. */
uint64_t rub_ptable_digest_term(const rub_ptable_t *self, uint64_t id, const float *weights,
                                size_t n);

#endif
