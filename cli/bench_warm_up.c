/* Two measurements warm up in the same way, so that they say the same of a journal: what has grown
 * shows in the files that the ps has open, a segment each and the store, and in the blocks that the
 * file system gave them. */
#include "cli/bench_warm_up.h"

#include "cli/bench_setup.h"

enum {
    ROUNDS_LIMIT = 16,
    STILL_ROUNDS = 2, /* it grows in steps, with pauses */
    QUIET_MS = 1000,  /* longer than the time to the next checkpoint */
    GROWTH_PART = 50  /* a file that has grown by less than this part of all is full-grown */
};

static bool has_grown(const rub_bench_usage_t *before, const rub_bench_usage_t *now)
{
    return now->descriptors > before->descriptors ||
           now->open_bytes > before->open_bytes + before->open_bytes / GROWTH_PART;
}

int rub_bench_warm_up(rub_bench_fleet_t *fleet, bool grows, rub_bench_work_fn *work, void *context,
                      double *first_rate_p, rub_error_t *err)
{
    rub_bench_usage_t before = {0}, now = {0};
    double rate = 0;
    int rc = 0;
    *first_rate_p = 0;
    unsigned still = 0;
    for (unsigned i = 0; !rc && (i == 0 || (grows && still < STILL_ROUNDS && i < ROUNDS_LIMIT));
         i++) {
        before = now;
        rc = work(context, RUB_BENCH_WARM_UP_MS, &rate, err);
        rc = rc ? rc : rub_bench_fleet_settle(fleet, QUIET_MS, &now, err);
        rc = rc ? rc : rub_bench_go_on(err);
        still = has_grown(&before, &now) ? 0 : still + 1;
        *first_rate_p = i == 0 ? rate : *first_rate_p;
    }
    return rc;
}
