/* The count of a loan falls in the thread that lets go of a packet last, which is mostly libzmq's;
 * release and acquire make its reads come before the caller's next write. A packet keeps its loan
 * alive, since a session's core is gone before its sockets are. */
#include "worker/client/loan.h"

#include "common/base/alloc.h"

#include <stdatomic.h>

struct rub_loan {
    atomic_size_t references;
    atomic_size_t out; /* packets */
    rub_loan_t *of;    /* NULL: none */
};

rub_loan_t *rub_loan_new(rub_loan_t *of)
{
    rub_loan_t *self = rub_alloc(sizeof(*self));
    if (!self) {
        return NULL;
    }
    atomic_init(&self->references, 1);
    atomic_init(&self->out, 0);
    self->of = of ? rub_loan_ref(of) : NULL;
    return self;
}

rub_loan_t *rub_loan_ref(rub_loan_t *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
    return self;
}

void rub_loan_unref(rub_loan_t **self_p)
{
    rub_loan_t *self = *self_p;
    *self_p = NULL;
    while (self && atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) == 1) {
        rub_loan_t *of = self->of;
        rub_free(self);
        self = of;
    }
}

static void give_back(void *context)
{
    rub_loan_t *self = context;
    for (rub_loan_t *it = self; it; it = it->of) {
        atomic_fetch_sub_explicit(&it->out, 1, memory_order_release);
    }
    rub_loan_unref(&self);
}

rub_packet_loan_t rub_loan_of(rub_loan_t *self, const void *values)
{
    return (rub_packet_loan_t){.values = values, .release = give_back, .context = self};
}

void rub_loan_take(rub_loan_t *self)
{
    rub_loan_ref(self);
    for (rub_loan_t *it = self; it; it = it->of) {
        atomic_fetch_add_explicit(&it->out, 1, memory_order_relaxed);
    }
}

bool rub_loan_is_out(const rub_loan_t *self)
{
    return atomic_load_explicit(&self->out, memory_order_acquire) > 0;
}
