/* Losses row by row. What goes into weights is computed by rub_exp alone, which gives the same bits
 * on every host; libm's log and exp touch only what is reported.
 *
 * Softmax takes the greatest score off all of them first, so that none of the sums overflows; terms
 * below exp(-87) of it count as that, which a float32 sum does not see. */
#include "worker/model/sparse_loss.h"

#include "common/base/check.h"
#include "common/num/exponential.h"

#include <math.h>
#include <stdbool.h>

float rub_sparse_loss_add(rub_sparse_loss_t loss, float score, float label,
                          rub_sparse_figures_t *figures)
{
    RUB_ASSERT(loss != RUB_LOSS_SOFTMAX);
    if (loss == RUB_LOSS_SQUARED) {
        const float error = score - label;
        figures->loss += 0.5 * (double)error * (double)error;
        figures->own += fabs((double)error);
        return error;
    }
    const bool click = label != 0;
    const double margin = click ? (double)score : -(double)score;
    figures->loss += log1p(exp(-fabs(margin))) + (margin < 0 ? -margin : 0);
    figures->own += (score > 0) == click;
    return rub_logistic(score) - (click ? 1.0f : 0.0f);
}

void rub_softmax_loss_add(const float *scores, size_t n_classes, float label, float *slopes,
                          rub_sparse_figures_t *figures)
{
    const size_t truth = (size_t)label;
    RUB_ASSERT(truth < n_classes);
    const float of_truth = scores[truth];
    size_t greatest = 0;
    for (size_t k = 1; k < n_classes; k++) {
        greatest = scores[k] > scores[greatest] ? k : greatest;
    }
    const float most = scores[greatest];
    double sum = 0;
    for (size_t k = 0; k < n_classes; k++) {
        sum += exp((double)scores[k] - (double)most);
    }
    figures->loss += log(sum) + (double)most - (double)of_truth;
    figures->own += greatest == truth;
    if (slopes == NULL) {
        return;
    }
    float whole = 0;
    for (size_t k = 0; k < n_classes; k++) {
        slopes[k] = rub_exp(scores[k] - most);
        whole += slopes[k];
    }
    for (size_t k = 0; k < n_classes; k++) {
        slopes[k] /= whole;
    }
    slopes[truth] -= 1.0f;
}
