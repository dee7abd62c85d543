/* Runs a job's processes on this machine: starts them, watches them, starts again what was killed,
 * shows progress, and ends them all. */
#ifndef RUB_SUPERVISOR_H
#define RUB_SUPERVISOR_H

#include "cli/progress.h"
#include "cli/run_folder.h"
#include "cli/tally.h"
#include "common/conf/config.h"

/* What came of a run. */
typedef struct rub_outcome {
    int exit_code;     /* of the program */
    char reason[512];  /* why it is not 0; empty when it is */
    rub_tally_t tally; /* the last numbers */
    unsigned restarts; /* processes that were killed and started again */
    double training_s; /* from the first running status to the end of training */
    double total_s;    /* from the start of the first process to the end of the last */
} rub_outcome_t;

void rub_outcome_init(rub_outcome_t *self);
void rub_outcome_fini(rub_outcome_t *self);

/* Runs the job of config.yaml in the folder to its end; config is the same configuration. Blocks as
 * long as that takes; polls the signal counter of common/proc/signals.h. At return no child is
 * left, whatever happened; outcome says what came of it. Progress and notices go to people. Only
 * from the main thread. */
void rub_supervisor_run(const rub_config_t *config, const rub_run_folder_t *folder,
                        rub_progress_show_t *people, rub_outcome_t *outcome);

#endif
