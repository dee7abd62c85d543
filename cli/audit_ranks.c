/* The rules, in the order in which they are needed.
 *
 * A place among the first W counts from the first view at 0, whether somebody holds it or not; in a
 * job that goes on from a snapshot, at the clock at which it goes on.
 * Whoever else enters is put at the minimum of those who stay, and never below a minimum that was
 * once reached; the first CLOCK of such a rank only says where it starts. IDLE and BYE end the open
 * period, if there is one; RESUME puts a rank where it wants to be, but not below the minimum. A
 * CLOSE of period p means that nobody enters p any more. */
#include "cli/audit_ranks.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/wire/control.h"

#define RUB_AUDIT_RANKS_LIMIT 4096u

void rub_audit_ranks_init(rub_audit_ranks_t *self)
{
    *self = (rub_audit_ranks_t){0};
}

void rub_audit_ranks_fini(rub_audit_ranks_t *self)
{
    rub_free(self->items);
    rub_audit_ranks_init(self);
}

uint64_t rub_audit_ranks_minimum(const rub_audit_ranks_t *self)
{
    uint64_t minimum = UINT64_MAX;
    for (size_t i = 0; i < self->n; i++) {
        if (self->items[i].counted && self->items[i].finished < minimum) {
            minimum = self->items[i].finished;
        }
    }
    return minimum;
}

uint64_t rub_audit_ranks_seq(const rub_audit_ranks_t *self, uint32_t rank, uint32_t epoch)
{
    if (rank >= self->n || self->items[rank].epoch < epoch) {
        return 0;
    }
    return self->items[rank].epoch > epoch ? UINT64_MAX : self->items[rank].records;
}

static void note_highest(rub_audit_ranks_t *self)
{
    const uint64_t minimum = rub_audit_ranks_minimum(self);
    if (minimum != UINT64_MAX && minimum > self->highest) {
        self->highest = minimum;
    }
}

/* Where one enters who enters now. */
static uint64_t entrance(const rub_audit_ranks_t *self)
{
    const uint64_t minimum = rub_audit_ranks_minimum(self);
    return minimum != UINT64_MAX && minimum > self->highest ? minimum : self->highest;
}

static int reach(rub_audit_ranks_t *self, uint32_t rank)
{
    if (rank >= RUB_AUDIT_RANKS_LIMIT) {
        return RUB_ECORRUPT;
    }
    if (rub_grow(&self->items, &self->capacity, (size_t)rank + 1, sizeof *self->items) != 0) {
        return RUB_ENOMEM;
    }
    while (self->n <= rank) {
        self->items[self->n++] = (rub_audit_rank_t){0};
    }
    return 0;
}

static void let_go(rub_audit_rank_t *rank, const rub_rank_view_t *seen)
{
    const bool later_epoch = rank->epoch > 0 && seen->epoch > rank->epoch;
    const bool ended = seen->epoch == rank->epoch && seen->state != RUB_RANK_LIVE;
    if (later_epoch || ended) {
        rank->counted = false;
    }
}

static void let_in(rub_audit_rank_t *rank, const rub_rank_view_t *seen, bool founding, uint64_t at)
{
    if (rank->present && seen->epoch <= rank->epoch) {
        return;
    }
    const bool kept_place = rank->present && rank->epoch == 0 && rank->counted;
    const uint64_t start = kept_place ? rank->finished : founding ? 0 : at;
    *rank = (rub_audit_rank_t){.epoch = seen->epoch,
                               .present = true,
                               .counted = seen->state == RUB_RANK_LIVE,
                               .finished = start};
}

/* The places of the first W, those that are not there yet. */
static int keep_places(rub_audit_ranks_t *self, uint32_t n_workers, uint64_t at)
{
    for (uint32_t i = 0; i < n_workers; i++) {
        const int rc = reach(self, i);
        if (rc != 0) {
            return rc;
        }
        if (!self->items[i].present) {
            self->items[i].present = true;
            self->items[i].counted = true;
            self->items[i].finished = at;
        }
    }
    return 0;
}

