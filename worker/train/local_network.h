/* A network's tables as arrays of this process, and the step of their optimizer: what a shard has
 * of it, for local loops. */
#ifndef RUB_LOCAL_NETWORK_H
#define RUB_LOCAL_NETWORK_H

#include "common/num/optimizer.h"
#include "worker/model/model.h"

typedef struct rub_local_network rub_local_network_t;

/* As a job of this seed has them before any training. The model must outlive the result, which is
 * the caller's; NULL on failure: RUB_ENOMEM. */
int rub_local_network_new(const rub_model_t *model, const rub_optimizer_t *optimizer, uint64_t seed,
                          rub_local_network_t **self_p, rub_error_t *err);
void rub_local_network_destroy(rub_local_network_t **self_p); /* NULL is fine */

/* One array for each table of the model, 64-byte aligned; for the network's life. */
const float *const *rub_local_network_weights(const rub_local_network_t *self);
float *const *rub_local_network_gradients(rub_local_network_t *self);

/* Applies the gradients to the weights. */
void rub_local_network_step(rub_local_network_t *self, const rub_hyper_t *hyper);

#endif
