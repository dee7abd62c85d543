/* The same training without a parameter server: the benchmark's yardstick. */
#ifndef RUB_LOCAL_LOOP_H
#define RUB_LOCAL_LOOP_H

#include "worker/train/workload.h"

/* Trains `epochs` data epochs on arrays of this process: same batches, same gradient, same
 * optimizer, applied in place. *examples_per_s_p: over the loop alone. *loss_p: mean over the last
 * epoch. RUB_ECONFIG: the examples are streamed. */
int rub_local_loop_run(const rub_workload_t *workload, uint64_t seed, uint64_t epochs,
                       double *examples_per_s_p, double *loss_p, rub_error_t *err);

#endif
