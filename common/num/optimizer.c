/* The optimizers of the server side, as a table. A shard knows an optimizer only by its row: how
 * many slots, whether a step counter, and the loop that takes one step.
 *
 * Invariant: a step of n weights is n independent steps of one weight, with the same operations in
 * the same order for each, so results do not depend on how weights are cut into rows, blocks,
 * messages or vector registers. Weight decay is L2: it is added to the gradient before anything
 * else, as in PyTorch's SGD, Adagrad and Adam. Every loop has its formula above it; g is the
 * gradient, w the weight. */
#include "common/num/optimizer.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <math.h>
#include <string.h>

/* Stochastic gradient descent (Robbins & Monro 1951): g += wd w; w -= lr g. */
static void sgd_apply(float *restrict w, float *slots, size_t n, uint64_t step,
                      const rub_hyper_t *hyper, const float *restrict gradient)
{
    const float lr = (float)hyper->lr;
    const float decay = (float)hyper->weight_decay;
    RUB_UNUSED(slots);
    RUB_UNUSED(step);
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        w[i] -= lr * g;
    }
}

/* Deltas that a worker computed itself: w += g. No hyper-parameter is used. */
static void add_apply(float *restrict w, float *slots, size_t n, uint64_t step,
                      const rub_hyper_t *hyper, const float *restrict gradient)
{
    RUB_UNUSED(slots);
    RUB_UNUSED(step);
    RUB_UNUSED(hyper);
    for (size_t i = 0; i < n; i++) {
        w[i] += gradient[i];
    }
}

/* Heavy ball (Polyak 1964; Sutskever et al., ICML 2013, in PyTorch's convention):
 * g += wd w; v = mu v + g; w -= lr v. */
static void momentum_apply(float *restrict w, float *restrict v, size_t n, uint64_t step,
                           const rub_hyper_t *hyper, const float *restrict gradient)
{
    const float lr = (float)hyper->lr;
    const float decay = (float)hyper->weight_decay;
    const float mu = (float)hyper->momentum;
    RUB_UNUSED(step);
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        v[i] = mu * v[i] + g;
        w[i] -= lr * v[i];
    }
}

/* AdaGrad (Duchi, Hazan & Singer, JMLR 2011): g += wd w; G += g^2; w -= lr g / (sqrt(G) + eps). */
static void adagrad_apply(float *restrict w, float *restrict sum, size_t n, uint64_t step,
                          const rub_hyper_t *hyper, const float *restrict gradient)
{
    const float lr = (float)hyper->lr;
    const float decay = (float)hyper->weight_decay;
    const float epsilon = (float)hyper->epsilon;
    RUB_UNUSED(step);
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        sum[i] += g * g;
        w[i] -= lr * (g / (sqrtf(sum[i]) + epsilon));
    }
}

typedef struct adam_step {
    float beta1, beta2, rest1, rest2; /* rest = 1 - beta */
    float rate;                       /* lr / (1 - beta1^t) */
    float correction2;                /* sqrt(1 - beta2^t) */
    float decay, epsilon;
} adam_step_t;

/* g += wd w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
 * w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps). */
static void adam_loop(float *restrict w, float *restrict m, float *restrict v, size_t n,
                      const adam_step_t *step, const float *restrict gradient)
{
    const adam_step_t s = *step;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + s.decay * w[i];
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
        w[i] -= s.rate * (m[i] / (sqrtf(v[i]) / s.correction2 + s.epsilon));
    }
}

/* Adam with bias correction (Kingma & Ba, ICLR 2015, algorithm 1). */
static void adam_apply(float *w, float *slots, size_t n, uint64_t step, const rub_hyper_t *hyper,
                       const float *gradient)
{
    const adam_step_t adam = {
        .beta1 = (float)hyper->beta1,
        .beta2 = (float)hyper->beta2,
        .rest1 = (float)(1.0 - hyper->beta1),
        .rest2 = (float)(1.0 - hyper->beta2),
        .rate = (float)(hyper->lr / (1.0 - rub_power(hyper->beta1, step))),
        .correction2 = (float)sqrt(1.0 - rub_power(hyper->beta2, step)),
        .decay = (float)hyper->weight_decay,
        .epsilon = (float)hyper->epsilon,
    };
    RUB_ASSERT(step > 0);
    if (n > 0) {
        adam_loop(w, slots, slots + n, n, &adam, gradient);
    }
}

static const rub_optimizer_t optimizers[] = {
    {RUB_SGD, "sgd", 0, false, sgd_apply},
    {RUB_ADD, "add", 0, false, add_apply},
    {RUB_MOMENTUM, "momentum", 1, false, momentum_apply},
    {RUB_ADAGRAD, "adagrad", 1, false, adagrad_apply},
    {RUB_ADAM, "adam", 2, true, adam_apply},
};

const rub_optimizer_t *rub_optimizer_find(uint32_t kind)
{
    for (size_t i = 0; i < RUB_COUNT_OF(optimizers); i++) {
        if ((uint32_t)optimizers[i].kind == kind) {
            return &optimizers[i];
        }
    }
    return NULL;
}

const rub_optimizer_t *rub_optimizer_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(optimizers); i++) {
        if (strcmp(optimizers[i].name, name) == 0) {
            return &optimizers[i];
        }
    }
    return NULL;
}

void rub_hyper_defaults(rub_hyper_t *hyper)
{
    *hyper = (rub_hyper_t){
        .lr = 0.01,
        .momentum = 0.9,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = 0.0,
    };
}

static int check_positive(const char *name, double value, rub_error_t *err)
{
    if (!isfinite(value) || value < 0.0 || !isfinite((float)value)) {
        return rub_fail(err, RUB_EINVAL, "%s is %g, must be finite and >= 0", name, value);
    }
    return 0;
}

/* Just below 1 a float64 rounds to 1 in float32, and a beta of 1 would never forget. */
static int check_decay_rate(const char *name, double value, rub_error_t *err)
{
    if (!isfinite(value) || value < 0.0 || (float)value >= 1.0f) {
        return rub_fail(err, RUB_EINVAL, "%s is %.9g, must be in [0, 1)", name, value);
    }
    return 0;
}

int rub_hyper_check(const rub_hyper_t *hyper, rub_error_t *err)
{
    int rc = check_positive("lr", hyper->lr, err);
    if (rc == 0) {
        rc = check_positive("epsilon", hyper->epsilon, err);
    }
    if (rc == 0) {
        rc = check_positive("weight_decay", hyper->weight_decay, err);
    }
    if (rc == 0) {
        rc = check_decay_rate("momentum", hyper->momentum, err);
    }
    if (rc == 0) {
        rc = check_decay_rate("beta1", hyper->beta1, err);
    }
    if (rc == 0) {
        rc = check_decay_rate("beta2", hyper->beta2, err);
    }
    return rc;
}

double rub_power(double base, uint64_t exponent)
{
    double result = 1.0;
    while (exponent > 0) {
        if (exponent & 1) {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    return result;
}
