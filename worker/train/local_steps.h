/* A worker's own copy of the parameters, which it steps on for some batches before it pushes by how
 * much they have changed: local SGD (Stich, ICLR 2019), or federated averaging (McMahan et al.,
 * AISTATS 2017) when the changes of all are averaged. Tables are whole here, so this is also where
 * optimizers run that need norms of whole tensors.
 *
 * Slots and step counts stay with the worker from period to period; a worker that is started anew
 * begins with zeros. Pure; one thread. */
#ifndef RUB_LOCAL_STEPS_H
#define RUB_LOCAL_STEPS_H

#include "common/num/optimizer.h"

typedef struct rub_local_steps rub_local_steps_t;

/* n_tables tables of sizes[t] float32. optimizer: static; hyper: checked, copied. The caller's;
 * NULL: no memory. */
rub_local_steps_t *rub_local_steps_new(const rub_optimizer_t *optimizer, const rub_hyper_t *hyper,
                                       const size_t *sizes, size_t n_tables);
void rub_local_steps_destroy(rub_local_steps_t **self_p);

/* A period begins: the copy is what was pulled, and the rate is that of the clock. */
void rub_local_steps_begin(rub_local_steps_t *self, const float *const *pulled, uint64_t clock);
/* The copy, one array per table; changes with each step. */
const float *const *rub_local_steps_weights(const rub_local_steps_t *self);
/* One step with these gradients, one array per table. */
void rub_local_steps_take(rub_local_steps_t *self, float *const *gradients);
/* changes = (copy - pulled) * share; pulled: as at its begin. share below 0: as a gradient. */
void rub_local_steps_end(const rub_local_steps_t *self, const float *const *pulled, float share,
                         float *const *changes);

#endif
