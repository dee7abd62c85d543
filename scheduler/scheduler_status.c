/* The job for people: STATUS, and the sentences on who is missing or waited for.
 *
 * Nothing here decides. A sentence names subjects, since when, and where; it is built from the same
 * state that the time-outs look at, so what kills a job after a grace has been named long before.
 */
#include "common/base/alloc.h"
#include "scheduler/scheduler_internal.h"

#define STATUS_BYTES (56u * 1024u)
#define STATUS_TEXT_BYTES 220u

static void separate(rub_buf_t *out)
{
    if (out->bytes) {
        rub_buf_printf(out, "; ");
    }
}

static double seconds(uint64_t ms)
{
    return (double)ms / 1000.0;
}

void rub_scheduler_missing(const rub_scheduler_t *self, rub_buf_t *out)
{
    uint64_t waited_ms = rub_scheduler_since(self, self->gathering_ms);
    uint32_t unnamed = 0;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        if (self->shards[i].incarnation) {
            continue;
        }
        if (out->bytes > STATUS_TEXT_BYTES) {
            unnamed++;
            continue;
        }
        separate(out);
        rub_buf_printf(out, "shard %u is not here yet (%.1f s)", i, seconds(waited_ms));
    }
    for (uint32_t i = 0; i < self->n_ranks && i < self->config.n_workers; i++) {
        if (self->ranks[i].held) {
            continue;
        }
        if (out->bytes > STATUS_TEXT_BYTES) {
            unnamed++;
            continue;
        }
        separate(out);
        rub_buf_printf(out, "rank %u has not joined", i);
    }
    if (unnamed) {
        rub_buf_printf(out, "; and %u more", unnamed);
    }
}

static uint64_t lost_records(const rub_scheduler_t *self)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        lost += self->shards[i].status.lost;
    }
    return lost;
}

/* A disk that is full stops pushes and nothing else: only the shard can tell. */
static void full_shards(const rub_scheduler_t *self, rub_buf_t *out)
{
    for (uint32_t i = 0; i < self->config.n_shards && out->bytes < STATUS_TEXT_BYTES; i++) {
        const rub_shard_entry_t *shard = &self->shards[i];
        if (shard->status.no_space_ms >= RUB_NAMED_MS) {
            separate(out);
            rub_buf_printf(out, "shard %u (%s) has had no space on its disk for %.1f s", i,
                           shard->who, seconds(shard->status.no_space_ms));
        }
    }
}

static void silent_shards(const rub_scheduler_t *self, rub_buf_t *out)
{
    for (uint32_t i = 0; i < self->config.n_shards && out->bytes < STATUS_TEXT_BYTES; i++) {
        const rub_shard_entry_t *shard = &self->shards[i];
        uint64_t silent_ms = rub_scheduler_since(self, shard->heard_ms);
        if (shard->incarnation && !shard->finished && (shard->dead || silent_ms >= RUB_NAMED_MS)) {
            separate(out);
            rub_buf_printf(out, "shard %u (%s at %s) is %s for %.1f s", i, shard->who,
                           shard->address, shard->dead ? "gone" : "silent", seconds(silent_ms));
        }
    }
}

static void waits_in_barrier(const rub_scheduler_t *self, rub_buf_t *out)
{
    bool any = false;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        any = any || self->ranks[i].stand != RUB_STAND_OUT;
    }
    for (uint32_t i = 0; any && i < self->n_ranks && out->bytes < STATUS_TEXT_BYTES; i++) {
        const rub_rank_entry_t *rank = &self->ranks[i];
        if (rank->state == RUB_RANK_LIVE &&
            (rank->stand == RUB_STAND_OUT || rank->stand == RUB_STAND_RELEASED)) {
            separate(out);
            rub_buf_printf(out, "the barrier waits for rank %u (%s)", i, rank->who);
        }
    }
}

