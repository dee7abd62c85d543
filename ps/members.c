/* What happens to a rank, free of tables, sockets and journals, so that a record means the same
 * when it arrives and when it is replayed.
 *
 * The one invariant that everything else leans on: whoever enters the counted set enters at or
 * above every minimum that was ever shown (rub_members_pin). A view is taken in two passes for that
 * reason: first the dead leave, then the new are pinned at the minimum of those who stay. One
 * exception is no exception: a place among the first W that nobody has held yet (epoch 0) counts
 * from the first view, with done = 0 (in a restored job: at the clock of the cut), and its first
 * holder takes it over as it is, or a quick first gang would run away from a slow one (design,
 * section 4). */
#include "ps/members.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/mutant.h"

void rub_members_init(rub_members_t *self)
{
    *self = (rub_members_t){.items = NULL};
}

void rub_members_fini(rub_members_t *self)
{
    rub_free(self->items);
    *self = (rub_members_t){.items = NULL};
}

rub_member_t *rub_members_find(const rub_members_t *self, uint32_t rank)
{
    return rank < self->n && self->items[rank].known ? &self->items[rank] : NULL;
}

bool rub_member_counts(const rub_member_t *member)
{
    return member->known && member->state == RUB_RANK_LIVE && !member->idle && !member->bye &&
           !(RUB_MUTANT(GANG_NOT_COUNTED) && member->applied == 0);
}

uint64_t rub_members_minimum(const rub_members_t *self)
{
    uint64_t minimum = UINT64_MAX;
    for (size_t i = 0; i < self->n; i++) {
        const rub_member_t *member = &self->items[i];
        if (rub_member_counts(member) && member->done < minimum) {
            minimum = member->done;
        }
    }
    return minimum;
}

void rub_members_raise_floor(rub_members_t *self, uint64_t minimum)
{
    if (minimum != UINT64_MAX && minimum > self->floor && !RUB_MUTANT(FLOOR_FORGOTTEN)) {
        self->floor = minimum;
    }
}

uint64_t rub_members_pin(const rub_members_t *self)
{
    if (self->unpinned) {
        return self->floor; /* as the records told it */
    }
    const uint64_t minimum = rub_members_minimum(self);
    return minimum == UINT64_MAX || minimum < self->floor ? self->floor : minimum;
}

static int make_room(rub_members_t *self, uint32_t rank)
{
    const size_t want = (size_t)rank + 1;
    if (want <= self->n) {
        return 0;
    }
    if (rub_grow(&self->items, &self->capacity, want, sizeof(*self->items)) != 0) {
        return RUB_ENOMEM;
    }
    for (size_t i = self->n; i < want; i++) {
        self->items[i] = (rub_member_t){.rank = (uint32_t)i, .heard_ms = UINT64_MAX};
    }
    self->n = want;
    return 0;
}

static bool is_vacant(const rub_member_t *member)
{
    return member->known && member->epoch == 0 && member->state == RUB_RANK_LIVE;
}

/* First pass: who is over leaves the counted set. */
static void retire(rub_member_t *member, const rub_rank_view_t *seen, rub_member_over_t over,
                   void *context)
{
    if (is_vacant(member) && seen->epoch == 0) {
        member->state = seen->state; /* nobody came, and nobody will */
        return;
    }
    if (!member->known || is_vacant(member) || seen->epoch < member->epoch) {
        return;
    }
    const bool replaced = seen->epoch > member->epoch;
    const bool gone = seen->state != RUB_RANK_LIVE && member->state == RUB_RANK_LIVE;
    if (!replaced && !gone) {
        return;
    }
    if (replaced || seen->state == RUB_RANK_GONE) {
        over(context, member);
        member->bound = false;
        member->pushed = false;
        memset(member->reads, 0, sizeof(member->reads)); /* its own, not its successor's */
    }
    member->state = replaced ? (uint32_t)RUB_RANK_GONE : seen->state;
}

