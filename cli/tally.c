/* Adds the ranks' and shards' own numbers up to the job's.
 *
 * A process that is restarted counts from 0 again, and its life number (epoch, incarnation) says
 * so; the tally keeps what the ended lives had counted, so the job's totals never fall. What a
 * process counted after its last report and before its death is not in the totals: they are what
 * was reported, not more. */
#include "cli/tally.h"

#include "common/wire/gap_list.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RUB_TALLY_LIMIT 4096u

void rub_tally_init(rub_tally_t *self)
{
    *self = (rub_tally_t){.clocked = true};
}

void rub_tally_fini(rub_tally_t *self)
{
    rub_free(self->ranks);
    rub_free(self->shard_pushes);
    rub_free(self->shard_pulls);
    *self = (rub_tally_t){0};
}

/* Only a new life starts from 0. Less within the same life comes from a scheduler that has just
 * been started and has not been told yet: what is known stays. */
static void count(rub_counter_t *counter, uint64_t life, uint64_t value)
{
    if (life != counter->life) {
        counter->before += counter->last;
        counter->last = 0;
        counter->life = life;
    }
    counter->last = value > counter->last ? value : counter->last;
}

static uint64_t total(const rub_counter_t *counters, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += rub_counter_total(&counters[i]);
    }
    return sum;
}

static int grow_ranks(rub_tally_t *self, size_t want)
{
    rub_rank_tally_t *more = rub_realloc_array(self->ranks, want, sizeof *more);
    if (!more) {
        return RUB_ENOMEM;
    }
    memset(more + self->n_ranks, 0, (want - self->n_ranks) * sizeof *more);
    self->ranks = more;
    self->n_ranks = want;
    return 0;
}

static int grow(rub_counter_t **counters_p, size_t have, size_t want)
{
    rub_counter_t *more = rub_realloc_array(*counters_p, want, sizeof *more);
    if (!more) {
        return RUB_ENOMEM;
    }
    memset(more + have, 0, (want - have) * sizeof *more);
    *counters_p = more;
    return 0;
}

static int make_room(rub_tally_t *self, const rub_status_t *status, rub_error_t *err)
{
    size_t ranks = self->n_ranks, shards = self->n_shards;
    for (uint32_t i = 0; i < status->n_ranks; i++) {
        const size_t want = (size_t)status->ranks[i].rank + 1;
        ranks = want > ranks && want <= RUB_TALLY_LIMIT ? want : ranks;
    }
    for (uint32_t i = 0; i < status->n_shards; i++) {
        const size_t want = (size_t)status->shards[i].shard + 1;
        shards = want > shards && want <= RUB_TALLY_LIMIT ? want : shards;
    }
    if (ranks > self->n_ranks && grow_ranks(self, ranks) != 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu ranks", ranks);
    }
    if (shards > self->n_shards) {
        if (grow(&self->shard_pushes, self->n_shards, shards) != 0 ||
            grow(&self->shard_pulls, self->n_shards, shards) != 0) {
            return rub_fail(err, RUB_ENOMEM, "no memory for %zu shards", shards);
        }
        self->n_shards = shards;
    }
    return 0;
}

static void take_ranks(rub_tally_t *self, const rub_status_t *status)
{
    uint64_t least = UINT64_MAX, greatest = 0;
    double loss = 0;
    unsigned n_losses = 0;
    for (uint32_t i = 0; i < status->n_ranks; i++) {
        const rub_rank_status_t *rank = &status->ranks[i];
        if (rank->rank >= self->n_ranks) {
            continue;
        }
        rub_rank_tally_t *mine = &self->ranks[rank->rank];
        count(&mine->examples, rank->epoch, rank->examples);
        count(&mine->pull_wait_us, rank->epoch, rank->pull_wait_us);
        count(&mine->push_wait_us, rank->epoch, rank->push_wait_us);
        count(&mine->meet_wait_us, rank->epoch, rank->meet_wait_us);
        self->step = rank->step > self->step ? rank->step : self->step;
        if (rank->total_examples > self->total_examples) {
            self->total_examples = rank->total_examples;
        }
        greatest = rank->data_epoch > greatest ? rank->data_epoch : greatest;
        if (rank->state == RUB_RANK_LIVE && rank->examples > 0 && rank->data_epoch < least) {
            least = rank->data_epoch;
        }
        if (rank->examples > 0 && isfinite(rank->loss)) {
            loss += rank->loss;
            n_losses++;
        }
    }
    const uint64_t now = least == UINT64_MAX ? greatest : least;
    self->data_epoch = now > self->data_epoch ? now : self->data_epoch;
    self->loss = n_losses ? loss / n_losses : self->loss;
    uint64_t examples = 0;
    for (size_t i = 0; i < self->n_ranks; i++) {
        examples += rub_counter_total(&self->ranks[i].examples);
    }
    /* Done means all of them; the last reports lag by up to a second. But what a dead rank of bsp
     * left undone nobody has done. */
    const bool all_done = status->state == RUB_JOB_DONE && status->stopped == 0 &&
                          (status->staleness != 0 || status->evictions == 0);
    if (all_done && self->total_examples > examples) {
        examples = self->total_examples;
    }
    self->examples = examples > self->examples ? examples : self->examples;
}

