/* Membership: who gets which rank, and how a rank ends.
 *
 * The first W ranks live from the job's creation, so that no shard's minimum can run ahead of
 * somebody who is still starting. A rank is *held* from the first JOIN that names it and *told*
 * from the JOINED that gives it; in between (shards are missing) the place is only kept as long as
 * its process keeps asking. A nonce identifies one open: the same nonce gets the same answer, so a
 * JOIN may be sent again for ever. A new holder always gets a new epoch. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "scheduler/scheduler_internal.h"

bool rub_scheduler_over(const rub_scheduler_t *self)
{
    return self->state >= RUB_JOB_FINISHING;
}

void rub_scheduler_refuse_over(rub_scheduler_t *self, rub_caller_t to, uint32_t request)
{
    rub_error_t err = {0};
    if (self->failure) {
        rub_fail(&err, self->failure, "the job has failed: %s", self->sentence);
    } else {
        rub_fail(&err, RUB_EREFUSED, "the job is over: every trainer has finished");
    }
    rub_scheduler_refuse(self, to, request, &err, true);
}

static int add_rank(rub_scheduler_t *self)
{
    if (rub_grow(&self->ranks, &self->ranks_capacity, self->n_ranks + 1u, sizeof *self->ranks) <
        0) {
        return RUB_ENOMEM;
    }
    self->ranks[self->n_ranks++] = (rub_rank_entry_t){.epoch = 1, .state = RUB_RANK_LIVE};
    return 0;
}

int rub_scheduler_first_ranks(rub_scheduler_t *self)
{
    int rc = 0;
    while (rc == 0 && self->n_ranks < self->config.n_workers) {
        rc = add_rank(self);
    }
    return rc;
}

static rub_rank_entry_t *find_nonce(rub_scheduler_t *self, const uint8_t *nonce)
{
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        if (self->ranks[i].held && memcmp(self->ranks[i].nonce, nonce, 16) == 0) {
            return &self->ranks[i];
        }
    }
    return NULL;
}

static bool is_free(const rub_rank_entry_t *rank)
{
    return rank->state == RUB_RANK_GONE || (rank->state == RUB_RANK_LIVE && !rank->held);
}

/* A holder that is silent for a lease is about to be evicted: worth asking again. So is one that
 * has not been heard since this scheduler was started: it may have died before. */
static bool may_come_free(const rub_scheduler_t *self, const rub_rank_entry_t *rank)
{
    return rub_scheduler_since(self, rank->heard_ms) >= self->config.lease_ms ||
           rank->audience.caller == 0;
}

static int refuse_wanted(const rub_scheduler_t *self, uint32_t wanted, bool *final,
                         rub_error_t *err)
{
    const rub_rank_entry_t *rank = &self->ranks[wanted];
    if (rank->state == RUB_RANK_DONE) {
        return rub_fail(err, RUB_EREFUSED, "rank %u is done: %s has finished its work", wanted,
                        rank->who);
    }
    *final = !may_come_free(self, rank);
    return rub_fail(err, RUB_EHELD, "rank %u is held by %s, heard %.1f s ago", wanted, rank->who,
                    (double)rub_scheduler_since(self, rank->heard_ms) / 1000.0);
}

/* bsp deals batch i to rank i mod W: a rank beyond W has no work there. Names who was heard longest
 * ago: the place that may come free first. */
static int refuse_full(const rub_scheduler_t *self, bool *final, rub_error_t *err)
{
    const rub_rank_entry_t *quiet = NULL;
    *final = true;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        const rub_rank_entry_t *rank = &self->ranks[i];
        if (rank->state == RUB_RANK_LIVE) {
            quiet = !quiet || rank->heard_ms < quiet->heard_ms ? rank : quiet;
            *final = *final && !may_come_free(self, rank);
        }
    }
    if (!quiet) {
        return rub_fail(err, RUB_EREFUSED, "all %u ranks are done with their work", self->n_ranks);
    }
    return rub_fail(err, RUB_EREFUSED,
                    "all %u ranks are held, and a bsp job takes no more workers; silent longest is "
                    "rank %u, %s, heard %.1f s ago",
                    self->config.n_workers, (uint32_t)(quiet - self->ranks), quiet->who,
                    (double)rub_scheduler_since(self, quiet->heard_ms) / 1000.0);
}

static int new_rank(rub_scheduler_t *self, uint32_t *rank_p, bool *final, rub_error_t *err)
{
    if (self->config.staleness == 0) {
        return refuse_full(self, final, err);
    }
    if (self->n_ranks >= RUB_RANKS_LIMIT || rub_scheduler_view_bytes(self, 1, 0) > RUB_VIEW_LIMIT) {
        return rub_fail(err, RUB_ELIMIT, "the job has %u ranks and takes no more", self->n_ranks);
    }
    if (add_rank(self) < 0) {
        self->fatal = RUB_ENOMEM;
        return rub_fail(err, RUB_ENOMEM, "rank %u: out of memory", self->n_ranks);
    }
    *rank_p = self->n_ranks - 1u;
    rub_scheduler_change(self);
    return 0;
}