/* Second pass: a new epoch enters. */
static void enter(rub_member_t *member, const rub_rank_view_t *seen, bool founding, uint64_t pin,
                  uint64_t lsn)
{
    if (member->known && seen->epoch <= member->epoch) {
        return;
    }
    const bool takes_over = is_vacant(member);
    const rub_member_t entered = {
        .known = true,
        .rank = member->rank,
        .epoch = seen->epoch,
        .state = seen->state,
        .joined = !founding && !takes_over && pin > 0, /* at 0 there is nothing to jump over */
        .may_jump = true,
        .done = takes_over ? member->done
                : founding ? 0
                           : pin,
        .heard_ms = UINT64_MAX,
        .entered_lsn = founding || takes_over ? 0 : lsn,
    };
    *member = entered;
}

int rub_members_take_view(rub_members_t *self, const rub_view_t *view, uint64_t lsn,
                          rub_member_over_t over, void *context)
{
    const bool founding = !self->founded;
    for (uint32_t i = 0; i < view->n_ranks; i++) {
        if (view->ranks[i].rank < RUB_RANKS_LIMIT && make_room(self, view->ranks[i].rank) != 0) {
            return RUB_ENOMEM;
        }
    }
    for (uint32_t i = 0; i < view->n_ranks; i++) {
        if (view->ranks[i].rank < RUB_RANKS_LIMIT) {
            retire(&self->items[view->ranks[i].rank], &view->ranks[i], over, context);
        }
    }
    const uint64_t pin = rub_members_pin(self);
    for (uint32_t i = 0; i < view->n_ranks; i++) {
        if (view->ranks[i].rank < RUB_RANKS_LIMIT) {
            enter(&self->items[view->ranks[i].rank], &view->ranks[i], founding, pin, lsn);
        }
    }
    for (uint32_t rank = 0; founding && rank < view->n_workers && rank < RUB_RANKS_LIMIT; rank++) {
        if (make_room(self, rank) != 0) {
            return RUB_ENOMEM;
        }
        rub_member_t *member = &self->items[rank];
        if (!member->known) {
            member->known = true; /* its place is kept at 0 until it comes */
            member->state = RUB_RANK_LIVE;
        }
    }
    self->founded = true;
    return 0;
}

int rub_members_found(rub_members_t *self, uint32_t n_workers, uint64_t clock)
{
    RUB_ASSERT(!self->founded);
    RUB_ASSERT(self->n == 0);
    for (uint32_t rank = 0; rank < n_workers; rank++) {
        if (make_room(self, rank) != 0) {
            return RUB_ENOMEM;
        }
        rub_member_t *member = &self->items[rank];
        member->known = true;
        member->state = RUB_RANK_LIVE;
        member->done = clock;
    }
    self->floor = clock;
    self->founded = true;
    return 0;
}

/* ---- admission ---- */

static int check_active(const rub_member_t *member)
{
    return member->idle || member->bye ? RUB_ENOWORKER : 0;
}

int rub_member_check_push(const rub_member_t *member, uint64_t clock)
{
    const int rc = check_active(member);
    if (rc != 0) {
        return rc;
    }
    return clock == member->done ? 0 : RUB_ECLOCK;
}

static bool clock_fits(const rub_member_t *member, uint64_t clock)
{
    if (clock > RUB_CLOCK_LIMIT) {
        return false;
    }
    return clock == member->done + 1 || (member->may_jump && clock >= member->done);
}

int rub_member_check_clock(const rub_member_t *member, uint64_t clock, size_t cursor_bytes)
{
    const int rc = check_active(member);
    if (rc != 0) {
        return rc;
    }
    if (cursor_bytes > RUB_CURSOR_LIMIT) {
        return RUB_ESHAPE;
    }
    return clock_fits(member, clock) ? 0 : RUB_ECLOCK;
}

int rub_member_check_pause(const rub_member_t *member, uint64_t clock, size_t cursor_bytes)
{
    if (member->bye) {
        return RUB_ENOWORKER;
    }
    if (cursor_bytes > RUB_CURSOR_LIMIT) {
        return RUB_ESHAPE;
    }
    return clock == member->done || clock == member->done + 1 ? 0 : RUB_ECLOCK;
}

int rub_member_check_resume(const rub_member_t *member, uint64_t clock)
{
    if (member->bye) {
        return RUB_ENOWORKER;
    }
    return clock > RUB_CLOCK_LIMIT ? RUB_ECLOCK : 0;
}

