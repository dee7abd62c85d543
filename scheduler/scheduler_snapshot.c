/* Snapshots: one at a time, from an observer's word or the clock on the wall, to a manifest or to a
 * sentence that says why not.
 *
 * PINNING: the number is committed, then every shard is asked to hold its image until it says
 * PINNED, and the view that shows the snapshot asks every trainer from which clock on nothing is
 * missing that its codecs keep back. CUT: the clocks are fixed (snapshot_cut.c), none below what
 * its session said; each shard folds when the ranks have come there. Who rests and keeps nothing
 * back has said so in its streams: the shards know, and it is not asked. WHOLE: every part is on
 * the platter and the manifest, which is written last, names them all. GIVEN_UP at any moment
 * before: whoever asked is told why, the shards let go, the folder is removed. Training never waits
 * for any of it.
 *
 * What gives it up: an eviction, or a rank that leaves unfinished (its data is dealt again, so a
 * cut that holds half of it would count that half twice); a shard that is another process than the
 * one that was pinned; a restart of this one (the loaded number is over); a shard's own word; the
 * deadline; the job's end. Shards repeat what they have until it is answered, and every word about
 * a snapshot that is not open is answered by UNPIN, so nothing is held for ever.
 */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "scheduler/scheduler_internal.h"

static bool is_open(const rub_scheduler_t *self)
{
    return self->snapshot.state == RUB_SNAPSHOT_PINNING || self->snapshot.state == RUB_SNAPSHOT_CUT;
}

bool rub_scheduler_snapshot_open(const rub_scheduler_t *self)
{
    return is_open(self);
}

void rub_scheduler_snapshot_show(const rub_scheduler_t *self, rub_view_t *view)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    view->snapshot = is_open(self) ? snapshot->number : 0;
    view->snapshot_cut = snapshot->state == RUB_SNAPSHOT_CUT ? snapshot->cut.greatest : 0;
}

void rub_scheduler_snapshot_fini(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    rub_scheduler_manifest_forget(self);
    rub_buf_fini(&snapshot->before_epoch);
    rub_snapshot_cut_fini(&snapshot->cut);
    rub_free(snapshot->parts);
    rub_free(snapshot->shards);
}

/* ---- what is said ---- */

static void say_unpin(rub_scheduler_t *self, rub_caller_t to, uint64_t number)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    /* Of those before our start, and of older ones, nothing is known but that their folders are
     * whole or removed: only of one that was given up here is it sure that no part is wanted. */
    const bool keep = number != snapshot->number || snapshot->state != RUB_SNAPSHOT_GIVEN_UP;
    const rub_control_t message = {.type = RUB_MSG_UNPIN,
                                   .unpin = {.job = self->job,
                                             .generation = self->generation,
                                             .number = number,
                                             .keep = keep ? 1u : 0u}};
    rub_scheduler_say(self, to, &message);
}

static void say_cut(rub_scheduler_t *self, rub_caller_t to)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    const rub_control_t message = {.type = RUB_MSG_CUT,
                                   .cut = {.job = self->job,
                                           .generation = self->generation,
                                           .number = snapshot->number,
                                           .ranks = snapshot->cut.ranks,
                                           .n_ranks = snapshot->cut.n_ranks}};
    rub_scheduler_say(self, to, &message);
}

static void to_all(rub_scheduler_t *self, void (*say)(rub_scheduler_t *, rub_caller_t))
{
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        say(self, self->shards[i].audience.caller);
    }
}

static void unpin(rub_scheduler_t *self, rub_caller_t to)
{
    say_unpin(self, to, self->snapshot.number);
}

/* ---- its end ---- */

static void close_snapshot(rub_scheduler_t *self, uint32_t state)
{
    self->snapshot.state = state;
    self->snapshot.over_ms = self->now_ms;
    rub_scheduler_snapshot_note_end(self);
    rub_scheduler_manifest_forget(self);
    rub_scheduler_change(self); /* sessions may keep back again */
    to_all(self, unpin);
}

