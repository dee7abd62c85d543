/* What comes before a measurement: a fleet works as it will be measured, until its files are there.
 *
 * A young journal makes segments and a young store grows, in memory that the page cache takes for
 * the first time; from then on both are written over again. What the first seconds cost is kept, to
 * be said beside the measurement. */
#ifndef RUB_BENCH_WARM_UP_H
#define RUB_BENCH_WARM_UP_H

#include "cli/bench_fleet.h"

#define RUB_BENCH_WARM_UP_MS 3000u /* of a round; so long are the first seconds */

/* Works for so long, and says how fast in *rate_p, in units of its own. */
typedef int rub_bench_work_fn(void *context, uint64_t for_ms, double *rate_p, rub_error_t *err);

/* Rounds of work, each until what the ps puts off is done, until in two rounds the ps has opened no
 * more files and those that it has open have not grown; one round where they need not be waited for
 * (grows: false), and never more than sixteen. *first_rate_p: of the first round. Errors: the
 * work's; as rub_bench_fleet_settle; RUB_EINTR. May block for a minute. */
int rub_bench_warm_up(rub_bench_fleet_t *fleet, bool grows, rub_bench_work_fn *work, void *context,
                      double *first_rate_p, rub_error_t *err);

#endif
