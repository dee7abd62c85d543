/* Chunks: the fixed-size units in which a table's rows live in memory and go to the store. A set
 * numbers them from 0, gives them memory that never moves, and knows which differ from the store.
 *
 * The bytes of a staged chunk are a 32-byte little-endian header and the rows as they stand in
 * memory. The checksum is the store's. Pinned: a change of layout needs a new RUB_CHUNK_VERSION. */
#ifndef RUB_CHUNK_H
#define RUB_CHUNK_H

#include "include/rubato.h"

#define RUB_CHUNK_HEADER_BYTES 32u
#define RUB_CHUNK_VERSION 1u

typedef struct rub_chunk_header {
    uint32_t table; /* id */
    uint32_t chunk; /* number; dense: of the block in the table */
    uint64_t lsn;   /* of the shard when it was staged; not 0 */
    uint32_t n_rows;
    uint32_t row_bytes;
} rub_chunk_header_t;

void rub_chunk_header_write(const rub_chunk_header_t *header, uint8_t out[RUB_CHUNK_HEADER_BYTES]);
/* RUB_ECORRUPT: too short, no chunk, another version, lsn 0, or n_rows x row_bytes is not what
 * follows. */
int rub_chunk_header_read(const void *bytes, size_t n_bytes, rub_chunk_header_t *header,
                          rub_error_t *err);

typedef struct rub_chunk {
    uint64_t loaded_lsn; /* it had in the store at recovery; 0: the store did not know it */
    uint32_t n_rows;
    uint32_t n_dead; /* of these, rows that another chunk owns now, or that were deleted */
} rub_chunk_t;

typedef struct rub_chunks {
    uint8_t **data;     /* [0, n): 64-byte aligned, zeroed at first; NULL: the chunk is not there.
                           Apart from the rest, because each push and pull of a row reads it */
    rub_chunk_t *items; /* [0, n) */
    size_t n, data_capacity, capacity;
    uint64_t touched_lsn, loaded_lsn; /* the greatest so far of any chunk */
    uint64_t *dirty;                  /* bit i: items[i] differs from the store */
    size_t dirty_words;
    size_t n_dirty;
    size_t chunk_bytes; /* multiple of 64 */
    size_t n_there;     /* with data */
    struct rub_chunk_region *regions;
    size_t n_regions, regions_capacity;
    uint8_t *fresh; /* memory not yet given to a chunk */
    size_t n_fresh; /* chunks that it holds */
} rub_chunks_t;

/* bytes: what a chunk holds at most; rounded up to a multiple of 64. */
void rub_chunks_init(rub_chunks_t *self, size_t bytes);
void rub_chunks_fini(rub_chunks_t *self);

/* Gives chunk `index` memory; it must not have any. RUB_ENOMEM: nothing changed. */
int rub_chunks_add(rub_chunks_t *self, size_t index);

static inline bool rub_chunks_has(const rub_chunks_t *self, size_t index)
{
    return index < self->n && self->data[index] != NULL;
}

/* Notes the lsn that the chunk had in the store. */
static inline void rub_chunks_loaded(rub_chunks_t *self, size_t index, uint64_t lsn)
{
    self->items[index].loaded_lsn = lsn;
    self->loaded_lsn = lsn > self->loaded_lsn ? lsn : self->loaded_lsn;
}

/* Whether the record lsn is news to the chunk as the store had it. Once a replay is over, all
 * records are, and no chunk is looked at. */
static inline bool rub_chunks_lacks(const rub_chunks_t *self, size_t index, uint64_t lsn)
{
    return lsn > self->loaded_lsn || lsn > self->items[index].loaded_lsn;
}

/* What the store has of the chunk is to be replaced, although no record has changed it. */
static inline void rub_chunks_soil(rub_chunks_t *self, size_t index)
{
    const uint64_t bit = UINT64_C(1) << (index % 64);
    if ((self->dirty[index / 64] & bit) == 0) {
        self->dirty[index / 64] |= bit;
        self->n_dirty++;
    }
}

/* Notes that the record lsn changed the chunk. */
static inline void rub_chunks_touch(rub_chunks_t *self, size_t index, uint64_t lsn)
{
    self->touched_lsn = lsn;
    rub_chunks_soil(self, index);
}

void rub_chunks_clean(rub_chunks_t *self, size_t index);

/* The first dirty chunk >= *index_p, or false. */
bool rub_chunks_next_dirty(const rub_chunks_t *self, size_t *index_p);

size_t rub_chunks_memory_bytes(const rub_chunks_t *self);

#endif
