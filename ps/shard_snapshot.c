/* This shard's share in a snapshot (design, section 4): an image that is held, a cut that is waited
 * for, a fold beside the training. Nothing is held back for it and nothing of it is journaled: a
 * shard that restarts has forgotten it, and the scheduler gives it up.
 *
 * Why the cut is exact. What the pin shows was applied before PINNED is said, so of each session it
 * holds periods below done + (1 if its open period has pushes), and K is at least that on every
 * shard: all shards hold everything below K once the session has come to K here (a record that
 * comes later is stamped K or above), and the fold passes over the rest. A session whose stream has
 * ended below its K is all in. A session that no shard knew when it was pinned is not listed, and
 * all of it is left out, everywhere. Bsp: one K for all, and the periods below it are closed; an
 * idle rank is not waited for once the minimum has come to K, since it comes back at the minimum or
 * above.
 *
 * Who holds something says so every RUB_SNAPSHOT_SAY_MS until it is answered; UNPIN ends it. A new
 * generation of the scheduler knows nothing of it and ends it too. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "ps/fold.h"
#include "ps/shard_internal.h"

#define RUB_SNAPSHOT_SAY_MS 500u
#define RUB_PINNED_LIMIT 2048u /* sessions; as in proto.def */

void rub_shard_snapshot_fini(rub_shard_snapshot_t *self)
{
    rub_free(self->pinned);
    rub_free(self->cut);
    *self = (rub_shard_snapshot_t){.phase = RUB_SNAPSHOT_NO};
}

/* ---- what is said ---- */

static void say_folded(rub_shard_t *self)
{
    const rub_shard_snapshot_t *snapshot = &self->snapshot;
    const rub_control_t message = {
        .type = RUB_MSG_FOLDED,
        .folded = {.shard = self->config.shard,
                   .incarnation = self->incarnation,
                   .number = snapshot->number,
                   .part_bytes = snapshot->part_bytes,
                   .hash = snapshot->hash,
                   .rows = snapshot->rows,
                   .digest = snapshot->digest},
    };
    self->effects.control(self->effects.context, &message);
}

static void say_unfolded(rub_shard_t *self)
{
    const rub_shard_snapshot_t *snapshot = &self->snapshot;
    rub_control_t message = {
        .type = RUB_MSG_UNFOLDED,
        .unfolded = {.shard = self->config.shard,
                     .incarnation = self->incarnation,
                     .number = snapshot->number,
                     .code = (uint64_t)-snapshot->failure.code},
    };
    const size_t room = sizeof(message.unfolded.sentence) - 1;
    const size_t length = strnlen(snapshot->failure.message, room);
    memcpy(message.unfolded.sentence, snapshot->failure.message, length);
    self->effects.control(self->effects.context, &message);
}

static void say_pinned(rub_shard_t *self)
{
    const rub_shard_snapshot_t *snapshot = &self->snapshot;
    const rub_control_t message = {
        .type = RUB_MSG_PINNED,
        .pinned = {.shard = self->config.shard,
                   .incarnation = self->incarnation,
                   .number = snapshot->number,
                   .ranks = snapshot->pinned,
                   .n_ranks = (uint32_t)snapshot->n_pinned},
    };
    self->effects.control(self->effects.context, &message);
}

static void say(rub_shard_t *self)
{
    self->snapshot.say_at = self->now_ms + RUB_SNAPSHOT_SAY_MS;
    switch (self->snapshot.phase) {
    case RUB_SNAPSHOT_HELD:
    case RUB_SNAPSHOT_REACHING:
    case RUB_SNAPSHOT_FOLDING:
        say_pinned(self);
        break;
    case RUB_SNAPSHOT_FOLDED:
        say_folded(self);
        break;
    case RUB_SNAPSHOT_FAILED:
        say_unfolded(self);
        break;
    default:
        break; /* nothing to tell yet */
    }
}

void rub_shard_snapshot_tick(rub_shard_t *self)
{
    if (self->snapshot.phase != RUB_SNAPSHOT_NO && self->now_ms >= self->snapshot.say_at) {
        say(self);
    }
}