void rub_scheduler_waiting(const rub_scheduler_t *self, rub_buf_t *out)
{
    silent_shards(self, out);
    full_shards(self, out);
    if (self->state == RUB_JOB_FINISHING) {
        for (uint32_t i = 0; i < self->config.n_shards && out->bytes < STATUS_TEXT_BYTES; i++) {
            if (!self->shards[i].finished) {
                separate(out);
                rub_buf_printf(out, "shard %u is writing its checkpoint", i);
            }
        }
        return;
    }
    for (uint32_t i = 0; i < self->n_ranks && out->bytes < STATUS_TEXT_BYTES; i++) {
        const rub_rank_entry_t *rank = &self->ranks[i];
        uint64_t silent_ms = rub_scheduler_since(self, rank->heard_ms);
        if (rank->state == RUB_RANK_LIVE && rank->told && silent_ms >= RUB_NAMED_MS) {
            separate(out);
            rub_buf_printf(out, "rank %u (%s) is silent for %.1f s", i, rank->who,
                           seconds(silent_ms));
        } else if (self->alone_ms != UINT64_MAX && rank->state == RUB_RANK_GONE) {
            separate(out);
            rub_buf_printf(out, "rank %u (%s) is gone", i, rank->who);
        }
    }
    waits_in_barrier(self, out);
}

/* Why the job is not further than it is, terminated; empty when it is fine. */
static void write_reason(const rub_scheduler_t *self, rub_buf_t *out)
{
    if (self->state == RUB_JOB_FAILED) {
        rub_buf_append(out, self->sentence, strlen(self->sentence));
    } else if (self->state == RUB_JOB_GATHERING) {
        rub_scheduler_missing(self, out);
        silent_shards(self, out);
    } else if (self->state != RUB_JOB_DONE) {
        rub_scheduler_waiting(self, out);
    }
    rub_buf_u8(out, 0);
}

static void fill_reason(const rub_scheduler_t *self, rub_status_t *status)
{
    rub_buf_t reason;
    rub_buf_init(&reason);
    write_reason(self, &reason);
    if (!reason.failed) {
        rub_scheduler_text(status->reason, sizeof status->reason, (const char *)reason.data);
    }
    rub_buf_fini(&reason);
}

void rub_scheduler_say_waits(rub_scheduler_t *self)
{
    rub_buf_t reason;
    rub_buf_init(&reason);
    write_reason(self, &reason);
    const bool waits = !reason.failed && reason.data[0] && self->state != RUB_JOB_FAILED;
    if (!waits) {
        self->waits_from_ms = 0;
        self->waits_said_ms = 0;
    } else if (!self->waits_from_ms) {
        self->waits_from_ms = self->now_ms;
    } else if (rub_scheduler_since(self, self->waits_from_ms) >= RUB_SAID_MS &&
               (!self->waits_said_ms ||
                rub_scheduler_since(self, self->waits_said_ms) >= RUB_SAID_AGAIN_MS)) {
        self->waits_said_ms = self->now_ms;
        rub_scheduler_notice(self, "waiting: %s", (const char *)reason.data);
    }
    rub_buf_fini(&reason);
}

static void fill_rank(const rub_scheduler_t *self, uint32_t index, rub_rank_status_t *out)
{
    const rub_rank_entry_t *rank = &self->ranks[index];
    *out = (rub_rank_status_t){
        .rank = index,
        .epoch = rank->epoch,
        .state = rank->state,
        .heard_ms = rank->heard_ms ? rub_scheduler_since(self, rank->heard_ms) : UINT64_MAX,
        .clock = rank->progress.clock,
        .data_epoch = rank->progress.data_epoch,
        .step = rank->progress.step,
        .examples = rank->progress.examples,
        .total_examples = rank->progress.total_examples,
        .loss = rank->progress.loss,
        .pull_wait_us = rank->progress.pull_wait_us,
        .push_wait_us = rank->progress.push_wait_us,
        .meet_wait_us = rank->progress.meet_wait_us,
    };
    rub_scheduler_text(out->who, sizeof out->who, rank->who);
}

static void fill_shard(const rub_scheduler_t *self, uint32_t index, rub_shard_status_t *out)
{
    const rub_shard_entry_t *shard = &self->shards[index];
    *out = shard->status;
    out->shard = index;
    out->incarnation = shard->incarnation;
    out->heard_ms = shard->incarnation ? rub_scheduler_since(self, shard->heard_ms) : UINT64_MAX;
    rub_scheduler_text(out->who, sizeof out->who, shard->who);
    rub_scheduler_text(out->address, sizeof out->address, shard->address);
}