void rub_scheduler_snapshot_give_up(rub_scheduler_t *self, int code, const char *why)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    if (!is_open(self)) {
        return;
    }
    snapshot->failure = code;
    rub_scheduler_text(snapshot->sentence, sizeof snapshot->sentence, why);
    close_snapshot(self, RUB_SNAPSHOT_GIVEN_UP);
    rub_scheduler_notice(self, "snapshot %llu is given up: %s",
                         (unsigned long long)snapshot->number, snapshot->sentence);
    if (self->effects.snapshot_drop) {
        self->effects.snapshot_drop(self->effects.context, snapshot->number);
    }
}

static void give_up(rub_scheduler_t *self, const rub_error_t *err)
{
    rub_scheduler_snapshot_give_up(self, err->code, err->message);
}

void rub_scheduler_snapshot_lost(rub_scheduler_t *self, uint32_t rank, const char *how)
{
    rub_error_t err = {0};
    rub_fail(&err, RUB_ECANCELLED, "rank %u (%s, epoch %u) %s meanwhile", rank,
             self->ranks[rank].who, self->ranks[rank].epoch, how);
    give_up(self, &err);
}

void rub_scheduler_snapshot_shard(rub_scheduler_t *self, uint32_t shard)
{
    rub_error_t err = {0};
    rub_fail(&err, RUB_ECANCELLED, "shard %u was restarted meanwhile", shard);
    give_up(self, &err);
}

void rub_scheduler_snapshot_replace(rub_scheduler_t *self, uint64_t number)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    RUB_ASSERT(snapshot->n_replaced < RUB_COUNT_OF(snapshot->replaced));
    snapshot->replaced[snapshot->n_replaced++] = number;
}

void rub_scheduler_snapshot_drop_replaced(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    for (uint32_t i = 0; self->effects.snapshot_drop && i < snapshot->n_replaced; i++) {
        self->effects.snapshot_drop(self->effects.context, snapshot->replaced[i]);
    }
    snapshot->n_replaced = 0;
}

/* Of those that the clock on the wall asked for, so many are kept; what people ask for is theirs.
 */
static void retain(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->reason != RUB_SNAPSHOT_BY_TIME) {
        return;
    }
    const uint32_t kept = self->config.snapshots_kept;
    if (kept == 0 || kept > RUB_SNAPSHOTS_KEPT_LIMIT) {
        return;
    }
    while (snapshot->n_kept >= kept) {
        rub_scheduler_snapshot_replace(self, snapshot->kept[0]);
        snapshot->n_kept--;
        memmove(snapshot->kept, snapshot->kept + 1, snapshot->n_kept * sizeof snapshot->kept[0]);
    }
    snapshot->kept[snapshot->n_kept++] = snapshot->number;
}

void rub_scheduler_snapshot_epoch(rub_scheduler_t *self)
{
    rub_error_t err = {0};
    rub_scheduler_manifest_note_epoch(self);
    if (self->snapshot.state == RUB_SNAPSHOT_CUT && rub_scheduler_manifest_note(self, &err) < 0) {
        give_up(self, &err);
    }
}

static void complete(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    rub_error_t err = {0};
    int rc = rub_scheduler_manifest_note(self, &err);
    rc = rc < 0 ? rc : rub_scheduler_manifest_write(self, &err);
    if (rc < 0) {
        give_up(self, &err);
        return;
    }
    retain(self);
    rub_scheduler_judge_keep(self, snapshot->number);
    close_snapshot(self, RUB_SNAPSHOT_WHOLE);
    rub_scheduler_notice(
        self, "snapshot %llu is whole: %llu rows, %llu bytes, clocks %llu to %llu, %.1f s",
        (unsigned long long)snapshot->number, (unsigned long long)snapshot->rows,
        (unsigned long long)snapshot->total_bytes, (unsigned long long)snapshot->cut.least,
        (unsigned long long)snapshot->cut.greatest,
        (double)rub_scheduler_since(self, snapshot->opened_ms) / 1000.0);
}

/* ---- its beginning ---- */

static int may_open(const rub_scheduler_t *self, rub_error_t *err)
{
    if (!self->effects.snapshot_write || !self->config.snapshots_dir[0]) {
        return rub_fail(err, RUB_EREFUSED,
                        "this scheduler has no folder for snapshots "
                        "(--snapshots-dir)");
    }
    if (self->state == RUB_JOB_GATHERING) {
        return rub_fail(err, RUB_EBUSY, "the job has not begun: not all are here");
    }
    if (self->state != RUB_JOB_RUNNING) {
        return rub_fail(err, RUB_EREFUSED, "the job is over");
    }
    if (is_open(self)) {
        return rub_fail(err, RUB_EBUSY, "snapshot %llu is being taken",
                        (unsigned long long)self->snapshot.number);
    }
    return 0;
}

