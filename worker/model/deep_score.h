/* The deep part of a model of clicks: what a network makes of the embeddings of a row's features,
 * one behind the other, field by field. Rows have exactly as many features as there are fields.
 * Adds to the scores of the model's other part (worker/model/sparse_model.h), from which it gets
 * the slopes that its gradients begin with.
 *
 *   score = network(x_1 v_1, ..., x_F v_F)
 *
 * One thread; equal inputs give equal bits. After rub_deep_score_new nothing allocates, fails or
 * blocks. */
#ifndef RUB_DEEP_SCORE_H
#define RUB_DEEP_SCORE_H

#include "worker/model/model.h"
#include "worker/model/sparse_model.h"

#define RUB_FIELDS_LIMIT 4096u

typedef struct rub_deep_spec {
    uint32_t n_fields;
    uint32_t factors;       /* numbers of an embedding */
    uint32_t n_inputs;      /* of all fields together, where they differ; 0: n_fields x factors */
    const uint32_t *hidden; /* n_hidden widths; borrowed until return */
    uint32_t n_hidden;
    const char *activation;
    uint32_t max_rows; /* of the largest gradient */
} rub_deep_spec_t;

/* Where the embeddings of a field's features are: of place p at lines + shift + p x width, modulo
 * SIZE_MAX + 1. */
typedef struct rub_field_lines {
    uint32_t width;
    size_t shift;
} rub_field_lines_t;

typedef struct rub_deep_score rub_deep_score_t;

/* *self_p is the caller's; NULL on failure. RUB_EINVAL: fields outside 1 to RUB_FIELDS_LIMIT,
 * factors outside 1 to RUB_FACTORS_LIMIT, more inputs than a layer may have, no rows, unknown
 * activation, a layer without units or above the limits of worker/model/model.h. RUB_ENOMEM. */
int rub_deep_score_new(const rub_deep_spec_t *spec, rub_deep_score_t **self_p, rub_error_t *err);
void rub_deep_score_destroy(rub_deep_score_t **self_p); /* NULL is fine */

/* The network, for the sake of its tables (rub_model_tables). Borrowed for self's life. */
const rub_model_t *rub_deep_score_network(const rub_deep_score_t *self);

/* Writes the scores of all rows, any number of them. params: of the network; lines: an embedding
 * for each place; fields (n_fields, with n_inputs numbers together): how they lie, NULL: side by
 * side, all as wide. Labels are not looked at. */
void rub_deep_score_rows(rub_deep_score_t *self, const float *const *params, const float *lines,
                         const rub_field_lines_t *fields, const rub_sparse_rows_t *rows,
                         float *scores);

/* Behind rub_deep_score_rows on these same rows and fields, at most max_rows: gradients of sum
 * slopes[i] x score[i]. gradients: of the network, overwritten whole; line_gradients: added to,
 * where the lines are. slopes: spoilt. */
void rub_deep_score_step(rub_deep_score_t *self, const float *const *params,
                         const rub_field_lines_t *fields, const rub_sparse_rows_t *rows,
                         float *slopes, float *const *gradients, float *line_gradients);

#endif
