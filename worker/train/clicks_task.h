/* The task of click models: logistic regression and factorization machines over sparse examples,
 * and linear and softmax regression, whose rows are pulled and pushed by the keys that a batch has;
 * and such with a network over embeddings beside them, whose tables are pulled and pushed whole. */
#ifndef RUB_CLICKS_TASK_H
#define RUB_CLICKS_TASK_H

#include "common/conf/config.h"
#include "worker/model/deep_score.h"
#include "worker/model/sparse_model.h"
#include "worker/train/task.h"

/* Is model_kind one of these models (softmax: of a format of sparse examples)? */
bool rub_clicks_task_wanted(const rub_config_t *config);

/* Reads train_file and test_file and builds the model. Blocks on files. The result is the caller's,
 * for rub_task_close; NULL on failure. RUB_EDATA, RUB_ECONFIG, RUB_EINVAL, RUB_ENOMEM. */
int rub_clicks_task_open(const rub_config_t *config, const rub_update_t *update,
                         rub_task_t **task_p, rub_error_t *err);

/* The model that the configuration names. The caller's; NULL on failure. RUB_EINVAL, RUB_ENOMEM. */
int rub_clicks_model_new(const rub_config_t *config, rub_sparse_model_t **model_p,
                         rub_error_t *err);

/* What is reported of sums over n examples: the mean loss, and what the loss counts beside it.
 * Returns how many. */
size_t rub_clicks_figures(rub_sparse_loss_t loss, const rub_sparse_figures_t *sums, double n,
                          rub_measure_t measures[RUB_TASK_MEASURES_LIMIT]);

/* The network of a deep model (rub_sparse_kind_t), and how many features every example has. The
 * caller's; NULL on failure. RUB_ECONFIG: that number is not known; RUB_EINVAL, RUB_ENOMEM. */
int rub_clicks_deep_open(const rub_config_t *config, rub_deep_score_t **deep_p,
                         uint32_t *n_fields_p, rub_error_t *err);

#endif
