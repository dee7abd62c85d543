/* Why: within one process a pull's rows would be gathered into a message by the shard's thread, and
 * copied out of it by the session's; the second copy is for nothing. Why not just an address: a
 * pull may be cancelled, time out or end with its session while its message waits in a pipe, or is
 * parked at the staleness gate for seconds; then the array is its owner's, who may have freed it.
 *
 * Invariant: between a grant's taking and its finishing the place is the shard's, at any other time
 * the session's. Taking acquires what the session did before it opened the grant, and what a
 * session reads behind DONE was written before. */
#include "common/wire/grant.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "common/base/timing.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { REVOKED, OPEN, WRITING, DONE };
enum { YIELDS = 256 };

/* Of RUB_GRANT_LAYOUT. */
struct rub_grant {
    uint8_t head[RUB_GRANT_BYTES]; /* {own address u64, layout u32, 0 u32} */
    atomic_uint references;
    atomic_uint state;
    rub_grant_place_t place;
};

bool rub_address_is_in_process(const char *address)
{
    static const char scheme[] = "inproc://";
    return strncmp(address, scheme, sizeof(scheme) - 1) == 0;
}

static void write_head(const rub_grant_t *self, uint8_t head[RUB_GRANT_BYTES])
{
    rub_put_u64(head, (uint64_t)(uintptr_t)self);
    rub_put_u32(head + 8, RUB_GRANT_LAYOUT);
    rub_put_u32(head + 12, 0);
}

rub_grant_t *rub_grant_new(void)
{
    rub_grant_t *self = rub_alloc(sizeof(*self));
    if (self) {
        write_head(self, self->head);
        atomic_init(&self->references, 1);
        atomic_init(&self->state, REVOKED);
    }
    return self;
}

rub_grant_t *rub_grant_ref(rub_grant_t *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
    return self;
}

void rub_grant_unref(rub_grant_t **self_p)
{
    rub_grant_t *self = *self_p;
    *self_p = NULL;
    if (self && atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) == 1) {
        rub_free(self);
    }
}

static void let_go(void *context)
{
    rub_grant_t *self = context;
    rub_grant_unref(&self);
}

rub_packet_t *rub_grant_packet(rub_grant_t *self, const rub_header_t *header, size_t keys_bytes)
{
    const rub_packet_loan_t loan = {.values = self->head, .release = let_go, .context = self};
    rub_packet_t *packet = rub_packet_new_lent(header, keys_bytes, RUB_GRANT_BYTES, &loan);
    if (packet) {
        rub_grant_ref(self);
    }
    return packet;
}

void rub_grant_open(rub_grant_t *self, const rub_grant_place_t *place)
{
    self->place = *place;
    atomic_store_explicit(&self->state, OPEN, memory_order_release);
}

/* Yields at first; then sleeps, for a thread of a higher priority would never let the shard's run.
 */
static void wait_a_little(unsigned *n_waits)
{
    if (++*n_waits <= YIELDS) {
        (void)sched_yield();
    } else {
        rub_sleep_ms(1);
    }
}

bool rub_grant_revoke(rub_grant_t *self)
{
    unsigned state = OPEN, n_waits = 0;
    if (RUB_MUTANT(GRANT_OUTLIVES_PULL)) {
        return rub_grant_is_done(self);
    }
    while (!atomic_compare_exchange_weak_explicit(&self->state, &state, REVOKED,
                                                  memory_order_acq_rel, memory_order_acquire)) {
        if (state == DONE || state == REVOKED) {
            return state == DONE;
        }
        if (state == WRITING) {
            wait_a_little(&n_waits);
        }
        state = OPEN;
    }
    return false;
}

bool rub_grant_is_done(const rub_grant_t *self)
{
    return atomic_load_explicit(&self->state, memory_order_acquire) == DONE;
}

rub_grant_t *rub_grant_find(const void *values, size_t n_bytes)
{
    uint8_t head[RUB_GRANT_BYTES];
    /* Like the message's memory, which libzmq hands out as non-const. */
    rub_grant_t *self = (rub_grant_t *)(uintptr_t)values;
    if (n_bytes != RUB_GRANT_BYTES || (uintptr_t)values % _Alignof(rub_grant_t) != 0) {
        return NULL;
    }
    write_head(self, head);
    return memcmp(values, head, sizeof(head)) == 0 ? self : NULL;
}

bool rub_grant_take(rub_grant_t *self, size_t n_rows, uint32_t width, bool is_range,
                    rub_grant_place_t *place)
{
    unsigned state = OPEN;
    if (!atomic_compare_exchange_strong_explicit(&self->state, &state, WRITING,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return false;
    }
    *place = self->place;
    if (place->n_rows == n_rows && place->width == width && !(is_range && place->positions)) {
        return true;
    }
    atomic_store_explicit(&self->state, OPEN, memory_order_release);
    return false;
}

void rub_grant_finish(rub_grant_t *self)
{
    RUB_ASSERT(atomic_load_explicit(&self->state, memory_order_relaxed) == WRITING);
    atomic_store_explicit(&self->state, DONE, memory_order_release);
}