static int choose_rank(rub_scheduler_t *self, uint32_t wanted, uint32_t *rank_p, bool *final,
                       rub_error_t *err)
{
    *final = true;
    if (wanted != UINT32_MAX && wanted < self->n_ranks) {
        *rank_p = wanted;
        return is_free(&self->ranks[wanted]) ? 0 : refuse_wanted(self, wanted, final, err);
    }
    if (wanted != UINT32_MAX && (wanted > self->n_ranks || self->config.staleness == 0)) {
        return rub_fail(err, RUB_EREFUSED, "rank %u: the job has ranks 0 to %u", wanted,
                        self->n_ranks - 1u);
    }
    if (wanted == UINT32_MAX) {
        for (int gone = 0; gone < 2; gone++) {
            uint32_t state = gone ? RUB_RANK_GONE : RUB_RANK_LIVE;
            for (uint32_t i = 0; i < self->n_ranks; i++) {
                if (is_free(&self->ranks[i]) && self->ranks[i].state == state) {
                    *rank_p = i;
                    return 0;
                }
            }
        }
    }
    return new_rank(self, rank_p, final, err);
}

/* Gives the rank to whom this JOIN comes from, with a new epoch when it had a holder before. */
static void occupy(rub_scheduler_t *self, uint32_t index, const rub_join_t *join)
{
    rub_rank_entry_t *rank = &self->ranks[index];
    uint32_t epoch = rank->epoch;
    if (rank->state == RUB_RANK_GONE) {
        if (self->config.staleness == 0) {
            /* The shards close periods with the new one in them, which no pin has seen. */
            rub_scheduler_snapshot_lost(self, index, "was followed by another");
        }
        rub_scheduler_pieces_takeover(self, index);
        epoch++;
        rub_scheduler_change(self);
    }
    *rank = (rub_rank_entry_t){
        .epoch = epoch, .state = RUB_RANK_LIVE, .held = true, .joined_ms = self->now_ms};
    memcpy(rank->nonce, join->nonce, sizeof rank->nonce);
    rub_scheduler_text(rank->who, sizeof rank->who, join->who);
}

static void joined(rub_scheduler_t *self, rub_caller_t from, uint32_t rank, uint32_t epoch)
{
    const rub_control_t reply = {.type = RUB_MSG_JOINED,
                                 .joined = {.job = self->job,
                                            .generation = self->generation,
                                            .rank = rank,
                                            .epoch = epoch,
                                            .lease_ms = self->config.lease_ms}};
    rub_scheduler_say(self, from, &reply);
}

static void join_reader(rub_scheduler_t *self, rub_caller_t from, const rub_join_t *join)
{
    rub_reader_entry_t *reader = NULL;
    for (uint32_t i = 0; i < self->n_readers && !reader; i++) {
        if (memcmp(self->readers[i].nonce, join->nonce, 16) == 0) {
            reader = &self->readers[i];
        }
    }
    if (!reader && self->n_readers >= RUB_READERS_LIMIT) {
        rub_error_t err = {0};
        rub_fail(&err, RUB_ELIMIT, "the job has %u readers and takes no more", self->n_readers);
        rub_scheduler_refuse(self, from, RUB_MSG_JOIN, &err, false);
        return;
    }
    if (!reader) {
        if (rub_grow(&self->readers, &self->readers_capacity, self->n_readers + 1u,
                     sizeof *self->readers) < 0) {
            self->fatal = RUB_ENOMEM;
            return;
        }
        reader = &self->readers[self->n_readers++];
        memcpy(reader->nonce, join->nonce, sizeof reader->nonce);
    }
    reader->audience = (rub_audience_t){.caller = from};
    joined(self, from, UINT32_MAX, 0);
}

/* A session whose shards are not all here would only wait: it is told for whom, and asks again. */
static bool refuse_missing(rub_scheduler_t *self, rub_caller_t from)
{
    if (rub_scheduler_shards_here(self)) {
        return false;
    }
    rub_buf_t missing;
    rub_buf_init(&missing);
    rub_scheduler_missing(self, &missing);
    rub_buf_u8(&missing, 0);
    rub_error_t err = {0};
    rub_fail(&err, RUB_EPEER, "%s",
             missing.failed ? "a shard is not here yet" : (const char *)missing.data);
    rub_buf_fini(&missing);
    rub_scheduler_refuse(self, from, RUB_MSG_JOIN, &err, false);
    return true;
}

