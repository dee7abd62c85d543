/* What a validation is for: which of its figures says how good the model is, whether a snapshot of
 * the best one is kept, and how long training goes on without a better one. */
#ifndef RUB_VALIDATION_H
#define RUB_VALIDATION_H

#include "common/conf/config.h"
#include "worker/train/task.h"

typedef struct rub_validation {
    char metric[32]; /* a figure's name; "": nothing is judged */
    bool less;       /* the less the better */
    uint64_t patience;
    bool keep;
} rub_validation_t;

/* Is less of this figure better? */
bool rub_validation_less(const char *metric);

/* What the configuration asks for, of this task. RUB_ECONFIG: the task has nothing to validate on,
 * or no such figure. */
int rub_validation_read(const rub_config_t *config, const rub_task_t *task, rub_validation_t *self,
                        rub_error_t *err);

/* The figure as rub_judge wants it. RUB_EDIVERGED: it is not finite; RUB_EDATA: it is not among
 * these, as an AUC of examples of one class. */
int rub_validation_score(const rub_validation_t *self, uint64_t evaluation,
                         const rub_measure_t *measures, size_t n, rub_score_t *score,
                         rub_error_t *err);

#endif
