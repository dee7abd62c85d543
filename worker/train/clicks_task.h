/* The task of click models: logistic regression and factorization machines over sparse examples,
 * and linear and softmax regression, whose rows are pulled and pushed by the keys that a batch has;
 * and such with a network over embeddings beside them, whose tables are pulled and pushed whole. */
#ifndef RUB_CLICKS_TASK_H
#define RUB_CLICKS_TASK_H

#include "common/conf/config.h"
#include "worker/model/deep_score.h"
#include "worker/model/sparse_model.h"
#include "worker/train/clicks_data.h"
#include "worker/train/field_layout.h"
#include "worker/train/task.h"

/* What it is made of. */
typedef struct rub_clicks_task {
    rub_task_t task;
    rub_update_t update;
    rub_sampling_t sampling;
    rub_clicks_data_t data;
    rub_sparse_model_t *model;
    /* Of deep models, else NULL: what a network adds to the scores, and its part of a batch. */
    rub_deep_score_t *deep;
    rub_field_layout_t layout;
    float *more, *slopes; /* a batch's */
} rub_clicks_task_t;

/* Is model_kind one of these models (softmax: of a format of sparse examples)? */
bool rub_clicks_task_wanted(const rub_config_t *config);

/* Reads train_file and test_file and builds the model. Blocks on files. The result is the caller's,
 * for rub_task_close; NULL on failure. RUB_EDATA, RUB_ECONFIG, RUB_EINVAL, RUB_ENOMEM. */
int rub_clicks_task_open(const rub_config_t *config, const rub_update_t *update,
                         rub_task_t **task_p, rub_error_t *err);

/* The same object when the task is of this kind, else NULL. */
rub_clicks_task_t *rub_clicks_task_of(rub_task_t *task);

/* The model that the configuration names, as wide as the widest of its columns. The caller's; NULL
 * on failure. RUB_EINVAL, RUB_ENOMEM. */
int rub_clicks_model_new(const rub_config_t *config, const rub_column_tables_t *columns,
                         rub_sparse_model_t **model_p, rub_error_t *err);

/* What is reported of sums over n examples: the mean loss, and what the loss counts beside it.
 * Returns how many. */
size_t rub_clicks_figures(rub_sparse_loss_t loss, const rub_sparse_figures_t *sums, double n,
                          rub_measure_t measures[RUB_TASK_MEASURES_LIMIT]);

/* The network of a deep model (rub_sparse_kind_t), and how many features every example has, with
 * the layout of their tables (which keeps columns). The caller's, the network is NULL on failure.
 * RUB_ECONFIG: that number is not known, or too small; RUB_EINVAL, RUB_ENOMEM. */
int rub_clicks_deep_open(const rub_config_t *config, const rub_column_tables_t *columns,
                         rub_deep_score_t **deep_p, rub_field_layout_t *layout, rub_error_t *err);
/* A batch of such a model has a feature for each field, and each where the layout has it. first:
 * the number of its first example; where: begins the sentence. RUB_EDATA. */
int rub_clicks_deep_check(rub_field_layout_t *layout, const rub_sparse_batch_t *batch,
                          uint64_t first, const char *where, rub_error_t *err);

#endif