/* The session's rank: the one its nonce holds, else a free one. NULL when refused. */
static rub_rank_entry_t *place_of(rub_scheduler_t *self, rub_caller_t from, const rub_join_t *join)
{
    rub_error_t err = {0};
    bool final = true;
    rub_rank_entry_t *rank = find_nonce(self, join->nonce);
    if (rank && rank->state == RUB_RANK_DONE) { /* it has not heard so yet */
        const rub_control_t reply = {
            .type = RUB_MSG_LEFT,
            .left = {.rank = (uint32_t)(rank - self->ranks), .epoch = rank->epoch}};
        rub_scheduler_say(self, from, &reply);
        return NULL;
    }
    if (rank && rank->state != RUB_RANK_LIVE) {
        rub_fail(&err, RUB_EFENCED, "epoch %u of rank %u is over", rank->epoch,
                 (uint32_t)(rank - self->ranks));
        rub_scheduler_refuse(self, from, RUB_MSG_JOIN, &err, true);
        return NULL;
    }
    if (rank) {
        return rank;
    }
    uint32_t index = 0;
    if (choose_rank(self, join->wanted_rank, &index, &final, &err) < 0) {
        rub_scheduler_refuse(self, from, RUB_MSG_JOIN, &err, final);
        return NULL;
    }
    occupy(self, index, join);
    return &self->ranks[index];
}

static void join_trainer(rub_scheduler_t *self, rub_caller_t from, const rub_join_t *join)
{
    rub_rank_entry_t *rank = place_of(self, from, join);
    if (!rank) {
        return;
    }
    rank->heard_ms = self->now_ms;
    rank->audience = (rub_audience_t){.caller = from};
    if (!rank->told && refuse_missing(self, from)) {
        return;
    }
    uint32_t index = (uint32_t)(rank - self->ranks);
    if (!rank->told) {
        rank->told = true;
        rank->joined_ms = self->now_ms;
        rub_scheduler_remember(self);
        rub_scheduler_notice(self, "rank %u is %s (epoch %u)", index, rank->who, rank->epoch);
    }
    joined(self, from, index, rank->epoch);
}

void rub_scheduler_join(rub_scheduler_t *self, rub_caller_t from, const rub_join_t *join)
{
    rub_error_t err = {0};
    if (rub_scheduler_over(self)) {
        rub_scheduler_refuse_over(self, from, RUB_MSG_JOIN);
    } else if (join->nonce_bytes != sizeof join->nonce) {
        rub_fail(&err, RUB_EPROTO, "JOIN with a nonce of %u bytes, exactly 16", join->nonce_bytes);
        rub_scheduler_refuse(self, from, RUB_MSG_JOIN, &err, true);
    } else if (join->role == RUB_READER) {
        if (!refuse_missing(self, from)) {
            join_reader(self, from, join);
        }
    } else if (join->role == RUB_TRAINER) {
        join_trainer(self, from, join);
    } else {
        rub_fail(&err, RUB_EINVAL, "role %u is neither trainer nor reader", join->role);
        rub_scheduler_refuse(self, from, RUB_MSG_JOIN, &err, true);
    }
}

rub_rank_entry_t *rub_scheduler_member(rub_scheduler_t *self, rub_caller_t from, uint32_t request,
                                       uint32_t rank, uint32_t epoch)
{
    if (rank < self->n_ranks && self->ranks[rank].epoch == epoch &&
        self->ranks[rank].state == RUB_RANK_LIVE && self->ranks[rank].told) {
        rub_rank_entry_t *entry = &self->ranks[rank];
        entry->heard_ms = self->now_ms;
        if (entry->audience.caller != from) {
            entry->audience = (rub_audience_t){.caller = from};
        }
        return entry;
    }
    rub_error_t err = {0};
    rub_fail(&err, RUB_EFENCED, "epoch %u of rank %u is over", epoch, rank);
    rub_scheduler_refuse(self, from, request, &err, true);
    return NULL;
}

void rub_scheduler_lease(rub_scheduler_t *self, rub_caller_t from, const rub_lease_t *lease)
{
    uint32_t state = RUB_RANK_GONE;
    bool ours = !lease->job || lease->job == self->job;
    if (ours && lease->rank == UINT32_MAX) {
        state = RUB_RANK_LIVE;
    } else if (ours && lease->rank < self->n_ranks &&
               self->ranks[lease->rank].epoch == lease->epoch && self->ranks[lease->rank].told) {
        rub_rank_entry_t *rank = &self->ranks[lease->rank];
        state = rank->state;
        rank->heard_ms = self->now_ms;
        if (lease->stuck_at != rank->progress.stuck_at) {
            rank->stuck_ms = self->now_ms;
        }
        rank->progress = *lease;
        /* The lease thread has a connection of its own: it only stands in after a restart of ours,
         * until the session itself speaks. */
        self->quiet = rank->audience.caller != 0;
        if (!rank->audience.caller) {
            rank->audience.caller = from;
        }
    }
    const rub_control_t reply = {
        .type = RUB_MSG_LEASE_OK,
        .lease_ok = {.generation = self->generation, .version = self->version, .state = state}};
    rub_scheduler_say(self, from, &reply);
}