int rub_scheduler_snapshot_begin(rub_scheduler_t *self, rub_snapshot_reason_t reason,
                                 const uint8_t *nonce, rub_error_t *err)
{
    static const char *const why[] = {"", ": it is time", ": no evaluation was better"};
    rub_open_snapshot_t *snapshot = &self->snapshot;
    int rc = may_open(self, err);
    if (rc < 0) {
        return rc;
    }
    if (!snapshot->parts) {
        snapshot->parts = rub_calloc(self->config.n_shards, sizeof *snapshot->parts);
        snapshot->shards = rub_calloc(self->config.n_shards, sizeof *snapshot->shards);
        if (!snapshot->parts || !snapshot->shards) {
            rub_scheduler_snapshot_fini(self);
            snapshot->parts = NULL;
            snapshot->shards = NULL;
            return rub_fail(err, RUB_ENOMEM, "no memory for a snapshot");
        }
    }
    memset(snapshot->shards, 0, self->config.n_shards * sizeof *snapshot->shards);
    memset(snapshot->parts, 0, self->config.n_shards * sizeof *snapshot->parts);
    rub_snapshot_cut_reset(&snapshot->cut);
    snapshot->number++;
    snapshot->state = RUB_SNAPSHOT_PINNING;
    snapshot->failure = 0;
    snapshot->sentence[0] = 0;
    snapshot->reason = reason;
    memset(snapshot->nonce, 0, sizeof snapshot->nonce);
    if (nonce) {
        memcpy(snapshot->nonce, nonce, sizeof snapshot->nonce);
    }
    snapshot->opened_ms = self->now_ms;
    snapshot->total_bytes = 0;
    snapshot->rows = 0;
    snapshot->n_pinned = 0;
    snapshot->n_folded = 0;
    snapshot->version = self->version + 1;
    rub_scheduler_change(self);
    rub_scheduler_notice(self, "snapshot %llu is begun%s", (unsigned long long)snapshot->number,
                         why[reason]);
    return 0;
}

/* ---- shards ---- */

/* The shard's place in the open snapshot; NULL with UNPIN said when it speaks of another one, and
 * NULL without a word when it is not the process that the job knows. */
static rub_snapshot_shard_t *place_of(rub_scheduler_t *self, rub_caller_t from, uint32_t shard,
                                      uint64_t incarnation, uint64_t number)
{
    if (shard >= self->config.n_shards || self->shards[shard].incarnation != incarnation) {
        return NULL; /* it will register, or it has been followed by another */
    }
    if (!is_open(self) || number != self->snapshot.number) {
        say_unpin(self, from, number);
        return NULL;
    }
    return &self->snapshot.shards[shard];
}

/* A rank that is not what the scheduler knows is on its way in or out at that shard. */
static int check_epochs(const rub_scheduler_t *self, const rub_pinned_t *pinned, rub_error_t *err)
{
    for (uint32_t i = 0; i < pinned->n_ranks; i++) {
        const rub_pinned_rank_t *seen = &pinned->ranks[i];
        if (seen->rank >= self->n_ranks || self->ranks[seen->rank].epoch != seen->epoch ||
            self->ranks[seen->rank].state == RUB_RANK_GONE) {
            return rub_fail(err, RUB_EBUSY,
                            "rank %u (epoch %u) is still being shut out of shard %u", seen->rank,
                            seen->epoch, pinned->shard);
        }
    }
    return 0;
}

void rub_scheduler_pinned(rub_scheduler_t *self, rub_caller_t from, const rub_pinned_t *pinned)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    rub_snapshot_shard_t *place =
        place_of(self, from, pinned->shard, pinned->incarnation, pinned->number);
    if (!place) {
        return;
    }
    rub_error_t err = {0};
    if (snapshot->state == RUB_SNAPSHOT_CUT) {
        say_cut(self, from);
    } else if (!place->pinned) {
        int rc = check_epochs(self, pinned, &err);
        rc = rc < 0 ? rc : rub_snapshot_cut_add(&snapshot->cut, pinned, &err);
        if (rc < 0) {
            give_up(self, &err);
            return;
        }
        place->pinned = true;
        snapshot->n_pinned++;
    }
}

