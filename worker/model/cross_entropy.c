/* Softmax cross-entropy.
 *
 * Why its own file: it is the one place where a logit of 1000 or a NaN decides between a number and
 * rubbish. Idea: one pass per row finds the maximum, one exponentiates, and the sum serves both the
 * loss (log-sum-exp) and the gradient. The exponential is ours (common/num/exponential.h), the
 * logarithm is libm's: it touches only the reported loss, never a weight. Invariant: exp of the
 * greatest logit is 1, so the sum is at least 1 and its logarithm finite. A NaN logit makes the
 * loss NaN. */
#include "worker/model/cross_entropy.h"

#include "common/num/exponential.h"

#include <math.h>
#include <string.h>

/* Adds the bias; returns the place of the greatest logit, the first of equals. */
static size_t add_bias(float *z, const float *bias, size_t n_classes)
{
    size_t best = 0;
    for (size_t k = 0; k < n_classes; k++) {
        z[k] += bias[k];
        if (z[k] > z[best]) {
            best = k;
        }
    }
    return best;
}

static float sum_of_exp(const float *z, float greatest, size_t n_classes)
{
    float sum = 0.0f;
    for (size_t k = 0; k < n_classes; k++) {
        sum += rub_exp(z[k] - greatest);
    }
    return sum;
}

static double loss_of(float sum, float greatest, float at_label)
{
    return log((double)sum) + (double)greatest - (double)at_label;
}

void rub_cross_entropy(float *logits, const float *bias, const int32_t *labels, size_t n,
                       size_t n_classes, double *loss_sum_p, size_t *correct_p)
{
    double loss_sum = 0;
    size_t correct = 0;
    for (size_t i = 0; i < n; i++, logits += n_classes) {
        const size_t best = add_bias(logits, bias, n_classes);
        const float sum = sum_of_exp(logits, logits[best], n_classes);
        loss_sum += loss_of(sum, logits[best], logits[labels[i]]);
        correct += best == (size_t)labels[i];
    }
    *loss_sum_p = loss_sum;
    *correct_p = correct;
}

void rub_cross_entropy_gradient(float *logits, const float *bias, const int32_t *labels, size_t n,
                                size_t n_classes, float *bias_gradient, double *loss_sum_p,
                                size_t *correct_p)
{
    const float mean = 1.0f / (float)n;
    double loss_sum = 0;
    size_t correct = 0;
    memset(bias_gradient, 0, n_classes * sizeof *bias_gradient);
    for (size_t i = 0; i < n; i++, logits += n_classes) {
        const size_t best = add_bias(logits, bias, n_classes);
        const float greatest = logits[best];
        const float at_label = logits[labels[i]];
        float sum = 0.0f;
        for (size_t k = 0; k < n_classes; k++) {
            logits[k] = rub_exp(logits[k] - greatest);
            sum += logits[k];
        }
        loss_sum += loss_of(sum, greatest, at_label);
        correct += best == (size_t)labels[i];
        const float scale = mean / sum;
        for (size_t k = 0; k < n_classes; k++) {
            logits[k] *= scale;
        }
        logits[labels[i]] -= mean;
        for (size_t k = 0; k < n_classes; k++) {
            bias_gradient[k] += logits[k];
        }
    }
    *loss_sum_p = loss_sum;
    *correct_p = correct;
}

void rub_softmax(float *logits, const float *bias, size_t n, size_t n_classes, float *probabilities)
{
    for (size_t i = 0; i < n; i++, logits += n_classes, probabilities += n_classes) {
        const float greatest = logits[add_bias(logits, bias, n_classes)];
        float sum = 0.0f;
        for (size_t k = 0; k < n_classes; k++) {
            probabilities[k] = rub_exp(logits[k] - greatest);
            sum += probabilities[k];
        }
        for (size_t k = 0; k < n_classes; k++) {
            probabilities[k] /= sum;
        }
    }
}
