/* Models of rows of a few features out of very many: the odds of "yes" (clicks), a number, or the
 * odds of classes.
 *
 * A model owns no parameters and knows no keys: rows name features by places 0 to n_places - 1,
 * parameters are arrays with one line per place, and gradients have the same shape. Which feature
 * has which place, and where parameters come from, is the caller's business. Kinds are rows of a
 * table (rub_sparse_kind_named). Blind to the client and to data sets.
 *
 * A score z, or one for each class, has a loss (worker/model/sparse_loss.h): of clicks it is the
 * logistic one, and z log-odds. Numbers: float32, losses are added up in float64; no libm function
 * is on the way to a gradient. Equal inputs give equal bits. A model belongs to one thread at a
 * time. After rub_sparse_model_new nothing allocates, fails or blocks. */
#ifndef RUB_SPARSE_MODEL_H
#define RUB_SPARSE_MODEL_H

#include "include/rubato.h"
#include "worker/model/sparse_loss.h"

#define RUB_FACTORS_LIMIT 1024u
#define RUB_SPARSE_TABLES_MOST 2u

typedef struct rub_sparse_rows {
    size_t n;               /* rows */
    const uint32_t *starts; /* n + 1: entries of row i are starts[i] to starts[i + 1] */
    const uint32_t *places; /* of each entry: below n_places - 1 */
    const float *values;    /* of each entry; NULL: all are 1 */
    const float *labels;    /* n, as the kind's loss takes them; finite */
    size_t n_places;        /* >= 1; the last one is the intercept's, which every row has with 1 */
} rub_sparse_rows_t;

/* A table of parameters: one line of `width` float32 for each place. */
typedef struct rub_sparse_table {
    const char *name; /* "linear/weights" */
    uint32_t width;
    bool has_bias; /* the intercept has a line, too: then lines are n_places, else one fewer */
    rub_init_kind_t init;
    double init_scale;
} rub_sparse_table_t;

typedef struct rub_sparse_model rub_sparse_model_t;

/* Builds the model; factors: k of "fm", the classes of "softmax", others take no notice. *model_p
 * is the caller's; NULL on failure. RUB_EINVAL: unknown kind, factors outside 1 to
 * RUB_FACTORS_LIMIT, classes outside 1 to RUB_CLASSES_LIMIT. RUB_ENOMEM. */
int rub_sparse_model_new(const char *kind, uint32_t factors, rub_sparse_model_t **model_p,
                         rub_error_t *err);
void rub_sparse_model_destroy(rub_sparse_model_t **model_p); /* NULL is fine */

/* The tables, in the order in which params and gradients list them; at most
 * RUB_SPARSE_TABLES_MOST. Borrowed for the model's life. */
const rub_sparse_table_t *rub_sparse_model_tables(const rub_sparse_model_t *model,
                                                  size_t *n_tables_p);

/* Lines of a table for so many places. */
static inline size_t rub_sparse_lines(const rub_sparse_table_t *table, size_t n_places)
{
    return n_places - !table->has_bias;
}

/* Gradient of the mean loss over rows->n > 0 rows. params[t], gradients[t]: lines of table t x
 * width; gradients are overwritten whole and must not overlap params. *figures_p: sums
 * over the rows. */
void rub_sparse_model_gradient(rub_sparse_model_t *model, const float *const *params,
                               const rub_sparse_rows_t *rows, float *const *gradients,
                               rub_sparse_figures_t *figures_p);

/* The same of scores to which another part of the model adds more[i] (n); slopes (n): the
 * derivative of the mean loss by each row's score, for that part's own gradient. */
void rub_sparse_model_gradient_with(rub_sparse_model_t *model, const float *const *params,
                                    const rub_sparse_rows_t *rows, const float *more, float *slopes,
                                    float *const *gradients, rub_sparse_figures_t *figures_p);

/* Scores of a row: one, or one for each class. */
size_t rub_sparse_model_outputs(const rub_sparse_model_t *model);
rub_sparse_loss_t rub_sparse_model_loss(const rub_sparse_model_t *model);

/* scores: n x outputs. Labels are not looked at and may be NULL. */
void rub_sparse_model_scores(rub_sparse_model_t *model, const float *const *params,
                             const rub_sparse_rows_t *rows, float *scores);

/* What n rows' scores cost, summed as above. */
void rub_sparse_model_figures(const rub_sparse_model_t *model, const float *scores,
                              const float *labels, size_t n, rub_sparse_figures_t *figures_p);

/* ---- the table of kinds ---- */

typedef struct rub_sparse_kind {
    const char *name;
    const char *summary;
    rub_sparse_table_t tables[RUB_SPARSE_TABLES_MOST]; /* width 0: as many as there are factors */
    size_t n_tables;
    rub_sparse_loss_t loss;
    bool is_deep; /* another part adds to the score: worker/model/deep_score.h, of the last table's
                     lines */
    bool own_widths; /* lines of the last table may be narrower than its width (rub_field_lines_t):
                        nothing but that other part reads them */
    /* The score of one row; NULL: it has one for each class (worker/model/softmax_score.h). sums: a
     * line of `factors` float32, for step. */
    float (*score)(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                   uint32_t factors, float *sums);
    /* Adds slope x (the score's derivative) to gradients; sums as score left them. */
    void (*step)(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                 uint32_t factors, const float *sums, float slope, float *const *gradients);
} rub_sparse_kind_t;

/* By name; NULL when there is none. Static. */
const rub_sparse_kind_t *rub_sparse_kind_named(const char *name);

#endif
