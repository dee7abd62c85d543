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

/* Whether this case is to be measured: words behind WHAT name cases, no word means all. */
bool rub_bench_wants(const rub_config_t *config, const char *name);

/* Whether the user set the option, on whatever way. */
static inline bool rub_bench_set(const rub_config_t *config, rub_option_id_t option)
{
    return config->origins[option].source != RUB_FROM_DEFAULT;
}

/* Refuses words that name no case, and says which ones there are. RUB_ECONFIG. */
int rub_bench_check_cases(const rub_config_t *config, const char *const *names, size_t n_names,
                          rub_error_t *err);

/* What a bench takes where the user has set nothing: what was set stays. */
typedef struct rub_bench_default {
    rub_option_id_t option;
    const char *value;
} rub_bench_default_t;
int rub_bench_settle(rub_config_t *config, const rub_bench_default_t *rows, size_t n_rows,
                     rub_error_t *err);
#define RUB_BENCH_DATASET "/usr/share/datasets/fashion-mnist/"

/* Makes a folder under /tmp for a bench's runs. RUB_EIO. */
#define RUB_BENCH_FOLDER_BYTES 64u
int rub_bench_folder_make(char folder[RUB_BENCH_FOLDER_BYTES], rub_error_t *err);
/* Removes it, or says that it is kept when the bench has failed (rc below 0). */
void rub_bench_folder_leave(const char *folder, int rc);

/* The workload of examples/fashion-mnist.yaml where the user named no data. */
int rub_bench_default_workload(rub_config_t *config, rub_error_t *err);

/* Trains config's workload with `rubato train`, 1 ps and so many workers, in the folder; more:
 * flags besides, NULL at the end. number: of this run, for the names of its files.
 * *examples_per_s_p: as the run's result says. RUB_EINTERNAL when the run failed. Blocks for as
 * long as that takes. */
int rub_bench_training_run(const rub_config_t *config, const char *folder, unsigned number,
                           unsigned workers, const char *const *more, double *examples_per_s_p,
                           double *cpu_s_p, rub_error_t *err);

/* Sorts values. 0 when there are none. */
double rub_bench_median(double *values, size_t n);
/* The smallest value that at least the fraction of all reaches not above; sorts. */
double rub_bench_quantile(double *values, size_t n, double fraction);

#endif
