/* `rubato ps`: a server process with config->shards shards from config->first_shard on. */
#ifndef RUB_PS_MAIN_H
#define RUB_PS_MAIN_H

#include "common/conf/config.h"

/* Runs until done, SIGINT or SIGTERM; returns the process's exit code. Says what is wrong on
 * standard error. */
int rub_ps_main(const rub_config_t *config);

#endif
