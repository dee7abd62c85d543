/* `rubato worker`: trains the run file's model as one rank of the job. */
#ifndef RUB_WORKER_MAIN_H
#define RUB_WORKER_MAIN_H

#include "common/conf/config.h"

/* Runs until done, SIGINT or SIGTERM; returns the process's exit code. Says what is wrong on
 * standard error. */
int rub_worker_main(const rub_config_t *config);

#endif
