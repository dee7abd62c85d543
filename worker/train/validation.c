/* The seam between figures, which tasks name, and the scheduler's judge, for whom more is better
 * and a number is a number. Which names a task has is asked of the task itself, with sums that are
 * not zero, so that there is no second list of them. */
#include "worker/train/validation.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const less_is_better[] = {"loss", "mr", "rmse", "mae"};

bool rub_validation_less(const char *metric)
{
    for (size_t i = 0; i < RUB_COUNT_OF(less_is_better); i++) {
        if (strcmp(less_is_better[i], metric) == 0) {
            return true;
        }
    }
    return false;
}

static int choose_metric(const char *wanted, const rub_task_t *task, rub_validation_t *self,
                         rub_error_t *err)
{
    double sums[RUB_TASK_SUMS];
    rub_measure_t measures[RUB_TASK_MEASURES_LIMIT];
    char names[200] = "";
    for (size_t i = 0; i < RUB_TASK_SUMS; i++) {
        sums[i] = task->training_sums == 0 || i < task->training_sums ? 1 : 0;
    }
    const size_t n = task->kind->measure(task, sums, measures);
    for (size_t i = 0; i < n; i++) {
        const size_t used = strlen(names);
        if (!wanted[0] || strcmp(measures[i].name, wanted) == 0) {
            snprintf(self->metric, sizeof(self->metric), "%s", measures[i].name);
            self->less = rub_validation_less(self->metric);
            return 0;
        }
        snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", measures[i].name);
    }
    return rub_fail(err, RUB_ECONFIG, "validation_metric: '%s' is no figure of this model: %s",
                    wanted, names);
}

int rub_validation_read(const rub_config_t *config, const rub_task_t *task, rub_validation_t *self,
                        rub_error_t *err)
{
    const char *const keep = rub_config_word(config, RUB_OPT_validation_keep);
    *self = (rub_validation_t){.patience = config->validation_patience};
    self->keep = strcmp(keep, "best") == 0 || (strcmp(keep, "auto") == 0 && self->patience > 0);
    if (!self->keep && self->patience == 0) {
        rub_validation_t unused; /* a name that is wrong is wrong today, too */
        return config->validation_metric[0]
                   ? choose_metric(config->validation_metric, task, &unused, err)
                   : 0;
    }
    if (task->n_test == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s: there is nothing to validate on; expected held_out, a valid_file or "
                        "valid_images, or test data (of graphs: a valid_file)",
                        self->patience > 0 ? "validation_patience" : "validation_keep");
    }
    return choose_metric(config->validation_metric, task, self, err);
}

int rub_validation_score(const rub_validation_t *self, uint64_t evaluation,
                         const rub_measure_t *measures, size_t n, rub_score_t *score,
                         rub_error_t *err)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(measures[i].name, self->metric) != 0) {
            continue;
        }
        const double value = measures[i].value;
        *score = (rub_score_t){.evaluation = evaluation,
                               .value = self->less ? -value : value,
                               .metric = self->metric,
                               .patience = self->patience,
                               .keep = self->keep};
        return isfinite(value)
                   ? 0
                   : rub_fail(err, RUB_EDIVERGED, "the validation's %s of epoch %llu is not finite",
                              self->metric, (unsigned long long)evaluation);
    }
    return rub_fail(err, RUB_EDATA, "the validation data give no %s", self->metric);
}