static int take_view(rub_audit_ranks_t *self, const rub_view_t *view)
{
    if (!self->founded && view->resumed_clock > 0) {
        const int rc = keep_places(self, view->n_workers, view->resumed_clock);
        if (rc != 0) {
            return rc;
        }
        self->highest = view->resumed_clock;
        self->founded = true;
    }
    const bool founding = !self->founded;
    for (uint32_t i = 0; i < view->n_ranks; i++) {
        const int rc = reach(self, view->ranks[i].rank);
        if (rc != 0) {
            return rc;
        }
        rub_audit_rank_t *rank = &self->items[view->ranks[i].rank];
        if (rank->present) {
            let_go(rank, &view->ranks[i]);
        }
    }
    const uint64_t at = entrance(self);
    for (uint32_t i = 0; i < view->n_ranks; i++) {
        let_in(&self->items[view->ranks[i].rank], &view->ranks[i], founding, at);
    }
    self->founded = true;
    return founding ? keep_places(self, view->n_workers, 0) : 0;
}

static int decode_view(rub_audit_ranks_t *self, const void *payload, size_t n_bytes,
                       rub_error_t *err)
{
    rub_arena_t arena;
    rub_control_t message;
    rub_arena_init(&arena);
    int rc = rub_control_decode(payload, n_bytes, &arena, &message, err);
    if (rc == 0 && message.type != RUB_MSG_VIEW) {
        rc = rub_fail(err, RUB_ECORRUPT, "a VIEW record holds message %u", message.type);
    }
    if (rc == 0) {
        rc = take_view(self, &message.view);
        rc = rc ? rub_fail(err, rc, "a VIEW record's ranks cannot be taken") : 0;
    }
    rub_arena_fini(&arena);
    return rc;
}

static void end_period(rub_audit_rank_t *rank, uint64_t clock)
{
    if (rank->open || clock == rank->finished + 1) {
        rank->finished++;
    }
    rank->open = false;
}

static void go_to(rub_audit_rank_t *rank, uint64_t clock)
{
    if (clock > rank->finished) {
        rank->finished = clock;
        rank->open = false;
    }
}

static void take_stream(rub_audit_ranks_t *self, rub_audit_rank_t *rank, rub_record_type_t type,
                        const rub_record_t *record)
{
    const uint64_t at = entrance(self);
    rank->records = record->seq;
    switch (type) {
    case RUB_RECORD_PUSH:
    case RUB_RECORD_REVISION:
        rank->open = true;
        break;
    case RUB_RECORD_CLOCK:
        go_to(rank, record->clock);
        rank->open = false;
        break;
    case RUB_RECORD_IDLE:
    case RUB_RECORD_BYE:
        end_period(rank, record->clock);
        rank->counted = false;
        break;
    case RUB_RECORD_RESUME:
        end_period(rank, UINT64_MAX);
        go_to(rank, record->clock);
        go_to(rank, at);
        rank->counted = true;
        break;
    case RUB_RECORD_LOST:
        rank->records = record->values_bytes >= 8 ? rub_get_u64(record->values) : record->seq;
        go_to(rank, record->clock);
        if (!rank->counted) {
            go_to(rank, at);
        }
        rank->counted = true;
        break;
    default: /* REFUSED takes its seq and changes nothing */
        break;
    }
}

int rub_audit_ranks_take(rub_audit_ranks_t *self, rub_record_type_t type, const void *payload,
                         size_t n_bytes, rub_error_t *err)
{
    rub_record_t record;
    rub_close_record_t close;
    int rc = 0;
    switch (type) {
    case RUB_RECORD_VIEW:
        rc = decode_view(self, payload, n_bytes, err);
        break;
    case RUB_RECORD_CLOSE:
        rc = rub_close_read(payload, n_bytes, &close, err);
        if (rc == 0 && close.period + 1 > self->highest) {
            self->highest = close.period + 1;
        }
        break;
    case RUB_RECORD_SYNC:
    case RUB_RECORD_DELETE:
        break;
    default:
        rc = rub_record_read(type, payload, n_bytes, &record, err);
        if (rc == 0 && record.rank < self->n && self->items[record.rank].epoch == record.epoch) {
            take_stream(self, &self->items[record.rank], type, &record);
        } else if (rc == 0) {
            rc = rub_fail(err, RUB_ECORRUPT,
                          "a record of rank %u, epoch %u, which no view has named", record.rank,
                          record.epoch);
        }
        break;
    }
    note_highest(self);
    return rc;
}
