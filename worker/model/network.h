/* Networks that classify: layers one behind the other, the last one dense, softmax cross-entropy at
 * the end. What run files call softmax, mlp and sequential are three ways to write a list of
 * layers. Called through worker/model/model.h, which checks arguments and documents them. */
#ifndef RUB_NETWORK_H
#define RUB_NETWORK_H

#include "worker/model/model.h"

/* A dense layer alone. RUB_EINVAL: hidden layers. */
int rub_network_open_softmax(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err);
/* A dense layer and its activation for each of the hidden ones, and a dense one. RUB_EINVAL:
 * unknown activation (with hidden layers), a table above RUB_MODEL_TABLE_LIMIT. */
int rub_network_open_mlp(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err);
/* What spec->layers says. RUB_EINVAL, with the number of the item: it can not be read, a layer does
 * not suit its input's shape, the last is not dense or has fewer units than there are classes. */
int rub_network_open_sequential(const rub_model_spec_t *spec, rub_model_t **model_p,
                                rub_error_t *err);
void rub_network_close(rub_model_t *model);
void rub_network_run(rub_model_t *model, const float *const *params, const float *x,
                     const int32_t *labels, size_t n, float *const *gradients, double *loss_sum_p,
                     size_t *correct_p);

#endif