static void take_shards(rub_tally_t *self, const rub_status_t *status)
{
    for (uint32_t i = 0; i < status->n_shards; i++) {
        const rub_shard_status_t *shard = &status->shards[i];
        if (shard->shard < self->n_shards) {
            count(&self->shard_pushes[shard->shard], shard->incarnation, shard->pushes);
            count(&self->shard_pulls[shard->shard], shard->incarnation, shard->pulls);
        }
    }
    self->pushes = total(self->shard_pushes, self->n_shards);
    self->pulls = total(self->shard_pulls, self->n_shards);
}

int rub_tally_update(rub_tally_t *self, const rub_status_t *status, rub_error_t *err)
{
    const int rc = make_room(self, status, err);
    if (rc != 0) {
        return rc;
    }
    self->state = status->state;
    self->code = -(int)status->code;
    memcpy(self->reason, status->reason, sizeof self->reason);
    self->running_ms = status->generation == 1 ? status->running_ms : 0;
    self->staleness = status->staleness;
    self->digest = status->digest;
    self->stored_rows = status->stored_rows;
    self->evictions = status->evictions;
    self->snapshots = status->snapshots;
    if (status->lost_records > self->lost_records) { /* a new scheduler may not know all yet */
        self->lost_records = status->lost_records;
    }
    if (status->not_admitted > self->not_admitted) {
        self->not_admitted = status->not_admitted;
    }
    if (status->deleted_rows > self->deleted_rows) {
        self->deleted_rows = status->deleted_rows;
    }
    self->clocked = status->clocked != 0;
    self->evaluation = status->evaluation;
    self->best_evaluation = status->best_evaluation;
    self->best_value = status->best_value;
    self->kept_evaluation = status->kept_evaluation;
    self->kept_value = status->kept_value;
    memcpy(self->kept_path, status->kept_path, sizeof self->kept_path);
    self->stopped = status->stopped;
    memcpy(self->metric, status->metric, sizeof self->metric);
    take_ranks(self, status);
    take_shards(self, status);
    self->gap_p50 = rub_gap_percentile(status->gaps, status->n_gaps, 0.5);
    self->gap_p99 = rub_gap_percentile(status->gaps, status->n_gaps, 0.99);
    self->gap_max = rub_gap_percentile(status->gaps, status->n_gaps, 1.0);
    self->n_metrics = status->n_metrics < RUB_TALLY_METRICS ? status->n_metrics : RUB_TALLY_METRICS;
    if (self->n_metrics > 0) {
        memcpy(self->metrics, status->metrics, self->n_metrics * sizeof *self->metrics);
    }
    return 0;
}

uint64_t rub_gap_percentile(const rub_gap_count_t *gaps, uint32_t n_gaps, double fraction)
{
    rub_histogram_t all = {0};
    rub_gap_list_add(&all, gaps, n_gaps);
    return rub_histogram_quantile(&all, fraction);
}

const rub_metric_value_t *rub_tally_metric(const rub_tally_t *self, const char *name)
{
    for (uint32_t i = 0; i < self->n_metrics; i++) {
        if (strcmp(self->metrics[i].name, name) == 0) {
            return &self->metrics[i];
        }
    }
    return NULL;
}
