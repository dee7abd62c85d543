/* Embeddings side by side, as the input of a network (the deep part of Cheng et al., "Wide & Deep
 * Learning", DLRS 2016, and of Guo et al., "DeepFM", IJCAI 2017, where the embeddings are the
 * factorization machine's own).
 *
 * Idea: the rows of a batch become one dense matrix, so that all but the gathering is matrix
 * products; on the way back the gradient of that matrix is added, entry by entry in the rows'
 * order, to the lines it was gathered from. Invariant: what step needs of the scores is in the
 * network's workspace and in x, so it must follow on the same rows. */
#include "worker/model/deep_score.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/model/network.h"

#include <inttypes.h>

struct rub_deep_score {
    uint32_t n_fields, factors, max_rows;
    rub_model_t *network;
    float *x, *below; /* max_rows x inputs */
};

static int check_spec(const rub_deep_spec_t *spec, rub_error_t *err)
{
    if (spec->n_fields == 0 || spec->n_fields > RUB_FIELDS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "model with %" PRIu32 " fields, expected 1 to %u",
                        spec->n_fields, RUB_FIELDS_LIMIT);
    }
    if (spec->factors == 0 || spec->factors > RUB_FACTORS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "model with %" PRIu32 " factors, expected 1 to %u",
                        spec->factors, RUB_FACTORS_LIMIT);
    }
    if (spec->n_inputs > RUB_MODEL_WIDTH_LIMIT) {
        return rub_fail(err, RUB_EINVAL,
                        "model with %" PRIu32 " fields of %" PRIu32
                        " numbers together, expected at most %u",
                        spec->n_fields, spec->n_inputs, RUB_MODEL_WIDTH_LIMIT);
    }
    if (spec->n_inputs == 0 && (uint64_t)spec->n_fields * spec->factors > RUB_MODEL_WIDTH_LIMIT) {
        return rub_fail(err, RUB_EINVAL,
                        "model with %" PRIu32 " fields of %" PRIu32
                        " factors, expected at most %u numbers",
                        spec->n_fields, spec->factors, RUB_MODEL_WIDTH_LIMIT);
    }
    if (spec->max_rows == 0 || spec->max_rows > RUB_MODEL_BATCH_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "model with %" PRIu32 " rows per batch, expected 1 to %u",
                        spec->max_rows, RUB_MODEL_BATCH_LIMIT);
    }
    if (spec->n_hidden > RUB_MODEL_HIDDEN_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "model with %" PRIu32 " hidden layers, expected 0 to %u",
                        spec->n_hidden, RUB_MODEL_HIDDEN_LIMIT);
    }
    for (uint32_t l = 0; l < spec->n_hidden; l++) {
        if (spec->hidden[l] == 0 || spec->hidden[l] > RUB_MODEL_WIDTH_LIMIT) {
            return rub_fail(err, RUB_EINVAL,
                            "model with %" PRIu32 " units in a hidden layer, expected 1 to %u",
                            spec->hidden[l], RUB_MODEL_WIDTH_LIMIT);
        }
    }
    return 0;
}

int rub_deep_score_new(const rub_deep_spec_t *spec, rub_deep_score_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    int rc = check_spec(spec, err);
    if (rc != 0) {
        return rc;
    }
    const rub_model_spec_t network = {
        .kind = "mlp",
        .n_inputs = spec->n_inputs > 0 ? spec->n_inputs : spec->n_fields * spec->factors,
        .hidden = spec->hidden,
        .n_hidden = spec->n_hidden,
        .activation = spec->activation,
        .max_batch = spec->max_rows};
    const size_t bytes = (size_t)spec->max_rows * network.n_inputs * sizeof(float);
    rub_deep_score_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "model: no memory");
    }
    self->n_fields = spec->n_fields;
    self->factors = spec->factors;
    self->max_rows = spec->max_rows;
    self->x = rub_alloc_aligned(64, bytes);
    self->below = rub_alloc_aligned(64, bytes);
    if (self->x == NULL || self->below == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "model: no memory for %" PRIu32 " rows", spec->max_rows);
        goto out;
    }
    rc = rub_network_open_score(&network, &self->network, err);
    if (rc != 0) {
        goto out;
    }
    *self_p = self;
    self = NULL;
