/* What measurements settle before they begin: options that the user has not set, the cases that the
 * words mean, and a folder for what their
 * processes leave. */
#ifndef RUB_BENCH_SETUP_H
#define RUB_BENCH_SETUP_H

#include "common/conf/config.h"

#define RUB_BENCH_FOLDER_BYTES 64u

/* Whether the user set the option, on whatever way. */
static inline bool rub_bench_set(const rub_config_t *config, rub_option_id_t option)
{
    return config->origins[option].source != RUB_FROM_DEFAULT;
}

/* An option's value where the user has set none. */
typedef struct rub_bench_default {
    rub_option_id_t option;
    const char *value;
} rub_bench_default_t;

/* Sets each option of the n rows that the user has not set. Errors as rub_config_set. */
int rub_bench_defaults(rub_config_t *config, const rub_bench_default_t *rows, size_t n,
                       rub_error_t *err);

/* Trains and validates on Fashion-MNIST where the user named no data to train on. RUB_ECONFIG: the
 * user's own data have no test set, which what is measured is read from. */
int rub_bench_default_data(rub_config_t *config, rub_error_t *err);

/* The workload of examples/fashion-mnist.yaml where the user named no data; never a validation: a
 * rate of training is measured. RUB_ECONFIG: what a fleet of these options would refuse. */
int rub_bench_default_workload(rub_config_t *config, rub_error_t *err);

/* The name of a measurement's i-th case; NULL behind the last one. */
typedef const char *rub_bench_name_fn(size_t i);

/* RUB_ECONFIG unless each word behind WHAT names a case; says which there are. */
int rub_bench_check_words(const rub_config_t *config, rub_bench_name_fn *name, rub_error_t *err);

/* Whether this case is to be measured: words behind WHAT name cases, no word means all. */
bool rub_bench_wants(const rub_config_t *config, const char *name);

/* RUB_EINTR when a signal has come. */
int rub_bench_go_on(rub_error_t *err);
/* Sleeps. RUB_EINTR as soon as a signal has come. */
int rub_bench_sleep(uint64_t ms, rub_error_t *err);

/* The error for a process that ended so: RUB_ESTORE where its disk failed or was full. */
int rub_bench_code_of(int exit_code);

/* Makes a folder of the measurement's own under /tmp. RUB_EIO or RUB_ENOSPC; folder is "" then. */
int rub_bench_folder_make(char folder[RUB_BENCH_FOLDER_BYTES], rub_error_t *err);

/* Removes the folder and all that is in it; "" is none. After a failure (rc below 0) that no signal
 * caused it stays, for its logs, and standard error says where. */
void rub_bench_folder_leave(const char *folder, int rc);

#endif
