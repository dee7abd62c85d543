/* Keys as embedding tables see them: a few are asked for all the time.
 *
 * Zipf's draws are by rejection from the area under x^-s (W. Hörmann, G. Derflinger,
 * "Rejection-inversion to generate variates from monotone discrete distributions", ACM TOMACS
 * 1996): exact, constant memory, a little more than one try per draw. With H the integral of x^-s,
 * u is uniform on (H(1.5) - 1, H(n + 0.5)], x = H^-1(u), k = round(x); k is taken when it is close
 * enough to x, or when u >= H(k + 0.5) - k^-s. The drawn rank is then moved by a bijection of
 * [0, n), so that frequent rows do not lie side by side. */
#include "cli/key_draw.h"

#include "common/base/check.h"
#include "common/base/rng.h"

#include <math.h>

#define SCATTER UINT64_C(2654435761) /* a prime above every n_rows: i -> i * SCATTER mod n_rows */

/* The integral of x^-s. */
static double area(double x, double exponent)
{
    return pow(x, 1 - exponent) / (1 - exponent);
}

static double area_inverse(double area_below, double exponent)
{
    return pow(area_below * (1 - exponent), 1 / (1 - exponent));
}

void rub_zipf_init(rub_zipf_t *self, uint64_t n, double exponent)
{
    RUB_ASSERT(n >= 1);
    *self = (rub_zipf_t){
        .n = n,
        .exponent = exponent,
        .area_first = area(1.5, exponent) - 1,
        .area_all = area((double)n + 0.5, exponent),
        .shift = 2 - area_inverse(area(2.5, exponent) - pow(2, -exponent), exponent),
    };
}

static double unit_at(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t words[4];
    rub_philox(seed, stream, counter, words);
    return (double)((((uint64_t)words[1] << 32) | words[0]) >> 11) * 0x1p-53;
}

uint64_t rub_zipf_draw(const rub_zipf_t *self, uint64_t seed, uint64_t stream, uint64_t *counter_p)
{
    for (;;) {
        const double unit = unit_at(seed, stream, (*counter_p)++);
        const double under = self->area_all + unit * (self->area_first - self->area_all);
        const double x = area_inverse(under, self->exponent);
        double k = floor(x + 0.5);
        k = k < 1 ? 1 : k > (double)self->n ? (double)self->n : k;
        if (k - x <= self->shift ||
            under >= area(k + 0.5, self->exponent) - pow(k, -self->exponent)) {
            return (uint64_t)k;
        }
    }
}

void rub_key_draw(rub_key_draw_kind_t kind, uint64_t n_rows, uint64_t seed, uint64_t stream,
                  uint64_t *keys, size_t n)
{
    RUB_ASSERT(n_rows >= 1);
    RUB_ASSERT(n_rows < SCATTER);
    rub_zipf_t zipf;
    rub_rng_t rng;
    uint64_t counter = 0;
    rub_zipf_init(&zipf, n_rows, RUB_ZIPF_EXPONENT);
    rub_rng_init(&rng, seed, stream);
    for (size_t i = 0; i < n; i++) {
        switch (kind) {
        case RUB_DRAW_ORDERED:
            keys[i] = i % n_rows;
            break;
        case RUB_DRAW_UNIFORM:
            keys[i] = rub_rng_below(&rng, n_rows);
            break;
        case RUB_DRAW_ZIPF:
            keys[i] = rub_zipf_draw(&zipf, seed, stream, &counter) * SCATTER % n_rows;
            break;
        }
    }
}