/* ---- records ---- */

static void take_seq(rub_member_t *member)
{
    member->applied++;
    member->joined = false;
    member->may_jump = false;
}

static void take_cursor(rub_member_t *member, const rub_record_t *record)
{
    if (record->values_bytes > 0 && record->values_bytes <= RUB_CURSOR_LIMIT) {
        member->cursor_bytes = (uint32_t)record->values_bytes;
        memcpy(member->cursor, record->values, record->values_bytes);
    }
}

void rub_member_push(rub_member_t *member)
{
    take_seq(member);
    member->pushed = true;
}

bool rub_member_clock(rub_member_t *member, const rub_record_t *record)
{
    /* A joiner's first CLOCK(J) says where it starts; it ends nothing, even when J is the pin + 1.
     */
    const bool ended = record->clock == member->done + 1 && !member->joined;
    take_seq(member);
    take_cursor(member, record);
    if (record->clock > member->done) {
        member->done = record->clock;
    }
    member->pushed = false;
    return ended;
}

static bool end_open_period(rub_member_t *member, uint64_t clock)
{
    const bool ended =
        (member->pushed || clock == member->done + 1) && !RUB_MUTANT(IDLE_LEAVES_OPEN);
    if (ended) {
        member->done++;
    }
    member->pushed = false;
    return ended;
}

bool rub_member_idle(rub_member_t *member, const rub_record_t *record)
{
    take_seq(member);
    take_cursor(member, record);
    const bool ended = end_open_period(member, record->clock);
    member->idle = !RUB_MUTANT(BARRIER_COUNTED);
    member->whole = (record->flags & RUB_RECORD_WHOLE) != 0;
    return ended;
}

bool rub_member_bye(rub_member_t *member, const rub_record_t *record)
{
    take_seq(member);
    take_cursor(member, record);
    const bool ended = end_open_period(member, record->clock);
    member->bye = true;
    return ended;
}

bool rub_member_resume(rub_member_t *member, const rub_record_t *record, uint64_t pin)
{
    take_seq(member);
    const bool ended = end_open_period(member, UINT64_MAX);
    if (record->clock > member->done) {
        member->done = record->clock;
    }
    if (pin > member->done && !RUB_MUTANT(RESUME_LOW)) {
        member->done = pin;
    }
    member->idle = false;
    member->whole = false;
    member->may_jump = true;
    return ended;
}

void rub_member_refuse(rub_member_t *member, const rub_record_t *record, int code)
{
    /* A refused first record leaves the right to jump: the rank has not said yet where it starts.
     */
    member->applied += RUB_MUTANT(VERDICT_FREE) ? 0 : 1;
    member->refused++;
    member->refused_seq = record->seq;
    member->refused_code = code;
}

bool rub_member_lost(rub_member_t *member, const rub_record_t *record, uint64_t last, uint64_t pin)
{
    /* A RESUME may be among what was lost, so the rank counts again; one that stands idle says IDLE
     * again behind this. */
    const uint64_t least = member->idle && pin > record->clock ? pin : record->clock;
    const bool ended = member->pushed && least > member->done;
    member->applied = last;
    if (least > member->done) {
        member->done = least;
        member->pushed = false;
    }
    member->idle = false;
    member->whole = false;
    member->joined = false;
    member->may_jump = true;
    return ended;
}

/* ---- state ---- */

enum { IS_IDLE = 1, IS_BYE = 2, IS_JOINED = 4, IS_MAY_JUMP = 8, IS_PUSHED = 16, IS_WHOLE = 32 };

static uint32_t marks_of(const rub_member_t *member)
{
    return (member->idle ? (uint32_t)IS_IDLE : 0) | (member->bye ? (uint32_t)IS_BYE : 0) |
           (member->joined ? (uint32_t)IS_JOINED : 0) |
           (member->may_jump ? (uint32_t)IS_MAY_JUMP : 0) |
           (member->pushed ? (uint32_t)IS_PUSHED : 0) | (member->whole ? (uint32_t)IS_WHOLE : 0);
}

