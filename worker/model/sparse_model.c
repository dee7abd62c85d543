/* What models of clicks share: the table of kinds, the logistic loss, and the walk over rows.
 *
 * Idea: every kind is a score and its derivative; the loss asks of a row's score z only the slope
 * sigma(z) - y (over n, for the mean), and the chain rule does the rest, row by row while its
 * parameters are in the cache. Invariant: gradients of places that no row has are 0, so that
 * pushing them is harmless. */
#include "worker/model/sparse_model.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/exponential.h"
#include "worker/model/factorization.h"
#include "worker/model/linear_score.h"

#include <inttypes.h>
#include <math.h>
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
                        "'wide_deep' or 'deepfm'",
                        name != NULL ? name : "");
    }
    if (factors == 0 || factors > RUB_FACTORS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "model with %" PRIu32 " factors, expected 1 to %u",
                        factors, RUB_FACTORS_LIMIT);
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

/* log(1 + exp(-margin)), whatever the margin. libm's: it touches only what is reported. */
static double loss_of(float score, bool click)
{
    const double margin = click ? (double)score : -(double)score;
    return log1p(exp(-fabs(margin))) + (margin < 0 ? -margin : 0);
}

static bool is_hit(float score, bool click)
{
    return (score > 0) == click;
}

void rub_sparse_model_gradient(rub_sparse_model_t *model, const float *const *params,
                               const rub_sparse_rows_t *rows, float *const *gradients,
                               double *loss_sum_p, size_t *correct_p)
{
    rub_sparse_model_gradient_with(model, params, rows, NULL, NULL, gradients, loss_sum_p,
                                   correct_p);
}

void rub_sparse_model_gradient_with(rub_sparse_model_t *model, const float *const *params,
                                    const rub_sparse_rows_t *rows, const float *more, float *slopes,
                                    float *const *gradients, double *loss_sum_p, size_t *correct_p)
{
    RUB_ASSERT(rows->n > 0);
    const float mean = 1.0f / (float)rows->n;
    double loss_sum = 0;
    size_t correct = 0;
    for (size_t t = 0; t < model->kind->n_tables; t++) {
        const size_t lines = rub_sparse_lines(&model->tables[t], rows->n_places);
        memset(gradients[t], 0, lines * model->tables[t].width * sizeof(float));
    }
    for (size_t i = 0; i < rows->n; i++) {
        const bool click = rows->labels[i] != 0;
        const float own = model->kind->score(params, rows, i, model->factors, model->sums);
        const float z = more != NULL ? own + more[i] : own;
        const float slope = (rub_logistic(z) - (click ? 1.0f : 0.0f)) * mean;
        model->kind->step(params, rows, i, model->factors, model->sums, slope, gradients);
        if (slopes != NULL) {
            slopes[i] = slope;
        }
        loss_sum += loss_of(z, click);
        correct += is_hit(z, click);
    }
    *loss_sum_p = loss_sum;
    *correct_p = correct;
}

void rub_sparse_model_scores(rub_sparse_model_t *model, const float *const *params,
                             const rub_sparse_rows_t *rows, float *scores)
{
    for (size_t i = 0; i < rows->n; i++) {
        scores[i] = model->kind->score(params, rows, i, model->factors, model->sums);
    }
}

void rub_sparse_loss(const float *scores, const uint8_t *labels, size_t n, double *loss_sum_p,
                     size_t *correct_p)
{
    double loss_sum = 0;
    size_t correct = 0;
    for (size_t i = 0; i < n; i++) {
        loss_sum += loss_of(scores[i], labels[i] != 0);
        correct += is_hit(scores[i], labels[i] != 0);
    }
    *loss_sum_p = loss_sum;
    *correct_p = correct;
}
