/* Shards: which process serves each, and what it reports.
 *
 * A shard's weights exist once. So a second process is let in only when it continues the same store
 * (a greater incarnation of the same job: the lock on the store proves that the first has gone),
 * and an empty store never takes the place of one that has been part of the job. A shard that has
 * followed a later scheduler ends this one. */
#include "common/base/alloc.h"
#include "scheduler/scheduler_internal.h"

bool rub_scheduler_shards_here(const rub_scheduler_t *self)
{
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        if (!self->shards[i].incarnation) {
            return false;
        }
    }
    return true;
}

static int refuse_job(const rub_scheduler_t *self, const rub_register_shard_t *request,
                      rub_error_t *err)
{
    if (request->shard >= self->config.n_shards) {
        return rub_fail(err, RUB_ECONFIG, "shard %u: the job has shards 0 to %u", request->shard,
                        self->config.n_shards - 1u);
    }
    if (request->n_shards != self->config.n_shards) {
        return rub_fail(err, RUB_ECONFIG, "shard %u was told of %u shards, the job has %u",
                        request->shard, request->n_shards, self->config.n_shards);
    }
    if (request->job && request->job != self->job) {
        return rub_fail(
            err, RUB_EREFUSED, "shard %u holds job %016llx, this scheduler runs job %016llx",
            request->shard, (unsigned long long)request->job, (unsigned long long)self->job);
    }
    if (!request->incarnation || !request->address[0]) {
        return rub_fail(err, RUB_EPROTO, "shard %u: REGISTER without incarnation or address",
                        request->shard);
    }
    return 0;
}

static int refuse_holder(const rub_scheduler_t *self, const rub_shard_entry_t *shard,
                         const rub_register_shard_t *request, rub_error_t *err)
{
    if (!shard->incarnation) {
        return 0;
    }
    bool same_process = strcmp(shard->who, request->who) == 0;
    /* Of a shard that never confirmed a view nothing is known to be kept: a greater incarnation
     * without a job is its own store after a power loss took that view. */
    bool ours = request->job == self->job || (!request->job && !shard->bound);
    bool continues = ours && request->incarnation > shard->incarnation;
    uint64_t silent_ms = rub_scheduler_since(self, shard->heard_ms);
    bool lives = !shard->dead && silent_ms < self->config.lease_ms;
    if (continues || (same_process && request->incarnation == shard->incarnation)) {
        return 0;
    }
    if (!same_process && lives) {
        return rub_fail(err, RUB_EHELD, "shard %u is held by %s, heard %.1f s ago", request->shard,
                        shard->who, (double)silent_ms / 1000.0);
    }
    if (request->incarnation < shard->incarnation) {
        return rub_fail(err, RUB_EREFUSED,
                        "shard %u came as incarnation %llu, the job knows incarnation %llu: "
                        "its weights would be lost",
                        request->shard, (unsigned long long)request->incarnation,
                        (unsigned long long)shard->incarnation);
    }
    if (!request->job && shard->bound) {
        return rub_fail(err, RUB_EREFUSED,
                        "shard %u came with an empty store, %s held its weights: they are lost",
                        request->shard, shard->who);
    }
    return 0;
}

/* A later scheduler has been here: this one must not be heard again. */
static bool is_stale(rub_scheduler_t *self, uint32_t shard, uint64_t generation)
{
    if (generation <= self->generation) {
        return false;
    }
    rub_error_t err = {0};
    rub_fail(&err, RUB_EREFUSED,
             "shard %u follows a scheduler of generation %llu, this one is %llu", shard,
             (unsigned long long)generation, (unsigned long long)self->generation);
    self->stale = true;
    rub_scheduler_fail(self, err.code, err.message);
    return true;
}

/* What the last incarnation counted is past; the new one counts from 0. */
static void begin_incarnation(rub_scheduler_t *self, rub_shard_entry_t *shard)
{
    rub_histogram_merge(&self->past_gaps, &shard->gaps);
    rub_histogram_init(&shard->gaps);
    shard->past_pushes += shard->status.pushes;
    shard->past_pulls += shard->status.pulls;
    shard->status = (rub_shard_status_t){.lost = shard->status.lost,
                                         .deleted_rows = shard->status.deleted_rows};
    shard->has_report = false;
    /* Its last word on the ranks stays: it is the cursor of whoever dies before the next report. */
}

void rub_scheduler_bind(rub_scheduler_t *self, rub_shard_entry_t *shard)
{
    if (!shard->bound) {
        shard->bound = true;
        rub_scheduler_remember(self); /* or a restart would take an empty store in its place */
    }
}

static void accept_shard(rub_scheduler_t *self, rub_caller_t from,
                         const rub_register_shard_t *request)
{
    rub_shard_entry_t *shard = &self->shards[request->shard];
    bool fresh = shard->incarnation != request->incarnation ||
                 strcmp(shard->address, request->address) != 0 ||
                 strcmp(shard->who, request->who) != 0;
    if (fresh) {
        if (shard->incarnation && shard->incarnation != request->incarnation) {
            rub_scheduler_snapshot_shard(self, request->shard);
            begin_incarnation(self, shard);
        }
        shard->incarnation = request->incarnation;
        rub_scheduler_text(shard->address, sizeof shard->address, request->address);
        rub_scheduler_text(shard->who, sizeof shard->who, request->who);
        rub_scheduler_notice(self, "shard %u is %s at %s (incarnation %llu)", request->shard,
                             shard->who, shard->address, (unsigned long long)shard->incarnation);
        rub_scheduler_change(self);
    }
    if (fresh || shard->dead ||
        rub_scheduler_since(self, shard->heard_ms) >= self->config.lease_ms) {
        shard->floor_ms = self->now_ms;
    }
    if (request->job == self->job) {
        rub_scheduler_bind(self, shard);
    }
    shard->dead = false;
    shard->heard_ms = self->now_ms;
    shard->finish_sent_ms = 0;
    shard->audience = (rub_audience_t){.caller = from};
}

