/* The task of ratings: who thinks what of which item, or only who chose which, and vectors of users
 * and items in rows of hashed tables (rating_tables.h, worker/model/rating_model.h).
 *
 * Examples are training ratings, in an order that each data epoch arranges; a batch of them is a
 * period. The worker pulls the rows that the batch and its negatives need, with AdaGrad's
 * accumulators, steps on copies, and pushes by how much they have changed. Test examples are
 * ratings, or, of kinds that draw negatives, the users who have any. */
#ifndef RUB_RATINGS_TASK_H
#define RUB_RATINGS_TASK_H

#include "common/conf/config.h"
#include "worker/data/order.h"
#include "worker/train/rating_tables.h"

/* In the run directory: a line of number, tab and name for each user and each item. */
#define RUB_RATING_USERS_FILE "users.txt"
#define RUB_RATING_ITEMS_FILE "items.txt"

/* Ratings to validate or to test with. */
typedef struct rub_rating_part {
    rub_rating_list_t ratings; /* by user; who is not known comes last */
    size_t *starts; /* n_users + 1 places: where each user who is known begins, the last one ends */
    size_t n_users;
    uint64_t n; /* examples: ratings, or, of kinds that draw negatives, users; 0: there is none */
} rub_rating_part_t;

/* What it is made of. Read by anybody. */
typedef struct rub_ratings_task {
    rub_task_t task;
    rub_update_t update;
    rub_rating_set_t *set;
    const rub_rating_kind_t *kind;
    rub_rating_spec_t spec; /* without rows and mean */
    rub_rating_plan_t plan; /* without the seed; draws nothing where the kind does not */
    rub_sampling_t sampling;
    size_t top;                    /* k of precision, recall and ndcg */
    rub_rating_part_t valid, test; /* without valid, epochs are validated on test */
    double lr, epsilon;
    uint64_t epochs;
} rub_ratings_task_t;

/* Is this what the configuration asks for? */
bool rub_ratings_task_wanted(const rub_config_t *config);
/* Of one that is wanted: whether it is measured by ranking items for each user. */
bool rub_ratings_task_ranks(const rub_config_t *config);

/* Reads the files that the configuration names. Blocks on files; keeps the configuration. The
 * result is the caller's, for rub_task_close; NULL on failure. RUB_EDATA, RUB_ECONFIG, RUB_EINVAL,
 * RUB_ENOMEM. */
int rub_ratings_task_open(const rub_config_t *config, const rub_update_t *update,
                          rub_task_t **task_p, rub_error_t *err);

/* The same object when the task is of this kind, else NULL. */
const rub_ratings_task_t *rub_ratings_task_of(const rub_task_t *task);

/* What epochs are validated on. */
static inline const rub_rating_part_t *rub_ratings_task_validated(const rub_ratings_task_t *self)
{
    return self->valid.n > 0 ? &self->valid : &self->test;
}

/* Reads other ratings as the configuration says. *part: to be finished, also on failure. RUB_EDATA:
 * also when nobody in them is known of whom items could be ranked; RUB_ENOMEM. Blocks. */
int rub_rating_part_open(const rub_ratings_task_t *self, const rub_config_t *config,
                         const char *path, bool held_out, rub_rating_part_t *part,
                         rub_error_t *err);
void rub_rating_part_close(rub_rating_part_t *part);

/* A model for batches of all users and items. */
int rub_ratings_task_model(const rub_ratings_task_t *self, double mean,
                           rub_rating_model_t **model_p, rub_error_t *err);

/* Trains on the batch, chunk by chunk. Adds to *loss. */
void rub_ratings_train_batch(rub_rating_model_t *model, const rub_rating_batch_t *batch, float lr,
                             float epsilon, const rub_rating_tables_t *rows,
                             rub_rating_loss_sum_t *loss);

#endif
