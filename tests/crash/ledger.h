/* The work whose traces a disk is searched for: every record of a rank's stream is a function of
 * its seq, so that what a shard holds can be computed from nothing but how far each rank's stream
 * has come. */
#ifndef RUB_CRASH_LEDGER_H
#define RUB_CRASH_LEDGER_H

#include "ps/shard.h"

enum {
    RUB_LEDGER_RANKS = 3,
    RUB_LEDGER_KEYS = 64,
    RUB_LEDGER_WIDTH = 4,
    RUB_LEDGER_BLOCKS = 2,
    RUB_LEDGER_PERIOD = 8, /* records of a period, the CLOCK included */
    RUB_LEDGER_TABLE = 1,
    RUB_LEDGER_DENSE = 2,
    RUB_LEDGER_JOB = 77
};

/* What the recording runs with. */
typedef struct rub_ledger_plan {
    bool bsp;
    bool sync;   /* durability */
    bool mapped; /* the journal is written through mappings */
    bool
        patient; /* waits for each checkpoint: the journal is hardly ever synced for its own sake */
    uint64_t redo_limit_bytes;
    bool sweeps; /* checkpoints take several turns: none is exact */
    uint32_t interval_ms;
} rub_ledger_plan_t;

/* How far each rank's stream has come: all of its records up to and with this seq. */
typedef struct rub_ledger_reach {
    uint64_t seq[RUB_LEDGER_RANKS];
} rub_ledger_reach_t;

rub_shard_config_t rub_ledger_config(const rub_ledger_plan_t *plan);
rub_control_t rub_ledger_view(const rub_ledger_plan_t *plan);
/* The record of that seq; the caller's. */
rub_packet_t *rub_ledger_record(uint32_t rank, uint64_t seq);
rub_packet_t *rub_ledger_hello(uint32_t rank);
/* A reader's pull of the whole table. */
rub_packet_t *rub_ledger_reader(void);
rub_packet_t *rub_ledger_pull(uint32_t table);

/* Compares the rows of a pull's answer with what they must be. NULL: right; else a sentence
 * (static). */
const char *rub_ledger_compare(const rub_ledger_plan_t *plan, const rub_ledger_reach_t *reach,
                               uint32_t table, const rub_packet_t *rows);

#endif