out:
    rub_deep_score_destroy(&self);
    return rc;
}

void rub_deep_score_destroy(rub_deep_score_t **self_p)
{
    rub_deep_score_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->network != NULL) {
        rub_network_close(self->network);
    }
    rub_free(self->x);
    rub_free(self->below);
    rub_free(self);
    *self_p = NULL;
}

const rub_model_t *rub_deep_score_network(const rub_deep_score_t *self)
{
    return self->network;
}

static float value_of(const rub_sparse_rows_t *rows, size_t entry)
{
    return rows->values != NULL ? rows->values[entry] : 1.0f;
}

static void gather(rub_deep_score_t *self, const float *lines, const rub_sparse_rows_t *rows,
                   size_t first, size_t n)
{
    const size_t k = self->factors;
    float *x = self->x;
    for (size_t e = rows->starts[first]; e < rows->starts[first + n]; e++, x += k) {
        const float *line = lines + rows->places[e] * k;
        const float value = value_of(rows, e);
        for (size_t f = 0; f < k; f++) {
            x[f] = line[f] * value;
        }
    }
}

static size_t line_of(const rub_field_lines_t *field, uint32_t place)
{
    return field->shift + (size_t)place * field->width;
}

static void gather_fields(rub_deep_score_t *self, const float *lines,
                          const rub_field_lines_t *fields, const rub_sparse_rows_t *rows,
                          size_t first, size_t n)
{
    float *x = self->x;
    size_t e = rows->starts[first];
    for (size_t i = 0; i < n; i++) {
        for (uint32_t field = 0; field < self->n_fields; field++, e++) {
            const float *line = lines + line_of(&fields[field], rows->places[e]);
            const float value = value_of(rows, e);
            for (uint32_t f = 0; f < fields[field].width; f++) {
                *x++ = line[f] * value;
            }
        }
    }
}

void rub_deep_score_rows(rub_deep_score_t *self, const float *const *params, const float *lines,
                         const rub_field_lines_t *fields, const rub_sparse_rows_t *rows,
                         float *scores)
{
    RUB_ASSERT(rows->starts[rows->n] - rows->starts[0] == rows->n * self->n_fields);
    for (size_t first = 0; first < rows->n; first += self->max_rows) {
        const size_t left = rows->n - first;
        const size_t n = left < self->max_rows ? left : self->max_rows;
        if (fields != NULL) {
            gather_fields(self, lines, fields, rows, first, n);
        } else {
            gather(self, lines, rows, first, n);
        }
        const float *made = rub_network_scores(self->network, params, self->x, n);
        for (size_t i = 0; i < n; i++) {
            scores[first + i] = made[i];
        }
    }
}

static void scatter(const rub_deep_score_t *self, const rub_sparse_rows_t *rows,
                    float *line_gradients)
{
    const size_t k = self->factors;
    const float *below = self->below;
    for (size_t e = rows->starts[0]; e < rows->starts[rows->n]; e++, below += k) {
        float *line = line_gradients + rows->places[e] * k;
        const float value = value_of(rows, e);
        for (size_t f = 0; f < k; f++) {
            line[f] += below[f] * value;
        }
    }
}

static void scatter_fields(const rub_deep_score_t *self, const rub_field_lines_t *fields,
                           const rub_sparse_rows_t *rows, float *line_gradients)
{
    const float *below = self->below;
    size_t e = rows->starts[0];
    for (size_t i = 0; i < rows->n; i++) {
        for (uint32_t field = 0; field < self->n_fields; field++, e++) {
            float *line = line_gradients + line_of(&fields[field], rows->places[e]);
            const float value = value_of(rows, e);
            for (uint32_t f = 0; f < fields[field].width; f++) {
                line[f] += *below++ * value;
            }
        }
    }
}

void rub_deep_score_step(rub_deep_score_t *self, const float *const *params,
                         const rub_field_lines_t *fields, const rub_sparse_rows_t *rows,
                         float *slopes, float *const *gradients, float *line_gradients)
{
    RUB_ASSERT(rows->n <= self->max_rows);
    rub_network_step(self->network, params, rows->n, slopes, gradients, self->below);
    if (fields != NULL) {
        scatter_fields(self, fields, rows, line_gradients);
    } else {
        scatter(self, rows, line_gradients);
    }
}