/* 0 when pushes came and no period was ever ended: the bound meant nothing then. */
static uint32_t is_clocked(const rub_scheduler_t *self)
{
    uint64_t pushes = 0;
    uint64_t done = 0;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        const rub_shard_entry_t *shard = &self->shards[i];
        pushes += shard->status.pushes + shard->past_pushes;
        for (uint32_t k = 0; k < shard->n_reports; k++) {
            done |= shard->reports[k].done;
        }
    }
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        done |= self->ranks[i].progress.clock;
    }
    return pushes && !done ? 0 : 1;
}

/* The lists, cut to what one message can carry: the first ranks and shards are the ones people
 * know. */
static bool fill_lists(rub_scheduler_t *self, rub_status_t *status,
                       rub_gap_count_t gaps[RUB_HISTOGRAM_BINS])
{
    size_t bytes = 2048u + 8u * RUB_HISTOGRAM_BINS;
    status->ranks = rub_calloc(self->n_ranks, sizeof *status->ranks);
    status->shards = rub_calloc(self->config.n_shards, sizeof *status->shards);
    if (!status->ranks || !status->shards) {
        return false;
    }
    for (uint32_t i = 0; i < self->config.n_shards && bytes < STATUS_BYTES / 2; i++) {
        fill_shard(self, i, &status->shards[status->n_shards++]);
        bytes += 110u + strlen(self->shards[i].who) + strlen(self->shards[i].address);
    }
    for (uint32_t i = 0; i < self->n_ranks && bytes < STATUS_BYTES; i++) {
        fill_rank(self, i, &status->ranks[status->n_ranks++]);
        bytes += 97u + strlen(self->ranks[i].who);
    }
    rub_histogram_t all = self->past_gaps;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        rub_histogram_merge(&all, &self->shards[i].gaps);
    }
    status->gaps = gaps;
    status->n_gaps = rub_gap_list_write(&all, gaps);
    status->metrics = self->metrics;
    status->n_metrics = self->n_metrics;
    return true;
}

void rub_scheduler_status(rub_scheduler_t *self, rub_caller_t from, const rub_status_ask_t *ask)
{
    if (ask->finish) {
        self->observed = true;
    }
    rub_control_t message = {.type = RUB_MSG_STATUS,
                             .status = {.job = self->job,
                                        .generation = self->generation,
                                        .version = self->version,
                                        .state = self->state,
                                        .code = (uint64_t)-self->failure,
                                        .n_workers = self->config.n_workers,
                                        .staleness = self->config.staleness,
                                        .uptime_ms = rub_scheduler_since(self, self->started_ms),
                                        .evictions = self->evictions,
                                        .snapshots = self->snapshot.number,
                                        .clocked = is_clocked(self)}};
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        message.status.digest += self->shards[i].digest;
        message.status.stored_rows += self->shards[i].rows;
        message.status.deleted_rows += self->shards[i].status.deleted_rows;
        message.status.not_admitted += self->shards[i].status.not_admitted;
    }
    message.status.lost_records = lost_records(self);
    memcpy(message.status.who, self->config.who, sizeof message.status.who);
    message.status.running_ms = self->state == RUB_JOB_RUNNING
                                    ? rub_scheduler_since(self, self->running_from_ms)
                                    : self->running_ms;
    fill_reason(self, &message.status);
    rub_scheduler_judge_tell(self, &message.status);
    rub_gap_count_t gaps[RUB_HISTOGRAM_BINS];
    /* Every step is committed before the next begins, so what is said here is on the platter
     * already. */
    if (fill_lists(self, &message.status, gaps)) {
        self->effects.send(self->effects.context, from, &message);
    } else {
        self->fatal = RUB_ENOMEM;
    }
    rub_free(message.status.ranks);
    rub_free(message.status.shards);
}

void rub_scheduler_metric(rub_scheduler_t *self, const rub_metric_t *metric)
{
    if (!metric->name[0]) {
        return;
    }
    uint32_t at = 0;
    while (at < self->n_metrics && strcmp(self->metrics[at].name, metric->name) != 0) {
        at++;
    }
    if (at == RUB_METRICS_LIMIT) {
        rub_scheduler_complain(self, 0, "metric '%s' is dropped: a job has at most %u names",
                               metric->name, RUB_METRICS_LIMIT);
        return;
    }
    if (at == self->n_metrics) {
        self->n_metrics++;
        rub_scheduler_text(self->metrics[at].name, sizeof self->metrics[at].name, metric->name);
    }
    self->metrics[at].value = metric->value;
    rub_scheduler_remember(self);
}
