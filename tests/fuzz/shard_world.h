/* The world that tests/fuzz/fuzz_shard_step.c steps a shard in: what the journal and the store
 * keep, kills, and the laws.
 *
 * Laws: a record enters the journal once, in its stream's order; applied and done never fall, no
 * minimum ever falls; an ACK says no more than the journal holds; after a kill the rows are as
 * before, also those that a policy has deleted or not let in; what a reader is given of the ledger
 * is what the journal holds; rows are deleted of the table that has a policy for that, alone; an
 * array that was granted is written as a whole and told, or, once that was revoked, never. */
#ifndef RUB_SHARD_WORLD_H
#define RUB_SHARD_WORLD_H

#include "common/wire/grant.h"
#include "common/wire/key_digest.h"
#include "ps/record.h"
#include "ps/shard.h"

enum { RANKS = 3, KEYS = 8, LEDGER = 1, DENSE = 2, POLICY = 3, JOB = 77 };

typedef struct rub_kept {
    uint64_t lsn;
    rub_record_type_t type;
    void *bytes;
    size_t n_bytes;
    uint32_t table, chunk;
} rub_kept_t;

typedef struct rub_kept_list {
    rub_kept_t *items;
    size_t n, capacity;
} rub_kept_list_t;

typedef struct rub_shard_world {
    rub_shard_t *shard;
    rub_shard_config_t config;
    uint64_t staleness;
    uint32_t reduce, optimizer; /* of the dense table */
    uint32_t delay;             /* of its late gradients */
    rub_eviction_t evict;       /* of the table POLICY, */
    uint32_t admit_count;       /* which also lets rows in: by count, */
    double admit_probability;   /* or by a draw; 0: all */
    uint64_t incarnation, now_ms, version;
    rub_rank_view_t ranks[RANKS];
    rub_kept_list_t journal, staged, stored;
    rub_kept_t state, next_state;
    uint64_t next_redo, sync_lsn;
    uint64_t applied[RANKS]; /* of the live epoch, by the journal */
    uint64_t done[RANKS];
    uint64_t minimum;
    float ledger[KEYS];    /* by the journal; async */
    rub_key_digest_t said; /* of the keys of the push to the ledger that is being said */
    uint64_t n_rows;
    bool no_room;
    rub_grant_t *grant; /* the last one; NULL: none */
    float granted[4096];
    size_t n_granted; /* of these; NAN while they are not written */
} rub_shard_world_t;

/* Begins with the shard open and the tables in its view. profile: bit 0 durability sync, 1 small
 * journals, 2 and 3 the bound (async, 2, bsp), 4 reduce, 5 AdaRevision, 6 and 7 the policies. */
void rub_shard_world_open(rub_shard_world_t *self, uint8_t profile);
void rub_shard_world_close(rub_shard_world_t *self);

/* Killed, and back from what the journal and the store hold. */
void rub_shard_world_crash(rub_shard_world_t *self);
/* The first n staged chunks reach the store; with all of them the state does too, and fewer are a
 * kill. */
void rub_shard_world_commit(rub_shard_world_t *self, size_t n);
/* The ranks as they are now, and the tables. */
void rub_shard_world_view(rub_shard_world_t *self);
void rub_shard_world_check(rub_shard_world_t *self);

/* An array for so many rows; the one before is not wanted any more. Borrowed until then. */
rub_grant_t *rub_shard_world_grant(rub_shard_world_t *self, size_t n_rows, uint32_t width,
                                   bool is_range);

#endif
