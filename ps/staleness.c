/* The gate. Two parts that meet in one number:
 *
 * The counted set is an array by rank; the minimum is cached with the number of ranks that stand at
 * it, so that only the last rank to leave the minimum pays for a scan. The waiters are a binary
 * heap of pointers into the callers' structs, each knowing its place, so that a cancelled pull
 * leaves in O(log n).
 *
 * Invariant: minimum_count > 0 iff somebody is counted, and then no counted rank is below minimum.
 * That no minimum ever falls is the law of who lets ranks in (ps/members.h); a set that is rebuilt
 * after a crash is filled in any order, so it cannot be asserted here. */
#include "ps/staleness.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"

typedef struct rub_counted {
    bool counted;
    uint64_t done;
} rub_counted_t;

struct rub_staleness {
    uint64_t bound;
    rub_counted_t *ranks;
    size_t n_ranks, ranks_capacity;
    uint64_t minimum;     /* UINT64_MAX: nobody */
    size_t minimum_count; /* ranks that stand there */
    rub_waiter_t **heap;
    size_t n_heap, heap_capacity;
};

rub_staleness_t *rub_staleness_new(uint64_t bound_clocks)
{
    rub_staleness_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        self->bound = bound_clocks;
        self->minimum = UINT64_MAX;
    }
    return self;
}

void rub_staleness_destroy(rub_staleness_t **self_p)
{
    rub_staleness_t *self = *self_p;
    *self_p = NULL;
    if (self) {
        rub_free(self->ranks);
        rub_free(self->heap);
        rub_free(self);
    }
}

uint64_t rub_staleness_bound(const rub_staleness_t *self)
{
    return self->bound;
}

void rub_staleness_set_bound(rub_staleness_t *self, uint64_t bound_clocks)
{
    self->bound = bound_clocks;
}

static void find_minimum(rub_staleness_t *self)
{
    self->minimum = UINT64_MAX;
    self->minimum_count = 0;
    for (size_t i = 0; i < self->n_ranks; i++) {
        const rub_counted_t *rank = &self->ranks[i];
        if (!rank->counted || rank->done > self->minimum) {
            continue;
        }
        self->minimum_count = rank->done < self->minimum ? 1 : self->minimum_count + 1;
        self->minimum = rank->done;
    }
}

static void leave_minimum(rub_staleness_t *self, uint64_t done)
{
    if (done == self->minimum) {
        RUB_ASSERT(self->minimum_count > 0);
        self->minimum_count--;
        if (self->minimum_count == 0) {
            find_minimum(self);
        }
    }
}

static int make_room(rub_staleness_t *self, uint32_t rank)
{
    if (rank < self->n_ranks) {
        return 0;
    }
    const size_t want = (size_t)rank + 1;
    if (rub_grow(&self->ranks, &self->ranks_capacity, want, sizeof(*self->ranks)) != 0) {
        return RUB_ENOMEM;
    }
    for (size_t i = self->n_ranks; i < want; i++) {
        self->ranks[i] = (rub_counted_t){.counted = false};
    }
    self->n_ranks = want;
    return 0;
}

int rub_staleness_count(rub_staleness_t *self, uint32_t rank, uint64_t done)
{
    RUB_ASSERT(done != UINT64_MAX);
    if (make_room(self, rank) != 0) {
        return RUB_ENOMEM;
    }
    rub_counted_t *counted = &self->ranks[rank];
    if (counted->counted) {
        const uint64_t before = counted->done;
        RUB_ASSERT(done >= before);
        if (done != before) {
            counted->done = done;
            leave_minimum(self, before);
        }
        return 0;
    }
    *counted = (rub_counted_t){.counted = true, .done = done};
    if (done == self->minimum) {
        self->minimum_count++;
    } else if (done < self->minimum) {
        self->minimum = done;
        self->minimum_count = 1;
    }
    return 0;
}

