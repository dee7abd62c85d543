/* Training: epochs of batches of a task over a session, with validation at each epoch's end. */
#ifndef RUB_TRAINING_H
#define RUB_TRAINING_H

#include "common/base/log.h"
#include "include/rubato.h"
#include "worker/train/pace.h"
#include "worker/train/task.h"
#include "worker/train/validation.h"

typedef struct rub_training_plan {
    uint64_t epochs;
    uint64_t validate_every; /* epochs, >= 1; the last one is always validated */
    uint64_t batch_examples;
    uint64_t piece_examples; /* 0: chosen */
    bool prefetch;
    rub_validation_t validation; /* what is judged of it, and when training stops */
    rub_pace_t pace;
} rub_training_plan_t;

/* Trains this rank's share until all epochs are done, or the validation says that it is enough.
 * Blocks; one thread. RUB_EDIVERGED: the loss is not finite, or the shards refused many pushes in a
 * row. RUB_EINTR and the session's other errors are passed on; the session stays the caller's to
 * close. */
int rub_training_run(rub_session_t *session, rub_task_t *task, const rub_training_plan_t *plan,
                     const rub_log_t *log, rub_error_t *err);

#endif
