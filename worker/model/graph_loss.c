/* Loss and factors of one triple.
 *
 * A factor of the training is a logistic function, which common/num has for whole rows; weights of
 * the self-adversarial kind need an exponential each. Invariant: weights add up to 1 over the
 * negatives that count, or there are none that do. */
#include "worker/model/graph_loss.h"

#include "common/num/logistic_loops.h"

#include <math.h>

enum { LANES = 16 };

/* The greatest and the sum, in lanes that come together at the end: in one chain each number would
 * wait for the one before it. */
static float greatest_of(const float *x, size_t n)
{
    float lanes[LANES], greatest = -INFINITY;
    size_t j = 0;
    for (size_t k = 0; k < LANES; k++) {
        lanes[k] = -INFINITY;
    }
    for (; j + LANES <= n; j += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            lanes[k] = x[j + k] > lanes[k] ? x[j + k] : lanes[k];
        }
    }
    for (; j < n; j++) {
        greatest = x[j] > greatest ? x[j] : greatest;
    }
    for (size_t k = 0; k < LANES; k++) {
        greatest = lanes[k] > greatest ? lanes[k] : greatest;
    }
    return greatest;
}

static float sum_of(const float *x, size_t n)
{
    float lanes[LANES] = {0}, sum = 0;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            lanes[k] += x[j + k];
        }
    }
    for (; j < n; j++) {
        sum += x[j];
    }
    for (size_t k = 0; k < LANES; k++) {
        sum += lanes[k];
    }
    return sum;
}

/* weights (n): of the negatives. */
static void weigh(const float *similarities, const bool *same, size_t n, float temperature,
                  float *weights)
{
    const float greatest = greatest_of(similarities, n);
    rub_logistic_loops()->exponentials(similarities, n, greatest, temperature, weights);
    for (size_t j = 0; j < n; j++) {
        weights[j] *= (float)!same[j];
    }
    const float sum = sum_of(weights, n);
    const float share = sum > 0 ? 1 / sum : 0;
    for (size_t j = 0; j < n; j++) {
        weights[j] *= share;
    }
}

static size_t count_of(const bool *same, size_t n)
{
    size_t count = n;
    for (size_t j = 0; j < n; j++) {
        count -= same[j];
    }
    return count;
}

float rub_graph_loss_factors(float pair, float *similarities, const bool *same, size_t n,
                             float temperature, float scale, float *room)
{
    const rub_logistic_loops_t *loops = rub_logistic_loops();
    if (temperature > 0) {
        weigh(similarities, same, n, temperature, room);
        loops->residual(similarities, n, 0.0f, -0.5f * scale);
        for (size_t j = 0; j < n; j++) {
            similarities[j] *= room[j];
        }
    } else {
        const size_t count = count_of(same, n);
        loops->residual(similarities, n, 0.0f, count > 0 ? -0.5f * scale / (float)count : 0);
        for (size_t j = 0; j < n && count < n; j++) {
            similarities[j] = same[j] ? 0 : similarities[j];
        }
    }
    loops->residual(&pair, 1, 1.0f, -0.5f * scale);
    return pair;
}

/* -log s(x); NaN stays NaN. */
static double loss_of(double x)
{
    return (x < 0 ? -x : 0) + log1p(exp(-fabs(x)));
}

double rub_graph_loss(float pair, const float *similarities, const bool *same, size_t n,
                      float temperature)
{
    double greatest = -INFINITY, sum = 0, against = 0;
    for (size_t j = 0; j < n; j++) {
        greatest = (double)similarities[j] > greatest ? (double)similarities[j] : greatest;
    }
    for (size_t j = 0; j < n; j++) {
        const double s = (double)similarities[j];
        const double weight = same[j] ? 0 : exp((double)temperature * (s - greatest));
        sum += weight;
        against += weight * loss_of(-s);
    }
    return 0.5 * loss_of((double)pair) + (sum > 0 ? 0.5 * against / sum : 0);
}
