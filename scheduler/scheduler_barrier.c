/* The barrier, in two phases: all have come (RELEASE, with the greatest clock and the sums), all
 * are counted again on every shard (RESUMED, then GO).
 *
 * With one phase, the first rank out could finish a period, and be served at the bound, while
 * another is not counted yet and would later appear below the minimum. Whoever lives takes part; it
 * is looked at again when one goes, leaves or joins. Each rank numbers its own barriers, so a rank
 * that joined late matches by standing there, not by number. Every message is asked again until
 * answered and answered the same; RELEASE and GO are committed before they are told. Who stands
 * here may tell an evaluation of the model: it is judged before the release (scheduler_judge.c). */
#include "scheduler/scheduler_internal.h"

static void say_release(rub_scheduler_t *self, const rub_rank_entry_t *rank, rub_caller_t to)
{
    rub_control_t reply = {.type = RUB_MSG_RELEASE,
                           .release = {.number = rank->barrier_number,
                                       .clock = self->release_clock,
                                       .version = self->release_version,
                                       .sums_bytes = 8u * self->n_release_sums}};
    for (uint32_t i = 0; i < self->n_release_sums; i++) {
        uint64_t bits;
        memcpy(&bits, &self->release_sums[i], sizeof bits);
        rub_put_u64(reply.release.sums + 8 * i, bits);
    }
    rub_scheduler_say(self, to, &reply);
}

static void say_go(rub_scheduler_t *self, rub_caller_t to, uint64_t number)
{
    const rub_control_t reply = {.type = RUB_MSG_GO, .go = {.number = number}};
    rub_scheduler_say(self, to, &reply);
}

static void enter(rub_rank_entry_t *rank, const rub_barrier_t *barrier)
{
    rank->stand = RUB_STAND_ENTERED;
    rank->barrier_number = barrier->number;
    rank->barrier_clock = barrier->clock;
    rank->evaluation = barrier->evaluation;
    rank->value = barrier->value;
    rank->patience = barrier->patience;
    rank->keep = barrier->keep != 0;
    rub_scheduler_text(rank->metric, sizeof rank->metric, barrier->metric);
    rank->n_sums = barrier->sums_bytes / 8u;
    for (uint32_t i = 0; i < rank->n_sums; i++) {
        uint64_t bits = rub_get_u64(barrier->sums + 8 * i);
        memcpy(&rank->sums[i], &bits, sizeof bits);
    }
}

void rub_scheduler_barrier(rub_scheduler_t *self, rub_caller_t from, const rub_barrier_t *barrier)
{
    if (rub_scheduler_over(self)) {
        rub_scheduler_refuse_over(self, from, RUB_MSG_BARRIER);
        return;
    }
    rub_rank_entry_t *rank =
        rub_scheduler_member(self, from, RUB_MSG_BARRIER, barrier->rank, barrier->epoch);
    if (!rank) {
        return;
    }
    if (barrier->number <= rank->gone_number) {
        say_go(self, from, barrier->number); /* a late copy: it was let out long ago */
    } else if (rank->stand == RUB_STAND_OUT) {
        enter(rank, barrier);
    } else if (rank->stand != RUB_STAND_ENTERED) {
        say_release(self, rank, from);
    }
}

void rub_scheduler_resumed(rub_scheduler_t *self, rub_caller_t from, const rub_resumed_t *resumed)
{
    if (rub_scheduler_over(self)) {
        rub_scheduler_refuse_over(self, from, RUB_MSG_RESUMED);
        return;
    }
    rub_rank_entry_t *rank =
        rub_scheduler_member(self, from, RUB_MSG_RESUMED, resumed->rank, resumed->epoch);
    if (!rank) {
        return;
    }
    if (resumed->number <= rank->gone_number) {
        say_go(self, from, resumed->number);
    } else if (rank->stand == RUB_STAND_RELEASED && rank->barrier_number == resumed->number) {
        rank->stand = RUB_STAND_RESUMED;
    }
}

static uint32_t count_standing(const rub_scheduler_t *self, rub_stand_t stand)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        n += self->ranks[i].state == RUB_RANK_LIVE && self->ranks[i].stand == stand ? 1u : 0u;
    }
    return n;
}

static void let_go(rub_scheduler_t *self)
{
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        rub_rank_entry_t *rank = &self->ranks[i];
        if (rank->state == RUB_RANK_LIVE && rank->stand == RUB_STAND_RESUMED) {
            rank->stand = RUB_STAND_OUT;
            rank->gone_number = rank->barrier_number;
            say_go(self, rank->audience.caller, rank->barrier_number);
        }
    }
    rub_scheduler_remember(self);
}

/* Sums in rank order, so that the result does not depend on who came first. */
static void release(rub_scheduler_t *self)
{
    self->release_clock = 0;
    /* The view that says what was judged here, if anything was. */
    self->release_version = self->version + (self->view_changed ? 1u : 0u);
    self->n_release_sums = 0;
    memset(self->release_sums, 0, sizeof self->release_sums);
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        rub_rank_entry_t *rank = &self->ranks[i];
        if (rank->state != RUB_RANK_LIVE) {
            continue;
        }
        rank->stand = RUB_STAND_RELEASED;
        if (rank->barrier_clock > self->release_clock) {
            self->release_clock = rank->barrier_clock;
        }
        if (rank->n_sums > self->n_release_sums) {
            self->n_release_sums = rank->n_sums;
        }
        for (uint32_t k = 0; k < rank->n_sums; k++) {
            self->release_sums[k] += rank->sums[k];
        }
    }
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        if (self->ranks[i].state == RUB_RANK_LIVE) {
            say_release(self, &self->ranks[i], self->ranks[i].audience.caller);
        }
    }
    rub_scheduler_remember(self);
}

void rub_scheduler_barrier_note_missed(rub_scheduler_t *self)
{
    const bool wait =
        count_standing(self, RUB_STAND_ENTERED) > 0 || count_standing(self, RUB_STAND_RESUMED) > 0;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        const rub_stand_t stand = self->ranks[i].stand;
        self->ranks[i].missed = wait && (stand == RUB_STAND_OUT || stand == RUB_STAND_RELEASED);
    }
}

void rub_scheduler_barrier_settle(rub_scheduler_t *self)
{
    if (rub_scheduler_over(self)) {
        return;
    }
    if (count_standing(self, RUB_STAND_RELEASED)) {
        return; /* somebody is not counted again yet */
    }
    if (count_standing(self, RUB_STAND_RESUMED)) {
        let_go(self);
    }
    if (count_standing(self, RUB_STAND_ENTERED) && !count_standing(self, RUB_STAND_OUT) &&
        !rub_scheduler_judge_holds(self)) {
        release(self);
    }
}