void rub_scheduler_folded(rub_scheduler_t *self, rub_caller_t from, const rub_folded_t *folded)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    rub_snapshot_shard_t *place =
        place_of(self, from, folded->shard, folded->incarnation, folded->number);
    if (!place || snapshot->state != RUB_SNAPSHOT_CUT || place->folded) {
        return; /* answered by UNPIN once all are there */
    }
    place->folded = true;
    snapshot->n_folded++;
    snapshot->total_bytes += folded->part_bytes;
    snapshot->rows += folded->rows;
    snapshot->parts[folded->shard] = (rub_manifest_part_t){.n_bytes = folded->part_bytes,
                                                           .hash = folded->hash,
                                                           .rows = folded->rows,
                                                           .digest = folded->digest};
}

void rub_scheduler_unfolded(rub_scheduler_t *self, rub_caller_t from,
                            const rub_unfolded_t *unfolded)
{
    if (place_of(self, from, unfolded->shard, unfolded->incarnation, unfolded->number)) {
        const int code =
            unfolded->code > 0 && unfolded->code < 64 ? -(int)unfolded->code : RUB_EINTERNAL;
        rub_scheduler_snapshot_give_up(self, code, unfolded->sentence);
    }
}

/* ---- what follows from a step ---- */

/* Bsp: who lives and was pinned nowhere would take part in periods below the cut, unseen. */
static int check_all_listed(const rub_scheduler_t *self, rub_error_t *err)
{
    const rub_snapshot_cut_t *cut = &self->snapshot.cut;
    uint32_t n_live = 0;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        n_live += self->ranks[i].state == RUB_RANK_LIVE ? 1u : 0u;
    }
    return cut->n_ranks >= n_live || self->config.staleness != 0
               ? 0
               : rub_fail(err, RUB_EBUSY, "%u ranks live, %u are known to the shards", n_live,
                          cut->n_ranks);
}

/* A rank that rested everywhere when the shards were pinned, and kept nothing back, is not asked:
 * it may rest for long, and its cut is where it stood. Its streams say so, not what it last told
 * us: that may be late, and a scheduler that has just started was told nothing. All others are
 * asked: a session answers when its caller next calls it, which has to happen before its clock
 * moves anyway.
 */
static bool is_unsaid(const rub_scheduler_t *self, uint32_t rank)
{
    const rub_rank_entry_t *entry = &self->ranks[rank];
    return entry->state == RUB_RANK_LIVE && rub_snapshot_cut_is_unsure(&self->snapshot.cut, rank) &&
           (entry->audience.acked_version < self->snapshot.version ||
            entry->whole_from == UINT64_MAX);
}

uint32_t rub_scheduler_snapshot_unsaid(const rub_scheduler_t *self)
{
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        if (is_unsaid(self, i)) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* None of those that were asked is cut below what its session said. True when one has said
 * something: its like wait to be told from where they may keep back again. */
static bool raise_cuts(rub_scheduler_t *self)
{
    bool any = false;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        if (self->ranks[i].state == RUB_RANK_LIVE && self->ranks[i].whole_from > 0) {
            if (rub_snapshot_cut_is_unsure(&self->snapshot.cut, i)) {
                rub_snapshot_cut_raise(&self->snapshot.cut, i, self->ranks[i].whole_from);
            }
            any = true;
        }
    }
    return any;
}

static void fix_cut(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    rub_error_t err = {0};
    snapshot->state = RUB_SNAPSHOT_CUT;
    snapshot->cut_ms = self->now_ms;
    if (raise_cuts(self)) {
        rub_scheduler_change(self);
    }
    int rc = rub_snapshot_cut_fix(&snapshot->cut, self->config.staleness, &err);
    rc = rc < 0 ? rc : check_all_listed(self, &err);
    rc = rc < 0 ? rc : rub_scheduler_manifest_note_cut(self, &err);
    if (rc < 0) {
        give_up(self, &err);
        return;
    }
    to_all(self, say_cut);
}

