/* Open periods of a bsp job: pushes that are journaled and credited but not applied yet, and who
 * has ended what.
 *
 * When every counted rank has ended period p the shard journals CLOSE(p) and takes p out: its
 * pushes in rank order, each rank's in seq order, whatever order they came in. Keeps copies of the
 * pushes; their bytes are counted. Pure. */
#ifndef RUB_PERIOD_H
#define RUB_PERIOD_H

#include "ps/record.h"

typedef struct rub_periods rub_periods_t;

/* A kept push: record points into its own copy. */
typedef struct rub_kept_push {
    rub_record_t record;
    size_t growth_bytes; /* by how much its table may grow when it is applied, as the keeper was
                            told */
    uint8_t bytes[];
} rub_kept_push_t;

#define RUB_OPEN_PERIODS_LIMIT 65536u

rub_periods_t *rub_periods_new(void);
void rub_periods_destroy(rub_periods_t **self_p);

/* Copies the push into its period (record->clock). RUB_ENOMEM. */
int rub_periods_keep(rub_periods_t *self, const rub_record_t *record, size_t growth_bytes);
/* One more rank has ended the period: it takes part in the mean. RUB_ENOMEM. */
int rub_periods_end(rub_periods_t *self, uint64_t period);
/* The pushes of an epoch that is over, of the period it had not ended. What an earlier epoch of the
 * rank pushed in that period, and ended, stays: its successor may be pinned right there. */
void rub_periods_drop(rub_periods_t *self, uint32_t rank, uint32_t epoch, uint64_t period);

/* The first period that holds anything, or that holds pushes; UINT64_MAX: none. */
uint64_t rub_periods_first(const rub_periods_t *self);
uint64_t rub_periods_first_pushed(const rub_periods_t *self);

/* The period's pushes in (rank, epoch, seq) order; borrowed until the next call that changes
 * anything. 0: none. */
size_t rub_periods_pushes(rub_periods_t *self, uint64_t period, rub_kept_push_t *const **pushes_p,
                          uint32_t *participants_p);
/* Forgets every period up to this one, it included. */
void rub_periods_forget(rub_periods_t *self, uint64_t period);

size_t rub_periods_open(const rub_periods_t *self);   /* periods that hold anything */
size_t rub_periods_bytes(const rub_periods_t *self);  /* of copies */
size_t rub_periods_growth(const rub_periods_t *self); /* sum of growth_bytes */

void rub_periods_encode(const rub_periods_t *self, rub_buf_t *out);
/* Into an empty one. RUB_ECORRUPT, RUB_ENOMEM. */
int rub_periods_decode(rub_periods_t *self, rub_reader_t *in, rub_error_t *err);

#endif
