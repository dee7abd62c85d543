/* The job's states: GATHERING, RUNNING, FINISHING, DONE, or FAILED; and how everybody leaves.
 *
 * Done means that every rank has said so, or that all data is finished; workers that died are not
 * done, so their places wait a grace for somebody new. Shards are asked to finish in every ending,
 * failed ones too, so that what was acknowledged is in their stores. Nobody leaves before being
 * told: the shards by LEFT_SHARD, people by STATUS, both within bounds, because a peer that is dead
 * would keep us for ever. */
#include "scheduler/scheduler_internal.h"

#include "common/base/check.h"

static void end_job(rub_scheduler_t *self, uint32_t state)
{
    self->state = state;
    self->final_ms = self->now_ms;
    rub_scheduler_change(self);
}

void rub_scheduler_fail(rub_scheduler_t *self, int code, const char *sentence)
{
    RUB_ASSERT(code < 0);
    if (self->state == RUB_JOB_DONE || self->state == RUB_JOB_FAILED) {
        return;
    }
    self->failure = code;
    rub_scheduler_text(self->sentence, sizeof self->sentence, sentence);
    rub_scheduler_notice(self, "the job has failed: %s", self->sentence);
    end_job(self, RUB_JOB_FAILED);
}

void rub_scheduler_stop(rub_scheduler_t *self, const rub_stop_t *stop)
{
    rub_error_t err = {0};
    rub_fail(&err, RUB_EINTR, "stopped%s%s", stop->why[0] ? ": " : "", stop->why);
    rub_scheduler_fail(self, err.code, err.message);
}

void rub_scheduler_finished(rub_scheduler_t *self, rub_caller_t from,
                            const rub_finished_t *finished)
{
    if (finished->shard >= self->config.n_shards || !rub_scheduler_over(self)) {
        return;
    }
    rub_shard_entry_t *shard = &self->shards[finished->shard];
    if (!shard->finished) {
        if (finished->n_status == 1) {
            if (finished->status[0].incarnation != shard->incarnation) {
                return;
            }
            rub_scheduler_shard_counts(shard, &finished->status[0], finished->gaps,
                                       finished->n_gaps);
        }
        shard->finished = true;
        shard->digest = finished->digest;
        shard->rows = finished->rows;
        shard->heard_ms = self->now_ms;
        rub_scheduler_remember(self);
        rub_scheduler_notice(self, "shard %u has finished: %llu rows", finished->shard,
                             (unsigned long long)finished->rows);
    }
    const rub_control_t reply = {.type = RUB_MSG_LEFT_SHARD,
                                 .left_shard = {.shard = finished->shard}};
    self->let_go_ms = self->now_ms;
    rub_scheduler_say(self, from, &reply);
}

static void gather(rub_scheduler_t *self)
{
    bool all = rub_scheduler_shards_here(self);
    for (uint32_t i = 0; i < self->config.n_workers; i++) {
        all = all && self->ranks[i].told;
    }
    if (all) {
        self->state = RUB_JOB_RUNNING;
        self->running_from_ms = self->now_ms;
        self->ledger.changed = true;
        rub_scheduler_change(self);
        rub_scheduler_notice(self, "all are here: %u workers, %u shards", self->config.n_workers,
                             self->config.n_shards);
        return;
    }
    if (rub_scheduler_since(self, self->gathering_ms) < self->config.join_timeout_ms) {
        return;
    }
    rub_buf_t missing;
    rub_buf_init(&missing);
    rub_scheduler_missing(self, &missing);
    rub_buf_u8(&missing, 0);
    rub_error_t err = {0};
    rub_fail(&err, RUB_EPEER, "join_timeout: %.1f s have passed: %s",
             (double)self->config.join_timeout_ms / 1000.0,
             missing.failed ? "somebody is missing" : (const char *)missing.data);
    rub_buf_fini(&missing);
    rub_scheduler_fail(self, err.code, err.message);
}

static void name_gone(const rub_scheduler_t *self, rub_error_t *err)
{
    rub_buf_t names;
    rub_buf_init(&names);
    for (uint32_t i = 0; i < self->n_ranks && names.bytes < 180; i++) {
        if (self->ranks[i].state == RUB_RANK_GONE) {
            rub_buf_printf(&names, "%srank %u (%s)", names.bytes ? ", " : "", i,
                           self->ranks[i].who);
        }
    }
    if (names.bytes == 0) {
        rub_buf_printf(&names, "nobody, yet the workers left with data of the epoch undone");
    }
    rub_buf_u8(&names, 0);
    rub_fail(err, RUB_EPEER, "no worker is left and nobody came for %.1f s; gone: %s",
             (double)self->config.grace_ms / 1000.0, names.failed ? "?" : (const char *)names.data);
    rub_buf_fini(&names);
}

