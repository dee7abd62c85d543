/* Which examples of a data epoch are this worker's, batch by batch.
 *
 * bsp: global batch i of the epoch belongs to rank i mod W, without asking anybody, so that runs
 * repeat; the clock alone says which is next, so that who replaces a dead rank takes its batches up
 * where the job is. Otherwise the scheduler deals pieces of some seconds' worth, so that a fast
 * worker gets more. One thread. */
#ifndef RUB_SHARE_H
#define RUB_SHARE_H

#include "include/rubato.h"

typedef struct rub_share {
    rub_session_t *session;
    uint64_t n_examples, batch_examples;
    uint64_t piece_examples; /* wanted; 0: chosen from the speed seen */
    bool dealt_by_rank;      /* bsp */
    uint32_t rank, n_workers;
    /* bsp, of a job that goes on from a snapshot: the clock at which it began, and where in the
     * data that was. Else zeros. */
    uint64_t base_clock, base_epoch, base_batch;
    uint64_t base_examples; /* otherwise: of that data epoch, trained before */
    uint64_t epoch;
    uint64_t next_batch; /* bsp: global number of this rank's next batch */
    rub_piece_t piece;   /* otherwise: the piece being worked on */
    uint64_t piece_done;
    bool has_piece;
} rub_share_t;

void rub_share_init(rub_share_t *self, rub_session_t *session, uint64_t n_examples,
                    uint64_t batch_examples, uint64_t piece_examples);
/* Begins data epoch `epoch`, at the batch where the session's clock stands. bsp may call clock().
 */
int rub_share_begin(rub_share_t *self, uint64_t epoch, rub_error_t *err);
/* The data epoch in which the session's clock stands, bsp only; otherwise 0. *over_p: it stands at
 * that epoch's very end, where everybody meets in a barrier. */
uint64_t rub_share_stands(const rub_share_t *self, bool *over_p);

/* How many examples had been trained before this job began: not 0 when it goes on from a snapshot.
 */
uint64_t rub_share_trained_before(const rub_share_t *self);

/* The next batch: examples [*first_p, *first_p + *count_p) of the epoch's order; *count_p 0: the
 * epoch is over. examples_per_s: of this worker, 0 when not known yet. May block on the scheduler.
 */
int rub_share_next(rub_share_t *self, double examples_per_s, uint64_t *first_p, uint64_t *count_p,
                   rub_error_t *err);
/* Is another batch sure to come without asking, and which? Then a prefetch is worth its bytes. */
bool rub_share_peek(const rub_share_t *self, uint64_t *first_p, uint64_t *count_p);
/* Is the epoch over behind the batch given last, and which batch of the next one is likely to be
 * this rank's first? Under bsp it is sure, and known to a rank whose epoch ends with that batch's
 * period; otherwise a worker that is alone begins where the epoch does. */
bool rub_share_peek_beyond(const rub_share_t *self, uint64_t *first_p, uint64_t *count_p);
/* The data epoch that the job has come to, once the share is over: beyond this one for a late
 * joiner. */
uint64_t rub_share_epoch(const rub_share_t *self);
/* Where the batch given last ends: for rub_clock. */
rub_cursor_t rub_share_cursor(const rub_share_t *self);

#endif
