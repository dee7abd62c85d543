/* One putter, one taker, a ring of places (Lamport, "Specifying concurrent program modules", 1983):
 * each end writes its own count and reads the other's. The lost wake-up is excluded as Dekker's
 * algorithm excludes it: the putter writes his count and then reads whether the taker sleeps, the
 * taker writes that he sleeps and then reads the count, each with a full fence between, so that one
 * of them sees the other.
 *
 * Invariant: no number that is read from the box is used before it is held against our own: at most
 * RUB_POST_PLACES messages are there, each of at most RUB_POST_MOST bytes. */
#include "common/net/post.h"

#include "common/base/check.h"

#include <stdatomic.h>
#include <string.h>

typedef struct place {
    uint32_t bytes;
    uint32_t through; /* the putter's, when he put it in */
    uint8_t data[RUB_POST_MOST];
} place_t;

struct rub_post_box {
    _Alignas(64) _Atomic uint32_t n_put;
    _Alignas(64) _Atomic uint32_t n_taken;
    _Alignas(64) _Atomic uint32_t sleeps;
    _Alignas(4096) place_t places[RUB_POST_PLACES];
};

_Static_assert(sizeof(rub_post_box_t) == RUB_POST_BOX_BYTES, "as the header says");
_Static_assert((RUB_POST_PLACES & (RUB_POST_PLACES - 1)) == 0, "counts wrap around");

void rub_post_open(rub_post_t *self, void *memory)
{
    *self = (rub_post_t){.box = memory};
}

static place_t *place_at(const rub_post_t *self, uint32_t i)
{
    return &self->box->places[i & (RUB_POST_PLACES - 1)];
}

/* ---- who puts in ---- */

bool rub_post_put(rub_post_t *self, const void *bytes, size_t n_bytes)
{
    const uint32_t n_taken = atomic_load_explicit(&self->box->n_taken, memory_order_acquire);
    if (n_bytes == 0 || n_bytes > RUB_POST_MOST || self->n - n_taken >= RUB_POST_PLACES) {
        return false;
    }
    place_t *place = place_at(self, self->n);
    place->bytes = (uint32_t)n_bytes;
    place->through = self->through;
    memcpy(place->data, bytes, n_bytes);
    self->n++;
    atomic_store_explicit(&self->box->n_put, self->n, memory_order_release);
    return true;
}

bool rub_post_must_knock(rub_post_t *self)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&self->box->sleeps, memory_order_relaxed) != 0 &&
           atomic_exchange_explicit(&self->box->sleeps, 0, memory_order_relaxed) != 0;
}

/* ---- who takes out ---- */

/* How many are there; none when what stands there can not be. */
static uint32_t count(const rub_post_t *self)
{
    const uint32_t n = atomic_load_explicit(&self->box->n_put, memory_order_acquire) - self->n;
    return n <= RUB_POST_PLACES ? n : 0;
}

bool rub_post_has(const rub_post_t *self)
{
    const volatile place_t *place = place_at(self, self->n);
    return count(self) > 0 && place->through - self->through - 1 >= UINT32_MAX / 2;
}

size_t rub_post_take(rub_post_t *self, uint8_t out[RUB_POST_MOST])
{
    if (!rub_post_has(self)) {
        return 0;
    }
    const place_t *place = place_at(self, self->n);
    const uint32_t said = *(const volatile uint32_t *)&place->bytes;
    const size_t n_bytes = said > 0 && said <= RUB_POST_MOST ? said : RUB_POST_MOST;
    memcpy(out, place->data, n_bytes);
    self->n++;
    atomic_store_explicit(&self->box->n_taken, self->n, memory_order_release);
    return n_bytes;
}

uint32_t rub_post_mark(const rub_post_t *self)
{
    return self->n + count(self);
}

bool rub_post_reached(const rub_post_t *self, uint32_t mark)
{
    return mark - self->n - 1 >= UINT32_MAX / 2 || !rub_post_has(self);
}

bool rub_post_sleep(rub_post_t *self)
{
    atomic_store_explicit(&self->box->sleeps, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (!rub_post_has(self)) {
        return true;
    }
    rub_post_rise(self);
    return false;
}

void rub_post_rise(rub_post_t *self)
{
    atomic_store_explicit(&self->box->sleeps, 0, memory_order_relaxed);
}
