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
/* Hidden layers as of mlp, and a dense layer of one unit: the number that the inputs make, for
 * models that have a loss of their own. n_classes is not looked at. For what is below, not for
 * rub_model_gradient; freed by rub_network_close. RUB_EINVAL: unknown activation, a table above
 * RUB_MODEL_TABLE_LIMIT. */
int rub_network_open_score(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err);
void rub_network_close(rub_model_t *model);
/* Its layers (worker/model/layer.h), from the input on, without those that are a shape only;
 * parameters are those of the layers that have any, two tables each. Borrowed. */
const struct rub_layer *rub_network_layers(const rub_model_t *model, size_t *n_p);
void rub_network_run(rub_model_t *model, const float *const *params, const float *x,
                     const int32_t *labels, size_t n, float *const *gradients, double *loss_sum_p,
                     size_t *correct_p);
void rub_network_predict(rub_model_t *model, const float *const *params, const float *x, size_t n,
                         float *probabilities);

/* The numbers that n of 1 to max_batch examples make, borrowed until the next call. x must live
 * until rub_network_step has been called, if it is. */
const float *rub_network_scores(rub_model_t *model, const float *const *params, const float *x,
                                size_t n);
/* Behind rub_network_scores on the same examples: the gradients of sum slopes[i] x score[i],
 * overwritten whole, and of that by x into below (n x n_inputs, overwritten). slopes: n, spoilt. */
void rub_network_step(rub_model_t *model, const float *const *params, size_t n, float *slopes,
                      float *const *gradients, float *below);

#endif
