/* The task of dense models: labelled examples of a fixed width, whole tables pulled and pushed. */
#ifndef RUB_DENSE_TASK_H
#define RUB_DENSE_TASK_H

#include "common/conf/config.h"
#include "worker/data/dataset.h"
#include "worker/data/order.h"
#include "worker/model/model.h"
#include "worker/train/task.h"

/* What it is made of. Read by anybody. */
typedef struct rub_dense_task {
    rub_task_t task;
    rub_update_t update;
    uint64_t local_steps; /* 0: the shards step */
    /* Of what local steps have changed, averaged, the shards' step takes so much, and its momentum.
     * 1 and 0: it is added as it is. */
    double server_lr, server_momentum;
    rub_sampling_t sampling;
    /* valid: what is validated on after an epoch, NULL: test is. test: then measured once, at the
     * end; NULL: none given. */
    rub_dataset_t *train, *valid, *test;
    rub_model_t *model;
} rub_dense_task_t;

/* Reads the data sets that the configuration names and builds its model. Blocks on files. The
 * result is the caller's, for rub_task_close; NULL on failure. RUB_EDATA, RUB_ECONFIG, RUB_EINVAL,
 * RUB_ENOMEM. */
int rub_dense_task_open(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err);

/* Does it learn from a table (csv, tsv), whose labels stand in a column? Then train_file,
 * valid_file and test_file name the data, else train_images and the others. */
bool rub_dense_task_reads_table(const rub_config_t *config);

/* A batch's identity, for what is random in its gradient: the data epoch and the first place in its
 * order. An epoch has less than 2^32 examples. */
static inline uint64_t rub_dense_batch(uint64_t epoch, uint64_t first)
{
    return epoch << 32 | first;
}

/* The model that the configuration asks for, for examples of that width and shape (image: as in
 * rub_dataset_t) and so many classes. The caller's; NULL on failure. RUB_EINVAL, RUB_ENOMEM. */
int rub_dense_model_open(const rub_config_t *config, size_t width, const uint32_t image[3],
                         uint32_t n_classes, rub_model_t **model_p, rub_error_t *err);

/* The same object when the task is of this kind, else NULL. */
const rub_dense_task_t *rub_dense_task_of(const rub_task_t *task);

#endif
