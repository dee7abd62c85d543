/* A training run as part of a measurement: `rubato train` as a child process, and what it says of
 * itself when it has ended. */
#ifndef RUB_BENCH_TRAINING_H
#define RUB_BENCH_TRAINING_H

#include "common/conf/config.h"

typedef struct rub_bench_training {
    double examples, examples_per_s; /* all epochs together; as the run's result says */
    double cpu_s;                    /* of all processes of the run */
    /* Of values, as they stood on the wire, all workers; 0 where their logs do not say it
     * (log_level). */
    double push_bytes, pull_bytes;
} rub_bench_training_t;

/* Trains config's workload with `rubato train`, 1 ps and so many workers, in the folder; more:
 * flags besides, NULL at the end. number: of this run, for the names of its files; its run
 * directory is run-NUMBER. RUB_EINTERNAL when the run failed. Blocks for as long as that takes. */
int rub_bench_training_run(const rub_config_t *config, const char *folder, unsigned number,
                           unsigned workers, const char *const *more, rub_bench_training_t *out,
                           rub_error_t *err);

#endif
