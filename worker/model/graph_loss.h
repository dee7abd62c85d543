/* The loss of a triple against negatives, of the similarities s of the pair and s_j of the
 * negatives (Mikolov et al., NIPS 2013; with weights: Sun et al., ICLR 2019, equations 4 to 6):
 *
 *     loss = -1/2 log s(s) - 1/2 sum over j of w_j log s(-s_j),    s(x) = 1 / (1 + exp(-x))
 *
 * w_j is 1 / (number of negatives), or, self-adversarial, the softmax of temperature x s_j, which
 * is a constant to the gradient. Negatives that do not count have weight 0. Pure; no libm on the
 * way to a factor. */
#ifndef RUB_GRAPH_LOSS_H
#define RUB_GRAPH_LOSS_H

#include "include/rubato.h"

/* similarities (n) become factors: what scale x loss grows by with each. same[j]: negative j is the
 * triple's own entity and does not count. room: n. Returns the factor of the pair. */
float rub_graph_loss_factors(float pair, float *similarities, const bool *same, size_t n,
                             float temperature, float scale, float *room);

/* The loss. NaN stays NaN. */
double rub_graph_loss(float pair, const float *similarities, const bool *same, size_t n,
                      float temperature);

#endif
