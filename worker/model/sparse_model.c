/* What sparse models share: the table of kinds, and the walk over rows.
 *
 * Idea: every kind is a score and its derivative, and a loss; the loss gives a slope for a row's
 * score z (over n, for the mean), sigma(z) - y of clicks, and the chain rule does the rest, row by
 * row while its parameters are in the cache. Invariant: gradients of places that no row has are 0,
 * so that pushing them is harmless. */
#include "worker/model/sparse_model.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/classes.h"
#include "common/base/error.h"
#include "worker/model/factorization.h"
#include "worker/model/linear_score.h"
#include "worker/model/softmax_score.h"

#include <inttypes.h>
#include <string.h>

static const rub_sparse_kind_t kinds[] = {
    {.name = "logistic",
     .summary = "logistic regression",
     .tables = {{.name = "linear/weights", .width = 1, .has_bias = true, .init = RUB_INIT_ZEROS}},
     .n_tables = 1,
     .score = rub_linear_score,
     .step = rub_linear_step},
    {.name = "fm",
     .summary = "factorization machine of order two",
     .tables = {{.name = "linear/weights", .width = 1, .has_bias = true, .init = RUB_INIT_ZEROS},
                {.name = "fm/factors",
                 .init = RUB_INIT_NORMAL,
                 .init_scale = RUB_FACTORIZATION_INIT_SCALE}},
     .n_tables = 2,
     .score = rub_factorization_score,
     .step = rub_factorization_step},
    {.name = "wide_deep",
     .summary = "logistic regression and a network over embeddings of the features",
     .tables = {{.name = "linear/weights", .width = 1, .has_bias = true, .init = RUB_INIT_ZEROS},
                {.name = "deep/embeddings",
                 .init = RUB_INIT_NORMAL,
                 .init_scale = RUB_FACTORIZATION_INIT_SCALE}},
     .n_tables = 2,
     .is_deep = true,
     .own_widths = true,
     .score = rub_linear_score,
     .step = rub_linear_step},
    {.name = "deepfm",
     .summary = "factorization machine and a network over the features' factors",
     .tables = {{.name = "linear/weights", .width = 1, .has_bias = true, .init = RUB_INIT_ZEROS},
                {.name = "fm/factors",
                 .init = RUB_INIT_NORMAL,
                 .init_scale = RUB_FACTORIZATION_INIT_SCALE}},
     .n_tables = 2,
     .is_deep = true,
     .score = rub_factorization_score,
     .step = rub_factorization_step},
    {.name = "linear",
     .summary = "linear regression",
     .tables = {{.name = "linear/weights", .width = 1, .has_bias = true, .init = RUB_INIT_ZEROS}},
     .n_tables = 1,
     .loss = RUB_LOSS_SQUARED,
     .score = rub_linear_score,
     .step = rub_linear_step},
    {.name = "softmax",
     .summary = "softmax regression, factors many classes",
     .tables = {{.name = "linear/weights", .has_bias = true, .init = RUB_INIT_ZEROS}},
     .n_tables = 1,
     .loss = RUB_LOSS_SOFTMAX},
};

struct rub_sparse_model {
    const rub_sparse_kind_t *kind;
    uint32_t factors;
    rub_sparse_table_t tables[RUB_SPARSE_TABLES_MOST];
    float *sums; /* factors */
};

