/* Bsp's waiting room. A period's result must not depend on who came first, on how many shards there
 * are, or on a crash in between; so pushes wait here until all have ended the period and are then
 * handed out sorted. They are sorted when they are taken, not when they come: arrival stays O(1),
 * and a rank's own pushes come in seq order anyway.
 *
 * Few periods are open at a time (a rank that pulls cannot run ahead), so they stand in a sorted
 * array. Invariant: bytes and growth are the sums over what is kept. */
#include "ps/period.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/mutant.h"

#include <stdlib.h>

typedef struct rub_period {
    uint64_t number;
    uint32_t participants;
    rub_kept_push_t **pushes;
    size_t n_pushes, capacity;
} rub_period_t;

struct rub_periods {
    rub_period_t *items; /* ascending number */
    size_t n, capacity;
    size_t bytes, growth;
};

rub_periods_t *rub_periods_new(void)
{
    return rub_calloc(1, sizeof(rub_periods_t));
}

static size_t kept_bytes(const rub_kept_push_t *push)
{
    return sizeof(*push) + push->record.keys_bytes + push->record.values_bytes;
}

static void free_push(rub_periods_t *self, rub_kept_push_t *push)
{
    self->bytes -= kept_bytes(push);
    self->growth -= push->growth_bytes;
    rub_free(push);
}

static void fini_period(rub_periods_t *self, rub_period_t *period)
{
    for (size_t i = 0; i < period->n_pushes; i++) {
        free_push(self, period->pushes[i]);
    }
    rub_free(period->pushes);
}

void rub_periods_destroy(rub_periods_t **self_p)
{
    rub_periods_t *self = *self_p;
    *self_p = NULL;
    if (self) {
        for (size_t i = 0; i < self->n; i++) {
            fini_period(self, &self->items[i]);
        }
        rub_free(self->items);
        rub_free(self);
    }
}

static rub_period_t *find(const rub_periods_t *self, uint64_t number)
{
    for (size_t i = self->n; i > 0; i--) { /* mostly the newest */
        if (self->items[i - 1].number <= number) {
            return self->items[i - 1].number == number ? &self->items[i - 1] : NULL;
        }
    }
    return NULL;
}

static rub_period_t *find_or_add(rub_periods_t *self, uint64_t number)
{
    rub_period_t *period = find(self, number);
    if (period) {
        return period;
    }
    if (rub_grow(&self->items, &self->capacity, self->n + 1, sizeof(*self->items)) != 0) {
        return NULL;
    }
    size_t at = self->n;
    while (at > 0 && self->items[at - 1].number > number) {
        at--;
    }
    memmove(&self->items[at + 1], &self->items[at], (self->n - at) * sizeof(*self->items));
    self->items[at] = (rub_period_t){.number = number};
    self->n++;
    return &self->items[at];
}

int rub_periods_keep(rub_periods_t *self, const rub_record_t *record, size_t growth_bytes)
{
    rub_period_t *period = find_or_add(self, record->clock);
    if (!period || rub_grow(&period->pushes, &period->capacity, period->n_pushes + 1,
                            sizeof(rub_kept_push_t *)) != 0) {
        return RUB_ENOMEM;
    }
    rub_kept_push_t *push = rub_alloc(sizeof(*push) + record->keys_bytes + record->values_bytes);
    if (!push) {
        return RUB_ENOMEM;
    }
    push->record = *record;
    push->growth_bytes = growth_bytes;
    push->record.keys = push->bytes;
    push->record.values = push->bytes + record->keys_bytes;
    if (record->keys_bytes > 0) {
        memcpy(push->bytes, record->keys, record->keys_bytes);
    }
    if (record->values_bytes > 0) {
        memcpy(push->bytes + record->keys_bytes, record->values, record->values_bytes);
    }
    period->pushes[period->n_pushes++] = push;
    self->bytes += kept_bytes(push);
    self->growth += growth_bytes;
    return 0;
}

int rub_periods_end(rub_periods_t *self, uint64_t number)
{
    rub_period_t *period = find_or_add(self, number);
    if (!period) {
        return RUB_ENOMEM;
    }
    period->participants++;
    return 0;
}

void rub_periods_drop(rub_periods_t *self, uint32_t rank, uint32_t epoch, uint64_t number)
{
    rub_period_t *period = find(self, number);
    if (!period) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < period->n_pushes; i++) {
        const rub_record_t *record = &period->pushes[i]->record;
        if (record->rank == rank && (record->epoch == epoch || RUB_MUTANT(DROP_ALL_EPOCHS))) {
            free_push(self, period->pushes[i]);
        } else {
            period->pushes[kept++] = period->pushes[i];
        }
    }
    period->n_pushes = kept;
}