uint64_t rub_shard_snapshot_at(const rub_shard_t *self)
{
    return self->snapshot.phase == RUB_SNAPSHOT_NO ? UINT64_MAX : self->snapshot.say_at;
}

/* ---- its life ---- */

static void let_go(rub_shard_t *self, bool keep)
{
    if (self->snapshot.phase != RUB_SNAPSHOT_NO && self->effects.unpin) {
        self->effects.unpin(self->effects.context, self->snapshot.number, keep);
    }
}

static void fail(rub_shard_t *self, const rub_error_t *why)
{
    let_go(self, false);
    self->snapshot.phase = RUB_SNAPSHOT_FAILED;
    self->snapshot.failure = *why;
    if (why->code == 0) {
        self->snapshot.failure.code = RUB_EINTERNAL;
    }
    RUB_SHARD_NOTICE(self, "snapshot %llu: %s", (unsigned long long)self->snapshot.number,
                     self->snapshot.failure.message);
    say(self);
}

void rub_shard_snapshot_give_up(rub_shard_t *self, const char *why)
{
    const rub_shard_snapshot_phase_t phase = self->snapshot.phase;
    if (phase != RUB_SNAPSHOT_NO && phase != RUB_SNAPSHOT_FOLDED && phase != RUB_SNAPSHOT_FAILED) {
        rub_error_t err = {0};
        (void)rub_fail(&err, RUB_ECANCELLED, "shard %u %s", self->config.shard, why);
        fail(self, &err);
    }
}

/* What has been folded stays: whether its snapshot became whole is the scheduler's to know, and
 * what did not it removes itself. */
static void forget(rub_shard_t *self)
{
    let_go(self, self->snapshot.phase == RUB_SNAPSHOT_FOLDED);
    self->snapshot.phase = RUB_SNAPSHOT_NO;
}

void rub_shard_snapshot_generation(rub_shard_t *self)
{
    if (self->snapshot.phase != RUB_SNAPSHOT_NO && self->generation > self->snapshot.generation) {
        forget(self);
    }
}

static int may_pin(const rub_shard_t *self, rub_error_t *err)
{
    if (!rub_shard_is_durable(self)) {
        return rub_fail(err, RUB_EREFUSED,
                        "shard %u keeps no store to take a snapshot of (durability none)",
                        self->config.shard);
    }
    if (!self->effects.pin) {
        return rub_fail(err, RUB_EREFUSED,
                        "shard %u was told no folder for snapshots (--snapshots-dir)",
                        self->config.shard);
    }
    if (self->finishing || self->draining) {
        return rub_fail(err, RUB_ECANCELLED, "shard %u is leaving", self->config.shard);
    }
    return 0;
}

static uint32_t marks_of(const rub_member_t *member)
{
    const bool idle = member->idle || member->bye;
    const bool whole = (member->idle && member->whole) || member->bye;
    return (member->pushed ? (uint32_t)RUB_PINNED_PUSHED : 0) |
           (idle ? (uint32_t)RUB_PINNED_IDLE : 0) | (whole ? (uint32_t)RUB_PINNED_WHOLE : 0);
}

/* Sessions that are not over, or are done: another shard may have been pinned before it got the end
 * of their streams. Whose BYE came counts as idle, and nothing of it can come any more. */
static int list_pinned(rub_shard_t *self, rub_error_t *err)
{
    rub_shard_snapshot_t *snapshot = &self->snapshot;
    snapshot->n_pinned = 0;
    for (size_t i = 0; i < self->members.n; i++) {
        const rub_member_t *member = &self->members.items[i];
        if (!member->known || member->state == RUB_RANK_GONE) {
            continue;
        }
        if (snapshot->n_pinned >= RUB_PINNED_LIMIT) {
            return rub_fail(err, RUB_ELIMIT, "shard %u has more than %u live sessions",
                            self->config.shard, RUB_PINNED_LIMIT);
        }
        if (rub_grow(&snapshot->pinned, &snapshot->pinned_capacity, snapshot->n_pinned + 1,
                     sizeof(*snapshot->pinned)) != 0) {
            return rub_fail(err, RUB_ENOMEM, "shard %u: no memory for a snapshot",
                            self->config.shard);
        }
        snapshot->pinned[snapshot->n_pinned++] = (rub_pinned_rank_t){
            .rank = member->rank,
            .epoch = member->epoch,
            .done = member->done,
            .marks = marks_of(member),
        };
    }
    return 0;
}

