/* Who is counted, and where each rank stands, told again from nothing but a shard's journal
 * records.
 *
 * Written apart from ps/members.c on purpose: an auditor that runs the code it audits finds
 * nothing. Rules: design of the protocol, "Who is counted" in ARCHITECTURE.md. Pure. */
#ifndef RUB_AUDIT_RANKS_H
#define RUB_AUDIT_RANKS_H

#include "ps/record.h"
#include "ps/shard.h"

typedef struct rub_audit_rank {
    uint32_t epoch; /* 0: a place that nobody has held yet */
    bool present;   /* it holds a place, or one is kept for it */
    bool counted;
    bool open;         /* it has pushed in its open period */
    uint64_t finished; /* its periods that are applied here */
    uint64_t records;  /* its last seq */
} rub_audit_rank_t;

typedef struct rub_audit_ranks {
    rub_audit_rank_t *items; /* index = rank */
    size_t n, capacity;
    bool founded;
    uint64_t highest; /* minimum that was ever reached: nobody enters below it */
} rub_audit_ranks_t;

void rub_audit_ranks_init(rub_audit_ranks_t *self);
void rub_audit_ranks_fini(rub_audit_ranks_t *self);

/* Takes the next record of the journal. RUB_ECORRUPT: it cannot be read; RUB_ENOMEM. */
int rub_audit_ranks_take(rub_audit_ranks_t *self, rub_record_type_t type, const void *payload,
                         size_t n_bytes, rub_error_t *err);

/* Over counted ranks; UINT64_MAX: nobody is counted. */
uint64_t rub_audit_ranks_minimum(const rub_audit_ranks_t *self);
/* The last seq of that epoch of the rank; UINT64_MAX when a later epoch has come; 0: not here yet.
 */
uint64_t rub_audit_ranks_seq(const rub_audit_ranks_t *self, uint32_t rank, uint32_t epoch);

#endif
