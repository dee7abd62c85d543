/* Pieces are wanted two seconds long: long enough that asking costs nothing, short enough that a
 * dead worker's loss is small and that nobody waits long at the epoch's end; at least a sixteenth
 * of the epoch per worker is left to balance with, unless there is nobody to balance with: between
 * pieces nothing is known ahead, so nothing is prefetched. A whole number of batches, so that only
 * the epoch's last batch is short.
 *
 * bsp: an epoch is as many periods as rank 0 has batches, on every rank; period p of epoch e is
 * clock e x periods + p. A job that goes on from a snapshot counts from there: the rest of that
 * epoch, from its first batch that was not trained, then whole epochs; so it may have another
 * number of workers than the job before it, and trains no batch twice. A barrier sets all clocks to
 * the greatest, which is the epoch's end; should the ranks with the most batches have died before
 * it, the others make up for it with empty periods. */
#include "worker/train/share.h"

#include "worker/data/deal.h"

#define PIECE_SECONDS 2.0
#define FIRST_PIECE_BATCHES 8u
#define PIECES_PER_WORKER 16u

void rub_share_init(rub_share_t *self, rub_session_t *session, uint64_t n_examples,
                    uint64_t batch_examples, uint64_t piece_examples)
{
    rub_info_t info;
    rub_session_info(session, &info);
    *self = (rub_share_t){.session = session,
                          .n_examples = n_examples,
                          .batch_examples = batch_examples,
                          .piece_examples = piece_examples,
                          .dealt_by_rank = info.staleness == 0,
                          .base_clock = info.resumed_clock,
                          .base_epoch = info.resumed_epoch,
                          .base_batch = info.resumed_batch,
                          .base_examples = info.resumed_examples,
                          .rank = info.rank,
                          .n_workers = info.n_workers};
}

static uint64_t clock_of(const rub_share_t *self)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    return info.clock;
}

/* bsp: of one data epoch. */
static uint64_t periods(const rub_share_t *self)
{
    return rub_deal_share(rub_deal_batches(self->n_examples, self->batch_examples), 0,
                          self->n_workers);
}

/* bsp: how many periods the data epoch of the beginning still had. */
static uint64_t base_periods(const rub_share_t *self)
{
    const uint64_t n_batches = rub_deal_batches(self->n_examples, self->batch_examples);
    const uint64_t left = n_batches > self->base_batch ? n_batches - self->base_batch : 0;
    return rub_deal_share(left, 0, self->n_workers);
}

/* bsp: the data epoch in which the clock stands, and its first global batch of that period. */
static uint64_t place_of(const rub_share_t *self, uint64_t clock, uint64_t *batch_p)
{
    const uint64_t since = clock > self->base_clock ? clock - self->base_clock : 0;
    const uint64_t rest = base_periods(self);
    if (since < rest) {
        *batch_p = self->base_batch + since * self->n_workers;
        return self->base_epoch;
    }
    *batch_p = (since - rest) % periods(self) * self->n_workers;
    return self->base_epoch + 1 + (since - rest) / periods(self);
}

/* bsp: the clock at which a later data epoch begins; of the one in which the job began, that clock.
 */
static uint64_t beginning(const rub_share_t *self, uint64_t epoch)
{
    if (epoch <= self->base_epoch) {
        return self->base_clock;
    }
    return self->base_clock + base_periods(self) + (epoch - self->base_epoch - 1) * periods(self);
}

uint64_t rub_share_stands(const rub_share_t *self, bool *over_p)
{
    const uint64_t clock = self->dealt_by_rank ? clock_of(self) : 0;
    uint64_t batch = 0;
    const uint64_t epoch = clock > 0 ? place_of(self, clock, &batch) : 0;
    *over_p = clock > 0 && batch == 0;
    return *over_p ? epoch - 1 : epoch;
}