uint64_t rub_periods_first(const rub_periods_t *self)
{
    return self->n > 0 ? self->items[0].number : UINT64_MAX;
}

uint64_t rub_periods_first_pushed(const rub_periods_t *self)
{
    for (size_t i = 0; i < self->n; i++) {
        if (self->items[i].n_pushes > 0) {
            return self->items[i].number;
        }
    }
    return UINT64_MAX;
}

static int compare_pushes(const void *a, const void *b)
{
    const rub_record_t *x = &(*(rub_kept_push_t *const *)a)->record;
    const rub_record_t *y = &(*(rub_kept_push_t *const *)b)->record;
    if (x->rank != y->rank) {
        return x->rank < y->rank ? -1 : 1;
    }
    if (x->epoch != y->epoch) {
        return x->epoch < y->epoch ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

size_t rub_periods_pushes(rub_periods_t *self, uint64_t number, rub_kept_push_t *const **pushes_p,
                          uint32_t *participants_p)
{
    rub_period_t *period = find(self, number);
    if (!period) {
        *pushes_p = NULL;
        *participants_p = 0;
        return 0;
    }
    if (period->n_pushes > 1) {
        qsort(period->pushes, period->n_pushes, sizeof(rub_kept_push_t *), compare_pushes);
    }
    *pushes_p = period->pushes;
    *participants_p = period->participants;
    return period->n_pushes;
}

void rub_periods_forget(rub_periods_t *self, uint64_t number)
{
    size_t n = 0;
    while (n < self->n && self->items[n].number <= number) {
        fini_period(self, &self->items[n]);
        n++;
    }
    if (n > 0) {
        memmove(self->items, self->items + n, (self->n - n) * sizeof(*self->items));
        self->n -= n;
    }
}

size_t rub_periods_open(const rub_periods_t *self)
{
    return self->n;
}

size_t rub_periods_bytes(const rub_periods_t *self)
{
    return self->bytes;
}

size_t rub_periods_growth(const rub_periods_t *self)
{
    return self->growth;
}

void rub_periods_encode(const rub_periods_t *self, rub_buf_t *out)
{
    rub_buf_u64(out, self->n);
    for (size_t i = 0; i < self->n; i++) {
        const rub_period_t *period = &self->items[i];
        rub_buf_u64(out, period->number);
        rub_buf_u32(out, period->participants);
        rub_buf_u64(out, period->n_pushes);
        for (size_t j = 0; j < period->n_pushes; j++) {
            const rub_kept_push_t *push = period->pushes[j];
            uint8_t head[RUB_RECORD_HEAD_BYTES];
            rub_record_write_head(&push->record, head);
            const size_t body = push->record.keys_bytes + push->record.values_bytes;
            rub_buf_u64(out, push->growth_bytes);
            rub_buf_u64(out, sizeof(head) + body);
            rub_buf_append(out, head, sizeof(head));
            rub_buf_append(out, push->bytes, body);
        }
    }
}

static int decode_push(rub_periods_t *self, rub_reader_t *in, rub_error_t *err)
{
    const uint64_t growth = rub_read_u64(in);
    const uint64_t n_bytes = rub_read_u64(in);
    if (in->failed || n_bytes > in->left) {
        return rub_fail(err, RUB_ECORRUPT, "stored state: an open push is cut off");
    }
    rub_record_t record;
    const int rc = rub_record_read(RUB_RECORD_PUSH, rub_read_bytes(in, (size_t)n_bytes),
                                   (size_t)n_bytes, &record, err);
    if (rc != 0) {
        return rc;
    }
    if (rub_periods_keep(self, &record, (size_t)growth) != 0) {
        return rub_fail(err, RUB_ENOMEM, "open push of %zu bytes: no memory", (size_t)n_bytes);
    }
    return 0;
}

int rub_periods_decode(rub_periods_t *self, rub_reader_t *in, rub_error_t *err)
{
    RUB_ASSERT(self->n == 0);
    const uint64_t n = rub_read_u64(in);
    for (uint64_t i = 0; i < n && !in->failed; i++) {
        const uint64_t number = rub_read_u64(in);
        const uint32_t participants = rub_read_u32(in);
        const uint64_t n_pushes = rub_read_u64(in);
        if (in->failed) {
            break;
        }
        rub_period_t *period = find_or_add(self, number);
        if (!period) {
            return rub_fail(err, RUB_ENOMEM, "open periods: no memory");
        }
        period->participants = participants;
        for (uint64_t j = 0; j < n_pushes; j++) {
            const int rc = decode_push(self, in, err);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return in->failed ? rub_fail(err, RUB_ECORRUPT, "stored state: open periods are cut off") : 0;
}
