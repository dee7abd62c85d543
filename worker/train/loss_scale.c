/* What float16 can not hold becomes infinite there, and an infinite gradient would be the weights'
 * end; our codec stops at the greatest number instead, so the bound is looked at before it rounds.
 */
#include "worker/train/loss_scale.h"

#include "common/base/error.h"
#include "common/num/codec.h"

#include <math.h>

#define AT_ONCE 1024u
#define BEYOND 65520.0f /* from here on to nearest is infinity (IEEE 754 binary16) */

void rub_loss_scale_init(rub_loss_scale_t *self)
{
    *self = (rub_loss_scale_t){.scale = RUB_LOSS_SCALE_FIRST};
}

/* One stretch; false: it does not fit. */
static bool round_some(float scale, float *values, size_t n)
{
    const rub_codec_t *codec = rub_codec_find(RUB_CODEC_F16);
    uint8_t halves[2 * AT_ONCE];
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        values[i] *= scale;
        fits = fits && fabsf(values[i]) < BEYOND; /* false for NaN, too */
    }
    codec->encode(values, n, 0, 0, halves);
    fits = codec->decode(halves, n, values) == 0 && fits;
    for (size_t i = 0; i < n; i++) {
        values[i] /= scale;
    }
    return fits;
}

int rub_loss_scale_round(rub_loss_scale_t *self, float *const *arrays, const size_t *sizes,
                         size_t n_arrays, bool *fits_p, rub_error_t *err)
{
    bool fits = true;
    for (size_t a = 0; a < n_arrays && fits; a++) {
        for (size_t first = 0; first < sizes[a] && fits; first += AT_ONCE) {
            const size_t left = sizes[a] - first;
            fits = round_some(self->scale, arrays[a] + first, left < AT_ONCE ? left : AT_ONCE);
        }
    }
    *fits_p = fits;
    if (!fits && self->scale <= 1.0f) {
        return rub_fail(err, RUB_EDIVERGED,
                        "gradients are beyond float16's range with a loss scale of 1; try a "
                        "smaller lr, or precision bf16");
    }
    self->n_good = fits ? self->n_good + 1 : 0;
    if (!fits) {
        self->scale *= 0.5f;
    } else if (self->n_good == RUB_LOSS_SCALE_GOOD) {
        self->n_good = 0;
        self->scale = self->scale < RUB_LOSS_SCALE_MOST ? 2 * self->scale : self->scale;
    }
    return 0;
}
