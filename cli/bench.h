/* `rubato bench WHAT`: measures; config->words[0] says what ("train"). */
#ifndef RUB_BENCH_MAIN_H
#define RUB_BENCH_MAIN_H

#include "common/conf/config.h"

/* Runs until done, SIGINT or SIGTERM; returns the process's exit code. Says what is wrong on
 * standard error. */
int rub_bench_main(const rub_config_t *config);

#endif
