/* `rubato bench WHAT`: measures; config->words[0] says what, further words which cases. Each
 * measurement prints one table for people or JSON and leaves nothing behind; all but the store's,
 * which needs none, start real processes in a folder of their own under /tmp. Only ratios within
 * one run travel to another machine. */
#ifndef RUB_BENCH_H
#define RUB_BENCH_H

#include "common/conf/config.h"

/* Runs until done, SIGINT or SIGTERM; returns the process's exit code. Says what is wrong on
 * standard error. */
int rub_bench_main(const rub_config_t *config);

/* The measurements. config is the bench's own copy and may be changed. They return how many of the
 * bars that they print were missed. */
int rub_bench_train(rub_config_t *config, rub_error_t *err);
int rub_bench_durability(rub_config_t *config, rub_error_t *err);
int rub_bench_recover(rub_config_t *config, rub_error_t *err);
int rub_bench_staleness(rub_config_t *config, rub_error_t *err);
int rub_bench_codecs(rub_config_t *config, rub_error_t *err);
int rub_bench_pushpull(rub_config_t *config, rub_error_t *err);
/* The bare server that pushpull compares with, alone: config->words[1] is where it listens. Serves
 * until a signal comes. */
int rub_bench_ideal(rub_config_t *config, rub_error_t *err);
int rub_bench_store(rub_config_t *config, rub_error_t *err);
/* The case "memory" of rub_bench_store; adds the bars that were missed to *missed_p. */
int rub_bench_memory(const rub_config_t *config, unsigned *missed_p, rub_error_t *err);
/* The case "scheduler" of rub_bench_recover, with its fleet in the folder; returns 1 when its bar
 * was missed. */
int rub_bench_outage(const rub_config_t *config, const char *folder, rub_error_t *err);

/* Sorts values. 0 when there are none. */
double rub_bench_median(double *values, size_t n);
/* The smallest value that at least the fraction of all reaches not above; sorts. */
double rub_bench_quantile(double *values, size_t n, double fraction);

#endif
