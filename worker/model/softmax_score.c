/* A row's entries name lines of n_classes numbers, so both directions are sums of scaled lines, and
 * the loops over classes are the inner ones. The order of additions is the row's. */
#include "worker/model/softmax_score.h"

#include <string.h>

static float value_of(const rub_sparse_rows_t *rows, uint32_t entry)
{
    return rows->values != NULL ? rows->values[entry] : 1.0f;
}

static void add_line(float *to, const float *line, float factor, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        to[k] += factor * line[k];
    }
}

void rub_softmax_score(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                       uint32_t n_classes, float *scores)
{
    const float *const lines = params[0];
    memcpy(scores, lines + (rows->n_places - 1) * n_classes, n_classes * sizeof(*scores));
    for (uint32_t e = rows->starts[row]; e < rows->starts[row + 1]; e++) {
        add_line(scores, lines + (size_t)rows->places[e] * n_classes, value_of(rows, e), n_classes);
    }
}

void rub_softmax_step(const rub_sparse_rows_t *rows, size_t row, uint32_t n_classes,
                      const float *slopes, float *const *gradients)
{
    float *const lines = gradients[0];
    for (uint32_t e = rows->starts[row]; e < rows->starts[row + 1]; e++) {
        add_line(lines + (size_t)rows->places[e] * n_classes, slopes, value_of(rows, e), n_classes);
    }
    add_line(lines + (rows->n_places - 1) * n_classes, slopes, 1.0f, n_classes);
}