int rub_share_begin(rub_share_t *self, uint64_t epoch, rub_error_t *err)
{
    int rc = 0;
    self->epoch = epoch;
    self->next_batch = self->rank;
    self->has_piece = false;
    if (!self->dealt_by_rank) {
        return 0;
    }
    while (rc == 0 && clock_of(self) < beginning(self, epoch)) {
        rc = rub_clock(self->session, NULL, 0, err);
    }
    uint64_t batch = 0;
    const uint64_t now = place_of(self, clock_of(self), &batch);
    if (now > epoch) { /* the others have trained this epoch while we stood in a barrier */
        self->epoch = now;
        self->next_batch = UINT64_MAX - self->n_workers;
    } else if (rc == 0) {
        self->next_batch = batch + self->rank;
    }
    return rc;
}

uint64_t rub_share_trained_before(const rub_share_t *self)
{
    uint64_t begun =
        self->dealt_by_rank ? self->base_batch * self->batch_examples : self->base_examples;
    begun = begun < self->n_examples ? begun : self->n_examples;
    return self->base_epoch * self->n_examples + begun;
}

static uint64_t wanted_examples(const rub_share_t *self, double examples_per_s)
{
    if (self->piece_examples > 0) {
        return self->piece_examples;
    }
    double wanted = examples_per_s > 0 ? examples_per_s * PIECE_SECONDS
                                       : (double)self->batch_examples * FIRST_PIECE_BATCHES;
    const double most = (double)self->n_examples / (self->n_workers * PIECES_PER_WORKER);
    wanted = wanted < most || self->n_workers == 1 ? wanted : most;
    const uint64_t batches = (uint64_t)(wanted / (double)self->batch_examples);
    return (batches > 0 ? batches : 1) * self->batch_examples;
}

static int next_of_piece(rub_share_t *self, double examples_per_s, uint64_t *first_p,
                         uint64_t *count_p, rub_error_t *err)
{
    if (!self->has_piece || self->piece_done == self->piece.count) {
        const int rc = rub_piece_next(self->session, self->epoch, self->n_examples,
                                      wanted_examples(self, examples_per_s), &self->piece, err);
        if (rc) {
            return rc;
        }
        self->piece_done = 0;
        self->has_piece = self->piece.kind == RUB_PIECE;
        if (!self->has_piece) {
            *count_p = 0;
            return 0;
        }
    }
    (void)rub_share_peek(self, first_p, count_p);
    self->piece_done += *count_p;
    return 0;
}

int rub_share_next(rub_share_t *self, double examples_per_s, uint64_t *first_p, uint64_t *count_p,
                   rub_error_t *err)
{
    if (!self->dealt_by_rank) {
        return next_of_piece(self, examples_per_s, first_p, count_p, err);
    }
    (void)rub_share_peek(self, first_p, count_p);
    self->next_batch += self->n_workers;
    return 0;
}

bool rub_share_peek(const rub_share_t *self, uint64_t *first_p, uint64_t *count_p)
{
    if (self->dealt_by_rank) {
        *count_p =
            rub_deal_range(self->next_batch, self->n_examples, self->batch_examples, first_p);
    } else {
        const uint64_t left = self->has_piece ? self->piece.count - self->piece_done : 0;
        *first_p = self->piece.first + self->piece_done;
        *count_p = left < self->batch_examples ? left : self->batch_examples;
    }
    return *count_p > 0;
}

bool rub_share_peek_beyond(const rub_share_t *self, uint64_t *first_p, uint64_t *count_p)
{
    uint64_t batch = 0;
    bool ends = false;
    if (rub_share_peek(self, first_p, count_p)) {
        return false;
    }
    if (self->dealt_by_rank) {
        ends = clock_of(self) + 1 == beginning(self, self->epoch + 1);
        batch = self->rank;
    } else {
        ends = self->n_workers == 1 && self->has_piece &&
               self->piece.first + self->piece.count == self->n_examples;
    }
    *count_p = rub_deal_range(batch, self->n_examples, self->batch_examples, first_p);
    return ends && *count_p > 0;
}

uint64_t rub_share_epoch(const rub_share_t *self)
{
    return self->dealt_by_rank ? self->epoch : self->piece.epoch;
}

rub_cursor_t rub_share_cursor(const rub_share_t *self)
{
    if (self->dealt_by_rank) {
        return (rub_cursor_t){self->epoch, self->next_batch, 0};
    }
    return (rub_cursor_t){self->epoch, self->piece.number, self->piece_done};
}
