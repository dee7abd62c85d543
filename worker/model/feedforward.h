/* Feed-forward classifiers: fully connected layers, an activation after each but the last, softmax
 * cross-entropy at the end. Without a hidden layer this is softmax regression. Called through
 * worker/model/model.h, which checks arguments and documents them. */
#ifndef RUB_FEEDFORWARD_H
#define RUB_FEEDFORWARD_H

#include "worker/model/model.h"

/* RUB_EINVAL: hidden layers. */
int rub_feedforward_open_softmax(const rub_model_spec_t *spec, rub_model_t **model_p,
                                 rub_error_t *err);
/* RUB_EINVAL: unknown activation (with hidden layers), a table above RUB_MODEL_TABLE_LIMIT. */
int rub_feedforward_open_mlp(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err);
void rub_feedforward_close(rub_model_t *model);
void rub_feedforward_run(rub_model_t *model, const float *const *params, const float *x,
                         const int32_t *labels, size_t n, float *const *gradients,
                         double *loss_sum_p, size_t *correct_p);

#endif