void rub_shard_on_pin(rub_shard_t *self, const rub_pin_t *pin)
{
    rub_shard_snapshot_t *snapshot = &self->snapshot;
    if (!self->has_view || pin->job != self->job || pin->generation < self->generation) {
        return; /* an old scheduler's, or one that has not told us its view yet: it asks again */
    }
    if (snapshot->phase != RUB_SNAPSHOT_NO && pin->number <= snapshot->number) {
        if (pin->number == snapshot->number) {
            say(self);
        }
        return;
    }
    forget(self);
    snapshot->number = pin->number;
    snapshot->generation = pin->generation;
    snapshot->phase = RUB_SNAPSHOT_ASKED;
    snapshot->say_at = self->now_ms + RUB_SNAPSHOT_SAY_MS;
    snapshot->n_pinned = 0;
    snapshot->n_cut = 0;
    rub_error_t err = {0};
    if (may_pin(self, &err) != 0) {
        fail(self, &err);
        return;
    }
    if (RUB_MUTANT(PINNED_EARLY)) {
        (void)list_pinned(self, &err);
    }
    self->effects.pin(self->effects.context, pin->number);
}

int rub_shard_pinned(rub_shard_t *self, uint64_t number, const rub_error_t *err)
{
    rub_shard_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->phase != RUB_SNAPSHOT_ASKED || snapshot->number != number) {
        return self->failure;
    }
    rub_error_t own = {0};
    if (!err && !RUB_MUTANT(PINNED_EARLY) && list_pinned(self, &own) != 0) {
        err = &own;
    }
    if (err) {
        fail(self, err);
        return self->failure;
    }
    snapshot->pin_lsn = self->lsn;
    snapshot->phase = RUB_SNAPSHOT_HELD;
    say(self);
    return self->failure;
}

void rub_shard_on_cut(rub_shard_t *self, const rub_cut_t *cut)
{
    rub_shard_snapshot_t *snapshot = &self->snapshot;
    if (cut->job != self->job || cut->number != snapshot->number ||
        snapshot->phase != RUB_SNAPSHOT_HELD) {
        return; /* known already, or of another one */
    }
    if (rub_grow(&snapshot->cut, &snapshot->cut_capacity, (size_t)cut->n_ranks + 1,
                 sizeof(*snapshot->cut)) != 0) {
        rub_error_t err = {0};
        (void)rub_fail(&err, RUB_ENOMEM, "shard %u: no memory for a snapshot", self->config.shard);
        fail(self, &err);
        return;
    }
    if (cut->n_ranks > 0) {
        memcpy(snapshot->cut, cut->ranks, cut->n_ranks * sizeof(*snapshot->cut));
    }
    snapshot->n_cut = cut->n_ranks;
    snapshot->phase = RUB_SNAPSHOT_REACHING;
}

void rub_shard_on_unpin(rub_shard_t *self, const rub_unpin_t *unpin)
{
    if (unpin->job == self->job && self->snapshot.phase != RUB_SNAPSHOT_NO &&
        unpin->number == self->snapshot.number) {
        /* What is not folded yet is in no whole snapshot, whatever a scheduler that has forgotten
         * all about it says. */
        let_go(self, unpin->keep != 0 && self->snapshot.phase == RUB_SNAPSHOT_FOLDED);
        self->snapshot.phase = RUB_SNAPSHOT_NO;
    }
}

/* ---- the cut ---- */

