/* Gradient clipping (Pascanu, Mikolov & Bengio, ICML 2013), as torch.nn.utils.clip_grad_value_ and
 * clip_grad_norm_ do it to all parameters of a model together. */
#include "common/num/clip.h"

#include "common/num/kernels.h"
#include "common/num/loops.h"

#include <math.h>

double rub_clip_gradients(const rub_clip_t *self, float *const *arrays, const size_t *n,
                          size_t n_arrays)
{
    double sum = 0;
    for (size_t a = 0; a < n_arrays && self->value > 0; a++) {
        rub_loops()->clamp(arrays[a], n[a], (float)self->value);
    }
    if (self->norm <= 0) {
        return 0;
    }
    for (size_t a = 0; a < n_arrays; a++) {
        sum += rub_loops()->sum_of_squares(arrays[a], n[a]);
    }
    const double found = sqrt(sum);
    const double factor = self->norm / (found + 1e-6);
    for (size_t a = 0; a < n_arrays && factor < 1; a++) {
        rub_scale(arrays[a], n[a], (float)factor);
    }
    return found;
}