const rub_sparse_kind_t *rub_sparse_kind_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
        if (name != NULL && strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

int rub_sparse_model_new(const char *name, uint32_t factors, rub_sparse_model_t **model_p,
                         rub_error_t *err)
{
    *model_p = NULL;
    const rub_sparse_kind_t *kind = rub_sparse_kind_named(name);
    if (kind == NULL) {
        return rub_fail(err, RUB_EINVAL,
                        "sparse model '%s' is not known, expected 'logistic', 'fm', "
                        "'wide_deep', 'deepfm', 'linear' or 'softmax'",
                        name != NULL ? name : "");
    }
    const bool classes = kind->loss == RUB_LOSS_SOFTMAX;
    const uint32_t limit = classes ? RUB_CLASSES_LIMIT : RUB_FACTORS_LIMIT;
    if (factors == 0 || factors > limit) {
        return rub_fail(err, RUB_EINVAL, "model with %" PRIu32 " %s, expected 1 to %" PRIu32,
                        factors, classes ? "classes" : "factors", limit);
    }
    rub_sparse_model_t *model = rub_calloc(1, sizeof *model);
    float *sums = rub_alloc_aligned(64, factors * sizeof *sums);
    if (model == NULL || sums == NULL) {
        rub_free(model);
        rub_free(sums);
        return rub_fail(err, RUB_ENOMEM, "model '%s': no memory", name);
    }
    *model = (rub_sparse_model_t){.kind = kind, .factors = factors, .sums = sums};
    for (size_t t = 0; t < kind->n_tables; t++) {
        model->tables[t] = kind->tables[t];
        model->tables[t].width = kind->tables[t].width > 0 ? kind->tables[t].width : factors;
    }
    *model_p = model;
    return 0;
}

void rub_sparse_model_destroy(rub_sparse_model_t **model_p)
{
    if (*model_p != NULL) {
        rub_free((*model_p)->sums);
        rub_free(*model_p);
        *model_p = NULL;
    }
}

const rub_sparse_table_t *rub_sparse_model_tables(const rub_sparse_model_t *model,
                                                  size_t *n_tables_p)
{
    *n_tables_p = model->kind->n_tables;
    return model->tables;
}

size_t rub_sparse_model_outputs(const rub_sparse_model_t *model)
{
    return model->kind->loss == RUB_LOSS_SOFTMAX ? model->factors : 1;
}

rub_sparse_loss_t rub_sparse_model_loss(const rub_sparse_model_t *model)
{
    return model->kind->loss;
}

void rub_sparse_model_gradient(rub_sparse_model_t *model, const float *const *params,
                               const rub_sparse_rows_t *rows, float *const *gradients,
                               rub_sparse_figures_t *figures_p)
{
    rub_sparse_model_gradient_with(model, params, rows, NULL, NULL, gradients, figures_p);
}

static void class_gradient(rub_sparse_model_t *model, const float *const *params,
                           const rub_sparse_rows_t *rows, float mean, float *const *gradients,
                           rub_sparse_figures_t *figures)
{
    const uint32_t n_classes = model->factors;
    float *const z = model->sums;
    for (size_t i = 0; i < rows->n; i++) {
        rub_softmax_score(params, rows, i, n_classes, z);
        rub_softmax_loss_add(z, n_classes, rows->labels[i], z, figures);
        for (uint32_t k = 0; k < n_classes; k++) {
            z[k] *= mean;
        }
        rub_softmax_step(rows, i, n_classes, z, gradients);
    }
}

void rub_sparse_model_gradient_with(rub_sparse_model_t *model, const float *const *params,
                                    const rub_sparse_rows_t *rows, const float *more, float *slopes,
                                    float *const *gradients, rub_sparse_figures_t *figures_p)
{
    RUB_ASSERT(rows->n > 0);
    const float mean = 1.0f / (float)rows->n;
    rub_sparse_figures_t figures = {0};
    for (size_t t = 0; t < model->kind->n_tables; t++) {
        const size_t lines = rub_sparse_lines(&model->tables[t], rows->n_places);
        memset(gradients[t], 0, lines * model->tables[t].width * sizeof(float));
    }
    if (model->kind->score == NULL) {
        class_gradient(model, params, rows, mean, gradients, &figures);
        *figures_p = figures;
        return;
    }
    for (size_t i = 0; i < rows->n; i++) {
        const float own = model->kind->score(params, rows, i, model->factors, model->sums);
        const float z = more != NULL ? own + more[i] : own;
        const float slope =
            rub_sparse_loss_add(model->kind->loss, z, rows->labels[i], &figures) * mean;
        model->kind->step(params, rows, i, model->factors, model->sums, slope, gradients);
        if (slopes != NULL) {
            slopes[i] = slope;
        }
    }
    *figures_p = figures;
}

void rub_sparse_model_scores(rub_sparse_model_t *model, const float *const *params,
                             const rub_sparse_rows_t *rows, float *scores)
{
    for (size_t i = 0; i < rows->n && model->kind->score == NULL; i++) {
        rub_softmax_score(params, rows, i, model->factors, scores + i * model->factors);
    }
    for (size_t i = 0; i < rows->n && model->kind->score != NULL; i++) {
        scores[i] = model->kind->score(params, rows, i, model->factors, model->sums);
    }
}

void rub_sparse_model_figures(const rub_sparse_model_t *model, const float *scores,
                              const float *labels, size_t n, rub_sparse_figures_t *figures_p)
{
    const size_t outputs = rub_sparse_model_outputs(model);
    rub_sparse_figures_t figures = {0};
    for (size_t i = 0; i < n; i++) {
        if (model->kind->score == NULL) {
            rub_softmax_loss_add(scores + i * outputs, outputs, labels[i], NULL, &figures);
        } else {
            (void)rub_sparse_loss_add(model->kind->loss, scores[i], labels[i], &figures);
        }
    }
    *figures_p = figures;
}