/* 1: the session has come to its cut, and nothing that belongs below it can come any more; 0: not
 * yet; negative: it never will, err says why. */
static int reached(const rub_shard_t *self, const rub_cut_rank_t *cut, rub_error_t *err)
{
    const rub_member_t *member = rub_members_find(&self->members, cut->rank);
    if (!member || member->epoch < cut->epoch) {
        return 0; /* its view is on the way */
    }
    if (member->epoch == cut->epoch &&
        (member->done + (RUB_MUTANT(FOLD_EARLY) ? 1 : 0) >= cut->cut || member->bye)) {
        return 1;
    }
    if (member->epoch > cut->epoch || member->state == RUB_RANK_GONE) {
        return rub_fail(err, RUB_ECANCELLED,
                        "rank %u (epoch %u) was evicted before it came to clock %llu", cut->rank,
                        cut->epoch, (unsigned long long)cut->cut);
    }
    return rub_shard_is_bsp(self) && member->idle && self->members.floor >= cut->cut ? 1 : 0;
}

/* As reached, of all of them: who never will counts before who has not yet. */
static int all_reached(const rub_shard_t *self, rub_error_t *err)
{
    const rub_shard_snapshot_t *snapshot = &self->snapshot;
    uint64_t greatest = 0;
    int all = 1;
    for (size_t i = 0; i < snapshot->n_cut; i++) {
        const int rc = reached(self, &snapshot->cut[i], err);
        if (rc < 0) {
            return rc;
        }
        all = rc == 0 ? 0 : all;
        greatest = snapshot->cut[i].cut > greatest ? snapshot->cut[i].cut : greatest;
    }
    if (!rub_shard_is_bsp(self)) {
        return all;
    }
    const uint64_t due = rub_shard_sweep_due(self);
    const bool swept = rub_shard_swept(self) >= (due < greatest ? due : greatest);
    return rub_periods_first_pushed(self->periods) < greatest || !swept ? 0 : all;
}

/* Who ended below its K is cut where it ended: that is all of it. */
static void settle_cut(rub_shard_t *self)
{
    for (size_t i = 0; i < self->snapshot.n_cut; i++) {
        rub_cut_rank_t *cut = &self->snapshot.cut[i];
        const rub_member_t *member = rub_members_find(&self->members, cut->rank);
        RUB_ASSERT(member);
        if (member->epoch == cut->epoch && member->done < cut->cut) {
            cut->cut = member->done;
        }
    }
}

void rub_shard_snapshot_turn(rub_shard_t *self)
{
    rub_shard_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->phase != RUB_SNAPSHOT_REACHING || self->failure != 0) {
        return;
    }
    rub_error_t err = {0};
    const int rc = all_reached(self, &err);
    if (rc < 0) {
        fail(self, &err);
    } else if (rc > 0) {
        settle_cut(self);
        snapshot->phase = RUB_SNAPSHOT_FOLDING;
        const rub_shard_fold_t order = {
            .number = snapshot->number,
            .pin_lsn = snapshot->pin_lsn,
            .to_lsn = self->lsn,
            .ranks = snapshot->cut,
            .n_ranks = snapshot->n_cut,
        };
        self->effects.fold(self->effects.context, &order);
    }
}

int rub_shard_folded(rub_shard_t *self, uint64_t number, const rub_fold_result_t *result,
                     const rub_error_t *err)
{
    rub_shard_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->phase != RUB_SNAPSHOT_FOLDING || snapshot->number != number) {
        return self->failure; /* let go meanwhile */
    }
    if (!result) {
        const rub_error_t unsaid = {.code = RUB_EINTERNAL};
        fail(self, err ? err : &unsaid);
        return self->failure;
    }
    snapshot->phase = RUB_SNAPSHOT_FOLDED;
    snapshot->part_bytes = result->n_bytes;
    snapshot->hash = result->hash;
    snapshot->rows = result->rows;
    snapshot->digest = result->digest;
    let_go(self, true); /* the image, not the part */
    say(self);
    return self->failure;
}
