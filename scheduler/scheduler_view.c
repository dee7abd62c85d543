/* The view: the whole picture of the job, sent whole to every shard and session until they
 * acknowledge it.
 *
 * Deltas would be shorter and would need an order, a base and a repair; a whole view needs none of
 * them, and a job's view is a few kilobytes. It is rebuilt only when a step is about to commit a
 * new version, so what rub_scheduler_view shows is always what was committed. */
#include "common/base/alloc.h"
#include "scheduler/scheduler_internal.h"

#define VIEW_FIXED_BYTES 430u /* the reason among them */
#define VIEW_RANK_BYTES 13u
#define VIEW_TABLE_BYTES 258u
#define VIEW_SHARD_BYTES 150u

size_t rub_scheduler_view_bytes(const rub_scheduler_t *self, uint32_t more_ranks,
                                uint32_t more_tables)
{
    return VIEW_FIXED_BYTES + VIEW_RANK_BYTES * ((size_t)self->n_ranks + more_ranks) +
           VIEW_TABLE_BYTES * ((size_t)self->n_tables + more_tables) +
           VIEW_SHARD_BYTES * (size_t)self->config.n_shards;
}

static int view_room(rub_scheduler_t *self)
{
    rub_view_t *view = &self->view;
    if (rub_grow(&view->ranks, &self->view_ranks_capacity, self->n_ranks, sizeof *view->ranks) <
            0 ||
        rub_grow(&view->tables, &self->view_tables_capacity, self->n_tables, sizeof *view->tables) <
            0 ||
        rub_grow(&view->shards, &self->view_shards_capacity, self->config.n_shards,
                 sizeof *view->shards) < 0) {
        return RUB_ENOMEM;
    }
    return 0;
}

int rub_scheduler_view_build(rub_scheduler_t *self)
{
    int rc = view_room(self);
    if (rc < 0) {
        return rc;
    }
    rub_view_t *view = &self->view;
    view->job = self->job;
    view->generation = self->generation;
    view->version = self->version;
    view->state = self->state;
    const bool failed = self->state == RUB_JOB_FAILED;
    view->code = failed ? (uint64_t)-self->failure : 0;
    rub_scheduler_text(view->reason, sizeof view->reason, failed ? self->sentence : "");
    view->n_workers = self->config.n_workers;
    view->staleness = self->config.staleness;
    view->reduce = self->config.reduce;
    view->seed = self->config.seed;
    view->resumed_clock = self->resumed.clock;
    view->resumed_epoch = self->resumed.epoch;
    view->resumed_batch = self->resumed.batch;
    view->resumed_examples = self->resumed.examples;
    rub_scheduler_snapshot_show(self, view);
    view->stopped = self->judge.stopped;
    view->n_ranks = self->n_ranks;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        view->ranks[i] = (rub_rank_view_t){
            .rank = i, .epoch = self->ranks[i].epoch, .state = self->ranks[i].state};
    }
    view->n_tables = self->n_tables;
    for (uint32_t i = 0; i < self->n_tables; i++) {
        view->tables[i] = self->tables[i].schema;
    }
    view->n_shards = self->config.n_shards;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        view->shards[i] =
            (rub_shard_view_t){.shard = i, .incarnation = self->shards[i].incarnation};
        rub_scheduler_text(view->shards[i].address, sizeof view->shards[i].address,
                           self->shards[i].address);
    }
    return 0;
}

/* How long after a view the next one may follow to the same peer. When W workers leave, each is a
 * new view for everybody: W * W views of some ten kilobytes, unless one stands for many. A few
 * dozen peers never wait. */
static uint64_t least_ms(const rub_scheduler_t *self)
{
    return ((uint64_t)self->n_ranks + self->n_readers + self->config.n_shards) / RUB_VIEWS_PER_MS;
}

static void send_if_due(rub_scheduler_t *self, rub_audience_t *audience)
{
    if (!audience->caller || audience->acked_version >= self->version) {
        return;
    }
    const uint64_t since_ms = rub_scheduler_since(self, audience->sent_ms);
    if (audience->sent_version == self->version && since_ms < RUB_RESEND_MS) {
        return;
    }
    if (audience->sent_version != 0 && since_ms < least_ms(self)) {
        return; /* at the next step, or tick */
    }
    audience->sent_version = self->version;
    audience->sent_ms = self->now_ms;
    const rub_control_t message = {.type = RUB_MSG_VIEW, .view = self->view};
    self->effects.send(self->effects.context, audience->caller, &message);
}

void rub_scheduler_view_send(rub_scheduler_t *self)
{
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        if (!self->shards[i].finished) {
            send_if_due(self, &self->shards[i].audience);
        }
    }
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        if (self->ranks[i].told) {
            send_if_due(self, &self->ranks[i].audience);
        }
    }
    for (uint32_t i = 0; i < self->n_readers; i++) {
        send_if_due(self, &self->readers[i].audience);
    }
}

/* Counts as of the view that it names: a session says the same view again when its word changes. */
static void note_whole_from(rub_rank_entry_t *rank, rub_caller_t from, const rub_view_ack_t *ack)
{
    if (rank->audience.caller == from && ack->version >= rank->audience.acked_version) {
        rank->whole_from = ack->whole_from;
    }
}

static void note_ack(rub_audience_t *audience, rub_caller_t from, uint64_t version)
{
    if (audience->caller == from && version > audience->acked_version) {
        audience->acked_version = version;
    }
}

void rub_scheduler_view_ack(rub_scheduler_t *self, rub_caller_t from, const rub_view_ack_t *ack)
{
    /* An earlier scheduler's view may carry a number that ours has not reached. */
    if (ack->generation != self->generation || ack->version > self->version) {
        return;
    }
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        note_ack(&self->shards[i].audience, from, ack->version);
        if (self->shards[i].audience.caller == from) {
            rub_scheduler_bind(self, &self->shards[i]);
            return; /* of a shard: a table may have waited for it */
        }
    }
    self->quiet = ack->version == self->version && !rub_scheduler_snapshot_open(self);
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        note_whole_from(&self->ranks[i], from, ack);
        note_ack(&self->ranks[i].audience, from, ack->version);
    }
    for (uint32_t i = 0; i < self->n_readers; i++) {
        note_ack(&self->readers[i].audience, from, ack->version);
    }
}