void rub_staleness_uncount(rub_staleness_t *self, uint32_t rank)
{
    if (rub_staleness_counts(self, rank)) {
        self->ranks[rank].counted = false;
        leave_minimum(self, self->ranks[rank].done);
    }
}

bool rub_staleness_counts(const rub_staleness_t *self, uint32_t rank)
{
    return rank < self->n_ranks && self->ranks[rank].counted;
}

uint64_t rub_staleness_minimum(const rub_staleness_t *self)
{
    return self->minimum;
}

uint64_t rub_staleness_needed(const rub_staleness_t *self, uint64_t clock)
{
    return clock > self->bound ? clock - self->bound : 0;
}

static void place(rub_staleness_t *self, size_t at, rub_waiter_t *waiter)
{
    self->heap[at] = waiter;
    waiter->place = at;
}

static void sift_up(rub_staleness_t *self, size_t at, rub_waiter_t *waiter)
{
    while (at > 0) {
        const size_t parent = (at - 1) / 2;
        if (self->heap[parent]->needed <= waiter->needed) {
            break;
        }
        place(self, at, self->heap[parent]);
        at = parent;
    }
    place(self, at, waiter);
}

static void sift_down(rub_staleness_t *self, size_t at, rub_waiter_t *waiter)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->n_heap) {
            break;
        }
        if (child + 1 < self->n_heap && self->heap[child + 1]->needed < self->heap[child]->needed) {
            child++;
        }
        if (self->heap[child]->needed >= waiter->needed) {
            break;
        }
        place(self, at, self->heap[child]);
        at = child;
    }
    place(self, at, waiter);
}

int rub_staleness_park(rub_staleness_t *self, rub_waiter_t *waiter)
{
    RUB_ASSERT(waiter->place == RUB_NOT_PARKED);
    if (rub_grow(&self->heap, &self->heap_capacity, self->n_heap + 1, sizeof(rub_waiter_t *)) !=
        0) {
        return RUB_ENOMEM;
    }
    self->n_heap++;
    sift_up(self, self->n_heap - 1, waiter);
    return 0;
}

void rub_staleness_unpark(rub_staleness_t *self, rub_waiter_t *waiter)
{
    const size_t at = waiter->place;
    if (at == RUB_NOT_PARKED) {
        return;
    }
    RUB_ASSERT(at < self->n_heap);
    RUB_ASSERT(self->heap[at] == waiter);
    waiter->place = RUB_NOT_PARKED;
    self->n_heap--;
    if (at == self->n_heap) {
        return;
    }
    rub_waiter_t *last = self->heap[self->n_heap];
    if (at > 0 && self->heap[(at - 1) / 2]->needed > last->needed) {
        sift_up(self, at, last);
    } else {
        sift_down(self, at, last);
    }
}

rub_waiter_t *rub_staleness_pop(rub_staleness_t *self, uint64_t minimum)
{
    if (self->n_heap == 0 || self->heap[0]->needed > minimum ||
        (RUB_MUTANT(GATE_STRICT) && self->heap[0]->needed == minimum)) {
        return NULL;
    }
    rub_waiter_t *waiter = self->heap[0];
    rub_staleness_unpark(self, waiter);
    return waiter;
}

size_t rub_staleness_parked(const rub_staleness_t *self)
{
    return self->n_heap;
}

uint64_t rub_staleness_greatest_need(const rub_staleness_t *self)
{
    uint64_t greatest = 0;
    for (size_t i = self->n_heap / 2; i < self->n_heap; i++) { /* it is a leaf */
        greatest = self->heap[i]->needed > greatest ? self->heap[i]->needed : greatest;
    }
    return greatest;
}

size_t rub_staleness_laggards(const rub_staleness_t *self, uint64_t needed, uint32_t *ranks,
                              size_t limit)
{
    size_t n = 0;
    for (size_t i = 0; i < self->n_ranks && n < limit; i++) {
        if (self->ranks[i].counted && self->ranks[i].done < needed) {
            ranks[n++] = (uint32_t)i;
        }
    }
    return n;
}
