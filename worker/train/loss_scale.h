/* Dynamic loss scaling (Micikevicius et al., "Mixed Precision Training", ICLR 2018): gradients as
 * float16 holds them. Its least normal number is 6e-5, and many gradients are less; so the loss is
 * scaled up, the gradients with it, and down again once they were rounded. A power of two: scaling
 * the loss and scaling what follows from it in float32 are the same bits. Pure. */
#ifndef RUB_LOSS_SCALE_H
#define RUB_LOSS_SCALE_H

#include "include/rubato.h"

typedef struct rub_loss_scale {
    float scale;
    uint32_t n_good; /* batches in a row that did not overflow */
} rub_loss_scale_t;

#define RUB_LOSS_SCALE_FIRST 65536.0f
#define RUB_LOSS_SCALE_MOST 16777216.0f
#define RUB_LOSS_SCALE_GOOD 2000u /* then the scale doubles */

void rub_loss_scale_init(rub_loss_scale_t *self);

/* Rounds these arrays (finite or not) to what they are after a stay in float16, scaled. *fits_p
 * false: a number was beyond float16's range; the arrays are undefined, the batch is to be left
 * out, and the scale is half of what it was. RUB_EDIVERGED: it was 1 already. */
int rub_loss_scale_round(rub_loss_scale_t *self, float *const *arrays, const size_t *sizes,
                         size_t n_arrays, bool *fits_p, rub_error_t *err);

#endif
