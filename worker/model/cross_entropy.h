/* Softmax cross-entropy over a batch: loss, hits, and the gradient with respect to the logits.
 *
 *   loss_i = log sum_k exp(z_ik) - z_i,label     dloss_i / dz_ik = softmax(z_i)_k - [k = label_i]
 *
 * with z = logits + bias, and the row's maximum taken out first, so that no finite logit overflows.
 * Pure. */
#ifndef RUB_CROSS_ENTROPY_H
#define RUB_CROSS_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

/* logits: n x n_classes, becomes logits + bias. Adds nothing up over calls: both results are
 * overwritten. Labels are in [0, n_classes). */
void rub_cross_entropy(float *logits, const float *bias, const int32_t *labels, size_t n,
                       size_t n_classes, double *loss_sum_p, size_t *correct_p);

/* The same, and logits becomes the gradient of the *mean* loss, bias_gradient (n_classes,
 * overwritten) its sum over rows. n > 0. */
void rub_cross_entropy_gradient(float *logits, const float *bias, const int32_t *labels, size_t n,
                                size_t n_classes, float *bias_gradient, double *loss_sum_p,
                                size_t *correct_p);

/* probabilities: n x n_classes, softmax(logits + bias); logits are overwritten. */
void rub_softmax(float *logits, const float *bias, size_t n, size_t n_classes,
                 float *probabilities);

#endif
