/* Loss and factors of one triple.
 *
 * A factor of the training is a logistic function, which common/num has for whole rows; weights of
 * the self-adversarial kind need an exponential each. Invariant: weights add up to 1 over the
 * negatives that count, or there are none that do. */
#include "worker/model/graph_loss.h"

#include "common/num/logistic_loops.h"

#include <math.h>
#include <string.h>

/* Seldom any: a negative is one of many entities. */
static void leave_out(const bool *same, size_t n, float *weights)
{
    const bool *at = n > 0 ? memchr(same, true, n) : NULL;
    while (at) {
        const size_t j = (size_t)(at - same);
        weights[j] *= 0; /* NaN stays NaN */
        at = memchr(at + 1, true, n - j - 1);
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
        const float greatest = loops->greatest(similarities, n);
        loops->exponentials(similarities, n, greatest, temperature, room);
        leave_out(same, n, room);
        const float sum = loops->sum(room, n);
        loops->weighted_residual(similarities, room, n, -0.5f * scale, sum > 0 ? 1 / sum : 0);
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
