/* `rubato scheduler`: the one authority on membership, tables, data and barriers of a job. */
#ifndef RUB_SCHEDULER_MAIN_H
#define RUB_SCHEDULER_MAIN_H

#include "common/conf/config.h"

/* Runs until done, SIGINT or SIGTERM; returns the process's exit code. Says what is wrong on
 * standard error. */
int rub_scheduler_main(const rub_config_t *config);

#endif