void rub_members_encode(const rub_members_t *self, rub_buf_t *out)
{
    uint32_t n = 0;
    for (size_t i = 0; i < self->n; i++) {
        n += self->items[i].known ? 1 : 0;
    }
    rub_buf_u64(out, self->floor);
    rub_buf_u32(out, self->founded ? 1 : 0);
    rub_buf_u32(out, n);
    for (size_t i = 0; i < self->n; i++) {
        const rub_member_t *member = &self->items[i];
        if (!member->known) {
            continue;
        }
        rub_buf_u32(out, member->rank);
        rub_buf_u32(out, member->epoch);
        rub_buf_u32(out, member->state);
        rub_buf_u32(out, marks_of(member));
        rub_buf_u64(out, member->applied);
        rub_buf_u64(out, member->done);
        rub_buf_u64(out, member->refused);
        rub_buf_u64(out, member->refused_seq);
        rub_buf_u32(out, (uint32_t)member->refused_code);
        rub_buf_u32(out, member->cursor_bytes);
        rub_buf_append(out, member->cursor, member->cursor_bytes);
    }
}

static int decode_member(rub_members_t *self, rub_reader_t *in, rub_error_t *err)
{
    const uint32_t rank = rub_read_u32(in);
    if (in->failed || rank >= RUB_RANKS_LIMIT) {
        return rub_fail(err, RUB_ECORRUPT, "stored state: rank %u, limit %u", rank,
                        RUB_RANKS_LIMIT);
    }
    if (make_room(self, rank) != 0) {
        return rub_fail(err, RUB_ENOMEM, "rank %u: no memory", rank);
    }
    rub_member_t *member = &self->items[rank];
    member->known = true;
    member->epoch = rub_read_u32(in);
    member->state = rub_read_u32(in);
    const uint32_t marks = rub_read_u32(in);
    member->idle = (marks & IS_IDLE) != 0;
    member->bye = (marks & IS_BYE) != 0;
    member->joined = (marks & IS_JOINED) != 0;
    member->may_jump = (marks & IS_MAY_JUMP) != 0;
    member->pushed = (marks & IS_PUSHED) != 0;
    member->whole = (marks & IS_WHOLE) != 0;
    member->applied = rub_read_u64(in);
    member->done = rub_read_u64(in);
    member->refused = rub_read_u64(in);
    member->refused_seq = rub_read_u64(in);
    member->refused_code = (int32_t)rub_read_u32(in);
    member->cursor_bytes = rub_read_u32(in);
    member->synced = member->applied; /* what a checkpoint holds is on the platter */
    if (in->failed || member->cursor_bytes > RUB_CURSOR_LIMIT) {
        return rub_fail(err, RUB_ECORRUPT,
                        "stored state: rank %u has a cursor of %u bytes, limit %u", rank,
                        member->cursor_bytes, RUB_CURSOR_LIMIT);
    }
    if (member->done > RUB_CLOCK_STORED_LIMIT) {
        return rub_fail(err, RUB_ECORRUPT, "stored state: rank %u has clock %llu, limit %llu", rank,
                        (unsigned long long)member->done,
                        (unsigned long long)RUB_CLOCK_STORED_LIMIT);
    }
    const void *cursor = rub_read_bytes(in, member->cursor_bytes);
    if (member->cursor_bytes > 0 && cursor) {
        memcpy(member->cursor, cursor, member->cursor_bytes);
    }
    return in->failed ? rub_fail(err, RUB_ECORRUPT, "stored state: rank %u is cut off", rank) : 0;
}

int rub_members_decode(rub_members_t *self, rub_reader_t *in, rub_error_t *err)
{
    RUB_ASSERT(self->n == 0);
    self->floor = rub_read_u64(in);
    self->founded = rub_read_u32(in) != 0;
    const uint32_t n = rub_read_u32(in);
    for (uint32_t i = 0; i < n; i++) {
        const int rc = decode_member(self, in, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (in->failed) {
        return rub_fail(err, RUB_ECORRUPT, "stored state: ranks are cut off");
    }
    const uint64_t minimum = rub_members_minimum(self);
    return minimum >= self->floor
               ? 0
               : rub_fail(err, RUB_ECORRUPT,
                          "stored state: a counted rank stands at clock %llu, below %llu, where "
                          "all have been",
                          (unsigned long long)minimum, (unsigned long long)self->floor);
}