void rub_scheduler_register(rub_scheduler_t *self, rub_caller_t from,
                            const rub_register_shard_t *request)
{
    rub_error_t err = {0};
    if (self->stale || is_stale(self, request->shard, request->generation)) {
        return;
    }
    int rc = refuse_job(self, request, &err);
    if (rc == 0) {
        rc = refuse_holder(self, &self->shards[request->shard], request, &err);
    }
    if (rc == RUB_EHELD && self->state == RUB_JOB_DONE) {
        rub_scheduler_refuse_over(self, from, RUB_MSG_REGISTER); /* nobody holds it any more */
        return;
    }
    if (rc < 0) {
        rub_scheduler_complain(self, from, "refused: %s", err.message);
        rub_scheduler_refuse(self, from, RUB_MSG_REGISTER, &err, true);
        return;
    }
    if (self->shards[request->shard].finished) {
        /* It was killed between FINISHED and our answer: all of it is in its store, it may go. */
        const rub_control_t reply = {.type = RUB_MSG_LEFT_SHARD,
                                     .left_shard = {.shard = request->shard}};
        self->let_go_ms = self->now_ms;
        rub_scheduler_say(self, from, &reply);
        return;
    }
    if (self->state == RUB_JOB_DONE ||
        (self->state == RUB_JOB_FAILED && !self->shards[request->shard].incarnation)) {
        rub_scheduler_refuse_over(self, from, RUB_MSG_REGISTER);
        return;
    }
    accept_shard(self, from, request);
}

void rub_scheduler_shard_counts(rub_shard_entry_t *shard, const rub_shard_status_t *status,
                                const rub_gap_count_t *gaps, uint32_t n_gaps)
{
    shard->status = *status;
    rub_histogram_init(&shard->gaps);
    rub_gap_list_add(&shard->gaps, gaps, n_gaps);
}

/* Losses are the job's: remembered, so that they stand in the result whoever dies in between. */
static void note_losses(rub_scheduler_t *self, const rub_shard_entry_t *shard,
                        const rub_shard_status_t *status)
{
    if (status->lost > shard->status.lost) {
        rub_scheduler_notice(
            self, "shard %u (%s) has lost %llu acknowledged records with the power", status->shard,
            shard->who, (unsigned long long)(status->lost - shard->status.lost));
        rub_scheduler_remember(self);
    }
}

/* By rank, so that a look-up is one step and a report may come in parts. The first report of an
 * incarnation replaces all that the one before had said. */
static int keep_ranks(rub_shard_entry_t *shard, const rub_report_t *report)
{
    uint32_t n = shard->n_reports;
    for (uint32_t i = 0; i < report->n_ranks; i++) {
        const uint32_t rank = report->ranks[i].rank;
        n = rank >= n && rank < RUB_RANKS_LIMIT ? rank + 1 : n;
    }
    if (rub_grow(&shard->reports, &shard->reports_capacity, n, sizeof *shard->reports) < 0 ||
        rub_grow(&shard->waited_from_ms, &shard->waited_capacity, n,
                 sizeof *shard->waited_from_ms) < 0) {
        return RUB_ENOMEM;
    }
    for (uint32_t i = shard->has_report ? shard->n_reports : 0; i < n; i++) {
        shard->reports[i] = (rub_rank_report_t){.rank = i, .heard_ms = UINT64_MAX};
        shard->waited_from_ms[i] = 0;
    }
    shard->n_reports = n;
    for (uint32_t i = 0; i < report->n_ranks; i++) {
        if (report->ranks[i].rank < n) {
            shard->reports[report->ranks[i].rank] = report->ranks[i];
        }
    }
    return 0;
}

void rub_scheduler_report(rub_scheduler_t *self, rub_caller_t from, const rub_report_t *report)
{
    if (report->n_status != 1 || report->status[0].shard >= self->config.n_shards || self->stale ||
        (report->job && report->job != self->job) ||
        is_stale(self, report->status[0].shard, report->generation)) {
        return;
    }
    const rub_shard_status_t *status = &report->status[0];
    rub_shard_entry_t *shard = &self->shards[status->shard];
    /* A report of an incarnation that we do not know: it will register. */
    if (shard->finished || !shard->incarnation || shard->incarnation != status->incarnation) {
        return;
    }
    if (shard->audience.caller != from) {
        shard->audience = (rub_audience_t){.caller = from};
    }
    if (rub_scheduler_since(self, shard->heard_ms) >= self->config.lease_ms) {
        shard->floor_ms = self->now_ms;
    }
    shard->dead = false;
    shard->heard_ms = self->now_ms;
    if (keep_ranks(shard, report) < 0) {
        self->fatal = RUB_ENOMEM;
        return;
    }
    shard->has_report = true;
    shard->report_ms = self->now_ms;
    shard->report_version = report->generation == self->generation ? report->version : 0;
    note_losses(self, shard, status);
    rub_scheduler_shard_counts(shard, status, report->gaps, report->n_gaps);
}