/* Ends a rank's epoch. What it held comes back unless it was all finished. */
static void end_rank(rub_scheduler_t *self, uint32_t index, uint32_t state, bool left)
{
    rub_rank_entry_t *rank = &self->ranks[index];
    RUB_ASSERT(rank->state == RUB_RANK_LIVE);
    rank->state = state;
    rank->stand = RUB_STAND_OUT;
    rank->waits = false;
    rank->audience.acked_version = 0;
    rub_scheduler_pieces_return(self, index, rank->epoch, left);
    rub_scheduler_change(self);
}

void rub_scheduler_evict(rub_scheduler_t *self, uint32_t rank, const char *why)
{
    rub_scheduler_notice(self, "rank %u (%s, epoch %u) is evicted: %s", rank, self->ranks[rank].who,
                         self->ranks[rank].epoch, why);
    rub_scheduler_snapshot_lost(self, rank, "was evicted");
    self->ranks[rank].evicted = true;
    self->evictions++;
    end_rank(self, rank, RUB_RANK_GONE, false);
}

static void drop_reader(rub_scheduler_t *self, rub_caller_t from)
{
    for (uint32_t i = 0; i < self->n_readers; i++) {
        if (self->readers[i].audience.caller == from) {
            self->readers[i] = self->readers[--self->n_readers];
            return;
        }
    }
}

void rub_scheduler_leave(rub_scheduler_t *self, rub_caller_t from, const rub_leave_t *leave)
{
    const rub_control_t reply = {.type = RUB_MSG_LEFT,
                                 .left = {.rank = leave->rank, .epoch = leave->epoch}};
    if (leave->rank == UINT32_MAX) {
        drop_reader(self, from);
    } else if (leave->rank < self->n_ranks && self->ranks[leave->rank].epoch == leave->epoch &&
               self->ranks[leave->rank].told && self->ranks[leave->rank].state == RUB_RANK_LIVE) {
        rub_rank_entry_t *rank = &self->ranks[leave->rank];
        rank->heard_ms = self->now_ms;
        rub_scheduler_notice(self, "rank %u (%s) %s%s", leave->rank, rank->who,
                             leave->done ? "is done" : "leaves: ", leave->done ? "" : leave->why);
        if (!leave->done) {
            rub_scheduler_snapshot_lost(self, leave->rank, "left before it was done");
        }
        end_rank(self, leave->rank, leave->done ? RUB_RANK_DONE : RUB_RANK_GONE, true);
        /* Every worker would meet the same data and the same numbers: going on without this one
         * helps nobody. */
        if (leave->code == (uint64_t)-RUB_EDIVERGED || leave->code == (uint64_t)-RUB_EDATA) {
            rub_error_t err = {0};
            rub_fail(&err, -(int)leave->code, "rank %u: %s", leave->rank, leave->why);
            rub_scheduler_fail(self, err.code, err.message);
        }
    }
    /* A rank that is done stays so: whoever says so and is not was given up before. */
    const rub_rank_entry_t *rank = leave->rank < self->n_ranks ? &self->ranks[leave->rank] : NULL;
    if (rank && leave->done && (rank->epoch != leave->epoch || rank->state != RUB_RANK_DONE)) {
        rub_error_t err = {0};
        rub_fail(&err, RUB_EFENCED, "epoch %u of rank %u is over", leave->epoch, leave->rank);
        rub_scheduler_refuse(self, from, RUB_MSG_LEAVE, &err, true);
        return;
    }
    rub_scheduler_say(self, from, &reply);
}

void rub_scheduler_dead(rub_scheduler_t *self, const rub_dead_t *dead)
{
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        rub_rank_entry_t *rank = &self->ranks[i];
        if (!rank->held || rank->state != RUB_RANK_LIVE || strcmp(rank->who, dead->who) != 0) {
            continue;
        }
        if (rank->told) {
            rub_scheduler_evict(self, i, "its process has ended");
        } else {
            rank->held = false;
        }
    }
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        rub_shard_entry_t *shard = &self->shards[i];
        if (shard->incarnation && !shard->finished && strcmp(shard->who, dead->who) == 0) {
            rub_scheduler_notice(self, "shard %u (%s): its process has ended", i, shard->who);
            shard->dead = true;
        }
    }
}