static void finish(rub_scheduler_t *self)
{
    self->state = RUB_JOB_FINISHING;
    self->running_ms = rub_scheduler_since(self, self->running_from_ms);
    rub_scheduler_change(self);
    rub_scheduler_notice(self, "all workers are done: the shards finish");
}

/* No trainer lives: finished, or everybody has died? */
static void judge_alone(rub_scheduler_t *self, uint32_t n_done, bool lost)
{
    if (self->alone_ms == UINT64_MAX) {
        self->alone_ms = self->now_ms;
    }
    bool open = rub_scheduler_pieces_open(self);
    /* With a finished ledger the data says that the dead left nothing undone. */
    bool complete = n_done && !open && (!lost || self->ledger.begun);
    if (complete && rub_scheduler_judge_open(self)) {
        return; /* within the snapshot's own time-out */
    }
    if (complete) {
        finish(self);
    } else if (rub_scheduler_since(self, self->alone_ms) >= self->config.grace_ms) {
        if (n_done && !open) {
            finish(self); /* nobody replaced the dead one: the result counts the eviction */
            return;
        }
        rub_error_t err = {0};
        name_gone(self, &err);
        rub_scheduler_fail(self, err.code, err.message);
    }
}

static void judge_trainers(rub_scheduler_t *self)
{
    uint32_t n_live = 0;
    uint32_t n_done = 0;
    bool lost = false;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        const rub_rank_entry_t *rank = &self->ranks[i];
        n_live += rank->state == RUB_RANK_LIVE ? 1u : 0u;
        n_done += rank->state == RUB_RANK_DONE ? 1u : 0u;
        lost = lost || (rank->state == RUB_RANK_GONE && rank->evicted);
    }
    if (n_live) {
        self->alone_ms = UINT64_MAX;
    } else {
        judge_alone(self, n_done, lost);
    }
}

static void judge_shards(rub_scheduler_t *self)
{
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        const rub_shard_entry_t *shard = &self->shards[i];
        uint64_t from_ms = shard->heard_ms > shard->floor_ms ? shard->heard_ms : shard->floor_ms;
        if (shard->finished || rub_scheduler_since(self, from_ms) < self->config.grace_ms) {
            continue;
        }
        rub_error_t err = {0};
        rub_fail(&err, RUB_EPEER, "shard %u (%s at %s) is silent for %.1f s", i, shard->who,
                 shard->address, (double)rub_scheduler_since(self, from_ms) / 1000.0);
        rub_scheduler_fail(self, err.code, err.message);
        return;
    }
}

static bool all_finished(const rub_scheduler_t *self)
{
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        if (self->shards[i].incarnation && !self->shards[i].finished) {
            return false;
        }
    }
    return true;
}

void rub_scheduler_finish_settle(rub_scheduler_t *self)
{
    if (self->state == RUB_JOB_GATHERING) {
        gather(self);
    }
    if (self->state == RUB_JOB_RUNNING) {
        judge_trainers(self);
    }
    if (self->state == RUB_JOB_RUNNING || self->state == RUB_JOB_FINISHING) {
        judge_shards(self);
    }
    if (self->state == RUB_JOB_FINISHING && all_finished(self)) {
        rub_scheduler_notice(self, "the job is done");
        end_job(self, RUB_JOB_DONE);
    }
}

void rub_scheduler_finish_send(rub_scheduler_t *self)
{
    if (!rub_scheduler_over(self)) {
        return;
    }
    const rub_control_t message = {.type = RUB_MSG_FINISH,
                                   .finish = {.job = self->job, .generation = self->generation}};
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        rub_shard_entry_t *shard = &self->shards[i];
        bool due = !shard->finish_sent_ms ||
                   rub_scheduler_since(self, shard->finish_sent_ms) >= RUB_RESEND_MS;
        if (shard->incarnation && !shard->finished && shard->audience.caller && due) {
            shard->finish_sent_ms = self->now_ms;
            self->effects.send(self->effects.context, shard->audience.caller, &message);
        }
    }
}

bool rub_scheduler_may_leave(const rub_scheduler_t *self, uint64_t now_ms)
{
    if (self->state != RUB_JOB_DONE && self->state != RUB_JOB_FAILED) {
        return false;
    }
    uint64_t since_ms = now_ms > self->final_ms ? now_ms - self->final_ms : 0;
    if (self->stale) {
        return true;
    }
    /* LEFT_SHARD has no answer, and a process that closes with something unread resets its
     * connections, the last words with them. Who has not heard says FINISHED again. */
    bool heard = now_ms >= self->let_go_ms + RUB_QUIET_MS;
    bool shards = (all_finished(self) && heard) || since_ms >= RUB_FINISH_WAIT_MS;
    return shards && (self->observed || since_ms >= RUB_OBSERVER_WAIT_MS);
}