static void check_deadline(rub_scheduler_t *self)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    const uint64_t open_ms = rub_scheduler_since(self, snapshot->opened_ms);
    if (open_ms < self->config.snapshot_timeout_ms) {
        return;
    }
    char names[RUB_SNAPSHOT_WAITS_ROOM];
    rub_scheduler_snapshot_waits(self, names, sizeof names);
    rub_error_t err = {0};
    rub_fail(&err, RUB_ETIMEOUT, "%.1f s have passed: %s", (double)open_ms / 1000.0, names);
    give_up(self, &err);
}

static void begin_when_due(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    const uint64_t interval_ms = self->config.snapshot_interval_ms;
    if (interval_ms == 0 || self->state != RUB_JOB_RUNNING) {
        snapshot->due_ms = 0;
        return;
    }
    if (snapshot->due_ms == 0) {
        snapshot->due_ms = self->now_ms + interval_ms;
    }
    if (self->now_ms >= snapshot->due_ms) {
        rub_error_t err = {0};
        snapshot->due_ms = self->now_ms + interval_ms;
        if (rub_scheduler_snapshot_begin(self, RUB_SNAPSHOT_BY_TIME, NULL, &err) < 0) {
            rub_scheduler_notice(self, "no snapshot now: %s", err.message);
        }
    }
}

void rub_scheduler_snapshot_settle(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    if (is_open(self) && rub_scheduler_over(self)) {
        rub_scheduler_snapshot_give_up(self, RUB_ECANCELLED,
                                       self->failure ? "the job has failed" : "the job is over");
    }
    if (snapshot->state == RUB_SNAPSHOT_PINNING && snapshot->n_pinned == self->config.n_shards &&
        rub_scheduler_snapshot_unsaid(self) == UINT32_MAX) {
        fix_cut(self);
    }
    if (snapshot->state == RUB_SNAPSHOT_CUT && snapshot->n_folded == self->config.n_shards) {
        complete(self);
    }
    if (is_open(self)) {
        check_deadline(self);
    }
    begin_when_due(self);
}

void rub_scheduler_snapshot_send(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->state != RUB_SNAPSHOT_PINNING) {
        return;
    }
    const rub_control_t message = {
        .type = RUB_MSG_PIN,
        .pin = {.job = self->job, .generation = self->generation, .number = snapshot->number}};
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        rub_snapshot_shard_t *place = &snapshot->shards[i];
        const rub_caller_t caller = self->shards[i].audience.caller;
        const bool due =
            place->asked_ms == 0 || rub_scheduler_since(self, place->asked_ms) >= RUB_RESEND_MS;
        if (caller && !place->pinned && due) {
            place->asked_ms = self->now_ms;
            self->effects.send(self->effects.context, caller, &message);
        }
    }
}

/* ---- across restarts ---- */

void rub_scheduler_snapshot_write_state(const rub_scheduler_t *self, rub_buf_t *out)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    rub_buf_u64(out, snapshot->number);
    rub_buf_u8(out, is_open(self) && !snapshot->noting ? 1 : 0);
    rub_buf_u32(out, snapshot->n_kept);
    for (uint32_t i = 0; i < snapshot->n_kept; i++) {
        rub_buf_u64(out, snapshot->kept[i]);
    }
}

void rub_scheduler_snapshot_read_state(rub_scheduler_t *self, rub_reader_t *in)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    snapshot->number = rub_read_u64(in);
    snapshot->was_open = rub_read_u8(in) != 0;
    const uint32_t n = rub_read_u32(in);
    if (n > RUB_SNAPSHOTS_KEPT_LIMIT) {
        in->failed = true;
    }
    for (uint32_t i = 0; i < n && !in->failed; i++) {
        snapshot->kept[i] = rub_read_u64(in);
        snapshot->n_kept = i + 1u;
    }
}

void rub_scheduler_snapshot_start(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->was_open) {
        snapshot->was_open = false;
        snapshot->state = RUB_SNAPSHOT_PINNING;  /* for a moment: what gives up looks at it */
        snapshot->reason = RUB_SNAPSHOT_BY_TIME; /* nobody here knows who asked */
        snapshot->opened_ms = self->now_ms;
        rub_scheduler_snapshot_give_up(self, RUB_ECANCELLED,
                                       "the scheduler was restarted meanwhile");
    }
    if (snapshot->number < self->config.snapshots_there) {
        snapshot->number = self->config.snapshots_there;
        snapshot->state = 0; /* what it was is not of this number */
    }
}
